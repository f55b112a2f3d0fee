//! The request target ([RFC 9112, 3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)), split
//! and decoded once so that nobody behind this module meets an escape.
//!
//! A path that decodes to a control character, to a `.` or `..` segment or to something that is
//! not UTF-8 is refused: none of them names a stream, and each is a way around a rule that looks
//! at names. `%2F` decodes to a separator, before segments are looked at.

/// A target taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The authority of an absolute-form target, which overrides `Host`.
    pub(crate) authority: Option<String>,
    /// Decoded; begins with `/`, or is `*`.
    pub(crate) path: String,
    /// As sent, without the question mark.
    pub(crate) query: String,
}

/// Splits and decodes a target.
///
/// # Errors
/// A sentence for the peer.
pub(crate) fn parse(target: &str, is_options: bool) -> Result<Target, &'static str> {
    if target == "*" {
        return if is_options {
            Ok(Target { authority: None, path: target.to_owned(), query: String::new() })
        } else {
            Err("the target '*' belongs to OPTIONS only")
        };
    }
    if target.contains('#') {
        return Err("a request target has no fragment; leave out '#' and what follows");
    }
    let (authority, rest) = split_absolute(target)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok(Target { authority, path: decode_path(path)?, query: query.to_owned() })
}

/// Whether `authority` is a plausible `host[:port]`: what `Host` may say.
pub(crate) fn is_authority(authority: &str) -> bool {
    authority
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b >= 0x80 || b"-._~%!$&'()*+,;=:[]".contains(&b))
}

/// Takes `http://authority` off the front of an absolute-form target.
fn split_absolute(target: &str) -> Result<(Option<String>, &str), &'static str> {
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let (scheme, rest) =
        target.split_once("://").ok_or("the request target must begin with '/' or 'http://'")?;
    if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err("the scheme of the request target is not one of http, https, ws and wss");
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if authority.is_empty() || !is_authority(authority) {
        return Err("the request target names no valid host");
    }
    Ok((Some(authority.to_owned()), rest))
}

fn decode_path(path: &str) -> Result<String, &'static str> {
    if path.is_empty() {
        return Ok("/".to_owned());
    }
    let decoded = percent_decode(path).ok_or("'%' must be followed by two hexadecimal digits")?;
    let decoded = String::from_utf8(decoded).map_err(|_| "the path must be UTF-8")?;
    if decoded.chars().any(char::is_control) {
        return Err("the path must not contain control characters");
    }
    // A backslash is a separator to some file systems.
    if decoded.split(['/', '\\']).any(|segment| segment == "." || segment == "..") {
        return Err("the path must not contain '.' or '..' segments");
    }
    Ok(decoded)
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => (nibble(bytes.next()?)? << 4) | nibble(bytes.next()?)?,
            plain => plain,
        });
    }
    Some(out)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(target: &str) -> (Option<String>, String, String) {
        let t = parse(target, false).unwrap_or_else(|e| panic!("{target}: {e}"));
        (t.authority, t.path, t.query)
    }

    #[test]
    fn forms_of_section_3_2() {
        let s = |t: &str| t.to_owned();
        let rows = [
            ("/", None, "/", ""),
            ("/live/a.flv?x=1&y=%2F", None, "/live/a.flv", "x=1&y=%2F"),
            ("/live/%E7%9B%B4.flv", None, "/live/直.flv", ""),
            ("/live/直.flv", None, "/live/直.flv", ""),
            ("/a%2fb", None, "/a/b", ""),
            ("/a?b?c", None, "/a", "b?c"),
            ("/a...b/..c/d..", None, "/a...b/..c/d..", ""),
            ("HTTP://h:8080/a", Some("h:8080"), "/a", ""),
            ("ws://[::1]/a?b", Some("[::1]"), "/a", "b"),
            ("http://h", Some("h"), "/", ""),
            ("http://h?q", Some("h"), "/", "q"),
        ];
        for (target, authority, path, query) in rows {
            assert_eq!(split(target), (authority.map(s), s(path), s(query)), "{target}");
        }
        assert_eq!(parse("*", true).unwrap().path, "*");
    }

    #[test]
    fn hostile_shapes_are_refused() {
        for bad in [
            "",
            "*",
            "live/a.flv",
            "h:443",
            "ftp://h/a",
            "http:///a",
            "http://u@h/a",
            "/a#b",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/%00",
            "/a%0d%0ab",
            "/%7f",
            "/%C2%85",
            "/%ff",
            "/..",
            "/../x",
            "/a/..",
            "/a/%2e%2e/b",
            "/.%2e",
            "/a%2f..%2fb",
            "/a/./b",
            "/..%5cb",
            "/a\\..\\b",
        ] {
            assert!(parse(bad, false).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_clean(target in "\\PC{0,40}") {
            if let Ok(t) = parse(&target, false) {
                prop_assert!(t.path.starts_with('/'));
                prop_assert!(!t.path.split('/').any(|s| s == ".." || s == "."));
                prop_assert!(!t.path.contains('\0'));
            }
        }

        #[test]
        fn escaping_every_byte_changes_nothing(name in "[a-zA-Z0-9 äé直-]{1,20}") {
            let escaped: String = name.bytes().map(|b| format!("%{b:02X}")).collect();
            prop_assert_eq!(split(&format!("/{escaped}")).1, format!("/{name}"));
        }
    }
}
