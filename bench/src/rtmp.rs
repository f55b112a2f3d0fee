//! As much of an RTMP client as a bench needs: a plain handshake, four commands, and messages in
//! type-0 and type-3 chunks (RTMP 1.0 §5).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::{BufMut, Bytes, BytesMut};

use crate::scan::{Message, RtmpScanner};
use crate::socket::write_patiently;

/// Bytes of C1, S1, C2 and S2 (§5.2).
pub(crate) const HANDSHAKE: usize = 1536;
/// Bytes of S0, S1 and S2.
pub const SERVER_HANDSHAKE: usize = 1 + 2 * HANDSHAKE;
/// The chunk size before anything else is announced (§5.4.1).
pub(crate) const INITIAL_CHUNK: usize = 128;
/// The chunk size that a publisher announces; nginx refuses more than 65536.
const PUBLISH_CHUNK: u32 = 60_000;

/// How long a publisher waits for each of the server's answers.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Message types (§5.4, §7.1) that the bench tells apart.
pub mod kind {
    #![allow(missing_docs)] // the names are the specification's
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_SIZE: u8 = 5;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const COMMAND: u8 = 20;
}

/// C0 and C1, or S0 and S1.
#[must_use]
pub fn hello() -> Bytes {
    let mut out = BytesMut::with_capacity(1 + HANDSHAKE);
    out.put_u8(3);
    out.put_u64(0);
    let mut random = testkit::Random::new(1);
    while out.len() < 1 + HANDSHAKE {
        out.put_u64(random.bits());
    }
    out.freeze()
}

/// C2, the echo of S1, if `received` holds the server's whole handshake.
#[must_use]
pub fn echo(received: &[u8]) -> Option<&[u8]> {
    received.get(..SERVER_HANDSHAKE)?.get(1..=HANDSHAKE)
}

/// The `connect` command.
#[must_use]
pub fn connect(app: &str, tc_url: &str) -> Bytes {
    let mut body = command("connect", 1.0);
    body.put_u8(3);
    for (name, value) in [("app", app), ("tcUrl", tc_url), ("flashVer", "LNX 9,0,124,2")] {
        put_key(&mut body, name);
        put_string(&mut body, value);
    }
    for (name, value) in [("capabilities", 15.0), ("audioCodecs", 4071.0), ("videoCodecs", 252.0)] {
        put_key(&mut body, name);
        put_number(&mut body, value);
    }
    body.put_slice(&[0, 0, 9]);
    message(3, kind::COMMAND, 0, 0, &body, INITIAL_CHUNK)
}

/// The `createStream` command.
#[must_use]
pub fn create_stream() -> Bytes {
    let mut body = command("createStream", 2.0);
    body.put_u8(5);
    message(3, kind::COMMAND, 0, 0, &body, INITIAL_CHUNK)
}

/// The `play` command, and the buffer length that players announce with it.
#[must_use]
pub fn play(name: &str, stream: u32) -> Bytes {
    let mut body = command("play", 3.0);
    body.put_u8(5);
    put_string(&mut body, name);
    put_number(&mut body, -2000.0);
    let mut out = BytesMut::from(&message(8, kind::COMMAND, 0, stream, &body, INITIAL_CHUNK)[..]);
    let mut buffer = BytesMut::new();
    buffer.put_u16(3);
    buffer.put_u32(stream);
    buffer.put_u32(1000);
    out.put_slice(&message(2, kind::USER_CONTROL, 0, 0, &buffer, INITIAL_CHUNK));
    out.freeze()
}

/// The answer to a ping request with this body, if it is one (§7.1.7).
#[must_use]
pub fn pong(user_control: &[u8]) -> Option<Bytes> {
    let [0, 6, time @ ..] = user_control else { return None };
    let mut body = BytesMut::from(&[0, 7][..]);
    body.put_slice(time);
    Some(message(2, kind::USER_CONTROL, 0, 0, &body, INITIAL_CHUNK))
}

/// An acknowledgement of `received` bytes (§5.4.3).
#[must_use]
pub fn acknowledgement(received: u64) -> Bytes {
    let [.., a, b, c, d] = received.to_be_bytes();
    message(2, kind::ACKNOWLEDGEMENT, 0, 0, &[a, b, c, d], INITIAL_CHUNK)
}

/// What a `_result` says: the transaction, and the number after the first value if it is one.
#[must_use]
pub fn result(command: &[u8]) -> Option<(f64, Option<f64>)> {
    let number = |bytes: &[u8]| bytes.first_chunk().copied().map(f64::from_be_bytes);
    let rest = command.strip_prefix(b"\x02\0\x07_result\0")?;
    let transaction = number(rest)?;
    let value = rest.get(8..).and_then(|rest| rest.strip_prefix(b"\x05\0")).and_then(number);
    Some((transaction, value))
}

/// Whether a command is a refusal.
#[must_use]
pub fn is_error(command: &[u8]) -> bool {
    let says = |word: &[u8]| command.windows(word.len()).any(|window| window == word);
    command.starts_with(b"\x02\0\x06_error")
        || (command.starts_with(b"\x02\0\x08onStatus") && says(b"\x02\0\x05error"))
}

