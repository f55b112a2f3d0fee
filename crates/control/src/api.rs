//! The operator's API: lal's endpoints that concern what there is, as lal answers them.
//!
//! Compatible with lal's HTTP API v0.4.9: status 200 always, an envelope of `error_code`, `desp`
//! and `data`. The stream of `stream_name` is found by its path (`live/camera1`) or, as in lal, by
//! its last item.

mod view;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use hub::{EndReason, Registry, Sessions, Summary};
use serde::Deserialize;
use serde_json::{Value, json};

pub use view::StreamView;

/// What the API speaks about.
#[derive(Debug, Clone)]
pub struct Api {
    /// Streams.
    pub registry: Arc<Registry>,
    /// Sessions.
    pub sessions: Arc<Sessions>,
    /// What the server calls itself.
    pub server_id: Arc<str>,
    /// When the server started.
    pub started: SystemTime,
}

/// lal's error codes.
mod code {
    pub(super) const SUCCESS: (u32, &str) = (0, "succ");
    pub(super) const NO_PAGE: (u32, &str) =
        (404, "page not found, check this document out: docs/api.md");
    pub(super) const NO_GROUP: (u32, &str) = (1001, "group not found");
    pub(super) const NO_PARAMETER: (u32, &str) = (1002, "param missing");
    pub(super) const NO_SESSION: (u32, &str) = (1003, "session not found");
}

impl Api {
    /// The router of the operator's listener.
    pub fn router(self) -> Router {
        Router::new()
            .route("/api/stat/lal_info", any(info))
            .route("/api/stat/all_group", any(all_groups))
            .route("/api/stat/group", any(group))
            .route("/api/ctrl/kick_session", any(kick))
            .route("/healthz", get(|| async { "ok\n" }))
            .fallback(|| async { answer(code::NO_PAGE, None) })
            .with_state(self)
    }

    /// Every live stream, for the page.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamView> {
        let (summaries, sessions) = (self.registry.summaries(Instant::now()), self.sessions.all());
        summaries.iter().filter_map(|summary| StreamView::new(summary, &sessions)).collect()
    }

    fn find(&self, name: &str) -> Option<Summary> {
        let summaries = self.registry.summaries(Instant::now());
        let is_named = |summary: &&Summary| {
            let path = summary.name.as_str();
            path == name || path.rsplit('/').next() == Some(name)
        };
        summaries
            .iter()
            .find(|s| s.name.as_str() == name)
            .or_else(|| summaries.iter().find(is_named))
            .cloned()
    }
}

async fn info(State(api): State<Api>) -> Response {
    let data = json!({
        "server_id": &*api.server_id,
        "bin_info": format!("Headwater {}", env!("CARGO_PKG_VERSION")),
        "lal_version": "v0.37.4",
        "api_version": "v0.4.9",
        "notify_version": "v0.2.5",
        "WebUiVersion": "v0.0.3",
        "start_time": view::time(api.started),
    });
    answer(code::SUCCESS, Some(data))
}

async fn all_groups(State(api): State<Api>) -> Response {
    let (summaries, sessions) = (api.registry.summaries(Instant::now()), api.sessions.all());
    let groups: Vec<Value> =
        summaries.iter().map(|summary| view::group(summary, &sessions)).collect();
    answer(code::SUCCESS, Some(json!({ "groups": groups })))
}

#[derive(Deserialize)]
struct GroupQuery {
    stream_name: Option<String>,
}

async fn group(State(api): State<Api>, Query(query): Query<GroupQuery>) -> Response {
    let Some(name) = query.stream_name.filter(|name| !name.is_empty()) else {
        return answer(code::NO_PARAMETER, Some(Value::Null));
    };
    match api.find(&name) {
        Some(summary) => answer(code::SUCCESS, Some(view::group(&summary, &api.sessions.all()))),
        None => answer(code::NO_GROUP, Some(Value::Null)),
    }
}

#[derive(Deserialize)]
struct Kick {
    stream_name: String,
    session_id: String,
}

async fn kick(State(api): State<Api>, body: axum::body::Bytes) -> Response {
    let Ok(kick) = serde_json::from_slice::<Kick>(&body) else {
        return answer(code::NO_PARAMETER, None);
    };
    let Some(summary) = api.find(&kick.stream_name) else {
        return answer(code::NO_GROUP, None);
    };
    let session = api.sessions.find(&kick.session_id);
    match session.filter(|session| view::belongs(session, &summary)) {
        Some(session) => {
            session.dispose(EndReason::Kicked);
            answer(code::SUCCESS, None)
        }
        None => answer(code::NO_SESSION, None),
    }
}

fn answer((error_code, desp): (u32, &str), data: Option<Value>) -> Response {
    let mut body = json!({ "error_code": error_code, "desp": desp });
    if let (Some(data), Some(body)) = (data, body.as_object_mut()) {
        body.insert("data".to_owned(), data);
    }
    let mut response = Json(body).into_response();
    let any = HeaderValue::from_static("*");
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response
}
