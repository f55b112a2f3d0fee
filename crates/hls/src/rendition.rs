//! Where segments and parts begin and end.
//!
//! The lead track paces: pictures where there are any, else sound. A part or segment ends when the
//! frame comes that the next one begins with, so that its duration is known, and so that the part
//! which a playlist promises is always the one that comes. While pictures pause, sound paces.

mod pair;
mod segments;

use std::sync::Arc;

use media::{Codec, Frame, FrameKind, TimeBase, Track, TrackId, TrackKind, TrackSet};

use self::pair::{Pair, Sound};
use crate::container::Container;
use crate::settings::ticks;
use crate::window::{Init, Window};
use crate::{Settings, TIMESCALE};

/// Key frames come a little early or late by the milliseconds of their time stamps.
const TOLERANCE: i64 = TIMESCALE / 20;

/// How long a segment may be whose stream shows no second key frame, while nothing is known of it.
const MAX_FIRST_SEGMENT: i64 = 10 * TIMESCALE;

/// `EXTINF` may exceed the target by what rounding to a second hides (HLS §4.4.3.1), and a little
/// is kept back.
const ROUNDING: i64 = TIMESCALE * 4 / 10;

/// Media without a key frame that is waited through before a segment begins without one.
const KEY_FRAME_PATIENCE: i64 = 10 * TIMESCALE;

/// The longest distance between two pictures that a first segment takes its length from.
const MAX_SLOW_STEP: i64 = 60 * TIMESCALE;

/// Pictures of a first segment that show that it is a pause when no more come.
const MANY_FRAMES: i64 = 10;

/// Frames of the first segment that are remembered: ten seconds of 100 a second, and of sound.
const MAX_FIRST_FRAMES: usize = 4096;

/// What a frame has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing that a player could see.
    Nothing,
    /// A part is there.
    Part,
    /// A segment is complete.
    Segment,
}

/// Where a stream that ended would have gone on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resume {
    /// The number of the next segment.
    pub number: u64,
    /// The discontinuities before it.
    pub discontinuities: u64,
    /// Segments were fragmented MP4: what follows is too, if it can be.
    pub fmp4: bool,
}

/// One stream as segments.
#[derive(Debug)]
pub struct Rendition {
    stem: String,
    settings: Settings,
    window: Window,
    container: Option<Container>,
    was_fmp4: bool,
    /// What the publisher has, and what the segments are made of: sound that does not come is left
    /// out where there is no silence for its codec.
    published: Arc<TrackSet>,
    tracks: Arc<TrackSet>,
    /// Takes effect with the next key frame.
    pending: Option<Arc<TrackSet>>,
    publisher: Option<u64>,
    lead: TrackId,
    /// What came of pictures and sound, where pictures lead.
    pair: Pair,
    /// Sound paces, since pictures pause; and where it has ended a part or segment last.
    by_sound: bool,
    floor: i64,
    /// The initialisation section changed since the last segment began.
    init_changed: bool,
    init: Option<Arc<Init>>,
    /// When frames began to be dropped for want of a key frame.
    waiting_since: Option<i64>,
    /// A time of the stream, and the wall clock's at it.
    anchor: Option<(i64, i64)>,
    /// Where the open segment and the open part began.
    start: i64,
    part_start: i64,
    part_independent: bool,
    /// The last frame of the lead track, when it came, whether it was a key frame, its distance from
    /// the one before it, the longest such distance so far and in the open segment, and how many
    /// frames are in that.
    last: i64,
    last_unix_ms: i64,
    last_key: bool,
    step: i64,
    longest_step: i64,
    segment_step: i64,
    frames: i64,
    /// The frames of the first segment, whose parts are cut when it is known how long they may be.
    first: Vec<(i64, bool)>,
    /// A segment had to be cut without a key frame.
    forced: bool,
}

/// What begins with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Nothing,
    /// A part, with this frame.
    Part,
    /// A part, with the frame before: this one came too late.
    PartBefore,
    Segment,
    /// Nobody can tell what is between.
    Gap,
}

