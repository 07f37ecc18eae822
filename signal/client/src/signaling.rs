//! The session with the server, over one WebSocket after another: what
//! [`Session`](signal_core::client::Session) wants done is done here.

use crate::Error;
use crate::line::{Line, SocketEvent, Turn};
use crate::place::Place;
use crate::platform::{Socket, now, random, sleep_until};
use heliograph_base::Time;
use serde_json::value::RawValue;
use signal_core::client::{Config, Event, Loss, NotTaken, Output, Refusal, Seat, Session};
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

impl Signaling {
    /// Connects and takes a seat.
    pub(crate) async fn join(
        place: Place,
        room: RoomId,
        metadata: Option<Box<RawValue>>,
        token: Option<Token>,
    ) -> Result<(Self, Seat), Error> {
        let mut session = Session::new(Config::default(), room, metadata, random());
        if let Some(token) = token {
            session.set_token(token);
        }
        let mut signaling = Self {
            session,
            place,
            line: Line::Closed,
            is_local: false,
            heard: now(),
            failure: None,
        };
        loop {
            match signaling.next().await {
                Event::Joined(seat) => return Ok((signaling, seat)),
                Event::Lost { loss, .. } | Event::Ended(loss) => return Err(signaling.error(loss)),
                Event::Resumed
                | Event::Resync(_)
                | Event::PeerJoined(_)
                | Event::PeerAway(_)
                | Event::PeerBack(_)
                | Event::PeerLeft { .. }
                | Event::Signal { .. }
                | Event::Room(_)
                | Event::Ice(_)
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
        if let Line::Open(socket) = self.line {
            socket.wait_for_close().await;
        }
    }

    /// What to tell the program of a loss.
    pub(crate) fn error(&mut self, loss: Loss) -> Error {
        let address = self.place.address();
        match (self.failure.take(), loss) {
            (Some(failure), _) => failure,
            (None, Loss::Refused(Refusal { code, text, retry, .. })) => {
                Error::Refused { code, text, retry }
            }
            (None, Loss::Silent) => {
                let after = Duration::from_secs(now().since(self.heard).as_secs());
                Error::Timeout { address, after }
            }
            (None, Loss::Unreadable(why)) => Error::NotHeliograph { address, why },
            (None, Loss::Confused) => Error::Lost("a frame is missing".to_owned()),
            (None, Loss::Closed(_)) => Error::Lost("it is closed".to_owned()),
        }
    }

    /// Does what the session wants, up to the next event for the program.
    fn obey(&mut self) -> Option<Event> {
        loop {
            match self.session.poll_output()? {
                Output::Connect => {
                    self.failure = None;
                    self.line = Line::Opening(Box::pin(Socket::open(self.place.clone())));
                }
                Output::Send(text) => {
                    if let Line::Open(socket) = &mut self.line {
                        socket.send(text);
                    }
                }
                Output::Close(code) => {
                    if let Line::Open(socket) = std::mem::replace(&mut self.line, Line::Closed) {
                        socket.give_up(code);
                    }
                }
                Output::Event(event) => return Some(event),
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
        }
    }

    fn lose(&mut self, now: Time, error: Error, code: Option<u16>) {
        self.line = Line::Closed;
        tracing::debug!(%error, "no connection to the server");
        self.failure = Some(error);
        self.session.handle_lost(now, code);
    }
}
