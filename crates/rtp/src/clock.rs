//! RTP timestamps of several tracks on one time line.
//!
//! Each track counts on a clock of its own from a number of its own (RFC 3550 §5.1). What brings
//! them together is, in this order of trust:
//!
//! 1. sender reports, which tell one time on the track's clock and on a clock that all tracks share
//!    (§6.4.1);
//! 2. the `rtptime` of each track at the beginning of a `PLAY` (RFC 2326 §12.33);
//! 3. when their packets arrive.
//!
//! Reports often come seconds after the first packets. What they correct then is not put right by
//! a jump: the time of every track but the leading one moves a little faster or slower until it
//! agrees. Sound should lead, since its times follow from its samples.
//!
//! Tolerated: timestamps that jump by hours, step back by less or begin anew (the time line goes on,
//! by the time of arrival), clocks of reports that disagree with reality (they are not believed), `rtptime=0`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtcp::Ntp;

/// Steps of a timestamp beyond this (and the time that has passed) are jumps: interleaving and
/// pauses of real senders stay below.
const MAX_STEP: Duration = Duration::from_secs(10);

/// Units that one may follow and precede in presentation: more than encoders reorder. A timestamp
/// that lies before more of them is that of a clock that was set back.
const MAX_REORDERED: usize = 8;

/// Units in a row that may lie before the newest one. At low rates a clock that was set back is
/// noticed by this.
const MAX_BEHIND: usize = 16;

/// Reports that place a track further from where its packets arrive are not believed: nobody sends
/// one track so much later than the other.
const MAX_OFFSET: Duration = Duration::from_secs(5);

/// Disagreements below this are left alone: the rounding of reports, and their jitter.
const TOLERANCE: Duration = Duration::from_millis(2);

/// A correction takes twenty times as long as it is large: nobody hears or sees that.
const SLEW: i64 = 20;

/// The time line of a session.
#[derive(Debug)]
pub struct Clock {
    tracks: Vec<Track>,
    /// The track that the others follow.
    leader: usize,
    started: Option<Instant>,
    jumps: u64,
}

#[derive(Debug)]
struct Track {
    rate: i64,
    /// The newest timestamp, unwrapped, and when it came.
    newest: Option<(i64, Instant)>,
    /// Timestamps of the last units, unwrapped: [`MAX_BEHIND`] at most.
    recent: VecDeque<i64>,
    /// Units in a row that lay before the newest one.
    behind: usize,
    /// What is added to an unwrapped timestamp to get the time on the line, in ticks.
    offset: i64,
    /// What `offset` should be.
    wanted: Option<i64>,
    /// Where sender reports say that a timestamp lies: unwrapped if packets came before.
    report: Option<(Ntp, u32)>,
    /// Where the answer to `PLAY` says that time zero lies.
    start: Option<u32>,
}

impl Clock {
    /// A time line of tracks with these clock rates. The one with the index `leader` keeps its
    /// pace; the others follow it.
    #[must_use]
    pub fn new(rates: impl IntoIterator<Item = u32>, leader: usize) -> Self {
        let track = |rate: u32| Track {
            rate: i64::from(rate.max(1)),
            newest: None,
            recent: VecDeque::new(),
            behind: 0,
            offset: 0,
            wanted: None,
            report: None,
            start: None,
        };
        Self { tracks: rates.into_iter().map(track).collect(), leader, started: None, jumps: 0 }
    }

    /// How often a timestamp jumped.
    #[must_use]
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Where on the time line the timestamp of a packet lies, in ticks of its track's clock. The
    /// line begins at zero where the first packet arrives.
    pub fn place(&mut self, index: usize, timestamp: u32, arrival: Instant) -> i64 {
        let started = *self.started.get_or_insert(arrival);
        let Some(track) = self.tracks.get(index) else { return 0 };
        let by_arrival = ticks(arrival.saturating_duration_since(started), track.rate);
        let Some((newest, seen)) = track.newest else {
            return self.begin(index, timestamp, by_arrival, arrival);
        };
        let step = i64::from(timestamp.wrapping_sub(low_word(newest)).cast_signed());
        let elapsed = ticks(arrival.saturating_duration_since(seen), track.rate);
        let most = ticks(MAX_STEP, track.rate);
        let now = newest + step;
        if step < -most || step > most + elapsed || track.was_set_back(step, now) {
            return self.jump(index, timestamp, elapsed, arrival);
        }
        let Some(track) = self.tracks.get_mut(index) else { return 0 };
        track.remember(now);
        if step > 0 {
            track.newest = Some((now, arrival));
            track.behind = 0;
            track.slew(step);
        } else if step < 0 {
            track.behind += 1;
        }
        now + track.offset
    }

