//! How a connection is doing.

use crate::Path;
use std::time::Duration;

/// How a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The way the packets take.
    pub path: Path,
    /// The round trip of the last connectivity check, some seconds old at most; `None` before the
    /// first.
    pub round_trip: Option<Duration>,
    /// The share of connectivity checks that weren't answered since the peer was connected, from 0
    /// to 1; `None` before there were enough. An estimate of what gets lost on the way and back.
    pub loss: Option<f32>,
    /// Bytes sent over this path, without IP and UDP.
    pub bytes_sent: u64,
    /// Bytes that came over this path.
    pub bytes_received: u64,
    /// How often another path was looked for, since the one in use failed or the network changed.
    pub restarts: u32,
    /// How long it took to connect; `None` before.
    pub connected_in: Option<Duration>,
    /// Messages over the reliable channel.
    pub reliable: Counts,
    /// Messages over the lossy channel.
    pub lossy: Counts,
}

/// Messages and bytes of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Messages handed over for sending; lossy ones may not have arrived.
    pub messages_sent: u64,
    /// Messages that came.
    pub messages_received: u64,
    /// Bytes of the messages sent.
    pub bytes_sent: u64,
    /// Bytes of the messages that came.
    pub bytes_received: u64,
    /// Lossy messages that were left out on this side: the channel wasn't open, or too much waited.
    pub sent_dropped: u64,
    /// Lossy messages that came but were dropped, since the program didn't take them fast enough.
    pub received_dropped: u64,
}
