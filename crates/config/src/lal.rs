//! Configurations of lal 0.37: what its keys mean here.
//!
//! Every key is translated, or named in a warning with the reason why it is not: one warning per
//! feature, and none for a feature that is switched off. Keys that are absent have what they have
//! in lal: false, zero or empty, with the few exceptions that it documents. Where lal's and our
//! notions differ:
//!
//! * The text is read as Go reads it: see [`read`].
//! * Streams are found by their name alone, and viewers wait for publishers as long as lal lets
//!   them ([`BEHAVIOUR`]).
//! * `gop_num` holds for RTMP, FLV and TS together: a stream has one cache, the larger number counts.
//!   `single_gop_max_frame_num: 0` is our default, for nothing here grows without bound.
//! * `merge_write_size: 0` is our default flush, not a write per message; above, see
//!   [`flush_after`].
//! * There is one certificate for all listeners: the first that is there.
//! * A `hls.url_pattern` of `/` takes what no other pattern does; here it would take everything, and
//!   is `/hls/`.
//! * Numbers that are out of range here are taken as the nearest one that is not, with a warning.

mod auth;
mod certificate;
mod dummy_audio;
mod listeners;
mod notify;
mod read;
mod relay;
mod table;

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;
use toml::Value;

use self::auth::SimpleAuth;
use self::dummy_audio::DummyAudio;
use self::notify::Notify;
use self::relay::{RelayPull, RelayPush};
use self::table::{FEATURES, KEYS, OPTIONAL};
use super::Config;
use super::error::{Error, Place, Problem};
use super::suggest::list;
use super::tree::Tree;
use super::units::Span;

/// What a server does that runs with a configuration of lal's.
const BEHAVIOUR: [(&str, &str); 6] = [
    ("server.identity", "name"),
    // lal looks every 120 s whether anything moved.
    ("server.wait_for_stream", "2m"),
    ("stream.grace", "2m"),
    // Files end with their publisher.
    ("stream.record_grace", "0s"),
    ("rtmp.publisher_idle", "2m"),
    ("relay.source_idle", "2m"),
];

/// What addresses of HLS begin with in lal's sample, and here where it is not said.
const HLS_PREFIX: &str = "/hls/";

