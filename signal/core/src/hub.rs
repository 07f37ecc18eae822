//! Rooms: who sits where, and who is told what.

use crate::protocol::{
    CloseCode, ErrorCode, Heartbeat, IceServer, LeaveReason, Limits, Member as MemberFrame,
    ServerFrame, Welcome,
};
use crate::room::{Member, Room};
use crate::{
    Config, Event, FrameText, IceUrls, Join, PeerId, Request, RoomId, SessionId, Signal, TurnKey,
};
use ahash::RandomState;
use heliograph_base::{Credentials, Now, SeatName};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

/// The rooms of one shard and all that happens in them, in one order.
///
/// Requests of sessions go in by [`handle`](Self::handle), events for sessions come out by
/// [`poll_output`](Self::poll_output), to be drained after each `handle_*`. Each session is told
/// its events in the order of the outputs, so all members of a room see the same order.
///
/// **Roles.** The newcomer makes the first offer to everybody who was there before it (`offers`),
/// since it knows of them first; those who were there give way when offers collide (`polite`), so
/// the first offer of a pair is never rolled back.
#[derive(Debug)]
pub struct Hub {
    config: Config,
    turn: Option<TurnKey>,
    dice: StdRng,
    hasher: RandomState,
    rooms: HashMap<RoomId, Room, RandomState>,
    seats: HashMap<SessionId, Seat, RandomState>,
    last_seat: u64,
    outputs: VecDeque<Output>,
    departures: VecDeque<Departure>,
    counts: Counts,
}

/// The end of somebody's stay in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The room.
    pub room: RoomId,
    /// Who left.
    pub peer: PeerId,
    /// The number of the seat, as in the TURN username that it got.
    pub seat: u64,
    /// Why.
    pub reason: LeaveReason,
}

impl Departure {
    /// Whether the peer left on purpose or was removed, so that what it was given may be taken
    /// back. Otherwise only its signaling is lost, and it may talk on with its peers.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        match self.reason {
            LeaveReason::Left | LeaveReason::Misbehaved => true,
            LeaveReason::Lost
            | LeaveReason::Slow
            | LeaveReason::Vanished
            | LeaveReason::Unknown => false,
        }
    }
}

/// An event and the session that it is for.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whom to tell.
    pub to: SessionId,
    /// What.
    pub event: Event,
}

/// What a hub is to know of the world outside.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The hub's number among those of the process: keeps their seat numbers apart.
    pub hub: u16,
    /// Of good randomness: peer ids and hash functions come from it, and nobody may guess them.
    pub random: [u8; 32],
}

/// What a hub has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rooms there are.
    pub rooms: u64,
    /// Members there are in all rooms.
    pub members: u64,
    /// Seats ever given.
    pub joins: u64,
    /// Signals ever passed on.
    pub signals: u64,
    /// Seats ever taken away because too much was waiting for the member.
    pub slow: u64,
}

#[derive(Debug)]
struct Seat {
    room: RoomId,
    number: u64,
}

