//! What a player may ask for at one moment.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::TIMESCALE;

/// A Media Initialization Section (HLS §3.1.2).
#[derive(Debug, PartialEq, Eq)]
pub struct Init {
    /// Its file.
    pub file: String,
    /// `ftyp` and `moov`.
    pub bytes: Bytes,
}

/// A Partial Segment (HLS §3.2.1).
#[derive(Debug, Clone)]
pub struct Part {
    /// Its media.
    pub bytes: Bytes,
    /// How long it is, in ticks of [`TIMESCALE`].
    pub duration: i64,
    /// It begins with a key frame, or has no pictures.
    pub independent: bool,
}

/// A Media Segment (HLS §3).
#[derive(Debug, Clone)]
pub struct Segment {
    /// Its Media Sequence Number.
    pub number: u64,
    /// Its file, without the extension.
    pub stem: String,
    /// `ts` or `m4s`.
    pub extension: &'static str,
    /// What comes before it does not go on in it.
    pub discontinuity: bool,
    /// What a player needs before it.
    pub init: Option<Arc<Init>>,
    /// When its first frame came, in milliseconds of Unix time.
    pub unix_ms: i64,
    /// Its media, in order.
    pub parts: Vec<Part>,
    /// Whether its parts may be listed: they keep the limits of a Part Target Duration.
    pub lists_parts: bool,
}

/// Something that can be fetched.
#[derive(Debug, Clone)]
pub enum Resource {
    /// A segment's parts, to be sent one after the other.
    Segment(Arc<Segment>),
    /// One part.
    Part(Bytes),
    /// An initialisation section.
    Init(Arc<Init>),
    /// The part that comes next: it was promised by `EXT-X-PRELOAD-HINT`.
    Hinted,
}

/// The segments of a rendition at one moment. Cloning shares all media.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Those that are listed, and before them those that may still be fetched.
    pub(crate) segments: VecDeque<Arc<Segment>>,
    /// How many of them are not listed any more.
    pub(crate) unlisted: usize,
    /// The segment that is being written.
    pub(crate) open: Option<Segment>,
    /// Discontinuities before the first listed segment.
    pub(crate) discontinuities: u64,
    /// The number of the next segment, when none is open.
    pub(crate) next: u64,
    /// In seconds; 0 until it is known, which is when there is something to list.
    pub(crate) target: i64,
    /// In ticks.
    pub(crate) part_target: Option<i64>,
    /// The next segment does not go on where the last one ended.
    pub(crate) breaks: bool,
    pub(crate) ended: bool,
}

impl Segment {
    /// How long it is, in ticks of [`TIMESCALE`].
    #[must_use]
    pub fn duration(&self) -> i64 {
        self.parts.iter().map(|part| part.duration).sum()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.len()).sum()
    }

    /// The name of its file.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.{}", self.stem, self.extension)
    }

    /// The name of the file of one of its parts.
    #[must_use]
    pub fn part_file(&self, part: usize) -> String {
        format!("{}.{part}.{}", self.stem, self.extension)
    }
}

impl Window {
    /// Whether there is a playlist yet.
    #[must_use]
    pub fn has_playlist(&self) -> bool {
        self.target > 0 && (self.unlisted < self.segments.len() || self.ended)
    }

    /// Whether nothing follows any more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The segments that are listed.
    pub fn listed(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.segments.iter().skip(self.unlisted)
    }

