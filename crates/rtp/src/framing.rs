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
use smallvec::SmallVec;

use crate::packet::{HEADER_SIZE, is_rtcp};

/// Bytes that are looked through for the next packet: a second of a fast camera. What has none in
/// so many never will.
const MAX_SEARCH: usize = 1 << 20;

/// Sequence numbers that may be missing where a packet is found again: what [`MAX_SEARCH`] bytes
/// hold, in packets of usual size.
const MAX_MISSING: u16 = 1024;

/// What EHOME devices send before their first packet.
const EHOME_HEADER: usize = 256;

/// Sources of one stream: pictures and sound, and as much again.
const MAX_SOURCES: usize = 4;

/// The shortest packet of RTCP.
const RTCP_HEADER: usize = 8;

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
        let length = match (self, head) {
            (Self::Rfc4571, &[high, low, ..]) => [high, low],
            (Self::Interleaved, &[b'$', _, high, low, ..]) => [high, low],
            _ => return None,
        };
        Some(u16::from_be_bytes(length).into())
    }
}

/// Why reading ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first bytes are no packet in any framing.
    #[error("the first bytes are no RTP packet")]
    NotRtp,
    /// Packets ended, and none was found in so many bytes.
    #[error("no RTP packet in {0} bytes")]
    Lost(usize),
}

/// Reads packets from a stream; feed it with [`Reader::push`], then call [`Reader::poll`] until
/// there is none.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    state: State,
    is_ehome: bool,
    /// The last packet of each source, the source that came last at the end.
    sources: Vec<Header>,
    resynced: u64,
    skipped: u64,
}

#[derive(Debug, Clone, Copy, Default)]
enum State {
    /// Which framing it is is not known yet.
    #[default]
    Start,
    /// Packets follow each other.
    Framed(Format),
    /// The next packet has to be found; so many bytes were looked through.
    Search(Format, usize),
    Failed(Error),
}

