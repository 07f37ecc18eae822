//! TCP allocations over loopback: connections to and from peers, joined to clients. RFC 6062.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod client;

use client::{config, connect, counter, start, wait_until};
use relay_server::relay_core::Transport;
use relay_server::relay_core::wire::{
    Class, ConnectionId, Key, Message, Method, STREAM_MESSAGE_BYTES_MAX, TransactionId, Writer,
    attribute, decode_xor_address, encode_xor_address, stream_message_bytes,
};
use relay_server::{Relay, RelayConfig, StreamConfig};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const REALM: &str = "heliograph";
const DATA_BYTES: usize = 10 << 20;

/// A client on a TCP connection, before it is joined to a peer.
struct Control {
    stream: TcpStream,
    begun: Vec<u8>,
    nonce: Vec<u8>,
    requests: u8,
}

/// A message's class, and its bytes.
type Got = (Class, Vec<u8>);

impl Control {
    fn new(relay: &Relay) -> Self {
        let mut all = relay.listeners().iter();
        let listener = all.find(|one| one.transport == Transport::Tcp).unwrap();
        let stream = connect(listener.bound);
        Self { stream, begun: Vec::new(), nonce: Vec::new(), requests: 0 }
    }

    fn allocated(relay: &Relay) -> (Self, SocketAddr) {
        let mut control = Self::new(relay);
        let answer = control.ask(Method::Allocate, attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
        let answer = answer.unwrap();
        let relayed = address(&answer, attribute::XOR_RELAYED_ADDRESS);
        (control, relayed)
    }

    fn request(&mut self, method: Method, kind: u16, value: &[u8]) -> Vec<u8> {
        self.requests += 1;
        let transaction = TransactionId([self.requests; 12]);
        let mut buffer = [0; 1024];
        let mut writer = Writer::new(&mut buffer, Class::Request, method, transaction);
        writer.attribute(kind, value);
        if !self.nonce.is_empty() {
            writer.attribute(attribute::USERNAME, b"alice");
            writer.attribute(attribute::REALM, REALM.as_bytes());
            writer.attribute(attribute::NONCE, &self.nonce);
            writer.integrity(&Key::long_term("alice", REALM, "wonderland"));
        }
        writer.finish().to_vec()
    }

    /// Asks, again with what a 401 or 438 says; gives the answer, or the error code.
    fn ask(&mut self, method: Method, kind: u16, value: &[u8]) -> Result<Vec<u8>, u16> {
        for _ in 0..3 {
            let request = self.request(method, kind, value);
            self.stream.write_all(&request).unwrap();
            let (class, answer) = self.receive();
            if class == Class::Success {
                return Ok(answer);
            }
            let code = find(&answer, attribute::ERROR_CODE).unwrap();
            let code = u16::from(code[2]) * 100 + u16::from(code[3]);
            match find(&answer, attribute::NONCE) {
                Some(nonce) => self.nonce = nonce,
                None => return Err(code),
            }
        }
        panic!("the relay asks for credentials on and on");
    }

    fn ask_about(&mut self, method: Method, peer: SocketAddr) -> Result<Vec<u8>, u16> {
        // The address depends on the transaction, and so on the number of requests before.
        for _ in 0..3 {
            let mut value = [0; 20];
            let transaction = TransactionId([self.requests + 1; 12]);
            let length = encode_xor_address(peer, &transaction, &mut value);
            let request = self.request(method, attribute::XOR_PEER_ADDRESS, &value[..length]);
            self.stream.write_all(&request).unwrap();
            let (class, answer) = self.receive();
            if class == Class::Success {
                return Ok(answer);
            }
            let code = find(&answer, attribute::ERROR_CODE).unwrap();
            match find(&answer, attribute::NONCE) {
                Some(nonce) => self.nonce = nonce,
                None => return Err(u16::from(code[2]) * 100 + u16::from(code[3])),
            }
        }
        panic!("the relay asks for credentials on and on");
    }

    fn connect(&mut self, peer: SocketAddr) -> Result<ConnectionId, u16> {
        let answer = self.ask_about(Method::Connect, peer)?;
        Ok(connection_id(&answer))
    }

    fn permit(&mut self, peer: SocketAddr) {
        self.ask_about(Method::CreatePermission, peer).unwrap();
    }

    /// Joins a new connection to a peer connection.
    fn data(&self, relay: &Relay, connection: ConnectionId) -> TcpStream {
        let mut data = Self::new(relay);
        data.nonce.clone_from(&self.nonce);
        data.bind(connection).unwrap();
        assert!(data.begun.is_empty());
        data.stream
    }

    fn bind(&mut self, connection: ConnectionId) -> Result<Vec<u8>, u16> {
        self.ask(Method::ConnectionBind, attribute::CONNECTION_ID, &connection.value())
    }

    fn receive(&mut self) -> Got {
        loop {
            let length = stream_message_bytes(&self.begun, STREAM_MESSAGE_BYTES_MAX).unwrap();
            if let Some(length) = length.filter(|length| *length <= self.begun.len()) {
                let bytes: Vec<u8> = self.begun.drain(..length).collect();
                return (Message::parse(&bytes).unwrap().class(), bytes);
            }
            // No more than is asked for: what follows an answer isn't for this buffer.
            let mut bytes = [0; 1];
            self.stream.read_exact(&mut bytes).unwrap();
            self.begun.extend(bytes);
        }
    }
}

fn find(message: &[u8], kind: u16) -> Option<Vec<u8>> {
    let message = Message::parse(message).unwrap();
    let mut attributes = message.attributes();
    attributes.find(|(other, _)| *other == kind).map(|(_, value)| value.to_vec())
}

fn address(message: &[u8], kind: u16) -> SocketAddr {
    let transaction = Message::parse(message).unwrap().transaction();
    decode_xor_address(&find(message, kind).unwrap(), &transaction).unwrap()
}

fn connection_id(message: &[u8]) -> ConnectionId {
    ConnectionId::from_value(&find(message, attribute::CONNECTION_ID).unwrap()).unwrap()
}

fn tcp_config() -> RelayConfig {
    let tcp = vec!["127.0.0.1:0".parse().unwrap()];
    RelayConfig { streams: StreamConfig { tcp, ..StreamConfig::default() }, ..config() }
}

fn listening_peer() -> (TcpListener, SocketAddr) {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    (peer, address)
}

/// Sends much both ways at once, then ends one way after the other.
fn exchange(client: TcpStream, peer: TcpStream) {
    let data =
        |seed: usize| -> Vec<u8> { (0..DATA_BYTES).map(|at| ((at * seed) >> 7) as u8).collect() };
    let side = |mut stream: TcpStream, send: Vec<u8>, expect: Vec<u8>| {
        let mut writing = stream.try_clone().unwrap();
        let writer = thread::spawn(move || {
            writing.write_all(&send).unwrap();
            writing.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got == expect, "{} bytes", got.len());
        writer.join().unwrap();
    };
    let (one, two) = (data(3), data(5));
    let (expect_one, expect_two) = (one.clone(), two.clone());
    let other = thread::spawn(move || side(peer, two, expect_one));
    side(client, one, expect_two);
    other.join().unwrap();
}

fn wait_for_end(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                return;
            }
        }
    }
}

