//! Why a pair isn't connected: each verdict is provoked once through the real binary and a client
//! of the Rust SDK, which is told it.
//!
//! What a client of ours doesn't do by itself, a middleman before it makes of what it says, or a
//! member does that speaks the protocol by hand.

#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't waited for goes by")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../support/api.rs"]
mod api;
mod at_relay;
mod between_peers;
#[path = "../support/middleman.rs"]
mod middleman;
#[path = "../support/seat.rs"]
mod seat;
#[path = "../support/mod.rs"]
mod support;

use futures_util::SinkExt as _;
use heliograph_client::{Diagnosis, Event, Options, Peer, Room, Side, Verdict, join};
use seat::Member;
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::Duration;
use support::{Heliograph, get};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// No step takes so long on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where nothing answers: on loopback, but not where relays are, which reach themselves.
const DEAD_END: &str = "127.0.0.2";

/// Makes a test of each provocation: who asks gets this verdict, and a sentence that begins so. A
/// verdict that nobody provokes doesn't compile.
macro_rules! verdicts {
    ($($verdict:ident($side:expr, $text:expr) by $provoke:path as $name:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let told = $provoke().await;
                assert_eq!((told.verdict, told.side), (Verdict::$verdict, $side), "{told:?}");
                assert!(told.text.starts_with($text), "{}", told.text);
            }
        )*

        const _: fn(Verdict) = |verdict| match verdict {
            $(Verdict::$verdict => {})*
        };
    };
}

