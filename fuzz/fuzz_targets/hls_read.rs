//! Playlists of others, and what is fetched by them.
//!
//! Laws: segments are numbered one after the other; a schedule hands each out once, in order, and
//! asks for the playlist until it has ended.

#![no_main]

use std::time::{Duration, Instant};

use hls::client::{Playlist, Schedule};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    let mut now = start;
    // Several playlists, one after the other.
    for text in text.split('\0') {
        match Playlist::parse(text) {
            Ok(Playlist::Media(media)) => {
                assert!(!media.target.is_zero());
                for pair in media.segments.windows(2) {
                    assert_eq!(pair[0].number + 1, pair[1].number);
                }
                let ended = media.ended;
                schedule.playlist(media, now);
                assert_eq!(schedule.poll_timeout().is_none(), ended);
                let mut last = None;
                while let Some(segment) = schedule.poll_segment() {
                    assert!(last.is_none_or(|last| last < segment.number));
                    last = Some(segment.number);
                }
                if let Some(next) = schedule.poll_timeout() {
                    assert!(next > now && next <= now + Duration::from_secs(60));
                    now = next;
                }
            }
            Ok(Playlist::Multivariant(variants)) => {
                let best = variants.best().expect("a variant");
                assert!(variants.variants.iter().all(|v| v.bandwidth <= best.bandwidth));
                let _ = variants.sound(best);
            }
            Err(_) => schedule.failed(now),
        }
    }
});
