//! H.265 parameter sets of real encoders.

use headwater_media::h265::{self, Config, NalType, Sps};
use headwater_media::{Error, VideoDetails};
use proptest::prelude::*;

/// An `hvcC` of x265 (through ffmpeg) and what was asked of it.
struct Vector {
    record: &'static str,
    details: VideoDetails,
    /// Chroma format, bits per sample, reordered pictures.
    format: (u8, u8, u32),
    name: &'static str,
}

const fn vector(
    record: &'static str,
    (width, height): (u32, u32),
    (profile, level): (u8, u8),
    millihertz: u32,
    format: (u8, u8, u32),
    name: &'static str,
) -> Vector {
    let details = VideoDetails { width, height, profile, level, millihertz };
    Vector { record, details, format, name }
}

const VECTORS: [Vector; 5] = [
    // the default, 60 frames per second
    vector(
        "0101600000009000000000007bf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003\
         000003007b959809a10001002a42010101600000030090000003000003007ba003c08010e596566924caf016\
         8080000003008000001e04a2000100074401c172b46240",
        (1920, 1080),
        (1, 123),
        60_000,
        (1, 8, 2),
        "hvc1.1.6.L123.90",
    ),
    // -pix_fmt yuv422p10le, hrd=1:scaling-list=default; with an SEI array
    vector(
        "0104080000009d08000000005df000fcfefafa00000f04a00001001740010c01ffff0408000003009d080000\
         0300005d959809a1000100334201010408000003009d0800000300005db00280802d1365959a49395e02d010\
         00003e9000075306014966e000f424001e8488a2000100074401c172b4624027000100064e0181010f80",
        (1280, 720),
        (4, 93),
        29_970,
        (2, 10, 2),
        "hvc1.4.10.L93.9d.8",
    ),
    // -pix_fmt yuv444p, cropped, bframes=0:no-vui-timing-info=1
    vector(
        "0104080000009e08000000001ef000fcfff8f800000f03a00001001740010c01ffff0408000003009e080000\
         0300001e968090a1000100204201010408000003009e0800000300001e9002e40d39e7cb2d49265780b40080\
         a2000100084401c172860c4624",
        (178, 98),
        (4, 30),
        0,
        (3, 8, 0),
        "hvc1.4.10.L30.9e.8",
    ),
    // temporal-layers=1:bframes=4:lossless=1
    vector(
        "010160000000900000000000fff000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003\
         00000300ff999809a10001002942010101600000030090000003000003\
         00ffa00502016965999a4932bc05a020000003002000000641a2000100064401c171ab12",
        (640, 360),
        (1, 255),
        50_000,
        (1, 8, 2),
        "hvc1.1.6.L255.90",
    ),
    // interlace=tff: field_seq_flag is set
    vector(
        "0101600000004000000000005af000fcfdf8f800000f04a00001001840010c01ffff01600000030040000003\
         000003005a959809a10001002b42010101600000030040000003000003005aa005a20090596566924caf0168\
         68000003000800000300c840a2000100074401c172b4624027000100064e0181010f80",
        (720, 576),
        (1, 90),
        25_000,
        (1, 8, 2),
        "hvc1.1.6.L90.40",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |start| u8::from_str_radix(&hex[start..start + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[test]
fn records_of_x265() {
    for vector in &VECTORS {
        let record = bytes(vector.record);
        let config = Config::parse(&record).unwrap();
        assert_eq!(config.details(), vector.details, "{}", vector.name);
        assert_eq!(config.rfc6381(), vector.name);
        assert_eq!(config.length_size(), 4);
        let sps = Sps::parse(&config.sps()[0]).unwrap();
        let format = (sps.chroma_format, sps.luma_depth, sps.max_num_reorder_pics);
        assert_eq!(format, vector.format, "{}", vector.name);
        assert_eq!(sps.profile, config.profile());
        // Byte for byte what the encoder's muxer wrote.
        assert_eq!(&config.to_bytes()[..], record);
        assert_eq!(config.clone().canonical(), config);
        // The sets alone tell the same.
        let sets: Vec<_> = config.parameter_sets().collect();
        assert_eq!(sets.len(), 3);
        let rebuilt = Config::from_parameter_sets(sets.iter().rev().map(|set| &set[..])).unwrap();
        assert_eq!((rebuilt.details(), rebuilt.rfc6381()), (config.details(), config.rfc6381()));
        if record.last() != Some(&0x80) {
            assert_eq!(rebuilt.to_bytes(), config.to_bytes());
        }
        let stream: Vec<_> = sets.iter().flat_map(|set| [&[0, 0, 1], &set[..]].concat()).collect();
        assert_eq!(Config::parse(&stream), Ok(rebuilt));
    }
}

#[test]
fn records_that_end_early() {
    let record = bytes(VECTORS[0].record);
    let whole = Config::parse(&record).unwrap();
    let mut config = Config::parse(&record[..record.len() - 1]).unwrap();
    assert_eq!((config.sps(), config.pps().len()), (whole.sps(), 0));
    assert!(config.merge(&whole.pps()[0]));
    assert_eq!(config, whole);
    assert!(Config::parse(&record[..60]).is_err(), "no SPS");
    assert!(Config::parse(&[&[2], &record[1..]].concat()).is_err(), "version 2");
    assert_eq!(Config::parse(&[&[0], &record[1..]].concat()), Ok(whole), "version 0");
    assert_eq!(Config::parse(&[1]), Err(Error::Truncated { offset: 1, wanted: 1 }));
}

#[test]
fn sets_in_band_replace_those_with_the_same_id() {
    let mut config = Config::parse(&bytes(VECTORS[0].record)).unwrap();
    let other = Config::parse(&bytes(VECTORS[2].record)).unwrap();
    for set in other.parameter_sets() {
        assert!(config.merge(set) && !config.merge(set));
    }
    assert_eq!(config, other);
    for unit in [&[][..], &[0x42], &[0x42, 1, 1, 1], &[0x44, 1], &[0x26, 1, 0xAF]] {
        assert!(!config.merge(unit), "{unit:x?}");
    }
    // Sets of another layer stay where they are.
    let mut second = other.sps()[0].to_vec();
    second[1] |= 8;
    assert!(!h265::is_parameter_set(&second) && !config.merge(&second));
    assert!(h265::is_parameter_set(&other.sps()[0]));
}

/// Some cameras tell their frame rate in the VPS alone (§7.3.2.1).
#[test]
fn a_vps_may_tell_the_frame_rate() {
    let mut config = Config::parse(&bytes(VECTORS[2].record)).unwrap();
    assert_eq!(config.details().millihertz, 0);
    let vps = "40010c01ffff01600000030090000003000003007b95980c00000fa40001d4c140";
    assert!(config.merge(&bytes(vps)));
    assert_eq!(config.details().millihertz, 29_970);
}

/// There are 64 ids of PPS, and a record has as many.
#[test]
fn sets_are_limited() {
    let mut config = Config::parse(&bytes(VECTORS[0].record)).unwrap();
    for id in 0..100u32 {
        let code = (id + 1) << (31 - (31 - (id + 1).leading_zeros()) * 2);
        config.merge(&[&[0x44, 1][..], &(code | 1 << 8).to_be_bytes()].concat());
    }
    assert_eq!(config.pps().len(), 64);
    assert_eq!(Config::parse(&config.to_bytes()), Ok(config));
}

/// H.265 table 7-1: BLA, IDR, CRA and what is reserved beside them.
#[test]
fn key_frames_are_intra_random_access_points() {
    for kind in 0..64 {
        let frame = [0x4E, 1, 0x80, kind << 1, 1, 0x80];
        assert_eq!(h265::is_key(&frame, &[0..3, 3..6]), (16..24).contains(&kind), "{kind}");
    }
    assert!(!h265::is_key(&[0x26], &[0..1, 0..9]));
    assert_eq!(NalType::of(&[0x46, 1]), Some(NalType::AccessUnitDelimiter));
}

proptest! {
    #[test]
    fn damaged_records_are_read_or_refused(
        index in 0..VECTORS.len(),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        end in any::<prop::sample::Index>(),
        cut: bool,
    ) {
        let mut record = bytes(VECTORS[index].record);
        for flip in flips {
            let bit = flip.index(record.len() * 8);
            record[bit / 8] ^= 1 << (bit % 8);
        }
        if cut {
            record.truncate(end.index(record.len()));
        }
        if let Ok(config) = Config::parse(&record) {
            prop_assert_eq!(&Config::parse(&config.to_bytes()), &Ok(config.clone()));
            let _ = config.details();
        }
    }

    #[test]
    fn whatever_comes_is_read_or_refused(data: Vec<u8>) {
        let _ = Sps::parse(&[&[0x42, 1][..], &data].concat());
        let mut config = Config::parse(&bytes(VECTORS[0].record)).unwrap();
        config.merge(&[&[0x40, 1][..], &data].concat());
        let _ = config.details();
        prop_assert_eq!(Config::parse(&config.to_bytes()), Ok(config));
        let _ = Config::parse(&data);
    }
}
