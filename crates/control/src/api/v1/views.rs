//! Streams and sessions as our endpoints show them.

use std::sync::Arc;
use std::time::SystemTime;

use hub::{Session, StreamState, Summary, mask};
use media::{Codec, Details, Track, TrackId, inspect};
use serde::Serialize;
use utoipa::ToSchema;

use crate::history::{OfServer, OfStream, kbps};
use crate::logs::rfc3339;

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    /// Its unique id, such as `FLVSUB42`.
    pub(super) id: String,
    /// `CUSTOMIZE`, `RTMP`, `RTSP`, `FLV`, `TS`, `PS`, `HLS` or `MP4`.
    pub(super) protocol: String,
    /// `PUBSUB` (not known yet), `PUB`, `SUB`, `PUSH` or `PULL`.
    pub(super) role: String,
    /// The peer's address; empty for a publisher inside the program.
    pub(super) peer: String,
    /// What the peer has opened.
    pub(super) url: String,
    /// The stream that it takes part in.
    pub(super) stream: Option<String>,
    /// Who the peer has proven to be.
    pub(super) user: Option<String>,
    /// When it began, in RFC 3339.
    pub(super) started: String,
    /// Bytes read from the peer.
    pub(super) read_bytes: u64,
    /// Bytes written to the peer.
    pub(super) written_bytes: u64,
    /// kbit/s (1000 bits) read lately.
    pub(super) read_kbps: u64,
    /// kbit/s (1000 bits) written lately.
    pub(super) written_kbps: u64,
    /// How often the viewer was too slow and has skipped.
    pub(super) skips: u64,
}

impl SessionView {
    pub(super) fn new(session: &Arc<Session>) -> Self {
        let (kind, moved) = (session.kind(), session.statistics());
        Self {
            id: session.id().to_string(),
            protocol: kind.protocol.to_string(),
            role: kind.role.to_string(),
            peer: session.peer().map(|peer| peer.to_string()).unwrap_or_default(),
            url: shown(&session.address().url),
            stream: session.stream().map(|stream| stream.to_string()),
            user: session.user().map(|user| user.to_string()),
            started: rfc3339(session.started()),
            read_bytes: moved.read_bytes,
            written_bytes: moved.written_bytes,
            read_kbps: kbps(moved.read_kbits),
            written_kbps: kbps(moved.written_kbits),
            skips: session.skips(),
        }
    }
}

/// Logins are secrets, and queries may hold some.
fn shown(url: &str) -> String {
    let url = mask::source(url);
    url.split('?').next().unwrap_or_default().to_owned()
}

/// A track of a stream; what is not known is absent.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct TrackView {
    id: String,
    /// `video`, `audio` or `data`.
    kind: &'static str,
    codec: String,
    /// Codec and its parameters as in `codecs` of a MIME type (RFC 6381), such as `avc1.64001f` or
    /// `mp4a.40.2`; absent until they are known, and for codecs that have no such name.
    #[serde(skip_serializing_if = "Option::is_none")]
    rfc6381: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// Pictures per second, as the stream says.
    #[serde(skip_serializing_if = "Option::is_none")]
    fps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<u32>,
    /// `true` for silence that the server has added.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<bool>,
}

impl TrackView {
    fn new(track: &Track, silent: bool) -> Self {
        let view = Self {
            silent: silent.then_some(true),
            id: track.id.to_string(),
            kind: match track.id.kind {
                media::TrackKind::Video => "video",
                media::TrackKind::Audio => "audio",
                media::TrackKind::Data => "data",
            },
            codec: track.codec.to_string(),
            rfc6381: inspect::rfc6381(track),
            ..Self::default()
        };
        match &track.details {
            Details::Video(video) => Self {
                width: Some(video.width),
                height: Some(video.height),
                fps: Some(f64::from(video.millihertz) / 1000.0).filter(|fps| *fps > 0.0),
                profile: Some(video_profile(track.codec, video.profile)),
                level: Some(video_level(track.codec, video.level)),
                ..view
            },
            Details::Audio(audio) => Self {
                sample_rate: Some(audio.sample_rate),
                channels: Some(u32::from(audio.channels)),
                profile: (track.codec == Codec::Aac).then(|| aac_profile(audio.profile)),
                ..view
            },
            Details::Unknown => view,
        }
    }
}

