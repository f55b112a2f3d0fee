//! Configurations of lal 0.37: what its keys mean here.
//!
//! Every key is translated, or named in a warning with the reason why it is not: one warning per
//! feature, and none for a feature that is switched off. Keys that are absent have what they have
//! in lal: false, zero or empty, with the few exceptions that it documents. Where lal's and our
//! notions differ:
//!
//! * Streams are found by their name alone, and viewers wait for publishers as long as lal lets
//!   them ([`BEHAVIOUR`]).
//! * `gop_num` holds for RTMP and FLV together: a stream has one cache, the larger number counts.
//!   `single_gop_max_frame_num: 0` is our default, for nothing here grows without bound.
//! * `merge_write_size: 0` is our default flush, not a write per message; above, see
//!   [`flush_after`].
//! * There is one certificate for all listeners.
//! * Access control that is not supported refuses the configuration: a warning would leave open
//!   what was closed.

mod table;

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;
use toml::Value;

use self::table::{FEATURES, KEYS, OPTIONAL};
use super::error::{Error, Place, Problem};
use super::suggest::list;
use super::tree::Tree;
use super::units::Span;

/// What a server does that runs with a configuration of lal's.
const BEHAVIOUR: [(&str, &str); 4] = [
    ("server.identity", "name"),
    // lal looks every 120 s whether anything moved.
    ("server.wait_for_stream", "2m"),
    ("stream.grace", "2m"),
    ("rtmp.publisher_idle", "2m"),
];

