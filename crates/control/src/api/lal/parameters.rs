//! Parameters of requests as lal, a program in Go, reads them.
//!
//! A key that has to be there may be `null`, which is zero or nothing; of a key that is there
//! several times the last one counts, and in a query the first. What is not known is passed over. A
//! value of another type is an error.

use access::query::Query;
use serde_json::{Map, Value};

/// A body, which is an object of JSON.
#[derive(Debug)]
pub(super) struct Body(Map<String, Value>);

/// A key that has to be there is not, or a value is of the wrong type. lal has one answer for all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing;

impl Body {
    /// Reads a body in which these keys must be.
    pub(super) fn read(bytes: &[u8], required: &[&str]) -> Result<Self, Missing> {
        // Of several, a map keeps the last.
        let members: Map<_, _> = serde_json::from_slice(bytes).map_err(|_| Missing)?;
        match required.iter().all(|key| members.contains_key(*key)) {
            true => Ok(Self(members)),
            false => Err(Missing),
        }
    }

    /// A text; an empty one if there is none.
    pub(super) fn text(&self, key: &str) -> Result<String, Missing> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(Missing),
        }
    }

    /// A whole number; `absent` if the key is not there.
    pub(super) fn number(&self, key: &str, absent: i64) -> Result<i64, Missing> {
        match self.0.get(key) {
            None => Ok(absent),
            Some(Value::Null) => Ok(0),
            Some(value) => value.as_i64().ok_or(Missing),
        }
    }
}

/// The value of a query's parameter, unless it is empty.
pub(super) fn of_query(query: Option<&str>, name: &str) -> Option<String> {
    // In queries, unlike in paths, a plus is a blank.
    let query = query?.replace('+', "%20");
    let value = Query::of(&query).get(name)?.into_owned();
    Some(value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_lal_reads_them() {
        let read = |text: &str| Body::read(text.as_bytes(), &["name"]);
        let body = read(r#"{"name": "a", "name": "b", "n": null, "m": -1, "more": [1]}"#).unwrap();
        assert_eq!(body.text("name").as_deref(), Ok("b"), "the last one counts");
        assert_eq!(body.text("n").as_deref(), Ok(""));
        assert_eq!((body.number("n", 7), body.number("o", 7)), (Ok(0), Ok(7)));
        assert_eq!(body.number("m", 7), Ok(-1));
        assert!(body.text("m").is_err() && body.number("name", 0).is_err());
        assert!(read(r#"{"name": null}"#).is_ok_and(|body| body.text("name").unwrap().is_empty()));
        for text in ["", "{}", "[]", "null", r#"{"Name": 1}"#, r#"{"name": "a"} x"#] {
            assert!(read(text).is_err(), "{text}");
        }
        let numbers = Body::read(br#"{"a": 1.5, "b": 18446744073709551615}"#, &[]).unwrap();
        assert!(numbers.number("a", 0).is_err() && numbers.number("b", 0).is_err());
    }

    #[test]
    fn of_parameters_the_first_counts() {
        let name = |query| of_query(Some(query), "stream_name");
        assert_eq!(name("stream_name=a&stream_name=b").as_deref(), Some("a"));
        assert_eq!(name("x=%zz&stream_name=live%2Fa+b").as_deref(), Some("live/a b"));
        assert_eq!(name("stream_name=&stream_name=b"), None);
        assert_eq!(of_query(None, "stream_name"), None);
    }
}
