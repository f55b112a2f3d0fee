//! Tracks and frames, as containers with clocks of their own bring them (MPEG-TS, MP4), into the
//! frames of a stream.

use std::time::Instant;

use hub::{Publication, Superseded};
use media::{Frame, Ticks, Track};

/// Where on a stream's time line a publisher begins: room for the frames of other tracks that lie
/// before the first one.
const LEAD_MS: i64 = 500;

/// A step of time that no stream makes: the source has begun anew. Forward, what has really passed
/// is no step.
const MAX_STEP_MS: i64 = 5_000;

/// The step that is put in its place: about one frame.
const JOIN_STEP_MS: i64 = 40;

/// Takes the frames of one publication.
#[derive(Debug)]
pub(crate) struct FrameIngest {
    publication: Publication,
    /// What is added to the source's times, once there was a frame.
    shift_ms: Option<i64>,
    /// The time of the last frame on the stream's time line.
    last_ms: i64,
    /// When that frame came.
    last_arrival: Option<Instant>,
    jumps: u64,
    /// Packets that were lost on the way, and frames of which a part was.
    losses: (u64, u64),
}

impl FrameIngest {
    pub(crate) fn new(mut publication: Publication) -> Self {
        let last_ms = publication.timeline().start() + LEAD_MS;
        Self { publication, shift_ms: None, last_ms, last_arrival: None, jumps: 0, losses: (0, 0) }
    }

    /// Leaves the publication to somebody else. No frame must have come.
    pub(crate) fn into_publication(self) -> Publication {
        self.publication
    }

    /// Which kinds of tracks will come.
    pub(crate) fn announce(
        &mut self,
        video: bool,
        audio: bool,
        now: Instant,
    ) -> Result<(), Superseded> {
        self.publication.announce(video, audio, now)
    }

    /// Counts what was lost on the way: packets, and frames of which a part was.
    pub(crate) fn set_losses(&mut self, packets: u64, frames: u64) {
        if self.losses != (packets, frames) {
            self.losses = (packets, frames);
            self.publication.timeline().set_reception(self.jumps, packets, frames);
        }
    }

    /// The source begins another time line: the next frame follows the last one.
    pub(crate) fn join(&mut self) {
        if self.shift_ms.take().is_some() {
            self.last_ms += JOIN_STEP_MS;
        }
    }

    /// Takes a track, or another configuration of it.
    pub(crate) fn track(&mut self, track: Track, now: Instant) -> Result<(), Superseded> {
        self.publication.set_track(track, self.last_ms, now)
    }

    /// Takes a frame of a track that was taken, with the source's decoding time.
    pub(crate) fn frame(&mut self, mut frame: Frame) -> Result<(), Superseded> {
        let theirs = frame.dts.millis();
        let passed = self.last_arrival.map_or(0, |last| {
            let passed = frame.arrival.saturating_duration_since(last).as_millis();
            i64::try_from(passed).unwrap_or(i64::MAX)
        });
        let steps = -MAX_STEP_MS..=MAX_STEP_MS.saturating_add(passed);
        let shift = match self.shift_ms {
            None => self.last_ms.saturating_sub(theirs),
            Some(shift)
                if steps.contains(&theirs.saturating_add(shift).saturating_sub(self.last_ms)) =>
            {
                shift
            }
            // All tracks keep their places towards each other.
            Some(_) => {
                self.jumps += 1;
                let (packets, frames) = self.losses;
                self.publication.timeline().set_reception(self.jumps, packets, frames);
                self.last_ms.saturating_add(JOIN_STEP_MS).saturating_sub(theirs)
            }
        };
        self.shift_ms = Some(shift);
        self.last_ms = theirs.saturating_add(shift);
        self.last_arrival = Some(frame.arrival);
        let base = frame.dts.base;
        let dts = frame.dts.value.saturating_add(Ticks::from_millis(shift, base).value);
        frame.dts = self.publication.timeline().exact(frame.track, Ticks::new(dts, base));
        self.publication.push(frame)
    }
}
