//! `mfra`: where the fragments of a finished file are (ISO/IEC 14496-12 §8.8.9), so that players
//! can seek without reading all of it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::boxes::{boxed, full};

/// Where a fragment that playing may begin with is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its decoding time, in ticks of the track.
    pub time: u64,
    /// The byte of the file that its `moof` begins at.
    pub offset: u64,
}

/// The index for the track with this number (the first is 1).
#[must_use]
pub fn random_access(track: u32, entries: &[Entry]) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + entries.len() * 19);
    boxed(&mut out, *b"mfra", |out| {
        full(out, *b"tfra", 1, 0, |out| {
            out.put_u32(track);
            // Numbers of `traf`, `trun` and sample have a byte each.
            out.put_u32(0);
            out.put_u32(u32::try_from(entries.len()).unwrap_or(u32::MAX));
            for entry in entries {
                out.put_u64(entry.time);
                out.put_u64(entry.offset);
                out.put_slice(&[1, 1, 1]);
            }
        });
        // The length of all of `mfra`, at its very end.
        let length = out.len() + 16;
        full(out, *b"mfro", 0, 0, |out| out.put_u32(u32::try_from(length).unwrap_or(u32::MAX)));
    });
    out.freeze()
}
