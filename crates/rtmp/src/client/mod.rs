//! The client's half of a connection: RTMP 1.0 §7.2, as encoders and players use it.
//!
//! A [`Session`] leads a server through handshake, connect and createStream to publish or play,
//! then carries media one way. Publishing follows the order that every ingest service accepts:
//! Set Chunk Size, connect, releaseStream, FCPublish, createStream, publish, with the name and its
//! query byte by byte as they were given. What servers do differently from the specification:
//!
//! * They answer releaseStream and FCPublish with an error, or not at all.
//! * They send media without, or before, `NetStream.Play.Start`.
//! * They close a publication with a status of any code, as long as its level is `error`.

mod request;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use flv::amf0::Value;
use flv::caps::Capabilities;

use crate::ack::Acks;
use crate::command::Command;
use crate::message::{Control, Kind, Message, UserEvent};
use crate::url::Target;
use crate::{Error, aggregate, chunk, handshake, message};

/// The acknowledgement window that servers are told.
const WINDOW: u32 = 5_000_000;

/// Answers that a server may leave untaken.
const MAX_OUTPUT: usize = 64 << 10;

/// How much the server is told that a player buffers, as librtmp and ffmpeg have it.
const BUFFER_MILLIS: u32 = 3000;

/// Settings of a client session.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The chunk size that is announced and written with; some servers refuse more than 65 536.
    pub chunk_size: chunk::Size,
    /// What the server may make the session hold.
    pub limits: chunk::Limits,
    /// The handshake to offer.
    pub handshake: handshake::Variant,
    /// What is announced of Enhanced RTMP, if anything: some old servers refuse a connect object
    /// with lists in it.
    pub capabilities: Option<Capabilities>,
    /// From the beginning to publish or play.
    pub setup_timeout: Duration,
    /// How long a server may send nothing while it is played from.
    pub idle_timeout: Duration,
    /// One more property of the connect object: its name, and its value.
    pub property: Option<(&'static str, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chunk_size: chunk::Size::DEFAULT,
            limits: chunk::Limits::MEDIA,
            handshake: handshake::Variant::Plain,
            capabilities: None,
            setup_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            property: None,
        }
    }
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Media can be sent, or will come, on this message stream.
    Ready {
        /// The message stream id.
        stream: u32,
    },
    /// Audio: an FLV tag body, never empty.
    Audio {
        /// Milliseconds, modulo 2³².
        timestamp: u32,
        /// The tag body.
        payload: Bytes,
    },
    /// Video: an FLV tag body, never empty.
    Video {
        /// Milliseconds, modulo 2³².
        timestamp: u32,
        /// The tag body.
        payload: Bytes,
    },
    /// Script data: AMF0 values, the first of them a name.
    Data {
        /// Milliseconds, modulo 2³².
        timestamp: u32,
        /// The AMF0 values.
        payload: Bytes,
    },
    /// A status that changes nothing.
    Status {
        /// Such as `NetStream.Play.Reset`.
        code: String,
        /// What the server says to people.
        description: String,
    },
    /// The server says where to connect instead; it refuses then ([`Event::Refused`] follows).
    Redirected {
        /// The `tcUrl` of the other server.
        to: String,
    },
    /// The server refuses the connection, the publication or to play. The session is over.
    Refused {
        /// Such as `NetStream.Publish.BadName`.
        code: String,
        /// What the server says to people; a challenge, if it wants authentication
        /// ([`crate::auth`]).
        description: String,
    },
    /// The publisher at the other end left, or the server ended the stream. The session goes on,
    /// and media may come again; the owner may as well close it.
    Ended {
        /// Such as `NetStream.Play.UnpublishNotify`.
        code: String,
    },
}

/// One connection, from the client's side.
///
/// After each call of another method, drain [`poll_event`](Self::poll_event) and
/// [`poll_transmit`](Self::poll_transmit), then sleep until [`poll_timeout`](Self::poll_timeout)
/// or the next bytes.
#[derive(Debug)]
pub struct Session {
    config: Config,
    target: Target,
    role: Role,
    phase: Phase,
    reader: chunk::Reader,
    events: VecDeque<Event>,
    out: BytesMut,
    /// How much of `out` the server made us write.
    answers: usize,
    /// The chunk size that `out` is written with.
    size: chunk::Size,
    acks: Acks,
    created: Instant,
    input: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Push,
    Pull,
}

#[derive(Debug)]
enum Phase {
    Handshake(handshake::Client),
    /// Waiting for the answer to connect.
    Connecting,
    /// Waiting for the answer to createStream.
    Creating,
    /// Waiting for the answer to publish or play.
    Starting {
        stream: u32,
    },
    Running {
        stream: u32,
    },
    /// Refused, failed or finished: what still comes is ignored.
    Closed,
}

