//! What a server session tells its owner.

use std::fmt;

use bytes::Bytes;
use flv::amf0::Object;
use flv::caps::Capabilities;

/// A message stream of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The client connects to an application; wants [`accept_connect`] or [`reject_connect`].
    ///
    /// [`accept_connect`]: super::Session::accept_connect
    /// [`reject_connect`]: super::Session::reject_connect
    Connect(Box<ConnectRequest>),
    /// The client wants to publish; wants [`accept_publish`] or [`reject_publish`].
    ///
    /// [`accept_publish`]: super::Session::accept_publish
    /// [`reject_publish`]: super::Session::reject_publish
    Publish {
        /// The message stream.
        stream: StreamId,
        /// The stream's name as it was sent, with its query.
        name: String,
        /// What the publisher wants done with it.
        kind: PublishKind,
    },
    /// The client wants to play; wants [`accept_play`] or [`reject_play`].
    ///
    /// [`accept_play`]: super::Session::accept_play
    /// [`reject_play`]: super::Session::reject_play
    Play {
        /// The message stream.
        stream: StreamId,
        /// What it wants to see.
        request: PlayRequest,
    },
    /// Audio of a publishing stream: an FLV tag body, never empty.
    Audio {
        /// The message stream.
        stream: StreamId,
        /// Milliseconds, modulo 2³².
        timestamp: u32,
        /// The tag body.
        payload: Bytes,
    },
    /// Video of a publishing stream: an FLV tag body, never empty.
    Video {
        /// The message stream.
        stream: StreamId,
        /// Milliseconds, modulo 2³².
        timestamp: u32,
        /// The tag body.
        payload: Bytes,
    },
    /// Script data of a publishing stream: AMF0 values, the first of them a name, which may be
    /// `@setDataFrame`; never `|RtmpSampleAccess`.
    Data {
        /// The message stream.
        stream: StreamId,
        /// Milliseconds, modulo 2³².
        timestamp: u32,
        /// The AMF0 values.
        payload: Bytes,
    },
    /// A publishing or playing stream ended; the connection can go on.
    StreamEnded {
        /// The message stream.
        stream: StreamId,
    },
    /// A player pauses or goes on. It has been answered.
    Pause {
        /// The message stream.
        stream: StreamId,
        /// Whether it pauses.
        on: bool,
        /// The player's position in milliseconds.
        position: f64,
    },
    /// A player wants another position; to be answered with a status.
    Seek {
        /// The message stream.
        stream: StreamId,
        /// The position in milliseconds.
        position: f64,
    },
    /// A player wants audio, or no longer.
    ReceiveAudio {
        /// The message stream.
        stream: StreamId,
        /// Whether it wants it.
        on: bool,
    },
    /// A player wants video, or no longer.
    ReceiveVideo {
        /// The message stream.
        stream: StreamId,
        /// Whether it wants it.
        on: bool,
    },
    /// A player tells how much it buffers.
    SetBufferLength {
        /// The message stream.
        stream: StreamId,
        /// Milliseconds.
        millis: u32,
    },
}

/// What a client says when it connects.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectRequest {
    /// The application, as sent; often with an instance, sometimes with a query, may be empty.
    pub app: String,
    /// The URL that the client thinks it connects to.
    pub tc_url: String,
    /// The client's software.
    pub flash_ver: String,
    /// The player's URL.
    pub swf_url: String,
    /// The page the player is on.
    pub page_url: String,
    /// 0 or 3: the AMF version the client prefers.
    pub object_encoding: f64,
    /// What it announces of Enhanced RTMP.
    pub capabilities: Capabilities,
    /// The whole command object.
    pub object: Object,
}

/// What a publisher wants done with its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PublishKind {
    /// Nothing but distribution; also what a publisher without a wish gets.
    #[default]
    Live,
    /// A recording.
    Record,
    /// A recording that continues an earlier one.
    Append,
}

/// What a player wants to see (§7.2.2.1).
#[derive(Debug, Clone, PartialEq)]
pub struct PlayRequest {
    /// The stream's name as it was sent, with its query.
    pub name: String,
    /// −2: live, or else recorded; −1: live only; from 0 on: recorded, from this second.
    pub start: f64,
    /// Seconds; −1: to the end.
    pub duration: f64,
    /// Whether an earlier playlist is dropped.
    pub reset: bool,
}
