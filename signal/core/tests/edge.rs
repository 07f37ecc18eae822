//! One client's connection in virtual time, one behaviour each.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use heliograph_base::Time;
use serde_json::{Value, json};
use signal_core::matchmaking::Status;
use signal_core::protocol::{CloseCode, ErrorCode, LeaveReason};
use signal_core::{
    Config, Detached, Edge, End, Event, FrameText, MatchLimits, Numbered, PeerId, Purpose, Request,
    RoomId, Transmit,
};
use std::sync::Arc;
use std::time::Duration;
use support::ice;

const HELLO: &str = r#"{"type":"hello","room":"demo"}"#;
const PING: &str = r#"{"type":"ping"}"#;

/// An edge and the time it lives in.
struct Script {
    edge: Edge,
    now: Time,
}

impl Script {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self { edge: Edge::new(Time::START, Arc::new(config), ice()), now: Time::START }
    }

    fn seated() -> Self {
        let mut script = Self::new();
        script.text(HELLO).expect_join("demo").seat();
        script
    }

    fn at(&mut self, milliseconds: u64) -> &mut Self {
        self.now = Time::after_start(Duration::from_millis(milliseconds));
        self.edge.handle_timeout(self.now);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.edge.handle_text(self.now, text);
        self
    }

    fn binary(&mut self) {
        self.edge.handle_binary(self.now);
    }

    fn sign_of_life(&mut self) {
        self.edge.handle_sign_of_life(self.now);
    }

    fn event(&mut self, event: Event) -> &mut Self {
        self.edge.handle_event(event);
        self
    }

    fn seat(&mut self) -> &mut Self {
        let peer = PeerId::parse("me").unwrap();
        self.event(Event::Seated { peer }).event(Event::Frame(frame())).expect_frame()
    }

    fn expect_join(&mut self, room: &str) -> &mut Self {
        let request = self.edge.poll_request();
        let Some(Request::Join(join)) = request else { panic!("{request:?}") };
        assert_eq!((join.room.as_str(), join.ice), (room, ice()));
        self
    }

    fn expect_leave(&mut self, reason: LeaveReason) -> &mut Self {
        let request = self.edge.poll_request();
        assert!(matches!(request, Some(Request::Leave(found)) if found == reason), "{request:?}");
        self.expect_no_request()
    }

    fn expect_detach(&mut self, how: Detached) -> &mut Self {
        let request = self.edge.poll_request();
        assert!(matches!(request, Some(Request::Detach(found)) if found == how), "{request:?}");
        self.expect_no_request()
    }

    fn expect_ack(&mut self, seq: u64) -> &mut Self {
        let request = self.edge.poll_request();
        assert!(matches!(request, Some(Request::Ack(found)) if found == seq), "{request:?}");
        self
    }

    fn expect_unreadable(&mut self, wanted: u64, is: ErrorCode) -> &mut Self {
        let request = self.edge.poll_request();
        let Some(Request::Unreadable { id, code, .. }) = request else { panic!("{request:?}") };
        assert_eq!((id, code), (wanted, is));
        self
    }

    fn expect_no_request(&mut self) -> &mut Self {
        let request = self.edge.poll_request();
        assert!(request.is_none(), "{request:?}");
        self
    }

    fn expect_frame(&mut self) -> &mut Self {
        let transmit = self.edge.poll_transmit();
        assert!(matches!(transmit, Some(Transmit::Frame(_))), "{transmit:?}");
        self
    }

    fn expect_ping(&mut self) -> &mut Self {
        let transmit = self.edge.poll_transmit();
        assert!(matches!(transmit, Some(Transmit::Ping)), "{transmit:?}");
        self
    }

    fn expect_error(&mut self, code: ErrorCode) -> Value {
        let transmit = self.edge.poll_transmit();
        let Some(Transmit::Refusal(found, frame)) = transmit else { panic!("{transmit:?}") };
        assert_eq!(found, code);
        let error = support::json(&frame);
        assert_eq!(error["code"], json!(code));
        error
    }

    fn expect_silence(&mut self) -> &mut Self {
        let transmit = self.edge.poll_transmit();
        assert!(transmit.is_none(), "{transmit:?}");
        assert_eq!(self.edge.ended(), None);
        self
    }

    fn expect_end(&mut self, end: End) -> &mut Self {
        assert_eq!(self.edge.ended(), Some(end));
        assert_eq!(self.edge.poll_timeout(), None);
        self
    }

    fn expect_timeout(&mut self, milliseconds: u64) -> &mut Self {
        let at = Time::after_start(Duration::from_millis(milliseconds));
        assert_eq!(self.edge.poll_timeout(), Some(at));
        self
    }
}

