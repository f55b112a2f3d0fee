//! Frames in, transport packets out.
//!
//! The packets of one [`Unit`] belong together: a viewer may begin, stop or skip only between units,
//! and a segment may be cut before a key unit, which begins with PAT and PMT.
//!
//! Pictures have one PES packet each; sound is gathered in PES packets of [`AUDIO_SPAN`], which are
//! closed before a key picture. The tables come at least every [`TABLES_SPAN`] of stream time, the
//! clock every [`PCR_SPAN`], [`LEAD`] before the times that it is the clock of.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use media::{
    Details, Frame, FrameKind, SampleClock, Ticks, Track, TrackId, TrackKind, TrackSet, inspect,
};
use smallvec::SmallVec;

use super::{PACKET, SYNC};
use crate::es::Mapping;
use crate::psi::{self, Pmt, Stream};
use crate::{clock, pes};

/// Milliseconds as ticks.
const MS: i64 = 90;

/// The longest stretch of stream time without PAT and PMT: ISO/IEC 13818-1 asks for none, ETSI
/// TR 101 290 for 500 ms, those who switch channels for less.
const TABLES_SPAN: i64 = 100 * MS;

/// The longest stretch without the clock (TR 101 290 §5.2.2).
const PCR_SPAN: i64 = 40 * MS;

/// Where a packet passes that may carry the clock, it does after this time; beyond it, it would be
/// late at the next.
const PCR_EARLY: i64 = 30 * MS;

/// How far decoding times are ahead of the clock: what lies in a decoder's buffers. Sound that was
/// gathered, and a publisher whose sound comes late, must not be later than the clock.
const LEAD: i64 = 700 * MS;

/// How much sound is gathered in a PES packet: three AAC frames of 44.1 or 48 kHz.
const AUDIO_SPAN: i64 = 70 * MS;

/// Sound waits for a picture no longer than this, when the sound after it does not come.
const AUDIO_PATIENCE: i64 = 200 * MS;

/// Sound that does not end is closed at this size, far below what a PES packet can say.
const MAX_AUDIO_PES: usize = 48 << 10;

/// A step of the clock beyond this is a discontinuity and not a slow stream.
const MAX_STEP: i64 = 1000 * MS;

/// A frame's bytes pass within this time, however long the one before lasted: if the next comes
/// sooner than expected, the clock must not be past its decoding.
const MAX_SPAN: i64 = LEAD / 2;

/// Decoding is moved back no further than this, more than the sixteen pictures that codecs reorder:
/// one absurd composition time must not part the clock from the sound for good.
const MAX_LAG: i64 = LEAD;

const PROGRAM: u16 = 1;
const PMT_PID: u16 = 0x1001;
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;

/// Transport packets that belong together.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Whole transport packets.
    pub bytes: BytesMut,
    /// What they mean to somebody who starts or skips.
    pub kind: FrameKind,
    /// Pictures or sound.
    pub track: TrackKind,
    /// The decoding time of the first frame in it.
    pub dts: Ticks,
}

/// Writes one program of the first picture track and the first sound track.
#[derive(Debug, Default)]
pub struct Muxer {
    streams: SmallVec<[Output; 2]>,
    version: u8,
    pat_continuity: u8,
    pmt_continuity: u8,
    /// These go on when a stream goes away and comes back.
    video_continuity: u8,
    audio_continuity: u8,
    /// The packets of PAT and PMT, but for their continuity counters.
    tables: BytesMut,
    last_tables: Option<i64>,
    last_pcr: Option<i64>,
    gathered: Option<Gathered>,
    scratch: BytesMut,
}

/// A stream of the program.
#[derive(Debug)]
struct Output {
    track: TrackId,
    pid: u16,
    mapping: Mapping,
    description: Option<Arc<Track>>,
    /// How much decoding times are moved back so that none is behind its presentation.
    lag: i64,
    last_dts: Option<i64>,
    /// From the last frame to the one before.
    step: i64,
    /// Puts sound edge to edge.
    clock: SampleClock,
}

