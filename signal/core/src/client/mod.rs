//! The client's half of a session, without IO: what it says, what it keeps until that is
//! acknowledged, and when it connects again.
//!
//! - [`Session`]: the state machine; [`Output`] and [`Event`]: what it wants and tells;
//! - [`Config`]: its limits.

mod config;
mod event;
mod numbers;

pub use config::Config;
pub use event::{Event, Loss, Member, NotTaken, Output, Refusal, RoomEvent, Seat};

use crate::protocol::{
    ClientFrame, ClientMessage, CloseCode, Entry, ErrorCode, ErrorFrame, Heartbeat, Limits,
    ServerFrame, ServerMessage, Welcome,
};
use crate::{BadId, PeerId, RoomId, Token};
use heliograph_base::Time;
pub use numbers::Backoff;
use numbers::{Came, Kept, Turn};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::time::Duration;

/// The close code with which a client gives up a connection, but not its session.
pub const GIVEN_UP: u16 = 4900;

/// A seat in a room, held over one connection after another.
///
/// Who has the connections feeds it what happens on the last one by `handle_*`, does what
/// [`poll_output`](Self::poll_output) says after each call, in that order, and calls
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so. For
/// how long a connection may take to open is its own affair.
///
/// When a connection is lost, it asks for another one after a random pause and resumes; what the
/// server then doesn't know of any more it joins anew.
#[derive(Debug)]
pub struct Session {
    config: Config,
    room: RoomId,
    metadata: Option<Box<RawValue>>,
    token: Option<Token>,
    dice: StdRng,
    state: State,
    backoff: Backoff,
    /// By what the next seat is asked for.
    once: u128,
    /// How often it has asked for a session again.
    attempt: u64,
    held: Option<Held>,
    outputs: VecDeque<Output>,
}

/// What is known of the session once there is one.
#[derive(Debug)]
struct Held {
    peer: PeerId,
    name: String,
    key: String,
    heartbeat: Heartbeat,
    limits: Limits,
    kept: Kept,
    came: Came,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection; another one is due.
    Waiting { until: Time },
    /// A connection is being opened.
    Connecting,
    /// It was asked for a seat or for the session.
    Asking { until: Time },
    /// In the room.
    Online {
        since: Time,
        heard: Time,
        /// When a sign of life was asked for; none, once there was one.
        asked: Option<Time>,
    },
    /// Over for good.
    Ended,
}

impl Session {
    /// A session that is to begin at once: the first output asks for a connection.
    ///
    /// `metadata` is what the others are told, a JSON object. `seed` is of good randomness: another
    /// one for each client, and nobody may guess it.
    #[must_use]
    pub fn new(
        config: Config,
        room: RoomId,
        metadata: Option<Box<RawValue>>,
        seed: [u8; 32],
    ) -> Self {
        let mut dice = StdRng::from_seed(seed);
        Self {
            config,
            room,
            metadata,
            once: dice.random(),
            token: None,
            dice,
            state: State::Connecting,
            backoff: Backoff::default(),
            attempt: 0,
            held: None,
            outputs: VecDeque::from([Output::Connect]),
        }
    }

    /// Shows this token when it asks for a seat from now on. A session that goes on shows it at
    /// once, before the one that was shown expires.
    pub fn set_token(&mut self, token: Token) {
        if self.is_online() {
            self.send(ClientFrame::Token { token: token.as_str().into() });
        }
        self.token = Some(token);
    }

    /// Takes note that the connection is open.
    pub fn handle_opened(&mut self, now: Time) {
        if self.state != State::Connecting {
            return;
        }
        self.state = State::Asking { until: now + self.config.answer_timeout };
        let Some(held) = &mut self.held else { return self.say_hello() };
        let seq = held.came.tell_all();
        let (session, key) = (held.name.as_str().into(), held.key.as_str().into());
        self.attempt += 1;
        let attempt = Some(self.attempt);
        let resume = encode(ClientFrame::Resume { session, key, seq, attempt }, None, None);
        self.outputs.push_back(Output::Send(resume));
    }

