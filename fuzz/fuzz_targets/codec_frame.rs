//! Frames of every codec through the one door that ingest uses. The first byte picks the codec.
//!
//! Laws: a canonical frame is its own canonical form, and its spans lie within it.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::{Codec, Details, Track, TrackId, aac, av1, inspect};

const CODECS: [Codec; 16] = [
    Codec::H264,
    Codec::H265,
    Codec::H266,
    Codec::Av1,
    Codec::Vp8,
    Codec::Vp9,
    Codec::Aac,
    Codec::Opus,
    Codec::Mp3,
    Codec::Ac3,
    Codec::Eac3,
    Codec::Flac,
    Codec::PcmA,
    Codec::PcmU,
    Codec::FlvVideo(4),
    Codec::FlvAudio(6),
];

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    let codec = CODECS[usize::from(first % 16)];
    let data = Bytes::copy_from_slice(data);

    if let Ok((payload, units)) = inspect::canonical(codec, &data, 4, |_| {}) {
        for unit in &units {
            assert!(unit.start < unit.end && unit.end as usize <= payload.len());
        }
        let _ = inspect::is_random_access(codec, &payload, &units);
        let again = inspect::canonical(codec, &payload, 4, |_| panic!("it was taken out"));
        assert_eq!(again, Ok((payload, units)));
    }
    let details = inspect::frame_details(codec, &data).unwrap_or(Details::Unknown);
    let track = Track {
        id: TrackId::audio(0),
        codec,
        time_base: inspect::time_base(codec, &details),
        config: data.clone(),
        color_info: None,
        enhanced: false,
        details,
    };
    let _ = inspect::audio_samples(&track, &data);
    let _ = inspect::rfc6381(&track);
    match codec {
        Codec::Aac => {
            if let Ok(header) = aac::adts::Header::parse(&data) {
                let _ = (header.config().to_bytes(), header.payload(&data));
            }
        }
        Codec::Av1 => {
            let _ = av1::Config::from_frame(&data).map(|config| config.rfc6381());
        }
        _ => {}
    }
});
