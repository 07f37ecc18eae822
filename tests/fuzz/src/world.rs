//! A relay in virtual time, with the shell that it needs: workers, sockets, a shelf. It counts what
//! goes in and out, and holds the relay to what always holds.

use crate::model::Place;
use heliograph_base::{Now, Secret, Time, UnixTime};
use relay_core::wire::{ConnectionId, ErrorCode};
use relay_core::{
    At, Config, Counters, Effect, Forwarded, IcmpError, Listener, ListenerId, PortId, Reason,
    Received, RelayedPorts, ReservationToken, Revoke, Scratch, Server, StaticUser, Transport,
    Verdict, WorkerId,
};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const REALM: &str = "fuzz";
pub(crate) const SECRET: &str = "0123456789abcdef";
pub(crate) const UNIX_START_S: u64 = 1_800_000_000;

/// The listeners, in the order of their ids.
pub(crate) const LISTENERS: [(&str, Transport); 3] = [
    ("198.51.100.1:3478", Transport::Udp),
    ("[2001:db8::1]:3478", Transport::Udp),
    ("198.51.100.1:3478", Transport::Tcp),
];

/// The number of the first relay port of either transport.
const FIRST_PORT: u16 = 50_000;

/// What came of a datagram, in bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Send { via: At, to: SocketAddr, bytes: Vec<u8> },
    Nothing,
}

/// The way of one datagram through the workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// If the first worker passed it on as it was: whether it vouched for it.
    pub(crate) forwarded: Option<bool>,
    /// The worker that took it for a client's.
    pub(crate) served: usize,
    /// From which relayed transport address it went to which one of another worker.
    pub(crate) handed_over: Option<(SocketAddr, SocketAddr)>,
    pub(crate) outcome: Outcome,
}

/// An effect, and the address of the port that it is about.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) worker: usize,
    pub(crate) effect: Effect,
    pub(crate) port: Option<Socket>,
}

/// An open relay port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) worker: usize,
    pub(crate) address: SocketAddr,
    pub(crate) is_tcp: bool,
}

/// The workers, the time, and the sums that their counters must show.
pub(crate) struct World {
    pub(crate) servers: Vec<Server>,
    pub(crate) shared: Arc<RelayedPorts>,
    pub(crate) elapsed: Duration,
    /// Which workers have taken something in since time went on.
    pub(crate) is_awake: Vec<bool>,
    /// The UDP addresses that were ever opened.
    pub(crate) opened: Vec<SocketAddr>,
    sockets: Vec<Option<Socket>>,
    /// Reserved ports, by their tokens.
    shelf: HashMap<ReservationToken, SocketAddr>,
    events: Vec<Event>,
    numbers: [u16; 2],
    scratch: Scratch,
    sums: Sums,
}

/// What was seen to come of all datagrams.
#[derive(Debug, Default)]
struct Sums {
    datagrams: u64,
    sent: u64,
    done: u64,
    dropped: u64,
    handed_over: u64,
    forwarded: u64,
}

/// A verdict in bytes of its own.
enum Owned {
    Handover { worker: usize, from: SocketAddr, to: SocketAddr, body: Vec<u8> },
    Forward { worker: usize, listener: ListenerId, is_vouched_for: bool },
    Out(Outcome),
}

