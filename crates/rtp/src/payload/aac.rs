//! AAC in modes AAC-hbr and AAC-lbr of [RFC 3640] (`MPEG4-GENERIC`, §3.3.5 and §3.3.6).
//!
//! A payload is an AU header section (§3.2.1) and access units, whole or one in part (§3.2.3).
//! Auxiliary sections, time stamps and stream states in AU headers do not occur in these modes.
//!
//! Tolerated of real peers:
//! - The size in the headers of fragments may be that of the fragment where §3.2.1 wants that of
//!   the access unit: a whole one in a packet without marker waits for the rest of it (gortsplib).
//! - Others never set the marker: it is trusted only after it was seen.
//! - An access unit may be wrapped in ADTS, where there is to be a raw one.
//! - A last access unit that is longer than its packet comes out torn.
//!
//! Interleaved access units (§3.2.3.2) get their own timestamps, and come out in the order in
//! which they were sent.
//!
//! [RFC 3640]: https://www.rfc-editor.org/rfc/rfc3640

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use media::aac::adts;
use media::{BitReader, Error, Frame, Reader};

use super::{Sink, Unit};
use crate::Packet;

/// Bytes that an access unit may have: eight times what 13 bits of size can tell.
const MAX_AU: usize = 64 << 10;

/// Widths of the fields of AU headers in bits (§3.2.1.1), at most 32 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// `sizeLength`: of the size; 0 when every packet has one access unit and no sizes.
    pub(crate) size_length: u8,
    /// `indexLength`: of the index of the first access unit in a packet.
    pub(crate) index_length: u8,
    /// `indexDeltaLength`: of the distance to the index of the one before.
    pub(crate) index_delta_length: u8,
}

impl Layout {
    /// Mode AAC-hbr.
    pub(crate) const HBR: Self = Self { size_length: 13, index_length: 3, index_delta_length: 3 };
    /// Mode AAC-lbr.
    pub(crate) const LBR: Self = Self { size_length: 6, index_length: 2, index_delta_length: 2 };

    /// Whether there is no AU header section.
    fn is_empty(self) -> bool {
        (self.size_length, self.index_length, self.index_delta_length) == (0, 0, 0)
    }
}

/// Takes access units out of packets.
#[derive(Debug)]
pub(crate) struct Depacketizer {
    layout: Layout,
    /// How long an access unit lasts.
    ticks: u32,
    partial: Option<Partial>,
    /// The peer is known to set the marker.
    marks: bool,
    ready: VecDeque<Unit>,
}

/// An access unit of which more may come.
#[derive(Debug)]
struct Partial {
    timestamp: u32,
    /// As its header tells; `None` when headers only speak of fragments.
    size: Option<usize>,
    data: BytesMut,
    torn: bool,
}

impl Depacketizer {
    /// For access units of `ticks` each, on the clock of RTP timestamps.
    pub(crate) fn new(layout: Layout, ticks: u32) -> Self {
        Self { layout, ticks, partial: None, marks: false, ready: VecDeque::new() }
    }

    /// The access units of a packet with headers.
    fn read(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        let Layout { size_length, index_length, index_delta_length } = self.layout;
        let mut r = Reader::new(&packet.payload);
        let bits = r.u16()?;
        let mut headers = BitReader::new(r.take(usize::from(bits.div_ceil(8)))?);
        let (end, size_length) = (usize::from(bits), usize::from(size_length));
        let (first, next) = (usize::from(index_length), usize::from(index_delta_length));
        if bits == 0 || end < size_length + first {
            return Err(Error::Invalid { what: "AU-headers-length", value: bits.into() });
        }
        let mut timestamp = packet.timestamp;
        if size_length == 0 {
            self.emit(timestamp, packet.payload.slice_ref(r.rest()), false);
            return Ok(());
        }
        let alone = end < 2 * size_length + first + next;
        let mut size = headers.bits(self.layout.size_length.into())?;
        headers.bits(index_length.into())?;
        loop {
            let wanted = usize::try_from(size).unwrap_or(usize::MAX);
            if wanted > MAX_AU {
                return Err(Error::Invalid { what: "AU-size", value: size.into() });
            }
            let data = packet.payload.slice_ref(r.take(wanted.min(r.remaining()))?);
            if data.len() < wanted {
                self.add(timestamp, Some(wanted), &data, lost)?;
                if packet.marker {
                    self.finish();
                }
            } else if alone {
                self.single(packet, data, lost)?;
            } else {
                self.emit(timestamp, data, false);
            }
            if end - headers.position() < size_length + next {
                return Ok(());
            }
            size = headers.bits(self.layout.size_length.into())?;
            let skipped = headers.bits(index_delta_length.into())?;
            let ahead = skipped.wrapping_add(1).wrapping_mul(self.ticks);
            timestamp = timestamp.wrapping_add(ahead);
        }
    }

