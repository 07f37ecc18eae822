//! A relay in virtual time, and foreign clients that speak to it: `stun-rs` builds and reads their
//! messages.

#![allow(unreachable_pub, reason = "a module of several test crates")]
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::wrong_self_convention, reason = "a datagram comes from a client")]

mod outcome;

pub use outcome::{Answer, Forward, Outcome};

use heliograph_base::{Now, Time, UnixTime};
use relay_core::wire::{self, Class, Key, Method, Writer, attribute};
use relay_core::{
    At, Config, Effect, Forwarded, Listener, ListenerId, PortId, Received, RelayedPorts, Scratch,
    Server, StaticUser, Transport, WorkerId,
};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use stun_rs::attributes::stun::{Fingerprint, MessageIntegrity, Nonce, Realm, UserName};
use stun_rs::attributes::turn::{ChannelNumber, Data, LifeTime, RequestedTrasport, XorPeerAddress};
use stun_rs::methods::{ALLOCATE, CHANNEL_BIND, CREATE_PERMMISSION, REFRESH, SEND};
use stun_rs::protocols::UDP;
use stun_rs::{
    Algorithm, AlgorithmId, HMACKey, MessageClass, MessageEncoderBuilder, MessageMethod,
    StunAttribute, StunMessage, StunMessageBuilder, TransactionId,
};

pub const REALM: &str = "test";
pub const LISTENER: SocketAddr = v4([198, 51, 100, 1], 3478);
pub const LISTENER_V6: SocketAddr = v6(1, 3478);
/// Where relayed transport addresses are; a range that the default policy denies.
pub const RELAY_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
pub const RELAY_IP_V6: IpAddr = LISTENER_V6_IP;
const LISTENER_V6_IP: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// When a script starts, in seconds since 1970.
pub const START: u64 = 1_800_000_000;

pub const ALICE: Client = Client::of([1, 1, 1, 1], 1111, "alice");
pub const CAROL: Client = Client::of([3, 3, 3, 3], 3333, "carol");
/// Alice's address, but Carol's password.
pub const CAROL_AT_ALICE: Client = Client { address: ALICE.address, ..CAROL };
pub const DAVE_V6: Client =
    Client { address: v6(0xd, 4444), listener: ListenerId(1), ..Client::of([0; 4], 0, "alice") };
pub const BOB: SocketAddr = v4([8, 8, 8, 8], 8888);
pub const BOB_AGAIN: SocketAddr = v4([8, 8, 8, 8], 9999);
pub const EVE: SocketAddr = v4([9, 9, 9, 9], 9999);

pub const fn v4(ip: [u8; 4], port: u16) -> SocketAddr {
    let [a, b, c, d] = ip;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
}

pub const fn v6(last: u16, port: u16) -> SocketAddr {
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    SocketAddr::new(IpAddr::V6(ip), port)
}

/// Somebody with an address and a password.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub listener: ListenerId,
    pub user: &'static str,
    pub password: &'static str,
}

impl Client {
    pub const fn of(ip: [u8; 4], port: u16, user: &'static str) -> Self {
        Self { address: v4(ip, port), listener: ListenerId(0), user, password: "secret" }
    }
}

/// `299.s()`.
pub trait Seconds {
    fn s(self) -> Duration;
}

impl Seconds for u64 {
    fn s(self) -> Duration {
        Duration::from_secs(self)
    }
}

/// A server with ports in stock, the time, and what clients remember.
pub struct Script {
    pub server: Server,
    elapsed: Duration,
    scratch: Scratch,
    nonces: HashMap<SocketAddr, String>,
    relayed: HashMap<SocketAddr, SocketAddr>,
    last_transaction: u64,
    ports_opened: u32,
}

/// The users and listeners of every script.
pub fn config() -> Config {
    let user = |name: &str| StaticUser { name: name.into(), password: "secret".into() };
    Config {
        realm: REALM.into(),
        users: vec![user("alice"), user("carol")],
        listeners: vec![listener(LISTENER, Transport::Udp), listener(LISTENER_V6, Transport::Udp)],
        ..Config::default()
    }
}

pub const fn listener(local: SocketAddr, transport: Transport) -> Listener {
    Listener { local, advertised: local, transport }
}

/// The table of relayed addresses on [`RELAY_IP`] and [`RELAY_IP_V6`].
pub fn ports() -> Arc<RelayedPorts> {
    Arc::new(RelayedPorts::new([RELAY_IP, RELAY_IP_V6]))
}