impl Session {
    /// Publishes to `target`; `seed` makes the random bytes of the handshake.
    #[must_use]
    pub fn push(target: Target, config: Config, seed: u64, now: Instant) -> Self {
        Self::new(target, config, Role::Push, seed, now)
    }

    /// Plays from `target`; `seed` makes the random bytes of the handshake.
    #[must_use]
    pub fn pull(target: Target, config: Config, seed: u64, now: Instant) -> Self {
        Self::new(target, config, Role::Pull, seed, now)
    }

    fn new(target: Target, config: Config, role: Role, seed: u64, now: Instant) -> Self {
        let mut out = BytesMut::new();
        let handshake = handshake::Client::new(config.handshake, seed, &mut out);
        let limits = match role {
            Role::Push => chunk::Limits::COMMANDS,
            Role::Pull => config.limits,
        };
        Self {
            config,
            target,
            role,
            phase: Phase::Handshake(handshake),
            reader: chunk::Reader::new(limits),
            events: VecDeque::new(),
            out,
            answers: 0,
            size: chunk::Size::INITIAL,
            acks: Acks::new(now),
            created: now,
            input: now,
        }
    }

    /// Takes bytes from the server; all of them.
    ///
    /// # Errors
    /// If the server breaks the protocol or a limit. The session is over then.
    pub fn handle_input(&mut self, input: &[u8], now: Instant) -> Result<(), Error> {
        self.acks.count(input.len());
        self.input = now;
        let result = self.read(input, now);
        if result.is_err() {
            self.phase = Phase::Closed;
        }
        result
    }

