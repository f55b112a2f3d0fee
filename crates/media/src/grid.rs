//! Sound edge to edge.

use crate::Ticks;

/// Puts the frames of a regular sound track one behind the other, to the sample.
///
/// Time stamps of milliseconds, and encoders whose clock jitters, leave gaps and overlaps of parts
/// of a frame, which players fill with clicks. What differs by half a frame or more is a real gap.
#[derive(Debug, Clone, Default)]
pub struct SampleClock {
    /// Where the last frame ended.
    next: Option<Ticks>,
}

impl SampleClock {
    /// Where a frame of `samples` ticks belongs that came with `dts`, on the same clock.
    pub fn place(&mut self, dts: Ticks, samples: i64) -> i64 {
        let at = match self.next {
            Some(next) if next.base == dts.base => {
                let near = dts.value.abs_diff(next.value) < samples.unsigned_abs().div_ceil(2);
                if near { next.value } else { dts.value }
            }
            _ => dts.value,
        };
        self.next = Some(Ticks::new(at.saturating_add(samples), dts.base));
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TimeBase;

    #[test]
    fn a_real_gap_stays() {
        let base = TimeBase::new(48_000).unwrap();
        let mut clock = SampleClock::default();
        let mut place = |dts| clock.place(Ticks::new(dts, base), 1024);
        assert_eq!([place(0), place(1010), place(2600), place(3600)], [0, 1024, 2600, 3624]);
    }

    proptest! {
        /// However milliseconds are rounded, sound has neither gaps nor overlaps.
        #[test]
        fn milliseconds_leave_no_trace(
            rate in prop::sample::select(vec![8_000u32, 22_050, 44_100, 48_000]),
            phase in 0.0f64..50.0,
            up in any::<bool>(),
        ) {
            let base = TimeBase::new(rate).unwrap();
            let mut clock = SampleClock::default();
            let mut next = None;
            for n in 0..30_000u32 {
                let exact = phase + f64::from(n) * 1024.0 * 1000.0 / f64::from(rate);
                #[allow(clippy::cast_possible_truncation)]
                let millis = if up { exact.ceil() } else { exact.floor() } as i64;
                let at = clock.place(Ticks::from_millis(millis, base), 1024);
                prop_assert_eq!(at, *next.get_or_insert(at));
                next = Some(at + 1024);
            }
        }
    }
}
