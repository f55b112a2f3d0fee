//! What one AMF message may make of its bytes.
//!
//! AMF 3 refers to what came before, so that a few bytes can stand for much. References are
//! shared, never copied, and memory grows with the message only. But whoever walks or writes the
//! values meets every reference as what it stands for: the budget counts that, for the whole
//! message, through every switch from AMF0 to AMF3. A message that was read has
//!
//! - at most [`MAX_VALUES`] values,
//! - nested at most [`MAX_DEPTH`] deep,
//! - with strings and byte arrays of at most three times its own length (a byte that is not UTF-8
//!   becomes three) and [`MAX_COPIED`] more.

use crate::Error;

/// How deep values may nest. Real metadata nests three deep.
pub const MAX_DEPTH: usize = 16;

/// How many values one message may hold. Metadata with a key frame index has two per key frame:
/// this is four and a half hours of GOPs of two seconds.
pub const MAX_VALUES: usize = 16_384;

/// How many bytes of names, strings and byte arrays references may repeat: a name of sixteen
/// letters for every value.
pub const MAX_COPIED: usize = 16 * MAX_VALUES;

/// What a message has used of its limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget {
    values: usize,
    copied: usize,
}

impl Budget {
    /// One more value, below `depth` others.
    pub(crate) fn value(&mut self, depth: usize) -> Result<(), Error> {
        Self::levels(depth, 1)?;
        self.values(1)
    }

    /// Whether something `height` levels high may stand below `depth` levels.
    pub(crate) fn levels(depth: usize, height: usize) -> Result<(), Error> {
        if depth.saturating_add(height) > MAX_DEPTH {
            return Err(Error::TooDeep(MAX_DEPTH));
        }
        Ok(())
    }

    /// So many more values.
    pub(crate) fn values(&mut self, count: usize) -> Result<(), Error> {
        self.values = self.values.saturating_add(count);
        if self.values > MAX_VALUES { Err(Error::TooManyValues(MAX_VALUES)) } else { Ok(()) }
    }

    /// So many more bytes that stand elsewhere in the message.
    pub(crate) fn copied(&mut self, bytes: usize) -> Result<(), Error> {
        self.copied = self.copied.saturating_add(bytes);
        if self.copied > MAX_COPIED { Err(Error::TooMuchRepeated(MAX_COPIED)) } else { Ok(()) }
    }
}