impl World {
    /// A relay with so many workers, whose ports are on the addresses of the first `families`
    /// listeners. It has no ports yet.
    pub(crate) fn new(workers: u8, families: usize, change: impl FnOnce(&mut Config)) -> Self {
        let user = |name: &str| StaticUser { name: name.into(), password: "secret".into() };
        let listeners = LISTENERS.map(|(local, transport)| listener(local, transport));
        let mut config = Config {
            realm: REALM.into(),
            users: vec![user("alice"), user("carol")],
            secrets: vec![Secret::from_text(SECRET).expect("a secret")],
            listeners: listeners.into(),
            unauthenticated_buckets: 16,
            revocations_max: 256,
            ..Config::default()
        };
        change(&mut config);
        let config = Arc::new(config);
        let own = LISTENERS[..families].iter().map(|(local, _)| address(local).ip());
        let shared = Arc::new(RelayedPorts::new(own));
        let server = |worker: u8| {
            Server::new(config.clone(), WorkerId(worker), shared.clone(), [worker + 1; 32])
        };
        Self {
            servers: (0..workers).map(server).collect(),
            shared: shared.clone(),
            elapsed: Duration::ZERO,
            is_awake: vec![false; workers.into()],
            opened: Vec::new(),
            sockets: Vec::new(),
            shelf: HashMap::new(),
            events: Vec::new(),
            numbers: [FIRST_PORT; 2],
            scratch: Scratch::new(),
            sums: Sums::default(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            time: Time::after_start(self.elapsed),
            unix: UnixTime::from_seconds(UNIX_START_S + self.elapsed.as_secs()),
        }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.elapsed += time;
        if !time.is_zero() {
            self.is_awake.fill(false);
        }
    }

    /// Opens a port with the next number, and an id that is free.
    pub(crate) fn open_port(&mut self, worker: usize, ip: IpAddr, is_tcp: bool) {
        let number = &mut self.numbers[usize::from(is_tcp)];
        let address = SocketAddr::new(ip, *number);
        *number += 1;
        let free = self.sockets.iter().position(Option::is_none);
        let place = free.unwrap_or(self.sockets.len());
        self.sockets.resize(self.sockets.len().max(place + 1), None);
        self.sockets[place] = Some(Socket { worker, address, is_tcp });
        let port = PortId(u32::try_from(place).expect("few ports"));
        if is_tcp {
            self.servers[worker].handle_tcp_port_open(port, address, address);
        } else {
            self.opened.push(address);
            self.servers[worker].handle_port_open(port, address, address);
        }
    }

    /// Opens an even port and the next one.
    pub(crate) fn open_pair(&mut self, worker: usize, ip: IpAddr) {
        self.numbers[0] = self.numbers[0].next_multiple_of(2);
        self.open_port(worker, ip, false);
        self.open_port(worker, ip, false);
    }

    /// The socket that a port has.
    pub(crate) fn socket(&self, port: PortId) -> Option<Socket> {
        self.sockets.get(port.0 as usize).copied().flatten()
    }

    /// How many ids of ports there are.
    pub(crate) const fn ids(&self) -> usize {
        self.sockets.len()
    }

    pub(crate) fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for server in &self.servers {
            sum += server.counters();
        }
        sum
    }

    /// One datagram or message of a client that the kernel brings to `worker`.
    pub(crate) fn client_sends(&mut self, worker: usize, from: Place, bytes: &[u8]) -> Passage {
        let now = self.now();
        let at = At::Listener(ListenerId(from.0));
        let received = Received { at, from: from.1, bytes };
        let verdict = self.servers[worker].handle(now, received, &mut self.scratch);
        let owned = self.sums.take(verdict);
        self.take_effects(worker);
        let Owned::Forward { worker: served, listener, is_vouched_for } = owned else {
            return self.end_passage(worker, None, owned);
        };
        assert!(served != worker && at == At::Listener(listener), "it goes on as it came");
        let forwarded = Forwarded { listener, from: from.1, bytes, is_vouched_for };
        let verdict = self.servers[served].handle_forward(now, forwarded, &mut self.scratch);
        let owned = self.sums.take(verdict);
        self.take_effects(served);
        self.end_passage(served, Some(is_vouched_for), owned)
    }

    fn end_passage(&mut self, served: usize, forwarded: Option<bool>, owned: Owned) -> Passage {
        let (handed_over, outcome) = match owned {
            Owned::Out(outcome) => (None, outcome),
            Owned::Forward { .. } => panic!("it is passed on twice"),
            Owned::Handover { worker, from, to, body } => {
                assert!(worker != served, "it is handed over to where it is");
                assert_eq!(self.shared.owner(to), Some(WorkerId(worker as u8)));
                (Some((from, to)), self.handover(worker, from, to, &body))
            }
        };
        Passage { forwarded, served, handed_over, outcome }
    }

