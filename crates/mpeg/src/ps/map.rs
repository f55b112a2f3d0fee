//! The program stream map (ISO/IEC 13818-1 §2.5.4), and what its numbers mean to devices.
//!
//! The checksum and `current_next_indicator` are not looked at, and the lengths not believed where
//! they reach too far: many devices write the same bytes whatever the streams are. Entries that are
//! all zeros take the place of a stream that was switched off.

use media::{Codec, Reader};

use super::packet;

/// Streams of one map: pictures and sound have 48 numbers together.
const MAX_ENTRIES: usize = 48;

/// How an elementary stream is coded, as the map has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stream_id: u8,
    pub(super) stream_type: u8,
}

impl Entry {
    /// Whether the stream is of a codec that is not read. What a number without a meaning says of
    /// pictures is not believed: their parameter sets tell.
    pub(super) fn is_left_out(&self) -> bool {
        if packet::is_video(self.stream_id) {
            name(self.stream_type).is_some()
        } else {
            packet::is_audio(self.stream_id) && codec(self.stream_type).is_none()
        }
    }
}

/// Reads what follows the length of a map; `None` if it is cut short.
pub(super) fn read(body: &[u8]) -> Option<Vec<Entry>> {
    let mut r = Reader::new(body);
    r.u16().ok()?;
    let info = r.u16().ok()?;
    r.take(info.into()).ok()?;
    let length = usize::from(r.u16().ok()?);
    let mut streams = Reader::new(r.rest().get(..length).unwrap_or_else(|| r.rest()));
    let mut entries = Vec::new();
    while streams.remaining() >= 4 && entries.len() < MAX_ENTRIES {
        let (stream_type, stream_id) = (streams.u8().ok()?, streams.u8().ok()?);
        let descriptors = usize::from(streams.u16().ok()?);
        if stream_id != 0 {
            entries.push(Entry { stream_id, stream_type });
        }
        if streams.take(descriptors).is_err() {
            break;
        }
    }
    Some(entries)
}

/// The codec that a number stands for, if it is one that is read. 0x90 and 0x91 are GB/T 28181's.
pub(super) fn codec(stream_type: u8) -> Option<Codec> {
    Some(match stream_type {
        0x03 | 0x04 => Codec::Mp3,
        0x0F => Codec::Aac,
        0x1B => Codec::H264,
        0x24 => Codec::H265,
        0x90 => Codec::PcmA,
        0x91 => Codec::PcmU,
        _ => return None,
    })
}

/// The name of a codec that is not read.
pub(super) fn name(stream_type: u8) -> Option<&'static str> {
    Some(match stream_type {
        0x01 => "MPEG-1 video",
        0x02 => "MPEG-2 video",
        0x10 => "MPEG-4 part 2",
        0x11 => "AAC in LATM",
        0x33 => "H.266",
        0x80 => "SVAC video",
        0x92 => "G.722.1",
        0x93 => "G.723.1",
        0x99 => "G.729",
        0x9B => "SVAC audio",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stream_id: u8, stream_type: u8) -> Entry {
        Entry { stream_id, stream_type }
    }

    #[test]
    fn a_map_with_descriptors_no_checksum_and_an_empty_entry() {
        let body = [
            0xE1, 0xFF, 0, 0, 0, 20, // version, no program descriptors
            0x1B, 0xE0, 0, 12, 42, 10, 0x7F, 0xFF, 0, 0, 7, 8, 0x1F, 0xFE, 0xA0, 0x5A, //
            0, 0, 0, 0, // what was sound once
            0, 0, 0, 0,
        ];
        assert_eq!(read(&body), Some(vec![entry(0xE0, 0x1B)]));
    }

    #[test]
    fn lengths_that_reach_too_far_are_not_believed() {
        let body = [0xE1, 0xFF, 0, 2, 0x40, 0, 0, 200, 0x24, 0xE0, 0, 0, 0x90, 0xC0, 0, 9];
        assert_eq!(read(&body), Some(vec![entry(0xE0, 0x24), entry(0xC0, 0x90)]));
        for length in 0..8 {
            assert_eq!(read(&body[..length]), None);
        }
        assert_eq!(read(&[0xE1, 0xFF, 0, 9, 1, 2]), None);
    }
}
