//! What notifications say: JSON with the keys of lal's HTTP notify v0.2.5, and more behind them.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hub::events::{Call, File, Group, Segment};
use hub::{EndReason, Event, Role, Session, StreamName, mask};
use serde::Serialize;
use serde_json::Value;

use crate::api;
use crate::logs::rfc3339;

/// Writes bodies.
pub(super) struct Bodies {
    server_id: Arc<str>,
    /// Receivers resolve relative names of files with it.
    cwd: String,
}

/// What a notification says.
pub(super) struct Body {
    /// Its name.
    pub(super) name: &'static str,
    /// The whole.
    pub(super) body: Bytes,
    /// The same without secrets.
    pub(super) shown: Bytes,
}

impl Body {
    /// One in which nothing is secret.
    pub(super) fn public(name: &'static str, body: Bytes) -> Self {
        Self { name, shown: body.clone(), body }
    }
}

impl Bodies {
    pub(super) fn new(server_id: Arc<str>, cwd: &Path) -> Self {
        Self { server_id, cwd: cwd.to_string_lossy().into_owned() }
    }

    /// `info` is what lal's lal_info says.
    pub(super) fn server_started(mut info: Value, now: SystemTime) -> Bytes {
        if let Some(info) = info.as_object_mut() {
            info.insert("time".to_owned(), rfc3339(now).into());
        }
        written(&info)
    }

    /// `groups` are those of lal's all_group.
    pub(super) fn update(&self, groups: &[api::Group], now: SystemTime) -> Bytes {
        let body = Update { server_id: &self.server_id, groups, time: rfc3339(now) };
        written(&body)
    }

    /// `None` for what nobody is told of.
    pub(super) fn event(&self, event: &Event, now: SystemTime) -> Option<Body> {
        let (name, body) = match event {
            Event::Connected { session, app, flash_ver, tc_url } => {
                let [body, shown] = [as_it_came, mask::proofs].map(|say| {
                    let (app, tc_url) = (say(app), say(tc_url));
                    self.connected(session, [&app, flash_ver, &tc_url], now)
                });
                return Some(Body { name: "on_rtmp_connect", body, shown });
            }
            Event::Joined { session, stream, group } => {
                let name = match session.kind().role {
                    Role::Pub => "on_pub_start",
                    Role::Sub => "on_sub_start",
                    Role::Pull => "on_relay_pull_start",
                    Role::Push => "on_relay_push_start",
                    Role::PubSub => return None,
                };
                let [body, shown] = [as_it_came, mask::proofs]
                    .map(|say| self.session(session, stream, *group, None, say, now));
                return Some(Body { name, body, shown });
            }
            Event::Left { session, stream, group, reason } => {
                let name = match session.kind().role {
                    Role::Pub => "on_pub_stop",
                    Role::Sub => "on_sub_stop",
                    Role::Pull => "on_relay_pull_stop",
                    Role::Push => "on_relay_push_stop",
                    Role::PubSub => return None,
                };
                let [body, shown] = [as_it_came, mask::proofs]
                    .map(|say| self.session(session, stream, *group, Some(reason), say, now));
                return Some(Body { name, body, shown });
            }
            Event::StreamStarted(stream) => ("on_stream_start", self.stream(stream, now)),
            Event::StreamEnded(stream) => ("on_stream_stop", self.stream(stream, now)),
            Event::FileBegun(file) => ("on_record_start", self.file(file, now)),
            Event::FileCompleted(file) => ("on_record_stop", self.file(file, now)),
            Event::Segment(segment) => ("on_hls_make_ts", self.segment(segment, now)),
            Event::DeviceOnline { device, address, transport } => {
                let body = OfDevice {
                    remote_addr: Some(address.to_string()),
                    transport: Some(transport),
                    ..self.device(device, now)
                };
                ("on_device_online", written(&body))
            }
            Event::DeviceOffline { device, reason } => {
                let body = OfDevice { reason: Some(reason), ..self.device(device, now) };
                ("on_device_offline", written(&body))
            }
            Event::DeviceAlarm { device, source, time, text } => {
                let body = OfDevice {
                    channel_id: Some(source),
                    alarm_time: Some(time),
                    description: Some(text),
                    ..self.device(device, now)
                };
                ("on_device_alarm", written(&body))
            }
            Event::CallStarted(call) => ("on_device_call_start", self.call(call, None, now)),
            Event::CallEnded { call, reason } => {
                ("on_device_call_stop", self.call(call, Some(reason), now))
            }
            _ => return None,
        };
        Some(Body::public(name, body))
    }

    fn connected(&self, session: &Session, of: [&str; 3], now: SystemTime) -> Bytes {
        let [app, flash_ver, tc_url] = of;
        written(&Connected {
            server_id: &self.server_id,
            session_id: session.id(),
            remote_addr: address(session.peer()),
            app,
            flash_ver,
            tc_url,
            time: rfc3339(now),
        })
    }

