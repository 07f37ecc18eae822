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
pub(crate) use connection::{IceSetup, Identity};
pub(crate) use path::selected;
pub use path::{CandidateType, Path};
pub(crate) use signal::Fingerprint;

use crate::config::{CONNECT_TIMEOUT, LINK_INPUTS_MAX, REPLACED_TIMEOUT};
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
    /// From now on these are the servers.
    Ice(Arc<IceSetup>),
    /// The peer has lost its seat, or we ours: the link goes on as long as it is open. Why, if the
    /// program is to be told at its end.
    Unseated(Option<LeaveReason>),
    /// Another link to the same peer is open.
    Replaced,
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

/// What a link tells its room.
#[derive(Debug)]
pub(crate) enum Word {
    /// This is to go to the peer.
    Signal {
        /// The link's number.
        from: u64,
        to: Peer,
        data: Box<RawValue>,
    },
    /// It is open, to somebody with this certificate.
    Connected {
        /// The link's number.
        from: u64,
        fingerprint: Fingerprint,
    },
}

/// What a link is given.
#[derive(Debug)]
pub(crate) struct LinkConfig {
    pub(crate) peer: Peer,
    pub(crate) offers: bool,
    pub(crate) polite: bool,
    pub(crate) ice: Arc<IceSetup>,
    pub(crate) words: mpsc::Sender<Word>,
    pub(crate) inbox: Arc<Inbox>,
}

/// The room's end of a link. Dropped, the link closes its connection and its task ends.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    number: u64,
    peer: Peer,
    /// Whether the program was told that the peer is away.
    pub(crate) is_away: bool,
    inputs: mpsc::Sender<Input>,
    end: oneshot::Sender<Option<LeaveReason>>,
    /// What the program is to be told at the end of a link whose peer has no seat any more.
    farewell: Option<LeaveReason>,
    /// The peer's certificate, once it is known.
    fingerprint: watch::Receiver<Option<Fingerprint>>,
}

impl LinkHandle {
    /// Starts a link as a task of `tasks`, which gives its number at its end.
    pub(crate) fn spawn(number: u64, config: LinkConfig, tasks: &mut JoinSet<u64>) -> Self {
        let (inputs, received) = mpsc::channel(LINK_INPUTS_MAX);
        let (end, ending) = oneshot::channel();
        let (known, fingerprint) = watch::channel(None);
        let peer = config.peer.clone();
        let task = Task { number, config, known, notices: inputs.clone(), inputs: received };
        tasks.spawn(async move {
            task.run(ending).await;
            number
        });
        Self { number, peer, is_away: false, inputs, end, farewell: None, fingerprint }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint.borrow().clone()
    }

    /// Hands a signal over, or drops it if too many wait.
    pub(crate) fn signal(&self, data: Box<RawValue>) {
        if self.inputs.try_send(Input::Signal(data)).is_err() {
            tracing::warn!("a signal is dropped: too many of this peer are waiting");
        }
    }

    /// Tells the link of new servers. They are for later, so in a hurry they can be left out.
    pub(crate) fn set_ice(&self, ice: Arc<IceSetup>) {
        let _ = self.inputs.try_send(Input::Ice(ice));
    }

    /// The peer has left the room: the link tells the program so, after all else, and ends.
    pub(crate) fn leave(self, reason: LeaveReason) {
        // If the link is gone, then because nobody reads the events any more.
        let _ = self.end.send(Some(reason));
    }

    /// The peer has no seat any more: the link ends once it isn't open, and then tells the program
    /// the reason, if there is one. None if it is too busy to wait for that.
    pub(crate) fn unseat(mut self, reason: Option<LeaveReason>) -> Option<Self> {
        self.farewell = reason;
        match self.inputs.try_send(Input::Unseated(reason)) {
            Ok(()) => Some(self),
            Err(_) => {
                self.end();
                None
            }
        }
    }

    /// There is a new link to the same peer: this one ends soon, but not before the other side has
    /// the new one too.
    pub(crate) fn replace(&self) {
        // If it is too busy, it goes on until the other side ends it.
        let _ = self.inputs.try_send(Input::Replaced);
    }

    /// Ends the link of a peer that has no seat any more.
    fn end(self) {
        let _ = self.end.send(self.farewell);
    }
}

/// A link before it has a connection.
struct Task {
    number: u64,
    config: LinkConfig,
    known: watch::Sender<Option<Fingerprint>>,
    notices: mpsc::Sender<Input>,
    inputs: mpsc::Receiver<Input>,
}

impl Task {
    async fn run(self, mut ending: oneshot::Receiver<Option<LeaveReason>>) {
        let Self { number, config, known, notices, mut inputs } = self;
        let (peer, inbox) = (config.peer.clone(), Arc::clone(&config.inbox));
        let opened = Connection::open(&config.ice, notices.clone()).await;
        let (connection, reason) = match opened {
            Ok(connection) => {
                let mut link = Link::new(number, config, known, connection, notices);
                let reason = tokio::select! {
                    end = link.work(&mut inputs) => end.unwrap_or(None),
                    end = &mut ending => end.unwrap_or(None),
                };
                (Some(link.stop().await), reason)
            }
            Err(error) => {
                let trouble = Trouble::Local(error.to_string());
                let _ = inbox.push(Event::Disconnected { peer: peer.clone(), trouble });
                (None, wait_for_end(&mut inputs, ending).await)
            }
        };
        if let Some(reason) = reason {
            let _ = inbox.push(Event::PeerLeft { peer, reason });
        }
        if let Some(connection) = connection
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "closing a connection");
        }
    }
}

