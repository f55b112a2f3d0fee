//! What happens to streams and sessions when peers come, go and misbehave.

use std::io::{Read, Write};
use std::net::TcpStream;

use headwater_e2e::{Frames, PATIENCE, Program, Server, ffmpeg, material, wait_until};
use serde_json::json;

fn publish(server: &Server, stream: &str) -> Program {
    let (input, url) = (material("h264-aac.mp4"), server.url("rtmp", stream));
    ffmpeg(&format!("-re -stream_loop -1 -i {} -c copy -f flv {url}", input.display()))
}

fn publisher_of(server: &Server, stream: &str) -> String {
    server.group(stream)["pub"]["session_id"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_second_publisher_is_refused_before_any_success() {
    let mut server = Server::start(&[]);
    let mut first = publish(&server, "live/one");
    wait_until("the stream is live", || server.is_live("live/one"));
    let owner = publisher_of(&server, "live/one");
    let mut second = publish(&server, "live/one");
    assert!(!second.wait().success());
    assert!(second.stderr().contains("already has a publisher"), "{}", second.stderr());
    assert_eq!(publisher_of(&server, "live/one"), owner);
    assert!(!first.has_ended());
    server.assert_healthy();
}

#[test]
fn a_second_publisher_takes_over_if_so_set() {
    let mut server = Server::start(&["stream.second_publisher=takeover"]);
    let mut first = publish(&server, "live/one");
    wait_until("the stream is live", || server.is_live("live/one"));
    let owner = publisher_of(&server, "live/one");
    let _second = publish(&server, "live/one");
    wait_until("the second has taken over", || {
        let now = publisher_of(&server, "live/one");
        !now.is_empty() && now != owner
    });
    first.wait();
    assert!(server.log().contains("another publisher took over"));
    server.assert_healthy();
}

#[test]
fn a_publisher_that_returns_in_time_finds_its_viewers() {
    let mut server = Server::start(&["stream.grace=8s"]);
    let mut first = publish(&server, "live/back");
    wait_until("the stream is live", || server.is_live("live/back"));
    let viewer = Frames::reader(&format!("-i {}", server.url("http", "live/back")), "h264", false);
    wait_until("the viewer plays", || server.viewers("live/back") == 1);
    let frames = || Frames::parse(&viewer.stdout()).count("video0");
    wait_until("frames of the first have come", || frames() > 20);
    first.kill();
    wait_until("it is gone", || !server.is_live("live/back"));
    let (before, _second) = (frames(), publish(&server, "live/back"));
    wait_until("frames of the second have come", || frames() > before + 20);
    let video = Frames::parse(&viewer.stdout()).track("video0");
    assert!(video.windows(2).all(|pair| pair[0].0 < pair[1].0), "time went back");
    assert_eq!(server.viewers("live/back"), 1);
    server.assert_healthy();
}

#[test]
fn viewers_are_sent_away_when_the_publisher_stays_away() {
    let mut server = Server::start(&["stream.grace=1s"]);
    let mut publisher = publish(&server, "live/gone");
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

#[test]
fn the_division_of_a_deep_path_makes_no_difference() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let _publisher = publish(&server, "a/b/c/d/name?token=1");
    wait_until("the stream is live", || server.is_live("a/b/c/d/name"));
    let input = format!("-t 1 -i {}", server.url("http", "a/b/c/d/name"));
    let frames = Frames::parse(&Frames::reader(&input, "h264", false).finish());
    assert!(frames.count("video0") > 10);
    server.assert_healthy();
}

#[test]
fn sessions_are_kicked_by_their_ids() {
    let mut server = Server::start(&[]);
    let mut publisher = publish(&server, "live/kick");
    wait_until("the stream is live", || server.is_live("live/kick"));
    let url = server.url("http", "live/kick");
    let mut viewer = Frames::reader(&format!("-i {url}"), "h264", false);
    wait_until("the viewer plays", || server.viewers("live/kick") == 1);
    let kick = |id: &str| {
        let order = json!({ "stream_name": "kick", "session_id": id });
        server.api_post("/api/ctrl/kick_session", &order)["error_code"].clone()
    };
    let group = server.group("live/kick");
    let id = group["subs"][0]["session_id"].as_str().expect("an id");
    assert_eq!(kick("FLVSUB99"), 1003);
    assert_eq!(kick(id), 0);
    viewer.wait();
    assert_eq!(kick(group["pub"]["session_id"].as_str().expect("an id")), 0);
    publisher.wait();
    wait_until("no session is left", || !server.is_live("live/kick"));
    assert!(server.log().contains("kicked by an operator"));
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
    let _publisher = publish(&server, "live/safe");
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
    let mut publisher = publish(&server, "live/stop");
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
