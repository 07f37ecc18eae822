//! What all edges share, and the ties of one edge to the shard of its room.

use crate::access::too_much;
use crate::admission::{Admission, Place, Refused, Wish, prefix};
use crate::auth::Auth;
use crate::checking::Checking;
use crate::client_address::client_address;
use crate::counters::EdgeCounters;
use crate::diagnosing::Diagnosing;
use crate::directory::Directory;
use crate::drain::Drain;
use crate::orders::Order;
use crate::outbox::{Inbox, Outbox, outbox};
use crate::shard::{Message, SharedCounts};
use crate::ticket_office::{Seeking, Tickets};
use crate::webhooks::Webhooks;
use crate::{Connection, SignalConfig, ice};
use ahash::RandomState;
use axum::body::Body;
use axum::http::{HeaderMap, Response};
use heliograph_base::{Clock, Time};
use signal_core::matchmaking::{Status, Ticket};
use signal_core::protocol::{CloseCode, ErrorCode};
use signal_core::{
    Config, Edge, EdgeId, Event, IceUrls, MatchLimits, Need, Request, Resume, RoomId,
};
use std::collections::HashMap;
use std::future::{pending, poll_fn};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, watch};
use tracing::{Span, debug};

/// What all edges share.
#[derive(Debug)]
pub(crate) struct Edges {
    pub(crate) config: SignalConfig,
    pub(crate) limits: Arc<Config>,
    pub(crate) matching: Arc<MatchLimits>,
    pub(crate) clock: Clock,
    pub(crate) shards: Vec<Lanes>,
    pub(crate) auth: Arc<Auth>,
    /// By shard: what an operator asks of it.
    pub(crate) orders: Vec<mpsc::Sender<Order>>,
    pub(crate) directory: Directory,
    pub(crate) tickets: Tickets,
    pub(crate) admission: Arc<Admission>,
    pub(crate) shard_counts: Arc<[SharedCounts]>,
    pub(crate) hasher: RandomState,
    pub(crate) counters: EdgeCounters,
    /// Turns true when the server ends. Each edge holds a receiver, so it is also known when all
    /// have ended.
    pub(crate) stopping: watch::Sender<bool>,
    /// Whether one of these two is about to tell of the end.
    pub(crate) is_ending: AtomicBool,
    /// The announced end, if there is one.
    pub(crate) draining: watch::Sender<Option<Arc<Drain>>>,
    pub(crate) last_edge: AtomicU64,
    /// The URLs for clients that reached each of our addresses, which share them.
    pub(crate) ice: Mutex<HashMap<Option<IpAddr>, Arc<IceUrls>>>,
    pub(crate) webhooks: Option<Webhooks>,
}

/// The ways to a shard: what sessions ask for, and who wants one (back).
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    pub(crate) begun: mpsc::Sender<Message>,
    pub(crate) resumes: mpsc::Sender<Message>,
    pub(crate) joins: mpsc::Sender<Message>,
}

/// Where a client is, and its place among the connections of its address.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The client's address.
    pub(crate) client: IpAddr,
    /// The address that it reached.
    pub(crate) local: Option<IpAddr>,
    /// Held as long as the connection.
    pub(crate) _place: Option<Place>,
}

impl Edges {
    /// The STUN and TURN servers for a client that reached us at `local`.
    pub(crate) fn ice(&self, local: Option<IpAddr>) -> Arc<IceUrls> {
        let mut known = self.ice.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(ice::urls(&self.config.ice, local));
        known.entry(local).or_insert_with(make).clone()
    }

    /// The address that a request really comes from.
    pub(crate) fn client(&self, connection: Option<&Connection>, headers: &HeaderMap) -> IpAddr {
        // Without a connection, as in a server of somebody else's, all count as one.
        let peer = connection.map_or(Ipv4Addr::UNSPECIFIED.into(), |known| known.peer.ip());
        match connection.is_some_and(|known| !known.may_forward) {
            true => peer.to_canonical(),
            false => client_address(peer, headers, &self.config.trusted_proxies),
        }
    }

