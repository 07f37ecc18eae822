//! Whole sessions, one after the other: two come into a room, and exchange a description each and
//! their candidates.

use crate::crowd::{Crowd, Event, Listener};
use crate::payload::{Payload, Said};
use crate::report::{Memory, Sample};
use crate::scenario::Run;
use bench_kit::Histogram;
use std::time::Duration;

const DESCRIPTION_BYTES: usize = 2048;
const CANDIDATE_BYTES: usize = 200;

/// Of each side.
const CANDIDATES: u64 = 16;

/// CPU time and latency are of whole sessions: from the first connection's begin until the last
/// candidate has arrived. CPU time includes their end.
pub(crate) fn run(run: &Run, crowd: &mut Crowd) -> anyhow::Result<Sample> {
    let mut sessions = Sessions {
        offer: Payload::description("offer", DESCRIPTION_BYTES),
        answer: Payload::description("answer", DESCRIPTION_BYTES),
        candidate: Payload::candidate(CANDIDATE_BYTES),
        heard: [0; 2],
        offerer: None,
    };
    let mut room = 0;
    let mut sessions_for = |time: Duration| {
        let mut latency = Histogram::new();
        let (mut count, until_ns) = (0, crowd.now_ns() + time.as_nanos() as u64);
        while crowd.now_ns() < until_ns {
            latency.add(sessions.run(crowd, room)?);
            (count, room) = (count + 1, room + 1);
            crowd.empty()?;
        }
        anyhow::Ok((count, latency))
    };
    sessions_for(run.plan.warm_up)?;
    let begin = run.meter()?;
    let (count, latency) = sessions_for(run.plan.measured)?;
    let memory = Memory::Process(run.resident_kib()?);
    Ok(Sample::of(&run.used(&begin)?, count, Some(&latency), memory))
}

struct Sessions {
    offer: Payload,
    answer: Payload,
    candidate: Payload,
    /// How many signals each has got.
    heard: [u64; 2],
    offerer: Option<usize>,
}

impl Sessions {
    /// A whole session; says how long it took.
    fn run(&mut self, crowd: &mut Crowd, room: usize) -> anyhow::Result<u64> {
        (self.heard, self.offerer) = ([0; 2], None);
        let begin_ns = crowd.now_ns();
        crowd.join(0, room, None)?;
        crowd.join(1, room, None)?;
        let until_ns = begin_ns + 10_000_000_000;
        while self.heard != [CANDIDATES + 1; 2] {
            crowd.turn(1000, self)?;
            anyhow::ensure!(crowd.now_ns() < until_ns, "a session doesn't come to its end");
        }
        Ok(crowd.now_ns() - begin_ns)
    }

    /// Sends a side's description and candidates, each by itself.
    fn send(&mut self, crowd: &mut Crowd, peer: usize) -> anyhow::Result<()> {
        let to = crowd.peers[peer].other;
        let is_offer = self.offerer == Some(peer);
        let description = if is_offer { &mut self.offer } else { &mut self.answer };
        let said = |number| Said { number, sent_ns: 0 };
        crowd.signal(peer, to, description.say(said(0)))?;
        for number in 1..=CANDIDATES {
            crowd.signal(peer, to, self.candidate.say(said(number)))?;
        }
        Ok(())
    }

    fn handle_signal(&mut self, crowd: &mut Crowd, peer: usize, data: &[u8]) -> anyhow::Result<()> {
        let number = self.heard[peer];
        let is_offerer = self.offerer == Some(peer);
        let expected = match number {
            0 if is_offerer => &self.answer,
            0 => &self.offer,
            _ => &self.candidate,
        };
        if expected.hear(data).is_none_or(|said| said.number != number) {
            crowd.note_wrong("a signal came damaged or out of order");
        }
        self.heard[peer] += 1;
        if number == 0 && !is_offerer { self.send(crowd, peer) } else { Ok(()) }
    }
}

impl Listener for Sessions {
    fn handle(&mut self, crowd: &mut Crowd, peer: usize, event: Event<'_>) -> anyhow::Result<()> {
        match event {
            // The one that came later makes the offer.
            Event::Joined if crowd.peers[peer].met > 0 => {
                self.offerer = Some(peer);
                self.send(crowd, peer)
            }
            Event::Signal { data, .. } => self.handle_signal(crowd, peer, data),
            Event::Joined | Event::Other | Event::Left { .. } | Event::Closed => Ok(()),
        }
    }
}
