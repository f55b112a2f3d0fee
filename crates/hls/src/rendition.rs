//! Where segments and parts begin and end.
//!
//! The lead track paces: pictures where there are any, else sound. A part or segment ends when the
//! frame comes that the next one begins with, so that its duration is known, and so that the part
//! which a playlist promises is always the one that comes.

use std::sync::Arc;

use media::{Codec, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, TrackKind, TrackSet};

use crate::container::Container;
use crate::settings::ticks;
use crate::window::{Init, Part, Segment, Window};
use crate::{Settings, TIMESCALE, name};

/// Key frames come a little early or late by the milliseconds of their time stamps.
const TOLERANCE: i64 = TIMESCALE / 20;

/// How long a segment may be whose stream shows no second key frame, while nothing is known of it.
const MAX_FIRST_SEGMENT: i64 = 10 * TIMESCALE;

/// `EXTINF` may exceed the target by what rounding to a second hides (HLS §4.4.3.1), and a little
/// is kept back.
const ROUNDING: i64 = TIMESCALE * 4 / 10;

/// Media without a key frame that is waited through before a segment begins without one.
const KEY_FRAME_PATIENCE: i64 = 10 * TIMESCALE;

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
}

/// One stream as segments.
#[derive(Debug)]
pub struct Rendition {
    stem: String,
    settings: Settings,
    window: Window,
    container: Option<Container>,
    tracks: Arc<TrackSet>,
    /// Takes effect with the next key frame.
    pending: Option<Arc<TrackSet>>,
    publisher: Option<u64>,
    lead: TrackId,
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
    /// The last frame of the lead track, whether it was a key frame, its distance from the one
    /// before it, the longest such distance so far, and how many frames are in the open segment.
    last: i64,
    last_key: bool,
    step: i64,
    longest_step: i64,
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
            tracks: Arc::default(),
            pending: None,
            publisher: None,
            lead: TrackId::video(0),
            init_changed: false,
            init: None,
            waiting_since: None,
            anchor: None,
            start: 0,
            part_start: 0,
            part_independent: false,
            last: 0,
            last_key: false,
            step: 0,
            longest_step: 0,
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
        Resume { number: self.window.next, discontinuities: self.window.discontinuities + listed }
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
        let goes_on = self.window.open.is_some() && same_lead(&self.tracks, tracks);
        if self.container.is_some() && same_tracks(&self.tracks, tracks) {
            self.tracks = tracks.clone();
            self.pending = None;
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
            let is_current = self
                .pending
                .as_ref()
                .is_none_or(|pending| pending.get(frame.track) == self.tracks.get(frame.track));
            if self.window.open.is_some()
                && is_current
                && let Some(container) = &mut self.container
            {
                container.push(frame);
            }
            return Outcome::Nothing;
        }
        let at = frame.dts.rescale(TimeBase::VIDEO).value;
        let key = frame.is_key() || self.lead.kind == TrackKind::Audio;
        let mut outcome = Outcome::Nothing;
        let mut boundary = self.boundary(at, key);
        if boundary == Boundary::Gap {
            outcome = self.interrupt();
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
        let Some(container) = &mut self.container else { return outcome };
        if matches!(boundary, Boundary::Part | Boundary::Segment) {
            container.prepare(boundary == Boundary::Segment, sound_leads);
        }
        container.push(frame);
        match boundary {
            Boundary::Nothing | Boundary::Gap => self.part_independent |= key,
            Boundary::Part => outcome = outcome.max(self.end_part(at, key)),
            Boundary::PartBefore => {
                outcome = outcome.max(self.end_part(self.last, self.last_key));
                self.part_independent |= key;
            }
            Boundary::Segment => {
                if self.window.open.is_some() {
                    self.forced |= !key;
                    self.split_first_segment(at);
                    self.split_part(at);
                    self.end_part(at, key);
                    self.end_segment();
                    outcome = Outcome::Segment;
                }
                self.begin_segment(at, unix_ms, key);
            }
        }
        if self.frames > 0 {
            self.step = at - self.last;
            self.longest_step = self.longest_step.max(self.step);
        }
        (self.last, self.last_key) = (at, key);
        if self.window.target == 0 && self.first.len() < MAX_FIRST_FRAMES {
            self.first.push((at, key));
        }
        self.frames += 1;
        outcome
    }

