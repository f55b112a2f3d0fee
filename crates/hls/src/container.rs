//! What a segment's media is made of: transport packets or fragments, behind one face.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use media::{Frame, Ticks, TrackId, TrackKind, TrackSet};
use mp4::Fragmenter;
use mpeg::ts::{Muxer, Unit};

/// A muxer whose output can be cut at frames of the lead track.
#[derive(Debug)]
pub(crate) enum Container {
    Ts(Box<Ts>),
    Fmp4(Box<Fragmenter>),
}

/// Transport packets that wait to be cut off.
#[derive(Debug, Default)]
pub(crate) struct Ts {
    muxer: Muxer,
    units: VecDeque<Unit>,
    fresh: Vec<Unit>,
}

impl Container {
    pub(crate) fn new(fmp4: bool) -> Self {
        if fmp4 { Self::Fmp4(Box::default()) } else { Self::Ts(Box::default()) }
    }

    pub(crate) fn is_fmp4(&self) -> bool {
        matches!(self, Self::Fmp4(_))
    }

    pub(crate) fn extension(&self) -> &'static str {
        if self.is_fmp4() { "m4s" } else { "ts" }
    }

    /// These are the tracks; everything before was cut off or is given up.
    pub(crate) fn set_tracks(&mut self, tracks: &TrackSet) {
        match self {
            Self::Ts(ts) => ts.muxer.set_tracks(tracks, &mut ts.fresh),
            Self::Fmp4(fragmenter) => {
                let _given_up = fragmenter.set_tracks(tracks);
            }
        }
    }

    pub(crate) fn carries(&self, track: TrackId) -> bool {
        match self {
            Self::Ts(ts) => ts.muxer.carries(track),
            Self::Fmp4(fragmenter) => fragmenter.carries(track),
        }
    }

    /// The Media Initialization Section, where there is one.
    pub(crate) fn init(&self) -> Option<Bytes> {
        match self {
            Self::Ts(_) => None,
            Self::Fmp4(fragmenter) => Some(fragmenter.init()),
        }
    }

    /// The next frame begins a segment or, if it is sound that leads, a part.
    pub(crate) fn prepare(&mut self, segment: bool, sound_leads: bool) {
        let Self::Ts(ts) = self else { return };
        if segment || sound_leads {
            ts.muxer.flush(&mut ts.fresh);
            ts.units.extend(ts.fresh.drain(..));
        }
        if segment {
            ts.muxer.repeat_tables();
        }
    }

    pub(crate) fn push(&mut self, frame: &Frame) {
        match self {
            Self::Ts(ts) => {
                ts.muxer.push(frame, &mut ts.fresh);
                ts.units.extend(ts.fresh.drain(..));
            }
            Self::Fmp4(fragmenter) => fragmenter.push(frame),
        }
    }

    /// No picture comes before `at`.
    pub(crate) fn end_picture(&mut self, at: Ticks) {
        if let Self::Fmp4(fragmenter) = self {
            fragmenter.end_picture(at);
        }
    }

    /// Everything before `until`, a time of the lead track.
    pub(crate) fn cut(&mut self, until: Ticks, lead: TrackKind) -> Bytes {
        match self {
            Self::Ts(ts) => {
                let later = |unit: &Unit| unit.track == lead && unit.dts >= until;
                let count = ts.units.iter().position(later).unwrap_or(ts.units.len());
                ts.take(count)
            }
            Self::Fmp4(fragmenter) => {
                fragmenter.cut(until).map(|fragment| fragment.bytes.freeze()).unwrap_or_default()
            }
        }
    }

    /// Everything there is.
    pub(crate) fn finish(&mut self) -> Bytes {
        match self {
            Self::Ts(ts) => {
                ts.muxer.flush(&mut ts.fresh);
                ts.units.extend(ts.fresh.drain(..));
                ts.take(ts.units.len())
            }
            Self::Fmp4(fragmenter) => {
                fragmenter.finish().map(|fragment| fragment.bytes.freeze()).unwrap_or_default()
            }
        }
    }
}

impl Ts {
    fn take(&mut self, count: usize) -> Bytes {
        let size = self.units.iter().take(count).map(|unit| unit.bytes.len()).sum();
        let mut out = BytesMut::with_capacity(size);
        for unit in self.units.drain(..count) {
            out.put_slice(&unit.bytes);
        }
        out.freeze()
    }
}
