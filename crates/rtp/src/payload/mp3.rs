//! MPEG audio: frames as they are (`MPA`, [RFC 2250] §3.5), and layer III made robust against loss
//! (`mpa-robust`, [RFC 5219]).
//!
//! Both have a clock of 90 kHz, and the time stamp of a packet is that of its first frame. The
//! marker, which begins a talk spurt (RFC 2250 §3.3), is neither read nor set.
//!
//! A layer III frame points back to the frames before it, where its main data begin; an ADU has
//! all of its own. [`Robust`] makes frames of ADUs as RFC 5219 A.2 does. Where frames that a
//! back-pointer needs were lost, a silent one with enough room takes their place: there is one
//! even at the beginning.
//!
//! Not done: frames of the free format over several packets, or as ADUs; interleaved ADUs (RFC
//! 5219 §7), which are refused; sending ADUs.
//!
//! Tolerated of real peers: behind whole frames there may be the beginning of one, and behind the
//! end of a frame there may be more frames.
//!
//! [RFC 2250]: https://www.rfc-editor.org/rfc/rfc2250
//! [RFC 5219]: https://www.rfc-editor.org/rfc/rfc5219

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use media::mp3::Header;
use media::{BitReader, Error, Frame, Reader};

use super::{Sink, Unit};
use crate::Packet;

/// Ticks per second of RTP timestamps.
const CLOCK: u32 = 90_000;

/// How long samples last, by the header of one of their frames.
fn ticks(samples: u64, header: &Header) -> u32 {
    let ticks = samples.wrapping_mul(CLOCK.into()) / u64::from(header.sample_rate).max(1);
    // A packet, or a message, has less than the 13 hours at which this would wrap.
    u32::try_from(ticks & u64::from(u32::MAX)).unwrap_or(0)
}

/// Takes frames out of packets.
#[derive(Debug, Default)]
pub(crate) struct Depacketizer {
    partial: Option<Partial>,
    ready: VecDeque<Unit>,
}

/// A frame, or an ADU, of which more is to come.
#[derive(Debug)]
struct Partial {
    timestamp: u32,
    /// Of the whole.
    length: usize,
    data: BytesMut,
}

impl Partial {
    /// Takes what belongs to it.
    fn add(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        let wanted = self.length.saturating_sub(self.data.len());
        self.data.extend_from_slice(r.take(wanted.min(r.remaining()))?);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.data.len() >= self.length
    }
}

impl Depacketizer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// No more fragments come.
    fn finish(&mut self) {
        if let Some(partial) = self.partial.take() {
            let torn = !partial.is_complete();
            let Partial { timestamp, data, .. } = partial;
            self.ready.push_back(Unit { timestamp, data: data.freeze(), torn });
        }
    }
}

impl super::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        let mut r = Reader::new(&packet.payload);
        r.u16()?; // must be zero
        let offset = usize::from(r.u16()?);
        let mut samples = 0;
        let continues = |partial: &mut Partial| {
            let follows = partial.data.len() == offset && partial.timestamp == packet.timestamp;
            offset > 0 && follows && !lost
        };
        if let Some(mut partial) = self.partial.take_if(continues) {
            partial.add(&mut r)?;
            samples += Header::parse(&partial.data).map_or(0, |header| header.samples.into());
            let complete = partial.is_complete();
            self.partial = Some(partial);
            if complete {
                self.finish();
            }
        } else {
            self.finish();
            if offset > 0 {
                return Ok(()); // what is before it is lost
            }
        }
        while !r.is_empty() {
            let header = Header::parse(r.rest())?;
            let timestamp = packet.timestamp.wrapping_add(ticks(samples, &header));
            samples += u64::from(header.samples);
            let length = header.length.unwrap_or_else(|| r.remaining());
            if length > r.remaining() {
                let mut partial = Partial { timestamp, length, data: BytesMut::new() };
                partial.add(&mut r)?;
                self.partial = Some(partial);
            } else {
                // At least the four bytes of the header, so that this comes to an end.
                let data = packet.payload.slice_ref(r.take(length.max(HEADER))?);
                self.ready.push_back(Unit { timestamp, data, torn: false });
            }
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    fn flush(&mut self) {
        self.finish();
    }
}

/// Bytes of a frame's own header, and of that before it in a packet.
const HEADER: usize = 4;

/// Puts one frame, or a fragment of one, into each packet.
#[derive(Debug)]
pub(crate) struct Packetizer;

