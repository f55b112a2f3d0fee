//! The operator's API: lal's endpoints as lal answers them, and ours as their description says.

use std::fs;
use std::net::TcpListener;

use headwater_e2e::{Program, Server, clip, ffmpeg, program, python, root, wait_until};
use serde_json::{Value, json};

fn publish(server: &Server, stream: &str) -> Program {
    let publisher = clip::on(server, stream);
    wait_until("picture and sound are there", || {
        let group = server.group(stream);
        group["video_codec"] == "H264" && group["audio_codec"] == "AAC"
    });
    publisher
}

/// Replaces what differs from run to run by what it is.
fn steady(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let steady = |(key, value): (&String, &Value)| {
                let value = match (key.as_str(), value) {
                    ("start_time" | "remote_addr", Value::String(text)) if !text.is_empty() => {
                        json!(format!("<{key}>"))
                    }
                    ("bin_info", Value::String(text)) => {
                        json!(text.split('.').next().unwrap_or_default().split('-').next())
                    }
                    (
                        "read_bytes_sum" | "wrote_bytes_sum" | "unix_sec" | "cached_bytes" | "v",
                        _,
                    ) if *value != 0 => {
                        json!("<number>")
                    }
                    ("bitrate_kbits" | "read_bitrate_kbits" | "write_bitrate_kbits", _) => {
                        json!("<rate>")
                    }
                    ("in_frame_per_sec", Value::Array(all)) => {
                        json!(all.iter().take(1).map(steady).collect::<Vec<_>>())
                    }
                    _ => steady(value),
                };
                (key.clone(), value)
            };
            Value::Object(members.iter().map(steady).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(steady).collect()),
        other => other.clone(),
    }
}

/// Compares with the file of this name; with `GOLDEN=write` in the environment, writes it.
fn assert_golden(name: &str, value: &Value) {
    let path = root().join("tests/golden/api").join(name);
    let text = format!("{}\n", serde_json::to_string_pretty(&steady(value)).expect("JSON"));
    if std::env::var("GOLDEN").is_ok_and(|what| what == "write") {
        fs::write(&path, &text).expect("a file");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{name} differs; GOLDEN=write renews it:\n{text}\nwas:\n{golden}");
}

#[test]
fn lals_endpoints_answer_as_lals() {
    let mut server = Server::start(&[]);
    assert_golden("all_group_empty.json", &server.api("/api/stat/all_group"));
    let _publisher = publish(&server, "live/golden");
    let viewer = ffmpeg(&format!("-i {} -f null -", server.url("http", "live/golden")));
    wait_until("there is a viewer, and a second of pictures", || {
        let group = server.group("live/golden");
        server.viewers("live/golden") == 1
            && group["in_frame_per_sec"].as_array().is_some_and(|rates| !rates.is_empty())
            && group["subs"][0]["wrote_bytes_sum"].as_u64() > Some(0)
    });
    let get = |name: &str, path: &str| assert_golden(name, &server.api(path));
    get("lal_info.json", "/api/stat/lal_info");
    get("all_group.json", "/api/stat/all_group");
    get("group.json", "/api/stat/group?stream_name=golden");
    get("group_not_found.json", "/api/stat/group?stream_name=absent");
    get("group_without_name.json", "/api/stat/group");
    get("unknown_path.json", "/api/nothing");
    get("stop_pull_without_name.json", "/api/ctrl/stop_relay_pull");
    get("stop_pull_not_found.json", "/api/ctrl/stop_relay_pull?stream_name=absent");
    get("stop_pull_without_pull.json", "/api/ctrl/stop_relay_pull?stream_name=golden");
    let post = |name: &str, path: &str, body: Value| {
        assert_golden(name, &server.api_post(&format!("/api/ctrl/{path}"), &body));
    };
    post("param_missing.json", "kick_session", json!({ "stream_name": "golden" }));
    post("param_of_wrong_type.json", "kick_session", json!({ "stream_name": 1, "session_id": 2 }));
    let absent = json!({ "stream_name": "absent", "session_id": "FLVSUB1" });
    post("kick_group_not_found.json", "kick_session", absent);
    let absent = json!({ "stream_name": "golden", "session_id": "FLVSUB9" });
    post("kick_session_not_found.json", "kick_session", absent);
    post("start_pull_without_url.json", "start_relay_pull", json!({}));
    post("block_without_ip.json", "add_ip_blacklist", json!({ "duration_sec": 1 }));
    post("block.json", "add_ip_blacklist", json!({ "ip": "192.0.2.1", "duration_sec": 1 }));
    // The longer form of a viewer's id, as lal shows it.
    let viewer_id = json!({ "stream_name": "golden", "session_id": "FLVPUBSUB1" });
    post("kick.json", "kick_session", viewer_id);
    wait_until("the viewer is gone", || server.viewers("live/golden") == 0);
    drop(viewer);
    for path in ["/api/stat/lal_info", "/api/nothing"] {
        let (status, head, _) = server.ask("api", "OPTIONS", path, &[], "");
        assert_eq!(status, 200, "any method does");
        for header in [
            "content-type: application/json",
            "access-control-allow-origin: *",
            "access-control-allow-credentials: true",
            "access-control-allow-headers: content-type",
        ] {
            assert!(head.contains(header), "{head}");
        }
    }
    server.assert_healthy();
}

#[test]
fn a_client_made_for_lal_works() {
    let mut server = Server::start(&[]);
    let _publisher = publish(&server, "live/lals");
    let _viewer = ffmpeg(&format!("-i {} -f null -", server.url("http", "live/lals")));
    wait_until("it is watched", || {
        let rates = &server.group("live/lals")["in_frame_per_sec"];
        server.viewers("live/lals") == 1 && rates.as_array().is_some_and(|rates| rates.len() > 1)
    });
    let url = format!("http://127.0.0.1:{}", server.port("api"));
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_string_lossy().into_owned();
    let found = python("lal_client.py", &[&url, &folder, "lals", "FLVSUB1"]).finish();
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["codecs"], json!(["H264", "AAC"]), "{found}");
    assert_eq!(found["size"], json!([320, 180]), "{found}");
    assert_eq!(found["publisher"], "RTMPPUBSUB1", "{found}");
    assert_eq!(found["viewers"], json!(["FLVSUB1"]), "{found}");
    let succeeded = json!({ "error_code": 0, "desp": "succ" });
    let absent = json!({ "error_code": 1001, "desp": "group not found", "data": null });
    assert_eq!((&found["kick"], &found["block"]), (&succeeded, &succeeded));
    assert_eq!(found["absent"], absent);
    assert_eq!(found["unknown"], json!({ "error_code": 1003, "desp": "session not found" }));
    assert_eq!(found["stop"]["error_code"], 1001, "{found}");
    let pulling = json!({ "stream_name": "x", "session_id": "RTMPPULL1" });
    assert_eq!((&found["pull"]["error_code"], &found["pull"]["data"]), (&json!(0), &pulling));
    // What is pulled has not come: whoever comes first publishes.
    assert_eq!(found["rtp"], 0, "{found}");
    wait_until("the viewer is gone", || server.viewers("live/lals") == 0);
    server.assert_healthy();
}

