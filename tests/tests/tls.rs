//! TLS at every listener, and a new certificate while streams go on.

use std::path::Path;

use headwater_e2e::{Server, clip, program, wait_until};
use serde_json::Value;

const LISTENERS: [&str; 5] = ["rtmps", "rtsps", "rtsp_wss", "https", "api_tls"];

/// A certificate of its own for this host.
fn make_certificate(folder: &Path, name: &str) {
    let [key, certificate] = ["key", "crt"].map(|end| folder.join(end).display().to_string());
    let subject = format!("/CN={name}");
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                   -addext subjectAltName=IP:127.0.0.1";
    let files = ["-keyout", &key, "-out", &certificate, "-subj", &subject];
    program("openssl", request.split_whitespace().chain(files)).finish();
}

/// What a listener shows of itself.
fn subject(server: &Server, listener: &str) -> String {
    let address = format!("127.0.0.1:{}", server.port(listener));
    let seen = program("openssl", ["s_client", "-connect", &address]).finish();
    let line = seen.lines().find_map(|line| line.strip_prefix("subject="));
    line.unwrap_or_else(|| panic!("no certificate at {listener}:\n{seen}")).replace(' ', "")
}

#[test]
fn certificates_change_while_streams_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    make_certificate(folder.path(), "first");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let mut server = Server::start(&[
        &format!("tls.cert={}", file("crt")),
        &format!("tls.key={}", file("key")),
        "api.tls_listen=127.0.0.1:0",
        "rtsp.wss_listen=127.0.0.1:0",
    ]);
    for listener in LISTENERS {
        assert_eq!(subject(&server, listener), "CN=first", "{listener}");
    }
    let curl = |options: &[&str], listener: &str, path: &str| {
        let url = format!("https://127.0.0.1:{}{path}", server.port(listener));
        let trusted = file("crt");
        let always = ["-sS", "--http1.1", "--cacert", &trusted, &url];
        program("curl", always.iter().chain(options))
    };

    let mut publisher = clip::publish(&server.url("rtmps", "live/tls"));
    wait_until("it is published", || server.group("live/tls")["video_codec"] == "H264");
    let watched = file("watched.flv");
    let mut viewer = curl(&["-N", "-o", &watched], "https", "/live/tls.flv");
    let received = || std::fs::metadata(&watched).map_or(0, |file| file.len());
    wait_until("it is watched", || received() > 0);
    let groups = curl(&[], "api_tls", "/api/stat/all_group").finish();
    let groups: Value = serde_json::from_str(&groups).expect("JSON");
    assert_eq!(groups["data"]["groups"][0]["stream_name"], "tls", "{groups}");
    let upgrade = "-i --max-time 2 -H Connection:Upgrade -H Upgrade:websocket \
                   -H Sec-WebSocket-Version:13 -H Sec-WebSocket-Protocol:rtsp \
                   -H Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade: Vec<&str> = upgrade.split_whitespace().collect();
    let mut socket = curl(&upgrade, "rtsp_wss", "/");
    socket.wait();
    assert!(socket.stdout().starts_with("HTTP/1.1 101"), "{}", socket.stdout());

    make_certificate(folder.path(), "second");
    assert_eq!(server.v1("POST", "config/reload", &Value::Null).0, 200);
    for listener in LISTENERS {
        assert_eq!(subject(&server, listener), "CN=second", "{listener}");
    }
    let before = received();
    wait_until("it goes on", || received() > before + 50_000);
    assert!(!viewer.has_ended() && !publisher.has_ended());
    server.assert_healthy();
}
