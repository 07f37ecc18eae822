//! A seat in a room, as the program holds it; [`task`] does the work.

mod task;

use crate::inbox::Inbox;
use crate::place::Place;
use crate::platform::{Task, spawn};
use crate::signaling::Signaling;
use crate::{Error, Event};
use serde_json::Value;
use serde_json::value::to_raw_value;
use signal_core::{PeerId, RoomId, Token};
use std::sync::Arc;
use task::RoomTask;

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
