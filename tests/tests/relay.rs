//! Streams from other servers, and streams that go there: what arrives is what was sent, servers
//! that are away are called again, and nobody else notices.

use headwater_e2e::rtsp_raw::{Camera, H264, Peer, at_the_end};
use headwater_e2e::{
    Frames, Server, assert_piece, clip, ffmpeg, free_port, headwater, material, wait_until,
};
use serde_json::{Value, json};

fn relays(server: &Server, kind: &str) -> Vec<Value> {
    let (status, body) = server.v1("GET", kind, &Value::Null);
    assert_eq!(status, 200, "{body}");
    body["items"].as_array().expect("a list").clone()
}

fn state(server: &Server, kind: &str) -> String {
    let first = relays(server, kind).first().map(|relay| relay["state"].clone());
    first.as_ref().and_then(Value::as_str).unwrap_or("gone").to_owned()
}

#[test]
fn a_stream_is_pulled_over_every_protocol() {
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let here = Server::start(&["relay.tls_verify=false", "stream.grace=0s"]);
    let sent = clip::frames();
    for scheme in ["rtmp", "rtmps", "rtsp", "rtsps", "http", "https", "ws", "wss", "http+ts"] {
        let stream = format!("live/{}", scheme.replace('+', "-"));
        let from = [origin.url(scheme, "live/clip")];
        let order = json!({ "stream": stream, "from": from });
        let (status, body) = here.v1("POST", "pulls", &order);
        assert_eq!(status, 200, "{scheme}: {body}");
        assert_eq!(body["on_demand"], false, "{body}");
        wait_until("the stream is pulled", || state(&here, "pulls") == "running");
        assert_piece(&sent, &clip::seen(&here.url("http", &stream)), 30);
        let path = format!("pulls?stream={stream}");
        let (status, body) = here.v1("DELETE", &path, &Value::Null);
        assert_eq!((status, &body["stopped"]), (200, &json!(1)), "{scheme}: {body}");
        wait_until("nobody is left", || origin.viewers("live/clip") == 0);
        wait_until("it has ended here", || !here.is_live(&stream));
    }
    assert_eq!(here.v1("DELETE", "pulls?stream=live/none", &Value::Null).0, 404);
}

#[test]
fn a_chain_of_servers_keeps_every_frame() {
    // Pulled over RTMP, pushed over RTSP, pulled over HTTP-FLV.
    let first = Server::start(&[]);
    let third = Server::start(&[]);
    let target = third.url("rtsp", "live/{name}");
    let push = format!("relay.push=[{{stream=\"live/*\",to=[\"{target}\"],pulled=true}}]");
    let second = Server::start(&[&push]);
    let origin = format!("relay.origins=[\"http://127.0.0.1:{}\"]", third.port("http"));
    let fourth = Server::start(&[&origin]);
    let _clip = clip::on(&first, "live/clip");
    let order = json!({ "url": first.url("rtmp", "live/clip"), "stream_name": "clip" });
    let begun = second.api_post("/api/ctrl/start_relay_pull", &order);
    assert_eq!(begun["error_code"], 0, "{begun}");
    assert_eq!(begun["data"]["session_id"], "RTMPPULL1", "{begun}");
    wait_until("it has come to the third server", || third.is_live("live/clip"));
    wait_until("it knows that it is pushed", || state(&second, "pushes") == "running");
    let sent = clip::frames();
    for scheme in ["http", "rtmp", "rtsp", "http+hls"] {
        assert_piece(&sent, &clip::seen(&fourth.url(scheme, "live/clip")), 25);
    }
    assert_eq!(third.viewers("live/clip"), 1, "one pull serves all");

    let twice = second.api_post("/api/ctrl/start_relay_pull", &order);
    assert_eq!(twice["error_code"], 2001, "{twice}");
    assert_eq!(twice["desp"], "lal.logic: in stream already exist at group", "{twice}");
    let group = second.api("/api/stat/group?stream_name=clip");
    assert_eq!(group["data"]["pull"]["session_id"], "RTMPPULL1", "{group}");
    let stopped = second.api("/api/ctrl/stop_relay_pull?stream_name=clip");
    assert_eq!(stopped["data"]["session_id"], "RTMPPULL1", "{stopped}");
    let again = second.api("/api/ctrl/stop_relay_pull?stream_name=clip");
    assert_ne!(again["error_code"], 0, "{again}");
}

