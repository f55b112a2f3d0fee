//! Readers that count messages without keeping them: only the first bytes of each are looked at.
//!
//! All of them take input in any pieces. A server that breaks its protocol makes them lose track,
//! which shows as missing frames.

use crate::rtmp::kind;

/// How many bytes of a message are kept: enough for a stamp or a command's result.
const HEAD: usize = 128;

/// One whole message that went by.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The RTMP message type or FLV tag type.
    pub kind: u8,
    /// Its first bytes.
    pub head: &'a [u8],
}

/// What takes messages.
pub type Sink<'a> = dyn FnMut(Message<'_>) + 'a;

/// A message that is going by.
#[derive(Debug, Default)]
struct Passing {
    kind: u8,
    left: usize,
    head: Vec<u8>,
}

impl Passing {
    fn begin(&mut self, kind: u8, length: usize) {
        self.kind = kind;
        self.left = length;
        self.head.clear();
    }

    fn pass(&mut self, bytes: &[u8]) {
        let room = HEAD - self.head.len();
        self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.left -= bytes.len();
    }

    fn message(&self) -> Message<'_> {
        Message { kind: self.kind, head: &self.head }
    }
}

/// Follows an RTMP chunk stream (RTMP 1.0 §5.3).
#[derive(Debug)]
pub struct RtmpScanner {
    chunk_size: usize,
    header: Vec<u8>,
    /// Bytes of the current chunk's payload that are still to come.
    chunk_left: usize,
    current: usize,
    streams: Vec<ChunkStream>,
}

#[derive(Debug, Default)]
struct ChunkStream {
    id: u32,
    kind: u8,
    length: usize,
    extended: bool,
    passing: Passing,
}

impl Default for RtmpScanner {
    fn default() -> Self {
        Self { chunk_size: 128, header: Vec::new(), chunk_left: 0, current: 0, streams: Vec::new() }
    }
}

impl RtmpScanner {
    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) {
        while !bytes.is_empty() {
            if self.chunk_left == 0 {
                let (first, rest) = bytes.split_at(1);
                self.header.extend_from_slice(first);
                bytes = rest;
                if self.header_is_whole() {
                    self.begin_chunk();
                    self.header.clear();
                }
            }
            let length = self.chunk_left.min(bytes.len());
            let (payload, rest) = bytes.split_at(length);
            self.pass(payload, sink);
            bytes = rest;
        }
    }

    fn header_is_whole(&self) -> bool {
        let Some(&first) = self.header.first() else { return false };
        let basic = self.basic_length();
        let fields = [11, 7, 3, 0].get(usize::from(first >> 6)).copied().unwrap_or(0);
        if self.header.len() < basic + fields {
            return false;
        }
        let extended = if fields > 0 {
            self.header.get(basic..basic + 3) == Some(&[0xFF; 3])
        } else {
            let id = self.chunk_stream_id();
            self.streams.iter().any(|stream| stream.id == id && stream.extended)
        };
        self.header.len() == basic + fields + 4 * usize::from(extended)
    }

    fn basic_length(&self) -> usize {
        match self.header.first().map(|first| first & 0x3F) {
            Some(0) => 2,
            Some(1) => 3,
            _ => 1,
        }
    }

    fn chunk_stream_id(&self) -> u32 {
        match self.header[..] {
            [first, a, ..] if first & 0x3F == 0 => 64 + u32::from(a),
            [first, a, b, ..] if first & 0x3F == 1 => 64 + u32::from(a) + 256 * u32::from(b),
            [first, ..] => u32::from(first & 0x3F),
            [] => 0,
        }
    }

    fn begin_chunk(&mut self) {
        let id = self.chunk_stream_id();
        let format = self.header.first().map_or(3, |first| first >> 6);
        self.current =
            self.streams.iter().position(|stream| stream.id == id).unwrap_or_else(|| {
                self.streams.push(ChunkStream { id, ..ChunkStream::default() });
                self.streams.len() - 1
            });
        let fields = self.header.get(self.basic_length()..).unwrap_or_default();
        let Some(stream) = self.streams.get_mut(self.current) else { return };
        if format < 3 {
            stream.extended = fields.starts_with(&[0xFF; 3]);
        }
        if let (0 | 1, &[_, _, _, l2, l1, l0, kind, ..]) = (format, fields) {
            stream.length = usize::from(l2) << 16 | usize::from(l1) << 8 | usize::from(l0);
            stream.kind = kind;
        }
        if stream.passing.left == 0 {
            stream.passing.begin(stream.kind, stream.length);
        }
        self.chunk_left = stream.passing.left.min(self.chunk_size);
    }

    fn pass(&mut self, payload: &[u8], sink: &mut Sink<'_>) {
        let Some(stream) = self.streams.get_mut(self.current) else { return };
        if payload.is_empty() {
            return;
        }
        stream.passing.pass(payload);
        self.chunk_left -= payload.len();
        if stream.passing.left == 0 {
            let message = stream.passing.message();
            if let (kind::SET_CHUNK_SIZE, Some(size)) = (message.kind, message.head.first_chunk()) {
                let size = u32::from_be_bytes(*size).clamp(1, 0xFF_FFFF);
                self.chunk_size = usize::try_from(size).unwrap_or(self.chunk_size);
            }
            sink(message);
        }
    }
}