#[test]
fn what_is_pulled_is_there_before_anything_of_it_has_come() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let from = format!("rtmp://{}/live/a", silent.local_addr().expect("an address"));
    let mut server = Server::start(&[]);
    // Another stream that ends in the same name is not what an order without an application means.
    let _other = publish(&server, "other/x");
    let order = json!({ "url": from, "stream_name": "x", "pull_retry_num": -1 });
    let begun = server.api_post("/api/ctrl/start_relay_pull", &order);
    assert_eq!(begun["error_code"], 0, "{begun}");
    assert_eq!(begun["data"]["session_id"], "RTMPPULL1", "{begun}");
    for name in ["live/x", "x"] {
        let group = server.api(&format!("/api/stat/group?stream_name={name}"));
        assert_eq!((&group["error_code"], &group["data"]["app_name"]), (&json!(0), &json!("live")));
        for seat in ["pub", "pull"] {
            assert_eq!(group["data"][seat]["session_id"], "", "nobody has answered: {group}");
        }
    }
    let all = server.api("/api/stat/all_group");
    let paths = |group: &Value| format!("{}/{}", group["app_name"], group["stream_name"]);
    let groups = all["data"]["groups"].as_array().expect("groups");
    let paths: Vec<_> = groups.iter().map(paths).collect();
    assert_eq!(paths, ["\"live\"/\"x\"", "\"other\"/\"x\""]);
    let stopped = server.api("/api/ctrl/stop_relay_pull?stream_name=x&stream_name=y");
    // As lal says it of one that has got nowhere yet, and it is not called any more.
    assert_eq!(
        (&stopped["error_code"], &stopped["data"]["session_id"]),
        (&json!(1003), &json!(""))
    );
    wait_until("it is pulled no more", || {
        server.api("/api/stat/group?stream_name=live/x")["error_code"] == 1001
    });
    let begun = server.api_post("/api/ctrl/start_relay_pull", &order);
    let kick = json!({ "stream_name": "x", "session_id": begun["data"]["session_id"] });
    // Another server that answers, and has nothing.
    let origin = Server::start(&["server.wait_for_stream=1m"]);
    let order = json!({ "url": origin.url("rtmp", "live/none"), "stream_name": "none" });
    let waits = server.api_post("/api/ctrl/start_relay_pull", &order);
    wait_until("it is seen to be pulled", || {
        let group = server.api("/api/stat/group?stream_name=none");
        group["data"]["pull"]["session_id"] == waits["data"]["session_id"]
    });
    assert_eq!(server.api_post("/api/ctrl/kick_session", &kick)["error_code"], 0);
    wait_until("it is gone", || {
        server.api("/api/stat/group?stream_name=live/x")["error_code"] == 1001
    });
    server.assert_healthy();
}