    /// All segments that can be fetched whole, the oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.segments.iter()
    }

    /// The segment that is being made: it has a name already, and the parts that are there.
    #[must_use]
    pub fn open(&self) -> Option<&Segment> {
        self.open.as_ref()
    }

    /// `EXT-X-TARGETDURATION`, in seconds.
    #[must_use]
    pub fn target(&self) -> i64 {
        self.target
    }

    /// The number of the segment that is being written, and of its parts that are there.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        match &self.open {
            Some(open) => (open.number, if open.lists_parts { open.parts.len() as u64 } else { 0 }),
            None => (self.next, 0),
        }
    }

    /// The bytes of all that it keeps.
    #[must_use]
    pub fn size(&self) -> usize {
        let whole: usize = self.segments.iter().map(|segment| segment.size()).sum();
        whole + self.open.as_ref().map_or(0, Segment::size)
    }

    /// The most bits per second of any listed segment, and the average.
    #[must_use]
    pub fn bit_rates(&self) -> (u64, u64) {
        let rate = |bytes: usize, ticks: i64| {
            let ticks = ticks.max(1).unsigned_abs();
            bytes as u64 * 8 * TIMESCALE.unsigned_abs() / ticks
        };
        let peak = self.listed().map(|s| rate(s.size(), s.duration())).max().unwrap_or(0);
        let bytes = self.listed().map(|segment| segment.size()).sum();
        let average = rate(bytes, self.listed().map(|segment| segment.duration()).sum());
        (peak, average)
    }

    /// What is behind a file's name.
    #[must_use]
    pub fn find(&self, file: &str) -> Option<Resource> {
        let (stem, rest) = file.split_at(file.rfind('-')? + 1);
        let (number, tail) = rest.split_once('.')?;
        if number == "init" {
            let all = self.segments.iter().map(|segment| &**segment).chain(self.open.as_ref());
            let mut sections = all.filter_map(|segment| segment.init.as_ref());
            return sections.find(|init| init.file == file).cloned().map(Resource::Init);
        }
        let wanted: u64 = number.parse().ok()?;
        // Guards against other ways to write the same number, and other times.
        let is_named = |segment: &Segment| {
            segment.stem.len() == stem.len() + number.len() && segment.stem.starts_with(stem)
        };
        let part = match tail.split_once('.') {
            None => None,
            Some((part, _)) => Some(part.parse::<usize>().ok()?),
        };
        let extension = tail.rsplit('.').next()?;
        let open = self.open.as_ref().filter(|open| open.number == wanted && is_named(open));
        if let (Some(open), Some(part)) = (open, part) {
            if extension != open.extension {
                return None;
            }
            // Parts that are listed no more have been.
            return match open.parts.get(part) {
                Some(found) => Some(Resource::Part(found.bytes.clone())),
                None => (part == open.parts.len() && open.lists_parts).then_some(Resource::Hinted),
            };
        }
        let first = self.segments.front()?.number;
        let index = usize::try_from(wanted.checked_sub(first)?).ok()?;
        let segment = self.segments.get(index).filter(|segment| is_named(segment))?;
        if extension != segment.extension {
            return None;
        }
        match part {
            None => Some(Resource::Segment(segment.clone())),
            Some(part) => segment.parts.get(part).map(|p| Resource::Part(p.bytes.clone())),
        }
    }

    /// Takes segments off the list that is long enough without them, and forgets those that no
    /// player asks for any more (HLS §6.2.2).
    pub(crate) fn trim(&mut self, listed: usize, kept: usize) {
        let total = |list: &mut dyn Iterator<Item = &Arc<Segment>>| -> i64 {
            list.map(|segment| segment.duration()).sum()
        };
        while self.segments.len() - self.unlisted > listed.max(1)
            && total(&mut self.listed().skip(1)) >= 3 * self.target * TIMESCALE
        {
            let discontinuity = self.listed().next().is_some_and(|first| first.discontinuity);
            self.discontinuities += u64::from(discontinuity);
            self.unlisted += 1;
        }
        let playlist = total(&mut self.listed());
        while self.unlisted > kept
            && let Some(first) = self.segments.front()
        {
            let since = total(&mut self.segments.iter().skip(1).take(self.unlisted - 1));
            if since < first.duration() + playlist + self.target * TIMESCALE {
                break;
            }
            self.segments.pop_front();
            self.unlisted -= 1;
        }
    }
}