    fn session(
        &self,
        session: &Session,
        stream: &StreamName,
        group: Group,
        reason: Option<&EndReason>,
        say: fn(&str) -> Cow<'_, str>,
        now: SystemTime,
    ) -> Bytes {
        let (kind, moved, asked) = (session.kind(), session.statistics(), session.address());
        let (app, stream_name) = parts(stream);
        let is_ours = matches!(kind.role, Role::Pull | Role::Push);
        // Where streams are found by name alone, a client's application is still its own.
        let app = if app.is_empty() && !is_ours { &asked.app_name } else { app };
        // Our own name and password at another server are nobody's business.
        let url = if is_ours { mask::source(&asked.url) } else { asked.url };
        written(&OfSession {
            server_id: &self.server_id,
            session_id: session.id(),
            protocol: kind.protocol.to_string(),
            base_type: kind.role.to_string(),
            remote_addr: address(session.peer()),
            url: &say(&url),
            app_name: app,
            stream_name,
            url_param: &say(&asked.raw_query),
            has_in_session: group.inputs > 0,
            has_out_session: group.outputs > 0,
            read_bytes_sum: moved.read_bytes,
            wrote_bytes_sum: moved.written_bytes,
            reason: reason.map(ToString::to_string),
            time: rfc3339(now),
        })
    }

    fn stream(&self, stream: &StreamName, now: SystemTime) -> Bytes {
        let (app_name, stream_name) = parts(stream);
        let time = rfc3339(now);
        written(&OfStream { server_id: &self.server_id, app_name, stream_name, time })
    }

    fn device<'a>(&'a self, device: &'a str, now: SystemTime) -> OfDevice<'a> {
        OfDevice {
            server_id: &self.server_id,
            device_id: device,
            channel_id: None,
            remote_addr: None,
            transport: None,
            alarm_time: None,
            description: None,
            reason: None,
            time: rfc3339(now),
        }
    }

    fn call(&self, call: &Call, reason: Option<&str>, now: SystemTime) -> Bytes {
        let (app_name, stream_name) = parts(&call.stream);
        written(&OfCall {
            server_id: &self.server_id,
            device_id: &call.device,
            channel_id: &call.channel,
            app_name,
            stream_name,
            recording: call.recording,
            reason,
            time: rfc3339(now),
        })
    }

    fn file(&self, file: &File, now: SystemTime) -> Bytes {
        let (app_name, stream_name) = parts(&file.stream);
        written(&OfFile {
            server_id: &self.server_id,
            app_name,
            stream_name,
            format: file.format,
            path: &file.path,
            bytes: file.bytes,
            duration: seconds(file.duration),
            time: rfc3339(now),
        })
    }

    fn segment(&self, segment: &Segment, now: SystemTime) -> Bytes {
        let (app_name, stream_name) = parts(&segment.stream);
        written(&OfSegment {
            server_id: &self.server_id,
            event: if segment.complete { "close" } else { "open" },
            stream_name,
            cwd: &self.cwd,
            ts_file: &segment.file,
            live_m3u8_file: &segment.live_playlist,
            record_m3u8_file: &segment.record_playlist,
            id: segment.number,
            duration: seconds(segment.duration),
            app_name,
            time: rfc3339(now),
        })
    }
}

#[derive(Serialize)]
struct Update<'a> {
    server_id: &'a str,
    groups: &'a [api::Group],
    time: String,
}

#[derive(Serialize)]
struct Connected<'a> {
    server_id: &'a str,
    session_id: &'a str,
    remote_addr: String,
    app: &'a str,
    #[serde(rename = "flashVer")]
    flash_ver: &'a str,
    #[serde(rename = "tcUrl")]
    tc_url: &'a str,
    time: String,
}

#[derive(Serialize)]
struct OfSession<'a> {
    server_id: &'a str,
    session_id: &'a str,
    protocol: String,
    base_type: String,
    remote_addr: String,
    url: &'a str,
    app_name: &'a str,
    stream_name: &'a str,
    url_param: &'a str,
    has_in_session: bool,
    has_out_session: bool,
    read_bytes_sum: u64,
    wrote_bytes_sum: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    time: String,
}

#[derive(Serialize)]
struct OfStream<'a> {
    server_id: &'a str,
    app_name: &'a str,
    stream_name: &'a str,
    time: String,
}

#[derive(Serialize)]
struct OfDevice<'a> {
    server_id: &'a str,
    device_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm_time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    time: String,
}

#[derive(Serialize)]
struct OfCall<'a> {
    server_id: &'a str,
    device_id: &'a str,
    channel_id: &'a str,
    app_name: &'a str,
    stream_name: &'a str,
    recording: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    time: String,
}

#[derive(Serialize)]
struct OfFile<'a> {
    server_id: &'a str,
    app_name: &'a str,
    stream_name: &'a str,
    format: &'static str,
    path: &'a str,
    bytes: u64,
    duration: f64,
    time: String,
}

#[derive(Serialize)]
struct OfSegment<'a> {
    server_id: &'a str,
    event: &'static str,
    stream_name: &'a str,
    cwd: &'a str,
    ts_file: &'a str,
    live_m3u8_file: &'a str,
    record_m3u8_file: &'a str,
    id: u64,
    duration: f64,
    app_name: &'a str,
    time: String,
}

/// Structures of text and numbers can always be written.
fn written(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).unwrap_or_default().into()
}

/// As the API has it.
fn address(peer: Option<SocketAddr>) -> String {
    peer.map(|peer| peer.to_string()).unwrap_or_default()
}

/// The application and the name of a stream, as the API divides its path.
fn parts(stream: &StreamName) -> (&str, &str) {
    stream.as_str().rsplit_once('/').unwrap_or(("", stream.as_str()))
}

/// Seconds, to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// For those who are told everything.
fn as_it_came(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}
