//! What all streams together may hold.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use headwater_hub::{
    Identity, Kind, Protocol, Publication, Registry, Role, Sessions, StreamName, StreamSettings,
};
use media::{Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, Units};

const FRAME: usize = 100 << 10;

fn push(publication: &mut Publication, number: i64) {
    let kind = if number % 50 == 0 { FrameKind::Key } else { FrameKind::Delta };
    let frame = Frame {
        track: TrackId::video(0),
        kind,
        dts: Ticks::from_millis(number * 40, TimeBase::VIDEO),
        cts: 0,
        arrival: Instant::now(),
        data: Bytes::from(vec![0; FRAME]),
        units: Units::new(),
    };
    publication.push(frame).expect("it publishes");
}

#[test]
fn streams_share_what_there_is() {
    let settings = Arc::new(StreamSettings::default());
    let registry = Registry::new(Arc::new(move |_: &StreamName| settings.clone()), 10);
    let (sessions, now) = (Sessions::default(), Instant::now());
    let kind = Kind { protocol: Protocol::Rtmp, role: Role::Pub };
    let mut publications = Vec::new();
    for index in 0..4 {
        let name = StreamName::new("live", &index.to_string(), Identity::AppAndName);
        let session = sessions.open(kind, None, SystemTime::now());
        let publication =
            registry.publish(&name.expect("a name"), &session, now, SystemTime::now());
        let mut publication = publication.expect("nobody else publishes");
        let track = Track {
            id: TrackId::video(0),
            codec: Codec::H264,
            time_base: TimeBase::VIDEO,
            config: Bytes::new(),
            color_info: None,
            enhanced: false,
            details: Details::Unknown,
        };
        publication.set_track(track, 0, now).expect("it publishes");
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
