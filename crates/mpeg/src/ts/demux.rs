//! Transport packets in, tracks and frames out.
//!
//! The first program is read; its streams become tracks as soon as their configuration has been
//! seen. Lost packets cost the access unit that they belong to.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use media::{Frame, Ticks, TimeBase, Track, TrackId, TrackKind};

use super::{PACKET, Packet, SYNC};
use crate::clock::Unwrapper;
use crate::es::{Parser, Unit};
use crate::pes;
use crate::psi::{self, Pmt, Sections};

/// The longest PES packet: a key frame of a stream of hundreds of megabits per second.
const MAX_PES: usize = 16 << 20;

/// Streams that are read: a program has a few.
const MAX_STREAMS: usize = 16;

/// What comes out of a transport stream.
#[derive(Debug, Clone)]
pub enum Demuxed {
    /// A track, or another configuration of it; its frames follow.
    Track(Track),
    /// A frame, on the 90 kHz clock or on that of its samples.
    Frame(Frame),
}

/// Reads the first program of a transport stream.
#[derive(Debug, Default)]
pub struct Demuxer {
    /// Less than a packet.
    rest: BytesMut,
    pat: Sections,
    pmt: Sections,
    pmt_pid: Option<u16>,
    streams: Vec<Input>,
    clock: Unwrapper,
    out: VecDeque<Demuxed>,
    skipped: u64,
    lost: u64,
    left_out: Vec<psi::StreamType>,
}

/// An elementary stream.
#[derive(Debug)]
struct Input {
    pid: u16,
    track: TrackId,
    parser: Parser,
    continuity: Option<u8>,
    /// The PES packet in hand, with its header; empty before the first one.
    pes: BytesMut,
    last_dts: Option<i64>,
}

impl Demuxer {
    /// A demuxer that has read nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes, cut anywhere, that arrived at this time.
    pub fn push(&mut self, bytes: &[u8], arrival: Instant) {
        self.rest.extend_from_slice(bytes);
        // One byte more than a packet tells whether it is one.
        self.packets(PACKET + 1, arrival);
    }

    /// Reads packets as long as there are `wanted` bytes.
    fn packets(&mut self, wanted: usize, arrival: Instant) {
        loop {
            let start = self.rest.iter().position(|byte| *byte == SYNC);
            let garbage = start.unwrap_or(self.rest.len());
            self.skipped += garbage as u64;
            self.rest.advance(garbage);
            if self.rest.len() < wanted {
                return;
            }
            // A sync byte that none follows where the next one must be is part of the media.
            if self.rest.get(PACKET).is_some_and(|next| *next != SYNC) {
                self.skipped += 1;
                self.rest.advance(1);
                continue;
            }
            let packet = self.rest.split_to(PACKET).freeze();
            self.packet(&packet, arrival);
        }
    }

    /// Nothing follows: what is in hand is complete.
    pub fn finish(&mut self, arrival: Instant) {
        self.packets(PACKET, arrival);
        for index in 0..self.streams.len() {
            self.end_pes(index, arrival);
        }
    }

    /// The next of what came out.
    pub fn poll(&mut self) -> Option<Demuxed> {
        self.out.pop_front()
    }

    /// Bytes that belong to no packet.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Packets that were lost, at least.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The kinds of streams that are there and not understood.
    #[must_use]
    pub fn left_out(&self) -> &[psi::StreamType] {
        &self.left_out
    }

    fn packet(&mut self, bytes: &[u8], arrival: Instant) {
        let Some(packet) = Packet::read(bytes) else {
            self.skipped += bytes.len() as u64;
            return;
        };
        let Some(payload) = packet.payload.filter(|_| !packet.damaged) else { return };
        if packet.pid == psi::PAT_PID {
            let section = self.pat.push(payload, packet.start);
            self.pmt_pid = section.and_then(|pat| psi::read_pat(&pat)).or(self.pmt_pid);
        } else if Some(packet.pid) == self.pmt_pid {
            let section = self.pmt.push(payload, packet.start);
            if let Some(pmt) = section.and_then(|section| psi::read_pmt(&section)) {
                self.map(&pmt);
            }
        } else if let Some(index) = self.streams.iter().position(|input| input.pid == packet.pid) {
            self.media(index, &packet, payload, arrival);
        }
    }

