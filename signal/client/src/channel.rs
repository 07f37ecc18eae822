//! A data channel to a peer, as the program sees it: what it sends waits here until the link moves
//! it on, so sending needs no connection at hand and no `await`.

use crate::config::{
    LOSSY_WAITING_BYTES_MAX, MESSAGE_BYTES_MAX_UNKNOWN, MESSAGES_WAITING_MAX, WAITING_BYTES_MAX,
};
use crate::{Counts, Data, SendError};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// A data channel to a peer. Cheap to clone; a clone that outlives the channel only refuses to
/// send.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

struct Shared {
    label: Box<str>,
    outbox: Mutex<Outbox>,
    /// For the link: there is something to send, or the state is another one.
    filled: Notify,
    /// For senders: there is room again, or the state is another one.
    drained: Notify,
    /// Who reads what comes, if it is not to come as events.
    reader: Mutex<Option<mpsc::Sender<Data>>>,
}

/// What waits to be sent.
struct Outbox {
    state: ChannelState,
    options: ChannelOptions,
    messages: VecDeque<Data>,
    bytes: usize,
    message_bytes_max: usize,
    counts: Counts,
}

/// How a channel treats its messages, as browsers call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelOptions {
    /// Whether messages arrive in the order in which they were sent, so that a lost one holds up
    /// the next.
    pub ordered: bool,
    /// How often a lost message is sent again; none: until it arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retransmits: Option<u16>,
    /// For how many milliseconds a message is sent again; none: until it arrives. Only one of the
    /// two can be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_packet_life_time_ms: Option<u16>,
}

/// What a channel is good for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelState {
    /// Not open yet. What is sent on a reliable one waits.
    Connecting,
    /// Messages get through.
    Open,
    /// Over for good.
    Closed,
}

impl ChannelOptions {
    /// Everything arrives, in order.
    pub const RELIABLE: Self =
        Self { ordered: true, max_retransmits: None, max_packet_life_time_ms: None };

    /// Unordered, never sent again: for state that is soon out of date. A lost packet holds up
    /// nothing.
    pub const LOSSY: Self =
        Self { ordered: false, max_retransmits: Some(0), max_packet_life_time_ms: None };

    /// Whether messages may get lost.
    #[must_use]
    pub fn is_lossy(self) -> bool {
        self.max_retransmits.is_some() || self.max_packet_life_time_ms.is_some()
    }
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self::RELIABLE
    }
}

impl Channel {
    pub(crate) fn new(label: &str, options: ChannelOptions) -> Self {
        let outbox = Mutex::new(Outbox {
            state: ChannelState::Connecting,
            options,
            messages: VecDeque::new(),
            bytes: 0,
            message_bytes_max: MESSAGE_BYTES_MAX_UNKNOWN,
            counts: Counts::default(),
        });
        let (filled, drained, reader) = (Notify::new(), Notify::new(), Mutex::new(None));
        Self { shared: Arc::new(Shared { label: label.into(), outbox, filled, drained, reader }) }
    }

