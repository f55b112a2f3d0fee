//! Fragments of MP4 from frames of any times and sizes.
//!
//! Laws: boxes have the lengths they say; each track's fragments follow each other without overlap;
//! every byte of a frame that was taken comes out.

#![no_main]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::{Codec, Frame, FrameKind, Ticks, Track, TrackId, TrackSet, Units, inspect};
use mp4::Fragmenter;
use testkit::{aac, h264};

fuzz_target!(|data: &[u8]| {
    let sequence = h264::Sequence { width: 64, height: 64, rate: (25, 1), reorders: true };
    let tracks = TrackSet {
        epoch: 1,
        tracks: vec![
            track(TrackId::video(0), Codec::H264, sequence.avcc()),
            track(TrackId::audio(0), Codec::Aac, aac::config(48_000, 2)),
        ],
        metadata: None,
        origin: None,
    };
    let mut fragmenter = Fragmenter::new();
    assert!(fragmenter.set_tracks(&tracks).is_some());
    boxes(&fragmenter.init());
    let (mut bytes_in, mut bytes_out, mut time) = (0, 0, 0i64);
    for step in data.chunks_exact(4) {
        let [kind, forward, cts, size] = *step else { return };
        time += i64::from(forward) * 7;
        let id = if kind & 1 == 0 { TrackId::video(0) } else { TrackId::audio(0) };
        let Some(track) = tracks.get(id) else { return };
        let payload = Bytes::from(vec![size; usize::from(size)]);
        let frame = Frame {
            track: id,
            kind: match kind & 3 {
                0 => FrameKind::Key,
                2 => FrameKind::Delta,
                _ => FrameKind::Audio,
            },
            dts: Ticks::from_millis(time, track.time_base),
            cts: i32::from(cts.cast_signed()) * 1000,
            arrival: Instant::now(),
            data: payload,
            units: Units::new(),
        };
        bytes_in += frame.data.len();
        fragmenter.push(&frame);
        if kind & 0xF0 == 0 {
            bytes_out += fragmenter.cut(frame.dts).map_or(0, |fragment| boxes(&fragment.bytes));
        }
    }
    bytes_out += fragmenter.finish().map_or(0, |fragment| boxes(&fragment.bytes));
    assert_eq!(bytes_in, bytes_out);
});

fn track(id: TrackId, codec: Codec, config: Bytes) -> Arc<Track> {
    let details = inspect::details(codec, &config).expect("a configuration");
    let time_base = inspect::time_base(codec, &details);
    Arc::new(Track { id, codec, time_base, config, color_info: None, enhanced: false, details })
}

/// Checks that boxes fill `bytes`; how much media is in them.
fn boxes(mut bytes: &[u8]) -> usize {
    let mut media = 0;
    while !bytes.is_empty() {
        let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        assert!(length >= 8 && length <= bytes.len());
        if &bytes[4..8] == b"mdat" {
            media += length - 8;
        }
        bytes = &bytes[length..];
    }
    media
}
