//! One connection of a link, with its channels.

use super::channels::{Channels, Step};
use super::control::{CONTROL_ID, CONTROL_LABEL, Control};
use super::negotiation::Negotiation;
use super::pump::Pump;
use super::report::Facts;
use super::task::Setting;
use super::{Failed, IceSetup, Notices, Roles};
use crate::config::DRAIN_TIMEOUT;
use crate::inbox::Closed;
use crate::peer::{LOSSY_ID, RELIABLE_ID};
use crate::platform::{Connection, DataChannel, Task, now, random, spawn};
use crate::{Channel, ChannelOptions, Event};
use heliograph_base::Time;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::watch;

/// One connection with its channels.
pub(super) struct Attempt {
    /// Which one of its link it is.
    pub(super) number: u64,
    /// By what the peer tells this connection from others.
    pub(super) tag: String,
    pub(super) connection: Connection,
    pub(super) negotiation: Negotiation,
    /// The state of the connection allows to send.
    pub(super) is_up: bool,
    pub(super) facts: Facts,
    setting: Setting,
    control: Channel,
    channels: Channels,
    ends: BTreeMap<u16, End>,
    /// Channels that the other side closes, and when this side doesn't wait any more for what it
    /// sent before.
    draining: VecDeque<(Time, u16)>,
    /// Tells the pumps that the program knows of the connection, so that messages follow it.
    announced: watch::Sender<bool>,
}

/// This end of a channel.
struct End {
    inner: Arc<DataChannel>,
    channel: Channel,
    is_open: bool,
    /// Ends with it.
    _pump: Task<()>,
}

impl Attempt {
    /// Opens a connection and makes the channels that each link has.
    pub(super) async fn open(
        number: u64,
        setting: &Setting,
        roles: Roles,
        ice: &IceSetup,
    ) -> Result<Self, Failed> {
        let notices = Notices { inputs: setting.inputs.clone(), attempt: number };
        let mut attempt = Self {
            number,
            tag: tag(),
            connection: setting.config.connector.open(ice, notices).await?,
            negotiation: Negotiation::new(roles.polite),
            is_up: false,
            facts: Facts::new(now()),
            setting: setting.clone(),
            control: Channel::new(CONTROL_LABEL, ChannelOptions::RELIABLE),
            channels: Channels::new(roles.offers),
            ends: BTreeMap::new(),
            draining: VecDeque::new(),
            announced: watch::Sender::new(false),
        };
        let (peer, control) = (&setting.peer, attempt.control.clone());
        for (id, channel) in
            [(RELIABLE_ID, peer.reliable()), (LOSSY_ID, peer.lossy()), (CONTROL_ID, &control)]
        {
            if let Err(error) = attempt.make(id, channel.clone()).await {
                attempt.close().await;
                return Err(error);
            }
        }
        Ok(attempt)
    }

    /// Whether the channels that each link has are open.
    pub(super) fn is_open(&self) -> bool {
        let is_open = |id| self.ends.get(id).is_some_and(|end| end.is_open);
        [RELIABLE_ID, LOSSY_ID].iter().all(is_open)
    }

    /// Lets messages through.
    pub(super) async fn start(&self) {
        let bytes_max = self.connection.message_bytes_max().await;
        let peer = &self.setting.peer;
        for channel in [peer.reliable(), peer.lossy(), &self.control] {
            channel.open(bytes_max);
        }
    }

    /// The program knows that the peer is connected.
    pub(super) fn mark_announced(&self) {
        self.announced.send_replace(true);
    }

    /// Tells the other side something about the link.
    pub(super) fn say(&self, control: Control) {
        if let Err(error) = self.control.try_send(control.encode()) {
            tracing::debug!(peer = %self.setting.peer.id(), %error, "a word is left out");
        }
    }

