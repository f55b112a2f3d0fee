//! The endpoints of lal's HTTP API v0.4.9, for clients that were written for lal.
//!
//! Status 200 always, unless `api.status_codes` says otherwise; an envelope of `error_code`, `desp`
//! and `data`; any method. The stream of `stream_name` is found by its path (`live/camera1`) or by
//! its last item ([`Api::meant`]). Where lal says `null` for an empty list, an empty list is said.

mod parameters;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    HeaderValue,
};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Json, Redirect, Response};
use axum::routing::any;
use config::values::{RtspTransport, network};
use hub::{EndReason, Session, StreamName};
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};

use self::parameters::{Body, Missing, of_query};
use super::Api;
use super::view::{self, Group};
use crate::receivers::{ReceiveError, ReceiveOrder, Transport};
use crate::relays::{PullOrder, RelayError, Relayed};

/// An error code, its text, and the status that says the same.
type Code = (u32, &'static str, StatusCode);

const SUCCESS: Code = (0, "succ", StatusCode::OK);
const NO_PAGE: Code =
    (404, "page not found, check this document out: docs/api.md", StatusCode::NOT_FOUND);
const NO_GROUP: Code = (1001, "group not found", StatusCode::NOT_FOUND);
const NO_PARAMETER: Code = (1002, "param missing", StatusCode::BAD_REQUEST);
const NO_SESSION: Code = (1003, "session not found", StatusCode::NOT_FOUND);
/// Not one of lal's, whose table has no limit.
const NO_ROOM: Code =
    (2003, "too many addresses are blocked already", StatusCode::INSUFFICIENT_STORAGE);
const NO_PULL: u32 = 2001;
const NO_RTP: u32 = 2002;

/// The longest time that connecting may take.
const MAX_PULL_TIMEOUT_MS: u64 = 300_000;

/// An answer without data.
const NOTHING: Option<()> = None;

pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/api/stat/lal_info", any(info))
        .route("/api/stat/all_group", any(all_groups))
        .route("/api/stat/group", any(group))
        .route("/api/ctrl/kick_session", any(kick))
        .route("/api/ctrl/start_relay_pull", any(start_pull))
        .route("/api/ctrl/stop_relay_pull", any(stop_pull))
        .route("/api/ctrl/start_rtp_pub", any(start_rtp))
        .route("/api/ctrl/add_ip_blacklist", any(block))
        .route("/lal.html", any(|| async { Redirect::temporary("/") }))
        .fallback(no_page)
        .with_state(api)
}

impl Api {
    /// What lal says of itself.
    #[must_use]
    pub fn lal_info(&self) -> Value {
        let version = env!("CARGO_PKG_VERSION");
        json!({
            "server_id": &*self.server_id,
            "bin_info": format!(
                "GitTag=headwater-{version}. GitCommitLog=. GitStatus=. BuildTime=. GoVersion=. \
                 runtime={}/{}.",
                std::env::consts::OS,
                std::env::consts::ARCH,
            ),
            "lal_version": "v0.37.4",
            "api_version": "v0.4.9",
            "notify_version": "v0.2.5",
            "WebUiVersion": "v0.0.3",
            "start_time": view::Time::new(self.started, &TimeZone::system()).to_string(),
        })
    }

