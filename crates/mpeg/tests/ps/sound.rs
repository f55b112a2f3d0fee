//! Sound beside the pictures, announced rightly, wrongly or not at all; and codecs that are not
//! known.

use super::*;

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
