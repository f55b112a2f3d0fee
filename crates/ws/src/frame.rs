//! WebSocket frames ([RFC 6455, 5](https://www.rfc-editor.org/rfc/rfc6455#section-5)), both ways
//! and for both roles. No extensions: a reserved bit is an error.

use bytes::{BufMut, Bytes, BytesMut};

mod reader;

pub use reader::{Event, Reader, Role};

/// What viewers may send in one message. Media players send nothing, control channels send lines.
pub const VIEWER_MESSAGE: usize = 64 * 1024;

/// The longest header: two bytes, a 64-bit length, a masking key.
pub const MAX_HEADER: usize = 14;

/// The most payload a control frame may have.
pub const MAX_CONTROL: usize = 125;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    Continuation,
    /// The start of a message of text.
    Text,
    /// The start of a message of bytes.
    Binary,
    /// The end of the connection.
    Close,
    /// A question whether the peer is there.
    Ping,
    /// The answer to it.
    Pong,
}

impl Opcode {
    fn from_wire(nibble: u8) -> Option<Self> {
        Some(match nibble {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    fn to_wire(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A client sent a frame without a mask.
    #[error("frame from a client is not masked")]
    Unmasked,
    /// A server sent a masked frame.
    #[error("frame from a server is masked")]
    Masked,
    /// A reserved bit is set, although no extension was agreed on.
    #[error("frame has reserved bits set: first byte {0:#04x}")]
    Reserved(u8),
    /// An opcode without a meaning.
    #[error("frame has the unknown opcode {0:#03x}")]
    Opcode(u8),
    /// A control frame in fragments or longer than [`MAX_CONTROL`].
    #[error("control frame is fragmented or longer than 125 bytes")]
    Control,
    /// A length in more bytes than it needs, or with its top bit set.
    #[error("frame length {0} is not in its shortest form or out of range")]
    Length(u64),
    /// A continuation of nothing.
    #[error("continuation frame without a message to continue")]
    Continuation,
    /// A new message inside of a fragmented one.
    #[error("new message before the end of the fragmented one")]
    Interleaved,
    /// A close frame of one byte or with a code that must not be sent.
    #[error("close frame has an invalid code")]
    Close,
    /// Text or a close reason that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A message longer than the reader takes.
    #[error("message of {len} bytes or more exceeds the limit of {limit}")]
    TooBig {
        /// How long it would be so far.
        len: u64,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// The code to close the connection with
    /// ([RFC 6455, 7.4.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1)).
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self {
            Self::Utf8 => 1007,
            Self::TooBig { .. } => 1009,
            _ => 1002,
        }
    }
}

/// Writes the header of an unmasked frame of `len` bytes, as servers send them: it is the same for
/// every viewer, and so part of the shared packet.
///
/// # Panics
/// If `out` is a fixed buffer with no room for 10 bytes.
pub fn write_frame_header(out: &mut impl BufMut, opcode: Opcode, fin: bool, len: usize) {
    write_header(out, opcode, fin, 0, len);
}

/// Writes a whole masked frame, as clients send them. The key should be unpredictable to whoever
/// chose the payload.
///
/// # Panics
/// If `out` is a fixed buffer with no room for 14 bytes and the payload.
pub fn write_masked_frame(
    out: &mut BytesMut,
    opcode: Opcode,
    fin: bool,
    key: [u8; 4],
    payload: &[u8],
) {
    out.reserve(MAX_HEADER.saturating_add(payload.len()));
    write_header(out, opcode, fin, 0x80, payload.len());
    out.put_slice(&key);
    let start = out.len();
    out.put_slice(payload);
    mask(out.get_mut(start..).unwrap_or_default(), key, 0);
}

/// A server's close frame. The reason is cut to the 123 bytes a control frame has room for.
#[must_use]
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    control_frame(Opcode::Close, &close_payload(code, reason))
}

/// A server's answer to a ping with this payload.
#[must_use]
pub fn pong_frame(payload: &[u8]) -> Bytes {
    control_frame(Opcode::Pong, payload)
}

/// A server's ping.
#[must_use]
pub fn ping_frame(payload: &[u8]) -> Bytes {
    control_frame(Opcode::Ping, payload)
}

/// The payload of a close frame, for clients to mask.
#[must_use]
pub fn close_payload(code: u16, reason: &str) -> Bytes {
    let room = reason.floor_char_boundary(MAX_CONTROL - 2);
    let mut payload = BytesMut::with_capacity(2 + room);
    payload.put_u16(code);
    payload.put_slice(reason.get(..room).unwrap_or_default().as_bytes());
    payload.freeze()
}

fn control_frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let payload = payload.get(..MAX_CONTROL).unwrap_or(payload);
    let mut out = BytesMut::with_capacity(2 + payload.len());
    write_frame_header(&mut out, opcode, true, payload.len());
    out.put_slice(payload);
    out.freeze()
}

/// The shortest of the three length forms, as section 5.2 demands.
fn write_header(out: &mut impl BufMut, opcode: Opcode, fin: bool, mask_bit: u8, len: usize) {
    out.put_u8(opcode.to_wire() | if fin { 0x80 } else { 0 });
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ ..=125), _) => out.put_u8(mask_bit | short),
        (_, Ok(medium)) => {
            out.put_u8(mask_bit | 126);
            out.put_u16(medium);
        }
        _ => {
            out.put_u8(mask_bit | 127);
            // Slices are at most `isize::MAX` long, so that the top bit stays clear.
            out.put_u64(u64::try_from(len).unwrap_or(u64::MAX) & (u64::MAX >> 1));
        }
    }
}

/// Masks or unmasks `bytes`, whose first byte is at `phase` in the payload.
fn mask(bytes: &mut [u8], mut key: [u8; 4], phase: usize) {
    key.rotate_left(phase % 4);
    let wide = u64::from_ne_bytes({
        let [a, b, c, d] = key;
        [a, b, c, d, a, b, c, d]
    });
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests;
