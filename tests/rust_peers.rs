//! Two Rust peers through the real binary: its rooms, and its relay where they must.

#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]

mod support;

use heliograph_client::{
    CandidateType, ChannelOptions, Event, LeaveReason, Options, Path, Peer, Protocol, Room,
    Verdict, join,
};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use support::Heliograph;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

/// No step takes so long on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

const MESSAGES: u32 = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn relay_only_peers_exchange_a_thousand_lossy_messages() {
    let server = start();
    let ((mut ada, to_bob, path), (mut bob, to_ada, _)) = pair(&server, true).await;
    let relay = CandidateType::Relay;
    assert_eq!(path, Path { local: relay, remote: relay, protocol: Protocol::Udp });
    exchange(&to_bob, &mut bob).await;
    assert!(to_ada.stats().await.is_some_and(|stats| stats.path.is_relayed()));
    // Without the remedy in the client's runtime, each of them waits for a timer of 200 ms.
    let started = Instant::now();
    for _ in 0..40 {
        to_bob.send_reliable("ping").await.expect("sent");
        assert!(matches!(next(&mut bob).await, Event::Message { .. }));
        to_ada.send_reliable("pong").await.expect("sent");
        assert!(matches!(next(&mut ada).await, Event::Message { .. }));
    }
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(3), "40 round trips took {elapsed:?}");
    tokio::join!(ada.close(), bob.close());
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_can_reach_each_other_go_direct_without_a_flag() {
    let server = start();
    let ((_ada, to_bob, path), (mut bob, _, _)) = pair(&server, false).await;
    assert!(!path.is_relayed(), "{path}");
    exchange(&to_bob, &mut bob).await;
    let diagnosis = to_bob.diagnosis().await;
    assert_eq!(diagnosis.verdict, Verdict::ConnectedDirect, "{}", diagnosis.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_announced_at_once_and_who_comes_is_connected() {
    let server = start();
    let ((mut ada, _, _), (bob, _, _)) = pair(&server, false).await;
    bob.close().await;
    let left = async {
        loop {
            if let Event::PeerLeft { reason, .. } = next(&mut ada).await {
                return reason;
            }
        }
    };
    assert_eq!(timeout(Duration::from_secs(5), left).await, Ok(LeaveReason::Left));
    let mut cyd = enter(&server, "cyd", false).await;
    let ((to_cyd, _), (to_ada, _)) = tokio::join!(connected(&mut ada), connected(&mut cyd));
    assert_eq!((to_cyd.name().as_deref(), to_ada.name().as_deref()), (Some("cyd"), Some("ada")));
}

#[tokio::test(flavor = "multi_thread")]
async fn open_channels_outlive_the_server_and_the_room_is_joined_anew_when_it_is_back() {
    let server = start();
    let ((mut ada, to_bob, _), (mut bob, _, _)) = pair(&server, false).await;
    let (address, before) = (server.http(), ada.peer_id().clone());
    server.signal("TERM");
    server.wait();
    for room in [&mut ada, &mut bob] {
        let event = next(room).await;
        assert!(matches!(event, Event::SignalingLost(_)), "{event:?}");
    }
    exchange(&to_bob, &mut bob).await;

    let again = Heliograph::start(&["--http", &address.to_string(), "--turn", "127.0.0.1:0"]);
    let talk = async {
        loop {
            let _ = to_bob.send_lossy("over the same link").await;
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = async { tokio::join!(reunion(&mut ada), reunion(&mut bob)) } => {}
        () = talk => {}
    }
    assert_ne!(ada.peer_id(), &before);
    assert_eq!(&to_bob.id(), bob.peer_id());
    exchange(&to_bob, &mut bob).await;
    // Who comes finds both.
    let mut cyd = enter(&again, "cyd", false).await;
    for _ in 0..2 {
        connected(&mut cyd).await;
    }
}

/// A room whose members join anew: nobody leaves, and no link is another one.
async fn reunion(room: &mut Room) {
    loop {
        match next(room).await {
            Event::Message { .. } => {}
            Event::SignalingRejoined { peer_id } => assert_eq!(&peer_id, room.peer_id()),
            Event::PeerRejoined { .. } => return,
            event => panic!("{event:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_line_is_resumed_and_nobody_notices_but_by_events() {
    let server = start();
    let line = Line::start(server.http()).await;
    let mut ada = enter_at(&line.url(), "ada", false).await;
    let mut bob = enter(&server, "bob", false).await;
    let ((to_bob, _), (to_ada, _)) = tokio::join!(connected(&mut ada), connected(&mut bob));
    let before = ada.peer_id().clone();
    // Down for longer than it takes until others are told.
    line.set(false);
    let event = next(&mut ada).await;
    assert!(matches!(event, Event::SignalingLost(_)), "{event:?}");
    match next(&mut bob).await {
        Event::PeerAway(peer) => assert_eq!(peer, to_ada),
        event => panic!("{event:?}"),
    }
    exchange(&to_bob, &mut bob).await;
    // Somebody joins, offers, and waits for her answer.
    let mut cyd = enter(&server, "cyd", false).await;
    connected(&mut bob).await;
    assert_eq!(connected(&mut cyd).await.0.name().as_deref(), Some("bob"));
    line.set(true);
    let event = next(&mut ada).await;
    assert!(matches!(event, Event::SignalingResumed), "{event:?}");
    assert_eq!(connected(&mut ada).await.0.name().as_deref(), Some("cyd"));
    match next(&mut bob).await {
        Event::PeerBack(peer) => assert_eq!(peer, to_ada),
        event => panic!("{event:?}"),
    }
    assert_eq!(ada.peer_id(), &before);
    exchange(&to_bob, &mut bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relayed_peers_get_through_again_when_their_relay_is_back() {
    let relay = ["relay", "--user", "ada:secret", "--turn"];
    let first = Heliograph::start(&[&relay[..], &["127.0.0.1:0"]].concat());
    let url = first.announced("TURN").to_owned();
    let address = url.trim_start_matches("turn:").trim_end_matches("?transport=udp");
    let turn = format!("{url} ada secret");
    let signal = ["signal", "--http", "127.0.0.1:0", "--ice-server", &turn];
    let server = Heliograph::start(&signal);
    let ((mut ada, to_bob, path), (mut bob, to_ada, _)) = pair(&server, true).await;
    assert!(path.is_relayed());
    let files = to_bob.channel("files", ChannelOptions::RELIABLE);
    files.opened().await.expect("a channel");
    drop(first);
    let event = next(&mut ada).await;
    assert!(matches!(event, Event::Disconnected { .. }), "{event:?}");
    // What is sent meanwhile waits.
    files.send("meanwhile").await.expect("a channel that is not closed");
    let _again = Heliograph::start(&[&relay[..], &[address]].concat());
    loop {
        match next(&mut bob).await {
            Event::Message { channel, data, .. } => {
                break assert_eq!((channel.label(), data.as_text()), ("files", Some("meanwhile")));
            }
            Event::ChannelOpened { .. } | Event::Connected { .. } | Event::Disconnected { .. } => {}
            event => panic!("{event:?}"),
        }
    }
    let mut restarts = 0;
    for peer in [&to_bob, &to_ada] {
        let stats = peer.stats().await.expect("a connection");
        assert!(stats.path.is_relayed(), "{stats:?}");
        restarts += stats.restarts;
    }
    assert!(restarts > 0, "one side has looked for another way");
}

/// A line to the server that can be cut: what is on the way is lost, and nothing gets through until
/// it is mended.
struct Line {
    address: SocketAddr,
    works: watch::Sender<bool>,
    carrying: JoinHandle<()>,
}

impl Line {
    async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let works = watch::Sender::new(true);
        let works_still = works.subscribe();
        let carrying = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut works = works_still.clone();
                connections.spawn(async move {
                    if !*works.borrow() {
                        return;
                    }
                    let mut far = TcpStream::connect(to).await.expect("the server is up");
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = works.wait_for(|works| !works) => {}
                    }
                });
            }
        });
        Self { address, works, carrying }
    }

    fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    fn set(&self, works: bool) {
        self.works.send_replace(works);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

/// Sends numbers over the lossy channel, a reliable message after them, and counts what came.
async fn exchange(to_bob: &Peer, bob: &mut Room) {
    let send = async {
        for number in 0..MESSAGES {
            to_bob.send_lossy(&number.to_be_bytes()).await.expect("sent");
            sleep(Duration::from_millis(1)).await;
        }
        // Lossy messages may be a little behind reliable ones.
        sleep(Duration::from_millis(200)).await;
        to_bob.send_reliable("done").await.expect("sent");
    };
    let receive = async {
        let mut came = Vec::new();
        loop {
            match next(bob).await {
                // Told over the link, behind it.
                Event::Message { data, .. } if data.as_text().is_some_and(|it| it != "done") => {}
                Event::Message { channel, data, .. } if channel.is_lossy() => {
                    came.push(data.as_bytes().to_vec());
                }
                Event::Message { .. } => return came,
                event => panic!("{event:?}"),
            }
        }
    };
    let ((), mut came) = tokio::join!(send, receive);
    let total = came.len();
    came.sort_unstable();
    came.dedup();
    assert_eq!(came.len(), total, "a message came twice");
    assert!(total >= 990, "{total} of {MESSAGES} came");
}

async fn pair(server: &Heliograph, relay_only: bool) -> ((Room, Peer, Path), (Room, Peer, Path)) {
    let mut ada = enter(server, "ada", relay_only).await;
    let mut bob = enter(server, "bob", relay_only).await;
    let ((to_bob, ada_path), (to_ada, bob_path)) =
        tokio::join!(connected(&mut ada), connected(&mut bob));
    ((ada, to_bob, ada_path), (bob, to_ada, bob_path))
}

fn start() -> Heliograph {
    Heliograph::start(&["--http", "127.0.0.1:0", "--turn", "127.0.0.1:0"])
}

async fn enter(server: &Heliograph, name: &str, relay_only: bool) -> Room {
    enter_at(server.announced("WebSocket"), name, relay_only).await
}

async fn enter_at(url: &str, name: &str, relay_only: bool) -> Room {
    let metadata = json!({ "name": name });
    let options = Options { metadata, relay_only, ..Options::default() };
    join(url, "demo", options).await.expect("a seat")
}

async fn connected(room: &mut Room) -> (Peer, Path) {
    loop {
        match next(room).await {
            Event::Connected { peer, path } => return (peer, path),
            // In a room of three, others may come to the fore.
            Event::PeerJoined(_) | Event::PeerAway(_) | Event::PeerBack(_) => {}
            event => panic!("{event:?}"),
        }
    }
}

async fn next(room: &mut Room) -> Event {
    timeout(PATIENCE, room.next()).await.expect("an event in time").expect("an open room")
}
