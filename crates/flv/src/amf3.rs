//! Action Message Format 3: what ActionScript 3 clients put into commands.
//!
//! Adobe, "Action Message Format – AMF 3" (2013), §3. Refused: externalizable objects, which only
//! their class can read. Everything is written by value; references are only read.

use bytes::{BufMut, BytesMut};
use media::Reader;

use crate::Error;
use crate::amf0::{MAX_DEPTH, MAX_VALUES};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Undefined,
    /// No object.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A 29-bit integer.
    Integer(i32),
    /// A double.
    Double(f64),
    /// A string.
    String(String),
    /// XML text, of either type.
    Xml(String),
    /// Milliseconds since 1970.
    Date(f64),
    /// Named values and numbered ones.
    Array {
        /// The associative part.
        named: Vec<(String, Self)>,
        /// The dense part.
        dense: Vec<Self>,
    },
    /// An object.
    Object {
        /// Its class; empty for an anonymous one.
        class: String,
        /// Its properties.
        properties: Vec<(String, Self)>,
    },
    /// Bytes.
    ByteArray(Vec<u8>),
}

impl Value {
    /// Reads one value.
    ///
    /// # Errors
    /// When the bytes end early, nest too deep, hold too many values, refer to nothing, or have an
    /// unknown marker.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Decoder::default().value(reader, 0)
    }

    /// Appends the value.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Undefined => out.put_u8(marker::UNDEFINED),
            Self::Null => out.put_u8(marker::NULL),
            Self::Boolean(false) => out.put_u8(marker::FALSE),
            Self::Boolean(true) => out.put_u8(marker::TRUE),
            Self::Integer(number) => {
                out.put_u8(marker::INTEGER);
                put_u29(out, number.cast_unsigned() & MAX_U29);
            }
            Self::Double(number) => {
                out.put_u8(marker::DOUBLE);
                out.put_f64(*number);
            }
            Self::String(string) => {
                out.put_u8(marker::STRING);
                put_bytes(out, string.as_bytes());
            }
            Self::Xml(text) => {
                out.put_u8(marker::XML);
                put_bytes(out, text.as_bytes());
            }
            Self::Date(millis) => {
                out.put_u8(marker::DATE);
                put_u29(out, 1);
                out.put_f64(*millis);
            }
            Self::Array { named, dense } => {
                out.put_u8(marker::ARRAY);
                put_length(out, dense.len());
                put_pairs(out, named);
                dense.iter().for_each(|value| value.encode(out));
            }
            Self::Object { class, properties } => {
                out.put_u8(marker::OBJECT);
                // Traits by value, dynamic, no sealed members.
                put_u29(out, 0x0B);
                put_bytes(out, class.as_bytes());
                put_pairs(out, properties);
            }
            Self::ByteArray(bytes) => {
                out.put_u8(marker::BYTE_ARRAY);
                put_bytes(out, bytes);
            }
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(f64::from(*number)),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(string) => Some(string),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            _ => None,
        }
    }
}

/// §3.1.
mod marker {
    pub(super) const UNDEFINED: u8 = 0x00;
    pub(super) const NULL: u8 = 0x01;
    pub(super) const FALSE: u8 = 0x02;
    pub(super) const TRUE: u8 = 0x03;
    pub(super) const INTEGER: u8 = 0x04;
    pub(super) const DOUBLE: u8 = 0x05;
    pub(super) const STRING: u8 = 0x06;
    pub(super) const XML_DOCUMENT: u8 = 0x07;
    pub(super) const DATE: u8 = 0x08;
    pub(super) const ARRAY: u8 = 0x09;
    pub(super) const OBJECT: u8 = 0x0A;
    pub(super) const XML: u8 = 0x0B;
    pub(super) const BYTE_ARRAY: u8 = 0x0C;
}

const MAX_U29: u32 = 0x1FFF_FFFF;

/// §3.12: what an object says of its class.
#[derive(Debug, Clone)]
struct Traits {
    class: String,
    dynamic: bool,
    members: Vec<String>,
}

/// Counts values and remembers what may be referred to.
#[derive(Default)]
struct Decoder {
    values: usize,
    strings: Vec<String>,
    objects: Vec<Value>,
    traits: Vec<Traits>,
}

/// A length, or a reference to something earlier.
enum Header {
    Inline(usize),
    Reference(usize),
}