    /// One datagram of a peer.
    pub(crate) fn peer_sends(&mut self, port: PortId, from: SocketAddr, bytes: &[u8]) -> Outcome {
        let (now, worker) = (self.now(), self.worker_of(port));
        let received = Received { at: At::Port(port), from, bytes };
        let verdict = self.servers[worker].handle(now, received, &mut self.scratch);
        let owned = self.sums.take(verdict);
        self.take_effects(worker);
        out(owned)
    }

    /// Data from an allocation of another worker.
    pub(crate) fn handover(
        &mut self,
        worker: usize,
        from: SocketAddr,
        to: SocketAddr,
        body: &[u8],
    ) -> Outcome {
        let now = self.now();
        let server = &mut self.servers[worker];
        let verdict = server.handle_handover(now, from, to, body, &mut self.scratch);
        let owned = self.sums.take(verdict);
        self.take_effects(worker);
        out(owned)
    }

    /// An ICMP error about a datagram to `peer`.
    pub(crate) fn icmp(&mut self, port: PortId, peer: SocketAddr, error: IcmpError) -> Outcome {
        let (now, worker) = (self.now(), self.worker_of(port));
        let server = &mut self.servers[worker];
        let verdict = server.handle_icmp(now, port, peer, error, &mut self.scratch);
        let is_told = matches!(verdict, Verdict::Send(_));
        let owned = self.sums.take(verdict);
        // It is told, but it is no data.
        self.sums.sent -= u64::from(is_told);
        self.sums.done += u64::from(is_told);
        self.take_effects(worker);
        out(owned)
    }

    /// What became of a connection that a client asked for.
    pub(crate) fn peer_connected(&mut self, id: ConnectionId, is_connected: bool) -> Outcome {
        let (now, worker) = (self.now(), usize::from(id.worker().0));
        let server = &mut self.servers[worker];
        let verdict = server.handle_peer_connected(now, id, is_connected, &mut self.scratch);
        let owned = self.sums.take(verdict);
        self.take_effects(worker);
        out(owned)
    }

    /// A connection from a peer.
    pub(crate) fn peer_accepted(
        &mut self,
        port: PortId,
        peer: SocketAddr,
    ) -> Result<(ConnectionId, Outcome), Reason> {
        let (now, worker) = (self.now(), self.worker_of(port));
        let server = &mut self.servers[worker];
        let accepted = server.handle_peer_accepted(now, port, peer, &mut self.scratch);
        self.sums.datagrams += 1;
        let accepted = match accepted {
            Ok((id, transmit)) => {
                self.sums.done += 1;
                let bytes = [transmit.head, transmit.body].concat();
                Ok((id, Outcome::Send { via: transmit.via, to: transmit.to, bytes }))
            }
            Err(reason) => {
                self.sums.dropped += 1;
                Err(reason)
            }
        };
        self.take_effects(worker);
        accepted
    }

    pub(crate) fn peer_closed(&mut self, id: ConnectionId) {
        let (now, worker) = (self.now(), usize::from(id.worker().0));
        self.servers[worker].handle_peer_closed(now, id);
        self.take_effects(worker);
    }

    pub(crate) fn client_gone(&mut self, worker: usize, client: Place) {
        let now = self.now();
        self.servers[worker].handle_client_gone(now, ListenerId(client.0), client.1);
        self.take_effects(worker);
    }

    pub(crate) fn revoke(&mut self, worker: usize, revoke: &Revoke) -> usize {
        let now = self.now();
        let ended = self.servers[worker].handle_revoke(now, revoke);
        self.take_effects(worker);
        ended
    }

    pub(crate) fn timeout(&mut self, worker: usize) {
        let now = self.now();
        self.servers[worker].handle_timeout(now);
        self.take_effects(worker);
    }