    /// What begins with a frame of the lead track.
    fn boundary(&self, at: i64, key: bool) -> Boundary {
        if self.window.open.is_none() {
            return Boundary::Segment;
        }
        let length = at - self.start;
        let step = at - self.last;
        let limit = self.limit();
        if step < 0 || length > limit {
            return Boundary::Gap;
        }
        let long_enough = length >= ticks(self.settings.segment) - TOLERANCE;
        if step > 0 && (key && (long_enough || self.pending.is_some()) || length + step > limit) {
            return Boundary::Segment;
        }
        match self.window.part_target {
            Some(target) if self.window.open.as_ref().is_some_and(|open| open.lists_parts) => {
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

    /// Whether a segment may begin with this frame, when none is open.
    fn may_begin(&mut self, at: i64, key: bool) -> bool {
        let since = *self.waiting_since.get_or_insert(at);
        key || at - since > KEY_FRAME_PATIENCE
    }

    fn begin_segment(&mut self, at: i64, unix_ms: i64, key: bool) {
        self.first.clear();
        let Some(container) = &self.container else { return };
        let (stream_time, wall) = *self.anchor.get_or_insert((at, unix_ms));
        let unix_ms = wall + (at - stream_time) * 1000 / TIMESCALE;
        if std::mem::take(&mut self.init_changed) {
            let file = format!("{}-{unix_ms}-init.mp4", self.stem);
            self.init = container.init().map(|bytes| Arc::new(Init { file, bytes }));
        }
        self.window.open = Some(Segment {
            number: self.window.next,
            stem: name::segment(&self.stem, unix_ms, self.window.next),
            extension: container.extension(),
            discontinuity: std::mem::take(&mut self.window.breaks),
            init: self.init.clone(),
            unix_ms,
            parts: Vec::new(),
            lists_parts: self.window.part_target.is_some() && container.is_fmp4(),
        });
        self.window.next += 1;
        self.waiting_since = None;
        (self.start, self.part_start, self.frames) = (at, at, 0);
        self.part_independent = key;
    }

    /// Ends the open part before `at`; the next one is independent or not.
    fn end_part(&mut self, at: i64, next_independent: bool) -> Outcome {
        let (Some(container), Some(open)) = (&mut self.container, &mut self.window.open) else {
            return Outcome::Nothing;
        };
        // Sound is moved onto its grid, by less than half a frame.
        let sound_leads = self.lead.kind == TrackKind::Audio;
        let until = if sound_leads { at - self.step.max(0) / 2 } else { at };
        let bytes = container.cut(Ticks::new(until, TimeBase::VIDEO), self.lead.kind);
        let duration = at - self.part_start;
        let independent = self.part_independent;
        (self.part_start, self.part_independent) = (at, next_independent);
        if duration <= 0 {
            return Outcome::Nothing;
        }
        open.parts.push(Part { bytes, duration, independent });
        Outcome::Part
    }

    /// Cuts the parts of the first segment, which ends at `at`: players expect parts in the first
    /// playlist that they see.
    fn split_first_segment(&mut self, at: i64) {
        if self.window.target > 0 {
            return;
        }
        self.fix_targets(at - self.start);
        let frames = std::mem::take(&mut self.first);
        let Some(target) = self.window.part_target else { return };
        if let Some(open) = &mut self.window.open {
            open.lists_parts = true;
        }
        let ends = frames.iter().skip(1).map(|(end, _)| *end).chain([at]);
        for ((begin, key), end) in frames.iter().copied().zip(ends) {
            // The frame would exceed the part that it would be in.
            if begin > self.part_start && end - self.part_start > target {
                self.end_part(begin, key);
            }
        }
    }

    /// Ends a part before the last frame, if with it the part that ends at `at` were too long.
    fn split_part(&mut self, at: i64) {
        let listed = self.window.open.as_ref().is_some_and(|open| open.lists_parts);
        let target = self.window.part_target.filter(|_| listed).unwrap_or(i64::MAX);
        if at - self.part_start > target && self.last > self.part_start {
            self.end_part(self.last, self.last_key);
        }
    }

    /// Ends the open segment, which has all its parts.
    fn end_segment(&mut self) {
        let Some(segment) = self.window.open.take() else { return };
        if segment.parts.is_empty() {
            return;
        }
        if self.window.target == 0 {
            self.fix_targets(segment.duration());
        }
        self.window.segments.push_back(Arc::new(segment));
        self.window.trim(self.settings.listed, self.settings.kept);
    }

    /// The first segment shows how far apart key frames and frames are.
    fn fix_targets(&mut self, duration: i64) {
        let wanted = match self.settings.target {
            Some(target) => ticks(target),
            None => duration.max(ticks(self.settings.segment)) - TOLERANCE,
        };
        self.window.target = ceil(wanted.max(1), TIMESCALE).max(1);
        // Parts of transport streams are lawful, but players that take segments apart themselves drop
        // those that do not begin with a key frame.
        if !self.container.as_ref().is_some_and(Container::is_fmp4) {
            return;
        }
        let step = duration / self.frames.max(1);
        if let (Some(part), 1..) = (self.settings.part.map(ticks), step) {
            let frames = ((part + step / 2) / step).max(1);
            let millisecond = TIMESCALE / 1000;
            let slack = (frames * step / 40).max(5 * millisecond);
            // Parts have to reach 85 % of the target (HLS §4.4.4.9) and not exceed it: where frames
            // are uneven, one must fit between.
            let uneven = self.longest_step > step + step / 4;
            let needed = if uneven { self.longest_step * 100 / 14 } else { 0 };
            let target = (frames * step + slack).max(needed);
            self.window.part_target = Some(ceil(target, millisecond) * millisecond);
        }
    }

    /// Ends what is open; what follows does not go on there.
    fn interrupt(&mut self) -> Outcome {
        self.anchor = None;
        self.waiting_since = None;
        let end = self.last + if self.step > 0 { self.step } else { TIMESCALE / 25 };
        self.split_part(end);
        let (Some(container), Some(open)) = (&mut self.container, &mut self.window.open) else {
            self.window.breaks |= !self.window.segments.is_empty();
            return Outcome::Nothing;
        };
        let bytes = container.finish();
        let duration = end - self.part_start;
        let independent = self.part_independent;
        open.parts.push(Part { bytes, duration, independent });
        self.end_segment();
        self.window.breaks = true;
        Outcome::Segment
    }

    /// Takes tracks into use; no segment is open.
    fn adopt(&mut self, tracks: Arc<TrackSet>) {
        let fmp4 = self.settings.wants_fmp4(&tracks);
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

impl Window {
    /// Takes segments off the list that is long enough without them, and forgets those that no
    /// player asks for any more (HLS §6.2.2).
    fn trim(&mut self, listed: usize, kept: usize) {
        let total = |list: &mut dyn Iterator<Item = &Arc<Segment>>| -> i64 {
            list.map(|segment| segment.duration()).sum()
        };
        while self.segments.len() - self.unlisted > listed.max(1)
            && total(&mut self.listed().skip(1)) >= 3 * self.target * TIMESCALE
        {
            let discontinuity = self.listed().next().is_some_and(|first| first.discontinuity);
            self.discontinuities += u64::from(discontinuity);
            self.unlisted += 1;
        }
        let playlist = total(&mut self.listed());
        while self.unlisted > kept
            && let Some(first) = self.segments.front()
        {
            let since = total(&mut self.segments.iter().skip(1).take(self.unlisted - 1));
            if since < first.duration() + playlist + self.target * TIMESCALE {
                break;
            }
            self.segments.pop_front();
            self.unlisted -= 1;
        }
    }
}

fn ceil(value: i64, unit: i64) -> i64 {
    (value + unit - 1).div_euclid(unit)
}

/// Whether players see no difference in the tracks that are carried.
fn same_tracks(a: &TrackSet, b: &TrackSet) -> bool {
    [TrackId::video(0), TrackId::audio(0)].into_iter().all(|id| a.get(id) == b.get(id))
}

/// Whether the pictures stay the same.
fn same_lead(a: &TrackSet, b: &TrackSet) -> bool {
    a.get(TrackId::video(0)).is_some() && a.get(TrackId::video(0)) == b.get(TrackId::video(0))
}
