//! Cameras and recorders of GB/T 28181: they register, are listed, and send what somebody watches;
//! what they do wrong harms nobody. A device that finds fault with our messages fails the test.

use headwater_e2e::device::{Elementary, device, events, wait_for_event};
use headwater_e2e::{
    Frames, Program, Received, Receiver, Server, assert_piece, ffmpeg, wait_until,
};
use serde_json::{Value, json};

const DEVICE: &str = "34020000001180000001";
const CHANNEL: &str = "34020000001310000001";
const STREAM: &str = "gb/34020000001180000001/34020000001310000001";

/// A server that devices register with.
fn server(settings: &[&str]) -> Server {
    let own = ["gb28181.listen=127.0.0.1:0", "gb28181.password=12345678", "gb28181.stop_after=1s"];
    Server::start(&[&own, settings].concat())
}

/// A device that registers; `arguments` are separated by blanks.
fn registered(server: &Server, material: &Elementary, arguments: &str) -> Program {
    let at = format!("--server 127.0.0.1:{} {arguments}", server.port("sip"));
    let device = device("", material, &at);
    let _ = wait_for_event(&device, "registered");
    wait_until("its catalogue is known", || {
        let (_, body) = server.v1("GET", &format!("devices/{DEVICE}"), &Value::Null);
        body["channels"].as_array().is_some_and(|channels| !channels.is_empty())
    });
    device
}

fn material() -> Elementary {
    Elementary::of("h264-aac.mp4", "h264", Some("aac"))
}

/// What a viewer sees of a stream in two seconds.
fn seen(server: &Server, scheme: &str, stream: &str) -> Frames {
    let transport = if scheme.starts_with("rtsp") { "-rtsp_transport tcp " } else { "" };
    let input = format!("{transport}-t 2 -i {}", server.url(scheme, stream));
    Frames::parse(&Frames::reader(&input, "h264", false).finish())
}

fn count(device: &Program, name: &str) -> usize {
    events(device).iter().filter(|event| event["event"] == name).count()
}

