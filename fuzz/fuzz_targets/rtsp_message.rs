//! Messages of RTSP and the packets between them.
//!
//! Laws: reads may end anywhere; what was read and is written is read the same again.

#![no_main]

use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;
use rtsp::message::{Decoder, Incoming};

fuzz_target!(|data: &[u8]| {
    splits_change_nothing(data, |pieces| {
        let mut decoder = Decoder::new();
        decoder.expect_channel(0);
        let mut all = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.poll() {
                    Ok(Some(incoming)) => all.push(incoming),
                    Ok(None) => break,
                    // How much of what came before is reported depends on where reads ended.
                    Err(_) => return None,
                }
            }
        }
        Some(all)
    });
    let mut decoder = Decoder::new();
    decoder.push(data);
    while let Ok(Some(incoming)) = decoder.poll() {
        let Incoming::Response(response) = &incoming else { continue };
        let again = reread(&response.to_bytes());
        if let Some(Incoming::Response(again)) = again {
            assert_eq!(again.status, response.status);
            assert_eq!(again.body, response.body);
        }
    }
});

fn reread(bytes: &[u8]) -> Option<Incoming> {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    decoder.poll().ok().flatten()
}
