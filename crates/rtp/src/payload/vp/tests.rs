//! Laws of both codecs.

use bytes::Bytes;
use media::FrameKind;
use proptest::prelude::*;

use crate::Packet;
use crate::payload::tests::{
    anything, depacketize, losses, lossy, packetize, picture, read_anything,
};
use crate::payload::{Depacketizer, Packetizer, Unit, vp8, vp9};

/// What differs between the codecs.
#[derive(Debug, Clone, Copy)]
struct Codec {
    depacketizer: fn() -> Box<dyn Depacketizer>,
    packetizer: fn() -> Box<dyn Packetizer>,
}

const CODECS: [Codec; 2] = [
    Codec {
        depacketizer: || Box::new(vp8::Depacketizer::new()),
        packetizer: || Box::new(vp8::Packetizer::new()),
    },
    Codec {
        depacketizer: || Box::new(vp9::Depacketizer::new()),
        packetizer: || Box::new(vp9::Packetizer::new()),
    },
];

fn codecs() -> impl Strategy<Value = Codec> {
    prop::sample::select(&CODECS[..])
}

fn frames() -> impl Strategy<Value = Vec<Bytes>> {
    let frame = prop::collection::vec(any::<u8>(), 1..3000).prop_map(Bytes::from);
    prop::collection::vec(frame, 1..6)
}

fn sent(codec: Codec, kind: FrameKind, frames: &[Bytes], max: usize) -> Vec<Packet> {
    let frames = (1..).zip(frames);
    let cut = |(time, data)| packetize(&mut *(codec.packetizer)(), &picture(kind, data), max, time);
    frames.flat_map(cut).collect()
}

fn whole((timestamp, data): (u32, Bytes)) -> Unit {
    Unit { timestamp, data, torn: false }
}

proptest! {
    #[test]
    fn what_is_cut_is_put_together_again(
        codec in codecs(),
        frames in frames(),
        max in 64usize..1500,
        key: bool,
        markers: bool,
    ) {
        let kind = if key { FrameKind::Key } else { FrameKind::Delta };
        let mut packets = sent(codec, kind, &frames, max);
        prop_assert_eq!(packets.iter().filter(|packet| packet.marker).count(), frames.len());
        for packet in &mut packets {
            packet.marker &= markers;
        }
        let got = depacketize(&mut *(codec.depacketizer)(), &packets);
        prop_assert_eq!(got, (1..).zip(frames).map(whole).collect::<Vec<_>>());
    }

    #[test]
    fn losses_tear_what_they_hit(codec in codecs(), frames in frames(), kept in losses()) {
        let packets = sent(codec, FrameKind::Delta, &frames, 400);
        let (mut got, lost) = lossy(&mut *(codec.depacketizer)(), &packets, &kept);
        got.retain(|unit| !unit.torn);
        let hit = |time| lost.iter().any(|place| packets[*place].timestamp == time);
        let intact = (1..).zip(frames).filter(|(time, _)| !hit(*time));
        prop_assert_eq!(got, intact.map(whole).collect::<Vec<_>>());
    }

    #[test]
    fn anything_is_survived(codec in codecs(), packets in anything()) {
        read_anything(&mut *(codec.depacketizer)(), &packets);
    }
}
