//! H.264 parameter sets of real encoders, also read by an independent parser.

use bytes::Bytes;
use h264_reader::nal::sps::{SeqParameterSet, VuiParameters};
use h264_reader::nal::{Nal, RefNal};
use headwater_media::h264::{self, Config, NalType, Sps};
use headwater_media::{Error, VideoDetails};
use proptest::prelude::*;

/// An `avcC` of x264 (core 164, through ffmpeg) and what was asked of it.
struct Vector {
    record: &'static str,
    details: VideoDetails,
    reorder: u32,
    name: &'static str,
}

const fn vector(
    record: &'static str,
    (width, height): (u32, u32),
    (profile, level): (u8, u8),
    millihertz: u32,
    reorder: u32,
    name: &'static str,
) -> Vector {
    let details = VideoDetails { width, height, profile, level, millihertz };
    Vector { record, details, reorder, name }
}

const VECTORS: [Vector; 10] = [
    // -profile:v baseline
    vector(
        "0142c00dffe100186742c00dd90141fb011000000300100000030320f142a48001000568cb83cb20",
        (320, 240),
        (66, 13),
        25_000,
        0,
        "avc1.42c00d",
    ),
    // -profile:v main -bf 2
    vector(
        "014d401effe10018674d401eeca05017fcb80880000003008000001e078b16cb01000468ee0fc8",
        (640, 360),
        (77, 30),
        30_000,
        2,
        "avc1.4d401e",
    ),
    // -profile:v high, 30000/1001 frames per second
    vector(
        "01640028ffe1001967640028acd940780227e5c04400000fa40003a9803c60c65801000668ebe3cb22c0fdf8\
         f800",
        (1920, 1080),
        (100, 40),
        29_970,
        2,
        "avc1.640028",
    ),
    // -flags +ilme+ildct: interlaced
    vector(
        "0164001effe100186764001eacd940b424d8088000000300800000190f8a14cb01000668fba3cb22c0fdf8f8\
         00",
        (720, 576),
        (100, 30),
        25_000,
        2,
        "avc1.64001e",
    ),
    // -pix_fmt yuv420p10le
    vector(
        "016e0020ffe1001a676e0020a6cd9405005bb011000003000100000300640f18319601000668ebe3cb22c0fd\
         fafa00",
        (1280, 720),
        (110, 32),
        50_000,
        2,
        "avc1.6e0020",
    ),
    // -pix_fmt yuv422p10le
    vector(
        "017a0020ffe1001a677a0020b6cd9405005bb011000003000100000300640f18319601000668ebe3cb22c0fe\
         fafa00",
        (1280, 720),
        (122, 32),
        50_000,
        2,
        "avc1.7a0020",
    ),
    // -pix_fmt yuv444p, cropped by single pixels
    vector(
        "01f4001effe1001b67f4001e919b281405fdc5e022000003000200000300601e2c5b2c01000668ebe3c44844\
         fff8f800",
        (638, 358),
        (244, 30),
        24_000,
        2,
        "avc1.f4001e",
    ),
    // -pix_fmt gray
    vector(
        "0164000affe100196764000af3650b13b016c8000003000800000300f078912cb001000668ebe3cb22c0fcf8\
         f800",
        (176, 144),
        (100, 10),
        15_000,
        2,
        "avc1.64000a",
    ),
    // cqm=jvt:nal-hrd=vbr:pic-struct=1, sample aspect ratio 16/11
    vector(
        "0164001effe100256764001eacd940d83de6f04100000300010000030032e04000f424001e84a4c300f8b16c\
         b001000768ebe3cb3002c0fdf8f800",
        (854, 480),
        (100, 30),
        25_000,
        2,
        "avc1.64001e",
    ),
    // sample aspect ratio 117/113, BT.709, full range, 12.5 frames per second
    vector(
        "0164000cffe100206764000cacd9416096ffc01600155b808080a0000003004000000641e28532c001000668\
         ebe3cb22c0fdf8f800",
        (352, 288),
        (100, 12),
        12_500,
        2,
        "avc1.64000c",
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |start| u8::from_str_radix(&hex[start..start + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// What the other parser makes of an SPS.
fn other(unit: &[u8]) -> Option<SeqParameterSet> {
    SeqParameterSet::from_bits(RefNal::new(unit, &[], true).rbsp_bits()).ok()
}

fn agrees(ours: &Sps, theirs: &SeqParameterSet) {
    assert_eq!(ours.profile, u8::from(theirs.profile_idc));
    assert_eq!(ours.id, u32::from(theirs.id().id()));
    assert_eq!(ours.frame_num_bits, theirs.log2_max_frame_num());
    assert_eq!(ours.max_num_ref_frames, theirs.max_num_ref_frames);
    assert_eq!(u32::from(ours.chroma_format), theirs.chroma_info.chroma_format.to_u32());
    assert_eq!(ours.luma_depth, theirs.chroma_info.bit_depth_luma_minus8 + 8);
    assert_eq!(Some((ours.width, ours.height)), theirs.pixel_dimensions().ok());
    if let (Some(ours), Some(theirs)) = (&ours.vui, &theirs.vui_parameters) {
        let VuiParameters { aspect_ratio_info: ratio, timing_info, .. } = theirs;
        let ratio = ratio.as_ref().and_then(|ratio| ratio.get());
        assert_eq!(ours.sample_aspect_ratio, ratio.filter(|&(w, h)| w > 0 && h > 0));
        let timing = timing_info.as_ref().map(|info| (info.num_units_in_tick, info.time_scale));
        assert_eq!(ours.timing, timing.filter(|&(units, scale)| units > 0 && scale > 0));
        let restrictions = theirs.bitstream_restrictions.as_ref();
        assert_eq!(ours.max_num_reorder_frames, restrictions.map(|r| r.max_num_reorder_frames));
        assert_eq!(ours.pic_struct_present, theirs.pic_struct_present_flag);
    }
}

#[test]
fn records_of_x264() {
    for vector in &VECTORS {
        let record = bytes(vector.record);
        let config = Config::parse(&record).unwrap();
        assert_eq!(config.details(), vector.details, "{}", vector.name);
        assert_eq!(config.rfc6381(), vector.name);
        assert_eq!(config.length_size(), 4);
        let sps = Sps::parse(&config.sps()[0]).unwrap();
        assert_eq!(sps.max_num_reorder_frames(), vector.reorder, "{}", vector.name);
        agrees(&sps, &other(&config.sps()[0]).unwrap());
        // Byte for byte what the encoder's muxer wrote, from the record and from the sets alone.
        assert_eq!(&config.to_bytes()[..], record);
        let sets: Vec<_> = config.parameter_sets().collect();
        let rebuilt = Config::from_parameter_sets(sets.iter().rev().map(|set| &set[..]));
        assert_eq!(rebuilt.as_ref(), Ok(&config));
        // Sets in a byte stream do as well.
        let stream: Vec<_> =
            sets.iter().flat_map(|set| [&[0, 0, 0, 1], &set[..]].concat()).collect();
        assert_eq!(Config::parse(&stream), Ok(config));
    }
}

/// Older encoders leave out what the high profiles add; some end the record before the PPS.
#[test]
fn records_that_end_early() {
    let record = bytes(VECTORS[2].record);
    let whole = Config::parse(&record).unwrap();
    assert_eq!(Config::parse(&record[..record.len() - 4]), Ok(whole.clone()));
    let without_pps = Config::parse(&record[..8 + 0x19]).unwrap();
    assert_eq!((without_pps.sps(), without_pps.pps().len()), (whole.sps(), 0));
    let mut completed = without_pps;
    assert!(completed.merge(&whole.pps()[0]));
    assert_eq!(completed, whole);
    assert!(Config::parse(&record[..20]).is_err());
    assert!(Config::parse(&[1, 100, 0, 40, 0xFF, 0xE0, 0]).is_err(), "no SPS");
    assert!(Config::parse(&[2, 100, 0, 40, 0xFF, 0xE0, 0]).is_err(), "version 2");
    assert_eq!(Config::parse(&[]), Err(Error::Truncated { offset: 0, wanted: 1 }));
}

#[test]
fn lengths_of_two_bytes_become_four() {
    let mut record = bytes(VECTORS[0].record);
    record[4] = 0xFD;
    let config = Config::parse(&record).unwrap();
    assert_eq!(config.length_size(), 2);
    assert_eq!(&config.to_bytes()[..], record);
    assert_eq!(config.canonical().to_bytes()[4], 0xFF);
}

#[test]
fn sets_in_band_replace_those_with_the_same_id() {
    let mut config = Config::parse(&bytes(VECTORS[0].record)).unwrap();
    let other = Config::parse(&bytes(VECTORS[2].record)).unwrap();
    let (sps, pps) = (other.sps()[0].clone(), other.pps()[0].clone());
    assert!(config.merge(&sps) && !config.merge(&sps));
    assert!(config.merge(&pps) && !config.merge(&pps));
    assert_eq!(config, other, "profile and sample format follow");
    // PPS 1 is another one.
    assert!(config.merge(&[0x68, 0x5B, 0xE3, 0xCB]));
    assert_eq!(config.pps().len(), 2);
    for unit in [&[][..], &[0x67], &[0x67, 100, 0, 40], &[0x68], &[0x65, 0x88]] {
        assert!(!config.merge(unit), "{unit:x?}");
    }
    assert!(!config.merge(&[&sps[..], &[0; 8192]].concat()), "too long");
    // An SPS extension has its own list, in the high profiles alone.
    assert!(config.merge(&[0x6D, 0x80]) && !config.merge(&[0x6D, 0x80]));
    assert_eq!(Config::parse(&config.to_bytes()).as_ref(), Ok(&config));
    assert!(!Config::parse(&bytes(VECTORS[0].record)).unwrap().merge(&[0x6D, 0x80]));
}

/// `numOfSequenceParameterSets` has five bits.
#[test]
fn sets_are_limited() {
    let first = Config::parse(&bytes(VECTORS[0].record)).unwrap();
    let mut config = first.clone();
    for id in 0..300u32 {
        // A code of 17 bits for the id, then a stop bit: nothing else of a PPS is read.
        let code = (id + 1) << (31 - (31 - (id + 1).leading_zeros()) * 2);
        config.merge(&[&[0x68][..], &(code | 1 << 8).to_be_bytes()].concat());
    }
    assert_eq!(config.pps().len(), 255);
    assert_eq!(Config::parse(&config.to_bytes()), Ok(config));
}

#[test]
fn key_frames_and_recovery_points() {
    let types = [0x09, 0x67, 0x68, 0x06, 0x41].map(|header| NalType::of(&[header]).unwrap());
    let parameter_sets = types.map(NalType::is_parameter_set);
    assert_eq!(parameter_sets, [false, true, true, false, false]);
    assert_eq!(NalType::of(&[0x7E]), Some(NalType::Other(30)));

    // As x264 writes them: intra picture of an open GOP, start of an intra refresh of 11 frames.
    let open = [&[6, 6, 1, 0xC4, 0x80][..], &[0x41, 0x88]].concat();
    assert_eq!(h264::recovery_point(&open, &[0..5, 5..7]), Some(0));
    assert!(!h264::is_key(&open, &[0..5, 5..7]));
    let refresh = [&[6, 6, 2, 0x18, 0x24, 0x80][..], &[0x41, 0x88]].concat();
    assert_eq!(h264::recovery_point(&refresh, &[0..6, 6..8]), Some(11));
    let idr = [&[6, 5, 1, 0, 0x80][..], &[0x65, 0x88]].concat();
    assert_eq!(h264::recovery_point(&idr, &[0..5, 5..7]), None);
    assert!(h264::is_key(&idr, &[0..5, 5..7]));
}

/// A VUI that ends too early costs the frame rate, not the picture.
#[test]
fn a_broken_vui_is_ignored() {
    let config = Config::parse(&bytes(VECTORS[0].record)).unwrap();
    let cut = &config.sps()[0][..12];
    let sps = Sps::parse(cut).unwrap();
    assert_eq!((sps.width, sps.height, sps.vui), (320, 240, None));
    assert_eq!(sps.max_num_reorder_frames(), 0, "baseline");
    let high = Config::parse(&bytes(VECTORS[2].record)).unwrap();
    let sps = Sps::parse(&high.sps()[0][..14]).unwrap();
    assert_eq!((sps.height, sps.vui), (1080, None));
    assert_eq!(sps.max_num_reorder_frames(), 4, "the decoded picture buffer of level 4");
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
            for set in config.sps() {
                if let (Ok(ours), Some(theirs)) = (Sps::parse(set), other(set))
                    && theirs.pixel_dimensions().is_ok()
                {
                    agrees(&ours, &theirs);
                }
            }
        }
    }

    #[test]
    fn whatever_comes_is_read_or_refused(data: Vec<u8>) {
        let _ = Sps::parse(&[&[0x67][..], &data].concat());
        if let Ok(config) = Config::parse(&[&[1][..], &data].concat()) {
            prop_assert_eq!(Config::parse(&config.to_bytes()), Ok(config));
        }
        let data = Bytes::from(data);
        let length = u32::try_from(data.len()).unwrap();
        let _ = h264::recovery_point(&data, &[0..length, 1..length, length..9]);
    }
}
