//! What a browser can't be told to hold back, and how much of it is kept.

use std::time::Duration;

/// Frames of the server that wait for the session. It reads them as they come; when full, the
/// connection is given up, and taken up again where it was.
pub(super) const FRAMES_WAITING_MAX: usize = 4096;

/// Bytes of one channel's messages that wait for the program. A browser takes from the network
/// whatever comes, so when full, lossy messages are dropped, and a reliable channel is closed.
pub(super) const RECEIVED_BYTES_MAX: usize = 16 << 20;

/// What a message counts beside its bytes, so that empty ones are limited too.
pub(super) const MESSAGE_OVERHEAD_BYTES: usize = 64;

/// Looks for the path of an open connection, and the pause between two: a browser may answer with
/// figures that are 50 ms old.
pub(super) const PATH_LOOKS: u32 = 5;
pub(super) const PATH_PAUSE: Duration = Duration::from_millis(60);
