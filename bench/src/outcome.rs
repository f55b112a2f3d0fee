//! What a run of the load generator found.

use serde::{Deserialize, Serialize};

use crate::histogram::Percentiles;
use crate::rtsp::Packets;

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Viewers that were to join and read everything.
    pub viewers: usize,
    /// Those of them that got at least a key frame.
    pub playing: usize,
    /// Those of them that the server refused or dropped, at any time.
    pub disconnected: usize,
    /// Why the first of those was.
    pub first_failure: Option<String>,
    /// Viewers that read slowly or not at all.
    pub slow: usize,
    /// Those of them that the server was seen to drop; who does not read does not see it.
    pub slow_disconnected: usize,
    /// Length of the window in seconds.
    pub seconds: f64,
    /// Bytes that were read within the window, by slow viewers too.
    pub bytes: u64,
    /// Bytes that the viewers who read everything got.
    pub bytes_in_full: u64,
    /// Bytes of the stream that they should have got, without what protocols put around it; 0
    /// where the bitrate isn't known.
    pub bytes_due: u64,
    /// Frames sent within the window that arrived.
    pub frames: u64,
    /// Frames that should have.
    pub due: u64,
    /// RTP packets, of protocols that have them.
    #[serde(default)]
    pub packets: Option<Packets>,
    /// Frames that came twice or in the wrong order.
    pub disordered: u64,
    /// Silences of a viewer within the window.
    pub stalls: u64,
    /// From the publisher's write to the viewer's read, in milliseconds.
    pub latency: Option<Percentiles>,
    /// From connecting to the first whole key frame, in milliseconds.
    pub first_key: Option<Percentiles>,
    /// How much of a core the generator took.
    pub generator_load: f64,
    /// How much of the same core was taken by what feeds the server; nothing where that was not
    /// measured.
    #[serde(default)]
    pub feeding_load: f64,
    /// How much of a core everything else took: whatever disturbs.
    pub other_load: f64,
    /// What it cost the server.
    pub server: Option<Cost>,
}

/// What a server paid.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cost {
    /// How much of a core it took.
    pub load: f64,
    /// CPU time per million bytes delivered, in microseconds.
    pub micros_per_mb: f64,
    /// Resident memory before the first viewer, in bytes.
    pub resident_before: u64,
    /// Resident memory at the window's end, in bytes.
    pub resident_after: u64,
}

impl Outcome {
    /// Frames that arrived ÷ frames due.
    #[must_use]
    pub fn delivered(&self) -> f64 {
        ratio(self.frames, self.due)
    }

    /// Bytes that arrived ÷ bytes of the stream that were due, if the bitrate is known.
    #[must_use]
    pub fn bytes_delivered(&self) -> Option<f64> {
        (self.bytes_due > 0).then(|| ratio(self.bytes_in_full, self.bytes_due))
    }

    /// What viewers who read everything were not given: frames, viewers dropped, and viewers that
    /// saw nothing to begin with.
    #[must_use]
    pub fn lost(&self) -> u64 {
        // Who was dropped may have played before.
        let without = self.disconnected.max(self.viewers.saturating_sub(self.playing));
        let without = u64::try_from(without).unwrap_or(u64::MAX);
        self.due.saturating_sub(self.frames).saturating_add(without)
    }

    /// How much of their core the generator and what feeds the server took.
    #[must_use]
    pub fn client_load(&self) -> f64 {
        self.generator_load + self.feeding_load
    }

    /// As [`Outcome::delivered`], what is missing; of viewers that were dropped, everything.
    #[must_use]
    pub fn missing(&self) -> f64 {
        let stayed = self.viewers.saturating_sub(self.disconnected);
        let count = |viewers: usize| u64::try_from(viewers).unwrap_or(u64::MAX);
        1.0 - self.delivered() * ratio(count(stayed), count(self.viewers))
    }

    /// RTP packets that were lost ÷ packets sent, of protocols that have them.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        let Packets { received, lost } = self.packets?;
        Some(ratio(lost, received + lost))
    }

    /// Resident memory of the server per viewer, in kilobytes.
    #[must_use]
    pub fn kilobytes_per_viewer(&self) -> Option<f64> {
        let server = self.server?;
        let grown = server.resident_after.saturating_sub(server.resident_before);
        Some(ratio(grown, u64::try_from(self.viewers + self.slow).ok()?) / 1024.0)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

/// Counts of a bench are far below 2⁵³, where a float is exact.
#[must_use]
pub fn float(count: u64) -> f64 {
    count as f64
}
