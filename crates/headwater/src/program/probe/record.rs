//! What came, frame by frame.

use std::time::Duration;

use bytes::Bytes;
use flv::tag::{Kind, Tag};
use flv::{amf0, audio, script, video};
use media::{Codec, Details, TrackId, inspect, nal};

/// Frames that are looked at in all: an hour of a large file.
const MAX_FRAMES: usize = 1_000_000;

/// A frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Milliseconds, unwrapped.
    pub(super) dts: i64,
    /// Milliseconds.
    pub(super) cts: i32,
    pub(super) bytes: usize,
    pub(super) key: bool,
    /// When it came, since listening began.
    pub(super) arrival: Duration,
}

/// A track, as it came.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) codec: Codec,
    pub(super) enhanced: bool,
    pub(super) config: Bytes,
    pub(super) details: Details,
    /// How often the configuration changed after the first.
    pub(super) changes: usize,
    pub(super) frames: Vec<Seen>,
}

/// Takes tags down.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) is_live: bool,
    pub(super) tracks: Vec<Track>,
    pub(super) metadata: Option<amf0::Object>,
    /// Tags that could not be read.
    pub(super) malformed: usize,
    /// The longest distance between audio and video that came beside each other, in milliseconds.
    pub(super) interleave: i64,
    clock: Option<(u32, i64)>,
    newest: [Option<i64>; 2],
    count: usize,
}

impl Recorder {
    pub(super) fn new(is_live: bool) -> Self {
        Self {
            is_live,
            tracks: Vec::new(),
            metadata: None,
            malformed: 0,
            interleave: 0,
            clock: None,
            newest: [None; 2],
            count: 0,
        }
    }

    /// Takes a tag down. Returns whether more can be taken.
    pub(super) fn take(&mut self, tag: &Tag, arrival: Duration) -> bool {
        let dts = self.unwrap(tag.timestamp);
        match tag.kind {
            Kind::Video => match video::Message::parse(&tag.body) {
                Ok(message) => self.video(message, dts, arrival),
                Err(_) => self.malformed += 1,
            },
            Kind::Audio => match audio::Message::parse(&tag.body) {
                Ok(message) => self.audio(message, dts, arrival),
                Err(_) => self.malformed += 1,
            },
            Kind::Script => {
                let body = script::without_set_data_frame(&tag.body);
                if script::name(&body).as_deref() == Ok("onMetaData") {
                    self.metadata = script::properties(&body).ok().or_else(|| self.metadata.take());
                }
            }
            Kind::Other(_) => {}
        }
        self.count < MAX_FRAMES
    }

    /// The time, through the wrap of the wire's 32 bits.
    fn unwrap(&mut self, timestamp: u32) -> i64 {
        let (last, at) = self.clock.unwrap_or_else(|| (timestamp, i64::from(timestamp)));
        let at = at + i64::from(timestamp.wrapping_sub(last).cast_signed());
        self.clock = Some((timestamp, at));
        at
    }

    fn video(&mut self, message: video::Message, dts: i64, arrival: Duration) {
        let key = message.frame_type == video::FrameType::Key;
        for packet in message.packets {
            let id = TrackId::video(packet.track);
            let track = self.track(id, packet.codec, message.enhanced);
            match packet.packet {
                video::Packet::Config(config) => track.configure(config),
                video::Packet::Frame { cts, data } if !data.is_empty() => {
                    track.look_into(&data);
                    let bytes = data.len();
                    track.frames.push(Seen { dts, cts, bytes, key, arrival });
                    self.count += 1;
                    self.meet(0, dts);
                }
                _ => {}
            }
        }
    }

    fn audio(&mut self, message: audio::Message, dts: i64, arrival: Duration) {
        for packet in message.packets {
            let id = TrackId::audio(packet.track);
            let track = self.track(id, packet.codec, message.legacy.is_none());
            match packet.packet {
                audio::Packet::Config(config) => track.configure(config),
                audio::Packet::Frame(data) if !data.is_empty() => {
                    track.look_into(&data);
                    let (cts, bytes, key) = (0, data.len(), true);
                    track.frames.push(Seen { dts, cts, bytes, key, arrival });
                    self.count += 1;
                    self.meet(1, dts);
                }
                _ => {}
            }
        }
    }

    /// Remembers how far apart the kinds of frames are.
    fn meet(&mut self, kind: usize, dts: i64) {
        let [video, audio] = &mut self.newest;
        *(if kind == 0 { &mut *video } else { &mut *audio }) = Some(dts);
        if let (Some(video), Some(audio)) = (video, audio) {
            self.interleave = self.interleave.max((*video - *audio).abs());
        }
    }

    fn track(&mut self, id: TrackId, codec: Codec, enhanced: bool) -> &mut Track {
        let known = self.tracks.iter().position(|track| track.id == id && track.codec == codec);
        let index = known.unwrap_or_else(|| {
            self.tracks.push(Track {
                id,
                codec,
                enhanced,
                config: Bytes::new(),
                details: Details::Unknown,
                changes: 0,
                frames: Vec::new(),
            });
            self.tracks.len() - 1
        });
        // The index is that of a track that was there or was just put there.
        #[allow(clippy::indexing_slicing)]
        &mut self.tracks[index]
    }
}

impl Track {
    fn configure(&mut self, config: Bytes) {
        if config.is_empty() || config == self.config {
            return;
        }
        self.changes += usize::from(!self.config.is_empty());
        self.details = inspect::details(self.codec, &config).unwrap_or_default();
        self.config = config;
    }

    /// Some codecs describe themselves in their frames.
    fn look_into(&mut self, data: &Bytes) {
        if self.details == Details::Unknown && self.frames.len() < 100 {
            let canonical = inspect::canonical(self.codec, data, nal::LENGTH_SIZE, |_| {});
            let data = canonical.map_or_else(|_| data.clone(), |(data, _)| data);
            self.details = inspect::frame_details(self.codec, &data).unwrap_or_default();
        }
    }
}
