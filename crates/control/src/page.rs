//! The pages, built in: they work offline and need no build tool.
//!
//! The operator's is served on the operator's listener; one with nothing but a player can be
//! switched on for viewers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::Embed;
use serde::Serialize;
use utoipa::ToSchema;

use crate::operations::Operations;

/// The built-in clip, an FLV file.
pub const DEMO_CLIP: &[u8] = include_bytes!("../assets/demo.flv");

/// Scripts and styles of the page alone; media and the API from wherever the server listens.
const POLICY: &str = "default-src 'self'; media-src * blob:; img-src 'self' data: blob:; \
                      connect-src *; worker-src 'self' blob:; object-src 'none'; base-uri 'none'";

/// No other page may lay buttons of its own over the operator's.
const OPERATORS_POLICY: &str = "; frame-ancestors 'self'";

/// Where the player's page is told the paths of the media.
const PATHS_MARK: &str = "{PATHS}";

#[derive(Embed)]
#[folder = "assets/"]
#[exclude = "*.flv"]
struct Assets;

/// The ports that the page shows in URLs; absent where nothing listens.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct Ports {
    /// RTMP.
    pub rtmp: Option<u16>,
    /// RTMP over TLS.
    pub rtmps: Option<u16>,
    /// RTSP.
    pub rtsp: Option<u16>,
    /// RTSP over TLS.
    pub rtsps: Option<u16>,
    /// RTSP in WebSockets.
    pub rtsp_ws: Option<u16>,
    /// HTTP.
    pub http: Option<u16>,
    /// HTTP over TLS.
    pub https: Option<u16>,
}

/// What the paths of media begin with, by container; absent where a container is switched off.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Paths {
    /// FLV: only streams whose path begins with one of these are served.
    flv: Option<Vec<String>>,
    /// MPEG-TS: as with FLV.
    ts: Option<Vec<String>>,
    /// MP4: as with FLV.
    mp4: Option<Vec<String>>,
    /// HLS: comes before the stream's path.
    hls: Option<String>,
}

impl Paths {
    pub(crate) fn of(settings: &toml::Table) -> Self {
        let text = |value: &toml::Value| value.as_str().map(ToOwned::to_owned);
        let all = |container: &str| -> Option<Vec<String>> {
            let section = settings.get(container)?.as_table()?;
            if !section.get("enable")?.as_bool()? {
                return None;
            }
            match section.get("url_prefix")? {
                toml::Value::Array(list) => Some(list.iter().filter_map(text).collect()),
                one => Some(vec![text(one)?]),
            }
        };
        let hls = all("hls").and_then(|all| all.into_iter().next());
        Self { flv: all("flv"), ts: all("ts"), mp4: all("mp4"), hls }
    }
}

/// The operator's page, at `/`.
pub(crate) fn operator() -> Router {
    let page = get(|headers: HeaderMap| async move { asset("index.html", &headers) });
    Assets::iter().fold(Router::new().route("/", page), |router, name| {
        let path = format!("/{name}");
        router.route(&path, get(move |headers: HeaderMap| async move { asset(&name, &headers) }))
    })
}

/// A page with a player for each stream, at `/play/APP/NAME`.
pub fn player(operations: Arc<dyn Operations>) -> Router {
    let page = get(move || async move { player_page(&Paths::of(&operations.settings())) });
    let assets =
        get(|Path(path): Path<String>, headers: HeaderMap| async move { asset(&path, &headers) });
    Router::new().route("/play/{*stream}", page).route("/play-assets/{*path}", assets)
}

fn player_page(paths: &Paths) -> Response {
    let Some(file) = Assets::get("play.html") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let paths = serde_json::to_string(paths).unwrap_or_default();
    // A value of an attribute: all else in JSON means nothing there.
    let paths = paths.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let page = String::from_utf8_lossy(&file.data).replace(PATHS_MARK, &paths);
    with_headers(Body::from(page).into_response(), "play.html", POLICY)
}

/// A file; its hash is its tag, so that browsers ask whether it has changed and are told shortly.
fn asset(name: &str, request: &HeaderMap) -> Response {
    let Some(file) = Assets::get(name) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let hash = file.metadata.sha256_hash();
    let tag = hash.iter().take(8).fold(String::new(), |tag, byte| format!("{tag}{byte:02x}"));
    let tag = format!("\"{tag}\"");
    let is_known =
        request.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(file.data.into_owned()).into_response()
    };
    let policy = format!("{POLICY}{OPERATORS_POLICY}");
    let mut response = with_headers(response, name, &policy);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn with_headers(mut response: Response, name: &str, policy: &str) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(policy) = HeaderValue::from_str(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}
