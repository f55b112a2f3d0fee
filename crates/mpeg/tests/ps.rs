//! Program streams with the habits of real devices, as [`testkit::ps`] writes them.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use headwater_mpeg::ps::{Demuxed, Demuxer, Statistics, Unit};
use media::{Codec, FrameKind, Track, TrackId, TrackKind, aac, nal};
use proptest::prelude::*;
use testkit::h264::{Picture, Sequence};
use testkit::ps::{AUDIO, G711A, H264, H265, Map, Muxer, Times, Traits, VIDEO};
use testkit::{corrupt, split};

const SEQUENCE: Sequence = Sequence { width: 64, height: 48, rate: (25, 1), reorders: false };

/// A picture every 40 ms.
const STEP: i64 = 3600;

/// A picture as it goes in.
#[derive(Debug, Clone)]
struct Coded {
    units: Vec<Bytes>,
    is_key: bool,
    pts: i64,
}

/// Pictures with a key picture every five; with parameter sets and a message in front of those.
fn pictures(count: i64, start: i64) -> Vec<Coded> {
    (0..count).map(|n| picture(n, start + n * STEP, 40)).collect()
}

fn picture(n: i64, pts: i64, filler: usize) -> Coded {
    let number = u64::try_from(n % 5).expect("a number");
    let is_key = number == 0;
    let kind = match number {
        0 => Picture::Key { gop: u64::try_from(n / 5).expect("a number") },
        _ => Picture::P { number, display: number },
    };
    let access_unit =
        SEQUENCE.access_unit(kind, Some(u64::try_from(n).expect("a number")), filler).freeze();
    let spans = nal::split(&access_unit, 4).expect("NAL units");
    let mut units: Vec<Bytes> =
        nal::iter(&access_unit, &spans).map(Bytes::copy_from_slice).collect();
    if is_key {
        units.splice(0..0, [SEQUENCE.sps(), SEQUENCE.pps()]);
    }
    Coded { units, is_key, pts }
}

/// Time, whether it is a key picture, and its NAL units.
type Summary = (i64, bool, Vec<Digest>);

/// Enough of a NAL unit to tell it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Digest(u8, usize, u64);

impl Digest {
    fn of(unit: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        unit.hash(&mut hasher);
        Self(unit[0], unit.len(), hasher.finish())
    }
}

/// What comes out of a picture.
fn expected(picture: &Coded) -> Summary {
    let is_set = |unit: &&Bytes| matches!(unit[0] & 0x1F, 7 | 8);
    let units = picture.units.iter().filter(|unit| !is_set(unit));
    (picture.pts, picture.is_key, units.map(|unit| Digest::of(unit)).collect())
}

fn summary(unit: &Unit) -> Summary {
    let units = nal::iter(&unit.data, &unit.units).map(Digest::of).collect();
    (unit.pts, unit.kind == FrameKind::Key, units)
}

fn slices(picture: &Coded) -> Vec<&[u8]> {
    picture.units.iter().map(|unit| &**unit).collect()
}

fn write(muxer: &mut Muxer, picture: &Coded) -> Vec<u8> {
    muxer.picture(&slices(picture), picture.is_key, picture.pts)
}

fn write_all(traits: &Traits, pictures: &[Coded]) -> Vec<u8> {
    let mut muxer = Muxer::new(traits.clone());
    pictures.iter().flat_map(|picture| write(&mut muxer, picture)).collect()
}

/// What was read, and what was wrong with it.
#[derive(Debug, PartialEq)]
struct Read {
    items: Vec<Demuxed>,
    statistics: Statistics,
}

impl Read {
    fn tracks(&self) -> Vec<&Track> {
        let mut tracks = Vec::new();
        for item in &self.items {
            if let Demuxed::Track(track) = item {
                tracks.push(track);
            }
        }
        // Sound comes out earlier than the picture beside it.
        tracks.sort_by_key(|track| track.id);
        tracks
    }

    fn units(&self, kind: TrackKind) -> Vec<&Unit> {
        let mut units = Vec::new();
        for item in &self.items {
            if let Demuxed::Unit(unit) = item
                && unit.track.kind == kind
            {
                units.push(unit);
            }
        }
        units
    }

    fn pictures(&self) -> Vec<Summary> {
        self.units(TrackKind::Video).into_iter().map(summary).collect()
    }

