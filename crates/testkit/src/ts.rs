//! A strict checker of MPEG transport streams (ISO/IEC 13818-1 §2.4, ETSI TR 101 290 §5.2): a
//! second opinion on what a muxer writes, which shares no code with any.
//!
//! It asks for more than the standard where players do: tables first, one picture per PES packet
//! behind a delimiter, parameter sets with every key picture, whole frames of sound edge to edge.
//!
//! Not read: scrambled packets, tables of more than one section, DVB's service information, ESCR
//! and the other rare PES fields, streams of private sections.
//!
//! ```
//! use headwater_testkit::ts::{Rules, check};
//!
//! let report = check(&[0x47; 188], &Rules::default());
//! assert!(!report.faults.is_empty());
//! ```

mod audio;
mod checker;
mod clock;
mod faults;
mod packet;
mod pes;
mod tables;
#[cfg(test)]
mod tests;
mod video;

use std::time::Duration;

/// Bytes of a transport packet.
const PACKET: usize = 188;

/// What a stream is held to besides the standard.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The longest time without PAT or PMT.
    pub pat_pmt_every: Duration,
    /// The longest time without a clock reference.
    pub pcr_every: Duration,
    /// How far the decoding time of a PES packet may be ahead of the clock at its beginning. It is
    /// never behind the clock at its end.
    pub max_lead: Duration,
    /// Whether PAT and PMT precede every key picture, with no media in between.
    pub tables_at_keys: bool,
    /// Whether sound may have holes; it never overlaps.
    pub sound_gaps: bool,
}

impl Default for Rules {
    /// Tables every 100 ms and a frame of 40 ms, clock references every 40 ms, decoding times at
    /// most 1.5 s ahead.
    fn default() -> Self {
        Self {
            pat_pmt_every: Duration::from_millis(140),
            pcr_every: Duration::from_millis(40),
            max_lead: Duration::from_millis(1500),
            tables_at_keys: false,
            sound_gaps: false,
        }
    }
}

/// What is in a stream, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What is wrong, in the order in which it was noticed.
    pub faults: Vec<String>,
    /// The programs of the PAT.
    pub programs: Vec<Program>,
    /// Every elementary stream, in order of appearance; one whose type or descriptors change
    /// becomes another.
    pub streams: Vec<Stream>,
    /// How many transport packets there are.
    pub packets: usize,
    /// The longest time without PAT or PMT, by the clock.
    pub pat_pmt_gap: Duration,
    /// The longest time between two clock references.
    pub pcr_gap: Duration,
    /// How often a clock began anew, as announced.
    pub discontinuities: u32,
}

impl Report {
    /// The PES packets of the stream with this PID, whatever its type was.
    pub fn pes(&self, pid: u16) -> impl Iterator<Item = &Pes> {
        self.streams.iter().filter(move |stream| stream.pid == pid).flat_map(|stream| &stream.pes)
    }

    /// Fails the test with all that is wrong.
    ///
    /// # Panics
    /// If anything is.
    pub fn assert_clean(&self) {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
    }
}

/// A program of the PAT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its number.
    pub number: u16,
    /// The packets that carry its map.
    pub pmt_pid: u16,
    /// The packets that carry its clock, by its last map.
    pub pcr_pid: Option<u16>,
    /// How many different maps it had.
    pub maps: usize,
}

/// An elementary stream.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The packets that carry it.
    pub pid: u16,
    /// How it is coded (table 2-34).
    pub stream_type: u8,
    /// Its descriptors, tag and length included, one after the other.
    pub descriptors: Vec<u8>,
    /// What it carried.
    pub pes: Vec<Pes>,
}

/// A PES packet.
#[derive(Debug, Clone)]
pub struct Pes {
    /// Presentation time in ticks of 90 kHz, unwrapped.
    pub pts: Option<i64>,
    /// Decoding time, where it is told.
    pub dts: Option<i64>,
    /// The number of the transport packet in which it begins.
    pub packet: usize,
    /// `random_access_indicator` of that packet.
    pub random_access: bool,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Reads a whole stream, or a part of one that begins with its tables.
#[must_use]
pub fn check(bytes: &[u8], rules: &Rules) -> Report {
    checker::Checker::new(rules).check(bytes)
}
