//! The questions that are the same for all codecs.

use bytes::Bytes;
use headwater_media::{
    AudioDetails, Codec, Details, FourCc, TimeBase, Track, TrackId, VideoDetails, h264, inspect,
};
use proptest::prelude::*;

const AVCC: &[u8] = b"\x01\x42\xc0\x0d\xff\xe1\x00\x18\x67\x42\xc0\x0d\xd9\x01\x41\xfb\x01\x10\x00\
    \x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x42\xa4\x80\x01\x00\x05\x68\xcb\x83\xcb\x20";
const OPUS: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
const VPCC: &[u8] = b"\x01\x00\x00\x00\x00\x1f\x82\x01\x01\x01\x00\x00";

const CODECS: [Codec; 17] = [
    Codec::H264,
    Codec::H265,
    Codec::H266,
    Codec::Av1,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Aac,
    Codec::Mp3,
    Codec::Opus,
    Codec::Flac,
    Codec::Ac3,
    Codec::Eac3,
    Codec::PcmA,
    Codec::PcmU,
    Codec::FourCc(FourCc(*b"what")),
    Codec::FlvVideo(4),
    Codec::FlvAudio(11),
];

fn track(codec: Codec, config: &'static [u8], details: Details) -> Track {
    Track {
        id: TrackId::audio(0),
        codec,
        time_base: inspect::time_base(codec, &details),
        config: Bytes::from_static(config),
        color_info: None,
        enhanced: false,
        details,
    }
}

fn sound(sample_rate: u32, channels: u8, profile: u8) -> Details {
    Details::Audio(AudioDetails { sample_rate, channels, profile })
}

#[test]
fn configurations_tell_details_clock_and_name() {
    let baseline =
        VideoDetails { width: 320, height: 240, profile: 66, level: 13, millihertz: 25_000 };
    let vp9 = VideoDetails { profile: 0, level: 31, ..VideoDetails::default() };
    for (codec, config, expected, rate, name) in [
        (Codec::H264, AVCC, Details::Video(baseline), 90_000, Some("avc1.42c00d")),
        (Codec::Vp9, VPCC, Details::Video(vp9), 90_000, Some("vp09.00.31.08")),
        (Codec::Vp8, VPCC, Details::Video(vp9), 90_000, Some("vp08.00.31.08")),
        (Codec::H266, b"", Details::Unknown, 90_000, None),
        (Codec::FlvVideo(4), b"", Details::Unknown, 90_000, None),
        (Codec::Aac, b"\x12\x10", sound(44_100, 2, 2), 44_100, Some("mp4a.40.2")),
        (Codec::Opus, OPUS, sound(48_000, 2, 0), 48_000, Some("opus")),
        (Codec::PcmA, b"", sound(8_000, 1, 0), 8_000, Some("alaw")),
        (Codec::PcmU, b"", sound(8_000, 1, 0), 8_000, Some("ulaw")),
        (Codec::Mp3, b"", Details::Unknown, 1_000, Some("mp4a.40.34")),
        (Codec::FourCc(FourCc(*b"what")), b"", Details::Unknown, 1_000, None),
    ] {
        let details = inspect::details(codec, config).unwrap();
        assert_eq!(details, expected, "{codec}");
        let track = track(codec, config, details);
        assert_eq!(track.time_base, TimeBase::new(rate).unwrap(), "{codec}");
        assert_eq!(inspect::rfc6381(&track).as_deref(), name);
    }
    let bare = track(Codec::Vp8, b"", Details::Unknown);
    assert_eq!(inspect::rfc6381(&bare).as_deref(), Some("vp8"));
    for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Opus, Codec::Flac] {
        assert!(inspect::details(codec, b"").is_err(), "{codec}");
        assert_eq!(inspect::rfc6381(&track(codec, b"", Details::Unknown)).is_some(), {
            matches!(codec, Codec::Opus | Codec::Flac)
        });
    }
}

