//! The one place that reads the machine's clocks.

#![expect(clippy::disallowed_methods, reason = "this is the one reader of the machine's clocks")]

use crate::{Now, Time, UnixTime};
use std::time::{Instant, SystemTime};

/// Reads the machine's clocks. Copies share the start, so their times compare.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Reads both clocks. A calendar clock set before 1970 reads as 1970.
    #[must_use]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now {
            time: Time::after_start(self.start.elapsed()),
            unix: UnixTime::from_seconds(unix.as_secs()),
        }
    }
}
