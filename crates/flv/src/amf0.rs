//! Action Message Format 0: the values of RTMP commands and of metadata.
//!
//! Adobe, "Action Message Format – AMF 0" (2007), §2. Tolerated: ECMA arrays whose count is wrong,
//! objects whose end marker is missing at the end of the message, strings that are not UTF-8 (read
//! lossily).

use std::iter::FusedIterator;

use bytes::{BufMut, BytesMut};
use media::Reader;

use crate::budget::Budget;
use crate::{Error, amf3};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A double.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// A string of either length form.
    String(String),
    /// An anonymous object.
    Object(Object),
    /// A reserved type without contents.
    MovieClip,
    /// No object.
    Null,
    /// No value.
    Undefined,
    /// The object that came as number so-and-so before, in the same message.
    Reference(u16),
    /// An associative array.
    EcmaArray(Object),
    /// An array.
    StrictArray(Vec<Self>),
    /// A point in time.
    Date {
        /// Milliseconds since 1970.
        millis: f64,
        /// Reserved; minutes in some implementations.
        zone: i16,
    },
    /// A type that the sender could not serialise.
    Unsupported,
    /// A reserved type without contents.
    RecordSet,
    /// XML text.
    Xml(String),
    /// An object of a named class.
    TypedObject {
        /// The class.
        class: String,
        /// Its properties.
        object: Object,
    },
    /// A value in AMF 3.
    Amf3(amf3::Value),
}

/// Named values in the order they came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(String, Value)>);

/// Reads the values of a message one after the other; the limits of [`crate::budget`] hold for
/// all together. It ends with the bytes, or with the first error.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    reader: Reader<'a>,
    budget: Budget,
    failed: bool,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), budget: Budget::default(), failed: false }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.reader.offset()
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<Value, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.is_empty() {
            return None;
        }
        let value = read(&mut self.reader, &mut self.budget, 0);
        self.failed = value.is_err();
        Some(value)
    }
}

impl FusedIterator for Decoder<'_> {}

impl Value {
    /// Reads one value, with the limits of a whole message; [`Decoder`] reads several.
    ///
    /// # Errors
    /// When the bytes end early, nest too deep, hold too many values, repeat too much, or have an
    /// unknown marker.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        read(reader, &mut Budget::default(), 0)
    }

    /// Reads values until the bytes end.
    ///
    /// # Errors
    /// As [`Value::decode`]; the limits hold for all together.
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, Error> {
        Decoder::new(bytes).collect()
    }

    /// Appends the value.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Number(number) => {
                out.put_u8(marker::NUMBER);
                out.put_f64(*number);
            }
            Self::Boolean(truth) => out.put_slice(&[marker::BOOLEAN, u8::from(*truth)]),
            Self::String(string) => put_string(out, marker::STRING, marker::LONG_STRING, string),
            Self::Object(object) => {
                out.put_u8(marker::OBJECT);
                object.encode(out);
            }
            Self::MovieClip => out.put_u8(marker::MOVIE_CLIP),
            Self::Null => out.put_u8(marker::NULL),
            Self::Undefined => out.put_u8(marker::UNDEFINED),
            Self::Reference(index) => {
                out.put_u8(marker::REFERENCE);
                out.put_u16(*index);
            }
            Self::EcmaArray(object) => {
                out.put_u8(marker::ECMA_ARRAY);
                out.put_u32(u32::try_from(object.0.len()).unwrap_or(u32::MAX));
                object.encode(out);
            }
            Self::StrictArray(values) => {
                let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
                out.put_u8(marker::STRICT_ARRAY);
                out.put_u32(count);
                values.iter().for_each(|value| value.encode(out));
            }
            Self::Date { millis, zone } => {
                out.put_u8(marker::DATE);
                out.put_f64(*millis);
                out.put_i16(*zone);
            }
            Self::Unsupported => out.put_u8(marker::UNSUPPORTED),
            Self::RecordSet => out.put_u8(marker::RECORD_SET),
            Self::Xml(text) => {
                out.put_u8(marker::XML);
                put_long(out, text);
            }
            Self::TypedObject { class, object } => {
                out.put_u8(marker::TYPED_OBJECT);
                put_key(out, class);
                object.encode(out);
            }
            Self::Amf3(value) => {
                out.put_u8(marker::AMF3);
                value.encode(out);
            }
        }
    }

    /// The number, if it is one; a boolean counts as 0 or 1, as some encoders write it.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Boolean(truth) => Some(f64::from(u8::from(*truth))),
            Self::Amf3(value) => value.as_number(),
            _ => None,
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(string) => Some(string),
            Self::Amf3(value) => value.as_str(),
            _ => None,
        }
    }

    /// The truth value, if it is one; a number counts by being zero or not.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            Self::Number(number) => Some(*number != 0.0),
            Self::Amf3(value) => value.as_bool(),
            _ => None,
        }
    }

    /// The properties of an object of any kind.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) | Self::EcmaArray(object) | Self::TypedObject { object, .. } => {
                Some(object)
            }
            _ => None,
        }
    }

    /// The values of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::StrictArray(values) => Some(values),
            _ => None,
        }
    }
}

