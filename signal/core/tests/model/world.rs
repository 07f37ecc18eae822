//! The clients, their connections, the hub, and the weather.

use super::chronicle::Chronicle;
use super::client::{Client, Forgets, Link, Session};
use super::ledger::{Kind, Known, Ledger, Rolled, Told, per_edge};
use super::link::{Conn, ConnKind, Down, Up};
use crate::support::{NOW, ice, room, turn_key};
use heliograph_base::{Now, Time};
use signal_core::protocol::{ErrorCode, ServerFrame, ServerMessage};
use signal_core::{
    Config, EdgeId, Event, Hub, Output, PeerId, Purpose, Request, Resume, Seed, SessionKey,
    SessionName, TurnKey,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Signals to these go to somebody who isn't there, or elsewhere.
pub(crate) const STRANGERS_FROM: usize = 30;

const ROOMS: [&str; 3] = ["a", "b", "c"];

/// In which room each client wants to be: one too many for the first, one room too many.
const CLIENTS: [usize; 7] = [0, 0, 0, 0, 1, 1, 2];

/// What happens next. Clients and connections are chosen by a number of any size.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Opens a connection, instead of the one there may be, which lingers.
    Open {
        who: usize,
        forgets: u8,
    },
    /// The same, on one by which frames only come: a stream, or the answer to a poll.
    Listen {
        who: usize,
        polls: bool,
    },
    Signal {
        who: usize,
        to: usize,
        numbered: bool,
    },
    Ack {
        who: usize,
    },
    /// Sends on a connection of its own, which only sends, what isn't acknowledged.
    Post {
        who: usize,
        ending: u8,
    },
    /// Acknowledges no more, or again.
    Fall {
        who: usize,
    },
    Leave {
        who: usize,
        acks: bool,
    },
    Close {
        who: usize,
        code: Option<u16>,
    },
    /// The client takes note that its connection is cut, or just believes it.
    Despair {
        who: usize,
    },
    /// One frame, request or event goes on.
    Up {
        conn: usize,
    },
    Request {
        conn: usize,
    },
    Event {
        conn: usize,
    },
    Down {
        conn: usize,
    },
    /// All goes on, on this connection or on all.
    Flow {
        conn: usize,
    },
    FlowAll,
    Cut {
        conn: usize,
        up: usize,
        down: usize,
    },
    /// The server takes note that a connection is cut.
    Break {
        conn: usize,
    },
    Stall {
        conn: usize,
    },
    /// The way from the hub to an edge has no room left.
    Full {
        conn: usize,
    },
    Stranger {
        victim: usize,
        how: u8,
    },
    /// Time goes by, and all is done when it is due, or (`late`) at its end.
    Pass {
        milliseconds: u64,
        late: bool,
    },
}

