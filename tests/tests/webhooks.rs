//! What happens is told: to receivers of webhooks, and to those who watch; and others are asked
//! whether it may.

use std::time::{Duration, Instant};

use headwater_e2e::{Received, Receiver, Server, clip, ffmpeg, program, wait_until};

/// The names of what was told of a stream, in order.
fn told(receiver: &Receiver, stream: &str) -> Vec<String> {
    let is_of = |received: &&Received| received.json()["stream_name"] == stream;
    let all = receiver.all();
    all.iter().filter(is_of).map(|received| received.path.trim_start_matches('/').into()).collect()
}

fn find(receiver: &Receiver, path: &str) -> Received {
    let found = receiver.all().into_iter().find(|received| received.path == path);
    found.unwrap_or_else(|| panic!("{path} was not told"))
}

/// Settings that tell every event at a path of its own.
fn each(receiver: &Receiver) -> Vec<String> {
    let names = "on_server_start on_update on_rtmp_connect on_pub_start on_pub_stop on_sub_start \
                 on_sub_stop on_stream_start on_stream_stop on_record_start on_record_stop";
    names.split_whitespace().map(|name| format!("webhooks.{name}={}", receiver.url(name))).collect()
}

fn start(settings: &[String], more: &[&str]) -> Server {
    let all: Vec<&str> = settings.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Server::start(&all)
}

#[test]
fn the_life_of_a_stream_is_told_in_order() {
    let receiver = Receiver::start(|_| Some(200));
    let folder = tempfile::tempdir().expect("a folder");
    let record = format!("record.flv={}/{{path}}.flv", folder.path().display());
    let mut server = start(
        &each(&receiver),
        &["webhooks.secret=a secret of tests", "stream.grace=0s", "stream.record=flv", &record],
    );
    let mut publisher = clip::publish(&format!("{}?a=b", server.url("rtmp", "live/told")));
    wait_until("the stream is live", || server.is_live("live/told"));
    ffmpeg(&format!("-i {} -t 1 -f null -", server.url("http", "live/told"))).finish();
    wait_until("the viewer is gone", || server.viewers("live/told") == 0);
    publisher.kill();
    wait_until("the end was told", || {
        let told = told(&receiver, "told");
        told.contains(&"on_stream_stop".into()) && told.contains(&"on_record_stop".into())
    });
    let life: Vec<_> =
        told(&receiver, "told").into_iter().filter(|name| !name.contains("record")).collect();
    let expected = [
        "on_stream_start",
        "on_pub_start",
        "on_sub_start",
        "on_sub_stop",
        "on_pub_stop",
        "on_stream_stop",
    ];
    assert_eq!(life, expected);
    let begun = find(&receiver, "/on_pub_start").json();
    assert_eq!((&begun["protocol"], &begun["base_type"]), (&"RTMP".into(), &"PUB".into()));
    assert_eq!((&begun["app_name"], &begun["url_param"]), (&"live".into(), &"a=b".into()));
    assert_eq!(
        (&begun["has_in_session"], &begun["has_out_session"]),
        (&true.into(), &false.into())
    );
    let ended = find(&receiver, "/on_sub_stop").json();
    assert!(ended["wrote_bytes_sum"].as_u64() > Some(10_000), "{ended}");
    assert!(ended["reason"].is_string());
    let ended = find(&receiver, "/on_pub_stop").json();
    assert_eq!(
        (&ended["has_in_session"], &ended["has_out_session"]),
        (&false.into(), &false.into())
    );
    let connected = find(&receiver, "/on_rtmp_connect").json();
    assert_eq!(connected["app"], "live");
    assert!(connected["flashVer"].as_str().is_some_and(|version| !version.is_empty()));
    let file = find(&receiver, "/on_record_stop").json();
    assert!(file["path"].as_str().is_some_and(|path| std::path::Path::new(path).exists()));
    assert_eq!(find(&receiver, "/on_server_start").json()["api_version"], "v0.4.9");
    assert!(find(&receiver, "/on_update").json()["groups"].is_array());
    // Others can check that it comes from here.
    let one = find(&receiver, "/on_pub_start");
    let body = server.file("body");
    std::fs::write(&body, &one.body).expect("a file");
    let body = body.to_string_lossy().into_owned();
    let hmac = ["dgst", "-sha256", "-hmac", "a secret of tests", "-r", body.as_str()];
    let sum = program("openssl", hmac).finish();
    let sum = sum.split_whitespace().next().expect("a sum");
    assert_eq!(one.field("headwater-signature"), Some(format!("sha256={sum}").as_str()));
    assert_eq!(one.field("headwater-event"), Some("on_pub_start"));
    assert!(!server.log().contains("a secret of tests"));
    server.assert_healthy();
}

