//! All keys of lal 0.37.

use serde_json::Value as Json;

/// Keys that are translated, or that only inform.
pub(super) const KEYS: &[&str] = &[
    "conf_version",
    "rtmp.enable",
    "rtmp.addr",
    "rtmp.rtmps_enable",
    "rtmp.rtmps_addr",
    "rtmp.rtmps_cert_file",
    "rtmp.rtmps_key_file",
    "rtmp.gop_num",
    "rtmp.single_gop_max_frame_num",
    "rtmp.merge_write_size",
    "rtmp.add_dummy_audio_enable",
    "rtmp.add_dummy_audio_wait_audio_ms",
    "in_session.add_dummy_audio_enable",
    "in_session.add_dummy_audio_wait_audio_ms",
    "default_http.http_listen_addr",
    "default_http.https_listen_addr",
    "default_http.https_cert_file",
    "default_http.https_key_file",
    "httpflv.enable",
    "httpflv.enable_https",
    "httpflv.url_pattern",
    "httpflv.gop_num",
    "httpflv.single_gop_max_frame_num",
    "httpflv.http_listen_addr",
    "httpflv.https_listen_addr",
    "httpflv.https_cert_file",
    "httpflv.https_key_file",
    "rtsp.enable",
    "rtsp.addr",
    "rtsp.rtsps_enable",
    "rtsp.rtsps_addr",
    "rtsp.rtsps_cert_file",
    "rtsp.rtsps_key_file",
    "rtsp.out_wait_key_frame_flag",
    "rtsp.ws_rtsp_enable",
    "rtsp.ws_rtsp_addr",
    "rtsp.auth_enable",
    "rtsp.auth_method",
    "rtsp.username",
    "rtsp.password",
    "hls.enable",
    "hls.enable_https",
    "hls.url_pattern",
    "hls.out_path",
    "hls.fragment_duration_ms",
    "hls.fragment_num",
    "hls.delete_threshold",
    "hls.cleanup_mode",
    "hls.use_memory_as_disk_flag",
    "hls.sub_session_timeout_ms",
    "hls.sub_session_hash_key",
    "hls.http_listen_addr",
    "hls.https_listen_addr",
    "hls.https_cert_file",
    "hls.https_key_file",
    "httpts.enable",
    "httpts.enable_https",
    "httpts.url_pattern",
    "httpts.gop_num",
    "httpts.single_gop_max_frame_num",
    "httpts.http_listen_addr",
    "httpts.https_listen_addr",
    "httpts.https_cert_file",
    "httpts.https_key_file",
    "record.enable_flv",
    "record.flv_out_path",
    "record.enable_mpegts",
    "record.mpegts_out_path",
    "relay_push.enable",
    "relay_push.addr_list",
    "static_relay_pull.enable",
    "static_relay_pull.addr",
    "relay_pull.enable",
    "relay_pull.addr",
    "http_api.enable",
    "http_api.addr",
    "simple_auth.key",
    "simple_auth.dangerous_lal_secret",
    "simple_auth.pub_rtmp_enable",
    "simple_auth.sub_rtmp_enable",
    "simple_auth.sub_httpflv_enable",
    "simple_auth.sub_httpts_enable",
    "simple_auth.pub_rtsp_enable",
    "simple_auth.sub_rtsp_enable",
    "simple_auth.hls_m3u8_enable",
    "http_notify.enable",
    "http_notify.update_interval_sec",
    "http_notify.on_server_start",
    "http_notify.on_update",
    "http_notify.on_pub_start",
    "http_notify.on_pub_stop",
    "http_notify.on_sub_start",
    "http_notify.on_sub_stop",
    "http_notify.on_relay_pull_start",
    "http_notify.on_relay_pull_stop",
    "http_notify.on_rtmp_connect",
    "http_notify.on_hls_make_ts",
    "server_id",
    "log.level",
    "log.filename",
    "log.is_to_stdout",
    "log.is_rotate_daily",
    "log.is_rotate_hourly",
];

/// Those of [`KEYS`] that nobody misses.
pub(super) const OPTIONAL: &[&str] = &[
    "relay_pull.enable",
    "relay_pull.addr",
    "conf_version",
    "rtmp.add_dummy_audio_enable",
    "rtmp.add_dummy_audio_wait_audio_ms",
    "httpflv.http_listen_addr",
    "httpflv.https_listen_addr",
    "httpflv.https_cert_file",
    "httpflv.https_key_file",
    "log.is_rotate_hourly",
    "hls.http_listen_addr",
    "hls.https_listen_addr",
    "hls.https_cert_file",
    "hls.https_key_file",
    "httpts.http_listen_addr",
    "httpts.https_listen_addr",
    "httpts.https_cert_file",
    "httpts.https_key_file",
    "http_notify.on_server_start",
    "http_notify.on_update",
    "http_notify.on_pub_start",
    "http_notify.on_pub_stop",
    "http_notify.on_sub_start",
    "http_notify.on_sub_stop",
    "http_notify.on_relay_pull_start",
    "http_notify.on_relay_pull_stop",
    "http_notify.on_rtmp_connect",
    "http_notify.on_hls_make_ts",
];

/// Keys that have no effect, for one reason.
pub(super) struct Feature {
    /// Why.
    pub reason: &'static str,
    /// The feature is wanted when one of these is set, or in any case if there are none.
    pub switches: &'static [&'static str],
    /// Its keys.
    pub keys: &'static [&'static str],
}

impl Feature {
    /// Whether the configuration asks for it.
    pub(super) fn is_wanted(&self, json: &Json) -> bool {
        let is_on = |key: &&str| super::at(json, key).is_some_and(super::is_set);
        self.switches.is_empty() || self.switches.iter().any(is_on)
    }
}

/// Keys that have no effect.
pub(super) const FEATURES: &[Feature] = &[
    Feature {
        reason: "the profiler is that of another runtime",
        switches: &["pprof.enable"],
        keys: &["pprof.enable", "pprof.addr"],
    },
    Feature {
        reason: "log lines always have a time and a level, and never a source file",
        switches: &[],
        keys: &[
            "log.short_file_flag",
            "log.timestamp_flag",
            "log.timestamp_with_ms_flag",
            "log.level_flag",
        ],
    },
    Feature {
        reason: "a broken invariant ends one session and is logged, whatever is set",
        switches: &[],
        keys: &["log.assert_behavior"],
    },
    Feature {
        reason: "streams are not listed in the log; ask the API",
        switches: &["debug.log_group_interval_sec"],
        keys: &[
            "debug.log_group_interval_sec",
            "debug.log_group_max_group_num",
            "debug.log_group_max_sub_num_per_group",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_there_once() {
        let features = FEATURES.iter().flat_map(|feature| feature.keys);
        let mut all: Vec<_> = KEYS.iter().chain(features).collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(OPTIONAL.iter().all(|key| KEYS.contains(key)));
    }

    #[test]
    fn switches_are_keys_of_their_feature() {
        for feature in FEATURES {
            assert!(feature.switches.iter().all(|switch| feature.keys.contains(switch)));
        }
    }
}
