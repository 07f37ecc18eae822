//! Some clients stop reading while the others of their rooms go on to send to them: what a server
//! keeps for them, and whether it ends them.

use crate::crowd::{Crowd, Event, Listener, Nobody};
use crate::joins::{UNDER_WAY, join};
use crate::payload::{Payload, Said};
use crate::peer::State;
use crate::report::{Memory, Sample};
use crate::scenario::Run;
use crate::subject::Kind;
use std::time::Duration;

/// One of each room stalls.
const ROOM_PEERS: usize = 23;

/// Signals a second, to all that stall together.
const RATE: u64 = 5000;
const PAYLOAD_BYTES: usize = 2048;

/// What the system keeps for those that stall, so that it isn't the system's memory that is
/// measured.
const RECEIVE_BYTES: usize = 16 << 10;

/// How long all is looked at after those that stall are ended.
const AFTER_NS: u64 = 1_000_000_000;

/// How much longer a server that is short of time gets to end them and tell the others.
const TELL_NS: u64 = 10_000_000_000;

/// How long they get to learn that, once they read again.
const LEARN_NS: u64 = 4_000_000_000;

const SLOW: u16 = 4001;

pub(crate) fn run(run: &Run, crowd: &mut Crowd, kind: Kind) -> anyhow::Result<Sample> {
    let rooms = (run.count / ROOM_PEERS).max(1);
    let room_peers = (run.count / rooms).min(ROOM_PEERS);
    let mut work = Stalled { rooms, room_peers, told: vec![0; rooms] };
    work.fill_rooms(crowd)?;
    let before = run.resident_kib()?;
    let begin = run.meter()?;
    let (sent, most_kib) = work.send(run, crowd, kind.ends_the_stalled())?;
    let used = run.used(&begin)?;
    let ended = work.count_ended(crowd)?;

    let told = work.told.iter().sum::<usize>();
    let others = rooms * (room_peers - 1);
    let memory = Memory::Growth((most_kib - before).max(0.0));
    let mut sample = Sample::of(&used, sent, None, memory);
    sample.note = format!("{ended} of {rooms} closed with {SLOW}; {told} of {others} told");
    if kind.ends_the_stalled() && (ended, told) != (rooms, others) {
        sample.invalid = Some(sample.note.clone());
    }
    Ok(sample)
}

struct Stalled {
    rooms: usize,
    room_peers: usize,
    /// How many in each room know that the one that stalls was ended.
    told: Vec<usize>,
}

impl Stalled {
    /// The first of each room is the one that will stall.
    fn fill_rooms(&self, crowd: &mut Crowd) -> anyhow::Result<()> {
        for room in 0..self.rooms {
            crowd.join(room * self.room_peers, room, Some(RECEIVE_BYTES))?;
        }
        let joined = self.rooms;
        crowd.wait_until("the first have come", &mut Nobody, |crowd| crowd.joined == joined)?;
        for room in 0..self.rooms {
            let first = room * self.room_peers;
            join(crowd, first + 1..first + self.room_peers, UNDER_WAY, |_| room)?;
        }
        let others = self.room_peers as u64 - 1;
        let all = ..self.rooms * self.room_peers;
        crowd.wait_until("all know each other", &mut Nobody, |crowd| {
            crowd.peers[all].iter().all(|peer| peer.met == others)
        })?;
        crowd.rest(Duration::from_millis(2500))?;
        for room in 0..self.rooms {
            crowd.set_reading(room * self.room_peers, false)?;
        }
        Ok(())
    }

    /// Has the others send until they know better, or the time is over; a server that `ends` those
    /// that stall gets a little more. Says how many signals were sent, and the most memory that the
    /// server held.
    fn send(&mut self, run: &Run, crowd: &mut Crowd, ends: bool) -> anyhow::Result<(usize, f64)> {
        crowd.expects_errors = true;
        let mut payload = Payload::description("offer", PAYLOAD_BYTES);
        let interval_ns = 1_000_000_000 / RATE;
        let mut next_ns = crowd.now_ns();
        let mut until_ns = next_ns + 2 * run.plan.measured.as_nanos() as u64 + AFTER_NS;
        let (mut number, mut sent, mut most_kib, mut look_ns) = (0_usize, 0, 0_f64, next_ns);
        let mut all_told = false;
        loop {
            crowd.turn(0, self)?;
            let now_ns = crowd.now_ns();
            let patience_ns = if ends && !all_told { TELL_NS } else { 0 };
            if now_ns >= until_ns + patience_ns {
                return Ok((sent, most_kib));
            }
            while next_ns <= now_ns.min(until_ns) {
                let (room, turn) = (number % self.rooms, number / self.rooms);
                let stalled = room * self.room_peers;
                if self.told[room] == 0 {
                    let from = stalled + 1 + turn % (self.room_peers - 1);
                    let said = Said { number: number as u64, sent_ns: now_ns };
                    crowd.signal(from, crowd.peers[stalled].name, payload.say(said))?;
                    sent += 1;
                }
                number += 1;
                next_ns += interval_ns;
            }
            if now_ns >= look_ns {
                most_kib = most_kib.max(run.resident_kib()?);
                look_ns += 20_000_000;
            }
            let others = self.room_peers - 1;
            if !all_told && self.told.iter().all(|told| *told == others) {
                all_told = true;
                until_ns = now_ns + AFTER_NS;
            }
        }
    }

    /// Has those that stall read again; says how many find that they were ended for it.
    fn count_ended(&mut self, crowd: &mut Crowd) -> anyhow::Result<usize> {
        let stalled: Vec<_> = (0..self.rooms).map(|room| room * self.room_peers).collect();
        for number in &stalled {
            crowd.set_reading(*number, true)?;
        }
        let until_ns = crowd.now_ns() + LEARN_NS;
        let is_gone = |crowd: &Crowd, number: &usize| crowd.peers[*number].state == State::Away;
        while crowd.now_ns() < until_ns && !stalled.iter().all(|number| is_gone(crowd, number)) {
            crowd.turn(10, self)?;
        }
        let ended = |number: &&usize| crowd.peers[**number].close_code == Some(SLOW);
        Ok(stalled.iter().filter(ended).count())
    }
}

impl Listener for Stalled {
    fn handle(&mut self, crowd: &mut Crowd, peer: usize, event: Event<'_>) -> anyhow::Result<()> {
        let stalled = peer - peer % self.room_peers;
        match event {
            Event::Left { peer: who, reason: b"slow" }
                if who == crowd.peers[stalled].name.text() =>
            {
                self.told[peer / self.room_peers] += 1;
            }
            Event::Signal { .. } | Event::Closed if peer == stalled => {}
            Event::Joined
            | Event::Other
            | Event::Left { .. }
            | Event::Signal { .. }
            | Event::Closed => crowd.note_wrong("somebody who reads was disturbed"),
        }
        Ok(())
    }
}