impl Rendition {
    /// A stream of which nothing is known yet. `name` is what its files' names begin with.
    #[must_use]
    pub fn new(name: &str, settings: Settings) -> Self {
        Self {
            stem: name.to_owned(),
            settings,
            window: Window::default(),
            container: None,
            was_fmp4: false,
            published: Arc::default(),
            tracks: Arc::default(),
            pending: None,
            publisher: None,
            lead: TrackId::video(0),
            pair: Pair::default(),
            by_sound: false,
            floor: i64::MIN,
            init_changed: false,
            init: None,
            waiting_since: None,
            anchor: None,
            start: 0,
            part_start: 0,
            part_independent: false,
            last: 0,
            last_unix_ms: 0,
            last_key: false,
            step: 0,
            longest_step: 0,
            segment_step: 0,
            frames: 0,
            first: Vec::new(),
            forced: false,
        }
    }

    /// A stream that was there before: its numbers go on.
    #[must_use]
    pub fn resuming(name: &str, settings: Settings, resume: Resume) -> Self {
        let mut rendition = Self::new(name, settings);
        rendition.window.next = resume.number;
        rendition.window.discontinuities = resume.discontinuities;
        rendition.window.breaks = resume.number > 0;
        rendition.was_fmp4 = resume.fmp4;
        rendition
    }

    /// What players may ask for now.
    #[must_use]
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Where another rendition of the same stream goes on.
    #[must_use]
    pub fn resume(&self) -> Resume {
        let listed = self.window.listed().filter(|segment| segment.discontinuity).count() as u64;
        let (number, fmp4) = (self.window.next, self.was_fmp4);
        Resume { number, discontinuities: self.window.discontinuities + listed, fmp4 }
    }

    /// Whether some segment had to end without a key frame, since the target duration would have
    /// been exceeded.
    #[must_use]
    pub fn was_forced(&self) -> bool {
        self.forced
    }

    /// The codecs of the stream's first tracks that its segments have no place for.
    #[must_use]
    pub fn left_out(&self) -> Vec<Codec> {
        let Some(container) = &self.container else { return Vec::new() };
        let first = self.tracks.tracks.iter().filter(|track| track.id.index == 0);
        first.filter(|track| !container.carries(track.id)).map(|track| track.codec).collect()
    }

    /// The tracks that its segments have.
    #[must_use]
    pub fn carried(&self) -> TrackSet {
        let mut tracks = TrackSet::clone(&self.tracks);
        let carries =
            |track: &Arc<Track>| self.container.as_ref().is_some_and(|c| c.carries(track.id));
        tracks.tracks.retain(carries);
        tracks
    }

    /// These tracks are published by `publisher` from now on.
    pub fn set_tracks(&mut self, tracks: &Arc<TrackSet>, publisher: u64) -> Outcome {
        let returned = self.publisher.is_some_and(|known| known != publisher);
        self.publisher = Some(publisher);
        let mut outcome = Outcome::Nothing;
        if returned {
            outcome = self.interrupt();
        }
        let before = std::mem::replace(&mut self.published, tracks.clone());
        let goes_on = self.window.open.is_some() && same_lead(&self.tracks, tracks);
        if self.container.is_some() && same_tracks(&self.tracks, tracks) {
            self.tracks = tracks.clone();
            self.pending = None;
        } else if goes_on && same_tracks(&before, tracks) {
            // Sound stays left out, or what is to come stays the same.
            if self.pending.as_ref().is_some_and(|pending| same_tracks(pending, tracks)) {
                self.pending = Some(tracks.clone());
            }
        } else if goes_on && self.lead.kind == TrackKind::Video {
            self.pending = Some(tracks.clone());
        } else {
            outcome = outcome.max(self.interrupt());
            self.adopt(tracks.clone());
        }
        outcome
    }

    /// Frames are missing from here on.
    pub fn gap(&mut self) -> Outcome {
        self.interrupt()
    }

