//! The system clock's 33 bits at 90 kHz, which wrap every 26.5 hours (ISO/IEC 13818-1 §2.4.2.1).

use media::{Ticks, TimeBase};

/// One more than the largest value on the wire.
pub const WRAP: i64 = 1 << 33;

/// A time on the wire's clock: 33 bits.
#[must_use]
pub fn wrap(ticks: i64) -> u64 {
    // The remainder is between 0 and 2^33.
    u64::try_from(ticks.rem_euclid(WRAP)).unwrap_or_default()
}

/// A time on the 90 kHz clock.
#[must_use]
pub fn ticks(time: Ticks) -> i64 {
    time.rescale(TimeBase::VIDEO).value
}

/// Continues 33 bits to 64: each value is taken for the one nearest to the last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwrapper {
    last: Option<i64>,
}

impl Unwrapper {
    /// The value that `wrapped` stands for.
    pub fn unwrap(&mut self, wrapped: u64) -> i64 {
        let value = i64::try_from(wrapped & ((1 << 33) - 1)).unwrap_or_default();
        let unwrapped = match self.last {
            None => value,
            Some(last) => {
                let ahead = (value - last).rem_euclid(WRAP);
                last + if ahead < WRAP / 2 { ahead } else { ahead - WRAP }
            }
        };
        self.last = Some(unwrapped);
        unwrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_through_the_wrap_and_back() {
        let mut unwrapper = Unwrapper::default();
        for value in [
            WRAP - 2,
            WRAP,
            WRAP + 90_000,
            WRAP - 1,
            5 * WRAP / 4,
            3 * WRAP / 2,
            7 * WRAP / 4,
            2 * WRAP + 7,
        ] {
            assert_eq!(unwrapper.unwrap(wrap(value)), value);
        }
    }

    #[test]
    fn times_before_zero_are_large_on_the_wire() {
        assert_eq!(wrap(-1), (1 << 33) - 1);
    }
}
