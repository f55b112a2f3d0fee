//! VP8 ([RFC 7741](https://www.rfc-editor.org/rfc/rfc7741)).
//!
//! Reads the whole payload descriptor (§4.2), but only where a frame begins matters here: nobody
//! asks for picture numbers and temporal layers. Writes the byte of it that is mandatory.
//!
//! What comes out of a frame that lost a part is what [`super::vp`] says.
//!
//! Tolerated: frames of one time (a hidden one and the one that is shown) without a marker between
//! them; see also [`super::vp`].

use media::{Error, Frame, Reader};

use super::Sink;
use super::vp::{self, Place, cut};

/// Puts frames together.
pub(crate) type Depacketizer = vp::Depacketizer<Descriptor>;

/// What stands before each payload.
#[derive(Debug)]
pub(crate) struct Descriptor;

impl vp::Descriptor for Descriptor {
    const BEGINNING_ENDS: bool = true;

    /// §4.2.
    fn read(r: &mut Reader<'_>) -> Result<Place, Error> {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::FrameKind;

    use super::*;
    use crate::Packet;
    use crate::payload::Depacketizer as _;
    use crate::payload::tests::{self, packet, packetize, picture};

    /// As [`tests::read`].
    fn read(packets: &[(u32, bool, bool, &[u8])]) -> Vec<(u32, Vec<u8>, bool)> {
        tests::read(&mut Depacketizer::new(), packets)
    }

    fn cut_up(data: &Bytes, max: usize, timestamp: u32) -> Vec<Packet> {
        packetize(&mut Packetizer::new(), &picture(FrameKind::Delta, data), max, timestamp)
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
}
