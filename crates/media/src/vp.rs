//! VP8 and VP9: frame headers and `VPCodecConfigurationRecord` (VP Codec ISO Media File Format
//! Binding, "VP Codec Configuration Box").

use bytes::Bytes;

use crate::{Error, Reader};

pub mod vp8;
pub mod vp9;

/// A `vpcC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The codec's profile.
    pub profile: u8,
    /// Ten times the level; 0 if unknown.
    pub level: u8,
    /// Bits per sample: 8, 10 or 12.
    pub depth: u8,
    /// 0 and 1 are 4:2:0 with different sample positions, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_subsampling: u8,
    /// Whether samples use the full range of values.
    pub full_range: bool,
    /// Colour primaries, transfer characteristics and matrix coefficients (ISO/IEC 23001-8).
    pub colour: [u8; 3],
}

impl Config {
    /// Parses a record, with or without the version and flags that its box begins with:
    /// publishers differ.
    ///
    /// # Errors
    /// [`Error`] when it is cut short.
    pub fn parse(record: &[u8]) -> Result<Self, Error> {
        // Without the box's version, this would be a depth of 0.
        let body = record.strip_prefix(&BOX_VERSION).unwrap_or(record);
        let mut r = Reader::new(body);
        let [profile, level, format, primaries, transfer, matrix] = r.array()?;
        Ok(Self {
            profile,
            level,
            depth: format >> 4,
            chroma_subsampling: format >> 1 & 7,
            full_range: format & 1 != 0,
            colour: [primaries, transfer, matrix],
        })
    }

    /// Serialises the record, with the version and flags of its box.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let format = (self.depth & 0x0F) << 4
            | (self.chroma_subsampling & 7) << 1
            | u8::from(self.full_range);
        let [primaries, transfer, matrix] = self.colour;
        let body = [self.profile, self.level, format, primaries, transfer, matrix, 0, 0];
        Bytes::from([&BOX_VERSION[..], &body].concat())
    }

    /// The mandatory part of the codec string: `vp09.00.31.08`.
    #[must_use]
    pub fn rfc6381(&self, code: &str) -> String {
        format!("{code}.{:02}.{:02}.{:02}", self.profile, self.level, self.depth)
    }
}

/// `version` 1 and `flags` 0 of the box.
const BOX_VERSION: [u8; 4] = [1, 0, 0, 0];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn with_and_without_the_version_of_the_box() {
        let bytes = [1, 0, 0, 0, 0, 31, 0x82, 1, 1, 1, 0, 0];
        let config = Config::parse(&bytes).unwrap();
        assert_eq!(Config::parse(&bytes[4..]), Ok(config));
        assert_eq!((config.depth, config.chroma_subsampling, config.full_range), (8, 1, false));
        assert_eq!(config.rfc6381("vp09"), "vp09.00.31.08");
        assert_eq!(&config.to_bytes()[..], bytes);
        assert!(Config::parse(&bytes[..9]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>) {
            if let Ok(config) = Config::parse(&bytes) {
                prop_assert_eq!(Config::parse(&config.to_bytes()), Ok(config));
            }
        }
    }
}
