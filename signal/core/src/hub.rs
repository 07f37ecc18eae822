//! Rooms and sessions: who sits where, who is told what, and what is told again.

mod admin;
mod directory;
mod ends;
mod grants;
mod happening;
mod host;
mod ice;
mod join;
mod news;
mod pairs;
mod requests;
mod resume;
mod room;
mod welcome;

pub use admin::{MemberInfo, RoomDetails, RoomInfo};
pub use directory::PublicRoom;
pub use happening::{Arrival, Departure, Happening};
pub(crate) use pairs::Pairs;
pub use pairs::{PairCounts, PairInfo, PairState};
pub use welcome::HistoryPage;

use crate::protocol::{ErrorCode, ErrorFrame, ServerFrame};
use crate::seat::{Presence, Seat};
use crate::session::{Origin, Sent, Turn};
use crate::timers::{Due, Timer, Timers};
use crate::{
    Config, EdgeId, Event, FrameText, Numbered, PeerId, Request, RoomId, SessionName, Signal,
    TurnKey,
};
use ahash::RandomState;
use heliograph_base::{Now, Time};
use news::Gatherings;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use room::Room;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

/// The rooms of one shard, the sessions in them, and all that happens there, in one order.
///
/// Requests of edges go in by [`handle`](Self::handle), events for edges come out by
/// [`poll_output`](Self::poll_output), to be drained after each `handle_*`. Each edge is told its
/// events in the order of the outputs, so all members of a room see the same order.
///
/// A session is a seat in a room with what its client hasn't acknowledged. It outlives its
/// connection: for a while it can be resumed on another edge, and goes on behind the last frame
/// that came.
#[derive(Debug)]
pub struct Hub {
    config: Config,
    turn: Option<TurnKey>,
    dice: StdRng,
    rooms: HashMap<RoomId, Room, RandomState>,
    seats: Slab<Seat>,
    /// Where peers sit whose ids are their own.
    peers: HashMap<PeerId, usize, RandomState>,
    /// Where peers sit whose ids their tokens gave them: ids of their room.
    named: HashMap<SessionName, usize, RandomState>,
    edges: HashMap<EdgeId, usize, RandomState>,
    timers: Timers,
    gatherings: Gatherings,
    last_seat: u64,
    last_absence: u64,
    outputs: VecDeque<Output>,
    happenings: VecDeque<Happening>,
    /// Seats with more unacknowledged frames than they may have.
    overflowing: Vec<(usize, u64)>,
    counts: Counts,
}

/// An event and the edge that it is for.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whom to tell.
    pub to: EdgeId,
    /// What.
    pub event: Event,
}

/// What a hub is to know of the world outside.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The hub's number among those of the process: keeps their seat numbers apart.
    pub hub: u16,
    /// Of good randomness: peer ids, keys and hash functions come from it, and nobody may guess
    /// them.
    pub random: [u8; 32],
}

