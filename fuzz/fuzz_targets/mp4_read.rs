//! Fragments that others wrote.
//!
//! Laws: the same bytes give the same frames; units lie within their frames; frames come in the
//! order of their times; there are not many more bytes in them than there were.

#![no_main]

use std::time::Instant;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::Frame;
use mp4::read::{Item, Reader};

fuzz_target!(|data: &[u8]| {
    let data = Bytes::copy_from_slice(data);
    let frames = read(&data);
    let summary = |frames: &[Frame]| -> Vec<_> {
        frames.iter().map(|frame| (frame.dts, frame.cts, frame.data.clone())).collect()
    };
    assert_eq!(summary(&frames), summary(&read(&data)));
    for pair in frames.windows(2) {
        assert!(pair[0].dts.millis() <= pair[1].dts.millis());
    }
    // Lengths of one byte become four.
    let bytes: usize = frames.iter().map(|frame| frame.data.len()).sum();
    assert!(bytes <= 4 * data.len());
    for frame in &frames {
        assert!(!frame.data.is_empty());
        for unit in &frame.units {
            assert!(unit.start <= unit.end && unit.end as usize <= frame.data.len());
        }
    }
});

fn read(data: &Bytes) -> Vec<Frame> {
    let items = Reader::new().segment(data, Instant::now()).unwrap_or_default();
    let frames = items.into_iter().filter_map(|item| match item {
        Item::Frame(frame) => Some(frame),
        Item::Track(_) => None,
    });
    frames.collect()
}