    fn sound(&self) -> Vec<(i64, &[u8])> {
        self.units(TrackKind::Audio).into_iter().map(|unit| (unit.pts, &unit.data[..])).collect()
    }

    fn codecs(&self) -> Vec<Codec> {
        self.tracks().into_iter().map(|track| track.codec).collect()
    }
}

fn poll(demuxer: &mut Demuxer) -> Vec<Demuxed> {
    std::iter::from_fn(|| demuxer.poll()).collect()
}

fn read(pieces: &[&[u8]]) -> Read {
    let mut demuxer = Demuxer::new();
    for piece in pieces {
        demuxer.push(piece, None);
    }
    demuxer.finish();
    Read { items: poll(&mut demuxer), statistics: demuxer.statistics() }
}

#[track_caller]
fn assert_pictures(read: &Read, pictures: &[Coded]) {
    let expected: Vec<_> = pictures.iter().map(expected).collect();
    assert_eq!(read.pictures(), expected);
}

#[track_caller]
fn assert_clean(read: &Read, pictures: &[Coded]) {
    assert_pictures(read, pictures);
    assert_eq!(read.statistics, Statistics::default());
    assert_eq!(read.codecs(), [Codec::H264]);
    assert_eq!(read.tracks()[0].config, SEQUENCE.avcc());
}

/// Devices that differ in one habit each.
fn habits() -> Vec<Traits> {
    let usual = Traits::default();
    vec![
        usual.clone(),
        Traits::hikvision(),
        Traits::dahua(),
        Traits { zero_ends: true, ..Traits::hikvision() },
        Traits { times: Times::Each, ..Traits::hikvision() },
        Traits { map: Map::AtStart, ..usual.clone() },
        Traits { map: Map::Never, ..usual.clone() },
        Traits { map: Map::Never, parted: true, cut: 100, ..usual.clone() },
        Traits { mpeg1: true, ..usual.clone() },
        Traits { no_length: true, ..usual.clone() },
        Traits { no_length: true, parted: true, times: Times::Each, ..usual.clone() },
        Traits { cut: 1, ..usual.clone() },
        Traits { cut: 2, no_length: true, ..usual.clone() },
        Traits { cut: 7, times: Times::Each, ..usual },
    ]
}

#[test]
fn every_habit_gives_the_same_pictures() {
    let pictures = pictures(12, 1000);
    for traits in habits() {
        assert_clean(&read(&[&write_all(&traits, &pictures)]), &pictures);
    }
}

#[test]
fn pictures_longer_than_a_packet() {
    let pictures: Vec<Coded> = (0..6).map(|n| picture(n, n * STEP, 200_000)).collect();
    for traits in [Traits::hikvision(), Traits::dahua()] {
        assert_clean(&read(&[&write_all(&traits, &pictures)]), &pictures);
    }
}

#[test]
fn a_map_that_lies_is_not_believed() {
    let pictures = pictures(7, 0);
    for streams in [vec![(H265, VIDEO)], vec![(0, VIDEO)], vec![(H264, 0xE3)], vec![]] {
        let traits = Traits { streams, ..Traits::default() };
        assert_clean(&read(&[&write_all(&traits, &pictures)]), &pictures);
    }
}

/// Parameter sets of x265.
const H265_SETS: [&[u8]; 3] = [
    b"\x40\x01\x0c\x01\xff\xff\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x7b\x95\
      \x98\x09",
    b"\x42\x01\x01\x01\x60\x00\x00\x03\x00\x90\x00\x00\x03\x00\x00\x03\x00\x7b\xa0\x03\xc0\x80\
      \x10\xe5\x96\x56\x69\x24\xca\xf0\x16\x80\x80\x00\x00\x03\x00\x80\x00\x00\x1e\x04",
    b"\x44\x01\xc1\x72\xb4\x62\x40",
];

/// Pictures of two slices each.
fn h265_pictures(count: i64) -> Vec<Coded> {
    let picture = |n: i64| {
        let is_key = n % 5 == 0;
        let kind = if is_key { 0x26 } else { 0x02 };
        let mut units: Vec<Vec<u8>> = Vec::new();
        if is_key {
            units.extend(H265_SETS.map(<[u8]>::to_vec));
        }
        units.push([&[kind, 1, 0xAF][..], &[0x5A; 90]].concat());
        units.push([&[kind, 1, 0x2F][..], &[0x5B; 70]].concat());
        Coded { units: units.into_iter().map(Bytes::from).collect(), is_key, pts: n * STEP }
    };
    (0..count).map(picture).collect()
}

