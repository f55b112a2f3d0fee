//! `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §8.3.3.1).
//!
//! Accepted beyond the text: version 0 (drafts of the standard), records that end
//! inside an array, three-byte lengths, and parameter sets as a byte stream in place of a record.

use bytes::{BufMut, Bytes, BytesMut};

use super::sps::vps_millihertz;
use super::{NalType, ProfileTierLevel, Sps};
use crate::{BitReader, Error, Reader, VideoDetails, nal};

/// An `hvcC`: the parameter sets of a track and the size of its NAL unit lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    profile: ProfileTierLevel,
    min_spatial_segmentation: u16,
    parallelism: u8,
    chroma_format: u8,
    luma_depth_minus8: u8,
    chroma_depth_minus8: u8,
    average_frame_rate: u16,
    constant_frame_rate: u8,
    temporal_layers: u8,
    temporal_id_nested: bool,
    length_size: u8,
    /// VPS, SPS, PPS and SEI, each in the order they came.
    arrays: [Array; 5],
}

/// The NAL units of one type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Array {
    /// Whether frames carry none of that type.
    complete: bool,
    units: Vec<Bytes>,
}

/// The types that the record has arrays of, in the order it shall have them.
const TYPES: [NalType; 5] =
    [NalType::Vps, NalType::Sps, NalType::Pps, NalType::PrefixSei, NalType::SuffixSei];
const TYPE_NUMBERS: [u8; 5] = [32, 33, 34, 39, 40];