#[test]
fn every_protocol_tells() {
    let receiver = Receiver::start(|_| Some(200));
    let mut server = start(&each(&receiver), &["hls.session_key=key", "hls.segment_duration=1s"]);
    let _publisher = clip::publish(&server.url("rtsp", "live/all"));
    wait_until("the stream is live", || server.is_live("live/all"));
    for scheme in ["rtmp", "rtsp", "http", "http+ts", "http+mp4", "http+hls"] {
        let stream = if scheme == "http+hls" { "all" } else { "live/all" };
        ffmpeg(&format!("-i {} -t 1 -f null -", server.url(scheme, stream))).finish();
    }
    let protocols = |path: &str| {
        let all = receiver.all();
        let mut found: Vec<String> = all
            .iter()
            .filter(|received| received.path == path)
            .filter_map(|received| Some(received.json()["protocol"].as_str()?.to_owned()))
            .collect();
        found.sort();
        found.dedup();
        found
    };
    wait_until("all viewers were told", || protocols("/on_sub_start").len() == 6);
    assert_eq!(protocols("/on_sub_start"), ["FLV", "HLS", "MP4", "RTMP", "RTSP", "TS"]);
    assert_eq!(protocols("/on_pub_start"), ["RTSP"]);
    server.assert_healthy();
}

#[test]
fn a_receiver_that_hangs_harms_nobody() {
    let receiver = Receiver::start(|_| None);
    let mut server = start(&each(&receiver), &["webhooks.queue=5", "webhooks.timeout=1s"]);
    let begun = Instant::now();
    for turn in 0..10 {
        let stream = format!("live/hung{turn}");
        let _publisher = clip::publish(&server.url("rtmp", &stream));
        wait_until("the stream is live", || server.is_live(&stream));
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let (_, _, metrics) = server.ask("api", "GET", "/metrics", &[], "");
    let dropped =
        metrics.lines().find(|line| line.contains("outcome=\"dropped\"")).expect("a line");
    assert!(!dropped.ends_with(" 0.0"), "{dropped}");
    server.assert_healthy();
}

#[test]
fn it_is_said_that_the_server_stops_while_it_does() {
    let receiver = Receiver::start(|_| None);
    let mut server = start(&each(&receiver), &["server.drain_timeout=5s"]);
    assert_eq!(server.ask("api", "GET", "/readyz", &[], "").0, 200);
    // The last words wait for a receiver that does not take them.
    server.signal("TERM");
    wait_until("it is not ready", || server.ask("api", "GET", "/readyz", &[], "").0 == 503);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn what_happens_can_be_watched_live() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let url = format!("http://127.0.0.1:{}/api/v1/events?stream=live/watched", server.port("api"));
    let watcher = program("curl", ["-sN", "--max-time", "20", url.as_str()]);
    let mut publisher = clip::publish(&server.url("rtmp", "live/watched"));
    wait_until("the stream is live", || server.is_live("live/watched"));
    publisher.kill();
    let names = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect()
    };
    wait_until("its end is shown", || names(&watcher.stdout()).contains(&"on_stream_stop".into()));
    let expected = ["on_stream_start", "on_pub_start", "on_pub_stop", "on_stream_stop"];
    assert_eq!(names(&watcher.stdout()), expected);
    let late = program("curl", ["-sN", "--max-time", "1", url.as_str()]);
    wait_until("whoever comes late is told, too", || names(&late.stdout()) == expected);
    server.assert_healthy();
}