#[test]
fn h265_whatever_the_map_says() {
    let pictures = h265_pictures(12);
    let slices = |picture: &Coded| {
        let slices = &picture.units[picture.units.len() - 2..];
        (picture.pts, picture.is_key, slices.iter().map(|unit| Digest::of(unit)).collect())
    };
    let expected: Vec<Summary> = pictures.iter().map(slices).collect();
    for traits in habits() {
        for streams in [vec![(H265, VIDEO)], vec![(H264, VIDEO)], vec![]] {
            let bytes = write_all(&Traits { streams, ..traits.clone() }, &pictures);
            split::randomly(&bytes, 5, 3, |pieces| {
                let read = read(pieces);
                assert_eq!(read.pictures(), expected, "{traits:?}");
                assert_eq!(read.codecs(), [Codec::H265]);
                assert_eq!(read.statistics, Statistics::default());
            });
        }
    }
}

#[test]
fn another_codec_after_a_while_is_found() {
    let (first, mut second) = (h265_pictures(7), pictures(7, 7 * STEP));
    second.iter_mut().for_each(|picture| picture.pts += STEP);
    let traits = Traits { map: Map::AtStart, streams: vec![(H265, VIDEO)], ..Traits::default() };
    let bytes = [write_all(&traits, &first), write_all(&traits, &second)].concat();
    let read = read(&[&bytes]);
    assert_eq!(read.codecs(), [Codec::H265, Codec::H264]);
    assert!(read.tracks().iter().all(|track| track.id == TrackId::video(0)));
    assert_eq!(read.pictures()[7..], second.iter().map(expected).collect::<Vec<_>>());
}

#[test]
fn times_come_from_rtp_where_packets_have_none() {
    let pictures = pictures(9, 70_000);
    for cut in [65_000, 30] {
        let mut muxer = Muxer::new(Traits { times: Times::None, cut, ..Traits::hikvision() });
        let mut demuxer = Demuxer::new();
        for picture in &pictures {
            for piece in write(&mut muxer, picture).chunks(50) {
                demuxer.push(piece, Some(picture.pts));
            }
        }
        demuxer.finish();
        let read = Read { items: poll(&mut demuxer), statistics: demuxer.statistics() };
        assert_clean(&read, &pictures);
    }
}

#[test]
fn pictures_without_a_time_follow_the_one_before() {
    let pictures = pictures(9, 70_000);
    let (mut timed, mut bare) = (
        Muxer::new(Traits::default()),
        Muxer::new(Traits { times: Times::None, ..Traits::default() }),
    );
    let mut bytes = Vec::new();
    for (number, picture) in pictures.iter().enumerate() {
        let muxer = if number % 4 < 2 { &mut timed } else { &mut bare };
        bytes.extend(write(muxer, picture));
    }
    assert_clean(&read(&[&bytes]), &pictures);
}

#[test]
fn several_pictures_in_a_packet_are_parted() {
    let pictures = pictures(10, 0);
    let mut muxer = Muxer::new(Traits::default());
    let mut bytes = Vec::new();
    for pair in pictures.chunks(2) {
        let units: Vec<&[u8]> = pair.iter().flat_map(slices).collect();
        bytes.extend(muxer.picture(&units, pair[0].is_key, pair[0].pts));
    }
    assert_clean(&read(&[&bytes]), &pictures);
}

#[test]
fn decoding_times_are_told_where_the_stream_has_them() {
    let mut muxer = Muxer::new(Traits::default());
    let mut bytes = Vec::new();
    for picture in pictures(3, 90_000) {
        let dts = (picture.pts > 90_000).then_some(picture.pts - 7200);
        bytes.extend(muxer.frame(&slices(&picture), picture.is_key, picture.pts, dts));
    }
    let read = read(&[&bytes]);
    let dts: Vec<_> = read.units(TrackKind::Video).iter().map(|unit| unit.dts).collect();
    assert_eq!(dts, [None, Some(86_400), Some(90_000)]);
}

