//! Time repaired at ingest: 32-bit milliseconds in, one unwrapped time line out.
//!
//! FLV and RTMP carry milliseconds that wrap after 49.7 days, jump when an encoder restarts its
//! clock, and step back when it interleaves badly. All of it is mended here, once, and counted;
//! a bad time stamp never ends a session. Audio and video share one origin, so their offset is
//! kept.

use std::time::Instant;

use media::{Ticks, TimeBase, TrackId};

/// What the time line had to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repairs {
    /// The clock jumped by more than ten seconds, either way, and was joined again.
    pub jumps: u64,
    /// A frame came with an earlier time than its predecessor on the track and was moved.
    pub regressions: u64,
    /// Packets that were lost on the way here.
    pub lost_packets: u64,
    /// Frames of which a part was lost.
    pub torn_frames: u64,
}

/// Maps a publisher's time stamps to the stream's time line.
#[derive(Debug)]
pub struct Timeline {
    /// The clock in use, and another one: frames of the other track still arrive with old times
    /// while the tracks change over, and headers may have times of their own.
    clocks: [Option<Clock>; 2],
    /// Where the next clock begins.
    resume_at: i64,
    tracks: Vec<TrackClock>,
    repairs: Repairs,
}

/// One run of the publisher's clock without a jump.
#[derive(Debug, Clone, Copy)]
struct Clock {
    /// The last time stamp, unwrapped.
    last: i64,
    /// What is added to get the stream's time.
    shift: i64,
    /// When `last` arrived.
    seen: Instant,
}

impl Clock {
    /// The stream's time of a time stamp, if it is one of this clock.
    fn read(&mut self, timestamp: u32, arrival: Instant) -> Option<i64> {
        let step = self.step(timestamp, arrival)?;
        let at = self.last + step;
        // The reference only moves on, so that a late frame cannot drag it back.
        if step > 0 {
            (self.last, self.seen) = (at, arrival);
        }
        Some(at + self.shift)
    }

    /// As [`Clock::step`] of a clock whose times lie no further back than `oldest`.
    fn step_since(&self, timestamp: u32, arrival: Instant, oldest: i64) -> Option<i64> {
        let step = self.step(timestamp, arrival)?;
        (self.last + step + self.shift >= oldest).then_some(step)
    }

    /// How far a time stamp lies from the last one, unless that is a jump.
    fn step(&self, timestamp: u32, arrival: Instant) -> Option<i64> {
        let step = i64::from(timestamp.wrapping_sub(low_word(self.last)).cast_signed());
        (-MAX_STEP_MS..=self.longest_step(arrival)).contains(&step).then_some(step)
    }

    /// Whether a time of it came a moment ago: its tracks may still be changing over to another.
    fn was_heard(&self, arrival: Instant) -> bool {
        arrival.saturating_duration_since(self.seen).as_millis()
            < MAX_CHANGE_MS.unsigned_abs().into()
    }

    /// A step forward is no jump if as much time has really passed: a publisher may be silent for
    /// long, or send one picture a minute.
    fn longest_step(&self, arrival: Instant) -> i64 {
        let elapsed = arrival.saturating_duration_since(self.seen).as_millis();
        MAX_STEP_MS.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }
}

#[derive(Debug)]
struct TrackClock {
    track: TrackId,
    dts: Ticks,
    /// Where the next frame should be by the count of samples.
    predicted: Option<i64>,
    /// How many frames in a row lay further back than tracks do while they change over.
    far_back: u32,
}

impl TrackClock {
    fn new(track: TrackId, dts: Ticks, predicted: Option<i64>) -> Self {
        Self { track, dts, predicted, far_back: 0 }
    }
}

/// Interleaving and pauses of real encoders stay below this; restarts of their clock do not.
const MAX_STEP_MS: i64 = 10_000;

/// While tracks change over to another clock, those of the one before lie no further back than this.
const MAX_CHANGE_MS: i64 = 2_000;

/// After so many frames in a row that lie that far back, the clock has been set back by less than a
/// jump: a short clip that begins anew, or one time stamp of the future before.
const MAX_FAR_BACK: u32 = 3;

/// The step that is put in the place of a jump: about one frame.
const JOIN_STEP_MS: i64 = 40;

