//! One playlist after another from the same address (RFC 8216bis §6.2.1, §6.2.2 and §6.2.5.1).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::playlist::{Head, Part, Playlist, PlaylistType, Segment};
use super::rules::{self, Leniency};

/// How late the fetching itself may make a change look.
const LATENESS: Duration = Duration::from_millis(500);

/// Holds the history of one playlist's address against the rules for servers.
///
/// A delta update is completed from the playlists before it: fetch often enough that nothing is
/// skipped which was never seen. All segments are kept in mind.
#[derive(Debug, Default)]
pub struct Checker {
    leniency: Leniency,
    timely: bool,
    known: BTreeMap<u64, Segment>,
    numbers: BTreeMap<String, u64>,
    last: Option<Last>,
}

/// What the playlist before was.
#[derive(Debug)]
struct Last {
    playlist: Playlist,
    /// When its last segment was first seen.
    grown: Instant,
    hint: Option<Hint>,
}

/// A part that must come, and where.
#[derive(Debug, Clone)]
struct Hint {
    uri: String,
    number: u64,
    index: usize,
}

impl Checker {
    /// A checker that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Segments need not begin with a key frame.
    #[must_use]
    pub fn any_start(self) -> Self {
        let leniency = Leniency { any_start: true, ..self.leniency };
        Self { leniency, ..self }
    }

    /// Frames are so unevenly spaced that parts may last less than 85 % of their target.
    #[must_use]
    pub fn uneven(self) -> Self {
        let leniency = Leniency { uneven: true, ..self.leniency };
        Self { leniency, ..self }
    }

    /// A new segment must come within one and a half target durations (§6.2.1).
    #[must_use]
    pub fn timely(self) -> Self {
        Self { timely: true, ..self }
    }

    /// Takes the next playlist, fetched at `at`, and returns what is wrong, one sentence each.
    pub fn check(&mut self, text: &str, at: Instant) -> Vec<String> {
        let playlist = match Playlist::parse(text).and_then(|playlist| self.complete(playlist)) {
            Ok(playlist) => playlist,
            Err(fault) => return vec![fault],
        };
        let mut faults = rules::faults(&playlist, self.leniency);
        let (mut grown, mut hint) = (at, None);
        if let Some(last) = self.last.take() {
            settled(&last.playlist, &playlist, &mut faults);
            self.window(&last.playlist, &playlist, &mut faults);
            self.segments(&playlist, &mut faults);
            parts(&last.playlist, &playlist, &mut faults);
            hint = last.hint.and_then(|hint| hint.follow(&playlist, &mut faults));
            if playlist.next_number() == last.playlist.next_number() {
                grown = last.grown;
            }
            let allowed = playlist.target() * 3 / 2 + LATENESS;
            let still = at.saturating_duration_since(grown);
            if self.timely && !playlist.end_list && still > allowed {
                faults.push(format!("there is no new segment after {still:?} (§6.2.1)"));
            }
        }
        for segment in &playlist.segments {
            self.numbers.insert(segment.uri.clone(), segment.number);
            self.known.insert(segment.number, segment.clone());
        }
        let hint = Hint::of(&playlist).or(hint);
        self.last = Some(Last { playlist, grown, hint });
        faults
    }

    /// The last playlist with all its segments, those included that a delta update skips.
    #[must_use]
    pub fn playlist(&self) -> Option<&Playlist> {
        self.last.as_ref().map(|last| &last.playlist)
    }

