//! Streams from other servers, and streams that go there.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use config::values;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, Body, Fault, Params};
use crate::api::Api;
use crate::edges;
use crate::relays::{PullOrder, RelayError, Relayed};

/// Where one stream may come from.
const MAX_SOURCES: usize = 32;

/// A stream that is pulled from another server, or pushed to one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RelayView {
    /// The stream's path.
    stream: String,
    /// Where it comes from, in the order of tries, or where it goes; `***` stands for the values of
    /// queries, and for the keys of pushes.
    addresses: Vec<String>,
    /// Which of them it is at, from 0.
    current: usize,
    /// `running`, `calling`, `waiting` for the next try, or `idle`: somebody else publishes a
    /// stream that is to be pulled, nobody watches it, or nobody publishes one that is to be pushed.
    state: &'static str,
    /// The id of its session, which has its statistics.
    session: Option<String>,
    /// How often other servers were called.
    attempts: u32,
    /// How many calls in a row failed.
    failures: u32,
    /// Why the last session ended.
    last_error: Option<String>,
    /// The pattern of the setting that it comes from; nothing for an order of the API.
    rule: Option<String>,
    /// Whether it ends when nobody watches.
    on_demand: bool,
    /// Which of the addresses is connected and ready to take over, if one is.
    standby: Option<usize>,
}

impl From<Relayed> for RelayView {
    fn from(relayed: Relayed) -> Self {
        Self {
            stream: relayed.stream.to_string(),
            addresses: relayed.addresses,
            current: relayed.current,
            state: relayed.state,
            session: relayed.session.map(|id| id.to_string()),
            attempts: relayed.attempts,
            failures: relayed.failures,
            last_error: relayed.last_error,
            rule: relayed.rule,
            on_demand: relayed.on_demand,
            standby: relayed.standby,
        }
    }
}

/// All pulls, or all pushes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Relays {
    items: Vec<RelayView>,
}

impl Relays {
    fn of(all: Vec<Relayed>) -> Json<Self> {
        Json(Self { items: all.into_iter().map(RelayView::from).collect() })
    }
}

pub(super) fn refused(error: RelayError) -> Fault {
    let status = match error {
        RelayError::Name(_) | RelayError::Address(_) => StatusCode::BAD_REQUEST,
        RelayError::Occupied(_) | RelayError::Unwatched(_) | RelayError::Ambiguous(_) => {
            StatusCode::CONFLICT
        }
        RelayError::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
        RelayError::Absent => StatusCode::NOT_FOUND,
    };
    Fault::new(status, error.to_string())
}

/// Streams that are pulled from other servers, by path.
#[utoipa::path(get, path = "/api/v1/pulls", responses((status = 200, body = Relays)))]
pub(super) async fn pulls(State(api): State<Api>) -> Json<Relays> {
    Relays::of(api.operations.pulls())
}

/// What packets of RTP travel over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    Tcp,
    Udp,
    Auto,
}

impl From<Transport> for values::RtspTransport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
            Transport::Auto => Self::Auto,
        }
    }
}

/// A stream to pull.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pull {
    /// The path that the stream gets here.
    stream: String,
    /// Where it comes from; the next one is tried where one fails.
    #[schema(min_items = 1, max_items = 32)]
    from: Vec<String>,
    /// How often servers are called in all; for ever if it is left out.
    #[schema(minimum = 1)]
    attempts: Option<u32>,
    /// After how many seconds without viewers it ends; never if it is left out.
    stop_after_seconds: Option<u32>,
    /// What RTP travels over; as the settings say if it is left out.
    #[schema(inline)]
    rtsp_transport: Option<Transport>,
    /// Whether the next source is kept connected, to take over without a pause.
    #[serde(default)]
    standby: bool,
    /// How many seconds connecting may take, and each answer.
    #[schema(minimum = 1, maximum = 300)]
    timeout_seconds: Option<u32>,
}

/// Pulls a stream from another server, and publishes it here, until that is stopped.
#[utoipa::path(post, path = "/api/v1/pulls", request_body = Pull, responses(
    (status = 200, body = RelayView), (status = 400, body = Fault), (status = 409, body = Fault),
    (status = 415, body = Fault), (status = 422, body = Fault), (status = 503, body = Fault)))]
pub(super) async fn pull(State(api): State<Api>, Body(wanted): Body<Pull>) -> Answer<RelayView> {
    if !(1..=MAX_SOURCES).contains(&wanted.from.len())
        || wanted.attempts == Some(0)
        || wanted.timeout_seconds.is_some_and(|seconds| !(1..=300).contains(&seconds))
    {
        let text = format!(
            "from has 1 to {MAX_SOURCES} addresses, attempts is at least 1, and timeout_seconds is \
             1 to 300"
        );
        return Err(Fault::new(StatusCode::BAD_REQUEST, text));
    }
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let stream = api.operations.stream(&wanted.stream).map_err(refused)?;
    let order = PullOrder {
        from: wanted.from,
        attempts: wanted.attempts,
        stop_after: wanted.stop_after_seconds.map(seconds),
        rtsp_transport: wanted.rtsp_transport.map(Into::into),
        timeout: wanted.timeout_seconds.map(seconds),
        standby: wanted.standby,
        keep: false,
    };
    api.operations.pull(stream.clone(), &order).map_err(refused)?;
    let found = api.operations.pulls().into_iter().find(|pull| pull.stream == stream);
    found.map(|pull| Json(pull.into())).ok_or_else(|| Fault::absent("pull"))
}

