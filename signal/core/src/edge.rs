//! One client's connection, whatever carries it: what it may say when, and when it is over.

use crate::bucket::Bucket;
use crate::matchmaking::{Status, Ticket};
use crate::protocol::{
    ClientFrame, ClientMessage, CloseCode, Entry, ErrorCode, ErrorFrame, LeaveReason, Link,
    RoomFrame, ServerFrame, Unreadable,
};
use crate::room::read_action;
use crate::{
    Config, Detached, Diagnose, Event, FrameText, IceUrls, Join, MatchLimits, Metadata, NewRoom,
    Numbered, Once, Password, PeerId, Purpose, Queue, Renew, Report, Request, Resume, RoomId,
    RoomRequest, SessionKey, SessionName, Signal, Token,
};
use heliograph_base::Time;
use serde_json::value::RawValue;
use std::sync::Arc;

/// The state of one client's connection.
///
/// Who has the transport feeds it what the client sends and what the hub says by `handle_*`, drains
/// it by [`poll_request`](Self::poll_request) (for the hub) and, whenever the transport takes more,
/// [`poll_transmit`](Self::poll_transmit) (for the client), and calls
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so. Once
/// it has [ended](Self::ended) it only has requests left to give.
///
/// Between `hello` or `resume` and the answer it [wants no frames](Self::wants_frames), so that
/// what a client sends on the heels of them means the same however long the hub takes.
#[derive(Debug)]
pub struct Edge {
    config: Arc<Config>,
    ice: Arc<IceUrls>,
    state: State,
    opened: Time,
    last_heard: Time,
    /// When a sign of life was asked for; none, once there was one.
    asked: Option<Time>,
    refusals: u32,
    messages: Bucket,
    bytes: Bucket,
    /// Until when no frame is taken, since the client sends more than it may.
    rests_until: Option<Time>,
    requests: Queue<Request>,
    transmits: Queue<Transmit>,
    /// What tickets must keep to; none, if this connection takes none.
    matching: Option<Arc<MatchLimits>>,
    /// A ticket that was read.
    ticket: Option<Box<Ticket>>,
    ended: Option<End>,
}

/// What is to be sent to the client.
#[derive(Clone, Debug)]
pub enum Transmit {
    /// A text frame.
    Frame(Numbered),
    /// A text frame that refuses a request; its code, to be counted.
    Refusal(ErrorCode, FrameText),
    /// A sign of life is wanted: a WebSocket ping or what the transport has instead.
    Ping,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server ends it: the client is to be told this code.
    Close(CloseCode),
    /// The client closed it in order.
    Closed,
    /// It broke.
    Broken,
}

#[derive(Debug)]
enum State {
    /// No seat, and none asked for.
    Greeting,
    /// A ticket waits, which the client calls by this number.
    Matching(Option<u64>),
    /// The hub has been asked for a seat, or for a session.
    Joining,
    /// In a room.
    Seated(PeerId),
}

impl Edge {
    /// A connection that has just been opened. `ice` is what it will be told when it gets a seat.
    #[must_use]
    pub fn new(now: Time, config: Arc<Config>, ice: Arc<IceUrls>) -> Self {
        Self {
            config,
            ice,
            state: State::Greeting,
            opened: now,
            last_heard: now,
            asked: None,
            refusals: 0,
            messages: Bucket::default(),
            bytes: Bucket::default(),
            rests_until: None,
            requests: Queue::new(),
            transmits: Queue::new(),
            matching: None,
            ticket: None,
            ended: None,
        }
    }

    /// The same, but it takes tickets: what [`poll_ticket`](Self::poll_ticket) gives out is carried
    /// to the matchmaking, and what becomes of it told to
    /// [`handle_ticket`](Self::handle_ticket).
    #[must_use]
    pub fn with_matchmaking(self, limits: Arc<MatchLimits>) -> Self {
        Self { matching: Some(limits), ..self }
    }

    /// A connection whose client has said by other means, such as a URL, which session is its own.
    #[must_use]
    pub fn resuming(now: Time, config: Arc<Config>, resume: Resume) -> Self {
        let ice = match &resume.purpose {
            Purpose::Listen { ice, .. } => ice.clone(),
            Purpose::Send => Arc::default(),
        };
        let mut edge = Self::new(now, config, ice);
        edge.state = State::Joining;
        edge.requests.push(Request::Resume(Box::new(resume)));
        edge
    }

