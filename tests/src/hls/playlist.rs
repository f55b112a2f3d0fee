//! One Media Playlist as text (RFC 8216bis §4.4.1 to §4.4.5).
//!
//! Knows the tags and attributes that a server of live streams has a use for, and takes all others
//! for mistakes: keys, date ranges, byte ranges and hints of initialisation sections among them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::syntax::{self, Attributes, required};

/// One Media Playlist, parsed strictly: every unknown or malformed tag is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Playlist {
    /// `EXT-X-VERSION`, or 1.
    pub version: u64,
    /// `EXT-X-TARGETDURATION` in seconds.
    pub target_duration: u64,
    /// The number of the first segment, be it skipped or not.
    pub media_sequence: u64,
    /// How many discontinuities have gone from the playlist.
    pub discontinuity_sequence: u64,
    /// `EXT-X-INDEPENDENT-SEGMENTS`.
    pub independent_segments: bool,
    /// `EXT-X-PLAYLIST-TYPE`.
    pub playlist_type: Option<PlaylistType>,
    /// `EXT-X-SERVER-CONTROL`.
    pub server_control: Option<ServerControl>,
    /// `EXT-X-PART-INF`.
    pub part_target: Option<Duration>,
    /// `EXT-X-SKIP`: how many segments stand in an earlier playlist only.
    pub skipped: Option<u64>,
    /// All whole segments that are written down, and in a
    /// [checked playlist](super::Checker::playlist) also those that are skipped.
    pub segments: Vec<Segment>,
    /// What stands before the parts in progress, or before a segment that is not there yet.
    pub head_in_progress: Head,
    /// The parts of the segment that is being made.
    pub parts_in_progress: Vec<Part>,
    /// The address of the part to come.
    pub preload_hint: Option<String>,
    /// `EXT-X-RENDITION-REPORT`.
    pub rendition_reports: Vec<RenditionReport>,
    /// `EXT-X-ENDLIST`.
    pub end_list: bool,
}

/// `EXT-X-PLAYLIST-TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaylistType {
    /// Segments are only added.
    Event,
    /// Nothing changes.
    Vod,
}

/// `EXT-X-SERVER-CONTROL`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerControl {
    /// The skip boundary, if there are delta updates.
    pub can_skip_until: Option<Duration>,
    /// How far from the end players begin.
    pub hold_back: Option<Duration>,
    /// The same for those that play parts.
    pub part_hold_back: Option<Duration>,
    /// Whether a request may wait for what is to come.
    pub can_block_reload: bool,
}

/// What stands before a segment, and before its parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// `EXT-X-DISCONTINUITY`.
    pub discontinuity: bool,
    /// The address of the initialisation section that applies.
    pub map: Option<String>,
    /// `EXT-X-PROGRAM-DATE-TIME`.
    pub date: Option<Timestamp>,
    /// `EXT-X-GAP`.
    pub gap: bool,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its Media Sequence Number.
    pub number: u64,
    /// What stands before it.
    pub head: Head,
    /// The parts that are listed.
    pub parts: Vec<Part>,
    /// `EXTINF`.
    pub duration: Duration,
    /// Its address.
    pub uri: String,
}

/// One part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its address.
    pub uri: String,
    /// How long it is.
    pub duration: Duration,
    /// Whether it has a key frame.
    pub independent: bool,
    /// Whether it is not to be had.
    pub gap: bool,
}

/// `EXT-X-RENDITION-REPORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenditionReport {
    /// The address of the other playlist.
    pub uri: String,
    /// The number of its last segment.
    pub last_msn: Option<u64>,
    /// The index of its last part.
    pub last_part: Option<u64>,
}

impl Playlist {
    /// Reads a playlist.
    ///
    /// # Errors
    /// One sentence about the first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser::default();
        for line in syntax::lines(text)? {
            let read = if syntax::is_tag(line) { parser.tag(line) } else { parser.uri(line) };
            read.map_err(|what| format!("in {line:?}: {what}"))?;
        }
        parser.end()
    }

    /// The number of the segment after the last one.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        let written = self.media_sequence.saturating_add(self.skipped.unwrap_or(0));
        self.segments.last().map_or(written, |segment| segment.number.saturating_add(1))
    }

    /// How long all whole segments are that are written down.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.segments.iter().map(|segment| segment.duration).sum()
    }

    /// `EXT-X-TARGETDURATION`.
    #[must_use]
    pub fn target(&self) -> Duration {
        Duration::from_secs(self.target_duration)
    }
}

