//! AV1 configurations of real encoders, and temporal units.

use bytes::Bytes;
use headwater_media::av1::{self, Config, ObuType};
use headwater_media::{Units, VideoDetails};
use proptest::prelude::*;

/// An `av1C` (through ffmpeg), what was asked of it, bits per sample and the codec string.
const VECTORS: [(&[u8], VideoDetails, u8, &str); 3] = [
    (SVT, details(1280, 720, 0, 5), 8, "av01.0.05M.08"),
    // SVT-AV1, -pix_fmt yuv420p10le
    (
        b"\x81\x01\x4c\x00\x0a\x0c\x02\x00\x00\x0d\x26\x27\xfb\x28\x05\xf0\x80\x80",
        details(640, 358, 0, 1),
        10,
        "av01.0.01M.10",
    ),
    // libaom, -pix_fmt yuv444p
    (
        b"\x81\x20\x00\x00\x0a\x0a\x20\x00\x00\x04\x3c\xfe\xcc\xda\xf9\x02",
        details(320, 180, 1, 0),
        8,
        "av01.1.00M.08",
    ),
];

/// SVT-AV1.
const SVT: &[u8] = b"\x81\x05\x0c\x00\x0a\x0c\x02\x00\x00\x2d\x2a\x67\xfd\x9e\x01\x7c\x00\x20";

const DELIMITER: [u8; 2] = [0x12, 0];
/// A shown key frame, a shown inter frame, a key frame that is shown later, a shown old frame.
const KEY: [u8; 4] = [0x32, 2, 0x10, 0];
const INTER: [u8; 4] = [0x32, 2, 0x30, 0];
const HIDDEN: [u8; 4] = [0x32, 2, 0x00, 0];
const EXISTING: [u8; 3] = [0x1A, 1, 0x80];

const fn details(width: u32, height: u32, profile: u8, level: u8) -> VideoDetails {
    VideoDetails { width, height, profile, level, millihertz: 0 }
}

fn pairs(units: &Units) -> Vec<(u32, u32)> {
    units.iter().map(|span| (span.start, span.end)).collect()
}

#[test]
fn records_of_encoders() {
    for (record, details, depth, name) in VECTORS {
        let config = Config::parse(record).unwrap();
        assert_eq!((config.details(), config.depth()), (details, depth));
        assert_eq!(config.rfc6381(), name);
        assert_eq!(&config.to_bytes()[..], record);
        // The sequence header tells the same, wherever it stands.
        let frame = [&DELIMITER[..], config.obus(), &KEY].concat();
        assert_eq!(Config::from_frame(&frame), Ok(config));
        assert_eq!(av1::sequence_header(&frame).map(|header| header.details()), Some(details));
    }
    assert!(Config::parse(&[0x81, 0, 0]).is_err());
    assert!(Config::parse(&[0x01, 0, 0, 0]).is_err(), "no marker");
    assert!(Config::from_frame(&KEY).is_err());
    let bare = Config::parse(&[0x81, 0x25, 0xE0, 0x12]).unwrap();
    assert_eq!((bare.details(), bare.depth()), (details(0, 0, 1, 5), 12));
    assert_eq!(bare.rfc6381(), "av01.1.05H.12");
    assert_eq!(&bare.to_bytes()[..], [0x81, 0x25, 0xE0, 0x12]);
}

#[test]
fn key_frames_are_shown_and_first() {
    let sequence = &SVT[4..];
    for (unit, expected) in [
        ([&DELIMITER[..], sequence, &KEY].concat(), true),
        ([&KEY[..], &INTER].concat(), true),
        ([sequence, &INTER].concat(), false),
        ([&INTER[..], &KEY].concat(), false),
        (HIDDEN.to_vec(), false),
        (EXISTING.to_vec(), false),
        (sequence.to_vec(), false),
        (vec![], false),
        (vec![0x32], false),
        // reduced_still_picture_header
        (vec![0x0A, 1, 0x18, 0x32, 1, 0xFF], true),
    ] {
        assert_eq!(av1::is_key(&unit), expected, "{unit:x?}");
    }
}

#[test]
fn leading_delimiters_disappear_without_a_copy() {
    let data = Bytes::from([&DELIMITER[..], &SVT[4..], &KEY].concat());
    let (payload, units) = av1::canonical(&data).unwrap();
    assert_eq!(payload.as_ptr(), data[2..].as_ptr());
    assert_eq!(pairs(&units), [(0, 14), (14, 18)]);
    let (same, again) = av1::canonical(&payload).unwrap();
    assert_eq!((same.as_ptr(), same.len(), again), (payload.as_ptr(), payload.len(), units));
}

#[test]
fn every_unit_gets_its_size() {
    // The last one has none, and there is a delimiter in the middle.
    let data = Bytes::from([&KEY[..], &DELIMITER, &[0x34, 0x20], &[7; 130]].concat());
    let (payload, units) = av1::canonical(&data).unwrap();
    assert_eq!(&payload[..9], [0x32, 2, 0x10, 0, 0x36, 0x20, 130, 1, 7]);
    assert_eq!(pairs(&units), [(0, 4), (4, 138)]);
    let obus: Vec<_> = av1::obus(&payload).map(Result::unwrap).collect();
    assert_eq!(obus[1].kind, ObuType::Frame);
    assert_eq!(
        (obus[1].header, obus[1].payload.len(), obus[1].has_size),
        (&[0x36, 0x20][..], 130, true)
    );
}

#[test]
fn units_beyond_the_data_are_refused() {
    for data in [
        &[0x32, 3, 0x10, 0][..], // a byte is missing
        &[0x32],                 // no size
        &[0x36, 0],              // no size behind the extension
        &[0xB2, 0],              // forbidden bit
        &[0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0], // nine bytes of size
        &[0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0], // above 32 bits
    ] {
        assert!(av1::canonical(&Bytes::copy_from_slice(data)).is_err(), "{data:x?}");
        assert!(av1::obus(data).last().is_some_and(|last| last.is_err()));
    }
    // A limit, so that spans don't take more memory than the frame.
    let many = Bytes::from([0x32, 0].repeat(4097));
    assert!(av1::canonical(&many).is_err());
    assert!(av1::canonical(&many.slice(2..)).is_ok());
}

proptest! {
    #[test]
    fn whatever_comes_is_canonical_or_refused(
        parts in prop::collection::vec(
            prop_oneof![
                Just(DELIMITER.to_vec()),
                Just(KEY.to_vec()),
                Just(SVT[4..].to_vec()),
                prop::collection::vec(any::<u8>(), 0..6),
            ],
            0..6,
        ),
    ) {
        let data = Bytes::from(parts.concat());
        let _ = av1::is_key(&data);
        let _ = Config::from_frame(&data);
        let _ = av1::sequence_header(&data);
        if let Ok((payload, units)) = av1::canonical(&data) {
            let found: Vec<_> = av1::obus(&payload).map(|obu| obu.unwrap().span.end).collect();
            let ends: Vec<_> = units.iter().map(|span| span.end as usize).collect();
            prop_assert_eq!(found, ends);
            prop_assert_eq!(av1::canonical(&payload).unwrap(), (payload, units));
        }
    }

    #[test]
    fn damaged_records_are_read_or_refused(
        index in 0..VECTORS.len(),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut record = VECTORS[index].0.to_vec();
        for flip in flips {
            let bit = flip.index(record.len() * 8);
            record[bit / 8] ^= 1 << (bit % 8);
        }
        if let Ok(config) = Config::parse(&record) {
            prop_assert_eq!(&Config::parse(&config.to_bytes()), &Ok(config.clone()));
            let _ = config.details();
        }
    }
}
