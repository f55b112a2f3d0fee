//! `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1).
//!
//! Accepted beyond the text: records that lack the part for high profiles (older encoders), wrong
//! numbers of PPS, three-byte lengths, parameter sets in the wrong list, and parameter sets as a
//! byte stream in place of a record.

use bytes::{BufMut, Bytes, BytesMut};

use super::{NalType, Sps, set_id};
use crate::{Error, Reader, VideoDetails, nal};

/// An `avcC`: the parameter sets of a track and the size of its NAL unit lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    profile: u8,
    constraints: u8,
    level: u8,
    length_size: u8,
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
    extension: Option<Extension>,
}

/// What the record has for profiles beyond Baseline, Main and Extended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Extension {
    chroma_format: u8,
    luma_depth_minus8: u8,
    chroma_depth_minus8: u8,
    sps_extensions: Vec<Bytes>,
}

impl Config {
    /// Parses a record, or parameter sets in a byte stream.
    ///
    /// # Errors
    /// [`Error`] when it is cut short inside the SPS, of an unknown version or without any SPS.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        if record.starts_with(&[0, 0]) {
            let units = nal::annex_b(record).filter_map(|span| record.get(span));
            return Self::from_parameter_sets(units);
        }
        let mut r = Reader::new(record);
        let version = r.u8()?;
        if version != 1 {
            return Err(Error::Invalid { what: "configurationVersion", value: version.into() });
        }
        let [profile, constraints, level, lengths] = r.array()?;
        let mut config = Self {
            profile,
            constraints,
            level,
            length_size: (lengths & 3) + 1,
            sps: Vec::new(),
            pps: Vec::new(),
            extension: None,
        };
        let count = r.u8()? & 0x1F;
        config.read_sets(&mut r, count)?;
        // A missing or false number of PPS leaves a configuration that in-band ones complete.
        let complete = r.u8().is_ok_and(|count| config.read_sets(&mut r, count).is_ok());
        if complete && has_extension(profile) {
            config.extension = Extension::parse(&mut r);
        }
        if config.extension.is_none() {
            config.adopt_first_sps();
        }
        if config.sps.is_empty() {
            return Err(Error::Invalid { what: "numOfSequenceParameterSets", value: 0 });
        }
        Ok(config)
    }

    /// Makes a configuration with four-byte lengths from SPS and PPS in any order; other NAL
    /// units are passed over.
    ///
    /// # Errors
    /// [`Error`] without a valid SPS.
    pub fn from_parameter_sets<'a>(
        units: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, Error> {
        let mut config = Self {
            profile: 0,
            constraints: 0,
            level: 0,
            length_size: nal::LENGTH_SIZE,
            sps: Vec::new(),
            pps: Vec::new(),
            extension: None,
        };
        for unit in units {
            config.merge(unit);
        }
        if config.sps.is_empty() {
            return Err(Error::Invalid { what: "numOfSequenceParameterSets", value: 0 });
        }
        Ok(config)
    }

    /// Takes a parameter set that came in-band: replaces the one with the same id or adds it.
    /// Returns whether the configuration is another one now.
    ///
    /// Sets that are invalid, too long or too many for a record are ignored.
    pub fn merge(&mut self, unit: &[u8]) -> bool {
        if unit.len() > nal::MAX_PARAMETER_SET {
            return false;
        }
        match NalType::of(unit) {
            Some(NalType::Sps) => {
                let Ok(sps) = Sps::parse(unit) else { return false };
                let same = |set: &[u8]| Sps::parse(set).is_ok_and(|other| other.id == sps.id);
                let changed = nal::put_set(&mut self.sps, unit, MAX_SPS, same);
                if changed {
                    self.adopt_first_sps();
                }
                changed
            }
            Some(NalType::Pps) => {
                let Ok(id) = set_id(unit) else { return false };
                nal::put_set(&mut self.pps, unit, MAX_PPS, |set| set_id(set) == Ok(id))
            }
            Some(NalType::SpsExtension) => self.extension.as_mut().is_some_and(|extension| {
                nal::put_set(&mut extension.sps_extensions, unit, MAX_PPS, |set| {
                    set_id(set) == set_id(unit)
                })
            }),
            _ => false,
        }
    }

    /// The size of NAL unit lengths in frames that came with this record: 1 to 4.
    #[must_use]
    pub fn length_size(&self) -> u8 {
        self.length_size
    }

    /// The same configuration for frames with canonical, four-byte lengths.
    #[must_use]
    pub fn canonical(self) -> Self {
        Self { length_size: nal::LENGTH_SIZE, ..self }
    }

    /// `AVCProfileIndication`.
    #[must_use]
    pub fn profile(&self) -> u8 {
        self.profile
    }

    /// The sequence parameter sets, as NAL units.
    #[must_use]
    pub fn sps(&self) -> &[Bytes] {
        &self.sps
    }

    /// The picture parameter sets, as NAL units.
    #[must_use]
    pub fn pps(&self) -> &[Bytes] {
        &self.pps
    }

    /// All parameter sets in the order in which a decoder wants them.
    pub fn parameter_sets(&self) -> impl Iterator<Item = &Bytes> {
        let extensions = self.extension.iter().flat_map(|extension| &extension.sps_extensions);
        self.sps.iter().chain(extensions).chain(&self.pps)
    }

    /// What the first SPS says to people; only profile and level if it can't be read.
    #[must_use]
    pub fn details(&self) -> VideoDetails {
        let sps = self.sps.first().and_then(|unit| Sps::parse(unit).ok());
        sps.map_or_else(
            || VideoDetails { profile: self.profile, level: self.level, ..VideoDetails::default() },
            |sps| sps.details(),
        )
    }

    /// The codec string of RFC 6381 §3.3: `avc1.64001f`.
    #[must_use]
    pub fn rfc6381(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.profile, self.constraints, self.level)
    }

    /// Serialises the record.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(&[1, self.profile, self.constraints, self.level]);
        out.put_u8(0xFC | (self.length_size - 1));
        put_sets(&mut out, 0xE0, &self.sps);
        put_sets(&mut out, 0, &self.pps);
        if let Some(extension) = &self.extension {
            out.put_u8(0xFC | extension.chroma_format);
            out.put_u8(0xF8 | extension.luma_depth_minus8);
            out.put_u8(0xF8 | extension.chroma_depth_minus8);
            put_sets(&mut out, 0, &extension.sps_extensions);
        }
        out.freeze()
    }

    /// Sorts `count` sets of the record by their type; others and empty ones are passed over.
    fn read_sets(&mut self, r: &mut Reader<'_>, count: u8) -> Result<(), Error> {
        for _ in 0..count {
            let length = r.u16()?;
            let unit = r.take(length.into())?;
            let (list, limit) = match NalType::of(unit) {
                Some(NalType::Sps) => (&mut self.sps, MAX_SPS),
                Some(NalType::Pps) => (&mut self.pps, MAX_PPS),
                _ => continue,
            };
            if list.len() < limit && unit.len() <= nal::MAX_PARAMETER_SET {
                list.push(Bytes::copy_from_slice(unit));
            }
        }
        Ok(())
    }

    /// Profile, level and sample format of the record are those of its first SPS.
    fn adopt_first_sps(&mut self) {
        let Some(sps) = self.sps.first().and_then(|unit| Sps::parse(unit).ok()) else { return };
        (self.profile, self.constraints, self.level) = (sps.profile, sps.constraints, sps.level);
        let sps_extensions =
            self.extension.take().map(|extension| extension.sps_extensions).unwrap_or_default();
        self.extension = has_extension(sps.profile).then_some(Extension {
            chroma_format: sps.chroma_format,
            luma_depth_minus8: sps.luma_depth - 8,
            chroma_depth_minus8: sps.chroma_depth - 8,
            sps_extensions,
        });
    }
}

