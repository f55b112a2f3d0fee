//! A server session and those who talk to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use flv::amf0::{Object, Value};
use headwater_rtmp::chunk::{self, Limits, Size};
use headwater_rtmp::command::Command;
use headwater_rtmp::handshake::{self, Variant};
use headwater_rtmp::message::{Kind, Message};
use headwater_rtmp::server::{Config, Event, Session, StreamId};
use headwater_rtmp::url::Target;
use headwater_rtmp::{Error, client};
use testkit::VirtualClock;

/// A server session as its owner sees it, with a client that sends whatever a test wants.
pub(crate) struct Server {
    pub(crate) session: Session,
    pub(crate) clock: VirtualClock,
    /// What the server sent, read as a client would.
    reader: chunk::Reader,
}

impl Server {
    /// After the handshake.
    pub(crate) fn new(config: Config) -> Self {
        let clock = VirtualClock::new();
        let mut session = Session::new(Arc::new(config), 1, clock.now());
        let mut c0c1 = BytesMut::new();
        let _ = handshake::Client::new(Variant::Plain, 2, &mut c0c1);
        session.handle_input(&c0c1, clock.now()).unwrap();
        assert_eq!(session.poll_transmit().unwrap().len(), 3073);
        session.handle_input(&[0; 1536], clock.now()).unwrap();
        Self { session, clock, reader: chunk::Reader::new(Limits::MEDIA) }
    }

    /// After an accepted connect to `live`.
    pub(crate) fn connected() -> Self {
        let mut server = Self::new(Config::default());
        server.command(0, &connect("live")).unwrap();
        assert!(matches!(server.events()[..], [Event::Connect(_)]));
        server.session.accept_connect(server.clock.now()).unwrap();
        server.sent();
        server
    }

    /// After an accepted publish of `name` on message stream 1.
    pub(crate) fn publishing(name: &str) -> Self {
        let mut server = Self::connected();
        server.command(0, &Command::new("createStream", 2.0, Value::Null)).unwrap();
        server.command(1, &publish(name)).unwrap();
        assert!(matches!(server.events()[..], [Event::Publish { .. }]));
        server.session.accept_publish(StreamId(1), server.clock.now()).unwrap();
        server.sent();
        server
    }

    /// After an accepted play of `name` on message stream 1.
    pub(crate) fn playing(name: &str) -> Self {
        let mut server = Self::connected();
        server.command(0, &Command::new("createStream", 2.0, Value::Null)).unwrap();
        server.command(1, &play(name)).unwrap();
        assert!(matches!(server.events()[..], [Event::Play { .. }]));
        server.session.accept_play(StreamId(1), server.clock.now()).unwrap();
        server.sent();
        server
    }

    pub(crate) fn input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.session.handle_input(bytes, self.clock.now())
    }

    pub(crate) fn command(&mut self, stream: u32, command: &Command) -> Result<(), Error> {
        self.message(Kind::CommandAmf0, stream, 0, &command.encode())
    }

    pub(crate) fn message(
        &mut self,
        kind: Kind,
        stream: u32,
        timestamp: u32,
        payload: &[u8],
    ) -> Result<(), Error> {
        self.input(&message(kind, stream, timestamp, payload))
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// The messages that the server sent since the last call.
    pub(crate) fn sent(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(bytes) = self.session.poll_transmit() {
            let mut input = &bytes[..];
            while let Some(message) = self.reader.read(&mut input).unwrap() {
                messages.push(message);
            }
        }
        messages
    }

    /// The names, or status codes, of the commands that the server sent since the last call.
    pub(crate) fn said(&mut self) -> Vec<String> {
        self.sent().iter().filter(|m| m.kind == Kind::CommandAmf0).map(summary).collect()
    }

    /// Lets time pass, up to and including the next deadline.
    pub(crate) fn wait(&mut self) -> (Duration, Result<(), Error>) {
        let before = self.clock.elapsed();
        let at = self.session.poll_timeout().expect("a deadline");
        let now = self.clock.now();
        self.clock.advance(at.saturating_duration_since(now));
        (self.clock.elapsed() - before, self.session.handle_timeout(self.clock.now()))
    }
}