/// Sound on its way into a PES packet.
#[derive(Debug)]
struct Gathered {
    first: Ticks,
    start: i64,
    end: i64,
    bytes: BytesMut,
}

impl Muxer {
    /// A muxer that knows no tracks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These are the tracks from now on. What transport streams cannot carry is left out; the map
    /// has another version if it changed, and what was gathered is appended before.
    pub fn set_tracks(&mut self, tracks: &TrackSet, out: &mut Vec<Unit>) {
        let mut streams = SmallVec::new();
        for (track, pid) in [(TrackId::video(0), VIDEO_PID), (TrackId::audio(0), AUDIO_PID)] {
            let Some(mapping) = tracks.get(track).and_then(|track| Mapping::of(track)) else {
                continue;
            };
            let old = self.streams.iter().find(|old| old.track == track);
            streams.push(Output {
                track,
                pid,
                mapping,
                description: tracks.get(track).cloned(),
                lag: old.map_or(0, |old| old.lag),
                last_dts: old.and_then(|old| old.last_dts),
                step: old.map_or(0, |old| old.step),
                clock: old.map(|old| old.clock.clone()).unwrap_or_default(),
            });
        }
        let describe =
            |streams: &[Output]| -> Vec<Stream> { streams.iter().map(Output::describe).collect() };
        if describe(&streams) != describe(&self.streams) || self.tables.is_empty() {
            self.flush(out);
            self.version = if self.tables.is_empty() { 0 } else { (self.version + 1) & 0x1F };
            self.last_tables = None;
            let pcr_pid = streams.first().map_or(super::NULL_PID, |first| first.pid);
            self.write_tables(&Pmt { version: self.version, pcr_pid, streams: describe(&streams) });
        }
        self.streams = streams;
    }

    /// Whether a track is carried.
    #[must_use]
    pub fn carries(&self, track: TrackId) -> bool {
        self.streams.iter().any(|stream| stream.track == track)
    }

    /// Takes a frame; appends what is complete by it.
    pub fn push(&mut self, frame: &Frame, out: &mut Vec<Unit>) {
        if matches!(frame.kind, FrameKind::Config | FrameKind::Data) || frame.data.is_empty() {
            return;
        }
        let Some(index) = self.streams.iter().position(|stream| stream.track == frame.track) else {
            return;
        };
        match frame.track.kind {
            TrackKind::Audio => self.push_sound(index, frame, out),
            _ => self.push_picture(index, frame, out),
        }
    }

    /// Whatever comes next begins with the tables, as a segment has to.
    pub fn repeat_tables(&mut self) {
        self.last_tables = None;
    }

    /// Completes what is gathered: nothing more comes, or not soon.
    pub fn flush(&mut self, out: &mut Vec<Unit>) {
        let Some(gathered) = self.gathered.take() else { return };
        let audio = |stream: &Output| stream.track.kind == TrackKind::Audio;
        let Some(index) = self.streams.iter().position(audio) else { return };
        let span = gathered.end - gathered.start;
        let (start, payload) = (gathered.start, &gathered.bytes);
        let bytes = self.packetise(index, start, start, span, payload, false);
        let (kind, track) = (FrameKind::Audio, TrackKind::Audio);
        out.push(Unit { bytes, kind, track, dts: gathered.first });
    }

    fn push_picture(&mut self, index: usize, frame: &Frame, out: &mut Vec<Unit>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let (pts, dts) = stream.times(frame);
        let step = stream.step;
        let key = frame.is_key();
        // Sound that waits in vain, or is of a time before a jump.
        let apart =
            |gathered: &Gathered| !(-MAX_STEP..=AUDIO_PATIENCE).contains(&(dts - gathered.start));
        if key || self.gathered.as_ref().is_some_and(apart) {
            self.flush(out);
        }
        if key {
            // Whoever begins here needs the tables first.
            self.last_tables = None;
        }
        let mut payload = std::mem::take(&mut self.scratch);
        payload.clear();
        if let Some(stream) = self.streams.get(index) {
            stream.mapping.form.write(frame, &mut payload);
        }
        let bytes = self.packetise(index, pts, dts, step, &payload, key);
        self.scratch = payload;
        out.push(Unit { bytes, kind: frame.kind, track: TrackKind::Video, dts: frame.dts });
    }

