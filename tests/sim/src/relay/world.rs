//! Everybody who is in the world, and what they do.

use super::client::{Ask, Login, TurnClient, TurnEvent};
use super::mail::Mail;
use super::stun::{self, Class, Stun};
use super::{RelayNode, Seen};
use crate::nat::Kind;
use crate::{Delivery, Dice, HostId, INTERNET, Net, Trace, Weather};
use heliograph_base::{Credentials, Now, Secret, Time, UnixTime};
use relay_core::{Config, Listener, StaticUser, Transport};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// In a range that the relay's own policy denies to peers.
const RELAY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 3478);

const SECRET: &str = "a secret of the virtual world";

/// When a world begins, in seconds since 1970.
const UNIX_START_S: u64 = 1_800_000_000;

/// The kinds of networks that clients are in; those that let no UDP out have nothing to tell here.
const KINDS: [Kind; 7] = [
    Kind::Open,
    Kind::FullCone,
    Kind::AddressRestricted,
    Kind::PortRestricted,
    Kind::Symmetric,
    Kind::Double,
    Kind::ShortLived,
];

/// The ports of every peer.
const PEER_PORTS: [u16; 2] = [7000, 7001];

#[derive(Debug)]
pub(crate) struct World {
    dice: Dice,
    trace: Trace,
    now: Time,
    /// How far the clock of the machine was set forward, or back.
    clock_step_s: i64,
    net: Net,
    node: RelayNode,
    relay_host: HostId,
    clients: Vec<Client>,
    peers: Vec<HostId>,
    attacker: HostId,
    /// What clients sent to the relay, as somebody on the way can read it: from where, and what.
    captured: Vec<(SocketAddr, Vec<u8>)>,
    /// Relayed addresses that there ever were.
    relayed: Vec<SocketAddr>,
    mail: Mail,
    next_port: u16,
    seen: Seen,
}

#[derive(Debug)]
struct Client {
    host: HostId,
    port: u16,
    turn: TurnClient,
}

