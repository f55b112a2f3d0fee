//! Peers that say exactly what a test wants them to say: bare sockets, and RTMP message by message.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use flv::amf0::{Object, Value};
use flv::tag::Tag;
use rtmp::chunk;
use rtmp::command::Command;
use rtmp::handshake::{Client, Variant};
use rtmp::message::{Control, Kind, Message};
use testkit::{Item, TagKind};

use crate::{PATIENCE, Server};

/// What is read at once.
const READ_BUFFER: usize = 64 << 10;

/// A connection over which a test says what it likes.
#[derive(Debug)]
pub struct Raw {
    socket: TcpStream,
}

impl Raw {
    /// Connects to one of the server's listeners.
    ///
    /// # Panics
    /// When the server does not accept.
    #[must_use]
    pub fn connect(server: &Server, listener: &str) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", server.port(listener)));
        Self::new(socket.expect("the server accepts"))
    }

    /// As [`Raw::connect`], with a small buffer in the kernel: what is not read fills it soon.
    ///
    /// # Panics
    /// As [`Raw::connect`].
    #[must_use]
    pub fn connect_narrow(server: &Server, listener: &str) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_recv_buffer_size(16 << 10).expect("a small buffer");
        let address = SocketAddr::from(([127, 0, 0, 1], server.port(listener)));
        socket.connect(&address.into()).expect("the server accepts");
        Self::new(socket.into())
    }

    fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("an option");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        Self { socket }
    }

    /// The address that the server knows this peer by, as its log shows it.
    ///
    /// # Panics
    /// When the socket has none.
    #[must_use]
    pub fn name(&self) -> String {
        self.socket.local_addr().expect("an address").to_string()
    }

    /// Sends bytes. A server that has hung up is no failure: the answer tells.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// Reads once, `limit` bytes at most; empty when the connection is closed.
    ///
    /// # Panics
    /// When nothing comes for a long time.
    pub fn read(&mut self, limit: usize) -> Vec<u8> {
        let mut buffer = vec![0; limit];
        match self.socket.read(&mut buffer) {
            Ok(count) => buffer.truncate(count),
            Err(error) => {
                assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "the server says nothing");
                buffer.clear();
            }
        }
        buffer
    }

    /// Reads until the connection is closed.
    ///
    /// # Panics
    /// When it is not closed in time.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let (start, mut all) = (Instant::now(), Vec::new());
        loop {
            let read = self.read(READ_BUFFER);
            if read.is_empty() {
                return all;
            }
            all.extend_from_slice(&read);
            assert!(start.elapsed() < PATIENCE, "the server does not close the connection");
        }
    }

    /// Sends `request` and returns the whole answer, until the connection is closed.
    ///
    /// # Panics
    /// As [`Raw::read_to_end`].
    pub fn ask(&mut self, request: &[u8]) -> String {
        self.send(request);
        String::from_utf8_lossy(&self.read_to_end()).into_owned()
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        // Only fails when the server has hung up, which is as good.
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }
}

/// RTMP, spoken message by message.
#[derive(Debug)]
pub struct Rtmp {
    raw: Raw,
    reader: chunk::Reader,
    input: BytesMut,
}

impl Rtmp {
    /// Connects, shakes hands, and announces the chunk size that it writes with.
    ///
    /// # Panics
    /// When the server does not shake hands.
    #[must_use]
    pub fn shake_hands(server: &Server) -> Self {
        Self::over(Raw::connect(server, "rtmp"))
    }

    /// As [`Rtmp::shake_hands`], over a connection that is there already.
    ///
    /// # Panics
    /// When the server does not shake hands.
    #[must_use]
    pub fn over(mut raw: Raw) -> Self {
        let mut out = BytesMut::new();
        let mut handshake = Client::new(Variant::Plain, 1, &mut out);
        let mut input = BytesMut::new();
        loop {
            raw.send(&out.split());
            let mut bytes: &[u8] = &input;
            let done = handshake.read(&mut bytes, &mut out).expect("a handshake");
            input = BytesMut::from(bytes);
            if done {
                break;
            }
            if out.is_empty() {
                let read = raw.read(READ_BUFFER);
                assert!(!read.is_empty(), "the server hangs up in the handshake");
                input.extend_from_slice(&read);
            }
        }
        Control::SetChunkSize(chunk::Size::DEFAULT.get()).write(&mut out, chunk::Size::INITIAL);
        raw.send(&out);
        Self { raw, reader: chunk::Reader::new(chunk::Limits::MEDIA), input }
    }