#[test]
fn what_lal_is_told_to_pull_while_nobody_watches_is_pulled_once_somebody_does() {
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let here = Server::start(&["server.wait_for_stream=5s"]);
    let from = origin.url("rtmp", "live/clip");
    let order = json!({
        "url": from, "stream_name": "clip", "pull_retry_num": -1, "auto_stop_pull_after_no_out_ms": 0,
    });
    let refused = here.api_post("/api/ctrl/start_relay_pull", &order);
    assert_eq!(refused["error_code"], 2001, "{refused}");
    assert_eq!(refused["desp"], "should auto stop pull", "{refused}");
    let sent = clip::frames();
    for _ in 0..2 {
        wait_until("nobody asks the origin", || origin.viewers("live/clip") == 0);
        wait_until("the order waits", || state(&here, "pulls") == "idle");
        assert_piece(&sent, &clip::seen(&here.url("http", "live/clip")), 25);
    }
    let _ = here.api("/api/ctrl/stop_relay_pull?stream_name=clip");
    assert!(relays(&here, "pulls").is_empty());
    // Ours has no order that it has refused.
    let order = json!({ "stream": "live/clip", "from": [from], "stop_after_seconds": 0 });
    assert_eq!(here.v1("POST", "pulls", &order).0, 409);
    assert!(relays(&here, "pulls").is_empty());
}

#[test]
fn an_edge_asks_its_origin_while_somebody_watches() {
    let origin = Server::start(&["auth.lal_for=[\"sub_rtmp\"]", "auth.lal_override=open-sesame"]);
    let _clip = clip::on(&origin, "live/clip");
    let origins = format!("relay.origins=[\"rtmp://127.0.0.1:{}\"]", origin.port("rtmp"));
    let settings = [&*origins, "relay.stop_after=1s", "server.wait_for_stream=5s"];
    let edge = Server::start(&settings);
    let origins = format!("relay.origins=[\"rtmp://127.0.0.1:{}\"]", edge.port("rtmp"));
    let outer = Server::start(&[&origins, "relay.stop_after=1s", "server.wait_for_stream=5s"]);

    // What the viewer shows of itself goes to the origin, over two edges.
    let url = format!("{}?lal_secret=open-sesame", outer.url("http", "live/clip"));
    let input = format!("-t 2 -i {url}");
    let got = Frames::parse(&Frames::reader(&input, "h264", false).finish());
    assert_piece(&clip::frames(), &got, 30);
    wait_until("nobody asks any more", || relays(&outer, "pulls").is_empty());
    wait_until("nobody asks the origin", || relays(&edge, "pulls").is_empty());
    wait_until("the origin has no viewer", || origin.viewers("live/clip") == 0);

    // Without it, the origin refuses.
    let mut refused = ffmpeg(&format!("-i {} -f null -", edge.url("http", "live/clip")));
    assert!(!refused.wait().success());
    let why = edge.wait_for_log(&["the source is away"]);
    assert!(why.contains("live/clip"), "{why}");
}