/// The keys that are translated, as lal's sample has them. The others are in [`table`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conf {
    rtmp: Rtmp,
    in_session: DummyAudio,
    rtsp: Rtsp,
    default_http: Listeners,
    httpflv: Served,
    httpts: Served,
    hls: Hls,
    record: Record,
    http_api: Api,
    http_notify: Notify,
    simple_auth: SimpleAuth,
    relay_push: RelayPush,
    static_relay_pull: RelayPull,
    relay_pull: RelayPull,
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
    #[serde(flatten)]
    dummy_audio: DummyAudio,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rtsp {
    enable: Option<bool>,
    addr: Option<String>,
    rtsps_enable: Option<bool>,
    rtsps_addr: Option<String>,
    rtsps_cert_file: Option<String>,
    rtsps_key_file: Option<String>,
    out_wait_key_frame_flag: Option<bool>,
    ws_rtsp_enable: Option<bool>,
    ws_rtsp_addr: Option<String>,
    auth_enable: Option<bool>,
    auth_method: Option<i64>,
    username: Option<String>,
    password: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listeners {
    http_listen_addr: Option<String>,
    https_listen_addr: Option<String>,
    https_cert_file: Option<String>,
    https_key_file: Option<String>,
}

/// What is served over HTTP: FLV, MPEG-TS, HLS.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Served {
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
struct Hls {
    #[serde(flatten)]
    served: Served,
    out_path: Option<String>,
    fragment_duration_ms: Option<i64>,
    fragment_num: Option<i64>,
    delete_threshold: Option<i64>,
    cleanup_mode: Option<i64>,
    use_memory_as_disk_flag: Option<bool>,
    sub_session_timeout_ms: Option<i64>,
    sub_session_hash_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    enable_flv: Option<bool>,
    flv_out_path: Option<String>,
    enable_mpegts: Option<bool>,
    mpegts_out_path: Option<String>,
}

impl Served {
    fn is_wanted(&self) -> bool {
        on(self.enable) || on(self.enable_https)
    }
}

impl Conf {
    /// All that is served over HTTP.
    fn served(&self) -> [&Served; 3] {
        [&self.httpflv, &self.httpts, &self.hls.served]
    }
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
    let json = read::read(text)
        .map_err(|error| Problem::new(at(error.line(), error.column()), "", reason(&error)))?;
    let conf: Conf = serde_path_to_error::deserialize(&json).map_err(|error| {
        let (line, column) = read::place(text, error.path()).unwrap_or((1, 1));
        let key = error.path().to_string();
        Problem::new(at(line, column), &key, reason(error.inner()))
    })?;
    let mut translation = Translation { file, tree: Tree::default(), warnings };
    for (ours, value) in BEHAVIOUR {
        let place = Place::File { file: file.clone(), at: None };
        translation.tree.merge(Tree::single(ours, Value::from(value), place));
    }
    translation.listeners(&conf, exists);
    translation.hls(&conf);
    translation.records(&conf);
    translation.caches(&conf);
    conf.in_session.translate(&conf.rtmp.dummy_audio, &mut translation);
    conf.http_notify.translate(&mut translation);
    conf.simple_auth.translate(&mut translation);
    conf.relay_push.translate(&mut translation);
    conf.relay_pull.translate(&mut translation, "relay_pull.addr");
    conf.static_relay_pull.translate(&mut translation, "static_relay_pull.addr");
    translation.rest(&conf);
    translation.name_the_rest(&json);
    let tree = translation.tree;
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

    /// Puts a number, or the nearest one that can be used here, which is said then: lal starts with
    /// any.
    fn put_within(&mut self, ours: &str, value: i64, theirs: &'static str) {
        let Some((least, most)) = range(ours) else {
            return self.put(ours, Value::from(value), theirs);
        };
        let taken = value.clamp(least.number, most.number);
        if taken != value {
            let bound = if taken == least.number { least.text } else { most.text };
            self.warnings.push(format!(
                "{theirs}: {value} is more or less than {ours} can be here; it is {bound} now"
            ));
        }
        self.put(ours, Value::from(taken), theirs);
    }

    fn hls(&mut self, conf: &Conf) {
        let hls = &conf.hls;
        let enabled = hls.served.is_wanted();
        self.put("hls.enable", Value::from(enabled), "hls.enable");
        if !enabled {
            return;
        }
        let pattern = hls.served.url_pattern.as_deref().filter(|pattern| !pattern.is_empty());
        let prefix = match pattern.map(slashes) {
            Some(prefix) if prefix != "/" => prefix,
            Some(_) => {
                self.warnings.push(format!(
                    "hls.url_pattern: \"/\" would make all addresses those of HLS; they begin with \
                     {HLS_PREFIX} now, such as {HLS_PREFIX}NAME.m3u8"
                ));
                HLS_PREFIX.to_owned()
            }
            None => HLS_PREFIX.to_owned(),
        };
        self.put("hls.url_prefix", Value::from(prefix), "hls.url_pattern");
        // What a lal player sees: transport streams that are always made.
        for (ours, value) in [
            ("hls.container", Value::from("ts")),
            ("hls.low_latency", Value::from(false)),
            ("hls.on_demand", Value::from(false)),
        ] {
            self.put(ours, value, "hls.enable");
        }
        let duration = hls.fragment_duration_ms.unwrap_or(3000);
        let number = hls.fragment_num.unwrap_or(6);
        let threshold = hls.delete_threshold.unwrap_or(number);
        let key = "hls.fragment_duration_ms";
        self.put_within("hls.segment_duration", duration, key);
        self.put_within("hls.segments", number, "hls.fragment_num");
        self.put_within("hls.kept_segments", threshold, "hls.delete_threshold");
        let linger = duration.saturating_mul(number.saturating_add(threshold));
        self.put_within("hls.linger", linger, "hls.delete_threshold");
        if let Some(secret) = hls.sub_session_hash_key.as_deref().filter(|key| !key.is_empty()) {
            self.put("hls.session_key", Value::from(secret), "hls.sub_session_hash_key");
            let silent = match hls.sub_session_timeout_ms {
                None | Some(0) => number.saturating_mul(duration).saturating_mul(2),
                Some(silent) => silent,
            };
            self.put_within("hls.session_timeout", silent, "hls.sub_session_timeout_ms");
        }
    }

    fn records(&mut self, conf: &Conf) {
        let (record, hls) = (&conf.record, &conf.hls);
        let mut formats = Vec::new();
        if on(record.enable_flv) {
            formats.push("flv");
            let folder = record.flv_out_path.as_deref().unwrap_or("./lal_record/flv/");
            let template = format!("{}{{name}}-{{unix}}.flv", in_folder(folder));
            self.put("record.flv", Value::from(template), "record.flv_out_path");
        }
        if on(record.enable_mpegts) {
            formats.push("ts");
            let folder = record.mpegts_out_path.as_deref().unwrap_or("./lal_record/mpegts");
            let template = format!("{}{{name}}-{{unix}}.ts", in_folder(folder));
            self.put("record.ts", Value::from(template), "record.mpegts_out_path");
        }
        if hls.served.is_wanted() && !on(hls.use_memory_as_disk_flag) {
            formats.push("hls");
            let folder = hls.out_path.as_deref().unwrap_or("./lal_record/hls/");
            let template = format!("{}{{name}}", in_folder(folder));
            self.put("record.hls", Value::from(template), "hls.out_path");
            let cleanup = match hls.cleanup_mode {
                Some(0) => "never",
                Some(2) => "rolling",
                _ => "after_end",
            };
            self.put("record.hls_cleanup", Value::from(cleanup), "hls.cleanup_mode");
        }
        let formats = formats.into_iter().map(Value::from).collect();
        self.put("stream.record", Value::Array(formats), "record.enable_flv");
    }

    fn caches(&mut self, conf: &Conf) {
        let Conf { rtmp, httpflv: flv, httpts: ts, .. } = conf;
        let by_rtmp = on(rtmp.enable) || on(rtmp.rtmps_enable);
        let mut larger = |numbers: [Option<i64>; 3], key: &str| {
            let wanted = [by_rtmp, flv.is_wanted(), ts.is_wanted()];
            let names = ["rtmp", "httpflv", "httpts"];
            let of_those: Vec<_> = names
                .into_iter()
                .zip(numbers)
                .zip(wanted)
                .filter(|(_, wanted)| *wanted)
                .map(|((name, number), _)| (name, number.unwrap_or(0)))
                .collect();
            if of_those.iter().any(|(_, number)| *number != of_those[0].1) {
                let keys: Vec<_> =
                    of_those.iter().map(|(name, _)| format!("{name}.{key}")).collect();
                let keys = list(&keys.iter().map(String::as_str).collect::<Vec<_>>());
                self.warnings.push(format!(
                    "{keys} differ; a stream has one cache for all, and the larger number counts"
                ));
            }
            of_those.iter().map(|(_, number)| *number).max().unwrap_or(0)
        };
        let gops = larger([rtmp.gop_num, flv.gop_num, ts.gop_num], "gop_num");
        let numbers = [
            rtmp.single_gop_max_frame_num,
            flv.single_gop_max_frame_num,
            ts.single_gop_max_frame_num,
        ];
        let frames = larger(numbers, "single_gop_max_frame_num");
        self.put_within("stream.gops", gops, "rtmp.gop_num");
        if frames != 0 {
            let key = "rtmp.single_gop_max_frame_num";
            self.put_within("stream.max_gop_frames", frames, key);
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

/// An end of a range, as it is written and as a number; of milliseconds for durations.
struct Bound {
    text: String,
    number: i64,
}

/// What a number of ours can be.
fn range(key: &str) -> Option<(Bound, Bound)> {
    let (_, key) = Config::key(key)?;
    let (least, most) = key.range?();
    let bound = |text: String| {
        // A duration without a unit is a number of milliseconds, so that this reads numbers, too.
        let millis = text.parse::<Span>().ok()?.get().as_millis();
        Some(Bound { text, number: i64::try_from(millis).ok()? })
    };
    Some((bound(least)?, bound(most)?))
}

/// A pattern from slash to slash.
fn slashes(pattern: &str) -> String {
    match pattern.trim_matches('/') {
        "" => "/".to_owned(),
        inner => format!("/{inner}/"),
    }
}

/// What names of files in a folder begin with.
fn in_folder(folder: &str) -> String {
    // Braces would be taken for places.
    let folder = folder.replace(['{', '}'], "_");
    if folder.is_empty() || folder.ends_with('/') { folder } else { format!("{folder}/") }
}

fn on(flag: Option<bool>) -> bool {
    flag == Some(true)
}

/// How long a write is held back when lal would have collected so many bytes: as long as a stream
/// of 2 Mbit/s takes to send them, but at least our default and at most what viewers bear.
fn flush_after(bytes: i64) -> Span {
    const BYTES_PER_MILLISECOND: u64 = 250;
    Span::from_millis((bytes.unsigned_abs() / BYTES_PER_MILLISECOND).clamp(20, 350))
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
