//! Everybody who is in the world, and what befalls them.

use super::Seen;
use super::conn::{Conn, Down, Next, Up};
use super::member::{Life, Member, Payload, Sent};
use crate::{Dice, Trace};
use heliograph_base::{Now, Secret, Time, UnixTime};
use serde_json::value::RawValue;
use signal_core::client::Output;
use signal_core::protocol::ErrorCode;
use signal_core::{
    Config, Edge, EdgeId, Happening, Hub, IceUrls, NewRoom, PeerId, RoomId, Seed, TurnKey,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// When a world begins, in seconds since 1970.
const UNIX_START_S: u64 = 1_800_000_000;

/// How long a room without members waits for others.
const IDLE: Duration = Duration::from_secs(3600);

/// How many events may wait in front of an edge.
const EVENTS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct World {
    dice: Dice,
    trace: Trace,
    now: Time,
    clock_step_s: i64,
    config: Arc<Config>,
    hub: Hub,
    rooms: Vec<RoomId>,
    members: Vec<Member>,
    conns: BTreeMap<u64, Conn>,
    last_conn: u64,
    /// When a connection that somebody wants is open, or can't be.
    opening: BTreeMap<usize, Time>,
    /// Until when somebody has no network.
    offline: BTreeMap<usize, Time>,
    is_fair: bool,
    /// Whether nobody comes again.
    is_ending: bool,
    last_payload: Payload,
    /// How often the room with a host was opened; and how often it had been when somebody joined.
    opened: u64,
    opened_before: BTreeMap<PeerId, u64>,
    seen: Seen,
}

impl World {
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
        let mut dice = Dice::new(seed);
        let config = config(&mut dice);
        let hub = hub(&config, &mut dice);
        let name = |name| RoomId::parse(name).expect("a room's name");
        let rooms = vec![name("hosted"), name("plain")];
        let count = 2 + dice.place(5);
        let members = (0..count)
            .map(|_| Member::new(rooms[usize::from(dice.chance(300))].clone(), &mut dice))
            .collect();
        let mut world = Self {
            dice,
            trace,
            now: Time::START,
            clock_step_s: 0,
            config: Arc::new(config),
            hub,
            rooms,
            members,
            conns: BTreeMap::new(),
            last_conn: 0,
            opening: BTreeMap::new(),
            offline: BTreeMap::new(),
            is_fair: false,
            is_ending: false,
            last_payload: 0,
            opened: 0,
            opened_before: BTreeMap::new(),
            seen: Seen::default(),
        };
        world.open_room();
        world
    }

    /// Everything goes wrong.
    pub(super) fn storm(&mut self) {
        for _ in 0..60 + self.dice.below(120) {
            let pauses = [1, 50, 500, 3000, 15_000].map(Duration::from_millis);
            let pause = self.dice.pick(&pauses);
            let until = self.now + self.dice.up_to(pause);
            self.run_until(until);
            self.act();
        }
    }

    /// The weather clears: everybody is in the room, and what they know is what is.
    pub(super) fn clear(&mut self) {
        self.is_fair = true;
        self.offline.clear();
        for conn in self.conns.values_mut() {
            conn.stall(Time::START);
        }
        // Longer than the longest stall, pause and grace.
        self.run_until(self.now + Duration::from_secs(150));
        for who in 0..self.members.len() {
            let is_online = self.members[who].session.is_online();
            let waits = self.is_full(&self.members[who].room);
            assert!(is_online || waits, "{who} is in the room, under a clear sky");
            if !is_online {
                self.members[who].end_life();
            }
        }
        self.check_rosters();
        self.check_signals();
        self.check_hosts();
    }

    /// Everybody goes, and nothing is left.
    pub(super) fn end(mut self) -> Seen {
        self.is_ending = true;
        for who in 0..self.members.len() {
            match who % 2 {
                0 => self.members[who].session.leave(),
                _ => {
                    self.cut(who, true);
                    self.members[who].session.leave();
                    while self.members[who].session.poll_output().is_some() {}
                }
            }
        }
        self.run_until(self.now + IDLE + Duration::from_secs(120));
        let counts = self.hub.counts();
        assert_eq!((counts.rooms, counts.members), (0, 0), "all are gone");
        assert_eq!(self.hub.poll_timeout(), None, "nothing is left to do");
        assert!(self.conns.is_empty(), "every connection has ended");
        self.seen.joins += counts.joins;
        self.seen.resumes += counts.resumes;
        let lives = self.members.iter().flat_map(|member| &member.lives);
        for life in lives {
            self.seen.signals += life.came.len() as u64;
            self.seen.refused += life.refused.len() as u64;
            self.seen.hosts += life.hosts.len() as u64;
        }
        self.seen
    }

    fn act(&mut self) {
        let who = self.dice.place(self.members.len());
        match self.dice.below(100) {
            0..56 => (0..=self.dice.place(5)).for_each(|_| self.signal(who)),
            56..66 => self.cut(who, false),
            66..72 => {
                let until = self.now + self.dice.up_to(Duration::from_secs(25));
                self.trace.note(self.now, || format!("{who} stalls"));
                if let Some(conn) = self.conn(who) {
                    conn.stall(until);
                }
            }
            72..77 => {
                self.trace.note(self.now, || format!("{who} has no network"));
                let until = self.now + self.dice.up_to(Duration::from_secs(60));
                self.offline.insert(who, until);
                self.cut(who, false);
            }
            77..82 => {
                let now = self.now;
                self.members[who].session.retry_now(now);
            }
            82..87 => {
                self.trace.note(self.now, || format!("{who} leaves"));
                self.members[who].session.leave();
                self.pump(who);
                self.start_anew(who);
            }
            87..91 => {
                self.trace.note(self.now, || format!("{who} crashes"));
                self.cut(who, true);
                self.start_anew(who);
            }
            91..94 => self.kick(who),
            94 => self.restart(),
            95..97 => self.clock_step_s = self.dice.pick(&[-7200, 0, 30, 86_400]),
            97 => {
                let room = self.members[who].room.clone();
                self.trace.note(self.now, || format!("{room} is closed"));
                for member in self.members.iter_mut().filter(|member| member.room == room) {
                    member.may_end = true;
                }
                self.hub.handle_close_room(self.now, &room);
                self.drain();
                self.open_room();
            }
            _ => self.run_until(self.now + Duration::from_secs(40)),
        }
        self.pump_all();
    }

    /// To somebody whom it knows, or knew.
    fn signal(&mut self, who: usize) {
        let Some(life) = self.members[who].life() else { return };
        let known: Vec<&PeerId> = life.roster.keys().collect();
        let to = match self.dice.chance(900) && !known.is_empty() {
            true => self.dice.pick(&known).clone(),
            false => {
                let lives = self.members.iter().flat_map(|member| &member.lives);
                let lives: Vec<&Life> = lives.collect();
                lives[self.dice.place(lives.len())].peer.clone()
            }
        };
        self.last_payload += 1;
        let payload = self.last_payload;
        let data = RawValue::from_string(payload.to_string()).expect("a number");
        let member = &mut self.members[who];
        if let Ok(id) = member.session.signal(&to, data) {
            let life = member.lives.last_mut().expect("it has a seat");
            self.trace.note(self.now, || format!("{who} sends {payload} to {to} as {id}"));
            life.sent.push(Sent { id, to, payload });
        }
        self.pump(who);
    }

    /// The connection of somebody is lost; when each end takes note of it, is another question.
    fn cut(&mut self, who: usize, for_good: bool) {
        let keep = (self.dice.place(4), self.dice.place(4));
        let mut learns = || {
            let after = self.dice.up_to(Duration::from_secs(20));
            self.dice.chance(700).then(|| self.now + after)
        };
        let (server, client) = (learns(), learns().filter(|_| !for_good));
        self.trace.note(self.now, || format!("the connection of {who} is cut"));
        if let Some(conn) = self.conn(who) {
            conn.cut(keep, (server, client));
        }
        if for_good {
            self.members[who].conn = None;
        }
    }

    fn start_anew(&mut self, who: usize) {
        self.opening.remove(&who);
        self.members[who].start_anew(&mut self.dice);
    }

    fn kick(&mut self, who: usize) {
        let Some(life) = self.members[who].life() else { return };
        let (room, peer) = (self.members[who].room.clone(), life.peer.clone());
        self.trace.note(self.now, || format!("{who} is removed"));
        self.members[who].may_end = true;
        self.hub.handle_kick(self.now, &room, &peer);
        self.drain();
    }

    /// All that the server knew is gone, and every connection with it.
    fn restart(&mut self) {
        self.trace.note(self.now, || "the server starts anew".to_owned());
        let counts = self.hub.counts();
        self.seen.joins += counts.joins;
        self.seen.resumes += counts.resumes;
        for member in &mut self.members {
            if let Some(mut conn) = member.conn.and_then(|id| self.conns.remove(&id)) {
                let learns = self.now + self.dice.up_to(Duration::from_secs(2));
                conn.cut((0, 0), (None, Some(learns)));
                conn.handle(self.now, Edge::handle_broken);
                self.last_conn += 1;
                member.conn = Some(self.last_conn);
                self.conns.insert(self.last_conn, conn);
            }
        }
        let kept: BTreeSet<u64> = self.members.iter().filter_map(|member| member.conn).collect();
        self.conns.retain(|id, _| kept.contains(id));
        self.hub = hub(&self.config, &mut self.dice);
        self.open_room();
    }

    /// The first room has a host.
    fn open_room(&mut self) {
        let new = NewRoom { hosted: true, idle: Some(IDLE), ..NewRoom::default() };
        let room = self.rooms[0].clone();
        match self.hub.handle_open_room(self.now(), &room, new) {
            Ok(()) | Err(ErrorCode::RoomTaken) => self.drain(),
            Err(code) => panic!("{room} can't be opened: {code}"),
        }
    }

    fn conn(&mut self, who: usize) -> Option<&mut Conn> {
        self.members[who].conn.and_then(|id| self.conns.get_mut(&id))
    }

    fn now(&self) -> Now {
        let seconds = UNIX_START_S + self.now.since_start().as_secs();
        let unix = UnixTime::from_seconds(seconds.saturating_add_signed(self.clock_step_s));
        Now { time: self.now, unix }
    }

    fn run_until(&mut self, end: Time) {
        self.pump_all();
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.step();
        }
        self.now = self.now.max(end);
    }

    fn next_due(&self) -> Option<Time> {
        let conns = self.conns.values().filter_map(Conn::due);
        let sessions = self.members.iter().filter_map(|member| member.session.poll_timeout());
        let opening = self.opening.values().copied();
        conns.chain(sessions).chain(opening).chain(self.hub.poll_timeout()).min()
    }

    /// Does all that is due.
    fn step(&mut self) {
        let now = self.now;
        if self.hub.poll_timeout().is_some_and(|due| due <= now) {
            self.hub.handle_timeout(self.now());
            self.drain();
        }
        let due = self.opening.iter().filter(|(_, at)| **at <= now).map(|(who, _)| *who);
        for who in due.collect::<Vec<_>>() {
            self.opening.remove(&who);
            self.open(who);
        }
        let ids: Vec<u64> = self.conns.keys().copied().collect();
        for id in ids {
            while let Some(next) = self.conns.get_mut(&id).and_then(|conn| conn.next(now)) {
                self.handle(id, next);
            }
        }
        self.conns.retain(|_, conn| !conn.is_over());
        for who in 0..self.members.len() {
            let member = &mut self.members[who];
            if member.session.poll_timeout().is_some_and(|due| due <= now) {
                member.session.handle_timeout(now);
                self.pump(who);
            }
        }
    }

    fn open(&mut self, who: usize) {
        let now = self.now;
        let is_offline = self.offline.get(&who).is_some_and(|until| now < *until);
        if is_offline || !self.is_fair && self.dice.chance(100) {
            self.members[who].session.handle_lost(now, None);
            return self.pump(who);
        }
        self.last_conn += 1;
        let edge = Edge::new(now, self.config.clone(), Arc::new(IceUrls::default()));
        let latency = Duration::from_millis(1) + self.dice.up_to(Duration::from_millis(200));
        self.conns.insert(self.last_conn, Conn::new(who, edge, latency));
        self.members[who].conn = Some(self.last_conn);
        self.members[who].session.handle_opened(now);
        self.pump(who);
    }

    fn handle(&mut self, id: u64, next: Next) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let owner = conn.owner;
        let is_own = self.members[owner].conn == Some(id);
        match next {
            Next::Up(Up::Text(text)) => conn.handle(now, |edge| edge.handle_text(now, &text)),
            Next::Up(Up::Pong) => conn.handle(now, |edge| edge.handle_sign_of_life(now)),
            Next::Up(Up::Close(code)) => conn.handle(now, |edge| edge.handle_closed(Some(code))),
            Next::EdgeTimeout => conn.handle(now, |edge| edge.handle_timeout(now)),
            Next::ServerLearns => conn.handle(now, Edge::handle_broken),
            Next::Event(event) => conn.handle(now, |edge| edge.handle_event(event)),
            Next::Request(request) => {
                self.hub.handle(self.now(), EdgeId(id), request);
                self.drain();
            }
            Next::Down(_) | Next::ClientLearns if !is_own => {}
            Next::Down(Down::Text(text)) => self.members[owner].session.handle_text(now, &text),
            Next::Down(Down::Ping) => {
                conn.send(now, Up::Pong);
                self.members[owner].session.handle_sign_of_life(now);
            }
            Next::Down(Down::Close(code)) => {
                self.trace.note(now, || format!("{owner} is closed with {code}"));
                self.members[owner].conn = None;
                self.members[owner].session.handle_lost(now, Some(code));
            }
            Next::ClientLearns => {
                self.members[owner].conn = None;
                self.members[owner].session.handle_lost(now, None);
            }
        }
        self.pump(owner);
    }

    /// Brings to the edges what the hub tells them.
    fn drain(&mut self) {
        while let Some(happening) = self.hub.poll_happening() {
            match happening {
                Happening::RoomOpened(room) => {
                    self.opened += u64::from(room == self.rooms[0]);
                }
                Happening::Joined(arrival) => {
                    self.opened_before.insert(arrival.peer, self.opened);
                }
                Happening::Left(_) | Happening::RoomClosed(_) => {}
            }
        }
        let mut full = BTreeSet::new();
        while let Some(output) = self.hub.poll_output() {
            let EdgeId(id) = output.to;
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            conn.tell(self.now, output.event);
            if conn.events.len() > EVENTS_MAX {
                full.insert(id);
            }
        }
        for id in full {
            self.hub.handle_full_edge(self.now, EdgeId(id));
            self.drain();
        }
    }

    fn pump_all(&mut self) {
        (0..self.members.len()).for_each(|who| self.pump(who));
    }

    /// Does what a client's session wants.
    fn pump(&mut self, who: usize) {
        let now = self.now;
        while let Some(output) = self.members[who].session.poll_output() {
            match output {
                Output::Connect(_) => {
                    self.members[who].conn = None;
                    let after =
                        Duration::from_millis(5) + self.dice.up_to(Duration::from_millis(300));
                    self.opening.insert(who, now + after);
                }
                Output::Send(text) => {
                    if let Some(conn) = self.conn(who) {
                        conn.send(now, Up::Text(text));
                    }
                }
                Output::Close(code) => {
                    if let Some(conn) = self.conn(who) {
                        conn.send(now, Up::Close(code));
                    }
                    self.members[who].conn = None;
                }
                Output::Event(event) => {
                    self.trace.note(now, || format!("{who}: {event:?}"));
                    self.members[who].note(event);
                }
            }
        }
        if self.members[who].has_ended && !self.is_ending {
            self.start_anew(who);
            self.pump(who);
        }
    }

    fn is_full(&self, room: &RoomId) -> bool {
        self.hub.roster(room).count() >= self.config.room_members_max
    }

    /// Everybody in a room knows everybody else in it and nobody more, and of each pair one is
    /// polite and one makes the offer.
    fn check_rosters(&self) {
        for room in &self.rooms {
            let there: BTreeSet<&PeerId> = self.hub.roster(room).collect();
            let lives = self.members.iter().filter(|member| member.room == *room);
            let lives: Vec<&Life> = lives.filter_map(Member::life).collect();
            for life in &lives {
                let mut known: BTreeSet<&PeerId> = life.roster.keys().collect();
                known.insert(&life.peer);
                assert_eq!(known, there, "what {} knows of {room}", life.peer);
            }
            assert_eq!(lives.len(), there.len(), "no ghost sits in {room}");
            for (one, other) in lives.iter().flat_map(|one| lives.iter().map(move |it| (one, it))) {
                let (Some(ours), Some(theirs)) =
                    (one.roster.get(&other.peer), other.roster.get(&one.peer))
                else {
                    continue;
                };
                assert!(!ours.away, "{} is there", other.peer);
                assert_ne!(ours.polite, theirs.polite, "one of each pair is polite");
                assert_ne!(ours.offers, theirs.offers, "one of each pair makes the offer");
            }
        }
    }

    /// Each signal came once and in order, and of those that didn't the sender knows.
    fn check_signals(&self) {
        let lives = || self.members.iter().flat_map(|member| &member.lives);
        let by_peer: BTreeMap<&PeerId, &Life> = lives().map(|life| (&life.peer, life)).collect();
        for receiver in lives() {
            for (from, payload) in &receiver.came {
                let sent = by_peer[from].sent.iter();
                let is_right = |sent: &Sent| sent.to == receiver.peer && sent.payload == *payload;
                assert!(sent.clone().any(is_right), "{from} sent no {payload}");
            }
        }
        for sender in lives() {
            let to: BTreeSet<&PeerId> = sender.sent.iter().map(|sent| &sent.to).collect();
            for to in to {
                check_pair(sender, to, by_peer.get(to).copied());
            }
        }
    }

    /// In each term of a room everybody knows of the same host.
    fn check_hosts(&self) {
        let mut hosts: BTreeMap<(u64, u64), &Option<PeerId>> = BTreeMap::new();
        let hosted = self.members.iter().filter(|member| member.room == self.rooms[0]);
        for life in hosted.flat_map(|member| &member.lives) {
            let room = self.opened_before[&life.peer];
            for (term, host) in &life.hosts {
                let before = *hosts.entry((room, *term)).or_insert(host);
                assert_eq!(before, host, "the host of term {term}");
            }
        }
    }
}

