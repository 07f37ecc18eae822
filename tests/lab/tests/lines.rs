//! Each line does to datagrams what its plain description says: they are sent through it, and what
//! comes out is measured.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use heliograph_base::{Clock, Time};
use heliograph_lab::{Bandwidth, Family, Host, Impairment, World};
use std::net::UdpSocket;
use std::thread::{self, sleep};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// How much longer half of them may take on a busy machine.
const SLACK: Duration = Duration::from_millis(40);

/// After so much silence nothing more comes.
const SILENCE: Duration = Duration::from_secs(2);

const PORT: u16 = 5000;

const PAYLOAD_BYTES: usize = 1000;

/// With the headers of Ethernet, IPv4 and UDP.
const FRAME_BYTES: usize = PAYLOAD_BYTES + 14 + 20 + 8;

/// A datagram that came.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    number: u32,
    latency: Duration,
    at: Time,
}

/// Two machines with a line between.
struct Road {
    world: World,
    near: Host,
    far: Host,
}

impl Road {
    /// A line that is good until the two know each other's addresses.
    fn new(worse: Impairment) -> Self {
        let mut world = World::new().unwrap();
        let internet = world.internet();
        let good = Impairment::default();
        let far = world.far_host("far", &internet, Family::V4, good).unwrap();
        let near = world.host("near", &internet, Family::V4).unwrap();
        assert_eq!(sent(&near, &far, 1, MS).len(), 1);
        world.set_impairment(worse);
        Self { world, near, far }
    }

    /// What comes of datagrams in one direction, then in the other.
    fn both_ways(&self, count: u32, pause: Duration) -> [Vec<Arrival>; 2] {
        [sent(&self.near, &self.far, count, pause), sent(&self.far, &self.near, count, pause)]
    }
}

/// Sends so many datagrams, one in each pause, and gives those that come.
fn sent(from: &Host, to: &Host, count: u32, pause: Duration) -> Vec<Arrival> {
    let bind = |host: &Host| host.space().enter(|| UdpSocket::bind((host.ip(), PORT))).unwrap();
    let (sender, receiver) = (bind(from).unwrap(), bind(to).unwrap());
    receiver.set_read_timeout(Some(SILENCE)).unwrap();
    let clock = Clock::start();
    thread::scope(|scope| {
        let arrivals = scope.spawn(|| received(&receiver, clock));
        for number in 0..count {
            sleep((Time::START + number * pause).since(clock.now().time));
            let mut datagram = [0; PAYLOAD_BYTES];
            datagram[..4].copy_from_slice(&number.to_be_bytes());
            datagram[4..12].copy_from_slice(&clock.now().time.as_nanos().to_be_bytes());
            sender.send_to(&datagram, (to.ip(), PORT)).unwrap();
        }
        arrivals.join().unwrap()
    })
}

fn received(receiver: &UdpSocket, clock: Clock) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    let mut datagram = [0; PAYLOAD_BYTES];
    while receiver.recv(&mut datagram).is_ok() {
        let at = clock.now().time;
        let number = u32::from_be_bytes(datagram[..4].try_into().unwrap());
        let nanos = u64::from_be_bytes(datagram[4..12].try_into().unwrap());
        let latency = at.since(Time::after_start(Duration::from_nanos(nanos)));
        arrivals.push(Arrival { number, latency, at });
    }
    arrivals
}

/// Their latencies, sorted.
fn latencies(arrivals: &[Arrival]) -> Vec<Duration> {
    let mut latencies: Vec<_> = arrivals.iter().map(|it| it.latency).collect();
    latencies.sort_unstable();
    latencies
}

fn median(arrivals: &[Arrival]) -> Duration {
    latencies(arrivals)[arrivals.len() / 2]
}

fn are_in_order(arrivals: &[Arrival]) -> bool {
    arrivals.is_sorted_by_key(|it| it.number)
}

