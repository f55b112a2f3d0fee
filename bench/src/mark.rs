//! What the publisher writes into each frame's stamp: when it was sent, and its number.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bits of the frame number; it wraps after 4096 frames, or 160 seconds at 25 frames per second.
const NUMBER_BITS: u32 = 12;

/// When a frame was sent, and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Since the Unix epoch, in microseconds.
    pub sent: u64,
    /// Counts the frames of the stream, in 12 bits.
    pub number: u16,
}

impl Mark {
    /// Packs it for [`testkit::stamp`].
    #[must_use]
    pub fn pack(self) -> u64 {
        self.sent << NUMBER_BITS | (u64::from(self.number) & number_mask())
    }

    /// The opposite of [`Mark::pack`].
    #[must_use]
    pub fn unpack(packed: u64) -> Self {
        let number = u16::try_from(packed & number_mask()).unwrap_or(0);
        Self { sent: packed >> NUMBER_BITS, number }
    }

    /// How many frames `other` is ahead, at most half of the range either way.
    #[must_use]
    pub fn distance_to(self, other: Self) -> i64 {
        let range = 1 << NUMBER_BITS;
        let ahead = (i64::from(other.number) - i64::from(self.number)).rem_euclid(range);
        if ahead >= range / 2 { ahead - range } else { ahead }
    }

    /// How long ago it was sent.
    #[must_use]
    pub fn age(self, now: u64) -> Duration {
        Duration::from_micros(now.saturating_sub(self.sent))
    }
}

/// The wall clock in microseconds, which publisher and viewers of one machine share.
#[must_use]
pub fn wall_clock() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

fn number_mask() -> u64 {
    (1 << NUMBER_BITS) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_both_halves() {
        let mark = Mark { sent: wall_clock(), number: 4095 };
        assert_eq!(Mark::unpack(mark.pack()), mark);
    }

    #[test]
    fn distance_wraps() {
        let at = |number| Mark { sent: 0, number };
        assert_eq!(at(4095).distance_to(at(2)), 3);
        assert_eq!(at(2).distance_to(at(4095)), -3);
    }
}
