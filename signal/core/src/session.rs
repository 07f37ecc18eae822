//! One client's connection, whatever carries it: what it may say when, and when it is over.

use crate::protocol::{
    ClientFrame, ClientMessage, CloseCode, ErrorCode, ErrorFrame, LeaveReason, ServerFrame,
};
use crate::{Config, Event, FrameText, IceUrls, Join, Metadata, PeerId, Request, RoomId, Signal};
use heliograph_base::Time;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::Arc;

/// The state of one client's connection.
///
/// An edge feeds it what the client sends and what the hub says by `handle_*`, drains it by
/// [`poll_request`](Self::poll_request) (for the hub) and, whenever the transport takes more,
/// [`poll_transmit`](Self::poll_transmit) (for the client), and calls
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so. Once
/// it has [ended](Self::ended) it only has requests left to give.
///
/// Between `hello` and its answer it [wants no frames](Self::wants_frames), so that what a client
/// sends on the heels of its `hello` means the same however long the hub takes.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    ice: IceUrls,
    state: State,
    opened: Time,
    last_heard: Time,
    /// When a sign of life was asked for; none, once there was one.
    asked: Option<Time>,
    refusals: u32,
    requests: VecDeque<Request>,
    transmits: VecDeque<Transmit>,
    ended: Option<End>,
}

/// What an edge has to send to its client.
#[derive(Clone, Debug)]
pub enum Transmit {
    /// A text frame.
    Frame(FrameText),
    /// A text frame that refuses a request; its code, to be counted.
    Refusal(ErrorCode, FrameText),
    /// A sign of life is wanted: a WebSocket ping or what the transport has instead.
    Ping,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server ends it: the client is to be told this code.
    Close(CloseCode),
    /// The client closed the connection in order.
    Closed,
    /// The connection broke.
    Broken,
}

#[derive(Debug)]
enum State {
    /// No seat, and none asked for.
    Greeting,
    /// The hub has been asked for a seat.
    Joining,
    /// In a room.
    Seated(PeerId),
}

impl Session {
    /// A connection that has just been opened. `ice` is what it will be told when it gets a seat.
    #[must_use]
    pub fn new(now: Time, config: Arc<Config>, ice: IceUrls) -> Self {
        Self {
            config,
            ice,
            state: State::Greeting,
            opened: now,
            last_heard: now,
            asked: None,
            refusals: 0,
            requests: VecDeque::new(),
            transmits: VecDeque::new(),
            ended: None,
        }
    }

    /// Takes a text frame of the client.
    pub fn handle_text(&mut self, now: Time, text: &str) {
        self.handle_sign_of_life(now);
        if text.len() > self.config.frame_bytes_max {
            return self.close(CloseCode::TooBig);
        }
        match ClientMessage::parse(text) {
            Ok(ClientMessage { id, frame }) => self.handle_frame(id, frame),
            Err(unreadable) => self.refuse(unreadable.code, &unreadable.text, unreadable.id),
        }
    }

    /// Takes note of a binary frame: it is refused.
    pub fn handle_binary(&mut self, now: Time) {
        self.handle_sign_of_life(now);
        self.refuse_plainly(ErrorCode::BinaryFrame, None);
    }

    /// Takes note that the client is alive: something came from it, such as the answer to a ping.
    pub fn handle_sign_of_life(&mut self, now: Time) {
        self.last_heard = now;
        self.asked = None;
    }

    /// Takes what the hub says.
    pub fn handle_event(&mut self, event: Event) {
        if self.ended.is_some() {
            return;
        }
        match event {
            Event::Seated { peer, welcome } => {
                self.state = State::Seated(peer);
                self.transmit(Transmit::Frame(welcome));
            }
            Event::Frame(frame) => self.transmit(Transmit::Frame(frame)),
            Event::Refused { code, id } => {
                if matches!(self.state, State::Joining) {
                    self.state = State::Greeting;
                }
                self.refuse_plainly(code, id);
            }
            Event::Close(code) => self.close(code),
        }
    }

    /// Takes note that the time of [`poll_timeout`](Self::poll_timeout) has come. Does nothing if
    /// it hasn't.
    pub fn handle_timeout(&mut self, now: Time) {
        let due = self.poll_timeout().is_some_and(|timeout| timeout <= now);
        if !due {
            return;
        }
        match (&self.state, self.asked) {
            (State::Greeting | State::Joining, _) => self.close(CloseCode::HelloTimeout),
            (State::Seated(_), Some(_)) => self.close(CloseCode::Vanished),
            (State::Seated(_), None) => {
                self.asked = Some(now);
                self.transmit(Transmit::Ping);
            }
        }
    }

    /// Ends the session from the server's side.
    pub fn close(&mut self, code: CloseCode) {
        self.end(End::Close(code), leave_reason(code));
    }

    /// Takes note that the client closed the connection in order.
    pub fn handle_closed(&mut self) {
        self.end(End::Closed, Some(LeaveReason::Left));
    }

    /// Takes note that the connection broke.
    pub fn handle_broken(&mut self) {
        self.end(End::Broken, Some(LeaveReason::Lost));
    }

