//! Pictures and sound beside each other: which of them is missing, and what is there instead.
//!
//! Publishers send one of the two later than the other, often by the same time again and again. How
//! much that was so far is no pause.

use media::aac::Silence;
use media::{Frame, Ticks, TimeBase, Track};

use crate::TIMESCALE;

/// Pictures pause when the sound has gone on for so long.
const PICTURE_PATIENCE: i64 = TIMESCALE;

/// Sound is missing when the pictures have gone on for so long.
const SOUND_PATIENCE: i64 = 2 * TIMESCALE;

/// Who is further behind is no more waited for.
const MAX_LAG: i64 = 10 * TIMESCALE;

/// What came last of both, in ticks of [`TIMESCALE`].
#[derive(Debug, Default)]
pub(super) struct Pair {
    picture: Option<i64>,
    sound: Option<i64>,
    /// How far each was behind the other, at most.
    pictures_lag: i64,
    sound_lag: i64,
    /// What a player hears in the place of missing sound, if its codec is known that well.
    silence: Option<Silence>,
    /// Where sound begins that is not made up already.
    floor: Option<Ticks>,
    is_silent: bool,
}

/// What is to be done about the sound that belongs to a picture.
pub(super) enum Sound {
    /// It is there, or is waited for.
    Heard,
    /// This is there instead.
    Silent(Vec<Frame>),
    /// Nothing is.
    Missing,
}

impl Pair {
    /// Nothing is known of what came before.
    pub(super) fn interrupt(&mut self) {
        let (pictures_lag, sound_lag) = (self.pictures_lag, self.sound_lag);
        *self = Self { pictures_lag, sound_lag, ..Self::default() };
    }

    /// Pictures begin at `at`, beside this sound.
    pub(super) fn begin(&mut self, sound: Option<&Track>, at: i64) {
        let start = Ticks::new(at, TimeBase::VIDEO);
        self.silence = sound.and_then(|track| Silence::of(track, start));
        (self.picture, self.sound) = (Some(at), Some(at));
    }

    /// The time of the last picture.
    pub(super) fn picture(&self) -> Option<i64> {
        self.picture
    }

    /// The time of the last sound.
    pub(super) fn sound(&self) -> Option<i64> {
        self.sound
    }

    /// A picture comes.
    pub(super) fn seen(&mut self, at: i64) {
        let lag = self.sound.map_or(0, |sound| (sound - at).min(MAX_LAG));
        self.pictures_lag = self.pictures_lag.max(lag);
        self.picture = Some(at);
    }

    /// A frame of sound comes, at `at`. Whether there is a place for it.
    pub(super) fn heard(&mut self, frame: &Frame, at: i64) -> bool {
        let lag = self.picture.map_or(0, |picture| (picture - at).min(MAX_LAG));
        self.sound_lag = self.sound_lag.max(lag);
        self.sound = Some(self.sound.map_or(at, |last| last.max(at)));
        self.is_silent = false;
        if let (Some(floor), Some(silence)) = (self.floor, &self.silence) {
            // What is nearer than half a frame is moved to where silence ended.
            if frame.dts.rescale(floor.base).value + silence.samples() / 2 <= floor.value {
                return false;
            }
            self.floor = None;
        }
        if let Some(silence) = &mut self.silence {
            silence.follow(frame);
        }
        true
    }

    /// Whether sound at `at` is to be waited no longer for pictures with.
    pub(super) fn pictures_pause(&self, at: i64) -> bool {
        let patience = PICTURE_PATIENCE + self.pictures_lag;
        self.picture.is_some_and(|picture| at - picture > patience)
    }

    /// Looks whether there is sound before a picture.
    pub(super) fn sound_before(&mut self, picture: &Frame, at: i64) -> Sound {
        let patience = SOUND_PATIENCE + self.sound_lag;
        self.is_silent |= self.sound.is_none_or(|sound| at - sound > patience);
        if !self.is_silent {
            return Sound::Heard;
        }
        let Some(silence) = &mut self.silence else { return Sound::Missing };
        let frames = silence.fill(picture.dts, picture.arrival).collect();
        self.floor = Some(silence.next());
        Sound::Silent(frames)
    }
}
