//! Payloads of PES packets to access units: byte streams, ADTS, frames of audio codecs that say
//! their length, Opus behind control headers, samples of G.711.

use bytes::{Buf, Bytes, BytesMut};
use media::{
    Codec, Details, FrameKind, Reader, TimeBase, Track, TrackId, TrackKind, Units, aac, ac3, h264,
    h265, inspect, mp3, nal, opus,
};

use super::{EXTENSION, OPUS_EXTENSION, REGISTRATION};
use crate::psi::{Stream, StreamType};

/// What is left of a frame of sound until the next PES packet: longer than any frame.
const MAX_CARRY: usize = 64 << 10;

/// Frames of sound in one PES packet: a second of the shortest ones.
const MAX_FRAMES: usize = 1024;

/// An access unit, at times of the 90 kHz clock.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) kind: FrameKind,
    pub(crate) data: Bytes,
    pub(crate) units: Units,
}

/// Reads one elementary stream.
#[derive(Debug)]
pub(crate) struct Parser {
    codec: Codec,
    config: Bytes,
    details: Details,
    time_base: TimeBase,
    changed: bool,
    sets: Sets,
    /// Sound that goes on in the next packet.
    carry: BytesMut,
    /// Where the next sound is, if its packet does not say.
    next: Option<i64>,
    /// What that is later, in parts of a tick of which the sample rate makes a whole one.
    fraction: i64,
}

#[derive(Debug)]
enum Sets {
    None,
    H264(h264::Config),
    H265(h265::Config),
}

impl Parser {
    /// A parser for a stream of the map; `None` if its kind is not understood.
    pub(crate) fn of(stream: &Stream) -> Option<Self> {
        let registered =
            |name: &[u8]| stream.descriptors(REGISTRATION).any(|d| d.starts_with(name));
        let codec = match stream.stream_type {
            StreamType::H264 => Codec::H264,
            StreamType::H265 => Codec::H265,
            StreamType::Adts => Codec::Aac,
            StreamType::Mpeg1Audio | StreamType::Mpeg2Audio => Codec::Mp3,
            StreamType::Ac3 => Codec::Ac3,
            StreamType::Eac3 => Codec::Eac3,
            StreamType::Private if registered(b"Opus") => Codec::Opus,
            StreamType::Private if registered(b"AC-3") => Codec::Ac3,
            StreamType::Private if registered(b"EAC3") => Codec::Eac3,
            StreamType::Private if registered(b"HEVC") => Codec::H265,
            _ => return None,
        };
        let mut parser = Self::new(codec);
        if codec == Codec::Opus {
            let channels = stream.descriptors(EXTENSION).find_map(|body| match body {
                [OPUS_EXTENSION, channels @ 1..=8, ..] => Some(*channels),
                _ => None,
            });
            parser.configure(opus::Head::new(channels.unwrap_or(2)).to_bytes());
        }
        Some(parser)
    }

    /// A parser for a codec whose configuration is in its frames, or that has none.
    pub(crate) fn new(codec: Codec) -> Self {
        let mut parser = Self {
            codec,
            config: Bytes::new(),
            details: Details::Unknown,
            time_base: TimeBase::VIDEO,
            changed: false,
            sets: Sets::None,
            carry: BytesMut::new(),
            next: None,
            fraction: 0,
        };
        if matches!(codec, Codec::PcmA | Codec::PcmU)
            && let Ok(details) = inspect::details(codec, &[])
        {
            parser.describe(details);
        }
        parser
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether a configuration was seen, or none is needed.
    pub(crate) fn is_configured(&self) -> bool {
        self.details != Details::Unknown
    }

    /// Where the next sound is if its packet does not say, on the 90 kHz clock.
    pub(crate) fn due(&self) -> Option<i64> {
        self.next
    }

    /// Bytes are missing before the next payload: the frame of sound in hand is none.
    pub(crate) fn lose(&mut self) {
        self.carry.clear();
    }

    pub(crate) fn kind(&self) -> TrackKind {
        match self.codec {
            Codec::H264 | Codec::H265 => TrackKind::Video,
            _ => TrackKind::Audio,
        }
    }

    /// Whether both read the same kind of stream.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.codec == other.codec
    }

    pub(crate) fn time_base(&self) -> TimeBase {
        self.time_base
    }

