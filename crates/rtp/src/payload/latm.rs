//! AAC in LATM, `MP4A-LATM` of [RFC 6416] §6: `AudioMuxElement()` of ISO/IEC 14496-3 §1.7.3.
//!
//! A packet has one element, or a part of one up to the marker. What an element looks like is told
//! by a `StreamMuxConfig()`: by `config` of the session description, or within elements where
//! `cpresent` is 1. There is no packetiser: AAC is sent as [`super::aac`] does.
//!
//! Not read: several programs or layers, streams of different framing, other frame length types
//! than 0 (which CELP, HVXC and TwinVQ have), and checksums.
//!
//! Tolerated of real peers:
//! - An element that is complete by its lengths needs no marker.
//! - More frames may follow than `numSubFrames` tells, unless `cpresent` is 1.
//! - A backward compatible announcement of SBR may end the `AudioSpecificConfig()` of
//!   `audioMuxVersion` 0, which has no place for it.
//! - A last frame that is longer than its packet comes out torn.
//!
//! [RFC 6416]: https://www.rfc-editor.org/rfc/rfc6416

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use media::{BitReader, Error, aac};

use super::Unit;
use crate::Packet;

/// Bytes that an element may have: 64 sub-frames of 4 KiB.
const MAX_ELEMENT: usize = 256 << 10;

/// Bytes that are searched for the end of an `AudioSpecificConfig()`: its longest part is a
/// comment of 255 bytes.
const MAX_CONFIG: usize = 512;

/// The `AudioSpecificConfig` in a `StreamMuxConfig`.
pub(crate) fn audio_specific_config(stream_mux_config: &[u8]) -> Result<Bytes, Error> {
    Mux::of_description(stream_mux_config).map(|mux| mux.config)
}

/// Takes frames out of elements.
#[derive(Debug)]
pub(crate) struct Depacketizer {
    /// Elements bring their `StreamMuxConfig()`.
    in_band: bool,
    clock_rate: u32,
    mux: Option<Mux>,
    /// The decoder configuration was not taken yet.
    changed: bool,
    partial: Option<Partial>,
    /// The time of an element that is passed over, because its beginning is lost.
    skipped: Option<u32>,
    ready: VecDeque<Unit>,
}

/// An element of which more may come.
#[derive(Debug)]
struct Partial {
    timestamp: u32,
    data: BytesMut,
}

impl Depacketizer {
    /// With `config` and `cpresent` of the session description, and its clock rate.
    ///
    /// # Errors
    /// [`Error`] when there is no usable `config`, and elements do not bring theirs.
    pub(crate) fn new(
        config: Option<&[u8]>,
        cpresent: bool,
        clock_rate: u32,
    ) -> Result<Self, Error> {
        let mux = match Mux::of_description(config.unwrap_or_default()) {
            Ok(mux) => Some(mux),
            Err(_) if cpresent => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            in_band: cpresent,
            clock_rate,
            changed: mux.is_some(),
            mux,
            partial: None,
            skipped: None,
            ready: VecDeque::new(),
        })
    }

    /// Finds the frames of an element, or of its beginning; `None` as long as the configuration is
    /// not known.
    fn element(&self, data: &[u8]) -> Result<Option<Element>, Error> {
        let mut r = BitReader::new(data);
        let new = if self.in_band && !r.flag()? { Some(Mux::read(&mut r)?) } else { None };
        let Some(mux) = new.as_ref().or(self.mux.as_ref()) else { return Ok(None) };
        let (sub_frames, other_data) = (mux.sub_frames, mux.other_data);
        let mut spans = Vec::new();
        let mut short = false;
        for _ in 0..sub_frames {
            let Ok(length) = payload_length(&mut r) else {
                short = true;
                break;
            };
            let present = length.min(r.remaining() / 8);
            spans.push(Span { start: r.position(), length: present, torn: present < length });
            r.skip(8 * present)?;
            if present < length {
                short = true;
                break;
            }
        }
        short = short || r.skip(other_data.unwrap_or(0)).is_err();
        let more = !short && !self.in_band && other_data.is_none();
        while more && let Some(span) = whole_frame(&mut r) {
            spans.push(span);
        }
        Ok(Some(Element { mux: new, spans, short, exact: !short && r.remaining() < 8 }))
    }

    /// Hands out the frames of an element.
    fn take(&mut self, timestamp: u32, data: &Bytes, element: Element) {
        if let Some(mux) = element.mux {
            self.changed |= self.mux.as_ref().is_none_or(|known| known.config != mux.config);
            self.mux = Some(mux);
        }
        let Some(mux) = &self.mux else { return };
        for (n, span) in (0..).zip(element.spans) {
            let Some(frame) = span.cut(data).filter(|frame| !frame.is_empty()) else { continue };
            let timestamp = timestamp.wrapping_add(mux.ticks(n, self.clock_rate));
            self.ready.push_back(Unit { timestamp, data: frame, torn: span.torn });
        }
    }

    /// The rest of the element that is under way does not come.
    fn finish(&mut self) {
        if let Some(Partial { timestamp, data }) = self.partial.take() {
            let data = data.freeze();
            if let Ok(Some(element)) = self.element(&data) {
                self.take(timestamp, &data, element);
            }
        }
    }

    /// Puts the payload behind what there is of its element.
    fn join(&mut self, packet: &Packet) -> Result<Bytes, Error> {
        let Some(Partial { mut data, .. }) = self.partial.take() else {
            return Ok(packet.payload.clone());
        };
        let length = data.len() + packet.payload.len();
        if length > MAX_ELEMENT {
            return Err(Error::Invalid { what: "AudioMuxElement length", value: length as u64 });
        }
        data.extend_from_slice(&packet.payload);
        Ok(data.freeze())
    }
}

