//! Responses: what each kind of client gets to see.

use super::*;
use crate::head::Limits;

fn request(head: &str) -> Request {
    Request::parse(head.as_bytes(), &Limits::default()).unwrap().unwrap().0
}

fn get(version: &str) -> Request {
    request(&format!("GET /a.flv {version}\r\nHost: h\r\n\r\n"))
}

fn string(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_live_head_in_full() {
    let head = Responder::new(&get("HTTP/1.1"), Cors::Any).live("video/x-flv", LiveBody::default());
    assert_eq!(
        string(&head),
        "HTTP/1.1 200 OK\r\n\
         Server: headwater\r\n\
         Access-Control-Allow-Origin: *\r\n\
         Access-Control-Expose-Headers: Content-Length, Content-Range, Date\r\n\
         Cross-Origin-Resource-Policy: cross-origin\r\n\
         Content-Type: video/x-flv\r\n\
         Cache-Control: no-cache\r\n\
         X-Accel-Buffering: no\r\n\
         Connection: close\r\n\r\n"
    );
}

#[test]
fn live_bodies_are_chunked_only_where_chunks_are_known() {
    let chunked = |version| {
        let responder = Responder::new(&get(version), Cors::Any);
        string(&responder.live("video/mp2t", LiveBody::Chunked)).contains("chunked")
    };
    assert!(chunked("HTTP/1.1"));
    assert!(!chunked("HTTP/1.0"));
}

#[test]
fn credentials_go_to_a_named_origin_only() {
    let cors = Cors::Origin("https://page.example".to_owned());
    let head = string(&Responder::new(&get("HTTP/1.1"), cors).text(Status::NOT_FOUND, "none"));
    assert!(head.contains("Access-Control-Allow-Origin: https://page.example\r\n"));
    assert!(head.contains("Access-Control-Allow-Credentials: true\r\n"));
    assert!(head.contains("Vary: Origin\r\n"));
    let head = string(&Responder::new(&get("HTTP/1.1"), Cors::Any).text(Status::NOT_FOUND, "none"));
    assert!(!head.contains("Credentials"));
}

#[test]
fn whole_responses_match_their_length() {
    let playlist = Responder::new(&get("HTTP/1.1"), Cors::Any).whole(
        Status::OK,
        "application/vnd.apple.mpegurl",
        &[("Cache-Control", "no-cache")],
        b"#EXTM3U\n",
    );
    let playlist = string(&playlist);
    assert!(playlist.contains("Connection: keep-alive\r\n"));
    assert!(playlist.ends_with("Content-Length: 8\r\n\r\n#EXTM3U\n"), "{playlist}");
    let old = string(&Responder::new(&get("HTTP/1.0"), Cors::Any).text(Status::OK, "x"));
    assert!(old.starts_with("HTTP/1.0 200 OK\r\n") && old.contains("Connection: close\r\n"));
}

#[test]
fn head_gets_the_length_but_no_body() {
    let head = request("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    let response = string(&Responder::new(&head, Cors::Any).text(Status::NOT_FOUND, "no stream"));
    assert!(response.contains("Content-Length: 10\r\n"));
    assert!(response.ends_with("\r\n\r\n"));
}

#[test]
fn preflights_echo_what_was_asked_unless_it_is_odd() {
    let allowed = |asked: &str| {
        let head = format!(
            "OPTIONS /a HTTP/1.1\r\nHost: h\r\nAccess-Control-Request-Headers: {asked}\r\n\r\n"
        );
        let request = request(&head);
        let response = string(&Responder::new(&request, Cors::Any).preflight(&request));
        assert!(response.starts_with("HTTP/1.1 204 No Content\r\n"));
        assert!(!response.contains("\r\nContent-Length"));
        let line = response.lines().find(|l| l.starts_with("Access-Control-Allow-Headers: "));
        line.unwrap().split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(allowed("range, x-token"), "range, x-token");
    assert!(allowed("a: b").starts_with("Range, "));
    assert!(allowed("<script>").starts_with("Range, "));
}

#[test]
fn refusals_say_how_to_do_better() {
    let error = Error::TargetTooLong { limit: 2048 };
    let response = string(&Responder::unparsed().error(&error));
    assert!(response.starts_with("HTTP/1.1 414 URI Too Long\r\n"));
    assert!(response.contains("Connection: close\r\n"));
    assert!(response.contains("Access-Control-Allow-Origin: *\r\n"));
    assert!(response.ends_with(
        "\r\n\r\nthe request target exceeds 2048 bytes: \
                                shorten the path or the query\n"
    ));
    let responder = Responder::new(&get("HTTP/1.1"), Cors::Any);
    assert!(string(&responder.error(&Error::Method)).contains("Allow: GET, HEAD, OPTIONS\r\n"));
    assert!(
        string(&responder.error(&Error::UpgradeVersion)).contains("Sec-WebSocket-Version: 13\r\n")
    );
}

#[test]
fn upgrades_choose_a_protocol_from_the_offer() {
    let answer = |offer: &str, preferred: &[&str]| {
        let request = request(&format!(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{offer}\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        string(&switching_protocols(&request.upgrade().unwrap().unwrap(), preferred))
    };
    let plain = answer("", &["flv"]);
    assert!(plain.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
    assert!(plain.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(!plain.contains("Protocol:"));
    let offer = "Sec-WebSocket-Protocol: a, flv\r\n";
    assert!(answer(offer, &["flv"]).contains("Sec-WebSocket-Protocol: flv\r\n"));
    assert!(answer(offer, &[]).contains("Sec-WebSocket-Protocol: a\r\n"));
}

#[test]
fn no_value_starts_a_line_of_its_own() {
    let responder = Responder::new(&get("HTTP/1.1"), Cors::Origin("x\r\nSet-Cookie: a".to_owned()));
    let response = string(&responder.redirect(Status::FOUND, "/a\r\n\r\n<script>"));
    assert!(response.contains("Location: /a    <script>\r\n"));
    assert!(!response.contains("\r\nSet-Cookie"));
}
