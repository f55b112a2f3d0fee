//! RTP packets ([RFC 3550](https://www.rfc-editor.org/rfc/rfc3550) §5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           timestamp                           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           synchronization source (SSRC) identifier            |
//! +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
//! |            contributing source (CSRC) identifiers             |
//! |                             ....                              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Contributing sources and header extensions (ONVIF's replay extension, WebRTC's) are passed over.

use bytes::{BufMut, Bytes, BytesMut};
use media::{Error, Reader};

/// Bytes of a header without contributing sources and extension.
pub const HEADER_SIZE: usize = 12;

const VERSION: u8 = 2;

/// An RTP packet that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Whether the marker bit is set: for most formats, the last packet of a frame.
    pub marker: bool,
    /// What the payload is, as the session description says; 0 to 127.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: u16,
    /// When the first byte of the payload was sampled, on the format's clock.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
    /// The payload, without padding.
    pub payload: Bytes,
}

impl Packet {
    /// Reads a packet; the payload shares its memory.
    ///
    /// # Errors
    /// [`Error`] when it is cut short, or no RTP at all.
    pub fn parse(bytes: &Bytes) -> Result<Self, Error> {
        let mut r = Reader::new(bytes);
        let flags = r.u8()?;
        if flags >> 6 != VERSION {
            return Err(Error::Invalid { what: "RTP version", value: (flags >> 6).into() });
        }
        let kind = r.u8()?;
        let sequence = r.u16()?;
        let timestamp = r.u32()?;
        let ssrc = r.u32()?;
        r.take(usize::from(flags & 0x0F) * 4)?;
        if flags & 0x10 != 0 {
            let _profile = r.u16()?;
            let words = r.u16()?;
            r.take(usize::from(words) * 4)?;
        }
        let mut payload = bytes.slice_ref(r.rest());
        if flags & 0x20 != 0 {
            // §5.1: the last byte counts the padding, itself included.
            let padding = payload.last().copied().unwrap_or_default();
            let length = payload.len().checked_sub(padding.into());
            match length.filter(|_| padding > 0) {
                Some(length) => payload.truncate(length),
                None => return Err(Error::Invalid { what: "padding", value: padding.into() }),
            }
        }
        Ok(Self {
            marker: kind & 0x80 != 0,
            payload_type: kind & 0x7F,
            sequence,
            timestamp,
            ssrc,
            payload,
        })
    }
}

/// What the header of a packet says that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the marker bit is set.
    pub marker: bool,
    /// What the payload is; 0 to 127.
    pub payload_type: u8,
    /// Counts packets.
    pub sequence: u16,
    /// The time of the payload on the format's clock.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
}

impl Header {
    /// Appends the header: [`HEADER_SIZE`] bytes.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u8(VERSION << 6);
        out.put_u8(u8::from(self.marker) << 7 | self.payload_type & 0x7F);
        out.put_u16(self.sequence);
        out.put_u32(self.timestamp);
        out.put_u32(self.ssrc);
    }
}

/// Whether a packet that came where RTP and RTCP share a port or a channel is RTCP
/// ([RFC 5761](https://www.rfc-editor.org/rfc/rfc5761) §4).
#[must_use]
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Header = Header {
        marker: true,
        payload_type: 96,
        sequence: 0xFFFE,
        timestamp: 0xDEAD_BEEF,
        ssrc: 0x1234_5678,
    };

    fn packet(first: u8, more: &[u8]) -> Bytes {
        let mut bytes = BytesMut::new();
        PLAIN.write(&mut bytes);
        bytes[0] = first;
        bytes.extend_from_slice(more);
        bytes.freeze()
    }

    #[test]
    fn a_packet_is_what_was_written() {
        let read = Packet::parse(&packet(0x80, b"media")).unwrap();
        assert_eq!((read.marker, read.payload_type), (true, 96));
        assert_eq!((read.sequence, read.timestamp, read.ssrc), (0xFFFE, 0xDEAD_BEEF, 0x1234_5678));
        assert_eq!(&read.payload[..], b"media");
    }

    #[test]
    fn sources_extension_and_padding_are_passed_over() {
        let contributing = [1, 2, 3, 4, 5, 6, 7, 8];
        let extension = [0xAB, 0xAC, 0, 1, 9, 9, 9, 9];
        let rest = [&contributing[..], &extension, b"media", &[0, 0, 3]].concat();
        let read = Packet::parse(&packet(0x80 | 0x20 | 0x10 | 2, &rest)).unwrap();
        assert_eq!(&read.payload[..], b"media");
        let only_padding = Packet::parse(&packet(0xA0, &[0, 2])).unwrap();
        assert!(only_padding.payload.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Packet::parse(&packet(0x40, b"media")).is_err());
        assert!(Packet::parse(&packet(0x8F, b"media")).is_err());
        assert!(Packet::parse(&packet(0x90, &[0, 0, 0xFF, 0xFF, 1])).is_err());
        assert!(Packet::parse(&packet(0xA0, &[7])).is_err());
        assert!(Packet::parse(&packet(0xA0, &[1, 0])).is_err());
        assert!(Packet::parse(&packet(0xA0, &[])).is_err());
        assert!(Packet::parse(&Bytes::from_static(&[0x80, 96, 0])).is_err());
    }
}
