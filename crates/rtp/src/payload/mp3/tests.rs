//! Frames and ADUs, and what is made of them.

use media::mp3::Header;
use proptest::prelude::*;
use proptest::sample::Index;

use super::robust::{MAX_BACK, SideInformation, side_length, silence};
use super::*;
use crate::payload::tests::{
    Packets, anything, damaged, depacketize, losses, lossy, packetize, rest, sound, unit,
};
use crate::payload::{self, Depacketizer as _, Packetizer as _};

fn packets(data: &[u8], max: usize, timestamp: u32) -> Vec<Packet> {
    packetize(&mut Packetizer::new(), &sound(data), max, timestamp)
}

fn packet(timestamp: u32, payload: &[u8]) -> Packet {
    payload::tests::packet(timestamp, false, payload)
}

/// Layer III, 48 kHz, stereo, 32 kbit/s: 96 bytes, 60 of them for main data.
const LOW: [u8; 4] = [0xFF, 0xFB, 0x14, 0x04];
/// The same with 128 kbit/s: 384 bytes.
const HIGH: [u8; 4] = [0xFF, 0xFB, 0x94, 0x04];
/// Ticks of such a frame.
const DURATION: u32 = 2160;

/// A frame with some content.
fn mpeg(header: [u8; 4], fill: u8) -> Vec<u8> {
    let length = Header::parse(&header).unwrap().length.unwrap();
    [&header[..], &vec![fill; length - 4]].concat()
}

#[test]
fn a_packet_of_one_frame() {
    let data = mpeg(HIGH, 1);
    let list = packets(&data, 400, 7);
    assert_eq!((list.len(), &list[0].payload[..8]), (1, &[0, 0, 0, 0, 0xFF, 0xFB, 0x94, 4][..]));
    assert_eq!(depacketize(&mut Depacketizer::new(), &list), [unit(7, &data, false)]);
}

#[test]
fn frames_of_a_packet_follow_each_other() {
    let (low, high) = (mpeg(LOW, 1), mpeg(HIGH, 2));
    let payload = [&[0; 4][..], &low, &high, &low].concat();
    let units = depacketize(&mut Depacketizer::new(), &[packet(5, &payload)]);
    let expected = [
        unit(5, &low, false),
        unit(5 + DURATION, &high, false),
        unit(5 + 2 * DURATION, &low, false),
    ];
    assert_eq!(units, expected);
}

/// §3.5: the offset of a fragment.
#[test]
fn long_frames_are_fragmented() {
    let data = mpeg(HIGH, 1);
    let list = packets(&data, 164, 0);
    let heads: Vec<_> = list.iter().map(|p| (p.payload.len(), p.payload[3])).collect();
    assert_eq!(heads, [(164, 0), (164, 160), (4 + 64, 64)]);
    assert_eq!(depacketize(&mut Depacketizer::new(), &list), [unit(0, &data, false)]);
    for gone in 0..3 {
        let mut depacketizer = Depacketizer::new();
        for (index, packet) in list.iter().enumerate().filter(|&(index, _)| index != gone) {
            depacketizer.push(packet, index == gone + 1).unwrap();
        }
        depacketizer.flush();
        let beginning = data.get(..160 * gone).filter(|data| !data.is_empty());
        assert_eq!(depacketizer.poll(), beginning.map(|data| unit(0, data, true)));
        assert_eq!(depacketizer.poll(), None);
    }
}

#[test]
fn frames_may_begin_and_end_anywhere() {
    let (low, high) = (mpeg(LOW, 1), mpeg(HIGH, 2));
    let list = [
        packet(0, &[&[0; 4][..], &low, &high[..100]].concat()),
        packet(DURATION, &[&[0, 0, 0, 100][..], &high[100..], &low].concat()),
    ];
    let expected =
        [unit(0, &low, false), unit(DURATION, &high, false), unit(2 * DURATION, &low, false)];
    assert_eq!(depacketize(&mut Depacketizer::new(), &list), expected);
}

#[test]
fn several_frames_become_packets_of_their_own() {
    let (low, high) = (mpeg(LOW, 1), mpeg(HIGH, 2));
    let data = [&low[..], &high, &low, &high[..50]].concat();
    let mut sent = Packets::default();
    Packetizer::new().push(&sound(&data), 204, &mut sent);
    let list: Vec<_> = sent.list.iter().map(|p| (p.timestamp, p.payload.len())).collect();
    let [second, third, last] = [1, 2, 3].map(|n| n * DURATION);
    let expected = [(0, 100), (second, 204), (second, 188), (third, 100), (last, 54)];
    assert_eq!(list, expected);
    let units = depacketize(&mut Depacketizer::new(), &sent.list);
    let expected = [
        unit(0, &low, false),
        unit(second, &high, false),
        unit(third, &low, false),
        unit(last, &high[..50], true),
    ];
    assert_eq!(units, expected);
}

