//! What VP8 and VP9 have in common: pictures whose packets say where they begin.
//!
//! Of a frame that lost a part comes out what lies before the gap, since only that can still be
//! told from what it is not; a frame that lost its beginning does not come out, and neither does
//! one of an upper layer that is not whole.
//!
//! Tolerated: markers that are missing.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use media::{Error, Reader};

use super::{MAX_UNIT, Sink, Unit};
use crate::Packet;

/// The descriptors before a codec's payloads.
pub(crate) trait Descriptor: fmt::Debug + Send {
    /// The beginning of a picture ends the one before, also if that has the same time and no marker.
    const BEGINNING_ENDS: bool;
    /// Passes over a descriptor.
    fn read(r: &mut Reader<'_>) -> Result<Place, Error>;
}

/// Where in a picture a payload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Begins it.
    Picture,
    /// Begins a frame of an upper layer.
    Layer,
    /// Continues a frame.
    Inside,
}

/// Puts pictures together.
#[derive(Debug)]
pub(crate) struct Depacketizer<D> {
    assembler: Assembler,
    descriptor: PhantomData<D>,
}

impl<D: Descriptor> Depacketizer<D> {
    pub(crate) fn new() -> Self {
        Self { assembler: Assembler::new(), descriptor: PhantomData }
    }

    fn payload(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut r = Reader::new(payload);
        let place = D::read(&mut r)?;
        if D::BEGINNING_ENDS && place == Place::Picture {
            self.assembler.complete();
        }
        self.assembler.append(place, r.rest())
    }
}

impl<D: Descriptor> super::Depacketizer for Depacketizer<D> {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        self.assembler.begin_packet(packet, lost);
        let read = if packet.payload.is_empty() { Ok(()) } else { self.payload(&packet.payload) };
        self.assembler.end_packet(packet, read)
    }

    fn poll(&mut self) -> Option<Unit> {
        self.assembler.ready.pop_front()
    }

    fn flush(&mut self) {
        self.assembler.complete();
    }
}

/// Gathers pictures.
#[derive(Debug)]
struct Assembler {
    /// What there is of the picture in hand.
    data: BytesMut,
    /// Where the last of its frames begins.
    frame: usize,
    timestamp: u32,
    state: State,
    ready: VecDeque<Unit>,
}

/// How much of the picture in hand is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came yet, and what came before it is not known.
    Gap,
    /// Nothing came yet.
    Empty,
    /// Everything came so far.
    Whole,
    /// Something is missing; what follows is worth nothing.
    Torn,
}

impl Assembler {
    fn new() -> Self {
        Self {
            data: BytesMut::new(),
            frame: 0,
            timestamp: 0,
            state: State::Gap,
            ready: VecDeque::new(),
        }
    }

    /// A packet begins.
    fn begin_packet(&mut self, packet: &Packet, lost: bool) {
        if lost && self.state == State::Whole {
            self.tear();
        }
        if packet.timestamp != self.timestamp {
            self.complete();
            self.timestamp = packet.timestamp;
        }
        if lost && self.state == State::Empty {
            self.state = State::Gap;
        }
    }

    /// A packet has been read, or could not be: then whatever it was is missing.
    fn end_packet(&mut self, packet: &Packet, read: Result<(), Error>) -> Result<(), Error> {
        if read.is_err() {
            self.tear();
        }
        if packet.marker {
            self.complete();
        }
        read
    }

    /// Takes a payload without its descriptor.
    fn append(&mut self, place: Place, bytes: &[u8]) -> Result<(), Error> {
        self.state = match (self.state, place) {
            (State::Torn, _) => return Ok(()),
            (State::Whole, _) | (_, Place::Picture) | (State::Empty, Place::Layer) => State::Whole,
            (State::Gap, Place::Layer) | (_, Place::Inside) => {
                self.state = State::Torn;
                return Ok(());
            }
        };
        if place != Place::Inside {
            self.frame = self.data.len();
        }
        if self.data.len() + bytes.len() > MAX_UNIT {
            self.data.clear();
            self.frame = 0;
            return Err(Error::Invalid { what: "frame size", value: MAX_UNIT as u64 });
        }
        self.data.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the picture in hand.
    fn complete(&mut self) {
        let data = self.data.split().freeze();
        if !data.is_empty() {
            let torn = self.state == State::Torn;
            self.ready.push_back(Unit { timestamp: self.timestamp, data, torn });
        }
        if self.state != State::Gap {
            self.state = State::Empty;
        }
        self.frame = 0;
    }

    /// A part of the frame in hand is missing. Lower layers can do without it.
    fn tear(&mut self) {
        if self.frame > 0 {
            self.data.truncate(self.frame);
        }
        self.state = State::Torn;
    }
}

/// Cuts a frame into payloads with descriptors of one byte, made from whether it is the first and
/// whether it is the last one.
pub(super) fn cut(
    frame: &Bytes,
    max: usize,
    sink: &mut dyn Sink,
    descriptor: impl Fn(bool, bool) -> u8,
) {
    let mut parts = frame.chunks(max.saturating_sub(1).max(1)).enumerate().peekable();
    while let Some((index, part)) = parts.next() {
        let last = parts.peek().is_none();
        sink.packet(&[&[descriptor(index == 0, last)], part], last);
    }
}