#[derive(Debug)]
pub(crate) struct World {
    hub: Hub,
    ledger: Ledger,
    chronicle: Chronicle,
    config: Arc<Config>,
    now: Now,
    clients: Vec<Client>,
    conns: BTreeMap<u64, Conn>,
    last_conn: u64,
    last_payload: u64,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let ttl = Duration::from_secs(40);
        let seed = Seed { hub: 1, random: [7; 32] };
        Self {
            hub: Hub::new(config.clone(), Some(TurnKey { ttl, ..turn_key() }), &seed),
            ledger: Ledger::new(config.clone(), ttl * 3 / 4),
            chronicle: Chronicle::default(),
            config: Arc::new(config),
            now: NOW,
            clients: CLIENTS.map(|room| Client::new(ROOMS[room])).into(),
            conns: BTreeMap::new(),
            last_conn: 0,
            last_payload: 0,
        }
    }

    /// Everybody joins, in good weather.
    pub(crate) fn start(&mut self) {
        (0..CLIENTS.len()).for_each(|who| self.open(who, Forgets::Nothing));
        self.flow_all();
    }

    pub(crate) fn run(&mut self, step: &Step) {
        match *step {
            Step::Open { who, forgets } => {
                let forgets = match forgets {
                    0 => Forgets::WhoItIs,
                    1..4 => Forgets::Last(forgets.into()),
                    _ => Forgets::Nothing,
                };
                self.open(who, forgets);
            }
            Step::Signal { who, to, numbered } => self.signal(who, to, numbered),
            Step::Listen { who, polls } => {
                self.listen(who, if polls { ConnKind::Poll } else { ConnKind::Events });
            }
            Step::Ack { who } => self.ack(self.who(who)),
            Step::Post { who, ending } => self.post(who, ending),
            Step::Fall { who } => {
                let who = self.who(who);
                self.clients[who].acknowledges ^= true;
            }
            Step::Leave { who, acks } => self.leave(self.who(who), acks),
            Step::Close { who, code } => self.close(self.who(who), code),
            Step::Despair { who } => {
                let who = self.who(who);
                self.clients[who].link = Link::None;
            }
            Step::Up { conn } => self.with(conn, Self::deliver_up),
            Step::Request { conn } => self.with(conn, Self::deliver_request),
            Step::Event { conn } => self.with(conn, Self::deliver_event),
            Step::Down { conn } => self.with(conn, Self::deliver_down),
            Step::Flow { conn } => self.with(conn, Self::flow),
            Step::FlowAll => self.flow_all(),
            Step::Cut { conn, up, down } => {
                self.with(conn, |world, conn| world.conn(conn).cut(up, down));
            }
            Step::Break { conn } => self.with(conn, |world, conn| {
                world.conn(conn).cut(0, usize::MAX);
                world.conn(conn).handle_broken();
            }),
            Step::Stall { conn } => self.with(conn, |world, conn| {
                let conn = world.conn(conn);
                conn.is_stalled ^= true;
                conn.pump();
            }),
            Step::Full { conn } => self.with(conn, |world, conn| {
                world.hub.handle_full_edge(world.now.time, EdgeId(conn));
                let outputs = world.take_outputs();
                world.ledger.handle_full(world.now.time, conn);
                world.compare(outputs);
            }),
            Step::Stranger { victim, how } => self.stranger(victim, how),
            Step::Pass { milliseconds, late } => {
                self.pass(Duration::from_millis(milliseconds), late);
            }
        }
        self.conns.retain(|_, conn| !conn.is_over());
        self.check();
    }

    /// The weather clears: everybody who wants to comes back, and all that is under way comes.
    /// Then what clients know is what is, and what they sent has come or failed.
    pub(crate) fn clear(&mut self) {
        for who in 0..self.clients.len() {
            self.clients[who].acknowledges = true;
        }
        let conns: Vec<u64> = self.conns.keys().copied().collect();
        for id in conns {
            let is_live = |client: &Client| client.conn() == Some(id) && client.is_live();
            let conn = self.conn(id);
            conn.is_stalled = false;
            conn.pump();
            if conn.is_cut || conn.kind != ConnKind::WebSocket || !self.clients.iter().any(is_live)
            {
                self.conn(id).cut(0, 0);
                self.conn(id).handle_broken();
            }
        }
        for client in &mut self.clients {
            let conn = client.conn().and_then(|id| self.conns.get(&id));
            if conn.is_none_or(|conn| conn.is_cut) {
                client.link = Link::None;
            }
        }
        // Longer than the grace, and than it takes to find out who is gone.
        for _ in 0..18 {
            for who in 0..self.clients.len() {
                if self.clients[who].session.is_some() && !self.clients[who].is_live() {
                    self.open(who, Forgets::Nothing);
                }
            }
            self.flow_all();
            self.pass(Duration::from_millis(2500), false);
            self.flow_all();
        }
        self.check_rosters();
        self.check_signals();
    }

    /// Everybody goes, one way or another; nothing is left.
    pub(crate) fn end(&mut self) {
        for who in 0..self.clients.len() {
            match who % 3 {
                0 => self.run(&Step::Leave { who, acks: true }),
                1 => self.run(&Step::Close { who, code: None }),
                _ => self.clients[who].give_up(),
            }
        }
        self.flow_all();
        let conns: Vec<u64> = self.conns.keys().copied().collect();
        for id in conns {
            self.conn(id).handle_broken();
        }
        self.flow_all();
        self.pass(self.config.grace, false);
        self.check();
        assert_eq!(self.ledger.members.len(), 0);
        assert!(self.chronicle.is_empty());
        assert_eq!(self.hub.poll_timeout(), None);
        let shown = format!("{:?}", self.hub);
        for empty in ["rooms: {}", "seats: Slab { len: 0,", "peers: {}", "edges: {}", "heap: []"] {
            assert!(shown.contains(empty), "{empty}: {shown}");
        }
    }

    fn who(&self, any: usize) -> usize {
        any % self.clients.len()
    }

    fn conn(&mut self, id: u64) -> &mut Conn {
        self.conns.get_mut(&id).expect("it is there")
    }

    fn with(&mut self, any: usize, what: impl FnOnce(&mut Self, u64)) {
        let index = any.checked_rem(self.conns.len());
        let id = index.and_then(|index| self.conns.keys().nth(index).copied());
        if let Some(id) = id {
            what(self, id);
        }
    }

    fn send(&mut self, conn: u64, up: Up) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.send(up);
        }
    }

    fn add(&mut self, conn: Conn) -> u64 {
        self.last_conn += 1;
        self.conns.insert(self.last_conn, conn);
        self.last_conn
    }

    fn open(&mut self, who: usize, forgets: Forgets) {
        let who = self.who(who);
        let id = self.add(Conn::open(self.now.time, who, &self.config));
        let text = self.clients[who].open(id, forgets);
        self.send(id, Up::Text(text));
    }

    /// To somebody whom it knows, or who is gone, or in another room.
    fn signal(&mut self, who: usize, to: usize, numbered: bool) {
        let who = self.who(who);
        let Some(session) = &self.clients[who].session else { return };
        let known = to.checked_rem(session.roster.len()).filter(|_| to < STRANGERS_FROM);
        let to = match known {
            Some(index) => session.roster[index].peer.clone(),
            None => {
                let other = &self.clients[self.who(to)];
                let past = other.past.last().or(other.session.as_ref());
                let Some(session) = past else { return };
                session.peer.clone()
            }
        };
        self.last_payload += 1;
        let client = &mut self.clients[who];
        if let (Some(text), Some(conn)) =
            (client.signal(&to, self.last_payload, numbered), client.conn())
        {
            self.send(conn, Up::Text(text));
        }
    }

    fn leave(&mut self, who: usize, acks: bool) {
        let conn = self.clients[who].conn();
        if let (Some(text), Some(conn)) = (self.clients[who].leave(acks), conn) {
            self.send(conn, Up::Text(text));
        }
    }

    fn close(&mut self, who: usize, code: Option<u16>) {
        let client = &mut self.clients[who];
        let conn = client.conn();
        match code.is_none_or(|code| code < 3000) {
            true => client.give_up(),
            false => client.link = Link::None,
        }
        if let Some(conn) = conn {
            self.send(conn, Up::Close(code));
        }
    }

    fn ack(&mut self, who: usize) {
        let client = &mut self.clients[who];
        if let (Some(text), Some(conn)) = (client.ack(), client.conn()) {
            self.send(conn, Up::Text(text));
        }
    }

    fn post(&mut self, who: usize, ending: u8) {
        let who = self.who(who);
        let Some(session) = &self.clients[who].session else { return };
        let mut up: VecDeque<_> =
            session.unacked.iter().map(|sent| Up::Text(sent.text(None))).collect();
        let ack = format!("{{\"type\":\"ack\",\"ack\":{}}}", session.seq);
        match ending {
            0 => up.push_back(Up::Text(r#"{"type":"leave"}"#.to_owned())),
            _ if ending.is_multiple_of(2) => up.push_back(Up::Text(ack)),
            _ => {}
        }
        up.push_back(Up::Done);
        let resume = (ConnKind::Post, resume(session, Purpose::Send));
        let mut conn = Conn::resuming(self.now.time, who, &self.config, resume);
        conn.up = up;
        self.add(conn);
        if ending == 0 {
            self.clients[who].give_up();
        }
    }

    fn listen(&mut self, who: usize, kind: ConnKind) {
        let who = self.who(who);
        let id = self.last_conn + 1;
        let Some(seq) = self.clients[who].resume(id, Forgets::Nothing) else { return };
        let session = self.clients[who].session.as_ref().unwrap();
        let is_oneway = kind == ConnKind::Events;
        let resume = (kind, resume(session, Purpose::Listen { seq, ice: ice(), is_oneway }));
        let mut conn = Conn::resuming(self.now.time, who, &self.config, resume);
        if kind == ConnKind::Poll {
            conn.up.push_back(Up::Done);
        }
        self.add(conn);
    }

    /// Somebody who doesn't have the key of a session, or has another one, changes nothing.
    fn stranger(&mut self, victim: usize, how: u8) {
        let Some(session) = &self.clients[self.who(victim)].session else { return };
        let SessionName { room: _, peer } = SessionName::parse(&session.name).unwrap();
        let key = SessionKey::parse(&session.key).unwrap();
        let mut bits = [how; 16];
        bits[15] = 1;
        let (name, key) =
            match how % 3 {
                0 => (session.name.clone(), SessionKey::from_random(bits)),
                1 => (format!("elsewhere:{peer}"), key),
                _ => match self.clients.iter().find_map(|other| {
                    other.session.as_ref().filter(|other| other.name != session.name)
                }) {
                    Some(other) => (session.name.clone(), SessionKey::parse(&other.key).unwrap()),
                    None => return,
                },
            };
        let name = SessionName::parse(&name).unwrap();
        let purpose = match how % 2 {
            0 => Purpose::Send,
            _ => Purpose::Listen { seq: session.seq, ice: ice(), is_oneway: false },
        };
        let before = format!("{:?}", self.hub);
        self.last_conn += 1;
        let edge = self.last_conn;
        let resume = Resume { name, key, attempt: None, purpose, id: Some(9) };
        let request = Request::Resume(Box::new(resume));
        self.hub.handle(self.now, EdgeId(edge), request);
        let answer: Vec<_> = std::iter::from_fn(|| self.hub.poll_output()).collect();
        let [Output { to: EdgeId(to), event: Event::Refused { code, id: Some(9), .. } }] =
            &answer[..]
        else {
            panic!("{answer:?}")
        };
        assert_eq!((*to, *code), (edge, ErrorCode::NoSuchSession));
        assert_eq!(format!("{:?}", self.hub), before);
    }

    fn flow_all(&mut self) {
        for _ in 0..1000 {
            let conns: Vec<u64> = self.conns.keys().copied().collect();
            conns.iter().for_each(|id| self.flow(*id));
            self.conns.retain(|_, conn| !conn.is_over());
            let is_quiet = |conn: &Conn| {
                let Conn { up, down, requests, events, edge, .. } = conn;
                let is_up_quiet = up.is_empty() || !edge.wants_frames();
                is_up_quiet && down.is_empty() && requests.is_empty() && events.is_empty()
            };
            if self.conns.values().all(is_quiet) {
                return;
            }
        }
        panic!("it never ends");
    }

    fn flow(&mut self, id: u64) {
        let now = self.now.time;
        while self.conn(id).deliver_up(now) {}
        while !self.conn(id).requests.is_empty() {
            self.deliver_request(id);
        }
        while self.conn(id).deliver_event() {}
        while !self.conn(id).down.is_empty() {
            self.deliver_down(id);
        }
    }

    fn deliver_up(&mut self, id: u64) {
        let now = self.now.time;
        self.conn(id).deliver_up(now);
    }

    fn deliver_event(&mut self, id: u64) {
        self.conn(id).deliver_event();
    }

    fn deliver_request(&mut self, id: u64) {
        let Some(request) = self.conn(id).requests.pop_front() else { return };
        let joins = self.hub.counts().joins;
        self.hub.handle(self.now, EdgeId(id), request.clone());
        let outputs = self.take_outputs();
        let has_joined = self.hub.counts().joins > joins;
        let rolled = has_joined.then(|| rolled(id, &outputs));
        self.ledger.handle(self.now.time, id, &request, rolled);
        self.compare(outputs);
    }

    fn deliver_down(&mut self, id: u64) {
        let Some(down) = self.conn(id).down.pop_front() else { return };
        let Conn { owner, kind, edge, .. } = self.conn(id);
        let (owner, kind, peer) = (*owner, *kind, edge.peer().cloned());
        let client = &mut self.clients[owner];
        if let Down::Answer(ack) = down {
            return client.read_answer(peer.as_ref().map_or("", PeerId::as_str), ack);
        }
        if client.conn() != Some(id) {
            return;
        }
        match down {
            Down::Text(text) => {
                let answers = client.read(&text);
                if kind != ConnKind::WebSocket && matches!(client.link, Link::Asked(_, None)) {
                    // It isn't the place to join anew.
                    client.link = Link::None;
                }
                answers.into_iter().for_each(|text| self.send(id, Up::Text(text)));
            }
            Down::Ping => self.send(id, Up::Pong),
            Down::Close(code) => client.closed(code),
            Down::Done => client.link = Link::None,
            Down::Answer(_) => {}
        }
    }

    /// Lets time go by; a late hub looks at it only at the end.
    fn pass(&mut self, duration: Duration, late: bool) {
        let end = self.now.time + duration;
        loop {
            let hub = self.hub.poll_timeout();
            assert!(self.ledger.timeout().is_none_or(|due| hub.is_some_and(|hub| hub <= due)));
            let edges = self.conns.values().filter_map(Conn::timeout).min();
            let Some(due) = hub.into_iter().chain(edges).min().filter(|due| *due <= end) else {
                break;
            };
            self.set_time(if late { end } else { due });
            self.hub.handle_timeout(self.now);
            let outputs = self.take_outputs();
            self.ledger.handle_timeout(self.now.time);
            self.compare(outputs);
            for conn in self.conns.values_mut() {
                if conn.timeout().is_some_and(|due| due <= self.now.time) {
                    conn.handle_timeout(self.now.time);
                }
            }
        }
        self.set_time(end);
        (0..self.clients.len()).for_each(|who| self.ack(who));
    }

    fn set_time(&mut self, time: Time) {
        self.now = Now { time, unix: NOW.unix + time.since(Time::START) };
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.hub.poll_output()).collect()
    }

    /// The hub has told its edges what it was to tell them, and nothing else.
    fn compare(&mut self, outputs: Vec<Output>) {
        let expected = per_edge(self.ledger.take_told());
        let mut told = Vec::new();
        for Output { to: EdgeId(edge), event } in outputs {
            let (ack, what) = read(&event);
            if let Some(ack) = ack {
                self.ledger.expect_ack(edge, ack);
            }
            told.extend(what.map(|what| (edge, what)));
            if let Some(conn) = self.conns.get_mut(&edge) {
                conn.events.push_back(event);
            }
        }
        assert_eq!(per_edge(told), expected);
        let happened = std::iter::from_fn(|| self.hub.poll_happening());
        self.ledger.expect_departures(&self.chronicle.departures(happened));
    }

    fn check(&self) {
        let counts = self.hub.counts();
        let there = (self.ledger.rooms() as u64, self.ledger.members.len() as u64);
        assert_eq!((counts.rooms, counts.members), there);
        assert!(there.0 <= self.config.rooms_max as u64);
        assert!(there.1 <= self.config.members_max as u64);
        for name in ROOMS {
            let roster = self.roster(name);
            assert!(roster.len() <= self.config.room_members_max);
            let expected = self.ledger.room(name).map(|member| member.peer.clone());
            assert_eq!(roster, expected.collect::<Vec<_>>());
            assert_eq!(roster, self.chronicle.room(name), "what happened led to what is");
        }
        for &id in self.conns.keys().chain(self.ledger.edges.keys()) {
            assert_eq!(self.hub.knows(EdgeId(id)), self.ledger.edges.contains_key(&id), "{id}");
        }
        self.ledger.check_owed(self.now.time);
    }

    fn roster(&self, name: &str) -> Vec<String> {
        self.hub.roster(&room(name)).map(PeerId::to_string).collect()
    }

    /// What clients were told of their rooms is so, and no two of a pair have the same role.
    fn check_rosters(&self) {
        let live = || self.clients.iter().filter(|client| client.is_live());
        for client in live() {
            let session = client.session.as_ref().unwrap();
            assert!(session.unacked.is_empty(), "its requests were carried out");
            let known: Vec<_> = session.roster.iter().map(|known| known.peer.clone()).collect();
            let mut roster = self.roster(&client.room);
            roster.retain(|peer| *peer != session.peer);
            assert_eq!(known, roster, "of {}", session.peer);
            for Known { peer, polite, offers, away } in &session.roster {
                let member = self.ledger.room(&client.room).find(|member| member.peer == *peer);
                assert_eq!(*away, member.unwrap().is_away());
                let other = live().filter_map(|other| other.session.as_ref());
                let Some(other) = other.into_iter().find(|other| other.peer == *peer) else {
                    continue;
                };
                let mirror = other.roster.iter().find(|known| known.peer == session.peer).unwrap();
                assert_eq!((mirror.polite, mirror.offers), (!polite, !offers), "one of each pair");
            }
        }
    }

    /// Signals came once, in order and without a hole, and the sender knows of those that didn't.
    fn check_signals(&self) {
        let all = self.clients.iter().flat_map(|client| client.past.iter().chain(&client.session));
        let all: HashMap<_, _> = all.map(|session| (session.peer.as_str(), session)).collect();
        for sender in all.values() {
            let owner = self
                .clients
                .iter()
                .find(|client| client.session.as_ref().is_some_and(|own| own.peer == sender.peer));
            // What failed may be among what a resync has lost.
            let is_there = owner.is_some_and(Client::is_live) && sender.resyncs == 0;
            let mut receivers: Vec<_> = sender.sent.iter().map(|sent| sent.to.as_str()).collect();
            receivers.sort_unstable();
            receivers.dedup();
            for receiver in receivers {
                check_pair(sender, receiver, all.get(receiver).copied(), is_there);
            }
        }
    }
}

