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
/// of a NAT, an address seen by a check (which may turn out to be a relay's), a relay.
pub(super) const REFLEXIVE_WAIT: Duration = Duration::from_millis(200);
pub(super) const PEER_REFLEXIVE_WAIT: Duration = Duration::from_millis(300);
pub(super) const RELAY_WAIT: Duration = Duration::from_secs(1);

/// Local addresses that are bound for one link, each with an allocation at each TURN server. On a
/// host with more, the rest is left out.
pub(super) const LOCAL_ADDRESSES_MAX: usize = 8;
