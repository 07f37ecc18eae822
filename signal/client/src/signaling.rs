//! The session with the server, over one WebSocket after another: what
//! [`Session`](signal_core::client::Session) wants done is done here.

use crate::Error;
use crate::line::{Line, Requests, SocketEvent, Turn};
use crate::place::Place;
use crate::platform::{Socket, now, random, sleep_until};
use heliograph_base::Time;
use serde_json::value::RawValue;
use signal_core::client::{
    Config, Event, History, Loss, NotTaken, Output, Question, Request, Seat, Session, Transport,
};
use signal_core::protocol::Link;
use signal_core::{PeerId, RoomId, Token};
use std::future::pending;
use std::time::Duration;

/// A seat in a room, or the attempt to get one.
pub(crate) struct Signaling {
    session: Session,
    place: Place,
    line: Line,
    /// Whether the server was on this machine on the last connection.
    is_local: bool,
    /// When something came last.
    heard: Time,
    /// What the last connection met with; says more than a [`Loss`].
    failure: Option<Error>,
}

/// How a seat is asked for.
pub(crate) struct Hello {
    pub(crate) room: RoomId,
    pub(crate) metadata: Option<Box<RawValue>>,
    pub(crate) token: Option<Token>,
    pub(crate) create: Option<Box<RawValue>>,
    pub(crate) password: Option<String>,
    pub(crate) after: Option<u64>,
    pub(crate) transports: Vec<Transport>,
}

impl Signaling {
    /// Connects and takes a seat.
    pub(crate) async fn join(place: Place, hello: Hello) -> Result<(Self, Seat), Error> {
        let Hello { room, metadata, token, create, password, after, transports } = hello;
        let mut session = Session::new(Config::default(), room, metadata, random());
        session.set_entry(create, password, after);
        if let Some(token) = token {
            session.set_token(token);
        }
        if !transports.is_empty() {
            session.set_transports(&transports);
        }
        let mut signaling = Self {
            session,
            place,
            line: Line::Closed,
            is_local: false,
            heard: now(),
            failure: None,
        };
        let mut first: Option<Error> = None;
        loop {
            match signaling.next().await {
                Event::Joined(seat) => return Ok((signaling, seat)),
                Event::Lost { loss, .. } => {
                    let refused = matches!(loss, Loss::Refused(_));
                    let error = signaling.error(loss);
                    if refused || error.is_of_all_transports() {
                        return Err(error);
                    }
                    if !signaling.session.has_untried_transport() {
                        return Err(first.unwrap_or(error));
                    }
                    first.get_or_insert(error);
                }
                Event::Ended(loss) => return Err(signaling.error(loss)),
                Event::Resumed
                | Event::Resync(_)
                | Event::PeerJoined(_)
                | Event::PeerAway(_)
                | Event::PeerBack(_)
                | Event::PeerLeft { .. }
                | Event::Signal { .. }
                | Event::Room(_)
                | Event::Ice(_)
                | Event::Done { .. }
                | Event::TokenTaken { .. }
                | Event::Diagnosed(_)
                | Event::Moved { .. }
                | Event::Refused(_) => {}
            }
        }
    }