impl super::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        let timestamp = packet.timestamp;
        match &self.partial {
            Some(partial) if lost || partial.timestamp != timestamp => {
                self.skipped = Some(partial.timestamp);
                self.finish();
            }
            _ => {}
        }
        // What the next packets of the same time are, unless this one is the last.
        let rest = Some(timestamp).filter(|_| !packet.marker);
        if self.skipped.take() == Some(timestamp) {
            self.skipped = rest;
            return Ok(());
        }
        let data = self.join(packet).inspect_err(|_| self.skipped = rest)?;
        match self.element(&data) {
            // An element that begins in a lost packet would be misread; one that fills this packet
            // to its end begins here.
            Ok(Some(element)) if lost && !element.exact => self.skipped = rest,
            Err(_) if lost => self.skipped = rest,
            Ok(Some(Element { short: true, .. })) | Err(Error::Truncated { .. })
                if !packet.marker =>
            {
                // Without a copy, unless somebody else holds the packet.
                self.partial = Some(Partial { timestamp, data: data.into() });
            }
            Ok(Some(element)) => self.take(timestamp, &data, element),
            Ok(None) => self.skipped = rest,
            Err(error) => {
                self.skipped = rest;
                return Err(error);
            }
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    fn flush(&mut self) {
        if let Some(partial) = &self.partial {
            self.skipped = Some(partial.timestamp);
            self.finish();
        }
    }

    fn take_config(&mut self) -> Option<Bytes> {
        let config = self.mux.as_ref().filter(|_| self.changed).map(|mux| mux.config.clone());
        self.changed = false;
        config
    }
}

/// Where the frames of an element are.
#[derive(Debug)]
struct Element {
    /// The `StreamMuxConfig()` that it begins with.
    mux: Option<Mux>,
    spans: Vec<Span>,
    /// More bytes belong to it.
    short: bool,
    /// It ends where the data end.
    exact: bool,
}

/// One frame.
#[derive(Debug)]
struct Span {
    /// In bits.
    start: usize,
    /// In bytes.
    length: usize,
    torn: bool,
}

impl Span {
    /// The bytes of the frame; copied only where they lie across those of `data`.
    fn cut(&self, data: &Bytes) -> Option<Bytes> {
        if self.start.is_multiple_of(8) {
            let start = self.start / 8;
            return data.get(start..start + self.length).map(|frame| data.slice_ref(frame));
        }
        let mut r = BitReader::new(data);
        r.skip(self.start).ok()?;
        copy(&mut r, 8 * self.length).ok()
    }
}

/// What a `StreamMuxConfig()` says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mux {
    /// The `AudioSpecificConfig()`.
    config: Bytes,
    /// Samples of a frame.
    frame_length: u16,
    /// Samples per second.
    sample_rate: u32,
    /// Frames in an element: 1 to 64.
    sub_frames: u8,
    /// Bits of other data behind the frames, where they are announced.
    other_data: Option<usize>,
}

