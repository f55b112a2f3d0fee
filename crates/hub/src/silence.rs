//! Silent sound for streams of pictures alone.
//!
//! Many players, platforms and recorders expect sound. Where the settings want it, a publisher whose
//! first pictures come without any gets a track of silent AAC in the place of its first sound track.
//!
//! All is measured by the frames' own times. While a publisher's sound may still come, its frames
//! are kept back, so that nobody is told of tracks too early. Who has announced sound is given as
//! much longer as any second track: packets of RTP with many frames of sound come late. Then:
//!
//! * Silence begins with the first picture and follows the pictures: before each goes what ends by
//!   its decoding time, frame after frame without a gap. Where time leaps, no more is made up than
//!   ten seconds, right before the picture; what is missing is a whole number of frames.
//! * It is coded for the configuration that the publisher has announced, if that is plain AAC, so
//!   that nothing changes for viewers when its sound begins.
//! * The first frame of the publisher's own sound ends it for good, however long that sound pauses
//!   later: what players do with a pause is known, what they do with tracks that come and go is not.
//!   Sound that lies where silence was sent already is left out, for time does not go back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{AudioDetails, Codec, Details, Frame, Ticks, TimeBase, Track, TrackId, aac};

/// Frames that are kept back: ten seconds of 100 a second. More, and the wait is over.
const MAX_HELD_FRAMES: usize = 1024;

/// Bytes of them: ten seconds of 13 Mbit/s.
const MAX_HELD_BYTES: usize = 16 << 20;

/// Samples in a frame of AAC.
const SAMPLES: i64 = 1024;

/// AAC-LC, 48 kHz, two channels (ISO/IEC 14496-3 §1.6.2.1).
const CONFIG: [u8; 2] = [0x11, 0x90];
const RATE: u32 = 48_000;

/// What a stream is to do next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The sound track is this one from here on.
    Track {
        track: Track,
        /// Where, and when it arrived.
        at_ms: i64,
        arrival: Instant,
    },
    /// The next frame.
    Frame(Frame),
}

/// Watches the frames of a stream's publishers, and adds silence where sound is missing.
#[derive(Debug)]
pub(crate) struct Silence {
    /// How long pictures go without sound before it begins.
    after: Duration,
    /// How much longer that may take where sound is announced; and by the clock on the wall, where
    /// the pictures' times stand still.
    patience: Duration,
    stage: Stage,
    /// The publisher's first sound track, of which the stream does not know yet.
    announced: Option<Track>,
    /// Sound of an earlier publisher was here.
    heard: Option<Ticks>,
}

#[derive(Debug)]
enum Stage {
    /// Sound may come yet.
    Waiting {
        /// Time and arrival of the first picture.
        since: Option<(Ticks, Instant)>,
        /// What has come from there on.
        held: Vec<Frame>,
        bytes: usize,
    },
    /// There is silence.
    Silent(aac::Silence),
    /// The publisher's sound has begun, but not come to where silence ended.
    Yielding { end: Ticks },
    /// The publisher has sound.
    Over,
}

impl Stage {
    const START: Self = Self::Waiting { since: None, held: Vec::new(), bytes: 0 };
}

impl Silence {
    /// Silence for pictures that are without sound for `after`.
    pub(crate) fn new(after: Duration, patience: Duration) -> Self {
        Self { after, patience, stage: Stage::START, announced: None, heard: None }
    }

    /// Another publisher begins. `heard` is the time of the last frame of the stream's first sound
    /// track.
    pub(crate) fn begin(&mut self, heard: Option<Ticks>) {
        (self.stage, self.announced, self.heard) = (Stage::START, None, heard);
    }

    /// Whether there is silence.
    pub(crate) fn is_heard(&self) -> bool {
        matches!(self.stage, Stage::Silent(_) | Stage::Yielding { .. })
    }

    /// Whether the publisher has sound of its own, so that its frames need not come here.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Takes a track of the publisher's; gives it back, unless it is for later.
    pub(crate) fn track(&mut self, track: Track) -> Option<Track> {
        if track.id == TrackId::audio(0) && !self.is_over() {
            self.announced = Some(track);
            return None;
        }
        Some(track)
    }

