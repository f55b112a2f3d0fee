//! What a peer says it understands of Enhanced RTMP.
//!
//! Enhanced RTMP v2, "Enhancing NetConnection connect Command": `fourCcList`,
//! `videoFourCcInfoMap`, `audioFourCcInfoMap`, `capsEx`.

use media::{Codec, FourCc};

use crate::amf0::{Object, Value};
use crate::payload::{self, fourcc};

/// Code points that a peer may list; the registry has about a dozen.
const MAX_ENTRIES: usize = 64;

const LIST: &str = "fourCcList";
const VIDEO_MAP: &str = "videoFourCcInfoMap";
const AUDIO_MAP: &str = "audioFourCcInfoMap";

/// Stands for every codec.
const WILDCARD: &str = "*";

/// A peer can turn the codec into pictures or sound.
pub const CAN_DECODE: u32 = 1;
/// A peer can produce the codec.
pub const CAN_ENCODE: u32 = 2;
/// A peer can pass the codec on.
pub const CAN_FORWARD: u32 = 4;

/// `capsEx`: the peer follows a reconnect request.
pub const RECONNECT: u32 = 1;
/// `capsEx`: the peer understands several tracks in a stream.
pub const MULTITRACK: u32 = 2;
/// `capsEx`: the peer understands ModEx packets.
pub const MOD_EX: u32 = 4;
/// `capsEx`: the peer understands time stamps to the nanosecond.
pub const TIMESTAMP_NANO_OFFSET: u32 = 8;

/// What a peer announces; nothing, for one that knows no Enhanced RTMP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// What it can do with which codec.
    codecs: Vec<(Entry, u32)>,
    /// The bits of `capsEx`.
    pub caps_ex: u32,
}

/// Whom a mask is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Every codec: the wildcard in `fourCcList`.
    All,
    /// Every codec of a kind: the wildcard in its map.
    Every(Kind),
    One(FourCc),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Video,
    Audio,
}

impl Capabilities {
    /// What this server says of itself: it passes everything on.
    #[must_use]
    pub fn forwarder() -> Self {
        Self { codecs: vec![(Entry::All, CAN_FORWARD)], caps_ex: MULTITRACK | MOD_EX }
    }

    /// What a client says of itself that can decode `codecs`.
    #[must_use]
    pub fn decoder(codecs: &[Codec]) -> Self {
        let entries = codecs.iter().filter_map(|codec| fourcc(*codec));
        let codecs = entries.map(|code| (Entry::One(code), CAN_DECODE)).collect();
        Self { codecs, caps_ex: MULTITRACK | MOD_EX }
    }

    /// Reads the command object of `connect`. What cannot be understood is left out.
    #[must_use]
    pub fn from_connect(object: &Object) -> Self {
        let mut codecs = Vec::new();
        if let Some(list) = object.get(LIST).and_then(Value::as_array) {
            let names = list.iter().filter_map(Value::as_str);
            let names = names.filter_map(|name| Entry::parse(name, Entry::All));
            codecs.extend(names.take(MAX_ENTRIES).map(|entry| (entry, CAN_DECODE)));
        }
        for (map, kind) in [(VIDEO_MAP, Kind::Video), (AUDIO_MAP, Kind::Audio)] {
            let Some(map) = object.get(map).and_then(Value::as_object) else { continue };
            let entries = map.iter().filter_map(|(name, mask)| {
                Some((Entry::parse(name, Entry::Every(kind))?, bits(mask.as_number()?)))
            });
            codecs.extend(entries.take(MAX_ENTRIES));
        }
        let caps_ex = object.get("capsEx").and_then(Value::as_number).map_or(0, bits);
        Self { codecs, caps_ex }
    }

    /// Adds what is announced to the command object of `connect`, or to its answer.
    pub fn to_connect(&self, object: &mut Object) {
        let (mut list, mut video, mut audio) = (Vec::new(), Object::new(), Object::new());
        for (entry, mask) in &self.codecs {
            let name = entry.name();
            // The list has no wildcard of one kind.
            if mask & CAN_DECODE != 0 && !matches!(entry, Entry::Every(_)) {
                list.push(Value::from(name.clone()));
            }
            if entry.is_of(Kind::Video) {
                video.insert(name.clone(), f64::from(*mask));
            }
            if entry.is_of(Kind::Audio) {
                audio.insert(name, f64::from(*mask));
            }
        }
        if !list.is_empty() {
            object.insert(LIST, Value::StrictArray(list));
        }
        if !video.is_empty() {
            object.insert(VIDEO_MAP, video);
        }
        if !audio.is_empty() {
            object.insert(AUDIO_MAP, audio);
        }
        object.insert("capsEx", f64::from(self.caps_ex));
    }

