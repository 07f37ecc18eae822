//! Another member of the room, as the program sees it.

use crate::channel::{Channel, ChannelOptions, ChannelState};
use crate::link::Input;
use crate::{Data, Diagnosis, SendError, Side, Stats, Verdict};
use serde_json::Value;
use signal_core::PeerId;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// The numbers of the two channels that each link has for the program.
pub(crate) const RELIABLE_ID: u16 = 0;
pub(crate) const LOSSY_ID: u16 = 1;

/// Another member of the room. Cheap to clone; a clone that outlives the peer's stay only refuses
/// to send.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
}

struct Shared {
    seat: Mutex<Seat>,
    reliable: Channel,
    lossy: Channel,
    /// Those that the program or the peer opened.
    named: Mutex<Vec<Channel>>,
    link: mpsc::Sender<Input>,
    /// Whether it is known to be gone for good.
    has_left: AtomicBool,
}

/// Where it sits, and what it says of itself there.
#[derive(Clone)]
struct Seat {
    id: PeerId,
    role: Option<String>,
    metadata: Value,
    is_away: bool,
}

impl Peer {
    pub(crate) fn new(
        id: PeerId,
        role: Option<String>,
        metadata: Value,
        link: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                seat: Mutex::new(Seat { id, role, metadata, is_away: false }),
                reliable: Channel::new("reliable", ChannelOptions::RELIABLE),
                lossy: Channel::new("lossy", ChannelOptions::LOSSY),
                named: Mutex::new(Vec::new()),
                link,
                has_left: AtomicBool::new(false),
            }),
        }
    }

    /// Its id: unique, and never given again. Another one after [`Event::PeerRejoined`].
    ///
    /// [`Event::PeerRejoined`]: crate::Event::PeerRejoined
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.seat().id.clone()
    }

    /// What its token says that it is.
    #[must_use]
    pub fn role(&self) -> Option<String> {
        self.seat().role.clone()
    }

    /// The JSON object that it tells about itself.
    #[must_use]
    pub fn metadata(&self) -> Value {
        self.seat().metadata.clone()
    }

    /// What it calls itself: the text `name` of its metadata, by which our page and examples go.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        Some(self.seat().metadata.get("name")?.as_str()?.to_owned())
    }

    /// Whether it has lost the server. Its connection isn't touched by that.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.seat().is_away
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

    /// The channel of this label, which is opened if it isn't there. Either side may do so, or both
    /// at once: it is one channel.
    ///
    /// The other side is told by [`Event::ChannelOpened`]. A peer that runs neither this SDK nor
    /// that for browsers knows only the two channels that it has from the start: then the channel
    /// stays [`Connecting`](ChannelState::Connecting). It is closed with the peer's connection.
    ///
    /// [`Event::ChannelOpened`]: crate::Event::ChannelOpened
    #[must_use]
    pub fn channel(&self, label: &str, options: ChannelOptions) -> Channel {
        let Shared { reliable, lossy, .. } = &*self.shared;
        if let Some(channel) = [reliable, lossy].into_iter().find(|it| it.label() == label) {
            return channel.clone();
        }
        let mut channels = self.channels();
        if let Some(channel) = find(&channels, label) {
            return channel;
        }
        let channel = Channel::new(label, options);
        channels.push(channel.clone());
        drop(channels);
        // A link that is too busy looks for itself when it is connected.
        let _ = self.shared.link.try_send(Input::Channels);
        channel
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
    /// its way. Before the peer is connected, it is kept until then.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] and [`SendError::TooLarge`], and [`SendError::Full`] if too much
    /// is kept.
    pub async fn send_reliable(&self, data: impl Into<Data>) -> Result<(), SendError> {
        self.shared.reliable.send(data).await
    }

    /// Looks for another path; what is open stays open. Makes another connection if either side has
    /// closed the last one.
    pub async fn restart(&self) {
        // A link that is gone has ended with the peer's stay.
        let _ = self.shared.link.send(Input::Restart).await;
    }

    /// Closes the connection, and with it the channels; the peer stays a member of the room. It is
    /// told [`Trouble::Closed`](crate::Trouble), and nothing that it sends makes another one: only
    /// [`restart`](Self::restart) does.
    pub async fn close(&self) {
        let _ = self.shared.link.send(Input::Close).await;
    }

    /// How the connection is doing; `None` while there is none.
    pub async fn stats(&self) -> Option<Stats> {
        let (ask, answer) = oneshot::channel();
        self.shared.link.send(Input::Stats(ask)).await.ok()?;
        answer.await.ok()
    }

    /// Why the connection is as it is: one plain sentence and what to do, from the server, which
    /// knows what both sides and its relay know.
    ///
    /// Without a connection to the server it is said that there is none (`signaling_lost`); of a
    /// peer of [`Event::PeerLeft`], that it has left.
    ///
    /// [`Event::PeerLeft`]: crate::Event::PeerLeft
    pub async fn diagnosis(&self) -> Diagnosis {
        let (ask, answer) = oneshot::channel();
        // A link that is gone gives the question back: dropped, it is answered by nobody.
        let _ = self.shared.link.send(Input::Diagnose(ask)).await;
        answer.await.unwrap_or_else(|_| self.unasked())
    }

    /// What can be said without the server.
    fn unasked(&self) -> Diagnosis {
        let has_left = self.shared.has_left.load(Ordering::Relaxed);
        let (verdict, side, text, advice) = match has_left {
            true => (
                Verdict::PeerLeft,
                Side::Theirs,
                format!("{}: isn't in the room (any more)", self.called()),
                "wait until it joins again: it is another peer then",
            ),
            false => (
                Verdict::SignalingLost,
                Side::Yours,
                "the server can't be asked: there is no connection to it".to_owned(),
                "wait until it is back; connections that are open stay open",
            ),
        };
        Diagnosis {
            id: None,
            peer: self.id().to_string(),
            verdict,
            side: Some(side),
            text,
            advice: advice.into(),
            yours: None,
            theirs: None,
            relay: None,
        }
    }

    /// Its name, or its id.
    fn called(&self) -> String {
        self.name().unwrap_or_else(|| self.id().to_string())
    }

    /// It sits elsewhere now.
    pub(crate) fn move_to(&self, id: PeerId, role: Option<String>, metadata: Value) {
        *self.seat() = Seat { id, role, metadata, is_away: false };
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.seat().is_away = is_away;
    }

    pub(crate) fn set_metadata(&self, metadata: Value) {
        self.seat().metadata = metadata;
    }

    /// The channels that are to be open.
    pub(crate) fn wanted(&self) -> Vec<Channel> {
        let mut channels = self.channels();
        channels.retain(|channel| channel.state() != ChannelState::Closed);
        channels.clone()
    }

    /// The channel of this label, unless it is closed.
    pub(crate) fn named(&self, label: &str) -> Option<Channel> {
        find(&self.channels(), label)
    }

    pub(crate) fn add(&self, channel: Channel) {
        self.channels().push(channel);
    }

    pub(crate) fn forget(&self, channel: &Channel) {
        self.channels().retain(|other| other != channel);
    }

    /// Its connection is closed: named channels that were open are over, the others wait for the
    /// next one.
    pub(crate) fn shut(&self) {
        self.shared.reliable.shut(false);
        self.shared.lossy.shut(false);
        for channel in self.channels().iter() {
            channel.shut(channel.state() == ChannelState::Open);
        }
    }

    /// Its link is over; perhaps since it has left.
    pub(crate) fn end(&self, has_left: bool) {
        self.shared.has_left.store(has_left, Ordering::Relaxed);
        let Shared { reliable, lossy, .. } = &*self.shared;
        for channel in self.channels().drain(..).chain([reliable.clone(), lossy.clone()]) {
            channel.shut(true);
        }
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.shared.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn channels(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.shared.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(channels: &[Channel], label: &str) -> Option<Channel> {
    let is_it = |it: &&Channel| it.label() == label && it.state() != ChannelState::Closed;
    channels.iter().find(is_it).cloned()
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
