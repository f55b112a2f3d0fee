//! AV1: OBUs in the low-overhead format (AV1 bitstream §5.3), the key frame test, the sequence
//! header and `AV1CodecConfigurationRecord` (AV1-ISOBMFF §2.3).
//!
//! The canonical payload of a frame is a temporal unit without temporal delimiters, in which
//! every OBU has its size; a unit is a whole OBU, header and size included.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::nal::push;
use crate::{BitReader, Error, Reader, Units};

mod config;
mod sequence;

pub use config::Config;
pub use sequence::SequenceHeader;

/// `obu_type` (§6.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the specification's own
pub enum ObuType {
    SequenceHeader,
    TemporalDelimiter,
    FrameHeader,
    TileGroup,
    Metadata,
    Frame,
    RedundantFrameHeader,
    TileList,
    Padding,
    Other(u8),
}

impl From<u8> for ObuType {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::SequenceHeader,
            2 => Self::TemporalDelimiter,
            3 => Self::FrameHeader,
            4 => Self::TileGroup,
            5 => Self::Metadata,
            6 => Self::Frame,
            7 => Self::RedundantFrameHeader,
            8 => Self::TileList,
            15 => Self::Padding,
            other => Self::Other(other),
        }
    }
}

/// An open bitstream unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obu<'a> {
    /// What it is.
    pub kind: ObuType,
    /// Where it lies in the data, header and size included.
    pub span: Range<usize>,
    /// Its header: one byte, or two with the extension for layers.
    pub header: &'a [u8],
    /// Whether a size stands between header and payload.
    pub has_size: bool,
    /// What follows header and size.
    pub payload: &'a [u8],
}

/// The OBUs of a temporal unit, one after the other; ends behind the first error.
#[must_use]
pub fn obus(data: &[u8]) -> Obus<'_> {
    Obus { reader: Reader::new(data) }
}

/// Iterator over OBUs; made by [`obus`].
#[derive(Debug, Clone)]
pub struct Obus<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let result = Obu::read(&mut self.reader);
        if result.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(result)
    }
}

impl<'a> Obu<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, Error> {
        let start = r.offset();
        let first = r.rest().first().copied().unwrap_or(0);
        let (extended, has_size) = (first & 4 != 0, first & 2 != 0);
        let header = r.take(if extended { 2 } else { 1 })?;
        if first & 0x80 != 0 {
            return Err(Error::Invalid { what: "obu_forbidden_bit", value: 1 });
        }
        let size = if has_size { leb128(r)? } else { r.remaining() };
        let payload = r.take(size)?;
        let kind = ObuType::from(first >> 3 & 0x0F);
        Ok(Self { kind, span: start..r.offset(), header, has_size, payload })
    }

    /// Appends the OBU with its size.
    fn put(&self, out: &mut BytesMut) {
        if let [first, extension @ ..] = self.header {
            out.put_u8(first | 2);
            out.put_slice(extension);
        }
        put_leb128(out, self.payload.len());
        out.put_slice(self.payload);
    }
}

/// Makes the canonical payload: no temporal delimiters, a size in every OBU.
///
/// Nothing is copied when every OBU has its size already and only leading ones disappear.
///
/// # Errors
/// [`Error`] for an OBU that reaches beyond the data, and for more than [`crate::nal::MAX_UNITS`].
pub fn canonical(data: &Bytes) -> Result<(Bytes, Units), Error> {
    let (mut start, mut rewritten) = (0, false);
    let mut units = Units::new();
    for obu in obus(data) {
        let obu = obu?;
        if obu.kind == ObuType::TemporalDelimiter {
            rewritten |= !units.is_empty();
            start = if units.is_empty() { obu.span.end } else { start };
        } else {
            rewritten |= !obu.has_size;
            push(&mut units, obu.span.start - start..obu.span.end - start)?;
        }
    }
    if !rewritten {
        return Ok((data.slice(start..), units));
    }
    let mut out = BytesMut::with_capacity(data.len() + units.len() * MAX_LEB128);
    units.clear();
    for obu in obus(data) {
        let obu = obu?;
        if obu.kind != ObuType::TemporalDelimiter {
            let start = out.len();
            obu.put(&mut out);
            push(&mut units, start..out.len())?;
        }
    }
    Ok((out.freeze(), units))
}

/// Whether a temporal unit is one that a decoder can start at: its first frame is a key frame
/// that is shown (§7.6.1).
#[must_use]
pub fn is_key(data: &[u8]) -> bool {
    let mut still = false;
    for obu in obus(data).map_while(Result::ok) {
        match obu.kind {
            // reduced_still_picture_header: there are key frames only, and headers don't say so.
            ObuType::SequenceHeader => {
                still = obu.payload.first().is_some_and(|byte| byte & 0x08 != 0);
            }
            ObuType::FrameHeader | ObuType::Frame => {
                return still || shows_key_frame(obu.payload);
            }
            _ => {}
        }
    }
    false
}

/// The sequence header in a temporal unit, if there is one.
#[must_use]
pub fn sequence_header(data: &[u8]) -> Option<SequenceHeader> {
    let mut obus = obus(data).map_while(Result::ok);
    let obu = obus.find(|obu| obu.kind == ObuType::SequenceHeader)?;
    SequenceHeader::parse(obu.payload).ok()
}

/// The beginning of `uncompressed_header()` (§5.9.2).
fn shows_key_frame(header: &[u8]) -> bool {
    const KEY_FRAME: u8 = 0;
    let mut r = BitReader::new(header);
    let show_existing_frame = r.flag();
    let frame_type = r.u8(2);
    let show_frame = r.flag();
    (show_existing_frame, frame_type, show_frame) == (Ok(false), Ok(KEY_FRAME), Ok(true))
}

/// Bytes of the longest size (§4.10.5).
const MAX_LEB128: usize = 8;

/// `leb128()`; values above 32 bits are forbidden.
fn leb128(r: &mut Reader<'_>) -> Result<usize, Error> {
    let mut value = 0u64;
    for index in 0..MAX_LEB128 {
        let byte = r.u8()?;
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return u32::try_from(value)
                .ok()
                .and_then(|value| usize::try_from(value).ok())
                .ok_or(Error::Invalid { what: "leb128", value });
        }
    }
    Err(Error::Invalid { what: "leb128", value })
}

fn put_leb128(out: &mut BytesMut, mut value: usize) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.put_u8(low & 0x7F);
            return;
        }
        out.put_u8(low | 0x80);
    }
}