impl World {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let mut dice = Dice::new(seed);
        let mut net = Net::new(Weather::any(&mut dice), dice.fork());
        let relay_host = net.add_host_at(INTERNET, RELAY.ip());
        let node = RelayNode::new(config(&mut dice), dice.pick(&[1, 2]), dice.fork());
        let peers = (0..=dice.place(2)).map(|_| net.add_host(INTERNET)).collect();
        let attacker = net.add_host(INTERNET);
        let mut world = Self {
            dice,
            trace,
            now: Time::START,
            clock_step_s: 0,
            net,
            node,
            relay_host,
            clients: Vec::new(),
            peers,
            attacker,
            captured: Vec::new(),
            relayed: Vec::new(),
            mail: Mail::default(),
            next_port: 5000,
            seen: Seen::default(),
        };
        for _ in 0..=world.dice.place(3) {
            let kind = world.dice.pick(&KINDS);
            let network = world.net.add_networks(INTERNET, kind.gates());
            let host = world.net.add_host(network);
            world.trace.note(world.now, || format!("{host:?} is behind {kind}"));
            let client = world.client(host);
            world.clients.push(client);
        }
        world
    }

    /// Everything goes wrong.
    pub(crate) fn storm(&mut self) {
        for who in 0..self.clients.len() {
            self.ask(who, Ask::Allocate(None));
        }
        for _ in 0..40 + self.dice.below(80) {
            let pauses = [20, 200, 2_000, 20_000, 100_000].map(Duration::from_millis);
            let pause = self.dice.pick(&pauses);
            let until = self.now + self.dice.up_to(pause);
            self.run_until(until);
            self.act();
        }
        self.seen.relayed += self.node.oracle().relayed();
    }

    /// The weather clears: what there was ends in its time, and whoever comes then gets through.
    pub(crate) fn clear(&mut self) {
        self.net.set_weather(Weather::FAIR);
        let hosts: Vec<HostId> = self.clients.drain(..).map(|client| client.host).collect();
        self.run_until(self.now + Duration::from_secs(2));
        let config = Config::default();
        self.run_until(self.now + config.lifetime_max);
        assert_eq!((self.node.live(), self.node.poll_timeout()), (0, None), "all has ended");
        for host in hosts {
            self.net.set_cut(host, false);
            self.get_through(host);
        }
        assert_eq!(self.node.live(), 0, "all was given back");
    }

    pub(crate) const fn seen(&self) -> Seen {
        Seen { received: self.mail.received(), ..self.seen }
    }

    /// A client comes, exchanges a payload with each peer, and goes.
    fn get_through(&mut self, host: HostId) {
        let user = Login { user: "ada".into(), password: "secret".into() };
        let turn = TurnClient::new(user, true, self.dice.fork());
        self.next_port += 1;
        self.clients.push(Client { host, port: self.next_port, turn });
        self.ask(0, Ask::Allocate(None));
        self.settle();
        let relayed = self.clients[0].turn.relayed().expect("under a clear sky it is served");
        for (peer, by_channel) in [(0, true), (self.peers.len() - 1, false)] {
            let peer = SocketAddr::new(self.net.address(self.peers[peer]), PEER_PORTS[peer % 2]);
            let ask = match by_channel {
                true => Ask::Bind(0x4000, peer),
                false => Ask::Permit(vec![peer]),
            };
            self.ask(0, ask);
            self.settle();
            let before = self.mail.received();
            let bytes = self.mail.write(Some(relayed), peer);
            self.clients[0].turn.send(peer, &bytes);
            self.settle();
            assert_eq!(self.mail.received(), before + 1, "it comes to the peer");
            self.peer_sends(peer, relayed);
            self.settle();
            assert_eq!(self.mail.received(), before + 2, "the answer comes to the client");
        }
        self.ask(0, Ask::Refresh(Some(0)));
        self.settle();
        self.clients.clear();
    }

    /// Long enough for a few round trips.
    fn settle(&mut self) {
        self.run_until(self.now + Duration::from_millis(900));
    }

    fn act(&mut self) {
        let who = self.dice.place(self.clients.len());
        match self.dice.below(100) {
            0..36 => self.send(who),
            36..52 => self.answer(),
            52..72 => self.want(who),
            72..76 => self.crash(who),
            76..80 => {
                let weather = Weather::any(&mut self.dice);
                self.trace.note(self.now, || format!("{weather:?}"));
                self.net.set_weather(weather);
            }
            80..83 => {
                let is_cut = self.dice.chance(500);
                self.trace.note(self.now, || format!("the line of {who} is cut: {is_cut}"));
                self.net.set_cut(self.clients[who].host, is_cut);
            }
            83..86 => self.net.restart_routers(self.clients[who].host),
            86 => {
                self.trace.note(self.now, || "the relay starts anew".to_owned());
                self.seen.relayed += self.node.oracle().relayed();
                self.node.restart();
            }
            87..89 => {
                self.clock_step_s = self.dice.pick(&[-7200, -600, 0, 30, 1800, 86_400]);
                self.trace.note(self.now, || format!("clock: {} s", self.clock_step_s));
            }
            89 => self.revoke(),
            _ => self.attack(),
        }
    }

    /// A client sends to somebody, whether it may or not.
    fn send(&mut self, who: usize) {
        let to = self.target(who);
        let own = self.clients[who].turn.relayed_for_sure(self.now);
        let bytes = self.mail.write(own, to);
        self.trace.note(self.now, || format!("{who} sends to {to} as {own:?}"));
        self.clients[who].turn.send(to, &bytes);
    }

    /// A peer sends to somebody's relayed address, or to what once was one.
    fn answer(&mut self) {
        if self.relayed.is_empty() {
            return;
        }
        let live: Vec<_> = self.clients.iter().filter_map(|client| client.turn.relayed()).collect();
        let to = match self.dice.chance(800) && !live.is_empty() {
            true => self.dice.pick(&live),
            false => self.dice.pick(&self.relayed),
        };
        let peer = self.peer();
        self.peer_sends(peer, to);
    }

    fn peer_sends(&mut self, peer: SocketAddr, to: SocketAddr) {
        let bytes = self.mail.write(Some(peer), to);
        let host = self.peers.iter().find(|host| self.net.address(**host) == peer.ip());
        let host = *host.expect("it is one of them");
        self.trace.note(self.now, || format!("{peer} sends to {to}"));
        self.net.send(self.now, host, peer.port(), to, bytes);
    }

    /// A client asks for something.
    fn want(&mut self, who: usize) {
        let lifetimes = [None, None, Some(0), Some(1), Some(700), Some(3600), Some(u32::MAX)];
        let lifetime = self.dice.pick(&lifetimes);
        let ask = match self.dice.below(10) {
            0 | 1 => Ask::Allocate(lifetime),
            2 => Ask::Refresh(lifetime),
            3..6 => {
                let more = self.dice.place(2);
                let peers = (0..=more).map(|_| self.target(who));
                Ask::Permit(peers.collect())
            }
            _ => {
                let numbers = [0x4000, 0x4000, 0x4001, 0x4fff, 0x3fff, 0x7fff, 0x8000];
                Ask::Bind(self.dice.pick(&numbers), self.target(who))
            }
        };
        self.ask(who, ask);
    }

    fn ask(&mut self, who: usize, ask: Ask) {
        self.trace.note(self.now, || format!("{who} asks: {ask:?}"));
        self.clients[who].turn.ask(self.now, ask);
    }

    /// A client forgets all, and comes again: at another port, or at the same.
    fn crash(&mut self, who: usize) {
        let Client { host, port, .. } = self.clients[who];
        self.trace.note(self.now, || format!("{who} starts anew"));
        self.clients[who] = self.client(host);
        if self.dice.chance(300) {
            self.clients[who].port = port;
            self.clients[who].turn.handle_used_port(self.now);
        }
        self.ask(who, Ask::Allocate(None));
    }

    fn client(&mut self, host: HostId) -> Client {
        self.next_port += 1;
        let (login, is_diligent) = (self.login(), self.dice.chance(600));
        let turn = TurnClient::new(login, is_diligent, self.dice.fork());
        Client { host, port: self.next_port, turn }
    }

    /// A right password of somebody; now and then a wrong one.
    fn login(&mut self) -> Login {
        if self.dice.chance(100) {
            return Login { user: "ada".into(), password: "Secret".into() };
        }
        let user = self.dice.pick(&["ada", "bob", "", ""]);
        if !user.is_empty() {
            return Login { user: user.into(), password: "secret".into() };
        }
        let secret = Secret::from_text(SECRET).expect("a secret");
        let expires = UNIX_START_S + self.dice.pick(&[600, 2400, 70_000]);
        let (peer, seat) = self.dice.pick(&[("ann", 1), ("ann", 2), ("ben", 3)]);
        let holder = format!("room:{peer}:{seat}");
        let minted = Credentials::mint(&secret, UnixTime::from_seconds(expires), holder);
        Login { user: minted.username, password: minted.password }
    }

    fn revoke(&mut self) {
        let (peer, seat) = self.dice.pick(&[("ann", 1), ("ann", 2), ("ben", 3)]);
        self.trace.note(self.now, || format!("seat {seat} of {peer} is revoked"));
        self.node.handle_revoke(self.now(), "room", peer, seat);
    }

    /// Whom a client may want to send to.
    fn target(&mut self, who: usize) -> SocketAddr {
        match self.dice.below(20) {
            0..12 => self.peer(),
            12..17 => {
                let others = self.clients.iter().enumerate().filter(|(other, _)| *other != who);
                let others: Vec<_> = others.filter_map(|(_, it)| it.turn.relayed()).collect();
                if others.is_empty() { self.peer() } else { self.dice.pick(&others) }
            }
            17 if !self.relayed.is_empty() => self.dice.pick(&self.relayed),
            18 => SocketAddr::new(self.peer().ip(), 53),
            _ => {
                let denied = ["127.0.0.1:22", "10.1.0.1:5001", "169.254.169.254:80", "0.0.0.0:9"];
                let denied = self.dice.pick(&denied).parse().expect("an address");
                if self.dice.chance(300) { RELAY } else { denied }
            }
        }
    }

    fn peer(&mut self) -> SocketAddr {
        let host = self.dice.pick(&self.peers);
        SocketAddr::new(self.net.address(host), self.dice.pick(&PEER_PORTS))
    }

    /// Somebody who hears all, and has no password.
    fn attack(&mut self) {
        if self.captured.is_empty() {
            return;
        }
        let (from, bytes) = self.captured[self.dice.place(self.captured.len())].clone();
        let request = Stun::read(&bytes).filter(|message| message.class == Class::Request);
        match (self.dice.below(4), request) {
            // The same again, but by itself.
            (0, _) => {
                self.trace.note(self.now, || format!("the attacker repeats what {from} said"));
                self.net.send(self.now, self.attacker, 6666, RELAY, bytes);
            }
            // In the other's name, changed.
            (1, Some(_)) => {
                let mut bytes = bytes.clone();
                let place = self.dice.place(bytes.len());
                bytes[place] ^= 1 << self.dice.below(8);
                self.trace.note(self.now, || format!("changed at {place}: what {from} said"));
                self.receive(from, &bytes);
            }
            // In the other's name, with something appended.
            (2, Some(request)) if request.method == stun::REFRESH => {
                self.trace.note(self.now, || format!("an end appended to what {from} said"));
                self.receive(from, &stun::append(&bytes, stun::LIFETIME, &[0; 4]));
            }
            // Of another's allocation it is the wrong user.
            (_, Some(_)) => {
                let who = self.dice.place(self.clients.len());
                let login = self.login();
                self.trace.note(self.now, || format!("{who} is {} from now on", login.user));
                self.clients[who].turn.set_login(login);
            }
            (_, None) => {
                let bytes = stun::write_channel_data(0x4000, b"by nobody");
                self.net.send(self.now, self.attacker, 6666, RELAY, bytes);
            }
        }
    }

    /// What comes to the relay as if it were from there.
    fn receive(&mut self, from: SocketAddr, bytes: &[u8]) {
        let sent = self.node.handle(self.now(), RELAY.port(), from, bytes);
        if let Some(sent) = sent {
            self.net.send(self.now, self.relay_host, sent.from.port(), sent.to, sent.bytes);
        }
    }

    fn now(&self) -> Now {
        let seconds = UNIX_START_S + self.now.since_start().as_secs();
        let unix = UnixTime::from_seconds(seconds.saturating_add_signed(self.clock_step_s));
        Now { time: self.now, unix }
    }

    /// Does what is due, the earliest first.
    fn run_until(&mut self, end: Time) {
        self.flush();
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            if self.node.poll_timeout().is_some_and(|due| due <= self.now) {
                self.node.handle_timeout(self.now());
            }
            while let Some(delivery) = self.net.poll_delivery(self.now) {
                self.deliver(&delivery);
            }
            for client in &mut self.clients {
                if client.turn.poll_timeout().is_some_and(|due| due <= self.now) {
                    client.turn.handle_timeout(self.now);
                }
            }
            self.flush();
        }
        self.now = self.now.max(end);
        if self.node.poll_timeout().is_some_and(|due| due <= self.now) {
            self.node.handle_timeout(self.now());
        }
    }

    fn next_due(&self) -> Option<Time> {
        let clients = self.clients.iter().filter_map(|client| client.turn.poll_timeout());
        let others = [self.net.poll_timeout(), self.node.poll_timeout()];
        clients.chain(others.into_iter().flatten()).min()
    }

    /// Brings to where it belongs what clients send and are told.
    fn flush(&mut self) {
        for who in 0..self.clients.len() {
            while let Some(bytes) = self.clients[who].turn.poll_transmit() {
                let Client { host, port, .. } = self.clients[who];
                self.net.send(self.now, host, port, RELAY, bytes);
            }
            while let Some(event) = self.clients[who].turn.poll_event() {
                self.trace.note(self.now, || format!("{who}: {event:?}"));
                self.note(who, event);
            }
        }
    }

    fn note(&mut self, who: usize, event: TurnEvent) {
        match event {
            TurnEvent::Allocated { relayed, .. } => {
                self.seen.allocations += 1;
                self.relayed.push(relayed);
            }
            TurnEvent::Data { peer, bytes } => {
                self.read(peer, None, &bytes);
            }
            TurnEvent::Refused(ask, _) => {
                self.seen.refused += 1;
                if matches!(ask, Ask::Allocate(_)) && self.dice.chance(500) {
                    self.crash(who);
                }
            }
            TurnEvent::Lost => self.ask(who, Ask::Allocate(None)),
            TurnEvent::Mapped(_) | TurnEvent::Done(_) => {}
        }
    }

    fn deliver(&mut self, delivery: &Delivery) {
        let Delivery { host, to, from, bytes } = delivery;
        if *host == self.relay_host {
            if to.port() == RELAY.port() && *from != SocketAddr::new(self.attacker_ip(), 6666) {
                self.captured.push((*from, bytes.clone()));
            }
            let sent = self.node.handle(self.now(), to.port(), *from, bytes);
            if let Some(sent) = sent {
                self.net.send(self.now, *host, sent.from.port(), sent.to, sent.bytes);
            }
        } else if self.peers.contains(host) {
            self.read(*from, Some(*to), bytes);
        } else {
            let is_it = |it: &&mut Client| (it.host, it.port) == (*host, to.port());
            if let Some(client) = self.clients.iter_mut().find(is_it) {
                client.turn.handle(self.now, bytes);
            }
        }
    }

    fn read(&mut self, from: SocketAddr, to: Option<SocketAddr>, bytes: &[u8]) {
        let doubles = self.net.duplicates() > 0;
        self.mail.read(from, to, bytes, doubles);
    }

    fn attacker_ip(&self) -> std::net::IpAddr {
        self.net.address(self.attacker)
    }
}

/// With limits that are met.
fn config(dice: &mut Dice) -> Config {
    let user = |name: &str| StaticUser { name: name.into(), password: "secret".into() };
    Config {
        realm: "virtual".into(),
        users: vec![user("ada"), user("bob")],
        secrets: vec![Secret::from_text(SECRET).expect("a secret")],
        listeners: vec![Listener { local: RELAY, advertised: RELAY, transport: Transport::Udp }],
        allocations_per_user_max: 2,
        allocations_per_holder_max: 2,
        nonce_lifetime: Duration::from_secs(dice.pick(&[20, 600, 3600])),
        ..Config::default()
    }
}
