//! What the sequence parameter sets of H.264 and H.265 have in common.

use crate::{BitReader, Error};

/// Width and height beyond this are refused: sample entries of ISO BMFF have 16-bit fields.
pub(crate) const MAX_SIDE: u32 = 65_535;

/// `aspect_ratio_idc` and what follows it (H.264 table E-1, H.265 table E.1).
pub(crate) fn sample_aspect_ratio(r: &mut BitReader<'_>) -> Result<Option<(u16, u16)>, Error> {
    const EXTENDED: u8 = 255;
    #[rustfmt::skip]
    const TABLE: [(u16, u16); 16] = [
        (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11),
        (80, 33), (18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
    ];
    let ratio = match r.u8(8)? {
        EXTENDED => Some((r.u16(16)?, r.u16(16)?)),
        index => usize::from(index).checked_sub(1).and_then(|index| TABLE.get(index).copied()),
    };
    Ok(ratio.filter(|&(width, height)| width > 0 && height > 0))
}

/// A side of the coded picture less what is cut off before and after, in units of `unit` samples.
pub(crate) fn crop(size: u32, before: u32, after: u32, unit: u32) -> Result<u32, Error> {
    let cut = (u64::from(before) + u64::from(after)) * u64::from(unit);
    u32::try_from(cut)
        .ok()
        .and_then(|cut| size.checked_sub(cut))
        .filter(|&left| left > 0)
        .ok_or(Error::Invalid { what: "cropping offset", value: cut })
}

/// A rate of `scale` ticks per second and `units` ticks per frame, in frames per 1000 seconds; 0
/// for one that is beyond reason.
pub(crate) fn millihertz(units: u64, scale: u32) -> u32 {
    let rate = u64::from(scale) * 1000 / units.max(1);
    u32::try_from(rate).unwrap_or(0)
}
