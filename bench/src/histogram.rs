//! Percentiles of many durations in a fixed amount of memory.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets per power of two: a resolution of 3 %.
const STEPS: u64 = 32;
/// The logarithm of [`STEPS`].
const STEP_BITS: u32 = 5;
/// Enough buckets for the 38 bits of three days in microseconds.
const BUCKETS: usize = 34 * 32;

/// Counts durations by size.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

/// Some percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// 9 of 10 are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1000 are below.
    pub p999: f64,
    /// The greatest.
    pub max: f64,
}

impl Histogram {
    /// One without entries.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    /// Adds one duration.
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket_of(micros).min(BUCKETS - 1);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.total += 1;
        }
    }

    /// The percentiles; `None` without entries.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        (self.total > 0).then(|| Percentiles {
            p50: self.millis_at(self.total.div_ceil(2)),
            p90: self.millis_at((self.total * 9).div_ceil(10)),
            p99: self.millis_at((self.total * 99).div_ceil(100)),
            p999: self.millis_at((self.total * 999).div_ceil(1000)),
            max: self.millis_at(self.total),
        })
    }

    /// The size of the entry that is number `rank`, from one, in ascending order.
    fn millis_at(&self, rank: u64) -> f64 {
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let micros = upper_end(bucket.unwrap_or(BUCKETS - 1));
        Duration::from_micros(micros).as_secs_f64() * 1000.0
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < STEPS {
        return usize::try_from(micros).unwrap_or(0);
    }
    let shift = micros.ilog2() - STEP_BITS;
    let bucket = u64::from(shift) * STEPS + (micros >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The largest number of microseconds that falls into the bucket.
fn upper_end(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(0);
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((bucket % STEPS + STEPS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_they_say() {
        for micros in (0..5000).chain([1_000_000, 123_456_789]) {
            let bucket = bucket_of(micros);
            assert!(upper_end(bucket) >= micros);
            assert!(bucket == 0 || upper_end(bucket - 1) < micros, "{micros}");
        }
    }

    #[test]
    fn percentiles_of_a_thousand() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentiles(), None);
        (1..=1000).for_each(|millis| histogram.add(Duration::from_millis(millis)));
        let found = histogram.percentiles().unwrap();
        assert!((500.0..516.0).contains(&found.p50), "{found:?}");
        assert!(found.p50 <= found.p90 && found.p99 <= found.p999 && found.p999 <= found.max);
        assert!((990.0..1020.0).contains(&found.p99), "{found:?}");
    }
}