    /// What was kept back, since something else must come after it.
    pub(crate) fn release(&mut self) -> Vec<Frame> {
        match &mut self.stage {
            Stage::Waiting { held, bytes, .. } => {
                *bytes = 0;
                std::mem::take(held)
            }
            _ => Vec::new(),
        }
    }

    /// Takes a frame, and tells what has to be done.
    pub(crate) fn push(&mut self, frame: Frame, steps: &mut Vec<Step>) {
        let is_picture = frame.track == TrackId::video(0);
        if frame.track == TrackId::audio(0) {
            return self.sound(frame, steps);
        }
        match &mut self.stage {
            Stage::Waiting { since, held, bytes } => {
                if is_picture {
                    since.get_or_insert((frame.dts, frame.arrival));
                }
                let Some(since) = *since else { return steps.push(Step::Frame(frame)) };
                let longest = self.after + self.patience;
                let wait = if self.announced.is_some() { longest } else { self.after };
                let is_over = is_picture && waited(since.0, frame.dts) >= wait
                    || frame.arrival.saturating_duration_since(since.1) >= longest;
                *bytes += frame.data.len();
                held.push(frame);
                if is_over || held.len() >= MAX_HELD_FRAMES || *bytes >= MAX_HELD_BYTES {
                    let held = std::mem::take(held);
                    self.fall_silent(since, held, steps);
                }
            }
            Stage::Silent(filler) => {
                if is_picture {
                    steps.extend(filler.fill(frame.dts, frame.arrival).map(Step::Frame));
                }
                steps.push(Step::Frame(frame));
            }
            Stage::Yielding { .. } | Stage::Over => steps.push(Step::Frame(frame)),
        }
    }

    /// The wait is over.
    fn fall_silent(&mut self, since: (Ticks, Instant), held: Vec<Frame>, steps: &mut Vec<Step>) {
        let heard = self.heard;
        let from = |track: &Track| {
            let base = track.time_base;
            let after = heard.map_or(i64::MIN, |at| at.rescale(base).value.saturating_add(SAMPLES));
            let start = since.0.rescale(base).value.max(after);
            aac::Silence::of(track, Ticks::new(start, base))
        };
        let announced = self.announced.clone().and_then(|track| Some((from(&track)?, track)));
        let Some((mut filler, track)) = announced.or_else(|| {
            let track = plain();
            Some((from(&track)?, track))
        }) else {
            return;
        };
        steps.push(Step::Track { track, at_ms: since.0.millis(), arrival: since.1 });
        for frame in held {
            if frame.track == TrackId::video(0) {
                steps.extend(filler.fill(frame.dts, frame.arrival).map(Step::Frame));
            }
            steps.push(Step::Frame(frame));
        }
        self.stage = Stage::Silent(filler);
    }

    /// Takes a frame of the publisher's own sound.
    fn sound(&mut self, frame: Frame, steps: &mut Vec<Step>) {
        if let Stage::Silent(filler) = &mut self.stage {
            steps.extend(filler.fill(frame.dts, frame.arrival).map(Step::Frame));
            self.stage = Stage::Yielding { end: filler.next() };
        }
        match &mut self.stage {
            Stage::Yielding { end } if frame.dts < *end => return,
            Stage::Waiting { .. } | Stage::Yielding { .. } => {
                // Viewers learn of it before what was kept back, which belongs to it as well.
                if let Some(track) = self.announced.take() {
                    let (at_ms, arrival) = (frame.dts.millis(), frame.arrival);
                    steps.push(Step::Track { track, at_ms, arrival });
                }
                steps.extend(self.release().into_iter().map(Step::Frame));
                self.stage = Stage::Over;
            }
            Stage::Silent(_) | Stage::Over => {}
        }
        steps.push(Step::Frame(frame));
    }
}

