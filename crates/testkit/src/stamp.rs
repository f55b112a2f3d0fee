//! A 64-bit mark inside a video frame that survives every server on the way: for latency
//! measurement, and to recognise frames.
//!
//! It is the payload of a user-data SEI (ITU-T H.264 §D.1.6, `user_data_unregistered`): a fixed
//! identifier, then the number in groups of seven bits with the highest bit set. No byte is zero,
//! so emulation prevention never changes it and a reader may search the raw bytes.

/// The identifier before the mark.
pub const UUID: [u8; 16] = *b"headwater-stamp!";

/// Seven bits per byte for 64 bits.
const GROUPS: usize = 10;

/// Bytes of identifier and mark.
pub const LEN: usize = UUID.len() + GROUPS;

/// Identifier and mark.
#[must_use]
pub fn encode(mark: u64) -> [u8; LEN] {
    let mut out = [0x80; LEN];
    let (id, groups) = out.split_at_mut(UUID.len());
    id.copy_from_slice(&UUID);
    let mut rest = mark;
    for group in groups.iter_mut().rev() {
        *group |= rest.to_le_bytes()[0] & 0x7F;
        rest >>= 7;
    }
    out
}

/// The first mark in `bytes`, if there is a whole one.
#[must_use]
pub fn find(bytes: &[u8]) -> Option<u64> {
    let found = bytes.windows(LEN).find(|window| window.starts_with(&UUID))?;
    let groups = found.get(UUID.len()..)?;
    Some(groups.iter().fold(0, |mark, group| mark << 7 | u64::from(group & 0x7F)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive() {
        for mark in [0, 1, 127, 128, 1_700_000_000_000_000, u64::MAX] {
            let mut bytes = vec![0, 0, 1, 6];
            bytes.extend(encode(mark));
            assert!(!bytes[4..].contains(&0));
            assert_eq!(find(&bytes), Some(mark));
            assert_eq!(find(&bytes[..bytes.len() - 1]), None);
        }
    }
}
