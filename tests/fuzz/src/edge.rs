//! One client's connection: whatever comes, it stays bounded, ends once, and asks the hub nothing
//! that makes no sense.

use crate::input::Input;
use heliograph_base::Time;
use signal_core::protocol::{ClientFrame, CloseCode, ErrorCode, ServerFrame, ServerMessage};
use signal_core::{
    Config, Detached, Edge, End, Event, FrameText, IceUrls, Numbered, PeerId, Purpose, Request,
    Resume, SessionKey, SessionName, Transmit,
};
use std::sync::Arc;
use std::time::Duration;

/// What a client may say; `#` stands for a number, `@` for a text of the fuzzer's choice.
const TEXTS: [&str; 15] = [
    r#"{"type":"hello","room":"demo"}"#,
    r#"{"type":"hello","room":"@","metadata":{"a":1},"id":#}"#,
    r#"{"type":"hello","room":"demo","metadata":@}"#,
    r#"{"type":"resume","session":"demo:me","key":"AAAAAAAAAAAAAAAAAAAAAA","seq":#}"#,
    r#"{"type":"resume","session":"@","key":"@","seq":#}"#,
    r#"{"type":"signal","to":"bob","data":{"x":1},"id":#,"ack":#}"#,
    r#"{"type":"signal","to":"@","data":@,"id":#}"#,
    r#"{"type":"signal","to":"bob","data":1}"#,
    r#"{"type":"ack","ack":#}"#,
    r#"{"type":"ping","id":#,"ack":#}"#,
    r#"{"type":"leave","ack":#}"#,
    r#"{"type":"@","id":#}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"token","token":"@","id":#}"#,
    "@",
];

const CODES: [CloseCode; 13] = [
    CloseCode::Normal,
    CloseCode::NotWebSocket,
    CloseCode::NotUtf8,
    CloseCode::TooBig,
    CloseCode::HelloTimeout,
    CloseCode::SlowReader,
    CloseCode::Vanished,
    CloseCode::Shutdown,
    CloseCode::Superseded,
    CloseCode::Misbehaved,
    CloseCode::Expired,
    CloseCode::RoomClosed,
    CloseCode::Kicked,
];

/// Runs a program of frames, events and time.
///
/// # Panics
/// If the edge breaks a promise.
pub fn edge(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut watch = Watch::new(&mut input);
    while !input.is_empty() {
        watch.step(&mut input);
        watch.check();
    }
    watch.edge.handle_broken();
    watch.check();
    assert!(watch.edge.ended().is_some() && watch.edge.poll_timeout().is_none());
}

/// An edge and what was seen of it.
struct Watch {
    config: Arc<Config>,
    edge: Edge,
    now: Time,
    stage: Stage,
    ended: Option<End>,
    /// What it may not exceed, as long as it lives.
    refusals: u32,
}

/// What the edge has asked for so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Nothing,
    /// A seat, and there was no answer yet.
    Asked,
    Seated,
    /// Nothing more.
    Over,
}

