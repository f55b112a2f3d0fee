//! What H.264 and H.265 have in common: units gathered into access units, and units aggregated or
//! fragmented into payloads.
//!
//! A marker bit should end an access unit, but real cameras set it on every slice, on parameter
//! sets, or never; some send parameter sets with the time of the picture before. So an access unit
//! also ends where the time changes, or where a unit comes that can only begin the next one; a
//! marker is believed once two pictures in a row have borne it out.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use media::Error;
use smallvec::SmallVec;

use super::{MAX_UNIT, Sink, Unit};
use crate::Packet;

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

/// Whether markers end access units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Markers {
    /// So many pictures in a row had it at their end and nowhere else.
    Unproven(u8),
    Believed,
    /// One came inside a picture.
    Disbelieved,
}

/// Pictures that bear markers out: the first one may have been cut.
const PROOF: u8 = 2;

/// Gathers NAL units.
#[derive(Debug)]
pub(crate) struct Assembler {
    /// The access unit in hand: NAL units with four-byte lengths.
    data: BytesMut,
    /// That of the first slice, or of what came last before it.
    timestamp: u32,
    has_slice: bool,
    torn: bool,
    /// Packets are missing right before the access unit in hand, or nobody knows: its first slice
    /// tells whether they were part of it.
    suspect: bool,
    /// A fragment may be the middle of a unit: packets are missing right before it, nobody knows
    /// what came before it, or all that came since is such a middle.
    adrift: bool,
    /// Where the unit begins whose end is still to come.
    fragment: Option<usize>,
    /// A marker came with the access unit in hand.
    marked: bool,
    markers: Markers,
    /// The time of the access unit that a marker ended last.
    ended: Option<u32>,
    ready: VecDeque<Unit>,
}

