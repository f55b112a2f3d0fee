//! Configurations of lal's, as its users have them.

use std::path::Path;

use super::super::values::{Identity, Level, Prefixes, PullStart, Rotation};
use super::super::*;

/// Everything that lal 0.37 has, set as its documentation sets it.
const FULL: &str = r##"{
  "# doc of config": "keys that begin with # are comments",
  "conf_version": "v0.4.1",
  "rtmp": {
    "enable": true, "addr": ":1935",
    "rtmps_enable": true, "rtmps_addr": ":4935",
    "rtmps_cert_file": "./conf/cert.pem", "rtmps_key_file": "./conf/key.pem",
    "gop_num": 0, "single_gop_max_frame_num": 0, "merge_write_size": 0
  },
  "in_session": { "add_dummy_audio_enable": false, "add_dummy_audio_wait_audio_ms": 150 },
  "default_http": {
    "http_listen_addr": ":8080", "https_listen_addr": ":4433",
    "https_cert_file": "./conf/cert.pem", "https_key_file": "./conf/key.pem"
  },
  "httpflv": {
    "enable": true, "enable_https": true, "url_pattern": "/",
    "gop_num": 0, "single_gop_max_frame_num": 0
  },
  "hls": {
    "enable": true, "enable_https": true, "url_pattern": "/hls/",
    "out_path": "./lal_record/hls/", "fragment_duration_ms": 3000, "fragment_num": 6,
    "delete_threshold": 6, "cleanup_mode": 1, "use_memory_as_disk_flag": false,
    "sub_session_timeout_ms": 30000, "sub_session_hash_key": ""
  },
  "httpts": {
    "enable": true, "enable_https": true, "url_pattern": "/",
    "gop_num": 0, "single_gop_max_frame_num": 0
  },
  "rtsp": {
    "enable": true, "addr": ":5544", "rtsps_enable": true, "rtsps_addr": ":5322",
    "rtsps_cert_file": "./conf/cert.pem", "rtsps_key_file": "./conf/key.pem",
    "out_wait_key_frame_flag": true, "ws_rtsp_enable": true, "ws_rtsp_addr": ":5566",
    "auth_enable": false, "auth_method": 1, "username": "u", "password": "p"
  },
  "record": {
    "enable_flv": false, "flv_out_path": "./flv/",
    "enable_mpegts": false, "mpegts_out_path": "./ts"
  },
  "relay_push": { "enable": false, "addr_list": [] },
  "static_relay_pull": { "enable": false, "addr": "" },
  "http_api": { "enable": true, "addr": ":8083" },
  "server_id": "1",
  "http_notify": {
    "enable": false, "update_interval_sec": 5,
    "on_server_start": "http://127.0.0.1:10101/on_server_start", "on_update": "",
    "on_pub_start": "", "on_pub_stop": "", "on_sub_start": "", "on_sub_stop": "",
    "on_relay_pull_start": "", "on_relay_pull_stop": "", "on_rtmp_connect": "",
    "on_hls_make_ts": ""
  },
  "simple_auth": {
    "key": "k", "dangerous_lal_secret": "s", "pub_rtmp_enable": false,
    "sub_rtmp_enable": false, "sub_httpflv_enable": false, "sub_httpts_enable": false,
    "pub_rtsp_enable": false, "sub_rtsp_enable": false, "hls_m3u8_enable": false
  },
  "pprof": { "enable": true, "addr": ":8084" },
  "log": {
    "level": 1, "filename": "./logs/lalserver.log", "is_to_stdout": true,
    "is_rotate_daily": true, "short_file_flag": true, "timestamp_flag": true,
    "timestamp_with_ms_flag": true, "level_flag": true, "assert_behavior": 1
  },
  "debug": {
    "log_group_interval_sec": 30, "log_group_max_group_num": 10,
    "log_group_max_sub_num_per_group": 10
  }
}"##;

fn translated(text: &str) -> (Config, Vec<String>) {
    let mut warnings = Vec::new();
    let file = "lal.conf.json".into();
    let tree = lal::translate(&file, text, &|_| true, &mut warnings).unwrap();
    let mut problems = Vec::new();
    let config = tree.read(&mut problems);
    assert_eq!(problems, []);
    (config, warnings)
}

