//! Program specific information: which streams there are (ISO/IEC 13818-1 §2.4.4).
//!
//! One program, sections of one transport packet each; what other programs and longer tables say is
//! read as far as it concerns the first program.

use bytes::{BufMut, BytesMut};
use media::Reader;

/// The packets that carry the PAT.
pub const PAT_PID: u16 = 0;

/// Longest section of a PAT or PMT, its first three bytes included (§2.4.4.3: `section_length` is
/// at most 1021).
pub const MAX_SECTION: usize = 1024;

/// Streams of one program that are read: more would fill a PMT section.
const MAX_STREAMS: usize = 200;

const PAT_TABLE: u8 = 0x00;
const PMT_TABLE: u8 = 0x02;
const CRC_LEN: usize = 4;

/// How an elementary stream is coded (table 2-34, ETSI TS 101 154, the registration authority).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the codecs' own
pub enum StreamType {
    Mpeg1Audio,
    Mpeg2Audio,
    /// Private data; descriptors say more.
    Private,
    /// AAC in ADTS.
    Adts,
    /// AAC in LATM.
    Latm,
    H264,
    H265,
    H266,
    /// As ATSC registers it.
    Ac3,
    /// As ATSC registers it.
    Eac3,
    Other(u8),
}

impl StreamType {
    /// The number in the PMT.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Mpeg1Audio => 0x03,
            Self::Mpeg2Audio => 0x04,
            Self::Private => 0x06,
            Self::Adts => 0x0F,
            Self::Latm => 0x11,
            Self::H264 => 0x1B,
            Self::H265 => 0x24,
            Self::H266 => 0x33,
            Self::Ac3 => 0x81,
            Self::Eac3 => 0x87,
            Self::Other(code) => code,
        }
    }
}

impl From<u8> for StreamType {
    fn from(code: u8) -> Self {
        match code {
            0x03 => Self::Mpeg1Audio,
            0x04 => Self::Mpeg2Audio,
            0x06 => Self::Private,
            0x0F => Self::Adts,
            0x11 => Self::Latm,
            0x1B => Self::H264,
            0x24 => Self::H265,
            0x33 => Self::H266,
            0x81 => Self::Ac3,
            0x87 => Self::Eac3,
            other => Self::Other(other),
        }
    }
}

/// One elementary stream of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// How it is coded.
    pub stream_type: StreamType,
    /// The packets that carry it.
    pub pid: u16,
    /// Its descriptors, tag and length included, one after the other.
    pub descriptors: Vec<u8>,
}

impl Stream {
    /// The bodies of the descriptors with this tag.
    pub fn descriptors(&self, tag: u8) -> impl Iterator<Item = &[u8]> {
        let mut rest = Reader::new(&self.descriptors);
        std::iter::from_fn(move || {
            let found = rest.u8().ok()?;
            let length = rest.u8().ok()?;
            Some((found, rest.take(length.into()).ok()?))
        })
        .filter_map(move |(found, body)| (found == tag).then_some(body))
    }
}

/// The program's map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pmt {
    /// Changes with the contents, modulo 32.
    pub version: u8,
    /// The packets that carry the clock.
    pub pcr_pid: u16,
    /// The elementary streams.
    pub streams: Vec<Stream>,
}

/// Appends a PAT of one program.
pub fn write_pat(out: &mut BytesMut, version: u8, program: u16, pmt_pid: u16) {
    section(out, PAT_TABLE, 1, version, |out| {
        out.put_u16(program);
        out.put_u16(0xE000 | pmt_pid);
    });
}

/// Appends a PMT.
pub fn write_pmt(out: &mut BytesMut, program: u16, pmt: &Pmt) {
    section(out, PMT_TABLE, program, pmt.version, |out| {
        out.put_u16(0xE000 | pmt.pcr_pid);
        out.put_u16(0xF000);
        for stream in &pmt.streams {
            out.put_u8(stream.stream_type.code());
            out.put_u16(0xE000 | stream.pid);
            // Our own descriptors are a few bytes long.
            out.put_u16(0xF000 | u16::try_from(stream.descriptors.len()).unwrap_or(0));
            out.put_slice(&stream.descriptors);
        }
    });
}

/// Appends a section that is in force at once, the only one of its table (§2.4.4.11).
fn section(out: &mut BytesMut, table: u8, id: u16, version: u8, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u8(table);
    out.put_u16(0);
    out.put_u16(id);
    out.put_u8(0xC1 | (version & 0x1F) << 1);
    out.put_u8(0);
    out.put_u8(0);
    body(out);
    let length = out.len() - start - 3 + CRC_LEN;
    // Two of our streams fill a tenth of the twelve bits.
    let length = 0xB000 | u16::try_from(length).unwrap_or(0) & 0x0FFF;
    if let Some(field) = out.get_mut(start + 1..start + 3) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    let checksum = crc32(out.get(start..).unwrap_or_default());
    out.put_u32(checksum);
}

/// Where the map of the first program is, from a PAT section.
#[must_use]
pub fn read_pat(section: &[u8]) -> Option<u16> {
    let (_, _, mut body) = read_section(section, PAT_TABLE)?;
    while body.remaining() >= 4 {
        let (program, pid) = (body.u16().ok()?, body.u16().ok()? & 0x1FFF);
        // Program 0 is the network's.
        if program != 0 {
            return Some(pid);
        }
    }
    None
}

