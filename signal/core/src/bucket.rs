//! A rate with a burst, described by the time at which it is full again (GCRA).

use heliograph_base::Time;
use std::time::Duration;

/// What somebody may still do at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    full_at: Time,
}

impl Bucket {
    /// Takes `count` out of a bucket that gets `per_s` a second and holds `burst`, and says for how
    /// long it is overdrawn. A rate of 0 is no limit.
    pub fn take(&mut self, now: Time, count: u64, (per_s, burst): (u64, u64)) -> Duration {
        if per_s == 0 {
            return Duration::ZERO;
        }
        self.full_at = self.full_at.max(now) + time_for(count, per_s);
        self.full_at.since(now).saturating_sub(time_for(burst, per_s))
    }

    /// The same, but takes nothing if it would be overdrawn.
    ///
    /// # Errors
    /// After how long there is enough.
    pub fn try_take(&mut self, now: Time, count: u64, rate: (u64, u64)) -> Result<(), Duration> {
        let mut after = *self;
        let wait = after.take(now, count, rate);
        if !wait.is_zero() {
            return Err(wait);
        }
        *self = after;
        Ok(())
    }

    /// Whether nothing of it is used.
    #[must_use]
    pub fn is_full(&self, now: Time) -> bool {
        self.full_at <= now
    }
}

fn time_for(count: u64, per_s: u64) -> Duration {
    let nanos = u128::from(count) * 1_000_000_000 / u128::from(per_s);
    Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: (u64, u64) = (10, 5);

    fn at(ms: u64) -> Time {
        Time::after_start(Duration::from_millis(ms))
    }

    #[test]
    fn a_burst_is_free_and_then_it_is_the_rate() {
        let mut bucket = Bucket::default();
        for _ in 0..5 {
            assert_eq!(bucket.take(at(0), 1, RATE), Duration::ZERO);
        }
        assert_eq!(bucket.take(at(0), 1, RATE), Duration::from_millis(100));
        assert_eq!(bucket.take(at(200), 1, RATE), Duration::ZERO);
        assert!(!bucket.is_full(at(699)) && bucket.is_full(at(700)));
    }

    #[test]
    fn who_is_refused_has_used_nothing() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.try_take(at(0), 6, RATE), Err(Duration::from_millis(100)));
        assert_eq!(bucket.try_take(at(0), 5, RATE), Ok(()));
        assert_eq!(bucket.try_take(at(0), 1, RATE), Err(Duration::from_millis(100)));
        assert_eq!(bucket.try_take(at(100), 1, RATE), Ok(()));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(at(0), u64::MAX, (0, 0)), Duration::ZERO);
    }
}
