//! What the server says when it is up: URLs ready to paste.

use std::fmt::Write;
use std::net::SocketAddr;

use headwater::{Addresses, Egress, Server};

/// The text for a server. `example` is a stream's name.
pub(super) fn text(server: &Server, example: &str) -> String {
    text_for(server.addresses(), server.egress(), example)
}

fn text_for(addresses: &Addresses, egress: Egress, example: &str) -> String {
    let mut out = format!("Headwater {} is up.\n", env!("CARGO_PKG_VERSION"));
    let mut line = |what: &str, url: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {what:<14} {url}");
    };
    if let Some(at) = addresses.rtmp.first() {
        let url = url("rtmp", at, 1935);
        line("publish", format!("{url}/{example}"));
        line("in OBS", format!("server {url}/{}, stream key {}", app(example), name(example)));
        line("watch", format!("{url}/{example}"));
    }
    if let Some(at) = addresses.rtmps.first() {
        line("over TLS", format!("{}/{example}", url("rtmps", at, 443)));
    }
    if let Some(at) = addresses.rtsp.first() {
        line("RTSP", format!("{}/{example}", url("rtsp", at, 554)));
    }
    if let Some(at) = addresses.http.first() {
        line("HTTP-FLV", format!("{}/{example}.flv", url("http", at, 80)));
        line("WebSocket-FLV", format!("{}/{example}.flv", url("ws", at, 80)));
        line("HLS", format!("{}/hls/{example}.m3u8", url("http", at, 80)));
        line("MPEG-TS", format!("{}/{example}.ts", url("http", at, 80)));
    }
    if let Some(at) = addresses.https.first() {
        line("HTTPS-FLV", format!("{}/{example}.flv", url("https", at, 443)));
    }
    if let Some(at) = addresses.api.first() {
        line("page", format!("{}/", url("http", at, 80)));
        line("API", format!("{}/api/v1/streams", url("http", at, 80)));
    }
    if let Some(at) = addresses.api_tls.first() {
        line("page over TLS", format!("{}/", url("https", at, 443)));
    }
    let way = if egress == Egress::Uring { "io_uring" } else { "epoll" };
    line("sends by", way.to_owned());
    out
}

/// A URL's beginning. A server that listens everywhere is shown by the address that this machine
/// has for itself.
pub(super) fn url(scheme: &str, at: &SocketAddr, default_port: u16) -> String {
    let host = match at {
        at if at.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V4(at) => at.ip().to_string(),
        SocketAddr::V6(at) => format!("[{}]", at.ip()),
    };
    if at.port() == default_port {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{}", at.port())
    }
}

fn app(stream: &str) -> &str {
    stream.rsplit_once('/').map_or("", |(app, _)| app)
}

fn name(stream: &str) -> &str {
    stream.rsplit_once('/').map_or(stream, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_ready_to_paste() {
        let addresses = Addresses {
            rtmp: vec!["[::]:1935".parse().unwrap()],
            http: vec!["127.0.0.1:8080".parse().unwrap()],
            ..Addresses::default()
        };
        let text = text_for(&addresses, Egress::Epoll, "live/me");
        assert!(text.contains("rtmp://127.0.0.1/live/me\n"), "{text}");
        assert!(text.contains("server rtmp://127.0.0.1/live, stream key me\n"), "{text}");
        assert!(text.contains("http://127.0.0.1:8080/live/me.flv\n"), "{text}");
        assert!(!text.contains("rtmps"), "{text}");
    }
}