    /// Takes note that a channel is open, or not any more.
    pub(super) async fn mark(&mut self, id: u16, is_open: bool) -> Result<(), Closed> {
        if let Some(end) = self.ends.get_mut(&id) {
            end.is_open = is_open;
        }
        if is_open {
            return Ok(());
        }
        let steps = self.channels.handle_closed(id);
        self.obey(steps).await
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.draining.front().map(|(due, _)| *due)
    }

    /// Closes what the other side has closed long ago.
    pub(super) async fn handle_timeout(&mut self) -> Result<(), Closed> {
        while let Some((due, id)) = self.draining.front().copied()
            && due <= now()
        {
            self.draining.pop_front();
            self.mark(id, false).await?;
        }
        Ok(())
    }

    /// Takes note that all that was sent over a closed channel is on its way.
    pub(super) async fn handle_drained(&mut self, id: u16) -> Result<(), Closed> {
        let Some(end) = self.ends.get(&id) else { return Ok(()) };
        let steps = self.channels.close(&end.channel);
        self.obey(steps).await
    }

    /// Opens the channels that the program wants to have. One whose label another one still has
    /// waits until that is closed.
    pub(super) async fn open_wanted(&mut self) -> Result<(), Closed> {
        for channel in self.setting.peer.wanted() {
            if !self.channels.has(&channel) && !self.channels.holds(channel.label()) {
                let steps = self.channels.open(&channel);
                self.obey(steps).await?;
            }
        }
        Ok(())
    }

    /// The other side said something about a channel.
    pub(super) async fn handle_control(&mut self, control: Control) -> Result<(), Closed> {
        let peer = self.setting.peer.clone();
        if let Control::Close(id) = control {
            self.draining.push_back((now() + DRAIN_TIMEOUT, id));
        }
        let steps = self.channels.handle(control, |label| peer.named(label));
        self.obey(steps).await
    }

    /// Closes it; the peer may be connected to by another one, unless it is left `for_good`.
    pub(super) async fn close(self) {
        self.setting.peer.shut();
        drop(self.ends);
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "closing a connection");
        }
    }

    async fn obey(&mut self, steps: Vec<Step>) -> Result<(), Closed> {
        let peer = self.setting.peer.clone();
        for step in steps {
            match step {
                Step::Say(control) => self.say(control),
                Step::Make(id, channel) => {
                    if let Err(error) = self.make(id, channel.clone()).await {
                        tracing::debug!(peer = %peer.id(), %error, "a channel can't be made");
                        channel.shut(true);
                    }
                }
                Step::Remove(id) => {
                    if let Some(end) = self.ends.remove(&id) {
                        end.inner.close().await;
                    }
                }
                Step::Open(channel) => channel.open(self.connection.message_bytes_max().await),
                Step::End(channel) => {
                    channel.shut(true);
                    peer.forget(&channel);
                }
                Step::Announce(channel) => {
                    peer.add(channel.clone());
                    let event = Event::ChannelOpened { peer: peer.clone(), channel };
                    self.setting.config.inbox.push(event)?;
                }
            }
        }
        Ok(())
    }

    #[cfg_attr(
        target_arch = "wasm32",
        expect(clippy::arc_with_non_send_sync, reason = "a page has one thread, others more")
    )]
    async fn make(&mut self, id: u16, channel: Channel) -> Result<(), Failed> {
        let end = self.connection.channel(id, channel.label(), channel.options()).await?;
        let inner = Arc::new(end);
        let pump = Pump {
            id,
            channel: channel.clone(),
            end: Arc::clone(&inner),
            peer: self.setting.peer.clone(),
            notices: Notices { inputs: self.setting.inputs.clone(), attempt: self.number },
            inbox: Arc::clone(&self.setting.config.inbox),
            announced: self.announced.subscribe(),
        };
        let end = End { inner, channel, is_open: false, _pump: spawn(pump.run()) };
        self.ends.insert(id, end);
        Ok(())
    }
}

/// Random characters, too many for two connections to have the same.
fn tag() -> String {
    format!("{:032x}", u128::from_ne_bytes(random()))
}
