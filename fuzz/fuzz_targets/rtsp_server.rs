//! A server session, with an owner who accepts everything at once.
//!
//! Law: whatever comes, and wherever reads end, only answers go out. (Which ones may depend on that:
//! garbage is passed over by what is known of the session when it comes.)

#![no_main]

use std::time::Instant;

use auth::{Algorithm, Scheme};
use bytes::Bytes;
use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;
use rtp::sdp;
use rtsp::server::{Config, Event, Session};

fuzz_target!(|data: &[u8]| {
    let (guarded, data) = match data {
        [first, rest @ ..] => (first & 1 == 1, rest),
        [] => return,
    };
    let schemes = vec![Scheme::Digest(Algorithm::Sha256), Scheme::Basic];
    let config = Config { realm: "r".to_owned(), schemes, ..Config::default() };
    let now = Instant::now();
    splits_change_nothing(data, |pieces| {
        let mut session = Session::new(config.clone(), 7, now);
        let mut said = Vec::new();
        for piece in pieces {
            let read = session.handle_input(piece, now);
            drain(&mut session, guarded, &mut said);
            if read.is_err() {
                break;
            }
        }
        if let Some(at) = session.poll_timeout() {
            let _ = session.handle_timeout(at);
        }
        for answer in said {
            let is_answer = answer.starts_with(b"RTSP/1.0 ")
                || answer.starts_with(b"HTTP/1.0 4")
                || answer.starts_with(b"HTTP/1.1 4");
            assert!(is_answer, "{answer:?}");
        }
    });
});

fn drain(session: &mut Session, guarded: bool, said: &mut Vec<Bytes>) {
    while let Some(event) = session.poll_event() {
        let proven = session.presented().is_some_and(|p| p.user() == "u" && p.proves("p"));
        if guarded && !proven {
            // That is the answer to what was asked for: it gets no second one.
            session.challenge();
            continue;
        }
        match event {
            Event::Describe { uri, .. } => session.describe(&sdp::Session::default(), &uri),
            Event::Setup { transports, .. } => {
                if let Some(first) = transports.first() {
                    session.accept_setup(first);
                }
            }
            Event::Play => said.push(session.accept_play(None)),
            Event::Announce { .. } | Event::Record | Event::Pause | Event::Teardown { .. } => {
                session.accept();
            }
            Event::Data { .. } | Event::Tunnel { .. } => {}
        }
    }
    while let Some(bytes) = session.poll_transmit() {
        said.push(bytes);
    }
}
