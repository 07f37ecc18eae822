//! How many allocations there are, and whose: counted over all workers of a relay.

use crate::Config;
use crate::wire::ErrorCode;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The places that live allocations take up, shared by all workers.
///
/// Locked when an allocation begins, moves or ends, never for a packet.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    allocations: usize,
    users: BTreeMap<Box<str>, usize>,
    rooms: BTreeMap<Box<str>, usize>,
    sources: BTreeMap<u64, usize>,
}

/// What one allocation counts against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    /// Whose it is, as quotas count.
    pub(crate) user: &'a str,
    /// The most allocations that such a user gets.
    pub(crate) user_max: usize,
    /// The room of the seat that it is for, if it is for one.
    pub(crate) room: Option<&'a str>,
    /// The prefix of the client's address.
    pub(crate) source: u64,
}

impl Usage {
    /// Takes a place for one more allocation.
    ///
    /// # Errors
    /// [`ErrorCode::InsufficientCapacity`] if the relay is full;
    /// [`ErrorCode::AllocationQuotaReached`] if the user, the room or the source has all it may.
    pub(crate) fn take(&self, config: &Config, claim: &Claim<'_>) -> Result<(), ErrorCode> {
        let mut places = self.lock();
        places.check(config, claim)?;
        places.allocations += 1;
        *places.users.entry(claim.user.into()).or_default() += 1;
        if let Some(room) = claim.room {
            *places.rooms.entry(room.into()).or_default() += 1;
        }
        *places.sources.entry(claim.source).or_default() += 1;
        Ok(())
    }

    /// Gives a place back.
    pub(crate) fn give_back(&self, claim: &Claim<'_>) {
        let mut places = self.lock();
        places.allocations -= 1;
        release(&mut places.users, claim.user);
        if let Some(room) = claim.room {
            release(&mut places.rooms, room);
        }
        release(&mut places.sources, &claim.source);
    }

    /// Counts an allocation at another source, over its quota if need be.
    pub(crate) fn move_source(&self, from: u64, to: u64) {
        let mut places = self.lock();
        release(&mut places.sources, &from);
        *places.sources.entry(to).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // A worker that panicked ends the process; until then the counts are as good as they were.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn check(&self, config: &Config, claim: &Claim<'_>) -> Result<(), ErrorCode> {
        let max = config.allocations_max;
        if self.allocations >= max {
            return Err(ErrorCode::InsufficientCapacity);
        }
        let of_user = self.users.get(claim.user).copied().unwrap_or(0);
        let of_room = claim.room.and_then(|room| self.rooms.get(room)).copied().unwrap_or(0);
        let of_source = self.sources.get(&claim.source).copied().unwrap_or(0);
        let headroom = max * config.allocations_headroom_percent / 100;
        // Of the users there are and one to come.
        let share = max / (self.users.len() + 1);
        let is_over = of_user >= claim.user_max
            || of_room >= config.allocations_per_room_max
            || of_source >= config.allocations_per_source_max
            || (self.allocations >= max - headroom && of_user >= share.max(1));
        if is_over { Err(ErrorCode::AllocationQuotaReached) } else { Ok(()) }
    }
}

fn release<K, Q>(counts: &mut BTreeMap<K, usize>, of: &Q)
where
    K: std::borrow::Borrow<Q> + Ord,
    Q: Ord + ?Sized,
{
    let count = counts.get_mut(of).expect("a place that was taken is counted");
    *count -= 1;
    if *count == 0 {
        counts.remove(of);
    }
}