/// Follows an FLV stream (FLV 10.1 §E.2–E.4).
#[derive(Debug, Default)]
pub struct FlvScanner {
    /// Bytes to pass over: the file header, and the sizes after the tags.
    skip: usize,
    begun: bool,
    header: Vec<u8>,
    passing: Passing,
}

/// The file header and the first previous-tag-size field.
const FLV_HEADER: usize = 9 + 4;
const TAG_HEADER: usize = 11;
const PREVIOUS_TAG_SIZE: usize = 4;

impl FlvScanner {
    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) {
        if !self.begun {
            self.begun = true;
            self.skip = FLV_HEADER;
        }
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if self.passing.left == 0 {
                let wanted = (TAG_HEADER - self.header.len()).min(bytes.len());
                let (header, rest) = bytes.split_at(wanted);
                self.header.extend_from_slice(header);
                bytes = rest;
                if let &[kind, l2, l1, l0, _, _, _, _, _, _, _] = &self.header[..] {
                    let length = usize::from(l2) << 16 | usize::from(l1) << 8 | usize::from(l0);
                    self.header.clear();
                    self.passing.begin(kind & 0x1F, length);
                    if length == 0 {
                        self.skip = PREVIOUS_TAG_SIZE;
                        continue;
                    }
                }
            }
            let (body, rest) = bytes.split_at(self.passing.left.min(bytes.len()));
            bytes = rest;
            if !body.is_empty() {
                self.passing.pass(body);
                if self.passing.left == 0 {
                    sink(self.passing.message());
                    self.skip = PREVIOUS_TAG_SIZE;
                }
            }
        }
    }
}

/// Follows a transport stream (ISO/IEC 13818-1 §2.4.3): each PES packet is a message, of which the
/// beginning in its first transport packet is looked at.
#[derive(Debug, Default)]
pub struct TsScanner {
    packet: Vec<u8>,
}

const TS_PACKET: usize = 188;
const TS_HEADER: usize = 4;
/// `stream_id` of pictures; those of sound are below (table 2-22).
const PES_VIDEO: u8 = 0xE0;