    /// A sender report of a track: `rtp` on its clock is `ntp` on that of all tracks.
    pub fn sender_report(&mut self, index: usize, ntp: Ntp, rtp: u32) {
        if ntp == Ntp::default() {
            // Senders without a clock say zero.
            return;
        }
        if let Some(track) = self.tracks.get_mut(index) {
            track.report = Some((ntp, rtp));
        }
        self.agree();
    }

    /// The timestamp of a track at the time that all tracks begin with. Zero says nothing: many
    /// servers put it where they do not know.
    pub fn starts_at(&mut self, index: usize, timestamp: u32) {
        if let Some(track) = self.tracks.get_mut(index)
            && timestamp != 0
        {
            track.start = Some(timestamp);
        }
    }

    /// The first packet of a track.
    fn begin(&mut self, index: usize, timestamp: u32, by_arrival: i64, arrival: Instant) -> i64 {
        let unwrapped = i64::from(timestamp);
        if let Some(track) = self.tracks.get_mut(index) {
            track.newest = Some((unwrapped, arrival));
            track.remember(unwrapped);
            track.offset = by_arrival - unwrapped;
        }
        let others = (0..self.tracks.len()).filter(|other| *other != index);
        let told = others.filter_map(|other| self.told_offset(index, other)).next();
        let Some(track) = self.tracks.get_mut(index) else { return 0 };
        if let Some(told) = told {
            track.offset = told;
        }
        unwrapped + track.offset
    }

    /// A timestamp that has nothing to do with the one before: time goes on as it really did.
    fn jump(&mut self, index: usize, timestamp: u32, elapsed: i64, arrival: Instant) -> i64 {
        self.jumps += 1;
        let Some(track) = self.tracks.get_mut(index) else { return 0 };
        let before = track.newest.map_or(0, |(newest, _)| newest + track.offset);
        // A picture's time has passed at least.
        let now = before + elapsed.clamp(track.rate / 100, ticks(MAX_STEP, track.rate));
        let unwrapped = i64::from(timestamp);
        track.newest = Some((unwrapped, arrival));
        track.recent.clear();
        track.remember(unwrapped);
        track.behind = 0;
        track.offset = now - unwrapped;
        (track.report, track.start) = (None, None);
        if index == self.leader {
            // What the others were to agree with is gone.
            self.tracks.iter_mut().for_each(|track| track.wanted = None);
        } else {
            track.wanted = None;
        }
        now
    }

    /// Compares every track with the leading one.
    fn agree(&mut self) {
        for index in (0..self.tracks.len()).filter(|index| *index != self.leader) {
            let told = self.told_offset(index, self.leader);
            if let (Some(told), Some(track)) = (told, self.tracks.get_mut(index)) {
                let differs = (told - track.offset).abs() > ticks(TOLERANCE, track.rate);
                track.wanted = differs.then_some(told);
            }
        }
    }

    /// The offset that sender reports, or the answer to `PLAY`, give a track relative to another;
    /// `None` if they say nothing, or nothing that can be believed.
    fn told_offset(&self, index: usize, other: usize) -> Option<i64> {
        let (track, other) = (self.tracks.get(index)?, self.tracks.get(other)?);
        let ((newest, _), (other_newest, _)) = (track.newest?, other.newest?);
        let told = match (track.report, other.report) {
            (Some((ntp, rtp)), Some((other_ntp, other_rtp))) => {
                Some((rtp, other_rtp, ntp.nanos_since(other_ntp)))
            }
            _ => None,
        };
        let (timestamp, other_timestamp, later) =
            told.or_else(|| Some((track.start?, other.start?, 0)))?;
        let at = unwrap(other_timestamp, other_newest) + other.offset;
        let nanos = i128::from(at) * 1_000_000_000 / i128::from(other.rate) + i128::from(later);
        let at = i64::try_from(nanos * i128::from(track.rate) / 1_000_000_000).ok()?;
        let offset = at - unwrap(timestamp, newest);
        let believed = (offset - track.offset).abs() <= ticks(MAX_OFFSET, track.rate);
        believed.then_some(offset)
    }
}

impl Track {
    /// Whether no reordering explains this timestamp.
    fn was_set_back(&self, step: i64, timestamp: i64) -> bool {
        let overtaken_by = || self.recent.iter().filter(|recent| **recent > timestamp).count();
        step < 0 && (self.behind >= MAX_BEHIND || overtaken_by() > MAX_REORDERED)
    }

    fn remember(&mut self, timestamp: i64) {
        if self.recent.len() >= MAX_BEHIND {
            self.recent.pop_front();
        }
        self.recent.push_back(timestamp);
    }

