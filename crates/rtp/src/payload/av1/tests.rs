//! Both directions of AV1.

use bytes::Bytes;
use media::{FrameKind, TrackId, av1};
use proptest::prelude::*;

use super::*;
use crate::Packet;
use crate::payload::tests::{
    self, anything, depacketize, frame, losses, lossy, packet, packetize, picture, read_anything,
};
use crate::payload::{Depacketizer as _, Unit};

/// As [`tests::read`].
fn read(packets: &[(u32, bool, bool, &[u8])]) -> Vec<(u32, Vec<u8>, bool)> {
    tests::read(&mut Depacketizer::new(), packets)
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
    let frame = picture(FrameKind::Delta, &data.concat().into());
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
        kept in losses(),
    ) {
        let cut = |(time, data)| cut_up(FrameKind::Delta, data, &[], 100, time);
        let packets: Vec<_> = (1..).zip(&frames).flat_map(cut).collect();
        let (mut got, lost) = lossy(&mut Depacketizer::new(), &packets, &kept);
        got.retain(|unit| !unit.torn);
        let lost: Vec<_> = lost.iter().map(|place| &packets[*place]).collect();
        // What lost whole OBUs at its beginning may look intact.
        let headless = |unit: &mut Unit| {
            let mut its = packets.iter().filter(|packet| packet.timestamp == unit.timestamp);
            lost.contains(&its.next().unwrap())
        };
        for unit in got.extract_if(.., headless) {
            let index = usize::try_from(unit.timestamp - 1).unwrap();
            prop_assert!(frames[index].ends_with(&unit.data));
        }
        let hit = |time| lost.iter().any(|packet| packet.timestamp == time);
        let intact = (1..).zip(frames).filter(|(time, _)| !hit(*time));
        let intact = intact.map(|(timestamp, data)| Unit { timestamp, data, torn: false });
        prop_assert_eq!(got, intact.collect::<Vec<_>>());
    }

    #[test]
    fn anything_is_survived(packets in anything()) {
        for (_, data, _) in read_anything(&mut Depacketizer::new(), &packets) {
            for obu in av1::obus(&data) {
                prop_assert!(obu.unwrap().has_size);
            }
        }
    }
}
