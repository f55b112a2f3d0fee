//! What a session description says of a medium, and what it is to say of a track.
//!
//! Static payload types are those of [RFC 3551](https://www.rfc-editor.org/rfc/rfc3551) §6; the
//! parameters of the dynamic ones are named in the specifications of the payload formats. A format
//! that is not known here travels as opaque payloads ([`Codec::Rtp`]), from RTP to RTP only.
//!
//! Tolerated: missing, empty, or unreadable parameters (configurations then come with the media),
//! names in any case, a missing `rtpmap` of static payload types.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use media::{
    AudioDetails, Codec, Details, EncodingName, Error, Track, TrackKind, aac, av1, h264, h265,
    opus, vp,
};

use crate::payload::aac::Layout;
use crate::payload::{self, Depacketizer, Packetizer};
use crate::sdp::{Attribute, Media};

/// Base64 of senders that forget the padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A medium that is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Picture, sound, or something else.
    pub kind: TrackKind,
    /// What its packets have.
    pub payload_type: u8,
    /// How it is coded.
    pub codec: Codec,
    /// Ticks of its timestamps per second; never zero.
    pub clock_rate: u32,
    /// Channels of sound as the description has them; 1 if it says nothing.
    pub channels: u8,
    encoding: Encoding,
    parameters: BTreeMap<String, String>,
    /// `rtpmap` and `fmtp`, a line each, for those who pass them on.
    description: String,
}

/// Payload formats of one codec that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Usual,
    /// MP4A-LATM.
    Latm,
    /// mpa-robust.
    Robust,
}

impl Format {
    /// What a medium is: the first of its payload types that is known, else the first.
    ///
    /// # Errors
    /// [`Error`] when it has no payload type, or one without a name or a clock.
    pub fn of(media: &Media) -> Result<Self, Error> {
        let all = || media.formats.iter().filter_map(|format| Self::of_type(media, format).ok());
        let known = all().find(|format| format.codec.is_known());
        known.or_else(|| all().next()).ok_or_else(|| Error::Invalid {
            what: "payload type without rtpmap",
            value: media.formats.first().and_then(|f| f.parse().ok()).unwrap_or_default(),
        })
    }

    fn of_type(media: &Media, format: &str) -> Result<Self, Error> {
        let unusable = |value: u64| Error::Invalid { what: "payload type", value };
        let payload_type: u8 = format.parse().map_err(|_| unusable(0))?;
        let rtpmap = media.of_format("rtpmap", format).or_else(|| static_rtpmap(payload_type));
        let rtpmap = rtpmap.filter(|_| payload_type < 128);
        let rtpmap = rtpmap.ok_or_else(|| unusable(payload_type.into()))?;
        let mut words = rtpmap.split('/').map(str::trim);
        let name = words.next().unwrap_or_default();
        let clock_rate = words.next().and_then(|rate| rate.parse().ok()).unwrap_or_default();
        if clock_rate == 0 {
            return Err(Error::Invalid { what: "clock rate", value: 0 });
        }
        let channels = words.next().and_then(|channels| channels.parse().ok()).unwrap_or(1);
        let fmtp = media.of_format("fmtp", format).unwrap_or_default();
        let (codec, encoding) = codec_of(name).ok_or_else(|| unusable(payload_type.into()))?;
        let kind = match media.kind.as_str() {
            "video" => TrackKind::Video,
            "audio" => TrackKind::Audio,
            _ => TrackKind::Data,
        };
        Ok(Self {
            kind,
            payload_type,
            codec,
            clock_rate,
            channels,
            encoding,
            parameters: parameters(fmtp),
            description: format!("{rtpmap}\n{fmtp}"),
        })
    }

    /// The decoder configuration as far as the description tells it; empty if it does not.
    #[must_use]
    pub fn config(&self) -> Bytes {
        self.told_config().unwrap_or_default()
    }

