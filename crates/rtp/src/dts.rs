//! Decoding times for sources that tell presentation times only, as RTP does.
//!
//! With a reorder depth of *n*, the picture at place *k* in decoding order cannot be shown before
//! the one at place *k − n* of presentation order was (ITU-T H.264 §C.4.5.3): the time of that one is
//! a decoding time that neither overtakes the picture's presentation nor ever goes back. It is
//! known when the picture comes, so that nothing has to wait.

/// Deeper than any level allows is not believed.
const MAX_DEPTH: usize = 16;

/// How far the first decoding time may lie before its picture, in ticks of 90 kHz: half a second,
/// whatever parameter sets say of rates.
const MAX_LEAD: i64 = 45_000;

/// Pictures after which a depth that was learnt, and that none of them needed, is given up: a step
/// of the source's clock looks like deep reordering for a while.
const FORGET_AFTER: u32 = 250;

/// Works out decoding times of one track.
#[derive(Debug)]
pub struct Reorderer {
    depth: usize,
    /// The depth that the source has told.
    told: usize,
    /// The deepest reordering of the pictures since the depth was looked at last, and how many
    /// they are.
    seen: usize,
    pictures: u32,
    /// How long a picture lasts.
    duration: i64,
    /// Presentation times that are not decoding times yet, in order: `depth` at most.
    waiting: Vec<i64>,
    /// The decoding time before.
    last: Option<i64>,
}

impl Reorderer {
    /// For pictures of `duration` ticks of 90 kHz, of which up to `depth` may precede one in decoding order
    /// and follow it in presentation.
    #[must_use]
    pub fn new(depth: u32, duration: i64) -> Self {
        let depth = usize::try_from(depth).unwrap_or(MAX_DEPTH).min(MAX_DEPTH);
        let places = i64::try_from(depth + 1).unwrap_or(1);
        let duration = duration.clamp(1, MAX_LEAD / places);
        let (waiting, last) = (Vec::new(), None);
        Self { depth, told: depth, seen: 0, pictures: 0, duration, waiting, last }
    }

    /// The decoding time of the picture with this presentation time, both in ticks.
    ///
    /// Later than `pts` only where a source reorders more than it told; the depth grows then.
    pub fn push(&mut self, pts: i64) -> i64 {
        let place = self.waiting.partition_point(|time| *time <= pts);
        self.waiting.insert(place, pts);
        // So many have overtaken it.
        self.seen = self.seen.max(self.waiting.len() - 1 - place);
        self.forget();
        let dts = if self.waiting.len() > self.depth {
            let over = self.waiting.len() - self.depth;
            self.waiting.drain(..over).next_back().unwrap_or(pts)
        } else {
            let missing = i64::try_from(self.depth + 1 - self.waiting.len()).unwrap_or_default();
            let first = self.waiting.first().copied().unwrap_or(pts);
            match self.last {
                None => first - missing * self.duration,
                Some(last) => (first - missing * self.duration).max(last + 1),
            }
        };
        let dts = self.last.map_or(dts, |last| dts.max(last + 1));
        if dts > pts && self.depth < MAX_DEPTH && self.last.is_some() {
            self.depth += 1;
        }
        self.last = Some(dts);
        dts
    }

    /// Gives up a depth that is not needed any more.
    fn forget(&mut self) {
        self.pictures += 1;
        if self.pictures >= FORGET_AFTER {
            self.depth = self.depth.min(self.seen.max(self.told));
            (self.pictures, self.seen) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(depth: u32, pts: &[i64]) -> Vec<i64> {
        let mut reorderer = Reorderer::new(depth, 40);
        pts.iter().map(|pts| reorderer.push(*pts)).collect()
    }

    #[test]
    fn without_reordering_they_are_the_same() {
        assert_eq!(all(0, &[0, 40, 80, 120]), [0, 40, 80, 120]);
    }

    #[test]
    fn b_frames_get_the_times_of_their_encoder() {
        // I P B B P B B, as x264 decodes them: two pictures of reordering for a pyramid.
        let pts = [0, 160, 80, 40, 120, 320, 240, 200, 280];
        assert_eq!(all(2, &pts), [-80, -40, 0, 40, 80, 120, 160, 200, 240]);
    }

    #[test]
    fn a_source_that_reorders_unannounced_is_learnt() {
        let mut reorderer = Reorderer::new(0, 40);
        let mut order = Vec::new();
        for gop in 0..20 {
            for pts in [120, 40, 80] {
                order.push(gop * 120 + pts);
            }
        }
        let dts: Vec<_> = order.iter().map(|pts| reorderer.push(*pts)).collect();
        assert!(dts.windows(2).all(|pair| pair[0] < pair[1]), "{dts:?}");
        let late = order.iter().zip(&dts).skip(9).filter(|(pts, dts)| dts > pts).count();
        assert_eq!(late, 0, "{dts:?}");
    }

    #[test]
    fn a_depth_that_was_learnt_in_vain_is_given_up() {
        let mut reorderer = Reorderer::new(0, 40);
        let back = (0..50).chain(42..600);
        let lags: Vec<_> = back.map(|place| place * 40 - reorderer.push(place * 40)).collect();
        assert!(lags.iter().any(|lag| *lag > 0));
        assert_eq!(lags.last(), Some(&0));
    }

    #[test]
    fn a_depth_that_is_needed_is_kept() {
        let mut reorderer = Reorderer::new(0, 40);
        let order = (0..600).flat_map(|gop| [120, 40, 80].map(|pts| gop * 120 + pts));
        let late = order.skip(9).filter(|pts| reorderer.push(*pts) > *pts).count();
        // Those by which it is learnt.
        assert!(late <= 2, "{late}");
    }

    #[test]
    fn the_first_decoding_time_is_near_whatever_is_told() {
        assert!(Reorderer::new(16, 90_000_000).push(0) >= -MAX_LEAD);
        assert!(Reorderer::new(2, i64::MAX).push(0) >= -MAX_LEAD);
    }

    #[test]
    fn gaps_and_jumps_keep_it_rising() {
        let dts = all(2, &[0, 160, 80, 40, 5_000, 4_920, 4_960, 100, 140, 180]);
        assert!(dts.windows(2).all(|pair| pair[0] < pair[1]), "{dts:?}");
    }
}
