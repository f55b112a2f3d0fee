//! The other side: request heads, response heads, and the bodies of responses, for pulls over
//! HTTP-FLV and WS-FLV and for load generators.

use bytes::Bytes;

use crate::accept;
use crate::fields::{self, Body, Fields};
use crate::head::{Limits, MAX_FIELDS, Version};
use crate::response::{Status, push_field};

pub mod chunked;

/// Why a response is of no use, or a request cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A target, host or field of ours that HTTP has no place for.
    #[error("{0} is empty or contains a blank or control character")]
    Request(&'static str),
    /// The bytes are not an HTTP/1.x response head.
    #[error("not a valid HTTP response: {0}")]
    Malformed(&'static str),
    /// The head is longer than [`Limits::head`] or has more fields than [`Limits::fields`].
    #[error("the response head exceeds {limit} bytes or the number of header fields")]
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body's length can be read in two ways.
    #[error("bad body framing: {0}")]
    Framing(&'static str),
    /// The server answered a WebSocket upgrade with another status.
    #[error("the server refused the WebSocket upgrade with status {0}")]
    Refused(u16),
    /// The server's 101 does not belong to our request.
    #[error("bad WebSocket upgrade response: {0}")]
    Upgrade(&'static str),
    /// A chunk header or trailer that is malformed or without end.
    #[error("bad chunked body: {0}")]
    Chunk(&'static str),
}

/// A `GET` request head for `target` (path and query) on `host` (with its port, unless that is the
/// scheme's own), asking for the connection to close at the body's end.
///
/// # Errors
/// [`Error::Request`] when an argument would not stay in its place.
pub fn get(host: &str, target: &str, extra: &[(&str, &str)]) -> Result<Bytes, Error> {
    let mut text = start(host, target)?;
    push_field(&mut text, "Accept", "*/*");
    push_field(&mut text, "Connection", "close");
    finish(text, extra)
}

/// As [`get`], but the connection is kept for more requests.
///
/// # Errors
/// As [`get`].
pub fn get_and_keep(host: &str, target: &str, extra: &[(&str, &str)]) -> Result<Bytes, Error> {
    let mut text = start(host, target)?;
    push_field(&mut text, "Accept", "*/*");
    finish(text, extra)
}

/// The nonce of one WebSocket upgrade, which the server has to prove it read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// From 16 random bytes.
    #[must_use]
    pub fn new(nonce: [u8; 16]) -> Self {
        Self(accept::key(nonce))
    }

    /// An upgrade request head; arguments as for [`get`]. Offers the `protocols`, best first.
    ///
    /// # Errors
    /// As [`get`].
    pub fn upgrade(
        &self,
        host: &str,
        target: &str,
        protocols: &[&str],
        extra: &[(&str, &str)],
    ) -> Result<Bytes, Error> {
        let mut text = start(host, target)?;
        push_field(&mut text, "Upgrade", "websocket");
        push_field(&mut text, "Connection", "Upgrade");
        push_field(&mut text, "Sec-WebSocket-Version", "13");
        push_field(&mut text, "Sec-WebSocket-Key", &self.0);
        if !protocols.is_empty() {
            push_field(&mut text, "Sec-WebSocket-Protocol", protocols.join(", "));
        }
        finish(text, extra)
    }

    /// Checks a server's answer
    /// ([RFC 6455, 4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1)); WebSocket frames
    /// follow it.
    ///
    /// # Errors
    /// [`Error::Refused`] for any status but 101, [`Error::Upgrade`] for a 101 that is not ours.
    pub fn verify(&self, response: &Response, protocols: &[&str]) -> Result<(), Error> {
        let fields = response.fields();
        if response.status() != Status::SWITCHING_PROTOCOLS {
            return Err(Error::Refused(response.status().code()));
        }
        if !fields.lists("upgrade", "websocket") || !fields.lists("connection", "upgrade") {
            return Err(Error::Upgrade("it does not switch to WebSocket"));
        }
        if fields.get("sec-websocket-accept") != Some(&accept::accept(&self.0)) {
            return Err(Error::Upgrade("Sec-WebSocket-Accept is not the answer to our key"));
        }
        if fields.get("sec-websocket-extensions").is_some() {
            return Err(Error::Upgrade("it chose an extension that was not offered"));
        }
        match fields.get("sec-websocket-protocol") {
            Some(chosen) if !protocols.contains(&chosen) => {
                Err(Error::Upgrade("it chose a subprotocol that was not offered"))
            }
            _ => Ok(()),
        }
    }
}

/// A parsed response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    version: Version,
    status: Status,
    fields: Fields,
    body: Body,
}

impl Response {
    /// Parses the head at the start of `bytes`, the answer to a `GET`; `None` while it is
    /// incomplete. Returns the head's length too. [`Limits::target`] has no meaning here.
    ///
    /// # Errors
    /// As soon as the bytes cannot become an acceptable head.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<(Self, usize)>, Error> {
        let too_large = Error::HeadTooLarge { limit: limits.head };
        let window = bytes.get(..limits.head).unwrap_or(bytes);
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let slots = slots.get_mut(..limits.fields).unwrap_or_default();
        let mut parsed = httparse::Response::new(slots);
        let consumed = match parsed.parse(window) {
            Ok(httparse::Status::Complete(consumed)) => consumed,
            Ok(httparse::Status::Partial) if window.len() >= limits.head => return Err(too_large),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(too_large),
            Err(_) => return Err(Error::Malformed("a line is not as HTTP/1.1 wants it")),
        };
        let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
        let status = parsed
            .code
            .and_then(Status::new)
            .ok_or(Error::Malformed("the status is not a number from 100 to 999"))?;
        let fields = Fields::from_parsed(parsed.headers);
        let body = match status.code() {
            ..200 | 204 | 304 => Body::Empty,
            _ => fields::framing(&fields, version == Version::Http11)
                .map_err(Error::Framing)?
                .unwrap_or(Body::UntilClose),
        };
        Ok(Some((Self { version, status, fields, body }, consumed)))
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// All header fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// How the body is framed.
    #[must_use]
    pub fn body(&self) -> Body {
        self.body
    }

    /// Whether the connection goes on behind the body, as far as the server is concerned
    /// ([RFC 9112, 9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3)).
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        self.version == Version::Http11
            && self.body != Body::UntilClose
            && !self.fields.lists("connection", "close")
    }

    /// Where a redirect leads: an absolute or relative reference. The caller counts them.
    #[must_use]
    pub fn redirect(&self) -> Option<&str> {
        match self.status.code() {
            301 | 302 | 303 | 307 | 308 => self.fields.get("location"),
            _ => None,
        }
    }
}

/// Request line, `Host` and `User-Agent`.
fn start(host: &str, target: &str) -> Result<String, Error> {
    check("host", host)?;
    check("target", target)?;
    if !target.starts_with('/') {
        return Err(Error::Request("target"));
    }
    let mut text = format!("GET {target} HTTP/1.1\r\n");
    push_field(&mut text, "Host", host);
    push_field(&mut text, "User-Agent", "headwater");
    Ok(text)
}

fn finish(mut text: String, extra: &[(&str, &str)]) -> Result<Bytes, Error> {
    for (name, value) in extra {
        check("header name", name)?;
        push_field(&mut text, name, value);
    }
    text.push_str("\r\n");
    Ok(text.into())
}

fn check(what: &'static str, text: &str) -> Result<(), Error> {
    if text.is_empty() || text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(Error::Request(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
