//! Who may use the API.
//!
//! This host may, unless a token is set; others need one. Pages of other sites that an operator
//! visits must not reach it through the operator's browser: names that lead here from elsewhere are
//! refused (DNS rebinding) unless the operator names them, and so is what another site asks for,
//! unless the operator lets its pages read.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    ACCEPT_LANGUAGE, AUTHORIZATION, HOST, HeaderValue, ORIGIN, REFERER, USER_AGENT,
    WWW_AUTHENTICATE,
};
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
    answers: Answers,
    /// What this host calls itself.
    own_name: Option<String>,
}

/// What is answered to those who may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    /// Whether lal's endpoints say more than 200: faults have statuses of HTTP.
    pub status_codes: bool,
    /// Sites whose pages may read without a token, where this host may.
    pub origins: Vec<String>,
    /// Names by which this server may be asked without a token, beside those that lead nowhere
    /// else; `*` for any, by programs that are no browser.
    pub hosts: Vec<String>,
}

impl Guard {
    /// A guard that asks for `key`.
    #[must_use]
    pub fn new(key: Key, answers: Answers) -> Self {
        Self { rules: RwLock::new(Rules { key, answers, own_name: own_name() }) }
    }

    /// Changes what is asked for.
    pub fn set_key(&self, key: Key) {
        self.rules.write().key = key;
    }

    /// Changes what is answered.
    pub fn set_answers(&self, answers: Answers) {
        self.rules.write().answers = answers;
    }

    /// Whether pages of this site may read. Images and scripts do not say what site they are of.
    fn lets_read(&self, origin: Option<&str>) -> bool {
        let origins = &self.rules.read().answers.origins;
        origins.iter().any(|known| known == "*" || origin == Some(known))
    }

    pub(super) fn has_status_codes(&self) -> bool {
        self.rules.read().answers.status_codes
    }

    /// Whether requests for this `Host` may be meant for this server. Programs look names up for
    /// those who run them; a browser does so for every page.
    fn is_called(&self, host: &str, by_browser: bool) -> bool {
        let name = without_port(host);
        let rules = self.rules.read();
        let is_own = |own: &String| {
            own.eq_ignore_ascii_case(name)
                || name.strip_suffix(".local").is_some_and(|name| own.eq_ignore_ascii_case(name))
        };
        let is_named =
            |known: &String| known.eq_ignore_ascii_case(name) || (known == "*" && !by_browser);
        leads_here(name)
            || rules.own_name.as_ref().is_some_and(is_own)
            || rules.answers.hosts.iter().any(is_named)
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
            return unauthorized(request.uri().path());
        }
        let (method, path) = (request.method(), request.uri().path());
        if let Err(text) = is_from_here(&api.guard, method, path, headers) {
            return refusal(path, StatusCode::FORBIDDEN, text);
        }
    }
    next.run(request).await
}

