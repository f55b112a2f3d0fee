//! H.265: NAL units, key frame test, parameter sets and `HEVCDecoderConfigurationRecord`
//! (ITU-T H.265 §7, ISO/IEC 14496-15 §8.3).

use std::ops::Range;

use crate::nal;

mod config;
mod profile;
mod sps;

pub use config::Config;
pub use profile::ProfileTierLevel;
pub use sps::Sps;

/// `nal_unit_type` (H.265 table 7-1), without the names of single slice types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the standard's own
pub enum NalType {
    /// A slice segment of a picture that refers to others (0 to 15).
    Slice(u8),
    /// A slice segment of an intra random access point picture (16 to 23).
    Irap(u8),
    Vps,
    Sps,
    Pps,
    AccessUnitDelimiter,
    EndOfSequence,
    EndOfBitstream,
    Filler,
    PrefixSei,
    SuffixSei,
    Other(u8),
}

impl NalType {
    /// The type of a NAL unit; `None` for one without a whole header.
    #[must_use]
    pub fn of(unit: &[u8]) -> Option<Self> {
        match unit {
            [header, _, ..] => Some(Self::from(*header)),
            _ => None,
        }
    }

    /// Whether such units belong to the track's configuration and not to its frames.
    #[must_use]
    pub fn is_parameter_set(self) -> bool {
        matches!(self, Self::Vps | Self::Sps | Self::Pps)
    }
}

/// From the first byte of a NAL unit.
impl From<u8> for NalType {
    fn from(header: u8) -> Self {
        match header >> 1 & 0x3F {
            slice @ 0..=15 => Self::Slice(slice),
            irap @ 16..=23 => Self::Irap(irap),
            32 => Self::Vps,
            33 => Self::Sps,
            34 => Self::Pps,
            35 => Self::AccessUnitDelimiter,
            36 => Self::EndOfSequence,
            37 => Self::EndOfBitstream,
            38 => Self::Filler,
            39 => Self::PrefixSei,
            40 => Self::SuffixSei,
            other => Self::Other(other),
        }
    }
}

/// Whether a NAL unit is a parameter set of the base layer, which [`Config::merge`] takes.
///
/// Those of other layers (depth, second eye) stay in their frames.
#[must_use]
pub fn is_parameter_set(unit: &[u8]) -> bool {
    let layer = |header: u8, second: u8| (header & 1) << 5 | second >> 3;
    match unit {
        [header, second, ..] => {
            NalType::from(*header).is_parameter_set() && layer(*header, *second) == 0
        }
        _ => false,
    }
}

/// Whether a frame is an intra random access point picture: IDR, BLA or CRA. A decoder can start
/// at it; leading pictures of a CRA are skipped then, see [`is_skipped_leading`].
#[must_use]
pub fn is_key(data: &[u8], units: &[Range<u32>]) -> bool {
    nal::iter(data, units).any(|unit| matches!(NalType::of(unit), Some(NalType::Irap(_))))
}

/// Whether a frame is a RASL picture (table 7-1): one that decoders skip which start at the CRA or
/// BLA picture that it follows, since it refers to pictures before that (§8.1.3).
#[must_use]
pub fn is_skipped_leading(data: &[u8], units: &[Range<u32>]) -> bool {
    nal::iter(data, units).any(|unit| matches!(NalType::of(unit), Some(NalType::Slice(8 | 9))))
}
