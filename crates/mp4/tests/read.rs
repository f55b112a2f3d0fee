//! What is written is read, and what is damaged harms nobody.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use headwater_mp4::Fragmenter;
use headwater_mp4::read::{Error, Item, Reader};
use media::{Codec, Frame, FrameKind, Ticks, Track, TrackId, TrackSet, inspect, opus};
use proptest::prelude::*;
use testkit::{aac, corrupt, h264};

fn track(id: TrackId, codec: Codec, config: Bytes) -> Arc<Track> {
    let details = inspect::details(codec, &config).expect("a configuration");
    let time_base = inspect::time_base(codec, &details);
    let enhanced = codec == Codec::Opus;
    Arc::new(Track { id, codec, time_base, config, color_info: None, enhanced, details })
}

fn tracks(sound: Codec) -> TrackSet {
    let sequence = h264::Sequence { width: 64, height: 64, rate: (25, 1), reorders: true };
    let config = match sound {
        Codec::Opus => opus::Head::new(2).to_bytes(),
        _ => aac::config(48_000, 2),
    };
    TrackSet {
        epoch: 1,
        tracks: vec![
            track(TrackId::video(0), Codec::H264, sequence.avcc()),
            track(TrackId::audio(0), sound, config),
        ],
        ..TrackSet::default()
    }
}

/// A canonical picture, or a frame of sound.
fn frame(tracks: &TrackSet, id: TrackId, number: i64, key: bool, size: usize) -> Frame {
    let track = tracks.get(id).expect("a track");
    let base = track.time_base;
    let (kind, payload, step) = if id == TrackId::video(0) {
        // One NAL unit: a slice of an IDR picture, or of another one.
        let mut unit = vec![if key { 0x65 } else { 0x41 }];
        unit.resize(size.max(1), 0xAB);
        let mut out = u32::try_from(unit.len()).expect("short").to_be_bytes().to_vec();
        out.extend(unit);
        (if key { FrameKind::Key } else { FrameKind::Delta }, out, 3_600)
    } else {
        let samples = if track.codec == Codec::Opus { 960 } else { 1_024 };
        (FrameKind::Audio, vec![0xFC; size.max(2)], samples)
    };
    let payload = Bytes::from(payload);
    let (data, units) =
        inspect::canonical(track.codec, &payload, 4, |_| {}).expect("a canonical frame");
    let cts = if kind == FrameKind::Delta { 7_200 } else { 0 };
    let dts = Ticks::new(900_000 * i64::from(base.rate()) / 90_000 + number * step, base);
    Frame { track: id, kind, dts, cts, arrival: Instant::now(), data, units }
}

/// An initialisation section and segments.
fn written(
    tracks: &TrackSet,
    pictures: &[(bool, usize)],
    cut: usize,
) -> (Bytes, Vec<Bytes>, Vec<Frame>) {
    let mut fragmenter = Fragmenter::new();
    fragmenter.set_tracks(tracks).expect("tracks");
    let init = fragmenter.init();
    let (mut frames, mut segments) = (Vec::new(), Vec::new());
    for (number, (key, size)) in pictures.iter().enumerate() {
        let number = i64::try_from(number).expect("few");
        let picture = frame(tracks, TrackId::video(0), number, *key || number == 0, *size);
        if number > 0 && number % i64::try_from(cut).expect("few") == 0 {
            segments.extend(fragmenter.cut(picture.dts).map(|f| f.bytes.freeze()));
        }
        for frame in [picture, frame(tracks, TrackId::audio(0), number, true, *size / 2)] {
            fragmenter.push(&frame);
            frames.push(frame);
        }
    }
    segments.extend(fragmenter.finish().map(|f| f.bytes.freeze()));
    (init, segments, frames)
}

fn of(frames: &[Frame], id: TrackId) -> Vec<(i64, i32, FrameKind, Bytes)> {
    let of = frames.iter().filter(|frame| frame.track == id);
    of.map(|frame| (frame.dts.value, frame.cts, frame.kind, frame.data.clone())).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        pictures in proptest::collection::vec((any::<bool>(), 1usize..200), 1..40),
        cut in 1usize..20,
        sound in prop_oneof![Just(Codec::Aac), Just(Codec::Opus)],
    ) {
        let tracks = tracks(sound);
        let (init, segments, frames) = written(&tracks, &pictures, cut);
        let mut reader = Reader::new();
        reader.init(&init).expect("an initialisation section");
        let (mut got, mut got_tracks) = (Vec::new(), Vec::new());
        for segment in &segments {
            for item in reader.segment(segment, Instant::now()).expect("a segment") {
                match item {
                    Item::Track(track) => got_tracks.push(Arc::new(track)),
                    Item::Frame(frame) => got.push(frame),
                }
            }
            // The same section again changes nothing.
            reader.init(&init).expect("an initialisation section");
        }
        prop_assert_eq!(&got_tracks, &tracks.tracks);
        for id in [TrackId::video(0), TrackId::audio(0)] {
            prop_assert_eq!(of(&got, id), of(&frames, id));
        }
        let times: Vec<_> = got.iter().map(|frame| frame.dts.millis()).collect();
        let mut whole = BytesMut::from(&init[..]);
        segments.iter().for_each(|segment| whole.extend_from_slice(segment));
        // A file with everything is one segment.
        let items = Reader::new().segment(&whole.freeze(), Instant::now()).expect("a file");
        prop_assert_eq!(items.len(), got.len() + 2);
        prop_assert!(segments.len() > 1 || times.is_sorted());
    }
}

