//! A relay with many clients amid their calls, which came there by the requests that clients send.
//!
//! Its settings are those that the server runs with; nothing is random, so that two runs do the
//! same.

#![allow(unreachable_pub, reason = "a module of several benches")]
#![allow(dead_code, reason = "each bench uses its part")]

mod client;

pub use client::Users;

use client::{Attributes, Client, Nonce, REALM, static_user};
use heliograph_base::{Now, Secret, Time, UnixTime};
use relay_core::wire::{
    ChannelData, ChannelNumber, Class, Message, Method, attribute, decode_xor_address,
};
use relay_core::{
    At, Config, Effect, Listener, ListenerId, PortId, Received, RelayedPorts, Scratch, Server,
    Transmit, Transport, Verdict, WorkerId,
};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Whom all clients talk to, by their first channel.
const PEER: SocketAddr = v4([8, 8, 8, 8], 8888);
/// The same machine, but no client has a channel to this port.
const PEER_WITHOUT_CHANNEL: SocketAddr = v4([8, 8, 8, 8], 9999);

const CHANNEL: u16 = 0x4000;
const CHANNEL_TO_NEIGHBOUR: u16 = 0x4001;
const START: UnixTime = UnixTime::from_seconds(1_800_000_000);
/// How many ports the shell has in stock, for each of its addresses.
const STOCK_PORTS: usize = 32;
/// The ports of an address that allocations can have begin there.
const FIRST_PORT: u32 = 1024;
const PORTS: u32 = 64_512;
/// What time goes on by with each packet: 500,000 of them in a second.
const STEP: Duration = Duration::from_micros(2);
/// The same for requests, so that no client asks more often than it may.
const STEP_OF_REQUESTS: Duration = Duration::from_micros(100);
/// From one client, or one port, to the next: has no factor in common with how many there are.
const STRIDE: usize = 7919;
const STRIDE_OF_PORTS: u32 = 40_501;
const UDP: [u8; 4] = [17, 0, 0, 0];
const HOUR: [u8; 4] = 3600_u32.to_be_bytes();

const fn v4([a, b, c, d]: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port)
}

/// The kinds of packets that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ClientToPeer,
    /// Eight packets of one client, then eight of the next.
    ClientToPeerInRuns,
    PeerToClient,
    SendIndication,
    DataIndication,
    RelayToRelay,
    Binding,
    /// The Allocate that gets 401 and a nonce.
    Challenge,
    /// The one that comes next.
    Allocate,
    Refresh,
    CreatePermission,
    ChannelBind,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::ClientToPeer,
        Self::ClientToPeerInRuns,
        Self::PeerToClient,
        Self::SendIndication,
        Self::DataIndication,
        Self::RelayToRelay,
        Self::Binding,
        Self::Challenge,
        Self::Allocate,
        Self::Refresh,
        Self::CreatePermission,
        Self::ChannelBind,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientToPeer => "client_to_peer",
            Self::ClientToPeerInRuns => "client_to_peer_in_runs",
            Self::PeerToClient => "peer_to_client",
            Self::SendIndication => "send_indication",
            Self::DataIndication => "data_indication",
            Self::RelayToRelay => "relay_to_relay",
            Self::Binding => "binding",
            Self::Challenge => "challenge",
            Self::Allocate => "allocate",
            Self::Refresh => "refresh",
            Self::CreatePermission => "create_permission",
            Self::ChannelBind => "channel_bind",
        }
    }

    const fn step(self) -> Duration {
        match self {
            Self::ClientToPeer
            | Self::ClientToPeerInRuns
            | Self::PeerToClient
            | Self::SendIndication
            | Self::DataIndication
            | Self::RelayToRelay => STEP,
            Self::Binding
            | Self::Challenge
            | Self::Allocate
            | Self::Refresh
            | Self::CreatePermission
            | Self::ChannelBind => STEP_OF_REQUESTS,
        }
    }
}