    /// The track, if it is not known as it is now.
    pub(crate) fn take_change(&mut self, id: TrackId) -> Option<Track> {
        std::mem::take(&mut self.changed).then(|| Track {
            id,
            codec: self.codec,
            time_base: self.time_base,
            config: self.config.clone(),
            color_info: None,
            enhanced: !matches!(
                self.codec,
                Codec::H264 | Codec::Aac | Codec::Mp3 | Codec::PcmA | Codec::PcmU
            ),
            details: self.details.clone(),
        })
    }

    /// The access units of a payload with its times. What comes before a configuration is known is
    /// left out.
    pub(crate) fn push(&mut self, payload: &Bytes, times: Option<(i64, i64)>) -> Vec<Unit> {
        match self.codec {
            Codec::H264 | Codec::H265 => self.picture(payload, times).into_iter().collect(),
            Codec::Opus => self.opus(payload, times),
            Codec::PcmA | Codec::PcmU => self.samples(payload, times).into_iter().collect(),
            _ => self.sound(payload, times),
        }
    }

    fn configure(&mut self, config: Bytes) {
        if let Ok(details) = inspect::details(self.codec, &config) {
            self.describe(details);
            if self.config != config {
                (self.config, self.changed) = (config, true);
            }
        }
    }

    fn describe(&mut self, details: Details) {
        if self.kind() == TrackKind::Audio {
            self.time_base = inspect::time_base(self.codec, &details);
        }
        self.changed |= self.details != details;
        self.details = details;
    }

    fn picture(&mut self, payload: &Bytes, times: Option<(i64, i64)>) -> Option<Unit> {
        let mut found = Vec::new();
        let codec = self.codec;
        let (data, units) = nal::from_annex_b(payload, |unit| {
            let (set, delimiter) = match codec {
                Codec::H264 => (
                    h264::is_parameter_set(unit),
                    h264::NalType::of(unit) == Some(h264::NalType::AccessUnitDelimiter),
                ),
                _ => (
                    h265::is_parameter_set(unit),
                    h265::NalType::of(unit) == Some(h265::NalType::AccessUnitDelimiter),
                ),
            };
            if set {
                found.push(Bytes::copy_from_slice(unit));
            }
            // forbidden_zero_bit: what has it is damaged, or no NAL unit at all.
            set || delimiter || unit.first().is_some_and(|header| header & 0x80 != 0)
        })
        .ok()?;
        if !found.is_empty() {
            self.adopt(&found);
        }
        let (pts, dts) = times?;
        if data.is_empty() || self.config.is_empty() {
            return None;
        }
        let key = inspect::is_key(codec, &data, &units).unwrap_or(false);
        let kind = if key { FrameKind::Key } else { FrameKind::Delta };
        Some(Unit { pts, dts, kind, data, units })
    }

    /// Takes parameter sets.
    fn adopt(&mut self, found: &[Bytes]) {
        let units = || found.iter().map(|unit| &**unit);
        let changed = match (&mut self.sets, self.codec) {
            (Sets::H264(sets), _) => units().fold(false, |c, unit| sets.merge(unit) | c),
            (Sets::H265(sets), _) => units().fold(false, |c, unit| sets.merge(unit) | c),
            (Sets::None, Codec::H264) => match h264::Config::from_parameter_sets(units()) {
                Ok(sets) => {
                    self.sets = Sets::H264(sets);
                    true
                }
                Err(_) => false,
            },
            (Sets::None, _) => match h265::Config::from_parameter_sets(units()) {
                Ok(sets) => {
                    self.sets = Sets::H265(sets);
                    true
                }
                Err(_) => false,
            },
        };
        if changed {
            let record = match &self.sets {
                Sets::H264(sets) => sets.clone().canonical().to_bytes(),
                Sets::H265(sets) => sets.clone().canonical().to_bytes(),
                Sets::None => return,
            };
            self.configure(record);
        }
    }

