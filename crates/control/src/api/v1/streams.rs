//! Streams, and their recordings.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use config::values::RecordFormat;
use hub::gate::Action;
use hub::{EndReason, Protocol, Role, StreamName, Summary};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::views::{Play, RepairsView, StreamDetail, StreamHistory, StreamView, state};
use super::{Answer, Body, Fault, Paging, Params};
use crate::api::Api;
use crate::logs::rfc3339;
use crate::operations::RecordError;

/// What stands escaped in paths of files (RFC 3986 §2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// A part of the path, whatever its case.
    #[serde(default)]
    search: String,
    /// `live`, `away` or `waiting`.
    #[param(inline)]
    state: Option<Condition>,
}

/// The state of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Condition {
    Live,
    Away,
    Waiting,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Away => "away",
            Self::Waiting => "waiting",
        }
    }
}

/// A page of streams.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Streams {
    total: usize,
    page: u32,
    per_page: u32,
    items: Vec<StreamView>,
}

/// Streams, by path.
#[utoipa::path(get, path = "/api/v1/streams", params(Filter, Paging), responses(
    (status = 200, body = Streams), (status = 400, body = Fault)))]
pub(super) async fn list(
    State(api): State<Api>,
    Params(filter): Params<Filter>,
    Params(paging): Params<Paging>,
) -> Answer<Streams> {
    paging.check()?;
    let search = filter.search.to_lowercase();
    let mut summaries = api.registry.summaries(Instant::now());
    summaries.retain(|summary| {
        let is_in_state = filter.state.is_none_or(|wanted| wanted.as_str() == state(summary.state));
        is_in_state && summary.name.as_str().to_lowercase().contains(&search)
    });
    let (total, shown) = paging.cut(summaries);
    let mut by_stream: HashMap<StreamName, Vec<_>> =
        shown.iter().map(|summary| (summary.name.clone(), Vec::new())).collect();
    for session in api.sessions.all() {
        if let Some(sessions) = session.stream().and_then(|stream| by_stream.get_mut(&stream)) {
            sessions.push(session);
        }
    }
    let view = |summary: &Summary| {
        let sessions = by_stream.get(&summary.name).map_or(&[][..], Vec::as_slice);
        StreamView::new(
            summary,
            sessions,
            on_edges(&api, &summary.name),
            recorded(&api, &summary.name),
        )
    };
    let items = shown.iter().map(view).collect();
    Ok(Json(Streams { total, page: paging.page, per_page: paging.per_page, items }))
}

fn on_edges(api: &Api, stream: &StreamName) -> u64 {
    api.edges.viewers(stream, Instant::now())
}

fn recorded(api: &Api, stream: &StreamName) -> Vec<&'static str> {
    api.operations.recorded(stream).into_iter().map(RecordFormat::as_str).collect()
}

/// One stream.
#[utoipa::path(get, path = "/api/v1/streams/{*name}",
    params(("name" = String, Path, description = "The stream's path, with its slashes.")),
    responses((status = 200, body = StreamDetail), (status = 404, body = Fault)))]
pub(super) async fn one(State(api): State<Api>, Path(name): Path<String>) -> Answer<StreamDetail> {
    let summary = api.exact(&name).ok_or_else(|| Fault::absent("stream"))?;
    let sessions = api.of_stream(&summary.name);
    let guarded = [Protocol::Flv, Protocol::Ts, Protocol::Mp4, Protocol::Hls]
        .into_iter()
        .any(|protocol| api.access.is_guarded(Action::Play, protocol));
    let query = match guarded {
        true => format!("ticket={}", api.access.tickets().issue(&summary.name)),
        false => String::new(),
    };
    let repairs = summary.repairs;
    Ok(Json(StreamDetail {
        stream: StreamView::new(
            &summary,
            &sessions,
            on_edges(&api, &summary.name),
            recorded(&api, &summary.name),
        ),
        gop_frames: summary.gop_frames,
        gop_ms: summary.key_intervals_ms.first().copied().unwrap_or_default(),
        key_interval_ms: summary.key_intervals_ms.clone(),
        frames: summary.frames,
        repairs: RepairsView {
            timestamp_jumps: repairs.jumps,
            timestamp_regressions: repairs.regressions,
            lost_packets: repairs.lost_packets,
            torn_frames: repairs.torn_frames,
        },
        cached_bytes: summary.cached_bytes,
        skips: sessions.iter().map(|session| session.skips()).sum(),
        history: StreamHistory::new(api.history.stream(&summary.name)),
        play: Play { query },
    }))
}

