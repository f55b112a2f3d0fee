//! What to play: an address of one of the protocols that the bench speaks.

use std::str::FromStr;

use anyhow::{Error, bail};
use bytes::Bytes;

use crate::rtsp::Lower;

/// A stream's address; `{}` in its name stands for the number of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `rtmp://host:port/app/name` or `rtmps://…`
    Rtmp {
        /// Host and port.
        address: String,
        /// The application.
        app: String,
        /// The stream's name, with its query.
        name: String,
        /// Whether to speak TLS.
        tls: bool,
    },
    /// `http://host:port/path` or `ws://host:port/path`, or `https://…` or `wss://…`: FLV over
    /// HTTP or WebSocket, or MPEG-TS if the path ends with `.ts`.
    Http {
        /// Host and port.
        address: String,
        /// Path and query.
        path: String,
        /// Whether to ask for a WebSocket.
        websocket: bool,
        /// Whether to speak TLS.
        tls: bool,
    },
    /// `rtsp://host:port/path`, or `rtspu://…` for packets as datagrams.
    Rtsp {
        /// Host and port.
        address: String,
        /// The path.
        path: String,
        /// What packets travel over.
        lower: Lower,
    },
    /// `tcp://host:port`: FLV without being asked, as the floor writes it.
    Raw {
        /// Host and port.
        address: String,
    },
}

impl Target {
    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Rtmp { address, .. }
            | Self::Http { address, .. }
            | Self::Rtsp { address, .. }
            | Self::Raw { address } => address,
        }
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Rtmp { tls: true, .. } | Self::Http { tls: true, .. })
    }

    /// Whether what comes is a transport stream.
    #[must_use]
    pub fn is_ts(&self) -> bool {
        matches!(self, Self::Http { path, .. } if path.ends_with(".ts"))
    }

    /// The address of stream `number`.
    #[must_use]
    pub fn numbered(&self, number: usize) -> Self {
        let mut this = self.clone();
        match &mut this {
            Self::Rtmp { name, .. } => *name = name.replace("{}", &number.to_string()),
            Self::Http { path, .. } | Self::Rtsp { path, .. } => {
                *path = path.replace("{}", &number.to_string());
            }
            Self::Raw { .. } => {}
        }
        this
    }

    /// The HTTP request, for those that have one.
    #[must_use]
    pub fn request(&self) -> Option<Bytes> {
        let Self::Http { address, path, websocket, .. } = self else { return None };
        let upgrade = if *websocket {
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: aGVhZHdhdGVyIGJlbmNoIQ==\r\n"
        } else {
            ""
        };
        let text = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{upgrade}\r\n");
        Some(Bytes::from(text))
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = text.split_once("://") else { bail!("no scheme in {text}") };
        let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = address.to_owned();
        Ok(match scheme {
            "rtmp" | "rtmps" => {
                let Some((app, name)) = path.split_once('/') else {
                    bail!("an RTMP address is rtmp://host:port/app/name, not {text}");
                };
                let (app, name) = (app.to_owned(), name.to_owned());
                Self::Rtmp { address, app, name, tls: scheme == "rtmps" }
            }
            "http" | "ws" | "https" | "wss" => Self::Http {
                address,
                path: format!("/{path}"),
                websocket: scheme.starts_with("ws"),
                tls: scheme.ends_with('s') && scheme != "ws",
            },
            "rtsp" | "rtspu" => Self::Rtsp {
                address,
                path: format!("/{path}"),
                lower: if scheme == "rtsp" { Lower::Tcp } else { Lower::Udp },
            },
            "tcp" => Self::Raw { address },
            _ => bail!("no such scheme: {scheme}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let rtmp: Target = "rtmp://127.0.0.1:1935/live/s{}?token=1".parse().unwrap();
        let Target::Rtmp { app, name, .. } = rtmp.numbered(7) else { panic!("{rtmp:?}") };
        assert_eq!((&app[..], &name[..]), ("live", "s7?token=1"));
        let http: Target = "http://127.0.0.1:80/live/s.flv".parse().unwrap();
        assert!(http.request().unwrap().starts_with(b"GET /live/s.flv HTTP/1.1\r\n"));
        for (scheme, secure) in [("rtmps", true), ("https", true), ("wss", true), ("ws", false)] {
            let target: Target = format!("{scheme}://127.0.0.1:1/live/s").parse().unwrap();
            assert_eq!(target.is_tls(), secure, "{scheme}");
        }
        for (scheme, wanted) in [("rtsp", Lower::Tcp), ("rtspu", Lower::Udp)] {
            let rtsp: Target = format!("{scheme}://127.0.0.1:1/live/s{{}}").parse().unwrap();
            let Target::Rtsp { path, lower, .. } = rtsp.numbered(7) else { panic!("{rtsp:?}") };
            assert_eq!((&path[..], lower), ("/live/s7", wanted));
        }
        assert!("rtmp://127.0.0.1/live".parse::<Target>().is_err());
        assert!("srt://127.0.0.1".parse::<Target>().is_err());
    }
}
