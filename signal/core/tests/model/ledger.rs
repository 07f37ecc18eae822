//! What a hub is to do, written a second time and plainly: no JSON, no tables, no timers.

use heliograph_base::Time;
use signal_core::protocol::{CloseCode, ErrorCode, LeaveReason, Member as MemberFrame};
use signal_core::{
    Bucket, Config, Departure, Detached, EdgeId, Join, Purpose, Request, Resume, SessionKey, Signal,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What an edge is told; acknowledgements are looked at apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Seated(String),
    Frame(u64, Kind),
    Resumed(u64),
    /// To an edge that only sent, and goes.
    Done(u64),
    Refused(ErrorCode, Option<u64>),
    Close(CloseCode),
}

/// A numbered frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Welcome(Vec<Known>),
    Resync(u64, Vec<Known>),
    Joined(Known),
    Away(String),
    Back(String),
    Left(String, LeaveReason),
    Presence(Vec<Self>),
    Signal(String, String),
    Error(u64, ErrorCode),
    Ice,
}

/// Another member as one is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) peer: String,
    pub(crate) polite: bool,
    pub(crate) offers: bool,
    pub(crate) away: bool,
}

impl Known {
    pub(crate) fn of(member: &MemberFrame<'_>) -> Self {
        let MemberFrame { peer, metadata: _, polite, offers, away, role: _ } = member;
        Self { peer: peer.to_string(), polite: *polite, offers: *offers, away: *away }
    }
}

/// What only the hub can know of a new seat: what it has rolled.
#[derive(Clone, Debug)]
pub(crate) struct Rolled {
    pub(crate) peer: String,
    pub(crate) key: SessionKey,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    config: Config,
    ice_renewal: Duration,
    /// In the order of joining.
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) edges: BTreeMap<u64, u64>,
    news: BTreeMap<String, News>,
    now: Time,
    peers_ever: BTreeSet<String>,
    last_number: u64,
    told: Vec<(u64, Told)>,
    departures: Vec<(String, LeaveReason)>,
    over: Vec<u64>,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) peer: String,
    pub(crate) room: String,
    key: SessionKey,
    listener: Option<u64>,
    /// When to look whether it was heard by others, if nothing comes by the listener.
    look_at: Option<Time>,
    heard: Time,
    absence: Option<Absence>,
    pub(crate) done: u64,
    pub(crate) told: u64,
    /// Since when the client waits to hear which requests were carried out.
    pub(crate) owed_since: Option<Time>,
    acked: u64,
    kept: VecDeque<(Kind, Option<Origin>)>,
    ice_at: Time,
}

/// What members of a room aren't told yet: who knows it, and what it is.
#[derive(Debug, Default)]
struct News {
    waiting: Vec<(BTreeSet<u64>, Kind)>,
    frames: Bucket,
    due: Option<Time>,
}

/// A numbered signal: the sender's number, and that of the request.
type Origin = (u64, u64);

#[derive(Debug)]
struct Absence {
    /// Unless it was announced.
    away_at: Option<Time>,
    gone_at: Time,
    reason: LeaveReason,
}

impl Member {
    fn last(&self) -> u64 {
        self.acked + self.kept.len() as u64
    }

    pub(crate) fn is_away(&self) -> bool {
        self.absence.as_ref().is_some_and(|absence| absence.away_at.is_none())
    }

    /// Forgets what has come; `false` if there is no such frame.
    fn ack(&mut self, seq: u64) -> bool {
        let news = seq.saturating_sub(self.acked);
        if news > self.kept.len() as u64 {
            return false;
        }
        self.kept.drain(..news as usize);
        self.acked += news;
        true
    }
}

impl Ledger {
    pub(crate) fn new(config: Config, ice_renewal: Duration) -> Self {
        Self {
            config,
            ice_renewal,
            members: BTreeMap::new(),
            edges: BTreeMap::new(),
            news: BTreeMap::new(),
            now: Time::START,
            peers_ever: BTreeSet::new(),
            last_number: 0,
            told: Vec::new(),
            departures: Vec::new(),
            over: Vec::new(),
        }
    }

