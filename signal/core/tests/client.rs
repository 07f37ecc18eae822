//! The client's half of a session in virtual time: by itself, and against a hub over links that
//! break.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what isn't expected fails")]

mod support;

use heliograph_base::{Now, Time};
use proptest::prelude::*;
use serde_json::{Value, json};
use signal_core::client::{
    self, Event, GIVEN_UP, Loss, NotTaken, Output, Recipients, Request, RoomEvent, Session,
    Transport,
};
use signal_core::protocol::{ErrorCode, LeaveReason, Link, LinkState, Verdict};
use signal_core::{Config, Edge, EdgeId, Hub, PeerId, Seed, Token, Transmit};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use support::{ice, raw, room, turn_key};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn session(seed: u64) -> Session {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Session::new(client::Config::default(), room("demo"), None, bytes)
}

/// A session and the time it lives in; what it says is read as JSON.
struct Script {
    session: Session,
    now: Time,
}

impl Script {
    fn new() -> Self {
        let mut script = Self { session: session(1), now: Time::START };
        assert!(matches!(script.next(), Some(Output::Connect(_))));
        script
    }

    /// In the room, with one frame acknowledged by nothing yet.
    fn online() -> Self {
        let mut script = Self::new();
        script.open();
        let hello = script.sent();
        let once = hello["once"].as_str().unwrap();
        assert_eq!(hello, json!({"type": "hello", "room": "demo", "once": once}));
        script.text(&welcome(1, "welcome"));
        assert!(matches!(script.event(), Event::Joined(_)));
        script
    }

    fn next(&mut self) -> Option<Output> {
        self.session.poll_output()
    }

