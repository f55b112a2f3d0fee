//! How streams, sessions and the server end, and what each peer is told.

use std::io::{Read, Write};
use std::net::TcpStream;

use headwater_e2e::{Frames, PATIENCE, Program, Server, clip, wait_until};
use serde_json::json;

#[test]
fn viewers_are_sent_away_when_the_publisher_stays_away() {
    let mut server = Server::start(&["stream.grace=1s"]);
    let mut publisher = clip::publish(&server.url("rtmp", "live/gone"));
    wait_until("the stream is live", || server.is_live("live/gone"));
    let viewers: Vec<Program> = ["rtmp", "http"]
        .iter()
        .map(|scheme| {
            Frames::reader(&format!("-i {}", server.url(scheme, "live/gone")), "h264", false)
        })
        .collect();
    wait_until("both play", || server.viewers("live/gone") == 2);
    publisher.kill();
    for mut viewer in viewers {
        viewer.wait();
    }
    wait_until("the stream is forgotten", || server.group("live/gone").is_null());
    server.assert_healthy();
}

/// Sends bytes and reads until the server closes.
fn exchange(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut answer = Vec::new();
    // The server may close before it has read everything.
    let _ = socket.write_all(bytes);
    let _ = socket.read_to_end(&mut answer);
    answer
}

#[test]
fn http_answers_say_what_is_wrong() {
    let mut server = Server::start(&["server.wait_for_stream=0s"]);
    let port = server.port("http");
    let ask =
        |request: &str| String::from_utf8_lossy(&exchange(port, request.as_bytes())).into_owned();
    let host = "Host: localhost\r\n\r\n";
    for (request, status, text) in [
        (format!("GET /live/none.flv HTTP/1.1\r\n{host}"), "404", "not published here"),
        (format!("HEAD /live/none.flv HTTP/1.1\r\n{host}"), "404", ""),
        (format!("OPTIONS /live/none.flv HTTP/1.1\r\n{host}"), "204", ""),
        (format!("POST /live/none.flv HTTP/1.1\r\n{host}"), "405", "GET"),
        (format!("GET /live/..%2f..%2fx.flv HTTP/1.1\r\n{host}"), "400", ""),
        (format!("GET /live/%00.flv HTTP/1.1\r\n{host}"), "400", ""),
        (format!("GET /nothing HTTP/1.1\r\n{host}"), "404", "/APP/NAME.flv"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "", ""),
        (format!("GET /{} HTTP/1.1\r\n{host}", "x".repeat(9000)), "4", ""),
        ("\x16\x03\x01 this is TLS\r\n\r\n".to_owned(), "400", ""),
    ] {
        let answer = ask(&request);
        let head = answer.lines().next().unwrap_or_default().to_owned();
        assert!(head.contains(status), "{request:.60}: {answer}");
        assert!(answer.contains(text), "{request:.60}: {answer}");
        let cors = answer.to_ascii_lowercase().contains("access-control-allow-origin: *");
        assert!(cors, "{request:.60} has no CORS: {answer}");
    }
    assert_eq!(server.api("/api/stat/all_group")["data"]["groups"], json!([]));
    server.assert_healthy();
}

#[test]
fn silence_and_noise_end_one_session_only() {
    let mut server = Server::start(&[
        "rtmp.handshake_timeout=1s",
        "rtmp.setup_timeout=1s",
        "http.head_timeout=1s",
    ]);
    let _publisher = clip::publish(&server.url("rtmp", "live/safe"));
    wait_until("the stream is live", || server.is_live("live/safe"));
    let viewer = Frames::reader(&format!("-i {}", server.url("rtmp", "live/safe")), "h264", false);
    wait_until("the viewer plays", || server.viewers("live/safe") == 1);
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut noise = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_le_bytes()[0]
            })
            .collect()
    };
    for listener in ["rtmp", "rtmps", "http", "https"] {
        // Nothing at all, a little, a lot, and a valid beginning with nonsense after it.
        exchange(server.port(listener), b"");
        for length in [1, 100, 5000] {
            exchange(server.port(listener), &noise(length));
        }
        let mut handshake = vec![3];
        handshake.extend(noise(1536 * 2 + 400));
        exchange(server.port(listener), &handshake);
    }
    assert!(server.log().contains("protocol error"), "{}", server.log());
    let before = Frames::parse(&viewer.stdout()).count("video0");
    wait_until("the viewer plays on", || {
        Frames::parse(&viewer.stdout()).count("video0") > before + 20
    });
    server.assert_healthy();
}

#[test]
fn a_stop_is_told_to_every_peer() {
    let mut server = Server::start(&[]);
    let mut publisher = clip::publish(&server.url("rtmp", "live/stop"));
    wait_until("the stream is live", || server.is_live("live/stop"));
    let mut viewer =
        Frames::reader(&format!("-i {}", server.url("rtmp", "live/stop")), "h264", false);
    wait_until("the viewer plays", || server.viewers("live/stop") == 1);
    server.signal("TERM");
    viewer.wait();
    publisher.wait();
    assert_eq!(server.wait(), Some(0));
    assert!(server.log().contains("the server is stopping"));
}
