//! The link to one peer: a task that negotiates its connection, watches over it and moves its
//! messages.
//!
//! - [`negotiation`]: what to do with each signal, without IO;
//! - [`connection`]: the peer connection of crate `webrtc`; [`runtime`]: what its driver runs on;
//! - [`addresses`]: which sockets; [`path`]: which way; [`signal`]: what the peers tell each other.

mod addresses;
mod connection;
mod negotiation;
mod path;
mod runtime;
mod signal;

pub(crate) use addresses::{LocalAddresses, Loopback};
pub(crate) use connection::IceSetup;
pub(crate) use path::selected;
pub use path::{CandidateType, Path};

use crate::config::{CONNECT_TIMEOUT, LINK_INPUTS_MAX};
use crate::inbox::{Closed, Inbox};
use crate::peer::OpenChannels;
use crate::{Channel, Data, Event, Peer, Trouble};
use connection::Connection;
use negotiation::{Action, Negotiation};
use serde_json::value::RawValue;
use signal::{Candidate, Signal};
use signal_core::protocol::LeaveReason;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::RTCPeerConnectionState;

/// What a link has to deal with.
#[derive(Debug)]
pub(crate) enum Input {
    /// The peer sent this.
    Signal(Box<RawValue>),
    /// The connection says this.
    Notice(Notice),
}

/// What a connection says.
#[derive(Debug)]
pub(crate) enum Notice {
    Candidate(Candidate),
    /// No more local candidates follow.
    Gathered,
    State(RTCPeerConnectionState),
    Opened(Channel),
    Closed(Channel),
}

/// A signal on its way to the peer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Peer,
    pub(crate) data: Box<RawValue>,
}

/// What a link is given.
#[derive(Debug)]
pub(crate) struct LinkConfig {
    pub(crate) peer: Peer,
    pub(crate) offers: bool,
    pub(crate) polite: bool,
    pub(crate) ice: Arc<IceSetup>,
    pub(crate) signals: mpsc::Sender<Outgoing>,
    pub(crate) inbox: Arc<Inbox>,
}

/// The room's end of a link. Dropped, the link closes its connection and its task ends.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    inputs: mpsc::Sender<Input>,
    left: oneshot::Sender<LeaveReason>,
}

impl LinkHandle {
    /// Starts a link as a task of `tasks`.
    pub(crate) fn spawn(config: LinkConfig, tasks: &mut JoinSet<()>) -> Self {
        let (inputs, received) = mpsc::channel(LINK_INPUTS_MAX);
        let (left, leaving) = oneshot::channel();
        tasks.spawn(run(config, inputs.clone(), received, leaving));
        Self { inputs, left }
    }

    /// Hands a signal over, or drops it if too many wait.
    pub(crate) fn signal(&self, data: &RawValue) {
        if self.inputs.try_send(Input::Signal(data.to_owned())).is_err() {
            tracing::warn!("a signal is dropped: too many of this peer are waiting");
        }
    }

    /// The peer has left the room: the link tells the program so, after all else, and ends.
    pub(crate) fn leave(self, reason: LeaveReason) {
        // If the link is gone, then because nobody reads the events any more.
        let _ = self.left.send(reason);
    }
}

async fn run(
    config: LinkConfig,
    notices: mpsc::Sender<Input>,
    mut inputs: mpsc::Receiver<Input>,
    mut left: oneshot::Receiver<LeaveReason>,
) {
    let (peer, inbox) = (config.peer.clone(), Arc::clone(&config.inbox));
    let opened = Connection::open(&config.ice, notices.clone()).await;
    let (connection, left) = match opened {
        Ok(connection) => {
            let mut link = Link::new(config, connection, notices);
            let left = tokio::select! {
                Err(Closed) = link.work(&mut inputs) => None,
                left = &mut left => left.ok(),
            };
            (Some(link.stop().await), left)
        }
        Err(error) => {
            let trouble = Trouble::Local(error.to_string());
            let _ = inbox.push(Event::Disconnected { peer: peer.clone(), trouble });
            (None, left.await.ok())
        }
    };
    if let Some(reason) = left {
        let _ = inbox.push(Event::PeerLeft { peer, reason });
    }
    if let Some(connection) = connection
        && let Err(error) = connection.close().await
    {
        tracing::debug!(%error, "closing a connection");
    }
}