    /// The bare connection.
    pub fn raw(&mut self) -> &mut Raw {
        &mut self.raw
    }

    /// Sends a message.
    ///
    /// # Panics
    /// When it is too long for one.
    pub fn send(&mut self, kind: Kind, stream_id: u32, timestamp: u32, payload: &[u8]) {
        let chunk_stream = match kind {
            Kind::Audio => chunk::AUDIO,
            Kind::Video => chunk::VIDEO,
            Kind::DataAmf0 => chunk::DATA,
            _ => chunk::COMMAND,
        };
        let header = chunk::Header { chunk_stream, kind, stream_id, timestamp };
        let mut out = BytesMut::new();
        chunk::write_message(&mut out, header, &[payload], chunk::Size::DEFAULT).expect("fits");
        self.raw.send(&out);
    }

    /// Sends a command.
    pub fn command(&mut self, stream_id: u32, command: &Command) {
        self.send(Kind::CommandAmf0, stream_id, 0, &command.encode());
    }

    /// Sends a frame, or what belongs before the frames, on message stream 1.
    pub fn item(&mut self, item: &Item) {
        let timestamp = u32::try_from(item.time & 0xFFFF_FFFF).unwrap_or_default();
        match item.kind {
            TagKind::Audio => self.send(Kind::Audio, 1, timestamp, &item.body),
            TagKind::Video => self.send(Kind::Video, 1, timestamp, &item.body),
            TagKind::Script => self.send(Kind::DataAmf0, 1, timestamp, &item.body),
        }
    }

    /// The next message; `None` when the connection is closed.
    ///
    /// # Panics
    /// When the server does not speak RTMP, or says nothing for a long time.
    pub fn next_message(&mut self) -> Option<Message> {
        loop {
            let mut bytes: &[u8] = &self.input;
            let message = self.reader.read(&mut bytes).expect("RTMP");
            self.input = BytesMut::from(bytes);
            if message.is_some() {
                return message;
            }
            let read = self.raw.read(READ_BUFFER);
            if read.is_empty() {
                return None;
            }
            self.input.extend_from_slice(&read);
        }
    }

    /// The next command, whatever comes before it; `None` when the connection is closed.
    ///
    /// # Panics
    /// As [`Rtmp::next_message`].
    pub fn next_command(&mut self) -> Option<Command> {
        loop {
            let message = self.next_message()?;
            if message.kind == Kind::CommandAmf0 {
                return Some(Command::parse(message.kind, &message.payload).expect("a command"));
            }
        }
    }

    /// The code of the next status of a message stream; `None` when the connection is closed.
    ///
    /// # Panics
    /// As [`Rtmp::next_message`].
    pub fn next_status(&mut self) -> Option<String> {
        loop {
            let command = self.next_command()?;
            if command.name == "onStatus" {
                let code = command.information().and_then(|info| info.get("code"));
                return code.and_then(Value::as_str).map(str::to_owned);
            }
        }
    }

    /// Connects to an application and waits for the answer.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn connect(&mut self, app: &str) {
        let mut object = Object::new();
        object.insert("app", app);
        object.insert("tcUrl", format!("rtmp://localhost/{app}"));
        self.command(0, &Command::new("connect", 1.0, Value::Object(object)));
        let answer = self.next_command().expect("an answer to connect");
        assert_eq!(answer.name, "_result", "{answer:?}");
    }

    /// Creates message stream 1, asks to publish on it, and returns what the server says to that.
    ///
    /// # Panics
    /// When the server hangs up instead.
    pub fn publish(&mut self, name: &str) -> String {
        self.command(0, &Command::new("createStream", 2.0, Value::Null));
        self.command(1, &publish(name));
        self.next_status().expect("an answer to publish")
    }

    /// Creates message stream 1, asks to play on it, and returns what the server says to that:
    /// `NetStream.Play.Start` if it plays.
    ///
    /// # Panics
    /// When the server hangs up instead.
    pub fn play(&mut self, name: &str) -> String {
        self.command(0, &Command::new("createStream", 2.0, Value::Null));
        self.command(1, &play(name));
        loop {
            let code = self.next_status().expect("an answer to play");
            if code != "NetStream.Play.Reset" {
                return code;
            }
        }
    }
}

