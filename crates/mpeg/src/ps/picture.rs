//! An elementary stream of pictures: where access units begin and end (ITU-T H.264 §7.4.1.2.3,
//! H.265 §7.4.2.4.4), which of both it is, and when they are.
//!
//! A time belongs to the first access unit that begins in its packet (ISO/IEC 13818-1 §2.4.3.7).

use bytes::{Buf, BytesMut};
use media::{Codec, Track, h264, h265};

use super::demux::Output;
use super::map;
use super::time::{Clock, Times};
use crate::es::Parser;

/// The largest access unit: a key picture of a camera has less than a tenth of it.
const MAX_UNIT: usize = 8 << 20;

/// Start codes of other codecs before the stream is taken for one of them, if it has no
/// parameter sets: one could be damaged.
const FOREIGN: u8 = 16;

/// Ends of pictures that the transport told rightly before it is believed.
const TRUST: u8 = 8;

/// No access unit is that long.
const CONTRADICTED: usize = usize::MAX;

/// Zero bytes that are looked for before a start code: one is usual.
const MAX_ZEROS: usize = 8;

/// How long a picture lasts as long as nothing is known of it: 25 per second.
const DURATION: i64 = 3600;

/// Bytes of a NAL unit that tell its meaning: the header, and the first bit of a slice.
const MEANING: usize = 3;

/// Puts one stream's pictures together.
#[derive(Debug)]
pub(super) struct Pictures {
    track: Option<Track>,
    parser: Parser,
    /// The map says that it is of a codec that is not known here.
    left_out: bool,
    /// Start codes that NAL units cannot have, before the first parameter set.
    foreign: u8,
    /// The access unit in hand, as a byte stream.
    unit: BytesMut,
    /// Start codes before this place of it are known.
    scanned: usize,
    /// Where its last NAL unit begins, without start code.
    nal: Option<usize>,
    has_slice: bool,
    /// Its beginning is missing: it goes on until the next one begins.
    torn: bool,
    times: Option<Times>,
    /// RTP's time when it began.
    timestamp: Option<i64>,
    packet: Packet,
    /// How long it was when the transport said that it ends; [`CONTRADICTED`] if it said so twice.
    ended: Option<usize>,
    /// The transport was believed, and nothing has come since.
    fresh: bool,
    /// How often the transport was right.
    trust: u8,
    last: Option<Last>,
    duration: i64,
}

/// The PES packet that is being read; or one before it that has times, while it is not known yet
/// what begins in its last bytes.
#[derive(Debug)]
struct Packet {
    /// Its times, as long as they belong to no access unit.
    times: Option<Times>,
    timestamp: Option<i64>,
    /// Where its payload begins and ends in the access unit in hand.
    start: usize,
    end: Option<usize>,
}

/// The access unit before.
#[derive(Debug, Clone, Copy)]
struct Last {
    pts: i64,
    timestamp: Option<i64>,
}

impl Pictures {
    /// For a stream that the map says this of.
    pub(super) fn new(stream_type: Option<u8>) -> Self {
        Self {
            track: None,
            // The parameter sets tell if it is another.
            parser: Parser::new(match stream_type.and_then(map::codec) {
                Some(Codec::H265) => Codec::H265,
                _ => Codec::H264,
            }),
            left_out: stream_type.is_some_and(|number| map::name(number).is_some()),
            foreign: 0,
            unit: BytesMut::new(),
            scanned: 0,
            nal: None,
            has_slice: false,
            // Reading may begin within a picture.
            torn: true,
            times: None,
            timestamp: None,
            packet: Packet { times: None, timestamp: None, start: 0, end: None },
            ended: None,
            fresh: false,
            trust: 0,
            last: None,
            duration: DURATION,
        }
    }

    /// The map says this of it.
    pub(super) fn announce(&mut self, stream_type: Option<u8>, out: &mut Output) {
        let left_out = stream_type.is_some_and(|number| map::name(number).is_some());
        if left_out != self.left_out {
            self.lose(out);
            (self.left_out, self.foreign) = (left_out, 0);
        }
    }

