//! What a playlist says (RFC 8216 §4).

use std::sync::Arc;
use std::time::Duration;

use super::key::{self, Key};

/// The longest playlist that is read, in bytes: a day of two-second segments with long addresses.
pub const MAX_PLAYLIST: usize = 8 << 20;

/// Segments that are read of one playlist: a day of two-second segments.
const MAX_SEGMENTS: usize = 50_000;

/// Variants and renditions that are read of one playlist: ladders have a dozen.
const MAX_VARIANTS: usize = 500;

/// The longest address that is read: what servers take in a request line.
const MAX_URI: usize = 4096;

/// Target durations and segments are no longer than this: longer ones are damage.
const MAX_DURATION: Duration = Duration::from_secs(3600);

/// What is assumed where neither a target duration nor a segment says how long segments are.
const USUAL_TARGET: Duration = Duration::from_secs(6);

/// Why a playlist is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first line is another one.
    #[error("this is no playlist: it does not begin with #EXTM3U")]
    NoPlaylist,
    /// More than is read.
    #[error("the playlist is longer than {MAX_PLAYLIST} bytes or {MAX_SEGMENTS} segments")]
    TooLong,
    /// An address that no server takes.
    #[error("the playlist has an address of more than {MAX_URI} bytes")]
    LongUri,
    /// Its segments are encrypted in a way that is not read.
    #[error("the segments are encrypted ({0}), which is not supported: AES-128 is")]
    Encrypted(String),
    /// A multivariant playlist without a variant.
    #[error("the playlist has no variant to play")]
    NoVariant,
}

/// A playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Playlist {
    /// Segments.
    Media(Media),
    /// Other playlists.
    Multivariant(Multivariant),
}

/// Segments, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// How long a segment is at most.
    pub target: Duration,
    /// The number of the first segment, whether there is one or not.
    pub first: u64,
    /// The segments, numbered from there on.
    pub segments: Vec<Segment>,
    /// No more segments will come.
    pub ended: bool,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number in the stream.
    pub number: u64,
    /// Its address, relative to that of the playlist.
    pub uri: String,
    /// The part of it that is meant; all of it without one.
    pub span: Option<Span>,
    /// How long it plays.
    pub duration: Duration,
    /// Its times, or its tracks, do not follow those of the segment before.
    pub discontinuity: bool,
    /// How many discontinuities lie before it, or at it: the same in all playlists of a programme.
    pub discontinuities: u64,
    /// The section that is needed to read it.
    pub map: Option<Arc<Map>>,
    /// How it is decrypted, if it is encrypted.
    pub key: Option<Arc<Key>>,
    /// The server does not have it.
    pub gap: bool,
}

/// An initialisation section (§4.3.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// Its address, relative to that of the playlist.
    pub uri: String,
    /// The part of it that is meant; all of it without one.
    pub span: Option<Span>,
    /// How it is decrypted, if it is encrypted.
    pub key: Option<Arc<Key>>,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Bytes before it.
    pub offset: u64,
    /// Bytes in it.
    pub length: u64,
}

/// Playlists with the same programme in several forms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Multivariant {
    /// The variants, in the order of the playlist.
    pub variants: Vec<Variant>,
    /// Sound that has playlists of its own: the group, the address, whether it is the default.
    sounds: Vec<(String, String, bool)>,
}

/// One form of a programme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Bits per second at most; zero if that is not said.
    pub bandwidth: u64,
    /// The address of its playlist, relative to that of this one.
    pub uri: String,
    /// The group that its sound is in.
    audio: Option<String>,
}

impl Multivariant {
    /// The variant with the most bits per second.
    #[must_use]
    pub fn best(&self) -> Option<&Variant> {
        // The first one of equals is the author's choice.
        self.variants.iter().rev().max_by_key(|variant| variant.bandwidth)
    }