/// Who is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Who {
    /// The publisher.
    Publisher,
    /// All viewers.
    Viewers,
    /// Everybody.
    All,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct KickStream {
    /// The stream's path.
    stream: String,
    who: Who,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Kicked {
    /// Sessions that were asked to end.
    kicked: usize,
}

/// Ends sessions of a stream.
#[utoipa::path(post, path = "/api/v1/streams/kick", request_body = KickStream, responses(
    (status = 200, body = Kicked), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 415, body = Fault), (status = 422, body = Fault)))]
pub(super) async fn kick(State(api): State<Api>, Body(wanted): Body<KickStream>) -> Answer<Kicked> {
    let summary = api.exact(&wanted.stream).ok_or_else(|| Fault::absent("stream"))?;
    let goes = |role: Role| match wanted.who {
        Who::Publisher => !role.is_output(),
        Who::Viewers => role == Role::Sub,
        Who::All => true,
    };
    let mut sessions = api.of_stream(&summary.name);
    sessions.retain(|session| goes(session.kind().role));
    for session in &sessions {
        session.dispose(EndReason::Kicked);
    }
    Ok(Json(Kicked { kicked: sessions.len() }))
}

/// A format of single files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Flv,
    Ts,
    Mp4,
}

impl From<Format> for RecordFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Flv => Self::Flv,
            Format::Ts => Self::Ts,
            Format::Mp4 => Self::Mp4,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Record {
    /// The stream's path.
    stream: String,
    format: Format,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordedAs {
    /// What the stream is being recorded as.
    recording: Vec<&'static str>,
}

/// Begins to record a stream, until it ends or somebody stops that. Answers when the first file is there, or after five seconds if no key frame has come for it.
#[utoipa::path(post, path = "/api/v1/record/start", request_body = Record, responses(
    (status = 200, body = RecordedAs), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 409, body = Fault), (status = 415, body = Fault), (status = 422, body = Fault),
    (status = 500, body = Fault), (status = 507, body = Fault)))]
pub(super) async fn start_recording(
    State(api): State<Api>,
    Body(wanted): Body<Record>,
) -> Answer<RecordedAs> {
    let summary = api.exact(&wanted.stream).ok_or_else(|| Fault::absent("stream"))?;
    api.operations.record(&summary.name, wanted.format.into()).await.map_err(not_recorded)?;
    Ok(Json(RecordedAs { recording: recorded(&api, &summary.name) }))
}

/// Records a stream no more, whoever began it.
#[utoipa::path(post, path = "/api/v1/record/stop", request_body = Record, responses(
    (status = 200, body = RecordedAs), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 409, body = Fault), (status = 415, body = Fault), (status = 422, body = Fault)))]
pub(super) async fn stop_recording(
    State(api): State<Api>,
    Body(wanted): Body<Record>,
) -> Answer<RecordedAs> {
    let summary = api.exact(&wanted.stream).ok_or_else(|| Fault::absent("stream"))?;
    api.operations.stop_recording(&summary.name, wanted.format.into()).map_err(not_recorded)?;
    Ok(Json(RecordedAs { recording: recorded(&api, &summary.name) }))
}

fn not_recorded(error: RecordError) -> Fault {
    let status = match error {
        RecordError::Absent => StatusCode::NOT_FOUND,
        RecordError::Already
        | RecordError::Not
        | RecordError::Setting
        | RecordError::Nothing(_) => StatusCode::CONFLICT,
        RecordError::File(_) => StatusCode::INTERNAL_SERVER_ERROR,
        RecordError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
    };
    Fault::new(status, error.to_string())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfStream {
    /// Only those of this stream.
    stream: Option<String>,
}

/// A file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordingView {
    format: &'static str,
    /// Where it can be fetched from this listener.
    path: String,
    size: u64,
    modified: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Recordings {
    items: Vec<RecordingView>,
}

/// The files of recordings, the newest first.
#[utoipa::path(get, path = "/api/v1/recordings", params(OfStream), responses(
    (status = 200, body = Recordings), (status = 400, body = Fault)))]
pub(super) async fn recordings(
    State(api): State<Api>,
    Params(filter): Params<OfStream>,
) -> Answer<Recordings> {
    let mut files = api.operations.recordings().await;
    if let Some(stream) = &filter.stream {
        // Paths of files are parts of URLs.
        let escape = |item| utf8_percent_encode(item, &RESERVED).to_string();
        let stream = stream.split('/').map(escape).collect::<Vec<_>>().join("/");
        files.retain(|file| file.path.contains(&stream));
    }
    let view = |file: crate::operations::Recording| {
        let since = std::time::Duration::from_millis(file.modified_ms.unsigned_abs());
        let modified = rfc3339(SystemTime::UNIX_EPOCH + since);
        RecordingView { format: file.format, path: file.path, size: file.size, modified }
    };
    Ok(Json(Recordings { items: files.into_iter().map(view).collect() }))
}
