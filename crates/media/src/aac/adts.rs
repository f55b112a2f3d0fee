//! ADTS: AAC frames that each carry their configuration (ISO/IEC 14496-3 §1.A.2.2).
//!
//! MPEG-TS has AAC like this, and some publishers send it where raw frames belong.

use super::{Config, FREQUENCIES};
use crate::{BitReader, Error};

/// The header of an ADTS frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `audioObjectType`: 1 to 4.
    pub object_type: u8,
    /// Samples per second.
    pub sample_rate: u32,
    /// `channel_configuration`: 0 to 7.
    pub channel_configuration: u8,
    /// Bytes of the frame, header included.
    pub frame_length: usize,
    /// Bytes of the header: 7, or 9 and more with a checksum.
    pub header_length: usize,
    /// Raw data blocks in the frame; nearly always one.
    pub blocks: u8,
}

impl Header {
    /// Bytes of a header without checksum, and enough to parse one.
    pub const LENGTH: usize = 7;

    /// Parses the header that `data` begins with.
    ///
    /// # Errors
    /// [`Error`] when it is cut short, or no ADTS header.
    pub fn parse(data: &[u8]) -> Result<Self, Error> {
        let mut r = BitReader::new(data);
        let sync = r.bits(12)?;
        r.flag()?; // ID: MPEG-2 or MPEG-4, which makes no difference here
        let layer = r.bits(2)?;
        if sync != 0xFFF || layer != 0 {
            return Err(Error::Invalid {
                what: "ADTS syncword",
                value: (sync << 2 | layer).into(),
            });
        }
        let checksum = !r.flag()?;
        let object_type = r.u8(2)? + 1;
        let index = r.u8(4)?;
        r.flag()?; // private_bit
        let channel_configuration = r.u8(3)?;
        r.skip(4)?; // original_copy, home, copyright
        let frame_length = usize::from(r.u16(13)?);
        r.skip(11)?; // adts_buffer_fullness
        let blocks = r.u8(2)? + 1;
        let sample_rate = FREQUENCIES.get(usize::from(index)).copied().ok_or_else(|| {
            Error::Invalid { what: "sampling_frequency_index", value: index.into() }
        })?;
        // With a checksum, the positions of all blocks but the first come before it.
        let header_length = Self::LENGTH + if checksum { 2 * usize::from(blocks) } else { 0 };
        if frame_length < header_length {
            return Err(Error::Invalid { what: "aac_frame_length", value: frame_length as u64 });
        }
        Ok(Self {
            object_type,
            sample_rate,
            channel_configuration,
            frame_length,
            header_length,
            blocks,
        })
    }

    /// The configuration that belongs to the raw frames.
    #[must_use]
    pub fn config(&self) -> Config {
        let number = usize::from(self.channel_configuration);
        Config {
            object_type: self.object_type,
            sample_rate: self.sample_rate,
            channel_configuration: self.channel_configuration,
            channels: super::CHANNELS.get(number).copied().unwrap_or(0),
            frame_length: super::frame_length(self.object_type, false),
            extension: None,
        }
    }

    /// The raw frame in `data`, which begins with this header; `None` if it is cut short.
    #[must_use]
    pub fn payload<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        data.get(self.header_length..self.frame_length)
    }
}

/// The header for a raw frame of `payload` bytes; `None` if ADTS can't tell the configuration or
/// the length. HE-AAC is announced by its core alone, as everybody does.
#[must_use]
pub fn header(config: &Config, payload: usize) -> Option<[u8; Header::LENGTH]> {
    let profile = config.object_type.checked_sub(1).filter(|&profile| profile < 4)?;
    let mut frequencies = (0u8..).zip(FREQUENCIES);
    let (index, _) = frequencies.find(|&(_, frequency)| frequency == config.sample_rate)?;
    let channels = config.channel_configuration;
    let length = u16::try_from(payload + Header::LENGTH).ok().filter(|&length| length < 1 << 13)?;
    if !(1..8).contains(&channels) {
        return None;
    }
    // The 13 bits of the length lie in three bytes, the variable-rate fullness around them.
    let [top, middle, bottom, _] = (u32::from(length) << 13).to_be_bytes();
    Some([
        0xFF,
        0xF1, // MPEG-4, no checksum
        profile << 6 | index << 2 | channels >> 2,
        channels << 6 | top,
        middle,
        bottom | 0x1F,
        0xFC,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ffmpeg writes it: AAC-LC, 44.1 kHz, stereo, 371 bytes.
    const FFMPEG: [u8; 7] = [0xFF, 0xF1, 0x50, 0x80, 0x2E, 0x7F, 0xFC];

    #[test]
    fn a_header_of_ffmpeg() {
        let header = Header::parse(&FFMPEG).unwrap();
        assert_eq!((header.frame_length, header.header_length, header.blocks), (371, 7, 1));
        let config = header.config();
        assert_eq!(Some(config), Config::new(2, 44_100, 2));
        assert_eq!(super::header(&config, 364), Some(FFMPEG));
    }

    #[test]
    fn lengths_and_layouts_have_limits() {
        let config = Config::new(2, 48_000, 8).unwrap();
        assert_eq!(config.channel_configuration, 7);
        let longest = header(&config, 8184).unwrap();
        assert_eq!(Header::parse(&longest).unwrap().frame_length, 8191);
        assert_eq!(header(&config, 8185), None);
        assert_eq!(header(&Config::new(2, 47_999, 2).unwrap(), 1), None);
        assert_eq!(header(&Config { channel_configuration: 0, ..config }, 1), None);
    }

    #[test]
    fn other_data_is_refused() {
        assert!(Header::parse(&FFMPEG[..6]).is_err());
        assert!(Header::parse(&[0xFF, 0xFB, 0x90, 0x64, 0, 0, 0]).is_err(), "MP3");
        assert!(Header::parse(&[0xFF, 0xF1, 0x50, 0x80, 0, 0x3F, 0xFC]).is_err(), "too short");
        assert!(Header::parse(&[0xFF, 0xF1, 0x7C, 0x80, 0x2E, 0x7F, 0xFC]).is_err(), "rate 15");
        // A checksum makes the header longer.
        let header = Header::parse(&[0xFF, 0xF0, 0x50, 0x80, 0x2E, 0x7F, 0xFD]).unwrap();
        assert_eq!((header.header_length, header.blocks), (11, 2));
        assert_eq!(header.payload(&[0; 370]), None);
        assert_eq!(header.payload(&[0; 400]).map(<[u8]>::len), Some(360));
    }
}
