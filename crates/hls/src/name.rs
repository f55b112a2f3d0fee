//! What files are called: `NAME-MILLISECONDS-NUMBER.ts`, as lal names them, with the number of a
//! part behind that of its segment.

use std::fmt::Write as _;

/// The name of a segment that began at `unix_ms`, without an extension.
pub(crate) fn segment(stem: &str, unix_ms: i64, number: u64) -> String {
    format!("{stem}-{unix_ms}-{number}")
}

/// The stream that a file belongs to: its name up to the second-last `-`.
#[must_use]
pub fn stem(file: &str) -> Option<&str> {
    let (rest, last) = file.rsplit_once('-')?;
    let (stem, middle) = rest.rsplit_once('-')?;
    let numbers = !middle.is_empty() && middle.bytes().all(|byte| byte.is_ascii_digit());
    (numbers && !stem.is_empty() && !last.is_empty()).then_some(stem)
}

/// A file's name as a relative reference (RFC 3986 §4.2).
#[must_use]
pub fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_found_in_the_name_of_a_file() {
        for (file, expected) in [
            ("cam-1700000000000-12.ts", Some("cam")),
            ("front-door-1-1700000000000-12.3.m4s", Some("front-door-1")),
            ("cam-1700000000000-init.mp4", Some("cam")),
            ("--1-2.ts", Some("-")),
            ("cam-x-2.ts", None),
            ("-1-2.ts", None),
            ("cam.ts", None),
            ("", None),
        ] {
            assert_eq!(stem(file), expected, "{file}");
        }
    }

    #[test]
    fn names_become_references() {
        assert_eq!(escape("a b?/ü"), "a%20b%3F%2F%C3%BC");
        assert_eq!(escape("cam-1_2.~x"), "cam-1_2.~x");
    }
}