impl Reader {
    /// A reader that has read nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed(_)) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next packet of RTP or RTCP; `None` if more bytes are needed. Call again until then.
    ///
    /// # Errors
    /// [`Error`] when the stream has no packets, or none any more. Nothing can be read afterwards.
    pub fn poll(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let next = match self.state {
                State::Start => self.start(),
                State::Framed(format) => match self.framed(format) {
                    Step::Packet(packet) => return Ok(Some(packet)),
                    Step::Wait => None,
                    Step::Next(state) => Some(state),
                },
                State::Search(format, searched) => self.search(format, searched),
                State::Failed(error) => return Err(error),
            };
            let Some(next) = next else { return Ok(None) };
            if matches!(next, State::Failed(_)) {
                self.buffer = BytesMut::new();
            }
            self.state = next;
        }
    }

    /// How packets are told apart, once that is known.
    #[must_use]
    pub fn format(&self) -> Option<Format> {
        match self.state {
            State::Framed(format) | State::Search(format, _) => Some(format),
            State::Start | State::Failed(_) => None,
        }
    }

    /// Whether the stream began with a header of EHOME.
    #[must_use]
    pub fn is_ehome(&self) -> bool {
        self.is_ehome
    }

    /// How often packets ended and were found again.
    #[must_use]
    pub fn resynced(&self) -> u64 {
        self.resynced
    }

    /// Bytes that were passed over to find them.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Finds out the framing.
    fn start(&mut self) -> Option<State> {
        let candidates: &[(Format, usize)] = match *self.buffer.first_chunk::<2>()? {
            [b'$', _] => &[(Format::Rfc4571, 0), (Format::Interleaved, 0)],
            [1, 0] => &[
                (Format::Rfc4571, 0),
                (Format::Interleaved, EHOME_HEADER),
                (Format::Rfc4571, EHOME_HEADER),
            ],
            _ => &[(Format::Rfc4571, 0)],
        };
        let mut found: SmallVec<[(Format, usize, usize); 3]> = SmallVec::new();
        for &(format, at) in candidates {
            match self.begins(format, at) {
                Check::Yes(end) => found.push((format, at, end)),
                Check::No => {}
                Check::Unknown => return None,
            }
        }
        let mut chosen = found.first().copied();
        if found.len() > 1 {
            // The packet that another one of its source follows is one.
            for &(format, at, end) in &found {
                match self.goes_on(format, at, end) {
                    Check::Yes(_) => {
                        chosen = Some((format, at, end));
                        break;
                    }
                    Check::No => {}
                    Check::Unknown => return None,
                }
            }
        }
        let Some((format, at, _)) = chosen else { return Some(State::Failed(Error::NotRtp)) };
        self.is_ehome = at > 0;
        self.buffer.advance(at.min(self.buffer.len()));
        Some(State::Framed(format))
    }

    /// Whether a packet begins at this place, and where it ends.
    fn begins(&self, format: Format, at: usize) -> Check {
        let Some(bytes) = self.buffer.get(at..) else { return Check::Unknown };
        if format == Format::Interleaved && bytes.first().is_some_and(|byte| *byte != b'$') {
            return Check::No;
        }
        let (head, packet) = bytes.split_at(format.head().min(bytes.len()));
        let (Some(length), [flags, _, ..]) = (format.length(head), packet) else {
            return Check::Unknown;
        };
        let least = if is_rtcp(packet) { RTCP_HEADER } else { HEADER_SIZE };
        if flags >> 6 == 2 && length >= least {
            Check::Yes(at + format.head() + length)
        } else {
            Check::No
        }
    }

    /// Whether a packet of the same source begins where the one that begins at `at` ends.
    fn goes_on(&self, format: Format, at: usize, end: usize) -> Check {
        let check = self.begins(format, end);
        if !matches!(check, Check::Yes(_)) {
            return check;
        }
        let packet = |at: usize| self.buffer.get(at + format.head()..).unwrap_or_default();
        let (first, second) = (packet(at), packet(end));
        if second.len() < HEADER_SIZE {
            return Check::Unknown;
        }
        match (Header::read(first), Header::read(second)) {
            (Some(first), Some(second)) if first.ssrc != second.ssrc => Check::No,
            // Reports are of several sources.
            _ => check,
        }
    }

    /// Takes the next packet.
    fn framed(&mut self, format: Format) -> Step {
        let head = format.head();
        if format.length(&self.buffer) == Some(0) {
            // A packet without anything keeps the connection open (RFC 4571 §2).
            self.buffer.advance(head.min(self.buffer.len()));
            return Step::Next(State::Framed(format));
        }
        let end = match self.begins(format, 0) {
            Check::Yes(end) => end,
            Check::No => return Step::Next(State::Search(format, 0)),
            Check::Unknown => return Step::Wait,
        };
        let packet = self.buffer.get(head..).unwrap_or_default();
        if !is_rtcp(packet) {
            let Some(header) = Header::read(packet) else { return Step::Wait };
            let is_known = self.sources.iter().any(|source| source.ssrc == header.ssrc);
            if !is_known && !self.sources.is_empty() {
                // Another source, or no packet: what follows it tells.
                match self.begins(format, end) {
                    Check::Yes(_) => {}
                    Check::No => return Step::Next(State::Search(format, 0)),
                    Check::Unknown => return Step::Wait,
                }
            }
            if self.buffer.len() < end {
                return Step::Wait;
            }
            self.sources.retain(|source| source.ssrc != header.ssrc);
            if self.sources.len() >= MAX_SOURCES {
                self.sources.remove(0);
            }
            self.sources.push(header);
        } else if self.buffer.len() < end {
            return Step::Wait;
        }
        let mut packet = self.buffer.split_to(end);
        packet.advance(head);
        Step::Packet(packet.freeze())
    }

    /// Looks for a packet of a source that is known.
    fn search(&mut self, format: Format, searched: usize) -> Option<State> {
        let whole = format.head() + HEADER_SIZE;
        let places = (self.buffer.len() + 1).saturating_sub(whole).min(MAX_SEARCH - searched);
        let found = self.buffer.windows(whole).take(places).position(|bytes| {
            let (head, packet) = bytes.split_at(format.head());
            format.length(head).is_some_and(|length| length >= HEADER_SIZE)
                && Header::read(packet)
                    .is_some_and(|header| self.sources.iter().any(|source| header.follows(source)))
        });
        let passed = found.unwrap_or(places);
        self.buffer.advance(passed);
        self.skipped += passed as u64;
        if found.is_some() {
            self.resynced += 1;
            return Some(State::Framed(format));
        }
        let searched = searched + passed;
        if searched >= MAX_SEARCH {
            return Some(State::Failed(Error::Lost(searched)));
        }
        self.state = State::Search(format, searched);
        None
    }
}

/// Whether a packet begins at some place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// It does, and ends there.
    Yes(usize),
    No,
    /// There are not enough bytes to tell.
    Unknown,
}

enum Step {
    Packet(Bytes),
    Wait,
    Next(State),
}

/// The part of an RTP header that tells packets of one source from other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    payload_type: u8,
    sequence: u16,
    ssrc: u32,
}