    fn push_sound(&mut self, index: usize, frame: &Frame, out: &mut Vec<Unit>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let (_, dts) = stream.times(frame);
        let step = stream.step.max(1);
        let end = dts + step;
        let bound = stream.mapping.form.bound(frame);
        if bound > MAX_AUDIO_PES {
            return;
        }
        let full = |gathered: &Gathered| {
            end - gathered.start > AUDIO_SPAN
                || dts < gathered.start
                // Only the first frame of a packet has a time; the others follow edge to edge.
                || dts - gathered.end > step / 2
                || gathered.bytes.len() + bound > MAX_AUDIO_PES
        };
        if self.gathered.as_ref().is_some_and(full) {
            self.flush(out);
        }
        let Some(stream) = self.streams.get(index) else { return };
        let gathered = self.gathered.get_or_insert_with(|| Gathered {
            first: frame.dts,
            start: dts,
            end: dts,
            bytes: BytesMut::new(),
        });
        if stream.mapping.form.write(frame, &mut gathered.bytes) {
            gathered.end = end;
        } else if gathered.bytes.is_empty() {
            self.gathered = None;
        }
    }

    /// One PES packet as transport packets; its bytes pass from `dts` on for about `span`.
    fn packetise(
        &mut self,
        index: usize,
        pts: i64,
        dts: i64,
        span: i64,
        payload: &[u8],
        key: bool,
    ) -> BytesMut {
        let Some(stream) = self.streams.get(index) else { return BytesMut::new() };
        let (pid, stream_id) = (stream.pid, stream.mapping.stream_id);
        let has_clock = index == 0;
        let mut out = BytesMut::with_capacity((payload.len() / 184 + 5) * PACKET);
        let mut header = BytesMut::with_capacity(pes::MAX_HEADER);
        pes::write_header(&mut header, stream_id, pts + LEAD, dts + LEAD, payload.len());
        let jumped = has_clock && self.has_jumped(dts);
        if !has_clock {
            // Where there are no pictures, their clock follows the sound.
            self.catch_up(dts - LEAD, &mut out);
        } else if self.last_pcr.is_none() {
            // The tables were those of another time line.
            self.last_tables = None;
        }
        // Only the stream that has the clock makes time pass.
        let (begin, span) = match self.last_pcr.filter(|_| !has_clock) {
            Some(now) => (now, 0),
            None => (dts, span.clamp(0, MAX_SPAN)),
        };
        let total = header.len() + payload.len();
        let mut rest: [&[u8]; 2] = [&header, payload];
        let mut left = total;
        let mut first = true;
        while left > 0 {
            // The sizes of frames fit into the 63 bits many times over.
            let passed = i64::try_from(total - left).unwrap_or_default();
            let time = begin + span * passed / i64::try_from(total).unwrap_or(i64::MAX);
            if has_clock {
                self.catch_up(time, &mut out);
            }
            if self.tables_due(if first { begin + span } else { time }) {
                self.put_tables(time, &mut out);
            }
            let clock = has_clock && self.clock_due(time, first);
            if clock {
                self.last_pcr = Some(time);
            }
            let adaptation = Adaptation {
                discontinuity: first && jumped,
                random_access: first && (key || stream_is_sound(stream_id)),
                pcr: clock.then_some(time),
            };
            let room = adaptation.room();
            let take = left.min(room);
            let counter = self.continuity(pid);
            *counter = (*counter + 1) & 0x0F;
            put_header(&mut out, pid, first, *counter, adaptation, room - take);
            let mut wanted = take;
            for piece in &mut rest {
                let (now, later) = piece.split_at(wanted.min(piece.len()));
                out.put_slice(now);
                wanted -= now.len();
                *piece = later;
            }
            left -= take;
            first = false;
        }
        out
    }

