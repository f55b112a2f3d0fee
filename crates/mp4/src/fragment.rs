//! Frames in, fragments out: `moof` and `mdat` (ISO/IEC 14496-12 §8.8.4 to §8.8.8).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use media::{
    Details, Frame, FrameKind, SampleClock, Ticks, TimeBase, Track, TrackId, TrackKind, TrackSet,
    inspect,
};
use smallvec::SmallVec;

use crate::boxes::{boxed, full, put_u32_at};
use crate::codec::SampleEntry;
use crate::init::{self, TrackInit};

/// Sample flags (§8.8.3.1): depends on no other; depends on others, and is no sync sample.
const INDEPENDENT: u32 = 0x0200_0000;
const DEPENDENT: u32 = 0x0101_0000;

/// `tfhd`: offsets count from the `moof`; the samples' flags have a default.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
const DEFAULT_FLAGS: u32 = 0x00_0020;

/// `trun`: what is there.
const DATA_OFFSET: u32 = 0x001;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const COMPOSITION: u32 = 0x800;

/// The time of a picture that none follows and none came before: 25 a second.
const LONE_PICTURES: u32 = 25;

/// A movie fragment.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// `moof` and `mdat`.
    pub bytes: BytesMut,
    /// Playing may begin here: its first picture is a key frame, or it has sound only.
    pub independent: bool,
    /// A key frame is in it somewhere.
    pub has_key: bool,
    /// Decoding time of the first sample.
    pub start: Ticks,
    /// From there to the end of the last picture, or of the last sound if there are no pictures.
    pub duration: Ticks,
}

/// Players need another initialisation section.
#[derive(Debug)]
pub struct Change {
    /// What was not cut yet, and belongs to the section before.
    pub rest: Option<Fragment>,
}

/// Cuts the first picture track and the first sound track into fragments.
///
/// Durations are exact: a sample ends where the next one of its track begins, and sound of a
/// regular codec lies edge to edge. So the last picture waits for the next, or for
/// [`Fragmenter::finish`].
#[derive(Debug, Default)]
pub struct Fragmenter {
    tracks: SmallVec<[Output; 2]>,
    sequence: u32,
}

#[derive(Debug)]
struct Output {
    id: TrackId,
    number: u32,
    track: Arc<Track>,
    entry: SampleEntry,
    base: TimeBase,
    samples: VecDeque<Sample>,
    clock: SampleClock,
    /// Where the last sample that was cut ended.
    end: Option<i64>,
    last_duration: Option<i64>,
}

#[derive(Debug)]
struct Sample {
    dts: i64,
    cts: i32,
    /// Known when the next one has come, or from its codec.
    duration: Option<i64>,
    key: bool,
    data: Bytes,
}

impl Fragmenter {
    /// A fragmenter that knows no tracks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These are the tracks from now on. `None` if that changes nothing for players; otherwise they
    /// need [`Fragmenter::init`] anew, after what was left of the old tracks.
    pub fn set_tracks(&mut self, tracks: &TrackSet) -> Option<Change> {
        let fresh = outputs(tracks);
        if same_outputs(&fresh, &self.tracks) {
            return None;
        }
        let rest = self.finish();
        self.tracks = fresh;
        Some(Change { rest })
    }

    /// Whether players go on with [`Fragmenter::init`] as it is when these are the tracks.
    #[must_use]
    pub fn fits(&self, tracks: &TrackSet) -> bool {
        same_outputs(&outputs(tracks), &self.tracks)
    }

    /// Whether it carries any track.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// Whether a track is carried.
    #[must_use]
    pub fn carries(&self, track: TrackId) -> bool {
        self.tracks.iter().any(|output| output.id == track)
    }