    /// Puts the segments that a delta update skips into their places.
    fn complete(&self, mut playlist: Playlist) -> Result<Playlist, String> {
        let Some(skipped) = playlist.skipped else { return Ok(playlist) };
        let first = playlist.media_sequence;
        let numbers = first..first.saturating_add(skipped);
        let known: Vec<Segment> = self.known.range(numbers).map(|(_, s)| s.clone()).collect();
        if u64::try_from(known.len()) != Ok(skipped) {
            return Err(format!(
                "{skipped} segments from {first} are skipped, and not all were there (§6.2.5.1)"
            ));
        }
        let map = known.last().and_then(|segment| segment.head.map.clone());
        let written = playlist.segments.iter_mut().map(|segment| &mut segment.head);
        for head in written.chain([&mut playlist.head_in_progress]) {
            if head.map.is_some() {
                break;
            }
            head.map.clone_from(&map);
        }
        // What lies before the skip boundary lists no parts any more.
        let skipped = known.into_iter().map(|segment| Segment { parts: Vec::new(), ..segment });
        playlist.segments.splice(..0, skipped);
        Ok(playlist)
    }

    fn window(&self, last: &Playlist, new: &Playlist, faults: &mut Vec<String>) {
        let (before, first) = (last.media_sequence, new.media_sequence);
        if first < before {
            faults.push(format!("EXT-X-MEDIA-SEQUENCE falls from {before} to {first} (§6.2.2)"));
        }
        let (old_next, next) = (last.next_number(), new.next_number());
        if next < old_next {
            faults.push(format!("the end falls from segment {old_next} to {next} (§6.2.1)"));
        }
        let duration = new.duration();
        if first > before && duration < new.target() * 3 {
            faults.push(format!("segments are removed and only {duration:?} are left (§6.2.2)"));
        }
        if first != before && new.playlist_type.is_some() {
            faults.push("segments are removed in spite of the playlist's type (§6.2.1)".to_owned());
        }
        let (old, sequence) = (last.discontinuity_sequence, new.discontinuity_sequence);
        if sequence < old {
            let what = "EXT-X-DISCONTINUITY-SEQUENCE falls";
            faults.push(format!("{what} from {old} to {sequence} (§6.2.2)"));
        } else if (before..=old_next).contains(&first) {
            let removed = self.known.range(before..first);
            let gone = removed.filter(|(_, segment)| segment.head.discontinuity).count();
            if u64::try_from(gone) != Ok(sequence - old) {
                faults.push(format!(
                    "EXT-X-DISCONTINUITY-SEQUENCE goes from {old} to {sequence}, \
                     and {gone} discontinuities are gone (§6.2.2)"
                ));
            }
        }
    }

    fn segments(&self, new: &Playlist, faults: &mut Vec<String>) {
        for segment in &new.segments {
            let number = segment.number;
            if let Some(known) = self.known.get(&number) {
                if (&known.uri, known.duration) != (&segment.uri, segment.duration) {
                    let (was, is) = (&known.uri, &segment.uri);
                    let (lasted, lasts) = (known.duration, segment.duration);
                    faults.push(format!(
                        "segment {number} was {was} of {lasted:?} and is {is} of {lasts:?} (§6.2.1)"
                    ));
                }
                same_head(number, &known.head, &segment.head, faults);
            }
            if let Some(was) = self.numbers.get(&segment.uri).filter(|was| **was != number) {
                let uri = &segment.uri;
                faults.push(format!("{uri} was segment {was} and is {number} (§6.2.2)"));
            }
        }
    }
}

impl Hint {
    /// What a playlist promises.
    fn of(playlist: &Playlist) -> Option<Self> {
        let uri = playlist.preload_hint.clone()?;
        let index = playlist.parts_in_progress.len();
        Some(Self { uri, number: playlist.next_number(), index })
    }

    /// Looks for what was promised; returns it if it is still to come.
    fn follow(mut self, new: &Playlist, faults: &mut Vec<String>) -> Option<Self> {
        let mut whole = new.segments.iter().zip(rules::distances(new));
        while let Some((segment, distance)) = whole.find(|(s, _)| s.number == self.number) {
            if segment.parts.is_empty() {
                if !rules::far(new, distance) && !new.end_list {
                    self.compare("the segment without parts", faults);
                }
                return None;
            }
            if let Some(part) = segment.parts.get(self.index) {
                self.compare(&part.uri, faults);
                return None;
            }
            (self.number, self.index) = (self.number.saturating_add(1), 0);
        }
        if new.next_number() != self.number || new.end_list {
            return None;
        }
        if let Some(part) = new.parts_in_progress.get(self.index) {
            self.compare(&part.uri, faults);
            return None;
        }
        if let Some(hint) = &new.preload_hint {
            self.compare(hint, faults);
        }
        Some(self)
    }

