//! What addresses begin with.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What addresses of one kind begin with, any of these. Written as a list, or as a single one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefixes(Vec<String>);

impl Prefixes {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &str> + '_ {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A single one.
    pub(crate) fn one(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
}

impl FromIterator<String> for Prefixes {
    fn from_iter<I: IntoIterator<Item = String>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl Serialize for Prefixes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            all => serializer.collect_seq(all),
        }
    }
}

impl<'de> Deserialize<'de> for Prefixes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Prefixes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text such as \"/live/\", or a list of such")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Prefixes, E> {
                Ok(Prefixes::one(text))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Prefixes, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(Prefixes(all))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}
