//! The characters of a playlist: lines, attribute lists and numbers (RFC 8216bis §4.1 and §4.2).

use std::collections::BTreeMap;
use std::time::Duration;

const NANOSECOND_DIGITS: usize = 9;

/// The lines that say something: no blanks and no comments.
pub(super) fn lines(text: &str) -> Result<Vec<&str>, String> {
    if text.starts_with('\u{feff}') {
        return Err("the playlist begins with a byte order mark (§4.1)".to_owned());
    }
    let lines: Vec<&str> = text.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l)).collect();
    if let Some(line) = lines.iter().find(|line| line.chars().any(char::is_control)) {
        return Err(format!("{line:?} has a control character (§4.1)"));
    }
    if lines.first() != Some(&"#EXTM3U") {
        return Err("the first line is not #EXTM3U (§4.4.1.1)".to_owned());
    }
    let says = |line: &&str| !line.is_empty() && (!line.starts_with('#') || is_tag(line));
    Ok(lines.into_iter().skip(1).filter(says).collect())
}

/// Whether a line is a tag; other lines with a hash sign are comments.
pub(super) fn is_tag(line: &str) -> bool {
    line.starts_with("#EXT")
}

/// A tag's name without the hash sign, and what follows its colon.
pub(super) fn tag(line: &str) -> (&str, Option<&str>) {
    let line = line.strip_prefix('#').unwrap_or(line);
    line.split_once(':').map_or((line, None), |(name, value)| (name, Some(value)))
}

/// A decimal integer.
pub(super) fn integer(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| format!("{text:?} is not a decimal integer (§4.2)"))
}

/// A decimal floating-point number of seconds, exact to the nanosecond.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a decimal floating-point number (§4.2)");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    if !digits || fraction.len() > NANOSECOND_DIGITS {
        return Err(wrong());
    }
    let nanoseconds = format!("{fraction:0<NANOSECOND_DIGITS$}").parse().map_err(|_| wrong())?;
    Ok(Duration::new(integer(whole).map_err(|_| wrong())?, nanoseconds))
}

/// A URI with nothing in it that would have to be escaped (RFC 3986 §2).
pub(super) fn uri(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    let hexadecimal = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let escapes = text.split('%').skip(1).all(hexadecimal);
    if text.is_empty() || !text.bytes().all(allowed) || !escapes {
        return Err(format!("{text:?} is not a URI (§4.1)"));
    }
    Ok(text.to_owned())
}

