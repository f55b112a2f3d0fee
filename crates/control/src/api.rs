//! The operator's API: lal's endpoints as lal answers them (`lal`), and ours (`v1`).

mod guard;
mod lal;
mod v1;
mod view;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use access::Access;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hub::{Registry, Sessions, StreamName, Summary};

use crate::edges::Edges;
use crate::events::Feed;
use crate::history::History;
use crate::logs::LogFeed;
use crate::operations::Operations;
use crate::page::{self, Ports};
use crate::webhooks::Webhooks;

pub use self::guard::{Answers, Guard, Key};
pub use self::v1::document;
pub(crate) use self::view::Group;

/// What the API speaks about.
#[derive(Clone)]
pub struct Api {
    /// Streams.
    pub registry: Arc<Registry>,
    /// Sessions.
    pub sessions: Arc<Sessions>,
    /// What they have moved in the last minutes.
    pub history: Arc<History>,
    /// The log.
    pub logs: Arc<LogFeed>,
    /// What happens.
    pub feed: Arc<Feed>,
    /// Who is told of it.
    pub webhooks: Arc<Webhooks>,
    /// Who may publish and play.
    pub access: Arc<Access>,
    /// Who may use the API.
    pub guard: Arc<Guard>,
    /// What others do for the API.
    pub operations: Arc<dyn Operations>,
    /// Who watches elsewhere.
    pub edges: Arc<Edges>,
    /// What the server calls itself.
    pub server_id: Arc<str>,
    /// Where it listens.
    pub ports: Ports,
    /// When the server started.
    pub started: SystemTime,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("server_id", &self.server_id).finish_non_exhaustive()
    }
}

impl Api {
    /// The router of the operator's listener; `more` is served to those who may use the API, too.
    pub fn router(self, more: Router) -> Router {
        let guard = middleware::from_fn_with_state(self.clone(), guard::check);
        let open = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .with_state(self.clone());
        let guarded = lal::router(self.clone()).merge(v1::router(self)).merge(more).layer(guard);
        guarded.merge(open).merge(page::operator())
    }

    /// The stream of this path.
    fn exact(&self, name: &str) -> Option<Summary> {
        self.registry.summary(name, Instant::now())
    }

    /// The sessions that take part in a stream.
    fn of_stream(&self, name: &StreamName) -> Vec<Arc<hub::Session>> {
        let mut sessions = self.sessions.all();
        sessions.retain(|session| session.is_in(name));
        sessions
    }
}

async fn ready(State(api): State<Api>) -> Response {
    if api.operations.is_ready() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not ready: the server is stopping\n").into_response()
}
