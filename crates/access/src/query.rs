//! The parameters behind a stream's name.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A query, read as it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// `text` is what stands behind the `?`.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        Self(text)
    }

    /// The value of a parameter; the first, if there are several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        percent_decode_str(value).decode_utf8().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_is_decoded() {
        let query = Query::of("a=1&b&c=x%20y&a=2&d=%ff");
        assert_eq!(query.get("a").as_deref(), Some("1"));
        assert_eq!(query.get("c").as_deref(), Some("x y"));
        for absent in ["b", "d", "e", ""] {
            assert_eq!(query.get(absent), None, "{absent}");
        }
    }
}
