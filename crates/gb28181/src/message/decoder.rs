//! Takes datagrams and connections apart (RFC 3261 §7, §18.3; RFC 5626 §4.4.1 for what keeps
//! connections alive).

use bytes::{Buf, Bytes, BytesMut};

use super::fields::full_name;
use super::{Fields, MAX_BODY, MAX_FIELDS, MAX_HEAD, Message, Method, Request, Response, Status};
use crate::Error;

/// A message that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub error: Error,
    /// What was understood of a request, for the answer to it.
    pub request: Option<Box<Request>>,
}

impl From<Error> for Rejected {
    fn from(error: Error) -> Self {
        Self { error, request: None }
    }
}

/// Reads a datagram; `None` if it only keeps a NAT's binding alive.
///
/// A body that is shorter than announced is taken as it is: devices count characters, or count
/// before they convert them.
///
/// # Errors
/// [`Rejected`] when it is no message.
pub fn datagram(bytes: &[u8]) -> Result<Option<Message>, Rejected> {
    let start = bytes.iter().position(|byte| !is_filler(*byte)).unwrap_or(bytes.len());
    let bytes = bytes.get(start..).unwrap_or_default();
    if bytes.is_empty() {
        return Ok(None);
    }
    let length = match head::end(bytes, 0) {
        Some(length) if length <= MAX_HEAD => length,
        Some(_) => return Err(Error::HeadTooLong(MAX_HEAD).into()),
        // Devices that have nothing to say leave the empty line away.
        None if bytes.len() <= MAX_HEAD && bytes.ends_with(b"\n") => bytes.len(),
        None if bytes.len() <= MAX_HEAD => return Err(Error::HeadCut.into()),
        None => return Err(Error::HeadTooLong(MAX_HEAD).into()),
    };
    let mut message = read_head(bytes.get(..length).unwrap_or_default())?;
    let rest = bytes.get(length..).unwrap_or_default();
    let announced = content_length(&mut message)?.unwrap_or(rest.len());
    if announced.min(rest.len()) > MAX_BODY {
        return Err(reject(message, Error::BodyTooLong(rest.len() as u64)));
    }
    let body = rest.get(..announced).unwrap_or(rest);
    set_body(&mut message, Bytes::copy_from_slice(body));
    Ok(Some(message))
}

/// Takes a connection's bytes apart.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// Where the search for the end of a head goes on.
    searched: usize,
    /// The head whose body is not there yet.
    head: Option<(Message, usize)>,
}

impl Decoder {
    /// A connection that has just been made.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what has arrived. [`Decoder::poll`] is to be asked before more is pushed, so that what
    /// waits here is never more than a message and one read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their message, at most.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len() + self.head.as_ref().map_or(0, |_| MAX_HEAD)
    }

    /// The next message; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Rejected`] when nothing sensible can follow: the connection is to be closed.
    pub fn poll(&mut self) -> Result<Option<Message>, Rejected> {
        if self.head.is_none() {
            let filler = self.buffer.iter().take_while(|byte| is_filler(**byte)).count();
            if filler > 0 {
                self.buffer.advance(filler);
                self.searched = 0;
            }
            let length = match head::end(&self.buffer, self.searched) {
                Some(length) if length <= MAX_HEAD => length,
                None if self.buffer.len() <= MAX_HEAD => {
                    // The end may be cut in its middle.
                    self.searched = self.buffer.len().saturating_sub(3);
                    return Ok(None);
                }
                _ => return Err(Error::HeadTooLong(MAX_HEAD).into()),
            };
            let mut message = read_head(self.buffer.get(..length).unwrap_or_default())?;
            let body = content_length(&mut message)?.unwrap_or_default();
            if body > MAX_BODY {
                return Err(reject(message, Error::BodyTooLong(body as u64)));
            }
            self.buffer.advance(length);
            self.searched = 0;
            self.head = Some((message, body));
        }
        match self.head.take() {
            Some((mut message, body)) if self.buffer.len() >= body => {
                set_body(&mut message, self.buffer.split_to(body).freeze());
                if body > MAX_HEAD {
                    // What comes next is not to keep the room for all of it.
                    self.buffer = BytesMut::from(&*self.buffer);
                }
                Ok(Some(message))
            }
            waiting => {
                self.head = waiting;
                Ok(None)
            }
        }
    }
}

/// What stands between messages: line breaks that keep connections alive, and zeros of devices that
/// send their strings with the end.
fn is_filler(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b' ' | b'\t' | 0)
}

fn read_head(bytes: &[u8]) -> Result<Message, Rejected> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let mut message = first_line(first)
        .ok_or_else(|| Error::FirstLine(first.chars().take(60).collect::<String>()))?;
    match fields(&mut message).read(lines, full_name) {
        Ok(()) => Ok(message),
        Err(head::TooMany) => Err(reject(message, Error::TooManyFields(MAX_FIELDS))),
    }
}

/// `METHOD uri SIP/2.0`, or `SIP/2.0 status reason`.
fn first_line(line: &str) -> Option<Message> {
    let mut words = line.split_ascii_whitespace();
    let (one, two) = (words.next()?, words.next()?);
    let is_version = |word: &str| word.get(..4).is_some_and(|w| w.eq_ignore_ascii_case("SIP/"));
    let fields = Fields::default();
    if is_version(one) {
        let status = two.parse().ok().filter(|status| (100..700).contains(status))?;
        let reason = words.collect::<Vec<_>>().join(" ");
        return Some(Message::Response(Response {
            status: Status(status),
            reason,
            fields,
            body: Bytes::new(),
        }));
    }
    let is_method = one.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_.!".contains(&byte));
    if !is_method || !is_version(words.next()?) || words.next().is_some() {
        return None;
    }
    Some(Message::Request(Request::new(Method::parse(one), two)))
}

fn fields(message: &mut Message) -> &mut Fields {
    match message {
        Message::Request(request) => &mut request.fields,
        Message::Response(response) => &mut response.fields,
    }
}

/// Takes the `Content-Length` off a message.
fn content_length(message: &mut Message) -> Result<Option<usize>, Rejected> {
    let Some(text) = fields(message).take("Content-Length") else { return Ok(None) };
    let Ok(announced) = text.trim().parse::<u64>() else {
        let told = text.chars().take(20).collect();
        return Err(reject(message.clone(), Error::ContentLength(told)));
    };
    match usize::try_from(announced) {
        Ok(length) => Ok(Some(length)),
        Err(_) => Err(reject(message.clone(), Error::BodyTooLong(announced))),
    }
}

fn set_body(message: &mut Message, bytes: Bytes) {
    match message {
        Message::Request(request) => request.body = bytes,
        Message::Response(response) => response.body = bytes,
    }
}

fn reject(message: Message, error: Error) -> Rejected {
    let request = match message {
        Message::Request(request) => Some(Box::new(request)),
        Message::Response(_) => None,
    };
    Rejected { error, request }
}
