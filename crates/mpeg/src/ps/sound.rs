//! An elementary stream of sound: which codec it is, and when its frames are.
//!
//! The map is asked first, but the bytes have the last word where they can: ADTS headers one after
//! the other are AAC, whatever was announced. Samples of G.711 cannot be told from noise; without a
//! map they are A-law, unless they look more like µ-law.

use bytes::Bytes;
use media::{Codec, Track, aac, mp3};

use super::demux::Output;
use super::map;
use super::time::{Clock, Times};
use crate::es::Parser;

/// Sound that is looked at if no map tells what it is: half a second of G.711.
const MAX_HELD: usize = 4096;

/// Packets in a row that must contradict the codec until another is taken.
const DOUBTS: u8 = 3;

/// Packets in a row in which no frame was found, until the codec is thought over: frames are much
/// shorter.
const BARREN: u8 = 32;

/// Headers one after the other that no other data has.
const FRAMES: usize = 3;

/// Time that RTP's clock may be ahead or behind before sound without times follows it: 500 ms.
const DRIFT: i64 = 45_000;

/// Reads one stream's sound.
#[derive(Debug)]
pub(super) struct Sound {
    track: Option<Track>,
    /// What the map says.
    stream_type: Option<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// What it is is not known yet.
    Open { held: Vec<Packet> },
    /// It is read. The packets in a row that look like another codec, and those without a frame.
    Known { parser: Box<Parser>, doubts: u8, barren: u8 },
    /// It is of a codec that is not known here.
    LeftOut,
}

#[derive(Debug)]
struct Packet {
    payload: Bytes,
    times: Option<Times>,
    timestamp: Option<i64>,
}

impl Sound {
    /// For a stream that the map says this of.
    pub(super) fn new(stream_type: Option<u8>) -> Self {
        let mut sound = Self { track: None, stream_type: None, state: State::open() };
        sound.announce(stream_type);
        sound
    }

    /// The map says this of it.
    pub(super) fn announce(&mut self, stream_type: Option<u8>) {
        if self.stream_type == stream_type {
            return;
        }
        self.stream_type = stream_type;
        let codec = stream_type.and_then(map::codec);
        match &self.state {
            _ if stream_type.is_some() && codec.is_none() => self.state = State::LeftOut,
            // What is held is still good, and what is no longer in the map goes on.
            State::Open { .. } => {}
            State::Known { parser, .. } if codec.is_none_or(|codec| codec == parser.codec()) => {}
            State::Known { .. } | State::LeftOut => self.state = State::open(),
        }
    }

    pub(super) fn has_track(&self) -> bool {
        self.track.is_some()
    }

    /// Takes the payload of a packet.
    pub(super) fn push(
        &mut self,
        payload: Bytes,
        times: Option<Times>,
        timestamp: Option<i64>,
        clock: &Clock,
        out: &mut Output,
    ) {
        if payload.is_empty() {
            return;
        }
        let packet = Packet { payload, times, timestamp };
        match &mut self.state {
            State::LeftOut => {}
            State::Open { held } => {
                held.push(packet);
                self.decide(false, clock, out);
            }
            State::Known { parser, doubts, barren } => {
                let is_other = is_pcm(parser.codec()) && evidence(&packet.payload).is_some();
                *doubts = if is_other { *doubts + 1 } else { 0 };
                *barren = match packet.read(parser, &mut self.track, clock, out) {
                    0 => barren.saturating_add(1),
                    _ => 0,
                };
                let announced = self.stream_type.and_then(map::codec);
                if *doubts >= DOUBTS || *barren >= BARREN && announced != Some(parser.codec()) {
                    self.state = State::open();
                }
            }
        }
    }

    /// Bytes are missing before the next packet.
    pub(super) fn lose(&mut self) {
        if let State::Known { parser, .. } = &mut self.state {
            parser.lose();
        }
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self, clock: &Clock, out: &mut Output) {
        if matches!(self.state, State::Open { .. }) {
            self.decide(true, clock, out);
        }
        self.lose();
    }

    /// Reads what was held if it is enough to know the codec by, or `all` there is.
    fn decide(&mut self, all: bool, clock: &Clock, out: &mut Output) {
        let State::Open { held } = &mut self.state else { return };
        let Some(codec) = choose(self.stream_type, held, all) else { return };
        let held = std::mem::take(held);
        let mut parser = Box::new(Parser::new(codec));
        for packet in held {
            packet.read(&mut parser, &mut self.track, clock, out);
        }
        self.state = State::Known { parser, doubts: 0, barren: 0 };
    }
}

impl State {
    fn open() -> Self {
        Self::Open { held: Vec::new() }
    }
}

impl Packet {
    /// Hands out the frames that are complete now. Returns how many.
    fn read(
        &self,
        parser: &mut Parser,
        track: &mut Option<Track>,
        clock: &Clock,
        out: &mut Output,
    ) -> usize {
        let by_rtp = self.timestamp.map(|timestamp| clock.at(timestamp));
        let time = match (self.times, by_rtp, parser.due()) {
            (Some((pts, _)), ..) => Some(pts),
            (None, Some(time), Some(due)) if (time - due).abs() > DRIFT => Some(time),
            (None, _, Some(_)) => None,
            (None, time, None) => Some(time.unwrap_or(0)),
        };
        let units = parser.push(&self.payload, time.map(|time| (time, time)));
        out.track(track, parser);
        let count = units.len();
        for unit in units {
            out.unit(track.as_ref(), unit, None);
        }
        count
    }
}

