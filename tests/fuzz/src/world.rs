//! A relay in virtual time that counts what goes in and out, and holds it to what always holds.

use heliograph_base::{Now, Secret, Time, UnixTime};
use relay_core::wire::{Class, Message};
use relay_core::{
    At, Config, Counters, Effect, IcmpError, Listener, PortId, Received, RelayedPorts, Scratch,
    Server, StaticUser, Transport, Verdict, WorkerId,
};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const REALM: &str = "fuzz";

/// The listeners, in the order of their ids.
pub(crate) const LISTENERS: [(&str, Transport); 3] = [
    ("198.51.100.1:3478", Transport::Udp),
    ("[2001:db8::1]:3478", Transport::Udp),
    ("198.51.100.1:3478", Transport::Tcp),
];

/// What came of a datagram, in bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Send { via: At, to: SocketAddr, bytes: Vec<u8> },
    Handover { to: SocketAddr },
    Nothing,
}

/// A server, the time, and the sums that its counters must show.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) elapsed: Duration,
    scratch: Scratch,
    ports: u32,
    sent: u64,
    done: u64,
    dropped: u64,
    datagrams: u64,
}

impl World {
    /// A relay with a few ports on the addresses of its first `families` listeners.
    pub(crate) fn new(families: usize, change: impl FnOnce(&mut Config)) -> Self {
        let user = |name: &str| StaticUser { name: name.into(), password: "secret".into() };
        let listeners = LISTENERS.map(|(local, transport)| listener(local, transport));
        let mut config = Config {
            realm: REALM.into(),
            users: vec![user("alice"), user("carol")],
            secrets: vec![Secret::from_text("0123456789abcdef").expect("a secret")],
            listeners: listeners.into(),
            unauthenticated_buckets: 16,
            ..Config::default()
        };
        change(&mut config);
        let own = LISTENERS[..families].iter().map(|(local, _)| address(local).ip());
        let ports = Arc::new(RelayedPorts::new(own.clone()));
        let mut world = Self {
            server: Server::new(Arc::new(config), WorkerId(0), ports, [1; 32]),
            elapsed: Duration::ZERO,
            scratch: Scratch::new(),
            ports: 0,
            sent: 0,
            done: 0,
            dropped: 0,
            datagrams: 0,
        };
        for _ in 0..3 {
            for ip in own.clone() {
                world.open_port(ip);
            }
        }
        world
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            time: Time::after_start(self.elapsed),
            unix: UnixTime::from_seconds(1_800_000_000 + self.elapsed.as_secs()),
        }
    }

    pub(crate) fn open_port(&mut self, ip: IpAddr) {
        let port = PortId(self.ports);
        let number = 50_000 + u16::try_from(self.ports % 10_000).expect("it is small");
        self.ports += 1;
        let address = SocketAddr::new(ip, number);
        self.server.handle_port_open(port, address, address);
    }

    /// How many ports were ever opened.
    pub(crate) const fn ports(&self) -> u32 {
        self.ports
    }

    /// One datagram in.
    pub(crate) fn datagram(&mut self, at: At, from: SocketAddr, bytes: &[u8]) -> Outcome {
        let now = self.now();
        self.datagrams += 1;
        let verdict = self.server.handle(now, Received { at, from, bytes }, &mut self.scratch);
        match verdict {
            Verdict::Drop(_) => self.dropped += 1,
            Verdict::Done => self.done += 1,
            Verdict::Send(_) | Verdict::Handover { .. } | Verdict::Forward { .. } => self.sent += 1,
        }
        own(verdict)
    }

    pub(crate) fn handover(&mut self, from: SocketAddr, to: SocketAddr, body: &[u8]) -> Outcome {
        let now = self.now();
        self.datagrams += 1;
        let verdict = self.server.handle_handover(now, from, to, body, &mut self.scratch);
        match verdict {
            Verdict::Drop(_) => self.dropped += 1,
            Verdict::Done => self.done += 1,
            Verdict::Send(_) | Verdict::Handover { .. } | Verdict::Forward { .. } => self.sent += 1,
        }
        own(verdict)
    }

    /// An ICMP error about a datagram to `peer`.
    pub(crate) fn icmp(&mut self, port: PortId, peer: SocketAddr, error: IcmpError) -> Outcome {
        let now = self.now();
        self.datagrams += 1;
        let verdict = self.server.handle_icmp(now, port, peer, error, &mut self.scratch);
        match verdict {
            Verdict::Drop(_) => self.dropped += 1,
            // It is told, but it is no data.
            Verdict::Done | Verdict::Send(_) => self.done += 1,
            Verdict::Handover { .. } | Verdict::Forward { .. } => {
                panic!("an ICMP error was handed over")
            }
        }
        own(verdict)
    }

    pub(crate) fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.server.poll_effect()).collect()
    }

    /// The counters say what came of every datagram, and no datagram gave more than one.
    pub(crate) fn check_sums(&self) {
        let counters: &Counters = self.server.counters();
        assert_eq!(self.datagrams, self.sent + self.done + self.dropped);
        assert_eq!(counters.drops_total(), self.dropped, "a drop is counted, once");
        let relayed = [
            counters.client_to_peer,
            counters.peer_to_client,
            counters.relay_to_relay,
            counters.handed_over,
        ];
        let relayed: u64 = relayed.iter().map(|flow| flow.packets).sum();
        let code = relay_core::wire::ErrorCode::ALL;
        let errors: u64 = code.into_iter().map(|code| counters.errors(code)).sum();
        let sent = relayed + counters.successes() + errors;
        assert_eq!(sent, self.sent, "what is sent is relayed or an answer");
        assert!(counters.allocations_begun >= counters.allocations_ended);
    }
}

fn own(verdict: Verdict<'_>) -> Outcome {
    match verdict {
        Verdict::Send(transmit) => {
            assert!(transmit.pad < 4, "padding is 0 to 3 bytes");
            let mut bytes = [transmit.head, transmit.body].concat();
            bytes.resize(bytes.len() + transmit.pad, 0);
            Outcome::Send { via: transmit.via, to: transmit.to, bytes }
        }
        Verdict::Handover { to, .. } => Outcome::Handover { to },
        Verdict::Forward { .. } => panic!("no other worker is there"),
        Verdict::Done | Verdict::Drop(_) => Outcome::Nothing,
    }
}

/// The class of an answer to `request`, after a look at what every answer has.
pub(crate) fn answer_class(request: &[u8], answer: &[u8]) -> Class {
    let request = Message::parse(request).expect("only what reads is answered");
    let answer = Message::parse(answer).expect("an answer reads");
    assert_eq!(request.class(), Class::Request, "only requests are answered");
    assert_eq!(answer.transaction(), request.transaction());
    assert_eq!(answer.method_number(), request.method_number());
    answer.class()
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn listener(local: &str, transport: Transport) -> Listener {
    Listener { local: address(local), advertised: address(local), transport }
}