/// A message in chunks of `chunk` bytes; times above 24 bits get the extended field.
#[must_use]
pub fn message(
    chunk_stream: u8,
    kind: u8,
    time: u32,
    stream: u32,
    body: &[u8],
    chunk: usize,
) -> Bytes {
    let chunks = body.len() / chunk + 1;
    let mut out = BytesMut::with_capacity(body.len() + 16 + 5 * chunks);
    let extended = time >= 0xFF_FFFF;
    let [.., t2, t1, t0] = if extended { [0xFF; 4] } else { time.to_be_bytes() };
    let [.., l2, l1, l0] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.put_slice(&[chunk_stream, t2, t1, t0, l2, l1, l0, kind]);
    out.put_u32_le(stream);
    for (index, piece) in body.chunks(chunk).enumerate() {
        if index > 0 {
            out.put_u8(0xC0 | chunk_stream);
        }
        if extended {
            out.put_u32(time);
        }
        out.put_slice(piece);
    }
    out.freeze()
}

/// A connection that publishes one stream.
#[derive(Debug)]
pub struct Publisher {
    socket: TcpStream,
    scanner: RtmpScanner,
    stream: u32,
}

impl Publisher {
    /// Connects and publishes `name` in `app`; blocks until the server has agreed.
    ///
    /// # Errors
    /// When the server doesn't answer, refuses or closes.
    pub fn open(address: &str, app: &str, name: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(OPEN_TIMEOUT))?;
        socket.write_all(&hello())?;
        let mut answer = vec![0; SERVER_HANDSHAKE];
        socket.read_exact(&mut answer)?;
        let mut out = BytesMut::from(echo(&answer).unwrap_or_default());
        out.put_slice(&connect(app, &format!("rtmp://{address}/{app}")));
        socket.write_all(&out)?;
        let mut this = Self { socket, scanner: RtmpScanner::default(), stream: 0 };
        this.wait(|command| result(command).is_some_and(|(transaction, _)| transaction == 1.0))?;
        this.socket.write_all(&create_stream())?;
        let mut stream = 1.0;
        this.wait(|command| {
            let found = result(command).filter(|(transaction, _)| *transaction == 2.0);
            stream = found.and_then(|(_, value)| value).unwrap_or(stream);
            found.is_some()
        })?;
        // The ids that servers hand out are small whole numbers.
        this.stream = (1..=255).find(|&id| f64::from(id) == stream).unwrap_or(1);
        this.socket.write_all(&this.publish(name))?;
        this.wait(|command| command.starts_with(b"\x02\0\x08onStatus"))?;
        this.socket.set_nonblocking(true)?;
        let size = PUBLISH_CHUNK.to_be_bytes();
        this.write(&message(2, kind::SET_CHUNK_SIZE, 0, 0, &size, INITIAL_CHUNK))?;
        Ok(this)
    }

    /// Sends one tag.
    ///
    /// # Errors
    /// When the server closed the connection or takes nothing for ten seconds.
    pub fn send(&mut self, item: &testkit::Item) -> Result<()> {
        let chunk_stream = match item.kind {
            testkit::TagKind::Audio => 4,
            testkit::TagKind::Video => 6,
            testkit::TagKind::Script => 5,
        };
        let [.., a, b, c, d] = item.time.to_be_bytes();
        let time = u32::from_be_bytes([a, b, c, d]);
        let chunk = usize::try_from(PUBLISH_CHUNK).unwrap_or(INITIAL_CHUNK);
        let bytes = message(chunk_stream, item.kind as u8, time, self.stream, &item.body, chunk);
        self.write(&bytes)?;
        self.listen()
    }

    /// Sends the metadata the way that encoders do.
    ///
    /// # Errors
    /// As [`Publisher::send`].
    pub fn send_metadata(&mut self, item: &testkit::Item) -> Result<()> {
        let mut body = BytesMut::new();
        put_string(&mut body, "@setDataFrame");
        body.put_slice(&item.body);
        self.send(&testkit::Item { body: body.freeze(), ..item.clone() })
    }

    fn publish(&self, name: &str) -> Bytes {
        let mut body = command("publish", 3.0);
        body.put_u8(5);
        put_string(&mut body, name);
        put_string(&mut body, "live");
        message(8, kind::COMMAND, 0, self.stream, &body, INITIAL_CHUNK)
    }

    fn wait(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let mut buffer = [0; 4096];
        let (mut found, mut refused) = (false, false);
        while !found {
            let length = self.socket.read(&mut buffer)?;
            if length == 0 {
                bail!("the server closed the connection");
            }
            let received = buffer.get(..length).unwrap_or_default();
            self.scanner.feed(received, &mut |message: Message<'_>| {
                if message.kind == kind::COMMAND {
                    refused |= is_error(message.head);
                    found |= wanted(message.head);
                }
            });
            if refused {
                bail!("the server refused to publish");
            }
        }
        Ok(())
    }

    /// Answers pings and throws everything else away.
    fn listen(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        let mut answer = None;
        match self.socket.read(&mut buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(length) => {
                let received = buffer.get(..length).unwrap_or_default();
                self.scanner.feed(received, &mut |message: Message<'_>| {
                    if message.kind == kind::USER_CONTROL {
                        answer = pong(message.head);
                    }
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        answer.map_or(Ok(()), |bytes| self.write(&bytes))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        write_patiently(&mut self.socket, bytes)
    }
}

pub(crate) fn command(name: &str, transaction: f64) -> BytesMut {
    let mut body = BytesMut::new();
    put_string(&mut body, name);
    put_number(&mut body, transaction);
    body
}

pub(crate) fn put_key(out: &mut BytesMut, text: &str) {
    out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}

pub(crate) fn put_string(out: &mut BytesMut, text: &str) {
    out.put_u8(2);
    put_key(out, text);
}

pub(crate) fn put_number(out: &mut BytesMut, value: f64) {
    out.put_u8(0);
    out.put_f64(value);
}
