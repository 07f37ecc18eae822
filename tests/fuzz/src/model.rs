//! What clients may do, kept the naive way beside the relay: which ports they have and until when,
//! and which peers they may reach. In the files beside: the connections of TCP allocations, moves
//! to other addresses, quotas, reservations and what was revoked.

mod connections;
mod moves;
mod quotas;
mod reservations;
mod revocations;

pub(crate) use connections::{CONNECTIONS_MAX, State};
pub(crate) use moves::REDIRECTS_MAX;
pub(crate) use quotas::limit;
pub(crate) use reservations::RESERVATIONS_MAX;

use crate::clients::{has_expired, holder, is_stream, source};
use crate::read::{addresses, error_number, find, is_data, read};
use crate::world::{Event, Socket, World};
use connections::Connection;
use moves::{LastMove, Redirect};
use relay_core::wire::{Class, ConnectionId, Message, Method, TransactionId, attribute};
use relay_core::{At, Effect, PortId, ReservationToken, Revoke};
use reservations::Reservation;
use revocations::Revoked;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where a client is: its listener's number and its address.
pub(crate) type Place = (u16, SocketAddr);

/// RFC 8656 §9: "The permission lifetime MUST be 300 seconds".
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// The lifetimes that the relay gives, in seconds.
const LIFETIMES_S: (u32, u32) = (600, 3600);

/// Why the relay does something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause<'a> {
    /// Time went on, or something came that begins and ends nothing.
    Time,
    /// A client asked for it.
    Asked(Asked<'a>),
    /// A client's stream ended.
    Gone(Place),
    /// Credentials were taken back.
    Revoked(&'a Revoke),
}

/// A client's message, with the user who signs at that client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) place: Place,
    pub(crate) user: &'static str,
    pub(crate) bytes: &'a [u8],
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    allocations: BTreeMap<Number, Allocation>,
    made: Number,
    ports: BTreeMap<PortId, Port>,
    connections: BTreeMap<ConnectionId, Connection>,
    connections_begun: u64,
    /// Whose each ticket is, dead or alive; and all of them in order.
    tickets: HashMap<Vec<u8>, Number>,
    ticket_list: Vec<Vec<u8>>,
    moves: u64,
    redirects: HashMap<(usize, Place), Redirect>,
    reservations: HashMap<ReservationToken, Reservation>,
    tokens: Vec<ReservationToken>,
    revoked: Vec<Revoked>,
    revoked_halves: u64,
    step: Step,
}

/// An allocation, never used again.
type Number = u64;

#[derive(Debug)]
struct Allocation {
    worker: usize,
    place: Place,
    /// Another address of its client, which has sent no data yet.
    alias: Option<Place>,
    user: &'static str,
    source: u128,
    transaction: Option<TransactionId>,
    /// The last ticket.
    ticket: Option<Vec<u8>>,
    last_move: Option<LastMove>,
    /// When a permission was last granted by the client's request.
    granted: HashMap<IpAddr, Duration>,
}

#[derive(Debug)]
struct Port {
    allocation: Number,
    socket: Socket,
    /// Told by the answer.
    expires: Option<Duration>,
}

/// What came of the last message.
#[derive(Debug, Default)]
struct Step {
    taken: Vec<PortId>,
    closed: usize,
    reserved: Option<ReservationToken>,
    adopted: Option<ReservationToken>,
    spliced: Option<ConnectionId>,
}

impl<'a> Asked<'a> {
    /// The message, if it is a request with this method.
    fn request(&self, method: Method) -> Option<Message<'a>> {
        let message = Message::parse(self.bytes).ok()?;
        let is_it = message.class() == Class::Request;
        (is_it && message.method_number() == method.number()).then_some(message)
    }
}

impl Allocation {
    fn has(&self, worker: usize, place: Place) -> bool {
        self.worker == worker && (self.place == place || self.alias == Some(place))
    }
}

