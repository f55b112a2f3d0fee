//! Times of PES packets, continued over the wrap of their 33 bits, and what they are by RTP's clock
//! where packets have none.

use crate::clock::WRAP;

/// Times of one stream are that close together; what is further away is a jump, or damaged.
const STEP: i64 = 10 * 90_000;

/// Times in a row that must be far away until the clock is believed to have jumped: one may be
/// damaged, and would move all that follow by a whole turn of the clock.
const JUMP: u8 = 3;

/// The clock of a program.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The last time that was near those before it.
    reference: Option<i64>,
    /// Times since that were not.
    far: u8,
    /// By how much times of the program are later than those of RTP.
    offset: Option<i64>,
}

/// A presentation time, and the decoding time if the stream tells it.
pub(super) type Times = (i64, Option<i64>);

impl Clock {
    /// The times of a packet that came at `timestamp` by RTP's clock.
    pub(super) fn times(
        &mut self,
        (pts, dts): (u64, Option<u64>),
        timestamp: Option<i64>,
    ) -> Times {
        let wrapped = i64::try_from(pts).unwrap_or_default();
        let pts = match self.reference {
            None => wrapped,
            Some(reference) => reference + nearest(wrapped - reference),
        };
        let is_near = self.reference.is_none_or(|reference| (pts - reference).abs() <= STEP);
        self.far = if is_near { 0 } else { self.far + 1 };
        if is_near || self.far >= JUMP {
            (self.reference, self.far) = (Some(pts), 0);
            self.offset = timestamp.map(|timestamp| pts - timestamp).or(self.offset);
        }
        // Decoding comes before presentation, by less than a step.
        let dts = dts.and_then(|dts| {
            let before = (pts - i64::try_from(dts).unwrap_or_default()).rem_euclid(WRAP);
            (before <= STEP).then_some(pts - before)
        });
        (pts, dts)
    }

    /// The time at `timestamp` by RTP's clock.
    pub(super) fn at(&self, timestamp: i64) -> i64 {
        timestamp.saturating_add(self.offset.unwrap_or(0))
    }
}

/// A distance on the circle, the short way.
fn nearest(distance: i64) -> i64 {
    let ahead = distance.rem_euclid(WRAP);
    if ahead < WRAP / 2 { ahead } else { ahead - WRAP }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::wrap;

    #[test]
    fn time_goes_on_through_the_wrap() {
        let mut clock = Clock::default();
        for time in [WRAP - 90_000, WRAP - 1, WRAP + 3600, WRAP, WRAP + 90_000] {
            let dts = Some(wrap(time - 7200));
            assert_eq!(clock.times((wrap(time), dts), None), (time, Some(time - 7200)));
        }
    }

    #[test]
    fn one_damaged_time_moves_no_other() {
        for bit in 0..33 {
            let mut clock = Clock::default();
            assert_eq!(clock.times((5_000_000, None), None).0, 5_000_000);
            clock.times((5_003_600 ^ 1 << bit, None), None);
            assert_eq!(clock.times((5_007_200, None), None).0, 5_007_200, "bit {bit}");
        }
    }

    #[test]
    fn a_clock_that_jumps_is_believed() {
        let mut clock = Clock::default();
        clock.times((WRAP.unsigned_abs() - 1000, None), Some(0));
        for n in 0..5 {
            let (time, _) = clock.times((3_000_000 + n * 3600, None), Some(7));
            assert_eq!(time, WRAP + 3_000_000 + i64::try_from(n).unwrap() * 3600);
        }
        assert_eq!(clock.at(17), WRAP + 3_000_000 + 4 * 3600 + 10);
    }

    #[test]
    fn a_decoding_time_after_its_presentation_is_none() {
        assert_eq!(Clock::default().times((1000, Some(2000)), None), (1000, None));
    }
}