/// The track of those who have announced none.
fn plain() -> Track {
    Track {
        id: TrackId::audio(0),
        codec: Codec::Aac,
        time_base: TimeBase::new(RATE).unwrap_or(TimeBase::MILLIS),
        config: Bytes::from_static(&CONFIG),
        color_info: None,
        enhanced: false,
        details: Details::Audio(AudioDetails { sample_rate: RATE, channels: 2, profile: 2 }),
    }
}

/// The time from one picture to another.
fn waited(from: Ticks, to: Ticks) -> Duration {
    let from = from.rescale(to.base);
    Ticks::new(to.value.saturating_sub(from.value), to.base).duration()
}

#[cfg(test)]
mod tests {
    use media::{FrameKind, Units};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const AFTER: Duration = Duration::from_millis(150);
    const PATIENCE: Duration = Duration::from_secs(1);
    const PICTURE: TrackId = TrackId { kind: media::TrackKind::Video, index: 0 };
    const SOUND: TrackId = TrackId { kind: media::TrackKind::Audio, index: 0 };

    fn frame(track: TrackId, dts: Ticks, arrival: Instant) -> Frame {
        let kind = if track == SOUND { FrameKind::Audio } else { FrameKind::Delta };
        let data = Bytes::from_static(b"the publisher's own");
        Frame { track, kind, dts, cts: 0, arrival, data, units: Units::new() }
    }

    fn sound(codec: Codec, rate: u32, config: &'static [u8]) -> Track {
        let time_base = TimeBase::new(rate).unwrap();
        Track { codec, time_base, config: Bytes::from_static(config), ..plain() }
    }

    /// A stream's silence, and all that it has told.
    struct Told {
        silence: Silence,
        now: Instant,
        steps: Vec<Step>,
    }

    impl Told {
        fn new() -> Self {
            let silence = Silence::new(AFTER, PATIENCE);
            Self { silence, now: Instant::now(), steps: Vec::new() }
        }

        fn picture(&mut self, millis: i64) {
            let dts = Ticks::from_millis(millis, TimeBase::VIDEO);
            self.silence.push(frame(PICTURE, dts, self.now), &mut self.steps);
        }

        fn sound(&mut self, dts: i64, rate: u32) {
            let dts = Ticks::new(dts, TimeBase::new(rate).unwrap());
            self.silence.push(frame(SOUND, dts, self.now), &mut self.steps);
        }

        fn waits(&self) -> bool {
            matches!(self.silence.stage, Stage::Waiting { .. })
        }

        fn frames(&self) -> impl Iterator<Item = &Frame> {
            self.steps.iter().filter_map(|step| match step {
                Step::Frame(frame) => Some(frame),
                Step::Track { .. } => None,
            })
        }

        fn tracks(&self) -> Vec<&Track> {
            let tracks = self.steps.iter().filter_map(|step| match step {
                Step::Track { track, .. } => Some(track),
                Step::Frame(_) => None,
            });
            tracks.collect()
        }

        /// The times of silent frames, in samples.
        fn silent(&self) -> Vec<i64> {
            let silent = self.frames().filter(|f| f.track == SOUND && !f.data.starts_with(b"the"));
            silent.map(|frame| frame.dts.value).collect()
        }
    }

    #[test]
    fn silence_begins_with_the_first_picture_after_the_wait() {
        let mut told = Told::new();
        for millis in [1000, 1040, 1080, 1120] {
            told.picture(millis);
            assert!(told.waits() && told.steps.is_empty(), "at {millis}");
        }
        told.picture(1160);
        assert!(!told.waits() && told.silence.is_heard());
        assert_eq!(told.tracks(), [&plain()]);
        assert!(matches!(told.steps[0], Step::Track { at_ms: 1000, .. }));
        assert_eq!(told.silent(), (0..7).map(|n| 48_000 + n * 1024).collect::<Vec<_>>());
        let times: Vec<_> = told.frames().map(|frame| frame.dts.millis()).collect();
        let expected = [1000, 1000, 1040, 1021, 1043, 1080, 1064, 1085, 1120, 1107, 1128, 1160];
        assert_eq!(times, expected);
        told.picture(1200);
        assert_eq!(told.silent().len(), 9);
    }

