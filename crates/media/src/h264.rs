//! H.264: NAL units, key frame tests, parameter sets and `AVCDecoderConfigurationRecord`
//! (ITU-T H.264 §7, ISO/IEC 14496-15 §5.3).

use std::ops::Range;

use crate::{BitReader, Error, nal};

mod config;
mod sps;

pub use config::Config;
pub use sps::{Sps, Vui};

/// `nal_unit_type` (H.264 table 7-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the standard's own
pub enum NalType {
    Slice,
    PartitionA,
    PartitionB,
    PartitionC,
    Idr,
    Sei,
    Sps,
    Pps,
    AccessUnitDelimiter,
    EndOfSequence,
    EndOfStream,
    Filler,
    SpsExtension,
    Other(u8),
}

impl NalType {
    /// The type of a NAL unit; `None` for an empty one.
    #[must_use]
    pub fn of(unit: &[u8]) -> Option<Self> {
        unit.first().map(|&header| Self::from(header))
    }

    /// Whether such units belong to the track's configuration and not to its frames.
    #[must_use]
    pub fn is_parameter_set(self) -> bool {
        matches!(self, Self::Sps | Self::Pps | Self::SpsExtension)
    }
}

/// From the first byte of a NAL unit.
impl From<u8> for NalType {
    fn from(header: u8) -> Self {
        match header & 0x1F {
            1 => Self::Slice,
            2 => Self::PartitionA,
            3 => Self::PartitionB,
            4 => Self::PartitionC,
            5 => Self::Idr,
            6 => Self::Sei,
            7 => Self::Sps,
            8 => Self::Pps,
            9 => Self::AccessUnitDelimiter,
            10 => Self::EndOfSequence,
            11 => Self::EndOfStream,
            12 => Self::Filler,
            13 => Self::SpsExtension,
            other => Self::Other(other),
        }
    }
}

/// Whether a NAL unit is a parameter set, which [`Config::merge`] takes.
#[must_use]
pub fn is_parameter_set(unit: &[u8]) -> bool {
    NalType::of(unit).is_some_and(NalType::is_parameter_set)
}

/// Whether a frame is an IDR picture: a decoder can start at it and nothing after it refers to
/// what came before.
#[must_use]
pub fn is_key(data: &[u8], units: &[Range<u32>]) -> bool {
    nal::iter(data, units).any(|unit| NalType::of(unit) == Some(NalType::Idr))
}

/// The number of frames after which pictures are correct for a decoder that starts at this frame
/// (`recovery_frame_cnt` of a recovery point SEI message, §D.2.8); `None` without one.
///
/// Zero marks the intra picture of an open GOP. Streams with intra refresh have no IDR pictures
/// at all, only recovery points with a larger count.
#[must_use]
pub fn recovery_point(data: &[u8], units: &[Range<u32>]) -> Option<u32> {
    const RECOVERY_POINT: u32 = 6;
    nal::iter(data, units).filter(|unit| NalType::of(unit) == Some(NalType::Sei)).find_map(|unit| {
        let unit = nal::unescape(unit);
        let (_, payload) =
            nal::sei_messages(unit.get(1..)?).find(|&(kind, _)| kind == RECOVERY_POINT)?;
        BitReader::new(payload).ue().ok()
    })
}

/// The id of a PPS or SPS extension, which is its first element, and so what a new one replaces.
fn set_id(unit: &[u8]) -> Result<u32, Error> {
    // A valid id has at most 17 bits; emulation prevention can't stand before its end.
    let mut r = BitReader::new(unit.get(1..).unwrap_or_default());
    match r.ue()? {
        id @ 0..=255 => Ok(id),
        id => Err(Error::Invalid { what: "pic_parameter_set_id", value: id.into() }),
    }
}
