//! One comes into a room of many and leaves, again and again: each time all the others are told.

use crate::crowd::{Crowd, Event, Listener};
use crate::joins::{UNDER_WAY_TO_ROOM, join, meet_all};
use crate::report::{Memory, Sample};
use crate::scenario::Run;
use anyhow::{bail, ensure};
use bench_kit::Histogram;
use std::time::Duration;

/// CPU time is for each frame to one of the others. Latency is from the begin of the connection, or
/// from the close frame, to each of them.
pub(crate) fn run(run: &Run, crowd: &mut Crowd) -> anyhow::Result<Sample> {
    join(crowd, 0..run.count, UNDER_WAY_TO_ROOM, |_| 0)?;
    meet_all(crowd, run.count)?;
    let mut presence = Presence {
        guest: run.count,
        since_ns: 0,
        told: 0,
        is_settled: false,
        latency: Histogram::new(),
    };
    let mut visits_for = |time: Duration| {
        presence.latency = Histogram::new();
        let until_ns = crowd.now_ns() + time.as_nanos() as u64;
        let mut visits = 0;
        while crowd.now_ns() < until_ns {
            presence.visit(crowd)?;
            visits += 1;
        }
        anyhow::Ok((visits, presence.latency.clone()))
    };
    visits_for(run.plan.warm_up)?;
    let begin = run.meter()?;
    let (visits, latency) = visits_for(run.plan.measured)?;
    let (used, memory) = (run.used(&begin)?, Memory::Process(run.resident_kib()?));
    Ok(Sample::of(&used, visits * 2 * run.count, Some(&latency), memory))
}

struct Presence {
    /// The one that comes and goes.
    guest: usize,
    since_ns: u64,
    /// How many know.
    told: usize,
    /// Whether the guest has its seat, or is gone.
    is_settled: bool,
    latency: Histogram,
}

impl Presence {
    fn visit(&mut self, crowd: &mut Crowd) -> anyhow::Result<()> {
        self.since_ns = crowd.now_ns();
        crowd.join(self.guest, 0, None)?;
        self.wait(crowd, "has come")?;
        let guest = &crowd.peers[self.guest];
        let all = guest.met as usize == self.guest;
        let know = crowd.peers[..self.guest].iter().all(|peer| peer.other == guest.name);
        ensure!(all && know, "somebody was told of a stranger");
        self.since_ns = crowd.now_ns();
        crowd.leave(self.guest)?;
        self.wait(crowd, "has left")
    }

    fn wait(&mut self, crowd: &mut Crowd, what: &str) -> anyhow::Result<()> {
        let until_ns = crowd.now_ns() + 10_000_000_000;
        while self.told < self.guest || !self.is_settled {
            crowd.turn(1000, self)?;
            if crowd.now_ns() > until_ns {
                bail!("{} of {} know that the guest {what}", self.told, self.guest);
            }
        }
        (self.told, self.is_settled) = (0, false);
        Ok(())
    }
}

impl Listener for Presence {
    fn handle(&mut self, crowd: &mut Crowd, peer: usize, event: Event<'_>) -> anyhow::Result<()> {
        let is_guest = peer == self.guest;
        match event {
            Event::Joined | Event::Closed if is_guest => self.is_settled = true,
            Event::Other if !is_guest => self.tell(crowd),
            Event::Left { peer: who, reason: b"left" }
                if !is_guest && who == crowd.peers[self.guest].name.text() =>
            {
                self.tell(crowd);
            }
            Event::Joined
            | Event::Closed
            | Event::Other
            | Event::Left { .. }
            | Event::Signal { .. } => crowd.note_wrong("presence of somebody else"),
        }
        Ok(())
    }
}

impl Presence {
    fn tell(&mut self, crowd: &Crowd) {
        self.told += 1;
        self.latency.add(crowd.now_ns() - self.since_ns);
    }
}
