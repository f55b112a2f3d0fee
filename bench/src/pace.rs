//! How eagerly a viewer reads once it has its first key frame.

use std::time::{Duration, Instant};

/// Slow viewers read in pieces of this size: small beside what sockets buffer, large enough that
/// thousands of them do not keep the generator busy.
const PIECE: f64 = 4096.0;

/// How eagerly a viewer reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Everything there is; only these viewers are counted.
    Full,
    /// So many bytes per second.
    Slow(f64),
    /// Nothing at all.
    Stopped,
}

impl Pace {
    /// The pace of viewer `number` of `stalled` + `viewers`: the stalled ones come first, the
    /// `slow` ones are spread evenly over the rest.
    #[must_use]
    pub fn of(number: usize, stalled: usize, viewers: usize, slow: usize, rate: f64) -> Self {
        let Some(number) = number.checked_sub(stalled) else { return Self::Stopped };
        let before = |number: usize| number * slow / viewers.max(1);
        if before(number + 1) > before(number) { Self::Slow(rate) } else { Self::Full }
    }
}

/// What a slow viewer may read by now.
#[derive(Debug)]
pub struct Allowance {
    bytes: f64,
    since: Instant,
}

impl Allowance {
    /// Nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { bytes: 0.0, since: now }
    }

    /// How many bytes to read now: whole pieces only, so that there are few reads.
    pub fn take(&mut self, rate: f64, now: Instant) -> usize {
        let waited: Duration = now.saturating_duration_since(self.since);
        self.since = now;
        self.bytes += rate * waited.as_secs_f64();
        let mut pieces = 0;
        while self.bytes >= PIECE {
            self.bytes -= PIECE;
            pieces += 1;
        }
        pieces * 4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_viewers_are_spread() {
        let paces: Vec<Pace> = (0..12).map(|number| Pace::of(number, 2, 10, 3, 1.0)).collect();
        assert_eq!(&paces[..2], [Pace::Stopped; 2]);
        let slow: Vec<usize> = (0..12).filter(|&n| paces[n] == Pace::Slow(1.0)).collect();
        assert_eq!(slow, [5, 8, 11]);
    }

    #[test]
    fn an_allowance_adds_up() {
        let begun = Instant::now();
        let mut allowance = Allowance::new(begun);
        let read: usize = (1..=1000)
            .map(|step| allowance.take(25_000.0, begun + Duration::from_millis(4 * step)))
            .sum();
        assert_eq!(read, 24 * 4096); // of 100 000 bytes
    }
}
