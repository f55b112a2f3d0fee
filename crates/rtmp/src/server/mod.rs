//! The server's half of a connection: RTMP 1.0 §7.2.
//!
//! A [`Session`] takes what the client sends and the owner's decisions, and yields bytes for the
//! client and [`Event`]s for the owner. What the peer does differently from the specification:
//!
//! * Commands come in any order, and publish or play on message streams that were never created.
//! * Peers wait for an answer to anything with a transaction id, known or not: they get one.
//! * Encoders reject control messages and connect replies on other chunk streams than 2 and 3.
//! * Publishers end with `FCUnpublish`, `closeStream`, `deleteStream`, any of them or none.
//!
//! Players get neither `|RtmpSampleAccess` nor `NetStream.Data.Start`: only Flash knew them, and
//! ffmpeg takes them for metadata and a data stream.
//!
//! While the owner decides about a request, everything that depends on it waits, in order and
//! bounded; nothing is announced before it is decided.

mod commands;
mod config;
mod event;
mod reply;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

pub use config::Config;
pub use event::{ConnectRequest, Event, PlayRequest, PublishKind, StreamId};

use crate::ack::Acks;
use crate::command::{Command, Level};
use crate::message::{BandwidthLimit, Control, Kind, Message, UserEvent};
use crate::{Error, aggregate, chunk, handshake, message};

/// The acknowledgement window and bandwidth that clients are told; lal's and FMS's order of
/// magnitude, and a second of a 40 Mbit/s stream.
const WINDOW: u32 = 5_000_000;

/// Message streams per connection; encoders and players use one, Flash applications a handful.
const MAX_STREAMS: usize = 8;

/// What a peer may send before its request is decided: two seconds of 8 Mbit/s media.
const MAX_DEFERRED: usize = 2 << 20;

/// What a deferred message is counted as besides its payload.
const DEFERRED_OVERHEAD: usize = 64;

/// Answers that a peer may leave untaken; all answers of a whole session are below 4 KiB.
const MAX_OUTPUT: usize = 64 << 10;

/// One connection, from the server's side.
///
/// After each call of a `handle_` or deciding method, drain [`poll_event`](Self::poll_event) and
/// [`poll_transmit`](Self::poll_transmit), then sleep until [`poll_timeout`](Self::poll_timeout)
/// or the next bytes. After an error, send what `poll_transmit` still yields and close.
///
/// The session writes nothing that depends on what the owner writes: once a player is accepted,
/// the owner may interleave whole messages of its own with those of `poll_transmit`, as long as
/// they are chunked with [`Config::chunk_size`].
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    phase: Phase,
    reader: chunk::Reader,
    streams: Vec<MessageStream>,
    events: VecDeque<Event>,
    deferred: VecDeque<Message>,
    deferred_bytes: usize,
    out: BytesMut,
    /// The chunk size that `out` is written with.
    size: chunk::Size,
    acks: Acks,
    times: Times,
}

#[derive(Debug)]
enum Phase {
    Handshake(handshake::Server),
    /// Waiting for connect.
    Unconnected,
    /// The owner decides about connect.
    Connecting {
        transaction: f64,
        object_encoding: f64,
        enhanced: bool,
    },
    Connected,
    /// Refused or failed: what still comes is ignored.
    Closed,
}

#[derive(Debug)]
struct MessageStream {
    id: StreamId,
    state: StreamState,
}

#[derive(Debug)]
enum StreamState {
    Idle,
    PublishPending {
        name: Box<str>,
    },
    Publishing {
        name: Box<str>,
    },
    PlayPending {
        reset: bool,
    },
    Playing,
    /// Published or played before, or was refused to: media still under way is dropped.
    Ended,
}

#[derive(Debug)]
struct Times {
    created: Instant,
    /// When setting up began, first or again.
    setup: Instant,
    /// The last step of setting up.
    progress: Instant,
    input: Instant,
    ping: Instant,
}

/// What to do at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    Handshake,
    Setup,
    Idle,
    Ping,
}