impl Mux {
    /// Reads that of a session description. GStreamer ends it with the `AudioSpecificConfig()`, and
    /// even cuts the last bits of that: what is missing counts as zero, which is what it would be.
    fn of_description(config: &[u8]) -> Result<Self, Error> {
        let padded = [config, &[0; 4]].concat();
        Self::read(&mut BitReader::new(&padded))
    }

    fn read(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let sized = r.flag()?; // audioMuxVersion
        if sized && r.flag()? {
            return Err(Error::Invalid { what: "audioMuxVersionA", value: 1 });
        }
        if sized {
            latm_value(r)?; // taraBufferFullness
        }
        if !r.flag()? {
            return Err(Error::Invalid { what: "allStreamsSameTimeFraming", value: 0 });
        }
        let sub_frames = r.u8(6)? + 1;
        for (what, bits) in [("numProgram", 4), ("numLayer", 3)] {
            match r.bits(bits)? {
                0 => {}
                value => return Err(Error::Invalid { what, value: value.into() }),
            }
        }
        let bits = if sized { to_usize(latm_value(r)?) } else { config_length(*r)? };
        let config = copy(r, bits)?;
        match r.u8(3)? {
            0 => r.skip(8)?, // latmBufferFullness
            other => return Err(Error::Invalid { what: "frameLengthType", value: other.into() }),
        }
        let other_data = match (r.flag()?, sized) {
            (false, _) => None,
            (true, true) => Some(to_usize(latm_value(r)?)),
            (true, false) => Some(other_data_length(r)?),
        };
        if r.flag()? {
            r.skip(8)?; // crcCheckSum
        }
        let aac::Config { frame_length, sample_rate, .. } = aac::Config::parse(&config)?;
        Ok(Self { config, frame_length, sample_rate, sub_frames, other_data })
    }

    /// How long `frames` last.
    fn ticks(&self, frames: u64, clock_rate: u32) -> u32 {
        let samples = frames.wrapping_mul(self.frame_length.into());
        let ticks = samples.wrapping_mul(clock_rate.into()) / u64::from(self.sample_rate).max(1);
        // Time stamps wrap.
        u32::try_from(ticks & u64::from(u32::MAX)).unwrap_or(0)
    }
}

/// `PayloadLengthInfo()` of frame length type 0.
fn payload_length(r: &mut BitReader<'_>) -> Result<usize, Error> {
    let mut length = 0;
    loop {
        let part = r.u8(8)?;
        length += usize::from(part);
        if part < u8::MAX {
            return Ok(length);
        }
    }
}

/// A frame that is not announced; `None` where there is none, or not all of it.
fn whole_frame(r: &mut BitReader<'_>) -> Option<Span> {
    let mut ahead = *r;
    let length = payload_length(&mut ahead).ok().filter(|&length| length > 0)?;
    let start = ahead.position();
    ahead.skip(length.checked_mul(8)?).ok()?;
    *r = ahead;
    Some(Span { start, length, torn: false })
}

/// `LatmGetValue()`: one to four bytes.
fn latm_value(r: &mut BitReader<'_>) -> Result<u32, Error> {
    let bytes = r.bits(2)? + 1;
    r.bits(8 * bytes)
}

/// `otherDataLenBits` of `audioMuxVersion` 0: bytes that each tell whether one follows.
fn other_data_length(r: &mut BitReader<'_>) -> Result<usize, Error> {
    let mut length = 0;
    loop {
        let follows = r.flag()?;
        length = length << 8 | usize::from(r.u8(8)?);
        if length > 8 * MAX_ELEMENT {
            return Err(Error::Invalid { what: "otherDataLenBits", value: length as u64 });
        }
        if !follows {
            return Ok(length);
        }
    }
}

/// The next bits as bytes, the last of them filled with zeros.
fn copy(r: &mut BitReader<'_>, bits: usize) -> Result<Bytes, Error> {
    let mut source = *r;
    r.skip(bits)?;
    let mut out = BytesMut::with_capacity(bits.div_ceil(8));
    for _ in 0..bits / 8 {
        out.put_u8(source.u8(8)?);
    }
    let rest = u32::try_from(bits % 8).unwrap_or(0);
    if rest > 0 {
        out.put_u8(source.u8(rest)? << (8 - rest));
    }
    Ok(out.freeze())
}

