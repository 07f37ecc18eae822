//! What all edges share, and the ties of one edge to the shard of its room.

use crate::counters::EdgeCounters;
use crate::outbox::{Inbox, Outbox, outbox};
use crate::shard::{Message, SharedCounts};
use crate::{SignalConfig, ice};
use ahash::RandomState;
use heliograph_base::{Clock, Time};
use signal_core::protocol::CloseCode;
use signal_core::{Config, Edge, EdgeId, Event, IceUrls, Request, Resume, RoomId};
use std::collections::HashMap;
use std::future::pending;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tracing::{Span, debug};

/// What all edges share.
#[derive(Debug)]
pub(crate) struct Edges {
    pub(crate) config: SignalConfig,
    pub(crate) limits: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) shards: Vec<mpsc::Sender<Message>>,
    pub(crate) shard_counts: Arc<[SharedCounts]>,
    pub(crate) hasher: RandomState,
    pub(crate) counters: EdgeCounters,
    /// Turns true when the server ends. Each edge holds a receiver, so it is also known when all
    /// have ended.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) last_edge: AtomicU64,
    /// The URLs for clients that reached each of our addresses, which share them.
    pub(crate) ice: Mutex<HashMap<Option<IpAddr>, Arc<IceUrls>>>,
}

impl Edges {
    /// The STUN and TURN servers for a client that reached us at `local`.
    pub(crate) fn ice(&self, local: Option<IpAddr>) -> Arc<IceUrls> {
        let mut known = self.ice.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(ice::urls(&self.config.ice, local));
        known.entry(local).or_insert_with(make).clone()
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now().time
    }

    /// The shard that owns a room.
    fn shard_of(&self, room: &RoomId) -> usize {
        (self.hasher.hash_one(room) % self.shards.len() as u64) as usize
    }
}

/// An edge and its ties to the shard of its room. Dropped before its end, it tells the shard that
/// the connection is lost.
#[derive(Debug)]
pub(crate) struct Ties {
    pub(crate) edges: Arc<Edges>,
    pub(crate) edge: Edge,
    id: EdgeId,
    shard: usize,
    /// What a shard fills, once one was asked.
    inbox: Option<Inbox>,
}

impl Ties {
    /// The edge of a client that has yet to say hello.
    pub(crate) fn new(edges: &Arc<Edges>, local: Option<IpAddr>) -> Self {
        let edge = Edge::new(edges.now(), edges.limits.clone(), edges.ice(local));
        Self::of(edges, edge)
    }

    /// The edge of a client that has said which session is its own.
    pub(crate) fn resuming(edges: &Arc<Edges>, resume: Resume) -> Self {
        Self::of(edges, Edge::resuming(edges.now(), edges.limits.clone(), resume))
    }

    fn of(edges: &Arc<Edges>, edge: Edge) -> Self {
        let id = EdgeId(edges.last_edge.fetch_add(1, Ordering::Relaxed) + 1);
        edges.counters.opened.fetch_add(1, Ordering::Relaxed);
        Self { edges: edges.clone(), edge, id, shard: 0, inbox: None }
    }

    /// Hands the edge's requests to the shard. A full shard makes this edge wait, and no other.
    pub(crate) async fn pass_requests(&mut self) {
        while let Some(request) = self.edge.poll_request() {
            let message = self.message(request);
            if self.edges.shards[self.shard].send(message).await.is_err() {
                self.edge.close(CloseCode::Shutdown);
            }
        }
    }

    /// The next event; with `take` false only that the connection is to end. May be dropped at any
    /// time.
    pub(crate) async fn event(&mut self, take: bool) -> Event {
        match &mut self.inbox {
            Some(inbox) => inbox.event(take).await,
            None => pending().await,
        }
    }

    /// The next event, if there is one.
    pub(crate) fn try_event(&mut self) -> Option<Event> {
        self.inbox.as_mut()?.try_event()
    }

    pub(crate) fn handle_event(&mut self, event: Event) {
        if let Event::Seated { peer } = &event {
            Span::current().record("peer", peer.as_str());
            debug!("seated");
        }
        self.edge.handle_event(event);
    }

    fn message(&mut self, request: Request) -> Message {
        let outbox = match &request {
            Request::Join(join) => Some(self.go_to(&join.room)),
            Request::Resume(resume) => Some(self.go_to(&resume.name.room)),
            Request::Ack(_)
            | Request::Signal(_)
            | Request::Unreadable { .. }
            | Request::Leave(_)
            | Request::Detach(_) => None,
        };
        Message { edge: self.id, request, outbox }
    }

    /// From now on this edge talks to the shard of this room.
    fn go_to(&mut self, room: &RoomId) -> Outbox {
        self.shard = self.edges.shard_of(room);
        Span::current().record("room", room.as_str());
        let (outbox, inbox) = outbox(self.edges.limits.transmits_max());
        self.inbox = Some(inbox);
        outbox
    }
}

impl Drop for Ties {
    fn drop(&mut self) {
        self.edge.handle_broken();
        if let Some(end) = self.edge.ended() {
            self.edges.counters.count_end(end);
        }
        self.edges.counters.closed.fetch_add(1, Ordering::Relaxed);
        while let Some(request) = self.edge.poll_request() {
            let message = self.message(request);
            let shard = self.edges.shards[self.shard].clone();
            // Where there is room, as nearly always, it goes at once; else a task waits for it. At
            // the end of the program nobody has to know any more.
            if let Err(mpsc::error::TrySendError::Full(message)) = shard.try_send(message)
                && let Ok(runtime) = tokio::runtime::Handle::try_current()
            {
                drop(runtime.spawn(async move { shard.send(message).await }));
            }
        }
    }
}
