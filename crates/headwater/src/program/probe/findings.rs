//! What is wrong with a stream, for whom, and what to do about it.

use serde::Serialize;

use super::analysis::{Analysis, Described, Gop, TrackAnalysis};

/// Something that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) text: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Viewers notice.
    Problem,
    /// Some players mind.
    Note,
}

/// Key frames should be no further apart, in milliseconds.
const LONG_GOP: i64 = 4_000;

/// Audio and video should be no further apart, in milliseconds.
const FAR_APART: i64 = 1_000;

/// Frames of a stream should come no later, in milliseconds.
const LATE: i64 = 1_000;

/// H.264 Table A-1: `level_idc`, `MaxFS` in macroblocks, `MaxMBPS` in macroblocks per second.
const H264_LEVELS: [(u8, u32, u32); 19] = [
    (10, 99, 1_485),
    (11, 396, 3_000),
    (12, 396, 6_000),
    (13, 396, 11_880),
    (20, 396, 11_880),
    (21, 792, 19_800),
    (22, 1_620, 20_250),
    (30, 1_620, 40_500),
    (31, 3_600, 108_000),
    (32, 5_120, 216_000),
    (40, 8_192, 245_760),
    (41, 8_192, 245_760),
    (42, 8_704, 522_240),
    (50, 22_080, 589_824),
    (51, 36_864, 983_040),
    (52, 36_864, 2_073_600),
    (60, 139_264, 4_177_920),
    (61, 139_264, 8_355_840),
    (62, 139_264, 16_711_680),
];

/// H.264 profiles that browsers and most hardware do not decode: High 10, 4:2:2, 4:4:4, CAVLC 4:4:4.
const RARE_H264_PROFILES: [u8; 4] = [110, 122, 244, 44];

/// What there is to find, the worst first.
pub(super) fn of(analysis: &Analysis) -> Vec<Finding> {
    let mut found = Found::default();
    found.stream(analysis);
    for track in &analysis.tracks {
        found.track(track);
        match &track.gop {
            Some(gop) => found.video(track, gop, analysis.seconds),
            None => found.audio(track),
        }
    }
    found.problems.append(&mut found.notes);
    found.problems
}

#[derive(Default)]
struct Found {
    problems: Vec<Finding>,
    notes: Vec<Finding>,
}

impl Found {
    fn problem(&mut self, text: String) {
        self.problems.push(Finding { severity: Severity::Problem, text });
    }

    fn note(&mut self, text: String) {
        self.notes.push(Finding { severity: Severity::Note, text });
    }

    fn stream(&mut self, analysis: &Analysis) {
        let has = |kind| analysis.tracks.iter().any(|track| track.kind == kind && track.frames > 0);
        if !has("video") && !has("audio") {
            self.problem("no frame came at all".to_owned());
            return;
        }
        for (kind, key) in [("video", "videocodecid"), ("audio", "audiocodecid")] {
            let announced = analysis.metadata.get(key).is_some_and(|codec| codec != "0");
            if announced && !has(kind) {
                self.problem(format!(
                    "the metadata announces {kind}, but none comes: players that wait for both \
                     kinds start late or never"
                ));
            }
        }
        if analysis.metadata.is_empty() {
            self.note("there is no metadata: players learn size and frame rate late".to_owned());
        }
        if analysis.malformed_tags > 0 {
            self.problem(format!("{} tags are malformed", analysis.malformed_tags));
        }
        if analysis.interleave_ms > FAR_APART {
            self.problem(format!(
                "audio and video are up to {:.1} s apart: players that buffer less stall, or play \
                 without sound",
                seconds(analysis.interleave_ms)
            ));
        }
    }

