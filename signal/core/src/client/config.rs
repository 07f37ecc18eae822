//! The limits and times of a client: each with its default, unit and reason.

use std::time::Duration;

/// What a client keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// For how long the server may take to answer `hello` or `resume`; then the connection is given
    /// up.
    ///
    /// 10 s: the slowest line needs less.
    pub answer_timeout: Duration,
    /// How long after a frame has come it is acknowledged at the latest; sooner with any frame that
    /// is sent anyway.
    ///
    /// 1 s: half of what the protocol asks for, since the rest may be on the way for long.
    pub ack_delay: Duration,
    /// After how many frames that is done at once. After a quarter of the bytes that may wait, too.
    ///
    /// 32: what the protocol asks for.
    pub ack_every: u64,
    /// How many signals are kept that the server hasn't acknowledged; the next one isn't taken.
    ///
    /// 256: what a dozen new peers need at once.
    pub kept_signals_max: usize,
    /// How many bytes they may have. A single one always fits.
    ///
    /// 1 MiB: 16 of the largest.
    pub kept_bytes_max: usize,
    /// The longest pause before the first attempt to connect again.
    ///
    /// 500 ms: mostly the next attempt works.
    pub pause_first: Duration,
    /// The longest pause of all: it doubles from attempt to attempt up to here.
    ///
    /// 15 s: two of them are within the grace of a session.
    pub pause_max: Duration,
    /// How long a connection must last until the next pause is the first one again.
    ///
    /// 10 s: a server that closes what it has just opened isn't asked every moment.
    pub stable_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            answer_timeout: Duration::from_secs(10),
            ack_delay: Duration::from_secs(1),
            ack_every: 32,
            kept_signals_max: 256,
            kept_bytes_max: 1 << 20,
            pause_first: Duration::from_millis(500),
            pause_max: Duration::from_secs(15),
            stable_after: Duration::from_secs(10),
        }
    }
}
