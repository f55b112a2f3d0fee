//! XML as devices write it: its encoding, and a small tree of elements.
//!
//! Attributes, comments and processing instructions are passed over. Document types are refused,
//! and no entity is known but those of XML itself. What follows the root is not looked at.

use std::borrow::Cow;

use encoding_rs::GB18030;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::Error;

/// Elements within each other: catalogues have five.
pub const MAX_DEPTH: usize = 16;

/// Elements of a document: an item of a catalogue has about twenty, a message some dozen items.
pub const MAX_ELEMENTS: usize = 20_000;

/// Bytes of text in an element: names and addresses have fewer than a hundred.
pub const MAX_TEXT: usize = 4 << 10;

/// An element with its text and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// The name.
    pub name: String,
    /// The text in it, without white space around it.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Self>,
}

impl Element {
    /// Reads a document in whatever encoding.
    ///
    /// # Errors
    /// [`Error::Xml`] says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = decode(bytes);
        let mut reader =
            Reader::from_str(text.trim_start_matches(['\u{FEFF}', '\0', ' ', '\r', '\n']));
        // Names of channels have an ampersand of their own now and then.
        reader.config_mut().allow_dangling_amp = true;
        let refuse = |what: &str| Err(Error::Xml(what.to_owned()));
        let mut open: Vec<Self> = Vec::new();
        let mut elements = 0;
        loop {
            let event = reader.read_event();
            let event =
                event.map_err(|error| Error::Xml(format!("is not well formed: {error}")))?;
            let text: Cow<'_, str> = match event {
                Event::Start(start) => {
                    elements += 1;
                    if open.len() >= MAX_DEPTH || elements > MAX_ELEMENTS {
                        return refuse("has more elements than any real one");
                    }
                    let name = start.local_name().as_ref().to_owned();
                    open.push(Self { name, ..Self::default() });
                    continue;
                }
                Event::Empty(empty) => {
                    elements += 1;
                    if elements > MAX_ELEMENTS {
                        return refuse("has more elements than any real one");
                    }
                    let name = empty.local_name().as_ref().to_owned();
                    let element = Self { name, ..Self::default() };
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => return Ok(element),
                    }
                    continue;
                }
                Event::End(_) => {
                    let Some(mut element) = open.pop() else {
                        return refuse("ends what is not begun");
                    };
                    element.text = element.text.trim().to_owned();
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => return Ok(element),
                    }
                    continue;
                }
                Event::Text(text) => text.into_inner(),
                Event::CData(text) => text.into_inner(),
                Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                    Ok(Some(character)) => character.to_string().into(),
                    _ => match reference.into_inner().as_ref() {
                        "amp" => "&".into(),
                        "lt" => "<".into(),
                        "gt" => ">".into(),
                        "quot" => "\"".into(),
                        "apos" => "'".into(),
                        other => format!("&{other};").into(),
                    },
                },
                Event::DocType(_) => return refuse("has a document type"),
                Event::Eof => return refuse("ends too early"),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
            };
            if let Some(element) = open.last_mut() {
                if element.text.len() + text.len() > MAX_TEXT {
                    return refuse("has more text in an element than any real one");
                }
                element.text.push_str(&text);
            }
        }
    }

    /// The first element of this name in it; devices differ in upper and lower case.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name.eq_ignore_ascii_case(name))
    }

    /// The text of the first element of this name in it, unless it is empty.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str()).filter(|text| !text.is_empty())
    }
}

/// The text of a document. The declared encoding is believed unless the bytes say otherwise.
#[must_use]
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let declared = declared_encoding(bytes);
    let is_chinese = declared.as_deref().is_some_and(|name| name.starts_with("gb"));
    match std::str::from_utf8(bytes) {
        Ok(text) if !is_chinese || text.is_ascii() => Cow::Borrowed(text),
        // Two characters of GB2312 may by chance be one or two of UTF-8, but hardly those of three
        // bytes, which all of Chinese text has.
        Ok(text) if text.chars().any(|character| character.len_utf8() == 3) => Cow::Borrowed(text),
        // GB18030 has all of GB2312 and GBK.
        _ => GB18030.decode_without_bom_handling(bytes).0,
    }
}

