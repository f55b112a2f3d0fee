//! The kinds of values that settings have, besides numbers, text and [quantities](super::units).

mod addresses;
mod choices;
mod prefixes;
mod words;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::addresses::*;
pub use self::choices::*;
pub use self::prefixes::Prefixes;
pub use self::words::{Word, Words};
use super::units::Span;

/// Somebody with a password.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// The streams that may be published.
    #[serde(default)]
    pub publish: Vec<Pattern>,
    /// The streams that may be played.
    #[serde(default)]
    pub play: Vec<Pattern>,
    /// Whether the API may be used.
    #[serde(default)]
    pub api: bool,
}

/// Without the password.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A device of GB/T 28181 with a password of its own.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its 20 digits.
    pub id: String,
    /// The password.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Streams that are pulled from other servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullRule {
    /// What they are called here.
    pub stream: Pattern,
    /// Where they come from; the next one is tried where one fails.
    pub from: Vec<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PullStart>,
    /// How long a pull on demand goes on without viewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<Span>,
    /// What RTP travels over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtsp_transport: Option<RtspTransport>,
    /// Whether the next source is kept connected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standby: bool,
}

impl PullRule {
    /// When the streams are pulled, if it is not said: where a pattern has wildcards, it cannot be
    /// always.
    #[must_use]
    pub fn start(&self) -> PullStart {
        let any = self.stream.as_str().contains(['*', '?']);
        self.start.unwrap_or(if any { PullStart::OnDemand } else { PullStart::Always })
    }
}

/// Streams that are pushed to other servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushRule {
    /// What they are called here.
    pub stream: Pattern,
    /// Where they go to, all at once.
    pub to: Vec<String>,
    /// Whether those that are pulled from other servers are meant, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pulled: bool,
    /// What RTP travels over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtsp_transport: Option<RtspTransport>,
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
        hub::pattern::matches(&self.0, name)
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