    /// Gives out the next request to the hub.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Gives out the next thing to send to the client.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); never, once it has ended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.ended.is_some() {
            return None;
        }
        let Config { hello_timeout, heartbeat_interval, heartbeat_timeout, .. } = *self.config;
        Some(match (&self.state, self.asked) {
            (State::Greeting | State::Joining, _) => self.opened + hello_timeout,
            (State::Seated(_), None) => self.last_heard + heartbeat_interval,
            // Counted from the question: if it is us who slept, the client still has time to
            // answer.
            (State::Seated(_), Some(asked)) => {
                asked + heartbeat_timeout.saturating_sub(heartbeat_interval)
            }
        })
    }

    /// Whether the client's next frame may be handed in now.
    #[must_use]
    pub fn wants_frames(&self) -> bool {
        self.ended.is_none() && !matches!(self.state, State::Joining)
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Option<End> {
        self.ended
    }

    /// The client's peer id, once it has a seat.
    #[must_use]
    pub fn peer(&self) -> Option<&PeerId> {
        match &self.state {
            State::Greeting | State::Joining => None,
            State::Seated(peer) => Some(peer),
        }
    }

    fn handle_frame(&mut self, id: Option<u64>, frame: ClientFrame<'_>) {
        match (&self.state, frame) {
            (State::Greeting, ClientFrame::Hello { room, metadata }) => {
                self.join(id, &room, metadata);
            }
            (State::Greeting, _) => self.refuse_plainly(ErrorCode::HelloFirst, id),
            (State::Joining | State::Seated(_), ClientFrame::Hello { .. }) => {
                self.refuse_plainly(ErrorCode::AlreadyJoined, id);
            }
            (State::Joining | State::Seated(_), ClientFrame::Signal { to, data }) => {
                self.signal(id, &to, data);
            }
            (State::Joining | State::Seated(_), ClientFrame::Leave) => {
                self.close(CloseCode::Normal);
            }
            (State::Joining | State::Seated(_), ClientFrame::Ping) => {
                let pong = FrameText::encode(&ServerFrame::Pong { id });
                self.transmit(Transmit::Frame(pong));
            }
        }
    }

    fn join(&mut self, id: Option<u64>, room: &str, metadata: Option<&RawValue>) {
        let room = match RoomId::parse(room) {
            Ok(room) => room,
            Err(bad) => return self.refuse(ErrorCode::BadRoom, &bad.to_string(), id),
        };
        let metadata = match Metadata::new(metadata, self.config.metadata_bytes_max) {
            Ok(metadata) => metadata,
            Err(bad) => return self.refuse(ErrorCode::BadMetadata, &bad.to_string(), id),
        };
        self.state = State::Joining;
        let ice = self.ice.clone();
        self.requests.push_back(Request::Join(Join { room, metadata, ice, id }));
    }

    fn signal(&mut self, id: Option<u64>, to: &str, data: &RawValue) {
        // What is no id is nobody's id.
        let Ok(to) = PeerId::parse(to) else {
            return self.refuse_plainly(ErrorCode::NoSuchPeer, id);
        };
        self.requests.push_back(Request::Signal(Signal { to, data: data.to_owned(), id }));
    }

    fn refuse_plainly(&mut self, code: ErrorCode, id: Option<u64>) {
        self.refuse(code, advice(code), id);
    }

    fn refuse(&mut self, code: ErrorCode, text: &str, id: Option<u64>) {
        if !code.is_nobodys_fault() {
            self.refusals += 1;
        }
        if self.refusals > self.config.refusals_max {
            return self.close(CloseCode::Misbehaved);
        }
        let error = ErrorFrame { code, text: text.into(), retry: code.retry(), id };
        let frame = FrameText::encode(&ServerFrame::Error(error));
        self.transmit(Transmit::Refusal(code, frame));
    }

    fn transmit(&mut self, transmit: Transmit) {
        if self.transmits.len() >= self.config.outbox_frames_max {
            return self.close(CloseCode::SlowReader);
        }
        self.transmits.push_back(transmit);
    }

    /// Ends it, once; gives the seat back, unless `reason` is none.
    fn end(&mut self, end: End, reason: Option<LeaveReason>) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(end);
        if let (State::Joining | State::Seated(_), Some(reason)) = (&self.state, reason) {
            self.requests.push_back(Request::Leave(reason));
        }
    }
}

/// What the others are told when a member is closed with `code`; nothing if the server goes away
/// with all of them.
fn leave_reason(code: CloseCode) -> Option<LeaveReason> {
    match code {
        CloseCode::Normal => Some(LeaveReason::Left),
        CloseCode::NotWebSocket
        | CloseCode::NotUtf8
        | CloseCode::TooBig
        | CloseCode::Misbehaved => Some(LeaveReason::Misbehaved),
        CloseCode::HelloTimeout => Some(LeaveReason::Lost),
        CloseCode::SlowReader => Some(LeaveReason::Slow),
        CloseCode::Vanished => Some(LeaveReason::Vanished),
        CloseCode::Shutdown => None,
    }
}

/// What an error tells a developer to do.
fn advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::BadFrame => "a frame is one JSON object with a \"type\"",
        ErrorCode::BinaryFrame => "frames are text, not binary",
        ErrorCode::UnknownType => "this server doesn't know the type",
        ErrorCode::MissingField => "a field is missing",
        ErrorCode::BadRoom => "this is no room id",
        ErrorCode::BadMetadata => "metadata is a small JSON object",
        ErrorCode::HelloFirst => "send hello first, and wait for its welcome",
        ErrorCode::AlreadyJoined => {
            "this connection is in a room: open another one for another room"
        }
        ErrorCode::NoSuchPeer => "nobody else in the room has this peer id (any more)",
        ErrorCode::RoomFull => "the room has as many members as it may have",
        ErrorCode::ServerFull => "the server has as many members or rooms as it may have",
        ErrorCode::Unknown => "refused",
    }
}
