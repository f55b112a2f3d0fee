//! lal's HTTP notify, which is our webhooks.

use serde::Deserialize;
use toml::Value;

use super::{Translation, on};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Notify {
    enable: Option<bool>,
    update_interval_sec: Option<i64>,
    on_server_start: Option<String>,
    on_update: Option<String>,
    on_pub_start: Option<String>,
    on_pub_stop: Option<String>,
    on_sub_start: Option<String>,
    on_sub_stop: Option<String>,
    on_relay_pull_start: Option<String>,
    on_relay_pull_stop: Option<String>,
    on_rtmp_connect: Option<String>,
    on_hls_make_ts: Option<String>,
}

impl Notify {
    pub(super) fn translate(&self, to: &mut Translation<'_>) {
        if !on(self.enable) {
            return;
        }
        let interval = self.update_interval_sec.unwrap_or(0).saturating_mul(1000);
        let key = "http_notify.update_interval_sec";
        to.put_within("webhooks.update_interval", interval, key);
        for (key, url) in [
            ("http_notify.on_server_start", &self.on_server_start),
            ("http_notify.on_update", &self.on_update),
            ("http_notify.on_pub_start", &self.on_pub_start),
            ("http_notify.on_pub_stop", &self.on_pub_stop),
            ("http_notify.on_sub_start", &self.on_sub_start),
            ("http_notify.on_sub_stop", &self.on_sub_stop),
            ("http_notify.on_relay_pull_start", &self.on_relay_pull_start),
            ("http_notify.on_relay_pull_stop", &self.on_relay_pull_stop),
            ("http_notify.on_rtmp_connect", &self.on_rtmp_connect),
            ("http_notify.on_hls_make_ts", &self.on_hls_make_ts),
        ] {
            if let Some(url) = url.as_deref().filter(|url| !url.is_empty()) {
                // The names are the same.
                to.put(&key.replace("http_notify", "webhooks"), Value::from(url), key);
            }
        }
    }
}