/// The keys that are translated, as lal's sample has them. The others are in [`table`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conf {
    rtmp: Rtmp,
    default_http: Listeners,
    httpflv: Flv,
    http_api: Api,
    server_id: Option<String>,
    log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rtmp {
    enable: Option<bool>,
    addr: Option<String>,
    rtmps_enable: Option<bool>,
    rtmps_addr: Option<String>,
    rtmps_cert_file: Option<String>,
    rtmps_key_file: Option<String>,
    gop_num: Option<i64>,
    single_gop_max_frame_num: Option<i64>,
    merge_write_size: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listeners {
    http_listen_addr: Option<String>,
    https_listen_addr: Option<String>,
    https_cert_file: Option<String>,
    https_key_file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Flv {
    enable: Option<bool>,
    enable_https: Option<bool>,
    url_pattern: Option<String>,
    gop_num: Option<i64>,
    single_gop_max_frame_num: Option<i64>,
    http_listen_addr: Option<String>,
    https_listen_addr: Option<String>,
    https_cert_file: Option<String>,
    https_key_file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Api {
    enable: Option<bool>,
    addr: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Log {
    level: Option<i64>,
    filename: Option<String>,
    is_to_stdout: Option<bool>,
    is_rotate_daily: Option<bool>,
    is_rotate_hourly: Option<bool>,
}

/// Reads a configuration of lal's as one of ours. `exists` says whether a file does.
pub(super) fn translate(
    file: &Arc<str>,
    text: &str,
    exists: &dyn Fn(&Path) -> bool,
    warnings: &mut Vec<String>,
) -> Result<Tree, Error> {
    let at = |line, column| Place::File { file: file.clone(), at: Some((line, column)) };
    let json: Json = serde_json::from_str(text)
        .map_err(|error| Problem::new(at(error.line(), error.column()), "", reason(&error)))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let conf: Conf = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let inner = error.inner();
        let key = error.path().to_string();
        Problem::new(at(inner.line(), inner.column()), &key, reason(inner))
    })?;
    let mut translation = Translation { file, tree: Tree::default(), warnings };
    for (ours, value) in BEHAVIOUR {
        let place = Place::File { file: file.clone(), at: None };
        translation.tree.merge(Tree::single(ours, Value::from(value), place));
    }
    translation.listeners(&conf, exists);
    translation.caches(&conf);
    translation.rest(&conf);
    translation.name_the_rest(&json);
    let tree = translation.tree;
    Error::unless_empty(lost_protection(file, &json))?;
    Ok(tree)
}

/// What serde says, without the place, which we say ourselves.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

struct Translation<'a> {
    file: &'a Arc<str>,
    tree: Tree,
    warnings: &'a mut Vec<String>,
}

impl Translation<'_> {
    fn put(&mut self, ours: &str, value: Value, theirs: &'static str) {
        let place = Place::Lal { file: self.file.clone(), key: theirs };
        self.tree.merge(Tree::single(ours, value, place));
    }

    /// Puts an address where a listener is enabled, and none where it is not.
    fn listen(&mut self, ours: &str, enabled: bool, address: Option<&str>, theirs: &'static str) {
        let addresses = match (enabled, address) {
            (false, _) => Vec::new(),
            (true, Some(address)) if !address.is_empty() => {
                // The only host name that needs no look-up.
                let address = match address.strip_prefix("localhost:") {
                    Some(port) => format!("127.0.0.1:{port}"),
                    None => address.to_owned(),
                };
                vec![Value::from(address)]
            }
            // An empty address is a port by chance in lal, which nobody can have meant.
            (true, _) => return,
        };
        self.put(ours, Value::Array(addresses), theirs);
    }

    /// The certificate, and whether RTMPS and HTTPS are served with it.
    fn certificate(&mut self, conf: &Conf, exists: &dyn Fn(&Path) -> bool) -> (bool, bool) {
        let Conf { rtmp, default_http: http, httpflv: flv, .. } = conf;
        let (rtmps, https) = (on(rtmp.rtmps_enable), on(flv.enable_https));
        let https_files = (
            either(&flv.https_cert_file, &http.https_cert_file),
            either(&flv.https_key_file, &http.https_key_file),
        );
        let rtmps_files = (rtmp.rtmps_cert_file.as_deref(), rtmp.rtmps_key_file.as_deref());
        let ((cert, private), key) = match (https, rtmps) {
            (false, false) => return (false, false),
            (true, _) => (https_files, "default_http.https_cert_file"),
            (false, true) => (rtmps_files, "rtmp.rtmps_cert_file"),
        };
        if rtmps && https && rtmps_files != https_files {
            self.warnings.push(
                "rtmp.rtmps_cert_file and rtmp.rtmps_key_file are not those of HTTPS; there is one \
                 certificate for all listeners, and that of HTTPS is taken"
                    .to_owned(),
            );
        }
        let (cert, private) = (cert.unwrap_or_default(), private.unwrap_or_default());
        if !exists(Path::new(cert)) || !exists(Path::new(private)) {
            // lal logs this and goes on without the listener.
            self.warnings.push(format!(
                "{key}: {cert:?} or its key {private:?} is not there; nothing is served with TLS"
            ));
            return (false, false);
        }
        self.put("tls.cert", Value::from(cert), key);
        self.put("tls.key", Value::from(private), key);
        (rtmps, https)
    }

    fn listeners(&mut self, conf: &Conf, exists: &dyn Fn(&Path) -> bool) {
        let Conf { rtmp, default_http: http, httpflv: flv, http_api: api, .. } = conf;
        let (rtmps, https) = self.certificate(conf, exists);

        let plain = on(rtmp.enable);
        self.put("rtmp.enable", Value::from(plain || rtmps), "rtmp.enable");
        self.listen("rtmp.listen", plain, rtmp.addr.as_deref(), "rtmp.addr");
        self.listen("rtmp.tls_listen", rtmps, rtmp.rtmps_addr.as_deref(), "rtmp.rtmps_addr");

        let address = either(&flv.http_listen_addr, &http.http_listen_addr);
        let tls_address = either(&flv.https_listen_addr, &http.https_listen_addr);
        let plain = on(flv.enable);
        self.put("flv.enable", Value::from(plain || https), "httpflv.enable");
        self.listen("http.listen", plain, address, "default_http.http_listen_addr");
        let key = "default_http.https_listen_addr";
        self.listen("http.tls_listen", https, tls_address, key);
        let pattern = match flv.url_pattern.as_deref().unwrap_or("/live/").trim_matches('/') {
            "" => "/".to_owned(),
            inner => format!("/{inner}/"),
        };
        self.put("flv.url_prefix", Value::from(pattern), "httpflv.url_pattern");

        self.put("api.enable", Value::from(on(api.enable)), "http_api.enable");
        self.listen("api.listen", on(api.enable), api.addr.as_deref(), "http_api.addr");
    }

    fn caches(&mut self, conf: &Conf) {
        let Conf { rtmp, httpflv: flv, .. } = conf;
        let by_rtmp = on(rtmp.enable) || on(rtmp.rtmps_enable);
        let by_flv = on(flv.enable) || on(flv.enable_https);
        let mut larger = |of_rtmp: Option<i64>, of_flv: Option<i64>, key: &str| {
            let (a, b) = (of_rtmp.unwrap_or(0), of_flv.unwrap_or(0));
            if by_rtmp && by_flv && a != b {
                self.warnings.push(format!(
                    "rtmp.{key} and httpflv.{key} differ; a stream has one cache for both, and \
                     the larger number counts"
                ));
            }
            match (by_rtmp, by_flv) {
                (true, false) => a,
                (false, true) => b,
                _ => a.max(b),
            }
        };
        let gops = larger(rtmp.gop_num, flv.gop_num, "gop_num");
        let key = "single_gop_max_frame_num";
        let frames = larger(rtmp.single_gop_max_frame_num, flv.single_gop_max_frame_num, key);
        self.put("stream.gops", Value::from(gops), "rtmp.gop_num");
        if frames != 0 {
            let key = "rtmp.single_gop_max_frame_num";
            self.put("stream.max_gop_frames", Value::from(frames), key);
        }
        match rtmp.merge_write_size {
            Some(bytes) if bytes > 0 => {
                let delay = flush_after(bytes).to_string();
                self.put("stream.flush_after", Value::from(delay), "rtmp.merge_write_size");
            }
            _ => {}
        }
    }

    fn rest(&mut self, conf: &Conf) {
        if let Some(id) = conf.server_id.as_deref().filter(|id| !id.is_empty()) {
            self.put("server.id", Value::from(id), "server_id");
        }
        let log = &conf.log;
        let level = match log.level {
            Some(0) => "trace",
            None | Some(1) => "debug",
            Some(2) => "info",
            Some(3) => "warn",
            Some(7) => "off",
            // Error, fatal, panic: no line here ends the process.
            Some(_) => "error",
        };
        self.put("log.level", Value::from(level), "log.level");
        let file = log.filename.as_deref().unwrap_or("./logs/lalserver.log");
        self.put("log.file", Value::from(file), "log.filename");
        let terminal = log.is_to_stdout.unwrap_or(true);
        self.put("log.to_terminal", Value::from(terminal), "log.is_to_stdout");
        let rotation = match (log.is_rotate_hourly, log.is_rotate_daily) {
            (Some(true), _) => "hourly",
            (_, Some(false)) => "never",
            _ => "daily",
        };
        self.put("log.rotation", Value::from(rotation), "log.is_rotate_daily");
    }

    /// Names every key that is not translated, and those that are missed.
    fn name_the_rest(&mut self, json: &Json) {
        let present = leaves(json);
        for feature in FEATURES {
            let keys: Vec<_> = present
                .iter()
                .map(|(key, _)| key.as_str())
                .filter(|key| feature.keys.contains(key))
                .collect();
            if !keys.is_empty() && feature.is_wanted(json) {
                let which = if keys.len() == 1 { "has" } else { "have" };
                let keys = list(&keys);
                self.warnings.push(format!("{keys} {which} no effect: {}", feature.reason));
            }
        }
        let is_known = |key: &str| {
            KEYS.contains(&key) || FEATURES.iter().any(|feature| feature.keys.contains(&key))
        };
        let is_comment = |key: &str| key.split('.').any(|item| item.starts_with('#'));
        for (key, _) in &present {
            if !is_comment(key) && !is_known(key) {
                self.warnings.push(format!("{key} is not a key of lal's: it has no effect"));
            }
        }
        let is_missing = |key: &&&str| {
            !OPTIONAL.contains(*key) && !present.iter().any(|(there, _)| there == **key)
        };
        let missing: Vec<_> = KEYS.iter().filter(is_missing).collect();
        if !missing.is_empty() {
            self.warnings.push(format!(
                "not set, so that they are what they are in lal, off, empty or zero as a rule: {}",
                missing.into_iter().copied().collect::<Vec<_>>().join(", ")
            ));
        }
    }
}

