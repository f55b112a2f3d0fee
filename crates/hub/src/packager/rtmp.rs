//! RTMP messages.
//!
//! RTMP 1.0 §5.3.1: every message begins with a type-0 header and an absolute time, so that one
//! serialisation serves every viewer, and one may start at any message.

use bytes::BytesMut;
use flv::tag::Kind as Tag;
use media::{Frame, TrackSet};
use rtmp::chunk::{self, Header, Size};
use rtmp::message::Kind;

use super::body::{self, Body};
use super::flv::wire_time;
use super::{Dialect, Packager, meaning};
use crate::Packet;

/// How metadata begins: its name, as an AMF0 string.
const ON_META_DATA: &[u8] = b"\x02\x00\x0aonMetaData";

/// What a publisher says before metadata that the server is to give to its viewers.
const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";

/// The packager of RTMP viewers, and of servers that are published to.
#[derive(Debug)]
pub(super) struct Rtmp {
    size: Size,
    stream_id: u32,
    dialect: Dialect,
    publishes: bool,
}

impl Rtmp {
    pub(super) fn new(chunk_size: u32, stream_id: u32, dialect: Dialect, publishes: bool) -> Self {
        let size = Size::new(chunk_size).unwrap_or(Size::DEFAULT);
        Self { size, stream_id, dialect, publishes }
    }

    /// Appends a message; one that is too long for RTMP is left out. Returns whether it was
    /// written.
    fn write(&self, body: &Body, dts_ms: i64, out: &mut BytesMut) -> bool {
        let (chunk_stream, kind) = match body.kind {
            Tag::Audio => (chunk::AUDIO, Kind::Audio),
            Tag::Video => (chunk::VIDEO, Kind::Video),
            Tag::Script | Tag::Other(_) => (chunk::DATA, Kind::DataAmf0),
        };
        let timestamp = wire_time(dts_ms);
        let header = Header { chunk_stream, kind, stream_id: self.stream_id, timestamp };
        let is_metadata = kind == Kind::DataAmf0 && body.payload.starts_with(ON_META_DATA);
        let prefix = if self.publishes && is_metadata { SET_DATA_FRAME } else { &[] };
        let parts = [prefix, &body.header, &body.payload];
        chunk::write_message(out, header, &parts, self.size).is_ok()
    }
}

impl Packager for Rtmp {
    fn prologue(&mut self, tracks: &TrackSet, out: &mut BytesMut) {
        body::of_tracks(tracks, self.dialect, |body| {
            self.write(&body, 0, out);
        });
    }

    fn push(&mut self, frame: &Frame, tracks: &TrackSet, out: &mut Vec<Packet>) {
        let dts_ms = frame.dts.millis();
        body::of_frame(frame, tracks, self.dialect, |body| {
            let mut bytes = BytesMut::new();
            if self.write(&body, dts_ms, &mut bytes) {
                out.push(Packet {
                    bytes: bytes.freeze(),
                    kind: meaning(frame),
                    track: frame.track.kind,
                    dts_ms,
                    epoch: tracks.epoch,
                    datagrams: None,
                });
            }
        });
    }
}
