//! Action Message Format 3: what ActionScript 3 clients put into commands.
//!
//! Adobe, "Action Message Format – AMF 3" (2013), §3. Refused: externalizable objects, which only
//! their class can read; sealed members without a name. Everything is written by value; references
//! are only read. What they refer to is shared, and counts in the [`crate::budget`] as often as it
//! occurs.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use media::Reader;

use crate::Error;
use crate::budget::Budget;

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
    String(Arc<str>),
    /// XML text, of either type.
    Xml(Arc<str>),
    /// Milliseconds since 1970.
    Date(f64),
    /// Named values and numbered ones.
    Array(Arc<Array>),
    /// An object.
    Object(Arc<Object>),
    /// Bytes.
    ByteArray(Bytes),
}

/// §3.11: named values and numbered ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Array {
    /// The associative part; no name is empty.
    pub named: Vec<(Arc<str>, Value)>,
    /// The dense part.
    pub dense: Vec<Value>,
}

/// §3.12: an object with its class.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object {
    /// Its class; empty for an anonymous one.
    pub class: Arc<str>,
    /// Its properties; no name is empty.
    pub properties: Vec<(Arc<str>, Value)>,
}

impl Value {
    /// Reads one value, with the limits of a whole message.
    ///
    /// # Errors
    /// When the bytes end early, nest too deep, hold too many values, repeat too much, refer to
    /// nothing, or have an unknown marker.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        read(reader, &mut Budget::default(), 0)
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
            Self::Array(array) => {
                out.put_u8(marker::ARRAY);
                put_length(out, array.dense.len());
                put_pairs(out, &array.named);
                array.dense.iter().for_each(|value| value.encode(out));
            }
            Self::Object(object) => {
                out.put_u8(marker::OBJECT);
                // Traits by value, dynamic, no sealed members.
                put_u29(out, 0x0B);
                put_bytes(out, object.class.as_bytes());
                put_pairs(out, &object.properties);
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
struct Traits {
    class: Arc<str>,
    dynamic: bool,
    members: Vec<Arc<str>>,
}

/// Reads one value within a message that has used some of `budget`. References reach no further
/// back than to its beginning.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    budget: &mut Budget,
    depth: usize,
) -> Result<Value, Error> {
    let (strings, objects, traits) = (Vec::new(), Vec::new(), Vec::new());
    Decoder { budget, strings, objects, traits }.value(reader, depth)
}

/// Remembers what may be referred to.
struct Decoder<'b> {
    budget: &'b mut Budget,
    strings: Vec<Arc<str>>,
    objects: Vec<Value>,
    traits: Vec<Arc<Traits>>,
}

/// A length, or a reference to something earlier.
enum Header {
    Inline(usize),
    Reference(usize),
}

