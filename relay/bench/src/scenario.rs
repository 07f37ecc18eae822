//! The works that servers are put to, each by its name.

use crate::binding::Binding;
use crate::cli::Options;
use crate::link::{self, Transport};
use crate::load::Packets;
use crate::measure::{self, Load};
use crate::pace::Pacer;
use crate::report::Sample;
use crate::saturate::Saturator;
use crate::setup::{self, Client};
use crate::site::Site;
use crate::subject::{Kind, Subject};
use crate::traffic::{Shape, Traffic};
use anyhow::bail;
use heliograph_base::Clock;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};

/// One work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    name: &'static str,
    clients: usize,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    /// As many packets as the server takes, both ways.
    Saturated(Shape),
    /// The same over a cable.
    OverCable(Shape),
    /// Clients in pairs, each the other's peer.
    RelayToRelay(Shape),
    /// 20,000 packets a second.
    Paced(Transport),
    /// As many Binding requests as the server answers.
    Binding,
    /// Allocations, a group of clients at a time.
    Allocate,
    /// 50 small flows of 60 packets a second in each direction, beside one client at full rate or
    /// by themselves.
    Fairness { flood: bool },
}

/// All of them, in the order run.
pub(crate) const ALL: [Scenario; 14] = [
    single("single-160-100", 160, 100),
    single("single-160-1000", 160, 1000),
    single("single-1200-100", 1200, 100),
    single("single-1200-1000", 1200, 1000),
    scenario("train-1200", 10, Work::Saturated(TRAIN)),
    scenario("train-1200-veth", 10, Work::OverCable(TRAIN)),
    scenario("relay-to-relay", 100, Work::RelayToRelay(SMALL)),
    scenario("paced-20k", 100, Work::Paced(Transport::Udp)),
    scenario("binding", 100, Work::Binding),
    scenario("allocate", 2000, Work::Allocate),
    scenario("tcp-20k", 100, Work::Paced(Transport::Tcp)),
    scenario("tls-20k", 100, Work::Paced(Transport::Tls)),
    scenario("fairness-quiet", 51, Work::Fairness { flood: false }),
    scenario("fairness-flood", 51, Work::Fairness { flood: true }),
];

const SMALL: Shape = Shape { payload_bytes: 160, train: 1 };
const TRAIN: Shape = Shape { payload_bytes: 1200, train: 8 };

const fn single(name: &'static str, payload_bytes: usize, clients: usize) -> Scenario {
    scenario(name, clients, Work::Saturated(Shape { payload_bytes, train: 1 }))
}

const fn scenario(name: &'static str, clients: usize, work: Work) -> Scenario {
    Scenario { name, clients, work }
}

/// How many packets are on their way in a saturated run, all clients and both directions together,
/// but at least one packet or train for each.
const IN_FLIGHT: usize = 800;

/// Packets a second in a paced run, both directions together.
const PACED_RATE: u64 = 20_000;

/// Packets a second of each small flow, both directions together.
const SMALL_FLOW_RATE: u64 = 120;

/// How many packets of the flood are on their way in each direction.
const FLOOD_WINDOW: u32 = 512;

/// Shared by the clients.
const PEERS: usize = 4;

impl bench_kit::Scenario for Scenario {
    type Kind = Kind;
    type Sample = Sample;

    fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a server can do such work at all.
    fn suits(&self, kind: Kind) -> bool {
        match (self.work, kind) {
            (_, Kind::Heliograph | Kind::Coturn) => true,
            (Work::OverCable(_), Kind::External) => false,
            (Work::Paced(transport), _) => transport == Transport::Udp,
            (_, Kind::External) => true,
            (Work::Binding | Work::Allocate, _) => false,
            (_, Kind::Forward | Kind::ForwardGso) => true,
        }
    }
}

impl Scenario {
    /// Puts a server to the work once.
    ///
    /// # Errors
    /// It doesn't start, or doesn't do what it must.
    pub(crate) fn run(&self, kind: Kind, options: &Options) -> anyhow::Result<Sample> {
        let over_cable = matches!(self.work, Work::OverCable(_));
        let site = if over_cable { Site::cable()? } else { Site::loopback() };
        let paced = if let Work::Paced(transport) = self.work { Some(transport) } else { None };
        let transport = paced.unwrap_or(Transport::Udp);
        let subject = Subject::start(kind, &options.programs, &site, transport)?;
        let count = options.clients.unwrap_or(self.clients);
        let run = Run { subject: &subject, site: &site, count, clock: Clock::start() };
        let (mut load, is_paced): (Box<dyn Load>, bool) = match self.work {
            Work::Saturated(shape) | Work::OverCable(shape) => (run.saturated(shape)?, false),
            Work::RelayToRelay(shape) => (run.relay_to_relay(shape)?, false),
            Work::Paced(_) => (run.paced()?, true),
            Work::Fairness { flood } => (run.fairness(flood)?, !flood),
            Work::Binding => {
                let load = Binding::new(subject.address, site.own, count, run.clock)?;
                (Box::new(load), false)
            }
            Work::Allocate => return run.allocate(),
        };
        let measured = measure::run(&mut *load, run.clock, options.plan, subject.pid())?;
        Ok(Sample::of(&measured, is_paced))
    }
}

