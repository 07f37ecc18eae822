//! Networks, hosts and the routers between them; datagrams on their way, and the weather that they
//! meet.

mod gate;

use crate::Dice;
use crate::nat::{Family, Gate};
use gate::Router;
use heliograph_base::Time;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(usize);

/// A network that hosts and routers are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(usize);

/// The network that has no way out.
pub const INTERNET: NetworkId = NetworkId(0);

/// What happens to datagrams on each line: between a host or router and the network it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// How long a datagram takes at least.
    pub delay: Duration,
    /// How much longer at most: with it datagrams overtake each other.
    pub jitter: Duration,
    /// How many of a thousand are lost.
    pub loss_per_mille: u64,
    /// How many of a thousand come twice.
    pub duplicates_per_mille: u64,
}

impl Weather {
    /// Everything comes, once and in order.
    pub const FAIR: Self = Self {
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        loss_per_mille: 0,
        duplicates_per_mille: 0,
    };

    /// Some weather, good or bad.
    pub fn any(dice: &mut Dice) -> Self {
        Self {
            delay: Duration::from_millis(1) + dice.up_to(Duration::from_millis(150)),
            jitter: if dice.chance(500) { Duration::ZERO } else { Duration::from_millis(300) },
            loss_per_mille: dice.pick(&[0, 0, 10, 100, 300]),
            duplicates_per_mille: dice.pick(&[0, 0, 10, 200]),
        }
    }
}

/// A datagram that came to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Which host.
    pub host: HostId,
    /// The address it was sent to, as it reads there.
    pub to: SocketAddr,
    /// The address it came from, as it reads there.
    pub from: SocketAddr,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// All networks.
#[derive(Debug)]
pub struct Net {
    networks: Vec<Network>,
    hosts: Vec<Line>,
    underway: BinaryHeap<Reverse<Arrival>>,
    arrivals: u64,
    weather: Weather,
    duplicates: u64,
    dice: Dice,
}

#[derive(Debug)]
struct Network {
    /// The router to the network outside, and its line there.
    gateway: Option<(Router, Line)>,
    members: BTreeMap<IpAddr, Member>,
}

#[derive(Clone, Copy, Debug)]
enum Member {
    Host(HostId),
    /// The router of this network.
    Router(NetworkId),
}

/// Where a host or router is attached.
#[derive(Clone, Copy, Debug)]
struct Line {
    network: NetworkId,
    address: IpAddr,
    is_cut: bool,
}

/// A datagram that has come to a network, or at last to a host.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: Time,
    /// Among those of one moment the first that was sent.
    number: u64,
    place: Place,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Network(NetworkId),
    /// Of a network: it comes in from outside.
    Router(NetworkId),
    Host(HostId),
}

impl Net {
    /// The internet, with nobody in it.
    #[must_use]
    pub fn new(weather: Weather, dice: Dice) -> Self {
        let internet = Network { gateway: None, members: BTreeMap::new() };
        Self {
            networks: vec![internet],
            hosts: Vec::new(),
            underway: BinaryHeap::new(),
            arrivals: 0,
            weather,
            duplicates: 0,
            dice,
        }
    }

    /// Adds a network behind a router of this kind.
    pub fn add_network(&mut self, outside: NetworkId, gate: impl Into<Gate>) -> NetworkId {
        let inside = NetworkId(self.networks.len());
        let address = self.free_address(outside, Family::V4);
        self.networks[outside.0].members.insert(address, Member::Router(inside));
        let line = Line { network: outside, address, is_cut: false };
        let router = Router::new(gate.into(), address, self.dice.fork());
        self.networks.push(Network { gateway: Some((router, line)), members: BTreeMap::new() });
        inside
    }

    /// Adds one network behind another, the outermost first; the last one, where hosts may be.
    pub fn add_networks(
        &mut self,
        outside: NetworkId,
        gates: impl IntoIterator<Item = Gate>,
    ) -> NetworkId {
        gates.into_iter().fold(outside, |outside, gate| self.add_network(outside, gate))
    }

    /// Adds a host at a free address of IPv4.
    pub fn add_host(&mut self, network: NetworkId) -> HostId {
        self.add_host_of(Family::V4, network)
    }

    /// Adds a host at a free address. Those of IPv6 are only for the internet and the networks next
    /// to it.
    pub fn add_host_of(&mut self, family: Family, network: NetworkId) -> HostId {
        let address = self.free_address(network, family);
        self.add_host_at(network, address)
    }

    /// Adds a host at this address.
    pub fn add_host_at(&mut self, network: NetworkId, address: IpAddr) -> HostId {
        let host = HostId(self.hosts.len());
        self.hosts.push(Line { network, address, is_cut: false });
        let before = self.networks[network.0].members.insert(address, Member::Host(host));
        assert!(before.is_none(), "{address} is taken");
        host
    }

    /// The host's own address, in its network.
    #[must_use]
    pub fn address(&self, host: HostId) -> IpAddr {
        self.hosts[host.0].address
    }

    /// Changes the weather, for what is sent from now on.
    pub const fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Cuts a host off, or mends its line.
    pub fn set_cut(&mut self, host: HostId, is_cut: bool) {
        self.hosts[host.0].is_cut = is_cut;
    }