impl Watch {
    fn new(input: &mut Input<'_>) -> Self {
        let config = Arc::new(Config {
            refusals_max: 5,
            frame_bytes_max: 200,
            unacked_frames_max: 8,
            messages_per_s: 10,
            messages_burst: 20,
            ..Config::default()
        });
        let ice = Arc::new(IceUrls::default());
        let edge = match input.choose(&[0, 1, 2, 3]) {
            0 => {
                let name = SessionName::parse("demo:me").expect("it is one");
                let key = SessionKey::from_random([1; 16]);
                let purpose = Purpose::Listen { seq: 1, ice, is_oneway: false };
                let resume = Resume { name, key, attempt: None, purpose, id: None };
                Edge::resuming(Time::START, config.clone(), resume)
            }
            _ => Edge::new(Time::START, config.clone(), ice),
        };
        let (now, stage) = (Time::START, Stage::Nothing);
        let mut watch = Self { config, edge, now, stage, ended: None, refusals: 0 };
        watch.check();
        watch
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..6 => self.text(input),
            6 if self.edge.wants_frames() => self.edge.handle_binary(self.now),
            6 => {}
            7 => self.event(input),
            8 => self.answer(input),
            9 | 10 => self.pass(Duration::from_millis(u64::from(input.word() % 10_000))),
            11 if input.byte().is_multiple_of(8) => self.edge.handle_goaway(9, None),
            11 => self.edge.handle_sign_of_life(self.now),
            12 | 13 => self.drain(),
            14 => match input.byte() % 4 {
                0 => self.edge.handle_closed(None),
                1 => self.edge.handle_closed(Some(input.word())),
                2 => self.edge.handle_broken(),
                _ => self.edge.handle_done(),
            },
            _ => self.edge.close(input.choose(&CODES)),
        }
    }

    fn text(&mut self, input: &mut Input<'_>) {
        let mut text = input.choose(&TEXTS).to_owned();
        while text.contains('#') {
            text = text.replacen('#', &input.byte().to_string(), 1);
        }
        while text.contains('@') {
            let length = usize::from(input.byte());
            let chosen = String::from_utf8_lossy(input.bytes(length)).replace(['@', '#'], "");
            text = text.replacen('@', &chosen, 1);
        }
        if self.edge.wants_frames() {
            self.edge.handle_text(self.now, &text);
            let is_too_big = text.len() > self.config.frame_bytes_max;
            assert!(!is_too_big || self.edge.ended() == Some(End::Close(CloseCode::TooBig)));
        }
    }

    /// What a hub may say at any time.
    fn event(&mut self, input: &mut Input<'_>) {
        let id = Some(u64::from(input.byte()));
        self.edge.handle_event(match input.byte() % 8 {
            0..6 if self.stage == Stage::Seated => {
                let frame = FrameText::encode(&ServerFrame::Pong { id });
                Event::Frame(Numbered { seq: id, ack: id, frame })
            }
            // While it has asked for a seat this would be the answer.
            0..7 if self.stage != Stage::Asked => {
                Event::Refused { code: ErrorCode::NoSuchPeer, text: None, id, retry_after: None }
            }
            _ => Event::Close(input.choose(&CODES)),
        });
    }

    /// What a hub says when it is asked for a seat.
    fn answer(&mut self, input: &mut Input<'_>) {
        if self.stage != Stage::Asked {
            return;
        }
        if input.byte().is_multiple_of(4) {
            self.stage = Stage::Nothing;
            let (code, retry_after) = (ErrorCode::RateLimited, Some(Duration::from_millis(20)));
            self.edge.handle_event(Event::Refused { code, text: None, id: None, retry_after });
        } else {
            self.stage = Stage::Seated;
            let peer = PeerId::parse("me").expect("it is one");
            self.edge.handle_event(Event::Seated { peer: peer.clone() });
            assert!(self.edge.ended().is_some() || self.edge.peer() == Some(&peer));
        }
    }

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.edge.handle_timeout(self.now);
        assert!(self.edge.poll_timeout().is_none_or(|due| due > self.now), "it has done its work");
    }

    fn drain(&mut self) {
        let transmits: Vec<_> = std::iter::from_fn(|| self.edge.poll_transmit()).collect();
        assert!(transmits.len() <= self.config.transmits_max(), "{}", transmits.len());
        for transmit in transmits {
            match transmit {
                Transmit::Frame(frame) => {
                    ServerMessage::parse(frame.text().as_str()).expect("a frame");
                }
                Transmit::Refusal(code, frame) => {
                    let message = ServerMessage::parse(frame.as_str()).expect("a frame");
                    let ServerFrame::Error(error) = message.frame else { panic!("{frame:?}") };
                    assert_eq!(error.code, code);
                    self.count_refusal(code);
                }
                Transmit::Ping => assert_eq!(self.stage_or_over(), Stage::Seated),
            }
        }
    }

    fn count_refusal(&mut self, code: ErrorCode) {
        self.refusals += u32::from(!code.is_nobodys_fault());
        assert!(self.refusals <= self.config.refusals_max, "{} refusals", self.refusals);
    }

    /// Only who has a seat, or had one, was asked for a sign of life.
    fn stage_or_over(&self) -> Stage {
        if self.stage == Stage::Over { Stage::Seated } else { self.stage }
    }

    /// It ends once, and all that it asks for makes sense.
    fn check(&mut self) {
        while let Some(request) = self.edge.poll_request() {
            self.check_request(&request);
        }
        let ended = self.edge.ended();
        assert!(self.ended.is_none() || self.ended == ended, "it ends once");
        self.ended = ended;
        assert_eq!(ended.is_none(), self.edge.poll_timeout().is_some());
        assert!(ended.is_none() || !self.edge.wants_frames());
        let is_left_to_die = ended == Some(End::Close(CloseCode::Shutdown));
        let has_seat = matches!(self.stage, Stage::Asked | Stage::Seated);
        assert!(ended.is_none() || is_left_to_die || !has_seat, "the hub knows of the end");
    }

    fn check_request(&mut self, request: &Request) {
        let stage = self.stage;
        match request {
            Request::Join(_) | Request::Resume(_) => {
                assert_eq!(stage, Stage::Nothing);
                self.stage = Stage::Asked;
            }
            Request::Ack(_)
            | Request::Renew(_)
            | Request::Room(_)
            | Request::Report(_)
            | Request::Diagnose(_) => {
                assert_eq!(stage, Stage::Seated);
            }
            Request::Signal(signal) => {
                assert_eq!(stage, Stage::Seated);
                let (to, data) = (signal.to.as_str().into(), &*signal.data);
                let frame = ClientFrame::Signal { to, data };
                assert!(format!("{frame:?}").len() <= 2 * self.config.frame_bytes_max);
            }
            Request::Unreadable { code, .. } => {
                assert_eq!(stage, Stage::Seated);
                self.count_refusal(*code);
            }
            Request::Leave(_) | Request::Detach(Detached::Lost | Detached::Vanished) => {
                assert!(matches!(stage, Stage::Asked | Stage::Seated), "{stage:?}");
                self.stage = Stage::Over;
            }
            Request::Detach(Detached::Between) => {
                assert!(matches!(stage, Stage::Asked | Stage::Seated), "{stage:?}");
                self.stage = Stage::Over;
            }
        }
    }
}
