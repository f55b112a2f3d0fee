//! Transport packets, those of one access unit in one packet of the ring.

use bytes::{BufMut, BytesMut};
use media::{Frame, TrackSet};
use mpeg::ts::{Muxer, Unit};

use super::{Packager, begin, numbered};
use crate::Packet;

/// The packager of HTTP-TS and WebSocket-TS.
///
/// Tables precede every key picture, so that nobody needs a prologue.
#[derive(Debug)]
pub(super) struct Ts {
    websocket: bool,
    muxer: Muxer,
    units: Vec<Unit>,
}

impl Ts {
    pub(super) fn new(websocket: bool) -> Self {
        Self { websocket, muxer: Muxer::new(), units: Vec::new() }
    }
}

impl Packager for Ts {
    fn prologue(&mut self, tracks: &TrackSet, _out: &mut BytesMut) {
        self.muxer.set_tracks(tracks, &mut self.units);
    }

    fn push(&mut self, frame: &Frame, tracks: &TrackSet, out: &mut Vec<Packet>) {
        self.muxer.push(frame, &mut self.units);
        self.wrap(tracks.epoch, out);
    }

    fn flush(&mut self, epoch: u32, out: &mut Vec<Packet>) {
        self.muxer.flush(&mut self.units);
        self.wrap(epoch, out);
    }
}

impl Ts {
    fn wrap(&mut self, epoch: u32, out: &mut Vec<Packet>) {
        for unit in self.units.drain(..) {
            let bytes = if self.websocket {
                let mut message = begin(true, unit.bytes.len());
                message.put_slice(&unit.bytes);
                message
            } else {
                unit.bytes
            };
            out.push(Packet {
                bytes: bytes.freeze(),
                kind: numbered(unit.kind),
                track: unit.track,
                dts_ms: unit.dts.millis(),
                epoch,
                datagrams: None,
            });
        }
    }
}