verdicts! {
    ConnectedDirect(None, "connected with bob directly (") by between_peers::meet
        as peers_that_meet_are_connected_directly;
    Connecting(None, "the connection to bob is only being made") by between_peers::ask_at_once
        as at_first_it_is_too_early_to_say;
    PeerLeft(Some(Side::Theirs), "bob: isn't in the room (any more)") by between_peers::leave
        as who_has_left_isnt_in_the_room;
    PeerAway(Some(Side::Theirs), "bob: lost its connection to the server ")
        by between_peers::lose_the_server as who_has_lost_the_server_is_away;
    PeerSilent(Some(Side::Theirs), "bob: never sent a description") by between_peers::say_nothing
        as who_says_nothing_is_silent;
    NoLocalCandidates(Some(Side::Yours), "this side: found no candidates, not even an address")
        by between_peers::forbid_webrtc as whose_browser_forbids_webrtc_has_no_candidates;
    NoCandidatesFromPeer(Some(Side::Theirs), "bob: found ") by between_peers::lose_candidates
        as candidates_that_get_lost_never_came;
    DtlsFailed(Some(Side::Both), "both sides: a way was found, but the DTLS handshake failed")
        by between_peers::forge_a_fingerprint as a_forged_fingerprint_fails_the_handshake;
    ClosedByPeer(Some(Side::Theirs), "bob: closed the connection ") by between_peers::be_closed
        as who_closes_a_link_is_named_to_the_other;
    ClosedByYou(Some(Side::Yours), "this side: closed the connection") by between_peers::close
        as who_closes_a_link_is_told_so;
    BothSymmetricNoRelay(None, "both behind symmetric NAT and no relay offered")
        by between_peers::be_symmetric as two_symmetric_nats_need_a_relay;
    NoRelayOffered(None, "no direct way to bob was found, and no relay is offered")
        by between_peers::find_no_way as without_a_direct_way_a_relay_is_missing;
    ChecksUnanswered(None, "nothing that was sent to bob arrived") by at_relay::lose_all_checks
        as checks_that_a_firewall_drops_are_unanswered;
    ConnectedRelayed(None, "connected with bob by a relay (") by at_relay::meet
        as peers_that_meet_by_the_relay_are_connected_by_it;
    RelayOnlyWithoutRelay(Some(Side::Yours), "this side: may only use a relay, but has none")
        by at_relay::want_what_isnt_offered as relay_only_needs_a_relay;
    TurnExpired(Some(Side::Yours), "this side: TURN credential expired 14 min ago")
        by at_relay::keep_credentials as an_expired_credential_is_named_with_its_age;
    TurnUnauthorized(Some(Side::Yours), "this side: TURN password was wrong ")
        by at_relay::forget_the_password as a_wrong_password_is_named;
    TurnQuota(Some(Side::Yours), "this side: TURN quota was used up ")
        by at_relay::use_the_quota_up as a_quota_that_other_links_use_up_is_named;
    TurnNoCapacity(Some(Side::Yours), "this side: the relay had no capacity ")
        by at_relay::fill_the_relay as a_relay_that_is_full_is_named;
    TurnForbiddenPeer(Some(Side::Both), "both sides: its relay may not send to the addresses ")
        by at_relay::name_a_forbidden_address as addresses_that_the_relay_denies_are_named;
    TurnUnreachable(Some(Side::Both), "both sides: no answer came from the TURN server")
        by at_relay::name_a_dead_relay as a_relay_that_doesnt_answer_is_named;
    SignalingLost(Some(Side::Yours), "the server can't be asked")
        by between_peers::end_the_server as without_a_server_the_client_speaks_for_itself;
    Unknown(None, "") by between_peers::come_from_the_future
        as a_verdict_of_a_newer_server_is_passed_on;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_an_operator_takes_back_are_named() {
    let told = at_relay::be_revoked().await;
    assert_eq!((told.verdict, told.side), (Verdict::TurnUnauthorized, Some(Side::Yours)));
    let begin = "this side: TURN credential was taken back; refused ";
    assert!(told.text.starts_with(begin), "{}", told.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_and_diagnoses_are_counted() {
    let server = Heliograph::start(&["signal", "--http", "127.0.0.1:0"]);
    let mut ada = Member::join(&server, "demo").await;
    let mut bob = Member::join(&server, "demo").await;
    let failed = json!({"state": "failed", "for_s": 20.5, "answered": true});
    ada.report(&bob.peer, &failed).await;
    let ids = [ada.peer.clone(), bob.peer.clone()];
    for (one, other) in [(&mut ada, &ids[1]), (&mut bob, &ids[0])] {
        assert_eq!(one.diagnose(other).await.verdict, Verdict::NoRelayOffered);
    }
    let metrics = get(server.http(), "/metrics");
    for line in [
        "heliograph_pairs{path=\"failed\"} 1\n",
        "heliograph_pairs{path=\"direct\"} 0\n",
        "heliograph_diagnoses_total{verdict=\"no_relay_offered\"} 2\n",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

fn start(more: &[&str]) -> Heliograph {
    let base = ["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0"];
    Heliograph::start(&[&base[..], more].concat())
}

async fn enter(url: &str, name: &str, options: &Options) -> Room {
    let options = Options { metadata: json!({ "name": name }), ..options.clone() };
    join(url, "demo", options).await.expect("a seat")
}

fn relay_only() -> Options {
    Options { relay_only: true, ..Options::default() }
}

/// They may connect as they like.
fn freely() -> [Options; 2] {
    [Options::default(), Options::default()]
}

/// Ada comes by this URL, then Bob straight to the server; each with the other as it sees it.
async fn pair(ada: &str, server: &Heliograph, options: [Options; 2]) -> [(Room, Peer); 2] {
    let mut ada = enter(ada, "ada", &options[0]).await;
    let mut bob = enter(server.announced("WebSocket"), "bob", &options[1]).await;
    let (to_bob, to_ada) = tokio::join!(joined(&mut ada), joined(&mut bob));
    [(ada, to_bob), (bob, to_ada)]
}

async fn joined(room: &mut Room) -> Peer {
    until(room, |event| {
        let Event::PeerJoined(peer) = event else { return None };
        Some(peer.clone())
    })
    .await
}

/// Takes events until one is it.
async fn until<T>(room: &mut Room, is_it: impl Fn(&Event) -> Option<T>) -> T {
    loop {
        let event = timeout(PATIENCE, room.next()).await.expect("in time").expect("an open room");
        if let Some(found) = is_it(&event) {
            return found;
        }
    }
}

async fn connected(room: &mut Room) {
    until(room, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
}

/// Waits until the program is told that there is no connection.
async fn troubled(room: &mut Room) {
    until(room, |event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
}

async fn diagnosis(peer: &Peer) -> Diagnosis {
    timeout(PATIENCE, peer.diagnosis()).await.expect("an answer")
}

/// Lets both take too long, and asks when both have said so.
async fn after_trouble([(mut ada, to_bob), (mut bob, to_ada)]: [(Room, Peer); 2]) -> Diagnosis {
    tokio::join!(troubled(&mut ada), troubled(&mut bob));
    diagnosis(&to_ada).await;
    diagnosis(&to_bob).await
}

/// A socket that answers nothing.
struct DeadEnd {
    socket: UdpSocket,
}

impl DeadEnd {
    fn new() -> Self {
        Self { socket: UdpSocket::bind((DEAD_END, 0)).expect("a port") }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().expect("bound").port()
    }

    /// Has all candidates of both sides lead here.
    fn misdirect(&self) -> impl Fn(&mut Value) + Clone + Send + Sync + 'static {
        let port = self.port().to_string();
        move |frame| {
            if let Some(Value::String(candidate)) = frame.pointer_mut("/data/candidate/candidate") {
                let mut words: Vec<&str> = candidate.split(' ').collect();
                (words[4], words[5]) = (DEAD_END, &port);
                *candidate = words.join(" ");
            }
            if let Some(Value::String(sdp)) = frame.pointer_mut("/data/description/sdp") {
                let is_none = |line: &&str| !line.starts_with("a=candidate:");
                *sdp = sdp.split_inclusive('\n').filter(is_none).collect();
            }
        }
    }
}

impl Member {
    async fn say(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn report(&mut self, peer: &str, link: &Value) {
        self.say(&json!({"type": "report", "peer": peer, "link": link})).await;
        // Frames of one connection are carried out in order: now it is known.
        self.say(&json!({"type": "ping"})).await;
        self.next("pong").await;
    }

    async fn diagnose(&mut self, peer: &str) -> Diagnosis {
        self.say(&json!({"type": "diagnose", "peer": peer, "id": 7})).await;
        serde_json::from_value(self.next("diagnosis").await).expect("a diagnosis")
    }
}
