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

/// The file that a relative reference names; `None` if it is none that [`escape`] writes.
#[must_use]
pub fn unescape(reference: &str) -> Option<String> {
    let mut out = Vec::with_capacity(reference.len());
    let mut rest = reference.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        out.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_back() {
        for name in ["cam-1-2.ts", "my cam-é-1.m4s", "100%", ""] {
            assert_eq!(unescape(&escape(name)).as_deref(), Some(name));
        }
        for bad in ["%", "%2", "%zz", "%FF", "%-1"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
    }

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
