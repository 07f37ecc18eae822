//! TCP allocations: a client's connections with its peers. RFC 6062.
//!
//! Here is decided which connections there may be; the shell makes and accepts them, and joins
//! each to the client's data connection. Their bytes don't come here.

use super::answer::{Allocated, Success};
use super::credentials::User;
use super::request::Request;
use super::stock::Family;
use super::table::Slot;
use super::{Client, Server};
use crate::config::CONNECTION_BIND_TIMEOUT;
use crate::wire::{Class, ConnectionId, ErrorCode, Method, TransactionId, Writer, attribute};
use crate::{At, Effect, PortId, Reason, Scratch, Transmit, Verdict, WorkerId};
use ahash::RandomState;
use heliograph_base::{Now, Time};
use std::collections::HashMap;
use std::net::SocketAddr;

/// The peer connections of all TCP allocations of a worker.
#[derive(Debug)]
pub(super) struct Connections {
    worker: WorkerId,
    by_id: HashMap<ConnectionId, Connection, RandomState>,
    /// No later than the first end of those that wait for ConnectionBind.
    deadline: Option<Time>,
    made: u64,
    hasher: RandomState,
}

#[derive(Debug)]
struct Connection {
    slot: Slot,
    peer: SocketAddr,
    /// Whether the client asked for it by Connect; otherwise the peer made it.
    is_asked_for: bool,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The shell tries to make it, for this request.
    Connecting(Asked),
    /// It waits for a ConnectionBind.
    Unbound { until: Time },
    /// The client's data connection is joined to it.
    Bound,
}

/// What is kept of a Connect request for its answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    transaction: TransactionId,
    sha256: bool,
    fingerprint: bool,
}

impl Connections {
    pub(super) fn new(worker: WorkerId, hasher: &RandomState) -> Self {
        let by_id = HashMap::with_hasher(hasher.clone());
        Self { worker, by_id, deadline: None, made: 0, hasher: hasher.clone() }
    }

    pub(super) const fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    fn add(&mut self, connection: Connection) -> ConnectionId {
        let id = loop {
            self.made += 1;
            // Not to be guessed from the one before.
            let number = self.hasher.hash_one((self.made, "connection")) as u32;
            let id = ConnectionId::new(self.worker, number);
            if !self.by_id.contains_key(&id) {
                break id;
            }
        };
        self.by_id.insert(id, connection);
        id
    }

    fn unbound(&mut self, now: Now) -> State {
        let until = now.time + CONNECTION_BIND_TIMEOUT;
        self.deadline = Some(self.deadline.unwrap_or(until));
        State::Unbound { until }
    }

    /// Those that nobody bound in time, all at once.
    fn expired(&mut self, now: Time) -> Vec<ConnectionId> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        let waiting = self.by_id.iter().filter_map(|(id, connection)| match connection.state {
            State::Unbound { until } => Some((until, *id)),
            State::Connecting(_) | State::Bound => None,
        });
        let (over, waiting): (Vec<_>, Vec<_>) = waiting.partition(|(until, _)| *until <= now);
        self.deadline = waiting.into_iter().map(|(until, _)| until).min();
        over.into_iter().map(|(_, id)| id).collect()
    }
}