fn frame() -> Numbered {
    let frame = FrameText::encode(&signal_core::protocol::ServerFrame::Pong { id: None });
    Numbered { seq: Some(1), ack: None, frame }
}

#[test]
fn hello_is_due_within_five_seconds_however_often_it_is_refused() {
    let mut script = Script::new();
    script.expect_timeout(5000).at(4999).text("{}");
    script.expect_error(ErrorCode::MissingField);
    script.expect_timeout(5000).at(4999).expect_silence();
    script.at(5000).expect_end(End::Close(CloseCode::HelloTimeout)).expect_no_request();
}

#[test]
fn a_hub_that_does_not_answer_counts_as_no_hello() {
    let mut script = Script::new();
    script.text(HELLO).expect_join("demo");
    script.at(5000).expect_end(End::Close(CloseCode::HelloTimeout));
    // The seat that the hub may have given in the meantime isn't kept for ever.
    script.expect_detach(Detached::Lost);
}

#[test]
fn a_refused_hello_may_be_followed_by_another() {
    let mut script = Script::new();
    script.text(r#"{"type":"hello","room":"demo","id":4}"#).expect_join("demo");
    assert!(!script.edge.wants_frames(), "until the hub has answered");
    script.event(Event::Refused {
        code: ErrorCode::RoomFull,
        text: None,
        id: Some(4),
        retry_after: None,
    });
    let error = script.expect_error(ErrorCode::RoomFull);
    assert_eq!((&error["retry"], &error["id"]), (&json!(true), &json!(4)));
    assert!(script.edge.wants_frames());
    script.text(r#"{"type":"hello","room":"other"}"#).expect_join("other").seat();
}

#[test]
fn room_ids_and_metadata_are_checked_before_anybody_sees_them() {
    let hello =
        |metadata: &str| format!(r#"{{"type":"hello","room":"demo","metadata":{metadata}}}"#);
    let mut script = Script::new();
    for room in ["a b", "ä", &"x".repeat(65)] {
        script.text(&format!(r#"{{"type":"hello","room":"{room}"}}"#));
        script.expect_error(ErrorCode::BadRoom);
    }
    let sized = |bytes: usize| format!(r#"{{"x":"{}"}}"#, "y".repeat(bytes - 8));
    for bad in ["7", "[]", "\"{}\"", "true", &sized(1025)] {
        script.text(&hello(bad));
        script.expect_error(ErrorCode::BadMetadata);
    }
    script.expect_no_request();
    for good in ["null", "{}", &sized(1024)] {
        let mut script = Script::new();
        script.text(&hello(good)).expect_join("demo");
    }
}

#[test]
fn only_hello_comes_first() {
    let mut script = Script::new();
    for text in [PING, r#"{"type":"leave"}"#, r#"{"type":"signal","to":"x","data":1}"#] {
        script.text(text);
        script.expect_error(ErrorCode::HelloFirst);
    }
    script.expect_no_request();
}

#[test]
fn leave_gives_the_seat_back() {
    let mut script = Script::seated();
    script.text(r#"{"type":"leave"}"#).expect_end(End::Close(CloseCode::Normal));
    script.expect_leave(LeaveReason::Left);
}

#[test]
fn a_silent_client_is_asked_after_four_seconds_and_gone_after_nine() {
    let mut script = Script::seated();
    script.expect_timeout(4000).at(3999).expect_silence();
    script.at(4000).expect_ping().expect_timeout(9000).at(8999).expect_silence();
    script.at(9000).expect_end(End::Close(CloseCode::Vanished));
    script.expect_detach(Detached::Vanished);
}

#[test]
fn any_frame_is_a_sign_of_life() {
    let mut script = Script::seated();
    script.at(4000).expect_ping();
    script.at(8000).sign_of_life();
    script.expect_timeout(12_000).at(12_000).expect_ping();
    script.at(16_000).text("junk").expect_error(ErrorCode::BadFrame);
    script.expect_timeout(20_000).at(20_000).expect_ping();
    script.at(24_000).binary();
    script.expect_error(ErrorCode::BinaryFrame);
    script.expect_timeout(28_000);
}

#[test]
fn a_server_that_slept_asks_before_it_gives_clients_up() {
    let mut script = Script::seated();
    script.at(60_000).expect_ping().expect_silence();
    script.expect_timeout(65_000).at(65_000).expect_end(End::Close(CloseCode::Vanished));
}

#[test]
fn the_sixty_fifth_refusal_closes() {
    let mut script = Script::seated();
    for _ in 0..64 {
        script.text("junk").expect_error(ErrorCode::BadFrame);
    }
    script.text("junk").expect_end(End::Close(CloseCode::Misbehaved));
    script.expect_leave(LeaveReason::Misbehaved);
}

#[test]
fn refusals_that_are_nobodys_fault_do_not_count() {
    let mut script = Script::seated();
    for _ in 0..1000 {
        script.event(Event::Refused {
            code: ErrorCode::NoSuchPeer,
            text: None,
            id: None,
            retry_after: None,
        });
        script.expect_error(ErrorCode::NoSuchPeer);
    }
    script.expect_silence();
}

#[test]
fn answers_that_nobody_takes_are_bounded() {
    let mut script = Script::seated();
    for _ in 0..512 {
        script.text(PING);
    }
    assert_eq!(script.edge.ended(), None);
    script.text(PING).expect_end(End::Close(CloseCode::SlowReader));
    script.expect_leave(LeaveReason::Slow);
}

#[test]
fn each_end_has_its_farewell_and_only_the_first_counts() {
    type Ending = fn(&mut Edge);
    let has_left = Request::Leave(LeaveReason::Left);
    let is_lost = Request::Detach(Detached::Lost);
    let misbehaved = Request::Leave(LeaveReason::Misbehaved);
    let close = |code| End::Close(code);
    let endings: [(Ending, End, Option<Request>); 10] = [
        (|edge| edge.handle_closed(None), End::Closed, Some(has_left.clone())),
        (|edge| edge.handle_closed(Some(1001)), End::Closed, Some(has_left)),
        (|edge| edge.handle_closed(Some(3000)), End::Closed, Some(is_lost.clone())),
        (|edge| edge.handle_closed(Some(4900)), End::Closed, Some(is_lost.clone())),
        (Edge::handle_broken, End::Broken, Some(is_lost.clone())),
        (|edge| edge.close(CloseCode::TooBig), close(CloseCode::TooBig), Some(misbehaved.clone())),
        (|edge| edge.close(CloseCode::NotUtf8), close(CloseCode::NotUtf8), Some(misbehaved)),
        (
            |edge| edge.handle_event(Event::Close(CloseCode::SlowReader)),
            close(CloseCode::SlowReader),
            Some(Request::Leave(LeaveReason::Slow)),
        ),
        (
            |edge| edge.handle_event(Event::Close(CloseCode::Superseded)),
            close(CloseCode::Superseded),
            Some(is_lost),
        ),
        // The server goes away with everybody in it: nobody is left to be told.
        (|edge| edge.close(CloseCode::Shutdown), close(CloseCode::Shutdown), None),
    ];
    for (ending, end, farewell) in endings {
        let mut script = Script::seated();
        ending(&mut script.edge);
        script.edge.handle_broken();
        script.expect_end(end);
        let request = script.edge.poll_request();
        assert_eq!(format!("{request:?}"), format!("{farewell:?}"));
        script.expect_no_request();
        assert!(!script.edge.wants_frames());
    }
}

#[test]
fn a_resume_names_the_session_and_waits_for_the_answer() {
    let key = signal_core::SessionKey::from_random([5; 16]).text();
    let mut script = Script::new();
    script.text(&format!(r#"{{"type":"resume","session":"demo:me","key":"{key}","seq":7}}"#));
    let request = script.edge.poll_request();
    let Some(Request::Resume(resume)) = request else { panic!("{request:?}") };
    assert_eq!(resume.name.to_string(), "demo:me");
    assert_eq!(resume.purpose, Purpose::Listen { seq: 7, ice: ice(), is_oneway: false });
    assert!(!script.edge.wants_frames());
    script.event(Event::Refused {
        code: ErrorCode::NoSuchSession,
        text: None,
        id: None,
        retry_after: None,
    });
    script.expect_error(ErrorCode::NoSuchSession);
    script.text(HELLO).expect_join("demo").seat();
}

#[test]
fn what_is_no_session_or_key_is_refused_without_asking_the_hub() {
    let mut script = Script::new();
    for (session, key) in [("demo", "x"), ("demo:me", "short"), ("a b:me", "x"), (":", "x")] {
        let resume = json!({"type": "resume", "session": session, "key": key, "seq": 0});
        script.text(&resume.to_string());
        script.expect_error(ErrorCode::NoSuchSession);
    }
    script.expect_no_request();
}

#[test]
fn what_tells_tries_apart_is_long_enough_not_to_be_met_twice() {
    for bad in ["", "short", "fifteen-letters", "no spaces allowed in it", &"x".repeat(65)] {
        let hello = format!(r#"{{"type":"hello","room":"demo","once":"{bad}"}}"#);
        Script::new().text(&hello).expect_error(ErrorCode::BadFrame);
    }
    let mut script = Script::new();
    script.text(r#"{"type":"hello","room":"demo","once":"sixteen-letters."}"#);
    let request = script.edge.poll_request();
    assert!(matches!(&request, Some(Request::Join(it)) if it.once.is_some()), "{request:?}");
}

#[test]
fn any_frame_may_acknowledge() {
    let mut script = Script::seated();
    script.text(r#"{"type":"ack","ack":7}"#).expect_ack(7).expect_no_request();
    script.text(r#"{"type":"ping","ack":8}"#).expect_ack(8).expect_no_request();
    script.text(r#"{"type":"signal","to":"bob","data":1,"ack":9}"#);
    let request = script.edge.poll_request();
    assert!(matches!(&request, Some(Request::Signal(it)) if it.ack == Some(9)), "{request:?}");
    script.expect_no_request();
    script.text(r#"{"type":"signal","to":"no id","data":1,"id":1,"ack":10}"#).expect_ack(10);
    script.expect_unreadable(1, ErrorCode::NoSuchPeer);
    let mut script = Script::seated();
    script.text(r#"{"type":"leave","ack":10}"#).expect_ack(10).expect_leave(LeaveReason::Left);
}

#[test]
fn a_numbered_request_that_cannot_be_read_is_counted_by_the_hub() {
    let mut script = Script::seated();
    script.text(r#"{"type":"dance","id":1}"#).expect_unreadable(1, ErrorCode::UnknownType);
    script.text(r#"{"type":"signal","to":"bob","id":2}"#);
    script.expect_unreadable(2, ErrorCode::MissingField).expect_silence();
    for id in 3..=64 {
        script.text(&format!(r#"{{"type":"dance","id":{id}}}"#));
        script.expect_unreadable(id, ErrorCode::UnknownType);
    }
    script.text(r#"{"type":"dance","id":65}"#).expect_end(End::Close(CloseCode::Misbehaved));
}

#[test]
fn a_client_that_sends_more_than_it_may_is_not_read_from_for_a_while() {
    let config = Config { messages_per_s: 10, messages_burst: 3, ..Config::default() };
    let mut script = Script::with(config);
    script.text(HELLO).expect_join("demo").seat();
    for _ in 0..2 {
        script.text(PING).expect_frame();
        assert!(script.edge.wants_frames());
    }
    // What is there already isn't lost.
    script.text(PING).expect_frame();
    assert!(!script.edge.wants_frames());
    script.expect_timeout(100).at(99);
    assert!(!script.edge.wants_frames());
    script.at(100);
    assert!(script.edge.wants_frames());
    script.expect_timeout(4000);
}

#[test]
fn signs_of_life_are_paced_too() {
    let config = Config { messages_per_s: 10, messages_burst: 3, ..Config::default() };
    let mut script = Script::with(config);
    script.text(HELLO).expect_join("demo").seat();
    for _ in 0..2 {
        script.sign_of_life();
        assert!(script.edge.wants_frames());
    }
    script.sign_of_life();
    assert!(!script.edge.wants_frames());
    script.expect_timeout(100).at(100);
    assert!(script.edge.wants_frames());
}

#[test]
fn who_answers_pings_and_pings_each_second_is_never_slowed_down() {
    let mut script = Script::seated();
    for second in 1..=3600 {
        script.at(1000 * second).sign_of_life();
        script.sign_of_life();
        assert!(script.edge.wants_frames(), "after {second} s");
    }
}

#[test]
fn bytes_are_paced_too() {
    let config = Config { bytes_per_s: 1000, bytes_burst: 100, ..Config::default() };
    let mut script = Script::with(config);
    script.text(HELLO).expect_join("demo").seat();
    script.text(&format!("{PING}{}", " ".repeat(300 - PING.len()))).expect_frame();
    assert!(!script.edge.wants_frames());
    script.expect_timeout(200 + HELLO.len() as u64).at(200 + HELLO.len() as u64);
    assert!(script.edge.wants_frames());
}

#[test]
fn a_frame_over_the_limit_closes_whatever_the_transport_let_through() {
    let mut script = Script::with(Config { frame_bytes_max: 100, ..Config::default() });
    script.text(&format!("{PING}{}", " ".repeat(100 - PING.len())));
    script.expect_error(ErrorCode::HelloFirst);
    script.text(&" ".repeat(101)).expect_end(End::Close(CloseCode::TooBig));
}

#[test]
fn a_signal_to_what_is_no_id_is_refused_without_asking_the_hub() {
    let mut script = Script::seated();
    script.text(r#"{"type":"signal","to":"not an id","data":1}"#);
    script.expect_error(ErrorCode::NoSuchPeer);
    script.expect_no_request();
    script.text(r#"{"type":"signal","to":"not an id","data":1,"id":3}"#);
    script.expect_unreadable(3, ErrorCode::NoSuchPeer).expect_silence();
}

const MATCH: &str = r#"{"type":"match","ticket":{"queue":"chess","size":2},"id":7}"#;

/// An edge whose ticket waits.
fn matching() -> Script {
    let mut script = Script::new();
    script.edge = script.edge.with_matchmaking(Arc::new(MatchLimits::default()));
    script.text(MATCH).expect_no_request();
    let (id, ticket) = script.edge.poll_ticket().unwrap();
    assert_eq!((id, &*ticket.queue), (Some(7), "chess"));
    assert!(script.edge.poll_ticket().is_none(), "once");
    script.edge.handle_ticket(script.now, &Status::Waiting { expires_in_s: 60 });
    assert_eq!(sent(&mut script), json!({"type": "waiting", "expires_in_s": 60, "id": 7}));
    script
}

fn sent(script: &mut Script) -> Value {
    let transmit = script.edge.poll_transmit();
    let Some(Transmit::Frame(frame)) = transmit else { panic!("{transmit:?}") };
    serde_json::from_str(frame.text().as_str()).unwrap()
}

#[test]
fn who_finds_a_match_has_time_for_a_hello() {
    let mut script = matching();
    for second in 1..20 {
        script.at(second * 3000).sign_of_life();
        assert_eq!(script.edge.ended(), None, "no hello is due while a ticket waits");
    }
    let (room, seats) = (RoomId::parse("meet").unwrap(), vec![1]);
    script.edge.handle_ticket(script.now, &Status::Matched { room, players: 2, seats });
    let expected = json!({"type": "matched", "room": "meet", "players": 2, "seats": [1], "id": 7});
    assert_eq!(sent(&mut script), expected);
    script.at(57_000 + 4999).text(HELLO).expect_join("demo");

    let mut script = matching();
    script.at(3000);
    script.edge.handle_ticket(script.now, &Status::Expired);
    assert_eq!(sent(&mut script), json!({"type": "expired", "id": 7}));
    script.at(7999).text(MATCH);
    assert!(script.edge.poll_ticket().is_some(), "it may try again");

    let mut script = matching();
    script.edge.handle_ticket(script.now, &Status::Expired);
    script.at(5000).expect_end(End::Close(CloseCode::HelloTimeout)).expect_no_request();
}

#[test]
fn a_silent_client_is_gone_though_its_ticket_waits() {
    let mut script = matching();
    script.at(4000);
    assert!(matches!(script.edge.poll_transmit(), Some(Transmit::Ping)));
    script.at(9000).expect_end(End::Close(CloseCode::Vanished)).expect_no_request();
    script.edge.handle_ticket(script.now, &Status::Expired);
    assert!(script.edge.poll_transmit().is_none(), "nothing follows the end");
}

#[test]
fn a_ticket_of_a_connection_that_has_ended_goes_nowhere() {
    let mut script = Script::new();
    script.edge = script.edge.with_matchmaking(Arc::new(MatchLimits::default()));
    script.text(MATCH).edge.handle_broken();
    assert!(script.edge.poll_ticket().is_none());
}

#[test]
fn while_a_ticket_waits_only_ping_is_answered() {
    let mut script = matching();
    script.text(PING);
    assert_eq!(sent(&mut script), json!({"type": "pong"}));
    for early in [HELLO, MATCH, r#"{"type":"leave"}"#] {
        script.text(early).expect_error(ErrorCode::HelloFirst);
        script.expect_no_request();
        assert!(script.edge.poll_ticket().is_none());
    }
}

#[test]
fn a_refused_ticket_may_be_followed_by_another() {
    let mut script = Script::new();
    script.edge = script.edge.with_matchmaking(Arc::new(MatchLimits::default()));
    script.text(r#"{"type":"match","ticket":{"queue":"chess"}}"#);
    script.expect_error(ErrorCode::BadTicket);
    script.text(MATCH);
    let (id, _) = script.edge.poll_ticket().unwrap();
    script.event(Event::Refused { code: ErrorCode::ServerFull, text: None, id, retry_after: None });
    script.expect_error(ErrorCode::ServerFull);
    script.text(MATCH);
    assert!(script.edge.poll_ticket().is_some());
}

#[test]
fn what_takes_no_tickets_says_so() {
    let mut script = Script::new();
    script.text(MATCH).expect_error(ErrorCode::BadTicket);
    assert!(script.edge.poll_ticket().is_none());
    let mut script = Script::seated();
    script.text(MATCH).expect_error(ErrorCode::AlreadyJoined);
}
