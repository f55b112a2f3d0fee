//! The kinds of values that settings have, besides numbers, text and [quantities](super::units).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::suggest::nearest;
use super::units::Span;

/// Defines an enum that is written as one of a few words.
macro_rules! choice {
    ($(
        $(#[$about:meta])+
        pub enum $name:ident { $( $(#[$doc:meta])+ $variant:ident = $word:literal, )+ }
    )+) => { $(
        $(#[$about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$doc])+ $variant, )+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that stands for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err(not_one_of(other, &[$($word),+])),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                word.parse().map_err(de::Error::custom)
            }
        }
    )+ };
}

choice! {
    /// How much is logged.
    pub enum Level {
        /// Everything, packets included in debug builds.
        Trace = "trace",
        /// What helps to find a fault.
        Debug = "debug",
        /// Sessions and streams that begin and end.
        Info = "info",
        /// Peers that misbehave.
        Warn = "warn",
        /// What an operator must act upon.
        Error = "error",
        /// Nothing.
        Off = "off",
    }

    /// When a new log file is begun.
    pub enum Rotation {
        /// At midnight, UTC.
        Daily = "daily",
        /// At every full hour.
        Hourly = "hourly",
        /// Not at all.
        Never = "never",
    }

    /// How a log line is written.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// For collectors: one JSON object per line.
        Json = "json",
    }

    /// What makes two stream names the same.
    pub enum Identity {
        /// `live/a` and `other/a` are two streams.
        AppAndName = "app_and_name",
        /// Only the last item of the path counts.
        Name = "name",
    }

    /// What somebody meets who publishes to a stream that has a publisher.
    pub enum SecondPublisher {
        /// The newcomer is refused.
        Refuse = "refuse",
        /// The newcomer replaces the old publisher.
        Takeover = "takeover",
    }

    /// How viewers are written to.
    pub enum Egress {
        /// `io_uring` where the system allows it, otherwise `epoll`.
        Auto = "auto",
        /// One system call for each viewer.
        Epoll = "epoll",
        /// One system call for many viewers; the server does not start where it is forbidden.
        Uring = "io_uring",
    }

    /// What segments of HLS are made of.
    pub enum HlsContainer {
        /// What fits the codecs: fragmented MP4 at low latency, else transport streams.
        Auto = "auto",
        /// Transport streams.
        Ts = "ts",
        /// Fragmented MP4.
        Fmp4 = "fmp4",
    }

    /// What a stream is recorded as.
    pub enum RecordFormat {
        /// FLV files.
        Flv = "flv",
        /// MPEG transport streams.
        Ts = "ts",
        /// Fragmented MP4.
        Mp4 = "mp4",
        /// Segments and playlists.
        Hls = "hls",
    }

    /// What becomes of HLS files that are old.
    pub enum HlsCleanup {
        /// They stay.
        Never = "never",
        /// They are removed when the stream has ended for hls.linger.
        AfterEnd = "after_end",
        /// Segments are removed when they have left the playlist, the rest after the end.
        Rolling = "rolling",
    }

    /// Who may download recordings.
    pub enum Download {
        /// Those who reach the operator's API.
        Api = "api",
        /// All viewers as well.
        Public = "public",
        /// Nobody.
        Off = "off",
    }

    /// How HEVC and Opus are marked in RTMP and FLV.
    pub enum HevcOut {
        /// As the viewer asks, otherwise as the publisher did.
        Auto = "auto",
        /// By FourCC, as Enhanced RTMP says.
        Enhanced = "enhanced",
        /// By codec id 12 and sound format 13, as was the custom before.
        Legacy = "legacy",
    }
}

fn not_one_of(word: &str, words: &[&str]) -> String {
    let guess = nearest(word, words.iter().copied());
    let guess = guess.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("{word:?} is not one of {}{guess}", quoted.join(", "))
}

/// Where to listen: `:1935` on every address of both families, or an IP address with a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(String);

impl Address {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Address and port; the unspecified IPv6 address stands for both families.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        parse_address(&self.0).unwrap_or(SocketAddr::new(EVERYWHERE, 0))
    }

    /// Whether only this host can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.socket().ip().to_canonical().is_loopback()
    }

    /// Whether both cannot be listened on at once.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        let (a, b) = (self.socket(), other.socket());
        let (x, y) = (a.ip().to_canonical(), b.ip().to_canonical());
        // Port 0 stands for any free port. `[::]` is opened for both families.
        let covers = |x: IpAddr, y: IpAddr| x == EVERYWHERE || (x.is_unspecified() && y.is_ipv4());
        a.port() != 0 && a.port() == b.port() && (x == y || covers(x, y) || covers(y, x))
    }
}

/// What `:PORT` stands for.
const EVERYWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