    /// What the description says to people, where the configuration says nothing.
    #[must_use]
    pub fn details(&self) -> Details {
        match self.kind {
            TrackKind::Audio => Details::Audio(AudioDetails {
                sample_rate: self.clock_rate,
                channels: self.channels,
                profile: 0,
            }),
            TrackKind::Video | TrackKind::Data => Details::Unknown,
        }
    }

    /// Starts to put frames together.
    ///
    /// # Errors
    /// [`Error`] when the description has a configuration that cannot be understood, without which
    /// nothing can be read.
    pub fn depacketizer(&self) -> Result<Box<dyn Depacketizer>, Error> {
        Ok(match (self.codec, self.encoding) {
            (Codec::H264, _) => Box::new(payload::h264::Depacketizer::new()),
            (Codec::H265, _) => {
                let numbered = self.number("sprop-max-don-diff").is_some_and(|most| most > 0);
                Box::new(payload::h265::Depacketizer::new(numbered))
            }
            (Codec::Av1, _) => Box::new(payload::av1::Depacketizer::new()),
            (Codec::Vp8, _) => Box::new(payload::vp8::Depacketizer::new()),
            (Codec::Vp9, _) => Box::new(payload::vp9::Depacketizer::new()),
            (Codec::Aac, Encoding::Latm) => {
                let present = self.number("cpresent") != Some(0);
                let config = self.parameter("config").and_then(hex);
                let (config, rate) = (config.as_deref(), self.clock_rate);
                Box::new(payload::latm::Depacketizer::new(config, present, rate)?)
            }
            (Codec::Aac, _) => {
                let layout = self.aac_layout();
                Box::new(payload::aac::Depacketizer::new(layout, self.aac_ticks()))
            }
            (Codec::Mp3, Encoding::Robust) => Box::new(payload::mp3::Robust::new()),
            (Codec::Mp3, _) => Box::new(payload::mp3::Depacketizer::new()),
            (Codec::PcmA | Codec::PcmU | Codec::Opus, _) => {
                Box::new(payload::raw::Depacketizer::new())
            }
            _ => Box::new(payload::opaque::Depacketizer::new()),
        })
    }

    fn told_config(&self) -> Option<Bytes> {
        match (self.codec, self.encoding) {
            (Codec::H264, _) => {
                let sets = self.sets("sprop-parameter-sets");
                let sets = h264::Config::from_parameter_sets(sets.iter().map(|set| &set[..]));
                sets.ok().map(|config| config.to_bytes())
            }
            (Codec::H265, _) => {
                let names = ["sprop-vps", "sprop-sps", "sprop-pps"];
                let sets: Vec<_> = names.iter().flat_map(|name| self.sets(name)).collect();
                let sets = h265::Config::from_parameter_sets(sets.iter().map(|set| &set[..]));
                sets.ok().map(|config| config.to_bytes())
            }
            (Codec::Aac, Encoding::Latm) => {
                let config = hex(self.parameter("config")?)?;
                payload::latm::audio_specific_config(&config).ok()
            }
            (Codec::Aac, _) => {
                let told = self
                    .parameter("config")
                    .and_then(hex)
                    .filter(|config| aac::Config::parse(config).is_ok());
                let usual = || aac::Config::new(AAC_LC, self.clock_rate, self.channels)?.to_bytes();
                told.map(Bytes::from).or_else(usual)
            }
            // Two channels are written whatever the sound has (RFC 7587 §7).
            (Codec::Opus, _) => {
                let mono = self.number("sprop-stereo") == Some(0);
                Some(opus::Head::new(if mono { 1 } else { 2 }).to_bytes())
            }
            (Codec::Rtp(_), _) => Some(Bytes::from(self.description.clone())),
            _ => None,
        }
    }