impl Assembler {
    pub(crate) fn new() -> Self {
        Self {
            data: BytesMut::new(),
            timestamp: 0,
            has_slice: false,
            torn: false,
            // One may come in the middle of a picture.
            suspect: true,
            adrift: true,
            fragment: None,
            marked: false,
            markers: Markers::Unproven(0),
            ended: None,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    /// A packet begins.
    pub(super) fn begin_packet(&mut self, packet: &Packet, lost: bool) {
        if lost {
            self.lose_fragment();
            if self.has_slice {
                self.torn = true;
            }
        }
        self.come_to(packet.timestamp);
        self.suspect |= lost;
        self.adrift |= lost;
    }

    /// What follows has this time.
    pub(super) fn come_to(&mut self, timestamp: u32) {
        if timestamp != self.timestamp && self.has_slice {
            if self.marked {
                self.markers = match self.markers {
                    Markers::Unproven(count) if count + 1 >= PROOF => Markers::Believed,
                    Markers::Unproven(count) => Markers::Unproven(count + 1),
                    settled => settled,
                };
            }
            self.complete();
        }
        if timestamp != self.timestamp {
            self.fragment = None;
            self.timestamp = timestamp;
        }
    }

    /// A packet has been read.
    pub(super) fn end_packet(&mut self, packet: &Packet) {
        if !packet.marker || !self.has_slice {
            return;
        }
        self.marked = true;
        if self.markers == Markers::Believed {
            self.ended = Some(self.timestamp);
            self.complete();
        }
    }

    /// A packet could not be read: whatever it was is missing.
    pub(super) fn damage(&mut self) {
        self.lose_fragment();
        self.torn = true;
        self.adrift = true;
    }

    /// Takes a whole NAL unit.
    pub(super) fn unit(&mut self, role: Role, unit: &[u8]) -> Result<(), Error> {
        self.fragment = None;
        self.place(role);
        self.begin_unit(unit)?;
        self.close();
        self.fragment = None;
        self.adrift = false;
        Ok(())
    }

    /// Takes a fragment of a NAL unit: its header (made from the fragment's) and a part of what
    /// follows that. A beginning that is not marked as one is taken for one after the end of a
    /// unit or of an access unit, if nothing is missing between them.
    pub(super) fn fragment(
        &mut self,
        role: impl FnOnce() -> Role,
        header: &[u8],
        part: &[u8],
        (start, end): (bool, bool),
    ) -> Result<(), Error> {
        // The end of the one before, and the start of this one, may both have gone unmarked.
        let other = self.fragment.is_some_and(|at| {
            self.data.get(at + LENGTH..at + LENGTH + header.len()) != Some(header)
        });
        if start || other || (self.fragment.is_none() && !self.adrift) {
            self.fragment = None;
            self.adrift = false;
            self.place(role());
            self.begin_unit(header)?;
        } else if self.fragment.is_none() {
            // The beginning is among the packets that are missing.
            self.has_slice = true;
            self.torn = true;
            self.adrift = !end;
            return Ok(());
        }
        self.append(part)?;
        self.close();
        if end {
            self.fragment = None;
        }
        Ok(())
    }

    /// No packet follows: where markers end access units, one without is not whole.
    pub(super) fn flush(&mut self) {
        self.torn |= self.has_slice && self.markers == Markers::Believed;
        self.complete();
    }

    /// Ends the access unit in hand.
    pub(super) fn complete(&mut self) {
        self.fragment = None;
        let data = self.data.split().freeze();
        if !data.is_empty() || self.torn {
            self.ready.push_back(Unit { timestamp: self.timestamp, data, torn: self.torn });
        }
        (self.has_slice, self.torn, self.marked) = (false, false, false);
        // The next one begins here.
        (self.suspect, self.adrift) = (false, false);
    }

    /// Finds out whether a unit that begins belongs to the access unit in hand.
    fn place(&mut self, role: Role) {
        match role {
            Role::Lead if self.has_slice => self.complete(),
            Role::Slice { first } => {
                if (self.marked || self.ended == Some(self.timestamp)) && !first {
                    self.markers = Markers::Disbelieved;
                }
                if std::mem::take(&mut self.suspect) && !first && !self.has_slice {
                    self.torn = true;
                }
                self.ended = None;
                self.has_slice = true;
            }
            Role::Lead | Role::Any => {}
        }
    }

    fn begin_unit(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.fragment = Some(self.data.len());
        self.data.put_u32(0);
        self.append(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.data.len() + bytes.len() > MAX_UNIT {
            self.data.clear();
            self.damage();
            return Err(Error::Invalid { what: "access unit size", value: MAX_UNIT as u64 });
        }
        self.data.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes the length of the unit in hand, as long as it is now.
    fn close(&mut self) {
        let Some(start) = self.fragment else { return };
        let length = self.data.len().saturating_sub(start + LENGTH);
        if let Some(field) = self.data.get_mut(start..start + LENGTH) {
            // MAX_UNIT fits 32 bits.
            field.copy_from_slice(&u32::try_from(length).unwrap_or_default().to_be_bytes());
        }
    }

    /// The rest of the unit in hand is missing.
    fn lose_fragment(&mut self) {
        if self.fragment.take().is_some() {
            self.torn = true;
        }
    }
}

const LENGTH: usize = media::nal::LENGTH_SIZE as usize;

/// How a codec's units are aggregated and fragmented.
pub(super) trait Syntax {
    /// Bytes of a NAL unit header, and of what stands before aggregated units.
    const HEADER: usize;
    /// What stands before aggregated units.
    fn aggregation(units: &[&[u8]]) -> SmallVec<[u8; 4]>;
    /// What stands before a fragment of a unit with this header.
    fn fragmentation(header: &[u8], start: bool, end: bool) -> SmallVec<[u8; 4]>;
}

/// Cuts the units of an access unit into payloads: small neighbours together, large ones apart.
pub(super) fn packetize<'a, S: Syntax>(
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

/// Parameter sets as a packetizer keeps them.
pub(super) type ParameterSets = Vec<Bytes>;