impl Script {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        Self::worker(config, 0, ports())
    }

    /// One of several workers.
    pub fn worker(config: Config, worker: u8, ports: Arc<RelayedPorts>) -> Self {
        let mut script = Self::without_stock(config, worker, ports);
        for _ in 0..4 {
            script.open_port(RELAY_IP);
            script.open_port(RELAY_IP_V6);
        }
        script
    }

    /// A worker that was given no port yet.
    pub fn without_stock(config: Config, worker: u8, ports: Arc<RelayedPorts>) -> Self {
        Self {
            server: Server::new(Arc::new(config), WorkerId(worker), ports, [worker; 32]),
            elapsed: Duration::ZERO,
            scratch: Scratch::new(),
            nonces: HashMap::new(),
            relayed: HashMap::new(),
            last_transaction: 0,
            ports_opened: 1000 * u32::from(worker),
        }
    }

    pub fn now(&self) -> Now {
        Now {
            time: Time::after_start(self.elapsed),
            unix: UnixTime::from_seconds(START + self.elapsed.as_secs()),
        }
    }

    /// Moves the time to `elapsed` after the start.
    pub fn at(&mut self, elapsed: Duration) -> &mut Self {
        assert!(elapsed >= self.elapsed, "time goes on");
        self.elapsed = elapsed;
        self
    }

    pub fn open_port(&mut self, ip: IpAddr) -> PortId {
        let port = PortId(self.ports_opened);
        self.ports_opened += 1;
        let address = SocketAddr::new(ip, port_number(port));
        self.server.handle_port_open(port, address, address);
        port
    }

    /// One datagram in, what comes of it out; the answer is copied together.
    pub fn datagram(&mut self, at: At, from: SocketAddr, bytes: &[u8]) -> Outcome {
        let now = self.now();
        let received = Received { at, from, bytes };
        Outcome::of(self.server.handle(now, received, &mut self.scratch))
    }

    pub fn from_client(&mut self, client: Client, bytes: &[u8]) -> Outcome {
        self.datagram(At::Listener(client.listener), client.address, bytes)
    }

    /// A peer sends to the relayed address of `client`.
    pub fn from_peer(&mut self, peer: SocketAddr, client: Client, bytes: &[u8]) -> Outcome {
        let port = self.port_of(client);
        self.datagram(At::Port(port), peer, bytes)
    }

    pub fn handover(&mut self, from: SocketAddr, to: SocketAddr, body: &[u8]) -> Outcome {
        let now = self.now();
        Outcome::of(self.server.handle_handover(now, from, to, body, &mut self.scratch))
    }

    /// What another worker passed on.
    pub fn forwarded(&mut self, forward: &Forward) -> Outcome {
        let now = self.now();
        let Forward { listener, from, is_vouched_for, .. } = *forward;
        let forwarded = Forwarded { listener, from, bytes: &forward.bytes, is_vouched_for };
        Outcome::of(self.server.handle_forward(now, forwarded, &mut self.scratch))
    }

    pub fn channel_data(&mut self, client: Client, channel: u16, data: &[u8]) -> Outcome {
        self.from_client(client, &channel_data(channel, data))
    }

    pub fn send(&mut self, client: Client, peer: SocketAddr, data: &[u8]) -> Outcome {
        let builder = self
            .begin(SEND, MessageClass::Indication)
            .with_attribute(XorPeerAddress::from(peer))
            .with_attribute(Data::new(data));
        self.from_client(client, &encode(&builder.build()))
    }

    pub fn relayed(&self, client: Client) -> SocketAddr {
        self.relayed[&client.address]
    }

    pub fn port_of(&self, client: Client) -> PortId {
        port_at(self.relayed(client))
    }

    /// All that the server holds, but for the digits of its times and counts.
    pub fn state(&self) -> String {
        format!("{:?}", self.server).replace(|character: char| character.is_ascii_digit(), "")
    }

    pub fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.server.poll_effect()).collect()
    }

    pub fn begin(&mut self, method: MessageMethod, class: MessageClass) -> StunMessageBuilder {
        self.last_transaction += 1;
        let mut transaction = [7; 12];
        transaction[..8].copy_from_slice(&self.last_transaction.to_be_bytes());
        StunMessageBuilder::new(method, class).with_transaction_id(TransactionId::from(transaction))
    }

    /// The next message gets the transaction id of the last one.
    pub fn repeat_last_transaction(&mut self) {
        self.last_transaction -= 1;
    }

    /// A request with the client's credentials, ready to be sent.
    pub fn signed(
        &mut self,
        client: Client,
        method: MessageMethod,
        attributes: Vec<StunAttribute>,
    ) -> Vec<u8> {
        let nonce = self.nonce(client);
        self.signed_with_nonce(client, method, attributes, &nonce)
    }

    pub fn signed_with_nonce(
        &mut self,
        client: Client,
        method: MessageMethod,
        attributes: Vec<StunAttribute>,
        nonce: &str,
    ) -> Vec<u8> {
        let mut builder = self.begin(method, MessageClass::Request);
        for attribute in attributes {
            builder = builder.with_attribute(attribute);
        }
        let builder = builder
            .with_attribute(UserName::new(client.user).unwrap())
            .with_attribute(Realm::new(REALM).unwrap())
            .with_attribute(Nonce::new(nonce).unwrap())
            .with_attribute(MessageIntegrity::new(key(client)))
            .with_attribute(Fingerprint::default());
        encode(&builder.build())
    }

    /// A signed request of attributes that `stun-rs` wouldn't write.
    pub fn signed_raw(
        &mut self,
        client: Client,
        method: Method,
        attributes: &[(u16, &[u8])],
    ) -> Vec<u8> {
        let nonce = self.nonce(client);
        self.last_transaction += 1;
        let mut transaction = [8; 12];
        transaction[..8].copy_from_slice(&self.last_transaction.to_be_bytes());
        let mut buffer = [0; 2048];
        let mut writer =
            Writer::new(&mut buffer, Class::Request, method, wire::TransactionId(transaction));
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        writer.attribute(attribute::USERNAME, client.user.as_bytes());
        writer.attribute(attribute::REALM, REALM.as_bytes());
        writer.attribute(attribute::NONCE, nonce.as_bytes());
        writer.integrity(&Key::long_term(client.user, REALM, client.password));
        writer.finish().to_vec()
    }

    pub fn ask_raw(
        &mut self,
        client: Client,
        method: Method,
        attributes: &[(u16, &[u8])],
    ) -> Answer {
        let request = self.signed_raw(client, method, attributes);
        self.from_client(client, &request).expect_answer(client)
    }

    /// The nonce that the client was last given; asks for one if there is none.
    pub fn nonce(&mut self, client: Client) -> String {
        if let Some(nonce) = self.nonces.get(&client.address) {
            return nonce.clone();
        }
        let challenge = encode(&self.begin(ALLOCATE, MessageClass::Request).build());
        let nonce = self.from_client(client, &challenge).expect_answer(client).nonce();
        self.nonces.insert(client.address, nonce.clone());
        nonce
    }

    /// The client asks for a nonce again when it needs one.
    pub fn forget_nonce(&mut self, client: Client) {
        self.nonces.remove(&client.address);
    }

    /// Asks, again if the nonce was stale.
    pub fn ask(
        &mut self,
        client: Client,
        method: MessageMethod,
        attributes: Vec<StunAttribute>,
    ) -> Answer {
        let request = self.signed(client, method, attributes.clone());
        let answer = self.from_client(client, &request).expect_answer(client);
        if answer.code() != Some(438) {
            return answer;
        }
        self.nonces.insert(client.address, answer.nonce());
        let request = self.signed(client, method, attributes);
        self.from_client(client, &request).expect_answer(client)
    }

    pub fn try_allocate(&mut self, client: Client, more: Vec<StunAttribute>) -> Answer {
        let mut attributes = vec![RequestedTrasport::new(UDP).into()];
        attributes.extend(more);
        let answer = self.ask(client, ALLOCATE, attributes);
        if answer.code().is_none() {
            self.relayed.insert(client.address, answer.relayed());
        }
        answer
    }

    /// The same with attributes that `stun-rs` wouldn't write.
    pub fn try_allocate_raw(&mut self, client: Client, attributes: &[(u16, &[u8])]) -> Answer {
        let answer = self.ask_raw(client, Method::Allocate, attributes);
        if answer.code().is_none() {
            self.relayed.insert(client.address, answer.relayed());
        }
        answer
    }

    pub fn try_permit(&mut self, client: Client, peers: &[SocketAddr]) -> Answer {
        let peers = peers.iter().map(|peer| XorPeerAddress::from(*peer).into()).collect();
        self.ask(client, CREATE_PERMMISSION, peers)
    }

    pub fn try_bind(&mut self, client: Client, channel: u16, peer: SocketAddr) -> Answer {
        let attributes =
            vec![ChannelNumber::new(channel).into(), XorPeerAddress::from(peer).into()];
        self.ask(client, CHANNEL_BIND, attributes)
    }

    pub fn try_refresh(&mut self, client: Client, lifetime_s: u32) -> Answer {
        self.ask(client, REFRESH, vec![LifeTime::from(lifetime_s).into()])
    }

    pub fn allocate(mut self, client: Client) -> Self {
        self.try_allocate(client, vec![]).expect_success();
        self
    }

    pub fn permit(mut self, client: Client, peer: SocketAddr) -> Self {
        self.try_permit(client, &[peer]).expect_success();
        self
    }

    pub fn bind(mut self, client: Client, channel: u16, peer: SocketAddr) -> Self {
        self.try_bind(client, channel, peer).expect_success();
        self
    }
}

fn port_number(port: PortId) -> u16 {
    50_000 + u16::try_from(port.0).unwrap()
}

pub fn port_at(relayed: SocketAddr) -> PortId {
    PortId(u32::from(relayed.port()) - 50_000)
}

pub fn channel_data(channel: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = channel.to_be_bytes().to_vec();
    bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

pub fn key(client: Client) -> HMACKey {
    let algorithm = Algorithm::from(AlgorithmId::MD5);
    HMACKey::new_long_term(client.user, REALM, client.password, algorithm).unwrap()
}

pub fn encode(message: &StunMessage) -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    let length = MessageEncoderBuilder::default().build().encode(&mut bytes, message).unwrap();
    bytes.truncate(length);
    bytes
}
