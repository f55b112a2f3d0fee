//! Session descriptions ([RFC 8866](https://www.rfc-editor.org/rfc/rfc8866), and RFC 2326 Appendix
//! C for those of RTSP).
//!
//! Written strictly, read leniently: any line end, any order, lines that are folded, unknown
//! types, and values that only their users look at.

use std::fmt;

use media::Error;

/// The longest description that is read: those of cameras have 2 KiB at most.
pub const MAX_SIZE: usize = 64 << 10;

/// Media that are read; real descriptions have up to four.
const MAX_MEDIA: usize = 16;

/// Attributes that are read of the session and of each medium.
const MAX_ATTRIBUTES: usize = 128;

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// `o=`.
    pub origin: String,
    /// `s=`.
    pub name: String,
    /// `c=`: network type, address type and address.
    pub connection: Option<String>,
    /// `a=` lines before the first medium: name and value.
    pub attributes: Vec<Attribute>,
    /// `m=` sections.
    pub media: Vec<Media>,
}

/// `a=name:value`, or `a=name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// What stands before the colon.
    pub name: String,
    /// What stands after it.
    pub value: Option<String>,
}

impl Attribute {
    /// An attribute with a value.
    #[must_use]
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into()) }
    }

    /// An attribute without a value.
    #[must_use]
    pub fn flag(name: &str) -> Self {
        Self { name: name.to_owned(), value: None }
    }
}

/// An `m=` section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Media {
    /// `video`, `audio`, `application`, …
    pub kind: String,
    /// The port; 0 in RTSP, which agrees on ports elsewhere.
    pub port: u16,
    /// `RTP/AVP`, …
    pub protocol: String,
    /// Payload types, in order of preference.
    pub formats: Vec<String>,
    /// `c=`, if the medium has its own.
    pub connection: Option<String>,
    /// `a=` lines.
    pub attributes: Vec<Attribute>,
}

impl Session {
    /// Reads a description.
    ///
    /// # Errors
    /// [`Error`] when it is too long, no text, or describes no medium.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_SIZE {
            return Err(Error::Invalid { what: "length of the SDP", value: bytes.len() as u64 });
        }
        let text = String::from_utf8_lossy(bytes);
        let mut session = Self::default();
        for line in text.split(['\r', '\n', '\0']).map(str::trim).filter(|line| !line.is_empty()) {
            session.line(line);
        }
        if session.media.is_empty() {
            return Err(Error::Invalid { what: "number of media in the SDP", value: 0 });
        }
        Ok(session)
    }

    /// The first session attribute with this name, if it has a value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    fn line(&mut self, line: &str) {
        let mut characters = line.chars();
        let kind = characters.next();
        let Some(value) = characters.as_str().strip_prefix('=').map(str::trim) else {
            return self.continuation(line);
        };
        let is_type = kind.is_some_and(|kind| kind.is_ascii_lowercase());
        let has_room = self.media.len() < MAX_MEDIA;
        match (kind, self.media.last_mut()) {
            (Some('m'), _) if has_room => self.media.push(Media::parse(value)),
            (Some('m'), _) => {}
            (Some('c'), Some(media)) => media.connection = Some(value.to_owned()),
            (Some('c'), None) => self.connection = Some(value.to_owned()),
            (Some('a'), Some(media)) => push(&mut media.attributes, value),
            (Some('a'), None) => push(&mut self.attributes, value),
            (Some('o'), None) => value.clone_into(&mut self.origin),
            (Some('s'), None) => value.clone_into(&mut self.name),
            _ if !is_type => self.continuation(line),
            _ => {}
        }
    }

    /// A line without a type: some servers fold long `fmtp` lines.
    fn continuation(&mut self, line: &str) {
        let attributes = match self.media.last_mut() {
            Some(media) => &mut media.attributes,
            None => &mut self.attributes,
        };
        if let Some(Attribute { name, value: Some(value) }) = attributes.last_mut()
            && name == "fmtp"
        {
            value.push_str(line);
        }
    }
}

impl Media {
    fn parse(value: &str) -> Self {
        let mut words = value.split_ascii_whitespace();
        let mut word = || words.next().unwrap_or_default();
        let kind = word().to_ascii_lowercase();
        // A port may be followed by how many there are.
        let port = word().split('/').next().and_then(|port| port.parse().ok()).unwrap_or_default();
        let protocol = word().to_owned();
        let formats = words.take(MAX_ATTRIBUTES).map(ToOwned::to_owned).collect();
        Self { kind, port, protocol, formats, connection: None, attributes: Vec::new() }
    }

