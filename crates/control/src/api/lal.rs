//! The endpoints of lal's HTTP API v0.4.9, for clients that were written for lal.
//!
//! Status 200 always, unless `api.status_codes` says otherwise; an envelope of `error_code`, `desp`
//! and `data`; any method. The stream of `stream_name` is found by its path (`live/camera1`) or by
//! its last item. Where lal says `null` for an empty list, an empty list is said.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    HeaderValue,
};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Json, Redirect, Response};
use axum::routing::any;
use hub::EndReason;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Api;
use super::view::{self, Group};
use crate::config::values::{RtspTransport, network};
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
        let mut group = |summary: &hub::Summary| {
            let sessions = by_stream.remove(&summary.name).unwrap_or_default();
            Group::new(summary, &sessions)
        };
        summaries.iter().map(&mut group).collect()
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

#[derive(Deserialize)]
struct OfStream {
    stream_name: Option<String>,
}

impl OfStream {
    fn name(self) -> Option<String> {
        self.stream_name.filter(|name| !name.is_empty())
    }
}

async fn group(State(api): State<Api>, Query(query): Query<OfStream>) -> Response {
    let Some(name) = query.name() else {
        return answer(&api, NO_PARAMETER, Some(Value::Null));
    };
    match api.find(&name) {
        Some(summary) => {
            let sessions = api.of_stream(&summary.name);
            answer(&api, SUCCESS, Some(Group::new(&summary, &sessions)))
        }
        None => answer(&api, NO_GROUP, Some(Value::Null)),
    }
}

#[derive(Deserialize)]
struct Kick {
    stream_name: String,
    session_id: String,
}

async fn kick(State(api): State<Api>, body: Bytes) -> Response {
    let Ok(kick) = serde_json::from_slice::<Kick>(&body) else {
        return answer(&api, NO_PARAMETER, NOTHING);
    };
    let Some(summary) = api.find(&kick.stream_name) else {
        return answer(&api, NO_GROUP, NOTHING);
    };
    let session = api.sessions.find(&kick.session_id);
    match session.filter(|session| session.is_in(&summary.name)) {
        Some(session) => {
            session.dispose(EndReason::Kicked);
            answer(&api, SUCCESS, NOTHING)
        }
        None => answer(&api, NO_SESSION, NOTHING),
    }
}

/// What lal leaves out has the value that it has there.
#[derive(Deserialize)]
struct Pull {
    url: String,
    #[serde(default)]
    stream_name: String,
    #[serde(default = "ten_seconds")]
    pull_timeout_ms: u64,
    #[serde(default)]
    pull_retry_num: i64,
    #[serde(default = "never")]
    auto_stop_pull_after_no_out_ms: i64,
    #[serde(default)]
    rtsp_mode: u8,
    #[serde(default)]
    debug_dump_packet: String,
}

fn ten_seconds() -> u64 {
    10_000
}

fn never() -> i64 {
    -1
}

impl Pull {
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
            timeout: Some(self.pull_timeout_ms)
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
    let Ok(pull) = serde_json::from_slice::<Pull>(&body) else {
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

async fn stop_pull(State(api): State<Api>, Query(query): Query<OfStream>) -> Response {
    let none = json!({ "session_id": "" });
    let Some(name) = query.name() else {
        return answer(&api, NO_PARAMETER, Some(none));
    };
    // A pull that has not got anywhere yet has no stream that could be found by its last item.
    let of_name = |relayed: &Relayed| {
        let path = relayed.stream.as_str();
        path == name || path.rsplit('/').next() == Some(&name)
    };
    let found = api.operations.pulls().into_iter().find(of_name);
    match found.map(|found| api.operations.stop_pull(&found.stream)) {
        Some(Ok(Some(id))) => answer(&api, SUCCESS, Some(json!({ "session_id": &*id }))),
        None if api.find(&name).is_none() => answer(&api, NO_GROUP, Some(none)),
        _ => answer(&api, NO_SESSION, Some(none)),
    }
}

/// lal's parameters, and behind them ours.
#[derive(Deserialize)]
struct Rtp {
    stream_name: String,
    #[serde(default)]
    port: u16,
    #[serde(default = "one_minute")]
    timeout_ms: u64,
    /// 0 for datagrams, 1 for a connection that the device makes.
    #[serde(default)]
    is_tcp_flag: u8,
    #[serde(default)]
    debug_dump_packet: String,
    /// `passive` as `is_tcp_flag` 1, or `active`: the server connects to `peer`.
    #[serde(default)]
    tcp_mode: String,
    /// `HOST:PORT`.
    peer: Option<String>,
    ssrc: Option<u32>,
    /// 1 for the port that all devices share.
    #[serde(default)]
    shared_port_flag: u8,
}

fn one_minute() -> u64 {
    60_000
}

#[derive(Serialize, Default)]
struct Receiving {
    stream_name: String,
    session_id: String,
    port: u16,
}

async fn start_rtp(State(api): State<Api>, body: Bytes) -> Response {
    let wanted = serde_json::from_slice::<Rtp>(&body).ok();
    let Some(wanted) = wanted.filter(|wanted| !wanted.stream_name.is_empty()) else {
        return answer(&api, NO_PARAMETER, Some(Receiving::default()));
    };
    let order = ReceiveOrder {
        transport: match (wanted.is_tcp_flag, wanted.tcp_mode.as_str()) {
            (_, "active") => Transport::TcpActive,
            (0, "") => Transport::Udp,
            _ => Transport::Tcp,
        },
        port: Some(wanted.port).filter(|port| *port > 0),
        shared: wanted.shared_port_flag != 0,
        ssrc: wanted.ssrc,
        connect_to: wanted.peer,
        // Whole seconds, as in lal.
        idle: Some(Duration::from_secs(wanted.timeout_ms / 1000)),
        dump: Some(wanted.debug_dump_packet).filter(|name| !name.is_empty()),
        ..ReceiveOrder::default()
    };
    let stream = api.operations.stream(&wanted.stream_name);
    let opened = match stream {
        Ok(stream) => api.operations.receive(stream, &order).map_err(|error| match error {
            // Clients may know lal's words for it.
            ReceiveError::Occupied(_) => "lal.logic: in stream already exist at group".to_owned(),
            other => other.to_string(),
        }),
        Err(error) => Err(error.to_string()),
    };
    match opened {
        Ok(opened) => {
            let (stream_name, port) = (wanted.stream_name, opened.port);
            let session_id = opened.session.to_string();
            answer(&api, SUCCESS, Some(Receiving { stream_name, session_id, port }))
        }
        Err(text) => say(&api, (NO_RTP, &text, StatusCode::CONFLICT), Some(Receiving::default())),
    }
}

#[derive(Deserialize)]
struct Block {
    ip: String,
    duration_sec: u64,
}

async fn block(State(api): State<Api>, body: Bytes) -> Response {
    let wanted = serde_json::from_slice::<Block>(&body).ok();
    let Some((network, seconds)) =
        wanted.and_then(|wanted| Some((network(&wanted.ip).ok()?, wanted.duration_sec)))
    else {
        return answer(&api, NO_PARAMETER, NOTHING);
    };
    if !api.operations.block(network, Some(Duration::from_secs(seconds))) {
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
