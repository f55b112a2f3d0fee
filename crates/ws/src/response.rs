//! Response heads ([RFC 9112, 4](https://www.rfc-editor.org/rfc/rfc9112#section-4)), whole small
//! responses, and the CORS fields that browsers ask of both
//! ([Fetch, 3.2](https://fetch.spec.whatwg.org/#http-cors-protocol)).
//!
//! There is no `Date`: this floor has no clock, and RFC 9110 (6.6.1) asks servers without one to
//! send none.

use std::fmt::{Display, Write as _};

use bytes::{Bytes, BytesMut};

use crate::head::{Error, Method, Request, Upgrade, Version};

/// A status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(u16);

/// Codes and the reason phrases of their registry.
macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The reason phrase; empty for a code this crate has no name for.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

statuses! {
    /// 101
    SWITCHING_PROTOCOLS = 101 "Switching Protocols";
    /// 200
    OK = 200 "OK";
    /// 204
    NO_CONTENT = 204 "No Content";
    /// 206
    PARTIAL_CONTENT = 206 "Partial Content";
    /// 301
    MOVED_PERMANENTLY = 301 "Moved Permanently";
    /// 302
    FOUND = 302 "Found";
    /// 304
    NOT_MODIFIED = 304 "Not Modified";
    /// 307
    TEMPORARY_REDIRECT = 307 "Temporary Redirect";
    /// 400
    BAD_REQUEST = 400 "Bad Request";
    /// 401
    UNAUTHORIZED = 401 "Unauthorized";
    /// 403
    FORBIDDEN = 403 "Forbidden";
    /// 404
    NOT_FOUND = 404 "Not Found";
    /// 405
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    /// 406
    NOT_ACCEPTABLE = 406 "Not Acceptable";
    /// 408
    REQUEST_TIMEOUT = 408 "Request Timeout";
    /// 409
    CONFLICT = 409 "Conflict";
    /// 413
    CONTENT_TOO_LARGE = 413 "Content Too Large";
    /// 414
    TARGET_TOO_LONG = 414 "URI Too Long";
    /// 416
    RANGE_NOT_SATISFIABLE = 416 "Range Not Satisfiable";
    /// 426
    UPGRADE_REQUIRED = 426 "Upgrade Required";
    /// 429
    TOO_MANY_REQUESTS = 429 "Too Many Requests";
    /// 431
    HEAD_TOO_LARGE = 431 "Request Header Fields Too Large";
    /// 500
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error";
    /// 502
    BAD_GATEWAY = 502 "Bad Gateway";
    /// 503
    SERVICE_UNAVAILABLE = 503 "Service Unavailable";
    /// 504
    GATEWAY_TIMEOUT = 504 "Gateway Timeout";
    /// 505
    VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported";
}

impl Status {
    /// Any three-digit code.
    #[must_use]
    pub fn new(code: u16) -> Option<Self> {
        (100..=999).contains(&code).then_some(Self(code))
    }

    /// The number.
    #[must_use]
    pub fn code(self) -> u16 {
        self.0
    }

    /// Whether a response with this status never has a body.
    fn is_bodiless(self) -> bool {
        self.0 < 200 || self == Self::NO_CONTENT || self == Self::NOT_MODIFIED
    }
}

/// Which pages may read a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cors {
    /// Every page, without its visitor's credentials. Media players need no more: their tokens
    /// travel in the URL.
    #[default]
    Any,
    /// This origin, with credentials (`withCredentials` in flv.js and hls.js). Only for an origin
    /// on a list of the operator's: echoing whatever comes would lend every visitor's cookies to
    /// every page.
    Origin(String),
}

/// How an endless body is delimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LiveBody {
    /// By the end of the connection: the body is the bare media, so that one copy of a packet
    /// serves every viewer of every HTTP version, and old players that cannot read chunks play.
    #[default]
    UntilClose,
    /// As chunks, which tell an orderly end from a broken connection; HTTP/1.0 clients get
    /// [`LiveBody::UntilClose`]. The caller frames every packet: see [`write_chunk_header`].
    Chunked,
}

/// Builds the answers to one request.
#[derive(Debug, Clone)]
pub struct Responder {
    version: Version,
    method: Method,
    keep_alive: bool,
    cors: Cors,
}

