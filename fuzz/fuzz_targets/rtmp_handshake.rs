//! Both halves of the handshake.
//!
//! Law: reads may end anywhere.

#![no_main]

use bytes::BytesMut;
use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;
use rtmp::handshake::{Client, Server, Variant};

fuzz_target!(|data: &[u8]| {
    splits_change_nothing(data, |pieces| {
        let mut server = Server::new(1);
        feed(pieces, |input, out| server.read(input, out).ok())
    });
    for variant in [Variant::Plain, Variant::Digest] {
        splits_change_nothing(data, |pieces| {
            let mut client = Client::new(variant, 1, &mut BytesMut::new());
            feed(pieces, |input, out| client.read(input, out).ok())
        });
    }
});

/// What was answered, and how it ended: the bytes behind the handshake, or `None` in an error.
fn feed(
    pieces: &[&[u8]],
    mut read: impl FnMut(&mut &[u8], &mut BytesMut) -> Option<bool>,
) -> (BytesMut, Option<Vec<u8>>) {
    let mut out = BytesMut::new();
    let mut is_done = false;
    let mut behind = Vec::new();
    for mut piece in pieces.iter().copied() {
        if !is_done {
            match read(&mut piece, &mut out) {
                Some(done) => is_done = done,
                None => return (out, None),
            }
        }
        behind.extend_from_slice(piece);
    }
    (out, Some(behind))
}
