//! One client's connection in virtual time, one behaviour each.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use heliograph_base::Time;
use serde_json::{Value, json};
use signal_core::protocol::{CloseCode, ErrorCode, LeaveReason};
use signal_core::{Config, End, Event, FrameText, PeerId, Request, Session, Transmit};
use std::sync::Arc;
use std::time::Duration;
use support::ice;

const HELLO: &str = r#"{"type":"hello","room":"demo"}"#;
const PING: &str = r#"{"type":"ping"}"#;

/// A session and the time it lives in.
struct Script {
    session: Session,
    now: Time,
}

impl Script {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self { session: Session::new(Time::START, Arc::new(config), ice()), now: Time::START }
    }

    fn seated() -> Self {
        let mut script = Self::new();
        script.text(HELLO).expect_join("demo").seat();
        script
    }

    fn at(&mut self, milliseconds: u64) -> &mut Self {
        self.now = Time::after_start(Duration::from_millis(milliseconds));
        self.session.handle_timeout(self.now);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.session.handle_text(self.now, text);
        self
    }

    fn binary(&mut self) {
        self.session.handle_binary(self.now);
    }

    fn sign_of_life(&mut self) {
        self.session.handle_sign_of_life(self.now);
    }

    fn event(&mut self, event: Event) -> &mut Self {
        self.session.handle_event(event);
        self
    }

    fn seat(&mut self) -> &mut Self {
        let peer = PeerId::parse("me").unwrap();
        let welcome = frame();
        self.event(Event::Seated { peer, welcome }).expect_frame()
    }

    fn expect_join(&mut self, room: &str) -> &mut Self {
        let request = self.session.poll_request();
        let Some(Request::Join(join)) = request else { panic!("{request:?}") };
        assert_eq!((join.room.as_str(), join.ice), (room, ice()));
        self
    }

    fn expect_leave(&mut self, reason: LeaveReason) -> &mut Self {
        let request = self.session.poll_request();
        assert!(matches!(request, Some(Request::Leave(found)) if found == reason), "{request:?}");
        self.expect_no_request()
    }

    fn expect_no_request(&mut self) -> &mut Self {
        let request = self.session.poll_request();
        assert!(request.is_none(), "{request:?}");
        self
    }

    fn expect_frame(&mut self) -> &mut Self {
        let transmit = self.session.poll_transmit();
        assert!(matches!(transmit, Some(Transmit::Frame(_))), "{transmit:?}");
        self
    }

    fn expect_ping(&mut self) -> &mut Self {
        let transmit = self.session.poll_transmit();
        assert!(matches!(transmit, Some(Transmit::Ping)), "{transmit:?}");
        self
    }

    fn expect_error(&mut self, code: ErrorCode) -> Value {
        let transmit = self.session.poll_transmit();
        let Some(Transmit::Refusal(found, frame)) = transmit else { panic!("{transmit:?}") };
        assert_eq!(found, code);
        let error = support::json(&frame);
        assert_eq!(error["code"], json!(code));
        error
    }

    fn expect_silence(&mut self) -> &mut Self {
        let transmit = self.session.poll_transmit();
        assert!(transmit.is_none(), "{transmit:?}");
        assert_eq!(self.session.ended(), None);
        self
    }

    fn expect_end(&mut self, end: End) -> &mut Self {
        assert_eq!(self.session.ended(), Some(end));
        assert_eq!(self.session.poll_timeout(), None);
        self
    }

    fn expect_timeout(&mut self, milliseconds: u64) -> &mut Self {
        let at = Time::after_start(Duration::from_millis(milliseconds));
        assert_eq!(self.session.poll_timeout(), Some(at));
        self
    }
}

fn frame() -> FrameText {
    FrameText::encode(&signal_core::protocol::ServerFrame::Pong { id: None })
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
    // The seat that the hub may have given in the meantime is given back.
    script.expect_leave(LeaveReason::Lost);
}

#[test]
fn a_refused_hello_may_be_followed_by_another() {
    let mut script = Script::new();
    script.text(r#"{"type":"hello","room":"demo","id":4}"#).expect_join("demo");
    assert!(!script.session.wants_frames(), "until the hub has answered");
    script.event(Event::Refused { code: ErrorCode::RoomFull, id: Some(4) });
    let error = script.expect_error(ErrorCode::RoomFull);
    assert_eq!((&error["retry"], &error["id"]), (&json!(true), &json!(4)));
    assert!(script.session.wants_frames());
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
    script.expect_leave(LeaveReason::Vanished);
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
        script.event(Event::Refused { code: ErrorCode::NoSuchPeer, id: None });
        script.expect_error(ErrorCode::NoSuchPeer);
    }
    script.expect_silence();
}

#[test]
fn answers_that_nobody_takes_are_bounded() {
    let mut script = Script::seated();
    for _ in 0..256 {
        script.text(PING);
    }
    assert_eq!(script.session.ended(), None);
    script.text(PING).expect_end(End::Close(CloseCode::SlowReader));
    script.expect_leave(LeaveReason::Slow);
}

#[test]
fn each_end_has_its_reason_and_only_the_first_counts() {
    type Ending = fn(&mut Session);
    let endings: [(Ending, End, Option<LeaveReason>); 6] = [
        (Session::handle_closed, End::Closed, Some(LeaveReason::Left)),
        (Session::handle_broken, End::Broken, Some(LeaveReason::Lost)),
        (
            |session| session.close(CloseCode::TooBig),
            End::Close(CloseCode::TooBig),
            Some(LeaveReason::Misbehaved),
        ),
        (
            |session| session.close(CloseCode::NotUtf8),
            End::Close(CloseCode::NotUtf8),
            Some(LeaveReason::Misbehaved),
        ),
        (
            |session| session.handle_event(Event::Close(CloseCode::SlowReader)),
            End::Close(CloseCode::SlowReader),
            Some(LeaveReason::Slow),
        ),
        // The server goes away with everybody in it: nobody is left to be told.
        (|session| session.close(CloseCode::Shutdown), End::Close(CloseCode::Shutdown), None),
    ];
    for (ending, end, reason) in endings {
        let mut script = Script::seated();
        ending(&mut script.session);
        script.session.handle_broken();
        script.expect_end(end);
        match reason {
            Some(reason) => script.expect_leave(reason),
            None => script.expect_no_request(),
        };
        assert!(!script.session.wants_frames());
    }
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
    script.text(r#"{"type":"signal","to":"not an id","data":1,"id":3}"#);
    assert_eq!(script.expect_error(ErrorCode::NoSuchPeer)["id"], 3);
    script.expect_no_request();
}