    /// The playlist of a variant's sound, if it has one of its own.
    #[must_use]
    pub fn sound(&self, variant: &Variant) -> Option<&str> {
        let group = variant.audio.as_deref()?;
        let of_group = || self.sounds.iter().filter(|(name, ..)| name == group);
        let chosen = of_group().find(|(.., default)| *default).or_else(|| of_group().next());
        chosen.map(|(_, uri, _)| uri.as_str())
    }
}

impl Playlist {
    /// Reads a playlist.
    ///
    /// # Errors
    /// [`Error`] says why it is of no use.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_PLAYLIST {
            return Err(Error::TooLong);
        }
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        if !text.trim_start().starts_with("#EXTM3U") {
            return Err(Error::NoPlaylist);
        }
        let is_multivariant = lines(text).any(|line| line.starts_with("#EXT-X-STREAM-INF"));
        if is_multivariant {
            multivariant(text).map(Self::Multivariant)
        } else {
            media(text).map(Self::Media)
        }
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty())
}

fn media(text: &str) -> Result<Media, Error> {
    let mut playlist =
        Media { target: Duration::ZERO, first: 0, segments: Vec::new(), ended: false };
    let mut next = Next::default();
    let mut map = None;
    let mut lock = Lock::default();
    let mut discontinuities = 0u64;
    // Where the part after the last one of a file begins.
    let mut behind: Option<(String, u64)> = None;
    for line in lines(text) {
        let Some(tag) = line.strip_prefix('#') else {
            if playlist.segments.len() >= MAX_SEGMENTS {
                return Err(Error::TooLong);
            }
            let uri = address(line)?;
            let taken = std::mem::take(&mut next);
            let span = taken.span.map(|(length, offset)| {
                let follows = behind.take().filter(|(file, _)| *file == uri);
                let offset = offset.unwrap_or_else(|| follows.map_or(0, |(_, end)| end));
                Span { offset, length }
            });
            behind = span.map(|span| (uri.clone(), span.offset.saturating_add(span.length)));
            let number = u64::try_from(playlist.segments.len()).unwrap_or(u64::MAX);
            discontinuities = discontinuities.saturating_add(taken.discontinuity.into());
            playlist.segments.push(Segment {
                number,
                uri,
                span,
                duration: taken.duration,
                discontinuity: taken.discontinuity,
                discontinuities,
                map: map.clone(),
                key: lock.key()?,
                gap: taken.gap,
            });
            continue;
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "EXTINF" => next.duration = seconds(value.split(',').next().unwrap_or_default()),
            "EXT-X-BYTERANGE" => next.span = byte_range(value),
            "EXT-X-DISCONTINUITY" => next.discontinuity = true,
            "EXT-X-GAP" => next.gap = true,
            "EXT-X-TARGETDURATION" => playlist.target = seconds(value),
            "EXT-X-MEDIA-SEQUENCE" => playlist.first = sequence(value),
            "EXT-X-DISCONTINUITY-SEQUENCE" => discontinuities = sequence(value),
            "EXT-X-ENDLIST" => playlist.ended = true,
            "EXT-X-MAP" => map = initialisation(value, &lock)?,
            "EXT-X-KEY" => lock.read(value)?,
            _ => {}
        }
    }
    let first = playlist.first;
    for segment in &mut playlist.segments {
        segment.number = segment.number.saturating_add(first);
    }
    if playlist.target.is_zero() {
        let longest = playlist.segments.iter().map(|segment| segment.duration).max();
        playlist.target = longest.filter(|long| !long.is_zero()).unwrap_or(USUAL_TARGET);
    }
    Ok(playlist)
}

/// What the tags with keys say (§4.3.2.4). There may be several for the same segments, in different
/// formats, of which one is enough.
#[derive(Default)]
struct Lock {
    key: Option<Arc<Key>>,
    /// A way of encryption that is not read.
    unread: Option<String>,
}

