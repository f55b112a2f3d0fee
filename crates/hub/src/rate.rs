//! How many frames came in each of the last seconds.

use std::time::Instant;

/// Counts frames per second over the last half minute.
#[derive(Debug, Default)]
pub(crate) struct FrameRate {
    start: Option<Instant>,
    /// Frames of second `n` since `start`, at `n % SLOTS`, with `n` to tell the laps apart.
    slots: [(u64, u32); Self::SLOTS],
}

impl FrameRate {
    const SLOTS: usize = 32;

    /// A frame came.
    pub(crate) fn count(&mut self, now: Instant) {
        let start = *self.start.get_or_insert(now);
        let second = now.saturating_duration_since(start).as_secs();
        if let Some(slot) = self.slot(second).and_then(|index| self.slots.get_mut(index)) {
            if slot.0 != second {
                *slot = (second, 0);
            }
            slot.1 += 1;
        }
    }

    /// Frames of the last whole seconds, newest first.
    pub(crate) fn seconds(&self, now: Instant) -> Vec<u32> {
        let Some(start) = self.start else { return Vec::new() };
        let current = now.saturating_duration_since(start).as_secs();
        let slots = Self::SLOTS as u64;
        (current.saturating_sub(slots - 1)..current)
            .rev()
            .filter_map(|second| {
                let (lap, frames) = self.slots.get(self.slot(second)?)?;
                Some(if *lap == second { *frames } else { 0 })
            })
            .collect()
    }

    fn slot(&self, second: u64) -> Option<usize> {
        usize::try_from(second % Self::SLOTS as u64).ok()
    }
}
