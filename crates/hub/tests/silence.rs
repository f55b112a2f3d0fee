//! Streams of pictures alone that are to have sound: what viewers are told, and when.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use headwater_hub::{
    Identity, Kind, Protocol, Publication, Registry, Role, Sessions, StreamName, StreamSettings,
    Tap, Tapped,
};
use media::{
    AudioDetails, Codec, Details, Frame, FrameKind, TimeBase, Track, TrackId, TrackSet, Units,
};

const MAX_BYTES: usize = 1 << 20;

struct World {
    registry: Arc<Registry>,
    sessions: Sessions,
    now: Instant,
}

impl World {
    fn new(silent_audio_after: Option<Duration>) -> Self {
        let settings = Arc::new(StreamSettings { silent_audio_after, ..StreamSettings::default() });
        let registry = Registry::new(Arc::new(move |_| settings.clone()), usize::MAX);
        Self { registry, sessions: Sessions::default(), now: Instant::now() }
    }

    fn publish(&mut self) -> Publication {
        let kind = Kind { protocol: Protocol::Rtmp, role: Role::Pub };
        let session = self.sessions.open(kind, None, SystemTime::now());
        let wall = SystemTime::now();
        self.registry.publish(&name(), &session, self.now, wall).expect("nobody publishes")
    }

    fn tap(&self) -> Tap {
        Tap::open(&self.registry.find(&name()).expect("the stream"), MAX_BYTES)
    }

    fn is_ready(&self) -> bool {
        let stream = self.registry.find(&name()).expect("the stream");
        stream.lock().is_ready()
    }

    fn is_silent(&self) -> bool {
        self.registry.summaries(self.now).iter().any(|summary| summary.silent_audio)
    }

    fn configure(&self, publication: &mut Publication, track: Track) {
        publication.set_track(track, 0, self.now).expect("it publishes");
    }

    /// A second of 25 pictures from `from` milliseconds on, the first of them a key frame.
    fn second(&mut self, publication: &mut Publication, from: u32) {
        for number in 0..25 {
            self.picture(publication, from + number * 40, number == 0);
        }
    }

    fn picture(&mut self, publication: &mut Publication, millis: u32, key: bool) {
        self.now += Duration::from_millis(40);
        let track = TrackId::video(0);
        let line = publication.timeline();
        let dts = line.dts(track, millis, TimeBase::VIDEO, None, self.now);
        let kind = if key { FrameKind::Key } else { FrameKind::Delta };
        let data = Bytes::from_static(b"\0\0\0\x04abcd");
        let arrival = self.now;
        let frame = Frame { track, kind, dts, cts: 0, arrival, data, units: Units::new() };
        publication.push(frame).expect("it publishes");
    }

    fn sound(&mut self, publication: &mut Publication, millis: u32) {
        let track = TrackId::audio(0);
        let base = opus().time_base;
        let dts = publication.timeline().dts(track, millis, base, Some(960), self.now);
        let (kind, data) = (FrameKind::Audio, Bytes::from_static(b"own"));
        let arrival = self.now;
        let frame = Frame { track, kind, dts, cts: 0, arrival, data, units: Units::new() };
        publication.push(frame).expect("it publishes");
    }
}

fn name() -> StreamName {
    StreamName::new("live", "camera", Identity::AppAndName).expect("a name")
}

fn video() -> Track {
    Track {
        id: TrackId::video(0),
        codec: Codec::H264,
        time_base: TimeBase::VIDEO,
        config: Bytes::from_static(&[1, 66, 0, 30, 255]),
        color_info: None,
        enhanced: false,
        details: Details::Unknown,
    }
}

fn opus() -> Track {
    Track {
        id: TrackId::audio(0),
        codec: Codec::Opus,
        time_base: TimeBase::new(48_000).expect("a rate"),
        config: Bytes::from_static(b"OpusHead"),
        details: Details::Audio(AudioDetails { sample_rate: 48_000, channels: 2, profile: 0 }),
        ..video()
    }
}

