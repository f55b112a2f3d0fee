//! Temporal units out of packets.

use std::collections::VecDeque;

use bytes::{BufMut, BytesMut};
use media::av1::{self, ObuType};
use media::{Error, Reader};

use super::{CONTINUED, CONTINUES, COUNT_SHIFT, HAS_SIZE, is_passed_over, leb128};
use crate::Packet;
use crate::payload::{self, MAX_UNIT, Unit};

/// Puts temporal units together.
#[derive(Debug)]
pub(crate) struct Depacketizer {
    /// The OBUs in hand, each with its size.
    data: BytesMut,
    /// What there is of an OBU whose end is still to come, if one is.
    fragment: BytesMut,
    in_fragment: bool,
    timestamp: u32,
    stage: Stage,
    torn: bool,
    ready: VecDeque<Unit>,
}

/// How far the temporal unit in hand has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No packet of it came yet.
    Idle,
    /// No frame has begun yet.
    Leading,
    /// There is a frame header: tiles may follow.
    Frame,
    /// It is too large: the rest is passed over.
    Excess,
}

impl Depacketizer {
    pub(crate) fn new() -> Self {
        Self {
            data: BytesMut::new(),
            fragment: BytesMut::new(),
            in_fragment: false,
            timestamp: 0,
            stage: Stage::Idle,
            torn: false,
            ready: VecDeque::new(),
        }
    }

    fn payload(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut r = Reader::new(payload);
        let header = r.u8()?;
        let count = header >> COUNT_SHIFT & 3;
        if self.in_fragment && header & CONTINUED == 0 {
            self.tear();
        }
        let mut index = 0u8;
        while !r.is_empty() {
            index = index.saturating_add(1);
            let size = if index == count { r.remaining() } else { read_leb128(&mut r)? };
            let element = r.take(size)?;
            let continued = header & CONTINUED != 0 && index == 1;
            let continues = header & CONTINUES != 0 && r.is_empty();
            self.element(element, continued, continues)?;
        }
        if index < count {
            return Err(Error::Invalid { what: "number of OBU elements", value: index.into() });
        }
        Ok(())
    }

    fn element(&mut self, part: &[u8], continued: bool, continues: bool) -> Result<(), Error> {
        if continued && !self.in_fragment {
            // The beginning is missing.
            self.torn = true;
            return Ok(());
        }
        if !continued && !continues {
            return self.obus(part);
        }
        self.make_room(part.len())?;
        self.fragment.extend_from_slice(part);
        self.in_fragment = continues;
        if continues {
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.fragment);
        let read = self.obus(&whole);
        // Its memory serves the next one.
        whole.clear();
        self.fragment = whole;
        read
    }

    /// Takes what a whole element holds: one OBU, or several if all but the last have sizes.
    fn obus(&mut self, element: &[u8]) -> Result<(), Error> {
        for obu in av1::obus(element) {
            let obu = obu?;
            match obu.kind {
                kind if is_passed_over(kind) => continue,
                ObuType::FrameHeader | ObuType::Frame => self.stage = Stage::Frame,
                ObuType::TileGroup | ObuType::RedundantFrameHeader => {
                    self.torn |= self.stage == Stage::Leading;
                }
                _ => {}
            }
            let size = leb128(obu.payload.len());
            self.make_room(obu.header.len() + size.len() + obu.payload.len())?;
            if let [first, extension @ ..] = obu.header {
                self.data.put_u8(first | HAS_SIZE);
                self.data.put_slice(extension);
            }
            self.data.put_slice(&size);
            self.data.put_slice(obu.payload);
        }
        Ok(())
    }

    fn make_room(&mut self, size: usize) -> Result<(), Error> {
        if self.data.len() + self.fragment.len() + size <= MAX_UNIT {
            return Ok(());
        }
        self.data.clear();
        self.stage = Stage::Excess;
        Err(Error::Invalid { what: "temporal unit size", value: MAX_UNIT as u64 })
    }

    /// A part of what is in hand is missing.
    fn tear(&mut self) {
        self.fragment.clear();
        self.in_fragment = false;
        self.torn = true;
    }

    fn complete(&mut self) {
        if self.in_fragment {
            self.tear();
        }
        let data = self.data.split().freeze();
        if !data.is_empty() {
            self.ready.push_back(Unit { timestamp: self.timestamp, data, torn: self.torn });
        }
        (self.stage, self.torn) = (Stage::Idle, false);
    }
}

impl payload::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        if lost && self.stage != Stage::Idle {
            self.tear();
        }
        if packet.timestamp != self.timestamp {
            self.complete();
            self.timestamp = packet.timestamp;
        }
        let mut read = Ok(());
        if !packet.payload.is_empty() && self.stage != Stage::Excess {
            if self.stage == Stage::Idle {
                self.stage = Stage::Leading;
            }
            read = self.payload(&packet.payload);
        }
        if read.is_err() {
            self.tear();
        }
        if packet.marker {
            self.complete();
        }
        read
    }

    fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    fn flush(&mut self) {
        self.complete();
    }
}

/// Bytes of the longest `leb128()` (AV1 bitstream §4.10.5).
const MAX_LEB128: u32 = 8;

fn read_leb128(r: &mut Reader<'_>) -> Result<usize, Error> {
    let mut value = 0u64;
    for index in 0..MAX_LEB128 {
        let byte = r.u8()?;
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return usize::try_from(value).map_err(|_| Error::Invalid { what: "leb128", value });
        }
    }
    Err(Error::Invalid { what: "leb128", value })
}
