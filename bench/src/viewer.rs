//! One viewer: joins as a player does, then counts and throws away.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::BytesMut;
use testkit::stamp;

use crate::mark::{self, Mark};
use crate::pace::{Allowance, Pace};
use crate::rtmp::{self, kind};
use crate::rtsp::{self, Packets};
use crate::scan::{FlvScanner, HttpScanner, Message, RtmpScanner};
use crate::sink::Sink;
use crate::socket::{Connector, Socket};
use crate::target::Target;

/// Received bytes after which an RTMP client acknowledges without being asked.
const ACKNOWLEDGE_EVERY: u64 = 2_500_000;

/// A connection that plays one stream.
#[derive(Debug)]
pub struct Viewer {
    /// Which of the streams it plays.
    pub stream: usize,
    /// When bytes came last.
    pub last_bytes: Instant,
    /// How long after the attempt to connect the first whole key frame was there; the first
    /// frame of a stream of sound alone.
    pub first_key: Option<Duration>,
    /// How it reads after that.
    pub pace: Pace,
    allowance: Allowance,
    socket: Socket,
    begun: Instant,
    feed: Feed,
}

/// What a poll found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A video frame with a mark.
    Frame(Mark),
    /// Bytes came in.
    Bytes(u64),
    /// RTP packets came in, or did not.
    Packets(Packets),
}

#[derive(Debug)]
enum Feed {
    Raw(FlvScanner),
    Http(HttpScanner),
    Rtmp(Box<Session>),
    Rtsp(Box<rtsp::Session>),
    Sink(Sink),
}

#[derive(Debug)]
struct Session {
    step: Step,
    scanner: RtmpScanner,
    app: String,
    tc_url: String,
    name: String,
    received: u64,
    acknowledged: u64,
}

/// What an RTMP viewer waits for.
#[derive(Debug)]
enum Step {
    Handshake(Vec<u8>),
    Connected,
    Created,
    Media,
}

impl Viewer {
    /// Connects and asks for the stream, as far as that goes without waiting.
    ///
    /// # Errors
    /// When the server does not accept the connection.
    pub fn open(
        connector: &Connector,
        target: &Target,
        stream: usize,
        timeout: Duration,
    ) -> Result<Self> {
        let begun = Instant::now();
        let address: SocketAddr = target.address().parse()?;
        // A request or a handshake's first bytes always fit into a fresh socket's buffer.
        let mut socket = connector.connect(address, timeout)?;
        let feed = match target {
            Target::Raw { .. } => Feed::Raw(FlvScanner::default()),
            Target::Http { .. } => {
                socket.write_all(&target.request().unwrap_or_default())?;
                let is_ts = target.is_ts();
                Feed::Http(if is_ts { HttpScanner::of_ts() } else { HttpScanner::default() })
            }
            Target::Rtsp { address: authority, path, lower } => {
                let uri = format!("rtsp://{authority}{path}");
                let (session, request) = rtsp::Session::new(address, uri, *lower);
                socket.write_all(request.as_bytes())?;
                Feed::Rtsp(Box::new(session))
            }
            Target::Rtmp { address, app, name, .. } => {
                socket.write_all(&rtmp::hello())?;
                Feed::Rtmp(Box::new(Session {
                    step: Step::Handshake(Vec::new()),
                    scanner: RtmpScanner::default(),
                    app: app.clone(),
                    tc_url: format!("rtmp://{address}/{app}"),
                    name: name.clone(),
                    received: 0,
                    acknowledged: 0,
                }))
            }
        };
        socket.flush()?;
        Ok(Self {
            stream,
            last_bytes: begun,
            first_key: None,
            pace: Pace::Full,
            allowance: Allowance::new(begun),
            socket,
            begun,
            feed,
        })
    }