/// How many bits an `AudioSpecificConfig()` has (§1.6.2.1) that nothing else tells the length of.
fn config_length(mut r: BitReader<'_>) -> Result<usize, Error> {
    // It has byte alignments of its own.
    let bits = r.remaining().min(8 * MAX_CONFIG);
    let bytes = copy(&mut r, bits)?;
    let mut r = BitReader::new(&bytes);
    let mut object_type = object_type(&mut r)?;
    sampling_frequency(&mut r)?;
    let channels = r.u8(4)?;
    let announced = matches!(object_type, SBR | PS);
    if announced {
        sampling_frequency(&mut r)?;
        object_type = self::object_type(&mut r)?;
        if object_type == ER_BSAC {
            r.skip(4)?; // extensionChannelConfiguration
        }
    }
    ga_config(&mut r, object_type, channels)?;
    if !announced {
        let mut ahead = r;
        // It can't be taken for a frame length type: 2 is reserved.
        if ahead.bits(11) == Ok(0x2B7) && self::object_type(&mut ahead) == Ok(SBR) {
            if ahead.flag()? {
                sampling_frequency(&mut ahead)?;
                r = ahead;
                if ahead.bits(11) == Ok(0x548) {
                    ahead.flag()?; // psPresentFlag
                    r = ahead;
                }
            } else {
                r = ahead;
            }
        }
    }
    Ok(r.position())
}

/// `GASpecificConfig()` (§4.4.1) and `epConfig`.
fn ga_config(r: &mut BitReader<'_>, object_type: u8, channels: u8) -> Result<(), Error> {
    if !matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
        return Err(Error::Invalid { what: "audioObjectType", value: object_type.into() });
    }
    r.flag()?; // frameLengthFlag
    if r.flag()? {
        r.skip(14)?; // coreCoderDelay
    }
    let extended = r.flag()?;
    if channels == 0 {
        program_config(r)?;
    }
    if matches!(object_type, 6 | 20) {
        r.skip(3)?; // layerNr
    }
    if extended {
        match object_type {
            ER_BSAC => r.skip(5 + 11)?,      // numOfSubFrame, layer_length
            17 | 19 | 20 | 23 => r.skip(3)?, // resilience flags
            _ => {}
        }
        r.flag()?; // extensionFlag3
    }
    if object_type >= 17 {
        match r.u8(2)? {
            0 | 1 => {}
            other => return Err(Error::Invalid { what: "epConfig", value: other.into() }),
        }
    }
    Ok(())
}

const SBR: u8 = 5;
const ER_BSAC: u8 = 22;
const PS: u8 = 29;

/// `GetAudioObjectType()`.
fn object_type(r: &mut BitReader<'_>) -> Result<u8, Error> {
    match r.u8(5)? {
        31 => Ok(32 + r.u8(6)?),
        object_type => Ok(object_type),
    }
}

/// A `samplingFrequencyIndex`, and the frequency itself behind an escape.
fn sampling_frequency(r: &mut BitReader<'_>) -> Result<(), Error> {
    match r.u8(4)? {
        15 => r.skip(24),
        _ => Ok(()),
    }
}

/// `program_config_element()` (§4.4.1.1).
fn program_config(r: &mut BitReader<'_>) -> Result<(), Error> {
    r.skip(4 + 2 + 4)?; // element_instance_tag, object_type, sampling_frequency_index
    let mut channels = 0;
    for _ in 0..3 {
        channels += r.u8(4)?; // front, side, back
    }
    let (lfe, associated, coupling) = (r.u8(2)?, r.u8(3)?, r.u8(4)?);
    for bits in [4, 4, 3] {
        if r.flag()? {
            r.skip(bits)?; // mono, stereo and matrix mix-down
        }
    }
    r.skip(5 * usize::from(channels + coupling) + 4 * usize::from(lfe + associated))?;
    r.align();
    let comment = r.u8(8)?;
    r.skip(8 * usize::from(comment))
}