    /// Takes a text frame of the server.
    pub fn handle_text(&mut self, now: Time, text: &str) {
        self.handle_sign_of_life(now);
        if !matches!(self.state, State::Asking { .. } | State::Online { .. }) {
            return;
        }
        match ServerMessage::parse(text) {
            Ok(message) => {
                if let Err(error) = self.handle_message(now, &message, text.len()) {
                    self.end(Loss::Unreadable(error.to_string()));
                }
            }
            Err(error) => self.end(Loss::Unreadable(error.to_string())),
        }
    }

    /// Takes note that something else came than text frames: why it can't be read.
    pub fn handle_unreadable(&mut self, why: String) {
        if matches!(self.state, State::Asking { .. } | State::Online { .. }) {
            self.end(Loss::Unreadable(why));
        }
    }

    /// Takes note that the server is alive: something came from it, such as a ping.
    pub fn handle_sign_of_life(&mut self, now: Time) {
        if let State::Online { since, .. } = self.state {
            self.state = State::Online { since, heard: now, asked: None };
        }
    }

    /// Takes note that the connection is lost, couldn't be opened, or was closed by the server with
    /// this code.
    pub fn handle_lost(&mut self, now: Time, code: Option<u16>) {
        match (self.state, code) {
            (State::Ended | State::Waiting { .. }, _) => {}
            (_, Some(code)) if !CloseCode::should_reconnect(code) => {
                self.end(Loss::Closed(Some(code)));
            }
            (_, code) => self.wait(now, Loss::Closed(code), Duration::ZERO),
        }
    }