    /// Tells the client that the server will end in so many seconds, and where else to go.
    pub fn handle_goaway(&mut self, deadline_s: u64, url: Option<&str>) {
        let frame = ServerFrame::Goaway { deadline_s, url: url.map(Into::into) };
        let frame = FrameText::encode(&frame);
        self.transmit(Transmit::Frame(Numbered { seq: None, ack: None, frame }));
    }

    /// Takes note that the connection was for one request only, and is done.
    pub fn handle_done(&mut self) {
        self.end(End::Closed, Some(Request::Detach(Detached::Between)));
    }

    /// Takes a text frame of the client.
    pub fn handle_text(&mut self, now: Time, text: &str) {
        self.hear(now);
        if text.len() > self.config.frame_bytes_max {
            return self.close(CloseCode::TooBig);
        }
        self.pace(now, text.len());
        match ClientMessage::parse(text) {
            Ok(ClientMessage { id, ack, frame: ClientFrame::Signal { to, data } })
                if self.peer().is_some() =>
            {
                self.signal((id, ack), &to, data);
            }
            Ok(ClientMessage { id, ack, frame }) => {
                self.handle_ack(ack);
                self.handle_frame(id, frame);
            }
            Err(unreadable) => self.handle_unreadable(unreadable),
        }
    }

    /// Takes note of a binary frame: it is refused.
    pub fn handle_binary(&mut self, now: Time) {
        self.hear(now);
        self.pace(now, 0);
        self.refuse_plainly(ErrorCode::BinaryFrame, None);
    }

    /// Takes note of what says only that the client is alive: the answer to a ping, a ping of its
    /// own, a part of a frame. It counts as a frame, since it costs as much to read.
    pub fn handle_sign_of_life(&mut self, now: Time) {
        self.hear(now);
        self.pace(now, 0);
    }

    /// Takes what the hub says.
    pub fn handle_event(&mut self, event: Event) {
        if self.ended.is_some() {
            return;
        }
        match event {
            Event::Seated { peer } => self.state = State::Seated(peer),
            Event::Frame(frame) => self.transmit(Transmit::Frame(frame)),
            Event::Refused { code, text, id, retry_after } => {
                if matches!(self.state, State::Joining | State::Matching(_)) {
                    self.state = State::Greeting;
                }
                let retry_after_ms = retry_after.map(|after| after.as_millis() as u64);
                let text = text.map_or_else(|| code.advice().to_owned(), Into::into);
                self.refuse(Unreadable { code, text, id }, retry_after_ms);
            }
            // The one is worked out on the way here; the other comes when this has ended.
            Event::Facts(_) | Event::Done { .. } => {}
            Event::Close(code) => self.close(code),
        }
    }

    /// Tells the client what has become of its ticket. When that is over it has the time for a
    /// `hello` as if it had just connected.
    pub fn handle_ticket(&mut self, now: Time, status: &Status) {
        let (State::Matching(id), None) = (&self.state, self.ended) else { return };
        let id = *id;
        let frame = match status {
            Status::Waiting { expires_in_s } => {
                ServerFrame::Waiting { expires_in_s: *expires_in_s, id }
            }
            Status::Matched { room, players, seats } => ServerFrame::Matched {
                room: room.as_str().into(),
                players: *players,
                seats: seats.into(),
                id,
            },
            Status::Expired | Status::Cancelled => ServerFrame::Expired { id },
        };
        if !matches!(status, Status::Waiting { .. }) {
            (self.state, self.opened) = (State::Greeting, now);
        }
        let frame = FrameText::encode(&frame);
        self.transmit(Transmit::Frame(Numbered { seq: None, ack: None, frame }));
    }

    /// Gives out a ticket that the client has posted, and the number of the request.
    pub fn poll_ticket(&mut self) -> Option<(Option<u64>, Ticket)> {
        let (State::Matching(id), None) = (&self.state, self.ended) else { return None };
        let id = *id;
        self.ticket.take().map(|ticket| (id, *ticket))
    }