#[test]
fn a_frame_of_free_format_fills_its_packet() {
    let data = [0xFF, 0xFB, 0x04, 0x04, 1, 2, 3];
    let list = packets(&data, 64, 0);
    assert_eq!(depacketize(&mut Depacketizer::new(), &list), [unit(0, &data, false)]);
    assert!(packets(&[0xFF; 1 << 16], 1400, 0).is_empty());
}

#[test]
fn other_payloads_are_refused() {
    for payload in [&[][..], &[0, 0, 0], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 1, 2, 3, 4, 5]] {
        assert_eq!(
            Depacketizer::new().push(&packet(0, payload), false).is_err(),
            payload.len() != 4,
        );
    }
}

/// Frames as an encoder with a bit reservoir writes them, and their ADUs (RFC 5219 A.1).
#[derive(Debug, Default)]
struct Encoder {
    frames: Vec<Vec<u8>>,
    adus: Vec<Vec<u8>>,
    /// Bytes that the next frame may point back to.
    room: usize,
}

impl Encoder {
    /// A frame of which `unused` bytes of main data stay free for the next, and which leaves
    /// `gap` of those that are free to nobody.
    fn push(&mut self, header: [u8; 4], gap: usize, unused: usize, fill: u8) {
        let parsed = Header::parse(&header).unwrap();
        let checksum = if header[1] & 1 == 0 { 2 } else { 0 };
        let end = 4 + checksum + side_length(&parsed);
        let space = parsed.length.unwrap() - end;
        let (limit, shift) = if parsed.samples == 1152 { (511, 7) } else { (255, 8) };
        let back = self.room.saturating_sub(gap).min(limit);
        let size = (back + space).saturating_sub(unused);
        let main: Vec<u8> = (0u8..251).cycle().take(size).map(|byte| byte ^ fill).collect();
        let mut head = vec![fill; end];
        head[..4].copy_from_slice(&header);
        let pointer = u16::try_from(back << shift).unwrap().to_be_bytes();
        head[end - side_length(&parsed)..][..2].copy_from_slice(&pointer);
        self.adus.push([&head[..], &main].concat());
        head.resize(end + space, 0);
        self.frames.push(head);
        self.room = back + space - size;
        // Backwards from the end of the last frame's main data.
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (index, frame) in self.frames.iter().enumerate().rev() {
            let parsed = Header::parse(frame).unwrap();
            let checksum = if frame[1] & 1 == 0 { 2 } else { 0 };
            let start = 4 + checksum + side_length(&parsed);
            places.extend((start..frame.len()).rev().map(|at| (index, at)));
            if places.len() > 3000 {
                break;
            }
        }
        for (place, byte) in places[..back + space].iter().rev().zip(main) {
            self.frames[place.0][place.1] = byte;
        }
    }

    /// The ADUs in packets, and the times of the packets.
    fn sent(&self, duration: u32, per_packet: usize, max: usize) -> Vec<Packet> {
        let mut list = Vec::new();
        let mut time = 0;
        for adus in self.adus.chunks(per_packet) {
            let mut payload = Vec::new();
            for adu in adus {
                let [high, low] = u16::try_from(adu.len()).unwrap().to_be_bytes();
                if per_packet == 1 && adu.len() > max {
                    for (n, fragment) in adu.chunks(max).enumerate() {
                        let first = 0x40 | high | if n > 0 { 0x80 } else { 0 };
                        list.push(packet(time, &[&[first, low][..], fragment].concat()));
                    }
                    continue;
                }
                match high {
                    0 if low < 64 => payload.push(low),
                    _ => payload.extend([0x40 | high, low]),
                }
                payload.extend_from_slice(adu);
            }
            if !payload.is_empty() {
                list.push(packet(time, &payload));
            }
            time += duration * u32::try_from(adus.len()).unwrap();
        }
        list
    }

    fn units(&self, duration: u32) -> Vec<Unit> {
        (0..).zip(&self.frames).map(|(n, data)| unit(n * duration, data, false)).collect()
    }
}

#[test]
fn adus_become_the_frames_they_were() {
    let mut encoder = Encoder::default();
    for (header, gap, unused) in
        [(LOW, 0, 40), (HIGH, 0, 300), (LOW, 10, 200), (LOW, 0, 100), (HIGH, 0, 0), (LOW, 0, 0)]
    {
        encoder.push(header, gap, unused, 0x55);
    }
    let list = encoder.sent(DURATION, 1, 100);
    assert_eq!(list.iter().filter(|packet| packet.payload[0] & 0x80 != 0).count(), 7);
    assert_eq!(depacketize(&mut Robust::new(), &list), encoder.units(DURATION));
    let together = encoder.sent(DURATION, 4, 0);
    assert_eq!(depacketize(&mut Robust::new(), &together), encoder.units(DURATION));
}

