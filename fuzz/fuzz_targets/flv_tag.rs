//! FLV files and streams, tag by tag.
//!
//! Laws: reads may end anywhere; tags that were read and written read the same again.

#![no_main]

use bytes::{BufMut, BytesMut};
use flv::tag::{self, FileHeader, Reader, Tag};
use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;

/// As a puller of unknown streams sets it.
const MAX_BODY: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    splits_change_nothing(data, read);
    let (tags, _) = read(&[data]);
    let mut out = BytesMut::new();
    out.put_slice(&FileHeader { audio: true, video: true }.bytes());
    for tag in &tags {
        tag::write(&mut out, tag);
    }
    // The size after the last tag belongs to the next, which is not there.
    assert_eq!(read(&[&out]), (tags, true));
});

/// The tags, and whether the stream was good so far.
fn read(pieces: &[&[u8]]) -> (Vec<Tag>, bool) {
    let mut reader = Reader::new(MAX_BODY);
    let mut tags = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.poll() {
                Ok(Some(tag)) => tags.push(tag),
                Ok(None) => break,
                Err(_) => return (tags, false),
            }
        }
    }
    (tags, true)
}
