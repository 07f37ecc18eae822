//! A seat in a room: the task that holds the signaling connection and the links, and the program's
//! handle to it.

use crate::config::SIGNALS_OUT_MAX;
use crate::inbox::{Closed, Inbox};
use crate::link::{Fingerprint, IceSetup, LinkConfig, LinkHandle, Word};
use crate::place::Place;
use crate::platform::{Connector, Task, spawn};
use crate::signaling::Signaling;
use crate::{Error, Event, Peer};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use serde_json::value::to_raw_value;
use signal_core::client::{Event as SessionEvent, Member, Seat};
use signal_core::protocol::{IceServer, LeaveReason};
use signal_core::{PeerId, RoomId, Token};
use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::Arc;
use tokio::sync::mpsc;

/// How to join. `Options::default()` is good for most; new fields may be added, so fill the rest
/// from it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the others are told about this peer: a JSON object of at most 1,024 bytes, such as
    /// `{"name": "ada"}`.
    pub metadata: Value,
    /// Go through a TURN server even where a direct path would work.
    pub relay_only: bool,
    /// Shown to be let in, where the server asks for it.
    pub token: Option<Token>,
}

/// A seat in a room. Dropped, it leaves the room in the background; [`close`](Self::close) waits
/// for it.
///
/// A lost connection to the server is taken up again by itself, as long as it takes; peer
/// connections stay open meanwhile.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    peer_id: PeerId,
    inbox: Arc<Inbox>,
    task: Option<Task<()>>,
}

/// Joins a room and starts to connect to everybody in it.
///
/// `url` names the server: its page (`http://127.0.0.1:8080/`; what follows `#` is ignored) or its
/// WebSocket (`ws://127.0.0.1:8080`). `room` has 1 to 64 of `A-Z a-z 0-9 . _ ~ -`. Runs on tokio,
/// with its IO and time enabled.
///
/// # Errors
/// [`Error`] says what to do; [`Error::retry`] whether to try again.
pub async fn join(url: &str, room: &str, options: Options) -> Result<Room, Error> {
    let place = Place::parse(url)?;
    let id = RoomId::parse(room)?;
    if !(options.metadata.is_null() || options.metadata.is_object()) {
        return Err(Error::BadMetadata);
    }
    let metadata = Some(&options.metadata).filter(|metadata| metadata.is_object());
    let metadata = metadata.map(to_raw_value).transpose().map_err(|_| Error::BadMetadata)?;
    let (signaling, seat) = Signaling::join(place, id.clone(), metadata, options.token).await?;
    let peer_id = seat.peer.clone();
    let inbox = Arc::new(Inbox::default());
    let task = RoomTask::new(options.relay_only, Arc::clone(&inbox));
    let task = spawn(task.run(signaling, seat));
    Ok(Room { id, peer_id, inbox, task: Some(task) })
}

impl Room {
    /// The room's id.
    #[must_use]
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// This client's own peer id: another one after [`Event::SignalingRejoined`] was taken.
    #[must_use]
    pub fn peer_id(&self) -> &PeerId {
        &self.peer_id
    }

