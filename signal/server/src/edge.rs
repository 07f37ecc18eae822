//! An edge: the task that carries one client's frames between its WebSocket and the shard of its
//! room.

use crate::counters::EdgeCounters;
use crate::outbox::{Inbox, Outbox, outbox};
use crate::shard::{Message, SharedCounts};
use crate::socket::{Socket, SocketEvent};
use crate::{Connection, SignalConfig, ice};
use ahash::RandomState;
use heliograph_base::{Clock, Time};
use hyper::upgrade::OnUpgrade;
use signal_core::protocol::CloseCode;
use signal_core::{Config, EdgeId, End, Event, IceUrls, Request, RoomId, Transmit};
use std::collections::HashMap;
use std::future::pending;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep, timeout};
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
    fn ice(&self, local: Option<IpAddr>) -> Arc<IceUrls> {
        let mut known = self.ice.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(ice::urls(&self.config.ice, local));
        known.entry(local).or_insert_with(make).clone()
    }

    /// The shard that owns a room.
    fn shard_of(&self, room: &RoomId) -> usize {
        (self.hasher.hash_one(room) % self.shards.len() as u64) as usize
    }
}

/// Waits for a connection to become a WebSocket, and serves it until it ends.
///
/// `connection` is held as long: its place among the server's connections.
pub(crate) async fn run(
    edges: Arc<Edges>,
    connection: Option<Connection>,
    upgrade: OnUpgrade,
    stopping: watch::Receiver<bool>,
) {
    edges.counters.opened.fetch_add(1, Ordering::Relaxed);
    if let Ok(upgraded) = upgrade.await {
        let local = connection.as_ref().map(|connection| connection.local.ip());
        let socket = Socket::new(upgraded, edges.limits.frame_bytes_max).await;
        let edge = Task::new(&edges, local);
        let end = edge.serve(socket, stopping).await;
        edges.counters.count_end(end);
        debug!(?end, "the connection ended");
    }
    edges.counters.closed.fetch_add(1, Ordering::Relaxed);
}

struct Task<'a> {
    edges: &'a Edges,
    id: EdgeId,
    edge: signal_core::Edge,
    shard: usize,
    /// What a shard fills, once one was asked.
    inbox: Option<Inbox>,
}

impl<'a> Task<'a> {
    fn new(edges: &'a Edges, local: Option<IpAddr>) -> Self {
        let id = EdgeId(edges.last_edge.fetch_add(1, Ordering::Relaxed) + 1);
        let (now, limits) = (edges.clock.now().time, edges.limits.clone());
        let edge = signal_core::Edge::new(now, limits, edges.ice(local));
        Self { edges, id, edge, shard: 0, inbox: None }
    }

    /// Carries frames until the connection ends, then closes the socket.
    async fn serve(mut self, mut socket: Socket, mut stopping: watch::Receiver<bool>) -> End {
        let mut stop = pin!(async move { stopping.wait_for(|stopping| *stopping).await.is_ok() });
        let timer = pin!(sleep(self.edges.limits.hello_timeout));
        let mut alarm = Alarm::new(timer);
        let end = loop {
            self.pass_requests().await;
            self.fill(&mut socket);
            if let Some(end) = self.edge.ended() {
                break end;
            }
            let now = self.edges.clock.now().time;
            alarm.set(now, self.edge.poll_timeout());
            let (reads, takes) = (self.edge.wants_frames(), socket.takes_more());
            tokio::select! {
                event = socket.event(reads) => self.handle_socket(event),
                event = next(&mut self.inbox, takes) => self.handle_event(event),
                () = alarm.timer.as_mut() => {
                    alarm.is_off();
                    self.edge.handle_timeout(self.edges.clock.now().time);
                }
                _ = stop.as_mut() => self.edge.close(CloseCode::Shutdown),
            }
        };
        let close_timeout = self.edges.config.close_timeout;
        let closing = match end {
            End::Close(code) => timeout(close_timeout, socket.close(Some(code))).await,
            End::Closed => timeout(close_timeout, socket.close(None)).await,
            End::Broken => Ok(()),
        };
        if closing.is_err() {
            debug!("the client didn't take its close frame in time");
        }
        end
    }

