//! The Multivariant Playlist (HLS §4.4.6): one variant, with what players must know to choose it.

use std::fmt::Write;

use media::{Details, TrackId, TrackSet, inspect};

use crate::{Window, name};

/// Segments to come may be larger than those so far.
const HEADROOM_PERCENT: u64 = 120;

/// Writes the playlist. `media` is the address of the Media Playlist, `query` is added to it.
#[must_use]
pub fn playlist(window: &Window, tracks: &TrackSet, media: &str, query: &str) -> String {
    let (peak, average) = window.bit_rates();
    let with_headroom = |rate: u64| (rate * HEADROOM_PERCENT / 100).max(1);
    let mut attributes = format!(
        "BANDWIDTH={},AVERAGE-BANDWIDTH={}",
        with_headroom(peak.max(average)),
        with_headroom(average)
    );
    let first = [TrackId::video(0), TrackId::audio(0)];
    let codecs: Option<Vec<String>> =
        first.iter().filter_map(|id| tracks.get(*id)).map(|t| inspect::rfc6381(t)).collect();
    // An incomplete list is worse than none (§4.4.6.2).
    if let Some(codecs) = codecs.filter(|codecs| !codecs.is_empty()) {
        // Writing to a string cannot fail.
        let _ = write!(attributes, ",CODECS=\"{}\"", codecs.join(","));
    }
    if let Some(Details::Video(video)) = tracks.get(TrackId::video(0)).map(|track| &track.details) {
        if video.width > 0 && video.height > 0 {
            let _ = write!(attributes, ",RESOLUTION={}x{}", video.width, video.height);
        }
        if video.millihertz > 0 {
            let (whole, rest) = (video.millihertz / 1000, video.millihertz % 1000);
            let _ = write!(attributes, ",FRAME-RATE={whole}.{rest:03}");
        }
    }
    format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-STREAM-INF:{attributes}\n{}{query}\n",
        name::escape(media)
    )
}