    /// A place for one more connection of that address.
    ///
    /// # Errors
    /// The answer, if there is none.
    pub(crate) fn connect(
        &self,
        connection: Option<&Connection>,
        headers: &HeaderMap,
    ) -> Result<Origin, Box<Response<Body>>> {
        let client = self.client(connection, headers);
        let place = self.admission.connect(self.now(), client);
        let place = place.map_err(|refused| Box::new(too_much(refused)))?;
        let local = connection.map(|known| known.local.ip());
        Ok(Origin { client, local, _place: Some(place) })
    }

    /// Waits until the end is announced otherwise than the client was `told`, and it is the turn of
    /// one more client to be told.
    pub(crate) async fn goaway(&self, told: Option<Arc<Drain>>) -> Arc<Drain> {
        let mut draining = self.draining.subscribe();
        loop {
            let is_news = |drain: &Option<Arc<Drain>>| match (drain, &told) {
                (Some(drain), Some(told)) => !Arc::ptr_eq(drain, told),
                (Some(_), None) => true,
                (None, Some(_) | None) => false,
            };
            let drain = match draining.wait_for(is_news).await {
                Ok(drain) => drain.clone(),
                Err(_) => None,
            };
            let Some(drain) = drain else { return pending().await };
            // Boxed, so that clients who wait for it in vain don't hold room for its timers.
            let turn = Box::pin(async {
                tokio::select! {
                    () = drain.turn() => true,
                    _ = draining.changed() => false,
                }
            });
            if turn.await {
                return drain;
            }
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now().time
    }

    /// The shard that owns a room.
    pub(crate) fn shard_of(&self, room: &RoomId) -> usize {
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
    pub(crate) origin: Origin,
    shard: usize,
    /// The room that it was last about.
    pub(crate) room: Option<RoomId>,
    /// A token that is being checked, or whoever is asked.
    pub(crate) checking: Option<Box<Checking>>,
    /// What it waits for to tell how links are.
    pub(crate) diagnosing: Option<Box<Diagnosing>>,
    /// What a shard fills, once one was asked.
    inbox: Option<Inbox>,
    /// The client's ticket, while it waits.
    seeking: Option<Box<Seeking>>,
}

/// What a connection waits for beside its client.
#[derive(Debug)]
pub(crate) enum Turn {
    /// A shard has something for it.
    Event(Event),
    /// Something has become of its ticket.
    Ticket(Result<Status, Refused>),
}

impl Ties {
    /// The edge of a client that has yet to say hello.
    pub(crate) fn new(edges: &Arc<Edges>, origin: Origin) -> Self {
        let edge = Edge::new(edges.now(), edges.limits.clone(), edges.ice(origin.local));
        Self::of(edges, edge, origin)
    }

    /// The same, for a connection that takes tickets.
    pub(crate) fn with_matchmaking(edges: &Arc<Edges>, origin: Origin) -> Self {
        let edge = Edge::new(edges.now(), edges.limits.clone(), edges.ice(origin.local));
        Self::of(edges, edge.with_matchmaking(edges.matching.clone()), origin)
    }

    /// The edge of a client that has said which session is its own.
    pub(crate) fn resuming(edges: &Arc<Edges>, resume: Resume, origin: Origin) -> Self {
        Self::of(edges, Edge::resuming(edges.now(), edges.limits.clone(), resume), origin)
    }

    fn of(edges: &Arc<Edges>, edge: Edge, origin: Origin) -> Self {
        let id = EdgeId(edges.last_edge.fetch_add(1, Ordering::Relaxed) + 1);
        edges.counters.opened.fetch_add(1, Ordering::Relaxed);
        Self {
            edges: edges.clone(),
            edge,
            id,
            origin,
            shard: 0,
            room: None,
            checking: None,
            diagnosing: None,
            inbox: None,
            seeking: None,
        }
    }

    /// Hands the edge's requests to the shard. A full shard makes this edge wait, and no other; who
    /// wants in where there is no room is told when to come back.
    pub(crate) async fn pass_requests(&mut self) {
        while let Some(request) = self.edge.poll_request() {
            let Some(request) = self.check_first(request) else { continue };
            let wish = match request.need() {
                Need::Seat(join) => Some((Wish::Join, join.id)),
                Need::Session(resume) => Some((Wish::Resume, resume.id)),
                Need::Check(_) | Need::End | Need::Nothing => None,
            };
            let message = self.message(request);
            match wish {
                Some((wish, id)) => {
                    let admitted = self.admit(wish);
                    if let Some(refusal) = self.ask(wish, id, message, admitted) {
                        self.edge.handle_event(refusal);
                    }
                }
                None => {
                    // Boxed, so that connections don't hold room for what seldom has to wait.
                    if let Some(message) = self.pass(message) {
                        Box::pin(self.pass_later(message)).await;
                    }
                }
            }
        }
    }

    /// Hands the edge's ticket to who owns the tickets.
    pub(crate) async fn pass_ticket(&mut self) {
        let Some((id, ticket)) = self.edge.poll_ticket() else { return };
        // Boxed, so that connections without tickets don't hold room for it.
        let (edges, client) = (self.edges.clone(), self.origin.client);
        let sought = Box::pin(seek(edges, client, ticket)).await;
        match sought {
            Ok((status, seeking)) => {
                self.seeking = seeking.map(Box::new);
                self.edge.handle_ticket(self.edges.now(), &status);
            }
            Err(Refused { code, retry_after }) => {
                let retry_after = Some(retry_after);
                self.edge.handle_event(Event::Refused { code, text: None, id, retry_after });
            }
        }
    }

    /// Hands over a request of a session; gives it back if there is no room.
    fn pass(&mut self, message: Message) -> Option<Message> {
        match self.edges.shards[self.shard].begun.try_send(message) {
            Ok(()) => None,
            Err(mpsc::error::TrySendError::Full(message)) => Some(message),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.edge.close(CloseCode::Shutdown);
                None
            }
        }
    }

    /// The same, as soon as there is room.
    async fn pass_later(&mut self, message: Message) {
        if self.edges.shards[self.shard].begun.send(message).await.is_err() {
            self.edge.close(CloseCode::Shutdown);
        }
    }

    /// Whether it may have this now.
    pub(crate) fn admit(&self, wish: Wish) -> Result<(), Refused> {
        let draining = self.edges.draining.borrow().clone();
        match draining.filter(|_| wish == Wish::Join) {
            Some(drain) => Err(Refused { code: ErrorCode::Busy, retry_after: drain.left() }),
            None => self.edges.admission.admit(self.edges.now(), self.origin.client, wish),
        }
    }

    /// Puts a wish into its queue; the refusal, if there is one.
    pub(crate) fn ask(
        &mut self,
        wish: Wish,
        id: Option<u64>,
        message: Message,
        admitted: Result<(), Refused>,
    ) -> Option<Event> {
        use mpsc::error::TrySendError;
        let lanes = &self.edges.shards[self.shard];
        let lane = match wish {
            Wish::Join => &lanes.joins,
            Wish::Resume => &lanes.resumes,
            Wish::Renew => &lanes.begun,
        };
        let outcome = admitted.and_then(|()| match lane.try_send(message) {
            Err(TrySendError::Full(_)) => Err(self.edges.admission.turn(self.edges.now(), wish)),
            // The task ends by what its inbox says.
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
        });
        let refused = outcome.err()?;
        if wish != Wish::Renew {
            // Nobody fills it.
            self.inbox = None;
        }
        Some(refused.event(id))
    }

    /// The next event; with `take` false only that the connection is to end. May be dropped at any
    /// time.
    pub(crate) async fn event(&mut self, take: bool) -> Event {
        poll_fn(|cx| self.poll_event(cx, take)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, take: bool) -> Poll<Event> {
        loop {
            if let Some(inbox) = &mut self.inbox
                && let Poll::Ready(event) = inbox.poll_event(cx, take)
            {
                return Poll::Ready(event);
            }
            if take && let Poll::Ready(Some(diagnosis)) = self.poll_diagnosis(cx) {
                return Poll::Ready(diagnosis);
            }
            let Some(checking) = self.checking.as_deref_mut() else { return Poll::Pending };
            let checked = ready!(Pin::new(checking).poll(cx));
            self.checking = None;
            if let Some(refusal) = self.conclude(checked) {
                return Poll::Ready(refusal);
            }
        }
    }

    /// The next event, or what becomes of the ticket; likewise.
    pub(crate) async fn turn(&mut self, take: bool) -> Turn {
        match &mut self.seeking {
            Some(seeking) => Turn::Ticket(seeking.told().await),
            None => Turn::Event(self.event(take).await),
        }
    }

    pub(crate) fn handle_turn(&mut self, turn: Turn) {
        match turn {
            Turn::Event(event) => self.handle_event(event),
            Turn::Ticket(told) => {
                self.seeking = None;
                // The task that owns the tickets ends only when all does.
                let status = told.unwrap_or(Status::Cancelled);
                self.edge.handle_ticket(self.edges.now(), &status);
            }
        }
    }

    /// Cancels the ticket, if one waits.
    pub(crate) fn drop_ticket(&mut self) {
        self.seeking = None;
    }

    /// The next event, if there is one.
    pub(crate) fn try_event(&mut self) -> Option<Event> {
        self.inbox.as_mut()?.try_event()
    }

    pub(crate) fn handle_event(&mut self, event: Event) {
        if matches!(event, Event::Refused { .. }) && self.edge.peer().is_none() {
            // The shard that refused a seat has let go of its end; that isn't the shard's end.
            self.inbox = None;
        }
        if let Event::Seated { peer } = &event {
            Span::current().record("peer", peer.as_str());
            debug!("seated");
        }
        if let Event::Facts(facts) = event {
            return self.handle_facts(*facts);
        }
        self.edge.handle_event(event);
    }

    pub(crate) fn message(&mut self, mut request: Request) -> Message {
        if let Request::Join(join) = &mut request {
            // Whom a ban hits: who it is, if that is known, or else where it comes from.
            let subject = join.grant.as_ref().and_then(|grant| grant.subject.as_deref());
            let address = || format!("address {}", prefix(self.origin.client));
            let source = subject.map_or_else(address, |subject| format!("subject {subject}"));
            join.source = Some(source.into());
        }
        let outbox = match request.need() {
            Need::Seat(join) => Some(self.go_to(&join.room)),
            Need::Session(resume) => Some(self.go_to(&resume.name.room)),
            Need::Check(_) | Need::End | Need::Nothing => None,
        };
        Message { edge: self.id, request, outbox }
    }

    /// From now on this edge talks to the shard of this room.
    fn go_to(&mut self, room: &RoomId) -> Outbox {
        self.shard = self.edges.shard_of(room);
        self.room = Some(room.clone());
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
            if matches!(request.need(), Need::Seat(_) | Need::Check(_)) {
                // Nobody has checked its token, and nobody waits for it.
                continue;
            }
            let message = self.message(request);
            let shard = self.edges.shards[self.shard].begun.clone();
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

/// Puts a ticket among the others.
async fn seek(
    edges: Arc<Edges>,
    client: IpAddr,
    ticket: Ticket,
) -> Result<(Status, Option<Seeking>), Refused> {
    edges.admission.request(edges.now(), client)?;
    let draining = edges.draining.borrow().clone();
    if let Some(drain) = draining {
        return Err(Refused { code: ErrorCode::Busy, retry_after: drain.left() });
    }
    let place = edges.admission.ticket(edges.now(), client)?;
    edges.tickets.seek(ticket, place).await
}