impl Lock {
    fn read(&mut self, attributes: &str) -> Result<(), Error> {
        let method = attribute(attributes, "METHOD").unwrap_or("NONE");
        let is_plain = attribute(attributes, "KEYFORMAT").is_none_or(|format| format == "identity");
        match (method, attribute(attributes, "URI")) {
            ("NONE", _) => *self = Self::default(),
            ("AES-128", Some(uri)) if is_plain => {
                let iv = attribute(attributes, "IV").and_then(key::vector);
                self.key = Some(Arc::new(Key { uri: address(uri)?, iv }));
            }
            (method, _) => {
                if is_plain {
                    self.key = None;
                }
                self.unread = Some(method.chars().take(20).collect());
            }
        }
        Ok(())
    }

    fn key(&self) -> Result<Option<Arc<Key>>, Error> {
        match (&self.key, &self.unread) {
            (None, Some(method)) => Err(Error::Encrypted(method.clone())),
            (key, _) => Ok(key.clone()),
        }
    }
}

/// What tags say of the segment to come.
#[derive(Default)]
struct Next {
    duration: Duration,
    /// Length, and offset unless it follows the part before.
    span: Option<(u64, Option<u64>)>,
    discontinuity: bool,
    gap: bool,
}

fn multivariant(text: &str) -> Result<Multivariant, Error> {
    let mut playlist = Multivariant::default();
    let mut next: Option<(u64, Option<String>)> = None;
    for line in lines(text) {
        let Some(tag) = line.strip_prefix('#') else {
            let uri = address(line)?;
            if let Some((bandwidth, audio)) = next.take()
                && playlist.variants.len() < MAX_VARIANTS
            {
                playlist.variants.push(Variant { bandwidth, uri, audio });
            }
            continue;
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "EXT-X-STREAM-INF" => {
                let bandwidth = attribute(value, "BANDWIDTH");
                let bandwidth = bandwidth.and_then(|text| text.parse().ok()).unwrap_or(0);
                next = Some((bandwidth, attribute(value, "AUDIO").map(str::to_owned)));
            }
            "EXT-X-MEDIA" if attribute(value, "TYPE") == Some("AUDIO") => {
                let found = attribute(value, "GROUP-ID").zip(attribute(value, "URI"));
                if let Some((group, uri)) = found
                    && playlist.sounds.len() < MAX_VARIANTS
                {
                    let default = attribute(value, "DEFAULT") == Some("YES");
                    playlist.sounds.push((group.to_owned(), address(uri)?, default));
                }
            }
            _ => {}
        }
    }
    if playlist.variants.is_empty() { Err(Error::NoVariant) } else { Ok(playlist) }
}

fn address(text: &str) -> Result<String, Error> {
    if text.len() > MAX_URI { Err(Error::LongUri) } else { Ok(text.to_owned()) }
}

fn initialisation(attributes: &str, lock: &Lock) -> Result<Option<Arc<Map>>, Error> {
    let Some(uri) = attribute(attributes, "URI") else { return Ok(None) };
    let span = attribute(attributes, "BYTERANGE").and_then(byte_range);
    let span = span.map(|(length, offset)| Span { offset: offset.unwrap_or(0), length });
    Ok(Some(Arc::new(Map { uri: address(uri)?, span, key: lock.key()? })))
}

/// A number of segments or discontinuities, in 63 bits: those after it have room.
fn sequence(text: &str) -> u64 {
    let number = text.trim().parse::<i64>().ok();
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

/// `LENGTH[@OFFSET]`.
fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (length, offset) = match text.trim().split_once('@') {
        Some((length, offset)) => (length, Some(offset.trim().parse().ok()?)),
        None => (text, None),
    };
    Some((length.trim().parse().ok()?, offset))
}

/// Decimal seconds; nothing where there is no sensible number.
fn seconds(text: &str) -> Duration {
    let number = text.trim().parse::<f64>().ok();
    let duration = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    duration.unwrap_or_default().min(MAX_DURATION)
}