/// What a hub has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rooms there are.
    pub rooms: u64,
    /// Members there are in all rooms, those without a connection included.
    pub members: u64,
    /// Seats ever given.
    pub joins: u64,
    /// Sessions ever resumed.
    pub resumes: u64,
    /// How many of them had lost something for good and were told the whole state.
    pub resyncs: u64,
    /// Signals ever passed on.
    pub signals: u64,
    /// Broadcasts ever passed on.
    pub broadcasts: u64,
    /// Signals that never reached their addressee, which the sender was told.
    pub undelivered: u64,
    /// Seats ever taken away because too much wasn't acknowledged.
    pub slow: u64,
    /// Pairs of members, as they report their links.
    pub pairs: PairCounts,
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
            seats: Slab::new(),
            peers: HashMap::with_hasher(hasher.clone()),
            named: HashMap::with_hasher(hasher.clone()),
            edges: HashMap::with_hasher(hasher),
            timers: Timers::default(),
            gatherings: Gatherings::default(),
            last_seat: u64::from(seed.hub) << 48,
            last_absence: 0,
            outputs: VecDeque::new(),
            happenings: VecDeque::new(),
            overflowing: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes in what an edge asks for.
    pub fn handle(&mut self, now: Now, edge: EdgeId, request: Request) {
        match request {
            Request::Join(join) => self.handle_join(now, edge, *join),
            Request::Resume(resume) => self.handle_resume(now.time, edge, &resume),
            Request::Renew(renew) => self.handle_renew(now, edge, *renew),
            Request::Ack(seq) => self.handle_ack(now.time, edge, seq),
            Request::Signal(signal) => self.handle_signal(now.time, edge, &signal),
            Request::Room(request) => self.handle_room(now.time, edge, *request),
            Request::Report(report) => self.handle_report(now.time, edge, *report),
            Request::Diagnose(diagnose) => self.handle_diagnose(now.time, edge, *diagnose),
            Request::Unreadable { id, code, text } => {
                self.handle_unreadable(now.time, edge, id, (code, &text));
            }
            Request::Leave(reason) => self.handle_leave(now.time, edge, reason),
            Request::Detach(how) => self.handle_detach(now.time, edge, how),
        }
        self.end_overflowing(now.time);
        self.forget_timers();
    }

    /// Does what is due; to be called when [`poll_timeout`](Self::poll_timeout) says so.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(due) = self.poll_timeout().filter(|due| *due <= now.time) {
            let Some(Timer { place, seat, due, .. }) = self.timers.pop(due) else {
                self.handle_room_due(now.time, due);
                continue;
            };
            if self.seats.get(place).is_none_or(|there| there.number != seat) {
                continue;
            }
            match due {
                Due::Ack => {
                    self.seats[place].incoming.is_due = false;
                    self.tell_ack(place);
                }
                Due::Away { absence } => self.announce_away(now.time, place, absence),
                Due::Gone { absence } => self.end_absent(now.time, place, absence),
                Due::Silence { edge } => self.look_for_life(now.time, place, edge),
                Due::Ice => self.renew_ice(now, place),
                Due::Host { absence } => self.give_host_up(now.time, place, absence),
                Due::Expiry => self.end_expired(now.time, place),
            }
        }
        self.end_overflowing(now.time);
        self.forget_timers();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let gathering = self.gatherings.next();
        self.timers.next().into_iter().chain(gathering).min()
    }

    /// Gives out the next event.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Gives out what happened next in a room; to be drained after each `handle_*`.
    pub fn poll_happening(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    /// Whether the edge belongs to a session.
    #[must_use]
    pub fn knows(&self, edge: EdgeId) -> bool {
        self.edges.contains_key(&edge)
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (rooms, members) = (self.rooms.len() as u64, self.seats.len() as u64);
        Counts { rooms, members, ..self.counts }
    }

    /// The members of a room in the order of their joining; none if there is no such room.
    pub fn roster(&self, room: &RoomId) -> impl Iterator<Item = &PeerId> {
        let members = self.rooms.get(room).map_or(&[][..], |room| &room.members);
        members.iter().map(|place| &self.seats[*place].peer)
    }

    /// Forgets what has come.
    fn handle_ack(&mut self, now: Time, edge: EdgeId, seq: u64) {
        let Some(place) = self.edges.get(&edge).copied() else {
            return self.refuse(edge, ErrorCode::HelloFirst, None);
        };
        self.seats[place].heard = now;
        self.ack(edge, place, seq);
    }

    fn ack(&mut self, edge: EdgeId, place: usize, seq: u64) {
        let seat = &mut self.seats[place];
        if !seat.outgoing.ack(seq) {
            return self.refuse(edge, ErrorCode::BadFrame, None);
        }
        // It has its welcome.
        seat.once = None;
    }

    /// Passes a payload to its addressee, or refuses.
    fn handle_signal(&mut self, now: Time, edge: EdgeId, signal: &Signal) {
        let Some(place) = self.edges.get(&edge).copied() else {
            return self.refuse(edge, ErrorCode::HelloFirst, signal.id);
        };
        self.seats[place].heard = now;
        if let Some(seq) = signal.ack {
            self.ack(edge, place, seq);
        }
        if signal.id.is_none_or(|id| self.take_turn(now, (edge, place), id)) {
            self.pass_on(edge, place, signal);
            self.tell_if_many(place);
        }
    }

    fn pass_on(&mut self, edge: EdgeId, place: usize, signal: &Signal) {
        let from = &self.seats[place];
        let to = self.seated(&from.room, &signal.to);
        let Some(to) = to.filter(|to| *to != place) else {
            let code = ErrorCode::NoSuchPeer;
            return match signal.id {
                Some(id) => self.send_error(place, id, (code, code.advice())),
                None => self.refuse(edge, code, None),
            };
        };
        self.tell_news_of(place, to);
        let from = &self.seats[place];
        let frame = ServerFrame::Signal { from: from.peer.as_str().into(), data: &signal.data };
        let origin = signal.id.map(|id| Origin { seat: from.number, place, id });
        self.counts.signals += 1;
        self.send(to, FrameText::encode(&frame), origin);
    }

    /// Answers a numbered request that the edge couldn't read.
    fn handle_unreadable(&mut self, now: Time, edge: EdgeId, id: u64, what: (ErrorCode, &str)) {
        let Some(place) = self.edges.get(&edge).copied() else {
            return self.refuse(edge, ErrorCode::HelloFirst, Some(id));
        };
        if self.take_turn(now, (edge, place), id) {
            self.send_error(place, id, what);
            self.tell_if_many(place);
        }
    }

    /// Whether a numbered request is to be carried out now. From then on it counts as such.
    fn take_turn(&mut self, now: Time, (edge, place): (EdgeId, usize), id: u64) -> bool {
        let seat = &mut self.seats[place];
        let turn = seat.incoming.take(id);
        if turn == Turn::TooEarly {
            self.refuse(edge, ErrorCode::OutOfOrder, Some(id));
            return false;
        }
        if turn == Turn::Again {
            self.tell_if_many(place);
        }
        let seat = &mut self.seats[place];
        if !seat.incoming.is_due && seat.incoming.untold() > 0 {
            seat.incoming.is_due = true;
            self.timers.set(now + self.config.ack_delay, place, seat.number, Due::Ack);
        }
        turn == Turn::Next
    }

    /// Tells the client which requests were carried out, if there are many that it doesn't know of.
    ///
    /// To be called behind the last of them: an acknowledgement follows what it is about, so that a
    /// client has seen by then whether it was refused, and what has come of it.
    fn tell_if_many(&mut self, place: usize) {
        if self.seats[place].incoming.untold() >= self.config.ack_every {
            self.tell_ack(place);
        }
    }

    /// Tells the client which requests were carried out, if it doesn't know.
    fn tell_ack(&mut self, place: usize) {
        if self.seats[place].incoming.untold() > 0 {
            self.acknowledge(place);
        }
    }

    /// Tells the client which requests were carried out.
    fn acknowledge(&mut self, place: usize) {
        let seat = &mut self.seats[place];
        let Some(edge) = seat.edge() else { return };
        let frame = FrameText::encode(&ServerFrame::Ack { ack: seat.incoming.tell() });
        self.output(edge, Event::Frame(Numbered { seq: None, ack: None, frame }));
    }

    /// Tells everybody else in the room whether a seat has a connection.
    fn announce_state(
        &mut self,
        now: Time,
        place: usize,
        what: impl FnOnce(std::borrow::Cow<'static, str>) -> ServerFrame<'static>,
    ) {
        let seat = &self.seats[place];
        let (room, number, peer) = (seat.room.clone(), seat.number, seat.peer.to_string());
        self.announce(now, &room, number, &what(peer.into()));
    }

    /// Sends a frame that is kept until it is acknowledged.
    fn send(&mut self, place: usize, frame: FrameText, origin: Option<Origin>) {
        let seat = &mut self.seats[place];
        let seq = seat.outgoing.push(Sent { frame: frame.clone(), origin });
        let Config { unacked_frames_max, unacked_bytes_max, .. } = self.config;
        if seat.outgoing.is_over(unacked_frames_max, unacked_bytes_max) {
            self.overflowing.push((place, seat.number));
        } else if let Presence::Here(edge) = seat.presence {
            let numbered = Numbered { seq: Some(seq), ack: seat.incoming.news(), frame };
            self.output(edge, Event::Frame(numbered));
        }
    }

    /// Refuses a numbered request, which the client learns even if its connection breaks.
    fn send_error(&mut self, place: usize, id: u64, (code, text): (ErrorCode, &str)) {
        let error = ErrorFrame {
            code,
            text: text.into(),
            retry: code.retry(),
            retry_after_ms: None,
            state: None,
            id: Some(id),
        };
        self.send(place, FrameText::encode(&ServerFrame::Error(error)), None);
    }

    /// Forgets timers of sessions and absences that are over, if there are many: seldom enough that
    /// it costs each next to nothing.
    fn forget_timers(&mut self) {
        let Self { seats, timers, .. } = self;
        if !seats.is_empty() && timers.len() <= TIMERS_KEPT + 2 * TIMERS_PER_SEAT * seats.len() {
            return;
        }
        timers.retain(|Timer { at, place, seat, due }| {
            let seat = seats.get(*place).filter(|there| there.number == *seat);
            seat.is_some_and(|seat| match due {
                Due::Ack | Due::Ice => true,
                Due::Expiry => seat.expires() == Some(*at),
                Due::Away { absence } | Due::Gone { absence } | Due::Host { absence } => {
                    seat.is_in(*absence)
                }
                Due::Silence { edge } => seat.edge() == Some(*edge),
            })
        });
    }

    fn refuse(&mut self, to: EdgeId, code: ErrorCode, id: Option<u64>) {
        self.output(to, Event::Refused { code, text: None, id, retry_after: None });
    }

    fn output(&mut self, to: EdgeId, event: Event) {
        self.outputs.push_back(Output { to, event });
    }
}

/// So many timers can wait for one seat: one of each kind.
const TIMERS_PER_SEAT: usize = 7;

/// So few timers are not worth a look.
const TIMERS_KEPT: usize = 64;

/// Gives back the memory of a table that once was much fuller; seldom enough that it costs each
/// removal next to nothing.
fn shrink<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > 64 && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2);
    }
}
