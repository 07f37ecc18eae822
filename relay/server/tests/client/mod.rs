//! A small blocking TURN client, on the codec of `stun-rs`, and a relay for it on loopback.

#![allow(dead_code, reason = "each test program uses its own part")]
#![expect(clippy::unwrap_used, reason = "all of this is test code")]

use heliograph_base::{Clock, Sample};
use relay_server::relay_core::wire::{STREAM_MESSAGE_BYTES_MAX, stream_message_bytes};
use relay_server::relay_core::{Config, PeerPolicy, StaticUser};
use relay_server::{Relay, RelayConfig};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;
use stun_rs::attributes::mobility::MobilityTicket;
use stun_rs::attributes::stun::{ErrorCode, MessageIntegrity, Nonce, Realm, UserName};
use stun_rs::attributes::turn::{
    ChannelNumber, Data, EvenPort, Icmp, LifeTime, RequestedAddressFamily, RequestedTrasport,
    ReservationToken, XorPeerAddress, XorRelayedAddress,
};
use stun_rs::methods::{ALLOCATE, BINDING, CHANNEL_BIND, CREATE_PERMMISSION, DATA, REFRESH, SEND};
use stun_rs::{
    AddressFamily, Algorithm, AlgorithmId, DecoderContextBuilder, HMACKey, MessageClass,
    MessageDecoderBuilder, MessageEncoderBuilder, MessageMethod, StunMessage, StunMessageBuilder,
};

const NAME: &str = "alice";
const PASSWORD: &str = "wonderland";

/// How long to wait for what must come: far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Settings for tests: any free port of loopback, two workers, loopback peers allowed.
pub(crate) fn config() -> RelayConfig {
    RelayConfig {
        core: Config {
            users: vec![StaticUser { name: NAME.to_owned(), password: PASSWORD.to_owned() }],
            policy: PeerPolicy {
                allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
                ..PeerPolicy::default()
            },
            unauthenticated_rate: 0,
            ..Config::default()
        },
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        workers: 2,
        ..RelayConfig::default()
    }
}

pub(crate) fn start(config: RelayConfig) -> Relay {
    Relay::start(config, Clock::start()).unwrap()
}

/// The value of a counter, summed over its labels if none is given.
pub(crate) fn counter(relay: &Relay, name: &str, label: Option<&str>) -> u64 {
    let named = |sample: &Sample| {
        let is_label = |label| sample.label.is_some_and(|(_, value)| value == label);
        sample.name == name && label.is_none_or(is_label)
    };
    let samples = relay.counters();
    assert!(samples.iter().any(named), "no counter {name} {label:?}");
    samples.into_iter().filter(named).map(|sample| sample.value).sum()
}

/// Waits until a condition holds that others bring about.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain until {what}");
}

/// A peer: a socket that is no client of the relay.
pub(crate) fn peer(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(crate) fn receive_from(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut bytes = vec![0; 65_536];
    let (len, from) = socket.recv_from(&mut bytes).expect("a datagram comes");
    bytes.truncate(len);
    (bytes, from)
}

/// What a client gets that is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Channel(u16, Vec<u8>),
    Indication(SocketAddr, Vec<u8>),
    /// Type and code of an ICMP error about a peer.
    Icmp(SocketAddr, u8, u16),
}

/// A stream of bytes: TCP, or TLS over it.
pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// What a client's messages go by.
enum Wire {
    Udp(UdpSocket),
    /// With what was read of the next message.
    Stream(Box<dyn Stream>, Vec<u8>),
}

pub(crate) struct Client {
    wire: Wire,
    server: SocketAddr,
    challenge: Option<(Realm, Nonce)>,
    incoming: VecDeque<Incoming>,
}

impl Client {
    pub(crate) fn new(relay: &Relay) -> Self {
        Self::to(relay.listeners()[0].bound)
    }