    fn sent(&mut self) -> Value {
        match self.next() {
            Some(Output::Send(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn event(&mut self) -> Event {
        match self.next() {
            Some(Output::Event(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    fn silent(&mut self) {
        assert!(self.next().is_none());
    }

    fn open(&mut self) {
        self.session.handle_opened(self.now);
    }

    fn text(&mut self, frame: &Value) {
        self.session.handle_text(self.now, &frame.to_string());
    }

    fn at(&mut self, after: u64) {
        let end = Time::after_start(ms(after));
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.session.handle_timeout(due);
        }
        self.now = end;
    }

    fn signal(&mut self, data: &str) -> Result<u64, NotTaken> {
        self.session.signal(&bob(), raw(data))
    }

    /// Loses the connection and opens another one, after the pause.
    fn reconnect(&mut self) {
        self.session.handle_lost(self.now, None);
        let Event::Lost { loss: Loss::Closed(None), pause } = self.event() else { panic!("lost") };
        self.now += pause;
        self.session.handle_timeout(self.now);
        assert!(matches!(self.next(), Some(Output::Connect(_))));
        self.open();
    }
}

fn bob() -> PeerId {
    PeerId::parse("bob").unwrap()
}

fn welcome(seq: u64, kind: &str) -> Value {
    json!({
        "seq": seq, "type": kind, "room": "demo", "peer": "me", "session": "demo:me", "key": "k",
        "grace_s": 30, "ack": 0, "members": [], "ice_servers": [], "ice_ttl_s": 0,
        "heartbeat": {"interval_s": 4, "timeout_s": 9},
        "limits": {"frame_bytes_max": 65_536, "metadata_bytes_max": 1024, "members_max": 8,
                   "unacked_frames_max": 256, "unacked_bytes_max": 65_536},
    })
}

fn came(seq: u64, data: &str) -> Value {
    json!({"seq": seq, "type": "signal", "from": "bob", "data": data})
}

#[test]
fn frames_are_acknowledged_in_time_or_with_whatever_is_sent() {
    let mut ada = Script::online();
    ada.at(999);
    ada.silent();
    ada.at(1000);
    assert_eq!(ada.sent(), json!({"type": "ack", "ack": 1}));
    ada.at(3000);
    ada.silent();
    ada.text(&came(2, "x"));
    ada.event();
    ada.signal("1").unwrap();
    let signal = json!({"type": "signal", "to": "bob", "data": 1, "id": 1, "ack": 2});
    assert_eq!(ada.sent(), signal);
    ada.at(4500);
    ada.silent();
}

#[test]
fn many_frames_and_many_bytes_are_acknowledged_at_once() {
    let mut ada = Script::online();
    for seq in 2..=32 {
        ada.text(&came(seq, ""));
        if seq == 32 {
            assert_eq!(ada.sent(), json!({"type": "ack", "ack": 32}));
        }
        assert!(matches!(ada.event(), Event::Signal { .. }));
    }
    ada.text(&came(33, &"x".repeat(16_384)));
    assert_eq!(ada.sent(), json!({"type": "ack", "ack": 33}), "a quarter of what may wait");
}

#[test]
fn a_frame_that_comes_twice_is_told_once_and_a_gap_is_mended_by_a_resume() {
    let mut ada = Script::online();
    ada.text(&came(2, "a"));
    ada.text(&came(2, "a"));
    ada.text(&came(1, "a"));
    assert!(matches!(ada.event(), Event::Signal { .. }));
    ada.silent();
    ada.text(&came(4, "c"));
    assert!(matches!(ada.next(), Some(Output::Close(GIVEN_UP))));
    assert!(matches!(ada.event(), Event::Lost { loss: Loss::Confused, .. }));
}

#[test]
fn what_is_not_acknowledged_is_sent_again_after_a_resume() {
    let mut ada = Script::online();
    for (data, id) in [("1", 1), ("2", 2), ("3", 3)] {
        assert_eq!(ada.signal(data), Ok(id));
        ada.sent();
    }
    ada.text(&json!({"type": "ack", "ack": 1}));
    ada.reconnect();
    let resume = json!({"type": "resume", "session": "demo:me", "key": "k", "seq": 1,
        "attempt": 1});
    assert_eq!(ada.sent(), resume);
    assert_eq!(ada.signal("4"), Ok(4), "it waits for the answer");
    ada.silent();
    ada.text(&json!({"type": "resumed", "ack": 2}));
    assert!(matches!(ada.event(), Event::Resumed));
    let signal = |id: u64| json!({"type": "signal", "to": "bob", "data": id, "id": id});
    assert_eq!([ada.sent(), ada.sent()], [signal(3), signal(4)]);
    ada.silent();
}

#[test]
fn a_session_that_is_over_is_joined_anew_and_knows_nothing_of_the_one_before() {
    let mut ada = Script::online();
    ada.signal("1").unwrap();
    ada.sent();
    ada.reconnect();
    assert_eq!(ada.sent()["type"], "resume");
    let error = json!({"type": "error", "code": "no_such_session", "text": "", "retry": false});
    ada.text(&error);
    let hello = ada.sent();
    assert_eq!(hello["type"], "hello");
    ada.reconnect();
    assert_eq!(ada.sent(), hello, "no answer came: it asks for the same seat");
    assert_eq!(ada.signal("2"), Err(NotTaken::NoSession));
    ada.text(&welcome(1, "welcome"));
    assert!(matches!(ada.event(), Event::Joined(_)));
    ada.silent();
    assert_eq!(ada.signal("3"), Ok(1));
    ada.sent();
    ada.reconnect();
    assert_eq!(ada.sent()["type"], "resume");
    ada.text(&error);
    let next = ada.sent();
    assert_eq!(next["type"], "hello");
    assert_ne!(next["once"], hello["once"], "another seat");
}

#[test]
fn a_token_is_shown_with_each_hello_and_a_newer_one_at_once() {
    let mut ada = Script::new();
    ada.session.set_token(Token::new("old"));
    ada.open();
    let hello = ada.sent();
    assert_eq!((&hello["type"], &hello["token"]), (&json!("hello"), &json!("old")));
    ada.text(&welcome(1, "welcome"));
    ada.event();
    let id = ada.session.set_token(Token::new("new"));
    assert_eq!(ada.sent(), json!({"type": "token", "token": "new", "id": id, "ack": 1}));
    ada.text(&json!({"type": "token", "id": id, "expires_in_s": 60}));
    let Event::TokenTaken { id: taken, ttl } = ada.event() else { panic!("an answer") };
    assert_eq!((taken, ttl), (Some(id), Some(ms(60_000))));
    ada.reconnect();
    assert_eq!(ada.sent()["type"], "resume", "a session needs none to go on");
    let error = json!({"type": "error", "code": "no_such_session", "text": "", "retry": false});
    ada.text(&error);
    assert_eq!(ada.sent()["token"], "new");
}

#[test]
fn a_newer_token_is_shown_until_it_is_answered() {
    let mut ada = Script::online();
    ada.session.set_token(Token::new("lost on the way"));
    ada.sent();
    ada.reconnect();
    ada.sent();
    let id = ada.session.set_token(Token::new("new"));
    ada.silent();
    ada.text(&json!({"type": "resumed", "ack": 0}));
    assert_eq!(ada.sent(), json!({"type": "token", "token": "new", "id": id}));
    assert!(matches!(ada.event(), Event::Resumed));

    // A refusal is an answer.
    let refused =
        json!({"type": "error", "id": id, "code": "unauthorized", "text": "", "retry": false});
    ada.text(&refused);
    assert!(matches!(ada.event(), Event::Refused(refusal) if refusal.id == Some(id)));
    ada.reconnect();
    ada.sent();
    ada.text(&json!({"type": "resumed", "ack": 0}));
    assert!(matches!(ada.event(), Event::Resumed));
    ada.silent();
}

#[test]
fn a_resync_replaces_what_was_known() {
    let mut ada = Script::online();
    ada.signal("1").unwrap();
    ada.sent();
    ada.reconnect();
    ada.sent();
    ada.text(&welcome(9, "resync"));
    assert!(matches!(ada.event(), Event::Resync(_)));
    assert_eq!(ada.sent()["id"], 1);
    ada.text(&came(10, "x"));
    assert!(matches!(ada.event(), Event::Signal { .. }));
}

#[test]
fn a_silent_server_is_asked_and_then_given_up_but_not_left() {
    let mut ada = Script::online();
    ada.at(1000);
    ada.sent();
    ada.at(3999);
    ada.silent();
    ada.at(4000);
    assert_eq!(ada.sent(), json!({"type": "ping"}));
    ada.at(8000);
    ada.text(&json!({"type": "pong"}));
    ada.at(11_999);
    ada.silent();
    ada.at(12_000);
    assert_eq!(ada.sent(), json!({"type": "ping"}));
    ada.session.handle_sign_of_life(ada.now);
    ada.at(16_000);
    ada.sent();
    // A machine that slept asks first.
    ada.now = Time::after_start(ms(20_999));
    ada.session.handle_timeout(ada.now);
    ada.silent();
    ada.at(21_000);
    assert!(matches!(ada.next(), Some(Output::Close(GIVEN_UP))));
    assert!(matches!(ada.event(), Event::Lost { loss: Loss::Silent, .. }));
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for() {
    let mut ada = Script::new();
    ada.open();
    ada.sent();
    ada.at(10_000);
    assert!(matches!(ada.next(), Some(Output::Close(GIVEN_UP))));
    assert!(matches!(ada.event(), Event::Lost { loss: Loss::Silent, .. }));
}

#[test]
fn a_refusal_says_whether_and_when_to_come_again() {
    let refused = |retry: bool, after: Value| {
        let mut ada = Script::new();
        ada.open();
        ada.sent();
        let (code, text) = ("room_full", "full");
        let mut error = json!({"type": "error", "code": code, "text": text, "retry": retry});
        error["retry_after_ms"] = after;
        ada.text(&error);
        assert!(matches!(ada.next(), Some(Output::Close(_))));
        ada.event()
    };
    assert!(matches!(refused(false, json!(null)), Event::Ended(Loss::Refused(_))));
    let Event::Lost { pause, .. } = refused(true, json!(null)) else { panic!("lost") };
    assert!(pause <= ms(500), "{pause:?}");
    let Event::Lost { pause, .. } = refused(true, json!(20_000)) else { panic!("lost") };
    assert!(pause >= ms(20_000) && pause <= ms(20_500), "{pause:?}");
}

#[test]
fn close_codes_say_whether_to_come_again() {
    for (code, again) in
        [(Some(4003), true), (None, true), (Some(4101), false), (Some(1000), false)]
    {
        let mut ada = Script::online();
        ada.session.handle_lost(ada.now, code);
        if !again {
            assert!(matches!(ada.next(), Some(Output::Close(_))));
        }
        match ada.event() {
            Event::Lost { .. } => assert!(again, "{code:?}"),
            Event::Ended(loss) => assert!(!again && loss == Loss::Closed(code)),
            other => panic!("{other:?}"),
        }
        ada.at(60_000);
        assert_eq!(ada.next().is_some(), again);
    }
}

#[test]
fn pauses_grow_while_it_does_not_work_and_can_be_cut_short() {
    let mut ada = Script::online();
    ada.at(1);
    let mut longest = Duration::ZERO;
    for _ in 0..30 {
        ada.session.handle_lost(ada.now, None);
        let Event::Lost { pause, .. } = ada.event() else { panic!("lost") };
        longest = longest.max(pause);
        ada.session.retry_now(ada.now);
        assert!(matches!(ada.next(), Some(Output::Connect(_))));
    }
    assert!(longest > ms(8000) && longest <= ms(15_000), "{longest:?}");
    ada.open();
    ada.sent();
    ada.text(&json!({"type": "resumed", "ack": 0}));
    ada.event();
    ada.now += ms(10_000);
    ada.session.handle_lost(ada.now, None);
    let Event::Lost { pause, .. } = ada.event() else { panic!("lost") };
    assert!(pause <= ms(500), "it worked for a while: {pause:?}");
}

#[test]
fn too_much_and_too_large_is_not_taken() {
    let mut ada = Script::online();
    let large = format!("\"{}\"", "x".repeat(65_400));
    assert_eq!(ada.signal(&large), Err(NotTaken::TooLarge));
    for id in 1..=256 {
        assert!(ada.session.takes_signals());
        assert_eq!(ada.signal("0"), Ok(id));
    }
    assert_eq!((ada.signal("0"), ada.session.takes_signals()), (Err(NotTaken::Full), false));
    ada.text(&json!({"type": "ack", "ack": 1}));
    assert!(ada.session.takes_signals());
}

#[test]
fn who_leaves_acknowledges_and_is_silent_afterwards() {
    let mut ada = Script::online();
    ada.session.leave();
    assert_eq!(ada.sent(), json!({"type": "ack", "ack": 1}));
    assert_eq!(ada.sent(), json!({"type": "leave"}));
    ada.session.handle_lost(ada.now, Some(1000));
    ada.at(60_000);
    ada.silent();
    assert_eq!(ada.signal("1"), Err(NotTaken::NoSession));
}

#[test]
fn who_leaves_before_the_answer_gives_back_what_it_may_get() {
    let mut ada = Script::new();
    ada.open();
    assert_eq!(ada.sent()["type"], "hello");
    ada.session.leave();
    assert_eq!(ada.sent(), json!({"type": "leave"}));
    ada.text(&welcome(1, "welcome"));
    ada.silent();
}

#[test]
fn what_is_no_frame_ends_the_session() {
    for text in ["", "{}", r#"{"type":"left","peer":"not an id","reason":"left"}"#] {
        let mut ada = Script::online();
        ada.session.handle_text(ada.now, text);
        assert!(matches!(ada.next(), Some(Output::Close(_))), "{text}");
        assert!(matches!(ada.event(), Event::Ended(Loss::Unreadable(_))), "{text}");
    }
}

#[test]
fn what_happens_in_the_room_is_told() {
    let mut ada = Script::online();
    let member = json!({"seq": 2, "type": "joined", "peer": "bob", "metadata": {"name": "Bob"},
                        "polite": true, "offers": false, "away": true});
    ada.text(&member);
    let Event::PeerJoined(member) = ada.event() else { panic!("joined") };
    assert_eq!((member.peer, member.metadata.get()), (bob(), r#"{"name":"Bob"}"#));
    assert!(member.polite && !member.offers && member.away);
    ada.text(&json!({"seq": 3, "type": "back", "peer": "bob"}));
    assert!(matches!(ada.event(), Event::PeerBack(peer) if peer == bob()));
    ada.text(&json!({"seq": 4, "type": "away", "peer": "bob"}));
    assert!(matches!(ada.event(), Event::PeerAway(peer) if peer == bob()));
    let urls = json!([{"urls": ["turn:192.0.2.1"], "username": "u", "credential": "c"}]);
    ada.text(&json!({"seq": 5, "type": "ice", "ice_servers": urls, "ice_ttl_s": 60}));
    let Event::Ice(ice) = ada.event() else { panic!("ice") };
    assert_eq!((ice.ice_ttl_s, ice.ice_servers[0].username.as_deref()), (60, Some("u")));
    ada.text(&json!({"seq": 6, "type": "left", "peer": "bob", "reason": "vanished"}));
    let Event::PeerLeft { reason, .. } = ada.event() else { panic!("left") };
    assert_eq!(reason, LeaveReason::Vanished);
    let error = json!({"seq": 7, "type": "error", "code": "undelivered", "text": "", "id": 3});
    ada.text(&error);
    let Event::Refused(refusal) = ada.event() else { panic!("refused") };
    assert_eq!((refusal.code, refusal.id), (ErrorCode::Undelivered, Some(3)));
}

#[test]
fn what_is_asked_of_the_room_is_numbered_with_signals_sent_again_and_answered_once() {
    let mut ada = Script::online();
    assert_eq!(ada.signal("1"), Ok(1));
    let value = raw(r#"{"turn":7}"#);
    let set = Request::State { value: &value, if_version: Some(3) };
    assert_eq!(ada.session.request(set), Ok(2));
    let bob = [bob()];
    let data = raw("\"hi\"");
    let say = Request::Broadcast { data: &data, to: Recipients::Peers(&bob) };
    assert_eq!(ada.session.request(say), Ok(3));
    ada.sent();
    let set = json!({"type": "state", "value": {"turn": 7}, "if_version": 3, "id": 2});
    assert_eq!(ada.sent(), set);
    let say = json!({"type": "broadcast", "data": "hi", "peers": ["bob"], "id": 3});
    assert_eq!(ada.sent(), say);
    ada.text(&json!({"type": "ack", "ack": 1}));
    ada.silent();
    ada.reconnect();
    ada.sent();
    ada.text(&json!({"type": "resumed", "ack": 1}));
    assert!(matches!(ada.event(), Event::Resumed));
    assert_eq!([ada.sent(), ada.sent()], [set, say]);
    ada.text(&json!({"seq": 2, "ack": 2, "type": "error", "code": "conflict", "text": "", "id": 2,
                     "state": {"version": 4, "value": 1}}));
    let Event::Refused(refusal) = ada.event() else { panic!("refused") };
    let state = refusal.state.expect("the state that is there");
    assert_eq!((refusal.id, state.version, state.value.get()), (Some(2), 4, "1"));
    assert!(matches!(ada.event(), Event::Done { up_to: 2 }), "behind the refusal");
    // The answer to a resume says only what needn't be sent again.
    ada.reconnect();
    ada.sent();
    ada.text(&json!({"type": "resumed", "ack": 3}));
    assert!(matches!(ada.event(), Event::Resumed));
    ada.silent();
    ada.text(&json!({"seq": 3, "type": "error", "code": "no_such_peer", "text": "", "id": 3}));
    let Event::Refused(refusal) = ada.event() else { panic!("refused") };
    assert_eq!(refusal.id, Some(3));
    ada.text(&json!({"type": "ack", "ack": 3}));
    assert!(matches!(ada.event(), Event::Done { up_to: 3 }));
}

#[test]
fn newer_metadata_and_the_last_event_are_shown_when_another_seat_is_asked_for() {
    let mut ada = Script::new();
    ada.session.set_entry(Some(raw(r#"{"history":9}"#)), Some("mellon".to_owned()), Some(4));
    ada.open();
    let hello = ada.sent();
    assert_eq!((&hello["create"]["history"], &hello["after"]), (&json!(9), &json!(4)));
    assert_eq!(hello["password"], "mellon");
    let mut frame = welcome(1, "welcome");
    let event = json!({"type": "broadcast", "event": 5, "from": "bob", "data": 1});
    frame["about"] = json!({
        "rules": {"capacity": 9, "sealed": false, "public": false, "locked": true,
                  "writers": "all", "history": 9},
        "host": "bob", "term": 2, "state": {"version": 1, "value": 7}, "events": [event],
        "last_event": 5,
    });
    ada.text(&frame);
    let Event::Joined(seat) = ada.event() else { panic!("joined") };
    let about = seat.about.expect("a room with rules");
    assert_eq!((about.host, about.term, about.last_event), (Some(bob()), Some(2), Some(5)));
    assert!(matches!(&about.events[..], [RoomEvent::Broadcast { event: Some(5), .. }]));
    let metadata = raw(r#"{"name":"ada"}"#);
    ada.session.request(Request::Metadata(&metadata)).unwrap();
    let large = raw(&format!(r#"{{"name":"{}"}}"#, "a".repeat(1024)));
    assert_eq!(ada.session.request(Request::Metadata(&large)), Err(NotTaken::TooLarge));
    ada.sent();
    ada.text(&json!({"seq": 2, "type": "broadcast", "event": 6, "from": "bob", "data": 1}));
    ada.event();
    ada.reconnect();
    ada.sent();
    ada.text(&json!({"type": "error", "code": "no_such_session", "text": "", "retry": false}));
    let hello = ada.sent();
    assert_eq!((&hello["metadata"], &hello["after"]), (&json!({"name": "ada"}), &json!(6)));
}

#[test]
fn a_diagnosis_is_asked_for_outside_the_row_and_reports_go_only_where_somebody_listens() {
    let mut ada = Script::online();
    let link = Link { state: Some(LinkState::Connected), ..Link::default() };
    ada.session.report(&bob(), &link);
    let report = json!({"type": "report", "peer": "bob", "link": {"state": "connected"}});
    assert_eq!(ada.sent(), report);
    let id = ada.session.diagnose(&bob()).unwrap();
    assert_eq!(ada.sent(), json!({"type": "diagnose", "peer": "bob", "id": id}));
    assert_eq!(ada.signal("1"), Ok(1));
    ada.sent();
    ada.text(&json!({"type": "diagnosis", "id": id, "peer": "bob", "verdict": "turn_expired",
                     "side": "theirs", "text": "expired", "advice": "join anew", "relay": {}}));
    let Event::Diagnosed(diagnosis) = ada.event() else { panic!("diagnosed") };
    assert_eq!((diagnosis.id, diagnosis.verdict), (Some(id), Verdict::TurnExpired));
    ada.session.handle_lost(ada.now, None);
    ada.event();
    ada.session.report(&bob(), &link);
    assert_eq!(ada.session.diagnose(&bob()), Err(NotTaken::NoSession));
    ada.silent();
}

#[test]
fn a_server_that_ends_is_left_for_the_one_it_names() {
    let mut ada = Script::online();
    ada.text(&json!({"type": "goaway", "deadline_s": 5}));
    ada.silent();
    ada.text(&json!({"type": "goaway", "deadline_s": 5, "url": "wss://b.example.net"}));
    assert!(matches!(ada.event(), Event::Moved { url } if url == "wss://b.example.net"));
    assert!(matches!(ada.next(), Some(Output::Close(_))));
    assert!(matches!(ada.event(), Event::Lost { loss: Loss::Moved, .. }));
}

#[test]
fn where_no_websocket_gets_through_the_session_goes_over_requests() {
    let mut ada = Script::new();
    for expected in [Transport::WebSocket, Transport::Events, Transport::Poll] {
        ada.session.handle_lost(ada.now, None);
        ada.event();
        ada.at(60_000 + ada.now.since_start().as_millis() as u64);
        match ada.next() {
            Some(Output::Connect(transport)) => assert_eq!(transport, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_end_may_come_as_a_frame() {
    let mut ada = Script::online();
    ada.text(&json!({"type": "close", "code": 4003, "text": "bye"}));
    assert!(matches!(ada.event(), Event::Lost { loss: Loss::Closed(Some(4003)), .. }));
}

#[test]
fn frames_of_a_newer_server_are_ignored() {
    let mut ada = Script::online();
    ada.text(&json!({"seq": 2, "type": "dance"}));
    ada.text(&came(3, "x"));
    assert!(matches!(ada.event(), Event::Signal { .. }));
}

/// Two clients, a hub, and for each client's connection an edge and a link of two directions.
struct World {
    hub: Hub,
    config: Arc<Config>,
    now: Now,
    clients: Vec<Client>,
    edges: BTreeMap<u64, Edge>,
    last_edge: u64,
}

struct Client {
    session: Session,
    /// The edge at the other end of the last connection.
    edge: Option<u64>,
    /// Whether the connection is still whole.
    whole: bool,
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
    got: Vec<(PeerId, u64)>,
    refused: Vec<(ErrorCode, Option<u64>)>,
    joins: usize,
    resumes: usize,
    left: usize,
}

impl World {
    fn new(config: Config, seed: u64) -> Self {
        let hub_seed = Seed { hub: 1, random: [7; 32] };
        let client = |number| Client {
            session: session(seed ^ number),
            edge: None,
            whole: false,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            got: Vec::new(),
            refused: Vec::new(),
            joins: 0,
            resumes: 0,
            left: 0,
        };
        let mut world = Self {
            hub: Hub::new(config.clone(), Some(turn_key()), &hub_seed),
            config: Arc::new(config),
            now: support::NOW,
            clients: vec![client(1), client(2)],
            edges: BTreeMap::new(),
            last_edge: 0,
        };
        world.settle();
        world
    }

    fn peer(&self, client: usize) -> PeerId {
        self.clients[client].session.peer().unwrap().clone()
    }

    /// Sends a number to the other client.
    fn signal(&mut self, client: usize, number: u64) -> Result<u64, NotTaken> {
        let to = self.clients[1 - client].session.peer().cloned().ok_or(NotTaken::NoSession)?;
        let id = self.clients[client].session.signal(&to, raw(&number.to_string()));
        self.drain();
        id
    }

    /// Moves one frame.
    fn deliver(&mut self, client: usize, to_server: bool) -> bool {
        let time = self.now.time;
        let link = &mut self.clients[client];
        if !link.whole {
            return false;
        }
        if to_server {
            let edge = self.edges.get_mut(&link.edge.unwrap()).unwrap();
            if !edge.wants_frames() {
                return false;
            }
            let Some(text) = link.to_server.pop_front() else { return false };
            edge.handle_text(time, &text);
        } else {
            let Some(text) = link.to_client.pop_front() else { return false };
            link.session.handle_text(time, &text);
        }
        self.drain();
        true
    }

    /// Breaks a connection: what is on the way is lost. Who doesn't notice will by silence, or by
    /// the other's next connection.
    fn cut(&mut self, client: usize, client_notices: bool, server_notices: bool) {
        let time = self.now.time;
        let link = &mut self.clients[client];
        if !link.whole {
            return;
        }
        link.whole = false;
        link.to_server.clear();
        link.to_client.clear();
        if server_notices {
            self.edges.get_mut(&link.edge.unwrap()).unwrap().handle_broken();
        }
        if client_notices {
            link.session.handle_lost(time, None);
        }
        self.drain();
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.time + duration;
        loop {
            let edges = self.edges.values().filter_map(Edge::poll_timeout);
            let clients = self.clients.iter().filter_map(|client| client.session.poll_timeout());
            let due = edges.chain(clients).chain(self.hub.poll_timeout()).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.go_to(due);
            self.hub.handle_timeout(self.now);
            self.edges.values_mut().for_each(|edge| edge.handle_timeout(due));
            self.clients.iter_mut().for_each(|client| client.session.handle_timeout(due));
            self.drain();
        }
        self.go_to(end);
    }

    fn go_to(&mut self, time: Time) {
        self.now = Now { time, unix: support::NOW.unix + time.since(Time::START) };
    }

    /// Does at once what everybody wants done, but moves nothing over links.
    fn drain(&mut self) {
        loop {
            let mut idle = true;
            for client in 0..self.clients.len() {
                while let Some(output) = self.clients[client].session.poll_output() {
                    idle = false;
                    self.obey(client, output);
                }
            }
            let ids: Vec<u64> = self.edges.keys().copied().collect();
            for id in ids {
                idle &= !self.serve(id);
            }
            while let Some(output) = self.hub.poll_output() {
                idle = false;
                if let Some(edge) = self.edges.get_mut(&output.to.0) {
                    edge.handle_event(output.event);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn obey(&mut self, client: usize, output: Output) {
        let link = &mut self.clients[client];
        match output {
            Output::Connect(_) => {
                self.last_edge += 1;
                let edge = Edge::new(self.now.time, Arc::clone(&self.config), ice());
                self.edges.insert(self.last_edge, edge);
                (link.edge, link.whole) = (Some(self.last_edge), true);
                link.to_server.clear();
                link.to_client.clear();
                link.session.handle_opened(self.now.time);
            }
            Output::Send(text) if link.whole => link.to_server.push_back(text),
            Output::Send(_) => {}
            Output::Close(code) => {
                if link.whole {
                    self.edges.get_mut(&link.edge.unwrap()).unwrap().handle_closed(Some(code));
                }
                link.whole = false;
            }
            Output::Event(event) => link.note(event),
        }
    }

    /// Moves what an edge has to give; whether there was anything.
    fn serve(&mut self, id: u64) -> bool {
        let edge = self.edges.get_mut(&id).unwrap();
        let mut any = false;
        while let Some(request) = edge.poll_request() {
            any = true;
            self.hub.handle(self.now, EdgeId(id), request);
        }
        let link = self.clients.iter_mut().find(|client| client.edge == Some(id) && client.whole);
        let mut link = link;
        while let Some(transmit) = edge.poll_transmit() {
            any = true;
            let text = match transmit {
                Transmit::Frame(frame) => frame.text(),
                Transmit::Refusal(_, frame) => frame,
                Transmit::Ping => continue,
            };
            if let Some(link) = &mut link {
                link.to_client.push_back(text.as_str().to_owned());
            }
        }
        if edge.ended().is_some() && !any {
            self.edges.remove(&id);
            if let Some(link) = link {
                link.whole = false;
                link.session.handle_lost(self.now.time, None);
            }
            return true;
        }
        any
    }

    /// Moves everything until nothing is on the way and everybody is in the room.
    fn settle(&mut self) {
        self.drain();
        for _ in 0..200 {
            let mut moved = true;
            while moved {
                moved = false;
                for client in [0, 1] {
                    moved |= self.deliver(client, true);
                    moved |= self.deliver(client, false);
                }
            }
            let online = self.clients.iter().all(|client| client.session.is_online());
            let whole = self.clients.iter().all(|client| client.whole);
            if online && whole {
                return;
            }
            self.pass(ms(500));
        }
        panic!("it doesn't settle");
    }
}

impl Client {
    fn note(&mut self, event: Event) {
        match event {
            Event::Joined(_) => self.joins += 1,
            Event::Resumed => self.resumes += 1,
            Event::Signal { from, data } => self.got.push((from, data.get().parse().unwrap())),
            Event::Refused(refusal) => self.refused.push((refusal.code, refusal.id)),
            Event::PeerLeft { .. } => self.left += 1,
            Event::Resync(_) | Event::Ended(_) => panic!("{event:?}"),
            Event::PeerJoined(_)
            | Event::PeerAway(_)
            | Event::PeerBack(_)
            | Event::Room(_)
            | Event::Ice(_)
            | Event::Done { .. }
            | Event::TokenTaken { .. }
            | Event::Diagnosed(_)
            | Event::Moved { .. }
            | Event::Lost { .. } => {}
        }
    }

    fn numbers(&self) -> Vec<u64> {
        self.got.iter().map(|(_, number)| *number).collect()
    }
}

#[test]
fn a_client_that_was_away_too_long_is_somebody_else_and_the_sender_learns_what_was_lost() {
    let mut world = World::new(Config::default(), 1);
    let before = world.peer(1);
    world.cut(1, false, true);
    world.signal(0, 7).unwrap();
    world.deliver(0, true);
    // The client that doesn't notice finds out by silence, but is kept from coming back.
    for _ in 0..50 {
        world.pass(ms(1000));
        world.cut(1, true, true);
        world.deliver(0, true);
        world.deliver(0, false);
    }
    world.settle();
    assert_ne!(world.peer(1), before);
    assert_eq!((world.clients[1].joins, world.clients[0].joins), (2, 1));
    assert_eq!(world.clients[0].refused, [(ErrorCode::Undelivered, Some(1))]);
    assert!(world.clients[1].got.is_empty());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Signal(usize),
    Deliver(usize, bool),
    Cut(usize, bool, bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..2usize;
    prop_oneof![
        4 => client.clone().prop_map(Step::Signal),
        12 => (client.clone(), any::<bool>()).prop_map(|(who, way)| Step::Deliver(who, way)),
        1 => (client, any::<bool>(), any::<bool>()).prop_map(|(who, a, b)| Step::Cut(who, a, b)),
        2 => (1..4000u64).prop_map(Step::Pass),
    ]
}

/// Plays the steps. What each client has sent: numbers from 1, without those that weren't taken.
fn play(world: &mut World, steps: &[Step]) -> [Vec<u64>; 2] {
    let mut sent = [Vec::new(), Vec::new()];
    for step in steps {
        match *step {
            Step::Signal(client) => {
                let number = sent[client].len() as u64 + 1;
                if world.signal(client, number).is_ok() {
                    sent[client].push(number);
                }
            }
            Step::Deliver(client, to_server) => {
                world.deliver(client, to_server);
            }
            Step::Cut(client, a, b) => world.cut(client, a, b),
            Step::Pass(time) => world.pass(ms(time)),
        }
    }
    sent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Wherever connections are cut, everything arrives, once and in order, as long as the sessions
    /// last.
    #[test]
    fn cuts_lose_nothing_double_nothing_and_keep_the_order(
        seed: u64,
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let config = Config { grace: Duration::from_secs(100_000), ..Config::default() };
        let mut world = World::new(config, seed);
        let sent = play(&mut world, &steps);
        world.settle();
        world.pass(ms(5000));
        world.settle();
        prop_assert_eq!(&world.clients[0].numbers(), &sent[1]);
        prop_assert_eq!(&world.clients[1].numbers(), &sent[0]);
        for client in &world.clients {
            prop_assert_eq!((client.joins, client.left, client.refused.len()), (1, 0, 0));
        }
    }

    /// Where sessions end meanwhile, what arrives still arrives once and in order, and who sent the
    /// rest has joined anew since or was told.
    #[test]
    fn what_a_short_grace_loses_is_told(
        seed: u64,
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let config = Config { grace: Duration::from_secs(2), ..Config::default() };
        let mut world = World::new(config, seed);
        let sent = play(&mut world, &steps);
        world.settle();
        world.pass(ms(20_000));
        world.settle();
        for (client, other) in [(0, 1), (1, 0)] {
            let got = world.clients[client].numbers();
            prop_assert!(got.is_sorted() && got.windows(2).all(|two| two[0] != two[1]));
            let lost = sent[other].len() - got.len();
            let Client { refused, joins, .. } = &world.clients[other];
            prop_assert!(*joins > 1 || refused.len() >= lost, "{} lost, {:?}", lost, refused);
        }
    }
}