fn on(flag: Option<bool>) -> bool {
    flag == Some(true)
}

/// A protocol's own setting, or the one for all.
fn either<'a>(own: &'a Option<String>, all: &'a Option<String>) -> Option<&'a str> {
    own.as_deref().or(all.as_deref())
}

/// How long a write is held back when lal would have collected so many bytes: as long as a stream
/// of 2 Mbit/s takes to send them, but at least our default and at most what viewers bear.
fn flush_after(bytes: i64) -> Span {
    const BYTES_PER_MILLISECOND: u64 = 250;
    Span::from_millis((bytes.unsigned_abs() / BYTES_PER_MILLISECOND).clamp(20, 350))
}

/// Access control that was in force and would not be here.
fn lost_protection(file: &Arc<str>, json: &Json) -> Vec<Problem> {
    let flags = json.get("simple_auth").and_then(Json::as_object).into_iter().flatten();
    let mut problems = Vec::new();
    for (flag, _) in flags.filter(|(key, value)| key.ends_with("_enable") && is_set(value)) {
        // What is not served needs no guard.
        if ["pub_rtmp_enable", "sub_rtmp_enable", "sub_httpflv_enable"].contains(&flag.as_str()) {
            let place = Place::File { file: file.clone(), at: None };
            let key = format!("simple_auth.{flag}");
            let problem = Problem::new(place, &key, "access control is not supported yet");
            problems.push(problem.remedy("set it to false to let everybody in"));
        }
    }
    problems
}

/// Whether a value asks for anything: not false, zero or empty.
fn is_set(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(flag) => *flag,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(members) => !members.is_empty(),
    }
}

/// The value of a dotted key.
fn at<'a>(json: &'a Json, key: &str) -> Option<&'a Json> {
    key.split('.').try_fold(json, |json, item| json.get(item))
}

/// Every key that has a value, by its dotted path. lal's keys are at most two deep.
fn leaves(json: &Json) -> Vec<(String, &Json)> {
    let members = json.as_object().into_iter().flatten();
    let mut all = Vec::new();
    for (name, value) in members {
        match value {
            Json::Object(inner) => {
                all.extend(inner.iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => all.push((name.clone(), value)),
        }
    }
    all
}