/// All that a tap has brought: the sets of tracks, and the frames of pictures and sound.
fn drain(tap: &mut Tap) -> (Vec<Arc<TrackSet>>, Vec<Frame>) {
    let (mut sets, mut frames) = (Vec::new(), Vec::new());
    while let Poll::Ready(item) = tap.poll_next(&mut Context::from_waker(Waker::noop())) {
        match item {
            Tapped::Tracks { tracks, .. } => sets.push(tracks),
            Tapped::Frame(frame) if frame.kind != FrameKind::Config => frames.push(frame),
            Tapped::Frame(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (sets, frames)
}

fn codecs(tracks: &TrackSet) -> Vec<Codec> {
    tracks.tracks.iter().map(|track| track.codec).collect()
}

fn count(frames: &[Frame], track: TrackId) -> usize {
    frames.iter().filter(|frame| frame.track == track).count()
}

const AFTER: Option<Duration> = Some(Duration::from_millis(150));

#[test]
fn viewers_are_told_of_both_tracks_at_once() {
    let mut world = World::new(AFTER);
    let mut publication = world.publish();
    let mut tap = world.tap();
    // That there is no sound is said, but not believed.
    publication.announce(true, false, world.now).expect("it publishes");
    world.configure(&mut publication, video());
    for number in 0..4 {
        world.picture(&mut publication, number * 40, number == 0);
        assert!(!world.is_ready() && drain(&mut tap).1.is_empty());
    }
    world.picture(&mut publication, 160, false);
    assert!(world.is_ready() && world.is_silent());
    let (sets, frames) = drain(&mut tap);
    assert_eq!(sets.iter().map(|set| codecs(set)).collect::<Vec<_>>(), [[Codec::H264, Codec::Aac]]);
    assert_eq!((count(&frames, TrackId::video(0)), count(&frames, TrackId::audio(0))), (5, 7));
    assert!(frames.windows(2).all(|pair| pair[0].dts.millis() - pair[1].dts.millis() <= 22));
    // Whoever comes now is told the same.
    assert_eq!(codecs(&drain(&mut world.tap()).0[0]), [Codec::H264, Codec::Aac]);
}

#[test]
fn sound_takes_the_place_of_silence_at_its_first_frame() {
    let mut world = World::new(AFTER);
    let mut publication = world.publish();
    world.configure(&mut publication, video());
    // It is announced long before it comes.
    world.configure(&mut publication, opus());
    let mut tap = world.tap();
    world.second(&mut publication, 0);
    assert!(!world.is_ready());
    world.second(&mut publication, 1000);
    let (sets, _) = drain(&mut tap);
    assert_eq!(sets.len(), 1);
    assert_eq!(codecs(&sets[0]), [Codec::H264, Codec::Aac]);
    world.sound(&mut publication, 1975);
    world.second(&mut publication, 2000);
    world.sound(&mut publication, 2965);
    assert!(!world.is_silent());
    let (sets, frames) = drain(&mut tap);
    assert_eq!(sets.len(), 1);
    assert_eq!(codecs(&sets[0]), [Codec::H264, Codec::Opus]);
    // Silence goes on to where the sound begins.
    let sound = frames.iter().filter(|frame| frame.track == TrackId::audio(0));
    let sound: Vec<_> = sound.map(|frame| (frame.dts.millis(), frame.data == "own")).collect();
    assert_eq!(sound, [(1941, false), (1975, true), (2965, true)]);
}

#[test]
fn a_publisher_with_sound_is_ready_at_its_first_sound() {
    let mut world = World::new(AFTER);
    let mut publication = world.publish();
    world.configure(&mut publication, video());
    world.configure(&mut publication, opus());
    let mut tap = world.tap();
    world.picture(&mut publication, 0, true);
    assert!(!world.is_ready());
    world.sound(&mut publication, 10);
    assert!(world.is_ready() && !world.is_silent());
    let (sets, frames) = drain(&mut tap);
    assert_eq!(codecs(sets.last().expect("tracks")), [Codec::H264, Codec::Opus]);
    assert_eq!((count(&frames, TrackId::video(0)), count(&frames, TrackId::audio(0))), (1, 1));
}

#[test]
fn a_publisher_that_returns_changes_nothing_if_it_is_silent_again() {
    let mut world = World::new(AFTER);
    let mut publication = world.publish();
    world.configure(&mut publication, video());
    let mut tap = world.tap();
    world.second(&mut publication, 0);
    let (before, _) = drain(&mut tap);
    drop(publication);
    world.now += Duration::from_secs(3);
    let mut publication = world.publish();
    world.configure(&mut publication, video());
    world.second(&mut publication, 500_000);
    let (after, frames) = drain(&mut tap);
    let epochs = |sets: &[Arc<TrackSet>]| sets.last().map(|set| set.epoch);
    assert_eq!(epochs(&before), epochs(&after));
    assert_eq!(count(&frames, TrackId::video(0)), 25);
    // And if it has sound now, that is what is there.
    drop(publication);
    let mut publication = world.publish();
    world.configure(&mut publication, video());
    world.configure(&mut publication, opus());
    world.picture(&mut publication, 0, true);
    world.sound(&mut publication, 10);
    let (last, frames) = drain(&mut tap);
    assert_eq!(codecs(last.last().expect("tracks")), [Codec::H264, Codec::Opus]);
    assert_eq!(count(&frames, TrackId::audio(0)), 1);
}

#[test]
fn what_was_kept_back_is_there_when_the_publisher_leaves() {
    let mut world = World::new(AFTER);
    let mut publication = world.publish();
    world.configure(&mut publication, video());
    let mut tap = world.tap();
    world.picture(&mut publication, 0, true);
    world.picture(&mut publication, 40, false);
    drop(publication);
    assert!(world.is_ready());
    let (sets, frames) = drain(&mut tap);
    assert_eq!(codecs(sets.last().expect("tracks")), [Codec::H264]);
    assert_eq!((frames.len(), count(&frames, TrackId::audio(0))), (2, 0));
}

#[test]
fn changes_on_the_way_keep_their_place() {
    let mut world = World::new(AFTER);
    let mut publication = world.publish();
    world.configure(&mut publication, video());
    world.picture(&mut publication, 0, true);
    world.picture(&mut publication, 40, false);
    let mut tap = world.tap();
    let config = Bytes::from_static(&[1, 77, 0, 30, 255]);
    world.configure(&mut publication, Track { config: config.clone(), ..video() });
    for number in 2..10 {
        world.picture(&mut publication, number * 40, false);
    }
    let mut kinds = Vec::new();
    while let Poll::Ready(item) = tap.poll_next(&mut Context::from_waker(Waker::noop())) {
        if let Tapped::Frame(frame) = item
            && frame.track == TrackId::video(0)
        {
            kinds.push(frame.kind);
        }
    }
    assert_eq!(kinds.len(), 11);
    assert_eq!(kinds[..4], [FrameKind::Key, FrameKind::Delta, FrameKind::Config, FrameKind::Delta]);
    let tracks = drain(&mut world.tap()).0;
    assert_eq!(tracks[0].get(TrackId::video(0)).map(|track| &track.config), Some(&config));
    assert_eq!(codecs(&tracks[0]), [Codec::H264, Codec::Aac]);
}

#[test]
fn nothing_is_added_or_kept_back_unless_it_is_wanted() {
    let mut world = World::new(None);
    let mut publication = world.publish();
    publication.announce(true, false, world.now).expect("it publishes");
    world.configure(&mut publication, video());
    let mut tap = world.tap();
    world.picture(&mut publication, 0, true);
    assert!(world.is_ready());
    world.second(&mut publication, 40);
    let (sets, frames) = drain(&mut tap);
    assert_eq!(codecs(sets.last().expect("tracks")), [Codec::H264]);
    assert_eq!(frames.len(), 26);
    assert!(!world.is_silent());
}