#[test]
fn parameters_are_read_as_lal_reads_them() {
    let server = Server::start(&[]);
    let post = |path: &str, body: &str| {
        let (_, _, answer) = server.ask("api", "POST", &format!("/api/ctrl/{path}"), &[], body);
        serde_json::from_str::<Value>(&answer).expect("JSON")["error_code"].clone()
    };
    let session = r#"{"stream_name": "a", "stream_name": "b", "session_id": null}"#;
    assert_eq!(post("kick_session", session), 1001, "the last one counts, and null is nothing");
    let never = r#"{"ip": "192.0.2.1", "duration_sec": -1}"#;
    assert_eq!(post("add_ip_blacklist", never), 0, "it is over already");
    let blocked = server.v1("GET", "access/blocked", &Value::Null).1;
    assert_eq!(blocked["items"], json!([]), "{blocked}");
    let pull = r#"{"url": "rtmp://127.0.0.1:1/live/a", "stream_name": null, "rtsp_mode": null,
        "pull_timeout_ms": -1, "debug_dump_packet": null}"#;
    assert_eq!(post("start_relay_pull", pull), 0);
    assert_eq!(post("start_rtp_pub", r#"{"stream_name": "c", "port": -1}"#), 2002);
    let port = r#"{"stream_name": "c", "port": null, "timeout_ms": -5, "is_tcp_flag": null}"#;
    assert_eq!(post("start_rtp_pub", port), 0);
    assert_eq!(post("start_rtp_pub", r#"{"stream_name": null}"#), 1002);
}

#[test]
fn streams_that_are_found_by_name_alone_have_the_application_of_their_publisher() {
    let mut server = Server::start(&["server.identity=name"]);
    let _publisher = clip::publish(&server.url("rtmp", "cameras/gate"));
    wait_until("the stream is live", || server.is_live("gate"));
    let group = server.api("/api/stat/group?stream_name=gate");
    assert_eq!(group["data"]["stream_name"], "gate", "{group}");
    assert_eq!(group["data"]["app_name"], "cameras", "{group}");
    server.assert_healthy();
}

#[test]
fn programs_may_call_by_name_where_a_file_of_lals_opens_the_api() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lal.conf.json");
    let lal = json!({ "http_api": { "enable": true, "addr": "127.0.0.1:0" },
        "log": { "filename": folder.path().join("log") } });
    fs::write(&file, lal.to_string()).expect("a file");
    let imported = Server::start_with(&["-c", &file.to_string_lossy()], &[]);
    let ours = Server::start(&[]);
    let ask = |server: &Server, path: &str, more: &[(&str, &str)]| {
        let headers = [&[("Host", "media.example:8083")], more].concat();
        let (status, _, body) = server.ask("api", "GET", path, &headers, "");
        (status, serde_json::from_str::<Value>(&body).expect("JSON"))
    };
    let stat = "/api/stat/all_group";
    assert_eq!(ask(&imported, stat, &[]).0, 200);
    let browser = [("User-Agent", "Mozilla/5.0"), ("Accept-Language", "en")];
    for (status, refusal) in [ask(&imported, stat, &browser), ask(&ours, stat, &[])] {
        assert_eq!((status, &refusal["error_code"]), (403, &json!(403)), "{refusal}");
        assert!(
            refusal["desp"].as_str().is_some_and(|text| text.contains("api.hosts")),
            "{refusal}"
        );
    }
    assert!(ask(&ours, "/api/v1/server", &[]).1["error"].is_string());
    let named = Server::start(&["api.hosts=media.example"]);
    assert_eq!(ask(&named, stat, &browser).0, 200);
}

#[test]
fn statuses_of_http_are_said_if_wanted() {
    let server = Server::start(&["api.status_codes=true"]);
    for (path, expected) in [
        ("/api/stat/lal_info", 200),
        ("/api/nothing", 404),
        ("/api/stat/group", 400),
        ("/api/stat/group?stream_name=absent", 404),
    ] {
        assert_eq!(server.ask("api", "GET", path, &[], "").0, expected, "{path}");
    }
}

#[test]
fn the_server_does_what_its_description_says() {
    // Nothing is called that is thought of here.
    let mut server = Server::demo(&["relay.private_targets=false"]);
    let url = format!("http://127.0.0.1:{}/api/openapi.json", server.port("api"));
    let schemathesis = root().join(".cache/venv/bin/schemathesis");
    let run = |options: &str| {
        let always =
            "--request-timeout 5 --no-color --seed 7 --suppress-health-check filter_too_much";
        let arguments = ["run", url.as_str()].into_iter().chain(always.split(' '));
        let arguments = arguments.chain(options.split_whitespace());
        program(&schemathesis.to_string_lossy(), arguments).finish();
    };
    // Names of streams, of devices and edges, addresses and times of recordings have rules that no
    // schema tells: there, what fits it may be refused. What never ends has tests of its own.
    let ruled = ["pulls", "pushes", "receivers", "devices/play", "devices/playback"];
    let ruled = [&ruled[..], &["devices/control", "devices/recordings", "edge_viewers"]].concat();
    let paths = |option: &str, paths: &[&str]| {
        paths.iter().map(|path| format!(" --{option} /api/v1/{path}")).collect::<String>()
    };
    let others = [&ruled[..], &["log", "events"]].concat();
    run(&format!("--max-examples 20{}", paths("exclude-path", &others)));
    let checks = "--exclude-checks positive_data_acceptance";
    run(&format!("--max-examples 10 {checks}{}", paths("include-path", &ruled)));
    server.assert_healthy();
}

#[test]
fn the_description_is_known() {
    let server = Server::start(&[]);
    let (status, _, body) = server.ask("api", "GET", "/api/openapi.json", &[], "");
    assert_eq!(status, 200);
    let description: Value = serde_json::from_str(&body).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    let list: Vec<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().expect("an item").keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    assert_golden("endpoints.json", &json!(list));
}

#[test]
fn streams_are_listed_and_told_in_detail() {
    let mut server = Server::start(&["stream.grace=0s"]);
    assert_eq!(server.v1("GET", "streams/live/detail", &Value::Null).0, 404);
    let _publisher = publish(&server, "live/detail");
    let _other = publish(&server, "other/detail");
    let _viewer = ffmpeg(&format!("-i {} -f null -", server.url("http", "live/detail")));
    wait_until("there is a viewer", || server.viewers("live/detail") == 1);
    let (status, found) = server.v1("GET", "streams?search=DETAIL&per_page=1&page=2", &Value::Null);
    assert_eq!((status, &found["total"]), (200, &json!(2)));
    assert_eq!(found["items"][0]["name"], "other/detail");
    assert_eq!(server.v1("GET", "streams?state=waiting", &Value::Null).1["total"], 0);
    for bad in ["streams?page=0", "streams?per_page=1001", "streams?page=x", "streams?state=dead"] {
        let (status, fault) = server.v1("GET", bad, &Value::Null);
        assert!(status == 400 && fault["error"].is_string(), "{bad}: {status} {fault}");
    }
    let mut detail = Value::Null;
    wait_until("rates, history and key frames are there", || {
        detail = server.v1("GET", "streams/live/detail", &Value::Null).1;
        detail["key_interval_ms"].as_array().is_some_and(|all| all.len() > 1)
            && detail["history"]["in_kbps"].as_array().is_some_and(|all| !all.is_empty())
            && detail["in_kbps"].as_u64() > Some(0)
    });
    assert_eq!(detail["viewers"], 1);
    assert_eq!(detail["gop_frames"], 25);
    assert_eq!(detail["gop_ms"], 1000);
    let video = &detail["tracks"][0];
    assert_eq!((&video["codec"], &video["width"]), (&json!("H264"), &json!(320)));
    assert_eq!(video["fps"], 25.0);
    assert!(video["rfc6381"].as_str().is_some_and(|name| name.starts_with("avc1.6400")), "{video}");
    assert_eq!(detail["tracks"][1]["rfc6381"], "mp4a.40.2");
    assert_eq!(detail["publisher"]["protocol"], "RTMP");
    assert_eq!(detail["play"]["query"], "");
    // Slashes may be written either way.
    assert_eq!(server.v1("GET", "streams/live%2Fdetail", &Value::Null).0, 200);
    let kick = json!({ "stream": "live/detail", "who": "viewers" });
    assert_eq!(server.v1("POST", "streams/kick", &kick), (200, json!({ "kicked": 1 })));
    let kick = json!({ "stream": "live/detail", "who": "publisher" });
    assert_eq!(server.v1("POST", "streams/kick", &kick), (200, json!({ "kicked": 1 })));
    wait_until("the stream is gone", || {
        server.v1("GET", "streams/live/detail", &Value::Null).0 == 404
    });
    server.assert_healthy();
}

#[test]
fn sessions_are_listed_filtered_and_ended() {
    let mut server = Server::start(&[]);
    let _publisher = publish(&server, "live/listed");
    let url = server.url("http", "live/listed");
    let _viewers: Vec<_> = (0..3).map(|_| ffmpeg(&format!("-i {url} -f null -"))).collect();
    wait_until("there are three viewers", || server.viewers("live/listed") == 3);
    let list = |query: &str| server.v1("GET", &format!("sessions?{query}"), &Value::Null).1;
    assert_eq!(list("")["total"], 4);
    assert_eq!(list("role=pub")["items"][0]["protocol"], "RTMP");
    assert_eq!(list("protocol=FLV&stream=live/listed")["total"], 3);
    assert_eq!(list("search=flvsub2")["items"][0]["id"], "FLVSUB2");
    let newest = list("protocol=FLV&sort=started&order=desc&per_page=1");
    assert_eq!((&newest["items"][0]["id"], &newest["total"]), (&json!("FLVSUB3"), &json!(3)));
    let (status, one) = server.v1("GET", "sessions/FLVSUB2", &Value::Null);
    assert_eq!((status, &one["stream"]), (200, &json!("live/listed")));
    assert_eq!(server.v1("DELETE", "sessions/FLVSUB2", &Value::Null).0, 204);
    wait_until("it is gone", || server.v1("GET", "sessions/FLVSUB2", &Value::Null).0 == 404);
    assert_eq!(server.v1("DELETE", "sessions/FLVSUB2", &Value::Null).0, 404);
    server.assert_healthy();
}

#[test]
fn a_recording_begins_and_ends_by_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let template = format!("record.mp4={}/{{path}}-{{unix}}.mp4", folder.path().display());
    let mut server = Server::start(&[&template]);
    let wish = json!({ "stream": "live/wish", "format": "mp4" });
    assert_eq!(server.v1("POST", "record/start", &wish).0, 404);
    let _publisher = publish(&server, "live/wish");
    let recording = json!({ "recording": ["mp4"] });
    assert_eq!(server.v1("POST", "record/start", &wish), (200, recording));
    assert_eq!(server.v1("POST", "record/start", &wish).0, 409);
    server.wait_for_log(&[" records ", "live/wish"]);
    wait_until("something is recorded", || {
        let files = server.v1("GET", "recordings?stream=live/wish", &Value::Null).1;
        files["items"][0]["size"].as_u64() > Some(50_000)
    });
    let stopped = server.v1("POST", "record/stop", &wish);
    assert_eq!(stopped, (200, json!({ "recording": [] })));
    assert_eq!(server.v1("POST", "record/stop", &wish).0, 409);
    server.wait_for_log(&[" recorded ", "live/wish"]);
    let files = server.v1("GET", "recordings", &Value::Null).1;
    let path = files["items"][0]["path"].as_str().expect("a path").to_owned();
    let url = format!("http://127.0.0.1:{}{path}", server.port("api"));
    let found = program(
        "ffprobe",
        ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", url.as_str()],
    );
    assert_eq!(found.finish().split_whitespace().collect::<Vec<_>>(), ["h264", "aac"]);
    assert!(server.is_live("live/wish"), "the stream goes on");
    server.assert_healthy();
}

#[test]
fn settings_are_shown_without_secrets_and_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("headwater.toml");
    let write = |more: &str| {
        let secrets = "[hls]\nsession_key = 'opensesame'\n[auth]\nlal_key = 'opensesame'\n\
                       users = [{ name = 'alice', password = 'opensesame' }]\n";
        fs::write(&file, format!("{secrets}{more}")).expect("a file");
    };
    write("[stream]\ngops = 1\n");
    let path = file.to_string_lossy().into_owned();
    let mut server = Server::start_with(&["-c", path.as_str()], &[]);
    let (status, shown) = server.v1("GET", "config", &Value::Null);
    assert_eq!((status, &shown["settings"]["stream"]["gops"]), (200, &json!(1)));
    assert_eq!(shown["settings"]["hls"]["session_key"], "***");
    assert!(!shown.to_string().contains("opensesame"), "{shown}");
    write("[stream]\ngops = 2\n[rtmp]\nenable = false\n");
    let (status, outcome) = server.v1("POST", "config/reload", &Value::Null);
    assert_eq!((status, &outcome["applied"]), (200, &json!(["stream.gops"])));
    assert_eq!(outcome["needs_restart"], json!(["rtmp.enable"]));
    assert_eq!(server.v1("GET", "config", &Value::Null).1["settings"]["stream"]["gops"], 2);
    write("[stream]\ngops = 'many'\n");
    let (status, fault) = server.v1("POST", "config/reload", &Value::Null);
    assert_eq!(status, 422);
    assert!(fault["error"].as_str().is_some_and(|e| e.contains("stream.gops")), "{fault}");
    assert_eq!(server.v1("GET", "config", &Value::Null).1["settings"]["stream"]["gops"], 2);
    assert!(!server.log().contains("opensesame"));
    server.assert_healthy();
}

