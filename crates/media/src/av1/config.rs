//! `AV1CodecConfigurationRecord` (AV1-ISOBMFF §2.3.3).

use bytes::{BufMut, Bytes, BytesMut};

use super::{ObuType, SequenceHeader, obus, sequence_header};
use crate::{Error, Reader, VideoDetails};

/// An `av1C`: what the sequence header says, and the header itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    profile: u8,
    level: u8,
    high_tier: bool,
    /// `high_bitdepth`, `twelve_bit`, `monochrome`, subsampling and sample position, as they lie
    /// in the third byte.
    format: u8,
    /// `initial_presentation_delay_minus_one`, if present.
    presentation_delay: Option<u8>,
    /// The sequence header OBU and perhaps metadata OBUs.
    obus: Bytes,
}

impl Config {
    /// Parses a record.
    ///
    /// # Errors
    /// [`Error`] when it is cut short or of an unknown version.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(record);
        let [version, levels, formats, delay] = r.array()?;
        if version != VERSION {
            return Err(Error::Invalid { what: "av1C marker and version", value: version.into() });
        }
        Ok(Self {
            profile: levels >> 5,
            level: levels & 0x1F,
            high_tier: formats & 0x80 != 0,
            format: formats & 0x7F,
            presentation_delay: (delay & 0x10 != 0).then_some(delay & 0x0F),
            obus: Bytes::copy_from_slice(r.rest()),
        })
    }

    /// Makes a configuration from a temporal unit that has a sequence header.
    ///
    /// # Errors
    /// [`Error`] without a valid one.
    pub fn from_frame(data: &[u8]) -> Result<Self, Error> {
        let mut out = BytesMut::new();
        for obu in obus(data) {
            let obu = obu?;
            if obu.kind == ObuType::SequenceHeader {
                let header = SequenceHeader::parse(obu.payload)?;
                obu.put(&mut out);
                return Ok(Self {
                    profile: header.profile,
                    level: header.level,
                    high_tier: header.high_tier,
                    format: u8::from(header.depth > 8) << 6
                        | u8::from(header.depth == 12) << 5
                        | u8::from(header.monochrome) << 4
                        | u8::from(header.subsampling.0) << 3
                        | u8::from(header.subsampling.1) << 2
                        | header.chroma_sample_position,
                    presentation_delay: None,
                    obus: out.freeze(),
                });
            }
        }
        Err(Error::Invalid { what: "number of sequence headers", value: 0 })
    }

    /// The sequence header OBU and what else a decoder wants first.
    #[must_use]
    pub fn obus(&self) -> &Bytes {
        &self.obus
    }

    /// Bits per sample: 8, 10 or 12.
    #[must_use]
    pub fn depth(&self) -> u8 {
        match self.format >> 5 {
            0 | 1 => 8,
            2 => 10,
            _ => 12,
        }
    }

    /// What there is to say to people; only profile and level without a sequence header.
    #[must_use]
    pub fn details(&self) -> VideoDetails {
        sequence_header(&self.obus).map_or_else(
            || VideoDetails { profile: self.profile, level: self.level, ..VideoDetails::default() },
            |header| header.details(),
        )
    }

    /// The codec string of AV1-ISOBMFF §5: `av01.0.05M.08`.
    #[must_use]
    pub fn rfc6381(&self) -> String {
        let tier = if self.high_tier { 'H' } else { 'M' };
        format!("av01.{}.{:02}{tier}.{:02}", self.profile, self.level, self.depth())
    }

    /// Serialises the record.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(4 + self.obus.len());
        out.put_u8(VERSION);
        out.put_u8(self.profile << 5 | self.level);
        out.put_u8(u8::from(self.high_tier) << 7 | self.format);
        out.put_u8(self.presentation_delay.map_or(0, |delay| 0x10 | delay));
        out.put_slice(&self.obus);
        out.freeze()
    }
}

/// Marker bit and version 1.
const VERSION: u8 = 0x81;
