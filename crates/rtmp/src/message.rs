//! Messages: RTMP 1.0 §5.4 (protocol control), §6.2 and §7.1 (types, user control events).

use bytes::{BufMut, Bytes, BytesMut};
use media::Reader;

use crate::{Error, chunk};

/// The type of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the specification's own
pub enum Kind {
    SetChunkSize,
    Abort,
    Acknowledgement,
    UserControl,
    WindowAckSize,
    SetPeerBandwidth,
    Audio,
    Video,
    DataAmf3,
    SharedObjectAmf3,
    CommandAmf3,
    DataAmf0,
    SharedObjectAmf0,
    CommandAmf0,
    Aggregate,
    /// A type id that the specification does not name.
    Other(u8),
}

impl From<u8> for Kind {
    fn from(id: u8) -> Self {
        match id {
            1 => Self::SetChunkSize,
            2 => Self::Abort,
            3 => Self::Acknowledgement,
            4 => Self::UserControl,
            5 => Self::WindowAckSize,
            6 => Self::SetPeerBandwidth,
            8 => Self::Audio,
            9 => Self::Video,
            15 => Self::DataAmf3,
            16 => Self::SharedObjectAmf3,
            17 => Self::CommandAmf3,
            18 => Self::DataAmf0,
            19 => Self::SharedObjectAmf0,
            20 => Self::CommandAmf0,
            22 => Self::Aggregate,
            other => Self::Other(other),
        }
    }
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::SetChunkSize => 1,
            Kind::Abort => 2,
            Kind::Acknowledgement => 3,
            Kind::UserControl => 4,
            Kind::WindowAckSize => 5,
            Kind::SetPeerBandwidth => 6,
            Kind::Audio => 8,
            Kind::Video => 9,
            Kind::DataAmf3 => 15,
            Kind::SharedObjectAmf3 => 16,
            Kind::CommandAmf3 => 17,
            Kind::DataAmf0 => 18,
            Kind::SharedObjectAmf0 => 19,
            Kind::CommandAmf0 => 20,
            Kind::Aggregate => 22,
            Kind::Other(id) => id,
        }
    }
}

/// A whole message, as it came over a chunk stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The chunk stream that carried it.
    pub chunk_stream: u32,
    /// What its payload is.
    pub kind: Kind,
    /// The message stream it belongs to; 0 is the connection itself.
    pub stream_id: u32,
    /// Milliseconds, modulo 2³².
    pub timestamp: u32,
    /// The body.
    pub payload: Bytes,
}

/// The limit type of Set Peer Bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the specification's own
pub enum BandwidthLimit {
    Hard,
    Soft,
    Dynamic,
    Other(u8),
}

impl From<u8> for BandwidthLimit {
    fn from(value: u8) -> Self {
        match value {
            0 => Self::Hard,
            1 => Self::Soft,
            2 => Self::Dynamic,
            other => Self::Other(other),
        }
    }
}

impl From<BandwidthLimit> for u8 {
    fn from(limit: BandwidthLimit) -> Self {
        match limit {
            BandwidthLimit::Hard => 0,
            BandwidthLimit::Soft => 1,
            BandwidthLimit::Dynamic => 2,
            BandwidthLimit::Other(other) => other,
        }
    }
}

/// A protocol control message (§5.4) or a user control message (§7.1.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Chunks that follow are of this size.
    SetChunkSize(u32),
    /// The incomplete message on this chunk stream is dropped.
    Abort(u32),
    /// So many bytes were received, modulo 2³².
    Acknowledgement(u32),
    /// The receiver is to acknowledge each time so many bytes have come.
    WindowAckSize(u32),
    /// The receiver is not to have more than this unacknowledged.
    SetPeerBandwidth(u32, BandwidthLimit),
    /// An event about the connection or a message stream.
    User(UserEvent),
}

/// A user control event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserEvent {
    /// The message stream can be used.
    StreamBegin(u32),
    /// Playback on the message stream is over.
    StreamEof(u32),
    /// There is no data on the message stream for a while.
    StreamDry(u32),
    /// The client buffers so many milliseconds of the message stream.
    SetBufferLength {
        /// The message stream.
        stream: u32,
        /// The buffer's length.
        millis: u32,
    },
    /// The message stream plays a recording.
    StreamIsRecorded(u32),
    /// The receiver is to send the time back.
    PingRequest(u32),
    /// The answer to a ping request.
    PingResponse(u32),
    /// An event that the specification does not name (31 and 32 are Flash's buffer events).
    Other {
        /// The event type.
        event: u16,
        /// Its data.
        data: Bytes,
    },
}