fn check_pair(sender: &Session, to: &str, receiver: Option<&Session>, is_there: bool) {
    let came = receiver.map_or(&[][..], |receiver| &receiver.received);
    let came = came.iter().filter(|(from, _)| *from == sender.peer).map(|(_, payload)| *payload);
    let came: Vec<u64> = came.collect();
    let sent = || sender.sent.iter().filter(|sent| sent.to == to);
    for numbered in [false, true] {
        let kind = || sent().filter(|sent| sent.id.is_some() == numbered);
        let order: Vec<_> = kind().map(|sent| sent.payload).collect();
        let found: Vec<_> = came.iter().filter(|it| order.contains(it)).copied().collect();
        assert!(found.is_sorted_by(|a, b| a < b), "{found:?}: once, in the order of sending");
    }
    assert!(came.iter().all(|it| sent().any(|sent| sent.payload == *it)), "none was made up");
    let has_resynced = receiver.is_some_and(|receiver| receiver.resyncs > 0);
    let mut is_hole = false;
    for sent in sent().rev() {
        let Some(id) = sent.id else { continue };
        let has_come = came.contains(&sent.payload);
        let error = sender.errors.get(&id);
        assert!(has_come || !is_hole || has_resynced, "{} is missing", sent.payload);
        assert!(has_come || error.is_some() || !is_there, "{} failed silently", sent.payload);
        let is_refused = error == Some(&ErrorCode::NoSuchPeer);
        assert!(!(has_come && is_refused), "{} came though it was refused", sent.payload);
        is_hole |= has_come;
    }
}

