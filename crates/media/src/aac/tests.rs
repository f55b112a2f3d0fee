use proptest::prelude::*;

use super::*;

fn parse(bytes: &[u8]) -> Config {
    Config::parse(bytes).unwrap()
}

#[test]
fn configurations_of_encoders() {
    for (bytes, object_type, rate, channels) in [
        (&[0x12, 0x10][..], 2, 44_100, 2),
        (&[0x11, 0x90], 2, 48_000, 2),
        (&[0x14, 0x08], 2, 16_000, 1),
        (&[0x11, 0xB0], 2, 48_000, 6),
        // ffmpeg appends that there is no SBR.
        (&[0x12, 0x10, 0x56, 0xE5, 0x00], 2, 44_100, 2),
        // An explicit rate: 44 099 Hz.
        (&[0x17, 0x80, 0x56, 0x21, 0x90], 2, 44_099, 2),
    ] {
        let config = parse(bytes);
        assert_eq!(config.details(), AudioDetails { sample_rate: rate, channels, profile: 2 });
        assert_eq!((config.object_type, config.frame_length), (object_type, 1024));
        assert_eq!(config.extension, None);
        assert_eq!(config.rfc6381(), "mp4a.40.2");
        assert_eq!(parse(&config.to_bytes().unwrap()), config);
    }
    assert_eq!(&Config::new(2, 44_100, 2).unwrap().to_bytes().unwrap()[..], [0x12, 0x10]);
}

/// ISO/IEC 14496-3 §1.6.5.
#[test]
fn he_aac_announced_both_ways() {
    for (bytes, channels, parametric_stereo, hierarchical) in [
        (&[0x13, 0x10, 0x56, 0xE5, 0x98][..], 2, false, false),
        (&[0x13, 0x08, 0x56, 0xE5, 0x9D, 0x48, 0x80], 1, true, false),
        (&[0x2B, 0x11, 0x88, 0x00], 2, false, true),
        (&[0xEB, 0x09, 0x88, 0x00], 1, true, true),
    ] {
        let config = parse(bytes);
        assert_eq!((config.object_type, config.sample_rate), (2, 24_000));
        assert_eq!(config.channels, channels);
        let extension = Extension { sample_rate: 48_000, parametric_stereo, hierarchical };
        assert_eq!(config.extension, Some(extension));
        let name = if parametric_stereo { "mp4a.40.29" } else { "mp4a.40.5" };
        assert_eq!(config.rfc6381(), name);
        assert_eq!(parse(&config.to_bytes().unwrap()), config);
    }
}

#[test]
fn short_frames_and_low_delay() {
    assert_eq!(parse(&[0x12, 0x14]).frame_length, 960);
    assert_eq!(parse(&[0xB9, 0x90, 0]).frame_length, 512);
    assert_eq!(parse(&[0xF8, 0xE6, 0x30, 0]).frame_length, 480);
}

/// Five channels and LFE in a program config element.
#[test]
fn channels_of_a_program_config_element() {
    let mut w = Writer::default();
    for (value, count) in [(2, 5), (3, 4), (0, 4), (0, 3)] {
        w.put(value, count);
    }
    for (value, count) in [(0, 4), (1, 2), (3, 4), (2, 4), (0, 4), (1, 4), (1, 2), (0, 3), (0, 4)] {
        w.put(value, count);
    }
    w.put(0, 3); // no mix-down
    for (value, count) in [(0, 5), (0x10, 5), (0x11, 5), (0, 4)] {
        w.put(value, count);
    }
    w.put(0, (8 - w.count) % 8);
    w.put(2, 8);
    w.put(0x6869, 16); // a comment
    let config = parse(&w.finish());
    assert_eq!((config.channels, config.sample_rate), (6, 48_000));
    assert_eq!(config.to_bytes(), None);
}

#[test]
fn nonsense_is_refused() {
    assert!(Config::parse(&[]).is_err());
    assert!(Config::parse(&[0x12]).is_err());
    assert!(Config::parse(&[0x16, 0x90]).is_err(), "index 13");
    assert!(Config::parse(&[0x17, 0x80, 0, 0, 0x10]).is_err(), "0 Hz");
    assert!(Config::new(2, 0, 2).is_none());
    assert!(Config::new(2, 44_100, 0).is_none());
    assert!(Config::new(42, 44_100, 2).is_none());
}

fn any_config() -> impl Strategy<Value = Config> {
    let rate = || prop_oneof![prop::sample::select(&FREQUENCIES[..]), 1u32..1 << 24];
    let extension = (rate(), any::<bool>(), any::<bool>()).prop_map(|(sample_rate, ps, first)| {
        Extension { sample_rate, parametric_stereo: ps, hierarchical: first }
    });
    let object_type = prop::sample::select(&[1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23][..]);
    (
        object_type,
        rate(),
        prop::sample::select(&[1, 2, 3, 4, 5, 6, 7, 8, 24][..]),
        any::<bool>(),
        prop::option::of(extension),
    )
        .prop_filter_map(
            "not on the wire",
            |(object_type, rate, channels, short, extension)| {
                let config = Config::new(object_type, rate, channels)?;
                Some(Config { frame_length: frame_length(object_type, short), extension, ..config })
            },
        )
}

proptest! {
    #[test]
    fn what_is_written_is_read(config in any_config()) {
        let bytes = config.to_bytes().unwrap();
        prop_assert_eq!(parse(&bytes), config);
        for length in 0..bytes.len() {
            let _ = Config::parse(&bytes[..length]);
        }
    }

    #[test]
    fn whatever_comes_is_read_or_refused(bytes: Vec<u8>) {
        if let Ok(config) = Config::parse(&bytes) {
            if let Some(bytes) = config.to_bytes() {
                prop_assert_eq!(parse(&bytes), config);
            }
            let _ = adts::header(&config, bytes.len());
        }
        let _ = adts::Header::parse(&bytes);
    }
}