#[test]
fn any_protocol_asks_for_a_stream_and_is_enough_to_keep_it() {
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let from = origin.url("rtmp", "live/clip");
    let pull = format!("relay.pull=[{{stream=\"edge/*\",from=[\"{from}\"],stop_after=\"1s\"}}]");
    let edge = Server::start(&[&pull, "rtsp.ws_listen=[]"]);
    assert!(relays(&edge, "pulls").is_empty());
    let sent = clip::frames();
    for scheme in ["rtmp", "rtsp", "http", "ws", "http+ts", "http+mp4", "http+hls"] {
        let stream = format!("edge/{}", scheme.replace('+', "-"));
        if scheme == "ws" {
            let url = edge.url("ws", &stream);
            let file = edge.file("ws.flv").display().to_string();
            headwater(&["pull", &url, &file, "--duration", "2", "--quiet"]).finish();
            assert_piece(&sent, &clip::read(&file), 30);
        } else {
            let got = clip::seen(&edge.url(scheme, &stream));
            if scheme == "http+ts" {
                // Its frames have other headers.
                assert!(got.count("video0") > 30 && got.count("audio0") > 30, "{scheme}");
                continue;
            }
            assert_piece(&sent, &got, 30);
        }
        let pulls = relays(&edge, "pulls");
        let of_stream = pulls.iter().find(|pull| pull["stream"] == *stream);
        if let Some(pull) = of_stream {
            assert_eq!(
                (&pull["on_demand"], &pull["attempts"]),
                (&json!(true), &json!(1)),
                "{pull}"
            );
        }
    }
    wait_until("nobody asks any more", || relays(&edge, "pulls").is_empty());
    wait_until("the origin has no viewer", || origin.viewers("live/clip") == 0);
    // `HEAD` asks whether it is there, and does not bring it.
    assert_eq!(edge.ask("http", "HEAD", "/edge/none.flv", &[], "").0, 404);
    assert_eq!(relays(&edge, "pulls"), [] as [Value; 0]);
}

#[test]
fn where_a_source_fails_the_next_one_is_asked_and_viewers_stay() {
    let first = Server::start(&[]);
    let second = Server::start(&[]);
    let mut clip_one = clip::on(&first, "live/clip");
    let _clip_two = clip::on(&second, "live/clip");
    let (one, two) = (first.url("rtmp", "live/clip"), second.url("rtmp", "live/clip"));
    let pull = format!("relay.pull=[{{stream=\"live/here\",from=[\"{one}\",\"{two}\"]}}]");
    let here = Server::start(&[&pull, "stream.grace=0s"]);
    wait_until("the stream is pulled", || here.is_live("live/here"));
    let url = here.url("http", "live/here");
    let mut viewer = ffmpeg(&format!("-i {url} -t 12 -c copy -f null -"));
    wait_until("somebody watches", || here.viewers("live/here") == 1);

    clip_one.kill();
    drop(first);
    wait_until("the second one is asked", || {
        let pulls = relays(&here, "pulls");
        pulls.first().is_some_and(|pull| pull["current"] == 1 && pull["state"] == "running")
    });
    assert!(!viewer.has_ended(), "the viewer stays");
    assert_eq!(second.viewers("live/clip"), 1);
    assert!(viewer.wait().success());

    // Both are away: they are called again and again.
    drop(second);
    wait_until("it is said", || {
        let pulls = relays(&here, "pulls");
        pulls.first().is_some_and(|pull| pull["failures"].as_u64() >= Some(2))
    });
    let said = relays(&here, "pulls");
    let error = said[0]["last_error"].as_str().unwrap_or_default();
    assert!(error.contains("cannot connect to 127.0.0.1"), "{error}");
}