#[test]
fn parameter_sets_before_every_picture_make_no_key_pictures() {
    let mut pictures = pictures(8, 0);
    for picture in pictures.iter_mut().filter(|picture| !picture.is_key) {
        picture.units.splice(0..0, [SEQUENCE.sps(), SEQUENCE.pps()]);
    }
    for traits in [Traits::default(), Traits::hikvision()] {
        assert_clean(&read(&[&write_all(&traits, &pictures)]), &pictures);
    }
}

#[test]
fn the_clock_wraps() {
    let pictures = pictures(20, (1 << 33) - 5 * STEP);
    assert_clean(&read(&[&write_all(&Traits::default(), &pictures)]), &pictures);
}

fn adts(length: usize) -> (Vec<u8>, Vec<u8>) {
    let raw = vec![0x21; length];
    let config = aac::Config::new(2, 16_000, 1).expect("a configuration");
    let header = aac::adts::header(&config, raw.len()).expect("a header");
    ([&header[..], &raw].concat(), raw)
}

/// Pictures with a packet of sound after each.
fn with_sound(traits: &Traits, sound: impl Fn(usize) -> Option<(Vec<u8>, Option<i64>)>) -> Read {
    let mut muxer = Muxer::new(traits.clone());
    let pictures = pictures(40, 0);
    let mut bytes = Vec::new();
    for (number, picture) in pictures.iter().enumerate() {
        bytes.extend(write(&mut muxer, picture));
        if let Some((payload, pts)) = sound(number) {
            bytes.extend(muxer.sound(&payload, pts));
        }
    }
    let whole = read(&[&bytes]);
    assert_pictures(&whole, &pictures);
    split::randomly(&bytes, 3, 3, |pieces| assert_eq!(read(pieces), whole));
    whole
}

fn at(number: usize) -> i64 {
    i64::try_from(number).expect("a number") * STEP
}

#[test]
fn samples_of_odd_sizes() {
    let samples = |n: usize| vec![u8::try_from(n).unwrap() | 0x80; 300 + n];
    let read = with_sound(&Traits::default(), |n| Some((samples(n), Some(at(n)))));
    assert_eq!(read.codecs(), [Codec::H264, Codec::PcmA]);
    assert_eq!(read.tracks()[1].time_base.rate(), 8000);
    for (number, (pts, data)) in read.sound().into_iter().enumerate() {
        assert_eq!((pts, data), (at(number), &samples(number)[..]));
    }
}

#[test]
fn samples_without_times_go_on() {
    let read = with_sound(&Traits::default(), |n| Some((vec![0xD5; 321], (n == 0).then_some(77))));
    for (number, (pts, _)) in read.sound().into_iter().enumerate() {
        assert_eq!(pts, 77 + i64::try_from(number).unwrap() * 321 * 90 / 8);
    }
}

#[test]
fn sound_without_times_is_as_late_as_its_packets_by_rtp() {
    let (mut muxer, mut demuxer) = (Muxer::new(Traits::default()), Demuxer::new());
    for (number, picture) in pictures(40, 1_000_000).iter().enumerate() {
        let timestamp = picture.pts - 600_000;
        demuxer.push(&write(&mut muxer, picture), Some(timestamp));
        if number >= 10 && !(20..35).contains(&number) {
            demuxer.push(&muxer.sound(&[0xD5; 320], None), Some(timestamp));
        }
    }
    let read = Read { items: poll(&mut demuxer), statistics: demuxer.statistics() };
    let times: Vec<i64> =
        read.sound().into_iter().map(|(pts, _)| (pts - 1_000_000) / STEP).collect();
    let due: Vec<i64> = (10..20).chain(35..40).collect();
    assert_eq!(times, due);
}

#[test]
fn aac_that_was_announced_as_something_else() {
    for announced in [vec![(H264, VIDEO), (G711A, AUDIO)], vec![(H264, VIDEO)]] {
        let traits = Traits { streams: announced, ..Traits::default() };
        // Several frames in a packet.
        let read = with_sound(&traits, |n| {
            let frames = [adts(90).0, adts(91 + n).0].concat();
            Some((frames, Some(at(n))))
        });
        assert_eq!(read.codecs(), [Codec::H264, Codec::Aac]);
        let sound = read.sound();
        assert_eq!(sound.len(), 80);
        assert_eq!(sound[3], (at(1) + 1024 * 90 / 16, &adts(92).1[..]));
    }
}