impl Responder {
    /// For a parsed request.
    #[must_use]
    pub fn new(request: &Request, cors: Cors) -> Self {
        Self {
            version: request.version(),
            method: request.method(),
            keep_alive: request.wants_keep_alive(),
            cors,
        }
    }

    /// For bytes that never became a request; the connection is to be closed after the answer.
    #[must_use]
    pub fn unparsed() -> Self {
        Self { version: Version::Http11, method: Method::Other, keep_alive: false, cors: Cors::Any }
    }

    /// Announces that the connection closes after this answer, whatever the client wished.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.keep_alive = false;
        self
    }

    /// Whether the connection takes another request after [`Responder::whole`],
    /// [`Responder::text`] and [`Responder::preflight`].
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// The head of an endless body. After a `HEAD` request nothing follows it but the end.
    ///
    /// `Range` is ignored: a live stream has no beginning to count from, and players that send
    /// `bytes=0-` take a 200.
    #[must_use]
    pub fn live(&self, content_type: &str, body: LiveBody) -> Bytes {
        let head = self
            .head(Status::OK)
            .field("Content-Type", content_type)
            .field("Cache-Control", "no-cache")
            // A front server that spools the body to disk is as good as a broken one.
            .field("X-Accel-Buffering", "no")
            .field("Connection", "close");
        match (body, self.version) {
            (LiveBody::Chunked, Version::Http11) => head.field("Transfer-Encoding", "chunked"),
            _ => head,
        }
        .finish()
    }

    /// A whole response of known length, with `extra` fields. The body is left out where HTTP
    /// wants none.
    #[must_use]
    pub fn whole(
        &self,
        status: Status,
        content_type: &str,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Bytes {
        let mut head = self.head(status).field("Connection", self.connection());
        for (name, value) in extra {
            head = head.field(name, value);
        }
        if status.is_bodiless() {
            return head.finish();
        }
        let head = head.field("Content-Type", content_type).field("Content-Length", body.len());
        if self.method == Method::Head { head.finish() } else { head.finish_with(body) }
    }

    /// A whole response of one line of text: refusals and the like.
    #[must_use]
    pub fn text(&self, status: Status, line: &str) -> Bytes {
        let mut extra = vec![("Cache-Control", "no-cache"), ("X-Content-Type-Options", "nosniff")];
        if status == Status::METHOD_NOT_ALLOWED {
            extra.push(("Allow", "GET, HEAD, OPTIONS"));
        }
        if status == Status::UPGRADE_REQUIRED {
            extra.push(("Upgrade", "websocket"));
            extra.push(("Sec-WebSocket-Version", "13"));
        }
        self.whole(status, "text/plain; charset=utf-8", &extra, format!("{line}\n").as_bytes())
    }

    /// Asks the client to show who it is: 401 with a `challenge` (RFC 9110 §11.6.1).
    #[must_use]
    pub fn unauthorized(&self, challenge: &str, line: &str) -> Bytes {
        let extra = [("Cache-Control", "no-store"), ("WWW-Authenticate", challenge)];
        let body = format!("{line}\n");
        self.whole(Status::UNAUTHORIZED, "text/plain; charset=utf-8", &extra, body.as_bytes())
    }

    /// The answer to a request that cannot be served; close the connection after it.
    #[must_use]
    pub fn error(&self, error: &Error) -> Bytes {
        self.clone().closing().text(error.status(), &error.to_string())
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(&self, status: Status, location: &str) -> Bytes {
        self.whole(
            status,
            "text/plain",
            &[("Location", location), ("Cache-Control", "no-cache")],
            b"",
        )
    }

    /// The answer to `OPTIONS`: 204 with everything a browser's preflight asks for.
    #[must_use]
    pub fn preflight(&self, request: &Request) -> Bytes {
        /// Field names that players are known to send.
        const USUAL: &str = "Range, Content-Type, Authorization, Cache-Control";
        let allowed = request.requested_headers().filter(|h| is_name_list(h)).unwrap_or(USUAL);
        self.whole(
            Status::NO_CONTENT,
            "",
            &[
                ("Allow", "GET, HEAD, OPTIONS"),
                ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
                ("Access-Control-Allow-Headers", allowed),
                // Two hours: browsers cut longer times to this.
                ("Access-Control-Max-Age", "7200"),
            ],
            b"",
        )
    }

    fn connection(&self) -> &'static str {
        if self.keep_alive { "keep-alive" } else { "close" }
    }

    /// Status line, server name and CORS, which browsers want on errors too.
    fn head(&self, status: Status) -> Head {
        let head = Head::new(self.version, status);
        let head = match &self.cors {
            Cors::Any => head.field("Access-Control-Allow-Origin", "*"),
            Cors::Origin(origin) => head
                .field("Access-Control-Allow-Origin", origin)
                .field("Access-Control-Allow-Credentials", "true")
                .field("Vary", "Origin"),
        };
        head.field("Access-Control-Expose-Headers", "Content-Length, Content-Range, Date")
            // Pages that isolate themselves (threads in WebAssembly players) load nothing else.
            .field("Cross-Origin-Resource-Policy", "cross-origin")
    }
}

