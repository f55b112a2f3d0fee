//! SIP messages ([RFC 3261](https://www.rfc-editor.org/rfc/rfc3261) §7, §20), as far as GB/T 28181
//! uses them.
//!
//! Read leniently, written strictly. Tolerated: bare line feeds, names in any case and in their
//! compact form, folded lines, lines that are no field, text in any encoding.

mod decoder;
mod fields;

use std::fmt;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

pub use decoder::{Decoder, Rejected, datagram};
pub use fields::{Address, CSeq, Fields, Via, user};
pub use head::{MAX_FIELDS, MAX_HEAD};

use crate::Error;

/// The longest body: devices put a few items of their catalogue into one message, other platforms
/// some hundreds.
pub const MAX_BODY: usize = 256 << 10;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the protocol's own
pub enum Method {
    Register,
    Message,
    Invite,
    Ack,
    Bye,
    Cancel,
    Info,
    Subscribe,
    Notify,
    Options,
    /// Any other.
    Other(String),
}

impl Method {
    fn parse(name: &str) -> Self {
        match name {
            "REGISTER" => Self::Register,
            "MESSAGE" => Self::Message,
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "INFO" => Self::Info,
            "SUBSCRIBE" => Self::Subscribe,
            "NOTIFY" => Self::Notify,
            "OPTIONS" => Self::Options,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Register => "REGISTER",
            Self::Message => "MESSAGE",
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Info => "INFO",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Options => "OPTIONS",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A status code (§21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

#[allow(missing_docs)] // the names are the protocol's own
impl Status {
    pub const TRYING: Self = Self(100);
    pub const OK: Self = Self(200);
    pub const BAD_REQUEST: Self = Self(400);
    pub const UNAUTHORIZED: Self = Self(401);
    pub const FORBIDDEN: Self = Self(403);
    pub const NOT_FOUND: Self = Self(404);
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    pub const REQUEST_TIMEOUT: Self = Self(408);
    pub const ENTITY_TOO_LARGE: Self = Self(413);
    pub const CALL_DOES_NOT_EXIST: Self = Self(481);
    pub const NOT_IMPLEMENTED: Self = Self(501);
    pub const SERVICE_UNAVAILABLE: Self = Self(503);

    /// The reason phrase of RFC 3261 §21, of those that a platform says.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self.0 {
            100 => "Trying",
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            413 => "Request Entity Too Large",
            481 => "Call/Transaction Does Not Exist",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "Unknown",
        }
    }

    /// Whether another answer follows.
    #[must_use]
    pub fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// Whether it says that what was asked for is done.
    #[must_use]
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Message {
    /// The bytes on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// Who is asked, as it stands in the request.
    pub uri: String,
    /// The header, without `Content-Length`.
    pub fields: Fields,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A request without header fields and body.
    #[must_use]
    pub fn new(method: Method, uri: impl Into<String>) -> Self {
        Self { method, uri: uri.into(), fields: Fields::default(), body: Bytes::new() }
    }

    /// The bytes on the wire, with a `Content-Length`.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let first = format!("{} {} SIP/2.0", self.method, self.uri.replace(is_blank, ""));
        write(&first, &self.fields, &self.body)
    }

    /// Whether it has what every request has (§8.1.1), so that it can be answered.
    ///
    /// # Errors
    /// [`Error::Field`] names the first field that is missing or cannot be read.
    pub fn check(&self) -> Result<(), Error> {
        let missing = |name| Error::Field { name, problem: "is missing" };
        for name in ["From", "To", "Call-ID"] {
            if self.fields.get(name).is_none_or(str::is_empty) {
                return Err(missing(name));
            }
        }
        let via = self.fields.via().ok_or_else(|| missing("Via"))?;
        if via.sent_by.is_empty() {
            return Err(Error::Field { name: "Via", problem: "names no host" });
        }
        let text = self.fields.get("CSeq").ok_or_else(|| missing("CSeq"))?;
        let cseq = CSeq::parse(text)
            .ok_or(Error::Field { name: "CSeq", problem: "is no number and method" })?;
        if cseq.method != self.method {
            return Err(Error::Field { name: "CSeq", problem: "names another method" });
        }
        Ok(())
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub status: Status,
    /// What is said to it.
    pub reason: String,
    /// The header, without `Content-Length`.
    pub fields: Fields,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// The answer to a request that came from `source` (§8.2.6, and RFC 3581 §4 for `received` and
    /// `rport`). `tag` is put into a `To` that has none.
    #[must_use]
    pub fn to(request: &Request, status: Status, source: SocketAddr, tag: &str) -> Self {
        let mut fields = Fields::default();
        for (place, value) in request.fields.all("Via").enumerate() {
            match Via::parse_first(value) {
                Some((mut via, rest)) if place == 0 => {
                    via.received_from(source);
                    fields.push("Via", format!("{via}{rest}"));
                }
                _ => fields.push("Via", value),
            }
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let Some(value) = request.fields.get(name) else { continue };
            let tagged = Address::parse(value).is_some_and(|address| address.tag().is_some());
            if name == "To" && !tagged && status != Status::TRYING {
                fields.push(name, format!("{value};tag={tag}"));
            } else {
                fields.push(name, value);
            }
        }
        Self { status, reason: status.reason().to_owned(), fields, body: Bytes::new() }
    }

    /// The bytes on the wire, with a `Content-Length`.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let reason = self.reason.replace(['\r', '\n'], " ");
        write(&format!("SIP/2.0 {} {reason}", self.status), &self.fields, &self.body)
    }
}

fn write(first: &str, fields: &Fields, body: &Bytes) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(first.as_bytes());
    out.put_slice(b"\r\n");
    fields.write(&mut out);
    out.put_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    out.put_slice(body);
    out.freeze()
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

#[cfg(test)]
mod tests;