    /// Every stream, as lal has it.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let summaries = self.registry.summaries(Instant::now());
        let mut by_stream: HashMap<_, Vec<_>> = HashMap::new();
        for session in self.sessions.all() {
            if let Some(stream) = session.stream() {
                by_stream.entry(stream).or_default().push(session);
            }
        }
        let mut pulls: HashMap<_, _> =
            self.pulled().map(|pull| (pull.stream.clone(), pull)).collect();
        let mut all: Vec<_> = summaries
            .iter()
            .map(|summary| {
                let sessions = by_stream.remove(&summary.name).unwrap_or_default();
                let calling = pulls.remove(&summary.name).and_then(|pull| self.calling(&pull));
                (summary.name.clone(), Group::new(summary, &sessions, calling.as_deref()))
            })
            .collect();
        all.extend(pulls.into_iter().map(|(name, pull)| {
            let group = Group::pulled(&name, self.calling(&pull).as_deref());
            (name, group)
        }));
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.into_iter().map(|(_, group)| group).collect()
    }

    /// One stream, as lal has it.
    fn group(&self, name: &StreamName) -> Group {
        let pull = self.pulled().find(|pull| pull.stream == *name);
        let calling = pull.and_then(|pull| self.calling(&pull));
        match self.exact(name.as_str()) {
            Some(summary) => Group::new(&summary, &self.of_stream(name), calling.as_deref()),
            None => Group::pulled(name, calling.as_deref()),
        }
    }

    /// The stream that lal would find by this name: the one of this path, with or without the
    /// default application, or the first one with this last item of its path. One that is to be
    /// pulled is there before anything of it has come.
    fn meant(&self, name: &str) -> Option<StreamName> {
        let pulled = || self.pulled().map(|pull| pull.stream);
        let of_path = |path: &str| {
            let held = self.exact(path).map(|summary| summary.name);
            held.or_else(|| pulled().find(|stream| stream.as_str() == path))
        };
        let with_app = || of_path(self.operations.stream(name).ok()?.as_str());
        let of_item = || {
            let is_named = |stream: &StreamName| stream.as_str().rsplit('/').next() == Some(name);
            pulled().filter(is_named).chain(self.registry.named(name)).min()
        };
        of_path(name).or_else(with_app).or_else(of_item)
    }

    /// What is being pulled, or is to be by an order.
    fn pulled(&self) -> impl Iterator<Item = Relayed> {
        let is_there = |pull: &Relayed| pull.rule.is_none() || pull.session.is_some();
        self.operations.pulls().into_iter().filter(is_there)
    }

    /// The session of a pull. While the other server has not answered, lal shows none.
    fn calling(&self, pull: &Relayed) -> Option<Arc<Session>> {
        let session = self.sessions.find(pull.session.as_deref()?)?;
        (session.statistics().read_bytes > 0).then_some(session)
    }
}

async fn info(State(api): State<Api>) -> Response {
    answer(&api, SUCCESS, Some(api.lal_info()))
}

#[derive(Serialize)]
struct Groups {
    groups: Vec<Group>,
}

async fn all_groups(State(api): State<Api>) -> Response {
    answer(&api, SUCCESS, Some(Groups { groups: api.groups() }))
}

async fn group(State(api): State<Api>, RawQuery(query): RawQuery) -> Response {
    let Some(name) = of_query(query.as_deref(), "stream_name") else {
        return answer(&api, NO_PARAMETER, Some(Value::Null));
    };
    match api.meant(&name) {
        Some(name) => answer(&api, SUCCESS, Some(api.group(&name))),
        None => answer(&api, NO_GROUP, Some(Value::Null)),
    }
}

struct Kick {
    stream_name: String,
    session_id: String,
}

impl Kick {
    fn read(body: &[u8]) -> Result<Self, Missing> {
        let body = Body::read(body, &["stream_name", "session_id"])?;
        Ok(Self { stream_name: body.text("stream_name")?, session_id: body.text("session_id")? })
    }
}

async fn kick(State(api): State<Api>, body: Bytes) -> Response {
    let Ok(kick) = Kick::read(&body) else {
        return answer(&api, NO_PARAMETER, NOTHING);
    };
    let Some(name) = api.meant(&kick.stream_name) else {
        return answer(&api, NO_GROUP, NOTHING);
    };
    let is_pull = |session: &Session| {
        let mut pulls = api.pulled().filter(|pull| pull.stream == name);
        pulls.any(|pull| pull.session.as_ref() == Some(session.id()))
    };
    let session = api.sessions.find(&kick.session_id);
    match session.filter(|session| session.is_in(&name) || is_pull(session)) {
        Some(session) => {
            session.dispose(EndReason::Kicked);
            answer(&api, SUCCESS, NOTHING)
        }
        None => answer(&api, NO_SESSION, NOTHING),
    }
}

struct Pull {
    url: String,
    stream_name: String,
    pull_timeout_ms: i64,
    pull_retry_num: i64,
    auto_stop_pull_after_no_out_ms: i64,
    rtsp_mode: i64,
    debug_dump_packet: String,
}

impl Pull {
    /// What is left out has the value that it has in lal.
    fn read(body: &[u8]) -> Result<Self, Missing> {
        let body = Body::read(body, &["url"])?;
        Ok(Self {
            url: body.text("url")?,
            stream_name: body.text("stream_name")?,
            pull_timeout_ms: body.number("pull_timeout_ms", 10_000)?,
            pull_retry_num: body.number("pull_retry_num", 0)?,
            auto_stop_pull_after_no_out_ms: body.number("auto_stop_pull_after_no_out_ms", -1)?,
            rtsp_mode: body.number("rtsp_mode", 0)?,
            debug_dump_packet: body.text("debug_dump_packet")?,
        })
    }

