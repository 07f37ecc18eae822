//! Another member of the room, as the program sees it.

use crate::link::selected;
use crate::{Channel, Data, Path, SendError};
use serde_json::Value;
use signal_core::PeerId;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use webrtc::data_channel::DataChannel;
use webrtc::error::Error;
use webrtc::peer_connection::{PeerConnection, RTCStatsReport, RTCStatsReportEntry, StatsSelector};
use webrtc::runtime::{Runtime, TokioRuntime};

/// Another member of the room. Cheap to clone; a clone that outlives the peer's stay only refuses
/// to send.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
}

struct Shared {
    id: PeerId,
    metadata: Value,
    dropped: AtomicU64,
    open: RwLock<Option<Arc<OpenChannels>>>,
}

/// What a link lends to its peer while it is open.
pub(crate) struct OpenChannels {
    pub(crate) connection: Arc<dyn PeerConnection>,
    pub(crate) reliable: Arc<dyn DataChannel>,
    pub(crate) lossy: Arc<dyn DataChannel>,
    pub(crate) bytes_max: usize,
}

/// How a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The way the packets take.
    pub path: Path,
    /// The round trip of the last connectivity check, some seconds old at most; `None` before the
    /// first.
    pub round_trip: Option<Duration>,
    /// Messages over the reliable channel.
    pub reliable: Counts,
    /// Messages over the lossy channel.
    pub lossy: Counts,
    /// Lossy messages that came but were dropped, since the program didn't take its events fast
    /// enough.
    pub lossy_dropped: u64,
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
}

impl Peer {
    pub(crate) fn new(id: PeerId, metadata: Value) -> Self {
        let open = RwLock::new(None);
        Self { shared: Arc::new(Shared { id, metadata, dropped: AtomicU64::new(0), open }) }
    }

    /// Its id: unique, and never given again.
    #[must_use]
    pub fn id(&self) -> &PeerId {
        &self.shared.id
    }

    /// The JSON object that it brought along.
    #[must_use]
    pub fn metadata(&self) -> &Value {
        &self.shared.metadata
    }

    /// What it calls itself: the text `name` of its metadata, by which our page and examples go.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.shared.metadata.get("name")?.as_str()
    }

    /// Sends a message that may get lost, and never waits.
    ///
    /// # Errors
    /// [`SendError::NotConnected`], [`SendError::TooLarge`], and [`SendError::Full`] if too much is
    /// on its way already.
    pub async fn send_lossy(&self, data: impl Into<Data>) -> Result<(), SendError> {
        self.send(Channel::Lossy, data.into()).await
    }

    /// Sends a message that arrives, after those that were sent before; waits while too much is on
    /// its way.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] and [`SendError::TooLarge`].
    pub async fn send_reliable(&self, data: impl Into<Data>) -> Result<(), SendError> {
        self.send(Channel::Reliable, data.into()).await
    }

    /// Sends a message over the channel that is named.
    ///
    /// # Errors
    /// As [`send_lossy`](Self::send_lossy) and [`send_reliable`](Self::send_reliable).
    pub async fn send(&self, channel: Channel, data: Data) -> Result<(), SendError> {
        let open = self.channels().ok_or(SendError::NotConnected)?;
        let bytes = data.as_bytes().len();
        if bytes > open.bytes_max {
            return Err(SendError::TooLarge { bytes, bytes_max: open.bytes_max });
        }
        let sent = match (channel, &data) {
            (Channel::Lossy, Data::Text(text)) => open.lossy.try_send_text(text).await,
            (Channel::Lossy, Data::Binary(bytes)) => open.lossy.try_send(bytes[..].into()).await,
            (Channel::Reliable, Data::Text(text)) => open.reliable.send_text(text).await,
            (Channel::Reliable, Data::Binary(bytes)) => open.reliable.send(bytes[..].into()).await,
        };
        sent.map_err(|error| {
            if error == Error::ErrSendBufferFull {
                SendError::Full
            } else if error == Error::ErrOutboundPacketTooLarge {
                SendError::TooLarge { bytes, bytes_max: open.bytes_max }
            } else {
                SendError::NotConnected
            }
        })
    }

    /// How the connection is doing; `None` while there is none.
    pub async fn stats(&self) -> Option<Stats> {
        let open = self.channels()?;
        let path = selected(&*open.connection).await?;
        let report = open.connection.get_stats(TokioRuntime.now(), StatsSelector::None).await;
        Some(Stats {
            path,
            round_trip: round_trip(&report),
            reliable: counts(&report, "reliable"),
            lossy: counts(&report, "lossy"),
            lossy_dropped: self.shared.dropped.load(Ordering::Relaxed),
        })
    }

    pub(crate) fn open(&self, channels: OpenChannels) {
        let channels = Some(Arc::new(channels));
        *self.shared.open.write().unwrap_or_else(PoisonError::into_inner) = channels;
    }

    /// Takes back what this connection has lent. It may be another's by now.
    pub(crate) fn shut(&self, connection: &Arc<dyn PeerConnection>) {
        let mut open = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.connection, connection)) {
            *open = None;
        }
    }

    /// Whether it sends over this connection.
    pub(crate) fn is_lent(&self, connection: &Arc<dyn PeerConnection>) -> bool {
        self.channels().is_some_and(|open| Arc::ptr_eq(&open.connection, connection))
    }

    pub(crate) fn count_dropped(&self) {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn channels(&self) -> Option<Arc<OpenChannels>> {
        self.shared.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.shared.id == other.shared.id
    }
}

impl Eq for Peer {}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("id", self.id()).finish_non_exhaustive()
    }
}

/// The last round trip of the pair in use.
fn round_trip(report: &RTCStatsReport) -> Option<Duration> {
    let pair = report.iter().find_map(|entry| {
        let RTCStatsReportEntry::IceCandidatePair(pair) = entry else {
            return None;
        };
        pair.nominated.then_some(pair)
    })?;
    let seconds = pair.current_round_trip_time;
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
}

fn counts(report: &RTCStatsReport, label: &str) -> Counts {
    let found = report.iter().find_map(|entry| {
        let RTCStatsReportEntry::DataChannel(channel) = entry else {
            return None;
        };
        (channel.label == label).then(|| Counts {
            messages_sent: channel.messages_sent.into(),
            messages_received: channel.messages_received.into(),
            bytes_sent: channel.bytes_sent,
            bytes_received: channel.bytes_received,
        })
    });
    found.unwrap_or_default()
}