/// Accepts a WebSocket upgrade; WebSocket frames follow in both directions.
///
/// Of the subprotocols the client offers, the first of `preferred` is chosen, or else the client's
/// own first: browsers fail a connection whose offer is left unanswered, and players put anything
/// there.
#[must_use]
pub fn switching_protocols(upgrade: &Upgrade<'_>, preferred: &[&str]) -> Bytes {
    let offered = || upgrade.protocols();
    let chosen = preferred
        .iter()
        .copied()
        .find(|known| offered().any(|protocol| protocol == *known))
        .or_else(|| offered().next());
    let head = Head::new(Version::Http11, Status::SWITCHING_PROTOCOLS)
        .field("Upgrade", "websocket")
        .field("Connection", "Upgrade")
        .field("Sec-WebSocket-Accept", upgrade.accept());
    match chosen {
        Some(protocol) => head.field("Sec-WebSocket-Protocol", protocol),
        None => head,
    }
    .finish()
}

/// Appends what precedes `len` bytes of a chunk; CR LF follow them. A chunk of length 0 and CR LF
/// end the body.
pub fn write_chunk_header(out: &mut BytesMut, len: usize) {
    // Writing to a `BytesMut` never fails: it grows.
    let _ = write!(out, "{len:x}\r\n");
}

/// A response head under construction; a value never breaks out of its line.
#[derive(Debug)]
pub struct Head {
    text: String,
}

impl Head {
    /// Writes the status line.
    #[must_use]
    pub fn new(version: Version, status: Status) -> Self {
        let version = match version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        };
        // A whole live head is about 300 bytes.
        let mut text = String::with_capacity(512);
        text.push_str(version);
        text.push(' ');
        text.push_str(&status.code().to_string());
        text.push(' ');
        text.push_str(status.reason());
        text.push_str("\r\nServer: headwater\r\n");
        Self { text }
    }

    /// Adds a field. Control characters in it become blanks.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Display) -> Self {
        push_field(&mut self.text, name, value);
        self
    }

    /// The head, with its empty line.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.finish_with(&[])
    }

    /// The head and a body.
    #[must_use]
    pub fn finish_with(self, body: &[u8]) -> Bytes {
        let mut bytes = self.text.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        bytes.into()
    }
}

/// Appends `name: value` and the line end; control characters become blanks, so that no value
/// starts a line of its own.
pub(crate) fn push_field(text: &mut String, name: &str, value: impl Display) {
    struct OneLine<'a>(&'a mut String);
    impl std::fmt::Write for OneLine<'_> {
        fn write_str(&mut self, s: &str) -> std::fmt::Result {
            self.0.extend(s.chars().map(|c| if c.is_control() { ' ' } else { c }));
            Ok(())
        }
    }
    // Writing to a string fails only if the value's own formatting does; the line ends anyway.
    let _ = write!(OneLine(text), "{name}: {value}");
    text.push_str("\r\n");
}

/// Whether a preflight's list of header names holds nothing else, so that it may be echoed.
fn is_name_list(list: &str) -> bool {
    list.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_!#$%&'*+.^`|~, ".contains(&b))
}

#[cfg(test)]
mod tests;
