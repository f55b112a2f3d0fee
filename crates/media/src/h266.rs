//! H.266: NAL unit types (ITU-T H.266 table 5) and the key frame test. Parameter sets stay in the
//! frames as they came; `VvcDecoderConfigurationRecord` is carried, not read, but for its length
//! size (ISO/IEC 14496-15 §11.2.4.2).

use std::ops::Range;

use crate::{Error, nal};

/// `nal_unit_type` of a NAL unit; `None` for one without a whole header.
#[must_use]
pub fn nal_type(unit: &[u8]) -> Option<u8> {
    unit.get(1).map(|second| second >> 3)
}

/// Whether a frame is one that a decoder can start at: IDR, CRA or gradual refresh (7 to 10).
#[must_use]
pub fn is_key(data: &[u8], units: &[Range<u32>]) -> bool {
    nal::iter(data, units).any(|unit| matches!(nal_type(unit), Some(7..=10)))
}

/// Whether a frame is a RASL picture (3): one that decoders skip which start at the CRA picture that
/// it follows, since it refers to pictures before that.
#[must_use]
pub fn is_skipped_leading(data: &[u8], units: &[Range<u32>]) -> bool {
    nal::iter(data, units).any(|unit| nal_type(unit) == Some(3))
}

/// The size of NAL unit lengths that a configuration record tells: 1 to 4.
///
/// # Errors
/// [`Error::Truncated`] for an empty one.
pub fn length_size(record: &[u8]) -> Result<u8, Error> {
    let first = record.first().ok_or(Error::Truncated { offset: 0, wanted: 1 })?;
    Ok((first >> 1 & 3) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_are_types_7_to_10() {
        for kind in 0..32 {
            let frame = [0, 1, 0x80, 0, kind << 3 | 1, 0x80];
            assert_eq!(is_key(&frame, &[0..3, 3..6]), (7..=10).contains(&kind));
            assert_eq!(is_skipped_leading(&frame, &[0..3, 3..6]), kind == 3);
        }
        assert_eq!(length_size(&[0xFF, 0]), Ok(4));
        assert!(length_size(&[]).is_err());
    }
}
