//! The page, built in: it works offline and needs no build tool.

use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::json;
use std::net::SocketAddr;

use crate::api::Api;

/// The built-in clip, an FLV file.
pub const DEMO_CLIP: &[u8] = include_bytes!("../assets/demo.flv");

/// Scripts and styles of the page alone, media from anywhere (blobs of the player included).
const POLICY: &str = "default-src 'self'; media-src 'self' blob:; img-src 'self' data:; \
                      connect-src 'self' ws: wss:; worker-src 'self' blob:";

/// The ports that the page shows in URLs; absent where nothing listens.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Ports {
    /// RTMP.
    pub rtmp: Option<u16>,
    /// RTMP over TLS.
    pub rtmps: Option<u16>,
    /// HTTP over TLS.
    pub https: Option<u16>,
}

#[derive(Debug, Clone)]
struct Page {
    api: Api,
    ports: Ports,
}

/// The router of the viewers' listener. The list of streams is told to this host alone: names of
/// streams may be secrets.
pub fn router(api: Api, ports: Ports) -> Router {
    let asset = |content_type: &'static str, bytes: &'static [u8]| {
        get(move || async move {
            let headers = [
                (CONTENT_TYPE, content_type),
                (CACHE_CONTROL, "no-cache"),
                (CONTENT_SECURITY_POLICY, POLICY),
            ];
            (headers, bytes)
        })
    };
    const HTML: &str = "text/html; charset=utf-8";
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    Router::new()
        .route("/", asset(HTML, include_bytes!("../assets/index.html")))
        .route("/app.js", asset(SCRIPT, include_bytes!("../assets/app.js")))
        .route("/vendor/mpegts.js", asset(SCRIPT, include_bytes!("../assets/vendor/mpegts.js")))
        .route("/style.css", asset("text/css", include_bytes!("../assets/style.css")))
        .route("/api/streams", get(streams))
        .fallback(not_found)
        .with_state(Page { api, ports })
}

async fn streams(State(page): State<Page>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        let text = "the list of streams is only shown to this host\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    Json(json!({ "streams": page.api.streams(), "ports": page.ports })).into_response()
}

async fn not_found() -> Response {
    let text = "there is nothing here; streams are at /APP/NAME.flv and /hls/APP/NAME.m3u8, the page is at /\n";
    let any = [("access-control-allow-origin", "*")];
    (StatusCode::NOT_FOUND, any, text).into_response()
}
