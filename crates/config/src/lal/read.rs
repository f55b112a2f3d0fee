//! JSON as Go's decoder reads it, which lal has: names in any case, `null` for what is not set, and
//! of what is said twice the last counts. Two objects of one name are one.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Error, Map, Value};

/// Reads a text. In what comes out, names are in lower case, and nothing is `null`.
pub(super) fn read(text: &str) -> Result<Value, Error> {
    serde_json::from_str::<Loose>(text).map(|loose| loose.0)
}

/// Line and column of the value that counts of those at a path, which was found in [`read`].
pub(super) fn place(text: &str, path: &serde_path_to_error::Path) -> Option<(usize, usize)> {
    use serde_path_to_error::Segment;
    // Lists are not looked into.
    let names = path.iter().map_while(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    let left = Cell::new(usize::MAX);
    let look = || Look { names: &names, left: &left };
    let walk = |look: Look<'_>| look.deserialize(&mut serde_json::Deserializer::from_str(text));
    let error = match walk(look()) {
        Ok(()) => {
            // Nothing stopped it: now it stops at the last one.
            left.set(usize::MAX - left.get());
            walk(look()).err()?
        }
        Err(error) => error,
    };
    Some((error.line(), error.column()))
}

struct Loose(Value);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Loose(item)) = items.next_element()? {
            if !item.is_null() {
                list.push(item);
            }
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, Loose(value))) = members.next_entry::<String, _>()? {
            put(&mut all, name.to_ascii_lowercase(), value);
        }
        Ok(all.into())
    }
}

/// Puts what is said under a name, which may have been said before.
fn put(all: &mut Map<String, Value>, name: String, value: Value) {
    match (all.get_mut(&name), value) {
        (_, Value::Null) => {}
        (Some(Value::Object(before)), Value::Object(more)) => {
            for (name, value) in more {
                put(before, name, value);
            }
        }
        (_, value) => {
            all.insert(name, value);
        }
    }
}

/// Walks to the values of a path, and stops with an error when there are none left to pass by.
#[derive(Clone, Copy)]
struct Look<'a> {
    names: &'a [&'a str],
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.names.is_empty() {
            return deserializer.deserialize_any(self);
        }
        self.left.set(self.left.get().saturating_sub(1));
        if self.left.get() == 0 {
            return deserializer.deserialize_any(Stop);
        }
        IgnoredAny::deserialize(deserializer).map(drop)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            match self.names.split_first() {
                Some((first, names)) if name.eq_ignore_ascii_case(first) => {
                    members.next_value_seed(Look { names, ..self })?;
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Takes nothing, so that the reader says where it is.
struct Stop;

impl<'de> Visitor<'de> for Stop {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_map<A: MapAccess<'de>>(self, _members: A) -> Result<(), A::Error> {
        Err(de::Error::custom("an object"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _items: A) -> Result<(), A::Error> {
        Err(de::Error::custom("a list"))
    }
}
