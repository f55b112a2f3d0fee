//! AV1 ([RTP Payload Format For AV1](https://aomediacodec.github.io/av1-rtp-spec/) v1.0).
//!
//! A payload is an aggregation header and OBU elements: OBUs without sizes, of which the first may
//! be continued from the packet before, and the last in the next one (§4.4, §4.5). What comes out
//! has sizes, and neither temporal delimiters nor tile lists (§5) nor padding; those are not
//! sent either. Bit N is written but not asked for: the sequence header says as much. The
//! dependency descriptor, a header extension, is passed over.
//!
//! A temporal unit that lost a part comes out with the OBUs that are whole. One that lost OBUs at
//! its beginning is known to be torn only if it goes on with a continuation or with tiles:
//! payloads don't say which is the first.
//!
//! Tolerated: markers that are missing, OBUs that have sizes, several of them in one element.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use media::av1::{self, Obu, ObuType};
use media::{Error, Frame, Reader};
use smallvec::SmallVec;

use super::{MAX_UNIT, Sink, Unit};
use crate::Packet;

/// The bits Z, Y and N of the aggregation header, and where its field W stands (§4.4).
const CONTINUED: u8 = 0x80;
const CONTINUES: u8 = 0x40;
const COUNT_SHIFT: u8 = 4;
const NEW_SEQUENCE: u8 = 0x08;

/// `obu_has_size_field` in the header of an OBU.
const HAS_SIZE: u8 = 0x02;

/// Puts temporal units together.
#[derive(Debug)]
pub(crate) struct Depacketizer {
    /// The OBUs in hand, each with its size.
    data: BytesMut,
    /// What there is of an OBU whose end is still to come, if one is.
    fragment: BytesMut,
    in_fragment: bool,
    timestamp: u32,
    stage: Stage,
    torn: bool,
    ready: VecDeque<Unit>,
}

/// How far the temporal unit in hand has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No packet of it came yet.
    Idle,
    /// No frame has begun yet.
    Leading,
    /// There is a frame header: tiles may follow.
    Frame,
    /// It is too large: the rest is passed over.
    Excess,
}

impl Depacketizer {
    pub(crate) fn new() -> Self {
        Self {
            data: BytesMut::new(),
            fragment: BytesMut::new(),
            in_fragment: false,
            timestamp: 0,
            stage: Stage::Idle,
            torn: false,
            ready: VecDeque::new(),
        }
    }

    fn payload(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut r = Reader::new(payload);
        let header = r.u8()?;
        let count = header >> COUNT_SHIFT & 3;
        if self.in_fragment && header & CONTINUED == 0 {
            self.tear();
        }
        let mut index = 0u8;
        while !r.is_empty() {
            index = index.saturating_add(1);
            let size = if index == count { r.remaining() } else { read_leb128(&mut r)? };
            let element = r.take(size)?;
            let continued = header & CONTINUED != 0 && index == 1;
            let continues = header & CONTINUES != 0 && r.is_empty();
            self.element(element, continued, continues)?;
        }
        if index < count {
            return Err(Error::Invalid { what: "number of OBU elements", value: index.into() });
        }
        Ok(())
    }

    fn element(&mut self, part: &[u8], continued: bool, continues: bool) -> Result<(), Error> {
        if continued && !self.in_fragment {
            // The beginning is missing.
            self.torn = true;
            return Ok(());
        }
        if !continued && !continues {
            return self.obus(part);
        }
        self.make_room(part.len())?;
        self.fragment.extend_from_slice(part);
        self.in_fragment = continues;
        if continues {
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.fragment);
        let read = self.obus(&whole);
        // Its memory serves the next one.
        whole.clear();
        self.fragment = whole;
        read
    }