/// Fails if the device has found fault with what it was told.
fn assert_content(device: &Program) {
    let faults: Vec<_> = events(device).into_iter().filter(|e| e["event"] == "error").collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_device_registers_is_listed_and_sends_while_somebody_watches() {
    let server = server(&[]);
    let material = material();
    let device = registered(&server, &material, "--channels 3 --trait hik --gb-version 2022");
    let (status, all) = server.v1("GET", "devices", &Value::Null);
    assert_eq!((status, &all["total"], &all["enabled"]), (200, &json!(1), &json!(true)), "{all}");
    let listed = &all["items"][0];
    assert_eq!((&listed["id"], &listed["online"]), (&json!(DEVICE), &json!(true)), "{all}");
    assert_eq!(listed["version"], "3.0", "{all}");
    assert_eq!(listed["channels"][0]["stream"], STREAM, "{all}");
    assert_eq!(listed["channels"].as_array().map(Vec::len), Some(3), "{all}");
    assert_eq!(count(&device, "invite"), 0, "nobody watches yet");

    for (number, scheme) in ["http", "rtsp", "http+hls"].into_iter().enumerate() {
        assert_piece(&material.sent, &seen(&server, scheme, STREAM), 25);
        if scheme == "http" {
            wait_until("it sends no more", || count(&device, "bye") == 1);
            wait_until("the stream is gone", || !server.is_live(STREAM));
        } else {
            assert!(count(&device, "invite") >= 2, "{number}");
        }
    }
    assert_content(&device);
}

#[test]
fn receivers_are_told_of_devices() {
    let receiver = Receiver::start(|_| Some(200));
    let server = server(&[&format!("webhooks.url={}", receiver.url("told"))]);
    let material = material();
    let mut device = registered(&server, &material, "--transport tcp --trait plain");
    assert_piece(&material.sent, &seen(&server, "http", STREAM), 25);
    let told = |name: &str| {
        let event = |received: &&Received| received.field("headwater-event") == Some(name);
        let all = receiver.all();
        all.iter().find(event).map(Received::json)
    };
    wait_until("the end of the call is told", || told("on_device_call_stop").is_some());
    device.kill();
    wait_until("its absence is told", || told("on_device_offline").is_some());
    let online = told("on_device_online").expect("its registration");
    assert_eq!((&online["device_id"], &online["transport"]), (&json!(DEVICE), &json!("TCP")));
    for name in ["on_device_call_start", "on_device_call_stop"] {
        let call = told(name).expect(name);
        let ids = (&call["device_id"], &call["channel_id"], &call["stream_name"]);
        assert_eq!(ids, (&json!(DEVICE), &json!(CHANNEL), &json!(CHANNEL)), "{call}");
    }
    assert_eq!(told("on_device_call_stop").expect("a stop")["reason"], "nobody wants it any more");
    assert_eq!(told("on_device_offline").expect("an end")["reason"], "its connection has ended");
}

#[test]
fn media_comes_over_every_transport() {
    let material = material();
    for (transport, sip, habits) in [
        ("udp", "tcp", "--trait dahua"),
        ("tcp", "udp", "--trait hik"),
        ("tcp_active", "tcp", "--trait plain"),
    ] {
        let server = server(&[&format!("gb28181.transport={transport}")]);
        let device = registered(&server, &material, &format!("--transport {sip} {habits}"));
        assert_piece(&material.sent, &seen(&server, "http", STREAM), 30);
        let started = wait_for_event(&device, "media_started");
        let called = [("udp", "udp"), ("tcp", "passive"), ("tcp_active", "active")];
        assert!(called.contains(&(transport, started["transport"].as_str().unwrap())), "{started}");
        wait_until("it sends no more", || count(&device, "bye") == 1);
        assert_content(&device);
    }
}

#[test]
fn devices_that_do_not_keep_to_their_ssrc_share_a_port() {
    let material = material();
    for habit in ["--ssrc offer", "--ssrc zero", "--ssrc other", "--media-transport tcp"] {
        let transport = if habit.contains("tcp") { "tcp" } else { "udp" };
        let habit = if habit.contains("tcp") { "" } else { habit };
        let server = server(&[
            "ps.shared_listen=127.0.0.1:0",
            "gb28181.shared_port=true",
            &format!("gb28181.transport={transport}"),
        ]);
        let device = registered(&server, &material, &format!("{habit} --trait hik"));
        assert_piece(&material.sent, &seen(&server, "http", STREAM), 30);
        let offer = &wait_for_event(&device, "invite")["offer"];
        assert_eq!(offer["port"], server.port("ps_shared"), "{offer}");
        assert_content(&device);
    }
}

#[test]
fn what_is_lost_on_the_way_is_only_lost() {
    let server = server(&[]);
    let material = material();
    let _device = registered(&server, &material, "--loss 3 --reorder 2 --trait hik");
    let url = server.url("http", STREAM);
    let got = Frames::parse(&Frames::reader(&format!("-t 6 -i {url}"), "h264", false).finish());
    let sent: std::collections::HashSet<_> =
        material.sent.track("video0").into_iter().map(|frame| frame.2).collect();
    let got = got.track("video0");
    assert!(got.len() > 60, "{} pictures", got.len());
    assert!(got.iter().all(|frame| sent.contains(&frame.2)), "a picture is torn");
}

#[test]
fn whoever_does_not_know_the_password_is_not_let_in() {
    let server = server(&[]);
    let material = material();
    let at = format!("--server 127.0.0.1:{} --password mistaken", server.port("sip"));
    let _device = device("", &material, &at);
    let line = server.wait_for_log(&["device is not let in", DEVICE]);
    assert!(!line.contains("12345678") && !line.contains("mistaken"), "{line}");
    let (_, all) = server.v1("GET", "devices", &Value::Null);
    assert_eq!(all["total"], 0, "{all}");
    // One of its own, in the configuration.
    let own = format!("gb28181.devices=[{{id=\"{DEVICE}\",password=\"of-its-own\"}}]");
    let server = self::server(&[&own]);
    let _device = registered(&server, &material, "--password of-its-own");
    let (_, config) = server.v1("GET", "config", &Value::Null);
    let shown = config.to_string();
    assert!(!shown.contains("of-its-own") && !shown.contains("12345678"), "{shown}");
}

#[test]
fn catalogues_come_in_pieces_and_in_chinese() {
    let server = server(&[]);
    let material = material();
    let device = registered(&server, &material, "--channels 40 --catalog-chunk 3 --gbk");
    let mut channels = Vec::new();
    wait_until("all are there", || {
        let (_, body) = server.v1("GET", &format!("devices/{DEVICE}"), &Value::Null);
        channels = body["channels"].as_array().cloned().unwrap_or_default();
        channels.len() == 40
    });
    let name = channels[0]["name"].as_str().unwrap_or_default();
    let is_chinese = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    assert!(name.chars().any(is_chinese), "{name}");
    let (status, _) = server.v1("POST", "devices/refresh", &json!({ "device": DEVICE }));
    assert_eq!(status, 200);
    wait_until("it is asked again", || count(&device, "catalog_query") == 2);
    assert_content(&device);
}

#[test]
fn cameras_turn_and_make_key_frames() {
    let server = server(&[]);
    let material = material();
    let camera = registered(&server, &material, "");
    let told = |order: Value| {
        let mut body = json!({ "device": DEVICE, "channel": CHANNEL });
        body.as_object_mut().expect("one").extend(order.as_object().expect("one").clone());
        server.v1("POST", "devices/control", &body)
    };
    let (status, body) = told(json!({ "action": "move", "pan": -1, "tilt": 1, "speed": 128 }));
    assert_eq!(status, 200, "{body}");
    let ptz = wait_for_event(&camera, "ptz");
    assert!(ptz.to_string().contains("A50F010A8080"), "{ptz}");
    assert_eq!(told(json!({ "action": "stop" })).0, 200);
    wait_until("it stops", || count(&camera, "ptz") == 2);
    assert_eq!(told(json!({ "action": "call_preset", "preset": 3 })).0, 200);
    assert_eq!(told(json!({ "action": "key_frame" })).0, 200);
    let _ = wait_for_event(&camera, "iframe");
    assert_eq!(told(json!({ "action": "call_preset" })).0, 400);
    assert_eq!(told(json!({ "action": "move", "pan": 7 })).0, 400);
    let nobody = json!({ "device": "1", "channel": CHANNEL, "action": "stop" });
    assert_eq!(server.v1("POST", "devices/control", &nobody).0, 400);
    let unknown = json!({ "device": CHANNEL, "channel": CHANNEL, "action": "stop" });
    assert_eq!(server.v1("POST", "devices/control", &unknown).0, 409);
    assert_content(&camera);
}

#[test]
fn operators_play_without_viewers_and_recordings_to_their_end() {
    let server = server(&[]);
    let material = material();
    let recorder = registered(&server, &material, "--trait hik");
    let order = json!({ "device": DEVICE, "channel": CHANNEL });
    let (status, body) = server.v1("POST", "devices/play", &order);
    assert_eq!((status, &body["stream"]), (200, &json!(STREAM)), "{body}");
    wait_until("it comes", || server.group(STREAM)["audio_codec"] == "AAC");
    let (status, body) =
        server.v1("DELETE", &format!("devices/play?stream={STREAM}"), &Value::Null);
    assert_eq!(status, 200, "{body}");
    wait_until("it ends", || count(&recorder, "bye") == 1 && !server.is_live(STREAM));
    assert_eq!(server.v1("DELETE", &format!("devices/play?stream={STREAM}"), &Value::Null).0, 404);

    let order = json!({
        "device": DEVICE, "channel": CHANNEL, "start": 1_700_000_000, "end": 1_700_000_006,
    });
    let (status, body) = server.v1("POST", "devices/play", &order);
    assert_eq!(status, 200, "{body}");
    let stream = body["stream"].as_str().expect("a stream").to_owned();
    wait_until("it comes", || server.group(&stream)["audio_codec"] == "AAC");
    let pause = json!({ "stream": stream, "pause": true });
    assert_eq!(server.v1("POST", "devices/playback", &pause).0, 200);
    let go_on = json!({ "stream": stream, "speed": 2.0 });
    assert_eq!(server.v1("POST", "devices/playback", &go_on).0, 200);
    wait_until("it has come to its end", || count(&recorder, "bye") == 2);
    wait_until("the stream is gone", || !server.is_live(&stream));
    assert_content(&recorder);
}

#[test]
fn recordings_are_listed_and_what_is_listed_is_played() {
    let server = server(&[]);
    let material = material();
    let recorder = registered(&server, &material, "--trait hik --gbk");
    let list = |channel: &str, span: &str| {
        let path = format!("devices/recordings?device={DEVICE}&channel={channel}&{span}");
        server.v1("GET", &path, &Value::Null)
    };
    let (status, body) = list(CHANNEL, "start=1700000000&end=1700086400");
    assert_eq!((status, &body["complete"]), (200, &json!(true)), "{body}");
    let items = body["items"].as_array().expect("a list");
    let starts: Vec<_> = items.iter().filter_map(|item| item["start"].as_u64()).collect();
    assert_eq!(starts, [1_700_000_000, 1_700_003_600, 1_700_007_200], "{body}");
    let first = &items[0];
    assert_eq!((&first["end"], &first["kind"]), (&json!(1_700_001_800), &json!("time")), "{body}");
    assert_eq!(first["size_bytes"], 1_000_000, "{body}");
    let order = json!({
        "device": DEVICE, "channel": CHANNEL, "start": first["start"], "end": first["end"],
    });
    let (status, body) = server.v1("POST", "devices/play", &order);
    assert_eq!(status, 200, "{body}");
    let stream = body["stream"].as_str().expect("a stream").to_owned();
    wait_until("it comes", || server.group(&stream)["audio_codec"] == "AAC");

    assert_eq!(list(CHANNEL, "start=5&end=5").0, 400);
    assert_eq!(list("1", "start=5&end=6").0, 400);
    let nobody = format!("devices/recordings?device={CHANNEL}&channel={CHANNEL}&start=5&end=6");
    assert_eq!(server.v1("GET", &nobody, &Value::Null).0, 409);
    assert_content(&recorder);
    // The device finds fault with that.
    let (status, body) = list("34020000001310009999", "start=5&end=6");
    assert_eq!(status, 502, "a channel that it has not: {body}");
}

#[test]
fn a_device_that_refuses_or_is_silent_is_asked_again_while_somebody_watches() {
    let material = material();
    for (habit, why) in [("--refuse 486", "486"), ("--silent", "does not answer")] {
        let server = server(&["server.wait_for_stream=20s"]);
        let device = registered(&server, &material, habit);
        let viewer = ffmpeg(&format!("-i {} -f null -", server.url("http", STREAM)));
        let line = server.wait_for_log(&["the device does not send", STREAM]);
        assert!(line.contains(why), "{line}");
        if habit.contains("refuse") {
            wait_until("it is asked again", || count(&device, "invite") >= 2);
        }
        drop(viewer);
        wait_until("nothing is received", || {
            server.v1("GET", "receivers", &Value::Null).1["items"] == json!([])
        });
    }
}

#[test]
fn viewers_stay_while_a_device_restarts() {
    let server = server(&["ps.idle_timeout=2s", "gb28181.stop_after=10s"]);
    let material = material();
    let mut camera = registered(&server, &material, "--trait hik");
    let url = server.url("http", STREAM);
    let mut viewer = ffmpeg(&format!("-i {url} -t 15 -c copy -f null -"));
    wait_until("somebody watches", || server.viewers(STREAM) == 1);
    wait_until("it comes", || server.group(STREAM)["audio_codec"] == "AAC");
    camera.kill();
    let _ = server.wait_for_log(&["session ended", "PSPUB1"]);
    let camera = registered(&server, &material, "--trait hik");
    let _ = wait_for_event(&camera, "media_started");
    assert!(!viewer.has_ended(), "the viewer stays");
    assert!(viewer.wait().success());
}

#[test]
fn devices_are_told_when_the_server_stops() {
    let mut server = server(&[]);
    let material = material();
    let device = registered(&server, &material, "");
    let order = json!({ "device": DEVICE, "channel": CHANNEL });
    assert_eq!(server.v1("POST", "devices/play", &order).0, 200);
    let _ = wait_for_event(&device, "media_started");
    server.signal("TERM");
    let _ = wait_for_event(&device, "bye");
    assert_eq!(server.wait(), Some(0));
    assert_content(&device);
}

#[test]
fn garbage_and_floods_leave_devices_online() {
    use std::io::Write as _;
    use std::net::{TcpStream, UdpSocket};
    let mut server = server(&[]);
    let material = material();
    let camera = registered(&server, &material, "--keepalive 1");
    let port = server.port("sip");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let say = |text: &str| socket.send_to(text.as_bytes(), ("127.0.0.1", port)).expect("sent");
    for _ in 0..200 {
        say("REGISTER sip:x SIP/2.0\r\nContent-Length: 99999999999999999999\r\n\r\n");
        say("SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n");
        say(
            "MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nFrom: <sip:1@x>;tag=1\r\nTo: <sip:2@x>\r\n\
             Call-ID: 1\r\nCSeq: 1 MESSAGE\r\nContent-Type: Application/MANSCDP+xml\r\n\
             Content-Length: 40\r\n\r\n<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTI",
        );
        say("\0\0\0\0");
    }
    for start in [&b"REGISTER "[..], b"\r\n\r\n", &[0xFF; 100], b"INVITE sip:x SIP/2.0\r\nX: "] {
        let mut conn = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let junk = vec![b'a'; 100_000];
        // The server may close it before all is sent.
        let _ = conn.write_all(start).and_then(|()| conn.write_all(&junk));
    }
    let before = count(&camera, "keepalive");
    wait_until("it still says that it is there", || count(&camera, "keepalive") > before + 1);
    let (_, body) = server.v1("GET", &format!("devices/{DEVICE}"), &Value::Null);
    assert_eq!(body["online"], true, "{body}");
    server.assert_healthy();
}

#[test]
fn many_devices_are_there_at_once() {
    let server = server(&[]);
    let material = material();
    let at = format!("--server 127.0.0.1:{} --devices 100 --ramp 1", server.port("sip"));
    let devices = device("", &material, &at);
    let mut body = Value::Null;
    wait_until("all are online", || {
        body = server.v1("GET", "devices?per_page=1000", &Value::Null).1;
        let items = body["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter(|device| device["channels"] != json!([])).count() == 100
    });
    // Twenty of them at once.
    let streams: Vec<_> = body["items"].as_array().expect("a list")[..20]
        .iter()
        .map(|device| device["channels"][0]["stream"].as_str().expect("a stream").to_owned())
        .collect();
    for device in &body["items"].as_array().expect("a list")[..20] {
        let order = json!({ "device": device["id"], "channel": device["channels"][0]["id"] });
        assert_eq!(server.v1("POST", "devices/play", &order).0, 200);
    }
    wait_until("all send", || {
        streams.iter().all(|stream| server.group(stream)["audio_codec"] == "AAC")
    });
    assert_content(&devices);
}
