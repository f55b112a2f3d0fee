//! VP9 ([RFC 9628](https://www.rfc-editor.org/rfc/rfc9628)).
//!
//! Reads the whole payload descriptor (§4.2), with references and scalability structure, but only
//! where a frame begins and whether it is of an upper spatial layer matters here. The frames of
//! all layers of a picture come out one after the other, without a superframe index: decoders take
//! that. Writes the byte of the descriptor that is mandatory, in non-flexible mode without
//! scalability structure, where no picture number is needed; all layers travel as one frame.
//!
//! What comes out of a picture that lost a part is what [`super::vp`] says.
//!
//! Tolerated: a flexible mode without picture numbers; see also [`super::vp`].

use media::{Error, Frame, Reader};

use super::Sink;
use super::vp::{self, Place, cut};

/// Puts pictures together.
pub(crate) type Depacketizer = vp::Depacketizer<Descriptor>;

/// The bits of the first byte of a descriptor.
const PICTURE_ID: u8 = 0x80;
const INTER: u8 = 0x40;
const LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const STRUCTURE: u8 = 0x02;

/// What stands before each payload.
#[derive(Debug)]
pub(crate) struct Descriptor;

impl vp::Descriptor for Descriptor {
    /// All of one time is one picture, whose layers may each begin.
    const BEGINNING_ENDS: bool = false;

    /// §4.2.
    fn read(r: &mut Reader<'_>) -> Result<Place, Error> {
        let first = r.u8()?;
        let has = |bits| first & bits == bits;
        if has(PICTURE_ID) && r.u8()? & 0x80 != 0 {
            let _picture_id_low = r.u8()?;
        }
        let mut spatial = 0;
        if has(LAYERS) {
            spatial = r.u8()? >> 1 & 7;
            if !has(FLEXIBLE) {
                let _tl0_pic_idx = r.u8()?;
            }
        }
        if has(INTER | FLEXIBLE) {
            references(r)?;
        }
        if has(STRUCTURE) {
            scalability_structure(r)?;
        }
        Ok(match (has(BEGIN), spatial) {
            (false, _) => Place::Inside,
            (true, 0) => Place::Picture,
            (true, _) => Place::Layer,
        })
    }
}

/// The differences of picture numbers to the pictures referred to; each says whether one follows.
fn references(r: &mut Reader<'_>) -> Result<(), Error> {
    const MAX_REFERENCES: u8 = 3;
    for _ in 0..MAX_REFERENCES {
        if r.u8()? & 1 == 0 {
            return Ok(());
        }
    }
    Err(Error::Invalid { what: "number of P_DIFF", value: u64::from(MAX_REFERENCES) + 1 })
}

/// §4.2.1.
fn scalability_structure(r: &mut Reader<'_>) -> Result<(), Error> {
    let flags = r.u8()?;
    if flags & 0x10 != 0 {
        let layers = usize::from(flags >> 5) + 1;
        let _widths_and_heights = r.take(layers * 4)?;
    }
    if flags & 0x08 != 0 {
        let pictures = r.u8()?;
        for _ in 0..pictures {
            let references = r.u8()? >> 2 & 3;
            let _differences = r.take(references.into())?;
        }
    }
    Ok(())
}

/// Cuts frames.
#[derive(Debug)]
pub(crate) struct Packetizer;