#[test]
fn frames_that_go_on_in_the_next_packet() {
    let traits = Traits { streams: vec![(0x0F, AUDIO)], ..Traits::default() };
    let all: Vec<u8> = (0..40).flat_map(|_| adts(150).0).collect();
    let read =
        with_sound(&traits, |n| Some((all[n * 157 * 3 / 4..(n + 1) * 157 * 3 / 4].to_vec(), None)));
    assert_eq!(read.sound().len(), 30);
    assert!(read.sound().iter().all(|(_, data)| *data == adts(150).1));
}

#[test]
fn sound_that_changes_its_codec_unannounced() {
    let read = with_sound(&Traits::default(), |n| {
        let payload = if n < 20 { vec![0x55; 320] } else { adts(100).0 };
        Some((payload, Some(at(n))))
    });
    assert_eq!(read.codecs(), [Codec::H264, Codec::PcmA, Codec::Aac]);
    assert!(read.sound().len() >= 37);
}

#[test]
fn sound_without_a_map_is_looked_at_first() {
    let traits = Traits { map: Map::Never, ..Traits::default() };
    for (byte, codec) in [(0xD5, Codec::PcmA), (0x55, Codec::PcmA), (0x7E, Codec::PcmU)] {
        let read = with_sound(&traits, |n| (n > 5).then(|| (vec![byte; 320], Some(at(n)))));
        assert_eq!(read.codecs(), [Codec::H264, codec]);
        let sound = read.sound();
        assert_eq!((sound.len(), sound[0].0), (34, at(6)), "nothing is lost");
    }
}

#[test]
fn sound_that_comes_late_or_never() {
    let never = with_sound(&Traits::default(), |_| None);
    assert_eq!(never.codecs(), [Codec::H264]);
    let late = with_sound(&Traits::default(), |n| (n > 30).then(|| (vec![1; 99], Some(at(n)))));
    assert_eq!(late.sound().len(), 9);
}

#[test]
fn codecs_that_are_not_known_are_named_and_the_rest_goes_on() {
    for (stream_type, name) in [(0x92, "G.722.1"), (0x93, "G.723.1"), (0x99, "G.729")] {
        let streams = vec![(H264, VIDEO), (stream_type, AUDIO)];
        let traits = Traits { streams, ..Traits::default() };
        let (mut muxer, mut demuxer) = (Muxer::new(traits), Demuxer::new());
        for picture in pictures(6, 0) {
            demuxer.push(&write(&mut muxer, &picture), None);
            demuxer.push(&muxer.sound(&[9; 99], Some(picture.pts)), None);
        }
        demuxer.finish();
        let names: Vec<_> = demuxer.left_out().map(|left| left.name()).collect();
        assert_eq!(names, [name]);
        let read = Read { items: poll(&mut demuxer), statistics: demuxer.statistics() };
        assert_clean(&read, &pictures(6, 0));
    }
}

#[test]
fn pictures_that_are_not_known_leave_their_sound() {
    for (stream_type, code) in [(Some(0x80), 0x65), (Some(0x10), 0xB6), (None, 0xB6)] {
        let mut streams = vec![(G711A, AUDIO)];
        streams.extend(stream_type.map(|stream_type| (stream_type, VIDEO)));
        let (mut muxer, mut demuxer) =
            (Muxer::new(Traits { streams, ..Traits::default() }), Demuxer::new());
        for n in 0..20 {
            demuxer.push(&muxer.picture(&[&[code, 0x10, 7, 9]], n == 0, at(n)), None);
            demuxer.push(&muxer.sound(&[9; 99], Some(at(n))), None);
        }
        let left: Vec<_> = demuxer.left_out().collect();
        assert_eq!((left.len(), left[0].stream_id, left[0].stream_type), (1, VIDEO, stream_type));
        let read = Read { items: poll(&mut demuxer), statistics: demuxer.statistics() };
        assert_eq!((read.codecs(), read.sound().len()), (vec![Codec::PcmA], 20));
    }
}