fn resume(session: &Session, purpose: Purpose) -> Resume {
    let name = SessionName::parse(&session.name).unwrap();
    let key = SessionKey::parse(&session.key).unwrap();
    Resume { name, key, attempt: None, purpose, id: None }
}

/// The peer id and key of a seat that has just been given.
fn rolled(edge: u64, outputs: &[Output]) -> Rolled {
    let welcome = outputs.iter().filter(|output| output.to == EdgeId(edge)).find_map(|output| {
        let Event::Frame(frame) = &output.event else { return None };
        let text = frame.text();
        let message = ServerMessage::parse(text.as_str()).unwrap();
        let ServerFrame::Welcome(welcome) = message.frame else { return None };
        let key = SessionKey::parse(&welcome.key).unwrap();
        Some(Rolled { peer: welcome.peer.to_string(), key })
    });
    welcome.expect("a seat has a welcome")
}

/// What an edge is told, and which of its requests were carried out.
fn read(event: &Event) -> (Option<u64>, Option<Told>) {
    let frame = match event {
        Event::Seated { peer } => return (None, Some(Told::Seated(peer.to_string()))),
        Event::Refused { code, id, .. } => return (None, Some(Told::Refused(*code, *id))),
        Event::Done { ack } => return (None, Some(Told::Done(*ack))),
        Event::Close(code) => return (None, Some(Told::Close(*code))),
        Event::Frame(frame) => frame.text(),
        Event::Facts(_) => unreachable!("the clients here don't ask"),
    };
    let ServerMessage { seq, ack, frame } = ServerMessage::parse(frame.as_str()).unwrap();
    if let ServerFrame::Resumed { ack } = frame {
        return (Some(ack), Some(Told::Resumed(ack)));
    }
    if let ServerFrame::Ack { ack } = frame {
        return (Some(ack), None);
    }
    let kind = kind(&frame);
    // In these it isn't news when they come again.
    let ack = ack.filter(|_| !matches!(kind, Kind::Welcome(_) | Kind::Resync(..)));
    (ack, Some(Told::Frame(seq.expect("it is numbered"), kind)))
}

