//! Program streams (ISO/IEC 13818-1 §2.5), as cameras and recorders send them over RTP
//! (GB/T 28181 annex C): a [`Demuxer`].
//!
//! A picture is a pack header, at key pictures a system header and a map of the streams, and PES
//! packets. What devices make of that is taken as it is; in particular:
//!
//! | what devices do | what is done about it |
//! |---|---|
//! | no map, a late one, one that names another codec | parameter sets and ADTS headers decide |
//! | the checksum of the map is zero or wrong | it is not looked at |
//! | only the first packet of a picture has a time, or none has | access units are found by their NAL units; missing times follow from those of RTP |
//! | parameter sets and slices in packets of their own | they are one access unit |
//! | no `PES_packet_length`, or a wrong one | a start code of the system layer, which no picture contains, ends the packet |
//! | a packet ends in a zero byte of the next start code | the bytes of a stream are read as one |
//! | private packets, descriptors, MPEG-1 headers | passed over |
//! | several frames of AAC in a packet | parted |
//!
//! The two fields of a picture that is coded as fields are two access units.

mod demux;
mod map;
mod packet;
mod picture;
mod sound;
mod time;

use std::fmt;

use bytes::Bytes;
use media::{FrameKind, Track, TrackId, Units};

pub use demux::Demuxer;

/// What comes out of a program stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demuxed {
    /// A track, or another configuration of it; its units follow.
    Track(Track),
    /// An access unit.
    Unit(Unit),
}

/// A picture, or a frame of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Which track it belongs to.
    pub track: TrackId,
    /// Presentation time on the 90 kHz clock, continued over the wrap of its 33 bits.
    pub pts: i64,
    /// Decoding time, where the stream tells it apart from the presentation time.
    pub dts: Option<i64>,
    /// Key, delta or audio.
    pub kind: FrameKind,
    /// The canonical payload: NAL units with four-byte lengths, or a frame of sound.
    pub data: Bytes,
    /// Where the NAL units lie in `data`.
    pub units: Units,
}

/// What was wrong with a stream so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Bytes that belong to no packet.
    pub skipped: u64,
    /// Pictures of which parts are missing, or that were too large: they are left out.
    pub torn: u64,
    /// PES packets that were longer or shorter than they said.
    pub wrong_lengths: u64,
}

/// An elementary stream that is there and not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// Which one: 0xE0 to 0xEF are pictures, 0xC0 to 0xDF sound.
    pub stream_id: u8,
    /// What the map says of it; `None` if it is not in the map.
    pub stream_type: Option<u8>,
}

impl LeftOut {
    /// The codec's name, as far as its number in the map has a settled meaning.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.stream_type.and_then(map::name).unwrap_or("an unknown codec")
    }
}

/// `SVAC video (stream 0xE0, type 0x80)`, for the log and the API.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (stream {:#04X}", self.name(), self.stream_id)?;
        if let Some(stream_type) = self.stream_type {
            write!(f, ", type {stream_type:#04X}")?;
        }
        f.write_str(")")
    }
}