    /// The session's next event. Cancel safe.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.obey() {
                return event;
            }
            let due = self.session.poll_timeout();
            let alarm = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            let turn = tokio::select! {
                turn = self.line.turn() => turn,
                () = alarm => Turn::Timeout,
            };
            self.handle(turn);
        }
    }

    /// Sends a signal to another member, now or once there is a connection again.
    pub(crate) fn signal(&mut self, to: &PeerId, data: Box<RawValue>) {
        match self.session.signal(to, data) {
            Ok(_) | Err(NotTaken::NoSession) => {}
            Err(why) => tracing::warn!(%why, "a signal is left out"),
        }
    }

    /// Asks the room for something; the number of the request.
    pub(crate) fn request(&mut self, request: Request<'_>) -> Result<u64, NotTaken> {
        self.session.request(request)
    }

    /// Where and how to ask for what was said in the room.
    pub(crate) fn history(
        &self,
        after: u64,
        limit: Option<usize>,
    ) -> Result<(Place, Question<History>), NotTaken> {
        Ok((self.place.clone(), self.session.history(after, limit)?))
    }

    /// Tells the server how the link to another member is.
    pub(crate) fn report(&mut self, peer: &PeerId, link: &Link) {
        self.session.report(peer, link);
    }

    /// Asks the server how the link to another member is; the number of the question.
    pub(crate) fn diagnose(&mut self, peer: &PeerId) -> Option<u64> {
        self.session.diagnose(peer).ok()
    }

    /// Shows this token from now on; the number of the question whether it is taken.
    pub(crate) fn set_token(&mut self, token: Token) -> u64 {
        self.session.set_token(token)
    }

    /// Connects at once, instead of after the pause.
    pub(crate) fn retry_now(&mut self) {
        self.session.retry_now(now());
    }

    /// Whether another signal would be taken.
    pub(crate) fn takes_signals(&self) -> bool {
        self.session.takes_signals()
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Gives the seat back and closes the connection in order.
    pub(crate) async fn leave(mut self) {
        self.session.leave();
        while self.obey().is_some() {}
        match self.line {
            Line::Open(socket) => socket.wait_for_close().await,
            Line::Http(requests) => requests.finish().await,
            Line::Closed | Line::Opening(_) => {}
        }
    }

    /// What to tell the program of a loss.
    pub(crate) fn error(&mut self, loss: Loss) -> Error {
        let address = self.place.address();
        match (self.failure.take(), loss) {
            (Some(failure), _) => failure,
            (None, Loss::Refused(refusal)) => refusal.into(),
            (None, Loss::Silent) => {
                let after = Duration::from_secs(now().since(self.heard).as_secs());
                Error::Timeout { address, after }
            }
            (None, Loss::Unreadable(why)) => Error::NotHeliograph { address, why },
            (None, Loss::Confused) => Error::Lost("a frame is missing".to_owned()),
            (None, Loss::Moved) => {
                Error::Lost("the server ends; another one takes over".to_owned())
            }
            (None, Loss::Closed(Some(code))) => Error::Closed {
                code,
                text: "docs/protocol.md says what the number means".to_owned(),
            },
            (None, Loss::Closed(None)) => Error::Lost("it is closed".to_owned()),
        }
    }

    /// Does what the session wants, up to the next event for the program.
    fn obey(&mut self) -> Option<Event> {
        loop {
            match self.session.poll_output()? {
                Output::Connect(transport) => self.connect(transport),
                Output::Send(text) => match &mut self.line {
                    Line::Open(socket) => socket.send(text),
                    Line::Http(requests) => requests.send(text),
                    Line::Closed | Line::Opening(_) => {}
                },
                Output::Close(code) => {
                    if let Line::Open(socket) = std::mem::replace(&mut self.line, Line::Closed) {
                        socket.give_up(code);
                    }
                }
                Output::Event(Event::Moved { url }) => match Place::parse(&url) {
                    Ok(place) => {
                        let authorities = self.place.authorities.take();
                        self.place = Place { authorities, ..place };
                    }
                    Err(error) => tracing::warn!(%error, "the server names another one"),
                },
                Output::Event(event) => return Some(event),
            }
        }
    }

    fn connect(&mut self, transport: Transport) {
        self.failure = None;
        match transport {
            Transport::WebSocket => {
                self.line = Line::Opening(Box::pin(Socket::open(self.place.clone())));
            }
            Transport::Events | Transport::Poll => {
                self.is_local = self.place.is_local();
                let requests = Requests::new(transport, self.place.clone());
                self.line = Line::Http(Box::new(requests));
                // There is nothing to open: it shows by the first request.
                self.session.handle_opened(now());
            }
        }
    }

    fn handle(&mut self, turn: Turn) {
        let now = now();
        match turn {
            Turn::Timeout => self.session.handle_timeout(now),
            Turn::Opened(Ok(socket)) => {
                self.is_local = socket.is_local();
                self.line = Line::Open(socket);
                self.heard = now;
                self.session.handle_opened(now);
            }
            Turn::Opened(Err(error)) => self.lose(now, error, None),
            Turn::Socket(event) => {
                self.heard = now;
                self.handle_socket(now, event);
            }
        }
    }

    fn handle_socket(&mut self, now: Time, event: SocketEvent) {
        match event {
            SocketEvent::Text(text) => self.session.handle_text(now, &text),
            SocketEvent::SignOfLife => self.session.handle_sign_of_life(now),
            SocketEvent::Unreadable(why) => self.session.handle_unreadable(why),
            SocketEvent::Closed { code, text } => {
                self.lose(now, Error::Closed { code, text }, Some(code));
            }
            SocketEvent::Broken(why) => self.lose(now, Error::Lost(why), None),
            SocketEvent::Failed(error) => self.lose(now, error, None),
        }
    }

    fn lose(&mut self, now: Time, error: Error, code: Option<u16>) {
        self.line = Line::Closed;
        tracing::debug!(%error, "no connection to the server");
        self.failure = Some(error);
        self.session.handle_lost(now, code);
    }
}
