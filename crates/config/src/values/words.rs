//! What settings share that are one of a few words, or any of them.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::suggest::nearest;

/// Declares enums that are written as one of a few words: for each value its documentation, its name
/// and its word.
macro_rules! choice {
    ($(
        $(#[$about:meta])+
        pub enum $name:ident { $( $(#[$doc:meta])+ $variant:ident = $word:literal, )+ }
    )+) => { $(
        $(#[$about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$doc])+ $variant, )+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that stands for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::values::Word for $name {
            const ALL: &'static [Self] = Self::ALL;

            fn as_str(self) -> &'static str {
                self.as_str()
            }
        }

        // Traits of others need an impl for each type: all words at once cannot have them.
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                $crate::values::Word::find(word)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::values::words::deserialize(from)
            }
        }
    )+ };
}

pub(super) use choice;

/// A word of a `choice`.
pub trait Word: Copy + PartialEq + 'static {
    /// Every one.
    const ALL: &'static [Self];

    /// How it is written.
    fn as_str(self) -> &'static str;

    /// The one that is written like this.
    ///
    /// # Errors
    /// A text that names all, and the one that may have been meant.
    fn find(word: &str) -> Result<Self, String> {
        let mut all = Self::ALL.iter().copied();
        all.find(|known| known.as_str() == word).ok_or_else(|| {
            let guess = nearest(word, Self::ALL.iter().map(|known| known.as_str()));
            let guess = guess.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            format!("{word:?} is not one of {}{guess}", quoted::<Self>())
        })
    }
}

/// Reads one word.
pub(super) fn deserialize<'de, D: Deserializer<'de>, T: Word>(from: D) -> Result<T, D::Error> {
    T::find(&String::deserialize(from)?).map_err(de::Error::custom)
}

/// All words in quotation marks.
fn quoted<T: Word>() -> String {
    let words: Vec<_> = T::ALL.iter().map(|word| format!("{:?}", word.as_str())).collect();
    words.join(", ")
}

/// Any of some words, each once. Written as a list, or as a single word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words<T>(Vec<T>);

impl<T: Word> Words<T> {
    /// Whether a word is among them.
    #[must_use]
    pub fn has(&self, word: T) -> bool {
        self.0.contains(&word)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().copied()
    }
}

impl<T> Default for Words<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Word> fmt::Display for Words<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(T::as_str).collect();
        f.write_str(&words.join(", "))
    }
}

impl<T: Word> FromIterator<T> for Words<T> {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        let mut list = Vec::new();
        for word in words {
            if !list.contains(&word) {
                list.push(word);
            }
        }
        Self(list)
    }
}

impl<T: Word> Serialize for Words<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(T::as_str))
    }
}

impl<'de, T: Word> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany<T>(PhantomData<T>);

        impl<'de, T: Word> de::Visitor<'de> for OneOrMany<T> {
            type Value = Words<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of any of {}", quoted::<T>())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words<T>, E> {
                match text {
                    "" => Ok(Words::default()),
                    text => Ok(Words(vec![T::find(text).map_err(E::custom)?])),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Words<T>, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element::<String>()? {
                    words.push(T::find(&word).map_err(de::Error::custom)?);
                }
                Ok(words.into_iter().collect())
            }
        }

        deserializer.deserialize_any(OneOrMany(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use crate::values::SecondPublisher;

    #[test]
    fn words_have_a_nearest() {
        assert_eq!(
            "takeove".parse::<SecondPublisher>().unwrap_err(),
            r#""takeove" is not one of "refuse", "takeover" (did you mean "takeover"?)"#
        );
    }
}
