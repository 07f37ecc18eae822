//! The tickets that wait, and which of them make a match.

use super::Ticket;
use super::index::Index;
use super::search::{Candidate, Found, search};
use crate::{MatchLimits, RoomId};
use ahash::RandomState;
use heliograph_base::Time;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

/// The tickets that wait, and which of them make a match.
///
/// Tickets go in by [`handle_ticket`](Self::handle_ticket); what becomes of them comes out by
/// [`poll_output`](Self::poll_output), to be drained after each `handle_*`. A ticket is looked at
/// when it comes and whenever it becomes less demanding: then it goes with the oldest group that
/// it can be in, if there is one. So among those that wait nobody could go, and who is passed over
/// couldn't have been in the group that went.
#[derive(Debug)]
pub struct Matchmaker {
    limits: MatchLimits,
    dice: StdRng,
    waiting: HashMap<u64, Waiting, RandomState>,
    index: Index,
    timers: BTreeSet<Timer>,
    last_number: u64,
    outputs: VecDeque<MatchOutput>,
    counts: MatchCounts,
}

/// Names a ticket; who is older has the lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketNumber(pub u64);

/// What became of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchOutput {
    /// These go together.
    Matched {
        /// Where they meet: the room of one of them, or the name of one that nobody can guess.
        room: RoomId,
        /// How many players they are.
        players: u32,
        /// The tickets: first the one whose room it is, the others oldest first.
        places: Vec<Place>,
    },
    /// It has waited as long as it wanted.
    Expired(TicketNumber),
}

/// The place of a ticket in a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The ticket.
    pub ticket: TicketNumber,
    /// Its seats among those of all, which count from 0: one for each player of its party.
    pub seats: Range<u32>,
}

/// As many tickets wait as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many tickets wait as there may be")]
pub struct Full;

/// What a matchmaker has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchCounts {
    /// Tickets that wait.
    pub waiting: u64,
    /// Tickets ever taken.
    pub tickets: u64,
    /// Matches ever made.
    pub matches: u64,
    /// Tickets that went with them.
    pub matched: u64,
    /// Tickets that waited as long as they wanted.
    pub expired: u64,
    /// Tickets that were taken back.
    pub cancelled: u64,
    /// How often two tickets were compared.
    pub comparisons: u64,
    /// Searches that gave up, to be taken up later.
    pub gave_up: u64,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    since: Time,
    /// When it is to be looked at again.
    look: Option<Time>,
}

/// In the order of being due: a look before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Timer {
    at: Time,
    due: Due,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Look,
    Expiry,
}

impl Matchmaker {
    /// A matchmaker without tickets. `random` is of good randomness: names of rooms come from it.
    #[must_use]
    pub fn new(limits: MatchLimits, random: [u8; 32]) -> Self {
        let mut dice = StdRng::from_seed(random);
        let mut roll = || dice.next_u64();
        let hasher = RandomState::with_seeds(roll(), roll(), roll(), roll());
        Self {
            limits,
            dice,
            index: Index::new(&hasher),
            waiting: HashMap::with_hasher(hasher),
            timers: BTreeSet::new(),
            last_number: 0,
            outputs: VecDeque::new(),
            counts: MatchCounts::default(),
        }
    }

    /// Takes a ticket, and looks whether it makes a match.
    ///
    /// # Errors
    /// [`Full`]: it isn't taken.
    pub fn handle_ticket(&mut self, now: Time, ticket: Ticket) -> Result<TicketNumber, Full> {
        if self.waiting.len() >= self.limits.tickets_max {
            return Err(Full);
        }
        self.last_number += 1;
        let number = self.last_number;
        self.counts.tickets += 1;
        self.index.insert(number, &ticket);
        self.timers.insert(Timer { at: now + ticket.timeout, due: Due::Expiry, number });
        self.waiting.insert(number, Waiting { ticket, since: now, look: None });
        self.look(now, number);
        Ok(TicketNumber(number))
    }

    /// Takes a ticket back. Whether it still waited; otherwise nothing changes.
    pub fn handle_cancel(&mut self, ticket: TicketNumber) -> bool {
        let was_waiting = self.remove(ticket.0).is_some();
        self.counts.cancelled += u64::from(was_waiting);
        was_waiting
    }

