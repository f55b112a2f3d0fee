//! How much AMF values hold, as the `amf0` and `amf3` targets count it, and what the budget of a
//! message promises of it.

use std::sync::Arc;

use flv::amf3::Value;
use flv::budget::{MAX_COPIED, MAX_DEPTH, MAX_VALUES};

/// Values, bytes of strings, levels. References count as what they stand for.
#[derive(Default)]
pub struct Size {
    pub values: usize,
    pub bytes: usize,
    pub height: usize,
}

impl Size {
    /// The size of what contains `parts` beside `bytes` of its own.
    pub fn of_parts(bytes: usize, parts: impl IntoIterator<Item = Self>) -> Self {
        let mut whole = parts.into_iter().fold(Self { bytes, ..Self::default() }, Self::plus);
        whole.values += 1;
        whole.height += 1;
        whole
    }

    /// The size of both, side by side.
    pub fn plus(self, other: Self) -> Self {
        Self {
            values: self.values + other.values,
            bytes: self.bytes + other.bytes,
            height: self.height.max(other.height),
        }
    }

    pub fn of_amf3(value: &Value) -> Self {
        let named = |(name, value): &(Arc<str>, Value)| {
            let size = Self::of_amf3(value);
            Self { bytes: size.bytes + name.len(), ..size }
        };
        match value {
            Value::String(text) | Value::Xml(text) => Self::of_parts(text.len(), []),
            Value::ByteArray(bytes) => Self::of_parts(bytes.len(), []),
            Value::Array(array) => {
                let dense = array.dense.iter().map(Self::of_amf3);
                Self::of_parts(0, array.named.iter().map(named).chain(dense))
            }
            Value::Object(object) => {
                Self::of_parts(object.class.len(), object.properties.iter().map(named))
            }
            _ => Self::of_parts(0, []),
        }
    }

    /// What a message of `length` bytes may hold.
    pub fn check(&self, length: usize) {
        assert!(self.values <= MAX_VALUES, "{} values", self.values);
        assert!(self.height <= MAX_DEPTH, "{} levels", self.height);
        assert!(self.bytes <= 3 * length + MAX_COPIED, "{} bytes of {length}", self.bytes);
    }
}
