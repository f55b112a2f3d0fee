//! What the frames come to.

use std::collections::BTreeMap;

use flv::amf0;
use media::{Details, TrackKind, inspect};
use serde::Serialize;

use super::findings::{self, Finding, Severity};
use super::record::{Recorder, Seen, Track};

/// Seconds whose bit rate is told: a day. Jumps of a broken clock may claim any length.
const MAX_SECONDS: usize = 86_400;

/// What there is to say about a stream.
#[derive(Debug, Serialize)]
pub(super) struct Analysis {
    pub(super) source: String,
    pub(super) live: bool,
    /// From the first frame to the last.
    pub(super) seconds: f64,
    pub(super) kbits_per_second: f64,
    /// Kilobits of each second, all tracks together.
    pub(super) kbits_by_second: Vec<f64>,
    /// The longest distance between audio and video that came beside each other.
    pub(super) interleave_ms: i64,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tracks: Vec<TrackAnalysis>,
    pub(super) malformed_tags: usize,
    pub(super) findings: Vec<Finding>,
}

/// What there is to say about a track.
#[derive(Debug, Serialize)]
pub(super) struct TrackAnalysis {
    pub(super) kind: &'static str,
    pub(super) index: u8,
    pub(super) codec: String,
    /// For `codecs` of a MIME type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rfc6381: Option<String>,
    /// Whether it comes with the FourCC headers of Enhanced RTMP.
    pub(super) enhanced: bool,
    #[serde(flatten)]
    pub(super) details: Described,
    pub(super) frames: usize,
    pub(super) kbits_per_second: f64,
    pub(super) frames_per_second: f64,
    /// Milliseconds between frames.
    pub(super) interval_mean_ms: f64,
    pub(super) interval_max_ms: i64,
    /// How far intervals are from their mean, on average.
    pub(super) interval_jitter_ms: f64,
    /// How late frames came, compared with the most punctual one; of streams only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) late_max_ms: Option<i64>,
    pub(super) gaps: usize,
    pub(super) steps_back: usize,
    pub(super) configuration_changes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gop: Option<Gop>,
    /// For the picture.
    #[serde(skip)]
    pub(super) seen: Vec<Seen>,
}

/// What a decoder's configuration says.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Described {
    Video { width: u32, height: u32, profile: u8, level: u8, declared_fps: f64 },
    Audio { sample_rate: u32, channels: u8, profile: u8 },
    Unknown {},
}

/// How pictures depend on each other.
#[derive(Debug, Serialize)]
pub(super) struct Gop {
    pub(super) key_frames: usize,
    /// Milliseconds between key frames; zero if there is one at most.
    pub(super) min_ms: i64,
    pub(super) mean_ms: i64,
    pub(super) max_ms: i64,
    /// Whether pictures are decoded in another order than they are shown.
    pub(super) reordered: bool,
    /// The least and the most that a picture is shown after it is decoded.
    pub(super) composition_min_ms: i32,
    pub(super) composition_max_ms: i32,
}

impl Analysis {
    pub(super) fn of(source: &str, recorder: &Recorder) -> Self {
        let all = || recorder.tracks.iter().flat_map(|track| &track.frames);
        let first = all().map(|frame| frame.dts).min().unwrap_or(0);
        let last = all().map(|frame| frame.dts).max().unwrap_or(0);
        let seconds = figure(last - first) / 1000.0;
        let bytes: usize = all().map(|frame| frame.bytes).sum();
        let whole = usize::try_from((last - first) / 1000 + 1).unwrap_or(1);
        let mut by_second = vec![0.0; whole.min(MAX_SECONDS)];
        for frame in all() {
            let second = usize::try_from((frame.dts - first) / 1000).unwrap_or(0);
            if let Some(sum) = by_second.get_mut(second) {
                *sum += kilobits(frame.bytes);
            }
        }
        let metadata = recorder.metadata.iter().flat_map(amf0::Object::iter);
        let mut analysis = Self {
            source: source.to_owned(),
            live: recorder.is_live,
            seconds,
            kbits_per_second: kilobits(bytes) / seconds.max(0.001),
            kbits_by_second: by_second,
            interleave_ms: recorder.interleave,
            metadata: metadata
                .filter_map(|(key, value)| Some((key.to_owned(), plain(value)?)))
                .collect(),
            tracks: recorder.tracks.iter().map(|track| analyse(track, recorder.is_live)).collect(),
            malformed_tags: recorder.malformed,
            findings: Vec::new(),
        };
        analysis.findings = findings::of(&analysis);
        analysis
    }

    /// How many of the findings are problems.
    pub(super) fn problems(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Problem).count()
    }
}

