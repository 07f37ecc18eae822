//! A world with a relay, a hub and two peers.

use crate::peer::{Clock, Peer};
use crate::signaling::Signaling;
use heliograph_base::{Now, Secret, Time, UnixTime};
use heliograph_sim::grid::{Candidate, Found, Meeting, Pair, Ways};
use heliograph_sim::nat::Family;
use heliograph_sim::relay::RelayNode;
use heliograph_sim::{Dice, HostId, INTERNET, Net, NetworkId, Weather};
use relay_core::{Config, Listener, StaticUser, Transport};
use serde_json::value::RawValue;
use signal_core::client::Event;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The relay, which answers STUN too.
pub(crate) const RELAY: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 3478);

/// The same for peers with IPv6 only.
pub(crate) const RELAY_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x3478)), RELAY.port());

/// For so long two try to connect, or to say something.
const PATIENCE: Duration = Duration::from_secs(120);

/// Has two peers meet. How, and how long it took from their first packet to a message each way;
/// `None` if there was none.
///
/// # Panics
/// If they connect and don't stay so.
#[must_use]
pub fn meet(weather: Weather, pair: Pair) -> Option<Meeting> {
    let mut world = World::new(weather);
    let Ways { shared, own } = pair.ways();
    let shared = world.net.add_networks(INTERNET, shared);
    for (gates, family) in own.into_iter().zip(pair.families()) {
        let network = world.net.add_networks(shared, gates);
        world.add_peer(network, family);
    }
    world.meet()
}

/// Has all pairs meet in fair weather.
#[must_use]
pub fn simulate() -> Found {
    Pair::all().map(|pair| (pair, meet(Weather::FAIR, pair))).collect()
}

struct World {
    net: Net,
    relay: RelayNode,
    /// The relay's machine, by IPv4 and by IPv6.
    relay_hosts: [HostId; 2],
    signaling: Signaling,
    peers: Vec<Peer>,
    clock: Clock,
    dice: Dice,
    now: Time,
}

impl World {
    fn new(weather: Weather) -> Self {
        let mut dice = Dice::new(1);
        let mut net = Net::new(weather, dice.fork());
        let relay_hosts = [RELAY, RELAY_V6].map(|it| net.add_host_at(INTERNET, it.ip()));
        let relay = RelayNode::new(config(), 2, dice.fork());
        let (signaling, clock) = (Signaling::new(), Clock::new());
        Self { net, relay, relay_hosts, signaling, peers: vec![], clock, dice, now: Time::START }
    }

    fn add_peer(&mut self, network: NetworkId, family: Family) {
        let host = self.net.add_host_of(family, network);
        let local = SocketAddr::new(self.net.address(host), 5000);
        self.peers.push(Peer::new(host, local, self.clock, self.dice.fork()));
    }

    /// Both connect, and go on for a while; the path of the last data is how they have met.
    fn meet(mut self) -> Option<Meeting> {
        if !self.exchange() {
            return None;
        }
        let took = self.now.since_start();
        for _ in 0..10 {
            self.run_for(Duration::from_secs(1));
            assert!(self.exchange(), "they don't stay connected");
        }
        let path = |who: usize| self.peers[who].path.expect("it has said something");
        // Who sends by its own relay is reached there.
        let end = |who: usize| if path(who).0 { Candidate::Relay } else { path(1 - who).1 };
        Some(Meeting { ends: [end(0), end(1)], took })
    }

    /// Each says something until the other has heard it; whether it has.
    fn exchange(&mut self) -> bool {
        let deadline = self.now + PATIENCE;
        self.peers.iter_mut().for_each(|peer| peer.is_greeted = false);
        while self.now < deadline {
            self.peers.iter_mut().for_each(|peer| peer.greet(self.now));
            self.run_for(Duration::from_millis(50));
            if self.peers.iter().all(|peer| peer.is_greeted) {
                return true;
            }
            if self.peers.iter().any(|peer| peer.has_failed) {
                return false;
            }
        }
        false
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.flush();
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.relay.handle_timeout(self.now());
            while let Some(delivery) = self.net.poll_delivery(self.now) {
                if self.relay_hosts.contains(&delivery.host) {
                    let (to, from) = (delivery.to.port(), delivery.from);
                    if let Some(sent) = self.relay.handle(self.now(), to, from, &delivery.bytes) {
                        let port = sent.from.port();
                        let host = self.relay_hosts[usize::from(sent.from.is_ipv6())];
                        self.net.send(self.now, host, port, sent.to, sent.bytes);
                    }
                } else {
                    let peer = self.peers.iter_mut().find(|peer| peer.host == delivery.host);
                    peer.expect("it is a peer").handle_datagram(
                        self.now,
                        delivery.from,
                        &delivery.bytes,
                    );
                }
            }
            for peer in &mut self.peers {
                if peer.poll_timeout().is_some_and(|due| due <= self.now) {
                    peer.handle_timeout(self.now);
                }
            }
            self.flush();
        }
        self.now = end;
    }

    fn next_due(&self) -> Option<Time> {
        let peers = self.peers.iter().map(Peer::poll_timeout);
        let others =
            [self.net.poll_timeout(), self.relay.poll_timeout(), self.signaling.poll_timeout()];
        peers.chain(others).flatten().min()
    }

    /// Brings on what peers say: datagrams by the network, descriptions by the hub.
    fn flush(&mut self) {
        for peer in &mut self.peers {
            for (to, bytes) in peer.poll_datagrams() {
                self.net.send(self.now, peer.host, peer.local.port(), to, bytes);
            }
        }
        for who in 0..2 {
            let peer = &mut self.peers[who];
            if let Some(sdp) = peer.description.take() {
                let (to, _) = peer.other.as_ref().expect("it knows for whom");
                let data = serde_json::to_string(&sdp).expect("a text");
                self.signaling.signal(who, to, RawValue::from_string(data).expect("JSON"));
            }
        }
        for (who, event) in self.signaling.run(self.now) {
            self.note(who, event);
        }
    }

    fn note(&mut self, who: usize, event: Event) {
        let peer = &mut self.peers[who];
        match event {
            Event::Joined(seat) => {
                peer.other = seat.members.into_iter().next().map(|it| (it.peer, it.offers));
            }
            Event::PeerJoined(member) => peer.other = Some((member.peer, member.offers)),
            Event::Signal { data, .. } => {
                let sdp = serde_json::from_str(data.get()).expect("a text");
                peer.handle_description(self.now, sdp);
            }
            Event::Done { .. } => {}
            Event::Resumed
            | Event::TokenTaken { .. }
            | Event::Diagnosed(_)
            | Event::Moved { .. }
            | Event::Resync(_)
            | Event::PeerAway(_)
            | Event::PeerBack(_)
            | Event::PeerLeft { .. }
            | Event::Room(_)
            | Event::Ice(_)
            | Event::Refused(_)
            | Event::Lost { .. }
            | Event::Ended(_) => panic!("{event:?}"),
        }
    }

    fn now(&self) -> Now {
        Now { time: self.now, unix: UnixTime::from_seconds(1_800_000_000) }
    }
}

fn config() -> Config {
    Config {
        users: vec![StaticUser { name: "ada".into(), password: "secret".into() }],
        secrets: vec![Secret::from_text("nobody knows it").expect("a secret")],
        listeners: [RELAY, RELAY_V6]
            .map(|local| Listener { local, advertised: local, transport: Transport::Udp })
            .into(),
        ..Config::default()
    }
}
