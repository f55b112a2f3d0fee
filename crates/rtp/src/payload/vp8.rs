//! VP8 ([RFC 7741](https://www.rfc-editor.org/rfc/rfc7741)).
//!
//! Reads the whole payload descriptor (§4.2), but only where a frame begins matters here: nobody
//! asks for picture numbers and temporal layers. Writes the byte of it that is mandatory.
//!
//! Of a frame that lost a part comes out what lies before the gap, since only that can still be
//! told from what it is not; a frame that lost its beginning does not come out.
//!
//! Tolerated: markers that are missing, and frames of one time (a hidden one and the one that is
//! shown) without a marker between them.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use media::{Error, Frame, Reader};

use super::{MAX_UNIT, Sink, Unit};
use crate::Packet;

/// Puts frames together.
#[derive(Debug)]
pub(crate) struct Depacketizer {
    assembler: Assembler,
}

impl Depacketizer {
    pub(crate) fn new() -> Self {
        Self { assembler: Assembler::new() }
    }

    fn payload(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut r = Reader::new(payload);
        let place = descriptor(&mut r)?;
        if place == Place::Picture {
            self.assembler.complete();
        }
        self.assembler.append(place, r.rest())
    }
}

impl super::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        self.assembler.begin_packet(packet, lost);
        let read = if packet.payload.is_empty() { Ok(()) } else { self.payload(&packet.payload) };
        self.assembler.end_packet(packet, read)
    }

    fn poll(&mut self) -> Option<Unit> {
        self.assembler.poll()
    }

    fn flush(&mut self) {
        self.assembler.complete();
    }
}

/// §4.2: passes over the descriptor.
fn descriptor(r: &mut Reader<'_>) -> Result<Place, Error> {
    let first = r.u8()?;
    if first & EXTENDED != 0 {
        let present = r.u8()?;
        if present & 0x80 != 0 && r.u8()? & 0x80 != 0 {
            let _picture_id_low = r.u8()?;
        }
        if present & 0x40 != 0 {
            let _tl0_pic_idx = r.u8()?;
        }
        if present & 0x30 != 0 {
            let _tid_y_key_idx = r.u8()?;
        }
    }
    let begins = first & (START | PARTITION) == START;
    Ok(if begins { Place::Picture } else { Place::Inside })
}

/// The bits X and S, and the field PID.
const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PARTITION: u8 = 0x07;

/// Cuts frames.
#[derive(Debug)]
pub(crate) struct Packetizer;

impl Packetizer {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl super::Packetizer for Packetizer {
    /// All is said to be of the first partition, as §4.4 allows: nobody has to find the others.
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink) {
        cut(&frame.data, max, sink, |first, _| if first { START } else { 0 });
    }
}

/// Puts pictures together whose packets say where they begin: those of VP8 and VP9.
#[derive(Debug)]
pub(crate) struct Assembler {
    /// What there is of the picture in hand.
    data: BytesMut,
    /// Where the last of its frames begins.
    frame: usize,
    timestamp: u32,
    state: State,
    ready: VecDeque<Unit>,
}

/// How much of the picture in hand is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came yet, and what came before it is not known.
    Gap,
    /// Nothing came yet.
    Empty,
    /// Everything came so far.
    Whole,
    /// Something is missing; what follows is worth nothing.
    Torn,
}

/// Where in a picture a payload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Begins it.
    Picture,
    /// Begins a frame of an upper layer.
    Layer,
    /// Continues a frame.
    Inside,
}

