//! Packagers: frames in, packets of one wire format out, once for all viewers of that format.

mod body;
pub(crate) mod flv;
mod rtmp;

use std::fmt;

use bytes::BytesMut;
use media::{Frame, FrameKind, TrackSet};

use crate::Packet;

/// A wire format in every detail that changes its bytes: equal packagings share their packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packaging {
    /// RTMP messages.
    Rtmp {
        /// Bytes of a chunk, as announced to the viewer.
        chunk_size: u32,
        /// The message stream that the viewer plays on; 1 for nearly all.
        stream_id: u32,
        /// What the viewer understands.
        dialect: Dialect,
    },
    /// FLV tags.
    Flv {
        /// Each tag is a WebSocket message.
        websocket: bool,
        /// What the viewer understands.
        dialect: Dialect,
    },
}

/// Which of the payload forms of FLV and RTMP a viewer understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Dialect {
    /// The form for codecs that have a legacy and an Enhanced one.
    pub form: Form,
    /// Whether tracks beyond the first of a kind are sent.
    pub multitrack: bool,
    /// Whether colour information is sent; browsers' players report it as an error.
    pub color_info: bool,
}

/// A choice between payload forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// The form that the publisher used.
    #[default]
    AsPublished,
    /// HEVC as codec id 12, Opus as sound format 13.
    Legacy,
    /// FourCC.
    Enhanced,
}

impl Packaging {
    /// Starts a packager of this format.
    #[must_use]
    pub fn packager(self) -> Box<dyn Packager> {
        match self {
            Self::Rtmp { chunk_size, stream_id, dialect } => {
                Box::new(rtmp::Rtmp::new(chunk_size, stream_id, dialect))
            }
            Self::Flv { websocket, dialect } => Box::new(flv::Flv::new(websocket, dialect)),
        }
    }
}

/// Turns frames into packets of one format.
pub trait Packager: Send + fmt::Debug {
    /// Appends what a viewer needs before its first packet while `tracks` are current.
    fn prologue(&mut self, tracks: &TrackSet, out: &mut BytesMut);

    /// Appends the packets of a frame; none if the format cannot carry its track.
    fn push(&mut self, frame: &Frame, tracks: &TrackSet, out: &mut Vec<Packet>);
}

/// What a frame means to a viewer who starts or skips: only the first video track decides that.
pub(crate) fn meaning(frame: &Frame) -> FrameKind {
    match (frame.kind, frame.track.index) {
        (FrameKind::Key, 1..) => FrameKind::Delta,
        (kind, _) => kind,
    }
}
