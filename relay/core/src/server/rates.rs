//! How fast the users of live allocations go: packets, bytes and new peers.

use super::credentials::{UserKind, quota_name};
use crate::Config;
use ahash::RandomState;
use heliograph_base::Time;
use std::collections::{HashMap, VecDeque};

/// The place of a user in the rates; good while the user has an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserId(u32);

/// The rates of the users of live allocations.
///
/// A packet leads to its user by a place in a list, not by a lookup.
#[derive(Debug)]
pub(super) struct Rates {
    ids: HashMap<Box<str>, UserId, RandomState>,
    users: Vec<Option<Used>>,
    free: Vec<UserId>,
    /// Users without allocations whose rates are remembered, so that who ends an allocation and
    /// begins another doesn't get a fresh burst. Oldest first.
    idle: VecDeque<UserId>,
    idle_max: usize,
    costs: Costs,
}

/// What one user has.
#[derive(Debug)]
struct Used {
    name: Box<str>,
    allocations: usize,
    /// Whether it is in the list of idle ones, maybe from an earlier time.
    is_listed: bool,
    /// Static users aren't metered.
    is_metered: bool,
    packets: Bucket,
    bytes: Bucket,
    peers: Bucket,
}

/// The nanoseconds that things cost; zero where there is no limit.
#[derive(Clone, Copy, Debug)]
struct Costs {
    packet: u64,
    /// In fractions of 2^-16.
    byte: u64,
    peer: u64,
}

const SECOND: u64 = 1_000_000_000;

/// A token bucket that is described by the time at which it is full again (GCRA).
#[derive(Debug, Default)]
struct Bucket {
    full_at: u64,
}

impl Bucket {
    /// Takes what `cost` nanoseconds bring; `false` if there is less in it. It holds `capacity`.
    fn take(&mut self, now: u64, cost: u64, capacity: u64) -> bool {
        let full_at = self.full_at.max(now).saturating_add(cost);
        let has_it = full_at - now <= capacity;
        if has_it {
            self.full_at = full_at;
        }
        has_it
    }
}

impl Rates {
    pub(super) fn new(config: &Config, hasher: &RandomState) -> Self {
        let per = |interval: u64, count: u64| interval.checked_div(count).unwrap_or(0);
        Self {
            ids: HashMap::with_hasher(hasher.clone()),
            users: Vec::new(),
            free: Vec::new(),
            idle: VecDeque::new(),
            idle_max: config.allocations_max,
            costs: Costs {
                packet: per(SECOND, config.holder_packets_per_s.into()),
                byte: per(SECOND << 16, config.holder_bytes_per_s),
                peer: per(60 * SECOND, config.peers_per_minute_max.into()),
            },
        }
    }

    /// Counts one more allocation, and says where its user is.
    pub(super) fn begin(&mut self, now: Time, name: &str, kind: UserKind) -> UserId {
        self.forget_idle(now);
        let name = quota_name(name, kind);
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None => self.add(name),
        };
        let used = self.used_mut(id);
        used.allocations += 1;
        used.is_metered |= matches!(kind, UserKind::Holder { .. });
        id
    }

    fn add(&mut self, name: &str) -> UserId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.users.push(None);
            UserId(u32::try_from(self.users.len() - 1).expect("fewer users than 2^32"))
        });
        self.ids.insert(name.into(), id);
        self.users[id.0 as usize] = Some(Used {
            name: name.into(),
            allocations: 0,
            is_listed: false,
            is_metered: false,
            packets: Bucket::default(),
            bytes: Bucket::default(),
            peers: Bucket::default(),
        });
        id
    }

    /// The user of this name, as quotas count, if it has an allocation.
    pub(super) fn user_with_allocations(&self, name: &str) -> Option<UserId> {
        self.ids.get(name).copied().filter(|id| self.used(*id).allocations > 0)
    }

    /// Counts one allocation less.
    pub(super) fn end(&mut self, id: UserId) {
        let used = self.used_mut(id);
        used.allocations -= 1;
        if used.allocations == 0 && !std::mem::replace(&mut used.is_listed, true) {
            self.idle.push_back(id);
        }
    }

    /// Forgets idle users whose buckets are full again, and the oldest if there are too many.
    fn forget_idle(&mut self, now: Time) {
        while let Some(id) = self.idle.front().copied() {
            let used = self.used(id);
            let full_at = used.peers.full_at.max(used.packets.full_at).max(used.bytes.full_at);
            let is_idle = used.allocations == 0;
            if is_idle && full_at > now.as_nanos() && self.idle.len() <= self.idle_max {
                return;
            }
            self.idle.pop_front();
            self.used_mut(id).is_listed = false;
            if is_idle {
                let used = self.users[id.0 as usize].take().expect("a listed user is there");
                self.ids.remove(&used.name);
                self.free.push(id);
            }
        }
        if self.ids.is_empty() {
            self.give_memory_back();
        }
    }

    /// Gives back what the many users took that there were.
    fn give_memory_back(&mut self) {
        self.ids.shrink_to_fit();
        self.users = Vec::new();
        self.free = Vec::new();
        self.idle = VecDeque::new();
    }

    /// Takes one packet with `bytes` of payload from the rates of a user; `false` if it goes over
    /// them.
    pub(super) fn take_packet(&mut self, now: Time, id: UserId, bytes: usize) -> bool {
        let costs = self.costs;
        let used = self.used_mut(id);
        if !used.is_metered {
            return true;
        }
        let now = now.as_nanos();
        let cost = (bytes as u64 * costs.byte) >> 16;
        used.packets.take(now, costs.packet, SECOND) && used.bytes.take(now, cost, SECOND)
    }

    /// Takes `count` new peers from the rate of a user, or none; `false` if it goes over it.
    pub(super) fn take_peers(&mut self, now: Time, id: UserId, count: usize) -> bool {
        let cost = self.costs.peer * count as u64;
        let used = self.used_mut(id);
        !used.is_metered || used.peers.take(now.as_nanos(), cost, 60 * SECOND)
    }

    fn used(&self, id: UserId) -> &Used {
        self.users[id.0 as usize].as_ref().expect("an id is good while its user is there")
    }

    fn used_mut(&mut self, id: UserId) -> &mut Used {
        self.users[id.0 as usize].as_mut().expect("an id is good while its user is there")
    }
}