#[test]
fn a_stream_is_pushed_to_several_servers_and_again_when_one_returns() {
    let near = Server::start(&["relay.retry_max=2s"]);
    let far = Server::start(&["stream.grace=0s"]);
    let (rtmp, rtsp) = (far.url("rtmp", "a/one?key=x&y=z"), far.url("rtsp", "a/two"));
    for to in [&rtmp, &rtsp] {
        let order = json!({ "stream": "live/clip", "to": to });
        let (status, body) = near.v1("POST", "pushes", &order);
        assert_eq!((status, &body["state"]), (200, &json!("idle")), "{body}");
        assert_eq!(near.v1("POST", "pushes", &order).0, 409);
    }
    let bad = json!({ "stream": "live/clip", "to": "http://127.0.0.1/a/b.flv" });
    let (status, body) = near.v1("POST", "pushes", &bad);
    assert_eq!(status, 400, "{body}");
    // A third target that never answers harms nobody.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = dead.local_addr().expect("an address").port();
    let order = json!({ "stream": "live/clip", "to": format!("rtmp://127.0.0.1:{port}/a/b") });
    assert_eq!(near.v1("POST", "pushes", &order).0, 200);

    let _clip = clip::on(&near, "live/clip");
    wait_until("both are there", || far.is_live("a/one") && far.is_live("a/two"));
    let sent = clip::frames();
    for stream in ["a/one", "a/two"] {
        assert_piece(&sent, &clip::seen(&far.url("http", stream)), 30);
    }
    // They are no viewers, and have statistics of their own.
    assert_eq!(near.viewers("live/clip"), 0);
    let (_, sessions) = near.v1("GET", "sessions?role=PUSH", &Value::Null);
    assert_eq!(sessions["total"], 3, "{sessions}");

    // One is sent away: it comes back.
    let kick = json!({ "stream": "a/one", "who": "publisher" });
    assert_eq!(far.v1("POST", "streams/kick", &kick).0, 200);
    wait_until("it is gone", || !far.is_live("a/one"));
    wait_until("it is back", || far.is_live("a/one"));
    assert!(far.is_live("a/two"));

    let (status, body) = near.v1("DELETE", "pushes?stream=live/clip", &Value::Null);
    assert_eq!((status, &body["stopped"]), (200, &json!(3)), "{body}");
    wait_until("both are gone", || !far.is_live("a/one") && !far.is_live("a/two"));
    assert_eq!(near.v1("DELETE", "pushes?stream=live/clip", &Value::Null).0, 404);
}

#[test]
fn ffmpeg_takes_what_is_pushed_and_gives_what_is_pulled() {
    // ffmpeg's own RTMP server takes one connection.
    let port = free_port();
    let reader = Frames::reader(
        &format!("-listen 1 -t 2 -i rtmp://127.0.0.1:{port}/live/clip"),
        "h264",
        false,
    );
    let to = format!("rtmp://127.0.0.1:{port}/live/clip");
    let push = format!("relay.push=[{{stream=\"live/clip\",to=[\"{to}\"]}}]");
    let server = Server::start(&[&push, "relay.retry_min=100ms", "relay.retry_max=200ms"]);
    let _clip = clip::on(&server, "live/clip");
    assert_piece(&clip::frames(), &Frames::parse(&reader.finish()), 40);

    // ffmpeg's HTTP server gives one stream of FLV.
    let port = free_port();
    let file = material("h264-aac.mp4");
    let _source = ffmpeg(&format!(
        "-re -stream_loop -1 -i {} -c copy -f flv -listen 1 http://127.0.0.1:{port}/clip.flv",
        file.display()
    ));
    let from = [format!("http://127.0.0.1:{port}/clip.flv")];
    let order = json!({ "stream": "live/pulled", "from": from });
    assert_eq!(server.v1("POST", "pulls", &order).0, 200);
    wait_until("the stream is pulled", || server.is_live("live/pulled"));
    assert_piece(&clip::frames(), &clip::seen(&server.url("http", "live/pulled")), 30);
}

#[test]
fn a_publisher_here_comes_before_a_pull() {
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let from = origin.url("rtmp", "live/clip");
    let here = Server::start(&["stream.grace=0s"]);
    let mut publisher = clip::on(&here, "live/here");
    let order = json!({ "stream": "live/here", "from": [from] });
    assert_eq!(here.v1("POST", "pulls", &order).0, 409);
    publisher.kill();
    wait_until("the publisher is gone", || !here.is_live("live/here"));
    assert_eq!(here.v1("POST", "pulls", &order).0, 200);
    wait_until("the stream is pulled", || state(&here, "pulls") == "running");
    assert!(here.is_live("live/here"));
}