impl TsScanner {
    /// Takes the next bytes. Messages begin as those of FLV do, so that key frames are told.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at((TS_PACKET - self.packet.len()).min(bytes.len()));
            self.packet.extend_from_slice(now);
            bytes = later;
            if self.packet.len() == TS_PACKET {
                self.look(sink);
                self.packet.clear();
            }
        }
    }

    fn look(&self, sink: &mut Sink<'_>) {
        let &[0x47, pid, _, control, length, flags, ..] = &self.packet[..] else { return };
        let adapts = control & 0x20 != 0;
        let start = TS_HEADER + if adapts { 1 + usize::from(length) } else { 0 };
        let Some(payload) = self.packet.get(start..).filter(|_| pid & 0x40 != 0) else { return };
        if payload.starts_with(&[0, 0, 1]) && payload.get(3).is_some_and(|id| *id >= PES_VIDEO) {
            let random_access = adapts && length > 0 && flags & 0x40 != 0;
            let first = if random_access { 0x17 } else { 0x27 };
            let head = [&[first, 1], payload].concat();
            sink(Message { kind: kind::VIDEO, head: &head });
        }
    }
}

/// Follows an HTTP response whose body is media: plain, in chunks (RFC 9112 §7.1), or in WebSocket
/// frames (RFC 6455 §5.2).
#[derive(Debug, Default)]
pub struct HttpScanner {
    head: Vec<u8>,
    framing: Framing,
    /// Bytes of the current chunk or frame that are still to come.
    left: u64,
    /// Whether those belong to a WebSocket control frame.
    control: bool,
    media: Media,
}

/// What the body is.
#[derive(Debug)]
enum Media {
    Flv(FlvScanner),
    Ts(TsScanner),
}

impl Default for Media {
    fn default() -> Self {
        Self::Flv(FlvScanner::default())
    }
}

impl Media {
    fn feed(&mut self, bytes: &[u8], sink: &mut Sink<'_>) {
        match self {
            Self::Flv(scanner) => scanner.feed(bytes, sink),
            Self::Ts(scanner) => scanner.feed(bytes, sink),
        }
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Framing {
    #[default]
    ResponseHead,
    Plain,
    Chunked,
    WebSocket,
    Refused,
}

/// Longer response heads are no media server's.
const RESPONSE_HEAD_MAX: usize = 16 * 1024;

impl HttpScanner {
    /// A scanner for a transport stream; [`Default`] is for FLV.
    #[must_use]
    pub fn of_ts() -> Self {
        Self { media: Media::Ts(TsScanner::default()), ..Self::default() }
    }

    /// Takes the next bytes; `false` when the server refused.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) -> bool {
        while self.framing == Framing::ResponseHead && !bytes.is_empty() {
            let (first, rest) = bytes.split_at(1);
            self.head.extend_from_slice(first);
            bytes = rest;
            if self.head.ends_with(b"\r\n\r\n") {
                self.framing = framing(&self.head);
                self.head.clear();
            } else if self.head.len() > RESPONSE_HEAD_MAX {
                self.framing = Framing::Refused;
            }
        }
        match self.framing {
            Framing::ResponseHead => true,
            Framing::Refused => false,
            Framing::Plain => {
                self.media.feed(bytes, sink);
                true
            }
            Framing::Chunked | Framing::WebSocket => {
                self.unwrap(bytes, sink);
                true
            }
        }
    }

    fn unwrap(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (first, rest) = bytes.split_at(1);
                self.head.extend_from_slice(first);
                bytes = rest;
                let length = if self.framing == Framing::Chunked {
                    chunk_length(&self.head)
                } else {
                    frame_length(&self.head)
                };
                if let Some(length) = length {
                    self.left = length;
                    self.control = self.framing == Framing::WebSocket
                        && self.head.first().is_some_and(|first| first & 0x08 != 0);
                    self.head.clear();
                }
                continue;
            }
            let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (payload, rest) = bytes.split_at(length);
            self.left -= u64::try_from(length).unwrap_or(0);
            if !self.control {
                self.media.feed(payload, sink);
            }
            bytes = rest;
        }
    }
}

