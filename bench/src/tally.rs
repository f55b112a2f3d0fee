//! What is counted within the window: bytes, frames, silences, latency.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::histogram::Histogram;
use crate::mark::{Mark, wall_clock};
use crate::rtsp::Packets;
use crate::viewer::{Seen, Viewer};

/// What is counted within the window.
pub struct Tally {
    stall: Duration,
    /// The wall clock at its ends, in microseconds.
    window: Option<(u64, u64)>,
    counts_bytes: bool,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes that viewers read who read everything.
    pub bytes_in_full: u64,
    /// Frames that arrived.
    pub frames: u64,
    /// RTP packets that came to viewers who read everything, and that did not.
    pub packets: Packets,
    /// Frames that came twice or in the wrong order.
    pub disordered: u64,
    /// Silences.
    pub stalls: u64,
    /// From the publisher's write to the viewer's read.
    pub latency: Histogram,
    streams: BTreeMap<usize, Span>,
    /// The last frame of each viewer, in the order of the viewers.
    last: Vec<Option<Mark>>,
}

/// The frames of one stream that were sent within the window.
#[derive(Debug, Default)]
struct Span {
    viewers: u64,
    latest: Option<Mark>,
    /// The lowest and the highest number, relative to the first one that was seen.
    low: i64,
    high: i64,
}

impl Tally {
    /// Counts nothing yet; `stall` is the silence that counts.
    #[must_use]
    pub fn new(stall: Duration) -> Self {
        Self {
            stall,
            window: None,
            counts_bytes: false,
            bytes: 0,
            bytes_in_full: 0,
            frames: 0,
            packets: Packets::default(),
            disordered: 0,
            stalls: 0,
            latency: Histogram::new(),
            streams: BTreeMap::new(),
            last: Vec::new(),
        }
    }

    /// Begins to count; whoever is connected now has to get every frame of the window.
    pub fn open(&mut self, viewers: &[Viewer], length: Duration) {
        let now = wall_clock();
        self.window = Some((now, now + u64::try_from(length.as_micros()).unwrap_or(0)));
        self.counts_bytes = true;
        self.last = vec![None; viewers.len()];
        for viewer in viewers.iter().filter(|viewer| viewer.counts()) {
            self.streams.entry(viewer.stream).or_default().viewers += 1;
        }
    }

    /// Takes what a viewer found; it has no stream if its frames do not count.
    pub fn see(&mut self, viewer: usize, stream: Option<usize>, seen: Seen) {
        let Some((from, to)) = self.window else { return };
        if let (Seen::Bytes(length), true) = (seen, self.counts_bytes) {
            self.bytes += length;
            self.bytes_in_full += if stream.is_some() { length } else { 0 };
        }
        let Some(stream) = stream else { return };
        match seen {
            Seen::Frame(mark) if (from..to).contains(&mark.sent) => {
                let last = self.last.get_mut(viewer).and_then(|last| last.replace(mark));
                if last.is_some_and(|last| last.distance_to(mark) <= 0) {
                    self.disordered += 1;
                    return;
                }
                self.frames += 1;
                self.latency.add(mark.age(wall_clock()));
                if let Some(span) = self.streams.get_mut(&stream) {
                    span.extend(mark);
                }
            }
            Seen::Packets(packets) if self.counts_bytes => {
                self.packets.received += packets.received;
                self.packets.lost += packets.lost;
            }
            Seen::Frame(_) | Seen::Bytes(_) | Seen::Packets(_) => {}
        }
    }

    /// Counts a silence if it was long.
    pub fn silence(&mut self, duration: Duration) {
        self.stalls += u64::from(self.counts_bytes && duration >= self.stall);
    }

    /// Stops to count bytes and silences; frames of the window may still arrive.
    pub fn close(&mut self) {
        self.counts_bytes = false;
    }

    /// A viewer was removed; the last one takes its place.
    pub fn forget(&mut self, viewer: usize) {
        if viewer < self.last.len() {
            self.last.swap_remove(viewer);
        }
    }

    /// Frames that should have arrived.
    #[must_use]
    pub fn due(&self) -> u64 {
        self.streams.values().map(|span| span.viewers * span.frames()).sum()
    }
}

impl Span {
    fn extend(&mut self, mark: Mark) {
        let latest = *self.latest.get_or_insert(mark);
        let position = self.high + latest.distance_to(mark);
        self.low = self.low.min(position);
        if position > self.high {
            self.high = position;
            self.latest = Some(mark);
        }
    }

    /// How many frames the publisher numbered, whether anybody got them or not.
    fn frames(&self) -> u64 {
        self.latest.map_or(0, |_| u64::try_from(self.high - self.low + 1).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_nobody_got_are_due() {
        let mut span = Span::default();
        for number in [4094, 4095, 1, 2, 4093] {
            span.extend(Mark { sent: 0, number });
        }
        assert_eq!(span.frames(), 6); // 4093 to 4095 and 0 to 2, of which 0 was lost
    }
}
