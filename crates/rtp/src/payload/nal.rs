//! What H.264 and H.265 have in common: units gathered into access units, and units aggregated or
//! fragmented into payloads.
//!
//! Tolerated: start and end bits of fragments that are missing; see also [`Assembler`] for markers.

mod assembler;
#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use media::{Error, Frame, nal};
use smallvec::SmallVec;

pub(super) use self::assembler::Assembler;
use super::{Sink, Unit};
use crate::Packet;

/// A codec's NAL units, and how they are aggregated and fragmented.
pub(super) trait Syntax: fmt::Debug + Send {
    /// Bytes of a NAL unit header, and of what stands before aggregated units.
    const HEADER: usize;
    /// What a unit is to its access unit, by its header and the byte behind that.
    fn role(unit: &[u8]) -> Role;
    /// Hands the units of a payload of this time to the assembler.
    fn read(&self, timestamp: u32, payload: &[u8], assembler: &mut Assembler) -> Result<(), Error>;
    /// What stands before aggregated units.
    fn aggregation(units: &[&[u8]]) -> SmallVec<[u8; 4]>;
    /// What stands before a fragment of a unit with this header.
    fn fragmentation(header: &[u8], start: bool, end: bool) -> SmallVec<[u8; 4]>;
}

/// How a unit stands to the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A slice; `first` if it is the first of its picture.
    Slice { first: bool },
    /// Comes before the first slice: parameter sets, delimiters, most SEI.
    Lead,
    /// May come anywhere.
    Any,
}

/// Puts access units together.
#[derive(Debug)]
pub(crate) struct Depacketizer<S> {
    syntax: S,
    assembler: Assembler,
}

impl<S> Depacketizer<S> {
    pub(super) fn with(syntax: S) -> Self {
        Self { syntax, assembler: Assembler::new() }
    }
}

impl<S: Syntax> super::Depacketizer for Depacketizer<S> {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        self.assembler.begin_packet(packet, lost);
        let read = match &packet.payload[..] {
            // Some senders pad with packets that have nothing in them.
            [] => Ok(()),
            payload => self.syntax.read(packet.timestamp, payload, &mut self.assembler),
        };
        if read.is_err() {
            self.assembler.damage();
        }
        self.assembler.end_packet(packet);
        read
    }

    fn poll(&mut self) -> Option<Unit> {
        self.assembler.poll()
    }

    fn flush(&mut self) {
        self.assembler.flush();
    }
}

/// Cuts access units, with the parameter sets in front of each key frame, so that players survive
/// a change of them.
#[derive(Debug)]
pub(crate) struct Packetizer<S> {
    parameter_sets: Vec<Bytes>,
    /// No frame has gone out with the parameter sets.
    fresh: bool,
    syntax: PhantomData<S>,
}

impl<S> Packetizer<S> {
    pub(super) fn with<'a>(parameter_sets: impl Iterator<Item = &'a Bytes>) -> Self {
        let parameter_sets = parameter_sets.cloned().collect();
        Self { parameter_sets, fresh: true, syntax: PhantomData }
    }
}

impl<S: Syntax> super::Packetizer for Packetizer<S> {
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink) {
        // They may have changed between key frames.
        let needed = std::mem::take(&mut self.fresh) || frame.is_key();
        let sets: &[Bytes] = if needed { &self.parameter_sets } else { &[] };
        let units = nal::iter(&frame.data, &frame.units);
        packetize::<S>(sets.iter().map(|set| &**set).chain(units), max, sink);
    }
}

/// Cuts the units of an access unit into payloads: small neighbours together, large ones apart.
fn packetize<'a, S: Syntax>(
    units: impl IntoIterator<Item = &'a [u8]>,
    max: usize,
    sink: &mut dyn Sink,
) {
    let mut together: SmallVec<[&[u8]; 8]> = SmallVec::new();
    let mut size = S::HEADER;
    let mut units = units.into_iter().filter(|unit| unit.len() > S::HEADER).peekable();
    while let Some(unit) = units.next() {
        let last = units.peek().is_none();
        if size + 2 + unit.len() > max {
            aggregate::<S>(&together, false, sink);
            together.clear();
            size = S::HEADER;
        }
        if unit.len() > max {
            fragment::<S>(unit, max, last, sink);
            continue;
        }
        together.push(unit);
        size += 2 + unit.len();
        if last {
            aggregate::<S>(&together, true, sink);
        }
    }
}

fn aggregate<S: Syntax>(units: &[&[u8]], marker: bool, sink: &mut dyn Sink) {
    match units {
        [] => {}
        [unit] => sink.packet(&[unit], marker),
        units => {
            let header = S::aggregation(units);
            // None is longer than a packet, whose size fits 16 bits.
            let size = |unit: &&[u8]| u16::try_from(unit.len()).unwrap_or_default().to_be_bytes();
            let sizes: SmallVec<[[u8; 2]; 8]> = units.iter().map(size).collect();
            let mut pieces: SmallVec<[&[u8]; 17]> = SmallVec::new();
            pieces.push(&header);
            for (size, unit) in sizes.iter().zip(units) {
                pieces.push(size);
                pieces.push(unit);
            }
            sink.packet(&pieces, marker);
        }
    }
}

fn fragment<S: Syntax>(unit: &[u8], max: usize, marker: bool, sink: &mut dyn Sink) {
    let Some((header, body)) = unit.split_at_checked(S::HEADER) else { return };
    let room = max.saturating_sub(S::HEADER + 1).max(1);
    let mut parts = body.chunks(room).enumerate().peekable();
    while let Some((index, part)) = parts.next() {
        let last = parts.peek().is_none();
        let before = S::fragmentation(header, index == 0, last);
        sink.packet(&[&before, part], marker && last);
    }
}

/// The units of an aggregation, each after a length of two bytes.
pub(super) fn aggregated(mut payload: &[u8]) -> impl Iterator<Item = Result<&[u8], Error>> {
    std::iter::from_fn(move || {
        let (length, rest) = payload.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((unit, rest)) = rest.split_at_checked(length) else {
            let wanted = length.saturating_sub(rest.len());
            payload = &[];
            return Some(Err(Error::Truncated { offset: 0, wanted }));
        };
        payload = rest;
        Some(Ok(unit))
    })
}
