//! RTP packets: between the messages of a connection (RFC 2326 §10.12), or as datagrams.
//!
//! All viewers of a packaging have one source per track, with one sequence of numbers, so that they
//! share the packets. Times on the wire are those of the stream's time line plus a number that
//! never changes; reports relate them to the wall clock, with one relation for all tracks, and are
//! packets like any other: with each key frame, so that whoever begins there can bring the tracks
//! together at once, and from time to time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use ::rtp::format::Outgoing;
use ::rtp::packet::{HEADER_SIZE, Header};
use ::rtp::payload::{Packetizer, Sink};
use ::rtp::rtcp::{self, Ntp, SenderInfo};
use bytes::{BufMut, BytesMut};
use media::{
    Codec, Details, Frame, FrameKind, Ticks, TimeBase, Track, TrackId, TrackKind, TrackSet,
};

use super::{Packager, meaning, numbered};
use crate::Packet;
use crate::ring::Datagrams;

/// Tracks that one viewer can have.
pub const MAX_TRACKS: usize = 8;

/// Time between reports; RFC 3550 §6.2 has 5 s at most.
const REPORT_INTERVAL_MS: i64 = 2_500;

/// Bytes before an interleaved packet.
const INTERLEAVED_HEADER: usize = 4;

/// Datagrams in one packet of the ring: what the kernel cuts apart in one call.
const MAX_DATAGRAMS: usize = 64;

/// Bytes of datagrams in one packet of the ring: the payload of the largest UDP datagram, as which
/// they are handed to the kernel.
const MAX_BATCH: usize = 65_000;

/// The name of all our sources: receivers bring together what has one name.
const CANONICAL_NAME: &str = "headwater";

/// Which tracks go out, and on which channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Channels([Option<Channel>; MAX_TRACKS]);

/// The channels of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Channel {
    /// The track.
    pub track: TrackId,
    /// Where RTP goes.
    pub rtp: u8,
    /// Where RTCP goes.
    pub rtcp: u8,
    /// What the viewer was told of it: nothing goes out while the track is something else.
    pub told: Told,
}

/// What a session description tells of a track that its packets do not: codec, payload type, clock,
/// and the configuration of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Told(u64);

impl Told {
    /// What is told of a track; `None` if RTP has no place for it.
    #[must_use]
    pub fn of(track: &Track) -> Option<Self> {
        let format = Outgoing::of(track)?;
        let mut hasher = DefaultHasher::new();
        (track.codec, format.payload_type, format.clock_rate).hash(&mut hasher);
        // Pictures bring their parameter sets along.
        if track.id.kind != TrackKind::Video || matches!(track.codec, Codec::Rtp(_)) {
            track.config.hash(&mut hasher);
        }
        if let (Codec::PcmA | Codec::PcmU, Details::Audio(sound)) = (track.codec, &track.details) {
            sound.channels.hash(&mut hasher);
        }
        Some(Self(hasher.finish()))
    }
}

impl Channels {
    /// Adds or changes the channels of a track. `false` when another track has one of them, or
    /// there are too many.
    #[must_use]
    pub fn set(&mut self, channel: Channel) -> bool {
        let used = [channel.rtp, channel.rtcp];
        let taken = self.iter().any(|other| {
            other.track != channel.track
                && (used.contains(&other.rtp) || used.contains(&other.rtcp))
        });
        let mut list: Vec<_> = self.iter().filter(|other| other.track != channel.track).collect();
        if taken || list.len() >= MAX_TRACKS {
            return false;
        }
        list.push(channel);
        // Equal sets are to be equal whatever the order of their making.
        list.sort_by_key(|channel| channel.track);
        let mut sorted = list.into_iter();
        self.0 = std::array::from_fn(|_| sorted.next());
        true
    }

    /// The channels of all tracks.
    pub fn iter(&self) -> impl Iterator<Item = Channel> {
        self.0.into_iter().flatten()
    }
}

/// How packets are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Between the messages of a connection.
    Interleaved,
    /// As datagrams.
    Datagrams,
}

/// The source of a track's packets: what is the same for all its viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpSource {
    /// The synchronisation source.
    pub ssrc: u32,
    /// What is added to the time on the stream's time line.
    pub offset: u32,
}

impl RtpSource {
    /// The source of a track, in a stream that is told apart by `seed`.
    #[must_use]
    pub fn of(track: TrackId, seed: u32) -> Self {
        let kind = match track.kind {
            TrackKind::Video => 1u32,
            TrackKind::Audio => 2,
            TrackKind::Data => 3,
        };
        let mixed = mix(seed ^ (kind << 8 | u32::from(track.index)).wrapping_mul(0x9E37_79B9));
        Self { ssrc: mixed, offset: mix(mixed) }
    }

    /// A time on the stream's time line as packets have it, in ticks of `clock`.
    #[must_use]
    pub fn timestamp(self, time: Ticks, clock: TimeBase) -> u32 {
        let [a, b, c, d, ..] = time.rescale(clock).value.to_le_bytes();
        u32::from_le_bytes([a, b, c, d]).wrapping_add(self.offset)
    }
}

