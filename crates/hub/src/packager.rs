//! Packagers: frames in, packets of one wire format out, once for all viewers of that format.

mod body;
pub(crate) mod flv;
mod mp4;
mod rtmp;
pub(crate) mod rtp;
mod ts;

use std::fmt;

use bytes::BytesMut;
use media::{Codec, Frame, FrameKind, Track, TrackSet};
use ws::frame::{Opcode, write_frame_header};

use crate::Packet;
use rtp::{Channels, Framing};

/// The longest header of a WebSocket frame of a server (RFC 6455 §5.2): it has no mask, so that one
/// serialisation serves every viewer.
const MAX_FRAME_HEADER: usize = 10;

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
        /// The peer is a server that is published to: metadata is for it to keep and to give to
        /// its viewers.
        publishes: bool,
    },
    /// FLV tags.
    Flv {
        /// Each tag is a WebSocket message.
        websocket: bool,
        /// What the viewer understands.
        dialect: Dialect,
    },
    /// MPEG transport packets.
    Ts {
        /// Each packet is a WebSocket message.
        websocket: bool,
    },
    /// Fragmented MP4.
    Mp4 {
        /// Each packet is a WebSocket message.
        websocket: bool,
    },
    /// RTP packets, with RTCP reports.
    Rtp {
        /// Which tracks go out, and on which channels.
        channels: Channels,
        /// Between messages, or as datagrams.
        framing: Framing,
        /// Tells the sources of one stream from those of another.
        seed: u32,
        /// Bytes of a packet at most, its RTP header included.
        size: u16,
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
            Self::Rtmp { chunk_size, stream_id, dialect, publishes } => {
                Box::new(rtmp::Rtmp::new(chunk_size, stream_id, dialect, publishes))
            }
            Self::Flv { websocket, dialect } => Box::new(flv::Flv::new(websocket, dialect)),
            Self::Ts { websocket } => Box::new(ts::Ts::new(websocket)),
            Self::Mp4 { websocket } => Box::new(mp4::Mp4::new(websocket)),
            Self::Rtp { channels, framing, seed, size } => {
                Box::new(rtp::Rtp::new(channels, framing, seed, size))
            }
        }
    }

    /// The codecs of the stream's first tracks that the format has no place for.
    #[must_use]
    pub fn left_out(self, tracks: &TrackSet) -> Vec<Codec> {
        let media = tracks.tracks.iter().filter(|track| track.id.index == 0);
        media.filter(|track| !self.carries(track)).map(|track| track.codec).collect()
    }

    /// Whether the format has a place for a track.
    pub(crate) fn carries(self, track: &Track) -> bool {
        match self {
            Self::Rtmp { .. } | Self::Flv { .. } => !matches!(track.codec, Codec::Rtp(_)),
            Self::Ts { .. } => mpeg::ts::carries(track),
            Self::Mp4 { .. } => ::mp4::codec::carries(track),
            Self::Rtp { channels, .. } => {
                let chosen = channels.iter().any(|channel| channel.track == track.id);
                chosen && ::rtp::format::Outgoing::of(track).is_some()
            }
        }
    }
}

/// Turns frames into packets of one format.
pub trait Packager: Send + fmt::Debug {
    /// Appends what a viewer needs before its first packet while `tracks` are current.
    fn prologue(&mut self, tracks: &TrackSet, out: &mut BytesMut);

    /// Appends the packets of a frame; none if the format cannot carry its track.
    fn push(&mut self, frame: &Frame, tracks: &TrackSet, out: &mut Vec<Packet>);

    /// Appends what was kept back: no frame follows soon.
    fn flush(&mut self, _epoch: u32, _out: &mut Vec<Packet>) {}
}

/// Begins a packet of `len` bytes: a WebSocket message if so wanted.
fn begin(websocket: bool, len: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(MAX_FRAME_HEADER + len);
    if websocket {
        write_frame_header(&mut out, Opcode::Binary, true, len);
    }
    out
}

/// What a frame means to a viewer who starts or skips: only the first video track decides that.
pub(crate) fn meaning(frame: &Frame) -> FrameKind {
    match (frame.kind, frame.track.index) {
        (FrameKind::Key | FrameKind::Leading, 1..) => FrameKind::Delta,
        (kind, _) => kind,
    }
}

/// As [`meaning`], in formats that number their packets: no viewer can be spared one in between.
pub(crate) fn numbered(kind: FrameKind) -> FrameKind {
    if kind == FrameKind::Leading { FrameKind::Delta } else { kind }
}