    fn aac_layout(&self) -> Layout {
        let lbr = self.parameter("mode").is_some_and(|mode| mode.eq_ignore_ascii_case("AAC-lbr"));
        let usual = if lbr { Layout::LBR } else { Layout::HBR };
        let told = |name, usual| {
            let bits = self.number(name).and_then(|bits| u8::try_from(bits).ok());
            bits.filter(|bits| *bits <= 32).unwrap_or(usual)
        };
        Layout {
            size_length: told("sizelength", usual.size_length),
            index_length: told("indexlength", usual.index_length),
            index_delta_length: told("indexdeltalength", usual.index_delta_length),
        }
    }

    /// Ticks of the timestamps in an AAC frame.
    fn aac_ticks(&self) -> u32 {
        let config = self.told_config().and_then(|config| aac::Config::parse(&config).ok());
        let Some(config) = config.filter(|config| config.sample_rate > 0) else { return 1024 };
        let ticks = u64::from(config.frame_length) * u64::from(self.clock_rate)
            / u64::from(config.sample_rate);
        u32::try_from(ticks).unwrap_or(1024)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.parameter(name)?.parse().ok()
    }

    /// Parameter sets: Base64, with commas between.
    fn sets(&self, name: &str) -> Vec<Vec<u8>> {
        let list = self.parameter(name).unwrap_or_default().split(',');
        let sets = list.filter_map(|set| LENIENT.decode(set.trim()).ok());
        sets.filter(|set| !set.is_empty()).collect()
    }
}

/// How a track is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// What its packets have.
    pub payload_type: u8,
    /// Ticks of its timestamps per second.
    pub clock_rate: u32,
    rtpmap: String,
    fmtp: String,
}

impl Outgoing {
    /// How a track is sent; `None` if RTP has no place for it.
    #[must_use]
    pub fn of(track: &Track) -> Option<Self> {
        // The same for as long as there is the track, whatever others come and go.
        let index = Some(track.id.index).filter(|index| *index < 8)?;
        let dynamic = match track.id.kind {
            TrackKind::Video => 96 + 2 * index,
            TrackKind::Audio => 97 + 2 * index,
            TrackKind::Data => 112 + index,
        };
        let (rate, channels) = match &track.details {
            Details::Audio(audio) => (audio.sample_rate, audio.channels),
            _ => (0, 0),
        };
        let (payload_type, rtpmap, fmtp) = match track.codec {
            Codec::H264 => (dynamic, "H264/90000".to_owned(), h264_parameters(track)),
            Codec::H265 => (dynamic, "H265/90000".to_owned(), h265_parameters(track)),
            Codec::Av1 => (dynamic, "AV1/90000".to_owned(), av1_parameters(track)),
            Codec::Vp8 => (dynamic, "VP8/90000".to_owned(), String::new()),
            Codec::Vp9 => {
                let profile = vp::Config::parse(&track.config).map_or(0, |config| config.profile);
                (dynamic, "VP9/90000".to_owned(), format!("profile-id={profile}"))
            }
            Codec::Aac => {
                let config = aac::Config::parse(&track.config).ok()?;
                let rtpmap = format!("MPEG4-GENERIC/{}/{}", config.sample_rate, config.channels);
                let fmtp = format!(
                    "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;\
                     indexdeltalength=3;config={}",
                    to_hex(&track.config)
                );
                (dynamic, rtpmap, fmtp)
            }
            Codec::Opus => {
                let stereo = u8::from(channels != 1);
                (dynamic, "opus/48000/2".to_owned(), format!("sprop-stereo={stereo}"))
            }
            Codec::PcmU if (rate, channels) == (8_000, 1) => {
                (0, "PCMU/8000".to_owned(), String::new())
            }
            Codec::PcmA if (rate, channels) == (8_000, 1) => {
                (8, "PCMA/8000".to_owned(), String::new())
            }
            Codec::PcmU => {
                (dynamic, format!("PCMU/{}/{}", rate.max(1), channels.max(1)), String::new())
            }
            Codec::PcmA => {
                (dynamic, format!("PCMA/{}/{}", rate.max(1), channels.max(1)), String::new())
            }
            Codec::Mp3 => (14, "MPA/90000".to_owned(), String::new()),
            Codec::Rtp(_) => {
                let text = std::str::from_utf8(&track.config).ok()?;
                let (rtpmap, fmtp) = text.split_once('\n').unwrap_or((text, ""));
                (dynamic, rtpmap.to_owned(), fmtp.to_owned())
            }
            Codec::H266
            | Codec::Flac
            | Codec::Ac3
            | Codec::Eac3
            | Codec::FourCc(_)
            | Codec::FlvVideo(_)
            | Codec::FlvAudio(_) => return None,
        };
        let clock_rate = rtpmap.split('/').nth(1)?.parse().ok().filter(|rate| *rate > 0)?;
        Some(Self { payload_type, clock_rate, rtpmap, fmtp })
    }