    pub(crate) fn to(server: SocketAddr) -> Self {
        let socket = peer(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        Self { wire: Wire::Udp(socket), server, challenge: None, incoming: VecDeque::new() }
    }

    /// A client that comes by TCP.
    pub(crate) fn tcp(server: SocketAddr) -> Self {
        Self::over(connect(server), server)
    }

    /// A client that comes by a stream.
    pub(crate) fn over(stream: impl Stream + 'static, server: SocketAddr) -> Self {
        let wire = Wire::Stream(Box::new(stream), Vec::new());
        Self { wire, server, challenge: None, incoming: VecDeque::new() }
    }

    pub(crate) fn binding(&mut self) {
        self.exchange(BINDING, |request| request).expect("Binding succeeds");
    }

    pub(crate) fn try_allocate(&mut self) -> Result<SocketAddr, u16> {
        let ipv6 = self.server.is_ipv6();
        let answer = self.exchange(ALLOCATE, |request| {
            let request = request.with_attribute(RequestedTrasport::default());
            if ipv6 {
                return request.with_attribute(RequestedAddressFamily::new(AddressFamily::IPv6));
            }
            request
        })?;
        let relayed = answer.get::<XorRelayedAddress>().expect("XOR-RELAYED-ADDRESS");
        Ok(*relayed.as_xor_relayed_address().unwrap().socket_address())
    }

    pub(crate) fn allocate(&mut self) -> SocketAddr {
        self.try_allocate().expect("Allocate succeeds")
    }

    /// Allocates an even port, and asks for a token for the next.
    pub(crate) fn allocate_pair(&mut self) -> Result<(SocketAddr, [u8; 8]), u16> {
        let answer = self.exchange(ALLOCATE, |request| {
            let request = request.with_attribute(RequestedTrasport::default());
            request.with_attribute(EvenPort::new(true))
        })?;
        let relayed = answer.get::<XorRelayedAddress>().expect("XOR-RELAYED-ADDRESS");
        let token = answer.get::<ReservationToken>().expect("RESERVATION-TOKEN");
        let token = token.as_reservation_token().unwrap().as_ref().try_into().unwrap();
        Ok((*relayed.as_xor_relayed_address().unwrap().socket_address(), token))
    }

    /// Allocates an even port.
    pub(crate) fn allocate_even(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.exchange(ALLOCATE, |request| {
            let request = request.with_attribute(RequestedTrasport::default());
            request.with_attribute(EvenPort::new(false))
        })?;
        let relayed = answer.get::<XorRelayedAddress>().expect("XOR-RELAYED-ADDRESS");
        Ok(*relayed.as_xor_relayed_address().unwrap().socket_address())
    }

    /// Allocates what a token stands for.
    pub(crate) fn allocate_reserved(&mut self, token: [u8; 8]) -> Result<SocketAddr, u16> {
        let answer = self.exchange(ALLOCATE, |request| {
            let request = request.with_attribute(RequestedTrasport::default());
            request.with_attribute(ReservationToken::from(token))
        })?;
        let relayed = answer.get::<XorRelayedAddress>().expect("XOR-RELAYED-ADDRESS");
        Ok(*relayed.as_xor_relayed_address().unwrap().socket_address())
    }

    pub(crate) fn refresh(&mut self, lifetime_s: u32) -> Result<(), u16> {
        self.exchange(REFRESH, |request| request.with_attribute(LifeTime::from(lifetime_s)))?;
        Ok(())
    }

    /// Allocates, and asks for a ticket.
    pub(crate) fn allocate_mobile(&mut self) -> (SocketAddr, MobilityTicket) {
        let answer = self.exchange(ALLOCATE, |request| {
            let nothing: &[u8] = &[];
            request
                .with_attribute(RequestedTrasport::default())
                .with_attribute(MobilityTicket::new(nothing))
        });
        let answer = answer.expect("Allocate succeeds");
        let relayed = answer.get::<XorRelayedAddress>().expect("XOR-RELAYED-ADDRESS");
        let relayed = *relayed.as_xor_relayed_address().unwrap().socket_address();
        (relayed, ticket(&answer))
    }

    /// Takes an allocation along to the address of this client.
    pub(crate) fn take_along(&mut self, shown: &MobilityTicket) -> Result<MobilityTicket, u16> {
        let answer = self.exchange(REFRESH, |request| request.with_attribute(shown.clone()))?;
        Ok(ticket(&answer))
    }

    pub(crate) fn permit(&mut self, peer: SocketAddr) -> Result<(), u16> {
        let to_peer =
            |request: StunMessageBuilder| request.with_attribute(XorPeerAddress::from(peer));
        self.exchange(CREATE_PERMMISSION, to_peer)?;
        Ok(())
    }

    pub(crate) fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<(), u16> {
        self.exchange(CHANNEL_BIND, |request| {
            let request = request.with_attribute(ChannelNumber::new(channel));
            request.with_attribute(XorPeerAddress::from(peer))
        })?;
        Ok(())
    }

    pub(crate) fn send(&mut self, channel: u16, data: &[u8]) {
        let mut bytes = channel.to_be_bytes().to_vec();
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
        if let Wire::Stream(..) = self.wire {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_indication(&mut self, peer: SocketAddr, data: &[u8]) {
        let indication = StunMessageBuilder::new(SEND, MessageClass::Indication)
            .with_attribute(XorPeerAddress::from(peer))
            .with_attribute(Data::new(data));
        self.send_bytes(&encode(&indication.build()));
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => drop(socket.send_to(bytes, self.server).unwrap()),
            Wire::Stream(stream, _) => stream.write_all(bytes).unwrap(),
        }
    }

    /// The next data from a peer.
    pub(crate) fn receive(&mut self) -> Incoming {
        while self.incoming.is_empty() {
            let answer = self.receive_datagram();
            assert!(answer.is_none(), "an answer to nothing: {answer:?}");
        }
        self.incoming.pop_front().unwrap()
    }

    /// Sends a request, with credentials once the server asked for them, and waits for the answer.
    fn exchange(
        &mut self,
        method: MessageMethod,
        with: impl Fn(StunMessageBuilder) -> StunMessageBuilder,
    ) -> Result<StunMessage, u16> {
        let request = || with(StunMessageBuilder::new(method, MessageClass::Request));
        loop {
            let challenge = self.challenge.clone().filter(|_| method != BINDING);
            let has_credentials = challenge.is_some();
            let request = match challenge {
                Some(challenge) => with_credentials(request(), challenge).build(),
                None => request().build(),
            };
            self.send_bytes(&encode(&request));
            let answer = self.receive_answer(&request);
            assert_eq!(answer.method(), method);
            if answer.class() == MessageClass::SuccessResponse {
                return Ok(answer);
            }
            let code = answer.get::<ErrorCode>().expect("ERROR-CODE");
            let code = code.as_error_code().unwrap().error_code().error_code();
            let asks_anew = (code == 401 && !has_credentials) || code == 438;
            if !asks_anew {
                return Err(code);
            }
            let realm = answer.get::<Realm>().unwrap().as_realm().unwrap().clone();
            let nonce = answer.get::<Nonce>().unwrap().as_nonce().unwrap().clone();
            self.challenge = Some((realm, nonce));
        }
    }

    fn receive_answer(&mut self, request: &StunMessage) -> StunMessage {
        loop {
            let Some(answer) = self.receive_datagram() else {
                continue;
            };
            if answer.transaction_id() == request.transaction_id() {
                return answer;
            }
        }
    }

    /// One datagram: kept if it is data, given if it is an answer.
    fn receive_datagram(&mut self) -> Option<StunMessage> {
        let bytes = match &mut self.wire {
            Wire::Udp(socket) => {
                let (bytes, from) = receive_from(socket);
                assert_eq!(from, self.server);
                bytes
            }
            Wire::Stream(stream, begun) => receive_message(stream, begun),
        };
        if bytes[0] >> 6 == 1 {
            let [c0, c1, l0, l1, data @ ..] = &bytes[..] else { panic!("short ChannelData") };
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            let is_stream = matches!(self.wire, Wire::Stream(..));
            let padded = if is_stream { length.next_multiple_of(4) } else { length };
            assert_eq!(padded, data.len());
            let channel = u16::from_be_bytes([*c0, *c1]);
            self.incoming.push_back(Incoming::Channel(channel, data[..length].to_vec()));
            return None;
        }
        let message = self.decode(&bytes);
        if message.class() != MessageClass::Indication {
            return Some(message);
        }
        assert_eq!(message.method(), DATA);
        let peer = message.get::<XorPeerAddress>().unwrap().as_xor_peer_address().unwrap();
        let peer = *peer.socket_address();
        self.incoming.push_back(match message.get::<Icmp>() {
            Some(icmp) => {
                let icmp = icmp.as_icmp().unwrap();
                Incoming::Icmp(peer, icmp.icmp_type().get(), icmp.icmp_code().get())
            }
            None => {
                let data = message.get::<Data>().unwrap().as_data().unwrap();
                Incoming::Indication(peer, data.as_bytes().to_vec())
            }
        });
        None
    }

    /// Decodes a message, and checks MESSAGE-INTEGRITY if it has one.
    fn decode(&self, bytes: &[u8]) -> StunMessage {
        let mut decoder = MessageDecoderBuilder::default();
        if let Some((realm, _)) = &self.challenge {
            let context = DecoderContextBuilder::default().with_key(key(realm)).with_validation();
            decoder = decoder.with_context(context.build());
        }
        decoder.build().decode(bytes).expect("a well-formed message").0
    }
}

fn ticket(answer: &StunMessage) -> MobilityTicket {
    let ticket = answer.get::<MobilityTicket>().expect("MOBILITY-TICKET");
    ticket.as_mobility_ticket().unwrap().clone()
}

/// The next message of a stream, `begun` with what was read of it before.
fn receive_message(stream: &mut dyn Stream, begun: &mut Vec<u8>) -> Vec<u8> {
    loop {
        match stream_message_bytes(begun, STREAM_MESSAGE_BYTES_MAX).expect("the relay sends STUN") {
            Some(length) if length <= begun.len() => return begun.drain(..length).collect(),
            Some(_) | None => {}
        }
        let mut bytes = vec![0; 65_536];
        let read = stream.read(&mut bytes).expect("more of the stream comes");
        assert!(read > 0, "the relay closed the stream");
        begun.extend(&bytes[..read]);
    }
}

/// A TCP connection that doesn't wait for ever.
pub(crate) fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn with_credentials(
    request: StunMessageBuilder,
    (realm, nonce): (Realm, Nonce),
) -> StunMessageBuilder {
    let integrity = MessageIntegrity::new(key(&realm));
    request
        .with_attribute(UserName::new(NAME).unwrap())
        .with_attribute(realm)
        .with_attribute(nonce)
        .with_attribute(integrity)
}

fn key(realm: &Realm) -> HMACKey {
    let algorithm = Algorithm::from(AlgorithmId::MD5);
    HMACKey::new_long_term(NAME, realm.as_str(), PASSWORD, algorithm).unwrap()
}

fn encode(message: &StunMessage) -> Vec<u8> {
    let mut bytes = vec![0; 65_536];
    let encoder = MessageEncoderBuilder::default().build();
    let len = encoder.encode(&mut bytes, message).unwrap();
    bytes.truncate(len);
    bytes
}
