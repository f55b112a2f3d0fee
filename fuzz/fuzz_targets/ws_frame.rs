//! WebSocket frames, from clients and from servers.
//!
//! Laws: reads may end anywhere; messages that were read and written read the same again.

#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;
use ws::frame::{self, Error, Event, Opcode, Reader, Role};

/// Low, so that it is met.
const LIMIT: usize = 512;

fuzz_target!(|data: &[u8]| {
    for role in [Role::Server, Role::Client] {
        splits_change_nothing(data, |pieces| read(role, pieces));
        let (events, _) = read(role, &[data]);
        let mut out = BytesMut::new();
        for event in &events {
            write(role, event, &mut out);
        }
        assert_eq!(read(role, &[&out]), (events, None));
    }
});

fn read(role: Role, pieces: &[&[u8]]) -> (Vec<Event>, Option<Error>) {
    let mut reader = Reader::new(role, LIMIT);
    let mut events = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match reader.decode(&mut piece) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

/// Writes what a peer of `role` reads.
fn write(role: Role, event: &Event, out: &mut BytesMut) {
    let (opcode, payload) = match event {
        Event::Text(text) => (Opcode::Text, Bytes::copy_from_slice(text.as_bytes())),
        Event::Binary(bytes) => (Opcode::Binary, bytes.clone()),
        Event::Ping(bytes) => (Opcode::Ping, bytes.clone()),
        Event::Pong(bytes) => (Opcode::Pong, bytes.clone()),
        Event::Close { code: None, .. } => (Opcode::Close, Bytes::new()),
        Event::Close { code: Some(code), reason } => {
            (Opcode::Close, frame::close_payload(*code, reason))
        }
    };
    match role {
        Role::Server => frame::write_masked_frame(out, opcode, true, [1, 2, 3, 4], &payload),
        Role::Client => {
            frame::write_frame_header(out, opcode, true, payload.len());
            out.put_slice(&payload);
        }
    }
}
