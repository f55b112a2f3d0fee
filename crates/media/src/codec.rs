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

/// The name of an RTP payload format (RFC 8866 §6.6, `encoding name`), as the source wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EncodingName {
    bytes: [u8; Self::MAX],
    length: u8,
}

impl EncodingName {
    /// The longest registered names have fewer bytes.
    const MAX: usize = 31;

    /// A name; `None` if it is empty, too long, or no token.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let length = u8::try_from(name.len()).ok()?;
        is_token.then_some(Self { bytes, length })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Display for EncodingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EncodingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodingName({self})")
    }
}

/// How a track's frames are coded.
///
/// The last four arms are codecs that this server does not interpret: their frames travel as
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
    /// A payload format of RTP that is not known here; a frame is the payloads of its packets,
    /// each after its length in four bytes. The track's configuration is the `rtpmap` and `fmtp`
    /// of the session description, a line each.
    Rtp(EncodingName),
}

impl Codec {
    /// Whether this server can read the codec's frames, or only carry them.
    #[must_use]
    pub fn is_known(self) -> bool {
        !matches!(self, Self::FourCc(_) | Self::FlvVideo(_) | Self::FlvAudio(_) | Self::Rtp(_))
    }

    /// Whether frames are made of NAL units with four-byte lengths.
    #[must_use]
    pub fn has_nal_units(self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::H266)
    }

    /// Names in a sentence: `AV1 and OPUS`.
    #[must_use]
    pub fn list(codecs: &[Self]) -> String {
        codecs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    }
}

/// The name that the API, notifications and logs use: `H264`, `AAC`, `PCMA`, …
impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FourCc(code) => write!(f, "{code}"),
            Self::Rtp(name) => write!(f, "{name}"),
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
                Self::FourCc(_) | Self::FlvVideo(_) | Self::FlvAudio(_) | Self::Rtp(_) => "",
            }),
        }
    }
}