    /// Nothing follows.
    pub fn end(&mut self) -> Outcome {
        self.interrupt();
        self.window.ended = true;
        Outcome::Segment
    }

    /// Takes a frame that came at `unix_ms` milliseconds of Unix time.
    pub fn push(&mut self, frame: &Frame, unix_ms: i64) -> Outcome {
        if matches!(frame.kind, FrameKind::Config | FrameKind::Data) {
            return Outcome::Nothing;
        }
        if frame.track != self.lead {
            return self.push_beside(frame, unix_ms);
        }
        let at = frame.dts.rescale(TimeBase::VIDEO).value;
        // Sound that has ended a segment may have been a little ahead.
        let is_back = self.pair.picture().is_some_and(|picture| at < picture);
        let at = if is_back { at } else { at.max(self.floor) };
        let key = frame.is_key() || self.lead.kind == TrackKind::Audio;
        let mut outcome = Outcome::Nothing;
        if self.by_sound && !is_back {
            outcome = self.split_by_sound(at);
        }
        let mut boundary = if is_back { Boundary::Gap } else { self.boundary(at, key, unix_ms) };
        if boundary == Boundary::Gap {
            outcome = outcome.max(self.interrupt());
            boundary = Boundary::Segment;
        }
        if boundary == Boundary::Segment
            && key
            && let Some(tracks) = self.pending.take()
        {
            outcome = outcome.max(self.interrupt());
            self.adopt(tracks);
            if frame.track != self.lead {
                return outcome;
            }
        }
        if self.window.open.is_none() && !(boundary == Boundary::Segment && self.may_begin(at, key))
        {
            return outcome;
        }
        let sound_leads = self.lead.kind == TrackKind::Audio;
        if !sound_leads {
            self.look_for_sound(frame, at);
        }
        if self.window.open.is_some() && self.frames > 0 {
            let alone = at - self.last.max(self.part_start);
            self.segment_step = self.segment_step.max(alone);
        }
        let Some(container) = &mut self.container else { return outcome };
        if matches!(boundary, Boundary::Part | Boundary::Segment) {
            container.prepare(boundary == Boundary::Segment, sound_leads);
        }
        container.push(frame);
        match boundary {
            Boundary::Nothing | Boundary::Gap => {
                // Until now, it had no pictures.
                self.part_independent &= !self.by_sound;
                self.part_independent |= key;
            }
            Boundary::Part => outcome = outcome.max(self.end_part(at, key)),
            Boundary::PartBefore => {
                outcome = outcome.max(self.end_part(self.last, self.last_key));
                self.part_independent |= key;
            }
            Boundary::Segment => {
                let mut begin = at;
                if self.window.open.is_some() {
                    self.forced |= !key;
                    self.split_first_segment(at);
                    self.split_part(at);
                    self.end_part(at, key);
                    begin = self.end_segment();
                    outcome = Outcome::Segment;
                }
                self.begin_segment(begin, unix_ms, key);
            }
        }
        if self.frames > 0 {
            self.step = at - self.last;
            self.longest_step = self.longest_step.max(self.step);
        }
        self.by_sound = false;
        (self.last, self.last_key, self.last_unix_ms) = (at, key, unix_ms);
        if self.window.target == 0 && self.first.len() < MAX_FIRST_FRAMES {
            self.first.push((at, key));
        }
        self.frames += 1;
        outcome
    }

