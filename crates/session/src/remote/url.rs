//! Addresses of streams on other servers, of every protocol that is spoken as a client.

use std::fmt;
use std::str::FromStr;

use ::rtsp::url::Target;
use hub::{Address, EndReason, Protocol, Role, mask};
use percent_encoding::percent_decode_str;

/// The longest address that is read.
const MAX_URL: usize = 4096;

/// Where another server has a stream, or takes one.
#[derive(Clone, PartialEq, Eq)]
pub enum RemoteUrl {
    /// `rtmp://` and `rtmps://`.
    Rtmp(::rtmp::url::Target),
    /// `rtsp://` and `rtsps://`.
    Rtsp(::rtsp::url::Url),
    /// `http://`, `https://`, `ws://` and `wss://`: FLV, MPEG-TS, fragmented MP4 or HLS.
    Http(HttpUrl),
}

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Nothing that is spoken here.
    #[error(
        "{0:?} is no address of a stream: write rtmp[s]://, rtsp[s]://, http[s]:// or ws[s]://, \
         then HOST[:PORT]/APP/NAME"
    )]
    Scheme(String),
    /// RTMP's.
    #[error(transparent)]
    Rtmp(#[from] ::rtmp::url::Error),
    /// RTSP's.
    #[error(transparent)]
    Rtsp(#[from] ::rtsp::Error),
    /// HTTP's.
    #[error("the address {0}; use http://host:8080/app/name.flv")]
    Http(&'static str),
}

impl FromStr for RemoteUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("rtmp" | "rtmps") => Ok(Self::Rtmp(::rtmp::url::Target::parse(text)?)),
            Some("rtsp" | "rtsps") => Ok(Self::Rtsp(::rtsp::url::Url::parse(text)?)),
            Some("http" | "https" | "ws" | "wss") => Ok(Self::Http(HttpUrl::parse(text)?)),
            _ => Err(UrlError::Scheme(text.chars().take(80).collect())),
        }
    }
}

/// As logs and operators see where a stream comes from: [`mask::source`].
impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask::source(&self.exact()))
    }
}

/// As where a stream goes to, since it may be that.
impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_target())
    }
}

