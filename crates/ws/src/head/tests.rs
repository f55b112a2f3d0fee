//! Request heads: well-formed ones, hostile ones, limits and laws.

use proptest::prelude::*;

use super::*;

fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Error> {
    Request::parse(bytes, &Limits::default())
}

fn request(head: &str) -> Request {
    match parse(head.as_bytes()) {
        Ok(Some((request, consumed))) => {
            assert_eq!(consumed, head.len());
            request
        }
        other => panic!("{head:?}: {other:?}"),
    }
}

/// What mpegts.js sends from Chrome.
const BROWSER: &str = "GET /live/cam%201.flv?token=a%2Fb HTTP/1.1\r\n\
    Host: media.example:8080\r\n\
    Connection: keep-alive\r\n\
    User-Agent: Mozilla/5.0\r\n\
    Accept: */*\r\n\
    Origin: https://page.example\r\n\
    Range: bytes=0-\r\n\r\n";

const UPGRADE: &str = "GET /live/a.flv HTTP/1.1\r\n\
    Host: h\r\n\
    Connection: keep-alive, Upgrade\r\n\
    upgrade: WebSocket\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: flv, mp4\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_browser_plays() {
    let request = request(BROWSER);
    assert_eq!(request.method(), Method::Get);
    assert_eq!(request.version(), Version::Http11);
    assert_eq!(request.path(), "/live/cam 1.flv");
    assert_eq!(request.query(), "token=a%2Fb");
    assert_eq!(request.host(), "media.example:8080");
    assert_eq!(request.origin(), Some("https://page.example"));
    assert_eq!(request.header("RANGE"), Some("bytes=0-"));
    assert_eq!(request.body(), Body::Empty);
    assert!(request.wants_keep_alive());
    assert!(!request.is_websocket_upgrade());
}

#[test]
fn what_follows_the_head_is_left_alone() {
    // A frame sent right behind the upgrade may hold anything.
    let bytes = [UPGRADE.as_bytes(), b"\n\x82\x80\0\n"].concat();
    let (_, consumed) = parse(&bytes).unwrap().unwrap();
    assert_eq!(consumed, UPGRADE.len());
}

#[test]
fn connections_persist_by_version_and_wish() {
    let rows = [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: Close\r\n", false),
        ("HTTP/1.1", "Connection: foo\r\nConnection: bar, close\r\n", false),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
    ];
    for (version, field, keep) in rows {
        let head = format!("GET / {version}\r\nHost: h\r\n{field}\r\n");
        assert_eq!(request(&head).wants_keep_alive(), keep, "{head}");
    }
}

#[test]
fn an_absolute_target_overrides_host() {
    let request = request("GET http://a.example/x?y HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!((request.host(), request.path(), request.query()), ("a.example", "/x", "y"));
}

#[test]
fn upgrades_are_recognised() {
    let request = request(UPGRADE);
    let upgrade = request.upgrade().unwrap().unwrap();
    assert_eq!(upgrade.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(upgrade.protocols().eq(["flv", "mp4"]));
    assert!(request.is_websocket_upgrade());
}

#[test]
fn bad_upgrades_are_refused() {
    let rows = [
        ("keep-alive, Upgrade", "close", Status::BAD_REQUEST),
        ("GET", "POST", Status::BAD_REQUEST),
        ("HTTP/1.1", "HTTP/1.0", Status::BAD_REQUEST),
        ("Host: h", "Host: h\r\nContent-Length: 3", Status::BAD_REQUEST),
        ("Version: 13", "Version: 8", Status::UPGRADE_REQUIRED),
        ("Sec-WebSocket-Version: 13\r\n", "", Status::UPGRADE_REQUIRED),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", Status::BAD_REQUEST),
        ("Host: h", "Host: h\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", Status::BAD_REQUEST),
    ];
    for (from, to, status) in rows {
        let request = request(&UPGRADE.replacen(from, to, 1));
        assert_eq!(request.upgrade().unwrap_err().status(), status, "{from} -> {to}");
        assert!(!request.is_websocket_upgrade());
    }
    assert!(matches!(request(&UPGRADE.replace("WebSocket\r", "h2c\r")).upgrade(), Ok(None)));
}

#[test]
fn latin_1_in_a_field_is_no_reason_to_refuse() {
    let (request, _) = parse(b"GET / HTTP/1.0\r\nUser-Agent: M\xfcller\r\n\r\n").unwrap().unwrap();
    assert_eq!(request.header("user-agent"), Some("M\u{FFFD}ller"));
}

#[test]
fn bodies_are_framed_one_way() {
    let body = |fields: &str| {
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        parse(head.as_bytes()).map(|parsed| parsed.unwrap().0.body())
    };
    assert_eq!(body(""), Ok(Body::Empty));
    assert_eq!(body("Content-Length: 12\r\n"), Ok(Body::Length(12)));
    assert_eq!(body("Transfer-Encoding: Chunked\r\n"), Ok(Body::Chunked));
    for smuggled in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
    ] {
        assert_eq!(
            body(smuggled).map_err(|e| e.status()),
            Err(Status::BAD_REQUEST),
            "{smuggled:?}"
        );
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(matches!(parse(old), Err(Error::Framing(_))));
}

#[test]
fn hostile_shapes_are_refused_with_their_status() {
    let rows: &[(&[u8], Status)] = &[
        (b"GET / HTTP/1.1\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\nHost: a\n\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", Status::BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", Status::BAD_REQUEST),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Status::BAD_REQUEST),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Status::BAD_REQUEST),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Status::BAD_REQUEST),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", Status::BAD_REQUEST),
        (b"GET /../etc HTTP/1.1\r\nHost: a\r\n\r\n", Status::BAD_REQUEST),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", Status::BAD_REQUEST),
        (b"GET /\r\n\r\n", Status::BAD_REQUEST),
        (b"\x16\x03\x01\x02\x00\x01\x00", Status::BAD_REQUEST),
        (b"\x03\x00\x00\x00\x00\x80", Status::BAD_REQUEST),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Status::VERSION_NOT_SUPPORTED),
        (b"DESCRIBE rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\n\r\n", Status::VERSION_NOT_SUPPORTED),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Status::VERSION_NOT_SUPPORTED),
    ];
    for (bytes, status) in rows {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(parse(bytes).map_err(|e| e.status()), Err(*status), "{shown:?}");
    }
}

