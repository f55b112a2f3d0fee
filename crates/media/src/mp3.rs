//! MPEG audio frame headers: layers I to III of MPEG-1 (ISO/IEC 11172-3 §2.4.2.3), MPEG-2
//! (ISO/IEC 13818-3) and the unofficial MPEG-2.5.

use crate::{AudioDetails, BitReader, Error, frames};

/// What a frame header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 1, 2 or 3.
    pub layer: u8,
    /// Samples per second.
    pub sample_rate: u32,
    /// Number of channels: 1 or 2.
    pub channels: u8,
    /// Samples per channel in the frame.
    pub samples: u32,
    /// Bytes of the frame, header included; `None` in the free format, which doesn't tell.
    pub length: Option<usize>,
}

impl Header {
    /// Parses the header that `frame` begins with.
    ///
    /// # Errors
    /// [`Error`] when it is cut short, or no header.
    pub fn parse(frame: &[u8]) -> Result<Self, Error> {
        let mut r = BitReader::new(frame);
        let sync = r.bits(11)?;
        let (version, layer) = (r.u8(2)?, r.u8(2)?);
        r.flag()?; // protection_bit
        let (bitrate, rate) = (r.u8(4)?, r.u8(2)?);
        let padding = u32::from(r.flag()?);
        r.flag()?; // private_bit
        let mode = r.u8(2)?;
        let invalid = |what, value: u8| Error::Invalid { what, value: value.into() };
        if sync != 0x7FF {
            return Err(Error::Invalid { what: "MPEG audio syncword", value: sync.into() });
        }
        let shift = match version {
            0b11 => 0,
            0b10 => 1,
            0b00 => 2, // MPEG-2.5
            other => return Err(invalid("MPEG audio version", other)),
        };
        let layer = 4 - layer;
        let low = shift > 0;
        let (table, samples) = match (layer, low) {
            (1, false) => (BITRATES_I, 384),
            (1, true) => (BITRATES_LOW_I, 384),
            (2, false) => (BITRATES_II, 1152),
            (2, true) => (BITRATES_LOW, 1152),
            (3, false) => (BITRATES_III, 1152),
            (3, true) => (BITRATES_LOW, 576),
            (other, _) => return Err(invalid("layer", other)),
        };
        let sample_rate = [44_100, 48_000, 32_000]
            .get(usize::from(rate))
            .map(|rate: &u32| rate >> shift)
            .ok_or_else(|| invalid("sampling_frequency", rate))?;
        let kilobits =
            *table.get(usize::from(bitrate)).ok_or_else(|| invalid("bitrate_index", bitrate))?;
        let slot = if layer == 1 { 4 } else { 1 };
        // At most 448 000 × 144 / 8000: far from any limit.
        let slots = u32::from(kilobits) * 1000 * (samples / 8 / slot) / sample_rate + padding;
        let bytes = usize::try_from(slots * slot).ok();
        Ok(Self {
            layer,
            sample_rate,
            channels: if mode == 0b11 { 1 } else { 2 },
            samples,
            length: bytes.filter(|_| kilobits > 0),
        })
    }

    /// What there is to say to people.
    #[must_use]
    pub fn details(&self) -> AudioDetails {
        AudioDetails { sample_rate: self.sample_rate, channels: self.channels, profile: self.layer }
    }
}

/// How many samples per channel the frames in `data` have together: a message may carry several.
/// `None` if it does not begin with a frame.
#[must_use]
pub fn samples(data: &[u8]) -> Option<u32> {
    frames::sum_samples(data, |rest| {
        let header = Header::parse(rest).ok()?;
        Some((header.samples, header.length.unwrap_or(rest.len())))
    })
}

/// Bit rates in kbit/s by `bitrate_index`; 0 is the free format, 15 is forbidden.
type Bitrates = [u16; 15];
const BITRATES_I: Bitrates = [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448];
const BITRATES_II: Bitrates = [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
const BITRATES_III: Bitrates = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const BITRATES_LOW_I: Bitrates =
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256];
const BITRATES_LOW: Bitrates = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_of_every_version_and_layer() {
        for (bytes, layer, sample_rate, channels, samples, length) in [
            ([0xFF, 0xFB, 0x90, 0x64], 3, 44_100, 2, 1152, Some(417)),
            ([0xFF, 0xFB, 0x92, 0x64], 3, 44_100, 2, 1152, Some(418)),
            ([0xFF, 0xFB, 0x94, 0xC4], 3, 48_000, 1, 1152, Some(384)),
            ([0xFF, 0xF3, 0x40, 0xC4], 3, 22_050, 1, 576, Some(104)),
            ([0xFF, 0xE3, 0x18, 0xC4], 3, 8_000, 1, 576, Some(72)),
            ([0xFF, 0xFD, 0x84, 0x00], 2, 48_000, 2, 1152, Some(384)),
            ([0xFF, 0xFF, 0x46, 0x00], 1, 48_000, 2, 384, Some(132)),
            ([0xFF, 0xFB, 0x00, 0x00], 3, 44_100, 2, 1152, None),
        ] {
            let expected = Header { layer, sample_rate, channels, samples, length };
            assert_eq!(Header::parse(&bytes), Ok(expected), "{bytes:x?}");
        }
    }

    #[test]
    fn other_data_is_refused() {
        for bytes in [
            [0xFF, 0x1B, 0x90, 0x64],
            [0xFF, 0xEB, 0x90, 0x64], // reserved version
            [0xFF, 0xF9, 0x90, 0x64], // layer 0: ADTS
            [0xFF, 0xFB, 0xF0, 0x64], // bit rate 15
            [0xFF, 0xFB, 0x9C, 0x64], // sampling frequency 3
        ] {
            assert!(Header::parse(&bytes).is_err(), "{bytes:x?}");
        }
        assert!(Header::parse(&[0xFF, 0xFB]).is_err());
    }

    #[test]
    fn a_message_may_carry_several_frames() {
        let mut data = vec![0; 417 + 418 + 417];
        data[..4].copy_from_slice(&[0xFF, 0xFB, 0x90, 0x64]);
        data[417..421].copy_from_slice(&[0xFF, 0xFB, 0x92, 0x64]);
        data[835..839].copy_from_slice(&[0xFF, 0xFB, 0x90, 0x64]);
        assert_eq!(samples(&data), Some(3 * 1152));
        assert_eq!(samples(&data[..900]), Some(3 * 1152), "the last one is cut short");
        assert_eq!(samples(&data[1..]), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(data: Vec<u8>) {
            let data = [&[0xFF, 0xFB][..], &data].concat();
            let _ = samples(&data);
        }
    }
}
