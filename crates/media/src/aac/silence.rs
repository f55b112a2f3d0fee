//! Frames in which nothing is to be heard.

use std::time::Instant;

use bytes::Bytes;

use crate::{Codec, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, Units, aac};

/// The longest stretch that is filled at once. Pictures come more often, but for those of the
/// slowest cameras; a leap of the clock must not become a flood of frames.
const MAX_FILL_SECONDS: i64 = 10;

/// Samples in a frame.
const SAMPLES: i64 = 1024;

/// Frames (ISO/IEC 14496-3 §4.4.2.1) of one pair of channels and of a single channel without any
/// spectral data: they are the same at all rates.
const STEREO: [u8; 6] = [0x21, 0x10, 0x04, 0x60, 0x8C, 0x1C];
const MONO: [u8; 4] = [0x01, 0x18, 0x20, 0x07];

/// Silence for one track, frame after frame.
#[derive(Debug, Clone)]
pub struct Silence {
    track: TrackId,
    base: TimeBase,
    next: i64,
    data: Bytes,
}

impl Silence {
    /// Silence in the place of a track's sound, from `start` on; `None` if that is not AAC-LC of
    /// one or two channels.
    #[must_use]
    pub fn of(track: &Track, start: Ticks) -> Option<Self> {
        if track.codec != Codec::Aac {
            return None;
        }
        let config = aac::Config::parse(&track.config).ok()?;
        let is_plain = config.object_type == 2
            && config.extension.is_none()
            && i64::from(config.frame_length) == SAMPLES
            && config.sample_rate == track.time_base.rate();
        let data: &'static [u8] = match config.channel_configuration {
            1 if is_plain => &MONO,
            2 if is_plain => &STEREO,
            _ => return None,
        };
        let (base, data) = (track.time_base, Bytes::from_static(data));
        Some(Self { track: track.id, base, next: start.rescale(base).value, data })
    }

    /// Where the next frame begins.
    #[must_use]
    pub fn next(&self) -> Ticks {
        Ticks::new(self.next, self.base)
    }

    /// Samples in each of its frames.
    #[must_use]
    pub fn samples(&self) -> i64 {
        SAMPLES
    }

    /// It goes on after a frame of its track.
    pub fn follow(&mut self, frame: &Frame) {
        self.next = frame.dts.rescale(self.base).value.saturating_add(SAMPLES);
    }

    /// All frames that end by `until`, as if they had come at `arrival`. Of a stretch of more than
    /// ten seconds, whole frames at its beginning are left out.
    pub fn fill(&mut self, until: Ticks, arrival: Instant) -> impl Iterator<Item = Frame> {
        let most = MAX_FILL_SECONDS * i64::from(self.base.rate());
        let excess = until.rescale(self.base).value.saturating_sub(self.next).saturating_sub(most);
        if excess > 0 {
            self.next += excess - excess % SAMPLES;
        }
        std::iter::from_fn(move || {
            let end = self.next.checked_add(SAMPLES)?;
            if Ticks::new(end, self.base) > until {
                return None;
            }
            let dts = Ticks::new(std::mem::replace(&mut self.next, end), self.base);
            Some(Frame {
                track: self.track,
                kind: FrameKind::Audio,
                dts,
                cts: 0,
                arrival,
                data: self.data.clone(),
                units: Units::new(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TrackKind, inspect};

    fn sound(codec: Codec, config: &'static [u8]) -> Track {
        let config = Bytes::from_static(config);
        let details = inspect::details(codec, &config).unwrap_or_default();
        let time_base = inspect::time_base(codec, &details);
        let id = TrackId { kind: TrackKind::Audio, index: 0 };
        Track { id, codec, time_base, config, color_info: None, enhanced: false, details }
    }

    #[test]
    fn frames_lie_edge_to_edge() {
        let track = sound(Codec::Aac, &[0x11, 0x90]);
        let mut silence = Silence::of(&track, Ticks::new(7, track.time_base)).unwrap();
        let now = Instant::now();
        let mut until = |millis| -> Vec<i64> {
            let until = Ticks::from_millis(millis, TimeBase::VIDEO);
            silence.fill(until, now).map(|frame| frame.dts.value).collect()
        };
        assert_eq!(until(10), []);
        assert_eq!(until(43), [7, 7 + 1024]);
        assert_eq!(until(43), []);
        let late = until(3_600_000);
        assert!((468..=470).contains(&late.len()), "{}", late.len());
        assert_eq!((late[0] - 7) % 1024, 0);
    }

    #[test]
    fn what_has_no_silence_is_told() {
        // HE-AAC, six channels, and what is no AAC at all.
        for (codec, config) in [
            (Codec::Aac, &[0x2B, 0x11, 0x88, 0x00][..]),
            (Codec::Aac, &[0x11, 0xB0]),
            (Codec::Opus, b"OpusHead"),
        ] {
            let start = Ticks::new(0, TimeBase::MILLIS);
            assert!(Silence::of(&sound(codec, config), start).is_none(), "{codec:?}");
        }
    }
}