    /// An access unit that is whole by its header and alone in its packet; or a fragment.
    fn single(&mut self, packet: &Packet, data: Bytes, lost: bool) -> Result<(), Error> {
        let continues = self.partial.as_ref().is_some_and(|partial| partial.size.is_none());
        if continues || (self.marks && !packet.marker) {
            self.add(packet.timestamp, None, &data, lost)?;
            if packet.marker {
                self.finish();
            }
        } else {
            self.finish();
            self.emit(packet.timestamp, data, false);
        }
        Ok(())
    }

    /// Takes a fragment of the access unit that is under way, or of the next.
    fn add(
        &mut self,
        timestamp: u32,
        size: Option<usize>,
        data: &[u8],
        lost: bool,
    ) -> Result<(), Error> {
        let same = |partial: &Partial| partial.timestamp == timestamp && partial.size == size;
        if !self.partial.as_ref().is_some_and(same) {
            self.finish();
        }
        let partial = self.partial.get_or_insert_with(|| Partial {
            timestamp,
            size,
            data: BytesMut::new(),
            torn: lost,
        });
        let free = size.unwrap_or(MAX_AU).saturating_sub(partial.data.len());
        if data.len() > free && size.is_none() {
            self.partial = None;
            return Err(Error::Invalid { what: "AU-size", value: MAX_AU as u64 });
        }
        // What is more than announced is padding.
        partial.data.extend_from_slice(data.get(..free).unwrap_or(data));
        if Some(partial.data.len()) == size {
            self.finish();
        }
        Ok(())
    }

    /// No more fragments come.
    fn finish(&mut self) {
        if let Some(Partial { timestamp, size, data, torn }) = self.partial.take() {
            let short = size.is_some_and(|size| data.len() < size);
            self.emit(timestamp, data.freeze(), torn || short);
        }
    }

    fn emit(&mut self, timestamp: u32, mut data: Bytes, torn: bool) {
        // A raw access unit can't begin like this: 0b111 would be its end.
        if let Ok(header) = adts::Header::parse(&data)
            && header.frame_length == data.len()
        {
            data = data.slice_ref(header.payload(&data).unwrap_or_default());
        }
        if !data.is_empty() {
            self.ready.push_back(Unit { timestamp, data, torn });
        }
    }
}

impl super::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        self.marks |= packet.marker;
        if let Some(partial) = &mut self.partial {
            partial.torn |= lost;
            if partial.timestamp != packet.timestamp {
                self.finish();
            }
        }
        if self.layout.is_empty() {
            self.emit(packet.timestamp, packet.payload.clone(), false);
            return Ok(());
        }
        self.read(packet, lost)
    }

    fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    fn flush(&mut self) {
        self.finish();
    }
}

/// Puts one access unit, or a fragment of one, into each packet, with the headers of AAC-hbr.
#[derive(Debug)]
pub(crate) struct Packetizer;

impl Packetizer {
    pub(crate) fn new() -> Self {
        Self
    }
}

/// Bytes of an AU header section with one header.
const HEADERS: usize = 4;

/// What `sizeLength` 13 can tell.
const MAX_SIZE: u16 = (1 << 13) - 1;

