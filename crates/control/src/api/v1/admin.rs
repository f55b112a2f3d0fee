//! The server itself: figures, settings, the log's level, blocked addresses.

use std::time::{Duration, Instant, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use config::values::{Level, network};
use hub::{Role, StreamState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type};

use super::views::ServerHistory;
use super::{Answer, Body, Fault};
use crate::api::Api;
use crate::history::kbps;
use crate::logs::rfc3339;
use crate::page::{Paths, Ports};

/// The server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Server {
    id: String,
    version: &'static str,
    started: String,
    uptime_seconds: u64,
    ports: Ports,
    paths: Paths,
    /// Whether there is a page with a player for viewers: `/play/APP/NAME`.
    player_page: bool,
    sessions: usize,
    streams: usize,
    publishers: usize,
    viewers: usize,
    connections: usize,
    in_kbps: u64,
    out_kbps: u64,
}

/// The server's figures.
#[utoipa::path(get, path = "/api/v1/server", responses((status = 200, body = Server)))]
pub(super) async fn server(State(api): State<Api>) -> Json<Server> {
    let sessions = api.sessions.all();
    let with = |wanted: fn(Role) -> bool| sessions.iter().filter(|s| wanted(s.kind().role)).count();
    let moved = || sessions.iter().map(|session| session.statistics());
    let summaries = api.registry.summaries(Instant::now());
    let settings = api.operations.settings();
    let player_page = settings.get("http").and_then(|http| http.get("player_page")?.as_bool());
    Json(Server {
        id: api.server_id.to_string(),
        version: env!("CARGO_PKG_VERSION"),
        started: rfc3339(api.started),
        uptime_seconds: api.started.elapsed().unwrap_or_default().as_secs(),
        ports: api.ports,
        paths: Paths::of(&settings),
        player_page: player_page == Some(true),
        sessions: sessions.len(),
        streams: summaries.iter().filter(|s| s.state != StreamState::Idle).count(),
        publishers: with(|role| matches!(role, Role::Pub | Role::Pull)),
        viewers: with(Role::is_output),
        connections: api.operations.connections(),
        in_kbps: moved().map(|moved| kbps(moved.read_kbits)).sum(),
        out_kbps: moved().map(|moved| kbps(moved.written_kbits)).sum(),
    })
}

/// The server's last half hour.
#[utoipa::path(get, path = "/api/v1/history", responses((status = 200, body = ServerHistory)))]
pub(super) async fn history(State(api): State<Api>) -> Json<ServerHistory> {
    Json(ServerHistory::new(api.history.server()))
}

/// How much is logged.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct LogLevel {
    /// How grave a line must be.
    #[schema(schema_with = level_schema)]
    level: Level,
}

fn level_schema() -> Object {
    let words = Level::ALL.iter().map(|level| level.as_str());
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

/// An address, or a network of IPv4.
fn network_schema() -> Schema {
    const NUMBER: &str = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
    let v4 = format!("^({NUMBER}\\.){{3}}{NUMBER}(/(3[0-2]|[12]?[0-9]))?$");
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let v6 = SchemaFormat::Custom("ipv6".to_owned());
    let v4 = text().pattern(Some(v4));
    Schema::OneOf(OneOfBuilder::new().item(v4).item(text().format(Some(v6))).build())
}

/// How much is logged.
#[utoipa::path(get, path = "/api/v1/log/level", responses((status = 200, body = LogLevel)))]
pub(super) async fn log_level(State(api): State<Api>) -> Json<LogLevel> {
    Json(LogLevel { level: api.operations.log_level() })
}

/// Changes how much is logged, until the configuration is read again.
#[utoipa::path(put, path = "/api/v1/log/level", request_body = LogLevel, responses(
    (status = 200, body = LogLevel), (status = 400, body = Fault), (status = 415, body = Fault),
    (status = 422, body = Fault)))]
pub(super) async fn set_log_level(
    State(api): State<Api>,
    Body(wanted): Body<LogLevel>,
) -> Json<LogLevel> {
    api.operations.set_log_level(wanted.level);
    Json(LogLevel { level: api.operations.log_level() })
}

/// The settings in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Settings {
    /// Keys by section; secrets are shown as `***`.
    #[schema(value_type = Object)]
    settings: toml::Table,
}

/// The settings in force.
#[utoipa::path(get, path = "/api/v1/config", responses((status = 200, body = Settings)))]
pub(super) async fn settings(State(api): State<Api>) -> Json<Settings> {
    Json(Settings { settings: api.operations.settings() })
}