    /// Takes what a whole element holds: one OBU, or several if all but the last have sizes.
    fn obus(&mut self, element: &[u8]) -> Result<(), Error> {
        for obu in av1::obus(element) {
            let obu = obu?;
            match obu.kind {
                kind if is_passed_over(kind) => continue,
                ObuType::FrameHeader | ObuType::Frame => self.stage = Stage::Frame,
                ObuType::TileGroup | ObuType::RedundantFrameHeader => {
                    self.torn |= self.stage == Stage::Leading;
                }
                _ => {}
            }
            let size = leb128(obu.payload.len());
            self.make_room(obu.header.len() + size.len() + obu.payload.len())?;
            if let [first, extension @ ..] = obu.header {
                self.data.put_u8(first | HAS_SIZE);
                self.data.put_slice(extension);
            }
            self.data.put_slice(&size);
            self.data.put_slice(obu.payload);
        }
        Ok(())
    }

    fn make_room(&mut self, size: usize) -> Result<(), Error> {
        if self.data.len() + self.fragment.len() + size <= MAX_UNIT {
            return Ok(());
        }
        self.data.clear();
        self.stage = Stage::Excess;
        Err(Error::Invalid { what: "temporal unit size", value: MAX_UNIT as u64 })
    }

    /// A part of what is in hand is missing.
    fn tear(&mut self) {
        self.fragment.clear();
        self.in_fragment = false;
        self.torn = true;
    }

    fn complete(&mut self) {
        if self.in_fragment {
            self.tear();
        }
        let data = self.data.split().freeze();
        if !data.is_empty() {
            self.ready.push_back(Unit { timestamp: self.timestamp, data, torn: self.torn });
        }
        (self.stage, self.torn) = (Stage::Idle, false);
    }
}

impl super::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        if lost && self.stage != Stage::Idle {
            self.tear();
        }
        if packet.timestamp != self.timestamp {
            self.complete();
            self.timestamp = packet.timestamp;
        }
        let mut read = Ok(());
        if !packet.payload.is_empty() && self.stage != Stage::Excess {
            if self.stage == Stage::Idle {
                self.stage = Stage::Leading;
            }
            read = self.payload(&packet.payload);
        }
        if read.is_err() {
            self.tear();
        }
        if packet.marker {
            self.complete();
        }
        read
    }

    fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    fn flush(&mut self) {
        self.complete();
    }
}

/// §5: what receivers ignore and senders remove; padding has no use on a way that can do without.
fn is_passed_over(kind: ObuType) -> bool {
    matches!(kind, ObuType::TemporalDelimiter | ObuType::TileList | ObuType::Padding)
}

/// Cuts temporal units.
#[derive(Debug)]
pub(crate) struct Packetizer {
    config: Bytes,
}

impl Packetizer {
    /// `config_obus` are those of the track's configuration, which stand in front of key frames
    /// that have no sequence header.
    pub(crate) fn new(config_obus: Bytes) -> Self {
        Self { config: config_obus }
    }
}

impl super::Packetizer for Packetizer {
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink) {
        let is_header = |obu: Obu<'_>| obu.kind == ObuType::SequenceHeader;
        let bare = frame.is_key() && !obus(&frame.data).any(is_header);
        let config = obus(if bare { &self.config } else { &[] });
        let obus: SmallVec<[Bare<'_>; 8]> =
            config.chain(obus(&frame.data)).filter_map(Bare::new).collect();
        // With room for a byte of media, each packet carries something on.
        let max = max.max(2);
        let mut payload = Payload::new(if frame.is_key() { NEW_SEQUENCE } else { 0 });
        for obu in &obus {
            if !payload.admits(obu) {
                payload = payload.send(0, sink);
            }
            let mut rest = obu.element();
            loop {
                let room = payload.room(max);
                if rest.len() <= room {
                    payload.push(obu, rest);
                    break;
                }
                let mut ends = 0;
                if room > 0 {
                    let (part, later) = rest.split_at(room);
                    payload.push(obu, part);
                    (rest, ends) = (later, CONTINUES);
                }
                payload = payload.send(ends, sink);
            }
        }
        payload.finish(0, true, sink);
    }
}