#[test]
fn every_limit_holds_as_early_as_it_can() {
    let limits = Limits::default();
    let long = "x".repeat(limits.target);
    let error = Error::TargetTooLong { limit: limits.target };
    assert_eq!(parse(format!("GET /{long} HTTP/1.0\r\n\r\n").as_bytes()), Err(error));
    assert_eq!(parse(format!("GET /{long}").as_bytes()), Err(error), "before the line ends");
    assert_eq!(error.status().code(), 414);

    let filler = "x".repeat(limits.head);
    let error = Error::HeadTooLarge { limit: limits.head };
    assert_eq!(parse(format!("GET / HTTP/1.0\r\nX: {filler}").as_bytes()), Err(error));
    assert_eq!(parse(format!("GET / HTTP/1.0\r\nX: {filler}\r\n\r\n").as_bytes()), Err(error));
    assert_eq!(parse("\r\n".repeat(limits.head / 2).as_bytes()), Err(error));
    assert_eq!(error.status().code(), 431);

    let fields = "X: y\r\n".repeat(limits.fields + 1);
    let error = Error::TooManyFields { limit: limits.fields };
    assert_eq!(parse(format!("GET / HTTP/1.0\r\n{fields}\r\n").as_bytes()), Err(error));
    assert_eq!(error.status().code(), 431);
    let fields = "X: y\r\n".repeat(limits.fields);
    assert!(matches!(parse(format!("GET / HTTP/1.0\r\n{fields}\r\n").as_bytes()), Ok(Some(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_taken_calmly(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn damaged_heads_are_taken_calmly(at in 0..UPGRADE.len(), byte: u8) {
        let mut bytes = UPGRADE.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(Some((request, _))) = parse(&bytes) {
            let _ = request.upgrade();
        }
    }

    #[test]
    fn a_head_is_whole_at_its_last_byte_and_not_before(cut in 0..UPGRADE.len()) {
        prop_assert_eq!(parse(&UPGRADE.as_bytes()[..cut]), Ok(None));
    }

    #[test]
    fn every_prefix_agrees_with_the_whole(
        tail in prop::collection::vec(prop::sample::select(&b"aH:/ \r\n\t%0."[..]), 0..60),
    ) {
        let bytes = [b"GET / HTTP/1.0\r\n", &tail[..]].concat();
        let whole = parse(&bytes);
        for cut in 0..bytes.len() {
            match parse(&bytes[..cut]) {
                Ok(None) => continue,
                Ok(early) => prop_assert_eq!(whole, Ok(early)),
                Err(_) => prop_assert!(whole.is_err()),
            }
            break;
        }
    }
}