fn live(relay: &Relay) -> u64 {
    counter(relay, "relay_peer_connections", None)
}

#[test]
fn a_client_connects_to_a_peer_and_both_send_much() {
    let relay = start(tcp_config());
    let (listener, address) = listening_peer();
    // Several: their data connections come to any worker first.
    for _ in 0..4 {
        let (mut alice, relayed) = Control::allocated(&relay);
        let connection = alice.connect(address).unwrap();
        assert_eq!(alice.connect(address), Err(446));
        let (peer, from) = listener.accept().unwrap();
        assert_eq!(from, relayed);
        exchange(alice.data(&relay, connection), peer);
        wait_until("the connection is gone", || live(&relay) == 0);
    }
    let bytes = |path| counter(&relay, "relay_spliced_bytes", Some(path));
    assert_eq!(bytes("client_to_peer"), 4 * DATA_BYTES as u64);
    assert_eq!(bytes("peer_to_client"), 4 * DATA_BYTES as u64);
}

#[test]
fn a_peer_connects_to_a_client_that_permits_it() {
    let relay = start(tcp_config());
    let (mut alice, relayed) = Control::allocated(&relay);
    let mut stranger = connect(relayed);
    wait_for_end(&mut stranger);
    alice.permit(SocketAddr::new([127, 0, 0, 1].into(), 1));
    let mut peer = connect(relayed);
    // What it sends at once waits for the client.
    peer.write_all(b"early").unwrap();
    let (class, indication) = alice.receive();
    assert_eq!(class, Class::Indication);
    assert_eq!(address(&indication, attribute::XOR_PEER_ADDRESS), peer.local_addr().unwrap());
    let mut data = alice.data(&relay, connection_id(&indication));
    let mut early = [0; 5];
    data.read_exact(&mut early).unwrap();
    assert_eq!(early, *b"early");
    exchange(data, peer);
}

