//! What a line does to frames: delay, jitter, loss, bandwidth. Plain data and arithmetic, no IO;
//! `tests/lines.rs` measures what comes of it.

use heliograph_base::Time;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// How a line is worse than a wire. One direction of it; most lines are alike in both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// How long everything takes.
    pub delay: Duration,
    /// How much longer or shorter it may take, at random. The order stays.
    pub jitter: Duration,
    /// How much of it is lost, at random: 0 to 1.
    pub loss: f64,
    /// How much gets through in a second.
    pub bandwidth: Option<Bandwidth>,
}

/// A narrow place, and the queue in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// How much gets through.
    pub bytes_per_s: u64,
    /// How much waits; what comes on top is lost.
    pub queue_bytes_max: u64,
}

/// One direction of a line.
#[derive(Debug)]
pub(crate) struct Line {
    dice: StdRng,
    /// When the narrow place has let everything through that it has.
    free: Time,
    /// When the last frame arrives.
    last: Time,
}

impl Line {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: StdRng::seed_from_u64(seed), free: Time::START, last: Time::START }
    }

    /// When a frame that is sent now arrives; `None` if it is lost.
    pub(crate) fn send(&mut self, now: Time, bytes: usize, worse: &Impairment) -> Option<Time> {
        if self.dice.random_bool(worse.loss.clamp(0.0, 1.0)) {
            return None;
        }
        let through = match worse.bandwidth {
            Some(narrow) => self.squeeze(now, bytes as u64, narrow)?,
            None => now,
        };
        let jitter = worse.jitter.mul_f64(self.dice.random_range(0.0..2.0));
        let late = worse.delay.saturating_sub(worse.jitter) + jitter;
        self.last = self.last.max(through + late);
        Some(self.last)
    }

    /// When it is through the narrow place.
    fn squeeze(&mut self, now: Time, bytes: u64, narrow: Bandwidth) -> Option<Time> {
        let for_bytes =
            |bytes: u64| Duration::from_secs_f64(bytes as f64 / narrow.bytes_per_s.max(1) as f64);
        if self.free.since(now) > for_bytes(narrow.queue_bytes_max) {
            return None;
        }
        self.free = self.free.max(now) + for_bytes(bytes);
        Some(self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn as_much_is_lost_as_is_said() {
        let mut line = Line::new(1);
        let worse = Impairment { loss: 0.2, ..Impairment::default() };
        let lost = (0..10_000).filter(|_| line.send(Time::START, 100, &worse).is_none()).count();
        assert!((1900..2100).contains(&lost), "{lost} of 10000");
    }

    #[test]
    fn jitter_spreads_around_the_delay_and_keeps_the_order() {
        let mut line = Line::new(1);
        let worse = Impairment { delay: 50 * MS, jitter: 10 * MS, ..Impairment::default() };
        let mut now = Time::START;
        let mut last = Time::START;
        for _ in 0..1000 {
            now += 100 * MS;
            let arrives = line.send(now, 100, &worse).expect("nothing is lost");
            assert!((40 * MS..=60 * MS).contains(&arrives.since(now)) && arrives >= last);
            last = arrives;
        }
        let (one, other) = (line.send(now, 9, &worse), line.send(now, 9, &worse));
        assert!(one <= other);
    }

    #[test]
    fn a_narrow_line_takes_its_time_and_loses_what_does_not_fit_its_queue() {
        let mut line = Line::new(1);
        let narrow = Bandwidth { bytes_per_s: 100_000, queue_bytes_max: 3000 };
        let worse = Impairment { bandwidth: Some(narrow), ..Impairment::default() };
        let arrivals: Vec<_> = (0..6).map(|_| line.send(Time::START, 1000, &worse)).collect();
        let at = |ms: u32| Some(Time::START + ms * MS);
        assert_eq!(arrivals, [at(10), at(20), at(30), at(40), None, None]);
        assert_eq!(line.send(Time::START + 100 * MS, 1000, &worse), at(110));
    }
}
