//! The incremental decoder: bytes in at any split, messages and control frames out.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

use super::{Error, MAX_CONTROL, MAX_HEADER, Opcode, mask};

/// Which end the reader is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads what clients send: every frame must be masked.
    Server,
    /// Reads what servers send: no frame may be masked.
    Client,
}

/// What a peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole message of text, checked to be UTF-8.
    Text(String),
    /// A whole message of bytes.
    Binary(Bytes),
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// The answer to a ping, or an unasked sign of life.
    Pong(Bytes),
    /// To be answered with a close frame, unless one was sent. Nothing follows it.
    Close {
        /// Why, if the peer says.
        code: Option<u16>,
        /// In words; often empty.
        reason: String,
    },
}

/// Decodes the frames of one direction of a connection.
///
/// Between frames it holds no buffer; within a message it holds what has arrived of it, never what
/// was only announced.
pub struct Reader {
    role: Role,
    limit: usize,
    state: State,
    message: Option<Message>,
}

/// Where in a frame the input ends.
enum State {
    Header {
        bytes: [u8; MAX_HEADER],
        have: usize,
    },
    Data {
        payload: Payload,
    },
    Control {
        opcode: Opcode,
        payload: Payload,
        bytes: BytesMut,
    },
    /// After a close frame, everything is ignored (section 5.5.1).
    Closed,
    Failed(Error),
}

const START: State = State::Header { bytes: [0; MAX_HEADER], have: 0 };

/// How much of a frame's payload is to come, and how to unmask it.
#[derive(Clone, Copy)]
struct Payload {
    fin: bool,
    remaining: usize,
    key: Option<[u8; 4]>,
    /// How much has come.
    phase: usize,
}

/// A message of which at least a frame's header has come.
struct Message {
    is_text: bool,
    bytes: BytesMut,
}

/// A frame's header.
struct Header {
    opcode: Opcode,
    fin: bool,
    len: u64,
    key: Option<[u8; 4]>,
}

impl Reader {
    /// A reader at the start of a connection, after the heads. It refuses messages longer than
    /// `limit`, see [`VIEWER_MESSAGE`](super::VIEWER_MESSAGE).
    #[must_use]
    pub fn new(role: Role, limit: usize) -> Self {
        Self { role, limit, state: START, message: None }
    }

    /// Takes bytes off the front of `input` until something is whole. `None` means that all of
    /// `input` was taken and more is needed; otherwise call again, with what is left.
    ///
    /// # Errors
    /// What the peer did wrong; close with [`Error::close_code`]. The reader stays in that state.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Error> {
        let result = self.advance(input);
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.message = None;
        }
        result
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Error> {
        loop {
            match &mut self.state {
                State::Header { bytes, have } => {
                    let Some(header) = read_header(input, bytes, have)? else { return Ok(None) };
                    self.begin(&header)?;
                }
                State::Data { payload } => {
                    // `begin` sets the message before this state.
                    let message = self.message.get_or_insert_with(Message::binary);
                    if !payload.take(input, &mut message.bytes) {
                        return Ok(None);
                    }
                    let fin = payload.fin;
                    self.state = START;
                    if fin && let Some(message) = self.message.take() {
                        return message.into_event().map(Some);
                    }
                }
                State::Control { opcode, payload, bytes } => {
                    if !payload.take(input, bytes) {
                        return Ok(None);
                    }
                    let event = control_event(*opcode, std::mem::take(bytes).freeze())?;
                    let is_close = matches!(event, Event::Close { .. });
                    self.state = if is_close { State::Closed } else { START };
                    if is_close {
                        self.message = None;
                    }
                    return Ok(Some(event));
                }
                State::Closed => {
                    input.advance(input.len());
                    return Ok(None);
                }
                State::Failed(error) => return Err(*error),
            }
        }
    }

    /// Checks a header against the role, the limit and the message in progress.
    fn begin(&mut self, header: &Header) -> Result<(), Error> {
        match (self.role, header.key) {
            (Role::Server, None) => return Err(Error::Unmasked),
            (Role::Client, Some(_)) => return Err(Error::Masked),
            _ => {}
        }
        let opcode = header.opcode;
        let is_control = opcode.is_control();
        let (have, limit) = match (&self.message, opcode) {
            (_, Opcode::Close | Opcode::Ping | Opcode::Pong) => (0, MAX_CONTROL),
            (None, Opcode::Continuation) => return Err(Error::Continuation),
            (Some(_), Opcode::Text | Opcode::Binary) => return Err(Error::Interleaved),
            (None, _) => (0, self.limit),
            (Some(message), _) => (message.bytes.len(), self.limit),
        };
        let fits = |len: &usize| have.checked_add(*len).is_some_and(|whole| whole <= limit);
        let remaining = match usize::try_from(header.len).ok().filter(fits) {
            Some(len) => len,
            None if is_control => return Err(Error::Control),
            None => {
                return Err(Error::TooBig { len: header.len.saturating_add(wide(have)), limit });
            }
        };
        if is_control && !header.fin {
            return Err(Error::Control);
        }
        let payload = Payload { fin: header.fin, remaining, key: header.key, phase: 0 };
        self.state = if is_control {
            State::Control { opcode, payload, bytes: BytesMut::new() }
        } else {
            self.message.get_or_insert_with(|| Message {
                is_text: opcode == Opcode::Text,
                bytes: BytesMut::new(),
            });
            State::Data { payload }
        };
        Ok(())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Header { .. } => "header",
            State::Data { .. } => "data",
            State::Control { .. } => "control",
            State::Closed => "closed",
            State::Failed(_) => "failed",
        };
        f.debug_struct("Reader").field("role", &self.role).field("state", &state).finish()
    }
}

