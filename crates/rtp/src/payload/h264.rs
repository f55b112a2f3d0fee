//! H.264 ([RFC 6184](https://www.rfc-editor.org/rfc/rfc6184)).
//!
//! Reads single units, STAP-A, STAP-B, MTAP and FU-A, FU-B (§5.6–5.8); decoding order numbers are
//! passed over, since nobody sends what is interleaved by them. Writes single units, STAP-A and
//! FU-A, as packetization mode 1 allows, with the parameter sets in front of each key frame.
//!
//! Tolerated: see [`super::nal`].

use media::{Error, Reader, h264};
use smallvec::{SmallVec, smallvec};

use super::nal::{self, Assembler, Role, Syntax, aggregated};

const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const MTAP16: u8 = 26;
const MTAP24: u8 = 27;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

/// Puts access units together.
pub(crate) type Depacketizer = nal::Depacketizer<H264>;

impl Depacketizer {
    pub(crate) fn new() -> Self {
        Self::with(H264)
    }
}

/// Cuts access units.
pub(crate) type Packetizer = nal::Packetizer<H264>;

impl Packetizer {
    /// `config` is the track's `AVCDecoderConfigurationRecord`; an unreadable one has no parameter
    /// sets.
    pub(crate) fn new(config: &[u8]) -> Self {
        let config = h264::Config::parse(config).ok();
        Self::with(config.iter().flat_map(h264::Config::parameter_sets))
    }
}

/// The units of H.264.
#[derive(Debug)]
pub(crate) struct H264;

impl Syntax for H264 {
    const HEADER: usize = 1;

    /// §7.4.1.2.3 of H.264: what begins an access unit.
    fn role(unit: &[u8]) -> Role {
        match unit {
            // `first_mb_in_slice` is zero if its Exp-Golomb code is the bit 1.
            [header, second, ..] if matches!(header & 0x1F, 1 | 2 | 5) => {
                Role::Slice { first: second & 0x80 != 0 }
            }
            [header, ..] if matches!(header & 0x1F, 6..=9 | 16..=18) => Role::Lead,
            _ => Role::Any,
        }
    }

    fn read(&self, timestamp: u32, payload: &[u8], units: &mut Assembler) -> Result<(), Error> {
        let mut r = Reader::new(payload);
        let header = r.u8()?;
        let mut aggregate = |rest| aggregated(rest).try_for_each(|unit| units.unit::<Self>(unit?));
        match header & 0x1F {
            STAP_A => aggregate(r.rest()),
            STAP_B => {
                let _decoding_order = r.u16()?;
                aggregate(r.rest())
            }
            kind @ (MTAP16 | MTAP24) => {
                let _decoding_order = r.u16()?;
                while !r.is_empty() {
                    // The size is that of the unit alone (§5.7.2).
                    let size = r.u16()?;
                    let _difference_of_decoding_order = r.u8()?;
                    let later = if kind == MTAP16 { r.u16()?.into() } else { r.u24()? };
                    units.come_to(timestamp.wrapping_add(later));
                    units.unit::<Self>(r.take(size.into())?)?;
                }
                Ok(())
            }
            kind @ (FU_A | FU_B) => {
                let fragment = r.u8()?;
                if kind == FU_B {
                    let _decoding_order = r.u16()?;
                }
                let part = r.rest();
                let header = [header & 0xE0 | fragment & 0x1F];
                let ends = (fragment & 0x80 != 0, fragment & 0x40 != 0);
                units.fragment::<Self>(&header, part, ends)
            }
            1..=23 => units.unit::<Self>(payload),
            kind => Err(Error::Invalid { what: "NAL unit type", value: kind.into() }),
        }
    }

    /// §5.7: the forbidden bit is that of any unit, the importance the highest of all.
    fn aggregation(units: &[&[u8]]) -> SmallVec<[u8; 4]> {
        let headers = || units.iter().filter_map(|unit| unit.first());
        let forbidden = headers().fold(0, |bits, header| bits | header & 0x80);
        let importance = headers().map(|header| header & 0x60).max().unwrap_or_default();
        smallvec![forbidden | importance | STAP_A]
    }