fn read(text: &str) -> Result<Loaded, Error> {
    Sources::default().combine(Some((Path::new("lal.conf.json"), text.to_owned())))
}

#[test]
fn the_whole_of_lals_keys_is_understood() {
    let (config, warnings) = translated(FULL);
    let expected: Config = toml::from_str(
        r#"
        [server]
        identity = "name"
        wait_for_stream = "2m"
        [log]
        level = "debug"
        file = "./logs/lalserver.log"
        [rtmp]
        publisher_idle = "2m"
        [rtsp]
        start = "key_frame"
        publisher_idle = "2m"
        [relay]
        source_idle = "2m"
        [tls]
        cert = "./conf/cert.pem"
        key = "./conf/key.pem"
        [api]
        listen = ":8083"
        open = true
        hosts = ["*"]
        [mp4]
        enable = false
        [hls]
        container = "ts"
        segment_duration = "3s"
        low_latency = false
        segments = 6
        kept_segments = 6
        on_demand = false
        linger = "36s"
        [record]
        hls = "./lal_record/hls/{name}"
        hls_cleanup = "after_end"
        [stream]
        gops = 0
        grace = "2m"
        record_grace = "0s"
        record = ["hls"]
        "#,
    )
    .unwrap();
    assert_eq!(config, expected);
    let reasons: Vec<_> =
        warnings.iter().map(|warning| warning.rsplit(": ").next().unwrap()).collect();
    assert_eq!(
        reasons,
        [
            "the profiler is that of another runtime",
            "log lines always have a time and a level, and never a source file",
            "a broken invariant ends one session and is logged, whatever is set",
            "streams are not listed in the log; ask the API",
        ]
    );
}

