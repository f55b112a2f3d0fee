//! Who may use the API.
//!
//! This host may, unless a token is set; others need one. Pages of other sites that an operator
//! visits must not reach it through the operator's browser: names that lead here from elsewhere are
//! refused (DNS rebinding), and so is what another site asks for, unless the operator lets its pages
//! read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::gate::{Credentials, Proof};
use parking_lot::RwLock;
use serde_json::json;

use super::Api;

/// What is asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    /// Nothing.
    Open,
    /// This token, of everybody.
    Everybody(String),
    /// This token, of other hosts.
    Others(String),
}

/// Without the token.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Everybody(_) => "Everybody",
            Self::Others(_) => "Others",
        })
    }
}

/// Decides who may use the API.
#[derive(Debug)]
pub struct Guard {
    rules: RwLock<Rules>,
}

#[derive(Debug)]
struct Rules {
    key: Key,
    /// lal's endpoints answer faults with statuses of HTTP.
    status_codes: bool,
    /// Sites whose pages may read.
    origins: Vec<String>,
}

impl Guard {
    /// A guard that asks for `key`. With `status_codes`, lal's endpoints say more than 200; pages of
    /// the sites `origins` may read without a token, where this host may.
    #[must_use]
    pub fn new(key: Key, status_codes: bool, origins: Vec<String>) -> Self {
        Self { rules: RwLock::new(Rules { key, status_codes, origins }) }
    }

    /// Changes what is asked for.
    pub fn set_key(&self, key: Key) {
        self.rules.write().key = key;
    }

    /// Changes how lal's endpoints answer, and which sites may read.
    pub fn set_answers(&self, status_codes: bool, origins: Vec<String>) {
        let mut rules = self.rules.write();
        (rules.status_codes, rules.origins) = (status_codes, origins);
    }

    /// Whether pages of this site may read. Images and scripts do not say what site they are of.
    fn lets_read(&self, origin: Option<&str>) -> bool {
        let origins = &self.rules.read().origins;
        origins.iter().any(|known| known == "*" || origin == Some(known))
    }

    pub(super) fn has_status_codes(&self) -> bool {
        self.rules.read().status_codes
    }

    /// Whether nothing needs to be shown by somebody from this address.
    fn is_open_to(&self, peer: IpAddr) -> bool {
        match self.rules.read().key {
            Key::Open => true,
            Key::Everybody(_) => false,
            Key::Others(_) => peer.to_canonical().is_loopback(),
        }
    }

    fn accepts(&self, token: &str) -> bool {
        match &self.rules.read().key {
            // Whatever is shown proves nothing about who shows it.
            Key::Open => false,
            // Nobody has made an empty one.
            Key::Everybody(key) | Key::Others(key) => {
                !key.is_empty() && Proof::Password(token.to_owned()).shows(key)
            }
        }
    }
}

/// Lets requests through that may be made.
pub(super) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let Some(peer) = peer else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let headers = request.headers();
    let shows_token = bearer(headers).is_some_and(|token| api.guard.accepts(token));
    if !shows_token {
        if !api.guard.is_open_to(peer.ip()) {
            if api.access.admits_to_api(&credentials(headers), peer).await {
                return next.run(request).await;
            }
            return unauthorized();
        }
        let (method, path) = (request.method(), request.uri().path());
        if let Err(text) = is_from_here(&api.guard, method, path, headers) {
            return (StatusCode::FORBIDDEN, Json(json!({ "error": text }))).into_response();
        }
    }
    next.run(request).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A token, or name and password (RFC 7617), if there are any.
fn credentials(headers: &HeaderMap) -> Credentials {
    if let Some(token) = bearer(headers) {
        return Credentials { token: Some(token.to_owned()), ..Credentials::default() };
    }
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let basic = value.and_then(|value| value.split_once(' '));
    let basic = basic.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let decoded = basic.and_then(|(_, rest)| STANDARD.decode(rest.trim()).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|login| login.split_once(':')) {
        Some((user, password)) => Credentials {
            user: Some(user.to_owned()),
            proof: Some(Proof::Password(password.to_owned())),
            token: None,
        },
        None => Credentials::default(),
    }
}

