//! lal's simple authentication, which is a part of our section `auth`.

use serde::Deserialize;
use toml::Value;

use super::{Translation, on};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SimpleAuth {
    key: Option<String>,
    dangerous_lal_secret: Option<String>,
    pub_rtmp_enable: Option<bool>,
    sub_rtmp_enable: Option<bool>,
    sub_httpflv_enable: Option<bool>,
    sub_httpts_enable: Option<bool>,
    pub_rtsp_enable: Option<bool>,
    sub_rtsp_enable: Option<bool>,
    hls_m3u8_enable: Option<bool>,
}

impl SimpleAuth {
    pub(super) fn guards_rtsp_publishers(&self) -> bool {
        on(self.pub_rtsp_enable)
    }

    pub(super) fn translate(&self, to: &mut Translation<'_>) {
        let switches = [
            ("pub_rtmp", self.pub_rtmp_enable),
            ("sub_rtmp", self.sub_rtmp_enable),
            ("sub_httpflv", self.sub_httpflv_enable),
            ("sub_httpts", self.sub_httpts_enable),
            ("pub_rtsp", self.pub_rtsp_enable),
            ("sub_rtsp", self.sub_rtsp_enable),
            ("hls_m3u8", self.hls_m3u8_enable),
        ];
        let guarded: Vec<_> = switches
            .into_iter()
            .filter(|(_, switch)| on(*switch))
            .map(|(word, _)| Value::from(word))
            .collect();
        if guarded.is_empty() {
            return;
        }
        to.put("auth.lal_for", Value::Array(guarded), "simple_auth");
        let text = |text: &Option<String>| Value::from(text.clone().unwrap_or_default());
        to.put("auth.lal_key", text(&self.key), "simple_auth.key");
        let secret = "simple_auth.dangerous_lal_secret";
        to.put("auth.lal_override", text(&self.dangerous_lal_secret), secret);
    }
}
