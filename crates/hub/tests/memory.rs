//! What all streams together may hold.

mod stage;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_hub::{Publication, Sessions, StreamSettings, Tap, Tapped};
use media::FrameKind;

use stage::{name, picture, pictures, publish};

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

/// What a tap has now.
fn drain(tap: &mut Tap) -> Vec<Tapped> {
    let mut items = Vec::new();
    while let Poll::Ready(item) = tap.poll_next(&mut Context::from_waker(Waker::noop())) {
        items.push(item);
    }
    items
}

#[test]
fn descriptions_that_a_reader_does_not_take_are_bounded() {
    const METADATA: usize = 60 << 10;
    let registry = stage::registry(StreamSettings::default());
    let (sessions, now) = (Sessions::default(), Instant::now());
    let mut publication = publish(&registry, &sessions, "a", now);
    publication.announce(true, false, now).expect("it publishes");
    publication.set_track(pictures(b""), 0, now).expect("it publishes");
    let mut tap = Tap::open(&registry.find(&name("a")).expect("the stream"), 1 << 20);
    for number in 0..100 {
        publication.push(picture(FrameKind::Key, number * 40, &b"x"[..])).expect("it publishes");
        let body = Bytes::from(vec![u8::try_from(number).expect("a byte"); METADATA]);
        publication.set_metadata(body, number * 40, now).expect("it publishes");
    }
    let metadata = |item: &Tapped| match item {
        Tapped::Tracks { tracks, .. } => tracks.metadata.as_ref().map(|body| body[0]),
        _ => None,
    };
    let told = drain(&mut tap).iter().filter_map(metadata).count();
    assert!((2..=(1 << 20) / METADATA).contains(&told), "{told} descriptions");
    // Who goes on after a loss gets the last one first.
    publication.push(picture(FrameKind::Key, 4_000, &b"x"[..])).expect("it publishes");
    let items = drain(&mut tap);
    assert!(matches!(items[..], [Tapped::Lost, Tapped::Tracks { .. }, Tapped::Frame(_)]));
    assert_eq!(metadata(&items[1]), Some(99));
}

#[test]
fn who_waits_no_more_is_forgotten() {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let registry = stage::registry(StreamSettings::default());
    // As long as somebody waits, the stream is there.
    let _first = registry.watch(&name("a"));
    let task = Arc::new(Nobody);
    for _ in 0..100 {
        let waiting = registry.watch(&name("a"));
        let mut ready = pin!(waiting.ready());
        let waker = Waker::from(task.clone());
        assert!(ready.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(Arc::strong_count(&task), 1);
}