impl Hub {
    /// A hub without rooms. Without a `turn` key it tells clients of no TURN server.
    #[must_use]
    pub fn new(config: Config, turn: Option<TurnKey>, seed: &Seed) -> Self {
        let mut dice = StdRng::from_seed(seed.random);
        let mut roll = || dice.next_u64();
        let hasher = RandomState::with_seeds(roll(), roll(), roll(), roll());
        Self {
            config,
            turn,
            dice,
            rooms: HashMap::with_hasher(hasher.clone()),
            seats: HashMap::with_hasher(hasher.clone()),
            hasher,
            last_seat: u64::from(seed.hub) << 48,
            outputs: VecDeque::new(),
            departures: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes in what a session asks for.
    pub fn handle(&mut self, now: Now, session: SessionId, request: Request) {
        match request {
            Request::Join(join) => self.handle_join(now, session, join),
            Request::Signal(signal) => self.handle_signal(session, &signal),
            Request::Leave(reason) => self.handle_leave(session, reason),
        }
    }

    /// Gives the session a seat and tells the others, or refuses.
    pub fn handle_join(&mut self, now: Now, session: SessionId, join: Join) {
        if let Some(code) = self.join_refusal(session, &join.room) {
            return self.tell(session, Event::Refused { code, id: join.id });
        }
        let Join { room: id, metadata, ice, id: _ } = join;
        self.last_seat += 1;
        self.counts.joins += 1;
        let peer = PeerId::from_random(self.dice.random());
        let member = Member { seat: self.last_seat, session, peer: peer.clone(), metadata };
        let seat = Seat { room: id.clone(), number: member.seat };
        self.seats.insert(session, seat);

        let ice_servers = self.ice_servers(now, ice, &id, &member);
        let hasher = &self.hasher;
        let room = self.rooms.entry(id.clone()).or_insert_with(|| Room::new(hasher.clone()));
        let welcome = Welcome {
            room: id.as_str().into(),
            peer: peer.as_str().into(),
            members: room.members().iter().map(seen_by_newcomer).collect(),
            ice_servers,
            ice_ttl_s: self.turn.as_ref().map_or(0, |turn| turn.ttl.as_secs()),
            heartbeat: heartbeat(&self.config),
            limits: limits(&self.config),
        };
        let welcome = FrameText::encode(&ServerFrame::Welcome(welcome));
        let joined = FrameText::encode(&ServerFrame::Joined(newcomer(&member)));
        self.outputs.push_back(Output { to: session, event: Event::Seated { peer, welcome } });
        broadcast(&mut self.outputs, room, &joined);
        room.insert(member);
    }

    /// Passes a payload to its addressee, or refuses.
    pub fn handle_signal(&mut self, session: SessionId, signal: &Signal) {
        let Some(seat) = self.seats.get(&session) else {
            let event = Event::Refused { code: ErrorCode::HelloFirst, id: signal.id };
            return self.tell(session, event);
        };
        let room = &self.rooms[&seat.room];
        let from = room.member(seat.number);
        let Some(to) = room.find(&signal.to).filter(|to| to.seat != from.seat) else {
            let event = Event::Refused { code: ErrorCode::NoSuchPeer, id: signal.id };
            return self.tell(session, event);
        };
        let frame = ServerFrame::Signal { from: from.peer.as_str().into(), data: &signal.data };
        let event = Event::Frame(FrameText::encode(&frame));
        self.outputs.push_back(Output { to: to.session, event });
        self.counts.signals += 1;
    }

    /// Takes the session's seat, if it has one, and tells the others why. The session itself is
    /// told nothing.
    pub fn handle_leave(&mut self, session: SessionId, reason: LeaveReason) {
        let Some(seat) = self.seats.remove(&session) else {
            return;
        };
        let room = self.rooms.get_mut(&seat.room).expect("a seat is in a room");
        let member = room.remove(seat.number).expect("a seat is its member's");
        let peer = member.peer.as_str().into();
        let left = FrameText::encode(&ServerFrame::Left { peer, reason });
        broadcast(&mut self.outputs, room, &left);
        if room.members().is_empty() {
            self.rooms.remove(&seat.room);
        }
        let Seat { room, number: seat } = seat;
        self.departures.push_back(Departure { room, peer: member.peer, seat, reason });
        shrink(&mut self.rooms);
        shrink(&mut self.seats);
    }

    /// Takes note that too much is waiting for the session: it loses its seat and is closed, and
    /// nobody waits for it.
    pub fn handle_full_outbox(&mut self, session: SessionId) {
        self.counts.slow += 1;
        self.handle_leave(session, LeaveReason::Slow);
        self.tell(session, Event::Close(CloseCode::SlowReader));
    }

    /// Gives out the next event for a session.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Gives out the next end of a stay; to be drained like [`poll_output`](Self::poll_output).
    pub fn poll_departure(&mut self) -> Option<Departure> {
        self.departures.pop_front()
    }

    /// Whether the session is in a room.
    #[must_use]
    pub fn has_seat(&self, session: SessionId) -> bool {
        self.seats.contains_key(&session)
    }

    /// What the hub has counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (rooms, members) = (self.rooms.len() as u64, self.seats.len() as u64);
        Counts { rooms, members, ..self.counts }
    }

    /// The members of a room in the order of their joining; none if there is no such room.
    pub fn roster(&self, room: &RoomId) -> impl Iterator<Item = (SessionId, &PeerId)> {
        let members = self.rooms.get(room).map_or(&[][..], Room::members);
        members.iter().map(|member| (member.session, &member.peer))
    }

    fn join_refusal(&self, session: SessionId, room: &RoomId) -> Option<ErrorCode> {
        let room = self.rooms.get(room);
        let members = room.map_or(0, |room| room.members().len());
        let no_room_left = room.is_none() && self.rooms.len() >= self.config.rooms_max;
        if self.seats.contains_key(&session) {
            Some(ErrorCode::AlreadyJoined)
        } else if members >= self.config.room_members_max {
            Some(ErrorCode::RoomFull)
        } else if no_room_left || self.seats.len() >= self.config.members_max {
            Some(ErrorCode::ServerFull)
        } else {
            None
        }
    }

    fn ice_servers(&self, now: Now, urls: IceUrls, room: &RoomId, seat: &Member) -> Vec<IceServer> {
        let mut servers = Vec::new();
        if !urls.stun.is_empty() {
            servers.push(IceServer { urls: urls.stun, username: None, credential: None });
        }
        if let Some(turn) = self.turn.as_ref().filter(|_| !urls.turn.is_empty()) {
            let holder =
                SeatName { room: room.as_str(), peer: seat.peer.as_str(), seat: seat.seat };
            let minted = Credentials::mint(&turn.secret, now.unix + turn.ttl, holder);
            let (username, credential) = (Some(minted.username), Some(minted.password));
            servers.push(IceServer { urls: urls.turn, username, credential });
        }
        servers
    }

    fn tell(&mut self, to: SessionId, event: Event) {
        self.outputs.push_back(Output { to, event });
    }
}

fn broadcast(outputs: &mut VecDeque<Output>, room: &Room, frame: &FrameText) {
    let output = |to| Output { to, event: Event::Frame(frame.clone()) };
    outputs.extend(room.members().iter().map(|member| output(member.session)));
}

/// A member that was there before, as the newcomer should treat it.
fn seen_by_newcomer(member: &Member) -> MemberFrame<'_> {
    MemberFrame { polite: false, offers: true, ..member_frame(member) }
}