    /// The first attribute with this name, if it has a value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    /// What an attribute such as `rtpmap` says of a payload type.
    #[must_use]
    pub fn of_format(&self, name: &str, format: &str) -> Option<&str> {
        let values = self.attributes.iter().filter(|a| a.name.eq_ignore_ascii_case(name));
        let mut pairs = values.filter_map(|a| a.value.as_deref()?.split_once([' ', '\t']));
        pairs.find(|(payload_type, _)| *payload_type == format).map(|(_, value)| value.trim())
    }
}

fn push(attributes: &mut Vec<Attribute>, line: &str) {
    if attributes.len() < MAX_ATTRIBUTES {
        attributes.push(match line.split_once(':') {
            Some((name, value)) => Attribute::new(name.trim(), value.trim()),
            None => Attribute::flag(line),
        });
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|a| a.name.eq_ignore_ascii_case(name))?.value.as_deref()
}

/// The text, with the lines in the order of RFC 8866 §5.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v=0\r\no={}\r\ns={}\r\n", self.origin, self.name)?;
        if let Some(connection) = &self.connection {
            write!(f, "c={connection}\r\n")?;
        }
        f.write_str("t=0 0\r\n")?;
        self.attributes.iter().try_for_each(|attribute| attribute.fmt(f))?;
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {}", self.kind, self.port, self.protocol)?;
        self.formats.iter().try_for_each(|format| write!(f, " {format}"))?;
        f.write_str("\r\n")?;
        if let Some(connection) = &self.connection {
            write!(f, "c={connection}\r\n")?;
        }
        self.attributes.iter().try_for_each(|attribute| attribute.fmt(f))
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "a={}:{value}\r\n", self.name),
            None => write!(f, "a={}\r\n", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn any_line_ends_and_folded_lines_are_read() {
        let text = "v=0\no=- 1 1 IN IP4 1.2.3.4\r\ns=x\nm=video 0/2 RTP/AVP 96 97\r\
                    a=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1;\n\
                    sprop-parameter-sets=AAA=\na=control:trackID=0\na=recvonly\n\0\0";
        let session = Session::parse(text.as_bytes()).unwrap();
        let [media] = &session.media[..] else { panic!("{session:?}") };
        assert_eq!(media.formats, ["96", "97"]);
        assert_eq!(media.of_format("rtpmap", "96"), Some("H264/90000"));
        let fmtp = "packetization-mode=1;sprop-parameter-sets=AAA=";
        assert_eq!(media.of_format("fmtp", "96"), Some(fmtp));
        assert_eq!(media.attribute("Control"), Some("trackID=0"));
        assert_eq!(media.attribute("recvonly"), None);
    }

    #[test]
    fn bombs_are_cut() {
        let media = "m=video 0 RTP/AVP 96\r\n".repeat(1000);
        assert_eq!(Session::parse(media.as_bytes()).unwrap().media.len(), MAX_MEDIA);
        let attributes = format!("m=video 0 RTP/AVP 96\r\n{}", "a=x:y\r\n".repeat(5000));
        assert_eq!(Session::parse(attributes.as_bytes()).unwrap().media[0].attributes.len(), 128);
        assert!(Session::parse(&vec![b'a'; MAX_SIZE + 1]).is_err());
        assert!(Session::parse(b"").is_err());
    }

    fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
        let attribute = ("[a-z][a-z0-9-]{0,10}", prop::option::of("[!-~]([ -~]{0,20}[!-~])?"));
        prop::collection::vec(attribute.prop_map(|(name, value)| Attribute { name, value }), 0..6)
    }

    fn media() -> impl Strategy<Value = Media> {
        let formats = prop::collection::vec("[0-9]{1,3}", 1..4);
        (
            "video|audio",
            any::<u16>(),
            formats,
            prop::option::of(Just("IN IP4 1.2.3.4")),
            attributes(),
        )
            .prop_map(|(kind, port, formats, connection, attributes)| Media {
                kind,
                port,
                protocol: "RTP/AVP".to_owned(),
                formats,
                connection: connection.map(ToOwned::to_owned),
                attributes,
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in "[a-z]{1,10}",
            attributes in attributes(),
            media in prop::collection::vec(media(), 1..4),
        ) {
            let session = Session {
                origin: "- 1 1 IN IP4 127.0.0.1".to_owned(),
                name,
                connection: Some("IN IP4 0.0.0.0".to_owned()),
                attributes,
                media,
            };
            prop_assert_eq!(Session::parse(session.to_string().as_bytes()), Ok(session));
        }

        #[test]
        fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Session::parse(&bytes);
        }
    }
}
