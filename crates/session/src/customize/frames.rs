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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::task::{Context as TaskContext, Poll, Waker};
    use std::time::Duration;

    use hub::{Registry, StreamSettings, Tap, Tapped};
    use media::{FrameKind, TimeBase};
    use proptest::prelude::*;
    use testkit::h264::{Picture, Sequence};

    use super::*;
    use crate::Settings;

    const SEQUENCE: Sequence = Sequence { width: 64, height: 48, rate: (25, 1), reorders: false };

    fn context() -> Arc<Context> {
        let settings = Arc::new(StreamSettings::default());
        Context::new(Registry::new(Arc::new(move |_| settings.clone()), 9), Settings::default())
    }

    fn descriptions() -> Vec<TrackDescription> {
        let codecs = [
            Codec::H264,
            Codec::H265,
            Codec::H266,
            Codec::Av1,
            Codec::Vp9,
            Codec::Aac,
            Codec::Opus,
            Codec::Mp3,
            Codec::Ac3,
            Codec::PcmA,
        ];
        let plain = codecs.map(TrackDescription::new);
        let configured = [
            TrackDescription::new(Codec::H264).config(SEQUENCE.avcc()),
            TrackDescription::new(Codec::Aac).config(testkit::aac::config(44_100, 2)),
            TrackDescription::new(Codec::PcmA).sound(16_000, 2),
        ];
        plain.into_iter().chain(configured).collect()
    }

    /// A payload: anything, or something that is nearly right.
    fn payload() -> impl Strategy<Value = Vec<u8>> {
        let picture = (any::<bool>(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
        let picture = picture.prop_map(|(key, at, byte, harmed)| {
            let mut data = match key {
                true => SEQUENCE.access_unit(Picture::Key { gop: 0 }, None, 0),
                false => SEQUENCE.access_unit(Picture::P { number: 1, display: 1 }, None, 0),
            }
            .to_vec();
            if harmed {
                let at = at.index(data.len());
                data[at] = byte;
            }
            data
        });
        let start_codes = prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|rest| [&[0, 0, 0, 1, 0x65][..], &rest].concat());
        let adts = prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|rest| [&[0xFF, 0xF1, 0x50, 0x80, 0x02, 0x1F, 0xFC][..], &rest].concat());
        let anything = prop::collection::vec(any::<u8>(), 0..60);
        prop_oneof![picture, start_codes, adts, anything]
    }

    /// Any time, mostly one that is not far away.
    fn wild() -> impl Strategy<Value = i64> {
        prop_oneof![1 => any::<i64>(), 9 => -12_000i64..12_000]
    }

    proptest! {
        /// Whatever a program sends, it is refused or it becomes frames whose times never decrease,
        /// and whose NAL units lie within them.
        #[test]
        fn what_is_taken_is_well_formed(
            units in prop::collection::vec(
                (0usize..13, payload(), wild(), -2_000i64..2_000, 1u32..200_000, 0u8..8),
                1..200,
            ),
            steps in prop::collection::vec(0i64..300, 200),
        ) {
            let context = context();
            let name = context.settings.load().stream_name("live", "any").unwrap();
            let mut now = Instant::now();
            let mut publisher = FramePublisher::new(&context, &name).unwrap();
            let tracks: Vec<_> = descriptions()
                .into_iter()
                .map(|description| publisher.add_track(description, now).unwrap())
                .collect();
            let mut tap = Tap::open(&context.registry.find(&name).unwrap(), 64 << 20);
            let mut at = 0;
            for ((track, data, wild, offset, rate, clock), step) in units.into_iter().zip(steps) {
                at += step;
                now += Duration::from_millis(10);
                let base = TimeBase::new(rate).unwrap();
                let dts = match clock {
                    0 => Ticks::new(wild, base),
                    // Another clock, seconds away.
                    1 | 2 => Ticks::from_millis(at + wild % 12_000, base),
                    _ => Ticks::from_millis(at, base),
                };
                let pts = Ticks::new(dts.value.saturating_add(offset), base);
                let unit = AccessUnit::new(tracks[track], pts, data).dts(dts);
                let _ = publisher.send(&unit, now);
            }
            drop(publisher);
            let mut times: HashMap<TrackId, Ticks> = HashMap::new();
            let mut cx = TaskContext::from_waker(Waker::noop());
            while let Poll::Ready(tapped) = tap.poll_next(&mut cx) {
                let Tapped::Frame(frame) = tapped else { continue };
                if frame.kind == FrameKind::Config {
                    continue;
                }
                prop_assert!(!frame.data.is_empty());
                let units = media::nal::iter(&frame.data, &frame.units).count();
                prop_assert_eq!(units, frame.units.len());
                let last = times.insert(frame.track, frame.dts);
                prop_assert!(last.is_none_or(|last| last <= frame.dts), "{:?}", frame);
            }
        }
    }
}
