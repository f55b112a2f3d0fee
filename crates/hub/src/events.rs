//! What operators hear of: sessions that come and go, streams that begin and end, files.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::{EndReason, Session, StreamName};

/// What takes part in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Group {
    /// Publishers and pulls.
    pub inputs: usize,
    /// Viewers and pushes.
    pub outputs: usize,
    /// Those of the outputs that are pushes.
    pub pushes: usize,
}

impl Group {
    /// Those who watch: outputs that are no pushes.
    #[must_use]
    pub fn viewers(self) -> usize {
        self.outputs.saturating_sub(self.pushes)
    }
}

/// Something that has happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A client of RTMP has connected, and has not said what for.
    Connected {
        /// Its session, which has no address yet.
        session: Arc<Session>,
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
        session: Arc<Session>,
        /// The stream.
        stream: StreamName,
        /// Who takes part now.
        group: Group,
    },
    /// A session takes part no more. Told of a pull that came to nothing, too.
    Left {
        /// The session.
        session: Arc<Session>,
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
    /// A device has registered that was not here.
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

/// The 20 digits of a device or channel of GB/T 28181.
pub type DeviceId = Arc<str>;

/// A channel of a device that was asked to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The stream that it becomes.
    pub stream: StreamName,
    /// The device.
    pub device: DeviceId,
    /// The channel.
    pub channel: DeviceId,
    /// Whether it is a recording.
    pub recording: bool,
}

/// A recording.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// What is recorded.
    pub stream: StreamName,
    /// `flv`, `ts` or `mp4`.
    pub format: &'static str,
    /// Where it is.
    pub path: String,
    /// Its size so far.
    pub bytes: u64,
    /// How much it holds.
    pub duration: Duration,
}

/// A segment of HLS on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// What it is a part of.
    pub stream: StreamName,
    /// Whether it is complete, and in the playlist.
    pub complete: bool,
    /// The file.
    pub file: String,
    /// The playlist with the newest segments.
    pub live_playlist: String,
    /// The playlist with all segments; empty if there is none.
    pub record_playlist: String,
    /// Its number.
    pub number: u64,
    /// How much it holds; zero before it is complete.
    pub duration: Duration,
}

/// Hears of events. It is called where they happen, so it must not block.
pub trait Observer: Send + Sync {
    /// Something has happened.
    fn observe(&self, event: &Event);
}

/// Tells observers.
#[derive(Default)]
pub struct Events {
    observers: RwLock<Vec<Arc<dyn Observer>>>,
}

impl Events {
    /// `observer` is told from now on.
    pub fn add(&self, observer: Arc<dyn Observer>) {
        self.observers.write().push(observer);
    }

    /// Tells all observers.
    pub fn emit(&self, event: &Event) {
        self.observers.read().iter().for_each(|observer| observer.observe(event));
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({})", self.observers.read().len())
    }
}
