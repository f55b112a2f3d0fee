//! A program's clock, and times on it (ISO/IEC 13818-1 §2.4.2).

use std::time::Duration;

use super::Rules;
use super::faults::Faults;

/// One more than the largest time on the wire, in ticks of 90 kHz.
const WRAP: i64 = 1 << 33;

/// Ticks of a clock reference per tick of 90 kHz.
pub(super) const FINE: i64 = 300;

/// What the clock references of a program tell.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The last clock reference, unwrapped, in ticks of 27 MHz.
    pub(super) pcr: Option<i64>,
    /// Counts the discontinuities.
    pub(super) epoch: u32,
    /// Whether the next clock reference begins another time line.
    breaks: bool,
    /// The last time of any kind, to unwrap the next one by.
    near: Option<i64>,
    /// Transport packets with a clock reference, and the time that had passed there.
    marks: Vec<(usize, i64)>,
    largest: i64,
}

impl Clock {
    /// What `discontinuity_indicator` means in the packets that carry the clock.
    pub(super) fn discontinuity(&mut self) {
        self.breaks = true;
    }

    /// Takes a clock reference.
    pub(super) fn reference(
        &mut self,
        packet: usize,
        pcr: i64,
        rules: &Rules,
        faults: &mut Faults,
    ) {
        let near = self.pcr.or_else(|| self.near.map(|near| near * FINE));
        let pcr = unwrap(pcr, near, WRAP * FINE);
        let breaks = std::mem::take(&mut self.breaks);
        let mut passed = self.marks.last().map_or(0, |mark| mark.1);
        match self.pcr {
            Some(_) if breaks => self.epoch += 1,
            Some(last) if pcr <= last => {
                faults.add(format_args!(
                    "the clock goes from {} back to {} without a discontinuity",
                    last / FINE,
                    pcr / FINE
                ));
            }
            Some(last) => {
                let gap = pcr - last;
                passed += gap;
                self.largest = self.largest.max(gap);
                if duration(gap) > rules.pcr_every {
                    faults.add(format_args!("no clock reference for {:?}", duration(gap)));
                }
            }
            None => {}
        }
        self.marks.push((packet, passed));
        self.pcr = Some(pcr);
        self.near = Some(pcr / FINE);
    }

    /// The time of 33 bits, near those before.
    pub(super) fn unwrap(&mut self, time: i64) -> i64 {
        let time = unwrap(time, self.near, WRAP);
        self.near = self.near.or(Some(time));
        time
    }

    /// The longest time between two clock references.
    pub(super) fn largest_gap(&self) -> Duration {
        duration(self.largest)
    }

    /// Whether there was a clock reference.
    pub(super) fn runs(&self) -> bool {
        self.pcr.is_some()
    }

    /// The longest time without one of these packets, from the first clock reference to the last.
    /// Between two clock references, packets pass at a constant rate (§2.4.2.2).
    pub(super) fn longest_without(&self, packets: &[usize]) -> Duration {
        let end = self.marks.last().map_or(0, |mark| mark.1);
        let times = packets.iter().map(|packet| self.passed(*packet)).chain([end]);
        let mut last = 0;
        let mut longest = 0;
        for time in times {
            longest = longest.max(time - last);
            last = time;
        }
        duration(longest)
    }

    /// How much time had passed when this packet came.
    fn passed(&self, packet: usize) -> i64 {
        let after = self.marks.partition_point(|mark| mark.0 < packet);
        let before = after.checked_sub(1).and_then(|index| self.marks.get(index));
        match (before, self.marks.get(after)) {
            (Some(&(from, start)), Some(&(to, end))) => {
                let packets = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
                start + (end - start) * packets(packet - from) / packets(to - from)
            }
            (Some(&(_, time)), None) | (None, Some(&(_, time))) => time,
            (None, None) => 0,
        }
    }
}

/// The value that is nearest to `near` among those that are the same on the wire.
pub(super) fn unwrap(value: i64, near: Option<i64>, wrap: i64) -> i64 {
    let Some(near) = near else { return value };
    let ahead = (value - near).rem_euclid(wrap);
    near + if ahead < wrap / 2 { ahead } else { ahead - wrap }
}

/// Ticks of 27 MHz as a duration.
fn duration(ticks: i64) -> Duration {
    Duration::from_nanos(u64::try_from(ticks * 1000 / 27).unwrap_or_default())
}

/// The time of 33 bits, near another.
pub(super) fn unwrap_near(time: i64, near: i64) -> i64 {
    unwrap(time, Some(near), WRAP)
}
