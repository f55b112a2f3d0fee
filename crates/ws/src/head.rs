//! Request heads ([RFC 9112, 2–6](https://www.rfc-editor.org/rfc/rfc9112)): one parse, under
//! limits, of everything a media connection asks about a request.
//!
//! Tolerated: empty lines before the request line, absolute-form targets, UTF-8 in targets,
//! Latin-1 in field values. Refused, because a front server may read them differently: bare CR or
//! LF, folded fields, blanks before a colon, a repeated `Host`, both or several body lengths.

use crate::accept;
use crate::fields::{self, Body, Fields};
use crate::response::Status;
use crate::target::{self, Target};

/// The most fields a head may have; browsers send about twenty, chains of proxies add a dozen.
pub const MAX_FIELDS: usize = 64;

/// What a head may cost before its sender is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head. 8 KiB is what common front servers pass on.
    pub head: usize,
    /// Fields, at most [`MAX_FIELDS`].
    pub fields: usize,
    /// Bytes of the target. 2 KiB hold a stream name and a signed query of a few hundred bytes,
    /// several times over.
    pub target: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 8 * 1024, fields: MAX_FIELDS, target: 2 * 1024 }
    }
}

/// Why a request is refused; its text is fit to be the body of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not an HTTP/1.x request head.
    #[error("not a valid HTTP request: {0}")]
    Malformed(&'static str),
    /// The target cannot name a stream.
    #[error("bad request target: {0}")]
    Target(&'static str),
    /// The `Host` field is missing, repeated or not a host.
    #[error("bad Host: {0}")]
    Host(&'static str),
    /// The body's length can be read in two ways.
    #[error("bad body framing: {0}")]
    Framing(&'static str),
    /// A WebSocket upgrade with something missing.
    #[error("bad WebSocket upgrade: {0}")]
    Upgrade(&'static str),
    /// A WebSocket version other than 13.
    #[error("unknown WebSocket version: only version 13 (RFC 6455) is spoken here")]
    UpgradeVersion,
    /// The head is larger than [`Limits::head`].
    #[error("the request head exceeds {limit} bytes: send fewer or shorter header fields")]
    HeadTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The head has more fields than [`Limits::fields`].
    #[error("the request head exceeds {limit} header fields: send fewer")]
    TooManyFields {
        /// The limit.
        limit: usize,
    },
    /// The target is longer than [`Limits::target`].
    #[error("the request target exceeds {limit} bytes: shorten the path or the query")]
    TargetTooLong {
        /// The limit.
        limit: usize,
    },
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("unknown protocol version: use HTTP/1.1")]
    Version,
    /// A method that this resource does not have; for the caller to raise.
    #[error("method not allowed: use GET, HEAD or OPTIONS")]
    Method,
    /// The head did not arrive in time; for the caller to raise.
    #[error("the request head did not arrive in time: send it at once after connecting")]
    Timeout,
    /// A request body where none is taken; for the caller to raise.
    #[error("no request body is taken here: send none")]
    UnwantedBody,
}

impl Error {
    /// The status that tells the client.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Malformed(_)
            | Self::Target(_)
            | Self::Host(_)
            | Self::Framing(_)
            | Self::Upgrade(_) => Status::BAD_REQUEST,
            Self::UpgradeVersion => Status::UPGRADE_REQUIRED,
            Self::HeadTooLarge { .. } | Self::TooManyFields { .. } => Status::HEAD_TOO_LARGE,
            Self::TargetTooLong { .. } => Status::TARGET_TOO_LONG,
            Self::Version => Status::VERSION_NOT_SUPPORTED,
            Self::Method => Status::METHOD_NOT_ALLOWED,
            Self::Timeout => Status::REQUEST_TIMEOUT,
            Self::UnwantedBody => Status::CONTENT_TOO_LARGE,
        }
    }
}

/// The methods media connections tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Play.
    Get,
    /// Ask whether playing would work.
    Head,
    /// A browser's preflight.
    Options,
    /// Publish, or an API call.
    Post,
    /// Anything else.
    Other,
}

