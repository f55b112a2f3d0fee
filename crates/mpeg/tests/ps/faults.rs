//! Damage, loss, and lengths that are wrong.

use super::*;

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

/// What waits for the end of a packet is searched once, not with every byte that comes.
#[test]
fn packets_that_come_byte_by_byte_are_searched_once() {
    let pack = [0, 0, 1, 0xBA, 0x44, 0, 4, 0, 4, 1, 0, 0, 3, 0xF8];
    let mut demuxer = Demuxer::new();
    for round in 0..40 {
        let filler = if round % 2 == 0 { 0 } else { 0xFF };
        for head in
            [[0, 0, 1, 0xC0, 0xFF, 0xFF], [0, 0, 1, 0xC0, 0, 0], [0, 0, 1, 0xBD, 0xFF, 0xFF]]
        {
            demuxer.push(&[&pack[..], &head, &[0x80, 0, 0]].concat(), None);
            for _ in 0..65_000 {
                demuxer.push(&[filler], None);
            }
        }
        demuxer.lost();
    }
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

/// A start code that is damaged, and with it a packet: no picture is made of the rest.
#[test]
fn a_packet_that_is_not_known_any_more_tears_its_picture() {
    let pictures = pictures(10, 0);
    let (mut muxer, mut bytes) = (Muxer::new(Traits { cut: 30, ..Traits::default() }), Vec::new());
    for (number, picture) in pictures.iter().enumerate() {
        let mut frame = write(&mut muxer, picture);
        if number == 5 {
            // A packet within the slice has a header that is longer than itself.
            let mut packets =
                (0..frame.len() - 4).filter(|at| frame[*at..*at + 4] == [0, 0, 1, VIDEO]);
            let at = packets.nth(6).expect("a packet") + 8;
            frame[at] = 0xFF;
        }
        bytes.extend(frame);
    }
    let read = read(&[&bytes]);
    assert_eq!(read.statistics.torn, 1);
    let whole: Vec<Coded> = [&pictures[..5], &pictures[6..]].concat();
    assert_pictures(&read, &whole);
}

/// Sets of both codecs in one access unit, again and again.
#[test]
fn sets_that_contradict_each_other_come_to_an_end() {
    let sets = [&SEQUENCE.sps()[..], H265_SETS[0], H265_SETS[1]];
    let units: Vec<&[u8]> = sets.into_iter().cycle().take(30_000).collect();
    let bytes =
        Muxer::new(Traits { no_length: true, ..Traits::default() }).picture(&units, true, 0);
    let read = read(&[&bytes]);
    assert_eq!(read.pictures(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

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