impl Server {
    /// RFC 6062 §5.1.
    pub(super) fn allocate_tcp(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Success, ErrorCode> {
        if !self.tcp_stock.was_filled() {
            return Err(ErrorCode::UnsupportedTransportProtocol);
        }
        let fields = &request.fields;
        // "If the client connection transport is not TCP or TLS, the server MUST reject the request
        // with a 400 (Bad Request) error." and "If the request contains the DONT-FRAGMENT,
        // EVEN-PORT, or RESERVATION-TOKEN attribute, the server MUST reject the request with a 400
        // (Bad Request) error."
        let contradicts = !self.listener(request.client.listener).transport.is_stream()
            || fields.dont_fragment.is_some()
            || fields.even_port.is_some()
            || fields.reservation_token.is_some()
            || fields.additional_family.is_some();
        if contradicts {
            return Err(ErrorCode::BadRequest);
        }
        // By streams nobody gets a ticket.
        self.wants_ticket(request)?;
        let wanted = self.wanted_port(request)?;
        let lifetime_s = self.lifetime_s(request)?;
        let stocked = self.in_place(request, user, |server| {
            server.tcp_stock.take(wanted).ok_or(ErrorCode::InsufficientCapacity)
        })?;
        let answer = Allocated::one(stocked.advertised, lifetime_s);
        self.begin_allocation(request, user, stocked, answer, Some(Vec::new()));
        Ok(Success::Allocated(answer))
    }

    /// RFC 6062 §5.2. The answer comes when the connection is there, or can't be.
    pub(super) fn connect(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Success, ErrorCode> {
        let slot = self.own_allocation(request, user)?;
        let allocation = self.table.get(slot);
        let Some(connections) = &allocation.connections else {
            return Err(ErrorCode::AllocationMismatch);
        };
        let peer = request.peer().map_err(|_| ErrorCode::BadRequest)?;
        if Family::of(peer.ip()) != Family::of(allocation.relayed.ip()) {
            return Err(ErrorCode::PeerAddressFamilyMismatch);
        }
        // "If the new connection is forbidden by local policy, the server MUST reject the request
        // with a 403 (Forbidden) error."
        if !self.config.policy.permits(peer.ip()) || self.is_denied_peer(peer) {
            return Err(ErrorCode::Forbidden);
        }
        // "If the server is currently processing a Connect request for this allocation with the
        // same XOR-PEER-ADDRESS, it MUST return a 446 (Connection Already Exists) error." The same
        // once it is made. A connection that the peer made is another one.
        if self.has_connected_to(connections, peer) {
            return Err(ErrorCode::ConnectionAlreadyExists);
        }
        let (port, is_full) =
            (allocation.port, connections.len() >= self.config.tcp_connections_max);
        if is_full || !self.table.take_peers(request.now.time, slot, 1) {
            return Err(ErrorCode::InsufficientCapacity);
        }
        let state = State::Connecting(Asked {
            transaction: request.transaction(),
            sha256: request.wants_sha256(),
            fingerprint: request.message.has_fingerprint(),
        });
        let connection = self.add_connection(Connection { slot, peer, is_asked_for: true, state });
        self.effects.push_back(Effect::Connect { port, connection, peer });
        Ok(Success::Later)
    }

    /// RFC 6062 §5.4.
    pub(super) fn bind_connection(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Success, ErrorCode> {
        let is_stream = self.listener(request.client.listener).transport.is_stream();
        // A control connection stays one.
        if !is_stream || self.table.of_client(request.client).is_some() {
            return Err(ErrorCode::BadRequest);
        }
        let value = request.fields.connection.ok_or(ErrorCode::BadRequest)?;
        let id = ConnectionId::from_value(value).ok_or(ErrorCode::BadRequest)?;
        // "if this attribute does not refer to an existing pending connection, the server MUST
        // return a 400 (Bad Request) error."
        let connection = self.connections.by_id.get_mut(&id).ok_or(ErrorCode::BadRequest)?;
        match connection.state {
            State::Unbound { .. } => {}
            State::Connecting(_) | State::Bound => return Err(ErrorCode::BadRequest),
        }
        let allocation = self.table.get(connection.slot);
        if *allocation.record.user != *user.name {
            return Err(ErrorCode::WrongCredentials);
        }
        connection.state = State::Bound;
        let Client { listener, address: client } = request.client;
        let port = allocation.port;
        self.effects.push_back(Effect::Splice { port, connection: id, listener, client });
        Ok(Success::Bound)
    }

    /// Takes note of what became of an [`Effect::Connect`], and answers the client. Unless it is
    /// connected and the verdict is to send, the shell closes the connection.
    pub fn handle_peer_connected<'a>(
        &mut self,
        now: Now,
        connection: ConnectionId,
        is_connected: bool,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        self.end_expired(now);
        let verdict = match self.connections.by_id.get(&connection) {
            Some(&Connection { slot, state: State::Connecting(asked), .. }) => {
                self.answer_connect(now, connection, (slot, asked, is_connected), scratch)
            }
            Some(_) | None => Verdict::Drop(Reason::NoAllocation),
        };
        self.count_drop(&verdict);
        verdict
    }

    /// Takes a connection from a peer to the relay port of a TCP allocation, and gives its id and
    /// what tells the client of it.
    ///
    /// # Errors
    /// Why not; the shell closes it then. RFC 6062 §5.3: "If no permission for this peer has been
    /// installed for this allocation, the server MUST close the connection with the peer
    /// immediately after it has been accepted."
    pub fn handle_peer_accepted<'a>(
        &mut self,
        now: Now,
        port: PortId,
        peer: SocketAddr,
        scratch: &'a mut Scratch,
    ) -> Result<(ConnectionId, Transmit<'a>), Reason> {
        self.end_expired(now);
        let peer = SocketAddr::new(peer.ip(), peer.port()); // without the scope of IPv6
        let (slot, client) = self.may_accept(now, port, peer).inspect_err(|reason| {
            self.counters.count_drop(*reason);
        })?;
        let state = self.connections.unbound(now);
        let connection = Connection { slot, peer, is_asked_for: false, state };
        let id = self.add_connection(connection);
        let transaction = self.next_transaction();
        let (class, method) = (Class::Indication, Method::ConnectionAttempt);
        let mut writer = Writer::new(&mut scratch.bytes, class, method, transaction);
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        writer.attribute(attribute::CONNECTION_ID, &id.value());
        Ok((id, to_client(client, writer)))
    }

    /// Takes note that a connection with a peer is closed.
    pub fn handle_peer_closed(&mut self, now: Now, connection: ConnectionId) {
        self.end_expired(now);
        self.remove_connection(connection);
    }

    /// Ends connections that nobody bound. RFC 6062 §5.2: "If no ConnectionBind request associated
    /// with this peer data connection is received after 30 seconds, the peer data connection MUST
    /// be closed."
    pub(super) fn end_unbound(&mut self, now: Now) {
        for connection in self.connections.expired(now.time) {
            if let Some(slot) = self.remove_connection(connection) {
                let port = self.table.get(slot).port;
                self.effects.push_back(Effect::ClosePeer { port, connection });
            }
        }
    }

    /// Forgets the connections of an ended allocation: they are closed with its port.
    pub(super) fn forget_connections(&mut self, connections: &[ConnectionId]) {
        for id in connections {
            self.connections.by_id.remove(id);
        }
        self.counters.peer_connections_ended += connections.len() as u64;
    }

    fn answer_connect<'a>(
        &mut self,
        now: Now,
        id: ConnectionId,
        (slot, asked, is_connected): (Slot, Asked, bool),
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let allocation = self.table.get(slot);
        let (client, key) = (allocation.client, allocation.record.key);
        let class = if is_connected { Class::Success } else { Class::Error };
        let mut writer = Writer::new(&mut scratch.bytes, class, Method::Connect, asked.transaction);
        if is_connected {
            writer.attribute(attribute::CONNECTION_ID, &id.value());
            self.counters.count_success();
            let state = self.connections.unbound(now);
            if let Some(connection) = self.connections.by_id.get_mut(&id) {
                connection.state = state;
            }
        } else {
            let code = ErrorCode::ConnectionTimeoutOrFailure;
            writer.error_code(code, code.phrase());
            self.counters.count_error(code);
            self.remove_connection(id);
        }
        self.write_software(&mut writer);
        if asked.sha256 {
            writer.integrity_sha256(&key);
        } else {
            writer.integrity(&key);
        }
        if asked.fingerprint {
            writer.fingerprint();
        }
        Verdict::Send(to_client(client, writer))
    }

