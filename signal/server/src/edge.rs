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
use signal_core::{Config, End, Event, Request, Session, SessionId, Transmit};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    pub(crate) last_session: AtomicU64,
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
        let edge = Edge::new(&edges, local);
        let end = edge.serve(socket, stopping).await;
        edges.counters.count_end(end);
        debug!(?end, "the session ended");
    }
    edges.counters.closed.fetch_add(1, Ordering::Relaxed);
}

struct Edge<'a> {
    edges: &'a Edges,
    id: SessionId,
    session: Session,
    shard: usize,
    outbox: Outbox,
    inbox: Inbox,
}

impl<'a> Edge<'a> {
    fn new(edges: &'a Edges, local: Option<IpAddr>) -> Self {
        let id = SessionId(edges.last_session.fetch_add(1, Ordering::Relaxed) + 1);
        let ice = ice::urls(&edges.config.ice, local);
        let session = Session::new(edges.clock.now().time, edges.limits.clone(), ice);
        let (outbox, inbox) = outbox(&edges.limits);
        Self { edges, id, session, shard: 0, outbox, inbox }
    }

    /// Carries frames until the session ends, then closes the socket.
    async fn serve(mut self, mut socket: Socket, mut stopping: watch::Receiver<bool>) -> End {
        let mut stop = pin!(async move { stopping.wait_for(|stopping| *stopping).await.is_ok() });
        let timer = pin!(sleep(self.edges.limits.hello_timeout));
        let mut alarm = Alarm::new(timer);
        let end = loop {
            self.pass_requests().await;
            self.fill(&mut socket);
            if let Some(end) = self.session.ended() {
                break end;
            }
            let now = self.edges.clock.now().time;
            alarm.set(now, self.session.poll_timeout());
            let (reads, takes) = (self.session.wants_frames(), socket.takes_more());
            tokio::select! {
                event = socket.event(reads) => self.handle_socket(event),
                event = self.inbox.event(takes) => self.handle_event(event),
                () = alarm.timer.as_mut() => {
                    alarm.is_off();
                    self.session.handle_timeout(self.edges.clock.now().time);
                }
                _ = stop.as_mut() => self.session.close(CloseCode::Shutdown),
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
            SocketEvent::Text(text) => self.session.handle_text(now(), &text),
            SocketEvent::Binary => self.session.handle_binary(now()),
            SocketEvent::SignOfLife => self.session.handle_sign_of_life(now()),
            SocketEvent::Flushed => {}
            SocketEvent::Closed => self.session.handle_closed(),
            SocketEvent::Wrong(code) => self.session.close(code),
            SocketEvent::Broken => self.session.handle_broken(),
        }
    }

    fn handle_event(&mut self, event: Event) {
        if let Event::Seated { peer, .. } = &event {
            Span::current().record("peer", peer.as_str());
            debug!("joined");
        }
        self.session.handle_event(event);
    }

    /// Hands the session's requests to the shard. A full shard makes this session wait, and no
    /// other.
    async fn pass_requests(&mut self) {
        while let Some(request) = self.session.poll_request() {
            let mut outbox = None;
            if let Request::Join(join) = &request {
                let hash = self.edges.hasher.hash_one(&join.room);
                self.shard = (hash % self.edges.shards.len() as u64) as usize;
                outbox = Some(self.outbox.clone());
                Span::current().record("room", join.room.as_str());
            }
            let message = Message { session: self.id, request, outbox };
            if self.edges.shards[self.shard].send(message).await.is_err() {
                self.session.close(CloseCode::Shutdown);
            }
        }
    }

    /// Moves frames to the socket while it takes more: the session's own, then what the shard has
    /// queued.
    fn fill(&mut self, socket: &mut Socket) {
        while socket.takes_more() {
            match self.session.poll_transmit() {
                Some(Transmit::Frame(frame)) => socket.send_text(&frame),
                Some(Transmit::Refusal(code, frame)) => {
                    self.edges.counters.count_refusal(code);
                    debug!(%code, "refused");
                    socket.send_text(&frame);
                }
                Some(Transmit::Ping) => socket.send_ping(),
                None => match self.inbox.try_event() {
                    Some(event) => self.handle_event(event),
                    None => return,
                },
            }
        }
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
