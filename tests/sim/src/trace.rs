//! What happens in a world, told as it happens, for who replays a seed.

use heliograph_base::Time;

/// Prints, or doesn't.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    is_on: bool,
}

impl Trace {
    /// Tells nothing.
    pub const OFF: Self = Self { is_on: false };

    /// Prints every step to the standard error.
    pub const ON: Self = Self { is_on: true };

    /// Tells that something happens; what, is only asked if somebody listens.
    #[expect(clippy::print_stderr, reason = "who replays a seed reads it")]
    pub fn note(self, now: Time, what: impl FnOnce() -> String) {
        if self.is_on {
            eprintln!("{:>12.6} {}", now.since_start().as_secs_f64(), what());
        }
    }
}
