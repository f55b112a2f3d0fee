//! One track of the program on its way in.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::Superseded;
use media::{
    AudioDetails, Codec, Details, Error, Frame, FrameKind, SampleClock, Ticks, TimeBase, TrackId,
    TrackKind, Units, aac, inspect, nal, opus,
};

use super::{AccessUnit, FrameError, Framing, TrackDescription, TrackError};
use crate::ingest::MAX_CONFIG;
use crate::ingest::frames::FrameIngest;
use crate::ingest::rtp::is_enhanced;
use crate::ingest::track::TrackIngest;

/// The largest frame: what a tag of FLV can carry.
pub(super) const MAX_FRAME: usize = flv::tag::MAX_BODY;

/// No decoder keeps a picture back for longer.
pub(super) const MAX_OFFSET: Duration = Duration::from_secs(10);

/// A step back by more is another clock, and no mistake.
const RESTART: Duration = Duration::from_secs(5);

/// What is known of a track while the program sends.
#[derive(Debug)]
pub(super) struct Inbound {
    track: TrackIngest,
    framing: Framing,
    /// The program's own time of the last frame.
    last: Option<Ticks>,
    samples: SampleClock,
}

impl Inbound {
    pub(super) fn new(id: TrackId, description: TrackDescription) -> Result<Self, TrackError> {
        let TrackDescription { codec, config, framing, sound } = description;
        let framing = framing.unwrap_or(match config.is_empty() {
            true => Framing::ByteStream,
            false => Framing::Container,
        });
        let track = TrackIngest::new(id, codec, is_enhanced(codec));
        let mut inbound = Self { track, framing, last: None, samples: SampleClock::default() };
        if !config.is_empty() {
            inbound.configure(&config)?;
        } else if codec == Codec::Opus {
            let channels = sound.map_or(2, |(_, channels)| channels);
            inbound.configure(&opus::Head::new(channels).to_bytes())?;
        } else if let (Some((sample_rate, channels)), TrackKind::Audio) = (sound, id.kind) {
            let details = AudioDetails { sample_rate, channels, profile: 0 };
            inbound.track.set_details(Details::Audio(details));
        }
        Ok(inbound)
    }

    pub(super) fn id(&self) -> TrackId {
        self.track.id()
    }

    /// Takes a configuration, or leaves the one there is.
    pub(super) fn configure(&mut self, config: &Bytes) -> Result<(), TrackError> {
        if config.len() > MAX_CONFIG {
            return Err(TrackError::TooLong(config.len()));
        }
        let codec = self.track.codec();
        let wrong = |error| TrackError::Configuration { codec, error };
        inspect::details(codec, config).map_err(wrong)?;
        self.track.configure(config).map_err(wrong)
    }

    /// Tells the stream of the track, once its configuration is known, and when it has changed.
    pub(super) fn show(
        &mut self,
        ingest: &mut FrameIngest,
        now: Instant,
    ) -> Result<(), Superseded> {
        if !self.track.is_described() {
            return Ok(());
        }
        let fresh = self.track.take_change();
        fresh.map_or(Ok(()), |track| ingest.track(track, now))
    }

    /// The frames that a payload holds, with the program's own times.
    pub(super) fn take(
        &mut self,
        unit: &AccessUnit,
        now: Instant,
    ) -> Result<Vec<Frame>, FrameError> {
        let track = unit.track;
        match unit.data.len() {
            0 => return Err(FrameError::Empty(track)),
            bytes if bytes > MAX_FRAME => return Err(FrameError::TooLong { track, bytes }),
            _ => {}
        }
        if let Some(by) = self.last.and_then(|last| ahead(last, unit.dts))
            && by <= RESTART
        {
            return Err(FrameError::Backwards { track, by });
        }
        let offset = ahead(unit.pts, unit.dts).or_else(|| ahead(unit.dts, unit.pts));
        if let Some(by) = offset.filter(|by| *by > MAX_OFFSET) {
            return Err(FrameError::Offset { track, by });
        }
        let frames = match (track.kind, self.track.codec(), self.framing) {
            (TrackKind::Video, ..) => self.picture(unit, now)?.into_iter().collect(),
            (_, Codec::Aac, Framing::ByteStream) => self.adts(unit, now)?,
            _ => vec![self.sound(unit, now)?],
        };
        self.last = Some(unit.dts);
        Ok(frames)
    }