#[derive(Default)]
struct Parser {
    playlist: Playlist,
    /// The tags that were there, for those that may be there once.
    seen: BTreeSet<String>,
    extinf: Option<Duration>,
    head: Head,
    parts: Vec<Part>,
}

impl Parser {
    fn tag(&mut self, line: &str) -> Result<(), String> {
        let (name, value) = syntax::tag(line);
        match name {
            "EXT-X-INDEPENDENT-SEGMENTS"
            | "EXT-X-ENDLIST"
            | "EXT-X-DISCONTINUITY"
            | "EXT-X-GAP" => {
                let None = value else { return Err("the tag has no value".to_owned()) };
                self.flag(name)
            }
            "EXT-X-VERSION"
            | "EXT-X-TARGETDURATION"
            | "EXT-X-MEDIA-SEQUENCE"
            | "EXT-X-DISCONTINUITY-SEQUENCE"
            | "EXT-X-PLAYLIST-TYPE"
            | "EXT-X-PART-INF"
            | "EXT-X-SERVER-CONTROL"
            | "EXT-X-SKIP" => {
                self.once(name)?;
                self.header(name, required("a value", value)?)
            }
            "EXTINF" | "EXT-X-MAP" | "EXT-X-PROGRAM-DATE-TIME" => {
                self.segment_tag(name, required("a value", value)?)
            }
            "EXT-X-PART" => {
                let part = part(Attributes::parse(required("a value", value)?)?)?;
                self.parts.push(part);
                Ok(())
            }
            "EXT-X-PRELOAD-HINT" => self.preload_hint(required("a value", value)?),
            "EXT-X-RENDITION-REPORT" => {
                let mut list = Attributes::parse(required("a value", value)?)?;
                self.playlist.rendition_reports.push(RenditionReport {
                    uri: list.uri()?,
                    last_msn: list.integer("LAST-MSN")?,
                    last_part: list.integer("LAST-PART")?,
                });
                list.end()
            }
            "EXT-X-MEDIA"
            | "EXT-X-STREAM-INF"
            | "EXT-X-I-FRAME-STREAM-INF"
            | "EXT-X-SESSION-DATA"
            | "EXT-X-SESSION-KEY"
            | "EXT-X-CONTENT-STEERING" => {
                Err("the tag belongs into a multivariant playlist (§4.4.6)".to_owned())
            }
            _ => Err("the tag is not known".to_owned()),
        }
    }

    fn once(&mut self, name: &str) -> Result<(), String> {
        let first = self.seen.insert(name.to_owned());
        first.then_some(()).ok_or_else(|| "the tag is there twice (§4.4)".to_owned())
    }

    fn flag(&mut self, name: &str) -> Result<(), String> {
        match name {
            "EXT-X-INDEPENDENT-SEGMENTS" => {
                self.playlist.independent_segments = true;
                self.once(name)
            }
            "EXT-X-ENDLIST" => {
                self.playlist.end_list = true;
                self.once(name)
            }
            "EXT-X-DISCONTINUITY" => {
                self.before_parts()?;
                let twice = std::mem::replace(&mut self.head.discontinuity, true);
                (!twice).then_some(()).ok_or_else(|| "there are two in a row (§4.4.4.3)".to_owned())
            }
            _ => {
                self.head.gap = true;
                Ok(())
            }
        }
    }

    fn header(&mut self, name: &str, value: &str) -> Result<(), String> {
        let early = self.playlist.segments.is_empty() && self.parts.is_empty();
        let playlist = &mut self.playlist;
        match name {
            "EXT-X-VERSION" => playlist.version = syntax::integer(value)?,
            "EXT-X-TARGETDURATION" => playlist.target_duration = syntax::integer(value)?,
            "EXT-X-MEDIA-SEQUENCE" if early => {
                playlist.media_sequence = syntax::integer(value)?;
            }
            "EXT-X-MEDIA-SEQUENCE" => {
                return Err("it comes after the first segment (§4.4.3.2)".to_owned());
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" if early && !self.head.discontinuity => {
                playlist.discontinuity_sequence = syntax::integer(value)?;
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                let what = "it comes after the first segment or discontinuity (§4.4.3.3)";
                return Err(what.to_owned());
            }
            "EXT-X-PLAYLIST-TYPE" => {
                playlist.playlist_type = Some(match value {
                    "EVENT" => PlaylistType::Event,
                    "VOD" => PlaylistType::Vod,
                    _ => return Err("the type is neither EVENT nor VOD (§4.4.3.5)".to_owned()),
                });
            }
            "EXT-X-PART-INF" => {
                let mut list = Attributes::parse(value)?;
                let target = required("PART-TARGET", list.seconds("PART-TARGET")?)?;
                playlist.part_target = Some(target);
                list.end()?;
            }
            "EXT-X-SERVER-CONTROL" => {
                let mut list = Attributes::parse(value)?;
                playlist.server_control = Some(ServerControl {
                    can_skip_until: list.seconds("CAN-SKIP-UNTIL")?,
                    hold_back: list.seconds("HOLD-BACK")?,
                    part_hold_back: list.seconds("PART-HOLD-BACK")?,
                    can_block_reload: list.yes("CAN-BLOCK-RELOAD")?,
                });
                list.end()?;
            }
            _ => {
                if !early || self.head != Head::default() {
                    return Err("it comes after a segment's tags (§4.4.5.2)".to_owned());
                }
                let mut list = Attributes::parse(value)?;
                let skipped = required("SKIPPED-SEGMENTS", list.integer("SKIPPED-SEGMENTS")?)?;
                playlist.skipped = Some(skipped);
                list.end()?;
            }
        }
        Ok(())
    }

