//! One door to all codecs: what ingest and packagers ask without caring which one it is.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    AudioDetails, Codec, Details, Error, TimeBase, Track, TrackKind, Units, VideoDetails, aac, ac3,
    av1, flac, h264, h265, h266, mp3, nal, opus, vp,
};

/// Whether a codec is one of pictures or of sound; `None` where its code does not tell.
#[must_use]
pub fn kind(codec: Codec) -> Option<TrackKind> {
    match codec {
        Codec::FourCc(_) | Codec::Rtp(_) => None,
        _ if is_picture(codec) => Some(TrackKind::Video),
        _ => Some(TrackKind::Audio),
    }
}

/// What a decoder configuration says; [`Details::Unknown`] for codecs that have none.
///
/// # Errors
/// [`Error`] when the configuration is invalid.
pub fn details(codec: Codec, config: &[u8]) -> Result<Details, Error> {
    Ok(match codec {
        Codec::H264 => Details::Video(h264::Config::parse(config)?.details()),
        Codec::H265 => Details::Video(h265::Config::parse(config)?.details()),
        Codec::Av1 => Details::Video(av1::Config::parse(config)?.details()),
        Codec::Vp8 | Codec::Vp9 => {
            let config = vp::Config::parse(config)?;
            let (profile, level) = (config.profile, config.level);
            Details::Video(VideoDetails { profile, level, ..VideoDetails::default() })
        }
        Codec::Aac => Details::Audio(aac::Config::parse(config)?.details()),
        Codec::Opus => Details::Audio(opus::Head::parse(config)?.details()),
        Codec::Flac => Details::Audio(flac::StreamInfo::parse(config)?.details()),
        Codec::PcmA | Codec::PcmU => Details::Audio(g711()),
        _ => Details::Unknown,
    })
}

/// What a frame itself says, for codecs without a configuration and streams that lack theirs.
///
/// `None` for frames that say nothing: most frames of most codecs.
#[must_use]
pub fn frame_details(codec: Codec, frame: &[u8]) -> Option<Details> {
    let video = |width: u32, height: u32, profile| {
        Details::Video(VideoDetails { width, height, profile, ..VideoDetails::default() })
    };
    match codec {
        Codec::Av1 => av1::sequence_header(frame).map(|header| Details::Video(header.details())),
        Codec::Vp8 => {
            let (width, height) = vp::vp8::Header::parse(frame).ok()?.size?;
            Some(video(width.into(), height.into(), 0))
        }
        Codec::Vp9 => {
            let header = vp::vp9::Header::parse(frame).ok()?;
            header.key.map(|key| video(key.width, key.height, header.profile))
        }
        Codec::Mp3 => mp3::Header::parse(frame).ok().map(|h| Details::Audio(h.details())),
        Codec::Ac3 | Codec::Eac3 => {
            ac3::Header::parse(frame).ok().map(|h| Details::Audio(h.details()))
        }
        Codec::PcmA | Codec::PcmU => Some(Details::Audio(g711())),
        _ => None,
    }
}

/// The decoder configuration that a key frame itself has, for sources that send none apart (RTP).
///
/// `None` for frames that have none: those of codecs with parameter sets, and all others.
#[must_use]
pub fn frame_config(codec: Codec, frame: &[u8]) -> Option<Bytes> {
    match codec {
        Codec::Av1 => av1::Config::from_frame(frame).ok().map(|config| config.to_bytes()),
        Codec::Vp9 => {
            let header = vp::vp9::Header::parse(frame).ok()?;
            header.config().map(|config| config.to_bytes())
        }
        _ => None,
    }
}

/// The clock of a track: 90 kHz for pictures, the sample rate for sound, else milliseconds.
#[must_use]
pub fn time_base(codec: Codec, details: &Details) -> TimeBase {
    match (codec, details) {
        (Codec::Opus, _) => TimeBase::new(opus::SAMPLE_RATE),
        (_, Details::Audio(audio)) => TimeBase::new(audio.sample_rate),
        _ if is_picture(codec) => Some(TimeBase::VIDEO),
        _ => None,
    }
    .unwrap_or(TimeBase::MILLIS)
}

/// Makes the canonical payload of a frame and finds its units.
///
/// `parameter_set` is shown each parameter set that is taken out (to be merged into the track's
/// configuration); access unit delimiters and temporal delimiters disappear. `length_size` is the
/// configuration's and matters to codecs with NAL units only. Zero-copy where nothing changes.
///
/// # Errors
/// [`Error`] when the units don't fit the data.
pub fn canonical(
    codec: Codec,
    data: &Bytes,
    length_size: u8,
    mut parameter_set: impl FnMut(&[u8]),
) -> Result<(Bytes, Units), Error> {
    match codec {
        Codec::H264 => nal::rewrite(data, length_size, |unit| {
            let is_set = h264::is_parameter_set(unit);
            if is_set {
                parameter_set(unit);
            }
            is_set || h264::NalType::of(unit) == Some(h264::NalType::AccessUnitDelimiter)
        }),
        Codec::H265 => nal::rewrite(data, length_size, |unit| {
            let is_set = h265::is_parameter_set(unit);
            if is_set {
                parameter_set(unit);
            }
            is_set || h265::NalType::of(unit) == Some(h265::NalType::AccessUnitDelimiter)
        }),
        Codec::H266 => nal::rewrite(data, length_size, |_| false),
        Codec::Av1 => av1::canonical(data),
        _ => Ok((data.clone(), Units::new())),
    }
}