impl Config {
    /// Parses a record, or parameter sets in a byte stream.
    ///
    /// # Errors
    /// [`Error`] when it is cut short before the arrays, of an unknown version or without any SPS.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        if record.starts_with(&[0, 0, 1]) || record.starts_with(&[0, 0, 0, 1]) {
            let units = nal::annex_b(record).filter_map(|span| record.get(span));
            return Self::from_parameter_sets(units);
        }
        let mut r = Reader::new(record);
        let version = r.u8()?;
        if version > 1 {
            return Err(Error::Invalid { what: "configurationVersion", value: version.into() });
        }
        let profile = ProfileTierLevel::read(&mut r)?;
        let min_spatial_segmentation = r.u16()? & 0x0FFF;
        let [parallelism, chroma_format, luma, chroma] = r.array()?;
        let average_frame_rate = r.u16()?;
        let layers = r.u8()?;
        let mut config = Self {
            profile,
            min_spatial_segmentation,
            parallelism: parallelism & 3,
            chroma_format: chroma_format & 3,
            luma_depth_minus8: luma & 7,
            chroma_depth_minus8: chroma & 7,
            average_frame_rate,
            constant_frame_rate: layers >> 6,
            temporal_layers: layers >> 3 & 7,
            temporal_id_nested: layers & 4 != 0,
            length_size: (layers & 3) + 1,
            arrays: <[Array; 5]>::default(),
        };
        for _ in 0..r.u8()? {
            if config.read_array(&mut r).is_err() {
                break;
            }
        }
        config.checked()
    }

    /// Makes a configuration with four-byte lengths from VPS, SPS and PPS in any order; other NAL
    /// units are passed over.
    ///
    /// # Errors
    /// [`Error`] without a valid SPS.
    pub fn from_parameter_sets<'a>(
        units: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, Error> {
        let mut config = Self {
            profile: ProfileTierLevel::default(),
            min_spatial_segmentation: 0,
            parallelism: 0,
            chroma_format: 1,
            luma_depth_minus8: 0,
            chroma_depth_minus8: 0,
            average_frame_rate: 0,
            constant_frame_rate: 0,
            temporal_layers: 1,
            temporal_id_nested: false,
            length_size: nal::LENGTH_SIZE,
            arrays: <[Array; 5]>::default(),
        };
        for unit in units {
            config.merge(unit);
        }
        config.checked()
    }

    /// Takes a parameter set that came in-band: replaces the one with the same id or adds it.
    /// Returns whether the configuration is another one now.
    ///
    /// Sets that are invalid, too long, too many for a record or of another layer are ignored.
    pub fn merge(&mut self, unit: &[u8]) -> bool {
        if unit.len() > nal::MAX_PARAMETER_SET || !super::is_parameter_set(unit) {
            return false;
        }
        let Some(kind) = NalType::of(unit) else { return false };
        let Some(id) = set_id(unit) else { return false };
        let Some(array) = self.array_mut(kind) else { return false };
        let same = |set: &[u8]| set_id(set) == Some(id);
        if !nal::put_set(&mut array.units, unit, MAX_UNITS, same) {
            return false;
        }
        // In-band sets are taken out of the frames.
        array.complete = true;
        if kind == NalType::Sps {
            self.adopt_first_sps();
        }
        true
    }

    /// The size of NAL unit lengths in frames that came with this record: 1 to 4.
    #[must_use]
    pub fn length_size(&self) -> u8 {
        self.length_size
    }

    /// The same configuration for canonical frames, whose lengths have four bytes and which carry
    /// no parameter sets: the one that sample entries `hvc1` ask for.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        self.length_size = nal::LENGTH_SIZE;
        for (array, kind) in self.arrays.iter_mut().zip(TYPES) {
            array.complete |= kind.is_parameter_set() && !array.units.is_empty();
        }
        self
    }

    /// Profile, tier and level.
    #[must_use]
    pub fn profile(&self) -> ProfileTierLevel {
        self.profile
    }

    /// The video parameter sets, as NAL units.
    #[must_use]
    pub fn vps(&self) -> &[Bytes] {
        self.units(NalType::Vps)
    }

    /// The sequence parameter sets, as NAL units.
    #[must_use]
    pub fn sps(&self) -> &[Bytes] {
        self.units(NalType::Sps)
    }

    /// The picture parameter sets, as NAL units.
    #[must_use]
    pub fn pps(&self) -> &[Bytes] {
        self.units(NalType::Pps)
    }

    /// All parameter sets in the order in which a decoder wants them.
    pub fn parameter_sets(&self) -> impl Iterator<Item = &Bytes> {
        self.vps().iter().chain(self.sps()).chain(self.pps())
    }

    /// What the first SPS (and VPS, for the frame rate) says to people; only profile and level if
    /// it can't be read.
    #[must_use]
    pub fn details(&self) -> VideoDetails {
        let mut details = VideoDetails {
            profile: self.profile.profile,
            level: self.profile.level,
            ..VideoDetails::default()
        };
        if let Some(sps) = self.first_sps() {
            details.profile = sps.profile.profile;
            details.level = sps.profile.level;
            (details.width, details.height) = (sps.width, sps.height);
            details.millihertz = sps.millihertz();
        }
        if details.millihertz == 0 {
            details.millihertz = self.vps().first().map_or(0, |vps| vps_millihertz(vps));
        }
        details
    }

    /// The codec string of ISO/IEC 14496-15 annex E.3: `hvc1.1.6.L93.b0`.
    #[must_use]
    pub fn rfc6381(&self) -> String {
        format!("hvc1.{}", self.profile.rfc6381())
    }

    /// Serialises the record.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(1);
        out.put_slice(&self.profile.to_bytes());
        out.put_u16(0xF000 | self.min_spatial_segmentation);
        out.put_u8(0xFC | self.parallelism);
        out.put_u8(0xFC | self.chroma_format);
        out.put_u8(0xF8 | self.luma_depth_minus8);
        out.put_u8(0xF8 | self.chroma_depth_minus8);
        out.put_u16(self.average_frame_rate);
        out.put_u8(
            self.constant_frame_rate << 6
                | self.temporal_layers << 3
                | u8::from(self.temporal_id_nested) << 2
                | (self.length_size - 1),
        );
        let arrays = || self.arrays.iter().zip(TYPE_NUMBERS).filter(|(a, _)| !a.units.is_empty());
        out.put_u8(u8::try_from(arrays().count()).unwrap_or(0));
        for (array, number) in arrays() {
            out.put_u8(u8::from(array.complete) << 7 | number);
            // Numbers and lengths were checked when the units were taken.
            out.put_u16(u16::try_from(array.units.len()).unwrap_or(0));
            for unit in &array.units {
                out.put_u16(u16::try_from(unit.len()).unwrap_or(0));
                out.put_slice(unit);
            }
        }
        out.freeze()
    }

    /// Units of unknown types and those beyond the limits are passed over.
    fn read_array(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        let complete = r.u8()? & 0x80 != 0;
        for _ in 0..r.u16()? {
            let length = r.u16()?;
            let unit = r.take(length.into())?;
            // The unit's own type decides: some records have wrong ones in their arrays.
            let Some(array) = NalType::of(unit).and_then(|kind| self.array_mut(kind)) else {
                continue;
            };
            if array.units.len() < MAX_UNITS && unit.len() <= nal::MAX_PARAMETER_SET {
                array.units.push(Bytes::copy_from_slice(unit));
                array.complete = complete;
            }
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, Error> {
        if self.sps().is_empty() {
            return Err(Error::Invalid { what: "number of SPS", value: 0 });
        }
        Ok(self)
    }

    /// The general fields of the record are those of its first SPS.
    fn adopt_first_sps(&mut self) {
        let Some(sps) = self.first_sps() else { return };
        self.profile = sps.profile;
        self.min_spatial_segmentation = sps.min_spatial_segmentation;
        // How slices are cut is told by the PPS; 0 is "unknown".
        self.parallelism = 0;
        self.chroma_format = sps.chroma_format;
        self.luma_depth_minus8 = (sps.luma_depth - 8).min(7);
        self.chroma_depth_minus8 = (sps.chroma_depth - 8).min(7);
        self.temporal_layers = sps.temporal_layers;
        self.temporal_id_nested = sps.temporal_id_nesting;
    }

    fn first_sps(&self) -> Option<Sps> {
        self.sps().first().and_then(|unit| Sps::parse(unit).ok())
    }

    fn units(&self, kind: NalType) -> &[Bytes] {
        let mut arrays = self.arrays.iter().zip(TYPES);
        arrays.find(|(_, other)| *other == kind).map_or(&[], |(array, _)| &array.units)
    }

    fn array_mut(&mut self, kind: NalType) -> Option<&mut Array> {
        let mut arrays = self.arrays.iter_mut().zip(TYPES);
        arrays.find(|(_, other)| *other == kind).map(|(array, _)| array)
    }
}

/// More units of one type are ignored: there are 64 ids of PPS and 16 of VPS and SPS.
const MAX_UNITS: usize = 64;

/// The id of a parameter set, and so what a new one replaces.
fn set_id(unit: &[u8]) -> Option<u32> {
    let body = || BitReader::new(unit.get(2..).unwrap_or_default());
    match NalType::of(unit)? {
        NalType::Vps => body().bits(4).ok(),
        NalType::Sps => Sps::parse(unit).ok().map(|sps| sps.id),
        // A valid id has at most 13 bits; emulation prevention can't stand before its end.
        NalType::Pps => body().ue_max(63, "pps_pic_parameter_set_id").ok(),
        _ => None,
    }
}