    /// Does what is due; to be called when the time of [`poll_timeout`](Self::poll_timeout) has
    /// come, harmless before.
    ///
    /// # Errors
    /// [`Error::TimedOut`] if the server is too slow. The session is over then.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return Ok(());
        }
        let phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Handshake(_) => "in the handshake",
            Phase::Connecting => "waiting for the answer to connect",
            Phase::Creating => "waiting for the answer to createStream",
            Phase::Starting { .. } => "waiting for the answer to publish or play",
            Phase::Running { .. } | Phase::Closed => "waiting for media",
        };
        Err(Error::TimedOut(phase))
    }

    /// Bytes for the server.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.answers = 0;
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).freeze())
    }

    /// What happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); changes with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (&self.phase, self.role) {
            (Phase::Closed, _) | (Phase::Running { .. }, Role::Push) => None,
            (Phase::Running { .. }, Role::Pull) => Some(self.input + self.config.idle_timeout),
            _ => Some(self.created + self.config.setup_timeout),
        }
    }

    /// All bytes received so far, the handshake's included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.acks.received()
    }

    /// What the server acknowledged last, modulo 2³²; nothing depends on it.
    #[must_use]
    pub fn acknowledged(&self) -> u32 {
        self.acks.by_peer()
    }

    /// Sends audio: an FLV tag body.
    ///
    /// # Errors
    /// [`Error::NotReady`] unless publishing, [`Error::MessageTooLong`].
    pub fn send_audio(&mut self, timestamp: u32, payload: &[u8]) -> Result<(), Error> {
        self.send(chunk::AUDIO, Kind::Audio, timestamp, payload)
    }

    /// Sends video: an FLV tag body.
    ///
    /// # Errors
    /// [`Error::NotReady`] unless publishing, [`Error::MessageTooLong`].
    pub fn send_video(&mut self, timestamp: u32, payload: &[u8]) -> Result<(), Error> {
        self.send(chunk::VIDEO, Kind::Video, timestamp, payload)
    }

    /// Sends script data: AMF0 values; metadata begins with `@setDataFrame`.
    ///
    /// # Errors
    /// [`Error::NotReady`] unless publishing, [`Error::MessageTooLong`].
    pub fn send_data(&mut self, timestamp: u32, payload: &[u8]) -> Result<(), Error> {
        self.send(chunk::DATA, Kind::DataAmf0, timestamp, payload)
    }

    fn send(
        &mut self,
        chunk_stream: u32,
        kind: Kind,
        timestamp: u32,
        payload: &[u8],
    ) -> Result<(), Error> {
        let stream_id = match (&self.phase, self.role) {
            (Phase::Running { stream }, Role::Push) => *stream,
            (Phase::Closed, _) => return Err(Error::NotReady("after its end")),
            (_, Role::Pull) => return Err(Error::NotReady("when it plays")),
            _ => return Err(Error::NotReady("before the server allows it")),
        };
        let header = chunk::Header { chunk_stream, kind, stream_id, timestamp };
        chunk::write_message(&mut self.out, header, &[payload], self.size)
    }

    /// Ends the stream in due form; then send what [`poll_transmit`](Self::poll_transmit) yields
    /// and close.
    ///
    /// # Errors
    /// None in practice: the messages are short.
    pub fn finish(&mut self) -> Result<(), Error> {
        if let Phase::Running { stream } | Phase::Starting { stream } = self.phase {
            if self.role == Role::Push {
                self.request(&request::unpublish(&self.target), 0)?;
            }
            self.request(&request::delete_stream(stream), 0)?;
        }
        self.phase = Phase::Closed;
        Ok(())
    }

    fn read(&mut self, mut input: &[u8], now: Instant) -> Result<(), Error> {
        let before = self.out.len();
        if let Phase::Handshake(handshake) = &mut self.phase {
            if !handshake.read(&mut input, &mut self.out)? {
                return Ok(());
            }
            self.connect()?;
        }
        while !matches!(self.phase, Phase::Closed) {
            let Some(message) = self.reader.read(&mut input)? else { break };
            self.handle_message(message)?;
        }
        if let Some(acknowledgement) = self.acks.due(now) {
            acknowledgement.write(&mut self.out, self.size);
        }
        self.answers += self.out.len() - before;
        if self.answers > MAX_OUTPUT {
            return Err(Error::TooMuchOutput { limit: MAX_OUTPUT });
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), Error> {
        Control::SetChunkSize(self.config.chunk_size.get()).write(&mut self.out, self.size);
        self.size = self.config.chunk_size;
        let capabilities = self.config.capabilities.as_ref();
        let mut connect = match self.role {
            Role::Push => request::connect_publisher(&self.target, capabilities),
            Role::Pull => request::connect_player(&self.target, capabilities),
        };
        if let (Some((name, value)), Value::Object(object)) =
            (&self.config.property, &mut connect.object)
        {
            object.insert(*name, value.as_str());
        }
        self.phase = Phase::Connecting;
        self.request(&connect, 0)
    }

    fn handle_message(&mut self, message: Message) -> Result<(), Error> {
        if let Some(control) = Control::parse(message.kind, &message.payload)? {
            self.handle_control(&control);
            return Ok(());
        }
        match message.kind {
            Kind::CommandAmf0 | Kind::CommandAmf3 => {
                let command = Command::parse(message.kind, &message.payload)?;
                self.handle_command(&command)
            }
            Kind::Audio | Kind::Video | Kind::DataAmf0 | Kind::DataAmf3 => {
                self.media(message);
                Ok(())
            }
            Kind::Aggregate => aggregate::split(&message).try_for_each(|sub| {
                self.media(sub?);
                Ok(())
            }),
            _ => Ok(()),
        }
    }

    fn handle_control(&mut self, control: &Control) {
        self.acks.handle(control);
        match *control {
            Control::SetPeerBandwidth(window, _) => {
                Control::WindowAckSize(window).write(&mut self.out, self.size);
            }
            Control::User(UserEvent::PingRequest(time)) => {
                Control::User(UserEvent::PingResponse(time)).write(&mut self.out, self.size);
            }
            Control::User(UserEvent::StreamEof(_)) if self.role == Role::Pull => {
                self.end("StreamEOF");
            }
            _ => {}
        }
    }

    fn handle_command(&mut self, command: &Command) -> Result<(), Error> {
        match command.name.as_str() {
            "_result" => self.handle_result(command),
            "_error" => {
                let expected = match self.phase {
                    Phase::Connecting => request::CONNECT,
                    Phase::Creating => request::CREATE_STREAM,
                    Phase::Starting { .. } => request::START,
                    // releaseStream, FCPublish and the like: servers need not know them.
                    _ => return Ok(()),
                };
                // Some servers answer a refused connect with a transaction id of zero.
                if command.transaction == expected || command.transaction == 0.0 {
                    self.refuse(command);
                }
                Ok(())
            }
            "onStatus" => {
                self.handle_status(command);
                Ok(())
            }
            "close" => {
                self.end("NetConnection.Connect.Closed");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn handle_result(&mut self, command: &Command) -> Result<(), Error> {
        match self.phase {
            Phase::Connecting if command.transaction == request::CONNECT => {
                if level(command) == "error" {
                    self.refuse(command);
                    return Ok(());
                }
                Control::WindowAckSize(WINDOW).write(&mut self.out, self.size);
                if self.role == Role::Push {
                    self.request(&request::release_stream(&self.target), 0)?;
                    self.request(&request::announce(&self.target), 0)?;
                }
                self.phase = Phase::Creating;
                self.request(&request::create_stream(), 0)
            }
            Phase::Creating if command.transaction == request::CREATE_STREAM => {
                let number = command.number(0).ok_or(Error::Malformed { what: "stream id" })?;
                let stream = stream_id(number).ok_or(Error::Malformed { what: "stream id" })?;
                self.phase = Phase::Starting { stream };
                match self.role {
                    Role::Push => self.request(&request::publish(&self.target), stream),
                    Role::Pull => {
                        self.request(&request::play(&self.target), stream)?;
                        let millis = BUFFER_MILLIS;
                        let event = UserEvent::SetBufferLength { stream, millis };
                        Control::User(event).write(&mut self.out, self.size);
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    fn handle_status(&mut self, command: &Command) {
        let code = information(command, "code");
        let started = match self.role {
            Role::Push => code == "NetStream.Publish.Start",
            Role::Pull => code == "NetStream.Play.Start",
        };
        let ended = matches!(
            code,
            "NetStream.Play.UnpublishNotify"
                | "NetStream.Play.Stop"
                | "NetStream.Play.Complete"
                | "NetStream.Unpublish.Success"
                | "NetConnection.Connect.Closed"
        );
        match self.phase {
            _ if level(command) == "error" => self.refuse(command),
            Phase::Starting { stream } if started => self.start(stream),
            Phase::Running { .. } if ended => self.end(code),
            _ => {
                let description = information(command, "description").to_owned();
                self.events.push_back(Event::Status { code: code.to_owned(), description });
            }
        }
    }

    fn start(&mut self, stream: u32) {
        self.phase = Phase::Running { stream };
        self.events.push_back(Event::Ready { stream });
    }

    fn refuse(&mut self, command: &Command) {
        self.phase = Phase::Closed;
        if let Some(to) = redirection(command) {
            self.events.push_back(Event::Redirected { to: to.to_owned() });
        }
        self.events.push_back(Event::Refused {
            code: information(command, "code").to_owned(),
            description: information(command, "description").to_owned(),
        });
    }

    fn end(&mut self, code: &str) {
        self.events.push_back(Event::Ended { code: code.to_owned() });
    }

    fn media(&mut self, message: Message) {
        // What a server sends to a publisher, or before it was asked, is of no use.
        match (&self.phase, self.role) {
            (Phase::Running { .. }, Role::Pull) => {}
            (&Phase::Starting { stream }, Role::Pull) if message.kind != Kind::DataAmf0 => {
                self.start(stream);
            }
            _ => return,
        }
        let Message { kind, timestamp, payload, .. } = message;
        if payload.is_empty() {
            return;
        }
        match kind {
            Kind::Audio => self.events.push_back(Event::Audio { timestamp, payload }),
            Kind::Video => self.events.push_back(Event::Video { timestamp, payload }),
            _ => {
                let payload = message::script_data(kind, payload);
                if !message::is_sample_access(&payload) && !is_status(&payload) {
                    self.events.push_back(Event::Data { timestamp, payload });
                }
            }
        }
    }

    fn request(&mut self, command: &Command, stream: u32) -> Result<(), Error> {
        let chunk_stream = if stream == 0 { chunk::COMMAND } else { chunk::DATA };
        command.write(&mut self.out, chunk_stream, stream, self.size)
    }
}

/// A property of the information object, empty if it is missing.
fn information<'a>(command: &'a Command, key: &str) -> &'a str {
    let value = command.information().and_then(|info| info.get(key));
    value.and_then(Value::as_str).unwrap_or_default()
}

/// Where a refusal sends the client: `ex`, an extended information object, has a code as of HTTP.
/// No document defines it, but media servers and players agree on it.
fn redirection(command: &Command) -> Option<&str> {
    let extended = command.information()?.get("ex")?.as_object()?;
    let code = extended.get("code").and_then(Value::as_number)?;
    let to = extended.get("redirect").and_then(Value::as_str)?;
    (code == 302.0 && !to.is_empty()).then_some(to)
}

fn level(command: &Command) -> &str {
    information(command, "level")
}

/// Whether script data is a status (`NetStream.Data.Start`): for the player, not the stream.
fn is_status(payload: &[u8]) -> bool {
    payload.starts_with(b"\x02\x00\x08onStatus")
}

/// A message stream id that came as a number: ids are small integers.
fn stream_id(number: f64) -> Option<u32> {
    (0..=u16::MAX).find(|&id| f64::from(id) == number).map(u32::from)
}