/// Which relay is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The stream's path.
    stream: String,
}

/// How many relays end.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stopped {
    stopped: usize,
}

/// Pulls a stream no more. What a setting orders begins again with the next reload, or when somebody
/// watches.
#[utoipa::path(delete, path = "/api/v1/pulls", params(Which), responses(
    (status = 200, body = Stopped), (status = 400, body = Fault), (status = 404, body = Fault)))]
pub(super) async fn stop_pull(
    State(api): State<Api>,
    Params(which): Params<Which>,
) -> Answer<Stopped> {
    let stream = api.operations.stream(&which.stream).map_err(refused)?;
    api.operations.stop_pull(&stream).map_err(refused)?;
    Ok(Json(Stopped { stopped: 1 }))
}

/// How many watch on an edge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EdgeReport {
    /// A name that no other edge has.
    #[schema(min_length = 1, max_length = 256)]
    edge: String,
    /// The number of viewers of each stream that the edge has from here, by path. What can be no
    /// stream's path is passed over.
    streams: HashMap<String, u64>,
}

/// How long a report holds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Noted {
    valid_seconds: u64,
}

/// Takes an edge's report of its viewers, which replaces the one before. Edges send it by themselves
/// where `relay.report_to` is set.
#[utoipa::path(post, path = "/api/v1/edge_viewers", request_body = EdgeReport, responses(
    (status = 200, body = Noted), (status = 400, body = Fault), (status = 415, body = Fault),
    (status = 422, body = Fault), (status = 503, body = Fault)))]
pub(super) async fn edge_viewers(
    State(api): State<Api>,
    Body(report): Body<EdgeReport>,
) -> Answer<Noted> {
    let is_named = (1..=edges::MAX_NAME).contains(&report.edge.chars().count());
    // The description says that numbers have 63 bits.
    let are_numbers = report.streams.values().all(|count| i64::try_from(*count).is_ok());
    if !is_named || !are_numbers || report.streams.len() > edges::MAX_STREAMS {
        let text = format!(
            "edge has 1 to {} characters, and streams {} entries of 63 bits at most",
            edges::MAX_NAME,
            edges::MAX_STREAMS
        );
        return Err(Fault::new(StatusCode::BAD_REQUEST, text));
    }
    let mut viewers = HashMap::with_capacity(report.streams.len());
    for (path, count) in report.streams {
        if let Ok(stream) = api.operations.stream(&path) {
            viewers.insert(stream, count);
        }
    }
    if !api.edges.told(&report.edge, viewers, Instant::now()) {
        let text = "there are as many edges as a server listens to";
        return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, text.to_owned()));
    }
    Ok(Json(Noted { valid_seconds: edges::VALID.as_secs() }))
}

/// Streams that are pushed to other servers, by path.
#[utoipa::path(get, path = "/api/v1/pushes", responses((status = 200, body = Relays)))]
pub(super) async fn pushes(State(api): State<Api>) -> Json<Relays> {
    Relays::of(api.operations.pushes())
}

/// A stream to push.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Push {
    /// The stream's path here. It need not be published yet.
    stream: String,
    /// Where to: `rtmp[s]://` or `rtsp[s]://`, keys included.
    to: String,
    /// What RTP travels over; as the settings say if it is left out.
    #[schema(inline)]
    rtsp_transport: Option<Transport>,
}

/// Pushes a stream to another server whenever it is there, until that is stopped.
#[utoipa::path(post, path = "/api/v1/pushes", request_body = Push, responses(
    (status = 200, body = RelayView), (status = 400, body = Fault), (status = 409, body = Fault),
    (status = 415, body = Fault), (status = 422, body = Fault), (status = 503, body = Fault)))]
pub(super) async fn push(State(api): State<Api>, Body(wanted): Body<Push>) -> Answer<RelayView> {
    let stream = api.operations.stream(&wanted.stream).map_err(refused)?;
    let transport = wanted.rtsp_transport.map(Into::into);
    api.operations.push(stream.clone(), &wanted.to, transport).map_err(refused)?;
    let all = api.operations.pushes().into_iter();
    let mut found: Vec<_> = all.filter(|push| push.stream == stream).collect();
    let at = found.iter().position(|push| push.rule.is_none() && push.attempts == 0);
    let push = at.map(|at| found.swap_remove(at)).or_else(|| found.pop());
    push.map(|push| Json(push.into())).ok_or_else(|| Fault::absent("push"))
}

/// Which pushes are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichPush {
    /// The stream's path.
    stream: String,
    /// Where it goes: the whole address, or as the list has it; all if it is left out.
    to: Option<String>,
}

/// Pushes a stream there no more. What a setting orders begins again when the stream does.
#[utoipa::path(delete, path = "/api/v1/pushes", params(WhichPush), responses(
    (status = 200, body = Stopped), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 409, body = Fault)))]
pub(super) async fn stop_push(
    State(api): State<Api>,
    Params(which): Params<WhichPush>,
) -> Answer<Stopped> {
    let stream = api.operations.stream(&which.stream).map_err(refused)?;
    let stopped = api.operations.stop_push(&stream, which.to.as_deref()).map_err(refused)?;
    Ok(Json(Stopped { stopped }))
}