/// A program's map, from a PMT section.
#[must_use]
pub fn read_pmt(section: &[u8]) -> Option<Pmt> {
    let (_, version, mut body) = read_section(section, PMT_TABLE)?;
    let pcr_pid = body.u16().ok()? & 0x1FFF;
    let info = body.u16().ok()? & 0x0FFF;
    body.take(info.into()).ok()?;
    let mut streams = Vec::new();
    while !body.is_empty() && streams.len() < MAX_STREAMS {
        let stream_type = body.u8().ok()?.into();
        let pid = body.u16().ok()? & 0x1FFF;
        let length = body.u16().ok()? & 0x0FFF;
        let descriptors = body.take(length.into()).ok()?.to_vec();
        streams.push(Stream { stream_type, pid, descriptors });
    }
    Some(Pmt { version, pcr_pid, streams })
}

/// A section of this table that is in force and whole: its id, version and body.
fn read_section(section: &[u8], table: u8) -> Option<(u16, u8, Reader<'_>)> {
    if crc32(section) != 0 {
        return None;
    }
    let body = section.get(..section.len().checked_sub(CRC_LEN)?)?;
    let mut r = Reader::new(body);
    let found = r.u8().ok()?;
    r.u16().ok()?;
    let id = r.u16().ok()?;
    let flags = r.u8().ok()?;
    r.u16().ok()?;
    let current = flags & 1 == 1;
    (found == table && current).then_some((id, flags >> 1 & 0x1F, r))
}

/// Puts sections together from the payloads of transport packets (§2.4.4.1).
#[derive(Debug, Default)]
pub struct Sections {
    bytes: Vec<u8>,
}

impl Sections {
    /// Takes a payload; `start` is `payload_unit_start_indicator`. Returns a section that is whole.
    pub fn push(&mut self, payload: &[u8], start: bool) -> Option<Vec<u8>> {
        let mut payload = payload;
        if start {
            self.bytes.clear();
            let (&pointer, rest) = payload.split_first()?;
            payload = rest.get(usize::from(pointer)..)?;
        } else if self.bytes.is_empty() {
            return None;
        }
        let room = MAX_SECTION.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(payload.get(..room.min(payload.len()))?);
        let [_, high, low, ..] = *self.bytes.as_slice() else { return None };
        let length = 3 + usize::from(u16::from_be_bytes([high, low]) & 0x0FFF);
        if length > MAX_SECTION {
            self.bytes.clear();
            return None;
        }
        let section = self.bytes.get(..length)?.to_vec();
        self.bytes.clear();
        Some(section)
    }

    /// A packet was lost: the section in hand is too.
    pub fn lose(&mut self) {
        self.bytes.clear();
    }
}

/// The checksum of sections (annex A): of a whole section, checksum included, it is zero.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        let [top, ..] = crc.to_be_bytes();
        crc << 8 ^ CRC_TABLE.get(usize::from(top ^ byte)).copied().unwrap_or_default()
    })
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let (mut index, mut top) = (0, 0u32);
    while index < 256 {
        let mut crc = top << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc >> 31 == 1 { crc << 1 ^ 0x04C1_1DB7 } else { crc << 1 };
            bit += 1;
        }
        table[index] = crc;
        (index, top) = (index + 1, top + 1);
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn pmt() -> Pmt {
        let opus = vec![0x05, 4, b'O', b'p', b'u', b's', 0x7F, 2, 0x80, 2];
        Pmt {
            version: 7,
            pcr_pid: 0x100,
            streams: vec![
                Stream { stream_type: StreamType::H264, pid: 0x100, descriptors: Vec::new() },
                Stream { stream_type: StreamType::Private, pid: 0x101, descriptors: opus },
            ],
        }
    }

    #[test]
    fn the_checksum_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0x0376_E6E7);
    }

    #[test]
    fn tables_read_as_they_were_written() {
        let mut out = BytesMut::new();
        write_pat(&mut out, 3, 1, 0x1001);
        assert_eq!(read_pat(&out), Some(0x1001));
        out.clear();
        write_pmt(&mut out, 1, &pmt());
        assert_eq!(read_pmt(&out), Some(pmt()));
        let found: Vec<_> = pmt().streams[1].descriptors(0x05).map(<[u8]>::to_vec).collect();
        assert_eq!(found, [b"Opus".to_vec()]);
    }

    #[test]
    fn a_damaged_section_is_no_section() {
        let mut out = BytesMut::new();
        write_pmt(&mut out, 1, &pmt());
        for index in 0..out.len() {
            out[index] ^= 0x10;
            assert_eq!(read_pmt(&out), None, "byte {index}");
            out[index] ^= 0x10;
        }
        for length in 0..out.len() {
            assert_eq!(read_pmt(&out[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn sections_are_put_together_from_packets() {
        let mut section = BytesMut::new();
        write_pmt(&mut section, 1, &pmt());
        let mut sections = Sections::default();
        assert_eq!(sections.push(&section, false), None, "nothing has begun");
        let (first, second) = section.split_at(9);
        // Two bytes of an older section come before ours.
        let mut payload = vec![2, 0xAA, 0xBB];
        payload.extend_from_slice(first);
        assert_eq!(sections.push(&payload, true), None);
        assert_eq!(sections.push(second, false).as_deref(), Some(&section[..]));
    }

    #[test]
    fn a_section_longer_than_allowed_is_dropped() {
        let mut sections = Sections::default();
        assert_eq!(sections.push(&[0, 2, 0xBF, 0xFF, 0], true), None);
        assert!(sections.bytes.is_empty());
    }
}