#[test]
fn frames_tell_what_configurations_do_not() {
    for (codec, frame, expected) in [
        (Codec::Mp3, &b"\xFF\xFB\x90\x64"[..], Some(sound(44_100, 2, 3))),
        (Codec::Ac3, b"\x0B\x77\x5B\x8A\x14\x40\x43\xE1", Some(sound(48_000, 2, 0))),
        (Codec::PcmA, b"", Some(sound(8_000, 1, 0))),
        (Codec::Aac, b"\x21\x10", None),
        (Codec::Mp3, b"ID3", None),
    ] {
        assert_eq!(inspect::frame_details(codec, frame), expected, "{codec}");
    }
    let picture = |width, height| {
        Some(Details::Video(VideoDetails { width, height, ..VideoDetails::default() }))
    };
    let vp8 = b"\x50\x42\x00\x9D\x01\x2A\x80\x02\x68\x41";
    assert_eq!(inspect::frame_details(Codec::Vp8, vp8), picture(640, 360));
    assert_eq!(inspect::is_key(Codec::Vp8, vp8, &[]), Some(true));
    let vp9 = b"\x82\x49\x83\x42\x20\x27\xF0\x16\x70";
    assert_eq!(inspect::frame_details(Codec::Vp9, vp9), picture(640, 360));
    assert_eq!(inspect::is_key(Codec::Vp9, vp9, &[]), Some(true));
    assert_eq!(inspect::is_key(Codec::FlvVideo(2), b"\x22", &[]), None);
}

#[test]
fn durations_of_audio_frames() {
    for (codec, config, details, frame, expected) in [
        (Codec::Aac, &b"\x12\x10"[..], Details::Unknown, &b"\x21"[..], Some(1024)),
        (Codec::Aac, b"", Details::Unknown, b"\x21", None),
        (Codec::Opus, OPUS, Details::Unknown, b"\xFC\xFF\xFE", Some(960)),
        (Codec::Mp3, b"", Details::Unknown, b"\xFF\xFB\x90\x64", Some(1152)),
        (Codec::Ac3, b"", Details::Unknown, b"\x0B\x77\x5B\x8A\x14\x40\x43\xE1", Some(1536)),
        (Codec::Flac, b"", Details::Unknown, b"\xFF\xF8\xC9\x18\0", Some(4096)),
        (Codec::PcmA, b"", sound(8_000, 1, 0), &[0; 160], Some(160)),
        (Codec::PcmU, b"", sound(8_000, 2, 0), &[0; 160], Some(80)),
        (Codec::FlvAudio(11), b"", Details::Unknown, b"\0", None),
    ] {
        let track = track(codec, config, details);
        assert_eq!(inspect::audio_samples(&track, frame), expected, "{codec}");
    }
}

#[test]
fn parameter_sets_and_delimiters_leave_the_frame() {
    let config = h264::Config::parse(AVCC).unwrap();
    let key = &[0x65, 0x88, 0x80][..];
    let units = [&[9, 0xF0], &config.sps()[0][..], &config.pps()[0], key];
    let data: Vec<_> = units
        .iter()
        .flat_map(|unit| [&u32::try_from(unit.len()).unwrap().to_be_bytes(), *unit].concat())
        .collect();
    let data = Bytes::from(data);
    let mut found = Vec::new();
    let (payload, units) =
        inspect::canonical(Codec::H264, &data, 4, |set| found.push(set.to_vec())).unwrap();
    assert_eq!(found, [&config.sps()[0][..], &config.pps()[0]]);
    assert_eq!(&payload[..], [&[0, 0, 0, 3], key].concat());
    assert_eq!(payload.as_ptr(), data[data.len() - 7..].as_ptr(), "not copied");
    assert_eq!(inspect::is_key(Codec::H264, &payload, &units), Some(true));
}

proptest! {
    #[test]
    fn no_codec_panics(config: Vec<u8>, frame: Vec<u8>, length_size in 0u8..6) {
        let frame = Bytes::from(frame);
        for codec in CODECS {
            let details = inspect::details(codec, &config).unwrap_or_default();
            let mut track = track(codec, b"", details);
            track.config = Bytes::copy_from_slice(&config);
            let _ = inspect::rfc6381(&track);
            let _ = inspect::audio_samples(&track, &frame);
            let _ = inspect::frame_details(codec, &frame);
            let canonical = inspect::canonical(codec, &frame, length_size, |_| ());
            if let Ok((payload, units)) = canonical {
                let key = inspect::is_key(codec, &payload, &units);
                if key == Some(true) {
                    prop_assert_eq!(inspect::is_random_access(codec, &payload, &units), key);
                }
                let again = inspect::canonical(codec, &payload, 4, |_| ()).unwrap();
                prop_assert_eq!(again, (payload, units));
            }
        }
    }
}
