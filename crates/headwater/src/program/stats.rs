//! Percentiles, and the times that people are shown.

use std::fmt;
use std::time::Duration;

/// What there is to say about many times.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    /// Sorted.
    all: Vec<Duration>,
}

impl Times {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The time that `percent` of all do not exceed; zero if there is none.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.all.len() * percent).div_ceil(100).max(1);
        self.all.get(rank - 1).copied().unwrap_or_default()
    }

    pub(super) fn max(&self) -> Duration {
        self.all.last().copied().unwrap_or_default()
    }

    /// How many there are in each of `count` equal parts from zero to the longest.
    pub(super) fn histogram(&self, count: usize) -> Vec<usize> {
        let mut bins = vec![0; count];
        let longest = self.max().as_nanos().max(1);
        for time in &self.all {
            let bin = usize::try_from(time.as_nanos() * count as u128 / longest).unwrap_or(count);
            if let Some(bin) = bins.get_mut(bin.min(count.saturating_sub(1))) {
                *bin += 1;
            }
        }
        bins
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut all: Vec<_> = times.into_iter().collect();
        all.sort_unstable();
        Self { all }
    }
}

/// As a row: half, nine tenths, all but a hundredth, all.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all.is_empty() {
            return f.write_str("–");
        }
        let [p50, p90, p99] = [50, 90, 99].map(|percent| millis(self.percentile(percent)));
        write!(f, "p50 {p50}  p90 {p90}  p99 {p99}  max {}", millis(self.max()))
    }
}

/// Milliseconds, with as many places as matter.
pub(super) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_there() {
        let times: Times = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(times.percentile(50), Duration::from_millis(100));
        assert_eq!(times.percentile(99), Duration::from_millis(198));
        assert_eq!(times.percentile(100), times.max());
        assert_eq!(times.to_string(), "p50 100 ms  p90 180 ms  p99 198 ms  max 200 ms");
        assert_eq!(times.histogram(4), [49, 50, 50, 51]);
        let one: Times = [Duration::from_micros(1500)].into_iter().collect();
        assert_eq!((one.percentile(1), one.len()), (one.max(), 1));
        assert_eq!(Times::default().to_string(), "–");
    }
}
