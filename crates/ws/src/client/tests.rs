//! The client half against the server half, and against strange servers.

use super::*;
use crate::head::{Method, Request};
use crate::response::{Cors, LiveBody, Responder, switching_protocols};

fn served(head: &Bytes) -> Request {
    Request::parse(head, &Limits::default()).unwrap().unwrap().0
}

fn parse(bytes: &[u8]) -> Result<Option<(Response, usize)>, Error> {
    Response::parse(bytes, &Limits::default())
}

fn response(bytes: &[u8]) -> Response {
    parse(bytes).unwrap().unwrap().0
}

#[test]
fn a_pull_meets_a_server() {
    let head = get("h:8080", "/live/a.flv?x=1", &[("Authorization", "Bearer a b")]).unwrap();
    let request = served(&head);
    assert_eq!(request.method(), Method::Get);
    assert_eq!((request.host(), request.path(), request.query()), ("h:8080", "/live/a.flv", "x=1"));
    assert_eq!(request.header("authorization"), Some("Bearer a b"));
    assert!(!request.wants_keep_alive());

    let responder = Responder::new(&request, Cors::Any);
    for (live, body) in
        [(LiveBody::UntilClose, Body::UntilClose), (LiveBody::Chunked, Body::Chunked)]
    {
        let bytes = responder.live("video/x-flv", live);
        let (response, consumed) = parse(&bytes).unwrap().unwrap();
        assert_eq!(consumed, bytes.len());
        assert_eq!((response.status(), response.body()), (Status::OK, body));
        assert_eq!(response.fields().get("content-type"), Some("video/x-flv"));
    }
}

#[test]
fn an_upgrade_meets_a_server() {
    let key = Key::new([7; 16]);
    let request = served(&key.upgrade("h", "/a.flv", &["flv", "x"], &[]).unwrap());
    let answer = switching_protocols(&request.upgrade().unwrap().unwrap(), &["x"]);
    assert_eq!(key.verify(&response(&answer), &["flv", "x"]), Ok(()));
    assert!(matches!(key.verify(&response(&answer), &["flv"]), Err(Error::Upgrade(_))));
    assert!(matches!(Key::new([8; 16]).verify(&response(&answer), &["x"]), Err(Error::Upgrade(_))));
    let refused = Responder::new(&request, Cors::Any).text(Status::NOT_FOUND, "no such stream");
    assert_eq!(key.verify(&response(&refused), &["flv"]), Err(Error::Refused(404)));
}

#[test]
fn nothing_of_ours_leaves_its_line() {
    for target in ["", "a", "/a b", "/a\r\nX: y", "/a\u{a0}b"] {
        assert_eq!(get("h", target, &[]), Err(Error::Request("target")), "{target:?}");
    }
    assert_eq!(get("h\r\n", "/", &[]), Err(Error::Request("host")));
    assert_eq!(get("h", "/", &[("a\r\nb", "c")]), Err(Error::Request("header name")));
    let head = get("h", "/", &[("a", "b\r\nc: d")]).unwrap();
    assert_eq!(served(&head).header("a"), Some("b  c: d"));
}

#[test]
fn redirects_and_framings() {
    let moved = response(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((moved.redirect(), moved.body()), (Some("/b"), Body::Length(0)));
    let plain = response(b"HTTP/1.0 200\r\nLocation: /b\r\n\r\n");
    assert_eq!((plain.redirect(), plain.body()), (None, Body::UntilClose));
    assert_eq!(plain.version(), Version::Http10);
    assert_eq!(response(b"HTTP/1.1 204 No Content\r\n\r\n").body(), Body::Empty);
}

#[test]
fn strange_servers_are_refused() {
    for bad in [
        &b"FLV\x01\x05\0\0\0\x09"[..],
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 000 No\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
    ] {
        assert!(parse(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
    }
    let limits = Limits::default();
    let endless = [b"HTTP/1.1 200 OK\r\nX: ", &vec![b'a'; limits.head][..]].concat();
    assert_eq!(parse(&endless), Err(Error::HeadTooLarge { limit: limits.head }));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(limits.fields + 1));
    assert_eq!(parse(many.as_bytes()), Err(Error::HeadTooLarge { limit: limits.head }));
}
