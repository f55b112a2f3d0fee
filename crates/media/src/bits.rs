//! A bit reader, most significant bit first, whose every step is checked.
//!
//! Exp-Golomb codes are those of ITU-T H.264 §9.1 and H.265 §9.2. The input has no emulation
//! prevention bytes: [`crate::nal::unescape`] takes them out.

use crate::Error;

/// Reads bit fields from a borrowed slice; never panics, never reads past the end.
#[derive(Debug, Clone, Copy)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    position: usize,
}

impl<'a> BitReader<'a> {
    /// Starts at the most significant bit of the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// How many bits were read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// How many bits are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len().saturating_mul(8).saturating_sub(self.position)
    }

    /// One bit.
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end.
    pub fn flag(&mut self) -> Result<bool, Error> {
        let byte = self.bytes.get(self.position / 8).ok_or_else(|| self.truncated(1))?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Ok(bit == 1)
    }

    /// The next `count` bits (at most 64) as a number.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer are left, [`Error::Invalid`] for a count above 64; nothing
    /// is consumed then.
    pub fn bits64(&mut self, count: u32) -> Result<u64, Error> {
        if count > 64 {
            return Err(Error::Invalid { what: "bit count", value: count.into() });
        }
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        if self.remaining() < wanted {
            return Err(self.truncated(wanted));
        }
        let (mut value, mut left) = (0u64, count);
        while left > 0 {
            let byte = self.bytes.get(self.position / 8).ok_or_else(|| self.truncated(1))?;
            let used = self.position % 8;
            // At most 8, so neither conversion nor shift can fail.
            let free = 8 - u32::try_from(used).unwrap_or(0);
            let taken = free.min(left);
            let field = u64::from(*byte) >> (free - taken) & ((1 << taken) - 1);
            value = value << taken | field;
            left -= taken;
            self.position += usize::try_from(taken).unwrap_or(0);
        }
        Ok(value)
    }

    /// The next `count` bits (at most 32) as a number.
    ///
    /// # Errors
    /// As [`BitReader::bits64`].
    pub fn bits(&mut self, count: u32) -> Result<u32, Error> {
        narrow(count, 32, |count| self.bits64(count))
    }

    /// The next `count` bits (at most 16) as a number.
    ///
    /// # Errors
    /// As [`BitReader::bits64`].
    pub fn u16(&mut self, count: u32) -> Result<u16, Error> {
        narrow(count, 16, |count| self.bits64(count))
    }

    /// The next `count` bits (at most 8) as a number.
    ///
    /// # Errors
    /// As [`BitReader::bits64`].
    pub fn u8(&mut self, count: u32) -> Result<u8, Error> {
        narrow(count, 8, |count| self.bits64(count))
    }

    /// Passes over `count` bits.
    ///
    /// # Errors
    /// [`Error::Truncated`] when fewer are left; nothing is consumed then.
    pub fn skip(&mut self, count: usize) -> Result<(), Error> {
        if self.remaining() < count {
            return Err(self.truncated(count));
        }
        self.position += count;
        Ok(())
    }

    /// Moves to the next byte boundary, if not at one.
    pub fn align(&mut self) {
        self.position = self.position.next_multiple_of(8);
    }

    /// An unsigned Exp-Golomb code, `ue(v)`.
    ///
    /// # Errors
    /// [`Error::Truncated`] at the end, [`Error::Invalid`] for a code beyond 32 bits.
    pub fn ue(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 32 {
                return Err(Error::Invalid { what: "Exp-Golomb prefix", value: zeros.into() });
            }
        }
        let value = (1u64 << zeros) - 1 + self.bits64(zeros)?;
        u32::try_from(value).map_err(|_| Error::Invalid { what: "Exp-Golomb code", value })
    }

    /// An unsigned Exp-Golomb code that the specification bounds; `what` is its name there.
    pub(crate) fn ue_max(&mut self, max: u32, what: &'static str) -> Result<u32, Error> {
        match self.ue()? {
            value if value > max => Err(Error::Invalid { what, value: value.into() }),
            value => Ok(value),
        }
    }

    /// As [`BitReader::ue_max`], for small bounds.
    pub(crate) fn ue_u8(&mut self, max: u8, what: &'static str) -> Result<u8, Error> {
        let value = self.ue_max(max.into(), what)?;
        u8::try_from(value).map_err(|_| Error::Invalid { what, value: value.into() })
    }

    /// A signed Exp-Golomb code, `se(v)`.
    ///
    /// # Errors
    /// As [`BitReader::ue`].
    pub fn se(&mut self) -> Result<i32, Error> {
        let code = i64::from(self.ue()?);
        let value = if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) };
        i32::try_from(value)
            .map_err(|_| Error::Invalid { what: "Exp-Golomb code", value: code.unsigned_abs() })
    }

    fn truncated(&self, wanted: usize) -> Error {
        let missing = wanted.saturating_sub(self.remaining());
        Error::Truncated { offset: self.position / 8, wanted: missing.div_ceil(8) }
    }
}

/// Reads a field and gives it the type that the caller knows to be wide enough.
fn narrow<T: TryFrom<u64>>(
    count: u32,
    limit: u32,
    read: impl FnOnce(u32) -> Result<u64, Error>,
) -> Result<T, Error> {
    let invalid = |value| Error::Invalid { what: "bit count", value };
    if count > limit {
        return Err(invalid(count.into()));
    }
    T::try_from(read(count)?).map_err(|_| invalid(count.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_of_any_width() {
        let mut r = BitReader::new(&[0b1010_0110, 0xFF, 0x00, 0x80]);
        assert_eq!(r.flag(), Ok(true));
        assert_eq!(r.u8(3), Ok(0b010));
        assert_eq!(r.bits(12), Ok(0b0110_1111_1111));
        assert_eq!(r.position(), 16);
        assert_eq!(r.bits64(9), Ok(1));
        assert_eq!(r.bits(8), Err(Error::Truncated { offset: 3, wanted: 1 }));
        assert_eq!(r.remaining(), 7);
        assert_eq!(r.bits(33), Err(Error::Invalid { what: "bit count", value: 33 }));
        r.align();
        assert_eq!(r.remaining(), 0);
    }

    /// The examples of H.264 table 9-2 and 9-3.
    #[test]
    fn exp_golomb_codes() {
        let mut r = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1001_1000]);
        assert_eq!([r.ue(), r.ue(), r.ue(), r.ue(), r.ue()], [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
        let mut r = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([r.se(), r.se(), r.se(), r.se(), r.se()], [Ok(0), Ok(1), Ok(-1), Ok(2), Ok(-2)]);
    }

    #[test]
    fn exp_golomb_codes_end_at_32_bits() {
        assert_eq!(BitReader::new(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFE]).ue(), Ok(u32::MAX - 1));
        assert!(BitReader::new(&[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]).ue().is_err());
        assert!(BitReader::new(&[0; 16]).ue().is_err());
        assert!(BitReader::new(&[0; 2]).ue().is_err());
    }

    proptest! {
        #[test]
        fn a_number_is_its_bits(bytes: Vec<u8>, count in 0u32..=64) {
            let mut whole = BitReader::new(&bytes);
            let mut single = whole;
            if let Ok(value) = whole.bits64(count) {
                let mut bits = 0;
                for _ in 0..count {
                    bits = bits << 1 | u64::from(single.flag().unwrap());
                }
                prop_assert_eq!(value, bits);
            }
            prop_assert_eq!(whole.position() + whole.remaining(), bytes.len() * 8);
        }
    }
}
