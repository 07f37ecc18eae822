//! The client's half of a session, without IO: what it says, what it keeps until that is
//! acknowledged, and when it connects again.
//!
//! - [`Session`]: the state machine; [`Output`] and [`Event`]: what it wants and tells;
//! - [`Transport`]: what carries it; [`HttpLine`]: how it goes without a WebSocket;
//! - [`Request`]: what it can ask of the room; [`RoomInfo`]: what it learns of it;
//! - [`RoomSearch`], [`MakeRoom`], [`Ticket`]: what can be asked for without a seat, by a
//!   [`Question`];
//! - [`Config`]: its limits.

mod config;
mod event;
mod http;
mod incoming;
mod ladder;
mod lobby;
mod numbers;
mod request;
mod room;
mod sse;
mod ticket;

pub use config::Config;
pub use event::{Event, Loss, Member, NotTaken, Output, Refusal, RoomEvent, Seat};

use crate::protocol::{
    ClientFrame, ClientMessage, CloseCode, Entry, Heartbeat, Limits, Link, ServerMessage,
};
use crate::{PeerId, RoomId, Token};
use heliograph_base::Time;
pub use http::{HttpLine, HttpOutput, HttpRequest, Method};
use ladder::Ladder;
pub use ladder::Transport;
pub use lobby::{BadAnswer, History, MakeRoom, PublicRoom, Question, RoomSearch};
pub use numbers::Backoff;
use numbers::{Came, Kept, Turn};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
pub use request::{Recipients, Request};
pub use room::{RoomInfo, RoomState, VersionedState};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::VecDeque;
use std::time::Duration;
pub use ticket::{Condition, Match, PostedTicket, Property, Relax, Ticket, TicketStatus, Wish};

/// The close code with which a client gives up a connection, but not its session.
pub const GIVEN_UP: u16 = 4900;

/// The ids of questions outside the row begin here, so that they can't be taken for one in it.
const FREE_IDS: u64 = 1 << 52;

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
    /// The number under which a newer token was shown to the session, or is to be, as long as the
    /// server hasn't answered.
    showing: Option<u64>,
    entry: HeldEntry,
    dice: StdRng,
    state: State,
    ladder: Ladder,
    backoff: Backoff,
    /// By what the next seat is asked for.
    once: u128,
    /// How often it has asked for a session again.
    attempt: u64,
    /// How many questions it has asked beside those that are kept.
    asked: u64,
    /// Whether the server knows reports: one that doesn't isn't to be bothered by more of them.
    takes_reports: bool,
    held: Option<Held>,
    outputs: VecDeque<Output>,
}

