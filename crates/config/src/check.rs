//! What a configuration of the right form must also fulfil, and what it should.

mod auth;
mod gb28181;
mod relay;

use std::net::Ipv4Addr;

use hub::Template;

use super::error::{Place, Problem};
use super::sections::Stream;
use super::tree::Tree;
use super::units::Span;
use super::values::{Address, Level, Prefixes, RtspAuth, groups};
use super::{Config, OVERRIDES};

/// Every override is looked at whenever a stream begins.
const MAX_OVERRIDES: usize = 1000;

/// The longest text of a setting, which ends up in names, answers and log lines.
const MAX_TEXT: usize = 255;

/// The longest URL, which is as much as most servers take.
const MAX_URL: usize = 8000;

/// The shortest secret that nobody guesses who sees what was signed with it.
const MIN_SECRET: usize = 16;

/// Reports what is impossible, and warns of what is unwise.
pub(super) fn check(
    config: &Config,
    tree: &Tree,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    let mut checks = Checks { config, tree, problems };
    checks.ranges();
    checks.texts();
    checks.durations();
    checks.templates();
    checks.certificate();
    checks.rtsp();
    checks.ps();
    checks.gb28181();
    checks.webhooks();
    checks.auth();
    checks.relay();
    checks.reports();
    checks.api();
    checks.addresses();
    checks.overrides();
    warn(config, warnings);
}

struct Checks<'a> {
    config: &'a Config,
    tree: &'a Tree,
    problems: &'a mut Vec<Problem>,
}

