//! Laws of both codecs.

use bytes::Bytes;
use media::{FrameKind, TrackId, nal};
use proptest::prelude::*;

use crate::Packet;
use crate::payload::tests::{
    anything, depacketize, frame, losses, lossy, packetize, read_anything,
};
use crate::payload::{Depacketizer, Packetizer, Unit, h264, h265};

/// What differs between the codecs.
#[derive(Debug, Clone, Copy)]
struct Codec {
    depacketizer: fn() -> Box<dyn Depacketizer>,
    packetizer: fn() -> Box<dyn Packetizer>,
    /// How SEI, and slices that are the first of their picture or not, begin.
    sei: &'static [u8],
    first: &'static [u8],
    second: &'static [u8],
    /// The mask and the value of the first byte of fragments.
    fragment: (u8, u8),
    /// Where the start bit of a fragment is.
    bits: usize,
}

const CODECS: [Codec; 2] = [
    Codec {
        depacketizer: || Box::new(h264::Depacketizer::new()),
        packetizer: || Box::new(h264::Packetizer::new(&[])),
        sei: &[6],
        first: &[0x41, 0x80],
        second: &[0x41, 0x40],
        fragment: (0x1F, 28),
        bits: 1,
    },
    Codec {
        depacketizer: || Box::new(h265::Depacketizer::new(false)),
        packetizer: || Box::new(h265::Packetizer::new(&[])),
        sei: &[0x4E, 1],
        first: &[0x02, 1, 0x80],
        second: &[0x02, 1, 0],
        fragment: (0x7E, 49 << 1),
        bits: 2,
    },
];

impl Codec {
    /// The packets of a frame, whose fragments may not say where units begin.
    fn packets(&self, units: &[Vec<u8>], time: u32, max: usize, starts: bool) -> Vec<Packet> {
        let (data, spans) = nal::pack(units.iter().map(|unit| &unit[..]), 0).unwrap();
        let frame = frame(TrackId::video(0), FrameKind::Delta, data, spans);
        let mut packets = packetize(&mut *(self.packetizer)(), &frame, max, time);
        let (mask, value) = self.fragment;
        for packet in packets.iter_mut().filter(|packet| packet.payload[0] & mask == value) {
            let mut payload = packet.payload.to_vec();
            payload[self.bits] &= if starts { 0xFF } else { 0x7F };
            packet.payload = payload.into();
        }
        packets
    }
}

fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), length)
}

/// SEI, perhaps, then slices of which the first says that it is.
fn units(
    codec: Codec,
    sei: impl Strategy<Value = Option<Vec<u8>>>,
) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let bodies = prop::collection::vec(bytes(2..400), 1..8);
    (sei, bodies).prop_map(move |(sei, bodies)| {
        let slice = |(index, body): (usize, &Vec<u8>)| {
            [if index == 0 { codec.first } else { codec.second }, body].concat()
        };
        let sei = sei.map(|body| [codec.sei, &body].concat());
        sei.into_iter().chain(bodies.iter().enumerate().map(slice)).collect()
    })
}

/// Access units. The first has SEI: without that, nobody could tell where its first slice begins if
/// fragments don't.
fn frames() -> impl Strategy<Value = (Codec, Vec<Vec<Vec<u8>>>)> {
    prop::sample::select(&CODECS[..]).prop_flat_map(|codec| {
        let first = units(codec, bytes(2..50).prop_map(Some));
        let later = prop::collection::vec(units(codec, prop::option::of(bytes(2..50))), 0..5);
        (first, later)
            .prop_map(move |(first, later)| (codec, std::iter::once(first).chain(later).collect()))
    })
}

fn packed(units: &[Vec<u8>]) -> Bytes {
    nal::pack(units.iter().map(|unit| &unit[..]), 0).unwrap().0
}

proptest! {
    #[test]
    fn what_is_cut_is_put_together_again(
        (codec, frames) in frames(),
        max in 64usize..1500,
        starts: bool,
    ) {
        let packets: Vec<_> = (1..)
            .zip(&frames)
            .flat_map(|(time, units)| codec.packets(units, time, max, starts))
            .collect();
        let got = depacketize(&mut *(codec.depacketizer)(), &packets);
        let sent = (1..).zip(&frames).map(|(timestamp, units)| {
            Unit { timestamp, data: packed(units), torn: false }
        });
        prop_assert_eq!(got, sent.collect::<Vec<_>>());
    }

    #[test]
    fn losses_tear_and_never_forge(
        (codec, frames) in frames(),
        kept in losses(),
        starts: bool,
    ) {
        let packets: Vec<_> = (1..)
            .zip(&frames)
            .flat_map(|(time, units)| codec.packets(units, time, 100, starts))
            .collect();
        let (got, _) = lossy(&mut *(codec.depacketizer)(), &packets, &kept);
        // SEI may go missing without a trace: nothing says that there was any.
        let slices = |data: &Bytes| -> Vec<Vec<u8>> {
            let spans = nal::split(data, 4).unwrap();
            let units = nal::iter(data, &spans).filter(|unit| !unit.starts_with(codec.sei));
            units.map(<[u8]>::to_vec).collect()
        };
        for unit in got.iter().filter(|unit| !unit.torn) {
            let sent = packed(&frames[usize::try_from(unit.timestamp - 1).unwrap()]);
            prop_assert_eq!(slices(&unit.data), slices(&sent), "time {}", unit.timestamp);
        }
    }

    #[test]
    fn anything_is_survived(
        codec in prop::sample::select(&CODECS[..]),
        packets in anything(),
    ) {
        for (_, data, _) in read_anything(&mut *(codec.depacketizer)(), &packets) {
            prop_assert!(nal::split(&data, 4).is_ok());
        }
    }

    #[test]
    fn anything_numbered_is_survived(packets in anything()) {
        for (_, data, _) in read_anything(&mut h265::Depacketizer::new(true), &packets) {
            prop_assert!(nal::split(&data, 4).is_ok());
        }
    }
}