    #[test]
    fn whoever_has_sound_hears_no_silence() {
        let mut told = Told::new();
        let own = sound(Codec::PcmA, 8000, &[]);
        assert_eq!(told.silence.track(own.clone()), None);
        told.picture(0);
        told.picture(40);
        told.sound(8 * 50, 8000);
        assert!(told.silence.is_over());
        assert_eq!(told.tracks(), [&own]);
        assert!(matches!(told.steps[0], Step::Track { .. }));
        let times: Vec<_> = told.frames().map(|frame| frame.dts.millis()).collect();
        assert_eq!(times, [0, 40, 50]);
        assert!(told.silent().is_empty());
        // From now on, its tracks are told at once.
        assert_eq!(told.silence.track(own.clone()), Some(own));
    }

    #[test]
    fn silence_speaks_the_language_of_plain_aac_that_was_announced() {
        let mono = sound(Codec::Aac, 44_100, &[0x12, 0x08]);
        let stereo = sound(Codec::Aac, 22_050, &[0x13, 0x90]);
        for track in [mono, stereo] {
            let end = Ticks::new(i64::MAX / 2, track.time_base);
            let mut silence = aac::Silence::of(&track, end).expect("plain AAC");
            let end = Ticks::new(end.value + SAMPLES, track.time_base);
            let data = silence.fill(end, Instant::now()).next().expect("a frame").data;
            let mut told = Told::new();
            assert_eq!(told.silence.track(track.clone()), None);
            told.picture(0);
            told.picture(1140);
            assert!(told.waits());
            told.picture(1150);
            assert_eq!(told.tracks(), [&track]);
            let rate = track.time_base.rate();
            let silent: Vec<_> = told.frames().filter(|frame| frame.track == SOUND).collect();
            assert!(silent.iter().all(|f| f.data == data && f.dts.base == track.time_base));
            assert_eq!(silent.len(), rate as usize * 115 / 100 / 1024);
            told.sound(i64::from(rate) * 2, rate);
            // The same again: nothing changes.
            assert_eq!(told.tracks(), [&track, &track]);
        }
        // HE-AAC, six channels, and what is no AAC at all.
        let others: [(_, &[u8]); 3] = [
            (Codec::Aac, &[0x2B, 0x11, 0x88, 0x00]),
            (Codec::Aac, &[0x11, 0xB0]),
            (Codec::Opus, b"OpusHead"),
        ];
        for (codec, config) in others {
            let mut told = Told::new();
            let own = sound(codec, 48_000, config);
            told.silence.track(own.clone());
            told.picture(0);
            told.picture(1150);
            assert_eq!(told.tracks(), [&plain()]);
            told.sound(96_000, 48_000);
            assert_eq!(told.tracks(), [&plain(), &own]);
        }
    }

    #[test]
    fn sound_that_lags_does_not_go_back_in_time() {
        let mut told = Told::new();
        (0..10).for_each(|n| told.picture(n * 40));
        // Silence has come to 16 × 1024 = 16 384 samples.
        told.sound(14_400, 48_000);
        told.sound(15_424, 48_000);
        told.picture(400);
        told.sound(16_448, 48_000);
        told.picture(440);
        assert_eq!(told.silent().last(), Some(&(15 * 1024)));
        let own: Vec<_> =
            told.frames().filter(|f| f.data.starts_with(b"the") && f.track == SOUND).collect();
        assert_eq!(own.iter().map(|frame| frame.dts.value).collect::<Vec<_>>(), [16_448]);
        assert!(told.silence.is_over());
    }

    #[test]
    fn a_leap_of_time_is_no_flood() {
        let mut told = Told::new();
        (0..10).for_each(|n| told.picture(n * 40));
        let before = told.silent();
        told.picture(3_600_000);
        let after = told.silent();
        let fresh = &after[before.len()..];
        assert!((468..=469).contains(&fresh.len()), "{} frames", fresh.len());
        assert_eq!((fresh[0] - before[0]) % SAMPLES, 0);
        assert!(3_600 * 48_000 - fresh[fresh.len() - 1] < 2 * SAMPLES);
    }