impl Checks<'_> {
    fn report(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem::new(self.tree.place(key), key, what).remedy(remedy));
    }

    fn ranges(&mut self) {
        let config = self.config;
        let mut report = |key: String, value: String, (least, most): (String, String)| {
            let what = format!("{value} is out of range");
            let problem = Problem::new(self.tree.place(&key), &key, what);
            self.problems.push(problem.remedy(format!("use {least} to {most}")));
        };
        config.check_ranges(&mut report);
        for (i, change) in config.stream_override.iter().enumerate() {
            // What it leaves out has its default, which is in range.
            let mut rules = Stream::default();
            change.apply(&mut rules);
            rules.check(&format!("{OVERRIDES}[{i}]"), &mut report);
        }
    }

    fn texts(&mut self) {
        let config = self.config;
        let id = &config.server.id;
        if id.is_empty() || id.len() > MAX_TEXT || id.contains(char::is_control) {
            self.report(
                "server.id",
                format!("{id:?} is not a name"),
                format!("use 1 to {MAX_TEXT} printable characters"),
            );
        }
        let app = &config.server.default_app;
        let is_bad = |c: char| c.is_control() || matches!(c, '\\' | '*' | '?');
        let is_item = |item: &str| !matches!(item, "" | "." | "..");
        if app.len() > MAX_TEXT || app.contains(is_bad) || !app.split('/').all(is_item) {
            self.report(
                "server.default_app",
                format!("{app:?} cannot be part of a stream's path"),
                "use a name such as \"live\"",
            );
        }
        let any = "write \"/\" for any address, or something like \"/live/\"";
        let hls = Prefixes::one(&config.hls.url_prefix);
        let prefixes = [
            ("flv.url_prefix", &config.flv.url_prefix, any),
            ("ts.url_prefix", &config.ts.url_prefix, any),
            ("mp4.url_prefix", &config.mp4.url_prefix, any),
            ("hls.url_prefix", &hls, "write something like \"/hls/\""),
        ];
        let is_bad = |prefix: &&str| {
            !prefix.starts_with('/') || !prefix.ends_with('/') || prefix.len() > MAX_TEXT
        };
        for (key, prefixes, remedy) in prefixes {
            if let Some(prefix) = prefixes.iter().find(is_bad) {
                self.report(key, format!("{prefix:?} does not begin and end with a slash"), remedy);
            }
            if prefixes.is_empty() {
                self.report(key, "no address could be served", remedy);
            }
        }
        if config.hls.enable && config.hls.url_prefix == "/" {
            let what = "all addresses would be those of HLS";
            self.report("hls.url_prefix", what, "use a folder such as \"/hls/\"");
        }
        if config.hls.session_key.len() > MAX_TEXT {
            let what = format!("the key is longer than {MAX_TEXT} bytes");
            self.report("hls.session_key", what, "use a shorter one");
        }
    }

    fn templates(&mut self) {
        let record = &self.config.record;
        let all = [
            ("record.flv", &record.flv),
            ("record.ts", &record.ts),
            ("record.mp4", &record.mp4),
            ("record.hls", &record.hls),
        ];
        for (key, text) in all {
            if let Err(error) = Template::parse(text) {
                let remedy = "write something like \"record/{path}-{unix}.flv\"";
                self.report(key, format!("{text:?}: {error}"), remedy);
            } else if text.len() > MAX_TEXT || text.contains(char::is_control) {
                let what = format!("{text:?} is no name of a file");
                self.report(key, what, format!("use up to {MAX_TEXT} printable characters"));
            }
        }
        if record.hls.contains("{unix") {
            let what = "a stream has one folder, whenever it is published";
            self.report("record.hls", what, "leave {unix} and {unix_ms} out");
        }
    }

    fn durations(&mut self) {
        let hls = &self.config.hls;
        let target = hls.target_duration;
        if target != Span::default() && target < hls.segment_duration {
            let what = format!("{target} is less than hls.segment_duration");
            self.report("hls.target_duration", what, "use a longer time, or \"0s\"");
        }
        if hls.low_latency && hls.part_duration.get() * 2 > hls.segment_duration.get() {
            let what = "a segment would not have two parts";
            self.report("hls.part_duration", what, "use at most half of hls.segment_duration");
        }
    }

    fn certificate(&mut self) {
        let remedy = "set both, or neither for a certificate that the server makes at start";
        match (self.config.tls.cert.get(), self.config.tls.key.get()) {
            (Some(_), None) => self.report("tls.cert", "there is no tls.key for it", remedy),
            (None, Some(_)) => self.report("tls.key", "there is no tls.cert for it", remedy),
            _ => {}
        }
    }

    fn api(&mut self) {
        let api = &self.config.api;
        if api.token_file.get().is_none() && api.token.is_empty() && !api.open {
            let what = "it is empty, and so is api.token";
            self.report("api.token_file", what, "name a file for the token, or set api.token");
        }
        if api.token.contains(|c: char| c.is_whitespace() || c.is_control()) {
            self.report("api.token", "it has blanks", "use letters and digits");
        }
        for (i, host) in api.hosts.iter().enumerate() {
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host != "*" && (host.is_empty() || !host.chars().all(is_name)) {
                let what = format!("{host:?} is not the name of a host");
                let remedy = "write it without scheme and port, such as \"media.example\"";
                self.report(&format!("api.hosts[{i}]"), what, remedy);
            }
        }
    }

    fn rtsp(&mut self) {
        let rtsp = &self.config.rtsp;
        let (min, max) = (rtsp.udp_port_min, rtsp.udp_port_max);
        if min != 0 && max < min.saturating_add(3) {
            let what = format!("there is no room for two pairs of ports from {min} to {max}");
            self.report("rtsp.udp_port_max", what, "use a wider range, such as 30000 to 60000");
        }
        if let Err(what) = groups(&rtsp.multicast_groups) {
            let what = format!("{:?}: {what}", rtsp.multicast_groups);
            self.report("rtsp.multicast_groups", what, "write something like \"239.255.0.0/16\"");
        }
        let (min, max) = (rtsp.multicast_port_min, rtsp.multicast_port_max);
        if max < min.saturating_add(3) {
            let what = format!("there is no room for two pairs of ports from {min} to {max}");
            self.report(
                "rtsp.multicast_port_max",
                what,
                "use a wider range, such as 20000 to 29999",
            );
        }
        let interface = &rtsp.multicast_interface;
        if !interface.is_empty() && interface.parse::<Ipv4Addr>().is_err() {
            let what = format!("{interface:?} is no address of IPv4");
            let remedy = "write the address of the interface, such as \"192.0.2.7\", or \"\"";
            self.report("rtsp.multicast_interface", what, remedy);
        }
        if rtsp.auth != RtspAuth::Off && (rtsp.username.is_empty() || rtsp.password.is_empty()) {
            let key = if rtsp.username.is_empty() { "rtsp.username" } else { "rtsp.password" };
            let what = "it is empty, and rtsp.auth asks for it".to_owned();
            self.report(key, what, "set both, or rtsp.auth = \"off\" to let everybody in");
        }
    }

    fn ps(&mut self) {
        if self.config.ps.shared_listen.iter().count() > 1 {
            let what = "there is more than one";
            self.report("ps.shared_listen", what, "name one: \":PORT\" listens on all addresses");
        }
    }

    fn webhooks(&mut self) {
        let webhooks = &self.config.webhooks;
        for (key, url) in webhooks.urls() {
            if !url.is_empty() && !is_url(url) {
                // The URL may hold a secret.
                let what = "it is not a URL of http or https with a host";
                let remedy = "write something like \"https://hooks.example/headwater\"";
                self.report(&format!("webhooks.{key}"), what, remedy);
            }
        }
        let length = webhooks.secret.len();
        if length > MAX_TEXT {
            let what = format!("it has {length} bytes, more than {MAX_TEXT}");
            self.report("webhooks.secret", what, "use a shorter one");
        }
    }

    fn addresses(&mut self) {
        let listeners = listeners(self.config);
        for (i, (key, address)) in listeners.iter().enumerate() {
            let earlier = listeners.iter().take(i).find(|(_, other)| address.collides(other));
            let Some((other_key, other)) = earlier else { continue };
            // Somebody said one of the two.
            let is_default = self.tree.place(key) == Place::Default;
            let ((key, address), (other_key, other)) = match is_default {
                true => ((other_key, other), (key, address)),
                false => ((key, address), (other_key, other)),
            };
            let what = if address == other {
                format!("{address} is also in {other_key}")
            } else {
                format!("{address} collides with {other} in {other_key}")
            };
            self.report(key, what, "use another port or address");
        }
    }

    fn overrides(&mut self) {
        let list = &self.config.stream_override;
        if list.len() > MAX_OVERRIDES {
            self.report(
                OVERRIDES,
                format!("there are {}, more than {MAX_OVERRIDES}", list.len()),
                "use patterns that match more streams",
            );
        }
        for (i, change) in list.iter().enumerate() {
            let pattern = change.pattern.as_str();
            if pattern.is_empty() || pattern.len() > MAX_TEXT {
                self.report(
                    &format!("{OVERRIDES}[{i}].match"),
                    format!("the pattern has {} bytes", pattern.len()),
                    format!("use 1 to {MAX_TEXT} bytes, such as \"live/*\""),
                );
            }
        }
    }
}