impl Payload {
    /// Moves what `input` has of the payload to `out`; whether it is now whole.
    fn take(&mut self, input: &mut &[u8], out: &mut BytesMut) -> bool {
        let len = self.remaining.min(input.len());
        let start = out.len();
        out.extend_from_slice(input.get(..len).unwrap_or_default());
        input.advance(len);
        if let Some(key) = self.key {
            mask(out.get_mut(start..).unwrap_or_default(), key, self.phase);
        }
        self.phase = self.phase.wrapping_add(len);
        self.remaining -= len;
        self.remaining == 0
    }
}

impl Message {
    fn binary() -> Self {
        Self { is_text: false, bytes: BytesMut::new() }
    }

    fn into_event(self) -> Result<Event, Error> {
        let bytes = self.bytes.freeze();
        if self.is_text { utf8(&bytes).map(Event::Text) } else { Ok(Event::Binary(bytes)) }
    }
}

/// Gathers a header byte by byte until it is whole, however it is split.
fn read_header(
    input: &mut &[u8],
    bytes: &mut [u8; MAX_HEADER],
    have: &mut usize,
) -> Result<Option<Header>, Error> {
    loop {
        let seen = bytes.get(..*have).unwrap_or_default();
        if let Some(header) = parse_header(seen)? {
            return Ok(Some(header));
        }
        // A header that is not whole is shorter than the longest one.
        let (Some(slot), Some((byte, rest))) = (bytes.get_mut(*have), input.split_first()) else {
            return Ok(None);
        };
        *slot = *byte;
        *have += 1;
        *input = rest;
    }
}

/// Parses a whole header, or refuses one as early as its bytes show why.
fn parse_header(bytes: &[u8]) -> Result<Option<Header>, Error> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Error::Reserved(first));
    }
    let opcode = Opcode::from_wire(first & 0x0F).ok_or(Error::Opcode(first & 0x0F))?;
    let Some((&second, rest)) = rest.split_first() else { return Ok(None) };
    let (len, shortest, rest) = match second & 0x7F {
        126 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from_be_bytes(*len), 1 << 16, rest),
            None => return Ok(None),
        },
        len => (u64::from(len), 0, rest),
    };
    if len < shortest || len > u64::MAX >> 1 {
        return Err(Error::Length(len));
    }
    let key = if second & 0x80 == 0 {
        None
    } else {
        match rest.first_chunk() {
            Some(key) => Some(*key),
            None => return Ok(None),
        }
    };
    Ok(Some(Header { opcode, fin: first & 0x80 != 0, len, key }))
}

fn control_event(opcode: Opcode, payload: Bytes) -> Result<Event, Error> {
    Ok(match opcode {
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        _ => match payload.split_first_chunk() {
            Some((code, reason)) => {
                let code = u16::from_be_bytes(*code);
                if !may_be_sent(code) {
                    return Err(Error::Close);
                }
                Event::Close { code: Some(code), reason: utf8(reason)? }
            }
            None if payload.is_empty() => Event::Close { code: None, reason: String::new() },
            None => return Err(Error::Close),
        },
    })
}

/// The codes of section 7.4 and its registry that may appear in a frame.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn utf8(bytes: &[u8]) -> Result<String, Error> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Error::Utf8)
}

/// A buffer's length; no platform has addresses wider than 64 bits.
fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