    /// §5.8.
    fn fragmentation(header: &[u8], start: bool, end: bool) -> SmallVec<[u8; 4]> {
        let header = header.first().copied().unwrap_or_default();
        let ends = u8::from(start) << 7 | u8::from(end) << 6;
        smallvec![header & 0xE0 | FU_A, ends | header & 0x1F]
    }
}

#[cfg(test)]
mod tests {
    use media::{FrameKind, TrackId, nal};

    use super::*;
    use crate::payload::Depacketizer as _;
    use crate::payload::tests::{depacketize, frame, packet, packetize, ready, rest, unit};

    /// All that comes out of packets given as time, marker and payload.
    fn read(packets: &[(u32, bool, &[u8])]) -> Vec<(u32, Vec<u8>)> {
        let packets: Vec<_> =
            packets.iter().map(|(time, marker, payload)| packet(*time, *marker, payload)).collect();
        let units = depacketize(&mut Depacketizer::new(), &packets);
        units.into_iter().map(|unit| (unit.timestamp, unit.data.to_vec())).collect()
    }

    fn packed(units: &[&[u8]]) -> Vec<u8> {
        nal::pack(units.iter().copied(), 0).unwrap().0.to_vec()
    }

    const SPS: &[u8] = &[0x67, 1, 2, 3];
    const PPS: &[u8] = &[0x68, 4];
    /// 640 × 480, High.
    const SPS_REAL: &[u8] = &[
        0x67, 0x64, 0x00, 0x1E, 0xAC, 0xD9, 0x40, 0xA0, 0x3D, 0xA1, 0x00, 0x00, 0x03, 0x00, 0x01,
        0x00, 0x00, 0x03, 0x00, 0x32, 0x0F, 0x16, 0x2D, 0x96,
    ];
    const PPS_REAL: &[u8] = &[0x68, 0xEB, 0xE3, 0xCB];
    const IDR: &[u8] = &[0x65, 0x88, 5];
    const IDR_2: &[u8] = &[0x65, 0x08, 6];
    const P: &[u8] = &[0x41, 0x9A, 7];

    #[test]
    fn an_access_unit_ends_with_its_time() {
        let got = read(&[(1, false, SPS), (1, false, PPS), (1, false, IDR), (2, false, P)]);
        assert_eq!(got, [(1, packed(&[SPS, PPS, IDR])), (2, packed(&[P]))]);
    }

    #[test]
    fn markers_on_every_unit_cut_nothing() {
        let picture =
            |time| [(time, true, SPS), (time, true, PPS), (time, true, IDR), (time, true, IDR_2)];
        let got = read(&[picture(1), picture(2), picture(3), picture(4)].concat());
        let whole = packed(&[SPS, PPS, IDR, IDR_2]);
        assert_eq!(got, [(1, whole.clone()), (2, whole.clone()), (3, whole.clone()), (4, whole)]);
    }

    #[test]
    fn parameter_sets_with_the_time_before_belong_to_the_next_picture() {
        let got =
            read(&[(1, true, P), (1, false, SPS), (1, false, PPS), (2, true, IDR), (3, true, P)]);
        assert_eq!(got, [(1, packed(&[P])), (2, packed(&[SPS, PPS, IDR])), (3, packed(&[P]))]);
    }