impl Timeline {
    /// A time line whose first frame keeps its own time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clocks: [None, None],
            resume_at: i64::MIN,
            tracks: Vec::new(),
            repairs: Repairs::default(),
        }
    }

    /// A time line whose first frame is at `millis`: a publisher that returned goes on where the
    /// last one stopped.
    #[must_use]
    pub fn resuming_at(millis: i64) -> Self {
        Self { resume_at: millis, ..Self::new() }
    }

    /// What was mended so far.
    #[must_use]
    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// Counts what was found wrong before times came here: jumps of the publisher's clocks, and
    /// what was lost on the way.
    pub fn set_reception(&mut self, jumps: u64, lost_packets: u64, torn_frames: u64) {
        self.repairs = Repairs { jumps, lost_packets, torn_frames, ..self.repairs };
    }

    /// Where a publisher begins that has a clock of its own, which begins at zero.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.resume_at.max(0)
    }

    /// The decoding time of a frame of `track` whose publisher has put it on the stream's time line
    /// itself: as it is, unless it lies before the one before.
    pub fn exact(&mut self, track: TrackId, dts: Ticks) -> Ticks {
        let known = self.tracks.iter_mut().find(|clock| clock.track == track);
        let Some(clock) = known else {
            self.tracks.push(TrackClock::new(track, dts, None));
            return dts;
        };
        if dts < clock.dts {
            self.repairs.regressions += 1;
            return clock.dts.rescale(dts.base);
        }
        clock.dts = dts;
        dts
    }

    /// The stream's time of a message that arrived with `timestamp` milliseconds, without any
    /// rule of a track (configuration, script data).
    pub fn millis(&mut self, timestamp: u32, arrival: Instant) -> i64 {
        let [current, before] = &self.clocks;
        let step = current.and_then(|clock| clock.step(timestamp, arrival));
        // A time that was there long ago is that of a clock that has jumped back there.
        let oldest = self.resume_at.saturating_sub(MAX_CHANGE_MS);
        let step_before = before.and_then(|clock| clock.step_since(timestamp, arrival, oldest));
        let is_of_before = match (step, step_before) {
            // Where the clock was set back a little, what comes late may be of either.
            (Some(step), Some(other)) => {
                other.abs() < step.abs() && before.is_some_and(|clock| clock.was_heard(arrival))
            }
            (None, other) => other.is_some(),
            (Some(_), None) => false,
        };
        if step.is_none() && is_of_before {
            self.clocks.swap(0, 1);
        }
        let index = usize::from(step.is_some() && is_of_before);
        let clock = self.clocks.get_mut(index).and_then(Option::as_mut);
        let Some(millis) = clock.and_then(|clock| clock.read(timestamp, arrival)) else {
            return self.join(timestamp, arrival);
        };
        self.resume_at = self.resume_at.max(millis + JOIN_STEP_MS);
        millis
    }

    /// The decoding time of a frame of `track` in ticks of `base`.
    ///
    /// `duration` is the frame's length in ticks where the codec tells it: times of regular audio
    /// then lie on the sample grid, and always round to the millisecond that the publisher sent.
    pub fn dts(
        &mut self,
        track: TrackId,
        timestamp: u32,
        base: TimeBase,
        duration: Option<i64>,
        arrival: Instant,
    ) -> Ticks {
        let mut millis = self.millis(timestamp, arrival);
        if self.was_set_back(track, millis) {
            millis = self.join(timestamp, arrival);
        }
        let mut value = Ticks::from_millis(millis, base).value;
        let known = self.tracks.iter_mut().find(|clock| clock.track == track);
        if let Some(clock) = known {
            if let (Some(predicted), true) = (clock.predicted, clock.dts.base == base) {
                let (low, high) = rounding_to(millis, base);
                value = predicted.clamp(low, high);
            }
            let previous = clock.dts.rescale(base).value;
            if value < previous {
                value = previous;
                self.repairs.regressions += 1;
            }
            clock.dts = Ticks::new(value, base);
            clock.predicted = duration.map(|d| value.saturating_add(d));
        } else {
            let predicted = duration.map(|d| value.saturating_add(d));
            self.tracks.push(TrackClock::new(track, Ticks::new(value, base), predicted));
        }
        Ticks::new(value, base)
    }

    /// Whether a track has gone on far behind where it was, with this time now.
    fn was_set_back(&mut self, track: TrackId, millis: i64) -> bool {
        let known = self.tracks.iter_mut().find(|clock| clock.track == track);
        known.is_some_and(|clock| {
            let is_far = clock.dts.millis() - millis > MAX_CHANGE_MS;
            clock.far_back = if is_far { clock.far_back + 1 } else { 0 };
            clock.far_back >= MAX_FAR_BACK
        })
    }

    /// Starts a new clock at the place where the stream's time has come to.
    fn join(&mut self, timestamp: u32, arrival: Instant) -> i64 {
        let last = i64::from(timestamp);
        let first = self.clocks.iter().all(Option::is_none);
        let shift = if first && self.resume_at == i64::MIN { 0 } else { self.resume_at - last };
        if !first {
            self.repairs.jumps += 1;
        }
        self.clocks = [Some(Clock { last, shift, seen: arrival }), self.clocks[0]];
        self.resume_at = self.resume_at.max(last + shift + JOIN_STEP_MS);
        last + shift
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new()
    }
}