#[test]
fn the_log_is_shown_and_its_level_changed() {
    let mut server = Server::start(&["log.level=info"]);
    assert_eq!(server.v1("GET", "log/level", &Value::Null).1, json!({ "level": "info" }));
    let debug = json!({ "level": "debug" });
    assert_eq!(server.v1("PUT", "log/level", &debug), (200, debug.clone()));
    let _publisher = publish(&server, "live/logged");
    server.wait_for_log(&["DEBUG", "connects"]);
    let url = format!("http://127.0.0.1:{}/api/v1/log", server.port("api"));
    let reader = program("curl", ["-sN", "--max-time", "20", url.as_str()]);
    wait_until("the line is shown", || {
        let shown = reader.stdout();
        let mut data = shown.lines().filter_map(|line| line.strip_prefix("data: "));
        data.any(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["message"] == "publishes" && line["fields"]["stream"] == "live/logged"
        })
    });
    server.assert_healthy();
}

#[test]
fn metrics_are_understood() {
    let mut server = Server::demo(&[]);
    let _viewer = ffmpeg(&format!("-i {} -f null -", server.url("http", "live/demo")));
    wait_until("there is a viewer", || server.viewers("live/demo") == 1);
    let url = format!("http://127.0.0.1:{}/metrics", server.port("api"));
    let families = python("read_metrics.py", &[&url]).finish();
    for family in [
        "headwater_sessions",
        "headwater_read_bytes",
        "headwater_streams",
        "headwater_stream_viewers{'stream': 'live/demo'} 1.0",
        "process_cpu_seconds",
    ] {
        assert!(families.contains(family), "{family} is missing:\n{families}");
    }
    let documented = fs::read_to_string(root().join("docs/metrics.md")).expect("a page");
    for line in families.lines() {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        assert!(documented.contains(&format!("`{name}")), "{name} is not documented");
    }
    server.assert_healthy();
}

#[test]
fn the_dashboard_shows_what_there_is() {
    let text = fs::read_to_string(root().join("deploy/grafana.json")).expect("a dashboard");
    let board: Value = serde_json::from_str(&text).expect("JSON");
    let documented = fs::read_to_string(root().join("docs/metrics.md")).expect("a page");
    let panels = board["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let mut metrics = 0;
    for expression in targets.filter_map(|target| target["expr"].as_str()) {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for name in words.filter(|w| w.starts_with("headwater_") || w.starts_with("process_")) {
            assert!(documented.contains(&format!("`{name}`")), "{name} is not documented");
            metrics += 1;
        }
    }
    assert!(metrics > 15, "only {metrics} metrics");
}

#[test]
fn it_is_said_whether_the_server_lives_and_is_ready() {
    let mut server = Server::start(&[]);
    assert_eq!(server.ask("api", "GET", "/healthz", &[], "").2, "ok\n");
    assert_eq!(server.ask("api", "GET", "/readyz", &[], "").0, 200);
    server.assert_healthy();
}
