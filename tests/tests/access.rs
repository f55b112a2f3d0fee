//! Who may publish, play and connect: every protocol asks, whatever way it has to answer.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use headwater_e2e::{Program, Server, clip, ffmpeg, program, wait_until};
use serde_json::{Value, json};

const PASSWORD: &str = "op3nSesame";

/// Alice publishes below `live/` and plays everything; Bob plays what is below `other/`.
fn guarded(more: &[&str]) -> Server {
    let users = format!(
        "auth.users=[{{name='alice',password='{PASSWORD}',publish=['live/*'],play=['*'],api=true}},\
         {{name='bob',password='{PASSWORD}',play=['other/*']}}]"
    );
    let all = ["auth.required=['publish','play']", &users, "server.wait_for_stream=2s"];
    Server::start(&[&all[..], more].concat())
}

/// Fails unless the program does, with a complaint.
fn refused(program: Program) {
    assert!(!program.fail().is_empty());
}

fn login(query: &str) -> String {
    query.replace("PASS", PASSWORD)
}

/// The status that an HTTP address answers with, and the start of the body.
fn status(arguments: &[&str], url: &str) -> String {
    let fixed = ["-s", "-o", "/dev/null", "--max-time", "2", "-w", "%{http_code}"];
    let mut curl = program("curl", fixed.iter().chain(arguments).chain([&url]));
    // Endless media ends by the limit of time.
    curl.wait();
    curl.stdout()
}

#[test]
fn publishers_show_who_they_are() {
    let mut server = guarded(&[]);
    let (rtmp, rtsp) = (server.url("rtmp", "live/mine"), server.url("rtsp", "live/mine"));
    for query in ["", "?user=alice&pass=wrong", "?user=bob&pass=PASS", "?user=&pass="] {
        refused(clip::publish(&format!("{rtmp}{}", login(query))));
    }
    let elsewhere = server.url("rtmp", "secret/mine");
    refused(clip::publish(&format!("{elsewhere}{}", login("?user=alice&pass=PASS"))));
    let complaint = clip::publish(&rtsp).fail();
    assert!(complaint.contains("401"), "{complaint}");
    let with = |url: &str, login: &str| url.replacen("rtsp://", &format!("rtsp://{login}@"), 1);
    let complaint = clip::publish(&with(&rtsp, "alice:wrong")).fail();
    assert!(complaint.contains("401"), "{complaint}");
    let complaint = clip::publish(&with(&rtsp, &login("bob:PASS"))).fail();
    assert!(complaint.contains("403"), "{complaint}");
    assert!(!server.is_live("live/mine"));
    for url in [
        format!("{rtmp}{}", login("?user=alice&pass=PASS")),
        with(&rtsp, &login("alice:PASS")),
        format!("{rtsp}{}", login("?user=alice&pass=PASS")),
    ] {
        let publisher = clip::publish(&url);
        wait_until("the stream is live", || server.is_live("live/mine"));
        let sessions = server.v1("GET", "sessions?role=pub", &Value::Null).1;
        assert_eq!(sessions["items"][0]["user"], "alice");
        assert!(!sessions.to_string().contains(PASSWORD), "{sessions}");
        drop(publisher);
        wait_until("the publisher is gone", || !server.is_live("live/mine"));
    }
    assert!(!server.log().contains(PASSWORD), "the password is in the log");
    server.assert_healthy();
}

