//! Taking credentials back before they expire: live allocations end, new ones are refused.

use super::Server;
use super::credentials::{User, UserKind, quota_name};
use super::table::Slot;
use crate::Config;
use ahash::RandomState;
use heliograph_base::{Now, SeatName, UnixTime};
use std::collections::HashMap;
use std::time::Duration;

/// Whose credentials are taken back. Seats are those that time-limited usernames name:
/// [`SeatName`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Revoke {
    /// One stay of a peer in a room: refused for [`Config::revocation_lifetime`], longer if a live
    /// allocation shows that its credentials are good for longer.
    Seat {
        /// The room's id.
        room: String,
        /// The peer's id.
        peer: String,
        /// The number of the seat.
        seat: u64,
    },
    /// All stays of a peer. What is refused are credentials that expire no later than those of the
    /// live allocations: if the peer joins again, its new credentials work.
    Peer {
        /// The room's id.
        room: String,
        /// The peer's id.
        peer: String,
    },
    /// All peers of a room, as for [`Self::Peer`].
    Room(String),
    /// A whole username, a holder's name, or a static user. A static user is refused until the
    /// relay starts anew; for others it is as for [`Self::Peer`].
    User(String),
}

impl Revoke {
    fn is_of(&self, user: &str, kind: UserKind) -> bool {
        let seat = seat_of(user, kind);
        match self {
            Self::Seat { room, peer, seat: number } => {
                seat == Some(SeatName { room, peer, seat: *number })
            }
            Self::Peer { room, peer } => {
                seat.is_some_and(|seat| (seat.room, seat.peer) == (room, peer))
            }
            Self::Room(room) => seat.is_some_and(|seat| seat.room == room),
            Self::User(name) => name == user || name == quota_name(user, kind),
        }
    }
}

/// The seat that a time-limited username names; a static user is none, whatever its name.
pub(super) fn seat_of(user: &str, kind: UserKind) -> Option<SeatName<'_>> {
    match kind {
        UserKind::Static => None,
        UserKind::Holder { .. } => SeatName::parse(quota_name(user, kind)),
    }
}

/// When time-limited credentials end.
const fn expiry(kind: UserKind) -> Option<UnixTime> {
    match kind {
        UserKind::Static => None,
        UserKind::Holder { expires } => Some(expires),
    }
}

impl Server {
    /// Ends the live allocations whose user `revoke` means, and says how many; and refuses the same
    /// credentials (403) as far as [`Revoke`] and fixed memory allow.
    ///
    /// Looks at every live allocation of this worker. Each worker must be told; where there are
    /// several, by [`Self::handle_revoke_through`].
    pub fn handle_revoke(&mut self, now: Now, revoke: &Revoke) -> usize {
        self.handle_revoke_through(now, revoke, None)
    }

    /// The last expiry of the credentials that live allocations of this worker show, of those that
    /// `revoke` means.
    #[must_use]
    pub fn latest_expiry(&self, revoke: &Revoke) -> Option<UnixTime> {
        self.meant_by(revoke).filter_map(|(_, kind)| expiry(kind)).max()
    }

    /// The same as [`Self::handle_revoke`] with the latest of the expiries that all workers know:
    /// the next allocation may be asked of a worker that has none yet.
    pub fn handle_revoke_through(
        &mut self,
        now: Now,
        revoke: &Revoke,
        latest: Option<UnixTime>,
    ) -> usize {
        self.end_expired(now);
        let latest = self.latest_expiry(revoke).max(latest);
        let meant: Vec<Slot> = self.meant_by(revoke).map(|(slot, _)| slot).collect();
        if let Some(through) = self.revoked.through(now, revoke, latest, &self.config) {
            self.revoked.insert(now.unix, revoke, through);
        }
        for slot in &meant {
            self.end(*slot);
        }
        self.counters.allocations_revoked += meant.len() as u64;
        meant.len()
    }

