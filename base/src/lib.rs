//! The few types both halves of Heliograph agree on: time, TURN credentials, secrets, counters.
//!
//! What only one half needs lives in that half. Nothing here does IO; the one reader of the
//! machine's clock, [`Clock`], is behind the feature `clock`, which the cores leave off.

#[cfg(feature = "clock")]
mod clock;
mod credentials;
mod sample;
mod secret;
mod time;

#[cfg(feature = "clock")]
pub use clock::Clock;
pub use credentials::{Credentials, PASSWORD_BYTES, SeatName, Username, password, password_into};
pub use sample::{Sample, SampleKind};
pub use secret::{EmptySecret, Secret};
pub use time::{Now, Time, UnixTime};
