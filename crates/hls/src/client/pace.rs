//! When each frame is due: segments come at once, frames go on at the speed of their times.

use std::time::{Duration, Instant};

/// A step of time that no stream makes: another time line begins.
const MAX_STEP_MS: i64 = 5_000;

/// The step that is put in its place: about one frame.
const JOIN_STEP_MS: i64 = 40;

/// A frame that is later than this was not there in time, and those after it are as late: they are
/// not hurried after it.
const LATE: Duration = Duration::from_millis(100);

/// How much faster frames go while more waits than needs to: nobody hears or sees five percent.
const HURRY_PERCENT: u32 = 5;

/// Says when frames are due.
#[derive(Debug, Default)]
pub struct Pacer {
    /// The latest frame: its time in milliseconds, and when it was due.
    last: Option<(i64, Instant)>,
    joins: bool,
    hurries: bool,
}

impl Pacer {
    /// More media waits than needs to, or no more.
    pub fn hurry(&mut self, hurries: bool) {
        self.hurries = hurries;
    }

    /// The next frame belongs to another time line, and follows the last one.
    pub fn join(&mut self) {
        self.joins = true;
    }

    /// When the next frame is due, which has this time in milliseconds. Frames of several tracks
    /// may go back and forth a little.
    pub fn due(&mut self, millis: i64, now: Instant) -> Instant {
        let Some((latest, at)) = self.last else {
            self.last = Some((millis, now));
            return now;
        };
        let step = millis.saturating_sub(latest);
        let joins = std::mem::take(&mut self.joins) || step.saturating_abs() > MAX_STEP_MS;
        let step = if joins { JOIN_STEP_MS } else { step };
        let mut wait = Duration::from_millis(step.unsigned_abs());
        if step < 0 {
            // Another track's: it says nothing of where the source is.
            return at.checked_sub(wait).unwrap_or(at);
        }
        if self.hurries {
            wait = wait * 100 / (100 + HURRY_PERCENT);
        }
        let due = at + wait;
        let due = if due + LATE < now { now } else { due };
        self.last = Some((millis, due));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_at_the_speed_of_their_times() {
        let start = Instant::now();
        let mut pacer = Pacer::default();
        let after = |millis| start + Duration::from_millis(millis);
        for (time, due) in [(9_000, 0), (9_040, 40), (9_020, 20), (9_080, 80), (9_120, 120)] {
            assert_eq!(pacer.due(time, start), after(due));
        }
        // Another time line, forth and back.
        assert_eq!(pacer.due(1_000_000, start), after(160));
        assert_eq!(pacer.due(-40, start), after(200));
        assert_eq!(pacer.due(0, start), after(240));
        pacer.join();
        assert_eq!(pacer.due(3_000, start), after(280));
    }

    #[test]
    fn tracks_that_lie_apart_delay_nothing() {
        let start = Instant::now();
        let mut pacer = Pacer::default();
        let mut now = start;
        // Half a second of pictures, then half a second of sound, as files are often muxed.
        for half in 0..20 {
            for frame in (0..500).step_by(20).chain((0..500).step_by(25)) {
                now = now.max(pacer.due(half * 500 + frame, now));
            }
        }
        assert_eq!(now - start, Duration::from_millis(9_980));
    }

    #[test]
    fn what_comes_late_is_not_followed_by_a_burst() {
        let start = Instant::now();
        let mut pacer = Pacer::default();
        pacer.due(0, start);
        let late = start + Duration::from_secs(3);
        assert_eq!(pacer.due(40, late), late);
        assert_eq!(pacer.due(80, late), late + Duration::from_millis(40));
    }

    #[test]
    fn a_backlog_is_worked_off_slowly() {
        let start = Instant::now();
        let mut pacer = Pacer::default();
        pacer.due(0, start);
        pacer.hurry(true);
        let mut due = start;
        for time in (1..=105).map(|count| count * 100) {
            due = pacer.due(time, start);
        }
        let took = due - start;
        assert!(took.abs_diff(Duration::from_secs(10)) < Duration::from_millis(1), "{took:?}");
    }
}