    /// Takes a frame of a track that does not lead.
    fn push_beside(&mut self, frame: &Frame, unix_ms: i64) -> Outcome {
        let is_sound = frame.track == TrackId::audio(0);
        if is_sound {
            self.let_sound_back();
        }
        let is_current = self
            .pending
            .as_ref()
            .is_none_or(|pending| pending.get(frame.track) == self.tracks.get(frame.track));
        if self.window.open.is_none() || !is_current {
            return Outcome::Nothing;
        }
        let (limit, wanted) = (self.limit(), self.wanted());
        let Some(container) = &mut self.container else { return Outcome::Nothing };
        if !is_sound || !container.carries(frame.track) {
            container.push(frame);
            return Outcome::Nothing;
        }
        let at = frame.dts.rescale(TimeBase::VIDEO).value;
        let before = self.pair.sound().max(self.pair.picture()).unwrap_or(at);
        // Sound paused as well, and there is nothing to make a segment of.
        let hole = if at - self.start >= wanted { TIMESCALE } else { limit };
        if self.pair.pictures_pause(at) && at - before > hole {
            return self.interrupt();
        }
        if !self.pair.heard(frame, at) {
            return Outcome::Nothing;
        }
        self.by_sound |= self.pair.pictures_pause(at);
        if !self.by_sound {
            container.push(frame);
            return Outcome::Nothing;
        }
        // What was promised as the next part comes.
        let ends = at - self.start >= wanted && before >= self.part_start;
        // What has become too long since the last picture ends where it should have.
        let late = at - self.start > wanted + ROUNDING / 2;
        if ends && !late {
            container.prepare(true, true);
        }
        container.push(frame);
        let mut outcome = Outcome::Nothing;
        while ends && at - self.start >= wanted {
            let shown = self.last + self.step.max(1);
            let end = if late { shown.max(self.start + wanted) } else { at };
            self.split_first_segment(end);
            self.split_by_sound(end);
            let bytes = self.cut_by_sound(end);
            self.put_part(bytes, end, true);
            let end = self.end_segment();
            self.begin_segment(end, unix_ms - (at - end) * 1000 / TIMESCALE, true);
            self.floor = end;
            outcome = Outcome::Segment;
        }
        outcome.max(self.split_by_sound(at))
    }

    /// Sound comes that was left out, or is about to be.
    fn let_sound_back(&mut self) {
        let sound = TrackId::audio(0);
        let next = self.pending.as_ref().unwrap_or(&self.tracks);
        if next.get(sound).is_some() || self.published.get(sound).is_none() {
            return;
        }
        let as_before = same_tracks(&self.tracks, &self.published);
        self.pending = (!as_before).then(|| self.published.clone());
        self.pair.begin(None, self.last);
    }

    /// Puts silence where sound is missing before a picture, or leaves sound out from the next key
    /// frame on: players wait for what the initialisation section promises.
    fn look_for_sound(&mut self, picture: &Frame, at: i64) {
        if self.window.open.is_none() {
            return;
        }
        self.pair.seen(at);
        let sound = TrackId::audio(0);
        let Some(container) = &mut self.container else { return };
        if self.pending.is_some() || !container.carries(sound) {
            return;
        }
        match self.pair.sound_before(picture, at) {
            Sound::Heard => {}
            Sound::Silent(frames) => frames.iter().for_each(|frame| container.push(frame)),
            Sound::Missing => {
                let mut tracks = TrackSet::clone(&self.published);
                tracks.tracks.retain(|track| track.id != sound);
                self.pending = Some(Arc::new(tracks));
            }
        }
    }

    /// What begins with a frame of the lead track.
    fn boundary(&self, at: i64, key: bool, unix_ms: i64) -> Boundary {
        if self.window.open.is_none() {
            return Boundary::Segment;
        }
        let length = at - self.start;
        let step = at - self.last;
        let limit = self.limit();
        // As far apart as they came: that is no gap, but a slow stream.
        let came = (unix_ms - self.last_unix_ms) * TIMESCALE / 1000;
        let is_slow = self.window.target == 0
            && self.settings.target.is_none()
            && step <= MAX_SLOW_STEP
            && came >= step - step / 4;
        if step < 0 || length > limit && !is_slow {
            return Boundary::Gap;
        }
        let long_enough = length >= ticks(self.settings.segment) - TOLERANCE || self.by_sound;
        // What was promised as the next part comes.
        let lists_parts = self.window.open.as_ref().is_some_and(|open| open.lists_parts);
        let is_empty = self.by_sound && lists_parts && self.pair.sound() < Some(self.part_start);
        if step > 0
            && !is_empty
            && (key && (long_enough || self.pending.is_some()) || length + step > limit)
        {
            return Boundary::Segment;
        }
        match self.window.part_target {
            Some(target) if lists_parts => {
                let part = at - self.part_start;
                if part > target && self.last > self.part_start {
                    Boundary::PartBefore
                } else if part > 0 && part + step > target {
                    Boundary::Part
                } else {
                    Boundary::Nothing
                }
            }
            _ => Boundary::Nothing,
        }
    }

