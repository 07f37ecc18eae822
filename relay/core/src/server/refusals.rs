//! What seats were refused, in fixed memory: so that it can be said why one has no relay.
//!
//! Written only when a request is refused, never for data.

use super::Server;
use super::credentials::{User, UserKind};
use super::revoke::seat_of;
use crate::wire::{ErrorCode, Method};
use crate::{Config, Flow};
use ahash::RandomState;
use heliograph_base::{Now, SeatName, Time, UnixTime};
use std::fmt;
use std::time::Duration;

/// Why a seat was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// Its credentials had expired.
    Expired,
    /// Its credentials were taken back.
    Revoked,
    /// Somebody named the seat and didn't have its password. Anybody can.
    Unauthorized,
    /// It, its room or its address has all that it may have.
    Quota,
    /// The relay, or an allocation, has no room.
    NoCapacity,
    /// The relay sends nothing to such peers.
    ForbiddenPeer,
    /// The relay, or the allocation, has no address of that family.
    Family,
}

/// What was refused for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalInfo {
    /// Why.
    pub reason: RefusalReason,
    /// How often.
    pub count: u32,
    /// How long ago it last was.
    pub age: Duration,
    /// For how long the credentials have expired, if that is why.
    pub expired: Option<Duration>,
}

/// What a relay knows of one seat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeatRecord {
    /// Its live allocations; a dual one is two of these.
    pub allocations: usize,
    /// How old the oldest of them is.
    pub age: Option<Duration>,
    /// What they relayed from the client to peers.
    pub from_client: Flow,
    /// What they relayed from peers to the client.
    pub to_client: Flow,
    /// What it was refused, as far as that is remembered.
    pub refusals: Vec<RefusalInfo>,
}

impl SeatRecord {
    /// Adds what another worker of the same relay knows.
    pub fn add(&mut self, other: Self) {
        self.allocations += other.allocations;
        self.age = self.age.max(other.age);
        self.from_client += other.from_client;
        self.to_client += other.to_client;
        for refusal in other.refusals {
            match self.refusals.iter_mut().find(|own| own.reason == refusal.reason) {
                Some(own) => {
                    own.count = own.count.saturating_add(refusal.count);
                    own.age = own.age.min(refusal.age);
                    own.expired = own.expired.or(refusal.expired);
                }
                None => self.refusals.push(refusal),
            }
        }
    }
}

/// What was refused: to who has shown that it is the seat, and apart, since anybody can say so, to
/// who has not.
pub(super) struct Refusals {
    proven: Log,
    unproven: Log,
    hasher: RandomState,
}

/// Shows nothing: no request is answered otherwise for what is in it.
impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}

const REASONS: [RefusalReason; 7] = [
    RefusalReason::Expired,
    RefusalReason::Revoked,
    RefusalReason::Unauthorized,
    RefusalReason::Quota,
    RefusalReason::NoCapacity,
    RefusalReason::ForbiddenPeer,
    RefusalReason::Family,
];

/// How many places there are for one hash; of those the one that is quiet for longest is given to
/// a newcomer.
const WAYS: usize = 4;

/// A table of so many places, with no list and no search.
struct Log {
    places: Box<[Entry]>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    /// A seeded hash of the seat.
    key: u64,
    last: Option<Time>,
    /// When the credentials expired that were refused for it.
    expired: Option<UnixTime>,
    tallies: [Tally; REASONS.len()],
}

#[derive(Clone, Copy, Default)]
struct Tally {
    count: u32,
    last: Time,
}

impl Log {
    fn new(places: usize) -> Self {
        Self { places: vec![Entry::default(); places.next_multiple_of(WAYS)].into() }
    }

    fn set(&self, key: u64) -> std::ops::Range<usize> {
        let sets = (self.places.len() / WAYS).max(1) as u64;
        let first = (key % sets) as usize * WAYS;
        first..(first + WAYS).min(self.places.len())
    }

    fn find(&self, key: u64) -> Option<&Entry> {
        self.places[self.set(key)].iter().find(|entry| entry.last.is_some() && entry.key == key)
    }

    /// The entry of a seat, a new one if need be; none if there are no places at all.
    fn entry(&mut self, key: u64) -> Option<&mut Entry> {
        let set = self.set(key);
        let ways = &mut self.places[set];
        let known = ways.iter().position(|entry| entry.last.is_some() && entry.key == key);
        let quiet = || (0..ways.len()).min_by_key(|at| ways[*at].last);
        let at = known.or_else(quiet)?;
        if known.is_none() {
            ways[at] = Entry { key, ..Entry::default() };
        }
        ways.get_mut(at)
    }

    fn note(&mut self, now: Time, key: u64, reason: RefusalReason, expired: Option<UnixTime>) {
        let Some(entry) = self.entry(key) else { return };
        entry.last = Some(now);
        entry.expired = expired.or(entry.expired);
        let tally = &mut entry.tallies[place_of(reason)];
        *tally = Tally { count: tally.count.saturating_add(1), last: now };
    }
}