fn check_pair(sender: &Life, to: &PeerId, receiver: Option<&Life>) {
    let came = receiver.map_or(&[][..], |receiver| &receiver.came);
    let came = came.iter().filter(|(from, _)| *from == sender.peer);
    let came: Vec<Payload> = came.map(|(_, payload)| *payload).collect();
    assert!(came.is_sorted_by(|a, b| a < b), "{came:?}: once, in the order of sending");
    let mut is_followed = false;
    for sent in sender.sent.iter().rev().filter(|sent| sent.to == *to) {
        let has_come = came.contains(&sent.payload);
        let refused = sender.refused.get(&sent.id);
        assert!(has_come || !is_followed, "{} is missing before others", sent.payload);
        let is_told = has_come || refused.is_some() || !sender.is_current;
        assert!(is_told, "{} failed, and nobody was told", sent.payload);
        let is_refused = refused == Some(&ErrorCode::NoSuchPeer);
        assert!(!(has_come && is_refused), "{} came though it was refused", sent.payload);
        is_followed |= has_come;
    }
}

fn hub(config: &Config, dice: &mut Dice) -> Hub {
    let secret = Secret::from_text("a secret of the virtual world").expect("a secret");
    let turn = TurnKey { secret, ttl: Duration::from_secs(600) };
    Hub::new(config.clone(), Some(turn), &Seed { hub: 1, random: dice.bytes() })
}

/// With limits that are met.
fn config(dice: &mut Dice) -> Config {
    Config {
        room_members_max: dice.pick(&[3, 100]),
        unacked_frames_max: dice.pick(&[20, 256]),
        news_per_s: dice.pick(&[2, 200]),
        news_burst: dice.pick(&[2, 32]),
        ..Config::default()
    }
}
