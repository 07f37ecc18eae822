//! A seat in a room: the task that holds the signaling connection and the links, and the program's
//! handle to it.

use crate::config::SIGNALS_OUT_MAX;
use crate::inbox::{Closed, Inbox};
use crate::link::{IceSetup, LinkConfig, LinkHandle, LocalAddresses, Loopback, Outgoing};
use crate::place::Place;
use crate::signaling::{Seat, Seated, Signaling};
use crate::{Error, Event};
use serde_json::Value;
use signal_core::protocol::{IceServer, ServerFrame};
use signal_core::{PeerId, RoomId};
use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// How to join. `Options::default()` is good for most; new fields may be added, so fill the rest
/// from it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the others are told about this peer: a JSON object of at most 1,024 bytes, such as
    /// `{"name": "ada"}`.
    pub metadata: Value,
    /// Go through a TURN server even where a direct path would work.
    pub relay_only: bool,
}

/// A seat in a room. Dropped, it leaves the room in the background; [`close`](Self::close) waits
/// for it.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    peer_id: PeerId,
    inbox: Arc<Inbox>,
    task: Option<JoinHandle<()>>,
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
    let mut signaling = Signaling::connect(place).await?;
    let seat = signaling.hello(&id, &options.metadata).await?;
    let peer_id = seat.id.clone();
    let inbox = Arc::new(Inbox::default());
    let ice = ice_setup(&seat.ice_servers, options.relay_only, signaling.is_local());
    let task = tokio::spawn(RoomTask::run(signaling, seat, ice, Arc::clone(&inbox)));
    Ok(Room { id, peer_id, inbox, task: Some(task) })
}

impl Room {
    /// The room's id.
    #[must_use]
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// This client's own peer id.
    #[must_use]
    pub fn peer_id(&self) -> &PeerId {
        &self.peer_id
    }

    /// Waits for the next event. Cancel safe.
    ///
    /// Call it without long pauses: messages wait only so long (see
    /// [`Stats::lossy_dropped`](crate::Stats)). `None` comes after the last event, which is only
    /// ever a [`Event::SignalingLost`] with [`Error::NotRead`].
    pub async fn next(&mut self) -> Option<Event> {
        self.inbox.next().await
    }

    /// Takes the next event if there is one: for loops that must not wait.
    pub fn try_next(&mut self) -> Option<Event> {
        self.inbox.try_next().ok().flatten()
    }

    /// Leaves the room, closes all connections, and waits until nothing of them is left.
    pub async fn close(mut self) {
        self.inbox.close();
        if let Some(task) = self.task.take() {
            // It can't be cancelled, and a panic of it has been printed.
            let _ = task.await;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// Which sockets and servers the room's links use.
fn ice_setup(servers: &[IceServer], relay_only: bool, server_is_local: bool) -> Arc<IceSetup> {
    let turn =
        || servers.iter().flat_map(|server| &server.urls).filter(|url| url.starts_with("turn"));
    let local = |url: &String| {
        let host = url.split_once(':').map_or("", |(_, rest)| rest);
        ["127.", "[::1]", "localhost"].iter().any(|loopback| host.starts_with(loopback))
    };
    let loopback = if relay_only && turn().next().is_some() && turn().all(local) {
        Loopback::Only
    } else if server_is_local || turn().any(local) {
        Loopback::Used
    } else {
        Loopback::Unused
    };
    let addresses = LocalAddresses { loopback };
    Arc::new(IceSetup { servers: servers.to_vec(), relay_only, addresses })
}

struct RoomTask {
    ice: Arc<IceSetup>,
    inbox: Arc<Inbox>,
    /// Cloned for each link.
    signals: mpsc::Sender<Outgoing>,
    members: HashMap<PeerId, LinkHandle>,
    links: JoinSet<()>,
}

impl RoomTask {
    async fn run(signaling: Signaling, seat: Seat, ice: Arc<IceSetup>, inbox: Arc<Inbox>) {
        let (signals, outgoing) = mpsc::channel(SIGNALS_OUT_MAX);
        let (members, links) = (HashMap::new(), JoinSet::new());
        let mut task = Self { ice, inbox: Arc::clone(&inbox), signals, members, links };
        let mut signaling = Some(signaling);
        let work = async {
            for seated in seat.members {
                task.handle_joined(seated)?;
            }
            task.work(&mut signaling, outgoing).await
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
        tokio::join!(goodbye, task.close());
    }

    /// Runs until nobody reads the room's events any more.
    async fn work(
        &mut self,
        signaling: &mut Option<Signaling>,
        mut outgoing: mpsc::Receiver<Outgoing>,
    ) -> Result<(), Closed> {
        loop {
            let done = tokio::select! {
                text = next(signaling) => match (text, signaling.as_ref()) {
                    (Ok(text), Some(signaling)) => self.handle_frame(signaling, &text)?,
                    (Ok(_), None) => Ok(()),
                    (Err(error), _) => Err(error),
                },
                Some(signal) = outgoing.recv() => match signaling.as_mut() {
                    // To one who left meanwhile, it would only be refused.
                    Some(signaling) if self.members.contains_key(signal.to.id()) => {
                        signaling.signal(signal.to.id(), &signal.data).await
                    }
                    Some(_) | None => Ok(()),
                },
                // Links end when their peer leaves, or for good reasons of their own.
                Some(_) = self.links.join_next() => Ok(()),
            };
            if let Err(error) = done {
                *signaling = None;
                self.inbox.push(Event::SignalingLost(error))?;
            }
        }
    }

    fn handle_frame(
        &mut self,
        signaling: &Signaling,
        text: &str,
    ) -> Result<Result<(), Error>, Closed> {
        let frame = match signaling.read(text) {
            Ok(frame) => frame,
            Err(error) => return Ok(Err(error)),
        };
        match frame {
            ServerFrame::Joined(member) => match signaling.seated(&member) {
                Ok(seated) => self.handle_joined(seated)?,
                Err(error) => return Ok(Err(error)),
            },
            ServerFrame::Left { peer, reason } => {
                if let Some(link) = self.members.remove(&*peer) {
                    link.leave(reason);
                }
            }
            ServerFrame::Signal { from, data } => {
                if let Some(link) = self.members.get(&*from) {
                    link.signal(data);
                }
            }
            ServerFrame::Error(refusal) => {
                tracing::debug!(code = %refusal.code, text = %refusal.text, "a frame was refused");
            }
            ServerFrame::Welcome(_) | ServerFrame::Pong { .. } | ServerFrame::Unknown => {}
        }
        Ok(Ok(()))
    }

    fn handle_joined(&mut self, seated: Seated) -> Result<(), Closed> {
        let Seated { peer, polite, offers } = seated;
        self.inbox.push(Event::PeerJoined(peer.clone()))?;
        let config = LinkConfig {
            peer: peer.clone(),
            offers,
            polite,
            ice: Arc::clone(&self.ice),
            signals: self.signals.clone(),
            inbox: Arc::clone(&self.inbox),
        };
        let link = LinkHandle::spawn(config, &mut self.links);
        self.members.insert(peer.id().clone(), link);
        Ok(())
    }

    /// Closes all links and waits for their end.
    async fn close(mut self) {
        self.inbox.close();
        self.members.clear();
        while self.links.join_next().await.is_some() {}
    }
}

/// The next frame, or never when there is no connection.
async fn next(signaling: &mut Option<Signaling>) -> Result<Utf8Bytes, Error> {
    match signaling {
        Some(signaling) => signaling.next().await,
        None => pending().await,
    }
}