/// What is shown with each `hello` to a room with rules.
#[derive(Debug, Default)]
struct HeldEntry {
    create: Option<Box<RawValue>>,
    password: Option<String>,
    /// The number of the last event that the client knows, if it wants those behind it.
    after: Option<u64>,
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
            showing: None,
            entry: HeldEntry::default(),
            dice,
            state: State::Connecting,
            ladder: Ladder::default(),
            backoff: Backoff::default(),
            attempt: 0,
            asked: 0,
            takes_reports: true,
            held: None,
            outputs: VecDeque::from([Output::Connect(Transport::WebSocket)]),
        }
    }

    /// Shows this token when it asks for a seat from now on. A session that goes on shows it too,
    /// as soon as there is a connection: to be said before the one that was shown expires. The
    /// [answer](Event::TokenTaken), or the [refusal](Event::Refused), has the number given back.
    pub fn set_token(&mut self, token: Token) -> u64 {
        let id = self.next_question();
        (self.token, self.showing) = (Some(token), Some(id));
        if self.is_online() {
            self.show_token();
        }
        id
    }

    /// Shows this when it asks for a seat: `create`, the room's
    /// [`RoomOptions`](crate::protocol::RoomOptions) if this makes the room; its password; and
    /// `after`, to be told what was said behind this event.
    pub fn set_entry(
        &mut self,
        create: Option<Box<RawValue>>,
        password: Option<String>,
        after: Option<u64>,
    ) {
        self.entry = HeldEntry { create, password, after };
    }

    /// Goes over these only, in this order; to be said before the first output is taken.
    ///
    /// # Panics
    /// If there are none.
    pub fn set_transports(&mut self, transports: &[Transport]) {
        self.ladder = Ladder::new(transports);
        self.outputs = VecDeque::from([Output::Connect(self.ladder.current())]);
    }

    /// Whether there is a transport that wasn't tried yet.
    #[must_use]
    pub fn has_untried_transport(&self) -> bool {
        self.ladder.has_untried()
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
            State::Waiting { .. } => self.connect(now),
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
                held.came.due().into_iter().chain([life]).min()
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
        let frame = ClientFrame::Signal { to: to.as_str().into(), data: &data };
        self.number(frame, data.get().len(), false)
    }

    /// Asks the room for something, now or as soon as there is a connection again. Once it is
    /// [carried out](Event::Done) or [refused](Event::Refused), its number is told.
    ///
    /// # Errors
    /// [`NotTaken`] says why it will not be sent.
    pub fn request(&mut self, request: Request<'_>) -> Result<u64, NotTaken> {
        let bytes = match request {
            Request::Broadcast { data, .. } => data.get().len(),
            Request::State { value, .. } => value.get().len(),
            Request::Metadata(metadata) => metadata.get().len(),
            Request::Rules { .. } | Request::Host { .. } | Request::Kick { .. } => 0,
        };
        // What the server would refuse isn't to be shown with the next `hello` either.
        let most = self.held.as_ref().map(|held| held.limits.metadata_bytes_max);
        if matches!(request, Request::Metadata(_)) && most.is_some_and(|most| bytes > most) {
            return Err(NotTaken::TooLarge);
        }
        let id = self.number(ClientFrame::Room(request.frame()), bytes, true)?;
        if let Request::Metadata(metadata) = request {
            self.metadata = Some(metadata.to_owned());
        }
        Ok(id)
    }

    /// Tells the server how the link to another member is; without a connection it is left out.
    pub fn report(&mut self, peer: &PeerId, link: &Link) {
        if !self.is_online() || !self.takes_reports {
            return;
        }
        let link = to_raw_value(link).expect("numbers and texts have a JSON form");
        let frame = ClientFrame::Report { peer: peer.as_str().into(), link: &link };
        self.outputs.push_back(Output::Send(encode(frame, None, None)));
    }

    /// Asks the server how the link to another member is, and why. The
    /// [answer](Event::Diagnosed), or the [refusal](Event::Refused), has the number given back.
    ///
    /// # Errors
    /// [`NotTaken::NoSession`] without a connection.
    pub fn diagnose(&mut self, peer: &PeerId) -> Result<u64, NotTaken> {
        if !self.is_online() {
            return Err(NotTaken::NoSession);
        }
        let id = self.next_question();
        let frame = ClientFrame::Diagnose { peer: peer.as_str().into() };
        self.outputs.push_back(Output::Send(encode(frame, Some(id), None)));
        Ok(id)
    }

    fn next_question(&mut self) -> u64 {
        self.asked += 1;
        FREE_IDS + self.asked
    }

    /// Asks by a request of its own what was said in the room behind the event `after`, where that
    /// is kept: `limit` of them at most, 256 without it.
    ///
    /// # Errors
    /// [`NotTaken::NoSession`] if there is no seat.
    pub fn history(&self, after: u64, limit: Option<usize>) -> Result<Question<History>, NotTaken> {
        let held = self.held.as_ref().filter(|_| self.state != State::Ended);
        let Held { name, key, .. } = held.ok_or(NotTaken::NoSession)?;
        Ok(History::question(&self.room, (name, key), after, limit))
    }

    fn number(
        &mut self,
        frame: ClientFrame<'_>,
        bytes: usize,
        is_awaited: bool,
    ) -> Result<u64, NotTaken> {
        let Some(held) = self.held.as_mut().filter(|_| self.state != State::Ended) else {
            return Err(NotTaken::NoSession);
        };
        if bytes + ENVELOPE_BYTES_MAX > held.limits.frame_bytes_max {
            return Err(NotTaken::TooLarge);
        }
        let Config { kept_signals_max, kept_bytes_max, .. } = self.config;
        if held.kept.is_full(kept_signals_max, kept_bytes_max) {
            return Err(NotTaken::Full);
        }
        let id = held.kept.next();
        let mut message = ClientMessage { id: Some(id), ack: None, frame };
        held.kept.push(&message.encode(), is_awaited);
        if matches!(self.state, State::Online { .. }) {
            message.ack = held.came.news();
            self.outputs.push_back(Output::Send(message.encode()));
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
    pub fn retry_now(&mut self, now: Time) {
        if matches!(self.state, State::Waiting { .. }) {
            self.connect(now);
        }
    }

    fn connect(&mut self, now: Time) {
        self.state = State::Connecting;
        self.outputs.push_back(Output::Connect(self.ladder.next(now)));
    }

    /// Gives the seat back, also one that was only asked for. Nothing happens afterwards.
    pub fn leave(&mut self) {
        // Behind a `hello` that isn't answered yet it counts once that is.
        if matches!(self.state, State::Online { .. } | State::Asking { .. }) {
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
        self.showing = None;
        let (room, metadata) = (self.room.as_str().into(), self.metadata.as_deref());
        let once = Some(format!("{:032x}", self.once).into());
        let token = self.token.as_ref().map_or("", Token::as_str).into();
        let HeldEntry { create, password, after } = &self.entry;
        let (create, password) = (create.as_deref(), password.as_deref().map(Into::into));
        let entry = Entry { create, password, after: *after };
        let hello = ClientFrame::Hello { room, metadata, once, token, entry };
        let hello = encode(hello, None, None);
        self.outputs.push_back(Output::Send(hello));
    }

    /// Takes note of the last event, for when another seat is asked for.
    fn note(&mut self, event: &RoomEvent) {
        if let RoomEvent::Broadcast { event: Some(number), .. } = event
            && let Some(after) = &mut self.entry.after
        {
            *after = *number;
        }
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
        self.ladder.handle_online();
        self.state = State::Online { since: now, heard: now, asked: None };
        self.show_token();
    }

    /// Shows the token that the server may not know yet.
    fn show_token(&mut self) {
        if let Some((token, id)) = self.token.as_ref().zip(self.showing) {
            let ack = self.held.as_mut().and_then(|held| held.came.news());
            let frame = ClientFrame::Token { token: token.as_str().into() };
            self.outputs.push_back(Output::Send(encode(frame, Some(id), ack)));
        }
    }

    /// Takes note that a question is answered.
    fn handle_answered(&mut self, id: Option<u64>) {
        self.showing = self.showing.filter(|showing| Some(*showing) != id);
    }

    /// Sends what the server doesn't have.
    fn send_again(&mut self, ack: u64) {
        let Some(held) = &mut self.held else { return };
        held.kept.spare(ack);
        let again = held.kept.unacked().map(|text| Output::Send(text.to_owned()));
        self.outputs.extend(again);
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
        self.ladder.handle_lost(now);
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

fn encode(frame: ClientFrame<'_>, id: Option<u64>, ack: Option<u64>) -> String {
    ClientMessage { id, ack, frame }.encode()
}

/// Seconds as the server says them, at least one and at most an hour.
fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds.clamp(1, 3600))
}