    /// The name that the stream gets: without one, the last item of the address.
    fn name(&self) -> &str {
        let path = self.url.split('?').next().unwrap_or_default();
        let path = path.split_once("://").map_or("", |(_, rest)| rest);
        let last = path.rsplit_once('/').map_or("", |(_, last)| last);
        let last = last.strip_suffix(".flv").unwrap_or(last);
        if self.stream_name.is_empty() { last } else { &self.stream_name }
    }

    fn order(&self) -> PullOrder {
        PullOrder {
            standby: false,
            // In lal, it is refused while nobody watches, and yet done once somebody does.
            keep: self.auto_stop_pull_after_no_out_ms == 0,
            from: vec![self.url.clone()],
            // One call, and so many more.
            attempts: match self.pull_retry_num {
                ..0 => None,
                more => Some(u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1)),
            },
            stop_after: u64::try_from(self.auto_stop_pull_after_no_out_ms)
                .ok()
                .map(Duration::from_millis),
            rtsp_transport: Some(match self.rtsp_mode {
                0 => RtspTransport::Tcp,
                _ => RtspTransport::Udp,
            }),
            // In lal, connecting may take for ever without a time; here as long as is usual.
            timeout: u64::try_from(self.pull_timeout_ms)
                .ok()
                .filter(|millis| *millis > 0)
                .map(|millis| Duration::from_millis(millis.min(MAX_PULL_TIMEOUT_MS))),
        }
    }
}

#[derive(Serialize, Default)]
struct Pulling {
    stream_name: String,
    session_id: String,
}

async fn start_pull(State(api): State<Api>, body: Bytes) -> Response {
    let Ok(pull) = Pull::read(&body) else {
        return answer(&api, NO_PARAMETER, Some(Pulling::default()));
    };
    if !pull.debug_dump_packet.is_empty() {
        let text = "debug_dump_packet is not possible for pulls: leave it out";
        return say(&api, (NO_PULL, text, StatusCode::BAD_REQUEST), Some(Pulling::default()));
    }
    let name = pull.name();
    let begun = api.operations.stream(name);
    match begun.and_then(|stream| api.operations.pull(stream, &pull.order())) {
        Ok(id) => {
            let (stream_name, session_id) = (name.to_owned(), id.to_string());
            answer(&api, SUCCESS, Some(Pulling { stream_name, session_id }))
        }
        Err(error) => {
            // Clients may know lal's words for it.
            let text = match &error {
                RelayError::Occupied(_) => "lal.logic: in stream already exist at group".to_owned(),
                RelayError::Unwatched(_) => "should auto stop pull".to_owned(),
                other => other.to_string(),
            };
            say(&api, (NO_PULL, &text, StatusCode::CONFLICT), Some(Pulling::default()))
        }
    }
}

async fn stop_pull(State(api): State<Api>, RawQuery(query): RawQuery) -> Response {
    let none = json!({ "session_id": "" });
    let Some(name) = of_query(query.as_deref(), "stream_name") else {
        return answer(&api, NO_PARAMETER, Some(none));
    };
    let Some(name) = api.meant(&name) else {
        return answer(&api, NO_GROUP, Some(none));
    };
    match api.operations.stop_pull(&name) {
        Ok(Some(id)) => answer(&api, SUCCESS, Some(json!({ "session_id": &*id }))),
        Ok(None) | Err(_) => answer(&api, NO_SESSION, Some(none)),
    }
}

/// lal's parameters, and behind them ours.
struct Rtp {
    stream_name: String,
    port: i64,
    timeout_ms: i64,
    /// 0 for datagrams, 1 for a connection that the device makes.
    is_tcp_flag: i64,
    debug_dump_packet: String,
    /// `passive` as `is_tcp_flag` 1, or `active`: the server connects to `peer`.
    tcp_mode: String,
    /// `HOST:PORT`.
    peer: String,
    ssrc: Option<u32>,
    /// 1 for the port that all devices share.
    shared_port_flag: i64,
}

impl Rtp {
    fn read(body: &[u8]) -> Result<Self, Missing> {
        let body = Body::read(body, &["stream_name"])?;
        let ssrc = body.number("ssrc", -1)?;
        Ok(Self {
            stream_name: body.text("stream_name")?,
            port: body.number("port", 0)?,
            timeout_ms: body.number("timeout_ms", 60_000)?,
            is_tcp_flag: body.number("is_tcp_flag", 0)?,
            debug_dump_packet: body.text("debug_dump_packet")?,
            tcp_mode: body.text("tcp_mode")?,
            peer: body.text("peer")?,
            ssrc: match ssrc {
                -1 | 0 => None,
                ssrc => Some(u32::try_from(ssrc).map_err(|_| Missing)?),
            },
            shared_port_flag: body.number("shared_port_flag", 0)?,
        })
    }

