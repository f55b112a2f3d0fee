//! What the fuzz targets share.

use std::fmt::Debug;

/// Checks that a parser finds the same in `data` wherever reads end: whole, and in two random
/// divisions that depend on nothing but the data.
///
/// # Panics
/// When some division changes the outcome.
pub fn splits_change_nothing<R: PartialEq + Debug>(data: &[u8], run: impl FnMut(&[&[u8]]) -> R) {
    testkit::split::randomly(data, seed(data), 2, run);
}

/// A number that depends on nothing but the data (FNV-1a), so that a crash repeats.
#[must_use]
pub fn seed(data: &[u8]) -> u64 {
    data.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