impl Packetizer {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl super::Packetizer for Packetizer {
    /// A frame of a track may be several of MPEG audio; their time stamps follow each other.
    /// One of the free format that is longer than a fragment offset can tell is left out.
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink) {
        let mut rest = &frame.data[..];
        let (mut samples, mut told) = (0, 0);
        while !rest.is_empty() {
            let header = Header::parse(rest).ok();
            let length = header.and_then(|header| header.length).unwrap_or(rest.len());
            let Some((data, following)) = rest.split_at_checked(length) else {
                return send(rest, max, sink);
            };
            send(data, max, sink);
            if let Some(header) = header.filter(|_| !following.is_empty()) {
                samples += u64::from(header.samples);
                let now = ticks(samples, &header);
                sink.advance(now.saturating_sub(told));
                told = now;
            }
            rest = following;
        }
    }
}

/// Sends one frame.
fn send(data: &[u8], max: usize, sink: &mut dyn Sink) {
    if u16::try_from(data.len()).is_err() {
        return;
    }
    let size = max.saturating_sub(HEADER).max(1);
    for (offset, fragment) in (0..data.len()).step_by(size).zip(data.chunks(size)) {
        let [high, low] = u16::try_from(offset).unwrap_or(0).to_be_bytes();
        sink.packet(&[&[0, 0, high, low], fragment], false);
    }
}

/// Takes ADUs out of packets, and makes frames of them.
#[derive(Debug, Default)]
pub(crate) struct Robust {
    partial: Option<Partial>,
    reservoir: Reservoir,
}

impl Robust {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl super::Depacketizer for Robust {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        let mut r = Reader::new(&packet.payload);
        let mut samples = 0;
        while !r.is_empty() {
            // §4.2: C, T and 6 or 14 bits of size.
            let first = r.u8()?;
            let mut length = usize::from(first & 0x3F);
            if first & 0x40 != 0 {
                length = length << 8 | usize::from(r.u8()?);
            }
            let partial = self.partial.take();
            if first & 0x80 != 0 {
                // §4.3: every fragment has the size of the whole.
                let same = |partial: &Partial| {
                    !lost && partial.timestamp == packet.timestamp && partial.length == length
                };
                let Some(mut partial) = partial.filter(same) else { return Ok(()) };
                partial.add(&mut r)?;
                if !partial.is_complete() {
                    self.partial = Some(partial);
                    return Ok(());
                }
                let header = Header::parse(&partial.data)?;
                samples += u64::from(header.samples);
                self.reservoir.push(partial.timestamp, &header, &partial.data.freeze())?;
                continue;
            }
            let data = packet.payload.slice_ref(r.take(length.min(r.remaining()))?);
            // An interleaved ADU has a number where this wants a syncword.
            let header = Header::parse(&data)?;
            let timestamp = packet.timestamp.wrapping_add(ticks(samples, &header));
            if data.len() < length {
                let data = BytesMut::from(data);
                self.partial = Some(Partial { timestamp, length, data });
                return Ok(());
            }
            samples += u64::from(header.samples);
            self.reservoir.push(timestamp, &header, &data)?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<Unit> {
        self.reservoir.ready.pop_front()
    }

    fn flush(&mut self) {
        self.reservoir.flush();
    }
}

/// Lays the main data of ADUs into the frames before their own, as far as their back-pointers tell.
#[derive(Debug, Default)]
struct Reservoir {
    /// Frames into which main data may come yet. Each has room for one byte of them at least, so
    /// that there are never more than [`MAX_BACK`].
    frames: VecDeque<Slot>,
    /// Bytes at the end of the last frame, and of those before it, that may be written.
    room: usize,
    /// When the last frame ends.
    end: Option<u32>,
    ready: VecDeque<Unit>,
}

/// A frame that is being filled.
#[derive(Debug)]
struct Slot {
    timestamp: u32,
    /// Header, side information, and room for main data: from here.
    main: usize,
    data: BytesMut,
}

/// The largest back-pointer, `main_data_begin` of 9 bits.
const MAX_BACK: usize = 511;

impl Reservoir {
    fn push(&mut self, timestamp: u32, header: &Header, adu: &Bytes) -> Result<(), Error> {
        let duration = ticks(header.samples.into(), header);
        let end = self.end.replace(timestamp.wrapping_add(duration));
        if header.layer != 3 {
            // §5: others have no back-pointers.
            self.flush();
            self.ready.push_back(Unit { timestamp, data: adu.clone(), torn: false });
            return Ok(());
        }
        let side = SideInformation::read(header, adu)?;
        if side.back > self.room {
            // At the beginning, or behind a gap, there is time for another frame.
            let gap = end.map(|end| timestamp.wrapping_sub(end));
            let before = gap.is_none_or(|gap| (duration - duration / 8..1 << 31).contains(&gap));
            let silence = silence(header, adu)?;
            let side = SideInformation::read(&Header::parse(&silence)?, &silence)?;
            if !before {
                return self.place(timestamp, &silence, &side);
            }
            self.place(timestamp.wrapping_sub(duration), &silence, &side)?;
        }
        self.place(timestamp, adu, &side)
    }