fn kind(frame: &ServerFrame<'_>) -> Kind {
    let known = |members: &[_]| members.iter().map(Known::of).collect();
    match frame {
        ServerFrame::Presence { changes } => Kind::Presence(changes.iter().map(kind).collect()),
        ServerFrame::Welcome(welcome) => Kind::Welcome(known(&welcome.members)),
        ServerFrame::Resync(state) => Kind::Resync(state.ack, known(&state.members)),
        ServerFrame::Joined(member) => Kind::Joined(Known::of(member)),
        ServerFrame::Away { peer } => Kind::Away(peer.to_string()),
        ServerFrame::Back { peer } => Kind::Back(peer.to_string()),
        ServerFrame::Left { peer, reason } => Kind::Left(peer.to_string(), *reason),
        ServerFrame::Signal { from, data } => Kind::Signal(from.to_string(), data.get().to_owned()),
        ServerFrame::Error(error) => Kind::Error(error.id.unwrap(), error.code),
        ServerFrame::Ice(_) => Kind::Ice,
        ServerFrame::Metadata { .. }
        | ServerFrame::Host { .. }
        | ServerFrame::Broadcast { .. }
        | ServerFrame::State { .. }
        | ServerFrame::Rules(_)
        | ServerFrame::Resumed { .. }
        | ServerFrame::Ack { .. }
        | ServerFrame::Pong { .. }
        | ServerFrame::Diagnosis(_)
        | ServerFrame::Close { .. }
        | ServerFrame::Token { .. }
        | ServerFrame::Goaway { .. }
        | ServerFrame::Waiting { .. }
        | ServerFrame::Matched { .. }
        | ServerFrame::Expired { .. }
        | ServerFrame::Unknown => {
            panic!("not from a hub: {frame:?}")
        }
    }
}