/// Spreads the bits of a number (the finaliser of MurmurHash3).
fn mix(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
    x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
    x ^ (x >> 16)
}

/// The packager of RTSP.
#[derive(Debug)]
pub(super) struct Rtp {
    channels: Channels,
    framing: Framing,
    seed: u32,
    /// Bytes of a packet at most, its RTP header included.
    size: usize,
    lanes: Vec<Lane>,
    /// Where on the time line the next reports are due.
    report_at: Option<i64>,
}

/// What a track needs to go out.
#[derive(Debug)]
struct Lane {
    channel: Channel,
    /// The track is what the viewers were told.
    active: bool,
    format: Outgoing,
    clock: TimeBase,
    packetizer: Box<dyn Packetizer>,
    source: RtpSource,
    sequence: u16,
    packets: u32,
    octets: u32,
}

impl Rtp {
    pub(super) fn new(channels: Channels, framing: Framing, seed: u32, size: u16) -> Self {
        let size = usize::from(size).max(MIN_SIZE);
        Self { channels, framing, seed, size, lanes: Vec::new(), report_at: None }
    }

    /// Reports of all tracks for the time `at`.
    fn reports(&self, at: Ticks, origin: Option<SystemTime>, mut put: impl FnMut(u8, BytesMut)) {
        let Some(origin) = origin else { return };
        // Nothing of importance lies before zero: a picture's decoding time at most.
        let ntp = Ntp::of(origin + at.duration());
        let at = at.max(Ticks::new(0, at.base));
        for lane in &self.lanes {
            let mut report = BytesMut::with_capacity(64);
            let info = SenderInfo {
                ssrc: lane.source.ssrc,
                ntp,
                rtp: lane.timestamp(at),
                packets: lane.packets,
                octets: lane.octets,
            };
            rtcp::write_sender_report(&info, CANONICAL_NAME, &mut report);
            put(lane.channel.rtcp, report);
        }
    }

    fn reports_are_due(&mut self, frame: &Frame) -> bool {
        let at = frame.dts.millis();
        let near = |due: i64| at < due && due - at <= REPORT_INTERVAL_MS;
        let begins = frame.track.kind == TrackKind::Video && frame.is_key();
        let due = begins || !self.report_at.is_some_and(near);
        if due {
            self.report_at = Some(at + REPORT_INTERVAL_MS);
        }
        due
    }
}

/// Nobody's links are so narrow; packetizers need a little room.
const MIN_SIZE: usize = 128;

impl Packager for Rtp {
    /// Decoders learn of parameter sets from the session description and from the packets of each
    /// key frame: there is nothing to be sent apart.
    fn prologue(&mut self, tracks: &TrackSet, _out: &mut BytesMut) {
        let mut known = std::mem::take(&mut self.lanes);
        let before = known.len();
        for channel in self.channels.iter() {
            let same = known.iter().position(|lane| lane.channel == channel);
            let same = same.map(|at| known.swap_remove(at));
            let track = tracks.get(channel.track);
            let Some(track) = track.filter(|track| Told::of(track) == Some(channel.told)) else {
                // It may come back, or be again what it was; its numbers go on then.
                self.lanes.extend(same.map(|lane| Lane { active: false, ..lane }));
                continue;
            };
            let Some(format) = Outgoing::of(track) else { continue };
            let Some(clock) = TimeBase::new(format.clock_rate) else { continue };
            let packetizer = Outgoing::packetizer(track);
            let source = RtpSource::of(channel.track, self.seed);
            let active = true;
            self.lanes.push(match same {
                Some(lane) => Lane { active, packetizer, format, clock, ..lane },
                None => {
                    let [sequence, _] = [source.offset >> 16, source.offset & 0xFFFF];
                    let sequence = u16::try_from(sequence).unwrap_or_default();
                    let (packets, octets) = (0, 0);
                    Lane {
                        channel,
                        active,
                        format,
                        clock,
                        packetizer,
                        source,
                        sequence,
                        packets,
                        octets,
                    }
                }
            });
        }
        if self.lanes.len() > before {
            // Whoever hears of one track alone cannot bring another to it.
            self.report_at = None;
        }
    }

