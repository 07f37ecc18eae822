//! Time as an argument: the cores are told what time it is and never look.

use std::ops::{Add, AddAssign};
use std::time::Duration;

/// The two clocks at one moment, read once per batch of work and passed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: for lifetimes, timeouts and rates.
    pub time: Time,
    /// The calendar clock: only for what other machines wrote, such as the expiry of a credential.
    pub unix: UnixTime,
}

/// A point on a monotonic clock, counted from a start that the clock's reader chose.
///
/// Points of different readers don't compare. Nanoseconds in 64 bits last for 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    nanos: u64,
}

impl Time {
    /// The start of the clock.
    pub const START: Self = Self { nanos: 0 };

    /// The point `elapsed` after the start.
    #[must_use]
    pub const fn after_start(elapsed: Duration) -> Self {
        Self { nanos: saturating_nanos(elapsed) }
    }

    /// The time since the start.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// The nanoseconds since the start, for sums on every packet.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// The time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self { nanos: self.nanos.saturating_add(saturating_nanos(duration)) }
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// Whole seconds since 1970-01-01 UTC, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: u64,
}

impl UnixTime {
    /// The second `seconds` after 1970-01-01 UTC.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self { seconds }
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    /// Adds the whole seconds of `duration`.
    fn add(self, duration: Duration) -> Self {
        Self { seconds: self.seconds.saturating_add(duration.as_secs()) }
    }
}

const fn saturating_nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_future_saturates_instead_of_wrapping() {
        let end = Time::START + Duration::MAX;
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(
            UnixTime::from_seconds(u64::MAX) + Duration::MAX,
            UnixTime::from_seconds(u64::MAX)
        );
    }

    #[test]
    fn a_time_before_is_no_time_ago() {
        let later = Time::after_start(Duration::from_secs(5));
        assert_eq!(Time::START.since(later), Duration::ZERO);
        assert_eq!(later.since(Time::START), Duration::from_secs(5));
    }
}