fn obus(data: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    av1::obus(data).map_while(Result::ok)
}

/// An OBU without its size, as it is sent.
#[derive(Debug)]
struct Bare<'a> {
    header: SmallVec<[u8; 2]>,
    /// `temporal_id` and `spatial_id`, if it has any.
    layer: Option<u8>,
    /// A sequence header.
    leads: bool,
    payload: &'a [u8],
}

impl<'a> Bare<'a> {
    fn new(obu: Obu<'a>) -> Option<Self> {
        if is_passed_over(obu.kind) {
            return None;
        }
        let (first, extension) = obu.header.split_first()?;
        let mut header = SmallVec::from_slice(extension);
        header.insert(0, first & !HAS_SIZE);
        Some(Self {
            header,
            layer: extension.first().map(|byte| byte >> 3),
            leads: obu.kind == ObuType::SequenceHeader,
            payload: obu.payload,
        })
    }

    fn element(&self) -> Element<'_> {
        Element { header: &self.header, payload: self.payload }
    }
}

/// An OBU or a part of it: what there is of its header and of its payload.
#[derive(Debug, Clone, Copy)]
struct Element<'a> {
    header: &'a [u8],
    payload: &'a [u8],
}

impl Element<'_> {
    fn len(&self) -> usize {
        self.header.len() + self.payload.len()
    }

    /// The first `length` bytes, and the others; `length` is at most that of the element.
    fn split_at(self, length: usize) -> (Self, Self) {
        let (header, header_rest) = self.header.split_at(length.min(self.header.len()));
        let (payload, payload_rest) = self.payload.split_at(length - header.len());
        (Self { header, payload }, Self { header: header_rest, payload: payload_rest })
    }
}

/// A payload that is being filled.
#[derive(Debug)]
struct Payload<'a> {
    /// Bits of the aggregation header.
    flags: u8,
    elements: SmallVec<[Element<'a>; MAX_ELEMENTS]>,
    layer: Option<u8>,
}

/// Elements of which the last needs no length: field W counts no more. Frames with more are rare.
const MAX_ELEMENTS: usize = 3;

impl<'a> Payload<'a> {
    fn new(flags: u8) -> Self {
        Self { flags, elements: SmallVec::new(), layer: None }
    }

    /// §5: one payload has OBUs of one layer, and a sequence header comes first.
    fn admits(&self, obu: &Bare<'_>) -> bool {
        let same = self.layer.is_none() || obu.layer.is_none() || self.layer == obu.layer;
        self.elements.is_empty() || (same && !obu.leads)
    }

    /// What an element more may have: those before it then need their lengths.
    fn room(&self, max: usize) -> usize {
        if self.elements.len() == MAX_ELEMENTS {
            return 0;
        }
        let used = self.elements.iter().map(|element| leb128(element.len()).len() + element.len());
        max.saturating_sub(1 + used.sum::<usize>())
    }

    fn push(&mut self, obu: &Bare<'_>, element: Element<'a>) {
        self.elements.push(element);
        self.layer = self.layer.or(obu.layer);
    }

    /// Hands out a payload that is not the last one, and begins the next.
    fn send(self, ends: u8, sink: &mut dyn Sink) -> Self {
        self.finish(ends, false, sink);
        Self::new(if ends == CONTINUES { CONTINUED } else { 0 })
    }

    fn finish(&self, ends: u8, marker: bool, sink: &mut dyn Sink) {
        let Some((last, others)) = self.elements.split_last() else { return };
        // MAX_ELEMENTS fits two bits.
        let count = u8::try_from(self.elements.len()).unwrap_or_default();
        let header = [self.flags | ends | count << COUNT_SHIFT];
        let sizes: SmallVec<[_; MAX_ELEMENTS]> =
            others.iter().map(|element| leb128(element.len())).collect();
        let mut pieces: SmallVec<[&[u8]; 1 + 3 * MAX_ELEMENTS]> = SmallVec::new();
        pieces.push(&header);
        for (size, element) in sizes.iter().zip(others) {
            pieces.extend([size, element.header, element.payload]);
        }
        pieces.extend([last.header, last.payload]);
        sink.packet(&pieces, marker);
    }
}

