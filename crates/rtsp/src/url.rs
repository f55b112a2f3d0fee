//! Addresses ([RFC 2326](https://www.rfc-editor.org/rfc/rfc2326) §3.2), and those of tracks
//! (§C.1.1).

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::Error;

/// The longest address that is read.
const MAX_URL: usize = 4096;

/// An address that a client connects to.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether TLS is spoken (`rtsps`).
    pub tls: bool,
    /// A name or an address; IPv6 in brackets.
    pub host: String,
    /// 554, or 322 with TLS, if the address has none.
    pub port: u16,
    /// What follows the host: path and query, as they were given.
    pub path: String,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

impl Url {
    /// Reads an address.
    ///
    /// # Errors
    /// [`Error::Url`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let unusable = |why: &str| Error::Url(format!("{why}; use rtsp://host:554/app/name"));
        if text.len() > MAX_URL || text.contains(|c: char| c.is_control() || c == ' ') {
            return Err(unusable("the address has spaces or control characters, or is too long"));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "rtsp" | "rtspt" | "rtspu" => false,
            "rtsps" => true,
            _ => return Err(unusable(&format!("{text:?} is no RTSP address"))),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let credentials = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            (decode(user), decode(password))
        });
        let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
        let port_at = authority.get(after_bracket..).and_then(|rest| rest.find(':'));
        let (host, port) = match port_at {
            Some(at) => authority.split_at(after_bracket + at),
            None => (authority, ""),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| unusable(&format!("{port:?} is no port")))?,
            None if tls => 322,
            None => 554,
        };
        if host.is_empty() {
            return Err(unusable("the address has no host"));
        }
        let (host, path) = (host.to_owned(), path.to_owned());
        Ok(Self { tls, host, port, path, credentials })
    }

    /// The address without user and password, as requests have it.
    #[must_use]
    pub fn request_uri(&self) -> String {
        let scheme = if self.tls { "rtsps" } else { "rtsp" };
        let usual = if self.tls { 322 } else { 554 };
        let port = if self.port == usual { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{}{port}{}", self.host, self.path)
    }
}

/// Without the password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.request_uri())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a request to a server is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The path without slashes around it, decoded.
    pub path: String,
    /// What follows the question mark, as it was given.
    pub query: String,
}

impl Target {
    /// What the URI of a request means: `rtsp://host/path?query`, or a path alone.
    #[must_use]
    pub fn parse(uri: &str) -> Self {
        let rest = match uri.split_once("://") {
            Some((_, rest)) => rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or(""),
            None => uri,
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = percent_decode_str(path.trim_matches('/')).decode_utf8_lossy().into_owned();
        Self { path, query: query.to_owned() }
    }
}

/// The address of a track: its `control` attribute, resolved against that of the session (§C.1.1).
///
/// Clients append relative ones to the whole base, its query included; so does this.
#[must_use]
pub fn resolve(base: &str, control: &str) -> String {
    match control {
        "" | "*" => base.to_owned(),
        absolute if is_absolute(absolute) => absolute.to_owned(),
        relative => {
            let slash =
                if base.ends_with('/') || relative.starts_with(['/', '?']) { "" } else { "/" };
            format!("{base}{slash}{relative}")
        }
    }
}

/// Whether a URI that a client asks for is that of the track with this `control` attribute.
///
/// The end decides: clients differ in what they put before it, and some append their query.
#[must_use]
pub fn is_of_track(uri: &str, control: &str) -> bool {
    if control.is_empty() || control == "*" {
        return false;
    }
    let ends = |uri: &str| {
        uri.strip_suffix(control).is_some_and(|base| {
            base.is_empty()
                || is_absolute(control)
                || base.ends_with('/')
                || control.starts_with('/')
        })
    };
    let uri = uri.trim_end_matches('/');
    ends(uri) || uri.split_once('?').is_some_and(|(path, _)| ends(path.trim_end_matches('/')))
}

fn is_absolute(control: &str) -> bool {
    control
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.to_ascii_lowercase().starts_with("rtsp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let url = Url::parse("rtsp://us%40er:p%3Ass@[::1]:8554/a/b?c=d&e").unwrap();
        assert_eq!(
            (url.tls, &*url.host, url.port, &*url.path),
            (false, "[::1]", 8554, "/a/b?c=d&e")
        );
        assert_eq!(url.credentials, Some(("us@er".to_owned(), "p:ss".to_owned())));
        assert_eq!(url.to_string(), "rtsp://[::1]:8554/a/b?c=d&e");
        assert_eq!(Url::parse("rtsps://host/x").unwrap().port, 322);
        assert_eq!(Url::parse("rtsp://host?x").unwrap().path, "?x");
        for bad in ["http://h/", "rtsp://", "rtsp://h:port/", "rtsp://h/ x", "host/x"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn targets_are_decoded() {
        let target = Target::parse("rtsp://h:554/live/my%20cam/?token=a%2Fb");
        assert_eq!((&*target.path, &*target.query), ("live/my cam", "token=a%2Fb"));
        assert_eq!(Target::parse("rtsp://h").path, "");
        assert_eq!(Target::parse("/live/a").path, "live/a");
    }

    #[test]
    fn tracks_are_found_whatever_stands_before_and_after() {
        for uri in [
            "rtsp://h/live/a/trackID=1",
            "rtsp://h/live/a/trackID=1/",
            "rtsp://h/live/a?token=x/trackID=1",
            "rtsp://h/live/a/trackID=1?token=x",
        ] {
            assert!(is_of_track(uri, "trackID=1"), "{uri}");
            assert!(!is_of_track(uri, "trackID=0"), "{uri}");
        }
        assert!(!is_of_track("rtsp://h/live/a/xtrackID=1", "trackID=1"));
        assert!(!is_of_track("rtsp://h/live/a", "*"));
        let absolute = "rtsp://cam/axis-media/media.amp/stream=0?videocodec=h264";
        assert!(is_of_track(absolute, absolute));
    }

    #[test]
    fn controls_are_resolved() {
        assert_eq!(resolve("rtsp://h/a/", "trackID=0"), "rtsp://h/a/trackID=0");
        assert_eq!(resolve("rtsp://h/a?b", "trackID=0"), "rtsp://h/a?b/trackID=0");
        assert_eq!(resolve("rtsp://h/a", "rtsp://h2/b"), "rtsp://h2/b");
        assert_eq!(resolve("rtsp://h/a", "*"), "rtsp://h/a");
    }
}
