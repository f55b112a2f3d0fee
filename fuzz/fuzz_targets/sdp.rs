//! Session descriptions, and what they say of media.
//!
//! Laws: what was read and is written is read the same again; a known format can be put together.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rtp::format::Format;
use rtp::sdp::Session;

fuzz_target!(|data: &[u8]| {
    let Ok(session) = Session::parse(data) else { return };
    for media in &session.media {
        if let Ok(format) = Format::of(media) {
            assert!(format.clock_rate > 0);
            let _ = format.config();
            let _ = format.depacketizer();
        }
    }
    let text = session.to_string();
    if let Ok(again) = Session::parse(text.as_bytes()) {
        assert_eq!(again.media.len(), session.media.len());
        // From here on nothing changes any more.
        assert_eq!(Session::parse(again.to_string().as_bytes()).as_ref(), Ok(&again));
    }
});