    pub(crate) fn handle(
        &mut self,
        now: Time,
        edge: u64,
        request: &Request,
        rolled: Option<Rolled>,
    ) {
        self.now = now;
        match request {
            Request::Join(join) => self.join(now, edge, join, rolled),
            Request::Resume(resume) => self.resume(now, edge, resume),
            Request::Renew(_) => unreachable!("the clients here have no tokens"),
            Request::Room(_) => unreachable!("the rooms here have no rules"),
            Request::Report(_) | Request::Diagnose(_) => {
                unreachable!("the clients here only signal")
            }
            Request::Ack(seq) => self.ack(now, edge, *seq),
            Request::Signal(signal) => self.signal(now, edge, signal),
            Request::Unreadable { id, code, .. } => {
                if let Some(number) = self.turn(now, edge, Some(*id)) {
                    self.send(number, Kind::Error(*id, *code), None);
                }
            }
            Request::Leave(reason) => {
                if let Some(number) = self.edges.remove(&edge) {
                    self.end(number, *reason);
                }
            }
            Request::Detach(how) => self.detach(now, edge, *how),
        }
        self.end_slow();
    }

    /// Too much waits in front of an edge.
    pub(crate) fn handle_full(&mut self, now: Time, edge: u64) {
        self.now = now;
        if let Some(number) = self.edges.get(&edge) {
            self.end(*number, LeaveReason::Slow);
        }
        self.end_slow();
    }

