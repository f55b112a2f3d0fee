//! Chunks to messages: RTMP 1.0 §5.3.1, with what real peers do differently.
//!
//! * Type-3 chunks of a message with an extended time repeat it (Flash, ffmpeg) or do not (old
//!   librtmp): the next four bytes are the time exactly if they equal it.
//! * A type-3 chunk that begins a message advances the time by the last delta, and after a type-0
//!   header by that header's time, as §5.3.1.2.4 says and ffmpeg's muxer counts on; not after an
//!   extended one, where it would advance by hours.
//! * The first header on a chunk stream may be of type 1 (librtmp's control messages).
//! * Type-1 and type-2 headers are accepted as continuations if they repeat the message's length
//!   and type.

use bytes::Bytes;

use super::{EXTENDED, Size};
use crate::Error;
use crate::message::{Control, Kind, Message};

/// What a peer may make a [`Reader`] hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest message that is accepted.
    pub max_message_size: usize,
    /// How many chunk streams may be in use.
    pub max_chunk_streams: usize,
    /// What the incomplete messages of all chunk streams together may hold.
    pub max_partial_bytes: usize,
}

impl Limits {
    /// For a peer that sends media: the key frame of a 200 Mbit/s stream fits four times over.
    /// Two messages may be incomplete at their full size, since encoders interleave audio and
    /// video; 64 chunk streams are ten times what any encoder uses.
    pub const MEDIA: Self =
        Self { max_message_size: 8 << 20, max_chunk_streams: 64, max_partial_bytes: 16 << 20 };

    /// For a peer that only sends commands: a connect object with every extension is below 4 KiB.
    pub const COMMANDS: Self =
        Self { max_message_size: 64 << 10, max_chunk_streams: 64, max_partial_bytes: 128 << 10 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::MEDIA
    }
}

/// Reassembles messages from the bytes of one direction of a connection.
///
/// It keeps nothing but incomplete messages, and what each chunk stream's next header may leave
/// out. Set Chunk Size and Abort take effect at once, and are handed out all the same. The work
/// is proportional to the bytes read, whatever the chunk size: one header per byte at worst.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    size: Size,
    streams: Vec<Stream>,
    /// Payload bytes held by all of `streams`.
    partial: usize,
    phase: Phase,
    head: Scratch<MAX_HEADER>,
    /// Bytes that looked like the beginning of a repeated extended time, but were not.
    replay: Scratch<4>,
}

/// The longest header: basic (3), message (11), extended time (4).
const MAX_HEADER: usize = 18;

/// Incomplete messages begin with this capacity, or with their own length if that is less.
const MIN_PARTIAL: usize = 512;

/// What a chunk stream remembers between chunks.
#[derive(Debug)]
struct Stream {
    id: u32,
    kind: Kind,
    stream_id: u32,
    timestamp: u32,
    delta: u32,
    length: u32,
    /// The extended time field of the last header, if it had one.
    extended: Option<u32>,
    /// How much of the current message is still to come; 0 between messages.
    missing: u32,
    /// What has come of it.
    partial: Vec<u8>,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Header,
    /// Perhaps a repeated extended time, of which `matched` bytes have come.
    Extended {
        stream: usize,
        matched: u8,
    },
    /// `left` bytes of the chunk.
    Payload {
        stream: usize,
        left: u32,
    },
}

/// How far [`Reader::advance`] came.
enum Step {
    Message(Message),
    /// The input is used up.
    Starved,
    /// `replay` has bytes that come before the input.
    Replay,
}

