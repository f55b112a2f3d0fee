//! Fragments of MP4: one for each picture with the sound before the next, or one for each frame of
//! sound where there are no pictures.

use ::mp4::{Fragment, Fragmenter};
use bytes::{BufMut, BytesMut};
use media::{Frame, FrameKind, Ticks, TimeBase, TrackId, TrackKind, TrackSet};

use super::{Packager, begin};
use crate::Packet;

/// Sound waits no longer than this for the picture that its fragment ends with.
const SOUND_PATIENCE: Ticks = Ticks { value: 200, base: TimeBase::MILLIS };

/// The packager of HTTP-fMP4 and WebSocket-fMP4.
#[derive(Debug)]
pub(super) struct Mp4 {
    websocket: bool,
    fragmenter: Fragmenter,
    /// Belongs before the next packet: the end of old tracks, and the section of the new ones.
    due: Vec<Packet>,
    /// Some viewer may play by a section already.
    begun: bool,
}

impl Mp4 {
    pub(super) fn new(websocket: bool) -> Self {
        let fragmenter = Fragmenter::new();
        Self { websocket, fragmenter, due: Vec::new(), begun: false }
    }

    fn wrap(&self, bytes: BytesMut) -> BytesMut {
        if !self.websocket {
            return bytes;
        }
        let mut message = begin(true, bytes.len());
        message.put_slice(&bytes);
        message
    }

    fn packet(&self, fragment: Fragment, epoch: u32) -> Packet {
        let video = self.fragmenter.carries(TrackId::video(0));
        let (kind, track) = match (video, fragment.independent && fragment.has_key) {
            (true, true) => (FrameKind::Key, TrackKind::Video),
            (true, false) => (FrameKind::Delta, TrackKind::Video),
            (false, _) => (FrameKind::Audio, TrackKind::Audio),
        };
        let dts_ms = fragment.start.millis();
        Packet {
            bytes: self.wrap(fragment.bytes).freeze(),
            kind,
            track,
            dts_ms,
            epoch,
            datagrams: None,
        }
    }
}

impl Packager for Mp4 {
    fn prologue(&mut self, tracks: &TrackSet, out: &mut BytesMut) {
        let last_epoch = tracks.epoch.wrapping_sub(1);
        if let Some(change) = self.fragmenter.set_tracks(tracks) {
            let end = change.rest.as_ref().map_or(0, |rest| rest.start.millis());
            self.due.extend(change.rest.map(|rest| self.packet(rest, last_epoch)));
            if self.begun {
                let section = self.wrap(BytesMut::from(&self.fragmenter.init()[..]));
                let (kind, track) = (FrameKind::Config, TrackKind::Data);
                let epoch = tracks.epoch;
                self.due.push(Packet {
                    bytes: section.freeze(),
                    kind,
                    track,
                    dts_ms: end,
                    epoch,
                    datagrams: None,
                });
            }
        }
        if !self.fragmenter.is_empty() {
            self.begun = true;
            out.put_slice(&self.wrap(BytesMut::from(&self.fragmenter.init()[..])));
        }
    }

    fn push(&mut self, frame: &Frame, tracks: &TrackSet, out: &mut Vec<Packet>) {
        out.append(&mut self.due);
        self.fragmenter.push(frame);
        let paces = match frame.kind {
            FrameKind::Config | FrameKind::Data => false,
            FrameKind::Key | FrameKind::Delta | FrameKind::Leading => {
                frame.track == TrackId::video(0)
            }
            FrameKind::Audio => {
                !self.fragmenter.carries(TrackId::video(0))
                    || self.fragmenter.waiting_sound().is_some_and(|span| span > SOUND_PATIENCE)
            }
        };
        if !paces {
            return;
        }
        let until = match frame.kind {
            FrameKind::Audio => Ticks::new(i64::MAX, TimeBase::MILLIS),
            _ => frame.dts,
        };
        if let Some(fragment) = self.fragmenter.cut(until) {
            out.push(self.packet(fragment, tracks.epoch));
        }
    }

    fn flush(&mut self, epoch: u32, out: &mut Vec<Packet>) {
        if let Some(fragment) = self.fragmenter.finish() {
            out.push(self.packet(fragment, epoch));
        }
    }
}
