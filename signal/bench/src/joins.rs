//! Clients that come: so many at a time, into small rooms or into a large one.

use crate::crowd::{Crowd, Event, Listener, Nobody};
use crate::report::{Memory, Sample};
use crate::scenario::{Run, Used};
use anyhow::ensure;
use bench_kit::Histogram;
use std::ops::Range;

/// How many are on their way in at once.
pub(crate) const UNDER_WAY: usize = 256;

/// The same with one large room. Each member is told of each newcomer, and may have 256 frames
/// that it hasn't acknowledged: a client that acknowledges every 32 must live through it.
pub(crate) const UNDER_WAY_TO_ROOM: usize = 64;

/// A seat that takes longer doesn't come.
const PATIENCE_NS: u64 = 30_000_000_000;

/// How often all come.
const WAVES: usize = 2;

/// Connections are made in rooms of two; then all leave and come again. What leaving costs isn't
/// measured.
pub(crate) fn run(run: &Run, crowd: &mut Crowd) -> anyhow::Result<Sample> {
    run.check_pairs()?;
    let (mut used, mut latency) = (Used::default(), Histogram::new());
    for _ in 0..WAVES {
        let begin = run.meter()?;
        latency.merge(&join(crowd, 0..run.count, UNDER_WAY, |number| number / 2)?);
        used.add(run.used(&begin)?);
        meet_in_pairs(crowd, run.count)?;
        crowd.empty()?;
    }
    let memory = Memory::Process(run.resident_kib()?);
    Ok(Sample::of(&used, run.count * WAVES, Some(&latency), memory))
}

/// All come into one room.
pub(crate) fn run_room(run: &Run, crowd: &mut Crowd) -> anyhow::Result<Sample> {
    let begin = run.meter()?;
    let latency = join(crowd, 0..run.count, UNDER_WAY_TO_ROOM, |_| 0)?;
    meet_all(crowd, run.count)?;
    let used = run.used(&begin)?;
    let memory = Memory::Process(run.resident_kib()?);
    Ok(Sample::of(&used, run.count, Some(&latency), memory))
}

/// Has clients come, some of them at a time, and waits until all have their seats. Says how long
/// that took for each.
pub(crate) fn join(
    crowd: &mut Crowd,
    numbers: Range<usize>,
    under_way: usize,
    room: impl Fn(usize) -> usize,
) -> anyhow::Result<Histogram> {
    let mut watch = Watch { latency: Histogram::new(), joined: 0 };
    let (mut begun, all) = (0, numbers.len());
    for number in numbers {
        crowd.join(number, room(number), None)?;
        begun += 1;
        let most = if begun == all { 0 } else { under_way - 1 };
        crowd.turn(0, &mut watch)?;
        let until_ns = crowd.now_ns() + PATIENCE_NS;
        while begun - watch.joined > most {
            crowd.turn(1000, &mut watch)?;
            let is_late = crowd.now_ns() > until_ns;
            ensure!(!is_late, "only {} of {begun} have got a seat", watch.joined);
        }
    }
    Ok(watch.latency)
}

/// Waits until in rooms of two everybody knows the other.
pub(crate) fn meet_in_pairs(crowd: &mut Crowd, count: usize) -> anyhow::Result<()> {
    let know = |crowd: &Crowd| crowd.peers[..count].iter().all(|peer| peer.met > 0);
    crowd.wait_until("all know the other", &mut Nobody, know)?;
    for number in 0..count {
        let [peer, other] = [number, number ^ 1].map(|number| &crowd.peers[number]);
        ensure!(peer.met == 1 && peer.other == other.name, "{number} was told of a stranger");
    }
    Ok(())
}

/// Waits until in one room everybody knows everybody.
pub(crate) fn meet_all(crowd: &mut Crowd, count: usize) -> anyhow::Result<()> {
    let others = count as u64 - 1;
    let know = |crowd: &Crowd| crowd.peers[..count].iter().all(|peer| peer.met >= others);
    crowd.wait_until("all know each other", &mut Nobody, know)?;
    let marks = |sum: u64, mark: u64| sum.wrapping_add(mark);
    let peers = &crowd.peers[..count];
    let all = peers.iter().map(|peer| peer.name.mark()).fold(0, marks);
    let knows_all = peers
        .iter()
        .all(|peer| peer.met == others && marks(peer.met_marks, peer.name.mark()) == all);
    ensure!(knows_all, "somebody was told of strangers");
    Ok(())
}

struct Watch {
    latency: Histogram,
    joined: usize,
}

impl Listener for Watch {
    fn handle(&mut self, crowd: &mut Crowd, peer: usize, event: Event<'_>) -> anyhow::Result<()> {
        if let Event::Joined = event {
            self.joined += 1;
            self.latency.add(crowd.now_ns() - crowd.peers[peer].begun_ns);
        }
        Ok(())
    }
}