impl Packetizer {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl super::Packetizer for Packetizer {
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink) {
        let inter = if frame.is_key() { 0 } else { INTER };
        cut(&frame.data, max, sink, |first, last| {
            inter | if first { BEGIN } else { 0 } | if last { END } else { 0 }
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::FrameKind;

    use super::*;
    use crate::Packet;
    use crate::payload::tests::{self, packet, packetize, picture};
    use crate::payload::{Depacketizer as _, MAX_UNIT};

    /// As [`tests::read`].
    fn read(packets: &[(u32, bool, bool, &[u8])]) -> Vec<(u32, Vec<u8>, bool)> {
        tests::read(&mut Depacketizer::new(), packets)
    }

    fn cut_up(kind: FrameKind, data: &Bytes, max: usize, timestamp: u32) -> Vec<Packet> {
        packetize(&mut Packetizer::new(), &picture(kind, data), max, timestamp)
    }

    #[test]
    fn section_4_2_every_descriptor_is_passed_over() {
        for descriptor in [
            &[0x0C][..],
            &[0x0D],                               // nothing refers to it
            &[0x8C, 0x11],                         // a picture number of 7 bits
            &[0x8C, 0x91, 0x22],                   // of 15 bits
            &[0x2C, 0x20, 7],                      // layers and TL0PICIDX
            &[0x3C, 0x20],                         // layers, flexible mode
            &[0x1C],                               // flexible mode, no references
            &[0x4C],                               // references that are not told
            &[0xDC, 0x11, 0x02],                   // one
            &[0xDC, 0x11, 0x03, 0x05, 0x06],       // three
            &[0xFC, 0x91, 0x22, 0x20, 0x03, 0x04], // with layers
            &[0x0E, 0x00],                         // a structure of one layer
            &[0x0E, 0x30, 1, 2, 3, 4, 5, 6, 7, 8], // sizes of two layers
            &[0x0E, 0x08, 2, 0x04, 1, 0x38, 1, 2], // two pictures with one and two references
            &[0xAE, 0x91, 0x22, 0, 7, 0x18, 1, 2, 3, 4, 1, 0x0C, 1, 2, 3],
        ] {
            let payload = [descriptor, b"frame"].concat();
            let got = read(&[(1, true, false, &payload)]);
            assert_eq!(got, [(1, b"frame".to_vec(), false)], "{descriptor:x?}");
            for length in 1..descriptor.len() {
                let cut = packet(1, true, &payload[..length]);
                assert!(Depacketizer::new().push(&cut, false).is_err(), "{descriptor:x?}");
            }
        }
        let four_references = packet(1, true, &[0xDC, 1, 3, 3, 3, 2, 9]);
        assert!(Depacketizer::new().push(&four_references, false).is_err());
    }

    #[test]
    fn a_picture_ends_at_marker_or_time() {
        let got = read(&[
            (1, false, false, b"\x08a"),
            (1, true, false, b"\x04b"),
            (2, false, false, b"\x48c"),
            (2, false, false, b"\x44d"),
            (3, false, false, b"\x4Ce"),
        ]);
        let whole = |time, data: &[u8]| (time, data.to_vec(), false);
        assert_eq!(got, [whole(1, b"ab"), whole(2, b"cd"), whole(3, b"e")]);
    }

    #[test]
    fn layers_of_a_picture_come_one_after_the_other() {
        let got = read(&[
            (1, false, false, b"\x28\x00\x07a"),
            (1, false, false, b"\x24\x00\x07b"),
            (1, false, false, b"\x28\x03\x07c"),
            (1, true, false, b"\x24\x03\x07d"),
            // Whoever forwards the upper layer alone may leave the lower one out.
            (2, true, false, b"\x6C\x02\x07e"),
        ]);
        assert_eq!(got, [(1, b"abcd".to_vec(), false), (2, b"e".to_vec(), false)]);
    }

    #[test]
    fn of_a_torn_picture_come_the_layers_that_are_whole() {
        let got = read(&[
            // The upper layer lost its middle.
            (1, false, false, b"\x2C\x00\x07a"),
            (1, false, false, b"\x28\x03\x07b"),
            (1, true, true, b"\x24\x03\x07c"),
            // The upper layer lost its end, and so does the next picture its lower layer.
            (2, false, false, b"\x2C\x00\x07d"),
            (2, false, false, b"\x28\x03\x07e"),
            (3, true, true, b"\x2C\x03\x07f"),
            // The lower layer lost its end.
            (4, false, false, b"\x28\x00\x07g"),
            (4, true, true, b"\x2C\x03\x07h"),
            (5, true, false, b"\x0Ci"),
        ]);
        let unit = |time, data: &[u8], torn| (time, data.to_vec(), torn);
        assert_eq!(
            got,
            [unit(1, b"a", true), unit(2, b"d", true), unit(4, b"g", true), unit(5, b"i", false)]
        );
    }

    #[test]
    fn what_lacks_its_beginning_does_not_come() {
        let got = read(&[
            (1, true, false, b"\x04a"),
            (2, true, true, b"\x44b"),
            (3, true, true, b"\x4Cc"),
            (4, false, false, b"\x80"), // no picture number
            (4, true, false, b"\x04d"),
            (5, true, false, b"\x4Ce"),
        ]);
        assert_eq!(got, [(3, b"c".to_vec(), false), (5, b"e".to_vec(), false)]);
    }

    #[test]
    fn a_picture_without_end_is_dropped() {
        let mut depacketizer = Depacketizer::new();
        let part = [&[0x0C][..], &[7; 1 << 16]].concat();
        let refused = (0..300)
            .filter(|_| depacketizer.push(&packet(1, false, &part), false).is_err())
            .count();
        assert_eq!((refused, MAX_UNIT >> 16), (1, 256));
        depacketizer.push(&packet(2, true, b"\x0Ca"), false).unwrap();
        assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), Some(2));
        assert_eq!(depacketizer.poll(), None);
    }

    #[test]
    fn packets_say_where_frames_begin_and_end_and_whether_they_refer_to_others() {
        let data = Bytes::from(vec![9; 150]);
        let heads = |kind| -> Vec<_> {
            let packets = cut_up(kind, &data, 64, 1);
            packets.iter().map(|p| (p.payload[0], p.payload.len(), p.marker)).collect()
        };
        assert_eq!(heads(FrameKind::Key), [(0x08, 64, false), (0, 64, false), (0x04, 25, true)]);
        assert_eq!(
            heads(FrameKind::Delta),
            [(0x48, 64, false), (0x40, 64, false), (0x44, 25, true)]
        );
        assert_eq!(cut_up(FrameKind::Key, &data, 151, 1)[0].payload[0], 0x0C);
        assert!(cut_up(FrameKind::Key, &Bytes::new(), 64, 1).is_empty());
    }
}
