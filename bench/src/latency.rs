//! A histogram of times that costs a few instructions for each.

/// Counts times in nanoseconds, each to within 3 %.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

/// Each power of two is cut into so many parts: 32.
const PART_BITS: u32 = 5;

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// One that has counted nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: vec![0; (64 - PART_BITS as usize + 1) << PART_BITS], total: 0 }
    }

    /// Counts one.
    #[inline]
    pub fn add(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// Counts what another one has.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// The time in microseconds that `share`, 0 to 1, of all stay below; nothing if there are none.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> Option<f64> {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        let place = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        })?;
        Some(middle(place) / 1000.0)
    }
}

fn bucket(nanos: u64) -> usize {
    let high = 63 - (nanos | 1 << PART_BITS).leading_zeros();
    let shift = high - PART_BITS;
    (shift as usize + usize::from(nanos >> PART_BITS > 0)) * (1 << PART_BITS)
        + (nanos >> shift) as usize % (1 << PART_BITS)
}

fn middle(bucket: usize) -> f64 {
    let (power, part) = (bucket >> PART_BITS, bucket % (1 << PART_BITS));
    match power.checked_sub(1) {
        None => part as f64,
        Some(shift) => ((1 << PART_BITS) + part) as f64 * (1_u64 << shift) as f64 * 1.015,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_three_percent() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile_us(0.5), None);
        for nanos in 1..=100_000 {
            histogram.add(nanos);
        }
        for (share, us) in [(0.001, 0.1), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let got = histogram.quantile_us(share).unwrap();
            assert!((got - us).abs() / us < 0.03, "{share}: {got}");
        }
        histogram.add(u64::MAX);
        assert!(histogram.quantile_us(1.0).unwrap() > 1e16);
    }
}