impl Reader {
    /// Begins after the handshake.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            size: Size::INITIAL,
            streams: Vec::new(),
            partial: 0,
            phase: Phase::Header,
            head: Scratch::default(),
            replay: Scratch::default(),
        }
    }

    /// Changes the limits for messages that begin from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The peer's chunk size.
    #[must_use]
    pub fn chunk_size(&self) -> Size {
        self.size
    }

    /// Takes bytes from the front of `input` until a message is complete. `None` means that the
    /// input is used up: call again with more.
    ///
    /// # Errors
    /// If the peer breaks the protocol or a limit; the reader is of no use then.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            if self.replay.is_empty() {
                match self.advance(input)? {
                    Step::Message(message) => return Ok(Some(message)),
                    Step::Starved => return Ok(None),
                    Step::Replay => continue,
                }
            }
            // Each turn consumes at least one of these bytes, or ends a message without payload.
            let replay = std::mem::take(&mut self.replay);
            let mut rest = replay.as_slice();
            let step = self.advance(&mut rest)?;
            self.replay.fill(usize::MAX, &mut rest);
            if let Step::Message(message) = step {
                return Ok(Some(message));
            }
        }
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(crate) fn heap(&self) -> usize {
        let partial: usize = self.streams.iter().map(|stream| stream.partial.capacity()).sum();
        self.streams.capacity() * size_of::<Stream>() + partial
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Step, Error> {
        loop {
            match self.phase {
                Phase::Header => {
                    let Some(header) = self.read_header(input)? else { return Ok(Step::Starved) };
                    self.begin_chunk(&header)?;
                }
                Phase::Extended { stream, matched } => {
                    if let Some(step) = self.match_extended(stream, matched, input) {
                        return Ok(step);
                    }
                }
                Phase::Payload { stream, left } => {
                    if let Some(step) = self.read_payload(stream, left, input)? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// Gathers and parses a chunk header.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<ChunkHeader>, Error> {
        if self.head.is_empty() && input.len() >= MAX_HEADER {
            let mut r = media::Reader::new(input);
            let header = ChunkHeader::parse(&mut r)?;
            *input = r.rest();
            return Ok(Some(header));
        }
        loop {
            let wanted = ChunkHeader::len(self.head.as_slice());
            if self.head.as_slice().len() == wanted {
                let header = ChunkHeader::parse(&mut media::Reader::new(self.head.as_slice()))?;
                self.head = Scratch::default();
                return Ok(Some(header));
            }
            if !self.head.fill(wanted, input) {
                return Ok(None);
            }
        }
    }

    /// Applies a header to its chunk stream.
    fn begin_chunk(&mut self, header: &ChunkHeader) -> Result<(), Error> {
        let index = match self.streams.iter().position(|s| s.id == header.chunk_stream) {
            Some(index) => index,
            None => self.open_stream(header)?,
        };
        let limit = self.limits.max_message_size;
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        if stream.missing == 0 {
            stream.begin_message(header, limit)?;
        } else {
            stream.continue_message(header)?;
        }
        let left = stream.missing.min(self.size.get());
        self.phase = match (&header.fields, stream.extended) {
            (Fields::None, Some(_)) => Phase::Extended { stream: index, matched: 0 },
            _ => Phase::Payload { stream: index, left },
        };
        Ok(())
    }

    fn open_stream(&mut self, header: &ChunkHeader) -> Result<usize, Error> {
        let &ChunkHeader { chunk_stream, ref fields, .. } = header;
        let format = match fields {
            Fields::Full { .. } | Fields::SameStream { .. } => None,
            Fields::Delta { .. } => Some(2),
            Fields::None => Some(3),
        };
        if let Some(format) = format {
            return Err(Error::NoHeader { chunk_stream, format });
        }
        let limit = self.limits.max_chunk_streams;
        if self.streams.len() >= limit {
            return Err(Error::TooManyChunkStreams { limit });
        }
        // Most connections use three or four: grow by one and not by doubling.
        self.streams.reserve_exact(1);
        self.streams.push(Stream::new(chunk_stream));
        Ok(self.streams.len() - 1)
    }

    /// Compares the input with the extended time that may be repeated here.
    fn match_extended(&mut self, index: usize, matched: u8, input: &mut &[u8]) -> Option<Step> {
        let (expected, left) = self.streams.get(index).map_or(([0; 4], 0), |stream| {
            let extended = stream.extended.unwrap_or_default();
            (extended.to_be_bytes(), stream.missing.min(self.size.get()))
        });
        let payload = Phase::Payload { stream: index, left };
        let Some(&wanted) = expected.get(usize::from(matched)) else {
            self.phase = payload;
            return None;
        };
        match input.split_first() {
            None => Some(Step::Starved),
            Some((&byte, rest)) if byte == wanted => {
                *input = rest;
                self.phase = Phase::Extended { stream: index, matched: matched + 1 };
                None
            }
            Some(_) => {
                let mut seen = expected.get(..usize::from(matched)).unwrap_or_default();
                self.replay.fill(usize::MAX, &mut seen);
                self.phase = payload;
                Some(Step::Replay)
            }
        }
    }

    /// Takes payload bytes; `None` when the chunk is over and its message is not.
    fn read_payload(
        &mut self,
        index: usize,
        left: u32,
        input: &mut &[u8],
    ) -> Result<Option<Step>, Error> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(Some(Step::Starved)) };
        let (taken, rest) = input.split_at(input.len().min(left as usize));
        // `taken` is no longer than `left`, so the length fits.
        let count = u32::try_from(taken.len()).unwrap_or(left);
        *input = rest;
        if count == stream.missing && stream.partial.is_empty() {
            // The whole message lies here: one copy, of exactly its length.
            stream.missing = 0;
            self.phase = Phase::Header;
            let message = stream.message(Bytes::copy_from_slice(taken));
            return self.complete(message).map(Some);
        }
        self.partial += taken.len();
        if self.partial > self.limits.max_partial_bytes {
            return Err(Error::TooMuchPartial { limit: self.limits.max_partial_bytes });
        }
        stream.append(taken);
        stream.missing -= count;
        if stream.missing == 0 {
            let payload = Bytes::from(std::mem::take(&mut stream.partial));
            self.partial -= payload.len();
            self.phase = Phase::Header;
            let message = stream.message(payload);
            return self.complete(message).map(Some);
        }
        if count == left {
            self.phase = Phase::Header;
            return Ok(None);
        }
        self.phase = Phase::Payload { stream: index, left: left - count };
        Ok(Some(Step::Starved))
    }

    /// Lets the messages that govern the chunk stream itself take effect.
    fn complete(&mut self, message: Message) -> Result<Step, Error> {
        if matches!(message.kind, Kind::SetChunkSize | Kind::Abort) {
            match Control::parse(message.kind, &message.payload)? {
                Some(Control::SetChunkSize(size)) => {
                    self.size = Size::new(size).ok_or(Error::ChunkSize(size))?;
                }
                Some(Control::Abort(id)) => {
                    if let Some(stream) = self.streams.iter_mut().find(|s| s.id == id) {
                        self.partial -= stream.partial.len();
                        stream.partial = Vec::new();
                        stream.missing = 0;
                    }
                }
                _ => {}
            }
        }
        Ok(Step::Message(message))
    }
}

impl Stream {
    fn new(id: u32) -> Self {
        Self {
            id,
            kind: Kind::Other(0),
            stream_id: 0,
            timestamp: 0,
            delta: 0,
            length: 0,
            extended: None,
            missing: 0,
            partial: Vec::new(),
        }
    }

    fn begin_message(&mut self, header: &ChunkHeader, limit: usize) -> Result<(), Error> {
        match header.fields {
            Fields::Full { timestamp, length, kind, stream_id } => {
                (self.length, self.kind, self.stream_id) = (length, kind, stream_id);
                self.timestamp = timestamp;
                self.delta = if header.extended { 0 } else { timestamp };
                self.extended = header.extended.then_some(timestamp);
            }
            Fields::SameStream { delta, length, kind } => {
                (self.length, self.kind) = (length, kind);
                self.advance(delta, header.extended);
            }
            Fields::Delta { delta } => self.advance(delta, header.extended),
            Fields::None => self.timestamp = self.timestamp.wrapping_add(self.delta),
        }
        if self.length as usize > limit {
            return Err(Error::MessageTooLong { length: self.length as usize, limit });
        }
        self.missing = self.length;
        Ok(())
    }

    fn advance(&mut self, delta: u32, extended: bool) {
        self.delta = delta;
        self.timestamp = self.timestamp.wrapping_add(delta);
        self.extended = extended.then_some(delta);
    }

    /// Checks that a header within a message does not contradict it.
    fn continue_message(&self, header: &ChunkHeader) -> Result<(), Error> {
        let agrees = match header.fields {
            Fields::Full { .. } => false,
            Fields::SameStream { length, kind, .. } => length == self.length && kind == self.kind,
            Fields::Delta { .. } | Fields::None => true,
        };
        if agrees {
            Ok(())
        } else {
            Err(Error::Interrupted { chunk_stream: self.id, missing: self.missing })
        }
    }

    /// Adds to the incomplete message; its capacity stays below twice what has come, and never
    /// exceeds the announced length.
    fn append(&mut self, bytes: &[u8]) {
        let have = self.partial.len();
        if self.partial.capacity() - have < bytes.len() {
            let grow = bytes.len().max(have).max(MIN_PARTIAL);
            self.partial.reserve_exact(grow.min(self.missing as usize));
        }
        self.partial.extend_from_slice(bytes);
    }

    fn message(&self, payload: Bytes) -> Message {
        let Self { id: chunk_stream, kind, stream_id, timestamp, .. } = *self;
        Message { chunk_stream, kind, stream_id, timestamp, payload }
    }
}

/// A chunk's basic and message header.
struct ChunkHeader {
    chunk_stream: u32,
    fields: Fields,
    /// Whether the time was in an extended field.
    extended: bool,
}

/// The message header, by `fmt`.
enum Fields {
    Full { timestamp: u32, length: u32, kind: Kind, stream_id: u32 },
    SameStream { delta: u32, length: u32, kind: Kind },
    Delta { delta: u32 },
    None,
}

impl ChunkHeader {
    /// How long the header is that begins with these bytes, as far as they tell.
    fn len(head: &[u8]) -> usize {
        let Some(&first) = head.first() else { return 1 };
        let basic = match first & 0x3F {
            0 => 2,
            1 => 3,
            _ => 1,
        };
        let len = basic
            + match first >> 6 {
                0 => 11,
                1 => 7,
                2 => 3,
                _ => return basic,
            };
        let time = head.get(basic..basic + 3);
        if head.len() >= len && time == Some(&[0xFF; 3]) { len + 4 } else { len }
    }

    fn parse(r: &mut media::Reader<'_>) -> Result<Self, media::Error> {
        let first = r.u8()?;
        let chunk_stream = match first & 0x3F {
            0 => 64 + u32::from(r.u8()?),
            1 => 64 + u32::from(u16::from_le_bytes(r.array()?)),
            id => u32::from(id),
        };
        let format = first >> 6;
        if format == 3 {
            return Ok(Self { chunk_stream, fields: Fields::None, extended: false });
        }
        let short = r.u24()?;
        let (mut length, mut kind, mut stream_id) = (0, Kind::Other(0), 0);
        if format < 2 {
            length = r.u24()?;
            kind = Kind::from(r.u8()?);
        }
        if format == 0 {
            stream_id = u32::from_le_bytes(r.array()?);
        }
        let extended = short == EXTENDED;
        let time = if extended { r.u32()? } else { short };
        let fields = match format {
            0 => Fields::Full { timestamp: time, length, kind, stream_id },
            1 => Fields::SameStream { delta: time, length, kind },
            _ => Fields::Delta { delta: time },
        };
        Ok(Self { chunk_stream, fields, extended })
    }
}

/// A few bytes, gathered in place.
#[derive(Debug, Clone, Copy)]
struct Scratch<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Default for Scratch<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Scratch<N> {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes bytes from the input until there are `wanted` (at most `N`); whether there are.
    fn fill(&mut self, wanted: usize, input: &mut &[u8]) -> bool {
        let have = usize::from(self.len);
        let place = self.bytes.get_mut(have..wanted.min(N)).unwrap_or_default();
        let (taken, rest) = input.split_at(place.len().min(input.len()));
        for (to, from) in place.iter_mut().zip(taken) {
            *to = *from;
            self.len += 1;
        }
        *input = rest;
        usize::from(self.len) >= wanted
    }
}

#[cfg(test)]
mod tests;
