//! The limits of rooms and sessions: each with its default, unit and reason.

use heliograph_base::Secret;
use std::time::Duration;

/// What rooms and sessions must keep to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a connection may take for a successful `hello`; then it is closed with 4000.
    ///
    /// 5 s: ten round trips of a bad mobile network, and short enough that silent connections don't
    /// pile up.
    pub hello_timeout: Duration,
    /// After so much silence the client is asked for a sign of life.
    ///
    /// 4 s: the answer then has 5 s to come, enough for packets that are lost and sent again.
    pub heartbeat_interval: Duration,
    /// After so much silence the client is gone: closed with 4002, and the others are told
    /// `vanished`.
    ///
    /// 9 s: the others know within 10 s.
    pub heartbeat_timeout: Duration,
    /// How many frames of one connection are refused with an `error`; the next one closes it with
    /// 4100.
    ///
    /// 64: enough for a developer at the console, too few for a program that runs wild. Refusals
    /// that a well-behaved client can meet
    /// ([`ErrorCode::is_nobodys_fault`](crate::protocol::ErrorCode::is_nobodys_fault)) don't count.
    pub refusals_max: u32,
    /// The largest frame of a client, in bytes of UTF-8; a larger one closes the connection with
    /// 1009.
    ///
    /// 64 KiB: a session description of a conference has 20 KiB.
    pub frame_bytes_max: usize,
    /// The largest `metadata`, in bytes of JSON text; larger ones are refused with `bad_metadata`.
    ///
    /// 1,024: a name and a few numbers. In a full room a newcomer is sent 1,024 of them.
    pub metadata_bytes_max: usize,
    /// The most members of one room; the next is refused with `room_full`.
    ///
    /// 1,024: far beyond what a mesh of peers can use; a join tells everybody.
    pub room_members_max: usize,
    /// The most rooms of one [`Hub`](crate::Hub); a join that needs another is refused with
    /// `server_full`.
    ///
    /// 65,536: one for every two members, as in rooms of two.
    pub rooms_max: usize,
    /// The most members of all rooms of one [`Hub`](crate::Hub); the next is refused with
    /// `server_full`.
    ///
    /// 131,072: more than one server has connections for; bounds memory.
    pub members_max: usize,
    /// How many frames may wait for one client; over it the client is closed with 4001 and its seat
    /// is free.
    ///
    /// 256: what a burst in a busy room needs; a client that reads empties it at once.
    pub outbox_frames_max: usize,
    /// How many bytes may wait for one client, as above. A single frame always fits, whatever its
    /// size.
    ///
    /// 1 MiB: sixteen of the largest frames.
    pub outbox_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hello_timeout: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(4),
            heartbeat_timeout: Duration::from_secs(9),
            refusals_max: 64,
            frame_bytes_max: 64 << 10,
            metadata_bytes_max: 1 << 10,
            room_members_max: 1 << 10,
            rooms_max: 1 << 16,
            members_max: 1 << 17,
            outbox_frames_max: 256,
            outbox_bytes_max: 1 << 20,
        }
    }
}

/// What TURN credentials are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnKey {
    /// Shared with the relay that checks them.
    pub secret: Secret,
    /// For how long they are good: they can start allocations for so long.
    pub ttl: Duration,
}