    /// Appends a frame, and writes its main data.
    fn place(&mut self, timestamp: u32, adu: &[u8], side: &SideInformation) -> Result<(), Error> {
        let (head, mut main) = adu.split_at_checked(side.end).unwrap_or((adu, &[]));
        let lies = || Error::Invalid { what: "ADU size", value: adu.len() as u64 };
        let room = (side.back + side.space).checked_sub(main.len()).ok_or_else(lies)?;
        let mut data = BytesMut::from(head);
        data.resize(side.end + side.space, 0);
        let before: usize = self.frames.iter().map(Slot::space).sum();
        self.frames.push_back(Slot { timestamp, main: side.end, data });
        let mut at = before.saturating_sub(side.back);
        for slot in &mut self.frames {
            let space = slot.space();
            if at < space {
                let target = slot.data.get_mut(slot.main + at..).unwrap_or_default();
                let (here, rest) = main.split_at(target.len().min(main.len()));
                for (to, from) in target.iter_mut().zip(here) {
                    *to = *from;
                }
                main = rest;
            }
            at = at.saturating_sub(space);
        }
        self.room = room.min(MAX_BACK);
        // What later data can't reach is complete.
        let mut reach = before + side.space;
        while let Some(slot) = self.frames.pop_front_if(|slot| reach - slot.space() >= self.room) {
            reach -= slot.space();
            self.ready.push_back(slot.unit());
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.ready.extend(self.frames.drain(..).map(Slot::unit));
        self.room = 0;
    }
}

impl Slot {
    fn space(&self) -> usize {
        self.data.len().saturating_sub(self.main)
    }

    fn unit(self) -> Unit {
        Unit { timestamp: self.timestamp, data: self.data.freeze(), torn: false }
    }
}

/// What is to be known of a layer III frame (ISO/IEC 11172-3 §2.4.1.7, ISO/IEC 13818-3 §2.4.1.7).
struct SideInformation {
    /// Where it ends, and main data may begin.
    end: usize,
    /// Bytes that the frame has for main data.
    space: usize,
    /// `main_data_begin`.
    back: usize,
}

impl SideInformation {
    fn read(header: &Header, frame: &[u8]) -> Result<Self, Error> {
        let length = side_length(header);
        let bits = if header.samples == 1152 { 9 } else { 8 };
        let mut r = BitReader::new(frame);
        r.skip(15)?;
        let checksum = if r.flag()? { 0 } else { 2 };
        let end = HEADER + checksum + length;
        r.skip(8 * (HEADER - 2 + checksum))?;
        let back = usize::from(r.u16(bits)?);
        if frame.len() < end {
            return Err(Error::Truncated { offset: frame.len(), wanted: end - frame.len() });
        }
        let small = || Error::Invalid { what: "bitrate_index", value: 0 };
        let space = header.length.and_then(|length| length.checked_sub(end)).ok_or_else(small)?;
        Ok(Self { end, space, back })
    }
}

/// A frame without main data and back-pointer, like that of an ADU but with the highest bit rate:
/// its room is enough for any back-pointer.
fn silence(header: &Header, adu: &[u8]) -> Result<Bytes, Error> {
    let [sync, version, rate, mode] = Reader::new(adu).array()?;
    let plain = [sync, version | 1, 0xE0 | rate & 0x0C, mode];
    let mut frame = BytesMut::from(&plain[..]);
    frame.resize(HEADER + side_length(header), 0);
    Ok(frame.freeze())
}

/// Bytes of side information.
fn side_length(header: &Header) -> usize {
    match (header.samples, header.channels) {
        (1152, 1) => 17,
        (1152, _) => 32,
        (_, 1) => 9,
        (_, _) => 17,
    }
}

#[cfg(test)]
mod tests {
    use media::{FrameKind, TrackId, Units};
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::payload::tests::{Packets, depacketize, frame, packetize};
    use crate::payload::{Depacketizer as _, Packetizer as _};