/// A profile by its usual name (H.264 annex A, H.265 annex A), or its number.
fn video_profile(codec: Codec, profile: u8) -> String {
    let name = match (codec, profile) {
        (Codec::H264, 66) => "Baseline",
        (Codec::H264, 77) => "Main",
        (Codec::H264, 88) => "Extended",
        (Codec::H264, 100) => "High",
        (Codec::H264, 110) => "High 10",
        (Codec::H264, 122) => "High 4:2:2",
        (Codec::H264, 244) => "High 4:4:4",
        (Codec::H265, 1) | (Codec::Av1, 0) => "Main",
        (Codec::H265, 2) => "Main 10",
        (Codec::H265, 3) => "Main Still Picture",
        (Codec::H265, 4) => "Range Extensions",
        (Codec::Av1, 1) => "High",
        (Codec::Av1, 2) => "Professional",
        (_, number) => return number.to_string(),
    };
    name.to_owned()
}

/// A level as it is usually written: H.264 counts tenths, H.265 thirtieths.
fn video_level(codec: Codec, level: u8) -> String {
    match codec {
        Codec::H264 => format!("{}.{}", level / 10, level % 10),
        Codec::H265 => format!("{}.{}", level / 30, level % 30 / 3),
        Codec::Av1 => format!("{}.{}", 2 + level / 4, level % 4),
        _ => level.to_string(),
    }
}

/// An audio object type (ISO/IEC 14496-3 table 1.17) by its usual name, or its number.
fn aac_profile(object_type: u8) -> String {
    let name = match object_type {
        1 => "Main",
        2 => "LC",
        5 => "HE-AAC",
        29 => "HE-AAC v2",
        number => return number.to_string(),
    };
    name.to_owned()
}

/// A stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamView {
    /// Its path.
    name: String,
    /// The path but for its last item.
    app: String,
    /// The last item of the path.
    stream: String,
    /// `live`, `away` (the publisher has left and may return) or `waiting` (for a publisher).
    pub(super) state: &'static str,
    publisher: Option<SessionView>,
    viewers: usize,
    /// Viewers that edges have reported lately (`relay.report_to`).
    edge_viewers: u64,
    tracks: Vec<TrackView>,
    /// Pictures that came in the last second.
    fps: u32,
    /// kbit/s (1000 bits) that come in.
    in_kbps: u64,
    /// kbit/s (1000 bits) that go out.
    out_kbps: u64,
    /// What it is being recorded as.
    recording: Vec<&'static str>,
}

impl StreamView {
    /// `sessions` are those that take part in it.
    pub(super) fn new(
        summary: &Summary,
        sessions: &[Arc<Session>],
        edge_viewers: u64,
        recording: Vec<&'static str>,
    ) -> Self {
        let path = summary.name.as_str();
        let (app, stream) = path.rsplit_once('/').unwrap_or(("", path));
        let viewers: Vec<_> = sessions.iter().filter(|s| s.kind().role.is_output()).collect();
        let publisher = summary.publisher.as_ref();
        let shown = |track: &Track| {
            TrackView::new(track, summary.silent_audio && track.id == TrackId::audio(0))
        };
        Self {
            name: path.to_owned(),
            app: app.to_owned(),
            stream: stream.to_owned(),
            state: state(summary.state),
            publisher: publisher.map(SessionView::new),
            viewers: viewers.len(),
            edge_viewers,
            tracks: summary.tracks.tracks.iter().map(|track| shown(track)).collect(),
            fps: summary.video_fps.first().copied().unwrap_or_default(),
            in_kbps: publisher.map_or(0, |session| kbps(session.statistics().read_kbits)),
            out_kbps: viewers.iter().map(|s| kbps(s.statistics().written_kbits)).sum(),
            recording,
        }
    }
}

