//! Decoder configurations and parameter sets of every codec, each fed the same bytes.
//!
//! Laws: a record that was read and written reads the same again; merging parameter sets into a
//! record leaves a record.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media::{aac, av1, flac, h264, h265, h266, opus, vp};

fuzz_target!(|data: &[u8]| {
    if let Ok(config) = h264::Config::parse(data) {
        assert_eq!(h264::Config::parse(&config.to_bytes()).as_ref(), Ok(&config));
        let _ = (config.details(), config.rfc6381());
        let mut merged = config.clone().canonical();
        for set in config.parameter_sets() {
            merged.merge(set);
        }
        assert!(h264::Config::parse(&merged.to_bytes()).is_ok());
    }
    if let Ok(config) = h265::Config::parse(data) {
        assert_eq!(h265::Config::parse(&config.to_bytes()).as_ref(), Ok(&config));
        let _ = (config.details(), config.rfc6381());
        let mut merged = config.clone().canonical();
        for set in config.parameter_sets() {
            merged.merge(set);
        }
        assert!(h265::Config::parse(&merged.to_bytes()).is_ok());
    }
    if let Ok(config) = av1::Config::parse(data) {
        assert_eq!(av1::Config::parse(&config.to_bytes()).as_ref(), Ok(&config));
        let _ = (config.details(), config.rfc6381());
    }
    if let Ok(config) = vp::Config::parse(data) {
        assert_eq!(vp::Config::parse(&config.to_bytes()).as_ref(), Ok(&config));
        let _ = config.rfc6381("vp09");
    }
    if let Ok(config) = aac::Config::parse(data) {
        let _ = (config.details(), config.rfc6381(), aac::adts::header(&config, data.len()));
        if let Some(written) = config.to_bytes() {
            assert_eq!(aac::Config::parse(&written).as_ref(), Ok(&config));
        }
    }
    if let Ok(head) = opus::Head::parse(data) {
        assert_eq!(opus::Head::parse(&head.to_bytes()).as_ref(), Ok(&head));
        let _ = head.details();
    }
    let _ = flac::StreamInfo::parse(data).map(|info| info.details());
    let _ = h266::length_size(data);
    let _ = h264::Sps::parse(data)
        .map(|sps| (sps.details(), sps.millihertz(), sps.max_num_reorder_frames()));
    let _ = h265::Sps::parse(data).map(|sps| sps.millihertz());
    let _ = av1::SequenceHeader::parse(data).map(|header| header.details());
});