    /// The `m=` section of the track, found under the address `control`.
    #[must_use]
    pub fn media(&self, kind: TrackKind, control: &str) -> Media {
        let payload_type = self.payload_type;
        let mut attributes =
            vec![Attribute::new("rtpmap", format!("{payload_type} {}", self.rtpmap))];
        if !self.fmtp.is_empty() {
            attributes.push(Attribute::new("fmtp", format!("{payload_type} {}", self.fmtp)));
        }
        attributes.push(Attribute::new("control", control));
        let kind = match kind {
            TrackKind::Video => "video",
            TrackKind::Audio => "audio",
            TrackKind::Data => "application",
        };
        Media {
            kind: kind.to_owned(),
            port: 0,
            protocol: "RTP/AVP".to_owned(),
            formats: vec![payload_type.to_string()],
            connection: None,
            attributes,
        }
    }

    /// Starts to cut the frames of the track.
    #[must_use]
    pub fn packetizer(track: &Track) -> Box<dyn Packetizer> {
        match track.codec {
            Codec::H264 => Box::new(payload::h264::Packetizer::new(&track.config)),
            Codec::H265 => Box::new(payload::h265::Packetizer::new(&track.config)),
            Codec::Av1 => {
                let config = av1::Config::parse(&track.config);
                let obus = config.map(|config| config.obus().clone()).unwrap_or_default();
                Box::new(payload::av1::Packetizer::new(obus))
            }
            Codec::Vp8 => Box::new(payload::vp8::Packetizer::new()),
            Codec::Vp9 => Box::new(payload::vp9::Packetizer::new()),
            Codec::Aac => Box::new(payload::aac::Packetizer::new()),
            Codec::Mp3 => Box::new(payload::mp3::Packetizer::new()),
            Codec::Opus => Box::new(payload::raw::Packetizer::new(None)),
            Codec::PcmA | Codec::PcmU => {
                let channels = match &track.details {
                    Details::Audio(audio) => audio.channels.max(1),
                    _ => 1,
                };
                Box::new(payload::raw::Packetizer::new(Some(channels.into())))
            }
            _ => Box::new(payload::opaque::Packetizer::new()),
        }
    }
}

/// Reads packets that nobody wants.
#[must_use]
pub fn discard() -> Box<dyn Depacketizer> {
    Box::new(payload::raw::Depacketizer::new())
}

const AAC_LC: u8 = 2;

/// The codec and payload format of an encoding name.
fn codec_of(name: &str) -> Option<(Codec, Encoding)> {
    let usual = |codec| Some((codec, Encoding::Usual));
    match name.to_ascii_uppercase().as_str() {
        "H264" => usual(Codec::H264),
        "H265" | "HEVC" => usual(Codec::H265),
        "AV1" => usual(Codec::Av1),
        "VP8" => usual(Codec::Vp8),
        "VP9" => usual(Codec::Vp9),
        "MPEG4-GENERIC" => usual(Codec::Aac),
        "MP4A-LATM" => Some((Codec::Aac, Encoding::Latm)),
        "OPUS" => usual(Codec::Opus),
        "PCMA" => usual(Codec::PcmA),
        "PCMU" => usual(Codec::PcmU),
        "MPA" | "MP3" => usual(Codec::Mp3),
        "MPA-ROBUST" => Some((Codec::Mp3, Encoding::Robust)),
        _ => usual(Codec::Rtp(EncodingName::new(name)?)),
    }
}

