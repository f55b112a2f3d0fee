//! What a viewer gets who joins while a publisher begins.

mod stage;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use headwater_hub::{
    Channel, Channels, Delivery, Dialect, Framing, Packaging, PacketSink, Sessions, StreamSettings,
    Told,
};
use media::{AudioDetails, Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackId};

use stage::{name, picture, pictures, publish};

struct Nobody;

impl PacketSink for Nobody {
    fn deliver(&self, _: u64, _: Delivery) {}
}

fn sound() -> Track {
    let audio = AudioDetails { sample_rate: 44_100, channels: 2, ..AudioDetails::default() };
    Track {
        id: TrackId::audio(0),
        codec: Codec::Mp3,
        time_base: TimeBase::MILLIS,
        details: Details::Audio(audio),
        ..pictures(b"")
    }
}

/// What is heard at a time.
fn heard(millis: i64) -> Frame {
    let dts = Ticks::from_millis(millis, TimeBase::MILLIS);
    Frame { track: TrackId::audio(0), dts, ..picture(FrameKind::Audio, 0, &b"sound"[..]) }
}

/// How many beginnings a viewer gets of a stream that has had these picture configurations before
/// its sound came.
fn beginnings(configs: &[&'static [u8]]) -> usize {
    let registry = stage::registry(StreamSettings::default());
    let now = Instant::now();
    let mut publication = publish(&registry, &Sessions::default(), "a", now);
    for (at, config) in (0..).step_by(40).zip(configs) {
        let kind = if at == 0 { FrameKind::Key } else { FrameKind::Delta };
        publication.set_track(pictures(config), at, now).expect("it publishes");
        publication.push(picture(kind, at, Bytes::from_static(b"picture"))).expect("it publishes");
    }
    publication.set_track(sound(), 400, now).expect("it publishes");
    publication.push(heard(400)).expect("it publishes");
    let stream = registry.find(&name("a")).expect("the stream");
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

#[test]
fn a_publisher_that_returns_goes_on_after_all_tracks() {
    let registry = stage::registry(StreamSettings::default());
    let (sessions, now) = (Sessions::default(), Instant::now());
    let mut publication = publish(&registry, &sessions, "a", now);
    publication.set_track(pictures(b"one"), 0, now).expect("it publishes");
    publication.set_track(sound(), 0, now).expect("it publishes");
    publication.push(picture(FrameKind::Key, 3_000, &b"picture"[..])).expect("it publishes");
    publication.push(heard(1_000)).expect("it publishes");
    drop(publication);
    let mut publication = publish(&registry, &sessions, "a", now);
    assert!(publication.timeline().start() > 3_000, "{}", publication.timeline().start());
}

/// Of pictures that a viewer has not chosen, none is waited for.
#[test]
fn only_those_who_see_pictures_begin_with_one() {
    let registry = stage::registry(StreamSettings::default());
    let now = Instant::now();
    let mut publication = publish(&registry, &Sessions::default(), "a", now);
    for track in [pictures(b"one"), sound()] {
        publication.set_track(track, 0, now).expect("it publishes");
    }
    let stream = registry.find(&name("a")).expect("the stream");
    let tracks = stream.lock().tracks().clone();
    for (chosen, has_video) in
        [(&[TrackId::video(0), TrackId::audio(0)][..], true), (&[TrackId::audio(0)], false)]
    {
        let mut channels = Channels::default();
        for (channel, track) in (0..).step_by(2).zip(chosen) {
            let told = tracks.get(*track).and_then(|track| Told::of(track)).expect("RTP has it");
            assert!(channels.set(Channel { track: *track, rtp: channel, rtcp: channel + 1, told }));
        }
        let framing = Framing::Datagrams;
        let packaging = Packaging::Rtp { channels, framing, seed: 7, size: 1_200 };
        let joined = stream.lock().subscribe(packaging, Arc::new(Nobody));
        assert_eq!(joined.prologues.last().map(|prologue| prologue.has_video), Some(has_video));
    }
}