impl Object {
    /// An object without properties.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The first property of this name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets a property: the old value is replaced, or it is put last.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// With one more property.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// The properties in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many properties there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn encode(&self, out: &mut BytesMut) {
        for (key, value) in &self.0 {
            put_key(out, key);
            value.encode(out);
        }
        out.put_slice(&[0, 0, marker::OBJECT_END]);
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl From<&str> for Value {
    fn from(string: &str) -> Self {
        Self::String(string.to_owned())
    }
}

impl From<String> for Value {
    fn from(string: String) -> Self {
        Self::String(string)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

/// §2.1.
mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const MOVIE_CLIP: u8 = 0x04;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const REFERENCE: u8 = 0x07;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0A;
    pub(super) const DATE: u8 = 0x0B;
    pub(super) const LONG_STRING: u8 = 0x0C;
    pub(super) const UNSUPPORTED: u8 = 0x0D;
    pub(super) const RECORD_SET: u8 = 0x0E;
    pub(super) const XML: u8 = 0x0F;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
    pub(super) const AMF3: u8 = 0x11;
}

fn read(reader: &mut Reader<'_>, budget: &mut Budget, depth: usize) -> Result<Value, Error> {
    budget.value(depth)?;
    Ok(match reader.u8()? {
        marker::NUMBER => Value::Number(number(reader)?),
        marker::BOOLEAN => Value::Boolean(reader.u8()? != 0),
        marker::STRING => Value::String(short_string(reader)?),
        marker::OBJECT => Value::Object(read_object(reader, budget, depth)?),
        marker::MOVIE_CLIP => Value::MovieClip,
        marker::NULL => Value::Null,
        marker::UNDEFINED => Value::Undefined,
        marker::REFERENCE => Value::Reference(reader.u16()?),
        marker::ECMA_ARRAY => {
            // The count is a hint, and often a wrong one: the end marker counts.
            reader.u32()?;
            Value::EcmaArray(read_object(reader, budget, depth)?)
        }
        marker::STRICT_ARRAY => {
            let count = reader.u32()?;
            let values = (0..count).map(|_| read(reader, budget, depth + 1));
            Value::StrictArray(values.collect::<Result<_, _>>()?)
        }
        marker::DATE => {
            let millis = number(reader)?;
            Value::Date { millis, zone: reader.u16()?.cast_signed() }
        }
        marker::LONG_STRING => Value::String(long_string(reader)?),
        marker::UNSUPPORTED => Value::Unsupported,
        marker::RECORD_SET => Value::RecordSet,
        marker::XML => Value::Xml(long_string(reader)?),
        marker::TYPED_OBJECT => Value::TypedObject {
            class: short_string(reader)?,
            object: read_object(reader, budget, depth)?,
        },
        marker::AMF3 => Value::Amf3(amf3::read(reader, budget, depth + 1)?),
        other => return Err(Error::Marker(other)),
    })
}

/// §2.5: pairs until an empty key with the end marker, or until the bytes end.
fn read_object(
    reader: &mut Reader<'_>,
    budget: &mut Budget,
    depth: usize,
) -> Result<Object, Error> {
    let mut object = Object::new();
    while !reader.is_empty() {
        let key = short_string(reader)?;
        if key.is_empty() && reader.rest().first() == Some(&marker::OBJECT_END) {
            reader.u8()?;
            break;
        }
        let value = read(reader, budget, depth + 1)?;
        object.0.push((key, value));
    }
    Ok(object)
}

fn number(reader: &mut Reader<'_>) -> Result<f64, Error> {
    Ok(f64::from_bits(reader.u64()?))
}

fn short_string(reader: &mut Reader<'_>) -> Result<String, Error> {
    let length = usize::from(reader.u16()?);
    Ok(String::from_utf8_lossy(reader.take(length)?).into_owned())
}

fn long_string(reader: &mut Reader<'_>) -> Result<String, Error> {
    let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    Ok(String::from_utf8_lossy(reader.take(length)?).into_owned())
}

fn put_string(out: &mut BytesMut, short: u8, long: u8, string: &str) {
    if let Ok(length) = u16::try_from(string.len()) {
        out.put_u8(short);
        out.put_u16(length);
        out.put_slice(string.as_bytes());
    } else {
        out.put_u8(long);
        put_long(out, string);
    }
}

fn put_long(out: &mut BytesMut, string: &str) {
    let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
    out.put_u32(length);
    out.put_slice(string.as_bytes().get(..length as usize).unwrap_or_default());
}

/// Keys and class names have no long form: longer ones are cut at a character's boundary.
fn put_key(out: &mut BytesMut, key: &str) {
    let end = (0..=key.len().min(usize::from(u16::MAX))).rev().find(|i| key.is_char_boundary(*i));
    let key = key.get(..end.unwrap_or(0)).unwrap_or_default();
    out.put_u16(u16::try_from(key.len()).unwrap_or(u16::MAX));
    out.put_slice(key.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::budget::{MAX_COPIED, MAX_DEPTH, MAX_VALUES};

    fn encode(value: &Value) -> BytesMut {
        let mut out = BytesMut::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn golden_bytes_of_a_command() {
        let info = Object::new().with("code", "ok").with("n", 1.0);
        assert_eq!(
            &encode(&info.into())[..],
            b"\x03\0\x04code\x02\0\x02ok\0\x01n\0\x3F\xF0\0\0\0\0\0\0\0\0\x09"
        );
    }

    #[test]
    fn wrong_counts_and_missing_ends_are_tolerated() {
        // An ECMA array that announces 99 pairs, and ends without a marker.
        let bytes = b"\x08\0\0\0\x63\0\x01a\x01\x01";
        let value = Value::decode(&mut Reader::new(bytes)).unwrap();
        assert_eq!(value, Value::EcmaArray(Object::new().with("a", true)));
    }

    #[test]
    fn depth_and_count_are_limited() {
        let deep = [0x0A, 0, 0, 0, 1].repeat(MAX_DEPTH + 1);
        assert_eq!(Value::decode(&mut Reader::new(&deep)), Err(Error::TooDeep(MAX_DEPTH)));
        let mut many = vec![0x0A, 0xFF, 0xFF, 0xFF, 0xFF];
        many.resize(MAX_VALUES + 100, 0x05);
        assert_eq!(Value::decode(&mut Reader::new(&many)), Err(Error::TooManyValues(MAX_VALUES)));
    }

    #[test]
    fn a_switch_to_amf3_renews_no_limit() {
        // AMF3 arrays of many nulls: each is within the limit, all together are not.
        let mut array = vec![marker::AMF3, 0x09, 0xBE, 0x41, 0x01];
        array.extend([0x01; 4_000]);
        assert!(Value::decode_all(&array).is_ok());
        assert_eq!(Value::decode_all(&array.repeat(5)), Err(Error::TooManyValues(MAX_VALUES)));

        // AMF3 arrays of one byte array and 99 references to it.
        let mut array = vec![marker::AMF3, 0x09, 0x81, 0x49, 0x01, 0x0C, 0x87, 0x69];
        array.extend([0; 500]);
        array.extend([0x0C, 0x02].repeat(99));
        assert!(Value::decode_all(&array).is_ok());
        assert_eq!(Value::decode_all(&array.repeat(6)), Err(Error::TooMuchRepeated(MAX_COPIED)));

        // Strict arrays around AMF3 arrays.
        let nested = |outer: usize, inner: usize| {
            let mut bytes = [0x0A, 0, 0, 0, 1].repeat(outer);
            bytes.push(marker::AMF3);
            bytes.extend([0x09, 0x03, 0x01].repeat(inner));
            bytes.push(0x01);
            Value::decode_all(&bytes)
        };
        assert!(nested(8, MAX_DEPTH - 10).is_ok());
        assert_eq!(nested(8, MAX_DEPTH - 9), Err(Error::TooDeep(MAX_DEPTH)));
    }

    #[test]
    fn a_decoder_ends_with_the_first_error() {
        let mut decoder = Decoder::new(b"\x05\x01\x01\xFF\x05");
        assert_eq!(decoder.next(), Some(Ok(Value::Null)));
        assert_eq!(decoder.offset(), 1);
        assert_eq!(decoder.next(), Some(Ok(Value::Boolean(true))));
        assert_eq!(decoder.next(), Some(Err(Error::Marker(0xFF))));
        assert_eq!(decoder.next(), None);
    }

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i32>().prop_map(|n| Value::Number(f64::from(n) / 3.0)),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,20}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            Just(Value::Unsupported),
            any::<u16>().prop_map(Value::Reference),
            (any::<i32>(), any::<i16>())
                .prop_map(|(millis, zone)| Value::Date { millis: f64::from(millis), zone }),
            "[a-z<>]{0,9}".prop_map(Value::Xml),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        leaf().prop_recursive(4, 40, 6, |inner| {
            let object = prop::collection::btree_map("[a-z]{1,6}", inner.clone(), 0..5)
                .prop_map(|map| Object(map.into_iter().collect()));
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(Value::StrictArray),
                object.clone().prop_map(Value::Object),
                object.clone().prop_map(Value::EcmaArray),
                ("[A-Za-z.]{1,9}", object)
                    .prop_map(|(class, object)| Value::TypedObject { class, object }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(value(), 0..4)) {
            let mut out = BytesMut::new();
            values.iter().for_each(|value| value.encode(&mut out));
            prop_assert_eq!(Value::decode_all(&out).unwrap(), values);
        }

        #[test]
        fn noise_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Value::decode_all(&bytes);
        }
    }
}