/// The newcomer, as everybody else should treat it.
fn newcomer(member: &Member) -> MemberFrame<'_> {
    MemberFrame { polite: true, offers: false, ..member_frame(member) }
}

fn member_frame(member: &Member) -> MemberFrame<'_> {
    let (peer, metadata) = (member.peer.as_str().into(), member.metadata.value());
    MemberFrame { peer, metadata, polite: false, offers: false }
}

fn heartbeat(config: &Config) -> Heartbeat {
    let seconds_up = |time: Duration| time.as_millis().div_ceil(1000) as u64;
    Heartbeat {
        interval_s: seconds_up(config.heartbeat_interval),
        timeout_s: seconds_up(config.heartbeat_timeout),
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        frame_bytes_max: config.frame_bytes_max,
        metadata_bytes_max: config.metadata_bytes_max,
        members_max: config.room_members_max,
    }
}

/// Gives back the memory of a table that once was much fuller; seldom enough that it costs each
/// removal next to nothing.
fn shrink<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > 64 && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;
    use heliograph_base::{Time, UnixTime};

    #[test]
    fn the_memory_of_emptied_rooms_is_given_back() {
        let seed = Seed { hub: 0, random: [0; 32] };
        let mut hub = Hub::new(Config::default(), None, &seed);
        let now = Now { time: Time::START, unix: UnixTime::from_seconds(0) };
        for session in 0..10_000 {
            let room = RoomId::parse(&session.to_string()).expect("digits");
            let metadata = Metadata::new(None, 2).expect("none");
            let join = Join { room, metadata, ice: IceUrls::default(), id: None };
            hub.handle_join(now, SessionId(session), join);
            while hub.poll_output().is_some() {}
        }
        assert!(hub.rooms.capacity() >= 10_000);
        for session in 0..9_990 {
            hub.handle_leave(SessionId(session), LeaveReason::Left);
        }
        assert_eq!((hub.rooms.len(), hub.seats.len()), (10, 10));
        assert!(hub.rooms.capacity() < 128 && hub.seats.capacity() < 128);
    }
}
