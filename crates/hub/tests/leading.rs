//! Pictures that refer to ones before the key frame that they follow, and who gets them.

mod stage;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use headwater_hub::{
    Cursor, Delivery, Dialect, Packaging, PacketSink, Publication, Registry, Ring, Sessions, Start,
    StreamSettings, Tap, Tapped,
};
use media::{Codec, Frame, FrameKind, Track, TrackId};

use stage::{name, picture, pictures, publish};

struct Nobody;

impl PacketSink for Nobody {
    fn deliver(&self, _: u64, _: Delivery) {}
}

/// NAL unit types of H.265.
const TRAIL: u8 = 1;
const RADL: u8 = 7;
const RASL: u8 = 9;
const CRA: u8 = 21;

const SOUND: &[u8] = b"sound";

/// The `hvcC` of a stream of x265.
const CONFIG: &str = "\
    0101600000009000000000007bf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003\
    000003007b959809a10001002a42010101600000030090000003000003007ba003c08010e596566924caf016\
    8080000003008000001e04a2000100074401c172b46240";

fn hevc() -> Track {
    let byte = |at| u8::from_str_radix(&CONFIG[at..at + 2], 16).expect("digits");
    let config = (0..CONFIG.len()).step_by(2).map(byte).collect();
    Track { codec: Codec::H265, config, ..pictures(b"") }
}

/// A picture of one unit that shows its number.
fn hevc_picture(unit_type: u8, number: u8) -> Frame {
    let data = Bytes::from(vec![0, 0, 0, 5, unit_type << 1, 1, 0x80, b'#', number]);
    let kind = if unit_type == CRA { FrameKind::Key } else { FrameKind::Delta };
    let mut frame = picture(kind, i64::from(number) * 40, data);
    frame.units.push(4..9);
    frame
}

fn push(publication: &mut Publication, types: &[u8], first: u8) {
    for (number, unit_type) in (first..).zip(types) {
        let frame = hevc_picture(*unit_type, number);
        let sound = Frame {
            track: TrackId::audio(0),
            kind: FrameKind::Audio,
            data: Bytes::from_static(SOUND),
            ..frame.clone()
        };
        publication.push(frame).expect("it publishes");
        publication.push(sound).expect("it publishes");
    }
}

fn begin(registry: &Arc<Registry>) -> Publication {
    let now = Instant::now();
    let mut publication = publish(registry, &Sessions::default(), "a", now);
    publication.set_track(hevc(), 0, now).expect("it publishes");
    let sound = Track { id: TrackId::audio(0), codec: Codec::Mp3, ..pictures(b"") };
    publication.set_track(sound, 0, now).expect("it publishes");
    publication
}

fn settings() -> StreamSettings {
    StreamSettings { gops: 2, ..StreamSettings::default() }
}

/// All that is kept in a format.
fn ring(registry: &Registry, packaging: Packaging) -> Ring {
    let settings = settings();
    let mut ring = Ring::new(&settings, settings.skip_after);
    let stream = registry.find(&name("a")).expect("the stream");
    let kept = stream.lock().subscribe(packaging, Arc::new(Nobody));
    kept.prologues.into_iter().for_each(|prologue| ring.push_prologue(prologue));
    kept.packets.into_iter().for_each(|packet| ring.push(packet));
    ring
}

/// The numbers of the pictures that a viewer gets, and how often it gets sound.
fn seen(ring: &Ring, start: Start) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let mut cursor = Cursor::join_at(ring, [], start, Instant::now());
    let drained = cursor.drain(ring, usize::MAX, |slices| {
        slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    });
    drained.expect("the sink takes all");
    let count = |what: &[u8]| bytes.windows(what.len()).filter(|window| *window == what).count();
    let numbers = (0..100).filter(|number| count(&[0x80, b'#', *number]) > 0).collect();
    (numbers, count(SOUND))
}

fn newest_key(ring: &Ring) -> Start {
    Start::At(ring.newest_key().expect("a key frame"))
}

fn flv() -> Packaging {
    Packaging::Flv { websocket: false, dialect: Dialect::default() }
}

#[test]
fn who_joins_at_a_key_frame_is_spared_what_it_cannot_decode() {
    let registry = stage::registry(settings());
    let mut publication = begin(&registry);
    push(&mut publication, &[CRA, TRAIL, TRAIL, CRA, RASL, RASL, RADL, TRAIL, TRAIL], 0);
    let ring = ring(&registry, flv());
    assert_eq!(seen(&ring, newest_key(&ring)), (vec![3, 6, 7, 8], 6));
    assert_eq!(seen(&ring, ring.start()), ((0..=8).collect(), 9));
}

#[test]
fn packets_that_are_numbered_all_go_out() {
    let registry = stage::registry(settings());
    let mut publication = begin(&registry);
    push(&mut publication, &[CRA, TRAIL, TRAIL, CRA, RASL, RASL, TRAIL], 0);
    let ring = ring(&registry, Packaging::Ts { websocket: false });
    assert_eq!(seen(&ring, newest_key(&ring)).0, [3, 4, 5, 6]);
}

#[test]
fn nobody_gets_what_refers_to_pictures_before_the_publisher_began() {
    let registry = stage::registry(settings());
    let mut publication = begin(&registry);
    push(&mut publication, &[CRA, RASL, RASL, TRAIL], 0);
    drop(publication);
    // It takes the stream up again.
    let mut publication = begin(&registry);
    push(&mut publication, &[RASL, TRAIL, CRA, RASL, TRAIL, CRA, RASL, TRAIL], 10);
    for packaging in [flv(), Packaging::Ts { websocket: false }] {
        let ring = ring(&registry, packaging);
        assert_eq!(seen(&ring, ring.start()).0, [12, 14, 15, 16, 17]);
    }
}

#[test]
fn files_and_segments_begin_without_them() {
    let registry = stage::registry(settings());
    let mut publication = begin(&registry);
    push(&mut publication, &[CRA, TRAIL, CRA, RASL], 0);
    let mut tap = Tap::open(&registry.find(&name("a")).expect("the stream"), 1 << 20);
    push(&mut publication, &[RASL, TRAIL, CRA, RASL, TRAIL], 4);
    let mut cx = Context::from_waker(Waker::noop());
    let mut numbers: Vec<u8> = Vec::new();
    while let Poll::Ready(tapped) = tap.poll_next(&mut cx) {
        if let Tapped::Frame(frame) = tapped
            && frame.track == TrackId::video(0)
            && frame.kind != FrameKind::Config
        {
            numbers.extend(frame.data.last());
        }
    }
    assert_eq!(numbers, [2, 5, 6, 7, 8]);
}