impl Model {
    /// Takes note of what the relay wants done.
    pub(crate) fn note(&mut self, now: Duration, cause: Cause<'_>, events: &[Event]) {
        self.step = Step::default();
        for event in events {
            let asked = || match cause {
                Cause::Asked(asked) => asked,
                Cause::Time | Cause::Gone(_) | Cause::Revoked(_) => {
                    panic!("only who asks gets something: {event:?}")
                }
            };
            match event.effect {
                Effect::PortTaken(port) => self.take(now, asked(), event, port),
                Effect::ClosePort(port) => self.close(now, cause, port),
                Effect::PortReserved { token, .. } => self.reserve(now, asked(), event, token),
                Effect::PortAdopted { token, .. } => self.adopt(now, asked(), token),
                Effect::ReservationEnded(token) => self.end_reservation(now, event.worker, token),
                Effect::Connect { port, connection, peer } => {
                    self.connect(asked(), port, connection, peer);
                }
                Effect::Splice { connection, listener, client, .. } => {
                    self.splice(now, asked(), connection, (listener.0, client));
                }
                Effect::ClosePeer { port, connection } => {
                    self.end_unbound(now, port, connection);
                }
            }
        }
    }

    fn take(&mut self, now: Duration, asked: Asked<'_>, event: &Event, port: PortId) {
        let Asked { place, user, .. } = asked;
        let socket = event.port.expect("it has a socket");
        let mut others = self.ports.values().map(|other| other.socket);
        let is_owned = others.any(|it| (it.address, it.is_tcp) == (socket.address, socket.is_tcp));
        assert!(!is_owned, "{} has two owners", socket.address);
        assert!(asked.request(Method::Allocate).is_some(), "only Allocate takes ports");
        assert!(!has_expired(user, now.as_secs()), "{user} has no credentials any more");
        assert!(!self.is_revoked(event.worker, user), "the credentials of {user} are revoked");
        let quota = self.quota(user, source(place.1.ip()));
        assert_eq!(quota, Ok(()), "{user} gets more than it may");
        let allocation = match self.at(event.worker, place) {
            None => {
                assert!(self.step.taken.is_empty(), "both halves have one client");
                self.begin(event.worker, asked)
            }
            Some(known) => {
                assert_eq!(self.step.taken.len(), 1, "{place:?} has an allocation");
                let first = &self.ports[&self.step.taken[0]];
                assert_eq!(first.allocation, known, "{place:?} has an allocation");
                let families = [first.socket, socket].map(|socket| socket.address.is_ipv4());
                assert_eq!(families, [true, false], "one of each family");
                assert!(!first.socket.is_tcp && !socket.is_tcp, "TCP isn't dual");
                known
            }
        };
        self.step.taken.push(port);
        let before = self.ports.insert(port, Port { allocation, socket, expires: None });
        assert!(before.is_none(), "{port:?} is taken");
    }

    fn begin(&mut self, worker: usize, asked: Asked<'_>) -> Number {
        self.made += 1;
        let allocation = Allocation {
            worker,
            place: asked.place,
            alias: None,
            user: asked.user,
            source: source(asked.place.1.ip()),
            transaction: None,
            ticket: None,
            last_move: None,
            granted: HashMap::new(),
        };
        self.allocations.insert(self.made, allocation);
        self.made
    }

    fn close(&mut self, now: Duration, cause: Cause<'_>, port: PortId) {
        let Some(closed) = self.ports.get(&port) else {
            // The half of a pair that the stock has no use for.
            assert!(matches!(cause, Cause::Asked(_)), "{port:?} is closed and has no owner");
            return;
        };
        let number = closed.allocation;
        let allocation = &self.allocations[&number];
        let is_over = closed.expires.is_some_and(|expires| expires <= now);
        self.step.closed += usize::from(!is_over);
        let is_meant = match cause {
            Cause::Time => false,
            Cause::Asked(asked) => self.says_farewell(number, asked),
            Cause::Gone(place) => allocation.place == place,
            Cause::Revoked(revoke) => revocations::is_meant(revoke, allocation.user),
        };
        assert!(is_over || is_meant, "{port:?} is closed before its end: {cause:?}");
        self.ports.remove(&port);
        self.connections.retain(|_, connection| connection.port != port);
        if !self.ports.values().any(|other| other.allocation == number) {
            self.allocations.remove(&number);
        }
    }