    /// The counter of a stream's packets.
    fn continuity(&mut self, pid: u16) -> &mut u8 {
        if pid == VIDEO_PID { &mut self.video_continuity } else { &mut self.audio_continuity }
    }

    /// Whether this time does not follow those before; the clock begins anew then.
    fn has_jumped(&mut self, time: i64) -> bool {
        let jumped = self.last_pcr.is_some_and(|last| (time - last).abs() > MAX_STEP);
        if jumped {
            self.last_pcr = None;
        }
        jumped
    }

    /// Tells the clock where packets are further apart than it may be silent, and the tables.
    fn catch_up(&mut self, until: i64, out: &mut BytesMut) {
        let (Some(last), Some(pid)) = (self.last_pcr, self.streams.first().map(|first| first.pid))
        else {
            return;
        };
        if until - last > MAX_STEP {
            return;
        }
        let mut time = last + PCR_SPAN;
        while time < until {
            if self.tables_due(time + PCR_SPAN) {
                self.put_tables(time, out);
            }
            let clock = Adaptation { pcr: Some(time), ..Adaptation::default() };
            // Without a payload the counter stays.
            put_clock(out, pid, *self.continuity(pid), clock);
            self.last_pcr = Some(time);
            time += PCR_SPAN;
        }
    }

    fn clock_due(&self, time: i64, first: bool) -> bool {
        self.last_pcr.is_none_or(|last| if first { time > last } else { time - last >= PCR_EARLY })
    }

    fn tables_due(&self, time: i64) -> bool {
        self.last_tables.is_none_or(|last| time - last >= TABLES_SPAN)
    }

    fn put_tables(&mut self, time: i64, out: &mut BytesMut) {
        self.pat_continuity = (self.pat_continuity + 1) & 0x0F;
        self.pmt_continuity = (self.pmt_continuity + 1) & 0x0F;
        let counters = [self.pat_continuity, self.pmt_continuity];
        for (packet, counter) in self.tables.chunks_exact_mut(PACKET).zip(counters) {
            if let Some(control) = packet.get_mut(3) {
                *control = 0x10 | counter;
            }
        }
        out.put_slice(&self.tables);
        self.last_tables = Some(time);
    }

    fn write_tables(&mut self, pmt: &Pmt) {
        self.tables.clear();
        let mut section = BytesMut::new();
        psi::write_pat(&mut section, 0, PROGRAM, PMT_PID);
        put_section(&mut self.tables, psi::PAT_PID, &section);
        section.clear();
        psi::write_pmt(&mut section, PROGRAM, pmt);
        put_section(&mut self.tables, PMT_PID, &section);
    }
}

impl Output {
    fn describe(&self) -> Stream {
        Stream {
            stream_type: self.mapping.stream_type,
            pid: self.pid,
            descriptors: self.mapping.descriptors.clone(),
        }
    }

    /// Presentation and decoding time of a frame: the latter rises and is never the later one,
    /// whatever composition time the publisher sent. Where both cannot be, a picture is shown late.
    fn times(&mut self, frame: &Frame) -> (i64, i64) {
        if let Some(samples) = self.samples_of(frame) {
            let base = frame.dts.base;
            let at = self.clock.place(frame.dts, samples);
            let wanted = clock::ticks(Ticks::new(at, base));
            self.step = clock::ticks(Ticks::new(at.saturating_add(samples), base)) - wanted;
            let dts = self.after_last(wanted);
            self.last_dts = Some(dts);
            return (dts, dts);
        }
        let pts = clock::ticks(frame.pts());
        let wanted = clock::ticks(frame.dts);
        self.lag = self.lag.max((wanted - pts).min(MAX_LAG));
        let dts = self.after_last(wanted - self.lag);
        // After a jump, frames are as long as before.
        let step = self.last_dts.map(|last| dts - last);
        self.step = step.filter(|step| (0..=MAX_STEP).contains(step)).unwrap_or(self.step);
        self.last_dts = Some(dts);
        (pts.max(dts), dts)
    }

