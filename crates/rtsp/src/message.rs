//! Requests, responses, and the packets between them
//! ([RFC 2326](https://www.rfc-editor.org/rfc/rfc2326) §4–7, §10.12): what they consist of, and how
//! they are written. A [`Decoder`] reads them.

mod decoder;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

pub use decoder::{Decoder, Incoming, MAX_BODY};
pub use head::{Fields, MAX_FIELDS, MAX_HEAD};

/// Bytes before the payload of an interleaved packet.
pub const INTERLEAVED_HEADER: usize = 4;

/// What a request asks for (§10).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the protocol's own
pub enum Method {
    Options,
    Describe,
    Announce,
    Setup,
    Play,
    Pause,
    Record,
    Teardown,
    GetParameter,
    SetParameter,
    Redirect,
    /// `GET` of HTTP: one half of a tunnel.
    HttpGet,
    /// `POST` of HTTP: the other half.
    HttpPost,
    /// Any other.
    Other(String),
}

impl Method {
    fn parse(name: &str, http: bool) -> Self {
        match name {
            "GET" if http => Self::HttpGet,
            "POST" if http => Self::HttpPost,
            "OPTIONS" => Self::Options,
            "DESCRIBE" => Self::Describe,
            "ANNOUNCE" => Self::Announce,
            "SETUP" => Self::Setup,
            "PLAY" => Self::Play,
            "PAUSE" => Self::Pause,
            "RECORD" => Self::Record,
            "TEARDOWN" => Self::Teardown,
            "GET_PARAMETER" => Self::GetParameter,
            "SET_PARAMETER" => Self::SetParameter,
            "REDIRECT" => Self::Redirect,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Announce => "ANNOUNCE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Record => "RECORD",
            Self::Teardown => "TEARDOWN",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::Redirect => "REDIRECT",
            Self::HttpGet => "GET",
            Self::HttpPost => "POST",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A status code (§7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

#[allow(missing_docs)] // the names are the protocol's own
impl Status {
    pub const OK: Self = Self(200);
    pub const MOVED_PERMANENTLY: Self = Self(301);
    pub const FOUND: Self = Self(302);
    pub const BAD_REQUEST: Self = Self(400);
    pub const UNAUTHORIZED: Self = Self(401);
    pub const FORBIDDEN: Self = Self(403);
    pub const NOT_FOUND: Self = Self(404);
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    pub const NOT_ACCEPTABLE: Self = Self(406);
    pub const REQUEST_TIMEOUT: Self = Self(408);
    pub const ENTITY_TOO_LARGE: Self = Self(413);
    pub const UNSUPPORTED_MEDIA: Self = Self(415);
    pub const NOT_ENOUGH_BANDWIDTH: Self = Self(453);
    pub const SESSION_NOT_FOUND: Self = Self(454);
    pub const NOT_VALID_IN_STATE: Self = Self(455);
    pub const AGGREGATE_NOT_ALLOWED: Self = Self(459);
    pub const ONLY_AGGREGATE_ALLOWED: Self = Self(460);
    pub const UNSUPPORTED_TRANSPORT: Self = Self(461);
    pub const INTERNAL_ERROR: Self = Self(500);
    pub const NOT_IMPLEMENTED: Self = Self(501);
    pub const SERVICE_UNAVAILABLE: Self = Self(503);
    pub const VERSION_NOT_SUPPORTED: Self = Self(505);
    pub const OPTION_NOT_SUPPORTED: Self = Self(551);

    /// The reason phrase of RFC 2326 §7.1.1.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            301 => "Moved Permanently",
            302 => "Found",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            408 => "Request Time-out",
            413 => "Request Entity Too Large",
            415 => "Unsupported Media Type",
            453 => "Not Enough Bandwidth",
            454 => "Session Not Found",
            455 => "Method Not Valid in This State",
            459 => "Aggregate Operation Not Allowed",
            460 => "Only Aggregate Operation Allowed",
            461 => "Unsupported Transport",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            505 => "RTSP Version Not Supported",
            551 => "Option Not Supported",
            _ => "Unknown",
        }
    }

    /// Whether it says that what was asked for is done.
    #[must_use]
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }
}

/// What a message calls the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `RTSP/1.0`.
    Rtsp1,
    /// Another `RTSP/`.
    Other,
    /// `HTTP/`: a tunnel.
    Http,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// What it is asked of, as it stands in the request.
    pub uri: String,
    /// The protocol.
    pub version: Version,
    /// The header.
    pub fields: Fields,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A request without header fields and body.
    #[must_use]
    pub fn new(method: Method, uri: impl Into<String>) -> Self {
        let (fields, body) = (Fields::default(), Bytes::new());
        Self { method, uri: uri.into(), version: Version::Rtsp1, fields, body }
    }

    /// The number that the answer repeats (§12.17).
    #[must_use]
    pub fn cseq(&self) -> Option<&str> {
        self.fields.get("CSeq")
    }

    /// The bytes on the wire; `Content-Length` is added if there is a body.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(format!("{} {} RTSP/1.0\r\n", self.method, self.uri).as_bytes());
        finish(&self.fields, &self.body, &mut out);
        out.freeze()
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub status: Status,
    /// What is said to it.
    pub reason: String,
    /// The header.
    pub fields: Fields,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// A response without header fields and body.
    #[must_use]
    pub fn new(status: Status) -> Self {
        let reason = status.reason().to_owned();
        Self { status, reason, fields: Fields::default(), body: Bytes::new() }
    }

    /// The bytes on the wire; `Content-Length` is added if there is a body.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        let reason = self.reason.replace(['\r', '\n'], " ");
        out.put_slice(format!("RTSP/1.0 {} {reason}\r\n", self.status.0).as_bytes());
        finish(&self.fields, &self.body, &mut out);
        out.freeze()
    }
}

fn finish(fields: &Fields, body: &Bytes, out: &mut BytesMut) {
    fields.write(out);
    if !body.is_empty() {
        out.put_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.put_slice(b"\r\n");
    out.put_slice(body);
}

/// Appends the header of an interleaved packet (§10.12).
pub fn write_interleaved(channel: u8, length: u16, out: &mut BytesMut) {
    out.put_u8(b'$');
    out.put_u8(channel);
    out.put_u16(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_forge_a_field() {
        let mut response = Response::new(Status::OK);
        response.fields.push("CSeq", "1\r\nSession: x");
        let bytes = response.to_bytes();
        assert_eq!(&bytes[..], b"RTSP/1.0 200 OK\r\nCSeq: 1  Session: x\r\n\r\n");
    }
}