    /// Does what is due, the earliest first.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.now = now;
        while let Some(next) = self.timeout().filter(|at| *at <= now) {
            let Some((at, number, what)) = self.next_due().filter(|(at, ..)| *at <= next) else {
                self.end_gathering(next);
                continue;
            };
            let member = self.members.get_mut(&number).unwrap();
            match what {
                Due::Away => {
                    let absence = member.absence.as_mut().unwrap();
                    assert_eq!(absence.away_at.take(), Some(at));
                    let peer = member.peer.clone();
                    self.broadcast(number, &Kind::Away(peer));
                }
                Due::Gone => {
                    let reason = member.absence.as_ref().unwrap().reason;
                    self.end(number, reason);
                }
                Due::Silence if member.heard + self.config.heartbeat_timeout > now => {
                    member.look_at = Some(member.heard + self.config.heartbeat_timeout);
                }
                Due::Silence => {
                    let edge = member.listener.unwrap();
                    self.edges.remove(&edge);
                    self.tell(edge, Told::Close(CloseCode::Vanished));
                    self.lose(now, number, Detached::Vanished);
                }
                Due::Ice => {
                    member.ice_at = now + self.ice_renewal;
                    self.send(number, Kind::Ice, None);
                }
            }
        }
        self.end_slow();
    }

    pub(crate) fn timeout(&self) -> Option<Time> {
        let gathering = self.news.values().filter_map(|news| news.due).min();
        self.next_due().map(|(at, ..)| at).into_iter().chain(gathering).min()
    }

    pub(crate) fn take_told(&mut self) -> Vec<(u64, Told)> {
        std::mem::take(&mut self.told)
    }

    pub(crate) fn expect_departures(&mut self, found: &[Departure]) {
        let found: Vec<_> = found.iter().map(|gone| (gone.peer.to_string(), gone.reason)).collect();
        assert_eq!(found, std::mem::take(&mut self.departures), "who left");
    }

    /// A client is told that its requests up to `ack` were carried out.
    pub(crate) fn expect_ack(&mut self, edge: u64, ack: u64) {
        let Some(number) = self.edges.get(&edge) else { return };
        let member = self.members.get_mut(number).unwrap();
        assert_eq!(ack, member.done, "what was carried out");
        (member.told, member.owed_since) = (ack, None);
    }

    /// Nobody waits longer for an acknowledgement than was promised.
    pub(crate) fn check_owed(&self, now: Time) {
        for member in self.members.values().filter(|member| member.listener.is_some()) {
            let late = member.owed_since.is_some_and(|since| since + self.config.ack_delay < now);
            assert!(!late, "{} waits since {:?}", member.peer, member.owed_since);
            assert!(member.done - member.told < self.config.ack_every, "{}", member.peer);
        }
    }

    pub(crate) fn room<'a>(&'a self, room: &'a str) -> impl Iterator<Item = &'a Member> {
        self.members.values().filter(move |member| member.room == room)
    }

    pub(crate) fn rooms(&self) -> usize {
        self.members.values().map(|member| &member.room).collect::<BTreeSet<_>>().len()
    }

    fn join(&mut self, now: Time, edge: u64, join: &Join, rolled: Option<Rolled>) {
        let there = self.room(join.room.as_str()).count();
        let Config { room_members_max, rooms_max, members_max, .. } = self.config;
        let refusal = if self.edges.contains_key(&edge) {
            Some(ErrorCode::AlreadyJoined)
        } else if there >= room_members_max {
            Some(ErrorCode::RoomFull)
        } else if (there == 0 && self.rooms() >= rooms_max) || self.members.len() >= members_max {
            Some(ErrorCode::ServerFull)
        } else {
            None
        };
        if let Some(code) = refusal {
            return self.tell(edge, Told::Refused(code, join.id));
        }
        let Rolled { peer, key } = rolled.expect("a seat is given");
        assert!(self.peers_ever.insert(peer.clone()), "nobody has an id again");
        self.last_number += 1;
        let number = self.last_number;
        let member = Member {
            peer: peer.clone(),
            room: join.room.to_string(),
            key,
            listener: Some(edge),
            look_at: None,
            heard: now,
            absence: None,
            done: 0,
            told: 0,
            owed_since: None,
            acked: 0,
            kept: VecDeque::new(),
            ice_at: now + self.ice_renewal,
        };
        self.members.insert(number, member);
        self.edges.insert(edge, number);
        let newcomer = Known { peer: peer.clone(), polite: true, offers: false, away: false };
        if there > 0 {
            self.know_all(number);
            self.broadcast(number, &Kind::Joined(newcomer));
        }
        self.tell(edge, Told::Seated(peer));
        let members = self.seen_by(number);
        self.send(number, Kind::Welcome(members), None);
    }

    fn resume(&mut self, now: Time, edge: u64, resume: &Resume) {
        if self.edges.contains_key(&edge) {
            return self.tell(edge, Told::Refused(ErrorCode::AlreadyJoined, resume.id));
        }
        let is_it = |member: &Member| {
            member.peer == resume.name.peer.as_str()
                && member.room == resume.name.room.as_str()
                && member.key.text() == resume.key.text()
        };
        let Some(number) = self.members.iter().find(|(_, member)| is_it(member)).map(|(n, _)| *n)
        else {
            return self.tell(edge, Told::Refused(ErrorCode::NoSuchSession, resume.id));
        };
        self.edges.insert(edge, number);
        self.tell(edge, Told::Seated(resume.name.peer.to_string()));
        let member = self.members.get_mut(&number).unwrap();
        member.heard = now;
        let Purpose::Listen { seq, is_oneway, .. } = resume.purpose else { return };
        member.look_at = is_oneway.then(|| now + self.config.heartbeat_timeout);
        let was_away = member.is_away();
        member.absence = None;
        if let Some(before) = member.listener.replace(edge) {
            self.edges.remove(&before);
            self.tell(before, Told::Close(CloseCode::Superseded));
        }
        self.catch_up(edge, number, seq);
        if was_away {
            self.broadcast(number, &Kind::Back(resume.name.peer.to_string()));
        }
    }

    fn catch_up(&mut self, edge: u64, number: u64, seq: u64) {
        let member = self.members.get_mut(&number).unwrap();
        if seq < member.acked || !member.ack(seq) {
            member.acked = member.last();
            let (done, lost) = (member.done, std::mem::take(&mut member.kept));
            (member.told, member.owed_since) = (done, None);
            self.know_all(number);
            self.undelivered(lost);
            let members = self.seen_by(number);
            return self.send(number, Kind::Resync(done, members), None);
        }
        let resent = (member.acked + 1..).zip(member.kept.clone());
        let resent = resent.map(|(seq, (kind, _))| (edge, Told::Frame(seq, kind)));
        self.told.push((edge, Told::Resumed(member.done)));
        self.told.extend(resent);
    }

    fn ack(&mut self, now: Time, edge: u64, seq: u64) {
        let Some(number) = self.edges.get(&edge) else {
            return self.tell(edge, Told::Refused(ErrorCode::HelloFirst, None));
        };
        let member = self.members.get_mut(number).unwrap();
        member.heard = now;
        if !member.ack(seq) {
            self.tell(edge, Told::Refused(ErrorCode::BadFrame, None));
        }
    }

    /// Whose request it is, if it is to be carried out.
    fn turn(&mut self, now: Time, edge: u64, id: Option<u64>) -> Option<u64> {
        let Some(number) = self.edges.get(&edge).copied() else {
            self.tell(edge, Told::Refused(ErrorCode::HelloFirst, id));
            return None;
        };
        let Some(id) = id else { return Some(number) };
        let member = self.members.get_mut(&number).unwrap();
        if id > member.done + 1 {
            self.tell(edge, Told::Refused(ErrorCode::OutOfOrder, Some(id)));
            return None;
        }
        member.owed_since.get_or_insert(now);
        let is_next = id == member.done + 1;
        member.done = member.done.max(id);
        is_next.then_some(number)
    }

    fn signal(&mut self, now: Time, edge: u64, signal: &Signal) {
        if let Some(seq) = signal.ack.filter(|_| self.edges.contains_key(&edge)) {
            self.ack(now, edge, seq);
        }
        if let Some(number) = self.edges.get(&edge) {
            self.members.get_mut(number).unwrap().heard = now;
        }
        let Some(number) = self.turn(now, edge, signal.id) else { return };
        let from = &self.members[&number];
        let to = self.members.iter().find(|(to, member)| {
            **to != number && member.room == from.room && member.peer == signal.to.as_str()
        });
        match (to.map(|(to, _)| *to), signal.id) {
            (Some(to), id) => {
                let (peer, room) = (from.peer.clone(), from.room.clone());
                self.tell_of(&room, &peer, to);
                let kind = Kind::Signal(peer, signal.data.get().to_owned());
                self.send(to, kind, id.map(|id| (number, id)));
            }
            (None, Some(id)) => {
                self.send(number, Kind::Error(id, ErrorCode::NoSuchPeer), None);
            }
            (None, None) => self.tell(edge, Told::Refused(ErrorCode::NoSuchPeer, None)),
        }
    }

    fn detach(&mut self, now: Time, edge: u64, how: Detached) {
        let Some(number) = self.edges.remove(&edge) else { return };
        let member = &self.members[&number];
        let (done, listens) = (member.done, member.listener == Some(edge));
        if !listens || how == Detached::Between {
            self.tell(edge, Told::Done(done));
        }
        if listens {
            self.lose(now, number, how);
        }
    }

    fn lose(&mut self, now: Time, number: u64, how: Detached) {
        let member = self.members.get_mut(&number).unwrap();
        let (reason, away_in) = match how {
            Detached::Lost => (LeaveReason::Lost, self.config.away_delay),
            Detached::Vanished => (LeaveReason::Vanished, Duration::ZERO),
            Detached::Between => (LeaveReason::Vanished, self.config.heartbeat_timeout),
        };
        let away_at = (!away_in.is_zero()).then(|| now + away_in);
        member.listener = None;
        member.absence = Some(Absence { away_at, gone_at: now + self.config.grace, reason });
        if away_at.is_none() {
            let peer = member.peer.clone();
            self.broadcast(number, &Kind::Away(peer));
        }
    }

    /// Numbers a frame, tells it if somebody listens, and keeps it.
    fn send(&mut self, number: u64, kind: Kind, origin: Option<Origin>) {
        let member = self.members.get_mut(&number).unwrap();
        member.kept.push_back((kind.clone(), origin));
        if member.kept.len() > self.config.unacked_frames_max.max(1) {
            self.over.push(number);
        } else if let Some(edge) = member.listener {
            self.told.push((edge, Told::Frame(member.last(), kind)));
        }
    }

    fn broadcast(&mut self, but: u64, kind: &Kind) {
        let room = self.members[&but].room.clone();
        self.broadcast_in(&room, but, kind);
    }

    fn broadcast_in(&mut self, room: &str, but: u64, kind: &Kind) {
        let (now, rate) = (self.now, (self.config.news_per_s, self.config.news_burst));
        if self.room(room).next().is_none() {
            self.news.remove(room);
            return;
        }
        let news = self.news.entry(room.to_owned()).or_default();
        news.waiting.push((BTreeSet::from([but]), kind.clone()));
        if news.waiting.len() >= self.config.news_max {
            return self.tell_news(room);
        }
        if news.due.is_some() {
            return;
        }
        match news.frames.try_take(now, 1, rate) {
            Ok(()) => self.tell_news(room),
            Err(wait) => news.due = Some(now + wait),
        }
    }

    fn end_gathering(&mut self, at: Time) {
        let (now, rate) = (self.now, (self.config.news_per_s, self.config.news_burst));
        let (room, news) = self.news.iter_mut().find(|(_, news)| news.due == Some(at)).unwrap();
        news.frames.take(now, 1, rate);
        let room = room.clone();
        self.tell_news(&room);
    }

    fn tell_news(&mut self, room: &str) {
        let members = self.members.iter().filter(|(_, member)| member.room == room);
        let members: Vec<u64> = members.map(|(number, _)| *number).collect();
        let mut told = Vec::new();
        for &to in &members {
            told.push((to, self.unknown(room, to)));
        }
        let news = self.news.get_mut(room).unwrap();
        (news.waiting, news.due) = (Vec::new(), None);
        for (to, kinds) in told {
            self.send_news(to, kinds);
        }
    }

    /// Somebody is told all news, if some of them are of this peer.
    fn tell_of(&mut self, room: &str, peer: &str, to: u64) {
        let news = self.news.get(room).map_or(&[][..], |news| &news.waiting);
        let is_of = |kind: &Kind| match kind {
            Kind::Joined(known) => known.peer == peer,
            Kind::Away(other) | Kind::Back(other) | Kind::Left(other, _) => other == peer,
            Kind::Welcome(_)
            | Kind::Resync(..)
            | Kind::Presence(_)
            | Kind::Signal(..)
            | Kind::Error(..)
            | Kind::Ice => panic!("no news: {kind:?}"),
        };
        if news.iter().any(|(known, kind)| is_of(kind) && !known.contains(&to)) {
            let kinds = self.unknown(room, to);
            self.know_all(to);
            self.send_news(to, kinds);
        }
    }

    fn unknown(&self, room: &str, to: u64) -> Vec<Kind> {
        let waiting = &self.news[room].waiting;
        let unknown = waiting.iter().filter(|(known, _)| !known.contains(&to));
        unknown.map(|(_, kind)| kind.clone()).collect()
    }

    /// Somebody knows the room as it is.
    fn know_all(&mut self, number: u64) {
        let room = &self.members[&number].room;
        let news = self.news.get_mut(room).into_iter();
        news.flat_map(|news| &mut news.waiting).for_each(|(known, _)| {
            known.insert(number);
        });
    }

    fn send_news(&mut self, to: u64, mut kinds: Vec<Kind>) {
        match kinds.len() {
            0 => {}
            1 => self.send(to, kinds.remove(0), None),
            _ => self.send(to, Kind::Presence(kinds), None),
        }
    }

    /// The last that went over its limit ends first; who ends may bring others over theirs.
    fn end_slow(&mut self) {
        while let Some(number) = self.over.pop() {
            if self.members.contains_key(&number) {
                self.end(number, LeaveReason::Slow);
            }
        }
    }

    fn end(&mut self, number: u64, reason: LeaveReason) {
        let Member { room, peer, kept, .. } = self.members.remove(&number).unwrap();
        self.broadcast_in(&room, number, &Kind::Left(peer.clone(), reason));
        self.undelivered(kept);
        self.departures.push((peer, reason));
        let code = match reason {
            LeaveReason::Slow => CloseCode::SlowReader,
            LeaveReason::Expired => CloseCode::Expired,
            LeaveReason::Replaced => CloseCode::Superseded,
            LeaveReason::Lost | LeaveReason::Vanished => CloseCode::Vanished,
            LeaveReason::Kicked => CloseCode::Kicked,
            LeaveReason::Closed => CloseCode::RoomClosed,
            LeaveReason::Left | LeaveReason::Misbehaved | LeaveReason::Unknown => CloseCode::Normal,
        };
        let edges: Vec<u64> =
            self.edges.iter().filter(|(_, of)| **of == number).map(|(edge, _)| *edge).collect();
        for edge in edges {
            self.edges.remove(&edge);
            self.tell(edge, Told::Close(code));
        }
    }

    fn undelivered(&mut self, kept: VecDeque<(Kind, Option<Origin>)>) {
        for (sender, id) in kept.into_iter().filter_map(|(_, origin)| origin) {
            if self.members.contains_key(&sender) {
                self.send(sender, Kind::Error(id, ErrorCode::Undelivered), None);
            }
        }
    }

    fn seen_by(&self, number: u64) -> Vec<Known> {
        let room = &self.members[&number].room;
        let others = self.members.iter().filter(|(other, _)| **other != number);
        let others = others.filter(|(_, member)| member.room == *room);
        let known = |(other, member): (&u64, &Member)| Known {
            peer: member.peer.clone(),
            polite: number < *other,
            offers: number > *other,
            away: member.is_away(),
        };
        others.map(known).collect()
    }

    fn next_due(&self) -> Option<(Time, u64, Due)> {
        let due = |(number, member): (&u64, &Member)| {
            let absence = member.absence.as_ref();
            let away = absence.and_then(|absence| absence.away_at).map(|at| (at, Due::Away));
            let gone = absence.map(|absence| (absence.gone_at, Due::Gone));
            let is_listening = member.listener.is_some();
            let silence = member.look_at.filter(|_| is_listening).map(|at| (at, Due::Silence));
            let ice = Some((member.ice_at, Due::Ice));
            let first = [away, gone, silence, ice].into_iter().flatten().min();
            first.map(|(at, what)| (at, *number, what))
        };
        self.members.iter().filter_map(due).min()
    }

    fn tell(&mut self, edge: u64, told: Told) {
        self.told.push((edge, told));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Away,
    Gone,
    Silence,
    Ice,
}

/// What one edge is told of it all, in order.
pub(crate) fn per_edge(told: Vec<(u64, Told)>) -> BTreeMap<EdgeId, Vec<Told>> {
    let mut edges: BTreeMap<EdgeId, Vec<Told>> = BTreeMap::new();
    for (edge, told) in told {
        edges.entry(EdgeId(edge)).or_default().push(told);
    }
    edges
}
