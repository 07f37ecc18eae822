//! The task of a link.

use super::attempt::Attempt;
use super::control::Control;
use super::negotiation::Action;
use super::signal::Signal;
use super::{ConnectionState, IceSetup, Input, LinkConfig, Notice, Path, Roles, Word};
use crate::config::{
    CONNECT_TIMEOUT, MEASURE_INTERVAL, RESTART_GRACE, RESTART_PAUSE, RESTART_PAUSE_MAX,
    SIGNALS_ASIDE_MAX, SILENCE_MAX,
};
use crate::inbox::Closed;
use crate::platform::{now, random, sleep_until};
use crate::{Data, Event, Peer, Trouble};
use heliograph_base::Time;
use serde_json::value::RawValue;
use signal_core::PeerId;
use signal_core::client::Backoff;
use signal_core::protocol::{Checks, IceError, LeaveReason};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What stays the same for a link.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) number: u64,
    pub(super) peer: Peer,
    pub(super) config: LinkConfig,
    /// For the room: whether messages get through.
    pub(super) is_open: Arc<AtomicBool>,
    pub(super) inputs: mpsc::Sender<Input>,
}

/// Why a link ends, if the program is to be told.
type End = Option<LeaveReason>;

/// Runs a link until the room ends it, nobody reads the room's events any more, or it isn't open
/// and the peer has no seat.
pub(super) async fn run(
    setting: Setting,
    roles: Roles,
    ice: Arc<IceSetup>,
    mut inputs: mpsc::Receiver<Input>,
    mut ending: oneshot::Receiver<End>,
) {
    let Setting { peer, config, is_open, .. } = setting.clone();
    let mut link = Link::new(setting, roles, ice);
    let reason = tokio::select! {
        end = link.work(&mut inputs) => end.unwrap_or(None),
        end = &mut ending => end.unwrap_or(None),
    };
    is_open.store(false, Ordering::Release);
    peer.end(reason.is_some());
    if let Some(reason) = reason {
        let _ = config.inbox.push(Event::PeerLeft { peer, reason });
    }
    if let Some(attempt) = link.attempt {
        attempt.close().await;
    }
}

pub(super) struct Link {
    pub(super) setting: Setting,
    roles: Roles,
    pub(super) ice: Arc<IceSetup>,
    pub(super) attempt: Option<Attempt>,
    /// How many connections there were.
    attempts: u64,
    /// Which of its connections the peer means.
    remote: Option<String>,
    /// The one before, whose signals come too late.
    stale: Option<String>,
    /// Signals of yet another one, for when the one we have with it isn't open any more.
    aside: VecDeque<Signal>,
    /// Where we sit now, until the peer can be told.
    claim: Option<PeerId>,
    /// Whether the peer has a seat no more, and then what to tell the program at the end.
    unseated: Option<End>,
    /// Whether the program wants no connection.
    is_closed: bool,
    /// Whether there is any local candidate.
    candidates: bool,
    /// The last word to the program: whether the peer is connected.
    pub(super) is_connected: bool,
    /// When to say that it takes long.
    slow: Option<Time>,
    /// When to try anew, since it isn't connected.
    restart: Option<Time>,
    backoff: Backoff,
    pub(super) restarts: u32,
    /// When to look at the path again, while it is connected.
    pub(super) measure: Option<Time>,
    pub(super) path: Option<Path>,
    /// The checks before the peer was connected, which don't count for the loss.
    pub(super) checks_before: Checks,
    /// When the server is to be told how the link is, and when it was last.
    pub(super) report: Option<Time>,
    pub(super) reported: Time,
}

impl Link {
    fn new(setting: Setting, roles: Roles, ice: Arc<IceSetup>) -> Self {
        Self {
            setting,
            roles,
            ice,
            attempt: None,
            attempts: 0,
            remote: None,
            stale: None,
            aside: VecDeque::new(),
            claim: None,
            unseated: None,
            is_closed: false,
            candidates: false,
            is_connected: false,
            slow: None,
            restart: None,
            backoff: Backoff::default(),
            restarts: 0,
            measure: None,
            path: None,
            checks_before: Checks::default(),
            report: None,
            reported: Time::START,
        }
    }

