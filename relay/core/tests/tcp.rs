//! TCP allocations: which connections with peers there may be. RFC 6062.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod script;

use relay_core::wire::{ConnectionId, Message, Method, attribute};
use relay_core::{Effect, ListenerId, PortId, Reason, Scratch, Transport, WorkerId};
use script::*;
use std::net::SocketAddr;

/// Alice by TCP, where her control connection is, and where her data connection will be.
const ALICE_TCP: Client = Client { listener: ListenerId(2), ..ALICE };
const ALICE_DATA: Client =
    Client { listener: ListenerId(2), ..Client::of([1, 1, 1, 1], 2222, "alice") };
const CAROL_DATA: Client =
    Client { listener: ListenerId(2), ..Client::of([3, 3, 3, 3], 4444, "carol") };

const TCP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
const CONNECTIONS_MAX: usize = 3;

/// A relay with a TCP listener and two TCP ports.
struct Tcp {
    script: Script,
}

impl Tcp {
    fn new() -> Self {
        let mut script = Script::with(|config| {
            config.listeners.push(listener(LISTENER, Transport::Tcp));
            config.tcp_connections_max = CONNECTIONS_MAX;
        });
        for number in 100..102 {
            let address = SocketAddr::new(RELAY_IP, 50_000 + number);
            script.server.handle_tcp_port_open(PortId(number.into()), address, address);
        }
        Self { script }
    }

    fn allocated() -> Self {
        let mut tcp = Self::new();
        tcp.allocate(ALICE_TCP).expect_success();
        tcp.script.effects();
        tcp
    }

    fn allocate(&mut self, client: Client) -> Answer {
        self.script.ask_raw(client, Method::Allocate, &[TCP])
    }

    fn request_connect(&mut self, peer: SocketAddr) -> Outcome {
        let request = self.connect_bytes(peer);
        self.script.from_client(ALICE_TCP, &request)
    }

    fn connect_bytes(&mut self, peer: SocketAddr) -> Vec<u8> {
        let peer = stun_rs::attributes::turn::XorPeerAddress::from(peer);
        let method = stun_rs::MessageMethod::try_from(Method::Connect.number()).unwrap();
        self.script.signed(ALICE_TCP, method, vec![peer.into()])
    }

    /// Asks for a connection, and gives its id from the effect.
    fn connecting(&mut self, peer: SocketAddr) -> ConnectionId {
        assert_eq!(self.request_connect(peer), Outcome::Done);
        match self.script.effects()[..] {
            [Effect::Connect { port: PortId(100), connection, peer: to }] if to == peer => {
                connection
            }
            ref other => panic!("{other:?}"),
        }
    }

    fn connected(&mut self, connection: ConnectionId, is_connected: bool) -> Outcome {
        let (now, mut scratch) = (self.script.now(), Scratch::new());
        let server = &mut self.script.server;
        Outcome::of(server.handle_peer_connected(now, connection, is_connected, &mut scratch))
    }

    fn connect(&mut self, peer: SocketAddr) -> ConnectionId {
        let connection = self.connecting(peer);
        let answer = self.connected(connection, true).expect_answer(ALICE_TCP).expect_success();
        assert!(answer.is_signed());
        assert_eq!(connection_id(&answer.bytes), connection);
        connection
    }

    fn accept(&mut self, peer: SocketAddr) -> Result<(ConnectionId, Vec<u8>), Reason> {
        let (now, mut scratch) = (self.script.now(), Scratch::new());
        let server = &mut self.script.server;
        let (id, transmit) = server.handle_peer_accepted(now, PortId(100), peer, &mut scratch)?;
        assert_eq!(transmit.to, ALICE_TCP.address);
        Ok((id, transmit.head.to_vec()))
    }

    fn bind(&mut self, client: Client, connection: ConnectionId) -> Answer {
        let id = (attribute::CONNECTION_ID, &connection.value()[..]);
        self.script.ask_raw(client, Method::ConnectionBind, &[id])
    }

    fn permit(&mut self, peer: SocketAddr) {
        self.script.try_permit(ALICE_TCP, &[peer]).expect_success();
    }

    fn live(&self) -> u64 {
        let counters = self.script.server.counters();
        counters.peer_connections_begun - counters.peer_connections_ended
    }
}

fn connection_id(message: &[u8]) -> ConnectionId {
    let message = Message::parse(message).unwrap();
    let mut attributes = message.attributes();
    let (_, value) = attributes.find(|(kind, _)| *kind == attribute::CONNECTION_ID).unwrap();
    ConnectionId::from_value(value).unwrap()
}