impl Session {
    /// Waits for the client's handshake; `seed` makes the random bytes of the server's.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: u64, now: Instant) -> Self {
        Self {
            config,
            phase: Phase::Handshake(handshake::Server::new(seed)),
            reader: chunk::Reader::new(chunk::Limits::COMMANDS),
            streams: Vec::new(),
            events: VecDeque::new(),
            deferred: VecDeque::new(),
            deferred_bytes: 0,
            out: BytesMut::new(),
            size: chunk::Size::INITIAL,
            acks: Acks::new(now),
            times: Times { created: now, setup: now, progress: now, input: now, ping: now },
        }
    }

    /// Takes bytes from the client; all of them.
    ///
    /// # Errors
    /// If the client breaks the protocol or a limit. The session is over then.
    pub fn handle_input(&mut self, input: &[u8], now: Instant) -> Result<(), Error> {
        self.acks.count(input.len());
        self.times.input = now;
        let result = self.read(input, now);
        self.close_on_error(result)
    }

    /// Does what is due; to be called when the time of [`poll_timeout`](Self::poll_timeout) has
    /// come, harmless before.
    ///
    /// # Errors
    /// [`Error::TimedOut`] if the client is too slow. The session is over then.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        let result = match self.deadline() {
            Some((at, timer)) if at <= now => match timer {
                Timer::Handshake => Err(Error::TimedOut("in the handshake")),
                Timer::Setup => Err(Error::TimedOut("waiting for publish or play")),
                Timer::Idle => Err(Error::TimedOut("waiting for the publisher")),
                Timer::Ping => {
                    self.ping(now);
                    Ok(())
                }
            },
            _ => Ok(()),
        };
        self.close_on_error(result)
    }

    /// Bytes for the client.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        // Taken whole, so that an idle session holds no buffer.
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).freeze())
    }

    /// What happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && !self.is_publishing() {
            self.events = VecDeque::new();
        }
        event
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); changes with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline().map(|(at, _)| at)
    }

    /// All bytes received so far, the handshake's included.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.acks.received()
    }

    /// What the client acknowledged last, modulo 2³²; nothing depends on it.
    #[must_use]
    pub fn acknowledged(&self) -> u32 {
        self.acks.by_peer()
    }

    /// Answers a [`Event::Connect`]: the client may go on.
    ///
    /// # Errors
    /// [`Error::NotPending`] if there is nothing to answer; else what the client sent meanwhile
    /// may break the protocol.
    pub fn accept_connect(&mut self, now: Instant) -> Result<(), Error> {
        let Phase::Connecting { transaction, object_encoding, enhanced } = self.phase else {
            return Err(Error::NotPending(0));
        };
        self.phase = Phase::Connected;
        for control in [
            Control::WindowAckSize(WINDOW),
            Control::SetPeerBandwidth(WINDOW, BandwidthLimit::Dynamic),
            Control::SetChunkSize(self.config.chunk_size.get()),
        ] {
            control.write(&mut self.out, self.size);
        }
        self.size = self.config.chunk_size;
        let capabilities = enhanced.then_some(&self.config.capabilities);
        let answer = reply::connected(transaction, object_encoding, capabilities);
        self.answer(&answer)?;
        self.resume(now)
    }

    /// Answers a [`Event::Connect`] with a refusal; the connection is to be closed when the
    /// client has it. `code` is usually `NetConnection.Connect.Rejected`.
    ///
    /// # Errors
    /// [`Error::NotPending`] if there is nothing to answer.
    pub fn reject_connect(&mut self, code: &str, description: &str) -> Result<(), Error> {
        let Phase::Connecting { transaction, .. } = self.phase else {
            return Err(Error::NotPending(0));
        };
        self.phase = Phase::Closed;
        self.deferred.clear();
        self.answer(&reply::failed(transaction, code, description))
    }

    /// Answers a [`Event::Publish`]: media may come.
    ///
    /// # Errors
    /// As [`accept_connect`](Self::accept_connect).
    pub fn accept_publish(&mut self, stream: StreamId, now: Instant) -> Result<(), Error> {
        let state = self.state_mut(stream)?;
        let StreamState::PublishPending { name } = state else {
            return Err(Error::NotPending(stream.0));
        };
        *state = StreamState::Publishing { name: std::mem::take(name) };
        self.user_event(UserEvent::StreamBegin(stream.0));
        let code = "NetStream.Publish.Start";
        self.notify_status(stream, Level::Status, code, "Start publishing")?;
        self.resume(now)
    }

    /// Answers a [`Event::Publish`] with a refusal; the client may try another name. `code` is
    /// usually `NetStream.Publish.BadName` or `NetStream.Publish.Unauthorized`.
    ///
    /// # Errors
    /// As [`accept_connect`](Self::accept_connect).
    pub fn reject_publish(
        &mut self,
        stream: StreamId,
        code: &str,
        description: &str,
        now: Instant,
    ) -> Result<(), Error> {
        let state = self.state_mut(stream)?;
        let StreamState::PublishPending { .. } = state else {
            return Err(Error::NotPending(stream.0));
        };
        *state = StreamState::Ended;
        self.notify_status(stream, Level::Error, code, description)?;
        self.resume(now)
    }

    /// Answers a [`Event::Play`]; after what [`poll_transmit`](Self::poll_transmit) yields now,
    /// the owner may write media to the client.
    ///
    /// # Errors
    /// As [`accept_connect`](Self::accept_connect).
    pub fn accept_play(&mut self, stream: StreamId, now: Instant) -> Result<(), Error> {
        let state = self.state_mut(stream)?;
        let StreamState::PlayPending { reset } = *state else {
            return Err(Error::NotPending(stream.0));
        };
        *state = StreamState::Playing;
        self.user_event(UserEvent::StreamBegin(stream.0));
        if reset {
            let code = "NetStream.Play.Reset";
            self.notify_status(stream, Level::Status, code, "Playing and resetting")?;
        }
        self.notify_status(stream, Level::Status, "NetStream.Play.Start", "Start live")?;
        self.resume(now)
    }

    /// Answers a [`Event::Play`] with a refusal; the client may try another name. `code` is
    /// usually `NetStream.Play.StreamNotFound` or `NetStream.Play.Failed`.
    ///
    /// # Errors
    /// As [`accept_connect`](Self::accept_connect).
    pub fn reject_play(
        &mut self,
        stream: StreamId,
        code: &str,
        description: &str,
        now: Instant,
    ) -> Result<(), Error> {
        let state = self.state_mut(stream)?;
        let StreamState::PlayPending { .. } = state else {
            return Err(Error::NotPending(stream.0));
        };
        *state = StreamState::Ended;
        self.notify_status(stream, Level::Error, code, description)?;
        self.resume(now)
    }

    /// Tells a player that the publisher left; the session plays on if another comes.
    ///
    /// # Errors
    /// None in practice: the message is short.
    pub fn notify_unpublish(&mut self, stream: StreamId) -> Result<(), Error> {
        let code = "NetStream.Play.UnpublishNotify";
        self.notify_status(stream, Level::Status, code, "The publisher left")?;
        self.user_event(UserEvent::StreamEof(stream.0));
        Ok(())
    }

    /// Tells a player that a publisher came back.
    ///
    /// # Errors
    /// None in practice: the message is short.
    pub fn notify_publish(&mut self, stream: StreamId) -> Result<(), Error> {
        self.user_event(UserEvent::StreamBegin(stream.0));
        let code = "NetStream.Play.PublishNotify";
        self.notify_status(stream, Level::Status, code, "A publisher came")
    }

    /// Asks a client that announced the capability (Enhanced RTMP v2, `capsEx` bit 0) to connect
    /// again, to another URL if one is given, and to end this connection by itself.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`] if an argument is longer than a message can be.
    pub fn request_reconnect(
        &mut self,
        tc_url: Option<&str>,
        description: &str,
    ) -> Result<(), Error> {
        self.answer(&reply::reconnect(tc_url, description))
    }

    /// Sends an `onStatus` on a message stream.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`] if `code` or `description` is longer than a message can be.
    pub fn notify_status(
        &mut self,
        stream: StreamId,
        level: Level,
        code: &str,
        description: &str,
    ) -> Result<(), Error> {
        let status = Command::status(level, code, description);
        status.write(&mut self.out, chunk::DATA, stream.0, self.size)
    }

    fn read(&mut self, mut input: &[u8], now: Instant) -> Result<(), Error> {
        if let Phase::Handshake(handshake) = &mut self.phase {
            if !handshake.read(&mut input, &mut self.out)? {
                return Ok(());
            }
            self.phase = Phase::Unconnected;
            self.times.setup = now;
            self.times.progress = now;
        }
        while !matches!(self.phase, Phase::Closed) {
            let Some(message) = self.reader.read(&mut input)? else { break };
            self.handle_message(message, now)?;
        }
        if let Some(acknowledgement) = self.acks.due(now) {
            acknowledgement.write(&mut self.out, self.size);
        }
        if self.out.len() > MAX_OUTPUT {
            return Err(Error::TooMuchOutput { limit: MAX_OUTPUT });
        }
        Ok(())
    }

    fn handle_message(&mut self, message: Message, now: Instant) -> Result<(), Error> {
        if let Some(control) = Control::parse(message.kind, &message.payload)? {
            // Unlike the others, this one has its place among the commands.
            let buffer_length = matches!(control, Control::User(UserEvent::SetBufferLength { .. }));
            if buffer_length && self.must_wait(&message) {
                return self.defer(message);
            }
            self.handle_control(&control);
            return Ok(());
        }
        if self.must_wait(&message) { self.defer(message) } else { self.dispatch(message, now) }
    }

    fn handle_control(&mut self, control: &Control) {
        self.acks.handle(control);
        match *control {
            Control::User(UserEvent::PingRequest(time)) => {
                self.user_event(UserEvent::PingResponse(time));
            }
            Control::User(UserEvent::SetBufferLength { stream, millis }) => {
                self.events.push_back(Event::SetBufferLength { stream: StreamId(stream), millis });
            }
            _ => {}
        }
    }

    /// Whether a decision is pending that the message may depend on: all but media of streams
    /// that publish.
    fn must_wait(&self, message: &Message) -> bool {
        let is_command = matches!(message.kind, Kind::CommandAmf0 | Kind::CommandAmf3);
        let publishes = |s: &MessageStream| {
            s.id.0 == message.stream_id && matches!(s.state, StreamState::Publishing { .. })
        };
        self.is_pending() && (is_command || !self.streams.iter().any(publishes))
    }

    fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. })
            || self.streams.iter().any(|stream| stream.state.is_pending())
    }

    fn is_publishing(&self) -> bool {
        self.streams.iter().any(|s| matches!(s.state, StreamState::Publishing { .. }))
    }

    fn is_playing(&self) -> bool {
        self.streams.iter().any(|s| matches!(s.state, StreamState::Playing))
    }

    fn defer(&mut self, message: Message) -> Result<(), Error> {
        self.deferred_bytes += message.payload.len() + DEFERRED_OVERHEAD;
        if self.deferred_bytes > MAX_DEFERRED {
            return Err(Error::TooMuchDeferred { limit: MAX_DEFERRED });
        }
        self.deferred.push_back(message);
        Ok(())
    }

    /// Goes on with what waited for a decision. The time it took is not the client's.
    fn resume(&mut self, now: Instant) -> Result<(), Error> {
        self.times.setup = now;
        self.times.progress = now;
        self.times.input = now;
        self.deferred_bytes = 0;
        for message in std::mem::take(&mut self.deferred) {
            let result = if self.must_wait(&message) {
                self.defer(message)
            } else {
                self.dispatch(message, now)
            };
            self.close_on_error(result)?;
        }
        Ok(())
    }

    fn dispatch(&mut self, message: Message, now: Instant) -> Result<(), Error> {
        match message.kind {
            Kind::CommandAmf0 | Kind::CommandAmf3 => {
                let command = Command::parse(message.kind, &message.payload)?;
                self.handle_command(&command, StreamId(message.stream_id), now)
            }
            Kind::Audio | Kind::Video | Kind::DataAmf0 | Kind::DataAmf3 => self.media(message),
            Kind::Aggregate => aggregate::split(&message).try_for_each(|sub| self.media(sub?)),
            Kind::UserControl => {
                if let Some(control) = Control::parse(message.kind, &message.payload)? {
                    self.handle_control(&control);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn media(&mut self, message: Message) -> Result<(), Error> {
        let Message { kind, stream_id, timestamp, payload, .. } = message;
        let stream = StreamId(stream_id);
        let is_data = matches!(kind, Kind::DataAmf0 | Kind::DataAmf3);
        match self.streams.iter().find(|s| s.id == stream).map(|s| &s.state) {
            Some(StreamState::Publishing { .. }) if payload.is_empty() => return Ok(()),
            Some(StreamState::Publishing { .. }) => {}
            Some(StreamState::Ended) => return Ok(()),
            // Flash sends data on any stream, and nobody needs it.
            _ if is_data => return Ok(()),
            _ => return Err(Error::UnexpectedMedia { stream: stream_id }),
        }
        self.events.push_back(match kind {
            Kind::Audio => Event::Audio { stream, timestamp, payload },
            Kind::Video => Event::Video { stream, timestamp, payload },
            _ => match message::script_data(kind, payload) {
                payload if message::is_sample_access(&payload) => return Ok(()),
                payload => Event::Data { stream, timestamp, payload },
            },
        });
        Ok(())
    }

    fn deadline(&self) -> Option<(Instant, Timer)> {
        let Times { created, setup, progress, input, ping } = self.times;
        let config = &self.config;
        match self.phase {
            Phase::Closed => None,
            Phase::Handshake(_) => Some((created + config.handshake_timeout, Timer::Handshake)),
            _ if self.is_publishing() => Some(if ping > input {
                (input + config.publisher_idle, Timer::Idle)
            } else {
                (input + config.publisher_idle / 2, Timer::Ping)
            }),
            _ if self.is_playing() => Some((input.max(ping) + config.player_ping, Timer::Ping)),
            // It is the owner who takes the time.
            _ if self.is_pending() => None,
            _ => {
                let step = progress + config.setup_timeout;
                Some((step.min(setup + config.setup_limit), Timer::Setup))
            }
        }
    }

    /// Asks for a sign of life; the time is the session's age in milliseconds.
    fn ping(&mut self, now: Instant) {
        self.times.ping = now;
        let age = now.saturating_duration_since(self.times.created).as_millis();
        let [.., a, b, c, d] = age.to_be_bytes();
        self.user_event(UserEvent::PingRequest(u32::from_be_bytes([a, b, c, d])));
    }

    fn user_event(&mut self, event: UserEvent) {
        Control::User(event).write(&mut self.out, self.size);
    }

    /// Sends a command of the connection itself.
    fn answer(&mut self, command: &Command) -> Result<(), Error> {
        command.write(&mut self.out, chunk::COMMAND, 0, self.size)
    }

    fn state_mut(&mut self, id: StreamId) -> Result<&mut StreamState, Error> {
        let stream = self.streams.iter_mut().find(|stream| stream.id == id);
        stream.map(|stream| &mut stream.state).ok_or(Error::NotPending(id.0))
    }

    fn close_on_error(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        if result.is_err() {
            self.phase = Phase::Closed;
            self.deferred = VecDeque::new();
        }
        result
    }
}

impl StreamState {
    fn is_pending(&self) -> bool {
        matches!(self, Self::PublishPending { .. } | Self::PlayPending { .. })
    }
}

#[cfg(test)]
mod tests;