/// What one run has to do with.
struct Run<'r> {
    subject: &'r Subject,
    site: &'r Site,
    count: usize,
    clock: Clock,
}

impl Run<'_> {
    fn saturated(&self, shape: Shape) -> anyhow::Result<Box<Packets>> {
        let traffic = self.traffic(shape)?;
        let window = (IN_FLIGHT / (self.count * 2)).next_multiple_of(shape.train).max(shape.train);
        let (window, train) = (window as u32, shape.train as u32);
        let saturator = Saturator::new(&traffic, 0..self.count, window, train);
        Ok(Box::new(Packets::saturated(traffic, saturator)))
    }

    fn paced(&self) -> anyhow::Result<Box<Packets>> {
        let pacer = Pacer::new(0..self.count, PACED_RATE);
        Ok(Box::new(Packets::paced(self.traffic(SMALL)?, pacer)))
    }

    /// The first client is the flood.
    fn fairness(&self, flood: bool) -> anyhow::Result<Box<Packets>> {
        if self.count < 2 {
            bail!("fairness takes two clients");
        }
        let mut traffic = self.traffic(SMALL)?;
        traffic.watched_from = 1;
        let pacer = Pacer::new(1..self.count, SMALL_FLOW_RATE * (self.count as u64 - 1));
        let saturator = flood.then(|| Saturator::new(&traffic, 0..1, FLOOD_WINDOW, 1));
        let mut packets = Packets::paced(traffic, pacer);
        packets.saturator = saturator;
        Ok(Box::new(packets))
    }

    fn relay_to_relay(&self, shape: Shape) -> anyhow::Result<Box<Packets>> {
        if !self.count.is_multiple_of(2) {
            bail!("relay-to-relay takes pairs of clients");
        }
        let mut clients = setup::allocate(self.subject, self.site, self.count)?;
        let relayed = clients.iter().map(|client| client.session.relayed());
        let relayed = relayed.collect::<anyhow::Result<Vec<_>>>()?;
        setup::bind(&mut clients, self.subject.language, |client| relayed[client ^ 1])?;
        let traffic = Traffic::new(clients, Vec::new(), shape, self.clock)?;
        let window = (IN_FLIGHT / self.count).max(1) as u32;
        let saturator = Saturator::new(&traffic, 0..self.count, window, 1);
        Ok(Box::new(Packets::saturated(traffic, saturator)))
    }

    fn allocate(&self) -> anyhow::Result<Sample> {
        let pid = self.subject.pid();
        let (peers, addresses) = self.peers()?;
        let (kib, cpu_ns) = (bench_kit::resident_kib(pid)?, bench_kit::cpu_ns(pid)?);
        let (own_cpu_ns, begin) = (bench_kit::cpu_ns(std::process::id())?, self.clock.now().time);
        let mut clients = self.bound(&addresses)?;
        let seconds = self.clock.now().time.since(begin).as_secs_f64();
        let cpu_ns = bench_kit::cpu_ns(pid)? - cpu_ns;
        let own_cpu_ns = bench_kit::cpu_ns(std::process::id())? - own_cpu_ns;
        let kib = bench_kit::resident_kib(pid)?.saturating_sub(kib);
        setup::release(&mut clients, self.subject.language)?;
        drop(peers);
        Ok(Sample::of_allocations(self.count, seconds, [cpu_ns, own_cpu_ns], kib))
    }

    /// Clients whose peers are others.
    fn traffic(&self, shape: Shape) -> anyhow::Result<Traffic> {
        let (peers, addresses) = self.peers()?;
        Traffic::new(self.bound(&addresses)?, peers, shape, self.clock)
    }

    /// Clients with a channel each, to the peers in turn.
    fn bound(&self, peers: &[SocketAddrV4]) -> anyhow::Result<Vec<Client>> {
        let mut clients = setup::allocate(self.subject, self.site, self.count)?;
        setup::bind(&mut clients, self.subject.language, |client| peers[client % peers.len()])?;
        Ok(clients)
    }

    fn peers(&self) -> anyhow::Result<(Vec<UdpSocket>, Vec<SocketAddrV4>)> {
        let (mut peers, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..PEERS {
            let peer = link::socket(self.site.own)?;
            match peer.local_addr()? {
                SocketAddr::V4(address) => addresses.push(address),
                SocketAddr::V6(address) => bail!("{address} is not IPv4"),
            }
            peers.push(peer);
        }
        Ok((peers, addresses))
    }
}