/// The command that asks to publish.
#[must_use]
pub fn publish(name: &str) -> Command {
    Command::new("publish", 3.0, Value::Null).with(name).with("live")
}

/// The command that asks to play.
#[must_use]
pub fn play(name: &str) -> Command {
    Command::new("play", 3.0, Value::Null).with(name)
}

/// A publisher that is ready to send items.
///
/// # Panics
/// When it is refused.
#[must_use]
pub fn publisher(server: &Server, app: &str, name: &str) -> Rtmp {
    let mut rtmp = Rtmp::shake_hands(server);
    rtmp.connect(app);
    assert_eq!(rtmp.publish(name), "NetStream.Publish.Start");
    rtmp
}

/// Calls `each` with every item at its time, counted from now, until it returns `false`.
pub fn in_real_time(items: impl IntoIterator<Item = Item>, mut each: impl FnMut(&Item) -> bool) {
    let start = Instant::now();
    let mut first = None;
    for item in items {
        let due = Duration::from_millis(item.time - *first.get_or_insert(item.time));
        while let Some(left) = due.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
        }
        if !each(&item) {
            return;
        }
    }
}

/// A viewer of FLV over HTTP that reads as fast or as slowly as a test wants.
#[derive(Debug)]
pub struct FlvViewer {
    raw: Raw,
    /// The answer's head, once it is there.
    head: Option<String>,
    input: Vec<u8>,
    reader: flv::tag::Reader,
}

impl FlvViewer {
    /// Asks for a stream over a connection.
    #[must_use]
    pub fn over(mut raw: Raw, stream: &str) -> Self {
        raw.send(format!("GET /{stream}.flv HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        let reader = flv::tag::Reader::new(flv::tag::MAX_BODY);
        Self { raw, head: None, input: Vec::new(), reader }
    }

    /// Connects and asks for a stream.
    ///
    /// # Panics
    /// When the server does not accept.
    #[must_use]
    pub fn of(server: &Server, stream: &str) -> Self {
        Self::over(Raw::connect(server, "http"), stream)
    }

    /// The bare connection.
    pub fn raw(&mut self) -> &mut Raw {
        &mut self.raw
    }

    /// Reads once, `limit` bytes at most. `false` when the connection is closed.
    ///
    /// # Panics
    /// When nothing comes for a long time.
    pub fn read(&mut self, limit: usize) -> bool {
        let read = self.raw.read(limit);
        if self.head.is_some() {
            self.reader.push(&read);
            return !read.is_empty();
        }
        self.input.extend_from_slice(&read);
        let end = self.input.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let body = self.input.split_off(end + 4);
            let head = std::mem::take(&mut self.input);
            self.head = Some(String::from_utf8_lossy(&head).into_owned());
            self.reader.push(&body);
        }
        !read.is_empty()
    }

    /// The next tag of what was read.
    ///
    /// # Panics
    /// When the server does not send FLV.
    pub fn poll(&mut self) -> Option<Tag> {
        self.reader.poll().expect("FLV")
    }

    /// The answer's head; empty while it is not there.
    #[must_use]
    pub fn head(&self) -> &str {
        self.head.as_deref().unwrap_or_default()
    }
}

/// All tags until the connection is closed.
impl Iterator for FlvViewer {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        loop {
            if let Some(tag) = self.poll() {
                return Some(tag);
            }
            if !self.read(READ_BUFFER) {
                return None;
            }
        }
    }
}