    fn handle_socket(&mut self, event: SocketEvent) {
        let now = || self.edges.clock.now().time;
        match event {
            SocketEvent::Text(text) => self.edge.handle_text(now(), &text),
            SocketEvent::Binary => self.edge.handle_binary(now()),
            SocketEvent::SignOfLife => self.edge.handle_sign_of_life(now()),
            SocketEvent::Flushed => {}
            SocketEvent::Closed(code) => self.edge.handle_closed(code),
            SocketEvent::Wrong(code) => self.edge.close(code),
            SocketEvent::Broken => self.edge.handle_broken(),
        }
    }

    fn handle_event(&mut self, event: Event) {
        if let Event::Seated { peer } = &event {
            Span::current().record("peer", peer.as_str());
            debug!("seated");
        }
        self.edge.handle_event(event);
    }

    /// Hands the edge's requests to the shard. A full shard makes this edge wait, and no other.
    async fn pass_requests(&mut self) {
        while let Some(request) = self.edge.poll_request() {
            let outbox = match &request {
                Request::Join(join) => Some(self.go_to(&join.room)),
                Request::Resume(resume) => Some(self.go_to(&resume.name.room)),
                Request::Ack(_)
                | Request::Signal(_)
                | Request::Unreadable { .. }
                | Request::Leave(_)
                | Request::Detach(_) => None,
            };
            let message = Message { edge: self.id, request, outbox };
            if self.edges.shards[self.shard].send(message).await.is_err() {
                self.edge.close(CloseCode::Shutdown);
            }
        }
    }

    /// From now on this edge talks to the shard of this room.
    fn go_to(&mut self, room: &RoomId) -> Outbox {
        self.shard = self.edges.shard_of(room);
        Span::current().record("room", room.as_str());
        let (outbox, inbox) = outbox(self.edges.limits.transmits_max());
        self.inbox = Some(inbox);
        outbox
    }

    /// Moves frames to the socket while it takes more: the edge's own, then what the shard has
    /// queued.
    fn fill(&mut self, socket: &mut Socket) {
        while socket.takes_more() {
            match self.edge.poll_transmit() {
                Some(Transmit::Frame(frame)) => socket.send_text(&frame.text()),
                Some(Transmit::Refusal(code, frame)) => {
                    self.edges.counters.count_refusal(code);
                    debug!(%code, "refused");
                    socket.send_text(&frame);
                }
                Some(Transmit::Ping) => socket.send_ping(),
                None => match self.inbox.as_mut().and_then(Inbox::try_event) {
                    Some(event) => self.handle_event(event),
                    None => return,
                },
            }
        }
    }
}

/// The next event, if there is anybody to give one.
async fn next(inbox: &mut Option<Inbox>, take: bool) -> Event {
    match inbox {
        Some(inbox) => inbox.event(take).await,
        None => pending().await,
    }
}

/// A timer that is set anew only when it must ring earlier: most deadlines move on before they
/// come.
struct Alarm<'a> {
    timer: Pin<&'a mut Sleep>,
    at: Option<Time>,
}

impl<'a> Alarm<'a> {
    fn new(timer: Pin<&'a mut Sleep>) -> Self {
        Self { timer, at: None }
    }

    fn set(&mut self, now: Time, deadline: Option<Time>) {
        let Some(deadline) = deadline else { return };
        if self.at.is_none_or(|at| deadline < at) {
            self.timer.as_mut().reset(Instant::now() + deadline.since(now));
            self.at = Some(deadline);
        }
    }

    /// Takes note that it rang.
    fn is_off(&mut self) {
        self.at = None;
    }
}