    fn order(&self) -> Result<ReceiveOrder, String> {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let port = u16::try_from(self.port);
        let port = port.map_err(|_| format!("listen: {} is no port: use 0 to 65535", self.port))?;
        Ok(ReceiveOrder {
            transport: match (self.is_tcp_flag, self.tcp_mode.as_str()) {
                (_, "active") => Transport::TcpActive,
                (0, "") => Transport::Udp,
                _ => Transport::Tcp,
            },
            port: Some(port).filter(|port| *port > 0),
            shared: self.shared_port_flag != 0,
            ssrc: self.ssrc,
            connect_to: text(&self.peer),
            // Whole seconds, as in lal, and for ever without a time.
            idle: Some(Duration::from_secs(u64::try_from(self.timeout_ms / 1000).unwrap_or(0))),
            dump: text(&self.debug_dump_packet),
            ..ReceiveOrder::default()
        })
    }
}

#[derive(Serialize, Default)]
struct Receiving {
    stream_name: String,
    session_id: String,
    port: u16,
}

async fn start_rtp(State(api): State<Api>, body: Bytes) -> Response {
    let wanted = Rtp::read(&body).ok();
    let Some(wanted) = wanted.filter(|wanted| !wanted.stream_name.is_empty()) else {
        return answer(&api, NO_PARAMETER, Some(Receiving::default()));
    };
    let opened = wanted.order().and_then(|order| {
        let stream = api.operations.stream(&wanted.stream_name);
        let stream = stream.map_err(|error| error.to_string())?;
        api.operations.receive(stream, &order).map_err(|error| match error {
            // Clients may know lal's words for it.
            ReceiveError::Occupied(_) => "lal.logic: in stream already exist at group".to_owned(),
            other => other.to_string(),
        })
    });
    match opened {
        Ok(opened) => {
            let (stream_name, port) = (wanted.stream_name, opened.port);
            let session_id = opened.session.to_string();
            answer(&api, SUCCESS, Some(Receiving { stream_name, session_id, port }))
        }
        Err(text) => say(&api, (NO_RTP, &text, StatusCode::CONFLICT), Some(Receiving::default())),
    }
}

struct Block {
    ip: String,
    duration_sec: i64,
}

impl Block {
    fn read(body: &[u8]) -> Result<Self, Missing> {
        let body = Body::read(body, &["ip", "duration_sec"])?;
        Ok(Self { ip: body.text("ip")?, duration_sec: body.number("duration_sec", 0)? })
    }
}

async fn block(State(api): State<Api>, body: Bytes) -> Response {
    let wanted = Block::read(&body).ok();
    let Some((network, seconds)) =
        wanted.and_then(|wanted| Some((network(&wanted.ip).ok()?, wanted.duration_sec)))
    else {
        return answer(&api, NO_PARAMETER, NOTHING);
    };
    // What is over already blocks nobody.
    let seconds = u64::try_from(seconds).unwrap_or(0);
    if seconds > 0 && !api.operations.block(network, Some(Duration::from_secs(seconds))) {
        return answer(&api, NO_ROOM, NOTHING);
    }
    answer(&api, SUCCESS, NOTHING)
}

async fn no_page(State(api): State<Api>, uri: Uri) -> Response {
    if uri.path().starts_with("/api/v1/") {
        let text = "there is no such endpoint: /api/openapi.json has them all";
        return (StatusCode::NOT_FOUND, Json(json!({ "error": text }))).into_response();
    }
    answer(&api, NO_PAGE, NOTHING)
}

/// lal's envelope.
#[derive(Serialize)]
struct Envelope<'a, T> {
    error_code: u32,
    desp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

fn answer(api: &Api, code: Code, data: Option<impl Serialize>) -> Response {
    say(api, code, data)
}

fn say(
    api: &Api,
    (error_code, desp, status): (u32, &str, StatusCode),
    data: Option<impl Serialize>,
) -> Response {
    let mut response = Json(Envelope { error_code, desp, data }).into_response();
    if api.guard.has_status_codes() {
        *response.status_mut() = status;
    }
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
    response
}
