//! NAL units on their way: length-prefixed (ISO/IEC 14496-15 §5.3), as a byte stream (ITU-T
//! H.264 and H.265 Annex B), and with emulation prevention (H.264 §7.4.1.1).
//!
//! The canonical payload of a frame has four-byte lengths. [`rewrite`] makes it from what a
//! publisher sent, and copies only where it must.
//!
//! A length that reaches beyond the data is an error, unless the data is a byte stream: nobody
//! knows what such a frame is. Empty units, which some encoders send, are passed over.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Error, Reader, Units};

/// NAL units or OBUs in one frame.
///
/// The highest levels allow 600 (H.265) and 1000 (H.266) slices per picture; an H.264 encoder
/// that fits its slices into datagrams makes about 3000 of a 4 MB picture. Without a limit a
/// hostile frame could ask for more memory for its spans than it has bytes.
pub const MAX_UNITS: usize = 4096;

/// Longer parameter sets are ignored: an SPS with all its scaling lists stays below 2 KiB, and a
/// track keeps up to 300 of them.
pub(crate) const MAX_PARAMETER_SET: usize = 8 * 1024;

/// Finds the NAL units in data with lengths of `length_size` bytes (1 to 4).
///
/// # Errors
/// [`Error::Truncated`] when a length or a unit reaches beyond the data, [`Error::Invalid`] for
/// another size or more than [`MAX_UNITS`].
pub fn split(data: &[u8], length_size: u8) -> Result<Units, Error> {
    let mut units = Units::new();
    let mut r = Reader::new(data);
    while !r.is_empty() {
        let length = match length_size {
            1 => u32::from(r.u8()?),
            2 => u32::from(r.u16()?),
            3 => r.u24()?,
            4 => r.u32()?,
            other => return Err(Error::Invalid { what: "lengthSize", value: other.into() }),
        };
        let start = r.offset();
        let unit = r.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        if !unit.is_empty() {
            push(&mut units, start..r.offset())?;
        }
    }
    Ok(units)
}

/// The bytes of each unit that `units` points at; spans outside the data are passed over.
pub fn iter<'a>(data: &'a [u8], units: &'a [Range<u32>]) -> impl Iterator<Item = &'a [u8]> {
    units.iter().filter_map(|span| {
        data.get(usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?)
    })
}

/// Makes the canonical payload: four-byte lengths, without empty units and those that `drop`,
/// which sees each unit once, picks.
///
/// Data whose lengths don't fit but that begins with a start code is taken for a byte stream:
/// some publishers send those where their format asks for lengths.
///
/// Nothing is copied when the lengths have four bytes already and the units that stay are
/// neighbours (a frame with parameter sets in front of it, for instance).
///
/// # Errors
/// As [`split`].
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use headwater_media::{h264, nal};
///
/// // A PPS and a slice, with lengths of two bytes.
/// let data = Bytes::from_static(&[0, 2, 0x68, 0xCE, 0, 3, 0x65, 0x88, 0x80]);
/// let (payload, units) = nal::rewrite(&data, 2, h264::is_parameter_set)?;
/// assert_eq!(&payload[..], [0, 0, 0, 3, 0x65, 0x88, 0x80]);
/// assert!(h264::is_key(&payload, &units));
/// # Ok::<(), headwater_media::Error>(())
/// ```
pub fn rewrite(
    data: &Bytes,
    length_size: u8,
    mut drop: impl FnMut(&[u8]) -> bool,
) -> Result<(Bytes, Units), Error> {
    let mut units = match split(data, length_size) {
        // Only now: `00 00 01` is a good beginning for a unit of 256 to 511 bytes, too.
        Err(_) if data.starts_with(&[0, 0, 1]) || data.starts_with(&START_CODE) => {
            return from_annex_b(data, drop);
        }
        other => other?,
    };
    units.retain(|span| iter(data, std::slice::from_ref(span)).any(|unit| !drop(unit)));
    let prefix = u32::from(length_size);
    let neighbours = units.windows(2).all(|pair| match pair {
        [left, right] => right.start == left.end.saturating_add(prefix),
        _ => true,
    });
    if length_size != LENGTH_SIZE || !neighbours {
        return pack(iter(data, &units), data.len());
    }
    let (Some(first), Some(last)) = (units.first(), units.last()) else {
        return Ok((Bytes::new(), units));
    };
    let start = first.start.saturating_sub(prefix);
    let (from, to) = (offset(start), offset(last.end));
    if from > 0 {
        for span in &mut units {
            *span = span.start - start..span.end - start;
        }
    }
    Ok((data.slice(from..to), units))
}

/// The NAL units of a byte stream (Annex B), as spans without start codes and zero bytes around
/// them.
///
/// What comes before the first start code is passed over.
#[must_use]
pub fn annex_b(data: &[u8]) -> AnnexB<'_> {
    let mut units = AnnexB { data, position: 0 };
    units.position = units.next_start_code().map_or(data.len(), |code| code.end);
    units
}

/// Iterator over the NAL units of a byte stream; made by [`annex_b`].
#[derive(Debug, Clone)]
pub struct AnnexB<'a> {
    data: &'a [u8],
    position: usize,
}