/// One datagram to come.
#[derive(Clone, Debug)]
pub struct Packet {
    at: At,
    from: SocketAddr,
    bytes: Rc<[u8]>,
}

/// One worker, and what its clients and its shell remember.
pub struct World {
    server: Server,
    clients: Vec<Client>,
    hosts: Vec<Host>,
    scratch: Scratch,
    time: Time,
    step: Duration,
    transactions: u64,
}

/// One address of the relay.
struct Host {
    ip: IpAddr,
    ports_opened: u32,
    ports_closed: Vec<PortId>,
}

impl World {
    /// A relay on so many addresses, and clients without allocations. Limits that so many clients
    /// would reach are raised.
    pub fn new(hosts: u8, users: Users, clients: usize) -> Self {
        let ips: Vec<_> = (1..=hosts).map(|last| IpAddr::from([198, 51, 100, last])).collect();
        let secret = Secret::from_text("a secret of forty characters or thereabout");
        let secret = secret.expect("it isn't empty");
        let config = config(&ips, secret.clone(), clients);
        let ports = Arc::new(RelayedPorts::new(ips.iter().copied()));
        let host = |ip| {
            let ports_closed = Vec::with_capacity(clients / ips.len() + STOCK_PORTS);
            Host { ip, ports_opened: 0, ports_closed }
        };
        let client = |place: usize| {
            let listener = ListenerId((place % ips.len() * TRANSPORTS.len()) as u16);
            Client::new(place, listener, users, &secret)
        };
        let mut world = Self {
            server: Server::new(Arc::new(config), WorkerId(0), ports, [7; 32]),
            clients: (0..clients).map(client).collect(),
            hosts: ips.iter().copied().map(host).collect(),
            scratch: Scratch::new(),
            time: Time::START,
            step: STEP_OF_REQUESTS,
            transactions: 0,
        };
        for host in 0..ips.len() {
            (0..STOCK_PORTS).for_each(|_| world.open_port(host));
        }
        world
    }

    /// Gives every client an allocation, and a channel to [`PEER`].
    pub fn allocate_all(&mut self) {
        for place in 0..self.clients.len() {
            self.allocate(place);
            self.bind(place, CHANNEL, PEER);
        }
    }

    /// Ends the allocation of every client.
    pub fn end_all(&mut self) {
        (0..self.clients.len()).for_each(|place| self.end(place));
    }

    /// Gives one client an allocation after so long, and ends it.
    pub fn allocate_after(&mut self, pause: Duration) {
        self.time += pause;
        self.allocate(0);
        self.end(0);
    }

    /// Packets of one kind from all clients, none beside its neighbour, each with `payload_bytes`
    /// if it is of data. The clients have allocations.
    pub fn packets(&mut self, kind: Kind, payload_bytes: usize) -> Vec<Packet> {
        let payload = vec![0xda; payload_bytes];
        let packets = match kind {
            Kind::ClientToPeer => self.of_clients(channel_data(CHANNEL, &payload)),
            Kind::ClientToPeerInRuns => {
                let packets = self.of_clients(channel_data(CHANNEL, &payload));
                packets.into_iter().flat_map(|packet| vec![packet; 8]).collect()
            }
            Kind::PeerToClient => self.of_peer(PEER, payload),
            Kind::SendIndication => {
                let message = self.send_indication(&payload);
                self.of_clients(message)
            }
            Kind::DataIndication => self.of_peer(PEER_WITHOUT_CHANNEL, payload),
            Kind::RelayToRelay => {
                for place in 0..self.clients.len() {
                    let neighbour = self.clients[place ^ 1].relayed;
                    self.bind(place, CHANNEL_TO_NEIGHBOUR, neighbour);
                }
                self.of_clients(channel_data(CHANNEL_TO_NEIGHBOUR, &payload))
            }
            Kind::Binding => self.each(|world, place| world.plain(place, Method::Binding)),
            Kind::Challenge => self.each(|world, place| world.plain(place, Method::Allocate)),
            Kind::Allocate => self.each(Self::end_and_ask_again),
            Kind::Refresh => self.each(|world, place| {
                world.signed(place, Method::Refresh, &|writer| {
                    writer.attribute(attribute::LIFETIME, &HOUR);
                })
            }),
            Kind::CreatePermission => self.each(|world, place| {
                world.signed(place, Method::CreatePermission, &|writer| {
                    writer.xor_address(attribute::XOR_PEER_ADDRESS, PEER);
                })
            }),
            Kind::ChannelBind => self.each(|world, place| world.binding(place, CHANNEL, PEER)),
        };
        self.step = kind.step();
        packets
    }