    /// Whether the peer has said anything at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.codecs.is_empty() && self.caps_ex == 0
    }

    /// Whether the peer says that it can take the codec in its FourCC form.
    #[must_use]
    pub fn can_decode(&self, codec: Codec) -> bool {
        let Some(code) = fourcc(codec) else { return false };
        self.codecs.iter().any(|(entry, mask)| {
            let named = match entry {
                Entry::All => true,
                // A code that is not known here may be of either kind.
                Entry::Every(kind) => kind_of(code).is_none_or(|known| known == *kind),
                Entry::One(one) => *one == code,
            };
            named && mask & (CAN_DECODE | CAN_FORWARD) != 0
        })
    }

    /// Whether the peer understands several tracks in a stream.
    #[must_use]
    pub fn multitrack(&self) -> bool {
        self.caps_ex & MULTITRACK != 0
    }
}

impl Entry {
    fn parse(name: &str, wildcard: Self) -> Option<Self> {
        if name == WILDCARD {
            return Some(wildcard);
        }
        name.as_bytes().try_into().ok().map(|code| Self::One(FourCc(code)))
    }

    fn name(self) -> String {
        match self {
            Self::All | Self::Every(_) => WILDCARD.to_owned(),
            Self::One(code) => code.to_string(),
        }
    }

    /// Whether it belongs into the map of this kind; codes that are not known here go into that
    /// of video.
    fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::All => true,
            Self::Every(every) => every == kind,
            Self::One(code) => kind_of(code).unwrap_or(Kind::Video) == kind,
        }
    }
}

fn kind_of(code: FourCc) -> Option<Kind> {
    if payload::video_codec(code).is_known() {
        Some(Kind::Video)
    } else if payload::audio_codec(code).is_known() {
        Some(Kind::Audio)
    } else {
        None
    }
}

/// A mask that came as a double.
fn bits(mask: f64) -> u32 {
    // Saturating: NaN is 0, and no defined bit is near the limits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bits = mask as u32;
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_a_map_and_a_wildcard_are_understood() {
        let list = Value::StrictArray(vec!["hvc1".into(), "too long".into(), Value::Null]);
        let map = Object::new().with("av01", 1.0).with("vp09", 2.0);
        let object = Object::new()
            .with("fourCcList", list)
            .with("videoFourCcInfoMap", map)
            .with("capsEx", 2.0);
        let caps = Capabilities::from_connect(&object);
        assert!(caps.can_decode(Codec::H265) && caps.can_decode(Codec::Av1));
        assert!(!caps.can_decode(Codec::Vp9) && !caps.can_decode(Codec::Opus));
        assert!(caps.multitrack());
        let all = Object::new().with("fourCcList", Value::StrictArray(vec!["*".into()]));
        let caps = Capabilities::from_connect(&all);
        assert!(caps.can_decode(Codec::Opus) && !caps.can_decode(Codec::PcmA));
    }

    #[test]
    fn the_wildcard_of_a_map_is_about_its_kind() {
        let map = Object::new().with("*", 4.0).with("vp09", 3.0);
        let caps = Capabilities::from_connect(&Object::new().with("videoFourCcInfoMap", map));
        assert!(caps.can_decode(Codec::H265) && caps.can_decode(Codec::Vp9));
        assert!(!caps.can_decode(Codec::Opus));
        assert!(caps.can_decode(Codec::FourCc(FourCc(*b"new1"))));
        let mut object = Object::new();
        caps.to_connect(&mut object);
        assert!(!Capabilities::from_connect(&object).can_decode(Codec::Opus));
    }

    #[test]
    fn odd_values_are_left_out() {
        let object = Object::new()
            .with("fourCcList", 7.0)
            .with("videoFourCcInfoMap", "x")
            .with("capsEx", f64::NAN);
        assert!(Capabilities::from_connect(&object).is_empty());
    }

    #[test]
    fn what_is_announced_is_read_back() {
        for caps in [Capabilities::forwarder(), Capabilities::decoder(&[Codec::H265, Codec::Opus])]
        {
            let mut object = Object::new();
            caps.to_connect(&mut object);
            let back = Capabilities::from_connect(&object);
            for codec in [Codec::H265, Codec::Opus, Codec::Av1] {
                assert_eq!(back.can_decode(codec), caps.can_decode(codec), "{codec}");
            }
            assert_eq!(back.caps_ex, caps.caps_ex);
        }
    }
}