    /// Takes note that the time of [`poll_timeout`](Self::poll_timeout) has come. Does nothing if
    /// it hasn't.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.poll_timeout().is_none_or(|timeout| timeout > now) {
            return;
        }
        match self.state {
            State::Waiting { .. } => self.retry_now(),
            State::Asking { .. } => self.give_up(now, Loss::Silent),
            State::Online { since, heard, asked } => {
                if let Some(ack) = self.due_ack(now) {
                    self.outputs.push_back(Output::Send(encode(ClientFrame::Ack, None, Some(ack))));
                } else if asked.is_some() {
                    self.give_up(now, Loss::Silent);
                } else {
                    self.state = State::Online { since, heard, asked: Some(now) };
                    self.send(ClientFrame::Ping);
                }
            }
            State::Connecting | State::Ended => {}
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match (self.state, &self.held) {
            (State::Waiting { until } | State::Asking { until }, _) => Some(until),
            (State::Online { heard, asked, .. }, Some(held)) => {
                let Heartbeat { interval_s, timeout_s } = held.heartbeat;
                let life = match asked {
                    None => heard + seconds(interval_s),
                    // Counted from the question: if it is us who slept, the server still has time.
                    Some(asked) => asked + seconds(timeout_s.saturating_sub(interval_s)),
                };
                Some(held.came.due().map_or(life, |due| due.min(life)))
            }
            (State::Online { .. } | State::Connecting | State::Ended, _) => None,
        }
    }

    /// Gives out the next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends a signal to another member, now or as soon as there is a connection again. Its number
    /// is that of the [refusal](Event::Refused) if there is one.
    ///
    /// # Errors
    /// [`NotTaken`] says why it will not be sent.
    pub fn signal(&mut self, to: &PeerId, data: Box<RawValue>) -> Result<u64, NotTaken> {
        let Some(held) = self.held.as_mut().filter(|_| self.state != State::Ended) else {
            return Err(NotTaken::NoSession);
        };
        if data.get().len() + ENVELOPE_BYTES_MAX > held.limits.frame_bytes_max {
            return Err(NotTaken::TooLarge);
        }
        let Config { kept_signals_max, kept_bytes_max, .. } = self.config;
        if held.kept.is_full(kept_signals_max, kept_bytes_max) {
            return Err(NotTaken::Full);
        }
        let is_online = matches!(self.state, State::Online { .. });
        let id = held.kept.push(to.clone(), data.clone());
        if is_online {
            let frame = ClientFrame::Signal { to: to.as_str().into(), data: &data };
            let text = encode(frame, Some(id), held.came.news());
            self.outputs.push_back(Output::Send(text));
        }
        Ok(id)
    }

    /// Whether [`signal`](Self::signal) would take one more.
    #[must_use]
    pub fn takes_signals(&self) -> bool {
        let Config { kept_signals_max, kept_bytes_max, .. } = self.config;
        let is_full = |held: &Held| held.kept.is_full(kept_signals_max, kept_bytes_max);
        self.held.as_ref().is_none_or(|held| !is_full(held))
    }

    /// Connects at once instead of after the pause, such as when the network is back.
    pub fn retry_now(&mut self) {
        if matches!(self.state, State::Waiting { .. }) {
            self.state = State::Connecting;
            self.outputs.push_back(Output::Connect);
        }
    }

    /// Gives the seat back. Nothing happens afterwards.
    pub fn leave(&mut self) {
        if matches!(self.state, State::Online { .. }) {
            if let Some(ack) = self.held.as_mut().and_then(|held| held.came.news()) {
                self.outputs.push_back(Output::Send(encode(ClientFrame::Ack, None, Some(ack))));
            }
            self.send(ClientFrame::Leave);
        }
        self.state = State::Ended;
    }

    /// Whether there is a connection on which the session goes on.
    #[must_use]
    pub fn is_online(&self) -> bool {
        matches!(self.state, State::Online { .. })
    }

    /// The client's own peer id, once it has one.
    #[must_use]
    pub fn peer(&self) -> Option<&PeerId> {
        self.held.as_ref().map(|held| &held.peer)
    }

    fn say_hello(&mut self) {
        let (room, metadata) = (self.room.as_str().into(), self.metadata.as_deref());
        let once = Some(format!("{:032x}", self.once).into());
        let token = self.token.as_ref().map_or("", Token::as_str).into();
        let hello = encode(
            ClientFrame::Hello { room, metadata, once, token, entry: Entry::default() },
            None,
            None,
        );
        self.outputs.push_back(Output::Send(hello));
    }

    fn handle_message(
        &mut self,
        now: Time,
        message: &ServerMessage<'_>,
        bytes: usize,
    ) -> Result<(), BadId> {
        if let (Some(held), Some(ack)) = (&mut self.held, message.ack) {
            held.kept.ack(ack);
        }
        match (self.state, &message.frame) {
            (State::Asking { .. }, frame) => self.handle_answer(now, message.seq, frame, bytes),
            (_, ServerFrame::Resync(state)) => self.resync(now, message.seq, state, bytes),
            (_, frame) => match self.take_turn(now, message.seq, bytes) {
                Turn::Next => self.handle_frame(now, frame),
                Turn::Again => Ok(()),
                Turn::TooEarly => {
                    self.give_up(now, Loss::Confused);
                    Ok(())
                }
            },
        }
    }

    /// Takes the answer to `hello` or `resume`.
    fn handle_answer(
        &mut self,
        now: Time,
        seq: Option<u64>,
        frame: &ServerFrame<'_>,
        bytes: usize,
    ) -> Result<(), BadId> {
        match frame {
            ServerFrame::Welcome(welcome) => {
                let came = Came::from(seq.unwrap_or(0), bytes, now + self.config.ack_delay);
                self.held = Some(held(welcome, came)?);
                self.once = self.dice.random();
                self.enter(now);
                self.tell(Event::Joined(Seat::read(welcome)?));
            }
            ServerFrame::Resumed { ack } => {
                self.enter(now);
                self.tell(Event::Resumed);
                self.send_again(*ack);
            }
            ServerFrame::Resync(state) => return self.resync(now, seq, state, bytes),
            ServerFrame::Error(error) => self.handle_refused_entry(now, error),
            ServerFrame::Close { code, .. } => self.handle_lost(now, Some(*code)),
            ServerFrame::Ack { .. }
            | ServerFrame::Token { .. }
            | ServerFrame::Goaway { .. }
            | ServerFrame::Waiting { .. }
            | ServerFrame::Matched { .. }
            | ServerFrame::Expired { .. }
            | ServerFrame::Pong { .. }
            | ServerFrame::Unknown => {}
            ServerFrame::Joined(_)
            | ServerFrame::Away { .. }
            | ServerFrame::Back { .. }
            | ServerFrame::Left { .. }
            | ServerFrame::Presence { .. }
            | ServerFrame::Metadata { .. }
            | ServerFrame::Host { .. }
            | ServerFrame::Broadcast { .. }
            | ServerFrame::State { .. }
            | ServerFrame::Rules(_)
            | ServerFrame::Signal { .. }
            | ServerFrame::Ice(_) => {
                self.end(Loss::Unreadable("something else came before its answer".to_owned()));
            }
        }
        Ok(())
    }

    fn handle_refused_entry(&mut self, now: Time, error: &ErrorFrame<'_>) {
        if error.code == ErrorCode::NoSuchSession && self.held.take().is_some() {
            self.state = State::Asking { until: now + self.config.answer_timeout };
            return self.say_hello();
        }
        let least = Duration::from_millis(error.retry_after_ms.unwrap_or(0)).min(LONGEST_WAIT);
        let loss = Loss::Refused(Refusal::read(error));
        if error.retry {
            self.outputs.push_back(Output::Close(GIVEN_UP));
            self.wait(now, loss, least);
        } else {
            self.end(loss);
        }
    }

    /// The session goes on, but the room is to be learnt anew.
    fn resync(
        &mut self,
        now: Time,
        seq: Option<u64>,
        state: &Welcome<'_>,
        bytes: usize,
    ) -> Result<(), BadId> {
        let came = Came::from(seq.unwrap_or(0), bytes, now + self.config.ack_delay);
        let Some(held) = &mut self.held else { return Ok(()) };
        held.came = came;
        let seat = Seat::read(state)?;
        self.enter(now);
        self.tell(Event::Resync(seat));
        self.send_again(state.ack);
        Ok(())
    }

    fn handle_frame(&mut self, now: Time, frame: &ServerFrame<'_>) -> Result<(), BadId> {
        match frame {
            ServerFrame::Joined(member) => self.tell(Event::PeerJoined(Member::read(member)?)),
            ServerFrame::Away { peer } => self.tell(Event::PeerAway(PeerId::parse(peer)?)),
            ServerFrame::Back { peer } => self.tell(Event::PeerBack(PeerId::parse(peer)?)),
            ServerFrame::Left { peer, reason } => {
                self.tell(Event::PeerLeft { peer: PeerId::parse(peer)?, reason: *reason });
            }
            ServerFrame::Metadata { .. }
            | ServerFrame::Host { .. }
            | ServerFrame::Broadcast { .. }
            | ServerFrame::State { .. }
            | ServerFrame::Rules(_) => {
                if let Some(event) = RoomEvent::read(frame)? {
                    self.tell(Event::Room(event));
                }
            }
            ServerFrame::Presence { changes } => {
                return changes.iter().try_for_each(|change| self.handle_frame(now, change));
            }
            ServerFrame::Signal { from, data } => {
                let from = PeerId::parse(from)?;
                self.tell(Event::Signal { from, data: (*data).to_owned() });
            }
            ServerFrame::Ice(ice) => self.tell(Event::Ice(ice.clone())),
            ServerFrame::Error(error) if is_lost(error.code) => self.give_up(now, Loss::Confused),
            ServerFrame::Error(error) => self.tell(Event::Refused(Refusal::read(error))),
            ServerFrame::Close { code, .. } => self.handle_lost(now, Some(*code)),
            ServerFrame::Welcome(_)
            | ServerFrame::Resumed { .. }
            | ServerFrame::Resync(_)
            | ServerFrame::Ack { .. }
            | ServerFrame::Token { .. }
            // The connection is closed when it is time, and another one then leads elsewhere.
            | ServerFrame::Goaway { .. }
            | ServerFrame::Waiting { .. }
            | ServerFrame::Matched { .. }
            | ServerFrame::Expired { .. }
            | ServerFrame::Pong { .. }
            | ServerFrame::Unknown => {}
        }
        Ok(())
    }

    /// Takes note of a frame's number, and acknowledges if much has come.
    fn take_turn(&mut self, now: Time, seq: Option<u64>, bytes: usize) -> Turn {
        let (Some(held), Some(seq)) = (&mut self.held, seq) else { return Turn::Next };
        let turn = held.came.take(seq, bytes, now + self.config.ack_delay);
        if held.came.is_much(self.config.ack_every, held.limits.unacked_bytes_max / 4) {
            self.send(ClientFrame::Ack);
        }
        turn
    }

    /// The number that is to be told now, if it is time.
    fn due_ack(&mut self, now: Time) -> Option<u64> {
        let held = self.held.as_mut()?;
        held.came.due().filter(|due| *due <= now)?;
        held.came.news()
    }

    fn enter(&mut self, now: Time) {
        self.state = State::Online { since: now, heard: now, asked: None };
    }

    /// Sends what the server doesn't have.
    fn send_again(&mut self, ack: u64) {
        let Some(held) = &mut self.held else { return };
        held.kept.ack(ack);
        for (id, to, data) in held.kept.unacked() {
            let frame = ClientFrame::Signal { to: to.as_str().into(), data };
            self.outputs.push_back(Output::Send(encode(frame, Some(id), None)));
        }
    }

    fn send(&mut self, frame: ClientFrame<'_>) {
        let ack = self.held.as_mut().and_then(|held| held.came.news());
        self.outputs.push_back(Output::Send(encode(frame, None, ack)));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Gives up a connection that may still look open.
    fn give_up(&mut self, now: Time, loss: Loss) {
        self.outputs.push_back(Output::Close(GIVEN_UP));
        self.wait(now, loss, Duration::ZERO);
    }

    /// Waits for the next attempt, for `least` at the shortest.
    fn wait(&mut self, now: Time, loss: Loss, least: Duration) {
        if let State::Online { since, .. } = self.state
            && now.since(since) >= self.config.stable_after
        {
            self.backoff.reset();
        }
        let Config { pause_first, pause_max, .. } = self.config;
        let pause = least + self.backoff.next(pause_first, pause_max, self.dice.random());
        self.state = State::Waiting { until: now + pause };
        self.tell(Event::Lost { loss, pause });
    }

    fn end(&mut self, loss: Loss) {
        self.state = State::Ended;
        self.outputs.push_back(Output::Close(GIVEN_UP));
        self.tell(Event::Ended(loss));
    }
}

/// What a signal's frame has beside its data, at most.
const ENVELOPE_BYTES_MAX: usize = 192;

/// No server may ask for a longer pause.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Whether the server has lost track of the session on this connection.
fn is_lost(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::OutOfOrder | ErrorCode::HelloFirst)
}

fn held(welcome: &Welcome<'_>, came: Came) -> Result<Held, BadId> {
    Ok(Held {
        peer: PeerId::parse(&welcome.peer)?,
        name: welcome.session.to_string(),
        key: welcome.key.to_string(),
        heartbeat: welcome.heartbeat,
        limits: welcome.limits,
        kept: Kept::default(),
        came,
    })
}

fn encode(frame: ClientFrame<'_>, id: Option<u64>, ack: Option<u64>) -> String {
    ClientMessage { id, ack, frame }.encode()
}

/// Seconds as the server says them, at least one and at most an hour.
fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds.clamp(1, 3600))
}