    /// All routers between the host and the internet forget what they know.
    pub fn restart_routers(&mut self, host: HostId) {
        let mut network = self.hosts[host.0].network;
        while let Some((router, line)) = &mut self.networks[network.0].gateway {
            router.restart();
            network = line.network;
        }
    }

    /// How many datagrams have been doubled on their way.
    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// A host sends a datagram.
    pub fn send(&mut self, now: Time, host: HostId, port: u16, to: SocketAddr, bytes: Vec<u8>) {
        let line = self.hosts[host.0];
        let from = SocketAddr::new(line.address, port);
        self.carry(now, line, Place::Network(line.network), (from, to, bytes));
    }

    /// When the next datagram comes somewhere.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.underway.peek().map(|arrival| arrival.0.at)
    }

    /// Moves on what is due; what came to a host at or before `now`, if something did.
    pub fn poll_delivery(&mut self, now: Time) -> Option<Delivery> {
        while self.underway.peek().is_some_and(|arrival| arrival.0.at <= now) {
            let Arrival { at, place, from, to, bytes, .. } = self.underway.pop()?.0;
            match place {
                Place::Host(host) => return Some(Delivery { host, to, from, bytes }),
                Place::Network(network) => self.route(at, network, (from, to, bytes)),
                Place::Router(network) => self.enter(at, network, (from, to, bytes)),
            }
        }
        None
    }

    /// A datagram is in a network: on to a host or router there, or out.
    fn route(&mut self, now: Time, network: NetworkId, datagram: Datagram) {
        let (_, to, _) = &datagram;
        match self.networks[network.0].members.get(&to.ip()).copied() {
            Some(Member::Host(host)) => {
                self.carry(now, self.hosts[host.0], Place::Host(host), datagram);
            }
            Some(Member::Router(inside)) => self.carry_in(now, inside, datagram),
            None => match self.network_of(to.ip()).filter(|_| network == INTERNET) {
                Some(inside) => self.carry_in(now, inside, datagram),
                None => self.leave(now, network, datagram),
            },
        }
    }

    /// Brings a datagram to the router of a network, from outside.
    fn carry_in(&mut self, now: Time, inside: NetworkId, datagram: Datagram) {
        let line = self.networks[inside.0].gateway.as_ref().expect("it has a router").1;
        self.carry(now, line, Place::Router(inside), datagram);
    }

    /// The network behind a router that an address of IPv6 is in.
    fn network_of(&self, address: IpAddr) -> Option<NetworkId> {
        let IpAddr::V6(address) = address else { return None };
        let number = usize::from(address.segments()[2]);
        let (_, line) = self.networks.get(number)?.gateway.as_ref()?;
        (line.network == INTERNET).then_some(NetworkId(number))
    }

    /// A datagram comes to the router of a network, from inside.
    fn leave(&mut self, now: Time, network: NetworkId, (from, to, bytes): Datagram) {
        let Some((router, line)) = &mut self.networks[network.0].gateway else { return };
        let line = *line;
        let is_hairpin = to.ip() == router.outside();
        if is_hairpin && !router.has_hairpin() {
            return;
        }
        let Some(from) = router.outbound(now, from, to) else { return };
        if is_hairpin {
            self.enter(now, network, (from, to, bytes));
        } else {
            self.carry(now, line, Place::Network(line.network), (from, to, bytes));
        }
    }

    /// A datagram comes to the router of a network, for one of its outside ports.
    fn enter(&mut self, now: Time, network: NetworkId, (from, to, bytes): Datagram) {
        let Some((router, _)) = &mut self.networks[network.0].gateway else { return };
        if let Some(to) = router.inbound(now, from, to) {
            self.route(now, network, (from, to, bytes));
        }
    }

    /// Brings a datagram over a line.
    fn carry(&mut self, now: Time, line: Line, place: Place, (from, to, bytes): Datagram) {
        let Weather { delay, jitter, loss_per_mille, duplicates_per_mille } = self.weather;
        if line.is_cut || self.dice.chance(loss_per_mille) {
            return;
        }
        if self.dice.chance(duplicates_per_mille) {
            self.duplicates += 1;
            let at = now + delay + self.dice.up_to(jitter);
            self.arrive(at, place, (from, to, bytes.clone()));
        }
        let at = now + delay + self.dice.up_to(jitter);
        self.arrive(at, place, (from, to, bytes));
    }

    fn arrive(&mut self, at: Time, place: Place, (from, to, bytes): Datagram) {
        self.arrivals += 1;
        let number = self.arrivals;
        self.underway.push(Reverse(Arrival { at, number, place, from, to, bytes }));
    }

    /// On the internet 20.0.0.0/8, inside of networks 10.n.0.0/16; everywhere 2001:db8:n::/48.
    fn free_address(&self, network: NetworkId, family: Family) -> IpAddr {
        let number = self.networks[network.0].members.len() as u8 + 1;
        match (family, network) {
            (Family::V4, INTERNET) => Ipv4Addr::new(20, 0, number, 1).into(),
            (Family::V4, NetworkId(inside)) => Ipv4Addr::new(10, inside as u8, 0, number).into(),
            (Family::V6, NetworkId(network)) => {
                let [network, number] = [network as u16, number.into()];
                Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, number).into()
            }
        }
    }
}

/// From, to, and what it says.
type Datagram = (SocketAddr, SocketAddr, Vec<u8>);