    fn track(&mut self, track: &TrackAnalysis) {
        let name = format!("{} track {}", track.kind, track.index);
        if track.steps_back > 0 {
            self.problem(format!(
                "{name}: time goes back {} times: players skip or freeze",
                track.steps_back
            ));
        }
        if track.gaps > 0 {
            self.problem(format!(
                "{name}: {} gaps, the longest {:.1} s: viewers see or hear them",
                track.gaps,
                seconds(track.interval_max_ms)
            ));
        }
        if let Some(late) = track.late_max_ms.filter(|late| *late > LATE) {
            self.problem(format!(
                "{name}: frames come up to {:.1} s late: players with smaller buffers stall",
                seconds(late)
            ));
        }
        if track.configuration_changes > 0 {
            self.note(format!(
                "{name}: the decoder's configuration changes {} times; some players need a new \
                 start then",
                track.configuration_changes
            ));
        }
        if track.index > 0 {
            self.note(format!("{name}: most players only play the first track"));
        }
    }

    fn video(&mut self, track: &TrackAnalysis, gop: &Gop, length: f64) {
        if track.frames == 0 {
            return;
        }
        let remedy = "set the encoder's key-frame interval to 2 s";
        match gop.key_frames {
            0 => self.problem(format!("there is no key frame: no viewer can start; {remedy}")),
            1 if length * 1000.0 > LONG_GOP as f64 => self.problem(format!(
                "there is one key frame in {length:.0} s: viewers wait that long for a picture; \
                 {remedy}"
            )),
            _ if gop.max_ms > LONG_GOP => self.problem(format!(
                "key frames are up to {:.1} s apart: viewers wait that long for a picture, and \
                 HLS segments get that long; {remedy}",
                seconds(gop.max_ms)
            )),
            _ => {}
        }
        if gop.reordered {
            self.note(format!(
                "there are B-frames, shown up to {} ms after they are decoded: WebRTC players show \
                 them in the wrong order, and latency grows by as much",
                gop.composition_max_ms
            ));
        }
        if gop.composition_min_ms < 0 {
            self.problem(
                "pictures are to be shown before they are decoded: Apple's players refuse that"
                    .to_owned(),
            );
        }
        self.codec(track);
        if track.codec == "H264" {
            self.h264(track);
        }
    }

    fn codec(&mut self, track: &TrackAnalysis) {
        match (track.codec.as_str(), track.enhanced) {
            ("H264", false) => {}
            ("H264", true) => self.note(
                "H.264 comes in the form of Enhanced RTMP: ffmpeg before 6.1 and older players do \
                 not read that"
                    .to_owned(),
            ),
            ("H265", false) => self.note(
                "HEVC comes as codec id 12: ffmpeg and players of Enhanced RTMP do not read that"
                    .to_owned(),
            ),
            ("H265", true) => self.note(
                "HEVC comes in the form of Enhanced RTMP: ffmpeg before 6.1 and older players do \
                 not read that; Chrome and Firefox only decode it where the hardware does"
                    .to_owned(),
            ),
            (codec, _) => self
                .note(format!("{codec} needs players of Enhanced RTMP, such as ffmpeg from 6.1")),
        }
    }

    fn h264(&mut self, track: &TrackAnalysis) {
        let Described::Video { width, height, profile, level, .. } = track.details else {
            return;
        };
        if RARE_H264_PROFILES.contains(&profile) {
            self.problem(format!(
                "H.264 of profile {profile} (10 bits, 4:2:2 or 4:4:4): browsers and most hardware \
                 do not decode it; encode 8 bits 4:2:0"
            ));
        }
        let macroblocks = width.div_ceil(16) * height.div_ceil(16);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small and positive
        let rate = (f64::from(macroblocks) * track.frames_per_second * 0.98) as u32;
        let limits = H264_LEVELS.iter().find(|(known, ..)| *known >= level);
        if let Some((_, size, speed)) = limits
            && (macroblocks > *size || rate > *speed)
        {
            self.problem(format!(
                "{width}×{height} at {:.1} pictures/s is too much for level {:.1}: hardware \
                 decoders may refuse it",
                track.frames_per_second,
                f64::from(level) / 10.0
            ));
        }
    }

    fn audio(&mut self, track: &TrackAnalysis) {
        match track.codec.as_str() {
            "AAC" | "MP3" => {}
            codec @ ("PCMA" | "PCMU") => {
                self.note(format!("{codec}: browsers play it over WebRTC only, not in FLV or HLS"));
            }
            codec => self.note(format!(
                "{codec} in FLV needs players of Enhanced RTMP, such as ffmpeg from 6.1"
            )),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // figures for people
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
