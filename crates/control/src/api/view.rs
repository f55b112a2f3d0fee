//! Streams and sessions as the API shows them.

use std::sync::Arc;
use std::time::SystemTime;

use hub::{Role, Session, StreamState, Summary};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use media::{Details, Track, TrackKind};
use serde::Serialize;
use serde_json::{Value, json};

/// A stream as the page shows it.
#[derive(Debug, Clone, Serialize)]
pub struct StreamView {
    /// Its path.
    name: String,
    /// The video track in words.
    video: String,
    /// The audio track in words.
    audio: String,
    /// How many read it.
    viewers: usize,
    /// What the publisher sends, in kbit/s.
    kbps: u64,
    /// The publisher's session; empty while it is away.
    publisher: String,
    /// What was mended of its time stamps: jumps and steps back.
    repairs: u64,
}

impl StreamView {
    /// `None` for a stream that nobody publishes.
    pub(super) fn new(summary: &Summary, sessions: &[Arc<Session>]) -> Option<Self> {
        if summary.state == StreamState::Idle {
            return None;
        }
        let viewers = sessions.iter().filter(|s| is_viewer(s) && belongs(s, summary)).count();
        let publisher = summary.publisher.as_ref();
        Some(Self {
            name: summary.name.to_string(),
            video: words(summary, TrackKind::Video),
            audio: words(summary, TrackKind::Audio),
            viewers,
            kbps: publisher.map_or(0, |session| session.statistics().read_kbits),
            publisher: publisher.map(|session| session.id().to_string()).unwrap_or_default(),
            repairs: summary.repairs.jumps + summary.repairs.regressions,
        })
    }
}

/// lal's StatGroup, and what we know beyond it.
pub(super) fn group(summary: &Summary, sessions: &[Arc<Session>]) -> Value {
    let path = summary.name.as_str();
    let (app, name) = path.rsplit_once('/').unwrap_or(("", path));
    let viewers: Vec<Value> = sessions
        .iter()
        .filter(|viewer| is_viewer(viewer) && belongs(viewer, summary))
        .map(session)
        .collect();
    let (width, height) = match first(summary, TrackKind::Video).map(|track| &track.details) {
        Some(Details::Video(video)) => (video.width, video.height),
        _ => (0, 0),
    };
    let now = Timestamp::now().as_second();
    let rates: Vec<Value> = (1i64..)
        .zip(&summary.video_fps)
        .map(|(ago, frames)| json!({ "unix_sec": now - ago, "v": frames }))
        .collect();
    let tracks: Vec<Value> = summary.tracks.tracks.iter().map(|track| self::track(track)).collect();
    json!({
        "stream_name": name,
        "app_name": app,
        "audio_codec": codec(summary, TrackKind::Audio),
        "video_codec": codec(summary, TrackKind::Video),
        "video_width": width,
        "video_height": height,
        "pub": summary.publisher.as_ref().map_or_else(absent, session),
        "subs": viewers,
        "pull": absent(),
        "in_frame_per_sec": rates,
        "tracks": tracks,
        "timestamp_jumps": summary.repairs.jumps,
        "timestamp_regressions": summary.repairs.regressions,
        "cached_bytes": summary.cached_bytes,
    })
}

/// Whether the session publishes or reads the stream.
pub(super) fn belongs(session: &Session, summary: &Summary) -> bool {
    let publishes = summary.publisher.as_ref().is_some_and(|p| p.id() == session.id());
    let address = session.address();
    // Names without an application were completed by the default one: the end decides.
    let path = format!("{}/{}", address.app_name, address.stream_name);
    let name = summary.name.as_str();
    let path = path.trim_matches('/');
    publishes
        || path == name
        || name.strip_suffix(path).is_some_and(|rest| rest.ends_with('/'))
        || path.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'))
}

fn is_viewer(session: &Session) -> bool {
    session.kind().role == Role::Sub
}

