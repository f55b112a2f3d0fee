//! Session descriptions of GB/T 28181.
//!
//! Laws: what is read is bounded, payload types and clock rates are those of RTP.

#![no_main]

use gb28181::sdp::Answer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(answer) = Answer::parse(data) else { return };
    assert!(answer.formats.len() <= 16);
    for format in &answer.formats {
        assert!(format.payload_type < 128 && format.clock_rate > 0);
    }
    if let Some(ssrc) = answer.ssrc {
        assert_eq!(ssrc.to_string().len(), 10);
    }
});