/// The main data of `frames[index]`, which end where those of the next begin at the latest.
fn main_data(frames: &[Unit], index: usize, length: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut from = 0;
    for (n, frame) in frames.iter().enumerate() {
        let side = SideInformation::read(&Header::parse(&frame.data).unwrap(), &frame.data);
        let SideInformation { end, back, .. } = side.unwrap();
        if n == index {
            from = stream.len().checked_sub(back).expect("a frame that has them");
        }
        stream.extend_from_slice(&frame.data[end..]);
    }
    stream[from..from + length].to_vec()
}

#[test]
fn a_lost_adu_harms_no_other() {
    let mut encoder = Encoder::default();
    for n in 0..8 {
        encoder.push(LOW, 0, if n == 0 { 60 } else { 50 }, 7 * n);
    }
    let list = encoder.sent(DURATION, 1, 1000);
    for gone in 0..8 {
        let mut robust = Robust::new();
        for (n, packet) in list.iter().enumerate().filter(|&(n, _)| n != gone) {
            robust.push(packet, n == gone + 1).unwrap();
        }
        let units = rest(&mut robust);
        let mut times: Vec<_> = units.iter().map(|unit| unit.timestamp as i32).collect();
        assert!(times.is_sorted(), "{times:?}");
        times.dedup();
        assert_eq!(times.len(), units.len());
        for (n, adu) in encoder.adus.iter().enumerate().filter(|&(n, _)| n != gone) {
            let index = units.iter().position(|unit| unit.data[..36] == adu[..36]).unwrap();
            assert_eq!(units[index].timestamp, u32::try_from(n).unwrap() * DURATION);
            assert_eq!(main_data(&units, index, adu.len() - 36), adu[36..]);
        }
    }
}

/// Without a gap there is no time for a silent frame, but there must be one.
#[test]
fn a_back_pointer_too_far_makes_silence() {
    let far = [&LOW[..], &[0xFF, 0x80], &[0; 30], &[7; 511 + 60]].concat();
    let mut encoder = Encoder::default();
    encoder.push(LOW, 0, 0, 2);
    encoder.adus.extend([far.clone(), far.clone()]);
    let units = depacketize(&mut Robust::new(), &encoder.sent(DURATION, 3, 0));
    let times: Vec<_> = units.iter().map(|unit| unit.timestamp).collect();
    assert_eq!(times, [0, DURATION, 2 * DURATION]);
    assert!(units[1].data[4..36].iter().all(|&byte| byte == 0));
    assert_eq!(units[1].data.len(), 960);
    assert_eq!(main_data(&units, 2, far.len() - 36), far[36..]);
}

#[test]
fn silence_has_room_for_any_back_pointer() {
    for (version, limit) in [(0xFB, 511), (0xF3, 255), (0xE3, 255)] {
        for rate in [0, 4, 8] {
            for mode in [0, 0xC0] {
                let frame = [0xFF, version, 0x10 | rate, mode];
                let header = Header::parse(&frame).unwrap();
                let silent = silence(&header, &frame).unwrap();
                let header = Header::parse(&silent).unwrap();
                assert!(SideInformation::read(&header, &silent).unwrap().space >= limit);
            }
        }
    }
}

/// The smallest frame that there is has room for one byte.
#[test]
fn frames_that_wait_have_a_limit() {
    let small = [0xFF, 0xF2, 0x14, 0x04];
    let header = Header::parse(&small).unwrap();
    let adu = [&small[..], &[0, 0, 0xFF], &[0; 16]].concat();
    let side = SideInformation::read(&header, &adu).unwrap();
    assert_eq!((header.sample_rate, side.space, side.back), (24_000, 1, 0xFF));
    let mut robust = Robust::new();
    for n in 0..2000 {
        let list = [&[0x40, 23][..], &adu].concat();
        robust.push(&packet(n * DURATION, &list), false).unwrap();
        while robust.poll().is_some() {}
        assert!(robust.waiting() <= MAX_BACK + 1);
    }
}

/// §5.
#[test]
fn other_layers_pass() {
    let frame = mpeg([0xFF, 0xFD, 0x84, 0x00], 1);
    let [high, low] = u16::try_from(frame.len()).unwrap().to_be_bytes();
    let payload = [&[0x40 | high, low][..], &frame, &[0x40 | high, low], &frame].concat();
    let units = depacketize(&mut Robust::new(), &[packet(0, &payload)]);
    assert_eq!(units, [unit(0, &frame, false), unit(DURATION, &frame, false)]);
}

