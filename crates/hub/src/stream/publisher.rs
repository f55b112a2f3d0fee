//! Whoever publishes a stream, and what of it belongs into the stream.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use media::{Frame, FrameKind, TrackId, TrackKind};

use crate::Session;
use crate::entry::Entry;
use crate::registry::Counted;

/// A stream's publisher, from its beginning on.
#[derive(Debug)]
pub(super) struct Publisher {
    /// What its frames are accepted with.
    pub(super) token: u64,
    pub(super) session: Arc<Session>,
    /// It counts as long as it publishes.
    pub(super) counted: Option<Counted>,
    /// When it began, by both clocks.
    began: (Instant, SystemTime),
    /// When its first frame came.
    first_frame: Option<Instant>,
    /// The tracks that it has shown so far.
    shown: Vec<TrackId>,
    /// The kinds that it has said it will send.
    announced: Vec<TrackKind>,
    /// Until its first key frame, pictures that refer to the last publisher's are left out.
    joins_at_key: bool,
    /// Where it is in its pictures.
    entry: Entry,
}

impl Publisher {
    /// One that begins now; `goes_on` says whether there was another before.
    pub(super) fn new(
        token: u64,
        session: Arc<Session>,
        began: (Instant, SystemTime),
        goes_on: bool,
    ) -> Self {
        Self {
            token,
            session,
            counted: None,
            began,
            first_frame: None,
            shown: Vec::new(),
            announced: vec![TrackKind::Video, TrackKind::Audio],
            joins_at_key: goes_on,
            entry: Entry::Ahead,
        }
    }

    /// It has said which kinds of tracks it will send.
    pub(super) fn announce(&mut self, video: bool, audio: bool) {
        let kinds = [(video, TrackKind::Video), (audio, TrackKind::Audio)];
        self.announced =
            kinds.into_iter().filter(|(sent, _)| *sent).map(|(_, kind)| kind).collect();
    }

    /// It has shown a track.
    pub(super) fn show(&mut self, id: TrackId) {
        if !self.has_shown(id) {
            self.shown.push(id);
        }
    }

    pub(super) fn has_shown(&self, id: TrackId) -> bool {
        self.shown.contains(&id)
    }

    /// When its time was zero by the wall clock, if this is its first frame.
    pub(super) fn origin(&self, first: &Frame) -> Option<SystemTime> {
        let (began, wall) = self.began;
        if self.first_frame.is_some() {
            return None;
        }
        let arrived = wall + first.arrival.saturating_duration_since(began);
        arrived.checked_sub(first.dts.duration())
    }

    /// Comes to its next frame; whether that belongs into the stream. A key frame that does not
    /// come is waited for no longer than `key_frame_wait`.
    pub(super) fn admits(&mut self, frame: &Frame, key_frame_wait: Duration) -> bool {
        let first = *self.first_frame.get_or_insert(frame.arrival);
        let waited = frame.arrival.saturating_duration_since(first);
        if frame.track.kind == TrackKind::Video && self.joins_at_key {
            if frame.kind != FrameKind::Key && waited < key_frame_wait {
                return false;
            }
            self.joins_at_key = false;
        }
        frame.track != TrackId::video(0) || self.entry.admits(frame.kind)
    }

    /// Whether it has shown all tracks that it will send, or has had `track_wait` for that.
    pub(super) fn is_complete(&self, now: Instant, track_wait: Duration) -> bool {
        let first = self.first_frame.unwrap_or(now);
        let shown = |kind: &TrackKind| self.shown.iter().any(|id| id.kind == *kind);
        self.announced.iter().all(shown) || now.saturating_duration_since(first) >= track_wait
    }
}
