//! What the tests of payload formats have in common.

use std::time::Instant;

use bytes::Bytes;
use media::{Frame, FrameKind, Ticks, TimeBase, TrackId, Units};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Depacketizer, Packetizer, Sink, Unit};
use crate::Packet;

/// Keeps payloads as packets, each with its own time.
#[derive(Debug, Default)]
pub(super) struct Packets {
    pub(super) list: Vec<Packet>,
    pub(super) timestamp: u32,
}

impl Sink for Packets {
    fn packet(&mut self, pieces: &[&[u8]], marker: bool) {
        let sequence = u16::try_from(self.list.len() & 0xFFFF).unwrap();
        let packet = packet(self.timestamp, marker, &pieces.concat());
        self.list.push(Packet { sequence, ..packet });
    }

    fn advance(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.wrapping_add(ticks);
    }
}

pub(super) fn packet(timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
    let payload = Bytes::copy_from_slice(payload);
    Packet { marker, payload_type: 96, sequence: 0, timestamp, ssrc: 1, payload }
}

pub(super) fn unit(timestamp: u32, data: &[u8], torn: bool) -> Unit {
    Unit { timestamp, data: Bytes::copy_from_slice(data), torn }
}

/// A frame as a packetizer gets it.
pub(super) fn frame(track: TrackId, kind: FrameKind, data: Bytes, units: Units) -> Frame {
    Frame {
        track,
        kind,
        dts: Ticks::new(0, TimeBase::VIDEO),
        cts: 0,
        arrival: Instant::now(),
        data,
        units,
    }
}

/// A picture without units.
pub(super) fn picture(kind: FrameKind, data: &Bytes) -> Frame {
    frame(TrackId::video(0), kind, data.clone(), Units::new())
}

pub(super) fn sound(data: &[u8]) -> Frame {
    let data = Bytes::copy_from_slice(data);
    frame(TrackId::audio(0), FrameKind::Audio, data, Units::new())
}

/// The payloads of a frame; none is longer than `max`.
pub(super) fn packetize(
    packetizer: &mut dyn Packetizer,
    frame: &Frame,
    max: usize,
    timestamp: u32,
) -> Vec<Packet> {
    let mut packets = Packets { list: Vec::new(), timestamp };
    packetizer.push(frame, max, &mut packets);
    for packet in &packets.list {
        assert!(packet.payload.len() <= max, "{} > {max}", packet.payload.len());
    }
    packets.list
}

/// What is ready by now.
pub(super) fn ready(depacketizer: &mut dyn Depacketizer) -> Vec<Unit> {
    std::iter::from_fn(|| depacketizer.poll()).collect()
}

/// What is ready, and what only waited for more.
pub(super) fn rest(depacketizer: &mut dyn Depacketizer) -> Vec<Unit> {
    depacketizer.flush();
    ready(depacketizer)
}

/// Everything that comes out of packets.
pub(super) fn depacketize(depacketizer: &mut dyn Depacketizer, packets: &[Packet]) -> Vec<Unit> {
    let mut units = Vec::new();
    for packet in packets {
        depacketizer.push(packet, false).unwrap();
        units.extend(ready(depacketizer));
    }
    units.extend(rest(depacketizer));
    units
}

/// All that comes out of packets given as time, marker, loss before it and payload, of which some
/// may be malformed: time, data and whether it is torn.
pub(super) fn read(
    depacketizer: &mut dyn Depacketizer,
    packets: &[(u32, bool, bool, &[u8])],
) -> Vec<(u32, Vec<u8>, bool)> {
    for (time, marker, lost, payload) in packets {
        let _ = depacketizer.push(&packet(*time, *marker, payload), *lost);
    }
    let units = rest(depacketizer).into_iter();
    units.map(|unit| (unit.timestamp, unit.data.to_vec(), unit.torn)).collect()
}

/// What comes out of the packets that were not lost, as far as it waits for no more, and the places
/// of those that were lost. Packets behind the end of `kept` come.
pub(super) fn lossy(
    depacketizer: &mut dyn Depacketizer,
    packets: &[Packet],
    kept: &[bool],
) -> (Vec<Unit>, Vec<usize>) {
    let (mut units, mut lost) = (Vec::new(), Vec::new());
    let kept = kept.iter().copied().chain(std::iter::repeat(true));
    for ((place, packet), kept) in packets.iter().enumerate().zip(kept) {
        if kept {
            let follows_loss = place > 0 && lost.last() == Some(&(place - 1));
            depacketizer.push(packet, follows_loss).unwrap();
            units.extend(ready(depacketizer));
        } else {
            lost.push(place);
        }
    }
    (units, lost)
}

/// Which packets come: four of five.
pub(super) fn losses() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(prop::bool::weighted(0.8), 0..200)
}

/// A packet as anybody may send it: time, marker, loss before it and payload.
pub(super) type Anything = (u32, bool, bool, Vec<u8>);

/// Packets of which nothing is known.
pub(super) fn anything() -> impl Strategy<Value = Vec<Anything>> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec((0u32..3, any::<bool>(), any::<bool>(), payload), 0..60)
}

/// As [`read`], of packets of which nothing is known.
pub(super) fn read_anything(
    depacketizer: &mut dyn Depacketizer,
    packets: &[Anything],
) -> Vec<(u32, Vec<u8>, bool)> {
    let packets: Vec<_> = packets
        .iter()
        .map(|(time, marker, lost, data)| (*time, *marker, *lost, &data[..]))
        .collect();
    read(depacketizer, &packets)
}

/// Appends packets in which bits are wrong, or which are cut short.
pub(super) fn damaged(mut list: Vec<Packet>, harm: &[(Index, Index, u8)]) -> Vec<Packet> {
    for (packet, place, mask) in harm {
        let packet = packet.get(&list).clone();
        let mut payload = packet.payload.to_vec();
        let place = place.index(payload.len());
        payload[place] ^= mask;
        payload.truncate(if *mask == 0 { place.max(1) } else { payload.len() });
        list.push(Packet { payload: payload.into(), ..packet });
    }
    list
}