    /// Takes note that the time of [`poll_timeout`](Self::poll_timeout) has come. Does nothing if
    /// it hasn't.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.rests_until.is_some_and(|until| until <= now) {
            self.rests_until = None;
        }
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        if !due {
            return;
        }
        match (&self.state, self.asked) {
            (State::Greeting | State::Joining, _) => self.close(CloseCode::HelloTimeout),
            (State::Matching(_) | State::Seated(_), Some(_)) => self.close(CloseCode::Vanished),
            (State::Matching(_) | State::Seated(_), None) => {
                self.asked = Some(now);
                self.transmit(Transmit::Ping);
            }
        }
    }

    /// Ends the connection from the server's side.
    pub fn close(&mut self, code: CloseCode) {
        self.end(End::Close(code), farewell(code));
    }

    /// Takes note that the client closed the connection in order, with a code or without.
    ///
    /// It has left, unless the code is one of its own (3000 and above): then it may resume.
    pub fn handle_closed(&mut self, code: Option<u16>) {
        let has_left = code.is_none_or(|code| code < CLIENT_CODES);
        let farewell = match has_left {
            true => Request::Leave(LeaveReason::Left),
            false => Request::Detach(Detached::Lost),
        };
        self.end(End::Closed, Some(farewell));
    }

    /// Takes note that the connection broke.
    pub fn handle_broken(&mut self) {
        self.end(End::Broken, Some(Request::Detach(Detached::Lost)));
    }

    /// Gives out the next request to the hub.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop()
    }

    /// Gives out the next thing to send to the client.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); never, once it has ended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.deadline().map(|deadline| self.rests_until.unwrap_or(deadline).min(deadline))
    }

    /// When the client must have shown something; never, once it has ended.
    fn deadline(&self) -> Option<Time> {
        if self.ended.is_some() {
            return None;
        }
        let Config { hello_timeout, heartbeat_interval, heartbeat_timeout, .. } = *self.config;
        Some(match (&self.state, self.asked) {
            (State::Greeting | State::Joining, _) => self.opened + hello_timeout,
            (State::Matching(_) | State::Seated(_), None) => self.last_heard + heartbeat_interval,
            // Counted from the question: if it is us who slept, the client still has time to
            // answer.
            (State::Matching(_) | State::Seated(_), Some(asked)) => {
                asked + heartbeat_timeout.saturating_sub(heartbeat_interval)
            }
        })
    }

    /// Whether the client's next frame may be handed in now.
    #[must_use]
    pub fn wants_frames(&self) -> bool {
        self.ended.is_none() && self.rests_until.is_none() && !matches!(self.state, State::Joining)
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
            State::Greeting | State::Matching(_) | State::Joining => None,
            State::Seated(peer) => Some(peer),
        }
    }

    fn hear(&mut self, now: Time) {
        self.last_heard = now;
        self.asked = None;
    }

    /// Counts a frame; a client that sends faster than it may isn't read from for a while.
    fn pace(&mut self, now: Time, bytes: usize) {
        let Config { messages_per_s, messages_burst, bytes_per_s, bytes_burst, .. } = *self.config;
        let waits = [
            self.messages.take(now, 1, (messages_per_s, messages_burst)),
            self.bytes.take(now, bytes as u64, (bytes_per_s, bytes_burst)),
        ];
        let wait = waits.into_iter().max().unwrap_or_default();
        self.rests_until = (!wait.is_zero()).then(|| now + wait);
    }

    /// Passes the frame's `ack` on, of whatever kind it is.
    fn handle_ack(&mut self, ack: Option<u64>) {
        if let (State::Seated(_), Some(seq)) = (&self.state, ack) {
            self.requests.push(Request::Ack(seq));
        }
    }

    /// Refuses what can't be read. The hub does it if it is numbered, as others after it are.
    fn handle_unreadable(&mut self, unreadable: Unreadable) {
        let Unreadable { code, text, id } = unreadable;
        let Some(id) = id.filter(|_| self.peer().is_some()) else {
            return self.refuse_saying(code, text, id);
        };
        if self.count_refusal(code) {
            self.requests.push(Request::Unreadable { id, code, text });
        }
    }

    fn handle_frame(&mut self, id: Option<u64>, frame: ClientFrame<'_>) {
        match (&self.state, &frame) {
            (State::Greeting, ClientFrame::Hello { room, metadata, once, token, entry }) => {
                let join = self.read_join(room, *metadata, (once.as_deref(), token), entry);
                self.join(id, join);
            }
            (State::Greeting, ClientFrame::Resume { session, key, seq, attempt }) => {
                self.resume(id, (session, key), (*seq, *attempt));
            }
            (State::Greeting, ClientFrame::Match { ticket }) => self.post(id, ticket),
            (State::Matching(_), ClientFrame::Ping) => self.pong(id),
            // In a room it is taken before.
            (_, ClientFrame::Signal { .. }) | (State::Greeting | State::Matching(_), _) => {
                self.refuse_plainly(ErrorCode::HelloFirst, id);
            }
            (
                State::Joining | State::Seated(_),
                ClientFrame::Hello { .. } | ClientFrame::Resume { .. } | ClientFrame::Match { .. },
            ) => self.refuse_plainly(ErrorCode::AlreadyJoined, id),
            (State::Joining | State::Seated(_), ClientFrame::Ack) => {}
            (State::Joining | State::Seated(_), ClientFrame::Token { token }) => {
                let (token, grant) = (Token::new(token), None);
                self.requests.push(Request::Renew(Box::new(Renew { token, grant, id })));
            }
            (State::Joining | State::Seated(_), ClientFrame::Report { peer, link }) => {
                self.report(id, peer, link);
            }
            (State::Joining | State::Seated(_), ClientFrame::Diagnose { peer }) => {
                match PeerId::parse(peer) {
                    Ok(peer) => {
                        self.requests.push(Request::Diagnose(Box::new(Diagnose { peer, id })));
                    }
                    Err(_) => self.refuse_plainly(ErrorCode::NoSuchPeer, id),
                }
            }
            (State::Joining | State::Seated(_), ClientFrame::Room(frame)) => {
                self.ask_room(id, frame);
            }
            (State::Joining | State::Seated(_), ClientFrame::Leave) => {
                self.close(CloseCode::Normal);
            }
            (State::Joining | State::Seated(_), ClientFrame::Ping) => self.pong(id),
        }
    }

    fn pong(&mut self, id: Option<u64>) {
        let frame = FrameText::encode(&ServerFrame::Pong { id });
        self.transmit(Transmit::Frame(Numbered { seq: None, ack: None, frame }));
    }

    fn post(&mut self, id: Option<u64>, ticket: &RawValue) {
        let Some(limits) = &self.matching else {
            let text = "tickets are taken by a WebSocket, or by POST /v1/tickets";
            return self.refuse_saying(ErrorCode::BadTicket, text.to_owned(), id);
        };
        match Ticket::parse(ticket.get(), limits) {
            Ok(ticket) => {
                self.state = State::Matching(id);
                self.ticket = Some(Box::new(ticket));
            }
            Err(bad) => self.refuse_saying(ErrorCode::BadTicket, bad.to_string(), id),
        }
    }

    fn read_join(
        &self,
        room: &str,
        metadata: Option<&RawValue>,
        (once, token): (Option<&str>, &str),
        Entry { create, password, after }: &Entry<'_>,
    ) -> Result<Join, (ErrorCode, String)> {
        let config = &*self.config;
        let room = RoomId::parse(room).map_err(|bad| (ErrorCode::BadRoom, bad.to_string()))?;
        let metadata = Metadata::new(metadata, config.metadata_bytes_max)
            .map_err(|bad| (ErrorCode::BadMetadata, bad.to_string()))?;
        let once = once.map(Once::parse).transpose();
        let once = once.map_err(|bad| (ErrorCode::BadFrame, bad.to_string()))?;
        let create = create.map(|text| NewRoom::read(text.get(), config)).transpose();
        let create = create.map_err(|bad| (ErrorCode::BadRules, bad.to_string()))?;
        Ok(Join {
            room,
            metadata,
            once,
            ice: self.ice.clone(),
            create: create.map(Box::new),
            password: password.as_deref().map(Password::new),
            after: *after,
            source: None,
            id: None,
            token: (!token.is_empty()).then(|| Token::new(token)),
            grant: None,
        })
    }

    fn join(&mut self, id: Option<u64>, join: Result<Join, (ErrorCode, String)>) {
        match join {
            Ok(join) => {
                self.state = State::Joining;
                self.requests.push(Request::Join(Box::new(Join { id, ..join })));
            }
            Err((code, text)) => self.refuse_saying(code, text, id),
        }
    }

    fn ask_room(&mut self, id: Option<u64>, frame: &RoomFrame<'_>) {
        match read_action(frame, &self.config) {
            Ok(action) => self.requests.push(Request::Room(Box::new(RoomRequest { action, id }))),
            Err((code, text)) => self.handle_unreadable(Unreadable { code, text, id }),
        }
    }

    fn report(&mut self, id: Option<u64>, peer: &str, link: &RawValue) {
        // What is no id is nobody's id: a report about nobody is ignored.
        let Ok(peer) = PeerId::parse(peer) else { return };
        match Link::read(link.get(), self.config.link_bytes_max) {
            Ok(link) => {
                let report = Report { peer, link: Box::new(link) };
                self.requests.push(Request::Report(Box::new(report)));
            }
            Err(bad) => self.refuse_saying(ErrorCode::BadFrame, bad.to_string(), id),
        }
    }

    fn resume(
        &mut self,
        id: Option<u64>,
        (session, key): (&str, &str),
        (seq, attempt): (u64, Option<u64>),
    ) {
        let purpose = Purpose::Listen { seq, ice: self.ice.clone(), is_oneway: false };
        match (SessionName::parse(session), SessionKey::parse(key)) {
            (Ok(name), Ok(key)) => {
                self.state = State::Joining;
                let resume = Resume { name, key, attempt, purpose, id };
                self.requests.push(Request::Resume(Box::new(resume)));
            }
            // What is no name is nobody's name.
            _ => self.refuse_plainly(ErrorCode::NoSuchSession, id),
        }
    }

    fn signal(&mut self, (id, ack): (Option<u64>, Option<u64>), to: &str, data: &RawValue) {
        // What is no id is nobody's id.
        let Ok(to) = PeerId::parse(to) else {
            self.handle_ack(ack);
            let code = ErrorCode::NoSuchPeer;
            return self.handle_unreadable(Unreadable { code, text: code.advice().into(), id });
        };
        self.requests.push(Request::Signal(Signal { to, data: data.to_owned(), id, ack }));
    }

    fn refuse_plainly(&mut self, code: ErrorCode, id: Option<u64>) {
        self.refuse(Unreadable { code, text: code.advice().to_owned(), id }, None);
    }

    fn refuse_saying(&mut self, code: ErrorCode, text: String, id: Option<u64>) {
        self.refuse(Unreadable { code, text, id }, None);
    }

    /// Counts a refusal; `false` if it was one too many, and this is the end.
    fn count_refusal(&mut self, code: ErrorCode) -> bool {
        if !code.is_nobodys_fault() {
            self.refusals += 1;
        }
        let may_go_on = self.refusals <= self.config.refusals_max;
        if !may_go_on {
            self.close(CloseCode::Misbehaved);
        }
        may_go_on
    }

    fn refuse(&mut self, what: Unreadable, retry_after_ms: Option<u64>) {
        let Unreadable { code, text, id } = what;
        if !self.count_refusal(code) {
            return;
        }
        let (text, retry) = (text.into(), code.retry());
        let error = ErrorFrame { code, text, retry, retry_after_ms, state: None, id };
        let frame = FrameText::encode(&ServerFrame::Error(error));
        self.transmit(Transmit::Refusal(code, frame));
    }

    fn transmit(&mut self, transmit: Transmit) {
        if self.transmits.len() >= self.config.transmits_max() {
            return self.close(CloseCode::SlowReader);
        }
        self.transmits.push(transmit);
    }

    /// Ends it, once; tells the hub `farewell`.
    fn end(&mut self, end: End, farewell: Option<Request>) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(end);
        if let (State::Joining | State::Seated(_), Some(farewell)) = (&self.state, farewell) {
            self.requests.push(farewell);
        }
    }
}

/// Close codes from here on are a client's own (RFC 6455 §7.4.2).
const CLIENT_CODES: u16 = 3000;

/// What the hub is told when a connection is closed with `code`; nothing if the server goes away
/// with all of them.
fn farewell(code: CloseCode) -> Option<Request> {
    match code {
        CloseCode::Normal => Some(Request::Leave(LeaveReason::Left)),
        CloseCode::NotWebSocket
        | CloseCode::NotUtf8
        | CloseCode::TooBig
        | CloseCode::Misbehaved => Some(Request::Leave(LeaveReason::Misbehaved)),
        CloseCode::SlowReader => Some(Request::Leave(LeaveReason::Slow)),
        // These the hub itself has ended.
        CloseCode::Expired
        | CloseCode::RoomClosed
        | CloseCode::Kicked
        | CloseCode::HelloTimeout
        | CloseCode::Superseded => Some(Request::Detach(Detached::Lost)),
        CloseCode::Vanished => Some(Request::Detach(Detached::Vanished)),
        CloseCode::Shutdown => None,
    }
}
