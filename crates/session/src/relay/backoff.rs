//! How long is waited before the next try.

use std::time::Duration;

/// Between which bounds tries are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait after the first failure; each further one doubles it.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_secs(30) }
    }
}

impl Retry {
    /// The wait after `failures` in a row, the first one counted. `random` spreads the tries of
    /// many over a quarter of it to either side, so that a server that comes back is not overrun;
    /// it never exceeds the maximum.
    #[must_use]
    pub fn wait(self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let wait = self.min.saturating_mul(1 << doublings).min(self.max);
        // 750 to 1250 thousandths.
        let share = 750 + u32::try_from(random % 501).unwrap_or_default();
        (wait / 1000 * share).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_maximum_and_are_spread() {
        let retry = Retry::default();
        let nominal: Vec<_> = (1..8).map(|n| retry.wait(n, 250).as_secs()).collect();
        assert_eq!(nominal, [1, 2, 4, 8, 16, 30, 30]);
        for random in 0..501 {
            let wait = retry.wait(3, random);
            assert!(wait >= Duration::from_secs(3) && wait <= Duration::from_secs(5), "{wait:?}");
            assert!(retry.wait(u32::MAX, random) <= retry.max);
        }
    }
}