/// Bytes of the longest `leb128()` (AV1 bitstream §4.10.5).
const MAX_LEB128: u32 = 8;

fn read_leb128(r: &mut Reader<'_>) -> Result<usize, Error> {
    let mut value = 0u64;
    for index in 0..MAX_LEB128 {
        let byte = r.u8()?;
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return usize::try_from(value).map_err(|_| Error::Invalid { what: "leb128", value });
        }
    }
    Err(Error::Invalid { what: "leb128", value })
}

fn leb128(mut value: usize) -> SmallVec<[u8; 8]> {
    let mut bytes = SmallVec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7F);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use media::{FrameKind, TrackId};
    use proptest::prelude::*;

    use super::super::Depacketizer as _;
    use super::super::tests::{depacketize, frame, packetize};
    use super::*;

    fn packet(timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
        let payload = Bytes::copy_from_slice(payload);
        Packet { marker, payload_type: 96, sequence: 0, timestamp, ssrc: 1, payload }
    }

    /// All that comes out of packets given as time, marker, loss before it and payload: time,
    /// data and whether it is torn.
    fn read(packets: &[(u32, bool, bool, &[u8])]) -> Vec<(u32, Vec<u8>, bool)> {
        let mut depacketizer = Depacketizer::new();
        for (time, marker, lost, payload) in packets {
            let _ = depacketizer.push(&packet(*time, *marker, payload), *lost);
        }
        depacketizer.flush();
        std::iter::from_fn(|| depacketizer.poll())
            .map(|unit| (unit.timestamp, unit.data.to_vec(), unit.torn))
            .collect()
    }

    /// An OBU with size, of a type and perhaps with the byte of an extension.
    fn obu(kind: u8, extension: Option<u8>, payload: &[u8]) -> Vec<u8> {
        let header = kind << 3 | HAS_SIZE | if extension.is_some() { 4 } else { 0 };
        let extension = extension.as_slice();
        [&[header][..], extension, &leb128(payload.len()), payload].concat()
    }

    fn cut_up(kind: FrameKind, data: &Bytes, config: &[u8], max: usize, time: u32) -> Vec<Packet> {
        let (data, units) = av1::canonical(data).unwrap();
        let frame = frame(TrackId::video(0), kind, data, units);
        let mut packetizer = Packetizer::new(Bytes::copy_from_slice(config));
        packetize(&mut packetizer, &frame, max, time)
    }

    fn headers(packets: &[Packet]) -> Vec<(u8, usize, bool)> {
        packets.iter().map(|p| (p.payload[0], p.payload.len(), p.marker)).collect()
    }

    /// A sequence header and a frame as they are sent, and as they come out.
    const SH: &[u8] = &[0x08, 1, 2];
    const FR: &[u8] = &[0x30, 3, 4, 5];
    const SH_FR: &[u8] = &[0x0A, 2, 1, 2, 0x32, 3, 3, 4, 5];
    const FR_SIZED: &[u8] = &[0x32, 3, 3, 4, 5];

    #[test]
    fn section_4_4_elements_with_and_without_lengths() {
        for payload in [
            [&[0x00, 3][..], SH, &[4], FR].concat(),
            [&[0x08, 0x83, 0][..], SH, &[0, 4], FR].concat(),
            [&[0x20, 3][..], SH, FR].concat(),
            [&[0x28, 3][..], SH, FR].concat(),
            [&[0x30, 2, 0x10, 0, 3][..], SH, FR].concat(), // a temporal delimiter
            [&[0x20, 2, 0x12, 0][..], SH_FR].concat(),     // sizes, two OBUs in an element
            [&[0x30, 3][..], SH, &[2, 0x40, 9], FR].concat(), // a tile list
            [&[0x30, 3][..], SH, &[2, 0x78, 9], FR].concat(), // padding
        ] {
            let got = read(&[(1, true, false, &payload)]);
            assert_eq!(got, [(1, SH_FR.to_vec(), false)], "{payload:x?}");
        }
    }

    #[test]
    fn section_4_4_fragments_reach_across_packets() {
        let got = read(&[
            (1, false, false, &[0x68, 3, 0x08, 1, 2, 0x30]), // Y, with the header alone
            (1, false, false, &[0xD0, 3]),                   // Z and Y
            (1, false, false, &[0xC0, 1, 4]),
            (1, true, false, &[0x80, 1, 5, 2, 0x2C, 0x08]), // Z, and metadata of a layer
        ]);
        assert_eq!(got, [(1, [SH_FR, &[0x2E, 0x08, 0]].concat(), false)]);
    }

    #[test]
    fn a_temporal_unit_ends_at_marker_or_time() {
        let frame = [&[0x10][..], FR].concat();
        let got = read(&[
            (1, true, false, &frame),
            (2, false, false, &frame),
            (2, false, false, &frame),
            (2, false, false, &[]),
            (3, false, false, &frame),
        ]);
        let unit = |time, data: Vec<u8>| (time, data, false);
        let frame = FR_SIZED.to_vec();
        assert_eq!(got, [unit(1, frame.clone()), unit(2, frame.repeat(2)), unit(3, frame)]);
    }

    #[test]
    fn of_a_torn_temporal_unit_come_the_obus_that_are_whole() {
        let frame = [&[0x10][..], FR].concat();
        let got = read(&[
            (1, true, false, &[0x90, 1]),  // begins inside an OBU
            (2, false, false, &[0x50, 7]), // the rest of which is missing
            (2, true, true, &frame),
            (3, true, true, &[0xA0, 1, 9, 0x30, 3, 4, 5]), // the beginning is missing
            (4, true, true, &[0x10, 0x20, 1]),             // tiles without a frame header
            (5, true, true, &frame),
            (6, false, false, &frame),
            (7, true, true, &frame), // the end of 6 is missing
            (8, true, false, &[0x60, 4, 0x30, 3, 4, 5, 9]), // the rest of the last never comes
            (9, false, false, &[0x50, 0x30]),
            (9, true, false, &frame), // nor that of the one before
            (10, true, false, &frame),
        ]);
        let unit = |time, torn| (time, FR_SIZED.to_vec(), torn);
        let tiles = (4, vec![0x22, 1, 1], true);
        assert_eq!(
            got,
            [
                unit(2, true),
                unit(3, true),
                tiles,
                unit(5, false),
                unit(6, true),
                unit(7, false),
                unit(8, true),
                unit(9, true),
                unit(10, false)
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_tears_its_temporal_unit_alone() {
        let frame = [&[0x10][..], FR].concat();
        for broken in [
            &[0x00, 9, 0x30][..],            // a length beyond the payload
            &[0x20, 0x81],                   // a length without end
            &[0x00, 0xFF, 0xFF, 0xFF, 0xFF], // the same
            &[0x30, 1, 0x28],                // fewer elements than said
            &[0x10],                         // none at all
            &[0x10, 0xB0, 1],                // the forbidden bit
            &[0x10, 0x34],                   // no extension
            &[0x10, 0x32, 9, 1],             // a size beyond the element
        ] {
            let mut depacketizer = Depacketizer::new();
            depacketizer.push(&packet(1, false, &frame), false).unwrap();
            assert!(depacketizer.push(&packet(1, true, broken), false).is_err(), "{broken:x?}");
            let unit = depacketizer.poll().unwrap();
            assert_eq!(unit.data.get(..FR_SIZED.len()), Some(FR_SIZED));
            assert!(unit.torn);
            depacketizer.push(&packet(2, true, &frame), false).unwrap();
            assert_eq!(depacketizer.poll().map(|unit| unit.torn), Some(false));
        }
    }

    #[test]
    fn a_temporal_unit_without_end_is_dropped() {
        for header in [0x10, 0xD0] {
            let mut depacketizer = Depacketizer::new();
            depacketizer.push(&packet(1, false, &[0x50, 0x30]), false).unwrap();
            let part = [&[header, 0x30][..], &[7; 1 << 16]].concat();
            let refused = (0..600)
                .filter(|_| depacketizer.push(&packet(1, false, &part), false).is_err())
                .count();
            assert_eq!(refused, 1);
            let frame = [&[0x10][..], FR].concat();
            depacketizer.push(&packet(2, true, &frame), false).unwrap();
            let unit = Unit { timestamp: 2, data: Bytes::from_static(FR_SIZED), torn: false };
            assert_eq!(depacketizer.poll(), Some(unit));
            assert_eq!(depacketizer.poll(), None);
        }
    }

    #[test]
    fn packets_are_filled_and_have_no_sizes() {
        let data = [obu(1, None, &[1; 10]), obu(5, None, &[5; 20]), obu(6, None, &[6; 100])];
        let packets = cut_up(FrameKind::Key, &data.concat().into(), &[], 64, 1);
        assert_eq!(headers(&packets), [(0x78, 64, false), (0xD0, 64, false), (0x90, 10, true)]);
        let first = [&[0x78, 11, 0x08][..], &[1; 10], &[21, 0x28], &[5; 20], &[0x30], &[6; 28]];
        assert_eq!(packets[0].payload, first.concat());
    }

    #[test]
    fn a_packet_has_three_elements_at_most() {
        let data = obu(6, None, &[6]).repeat(7);
        let packets = cut_up(FrameKind::Delta, &data.into(), &[], 64, 1);
        assert_eq!(headers(&packets), [(0x30, 9, false), (0x30, 9, false), (0x10, 3, true)]);
    }

    #[test]
    fn section_5_layers_and_sequence_headers_begin_packets() {
        let (lower, upper) = (Some(0), Some(0x08));
        let data = [obu(6, lower, &[1]), obu(5, None, &[2]), obu(6, upper, &[3])].concat();
        let again = [obu(1, None, &[4]), obu(6, upper, &[5])].concat();
        let data = [data, again].concat().into();
        let packets = cut_up(FrameKind::Delta, &data, &[], 64, 1);
        assert_eq!(headers(&packets), [(0x20, 7, false), (0x10, 4, false), (0x20, 7, true)]);
    }

    #[test]
    fn section_5_what_nobody_wants_is_not_sent() {
        let data = [obu(2, None, &[]), obu(8, None, &[1]), obu(6, None, &[2]), obu(15, None, &[3])];
        let frame =
            frame(TrackId::video(0), FrameKind::Delta, data.concat().into(), media::Units::new());
        let packets = packetize(&mut Packetizer::new(Bytes::new()), &frame, 64, 1);
        assert_eq!(headers(&packets), [(0x10, 3, true)]);
        assert!(cut_up(FrameKind::Delta, &Bytes::new(), &[], 64, 1).is_empty());
    }

    #[test]
    fn a_key_frame_gets_the_sequence_header_that_it_lacks() {
        let config = obu(1, None, &[1, 2]);
        let (with, without) = (Bytes::from_static(SH_FR), Bytes::from_static(FR_SIZED));
        let sent =
            |kind, data| depacketize(&mut Depacketizer::new(), &cut_up(kind, data, &config, 64, 1));
        assert_eq!(sent(FrameKind::Key, &with)[0].data, SH_FR);
        assert_eq!(sent(FrameKind::Key, &without)[0].data, SH_FR);
        assert_eq!(sent(FrameKind::Delta, &without)[0].data, FR_SIZED);
    }

    /// A temporal unit: tiles need a frame before them.
    fn data() -> impl Strategy<Value = Bytes> {
        let kind = prop::sample::select(vec![1u8, 3, 4, 5, 6, 7, 9]);
        let extension = prop::option::weighted(0.3, prop::sample::select(vec![0u8, 0x08, 0x20]));
        let payload = prop::collection::vec(any::<u8>(), 0..400);
        let any = (kind, extension, payload)
            .prop_map(|(kind, extension, payload)| obu(kind, extension, &payload));
        prop::collection::vec(any, 0..8).prop_map(|more| {
            [obu(1, None, &[1]), obu(6, None, &[6; 50]), more.concat()].concat().into()
        })
    }

    proptest! {
        #[test]
        fn what_is_cut_is_put_together_again(
            frames in prop::collection::vec(data(), 1..4),
            max in 64usize..1500,
            key: bool,
            markers: bool,
        ) {
            let kind = if key { FrameKind::Key } else { FrameKind::Delta };
            let mut packets = Vec::new();
            for (time, data) in (1..).zip(&frames) {
                let cut = cut_up(kind, data, &[], max, time);
                for (index, packet) in cut.iter().enumerate() {
                    let header = packet.payload[0];
                    prop_assert_eq!(header & NEW_SEQUENCE != 0, key && index == 0);
                    prop_assert_eq!(packet.marker, index + 1 == cut.len());
                    if header & CONTINUES != 0 {
                        prop_assert_eq!(packet.payload.len(), max);
                    }
                }
                packets.extend(cut);
            }
            for packet in &mut packets {
                packet.marker &= markers;
            }
            let got = depacketize(&mut Depacketizer::new(), &packets);
            let sent = (1..).zip(frames);
            let sent = sent.map(|(timestamp, data)| Unit { timestamp, data, torn: false });
            prop_assert_eq!(got, sent.collect::<Vec<_>>());
        }

        #[test]
        fn losses_tear_what_they_hit(
            frames in prop::collection::vec(data(), 1..6),
            keep in prop::collection::vec(prop::bool::weighted(0.8), 64),
        ) {
            let mut depacketizer = Depacketizer::new();
            let mut keep = keep.into_iter().cycle();
            let (mut lost, mut got, mut complete) = (false, Vec::new(), Vec::new());
            let mut headless = Vec::new();
            for (time, data) in (1..).zip(&frames) {
                let mut whole = true;
                let packets = cut_up(FrameKind::Delta, data, &[], 100, time);
                for (index, packet) in packets.iter().enumerate() {
                    if keep.next() == Some(true) {
                        depacketizer.push(packet, std::mem::take(&mut lost)).unwrap();
                    } else {
                        (lost, whole) = (true, false);
                        if index == 0 {
                            headless.push(time);
                        }
                    }
                    got.extend(std::iter::from_fn(|| depacketizer.poll()));
                }
                if whole {
                    complete.push(Unit { timestamp: time, data: data.clone(), torn: false });
                }
            }
            got.retain(|unit| !unit.torn);
            // What lost whole OBUs at its beginning may look intact.
            for unit in got.extract_if(.., |unit| headless.contains(&unit.timestamp)) {
                let index = usize::try_from(unit.timestamp - 1).unwrap();
                prop_assert!(frames[index].ends_with(&unit.data));
            }
            prop_assert_eq!(got, complete);
        }

        #[test]
        fn anything_is_survived(
            packets in prop::collection::vec(
                (0u32..3, any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..20)),
                0..60,
            ),
        ) {
            let packets: Vec<_> = packets
                .iter()
                .map(|(time, marker, lost, data)| (*time, *marker, *lost, &data[..]))
                .collect();
            for (_, data, _) in read(&packets) {
                for obu in av1::obus(&data) {
                    prop_assert!(obu.unwrap().has_size);
                }
            }
        }
    }
}