impl AnnexB<'_> {
    /// The next `00 00 01`, at or after the position.
    fn next_start_code(&self) -> Option<Range<usize>> {
        let rest = self.data.get(self.position..)?;
        let found = rest.windows(3).position(|window| window == [0, 0, 1])?;
        let start = self.position + found;
        Some(start..start + 3)
    }
}

impl Iterator for AnnexB<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.position < self.data.len() {
            let start = self.position;
            let code = self.next_start_code().unwrap_or(self.data.len()..self.data.len());
            self.position = code.end;
            let unit = self.data.get(start..code.start)?;
            // A unit never ends in a zero byte (H.264 §7.4.1); zeros belong to the stream.
            let length = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if length > 0 {
                return Some(start..start + length);
            }
        }
        None
    }
}

/// Converts a byte stream to the canonical payload.
///
/// # Errors
/// [`Error::Invalid`] for more than [`MAX_UNITS`].
pub fn from_annex_b(
    data: &[u8],
    mut drop: impl FnMut(&[u8]) -> bool,
) -> Result<(Bytes, Units), Error> {
    let units = annex_b(data).filter_map(|span| data.get(span)).filter(|unit| !drop(unit));
    // A three-byte start code becomes a four-byte length; most start codes have four bytes.
    pack(units, data.len() + LENGTH)
}

/// Appends units as a byte stream, each with a four-byte start code.
pub fn to_annex_b<'a>(units: impl IntoIterator<Item = &'a [u8]>, out: &mut BytesMut) {
    for unit in units {
        out.reserve(START_CODE.len() + unit.len());
        out.put_slice(&START_CODE);
        out.put_slice(unit);
    }
}

/// Puts units one after the other with four-byte lengths; `capacity` is a guess of the size.
///
/// # Errors
/// [`Error::Invalid`] for more than [`MAX_UNITS`] or more than 4 GiB.
pub fn pack<'a>(
    units: impl IntoIterator<Item = &'a [u8]>,
    capacity: usize,
) -> Result<(Bytes, Units), Error> {
    let mut out = BytesMut::with_capacity(capacity);
    let mut spans = Units::new();
    for unit in units {
        let length = u32::try_from(unit.len())
            .map_err(|_| Error::Invalid { what: "NAL unit length", value: u64::MAX })?;
        out.put_u32(length);
        let start = out.len();
        out.put_slice(unit);
        push(&mut spans, start..out.len())?;
    }
    Ok((out.freeze(), spans))
}

/// Takes the emulation prevention bytes out of a NAL unit: what remains is its header and its
/// RBSP. Borrows when there are none.
#[must_use]
pub fn unescape(unit: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = unit.windows(3).position(|window| window == [0, 0, 3]) else {
        return Cow::Borrowed(unit);
    };
    let mut out = Vec::with_capacity(unit.len());
    let (head, tail) = unit.split_at(first);
    out.extend_from_slice(head);
    let mut zeros = 0;
    for &byte in tail {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    Cow::Owned(out)
}

/// Replaces the parameter set for which `same` holds, or adds one. Returns whether something
/// changed.
pub(crate) fn put_set(
    sets: &mut Vec<Bytes>,
    unit: &[u8],
    limit: usize,
    same: impl Fn(&[u8]) -> bool,
) -> bool {
    let room = sets.len() < limit;
    match sets.iter_mut().find(|set| same(set)) {
        Some(set) if set == unit => false,
        Some(set) => {
            *set = Bytes::copy_from_slice(unit);
            true
        }
        None if room => {
            sets.push(Bytes::copy_from_slice(unit));
            true
        }
        None => false,
    }
}

/// Walks through the messages of an SEI RBSP (H.264 §7.3.2.3.1, H.265 §7.3.5): type and payload.
/// Ends at the first one that is cut short.
pub(crate) fn sei_messages(rbsp: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut r = Reader::new(rbsp);
    std::iter::from_fn(move || {
        // The trailing bits alone are one byte.
        if r.remaining() < 2 {
            return None;
        }
        let kind = sei_number(&mut r)?;
        let size = usize::try_from(sei_number(&mut r)?).ok()?;
        Some((kind, r.take(size).ok()?))
    })
}

fn sei_number(r: &mut Reader<'_>) -> Option<u32> {
    let mut sum = 0u32;
    loop {
        let byte = r.u8().ok()?;
        sum = sum.saturating_add(byte.into());
        if byte != 0xFF {
            return Some(sum);
        }
    }
}

/// Remembers a span, within the limits of their number and type.
pub(crate) fn push(units: &mut Units, span: Range<usize>) -> Result<(), Error> {
    if units.len() >= MAX_UNITS {
        return Err(Error::Invalid { what: "number of units", value: MAX_UNITS as u64 + 1 });
    }
    let narrow = |value: usize| {
        u32::try_from(value)
            .map_err(|_| Error::Invalid { what: "frame length", value: value as u64 })
    };
    units.push(narrow(span.start)?..narrow(span.end)?);
    Ok(())
}

/// An offset in a frame; they are made from `usize` and lead back.
fn offset(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Bytes of a length in the canonical payload.
pub const LENGTH_SIZE: u8 = 4;
const LENGTH: usize = LENGTH_SIZE as usize;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

#[cfg(test)]
mod tests;