/// The two versions that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, closed unless asked otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A parsed request head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: Method,
    version: Version,
    target: Target,
    fields: Fields,
    body: Body,
}

impl Request {
    /// Parses the head at the start of `bytes`; `None` while it is incomplete. Returns the head's
    /// length too: what follows it is the body or the first WebSocket frame.
    ///
    /// Call it again with the same bytes and more; it keeps no state. The work of a sender who
    /// drips single bytes is bounded by [`Limits::head`], squared.
    ///
    /// # Errors
    /// As soon as the bytes cannot become an acceptable head.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<(Self, usize)>, Error> {
        let window = bytes.get(..limits.head).unwrap_or(bytes);
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let slots = slots.get_mut(..limits.fields).unwrap_or_default();
        let mut parsed = httparse::Request::new(slots);
        let consumed = match parsed.parse(window) {
            Ok(httparse::Status::Complete(consumed)) => consumed,
            Ok(httparse::Status::Partial) => return incomplete(window, limits),
            Err(error) => return Err(refusal(error, window, limits)),
        };
        check_line_ends(window.get(..consumed).unwrap_or(window))?;
        let (Some(method), Some(target), Some(version)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(Error::Malformed("the request line is incomplete"));
        };
        if target.len() > limits.target {
            return Err(Error::TargetTooLong { limit: limits.target });
        }
        let method = Method::from_token(method);
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        let target = target::parse(target, method == Method::Options).map_err(Error::Target)?;
        let fields = Fields::from_parsed(parsed.headers);
        check_host(&fields, version)?;
        let body = fields::framing(&fields, version == Version::Http11)
            .map_err(Error::Framing)?
            .unwrap_or(Body::Empty);
        Ok(Some((Self { method, version, target, fields, body }, consumed)))
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The path: decoded, free of control characters and of `.` and `..` segments. It begins with
    /// `/`, or is the `*` of an `OPTIONS` request.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.target.path
    }

    /// The query as it was sent, without the question mark; empty when there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.target.query
    }

    /// `host[:port]`, from the target if that is absolute, else from `Host`; may be empty.
    #[must_use]
    pub fn host(&self) -> &str {
        let from_field = || self.fields.get("host").unwrap_or_default();
        self.target.authority.as_deref().unwrap_or_else(from_field)
    }

    /// All header fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The first value of a header field, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// How the request's body is framed.
    #[must_use]
    pub fn body(&self) -> Body {
        self.body
    }

    /// The site whose page sent the request, if a browser sent it.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.fields.get("origin")
    }

    /// The header names that a preflight asks leave for.
    #[must_use]
    pub fn requested_headers(&self) -> Option<&str> {
        self.fields.get("access-control-request-headers")
    }

    /// Whether the client wants to send another request on this connection.
    #[must_use]
    pub fn wants_keep_alive(&self) -> bool {
        let lists = |token| self.fields.lists("connection", token);
        match self.version {
            Version::Http10 => lists("keep-alive") && !lists("close"),
            Version::Http11 => !lists("close"),
        }
    }

    /// Whether this is a complete and valid WebSocket upgrade.
    #[must_use]
    pub fn is_websocket_upgrade(&self) -> bool {
        matches!(self.upgrade(), Ok(Some(_)))
    }

    /// The WebSocket upgrade that the request asks for; `None` if it asks for none.
    ///
    /// # Errors
    /// [`Error::Upgrade`] or [`Error::UpgradeVersion`] when it asks for one in a way that
    /// [RFC 6455, 4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1) forbids.
    pub fn upgrade(&self) -> Result<Option<Upgrade<'_>>, Error> {
        let fields = &self.fields;
        if !fields.lists("upgrade", "websocket") {
            return Ok(None);
        }
        if !fields.lists("connection", "upgrade") {
            return Err(Error::Upgrade("send 'Connection: Upgrade' too; a proxy may have cut it"));
        }
        if self.method != Method::Get || self.version != Version::Http11 {
            return Err(Error::Upgrade("use GET and HTTP/1.1"));
        }
        if self.body != Body::Empty && self.body != Body::Length(0) {
            return Err(Error::Upgrade("send no request body"));
        }
        if fields.get("sec-websocket-version") != Some("13") {
            return Err(Error::UpgradeVersion);
        }
        let mut keys = fields.all("sec-websocket-key");
        match (keys.next(), keys.next()) {
            (Some(key), None) if accept::is_key(key) => Ok(Some(Upgrade { key, fields })),
            _ => Err(Error::Upgrade("Sec-WebSocket-Key must be the base64 form of 16 bytes, once")),
        }
    }
}

