//! What the publisher writes into each frame's stamp: when it was sent, and its number.
//!
//! Pictures carry it in their user-data SEI. Sound carries it only where there is no picture, in
//! place of the first bytes of the AAC frame, which no server looks into.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use testkit::stamp;

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

/// Bytes before the AAC frame (FLV 10.1 §E.4.2.1).
const SOUND_HEADER: usize = 2;

/// Puts a packed mark into the body of a sound message; too short a body stays as it is.
#[must_use]
pub fn put_in_sound(body: &[u8], packed: u64) -> Bytes {
    let mut out = BytesMut::from(body);
    if let Some(place) = out.get_mut(SOUND_HEADER..SOUND_HEADER + stamp::LEN) {
        place.copy_from_slice(&stamp::encode(packed));
    }
    out.freeze()
}

/// The packed mark in the body of a sound message.
#[must_use]
pub fn in_sound(body: &[u8]) -> Option<u64> {
    stamp::find(body.get(SOUND_HEADER..SOUND_HEADER + stamp::LEN)?)
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
    fn sound_carries_a_mark() {
        let body = put_in_sound(&[0xAF; 60], 12345);
        assert_eq!((body.len(), in_sound(&body)), (60, Some(12345)));
        assert_eq!(in_sound(&[0xAF; 60]), None);
        assert_eq!(in_sound(&put_in_sound(&[0xAF; 8], 1)), None);
    }

    #[test]
    fn distance_wraps() {
        let at = |number| Mark { sent: 0, number };
        assert_eq!(at(4095).distance_to(at(2)), 3);
        assert_eq!(at(2).distance_to(at(4095)), -3);
    }
}