impl Control {
    /// Reads the body of a message; `None` if its type is not one of a control message.
    ///
    /// # Errors
    /// [`Error::Field`] if the body is too short; what follows the fields is ignored.
    pub fn parse(kind: Kind, payload: &Bytes) -> Result<Option<Self>, Error> {
        let mut r = Reader::new(payload);
        Ok(Some(match kind {
            Kind::SetChunkSize => Self::SetChunkSize(r.u32()?),
            Kind::Abort => Self::Abort(r.u32()?),
            Kind::Acknowledgement => Self::Acknowledgement(r.u32()?),
            Kind::WindowAckSize => Self::WindowAckSize(r.u32()?),
            // Some peers leave the limit type out.
            Kind::SetPeerBandwidth => {
                Self::SetPeerBandwidth(r.u32()?, BandwidthLimit::from(r.u8().unwrap_or(2)))
            }
            Kind::UserControl => Self::User(match r.u16()? {
                0 => UserEvent::StreamBegin(r.u32()?),
                1 => UserEvent::StreamEof(r.u32()?),
                2 => UserEvent::StreamDry(r.u32()?),
                3 => UserEvent::SetBufferLength { stream: r.u32()?, millis: r.u32()? },
                4 => UserEvent::StreamIsRecorded(r.u32()?),
                6 => UserEvent::PingRequest(r.u32()?),
                7 => UserEvent::PingResponse(r.u32()?),
                event => UserEvent::Other { event, data: payload.slice(r.offset()..) },
            }),
            _ => return Ok(None),
        }))
    }

    /// Appends the message to `out`: on chunk stream 2 and message stream 0, where every peer
    /// expects it, with time stamp 0.
    pub fn write(&self, out: &mut BytesMut, size: chunk::Size) {
        let mut body = BytesMut::with_capacity(10);
        let kind = match self {
            Self::SetChunkSize(value) => {
                body.put_u32(*value);
                Kind::SetChunkSize
            }
            Self::Abort(chunk_stream) => {
                body.put_u32(*chunk_stream);
                Kind::Abort
            }
            Self::Acknowledgement(sequence) => {
                body.put_u32(*sequence);
                Kind::Acknowledgement
            }
            Self::WindowAckSize(window) => {
                body.put_u32(*window);
                Kind::WindowAckSize
            }
            Self::SetPeerBandwidth(window, limit) => {
                body.put_u32(*window);
                body.put_u8((*limit).into());
                Kind::SetPeerBandwidth
            }
            Self::User(event) => {
                event.write_body(&mut body);
                Kind::UserControl
            }
        };
        let header =
            chunk::Header { chunk_stream: chunk::CONTROL, kind, stream_id: 0, timestamp: 0 };
        // Only event data that the caller invented could be too long for a message.
        let _ = chunk::write_message(out, header, &[&body], size);
    }
}

impl UserEvent {
    fn write_body(&self, body: &mut BytesMut) {
        let (event, value) = match self {
            Self::StreamBegin(stream) => (0, *stream),
            Self::StreamEof(stream) => (1, *stream),
            Self::StreamDry(stream) => (2, *stream),
            Self::SetBufferLength { stream, .. } => (3, *stream),
            Self::StreamIsRecorded(stream) => (4, *stream),
            Self::PingRequest(time) => (6, *time),
            Self::PingResponse(time) => (7, *time),
            Self::Other { event, data } => {
                body.put_u16(*event);
                body.put_slice(data);
                return;
            }
        };
        body.put_u16(event);
        body.put_u32(value);
        if let Self::SetBufferLength { millis, .. } = self {
            body.put_u32(*millis);
        }
    }
}

/// The AMF0 values of script data: those of AMF3 messages stand behind a format selector of zero.
pub(crate) fn script_data(kind: Kind, payload: Bytes) -> Bytes {
    if kind == Kind::DataAmf3 && payload.first() == Some(&0) { payload.slice(1..) } else { payload }
}

/// Whether script data is `|RtmpSampleAccess`: what a player may do, not a part of the stream.
pub(crate) fn is_sample_access(payload: &[u8]) -> bool {
    payload.starts_with(b"\x02\x00\x11|RtmpSampleAccess")
}
