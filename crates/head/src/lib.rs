//! The heads of text messages that RTSP
//! ([RFC 2326 §4](https://www.rfc-editor.org/rfc/rfc2326#section-4)) and SIP
//! ([RFC 3261 §7](https://www.rfc-editor.org/rfc/rfc3261#section-7)) have in common: where they end,
//! and their header fields.
//!
//! Read leniently, written strictly. Tolerated: bare line feeds, names in any case, folded lines,
//! lines that are no field. First lines and bodies are for each protocol to read, since peers take
//! other liberties with them. HTTP is not read so: what stands between its peers reads it strictly.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

use bytes::{BufMut, BytesMut};

/// The longest head of a message: those with a Digest, and a long query or several `Via`, stay
/// below 2 KiB.
pub const MAX_HEAD: usize = 16 << 10;

/// Header fields of a message; real ones have up to 20.
pub const MAX_FIELDS: usize = 64;

/// How many bytes a head has with its empty line; `None` if that is not there yet. A search goes on
/// at `from`: three bytes before the end of what was searched, since an empty line may be cut.
#[must_use]
pub fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let mut breaks = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    breaks.find_map(|(at, _)| match rest.get(at + 1..)? {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

/// Header fields, in their order; names are found in any case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(Vec<(String, String)>);

/// A head has more than [`MAX_FIELDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl Fields {
    /// Reads the lines of a head behind its first. `full` makes the usual name of a shorter one.
    ///
    /// # Errors
    /// [`TooMany`], when those that may be are read.
    pub fn read<'a>(
        &mut self,
        lines: impl Iterator<Item = &'a str>,
        full: impl Fn(&'a str) -> &'a str,
    ) -> Result<(), TooMany> {
        for line in lines {
            if line.starts_with([' ', '\t']) {
                self.fold(line.trim());
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                continue;
            }
            if self.0.len() >= MAX_FIELDS {
                return Err(TooMany);
            }
            self.0.push((full(name).to_owned(), without_breaks(value.trim().to_owned())));
        }
        Ok(())
    }

    /// Goes on with the last field.
    fn fold(&mut self, line: &str) {
        if let Some((_, value)) = self.0.last_mut() {
            if !value.is_empty() && !line.is_empty() {
                value.push(' ');
            }
            value.push_str(&without_breaks(line.to_owned()));
        }
    }

    /// The value of the first field with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of all fields with this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// Adds a field. Line breaks in the value, which would forge another, become spaces.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), without_breaks(value.into())));
    }

    /// Puts a value in the place of the first one of that name.
    pub fn replace(&mut self, name: &str, value: impl Into<String>) {
        let mut fields = self.0.iter_mut();
        if let Some((_, old)) = fields.find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            *old = without_breaks(value.into());
        }
    }

    /// Takes all fields of a name away, and returns the first value.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let value = self.get(name).map(ToOwned::to_owned);
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        value
    }

    /// Appends them as they are sent, without the empty line.
    pub fn write(&self, out: &mut BytesMut) {
        for (name, value) in &self.0 {
            out.put_slice(name.as_bytes());
            out.put_slice(b": ");
            out.put_slice(value.as_bytes());
            out.put_slice(b"\r\n");
        }
    }
}

fn without_breaks(value: String) -> String {
    if value.contains(['\r', '\n']) { value.replace(['\r', '\n'], " ") } else { value }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Fields {
        let mut fields = Fields::default();
        fields.read(text.lines(), |name| if name == "v" { "Via" } else { name }).unwrap();
        fields
    }

    fn written(fields: &Fields) -> String {
        let mut out = BytesMut::new();
        fields.write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn fields_are_read_leniently() {
        let fields = read(
            " nothing to go on with\r\nv: one\nno field\r\nVIA :two\r\nbad name: x\r\n: y\r\n\
             Subject:\r\n\t folded\r\n  twice \r\n\r\n",
        );
        assert_eq!(written(&fields), "Via: one\r\nVIA: two\r\nSubject: folded twice\r\n");
        assert_eq!(fields.all("via").collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(fields.get("Route"), None);
    }

    #[test]
    fn fields_are_changed_by_their_name() {
        let mut fields = read("A: 1\nB: 2\na: 3\n");
        fields.replace("a", "4\r\n");
        fields.replace("C", "5");
        assert_eq!(written(&fields), "A: 4  \r\nB: 2\r\na: 3\r\n");
        assert_eq!(fields.take("a").as_deref(), Some("4  "));
        assert_eq!(written(&fields), "B: 2\r\n");
        assert_eq!(fields.take("a"), None);
    }

    #[test]
    fn a_value_cannot_forge_a_field() {
        let read = read("Via: a\rRoute: b\n c\rd\n");
        assert_eq!(written(&read), "Via: a Route: b c d\r\n");
        let mut fields = Fields::default();
        fields.push("CSeq", "1\r\nSession: x");
        assert_eq!(written(&fields), "CSeq: 1  Session: x\r\n");
    }

    #[test]
    fn there_are_as_many_fields_as_may_be() {
        let mut fields = Fields::default();
        assert_eq!(fields.read("A: b\n".repeat(MAX_FIELDS).lines(), |name| name), Ok(()));
        assert_eq!(fields.read("no field\n more\n".lines(), |name| name), Ok(()));
        assert_eq!(fields.read("A: b\n".lines(), |name| name), Err(TooMany));
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        for (text, length) in [
            ("a\r\n\r\nb", Some(5)),
            ("a\n\nb", Some(3)),
            ("a\n\r\nb", Some(4)),
            ("a\r\nb\r\n", None),
            ("a\r\n\r", None),
            ("", None),
        ] {
            assert_eq!(end(text.as_bytes(), 0), length, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_search_goes_on_where_it_was(text in "[a\r\n]{0,20}", cut in 0usize..20) {
            let cut = cut.min(text.len());
            let from = if end(&text.as_bytes()[..cut], 0).is_some() { 0 } else { cut.saturating_sub(3) };
            prop_assert_eq!(end(text.as_bytes(), from), end(text.as_bytes(), 0));
        }

        #[test]
        fn what_is_written_is_read_the_same(text in "([A-Ca-c: \t]{0,8}\r?\n){0,10}") {
            let fields = read(&text);
            prop_assert_eq!(read(&written(&fields)), fields);
        }
    }
}