fn parse_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix(':') {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(SocketAddr::new(EVERYWHERE, port.parse().ok()?))
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse_address(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(format!(
                "{text:?} is neither \":PORT\", for all addresses, nor \"IP:PORT\"; host names are \
                 not looked up"
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Where a listener listens; nowhere if it is empty. Written as a list, or as a single address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Addresses(Vec<Address>);

impl Addresses {
    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Address> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A single, valid address.
    pub(super) fn one(text: &str) -> Self {
        Self(vec![Address(text.to_owned())])
    }
}

impl FromIterator<Address> for Addresses {
    fn from_iter<I: IntoIterator<Item = Address>>(addresses: I) -> Self {
        Self(addresses.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Addresses {
    type Item = &'a Address;
    type IntoIter = std::slice::Iter<'a, Address>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of addresses such as [\":1935\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                match text {
                    "" => Ok(Addresses(Vec::new())),
                    text => Ok(Addresses(vec![text.parse().map_err(E::custom)?])),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Addresses, A::Error> {
                let mut addresses = Vec::new();
                while let Some(address) = seq.next_element()? {
                    addresses.push(address);
                }
                Ok(Addresses(addresses))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// What a stream is recorded as: any of the formats, each once. Written as a list, or as a single
/// word.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct RecordFormats(Vec<RecordFormat>);

impl RecordFormats {
    /// Whether a format is among them.
    #[must_use]
    pub fn has(&self, format: RecordFormat) -> bool {
        self.0.contains(&format)
    }
}

impl fmt::Display for RecordFormats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|format| format.as_str()).collect();
        f.write_str(&words.join(", "))
    }
}

impl FromIterator<RecordFormat> for RecordFormats {
    fn from_iter<I: IntoIterator<Item = RecordFormat>>(formats: I) -> Self {
        let mut list = Vec::new();
        for format in formats {
            if !list.contains(&format) {
                list.push(format);
            }
        }
        Self(list)
    }
}

impl<'de> Deserialize<'de> for RecordFormats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = RecordFormats;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of formats such as [\"mp4\", \"hls\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RecordFormats, E> {
                match text {
                    "" => Ok(RecordFormats::default()),
                    text => Ok(RecordFormats(vec![text.parse().map_err(E::custom)?])),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<RecordFormats, A::Error> {
                let mut formats = Vec::new();
                while let Some(format) = seq.next_element()? {
                    formats.push(format);
                }
                Ok(formats.into_iter().collect())
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// The path of a file; empty for none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilePath(String);

impl FilePath {
    /// The path, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<&Path> {
        if self.0.is_empty() { None } else { Some(Path::new(&self.0)) }
    }
}

impl From<&str> for FilePath {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

/// When the viewers of a listener get what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FlushAfter {
    /// As `stream.flush_after` says.
    #[default]
    AsStream,
    /// When the oldest unsent packet is so old.
    After(Span),
}

impl FlushAfter {
    /// The longest that packets may wait.
    pub const MAX: Span = Span::from_millis(350);

    /// The time, if it is not left to the stream.
    #[must_use]
    pub fn get(self) -> Option<Duration> {
        match self {
            Self::AsStream => None,
            Self::After(span) => Some(span.get()),
        }
    }
}

impl FromStr for FlushAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "stream" {
            return Ok(Self::AsStream);
        }
        let span = Span::from_str(text).ok().filter(|span| *span <= Self::MAX);
        span.map(Self::After).ok_or_else(|| {
            format!("{text:?} is neither \"stream\" nor a duration up to \"{}\"", Self::MAX)
        })
    }
}

impl fmt::Display for FlushAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AsStream => f.write_str("stream"),
            Self::After(span) => span.fmt(f),
        }
    }
}

impl Serialize for FlushAfter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FlushAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A pattern of stream paths: `*` stands for any characters, slashes included, `?` for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` has this form. Takes time in proportion to the product of both lengths at
    /// worst.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.chars(), name.chars());
        // Where to go on when the guess of how much the last `*` stands for was wrong.
        let mut retry = None;
        loop {
            let before = rest.clone();
            match (pattern.next(), rest.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    retry = Some((pattern.clone(), before.clone()));
                    rest = before;
                }
                (Some('?'), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => {
                    let Some((after_star, mut skipped)) = retry.take() else { return false };
                    if skipped.next().is_none() {
                        return false;
                    }
                    (pattern, rest) = (after_star.clone(), skipped.clone());
                    retry = Some((after_star, skipped));
                }
            }
        }
    }
}

impl From<&str> for Pattern {
    fn from(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_collide_when_one_covers_the_other() {
        let collide = |a: &str, b: &str| {
            let (a, b): (Address, Address) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(a.collides(&b), b.collides(&a));
            a.collides(&b)
        };
        assert!(collide(":1935", ":1935"));
        assert!(collide(":1935", "127.0.0.1:1935"));
        assert!(collide("0.0.0.0:1935", "127.0.0.1:1935"));
        assert!(collide(":1935", "0.0.0.0:1935"));
        assert!(!collide("0.0.0.0:1935", "[::1]:1935"));
        assert!(!collide(":1935", ":1936"));
        assert!(!collide("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!collide(":0", ":0"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["1935", ":", ":+1", ":99999", "localhost:1935", "::1:80x", "1.2.3.4"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!("[::1]:80".parse::<Address>().unwrap().is_loopback());
        assert!("[::ffff:127.0.0.1]:80".parse::<Address>().unwrap().is_loopback());
    }

    #[test]
    fn words_have_a_nearest() {
        assert_eq!(
            "takeove".parse::<SecondPublisher>().unwrap_err(),
            r#""takeove" is not one of "refuse", "takeover" (did you mean "takeover"?)"#
        );
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, matches) in [
            ("live/cam*", "live/cam1", true),
            ("live/cam*", "live/camera/1", true),
            ("live/cam*", "live/ca", false),
            ("*/a*b*c", "x/y/aabbc", true),
            ("*/a*b*c", "x/aabb", false),
            ("cam?", "cam1", true),
            ("cam?", "cam", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a", "ab", false),
        ] {
            assert_eq!(Pattern::from(pattern).matches(name), matches, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_star_stands_for_anything(
            before in "[a-c*]{0,6}",
            middle: String,
            after in "[a-c]{0,6}",
        ) {
            let pattern = Pattern(format!("{before}*{after}"));
            let name = format!("{before}{middle}{after}");
            prop_assert!(pattern.matches(&name));
        }
    }
}