    #[test]
    fn times_that_stand_still_and_heaps_of_frames_end_the_wait() {
        let mut told = Told::new();
        told.picture(0);
        told.now += AFTER + PATIENCE;
        told.picture(0);
        assert!(told.silence.is_heard());
        let mut told = Told::new();
        for _ in 0..MAX_HELD_FRAMES {
            assert!(!told.silence.is_heard());
            told.picture(0);
        }
        assert!(told.silence.is_heard());
        let mut told = Told::new();
        let heap = Bytes::from(vec![0; MAX_HELD_BYTES]);
        let dts = Ticks::new(0, TimeBase::VIDEO);
        let heavy = Frame { data: heap, ..frame(PICTURE, dts, told.now) };
        told.silence.push(heavy, &mut told.steps);
        assert!(told.silence.is_heard());
    }

    #[test]
    fn the_next_publisher_is_waited_for_again() {
        let mut told = Told::new();
        (0..10).for_each(|n| told.picture(n * 40));
        let heard = *told.silent().last().unwrap();
        told.silence.begin(Some(Ticks::new(heard, plain().time_base)));
        assert!(!told.silence.is_heard());
        told.steps.clear();
        // Its pictures lie before the end of the silence.
        told.picture(320);
        told.picture(1000);
        assert_eq!(told.silent().first(), Some(&(heard + SAMPLES)));
    }

    #[test]
    fn what_is_kept_back_goes_before_changes() {
        let mut told = Told::new();
        told.picture(0);
        told.picture(40);
        let released = told.silence.release();
        assert_eq!(released.len(), 2);
        assert!(told.waits());
        told.picture(160);
        assert_eq!(told.silent().first(), Some(&0));
        assert_eq!(told.frames().filter(|frame| frame.track == PICTURE).count(), 1);
    }

    proptest! {
        /// Whatever the times of pictures: silence has no gap, keeps up with the pictures, and ends
        /// where sound begins, which is there from its first frame on if it came in its place.
        #[test]
        fn silence_is_whole(
            first in 0..10_000_000_i64,
            steps in vec(0..9_000_i64, 2..200),
            begins in 0..200_usize,
            late in -500..500_i64,
        ) {
            let mut told = Told::new();
            let mut millis = first;
            let mut sounds = 0;
            for (number, step) in steps.iter().enumerate() {
                millis += step;
                told.picture(millis);
                if number >= begins {
                    let at = Ticks::from_millis(millis + late, plain().time_base).value;
                    told.sound(at, 48_000);
                    sounds += 1;
                }
                if told.silence.is_heard() && sounds == 0 {
                    let last = told.steps.iter().rev().find_map(|step| match step {
                        Step::Frame(frame) if frame.track == SOUND => Some(frame.dts.value),
                        _ => None,
                    });
                    let end = last.map_or(i64::MIN, |last| last + SAMPLES);
                    let picture = Ticks::from_millis(millis, plain().time_base).value;
                    prop_assert!(end <= picture && picture - end < SAMPLES || end == i64::MIN);
                }
            }
            let silent = told.silent();
            prop_assert!(silent.windows(2).all(|pair| pair[1] - pair[0] == SAMPLES));
            let times = |track| -> Vec<i64> {
                told.frames().filter(|f| f.track == track).map(|f| f.dts.value).collect()
            };
            prop_assert!(times(PICTURE).is_sorted());
            let heard = times(SOUND);
            prop_assert!(heard.is_sorted());
            // Silence first, then sound, and no overlap of both.
            let end = silent.last().map_or(i64::MIN, |last| last + SAMPLES);
            prop_assert!(heard[silent.len()..].iter().all(|dts| *dts >= end));
            if late >= 0 {
                prop_assert_eq!(heard.len() - silent.len(), sounds);
            }
            let waits = told.waits();
            let shown = times(PICTURE).len();
            prop_assert_eq!(shown, if waits { 0 } else { steps.len() });
        }
    }
}
