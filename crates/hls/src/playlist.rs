//! The Media Playlist (HLS §4.4.1 to §4.4.5).

use std::fmt::{self, Write};
use std::sync::Arc;

use crate::window::{Init, Segment, Window};
use crate::{TIMESCALE, name};

/// Ticks as seconds with five digits: less than a sample of anything.
pub(crate) struct Seconds(pub(crate) i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticks = self.0.max(0);
        let fraction = (ticks % TIMESCALE) * 100_000 / TIMESCALE;
        write!(f, "{}.{fraction:05}", ticks / TIMESCALE)
    }
}

/// Target durations from the end within which parts are listed (§4.4.4.9).
const PARTS_WITHIN: i64 = 3;

/// Target durations from the end that a delta update always lists (§4.4.3.8: at least six).
const SKIP_BOUNDARY: i64 = 6;

/// How much of a playlist is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All of it.
    Full,
    /// Without what a player knows already (`_HLS_skip`).
    Delta,
    /// Whole segments, and nothing that needs a server.
    Plain,
}

/// Appends a segment to a playlist that knows `init` so far.
pub fn append(out: &mut String, segment: &Arc<Segment>, init: Option<&Arc<Init>>) {
    // Writing to a string cannot fail.
    let _ = write_segment(out, segment, &mut init.cloned(), "", false);
}

/// Adds `query`, from its `?` on, to every address of a playlist that was written without.
#[must_use]
pub fn with_query(text: &str, query: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.lines().count() * query.len());
    for line in text.lines() {
        match line.strip_prefix("#EXT-X-MAP:URI=\"").and_then(|rest| rest.split_once('"')) {
            Some((address, rest)) => {
                out.extend(["#EXT-X-MAP:URI=\"", address, query, "\"", rest]);
            }
            None if line.starts_with('#') || line.is_empty() => out.push_str(line),
            None => out.extend([line, query]),
        }
        out.push('\n');
    }
    out
}

impl Window {
    /// The playlist. `query` is added to every address in it, from its `?` on.
    #[must_use]
    pub fn playlist(&self, form: Form, query: &str) -> String {
        let mut out = String::with_capacity(4096);
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, form, query);
        out
    }

    fn write(&self, out: &mut String, form: Form, query: &str) -> fmt::Result {
        let part_target = self.part_target.filter(|_| form != Form::Plain);
        let fmp4 = self.listed().any(|segment| segment.init.is_some());
        let delta = form == Form::Delta && part_target.is_some();
        let skipped = if delta { self.skippable() } else { 0 };
        let version = if skipped > 0 {
            9
        } else if fmp4 || part_target.is_some() {
            7
        } else {
            3
        };
        writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{version}")?;
        writeln!(out, "#EXT-X-TARGETDURATION:{}", self.target)?;
        if let Some(part_target) = part_target {
            // Three parts and a bit: players must not ask for what is just being made.
            let hold_back = part_target * 3 + TIMESCALE / 20;
            writeln!(
                out,
                "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={},CAN-SKIP-UNTIL={}.0",
                Seconds(hold_back),
                self.target * SKIP_BOUNDARY,
            )?;
            writeln!(out, "#EXT-X-PART-INF:PART-TARGET={}", Seconds(part_target))?;
        }
        let first = self.listed().next().map_or(self.next, |segment| segment.number);
        writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{first}")?;
        writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuities)?;
        if skipped > 0 {
            writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
        }
        let last_skipped = self.listed().take(skipped).last();
        let mut init = last_skipped.and_then(|segment| segment.init.clone());
        let total: i64 = self.listed().map(|segment| segment.duration()).sum();
        let mut passed: i64 = self.listed().take(skipped).map(|segment| segment.duration()).sum();
        for segment in self.listed().skip(skipped) {
            passed += segment.duration();
            let near = total - passed < self.target * TIMESCALE * PARTS_WITHIN;
            let parts = near && segment.lists_parts && part_target.is_some();
            write_segment(out, segment, &mut init, query, parts)?;
        }
        if self.ended {
            return writeln!(out, "#EXT-X-ENDLIST");
        }
        if part_target.is_some() { self.write_next(out, &mut init, query) } else { Ok(()) }
    }

    /// What is known of the segment that comes next, in a playlist with parts.
    ///
    /// There is always something: where nothing follows the last whole segment, hls.js 1.7 takes
    /// that one for the segment whose parts come, and gives up when the next one is another. Tags
    /// that belong to a segment stand before it, and nothing says when it has to follow (§4.4.4).
    fn write_next(
        &self,
        out: &mut String,
        init: &mut Option<Arc<Init>>,
        query: &str,
    ) -> fmt::Result {
        let Some(open) = &self.open else {
            return if self.breaks { writeln!(out, "#EXT-X-DISCONTINUITY") } else { Ok(()) };
        };
        if !open.parts.is_empty() || open.discontinuity || !open.lists_parts {
            write_head(out, open, init, query)?;
        }
        if open.lists_parts {
            write_parts(out, open, query)?;
            let hint = name::escape(&open.part_file(open.parts.len()));
            writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}{query}\"")?;
        }
        Ok(())
    }

    /// How many segments lie before the skip boundary (§6.2.5.1).
    fn skippable(&self) -> usize {
        let boundary = self.target * TIMESCALE * SKIP_BOUNDARY;
        let open = self.open.as_ref().map_or(0, Segment::duration);
        let mut left = self.listed().map(|segment| segment.duration()).sum::<i64>() + open;
        let skippable = |segment: &&Arc<Segment>| {
            left -= segment.duration();
            left >= boundary
        };
        self.listed().take_while(skippable).count()
    }
}

