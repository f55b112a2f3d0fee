//! AC-3 and E-AC-3 synchronisation frames (ETSI TS 102 366 §4.3, §4.4, §E.1.2, §E.1.3).

use crate::{AudioDetails, BitReader, Error, frames};

/// What a synchronisation frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Samples per second.
    pub sample_rate: u32,
    /// Number of channels, low frequency effects included.
    pub channels: u8,
    /// Samples per channel in the frame.
    pub samples: u32,
    /// Bytes of the frame.
    pub length: usize,
    /// Whether it adds channels or a programme to the frame before it, and no time.
    pub dependent: bool,
    /// Whether it is E-AC-3.
    pub enhanced: bool,
}

impl Header {
    /// Parses the header that `frame` begins with.
    ///
    /// # Errors
    /// [`Error`] when it is cut short, or no header.
    pub fn parse(frame: &[u8]) -> Result<Self, Error> {
        let mut r = BitReader::new(frame);
        let sync = r.bits(16)?;
        if sync != 0x0B77 {
            return Err(Error::Invalid { what: "syncword", value: sync.into() });
        }
        // `bsid` lies at the same place in both syntaxes.
        let mut peek = r;
        peek.skip(24)?;
        match peek.u8(5)? {
            bsid @ 0..=10 => Self::plain(&mut r, bsid),
            11..=16 => Self::enhanced(&mut r),
            other => Err(Error::Invalid { what: "bsid", value: other.into() }),
        }
    }

    /// What there is to say to people.
    #[must_use]
    pub fn details(&self) -> AudioDetails {
        AudioDetails { sample_rate: self.sample_rate, channels: self.channels, profile: 0 }
    }

    /// `syncinfo()` and `bsi()` of AC-3.
    fn plain(r: &mut BitReader<'_>, bsid: u8) -> Result<Self, Error> {
        r.skip(16)?; // crc1
        let fscod = r.u8(2)?;
        let rate = frequency(fscod)?;
        let size = r.u8(6)?;
        r.skip(5 + 3)?; // bsid, bsmod
        let mode = r.u8(3)?;
        if mode & 1 != 0 && mode != 1 {
            r.skip(2)?; // cmixlev
        }
        if mode & 4 != 0 {
            r.skip(2)?; // surmixlev
        }
        if mode == 2 {
            r.skip(2)?; // dsurmod
        }
        let effects = r.flag()?;
        let kilobits = BITRATES
            .get(usize::from(size / 2))
            .copied()
            .ok_or_else(|| Error::Invalid { what: "frmsizecod", value: size.into() })?;
        // In 16-bit words; those of 44.1 kHz are rounded, and alternate (table 4.13).
        let words = match fscod {
            0 => kilobits * 2,
            1 => kilobits * 320 / 147 + usize::from(size & 1),
            _ => kilobits * 3,
        };
        Ok(Self {
            // Versions 9 and 10 have halved and quartered rates.
            sample_rate: rate >> bsid.saturating_sub(8),
            channels: channels(mode, effects),
            samples: 6 * BLOCK,
            length: words * 2,
            dependent: false,
            enhanced: false,
        })
    }

    /// `bsi()` of E-AC-3.
    fn enhanced(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let (kind, substream) = (r.u8(2)?, r.u8(3)?);
        let words = usize::from(r.u16(11)?) + 1;
        let (sample_rate, blocks) = match r.u8(2)? {
            3 => (frequency(r.u8(2)?)? / 2, 6),
            code => {
                (frequency(code)?, [1, 2, 3, 6].get(usize::from(r.u8(2)?)).copied().unwrap_or(6))
            }
        };
        let mode = r.u8(3)?;
        let effects = r.flag()?;
        Ok(Self {
            sample_rate,
            channels: channels(mode, effects),
            samples: blocks * BLOCK,
            length: words * 2,
            dependent: kind == 1 || substream > 0,
            enhanced: true,
        })
    }
}

/// How many samples per channel the frames in `data` have together; `None` if it does not begin
/// with a frame.
#[must_use]
pub fn samples(data: &[u8]) -> Option<u32> {
    frames::sum_samples(data, |rest| {
        let header = Header::parse(rest).ok()?;
        Some((if header.dependent { 0 } else { header.samples }, header.length))
    })
}

/// Samples of one audio block.
const BLOCK: u32 = 256;

/// Bit rates in kbit/s by half of `frmsizecod` (table 4.13).
const BITRATES: [usize; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];

/// `fscod` (table 4.1).
fn frequency(code: u8) -> Result<u32, Error> {
    let rates = [48_000, 44_100, 32_000];
    let rate = rates.get(usize::from(code)).copied();
    rate.ok_or_else(|| Error::Invalid { what: "fscod", value: code.into() })
}

/// `acmod` (table 4.3) and `lfeon`.
fn channels(mode: u8, effects: bool) -> u8 {
    let full = [2, 1, 2, 3, 3, 4, 4].get(usize::from(mode)).copied().unwrap_or(5);
    full + u8::from(effects)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_of_ffmpeg() {
        let stereo = [0x0B, 0x77, 0x5B, 0x8A, 0x14, 0x40, 0x43, 0xE1];
        let header = Header::parse(&stereo).unwrap();
        assert_eq!((header.sample_rate, header.channels, header.samples), (48_000, 2, 1536));
        assert_eq!((header.length, header.enhanced), (768, false));
        // 5.1 at 44.1 kHz and 448 kbit/s.
        let surround = [0x0B, 0x77, 0, 0, 0x5E, 0x40, 0xE1, 0xF8];
        let header = Header::parse(&surround).unwrap();
        assert_eq!((header.sample_rate, header.channels, header.length), (44_100, 6, 1950));
    }

    #[test]
    fn enhanced_frames() {
        let stereo = [0x0B, 0x77, 0x01, 0x7F, 0x34, 0x86, 0xFF, 0xE1];
        let header = Header::parse(&stereo).unwrap();
        let expected = Header {
            sample_rate: 48_000,
            channels: 2,
            samples: 1536,
            length: 768,
            dependent: false,
            enhanced: true,
        };
        assert_eq!(header, expected);
        let mut data = vec![0; 768 * 2];
        data[..8].copy_from_slice(&stereo);
        data[768..776].copy_from_slice(&stereo);
        assert_eq!(samples(&data), Some(3072));
        data[770] = 0x41; // a dependent substream adds no time
        assert_eq!(samples(&data), Some(1536));
    }

    #[test]
    fn other_data_is_refused() {
        assert!(Header::parse(&[0x0B, 0x77]).is_err());
        assert!(Header::parse(&[0x77, 0x0B, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(Header::parse(&[0x0B, 0x77, 0, 0, 0xC0, 0x40, 0, 0]).is_err(), "rate 3");
        assert!(Header::parse(&[0x0B, 0x77, 0, 0, 0x3F, 0x40, 0, 0]).is_err(), "size 63");
        assert!(Header::parse(&[0x0B, 0x77, 0, 0, 0, 0xF8, 0, 0]).is_err(), "version 31");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(data: Vec<u8>) {
            let _ = samples(&[&[0x0B, 0x77][..], &data].concat());
        }
    }
}
