//! The containers that endless media comes in over HTTP and WebSocket.

use std::fmt;

use hub::Protocol;
use media::{TrackKind, TrackSet};

use crate::context::{HttpSettings, LiveSettings};

/// What the end of a path chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Flv,
    Ts,
    Mp4,
}

impl Container {
    const ALL: [Self; 3] = [Self::Flv, Self::Ts, Self::Mp4];

    /// The container that a path asks for, if it is served there.
    pub(super) fn of(path: &str, settings: &HttpSettings) -> Option<Self> {
        let served = |container: &Self| {
            let rules = container.rules(settings);
            let fits = |prefix: &String| path.starts_with(prefix.as_str());
            rules.enable && path.ends_with(container.suffix()) && rules.prefixes.iter().any(fits)
        };
        Self::ALL.into_iter().find(served)
    }

    /// What its paths end with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Flv => ".flv",
            Self::Ts => ".ts",
            Self::Mp4 => ".mp4",
        }
    }

    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Flv => Protocol::Flv,
            Self::Ts => Protocol::Ts,
            Self::Mp4 => Protocol::Mp4,
        }
    }

    pub(super) fn rules(self, settings: &HttpSettings) -> &LiveSettings {
        match self {
            Self::Flv => &settings.flv,
            Self::Ts => &settings.ts,
            Self::Mp4 => &settings.mp4,
        }
    }

    pub(super) fn content_type(self, tracks: &TrackSet) -> &'static str {
        match self {
            Self::Flv => "video/x-flv",
            Self::Ts => "video/mp2t",
            Self::Mp4 if tracks.has(TrackKind::Video) => "video/mp4",
            Self::Mp4 => "audio/mp4",
        }
    }

    /// Where somebody should look whose stream does not fit into this container.
    pub(super) fn alternative(self) -> &'static str {
        match self {
            Self::Ts => "ask for it with .flv or .mp4",
            Self::Mp4 => "ask for it with .flv, or over RTMP",
            Self::Flv => "play it over RTSP",
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flv => "FLV",
            Self::Ts => "MPEG-TS",
            Self::Mp4 => "MP4",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_served_under_each_of_its_prefixes() {
        let mut settings = HttpSettings::default();
        settings.flv.prefixes = vec!["/live/".to_owned(), "/any/".to_owned()];
        for (path, served) in [
            ("/live/a.flv", Some(Container::Flv)),
            ("/any/b/a.flv", Some(Container::Flv)),
            ("/other/a.flv", None),
            ("/other/a.ts", Some(Container::Ts)),
            ("/live/a.m3u8", None),
        ] {
            assert_eq!(Container::of(path, &settings), served, "{path}");
        }
    }
}