impl Decoder {
    fn value(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Value, Error> {
        if depth >= MAX_DEPTH {
            return Err(Error::TooDeep(MAX_DEPTH));
        }
        self.count()?;
        match reader.u8()? {
            marker::UNDEFINED => Ok(Value::Undefined),
            marker::NULL => Ok(Value::Null),
            marker::FALSE => Ok(Value::Boolean(false)),
            marker::TRUE => Ok(Value::Boolean(true)),
            // The sign is bit 28.
            marker::INTEGER => Ok(Value::Integer((u29(reader)? << 3).cast_signed() >> 3)),
            marker::DOUBLE => Ok(Value::Double(f64::from_bits(reader.u64()?))),
            marker::STRING => Ok(Value::String(self.string(reader)?)),
            marker::XML | marker::XML_DOCUMENT => self.object_or(reader, |_, reader, length| {
                Ok(Value::Xml(String::from_utf8_lossy(reader.take(length)?).into_owned()))
            }),
            marker::BYTE_ARRAY => self.object_or(reader, |_, reader, length| {
                Ok(Value::ByteArray(reader.take(length)?.to_vec()))
            }),
            marker::DATE => self
                .object_or(reader, |_, reader, _| Ok(Value::Date(f64::from_bits(reader.u64()?)))),
            marker::ARRAY => self.object_or(reader, |decoder, reader, length| {
                let named = decoder.pairs(reader, depth)?;
                let dense = (0..length).map(|_| decoder.value(reader, depth + 1));
                Ok(Value::Array { named, dense: dense.collect::<Result<_, _>>()? })
            }),
            marker::OBJECT => self
                .object_or(reader, |decoder, reader, header| decoder.object(reader, header, depth)),
            other => Err(Error::Marker(other)),
        }
    }

    fn count(&mut self) -> Result<(), Error> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(Error::TooManyValues(MAX_VALUES)) } else { Ok(()) }
    }

    /// §2.2: an object inline, which may be referred to afterwards, or a reference to one. An
    /// object that refers to itself finds null: nobody sends such a thing in a command.
    fn object_or(
        &mut self,
        reader: &mut Reader<'_>,
        inline: impl FnOnce(&mut Self, &mut Reader<'_>, usize) -> Result<Value, Error>,
    ) -> Result<Value, Error> {
        match header(reader)? {
            Header::Reference(index) => {
                let found = self.objects.get(index).ok_or_else(|| nothing(index))?;
                // A copy counts by what it holds, so that references cannot multiply it.
                self.values += size(found);
                if self.values > MAX_VALUES {
                    return Err(Error::TooManyValues(MAX_VALUES));
                }
                Ok(found.clone())
            }
            Header::Inline(length) => {
                let index = self.objects.len();
                self.objects.push(Value::Null);
                let value = inline(self, reader, length)?;
                if let Some(slot) = self.objects.get_mut(index) {
                    slot.clone_from(&value);
                }
                Ok(value)
            }
        }
    }

    fn string(&mut self, reader: &mut Reader<'_>) -> Result<String, Error> {
        match header(reader)? {
            Header::Reference(index) => {
                self.count()?;
                self.strings.get(index).cloned().ok_or_else(|| nothing(index))
            }
            Header::Inline(0) => Ok(String::new()),
            Header::Inline(length) => {
                let string = String::from_utf8_lossy(reader.take(length)?).into_owned();
                self.strings.push(string.clone());
                Ok(string)
            }
        }
    }

    /// Pairs until an empty name.
    fn pairs(
        &mut self,
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Result<Vec<(String, Value)>, Error> {
        let mut pairs = Vec::new();
        loop {
            let name = self.string(reader)?;
            if name.is_empty() {
                return Ok(pairs);
            }
            pairs.push((name, self.value(reader, depth + 1)?));
        }
    }

    /// §3.12; `header` is the object's header without its lowest bit.
    fn object(
        &mut self,
        reader: &mut Reader<'_>,
        header: usize,
        depth: usize,
    ) -> Result<Value, Error> {
        let traits = if header & 1 == 0 {
            let index = header >> 1;
            self.traits.get(index).cloned().ok_or_else(|| nothing(index))?
        } else if header & 2 != 0 {
            return Err(Error::Externalizable);
        } else {
            let class = self.string(reader)?;
            let mut members = Vec::new();
            for _ in 0..header >> 3 {
                self.count()?;
                members.push(self.string(reader)?);
            }
            let traits = Traits { class, dynamic: header & 4 != 0, members };
            self.traits.push(traits.clone());
            traits
        };
        let mut properties = Vec::new();
        for member in traits.members {
            properties.push((member, self.value(reader, depth + 1)?));
        }
        if traits.dynamic {
            properties.extend(self.pairs(reader, depth)?);
        }
        Ok(Value::Object { class: traits.class, properties })
    }
}

fn nothing(index: usize) -> Error {
    Error::Reference(u32::try_from(index).unwrap_or(u32::MAX))
}

/// How many values a value is made of.
fn size(value: &Value) -> usize {
    let pairs = |pairs: &[(String, Value)]| pairs.iter().map(|(_, v)| size(v)).sum::<usize>();
    1 + match value {
        Value::Array { named, dense } => pairs(named) + dense.iter().map(size).sum::<usize>(),
        Value::Object { properties, .. } => pairs(properties),
        // Bytes count in units of what an empty value takes.
        Value::ByteArray(bytes) => bytes.len() / 64,
        Value::Xml(text) => text.len() / 64,
        _ => 0,
    }
}

/// §1.3.1: seven bits a byte, the fourth byte whole.
fn u29(reader: &mut Reader<'_>) -> Result<u32, Error> {
    let mut value = 0;
    for _ in 0..3 {
        let byte = reader.u8()?;
        value = value << 7 | u32::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Ok(value << 8 | u32::from(reader.u8()?))
}

fn header(reader: &mut Reader<'_>) -> Result<Header, Error> {
    let value = usize::try_from(u29(reader)?).unwrap_or(usize::MAX);
    Ok(if value & 1 == 0 { Header::Reference(value >> 1) } else { Header::Inline(value >> 1) })
}

fn put_u29(out: &mut BytesMut, value: u32) {
    let [.., low] = value.to_be_bytes();
    let seven = |shift: u32| (value >> shift & 0x7F).to_le_bytes()[0];
    match value {
        ..0x80 => out.put_u8(low),
        0x80..0x4000 => out.put_slice(&[0x80 | seven(7), seven(0)]),
        0x4000..0x0020_0000 => out.put_slice(&[0x80 | seven(14), 0x80 | seven(7), seven(0)]),
        _ => out.put_slice(&[0x80 | seven(22), 0x80 | seven(15), 0x80 | seven(8), low]),
    }
}

/// A length inline; longer ones than the format can say are cut.
fn put_length(out: &mut BytesMut, length: usize) {
    put_u29(out, u32::try_from(length).unwrap_or(u32::MAX).min(MAX_U29 >> 1) << 1 | 1);
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

fn put_pairs(out: &mut BytesMut, pairs: &[(String, Value)]) {
    for (name, value) in pairs {
        put_bytes(out, name.as_bytes());
        value.encode(out);
    }
    put_length(out, 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Result<Value, Error> {
        Value::decode(&mut Reader::new(bytes))
    }

    #[test]
    fn integers_have_29_bits_and_a_sign() {
        assert_eq!(decode(&[4, 0x7F]), Ok(Value::Integer(127)));
        assert_eq!(decode(&[4, 0x81, 0x00]), Ok(Value::Integer(128)));
        assert_eq!(decode(&[4, 0xFF, 0xFF, 0xFF, 0xFF]), Ok(Value::Integer(-1)));
    }

    #[test]
    fn strings_objects_and_traits_may_be_referred_to() {
        // ["ab", "ab" by reference]
        let array = decode(&[9, 5, 1, 6, 5, b'a', b'b', 6, 0]).unwrap();
        let ab = Value::String("ab".into());
        assert_eq!(array, Value::Array { named: vec![], dense: vec![ab.clone(), ab] });
        assert_eq!(decode(&[6, 2]), Err(Error::Reference(1)));
        assert_eq!(decode(&[0x0A, 0x07]), Err(Error::Externalizable));
    }

    #[test]
    fn references_cannot_multiply() {
        // An array of 99 bytes arrays that refer to the first, again and again, runs into the limit.
        let mut bytes = vec![9, 0x83, 0xFF, 0x7F, 1, 0x0C, 0x83, 0x01];
        bytes.extend([0; 192]);
        bytes.extend([0x0C, 2].repeat(40_000));
        assert_eq!(decode(&bytes), Err(Error::TooManyValues(MAX_VALUES)));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Undefined),
            Just(Value::Null),
            any::<bool>().prop_map(Value::Boolean),
            (-0x1000_0000i32..0x1000_0000).prop_map(Value::Integer),
            any::<i32>().prop_map(|n| Value::Double(f64::from(n) / 7.0)),
            ".{0,12}".prop_map(Value::String),
            "[a-z<>]{0,9}".prop_map(Value::Xml),
            any::<i32>().prop_map(|n| Value::Date(f64::from(n))),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::ByteArray),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            let pairs = prop::collection::vec(("[a-z]{1,5}", inner.clone()), 0..4);
            prop_oneof![
                (pairs.clone(), prop::collection::vec(inner, 0..4))
                    .prop_map(|(named, dense)| Value::Array { named, dense }),
                ("[A-Z]{0,4}", pairs)
                    .prop_map(|(class, properties)| Value::Object { class, properties }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in value()) {
            let mut out = BytesMut::new();
            value.encode(&mut out);
            prop_assert_eq!(decode(&out).unwrap(), value);
        }

        #[test]
        fn noise_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