    /// `ftyp` and `moov`: what a player needs before the first fragment.
    #[must_use]
    pub fn init(&self) -> Bytes {
        let tracks: SmallVec<[TrackInit<'_>; 2]> = self
            .tracks
            .iter()
            .map(|output| TrackInit {
                number: output.number,
                timescale: output.base.rate(),
                is_sound: output.is_sound(),
                entry: &output.entry,
            })
            .collect();
        init::section(&tracks)
    }

    /// Takes a frame.
    pub fn push(&mut self, frame: &Frame) {
        if matches!(frame.kind, FrameKind::Config | FrameKind::Data) {
            return;
        }
        if let Some(output) = self.tracks.iter_mut().find(|output| output.id == frame.track) {
            output.push(frame);
        }
    }

    /// The last picture is shown until `at`, although the next one may come later.
    pub fn end_picture(&mut self, at: Ticks) {
        let Some(output) = self.tracks.iter_mut().find(|output| !output.is_sound()) else { return };
        let at = at.rescale(output.base).value;
        if let Some(last) = output.samples.back_mut().filter(|last| last.dts < at) {
            last.duration.get_or_insert(at - last.dts);
        }
    }

    /// How long the oldest sound waits to be cut, up to the newest.
    #[must_use]
    pub fn waiting_sound(&self) -> Option<Ticks> {
        let output = self.tracks.iter().find(|output| output.is_sound())?;
        let (first, last) = (output.samples.front()?, output.samples.back()?);
        Some(Ticks::new(last.dts - first.dts, output.base))
    }

    /// A fragment of everything before `until` whose duration is known; `None` if there is nothing.
    pub fn cut(&mut self, until: Ticks) -> Option<Fragment> {
        self.write(|sample, base| sample.duration.is_some() && Ticks::new(sample.dts, base) < until)
    }

    /// A fragment of all that is left: nothing follows, or not soon.
    pub fn finish(&mut self) -> Option<Fragment> {
        for output in &mut self.tracks {
            let alone = i64::from(output.base.rate() / LONE_PICTURES);
            let duration = output.last_duration.unwrap_or(alone).max(1);
            if let Some(last) = output.samples.back_mut() {
                last.duration.get_or_insert(duration);
            }
        }
        self.write(|_, _| true)
    }

    fn write(&mut self, takes: impl Fn(&Sample, TimeBase) -> bool) -> Option<Fragment> {
        let counts: SmallVec<[usize; 2]> = self
            .tracks
            .iter()
            .map(|output| output.samples.iter().take_while(|s| takes(s, output.base)).count())
            .collect();
        // The first track with samples is that of pictures, if there are any.
        let (lead, _) = self.tracks.iter().zip(&counts).find(|(_, count)| **count > 0)?;
        let first = lead.samples.front()?;
        let independent = lead.is_sound() && self.tracks.len() == 1 || first.key;
        let has_key = !lead.is_sound() && lead.samples.iter().zip(0..counts[0]).any(|(s, _)| s.key);
        let start = Ticks::new(first.dts, lead.base);

        self.sequence = self.sequence.wrapping_add(1);
        let payload: usize = self
            .tracks
            .iter()
            .zip(&counts)
            .flat_map(|(output, count)| output.samples.iter().take(*count))
            .map(|sample| sample.data.len())
            .sum();
        let samples: usize = counts.iter().sum();
        let mut out = BytesMut::with_capacity(payload + 16 * samples + 200);
        let mut offsets: SmallVec<[usize; 2]> = SmallVec::new();
        boxed(&mut out, *b"moof", |out| {
            full(out, *b"mfhd", 0, 0, |out| out.put_u32(self.sequence));
            for (output, count) in self.tracks.iter().zip(&counts) {
                if *count > 0 {
                    boxed(out, *b"traf", |out| offsets.push(output.put_traf(*count, out)));
                }
            }
        });
        let mut offset = out.len() + 8;
        let taken = self.tracks.iter().zip(&counts).filter(|(_, count)| **count > 0);
        for ((output, count), at) in taken.zip(offsets) {
            put_u32_at(&mut out, at, u32::try_from(offset).unwrap_or(u32::MAX));
            offset += output.samples.iter().take(*count).map(|s| s.data.len()).sum::<usize>();
        }
        let mut duration = None;
        boxed(&mut out, *b"mdat", |out| {
            for (output, count) in self.tracks.iter_mut().zip(&counts) {
                let mut end = None;
                for sample in output.samples.drain(..*count) {
                    out.put_slice(&sample.data);
                    end = Some(sample.dts + sample.duration.unwrap_or_default());
                }
                if let Some(end) = end {
                    output.end = Some(end);
                    let ticks = end - start.value;
                    duration.get_or_insert_with(|| Ticks::new(ticks, output.base));
                }
            }
        });
        let duration = duration.unwrap_or_else(|| Ticks::new(0, start.base));
        Some(Fragment { bytes: out, independent, has_key, start, duration })
    }
}

/// The tracks of a set that are carried.
fn outputs(tracks: &TrackSet) -> SmallVec<[Output; 2]> {
    let mut fresh: SmallVec<[Output; 2]> = SmallVec::new();
    for id in [TrackId::video(0), TrackId::audio(0)] {
        let Some(track) = tracks.get(id) else { continue };
        let Some(entry) = SampleEntry::of(track) else { continue };
        let number = u32::try_from(fresh.len()).unwrap_or_default() + 1;
        fresh.push(Output {
            id,
            number,
            track: track.clone(),
            entry,
            base: track.time_base,
            samples: VecDeque::new(),
            clock: SampleClock::default(),
            end: None,
            last_duration: None,
        });
    }
    fresh
}

/// Whether players see no difference.
fn same_outputs(a: &[Output], b: &[Output]) -> bool {
    let key = |list: &[Output]| -> SmallVec<[(TrackId, TimeBase, SampleEntry); 2]> {
        list.iter().map(|track| (track.id, track.base, track.entry.clone())).collect()
    };
    key(a) == key(b)
}

impl Output {
    fn is_sound(&self) -> bool {
        self.id.kind == TrackKind::Audio
    }

