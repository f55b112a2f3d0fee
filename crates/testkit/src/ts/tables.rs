//! Sections, the program association table and program maps (ISO/IEC 13818-1 §2.4.4).

use media::{Error, Reader};

use super::faults::Faults;

/// `section_length` of a PAT or PMT is at most this (§2.4.4.5, §2.4.4.9).
const MAX_SECTION_LENGTH: usize = 1021;

/// The first bytes of a section, which its length does not count.
const HEAD: usize = 3;

/// Puts the sections of one PID together.
#[derive(Debug, Default)]
pub(super) struct Sections {
    bytes: Vec<u8>,
}

impl Sections {
    /// The sections that are complete by this payload.
    pub(super) fn push(
        &mut self,
        payload: &[u8],
        start: bool,
        faults: &mut Faults,
    ) -> Vec<Vec<u8>> {
        let mut whole = Vec::new();
        if !start {
            if self.bytes.is_empty() {
                faults.add("the payload belongs to no section");
                return whole;
            }
            self.bytes.extend_from_slice(payload);
            self.take_whole(&mut whole, faults);
            return whole;
        }
        let Some((tail, fresh)) = payload
            .split_first()
            .and_then(|(&pointer, rest)| rest.split_at_checked(usize::from(pointer)))
        else {
            faults.add("pointer_field points beyond the packet");
            self.bytes.clear();
            return whole;
        };
        if self.bytes.is_empty() {
            if !tail.is_empty() {
                faults.add("pointer_field passes over bytes that belong to no section");
            }
        } else {
            self.bytes.extend_from_slice(tail);
            self.take_whole(&mut whole, faults);
            if !self.bytes.is_empty() {
                faults.add("a section is cut short by the next one");
            }
        }
        self.bytes = fresh.to_vec();
        self.take_whole(&mut whole, faults);
        whole
    }

    /// Whether a section has begun and not ended.
    pub(super) fn unfinished(&self) -> bool {
        !self.bytes.is_empty()
    }

    fn take_whole(&mut self, whole: &mut Vec<Vec<u8>>, faults: &mut Faults) {
        while let [table, high, low, ..] = *self.bytes.as_slice() {
            if table == 0xFF {
                break;
            }
            let length = usize::from(u16::from_be_bytes([high, low]) & 0x0FFF);
            if length > MAX_SECTION_LENGTH {
                faults.add(format_args!("section_length is {length}"));
                self.bytes.clear();
                return;
            }
            if self.bytes.len() < HEAD + length {
                return;
            }
            let rest = self.bytes.split_off(HEAD + length);
            whole.push(std::mem::replace(&mut self.bytes, rest));
        }
        if self.bytes.first() == Some(&0xFF) {
            if self.bytes.iter().any(|byte| *byte != 0xFF) {
                faults.add("sections are followed by something else than 0xFF");
            }
            self.bytes.clear();
        }
    }
}

/// What PAT and PMT have in common.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// `transport_stream_id` or `program_number`
    pub(super) id: u16,
    pub(super) version: u8,
    pub(super) body: &'a [u8],
}

impl<'a> Section<'a> {
    /// Reads a section of the table `table_id`; `None` if it is damaged, or not in force.
    pub(super) fn read(section: &'a [u8], table_id: u8, faults: &mut Faults) -> Option<Self> {
        let wrong = |_: Error| "the section is shorter than its head";
        let read = Self::read_fields(section, table_id, faults).map_err(wrong);
        match read {
            Ok(read) => read,
            Err(wrong) => {
                faults.add(wrong);
                None
            }
        }
    }

    fn read_fields(
        section: &'a [u8],
        table_id: u8,
        faults: &mut Faults,
    ) -> Result<Option<Self>, Error> {
        let mut r = Reader::new(section);
        let (table, length) = (r.u8()?, r.u16()?);
        if table != table_id {
            faults.add(format_args!("table_id is {table:#04x} instead of {table_id:#04x}"));
            return Ok(None);
        }
        if length & 0xF000 != 0xB000 {
            faults.add("section_syntax_indicator or the bits after it are wrong");
        }
        if crc32(section) != 0 {
            faults.add("the CRC-32 of the section is wrong");
            return Ok(None);
        }
        let (id, flags, number, last) = (r.u16()?, r.u8()?, r.u8()?, r.u8()?);
        if flags & 0xC0 != 0xC0 {
            faults.add("the reserved bits before version_number are not ones");
        }
        if (number, last) != (0, 0) {
            faults.add(format_args!("the section is number {number} of {last}, and not the only"));
            return Ok(None);
        }
        if flags & 1 == 0 {
            faults.add("current_next_indicator is not set");
            return Ok(None);
        }
        let body = r.take(r.remaining().saturating_sub(4))?;
        r.u32()?;
        Ok(Some(Self { id, version: flags >> 1 & 0x1F, body }))
    }
}