    async fn work(&mut self, inputs: &mut mpsc::Receiver<Input>) -> Result<End, Closed> {
        self.begin(self.roles.offers).await?;
        loop {
            let channels = self.attempt.as_ref().and_then(Attempt::poll_timeout);
            let due = [self.slow, self.restart, self.measure, self.report, channels];
            let due = due.into_iter().flatten().min();
            tokio::select! {
                input = inputs.recv() => {
                    let input = input.ok_or(Closed)?;
                    if let Some(end) = self.handle_input(input).await? {
                        return Ok(end);
                    }
                }
                () = sleep_until(due.unwrap_or_default()), if due.is_some() => {
                    self.handle_timeout().await?;
                }
            }
        }
    }

    /// If the link ends by this, what to tell the program.
    async fn handle_input(&mut self, input: Input) -> Result<Option<End>, Closed> {
        match input {
            Input::Signal(data) => self.handle_signal(&data).await?,
            Input::Notice(attempt, notice) => {
                if self.attempt.as_ref().is_some_and(|own| own.number == attempt) {
                    return self.handle_notice(notice).await;
                }
            }
            Input::Ice(ice) => {
                if let Some(attempt) = &self.attempt {
                    attempt.connection.set_ice(&ice).await;
                }
                self.ice = ice;
            }
            Input::Unseated(reason) if self.is_connected => self.unseated = Some(reason),
            Input::Unseated(reason) => return Ok(Some(reason)),
            Input::Seated(roles) => self.sit_down(roles).await?,
            Input::Claim(seat) => {
                self.claim = Some(seat);
                self.say_claim();
            }
            Input::NetworkChanged if self.is_closed => {}
            Input::NetworkChanged => self.restart = Some(now()),
            Input::Close => self.close().await?,
            Input::Restart => self.begin_anew().await?,
            Input::Channels => self.open_wanted().await?,
            Input::Stats(asked) => self.answer_stats(asked).await,
            Input::Diagnose(answer) => {
                self.send_report().await?;
                self.say(Word::Diagnose { from: self.setting.number, answer }).await?;
            }
        }
        Ok(None)
    }

    async fn handle_timeout(&mut self) -> Result<(), Closed> {
        if self.slow.is_some_and(|slow| slow <= now()) {
            self.slow = None;
            if !self.is_connected {
                self.schedule_report();
                let found = self.candidates;
                self.report(if found { Trouble::Slow } else { Trouble::NoCandidates })?;
            }
        }
        if self.restart.is_some_and(|restart| restart <= now()) {
            self.restart().await?;
        }
        if self.measure.is_some_and(|measure| measure <= now()) {
            self.look_at_path().await?;
        }
        if self.report.is_some_and(|report| report <= now()) {
            self.send_report().await?;
        }
        if let Some(attempt) = &mut self.attempt {
            attempt.handle_timeout().await?;
        }
        Ok(())
    }

    /// Begins with a new connection; the one there is is dropped.
    async fn begin(&mut self, offers: bool) -> Result<(), Closed> {
        if let Some(attempt) = self.attempt.take() {
            self.mark_open(false);
            attempt.close().await;
        }
        self.attempts += 1;
        self.candidates = false;
        match Attempt::open(self.attempts, &self.setting, self.roles, &self.ice).await {
            Ok(attempt) => self.attempt = Some(attempt),
            Err(error) => {
                self.schedule(Duration::ZERO);
                self.schedule_report();
                return self.report(Trouble::Local(error.to_string()));
            }
        }
        self.slow = Some(now() + CONNECT_TIMEOUT);
        self.schedule_report();
        if offers { self.offer(false).await } else { Ok(()) }
    }

