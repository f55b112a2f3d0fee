//! Where lal listens, and what is served there.

use std::path::Path;

use toml::Value;

use super::certificate::Tls;
use super::{Conf, Rtsp, Served, Translation, on, slashes};

impl Translation<'_> {
    pub(super) fn listeners(&mut self, conf: &Conf, exists: &dyn Fn(&Path) -> bool) {
        let Conf { rtmp, default_http: http, http_api: api, .. } = conf;
        let Tls { rtmps, rtsps, https } = self.certificate(conf, exists);
        self.rtsp(&conf.rtsp, rtsps, conf.simple_auth.guards_rtsp_publishers());

        let plain = on(rtmp.enable);
        self.put("rtmp.enable", Value::from(plain || rtmps), "rtmp.enable");
        self.listen("rtmp.listen", plain, rtmp.addr.as_deref(), "rtmp.addr");
        self.listen("rtmp.tls_listen", rtmps, rtmp.rtmps_addr.as_deref(), "rtmp.rtmps_addr");

        let mut plain = Addresses::default();
        let mut tls = Addresses::default();
        for (served, https) in conf.served().into_iter().zip(https) {
            plain.add(on(served.enable), either(&served.http_listen_addr, &http.http_listen_addr));
            let address = either(&served.https_listen_addr, &http.https_listen_addr);
            tls.add(https, address);
        }
        self.listen_all("http.listen", plain, "default_http.http_listen_addr");
        self.listen_all("http.tls_listen", tls, "default_http.https_listen_addr");
        let [https_flv, https_ts, _] = https;
        for (key, served, https, [enable, pattern]) in [
            ("flv", &conf.httpflv, https_flv, ["httpflv.enable", "httpflv.url_pattern"]),
            ("ts", &conf.httpts, https_ts, ["httpts.enable", "httpts.url_pattern"]),
        ] {
            let enabled = on(served.enable) || https;
            self.put(&format!("{key}.enable"), Value::from(enabled), enable);
            self.put(&format!("{key}.url_prefix"), prefixes(conf, served), pattern);
        }
        // lal has no such thing, so that nobody can have meant to open it.
        self.put("mp4.enable", Value::from(false), "httpflv.enable");

        self.put("api.enable", Value::from(on(api.enable)), "http_api.enable");
        self.listen("api.listen", on(api.enable), api.addr.as_deref(), "http_api.addr");
        // lal's asks nobody for anything.
        self.put("api.open", Value::from(on(api.enable)), "http_api.addr");
        // Nor does it look at the name that it was called by.
        let hosts = if on(api.enable) { vec![Value::from("*")] } else { Vec::new() };
        self.put("api.hosts", Value::Array(hosts), "http_api.addr");
    }

    /// With `by_secret`, publishers show one of lal's simple authentication.
    fn rtsp(&mut self, rtsp: &Rtsp, tls: bool, by_secret: bool) {
        let (plain, websocket) = (on(rtsp.enable), on(rtsp.ws_rtsp_enable));
        self.put("rtsp.enable", Value::from(plain || tls || websocket), "rtsp.enable");
        self.listen("rtsp.listen", plain, rtsp.addr.as_deref(), "rtsp.addr");
        self.listen("rtsp.tls_listen", tls, rtsp.rtsps_addr.as_deref(), "rtsp.rtsps_addr");
        let address = rtsp.ws_rtsp_addr.as_deref();
        self.listen("rtsp.ws_listen", websocket, address, "rtsp.ws_rtsp_addr");
        let start = if on(rtsp.out_wait_key_frame_flag) { "key_frame" } else { "now" };
        self.put("rtsp.start", Value::from(start), "rtsp.out_wait_key_frame_flag");
        // lal publishers may be silent for two to four minutes.
        self.put("rtsp.publisher_idle", Value::from("2m"), "rtsp.enable");
        if on(rtsp.auth_enable) {
            let method = if rtsp.auth_method == Some(0) { "basic" } else { "digest" };
            self.put("rtsp.auth", Value::from(method), "rtsp.auth_method");
            let text = |value: &Option<String>| Value::from(value.clone().unwrap_or_default());
            self.put("rtsp.username", text(&rtsp.username), "rtsp.username");
            self.put("rtsp.password", text(&rtsp.password), "rtsp.password");
            // lal asks viewers alone. Publishers need at least one proof here.
            if by_secret {
                self.put("rtsp.auth_publish", Value::from(false), "rtsp.auth_enable");
            } else {
                self.warnings.push(
                    "rtsp.auth_enable: publishers are asked for name and password, too; lal asks \
                     viewers alone (rtsp.auth_publish = false does so here)"
                        .to_owned(),
                );
            }
        }
    }

    /// Puts an address where a listener is enabled, and none where it is not.
    fn listen(&mut self, ours: &str, enabled: bool, address: Option<&str>, theirs: &'static str) {
        let addresses = match (enabled, address) {
            (false, _) => Vec::new(),
            (true, Some(address)) if !address.is_empty() => {
                vec![Value::from(without_host_name(address))]
            }
            // An empty address is a port by chance in lal, which nobody can have meant.
            (true, _) => return,
        };
        self.put(ours, Value::Array(addresses), theirs);
    }

    /// As [`Translation::listen`], for what several protocols share.
    fn listen_all(&mut self, ours: &str, addresses: Addresses, theirs: &'static str) {
        if addresses.list.is_empty() && addresses.any {
            return;
        }
        let list = addresses.list.into_iter().map(Value::from).collect();
        self.put(ours, Value::Array(list), theirs);
    }
}

/// What addresses of FLV or MPEG-TS begin with. lal has one handler for both: either is served under
/// the patterns of both, if the other is served at all.
fn prefixes(conf: &Conf, own: &Served) -> Value {
    let others = [&conf.httpflv, &conf.httpts];
    let others = others.into_iter().filter(|other| !std::ptr::eq(*other, own) && other.is_wanted());
    let mut all = Vec::new();
    for served in std::iter::once(own).chain(others) {
        let prefix = slashes(served.url_pattern.as_deref().unwrap_or("/live/"));
        if !all.contains(&prefix) {
            all.push(prefix);
        }
    }
    if let Some(any) = all.iter().find(|prefix| *prefix == "/") {
        return Value::from(any.as_str());
    }
    match all.as_slice() {
        [one] => Value::from(one.as_str()),
        all => Value::from(all.to_vec()),
    }
}

/// Where several protocols listen, each address once.
#[derive(Default)]
struct Addresses {
    list: Vec<String>,
    /// Somebody wants to be listened for.
    any: bool,
}

impl Addresses {
    fn add(&mut self, wanted: bool, address: Option<&str>) {
        self.any |= wanted;
        // An empty address is a port by chance in lal, which nobody can have meant.
        if let Some(address) = address.filter(|address| wanted && !address.is_empty()) {
            let address = without_host_name(address);
            if !self.list.contains(&address) {
                self.list.push(address);
            }
        }
    }
}

/// The only host name that needs no look-up is an address.
fn without_host_name(address: &str) -> String {
    match address.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address.to_owned(),
    }
}

/// A protocol's own setting, or the one for all.
fn either<'a>(own: &'a Option<String>, all: &'a Option<String>) -> Option<&'a str> {
    own.as_deref().or(all.as_deref())
}