fn splice(connection: ConnectionId) -> Effect {
    let Client { listener, address, .. } = ALICE_DATA;
    Effect::Splice { port: PortId(100), connection, listener, client: address }
}

#[test]
fn a_stream_client_gets_a_tcp_port() {
    let mut tcp = Tcp::new();
    let answer = tcp.allocate(ALICE_TCP).expect_success();
    assert_eq!(answer.relayed(), SocketAddr::new(RELAY_IP, 50_100));
    assert_eq!(tcp.script.effects(), [Effect::PortTaken(PortId(100))]);
    tcp.script.try_refresh(ALICE_TCP, 0).expect_success();
    assert_eq!(tcp.script.effects(), [Effect::ClosePort(PortId(100))]);
}

/// RFC 6062 §5.1: "If the client connection transport is not TCP or TLS, the server MUST reject the
/// request with a 400 (Bad Request) error."
#[test]
fn a_datagram_client_gets_none() {
    Tcp::new().allocate(ALICE).expect_error(400);
}

/// RFC 6062 §5.1: "If the request contains the DONT-FRAGMENT, EVEN-PORT, or RESERVATION-TOKEN
/// attribute, the server MUST reject the request with a 400 (Bad Request) error."
#[test]
fn what_belongs_to_datagrams_is_refused_for_tcp() {
    let mut tcp = Tcp::new();
    for more in [
        (attribute::DONT_FRAGMENT, &[][..]),
        (attribute::EVEN_PORT, &[0]),
        (attribute::RESERVATION_TOKEN, &[0; 8]),
    ] {
        tcp.script.ask_raw(ALICE_TCP, Method::Allocate, &[TCP, more]).expect_error(400);
    }
    tcp.allocate(ALICE_TCP).expect_success();
    let mut tcp = Tcp::allocated();
    tcp.permit(BOB);
    tcp.script.try_bind(ALICE_TCP, 0x4000, BOB).expect_error(400);
    tcp.script.send(ALICE_TCP, BOB, b"hi").expect_drop(Reason::BadIndication);
    tcp.script.from_client(ALICE_TCP, &channel_data(0x4000, b"hi")).expect_drop(Reason::NoChannel);
}

#[test]
fn a_relay_without_tcp_ports_answers_442() {
    let mut script = Script::with(|config| {
        config.listeners.push(listener(LISTENER, Transport::Tcp));
    });
    script.ask_raw(ALICE_TCP, Method::Allocate, &[TCP]).expect_error(442);
}

#[test]
fn tcp_ports_run_out_like_others() {
    let mut tcp = Tcp::new();
    for (port, code) in [(1, None), (2, None), (3, Some(508))] {
        let address = SocketAddr::new(ALICE.address.ip(), port);
        assert_eq!(tcp.allocate(Client { address, ..ALICE_TCP }).code(), code);
    }
}

/// Both kinds have the same numbers on the same address, and stay apart.
#[test]
fn a_tcp_port_is_no_peer_of_datagram_clients() {
    let mut tcp = Tcp::allocated();
    let relayed = SocketAddr::new(RELAY_IP, 50_100);
    tcp.script.try_allocate(CAROL, vec![]).expect_success();
    tcp.script.try_permit(CAROL, &[relayed]).expect_success();
    tcp.permit(tcp.script.relayed(CAROL));
    tcp.script.send(CAROL, relayed, b"hi").expect_drop(Reason::PeerDenied);
}

#[test]
fn a_connection_is_made_answered_bound_and_joined() {
    let mut tcp = Tcp::allocated();
    let connection = tcp.connect(BOB);
    assert_eq!(connection.worker(), WorkerId(0));
    assert_eq!(tcp.script.effects(), []);
    tcp.bind(ALICE_DATA, connection).expect_success();
    assert_eq!(tcp.script.effects(), [splice(connection)]);
    let now = tcp.script.now();
    tcp.script.server.handle_peer_closed(now, connection);
    assert_eq!(tcp.live(), 0);
    tcp.connect(BOB);
}

/// RFC 6062 §5.2: "If the connection attempt fails or times out, the server MUST return a 447
/// (Connection Timeout or Failure) error."
#[test]
fn a_peer_that_cannot_be_reached_is_447() {
    let mut tcp = Tcp::allocated();
    let connection = tcp.connecting(BOB);
    let answer = tcp.connected(connection, false).expect_answer(ALICE_TCP).expect_error(447);
    assert!(answer.is_signed());
    assert_eq!(tcp.live(), 0);
    tcp.connected(connection, false).expect_drop(Reason::NoAllocation);
    tcp.connecting(BOB);
}

