//! Request heads, and the answers to them.
//!
//! Laws: no prefix of a good head is refused; what a request offers is clean; every answer is a
//! good response head.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ws::client::Response;
use ws::head::{Limits, Request};
use ws::response::{Cors, LiveBody, Responder, Status, switching_protocols};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let (request, consumed) = match Request::parse(data, &limits) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return,
        Err(error) => return check(&Responder::unparsed().error(&error)),
    };
    for end in [consumed - 1, consumed / 2, consumed / 3] {
        assert_eq!(Request::parse(&data[..end], &limits), Ok(None));
    }
    assert_eq!(Request::parse(&data[..consumed], &limits), Ok(Some((request.clone(), consumed))));

    let path = request.path();
    assert!(path.starts_with('/') || path == "*");
    assert!(!path.contains(char::is_control));
    assert!(!path.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")));

    let cors = request.origin().map_or(Cors::Any, |origin| Cors::Origin(origin.to_owned()));
    let responder = Responder::new(&request, cors);
    check(&responder.live("video/x-flv", LiveBody::Chunked));
    check(&responder.preflight(&request));
    check(&responder.redirect(Status::FOUND, path));
    match request.upgrade() {
        Ok(None) => {}
        Ok(Some(upgrade)) => check(&switching_protocols(&upgrade, &["flv"])),
        Err(error) => check(&responder.error(&error)),
    }
});

fn check(answer: &[u8]) {
    // An answer may echo a head's worth of the request.
    let limits = Limits { head: 64 * 1024, ..Limits::default() };
    assert!(matches!(Response::parse(answer, &limits), Ok(Some(_))));
}
