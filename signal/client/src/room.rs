//! A seat in a room, as the program holds it; [`task`] does the work.

mod asked;
mod command;
mod task;

pub(crate) use command::Command;
pub use command::{To, TokenSource};

use crate::config::{ANSWER_TIMEOUT, COMMANDS_MAX};
use crate::inbox::Inbox;
use crate::lobby;
use crate::place::{Place, Server};
use crate::platform::{Task, spawn};
use crate::signaling::{Hello, Signaling};
use crate::{Error, Event, History, Peer, RoomState, Rules, RulesPatch, Transport};
use asked::Known;
use command::Ask;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use signal_core::{PeerId, RoomId, Token};
use std::sync::Arc;
use task::RoomTask;
use tokio::sync::{mpsc, oneshot};

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
    /// Where tokens come from, if one alone won't do: asked instead of `token`, and again before a
    /// token expires.
    pub tokens: Option<TokenSource>,
    /// What the room is to be like, if this makes it: `capacity`, `password`, `hosted` and so on
    /// (docs/protocol.md, "Rooms").
    pub create: Value,
    /// The room's password.
    pub password: Option<String>,
    /// In a room that keeps what is said to all: tell first what was said behind this event; 0:
    /// all that is kept.
    pub after: Option<u64>,
    /// What may carry the session, the best first; empty: a WebSocket, and where that doesn't get
    /// through server-sent events or long polls.
    pub transports: Vec<Transport>,
    /// More authorities whose certificates are believed for `https:` and `wss:`, beside those of
    /// the system, as PEM: for servers with certificates of your own. Not in browsers.
    pub authorities: Option<String>,
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
    peers: Vec<Peer>,
    inbox: Arc<Inbox>,
    known: Arc<Known>,
    commands: mpsc::Sender<Command>,
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
    let place = Place::of(Server { url: url.to_owned(), authorities: options.authorities })?;
    let id = RoomId::parse(room)?;
    if !(options.metadata.is_null() || options.metadata.is_object()) {
        return Err(Error::BadMetadata);
    }
    let object = |value: &Value| match value.is_object() {
        true => to_raw_value(value).map(Some).map_err(|_| Error::BadMetadata),
        false => Ok(None),
    };
    let (metadata, create) = (object(&options.metadata)?, object(&options.create)?);
    let Options { metadata: own, relay_only, tokens, password, after, transports, .. } = options;
    let token = match &tokens {
        Some(tokens) => tokens.ask().await,
        None => options.token,
    };
    let room = id.clone();
    let hello = Hello { room, metadata, token, create, password, after, transports };
    let (signaling, seat) = Signaling::join(place, hello).await?;
    let peer_id = seat.peer.clone();
    let inbox = Arc::new(Inbox::default());
    let known = Arc::new(Known::default());
    known.set_metadata(if own.is_null() { json!({}) } else { own });
    known.sit_down(&seat);
    let (commands, asked) = mpsc::channel(COMMANDS_MAX);
    let task = RoomTask::new(relay_only, tokens, Arc::clone(&inbox), Arc::clone(&known));
    let task = spawn(task.run(signaling, seat, asked));
    let (peers, task) = (Vec::new(), Some(task));
    Ok(Room { id, peer_id, peers, inbox, known, commands, task })
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

    /// What this client's token says that it is.
    #[must_use]
    pub fn role(&self) -> Option<String> {
        self.known.role()
    }

    /// Everybody else, in the order of their coming: those whose [`Event::PeerJoined`] was taken,
    /// up to their [`Event::PeerLeft`].
    #[must_use]
    pub fn peers(&self) -> &[Peer] {
        &self.peers
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

    /// What the others are told about this client: a JSON object, as it was given on joining or
    /// [set](Self::set_metadata) last.
    #[must_use]
    pub fn metadata(&self) -> Value {
        self.known.metadata()
    }

    /// Who is the host, in a room that has one.
    #[must_use]
    pub fn host(&self) -> Option<PeerId> {
        self.known.host()
    }

    /// Whether this client is the host.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.host().as_ref() == Some(&self.peer_id)
    }

    /// How often a host was made; `None`: the room has no hosts.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.known.term()
    }

    /// The room's rules; `None`, if it has none but the server's.
    #[must_use]
    pub fn rules(&self) -> Option<Rules> {
        self.known.rules()
    }

    /// The room's state, once it was set.
    #[must_use]
    pub fn state(&self) -> Option<RoomState> {
        self.known.state()
    }

    /// Says something to all members, this one included, or to some, by way of the server. They get
    /// it as [`Event::Room`].
    ///
    /// # Errors
    /// As [`set_state`](Self::set_state).
    pub async fn broadcast(&self, data: &impl Serialize, to: To) -> Result<(), Error> {
        self.ask(Ask::Broadcast { data: raw(data)?, to }).await
    }

    /// Sets the room's state, which everybody is told, waits until that is done, and gives the
    /// state there is then: this one, or what was set right behind it. With `if_version` only if it
    /// still has that version (0: if it was never set).
    ///
    /// Without a connection to the server it is done when there is one again.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has another version by now, [`Error::Refused`],
    /// [`Error::TooLarge`], [`Error::Busy`] and [`Error::SeatLost`].
    pub async fn set_state(
        &self,
        value: &impl Serialize,
        if_version: Option<u64>,
    ) -> Result<RoomState, Error> {
        self.ask(Ask::State { value: raw(value)?, if_version }).await?;
        // Told before it is done, but for a seat that is lost meanwhile.
        self.state().ok_or(Error::SeatLost)
    }

    /// Tells the others something else about this client.
    ///
    /// # Errors
    /// [`Error::BadMetadata`], and as [`set_state`](Self::set_state).
    pub async fn set_metadata(&self, metadata: &Value) -> Result<(), Error> {
        if !metadata.is_object() {
            return Err(Error::BadMetadata);
        }
        self.ask(Ask::Metadata(raw(metadata)?)).await?;
        self.known.set_metadata(metadata.clone());
        Ok(())
    }

    /// Changes rules of the room, as its host.
    ///
    /// # Errors
    /// [`Error::Refused`] if this client isn't the host, and as [`set_state`](Self::set_state).
    pub async fn set_rules(&self, rules: &RulesPatch) -> Result<(), Error> {
        self.ask(Ask::Rules(raw(rules)?)).await
    }

    /// Makes another member the host, as the host.
    ///
    /// # Errors
    /// As [`set_rules`](Self::set_rules).
    pub async fn hand_over(&self, to: &PeerId) -> Result<(), Error> {
        self.ask(Ask::Host(to.clone())).await
    }

    /// Removes a member, as the host; with `ban` it can't come back.
    ///
    /// # Errors
    /// As [`set_rules`](Self::set_rules).
    pub async fn kick(&self, peer: &PeerId, ban: bool) -> Result<(), Error> {
        self.ask(Ask::Kick { peer: peer.clone(), ban }).await
    }

    /// Reads what was said to all behind the event `after` (0: from the first on), in a room that
    /// keeps it: a page of `limit` at most, 256 without it. The next page is behind the last event
    /// of this one.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::SeatLost`], [`Error::Unreachable`], [`Error::Lost`] and
    /// [`Error::Timeout`].
    pub async fn history(&self, after: u64, limit: Option<usize>) -> Result<History, Error> {
        let asked = self.answer(|answer| Command::History { after, limit, answer });
        let (place, question) = asked.await?;
        lobby::ask(&place, question, ANSWER_TIMEOUT).await
    }

    /// Shows another token from now on, before the one that was shown expires, and waits until the
    /// server has taken it. Without a connection it is shown when there is one again.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is no good or another's: the session goes on with the one before,
    /// until that expires. And [`Error::SeatLost`].
    pub async fn set_token(&self, token: Token) -> Result<(), Error> {
        self.answer(|answer| Command::SetToken(token, answer)).await
    }

    /// Connects to the server at once if the connection is lost, instead of after the pause.
    pub async fn retry_now(&self) {
        let _ = self.commands.send(Command::Retry).await;
    }

    /// Leaves the room, closes all connections, and waits until nothing of them is left.
    pub async fn close(mut self) {
        self.inbox.close();
        if let Some(task) = self.task.take() {
            // Nothing ends it, and a panic of it has been printed.
            let _ = task.await;
        }
    }

    async fn ask(&self, ask: Ask) -> Result<(), Error> {
        self.answer(|answer| Command::Ask(ask, answer)).await
    }

    async fn answer<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| Error::SeatLost)?;
        answered.await.unwrap_or(Err(Error::SeatLost))
    }

    fn note(&mut self, event: &Event) {
        if let Event::SignalingRejoined { peer_id } = event {
            self.peer_id = peer_id.clone();
        } else if let Event::PeerJoined(peer) = event {
            self.peers.push(peer.clone());
        } else if let Event::PeerLeft { peer, .. } = event {
            self.peers.retain(|other| other != peer);
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

/// The JSON form of a value.
fn raw(value: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, Error> {
    to_raw_value(value).map_err(|error| Error::BadValue(error.to_string()))
}