/// RFC 3551 §6: payload types that need no `rtpmap`.
fn static_rtpmap(payload_type: u8) -> Option<&'static str> {
    Some(match payload_type {
        0 => "PCMU/8000",
        3 => "GSM/8000",
        8 => "PCMA/8000",
        9 => "G722/8000",
        10 => "L16/44100/2",
        11 => "L16/44100",
        14 => "MPA/90000",
        18 => "G729/8000",
        26 => "JPEG/90000",
        32 => "MPV/90000",
        33 => "MP2T/90000",
        _ => return None,
    })
}

/// `name=value` pairs with semicolons between; names in lower case.
fn parameters(fmtp: &str) -> BTreeMap<String, String> {
    let pairs = fmtp.split(';').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned())).collect()
}

/// Hexadecimal digits; quotes around them are passed over.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_matches('"').as_bytes();
    let value =
        |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 6184 §8.1. Without parameter sets, none are named: an empty list confuses players.
fn h264_parameters(track: &Track) -> String {
    let Ok(config) = h264::Config::parse(&track.config) else {
        return "packetization-mode=1".to_owned();
    };
    let sets: Vec<_> = config.parameter_sets().map(|set| STANDARD.encode(set)).collect();
    let profile = config.sps().first().and_then(|sps| sps.get(1..4)).map(to_hex);
    let profile = profile.map(|id| format!("profile-level-id={id};")).unwrap_or_default();
    format!("packetization-mode=1;{profile}sprop-parameter-sets={}", sets.join(","))
}

/// RFC 7798 §7.1.
fn h265_parameters(track: &Track) -> String {
    let Ok(config) = h265::Config::parse(&track.config) else { return String::new() };
    let list = |sets: &[Bytes]| -> String {
        sets.iter().map(|set| STANDARD.encode(set)).collect::<Vec<_>>().join(",")
    };
    let all = [("vps", config.vps()), ("sps", config.sps()), ("pps", config.pps())];
    let told = all.iter().filter(|(_, sets)| !sets.is_empty());
    let told: Vec<_> = told.map(|(name, sets)| format!("sprop-{name}={}", list(sets))).collect();
    told.join(";")
}

