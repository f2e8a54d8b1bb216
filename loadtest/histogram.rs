//! Latencies, counted in buckets. In: microseconds. Out: quantiles that are at most 1/128 too high.
//! Values above the last bucket (about 9.5 hours) count as the last; the maximum is kept exactly.

use std::time::Duration;

/// Each doubling has this many buckets, so a bucket is at most 1/128 of its value wide.
const STEPS_BITS: u32 = 7;
const STEPS: u64 = 1 << STEPS_BITS;
/// Doublings above the exact part: 2^7 .. 2^35 microseconds.
const DOUBLINGS: u64 = 28;
const BUCKETS: usize = (STEPS * (DOUBLINGS + 1)) as usize;

/// A log-linear histogram of durations.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, max_us: 0 }
    }
}

/// The bucket of a value: exact below 128, then 128 even steps for each doubling.
fn bucket_of(value_us: u64) -> usize {
    if value_us < STEPS {
        return value_us as usize;
    }
    let doubling = u64::from(value_us.ilog2() - STEPS_BITS);
    let step = (value_us >> doubling) - STEPS;
    ((STEPS * (doubling + 1) + step) as usize).min(BUCKETS - 1)
}

/// The highest value that falls into a bucket.
fn top_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let doubling = bucket / STEPS - 1;
    ((STEPS + bucket % STEPS + 1) << doubling) - 1
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        let value_us = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket_of(value_us)] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(value_us);
    }

    /// Counts all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, exact; `None` when nothing was counted.
    pub fn max_ms(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max_us as f64 / 1e3)
    }

    /// The duration in milliseconds that `share` (0..=1) of all did not exceed; `None` when empty.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|&count| {
            seen += count;
            seen >= wanted
        })?;
        Some(top_of(bucket).min(self.max_us) as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(Histogram::default().quantile_ms(0.5), None);
        assert_eq!(Histogram::default().max_ms(), None);
    }

    #[test]
    fn quantiles_of_one_to_a_thousand_milliseconds() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|value_ms| histogram.record(Duration::from_millis(value_ms)));
        for (share, exact_ms) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0)] {
            let got_ms = histogram.quantile_ms(share).unwrap();
            assert!((exact_ms..=exact_ms * (1.0 + 1.0 / 128.0)).contains(&got_ms), "{got_ms}");
        }
        assert_eq!(histogram.max_ms(), Some(1000.0));
        assert_eq!(histogram.quantile_ms(1.0), Some(1000.0));
        assert_eq!(histogram.count(), 1000);
    }

    #[test]
    fn merged_histograms_count_as_one() {
        let (mut left, mut right) = (Histogram::default(), Histogram::default());
        left.record(Duration::from_micros(10));
        right.record(Duration::from_micros(30));
        left.merge(&right);
        assert_eq!((left.count(), left.max_ms()), (2, Some(0.03)));
        assert_eq!(left.quantile_ms(0.5), Some(0.01));
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(value_us in 0_u64..1 << 35) {
            let bucket = bucket_of(value_us);
            prop_assert!(value_us <= top_of(bucket));
            prop_assert!(bucket == 0 || value_us > top_of(bucket - 1));
            prop_assert!(top_of(bucket) - value_us <= value_us / 128);
        }

        #[test]
        fn no_value_is_out_of_range(value_us: u64) {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_micros(value_us));
            prop_assert_eq!(histogram.count(), 1);
        }
    }
}
