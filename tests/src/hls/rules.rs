//! What holds for every playlist by itself (RFC 8216bis §4.4, §6.2 and §8).

use std::collections::BTreeSet;
use std::time::Duration;

use super::playlist::{Head, Part, Playlist};

/// Target durations from the end within which there may be parts (§6.2.2).
const PARTS_WITHIN: u32 = 3;

/// How far a date may be from what the durations before it say.
const DATE_TOLERANCE: Duration = Duration::from_millis(50);

/// How far the durations of parts may be from that of their segment, for each part.
const PART_TOLERANCE: Duration = Duration::from_millis(1);

/// What is not demanded of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Leniency {
    /// Segments need not begin with a key frame.
    pub(super) any_start: bool,
    /// Parts may be too short.
    pub(super) uneven: bool,
}

/// All that is wrong with a playlist whose skipped segments have been looked up.
pub(super) fn faults(playlist: &Playlist, leniency: Leniency) -> Vec<String> {
    let mut faults = Vec::new();
    version(playlist, &mut faults);
    addresses(playlist, &mut faults);
    durations(playlist, &mut faults);
    maps(playlist, &mut faults);
    dates(playlist, &mut faults);
    control(playlist, &mut faults);
    skip(playlist, &mut faults);
    parts(playlist, leniency, &mut faults);
    next(playlist, &mut faults);
    if playlist.end_list && playlist.preload_hint.is_some() {
        faults.push("there is a hint after the end (§4.4.5.3)".to_owned());
    }
    faults
}

/// How far the end of each whole segment is from the end of the last one.
pub(super) fn distances(playlist: &Playlist) -> Vec<Duration> {
    let mut left = playlist.duration();
    let distance = |duration: Duration| {
        left = left.saturating_sub(duration);
        left
    };
    playlist.segments.iter().map(|segment| segment.duration).map(distance).collect()
}

/// Whether a segment is so far from the end that its parts may have gone.
pub(super) fn far(playlist: &Playlist, distance: Duration) -> bool {
    distance >= playlist.target() * PARTS_WITHIN
}

fn version(playlist: &Playlist, faults: &mut Vec<String>) {
    let mut needs = |version: u64, what: &str| {
        if playlist.version < version {
            let has = playlist.version;
            faults.push(format!("{what} needs version {version}, and it is {has} (§8)"));
        }
    };
    if playlist.segments.iter().any(|segment| segment.duration.subsec_nanos() != 0) {
        needs(3, "a fraction of a second");
    }
    if heads(playlist).any(|head| head.map.is_some()) {
        needs(6, "EXT-X-MAP");
    }
    if playlist.skipped.is_some() {
        needs(9, "EXT-X-SKIP");
    }
}

fn addresses(playlist: &Playlist, faults: &mut Vec<String>) {
    let segments: Vec<&str> = playlist.segments.iter().map(|s| s.uri.as_str()).collect();
    let parts: Vec<&str> = all_parts(playlist).map(|part| part.uri.as_str()).collect();
    for addresses in [segments, parts.clone()] {
        let mut seen = BTreeSet::new();
        for address in addresses {
            if !seen.insert(address) {
                faults.push(format!("{address} is there twice without byte ranges (§4.4.4.2)"));
            }
        }
    }
    if let Some(hint) = playlist.preload_hint.as_deref().filter(|hint| parts.contains(hint)) {
        faults.push(format!("{hint} is hinted although it is there (§4.4.5.3)"));
    }
}

fn durations(playlist: &Playlist, faults: &mut Vec<String>) {
    for segment in &playlist.segments {
        let rounded = (segment.duration + Duration::from_millis(500)).as_secs();
        if rounded > playlist.target_duration {
            let (number, lasts) = (segment.number, segment.duration);
            let target = playlist.target();
            faults.push(format!(
                "segment {number} lasts {lasts:?}, and the target is {target:?} (§4.4.3.1)"
            ));
        }
    }
}