#[test]
fn damage_is_survived() {
    let tracks = tracks(Codec::Aac);
    let (init, segments, _) = written(&tracks, &[(true, 20), (false, 10), (false, 10)], 2);
    let mut whole = BytesMut::from(&init[..]);
    segments.iter().for_each(|segment| whole.extend_from_slice(segment));
    let run = |bytes: &[u8]| {
        let _ = Reader::new().segment(&Bytes::copy_from_slice(bytes), Instant::now());
    };
    corrupt::truncations(&whole, run);
    corrupt::every_bit(&whole, run);
    corrupt::randomly(&whole, 1, 2_000, run);
}

#[test]
fn what_cannot_be_read_is_named() {
    let tracks = tracks(Codec::Aac);
    let (init, segments, _) = written(&tracks, &[(true, 20), (false, 10)], 5);
    let mut reader = Reader::new();
    let error = reader.segment(&segments[0], Instant::now()).expect_err("no section");
    assert_eq!(error, Error::NoTracks);
    reader.init(&init).expect("an initialisation section");
    assert!(reader.is_ready());
    // The media is cut away.
    let cut = segments[0].slice(..segments[0].len() - 1);
    let error = reader.segment(&cut, Instant::now()).expect_err("cut media");
    assert_eq!(error, Error::Outside);
}

/// A box.
fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).expect("short");
    [&length.to_be_bytes()[..], name, body].concat()
}

#[test]
fn a_run_of_countless_samples_is_refused() {
    let (init, ..) = written(&tracks(Codec::Aac), &[(true, 20)], 1);
    let mut reader = Reader::new();
    reader.init(&init).expect("an initialisation section");
    let tfhd = boxed(b"tfhd", &[0, 0, 0, 0, 0, 0, 0, 1]);
    let trun = boxed(b"trun", &[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    let moof = boxed(b"moof", &boxed(b"traf", &[tfhd, trun].concat()));
    let error = reader.segment(&moof.into(), Instant::now()).expect_err("countless samples");
    assert_eq!(error, Error::TooMany);
}

#[test]
fn samples_that_name_the_same_bytes_again_are_refused() {
    let (init, ..) = written(&tracks(Codec::Aac), &[(true, 20)], 1);
    let mut reader = Reader::new();
    reader.init(&init).expect("an initialisation section");
    // Each run has the same 500 bytes, from the start of the fragment.
    let tfhd = boxed(b"tfhd", &[0, 0, 0, 0, 0, 0, 0, 1]);
    let run = boxed(b"trun", &[0, 0, 2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0xF4]);
    let segment = |runs: usize| {
        let traf = [tfhd.clone(), vec![run.clone(); runs].concat()].concat();
        let free = boxed(b"free", &[0; 600]);
        Bytes::from([boxed(b"moof", &boxed(b"traf", &traf)), free].concat())
    };
    reader.segment(&segment(1), Instant::now()).expect("a segment");
    let error = reader.segment(&segment(20), Instant::now()).expect_err("the same bytes");
    assert_eq!(error, Error::Overlap);
}

#[test]
fn data_may_be_found_from_the_start_of_the_file() {
    let (init, ..) = written(&tracks(Codec::Aac), &[(true, 20)], 1);
    let mut reader = Reader::new();
    reader.init(&init).expect("an initialisation section");
    // Base data offset, default duration and size; the sample lies in the first box.
    let free = boxed(b"free", &[0, 0, 0, 1, 0x65]);
    let mut head = vec![0, 0, 0, 0x19, 0, 0, 0, 1];
    head.extend(8u64.to_be_bytes());
    head.extend([0, 0, 0x0E, 0x10, 0, 0, 0, 5]);
    let tfdt = boxed(b"tfdt", &[0, 0, 0, 0, 0, 1, 0x5F, 0x90]);
    let trun = boxed(b"trun", &[0, 0, 0, 0, 0, 0, 0, 1]);
    let traf = boxed(b"traf", &[boxed(b"tfhd", &head), tfdt, trun].concat());
    let segment = [free, boxed(b"moof", &traf)].concat();
    let items = reader.segment(&segment.into(), Instant::now()).expect("a segment");
    let frames = items.iter().filter_map(|item| match item {
        Item::Frame(frame) => Some(frame),
        Item::Track(_) => None,
    });
    let frames: Vec<_> = frames.collect();
    assert_eq!((frames[0].dts.value, &frames[0].data[..]), (90_000, &[0, 0, 0, 1, 0x65][..]));
}