    /// One datagram in: the part that is measured. Gives the length of what goes out.
    pub fn pass(&mut self, packet: &Packet) -> usize {
        let transmit = black_box(self.handle(packet));
        transmit.head.len() + transmit.body.len()
    }

    /// Does the shell's work: closes ports and fills the stock. Gives the port that was taken.
    pub fn settle(&mut self) -> Option<PortId> {
        let hosts = self.hosts.len();
        let mut taken = None;
        while let Some(effect) = self.server.poll_effect() {
            if let Effect::ClosePort(port) = effect {
                self.hosts[port.0 as usize % hosts].ports_closed.push(port);
            } else if let Effect::PortTaken(port) = effect {
                self.open_port(port.0 as usize % hosts);
                taken = Some(port);
            } else {
                panic!("nobody asks for {effect:?}");
            }
        }
        taken
    }

    /// Ends the allocation of a client, and gives the Allocate by which it gets another.
    pub fn end_and_ask_again(&mut self, place: usize) -> Packet {
        self.end(place);
        self.asking(place)
    }

    fn each(&mut self, packet: impl Fn(&mut Self, usize) -> Packet) -> Vec<Packet> {
        let clients = self.clients.len();
        (0..clients).map(|turn| packet(self, turn * STRIDE % clients)).collect()
    }

    fn of_clients(&mut self, bytes: Vec<u8>) -> Vec<Packet> {
        let bytes = Rc::from(bytes);
        self.each(|world, place| world.clients[place].packet(Rc::clone(&bytes)))
    }

    fn of_peer(&mut self, from: SocketAddr, bytes: Vec<u8>) -> Vec<Packet> {
        let bytes = Rc::from(bytes);
        self.each(|world, place| {
            let at = At::Port(world.clients[place].port);
            Packet { at, from, bytes: Rc::clone(&bytes) }
        })
    }

    fn allocate(&mut self, place: usize) {
        let challenge = self.plain(place, Method::Allocate);
        let nonce = self.ask(&challenge).nonce.expect("a challenge has a nonce");
        self.clients[place].nonce = nonce;
        let asking = self.asking(place);
        let Answer { relayed, port, .. } = self.ask(&asking);
        let client = &mut self.clients[place];
        client.relayed = relayed.expect("who allocates gets an address");
        client.port = port.expect("who allocates gets a port");
    }

    fn end(&mut self, place: usize) {
        let farewell = self.signed(place, Method::Refresh, &|writer| {
            writer.attribute(attribute::LIFETIME, &[0; 4]);
        });
        self.ask(&farewell);
    }

    fn bind(&mut self, place: usize, channel: u16, peer: SocketAddr) {
        let request = self.binding(place, channel, peer);
        self.ask(&request);
    }

