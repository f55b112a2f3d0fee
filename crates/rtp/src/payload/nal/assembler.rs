//! NAL units gathered into access units.
//!
//! A marker bit should end an access unit, but real cameras set it on every slice, on parameter
//! sets, or never; some send parameter sets with the time of the picture before. So an access unit
//! also ends where the time changes, or where a unit comes that can only begin the next one; a
//! marker is believed once two pictures in a row have borne it out.

use std::collections::VecDeque;

use bytes::{BufMut, BytesMut};
use media::{Error, nal};
use smallvec::SmallVec;

use super::{Role, Syntax};
use crate::Packet;
use crate::payload::{MAX_UNIT, Unit};

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
pub(in crate::payload) struct Assembler {
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
    pub(super) fn new() -> Self {
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
    pub(in crate::payload) fn come_to(&mut self, timestamp: u32) {
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

    /// Takes a whole NAL unit; one without anything behind its header is nothing.
    pub(in crate::payload) fn unit<S: Syntax>(&mut self, unit: &[u8]) -> Result<(), Error> {
        if unit.len() <= S::HEADER {
            return Ok(());
        }
        self.fragment = None;
        self.place(S::role(unit));
        self.begin_unit(unit)?;
        self.close();
        self.fragment = None;
        self.adrift = false;
        Ok(())
    }

    /// Takes a fragment of a NAL unit: its header (made from the fragment's) and a part of what
    /// follows that. A beginning that is not marked as one is taken for one after the end of a
    /// unit or of an access unit, if nothing is missing between them.
    pub(in crate::payload) fn fragment<S: Syntax>(
        &mut self,
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
            let first = part.first().copied().unwrap_or_default();
            let begun: SmallVec<[u8; 4]> = header.iter().copied().chain([first]).collect();
            self.place(S::role(&begun));
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
    fn complete(&mut self) {
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

const LENGTH: usize = nal::LENGTH_SIZE as usize;
