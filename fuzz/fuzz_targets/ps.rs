//! Program streams of devices.
//!
//! Laws: reads may end anywhere; units belong to tracks that were announced, and their spans lie
//! within; losses and false ends of pictures break nothing.

#![no_main]

use std::collections::BTreeSet;

use headwater_fuzz::{seed, splits_change_nothing};
use libfuzzer_sys::fuzz_target;
use media::{FrameKind, nal};
use mpeg::ps::{Demuxed, Demuxer};

fuzz_target!(|data: &[u8]| {
    splits_change_nothing(data, |pieces| {
        let mut demuxer = Demuxer::new();
        for piece in pieces {
            demuxer.push(piece, None);
        }
        demuxer.finish();
        let items = check(&mut demuxer);
        let mut known = BTreeSet::new();
        for item in &items {
            match item {
                Demuxed::Track(track) => _ = known.insert(track.id),
                Demuxed::Unit(unit) => assert!(known.contains(&unit.track)),
            }
        }
        (items, demuxer.statistics(), demuxer.left_out().collect::<Vec<_>>())
    });
    let mut demuxer = Demuxer::new();
    let mut random = testkit::Random::new(seed(data));
    let mut timestamp = 0;
    for piece in testkit::split::pieces(data, &mut random) {
        timestamp += 3600;
        demuxer.push(piece, Some(timestamp));
        match random.below(8) {
            0 => demuxer.lost(),
            1..4 => demuxer.frame_ends(),
            _ => {}
        }
        check(&mut demuxer);
    }
    demuxer.finish();
    check(&mut demuxer);
});

fn check(demuxer: &mut Demuxer) -> Vec<Demuxed> {
    let items: Vec<Demuxed> = std::iter::from_fn(|| demuxer.poll()).collect();
    for item in &items {
        let Demuxed::Unit(unit) = item else { continue };
        if unit.kind == FrameKind::Audio {
            assert!(unit.units.is_empty() && !unit.data.is_empty());
            continue;
        }
        assert!(!unit.units.is_empty());
        assert_eq!(nal::iter(&unit.data, &unit.units).count(), unit.units.len());
        assert_eq!(nal::split(&unit.data, 4).as_ref(), Ok(&unit.units));
    }
    items
}