    fn picture(&mut self, unit: &AccessUnit, now: Instant) -> Result<Option<Frame>, FrameError> {
        let (track, codec) = (unit.track, self.track.codec());
        let taken = if codec.has_nal_units() && self.framing == Framing::ByteStream {
            self.byte_stream(&unit.data)
        } else {
            self.track.canonical(&unit.data)
        };
        let expected = match self.framing {
            _ if !codec.has_nal_units() => "whole frames are expected",
            Framing::ByteStream => "NAL units with start codes (Annex B) are expected",
            Framing::Container => "NAL units with lengths are expected",
        };
        let malformed = |error| FrameError::Malformed { track, error, expected };
        let (data, units) = taken.map_err(malformed)?;
        if data.is_empty() {
            return Ok(None);
        }
        let is_key = unit.key.or_else(|| inspect::is_random_access(codec, &data, &units));
        let is_key = is_key.unwrap_or(false);
        if is_key {
            self.track.learn(&data);
        }
        if !self.track.is_described() {
            let expected = "parameter sets come with the description of the track, or before the \
                            first key frame";
            return Err(FrameError::Configuration { track, expected });
        }
        let kind = if is_key { FrameKind::Key } else { FrameKind::Delta };
        let (dts, pts) = (unit.dts.rescale(TimeBase::VIDEO), unit.pts.rescale(TimeBase::VIDEO));
        // Less than MAX_OFFSET.
        let cts = i32::try_from(pts.value.saturating_sub(dts.value)).unwrap_or(0);
        Ok(Some(Frame { track, kind, dts, cts, arrival: now, data, units }))
    }

    fn byte_stream(&mut self, data: &[u8]) -> Result<(Bytes, Units), Error> {
        let (packed, units) = nal::from_annex_b(data, |_| false)?;
        if units.is_empty() {
            let first = data.iter().take(3).fold(0, |code, byte| code << 8 | u64::from(*byte));
            return Err(Error::Invalid { what: "start_code_prefix", value: first });
        }
        self.track.canonical_of(&packed, nal::LENGTH_SIZE)
    }

    fn sound(&mut self, unit: &AccessUnit, now: Instant) -> Result<Frame, FrameError> {
        let track = unit.track;
        if !self.track.is_described() {
            let expected = "raw AAC needs an AudioSpecificConfig with the track's description";
            return Err(FrameError::Configuration { track, expected });
        }
        // What has a configuration, or needs none, is always understood.
        let data = self.track.sound(&unit.data, None).unwrap_or_else(|| unit.data.clone());
        Ok(self.audio(unit.dts, data, now))
    }

    /// Frames of AAC with ADTS headers, one behind the other.
    fn adts(&mut self, unit: &AccessUnit, now: Instant) -> Result<Vec<Frame>, FrameError> {
        let (track, expected) = (unit.track, "AAC with ADTS headers is expected");
        let malformed = |error| FrameError::Malformed { track, error, expected };
        let (mut rest, mut dts, mut frames) = (unit.data.clone(), unit.dts, Vec::new());
        while !rest.is_empty() {
            let header = aac::adts::Header::parse(&rest).map_err(malformed)?;
            let wanted = header.frame_length.saturating_sub(rest.len());
            if wanted > 0 {
                let offset = unit.data.len();
                return Err(malformed(Error::Truncated { offset, wanted }));
            }
            let frame = rest.split_to(header.frame_length);
            let payload = header.payload(&frame).unwrap_or_default();
            let unknown = || {
                let value = header.channel_configuration.into();
                malformed(Error::Invalid { what: "channel_configuration", value })
            };
            let config = header.config().to_bytes().ok_or_else(unknown)?;
            if *self.track.config() != config {
                self.track.configure(&config).map_err(malformed)?;
            }
            let frame = self.audio(dts, frame.slice_ref(payload), now);
            let samples = self.track.duration(&frame.data).unwrap_or(0);
            dts = Ticks::new(frame.dts.value.saturating_add(samples), frame.dts.base);
            frames.push(frame);
        }
        Ok(frames)
    }

    /// A frame of sound, on the grid of its samples.
    fn audio(&mut self, dts: Ticks, data: Bytes, now: Instant) -> Frame {
        let mut dts = dts.rescale(self.track.time_base());
        if let Some(samples) = self.track.duration(&data) {
            dts.value = self.samples.place(dts, samples);
        }
        let (track, kind, units) = (self.id(), FrameKind::Audio, Units::new());
        Frame { track, kind, dts, cts: 0, arrival: now, data, units }
    }
}

/// By how much `a` is later than `b`, if it is.
fn ahead(a: Ticks, b: Ticks) -> Option<Duration> {
    let nanos = |at: Ticks| i128::from(at.value) * 1_000_000_000 / i128::from(at.base.rate());
    let by = nanos(a) - nanos(b);
    (by > 0).then(|| Duration::from_nanos(u64::try_from(by).unwrap_or(u64::MAX)))
}
