//! An analysis as text.

use std::fmt::Write;

use super::analysis::{Analysis, Described, TrackAnalysis};
use super::findings::Severity;

/// What a person reads.
pub(super) fn text(analysis: &Analysis) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, analysis);
    out
}

fn write(out: &mut String, analysis: &Analysis) -> std::fmt::Result {
    writeln!(out, "{}", analysis.source)?;
    writeln!(out, "{:.1} s, {:.0} kbit/s", analysis.seconds, analysis.kbits_per_second)?;
    for track in &analysis.tracks {
        write_track(out, track)?;
    }
    if !analysis.metadata.is_empty() {
        writeln!(out, "\nmetadata")?;
        for (key, value) in &analysis.metadata {
            writeln!(out, "  {key:<18} {value}")?;
        }
    }
    writeln!(out)?;
    if analysis.findings.is_empty() {
        writeln!(out, "nothing is wrong")?;
    }
    for finding in &analysis.findings {
        let mark = match finding.severity {
            Severity::Problem => "problem",
            Severity::Note => "note",
        };
        writeln!(out, "{mark:<8} {}", finding.text)?;
    }
    Ok(())
}

fn write_track(out: &mut String, track: &TrackAnalysis) -> std::fmt::Result {
    let codecs = track.rfc6381.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let form = if track.enhanced { ", Enhanced RTMP" } else { "" };
    writeln!(out, "\n{} {}: {}{codecs}{form}", track.kind, track.index, track.codec)?;
    match track.details {
        Described::Video { width, height, profile, level, declared_fps } => {
            let declared = if declared_fps > 0.0 {
                format!(", {declared_fps:.2} pictures/s declared")
            } else {
                String::new()
            };
            line(
                out,
                "picture",
                &format!("{width}×{height}, profile {profile}, level {level}{declared}"),
            )?;
        }
        Described::Audio { sample_rate, channels, .. } => {
            line(out, "sound", &format!("{sample_rate} Hz, {channels} channels"))?;
        }
        Described::Unknown {} => {}
    }
    let (frames, rate) = (track.frames, track.frames_per_second);
    let kbits = track.kbits_per_second;
    line(out, "frames", &format!("{frames}, {rate:.2} a second, {kbits:.0} kbit/s"))?;
    let (mean, max) = (track.interval_mean_ms, track.interval_max_ms);
    let jitter = track.interval_jitter_ms;
    line(out, "intervals", &format!("mean {mean:.1} ms, longest {max} ms, jitter {jitter:.1} ms"))?;
    if let Some(late) = track.late_max_ms {
        line(
            out,
            "punctuality",
            &format!("the latest frame came {late} ms after the most punctual"),
        )?;
    }
    if let Some(gop) = &track.gop {
        let (count, min, mean, max) = (gop.key_frames, gop.min_ms, gop.mean_ms, gop.max_ms);
        let text =
            format!("{count}, apart at least {min} ms, on average {mean} ms, at most {max} ms");
        line(out, "key frames", &text)?;
        let order = if gop.reordered { "B-frames" } else { "decoded as shown" };
        let (least, most) = (gop.composition_min_ms, gop.composition_max_ms);
        line(out, "order", &format!("{order}, shown {least} to {most} ms after decoding"))?;
    }
    Ok(())
}

fn line(out: &mut String, name: &str, value: &str) -> std::fmt::Result {
    writeln!(out, "  {name:<12} {value}")
}
