//! A shard's copy of a packet ring, and when what came is sent on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Packaging, Packet, Ring, Stream, StreamSettings};
use media::TrackKind;
use parking_lot::Mutex;

/// Up to this setting a video frame is sent when it comes; above, frames are merged.
const LARGEST_FRAME_FLUSH: Duration = Duration::from_millis(40);

/// How long audio waits for the next video frame to ride along with: the longest gap between
/// pictures at 17 fps.
const RIDE_ALONG: Duration = Duration::from_millis(60);

/// A flush that takes longer makes its mirror rest.
const LONG_FLUSH: Duration = Duration::from_millis(5);

/// The longest rest: what a viewer's player buffers at least.
const LONGEST_REST: Duration = Duration::from_millis(350);

/// How long after a video frame the video counts as flowing.
const VIDEO_FLOWS: Duration = Duration::from_millis(500);

/// What viewers have in common that share a mirror: the stream by its address, which the mirror
/// keeps from being used again, the wire format, and the listener's flush time if it has one.
pub(super) type Format = (usize, Packaging, Option<Duration>);

/// A shard's part of one wire format of one stream.
pub(super) struct Mirror {
    /// Tells mirrors apart that had the same place.
    pub(super) serial: u64,
    pub(super) stream: Arc<Mutex<Stream>>,
    pub(super) settings: Arc<StreamSettings>,
    pub(super) format: Format,
    /// The listener's, or that of the stream.
    pub(super) flush_after: Duration,
    pub(super) subscription: u64,
    pub(super) ring: Ring,
    pub(super) viewers: Vec<usize>,
    /// When the oldest packet came that was not flushed.
    pub(super) unsent_since: Option<Instant>,
    /// A video packet waits for the flush.
    pub(super) video_waits: bool,
    pub(super) last_video: Option<Instant>,
    /// When the engine will flush it.
    pub(super) scheduled: Option<Instant>,
    /// Not before this time: the last flush took long.
    pub(super) rest_until: Option<Instant>,
    /// Since when nobody reads it.
    pub(super) idle_since: Option<Instant>,
}

impl Mirror {
    pub(super) fn push(&mut self, packets: Vec<Packet>, now: Instant) {
        self.unsent_since.get_or_insert(now);
        for packet in packets {
            if packet.track == TrackKind::Video {
                self.video_waits = true;
                self.last_video = Some(now);
            }
            self.ring.push(packet);
        }
    }

    /// A busy shard merges more: as long as a flush took, the next one waits. Publishers and other
    /// streams get the time between, and latency grows instead of queues.
    pub(super) fn rest_after(&mut self, start: Instant) {
        let end = Instant::now();
        let spent = end.saturating_duration_since(start);
        self.rest_until = (spent >= LONG_FLUSH).then(|| end + spent.min(LONGEST_REST));
    }

    /// When its unsent packets are due; `None` if there are none.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.wanted()?;
        Some(self.rest_until.map_or(due, |rest| rest.max(due)))
    }

    /// When its unsent packets would be due if sending cost nothing.
    fn wanted(&self) -> Option<Instant> {
        let since = self.unsent_since?;
        let wanted = self.flush_after;
        if wanted > LARGEST_FRAME_FLUSH {
            return Some(since + wanted);
        }
        if self.video_waits {
            return Some(since);
        }
        let video_flows =
            self.last_video.is_some_and(|last| since.saturating_duration_since(last) < VIDEO_FLOWS);
        let wait = if video_flows && !wanted.is_zero() { RIDE_ALONG.max(wanted) } else { wanted };
        Some(since + wait)
    }

    pub(super) fn flushed(&mut self) {
        self.unsent_since = None;
        self.scheduled = None;
        self.video_waits = false;
    }
}
