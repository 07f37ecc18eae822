//! A world with a relay, a hub and two peers.

use crate::peer::{Clock, Peer};
use crate::signaling::Signaling;
use heliograph_base::{Now, Secret, Time, UnixTime};
use heliograph_sim::relay::RelayNode;
use heliograph_sim::{Dice, HostId, INTERNET, Net, NetworkId, Weather};
use relay_core::{Config, Listener, StaticUser, Transport};
use serde_json::value::RawValue;
use signal_core::client::Event;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The relay, which answers STUN too.
pub(crate) const RELAY: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 3478);

/// How two have met.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    /// Whether their data go through the relay.
    pub is_relayed: bool,
    /// From their first packet to a message each way.
    pub took: Duration,
}

/// Has two peers meet, in the networks that `build` makes.
///
/// # Panics
/// If they don't, or don't stay connected.
pub fn meet(weather: Weather, build: impl FnOnce(&mut Net) -> [NetworkId; 2]) -> Meeting {
    let mut world = World::new(weather);
    let networks = build(&mut world.net);
    networks.into_iter().for_each(|network| world.add_peer(network));
    world.meet()
}

struct World {
    net: Net,
    relay: RelayNode,
    relay_host: HostId,
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
        let relay_host = net.add_host_at(INTERNET, RELAY.ip());
        let relay = RelayNode::new(config(), 2, dice.fork());
        let (signaling, clock) = (Signaling::new(), Clock::new());
        Self { net, relay, relay_host, signaling, peers: vec![], clock, dice, now: Time::START }
    }

    fn add_peer(&mut self, network: NetworkId) {
        let host = self.net.add_host(network);
        let local = SocketAddr::new(self.net.address(host), 5000);
        self.peers.push(Peer::new(host, local, self.clock, self.dice.fork()));
    }

    /// Both connect, and go on for a while; the path of the last data is how they have met.
    fn meet(mut self) -> Meeting {
        self.exchange();
        let took = self.now.since_start();
        for _ in 0..10 {
            self.run_for(Duration::from_secs(1));
            self.exchange();
        }
        let [one, two] = [&self.peers[0], &self.peers[1]].map(|peer| peer.is_relayed);
        Meeting { is_relayed: one || two, took }
    }

    /// Each says something until the other has heard it.
    fn exchange(&mut self) {
        let deadline = self.now + Duration::from_secs(60);
        self.peers.iter_mut().for_each(|peer| peer.is_greeted = false);
        while !self.peers.iter().all(|peer| peer.is_greeted) {
            assert!(self.now < deadline, "they aren't connected");
            self.peers.iter_mut().for_each(|peer| peer.greet(self.now));
            self.run_for(Duration::from_millis(50));
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.flush();
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.relay.handle_timeout(self.now());
            while let Some(delivery) = self.net.poll_delivery(self.now) {
                if delivery.host == self.relay_host {
                    let (to, from) = (delivery.to.port(), delivery.from);
                    if let Some(sent) = self.relay.handle(self.now(), to, from, &delivery.bytes) {
                        let port = sent.from.port();
                        self.net.send(self.now, self.relay_host, port, sent.to, sent.bytes);
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
                if peer.poll_timeout() <= self.now {
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
        peers.chain(others.into_iter().flatten()).min()
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
        listeners: vec![Listener { local: RELAY, advertised: RELAY, transport: Transport::Udp }],
        ..Config::default()
    }
}