    fn meant_by(&self, revoke: &Revoke) -> impl Iterator<Item = (Slot, UserKind)> {
        let all = self.table.all().map(|(slot, allocation)| (slot, &allocation.record));
        let meant = all.filter(|(_, record)| revoke.is_of(&record.user, record.user_kind));
        meant.map(|(slot, record)| (slot, record.user_kind))
    }
}

/// What was revoked, in fixed memory: a seeded hash of each, and which credentials are meant.
#[derive(Debug)]
pub(super) struct Revoked {
    /// Credentials that expire by this time are refused. An entry is of no use after it.
    through: HashMap<u64, UnixTime, RandomState>,
    max: usize,
    hasher: RandomState,
}

/// What a hash stands for.
#[derive(Hash)]
enum Subject<'a> {
    Seat(&'a str, &'a str, u64),
    Peer(&'a str, &'a str),
    Room(&'a str),
    User(&'a str),
}

impl Revoked {
    pub(super) fn new(config: &Config, hasher: &RandomState) -> Self {
        let max = config.revocations_max;
        let through = HashMap::with_capacity_and_hasher(max, hasher.clone());
        Self { through, max, hasher: hasher.clone() }
    }

    /// The last expiry of the credentials to refuse, if any need be. `latest` is that of the live
    /// allocations.
    fn through(
        &self,
        now: Now,
        revoke: &Revoke,
        latest: Option<UnixTime>,
        config: &Config,
    ) -> Option<UnixTime> {
        let whole_s: Duration = config.revocation_lifetime;
        match revoke {
            Revoke::Seat { .. } => latest.max(Some(now.unix + whole_s)),
            Revoke::Peer { .. } | Revoke::Room(_) => latest,
            Revoke::User(name) => {
                let is_static = config.users.iter().any(|user| user.name == *name);
                if is_static { Some(UnixTime::from_seconds(u64::MAX)) } else { latest }
            }
        }
    }

    /// When there is no room, what would have been forgotten first is.
    fn insert(&mut self, unix: UnixTime, revoke: &Revoke, through: UnixTime) {
        let hash = self.hash(&match revoke {
            Revoke::Seat { room, peer, seat } => Subject::Seat(room, peer, *seat),
            Revoke::Peer { room, peer } => Subject::Peer(room, peer),
            Revoke::Room(room) => Subject::Room(room),
            Revoke::User(name) => Subject::User(name),
        });
        if self.through.len() >= self.max {
            self.through.retain(|_, through| unix < *through);
        }
        if self.through.len() >= self.max {
            let first = self.through.iter().min_by_key(|(_, through)| **through);
            let Some(first) = first.map(|(hash, _)| *hash) else {
                return;
            };
            self.through.remove(&first);
        }
        let entry = self.through.entry(hash).or_insert(through);
        *entry = through.max(*entry);
    }

    /// Whether new allocations of `user` are refused.
    pub(super) fn contains(&self, user: User<'_>) -> bool {
        if self.through.is_empty() {
            return false;
        }
        let expires = match user.kind {
            UserKind::Static => UnixTime::from_seconds(u64::MAX),
            UserKind::Holder { expires } => expires,
        };
        let is_refused = |subject: Subject<'_>| {
            self.through.get(&self.hash(&subject)).is_some_and(|through| expires <= *through)
        };
        let by_seat = seat_of(user.name, user.kind).is_some_and(|seat| {
            is_refused(Subject::Seat(seat.room, seat.peer, seat.seat))
                || is_refused(Subject::Peer(seat.room, seat.peer))
                || is_refused(Subject::Room(seat.room))
        });
        by_seat
            || is_refused(Subject::User(user.name))
            || is_refused(Subject::User(quota_name(user.name, user.kind)))
    }

    fn hash(&self, subject: &Subject<'_>) -> u64 {
        self.hasher.hash_one(subject)
    }
}