    fn says_farewell(&self, number: Number, asked: Asked<'_>) -> bool {
        let Some(request) = asked.request(Method::Refresh) else {
            return false;
        };
        let allocation = &self.allocations[&number];
        let is_its = match find(&request, attribute::MOBILITY_TICKET) {
            None => allocation.has(allocation.worker, asked.place),
            Some(ticket) => self.may_move(number, asked.place, ticket),
        };
        let is_farewell = find(&request, attribute::LIFETIME) == Some(&[0; 4]);
        is_farewell && is_its && allocation.user == asked.user
    }

    /// Takes note of data from a client, after what the relay did.
    pub(crate) fn note_data(&mut self, worker: usize, asked: Asked<'_>) {
        let Some(number) = self.at(worker, asked.place) else {
            return;
        };
        let is_tcp = self.halves(number).any(|(_, port)| port.socket.is_tcp);
        let is_channel = asked.bytes.first().is_some_and(|first| first >> 6 == 1);
        if is_data(asked.bytes) && (is_channel || !is_tcp) {
            self.end_move(number, asked.place);
        }
    }

    /// Takes note of an answer to a client of `worker`.
    pub(crate) fn note_answer(
        &mut self,
        now: Duration,
        (worker, asked): (usize, Asked<'_>),
        answer: &Message<'_>,
    ) {
        let request = read(asked.bytes);
        let method = Method::from_number(request.method_number()).expect("it is answered");
        let class = answer.class();
        if class == Class::Error {
            return self.note_error(worker, asked, (method, error_number(answer)));
        }
        match method {
            Method::Allocate => self.allocated(now, (worker, asked), &request, answer),
            Method::Refresh => self.refreshed(now, (worker, asked), &request, answer),
            Method::CreatePermission | Method::ChannelBind => {
                self.grant(now, (worker, asked), &request, method);
            }
            Method::ConnectionBind => {
                let id = find(&request, attribute::CONNECTION_ID);
                let id = id.and_then(ConnectionId::from_value);
                assert!(id.is_some() && id == self.step.spliced, "it was joined");
            }
            Method::Binding => {}
            Method::Connect | Method::Send | Method::Data | Method::ConnectionAttempt => {
                panic!("{method:?} has no success at once")
            }
        }
    }

    fn note_error(&self, worker: usize, asked: Asked<'_>, (method, code): (Method, u16)) {
        if method != Method::Allocate {
            return;
        }
        assert!(self.step.taken.is_empty(), "{code}, and ports are taken");
        let is_revoked = self.is_revoked(worker, asked.user);
        assert!(code != 403 || is_revoked, "{} isn't revoked", asked.user);
        let quota = self.quota(asked.user, source(asked.place.1.ip()));
        assert!(code != 486 || quota == Err(486), "{} may have more", asked.user);
    }

    fn allocated(
        &mut self,
        now: Duration,
        (worker, asked): (usize, Asked<'_>),
        request: &Message<'_>,
        answer: &Message<'_>,
    ) {
        let number = self.at(worker, asked.place).expect("who is answered has it");
        let allocation = self.allocations.get_mut(&number).expect("it is there");
        assert_eq!(allocation.user, asked.user, "another user's");
        if self.step.taken.is_empty() {
            let same = allocation.transaction == Some(request.transaction());
            assert!(same, "only a retransmission gets the same again");
            return;
        }
        allocation.transaction = Some(request.transaction());
        let lifetime = self.lifetime(request, answer);
        let relayed: Vec<_> = addresses(answer, attribute::XOR_RELAYED_ADDRESS).collect();
        let taken = self.step.taken.clone();
        let taken: Vec<_> = taken.iter().map(|port| self.ports[port].socket.address).collect();
        assert_eq!(relayed, taken, "the client is told what it has");
        for port in &self.step.taken {
            self.ports.get_mut(port).expect("just taken").expires = Some(now + lifetime);
        }
        let wants_even = find(request, attribute::EVEN_PORT).is_some();
        assert!(!wants_even || relayed[0].port().is_multiple_of(2), "even");
        let told = find(answer, attribute::RESERVATION_TOKEN);
        assert_eq!(told, self.step.reserved.as_ref().map(|token| &token.0[..]));
        let shown = find(request, attribute::RESERVATION_TOKEN);
        assert_eq!(shown, self.step.adopted.as_ref().map(|token| &token.0[..]));
        let ticket = find(answer, attribute::MOBILITY_TICKET);
        let wants_ticket = find(request, attribute::MOBILITY_TICKET) == Some(&[]);
        assert!(ticket.is_some() == wants_ticket && (!wants_ticket || !is_stream(asked.place)));
        if let Some(ticket) = ticket {
            self.add_ticket(number, ticket);
        }
    }

    fn refreshed(
        &mut self,
        now: Duration,
        (worker, asked): (usize, Asked<'_>),
        request: &Message<'_>,
        answer: &Message<'_>,
    ) {
        if find(request, attribute::LIFETIME) == Some(&[0; 4]) {
            assert!(self.step.closed > 0, "a farewell ends something");
            return;
        }
        assert!(!has_expired(asked.user, now.as_secs()), "{asked:?} has no credentials any more");
        let lifetime = self.lifetime(request, answer);
        let number = match find(request, attribute::MOBILITY_TICKET) {
            None => self.at(worker, asked.place),
            Some(ticket) => Some(self.moved(worker, asked, (ticket, request), answer)),
        };
        let number = number.expect("who is answered has it");
        assert_eq!(self.allocations[&number].user, asked.user, "another user's");
        let family = find(request, attribute::REQUESTED_ADDRESS_FAMILY).map(|value| value[0]);
        for port in self.ports.values_mut().filter(|port| port.allocation == number) {
            let is_v4 = port.socket.address.is_ipv4();
            if family.is_none_or(|family| (family == 1) == is_v4) {
                port.expires = Some(now + lifetime);
            }
        }
    }

    fn lifetime(&self, request: &Message<'_>, answer: &Message<'_>) -> Duration {
        let seconds = |message| {
            let value = find(message, attribute::LIFETIME)?;
            Some(u32::from_be_bytes(value.try_into().expect("4 bytes")))
        };
        let told = seconds(answer).expect("the client is told");
        let asked = seconds(request).unwrap_or(0);
        assert_eq!(told, asked.clamp(LIFETIMES_S.0, LIFETIMES_S.1));
        Duration::from_secs(told.into())
    }

    fn grant(
        &mut self,
        now: Duration,
        (worker, asked): (usize, Asked<'_>),
        request: &Message<'_>,
        method: Method,
    ) {
        let number = self.at(worker, asked.place).expect("who is answered has it");
        let allocation = self.allocations.get_mut(&number).expect("it is there");
        assert_eq!(allocation.user, asked.user, "another user's");
        // Of a channel the first counts.
        let count = if method == Method::ChannelBind { 1 } else { usize::MAX };
        let peers = addresses(request, attribute::XOR_PEER_ADDRESS).take(count);
        allocation.granted.extend(peers.map(|peer| (peer.ip(), now)));
    }

    /// The allocation that a worker has for a client.
    fn at(&self, worker: usize, place: Place) -> Option<Number> {
        let mut all = self.allocations.iter();
        all.find(|(_, allocation)| allocation.has(worker, place)).map(|(number, _)| *number)
    }

    fn halves(&self, number: Number) -> impl Iterator<Item = (&PortId, &Port)> {
        self.ports.iter().filter(move |(_, port)| port.allocation == number)
    }

    pub(crate) fn live(&self) -> usize {
        self.ports.len()
    }

    /// The live ports of one transport, in order.
    pub(crate) fn ports(&self, is_tcp: bool) -> Vec<PortId> {
        let ports = self.ports.iter().filter(|(_, port)| port.socket.is_tcp == is_tcp);
        ports.map(|(port, _)| *port).collect()
    }

    /// The live UDP port with this address.
    pub(crate) fn port_at(&self, relayed: SocketAddr) -> Option<PortId> {
        let is_it = |port: &Port| !port.socket.is_tcp && port.socket.address == relayed;
        self.ports.iter().find(|(_, port)| is_it(port)).map(|(port, _)| *port)
    }

    /// Whether packets may go between the allocation with `port` and `peer`.
    pub(crate) fn may_talk(&self, now: Duration, port: PortId, peer: IpAddr) -> bool {
        let Some(port) = self.ports.get(&port) else {
            return false;
        };
        let granted = self.allocations[&port.allocation].granted.get(&peer);
        let is_granted = granted.is_some_and(|at| now < *at + PERMISSION_LIFETIME);
        is_granted && port.socket.address.is_ipv4() == peer.is_ipv4()
    }

    /// Whether what is for the client that owns `port` goes by this socket to this address.
    pub(crate) fn is_owner(&self, port: PortId, via: At, to: SocketAddr) -> bool {
        let Some(port) = self.ports.get(&port) else {
            return false;
        };
        let place = self.allocations[&port.allocation].place;
        matches!(via, At::Listener(at) if at.0 == place.0) && place.1 == to
    }

    /// Whether `worker` serves a client at `place`, whose port this is.
    pub(crate) fn may_send(&self, worker: usize, place: Place, port: PortId) -> bool {
        let port = self.ports.get(&port);
        port.is_some_and(|port| self.allocations[&port.allocation].has(worker, place))
    }

    /// The UDP ports of the client that `worker` serves at `place`.
    pub(crate) fn ports_of(&self, worker: usize, place: Place) -> Vec<(PortId, SocketAddr)> {
        let Some(number) = self.at(worker, place) else {
            return Vec::new();
        };
        let halves = self.halves(number).filter(|(_, port)| !port.socket.is_tcp);
        halves.map(|(id, port)| (*id, port.socket.address)).collect()
    }

    /// What holds between two steps: the relay has what it should have, its counters say so, and
    /// nothing outlives its end.
    pub(crate) fn check(&self, world: &World) {
        for (number, server) in world.servers.iter().enumerate() {
            let of_worker = self.ports.values().filter(|port| port.socket.worker == number);
            assert_eq!(server.counters().allocations_live(), of_worker.count() as u64);
            let Some(due) = self.due(number) else {
                continue;
            };
            let timeout = server.poll_timeout().expect("something has to end");
            assert!(timeout.since_start() <= due, "the shell is called too late");
            assert!(!world.is_awake[number] || world.elapsed < due, "it outlives its end");
        }
        for port in self.ports.values().filter(|port| !port.socket.is_tcp) {
            let owner = world.shared.owner(port.socket.address);
            assert_eq!(owner.map(|worker| usize::from(worker.0)), Some(port.socket.worker));
        }
        let counters = world.counters();
        let connections = counters.peer_connections_begun - counters.peer_connections_ended;
        assert_eq!(counters.peer_connections_begun, self.connections_begun);
        assert_eq!(connections, self.connections.len() as u64);
        assert_eq!(counters.allocations_moved, self.moves);
        assert_eq!(counters.allocations_revoked, self.revoked_halves);
    }

    /// When the first thing of a worker has to end.
    fn due(&self, worker: usize) -> Option<Duration> {
        let ports = self.ports.values().filter(|port| port.socket.worker == worker);
        let ports = ports.map(|port| port.expires.expect("its client was told"));
        let of_worker = |id: &ConnectionId| usize::from(id.worker().0) == worker;
        let connections = self.connections.iter().filter(|(id, _)| of_worker(id));
        let connections = connections.filter_map(|(_, connection)| connection.until());
        let reservations = self.reservations.values().filter(|one| one.worker == worker);
        let reservations = reservations.map(|one| one.until);
        ports.chain(connections).chain(reservations).min()
    }

    /// How many live ports a user has, as quotas count.
    fn ports_where(&self, is_meant: impl Fn(&Allocation) -> bool) -> usize {
        let of = |port: &&Port| is_meant(&self.allocations[&port.allocation]);
        self.ports.values().filter(of).count()
    }

    fn holders(&self) -> usize {
        let mut holders: Vec<_> = self.allocations.values().map(|it| holder(it.user)).collect();
        holders.sort_unstable();
        holders.dedup();
        holders.len()
    }
}