#[test]
fn everything_takes_as_long_as_the_delay_and_nothing_is_lost() {
    let delay = 80 * MS;
    let road = Road::new(Impairment { delay, ..Impairment::default() });
    for arrivals in road.both_ways(200, 5 * MS) {
        assert_eq!(arrivals.len(), 200);
        assert!(latencies(&arrivals)[0] >= delay, "{arrivals:?}");
        assert!(median(&arrivals) < delay + SLACK, "{arrivals:?}");
    }
}

#[test]
fn jitter_makes_some_sooner_and_some_later_and_keeps_the_order() {
    let (delay, jitter) = (100 * MS, 60 * MS);
    let road = Road::new(Impairment { delay, jitter, ..Impairment::default() });
    // As far from each other that none waits for the one before.
    for arrivals in road.both_ways(40, 130 * MS) {
        let latencies = latencies(&arrivals);
        assert_eq!(latencies.len(), 40);
        assert!(are_in_order(&arrivals));
        assert!(latencies[0] >= delay - jitter, "{latencies:?}");
        // They are spread evenly over twice the jitter: the middle half over as much as once.
        assert!(latencies[30] - latencies[10] > jitter / 2, "{latencies:?}");
        assert!(latencies[10] < delay && latencies[30] > delay, "{latencies:?}");
        assert!(latencies[35] < delay + jitter + SLACK, "{latencies:?}");
    }
    // Closer together, the later ones would overtake.
    let dense = sent(&road.near, &road.far, 200, 5 * MS);
    assert!(dense.len() == 200 && are_in_order(&dense));
}

#[test]
fn as_many_are_lost_as_is_said() {
    let road = Road::new(Impairment { loss: 0.2, ..Impairment::default() });
    for arrivals in road.both_ways(1000, MS) {
        // 800 are expected; five times the deviation is 63.
        assert!((737..=863).contains(&arrivals.len()), "{} of 1000 came", arrivals.len());
    }
    road.world.set_impairment(Impairment { loss: 1.0, ..Impairment::default() });
    assert!(sent(&road.near, &road.far, 20, MS).is_empty());
}

#[test]
fn a_narrow_line_lets_through_what_it_can_and_its_full_queue_loses() {
    let narrow = Bandwidth { bytes_per_s: 100_000, queue_bytes_max: 20_000 };
    let road = Road::new(Impairment { bandwidth: Some(narrow), ..Impairment::default() });
    let (count, pause) = (400, 5 * MS);
    // Twice as much as gets through, for two seconds.
    for arrivals in road.both_ways(count, pause) {
        assert!(are_in_order(&arrivals));
        let took = arrivals.last().unwrap().at.since(arrivals[0].at);
        let bytes = (arrivals.len() - 1) * FRAME_BYTES;
        let bytes_per_s = bytes as f64 / took.as_secs_f64();
        assert!((80_000.0..120_000.0).contains(&bytes_per_s), "{bytes_per_s} bytes in a second");
        // Two seconds' worth, and what the queue had at the end.
        let fit = (200_000 + 20_000) / FRAME_BYTES;
        let came = arrivals.len();
        assert!((fit * 4 / 5..fit * 6 / 5).contains(&came), "{came} came, {fit} fit");
        // Half of them find the queue full, which takes 200 ms.
        assert!((150 * MS..250 * MS + SLACK).contains(&median(&arrivals)), "{arrivals:?}");
    }
}

#[test]
fn a_line_within_its_bandwidth_loses_nothing_and_is_as_fast_as_a_wire() {
    let narrow = Bandwidth { bytes_per_s: 100_000, queue_bytes_max: 20_000 };
    let road = Road::new(Impairment { bandwidth: Some(narrow), ..Impairment::default() });
    for arrivals in road.both_ways(100, 20 * MS) {
        assert_eq!(arrivals.len(), 100);
        let to_send = Duration::from_secs_f64(FRAME_BYTES as f64 / 100_000.0);
        assert!(latencies(&arrivals)[0] >= to_send, "{arrivals:?}");
        assert!(median(&arrivals) < to_send + SLACK, "{arrivals:?}");
    }
}