impl Header {
    /// Reads a header; `None` if it is one of RTCP or cut short.
    fn read(packet: &[u8]) -> Option<Self> {
        let [flags, kind, s0, s1, _, _, _, _, a, b, c, d] = *packet.first_chunk::<HEADER_SIZE>()?;
        (flags >> 6 == 2 && !is_rtcp(packet)).then(|| Self {
            payload_type: kind & 0x7F,
            sequence: u16::from_be_bytes([s0, s1]),
            ssrc: u32::from_be_bytes([a, b, c, d]),
        })
    }

    /// Whether it may be that of a later packet of the same source.
    fn follows(&self, last: &Self) -> bool {
        let ahead = self.sequence.wrapping_sub(last.sequence);
        self.ssrc == last.ssrc
            && self.payload_type == last.payload_type
            && (1..=MAX_MISSING).contains(&ahead)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;
    use testkit::split;

    use super::*;
    use crate::packet;

    const SSRC: u32 = 0x0614_878C;

    fn packet(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        let (marker, payload_type, timestamp) = (false, 96, 7);
        packet::Header { marker, payload_type, sequence, timestamp, ssrc }.write(&mut out);
        out.extend_from_slice(payload);
        out.to_vec()
    }

    fn frame(format: Format, packet: &[u8]) -> Vec<u8> {
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        let head: &[u8] = if format == Format::Interleaved { b"$\0" } else { b"" };
        [head, &length, packet].concat()
    }

    /// The packets, how often they were found again, and what ended it.
    fn read(pieces: &[&[u8]]) -> (Vec<Bytes>, u64, Option<Error>) {
        let (mut reader, mut packets) = (Reader::new(), Vec::new());
        for piece in pieces {
            reader.push(piece);
            loop {
                match reader.poll() {
                    Ok(Some(packet)) => packets.push(packet),
                    Ok(None) => break,
                    Err(error) => return (packets, reader.resynced(), Some(error)),
                }
            }
            assert!(reader.buffer.len() < 4 + (1 << 16) + 6);
        }
        (packets, reader.resynced(), None)
    }

    fn formats() -> [Format; 2] {
        [Format::Rfc4571, Format::Interleaved]
    }

    /// Payload that looks like nothing else.
    fn payload(length: usize) -> Vec<u8> {
        vec![0x55; length]
    }

    #[test]
    fn the_framing_is_found_whatever_the_first_length_is() {
        // 256 and 0x24xx are what the other framings begin with.
        for length in [12, 13, 256, 257, 1400, 0x2400, 0x2460, 0x24FF, 0x9000] {
            for format in formats() {
                let packets: Vec<_> =
                    (0..3).map(|n| packet(n, SSRC, &payload(length - HEADER_SIZE))).collect();
                let bytes: Vec<u8> = packets.iter().flat_map(|p| frame(format, p)).collect();
                let mut reader = Reader::new();
                reader.push(&bytes);
                for packet in &packets {
                    assert_eq!(reader.poll().unwrap().as_deref(), Some(&packet[..]), "{length}");
                }
                assert_eq!((reader.poll(), reader.format()), (Ok(None), Some(format)));
                assert!(!reader.is_ehome());
            }
        }
    }

    #[test]
    fn the_framing_is_never_another_later() {
        let lengths = [100, 256, 0x2400, 256];
        let packets: Vec<_> =
            (0..).zip(lengths).map(|(n, l)| packet(n, SSRC, &payload(l - HEADER_SIZE))).collect();
        let bytes: Vec<u8> = packets.iter().flat_map(|p| frame(Format::Rfc4571, p)).collect();
        assert_eq!(read(&[&bytes]), (packets.into_iter().map(Bytes::from).collect(), 0, None));
    }

    #[test]
    fn the_header_of_ehome_is_passed_over() {
        for format in formats() {
            for third in [1, 2, 0x80] {
                let mut bytes = vec![9; EHOME_HEADER];
                bytes[..4].copy_from_slice(&[1, 0, third, 0x60]);
                let packets = [packet(1, SSRC, &payload(256 - 12)), packet(2, SSRC, b"media")];
                bytes.extend(packets.iter().flat_map(|packet| frame(format, packet)));
                let mut reader = Reader::new();
                reader.push(&bytes);
                assert_eq!(reader.poll().unwrap().as_deref(), Some(&packets[0][..]));
                assert_eq!(reader.poll().unwrap().as_deref(), Some(&packets[1][..]));
                assert!(reader.is_ehome());
            }
        }
    }

    #[test]
    fn other_protocols_are_refused() {
        for text in ["GET / HTTP/1.1\r\n", "$24GET / HTTP/1.1\r\n", "\0\0\0\0\0\0\0\0"] {
            assert_eq!(read(&[text.as_bytes()]).2, Some(Error::NotRtp), "{text:?}");
        }
        let mut reader = Reader::new();
        reader.push(&[1; 100]);
        assert_eq!(reader.poll(), Err(Error::NotRtp));
        reader.push(&[0; 100]);
        assert_eq!((reader.poll(), reader.buffer.len()), (Err(Error::NotRtp), 0));
    }

    /// A packet of which the end was never sent costs the one that begins in its place.
    #[test]
    fn packets_are_found_again_after_a_torn_one() {
        for format in formats() {
            for missing in [1, 3, 500, 1000, 1390] {
                let frames: Vec<_> =
                    (0..8).map(|n| frame(format, &packet(n, SSRC, &payload(1400)))).collect();
                let mut bytes = frames.concat();
                let end = 3 * frames[0].len();
                bytes.drain(end - missing..end);
                split::randomly(&bytes, 3, 5, |pieces| {
                    let (packets, resynced, error) = read(pieces);
                    let sequences: Vec<u8> = packets.iter().map(|packet| packet[3]).collect();
                    assert_eq!(sequences, [0, 1, 2, 4, 5, 6, 7], "{missing}");
                    assert_eq!((resynced, error), (1, None));
                });
            }
        }
    }

    #[test]
    fn what_never_comes_is_not_searched_for_ever() {
        let mut bytes = frame(Format::Rfc4571, &packet(0, SSRC, b"media"));
        bytes.extend(vec![0x11; MAX_SEARCH + 100]);
        let (packets, resynced, error) = read(&[&bytes]);
        assert_eq!((packets.len(), resynced, error), (1, 0, Some(Error::Lost(MAX_SEARCH))));
        let pieces: Vec<&[u8]> = bytes.chunks(1000).collect();
        assert_eq!(read(&pieces).2, Some(Error::Lost(MAX_SEARCH)));
    }

    #[test]
    fn other_sources_and_reports_are_taken() {
        let mut packets = Vec::new();
        for n in 0..20 {
            packets.push(packet(n, SSRC + u32::from(n % 6), b"media"));
            packets.push(vec![0x80, 201, 0, 1, 0, 0, 0, n.to_be_bytes()[1]]);
        }
        let bytes: Vec<u8> = packets.iter().flat_map(|p| frame(Format::Interleaved, p)).collect();
        assert_eq!(read(&[&bytes]), (packets.into_iter().map(Bytes::from).collect(), 0, None));
    }

    #[test]
    fn empty_packets_are_passed_over() {
        let first = frame(Format::Rfc4571, &packet(0, SSRC, b"media"));
        let bytes = [&first[..], &[0, 0, 0, 0], &first].concat();
        assert_eq!(read(&[&bytes]).0.len(), 2);
        assert_eq!(read(&[&bytes]).1, 0);
    }

    proptest! {
        #[test]
        fn packets_read_as_they_were_written(
            interleaved: bool,
            lengths in prop::collection::vec(prop_oneof![9 => 0_usize..300, 1 => 0_usize..60_000], 2..20),
            first: u16,
            ssrc: u32,
            seed: u64,
        ) {
            let format = if interleaved { Format::Interleaved } else { Format::Rfc4571 };
            let packets: Vec<_> = lengths.iter().enumerate().map(|(n, length)| {
                packet(first.wrapping_add(u16::try_from(n).unwrap()), ssrc, &payload(*length))
            }).collect();
            let bytes: Vec<u8> = packets.iter().flat_map(|p| frame(format, p)).collect();
            let expected = (packets.into_iter().map(Bytes::from).collect(), 0, None);
            prop_assert_eq!(&read(&[&bytes]), &expected);
            split::randomly(&bytes, seed, 2, read);
        }

        #[test]
        fn damaged_streams_split_anywhere(
            interleaved: bool,
            seed: u64,
            at in 0_usize..1000,
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let format = if interleaved { Format::Interleaved } else { Format::Rfc4571 };
            let frames: Vec<_> =
                (0..12).map(|n| frame(format, &packet(n, SSRC, &payload(90)))).collect();
            let mut bytes = frames.concat();
            let end = (at + noise.len()).min(bytes.len());
            bytes.splice(at..end, noise);
            split::randomly(&bytes, seed, 3, read);
        }
    }
}
