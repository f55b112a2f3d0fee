//! A publisher that the program feeds with frames: access units of any codec, with times of any
//! clock.
//!
//! Video is taken as MP4 and FLV have it (NAL units with lengths, parameter sets in the
//! configuration) or as a byte stream (ITU-T H.264 Annex B); AAC raw, with its
//! `AudioSpecificConfig`, or with ADTS headers. What cannot be meant is refused with a reason, and
//! the publisher goes on; a clock that begins anew is joined to what was, as that of any peer.

mod error;
mod track;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hub::{EndReason, PublishError, Session, StreamName};
use media::{Codec, Ticks, TrackId, TrackKind, inspect};

pub use self::error::{FrameError, TrackError};
use self::track::Inbound;
use crate::context::{Context, Tenure};
use crate::ingest::MAX_TRACKS;
use crate::ingest::frames::FrameIngest;

/// How the payload of frames lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// As in MP4 and FLV: NAL units with lengths before them, raw AAC.
    Container,
    /// As in a byte stream: NAL units with start codes (Annex B), AAC with ADTS headers.
    ByteStream,
}

/// A track that is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackDescription {
    codec: Codec,
    config: Bytes,
    framing: Option<Framing>,
    sound: Option<(u32, u8)>,
}

impl TrackDescription {
    /// A track of this codec.
    ///
    /// Without more, H.264, HEVC and VVC are expected as byte streams with their parameter sets
    /// before key frames, and AAC with ADTS headers; the other codecs need no description.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self { codec, config: Bytes::new(), framing: None, sound: None }
    }

    /// The decoder configuration as MP4 has it: the contents of `avcC`, `hvcC`, `av1C` or `vpcC`,
    /// an `AudioSpecificConfig`, an `OpusHead`. Frames are then expected as in MP4, unless
    /// [`TrackDescription::framing`] says otherwise.
    #[must_use]
    pub fn config(self, config: impl Into<Bytes>) -> Self {
        Self { config: config.into(), ..self }
    }

    /// How the payload lies in memory. It makes a difference for H.264, HEVC, VVC and AAC.
    #[must_use]
    pub fn framing(self, framing: Framing) -> Self {
        Self { framing: Some(framing), ..self }
    }

    /// The sample rate in Hz and the number of channels, for sound whose frames do not tell: G.711
    /// is taken for 8 kHz mono otherwise, Opus for stereo.
    #[must_use]
    pub fn sound(self, sample_rate: u32, channels: u8) -> Self {
        Self { sound: Some((sample_rate, channels)), ..self }
    }
}

/// One coded picture, or sound, with its times.
#[derive(Debug, Clone)]
pub struct AccessUnit {
    track: TrackId,
    pts: Ticks,
    dts: Ticks,
    key: Option<bool>,
    data: Bytes,
}

impl AccessUnit {
    /// What is presented at `pts`, and decoded in the order of presentation.
    #[must_use]
    pub fn new(track: TrackId, pts: Ticks, data: impl Into<Bytes>) -> Self {
        Self { track, pts, dts: pts, key: None, data: data.into() }
    }

    /// When it is decoded, for pictures that are sent in another order than they are presented in.
    #[must_use]
    pub fn dts(self, dts: Ticks) -> Self {
        Self { dts, ..self }
    }

    /// Whether a viewer can begin with it. Without a word, the payload is looked at: that is enough
    /// for all codecs but those that are not known here.
    #[must_use]
    pub fn key(self, key: bool) -> Self {
        Self { key: Some(key), ..self }
    }
}

/// A publisher that the program itself feeds with frames.
///
/// Dropped, it leaves the stream, as a peer that closes its connection does.
#[derive(Debug)]
pub struct FramePublisher {
    tenure: Tenure,
    ingest: FrameIngest,
    tracks: Vec<Inbound>,
    read: u64,
}

impl FramePublisher {
    /// Begins to publish.
    ///
    /// # Errors
    /// [`PublishError`] when the stream is taken.
    pub fn new(context: &Arc<Context>, name: &StreamName) -> Result<Self, PublishError> {
        let (tenure, publication) = super::publish(context, name)?;
        let ingest = FrameIngest::new(publication);
        Ok(Self { tenure, ingest, tracks: Vec::new(), read: 0 })
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        self.tenure.session()
    }

    /// Adds a track, whose frames may come from now on. The first of its kind is the one that
    /// viewers get who know of one alone.
    ///
    /// # Errors
    /// [`TrackError`] says why it cannot be.
    pub fn add_track(
        &mut self,
        description: TrackDescription,
        now: Instant,
    ) -> Result<TrackId, TrackError> {
        let codec = description.codec;
        let kind = inspect::kind(codec).ok_or(TrackError::Codec(codec))?;
        let number = |kind| self.tracks.iter().filter(|track| track.id().kind == kind).count();
        let index = u8::try_from(number(kind)).unwrap_or(u8::MAX);
        if index >= MAX_TRACKS {
            return Err(TrackError::TooMany);
        }
        let has = |wanted| wanted == kind || number(wanted) > 0;
        let (video, audio) = (has(TrackKind::Video), has(TrackKind::Audio));
        let id = TrackId { kind, index };
        let mut inbound = Inbound::new(id, description)?;
        let announced = self.ingest.announce(video, audio, now);
        let shown = announced.and_then(|()| inbound.show(&mut self.ingest, now));
        shown.map_err(|_| TrackError::Ended(self.end()))?;
        self.tracks.push(inbound);
        Ok(id)
    }

    /// Gives a track another configuration, in the form of [`TrackDescription::config`]. Frames
    /// that follow belong to it.
    ///
    /// # Errors
    /// [`TrackError`]; the old configuration stays then.
    pub fn set_config(
        &mut self,
        track: TrackId,
        config: impl Into<Bytes>,
        now: Instant,
    ) -> Result<(), TrackError> {
        let found = self.tracks.iter_mut().find(|known| known.id() == track);
        let inbound = found.ok_or(TrackError::Absent(track))?;
        inbound.configure(&config.into())?;
        let shown = inbound.show(&mut self.ingest, now);
        shown.map_err(|_| TrackError::Ended(self.end()))
    }

    /// Publishes a frame; `now` is when it came. A payload of nothing but parameter sets is no
    /// frame, and changes the configuration.
    ///
    /// # Errors
    /// [`FrameError`] says why the frame is not taken.
    pub fn send(&mut self, unit: &AccessUnit, now: Instant) -> Result<(), FrameError> {
        if let Some(reason) = self.tenure.session().ending() {
            return Err(FrameError::Ended(reason));
        }
        let found = self.tracks.iter_mut().find(|track| track.id() == unit.track);
        let inbound = found.ok_or(FrameError::Track(unit.track))?;
        let frames = inbound.take(unit, now)?;
        self.read += unit.data.len() as u64;
        self.tenure.session().set_totals(self.read, 0);
        let mut sent = inbound.show(&mut self.ingest, now);
        for frame in frames {
            sent = sent.and_then(|()| self.ingest.frame(frame));
        }
        sent.map_err(|_| FrameError::Ended(self.end()))
    }

    /// Why the session has ended.
    fn end(&self) -> EndReason {
        self.tenure.session().ending().unwrap_or(EndReason::TakenOver)
    }
}

impl Drop for FramePublisher {
    fn drop(&mut self) {
        super::close(&mut self.tenure);
    }
}
