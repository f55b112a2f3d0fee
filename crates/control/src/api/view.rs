//! Streams and sessions as lal's API shows them.
//!
//! There may be ten thousand sessions: they are written as they are found, without a tree of values
//! in between.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use hub::{Kind, Protocol, Role, Session, SessionId, StreamName, Summary};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use media::{Details, Track, TrackKind};
use serde::{Serialize, Serializer};

/// lal's StatGroup, and what we know beyond it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Group {
    stream_name: String,
    app_name: String,
    audio_codec: String,
    video_codec: String,
    video_width: u32,
    video_height: u32,
    r#pub: Seat,
    subs: Vec<Seat>,
    pull: Seat,
    in_frame_per_sec: Vec<Rate>,
    tracks: Vec<TrackView>,
    timestamp_jumps: u64,
    timestamp_regressions: u64,
    lost_packets: u64,
    torn_frames: u64,
    cached_bytes: usize,
}

/// lal's StatSession: all empty where there is none.
#[derive(Debug, Default, Serialize)]
struct Seat {
    #[serde(serialize_with = "shown")]
    session_id: Option<SessionId>,
    #[serde(serialize_with = "shown")]
    protocol: Option<Protocol>,
    #[serde(serialize_with = "shown")]
    base_type: Option<Role>,
    #[serde(serialize_with = "shown")]
    remote_addr: Option<SocketAddr>,
    #[serde(serialize_with = "shown")]
    start_time: Option<Time>,
    read_bytes_sum: u64,
    wrote_bytes_sum: u64,
    bitrate_kbits: u64,
    read_bitrate_kbits: u64,
    write_bitrate_kbits: u64,
}

/// The pictures of a second.
#[derive(Debug, Serialize)]
struct Rate {
    unix_sec: i64,
    v: u32,
}

#[derive(Debug, Serialize)]
struct TrackView {
    id: String,
    codec: String,
    known: bool,
    enhanced: bool,
    details: Option<DetailsView>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum DetailsView {
    Video { width: u32, height: u32, profile: u8, level: u8, fps: f64 },
    Audio { sample_rate: u32, channels: u8, profile: u8 },
}

impl Group {
    /// A stream; `sessions` are those that take part in it, `calling` is the one that is about to
    /// pull it.
    pub(super) fn new(
        summary: &Summary,
        sessions: &[Arc<Session>],
        calling: Option<&Session>,
    ) -> Self {
        let zone = TimeZone::system();
        let (app, name) = divided(&summary.name);
        let (width, height) = match first(summary, TrackKind::Video).map(|track| &track.details) {
            Some(Details::Video(video)) => (video.width, video.height),
            _ => (0, 0),
        };
        let now = Timestamp::now().as_second();
        let rates = (1i64..).zip(&summary.video_fps);
        let viewers = sessions.iter().filter(|session| session.kind().role == Role::Sub);
        let publisher = summary.publisher.as_deref();
        let is_pull = |session: &&Session| session.kind().role == Role::Pull;
        let pull = publisher.filter(is_pull).or(calling);
        let seat = |session: Option<&Session>| {
            session.map_or_else(Seat::default, |session| Seat::new(session, &zone))
        };
        // Where streams are told apart by name alone, the application is what they were asked for
        // by; the address of a pull is that of the other server.
        let own = publisher.filter(|session| !is_pull(session));
        let mut peers = own.into_iter().chain(sessions.iter().map(|session| &**session));
        let app = match app {
            "" => peers
                .find(|session| !is_pull(session))
                .map(|session| session.address().app_name)
                .unwrap_or_default(),
            app => app.to_owned(),
        };
        Self {
            stream_name: name.to_owned(),
            app_name: app,
            audio_codec: codec(summary, TrackKind::Audio),
            video_codec: codec(summary, TrackKind::Video),
            video_width: width,
            video_height: height,
            r#pub: seat(own),
            subs: viewers.map(|session| Seat::new(session, &zone)).collect(),
            pull: seat(pull),
            in_frame_per_sec: rates.map(|(ago, &v)| Rate { unix_sec: now - ago, v }).collect(),
            tracks: summary.tracks.tracks.iter().map(|track| TrackView::new(track)).collect(),
            timestamp_jumps: summary.repairs.jumps,
            timestamp_regressions: summary.repairs.regressions,
            lost_packets: summary.repairs.lost_packets,
            torn_frames: summary.repairs.torn_frames,
            cached_bytes: summary.cached_bytes,
        }
    }
}

impl Group {
    /// A stream that is to be pulled, and of which nothing is here yet.
    pub(super) fn pulled(stream: &StreamName, calling: Option<&Session>) -> Self {
        let zone = TimeZone::system();
        let (app, name) = divided(stream);
        Self {
            stream_name: name.to_owned(),
            app_name: app.to_owned(),
            pull: calling.map_or_else(Seat::default, |session| Seat::new(session, &zone)),
            ..Self::default()
        }
    }
}

impl Seat {
    fn new(session: &Session, zone: &TimeZone) -> Self {
        let (Kind { protocol, role }, moved) = (session.kind(), session.statistics());
        Self {
            session_id: Some(session.id().clone()),
            protocol: Some(protocol),
            base_type: Some(role),
            remote_addr: session.peer(),
            start_time: Some(Time::new(session.started(), zone)),
            read_bytes_sum: moved.read_bytes,
            wrote_bytes_sum: moved.written_bytes,
            bitrate_kbits: match role {
                Role::Pub | Role::Pull => moved.read_kbits,
                Role::Sub | Role::Push | Role::PubSub => moved.written_kbits,
            },
            read_bitrate_kbits: moved.read_kbits,
            write_bitrate_kbits: moved.written_kbits,
        }
    }
}

impl TrackView {
    fn new(track: &Track) -> Self {
        let details = match &track.details {
            Details::Video(video) => Some(DetailsView::Video {
                width: video.width,
                height: video.height,
                profile: video.profile,
                level: video.level,
                fps: f64::from(video.millihertz) / 1000.0,
            }),
            Details::Audio(audio) => Some(DetailsView::Audio {
                sample_rate: audio.sample_rate,
                channels: audio.channels,
                profile: audio.profile,
            }),
            Details::Unknown => None,
        };
        Self {
            id: track.id.to_string(),
            codec: track.codec.to_string(),
            known: track.codec.is_known(),
            enhanced: track.enhanced,
            details,
        }
    }
}

/// Application and name.
fn divided(stream: &StreamName) -> (&str, &str) {
    stream.as_str().rsplit_once('/').unwrap_or(("", stream.as_str()))
}

/// As text; nothing is an empty one.
fn shown<T: fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_str(""),
    }
}

