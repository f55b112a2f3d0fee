//! The rules of a rendition.

use std::time::Duration;

use media::TrackSet;

use crate::TIMESCALE;

/// What segments are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Container {
    /// Fragmented MP4 at low latency and for codecs that need it, else transport streams.
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
                let all = |carries: fn(&media::Track) -> bool| {
                    let mut first = tracks.tracks.iter().filter(|track| track.id.index == 0);
                    first.all(|track| carries(track))
                };
                let needs = tracks.tracks.iter().any(|track| {
                    use media::Codec::{Av1, Flac, H265, Opus, Vp8, Vp9};
                    matches!(track.codec, H265 | Av1 | Vp8 | Vp9 | Opus | Flac)
                });
                let prefers = needs || self.part.is_some();
                (prefers && all(mp4::codec::carries)) || !all(mpeg::ts::carries)
            }
        }
    }
}

/// A duration in ticks.
pub(crate) fn ticks(duration: Duration) -> i64 {
    let ticks = duration.as_micros() * u128::from(TIMESCALE.unsigned_abs()) / 1_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX)
}
