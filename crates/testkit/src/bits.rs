//! A big-endian bit writer with the Exp-Golomb codes of ITU-T H.264 §9.1.

/// Collects bits, most significant first.
#[derive(Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are used in the last byte; zero when it is full.
    used: u8,
}

impl BitWriter {
    /// The lowest `count` bits of `value`.
    pub(crate) fn bits(&mut self, count: u8, value: u64) -> &mut Self {
        for position in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from((value >> position) & 1 == 1) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
        self
    }

    /// One bit.
    pub(crate) fn flag(&mut self, value: bool) -> &mut Self {
        self.bits(1, u64::from(value))
    }

    /// `ue(v)`: an unsigned Exp-Golomb code.
    pub(crate) fn ue(&mut self, value: u64) -> &mut Self {
        let code = value + 1;
        let length = u8::try_from(code.ilog2()).unwrap_or(u8::MAX);
        self.bits(length, 0).bits(length + 1, code)
    }

    /// Zero bits up to the next byte boundary.
    pub(crate) fn align(&mut self) -> &mut Self {
        self.used = 0;
        self
    }

    /// Whole bytes; the writer has to stand on a byte boundary.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        assert_eq!(self.used, 0, "bytes are written at byte boundaries only");
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// `rbsp_trailing_bits()`: a one and zeros to the boundary.
    pub(crate) fn trailing(&mut self) -> &mut Self {
        self.flag(true).align()
    }

    /// What was written, the last byte filled up with zeros.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_table_9_2() {
        let mut w = BitWriter::default();
        w.ue(0).ue(1).ue(2).ue(3).ue(7).trailing();
        // 1 010 011 00100 0001000 1
        assert_eq!(w.finish(), [0b1010_0110, 0b0100_0001, 0b0001_0000]);
    }
}