/// Whether requests can be sent there.
fn is_url(text: &str) -> bool {
    let is_short = text.len() <= MAX_URL;
    is_short
        && url::Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Every address that is listened on, and its key.
fn listeners(config: &Config) -> Vec<(&'static str, &Address)> {
    let mut all = Vec::new();
    if config.rtmp.enable {
        all.extend(config.rtmp.listen.iter().map(|a| ("rtmp.listen", a)));
        all.extend(config.rtmp.tls_listen.iter().map(|a| ("rtmp.tls_listen", a)));
    }
    if config.rtsp.enable {
        all.extend(config.rtsp.listen.iter().map(|a| ("rtsp.listen", a)));
        all.extend(config.rtsp.tls_listen.iter().map(|a| ("rtsp.tls_listen", a)));
        all.extend(config.rtsp.ws_listen.iter().map(|a| ("rtsp.ws_listen", a)));
        all.extend(config.rtsp.wss_listen.iter().map(|a| ("rtsp.wss_listen", a)));
    }
    all.extend(config.gb28181.listen.iter().map(|a| ("gb28181.listen", a)));
    all.extend(config.ps.shared_listen.iter().map(|a| ("ps.shared_listen", a)));
    all.extend(config.http.listen.iter().map(|a| ("http.listen", a)));
    all.extend(config.http.tls_listen.iter().map(|a| ("http.tls_listen", a)));
    if config.api.enable {
        all.extend(config.api.listen.iter().map(|a| ("api.listen", a)));
        all.extend(config.api.tls_listen.iter().map(|a| ("api.tls_listen", a)));
    }
    all
}

fn warn(config: &Config, warnings: &mut Vec<String>) {
    if config.rtsp.auth == RtspAuth::Basic && !config.rtsp.listen.is_empty() {
        warnings.push(
            "rtsp.auth: \"basic\" sends the password in the clear to rtsp.listen; use \"digest\", \
             or listen with TLS alone"
                .to_owned(),
        );
    }
    if config.rtsp.multicast && !config.rtsp.udp {
        warnings.push(
            "rtsp.multicast: groups are datagrams, which rtsp.udp = false forbids".to_owned(),
        );
    }
    let secret = &config.webhooks.secret;
    if !secret.is_empty() && secret.len() < MIN_SECRET {
        warnings.push(format!(
            "webhooks.secret: it can be guessed by whoever sees a request; use {MIN_SECRET} random \
             characters or more"
        ));
    }
    let listeners = listeners(config);
    for (key, address) in listeners.iter().filter(|(key, _)| key.starts_with("api.")) {
        if config.api.open && !address.is_loopback() {
            warnings.push(format!(
                "{key}: {address} can be reached from other hosts, and api.open lets everybody in; \
                 set a token, or use 127.0.0.1 unless the network is private"
            ));
        }
    }
    let encrypted: Vec<_> =
        listeners.iter().filter(|(key, _)| key.ends_with("tls_listen")).collect();
    if let (Some((first, _)), None) = (encrypted.first(), config.tls.cert.get()) {
        warnings.push(format!(
            "tls.cert: not set, so that {first} and other listeners with TLS use a certificate \
             made at start, which players do not trust"
        ));
    }
    if listeners.iter().all(|(key, _)| key.starts_with("api.")) {
        warnings.push("nothing is served: rtmp and http listen nowhere".to_owned());
    }
    if config.log.level != Level::Off && !config.log.to_terminal && config.log.file.get().is_none()
    {
        warnings.push(
            "log.to_terminal is off and log.file is empty: nothing is logged anywhere".to_owned(),
        );
    }
}