#[test]
fn wrong_lengths_of_pictures_are_found_out() {
    let pictures = pictures(10, 0);
    for wrong in [-30_i16, 3, 40, 3000] {
        let mut muxer = Muxer::new(Traits { map: Map::AtStart, ..Traits::default() });
        let mut bytes = Vec::new();
        for picture in &pictures {
            let mut frame = write(&mut muxer, picture);
            let at = frame.windows(4).position(|code| code == [0, 0, 1, VIDEO]).unwrap() + 4;
            let length = u16::from_be_bytes([frame[at], frame[at + 1]]);
            frame[at..at + 2].copy_from_slice(&length.wrapping_add_signed(wrong).to_be_bytes());
            bytes.extend(frame);
        }
        // The last one says that it goes on.
        let count = if wrong > 0 { 9 } else { 10 };
        let read = read(&[&bytes]);
        assert_pictures(&read, &pictures[..count]);
        assert!(read.statistics.wrong_lengths >= 9);
    }
}

#[test]
fn the_end_of_a_picture_is_believed_after_some_were_right() {
    for no_length in [false, true] {
        let traits = Traits { no_length, cut: 100, ..Traits::default() };
        let (mut muxer, mut demuxer) = (Muxer::new(traits), Demuxer::new());
        let mut late = 0;
        for picture in pictures(40, 0) {
            demuxer.push(&write(&mut muxer, &picture), None);
            demuxer.frame_ends();
            let items = poll(&mut demuxer);
            let is_out =
                matches!(items.last(), Some(Demuxed::Unit(unit)) if unit.pts == picture.pts);
            late += usize::from(!is_out);
        }
        assert_eq!(late, 8);
        demuxer.finish();
        assert_eq!(poll(&mut demuxer), []);
        assert_eq!(demuxer.statistics(), Statistics::default());
    }
}

#[test]
fn ends_that_are_none_are_not_believed() {
    let pictures = pictures(40, 0);
    for no_length in [false, true] {
        for every in [1, 2, 3] {
            let traits = Traits { no_length, cut: 30, ..Traits::hikvision() };
            let (mut muxer, mut demuxer) = (Muxer::new(traits), Demuxer::new());
            let mut number = 0;
            for picture in &pictures {
                for packet in write(&mut muxer, picture).chunks(40) {
                    demuxer.push(packet, None);
                    number += 1;
                    if number % every == 0 {
                        demuxer.frame_ends();
                    }
                }
                demuxer.frame_ends();
            }
            demuxer.finish();
            let read = Read { items: poll(&mut demuxer), statistics: demuxer.statistics() };
            assert_clean(&read, &pictures);
        }
    }
}

#[test]
fn an_access_unit_has_a_limit() {
    let mut pictures = pictures(11, 0);
    pictures[3].units.push([&[0x0C][..], &vec![0xFF; 9 << 20]].concat().into());
    let read = read(&[&write_all(&Traits::default(), &pictures)]);
    assert_eq!(read.statistics.torn, 1);
    pictures.remove(3);
    assert_pictures(&read, &pictures);
}

#[test]
fn garbage_never_grows() {
    let mut demuxer = Demuxer::new();
    let mut random = testkit::Random::new(5);
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..500).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        demuxer.push(&bytes, None);
    }
    assert!(demuxer.statistics().skipped > 900_000);
    let pictures = pictures(20, 0);
    demuxer.push(&write_all(&Traits::default(), &pictures), None);
    demuxer.finish();
    let read = Read { items: poll(&mut demuxer), statistics: demuxer.statistics() };
    assert!(read.pictures().ends_with(&pictures[5..].iter().map(expected).collect::<Vec<_>>()));
}

/// A short stream with all there is.
fn recording(count: i64) -> (Vec<Coded>, Vec<Vec<u8>>) {
    let pictures = pictures(count, 900_000);
    let mut muxer = Muxer::new(Traits { cut: 80, ..Traits::hikvision() });
    let frames = pictures.iter().map(|picture| {
        let mut frame = write(&mut muxer, picture);
        frame.extend(muxer.sound(&[0xD5; 40], Some(picture.pts)));
        frame
    });
    let frames = frames.collect();
    (pictures, frames)
}

#[test]
fn a_stream_without_faults_splits_anywhere() {
    let bytes = recording(11).1.concat();
    split::everywhere(&bytes, read);
}