fn place_of(reason: RefusalReason) -> usize {
    match reason {
        RefusalReason::Expired => 0,
        RefusalReason::Revoked => 1,
        RefusalReason::Unauthorized => 2,
        RefusalReason::Quota => 3,
        RefusalReason::NoCapacity => 4,
        RefusalReason::ForbiddenPeer => 5,
        RefusalReason::Family => 6,
    }
}

impl Entry {
    fn infos(&self, now: Now) -> impl Iterator<Item = RefusalInfo> {
        let all = REASONS.into_iter().zip(self.tallies);
        let seconds = |expired: UnixTime| now.unix.seconds.saturating_sub(expired.seconds);
        let expired = self.expired.map(|expired| Duration::from_secs(seconds(expired)));
        all.filter(|(_, tally)| tally.count > 0).map(move |(reason, tally)| RefusalInfo {
            reason,
            count: tally.count,
            age: now.time.since(tally.last),
            expired: expired.filter(|_| reason == RefusalReason::Expired),
        })
    }
}

impl Refusals {
    pub(super) fn new(config: &Config, hasher: &RandomState) -> Self {
        Self {
            proven: Log::new(config.refused_seats_max),
            unproven: Log::new(config.unproven_seats_max),
            hasher: hasher.clone(),
        }
    }

    /// Takes note that a user was refused whose password was right.
    pub(super) fn note(&mut self, now: Now, user: User<'_>, method: Method, code: ErrorCode) {
        if let (Some(reason), Some(seat)) = (reason(method, code), seat_of(user.name, user.kind)) {
            let key = self.hasher.hash_one(seat);
            self.proven.note(now.time, key, reason, None);
        }
    }

    /// Takes note that a password was right, but its time is over.
    pub(super) fn note_expired(&mut self, now: Now, name: &str, expires: UnixTime) {
        if let Some(seat) = seat_of(name, UserKind::Holder { expires }) {
            let key = self.hasher.hash_one(seat);
            self.proven.note(now.time, key, RefusalReason::Expired, Some(expires));
        }
    }

    /// Takes note that a password was wrong.
    pub(super) fn note_unproven(&mut self, now: Now, name: &str) {
        let kind = UserKind::Holder { expires: now.unix };
        if let Some(seat) = seat_of(name, kind) {
            let key = self.hasher.hash_one(seat);
            self.unproven.note(now.time, key, RefusalReason::Unauthorized, None);
        }
    }

    fn of(&self, now: Now, seat: SeatName<'_>) -> Vec<RefusalInfo> {
        let key = self.hasher.hash_one(seat);
        let both = [self.proven.find(key), self.unproven.find(key)];
        both.into_iter().flatten().flat_map(|entry| entry.infos(now)).collect()
    }
}

/// What a refusal says of a seat; nothing if it only says that its client makes mistakes.
fn reason(method: Method, code: ErrorCode) -> Option<RefusalReason> {
    match code {
        ErrorCode::Forbidden if method == Method::Allocate => Some(RefusalReason::Revoked),
        ErrorCode::Forbidden => Some(RefusalReason::ForbiddenPeer),
        ErrorCode::AllocationQuotaReached => Some(RefusalReason::Quota),
        ErrorCode::InsufficientCapacity => Some(RefusalReason::NoCapacity),
        ErrorCode::AddressFamilyNotSupported | ErrorCode::PeerAddressFamilyMismatch => {
            Some(RefusalReason::Family)
        }
        ErrorCode::TryAlternate
        | ErrorCode::BadRequest
        | ErrorCode::Unauthorized
        | ErrorCode::MobilityForbidden
        | ErrorCode::UnknownAttribute
        | ErrorCode::AllocationMismatch
        | ErrorCode::StaleNonce
        | ErrorCode::WrongCredentials
        | ErrorCode::UnsupportedTransportProtocol
        | ErrorCode::ConnectionAlreadyExists
        | ErrorCode::ConnectionTimeoutOrFailure => None,
    }
}

impl Server {
    /// What this worker knows of a seat.
    ///
    /// Looks at every allocation if the seat has one, and at a few places if it has none.
    #[must_use]
    pub fn seat_record(&self, now: Now, seat: SeatName<'_>) -> SeatRecord {
        let refusals = self.refusals.of(now, seat);
        let mut record = SeatRecord { refusals, ..SeatRecord::default() };
        let Some(user) = self.table.rates.user_with_allocations(&seat.to_string()) else {
            return record;
        };
        for (_, allocation) in self.table.all() {
            let is_live = now.time < allocation.record.expires;
            if allocation.user_id != user || !is_live {
                continue;
            }
            record.add(SeatRecord {
                allocations: 1,
                age: Some(now.time.since(allocation.record.begun)),
                from_client: allocation.from_client,
                to_client: allocation.to_client,
                refusals: Vec::new(),
            });
        }
        record
    }
}
