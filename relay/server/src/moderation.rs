//! When to let datagrams gather before looking at them: at a middling rate, to wake up for each one
//! costs more than to relay it.

use heliograph_base::Time;
use std::time::Duration;

/// Decides after each turn of a worker whether it pauses before the next.
///
/// It does while datagrams come at a rate at which most of the work is waking up: faster than
/// [`PAUSED_RATE`], and not so fast that there is more to do already.
#[derive(Debug)]
pub(crate) struct Moderation {
    pause: Duration,
    full_turn: usize,
    /// When the rate was last looked at.
    since: Time,
    /// What has come since then.
    datagrams: usize,
    is_busy: bool,
}

/// Datagrams a second from which on pauses pay.
const PAUSED_RATE: u128 = 10_000;

/// Over how long the rate is taken.
const WINDOW: Duration = Duration::from_millis(2);

impl Moderation {
    /// Pauses are of this length; none if it is 0. A turn with `full_turn` datagrams saves nothing
    /// by a pause: at least one socket may have more.
    pub(crate) const fn new(pause: Duration, full_turn: usize) -> Self {
        Self { pause, full_turn, since: Time::START, datagrams: 0, is_busy: false }
    }

    /// Takes note of a turn that began at `now`, and says for how long to pause after it.
    pub(crate) fn pause_after(&mut self, now: Time, datagrams: usize) -> Option<Duration> {
        self.datagrams += datagrams;
        let passed = now.since(self.since);
        if passed >= WINDOW {
            let datagrams_s = self.datagrams as u128 * 1_000_000_000 / passed.as_nanos();
            self.is_busy = datagrams_s >= PAUSED_RATE;
            (self.since, self.datagrams) = (now, 0);
        }
        let pays = self.is_busy && (1..self.full_turn).contains(&datagrams);
        (pays && !self.pause.is_zero()).then_some(self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_micros(200);
    const FULL_TURN: usize = 32;

    /// How many of the turns of a second end with a pause, with so many datagrams evenly spaced.
    fn share_paused(moderation: &mut Moderation, datagrams_s: u64) -> f64 {
        let gap = 1_000_000_000 / datagrams_s;
        let (mut now, mut handled, mut turns, mut pauses) = (0, 0, 0, 0);
        while now < 1_000_000_000 {
            // Each datagram takes 5 us; then the next one is waited for.
            let waiting = now / gap - handled;
            if waiting == 0 {
                now = (handled + 1) * gap;
                continue;
            }
            let waiting = waiting.min(64);
            let time = Time::after_start(Duration::from_nanos(now));
            turns += 1;
            handled += waiting;
            now += waiting * 5_000;
            if let Some(pause) = moderation.pause_after(time, waiting as usize) {
                pauses += 1;
                now += pause.as_nanos() as u64;
            }
        }
        f64::from(pauses) / f64::from(turns)
    }

    #[test]
    fn a_middling_rate_is_paused_and_others_are_not() {
        for (datagrams_s, low, high) in [
            (100, 0.0, 0.0),
            (5_000, 0.0, 0.0),
            (20_000, 0.9, 1.0),
            (50_000, 0.9, 1.0),
            (1_000_000, 0.0, 0.01),
        ] {
            let share = share_paused(&mut Moderation::new(PAUSE, FULL_TURN), datagrams_s);
            assert!((low..=high).contains(&share), "{datagrams_s} a second: {share}");
        }
    }

    #[test]
    fn the_first_datagram_after_a_silence_is_not_paused_for_long() {
        let mut moderation = Moderation::new(PAUSE, FULL_TURN);
        assert!(share_paused(&mut moderation, 20_000) > 0.9);
        let later = |ms| Time::after_start(Duration::from_millis(ms));
        assert_eq!(moderation.pause_after(later(5_000), 1), None);
        assert_eq!(moderation.pause_after(later(5_100), 1), None);
    }

    #[test]
    fn a_full_turn_is_not_followed_by_a_pause() {
        let mut moderation = Moderation::new(PAUSE, FULL_TURN);
        assert!(share_paused(&mut moderation, 20_000) > 0.9);
        let soon = Time::after_start(Duration::from_secs(1));
        assert_eq!(moderation.pause_after(soon, FULL_TURN), None);
        assert_eq!(moderation.pause_after(soon, FULL_TURN - 1), Some(PAUSE));
    }

    #[test]
    fn without_a_length_there_is_no_pause() {
        assert_eq!(share_paused(&mut Moderation::new(Duration::ZERO, FULL_TURN), 20_000), 0.0);
    }
}