impl super::Packetizer for Packetizer {
    /// An access unit above 8191 bytes can't be told, and is left out; AAC has at most 6144 bits
    /// per channel in one.
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink) {
        let Some(size) = u16::try_from(frame.data.len()).ok().filter(|&size| size <= MAX_SIZE)
        else {
            return;
        };
        let [high, low] = (size << 3).to_be_bytes();
        let headers = [0, 16, high, low];
        let mut fragments = frame.data.chunks(max.saturating_sub(HEADERS).max(1)).peekable();
        while let Some(fragment) = fragments.next() {
            sink.packet(&[&headers, fragment], fragments.peek().is_none());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::payload::Depacketizer as _;
    use crate::payload::tests::{
        anything, damaged, depacketize, losses, lossy, packet, packetize, rest, sound, unit,
    };

    fn packets(data: &[u8], max: usize, timestamp: u32) -> Vec<Packet> {
        packetize(&mut Packetizer::new(), &sound(data), max, timestamp)
    }

    fn hbr() -> Depacketizer {
        Depacketizer::new(Layout::HBR, 1024)
    }

    #[test]
    fn a_packet_of_one_access_unit() {
        let list = packets(b"frame", 64, 7);
        assert_eq!(&list[0].payload[..], b"\x00\x10\x00\x28frame");
        assert!(list[0].marker);
        assert_eq!(depacketize(&mut hbr(), &list), [unit(7, b"frame", false)]);
    }

    #[test]
    fn several_access_units_follow_each_other() {
        let payload = b"\0\x30\0\x10\0\x18\0\x08aabbbc";
        let units = depacketize(&mut hbr(), &[packet(u32::MAX, true, payload)]);
        let expected =
            [unit(u32::MAX, b"aa", false), unit(1023, b"bbb", false), unit(2047, b"c", false)];
        assert_eq!(units, expected);
    }

    /// §3.2.3.2: an index that is skipped is the time of one access unit.
    #[test]
    fn interleaved_access_units_have_their_own_time() {
        let payload = b"\0\x20\0\x10\0\x1Aaabbb";
        let units = depacketize(&mut hbr(), &[packet(0, true, payload)]);
        assert_eq!(units, [unit(0, b"aa", false), unit(3 * 1024, b"bbb", false)]);
    }

    /// §3.3.5: six bits of size and two of index.
    #[test]
    fn low_bit_rate() {
        let mut low = Depacketizer::new(Layout::LBR, 1024);
        let units = depacketize(&mut low, &[packet(0, true, b"\0\x10\x08\x0Caabbb")]);
        assert_eq!(units, [unit(0, b"aa", false), unit(1024, b"bbb", false)]);
    }

    #[test]
    fn without_sizes_a_packet_is_an_access_unit() {
        let layout = Layout { size_length: 0, index_length: 0, index_delta_length: 0 };
        let mut bare = Depacketizer::new(layout, 1024);
        let list = [packet(0, true, b"one"), packet(1024, false, b"two"), packet(1, true, b"")];
        assert_eq!(
            depacketize(&mut bare, &list),
            [unit(0, b"one", false), unit(1024, b"two", false)]
        );
        let mut indexed = Depacketizer::new(Layout { index_length: 8, ..layout }, 1024);
        let units = depacketize(&mut indexed, &[packet(0, true, b"\0\x08\x01one")]);
        assert_eq!(units, [unit(0, b"one", false)]);
    }

    /// §3.2.3.1: every fragment has the size of the whole.
    #[test]
    fn long_access_units_are_fragmented() {
        let data: Vec<u8> = (0..150).collect();
        let list = packets(&data, 64, 0);
        let lengths: Vec<_> = list.iter().map(|p| (p.payload.len(), p.marker)).collect();
        assert_eq!(lengths, [(64, false), (64, false), (34, true)]);
        assert!(list.iter().all(|p| p.payload.starts_with(&[0, 16, 0x04, 0xB0])));
        assert_eq!(depacketize(&mut hbr(), &list), [unit(0, &data, false)]);
    }

    #[test]
    fn a_lost_fragment_leaves_a_torn_unit() {
        let data: Vec<u8> = (0..150).collect();
        let list = packets(&data, 64, 0);
        for gone in 0..3 {
            let mut depacketizer = hbr();
            for (index, packet) in list.iter().enumerate().filter(|&(index, _)| index != gone) {
                depacketizer.push(packet, index == gone + 1).unwrap();
            }
            depacketizer.push(&packet(1024, true, b"\0\x10\0\x08x"), gone == 2).unwrap();
            let torn = depacketizer.poll().unwrap();
            assert!(torn.torn && torn.timestamp == 0);
            assert_eq!(depacketizer.poll(), Some(unit(1024, b"x", false)));
            assert_eq!(depacketizer.poll(), None);
        }
    }

    #[test]
    fn a_unit_longer_than_its_last_packet_is_torn() {
        let list = [packet(0, true, b"\0\x10\0\x50abc"), packet(1024, true, b"\0\x10\0\x08x")];
        let expected = [unit(0, b"abc", true), unit(1024, b"x", false)];
        assert_eq!(depacketize(&mut hbr(), &list), expected);
    }

    #[test]
    fn fragments_may_tell_their_own_size() {
        let list = [
            packet(0, true, b"\0\x10\0\x08x"),
            packet(1024, false, b"\0\x10\0\x18abc"),
            packet(1024, false, b"\0\x10\0\x18def"),
            packet(1024, true, b"\0\x10\0\x08g"),
            packet(2048, false, b"\0\x10\0\x08y"),
            packet(3072, true, b"\0\x10\0\x08z"),
        ];
        let expected = [
            unit(0, b"x", false),
            unit(1024, b"abcdefg", false),
            unit(2048, b"y", false),
            unit(3072, b"z", false),
        ];
        assert_eq!(depacketize(&mut hbr(), &list), expected);
    }

    #[test]
    fn a_peer_without_markers_is_not_waited_for() {
        let mut depacketizer = hbr();
        for n in 0..3 {
            depacketizer.push(&packet(n * 1024, false, b"\0\x10\0\x08x"), false).unwrap();
            assert_eq!(depacketizer.poll(), Some(unit(n * 1024, b"x", false)));
        }
    }

    #[test]
    fn adts_is_taken_off() {
        let config = media::aac::Config::new(2, 48_000, 2).unwrap();
        let wrapped = [&adts::header(&config, 5).unwrap()[..], b"frame"].concat();
        assert_eq!(depacketize(&mut hbr(), &packets(&wrapped, 64, 0)), [unit(0, b"frame", false)]);
    }

    #[test]
    fn header_sections_that_lie_are_refused() {
        for payload in [&b""[..], b"\0", b"\0\0abc", b"\0\x0F\0\x08x", b"\0\x10\0", b"\xFF\xFFabc"]
        {
            assert!(hbr().push(&packet(0, true, payload), false).is_err(), "{payload:x?}");
        }
        let wide = Layout { size_length: 32, index_length: 0, index_delta_length: 0 };
        let long = packet(0, false, b"\0\x20\0\x01\0\x01abc");
        assert!(Depacketizer::new(wide, 1024).push(&long, false).is_err());
        let wider = Layout { size_length: 33, ..wide };
        let long = packet(0, false, b"\0\x21\0\0\0\0\0abc");
        assert!(Depacketizer::new(wider, 1024).push(&long, false).is_err());
    }

    #[test]
    fn fragments_without_end_are_refused() {
        let mut depacketizer = hbr();
        depacketizer.push(&packet(9, true, b"\0\x10\0\x08x"), false).unwrap();
        let fragment = packet(0, false, &[&b"\0\x10\xFF\xF8"[..], &[0; 8191]].concat());
        for _ in 0..8 {
            depacketizer.push(&fragment, false).unwrap();
        }
        assert!(depacketizer.push(&fragment, false).is_err());
    }

    #[test]
    fn what_the_size_cannot_tell_is_left_out() {
        assert_eq!(packets(&[1; 8191], 1400, 0).len(), 6);
        assert!(packets(&[1; 8192], 1400, 0).is_empty());
        assert!(packets(&[], 1400, 0).is_empty());
    }

    /// Frames as they can be: none is ADTS.
    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let frame = proptest::collection::vec(0u8..0xFF, 1..600);
        proptest::collection::vec(frame, 1..8)
    }

    fn sent(frames: &[Vec<u8>], max: usize) -> Vec<Packet> {
        (0u32..).zip(frames).flat_map(|(n, data)| packets(data, max, n * 1024)).collect()
    }

    proptest! {
        #[test]
        fn any_frames_come_back(frames in frames(), max in 64usize..400) {
            let units = depacketize(&mut hbr(), &sent(&frames, max));
            let expected: Vec<_> =
                (0u32..).zip(&frames).map(|(n, data)| unit(n * 1024, data, false)).collect();
            prop_assert_eq!(units, expected);
        }

        #[test]
        fn what_is_not_torn_is_whole(
            frames in frames(),
            max in 64usize..400,
            kept in losses(),
        ) {
            let mut depacketizer = hbr();
            let (mut got, _) = lossy(&mut depacketizer, &sent(&frames, max), &kept);
            got.extend(rest(&mut depacketizer));
            for got in got.iter().filter(|got| !got.torn) {
                let index = usize::try_from(got.timestamp / 1024).unwrap();
                prop_assert_eq!(&got.data[..], &frames[index][..]);
            }
        }

        #[test]
        fn damage_does_no_harm(
            frames in frames(),
            harm: Vec<(Index, Index, u8)>,
            lost: bool,
        ) {
            let list = damaged(sent(&frames, 100), &harm);
            let mut depacketizer = hbr();
            for packet in &list {
                let _ = depacketizer.push(packet, lost);
            }
        }

        #[test]
        fn whatever_comes_is_read_or_refused(
            packets in anything(),
            size_length in 0u8..40,
            index_length in 0u8..40,
            index_delta_length in 0u8..40,
        ) {
            let layout = Layout { size_length, index_length, index_delta_length };
            let mut depacketizer = Depacketizer::new(layout, u32::MAX / 3);
            for (timestamp, marker, lost, payload) in packets {
                let _ = depacketizer.push(&packet(timestamp, marker, &payload), lost);
                let small = [&[0, 8 * u8::try_from(timestamp).unwrap()], &payload[..]].concat();
                let _ = depacketizer.push(&packet(timestamp, marker, &small), lost);
            }
            rest(&mut depacketizer);
        }
    }
}
