//! What a decoder must know before the first frame.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::{Codec, TimeBase};

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum TrackKind {
    Video,
    Audio,
    Data,
}

/// Names a track within its stream.
///
/// Index 0 is the track that viewers without multitrack support get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId {
    /// Video, audio or data.
    pub kind: TrackKind,
    /// The number among the tracks of that kind (the `trackId` of Enhanced RTMP).
    pub index: u8,
}

/// `video0`, `audio1`, `data0`, as in the API and the log.
impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TrackKind::Video => "video",
            TrackKind::Audio => "audio",
            TrackKind::Data => "data",
        };
        write!(f, "{kind}{}", self.index)
    }
}

impl TrackId {
    /// Video track number `index`.
    #[must_use]
    pub fn video(index: u8) -> Self {
        Self { kind: TrackKind::Video, index }
    }

    /// Audio track number `index`.
    #[must_use]
    pub fn audio(index: u8) -> Self {
        Self { kind: TrackKind::Audio, index }
    }

    /// The track of script data.
    #[must_use]
    pub fn data() -> Self {
        Self { kind: TrackKind::Data, index: 0 }
    }
}

/// One elementary stream and its current configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Its name within the stream.
    pub id: TrackId,
    /// How its frames are coded.
    pub codec: Codec,
    /// Its clock: 90 kHz for video, the sample rate for audio where known.
    pub time_base: TimeBase,
    /// The decoder configuration as ISO BMFF has it: `avcC`, `hvcC`, `av1C`, `vpcC` contents,
    /// `AudioSpecificConfig`, `OpusHead`; empty where the codec has none.
    pub config: Bytes,
    /// Colour and mastering information in Enhanced RTMP's AMF form, if the publisher sent any.
    pub color_info: Option<Bytes>,
    /// Whether the publisher used the FourCC payload headers of Enhanced RTMP. Outputs that have
    /// both a legacy and an Enhanced form keep the publisher's when the viewer states none.
    pub enhanced: bool,
    /// What the configuration says to people.
    pub details: Details,
}

/// What is known of a track's contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Details {
    /// Of a picture track.
    Video(VideoDetails),
    /// Of a sound track.
    Audio(AudioDetails),
    /// Nothing is known (yet).
    #[default]
    Unknown,
}

/// What the parameter sets say of the picture; zero where they say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VideoDetails {
    /// Width of the displayed picture in pixels.
    pub width: u32,
    /// Height of the displayed picture in pixels.
    pub height: u32,
    /// `profile_idc`, or the codec's own profile number.
    pub profile: u8,
    /// `level_idc`, or the codec's own level number.
    pub level: u8,
    /// Frames per second × 1000, if the bitstream tells it.
    pub millihertz: u32,
}

/// What the configuration says of the sound; zero where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AudioDetails {
    /// Samples per second of the coded frames (the core rate of HE-AAC).
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u8,
    /// The codec's own profile number (the audio object type of AAC).
    pub profile: u8,
}

/// All tracks of a stream at one moment: what a viewer needs before its first frame.
///
/// Immutable; a change makes a new one with the next epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackSet {
    /// Counts the changes since the stream began.
    pub epoch: u32,
    /// Video first, then audio, by index.
    pub tracks: Vec<Arc<Track>>,
    /// The publisher's `onMetaData` as an AMF0 script data body (name and value), without
    /// `@setDataFrame`.
    pub metadata: Option<Bytes>,
    /// When the stream's time was zero by the wall clock, once a frame has come.
    pub origin: Option<SystemTime>,
}

impl TrackSet {
    /// The track with this id.
    #[must_use]
    pub fn get(&self, id: TrackId) -> Option<&Arc<Track>> {
        self.tracks.iter().find(|track| track.id == id)
    }

    /// Whether there is a track of this kind.
    #[must_use]
    pub fn has(&self, kind: TrackKind) -> bool {
        self.tracks.iter().any(|track| track.id.kind == kind)
    }

    /// Bytes of its configurations and metadata.
    #[must_use]
    pub fn size(&self) -> usize {
        let metadata = self.metadata.as_ref().map_or(0, Bytes::len);
        self.tracks.iter().map(|track| track.config.len()).sum::<usize>() + metadata
    }
}