/// RFC 6062 §5.2: "it MUST return a 446 (Connection Already Exists) error", while it is made,
/// pending or active.
#[test]
fn a_second_connection_to_a_peer_is_446() {
    let mut tcp = Tcp::allocated();
    let connection = tcp.connecting(BOB);
    tcp.request_connect(BOB).expect_answer(ALICE_TCP).expect_error(446);
    tcp.connected(connection, true);
    tcp.request_connect(BOB).expect_answer(ALICE_TCP).expect_error(446);
    tcp.bind(ALICE_DATA, connection).expect_success();
    tcp.request_connect(BOB).expect_answer(ALICE_TCP).expect_error(446);
    tcp.script.effects();
    tcp.connecting(BOB_AGAIN);
}

#[test]
fn a_connection_that_the_peer_made_does_not_count_as_one_to_it() {
    let mut tcp = Tcp::allocated();
    tcp.script.try_permit(ALICE_TCP, &[BOB]).expect_success();
    tcp.accept(BOB).unwrap();
    tcp.script.effects();
    tcp.connecting(BOB);
    tcp.request_connect(BOB).expect_answer(ALICE_TCP).expect_error(446);
}

#[test]
fn connect_asks_the_same_policy_as_all_others() {
    let mut tcp = Tcp::allocated();
    for (peer, code) in [
        (v4([10, 0, 0, 1], 8888), 403),
        (v4([8, 8, 8, 8], 22), 403),
        (v4([8, 8, 8, 8], 0), 403),
        (LISTENER, 403),
        (SocketAddr::new(RELAY_IP, 50_101), 403),
        (v6(5, 8888), 443),
    ] {
        tcp.request_connect(peer).expect_answer(ALICE_TCP).expect_error(code);
    }
    let bytes = tcp.script.signed_raw(ALICE_TCP, Method::Connect, &[]);
    tcp.script.from_client(ALICE_TCP, &bytes).expect_answer(ALICE_TCP).expect_error(400);
    assert_eq!(tcp.script.effects(), []);
}

#[test]
fn connect_needs_a_tcp_allocation_of_the_same_user() {
    let mut tcp = Tcp::new();
    tcp.request_connect(BOB).expect_answer(ALICE_TCP).expect_error(437);
    tcp.script.try_allocate(ALICE_TCP, vec![]).expect_success();
    tcp.request_connect(BOB).expect_answer(ALICE_TCP).expect_error(437);
}

#[test]
fn connections_of_an_allocation_have_a_limit() {
    let mut tcp = Tcp::allocated();
    for port in 0..3 {
        tcp.connecting(v4([8, 8, 8, 8], 5000 + port));
    }
    tcp.request_connect(BOB).expect_answer(ALICE_TCP).expect_error(508);
    tcp.permit(BOB);
    assert_eq!(tcp.accept(BOB), Err(Reason::Connections));
}

/// RFC 6062 §5.3: "If no permission for this peer has been installed for this allocation, the
/// server MUST close the connection with the peer immediately after it has been accepted.
/// Otherwise, the server sends a ConnectionAttempt indication to the client over the control
/// connection."
#[test]
fn a_peer_with_permission_may_connect() {
    let mut tcp = Tcp::allocated();
    assert_eq!(tcp.accept(BOB), Err(Reason::NoPermission));
    tcp.permit(BOB);
    let (connection, indication) = tcp.accept(BOB).unwrap();
    assert_eq!(indication[..2], [0x00, 0x1c]);
    assert_eq!(connection_id(&indication), connection);
    let told = Message::parse(&indication).unwrap();
    let (_, value) =
        told.attributes().find(|(kind, _)| *kind == attribute::XOR_PEER_ADDRESS).unwrap();
    let peer = relay_core::wire::decode_xor_address(value, &told.transaction());
    assert_eq!(peer, Ok(BOB));
    assert_eq!(tcp.accept(v4([8, 8, 8, 8], 80)), Err(Reason::PeerDenied));
    tcp.script.at(300.s());
    assert_eq!(tcp.accept(BOB_AGAIN), Err(Reason::NoPermission));
}