/// Whether the contents of a table and its version go together with those before.
#[derive(Debug, Default)]
pub(super) struct Version {
    last: Option<(u8, Vec<u8>)>,
}

impl Version {
    /// Whether this section says something new.
    pub(super) fn accept(&mut self, section: &Section<'_>, faults: &mut Faults) -> bool {
        let fresh = match &self.last {
            None => true,
            Some((version, body)) => {
                let (same, next) = (*body == section.body, (version + 1) & 0x1F);
                if same && *version != section.version {
                    faults.add("version_number changes, and the table does not");
                } else if !same && section.version != next {
                    faults.add(format_args!(
                        "the table changes, and version_number goes from {version} to {}",
                        section.version
                    ));
                }
                !same
            }
        };
        self.last = Some((section.version, section.body.to_vec()));
        fresh
    }
}

/// Programs and the PIDs of their maps.
pub(super) fn read_pat(body: &[u8], faults: &mut Faults) -> Vec<(u16, u16)> {
    let mut programs = Vec::new();
    let mut r = Reader::new(body);
    while let (Ok(number), Ok(pid)) = (r.u16(), r.u16()) {
        if pid & 0xE000 != 0xE000 {
            faults.add("the reserved bits before a PID of the PAT are not ones");
        }
        let pid = pid & 0x1FFF;
        if !is_assignable(pid) {
            faults.add(format_args!("the PAT names the reserved PID {pid:#06x}"));
        }
        // Number 0 is the network's.
        if number != 0 {
            programs.push((number, pid));
        }
    }
    if !body.len().is_multiple_of(4) {
        faults.add("the PAT does not consist of entries of four bytes");
    }
    programs
}

/// A program's map.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) pcr_pid: u16,
    pub(super) streams: Vec<Entry>,
}

/// A stream of a program's map.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pid: u16,
    pub(super) stream_type: u8,
    pub(super) descriptors: Vec<u8>,
}

/// The map that a PMT section has in its body.
pub(super) fn read_pmt(body: &[u8], faults: &mut Faults) -> Option<Map> {
    let map = read_map(body, faults);
    if map.is_err() {
        faults.add("the PMT is shorter than its contents");
    }
    map.ok()
}

fn read_map(body: &[u8], faults: &mut Faults) -> Result<Map, Error> {
    let mut r = Reader::new(body);
    let (pcr, info) = (r.u16()?, r.u16()?);
    let mut reserved = pcr & 0xE000 == 0xE000 && info & 0xFC00 == 0xF000;
    check_descriptors(r.take(usize::from(info & 0x03FF))?, faults);
    let mut map = Map { pcr_pid: pcr & 0x1FFF, streams: Vec::new() };
    while !r.is_empty() {
        let (stream_type, pid, info) = (r.u8()?, r.u16()?, r.u16()?);
        reserved &= pid & 0xE000 == 0xE000 && info & 0xFC00 == 0xF000;
        let pid = pid & 0x1FFF;
        let descriptors = r.take(usize::from(info & 0x03FF))?.to_vec();
        check_descriptors(&descriptors, faults);
        if !is_assignable(pid) {
            faults.add(format_args!("the PMT names the reserved PID {pid:#06x}"));
        }
        if map.streams.iter().any(|known| known.pid == pid) {
            faults.add(format_args!("the PMT names the PID {pid:#06x} twice"));
        }
        map.streams.push(Entry { pid, stream_type, descriptors });
    }
    if !reserved {
        faults.add("reserved bits of the PMT are not ones");
    }
    if map.pcr_pid == 0x1FFF && !map.streams.is_empty() {
        faults.add("the program has no clock");
    }
    Ok(map)
}

fn check_descriptors(bytes: &[u8], faults: &mut Faults) {
    let length: usize = descriptors(bytes).map(|(_, body)| 2 + body.len()).sum();
    if length != bytes.len() {
        faults.add("the descriptors do not fill their loop");
    }
}

/// Tags and bodies of descriptors that lie one after the other.
pub(super) fn descriptors(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut r = Reader::new(bytes);
    std::iter::from_fn(move || {
        let (tag, length) = (r.u8().ok()?, r.u8().ok()?);
        Some((tag, r.take(length.into()).ok()?))
    })
}

/// Whether streams and maps may have this PID (table 2-3).
fn is_assignable(pid: u16) -> bool {
    (0x0010..0x1FFF).contains(&pid)
}

/// The checksum of annex A, bit by bit; zero for a section that ends with its own.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            let carry = if crc >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
            crc << 1 ^ carry
        })
    })
}