#[test]
fn other_adus_are_refused() {
    let high = mpeg(HIGH, 0);
    let mut interleaved = high.clone();
    interleaved[0] = 3;
    let mut free = high.clone();
    free[2] &= 0x0F;
    let long = [&high[..], &[0]].concat();
    for adu in [&interleaved[..], &free, &high[..20], &[], &long] {
        let [high, low] = u16::try_from(adu.len()).unwrap().to_be_bytes();
        let payload = [&[0x40 | high, low][..], adu].concat();
        assert!(Robust::new().push(&packet(0, &payload), false).is_err());
    }
}

/// Any frames: MPEG-1 and 2, with one or two channels, with and without checksum.
fn encoders() -> impl Strategy<Value = (Encoder, u32)> {
    let frame = (1u8..15, 0usize..40, 0usize..600, any::<u8>());
    let frames = proptest::collection::vec(frame, 1..12);
    (any::<bool>(), any::<bool>(), any::<bool>(), frames).prop_map(
        |(low, mono, checksum, frames)| {
            let mut encoder = Encoder::default();
            for (bitrate, gap, unused, fill) in frames {
                let version = 0xFA | u8::from(!checksum);
                let version = if low { version & 0xF7 } else { version };
                let mode = if mono { 0xC0 } else { 0 };
                encoder.push([0xFF, version, bitrate << 4 | 4, mode], gap, unused, fill);
            }
            (encoder, DURATION)
        },
    )
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let frame = (1u8..15, any::<u8>());
    let frame = frame.prop_map(|(rate, fill)| mpeg([0xFF, 0xFB, rate << 4 | 4, 4], fill));
    proptest::collection::vec(frame, 1..10)
}

fn sent(frames: &[Vec<u8>], max: usize) -> Vec<Packet> {
    (0..).zip(frames).flat_map(|(n, data)| packets(data, max, n * DURATION)).collect()
}

proptest! {
    #[test]
    fn any_frames_come_back(frames in frames(), max in 64usize..1500) {
        let units = depacketize(&mut Depacketizer::new(), &sent(&frames, max));
        let expected: Vec<_> =
            (0..).zip(&frames).map(|(n, data)| unit(n * DURATION, data, false)).collect();
        prop_assert_eq!(units, expected);
    }

    #[test]
    fn what_is_not_torn_is_whole(
        frames in frames(),
        max in 64usize..400,
        kept in losses(),
    ) {
        let mut depacketizer = Depacketizer::new();
        let (mut got, _) = lossy(&mut depacketizer, &sent(&frames, max), &kept);
        got.extend(rest(&mut depacketizer));
        for got in got.iter().filter(|got| !got.torn) {
            let index = usize::try_from(got.timestamp / DURATION).unwrap();
            prop_assert_eq!(&got.data[..], &frames[index][..]);
        }
    }

    #[test]
    fn any_adus_become_frames(
        (encoder, duration) in encoders(),
        per_packet in 1usize..5,
        max in 40usize..300,
    ) {
        let list = encoder.sent(duration, per_packet, max);
        prop_assert_eq!(depacketize(&mut Robust::new(), &list), encoder.units(duration));
    }

    #[test]
    fn damage_does_no_harm(
        (encoder, duration) in encoders(),
        frames in frames(),
        harm: Vec<(Index, Index, u8)>,
        lost: bool,
    ) {
        let mut robust = Robust::new();
        for packet in damaged(encoder.sent(duration, 1, 100), &harm) {
            let _ = robust.push(&packet, lost);
        }
        robust.flush();
        let mut plain = Depacketizer::new();
        for packet in damaged(sent(&frames, 100), &harm) {
            let _ = plain.push(&packet, lost);
        }
        plain.flush();
    }

    #[test]
    fn whatever_comes_is_read_or_refused(packets in anything(), frame: Vec<u8>) {
        let (mut robust, mut plain) = (Robust::new(), Depacketizer::new());
        for (timestamp, _, lost, payload) in packets {
            let low = u8::try_from(timestamp).unwrap();
            let packets = [
                packet(timestamp, &payload),
                packet(timestamp, &[&[0, 0, 0, low][..], &LOW, &payload].concat()),
                packet(timestamp, &[&[0x40, low][..], &LOW, &payload].concat()),
            ];
            for packet in packets {
                let _ = robust.push(&packet, lost);
                let _ = plain.push(&packet, lost);
            }
        }
        self::packets(&[&LOW[..], &frame].concat(), 64, 0);
    }
}