/// A metadata value that fits on a line.
fn plain(value: &amf0::Value) -> Option<String> {
    match value {
        amf0::Value::Number(number) => Some(number.to_string()),
        amf0::Value::Boolean(yes) => Some(yes.to_string()),
        amf0::Value::String(text) => Some(text.chars().filter(|c| !c.is_control()).collect()),
        _ => None,
    }
}

fn analyse(track: &Track, is_live: bool) -> TrackAnalysis {
    let frames = &track.frames;
    let mut times: Vec<i64> = frames.iter().map(|frame| frame.dts).collect();
    let steps_back = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
    times.sort_unstable();
    let intervals: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let span = intervals.iter().sum::<i64>();
    let mean = figure(span) / count(intervals.len()).max(1.0);
    let jitter = intervals.iter().map(|interval| (figure(*interval) - mean).abs()).sum::<f64>();
    let bytes: usize = frames.iter().map(|frame| frame.bytes).sum();
    // The last frame lasts as long as the others.
    let seconds = ((figure(span) + mean) / 1000.0).max(0.001);
    TrackAnalysis {
        kind: if track.id.kind == TrackKind::Video { "video" } else { "audio" },
        index: track.id.index,
        codec: track.codec.to_string(),
        rfc6381: rfc6381(track),
        enhanced: track.enhanced,
        details: match track.details {
            Details::Video(video) => Described::Video {
                width: video.width,
                height: video.height,
                profile: video.profile,
                level: video.level,
                declared_fps: f64::from(video.millihertz) / 1000.0,
            },
            Details::Audio(audio) => Described::Audio {
                sample_rate: audio.sample_rate,
                channels: audio.channels,
                profile: audio.profile,
            },
            Details::Unknown => Described::Unknown {},
        },
        frames: frames.len(),
        kbits_per_second: kilobits(bytes) / seconds,
        frames_per_second: if mean > 0.0 { 1000.0 / mean } else { 0.0 },
        interval_mean_ms: mean,
        interval_max_ms: intervals.iter().copied().max().unwrap_or(0),
        interval_jitter_ms: jitter / count(intervals.len()).max(1.0),
        late_max_ms: is_live.then(|| latest(frames)),
        gaps: intervals.iter().filter(|interval| is_gap(**interval, mean)).count(),
        steps_back,
        configuration_changes: track.changes,
        gop: (track.id.kind == TrackKind::Video).then(|| gop(frames)),
        seen: frames.clone(),
    }
}

/// Longer than three frames, and long enough to be noticed.
pub(super) fn is_gap(interval: i64, mean: f64) -> bool {
    interval > 200 && figure(interval) > mean * 3.0
}

fn rfc6381(track: &Track) -> Option<String> {
    let config = track.config.clone();
    let time_base = media::TimeBase::MILLIS;
    inspect::rfc6381(&media::Track {
        id: track.id,
        codec: track.codec,
        time_base,
        config,
        color_info: None,
        enhanced: track.enhanced,
        details: track.details.clone(),
    })
}

/// How late the latest frame came, compared with the most punctual one. The burst at the
/// beginning, which brings what is in the server's cache, is early and does not count.
fn latest(frames: &[Seen]) -> i64 {
    let offset = |frame: &Seen| i64::try_from(frame.arrival.as_millis()).unwrap_or(0) - frame.dts;
    let settled = frames.iter().filter(|frame| frame.arrival.as_millis() > 1000);
    let offsets: Vec<i64> = settled.map(offset).collect();
    let earliest = offsets.iter().min().copied().unwrap_or(0);
    offsets.iter().max().map_or(0, |latest| latest - earliest)
}

fn gop(frames: &[Seen]) -> Gop {
    let keys: Vec<i64> = frames.iter().filter(|frame| frame.key).map(|frame| frame.dts).collect();
    let distances: Vec<i64> = keys.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let count = i64::try_from(distances.len()).unwrap_or(1).max(1);
    let shown: Vec<i64> = frames.iter().map(|frame| frame.dts + i64::from(frame.cts)).collect();
    Gop {
        key_frames: keys.len(),
        min_ms: distances.iter().copied().min().unwrap_or(0),
        mean_ms: distances.iter().sum::<i64>() / count,
        max_ms: distances.iter().copied().max().unwrap_or(0),
        reordered: !shown.is_sorted(),
        composition_min_ms: frames.iter().map(|frame| frame.cts).min().unwrap_or(0),
        composition_max_ms: frames.iter().map(|frame| frame.cts).max().unwrap_or(0),
    }
}

#[allow(clippy::cast_precision_loss)] // figures for people
fn figure(number: i64) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss)] // figures for people
fn count(number: usize) -> f64 {
    number as f64
}

fn kilobits(bytes: usize) -> f64 {
    count(bytes) * 8.0 / 1000.0
}
