//! Viewers of HLS as sessions: each has an id in its addresses, and is gone when it asks no more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{AUTHORIZATION, HOST, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use hub::gate::{Action, Denial};
use hub::{Address, EndReason, Kind, Protocol, Role, StreamName};
use md5::{Digest, Md5};
use parking_lot::Mutex;

use super::Response;
use super::respond::{not_found, redirect, refusal};
use crate::admission::{Admission as Shares, Admitted};
use crate::context::{Context, Tenure};
use crate::http::login;
use crate::via;

/// The parameter that carries a viewer's id.
const PARAMETER: &str = "session_id";

/// Those who watch, by the id in their addresses.
#[derive(Debug)]
pub(super) struct Viewers {
    context: Arc<Context>,
    /// Where the settings have no key.
    own_key: String,
    /// How many there are of each address: a viewer outlives its connections.
    shares: Arc<Shares>,
    table: Mutex<HashMap<String, Viewer>>,
}

#[derive(Debug)]
struct Viewer {
    tenure: Tenure,
    _admitted: Admitted,
    stream: StreamName,
    seen: Instant,
    read: u64,
    written: u64,
}

/// What becomes of a request for a playlist.
pub(super) enum Admission {
    /// Viewers are not counted.
    Open,
    /// A viewer that is known: this is added to all addresses.
    Known { query: String },
    /// A new viewer: it gets a session, and an address of its own.
    New,
    /// Nobody who may watch.
    Refused(Response),
}

impl Viewers {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let own_key = format!("{:016x}{:016x}", context.seed(), context.seed());
        let shares = Shares::new(context.settings.load().limits);
        Self { context, own_key, shares, table: Mutex::default() }
    }

    /// Looks who asks for a playlist.
    pub(super) fn admit(&self, request: &Parts, name: &StreamName) -> Admission {
        if !self.are_counted() {
            return Admission::Open;
        }
        let query = request.uri.query().unwrap_or_default();
        if let Some(id) = id_in(query) {
            let mut table = self.table.lock();
            return match table.get_mut(id) {
                Some(viewer) if viewer.stream == *name => {
                    viewer.seen = Instant::now();
                    Admission::Known { query: format!("?{PARAMETER}={id}") }
                }
                _ => {
                    let text = "the session is over: ask for the playlist without session_id";
                    Admission::Refused(not_found(text))
                }
            };
        }
        Admission::New
    }

    /// Begins the session of a new viewer, if it may watch, and sends it to an address of its own.
    pub(super) async fn begin(
        &self,
        request: &Parts,
        peer: SocketAddr,
        name: &StreamName,
    ) -> Response {
        let settings = self.context.settings.load_full();
        self.shares.set_limits(settings.limits);
        let admitted = match self.shares.admit(peer) {
            Ok(admitted) => admitted,
            Err(full) => return refusal(StatusCode::SERVICE_UNAVAILABLE, &full.to_string()),
        };
        let mut tenure = self.open(request, peer, name);
        let authorization = request.headers.get(AUTHORIZATION);
        let credentials = login::credentials(authorization.and_then(|value| value.to_str().ok()));
        let allowed = tenure.ask(Action::Play, Some(name), credentials).await;
        if let Err(denial) = allowed.and_then(|()| tenure.join(name)) {
            let text = denial.to_string();
            tenure.end(&EndReason::Refused(text.clone()));
            let code = StatusCode::from_u16(login::status(&denial).code());
            let mut response = refusal(code.unwrap_or(StatusCode::FORBIDDEN), &text);
            if let Denial::Unknown(_) = denial {
                let challenge = HeaderValue::from_static(login::CHALLENGE);
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            return response;
        }
        let key = settings.hls.session_key.as_ref().unwrap_or(&self.own_key);
        let id = hex(&Md5::digest(format!("{}{key}", tenure.session().id())));
        let query = request.uri.query().unwrap_or_default();
        let mark = if query.is_empty() { "" } else { "&" };
        let location = format!("{}?{query}{mark}{PARAMETER}={id}", request.uri.path());
        let (stream, seen) = (name.clone(), Instant::now());
        let viewer = Viewer { tenure, _admitted: admitted, stream, seen, read: 0, written: 0 };
        self.table.lock().insert(id, viewer);
        redirect(&location)
    }

    /// Whether viewers are sessions: so it is set, or not everybody may watch.
    fn are_counted(&self) -> bool {
        let settings = self.context.settings.load();
        settings.hls.session_key.is_some() || self.context.guards(Action::Play, Protocol::Hls)
    }

    /// Of which of these streams segments may be fetched: who has a session, that one's alone; where
    /// everybody may watch, any.
    pub(super) fn may_fetch(&self, query: &str, mut names: Vec<StreamName>) -> Vec<StreamName> {
        if let Some(id) = id_in(query) {
            let table = self.table.lock();
            let viewer = table.get(id);
            names.retain(|name| viewer.is_some_and(|viewer| viewer.stream == *name));
        } else if self.context.guards(Action::Play, Protocol::Hls) {
            names.clear();
        }
        names
    }

    /// A viewer was sent so many bytes.
    pub(super) fn count(&self, query: &str, bytes: u64) {
        let Some(id) = id_in(query) else { return };
        let mut table = self.table.lock();
        if let Some(viewer) = table.get_mut(id) {
            viewer.seen = Instant::now();
            viewer.read += query.len() as u64;
            viewer.written += bytes;
            viewer.tenure.session().set_totals(viewer.read, viewer.written);
        }
    }

    /// Ends viewers that are silent for longer than `limit`, and those that somebody ended.
    pub(super) fn tick(&self, now: Instant, limit: Duration) {
        self.table.lock().retain(|_, viewer| {
            if let Some(reason) = viewer.tenure.session().ending() {
                viewer.tenure.end(&reason);
                return false;
            }
            let silent = now.saturating_duration_since(viewer.seen) > limit;
            if silent {
                viewer.tenure.end(&EndReason::PeerClosed);
            }
            !silent
        });
    }

    fn open(&self, request: &Parts, peer: SocketAddr, name: &StreamName) -> Tenure {
        let kind = Kind { protocol: Protocol::Hls, role: Role::Sub };
        let tenure = self.context.open(kind, Some(peer));
        let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
        let (app, stream) = name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()));
        let query = request.uri.query().unwrap_or_default();
        let mark = if query.is_empty() { "" } else { "?" };
        let path = request.uri.path();
        tenure.session().assume(
            Role::Sub,
            Address {
                url: format!("http://{}{path}{mark}{query}", host.unwrap_or_default()),
                app_name: app.to_owned(),
                stream_name: stream.to_owned(),
                raw_query: query.to_owned(),
                via: via_of(request),
            },
        );
        tenure
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        for (_, mut viewer) in self.table.get_mut().drain() {
            viewer.tenure.end(&EndReason::Shutdown);
        }
    }
}

/// The servers that a request has come through.
pub(super) fn via_of(request: &Parts) -> String {
    let field = request.headers.get(via::FIELD);
    via::read(field.and_then(|field| field.to_str().ok()))
}

fn id_in(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix(PARAMETER)?.strip_prefix('='))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
