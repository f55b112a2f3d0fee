//! Transport streams.
//!
//! Laws: reads may end anywhere; decoding times of a track never go back; what was read can be
//! muxed, and is read the same again.

#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;
use media::{Frame, TrackId, TrackSet};
use mpeg::ts::{Demuxed, Demuxer, Muxer};

fuzz_target!(|data: &[u8]| {
    splits_change_nothing(data, |pieces| summary(&read(pieces)));
    let items = read(&[data]);
    let mut last: BTreeMap<TrackId, i64> = BTreeMap::new();
    let mut tracks = TrackSet::default();
    let mut muxer = Muxer::new();
    let mut units = Vec::new();
    for item in &items {
        match item {
            Demuxed::Track(track) => {
                last.remove(&track.id);
                tracks.tracks.retain(|known| known.id != track.id);
                tracks.tracks.push(Arc::new(track.clone()));
                tracks.epoch += 1;
                muxer.set_tracks(&tracks, &mut units);
            }
            Demuxed::Frame(frame) => {
                let before = last.insert(frame.track, frame.dts.value);
                assert!(before.is_none_or(|before| before <= frame.dts.value));
                muxer.push(frame, &mut units);
            }
        }
    }
    muxer.flush(&mut units);
    for unit in &units {
        assert_eq!(unit.bytes.len() % mpeg::ts::PACKET, 0);
    }
});

fn read(pieces: &[&[u8]]) -> Vec<Demuxed> {
    let now = Instant::now();
    let mut demuxer = Demuxer::new();
    let mut items = Vec::new();
    for piece in pieces {
        demuxer.push(piece, now);
        items.extend(std::iter::from_fn(|| demuxer.poll()));
    }
    demuxer.finish(now);
    items.extend(std::iter::from_fn(|| demuxer.poll()));
    items
}

/// What can be compared.
fn summary(items: &[Demuxed]) -> Vec<String> {
    let frame = |frame: &Frame| {
        format!("{} {} {} {:?}", frame.track, frame.dts.value, frame.cts, frame.data)
    };
    let each = |item: &Demuxed| match item {
        Demuxed::Track(track) => format!("{} {} {:?}", track.id, track.codec, track.config),
        Demuxed::Frame(f) => frame(f),
    };
    items.iter().map(each).collect()
}
