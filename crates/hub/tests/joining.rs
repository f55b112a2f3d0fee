//! What a viewer gets who joins while a publisher begins.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use headwater_hub::{
    Delivery, Dialect, Identity, Kind, Packaging, PacketSink, Protocol, Publication, Registry,
    Role, Sessions, StreamName, StreamSettings,
};
use media::{
    AudioDetails, Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, Units,
};

struct Nobody;

impl PacketSink for Nobody {
    fn deliver(&self, _: u64, _: Delivery) {}
}

fn track(id: TrackId, codec: Codec, config: &'static [u8]) -> Track {
    let audio = AudioDetails { sample_rate: 44_100, channels: 2, ..AudioDetails::default() };
    let is_sound = codec == Codec::Mp3;
    Track {
        id,
        codec,
        time_base: if is_sound { TimeBase::MILLIS } else { TimeBase::VIDEO },
        config: Bytes::from_static(config),
        color_info: None,
        enhanced: false,
        details: if is_sound { Details::Audio(audio) } else { Details::Unknown },
    }
}

fn push(publication: &mut Publication, kind: FrameKind, millis: i64) {
    let (track, base) = match kind {
        FrameKind::Audio => (TrackId::audio(0), TimeBase::MILLIS),
        _ => (TrackId::video(0), TimeBase::VIDEO),
    };
    let (data, units) = (Bytes::from_static(b"\0\0\0\x01e"), Units::new());
    let (dts, arrival) = (Ticks::from_millis(millis, base), Instant::now());
    publication
        .push(Frame { track, kind, dts, cts: 0, arrival, data, units })
        .expect("it publishes");
}

/// How many beginnings a viewer gets of a stream that has had these picture configurations before
/// its sound came.
fn beginnings(pictures: &[&'static [u8]]) -> usize {
    let settings = Arc::new(StreamSettings::default());
    let registry = Registry::new(Arc::new(move |_: &StreamName| settings.clone()), 1);
    let name = StreamName::new("live", "a", Identity::AppAndName).expect("a name");
    let kind = Kind { protocol: Protocol::Rtmp, role: Role::Pub };
    let session = Sessions::default().open(kind, None, SystemTime::now());
    let now = Instant::now();
    let mut publication =
        registry.publish(&name, &session, now, SystemTime::now()).expect("nobody else publishes");
    for (at, config) in (0..).step_by(40).zip(pictures) {
        let video = track(TrackId::video(0), Codec::H264, config);
        publication.set_track(video, at, now).expect("it publishes");
        push(&mut publication, if at == 0 { FrameKind::Key } else { FrameKind::Delta }, at);
    }
    let sound = track(TrackId::audio(0), Codec::Mp3, b"");
    publication.set_track(sound, 400, now).expect("it publishes");
    push(&mut publication, FrameKind::Audio, 400);
    let stream = registry.find(&name).expect("the stream");
    let packaging = Packaging::Flv { websocket: false, dialect: Dialect::default() };
    let joined = stream.lock().subscribe(packaging, Arc::new(Nobody));
    assert!(!joined.packets.is_empty());
    joined.prologues.len()
}

#[test]
fn tracks_that_come_one_after_the_other_make_one_beginning() {
    assert_eq!(beginnings(&[b"one"]), 1);
    assert_eq!(beginnings(&[b"one", b"one"]), 1);
}

#[test]
fn changes_of_a_track_keep_their_place() {
    assert_eq!(beginnings(&[b"one", b"two"]), 2);
}
