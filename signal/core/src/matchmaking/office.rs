//! Whose ticket it is, whether its owner is still there, and what became of it.

use super::{Full, MatchCounts, MatchOutput, Matchmaker, Ticket, TicketNumber};
use crate::{BadId, MatchLimits, RoomId, SessionKey};
use ahash::RandomState;
use heliograph_base::Time;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde::{Serialize, Serializer};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;

/// A [`Matchmaker`] and the owners of its tickets.
///
/// An owner has its ticket's id and key. Whoever carries its requests tells by
/// [`handle_watch`](Self::handle_watch) and [`handle_unwatch`](Self::handle_unwatch) how long it is
/// there; after being away for [`MatchLimits::abandon`] its ticket is cancelled. What became of a
/// ticket can be asked for [`MatchLimits::outcome_kept`].
#[derive(Debug)]
pub struct TicketOffice {
    limits: MatchLimits,
    matchmaker: Matchmaker,
    dice: StdRng,
    owned: HashMap<TicketId, Owned, RandomState>,
    ids: HashMap<TicketNumber, TicketId, RandomState>,
    /// When tickets whose owner is away are cancelled.
    absent: BTreeSet<(Time, TicketId)>,
    /// When outcomes are forgotten, in this order.
    kept: VecDeque<(Time, TicketId)>,
    changes: VecDeque<(TicketId, Status)>,
    abandoned: u64,
}

/// Names a ticket to its owner: 80 random bits, so nobody has the same one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId([u8; 10]);

/// A ticket that was taken.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Its name.
    pub id: TicketId,
    /// What shows that it is one's own.
    pub key: SessionKey,
    /// What has become of it already.
    pub status: Status,
}

/// What has become of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// Nothing yet.
    Waiting {
        /// In how many seconds it expires, rounded up.
        expires_in_s: u64,
    },
    /// It has found its match.
    Matched {
        /// Where all of them meet.
        #[serde(serialize_with = "as_text")]
        room: RoomId,
        /// How many players they are.
        players: u32,
        /// Which of the seats, counted from 0, are for the ticket's players.
        seats: Vec<u32>,
    },
    /// It has waited as long as it wanted.
    Expired,
    /// Its owner took it back, or was away for too long.
    Cancelled,
}

/// What an office has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfficeCounts {
    /// What its matchmaker has; `cancelled` includes the abandoned.
    pub matchmaker: MatchCounts,
    /// Tickets cancelled since their owners were away.
    pub abandoned: u64,
    /// Tickets that wait and whose owners are there.
    pub watched: u64,
    /// Outcomes that are kept.
    pub kept: u64,
}

#[derive(Debug)]
struct Owned {
    key: SessionKey,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Waiting {
        number: TicketNumber,
        expires: Time,
        /// How many wait for the owner's sake.
        watches: u32,
        /// When it is cancelled if nothing is heard of the owner, who is away.
        abandoned: Option<Time>,
    },
    Done(Status),
}

impl TicketOffice {
    /// An office without tickets. `random` is of good randomness: ids, keys and names of rooms
    /// come from it.
    #[must_use]
    pub fn new(limits: MatchLimits, random: [u8; 32]) -> Self {
        let mut dice = StdRng::from_seed(random);
        let matchmaker = Matchmaker::new(limits.clone(), dice.random());
        let mut roll = || dice.next_u64();
        let hasher = RandomState::with_seeds(roll(), roll(), roll(), roll());
        Self {
            limits,
            matchmaker,
            dice,
            owned: HashMap::with_hasher(hasher.clone()),
            ids: HashMap::with_hasher(hasher),
            absent: BTreeSet::new(),
            kept: VecDeque::new(),
            changes: VecDeque::new(),
            abandoned: 0,
        }
    }

    /// Takes a ticket. From now on its owner is away.
    ///
    /// # Errors
    /// [`Full`]: it isn't taken.
    pub fn handle_post(&mut self, now: Time, ticket: Ticket) -> Result<Posted, Full> {
        let expires = now + ticket.timeout;
        let number = self.matchmaker.handle_ticket(now, ticket)?;
        let id = TicketId(self.dice.random());
        let key = SessionKey::from_random(self.dice.random());
        let stage = Stage::Waiting { number, expires, watches: 0, abandoned: None };
        self.owned.insert(id, Owned { key, stage });
        self.ids.insert(number, id);
        self.set_absent(now, id);
        self.settle(now);
        let status = self.owned.get(&id).map(|owned| owned.status(now));
        Ok(Posted { id, key, status: status.unwrap_or(Status::Cancelled) })
    }

    /// Shows the owner what has become of its ticket, and takes note that it was there. Nothing if
    /// there is no such ticket (any more), or the key isn't its own.
    pub fn handle_look(&mut self, now: Time, id: TicketId, key: &SessionKey) -> Option<Status> {
        let status = self.owner(id, key)?.status(now);
        self.set_absent(now, id);
        Some(status)
    }

    /// The same, but the owner stays: until as many [`handle_unwatch`](Self::handle_unwatch), if
    /// the ticket waits.
    pub fn handle_watch(&mut self, now: Time, id: TicketId, key: &SessionKey) -> Option<Status> {
        let owned = self.owner(id, key)?;
        if let Stage::Waiting { watches, abandoned, .. } = &mut owned.stage {
            *watches += 1;
            if let Some(at) = abandoned.take() {
                self.absent.remove(&(at, id));
            }
        }
        self.owned.get(&id).map(|owned| owned.status(now))
    }