    /// Closes the connection, for as long as the program wants to have none.
    async fn close(&mut self) -> Result<(), Closed> {
        self.is_closed = true;
        self.is_connected = false;
        (self.slow, self.restart, self.measure) = (None, None, None);
        self.aside.clear();
        self.mark_open(false);
        if let Some(attempt) = &mut self.attempt {
            attempt.facts.state = Some(ConnectionState::Closed);
        }
        self.send_report().await?;
        if let Some(attempt) = self.attempt.take() {
            attempt.close().await;
        }
        Ok(())
    }

    /// Looks for another way; begins with another connection where one side has closed the last.
    async fn begin_anew(&mut self) -> Result<(), Closed> {
        self.is_closed = false;
        let closed = Some(ConnectionState::Closed);
        if self.attempt.as_ref().is_some_and(|attempt| attempt.facts.state != closed) {
            return self.restart().await;
        }
        if self.unseated.is_some() {
            return Ok(()); // There is nobody to negotiate with.
        }
        self.stale = self.remote.take();
        self.begin(true).await
    }

    async fn offer(&mut self, restart: bool) -> Result<(), Closed> {
        let Some(attempt) = &mut self.attempt else { return Ok(()) };
        match attempt.connection.offer(restart).await {
            Ok(offer) => {
                attempt.negotiation.handle_offered();
                attempt.facts.offered = true;
                self.send(offer.into()).await
            }
            Err(error) => self.report(Trouble::Local(error.to_string())),
        }
    }

    /// Tries to find a way anew.
    async fn restart(&mut self) -> Result<(), Closed> {
        self.restart = None;
        if self.unseated.is_some() {
            return Ok(()); // There is nobody to negotiate with.
        }
        match &self.attempt {
            None => return self.begin(self.roles.offers).await,
            // The peer will answer, or has never come so far.
            Some(attempt) if attempt.negotiation.has_offered() => {}
            Some(attempt) => {
                attempt.connection.set_ice(&self.ice).await;
                tracing::debug!(peer = %self.setting.peer.id(), "ICE is restarted");
                self.restarts += 1;
                self.offer(true).await?;
            }
        }
        if !self.is_connected {
            self.schedule(CONNECT_TIMEOUT);
        }
        Ok(())
    }

    /// The next restart is due after this and a pause, unless it is connected before.
    fn schedule(&mut self, after: Duration) {
        let grace = if self.roles.offers { Duration::ZERO } else { RESTART_GRACE };
        let share = f64::from(u32::from_ne_bytes(random())) / f64::from(u32::MAX);
        let pause = self.backoff.next(RESTART_PAUSE, RESTART_PAUSE_MAX, share);
        let due = now() + after + grace + pause;
        self.restart = Some(self.restart.map_or(due, |restart| restart.min(due)));
    }

    /// Both have seats again. What isn't open by now begins anew with them.
    async fn sit_down(&mut self, roles: Roles) -> Result<(), Closed> {
        self.unseated = None;
        self.roles = roles;
        // A connection that the peer has begun to its new seat meanwhile is in vain.
        self.aside.clear();
        if self.is_closed {
            return Ok(());
        }
        match &mut self.attempt {
            Some(attempt) if attempt.is_open() => {
                attempt.negotiation.set_polite(roles.polite);
                if !self.is_connected {
                    self.schedule(Duration::ZERO);
                }
                Ok(())
            }
            Some(_) | None => {
                self.stale = self.remote.take();
                self.begin(roles.offers).await
            }
        }
    }

    async fn handle_signal(&mut self, data: &RawValue) -> Result<(), Closed> {
        let signal = match Signal::parse(data) {
            Ok(signal) => signal,
            Err(error) => {
                tracing::debug!(peer = %self.setting.peer.id(), %error, "a signal can't be read");
                return Ok(());
            }
        };
        if self.is_closed {
            return Ok(());
        }
        if signal.link.is_none() || signal.link == self.remote {
            return self.negotiate(signal).await;
        }
        if signal.link == self.stale {
            return Ok(());
        }
        let is_first = self.remote.is_none();
        if !is_first && self.is_connected {
            if self.aside.len() >= SIGNALS_ASIDE_MAX {
                self.aside.pop_front();
            }
            self.aside.push_back(signal);
            return Ok(());
        }
        self.follow(signal).await
    }