/// What has come of reading the configuration again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReloadView {
    /// Settings that hold now.
    applied: Vec<String>,
    /// Settings that hold when the server starts again.
    needs_restart: Vec<String>,
    /// What is unwise.
    warnings: Vec<String>,
}

/// Reads the configuration again.
#[utoipa::path(post, path = "/api/v1/config/reload", responses(
    (status = 200, body = ReloadView), (status = 422, body = Fault)))]
pub(super) async fn reload(State(api): State<Api>) -> Answer<ReloadView> {
    let reloaded = api.operations.reload().await;
    let reloaded = reloaded.map_err(|e| Fault::new(StatusCode::UNPROCESSABLE_ENTITY, e))?;
    let (applied, needs_restart) = (reloaded.applied, reloaded.needs_restart);
    Ok(Json(ReloadView { applied, needs_restart, warnings: reloaded.warnings }))
}

/// The longest time to block for, in seconds.
const A_CENTURY: f64 = 3_153_600_000.0;

/// An address or a network that may not connect.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BlockedView {
    ip: String,
    /// For ever without.
    until: Option<String>,
}

/// What is blocked, by address.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BlockedList {
    items: Vec<BlockedView>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Block {
    /// An address, or a network such as `192.0.2.0/24`.
    #[schema(schema_with = network_schema)]
    ip: String,
    /// For how long; for ever without.
    #[schema(minimum = 0, maximum = 3_153_600_000_u64)]
    seconds: Option<f64>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Unblock {
    /// An address or a network that is blocked.
    #[schema(schema_with = network_schema)]
    ip: String,
}

fn list(api: &Api) -> Json<BlockedList> {
    let (now, wall) = (Instant::now(), SystemTime::now());
    let at = |until: Instant| rfc3339(wall + until.saturating_duration_since(now));
    let view = |(network, until): (ipnet::IpNet, Option<Instant>)| {
        let is_one = network.prefix_len() == network.max_prefix_len();
        let ip = if is_one { network.addr().to_string() } else { network.to_string() };
        BlockedView { ip, until: until.map(at) }
    };
    Json(BlockedList { items: api.operations.blocked().into_iter().map(view).collect() })
}

/// Addresses that were blocked for a time.
#[utoipa::path(get, path = "/api/v1/access/blocked", responses((status = 200, body = BlockedList)))]
pub(super) async fn blocked(State(api): State<Api>) -> Json<BlockedList> {
    list(&api)
}

/// Blocks an address or a network, by whatever protocol, and ends its sessions.
#[utoipa::path(post, path = "/api/v1/access/block", request_body = Block, responses(
    (status = 200, body = BlockedList), (status = 400, body = Fault), (status = 415, body = Fault),
    (status = 422, body = Fault), (status = 507, body = Fault)))]
pub(super) async fn block(
    State(api): State<Api>,
    Body(wanted): Body<Block>,
) -> Answer<BlockedList> {
    let network = network(&wanted.ip).map_err(|e| Fault::new(StatusCode::BAD_REQUEST, e))?;
    if wanted.seconds.is_some_and(|seconds| !(0.0..=A_CENTURY).contains(&seconds)) {
        let text = "seconds are at most a century: leave them out to block for ever";
        return Err(Fault::new(StatusCode::BAD_REQUEST, text));
    }
    if !api.operations.block(network, wanted.seconds.map(Duration::from_secs_f64)) {
        let text = "too many addresses are blocked already: unblock some, or block networks";
        return Err(Fault::new(StatusCode::INSUFFICIENT_STORAGE, text));
    }
    Ok(list(&api))
}

/// Blocks it no more.
#[utoipa::path(post, path = "/api/v1/access/unblock", request_body = Unblock, responses(
    (status = 200, body = BlockedList), (status = 400, body = Fault), (status = 404, body = Fault),
    (status = 415, body = Fault), (status = 422, body = Fault)))]
pub(super) async fn unblock(
    State(api): State<Api>,
    Body(wanted): Body<Unblock>,
) -> Answer<BlockedList> {
    let network = network(&wanted.ip).map_err(|e| Fault::new(StatusCode::BAD_REQUEST, e))?;
    if !api.operations.unblock(network) {
        return Err(Fault::absent("address among those that are blocked"));
    }
    Ok(list(&api))
}