/// The codec of these packets, if they are enough to tell.
fn choose(stream_type: Option<u8>, held: &[Packet], all: bool) -> Option<Codec> {
    let announced = stream_type.and_then(map::codec);
    let bytes: Vec<u8> = held.iter().flat_map(|packet| packet.payload.iter().copied()).collect();
    match announced {
        Some(codec) if is_pcm(codec) => Some(evidence(&bytes).unwrap_or(codec)),
        Some(codec @ (Codec::Aac | Codec::Mp3)) => Some(codec),
        _ => evidence(&bytes).or_else(|| (all || bytes.len() >= MAX_HELD).then(|| guess(&bytes))),
    }
}

fn is_pcm(codec: Codec) -> bool {
    matches!(codec, Codec::PcmA | Codec::PcmU)
}

/// The codec whose headers are in the data, one where the frame before ends.
fn evidence(data: &[u8]) -> Option<Codec> {
    let adts = |data: &[u8]| aac::adts::Header::parse(data).ok().map(|header| header.frame_length);
    let mpeg = |data: &[u8]| mp3::Header::parse(data).ok().and_then(|header| header.length);
    // A frame that fills its packet is enough where the headers say as much as those of ADTS.
    let (frames, is_whole) = chain(data, adts);
    if is_whole && frames > 0 {
        return Some(Codec::Aac);
    }
    (0..data.len()).filter(|at| data.get(*at) == Some(&0xFF)).find_map(|at| {
        let rest = data.get(at..)?;
        if chain(rest, adts).0 >= FRAMES {
            return Some(Codec::Aac);
        }
        (chain(rest, mpeg).0 >= FRAMES).then_some(Codec::Mp3)
    })
}

/// Counts headers that follow one another from the first byte on, up to [`FRAMES`]; and whether
/// the last frame ends where the data does.
fn chain(data: &[u8], length: impl Fn(&[u8]) -> Option<usize>) -> (usize, bool) {
    let (mut frames, mut rest) = (0, data);
    while frames < FRAMES
        && let Some(length) = length(rest).filter(|length| *length > 0)
    {
        frames += 1;
        match rest.get(length..) {
            Some([]) => return (frames, true),
            Some(after) => rest = after,
            None => break,
        }
    }
    (frames, false)
}

/// Silence is one of two bytes in each law, and what is nearly silent next to them.
fn guess(data: &[u8]) -> Codec {
    let count = |near: [u8; 4]| data.iter().filter(|byte| near.contains(byte)).count();
    let a_law = count([0xD5, 0x55, 0xD4, 0x54]);
    let mu_law = count([0xFF, 0x7F, 0xFE, 0x7E]);
    if mu_law > a_law { Codec::PcmU } else { Codec::PcmA }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of ADTS, mono at 16 kHz, of so many bytes each.
    fn adts(lengths: &[usize]) -> Vec<u8> {
        let config = aac::Config::new(2, 16_000, 1).unwrap();
        let frame = |length: &usize| {
            let mut frame = aac::adts::header(&config, length - 7).unwrap().to_vec();
            frame.resize(*length, 0x21);
            frame
        };
        lengths.iter().flat_map(frame).collect()
    }

    #[test]
    fn headers_in_a_row_are_evidence() {
        assert_eq!(evidence(&adts(&[200])), Some(Codec::Aac));
        assert_eq!(evidence(&adts(&[200, 90])), Some(Codec::Aac));
        let cut = adts(&[100, 120, 90, 80]);
        assert_eq!(evidence(&cut[40..]), Some(Codec::Aac), "begins within a frame");
        assert_eq!(evidence(&cut[..300]), Some(Codec::Aac), "ends within a frame");
        assert_eq!(evidence(&cut[..180]), None, "two headers may be chance");
        assert_eq!(evidence(&cut[1..200]), None);
        let frame = [&[0xFF, 0xFB, 0x90, 0x64][..], &[0; 413]].concat();
        assert_eq!(evidence(&frame.repeat(3)), Some(Codec::Mp3));
    }

    #[test]
    fn samples_are_no_evidence_whatever_they_are() {
        for byte in 0..=255 {
            assert_eq!(evidence(&[byte; 640]), None, "{byte:#x}");
        }
        let mut random = testkit::Random::new(7);
        let noise: Vec<u8> =
            (0..100_000).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        assert_eq!(evidence(&noise), None);
    }

    #[test]
    fn silence_tells_the_law() {
        assert_eq!(guess(&[0xD5, 0x55, 0x54, 0xD5, 3, 200]), Codec::PcmA);
        assert_eq!(guess(&[0xFF, 0x7E, 0xFF, 0xFE, 0x55]), Codec::PcmU);
        assert_eq!(guess(&[1, 2, 3]), Codec::PcmA);
    }
}
