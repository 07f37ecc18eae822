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
    host: Rate,
    /// Of an IPv6 /48, which has 65,536 /64.
    site: Rate,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    /// The time in which one token comes back; zero if there is no limit.
    interval: Duration,
    /// How far in the future a bucket may be full and still have a token.
    tolerance: Duration,
}

impl Rate {
    fn new(rate: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
        Self { interval, tolerance: interval * burst.saturating_sub(1) }
    }

    /// Whether a bucket has a token.
    fn allows(self, now: Time, full_at: Time) -> bool {
        self.interval.is_zero() || full_at.since(now) <= self.tolerance
    }
}

impl Limiter {
    pub(super) fn new(config: &Config, hasher: RandomState) -> Self {
        let host = Rate::new(config.unauthenticated_rate, config.unauthenticated_burst);
        let site = Rate::new(config.unauthenticated_site_rate, config.unauthenticated_site_burst);
        let is_off = host.interval.is_zero() && site.interval.is_zero();
        let buckets = if is_off { 0 } else { config.unauthenticated_buckets };
        Self { full_at: vec![Time::START; buckets].into(), host, site, hasher }
    }

    /// Takes a token of every prefix of `source`; `false` if one has none.
    pub(super) fn take(&mut self, now: Time, source: IpAddr) -> bool {
        if self.full_at.is_empty() {
            return true;
        }
        let host = (self.place((HOST, prefix(source))), self.host);
        let site = match source {
            IpAddr::V4(_) => None,
            IpAddr::V6(_) => Some((self.place((SITE, prefix(source) >> 16)), self.site)),
        };
        let both = || [Some(host), site].into_iter().flatten();
        if !both().all(|(place, rate)| rate.allows(now, self.full_at[place])) {
            return false;
        }
        for (place, rate) in both() {
            self.full_at[place] = now.max(self.full_at[place]) + rate.interval;
        }
        true
    }

    fn place(&self, prefix: (u8, u64)) -> usize {
        (self.hasher.hash_one(prefix) % self.full_at.len() as u64) as usize
    }
}

/// What tells prefixes of two lengths apart.
const HOST: u8 = 64;
const SITE: u8 = 48;

/// What one customer of a network usually has: an IPv4 address, an IPv6 /64.
pub(super) fn prefix(source: IpAddr) -> u64 {
    match source {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}