    /// How both sides call it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.shared.label
    }

    /// How it treats its messages.
    #[must_use]
    pub fn options(&self) -> ChannelOptions {
        self.outbox().options
    }

    /// Whether messages may get lost.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.options().is_lossy()
    }

    /// What it is good for at the moment.
    #[must_use]
    pub fn state(&self) -> ChannelState {
        self.outbox().state
    }

    /// Bytes that wait to be sent, beside the 256 KiB that may be on their way.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.outbox().bytes
    }

    /// What has gone through it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.outbox().counts
    }

    /// Reads what comes from now on by itself, instead of as events of the room: for loops that
    /// look at each channel in its turn. An earlier reader gets nothing more.
    #[must_use]
    pub fn messages(&self) -> Messages {
        let (sender, receiver) = mpsc::channel(MESSAGES_WAITING_MAX);
        *self.reader_slot() = Some(sender);
        Messages { receiver }
    }

    /// Waits until it is open.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] once it is closed.
    pub async fn opened(&self) -> Result<(), SendError> {
        loop {
            let mut drained = pin!(self.shared.drained.notified());
            drained.as_mut().enable();
            match self.state() {
                ChannelState::Connecting => {}
                ChannelState::Open => return Ok(()),
                ChannelState::Closed => return Err(SendError::NotConnected),
            }
            drained.await;
        }
    }

    /// Sends a message without waiting: for loops that must not.
    ///
    /// On a reliable channel that isn't open yet it is kept until then.
    ///
    /// # Errors
    /// [`SendError::NotConnected`], [`SendError::TooLarge`], and [`SendError::Full`] if too much
    /// waits already.
    pub fn try_send(&self, data: impl Into<Data>) -> Result<(), SendError> {
        self.put(data.into()).map_err(|(error, _)| error)
    }

    /// Sends a message; on a reliable channel it waits while too much does. Cancel safe: either it
    /// is sent or it isn't.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but [`SendError::Full`] only if the channel is lossy or not
    /// open.
    pub async fn send(&self, data: impl Into<Data>) -> Result<(), SendError> {
        let mut data = data.into();
        loop {
            let mut drained = pin!(self.shared.drained.notified());
            drained.as_mut().enable();
            match self.put(data) {
                Ok(()) => return Ok(()),
                Err((SendError::Full, same)) if self.waits() => data = same,
                Err((error, _)) => return Err(error),
            }
            drained.await;
        }
    }

    /// Waits until nothing waits to be sent any more, or the channel is closed.
    pub async fn drained(&self) {
        loop {
            let mut drained = pin!(self.shared.drained.notified());
            drained.as_mut().enable();
            {
                let outbox = self.outbox();
                if outbox.bytes == 0 || outbox.state == ChannelState::Closed {
                    return;
                }
            }
            drained.await;
        }
    }

    /// Closes it on both sides, after what was sent. The two channels that each peer has from the
    /// start stay open.
    pub fn close(&self) {
        let mut outbox = self.outbox();
        if outbox.state != ChannelState::Open {
            outbox.messages.clear();
            outbox.bytes = 0;
        }
        outbox.state = ChannelState::Closed;
        drop(outbox);
        self.tell_all();
    }

    /// Messages get through from now on.
    pub(crate) fn open(&self, message_bytes_max: Option<usize>) {
        let mut outbox = self.outbox();
        if outbox.state == ChannelState::Connecting {
            outbox.state = ChannelState::Open;
        }
        outbox.message_bytes_max = message_bytes_max.unwrap_or(MESSAGE_BYTES_MAX_UNKNOWN);
        drop(outbox);
        self.tell_all();
    }

    /// Messages don't get through any more: not `for_good`, if there may be another connection.
    pub(crate) fn shut(&self, for_good: bool) {
        let mut outbox = self.outbox();
        let state = if for_good { ChannelState::Closed } else { ChannelState::Connecting };
        if outbox.state != ChannelState::Closed {
            outbox.state = state;
        }
        outbox.messages.clear();
        outbox.bytes = 0;
        drop(outbox);
        if for_good {
            *self.reader_slot() = None;
        }
        self.tell_all();
    }

    /// The next message to be sent, once the channel is open; none when it is closed and all is
    /// sent. Cancel safe.
    pub(crate) async fn next(&self) -> Option<Data> {
        loop {
            {
                let mut outbox = self.outbox();
                match outbox.state {
                    ChannelState::Connecting => {}
                    ChannelState::Open if outbox.messages.is_empty() => {}
                    ChannelState::Open | ChannelState::Closed => {
                        return outbox.messages.pop_front();
                    }
                }
            }
            self.shared.filled.notified().await;
        }
    }

    /// Takes note that a message is on its way.
    pub(crate) fn mark_sent(&self, data: &Data) {
        let mut outbox = self.outbox();
        let bytes = data.as_bytes().len();
        outbox.bytes = outbox.bytes.saturating_sub(bytes);
        outbox.counts.messages_sent += 1;
        outbox.counts.bytes_sent += bytes as u64;
        drop(outbox);
        self.shared.drained.notify_waiters();
    }

    /// Takes note that a message has come.
    pub(crate) fn mark_received(&self, data: &Data) {
        let mut outbox = self.outbox();
        outbox.counts.messages_received += 1;
        outbox.counts.bytes_received += data.as_bytes().len() as u64;
    }

    /// Who reads what comes, if it is not to come as events.
    pub(crate) fn reader(&self) -> Option<mpsc::Sender<Data>> {
        self.reader_slot().clone()
    }

    /// Takes note that a message has come too many.
    pub(crate) fn mark_dropped(&self) {
        self.outbox().counts.received_dropped += 1;
    }

    /// The other side decides how it treats its messages.
    pub(crate) fn set_options(&self, options: ChannelOptions) {
        self.outbox().options = options;
    }

    fn put(&self, data: Data) -> Result<(), (SendError, Data)> {
        let bytes = data.as_bytes().len();
        let mut outbox = self.outbox();
        let Outbox { state, options, message_bytes_max: bytes_max, .. } = *outbox;
        let is_lossy = options.is_lossy();
        if bytes > bytes_max {
            return Err((SendError::TooLarge { bytes, bytes_max }, data));
        }
        let error = match state {
            ChannelState::Closed => Some(SendError::NotConnected),
            ChannelState::Connecting if is_lossy => Some(SendError::NotConnected),
            ChannelState::Connecting | ChannelState::Open => {
                let most = if is_lossy { LOSSY_WAITING_BYTES_MAX } else { WAITING_BYTES_MAX };
                let is_full = outbox.bytes != 0 && outbox.bytes + bytes > most;
                is_full.then_some(SendError::Full)
            }
        };
        if let Some(error) = error {
            outbox.counts.sent_dropped += u64::from(is_lossy);
            return Err((error, data));
        }
        outbox.bytes += bytes;
        outbox.messages.push_back(data);
        drop(outbox);
        self.shared.filled.notify_one();
        Ok(())
    }

    /// Whether a sender waits for room.
    fn waits(&self) -> bool {
        !self.is_lossy() && self.state() == ChannelState::Open
    }

    fn tell_all(&self) {
        self.shared.filled.notify_one();
        self.shared.drained.notify_waiters();
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.shared.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader_slot(&self) -> MutexGuard<'_, Option<mpsc::Sender<Data>>> {
        self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes over one channel. Dropped, it leaves the rest to the events of the room again.
#[derive(Debug)]
pub struct Messages {
    receiver: mpsc::Receiver<Data>,
}

impl Messages {
    /// Takes the next message if there is one.
    pub fn try_recv(&mut self) -> Option<Data> {
        self.receiver.try_recv().ok()
    }

    /// Waits for the next message; none comes any more after `None`. Cancel safe.
    pub async fn recv(&mut self) -> Option<Data> {
        self.receiver.recv().await
    }
}

impl PartialEq for Channel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Channel {}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("label", &self.label()).finish_non_exhaustive()
    }
}
