//! What is read at the begin and the end of a run.

use crate::traffic::Tally;
use bench_kit::{Histogram, Plan};
use heliograph_base::Clock;
use std::time::Duration;

/// What a run of packets gave.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    /// What the server did in that time, by the count of its clients.
    pub(crate) packets: u64,
    pub(crate) cpu_ns: u64,
    /// Of the benchmark itself.
    pub(crate) own_cpu_ns: u64,
    pub(crate) latency: Histogram,
    pub(crate) resident_kib: u64,
    /// Of the whole run, so that none in flight counts as lost.
    pub(crate) tally: Tally,
}

/// How long to wait at the end for what is still on its way: until none comes for a second.
const DRAIN: Duration = Duration::from_secs(1);
const DRAIN_TURN_MS: i32 = 10;

struct Reading {
    ns: u64,
    cpu_ns: u64,
    own_cpu_ns: u64,
    received: u64,
}

/// What a server is put to.
pub(crate) trait Load {
    /// Takes what came and sends what is due.
    fn turn(&mut self) -> anyhow::Result<()>;

    /// Takes what still comes.
    fn drain(&mut self, timeout_ms: i32) -> anyhow::Result<()>;

    fn tally(&mut self) -> &mut Tally;
}

impl Reading {
    fn take(load: &mut dyn Load, clock: Clock, pid: u32) -> anyhow::Result<Self> {
        Ok(Self {
            ns: now_ns(clock),
            cpu_ns: bench_kit::cpu_ns(pid)?,
            own_cpu_ns: bench_kit::cpu_ns(std::process::id())?,
            received: load.tally().received,
        })
    }
}

/// Takes turns for as long as planned, and reads what the process `pid` used meanwhile.
pub(crate) fn run(
    load: &mut dyn Load,
    clock: Clock,
    plan: Plan,
    pid: u32,
) -> anyhow::Result<Measured> {
    let until = now_ns(clock) + plan.warm_up.as_nanos() as u64;
    while now_ns(clock) < until {
        load.turn()?;
    }
    load.tally().latency = Histogram::new();
    let begin = Reading::take(load, clock, pid)?;
    let until = begin.ns + plan.measured.as_nanos() as u64;
    while now_ns(clock) < until {
        load.turn()?;
    }
    let end = Reading::take(load, clock, pid)?;
    let (latency, resident_kib) = (load.tally().latency.clone(), bench_kit::resident_kib(pid)?);
    drain(load, clock)?;
    Ok(Measured {
        seconds: (end.ns - begin.ns) as f64 / 1e9,
        packets: end.received - begin.received,
        cpu_ns: end.cpu_ns - begin.cpu_ns,
        own_cpu_ns: end.own_cpu_ns - begin.own_cpu_ns,
        latency,
        resident_kib,
        tally: load.tally().clone(),
    })
}

fn drain(load: &mut dyn Load, clock: Clock) -> anyhow::Result<()> {
    let mut until = now_ns(clock) + DRAIN.as_nanos() as u64;
    while load.tally().received < load.tally().sent && now_ns(clock) < until {
        let before = load.tally().received;
        load.drain(DRAIN_TURN_MS)?;
        if load.tally().received > before {
            until = now_ns(clock) + DRAIN.as_nanos() as u64;
        }
    }
    Ok(())
}

fn now_ns(clock: Clock) -> u64 {
    clock.now().time.as_nanos()
}