/// A time in lal's form: local, with trailing zeros of the fraction dropped.
#[derive(Debug)]
pub(super) struct Time {
    local: jiff::civil::DateTime,
    offset_seconds: i32,
    abbreviation: String,
}

impl Time {
    pub(super) fn new(time: SystemTime, zone: &TimeZone) -> Self {
        let time = Timestamp::try_from(time).unwrap_or_default();
        let info = zone.to_offset_info(time);
        Self {
            local: info.offset().to_datetime(time),
            offset_seconds: info.offset().seconds(),
            abbreviation: info.abbreviation().to_owned(),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.local.date(), self.local.time());
        write!(f, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day())?;
        write!(f, " {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        match time.millisecond() {
            0 => {}
            millis if millis % 100 == 0 => write!(f, ".{}", millis / 100)?,
            millis if millis % 10 == 0 => write!(f, ".{:02}", millis / 10)?,
            millis => write!(f, ".{millis:03}")?,
        }
        match self.offset_seconds {
            0 => f.write_str(" Z")?,
            offset => {
                let sign = if offset < 0 { '-' } else { '+' };
                let minutes = offset.abs() / 60;
                write!(f, " {sign}{:02}{:02}", minutes / 60, minutes % 60)?;
            }
        }
        write!(f, " {}", self.abbreviation)
    }
}

fn first(summary: &Summary, kind: TrackKind) -> Option<&Arc<Track>> {
    summary.tracks.tracks.iter().find(|track| track.id.kind == kind)
}

fn codec(summary: &Summary, kind: TrackKind) -> String {
    first(summary, kind).map(|track| track.codec.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_look_like_lals() {
        let text = |millis, zone: TimeZone| {
            Time::new(SystemTime::UNIX_EPOCH + Duration::from_millis(millis), &zone).to_string()
        };
        let east = TimeZone::fixed(jiff::tz::offset(8));
        let west = TimeZone::posix("XXX3:30").unwrap();
        assert_eq!(text(1_500, TimeZone::UTC), "1970-01-01 00:00:01.5 Z UTC");
        assert_eq!(text(0, TimeZone::UTC), "1970-01-01 00:00:00 Z UTC");
        assert_eq!(text(86_400_050, east), "1970-01-02 08:00:00.05 +0800 +08");
        assert_eq!(text(86_400_007, west), "1970-01-01 20:30:00.007 -0330 XXX");
    }

    #[test]
    fn protocols_have_lals_names() {
        assert_eq!(Protocol::Customize.to_string(), "CUSTOMIZE");
        assert_eq!(Role::PubSub.to_string(), "PUBSUB");
    }
}