    /// Keeps packets, each with its own time.
    #[derive(Default)]
    struct Timed(Packets);

    impl Sink for Timed {
        fn packet(&mut self, pieces: &[&[u8]], marker: bool) {
            self.0.packet(pieces, marker);
        }

        fn advance(&mut self, ticks: u32) {
            self.0.timestamp = self.0.timestamp.wrapping_add(ticks);
        }
    }

    fn packets(data: &[u8], max: usize, timestamp: u32) -> Vec<Packet> {
        let data = Bytes::copy_from_slice(data);
        let frame = frame(TrackId::audio(0), FrameKind::Audio, data, Units::new());
        packetize(&mut Packetizer::new(), &frame, max, timestamp)
    }

    fn packet(timestamp: u32, payload: &[u8]) -> Packet {
        let payload = Bytes::copy_from_slice(payload);
        Packet { marker: false, payload_type: 14, sequence: 0, timestamp, ssrc: 1, payload }
    }

    fn unit(timestamp: u32, data: &[u8], torn: bool) -> Unit {
        Unit { timestamp, data: Bytes::copy_from_slice(data), torn }
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
        assert_eq!(
            (list.len(), &list[0].payload[..8]),
            (1, &[0, 0, 0, 0, 0xFF, 0xFB, 0x94, 4][..])
        );
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
        let frame = frame(TrackId::audio(0), FrameKind::Audio, data.into(), Units::new());
        let mut timed = Timed::default();
        Packetizer::new().push(&frame, 204, &mut timed);
        let list: Vec<_> = timed.0.list.iter().map(|p| (p.timestamp, p.payload.len())).collect();
        let [second, third, last] = [1, 2, 3].map(|n| n * DURATION);
        let expected = [(0, 100), (second, 204), (second, 188), (third, 100), (last, 54)];
        assert_eq!(list, expected);
        let units = depacketize(&mut Depacketizer::new(), &timed.0.list);
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
            robust.flush();
            let units: Vec<_> = std::iter::from_fn(|| robust.poll()).collect();
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
            assert!(robust.reservoir.frames.len() <= MAX_BACK + 1);
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

    fn damaged(mut list: Vec<Packet>, harm: Vec<(Index, Index, u8)>) -> Vec<Packet> {
        for (packet, place, mask) in harm {
            let packet = packet.get(&list).clone();
            let mut payload = packet.payload.to_vec();
            let place = place.index(payload.len());
            payload[place] ^= mask;
            payload.truncate(if mask == 0 { place.max(1) } else { payload.len() });
            list.push(Packet { payload: payload.into(), ..packet });
        }
        list
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
        fn what_is_not_torn_is_whole(frames in frames(), max in 64usize..400, kept: Vec<bool>) {
            let mut depacketizer = Depacketizer::new();
            let mut lost = false;
            let kept = kept.into_iter().chain(std::iter::repeat(true));
            for (packet, kept) in sent(&frames, max).iter().zip(kept) {
                if kept {
                    depacketizer.push(packet, lost).unwrap();
                    lost = false;
                }
                lost |= !kept;
            }
            depacketizer.flush();
            for got in std::iter::from_fn(|| depacketizer.poll()).filter(|got| !got.torn) {
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
            for packet in damaged(encoder.sent(duration, 1, 100), harm.clone()) {
                let _ = robust.push(&packet, lost);
            }
            robust.flush();
            let mut plain = Depacketizer::new();
            for packet in damaged(sent(&frames, 100), harm) {
                let _ = plain.push(&packet, lost);
            }
            plain.flush();
        }

        #[test]
        fn whatever_comes_is_read_or_refused(
            payloads: Vec<(Vec<u8>, u8, bool)>,
            frame: Vec<u8>,
        ) {
            let (mut robust, mut plain) = (Robust::new(), Depacketizer::new());
            for (payload, timestamp, lost) in payloads {
                let packets = [
                    packet(timestamp.into(), &payload),
                    packet(timestamp.into(), &[&[0, 0, 0, timestamp][..], &LOW, &payload].concat()),
                    packet(timestamp.into(), &[&[0x40, timestamp][..], &LOW, &payload].concat()),
                ];
                for packet in packets {
                    let _ = robust.push(&packet, lost);
                    let _ = plain.push(&packet, lost);
                }
            }
            packets(&[&LOW[..], &frame].concat(), 64, 0);
        }
    }
}