impl Method {
    fn from_token(token: &str) -> Self {
        // Methods are case-sensitive (RFC 9110, 9.1).
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            _ => Self::Other,
        }
    }
}

/// A valid WebSocket upgrade request; answer it with [`crate::response::switching_protocols`].
#[derive(Debug, Clone, Copy)]
pub struct Upgrade<'a> {
    key: &'a str,
    fields: &'a Fields,
}

impl<'a> Upgrade<'a> {
    /// The subprotocols the client offers, best first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.fields.list("sec-websocket-protocol")
    }

    /// The value of `Sec-WebSocket-Accept`.
    #[must_use]
    pub fn accept(&self) -> String {
        accept::accept(self.key)
    }
}

/// Refuses bare LF. Bare CR is refused by the tokeniser, which takes bare LF for a line end.
fn check_line_ends(bytes: &[u8]) -> Result<(), Error> {
    let mut before = 0;
    for &byte in bytes {
        if byte == b'\n' && before != b'\r' {
            return Err(Error::Malformed("end every line with CR LF"));
        }
        before = byte;
    }
    Ok(())
}

/// What an incomplete head means: more to come, or a limit passed.
fn incomplete(window: &[u8], limits: &Limits) -> Result<Option<(Request, usize)>, Error> {
    check_line_ends(window)?;
    // Before the first line end there is only a method, at most one long target and a version.
    let line = window.trim_ascii_start();
    let target = line.split(|&b| b == b' ').nth(1).unwrap_or_default();
    if target.len() > limits.target && !line.contains(&b'\n') {
        return Err(Error::TargetTooLong { limit: limits.target });
    }
    if window.len() >= limits.head {
        return Err(Error::HeadTooLarge { limit: limits.head });
    }
    Ok(None)
}

fn refusal(error: httparse::Error, window: &[u8], limits: &Limits) -> Error {
    match error {
        httparse::Error::Version if is_overfull_line(window) => {
            Error::Malformed("write blanks in the request target as %20")
        }
        httparse::Error::TooManyHeaders => Error::TooManyFields { limit: limits.fields },
        httparse::Error::Version => Error::Version,
        httparse::Error::HeaderName => {
            Error::Malformed("a header name has a blank, a fold or a forbidden character")
        }
        httparse::Error::HeaderValue => Error::Malformed("a header value has a control character"),
        httparse::Error::NewLine => Error::Malformed("end every line with CR LF"),
        _ => Error::Malformed("the request line is not 'METHOD target HTTP/1.1'"),
    }
}

/// Whether the first line has more than a method, a target and a version.
fn is_overfull_line(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start().split(|&b| b == b'\n').next().unwrap_or_default();
    line.trim_ascii_end().iter().filter(|&&b| b == b' ').count() > 2
}

/// RFC 9112, 3.2: HTTP/1.1 needs exactly one `Host`; more than one is an attack in any version.
fn check_host(fields: &Fields, version: Version) -> Result<(), Error> {
    let mut hosts = fields.all("host");
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(Error::Host("send it once")),
        (None, None) if version == Version::Http11 => Err(Error::Host("HTTP/1.1 requires it")),
        (Some(host), None) if !target::is_authority(host) => {
            Err(Error::Host("it must be a host name or address and an optional port"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
