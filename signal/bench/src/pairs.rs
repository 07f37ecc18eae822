//! Signals between the two in a room, at a given rate or as many as the server takes.

use crate::crowd::{Crowd, Event, Listener};
use crate::joins::{UNDER_WAY, join, meet_in_pairs};
use crate::payload::{Payload, Said};
use crate::report::{Memory, Sample};
use crate::scenario::{Meter, Run};
use bench_kit::Histogram;
use std::time::Duration;

/// Signals a second, all together.
const PACED_RATE: u64 = 5000;

const PAYLOAD_BYTES: usize = 300;

/// After so long a server has acknowledged all signals.
const ACKNOWLEDGED: Duration = Duration::from_millis(2500);

/// Evenly spaced; the two of a pair half a round apart.
pub(crate) fn paced(run: &Run, crowd: &mut Crowd) -> anyhow::Result<Sample> {
    let mut signals = Signals::prepare(run, crowd)?;
    let interval_ns = 1_000_000_000 / PACED_RATE;
    let mut next_ns = crowd.now_ns();
    let mut number = 0;
    signals.run(run, crowd, |signals, crowd| {
        // Who paces looks at the clock all the time: sleep is coarser than the gaps.
        crowd.turn(0, signals)?;
        while next_ns <= crowd.now_ns() {
            signals.send(crowd, number)?;
            // All the first ones of the pairs, then all the second ones.
            number += 2;
            if number >= run.count {
                number = (number + 1) % 2;
            }
            next_ns += interval_ns;
        }
        Ok(())
    })
}

/// Each signal answers the last one: always one of each pair is on its way.
pub(crate) fn saturated(run: &Run, crowd: &mut Crowd) -> anyhow::Result<Sample> {
    let mut signals = Signals::prepare(run, crowd)?;
    signals.answers = true;
    for number in (0..run.count).step_by(2) {
        signals.send(crowd, number)?;
    }
    signals.run(run, crowd, |signals, crowd| crowd.turn(1, signals))
}

struct Signals {
    payload: Payload,
    /// How many each has sent, and heard of the other.
    sent: Vec<u64>,
    heard: Vec<u64>,
    answers: bool,
    received: u64,
    latency: Histogram,
}

impl Signals {
    fn prepare(run: &Run, crowd: &mut Crowd) -> anyhow::Result<Self> {
        run.check_pairs()?;
        join(crowd, 0..run.count, UNDER_WAY, |number| number / 2)?;
        meet_in_pairs(crowd, run.count)?;
        Ok(Self {
            payload: Payload::candidate(PAYLOAD_BYTES),
            sent: vec![0; run.count],
            heard: vec![0; run.count],
            answers: false,
            received: 0,
            latency: Histogram::new(),
        })
    }

    fn run(
        &mut self,
        run: &Run,
        crowd: &mut Crowd,
        mut turn: impl FnMut(&mut Self, &mut Crowd) -> anyhow::Result<()>,
    ) -> anyhow::Result<Sample> {
        let mut turns = |signals: &mut Self, crowd: &mut Crowd, time: Duration| {
            let until_ns = crowd.now_ns() + time.as_nanos() as u64;
            while crowd.now_ns() < until_ns {
                turn(signals, crowd)?;
            }
            anyhow::Ok(())
        };
        turns(self, crowd, run.plan.warm_up)?;
        self.latency = Histogram::new();
        let (before, begin): (u64, Meter) = (self.received, run.meter()?);
        turns(self, crowd, run.plan.measured)?;
        let (used, received) = (run.used(&begin)?, self.received - before);
        let (latency, memory) = (self.latency.clone(), Memory::Process(run.resident_kib()?));
        self.drain(crowd)?;
        Ok(Sample::of(&used, received as usize, Some(&latency), memory))
    }

    /// Waits for what is still on its way, acknowledgements included.
    fn drain(&mut self, crowd: &mut Crowd) -> anyhow::Result<()> {
        self.answers = false;
        let until_ns = crowd.now_ns() + ACKNOWLEDGED.as_nanos() as u64;
        let is_done = |signals: &Self, crowd: &Crowd| {
            signals.received == signals.sent.iter().sum::<u64>()
                && crowd.peers.iter().all(|peer| peer.id == peer.id_acked)
        };
        while !is_done(self, crowd) && crowd.now_ns() < until_ns {
            crowd.turn(10, self)?;
        }
        if !is_done(self, crowd) {
            let sent: u64 = self.sent.iter().sum();
            let text = format!("{} of {sent} arrived, or not all acknowledged", self.received);
            crowd.note_wrong(&text);
        }
        Ok(())
    }

    fn send(&mut self, crowd: &mut Crowd, number: usize) -> anyhow::Result<()> {
        self.sent[number] += 1;
        let said = Said { number: self.sent[number], sent_ns: crowd.now_ns() };
        let to = crowd.peers[number].other;
        crowd.signal(number, to, self.payload.say(said))
    }
}

impl Listener for Signals {
    fn handle(&mut self, crowd: &mut Crowd, peer: usize, event: Event<'_>) -> anyhow::Result<()> {
        match event {
            Event::Signal { from, data } => {
                let is_right = from == crowd.peers[peer].other.text();
                let Some(said) = self.payload.hear(data).filter(|_| is_right) else {
                    crowd.note_wrong("a signal came damaged, or to the wrong one");
                    return Ok(());
                };
                self.heard[peer] += 1;
                if said.number != self.heard[peer] {
                    crowd.note_wrong("signals are missing, came twice or out of order");
                }
                self.received += 1;
                self.latency.add(crowd.now_ns().saturating_sub(said.sent_ns));
                if self.answers {
                    self.send(crowd, peer)?;
                }
            }
            Event::Left { .. } | Event::Closed => crowd.note_wrong("somebody was thrown out"),
            Event::Joined | Event::Other => {}
        }
        Ok(())
    }
}
