//! What happens in the server: sessions and devices that come and go, streams that begin and end,
//! files.
//!
//! [`Handle::events`](crate::Handle::events) gives a queue to read at leisure;
//! [`Builder::on_event`](crate::Builder::on_event) calls a function where things happen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use hub::{EndReason, Observer, Protocol, Role, Session, StreamName};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};

#[doc(inline)]
pub use hub::events::{Call, DeviceId, File, Group, Segment};

/// Events that a receiver may be behind by: a burst of a thousand viewers.
const BEHIND: usize = 1024;

/// A session, as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its unique id, such as `RTMPPUBSUB1`.
    pub id: String,
    /// How they speak.
    pub protocol: Protocol,
    /// Who sends.
    pub role: Role,
    /// The peer's address; `None` for the program itself.
    pub peer: Option<SocketAddr>,
    /// The stream that it takes part in.
    pub stream: Option<StreamName>,
    /// The URL as the peer opened it; empty before it did.
    pub url: String,
    /// What follows `?` in it.
    pub query: String,
    /// Who the peer has proven to be.
    pub user: Option<String>,
    /// When it began.
    pub started: SystemTime,
    /// Bytes read from the peer in all.
    pub read_bytes: u64,
    /// Bytes written to the peer in all.
    pub written_bytes: u64,
    /// What was read lately, in 1024 bits per second.
    pub read_kbits: u64,
    /// What was written lately, in 1024 bits per second.
    pub written_kbits: u64,
    /// How often a viewer has skipped what it was too slow for.
    pub skips: u64,
}

impl SessionInfo {
    pub(crate) fn of(session: &Session) -> Self {
        let (kind, address, moved) = (session.kind(), session.address(), session.statistics());
        Self {
            id: session.id().to_string(),
            protocol: kind.protocol,
            role: kind.role,
            peer: session.peer(),
            stream: session.stream(),
            url: address.url,
            query: address.raw_query,
            user: session.user().map(|user| user.to_string()),
            started: session.started(),
            read_bytes: moved.read_bytes,
            written_bytes: moved.written_bytes,
            read_kbits: moved.read_kbits,
            written_kbits: moved.written_kbits,
            skips: session.skips(),
        }
    }
}

/// Something that has happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A client of RTMP has connected, and has not said what for.
    Connected {
        /// Its session.
        session: SessionInfo,
        /// The application.
        app: String,
        /// What the client calls itself.
        flash_ver: String,
        /// The URL that it has opened.
        tc_url: String,
    },
    /// A session takes part in a stream: it publishes, or is a viewer, which may still wait for the
    /// publisher.
    Joined {
        /// The session.
        session: SessionInfo,
        /// The stream.
        stream: StreamName,
        /// Who takes part now.
        group: Group,
    },
    /// A session takes part no more.
    Left {
        /// The session.
        session: SessionInfo,
        /// The stream.
        stream: StreamName,
        /// Who takes part now.
        group: Group,
        /// Why.
        reason: EndReason,
    },
    /// A stream that nobody published is published.
    StreamStarted(StreamName),
    /// Nobody publishes the stream any more, and nobody returned in time.
    StreamEnded(StreamName),
    /// A recording has begun.
    FileBegun(File),
    /// A recording is complete.
    FileCompleted(File),
    /// A segment of HLS has begun that will be written to a file, or has been written.
    Segment(Segment),
    /// A device of GB/T 28181 has registered that was not here.
    DeviceOnline {
        /// Its 20 digits.
        device: DeviceId,
        /// Where it was heard from.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
    },
    /// A device has left, or says nothing any more.
    DeviceOffline {
        /// Its 20 digits.
        device: DeviceId,
        /// Why.
        reason: String,
    },
    /// A device raises an alarm.
    DeviceAlarm {
        /// Its 20 digits.
        device: DeviceId,
        /// What in it: a channel, or the device itself.
        source: DeviceId,
        /// When, by the device's clock.
        time: String,
        /// What it is about, in the device's words.
        text: String,
    },
    /// A device has said that it sends what it was asked for.
    CallStarted(Call),
    /// It sends no more.
    CallEnded {
        /// What it was asked for.
        call: Call,
        /// Why.
        reason: String,
    },
}

impl Event {
    /// `None` for what programs are not told.
    fn of(event: &hub::Event) -> Option<Self> {
        Some(match event.clone() {
            hub::Event::Connected { session, app, flash_ver, tc_url } => {
                Self::Connected { session: SessionInfo::of(&session), app, flash_ver, tc_url }
            }
            hub::Event::Joined { session, stream, group } => {
                Self::Joined { session: SessionInfo::of(&session), stream, group }
            }
            hub::Event::Left { session, stream, group, reason } => {
                Self::Left { session: SessionInfo::of(&session), stream, group, reason }
            }
            hub::Event::StreamStarted(stream) => Self::StreamStarted(stream),
            hub::Event::StreamEnded(stream) => Self::StreamEnded(stream),
            hub::Event::FileBegun(file) => Self::FileBegun(file),
            hub::Event::FileCompleted(file) => Self::FileCompleted(file),
            hub::Event::Segment(segment) => Self::Segment(segment),
            hub::Event::DeviceOnline { device, address, transport } => {
                Self::DeviceOnline { device, address, transport }
            }
            hub::Event::DeviceOffline { device, reason } => Self::DeviceOffline { device, reason },
            hub::Event::DeviceAlarm { device, source, time, text } => {
                Self::DeviceAlarm { device, source, time, text }
            }
            hub::Event::CallStarted(call) => Self::CallStarted(call),
            hub::Event::CallEnded { call, reason } => Self::CallEnded { call, reason },
            _ => return None,
        })
    }
}

/// A function that is told what happens.
pub(crate) type Listener = dyn Fn(&Event) + Send + Sync;

/// Tells the program what happens.
pub(crate) struct Teller {
    listeners: Vec<Arc<Listener>>,
    /// Nothing once the server has stopped.
    queue: Mutex<Option<broadcast::Sender<Event>>>,
}

impl Teller {
    pub(crate) fn new(listeners: Vec<Arc<Listener>>) -> Self {
        let (queue, _) = broadcast::channel(BEHIND);
        Self { listeners, queue: Mutex::new(Some(queue)) }
    }

    pub(crate) fn receiver(&self) -> Receiver {
        let queue = self.queue.lock().as_ref().map(broadcast::Sender::subscribe);
        Receiver { queue, lost: 0 }
    }

    /// Nothing happens any more.
    pub(crate) fn close(&self) {
        *self.queue.lock() = None;
    }
}

impl Observer for Teller {
    fn observe(&self, event: &hub::Event) {
        let queue = self.queue.lock().clone().filter(|queue| queue.receiver_count() > 0);
        if self.listeners.is_empty() && queue.is_none() {
            return;
        }
        let Some(event) = Event::of(event) else { return };
        self.listeners.iter().for_each(|listener| listener(&event));
        if let Some(queue) = queue {
            // Only fails when the last receiver has just gone.
            let _ = queue.send(event);
        }
    }
}

/// A queue of events. One that is not read holds nothing up: the oldest events go, and are counted.
#[derive(Debug)]
pub struct Receiver {
    queue: Option<broadcast::Receiver<Event>>,
    lost: u64,
}

impl Receiver {
    /// The next event; waits for it. `None` once the server has stopped. May be dropped and called
    /// again: nothing is lost by that.
    pub async fn next(&mut self) -> Option<Event> {
        let queue = self.queue.as_mut()?;
        loop {
            match queue.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(lost)) => self.lost += lost,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were lost because they were not taken in time: more than 1024 waited.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
