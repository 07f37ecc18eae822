//! A connection between a client and the hub, by an edge: four lanes, each in order, and what
//! breaks them.

use heliograph_base::Time;
use signal_core::{Edge, End, Event, Request, Transmit};
use std::collections::VecDeque;
use std::time::Duration;

/// Things under way, which come in the order of sending.
#[derive(Debug)]
pub(super) struct Lane<T> {
    items: VecDeque<(Time, T)>,
    last: Time,
}

impl<T> Lane<T> {
    const fn new() -> Self {
        Self { items: VecDeque::new(), last: Time::START }
    }

    pub(super) fn push(&mut self, at: Time, item: T) {
        self.last = self.last.max(at);
        self.items.push_back((self.last, item));
    }

    pub(super) fn pop(&mut self, now: Time) -> Option<T> {
        self.due().filter(|at| *at <= now)?;
        self.items.pop_front().map(|(_, item)| item)
    }

    fn due(&self) -> Option<Time> {
        self.items.front().map(|(at, _)| *at)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}

/// From a client.
#[derive(Debug)]
pub(super) enum Up {
    Text(String),
    Pong,
    Close(u16),
}

/// To a client.
#[derive(Debug)]
pub(super) enum Down {
    Text(String),
    Ping,
    Close(u16),
}

/// What comes next on a connection.
#[derive(Debug)]
pub(super) enum Next {
    Up(Up),
    Request(Request),
    Event(Event),
    Down(Down),
    /// The edge is to look at the time.
    EdgeTimeout,
    /// The server takes note that the connection is cut.
    ServerLearns,
    /// The client does.
    ClientLearns,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) edge: Edge,
    pub(super) owner: usize,
    /// How long it takes between the client and the edge.
    latency: Duration,
    up: Lane<Up>,
    requests: Lane<Request>,
    pub(super) events: Lane<Event>,
    down: Lane<Down>,
    /// Nothing moves between client and edge until then.
    stalled_until: Time,
    is_cut: bool,
    server_learns: Option<Time>,
    client_learns: Option<Time>,
    /// What of the edge's end its client is still to be told.
    owes_close: bool,
}

/// How long it takes between an edge and the hub.
const INSIDE: Duration = Duration::from_micros(300);

impl Conn {
    pub(super) const fn new(owner: usize, edge: Edge, latency: Duration) -> Self {
        Self {
            edge,
            owner,
            latency,
            up: Lane::new(),
            requests: Lane::new(),
            events: Lane::new(),
            down: Lane::new(),
            stalled_until: Time::START,
            is_cut: false,
            server_learns: None,
            client_learns: None,
            owes_close: true,
        }
    }

    /// The client sends.
    pub(super) fn send(&mut self, now: Time, up: Up) {
        if !self.is_cut {
            self.up.push(now + self.latency, up);
        }
    }

    /// The hub sends.
    pub(super) fn tell(&mut self, now: Time, event: Event) {
        self.events.push(now + INSIDE, event);
    }

    pub(super) fn stall(&mut self, until: Time) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// What is under way is lost, but so many of the oldest each way; and so is all that follows.
    pub(super) fn cut(
        &mut self,
        (up, down): (usize, usize),
        (server, client): (Option<Time>, Option<Time>),
    ) {
        if self.is_cut {
            return;
        }
        self.is_cut = true;
        self.up.items.truncate(up);
        self.down.items.truncate(down);
        (self.server_learns, self.client_learns) = (server, client);
    }

    /// When something comes next; never, if nothing does.
    pub(super) fn due(&self) -> Option<Time> {
        let open = |at: Option<Time>| at.map(|at| at.max(self.stalled_until));
        let up = open(self.up.due()).filter(|_| self.edge.wants_frames());
        let down = open(self.down.due());
        let inside = [self.requests.due(), self.events.due(), self.edge.poll_timeout()];
        let learns = [self.server_learns, self.client_learns];
        inside.into_iter().chain(learns).chain([up, down]).flatten().min()
    }

    /// What comes now, if something does.
    pub(super) fn next(&mut self, now: Time) -> Option<Next> {
        let is_open = self.stalled_until <= now;
        if let Some(request) = self.requests.pop(now) {
            return Some(Next::Request(request));
        }
        if let Some(event) = self.events.pop(now) {
            return Some(Next::Event(event));
        }
        if is_open && let Some(down) = self.down.pop(now) {
            return Some(Next::Down(down));
        }
        if is_open
            && self.edge.wants_frames()
            && let Some(up) = self.up.pop(now)
        {
            return Some(Next::Up(up));
        }
        if self.edge.poll_timeout().is_some_and(|at| at <= now) {
            return Some(Next::EdgeTimeout);
        }
        if self.server_learns.take_if(|at| *at <= now).is_some() {
            return Some(Next::ServerLearns);
        }
        self.client_learns.take_if(|at| *at <= now).map(|_| Next::ClientLearns)
    }

    /// Hands the edge what came, and takes out of it what it has to give.
    pub(super) fn handle(&mut self, now: Time, what: impl FnOnce(&mut Edge)) {
        what(&mut self.edge);
        while let Some(request) = self.edge.poll_request() {
            self.requests.push(now + INSIDE, request);
        }
        // A client that doesn't read keeps them waiting here.
        while let Some(transmit) = self.edge.poll_transmit() {
            self.push_down(
                now,
                match transmit {
                    Transmit::Frame(frame) => Down::Text(frame.text().as_str().to_owned()),
                    Transmit::Refusal(_, frame) => Down::Text(frame.as_str().to_owned()),
                    Transmit::Ping => Down::Ping,
                },
            );
        }
        if let Some(End::Close(code)) = self.edge.ended()
            && self.owes_close
        {
            self.owes_close = false;
            self.push_down(now, Down::Close(code.number()));
        }
    }

    fn push_down(&mut self, now: Time, down: Down) {
        if !self.is_cut {
            self.down.push(now + self.latency, down);
        }
    }

    /// Whether nothing comes of it any more.
    pub(super) fn is_over(&self) -> bool {
        let is_empty = self.requests.len() + self.events.len() + self.down.len() == 0;
        self.edge.ended().is_some() && is_empty && self.client_learns.is_none()
    }
}