/// A message in chunks of 128 bytes.
pub(crate) fn message(kind: Kind, stream_id: u32, timestamp: u32, payload: &[u8]) -> Bytes {
    let chunk_stream = if kind == Kind::CommandAmf0 { chunk::COMMAND } else { chunk::VIDEO };
    let mut out = BytesMut::new();
    let header = chunk::Header { chunk_stream, kind, stream_id, timestamp };
    chunk::write_message(&mut out, header, &[payload], Size::INITIAL).unwrap();
    out.freeze()
}

pub(crate) fn connect(app: &str) -> Command {
    let mut object = Object::new();
    object.insert("app", app);
    object.insert("tcUrl", format!("rtmp://localhost/{app}"));
    Command::new("connect", 1.0, Value::Object(object))
}

pub(crate) fn publish(name: &str) -> Command {
    Command::new("publish", 5.0, Value::Null).with(name).with("live")
}

pub(crate) fn play(name: &str) -> Command {
    Command::new("play", 5.0, Value::Null).with(name).with(-2000.0)
}

/// A command's status code, or its name if it has none.
pub(crate) fn summary(message: &Message) -> String {
    let command = Command::parse(message.kind, &message.payload).unwrap();
    let code = command.information().and_then(|info| info.get("code")).and_then(Value::as_str);
    match code {
        Some(code) if command.name == "onStatus" => code.to_owned(),
        Some(code) => format!("{} {code}", command.name),
        None => command.name,
    }
}

/// Both halves, joined by a wire that delivers `step` bytes at a time.
pub(crate) struct Pair {
    pub(crate) server: Session,
    pub(crate) client: client::Session,
    pub(crate) step: usize,
    pub(crate) now: Instant,
    pub(crate) at_server: Vec<Event>,
    pub(crate) at_client: Vec<client::Event>,
}

impl Pair {
    pub(crate) fn push(url: &str, config: client::Config, step: usize) -> Self {
        let (target, now) = (Target::parse(url).unwrap(), Instant::now());
        Self::new(client::Session::push(target, config, 3, now), step, now)
    }

    pub(crate) fn pull(url: &str, config: client::Config, step: usize) -> Self {
        let (target, now) = (Target::parse(url).unwrap(), Instant::now());
        Self::new(client::Session::pull(target, config, 3, now), step, now)
    }

    fn new(client: client::Session, step: usize, now: Instant) -> Self {
        let server = Session::new(Arc::default(), 1, now);
        Self { server, client, step, now, at_server: Vec::new(), at_client: Vec::new() }
    }

    /// Carries bytes both ways until both are silent; the owner accepts everything.
    pub(crate) fn run(&mut self) {
        self.run_with(|server, event, now| match *event {
            Event::Connect(_) => server.accept_connect(now).unwrap(),
            Event::Publish { stream, .. } => server.accept_publish(stream, now).unwrap(),
            Event::Play { stream, .. } => server.accept_play(stream, now).unwrap(),
            _ => {}
        });
    }

    pub(crate) fn run_with(&mut self, mut owner: impl FnMut(&mut Session, &Event, Instant)) {
        loop {
            let mut silent = true;
            while let Some(bytes) = self.client.poll_transmit() {
                silent = false;
                for piece in bytes.chunks(self.step) {
                    self.server.handle_input(piece, self.now).unwrap();
                    while let Some(event) = self.server.poll_event() {
                        owner(&mut self.server, &event, self.now);
                        self.at_server.push(event);
                    }
                }
            }
            while let Some(bytes) = self.server.poll_transmit() {
                silent = false;
                for piece in bytes.chunks(self.step) {
                    self.client.handle_input(piece, self.now).unwrap();
                    self.at_client.extend(std::iter::from_fn(|| self.client.poll_event()));
                }
            }
            if silent {
                return;
            }
        }
    }
}
