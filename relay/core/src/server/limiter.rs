//! How many answers a source gets before it has shown who it is, counted in fixed memory.

use crate::Config;
use ahash::RandomState;
use heliograph_base::Time;
use std::net::IpAddr;
use std::time::Duration;

/// Token buckets, chosen by a seeded hash of the source's prefix.
///
/// A bucket is the time at which it is full again; each answer moves that by one interval (GCRA).
#[derive(Debug)]
pub(super) struct Limiter {
    full_at: Box<[Time]>,
    /// The time in which one token comes back; zero if there is no limit.
    interval: Duration,
    /// How far in the future a bucket may be full and still have a token.
    tolerance: Duration,
    hasher: RandomState,
}

impl Limiter {
    pub(super) fn new(config: &Config, hasher: RandomState) -> Self {
        let interval =
            Duration::from_secs(1).checked_div(config.unauthenticated_rate).unwrap_or_default();
        let buckets = if interval.is_zero() { 0 } else { config.unauthenticated_buckets };
        Self {
            full_at: vec![Time::START; buckets].into(),
            interval,
            tolerance: interval * config.unauthenticated_burst.saturating_sub(1),
            hasher,
        }
    }

    /// Takes a token of the prefix of `source`; `false` if there is none.
    pub(super) fn take(&mut self, now: Time, source: IpAddr) -> bool {
        if self.full_at.is_empty() {
            return true;
        }
        let place = self.hasher.hash_one(prefix(source)) % self.full_at.len() as u64;
        let full_at = &mut self.full_at[place as usize];
        if full_at.since(now) > self.tolerance {
            return false;
        }
        *full_at = now.max(*full_at) + self.interval;
        true
    }
}

/// What one customer of a network usually has: an IPv4 address, an IPv6 /64.
fn prefix(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}