struct Link {
    config: LinkConfig,
    connection: Connection,
    negotiation: Negotiation,
    /// Whether there is any local candidate.
    candidates: bool,
    /// Which channels are open.
    reliable: bool,
    lossy: bool,
    /// The last word to the program: whether the peer is connected.
    connected: bool,
    /// Tells the pumps that the program knows of the connection, so that messages follow it.
    announced: watch::Sender<bool>,
    pumps: JoinSet<Result<(), Closed>>,
}

impl Link {
    fn new(config: LinkConfig, connection: Connection, notices: mpsc::Sender<Input>) -> Self {
        let announced = watch::Sender::new(false);
        let mut pumps = JoinSet::new();
        for channel in [Channel::Reliable, Channel::Lossy] {
            pumps.spawn(pump(Pump {
                channel,
                source: connection.channel(channel),
                peer: config.peer.clone(),
                notices: notices.clone(),
                inbox: Arc::clone(&config.inbox),
                announced: announced.subscribe(),
            }));
        }
        Self {
            negotiation: Negotiation::new(config.polite),
            config,
            connection,
            candidates: false,
            reliable: false,
            lossy: false,
            connected: false,
            announced,
            pumps,
        }
    }

    /// Runs until nobody reads the room's events any more.
    async fn work(&mut self, inputs: &mut mpsc::Receiver<Input>) -> Result<(), Closed> {
        if self.config.offers {
            self.offer().await?;
        }
        let slow = sleep_until(Instant::now() + CONNECT_TIMEOUT);
        tokio::pin!(slow);
        let mut waiting = true;
        loop {
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(Input::Signal(data)) => self.handle_signal(&data).await?,
                    Some(Input::Notice(notice)) => self.handle_notice(notice).await?,
                    None => return Ok(()),
                },
                () = &mut slow, if waiting => {
                    waiting = false;
                    if !self.connected {
                        let found = self.candidates;
                        self.report(if found { Trouble::Slow } else { Trouble::NoCandidates })?;
                    }
                }
            }
        }
    }

    async fn offer(&mut self) -> Result<(), Closed> {
        match self.connection.offer().await {
            Ok(offer) => {
                self.negotiation.handle_offered();
                self.send(offer.into()).await
            }
            Err(error) => self.report(Trouble::Local(error.to_string())),
        }
    }

    async fn handle_signal(&mut self, data: &RawValue) -> Result<(), Closed> {
        let signal = match Signal::parse(data) {
            Ok(signal) => signal,
            Err(error) => {
                tracing::debug!(peer = %self.config.peer.id(), %error, "a signal can't be read");
                return Ok(());
            }
        };
        for action in self.negotiation.handle_signal(signal) {
            let done = match action {
                Action::Rollback => self.connection.rollback().await,
                Action::Accept(description) => self.connection.accept(description).await,
                Action::Answer => match self.connection.answer().await {
                    Ok(answer) => {
                        self.send(answer.into()).await?;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Action::Add(candidate) => {
                    if let Err(error) = self.connection.add(candidate).await {
                        tracing::debug!(%error, "a candidate is left out");
                    }
                    Ok(())
                }
            };
            if let Err(error) = done {
                // A connection that stands isn't harmed by it.
                tracing::debug!(peer = %self.config.peer.id(), %error, "a description is refused");
                let trouble = Trouble::BadDescription(error.to_string());
                return if self.connected { Ok(()) } else { self.report(trouble) };
            }
        }
        Ok(())
    }

    async fn handle_notice(&mut self, notice: Notice) -> Result<(), Closed> {
        match notice {
            Notice::Candidate(candidate) => {
                self.candidates = true;
                self.send(candidate.into()).await
            }
            Notice::Gathered if !self.candidates => self.report(Trouble::NoCandidates),
            Notice::Gathered => Ok(()),
            Notice::Opened(channel) => {
                self.mark(channel, true);
                self.announce().await
            }
            Notice::Closed(channel) => {
                self.mark(channel, false);
                self.lose(Trouble::Closed)
            }
            Notice::State(RTCPeerConnectionState::Connected) => self.announce().await,
            Notice::State(RTCPeerConnectionState::Disconnected) => self.lose(Trouble::Silent),
            Notice::State(RTCPeerConnectionState::Failed) => self.report(Trouble::NoPath),
            Notice::State(RTCPeerConnectionState::Closed) => self.lose(Trouble::Closed),
            Notice::State(_) => Ok(()),
        }
    }

    fn mark(&mut self, channel: Channel, open: bool) {
        match channel {
            Channel::Reliable => self.reliable = open,
            Channel::Lossy => self.lossy = open,
        }
    }

    /// Tells the program that the peer is connected, if both channels are open and it doesn't know.
    async fn announce(&mut self) -> Result<(), Closed> {
        if self.connected || !(self.reliable && self.lossy) {
            return Ok(());
        }
        let connection = self.connection.inner();
        let Some(path) = selected(&**connection).await else {
            return Ok(());
        };
        let bytes_max = match connection.sctp().await {
            Some(sctp) => sctp.max_message_size().await.map_or(usize::MAX, |max| max as usize),
            None => usize::MAX,
        };
        self.config.peer.open(OpenChannels {
            connection: Arc::clone(connection),
            reliable: Arc::clone(&self.connection.reliable),
            lossy: Arc::clone(&self.connection.lossy),
            bytes_max,
        });
        self.connected = true;
        tracing::debug!(peer = %self.config.peer.id(), %path, "connected");
        self.config.inbox.push(Event::Connected { peer: self.config.peer.clone(), path })?;
        self.announced.send_replace(true);
        Ok(())
    }

    /// Tells the program of trouble, if it thinks that the peer is connected.
    fn lose(&mut self, trouble: Trouble) -> Result<(), Closed> {
        if self.connected { self.report(trouble) } else { Ok(()) }
    }

    fn report(&mut self, trouble: Trouble) -> Result<(), Closed> {
        self.connected = false;
        tracing::debug!(peer = %self.config.peer.id(), %trouble, "not connected");
        self.config.inbox.push(Event::Disconnected { peer: self.config.peer.clone(), trouble })
    }

    /// Sends a signal to the peer. Without a signaling connection it goes nowhere, which
    /// `SignalingLost` has said.
    async fn send(&self, signal: Signal) -> Result<(), Closed> {
        let outgoing = Outgoing { to: self.config.peer.clone(), data: signal.encode() };
        self.config.signals.send(outgoing).await.map_err(|_| Closed)
    }

    /// Stops to send and to receive. The connection is left to be closed.
    async fn stop(mut self) -> Connection {
        self.config.peer.shut();
        self.pumps.shutdown().await;
        self.connection
    }
}

struct Pump {
    channel: Channel,
    source: Arc<dyn DataChannel>,
    peer: Peer,
    notices: mpsc::Sender<Input>,
    inbox: Arc<Inbox>,
    announced: watch::Receiver<bool>,
}

/// Moves what comes through a channel to the program.
async fn pump(mut pump: Pump) -> Result<(), Closed> {
    while let Some(event) = pump.source.poll().await {
        if let DataChannelEvent::OnMessage(message) = event {
            pump.announced.wait_for(|announced| *announced).await.map_err(|_| Closed)?;
            let data = if message.is_string {
                Data::Text(String::from_utf8_lossy(&message.data).into_owned())
            } else {
                Data::Binary(message.data.freeze())
            };
            pump.deliver(data).await?;
        } else if matches!(event, DataChannelEvent::OnOpen) {
            pump.notify(Notice::Opened(pump.channel)).await?;
        } else if matches!(event, DataChannelEvent::OnClose) {
            pump.notify(Notice::Closed(pump.channel)).await?;
        }
    }
    Ok(())
}

impl Pump {
    async fn deliver(&self, data: Data) -> Result<(), Closed> {
        let message = Event::Message { peer: self.peer.clone(), channel: self.channel, data };
        match self.channel {
            Channel::Reliable => self.inbox.push_reliable(message).await,
            Channel::Lossy => {
                if !self.inbox.push_lossy(message)? {
                    self.peer.count_dropped();
                }
                Ok(())
            }
        }
    }

    async fn notify(&self, notice: Notice) -> Result<(), Closed> {
        self.notices.send(Input::Notice(notice)).await.map_err(|_| Closed)
    }
}