    /// The other end of a push on a connection that was accepted. Which stream it is shows when the
    /// peer names it.
    ///
    /// # Errors
    /// The system's.
    pub fn accepted(socket: TcpStream, sink: Sink) -> Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let begun = Instant::now();
        Ok(Self {
            stream: 0,
            last_bytes: begun,
            first_key: None,
            pace: Pace::Full,
            allowance: Allowance::new(begun),
            socket: Socket::Plain(socket),
            begun,
            feed: Feed::Sink(sink),
        })
    }

    /// Whether it reads everything, so that what it misses is the server's fault.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.pace == Pace::Full
    }

    /// Reads what there is, or as much of it as the pace allows.
    ///
    /// # Errors
    /// When the server refused or closed the connection.
    pub fn poll(&mut self, buffer: &mut [u8], seen: &mut dyn FnMut(Seen)) -> Result<()> {
        let mut limit = buffer.len();
        if self.first_key.is_some() {
            limit = match self.pace {
                Pace::Full => limit,
                Pace::Slow(rate) => self.allowance.take(rate, Instant::now()).min(limit),
                Pace::Stopped => 0,
            };
        }
        let buffer = buffer.get_mut(..limit).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(());
        }
        if matches!(self.feed, Feed::Rtsp(_)) {
            return self.poll_rtsp(buffer, seen);
        }
        self.read(buffer, seen)
    }

    fn read(&mut self, buffer: &mut [u8], seen: &mut dyn FnMut(Seen)) -> Result<()> {
        loop {
            let length = match self.socket.read(buffer) {
                Ok(0) => bail!("closed by the server"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.last_bytes = Instant::now();
            seen(Seen::Bytes(u64::try_from(length).unwrap_or(0)));
            self.take(buffer.get(..length).unwrap_or_default(), seen)?;
            // A record of TLS is shorter than the buffer although more may follow it.
            let is_last = matches!(self.socket, Socket::Plain(_)) && length < buffer.len();
            if is_last || !self.counts() {
                return Ok(());
            }
        }
    }

    /// Packets may come beside the connection, and reports are due now and then.
    fn poll_rtsp(&mut self, buffer: &mut [u8], seen: &mut dyn FnMut(Seen)) -> Result<()> {
        let now = Instant::now();
        let Feed::Rtsp(session) = &mut self.feed else { return Ok(()) };
        let mut key = false;
        let bytes = session.receive(buffer, &mut |frame| {
            key |= frame.key;
            frame.mark.into_iter().for_each(|mark| seen(Seen::Frame(mark)));
        })?;
        let (reports, is_to_be_read) = (session.report(now)?, session.is_to_be_read(buffer, now)?);
        if bytes > 0 {
            self.last_bytes = now;
            seen(Seen::Bytes(bytes));
            self.begins(key);
        }
        self.answer(&reports)?;
        if is_to_be_read {
            self.read(buffer, seen)?;
        }
        if let Feed::Rtsp(session) = &mut self.feed {
            let packets = session.take_packets();
            if packets != Packets::default() {
                seen(Seen::Packets(packets));
            }
        }
        Ok(())
    }

    /// Sends a few hundred bytes at most, which always fit into the socket's buffer.
    fn answer(&mut self, bytes: &[u8]) -> Result<()> {
        if !bytes.is_empty() {
            self.socket.write_all(bytes)?;
            self.socket.flush()?;
        }
        Ok(())
    }

    /// Takes down when the first key frame came, if this is it.
    fn begins(&mut self, key: bool) {
        if key && self.first_key.is_none() {
            self.first_key = Some(self.begun.elapsed());
        }
    }

    fn take(&mut self, bytes: &[u8], seen: &mut dyn FnMut(Seen)) -> Result<()> {
        let mut key = false;
        let mut media = |message: Message<'_>| {
            let found = match message.kind {
                kind::VIDEO => {
                    // A key frame whose body is a picture and not a sequence header.
                    key |= message.head.starts_with(&[0x17, 1]);
                    stamp::find(message.head)
                }
                _ => mark::in_sound(message.head).inspect(|_| key = true),
            };
            if let Some(found) = found {
                seen(Seen::Frame(Mark::unpack(found)));
            }
        };
        match &mut self.feed {
            Feed::Raw(scanner) => scanner.feed(bytes, &mut media),
            Feed::Http(scanner) => {
                if !scanner.feed(bytes, &mut media) {
                    bail!("refused by the server");
                }
            }
            Feed::Rtmp(session) => {
                let answer = session.take(bytes, &mut media)?;
                self.answer(&answer)?;
            }
            Feed::Rtsp(session) => {
                let answer = session.take(bytes, &mut |frame| {
                    key |= frame.key;
                    frame.mark.into_iter().for_each(|mark| seen(Seen::Frame(mark)));
                })?;
                self.answer(&answer)?;
            }
            Feed::Sink(sink) => {
                let answer = sink.take(bytes, &mut |frame| {
                    key |= frame.key;
                    frame.mark.into_iter().for_each(|mark| seen(Seen::Frame(mark)));
                })?;
                let packets = sink.take_packets();
                if packets != Packets::default() {
                    seen(Seen::Packets(packets));
                }
                self.stream = sink.stream().unwrap_or(self.stream);
                self.answer(&answer)?;
            }
        }
        self.begins(key);
        Ok(())
    }
}

impl Session {
    /// Follows the server; returns what has to be sent.
    fn take(&mut self, bytes: &[u8], media: &mut dyn FnMut(Message<'_>)) -> Result<BytesMut> {
        let mut out = BytesMut::new();
        let mut kept = Vec::new();
        let mut bytes = bytes;
        if let Step::Handshake(received) = &mut self.step {
            received.extend_from_slice(bytes);
            let Some(echo) = rtmp::echo(received) else { return Ok(out) };
            out.extend_from_slice(echo);
            out.extend_from_slice(&rtmp::connect(&self.app, &self.tc_url));
            kept = received.split_off(rtmp::SERVER_HANDSHAKE);
            bytes = &[];
            self.step = Step::Connected;
        }
        let mut refused = false;
        let (step, name) = (&mut self.step, &self.name);
        let mut sink = |message: Message<'_>| match message.kind {
            kind::VIDEO | kind::AUDIO => media(message),
            kind::USER_CONTROL => out.extend(rtmp::pong(message.head).unwrap_or_default()),
            kind::COMMAND => {
                refused |= rtmp::is_error(message.head);
                follow(step, name, message.head, &mut out);
            }
            _ => {}
        };
        self.scanner.feed(&kept, &mut sink);
        self.scanner.feed(bytes, &mut sink);
        if refused {
            bail!("refused by the server");
        }
        self.received += u64::try_from(bytes.len()).unwrap_or(0);
        if self.received - self.acknowledged >= ACKNOWLEDGE_EVERY {
            self.acknowledged = self.received;
            out.extend_from_slice(&rtmp::acknowledgement(self.received));
        }
        Ok(out)
    }
}

/// Takes the next step of a player when the server has agreed to the one before.
fn follow(step: &mut Step, name: &str, command: &[u8], out: &mut BytesMut) {
    let Some((_, value)) = rtmp::result(command) else { return };
    match step {
        Step::Connected => {
            out.extend_from_slice(&rtmp::create_stream());
            *step = Step::Created;
        }
        Step::Created => {
            let value = value.unwrap_or(1.0);
            let stream = (1..=255).find(|&id| f64::from(id) == value).unwrap_or(1);
            out.extend_from_slice(&rtmp::play(name, stream));
            *step = Step::Media;
        }
        Step::Handshake(_) | Step::Media => {}
    }
}