fn unauthorized() -> Response {
    let text = "this needs a token: Authorization: Bearer TOKEN; see api.token and api.token_file";
    let mut response = (StatusCode::UNAUTHORIZED, Json(json!({ "error": text }))).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Whether a request without a token can come from somebody who wants it, and not from a page of
/// another site that the operator visits.
fn is_from_here(
    guard: &Guard,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<(), &'static str> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(|host| !is_address(host)) {
        return Err(
            "ask by address, such as http://127.0.0.1:8083, or with a token: names may lead \
                    here from elsewhere",
        );
    }
    let changes = *method != Method::GET || path.starts_with("/api/ctrl/");
    let origin = headers.get(ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    let same = |origin: &str| origin.split_once("://").map(|(_, rest)| rest) == host;
    // Images and links have no origin; browsers say where they are from, though (Fetch Metadata).
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_foreign = origin.is_some_and(|origin| !same(origin))
        || site.is_some_and(|site| site != b"same-origin" && site != b"none");
    // An operator may follow a link that leads here.
    let follows_link = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    let tells = path.starts_with("/api/") || path.starts_with("/record/") || path == "/metrics";
    let reads = tells && !follows_link;
    if is_foreign && changes {
        return Err("pages of other sites may change nothing here without a token");
    }
    if is_foreign && reads && !guard.lets_read(origin) {
        return Err("pages of other sites may not read here without a token: see api.origins");
    }
    Ok(())
}

/// Whether a `Host` is a number or this host's own name, neither of which can be made to lead
/// elsewhere.
fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let number = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || number.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_localhost_lead_here() {
        for host in
            ["127.0.0.1", "127.0.0.1:8083", "[::1]:8083", "localhost:1", "LOCALHOST", "10.0.0.1"]
        {
            assert!(is_address(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8083", "", "127.0.0.1.evil.example"] {
            assert!(!is_address(host), "{host}");
        }
    }

    #[test]
    fn other_sites_may_change_nothing_and_read_where_they_are_let() {
        let closed = Guard::new(Key::Open, false, Vec::new());
        let one = Guard::new(Key::Open, false, vec!["https://board.example".to_owned()]);
        let all = Guard::new(Key::Open, false, vec!["*".to_owned()]);
        let guard = std::cell::Cell::new(&closed);
        let ask = |method, path, host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            is_from_here(guard.get(), &method, path, &headers).is_ok()
        };
        let here = "127.0.0.1:8083";
        assert!(ask(Method::POST, "/api/v1/streams/kick", here, None));
        assert!(ask(Method::POST, "/api/v1/streams/kick", here, Some("http://127.0.0.1:8083")));
        assert!(!ask(Method::POST, "/api/v1/streams/kick", here, Some("https://evil.example")));
        assert!(!ask(Method::POST, "/api/v1/streams/kick", here, Some("null")));
        assert!(!ask(Method::GET, "/api/ctrl/stop_relay_pull", here, Some("https://evil.example")));
        let reads = |site| ask(Method::GET, "/api/stat/group", here, Some(site));
        assert!(reads("http://127.0.0.1:8083") && !reads("https://board.example"));
        guard.set(&one);
        assert!(reads("https://board.example") && !reads("https://evil.example"));
        guard.set(&all);
        assert!(reads("https://evil.example"));
        assert!(!ask(Method::POST, "/api/v1/streams/kick", here, Some("https://evil.example")));
        guard.set(&closed);
        assert!(!ask(Method::GET, "/api/stat/group", "evil.example:8083", None));
        let fetched_by = |path, site, mode| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(here));
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            headers.insert("sec-fetch-mode", HeaderValue::from_static(mode));
            is_from_here(guard.get(), &Method::GET, path, &headers).is_ok()
        };
        let fetched = |path, site| fetched_by(path, site, "no-cors");
        assert!(!fetched("/api/ctrl/stop_relay_pull", "cross-site"), "an image on another page");
        assert!(fetched("/api/ctrl/stop_relay_pull", "none"), "typed by the operator");
        assert!(fetched("/api/ctrl/stop_relay_pull", "same-origin"));
        assert!(!fetched("/api/stat/group", "cross-site"));
        assert!(fetched_by("/api/stat/group", "cross-site", "navigate"), "a link was followed");
        assert!(fetched("/", "cross-site"));
        assert!(!ask(Method::GET, "/record/hls/a/record.m3u8", here, Some("https://evil.example")));
        assert!(!fetched("/metrics", "cross-site"));
    }

    #[test]
    fn who_needs_a_token() {
        let [local, other] = ["127.0.0.1", "192.0.2.1"].map(|ip| ip.parse().unwrap());
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let others = Guard::new(Key::Others("secret".to_owned()), false, Vec::new());
        assert!(others.is_open_to(local) && others.is_open_to(mapped) && !others.is_open_to(other));
        assert!(others.accepts("secret") && !others.accepts("secre") && !others.accepts(""));
        let all = Guard::new(Key::Everybody("secret".to_owned()), false, Vec::new());
        assert!(!all.is_open_to(local));
        assert!(!Guard::new(Key::Others(String::new()), false, Vec::new()).accepts(""));
        let open = Guard::new(Key::Open, false, Vec::new());
        assert!(open.is_open_to(other) && !open.accepts("whatever"));
    }
}