    fn push(&mut self, frame: &Frame) {
        let wanted = frame.dts.rescale(self.base).value.max(0);
        let samples = if self.is_sound() { self.samples_of(frame) } else { None };
        let mut dts = match samples {
            Some(samples) => self.clock.place(Ticks::new(wanted, self.base), samples),
            None => wanted,
        };
        if let Some(last) = self.samples.back_mut() {
            dts = dts.max(last.dts + 1);
            // The samples of a run have no times: each begins where the one before ends. So the last
            // one before a hole lasts until its end.
            let duration = dts - last.dts;
            last.duration = Some(duration);
            self.last_duration = Some(duration);
        } else if let Some(end) = self.end {
            dts = dts.max(end);
        }
        // A time line that was mended keeps presentation where the publisher wanted it.
        let pts = wanted.saturating_add(i64::from(frame.cts));
        let shown = if samples.is_some() { 0 } else { pts - dts };
        self.samples.push_back(Sample {
            dts,
            cts: i32::try_from(shown).unwrap_or_default(),
            duration: samples,
            key: frame.is_key(),
            data: frame.data.clone(),
        });
    }

    /// How long the codec says that a frame of sound is, in ticks.
    fn samples_of(&self, frame: &Frame) -> Option<i64> {
        let samples = inspect::audio_samples(&self.track, &frame.data)?;
        let rate = match self.track.details {
            Details::Audio(audio) => audio.sample_rate,
            _ => 0,
        };
        // Otherwise its samples are not the ticks of its clock.
        (samples > 0 && rate == self.base.rate()).then(|| i64::from(samples))
    }

    /// Writes a `traf` of the first `count` samples; returns where the offset of their data is.
    fn put_traf(&self, count: usize, out: &mut BytesMut) -> usize {
        let samples = || self.samples.iter().take(count);
        let composition = samples().any(|sample| sample.cts != 0);
        let default = if self.is_sound() { INDEPENDENT } else { DEPENDENT };
        full(out, *b"tfhd", 0, DEFAULT_BASE_IS_MOOF | DEFAULT_FLAGS, |out| {
            out.put_u32(self.number);
            out.put_u32(default);
        });
        full(out, *b"tfdt", 1, 0, |out| {
            let start = self.samples.front().map_or(0, |sample| sample.dts);
            out.put_u64(u64::try_from(start).unwrap_or_default());
        });
        let mut flags = DATA_OFFSET | DURATION | SIZE;
        if !self.is_sound() {
            flags |= FLAGS;
        }
        if composition {
            flags |= COMPOSITION;
        }
        let mut at = 0;
        // Version 1: composition offsets have a sign.
        full(out, *b"trun", 1, flags, |out| {
            out.put_u32(u32::try_from(count).unwrap_or_default());
            at = out.len();
            out.put_u32(0);
            for sample in samples() {
                let duration = sample.duration.unwrap_or_default();
                out.put_u32(u32::try_from(duration).unwrap_or(u32::MAX));
                out.put_u32(u32::try_from(sample.data.len()).unwrap_or(u32::MAX));
                if !self.is_sound() {
                    out.put_u32(if sample.key { INDEPENDENT } else { DEPENDENT });
                }
                if composition {
                    out.put_i32(sample.cts);
                }
            }
        });
        at
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use media::Units;

    use super::*;

    /// AAC-LC of 48 kHz in two channels.
    fn sound() -> Track {
        let config = Bytes::from_static(&[0x11, 0x90]);
        let details = inspect::details(media::Codec::Aac, &config).unwrap();
        Track {
            id: TrackId::audio(0),
            codec: media::Codec::Aac,
            time_base: inspect::time_base(media::Codec::Aac, &details),
            config,
            color_info: None,
            enhanced: false,
            details,
        }
    }

    /// The durations in the only run of a fragment of sound.
    fn durations(fragment: &[u8]) -> Vec<u32> {
        let at = fragment.windows(4).position(|name| name == b"trun").unwrap() + 4;
        let word = |index: usize| {
            let from = at + 4 * index;
            u32::from_be_bytes(fragment[from..from + 4].try_into().unwrap())
        };
        assert_eq!(word(0) & 0x00FF_FFFF, DATA_OFFSET | DURATION | SIZE);
        (0..word(1) as usize).map(|sample| word(3 + 2 * sample)).collect()
    }

    #[test]
    fn what_follows_a_hole_keeps_its_time() {
        let track = Arc::new(sound());
        let mut fragmenter = Fragmenter::new();
        let tracks = TrackSet { tracks: vec![track.clone()], ..TrackSet::default() };
        fragmenter.set_tracks(&tracks);
        // Milliseconds that were rounded leave no hole, what is longer than half a frame does.
        for dts in [0, 1008, 2064, 3072 + 700, 4096 + 700] {
            fragmenter.push(&Frame {
                track: track.id,
                kind: FrameKind::Audio,
                dts: Ticks::new(dts, track.time_base),
                cts: 0,
                arrival: Instant::now(),
                data: Bytes::from_static(&[0x21]),
                units: Units::new(),
            });
        }
        let fragment = fragmenter.finish().unwrap();
        assert_eq!(durations(&fragment.bytes), [1024, 1024, 1024 + 700, 1024, 1024]);
    }
}
