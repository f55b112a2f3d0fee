//! Packets of RTP in a stream of bytes, as devices of GB/T 28181 send them over TCP.
//!
//! Three framings occur; which one it is, the first packets tell, once and for all:
//!
//! | framing | before a packet | before the first one |
//! |---|---|---|
//! | [RFC 4571](https://www.rfc-editor.org/rfc/rfc4571) | its length in two bytes | |
//! | that of RTSP (RFC 2326 §10.12) | `$`, a channel, its length in two bytes | |
//! | EHOME | as one of these two | 256 bytes that say who the device is |
//!
//! A packet of 256 bytes or of 9216 and more begins, in the first framing, like the others; what
//! tells them apart is where headers of RTP are.
//!
//! Some devices lose part of what they want to send when the network is slow: a packet ends early,
//! and what follows are lengths no more. Reading goes on then at the next header with the source
//! that is known.

use bytes::{Buf, Bytes, BytesMut};

use crate::packet::{HEADER_SIZE, is_rtcp};

/// Bytes that are looked through for the next packet: a second of a fast camera. What has none in
/// so many never will.
const MAX_SEARCH: usize = 1 << 20;

/// Sequence numbers that may be missing where a packet is found again: what [`MAX_SEARCH`] bytes
/// hold, in packets of usual size.
const MAX_MISSING: u16 = 1024;

/// What EHOME devices send before their first packet.
const EHOME_HEADER: usize = 256;

/// How packets are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Two bytes of length.
    Rfc4571,
    /// `$`, a channel, and two bytes of length.
    Interleaved,
}

impl Format {
    /// Bytes before a packet.
    fn head(self) -> usize {
        match self {
            Self::Rfc4571 => 2,
            Self::Interleaved => 4,
        }
    }

    /// The length of the packet behind a head.
    fn length(self, head: &[u8]) -> Option<usize> {
        let (high, low) = match (self, head) {
            (Self::Rfc4571, &[high, low, ..]) | (Self::Interleaved, &[b'$', _, high, low, ..]) => {
                (high, low)
            }
            _ => return None,
        };
        Some(u16::from_be_bytes([high, low]).into())
    }
}

/// Why reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The first bytes are no packet in any framing.
    NotRtp,
    /// No packet was found in so many bytes.
    Lost(usize),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotRtp => f.write_str("the first bytes are no packet of RTP"),
            Self::Lost(bytes) => write!(f, "no packet of RTP in {bytes} bytes"),
        }
    }
}

impl std::error::Error for Error {}

/// Reads packets from a stream; feed it with [`Reader::push`], then call [`Reader::poll`] until
/// there is none.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    state: State,
    is_ehome: bool,
    resynced: u64,
    skipped: u64,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// Which framing it is is not known yet.
    #[default]
    Start,
    /// Packets follow each other.
    Framed { format: Format, last: Option<Header> },
    /// The next packet has to be found; so many bytes were looked through.
    Search { format: Format, last: Header, searched: usize },
    Failed(Error),
}

/// The part of an RTP header that tells packets of one source from other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    payload_type: u8,
    sequence: u16,
    ssrc: u32,
}

impl Header {
    /// Reads a header of RTP; `None` for one of RTCP, and for other bytes.
    fn read(packet: &[u8]) -> Option<Self> {
        let [flags, kind, s0, s1, _, _, _, _, ssrc @ .., _] = packet.first_chunk::<13>()? else {
            return None;
        };
        (flags >> 6 == 2 && !is_rtcp(packet)).then(|| Self {
            payload_type: kind & 0x7F,
            sequence: u16::from_be_bytes([*s0, *s1]),
            ssrc: u32::from_be_bytes(*ssrc),
        })
    }
}