    fn asking(&mut self, place: usize) -> Packet {
        self.signed(place, Method::Allocate, &|writer| {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP);
            writer.attribute(attribute::LIFETIME, &HOUR);
        })
    }

    fn binding(&mut self, place: usize, channel: u16, peer: SocketAddr) -> Packet {
        self.signed(place, Method::ChannelBind, &|writer| {
            let [high, low] = channel.to_be_bytes();
            writer.attribute(attribute::CHANNEL_NUMBER, &[high, low, 0, 0]);
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        })
    }

    fn signed(&mut self, place: usize, method: Method, write: Attributes<'_>) -> Packet {
        self.transactions += 1;
        self.clients[place].signed(method, self.transactions, write)
    }

    fn plain(&mut self, place: usize, method: Method) -> Packet {
        self.transactions += 1;
        self.clients[place].plain(Class::Request, method, self.transactions, &|_| {})
    }

    /// The same from every client.
    fn send_indication(&self, payload: &[u8]) -> Vec<u8> {
        let packet = self.clients[0].plain(Class::Indication, Method::Send, 0, &|writer| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, PEER);
            writer.attribute(attribute::DATA, payload);
        });
        packet.bytes.to_vec()
    }

    fn handle<'a>(&'a mut self, packet: &'a Packet) -> Transmit<'a> {
        self.time += self.step;
        let received = Received { at: packet.at, from: packet.from, bytes: &packet.bytes };
        let now = Now { time: self.time, unix: START };
        let verdict = self.server.handle(now, received, &mut self.scratch);
        let Verdict::Send(transmit) = verdict else {
            panic!("every packet is answered or relayed, this one got {verdict:?}")
        };
        transmit
    }

    /// Has a request answered, and does the shell's work.
    fn ask(&mut self, request: &Packet) -> Answer {
        let head = self.handle(request).head;
        let message = Message::parse(head).expect("an answer is STUN");
        let of = |wanted| message.attributes().find(|(kind, _)| *kind == wanted);
        let relayed = of(attribute::XOR_RELAYED_ADDRESS).map(|(_, value)| {
            decode_xor_address(value, &message.transaction()).expect("it is well-formed")
        });
        let nonce = of(attribute::NONCE).map(|(_, value)| value.try_into().expect("24 bytes"));
        assert!(message.class() == Class::Success || nonce.is_some(), "a request was refused");
        Answer { relayed, port: self.settle(), nonce }
    }

    fn open_port(&mut self, host: usize) {
        let hosts = self.hosts.len() as u32;
        let Host { ip, ports_opened, ports_closed } = &mut self.hosts[host];
        let port = ports_closed.pop().unwrap_or_else(|| {
            *ports_opened += 1;
            PortId((*ports_opened - 1) * hosts + host as u32)
        });
        let number = FIRST_PORT + port.0 / hosts * STRIDE_OF_PORTS % PORTS;
        let address = SocketAddr::new(*ip, number as u16);
        self.server.handle_port_open(port, address, address);
    }
}

/// What an answer says.
struct Answer {
    relayed: Option<SocketAddr>,
    port: Option<PortId>,
    nonce: Option<Nonce>,
}

const TRANSPORTS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// The default with users of both kinds, and listeners of each transport on each address.
fn config(hosts: &[IpAddr], secret: Secret, clients: usize) -> Config {
    let listener = |ip, transport| {
        let port = if transport == Transport::Tls { 5349 } else { 3478 };
        let local = SocketAddr::new(ip, port);
        Listener { local, advertised: local, transport }
    };
    let listeners =
        hosts.iter().flat_map(|ip| TRANSPORTS.map(|transport| listener(*ip, transport)));
    let default = Config::default();
    Config {
        realm: REALM.to_owned(),
        secrets: vec![secret],
        users: vec![static_user()],
        listeners: listeners.collect(),
        never_peers: hosts.iter().map(|ip| SocketAddr::new(*ip, 8080)).collect(),
        allocations_max: default.allocations_max.max(2 * clients),
        allocations_per_user_max: default.allocations_per_user_max.max(clients),
        ..default
    }
}

fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
    let channel = ChannelNumber::new(channel).expect("it is in range");
    [&ChannelData::header(channel, payload.len() as u16)[..], payload].concat()
}