#[test]
fn a_server_does_not_pull_its_own_stream_in_a_circle() {
    let here = Server::start(&["relay.retry_min=100ms", "server.wait_for_stream=2s"]);
    for scheme in ["rtmp", "rtsp", "http"] {
        let stream = format!("live/{scheme}");
        let order = json!({ "stream": stream, "from": [here.url(scheme, &stream)] });
        assert_eq!(here.v1("POST", "pulls", &order).0, 200);
        wait_until("it is noticed", || {
            let pulls = relays(&here, "pulls");
            pulls.iter().any(|pull| {
                let error = pull["last_error"].as_str().unwrap_or_default();
                pull["stream"] == *stream && error.contains("from this server itself")
            })
        });
        assert_eq!(here.viewers(&stream), 0);
        assert_eq!(here.v1("DELETE", &format!("pulls?stream={stream}"), &Value::Null).0, 200);
    }
    wait_until("nothing is left", || here.v1("GET", "sessions", &Value::Null).1["total"] == 0);
}

#[test]
fn the_next_origin_is_asked_while_viewers_still_wait() {
    // It is alive, has not got the stream, and is in no hurry to say so.
    let patient = Server::start(&["server.wait_for_stream=1m"]);
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let ports = [patient.port("rtmp"), origin.port("rtmp")];
    let [first, second] = ports.map(|port| format!("'rtmp://127.0.0.1:{port}'"));
    let origins = format!("relay.origins=[{first},{second}]");
    let edge = Server::start(&[&origins, "server.wait_for_stream=6s"]);
    let input = format!("-t 1 -i {}", edge.url("http", "live/clip"));
    let got = Frames::parse(&Frames::reader(&input, "h264", false).finish());
    assert_piece(&clip::frames(), &got, 15);
}

#[test]
fn an_operator_says_what_rtp_travels_over() {
    let far = Server::start(&["rtsp.udp=false"]);
    let near = Server::start(&[]);
    let _publisher = clip::on(&near, "live/clip");
    let push = |name: &str, transport: &str| {
        let to = far.url("rtsp", name);
        let order = json!({ "stream": "live/clip", "to": to, "rtsp_transport": transport });
        near.v1("POST", "pushes", &order).0
    };
    assert_eq!(push("live/pigeon", "pigeon"), 422);
    assert_eq!(push("live/datagrams", "udp"), 200);
    assert_eq!(push("live/connection", "tcp"), 200);
    wait_until("one goes and one does not", || {
        let (_, all) = near.v1("GET", "pushes", &Value::Null);
        let with = |what: &str| {
            all["items"]
                .as_array()
                .is_some_and(|all| all.iter().any(|push| push.to_string().contains(what)))
        };
        with("461") && with("\"running\"")
    });
    assert!(far.is_live("live/connection") && !far.is_live("live/datagrams"));
}

#[test]
fn a_push_over_udp_begins_with_the_next_key_frame() {
    let [near, far] = [(); 2].map(|()| Server::start(&["stream.grace=0s"]));
    let mut peer = Peer::connect(near.port("rtsp"), "live/camera");
    peer.publish(&[H264]);
    let mut camera = Camera::new();
    let mut send = |count: usize| {
        for _ in 0..count {
            camera.packets(at_the_end).iter().for_each(|packet| peer.interleave(0, packet));
        }
    };
    send(6);
    wait_until("the stream is there", || near.group("live/camera")["video_codec"] == "H264");
    for transport in ["udp", "tcp"] {
        let to = far.url("rtsp", &format!("live/{transport}"));
        let order = json!({ "stream": "live/camera", "to": to, "rtsp_transport": transport });
        assert_eq!(near.v1("POST", "pushes", &order).0, 200);
    }
    let pushes = || relays(&near, "pushes").iter().filter(|p| p["state"] == "running").count();
    wait_until("both go", || pushes() == 2);
    // The second key frame is the eleventh picture.
    send(19);
    assert_eq!(peer.ask("TEARDOWN", "", &[], "").status, 200);
    let packets = || -> Vec<String> {
        let log = far.log();
        let ended = log.lines().filter_map(|line| line.split_once("reception ended"));
        let counts = ended.filter_map(|(_, fields)| fields.split_once("packets="));
        let counts = counts.filter_map(|(_, counts)| counts.split(' ').next());
        counts.map(ToOwned::to_owned).collect()
    };
    wait_until("both end", || packets().len() == 2);
    let mut packets = packets();
    packets.sort();
    assert_eq!(packets, ["15", "25"]);
}