/// What one attribute was set to.
#[derive(Debug, PartialEq, Eq)]
enum Value<'a> {
    Quoted(&'a str),
    Plain(&'a str),
}

/// The attributes of one tag. Each must be taken, so that none goes unread.
#[derive(Debug)]
pub(super) struct Attributes<'a>(BTreeMap<&'a str, Value<'a>>);

impl<'a> Attributes<'a> {
    pub(super) fn parse(mut text: &'a str) -> Result<Self, String> {
        let mut attributes = BTreeMap::new();
        loop {
            let (name, rest) =
                text.split_once('=').ok_or_else(|| format!("{text:?} has no value"))?;
            let letter = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
            if name.is_empty() || !name.bytes().all(letter) {
                return Err(format!("{name:?} is not the name of an attribute (§4.2)"));
            }
            let (value, rest) = match rest.strip_prefix('"') {
                Some(quoted) => {
                    let (value, rest) = quoted.split_once('"').ok_or("a quote does not end")?;
                    (Value::Quoted(value), rest)
                }
                None => {
                    let (value, rest) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                    if value.is_empty() || value.contains(['"', ' ']) {
                        return Err(format!("{name} is {value:?} (§4.2)"));
                    }
                    (Value::Plain(value), rest)
                }
            };
            if attributes.insert(name, value).is_some() {
                return Err(format!("the attribute {name} occurs twice (§4.2)"));
            }
            if rest.is_empty() {
                return Ok(Self(attributes));
            }
            text =
                rest.strip_prefix(',').ok_or_else(|| format!("{rest:?} follows {name} (§4.2)"))?;
        }
    }

    fn plain(&mut self, name: &str) -> Result<Option<&'a str>, String> {
        match self.0.remove(name) {
            Some(Value::Quoted(_)) => Err(format!("{name} is in quotes")),
            Some(Value::Plain(value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }

    pub(super) fn quoted(&mut self, name: &str) -> Result<Option<&'a str>, String> {
        match self.0.remove(name) {
            Some(Value::Quoted(value)) => Ok(Some(value)),
            Some(Value::Plain(_)) => Err(format!("{name} is not in quotes")),
            None => Ok(None),
        }
    }

    pub(super) fn integer(&mut self, name: &str) -> Result<Option<u64>, String> {
        self.plain(name)?.map(integer).transpose()
    }

    pub(super) fn seconds(&mut self, name: &str) -> Result<Option<Duration>, String> {
        self.plain(name)?.map(seconds).transpose()
    }

    /// An enumerated string.
    pub(super) fn word(&mut self, name: &str) -> Result<Option<&'a str>, String> {
        self.plain(name)
    }

    /// An attribute that is `YES` or absent.
    pub(super) fn yes(&mut self, name: &str) -> Result<bool, String> {
        match self.plain(name)? {
            Some("YES") => Ok(true),
            Some(other) => Err(format!("{name} is {other}, not YES")),
            None => Ok(false),
        }
    }

    pub(super) fn uri(&mut self) -> Result<String, String> {
        uri(required("URI", self.quoted("URI")?)?)
    }

    /// Fails if an attribute is left.
    pub(super) fn end(self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("the attribute {name} is not known")),
            None => Ok(()),
        }
    }
}

/// An attribute that must be there.
pub(super) fn required<T>(name: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("{name} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        assert_eq!(seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(seconds("0.03336"), Ok(Duration::from_micros(33_360)));
        for bad in ["", ".5", "1.", "-1", "+1", "1e3", "1.0.0", " 1", "0.0000000001"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn uris_are_escaped() {
        for good in ["a.ts", "a%20b.m4s?x=%C3%A9", "http://h:80/a/../b"] {
            assert_eq!(uri(good).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "é.ts", "a%2", "a%zz", "a\"b", "a\\b"] {
            assert!(uri(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn attribute_lists_are_strict_4_2() {
        let mut list = Attributes::parse("A=1,B=\"x,y\",C-2=YES,D=2.5").unwrap();
        assert_eq!(list.integer("A"), Ok(Some(1)));
        assert_eq!(list.quoted("B"), Ok(Some("x,y")));
        assert_eq!(list.yes("C-2"), Ok(true));
        assert!(list.end().unwrap_err().contains('D'));
        let bad = ["", "A", "A=", "a=1", "A=1,", "A=1,,B=2", "A=1, B=2", "A=1,A=2", "A=\"1", "=1"];
        for bad in bad.into_iter().chain(["A=\"1\"B=2", "A=1\"2\"", "A =1"]) {
            assert!(Attributes::parse(bad).is_err(), "{bad}");
        }
        assert!(Attributes::parse("A=\"1\"").unwrap().integer("A").is_err());
        assert!(Attributes::parse("A=1").unwrap().quoted("A").is_err());
        assert!(Attributes::parse("A=NO").unwrap().yes("A").is_err());
    }

    #[test]
    fn lines_are_checked_4_1() {
        let text = "#EXTM3U\r\n# a comment\n\n#EXT-X-ENDLIST\na.ts\n";
        assert_eq!(lines(text).unwrap(), ["#EXT-X-ENDLIST", "a.ts"]);
        for bad in ["", "\n#EXTM3U", "\u{feff}#EXTM3U", "#EXTM3U \n", "#EXTM3U\n#EXTINF:1,\t\n"] {
            assert!(lines(bad).is_err(), "{bad:?}");
        }
    }
}