#[test]
fn the_last_words_are_told_when_the_server_stops() {
    let receiver = Receiver::start(|_| Some(200));
    let mut server = start(&each(&receiver), &[]);
    let _publisher = clip::publish(&server.url("rtmp", "live/last"));
    wait_until("the stream is live", || server.is_live("live/last"));
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let told = told(&receiver, "last");
    assert_eq!(told[told.len() - 2..], ["on_pub_stop", "on_stream_stop"], "{told:?}");
}

#[test]
fn another_server_decides_who_may_publish_and_play() {
    let receiver = Receiver::start(|asked| {
        let asked = asked.json();
        let is_yes = match asked["action"].as_str() {
            Some("connect") => asked["app_name"] != "closed",
            Some("publish") => asked["password"] == "right",
            Some("play") => asked["token"] == "ticket",
            _ => false,
        };
        if is_yes { Some(204) } else { Some(403) }
    });
    let callback = format!("auth.callback={}", receiver.url("ask?key=hidden"));
    let mut server = Server::start(&[&callback, "auth.callback_for=['connect','publish','play']"]);
    let rtmp = server.url("rtmp", "live/asked");
    assert!(!clip::publish(&rtmp).fail().is_empty());
    assert!(!clip::publish(&format!("{rtmp}?user=a&pass=wrong")).fail().is_empty());
    let closed = server.url("rtmp", "closed/asked");
    assert!(!clip::publish(&format!("{closed}?user=a&pass=right")).fail().is_empty());
    let _publisher = clip::publish(&format!("{rtmp}?user=a&pass=right"));
    wait_until("the stream is live", || server.is_live("live/asked"));
    let asked = find(&receiver, "/ask?key=hidden").json();
    assert_eq!((&asked["protocol"], &asked["ip"]), (&"RTMP".into(), &"127.0.0.1".into()));
    let flv = server.url("http", "live/asked");
    let status = |arguments: &[&str], url: &str| {
        let limit = if url.contains(".m3u8") { "10" } else { "1" };
        let fixed = ["-s", "-o", "/dev/null", "--max-time", limit, "-w", "%{http_code}"];
        let mut curl = program("curl", fixed.iter().chain(arguments).chain([&url]));
        curl.wait();
        curl.stdout()
    };
    assert_eq!(status(&[], &flv), "403");
    assert_eq!(status(&[], &format!("{flv}?token=other")), "403");
    assert_eq!(status(&[], &format!("{flv}?token=ticket")), "200");
    assert_eq!(status(&["-H", "Authorization: Bearer ticket"], &flv), "200");
    let hls = server.url("http+hls", "asked");
    assert_eq!(status(&[], &hls), "403");
    assert_eq!(status(&["-L"], &format!("{hls}?token=ticket")), "200");
    let play = |url: &str| ffmpeg(&format!("-i {url} -t 1 -f null -"));
    for scheme in ["rtmp", "rtsp"] {
        let url = server.url(scheme, "live/asked");
        assert!(!play(&url).fail().is_empty());
        play(&format!("{url}?token=ticket")).finish();
    }
    for secret in ["hidden", "right", "ticket"] {
        let is_there = server.log().contains(&format!("={secret}"));
        assert!(!is_there, "{secret} is in the log");
    }
    server.assert_healthy();
}

#[test]
fn who_is_not_answered_for_stays_out_and_nobody_else_waits() {
    let receiver = Receiver::start(|asked| {
        let hangs = asked.json()["stream_name"] == "hangs";
        if hangs { None } else { Some(200) }
    });
    let callback = format!("auth.callback={}", receiver.url(""));
    let server = Server::start(&[&callback, "auth.callback_timeout=1s"]);
    let mut waiting = clip::publish(&server.url("rtmp", "live/hangs"));
    let begun = Instant::now();
    let _publisher = clip::publish(&server.url("rtmp", "live/answered"));
    wait_until("the other is live", || server.is_live("live/answered"));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!waiting.wait().success());
    assert!(!server.is_live("live/hangs"));
    // Where private networks are closed, nobody is asked, and nobody comes in.
    let before = receiver.all().len();
    let server = Server::start(&[&callback, "webhooks.private_targets=false"]);
    assert!(!clip::publish(&server.url("rtmp", "live/answered")).fail().is_empty());
    assert_eq!(receiver.all().len(), before);
}
