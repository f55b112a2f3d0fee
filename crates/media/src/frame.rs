//! The frame: one access unit on its way from a publisher to every packager.

use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{Ticks, TrackId};

/// Spans of the NAL units or OBUs in [`Frame::data`], without their length fields.
pub type Units = SmallVec<[Range<u32>; 4]>;

/// What a frame means to somebody who wants to start, skip or stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A new version of the track's configuration: the decoder needs it before what follows.
    Config,
    /// A video frame at which a decoder can start.
    Key,
    /// A video frame that refers to others.
    Delta,
    /// As [`FrameKind::Delta`], but it refers to frames before the key frame that it follows, and is
    /// shown before that one: whoever starts with the key frame cannot decode it. Those who take
    /// frames in need not tell it from others; a stream does.
    Leading,
    /// An audio frame.
    Audio,
    /// Script data, captions, cue points and the like.
    Data,
}

/// One coded picture or audio frame, immutable, shared by every packager.
///
/// The canonical payload: NAL units with four-byte lengths and without parameter sets; OBUs with
/// sizes for AV1; a raw access unit for audio. Parameter sets belong to the [`crate::Track`].
#[derive(Debug, Clone)]
pub struct Frame {
    /// Which track it belongs to.
    pub track: TrackId,
    /// What it means to a viewer who starts or skips.
    pub kind: FrameKind,
    /// Decoding time, on the track's own clock, never decreasing within a track.
    pub dts: Ticks,
    /// Presentation time − decoding time, in ticks of [`Frame::dts`].
    pub cts: i32,
    /// When the last byte of it arrived.
    pub arrival: Instant,
    /// The coded bytes.
    pub data: Bytes,
    /// Where the NAL units or OBUs lie in `data`; empty for codecs without them.
    pub units: Units,
}

impl Frame {
    /// Presentation time.
    #[must_use]
    pub fn pts(&self) -> Ticks {
        Ticks::new(self.dts.value.saturating_add(i64::from(self.cts)), self.dts.base)
    }

    /// Whether a viewer of the stream may begin with this frame.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.kind == FrameKind::Key
    }
}