impl RemoteUrl {
    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        match self {
            Self::Rtmp(target) => target.secure,
            Self::Rtsp(url) => url.tls,
            Self::Http(url) => url.secure,
        }
    }

    /// The whole address but for name and password: never to be shown to anybody.
    #[must_use]
    pub(crate) fn exact(&self) -> String {
        match self {
            Self::Rtmp(target) => target.to_string(),
            Self::Rtsp(url) => url.to_string(),
            Self::Http(url) => url.to_string(),
        }
    }

    /// As logs and operators see where a stream goes to: [`mask::target`].
    #[must_use]
    pub fn as_target(&self) -> String {
        mask::target(&self.exact())
    }

    /// Why a session with such an address has ended, without what is secret of the address.
    pub(crate) fn masked(&self, reason: EndReason, role: Role) -> EndReason {
        let hide = |text: String| mask::repeated(&text, &self.exact(), role == Role::Push);
        match reason {
            EndReason::Protocol(text) => EndReason::Protocol(hide(text)),
            EndReason::Io(text) => EndReason::Io(hide(text)),
            EndReason::Refused(text) => EndReason::Refused(hide(text)),
            other => other,
        }
    }

    /// The host and its port: what logs may show of where a stream goes, since the rest may hold a
    /// key.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Rtmp(target) => format!("{}:{}", target.host, target.port),
            Self::Rtsp(url) => format!("{}:{}", url.host, url.port),
            Self::Http(url) => format!("{}:{}", url.host, url.port),
        }
    }

    /// The protocol of a session with such an address. What comes over HTTP is only known when it
    /// comes: it counts as HLS where the path ends with `.m3u8`, else as FLV.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Rtmp(_) => Protocol::Rtmp,
            Self::Rtsp(_) => Protocol::Rtsp,
            Self::Http(url) => {
                let path = url.target.split('?').next().unwrap_or_default();
                if path.ends_with(".m3u8") { Protocol::Hls } else { Protocol::Flv }
            }
        }
    }

    /// Whether streams can be pushed there.
    #[must_use]
    pub fn takes_streams(&self) -> bool {
        !matches!(self, Self::Http(_))
    }

    /// The last item of the path, without query and suffix: what the stream is called there.
    #[must_use]
    pub fn stream_name(&self) -> String {
        let (_, name, _) = self.parts();
        name
    }

    /// What a session of this role may say of the address.
    pub(crate) fn address(&self, role: Role) -> Address {
        let (app_name, stream_name, query) = self.parts();
        let app_name = mask::source(&app_name);
        if role == Role::Push {
            let (url, stream_name) = (self.as_target(), mask::MASK.to_owned());
            return Address { url, app_name, stream_name, ..Address::default() };
        }
        let raw_query = mask::query(&query);
        Address { url: self.to_string(), app_name, stream_name, raw_query, ..Address::default() }
    }

    /// Application, name and query.
    fn parts(&self) -> (String, String, String) {
        let split = |path: &str| -> (String, String) {
            let (app, name) = path.rsplit_once('/').unwrap_or(("", path));
            (app.to_owned(), name.to_owned())
        };
        match self {
            Self::Rtmp(target) => {
                let (name, query) = target.name.split_once('?').unwrap_or((&target.name, ""));
                (target.app.clone(), name.to_owned(), query.to_owned())
            }
            Self::Rtsp(url) => {
                let target = Target::parse(&url.request_uri());
                let (app, name) = split(&target.path);
                (app, name, target.query)
            }
            Self::Http(url) => {
                let (path, query) = url.target.split_once('?').unwrap_or((&url.target, ""));
                let path = path.trim_matches('/');
                let known = [".flv", ".ts", ".mp4", ".m3u8"];
                let path =
                    known.iter().find_map(|suffix| path.strip_suffix(suffix)).unwrap_or(path);
                let (app, name) = split(path);
                (app, name, query.to_owned())
            }
        }
    }
}

/// An address of HTTP or WebSocket.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether TLS is spoken.
    pub secure: bool,
    /// Whether it is upgraded to a WebSocket.
    pub websocket: bool,
    /// A name or an address; IPv6 in brackets.
    pub host: String,
    /// 80, or 443 with TLS, if the address has none.
    pub port: u16,
    /// Path and query, as they were given.
    pub target: String,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

impl HttpUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL || text.contains(|c: char| c.is_control() || c == ' ') {
            return Err(UrlError::Http("has spaces or control characters, or is too long"));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (secure, websocket) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, false),
            "https" => (true, false),
            "ws" => (false, true),
            "wss" => (true, true),
            _ => return Err(UrlError::Scheme(text.chars().take(80).collect())),
        };
        // What follows `#` is for browsers.
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            (decode(user), decode(password))
        });
        let usual = if secure { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| UrlError::Http("has no usable port"))?)
            }
            _ => (authority, usual),
        };
        if host.is_empty() {
            return Err(UrlError::Http("has no host"));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { secure, websocket, host: host.to_owned(), port, target, credentials })
    }

    /// The host as requests name it: with the port unless it is the scheme's own.
    #[must_use]
    pub fn host_field(&self) -> String {
        let usual = if self.secure { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// Where a `Location` leads from here. Credentials stay with their host.
    ///
    /// # Errors
    /// [`UrlError`] when that is no such address.
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        let scheme = if self.secure { "https" } else { "http" };
        let has_scheme = location.find("://").is_some_and(|at| {
            location.get(..at).is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric()))
        });
        let absolute = if has_scheme {
            Some(location.to_owned())
        } else {
            location.strip_prefix("//").map(|rest| format!("{scheme}://{rest}"))
        };
        if let Some(absolute) = absolute {
            let mut next = Self::parse(&absolute)?;
            if next.credentials.is_none() && (&next.host, next.port) == (&self.host, self.port) {
                next.credentials.clone_from(&self.credentials);
            }
            next.websocket = self.websocket;
            return Ok(next);
        }
        let location = location.split('#').next().unwrap_or_default();
        let path = self.target.split('?').next().unwrap_or_default();
        let (path, query) = match location.split_once('?') {
            _ if location.is_empty() => (self.target.clone(), None),
            Some(("", query)) => (path.to_owned(), Some(query)),
            _ => {
                let (there, query) = match location.split_once('?') {
                    Some((there, query)) => (there, Some(query)),
                    None => (location, None),
                };
                let folder = match there.starts_with('/') {
                    true => "",
                    false => path.rsplit_once('/').map_or("/", |(folder, _)| folder),
                };
                (without_dots(&format!("{folder}/{there}")), query)
            }
        };
        let target = match query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        if target.len() > MAX_URL || target.contains(|c: char| c.is_control() || c == ' ') {
            return Err(UrlError::Http("has spaces or control characters, or is too long"));
        }
        Ok(Self { target, ..self.clone() })
    }
}

