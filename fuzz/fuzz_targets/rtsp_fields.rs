//! The header fields of RTSP that have a form of their own: transports, credentials, challenges,
//! and addresses.
//!
//! Laws: written transports and addresses read the same; who answers a challenge with the right
//! password proves it.

#![no_main]

use auth::{Answer, Credentials};
use libfuzzer_sys::fuzz_target;
use rtsp::transport::Transport;
use rtsp::url::{Target, Url, is_of_track, resolve};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for transport in Transport::parse_all(text) {
        // Hosts are passed on as they came.
        let plain = Transport { destination: None, source: None, ..transport };
        assert_eq!(Transport::parse_all(&plain.to_string()), [plain]);
    }
    let _ = Credentials::parse(text);
    if let Some(mut answer) = Answer::choose([text]) {
        let header = answer.header("user", "pass", "PLAY", "rtsp://host/a");
        assert!(Credentials::parse(&header).is_some(), "{header}");
    }
    let _ = Target::parse(text);
    let _ = is_of_track(text, "trackID=0");
    let _ = resolve("rtsp://host/a/", text);
    if let Ok(url) = Url::parse(text) {
        let again = Url::parse(&url.request_uri()).expect("what was made is read");
        assert_eq!((again.host, again.port, again.path), (url.host, url.port, url.path));
    }
});