fn maps(playlist: &Playlist, faults: &mut Vec<String>) {
    let mut before: Option<bool> = None;
    for segment in &playlist.segments {
        let number = segment.number;
        let fragmented = is_fragmented(&segment.uri);
        if fragmented && segment.head.map.is_none() {
            faults.push(format!("segment {number} is MP4 and has no EXT-X-MAP (§3.1.2)"));
        }
        let changes = before.replace(fragmented).is_some_and(|before| before != fragmented);
        if changes && !segment.head.discontinuity {
            faults.push(format!("segment {number} changes the format unannounced (§4.4.4.3)"));
        }
    }
    let head = &playlist.head_in_progress;
    if playlist.parts_in_progress.iter().any(|p| is_fragmented(&p.uri)) && head.map.is_none() {
        faults.push("the parts in progress are MP4 and have no EXT-X-MAP (§3.1.2)".to_owned());
    }
}

/// Whether an address is that of fragmented MP4.
fn is_fragmented(uri: &str) -> bool {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let extensions = [".m4s", ".mp4", ".m4v", ".m4a", ".cmfv", ".cmfa"];
    extensions.iter().any(|extension| path.ends_with(extension))
}

fn dates(playlist: &Playlist, faults: &mut Vec<String>) {
    let first = heads(playlist).next();
    if playlist.part_target.is_some() && first.is_some_and(|head| head.date.is_none()) {
        faults.push("the first segment of low latency has no date (B.1)".to_owned());
    }
    let mut expected: Option<i128> = None;
    let whole = playlist.segments.iter().map(|s| (&s.head, s.duration));
    for (head, duration) in whole.chain([(&playlist.head_in_progress, Duration::ZERO)]) {
        let stated = head.date.map(|date| date.as_nanosecond());
        let continues = expected.filter(|_| !head.discontinuity);
        if let (Some(date), Some(expected), Some(stated)) = (head.date, continues, stated) {
            let off = (stated - expected).unsigned_abs();
            if off > DATE_TOLERANCE.as_nanos() {
                let off = off / 1_000_000;
                faults.push(format!("the date {date} is {off} ms from the durations (§6.2.1)"));
            }
        }
        let duration = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        expected = stated.or(continues).map(|start| start.saturating_add(duration));
    }
}

fn control(playlist: &Playlist, faults: &mut Vec<String>) {
    let control = playlist.server_control.clone().unwrap_or_default();
    let mut at_least = |name: &str, value: Option<Duration>, least: Duration, clause: &str| {
        if let Some(value) = value.filter(|value| *value < least) {
            faults.push(format!("{name} is {value:?}, less than {least:?} ({clause})"));
        }
    };
    let target = playlist.target();
    at_least("CAN-SKIP-UNTIL", control.can_skip_until, target * 6, "§4.4.3.8");
    at_least("HOLD-BACK", control.hold_back, target * 3, "§4.4.3.8");
    let Some(part_target) = playlist.part_target else {
        if all_parts(playlist).next().is_some() || playlist.preload_hint.is_some() {
            faults.push("there are parts or hints without EXT-X-PART-INF (§4.4.3.7)".to_owned());
        }
        return;
    };
    at_least("PART-HOLD-BACK", control.part_hold_back, part_target * 3, "§4.4.3.8");
    if control.part_hold_back.is_none() {
        faults.push("there is EXT-X-PART-INF without PART-HOLD-BACK (§4.4.3.8)".to_owned());
    }
    if !control.can_block_reload {
        faults.push("there is EXT-X-PART-INF without CAN-BLOCK-RELOAD (B.1)".to_owned());
    }
}