/// Both sides connect at once, and the kernel makes one connection of it.
#[test]
fn a_connection_from_a_peer_is_taken_while_one_to_it_is_made() {
    let mut tcp = Tcp::allocated();
    tcp.permit(BOB);
    let made = tcp.connecting(BOB);
    let (accepted, _) = tcp.accept(BOB).unwrap();
    tcp.connected(made, false).expect_answer(ALICE_TCP).expect_error(447);
    tcp.bind(ALICE_DATA, accepted).expect_success();
    assert_eq!(tcp.script.effects(), [splice(accepted)]);
}

/// A permission for the relay's own address holds inside only.
#[test]
fn a_permission_for_the_relay_itself_lets_no_connection_in() {
    let mut tcp = Tcp::allocated();
    let peer = SocketAddr::new(RELAY_IP, 50_101);
    tcp.permit(peer);
    assert_eq!(tcp.accept(peer), Err(Reason::PeerDenied));
}

/// RFC 6062 §5.4: "If the request does not contain the CONNECTION-ID attribute, or if this
/// attribute does not refer to an existing pending connection, the server MUST return a 400 (Bad
/// Request) error."
#[test]
fn only_a_waiting_connection_can_be_bound_and_once() {
    let mut tcp = Tcp::allocated();
    tcp.script.ask_raw(ALICE_DATA, Method::ConnectionBind, &[]).expect_error(400);
    tcp.bind(ALICE_DATA, ConnectionId::new(WorkerId(0), 1)).expect_error(400);
    let connection = tcp.connecting(BOB);
    tcp.bind(ALICE_DATA, connection).expect_error(400);
    tcp.connected(connection, true);
    // Not by a control connection, and not by datagrams.
    tcp.bind(ALICE_TCP, connection).expect_error(400);
    let by_datagram = Client { listener: ListenerId(0), ..ALICE_DATA };
    tcp.script.forget_nonce(ALICE_DATA);
    tcp.bind(by_datagram, connection).expect_error(400);
    tcp.script.forget_nonce(ALICE_DATA);
    tcp.bind(ALICE_DATA, connection).expect_success();
    tcp.bind(ALICE_DATA, connection).expect_error(400);
    assert_eq!(tcp.script.effects(), [splice(connection)]);
}

#[test]
fn another_user_cannot_bind_a_connection() {
    let mut tcp = Tcp::allocated();
    let connection = tcp.connect(BOB);
    tcp.bind(CAROL_DATA, connection).expect_error(441);
    assert_eq!(tcp.script.effects(), []);
    tcp.bind(ALICE_DATA, connection).expect_success();
}

/// RFC 6062 §5.2: "If no ConnectionBind request associated with this peer data connection is
/// received after 30 seconds, the peer data connection MUST be closed."
#[test]
fn a_connection_that_nobody_binds_is_closed_after_30_seconds() {
    let mut tcp = Tcp::allocated();
    let (bound, lost) = (tcp.connect(BOB), tcp.connect(BOB_AGAIN));
    tcp.bind(ALICE_DATA, bound).expect_success();
    tcp.script.effects();
    tcp.permit(EVE);
    tcp.script.at(10.s());
    let (late, _) = tcp.accept(EVE).unwrap();
    let close = |connection| Effect::ClosePeer { port: PortId(100), connection };
    for (time, closed) in [(29, vec![]), (30, vec![close(lost)]), (40, vec![close(late)])] {
        let now = tcp.script.at(time.s()).now();
        tcp.script.server.handle_timeout(now);
        assert_eq!(tcp.script.effects(), closed);
        assert!(tcp.script.server.poll_timeout().unwrap() > now.time);
    }
    assert_eq!(tcp.live(), 1);
    tcp.script.forget_nonce(ALICE_DATA);
    tcp.bind(ALICE_DATA, lost).expect_error(400);
}

#[test]
fn connections_end_with_their_allocation() {
    let mut tcp = Tcp::allocated();
    let (bound, made) = (tcp.connect(BOB), tcp.connecting(BOB_AGAIN));
    tcp.bind(ALICE_DATA, bound).expect_success();
    tcp.script.effects();
    let now = tcp.script.now();
    tcp.script.server.handle_client_gone(now, ALICE_TCP.listener, ALICE_TCP.address);
    assert_eq!(tcp.script.effects(), [Effect::ClosePort(PortId(100))]);
    assert_eq!(tcp.live(), 0);
    tcp.connected(made, true).expect_drop(Reason::NoAllocation);
    tcp.script.server.handle_peer_closed(now, bound);
    assert_eq!(tcp.accept(EVE), Err(Reason::NoAllocation));
    assert_eq!(tcp.live(), 0);
}