    /// Does what is due; to be called when [`poll_timeout`](Self::poll_timeout) says so. What would
    /// take too long at once stays due.
    pub fn handle_timeout(&mut self, now: Time) {
        let comparisons_max = self.counts.comparisons + self.limits.comparisons_per_turn;
        while let Some(timer) = self.timers.first().copied().filter(|timer| timer.at <= now) {
            if self.counts.comparisons >= comparisons_max {
                return;
            }
            self.timers.pop_first();
            match timer.due {
                Due::Look => self.look(now, timer.number),
                Due::Expiry => self.expire(timer.number),
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.first().map(|timer| timer.at)
    }

    /// Gives out what became of the next ticket.
    pub fn poll_output(&mut self) -> Option<MatchOutput> {
        self.outputs.pop_front()
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> MatchCounts {
        MatchCounts { waiting: self.waiting.len() as u64, ..self.counts }
    }

    /// Whether nothing is kept of any ticket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.timers.is_empty() && self.index.is_empty()
    }

    /// Makes a match with this ticket, or finds out when to look again.
    fn look(&mut self, now: Time, number: u64) {
        let Self { waiting, index, limits, counts, .. } = self;
        let first = &waiting[&number];
        let waited = now.since(first.since);
        let mut fit = |one: &Waiting, other: &Waiting| {
            counts.comparisons += 1;
            one.accepts(now, other) && other.accepts(now, one)
        };
        let mut numbers = index.candidates(&first.ticket, waited);
        numbers.retain(|other| *other != number && fit(first, &waiting[other]));
        let others: Vec<&Waiting> = numbers.iter().map(|other| &waiting[other]).collect();
        let described: Vec<_> = others.iter().map(|other| other.candidate(now)).collect();
        let found = search(&first.candidate(now), &described, limits.search_steps_max, |a, b| {
            fit(others[a], others[b])
        });
        let relaxes = first.ticket.relaxes_at(waited).map(|after| first.since + after);
        match found {
            Found::Group(places) => {
                let mut group: Vec<u64> = places.into_iter().map(|place| numbers[place]).collect();
                group.push(number);
                self.make_match(&mut group);
            }
            Found::Nothing => self.look_again(now, number, relaxes),
            Found::GaveUp => {
                self.counts.gave_up += 1;
                let later = now + self.limits.search_pause;
                self.look_again(now, number, Some(relaxes.map_or(later, |at| at.min(later))));
            }
        }
    }

    fn look_again(&mut self, now: Time, number: u64, at: Option<Time>) {
        assert!(at.is_none_or(|at| at > now), "nothing that is left to do is due already");
        let Some(waiting) = self.waiting.get_mut(&number) else { return };
        waiting.look = at;
        self.timers.extend(at.map(|at| Timer { at, due: Due::Look, number }));
    }

    fn make_match(&mut self, group: &mut [u64]) {
        group.sort_unstable_by_key(|number| (self.waiting[number].ticket.room.is_none(), *number));
        let (mut room, mut players) = (None, 0);
        let places = group.iter().map(|number| {
            let Waiting { ticket, .. } = self.remove(*number).expect("who was found waits");
            let seats = players..players + ticket.party;
            players = seats.end;
            room = room.take().or(ticket.room);
            Place { ticket: TicketNumber(*number), seats }
        });
        let places: Vec<Place> = places.collect();
        self.counts.matches += 1;
        self.counts.matched += places.len() as u64;
        let room = room.unwrap_or_else(|| self.room());
        self.outputs.push_back(MatchOutput::Matched { room, players, places });
    }

    fn expire(&mut self, number: u64) {
        self.remove(number);
        self.counts.expired += 1;
        self.outputs.push_back(MatchOutput::Expired(TicketNumber(number)));
    }

    /// Forgets a ticket and all that was to be done for it.
    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let gone = self.waiting.remove(&number)?;
        self.index.remove(number, &gone.ticket);
        let expiry = Timer { at: gone.since + gone.ticket.timeout, due: Due::Expiry, number };
        self.timers.remove(&expiry);
        if let Some(at) = gone.look {
            self.timers.remove(&Timer { at, due: Due::Look, number });
        }
        Some(gone)
    }

    /// A room that nobody can guess: 160 random bits.
    fn room(&mut self) -> RoomId {
        let random: [u8; 20] = self.dice.random();
        let mut text = data_encoding::BASE32_NOPAD.encode(&random);
        text.make_ascii_lowercase();
        RoomId::parse(&text).expect("letters and digits make an id")
    }
}

impl Waiting {
    fn accepts(&self, now: Time, other: &Self) -> bool {
        self.ticket.accepts(now.since(self.since), &other.ticket)
    }

    fn waited(&self, now: Time) -> Duration {
        now.since(self.since)
    }

    fn candidate(&self, now: Time) -> Candidate {
        let Ticket { size, party, .. } = self.ticket;
        let is_patient = self.ticket.is_patient(self.waited(now));
        Candidate { party, least: size.least, most: size.most, is_patient }
    }
}
