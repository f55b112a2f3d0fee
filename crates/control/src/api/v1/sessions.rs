//! Sessions.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use hub::{EndReason, Session};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::views::SessionView;
use super::{Answer, Fault, Paging, Params};
use crate::api::Api;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// A part of the id, the peer's address, the stream's path or the user.
    #[serde(default)]
    search: String,
    /// `RTMP`, `RTSP`, `FLV` and so on.
    protocol: Option<String>,
    /// `PUB`, `SUB`, `PUBSUB`, `PUSH` or `PULL`.
    role: Option<String>,
    /// Only those that take part in this stream.
    stream: Option<String>,
    /// By what to sort.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// In which direction.
    #[serde(default)]
    #[param(inline)]
    order: Order,
}

/// By what to sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Sort {
    /// When they began.
    #[default]
    Started,
    /// What they have moved.
    Bytes,
    /// What they move.
    Kbps,
}

/// In which direction to sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    /// The smallest first.
    #[default]
    Asc,
    /// The largest first.
    Desc,
}

/// A page of sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sessions {
    total: usize,
    page: u32,
    per_page: u32,
    items: Vec<SessionView>,
}

/// Sessions.
#[utoipa::path(get, path = "/api/v1/sessions", params(Filter, Paging), responses(
    (status = 200, body = Sessions), (status = 400, body = Fault)))]
pub(super) async fn list(
    State(api): State<Api>,
    Params(filter): Params<Filter>,
    Params(paging): Params<Paging>,
) -> Answer<Sessions> {
    paging.check()?;
    let mut sessions = api.sessions.all();
    sessions.retain(|session| filter.takes(session));
    filter.sort(&mut sessions);
    let (total, shown) = paging.cut(sessions);
    let items = shown.iter().map(SessionView::new).collect();
    Ok(Json(Sessions { total, page: paging.page, per_page: paging.per_page, items }))
}

impl Filter {
    fn takes(&self, session: &Session) -> bool {
        let kind = session.kind();
        let is = |wanted: &Option<String>, word: String| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&word))
        };
        is(&self.protocol, kind.protocol.to_string())
            && is(&self.role, kind.role.to_string())
            && self.stream.as_ref().is_none_or(|wanted| {
                session.stream().is_some_and(|stream| stream.as_str() == wanted)
            })
            && (self.search.is_empty() || self.finds(session))
    }

    fn finds(&self, session: &Session) -> bool {
        let search = self.search.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&search);
        has(session.id())
            || session.peer().is_some_and(|peer| has(&peer.to_string()))
            || session.stream().is_some_and(|stream| has(stream.as_str()))
            || session.user().is_some_and(|user| has(&user))
    }

    fn sort(&self, sessions: &mut [Arc<Session>]) {
        // Ids make the order one and the same where the rest is equal.
        let id = |session: &Arc<Session>| session.id().clone();
        match self.sort {
            Sort::Started => sessions.sort_by_cached_key(|s| (s.started(), id(s))),
            Sort::Bytes => sessions.sort_by_cached_key(|s| {
                let moved = s.statistics();
                (moved.read_bytes + moved.written_bytes, id(s))
            }),
            Sort::Kbps => sessions.sort_by_cached_key(|s| {
                let moved = s.statistics();
                (moved.read_kbits + moved.written_kbits, id(s))
            }),
        }
        if self.order == Order::Desc {
            sessions.reverse();
        }
    }
}

/// One session.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = SessionView), (status = 404, body = Fault)))]
pub(super) async fn one(State(api): State<Api>, Path(id): Path<String>) -> Answer<SessionView> {
    let session = api.sessions.find(&id).ok_or_else(|| Fault::absent("session"))?;
    Ok(Json(SessionView::new(&session)))
}

/// Ends a session.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", params(("id" = String, Path)), responses(
    (status = 204), (status = 404, body = Fault)))]
pub(super) async fn kick(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    let session = api.sessions.find(&id).ok_or_else(|| Fault::absent("session"))?;
    session.dispose(EndReason::Kicked);
    Ok(StatusCode::NO_CONTENT)
}
