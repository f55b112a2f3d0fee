//! Frames as ffmpeg's `framemd5` prints them, and when two runs of them are the same.

use std::collections::BTreeMap;

use crate::{Program, ffmpeg, modern_ffmpeg};

/// A frame of one track; times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    dts: i64,
    pts: i64,
    hash: String,
}

/// The frames of a track, in order.
pub type Track = Vec<(i64, i64, String)>;

/// The frames of all tracks, by the tracks' names: `video0`, `audio0`, `audio1`, …
#[derive(Debug, Default)]
pub struct Frames {
    tracks: BTreeMap<String, Vec<Frame>>,
}

/// What leaves parameter sets, delimiters and supplemental information out: a server may move them.
fn filters(codec: &str) -> &'static str {
    match codec {
        "h264" => "-bsf:v h264_mp4toannexb,filter_units=remove_types=6-9",
        "hevc" => "-bsf:v hevc_mp4toannexb,filter_units=remove_types=32-35|39-40",
        "av1" => "-bsf:v av1_metadata=td=remove",
        _ => "",
    }
}

impl Frames {
    /// Starts to read all frames of `input` (with its options), with the old ffmpeg or the modern
    /// one; [`Frames::parse`] takes what it prints.
    ///
    /// # Panics
    /// When ffmpeg is missing.
    #[must_use]
    pub fn reader(input: &str, codec: &str, modern: bool) -> Program {
        let filters = filters(codec);
        let arguments = format!("-copyts {input} -map 0 -c copy {filters} -f framemd5 -");
        if modern { modern_ffmpeg(&arguments) } else { ffmpeg(&arguments) }
    }

    /// Reads what ffmpeg printed.
    ///
    /// # Panics
    /// When it is not in the form of `framemd5`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut bases: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let mut frames = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("#media_type ") {
                let (index, kind) = rest.split_once(": ").expect("a media type");
                let count = counts.entry(kind.to_owned()).or_default();
                names.insert(index.to_owned(), format!("{kind}{count}"));
                *count += 1;
            } else if let Some(rest) = line.strip_prefix("#tb ") {
                let (index, base) = rest.split_once(": ").expect("a time base");
                let (numerator, denominator) = base.split_once('/').expect("a fraction");
                let number = |text: &str| text.parse().expect("a number");
                bases.insert(index.to_owned(), (number(numerator), number(denominator)));
            } else if !line.starts_with('#') {
                let fields: Vec<&str> = line.split(',').map(str::trim).collect();
                let [index, dts, pts, _, _, hash, ..] = fields[..] else { continue };
                let name = names.get(index).expect("a known track").clone();
                let (numerator, denominator) = bases[index];
                let number = |text: &str| {
                    let ticks: i64 = text.parse().expect("a time");
                    // ffmpeg's sign for a time that it does not know.
                    let known = (ticks != i64::MIN).then_some(ticks)?;
                    Some((known * numerator * 1_000_000 + denominator / 2) / denominator)
                };
                let pts = number(pts).or_else(|| number(dts)).expect("a time");
                frames.tracks.entry(name).or_default().push(Frame {
                    dts: number(dts).unwrap_or(pts),
                    pts,
                    hash: hash.to_owned(),
                });
            }
        }
        frames
    }

    /// How many frames a track has.
    #[must_use]
    pub fn count(&self, track: &str) -> usize {
        self.tracks.get(track).map_or(0, Vec::len)
    }

    /// The tracks' names.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.tracks.keys().map(String::as_str).collect()
    }

    /// A track's frames: decoding time and presentation time in microseconds, hash.
    #[must_use]
    pub fn track(&self, name: &str) -> Track {
        let frames = self.tracks.get(name).into_iter().flatten();
        frames.map(|frame| (frame.dts, frame.pts, frame.hash.clone())).collect()
    }

    /// The hashes of a track's frames.
    #[must_use]
    pub fn hashes(&self, name: &str) -> Vec<String> {
        self.tracks.get(name).into_iter().flatten().map(|frame| frame.hash.clone()).collect()
    }
}

/// How the times of two runs may differ, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// What is added by the way out.
    pub shift: i64,
    /// What may be lost or gained by rounding.
    pub tolerance: i64,
}

/// Fails unless `got` has the tracks of `sent`, with the same frames in the same order at the same
/// times, from at most `late` frames after the beginning to the very end.
///
/// # Panics
/// When it has not.
pub fn assert_same(sent: &Frames, got: &Frames, late: usize) {
    assert_alike(sent, got, late, Times::default());
}

/// As [`assert_same`], with times that may differ.
///
/// # Panics
/// When the runs differ by more.
pub fn assert_alike(sent: &Frames, got: &Frames, late: usize, times: Times) {
    assert_eq!(sent.names(), got.names(), "the tracks");
    for name in sent.names() {
        let (sent, got) = (sent.track(name), got.track(name));
        assert!(!got.is_empty(), "{name} is empty");
        let missing = sent.len().checked_sub(got.len());
        let missing =
            missing.unwrap_or_else(|| panic!("{name}: {} of {} frames", got.len(), sent.len()));
        assert!(
            missing <= late,
            "{name}: the first {missing} of {} frames are missing",
            sent.len()
        );
        for (number, (sent, got)) in sent[missing..].iter().zip(&got).enumerate() {
            assert_eq!(sent.2, got.2, "{name}: frame {number} has other contents");
            let near = |sent: i64, got: i64| (sent + times.shift - got).abs() <= times.tolerance;
            assert!(
                near(sent.0, got.0) && near(sent.1, got.1),
                "{name}: frame {number} of {:?} came at {:?}",
                (sent.0, sent.1),
                (got.0, got.1),
            );
        }
    }
}

/// Fails unless what came is a piece of what was sent, without a gap, of at least `least` frames of
/// each track. What was sent may have gone round and round.
///
/// # Panics
/// When it is not.
pub fn assert_piece(sent: &Frames, got: &Frames, least: usize) {
    assert_eq!(sent.names(), got.names(), "the tracks");
    for name in sent.names() {
        let (sent, got) = (sent.hashes(name), got.hashes(name));
        assert!(got.len() >= least, "{name}: {} frames", got.len());
        let laps = got.len().div_ceil(sent.len()) + 1;
        let round = vec![sent; laps].concat();
        let found = round.windows(got.len()).any(|piece| piece == got);
        assert!(found, "{name}: {} frames with a gap", got.len());
    }
}
