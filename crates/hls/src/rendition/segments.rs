//! Beginning and ending parts and segments, and what the first one shows.

use std::sync::Arc;

use bytes::Bytes;
use media::{Ticks, TimeBase, TrackId, TrackKind};

use super::{Outcome, Rendition, TOLERANCE};
use crate::container::Container;
use crate::settings::ticks;
use crate::window::{Init, Part, Segment};
use crate::{TIMESCALE, name};

impl Rendition {
    /// Begins a segment with what comes at `at`, or has come from there on.
    pub(super) fn begin_segment(&mut self, at: i64, unix_ms: i64, key: bool) {
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
            lists_parts: self.window.part_target.is_some_and(|most| self.segment_step <= most)
                && container.is_fmp4(),
        });
        self.window.next += 1;
        self.waiting_since = None;
        (self.start, self.part_start, self.frames) = (at, at, 0);
        (self.part_independent, self.segment_step) = (key, 0);
        if self.lead.kind == TrackKind::Video && self.pair.picture().is_none() {
            self.pair.begin(self.tracks.get(TrackId::audio(0)).map(|track| &**track), at);
        }
    }

    /// Ends parts of sound before `at`, as many as are long enough.
    pub(super) fn split_by_sound(&mut self, at: i64) -> Outcome {
        let mut outcome = Outcome::Nothing;
        while let Some(target) = self.window.part_target
            && self.window.open.as_ref().is_some_and(|open| open.lists_parts)
            && at - self.part_start > target
        {
            let end = self.part_start + target;
            let bytes = self.cut_by_sound(end);
            if self.put_part(bytes, end, true) == Outcome::Nothing {
                break;
            }
            self.floor = end;
            outcome = Outcome::Part;
        }
        outcome
    }

    /// Everything before `at`, where no picture is.
    pub(super) fn cut_by_sound(&mut self, at: i64) -> Bytes {
        let until = Ticks::new(at, TimeBase::VIDEO);
        self.container.as_mut().map_or_else(Bytes::new, |container| {
            container.end_picture(until);
            container.cut(until, TrackKind::Audio)
        })
    }

    /// Ends the open part before `at`; the next one is independent or not.
    pub(super) fn end_part(&mut self, at: i64, next_independent: bool) -> Outcome {
        let Some(container) = &mut self.container else { return Outcome::Nothing };
        // Sound is moved onto its grid, by less than half a frame.
        let sound_leads = self.lead.kind == TrackKind::Audio;
        let until = if sound_leads { at - self.step.max(0) / 2 } else { at };
        let bytes = container.cut(Ticks::new(until, TimeBase::VIDEO), self.lead.kind);
        self.put_part(bytes, at, next_independent)
    }

    /// Adds a part that ends at `at`; the next one is independent or not.
    pub(super) fn put_part(&mut self, bytes: Bytes, at: i64, next_independent: bool) -> Outcome {
        let Some(open) = &mut self.window.open else { return Outcome::Nothing };
        let duration = at - self.part_start;
        // Sound that has ended a part within one of its frames may have left nothing.
        if duration <= 0 || bytes.is_empty() {
            return Outcome::Nothing;
        }
        // A single frame that lasts longer cannot be divided: no parts of this segment are listed
        // then, and none of the next ones as long as that goes on.
        if self.window.part_target.is_some_and(|target| duration > target) {
            open.lists_parts = false;
        }
        let independent = self.part_independent;
        (self.part_start, self.part_independent) = (at, next_independent);
        open.parts.push(Part { bytes, duration, independent });
        Outcome::Part
    }

    /// Cuts the parts of the first segment, which ends at `at`: players expect parts in the first
    /// playlist that they see.
    pub(super) fn split_first_segment(&mut self, at: i64) {
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
    pub(super) fn split_part(&mut self, at: i64) {
        let listed = self.window.open.as_ref().is_some_and(|open| open.lists_parts);
        let target = self.window.part_target.filter(|_| listed).unwrap_or(i64::MAX);
        if at - self.part_start > target && self.last > self.part_start {
            self.end_part(self.last, self.last_key);
        }
    }

    /// Ends the open segment, which has all its parts; where the next one begins.
    pub(super) fn end_segment(&mut self) -> i64 {
        let Some(segment) = self.window.open.take() else { return self.part_start };
        if segment.parts.is_empty() {
            return self.part_start;
        }
        if self.window.target == 0 {
            self.fix_targets(segment.duration());
        }
        self.window.segments.push_back(Arc::new(segment));
        self.window.trim(self.settings.listed, self.settings.kept);
        self.part_start
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
            let share = if frames == 1 { 10 } else { 40 };
            let slack = (frames * step / share).max(5 * millisecond);
            // Parts have to reach 85 % of the target (HLS §4.4.4.9) and not exceed it: where frames
            // are uneven, one must fit between.
            let uneven = self.longest_step > step + step / 4;
            let needed = if uneven { self.longest_step * 100 / 14 } else { 0 };
            let regular = frames * step + slack;
            // Nobody gains by parts that are nearly as long as segments.
            let most = self.window.target * TIMESCALE * 4 / 5;
            let targets = [regular.max(needed), regular];
            let target = targets.into_iter().find(|target| *target <= most);
            self.window.part_target = target.map(|target| ceil(target, millisecond) * millisecond);
        }
    }
}

fn ceil(value: i64, unit: i64) -> i64 {
    (value + unit - 1).div_euclid(unit)
}