    /// The decoding time, or a tick more than the last one if it would not rise; jumps stay.
    fn after_last(&self, dts: i64) -> i64 {
        match self.last_dts {
            Some(last) if dts <= last && last - dts < MAX_STEP => last + 1,
            _ => dts,
        }
    }

    /// How long the codec says that a frame of sound is, in ticks of its time.
    fn samples_of(&self, frame: &Frame) -> Option<i64> {
        let track = self.description.as_ref().filter(|track| track.id.kind == TrackKind::Audio)?;
        let Details::Audio(details) = &track.details else { return None };
        let samples = inspect::audio_samples(track, &frame.data)?;
        (samples > 0 && details.sample_rate == frame.dts.base.rate()).then(|| i64::from(samples))
    }
}

/// Sound can begin anywhere.
fn stream_is_sound(stream_id: u8) -> bool {
    stream_id != pes::VIDEO
}

/// What an adaptation field says.
#[derive(Debug, Clone, Copy, Default)]
struct Adaptation {
    discontinuity: bool,
    random_access: bool,
    pcr: Option<i64>,
}

impl Adaptation {
    /// Bytes of the field without stuffing.
    fn len(&self) -> usize {
        match self {
            Self { pcr: Some(_), .. } => 8,
            Self { discontinuity: false, random_access: false, .. } => 0,
            _ => 2,
        }
    }

    /// Bytes that remain for the payload.
    fn room(&self) -> usize {
        PACKET - 4 - self.len()
    }

    /// Appends the field, with so many bytes of stuffing.
    fn write(self, out: &mut BytesMut, stuffing: usize) {
        let length = self.len() + stuffing;
        // At most 184, so that it fits a byte.
        out.put_u8(u8::try_from(length.saturating_sub(1)).unwrap_or_default());
        if length < 2 {
            return;
        }
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.put_u8(
            flag(self.discontinuity, 0x80)
                | flag(self.random_access, 0x40)
                | flag(self.pcr.is_some(), 0x10),
        );
        let mut written = 2;
        if let Some(pcr) = self.pcr {
            // 33 bits, six reserved, an extension of zero at 27 MHz.
            let [_, _, bytes @ ..] = (clock::wrap(pcr) << 15 | 0x7E00).to_be_bytes();
            out.put_slice(&bytes);
            written += bytes.len();
        }
        out.put_bytes(0xFF, length - written);
    }
}

fn put_header(
    out: &mut BytesMut,
    pid: u16,
    start: bool,
    continuity: u8,
    adaptation: Adaptation,
    stuffing: usize,
) {
    let adapts = adaptation.len() + stuffing > 0;
    out.put_u8(SYNC);
    out.put_u16(pid | if start { 0x4000 } else { 0 });
    out.put_u8(continuity | if adapts { 0x30 } else { 0x10 });
    if adapts {
        adaptation.write(out, stuffing);
    }
}

/// A packet of a clock and nothing else.
fn put_clock(out: &mut BytesMut, pid: u16, continuity: u8, adaptation: Adaptation) {
    out.put_u8(SYNC);
    out.put_u16(pid);
    out.put_u8(0x20 | continuity);
    adaptation.write(out, adaptation.room());
}

/// A table that fits into a packet, with the counter left open.
fn put_section(out: &mut BytesMut, pid: u16, section: &[u8]) {
    out.put_u8(SYNC);
    out.put_u16(0x4000 | pid);
    out.put_u8(0x10);
    out.put_u8(0);
    let len = section.len().min(PACKET - 5);
    out.put_slice(section.get(..len).unwrap_or_default());
    out.put_bytes(0xFF, PACKET - 5 - len);
}