    fn compare(&self, came: &str, faults: &mut Vec<String>) {
        if self.uri != came {
            let hint = &self.uri;
            faults.push(format!("{hint} was hinted, and then came {came} (§4.4.5.3)"));
        }
    }
}

/// What must stay as it is.
fn settled(last: &Playlist, new: &Playlist, faults: &mut Vec<String>) {
    if last.target_duration != new.target_duration {
        let (was, is) = (last.target_duration, new.target_duration);
        faults.push(format!("EXT-X-TARGETDURATION goes from {was} to {is} (§4.4.3.1)"));
    }
    if let (Some(was), Some(is)) = (last.part_target, new.part_target)
        && was != is
    {
        faults.push(format!("PART-TARGET goes from {was:?} to {is:?} (§4.4.3.7)"));
    }
    if last.playlist_type != new.playlist_type {
        faults.push("EXT-X-PLAYLIST-TYPE changes (§6.2.1)".to_owned());
    }
    let numbers = |playlist: &Playlist| (playlist.media_sequence, playlist.next_number());
    let moves = numbers(last) != numbers(new);
    if last.playlist_type == Some(PlaylistType::Vod) && moves {
        faults.push("a playlist of the type VOD changes (§6.2.1)".to_owned());
    }
    if last.end_list && !new.end_list {
        faults.push("EXT-X-ENDLIST goes away (§6.2.1)".to_owned());
    }
    if last.end_list && moves {
        faults.push("segments come or go after EXT-X-ENDLIST (§6.2.1)".to_owned());
    }
}

fn same_head(number: u64, was: &Head, is: &Head, faults: &mut Vec<String>) {
    let mut same = |name: &str, same: bool| {
        if !same {
            faults.push(format!("{name} of segment {number} changes (§6.2.1)"));
        }
    };
    same("EXT-X-DISCONTINUITY", was.discontinuity == is.discontinuity);
    same("EXT-X-MAP", was.map == is.map);
    same("EXT-X-PROGRAM-DATE-TIME", was.date == is.date);
}

/// Parts are only added, and go only when they are far from the end.
fn parts(last: &Playlist, new: &Playlist, faults: &mut Vec<String>) {
    let distances = rules::distances(new);
    for (segment, distance) in new.segments.iter().zip(distances) {
        let number = segment.number;
        let may_go = rules::far(new, distance) || new.end_list;
        if segment.parts.is_empty() && may_go {
            continue;
        }
        let before = last.segments.iter().find(|before| before.number == number);
        if before.is_some_and(|before| before.parts != segment.parts) {
            faults.push(format!("the parts of segment {number} change (§6.2.1)"));
        }
        if number == last.next_number() {
            grows(number, &last.parts_in_progress, &segment.parts, faults);
        }
    }
    let in_progress = last.next_number();
    if in_progress == new.next_number() {
        grows(in_progress, &last.parts_in_progress, &new.parts_in_progress, faults);
    }
    if last.parts_in_progress.is_empty() {
        return;
    }
    if let Some(segment) = new.segments.iter().find(|segment| segment.number == in_progress) {
        same_head(in_progress, &last.head_in_progress, &segment.head, faults);
    } else if in_progress == new.next_number() {
        same_head(in_progress, &last.head_in_progress, &new.head_in_progress, faults);
    }
}

fn grows(number: u64, before: &[Part], after: &[Part], faults: &mut Vec<String>) {
    if !after.starts_with(before) {
        faults.push(format!("parts of segment {number} change or vanish (§6.2.1)"));
    }
}
