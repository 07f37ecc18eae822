//! The task of a link.

use super::negotiation::{Action, Negotiation};
use super::pump::Pump;
use super::signal::{Fingerprint, Signal};
use super::{ConnectionState, Failed, Input, LinkConfig, Notice, Notices, Word};
use crate::config::{CONNECT_TIMEOUT, REPLACED_TIMEOUT};
use crate::inbox::Closed;
use crate::peer::{LOSSY_ID, RELIABLE_ID};
use crate::platform::{Connection, Task, now, sleep_until, spawn};
use crate::{Event, Stats, Trouble};
use heliograph_base::Time;
use serde_json::value::RawValue;
use signal_core::protocol::LeaveReason;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// A link before it has a connection.
pub(super) struct Start {
    pub(super) number: u64,
    pub(super) config: LinkConfig,
    pub(super) known: watch::Sender<Option<Fingerprint>>,
    pub(super) notices: Notices,
    pub(super) inputs: mpsc::Receiver<Input>,
}

impl Start {
    pub(super) async fn run(self, mut ending: oneshot::Receiver<Option<LeaveReason>>) {
        let Self { number, config, known, notices, mut inputs } = self;
        let (peer, inbox) = (config.peer.clone(), Arc::clone(&config.inbox));
        let (link, reason) = match Link::open(number, config, known, notices).await {
            Ok(mut link) => {
                let reason = tokio::select! {
                    end = link.work(&mut inputs) => end.unwrap_or(None),
                    end = &mut ending => end.unwrap_or(None),
                };
                (Some(link), reason)
            }
            Err(error) => {
                let trouble = Trouble::Local(error.to_string());
                let _ = inbox.push(Event::Disconnected { peer: peer.clone(), trouble });
                (None, wait_for_end(&mut inputs, ending).await)
            }
        };
        peer.shut(number, reason.is_some());
        if let Some(reason) = reason {
            let _ = inbox.push(Event::PeerLeft { peer, reason });
        }
        if let Some(Link { connection, pumps, .. }) = link {
            drop(pumps);
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "closing a connection");
            }
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
                Some(
                    Input::Signal(_)
                    | Input::Notice(_)
                    | Input::Channel { .. }
                    | Input::Ice(_)
                    | Input::Replaced
                    | Input::Stats(_)
                ) => {}
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
    replaced: Option<Time>,
    /// Tells the pumps that the program knows of the connection, so that messages follow it.
    announced: watch::Sender<bool>,
    pumps: Vec<Task<()>>,
}

impl Link {
    async fn open(
        number: u64,
        config: LinkConfig,
        known: watch::Sender<Option<Fingerprint>>,
        notices: Notices,
    ) -> Result<Self, Failed> {
        let connection = config.connector.open(&config.ice, notices.clone()).await?;
        let announced = watch::Sender::new(false);
        let mut pumps = Vec::new();
        let channels = [(RELIABLE_ID, config.peer.reliable()), (LOSSY_ID, config.peer.lossy())];
        for (id, channel) in channels {
            let end = connection.channel(id, channel.label(), channel.options()).await?;
            let pump = Pump {
                id,
                channel: channel.clone(),
                end,
                peer: config.peer.clone(),
                inputs: notices.inputs.clone(),
                inbox: Arc::clone(&config.inbox),
                announced: announced.subscribe(),
            };
            pumps.push(spawn(pump.run()));
        }
        Ok(Self {
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
        })
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
        let mut slow = pin!(sleep_until(now() + CONNECT_TIMEOUT));
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
                () = sleep_until(replaced.unwrap_or_default()), if replaced.is_some() => {
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
        if let (Some(reason), Some(trouble)) = (self.unseated, trouble_at_end(&input)) {
            if reason.is_none() {
                self.lose(trouble)?;
            }
            return Ok(Some(reason));
        }
        match input {
            Input::Signal(data) => self.handle_signal(&data).await?,
            Input::Notice(notice) => self.handle_notice(notice).await?,
            Input::Channel { id, is_open } => {
                match id {
                    RELIABLE_ID => self.reliable = is_open,
                    _ => self.lossy = is_open,
                }
                if is_open {
                    self.announce().await?;
                } else {
                    self.lose(Trouble::Closed)?;
                }
            }
            Input::Ice(ice) => self.connection.set_ice(&ice).await,
            Input::Unseated(reason) if self.connected => self.unseated = Some(reason),
            Input::Unseated(reason) => return Ok(Some(reason)),
            Input::Replaced => self.replaced = Some(now() + REPLACED_TIMEOUT),
            Input::Stats(asked) => self.answer_stats(asked).await,
        }
        Ok(None)
    }

    async fn offer(&mut self) -> Result<(), Closed> {
        match self.connection.offer(false).await {
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
            Notice::State(ConnectionState::Connected) => self.announce().await,
            Notice::State(ConnectionState::Silent) => self.lose(Trouble::Silent),
            Notice::State(ConnectionState::Failed) => self.report(Trouble::NoPath),
            Notice::State(ConnectionState::Closed) => self.lose(Trouble::Closed),
        }
    }

    /// Tells the program that the peer is connected, if both channels are open and it doesn't know.
    async fn announce(&mut self) -> Result<(), Closed> {
        let is_open = self.reliable && self.lossy;
        if self.connected || !is_open || self.replaced.is_some() {
            return Ok(());
        }
        let Some(path) = self.connection.path().await else {
            return Ok(());
        };
        self.config.peer.open(self.number, self.connection.message_bytes_max().await);
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
        let is_other = self.unseated.is_some() && !self.config.peer.is_open_by(self.number);
        if self.connected && !is_other { self.report(trouble) } else { Ok(()) }
    }

    fn report(&mut self, trouble: Trouble) -> Result<(), Closed> {
        self.connected = false;
        tracing::debug!(peer = %self.config.peer.id(), %trouble, "not connected");
        self.config.inbox.push(Event::Disconnected { peer: self.config.peer.clone(), trouble })
    }

    async fn answer_stats(&self, asked: oneshot::Sender<Stats>) {
        let Some(path) = self.connection.path().await else { return };
        let measures = self.connection.measures().await;
        // Who asked may have gone on.
        let _ = asked.send(self.config.peer.stats_of(path, &measures));
    }

    /// Sends a signal to the peer. Without a signaling connection it waits for the next one.
    async fn send(&self, signal: Signal) -> Result<(), Closed> {
        let (from, to, data) = (self.number, self.config.peer.clone(), signal.encode());
        self.config.words.send(Word::Signal { from, to, data }).await.map_err(|_| Closed)
    }
}

/// What is wrong if the connection can't come back by itself.
fn trouble_at_end(input: &Input) -> Option<Trouble> {
    match input {
        Input::Channel { is_open: false, .. }
        | Input::Notice(Notice::State(ConnectionState::Closed)) => Some(Trouble::Closed),
        Input::Notice(Notice::State(ConnectionState::Failed)) => Some(Trouble::NoPath),
        Input::Notice(_)
        | Input::Channel { is_open: true, .. }
        | Input::Signal(_)
        | Input::Ice(_)
        | Input::Unseated(_)
        | Input::Replaced
        | Input::Stats(_) => None,
    }
}