#[test]
fn viewers_show_who_they_are() {
    let mut server = guarded(&["hls.segment_duration=1s"]);
    let _publisher = clip::publish(&format!(
        "{}{}",
        server.url("rtmp", "live/seen"),
        login("?user=alice&pass=PASS")
    ));
    wait_until("the stream is live", || server.is_live("live/seen"));
    let alice = login("alice:PASS");
    let bob = login("bob:PASS");
    for scheme in ["http", "http+ts", "http+mp4"] {
        let url = server.url(scheme, "live/seen");
        assert_eq!(status(&[], &url), "401", "{scheme}");
        assert_eq!(status(&["-I"], &url), "401", "{scheme}");
        assert_eq!(status(&["-u", "alice:wrong"], &url), "401", "{scheme}");
        assert_eq!(status(&["-u", &bob], &url), "403", "{scheme}");
        assert_eq!(status(&["-u", &alice], &url), "200", "{scheme}");
        assert_eq!(status(&[], &format!("{url}{}", login("?user=alice&pass=PASS"))), "200");
    }
    let list = server.url("http+hls", "seen");
    assert_eq!(status(&[], &list), "401");
    assert_eq!(status(&["-u", &bob], &list), "403");
    assert_eq!(status(&["-u", &alice], &list), "302");
    let whole = program("curl", ["-sL", "-u", &alice, &list]).finish();
    let file = whole.lines().find(|line| !line.starts_with('#')).expect("a segment").to_owned();
    let (name, session) = file.split_once('?').expect("a session");
    let folder = list.rsplit_once('/').expect("a path").0;
    assert_eq!(status(&[], &format!("{folder}/{file}")), "200");
    assert_eq!(status(&[], &format!("{folder}/{name}")), "403", "without a session");
    let other = session.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(status(&[], &format!("{folder}/{name}?{other}")), "403", "with another's");
    let play = |url: &str| ffmpeg(&format!("-i {url} -t 1 -f null -"));
    for scheme in ["rtmp", "rtsp"] {
        let url = server.url(scheme, "live/seen");
        refused(play(&url));
        refused(play(&format!("{url}{}", login("?user=bob&pass=PASS"))));
        play(&format!("{url}{}", login("?user=alice&pass=PASS"))).finish();
    }
    // The operator's page has a ticket of its own, for this stream alone.
    let detail = server.v1("GET", "streams/live/seen", &Value::Null).1;
    let ticket = detail["play"]["query"].as_str().expect("a ticket").to_owned();
    assert_eq!(status(&[], &format!("{}?{ticket}", server.url("http", "live/seen"))), "200");
    assert_eq!(status(&[], &format!("{}?{ticket}", server.url("http", "live/other"))), "401");
    assert_eq!(status(&[], &format!("{}?{ticket}0", server.url("http", "live/seen"))), "401");
    assert!(!server.log().contains(PASSWORD), "the password is in the log");
    server.assert_healthy();
}

#[test]
fn lals_secret_is_asked_for_where_lal_asks() {
    let sum = program("sh", ["-c", "printf keystream | md5sum"]).finish();
    let signature = format!("?lal_secret={}", sum.split(' ').next().expect("a sum"));
    let mut server = Server::start(&[
        "auth.lal_key=key",
        "auth.lal_override=master",
        "auth.lal_for=['pub_rtmp','sub_httpflv','hls_m3u8','sub_rtsp']",
        "server.wait_for_stream=2s",
    ]);
    let rtmp = server.url("rtmp", "live/stream");
    refused(clip::publish(&rtmp));
    refused(clip::publish(&format!("{rtmp}?lal_secret=0123")));
    let _publisher = clip::publish(&format!("{rtmp}{signature}"));
    wait_until("the stream is live", || server.is_live("live/stream"));
    let flv = server.url("http", "live/stream");
    assert_eq!(status(&[], &flv), "401");
    assert_eq!(status(&[], &format!("{flv}{signature}")), "200");
    assert_eq!(status(&[], &format!("{flv}?lal_secret=MASTER")), "200");
    assert_eq!(
        status(&[], &server.url("http+ts", "live/stream")),
        "200",
        "where it is not asked for"
    );
    let hls = server.url("http+hls", "stream");
    assert_eq!(status(&[], &hls), "401");
    assert_eq!(status(&["-L"], &format!("{hls}{signature}")), "200");
    let rtsp = server.url("rtsp", "live/stream");
    let play = |url: &str| ffmpeg(&format!("-rtsp_transport tcp -i {url} -t 1 -f null -"));
    assert!(play(&rtsp).fail().contains("401"));
    play(&format!("{rtsp}{signature}")).finish();
    assert!(!server.log().contains("lal_secret=master"), "the secret is in the log");
    server.assert_healthy();
}

