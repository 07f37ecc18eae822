//! All randomness of a world, from one seed.

use std::time::Duration;

/// A stream of random numbers (SplitMix64): the same for the same seed, on every machine.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A stream of its own, so that what one part of a world rolls doesn't change what another one
    /// gets.
    pub fn fork(&mut self) -> Self {
        Self::new(self.roll())
    }

    /// 64 random bits.
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// If `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // Not quite even, but close enough for weather.
        self.roll() % end
    }

    /// A place in a list of `length`.
    ///
    /// # Panics
    /// If there is none.
    pub fn place(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// One of them.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.place(all.len())]
    }

    /// Whether something happens that does so `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A duration below `end`, in whole microseconds.
    pub fn up_to(&mut self, end: Duration) -> Duration {
        let micros = u64::try_from(end.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(micros.max(1)))
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.roll() as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_stream_and_another_one_another() {
        let roll = |seed| Dice::new(seed).bytes::<16>();
        assert_eq!(roll(7), roll(7));
        assert_ne!(roll(7), roll(8));
    }
}
