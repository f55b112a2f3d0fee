//! The codecs there are, known and unknown.

use std::fmt;

/// A four-character code of ISO BMFF and Enhanced RTMP.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

/// How a track's frames are coded.
///
/// The last three arms are codecs that this server does not interpret: their frames travel as
/// opaque payloads to outputs that have the same code point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the codecs' own
pub enum Codec {
    H264,
    H265,
    H266,
    Av1,
    Vp8,
    Vp9,
    Aac,
    Mp3,
    Opus,
    Flac,
    Ac3,
    Eac3,
    /// G.711 A-law.
    PcmA,
    /// G.711 µ-law.
    PcmU,
    /// A code point of Enhanced RTMP that is not known here.
    FourCc(FourCc),
    /// A legacy FLV `CodecID` (video) that is not known here; frames are whole tag bodies.
    FlvVideo(u8),
    /// A legacy FLV `SoundFormat` that is not known here; frames are whole tag bodies.
    FlvAudio(u8),
}

impl Codec {
    /// Whether this server can read the codec's frames, or only carry them.
    #[must_use]
    pub fn is_known(self) -> bool {
        !matches!(self, Self::FourCc(_) | Self::FlvVideo(_) | Self::FlvAudio(_))
    }

    /// Whether frames are made of NAL units with four-byte lengths.
    #[must_use]
    pub fn has_nal_units(self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::H266)
    }
}

/// The name that the API, notifications and logs use: `H264`, `AAC`, `PCMA`, …
impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FourCc(code) => write!(f, "{code}"),
            Self::FlvVideo(id) => write!(f, "FLV-video-{id}"),
            Self::FlvAudio(id) => write!(f, "FLV-audio-{id}"),
            known => f.write_str(match known {
                Self::H264 => "H264",
                Self::H265 => "H265",
                Self::H266 => "H266",
                Self::Av1 => "AV1",
                Self::Vp8 => "VP8",
                Self::Vp9 => "VP9",
                Self::Aac => "AAC",
                Self::Mp3 => "MP3",
                Self::Opus => "OPUS",
                Self::Flac => "FLAC",
                Self::Ac3 => "AC3",
                Self::Eac3 => "EAC3",
                Self::PcmA => "PCMA",
                Self::PcmU => "PCMU",
                Self::FourCc(_) | Self::FlvVideo(_) | Self::FlvAudio(_) => "",
            }),
        }
    }
}