    fn push(&mut self, frame: &Frame, tracks: &TrackSet, out: &mut Vec<Packet>) {
        let is_its = |lane: &Lane| lane.active && lane.channel.track == frame.track;
        let has_lane = self.lanes.iter().any(is_its);
        if frame.kind == FrameKind::Config || !has_lane {
            return;
        }
        let due = self.reports_are_due(frame);
        let capacity = frame.data.len() + frame.data.len() / 32 + 512;
        let mut writer = Writer {
            framing: self.framing,
            full: self.size,
            out: BytesMut::with_capacity(capacity),
            batch: None,
            packets: out,
            like: Packet {
                bytes: bytes::Bytes::new(),
                kind: numbered(meaning(frame)),
                track: frame.track.kind,
                dts_ms: frame.dts.millis(),
                epoch: tracks.epoch,
                datagrams: None,
            },
        };
        if due && self.framing == Framing::Interleaved {
            self.reports(frame.dts, tracks.origin, |channel, report| {
                writer.interleave(channel, report.len());
                writer.out.put_slice(&report);
            });
        }
        if let Some(lane) = self.lanes.iter_mut().find(|lane| is_its(lane)) {
            let timestamp = lane.timestamp(frame.pts());
            let max = self.size - HEADER_SIZE;
            let mut cutter = Cutter {
                timestamp,
                writer: &mut writer,
                channel: lane.channel.rtp,
                payload_type: lane.format.payload_type,
                source: lane.source,
                sequence: &mut lane.sequence,
                sent: &mut lane.packets,
                octets: &mut lane.octets,
            };
            lane.packetizer.push(frame, max, &mut cutter);
        }
        writer.finish();
        if due && self.framing == Framing::Datagrams {
            // After the frame: whoever begins with it gets them, too.
            self.reports(frame.dts, tracks.origin, |channel, report| {
                let size = u16::try_from(report.len()).unwrap_or_default();
                let datagrams = Some(Datagrams { channel, size });
                let kind = match frame.track.kind {
                    TrackKind::Video => FrameKind::Delta,
                    _ => meaning(frame),
                };
                out.push(Packet {
                    bytes: report.freeze(),
                    kind,
                    track: frame.track.kind,
                    dts_ms: frame.dts.millis(),
                    epoch: tracks.epoch,
                    datagrams,
                });
            });
        }
    }
}

impl Lane {
    /// A time of the stream as packets have it.
    fn timestamp(&self, time: Ticks) -> u32 {
        self.source.timestamp(time, self.clock)
    }
}

/// Puts packets one after the other.
struct Writer<'a> {
    framing: Framing,
    /// Bytes of the largest packets.
    full: usize,
    out: BytesMut,
    /// Datagrams that the kernel can cut apart: what they have in common, how many there are, and
    /// whether the last one may be the last.
    batch: Option<Batch>,
    packets: &'a mut Vec<Packet>,
    like: Packet,
}

#[derive(Clone, Copy)]
struct Batch {
    datagrams: Datagrams,
    count: usize,
    /// A shorter one has come, after which none can follow.
    closed: bool,
}

impl Writer<'_> {
    fn interleave(&mut self, channel: u8, length: usize) {
        self.out.reserve(INTERLEAVED_HEADER + length);
        self.out.put_u8(b'$');
        self.out.put_u8(channel);
        // Packets are bounded by `size`, of 16 bits, but for opaque ones of foreign making.
        self.out.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
    }

    /// A packet of `length` bytes is about to be written.
    fn begin(&mut self, channel: u8, length: usize) {
        if self.framing == Framing::Interleaved {
            return self.interleave(channel, length);
        }
        let size = u16::try_from(length).unwrap_or(u16::MAX);
        match &mut self.batch {
            Some(batch)
                if !batch.closed
                    && batch.datagrams.channel == channel
                    && size <= batch.datagrams.size
                    && batch.count < MAX_DATAGRAMS
                    && self.out.len() + length <= MAX_BATCH =>
            {
                batch.count += 1;
                batch.closed = size < batch.datagrams.size;
            }
            _ => {
                self.finish();
                let datagrams = Datagrams { channel, size };
                // Sockets are told of one size at which they cut: the full one.
                let closed = length < self.full;
                self.batch = Some(Batch { datagrams, count: 1, closed });
            }
        }
    }

    /// Hands out what was written.
    fn finish(&mut self) {
        let batch = self.batch.take();
        if self.out.is_empty() {
            return;
        }
        let bytes = self.out.split().freeze();
        let datagrams = batch.map(|batch| batch.datagrams);
        self.packets.push(Packet { bytes, datagrams, ..self.like.clone() });
        if self.like.kind == FrameKind::Key {
            // One can begin with the first packet of a picture only.
            self.like.kind = FrameKind::Delta;
        }
    }
}

/// Gives payloads their headers.
struct Cutter<'a, 'b> {
    writer: &'a mut Writer<'b>,
    channel: u8,
    payload_type: u8,
    source: RtpSource,
    timestamp: u32,
    sequence: &'a mut u16,
    sent: &'a mut u32,
    octets: &'a mut u32,
}

impl Sink for Cutter<'_, '_> {
    fn packet(&mut self, pieces: &[&[u8]], marker: bool) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if HEADER_SIZE + length > usize::from(u16::MAX) {
            return;
        }
        self.writer.begin(self.channel, HEADER_SIZE + length);
        let header = Header {
            marker,
            payload_type: self.payload_type,
            sequence: *self.sequence,
            timestamp: self.timestamp,
            ssrc: self.source.ssrc,
        };
        header.write(&mut self.writer.out);
        pieces.iter().for_each(|piece| self.writer.out.put_slice(piece));
        *self.sequence = self.sequence.wrapping_add(1);
        *self.sent = self.sent.wrapping_add(1);
        *self.octets = self.octets.wrapping_add(u32::try_from(length).unwrap_or_default());
    }

    fn advance(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.wrapping_add(ticks);
    }
}