impl Extension {
    /// `None` if the record ends too early.
    fn parse(r: &mut Reader<'_>) -> Option<Self> {
        let [chroma_format, luma, chroma] = r.array().ok()?;
        let mut sps_extensions = Vec::new();
        for _ in 0..r.u8().unwrap_or(0) {
            let Some(unit) = r.u16().and_then(|length| r.take(length.into())).ok() else { break };
            let fits = unit.len() <= nal::MAX_PARAMETER_SET;
            if fits && NalType::of(unit) == Some(NalType::SpsExtension) {
                sps_extensions.push(Bytes::copy_from_slice(unit));
            }
        }
        Some(Self {
            chroma_format: chroma_format & 3,
            luma_depth_minus8: luma & 7,
            chroma_depth_minus8: chroma & 7,
            sps_extensions,
        })
    }
}

/// The record counts SPS with five bits and PPS with eight.
const MAX_SPS: usize = 31;
const MAX_PPS: usize = 255;

fn has_extension(profile: u8) -> bool {
    !matches!(profile, 66 | 77 | 88)
}

/// The number of sets, below the bits of `reserved`, and each with its length.
fn put_sets(out: &mut BytesMut, reserved: u8, sets: &[Bytes]) {
    // The lists are kept within the range of their count, the sets within that of their length.
    out.put_u8(reserved | u8::try_from(sets.len()).unwrap_or(0));
    for set in sets {
        out.put_u16(u16::try_from(set.len()).unwrap_or(0));
        out.put_slice(set);
    }
}