/// Whether a canonical frame is one that a decoder can start at; `None` where frames don't tell.
#[must_use]
pub fn is_key(codec: Codec, data: &[u8], units: &[Range<u32>]) -> Option<bool> {
    match codec {
        Codec::H264 => Some(h264::is_key(data, units)),
        Codec::H265 => Some(h265::is_key(data, units)),
        Codec::H266 => Some(h266::is_key(data, units)),
        Codec::Av1 => Some(av1::is_key(data)),
        Codec::Vp8 => Some(vp::vp8::Header::parse(data).is_ok_and(|header| header.is_key())),
        Codec::Vp9 => Some(vp::vp9::Header::parse(data).is_ok_and(|header| header.is_key())),
        _ => None,
    }
}

/// As [`is_key`], but also takes H.264 recovery points that are exact at once: the intra pictures
/// of open GOPs, for publishers that send no others.
#[must_use]
pub fn is_random_access(codec: Codec, data: &[u8], units: &[Range<u32>]) -> Option<bool> {
    match codec {
        Codec::H264 => {
            Some(h264::is_key(data, units) || h264::recovery_point(data, units) == Some(0))
        }
        _ => is_key(codec, data, units),
    }
}

/// Whether a canonical frame is one that decoders skip which start at the key frame before it: see
/// [`crate::FrameKind::Leading`]. Only codecs whose frames tell have such frames.
#[must_use]
pub fn is_skipped_leading(codec: Codec, data: &[u8], units: &[Range<u32>]) -> bool {
    match codec {
        Codec::H265 => h265::is_skipped_leading(data, units),
        Codec::H266 => h266::is_skipped_leading(data, units),
        _ => false,
    }
}

/// How long an audio frame of the track lasts, in samples of [`AudioDetails::sample_rate`]
/// (48 kHz for Opus); `None` where nobody can tell.
#[must_use]
pub fn audio_samples(track: &Track, frame: &[u8]) -> Option<u32> {
    match track.codec {
        Codec::Aac => {
            let config = aac::Config::parse(&track.config).ok()?;
            Some(config.frame_length.into())
        }
        Codec::Opus => opus::samples(frame),
        Codec::Mp3 => mp3::samples(frame),
        Codec::Ac3 | Codec::Eac3 => ac3::samples(frame),
        Codec::Flac => flac::samples(frame),
        Codec::PcmA | Codec::PcmU => {
            let channels = match track.details {
                Details::Audio(audio) => audio.channels.max(1),
                _ => 1,
            };
            u32::try_from(frame.len()).ok().map(|bytes| bytes / u32::from(channels))
        }
        _ => None,
    }
}

/// The track's name in `CODECS` attributes and `codecs` parameters (RFC 6381); `None` where there
/// is none or the configuration is invalid.
#[must_use]
pub fn rfc6381(track: &Track) -> Option<String> {
    let config = &track.config;
    Some(match track.codec {
        Codec::H264 => h264::Config::parse(config).ok()?.rfc6381(),
        Codec::H265 => h265::Config::parse(config).ok()?.rfc6381(),
        Codec::Av1 => av1::Config::parse(config).ok()?.rfc6381(),
        Codec::Vp8 => {
            vp::Config::parse(config).map_or_else(|_| "vp8".into(), |c| c.rfc6381("vp08"))
        }
        Codec::Vp9 => vp::Config::parse(config).ok()?.rfc6381("vp09"),
        Codec::Aac => aac::Config::parse(config).ok()?.rfc6381(),
        Codec::Mp3 => "mp4a.40.34".into(),
        Codec::Opus => "opus".into(),
        Codec::Flac => "fLaC".into(),
        Codec::Ac3 => "ac-3".into(),
        Codec::Eac3 => "ec-3".into(),
        Codec::PcmA => "alaw".into(),
        Codec::PcmU => "ulaw".into(),
        Codec::H266
        | Codec::FourCc(_)
        | Codec::FlvVideo(_)
        | Codec::FlvAudio(_)
        | Codec::Rtp(_) => return None,
    })
}

fn is_picture(codec: Codec) -> bool {
    matches!(codec, Codec::Av1 | Codec::Vp8 | Codec::Vp9 | Codec::FlvVideo(_))
        || codec.has_nal_units()
}

/// 8 kHz, mono, unless the wire says otherwise.
fn g711() -> AudioDetails {
    AudioDetails { sample_rate: 8_000, channels: 1, profile: 0 }
}
