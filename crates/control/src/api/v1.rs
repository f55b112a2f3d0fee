//! Our own endpoints, under `/api/v1/`: real statuses, `{"error": …}` for faults, pages of lists.

#![allow(unused_qualifications, reason = "the macros that describe endpoints write paths out")]

mod admin;
mod devices;
mod live;
mod receivers;
mod relays;
mod sessions;
mod streams;
mod views;

use std::ops::Range;

use axum::Router;
use axum::extract::State;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

pub(super) fn router(api: Api) -> Router {
    let (router, document) = documented().split_for_parts();
    let document = in_standard_form(document);
    let metrics = get(|State(api): State<Api>| async move { crate::metrics::answer(&api) });
    router
        .route("/api/openapi.json", get(|| async move { Json(document) }))
        .route("/metrics", metrics)
        .with_state(api)
}

/// The description of the API, made from its code.
#[must_use]
pub fn document() -> Value {
    in_standard_form(documented().into_openapi())
}

/// Slashes may be written as they are in paths of ours; OpenAPI has no word for that.
fn in_standard_form(mut document: OpenApi) -> Value {
    let paths = std::mem::take(&mut document.paths.paths);
    let renamed = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item));
    document.paths.paths = renamed.collect();
    let mut document = serde_json::to_value(document).expect("a document is JSON");
    widen(&mut document);
    document
}

/// `int32` would end at half of the numbers of 32 bits without a sign, which ours are.
fn widen(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("format").is_some_and(|format| format == "int32") {
                map.insert("format".to_owned(), "int64".into());
            }
            map.values_mut().for_each(widen);
        }
        Value::Array(all) => all.iter_mut().for_each(widen),
        _ => {}
    }
}

fn documented() -> OpenApiRouter<Api> {
    let info = InfoBuilder::new()
        .title("Headwater")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("The operator's API of a live media server."))
        .license(Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build()))
        .build();
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build())
        .routes(routes!(admin::server))
        .routes(routes!(admin::history))
        .routes(routes!(streams::list))
        .routes(routes!(streams::one))
        .routes(routes!(streams::kick))
        .routes(routes!(streams::start_recording))
        .routes(routes!(streams::stop_recording))
        .routes(routes!(streams::recordings))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::one, sessions::kick))
        .routes(routes!(relays::edge_viewers))
        .routes(routes!(relays::pulls, relays::pull, relays::stop_pull))
        .routes(routes!(relays::pushes, relays::push, relays::stop_push))
        .routes(routes!(receivers::list, receivers::receive, receivers::change, receivers::stop))
        .routes(routes!(devices::list))
        .routes(routes!(devices::one))
        .routes(routes!(devices::refresh))
        .routes(routes!(devices::recordings))
        .routes(routes!(devices::play, devices::stop))
        .routes(routes!(devices::playback))
        .routes(routes!(devices::control))
        .routes(routes!(live::events))
        .routes(routes!(live::log))
        .routes(routes!(admin::log_level, admin::set_log_level))
        .routes(routes!(admin::settings))
        .routes(routes!(admin::reload))
        .routes(routes!(admin::blocked))
        .routes(routes!(admin::block))
        .routes(routes!(admin::unblock))
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    /// What is wrong, and what to do.
    error: String,
    #[serde(skip)]
    #[schema(ignore)]
    status: u16,
}

impl Fault {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { error: error.into(), status: status.as_u16() }
    }

    fn absent(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        (status, Json(self)).into_response()
    }
}

type Answer<T> = Result<Json<T>, Fault>;

/// A query whose faults are told as ours.
pub(super) struct Params<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Fault;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, Fault> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        match read {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error) => {
                let error: QueryRejection = error;
                Err(Fault::new(StatusCode::BAD_REQUEST, error.body_text()))
            }
        }
    }
}

/// A body of JSON whose faults are told as ours. That it must say that it is JSON keeps pages of
/// other sites from sending it.
pub(super) struct Body<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Fault;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Fault> {
        match Json::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(error) => {
                let error: JsonRejection = error;
                Err(Fault::new(error.status(), error.body_text()))
            }
        }
    }
}

/// Which part of a list is wanted.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// The page, from 1.
    #[serde(default = "first")]
    #[param(minimum = 1, maximum = 1_000_000, default = 1)]
    page: u32,
    /// Items on a page.
    #[serde(default = "usual")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    per_page: u32,
}

fn first() -> u32 {
    1
}

fn usual() -> u32 {
    50
}

impl Paging {
    /// Checks the numbers.
    fn check(&self) -> Result<(), Fault> {
        if !(1..=1_000_000).contains(&self.page) || !(1..=1000).contains(&self.per_page) {
            let text = "page is 1 to 1000000, and per_page is 1 to 1000";
            return Err(Fault::new(StatusCode::BAD_REQUEST, text));
        }
        Ok(())
    }

    /// The items of the page.
    fn cut<T>(&self, items: Vec<T>) -> (usize, Vec<T>) {
        let (total, Range { start, end }) = (items.len(), self.range());
        (total, items.into_iter().skip(start).take(end - start).collect())
    }

    /// Which items are on the page.
    fn range(&self) -> Range<usize> {
        let count = usize::try_from(self.per_page).unwrap_or(usize::MAX);
        let before = usize::try_from(self.page - 1).unwrap_or(usize::MAX).saturating_mul(count);
        before..before.saturating_add(count)
    }
}
