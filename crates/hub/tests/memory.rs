//! What all streams together may hold.

mod stage;

use std::time::{Duration, Instant};

use headwater_hub::{Publication, Sessions, StreamSettings};
use media::FrameKind;

use stage::{picture, pictures, publish};

const FRAME: usize = 100 << 10;

fn push(publication: &mut Publication, number: i64) {
    let kind = if number % 50 == 0 { FrameKind::Key } else { FrameKind::Delta };
    publication.push(picture(kind, number * 40, vec![0; FRAME])).expect("it publishes");
}

#[test]
fn streams_share_what_there_is() {
    let registry = stage::registry(StreamSettings::default());
    let (sessions, now) = (Sessions::default(), Instant::now());
    let mut publications = Vec::new();
    for path in ["a", "b", "c", "d"] {
        let mut publication = publish(&registry, &sessions, path, now);
        publication.set_track(pictures(b""), 0, now).expect("it publishes");
        (0..40).for_each(|number| push(&mut publication, number));
        publications.push(publication);
    }
    let held =
        || -> usize { registry.summaries(now).iter().map(|summary| summary.cached_bytes).sum() };
    assert_eq!(held(), 4 * 40 * FRAME);

    registry.set_max_cached(8 << 20);
    registry.tick(now, |_| false);
    publications.iter_mut().for_each(|publication| push(publication, 40));
    assert!(held() <= 8 << 20, "{} bytes", held());
    // A GOP whose beginning is gone is of no use to anybody: only the newest frame stays.
    assert_eq!(held(), 4 * FRAME);

    // There is room again: streams may grow to what their settings say.
    registry.set_max_cached(1 << 30);
    for second in 1..10 {
        registry.tick(now + Duration::from_secs(second), |_| false);
    }
    for number in 50..90 {
        publications.iter_mut().for_each(|publication| push(publication, number));
    }
    assert_eq!(held(), 4 * 40 * FRAME);
}