    /// Moves the offset towards what it should be, while `step` ticks pass.
    fn slew(&mut self, step: i64) {
        let Some(wanted) = self.wanted else { return };
        let most = (step / SLEW).max(1);
        self.offset += (wanted - self.offset).clamp(-most, most);
        if self.offset == wanted {
            self.wanted = None;
        }
    }
}

/// The unwrapped timestamp that is nearest to `near`.
fn unwrap(timestamp: u32, near: i64) -> i64 {
    near + i64::from(timestamp.wrapping_sub(low_word(near)).cast_signed())
}

fn ticks(duration: Duration, rate: i64) -> i64 {
    let ticks = i128::try_from(duration.as_nanos()).unwrap_or_default() * i128::from(rate);
    i64::try_from(ticks / 1_000_000_000).unwrap_or(i64::MAX)
}

/// The low 32 bits, as the wire carries them.
fn low_word(number: i64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: usize = 0;
    const AUDIO: usize = 1;

    fn clock() -> Clock {
        Clock::new([90_000, 48_000], AUDIO)
    }

    fn ntp(millis: u64) -> Ntp {
        Ntp((1000 << 32) + (millis << 32) / 1000)
    }

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn reports_that_come_first_place_tracks_exactly() {
        let (mut clock, start) = (clock(), Instant::now());
        clock.sender_report(VIDEO, ntp(0), 5_000);
        clock.sender_report(AUDIO, ntp(0), 0xFFFF_FFF0);
        // Sound that belongs 100 ms after the first picture arrives with it.
        assert_eq!(clock.place(VIDEO, 5_000, start), 0);
        assert_eq!(clock.place(AUDIO, 0xFFFF_FFF0u32.wrapping_add(4_800), at(start, 3)), 4_800);
        assert_eq!(clock.place(VIDEO, 8_600, at(start, 40)), 3_600);
    }

    #[test]
    fn without_reports_arrival_counts() {
        let (mut clock, start) = (clock(), Instant::now());
        assert_eq!(clock.place(AUDIO, 77, start), 0);
        assert_eq!(clock.place(VIDEO, 123_456, at(start, 500)), 45_000);
        assert_eq!(clock.place(AUDIO, 77 + 1024, at(start, 501)), 1024);
    }

    #[test]
    fn the_answer_to_play_counts_unless_it_is_zero() {
        let (mut clock, start) = (clock(), Instant::now());
        clock.starts_at(VIDEO, 1_000);
        clock.starts_at(AUDIO, 2_000);
        assert_eq!(clock.place(VIDEO, 1_000, start), 0);
        assert_eq!(clock.place(AUDIO, 2_000 + 480, at(start, 70)), 480);
        let mut zero = self::clock();
        zero.starts_at(VIDEO, 0);
        zero.starts_at(AUDIO, 0);
        assert_eq!(zero.place(VIDEO, 9_999, start), 0);
        assert_eq!(zero.place(AUDIO, 4_444, at(start, 50)), 2_400);
    }

    #[test]
    fn late_reports_move_pictures_little_by_little() {
        let (mut clock, start) = (clock(), Instant::now());
        clock.place(AUDIO, 0, start);
        clock.place(VIDEO, 0, at(start, 200));
        // In truth they belong together.
        clock.sender_report(AUDIO, ntp(0), 0);
        clock.sender_report(VIDEO, ntp(0), 0);
        let mut before = 18_000;
        let mut last_step = 0;
        for picture in 1..=200u32 {
            let now = at(start, 200 + u64::from(picture) * 40);
            let placed = clock.place(VIDEO, picture * 3_600, now);
            last_step = placed - before;
            assert!((3_400..=3_600).contains(&last_step), "{last_step}");
            before = placed;
        }
        assert_eq!(last_step, 3_600);
        assert_eq!(before, 200 * 3_600);
    }

    #[test]
    fn a_correction_that_a_report_takes_back_ends() {
        let (mut clock, start) = (clock(), Instant::now());
        clock.place(AUDIO, 0, start);
        clock.place(VIDEO, 0, start);
        clock.sender_report(AUDIO, ntp(0), 0);
        // A report that was written late, and one that was not.
        clock.sender_report(VIDEO, ntp(200), 0);
        clock.sender_report(VIDEO, ntp(0), 0);
        for picture in 1..100u32 {
            let now = at(start, u64::from(picture) * 40);
            assert_eq!(clock.place(VIDEO, picture * 3_600, now), i64::from(picture) * 3_600);
        }
    }

    #[test]
    fn what_was_to_agree_with_a_clock_that_jumped_is_left_alone() {
        let (mut clock, start) = (clock(), Instant::now());
        clock.place(AUDIO, 0, start);
        clock.place(VIDEO, 0, start);
        clock.sender_report(AUDIO, ntp(0), 0);
        clock.sender_report(VIDEO, ntp(200), 0);
        clock.place(AUDIO, 3_000_000_000, at(start, 20));
        assert_eq!(clock.place(VIDEO, 3_600, at(start, 40)), 3_600);
    }

    #[test]
    fn rounding_of_reports_moves_nothing() {
        let (mut clock, start) = (clock(), Instant::now());
        clock.sender_report(AUDIO, ntp(0), 0);
        clock.sender_report(VIDEO, ntp(0), 0);
        clock.place(AUDIO, 0, start);
        clock.place(VIDEO, 0, start);
        for second in 1..600u32 {
            clock.sender_report(VIDEO, ntp(u64::from(second) * 1000), second * 90_000 + 60);
            let now = at(start, u64::from(second) * 1000);
            assert_eq!(clock.place(VIDEO, second * 90_000, now), i64::from(second) * 90_000);
        }
    }

    #[test]
    fn clocks_of_44100_do_not_drift_over_days() {
        let (mut clock, start) = (Clock::new([90_000, 44_100], AUDIO), Instant::now());
        let mut timestamp = 0xFFFF_0000u32;
        let mut expected = 0;
        for _ in 0..500_000 {
            let now = at(start, u64::try_from(expected * 1000 / 44_100).unwrap());
            assert_eq!(clock.place(AUDIO, timestamp, now), expected);
            timestamp = timestamp.wrapping_add(1024 * 20);
            expected += 1024 * 20;
        }
        assert_eq!(clock.jumps(), 0);
    }

    #[test]
    fn jumps_are_joined_and_counted() {
        let (mut clock, start) = (clock(), Instant::now());
        assert_eq!(clock.place(VIDEO, 3_000_000_000, start), 0);
        assert_eq!(clock.place(VIDEO, 0, at(start, 40)), 3_600);
        assert_eq!(clock.place(VIDEO, 3_600, at(start, 80)), 7_200);
        assert_eq!(clock.jumps(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_by_seconds_goes_on_at_once() {
        for back in [500, 1_000, 5_000, 9_900] {
            let (mut clock, start) = (clock(), Instant::now());
            let mut before = -3_600;
            for picture in 0..100u32 {
                let set_back = if picture >= 50 { back * 90 } else { 0 };
                let timestamp = (1_000_000 + picture * 3_600).wrapping_sub(set_back);
                let now = at(start, u64::from(picture) * 40);
                let placed = clock.place(VIDEO, timestamp, now);
                assert_eq!(placed, before + 3_600, "{back} {picture}");
                before = placed;
            }
            assert_eq!(clock.jumps(), 1);
        }
    }

    #[test]
    fn a_slow_source_that_is_set_back_goes_on_after_a_few_pictures() {
        let (mut clock, start) = (clock(), Instant::now());
        for second in 0..5u32 {
            clock.place(VIDEO, second * 90_000, at(start, u64::from(second) * 1000));
        }
        // Faster from here on, four seconds back.
        let placed: Vec<_> = (0..20u32)
            .map(|n| clock.place(VIDEO, n * 3_600, at(start, 4_000 + u64::from(n) * 40)))
            .collect();
        assert!(placed.last().is_some_and(|last| *last > 4 * 90_000), "{placed:?}");
        assert_eq!(clock.jumps(), 1);
    }

    #[test]
    fn deep_reordering_is_no_step_of_the_clock() {
        let (mut clock, start) = (clock(), Instant::now());
        for group in 0..20u32 {
            for place in [8, 4, 2, 1, 3, 6, 5, 7] {
                clock.place(VIDEO, (group * 8 + place) * 3_600, start);
            }
        }
        assert_eq!(clock.jumps(), 0);
    }

    #[test]
    fn reports_of_a_mad_clock_are_not_believed() {
        let (mut clock, start) = (clock(), Instant::now());
        clock.place(AUDIO, 0, start);
        clock.place(VIDEO, 0, start);
        clock.sender_report(AUDIO, ntp(0), 0);
        clock.sender_report(VIDEO, ntp(3_600_000), 0);
        assert_eq!(clock.place(VIDEO, 3_600, at(start, 40)), 3_600);
    }

    #[test]
    fn reordered_pictures_keep_their_places() {
        let (mut clock, start) = (clock(), Instant::now());
        let times = [0u32, 14_400, 7_200, 3_600, 10_800];
        let placed: Vec<_> = times.iter().map(|time| clock.place(VIDEO, *time, start)).collect();
        assert_eq!(placed, [0, 14_400, 7_200, 3_600, 10_800]);
    }
}
