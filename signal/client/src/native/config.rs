//! What sockets and crate `webrtc` let wait, and for how long.

use std::time::Duration;

/// Read buffer of the WebSocket. Signaling frames are small, and tungstenite's 128 KiB would stay
/// allocated.
pub(super) const READ_BUFFER_BYTES: usize = 16 << 10;

/// The pause between two connectivity checks of one pair: it decides how soon a link opens.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Checks of one pair until it is given up: 5 s, for the other side's NAT opens only with its own
/// first check.
pub(super) const CHECKS_MAX: u16 = 250;

/// How long a pair waits for a better one before it is taken, by its worse candidate: the outside
/// of a NAT, a relay.
pub(super) const REFLEXIVE_WAIT: Duration = Duration::from_millis(200);
pub(super) const RELAY_WAIT: Duration = Duration::from_secs(1);

/// How long checks from an address that no signal has named are kept back: it may be a relay's,
/// whose signal is still on its way.
pub(super) const STRANGER_WAIT: Duration = Duration::from_millis(300);

/// Such addresses of one connection. Checks from more are let in at once.
pub(super) const STRANGERS_MAX: usize = 64;

/// Addresses of the peer's candidates that are known to be such. Checks from more are a stranger's.
pub(super) const ADDRESSES_KNOWN_MAX: usize = 256;

/// Local addresses that are bound for one link, each with an allocation at each TURN server. On a
/// host with more, the rest is left out.
pub(super) const LOCAL_ADDRESSES_MAX: usize = 8;