/// Every single bit of the first two pictures, one at a time: from the next key picture on, all
/// are whole, and so is their sound.
#[test]
fn every_damaged_bit_is_survived() {
    let (pictures, frames) = recording(7);
    let (head, tail) = (frames[..2].concat(), frames[2..].concat());
    let expected: Vec<_> = pictures[5..].iter().map(expected).collect();
    corrupt::every_bit(&head, |damaged| {
        let read = read(&[damaged, &tail]);
        let found = read.pictures();
        assert!(found.ends_with(&expected), "{:?}", read.statistics);
        assert!(read.sound().len() >= 2);
    });
}

/// What is lost costs the pictures that it belongs to: all others are whole.
#[test]
fn every_loss_is_survived() {
    let (pictures, frames) = recording(11);
    let bytes = frames.concat();
    let expected: Vec<_> = pictures.iter().map(expected).collect();
    for (length, step) in [(1, 3), (17, 7), (200, 7), (700, 11)] {
        for at in (0..bytes.len() - length).step_by(step) {
            let mut demuxer = Demuxer::new();
            demuxer.push(&bytes[..at], None);
            demuxer.lost();
            demuxer.push(&bytes[at + length..], None);
            demuxer.finish();
            let read = Read { items: poll(&mut demuxer), statistics: demuxer.statistics() };
            let mut lost = expected.iter();
            for found in read.pictures() {
                // A message without which the picture is whole may be missing, and its time.
                let same = |whole: &&Summary| {
                    whole.2.ends_with(&found.2) && found.2.len() + 1 >= whole.2.len()
                };
                assert!(lost.any(|whole| same(&whole)), "lost {length} at {at}: {found:?}");
            }
            let after = at + length;
            let whole = frames.iter().scan(0, |end, frame| {
                *end += frame.len();
                Some(*end - frame.len())
            });
            let next = match whole.into_iter().position(|start| start >= after) {
                // Parameter sets were lost, and come again with the next key picture.
                Some(1..5) if at < frames[0].len() => 5,
                next => next.unwrap_or(frames.len()),
            };
            let found = read.pictures();
            let least = expected.len() - next;
            assert!(found.len() >= least, "lost {length} at {at}: {least} {found:?}");
        }
    }
}

fn traits() -> impl Strategy<Value = Traits> {
    let map = prop::sample::select(vec![Map::AtKeys, Map::AtStart, Map::Never]);
    let times = prop::sample::select(vec![Times::First, Times::Each]);
    let cut = prop_oneof![1_usize..40, 40_usize..60_000];
    (0_u8..8, any::<[bool; 6]>(), cut, times, map).prop_map(
        |(
            pack_stuffing,
            [mpeg1, parted, zero_ends, descriptors, private, no_length],
            cut,
            times,
            map,
        )| {
            let streams = vec![(H264, VIDEO), (G711A, AUDIO)];
            Traits {
                pack_stuffing,
                mpeg1,
                cut,
                parted,
                zero_ends,
                times,
                map,
                descriptors,
                streams,
                private,
                no_length,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the habits are and wherever reads end.
    #[test]
    fn any_habits_and_any_split(
        traits in traits(),
        sizes in prop::collection::vec(prop_oneof![0_usize..400, 0_usize..70_000], 1..9),
        seed in any::<u64>(),
    ) {
        let pictures: Vec<Coded> =
            (0..).zip(sizes).map(|(n, size)| picture(n, n * STEP, size)).collect();
        let bytes = write_all(&traits, &pictures);
        assert_clean(&read(&[&bytes]), &pictures);
        split::randomly(&bytes, seed, 2, read);
    }

    #[test]
    fn anything_splits_anywhere(
        bytes in prop::collection::vec(
            prop_oneof![4 => Just(0_u8), 3 => Just(1_u8), 4 => 0xB9_u8..=0xFF, 2 => any::<u8>()],
            0..400,
        ),
        seed in any::<u64>(),
    ) {
        split::randomly(&bytes, seed, 4, read);
    }

    #[test]
    fn damaged_streams_split_anywhere(seed in any::<u64>()) {
        corrupt::randomly(&recording(11).1.concat(), seed, 4, |damaged| {
            split::randomly(damaged, seed, 3, read);
        });
    }
}
