//! Takes the bytes of a connection apart: messages, and the packets between them.
//!
//! One decoder serves a connection in all its states, since packets may come before the answer to
//! `PLAY` and messages between packets. Tolerated: bare line feeds, header names in any case,
//! blank lines between messages, and a bounded amount of garbage, after which it finds its way back
//! at the next `$` of a channel that is in use, or the next message. The search looks at each byte a few
//! times, however garbage is made.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Fields, INTERLEAVED_HEADER, MAX_FIELDS, MAX_HEAD, Method, Request, Response, Status, Version,
};
use crate::Error;

/// The longest body: a session description.
pub const MAX_BODY: usize = rtp::sdp::MAX_SIZE;

/// Garbage between messages that is passed over.
const MAX_GARBAGE: usize = 64 << 10;

/// What has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
    /// An interleaved packet.
    Data {
        /// Its channel.
        channel: u8,
        /// RTP or RTCP.
        payload: Bytes,
    },
}

/// Takes a connection's bytes apart.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// Bytes passed over since the last good message.
    garbage: usize,
    /// No message begins in this many bytes; only packets may.
    dead: usize,
    /// From `dead` to here there is text without a line's end.
    seen: usize,
    /// The end of the message's first line, which is a good one.
    line: Option<usize>,
    /// Where the search for the end of a head goes on.
    searched: usize,
    /// Bytes that the message in hand has at least.
    needed: usize,
    channels: [bool; 256],
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            garbage: 0,
            dead: 0,
            seen: 0,
            line: None,
            searched: 0,
            needed: 0,
            channels: [false; 256],
        }
    }

    /// Packets of this channel are expected: after garbage, they are believed.
    pub fn expect_channel(&mut self, channel: u8) {
        if let Some(expected) = self.channels.get_mut(usize::from(channel)) {
            *expected = true;
        }
    }

    /// Adds bytes that have arrived. [`Decoder::poll`] must be called until it is empty: what stays
    /// then is less than one message.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message or packet.
    ///
    /// # Errors
    /// [`Error`] when a limit is exceeded, after which nothing more can be read.
    pub fn poll(&mut self) -> Result<Option<Incoming>, Error> {
        if self.buffer.len() < self.needed {
            return Ok(None);
        }
        loop {
            let Some(first) = self.buffer.first().copied() else { return Ok(None) };
            match first {
                b'$' => match self.packet() {
                    Packet::Whole(incoming) => return Ok(Some(incoming)),
                    Packet::Cut => return Ok(None),
                    Packet::Unlikely => self.skip(1)?,
                },
                b'\r' | b'\n' | b' ' | 0 => self.skip(1)?,
                _ if self.dead > 0 => {
                    let dead = self.buffer.iter().take(self.dead);
                    let packet = dead.clone().position(|byte| *byte == b'$');
                    self.skip(packet.unwrap_or_else(|| dead.len()))?;
                }
                b'A'..=b'Z' => match self.head()? {
                    Head::Whole(length) => return self.message(length),
                    Head::Cut => return Ok(None),
                    Head::Garbage => {}
                },
                _ => self.skip(1)?,
            }
        }
    }

    fn packet(&mut self) -> Packet {
        let [_, channel, high, low, ..] = self.buffer[..] else { return Packet::Cut };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let known = self.channels.get(usize::from(channel)).copied().unwrap_or_default();
        if self.garbage > 0 && !known {
            return Packet::Unlikely;
        }
        if self.buffer.len() < INTERLEAVED_HEADER + length {
            return Packet::Cut;
        }
        let mut packet = self.split_to(INTERLEAVED_HEADER + length);
        packet.advance(INTERLEAVED_HEADER);
        self.good();
        Packet::Whole(Incoming::Data { channel, payload: packet.freeze() })
    }

    /// Whether a message's head is there, and how long it is. A line is looked at once: where no
    /// message begins in it is remembered, whatever packets it has.
    fn head(&mut self) -> Result<Head, Error> {
        let line = match self.line {
            Some(line) => line,
            None => {
                let Some(line) = self.line_end() else {
                    return match () {
                        () if self.dead > 0 => Ok(Head::Garbage),
                        () if self.seen >= MAX_HEAD => Err(Error::HeadTooLong(MAX_HEAD)),
                        () => Ok(Head::Cut),
                    };
                };
                let text = self.buffer.get(..line).unwrap_or_default();
                if !is_first_line(text) {
                    self.dead = first_line_in(text).unwrap_or(line + 1);
                    return Ok(Head::Garbage);
                }
                *self.line.insert(line)
            }
        };
        let from = self.searched.max(line);
        match head::end(&self.buffer, from) {
            Some(end) if end <= MAX_HEAD => Ok(Head::Whole(end)),
            Some(_) => Err(Error::HeadTooLong(MAX_HEAD)),
            None if self.buffer.len() > MAX_HEAD => Err(Error::HeadTooLong(MAX_HEAD)),
            None => {
                self.searched = self.buffer.len().saturating_sub(3);
                Ok(Head::Cut)
            }
        }
    }

    /// Goes on to look for the end of the line.
    fn line_end(&mut self) -> Option<usize> {
        let begun = self.buffer.get(..MAX_HEAD).unwrap_or(&self.buffer);
        let new = begun.get(self.seen..).unwrap_or_default();
        if let Some(at) = new.iter().position(|byte| *byte == b'\n') {
            self.seen += at;
            return Some(self.seen);
        }
        if let Some(at) = new.iter().rposition(|byte| !is_text(*byte)) {
            self.dead = self.seen + at + 1;
        }
        self.seen = self.seen.max(begun.len());
        None
    }

    /// The message whose head has `length` bytes; `None` if its body is not there yet.
    fn message(&mut self, length: usize) -> Result<Option<Incoming>, Error> {
        let text = String::from_utf8_lossy(self.buffer.get(..length).unwrap_or_default());
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let mut fields = Fields::default();
        let read = fields.read(lines, |name| name);
        read.map_err(|head::TooMany| Error::TooManyFields(MAX_FIELDS))?;
        let mut words = first.split_ascii_whitespace();
        let [one, two] = [words.next(), words.next()].map(Option::unwrap_or_default);
        let is_tunnel = one == "POST" && first.contains("HTTP/");
        let body = match fields.get("Content-Length").filter(|_| !is_tunnel) {
            Some(text) => {
                let announced: u64 =
                    text.parse().map_err(|_| Error::ContentLength(text.to_owned()))?;
                let length = usize::try_from(announced).ok().filter(|length| *length <= MAX_BODY);
                length.ok_or(Error::BodyTooLong(announced))?
            }
            None => 0,
        };
        if self.buffer.len() < length + body {
            self.needed = length + body;
            return Ok(None);
        }
        let incoming = if one.starts_with("RTSP/") {
            let status = Status(two.parse().unwrap_or_default());
            let reason = words.collect::<Vec<_>>().join(" ");
            let (fields, body) = (fields, self.take(length, body));
            Incoming::Response(Response { status, reason, fields, body })
        } else {
            let version = match first.rsplit(' ').next().unwrap_or_default().trim() {
                "RTSP/1.0" => Version::Rtsp1,
                other if other.starts_with("HTTP/") => Version::Http,
                _ => Version::Other,
            };
            let method = Method::parse(one, version == Version::Http);
            let (uri, body) = (two.to_owned(), self.take(length, body));
            Incoming::Request(Request { method, uri, version, fields, body })
        };
        Ok(Some(incoming))
    }

    /// Takes a message off the buffer; its body.
    fn take(&mut self, head: usize, body: usize) -> Bytes {
        self.good();
        self.advance(head);
        self.split_to(body).freeze()
    }

    fn good(&mut self) {
        (self.garbage, self.needed) = (0, 0);
    }

    fn skip(&mut self, count: usize) -> Result<(), Error> {
        let blank = matches!(self.buffer.first(), Some(b'\r' | b'\n'));
        self.garbage += if blank && self.garbage == 0 { 0 } else { count };
        self.advance(count.min(self.buffer.len()));
        if self.garbage > MAX_GARBAGE { Err(Error::Garbage(MAX_GARBAGE)) } else { Ok(()) }
    }

    fn advance(&mut self, count: usize) {
        self.split_to(count);
    }

    /// Takes bytes off the buffer. What is known about those behind them stays.
    fn split_to(&mut self, count: usize) -> BytesMut {
        (self.line, self.searched) = (None, 0);
        self.dead = self.dead.saturating_sub(count);
        self.seen = self.seen.saturating_sub(count);
        self.buffer.split_to(count)
    }

    /// What has arrived and is not read, for whoever reads the connection from here on.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.buffer.freeze()
    }
}

