//! How access units are written into PES packets: byte streams with delimiters and parameter sets,
//! ADTS, control headers.

use bytes::{BufMut, BytesMut};
use media::{Codec, Details, Frame, Track, aac, h264, h265, nal, opus};

use crate::pes;
use crate::psi::StreamType;

/// Access unit delimiters, which allow any kind of slice (H.264 §7.4.2.4, H.265 §7.4.3.5).
const H264_DELIMITER: [u8; 6] = [0, 0, 0, 1, 0x09, 0xF0];
const H265_DELIMITER: [u8; 7] = [0, 0, 0, 1, 0x46, 0x01, 0x50];

/// Registration descriptor: who gave the private stream its meaning (ISO/IEC 13818-1 §2.6.8).
pub(crate) const REGISTRATION: u8 = 0x05;
/// DVB's extension descriptor, and in it that of Opus.
pub(crate) const EXTENSION: u8 = 0x7F;
pub(crate) const OPUS_EXTENSION: u8 = 0x80;

/// How one track's frames become payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// A byte stream: a delimiter before each picture, parameter sets before each key picture.
    ByteStream { delimiter: &'static [u8], parameter_sets: BytesMut },
    /// AAC behind ADTS headers.
    Adts(aac::Config),
    /// Opus behind control headers.
    Opus,
    /// As it is.
    Raw,
}

/// What the PMT says of a track, and how its frames are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) stream_type: StreamType,
    pub(crate) stream_id: u8,
    pub(crate) descriptors: Vec<u8>,
    pub(crate) form: Form,
}

impl Mapping {
    /// The mapping of a track; `None` if there is none, or its configuration is unusable.
    pub(crate) fn of(track: &Track) -> Option<Self> {
        let config = &track.config;
        let (stream_type, stream_id, descriptors, form) = match track.codec {
            Codec::H264 => {
                let config = h264::Config::parse(config).ok()?;
                let form = Form::byte_stream(&H264_DELIMITER, config.parameter_sets());
                (StreamType::H264, pes::VIDEO, Vec::new(), form)
            }
            Codec::H265 => {
                let config = h265::Config::parse(config).ok()?;
                let form = Form::byte_stream(&H265_DELIMITER, config.parameter_sets());
                (StreamType::H265, pes::VIDEO, registration(b"HEVC"), form)
            }
            Codec::Aac => {
                let config = aac::Config::parse(config).ok()?;
                aac::adts::header(&config, 0)?;
                (StreamType::Adts, pes::AUDIO, Vec::new(), Form::Adts(config))
            }
            Codec::Mp3 => {
                let stream_type = match track.details {
                    // Lower rates came with MPEG-2.
                    Details::Audio(audio) if (1..32_000).contains(&audio.sample_rate) => {
                        StreamType::Mpeg2Audio
                    }
                    _ => StreamType::Mpeg1Audio,
                };
                (stream_type, pes::AUDIO, Vec::new(), Form::Raw)
            }
            Codec::Ac3 => (StreamType::Ac3, pes::PRIVATE, registration(b"AC-3"), Form::Raw),
            Codec::Eac3 => (StreamType::Eac3, pes::PRIVATE, registration(b"EAC3"), Form::Raw),
            Codec::Opus => {
                let mut descriptors = registration(b"Opus");
                descriptors.extend([EXTENSION, 2, OPUS_EXTENSION, opus_channels(track)]);
                (StreamType::Private, pes::PRIVATE, descriptors, Form::Opus)
            }
            _ => return None,
        };
        Some(Self { stream_type, stream_id, descriptors, form })
    }
}

impl Form {
    fn byte_stream<'a>(
        delimiter: &'static [u8],
        sets: impl Iterator<Item = &'a bytes::Bytes>,
    ) -> Self {
        let mut parameter_sets = BytesMut::new();
        nal::to_annex_b(sets.map(|set| &set[..]), &mut parameter_sets);
        Self::ByteStream { delimiter, parameter_sets }
    }

    /// Bytes that a frame takes, at most.
    pub(crate) fn bound(&self, frame: &Frame) -> usize {
        let payload = frame.data.len();
        match self {
            Self::ByteStream { delimiter, parameter_sets } => {
                delimiter.len() + parameter_sets.len() + payload
            }
            Self::Adts(_) => aac::adts::Header::LENGTH + payload,
            Self::Opus => 3 + payload / 255 + payload,
            Self::Raw => payload,
        }
    }

    /// Appends a frame's payload. Returns whether the form can say it.
    pub(crate) fn write(&self, frame: &Frame, out: &mut BytesMut) -> bool {
        match self {
            Self::ByteStream { delimiter, parameter_sets } => {
                out.put_slice(delimiter);
                if frame.is_key() {
                    out.put_slice(parameter_sets);
                }
                nal::to_annex_b(nal::iter(&frame.data, &frame.units), out);
            }
            Self::Adts(config) => {
                let Some(header) = aac::adts::header(config, frame.data.len()) else {
                    return false;
                };
                out.put_slice(&header);
                out.put_slice(&frame.data);
            }
            Self::Opus => {
                // Prefix of eleven bits, no trimming, no extension; the size in bytes of 255.
                out.put_u16(0x7FE0);
                let mut rest = frame.data.len();
                while let Some(less) = rest.checked_sub(255) {
                    out.put_u8(255);
                    rest = less;
                }
                out.put_u8(u8::try_from(rest).unwrap_or_default());
                out.put_slice(&frame.data);
            }
            Self::Raw => out.put_slice(&frame.data),
        }
        true
    }
}

fn registration(name: &[u8; 4]) -> Vec<u8> {
    let mut descriptor = vec![REGISTRATION, 4];
    descriptor.extend_from_slice(name);
    descriptor
}

/// `channel_config_code`: the number of channels, in Vorbis' order, for up to eight.
fn opus_channels(track: &Track) -> u8 {
    match opus::Head::parse(&track.config) {
        Ok(head) => head.channels.min(8),
        Err(_) => 2,
    }
}
