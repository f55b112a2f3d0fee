//! FLV tags, each of them a WebSocket message if so wanted.
//!
//! FLV 10.1 E.3; RFC 6455 §5.2: frames of a server are not masked, so that one serialisation
//! serves every viewer.

use bytes::{BufMut, Bytes, BytesMut};
use flv::tag;
use media::{Frame, TrackSet};
use ws::frame::{Opcode, write_frame_header};

use super::body::{self, Body};
use super::{Dialect, MAX_FRAME_HEADER, Packager, begin, meaning};
use crate::Packet;

/// The packager of HTTP-FLV and WebSocket-FLV.
#[derive(Debug)]
pub(super) struct Flv {
    websocket: bool,
    dialect: Dialect,
}

impl Flv {
    pub(super) fn new(websocket: bool, dialect: Dialect) -> Self {
        Self { websocket, dialect }
    }

    fn write(&self, body: &Body, dts_ms: i64, out: &mut BytesMut) {
        let len = body.header.len() + body.payload.len();
        let tag_len = tag::HEADER_LEN + len + tag::TRAILER_LEN;
        out.reserve(MAX_FRAME_HEADER + tag_len);
        if self.websocket {
            write_frame_header(out, Opcode::Binary, true, tag_len);
        }
        tag::write_header(out, body.kind, wire_time(dts_ms), len);
        out.put_slice(&body.header);
        out.put_slice(&body.payload);
        tag::write_trailer(out, len);
    }
}

impl Packager for Flv {
    fn prologue(&mut self, tracks: &TrackSet, out: &mut BytesMut) {
        body::of_tracks(tracks, self.dialect, |body| self.write(&body, 0, out));
    }

    fn push(&mut self, frame: &Frame, tracks: &TrackSet, out: &mut Vec<Packet>) {
        let dts_ms = frame.dts.millis();
        body::of_frame(frame, tracks, self.dialect, |body| {
            if body.header.len() + body.payload.len() > tag::MAX_BODY {
                return;
            }
            let mut bytes = BytesMut::new();
            self.write(&body, dts_ms, &mut bytes);
            out.push(Packet {
                bytes: bytes.freeze(),
                kind: meaning(frame),
                track: frame.track.kind,
                dts_ms,
                epoch: tracks.epoch,
                datagrams: None,
            });
        });
    }
}

/// The file header that a viewer of these tracks gets, in the form of its transport.
#[must_use]
pub fn file_header(tracks: &TrackSet, websocket: bool) -> Bytes {
    let header = tag::FileHeader {
        audio: tracks.has(media::TrackKind::Audio),
        video: tracks.has(media::TrackKind::Video),
    };
    let bytes = header.bytes();
    let mut out = begin(websocket, bytes.len());
    out.put_slice(&bytes);
    out.freeze()
}

/// Milliseconds as the wire has them: 32 bits, which wrap.
pub(super) fn wire_time(dts_ms: i64) -> u32 {
    let [a, b, c, d, ..] = dts_ms.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
