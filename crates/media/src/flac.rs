//! FLAC: `STREAMINFO` and the block size of frames (RFC 9639 §8.2, §9.1).
//!
//! The configuration may begin with the `fLaC` marker, with the version of a `dfLa` box, with a
//! metadata block header, or with `STREAMINFO` itself: there are publishers of each kind.

use crate::{AudioDetails, BitReader, Error};

/// Contents of `STREAMINFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Samples per second.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u8,
    /// Bits per sample.
    pub depth: u8,
    /// Samples per channel in the longest frame.
    pub max_block_size: u16,
}

impl StreamInfo {
    /// Parses the configuration.
    ///
    /// # Errors
    /// [`Error`] when it is cut short, or has no sample rate.
    pub fn parse(config: &[u8]) -> Result<Self, Error> {
        let body = config.strip_prefix(b"fLaC").unwrap_or(config);
        let body = match body {
            [0, 0, 0, 0, rest @ ..] => rest,
            _ => body,
        };
        // Type 0 and its fixed length; bit 7 marks the last block.
        let body = match body {
            [0 | 0x80, 0, 0, 34, rest @ ..] => rest,
            _ => body,
        };
        let mut r = BitReader::new(body);
        r.skip(16)?; // minimum block size
        let max_block_size = r.u16(16)?;
        r.skip(24 + 24)?; // frame sizes
        let sample_rate = r.bits(20)?;
        let (channels, depth) = (r.u8(3)? + 1, r.u8(5)? + 1);
        if sample_rate == 0 {
            return Err(Error::Invalid { what: "STREAMINFO sample rate", value: 0 });
        }
        Ok(Self { sample_rate, channels, depth, max_block_size })
    }

    /// What there is to say to people.
    #[must_use]
    pub fn details(&self) -> AudioDetails {
        AudioDetails { sample_rate: self.sample_rate, channels: self.channels, profile: 0 }
    }
}

/// How many samples per channel a frame has; `None` if it is none.
#[must_use]
pub fn samples(frame: &[u8]) -> Option<u32> {
    let mut r = BitReader::new(frame);
    if r.bits(15).ok()? != 0x7FFC {
        return None;
    }
    r.flag().ok()?; // blocking strategy
    let code = r.u8(4).ok()?;
    r.skip(4 + 4 + 3 + 1).ok()?; // sample rate, channels, bit depth
    // The frame or sample number, coded as UTF-8 codes characters.
    let length = r.u8(8).ok()?.leading_ones();
    r.skip(8 * usize::try_from(length.saturating_sub(1)).ok()?).ok()?;
    match code {
        1 => Some(192),
        2..=5 => Some(576 << (code - 2)),
        6 => Some(r.bits(8).ok()? + 1),
        7 => Some(r.bits(16).ok()? + 1),
        8.. => Some(256 << (code - 8)),
        0 => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 48 kHz, stereo, 16 bits, blocks of 4608 samples.
    const BODY: [u8; 18] = [0x12, 0, 0x12, 0, 0, 0, 0, 0, 0, 0, 0x0B, 0xB8, 2, 0xF0, 0, 0, 0, 0];

    #[test]
    fn every_beginning_leads_to_the_same() {
        let expected =
            StreamInfo { sample_rate: 48_000, channels: 2, depth: 16, max_block_size: 4608 };
        for prefix in [
            &b""[..],
            b"\x80\0\0\x22",
            b"fLaC\0\0\0\x22",
            b"fLaC\x80\0\0\x22",
            b"\0\0\0\0\x80\0\0\x22",
        ] {
            let config = [prefix, &BODY, &[0; 16]].concat();
            assert_eq!(StreamInfo::parse(&config), Ok(expected), "{prefix:?}");
        }
        assert!(StreamInfo::parse(&BODY[..10]).is_err());
        assert!(StreamInfo::parse(&[0; 34]).is_err());
    }

    #[test]
    fn block_sizes() {
        for (frame, expected) in [
            (&[0xFF, 0xF8, 0x5A, 0x18, 0][..], Some(4608)),
            (&[0xFF, 0xF8, 0xC9, 0x18, 0], Some(4096)),
            (&[0xFF, 0xF8, 0x6A, 0x18, 0, 99], Some(100)),
            (&[0xFF, 0xF8, 0x7A, 0x18, 0xC2, 0x80, 3, 0xE7], Some(1000)),
            (&[0xFF, 0xF9, 0x1A, 0x18, 0], Some(192)),
            (&[0xFF, 0xF8, 0x0A, 0x18, 0], None),
            (&[0xFF, 0xF8, 0x7A, 0x18, 0xC2, 0x80, 3], None),
            (&[0xFF, 0xF0, 0x5A, 0x18, 0], None),
        ] {
            assert_eq!(samples(frame), expected, "{frame:x?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(data: Vec<u8>) {
            let _ = StreamInfo::parse(&data);
            let _ = samples(&[&[0xFF, 0xF8][..], &data].concat());
        }
    }
}