/// AV1 RTP §7.2.
fn av1_parameters(track: &Track) -> String {
    match (&track.details, track.config.get(2)) {
        (Details::Video(video), Some(formats)) => {
            format!("profile={};level-idx={};tier={}", video.profile, video.level, formats >> 7)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use media::{TimeBase, TrackId};

    use super::*;
    use crate::sdp::Session;

    fn format(lines: &str) -> Result<Format, Error> {
        Format::of(&Session::parse(lines.replace('|', "\r\n").as_bytes())?.media[0])
    }

    fn track(id: TrackId, codec: Codec, config: &[u8]) -> Track {
        let config = Bytes::copy_from_slice(config);
        let details = media::inspect::details(codec, &config).unwrap_or_default();
        let time_base = TimeBase::VIDEO;
        Track { id, codec, time_base, config, color_info: None, enhanced: false, details }
    }

    #[test]
    fn parameter_sets_are_read_and_empty_ones_passed_over() {
        let media = "m=video 0 RTP/AVP 96|a=rtpmap:96 h264/90000|a=fmtp:96 packetization-mode=1; \
                     sprop-parameter-sets=Z0IAKeKQFAe2AtwEBAaQeJEV,aM48gA ;";
        let known = format(media).unwrap();
        assert_eq!(known.codec, Codec::H264);
        let config = h264::Config::parse(&known.config()).unwrap();
        assert_eq!((config.sps().len(), config.pps().len()), (1, 1));
        for told in ["", "=", "=,", "=!!!!"] {
            let media = format!(
                "m=video 0 RTP/AVP 96|a=rtpmap:96 H264/90000|a=fmtp:96 sprop-parameter-sets{told}"
            );
            assert_eq!(format(&media).unwrap().config(), Bytes::new(), "{told}");
        }
    }

    #[test]
    fn sound_is_described_by_its_configuration_or_its_map() {
        let told = format(
            "m=audio 0 RTP/AVP 97|a=rtpmap:97 mpeg4-generic/44100/2|\
             a=fmtp:97 mode=AAC-hbr;config=1210;SizeLength=13;IndexLength=3;IndexDeltaLength=3",
        );
        assert_eq!(&told.unwrap().config()[..], [0x12, 0x10]);
        let untold = format("m=audio 0 RTP/AVP 97|a=rtpmap:97 MPEG4-GENERIC/44100/2");
        assert_eq!(&untold.unwrap().config()[..], [0x12, 0x10]);
        let pcm = format("m=audio 0 RTP/AVP 0").unwrap();
        assert_eq!((pcm.codec, pcm.clock_rate, pcm.payload_type), (Codec::PcmU, 8000, 0));
    }

    #[test]
    fn unknown_formats_keep_their_description() {
        let unknown = format("m=video 0 RTP/AVP 26").unwrap();
        assert_eq!(unknown.codec.to_string(), "JPEG");
        assert_eq!(&unknown.config()[..], b"JPEG/90000\n");
        let sent = Outgoing::of(&track(TrackId::video(0), unknown.codec, b"JPEG/90000\n")).unwrap();
        assert_eq!(sent.media(TrackKind::Video, "x").attribute("rtpmap"), Some("96 JPEG/90000"));
        // One that is known is preferred.
        let both = format("m=video 0 RTP/AVP 26 96|a=rtpmap:96 H264/90000").unwrap();
        assert_eq!((both.codec, both.payload_type), (Codec::H264, 96));
    }

    #[test]
    fn what_has_no_clock_is_refused() {
        for rtpmap in ["H264/0", "H264", "H264/x", "/90000"] {
            let media = format!("m=video 0 RTP/AVP 96|a=rtpmap:96 {rtpmap}");
            assert!(format(&media).is_err(), "{rtpmap}");
        }
        assert!(format("m=video 0 RTP/AVP 96").is_err());
        assert!(format("m=video 0 RTP/AVP").is_err());
        assert!(format("m=video 0 RTP/AVP 200|a=rtpmap:200 H264/90000").is_err());
    }

    #[test]
    fn a_track_is_described_as_it_was() {
        let config = h264::Config::from_parameter_sets([
            &STANDARD.decode("Z0IAKeKQFAe2AtwEBAaQeJEV").unwrap()[..],
            &STANDARD.decode("aM48gA==").unwrap()[..],
        ]);
        let config = config.unwrap().to_bytes();
        let sent = Outgoing::of(&track(TrackId::video(0), Codec::H264, &config)).unwrap();
        let media = sent.media(TrackKind::Video, "trackID=0");
        assert_eq!(media.attribute("control"), Some("trackID=0"));
        assert!(media.attribute("fmtp").unwrap().contains("profile-level-id=420029;"));
        assert_eq!(Format::of(&media).unwrap().config(), config);
        let asc = [0x12, 0x10];
        let sent = Outgoing::of(&track(TrackId::audio(0), Codec::Aac, &asc)).unwrap();
        let back = Format::of(&sent.media(TrackKind::Audio, "trackID=1")).unwrap();
        assert_eq!((back.clock_rate, back.channels, &back.config()[..]), (44_100, 2, &asc[..]));
    }
}