    fn may_accept(
        &self,
        now: Now,
        port: PortId,
        peer: SocketAddr,
    ) -> Result<(Slot, Client), Reason> {
        let slot = self.table.of_port(port).ok_or(Reason::NoAllocation)?;
        let allocation = self.table.get(slot);
        let connections = allocation.connections.as_deref().ok_or(Reason::NoAllocation)?;
        let permission = allocation.peers.permission(now.time, peer.ip());
        if !permission.ok_or(Reason::NoPermission)?.on_network || self.is_denied_peer(peer) {
            return Err(Reason::PeerDenied);
        }
        // Even if the client asks for one to the same peer at the same time: that one fails then.
        if connections.len() >= self.config.tcp_connections_max {
            return Err(Reason::Connections);
        }
        Ok((slot, allocation.client))
    }

    fn has_connected_to(&self, connections: &[ConnectionId], peer: SocketAddr) -> bool {
        let mut all = connections.iter().filter_map(|id| self.connections.by_id.get(id));
        all.any(|connection| connection.is_asked_for && connection.peer == peer)
    }

    fn add_connection(&mut self, connection: Connection) -> ConnectionId {
        let slot = connection.slot;
        let id = self.connections.add(connection);
        self.table.get_mut(slot).connections.get_or_insert_default().push(id);
        self.counters.peer_connections_begun += 1;
        id
    }

    fn remove_connection(&mut self, id: ConnectionId) -> Option<Slot> {
        let slot = self.connections.by_id.remove(&id)?.slot;
        if let Some(connections) = &mut self.table.get_mut(slot).connections {
            connections.retain(|other| *other != id);
        }
        self.counters.peer_connections_ended += 1;
        Some(slot)
    }
}

fn to_client(client: Client, writer: Writer<'_>) -> Transmit<'_> {
    Transmit {
        via: At::Listener(client.listener),
        to: client.address,
        head: writer.finish(),
        body: &[],
        pad: 0,
        dont_fragment: false,
    }
}