    /// Whether this is some codec that is not known here, and no map said so.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign >= FOREIGN
    }

    pub(super) fn has_track(&self) -> bool {
        self.track.is_some()
    }

    /// A packet begins.
    pub(super) fn begin(&mut self, times: Option<Times>, timestamp: Option<i64>) {
        let length = self.unit.len();
        let end = *self.packet.end.get_or_insert(length);
        let pending = self.zeros_before(self.scanned);
        if times.is_some() || self.packet.times.is_none() || pending >= end {
            self.packet = Packet { times, timestamp, start: length, end: None };
        }
    }

    /// Takes bytes of the packet.
    pub(super) fn push(&mut self, bytes: &[u8], clock: &Clock, out: &mut Output) {
        if self.left_out || self.is_foreign() {
            return;
        }
        self.unit.extend_from_slice(bytes);
        self.scan(false, clock, out);
        if self.unit.len() > MAX_UNIT {
            self.lose(out);
        }
    }

    /// The access unit in hand is complete: nothing follows.
    pub(super) fn finish(&mut self, clock: &Clock, out: &mut Output) {
        self.scan(true, clock, out);
        self.end(self.unit.len(), self.unit.len(), clock, out);
        self.torn = true;
    }

    /// Parts of the access unit in hand are missing.
    pub(super) fn lose(&mut self, out: &mut Output) {
        if !self.torn && !self.unit.is_empty() {
            out.statistics.torn += 1;
            // Parameter sets that are whole are good for what follows.
            let whole = self.nal.map_or(0, |nal| nal.saturating_sub(3));
            let whole = self.unit.split_to(whole.min(self.unit.len())).freeze();
            self.parser.push(&whole, None);
            out.track(&mut self.track, &mut self.parser);
        }
        self.unit.clear();
        self.restart();
        self.torn = true;
        self.packet.move_back(usize::MAX);
    }

    /// The transport says that a picture ends here, `pending` bytes after what was pushed. Returns
    /// whether it has been right for long enough to be believed.
    pub(super) fn hint(&mut self, pending: usize) -> bool {
        let end = self.unit.len() + pending;
        if end > 0 && self.ended.replace(end).is_some_and(|before| before != end) {
            self.ended = Some(CONTRADICTED);
            self.distrust();
        }
        self.trust >= TRUST
    }

    /// The access unit in hand is complete if the transport, which is believed, is right.
    pub(super) fn complete(&mut self, clock: &Clock, out: &mut Output) {
        if self.has_slice && !self.torn {
            self.finish(clock, out);
            self.fresh = true;
        }
    }

    /// The transport said that a picture ends where none can.
    pub(super) fn distrust(&mut self) {
        self.trust = 0;
    }

    /// Finds what begins in the bytes that are new. The last NAL unit is complete if `all` is.
    fn scan(&mut self, all: bool, clock: &Clock, out: &mut Output) {
        loop {
            let rest = self.unit.get(self.scanned..).unwrap_or_default();
            let Some(found) = find_start_code(rest) else {
                // The last two bytes may belong to a start code.
                self.scanned = self.scanned.max(self.unit.len().saturating_sub(2));
                break;
            };
            let code = self.scanned + found;
            let rest = self.unit.get(code + 3..).unwrap_or_default();
            if rest.is_empty() || rest.len() < MEANING && !all {
                self.scanned = code;
                break;
            }
            let meaning = Meaning::of(self.parser.codec(), rest);
            if self.adopt_codec(code) {
                // What is in hand is read again, with other eyes.
                continue;
            }
            self.scanned = self.begin_nal(code, meaning, clock, out) + 3;
        }
        if all {
            self.adopt_codec(self.unit.len());
        }
        if self.torn {
            // Nobody wants what is before the NAL unit in hand.
            let nal = self.nal.map_or(self.scanned, |nal| nal.saturating_sub(3));
            self.cut(self.zeros_before(nal));
        }
    }

    /// A NAL unit begins with the start code at `code`. Returns where that is afterwards.
    fn begin_nal(
        &mut self,
        code: usize,
        meaning: Meaning,
        clock: &Clock,
        out: &mut Output,
    ) -> usize {
        if meaning == Meaning::Foreign && !self.parser.is_configured() {
            self.foreign = self.foreign.saturating_add(1);
        }
        let begin = self.zeros_before(code);
        let in_packet =
            code + 3 > self.packet.start && self.packet.end.is_none_or(|end| begin < end);
        let is_first = in_packet && begin <= self.packet.start;
        let times = self.packet.times.filter(|_| in_packet);
        let is_new_time = times.is_some_and(|times| Some(times) != self.times);
        let leads = matches!(meaning, Meaning::First | Meaning::Before);
        if std::mem::take(&mut self.fresh) && !(leads && begin == 0) {
            // The picture goes on after what was taken for its end.
            self.distrust();
        }
        let starts = if self.torn {
            leads || is_set_of_h265(self.unit.get(code + 3..).unwrap_or_default())
        } else {
            let parts = leads || meaning == Meaning::Extension;
            self.has_slice && (parts || is_first && is_new_time && self.times.is_some())
        };
        let mut at = code;
        if starts {
            self.end(begin, code, clock, out);
            self.torn = false;
            at -= begin;
        }
        if times.is_some() {
            if starts || !self.has_slice {
                self.times = times;
                self.packet.times = None;
            } else if !is_new_time {
                self.packet.times = None;
            }
        }
        if self.nal.is_none() {
            self.timestamp = self.packet.timestamp;
        }
        self.has_slice |= matches!(meaning, Meaning::First | Meaning::Slice) && !self.torn;
        self.nal = Some(at + 3);
        at
    }

    /// The NAL unit before `end` is complete: a sequence parameter set tells the codec, whatever
    /// the map says. Returns whether it is another one.
    fn adopt_codec(&mut self, end: usize) -> bool {
        let Some(start) = self.nal.take() else { return false };
        let unit = self.unit.get(start..end).unwrap_or_default();
        let Some(codec) = codec_of_set(unit).filter(|codec| *codec != self.parser.codec()) else {
            self.nal = Some(start);
            return false;
        };
        self.parser = Parser::new(codec);
        self.has_slice = false;
        self.torn = false;
        self.scanned = 0;
        if codec == Codec::H264 {
            // Nothing that is needed comes before it.
            self.cut(start.saturating_sub(3));
            self.scanned = 0;
        }
        true
    }

    /// The access unit in hand ends at `end`; from there to `next` are zero bytes.
    fn end(&mut self, end: usize, next: usize, clock: &Clock, out: &mut Output) {
        if let Some(ended) = self.ended.take() {
            let right = (end..=next).contains(&ended);
            self.trust = if right { self.trust.saturating_add(1) } else { 0 };
        }
        let bytes = self.unit.split_to(end.min(self.unit.len())).freeze();
        self.packet.move_back(end);
        let (has_slice, torn) = (self.has_slice, self.torn);
        let (times, timestamp) = (self.times, self.timestamp);
        self.restart();
        if torn || bytes.is_empty() {
            return;
        }
        if !has_slice {
            self.parser.push(&bytes, None);
            out.track(&mut self.track, &mut self.parser);
            return;
        }
        let (pts, dts) = times.unwrap_or_else(|| (self.estimate(timestamp, clock), None));
        if let Some(last) = self.last {
            let step = pts - last.pts;
            if (1..=90_000).contains(&step) {
                self.duration = step;
            }
        }
        self.last = Some(Last { pts, timestamp });
        let units = self.parser.push(&bytes, Some((pts, dts.unwrap_or(pts))));
        out.track(&mut self.track, &mut self.parser);
        for unit in units {
            out.unit(self.track.as_ref(), unit, dts);
        }
    }

    /// The time of an access unit that has none.
    fn estimate(&self, timestamp: Option<i64>, clock: &Clock) -> i64 {
        let moved = timestamp.filter(|_| self.last.is_none_or(|last| last.timestamp != timestamp));
        match (moved, self.last) {
            (Some(timestamp), _) => clock.at(timestamp),
            (None, Some(last)) => last.pts.saturating_add(self.duration),
            (None, None) => 0,
        }
    }

    /// Where the zero bytes begin that precede a place: they belong to the start code that follows
    /// them (H.264 annex B).
    fn zeros_before(&self, at: usize) -> usize {
        let before = self.unit.get(..at).unwrap_or_default();
        let zeros = before.iter().rev().take(MAX_ZEROS).take_while(|byte| **byte == 0).count();
        at - zeros
    }

    /// Drops what is in hand before this place.
    fn cut(&mut self, at: usize) {
        self.unit.advance(at.min(self.unit.len()));
        self.scanned = self.scanned.saturating_sub(at);
        self.nal = self.nal.and_then(|nal| nal.checked_sub(at));
        self.packet.move_back(at);
        self.ended = self.ended.and_then(|ended| ended.checked_sub(at));
    }

    /// The next access unit begins where the one in hand ended.
    fn restart(&mut self) {
        self.scanned = 0;
        self.nal = None;
        self.has_slice = false;
        self.times = None;
        self.timestamp = self.packet.timestamp;
        self.ended = None;
    }
}

