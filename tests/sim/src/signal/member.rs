//! A client with its session, and all that it was ever told: what must hold of it at once, and what
//! in the end.

use crate::Dice;
use signal_core::client::{Config, Event, Loss, Member as Known, RoomEvent, Seat, Session};
use signal_core::protocol::ErrorCode;
use signal_core::{PeerId, RoomId};
use std::collections::{BTreeMap, BTreeSet};

/// A payload: no two are the same.
pub(super) type Payload = u64;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) room: RoomId,
    pub(super) session: Session,
    /// Its connection.
    pub(super) conn: Option<u64>,
    /// Whether the session is over, and who comes next is somebody else.
    pub(super) has_ended: bool,
    /// Whether it may be thrown out.
    pub(super) may_end: bool,
    /// All seats it ever had, the present one last.
    pub(super) lives: Vec<Life>,
}

/// What was told on one seat.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) peer: PeerId,
    /// Whether the client still has it.
    pub(super) is_current: bool,
    pub(super) roster: BTreeMap<PeerId, Pair>,
    gone: BTreeSet<PeerId>,
    pub(super) sent: Vec<Sent>,
    pub(super) came: Vec<(PeerId, Payload)>,
    pub(super) refused: BTreeMap<u64, ErrorCode>,
    /// Who was the host in each term.
    pub(super) hosts: BTreeMap<u64, Option<PeerId>>,
}

/// What a client knows of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) polite: bool,
    pub(super) offers: bool,
    pub(super) away: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) id: u64,
    pub(super) to: PeerId,
    pub(super) payload: Payload,
}

impl Member {
    pub(super) fn new(room: RoomId, dice: &mut Dice) -> Self {
        let session = Session::new(Config::default(), room.clone(), None, dice.bytes());
        let lives = Vec::new();
        Self { room, session, conn: None, has_ended: false, may_end: false, lives }
    }

    /// The seat that it has.
    pub(super) fn life(&self) -> Option<&Life> {
        self.lives.last().filter(|life| life.is_current)
    }

    /// It gives up its session, or knows nothing of it any more; another one begins.
    pub(super) fn start_anew(&mut self, dice: &mut Dice) {
        self.end_life();
        let fresh = Self::new(self.room.clone(), dice);
        *self = Self { lives: std::mem::take(&mut self.lives), ..fresh };
    }

    /// It has its last seat no more.
    pub(super) fn end_life(&mut self) {
        if let Some(life) = self.lives.last_mut() {
            life.is_current = false;
        }
    }

    /// Takes note of what its session tells.
    ///
    /// # Panics
    /// If it may not be told that.
    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::Joined(seat) => {
                self.end_life();
                self.lives.push(Life::new(&seat));
            }
            Event::Lost { .. } | Event::Resumed => {}
            Event::Ended(loss) => {
                let thrown_out = matches!(loss, Loss::Closed(Some(4103 | 4104)));
                assert!(thrown_out && self.may_end, "{loss:?}");
                self.end_life();
                self.has_ended = true;
            }
            Event::Resync(_) => panic!("it acknowledged nothing that it doesn't know"),
            Event::PeerJoined(_)
            | Event::PeerAway(_)
            | Event::PeerBack(_)
            | Event::PeerLeft { .. }
            | Event::Signal { .. }
            | Event::Room(_)
            | Event::Ice(_)
            | Event::Refused(_)
            | Event::Done { .. }
            | Event::TokenTaken { .. }
            | Event::Diagnosed(_)
            | Event::Moved { .. } => self.lives.last_mut().expect("it has a seat").note(event),
        }
    }
}

impl Life {
    fn new(seat: &Seat) -> Self {
        let mut life = Self {
            peer: seat.peer.clone(),
            is_current: true,
            roster: BTreeMap::new(),
            gone: BTreeSet::new(),
            sent: Vec::new(),
            came: Vec::new(),
            refused: BTreeMap::new(),
            hosts: BTreeMap::new(),
        };
        seat.members.iter().for_each(|member| life.meet(member));
        life
    }

    fn meet(&mut self, member: &Known) {
        let Known { peer, polite, offers, away, .. } = member;
        assert!(*peer != self.peer, "nobody is told of itself");
        assert!(!self.gone.contains(peer), "nobody has the id of somebody who is gone");
        let pair = Pair { polite: *polite, offers: *offers, away: *away };
        let before = self.roster.insert(peer.clone(), pair);
        assert!(before.is_none(), "{peer} joins once");
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::PeerJoined(member) => self.meet(&member),
            Event::PeerAway(peer) => self.set_away(&peer, true),
            Event::PeerBack(peer) => self.set_away(&peer, false),
            Event::PeerLeft { peer, .. } => {
                let there = self.roster.remove(&peer);
                assert!(there.is_some(), "{peer} leaves, and wasn't there");
                self.gone.insert(peer);
            }
            Event::Signal { from, data } => {
                assert!(self.roster.contains_key(&from), "{from} was announced, and isn't gone");
                self.came.push((from, data.get().parse().expect("a number")));
            }
            Event::Refused(refusal) => {
                let id = refusal.id.expect("only signals are asked for");
                let is_known = self.sent.iter().any(|sent| sent.id == id);
                let may_be = matches!(refusal.code, ErrorCode::NoSuchPeer | ErrorCode::Undelivered);
                assert!(is_known && may_be, "{refusal:?}");
                let before = self.refused.insert(id, refusal.code);
                assert!(before.is_none(), "{id} fails twice: {before:?}, {refusal:?}");
            }
            Event::Room(RoomEvent::Host { peer, term }) => {
                let last = self.hosts.last_key_value();
                assert!(last.is_none_or(|(last, _)| *last < term), "terms count up");
                self.hosts.insert(term, peer);
            }
            Event::Ice(_) | Event::Done { .. } => {}
            Event::Joined(_)
            | Event::Resumed
            | Event::Resync(_)
            | Event::Lost { .. }
            | Event::Ended(_)
            | Event::Room(_)
            | Event::TokenTaken { .. }
            | Event::Diagnosed(_)
            | Event::Moved { .. } => panic!("nobody asked for it: {event:?}"),
        }
    }

    fn set_away(&mut self, peer: &PeerId, away: bool) {
        let pair = self.roster.get_mut(peer);
        let pair = pair.unwrap_or_else(|| panic!("{peer} isn't there"));
        assert_ne!(pair.away, away, "{peer}: told twice");
        pair.away = away;
    }
}