#[test]
fn rtsp_asks_for_login_and_lals_secret_where_lal_asks_for_both() {
    let mut server = Server::start(&[
        "rtsp.auth=digest",
        "rtsp.username=viewer",
        "rtsp.password=open sesame",
        "rtsp.auth_publish=false",
        "auth.lal_override=master",
        "auth.lal_for=['pub_rtsp','sub_rtsp']",
    ]);
    let rtsp = server.url("rtsp", "live/both");
    let known = rtsp.replace("rtsp://", "rtsp://viewer:open%20sesame@");
    let _publisher = clip::publish(&format!("{rtsp}?lal_secret=master"));
    wait_until("the stream is live", || server.is_live("live/both"));
    let play = |url: &str| ffmpeg(&format!("-rtsp_transport tcp -i {url} -t 1 -f null -"));
    assert!(play(&rtsp).fail().contains("401"));
    assert!(play(&format!("{rtsp}?lal_secret=master")).fail().contains("401"), "no login");
    assert!(play(&known).fail().contains("403"), "no secret");
    play(&format!("{known}?lal_secret=master")).finish();
    server.assert_healthy();
}

/// Whether a connection is closed at once.
fn is_closed(port: u16) -> bool {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("a listener");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a time-out");
    matches!(socket.read(&mut [0]), Ok(0) | Err(_))
        && socket
            .read(&mut [0])
            .map_or_else(|e| e.kind() != std::io::ErrorKind::WouldBlock, |n| n == 0)
}

#[test]
fn blocked_addresses_stay_out_by_every_protocol() {
    let mut server = Server::start(&["hls.segment_duration=1s"]);
    let publisher = clip::publish(&server.url("rtmp", "live/blocked"));
    wait_until("the stream is live", || server.is_live("live/blocked"));
    let flv = server.url("http", "live/blocked");
    let _viewer = ffmpeg(&format!("-i {flv} -f null -"));
    wait_until("there is a viewer", || server.viewers("live/blocked") == 1);
    let block = json!({ "ip": "127.0.0.0/8", "seconds": 600 });
    let (code, list) = server.v1("POST", "access/block", &block);
    assert_eq!((code, &list["items"][0]["ip"]), (200, &json!("127.0.0.0/8")));
    wait_until("its sessions have ended", || {
        server.v1("GET", "sessions", &Value::Null).1["total"] == 0
    });
    drop(publisher);
    assert_eq!(status(&[], &flv), "403");
    assert_eq!(status(&[], &server.url("http+hls", "blocked")), "403");
    assert!(is_closed(server.port("rtmp")) && is_closed(server.port("rtsp")));
    let unblock = json!({ "ip": "127.0.0.0/8" });
    assert_eq!(server.v1("POST", "access/unblock", &unblock).1, json!({ "items": [] }));
    assert_eq!(server.v1("POST", "access/unblock", &unblock).0, 404);
    let _publisher = clip::publish(&server.url("rtmp", "live/blocked"));
    wait_until("the stream is live again", || server.is_live("live/blocked"));
    server.assert_healthy();
}

#[test]
fn networks_are_let_in_and_kept_out_by_settings() {
    let server = Server::start(&["access.deny=127.0.0.1"]);
    assert_eq!(status(&[], &server.url("http", "live/any")), "403");
    assert!(is_closed(server.port("rtmp")));
    let server = Server::start(&["access.allow=192.0.2.0/24"]);
    assert_eq!(status(&[], &server.url("http", "live/any")), "403");
    let server =
        Server::start(&["access.allow=['192.0.2.0/24','127.0.0.1']", "server.wait_for_stream=0s"]);
    assert_eq!(status(&[], &server.url("http", "live/any")), "404");
}

#[test]
fn there_is_room_for_so_many_viewers() {
    let mut server = Server::start(&["limits.viewers_per_stream=1"]);
    let _publisher = clip::publish(&server.url("rtmp", "live/full"));
    wait_until("the stream is live", || server.is_live("live/full"));
    let flv = server.url("http", "live/full");
    let viewer = ffmpeg(&format!("-i {flv} -f null -"));
    wait_until("there is a viewer", || server.viewers("live/full") == 1);
    assert_eq!(status(&[], &flv), "503");
    let complaint = ffmpeg(&format!("-i {} -f null -", server.url("rtsp", "live/full"))).fail();
    assert!(complaint.contains("503"), "{complaint}");
    drop(viewer);
    wait_until("the place is free", || server.viewers("live/full") == 0);
    assert_eq!(status(&[], &flv), "200");
    server.assert_healthy();
}

