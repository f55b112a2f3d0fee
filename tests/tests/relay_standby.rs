//! A source that stands by takes over without a pause, and viewers of edges are counted at the
//! origin.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use headwater_e2e::{Frames, Server, clip, ffmpeg, headwater, material, wait_until};
use serde_json::{Value, json};

fn only_pull(server: &Server) -> Value {
    let (status, body) = server.v1("GET", "pulls", &Value::Null);
    assert_eq!(status, 200, "{body}");
    body["items"][0].clone()
}

#[test]
fn a_source_that_stands_by_takes_over_without_a_pause() {
    for scheme in ["rtmp", "rtsp", "http", "http+hls"] {
        let first = Server::start(&[]);
        let second = Server::start(&["hls.segment_duration=1s"]);
        let _clip_one = clip::on(&first, "live/clip");
        let _clip_two = clip::on(&second, "live/clip");
        let (one, two) = (first.url("rtmp", "live/clip"), second.url(scheme, "live/clip"));
        let pull = format!(
            "relay.pull=[{{stream=\"live/here\",from=[\"{one}\",\"{two}\"],standby=true}}]"
        );
        // Whoever had to be called would be called late.
        let here = Server::start(&[&pull, "relay.retry_min=30s", "relay.retry_max=30s"]);
        wait_until("the second one stands by", || only_pull(&here)["standby"] == 1);
        let pull = only_pull(&here);
        assert_eq!((&pull["current"], &pull["state"]), (&json!(0), &json!("running")), "{pull}");
        // Nobody sees anything of it.
        let (_, sessions) = here.v1("GET", "sessions", &Value::Null);
        assert_eq!(sessions["total"], 1, "{sessions}");
        let (_, streams) = here.v1("GET", "streams", &Value::Null);
        assert_eq!(streams["total"], 1, "{streams}");

        let mut viewer = TcpStream::connect(("127.0.0.1", here.port("http"))).expect("a listener");
        viewer.set_read_timeout(Some(Duration::from_secs(8))).expect("a time-out");
        viewer.write_all(b"GET /live/here.flv HTTP/1.0\r\n\r\n").expect("a request");
        let mut room = vec![0; 1 << 16];
        assert!(viewer.read(&mut room).expect("media") > 0);
        drop(first);
        let (start, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        while start.elapsed() < Duration::from_secs(3) {
            assert!(viewer.read(&mut room).expect("media") > 0, "{scheme}: it has ended");
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        assert!(longest < Duration::from_millis(1_500), "{scheme}: {longest:?} without media");
        let pull = only_pull(&here);
        assert_eq!((&pull["current"], &pull["attempts"]), (&json!(1), &json!(2)), "{pull}");
        assert_eq!(pull["state"], "running", "{pull}");
        // What comes is what the second one sends.
        let input = format!("-t 1 -i {}", here.url("http", "live/here"));
        let got = Frames::parse(&Frames::reader(&input, "h264", false).finish());
        assert!(got.count("video0") > 20 && got.count("audio0") > 30, "{scheme}");

        // The end of the order ends both.
        assert_eq!(here.v1("DELETE", "pulls?stream=live/here", &Value::Null).0, 200);
        wait_until("nobody is left", || second.viewers("live/clip") == 0);
        wait_until("nothing is left", || {
            viewer.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
            here.v1("GET", "sessions?role=PULL", &Value::Null).1["total"] == 0
        });
    }
}

#[test]
fn without_a_stand_by_nobody_else_is_connected() {
    let (first, second) = (Server::start(&[]), Server::start(&[]));
    let _clip_one = clip::on(&first, "live/clip");
    let _clip_two = clip::on(&second, "live/clip");
    let here = Server::start(&["stream.grace=0s"]);
    let from = [first.url("rtmp", "live/clip"), second.url("rtmp", "live/clip")];
    let order = json!({ "stream": "live/here", "from": from, "standby": true });
    assert_eq!(here.v1("POST", "pulls", &order).0, 200);
    wait_until("the second one stands by", || only_pull(&here)["standby"] == 1);
    assert_eq!(second.viewers("live/clip"), 1);
    assert_eq!(here.v1("DELETE", "pulls?stream=live/here", &Value::Null).0, 200);
    wait_until("it is let go", || second.viewers("live/clip") == 0);
    wait_until("it has ended here", || !here.is_live("live/here"));

    let order = json!({ "stream": "live/here", "from": from });
    assert_eq!(here.v1("POST", "pulls", &order).0, 200);
    wait_until("the first one is pulled", || here.is_live("live/here"));
    let start = Instant::now();
    wait_until("some time has gone by", || {
        assert_eq!(second.viewers("live/clip"), 0);
        assert_eq!(only_pull(&here)["standby"], Value::Null);
        start.elapsed() > Duration::from_secs(2)
    });
}

#[test]
fn viewers_of_edges_are_counted_at_the_origin() {
    let origin = Server::start(&["api.token=let-me-in"]);
    let _clip = clip::on(&origin, "live/clip");
    let origins = format!("relay.origins=[\"rtmp://127.0.0.1:{}\"]", origin.port("rtmp"));
    let to =
        |server: &Server| format!("relay.report_to=\"http://127.0.0.1:{}\"", server.port("api"));
    let token = "relay.report_token=let-me-in";
    let edge = Server::start(&[&origins, &to(&origin), token, "api.token=let-me-in"]);
    let origins = format!("relay.origins=[\"rtmp://127.0.0.1:{}\"]", edge.port("rtmp"));
    let mut outer = Server::start(&[&origins, &to(&edge), token]);
    let ask = |path: &str| {
        let login = [("Authorization", "Bearer let-me-in")];
        let (status, _, body) = origin.ask("api", "GET", &format!("/api/v1/{path}"), &login, "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")
    };
    let counted = || ask("streams/live/clip")["edge_viewers"].clone();
    assert_eq!(counted(), 0);
    let watch = |server: &Server| {
        ffmpeg(&format!("-i {} -c copy -f null -", server.url("http", "live/clip")))
    };
    let (_one, _two) = (watch(&edge), watch(&edge));
    let _three = watch(&outer);
    // Two at the edge, one at the edge's edge, which is a viewer of the edge itself.
    wait_until("they are counted", || counted() == 4);
    assert_eq!(ask("streams")["items"][0]["edge_viewers"], 4);
    assert_eq!(ask("streams")["items"][0]["viewers"], 1);
    // The outer edge goes without a word.
    outer.signal("KILL");
    outer.wait();
    wait_until("they are forgotten", || counted() == 2);

    // Strangers cannot say anything.
    let report = json!({ "edge": "x", "streams": { "live/clip": 1000 } }).to_string();
    let others = [("Host", "origin.example"), ("Authorization", "Bearer wrong")];
    let (status, ..) = origin.ask("api", "POST", "/api/v1/edge_viewers", &others, &report);
    assert_eq!(status, 401);
    // Nor are endless lists taken.
    let name = "n".repeat(300);
    let login = [("Authorization", "Bearer let-me-in")];
    let report = json!({ "edge": name, "streams": {} }).to_string();
    let (status, ..) = origin.ask("api", "POST", "/api/v1/edge_viewers", &login, &report);
    assert_eq!(status, 400);
    let (_, settings) = shown_settings(&edge);
    assert!(!settings.contains("let-me-in"), "{settings}");
}

/// What the API shows of the settings.
fn shown_settings(server: &Server) -> (u16, String) {
    let login = [("Authorization", "Bearer let-me-in")];
    let (status, _, body) = server.ask("api", "GET", "/api/v1/settings", &login, "");
    (status, body)
}

#[test]
fn the_tool_carries_a_stream_from_anywhere_to_anywhere() {
    let source = Server::start(&["hls.segment_duration=1s"]);
    let _clip = clip::on(&source, "live/clip");
    let target = Server::start(&["stream.grace=0s"]);
    let sent = {
        let input = format!("-i {}", material("h264-aac.mp4").display());
        Frames::parse(&Frames::reader(&input, "h264", false).finish())
    };
    let hashes = |frames: &Frames, track: &str| -> Vec<String> {
        frames.track(track).into_iter().map(|(_, _, hash)| hash).collect()
    };
    let assert_piece = |what: &str, input: &str| {
        let got = Frames::parse(&Frames::reader(input, "h264", false).finish());
        for track in ["video0", "audio0"] {
            let (sent, got) = (hashes(&sent, track), hashes(&got, track));
            if what.contains("+ts") && track == "audio0" {
                continue;
            }
            assert!(got.len() > 25, "{what}: {} of {track}", got.len());
            let twice = [&sent[..], &sent, &sent].concat();
            let found = twice.windows(got.len()).any(|piece| piece == got);
            assert!(found, "{what}: {track} has a gap");
        }
    };
    // From everywhere, to both kinds of servers.
    for (number, scheme) in
        ["rtmp", "rtsp", "http", "http+ts", "http+hls", "ws"].into_iter().enumerate()
    {
        let to = if number % 2 == 0 { "rtmp" } else { "rtsp" };
        let stream = format!("live/{}", scheme.replace('+', "-"));
        let (from, to) = (source.url(scheme, "live/clip"), target.url(to, &stream));
        let relay = headwater(&["relay", &from, &to, "--duration", "6", "--quiet"]);
        wait_until(&format!("{from} has come"), || target.is_live(&stream));
        assert_piece(scheme, &format!("-t 2 -i {}", target.url("http", &stream)));
        let said = relay.finish();
        assert!(said.contains("frames"), "{said}");
        wait_until("it has gone", || !target.is_live(&stream));
    }
    // To files, and on to others.
    let (ts, mp4) = (target.file("a.ts"), target.file("a.mp4"));
    let (ts, mp4) = (ts.display().to_string(), mp4.display().to_string());
    let from = source.url("http+hls", "live/clip");
    headwater(&["relay", &from, &ts, "--duration", "4", "-q"]).finish();
    headwater(&["relay", &ts, &mp4, "-q"]).finish();
    assert_piece("a file", &format!("-i {mp4}"));
    let file = material("h264-aac.mp4").display().to_string();
    let relay = headwater(&["relay", &file, &target.url("rtmp", "live/file"), "--duration", "4"]);
    wait_until("the file has come", || target.is_live("live/file"));
    relay.finish();

    // What cannot be done is said, with an exit status of 1.
    for (from, to, words) in [
        (&*source.url("http", "live/none"), "x.flv", "404"),
        (&*source.url("http+hls", "live/none"), "x.flv", "does not play"),
        (&*source.url("rtmp", "live/clip"), "http://127.0.0.1/a", "takes no streams"),
        ("none.flv", "rtmp://127.0.0.1/live/a", "cannot read none.flv"),
        ("a.flv", "a.flv", "where it comes from"),
    ] {
        let error = headwater(&["relay", from, to]).fail();
        assert!(error.contains(words), "{from} to {to}: {error}");
    }
}
