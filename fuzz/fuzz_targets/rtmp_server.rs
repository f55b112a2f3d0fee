//! A server session behind the handshake: what it makes of any bytes, with an owner who accepts
//! everything at once.
//!
//! Law: reads may end anywhere, unless the client breaks the protocol: how much of what came before
//! is still reported depends on what had been decided by then. Buffer lengths are compared apart: they wait for no decision, and
//! so may overtake a command that does.

#![no_main]

use std::sync::Arc;
use std::time::Instant;

use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;
use rtmp::chunk::Limits;
use rtmp::server::{Config, Event, Session};

/// C0 and C1, C2: a plain handshake.
const HANDSHAKE: [u8; 1 + 2 * 1536] = {
    let mut bytes = [0; 1 + 2 * 1536];
    bytes[0] = 3;
    bytes
};

fuzz_target!(|data: &[u8]| {
    let now = Instant::now();
    let config = Arc::new(Config { limits: Limits::COMMANDS, ..Config::default() });
    splits_change_nothing(data, |pieces| {
        let mut session = Session::new(Arc::clone(&config), 1, now);
        let mut events = Events::default();
        session.handle_input(&HANDSHAKE, now).expect("the handshake is good");
        let is_good = pieces.iter().all(|piece| {
            session.handle_input(piece, now).is_ok() && drain(&mut session, now, &mut events)
        });
        while session.poll_transmit().is_some() {}
        if let Some(at) = session.poll_timeout() {
            let _ = session.handle_timeout(at);
        }
        is_good.then_some(events)
    });
});

/// What a session reported, as text since numbers in it may be NaN.
#[derive(Debug, Default, PartialEq)]
struct Events {
    buffer_lengths: Vec<String>,
    others: Vec<String>,
}

/// Takes all events and answers those that want it; whether the session goes on.
fn drain(session: &mut Session, now: Instant, events: &mut Events) -> bool {
    while let Some(event) = session.poll_event() {
        let list = match event {
            Event::SetBufferLength { .. } => &mut events.buffer_lengths,
            _ => &mut events.others,
        };
        list.push(format!("{event:?}"));
        let answered = match event {
            Event::Connect(_) => session.accept_connect(now),
            Event::Publish { stream, .. } => session.accept_publish(stream, now),
            Event::Play { stream, .. } => session.accept_play(stream, now),
            _ => Ok(()),
        };
        if answered.is_err() {
            return false;
        }
    }
    while session.poll_transmit().is_some() {}
    true
}