/// Says why not: in lal's envelope where its clients ask. They need the status, too: a program that
/// looks at nothing else must not take a refusal for a success.
fn refusal(path: &str, status: StatusCode, text: &str) -> Response {
    let is_lals = path.starts_with("/api/") && !path.starts_with("/api/v1/");
    let body = match is_lals {
        true => json!({ "error_code": status.as_u16(), "desp": text }),
        false => json!({ "error": text }),
    };
    (status, Json(body)).into_response()
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

fn unauthorized(path: &str) -> Response {
    let text = "this needs a token: Authorization: Bearer TOKEN; see api.token and api.token_file";
    let mut response = refusal(path, StatusCode::UNAUTHORIZED, text);
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
    if host.is_some_and(|host| !guard.is_called(host, is_browser(headers))) {
        return Err("names may lead here from elsewhere: ask by address, such as \
                    http://127.0.0.1:8083, or with a token, or name the name in api.hosts");
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
    // Over plain HTTP, pictures of other sites come without either; only the page that asks is named.
    let named = headers.get(REFERER).and_then(|page| page.to_str().ok());
    let same_page = named.and_then(|page| page.split_once("://")).is_some_and(|(_, rest)| {
        host.is_some_and(|host| rest.split(['/', '?', '#']).next() == Some(host))
    });
    let is_told = origin.is_some() || site.is_some() || same_page;
    if path.starts_with("/api/ctrl/") && !is_told && is_browser(headers) {
        return Err("a browser may change something here from this page alone, or with a token");
    }
    if is_foreign && changes {
        return Err("pages of other sites may change nothing here without a token");
    }
    if is_foreign && reads && !guard.lets_read(origin) {
        return Err("pages of other sites may not read here without a token: see api.origins");
    }
    Ok(())
}

/// Whether a request looks like one of a browser. Pages cannot hide all of this: that browsers say
/// what languages are wanted, and the site of a request that changes something; over plain HTTP,
/// they do not say where a request to the page's own site is from.
fn is_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    agent.starts_with(b"Mozilla/")
        || [ORIGIN.as_str(), ACCEPT_LANGUAGE.as_str(), "sec-fetch-site", "sec-fetch-mode"]
            .iter()
            .any(|name| headers.contains_key(*name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a name of a `Host` cannot be made to lead elsewhere: it is an address, or a name of this
/// host or its network, which nobody on the Internet can have.
fn leads_here(name: &str) -> bool {
    let number = name.trim_start_matches('[').trim_end_matches(']');
    let is_local = !name.is_empty() && !name.contains('.');
    is_local || number.parse::<IpAddr>().is_ok()
}

/// What this host calls itself, where the system says.
fn own_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(key: Key, origins: &[&str], hosts: &[&str]) -> Guard {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let answers = Answers { origins: own(origins), hosts: own(hosts), ..Answers::default() };
        Guard::new(key, answers)
    }

    #[test]
    fn addresses_and_names_without_a_dot_lead_here() {
        let usual = guard(Key::Open, &[], &[]);
        for host in [
            "127.0.0.1",
            "127.0.0.1:8083",
            "[::1]:8083",
            "[2001:db8::1]",
            "localhost:1",
            "LOCALHOST",
            "10.0.0.1",
            "media:8083",
        ] {
            assert!(usual.is_called(host, true), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example:8083", "", ":8083", "127.0.0.1.evil.example"]
        {
            assert!(!usual.is_called(host, false), "{host}");
        }
    }

    #[test]
    fn names_lead_here_that_are_this_hosts_or_set() {
        let guard = guard(Key::Open, &[], &["media.example"]);
        assert!(guard.is_called("media.example:8083", true));
        assert!(guard.is_called("Media.Example", true));
        assert!(!guard.is_called("other.media.example", true));
        guard.rules.write().own_name = Some("Camera-Hub.lan".to_owned());
        assert!(guard.is_called("camera-hub.lan:8083", true));
        assert!(!guard.is_called("camera-hub.evil.example", true));
        guard.rules.write().own_name = Some("camera-hub".to_owned());
        assert!(guard.is_called("camera-hub.local", true));
    }

    #[test]
    fn programs_may_use_any_name_where_that_is_set_and_browsers_may_not() {
        let guard = guard(Key::Open, &[], &["*"]);
        let ask = |more: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("media.example:8083"));
            for (name, value) in more {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_from_here(&guard, &Method::GET, "/api/stat/all_group", &headers).is_ok()
        };
        assert!(ask(&[]));
        assert!(ask(&[("user-agent", "Go-http-client/1.1"), ("accept-encoding", "gzip")]));
        for header in [
            ("origin", "http://media.example:8083"),
            ("sec-fetch-site", "same-origin"),
            ("accept-language", "en"),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ] {
            assert!(!ask(&[header]), "{header:?}");
        }
    }

    #[test]
    fn lals_clients_are_refused_in_lals_envelope() {
        let body = |path: &str| {
            let response = refusal(path, StatusCode::FORBIDDEN, "no");
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            let bytes = axum::body::to_bytes(response.into_body(), 1000);
            let mut bytes = std::pin::pin!(bytes);
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(Ok(bytes)) = bytes.as_mut().poll(&mut cx) else { panic!() };
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        for path in ["/api/stat/all_group", "/api/ctrl/kick_session"] {
            assert_eq!(body(path), r#"{"desp":"no","error_code":403}"#, "{path}");
        }
        for path in ["/api/v1/streams", "/metrics"] {
            assert_eq!(body(path), r#"{"error":"no"}"#, "{path}");
        }
    }

    #[test]
    fn other_sites_may_change_nothing_and_read_where_they_are_let() {
        let closed = guard(Key::Open, &[], &[]);
        let one = guard(Key::Open, &["https://board.example"], &[]);
        let all = guard(Key::Open, &["*"], &[]);
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

    /// Browsers say where a request is from by `Origin` and Fetch Metadata, but not over plain HTTP
    /// when they fetch pictures.
    #[test]
    fn pictures_of_other_sites_change_nothing() {
        let guard = guard(Key::Open, &[], &[]);
        let ask = |path, more: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in [("host", "10.0.0.5:8083")].iter().chain(more) {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_from_here(&guard, &Method::GET, path, &headers).is_ok()
        };
        let browser = ("user-agent", "Mozilla/5.0");
        let page = |url| ("referer", url);
        let change = "/api/ctrl/stop_relay_pull";
        assert!(!ask(change, &[browser]));
        assert!(!ask(change, &[browser, page("http://evil.example/")]));
        assert!(!ask(change, &[browser, page("http://evil.example/http://10.0.0.5:8083/")]));
        assert!(ask(change, &[browser, page("http://10.0.0.5:8083/?stream=x")]));
        assert!(ask(change, &[("user-agent", "Go-http-client/1.1")]));
        assert!(ask("/api/stat/group", &[browser]));
    }

    #[test]
    fn who_needs_a_token() {
        let [local, other] = ["127.0.0.1", "192.0.2.1"].map(|ip| ip.parse().unwrap());
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let others = guard(Key::Others("secret".to_owned()), &[], &[]);
        assert!(others.is_open_to(local) && others.is_open_to(mapped) && !others.is_open_to(other));
        assert!(others.accepts("secret") && !others.accepts("secre") && !others.accepts(""));
        let all = guard(Key::Everybody("secret".to_owned()), &[], &[]);
        assert!(!all.is_open_to(local));
        assert!(!guard(Key::Others(String::new()), &[], &[]).accepts(""));
        let open = guard(Key::Open, &[], &[]);
        assert!(open.is_open_to(other) && !open.accepts("whatever"));
    }
}
