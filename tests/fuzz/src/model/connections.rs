//! Connections of TCP allocations with peers. RFC 6062.

use super::{Asked, Model, Place};
use crate::clients::{is_stream, may_be_peer};
use crate::read::{find, read};
use relay_core::wire::{Class, ConnectionId, Message, Method, TransactionId, attribute};
use relay_core::{At, PortId};
use std::net::SocketAddr;
use std::time::Duration;

/// RFC 6062 §5.2: "after 30 seconds".
const BIND_TIMEOUT: Duration = Duration::from_secs(30);

/// The most connections of one allocation.
pub(crate) const CONNECTIONS_MAX: usize = 3;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) port: PortId,
    peer: SocketAddr,
    is_asked_for: bool,
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Asked for by this Connect.
    Connecting(TransactionId),
    Unbound(Duration),
    /// Joined to the connection of this client.
    Bound(Place),
}

impl Connection {
    pub(super) const fn until(&self) -> Option<Duration> {
        match self.state {
            State::Unbound(until) => Some(until),
            State::Connecting(_) | State::Bound(_) => None,
        }
    }
}

impl Model {
    pub(super) fn connect(
        &mut self,
        asked: Asked<'_>,
        port: PortId,
        id: ConnectionId,
        peer: SocketAddr,
    ) {
        let request = asked.request(Method::Connect).expect("only Connect connects");
        let socket = self.ports[&port].socket;
        let allocation = &self.allocations[&self.ports[&port].allocation];
        assert!(socket.is_tcp && allocation.place == asked.place && allocation.user == asked.user);
        assert!(may_be_peer(peer), "{peer} is denied");
        assert_eq!(peer.is_ipv4(), socket.address.is_ipv4());
        let mut others = self.connections.values().filter(|other| other.port == port);
        assert!(!others.any(|other| other.is_asked_for && other.peer == peer), "twice to {peer}");
        let state = State::Connecting(request.transaction());
        self.add_connection(id, Connection { port, peer, is_asked_for: true, state });
    }

    fn add_connection(&mut self, id: ConnectionId, connection: Connection) {
        let port = connection.port;
        assert!(self.connections_of(port) < CONNECTIONS_MAX, "{port:?} has too many");
        assert_eq!(usize::from(id.worker().0), self.ports[&port].socket.worker);
        let before = self.connections.insert(id, connection);
        assert!(before.is_none(), "{id:?} is in use");
        self.connections_begun += 1;
    }

    fn connections_of(&self, port: PortId) -> usize {
        self.connections.values().filter(|connection| connection.port == port).count()
    }

    /// Takes note of the answer, or none, to what a shell tells of a connection it was to make.
    pub(crate) fn peer_connected(
        &mut self,
        now: Duration,
        id: ConnectionId,
        is_connected: bool,
        told: Option<(At, SocketAddr, &[u8])>,
    ) {
        let Some((connection, State::Connecting(transaction))) =
            self.connections.get_mut(&id).map(|connection| {
                let state = connection.state;
                (connection, state)
            })
        else {
            assert_eq!(told, None, "nobody asked for {id:?}");
            return;
        };
        let port = connection.port;
        connection.state = State::Unbound(now + BIND_TIMEOUT);
        if !is_connected {
            self.connections.remove(&id);
        }
        let (via, to, bytes) = told.expect("Connect is answered");
        assert!(self.is_owner(port, via, to), "{to} isn't the client of {port:?}");
        let answer = read(bytes);
        let class = if is_connected { Class::Success } else { Class::Error };
        assert_eq!((answer.class(), answer.method_number()), (class, Method::Connect.number()));
        assert_eq!(answer.transaction(), transaction);
        let value = is_connected.then(|| id.value());
        assert_eq!(find(&answer, attribute::CONNECTION_ID), value.as_ref().map(|it| &it[..]));
        assert!(answer.has_integrity());
    }

    /// Whether a peer may connect.
    pub(crate) fn may_accept(&self, now: Duration, port: PortId, peer: SocketAddr) -> bool {
        self.ports.get(&port).is_some_and(|it| it.socket.is_tcp)
            && self.may_talk(now, port, peer.ip())
            && may_be_peer(peer)
            && self.connections_of(port) < CONNECTIONS_MAX
    }

    /// Takes note of a connection from a peer and what the client is told.
    pub(crate) fn peer_accepted(
        &mut self,
        now: Duration,
        (port, peer): (PortId, SocketAddr),
        id: ConnectionId,
        (via, to, bytes): (At, SocketAddr, &[u8]),
    ) {
        let state = State::Unbound(now + BIND_TIMEOUT);
        self.add_connection(id, Connection { port, peer, is_asked_for: false, state });
        assert!(self.is_owner(port, via, to), "{to} isn't the client of {port:?}");
        let told: Message<'_> = read(bytes);
        let kind = (told.class(), told.method_number());
        assert_eq!(kind, (Class::Indication, Method::ConnectionAttempt.number()));
        assert_eq!(find(&told, attribute::CONNECTION_ID), Some(&id.value()[..]));
    }

    pub(super) fn splice(
        &mut self,
        now: Duration,
        asked: Asked<'_>,
        id: ConnectionId,
        client: Place,
    ) {
        let request = asked.request(Method::ConnectionBind).expect("only ConnectionBind binds");
        assert_eq!(find(&request, attribute::CONNECTION_ID), Some(&id.value()[..]));
        assert!(client == asked.place && is_stream(client));
        assert_eq!(self.at(id.worker().0.into(), client), None, "a control connection stays one");
        let connection = self.connections.get_mut(&id).expect("it is there");
        let until = connection.until().expect("it waits for it");
        assert!(now < until, "nobody came for {id:?} in time");
        let port = &self.ports[&connection.port];
        assert_eq!(self.allocations[&port.allocation].user, asked.user, "another user's");
        connection.state = State::Bound(client);
        self.step.spliced = Some(id);
    }

    pub(super) fn end_unbound(&mut self, now: Duration, port: PortId, id: ConnectionId) {
        let connection = self.connections.remove(&id).expect("it is there");
        assert_eq!(connection.port, port);
        assert!(connection.until().is_some_and(|until| until <= now), "{id:?} has time");
    }

    pub(crate) fn peer_closed(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// Every connection that there is, in order.
    pub(crate) fn connections(&self) -> Vec<(ConnectionId, State)> {
        self.connections.iter().map(|(id, connection)| (*id, connection.state)).collect()
    }
}
