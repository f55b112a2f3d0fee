//! Sample entries: what a player must know of a track's codec.

use bytes::{BufMut, Bytes, BytesMut};
use media::{AudioDetails, Codec, Details, Track, VideoDetails, h264, h265, opus, vp};

use crate::boxes::{boxed, full};

/// `objectTypeIndication` (ISO/IEC 14496-1 §7.2.6.6).
pub(crate) const OTI_AAC: u8 = 0x40;
pub(crate) const OTI_MPEG2_AUDIO: u8 = 0x69;
pub(crate) const OTI_MPEG1_AUDIO: u8 = 0x6B;

/// Whether fragmented MP4 carries the track: its codec has a mapping, and its configuration is
/// there and can be read.
#[must_use]
pub fn carries(track: &Track) -> bool {
    SampleEntry::of(track).is_some()
}

/// A sample entry, written once and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SampleEntry {
    /// The whole box.
    pub(crate) bytes: Bytes,
    /// Width and height in pixels; zero for sound.
    pub(crate) size: (u16, u16),
}

impl SampleEntry {
    pub(crate) fn of(track: &Track) -> Option<Self> {
        match &track.details {
            Details::Audio(audio) => Self::of_sound(track, audio),
            Details::Video(video) => Self::of_picture(track, video),
            Details::Unknown => None,
        }
    }

    fn of_picture(track: &Track, details: &VideoDetails) -> Option<Self> {
        let (name, record, config) = match track.codec {
            Codec::H264 => {
                let config = h264::Config::parse(&track.config).ok()?.canonical();
                (*b"avc1", *b"avcC", config.to_bytes())
            }
            Codec::H265 => {
                // `hvc1` promises that all parameter sets are here and none in the samples.
                let config = h265::Config::parse(&track.config).ok()?.canonical();
                (*b"hvc1", *b"hvcC", config.to_bytes())
            }
            Codec::Av1 if !track.config.is_empty() => (*b"av01", *b"av1C", track.config.clone()),
            Codec::Vp9 | Codec::Vp8 => {
                // Publishers differ in whether they send the version of the box.
                let config = vp::Config::parse(&track.config).ok()?;
                let name = if track.codec == Codec::Vp9 { *b"vp09" } else { *b"vp08" };
                (name, *b"vpcC", config.to_bytes())
            }
            _ => return None,
        };
        let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
        let size = (side(details.width), side(details.height));
        let mut out = BytesMut::new();
        boxed(&mut out, name, |out| {
            put_entry_head(out);
            out.put_bytes(0, 16);
            out.put_u16(size.0);
            out.put_u16(size.1);
            // 72 dpi, both ways.
            out.put_u32(0x0048_0000);
            out.put_u32(0x0048_0000);
            out.put_u32(0);
            // Pictures of a sample, name of the compressor, depth, no colour table.
            out.put_u16(1);
            out.put_bytes(0, 32);
            out.put_u16(24);
            out.put_i16(-1);
            boxed(out, record, |out| out.put_slice(&config));
        });
        Some(Self { bytes: out.freeze(), size })
    }

    fn of_sound(track: &Track, details: &AudioDetails) -> Option<Self> {
        let name = match track.codec {
            Codec::Aac | Codec::Mp3 => *b"mp4a",
            Codec::Opus => *b"Opus",
            Codec::Flac => *b"fLaC",
            _ => return None,
        };
        if track.codec == Codec::Aac && track.config.is_empty() {
            return None;
        }
        let mut out = BytesMut::new();
        boxed(&mut out, name, |out| {
            put_entry_head(out);
            out.put_bytes(0, 8);
            out.put_u16(details.channels.max(1).into());
            // Bits of a sample, by template.
            out.put_u16(16);
            out.put_u32(0);
            // 16.16: what does not fit is in the codec's own configuration.
            out.put_u16(u16::try_from(track.time_base.rate()).unwrap_or_default());
            out.put_u16(0);
            match track.codec {
                Codec::Aac => put_esds(out, OTI_AAC, &track.config),
                Codec::Mp3 if details.sample_rate < 32_000 => put_esds(out, OTI_MPEG2_AUDIO, &[]),
                Codec::Mp3 => put_esds(out, OTI_MPEG1_AUDIO, &[]),
                Codec::Flac => put_dfla(out, &track.config),
                _ => put_dops(out, &opus_head(track, details)),
            }
        });
        Some(Self { bytes: out.freeze(), size: (0, 0) })
    }
}

/// Reserved bytes, and the number of the data reference.
fn put_entry_head(out: &mut BytesMut) {
    out.put_bytes(0, 6);
    out.put_u16(1);
}

/// `ESDBox` (ISO/IEC 14496-14 §6.7.2) with the descriptors of ISO/IEC 14496-1 §7.2.6.
fn put_esds(out: &mut BytesMut, object_type: u8, specific: &[u8]) {
    // Longer ones than a byte can tell do not exist; what does not fit would be damage.
    let specific = specific.get(..specific.len().min(64)).unwrap_or_default();
    let len = |bytes: usize| u8::try_from(bytes).unwrap_or(u8::MAX);
    let info = if specific.is_empty() { 0 } else { 2 + specific.len() };
    full(out, *b"esds", 0, 0, |out| {
        // ES_Descriptor: no number, no flags.
        out.put_slice(&[0x03, len(3 + 2 + 13 + info + 3), 0, 0, 0]);
        // DecoderConfigDescriptor: an audio stream, nothing promised of buffers and rates.
        out.put_slice(&[0x04, len(13 + info), object_type, 0x15]);
        out.put_bytes(0, 11);
        if !specific.is_empty() {
            out.put_slice(&[0x05, len(specific.len())]);
            out.put_slice(specific);
        }
        // SLConfigDescriptor: that of MP4.
        out.put_slice(&[0x06, 1, 2]);
    });
}

fn opus_head(track: &Track, details: &AudioDetails) -> opus::Head {
    opus::Head::parse(&track.config).unwrap_or_else(|_| opus::Head::new(details.channels.max(1)))
}

/// `OpusSpecificBox` (Encapsulation of Opus in ISO BMFF §4.3.2): `OpusHead`, but big-endian.
fn put_dops(out: &mut BytesMut, head: &opus::Head) {
    boxed(out, *b"dOps", |out| {
        out.put_u8(0);
        out.put_u8(head.channels);
        out.put_u16(head.pre_skip);
        out.put_u32(head.input_sample_rate);
        out.put_i16(head.output_gain);
        match &head.mapping {
            None => out.put_u8(0),
            Some(mapping) => {
                out.put_slice(&[mapping.family, mapping.streams, mapping.coupled]);
                out.put_slice(&mapping.table);
            }
        }
    });
}

/// `FLACSpecificBox` (Encapsulation of FLAC in ISO BMFF §3.3.2) of a bare `STREAMINFO`, or of
/// metadata blocks as they are.
fn put_dfla(out: &mut BytesMut, config: &[u8]) {
    const STREAMINFO: usize = 34;
    let blocks = config.strip_prefix(b"fLaC").unwrap_or(config);
    full(out, *b"dfLa", 0, 0, |out| {
        if blocks.len() == STREAMINFO {
            // The last block, of type 0, of 34 bytes.
            out.put_u32(0x8000_0022);
        }
        out.put_slice(blocks);
    });
}