impl Packet {
    /// So many bytes before it, or of it, are no longer in hand.
    fn move_back(&mut self, count: usize) {
        self.start = self.start.saturating_sub(count);
        self.end = self.end.map(|end| end.saturating_sub(count));
    }
}

/// What a NAL unit says about where access units begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The first slice of a picture.
    First,
    /// Another slice.
    Slice,
    /// It precedes the first slice of its picture.
    Before,
    /// As that, of extensions: never the first of an access unit that can be decoded.
    Extension,
    /// Nothing.
    Other,
    /// It is no NAL unit.
    Foreign,
}

impl Meaning {
    fn of(codec: Codec, unit: &[u8]) -> Self {
        let [header, second, third] = match *unit {
            [a, b, c, ..] => [a, b, c],
            [a, b] => [a, b, 0],
            [a] => [a, 0, 0],
            [] => return Self::Other,
        };
        if header & 0x80 != 0 {
            return Self::Foreign;
        }
        let slice = |first: u8| if first & 0x80 == 0 { Self::Slice } else { Self::First };
        if codec == Codec::H265 {
            let layer = (header & 1) << 5 | second >> 3;
            return match header >> 1 {
                _ if layer > 0 => Self::Other,
                0..=31 => slice(third),
                32..=35 | 39 => Self::Before,
                41..=44 | 48..=55 => Self::Extension,
                _ => Self::Other,
            };
        }
        match header & 0x1F {
            // A first_mb_in_slice of zero is one bit.
            1 | 2 | 5 => slice(second),
            6..=9 => Self::Before,
            15..=18 => Self::Extension,
            _ => Self::Other,
        }
    }
}

/// Whether a NAL unit begins as parameter sets of H.265 do. In H.264, it would be a kind that
/// nobody uses.
fn is_set_of_h265(unit: &[u8]) -> bool {
    matches!(unit, [0x40 | 0x42 | 0x44, second, ..] if second >> 3 == 0)
}

/// The codec of which a NAL unit is a sequence parameter set.
fn codec_of_set(unit: &[u8]) -> Option<Codec> {
    match *unit {
        [header, ..] if header & 0x9F == 7 && h264::Sps::parse(unit).is_ok() => Some(Codec::H264),
        [0x42, second, ..] if second >> 3 == 0 && h265::Sps::parse(unit).is_ok() => {
            Some(Codec::H265)
        }
        _ => None,
    }
}

/// Where the first `00 00 01` is.
fn find_start_code(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&[a, b, c]) = data.get(at..at + 3) {
        if c > 1 {
            at += 3;
        } else if [a, b, c] == [0, 0, 1] {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}
