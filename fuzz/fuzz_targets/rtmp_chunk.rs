//! The chunk stream, and what its messages hold.
//!
//! Laws: reads may end anywhere; messages that were read and written read the same again.

#![no_main]

use bytes::BytesMut;
use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;
use rtmp::aggregate;
use rtmp::chunk::{self, Header, Limits, Reader, Size};
use rtmp::command::Command;
use rtmp::message::{Control, Kind, Message};

fuzz_target!(|data: &[u8]| {
    splits_change_nothing(data, read);
    let (messages, _) = read(&[data]);
    for message in &messages {
        let _ = Control::parse(message.kind, &message.payload);
        let _ = Command::parse(message.kind, &message.payload);
        let size = message.payload.len();
        let parts = aggregate::split(message).filter_map(Result::ok);
        assert!(parts.map(|part| part.payload.len()).sum::<usize>() <= size);
    }
    // These would change how the rest is read.
    let is_neutral = |m: &&Message| !matches!(m.kind, Kind::SetChunkSize | Kind::Abort);
    let messages: Vec<Message> = messages.iter().filter(is_neutral).cloned().collect();
    let mut out = BytesMut::new();
    for message in &messages {
        let Message { chunk_stream, kind, stream_id, timestamp, .. } = *message;
        let header = Header { chunk_stream, kind, stream_id, timestamp };
        let before = out.len();
        chunk::write_message(&mut out, header, &[&message.payload], Size::INITIAL)
            .expect("it was short enough to be read");
        let len = chunk::serialised_len(header, message.payload.len(), Size::INITIAL);
        assert_eq!(out.len() - before, len);
    }
    assert_eq!(read(&[&out]), (messages, true));
});

/// The messages, and whether the stream was good so far.
fn read(pieces: &[&[u8]]) -> (Vec<Message>, bool) {
    let mut reader = Reader::new(Limits::COMMANDS);
    let mut messages = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, false),
            }
        }
    }
    (messages, true)
}