fn skip(playlist: &Playlist, faults: &mut Vec<String>) {
    let Some(skipped) = playlist.skipped else { return };
    if skipped == 0 {
        faults.push("EXT-X-SKIP skips nothing (§4.4.5.2)".to_owned());
    }
    let boundary = playlist.server_control.as_ref().and_then(|control| control.can_skip_until);
    let Some(boundary) = boundary else {
        faults.push("EXT-X-SKIP without CAN-SKIP-UNTIL (§4.4.3.8)".to_owned());
        return;
    };
    let in_progress: Duration = playlist.parts_in_progress.iter().map(|part| part.duration).sum();
    for (segment, distance) in playlist.segments.iter().zip(distances(playlist)) {
        let skips = segment.number < playlist.media_sequence.saturating_add(skipped);
        if skips && distance + in_progress < boundary {
            let number = segment.number;
            faults.push(format!("segment {number} is skipped beyond the boundary (§6.2.5.1)"));
        }
    }
}

fn parts(playlist: &Playlist, leniency: Leniency, faults: &mut Vec<String>) {
    let Some(target) = playlist.part_target else { return };
    for (segment, distance) in playlist.segments.iter().zip(distances(playlist)) {
        let number = segment.number;
        part_durations(number, &segment.parts, target, leniency, faults);
        if segment.parts.is_empty() {
            continue;
        }
        if distance > playlist.target() * PARTS_WITHIN {
            faults.push(format!("segment {number} has parts, {distance:?} from the end (§6.2.2)"));
        }
        let sum: Duration = segment.parts.iter().map(|part| part.duration).sum();
        let tolerance = PART_TOLERANCE.saturating_mul(segment.parts.len().try_into().unwrap_or(1));
        if sum.abs_diff(segment.duration) > tolerance {
            let lasts = segment.duration;
            faults.push(format!(
                "the parts of segment {number} last {sum:?}, and itself {lasts:?} (§4.4.4.9)"
            ));
        }
    }
    let (number, in_progress) = (playlist.next_number(), &playlist.parts_in_progress);
    part_durations(number, in_progress, target, leniency, faults);
}

/// Players of low latency that find nothing of the next segment take the last whole one for it.
fn next(playlist: &Playlist, faults: &mut Vec<String>) {
    let head = &playlist.head_in_progress;
    let nothing = playlist.preload_hint.is_none()
        && playlist.parts_in_progress.is_empty()
        && !(head.discontinuity || head.gap || head.date.is_some());
    let parts = playlist.segments.iter().any(|segment| !segment.parts.is_empty());
    if parts && nothing && !playlist.end_list {
        faults.push("there are parts, and nothing of the next segment".to_owned());
    }
}

/// The last part of a segment may be short, also while it is not known whether it is the last.
///
/// The standard also excepts parts with key frames. Here they are not: all parts of a stream
/// without pictures would be excepted.
fn part_durations(
    number: u64,
    parts: &[Part],
    target: Duration,
    leniency: Leniency,
    faults: &mut Vec<String>,
) {
    if !leniency.any_start && parts.first().is_some_and(|part| !part.independent && !part.gap) {
        faults.push(format!("segment {number} does not begin with a key frame (§4.4.4.9)"));
    }
    for (index, part) in parts.iter().enumerate() {
        let lasts = part.duration;
        let what = format!("part {index} of segment {number} lasts {lasts:?}");
        if lasts > target {
            faults.push(format!("{what}, more than the target of {target:?} (§4.4.4.9)"));
        }
        let last = index + 1 == parts.len();
        let before_gap = parts.get(index + 1).is_some_and(|next| next.gap);
        let excepted = leniency.uneven || last || part.gap || before_gap;
        if lasts * 100 < target * 85 && !excepted {
            faults.push(format!("{what}, less than 85 % of {target:?} (§4.4.4.9)"));
        }
    }
}

fn heads(playlist: &Playlist) -> impl Iterator<Item = &Head> {
    let in_progress = Some(&playlist.head_in_progress);
    let in_progress = in_progress.filter(|_| !playlist.parts_in_progress.is_empty());
    playlist.segments.iter().map(|segment| &segment.head).chain(in_progress)
}

fn all_parts(playlist: &Playlist) -> impl Iterator<Item = &Part> {
    let whole = playlist.segments.iter().flat_map(|segment| &segment.parts);
    whole.chain(&playlist.parts_in_progress)
}