/// The value of an attribute (§4.2), without quotation marks.
fn attribute<'a>(list: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"').unwrap_or((quoted, ""));
                (value, next.trim_start_matches([',', ' ']))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if name.trim() == wanted {
            return Some(value.trim());
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn segments(text: &str) -> Media {
        match Playlist::parse(text) {
            Ok(Playlist::Media(media)) => media,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_live_playlist_of_transport_streams() {
        let media = segments(
            "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:3\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:4\r\n\
             #EXTINF:2.960,\r\na.ts\r\n#EXT-X-DISCONTINUITY\r\n#EXTINF:2.5,title\r\nsub/b.ts?x=1\r\n",
        );
        assert_eq!((media.target, media.first, media.ended), (Duration::from_secs(3), 7, false));
        let [a, b] = &media.segments[..] else { panic!("{media:?}") };
        assert_eq!((a.number, &*a.uri, a.discontinuity), (7, "a.ts", false));
        assert_eq!((b.number, &*b.uri, b.discontinuity), (8, "sub/b.ts?x=1", true));
        assert_eq!(a.duration, Duration::from_millis(2960));
        assert_eq!((a.discontinuities, b.discontinuities), (4, 5));
    }

    #[test]
    fn parts_of_files_and_their_initialisation_section() {
        let media = segments(
            "#EXTM3U\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"800@0\"\n\
             #EXTINF:4,\n#EXT-X-BYTERANGE:1000@800\nall.mp4\n\
             #EXTINF:4,\n#EXT-X-BYTERANGE:500\nall.mp4\n\
             #EXTINF:4,\n#EXT-X-GAP\nnone.mp4\n#EXT-X-ENDLIST\n",
        );
        let spans: Vec<_> = media.segments.iter().map(|segment| segment.span).collect();
        let span = |offset, length| Some(Span { offset, length });
        assert_eq!(spans, [span(800, 1000), span(1800, 500), None]);
        let map = media.segments[1].map.as_deref().expect("a section");
        assert_eq!((&*map.uri, map.span), ("all.mp4", span(0, 800)));
        assert!(media.ended && media.segments[2].gap);
        assert_eq!(media.target, Duration::from_secs(4), "as long as the longest segment");
    }

    #[test]
    fn keys_hold_for_what_follows_them() {
        let media = segments(
            "#EXTM3U\n#EXTINF:4,\na.ts\n\
             #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"other\",KEYFORMAT=\"com.example\"\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"one\",KEYFORMAT=\"identity\"\n\
             #EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:4,\nb.ts\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"two\",IV=0x10\n#EXTINF:4,\nc.ts\n\
             #EXT-X-KEY:METHOD=NONE\n#EXTINF:4,\nd.ts\n",
        );
        let keys: Vec<_> = media.segments.iter().map(|segment| segment.key.as_deref()).collect();
        let key = |uri: &str, iv: Option<u128>| Key {
            uri: uri.to_owned(),
            iv: iv.map(u128::to_be_bytes),
        };
        let (one, two) = (key("one", None), key("two", Some(16)));
        assert_eq!(keys, [None, Some(&one), Some(&two), None]);
        let map = media.segments[3].map.as_deref().expect("a section");
        assert_eq!(map.key.as_deref(), Some(&one));
    }

    #[test]
    fn the_best_variant_and_its_sound() {
        let text = "#EXTM3U\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a,1\",NAME=\"x\",URI=\"de.m3u8\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a,1\",NAME=\"y\",DEFAULT=YES,URI=\"en.m3u8\"\n\
            #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9999,URI=\"frames.m3u8\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=100,CODECS=\"avc1.4d401f,mp4a.40.2\"\nlow.m3u8\n\
            #EXT-X-STREAM-INF:CODECS=\"avc1.4d401f\",AUDIO=\"a,1\",BANDWIDTH=500\nhigh.m3u8\n\
            #EXT-X-STREAM-INF:BANDWIDTH=500\nsame.m3u8\n";
        let Ok(Playlist::Multivariant(playlist)) = Playlist::parse(text) else { panic!() };
        let best = playlist.best().expect("a variant");
        assert_eq!((best.bandwidth, &*best.uri), (500, "high.m3u8"));
        assert_eq!(playlist.sound(best), Some("en.m3u8"));
        assert_eq!(playlist.sound(&playlist.variants[0]), None);
    }

    #[test]
    fn what_is_of_no_use_is_named() {
        for (tag, method) in [
            ("METHOD=SAMPLE-AES,URI=\"k\"", "SAMPLE-AES"),
            ("METHOD=AES-128,URI=\"k\",KEYFORMAT=\"com.example\"", "AES-128"),
            ("METHOD=AES-128", "AES-128"),
        ] {
            let locked = format!("#EXTM3U\n#EXT-X-KEY:{tag}\n#EXTINF:1,\na.ts\n");
            assert_eq!(Playlist::parse(&locked), Err(Error::Encrypted(method.to_owned())));
        }
        assert_eq!(Playlist::parse("<html>"), Err(Error::NoPlaylist));
        let long = format!("#EXTM3U\n{}", "x".repeat(MAX_URI + 1));
        assert_eq!(Playlist::parse(&long), Err(Error::LongUri));
        let many = format!("#EXTM3U\n{}", "a\n".repeat(MAX_SEGMENTS + 1));
        assert_eq!(Playlist::parse(&many), Err(Error::TooLong));
        let huge = format!("#EXTM3U\n{}", " ".repeat(MAX_PLAYLIST));
        assert_eq!(Playlist::parse(&huge), Err(Error::TooLong));
        let far = format!("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:{}\n#EXTINF:1,\na.ts\n", u64::MAX);
        assert_eq!(segments(&far).first, 0, "no number that leaves no room for others");
        let none = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n";
        assert_eq!(Playlist::parse(none), Err(Error::NoVariant));
    }

    proptest! {
        #[test]
        fn nothing_is_too_odd(lines in proptest::collection::vec(
            prop_oneof![
                "#EXT(INF|-X-(MAP|KEY|BYTERANGE|MEDIA|STREAM-INF|MEDIA-SEQUENCE)):[A-Z=\",@0-9.-]{0,30}",
                "[ -~]{0,20}",
            ],
            0..30,
        )) {
            let text = format!("#EXTM3U\n{}", lines.join("\n"));
            if let Ok(Playlist::Media(media)) = Playlist::parse(&text) {
                let numbers: Vec<_> = media.segments.iter().map(|s| s.number).collect();
                prop_assert!(numbers.windows(2).all(|pair| pair[0] <= pair[1]));
                prop_assert!(!media.target.is_zero());
            }
        }

        #[test]
        fn what_is_written_is_read(
            first in 0u64..1 << 60,
            listed in proptest::collection::vec((1u64..20_000, any::<bool>()), 0..20),
            ended in any::<bool>(),
        ) {
            let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:20\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
            for (millis, discontinuity) in &listed {
                if *discontinuity {
                    text.push_str("#EXT-X-DISCONTINUITY\n");
                }
                text.push_str(&format!("#EXTINF:{}.{:03},\n{millis}.ts\n", millis / 1000, millis % 1000));
            }
            if ended {
                text.push_str("#EXT-X-ENDLIST\n");
            }
            let media = segments(&text);
            prop_assert_eq!((media.first, media.ended), (first, ended));
            for (index, (segment, (millis, discontinuity))) in
                media.segments.iter().zip(&listed).enumerate()
            {
                prop_assert_eq!(segment.number, first + index as u64);
                prop_assert_eq!(segment.duration, Duration::from_millis(*millis));
                prop_assert_eq!(segment.discontinuity, *discontinuity);
            }
            prop_assert_eq!(media.segments.len(), listed.len());
        }
    }
}