pub(super) fn state(state: StreamState) -> &'static str {
    match state {
        StreamState::Live => "live",
        StreamState::Grace { .. } => "away",
        StreamState::Idle => "waiting",
    }
}

/// A stream, and what else is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamDetail {
    #[serde(flatten)]
    pub(super) stream: StreamView,
    /// Pictures of the last whole GOP.
    pub(super) gop_frames: u32,
    /// Its length.
    pub(super) gop_ms: i64,
    /// Times between the last key frames, the newest first.
    pub(super) key_interval_ms: Vec<i64>,
    /// Frames taken in since it began.
    pub(super) frames: u64,
    pub(super) repairs: RepairsView,
    /// Bytes held for those who come and those who are slow.
    pub(super) cached_bytes: usize,
    /// How often its present viewers were too slow and have skipped.
    pub(super) skips: u64,
    pub(super) history: StreamHistory,
    pub(super) play: Play,
}

/// What was mended of a publisher's stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RepairsView {
    pub(super) timestamp_jumps: u64,
    pub(super) timestamp_regressions: u64,
    /// Packets of RTP that did not arrive.
    pub(super) lost_packets: u64,
    /// Frames of which a part did not arrive.
    pub(super) torn_frames: u64,
}

/// How the operator can play a stream that others may not.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Play {
    /// To be appended to the addresses of its media; empty when everybody may play it. It can be
    /// used for two minutes.
    pub(super) query: String,
}

/// The last minutes of a stream, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamHistory {
    interval_seconds: u64,
    /// When the newest values are from.
    until: String,
    in_kbps: Vec<u64>,
    out_kbps: Vec<u64>,
    fps: Vec<u32>,
    viewers: Vec<u32>,
}

impl StreamHistory {
    pub(super) fn new((samples, until): (Vec<OfStream>, SystemTime)) -> Self {
        Self {
            interval_seconds: crate::history::INTERVAL.as_secs(),
            until: rfc3339(until),
            in_kbps: samples.iter().map(|sample| sample.in_kbps).collect(),
            out_kbps: samples.iter().map(|sample| sample.out_kbps).collect(),
            fps: samples.iter().map(|sample| sample.fps).collect(),
            viewers: samples.iter().map(|sample| sample.viewers).collect(),
        }
    }
}

/// The last minutes of the server, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerHistory {
    interval_seconds: u64,
    /// When the newest values are from.
    until: String,
    in_kbps: Vec<u64>,
    out_kbps: Vec<u64>,
    publishers: Vec<u32>,
    viewers: Vec<u32>,
    /// Of one core.
    cpu_percent: Vec<f64>,
    memory_mb: Vec<f64>,
}

impl ServerHistory {
    pub(super) fn new((samples, until): (Vec<OfServer>, SystemTime)) -> Self {
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        Self {
            interval_seconds: crate::history::INTERVAL.as_secs(),
            until: rfc3339(until),
            in_kbps: samples.iter().map(|sample| sample.in_kbps).collect(),
            out_kbps: samples.iter().map(|sample| sample.out_kbps).collect(),
            publishers: samples.iter().map(|sample| sample.publishers).collect(),
            viewers: samples.iter().map(|sample| sample.viewers).collect(),
            cpu_percent: samples.iter().map(|sample| tenths(sample.cpu_percent)).collect(),
            memory_mb: samples.iter().map(|sample| tenths(sample.memory_mb)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        for (url, expected) in [
            ("rtmp://h/live/a?user=u&pass=p", "rtmp://h/live/a"),
            ("rtsp://user:pass@h:554/live/a?x", "rtsp://h:554/live/a"),
            ("rtsp://user:p?ss@h/live/a", "rtsp://h/live/a"),
            ("http://h/live/a.flv", "http://h/live/a.flv"),
            ("", ""),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