#[test]
fn features_that_are_switched_off_are_not_missed() {
    let of = |text: &str| translated(text).1.iter().filter(|w| w.contains("profiler")).count();
    let profiler = r#""pprof": { "enable": true"#;
    assert_eq!(of(FULL), 1);
    assert_eq!(of(&FULL.replace(profiler, r#""pprof": { "enable": false"#)), 0);
}

#[test]
fn silent_audio_is_taken_over() {
    let silence = |text: &str| {
        let (config, warnings) = translated(text);
        let of_audio = warnings.iter().find(|w| w.contains("dummy_audio") && w.contains("effect"));
        assert_eq!(of_audio, None);
        let after = config.stream.silent_audio_after.get().as_millis();
        (config.stream.silent_audio, after)
    };
    assert_eq!(silence(FULL), (false, 150));
    let on = FULL.replace("dummy_audio_enable\": false", "dummy_audio_enable\": true");
    assert_eq!(silence(&on), (true, 150));
    assert_eq!(silence(&on.replace("audio_ms\": 150", "audio_ms\": 400")), (true, 400));
    let once = r#"{"rtmp": {"add_dummy_audio_enable": true, "add_dummy_audio_wait_audio_ms": 90}}"#;
    assert_eq!(silence(once), (true, 90));
    assert_eq!(silence(r#"{"in_session": {"add_dummy_audio_enable": true}}"#), (true, 150));
    assert_eq!(silence(&on.replace("audio_ms\": 150", "audio_ms\": -1")), (true, 0));
}

#[test]
fn numbers_that_are_out_of_range_here_are_the_nearest_that_are_not() {
    let text = r#"{
      "rtmp": {"enable": true, "gop_num": 100, "single_gop_max_frame_num": 9000000},
      "hls": {"enable": true, "fragment_duration_ms": 90000, "fragment_num": 0,
              "delete_threshold": 500, "sub_session_hash_key": "k",
              "sub_session_timeout_ms": 10},
      "in_session": {"add_dummy_audio_enable": true, "add_dummy_audio_wait_audio_ms": 20000},
      "http_notify": {"enable": true, "update_interval_sec": 86400}
    }"#;
    let Loaded { config, warnings, .. } = read(text).unwrap();
    assert_eq!(config.stream.gops, 64);
    assert_eq!(config.stream.max_gop_frames, 1_000_000);
    assert_eq!(config.hls.segment_duration.to_string(), "1m");
    assert_eq!((config.hls.segments, config.hls.kept_segments), (1, 500));
    assert_eq!(config.hls.linger.to_string(), "1h");
    assert_eq!(config.hls.session_timeout.to_string(), "1s");
    assert_eq!(config.stream.silent_audio_after.to_string(), "10s");
    assert_eq!(config.webhooks.update_interval.to_string(), "1h");
    let said = |key: &str| warnings.iter().filter(|text| text.starts_with(key)).count();
    assert_eq!(
        (said("hls."), said("rtmp."), said("in_session."), said("http_notify.")),
        (4, 2, 1, 1)
    );
    assert!(
        warnings.contains(
            &"hls.delete_threshold: 45000000 is more or less than hls.linger can be here; it is 1h \
             now"
                .to_owned()
        ),
        "{warnings:?}"
    );
    let smallest = read(r#"{"rtmp": {"enable": true, "gop_num": -1}}"#).unwrap();
    assert_eq!(smallest.config.stream.gops, 0);
}

#[test]
fn relays_are_those_of_lal() {
    let (config, warnings) = translated(
        r#"{
          "relay_push": {"enable": true, "addr_list": ["a:1935", "b.example"]},
          "static_relay_pull": {"enable": true, "addr": "origin:19350"}
        }"#,
    );
    assert!(!warnings.iter().any(|warning| warning.contains("no effect")), "{warnings:?}");
    let [rule] = &config.relay.push[..] else { panic!("{:?}", config.relay.push) };
    assert!(rule.stream.matches("live/a"));
    let to = ["rtmp://a:1935/{app}/{name}?{query}", "rtmp://b.example/{app}/{name}?{query}"];
    assert_eq!(rule.to, to);
    let [rule] = &config.relay.pull[..] else { panic!("{:?}", config.relay.pull) };
    assert!(rule.stream.matches("live/a") && rule.start() == PullStart::OnDemand);
    // What viewers show to be let in here is nothing that another server is told.
    assert_eq!(rule.from, ["rtmp://origin:19350/{path}"]);
    let off = r#"{"relay_push": {"enable": false, "addr_list": ["a"]},
                  "relay_pull": {"enable": false, "addr": "b"}}"#;
    let (config, _) = translated(off);
    assert!(config.relay.push.is_empty() && config.relay.pull.is_empty());
    // Its old name.
    let (config, _) = translated(r#"{"relay_pull": {"enable": true, "addr": "b"}}"#);
    assert_eq!(config.relay.pull[0].from, ["rtmp://b/{path}"]);
}

#[test]
fn values_that_differ_from_the_sample_are_translated() {
    let (config, warnings) = translated(
        r#"{
          "rtmp": {"enable": true, "addr": "localhost:19350", "gop_num": 2,
                   "single_gop_max_frame_num": 300, "merge_write_size": 8192},
          "httpflv": {"enable": true, "url_pattern": "live", "gop_num": 3,
                      "http_listen_addr": "0.0.0.0:80"},
          "default_http": {"http_listen_addr": ":8080"},
          "http_api": {"enable": false, "addr": ":8083"},
          "server_id": "edge-1",
          "log": {"level": 3, "is_rotate_daily": false, "is_to_stdout": false},
          "hls": {"enable": false}
        }"#,
    );
    assert_eq!(config.rtmp.listen.iter().next().unwrap().as_str(), "127.0.0.1:19350");
    assert!(config.rtmp.tls_listen.is_empty());
    assert_eq!(config.http.listen.iter().next().unwrap().as_str(), "0.0.0.0:80");
    assert!(config.http.tls_listen.is_empty());
    assert_eq!(config.flv.url_prefix.iter().collect::<Vec<_>>(), ["/live/"]);
    assert!(!config.api.enable);
    assert_eq!(config.server.id, "edge-1");
    assert_eq!(config.server.identity, Identity::Name);
    assert_eq!(config.stream.gops, 3);
    assert_eq!(config.stream.max_gop_frames, 300);
    assert_eq!(config.stream.flush_after.get().as_millis(), 32);
    assert_eq!(config.log.level, Level::Warn);
    assert_eq!(config.log.rotation, Rotation::Never);
    assert!(!config.log.to_terminal);
    assert!(warnings.iter().any(|w| w.starts_with("rtmp.gop_num and httpflv.gop_num differ")));
    let missing = warnings.last().unwrap();
    assert!(missing.contains("rtmp.rtmps_enable, "), "{missing}");
    assert!(!missing.contains("rtmp.gop_num"), "{missing}");
}

#[test]
fn patterns_that_take_everything_are_taken_as_they_can_be_here() {
    let text = r#"{"default_http": {"http_listen_addr": ":8080"},
        "httpflv": {"enable": true, "url_pattern": "/"},
        "httpts": {"enable": true, "url_pattern": "/"},
        "hls": {"enable": true, "http_listen_addr": ":8081", "url_pattern": "/"}}"#;
    let about = |warnings: Vec<String>| -> Vec<String> {
        warnings.into_iter().filter(|text| text.contains("url_pattern: ")).collect()
    };
    for pattern in ["/", "//"] {
        let text = text.replace(r#""/"}}"#, &format!("{pattern:?}}}}}"));
        let Loaded { config, warnings, .. } = read(&text).unwrap();
        let prefixes = config.flv.url_prefix.iter().chain(config.ts.url_prefix.iter());
        assert_eq!(
            prefixes.chain([&*config.hls.url_prefix]).collect::<Vec<_>>(),
            ["/", "/", "/hls/"]
        );
        assert_eq!(
            about(warnings),
            [
                "hls.url_pattern: \"/\" would make all addresses those of HLS; they begin with /hls/ \
                 now, such as /hls/NAME.m3u8"
            ]
        );
    }
    // Nobody is told about what is not served.
    let (config, warnings) =
        translated(&text.replace(r#""hls": {"enable": true"#, r#""hls": {"enable": false"#));
    assert!(!config.hls.enable && about(warnings).is_empty());
}

#[test]
fn flv_and_ts_are_served_under_the_patterns_of_both() {
    let prefixes = |flv: &str, ts: &str| {
        let text = format!(r#"{{"httpflv": {{{flv}}}, "httpts": {{{ts}}}}}"#);
        let config = read(&text).unwrap().config;
        let list = |setting: &Prefixes| setting.iter().collect::<Vec<_>>().join(" ");
        (list(&config.flv.url_prefix), list(&config.ts.url_prefix))
    };
    let flv = r#""enable": true, "url_pattern": "live""#;
    let both = prefixes(flv, r#""enable": true, "url_pattern": "/any/""#);
    assert_eq!(both, ("/live/ /any/".to_owned(), "/any/ /live/".to_owned()));
    let everything = prefixes(flv, r#""enable": true, "url_pattern": "/""#);
    assert_eq!(everything, ("/".to_owned(), "/".to_owned()));
    // What is switched off has no pattern that counts.
    let alone = prefixes(flv, r#""enable": false, "url_pattern": "/any/""#);
    assert_eq!(alone.0, "/live/");
}

#[test]
fn notifications_go_where_they_went() {
    let text = r#"{"http_notify": {
        "enable": true, "update_interval_sec": 7, "on_update": "http://127.0.0.1:10101/update",
        "on_pub_start": "http://hooks.example/pub?key=1", "on_pub_stop": "",
        "on_hls_make_ts": "https://hooks.example/ts"
    }}"#;
    let (config, warnings) = translated(text);
    let mut expected = Webhooks {
        update_interval: units::Span::from_secs(7),
        on_update: "http://127.0.0.1:10101/update".to_owned(),
        on_pub_start: "http://hooks.example/pub?key=1".to_owned(),
        on_hls_make_ts: "https://hooks.example/ts".to_owned(),
        ..Default::default()
    };
    assert_eq!(config.webhooks, expected);
    assert!(!warnings.iter().any(|warning| warning.contains("http_notify")), "{warnings:?}");
    // lal tells the update once then.
    let (config, _) = translated(&text.replace("\"update_interval_sec\": 7,", ""));
    expected.update_interval = units::Span::default();
    assert_eq!(config.webhooks, expected);
    let (config, _) = translated(&text.replace("true", "false"));
    assert_eq!(config.webhooks, Default::default());
    let error = read(&text.replace("http://hooks", "hooks")).unwrap_err().to_string();
    assert_eq!(
        error,
        "lal.conf.json, lal's key http_notify.on_pub_start: webhooks.on_pub_start: it is not a URL \
         of http or https with a host; write something like \"https://hooks.example/headwater\""
    );
}

#[test]
fn an_empty_file_serves_nothing_as_in_lal() {
    let loaded = read("{}").unwrap();
    let config = &loaded.config;
    assert!(!config.rtmp.enable && !config.flv.enable && !config.api.enable);
    assert!(config.http.listen.is_empty() && config.http.tls_listen.is_empty());
    assert!(loaded.warnings.iter().any(|warning| warning.starts_with("nothing is served")));
}

#[test]
fn unknown_keys_are_named_and_comments_are_not() {
    let (_, warnings) = translated(r##"{"# a": 1, "rtmp": {"# b": 2, "bananas": 3}, "c": {}}"##);
    let unknown: Vec<_> = warnings.iter().filter(|w| w.contains("not a key of lal's")).collect();
    assert_eq!(unknown, ["rtmp.bananas is not a key of lal's: it has no effect"]);
}

#[test]
fn what_gos_decoder_takes_is_taken() {
    let text = r#"{
        "RTMP": {"Enable": true, "addr": ":1", "ADDR": ":13935", "addr": null},
        "rtmp": {"gop_num": 2},
        "relay_push": {"enable": true, "addr_list": ["a", null]},
        "relay_push": {"addr_list": ["b", null]},
        "static_relay_pull": null,
        "http_api": {"enable": true, "addr": ":13083"},
        "log": {"level": null}
    }"#;
    let Loaded { config, warnings, .. } = read(text).unwrap();
    assert!(config.rtmp.enable);
    assert_eq!(config.rtmp.listen.iter().next().unwrap().as_str(), ":13935");
    assert_eq!(config.stream.gops, 2);
    assert_eq!(config.relay.push[0].to, ["rtmp://b/{app}/{name}?{query}"]);
    assert!(!warnings.iter().any(|text| text.contains("not a key")), "{warnings:?}");
    // As if it were not there.
    assert!(warnings.iter().any(|text| text.contains("log.level")), "{warnings:?}");
    let text = r#"{"relay_push": {"enable": true, "addr_list": null}}"#;
    assert!(translated(text).0.relay.push.is_empty());
}

#[test]
fn wrong_values_are_refused_where_they_stand() {
    for (text, expected) in [
        (
            "{\"rtmp\": {\"addr\": true},\n\"rtmp\": {\"addr\": \":1\",\n\"Addr\": 5}}",
            "lal.conf.json:3:9: rtmp.addr: invalid type: integer `5`, expected a string",
        ),
        (
            "{\"relay_push\":\n {\"addr_list\": [\"a\",\n {}]}}",
            "lal.conf.json:2:16: relay_push.addr_list[1]: invalid type: map, expected a string",
        ),
        (
            "{\n \"hls\": {\"enable\": 1}}",
            "lal.conf.json:2:9: hls: invalid type: integer `1`, expected a boolean",
        ),
        (
            "{\n \"rtmp\": {\"enable\": \"yes\"}\n}",
            "lal.conf.json:2:25: rtmp.enable: invalid type: string \"yes\", expected a boolean",
        ),
        ("{\n \"rtmp\": {,}\n}", "lal.conf.json:2:11: key must be a string"),
        (
            r#"{"rtmp": {"enable": true, "addr": "media.example:1935"}}"#,
            "lal.conf.json, lal's key rtmp.addr: rtmp.listen[0]: \"media.example:1935\" is neither \
             \":PORT\", for all addresses, nor \"IP:PORT\"; host names are not looked up; the \
             default is listen = [\":1935\"]",
        ),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn what_was_closed_stays_closed() {
    let text = r#"{"simple_auth": {"key": "k", "dangerous_lal_secret": "s",
        "pub_rtmp_enable": true, "sub_rtsp_enable": true, "hls_m3u8_enable": true}}"#;
    let (config, _) = translated(text);
    assert_eq!(config.auth.lal_for.to_string(), "pub_rtmp, sub_rtsp, hls_m3u8");
    assert_eq!((&*config.auth.lal_key, &*config.auth.lal_override), ("k", "s"));
    let error = read(&text.replace("\"k\"", "\"\"").replace("\"s\"", "\"\"")).unwrap_err();
    assert!(error.to_string().contains("nobody could show a lal_secret"), "{error}");
    // Where nothing is closed, the key opens nothing.
    let (config, _) = translated(&text.replace("true", "false"));
    assert!(config.auth.lal_for.is_empty() && config.auth.lal_key.is_empty());
}

#[test]
fn publishers_show_what_they_show_to_lal() {
    let text = r#"{"rtsp": {"enable": true, "addr": ":5544", "auth_enable": true, "username": "u",
                   "password": "p"},
        "simple_auth": {"key": "k", "pub_rtsp_enable": true, "sub_rtsp_enable": true}}"#;
    let asked = |text: &str| {
        let (config, warnings) = translated(text);
        let said = warnings.iter().any(|warning| warning.starts_with("rtsp.auth_enable: pub"));
        (config.rtsp.auth_play, config.rtsp.auth_publish, said)
    };
    assert_eq!(asked(text), (true, false, false), "a lal_secret is enough");
    let open = text.replace("\"pub_rtsp_enable\": true, ", "");
    assert_eq!(asked(&open), (true, true, true), "nobody publishes without any proof");
}

#[test]
fn a_certificate_that_is_not_there_leaves_tls_out() {
    let loaded = read(&FULL.replace("./conf/", "./no such directory/")).unwrap();
    assert!(loaded.config.rtmp.tls_listen.is_empty() && loaded.config.http.tls_listen.is_empty());
    assert!(loaded.config.tls.cert.get().is_none());
    let left_out: Vec<_> =
        loaded.warnings.iter().filter(|warning| warning.ends_with("is left out")).collect();
    assert_eq!(left_out.len(), 3, "{left_out:?}");
    assert!(left_out[0].starts_with("default_http.https_cert_file: "), "{left_out:?}");
}

#[test]
fn only_what_has_no_certificate_is_left_out() {
    let mut warnings = Vec::new();
    let text = FULL
        .replace("\"https_cert_file\": \"./conf/", "\"https_cert_file\": \"./lost/")
        .replace("\"hls\": {", "\"hls\": {\"https_cert_file\": \"./hls.pem\",")
        .replace("\"rtsps_key_file\": \"./conf/", "\"rtsps_key_file\": \"./lost/")
        .replace("\"rtmps_cert_file\": \"./conf/", "\"rtmps_cert_file\": \"./other/");
    let exists = |path: &Path| !path.starts_with("./lost");
    let file = "lal.conf.json".into();
    let tree = lal::translate(&file, &text, &exists, &mut warnings).unwrap();
    let config = tree.read(&mut Vec::new());
    assert_eq!(config.tls.cert.get(), Some(Path::new("./hls.pem")));
    assert!(!config.rtmp.tls_listen.is_empty() && config.rtsp.tls_listen.is_empty());
    // One of those who share the address has a certificate.
    assert!(!config.http.tls_listen.is_empty());
    let said: Vec<_> = warnings.iter().take(3).map(String::as_str).collect();
    assert_eq!(
        said,
        [
            "default_http.https_cert_file: \"./lost/cert.pem\" or its key \"./conf/key.pem\" is not \
             there; HTTPS is left out",
            "rtmp.rtmps_cert_file and its key are not those of HTTPS of hls; there is one certificate \
             for all listeners, and that of HTTPS of hls is taken",
            "rtsp.rtsps_cert_file: \"./conf/cert.pem\" or its key \"./lost/key.pem\" is not there; \
             RTSPS is left out",
        ]
    );
}

#[test]
fn what_is_recorded_keeps_its_place_and_its_name() {
    let text = r#"{
      "hls": {"enable": true, "out_path": "/var/hls", "use_memory_as_disk_flag": true,
              "sub_session_hash_key": "q", "fragment_num": 5, "cleanup_mode": 2},
      "record": {"enable_flv": true, "flv_out_path": "/var/flv", "enable_mpegts": true}
    }"#;
    let (config, _) = translated(text);
    assert_eq!(config.stream.record.to_string(), "flv, ts");
    assert_eq!(config.record.flv, "/var/flv/{name}-{unix}.flv");
    assert_eq!(config.record.ts, "./lal_record/mpegts/{name}-{unix}.ts");
    assert_eq!(config.hls.session_key, "q");
    assert_eq!(config.hls.session_timeout.to_string(), "30s");
    let on_disk = text.replace("\"use_memory_as_disk_flag\": true,", "");
    let (config, _) = translated(&on_disk);
    assert_eq!(config.stream.record.to_string(), "flv, ts, hls");
    assert_eq!(config.record.hls, "/var/hls/{name}");
    assert_eq!(config.record.hls_cleanup.as_str(), "rolling");
}
