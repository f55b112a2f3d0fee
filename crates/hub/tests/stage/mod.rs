//! Streams, tracks and frames that the tests of streams share.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use headwater_hub::{
    Identity, Kind, Protocol, Publication, Registry, Role, Sessions, StreamName, StreamSettings,
};
use media::{Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, Units};

/// A server's streams, all with the same settings.
pub(crate) fn registry(settings: StreamSettings) -> Arc<Registry> {
    let settings = Arc::new(settings);
    Registry::new(Arc::new(move |_: &StreamName| settings.clone()), 10)
}

pub(crate) fn name(path: &str) -> StreamName {
    StreamName::new("live", path, Identity::AppAndName).expect("a name")
}

/// Publishes a stream that has no publisher.
pub(crate) fn publish(
    registry: &Arc<Registry>,
    sessions: &Sessions,
    path: &str,
    now: Instant,
) -> Publication {
    let kind = Kind { protocol: Protocol::Rtmp, role: Role::Pub };
    let session = sessions.open(kind, None, SystemTime::now());
    let published = registry.publish(&name(path), &session, now, SystemTime::now());
    published.expect("nobody else publishes")
}

/// Pictures that no decoder would understand.
pub(crate) fn pictures(config: &'static [u8]) -> Track {
    Track {
        id: TrackId::video(0),
        codec: Codec::H264,
        time_base: TimeBase::VIDEO,
        config: Bytes::from_static(config),
        color_info: None,
        enhanced: false,
        details: Details::Unknown,
    }
}

pub(crate) fn picture(kind: FrameKind, millis: i64, data: impl Into<Bytes>) -> Frame {
    Frame {
        track: TrackId::video(0),
        kind,
        dts: Ticks::from_millis(millis, TimeBase::VIDEO),
        cts: 0,
        arrival: Instant::now(),
        data: data.into(),
        units: Units::new(),
    }
}
