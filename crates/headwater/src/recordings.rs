//! Recordings over HTTP: a list of them, and the files, in part if so wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use control::operations::Recording;
use hls::name::escape;
use serde_json::json;
use session::{Context, Settings};
use tower::ServiceExt;
use tower_http::services::ServeDir;

/// Files that are listed, the newest first.
const MAX_LISTED: usize = 10_000;

/// Files that are looked at, and folders in folders.
const MAX_SEEN: usize = 200_000;
const MAX_DEPTH: usize = 16;

/// `/api/record/list` and `/record/FORMAT/…`.
pub(crate) fn router(context: Arc<Context>) -> Router {
    let list = Router::new().route("/api/record/list", get(list)).with_state(context.clone());
    list.merge(files(context))
}

/// `/record/FORMAT/…`.
pub(crate) fn files(context: Arc<Context>) -> Router {
    Router::new().route("/record/{*path}", get(download)).with_state(context)
}

/// The endings of a format's files: what is listed, and what belongs to it.
fn endings(format: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match format {
        "hls" => (&["m3u8"], &["m3u8", "ts", "m4s", "mp4"]),
        "flv" => (&["flv"], &["flv"]),
        "ts" => (&["ts"], &["ts"]),
        _ => (&["mp4"], &["mp4"]),
    }
}

/// The folders that recordings are in, by format.
fn roots(settings: &Settings) -> [(&'static str, PathBuf); 4] {
    let record = &settings.record;
    [
        ("flv", record.flv.root()),
        ("ts", record.ts.root()),
        ("mp4", record.mp4.root()),
        ("hls", settings.hls.files.folder.root()),
    ]
}

async fn list(State(context): State<Arc<Context>>) -> Response {
    let view = |file: Recording| {
        let Recording { format, path, size, modified_ms } = file;
        json!({ "format": format, "path": path, "size": size, "modified_ms": modified_ms })
    };
    let files: Vec<_> = find(context).await.into_iter().map(view).collect();
    Json(json!({ "error_code": 0, "desp": "succ", "data": { "files": files } })).into_response()
}

/// All recordings, the newest first; of very many, the newest alone.
pub(crate) async fn find(context: Arc<Context>) -> Vec<Recording> {
    let roots = roots(&context.settings.load());
    let found = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        let mut seen = 0;
        for (format, root) in roots {
            let (listed, _) = endings(format);
            walk(&root, &root, format, listed, 0, &mut seen, &mut found);
        }
        found.sort_by_key(|recording| std::cmp::Reverse(recording.modified_ms));
        found.truncate(MAX_LISTED);
        found
    });
    found.await.unwrap_or_default()
}

/// Collects files below `folder`; what cannot be read is not there.
fn walk(
    root: &Path,
    folder: &Path,
    format: &'static str,
    endings: &[&str],
    depth: usize,
    seen: &mut usize,
    found: &mut Vec<Recording>,
) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        *seen += 1;
        if *seen > MAX_SEEN {
            return;
        }
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.as_ref().is_ok_and(fs::FileType::is_dir) && depth < MAX_DEPTH {
            walk(root, &path, format, endings, depth + 1, seen, found);
        } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending))
            && let Ok(metadata) = entry.metadata()
            && let Ok(below) = path.strip_prefix(root)
        {
            let items = below.iter().map(|item| escape(&item.to_string_lossy()));
            let modified =
                metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let modified_ms = modified.unwrap_or_default().as_millis();
            found.push(Recording {
                format,
                path: format!("/record/{format}/{}", items.collect::<Vec<_>>().join("/")),
                size: metadata.len(),
                modified_ms: i64::try_from(modified_ms).unwrap_or(i64::MAX),
            });
        }
    }
}

async fn download(State(context): State<Arc<Context>>, mut request: Request) -> Response {
    let path = request.uri().path().strip_prefix("/record/").unwrap_or_default();
    let Some((format, rest)) = path.split_once('/') else { return not_found() };
    let roots = roots(&context.settings.load());
    let Some((_, root)) = roots.into_iter().find(|(name, _)| *name == format) else {
        return not_found();
    };
    // The folder may have other files, which are nobody's business.
    let (_, served) = endings(format);
    if !rest.rsplit_once('.').is_some_and(|(_, ending)| served.contains(&ending)) {
        return not_found();
    }
    let Ok(below) = format!("/{rest}").parse::<Uri>() else { return not_found() };
    // A list that grows must be asked for again; a file that is complete has its date.
    let grows = rest.ends_with(".m3u8");
    *request.uri_mut() = below;
    let Ok(response) =
        ServeDir::new(root).append_index_html_on_directories(false).oneshot(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        return not_found();
    }
    let mut response = response.map(Body::new);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if grows {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let playlist = HeaderValue::from_static("application/vnd.apple.mpegurl");
        headers.insert(header::CONTENT_TYPE, playlist);
    }
    response
}

fn not_found() -> Response {
    let text = "no such recording; /api/record/list of the operator's API names them all\n";
    (StatusCode::NOT_FOUND, text).into_response()
}
