//! What members say of their links to each other, and what else the hub knows of a pair.
//!
//! Of each pair of which anything was said both members know the other, and what they last said
//! themselves; so it can be forgotten with either. A pair is what the reports of both say.

use super::Hub;
use super::room::Room;
use crate::protocol::{ErrorCode, Link, LinkState, PathKind};
use crate::seat::{Presence, Seat};
use crate::{Bucket, Diagnose, EdgeId, Event, PairFacts, PeerId, Report, SeatFacts};
use heliograph_base::Time;

/// How a pair is, of all that its members have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairState {
    /// It is connected, and no relay is on the way.
    Direct,
    /// It is connected by a relay.
    Relayed,
    /// It isn't connected yet.
    Connecting,
    /// It was connected, and is being mended.
    Interrupted,
    /// It couldn't be connected.
    Failed,
}

/// How many pairs are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairCounts {
    /// See [`PairState::Direct`].
    pub direct: u64,
    /// See [`PairState::Relayed`].
    pub relayed: u64,
    /// See [`PairState::Connecting`].
    pub connecting: u64,
    /// See [`PairState::Interrupted`].
    pub interrupted: u64,
    /// See [`PairState::Failed`].
    pub failed: u64,
}

/// A pair, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairInfo {
    /// Who.
    pub peers: [PeerId; 2],
    /// How.
    pub state: PairState,
}

/// The pairs of a member of which anything was said. Boxed where it is kept: most have none.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// Those that it spoke of last are the last.
    ends: Vec<End>,
    diagnoses: Bucket,
}

/// One member's end of a pair.
#[derive(Debug)]
struct End {
    /// The other's seat, and its place.
    other: u64,
    place: usize,
    /// When the member last spoke of it, and what it said.
    said: Option<(Time, Box<Link>)>,
}

impl Pairs {
    fn find(&self, other: u64) -> Option<&End> {
        self.ends.iter().find(|end| end.other == other)
    }

    /// The end of the pair with that one; made if need be.
    fn end(&mut self, other: u64, place: usize) -> &mut End {
        let at = self.ends.iter().position(|end| end.other == other);
        let at = at.unwrap_or_else(|| {
            self.ends.push(End { other, place, said: None });
            self.ends.len() - 1
        });
        &mut self.ends[at]
    }

    /// Puts the end that was just spoken of behind all others. Gives the one that wasn't for
    /// longest, if more than so many are.
    fn renew(&mut self, other: u64, most: usize) -> Option<usize> {
        let at = self.ends.iter().position(|end| end.other == other)?;
        self.ends[at..].rotate_left(1);
        let said = self.ends.iter().filter(|end| end.said.is_some());
        if said.clone().count() > most { said.map(|end| end.place).next() } else { None }
    }
}

impl PairState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Direct, Self::Relayed, Self::Connecting, Self::Interrupted, Self::Failed];

    /// Its name in metrics and the admin API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
            Self::Connecting => "connecting",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }

    /// What one or two reports say together: what is best of them, since one end may know sooner
    /// that the link is there. Nothing if there is no link (any more).
    fn of(reports: [Option<&Link>; 2]) -> Option<Self> {
        let all = || reports.into_iter().flatten();
        let any = |state| all().any(|link| link.state == Some(state));
        if any(LinkState::Closed) {
            return None;
        }
        if any(LinkState::Connected) {
            let path = |link: &Link| link.path.as_ref().and_then(|path| path.kind);
            let is_relayed = all().any(|link| path(link) == Some(PathKind::Relayed));
            return Some(if is_relayed { Self::Relayed } else { Self::Direct });
        }
        let others = [
            (LinkState::Interrupted, Self::Interrupted),
            (LinkState::Failed, Self::Failed),
            (LinkState::Connecting, Self::Connecting),
        ];
        others.into_iter().find(|(state, _)| any(*state)).map(|(_, pair)| pair)
    }
}

impl PairCounts {
    /// How many are in this state.
    #[must_use]
    pub const fn get(self, state: PairState) -> u64 {
        match state {
            PairState::Direct => self.direct,
            PairState::Relayed => self.relayed,
            PairState::Connecting => self.connecting,
            PairState::Interrupted => self.interrupted,
            PairState::Failed => self.failed,
        }
    }

    fn of(&mut self, state: PairState) -> &mut u64 {
        match state {
            PairState::Direct => &mut self.direct,
            PairState::Relayed => &mut self.relayed,
            PairState::Connecting => &mut self.connecting,
            PairState::Interrupted => &mut self.interrupted,
            PairState::Failed => &mut self.failed,
        }
    }
}

impl Hub {
    /// Keeps what a member says of its link to another one. If that one isn't there (any more), it
    /// is nothing to anybody.
    pub(super) fn handle_report(&mut self, now: Time, edge: EdgeId, report: Report) {
        let Some(place) = self.edges.get(&edge).copied() else {
            return self.refuse(edge, ErrorCode::HelloFirst, None);
        };
        let seat = &mut self.seats[place];
        seat.heard = now;
        let about = self.seated(&self.seats[place].room, &report.peer);
        let Some(other) = about.filter(|other| *other != place) else { return };
        let said = Some((now, report.link));
        self.change_pair((place, other), |own, _| own.said = said);
        let number = self.seats[other].number;
        let pairs = self.seats[place].pairs.as_mut();
        let oldest = pairs.and_then(|pairs| pairs.renew(number, self.config.reports_max));
        if let Some(oldest) = oldest {
            self.change_pair((place, oldest), |own, _| own.said = None);
        }
    }