impl Assembler {
    pub(crate) fn new() -> Self {
        Self {
            data: BytesMut::new(),
            frame: 0,
            timestamp: 0,
            state: State::Gap,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    /// A packet begins.
    pub(super) fn begin_packet(&mut self, packet: &Packet, lost: bool) {
        if lost && self.state == State::Whole {
            self.tear();
        }
        if packet.timestamp != self.timestamp {
            self.complete();
            self.timestamp = packet.timestamp;
        }
        if lost && self.state == State::Empty {
            self.state = State::Gap;
        }
    }

    /// A packet has been read, or could not be: then whatever it was is missing.
    pub(super) fn end_packet(
        &mut self,
        packet: &Packet,
        read: Result<(), Error>,
    ) -> Result<(), Error> {
        if read.is_err() {
            self.tear();
        }
        if packet.marker {
            self.complete();
        }
        read
    }

    /// Takes a payload without its descriptor.
    pub(super) fn append(&mut self, place: Place, bytes: &[u8]) -> Result<(), Error> {
        self.state = match (self.state, place) {
            (State::Torn, _) => return Ok(()),
            (State::Whole, _) | (_, Place::Picture) | (State::Empty, Place::Layer) => State::Whole,
            (State::Gap, Place::Layer) | (_, Place::Inside) => {
                self.state = State::Torn;
                return Ok(());
            }
        };
        if place != Place::Inside {
            self.frame = self.data.len();
        }
        if self.data.len() + bytes.len() > MAX_UNIT {
            self.data.clear();
            self.frame = 0;
            return Err(Error::Invalid { what: "frame size", value: MAX_UNIT as u64 });
        }
        self.data.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the picture in hand.
    pub(super) fn complete(&mut self) {
        let data = self.data.split().freeze();
        if !data.is_empty() {
            let torn = self.state == State::Torn;
            self.ready.push_back(Unit { timestamp: self.timestamp, data, torn });
        }
        if self.state != State::Gap {
            self.state = State::Empty;
        }
        self.frame = 0;
    }

    /// A part of the frame in hand is missing. Lower layers can do without it.
    fn tear(&mut self) {
        if self.frame > 0 {
            self.data.truncate(self.frame);
        }
        self.state = State::Torn;
    }
}

/// Cuts a frame into payloads with descriptors of one byte, made from whether it is the first and
/// whether it is the last one.
pub(super) fn cut(
    frame: &Bytes,
    max: usize,
    sink: &mut dyn Sink,
    descriptor: impl Fn(bool, bool) -> u8,
) {
    let mut parts = frame.chunks(max.saturating_sub(1).max(1)).enumerate().peekable();
    while let Some((index, part)) = parts.next() {
        let last = parts.peek().is_none();
        sink.packet(&[&[descriptor(index == 0, last)], part], last);
    }
}

#[cfg(test)]
mod tests {
    use media::{FrameKind, TrackId, Units};
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

    fn cut_up(data: &Bytes, max: usize, timestamp: u32) -> Vec<Packet> {
        let frame = frame(TrackId::video(0), FrameKind::Delta, data.clone(), Units::new());
        packetize(&mut Packetizer::new(), &frame, max, timestamp)
    }

    #[test]
    fn section_4_2_every_descriptor_is_passed_over() {
        for descriptor in [
            &[0x10][..],
            &[0x18],                         // a reserved bit
            &[0x30],                         // a frame that nothing refers to
            &[0x90, 0x00],                   // no extension
            &[0x90, 0x80, 0x11],             // a picture number of 7 bits
            &[0x90, 0x80, 0x91, 0x22],       // of 15 bits
            &[0x90, 0x40, 0x07],             // TL0PICIDX
            &[0x90, 0x20, 0x40],             // TID
            &[0x90, 0x10, 0x03],             // KEYIDX
            &[0x90, 0x30, 0x43],             // both, in the same byte
            &[0x90, 0xF0, 0x91, 0x22, 7, 1], // everything
        ] {
            let payload = [descriptor, b"frame"].concat();
            let got = read(&[(1, true, false, &payload)]);
            assert_eq!(got, [(1, b"frame".to_vec(), false)], "{descriptor:x?}");
            for length in 1..descriptor.len() {
                let cut = packet(1, true, &payload[..length]);
                assert!(Depacketizer::new().push(&cut, false).is_err(), "{descriptor:x?}");
            }
        }
    }

    #[test]
    fn a_frame_ends_at_marker_time_or_beginning_of_the_next() {
        let got = read(&[
            (1, false, false, b"\x10a"),
            (1, true, false, b"\x00b"),
            (2, false, false, b"\x10c"),
            (2, false, false, b"\x11d"), // the beginning of partition 1
            (3, false, false, b"\x10e"),
            (3, false, false, b"\x10f"),
            (3, false, false, b""),
            (3, true, false, b"\x01g"),
        ]);
        let whole = |time, data: &[u8]| (time, data.to_vec(), false);
        assert_eq!(got, [whole(1, b"ab"), whole(2, b"cd"), whole(3, b"e"), whole(3, b"fg")]);
    }

    #[test]
    fn a_marker_hands_out_at_once_and_time_with_the_next_packet() {
        let mut depacketizer = Depacketizer::new();
        depacketizer.push(&packet(1, true, b"\x10a"), false).unwrap();
        assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), Some(1));
        depacketizer.push(&packet(2, false, b"\x10a"), false).unwrap();
        assert_eq!(depacketizer.poll(), None);
        depacketizer.push(&packet(3, false, b"\x10a"), false).unwrap();
        assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), Some(2));
        assert_eq!(depacketizer.poll(), None);
    }

    #[test]
    fn of_a_torn_frame_comes_its_beginning() {
        let got = read(&[
            (1, false, false, b"\x00z"), // the session begins inside a frame
            (1, true, false, b"\x00z"),
            (2, false, false, b"\x10a"),
            (2, false, true, b"\x00c"),
            (2, true, false, b"\x00d"),
            (3, true, true, b"\x00f"), // its beginning is missing
            (4, true, true, b"\x10g"),
            (5, false, false, b"\x10h"),
            (6, true, true, b"\x10j"), // the end of 5 is missing
            (7, false, false, b"\x10k"),
            (7, false, true, b""), // padding tells of the loss too
            (7, true, false, b"\x00m"),
        ]);
        let unit = |time, data: &[u8], torn| (time, data.to_vec(), torn);
        assert_eq!(
            got,
            [
                unit(2, b"a", true),
                unit(4, b"g", false),
                unit(5, b"h", true),
                unit(6, b"j", false),
                unit(7, b"k", true)
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_tears_its_frame_alone() {
        let got = read(&[
            (1, false, false, b"\x10a"),
            (1, true, false, b"\x80"),
            (2, false, false, b"\x90\x80"),
            (2, true, false, b"\x00b"),
            (3, true, false, b"\x10c"),
        ]);
        assert_eq!(got, [(1, b"a".to_vec(), true), (3, b"c".to_vec(), false)]);
    }

    #[test]
    fn a_frame_without_end_is_dropped() {
        let mut depacketizer = Depacketizer::new();
        let part = [&[0][..], &[7; 1 << 16]].concat();
        depacketizer.push(&packet(1, false, &[&[0x10][..], &part].concat()), false).unwrap();
        let pushed: Vec<_> =
            (0..300).map(|_| depacketizer.push(&packet(1, false, &part), false)).collect();
        assert_eq!(pushed.iter().filter(|result| result.is_err()).count(), 1);
        depacketizer.push(&packet(2, true, b"\x10a"), false).unwrap();
        assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), Some(2));
        assert_eq!(depacketizer.poll(), None);
    }

    #[test]
    fn all_packets_of_a_frame_but_the_last_are_full() {
        let packets = cut_up(&Bytes::from(vec![9; 150]), 64, 1);
        let got: Vec<_> =
            packets.iter().map(|p| (p.payload[0], p.payload.len(), p.marker)).collect();
        assert_eq!(got, [(0x10, 64, false), (0, 64, false), (0, 25, true)]);
        assert_eq!(cut_up(&Bytes::from(vec![9; 63]), 64, 1).len(), 1);
        assert!(cut_up(&Bytes::new(), 64, 1).is_empty());
    }

    fn data() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 1..3000).prop_map(Bytes::from)
    }

    proptest! {
        #[test]
        fn what_is_cut_is_put_together_again(
            frames in prop::collection::vec(data(), 1..4),
            max in 64usize..1500,
            markers: bool,
        ) {
            let mut packets: Vec<_> =
                (1..).zip(&frames).flat_map(|(time, data)| cut_up(data, max, time)).collect();
            prop_assert_eq!(packets.iter().filter(|packet| packet.marker).count(), frames.len());
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
            for (time, data) in (1..).zip(&frames) {
                let mut whole = true;
                for packet in cut_up(data, 400, time) {
                    if keep.next() == Some(true) {
                        depacketizer.push(&packet, std::mem::take(&mut lost)).unwrap();
                    } else {
                        (lost, whole) = (true, false);
                    }
                    got.extend(std::iter::from_fn(|| depacketizer.poll()));
                }
                if whole {
                    complete.push(Unit { timestamp: time, data: data.clone(), torn: false });
                }
            }
            let intact: Vec<_> = got.into_iter().filter(|unit| !unit.torn).collect();
            prop_assert_eq!(intact, complete);
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
            read(&packets);
        }
    }
}
