//! A connection with all that is under way on it: to and from the client, to and from the hub.

use heliograph_base::Time;
use signal_core::protocol::{ClientMessage, CloseCode};
use signal_core::{Config, Edge, End, Event, Request, Resume, Transmit};
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) kind: ConnKind,
    pub(crate) edge: Edge,
    pub(crate) owner: usize,
    pub(crate) up: VecDeque<Up>,
    pub(crate) down: VecDeque<Down>,
    pub(crate) requests: VecDeque<Request>,
    pub(crate) events: VecDeque<Event>,
    /// Whether what is sent from now on is lost.
    pub(crate) is_cut: bool,
    /// Whether the server's end takes nothing to send.
    pub(crate) is_stalled: bool,
    /// Whether the hub has yet to say goodbye.
    is_waiting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnKind {
    /// Frames go both ways.
    WebSocket,
    /// Frames only come.
    Events,
    /// Frames only come, once.
    Poll,
    /// Frames only go; the answer says how far they came.
    Post,
}

/// From a client.
#[derive(Debug)]
pub(crate) enum Up {
    Text(String),
    Pong,
    Close(Option<u16>),
    /// The end of a request.
    Done,
}

/// To a client.
#[derive(Debug)]
pub(crate) enum Down {
    Text(String),
    Ping,
    Close(CloseCode),
    /// The end of an answer.
    Done,
    /// The answer to what was posted: how far it was carried out.
    Answer(u64),
}

impl Conn {
    pub(crate) fn open(now: Time, owner: usize, config: &Arc<Config>) -> Self {
        let edge = Edge::new(now, config.clone(), crate::support::ice());
        Self::with(ConnKind::WebSocket, owner, edge)
    }

    /// One that resumes by itself.
    pub(crate) fn resuming(
        now: Time,
        owner: usize,
        config: &Arc<Config>,
        (kind, resume): (ConnKind, Resume),
    ) -> Self {
        let mut conn = Self::with(kind, owner, Edge::resuming(now, config.clone(), resume));
        conn.pump();
        conn
    }

    fn with(kind: ConnKind, owner: usize, edge: Edge) -> Self {
        Self {
            kind,
            edge,
            owner,
            up: VecDeque::new(),
            down: VecDeque::new(),
            requests: VecDeque::new(),
            events: VecDeque::new(),
            is_cut: false,
            is_stalled: false,
            is_waiting: kind == ConnKind::Post,
        }
    }

    /// Sends, if this way goes at all.
    pub(crate) fn send(&mut self, up: Up) {
        if !self.is_cut && self.kind == ConnKind::WebSocket {
            self.up.push_back(up);
        }
    }

    /// Loses all that is sent from now on, and all that is under way but so many of the oldest.
    pub(crate) fn cut(&mut self, up: usize, down: usize) {
        self.is_cut = true;
        self.up.truncate(up);
        self.down.truncate(down);
    }

    /// Hands the edge what comes next from the client; `false` if nothing does.
    pub(crate) fn deliver_up(&mut self, now: Time) -> bool {
        if !self.edge.wants_frames() {
            return false;
        }
        let (is_seated, before) = (self.edge.peer().is_some(), self.requests.len());
        if self.kind != ConnKind::WebSocket && !is_seated {
            // There is no such session.
            self.edge.handle_done();
            self.is_waiting = false;
            self.pump();
            return true;
        }
        let edge = &mut self.edge;
        let mut ack = None;
        match self.up.pop_front() {
            Some(Up::Text(text)) => {
                ack = ClientMessage::parse(&text).unwrap().ack.filter(|_| is_seated);
                edge.handle_text(now, &text);
            }
            Some(Up::Pong) => edge.handle_sign_of_life(now),
            Some(Up::Close(code)) => edge.handle_closed(code),
            Some(Up::Done) => edge.handle_done(),
            None => return false,
        }
        self.pump();
        if let Some(ack) = ack {
            let found = match &self.requests[before] {
                Request::Ack(seq) => Some(*seq),
                Request::Signal(signal) => signal.ack,
                Request::Join(_)
                | Request::Resume(_)
                | Request::Renew(_)
                | Request::Room(_)
                | Request::Report(_)
                | Request::Diagnose(_)
                | Request::Unreadable { .. }
                | Request::Leave(_)
                | Request::Detach(_) => None,
            };
            assert_eq!(found, Some(ack));
        }
        true
    }

    /// Hands the edge what comes next from the hub; `false` if nothing does.
    pub(crate) fn deliver_event(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else { return false };
        if self.edge.ended().is_none() || self.kind != ConnKind::Post {
            self.edge.handle_event(event);
            self.pump();
            self.is_waiting &= self.edge.ended().is_none();
            return true;
        }
        match event {
            Event::Done { ack } if !self.is_cut => self.down.push_back(Down::Answer(ack)),
            Event::Done { .. }
            | Event::Facts(_)
            | Event::Frame(_)
            | Event::Seated { .. }
            | Event::Refused { .. }
            | Event::Close(_) => {}
        }
        self.is_waiting = false;
        true
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.edge.handle_timeout(now);
        self.pump();
    }

    /// The server's end takes note that it is cut.
    pub(crate) fn handle_broken(&mut self) {
        self.edge.handle_broken();
        self.is_waiting = false;
        self.pump();
    }

    /// Only these are looked after.
    pub(crate) fn timeout(&self) -> Option<Time> {
        self.edge.poll_timeout().filter(|_| self.kind == ConnKind::WebSocket)
    }

    /// Whether nothing can come from it any more.
    pub(crate) fn is_over(&self) -> bool {
        let is_waiting = self.is_waiting || self.edge.ended().is_none();
        !is_waiting && self.requests.is_empty() && self.down.is_empty()
    }

    /// Takes out of the edge what it has to give.
    pub(crate) fn pump(&mut self) {
        let edge = &mut self.edge;
        self.requests.extend(std::iter::from_fn(|| edge.poll_request()));
        let ended = edge.ended();
        if self.is_stalled && ended.is_none() {
            return;
        }
        let transmits: Vec<_> = std::iter::from_fn(|| edge.poll_transmit()).collect();
        if self.is_cut || self.is_stalled {
            return;
        }
        self.down.extend(transmits.into_iter().map(|transmit| match transmit {
            Transmit::Frame(frame) => Down::Text(frame.text().as_str().to_owned()),
            Transmit::Refusal(_, frame) => Down::Text(frame.as_str().to_owned()),
            Transmit::Ping => Down::Ping,
        }));
        match (self.kind, ended) {
            (_, None) | (ConnKind::Post, Some(End::Closed)) => {}
            (_, Some(End::Close(code))) => {
                self.down.push_back(Down::Close(code));
                self.is_cut = true;
            }
            (ConnKind::Poll | ConnKind::Events, Some(End::Closed)) => {
                self.down.push_back(Down::Done);
                self.is_cut = true;
            }
            (ConnKind::WebSocket, Some(End::Closed)) | (_, Some(End::Broken)) => self.is_cut = true,
        }
    }
}
