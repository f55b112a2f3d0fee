//! Frames against an independent implementation: what one writes, the other reads, and both
//! refuse the same bytes.

use std::io::{Read, Result, Write};

use bytes::{Bytes, BytesMut};
use headwater_ws::frame::{self, Event, Opcode, Reader, VIEWER_MESSAGE};
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

/// A connection that has received `input` and keeps what is sent apart.
struct Wire<'a> {
    input: &'a [u8],
    sent: Vec<u8>,
}

impl Read for Wire<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        self.input.read(out)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.sent.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fn theirs(input: &[u8], role: Role) -> WebSocket<Wire<'_>> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(VIEWER_MESSAGE))
        .max_frame_size(Some(VIEWER_MESSAGE));
    WebSocket::from_raw_socket(Wire { input, sent: Vec::new() }, role, Some(config))
}

fn their_messages(input: &[u8], role: Role) -> Vec<Message> {
    let mut socket = theirs(input, role);
    std::iter::from_fn(|| socket.read().ok()).collect()
}

fn our_messages(input: &[u8], role: frame::Role) -> Vec<Message> {
    let mut reader = Reader::new(role, VIEWER_MESSAGE);
    let mut rest = input;
    let mut messages = Vec::new();
    while let Ok(Some(event)) = reader.decode(&mut rest) {
        messages.push(match event {
            Event::Text(text) => Message::text(text),
            Event::Binary(bytes) => Message::Binary(bytes),
            Event::Ping(bytes) => Message::Ping(bytes),
            Event::Pong(bytes) => Message::Pong(bytes),
            Event::Close { .. } => break,
        });
    }
    messages
}

/// Frames that are mostly legal: opcode, end of message, and payload. All payloads are UTF-8: when
/// text is not, they say so in the middle of a message and we at its end, as either may.
fn frames() -> impl Strategy<Value = Vec<(Opcode, bool, Vec<u8>)>> {
    use Opcode::{Binary, Continuation, Ping, Pong, Text};
    let opcode = prop::sample::select(vec![Continuation, Text, Binary, Binary, Ping, Pong]);
    let payload = prop_oneof![
        "\\PC{0,10}".prop_map(String::into_bytes),
        (120_usize..130).prop_map(|len| vec![b'x'; len]),
    ];
    prop::collection::vec((opcode, prop::bool::weighted(0.7), payload), 0..6)
}

proptest! {
    #[test]
    fn both_read_a_client_alike(frames in frames(), key: [u8; 4]) {
        let mut bytes = BytesMut::new();
        for (opcode, fin, payload) in &frames {
            frame::write_masked_frame(&mut bytes, *opcode, *fin, key, payload);
        }
        let ours = our_messages(&bytes, frame::Role::Server);
        prop_assert_eq!(ours, their_messages(&bytes, Role::Server));
    }

    #[test]
    fn both_read_a_server_alike(frames in frames()) {
        let mut bytes = BytesMut::new();
        for (opcode, fin, payload) in &frames {
            frame::write_frame_header(&mut bytes, *opcode, *fin, payload.len());
            bytes.extend_from_slice(payload);
        }
        let ours = our_messages(&bytes, frame::Role::Client);
        prop_assert_eq!(ours, their_messages(&bytes, Role::Client));
    }

    #[test]
    fn we_read_what_they_write(payload in prop::collection::vec(any::<u8>(), 0..70_000)) {
        let payload = Bytes::from(payload);
        for (role, ours) in [(Role::Client, frame::Role::Server), (Role::Server, frame::Role::Client)] {
            let mut socket = theirs(&[], role);
            socket.send(Message::Binary(payload.clone())).unwrap();
            let written = socket.into_inner().sent;
            let read = our_messages(&written, ours);
            if payload.len() <= VIEWER_MESSAGE {
                prop_assert_eq!(read, vec![Message::Binary(payload.clone())]);
            } else {
                prop_assert_eq!(read, vec![]);
            }
        }
    }
}