#[test]
fn what_a_client_sends_behind_its_connection_bind_is_not_lost() {
    let relay = start(tcp_config());
    let (listener, address) = listening_peer();
    let (mut alice, _) = Control::allocated(&relay);
    let connection = alice.connect(address).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let mut data = Control::new(&relay);
    // For the nonce.
    assert_eq!(data.bind(ConnectionId::new(connection.worker(), 0)), Err(400));
    let bind = attribute::CONNECTION_ID;
    let mut bytes = data.request(Method::ConnectionBind, bind, &connection.value());
    bytes.extend(b"\xff\xfe no STUN at all");
    data.stream.write_all(&bytes).unwrap();
    assert_eq!(data.receive().0, Class::Success);
    let mut got = [0; 17];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(got, *b"\xff\xfe no STUN at all");
    exchange(data.stream, peer);
}

#[test]
fn the_end_of_one_way_leaves_the_other_open() {
    let relay = start(tcp_config());
    let (listener, address) = listening_peer();
    let (mut alice, _) = Control::allocated(&relay);
    let connection = alice.connect(address).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let mut data = alice.data(&relay, connection);
    data.shutdown(Shutdown::Write).unwrap();
    assert_eq!(peer.read(&mut [0; 10]).unwrap(), 0);
    peer.write_all(b"still here").unwrap();
    let mut got = [0; 10];
    data.read_exact(&mut got).unwrap();
    assert_eq!(got, *b"still here");
    wait_until("the connection is counted", || live(&relay) == 1);
    drop(peer);
    assert_eq!(data.read(&mut got).unwrap(), 0);
    wait_until("the connection is gone", || live(&relay) == 0);
    // And so the same peer can be connected to again.
    alice.connect(address).unwrap();
}

#[test]
fn a_peer_that_does_not_listen_is_447() {
    let relay = start(tcp_config());
    let (listener, address) = listening_peer();
    drop(listener);
    let (mut alice, _) = Control::allocated(&relay);
    assert_eq!(alice.connect(address), Err(447));
    assert_eq!(alice.connect("10.0.0.1:5000".parse().unwrap()), Err(403));
    assert_eq!(live(&relay), 0);
}

#[test]
fn all_connections_end_with_their_allocation() {
    let relay = start(tcp_config());
    let (listener, address) = listening_peer();
    let (mut alice, relayed) = Control::allocated(&relay);
    let connection = alice.connect(address).unwrap();
    let (mut joined, _) = listener.accept().unwrap();
    let mut data = alice.data(&relay, connection);
    let (other_listener, other) = listening_peer();
    alice.connect(other).unwrap();
    let (mut waiting, _) = other_listener.accept().unwrap();
    wait_until("both are counted", || live(&relay) == 2);
    alice.ask(Method::Refresh, attribute::LIFETIME, &[0; 4]).unwrap();
    for stream in [&mut joined, &mut data, &mut waiting] {
        wait_for_end(stream);
    }
    wait_until("nobody listens there", || TcpStream::connect(relayed).is_err());
    wait_until("all are gone", || live(&relay) == 0);
    let expired = || counter(&relay, "relay_stream_ended", Some("expired"));
    wait_until("it is counted", || expired() == 1);
}

#[test]
fn connections_end_with_the_control_connection_and_with_the_relay() {
    let relay = start(tcp_config());
    let (listener, address) = listening_peer();
    for ends_relay in [false, true] {
        let (mut alice, _) = Control::allocated(&relay);
        let connection = alice.connect(address).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut data = alice.data(&relay, connection);
        if ends_relay {
            relay.shutdown().unwrap();
            wait_for_end(&mut data);
            wait_for_end(&mut peer);
            return;
        }
        drop(alice);
        wait_for_end(&mut data);
        wait_for_end(&mut peer);
    }
}

#[test]
fn connections_with_peers_have_a_limit_and_an_idle_one_ends() {
    let mut config = tcp_config();
    config.streams.limits.peer_connections_max = 2;
    config.streams.limits.idle_timeout = Duration::from_millis(300);
    let relay = start(config);
    let (listener, address) = listening_peer();
    let (mut alice, _) = Control::allocated(&relay);
    let connection = alice.connect(address).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let (_other_listener, other) = listening_peer();
    alice.connect(other).unwrap();
    let (_third_listener, third) = listening_peer();
    assert_eq!(alice.connect(third), Err(447));
    let mut data = alice.data(&relay, connection);
    wait_for_end(&mut data);
    wait_for_end(&mut peer);
}