/// A path without `.` and `..` (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut items = path.split('/').skip_while(|item| item.is_empty()).peekable();
    while let Some(item) = items.next() {
        let is_last = items.peek().is_none();
        match item {
            "." | ".." => {
                if item == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            item => kept.push(item),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Without credentials, but with its query: not for logs.
impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.websocket, self.secure) {
            (false, false) => "http",
            (false, true) => "https",
            (true, false) => "ws",
            (true, true) => "wss",
        };
        write!(f, "{scheme}://{}{}", self.host_field(), self.target)
    }
}

/// As [`RemoteUrl`] is shown.
impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask::source(&self.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<RemoteUrl>().expect("an address").address(Role::Pull)
    }

    #[test]
    fn every_protocol_has_addresses() {
        for (text, app, name, query) in [
            ("rtmp://h/live/a?k=v", "live", "a", "k=***"),
            ("rtsp://u:p@h:554/a/b/c?k=v", "a/b", "c", "k=***"),
            ("http://h:8080/live/a.flv?k=v", "live", "a", "k=***"),
            ("http://h/hls/live/a.m3u8", "hls/live", "a", ""),
            ("wss://h/live/a.ts", "live", "a", ""),
        ] {
            let address = address(text);
            assert_eq!(
                (&*address.app_name, &*address.stream_name, &*address.raw_query),
                (app, name, query),
                "{text}"
            );
            assert!(!address.url.contains("u:p"), "{}", address.url);
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in ["", "live/a", "ftp://h/a", "http://", "http://h:x/a", "http://h/a b"] {
            assert!(text.parse::<RemoteUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn redirections_are_followed_relative_to_where_they_stand() {
        let url = HttpUrl::parse("http://u:p@h:8080/a/b.flv?x=1").expect("an address");
        for (location, to) in [
            ("/c.flv", "http://h:8080/c.flv"),
            ("c.flv?y=2", "http://h:8080/a/c.flv?y=2"),
            ("https://other/c.flv", "https://other/c.flv"),
            ("//other/c.flv", "http://other/c.flv"),
            ("?y=2", "http://h:8080/a/b.flv?y=2"),
            ("c.flv?to=http://x/../y", "http://h:8080/a/c.flv?to=http://x/../y"),
            ("../c/./d.flv#e", "http://h:8080/c/d.flv"),
            ("../../../c/..", "http://h:8080/"),
            ("", "http://h:8080/a/b.flv?x=1"),
        ] {
            assert_eq!(url.join(location).expect("an address").to_string(), to);
        }
        let other = url.join("http://other/c").expect("an address");
        assert_eq!(
            (other.credentials, url.join("/d").unwrap().credentials),
            (None, url.credentials)
        );
    }
}