fn framing(head: &[u8]) -> Framing {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = head.split_whitespace().nth(1);
    match status {
        Some("101") => Framing::WebSocket,
        Some("200") if head.contains("transfer-encoding: chunked") => Framing::Chunked,
        Some("200") => Framing::Plain,
        _ => Framing::Refused,
    }
}

/// The length of a chunk, once its whole size line is there; the line end after the chunk before
/// is part of it.
fn chunk_length(line: &[u8]) -> Option<u64> {
    let line = line.strip_prefix(b"\r\n").unwrap_or(line);
    let digits = line.strip_suffix(b"\r\n").filter(|digits| !digits.is_empty())?;
    let digits = str::from_utf8(digits).ok()?.split(';').next()?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// The length of a server's frame, once its whole header is there.
fn frame_length(header: &[u8]) -> Option<u64> {
    match *header {
        [_, 126, a, b] => Some(u64::from(u16::from_be_bytes([a, b]))),
        [_, 127, a, b, c, d, e, f, g, h] => Some(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        [_, length] if length < 126 => Some(u64::from(length)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp;
    use testkit::{Programme, split};

    fn flv() -> Vec<u8> {
        let programme = Programme::live(100_000);
        let mut bytes = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        for item in programme.config().into_iter().chain(programme.items().take(12)) {
            bytes.extend(item.flv_tag());
        }
        bytes
    }

    fn scan<F: FnMut(&[u8], &mut Sink<'_>)>(pieces: &[&[u8]], mut feed: F) -> Vec<(u8, Vec<u8>)> {
        let mut messages = Vec::new();
        for piece in pieces {
            feed(piece, &mut |message| messages.push((message.kind, message.head.to_vec())));
        }
        messages
    }

    #[test]
    fn flv_is_counted_in_any_pieces() {
        let bytes = flv();
        split::everywhere(&bytes, |pieces| {
            let mut scanner = FlvScanner::default();
            let messages = scan(pieces, |piece, sink| scanner.feed(piece, sink));
            assert_eq!(messages.len(), 15);
            messages
        });
    }

    #[test]
    fn http_bodies_are_unwrapped() {
        let body = flv();
        let mut plain = b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n".to_vec();
        plain.extend(&body);
        let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let mut frames = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        for piece in body.chunks(300) {
            chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
            chunked.extend(piece);
            chunked.extend(b"\r\n");
            let length = u16::try_from(piece.len()).unwrap();
            match u8::try_from(length) {
                Ok(short) if short < 126 => frames.extend([0x82, short]),
                _ => {
                    frames.extend([0x82, 126]);
                    frames.extend(length.to_be_bytes());
                }
            }
            frames.extend(piece);
        }
        for bytes in [plain, chunked, frames] {
            split::everywhere(&bytes, |pieces| {
                let mut scanner = HttpScanner::default();
                let messages = scan(pieces, |piece, sink| assert!(scanner.feed(piece, sink)));
                assert_eq!(messages.len(), 15);
                messages
            });
        }
    }

    #[test]
    fn rtmp_messages_interleave() {
        let programme = Programme::live(100_000);
        let mut bytes = rtmp::message(2, 1, 0, 0, &[0, 0, 2, 0], 128).to_vec();
        for item in programme.items().take(10) {
            let time = u32::try_from(item.time).unwrap() + 0xFF_FFF0;
            bytes.extend(rtmp::message(4, item.kind as u8, time, 1, &item.body, 512));
        }
        // Two messages whose chunks alternate.
        let first = rtmp::message(5, 8, 0, 1, &[1; 600], 512);
        bytes.extend(&first[..12 + 512]);
        bytes.extend(rtmp::message(6, 9, 0, 1, &[2; 100], 512));
        bytes.extend(&first[12 + 512..]);
        split::randomly(&bytes, 1, 300, |pieces| {
            let mut scanner = RtmpScanner::default();
            let messages = scan(pieces, |piece, sink| scanner.feed(piece, sink));
            assert_eq!(messages.len(), 13);
            messages
        });
    }
}
