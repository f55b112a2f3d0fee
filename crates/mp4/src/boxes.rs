//! Boxes (ISO/IEC 14496-12 §4.2): a length, four characters, a body.

use bytes::{BufMut, BytesMut};

/// Appends a box whose body `body` writes.
pub(crate) fn boxed(out: &mut BytesMut, name: [u8; 4], body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(&name);
    body(out);
    set_length(out, start);
}

/// Appends a `FullBox`: a box that begins with a version and 24 flags.
pub(crate) fn full(
    out: &mut BytesMut,
    name: [u8; 4],
    version: u8,
    flags: u32,
    body: impl FnOnce(&mut BytesMut),
) {
    boxed(out, name, |out| {
        out.put_u32(u32::from(version) << 24 | (flags & 0x00FF_FFFF));
        body(out);
    });
}

/// Writes into the box at `start` that it ends here.
fn set_length(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    put_u32_at(out, start, length);
}

/// Overwrites four bytes.
pub(crate) fn put_u32_at(out: &mut [u8], at: usize, value: u32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}