    fn segment_tag(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "EXTINF" => {
                let (duration, _title) = value.split_once(',').ok_or("a comma is missing")?;
                let duration = syntax::seconds(duration)?;
                let None = self.extinf.replace(duration) else {
                    return Err("a segment has two of them (§4.4.4.1)".to_owned());
                };
            }
            "EXT-X-MAP" => {
                self.before_parts()?;
                let mut list = Attributes::parse(value)?;
                self.head.map = Some(list.uri()?);
                list.end()?;
            }
            _ => {
                self.before_parts()?;
                let None = self.head.date.replace(date(value)?) else {
                    return Err("a segment has two of them (§4.4.4.6)".to_owned());
                };
            }
        }
        Ok(())
    }

    fn preload_hint(&mut self, value: &str) -> Result<(), String> {
        let mut list = Attributes::parse(value)?;
        let Some("PART") = list.word("TYPE")? else {
            return Err("TYPE is not PART".to_owned());
        };
        let None = self.playlist.preload_hint.replace(list.uri()?) else {
            return Err("there are two hints of a part (§4.4.5.3)".to_owned());
        };
        list.end()
    }

    /// What applies to a segment applies to its first part, so that it must come before it.
    fn before_parts(&self) -> Result<(), String> {
        let before = self.parts.is_empty();
        before.then_some(()).ok_or_else(|| "it comes after a part (§4.4.4.9)".to_owned())
    }

    fn uri(&mut self, line: &str) -> Result<(), String> {
        let uri = syntax::uri(line)?;
        let duration = self.extinf.take().ok_or("the segment has no EXTINF (§4.4.4.1)")?;
        let number = self.playlist.next_number();
        let head = self.take_head();
        let parts = std::mem::take(&mut self.parts);
        self.playlist.segments.push(Segment { number, head, parts, duration, uri });
        Ok(())
    }

    /// The tags so far; the map also applies to what follows.
    fn take_head(&mut self) -> Head {
        let map = self.head.map.clone();
        std::mem::replace(&mut self.head, Head { map, ..Head::default() })
    }

    fn end(mut self) -> Result<Playlist, String> {
        if self.extinf.is_some() {
            return Err("the last EXTINF has no segment (§4.4.4.1)".to_owned());
        }
        if !self.seen.contains("EXT-X-TARGETDURATION") {
            return Err("EXT-X-TARGETDURATION is missing (§4.4.3.1)".to_owned());
        }
        if self.seen.contains("EXT-X-VERSION") && self.playlist.version == 0 {
            return Err("EXT-X-VERSION is 0 (§4.4.1.2)".to_owned());
        }
        self.playlist.version = self.playlist.version.max(1);
        self.playlist.head_in_progress = self.take_head();
        self.playlist.parts_in_progress = self.parts;
        Ok(self.playlist)
    }
}

fn part(mut list: Attributes<'_>) -> Result<Part, String> {
    let part = Part {
        uri: list.uri()?,
        duration: required("DURATION", list.seconds("DURATION")?)?,
        independent: list.yes("INDEPENDENT")?,
        gap: list.yes("GAP")?,
    };
    list.end()?;
    Ok(part)
}

/// A date with its time zone and, as it should, milliseconds.
fn date(text: &str) -> Result<Timestamp, String> {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let date = text.parse().ok().filter(|_| digits >= 3 && text.as_bytes().get(10) == Some(&b'T'));
    date.ok_or_else(|| format!("{text:?} is not a date with zone and milliseconds (§4.4.4.6)"))
}