    /// Tells the edge what is known of a pair, for whoever works out the diagnosis.
    pub(super) fn handle_diagnose(&mut self, now: Time, edge: EdgeId, diagnose: Diagnose) {
        let Diagnose { peer, id } = diagnose;
        let Some(place) = self.edges.get(&edge).copied() else {
            return self.refuse(edge, ErrorCode::HelloFirst, id);
        };
        let rate = (self.config.diagnoses_per_s, self.config.diagnoses_burst);
        let seat = &mut self.seats[place];
        seat.heard = now;
        let pairs = seat.pairs.get_or_insert_default();
        if let Err(wait) = pairs.diagnoses.try_take(now, 1, rate) {
            let (code, retry_after) = (ErrorCode::RateLimited, Some(wait));
            return self.output(edge, Event::Refused { code, text: None, id, retry_after });
        }
        let room = self.seats[place].room.clone();
        let other = self.seated(&room, &peer);
        if other == Some(place) {
            return self.refuse(edge, ErrorCode::NoSuchPeer, id);
        }
        let facts = PairFacts {
            id,
            room,
            peer,
            metadata: other.map(|other| self.seats[other].metadata.clone()),
            yours: self.seat_facts(now, place, other),
            theirs: other.map(|other| self.seat_facts(now, other, Some(place))),
        };
        self.output(edge, Event::Facts(Box::new(facts)));
    }

    /// What is known of one of a pair.
    fn seat_facts(&self, now: Time, place: usize, other: Option<usize>) -> SeatFacts {
        let seat = &self.seats[place];
        let other = other.map(|other| self.seats[other].number);
        let said = other.and_then(|other| said_of(seat, other));
        let is_gone = matches!(seat.presence, Presence::Gone { .. });
        SeatFacts {
            peer: seat.peer.clone(),
            seat: seat.number,
            away: is_gone.then(|| now.since(seat.heard)),
            has_turn: self.offers_turn(seat),
            report: said.map(|(at, link)| (now.since(*at), (**link).clone())),
        }
    }

    /// The pairs of a room that are, or are to be, connected: `limit` at most.
    pub(super) fn pair_infos(&self, room: &Room, limit: usize) -> Vec<PairInfo> {
        let pairs = room.members.iter().flat_map(|one| {
            let ends = self.seats[*one].pairs.iter().flat_map(|pairs| &pairs.ends);
            // Each pair is known at both ends; the older seat tells of it.
            let younger = ends.filter(|end| self.seats[*one].number < end.other);
            younger.map(|end| (*one, end.place))
        });
        let peer = |place: usize| self.seats[place].peer.clone();
        let info = |(one, other)| {
            let state = self.pair_state(one, other)?;
            Some(PairInfo { peers: [peer(one), peer(other)], state })
        };
        pairs.filter_map(info).take(limit).collect()
    }

    /// Forgets all that was said of a seat that is about to be free, and by it.
    pub(super) fn forget_pairs(&mut self, place: usize) {
        let ends = self.seats[place].pairs.iter().flat_map(|pairs| &pairs.ends);
        let others: Vec<usize> = ends.map(|end| end.place).collect();
        for other in others {
            self.change_pair((place, other), |own, others| (own.said, others.said) = (None, None));
        }
    }

    /// Changes what two say of their link, and keeps count; a pair of which nothing is said any
    /// more is forgotten.
    fn change_pair(
        &mut self,
        (one, other): (usize, usize),
        change: impl FnOnce(&mut End, &mut End),
    ) {
        let before = self.pair_state(one, other);
        let numbers = [one, other].map(|place| self.seats[place].number);
        let (own, others) = self.seats.get2_mut(one, other).expect("both sit there");
        let own = own.pairs.get_or_insert_default();
        let others = others.pairs.get_or_insert_default();
        let (one_end, other_end) = (own.end(numbers[1], other), others.end(numbers[0], one));
        change(one_end, other_end);
        if one_end.said.is_none() && other_end.said.is_none() {
            own.ends.retain(|end| end.other != numbers[1]);
            others.ends.retain(|end| end.other != numbers[0]);
        }
        let after = self.pair_state(one, other);
        if let Some(before) = before {
            *self.counts.pairs.of(before) -= 1;
        }
        if let Some(after) = after {
            *self.counts.pairs.of(after) += 1;
        }
    }

    fn pair_state(&self, one: usize, other: usize) -> Option<PairState> {
        let (one, other) = (&self.seats[one], &self.seats[other]);
        let link = |by, about| said_of(by, about).map(|(_, link)| &**link);
        PairState::of([link(one, other.number), link(other, one.number)])
    }
}

/// What a member last said of its link to a seat, and when.
fn said_of(by: &Seat, about: u64) -> Option<&(Time, Box<Link>)> {
    by.pairs.as_ref()?.find(about)?.said.as_ref()
}
