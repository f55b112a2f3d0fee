//! The rules of a rendition.

use std::time::Duration;

use media::{Codec, TrackId, TrackSet};

use crate::TIMESCALE;

/// What segments are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Container {
    /// Fragmented MP4 at low latency and for codecs that need it, else transport streams; these also
    /// for MP3, which browsers do not play in MP4.
    #[default]
    Auto,
    /// Transport streams.
    Ts,
    /// Fragmented MP4.
    Fmp4,
}

/// The rules of a rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What segments are made of.
    pub container: Container,
    /// A segment ends with the first key frame after this.
    pub segment: Duration,
    /// `EXT-X-TARGETDURATION`; if it is not set, the first segment decides.
    pub target: Option<Duration>,
    /// About how long a part is; `None` for playlists without parts. Transport streams have none.
    pub part: Option<Duration>,
    /// Segments in the playlist, at least; as many more as three target durations take.
    pub listed: usize,
    /// Segments that are kept after they have left the playlist, at least; as many more as players
    /// may still ask for.
    pub kept: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            container: Container::Auto,
            segment: Duration::from_secs(2),
            target: None,
            part: Some(Duration::from_millis(200)),
            listed: 7,
            kept: 3,
        }
    }
}

impl Settings {
    /// Whether these tracks go into fragmented MP4.
    pub(crate) fn wants_fmp4(&self, tracks: &TrackSet) -> bool {
        match self.container {
            Container::Ts => false,
            Container::Fmp4 => true,
            Container::Auto => {
                let needs = tracks.tracks.iter().any(|track| {
                    use media::Codec::{Av1, Flac, H265, Opus, Vp8, Vp9};
                    matches!(track.codec, H265 | Av1 | Vp8 | Vp9 | Opus | Flac)
                });
                let mp3 = tracks.get(TrackId::audio(0)).is_some_and(|t| t.codec == Codec::Mp3);
                let prefers = (needs || self.part.is_some()) && !mp3;
                (prefers && fit(tracks, mp4::codec::carries)) || !fit(tracks, mpeg::ts::carries)
            }
        }
    }
}

impl Settings {
    /// Whether these tracks go on in fragmented MP4, once others were: a player keeps the section
    /// that it has for all that follows, and transport streams have none (HLS §4.4.4.5).
    pub(crate) fn keeps_fmp4(&self, tracks: &TrackSet) -> bool {
        self.container == Container::Auto && fit(tracks, mp4::codec::carries)
    }
}

/// Whether all first tracks have a place.
fn fit(tracks: &TrackSet, carries: fn(&media::Track) -> bool) -> bool {
    let mut first = tracks.tracks.iter().filter(|track| track.id.index == 0);
    first.all(|track| carries(track))
}

/// A duration in ticks.
pub(crate) fn ticks(duration: Duration) -> i64 {
    let ticks = duration.as_micros() * u128::from(TIMESCALE.unsigned_abs()) / 1_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use media::{Track, inspect};
    use testkit::{aac, h264};

    use super::*;

    fn track(id: TrackId, codec: Codec, config: Bytes) -> Arc<Track> {
        let details = inspect::details(codec, &config).unwrap_or_default();
        let time_base = inspect::time_base(codec, &details);
        Arc::new(Track { id, codec, time_base, config, color_info: None, enhanced: false, details })
    }

    #[test]
    fn mp3_goes_into_transport_streams() {
        let sequence = h264::Sequence { width: 64, height: 64, rate: (25, 1), reorders: false };
        let picture = track(TrackId::video(0), Codec::H264, sequence.avcc());
        let sound = |codec, config| track(TrackId::audio(0), codec, config);
        let mp3 = sound(Codec::Mp3, Bytes::new());
        let aac = sound(Codec::Aac, aac::config(48_000, 2));
        let wants = |container, list: &[&Arc<Track>]| {
            let tracks = list.iter().map(|track| Arc::clone(track)).collect();
            let settings = Settings { container, ..Settings::default() };
            settings.wants_fmp4(&TrackSet { tracks, ..TrackSet::default() })
        };
        assert!(wants(Container::Auto, &[&picture, &aac]));
        assert!(!wants(Container::Auto, &[&picture, &mp3]));
        assert!(wants(Container::Fmp4, &[&picture, &mp3]));
        // Such pictures have no place there.
        let vp9 = track(TrackId::video(0), Codec::Vp9, Bytes::from_static(&[0; 12]));
        assert!(wants(Container::Auto, &[&vp9, &mp3]));
    }
}