    /// The program consists of these streams; those that are known already go on.
    fn map(&mut self, pmt: &Pmt) {
        self.left_out.clear();
        let mut next = [0u8; 2];
        let mut fresh = Vec::new();
        for stream in pmt.streams.iter().take(MAX_STREAMS) {
            let Some(parser) = Parser::of(stream) else {
                self.left_out.push(stream.stream_type);
                continue;
            };
            let kind = parser.kind();
            let [video, audio] = &mut next;
            let index = if kind == TrackKind::Video { video } else { audio };
            let track = TrackId { kind, index: *index };
            *index += 1;
            let known = |input: &Input| input.pid == stream.pid && input.parser.is_like(&parser);
            let known = self.streams.iter().position(known);
            fresh.push(match known {
                Some(at) => Input { track, ..self.streams.swap_remove(at) },
                None => Input {
                    pid: stream.pid,
                    track,
                    parser,
                    continuity: None,
                    pes: BytesMut::new(),
                    last_dts: None,
                },
            });
        }
        self.streams = fresh;
    }

    fn media(&mut self, index: usize, packet: &Packet<'_>, payload: &[u8], arrival: Instant) {
        let Some(input) = self.streams.get_mut(index) else { return };
        let expected = input.continuity.map(|last| (last + 1) & 0x0F);
        if input.continuity == Some(packet.continuity) && !packet.discontinuity {
            // A packet may be sent twice (ISO/IEC 13818-1 §2.4.3.3).
            return;
        }
        input.continuity = Some(packet.continuity);
        if expected.is_some_and(|expected| expected != packet.continuity) && !packet.discontinuity {
            self.lost += 1;
            input.pes.clear();
        }
        if packet.start {
            self.end_pes(index, arrival);
            if let Some(input) = self.streams.get_mut(index) {
                input.pes.extend_from_slice(payload);
            }
        } else if !input.pes.is_empty() {
            if input.pes.len() + payload.len() > MAX_PES {
                input.pes.clear();
                return;
            }
            input.pes.extend_from_slice(payload);
        }
        // A length that is told need not be waited for.
        let Some(input) = self.streams.get(index) else { return };
        let header = pes::read_header(&input.pes);
        let whole = header.and_then(|header| Some(header.length + header.payload?));
        if whole.is_some_and(|whole| input.pes.len() >= whole) {
            self.end_pes(index, arrival);
        }
    }

    /// The PES packet in hand is complete.
    fn end_pes(&mut self, index: usize, arrival: Instant) {
        let Some(input) = self.streams.get_mut(index) else { return };
        let pes = input.pes.split().freeze();
        let Some(header) = pes::read_header(&pes) else { return };
        let end = header.payload.map_or(pes.len(), |len| (header.length + len).min(pes.len()));
        if header.payload.is_some_and(|len| header.length + len > pes.len()) {
            self.lost += 1;
            return;
        }
        let payload = pes.slice(header.length.min(end)..end);
        let times = header.pts.zip(header.dts).map(|(pts, dts)| {
            let dts = self.clock.unwrap(dts);
            // Presentation follows decoding, by less than half the clock's range.
            let ahead =
                (i64::try_from(pts).unwrap_or_default() - dts).rem_euclid(crate::clock::WRAP);
            (dts + if ahead < crate::clock::WRAP / 2 { ahead } else { 0 }, dts)
        });
        self.units(index, &payload, times, arrival);
    }

    fn units(
        &mut self,
        index: usize,
        payload: &Bytes,
        times: Option<(i64, i64)>,
        arrival: Instant,
    ) {
        let Some(input) = self.streams.get_mut(index) else { return };
        let units = input.parser.push(payload, times);
        if let Some(track) = input.parser.take_change(input.track) {
            self.out.push_back(Demuxed::Track(track));
        }
        for Unit { pts, dts, kind, data, units } in units {
            let base = input.parser.time_base();
            let ticks = |time| Ticks::new(time, TimeBase::VIDEO).rescale(base).value;
            // Decoding times grow, whatever the stream says.
            let dts = ticks(dts).max(input.last_dts.unwrap_or(i64::MIN));
            input.last_dts = Some(dts);
            self.out.push_back(Demuxed::Frame(Frame {
                track: input.track,
                kind,
                dts: Ticks::new(dts, base),
                cts: i32::try_from(ticks(pts) - dts).unwrap_or_default(),
                arrival,
                data,
                units,
            }));
        }
    }
}