    /// What the relay wanted done since the last time.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn worker_of(&self, port: PortId) -> usize {
        self.socket(port).map_or(0, |socket| socket.worker)
    }

    fn take_effects(&mut self, worker: usize) {
        self.is_awake[worker] = true;
        while let Some(effect) = self.servers[worker].poll_effect() {
            let port = self.do_effect(worker, effect);
            self.events.push(Event { worker, effect, port });
        }
    }

    /// Does what a shell does, and gives the socket that it is about.
    fn do_effect(&mut self, worker: usize, effect: Effect) -> Option<Socket> {
        let own = |socket: Option<Socket>| {
            let socket = socket.expect("the port is open");
            assert_eq!(socket.worker, worker, "a port of another worker");
            Some(socket)
        };
        match effect {
            Effect::PortTaken(port)
            | Effect::Connect { port, .. }
            | Effect::Splice { port, .. }
            | Effect::ClosePeer { port, .. } => own(self.socket(port)),
            Effect::ClosePort(port) => own(self.sockets[port.0 as usize].take()),
            Effect::PortReserved { port, token } => {
                let socket = own(self.sockets[port.0 as usize].take())?;
                let before = self.shelf.insert(token, socket.address);
                assert_eq!(before, None, "two ports for one token");
                Some(socket)
            }
            Effect::PortAdopted { port, token } => {
                let address = self.shelf.remove(&token).expect("it is on the shelf");
                let spare = own(self.socket(port))?;
                let adopted = Socket { address, ..spare };
                self.sockets[port.0 as usize] = Some(adopted);
                Some(adopted)
            }
            Effect::ReservationEnded(token) => {
                let address = self.shelf.remove(&token).expect("it is on the shelf");
                Some(Socket { worker, address, is_tcp: false })
            }
        }
    }

    /// The counters say what came of every datagram, and no datagram gave more than one.
    pub(crate) fn check_sums(&self) {
        let (counters, sums) = (self.counters(), &self.sums);
        let gone = sums.sent + sums.done + sums.dropped + sums.handed_over + sums.forwarded;
        assert_eq!(sums.datagrams, gone);
        assert_eq!(counters.drops_total(), sums.dropped, "a drop is counted, once");
        assert_eq!(counters.handed_over.packets, sums.handed_over);
        assert_eq!(counters.forwarded, sums.forwarded);
        let relayed = [counters.client_to_peer, counters.peer_to_client, counters.relay_to_relay];
        let relayed: u64 = relayed.iter().map(|flow| flow.packets).sum();
        let errors: u64 = ErrorCode::ALL.into_iter().map(|code| counters.errors(code)).sum();
        let sent = relayed + counters.successes() + errors;
        assert_eq!(sent, sums.sent, "what is sent is relayed or an answer");
    }

    /// Whether nothing waits on the shelf.
    pub(crate) fn is_shelf_empty(&self) -> bool {
        self.shelf.is_empty()
    }
}

impl Sums {
    fn take(&mut self, verdict: Verdict<'_>) -> Owned {
        self.datagrams += 1;
        match verdict {
            Verdict::Send(transmit) => {
                self.sent += 1;
                assert!(transmit.pad < 4, "padding is 0 to 3 bytes");
                let mut bytes = [transmit.head, transmit.body].concat();
                bytes.resize(bytes.len() + transmit.pad, 0);
                Owned::Out(Outcome::Send { via: transmit.via, to: transmit.to, bytes })
            }
            Verdict::Handover { worker, from, to, body } => {
                self.handed_over += 1;
                Owned::Handover { worker: worker.0.into(), from, to, body: body.to_vec() }
            }
            Verdict::Forward { worker, forwarded } => {
                self.forwarded += 1;
                let Forwarded { listener, is_vouched_for, .. } = forwarded;
                Owned::Forward { worker: worker.0.into(), listener, is_vouched_for }
            }
            Verdict::Done => {
                self.done += 1;
                Owned::Out(Outcome::Nothing)
            }
            Verdict::Drop(_) => {
                self.dropped += 1;
                Owned::Out(Outcome::Nothing)
            }
        }
    }
}

fn out(owned: Owned) -> Outcome {
    match owned {
        Owned::Out(outcome) => outcome,
        Owned::Handover { to, .. } => panic!("it was handed over to {to}"),
        Owned::Forward { worker, .. } => panic!("it was passed on to worker {worker}"),
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn listener(local: &str, transport: Transport) -> Listener {
    Listener { local: address(local), advertised: address(local), transport }
}
