//! Time stamps that know their clock.

use std::cmp::Ordering;
use std::num::NonZeroU32;
use std::time::Duration;

/// The rate of a media clock, in ticks per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeBase(NonZeroU32);

impl TimeBase {
    /// 1 kHz: RTMP and FLV, and tracks whose codec tells no rate.
    pub const MILLIS: Self = Self(NonZeroU32::new(1000).unwrap());
    /// 90 kHz: every video track, MPEG systems and RTP video.
    pub const VIDEO: Self = Self(NonZeroU32::new(90_000).unwrap());

    /// A clock of `rate` ticks per second; `None` for zero.
    #[must_use]
    pub fn new(rate: u32) -> Option<Self> {
        NonZeroU32::new(rate).map(Self)
    }

    /// Ticks per second.
    #[must_use]
    pub fn rate(self) -> u32 {
        self.0.get()
    }
}

/// A point on a track's time line, or a distance on it, unwrapped to 64 bits.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    /// The count of ticks.
    pub value: i64,
    /// The clock that they are ticks of.
    pub base: TimeBase,
}

impl Ticks {
    /// `value` ticks of `base`.
    #[must_use]
    pub fn new(value: i64, base: TimeBase) -> Self {
        Self { value, base }
    }

    /// `millis` milliseconds, expressed in `base`, rounded to the nearest tick.
    #[must_use]
    pub fn from_millis(millis: i64, base: TimeBase) -> Self {
        Self::new(millis, TimeBase::MILLIS).rescale(base)
    }

    /// The same time on another clock, rounded to the nearest tick (halves away from zero).
    #[must_use]
    pub fn rescale(self, base: TimeBase) -> Self {
        if self.base == base {
            return self;
        }
        let (from, to) = (i128::from(self.base.rate()), i128::from(base.rate()));
        let scaled = i128::from(self.value) * to;
        let rounded = (scaled + scaled.signum() * (from / 2)) / from;
        Self { value: i64::try_from(rounded).unwrap_or(i64::MAX), base }
    }

    /// In milliseconds, rounded to the nearest.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.rescale(TimeBase::MILLIS).value
    }

    /// As a duration; negative times are zero.
    #[must_use]
    pub fn duration(self) -> Duration {
        let value = u64::try_from(self.value).unwrap_or(0);
        let rate = u64::from(self.base.rate());
        let nanos = (value % rate) * 1_000_000_000 / rate;
        Duration::from_secs(value / rate) + Duration::from_nanos(nanos)
    }
}

/// Equal means the same instant, whatever the clocks.
impl PartialEq for Ticks {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ticks {}

impl PartialOrd for Ticks {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ticks {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = i128::from(self.value) * i128::from(other.base.rate());
        let right = i128::from(other.value) * i128::from(self.base.rate());
        left.cmp(&right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_survive_the_video_clock() {
        for millis in [0, 1, 33, 0x00FF_FFFF, 0xFFFF_FFFF, -40] {
            assert_eq!(Ticks::from_millis(millis, TimeBase::VIDEO).millis(), millis);
        }
    }

    #[test]
    fn rescaling_rounds_to_the_nearest() {
        let base = TimeBase::new(44_100).unwrap();
        assert_eq!(Ticks::new(1024, base).millis(), 23);
        assert_eq!(Ticks::new(3072, base).millis(), 70);
        assert_eq!(Ticks::new(-3072, base).millis(), -70);
    }

    #[test]
    fn order_is_that_of_the_instants() {
        let second = Ticks::new(1000, TimeBase::MILLIS);
        assert_eq!(second, Ticks::new(90_000, TimeBase::VIDEO));
        assert!(second < Ticks::new(90_001, TimeBase::VIDEO));
    }
}
