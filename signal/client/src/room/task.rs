//! The task of a room: it holds the session with the server and the links, and brings them together
//! anew when either side has another seat.

use super::asked::{Asked, Known};
use super::command::{Ask, Command, TokenSource};
use crate::config::{CLAIM_WAIT, SIGNALS_ASIDE_MAX, SIGNALS_OUT_MAX, TOKEN_PAUSE, TOKEN_QUARTERS};
use crate::inbox::{Closed, Inbox};
use crate::link::{IceSetup, LinkConfig, LinkHandle, Roles, Word};
use crate::platform::{Boxed, Connector, Network, Task, now, sleep_until};
use crate::signaling::Signaling;
use crate::{Error, Event, Peer};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use heliograph_base::Time;
use serde_json::Value;
use serde_json::value::RawValue;
use signal_core::client::{Event as SessionEvent, Member, RoomEvent, Seat};
use signal_core::protocol::{IceServer, LeaveReason};
use signal_core::{PeerId, Token};
use std::collections::{HashMap, HashSet, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

pub(super) struct RoomTask {
    config: LinkConfig,
    heard: mpsc::Receiver<Word>,
    ice: Arc<IceSetup>,
    /// By their numbers.
    links: HashMap<u64, LinkHandle>,
    /// Which link leads to whom of the members.
    seats: HashMap<PeerId, u64>,
    /// Members to whom none does yet: one of the links that we have may turn out to.
    strangers: HashMap<PeerId, Stranger>,
    tasks: FuturesUnordered<Task<u64>>,
    last_link: u64,
    known: Arc<Known>,
    asked: Asked,
    tokens: Option<TokenSource>,
    /// The next token: when it is asked for, the answer, and the number under which it is shown.
    token_due: Option<Time>,
    token: Option<Boxed<Option<Token>>>,
    token_shown: Option<u64>,
    network: Network,
    /// Whether the program knows that there is no connection to the server.
    is_lost: bool,
}

/// A member that isn't connected to yet.
struct Stranger {
    member: Member,
    /// When it is.
    due: Time,
    /// What it has sent meanwhile.
    signals: VecDeque<Box<RawValue>>,
}

impl RoomTask {
    pub(super) fn new(
        relay_only: bool,
        tokens: Option<TokenSource>,
        inbox: Arc<Inbox>,
        known: Arc<Known>,
    ) -> Self {
        let (words, heard) = mpsc::channel(SIGNALS_OUT_MAX);
        let ice = IceSetup { servers: Vec::new(), relay_only, server_is_local: false };
        Self {
            config: LinkConfig { connector: Connector::new(), words, inbox },
            heard,
            ice: Arc::new(ice),
            links: HashMap::new(),
            seats: HashMap::new(),
            strangers: HashMap::new(),
            tasks: FuturesUnordered::new(),
            last_link: 0,
            known,
            asked: Asked::default(),
            tokens,
            token_due: None,
            token: None,
            token_shown: None,
            network: Network::new(),
            is_lost: false,
        }
    }

    pub(super) async fn run(
        mut self,
        signaling: Signaling,
        seat: Seat,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let inbox = Arc::clone(&self.config.inbox);
        let mut signaling = Some(signaling);
        let work = async {
            self.sit_down(&signaling, seat)?;
            self.work(&mut signaling, &mut commands).await
        };
        tokio::select! {
            Err(Closed) = work => {}
            () = inbox.closed() => {}
        }
        let goodbye = async {
            if let Some(signaling) = signaling {
                signaling.leave().await;
            }
        };
        tokio::join!(goodbye, self.close());
    }

    /// Runs until nobody reads the room's events any more.
    async fn work(
        &mut self,
        signaling: &mut Option<Signaling>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<(), Closed> {
        loop {
            let takes_words = signaling.as_ref().is_none_or(Signaling::takes_signals);
            let due = self.strangers.values().map(|stranger| stranger.due);
            let due = due.chain(self.token_due).min();
            tokio::select! {
                event = next(signaling) => self.handle_event(signaling, event)?,
                Some(word) = self.heard.recv(), if takes_words => {
                    self.handle_word(signaling, word)?;
                }
                // Links end when their peer is gone, or for good reasons of their own.
                Some(Some(number)) = self.tasks.next() => self.handle_ended(number),
                Some(command) = commands.recv(), if takes_words => {
                    self.handle_command(signaling, command);
                }
                token = coming(&mut self.token) => self.handle_token(signaling, token),
                () = self.network.changed() => self.handle_network_changed(signaling),
                () = sleep_until(due.unwrap_or_default()), if due.is_some() => {
                    self.meet_strangers()?;
                    self.ask_for_token();
                }
            }
        }
    }

    fn handle_event(
        &mut self,
        signaling: &mut Option<Signaling>,
        event: SessionEvent,
    ) -> Result<(), Closed> {
        let Some(session) = signaling else { return Ok(()) };
        let inbox = Arc::clone(&self.config.inbox);
        match event {
            SessionEvent::Joined(seat) => {
                self.is_lost = false;
                self.asked.handle_joined();
                inbox.push(Event::SignalingRejoined { peer_id: seat.peer.clone() })?;
                self.sit_down(signaling, seat)?;
            }
            SessionEvent::Resumed => self.handle_resumed()?,
            SessionEvent::Resync(seat) => {
                self.handle_resumed()?;
                self.learn(&seat)?;
                self.handle_resync(seat.members)?;
            }
            SessionEvent::PeerJoined(member) => self.handle_joined(member)?,
            SessionEvent::PeerAway(peer) => self.mark_away(&peer, true)?,
            SessionEvent::PeerBack(peer) => self.mark_away(&peer, false)?,
            SessionEvent::PeerLeft { peer, reason } => self.handle_left(&peer, reason)?,
            SessionEvent::Signal { from, data } => self.handle_signal(&from, data),
            SessionEvent::Room(event) => {
                self.note(&event);
                inbox.push(Event::Room(event))?;
            }
            SessionEvent::Ice(update) => self.handle_ice(session.is_local(), &update.ice_servers),
            SessionEvent::Refused(refusal) => {
                tracing::debug!(code = %refusal.code, text = %refusal.text, "refused");
                if refusal.id.is_some() && refusal.id == self.token_shown {
                    self.token_due = Some(now() + TOKEN_PAUSE);
                }
                self.asked.handle_refused(refusal);
            }
            SessionEvent::Done { up_to } => self.asked.handle_done(up_to),
            SessionEvent::TokenTaken { id, ttl } => {
                self.schedule_token(ttl);
                if let Some(id) = id {
                    self.asked.handle_token_taken(id);
                }
            }
            SessionEvent::Diagnosed(diagnosis) => self.asked.handle_diagnosed(*diagnosis),
            SessionEvent::Moved { .. } => {}
            SessionEvent::Lost { loss, pause } => {
                let error = session.error(loss);
                tracing::debug!(%error, ?pause, "the signaling connection is lost");
                self.asked.handle_lost();
                if !std::mem::replace(&mut self.is_lost, true) {
                    inbox.push(Event::SignalingLost(error))?;
                }
            }
            SessionEvent::Ended(loss) => {
                let error = session.error(loss);
                *signaling = None;
                self.asked.handle_session_over();
                inbox.push(Event::SignalingEnded(error))?;
            }
        }
        Ok(())
    }

    /// Takes a new seat. Who is connected stays so: those whose ids are still in the room, and
    /// those that say over the link where they are now.
    fn sit_down(&mut self, signaling: &Option<Signaling>, seat: Seat) -> Result<(), Closed> {
        let is_local = signaling.as_ref().is_some_and(Signaling::is_local);
        self.handle_ice(is_local, &seat.ice.ice_servers);
        self.schedule_token(seat.token_ttl);
        self.learn(&seat)?;
        self.strangers.clear();
        let before = std::mem::take(&mut self.seats);
        let present: HashSet<_> = seat.members.iter().map(|member| &member.peer).collect();
        for (peer, number) in &before {
            if !present.contains(peer)
                && let Some(link) = self.links.get_mut(number)
            {
                link.unseat(Some(LeaveReason::Lost));
            }
        }
        for link in self.links.values_mut() {
            link.tell_seat(&seat.peer);
        }
        for member in seat.members {
            match before.get(&member.peer) {
                Some(number) if self.links.contains_key(number) => self.seat(*number, member)?,
                Some(_) | None => self.handle_joined(member)?,
            }
        }
        Ok(())
    }

    fn handle_resumed(&mut self) -> Result<(), Closed> {
        self.is_lost = false;
        self.config.inbox.push(Event::SignalingResumed)
    }

    /// Brings the members in line with what the room is now.
    fn handle_resync(&mut self, members: Vec<Member>) -> Result<(), Closed> {
        let present: HashSet<_> = members.iter().map(|member| member.peer.clone()).collect();
        let known = self.seats.keys().chain(self.strangers.keys());
        let gone: Vec<_> = known.filter(|peer| !present.contains(*peer)).cloned().collect();
        for peer in gone {
            self.handle_left(&peer, LeaveReason::Unknown)?;
        }
        for member in members {
            if self.seats.contains_key(&member.peer) {
                self.mark_away(&member.peer, member.away)?;
            } else {
                self.handle_joined(member)?;
            }
        }
        Ok(())
    }

    /// Somebody is in the room to whom no link leads: perhaps one that is open does, else another
    /// one is begun.
    fn handle_joined(&mut self, member: Member) -> Result<(), Closed> {
        if self.links.values().any(LinkHandle::is_lost) {
            let id = member.peer.clone();
            let (due, signals) = (now() + CLAIM_WAIT, VecDeque::new());
            self.strangers.insert(id, Stranger { member, due, signals });
            return self.check_claims();
        }
        self.meet(member, VecDeque::new())
    }

    /// Connects to those that none of the links that we have has turned out to lead to.
    fn meet_strangers(&mut self) -> Result<(), Closed> {
        let now = now();
        let due: Vec<_> = self.strangers.iter().filter(|(_, it)| it.due <= now).collect();
        let due: Vec<_> = due.into_iter().map(|(id, _)| id.clone()).collect();
        for id in due {
            if let Some(Stranger { member, signals, .. }) = self.strangers.remove(&id) {
                self.meet(member, signals)?;
            }
        }
        Ok(())
    }

    /// Begins a link to somebody new.
    fn meet(&mut self, member: Member, signals: VecDeque<Box<RawValue>>) -> Result<(), Closed> {
        let Member { peer: id, metadata, polite, offers, away, role } = member;
        self.last_link += 1;
        let number = self.last_link;
        let (seat, metadata) = (id.clone(), json(&metadata));
        let peer = |inputs| Peer::new(seat, role, metadata, inputs);
        let (roles, ice) = (Roles { polite, offers }, Arc::clone(&self.ice));
        let link = LinkHandle::spawn(number, peer, roles, ice, self.config.clone(), &self.tasks);
        self.config.inbox.push(Event::PeerJoined(link.peer().clone()))?;
        for signal in signals {
            link.signal(signal);
        }
        self.links.insert(number, link);
        self.seats.insert(id.clone(), number);
        self.mark_away(&id, away)
    }

    /// A link leads to this member from now on.
    fn seat(&mut self, number: u64, member: Member) -> Result<(), Closed> {
        let Some(link) = self.links.get_mut(&number) else { return Ok(()) };
        let Member { peer: id, metadata, polite, offers, away, role } = member;
        let peer = link.peer().clone();
        let before = peer.id();
        link.seat(Roles { polite, offers });
        peer.move_to(id.clone(), role, json(&metadata));
        self.seats.insert(id.clone(), number);
        if before != id {
            self.config.inbox.push(Event::PeerRejoined { peer, before })?;
        }
        self.mark_away(&id, away)
    }

    /// Seats the far ends of links that say where they are, if that is where somebody is to whom no
    /// open link leads. Only the link itself proves who is who.
    fn check_claims(&mut self) -> Result<(), Closed> {
        let lost = self.links.iter().filter(|(_, link)| link.is_lost());
        let claims: Vec<_> =
            lost.filter_map(|(number, link)| Some((*number, link.claim.clone()?))).collect();
        for (number, seat) in claims {
            if let Some(stranger) = self.strangers.remove(&seat) {
                self.seat(number, stranger.member)?;
            } else if let Some(vain) = self.seats.get(&seat).copied()
                && let Some(link) = self.links.get_mut(&vain)
                && !link.is_open()
            {
                // An attempt is under way to the same one.
                let peer = link.peer().clone();
                let (metadata, role, away) = (peer.metadata(), peer.role(), link.is_away);
                let roles = link.roles();
                link.leave(LeaveReason::Replaced);
                self.links.remove(&vain);
                let metadata = serde_json::value::to_raw_value(&metadata).unwrap_or_default();
                let (polite, offers) = (roles.polite, roles.offers);
                let member = Member { peer: seat, metadata, polite, offers, away, role };
                self.seat(number, member)?;
            }
        }
        Ok(())
    }

    fn handle_signal(&mut self, from: &PeerId, data: Box<RawValue>) {
        if let Some(link) = self.seats.get(from).and_then(|number| self.links.get(number)) {
            link.signal(data);
        } else if let Some(stranger) = self.strangers.get_mut(from)
            && stranger.signals.len() < SIGNALS_ASIDE_MAX
        {
            stranger.signals.push_back(data);
        }
    }

    /// Tells the program that a peer is away, or back, if that is news.
    fn mark_away(&mut self, peer: &PeerId, away: bool) -> Result<(), Closed> {
        if let Some(stranger) = self.strangers.get_mut(peer) {
            stranger.member.away = away;
        }
        let Some(number) = self.seats.get(peer) else { return Ok(()) };
        let Some(link) = self.links.get_mut(number) else { return Ok(()) };
        link.peer().set_away(away);
        if std::mem::replace(&mut link.is_away, away) == away {
            return Ok(());
        }
        let peer = link.peer().clone();
        self.config.inbox.push(if away { Event::PeerAway(peer) } else { Event::PeerBack(peer) })
    }

    fn handle_left(&mut self, peer: &PeerId, reason: LeaveReason) -> Result<(), Closed> {
        self.strangers.remove(peer);
        let Some(number) = self.seats.remove(peer) else { return Ok(()) };
        let Some(link) = self.links.get_mut(&number) else { return Ok(()) };
        match reason {
            LeaveReason::Left
            | LeaveReason::Misbehaved
            | LeaveReason::Expired
            | LeaveReason::Replaced
            | LeaveReason::Kicked
            | LeaveReason::Closed => link.leave(reason),
            // Only its signaling is gone for certain.
            LeaveReason::Lost
            | LeaveReason::Slow
            | LeaveReason::Vanished
            | LeaveReason::Unknown => link.unseat(Some(reason)),
        }
        self.check_claims()
    }

    /// This is the room now; what was said in it before is told as if it were now.
    fn learn(&self, seat: &Seat) -> Result<(), Closed> {
        self.known.sit_down(seat);
        let said = seat.about.as_ref().map_or(&[][..], |about| &about.events);
        said.iter().try_for_each(|event| self.config.inbox.push(Event::Room(event.clone())))
    }

    /// Takes note of what the room says.
    fn note(&self, event: &RoomEvent) {
        self.known.note(event);
        if let RoomEvent::Metadata { peer, metadata } = event
            && let Some(link) = self.seats.get(peer).and_then(|number| self.links.get(number))
        {
            link.peer().set_metadata(json(metadata));
        }
    }

    /// From now on these are the servers, for all links.
    fn handle_ice(&mut self, server_is_local: bool, servers: &[IceServer]) {
        let (servers, relay_only) = (servers.to_vec(), self.ice.relay_only);
        self.ice = Arc::new(IceSetup { servers, relay_only, server_is_local });
        for link in self.links.values() {
            link.set_ice(Arc::clone(&self.ice));
        }
    }

    fn handle_word(&mut self, signaling: &mut Option<Signaling>, word: Word) -> Result<(), Closed> {
        match word {
            // To one who left meanwhile, it would only be refused.
            Word::Signal { from, data } => {
                if let Some((peer, session)) = self.seat_of(from).zip(signaling.as_mut()) {
                    session.signal(&peer, data);
                }
            }
            Word::Claim { from, seat } => {
                if let Some(link) = self.links.get_mut(&from) {
                    link.claim = Some(seat);
                }
                self.check_claims()?;
            }
            Word::Report { from, report } => {
                if let Some((peer, session)) = self.seat_of(from).zip(signaling.as_mut()) {
                    session.report(&peer, &report);
                }
            }
            // Of one that has lost its seat, too: the server says that it has.
            Word::Diagnose { from, answer } => {
                if let Some((link, session)) = self.links.get(&from).zip(signaling.as_mut())
                    && let Some(id) = session.diagnose(&link.peer().id())
                {
                    self.asked.add_diagnosis(id, answer);
                }
            }
        }
        Ok(())
    }

    /// Where the far end of this link sits.
    fn seat_of(&self, link: u64) -> Option<PeerId> {
        let id = self.links.get(&link)?.peer().id();
        (self.seats.get(&id) == Some(&link)).then_some(id)
    }

    fn handle_command(&mut self, signaling: &mut Option<Signaling>, command: Command) {
        let Some(signaling) = signaling else { return };
        match command {
            Command::Ask(ask, answer) => self.ask(signaling, &ask, answer),
            Command::History { after, limit, answer } => {
                // Who asked may have gone on.
                let _ = answer.send(signaling.history(after, limit).map_err(Error::from));
            }
            Command::SetToken(token, answer) => {
                self.asked.add_token(signaling.set_token(token), answer);
            }
            Command::Retry => signaling.retry_now(),
        }
    }

    fn ask(
        &mut self,
        signaling: &mut Signaling,
        ask: &Ask,
        answer: oneshot::Sender<Result<(), Error>>,
    ) {
        match signaling.request(ask.request(self.known.term().unwrap_or(0))) {
            Ok(id) => self.asked.add(id, answer),
            Err(why) => {
                // Who asked may have gone on.
                let _ = answer.send(Err(why.into()));
            }
        }
    }

    /// A newer token is due when most of the time of this one is over.
    fn schedule_token(&mut self, ttl: Option<Duration>) {
        let ttl = ttl.filter(|_| self.tokens.is_some());
        self.token_due = ttl.map(|ttl| now() + ttl * TOKEN_QUARTERS / 4);
    }

    fn ask_for_token(&mut self) {
        if let Some(tokens) = &self.tokens
            && self.token_due.is_some_and(|due| due <= now())
        {
            self.token_due = None;
            self.token = Some(tokens.ask());
        }
    }

    fn handle_token(&mut self, signaling: &mut Option<Signaling>, token: Option<Token>) {
        self.token = None;
        match (signaling, token) {
            (Some(signaling), Some(token)) => self.token_shown = Some(signaling.set_token(token)),
            (_, None) => self.token_due = Some(now() + TOKEN_PAUSE),
            (None, Some(_)) => {}
        }
    }

    /// The addresses are others: links look for another way, and the server is asked whether it is
    /// still there.
    fn handle_network_changed(&mut self, signaling: &mut Option<Signaling>) {
        tracing::debug!("the network has changed");
        for link in self.links.values() {
            link.handle_network_changed();
        }
        if let Some(signaling) = signaling {
            signaling.retry_now();
        }
    }

    fn handle_ended(&mut self, number: u64) {
        self.links.remove(&number);
        self.seats.retain(|_, link| *link != number);
    }

    /// Closes all links and waits for their end.
    async fn close(mut self) {
        self.config.inbox.close();
        self.links.clear();
        while self.tasks.next().await.is_some() {}
    }
}

fn json(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// A token that may be on its way.
async fn coming(token: &mut Option<Boxed<Option<Token>>>) -> Option<Token> {
    match token {
        Some(token) => token.await,
        None => pending().await,
    }
}

/// The session's next event, or never when it has ended.
async fn next(signaling: &mut Option<Signaling>) -> SessionEvent {
    match signaling {
        Some(signaling) => signaling.next().await,
        None => pending().await,
    }
}