    /// Takes note that the owner went.
    pub fn handle_unwatch(&mut self, now: Time, id: TicketId) {
        if let Some(Owned { stage: Stage::Waiting { watches, .. }, .. }) = self.owned.get_mut(&id) {
            *watches = watches.saturating_sub(1);
            self.set_absent(now, id);
        }
    }

    /// Takes a ticket back, and says what has become of it: if it didn't wait any more, not that.
    /// Nothing as for [`handle_look`](Self::handle_look).
    pub fn handle_cancel(&mut self, now: Time, id: TicketId, key: &SessionKey) -> Option<Status> {
        self.owner(id, key)?;
        self.cancel(now, id);
        self.owned.get(&id).map(|owned| owned.status(now)).or(Some(Status::Cancelled))
    }

    /// Does what is due; to be called when [`poll_timeout`](Self::poll_timeout) says so.
    pub fn handle_timeout(&mut self, now: Time) {
        self.matchmaker.handle_timeout(now);
        self.settle(now);
        while let Some((_, id)) = self.absent.first().copied().filter(|(at, _)| *at <= now) {
            self.abandoned += 1;
            self.cancel(now, id);
        }
        while let Some((_, id)) = self.kept.front().copied().filter(|(at, _)| *at <= now) {
            self.kept.pop_front();
            self.owned.remove(&id);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let absent = self.absent.first().map(|(at, _)| *at);
        let kept = self.kept.front().map(|(at, _)| *at);
        [self.matchmaker.poll_timeout(), absent, kept].into_iter().flatten().min()
    }

    /// Gives out the next ticket that waits no more, and what became of it.
    pub fn poll_change(&mut self) -> Option<(TicketId, Status)> {
        self.changes.pop_front()
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> OfficeCounts {
        OfficeCounts {
            matchmaker: self.matchmaker.counts(),
            abandoned: self.abandoned,
            watched: (self.ids.len() - self.absent.len()) as u64,
            kept: self.kept.len() as u64,
        }
    }

    /// Whether nothing is kept of any ticket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let are_gone = self.owned.is_empty() && self.ids.is_empty();
        are_gone && self.absent.is_empty() && self.kept.is_empty() && self.matchmaker.is_empty()
    }

    /// Tells owners what the matchmaker has done.
    fn settle(&mut self, now: Time) {
        while let Some(output) = self.matchmaker.poll_output() {
            match output {
                MatchOutput::Matched { room, players, places } => {
                    for place in places {
                        let (room, seats) = (room.clone(), place.seats.collect());
                        self.finish(now, place.ticket, Status::Matched { room, players, seats });
                    }
                }
                MatchOutput::Expired(number) => self.finish(now, number, Status::Expired),
            }
        }
    }

    fn cancel(&mut self, now: Time, id: TicketId) {
        if let Some(Owned { stage: Stage::Waiting { number, .. }, .. }) = self.owned.get(&id) {
            let number = *number;
            self.matchmaker.handle_cancel(number);
            self.finish(now, number, Status::Cancelled);
        }
    }

    /// Keeps what became of a ticket for a while.
    fn finish(&mut self, now: Time, number: TicketNumber, status: Status) {
        let id = self.ids.remove(&number).expect("every ticket that waits has an owner");
        let owned = self.owned.get_mut(&id).expect("every id is somebody's");
        let before = std::mem::replace(&mut owned.stage, Stage::Done(status.clone()));
        if let Stage::Waiting { abandoned: Some(at), .. } = before {
            self.absent.remove(&(at, id));
        }
        self.kept.push_back((now + self.limits.outcome_kept, id));
        if self.kept.len() > self.limits.outcomes_max
            && let Some((_, oldest)) = self.kept.pop_front()
        {
            self.owned.remove(&oldest);
        }
        self.changes.push_back((id, status));
    }

    /// Counts the time for which the owner is away from now on, unless it is there.
    fn set_absent(&mut self, now: Time, id: TicketId) {
        let stage = self.owned.get_mut(&id).map(|owned| &mut owned.stage);
        if let Some(Stage::Waiting { watches: 0, abandoned, .. }) = stage {
            let at = now + self.limits.abandon;
            if let Some(before) = abandoned.replace(at) {
                self.absent.remove(&(before, id));
            }
            self.absent.insert((at, id));
        }
    }

    fn owner(&mut self, id: TicketId, key: &SessionKey) -> Option<&mut Owned> {
        self.owned.get_mut(&id).filter(|owned| owned.key.is(key))
    }
}

impl Owned {
    fn status(&self, now: Time) -> Status {
        match &self.stage {
            Stage::Waiting { expires, .. } => {
                let left = expires.since(now);
                let expires_in_s = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                Status::Waiting { expires_in_s }
            }
            Stage::Done(status) => status.clone(),
        }
    }
}

impl TicketId {
    /// Takes a text as the client was told it.
    ///
    /// # Errors
    /// [`BadId`] if it is no such text.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        let bytes = ID_TEXT.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| BadId)?;
        bytes.try_into().map(Self).map_err(|_| BadId)
    }
}

/// Letters and digits, in lower case where they are shown.
const ID_TEXT: data_encoding::Encoding = data_encoding::BASE32_NOPAD;

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = ID_TEXT.encode(&self.0);
        text.make_ascii_lowercase();
        f.write_str(&text)
    }
}

fn as_text<S: Serializer>(room: &RoomId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(room.as_str())
}
