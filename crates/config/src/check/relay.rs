//! Relays: addresses of other servers, and what their rules can mean.

use super::{Checks, MAX_TEXT};
use crate::values::PullStart;

/// Every rule is looked at whenever a stream begins or is asked for.
const MAX_RULES: usize = 1000;

/// Where one stream may come from, or go to.
const MAX_ADDRESSES: usize = 32;

/// The longest address.
const MAX_URL: usize = 4000;

/// What may stand between braces.
const PLACES: [&str; 4] = ["path", "app", "name", "query"];

const SOURCES: &[&str] = &["rtmp", "rtmps", "rtsp", "rtsps", "http", "https", "ws", "wss"];
const TARGETS: &[&str] = &["rtmp", "rtmps", "rtsp", "rtsps"];

impl Checks<'_> {
    pub(super) fn relay(&mut self) {
        let relay = &self.config.relay;
        if relay.retry_min > relay.retry_max {
            let what = format!("{} is less than relay.retry_min", relay.retry_max);
            self.report("relay.retry_max", what, "use a longer time");
        }
        for (key, count) in [("pull", relay.pull.len()), ("push", relay.push.len())] {
            if count > MAX_RULES {
                let what = format!("there are {count}, more than {MAX_RULES}");
                self.report(&format!("relay.{key}"), what, "use patterns that match more streams");
            }
        }
        for (i, rule) in relay.pull.iter().enumerate() {
            let key = |name: &str| format!("relay.pull[{i}].{name}");
            self.relayed(&key("stream"), rule.stream.as_str());
            self.addresses_of(&key("from"), &rule.from, SOURCES);
            let any = rule.stream.as_str().contains(['*', '?']);
            if rule.start() == PullStart::Always && any {
                let what = "a pattern does not say which streams there are";
                self.report(&key("start"), what, "write \"on_demand\", or the path of one stream");
            }
        }
        for (i, rule) in relay.push.iter().enumerate() {
            let key = |name: &str| format!("relay.push[{i}].{name}");
            self.relayed(&key("stream"), rule.stream.as_str());
            self.addresses_of(&key("to"), &rule.to, TARGETS);
        }
        if relay.origins.len() > MAX_ADDRESSES {
            let what = format!("there are {}", relay.origins.len());
            self.report("relay.origins", what, format!("use {MAX_ADDRESSES} at most"));
        }
        for (i, origin) in relay.origins.iter().enumerate() {
            let key = format!("relay.origins[{i}]");
            if let Err(what) = check_address(origin, SOURCES) {
                self.report(&key, what, "write something like \"rtmp://origin.example\"");
            } else if origin.contains(['{', '?']) {
                let what = "path and query of a stream are put behind it";
                self.report(&key, what, "write something like \"rtmp://origin.example\"");
            }
        }
    }

    /// Where viewers are told to.
    pub(super) fn reports(&mut self) {
        let to = &self.config.relay.report_to;
        if !to.is_empty()
            && let Err(what) = check_address(to, &["http", "https"])
        {
            let remedy = "write something like \"http://origin.example:8083\"";
            self.report("relay.report_to", what, remedy);
        }
    }

    fn relayed(&mut self, key: &str, stream: &str) {
        if stream.is_empty() || stream.len() > MAX_TEXT {
            let what = format!("it has {} bytes", stream.len());
            self.report(key, what, "write a path such as \"live/camera1\", or a pattern");
        }
    }

    fn addresses_of(&mut self, key: &str, all: &[String], schemes: &[&str]) {
        if all.is_empty() || all.len() > MAX_ADDRESSES {
            let what = format!("there are {}", all.len());
            self.report(key, what, format!("write 1 to {MAX_ADDRESSES} addresses"));
        }
        for (i, address) in all.iter().enumerate() {
            if let Err(what) = check_address(address, schemes) {
                let remedy = format!("write SCHEME://HOST/APP/NAME with {}", schemes.join(", "));
                self.report(&format!("{key}[{i}]"), what, remedy);
            }
        }
    }
}

/// What is wrong with an address; it is not shown, since it may hold a key.
fn check_address(text: &str, schemes: &[&str]) -> Result<(), String> {
    if text.len() > MAX_URL || text.contains(|c: char| c.is_control() || c == ' ') {
        return Err("the address has spaces or control characters, or is too long".to_owned());
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("it is no address".to_owned());
    };
    if !schemes.contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(format!("{scheme}:// is not possible here"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('{') {
        return Err("the host must be written out".to_owned());
    }
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, place)) = rest.split_once('{') {
        let (place, after) = place.split_once('}').ok_or("a brace is not closed")?;
        if !PLACES.contains(&place) {
            return Err(format!(
                "{{{place}}} is not one of {{path}}, {{app}}, {{name}}, {{query}}"
            ));
        }
        filled.push_str(before);
        filled.push_str("place");
        rest = after;
    }
    if rest.contains('}') {
        return Err("a brace was not opened".to_owned());
    }
    filled.push_str(rest);
    match url::Url::parse(&filled) {
        Ok(url) if url.has_host() => Ok(()),
        Ok(_) => Err("the address has no host".to_owned()),
        Err(error) => Err(format!("it is no address: {error}")),
    }
}
