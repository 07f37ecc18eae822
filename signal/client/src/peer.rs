//! Another member of the room, as the program sees it.

use crate::channel::{Channel, ChannelOptions};
use crate::link::{Input, Measures};
use crate::{Data, Path, SendError, Stats};
use serde_json::Value;
use signal_core::PeerId;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// The numbers of the two channels that each link has.
pub(crate) const RELIABLE_ID: u16 = 0;
pub(crate) const LOSSY_ID: u16 = 1;

/// Another member of the room. Cheap to clone; a clone that outlives the peer's stay only refuses
/// to send.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
}

struct Shared {
    id: PeerId,
    metadata: Value,
    reliable: Channel,
    lossy: Channel,
    dropped: AtomicU64,
    /// The link that sends.
    link: Mutex<Option<mpsc::Sender<Input>>>,
    open: Mutex<Option<u64>>,
}

impl Peer {
    pub(crate) fn new(id: PeerId, metadata: Value) -> Self {
        Self {
            shared: Arc::new(Shared {
                id,
                metadata,
                reliable: Channel::new("reliable", ChannelOptions::RELIABLE),
                lossy: Channel::new("lossy", ChannelOptions::LOSSY),
                dropped: AtomicU64::new(0),
                link: Mutex::new(None),
                open: Mutex::new(None),
            }),
        }
    }

    /// Its id: unique, and never given again.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.shared.id.clone()
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

    /// The channel over which everything arrives, in order.
    #[must_use]
    pub fn reliable(&self) -> &Channel {
        &self.shared.reliable
    }

    /// The channel for state that is soon out of date.
    #[must_use]
    pub fn lossy(&self) -> &Channel {
        &self.shared.lossy
    }

    /// Sends a message that may get lost, and never waits.
    ///
    /// # Errors
    /// [`SendError::NotConnected`], [`SendError::TooLarge`], and [`SendError::Full`] if too much is
    /// on its way already.
    pub async fn send_lossy(&self, data: impl Into<Data>) -> Result<(), SendError> {
        self.shared.lossy.try_send(data)
    }

    /// Sends a message that arrives, after those that were sent before; waits while too much is on
    /// its way.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] and [`SendError::TooLarge`].
    pub async fn send_reliable(&self, data: impl Into<Data>) -> Result<(), SendError> {
        self.shared.reliable.send(data).await
    }

    /// How the connection is doing; `None` while there is none.
    pub async fn stats(&self) -> Option<Stats> {
        let (ask, answer) = oneshot::channel();
        let link = self.shared.link.lock().unwrap_or_else(PoisonError::into_inner).clone();
        link?.send(Input::Stats(ask)).await.ok()?;
        answer.await.ok()
    }

    /// This link asks and answers for the peer from now on.
    pub(crate) fn set_link(&self, link: mpsc::Sender<Input>) {
        *self.shared.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
    }

    /// This link sends from now on.
    pub(crate) fn open(&self, link: u64, message_bytes_max: Option<usize>) {
        *self.open_by() = Some(link);
        self.shared.reliable.open(message_bytes_max);
        self.shared.lossy.open(message_bytes_max);
    }

    /// This link sends no more, and with `for_good` nothing does. It may be another one that does,
    /// by now.
    pub(crate) fn shut(&self, link: u64, for_good: bool) {
        if self.is_open_by(link) || for_good {
            *self.open_by() = None;
            self.shared.reliable.shut(for_good);
            self.shared.lossy.shut(for_good);
        }
    }

    /// Whether this link sends.
    pub(crate) fn is_open_by(&self, link: u64) -> bool {
        *self.open_by() == Some(link)
    }

    pub(crate) fn count_dropped(&self) {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// What its link and its channels have counted.
    pub(crate) fn stats_of(&self, path: Path, measures: &Measures) -> Stats {
        Stats {
            path,
            round_trip: measures.round_trip,
            reliable: self.shared.reliable.counts(),
            lossy: self.shared.lossy.counts(),
            lossy_dropped: self.shared.dropped.load(Ordering::Relaxed),
        }
    }

    fn open_by(&self) -> MutexGuard<'_, Option<u64>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Peer {}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("id", &self.id()).finish_non_exhaustive()
    }
}