    /// Waits for the next event. Cancel safe.
    ///
    /// Call it without long pauses: messages wait only so long (see
    /// [`Stats::lossy_dropped`](crate::Stats)). `None` comes after the last event, which is only
    /// ever a [`Event::SignalingEnded`] with [`Error::NotRead`].
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.inbox.next().await;
        event.inspect(|event| self.note(event))
    }

    /// Takes the next event if there is one: for loops that must not wait.
    pub fn try_next(&mut self) -> Option<Event> {
        let event = self.inbox.try_next().ok().flatten();
        event.inspect(|event| self.note(event))
    }

    /// Leaves the room, closes all connections, and waits until nothing of them is left.
    pub async fn close(mut self) {
        self.inbox.close();
        if let Some(task) = self.task.take() {
            // Nothing ends it, and a panic of it has been printed.
            let _ = task.await;
        }
    }

    fn note(&mut self, event: &Event) {
        if let Event::SignalingRejoined { peer_id } = event {
            self.peer_id = peer_id.clone();
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.inbox.close();
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

struct RoomTask {
    connector: Connector,
    inbox: Arc<Inbox>,
    /// Cloned for each link.
    words: mpsc::Sender<Word>,
    heard: mpsc::Receiver<Word>,
    ice: Arc<IceSetup>,
    /// Who has a seat.
    members: HashMap<PeerId, LinkHandle>,
    /// By their numbers: links to peers that have lost their seats, or that we knew on a seat of
    /// our own that is lost. They stay as long as their connections are open.
    former: HashMap<u64, LinkHandle>,
    links: FuturesUnordered<Task<u64>>,
    last_link: u64,
    /// Whether the program knows that there is no connection to the server.
    is_lost: bool,
}

impl RoomTask {
    fn new(relay_only: bool, inbox: Arc<Inbox>) -> Self {
        let (words, heard) = mpsc::channel(SIGNALS_OUT_MAX);
        let ice = IceSetup { servers: Vec::new(), relay_only, server_is_local: false };
        Self {
            connector: Connector::new(),
            inbox,
            words,
            heard,
            ice: Arc::new(ice),
            members: HashMap::new(),
            former: HashMap::new(),
            links: FuturesUnordered::new(),
            last_link: 0,
            is_lost: false,
        }
    }

    async fn run(mut self, signaling: Signaling, seat: Seat) {
        let inbox = Arc::clone(&self.inbox);
        let mut signaling = Some(signaling);
        let work = async {
            self.sit_down(&signaling, seat)?;
            self.work(&mut signaling).await
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
    async fn work(&mut self, signaling: &mut Option<Signaling>) -> Result<(), Closed> {
        loop {
            let takes_words = signaling.as_ref().is_none_or(Signaling::takes_signals);
            tokio::select! {
                event = next(signaling) => self.handle_event(signaling, event)?,
                Some(word) = self.heard.recv(), if takes_words => self.handle_word(signaling, word),
                // Links end when their peer is gone, or for good reasons of their own.
                Some(Some(number)) = self.links.next() => {
                    self.former.remove(&number);
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
        match event {
            SessionEvent::Joined(seat) => {
                self.is_lost = false;
                self.inbox.push(Event::SignalingRejoined { peer_id: seat.peer.clone() })?;
                self.sit_down(signaling, seat)?;
            }
            SessionEvent::Resumed => self.handle_resumed()?,
            SessionEvent::Resync(seat) => {
                self.handle_resumed()?;
                self.handle_resync(seat.members)?;
            }
            SessionEvent::PeerJoined(member) => self.handle_joined(member, None)?,
            SessionEvent::PeerAway(peer) => self.mark_away(&peer, true)?,
            SessionEvent::PeerBack(peer) => self.mark_away(&peer, false)?,
            SessionEvent::PeerLeft { peer, reason } => self.handle_left(&peer, reason),
            SessionEvent::Signal { from, data } => {
                if let Some(link) = self.members.get(&from) {
                    link.signal(data);
                }
            }
            SessionEvent::Room(event) => self.inbox.push(Event::Room(event))?,
            SessionEvent::Ice(update) => self.handle_ice(session.is_local(), &update.ice_servers),
            SessionEvent::Refused(refusal) => {
                tracing::debug!(code = %refusal.code, text = %refusal.text, "a signal was refused");
            }
            SessionEvent::Lost { loss, pause } => {
                let error = session.error(loss);
                tracing::debug!(%error, ?pause, "the signaling connection is lost");
                if !std::mem::replace(&mut self.is_lost, true) {
                    self.inbox.push(Event::SignalingLost(error))?;
                }
            }
            SessionEvent::Ended(loss) => {
                let error = session.error(loss);
                *signaling = None;
                self.inbox.push(Event::SignalingEnded(error))?;
            }
        }
        Ok(())
    }

    /// Takes a new seat. Who was connected before stays so, until it is met on its new seat.
    fn sit_down(&mut self, signaling: &Option<Signaling>, seat: Seat) -> Result<(), Closed> {
        let is_local = signaling.as_ref().is_some_and(Signaling::is_local);
        self.handle_ice(is_local, &seat.ice.ice_servers);
        let mut before = std::mem::take(&mut self.members);
        for member in seat.members {
            let known = before.remove(&member.peer).map(|link| {
                let peer = link.peer().clone();
                self.unseat(link, None);
                peer
            });
            self.handle_joined(member, known)?;
        }
        for link in before.into_values() {
            self.unseat(link, Some(LeaveReason::Lost));
        }
        Ok(())
    }

    fn handle_resumed(&mut self) -> Result<(), Closed> {
        self.is_lost = false;
        self.inbox.push(Event::SignalingResumed)
    }

    /// Brings the members in line with what the room is now.
    fn handle_resync(&mut self, members: Vec<Member>) -> Result<(), Closed> {
        let present: HashSet<_> = members.iter().map(|member| member.peer.clone()).collect();
        let gone: Vec<_> =
            self.members.keys().filter(|peer| !present.contains(*peer)).cloned().collect();
        for peer in gone {
            self.handle_left(&peer, LeaveReason::Unknown);
        }
        for member in members {
            if self.members.contains_key(&member.peer) {
                self.mark_away(&member.peer, member.away)?;
            } else {
                self.handle_joined(member, None)?;
            }
        }
        Ok(())
    }

    /// Meets a peer, which the program may know already.
    fn handle_joined(&mut self, member: Member, known: Option<Peer>) -> Result<(), Closed> {
        let Member { peer: id, metadata, polite, offers, away, role: _ } = member;
        let is_new = known.is_none();
        let metadata = || serde_json::from_str(metadata.get()).unwrap_or_default();
        let peer = known.unwrap_or_else(|| Peer::new(id.clone(), metadata()));
        if is_new {
            self.inbox.push(Event::PeerJoined(peer.clone()))?;
        }
        let config = LinkConfig {
            peer,
            offers,
            polite,
            connector: self.connector.clone(),
            ice: Arc::clone(&self.ice),
            words: self.words.clone(),
            inbox: Arc::clone(&self.inbox),
        };
        self.last_link += 1;
        let link = LinkHandle::spawn(self.last_link, config, &self.links);
        self.members.insert(id.clone(), link);
        self.mark_away(&id, away)
    }

    /// Tells the program that a peer is away, or back, if that is news.
    fn mark_away(&mut self, peer: &PeerId, away: bool) -> Result<(), Closed> {
        let Some(link) = self.members.get_mut(peer) else { return Ok(()) };
        if std::mem::replace(&mut link.is_away, away) == away {
            return Ok(());
        }
        let peer = link.peer().clone();
        self.inbox.push(if away { Event::PeerAway(peer) } else { Event::PeerBack(peer) })
    }

    fn handle_left(&mut self, peer: &PeerId, reason: LeaveReason) {
        let Some(link) = self.members.remove(peer) else { return };
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
            | LeaveReason::Unknown => self.unseat(link, Some(reason)),
        }
    }

    /// Keeps a link as long as it is open. At its end the program is told the reason, if there is
    /// one.
    fn unseat(&mut self, link: LinkHandle, reason: Option<LeaveReason>) {
        if let Some(link) = link.unseat(reason) {
            self.former.insert(link.number(), link);
        }
    }

    /// From now on these are the servers, for all links.
    fn handle_ice(&mut self, server_is_local: bool, servers: &[IceServer]) {
        let (servers, relay_only) = (servers.to_vec(), self.ice.relay_only);
        self.ice = Arc::new(IceSetup { servers, relay_only, server_is_local });
        for link in self.members.values() {
            link.set_ice(Arc::clone(&self.ice));
        }
    }

    fn handle_word(&mut self, signaling: &mut Option<Signaling>, word: Word) {
        match (word, signaling) {
            // To one who left meanwhile, it would only be refused.
            (Word::Signal { from, to, data }, Some(signaling))
                if self.members.get(&to.id()).is_some_and(|link| link.number() == from) =>
            {
                signaling.signal(&to.id(), data);
            }
            (Word::Signal { .. }, _) => {}
            (Word::Connected { from, fingerprint }, _)
                if self.members.values().any(|link| link.number() == from) =>
            {
                self.retire(&fingerprint);
            }
            (Word::Connected { .. }, _) => {}
        }
    }

    /// Lets former links to whoever has this certificate go: there is a new one.
    fn retire(&self, fingerprint: &Fingerprint) {
        for link in self.former.values() {
            if link.fingerprint().as_ref() == Some(fingerprint) {
                link.replace();
            }
        }
    }

    /// Closes all links and waits for their end.
    async fn close(mut self) {
        self.inbox.close();
        self.members.clear();
        self.former.clear();
        while self.links.next().await.is_some() {}
    }
}

/// The session's next event, or never when it has ended.
async fn next(signaling: &mut Option<Signaling>) -> SessionEvent {
    match signaling {
        Some(signaling) => signaling.next().await,
        None => pending().await,
    }
}