/// The low 32 bits, as the wire carries them.
fn low_word(millis: i64) -> u32 {
    let [a, b, c, d, ..] = millis.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The first and the last tick of `base` that [`Ticks::millis`] rounds to `millis`.
fn rounding_to(millis: i64, base: TimeBase) -> (i64, i64) {
    let rate = i64::from(base.rate());
    let first = |millis: i64| (millis * rate - rate / 2 + 999).div_euclid(1000);
    let low = first(millis);
    (low, (first(millis + 1) - 1).max(low))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const VIDEO: TrackId = TrackId { kind: media::TrackKind::Video, index: 0 };
    const AUDIO: TrackId = TrackId { kind: media::TrackKind::Audio, index: 0 };

    fn video(line: &mut Timeline, timestamp: u32, at: Instant) -> i64 {
        line.dts(VIDEO, timestamp, TimeBase::VIDEO, None, at).millis()
    }

    #[test]
    fn time_goes_on_through_the_32_bit_crossing() {
        let (mut line, now) = (Timeline::new(), Instant::now());
        let start = u32::MAX - 99;
        let times: Vec<i64> =
            (0..5).map(|i| video(&mut line, start.wrapping_add(i * 40), now)).collect();
        let first = i64::from(start);
        assert_eq!(times, (0..5).map(|i| first + i * 40).collect::<Vec<_>>());
        assert_eq!(line.repairs(), Repairs::default());
    }

    #[test]
    fn a_jump_is_joined_once_for_both_tracks() {
        let (mut line, now) = (Timeline::new(), Instant::now());
        let base = TimeBase::new(48_000).unwrap();
        for t in [100_000, 100_040] {
            video(&mut line, t, now);
        }
        assert_eq!(video(&mut line, 0, now), 100_080);
        // Audio of the old clock still arrives, then the new one.
        assert_eq!(line.dts(AUDIO, 100_050, base, None, now).millis(), 100_050);
        assert_eq!(line.dts(AUDIO, 5, base, None, now).millis(), 100_085);
        assert_eq!(video(&mut line, 40, now), 100_120);
        assert_eq!(line.repairs(), Repairs { jumps: 1, ..Repairs::default() });
    }

    /// ffmpeg sends headers at zero, and its times begin anew after 31 bits.
    #[test]
    fn a_clock_that_returns_to_where_it_began_goes_on_at_once() {
        for frames in [100, 600] {
            let (mut line, start) = (Timeline::new(), Instant::now());
            line.millis(0, start);
            let first = (1 << 31) - frames * 40;
            let mut before = None;
            for n in 0..2 * frames {
                let at = start + Duration::from_millis(40 * u64::from(n));
                let time = video(&mut line, (first + n * 40) % (1 << 31), at);
                assert!(before.is_none_or(|before| time == before + 40), "{frames} {n}: {time}");
                before = Some(time);
            }
            assert_eq!(line.repairs(), Repairs { jumps: 2, ..Repairs::default() });
        }
    }

    #[test]
    fn headers_without_a_time_do_not_move_the_others() {
        let (mut line, start) = (Timeline::new(), Instant::now());
        for n in 0..1_000 {
            let at = start + Duration::from_millis(40 * u64::from(n));
            if n % 50 == 0 {
                line.millis(0, at);
            }
            let time = video(&mut line, 5_000_000 + n * 40, at);
            assert_eq!(time, 40 + i64::from(n) * 40);
        }
    }

    #[test]
    fn a_long_silence_is_not_a_jump() {
        let (mut line, now) = (Timeline::new(), Instant::now());
        video(&mut line, 0, now);
        assert_eq!(video(&mut line, 60_000, now + Duration::from_secs(58)), 60_000);
        assert_eq!(line.repairs().jumps, 0);
    }

    #[test]
    fn a_step_back_is_held_and_counted() {
        let (mut line, now) = (Timeline::new(), Instant::now());
        video(&mut line, 1000, now);
        assert_eq!(video(&mut line, 990, now), 1000);
        assert_eq!(line.repairs().regressions, 1);
    }

    /// A playout of pictures and sound that begins anew every eight seconds.
    #[test]
    fn a_short_clip_that_begins_anew_goes_on() {
        let (mut line, start) = (Timeline::new(), Instant::now());
        let base = TimeBase::new(48_000).unwrap();
        let (mut pictures, mut sounds) = (Vec::new(), Vec::new());
        for round in 0..4 {
            // The sound of the last round comes a little late.
            for n in 0..200u32 {
                let time = n * 40;
                let at = start + Duration::from_millis(u64::from(round * 8_000 + time));
                pictures.push(video(&mut line, time, at));
                let sound = if n < 5 && round > 0 { 8_000 + time } else { time }.max(200) - 200;
                if round == 0 || n != 5 {
                    sounds.push(line.dts(AUDIO, sound, base, None, at).millis());
                }
            }
        }
        for times in [&pictures, &sounds] {
            let held = times.windows(2).filter(|pair| pair[0] == pair[1]).count();
            assert!(held <= 3 * 3 + 5, "{held}: {times:?}");
            let total = times.last().unwrap() - times[0];
            assert!((31_000..33_000).contains(&total), "{total}");
        }
        let apart = pictures.last().unwrap() - sounds.last().unwrap();
        assert!((0..=400).contains(&apart), "{apart}");
    }

    #[test]
    fn a_time_of_the_future_does_not_stop_those_after_it() {
        let (mut line, start) = (Timeline::new(), Instant::now());
        let mut times = Vec::new();
        for n in 0..300u32 {
            let at = start + Duration::from_millis(u64::from(n) * 40);
            let glitch = if n == 100 { 9_000 } else { 0 };
            times.push(video(&mut line, n * 40 + glitch, at));
        }
        let held = times.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!(held, 2, "{times:?}");
        assert_eq!(times[299], 299 * 40 + 9_000 - 2 * 40);
        assert_eq!(line.repairs(), Repairs { jumps: 1, regressions: 2, ..Repairs::default() });
    }

    #[test]
    fn a_returning_publisher_continues_the_line() {
        let mut line = Timeline::resuming_at(5_000);
        assert_eq!(video(&mut line, 777_000, Instant::now()), 5_000);
        assert_eq!(video(&mut line, 777_040, Instant::now()), 5_040);
        assert_eq!(line.repairs().jumps, 0);
    }

    proptest! {
        /// Regular audio keeps every millisecond of the wire, and lies on the sample grid to one
        /// sample whatever way the publisher rounds, once the pattern of rounding (441 frames at
        /// 44.1 kHz) has shown itself.
        #[test]
        fn regular_audio_lies_on_the_sample_grid(
            rate in prop::sample::select(vec![8_000u32, 22_050, 44_100, 48_000]),
            phase in 0.0f64..50.0,
            floor in any::<bool>(),
        ) {
            let (mut line, now) = (Timeline::new(), Instant::now());
            let base = TimeBase::new(rate).unwrap();
            let mut previous: Option<i64> = None;
            for n in 0..2000u32 {
                let exact = phase + f64::from(n) * 1024.0 * 1000.0 / f64::from(rate);
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let wire = if floor { exact.floor() } else { exact.round() } as u32;
                let dts = line.dts(AUDIO, wire, base, Some(1024), now);
                prop_assert_eq!(dts.millis(), i64::from(wire));
                if let (Some(previous), true) = (previous, n > 1000) {
                    prop_assert!((dts.value - previous - 1024).abs() <= 1);
                }
                previous = Some(dts.value);
            }
        }

        /// Whatever arrives, a track's time never goes back.
        #[test]
        fn time_never_goes_back(stamps in prop::collection::vec(any::<u32>(), 1..100)) {
            let (mut line, now) = (Timeline::new(), Instant::now());
            let mut last = i64::MIN;
            for stamp in stamps {
                let dts = line.dts(VIDEO, stamp, TimeBase::VIDEO, None, now).value;
                prop_assert!(dts >= last);
                last = dts;
            }
        }
    }
}