    /// The peer means another of its connections, so ours is to be another one as well.
    async fn follow(&mut self, signal: Signal) -> Result<(), Closed> {
        let before = std::mem::replace(&mut self.remote, signal.link.clone());
        if before.is_some() {
            self.stale = before;
            let is_offer = signal.description.is_some();
            self.begin(self.roles.offers && !is_offer).await?;
        }
        self.negotiate(signal).await
    }

    async fn negotiate(&mut self, signal: Signal) -> Result<(), Closed> {
        let Some(attempt) = &mut self.attempt else { return Ok(()) };
        let mut answers = Vec::new();
        let mut refused = None;
        if let Some(Some(candidate)) = &signal.candidate {
            attempt.facts.add_remote(candidate);
        }
        for action in attempt.negotiation.handle_signal(signal) {
            let connection = &attempt.connection;
            let done = match action {
                Action::Rollback => connection.rollback().await,
                Action::Accept(description) => {
                    attempt.facts.answered = true;
                    connection.accept(description).await
                }
                Action::Answer => match connection.answer().await {
                    Ok(answer) => {
                        attempt.facts.offered = true;
                        answers.push(answer);
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Action::Add(candidate) => {
                    if let Err(error) = connection.add(candidate).await {
                        tracing::debug!(%error, "a candidate is left out");
                    }
                    Ok(())
                }
            };
            if let Err(error) = done {
                refused = Some(error);
                break;
            }
        }
        for answer in answers {
            self.send(answer.into()).await?;
        }
        let Some(error) = refused else { return Ok(()) };
        // A connection that stands isn't harmed by it.
        tracing::debug!(peer = %self.setting.peer.id(), %error, "a description is refused");
        if self.is_connected {
            return Ok(());
        }
        self.report(Trouble::BadDescription(error.to_string()))
    }

    async fn handle_notice(&mut self, notice: Notice) -> Result<Option<End>, Closed> {
        let Some(attempt) = &mut self.attempt else { return Ok(None) };
        match notice {
            Notice::Candidate(candidate) => {
                self.candidates = true;
                attempt.facts.add_local(&candidate);
                self.send(Some(candidate).into()).await?;
            }
            Notice::CandidateError { url, code, text } => {
                attempt.facts.add_error(IceError { url, code, text });
            }
            Notice::Gathered => {
                attempt.facts.gathered = true;
                self.send(None.into()).await?;
                if !self.candidates {
                    self.report(Trouble::NoCandidates)?;
                }
            }
            Notice::State(state) => {
                attempt.is_up = state == ConnectionState::Connected;
                attempt.facts.state = Some(state);
                self.schedule_report();
                return self.handle_state(state).await;
            }
            Notice::Channel { id, is_open } => {
                attempt.mark(id, is_open).await?;
                if is_open {
                    self.announce().await?;
                } else if self.attempt.as_ref().is_some_and(|attempt| !attempt.is_open()) {
                    return self.handle_lost(Trouble::Closed).await;
                }
                // One of the same label may have waited for its end.
                self.open_wanted().await?;
            }
            Notice::Drained { id } => {
                attempt.handle_drained(id).await?;
                self.open_wanted().await?;
            }
            Notice::Control(data) => {
                self.handle_control(&data).await?;
                self.open_wanted().await?;
            }
        }
        Ok(None)
    }

    async fn handle_state(&mut self, state: ConnectionState) -> Result<Option<End>, Closed> {
        match state {
            ConnectionState::Connected => self.announce().await?,
            ConnectionState::Silent => {
                self.lose(Trouble::Silent)?;
                self.schedule(SILENCE_MAX);
            }
            ConnectionState::Failed => return self.handle_lost(Trouble::NoPath).await,
            ConnectionState::Closed => return self.handle_lost(Trouble::Closed).await,
        }
        Ok(None)
    }

    /// The connection doesn't come back by itself.
    async fn handle_lost(&mut self, trouble: Trouble) -> Result<Option<End>, Closed> {
        self.mark_open(false);
        if let Some(attempt) = self.attempt.as_mut().filter(|_| trouble == Trouble::Closed) {
            attempt.facts.state = Some(ConnectionState::Closed);
            self.schedule_report();
        }
        let no_path = trouble == Trouble::NoPath;
        // A peer that leaves by this is only said to leave.
        let is_end = self.unseated.is_some_and(|reason| reason.is_some());
        if self.is_connected && !is_end || no_path && self.unseated.is_none() {
            self.report(trouble)?;
        }
        if let Some(end) = self.unseated {
            return Ok(Some(end));
        }
        if no_path && self.aside.is_empty() {
            self.schedule(Duration::ZERO);
        }
        // The peer has made a new one already.
        for signal in std::mem::take(&mut self.aside) {
            if signal.link == self.remote {
                self.negotiate(signal).await?;
            } else if signal.link != self.stale {
                self.follow(signal).await?;
            }
        }
        Ok(None)
    }

    async fn handle_control(&mut self, data: &Data) -> Result<(), Closed> {
        let Some(control) = data.as_text().and_then(Control::parse) else { return Ok(()) };
        if let Control::Seat(seat) = &control {
            let Ok(seat) = PeerId::parse(seat) else { return Ok(()) };
            return self.say(Word::Claim { from: self.setting.number, seat }).await;
        }
        match &mut self.attempt {
            Some(attempt) => attempt.handle_control(control).await,
            None => Ok(()),
        }
    }

    /// Tells the program that the peer is connected, if the channels are open and it doesn't know.
    async fn announce(&mut self) -> Result<(), Closed> {
        let Some(attempt) = &mut self.attempt else { return Ok(()) };
        if self.is_connected || !attempt.is_up || !attempt.is_open() {
            return Ok(());
        }
        let Some(path) = attempt.connection.path().await else {
            return Ok(());
        };
        attempt.start().await;
        attempt.facts.mark_connected(now());
        self.checks_before = attempt.connection.measures().await.checks;
        self.path = Some(path);
        self.measure = Some(now() + MEASURE_INTERVAL);
        let peer = self.setting.peer.clone();
        tracing::debug!(peer = %peer.id(), %path, "connected");
        self.is_connected = true;
        (self.slow, self.restart) = (None, None);
        self.backoff.reset();
        self.setting.config.inbox.push(Event::Connected { peer, path })?;
        attempt.mark_announced();
        self.mark_open(true);
        self.schedule_report();
        self.say_claim();
        self.open_wanted().await
    }

    /// Tells the program of trouble, if it thinks that the peer is connected.
    fn lose(&mut self, trouble: Trouble) -> Result<(), Closed> {
        if self.is_connected { self.report(trouble) } else { Ok(()) }
    }

    fn report(&mut self, trouble: Trouble) -> Result<(), Closed> {
        self.is_connected = false;
        let peer = self.setting.peer.clone();
        tracing::debug!(peer = %peer.id(), %trouble, "not connected");
        self.setting.config.inbox.push(Event::Disconnected { peer, trouble })
    }

    fn mark_open(&self, is_open: bool) {
        self.setting.is_open.store(is_open, Ordering::Release);
    }

    fn say_claim(&mut self) {
        if let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.is_open())
            && let Some(seat) = self.claim.take()
        {
            attempt.say(Control::Seat(seat.as_str().to_owned()));
        }
    }

    async fn open_wanted(&mut self) -> Result<(), Closed> {
        match &mut self.attempt {
            Some(attempt) if self.is_connected => attempt.open_wanted().await,
            Some(_) | None => Ok(()),
        }
    }

    /// Sends a signal to the peer. Without a signaling connection it waits for the next one.
    async fn send(&self, mut signal: Signal) -> Result<(), Closed> {
        signal.link = self.attempt.as_ref().map(|attempt| attempt.tag.clone());
        let (from, data) = (self.setting.number, signal.encode());
        self.say(Word::Signal { from, data }).await
    }

    pub(super) async fn say(&self, word: Word) -> Result<(), Closed> {
        self.setting.config.words.send(word).await.map_err(|_| Closed)
    }
}