/// lal's form of a time: local, with trailing zeros of the fraction dropped.
pub(super) fn time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or_default();
    let local: Zoned = time.to_zoned(TimeZone::system());
    let fraction = format!("{:03}", local.subsec_nanosecond() / 1_000_000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let offset =
        if local.offset().is_zero() { "Z".to_owned() } else { local.strftime("%z").to_string() };
    format!(
        "{}{point}{fraction} {offset} {}",
        local.strftime("%Y-%m-%d %H:%M:%S"),
        local.strftime("%Z")
    )
}

fn session(session: &Arc<Session>) -> Value {
    let (kind, moved) = (session.kind(), session.statistics());
    let bitrate = match kind.role {
        Role::Pub | Role::Pull => moved.read_kbits,
        Role::Sub | Role::Push | Role::PubSub => moved.written_kbits,
    };
    json!({
        "session_id": &**session.id(),
        "protocol": kind.protocol.to_string(),
        "base_type": kind.role.to_string(),
        "remote_addr": session.peer().map(|peer| peer.to_string()).unwrap_or_default(),
        "start_time": time(session.started()),
        "read_bytes_sum": moved.read_bytes,
        "wrote_bytes_sum": moved.written_bytes,
        "bitrate_kbits": bitrate,
        "read_bitrate_kbits": moved.read_kbits,
        "write_bitrate_kbits": moved.written_kbits,
    })
}

/// What lal shows where there is no session.
fn absent() -> Value {
    json!({
        "session_id": "", "protocol": "", "base_type": "", "remote_addr": "", "start_time": "",
        "read_bytes_sum": 0, "wrote_bytes_sum": 0,
        "bitrate_kbits": 0, "read_bitrate_kbits": 0, "write_bitrate_kbits": 0,
    })
}

fn track(track: &Track) -> Value {
    let mut view = json!({
        "id": track.id.to_string(),
        "codec": track.codec.to_string(),
        "known": track.codec.is_known(),
        "enhanced": track.enhanced,
    });
    let details = match &track.details {
        Details::Video(video) => json!({
            "width": video.width, "height": video.height,
            "profile": video.profile, "level": video.level,
            "fps": f64::from(video.millihertz) / 1000.0,
        }),
        Details::Audio(audio) => json!({
            "sample_rate": audio.sample_rate, "channels": audio.channels, "profile": audio.profile,
        }),
        Details::Unknown => Value::Null,
    };
    if let Some(view) = view.as_object_mut() {
        view.insert("details".to_owned(), details);
    }
    view
}

fn first(summary: &Summary, kind: TrackKind) -> Option<&Arc<Track>> {
    summary.tracks.tracks.iter().find(|track| track.id.kind == kind)
}

fn codec(summary: &Summary, kind: TrackKind) -> String {
    first(summary, kind).map(|track| track.codec.to_string()).unwrap_or_default()
}

fn words(summary: &Summary, kind: TrackKind) -> String {
    let Some(track) = first(summary, kind) else { return String::new() };
    match &track.details {
        Details::Video(video) => format!("{} {}×{}", track.codec, video.width, video.height),
        Details::Audio(audio) => format!("{} {} Hz", track.codec, audio.sample_rate),
        Details::Unknown => track.codec.to_string(),
    }
}

/// Every protocol of a session has a name that clients of lal know.
#[cfg(test)]
mod tests {
    use hub::Protocol;

    use super::*;

    #[test]
    fn times_look_like_lals() {
        let text = time(SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500));
        assert!(text.contains("1970-01-01") || text.contains("1969-12-31"), "{text}");
        assert!(text.contains(":01.5 "), "{text}");
    }

    #[test]
    fn protocols_have_lals_names() {
        assert_eq!(Protocol::Customize.to_string(), "CUSTOMIZE");
        assert_eq!(Role::PubSub.to_string(), "PUBSUB");
    }
}