    /// Frames that say how long they are.
    fn sound(&mut self, payload: &[u8], times: Option<(i64, i64)>) -> Vec<Unit> {
        // The time is that of the first frame that begins in the packet.
        let carried = self.carry.len();
        self.carry.extend_from_slice(payload);
        let data = self.carry.split().freeze();
        let mut at = 0;
        let mut out = Vec::new();
        let mut timed = times.map(|(pts, _)| pts);
        while out.len() < MAX_FRAMES {
            let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) else { break };
            let header = self.frame(rest);
            if header.is_none() && rest.len() >= MIN_SYNC {
                // Damaged.
                at += 1;
                continue;
            }
            if at >= carried
                && let Some(time) = timed.take()
            {
                (self.next, self.fraction) = (Some(time), 0);
            }
            let frame = header.and_then(|(header, length, _)| rest.get(header..length));
            let (Some((_, length, samples)), Some(frame)) = (header, frame) else {
                // It goes on in the next packet.
                if rest.len() <= MAX_CARRY {
                    self.carry.extend_from_slice(rest);
                }
                break;
            };
            if let Some(time) = self.next {
                let kind = FrameKind::Audio;
                let data = data.slice_ref(frame);
                out.push(Unit { pts: time, dts: time, kind, data, units: Units::new() });
                self.advance(samples.into());
            }
            at += length.max(1);
        }
        out
    }

    /// A sample in each byte: all that a packet has are one frame.
    fn samples(&mut self, payload: &Bytes, times: Option<(i64, i64)>) -> Option<Unit> {
        if let Some((pts, _)) = times {
            (self.next, self.fraction) = (Some(pts), 0);
        }
        let time = self.next.filter(|_| !payload.is_empty())?;
        self.advance(i64::try_from(payload.len()).unwrap_or_default());
        let (kind, data) = (FrameKind::Audio, payload.clone());
        Some(Unit { pts: time, dts: time, kind, data, units: Units::new() })
    }

    /// The next sound comes so many samples later.
    fn advance(&mut self, samples: i64) {
        let Some(time) = self.next else { return };
        let rate = i64::from(self.time_base.rate().max(1));
        let parts = samples * 90_000 + self.fraction;
        (self.next, self.fraction) = (Some(time + parts / rate), parts % rate);
    }

    /// The frame that `data` begins with: bytes of its header that are not part of it, its length
    /// with them, its samples.
    fn frame(&mut self, data: &[u8]) -> Option<(usize, usize, u32)> {
        match self.codec {
            Codec::Aac => {
                let header = aac::adts::Header::parse(data).ok()?;
                self.configure(header.config().to_bytes()?);
                let samples = 1024 * u32::from(header.blocks.max(1));
                Some((header.header_length, header.frame_length, samples))
            }
            Codec::Mp3 => {
                let header = mp3::Header::parse(data).ok()?;
                self.describe(Details::Audio(header.details()));
                Some((0, header.length?, header.samples))
            }
            _ => {
                let header = ac3::Header::parse(data).ok()?;
                self.describe(Details::Audio(header.details()));
                Some((0, header.length, header.samples))
            }
        }
    }

    /// Packets behind control headers (Encapsulation of Opus in MPEG-TS §4).
    fn opus(&mut self, payload: &Bytes, times: Option<(i64, i64)>) -> Vec<Unit> {
        if let Some((pts, _)) = times {
            self.next = Some(pts);
        }
        let mut rest = payload.clone();
        let mut out = Vec::new();
        while out.len() < MAX_FRAMES {
            let Some((header, size)) = opus_control(&rest) else { break };
            rest.advance(header.min(rest.len()));
            if size == 0 || size > rest.len() {
                break;
            }
            let data = rest.split_to(size);
            let Some(time) = self.next else { break };
            let samples = opus::samples(&data).unwrap_or(0);
            self.next = Some(time + i64::from(samples) * 90_000 / 48_000);
            let kind = FrameKind::Audio;
            out.push(Unit { pts: time, dts: time, kind, data, units: Units::new() });
        }
        out
    }
}

/// The shortest run of bytes that all headers can be read from.
const MIN_SYNC: usize = 16;

/// Length of a control header, and of the packet behind it.
fn opus_control(data: &[u8]) -> Option<(usize, usize)> {
    let mut r = Reader::new(data);
    let head = r.u16().ok()?;
    if head & 0xFFE0 != 0x7FE0 {
        return None;
    }
    let mut size = 0usize;
    loop {
        let byte = r.u8().ok()?;
        size += usize::from(byte);
        if byte < 255 {
            break;
        }
    }
    for trim in [0x10, 0x08] {
        if head & trim != 0 {
            r.u16().ok()?;
        }
    }
    if head & 0x04 != 0 {
        let length = r.u8().ok()?;
        r.take(length.into()).ok()?;
    }
    Some((r.offset(), size))
}
