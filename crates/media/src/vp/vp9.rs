//! VP9 uncompressed frame headers (VP9 bitstream §6.2).

use super::Config;
use crate::{BitReader, Error};

/// What the beginning of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The profile: 0 to 3.
    pub profile: u8,
    /// What only a key frame says.
    pub key: Option<Key>,
}

/// Sample format and size of a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Bits per sample: 8, 10 or 12.
    pub depth: u8,
    /// `color_space`: 2 is BT.709, 7 is RGB.
    pub colour_space: u8,
    /// Whether samples use the full range of values.
    pub full_range: bool,
    /// `subsampling_x`, `subsampling_y`.
    pub subsampling: (bool, bool),
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Header {
    /// Parses the header that `frame` begins with.
    ///
    /// # Errors
    /// [`Error`] when it is cut short, or no VP9 frame.
    pub fn parse(frame: &[u8]) -> Result<Self, Error> {
        const FRAME_MARKER: u8 = 2;
        let mut r = BitReader::new(frame);
        let marker = r.u8(2)?;
        if marker != FRAME_MARKER {
            return Err(Error::Invalid { what: "frame_marker", value: marker.into() });
        }
        let (low, high) = (r.u8(1)?, r.u8(1)?);
        let profile = high << 1 | low;
        if profile == 3 {
            r.flag()?; // reserved_zero
        }
        if r.flag()? {
            return Ok(Self { profile, key: None }); // show_existing_frame
        }
        let inter = r.flag()?;
        r.skip(2)?; // show_frame, error_resilient_mode
        let key = if inter { None } else { Some(Key::parse(&mut r, profile)?) };
        Ok(Self { profile, key })
    }

    /// Whether it is a key frame.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.key.is_some()
    }

    /// The configuration record of a stream that begins with this frame; `None` unless it is a
    /// key frame. The level is the lowest that has pictures of this size, at some 30 a second.
    #[must_use]
    pub fn config(&self) -> Option<Config> {
        let key = self.key?;
        // Matrix coefficients and their like by `color_space`; 2 is "unspecified".
        let colour = match key.colour_space {
            1 => [6, 6, 6],
            2 => [1, 1, 1],
            4 => [7, 7, 7],
            5 => [9, 14, 9],
            7 => [1, 13, 0],
            _ => [2, 2, 2],
        };
        let chroma_subsampling = match key.subsampling {
            (true, true) => 1,
            (true, false) => 2,
            _ => 3,
        };
        Some(Config {
            profile: self.profile,
            level: level(key.width, key.height),
            depth: key.depth,
            chroma_subsampling,
            full_range: key.full_range,
            colour,
        })
    }
}

impl Key {
    /// From the sync code to the frame size.
    fn parse(r: &mut BitReader<'_>, profile: u8) -> Result<Self, Error> {
        const SYNC_CODE: u32 = 0x49_83_42;
        const RGB: u8 = 7;
        let code = r.bits(24)?;
        if code != SYNC_CODE {
            return Err(Error::Invalid { what: "frame_sync_code", value: code.into() });
        }
        let depth = match profile {
            0 | 1 => 8,
            _ if r.flag()? => 12,
            _ => 10,
        };
        let colour_space = r.u8(3)?;
        let free = profile & 1 == 1;
        let (mut full_range, mut subsampling) = (true, (false, false));
        if colour_space == RGB {
            if free {
                r.flag()?; // reserved_zero
            }
        } else {
            full_range = r.flag()?;
            subsampling = (true, true);
            if free {
                subsampling = (r.flag()?, r.flag()?);
                r.flag()?; // reserved_zero
            }
        }
        let (width, height) = (r.bits(16)? + 1, r.bits(16)? + 1);
        Ok(Self { depth, colour_space, full_range, subsampling, width, height })
    }
}

/// The lowest level for pictures of this size, times ten (VP9 bitstream specification, annex A).
fn level(width: u32, height: u32) -> u8 {
    const SIZES: [(u64, u8); 9] = [
        (36_864, 10),
        (73_728, 11),
        (122_880, 20),
        (245_760, 21),
        (552_960, 30),
        (983_040, 31),
        (2_228_224, 40),
        (8_912_896, 50),
        (35_651_584, 60),
    ];
    let size = u64::from(width) * u64::from(height);
    SIZES.iter().find(|(most, _)| size <= *most).map_or(62, |(_, level)| *level)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn key_frames_have_size_and_format() {
        // Profile 0, 640 × 360, BT.601 limited range.
        let frame = [0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xF0, 0x16, 0x70];
        let header = Header::parse(&frame).unwrap();
        let key = header.key.unwrap();
        assert_eq!((header.profile, key.width, key.height, key.depth), (0, 640, 360, 8));
        assert_eq!((key.subsampling, key.full_range), ((true, true), false));
        let config = header.config().unwrap();
        assert_eq!((config.colour, config.rfc6381("vp09").as_str()), ([6, 6, 6], "vp09.00.21.08"));
        for length in 0..frame.len() {
            assert!(Header::parse(&frame[..length]).is_err());
        }
    }

    #[test]
    fn other_frames_are_no_key_frames() {
        assert!(!Header::parse(&[0x86, 0]).unwrap().is_key());
        assert!(!Header::parse(&[0x88, 0]).unwrap().is_key(), "an old frame is shown");
        assert!(Header::parse(&[0x42, 0]).is_err());
        assert!(Header::parse(&[0x82, 0x49, 0x83, 0x43, 0x20, 0x27, 0xF0, 0x16, 0x70]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(data: Vec<u8>) {
            let _ = Header::parse(&[&[0x82, 0x49, 0x83, 0x42][..], &data].concat());
            let _ = Header::parse(&data);
        }
    }
}
