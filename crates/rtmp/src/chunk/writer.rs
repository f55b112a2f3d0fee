//! Messages to chunks: RTMP 1.0 §5.3.1.

use bytes::{BufMut, BytesMut};

use super::{EXTENDED, MAX_MESSAGE, Size};
use crate::Error;
use crate::message::Kind;

/// What a message's type-0 header says, without its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The chunk stream to write it on, 2 to 65 599; see the constants of [`crate::chunk`].
    pub chunk_stream: u32,
    /// What the payload is.
    pub kind: Kind,
    /// The message stream.
    pub stream_id: u32,
    /// Milliseconds, modulo 2³².
    pub timestamp: u32,
}

impl Header {
    /// Length of the basic header, of both the first and the continuation chunks.
    fn basic_len(&self) -> usize {
        match self.chunk_stream {
            ..64 => 1,
            64..320 => 2,
            320.. => 3,
        }
    }

    fn is_extended(&self) -> bool {
        self.timestamp >= EXTENDED
    }

    /// A basic header: `fmt` and the chunk stream id.
    fn put_basic(&self, out: &mut BytesMut, format: u8) {
        let format = format << 6;
        match self.chunk_stream {
            id @ ..64 => out.put_u8(format | id.to_le_bytes()[0]),
            id @ 64..320 => out.put_slice(&[format, (id - 64).to_le_bytes()[0]]),
            id @ 320.. => {
                let [low, high, ..] = (id - 64).to_le_bytes();
                out.put_slice(&[format | 1, low, high]);
            }
        }
    }

    /// Repeats the extended time, as encoders and Flash do in every chunk of the message.
    fn put_extended(&self, out: &mut BytesMut) {
        if self.is_extended() {
            out.put_u32(self.timestamp);
        }
    }
}

/// How many bytes [`write_message`] appends for a payload of `len` bytes.
#[must_use]
pub fn serialised_len(header: Header, len: usize, size: Size) -> usize {
    let continuations = len.saturating_sub(1) / size.len();
    let extended = if header.is_extended() { 4 } else { 0 };
    len + 11 + (1 + continuations) * (header.basic_len() + extended)
}

/// Appends one message as a type-0 chunk and type-3 continuations.
///
/// The payload is the concatenation of `parts`: a caller with a small tag header and a shared
/// frame need not join them first. Besides growing `out` once, nothing is allocated.
///
/// # Errors
/// [`Error::MessageTooLong`] if the payload is longer than [`MAX_MESSAGE`]; `out` is as it was.
pub fn write_message(
    out: &mut BytesMut,
    header: Header,
    parts: &[&[u8]],
    size: Size,
) -> Result<(), Error> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    if len > MAX_MESSAGE {
        return Err(Error::MessageTooLong { length: len, limit: MAX_MESSAGE });
    }
    out.reserve(serialised_len(header, len, size));

    header.put_basic(out, 0);
    out.put_uint(u64::from(header.timestamp.min(EXTENDED)), 3);
    out.put_uint(len as u64, 3);
    out.put_u8(header.kind.into());
    out.put_u32_le(header.stream_id);
    header.put_extended(out);

    let mut room = size.len();
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            if room == 0 {
                header.put_basic(out, 3);
                header.put_extended(out);
                room = size.len();
            }
            let (now, later) = rest.split_at(room.min(rest.len()));
            out.put_slice(now);
            room -= now.len();
            rest = later;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(chunk_stream: u32, timestamp: u32) -> Header {
        Header { chunk_stream, kind: Kind::Video, stream_id: 1, timestamp }
    }

    fn write(header: Header, parts: &[&[u8]], size: u32) -> BytesMut {
        let mut out = BytesMut::new();
        write_message(&mut out, header, parts, Size::new(size).unwrap()).unwrap();
        let len = parts.iter().map(|part| part.len()).sum();
        assert_eq!(out.len(), serialised_len(header, len, Size::new(size).unwrap()));
        out
    }

    #[test]
    fn basic_headers_take_one_to_three_bytes() {
        for (id, basic) in [
            (2, vec![2]),
            (63, vec![63]),
            (64, vec![0, 0]),
            (319, vec![0, 255]),
            (320, vec![1, 0, 1]),
            (65_599, vec![1, 255, 255]),
        ] {
            let out = write(header(id, 0), &[], 128);
            assert_eq!(out[..basic.len()], basic, "chunk stream {id}");
        }
    }

    #[test]
    fn parts_and_chunks_are_independent() {
        let whole: Vec<u8> = (0..10).collect();
        let expected = [
            [7, 0, 0, 40, 0, 0, 10, 9, 1, 0, 0, 0, 0, 1, 2, 3].as_slice(),
            &[0xC7, 4, 5, 6, 7],
            &[0xC7, 8, 9],
        ]
        .concat();
        for cut in 0..=whole.len() {
            let (a, b) = whole.split_at(cut);
            assert_eq!(write(header(7, 40), &[a, b], 4), expected, "cut at {cut}");
        }
    }

    #[test]
    fn extended_time_is_repeated() {
        let out = write(header(6, 0x0100_0000), &[&[1, 2]], 1);
        let extended = [1, 0, 0, 0];
        let expected = [
            [6, 0xFF, 0xFF, 0xFF, 0, 0, 2, 9, 1, 0, 0, 0].as_slice(),
            &extended,
            &[1, 0xC6],
            &extended,
            &[2],
        ]
        .concat();
        assert_eq!(out, expected);
        assert_eq!(write(header(6, 0x00FF_FFFE), &[], 1).len(), 12, "not yet extended");
        assert_eq!(write(header(6, 0x00FF_FFFF), &[], 1).len(), 16, "from 0xFFFFFF on");
    }

    #[test]
    fn a_full_last_chunk_has_no_empty_successor() {
        assert_eq!(write(header(7, 0), &[&[0; 256]], 128).len(), 12 + 256 + 1);
    }

    #[test]
    fn a_message_beyond_24_bits_is_refused() {
        let long = vec![0; MAX_MESSAGE + 1];
        let mut out = BytesMut::new();
        let refused = write_message(&mut out, header(7, 0), &[&long], Size::DEFAULT);
        let limit = MAX_MESSAGE;
        assert_eq!(refused, Err(Error::MessageTooLong { length: limit + 1, limit }));
        assert!(out.is_empty());
    }
}