/// What does not fit is more than any data have.
fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::payload::Depacketizer as _;
    use crate::payload::tests::depacketize;

    /// Puts bit fields together.
    #[derive(Default, Clone)]
    struct Bits(Vec<bool>);

    impl Bits {
        fn put(&mut self, value: usize, count: usize) {
            self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        }

        fn put_bytes(&mut self, bytes: &[u8]) {
            bytes.iter().for_each(|&byte| self.put(byte.into(), 8));
        }

        fn put_value(&mut self, value: usize) {
            let bytes = (1..4).find(|bytes| value >> (8 * bytes) == 0).unwrap_or(4);
            self.put(bytes - 1, 2);
            self.put(value, 8 * bytes);
        }

        fn bytes(&self) -> Vec<u8> {
            let byte = |bits: &[bool]| {
                (0..8).fold(0, |byte, at| byte << 1 | u8::from(bits.get(at) == Some(&true)))
            };
            self.0.chunks(8).map(byte).collect()
        }
    }

    /// A way of writing elements.
    #[derive(Debug, Clone)]
    struct Stream {
        sized: bool,
        /// With its length in bits.
        config: (Vec<u8>, usize),
        sub_frames: usize,
        other_data: Option<usize>,
        checksum: bool,
    }

    /// AAC-LC, 48 kHz, stereo.
    const LC: [u8; 2] = [0x11, 0x90];

    impl Stream {
        fn new(sized: bool, sub_frames: usize) -> Self {
            let config = (LC.to_vec(), 16);
            Self { sized, config, sub_frames, other_data: None, checksum: false }
        }

        fn mux(&self, bits: &mut Bits) {
            bits.put(self.sized.into(), 1);
            if self.sized {
                bits.put(0, 1); // audioMuxVersionA
                bits.put_value(0x1FF);
            }
            bits.put(1, 1);
            bits.put(self.sub_frames - 1, 6);
            bits.put(0, 7);
            let (config, length) = &self.config;
            if self.sized {
                bits.put_value(*length);
            }
            let mut config_bits = Bits::default();
            config_bits.put_bytes(config);
            bits.0.extend(&config_bits.0[..*length]);
            bits.put(0xFF, 3 + 8);
            bits.put(self.other_data.is_some().into(), 1);
            match self.other_data {
                Some(length) if self.sized => bits.put_value(length),
                Some(length) => {
                    bits.put(1 << 8 | length >> 8, 9);
                    bits.put(length & 0xFF, 9);
                }
                None => {}
            }
            bits.put(self.checksum.into(), 1);
            if self.checksum {
                bits.put(0xAA, 8);
            }
        }

        fn config(&self) -> Vec<u8> {
            let mut bits = Bits::default();
            self.mux(&mut bits);
            bits.bytes()
        }

        /// An element; with `Some(true)` it brings the configuration, with `Some(false)` it
        /// refers to the one before.
        fn element(&self, frames: &[Vec<u8>], in_band: Option<bool>) -> Vec<u8> {
            let mut bits = Bits::default();
            if let Some(new) = in_band {
                bits.put((!new).into(), 1);
                if new {
                    self.mux(&mut bits);
                }
            }
            for frame in frames {
                (0..frame.len() / 255).for_each(|_| bits.put(255, 8));
                bits.put(frame.len() % 255, 8);
                bits.put_bytes(frame);
            }
            (0..self.other_data.unwrap_or(0)).for_each(|_| bits.put(0, 1));
            bits.bytes()
        }

        fn depacketizer(&self, in_band: bool) -> Depacketizer {
            let config = self.config();
            Depacketizer::new(Some(&config).filter(|_| !in_band).map(|c| &c[..]), in_band, 48_000)
                .unwrap()
        }
    }

    fn packet(timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
        let payload = Bytes::copy_from_slice(payload);
        Packet { marker, payload_type: 97, sequence: 0, timestamp, ssrc: 1, payload }
    }

    fn packets(timestamp: u32, element: &[u8], max: usize) -> Vec<Packet> {
        let mut list: Vec<_> =
            element.chunks(max).map(|part| packet(timestamp, false, part)).collect();
        list.last_mut().unwrap().marker = true;
        list
    }

    fn unit(timestamp: u32, data: &[u8], torn: bool) -> Unit {
        Unit { timestamp, data: Bytes::copy_from_slice(data), torn }
    }

    #[test]
    fn usual_configurations() {
        for (mux, rate, channels, profile) in [
            ([0x40, 0, 0x26, 0x20, 0x3F, 0xC0, 0], 24_000, 2, 2),
            ([0x40, 0, 0x26, 0x10, 0x3F, 0xC0, 0], 24_000, 1, 2),
            ([0x40, 0, 0x56, 0x23, 0x10, 0x1F, 0xE0], 24_000, 2, 5),
            ([0x40, 0x01, 0xD6, 0x13, 0x10, 0x1F, 0xE0], 24_000, 1, 29),
        ] {
            let config = audio_specific_config(&mux).unwrap();
            let config = aac::Config::parse(&config).unwrap();
            let read = (config.sample_rate, config.channels, config.profile());
            assert_eq!(read, (rate, channels, profile), "{mux:x?}");
        }
    }

    /// Other ways of announcing than [`LC`].
    #[test]
    fn any_configuration_is_cut_out() {
        let lc = aac::Config::new(2, 24_000, 2).unwrap();
        let sbr =
            aac::Extension { sample_rate: 48_000, parametric_stereo: false, hierarchical: false };
        let ps = aac::Extension { parametric_stereo: true, ..sbr };
        let escaped = aac::Extension { sample_rate: 47_999, ..sbr };
        let leading = aac::Extension { hierarchical: true, ..ps };
        let mut list: Vec<aac::Config> = [None, Some(sbr), Some(ps), Some(escaped), Some(leading)]
            .map(|extension| aac::Config { extension, ..lc })
            .to_vec();
        list.push(aac::Config { object_type: 23, frame_length: 480, ..lc });
        list.push(aac::Config { object_type: 20, sample_rate: 12_345, ..lc });
        list.push(aac::Config { object_type: 22, extension: Some(leading), ..lc });
        for config in list {
            let bytes = config.to_bytes().unwrap();
            let length = config_length(BitReader::new(&bytes)).unwrap();
            assert!((8 * bytes.len() - 7..=8 * bytes.len()).contains(&length), "{config:?}");
            for sized in [false, true] {
                let stream = Stream { config: (bytes.to_vec(), length), ..Stream::new(sized, 1) };
                let read = audio_specific_config(&stream.config()).unwrap();
                assert_eq!(aac::Config::parse(&read), Ok(config), "{sized}");
                assert_eq!(read, bytes);
            }
        }
    }

    /// ISO/IEC 14496-3 §4.4.1.1: the comment of a program config element is aligned to the bytes
    /// of the configuration, not to those around it.
    #[test]
    fn a_program_config_element_is_cut_out() {
        let mut bits = Bits::default();
        bits.put(2 << 4 | 3, 9);
        bits.put(0, 4 + 3); // channelConfiguration, flags
        bits.put(1 << 4 | 3, 10);
        for (value, count) in [(2, 4), (0, 4), (1, 4), (1, 2), (0, 3), (0, 4), (0, 3)] {
            bits.put(value, count);
        }
        bits.put(0, 3 * 5 + 4); // three channel elements, one for low frequencies
        bits.put(0, bits.0.len().next_multiple_of(8) - bits.0.len());
        bits.put_bytes(b"\x05hello");
        let (bytes, length) = (bits.bytes(), bits.0.len());
        let stream = Stream { config: (bytes.clone(), length), ..Stream::new(false, 1) };
        assert_eq!(audio_specific_config(&stream.config()).unwrap(), bytes);
    }

    #[test]
    fn what_is_not_read_is_refused() {
        for (mux, what) in [
            (&[0xC0][..], "audioMuxVersionA"),
            (&[0x00], "allStreamsSameTimeFraming"),
            (&[0x40, 0x10], "numProgram"),
            (&[0x40, 0x02], "numLayer"),
            (&[0x40, 0x00, 0x26, 0x20, 0x40], "frameLengthType"),
            (&[0x40, 0x00, 0x86, 0x20, 0x40], "audioObjectType"),
        ] {
            let error = audio_specific_config(mux).unwrap_err();
            assert!(matches!(error, Error::Invalid { what: w, .. } if w == what), "{error}");
        }
        assert!(Depacketizer::new(None, false, 48_000).is_err());
        assert!(Depacketizer::new(Some(&[0]), false, 48_000).is_err());
        assert!(Depacketizer::new(Some(&[0]), true, 48_000).is_ok());
    }

    #[test]
    fn a_description_may_end_too_early() {
        // As GStreamer 1.22 writes it: AAC-LC, 44.1 kHz, mono, and an extension that says no SBR.
        let mux = [0x40, 0x00, 0x24, 0x10, 0xAD, 0xCA, 0x00];
        let config = audio_specific_config(&mux).unwrap();
        assert_eq!(config[..], [0x12, 0x08, 0x56, 0xE5, 0x00]);
    }

    #[test]
    fn the_configuration_is_told_once() {
        let stream = Stream::new(false, 1);
        let mut depacketizer = stream.depacketizer(false);
        assert_eq!(depacketizer.take_config().as_deref(), Some(&LC[..]));
        assert_eq!(depacketizer.take_config(), None);
        let mut in_band = stream.depacketizer(true);
        assert_eq!(in_band.take_config(), None);
        let other = Stream { config: (vec![0x11, 0x88], 16), ..stream.clone() };
        for (stream, new) in [(&stream, true), (&stream, false), (&other, true)] {
            for _ in 0..2 {
                let element = stream.element(&[b"frame".to_vec()], Some(true));
                in_band.push(&packet(0, true, &element), false).unwrap();
                assert_eq!(in_band.poll(), Some(unit(0, b"frame", false)));
            }
            assert_eq!(in_band.take_config().is_some(), new);
        }
    }

    #[test]
    fn elements_wait_for_their_configuration() {
        let stream = Stream::new(true, 1);
        let mut depacketizer = stream.depacketizer(true);
        for (new, expected) in [(false, None), (true, Some(7)), (false, Some(7))] {
            let element = stream.element(&[b"frame".to_vec()], Some(new));
            depacketizer.push(&packet(7, true, &element), false).unwrap();
            assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), expected);
        }
    }

    #[test]
    fn sub_frames_follow_each_other() {
        let stream = Stream::new(false, 3);
        let frames = [b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let list = [packet(u32::MAX, true, &stream.element(&frames, None))];
        let units = depacketize(&mut stream.depacketizer(false), &list);
        assert_eq!(units, [unit(u32::MAX, b"one", false), unit(2047, b"three", false)]);
        // On another clock than that of the samples.
        let mut slow = Depacketizer::new(Some(&stream.config()), false, 90_000).unwrap();
        assert_eq!(depacketize(&mut slow, &list)[1].timestamp, 3839);
    }

    #[test]
    fn more_frames_than_announced_are_taken() {
        let stream = Stream::new(false, 1);
        let payload = stream.element(&[b"one".to_vec(), b"two".to_vec()], None);
        let padded = [&payload[..], &[0, 0, 9]].concat();
        let units = depacketize(&mut stream.depacketizer(false), &[packet(0, true, &padded)]);
        assert_eq!(units, [unit(0, b"one", false), unit(1024, b"two", false)]);
    }

    #[test]
    fn the_marker_is_not_needed() {
        let stream = Stream::new(false, 1);
        let payload = stream.element(&[vec![1; 300]], None);
        let mut depacketizer = stream.depacketizer(false);
        for n in 0..3 {
            depacketizer.push(&packet(n, false, &payload[..200]), false).unwrap();
            assert_eq!(depacketizer.poll(), None);
            depacketizer.push(&packet(n, false, &payload[200..]), false).unwrap();
            assert_eq!(depacketizer.poll(), Some(unit(n, &[1; 300], false)));
        }
    }

    #[test]
    fn what_is_cut_short_is_torn() {
        let stream = Stream::new(false, 2);
        let payload = stream.element(&[b"one".to_vec(), vec![1; 90]], None);
        let expected = [unit(0, b"one", false), unit(1024, &[1; 45], true)];
        let mut depacketizer = stream.depacketizer(false);
        assert_eq!(depacketize(&mut depacketizer, &[packet(0, true, &payload[..50])]), expected);
        // The end is lost, and a part in the middle.
        let mut depacketizer = stream.depacketizer(false);
        depacketizer.push(&packet(0, false, &payload[..50]), false).unwrap();
        depacketizer.push(&packet(0, false, &payload[60..80]), true).unwrap();
        depacketizer.push(&packet(0, true, &payload[80..]), false).unwrap();
        let units: Vec<_> = std::iter::from_fn(|| depacketizer.poll()).collect();
        assert_eq!(units, expected);
        let whole = [packet(5, true, &payload)];
        assert_eq!(depacketize(&mut depacketizer, &whole).len(), 2);
    }

    #[test]
    fn elements_have_a_limit() {
        let stream = Stream::new(false, 1);
        let mut depacketizer = stream.depacketizer(false);
        let part = packet(0, false, &[0xFF; 64 << 10]);
        for _ in 0..4 {
            depacketizer.push(&part, false).unwrap();
        }
        assert!(depacketizer.push(&part, false).is_err());
        depacketizer.push(&part, false).unwrap();
        assert!(depacketizer.partial.is_none());
    }

    fn streams() -> impl Strategy<Value = Stream> {
        let other_data = proptest::option::of(0usize..500);
        (any::<bool>(), 1usize..5, other_data, any::<bool>()).prop_map(
            |(sized, sub_frames, other_data, checksum)| Stream {
                other_data,
                checksum,
                ..Stream::new(sized, sub_frames)
            },
        )
    }

    /// Frames that nobody takes for the beginning of an element that fits into a packet.
    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let frame = proptest::collection::vec(200u8..255, 1..600);
        proptest::collection::vec(frame, 1..20)
    }

    /// All whole elements, with what is to come out of them.
    fn sent(
        stream: &Stream,
        frames: &[Vec<u8>],
        in_band: bool,
        max: usize,
    ) -> (Vec<Packet>, Vec<Unit>) {
        let (mut list, mut units) = (Vec::new(), Vec::new());
        for (n, frames) in (0u32..).zip(frames.chunks_exact(stream.sub_frames)) {
            let timestamp = n * 100_000;
            // Every other one brings the configuration.
            let element = stream.element(frames, in_band.then_some(n % 2 == 0));
            list.extend(packets(timestamp, &element, max));
            let times = (0..).map(|n| timestamp + n * 1024);
            units.extend(times.zip(frames).map(|(time, data)| unit(time, data, false)));
        }
        (list, units)
    }

    proptest! {
        #[test]
        fn any_frames_come_back(
            stream in streams(),
            frames in frames(),
            in_band: bool,
            max in 1usize..2000,
        ) {
            let (list, units) = sent(&stream, &frames, in_band, max);
            prop_assert_eq!(depacketize(&mut stream.depacketizer(in_band), &list), units);
        }

        /// With configurations in band, frames are shifted, and may look like anything.
        #[test]
        fn what_is_not_torn_is_whole(
            stream in streams(),
            frames in frames(),
            max in 64usize..100,
            kept: Vec<bool>,
        ) {
            let stream = Stream { other_data: None, ..stream };
            let (list, units) = sent(&stream, &frames, false, max);
            let mut depacketizer = stream.depacketizer(false);
            let mut lost = false;
            let kept = kept.into_iter().chain(std::iter::repeat(true));
            for (packet, kept) in list.iter().zip(kept) {
                if kept {
                    depacketizer.push(packet, lost).unwrap();
                    lost = false;
                }
                lost |= !kept;
            }
            depacketizer.flush();
            for got in std::iter::from_fn(|| depacketizer.poll()).filter(|got| !got.torn) {
                prop_assert!(units.contains(&got), "{got:?}");
            }
        }

        #[test]
        fn damage_does_no_harm(
            stream in streams(),
            frames in frames(),
            in_band: bool,
            harm: Vec<(Index, Index, u8)>,
            lost: bool,
        ) {
            let (mut list, _) = sent(&stream, &frames, in_band, 100);
            prop_assume!(!list.is_empty());
            for (packet, place, mask) in harm {
                let packet = packet.get(&list).clone();
                let mut payload = packet.payload.to_vec();
                let place = place.index(payload.len());
                payload[place] ^= mask;
                payload.truncate(if mask == 0 { place.max(1) } else { payload.len() });
                list.push(Packet { payload: payload.into(), ..packet });
            }
            let mut depacketizer = stream.depacketizer(in_band);
            for packet in &list {
                let _ = depacketizer.push(packet, lost);
            }
            depacketizer.flush();
        }

        #[test]
        fn whatever_comes_is_read_or_refused(
            config: Vec<u8>,
            in_band: bool,
            payloads: Vec<(Vec<u8>, u8, bool, bool)>,
        ) {
            let _ = audio_specific_config(&config);
            let _ = audio_specific_config(&[&[0x40, 0x00], &config[..]].concat());
            let mut depacketizer = Stream::new(false, 2).depacketizer(in_band);
            for (payload, timestamp, marker, lost) in payloads {
                let _ = depacketizer.push(&packet(timestamp.into(), marker, &payload), lost);
                depacketizer.take_config();
            }
            depacketizer.flush();
            while depacketizer.poll().is_some() {}
        }
    }
}