enum Packet {
    Whole(Incoming),
    Cut,
    Unlikely,
}

enum Head {
    Whole(usize),
    Cut,
    Garbage,
}

/// Whether it is no control character, which no first line has.
fn is_text(byte: u8) -> bool {
    byte >= b' ' || byte == b'\r'
}

fn is_protocol(word: &str) -> bool {
    word.starts_with("RTSP/") || word.starts_with("HTTP/")
}

fn is_of_method(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'_' || byte == b'-'
}

/// `METHOD uri RTSP/x`, `RTSP/x status reason`, or the same of HTTP.
fn is_first_line(line: &[u8]) -> bool {
    if !line.iter().all(|byte| is_text(*byte)) {
        return false;
    }
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let line = line.trim_end();
    let first = line.split(' ').next().unwrap_or_default();
    let last = line.rsplit(' ').next().unwrap_or_default();
    is_protocol(first) || (first.bytes().all(is_of_method) && is_protocol(last))
}

/// Where a first line begins within a line that is none: what was lost before it had no end.
fn first_line_in(line: &[u8]) -> Option<usize> {
    // Neither control characters nor what is no text may follow.
    let control = line.iter().rposition(|byte| !is_text(*byte));
    let after = line.get(control.map_or(0, |at| at + 1)..)?;
    let last_chunk = after.utf8_chunks().last().filter(|chunk| chunk.invalid().is_empty())?;
    let text = last_chunk.valid();
    let mut at = line.len() - text.len();
    let text = text.trim_end();
    let has_method = text.rsplit_once(' ').is_some_and(|(_, last)| is_protocol(last));
    for word in text.split_inclusive(' ') {
        let (word, whole) = (word.trim_end_matches(' '), word.len());
        let protocol = ["RTSP/", "HTTP/"].into_iter().filter_map(|name| word.find(name)).min();
        let method = word.len() - word.bytes().rev().take_while(|byte| is_of_method(*byte)).count();
        let method = word.get(method..)?.find(|c: char| c.is_ascii_uppercase()).map(|n| method + n);
        if let Some(start) = protocol.into_iter().chain(method.filter(|_| has_method)).min() {
            let start = at + start;
            return line.get(start..).is_some_and(is_first_line).then_some(start);
        }
        at += whole;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Incoming>, Error> {
        let mut decoder = Decoder::new();
        decoder.expect_channel(0);
        decoder.push(bytes);
        let mut incoming = Vec::new();
        while let Some(next) = decoder.poll()? {
            incoming.push(next);
        }
        Ok(incoming)
    }

    fn methods(bytes: &[u8]) -> Vec<String> {
        let name = |incoming| match incoming {
            Incoming::Request(request) => request.method.to_string(),
            Incoming::Response(response) => response.status.0.to_string(),
            Incoming::Data { channel, payload } => format!("{channel}:{}", payload.len()),
        };
        all(bytes).unwrap().into_iter().map(name).collect()
    }

    #[test]
    fn messages_and_packets_follow_each_other() {
        let bytes = b"OPTIONS * RTSP/1.0\r\nCseq: 1\r\n\r\n$\x00\x00\x03abc\r\n\
            PLAY rtsp://h/a RTSP/1.0\nCSEQ:2\nRange: npt=0-\n\n$\x01\x00\x00\
            RTSP/1.0 200 OK\r\nCSeq: 9\r\nContent-length: 2\r\n\r\nhiTEARDOWN x RTSP/1.0\r\n\r\n";
        assert_eq!(methods(bytes), ["OPTIONS", "0:3", "PLAY", "1:0", "200", "TEARDOWN"]);
        let Incoming::Request(first) = &all(bytes).unwrap()[0] else { panic!() };
        assert_eq!(first.cseq(), Some("1"));
    }

    #[test]
    fn garbage_is_passed_over_to_the_next_expected_packet_or_message() {
        let bytes =
            b"\x17\x42$\x99\x00\x01XGARBAGE here\n\x00$\x00\x00\x01yPAUSE u RTSP/1.0\r\n\r\n";
        assert_eq!(methods(bytes), ["0:1", "PAUSE"]);
        assert_eq!(all(&[0x17; 70_000]), Err(Error::Garbage(MAX_GARBAGE)));
    }

    #[test]
    fn a_message_is_found_behind_garbage_of_its_own_line() {
        let garbage = ["\x01ab", "X y", "9TEARDOWN u RTSP/1.0\x01", "RTS", "A RTSP/1.0\x02", "P\n"];
        for garbage in garbage {
            let bytes = format!("{garbage}\x02PAUSE u RTSP/1.0\r\n\r\nRTSP/1.0 200 OK\r\n\r\n");
            assert_eq!(methods(bytes.as_bytes()), ["PAUSE", "200"], "{garbage:?}");
        }
        assert_eq!(methods(b"A\xffPLAY u RTSP/1.0\n\nA b RTSP/1.0 404 no\n\n"), ["PLAY", "404"]);
    }

    #[test]
    fn garbage_is_looked_at_once() {
        let line = |length: usize| [&vec![b'A'; length][..], b"\n"].concat();
        let lines = [line(16_300), line(16_300), line(16_300), line(14_000)].concat();
        let half_text = [b"A \x01".repeat(5_000), line(16_300), line(16_300)].concat();
        // A line of packets that come between a letter each.
        let packets = b"$\x00\x00\x00A".repeat(12_000);
        for garbage in [lines, half_text, packets] {
            let mut decoder = Decoder::new();
            decoder.expect_channel(0);
            for _ in 0..100 {
                decoder.push(&garbage);
                decoder.push(b"OPTIONS * RTSP/1.0\r\n\r\n");
                while let Some(incoming) = decoder.poll().unwrap() {
                    if matches!(incoming, Incoming::Request(_)) {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_looked_at_once() {
        for begin in ["OPTIONS ".to_owned(), format!("A {} RTSP/1.0\r\nA: ", "a".repeat(8_000))] {
            for _ in 0..20 {
                let mut decoder = Decoder::new();
                decoder.push(begin.as_bytes());
                for _ in 0..8_000 {
                    decoder.push(b"a");
                    assert_eq!(decoder.poll(), Ok(None));
                }
            }
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let message =
            |length: &str| format!("ANNOUNCE u RTSP/1.0\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(all(message("-5").as_bytes()), Err(Error::ContentLength("-5".to_owned())));
        assert_eq!(all(message("99999999").as_bytes()), Err(Error::BodyTooLong(99_999_999)));
        assert_eq!(all(message("4").as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn floods_of_fields_and_endless_heads_are_refused() {
        let many = format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(all(many.as_bytes()), Err(Error::TooManyFields(MAX_FIELDS)));
        let long = format!("OPTIONS * RTSP/1.0\r\nA: {}", "b".repeat(MAX_HEAD));
        assert_eq!(all(long.as_bytes()), Err(Error::HeadTooLong(MAX_HEAD)));
        assert_eq!(all(&[b'A'; MAX_HEAD]), Err(Error::HeadTooLong(MAX_HEAD)));
    }

    #[test]
    fn tunnels_are_requests_of_http() {
        let post = b"POST /live/a HTTP/1.0\r\nContent-Length: 32767\r\n\r\nREVTQ1JJ";
        let [Incoming::Request(request)] = &all(&post[..post.len() - 8]).unwrap()[..] else {
            panic!()
        };
        assert_eq!((&request.method, request.version), (&Method::HttpPost, Version::Http));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(cut in 1usize..40) {
            let mut request = Request::new(Method::Announce, "rtsp://h/a");
            request.fields.push("CSeq", "1");
            request.body = Bytes::from_static(b"v=0\r\nm=video 0 RTP/AVP 96\r\n");
            let mut bytes = request.to_bytes().to_vec();
            bytes.extend_from_slice(b"$\x00\x00\x03abcPLAY u RTSP/1.0\r\n\r\n");
            let mut decoder = Decoder::new();
            let mut got = Vec::new();
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                while let Some(next) = decoder.poll().unwrap() {
                    got.push(next);
                }
            }
            prop_assert_eq!(got, all(&bytes).unwrap());
        }

        #[test]
        fn any_split_of_garbage_gives_the_same(
            pieces in prop::collection::vec(0usize..12, 0..40), cut in 1usize..20,
        ) {
            let kinds: [&[u8]; 12] = [
                b"A", b" ", b"\n", b"\r\n", b"\x01", b"$\x00\x00\x01A", b"$\x05\x00\x00", b"a", b"\xff",
                b"OPTIONS * RTSP/1.0\r\n\r\n", b"RTSP/1.0 200 OK\n\n", b" RTSP/1.0",
            ];
            let bytes: Vec<u8> = pieces.iter().flat_map(|piece| kinds[*piece]).copied().collect();
            let mut decoder = Decoder::new();
            decoder.expect_channel(0);
            let mut got = Vec::new();
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                while let Some(next) = decoder.poll().unwrap() {
                    got.push(next);
                }
            }
            prop_assert_eq!(got, all(&bytes).unwrap());
        }

        #[test]
        fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = all(&bytes);
        }

        #[test]
        fn damaged_conversations_are_survived(at in 0usize..80, with in any::<u8>()) {
            let mut bytes = b"ANNOUNCE u RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0$\x00\x00\x01aPLAY u RTSP/1.0\r\n\r\n".to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            let _ = all(&bytes);
        }
    }
}