fn write_segment(
    out: &mut String,
    segment: &Segment,
    init: &mut Option<Arc<Init>>,
    query: &str,
    parts: bool,
) -> fmt::Result {
    write_head(out, segment, init, query)?;
    if parts {
        write_parts(out, segment, query)?;
    }
    writeln!(out, "#EXTINF:{},", Seconds(segment.duration()))?;
    writeln!(out, "{}{query}", name::escape(&segment.file()))
}

/// What stands before a segment.
fn write_head(
    out: &mut String,
    segment: &Segment,
    init: &mut Option<Arc<Init>>,
    query: &str,
) -> fmt::Result {
    if segment.discontinuity {
        writeln!(out, "#EXT-X-DISCONTINUITY")?;
    }
    if let Some(own) = segment.init.as_ref().filter(|own| init.as_ref() != Some(own)) {
        writeln!(out, "#EXT-X-MAP:URI=\"{}{query}\"", name::escape(&own.file))?;
        *init = Some(own.clone());
    }
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", Date(segment.unix_ms))
}

fn write_parts(out: &mut String, segment: &Segment, query: &str) -> fmt::Result {
    for (number, part) in segment.parts.iter().enumerate() {
        let file = name::escape(&segment.part_file(number));
        let duration = Seconds(part.duration);
        write!(out, "#EXT-X-PART:DURATION={duration},URI=\"{file}{query}\"")?;
        out.push_str(if part.independent { ",INDEPENDENT=YES\n" } else { "\n" });
    }
    Ok(())
}

/// Milliseconds of Unix time as ISO 8601 in UTC.
struct Date(i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => f.write_str("1970-01-01T00:00:00.000Z"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_added_to_addresses_alone() {
        let text = "#EXTM3U\n#EXT-X-MAP:URI=\"a.mp4\"\n#EXTINF:1.0,\na-1.m4s\n\n#EXT-X-ENDLIST\n";
        let wanted = "#EXTM3U\n#EXT-X-MAP:URI=\"a.mp4?q=1\"\n#EXTINF:1.0,\na-1.m4s?q=1\n\n\
                      #EXT-X-ENDLIST\n";
        assert_eq!(with_query(text, "?q=1"), wanted);
        assert_eq!(with_query(text, ""), text);
    }

    #[test]
    fn times_are_written_as_the_playlist_wants_them() {
        assert_eq!(Seconds(180_000).to_string(), "2.00000");
        assert_eq!(Seconds(3_003).to_string(), "0.03336");
        assert_eq!(Date(1_700_000_000_123).to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(Date(1_700_000_000_000).to_string(), "2023-11-14T22:13:20.000Z");
    }
}