    #[test]
    fn believed_markers_hand_out_at_once() {
        let mut depacketizer = Depacketizer::new();
        for time in 1..=3 {
            depacketizer.push(&packet(time, true, P), false).unwrap();
        }
        let units = ready(&mut depacketizer);
        assert_eq!(units.iter().map(|unit| unit.timestamp).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn aggregations_and_interleaved_forms_are_read() {
        let stap_a = [&[0x78, 0, 4][..], SPS, &[0, 2], PPS].concat();
        let stap_b = [&[0x79, 0, 9, 0, 3][..], IDR].concat();
        let mtap_16 = [&[0x7A, 0, 9, 0, 3, 1, 0, 0][..], P, &[0, 3, 1, 1, 0], P].concat();
        let mtap_24 = [&[0x7B, 0, 9, 0, 3, 1, 0, 0, 0][..], P].concat();
        let got = read(&[
            (1, false, &stap_a),
            (1, true, &stap_b),
            (2, true, &mtap_16),
            (1000, true, &mtap_24),
        ]);
        let p = packed(&[P]);
        let first = (1, packed(&[SPS, PPS, IDR]));
        assert_eq!(got, [first, (2, p.clone()), (258, p.clone()), (1000, p)]);
    }

    #[test]
    fn a_stream_that_begins_in_the_middle_of_a_picture_begins_with_the_next() {
        // Without a first slice, and without the beginning of a unit.
        for middle in [&[0x41, 0x1A, 7][..], &[0x7C, 0x05, 3], &[0x7C, 0x45, 3]] {
            let mut depacketizer = Depacketizer::new();
            depacketizer.push(&packet(1, true, middle), false).unwrap();
            depacketizer.push(&packet(2, true, P), false).unwrap();
            depacketizer.push(&packet(3, true, P), false).unwrap();
            let got = ready(&mut depacketizer);
            let torn: Vec<_> = got.iter().map(|unit| (unit.timestamp, unit.torn)).collect();
            assert_eq!(torn, [(1, true), (2, false), (3, false)], "{middle:?}");
        }
    }

    #[test]
    fn fragments_without_start_bits_are_whole_again_after_a_loss() {
        let mut depacketizer = Depacketizer::new();
        for time in 1..10 {
            let lost = time == 1 || time == 4;
            depacketizer.push(&packet(time, false, &[0x7C, 0x05, 0x88, 1]), lost).unwrap();
            depacketizer.push(&packet(time, true, &[0x7C, 0x45, 2, 3]), false).unwrap();
        }
        let got = rest(&mut depacketizer);
        let torn: Vec<_> = got.iter().filter(|u| u.torn).map(|unit| unit.timestamp).collect();
        // The end of 3 may be among what is missing as well, but it was marked.
        assert_eq!((got.len(), torn), (9, vec![1, 4]));
    }

    #[test]
    fn fragments_without_start_or_end_bits_are_put_together() {
        let whole = packed(&[&[0x65, 0x88, 1, 2, 3]]);
        for (first, last) in [(0x85, 0x45), (0x05, 0x45), (0x85, 0x05), (0x05, 0x05)] {
            let got = read(&[
                (0, true, P),
                (1, false, &[0x7C, first, 0x88, 1]),
                (1, true, &[0x7C, last, 2, 3]),
                (2, true, P),
            ]);
            let p = packed(&[P]);
            assert_eq!(got, [(0, p.clone()), (1, whole.clone()), (2, p)], "{first:x} {last:x}");
        }
    }

    #[test]
    fn after_a_whole_unit_a_fragment_begins_though_it_does_not_say_so() {
        let fragments = [&[0x7C, 0x05, 0x88, 1][..], &[0x7C, 0x05, 2], &[0x7C, 0x45, 3]];
        // In what comes first, after a loss before the parameter sets, and after one behind them.
        for (lost, whole) in [(None, true), (Some(0), true), (Some(1), true), (Some(2), false)] {
            let mut depacketizer = Depacketizer::new();
            let packets = [SPS, PPS].into_iter().chain(fragments).enumerate();
            for (index, payload) in packets {
                depacketizer.push(&packet(1, false, payload), lost == Some(index)).unwrap();
            }
            depacketizer.push(&packet(2, true, P), false).unwrap();
            let got = depacketizer.poll().unwrap();
            assert_eq!(got.torn, !whole, "{lost:?}");
            let picture = packed(&[SPS, PPS, &[0x65, 0x88, 1, 2, 3]]);
            assert_eq!(got.data == picture, whole, "{lost:?}");
        }
    }

    #[test]
    fn a_middle_is_no_beginning_until_it_has_ended() {
        let mut depacketizer = Depacketizer::new();
        let mut push = |payload: &[u8]| {
            depacketizer.push(&packet(1, false, payload), false).unwrap();
        };
        for middle in [&[0x7C, 0x05, 0x88, 1][..], &[0x7C, 0x05, 2], &[0x7C, 0x45, 3]] {
            push(middle);
        }
        push(&[0x7C, 0x05, 0x08, 4]);
        push(&[0x7C, 0x45, 5]);
        let second = packed(&[&[0x65, 0x08, 4, 5]]);
        assert_eq!(rest(&mut depacketizer), [unit(1, &second, true)]);
    }

    #[test]
    fn a_fragment_of_one_byte_is_no_disaster() {
        let mut depacketizer = Depacketizer::new();
        assert!(depacketizer.push(&packet(1, true, &[0x7C]), false).is_err());
        assert!(depacketizer.push(&packet(1, true, &[0x7D, 0x85]), false).is_err());
    }

    #[test]
    fn what_lost_a_part_is_torn_and_the_next_is_not() {
        let mut depacketizer = Depacketizer::new();
        let mut push = |time, marker, payload: &[u8], lost| {
            depacketizer.push(&packet(time, marker, payload), lost).unwrap();
        };
        push(1, false, &[0x7C, 0x85, 0x88, 1], false);
        push(1, true, &[0x7C, 0x45, 3], true);
        push(2, true, P, false);
        // The whole picture 3 is missing: the one before it cannot know that it was not torn.
        push(4, true, P, true);
        push(5, true, &[0x41, 0x1A, 7], true);
        push(6, true, P, false);
        push(7, false, P, false);
        let got = rest(&mut depacketizer);
        let torn: Vec<_> = got.iter().map(|unit| (unit.timestamp, unit.torn)).collect();
        // The end of picture 1 is missing, and the beginning of picture 5.
        assert_eq!(torn, [(1, true), (2, true), (4, false), (5, true), (6, false), (7, true)]);
    }

    #[test]
    fn small_units_share_a_packet_and_large_ones_are_cut() {
        let large = [&[0x65, 0x88][..], &[9; 200]].concat();
        let (data, units) = nal::pack([IDR, &large[..], P], 0).unwrap();
        let frame = frame(TrackId::video(0), FrameKind::Delta, data, units);
        let packets = packetize(&mut Packetizer::new(&[]), &frame, 64, 7);
        let kinds: Vec<_> =
            packets.iter().map(|p| (p.payload[0] & 0x1F, p.payload.len())).collect();
        assert_eq!(kinds, [(5, 3), (28, 64), (28, 64), (28, 64), (28, 17), (1, 3)]);
        let markers: Vec<_> = packets.iter().map(|p| p.marker).collect();
        assert_eq!(markers, [false, false, false, false, false, true]);
    }

    #[test]
    fn parameter_sets_that_are_new_go_before_the_next_picture() {
        let config = h264::Config::from_parameter_sets([SPS_REAL, PPS_REAL]).unwrap().to_bytes();
        let (data, units) = nal::pack([P], 0).unwrap();
        let frame = frame(TrackId::video(0), FrameKind::Delta, data, units);
        let mut packetizer = Packetizer::new(&config);
        let with_sets = packetize(&mut packetizer, &frame, 1200, 7);
        let got = depacketize(&mut Depacketizer::new(), &with_sets);
        assert_eq!(got[0].data, packed(&[SPS_REAL, PPS_REAL, P]));
        let without = packetize(&mut packetizer, &frame, 1200, 7);
        assert_eq!(without[0].payload, P);
    }
}