/// What stands in the first line, in lower case.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    /// Where the declaration ends at the latest.
    const HEAD: usize = 128;
    let head = String::from_utf8_lossy(bytes.get(..HEAD).unwrap_or(bytes));
    let (_, rest) = head.split_once("encoding")?;
    let rest = rest.trim_start_matches(|c: char| c == '=' || c.is_whitespace());
    let name = rest.trim_start_matches(['"', '\'']);
    let end = name.find(['"', '\'', '?', ' ']).unwrap_or(name.len());
    name.get(..end).map(str::to_ascii_lowercase)
}

/// Text with what has a meaning in XML replaced, and control characters, which it must not have,
/// left out.
#[must_use]
pub fn escape(text: &str) -> String {
    let plain: String = text.chars().filter(|character| !character.is_control()).collect();
    quick_xml::escape::escape(plain).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(encoding: &str, text: &[u8]) -> String {
        let mut bytes = format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>\r\n<A><Name>");
        let mut bytes = std::mem::take(&mut bytes).into_bytes();
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(b"</Name></A>\0");
        Element::parse(&bytes).unwrap().text_of("name").unwrap_or_default().to_owned()
    }

    #[test]
    fn the_encoding_is_found_even_when_the_declaration_lies() {
        let (gbk, utf8) = (b"\xCD\xA8\xB5\xC0\xD2\xBB", "通道一".as_bytes());
        for encoding in ["GB2312", "gbk", "GB18030", "UTF-8", "nonsense"] {
            assert_eq!(name(encoding, gbk), "通道一", "{encoding}");
            assert_eq!(name(encoding, utf8), "通道一", "{encoding}");
        }
        // 通 is two bytes that are a character of UTF-8, too.
        assert_eq!(name("GB2312", b"\xCD\xA8"), "通");
        // GBK beyond GB2312, and four bytes of GB18030.
        assert_eq!(name("GB2312", b"\x81\x40"), "丂");
        assert_eq!(name("GB18030", b"\x81\x39\xEE\x39"), "㐀");
    }

    #[test]
    fn references_and_ampersands_are_text() {
        assert_eq!(
            name("UTF-8", b"A&amp;B &lt;1&gt; &#65;&unknown; C & D"),
            "A&B <1> A&unknown; C & D"
        );
        assert_eq!(name("UTF-8", b" <![CDATA[a<b]]><!-- c --> "), "a<b");
        assert_eq!(escape("a<b>&\"\n\0"), "a&lt;b&gt;&amp;&quot;");
    }

    #[test]
    fn bombs_are_refused() {
        let refused = |text: &str| Element::parse(text.as_bytes()).unwrap_err().to_string();
        let doctype = "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>";
        assert_eq!(refused(doctype), "the MANSCDP body has a document type");
        assert!(refused(&"<a>".repeat(MAX_DEPTH + 1)).contains("more elements"));
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        assert!(refused(&many).contains("more elements"));
        let long = format!("<a>{}</a>", "b".repeat(MAX_TEXT + 1));
        assert!(refused(&long).contains("more text"));
        assert!(refused("<a>").contains("ends too early"));
        assert!(refused("").contains("ends too early"));
        assert!(refused("<a></b>").contains("not well formed"));
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_read(text in "[ -~通道]{0,40}") {
            let document = format!("<A><Name>{}</Name></A>", escape(&text));
            let element = Element::parse(document.as_bytes()).unwrap();
            prop_assert_eq!(element.text_of("Name").unwrap_or_default(), text.trim());
        }

        #[test]
        fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
            let _ = Element::parse(&bytes);
            let _ = Element::parse(format!("<a>{text}</a>").as_bytes());
        }
    }
}