/// Waits for the end of a link without a connection.
async fn wait_for_end(
    inputs: &mut mpsc::Receiver<Input>,
    mut ending: oneshot::Receiver<Option<LeaveReason>>,
) -> Option<LeaveReason> {
    loop {
        tokio::select! {
            end = &mut ending => return end.unwrap_or(None),
            input = inputs.recv() => match input {
                Some(Input::Unseated(reason)) => return reason,
                Some(Input::Signal(_) | Input::Notice(_) | Input::Ice(_) | Input::Replaced) => {}
                None => return None,
            },
        }
    }
}

struct Link {
    number: u64,
    config: LinkConfig,
    known: watch::Sender<Option<Fingerprint>>,
    connection: Connection,
    negotiation: Negotiation,
    /// Whether there is any local candidate.
    candidates: bool,
    /// Which channels are open.
    reliable: bool,
    lossy: bool,
    /// The last word to the program: whether the peer is connected.
    connected: bool,
    /// Whether the peer has a seat no more, and then what to tell the program at the end.
    unseated: Option<Option<LeaveReason>>,
    /// When to end, since there is another link to the same peer.
    replaced: Option<Instant>,
    /// Tells the pumps that the program knows of the connection, so that messages follow it.
    announced: watch::Sender<bool>,
    pumps: JoinSet<Result<(), Closed>>,
}

impl Link {
    fn new(
        number: u64,
        config: LinkConfig,
        known: watch::Sender<Option<Fingerprint>>,
        connection: Connection,
        notices: mpsc::Sender<Input>,
    ) -> Self {
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
            number,
            negotiation: Negotiation::new(config.polite),
            config,
            known,
            connection,
            candidates: false,
            reliable: false,
            lossy: false,
            connected: false,
            unseated: None,
            replaced: None,
            announced,
            pumps,
        }
    }

    /// Runs until nobody reads the room's events any more, or until the link isn't open and the
    /// peer has no seat; then the program is to be told the reason, if there is one.
    async fn work(
        &mut self,
        inputs: &mut mpsc::Receiver<Input>,
    ) -> Result<Option<LeaveReason>, Closed> {
        if self.config.offers {
            self.offer().await?;
        }
        let slow = sleep_until(Instant::now() + CONNECT_TIMEOUT);
        tokio::pin!(slow);
        let mut waiting = true;
        loop {
            let replaced = self.replaced;
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => {
                        if let Some(end) = self.handle_input(input).await? {
                            return Ok(end);
                        }
                    }
                    None => return Err(Closed),
                },
                () = sleep_until(replaced.unwrap_or_else(Instant::now)), if replaced.is_some() => {
                    return Ok(self.unseated.flatten());
                }
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

    /// If the link ends by this, what to tell the program.
    async fn handle_input(&mut self, input: Input) -> Result<Option<Option<LeaveReason>>, Closed> {
        match input {
            Input::Signal(data) => self.handle_signal(&data).await?,
            Input::Notice(notice) => match (self.unseated, trouble_at_end(&notice)) {
                (Some(Some(reason)), Some(_)) => return Ok(Some(Some(reason))),
                (Some(None), Some(trouble)) => {
                    self.lose(trouble)?;
                    return Ok(Some(None));
                }
                (Some(_), None) | (None, _) => self.handle_notice(notice).await?,
            },
            Input::Ice(ice) => self.connection.set_ice(&ice).await,
            Input::Unseated(reason) if self.connected => self.unseated = Some(reason),
            Input::Unseated(reason) => return Ok(Some(reason)),
            Input::Replaced => self.replaced = Some(Instant::now() + REPLACED_TIMEOUT),
        }
        Ok(None)
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
                Action::Accept(description) => {
                    self.known.send_replace(description.fingerprint());
                    self.connection.accept(description).await
                }
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
        let is_open = self.reliable && self.lossy;
        if self.connected || !is_open || self.replaced.is_some() {
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
        let fingerprint = self.known.borrow().clone();
        if let Some(fingerprint) = fingerprint {
            let word = Word::Connected { from: self.number, fingerprint };
            self.config.words.send(word).await.map_err(|_| Closed)?;
        }
        Ok(())
    }

    /// Tells the program of trouble, if it thinks that the peer is connected.
    fn lose(&mut self, trouble: Trouble) -> Result<(), Closed> {
        let is_other =
            self.unseated.is_some() && !self.config.peer.is_lent(self.connection.inner());
        if self.connected && !is_other { self.report(trouble) } else { Ok(()) }
    }

    fn report(&mut self, trouble: Trouble) -> Result<(), Closed> {
        self.connected = false;
        tracing::debug!(peer = %self.config.peer.id(), %trouble, "not connected");
        self.config.inbox.push(Event::Disconnected { peer: self.config.peer.clone(), trouble })
    }

    /// Sends a signal to the peer. Without a signaling connection it waits for the next one.
    async fn send(&self, signal: Signal) -> Result<(), Closed> {
        let (from, to, data) = (self.number, self.config.peer.clone(), signal.encode());
        self.config.words.send(Word::Signal { from, to, data }).await.map_err(|_| Closed)
    }

    /// Stops to send and to receive. The connection is left to be closed.
    async fn stop(mut self) -> Connection {
        self.config.peer.shut(self.connection.inner());
        self.pumps.shutdown().await;
        self.connection
    }
}

/// What is wrong if the connection can't come back by itself.
fn trouble_at_end(notice: &Notice) -> Option<Trouble> {
    match notice {
        Notice::Closed(_) | Notice::State(RTCPeerConnectionState::Closed) => Some(Trouble::Closed),
        Notice::State(RTCPeerConnectionState::Failed) => Some(Trouble::NoPath),
        Notice::State(_) | Notice::Candidate(_) | Notice::Gathered | Notice::Opened(_) => None,
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