impl Decoder<'_> {
    fn value(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Value, Error> {
        self.budget.value(depth)?;
        match reader.u8()? {
            marker::UNDEFINED => Ok(Value::Undefined),
            marker::NULL => Ok(Value::Null),
            marker::FALSE => Ok(Value::Boolean(false)),
            marker::TRUE => Ok(Value::Boolean(true)),
            // The sign is bit 28.
            marker::INTEGER => Ok(Value::Integer((u29(reader)? << 3).cast_signed() >> 3)),
            marker::DOUBLE => Ok(Value::Double(f64::from_bits(reader.u64()?))),
            marker::STRING => Ok(Value::String(self.string(reader)?)),
            marker::XML | marker::XML_DOCUMENT => {
                self.object_or(reader, depth, |_, reader, len| Ok(Value::Xml(text(reader, len)?)))
            }
            marker::BYTE_ARRAY => self.object_or(reader, depth, |_, reader, length| {
                Ok(Value::ByteArray(Bytes::copy_from_slice(reader.take(length)?)))
            }),
            marker::DATE => self.object_or(reader, depth, |_, reader, _| {
                Ok(Value::Date(f64::from_bits(reader.u64()?)))
            }),
            marker::ARRAY => self.object_or(reader, depth, |decoder, reader, length| {
                let named = decoder.pairs(reader, depth)?;
                let dense = (0..length).map(|_| decoder.value(reader, depth + 1));
                Ok(Value::Array(Arc::new(Array { named, dense: dense.collect::<Result<_, _>>()? })))
            }),
            marker::OBJECT => self.object_or(reader, depth, |decoder, reader, header| {
                decoder.object(reader, header, depth)
            }),
            other => Err(Error::Marker(other)),
        }
    }

    /// Something that can be referred to: reads it with `inline`, or finds it by its number. An
    /// object that refers to itself finds null: nobody sends such a thing in a command.
    fn object_or(
        &mut self,
        reader: &mut Reader<'_>,
        depth: usize,
        inline: impl FnOnce(&mut Self, &mut Reader<'_>, usize) -> Result<Value, Error>,
    ) -> Result<Value, Error> {
        match header(reader)? {
            Header::Reference(index) => {
                let found = self.objects.get(index).ok_or_else(|| nothing(index))?;
                let extent = Extent::of(found);
                Budget::levels(depth, extent.height)?;
                // The reference itself is counted already.
                self.budget.values(extent.values - 1)?;
                self.budget.copied(extent.bytes)?;
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

    fn string(&mut self, reader: &mut Reader<'_>) -> Result<Arc<str>, Error> {
        match header(reader)? {
            Header::Reference(index) => {
                let found = self.strings.get(index).ok_or_else(|| nothing(index))?;
                self.budget.copied(found.len())?;
                Ok(Arc::clone(found))
            }
            Header::Inline(0) => Ok(Arc::default()),
            Header::Inline(length) => {
                let string = text(reader, length)?;
                self.strings.push(Arc::clone(&string));
                Ok(string)
            }
        }
    }

    /// Pairs until an empty name.
    fn pairs(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Pairs, Error> {
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
        let traits = self.traits(reader, header)?;
        let mut properties = Vec::new();
        for member in &traits.members {
            properties.push((Arc::clone(member), self.value(reader, depth + 1)?));
        }
        if traits.dynamic {
            properties.extend(self.pairs(reader, depth)?);
        }
        Ok(Value::Object(Arc::new(Object { class: Arc::clone(&traits.class), properties })))
    }

    fn traits(&mut self, reader: &mut Reader<'_>, header: usize) -> Result<Arc<Traits>, Error> {
        if header & 1 == 0 {
            let index = header >> 1;
            let found = self.traits.get(index).ok_or_else(|| nothing(index))?;
            let names = found.members.iter().map(|member| member.len()).sum::<usize>();
            self.budget.copied(found.class.len() + names)?;
            return Ok(Arc::clone(found));
        }
        if header & 2 != 0 {
            return Err(Error::Externalizable);
        }
        let class = self.string(reader)?;
        let mut members = Vec::new();
        for _ in 0..header >> 3 {
            // Names count like the values that they announce.
            self.budget.values(1)?;
            let member = self.string(reader)?;
            if member.is_empty() {
                return Err(
                    media::Error::Invalid { what: "length of a member's name", value: 0 }.into()
                );
            }
            members.push(member);
        }
        let traits = Arc::new(Traits { class, dynamic: header & 4 != 0, members });
        self.traits.push(Arc::clone(&traits));
        Ok(traits)
    }
}

type Pairs = Vec<(Arc<str>, Value)>;

/// What a value holds, with every reference in it as what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Extent {
    /// The value and those in it.
    values: usize,
    /// Bytes of names, strings and byte arrays.
    bytes: usize,
    /// Levels: one for a value that holds no others.
    height: usize,
}

impl Extent {
    /// Takes as many steps as there are values, which the budget bounds.
    fn of(value: &Value) -> Self {
        let mut inner = Self::default();
        match value {
            Value::String(text) | Value::Xml(text) => inner.bytes = text.len(),
            Value::ByteArray(bytes) => inner.bytes = bytes.len(),
            Value::Array(array) => {
                inner.add_pairs(&array.named);
                array.dense.iter().for_each(|value| inner.add(Self::of(value)));
            }
            Value::Object(object) => {
                inner.bytes = object.class.len();
                inner.add_pairs(&object.properties);
            }
            _ => {}
        }
        Self { values: inner.values + 1, bytes: inner.bytes, height: inner.height + 1 }
    }

    fn add_pairs(&mut self, pairs: &[(Arc<str>, Value)]) {
        for (name, value) in pairs {
            self.bytes += name.len();
            self.add(Self::of(value));
        }
    }

    fn add(&mut self, other: Self) {
        self.values += other.values;
        self.bytes += other.bytes;
        self.height = self.height.max(other.height);
    }
}

fn nothing(index: usize) -> Error {
    Error::Reference(u32::try_from(index).unwrap_or(u32::MAX))
}

fn text(reader: &mut Reader<'_>, length: usize) -> Result<Arc<str>, Error> {
    Ok(String::from_utf8_lossy(reader.take(length)?).into())
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

fn put_pairs(out: &mut BytesMut, pairs: &[(Arc<str>, Value)]) {
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
    use crate::budget::{MAX_COPIED, MAX_DEPTH, MAX_VALUES};

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
        let ab = Value::String("ab".into());
        let wanted = array([ab.clone(), ab]);
        assert_eq!(decode(&[9, 5, 1, 6, 5, b'a', b'b', 6, 0]), Ok(wanted));
        assert_eq!(decode(&[6, 2]), Err(Error::Reference(1)));
        // [C { m: true }, one of the same traits with m: false, the first again]
        let c = |truth| {
            let properties = vec![("m".into(), Value::Boolean(truth))];
            Value::Object(Arc::new(Object { class: "C".into(), properties }))
        };
        let bytes = [9, 7, 1, 0x0A, 0x13, 3, b'C', 3, b'm', 3, 0x0A, 1, 2, 0x0A, 2];
        assert_eq!(decode(&bytes), Ok(array([c(true), c(false), c(true)])));
    }

    #[test]
    fn what_cannot_be_written_again_is_refused() {
        assert_eq!(decode(&[0x0A, 0x07]), Err(Error::Externalizable));
        // A sealed member without a name.
        assert!(matches!(decode(&[0x0A, 0x13, 1, 1, 3]), Err(Error::Field(_))));
    }

    #[test]
    fn references_share_what_they_refer_to() {
        let bytes = [9, 5, 1, 0x0C, 5, 7, 7, 0x0C, 2];
        let Ok(Value::Array(array)) = decode(&bytes) else { panic!("no array") };
        let [Value::ByteArray(first), Value::ByteArray(second)] = &array.dense[..] else {
            panic!("no bytes: {array:?}")
        };
        assert_eq!(first.as_ptr(), second.as_ptr());
    }

    #[test]
    fn repeated_objects_count_their_values_and_bytes() {
        // An array of a byte array of 96 bytes and references to it.
        let mut bytes = vec![9, 0x83, 0xFF, 0x7F, 1, 0x0C, 0x81, 0x41];
        bytes.extend([0; 96]);
        bytes.extend([0x0C, 2].repeat(MAX_COPIED / 96 + 1));
        assert_eq!(decode(&bytes), Err(Error::TooMuchRepeated(MAX_COPIED)));

        // [[1 × 100], itself × 200]
        let mut bytes = vec![9, 0x83, 0x13, 1, 9, 0x81, 0x49, 1];
        bytes.extend([1; 100]);
        bytes.extend([9, 2].repeat(200));
        assert_eq!(decode(&bytes), Err(Error::TooManyValues(MAX_VALUES)));

        // Each array holds the one before it twice.
        let mut bytes = vec![9, 41, 1, 9, 1, 1];
        for before in 1..20 {
            bytes.extend([9, 5, 1, 9, before << 1, 9, before << 1]);
        }
        assert!(decode(&bytes).is_err());
    }

    #[test]
    fn repeated_names_count_their_bytes() {
        let long = [b'n'; 0x3F];
        let heading = |bytes: &[u8]| [bytes, &[0x7F], &long].concat();
        // Names of pairs.
        let mut bytes = heading(&[9, 1]);
        bytes.push(1);
        bytes.extend([0, 1].repeat(MAX_COPIED / 0x3F + 1));
        assert_eq!(decode(&bytes), Err(Error::TooMuchRepeated(MAX_COPIED)));
        // Names of classes, by their traits.
        let mut bytes = heading(&[9, 0x83, 0xFF, 0x7F, 1, 0x0A, 0x03]);
        bytes.extend([0x0A, 1].repeat(MAX_COPIED / 0x3F + 1));
        assert_eq!(decode(&bytes), Err(Error::TooMuchRepeated(MAX_COPIED)));
        // Names of members that never get a value.
        let mut bytes = vec![0x0A, 0xFF, 0xFF, 0xFF, 0xF3, 1, 3, b'n'];
        bytes.extend([0].repeat(MAX_VALUES));
        assert_eq!(decode(&bytes), Err(Error::TooManyValues(MAX_VALUES)));
    }

    #[test]
    fn references_nest_no_deeper_than_values() {
        // [[[…]] eight deep, and the same under `levels` more]
        let nested = |levels: usize| {
            let mut bytes = vec![9, 5, 1];
            bytes.extend([9, 3, 1].repeat(7));
            bytes.extend([9, 1, 1]);
            bytes.extend([9, 3, 1].repeat(levels));
            bytes.extend([9, 2]);
            decode(&bytes)
        };
        let fitting = MAX_DEPTH - 9;
        assert_eq!(Extent::of(&nested(fitting).unwrap()).height, MAX_DEPTH);
        assert_eq!(nested(fitting + 1), Err(Error::TooDeep(MAX_DEPTH)));
    }

    fn array<const N: usize>(dense: [Value; N]) -> Value {
        Value::Array(Arc::new(Array { named: vec![], dense: dense.into() }))
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Undefined),
            Just(Value::Null),
            any::<bool>().prop_map(Value::Boolean),
            (-0x1000_0000i32..0x1000_0000).prop_map(Value::Integer),
            any::<i32>().prop_map(|n| Value::Double(f64::from(n) / 7.0)),
            ".{0,12}".prop_map(|text| Value::String(text.into())),
            "[a-z<>]{0,9}".prop_map(|text| Value::Xml(text.into())),
            any::<i32>().prop_map(|n| Value::Date(f64::from(n))),
            prop::collection::vec(any::<u8>(), 0..20)
                .prop_map(|bytes| Value::ByteArray(bytes.into())),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            let pair = ("[a-z]{1,5}".prop_map(Arc::from), inner.clone());
            let pairs = prop::collection::vec(pair, 0..4);
            prop_oneof![
                (pairs.clone(), prop::collection::vec(inner, 0..4))
                    .prop_map(|(named, dense)| Value::Array(Arc::new(Array { named, dense }))),
                ("[A-Z]{0,4}", pairs).prop_map(|(class, properties)| {
                    Value::Object(Arc::new(Object { class: class.into(), properties }))
                }),
            ]
        })
    }

    /// Bytes that are more likely than noise to be values that refer to each other.
    fn plausible() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => 0u8..0x10,
            1 => prop::sample::select(vec![0x13, 0x17, 0x21, 0x41, 0xFF]),
        ];
        prop::collection::vec(byte, 0..400)
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

        #[test]
        fn no_value_exceeds_the_budget(bytes in plausible()) {
            let mut reader = Reader::new(&bytes);
            while let Ok(value) = Value::decode(&mut reader) {
                let extent = Extent::of(&value);
                prop_assert!(extent.values <= MAX_VALUES);
                prop_assert!(extent.bytes <= 3 * bytes.len() + MAX_COPIED);
                prop_assert!(extent.height <= MAX_DEPTH);
                let mut out = BytesMut::new();
                value.encode(&mut out);
                prop_assert_eq!(Extent::of(&decode(&out).unwrap()), extent);
            }
        }
    }
}