#[test]
fn a_publisher_that_sends_too_much_is_sent_away() {
    let mut server = Server::start(&["limits.publisher_bitrate=50"]);
    let _publisher = clip::publish(&server.url("rtmp", "live/greedy"));
    server.wait_for_log(&["session ended", "PUB", "limits.publisher_bitrate"]);
    server.assert_healthy();
}

#[test]
fn the_api_asks_for_its_token() {
    let mut server = guarded(&["api.token=kEyT0ken"]);
    let ask = |headers: &[(&str, &str)]| {
        let (code, head, _) = server.ask("api", "GET", "/api/v1/server", headers, "");
        assert!(code != 401 || head.contains("www-authenticate: bearer"), "{head}");
        code
    };
    assert_eq!(ask(&[]), 401);
    for wrong in ["Bearer wrong", "Bearer kEyT0ke", "Bearer ", "kEyT0ken", "Basic kEyT0ken"] {
        assert_eq!(ask(&[("Authorization", wrong)]), 401, "{wrong}");
    }
    assert_eq!(ask(&[("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")]), 401);
    assert_eq!(
        ask(&[("Authorization", "Bearer wrong"), ("Authorization", "Bearer kEyT0ken")]),
        401
    );
    assert_eq!(ask(&[("Authorization", "bearer kEyT0ken")]), 200);
    let basic = |login: &str| {
        let encoded = program("sh", ["-c", &format!("printf '%s' '{login}' | base64")]).finish();
        ask(&[("Authorization", &format!("Basic {}", encoded.trim()))])
    };
    assert_eq!(basic(&login("alice:PASS")), 200);
    assert_eq!(basic("alice:wrong"), 401);
    assert_eq!(basic(&login("bob:PASS")), 401, "a user who may not");
    for path in ["/metrics", "/api/stat/all_group", "/api/openapi.json", "/api/v1/log", "/record/x"]
    {
        assert_eq!(server.ask("api", "GET", path, &[], "").0, 401, "{path}");
    }
    for path in ["/", "/healthz", "/readyz"] {
        assert_eq!(server.ask("api", "GET", path, &[], "").0, 200, "{path}");
    }
    assert!(!server.log().contains("kEyT0ken"), "the token is in the log");
    server.assert_healthy();
}

#[test]
fn what_the_api_asks_for_changes_while_the_server_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("headwater.toml");
    let ask = |server: &Server, token: &str| {
        let bearer = format!("Bearer {token}");
        server.ask("api", "GET", "/api/v1/server", &[("Authorization", &bearer)], "").0
    };
    std::fs::write(&file, "[api]\ntoken = 'first-token-of-many'\n").expect("a file");
    let server = Server::start_with(&["-c", &file.to_string_lossy()], &[]);
    assert_eq!((ask(&server, "none"), ask(&server, "first-token-of-many")), (401, 200));
    std::fs::write(&file, "[api]\ntoken = 'second-token-of-many'\n").expect("a file");
    server.signal("HUP");
    wait_until("the other token opens", || ask(&server, "second-token-of-many") == 200);
    assert_eq!(ask(&server, "first-token-of-many"), 401);
    // Without one, this host needs none.
    std::fs::write(&file, "").expect("a file");
    server.signal("HUP");
    wait_until("none is asked for", || {
        server.ask("api", "GET", "/api/v1/server", &[], "").0 == 200
    });
}

#[test]
fn other_sites_do_not_reach_the_api_through_a_browser() {
    let mut server = Server::start(&[]);
    let ask = |method: &str, headers: &[(&str, &str)], body: &str| {
        server.ask("api", method, "/api/v1/access/block", headers, body).0
    };
    let body = r#"{"ip":"192.0.2.1"}"#;
    assert_eq!(ask("POST", &[("Host", "evil.example")], body), 403, "a name that leads here");
    assert_eq!(ask("POST", &[("Origin", "https://evil.example")], body), 403);
    assert_eq!(ask("POST", &[("Origin", "http://localhost")], body), 200);
    let kick = server.ask("api", "POST", "/api/ctrl/kick_session", &[("Origin", "null")], body).0;
    assert_eq!(kick, 403);
    // What a form can send is no JSON.
    let form = [("Content-Type", "text/plain"), ("Content-Length", "18")];
    assert_eq!(server.ask("api", "POST", "/api/v1/access/block", &form, "").0, 415);
    server.assert_healthy();
}