    /// The longest that a segment may become, in ticks.
    fn limit(&self) -> i64 {
        match (self.window.target, self.settings.target) {
            (1.., _) => self.window.target * TIMESCALE + ROUNDING,
            (_, Some(target)) => ticks(target) + ROUNDING,
            (_, None) => MAX_FIRST_SEGMENT.max(ticks(self.settings.segment) * 3),
        }
    }

    /// How long a segment becomes that sound ends, in ticks.
    fn wanted(&self) -> i64 {
        match (self.window.target, self.settings.target) {
            (1.., _) => self.window.target * TIMESCALE,
            (_, Some(target)) => ticks(target).max(TIMESCALE),
            (_, None) if self.frames >= MANY_FRAMES => ticks(self.settings.segment).max(TIMESCALE),
            // It may be one of few pictures: then each lasts for a segment.
            (_, None) => MAX_FIRST_SEGMENT.max(ticks(self.settings.segment)),
        }
    }

    /// Whether a segment may begin with this frame, when none is open.
    fn may_begin(&mut self, at: i64, key: bool) -> bool {
        let since = *self.waiting_since.get_or_insert(at);
        key || at - since > KEY_FRAME_PATIENCE
    }

    /// Ends what is open; what follows does not go on there.
    fn interrupt(&mut self) -> Outcome {
        self.anchor = None;
        self.waiting_since = None;
        let mut end = self.last + if self.step > 0 { self.step } else { TIMESCALE / 25 };
        if self.by_sound {
            let heard = self.pair.sound().unwrap_or(end);
            end = end.max(heard).max(self.part_start + TIMESCALE / 1000);
            self.split_by_sound(end);
        } else {
            self.split_part(end);
        }
        self.pair.interrupt();
        (self.by_sound, self.floor) = (false, i64::MIN);
        let (Some(container), Some(_)) = (&mut self.container, &self.window.open) else {
            self.window.breaks |= !self.window.segments.is_empty();
            return Outcome::Nothing;
        };
        let bytes = container.finish();
        self.put_part(bytes, end, false);
        self.end_segment();
        self.window.breaks = true;
        Outcome::Segment
    }

    /// Takes tracks into use; no segment is open.
    fn adopt(&mut self, tracks: Arc<TrackSet>) {
        let keeps = self.was_fmp4 && self.settings.keeps_fmp4(&tracks);
        let fmp4 = keeps || self.settings.wants_fmp4(&tracks);
        self.was_fmp4 |= fmp4;
        let mut container = match self.container.take() {
            Some(container) if container.is_fmp4() == fmp4 => container,
            _ => Container::new(fmp4),
        };
        container.set_tracks(&tracks);
        let video = TrackId::video(0);
        self.lead = if container.carries(video) { video } else { TrackId::audio(0) };
        self.container = Some(container);
        self.init = None;
        self.init_changed = true;
        self.tracks = tracks;
        self.pending = None;
    }
}

/// Whether players see no difference in the tracks that are carried.
fn same_tracks(a: &TrackSet, b: &TrackSet) -> bool {
    [TrackId::video(0), TrackId::audio(0)].into_iter().all(|id| a.get(id) == b.get(id))
}

/// Whether the pictures stay the same.
fn same_lead(a: &TrackSet, b: &TrackSet) -> bool {
    a.get(TrackId::video(0)).is_some() && a.get(TrackId::video(0)) == b.get(TrackId::video(0))
}
