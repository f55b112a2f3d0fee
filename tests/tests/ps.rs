//! Program streams over RTP: what devices send to ports that the API has opened comes out over every
//! protocol, whatever they do to their packets, and what is opened is closed again.

use std::net::{TcpListener, UdpSocket};

use headwater_e2e::device::{Elementary, device, wait_for_event};
use headwater_e2e::{
    Frames, Program, Server, assert_piece, ffmpeg, free_port, headwater, wait_until,
};
use serde_json::{Value, json};

/// Opens a receiver; the port to send to.
fn receive(server: &Server, order: &Value) -> u16 {
    let (status, body) = server.v1("POST", "receivers", order);
    assert_eq!(status, 200, "{order}: {body}");
    let port = body["port"].as_u64().expect("a port");
    u16::try_from(port).expect("a port")
}

fn receivers(server: &Server) -> Vec<Value> {
    let (status, body) = server.v1("GET", "receivers", &Value::Null);
    assert_eq!(status, 200, "{body}");
    body["items"].as_array().expect("a list").clone()
}

/// The receiver of a stream.
fn receiver(server: &Server, stream: &str) -> Value {
    let all = receivers(server).into_iter();
    all.into_iter().find(|receiver| receiver["stream"] == stream).unwrap_or_default()
}

fn send(material: &Elementary, port: u16, arguments: &str) -> Program {
    device("send", material, &format!("--to 127.0.0.1:{port} {arguments}"))
}

/// What a viewer sees of a stream in some seconds.
fn seen(server: &Server, scheme: &str, stream: &str, codec: &str) -> Frames {
    let transport = if scheme.starts_with("rtsp") { "-rtsp_transport tcp " } else { "" };
    let input = format!("{transport}-t 2 -i {}", server.url(scheme, stream));
    Frames::parse(&Frames::reader(&input, codec, codec == "hevc").finish())
}

/// Fails unless pictures follow each other at 25 a second, and sound without gaps, in microseconds.
fn assert_even(frames: &Frames, frame_of_sound: i64) {
    let steps = |track: &str| -> Vec<_> {
        let times: Vec<_> = frames.track(track).iter().map(|frame| frame.0).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    };
    let even = |track: &str, step: i64| {
        for found in steps(track) {
            assert!((found - step).abs() <= 1_100, "{track}: {found} µs from one to the next");
        }
    };
    even("video0", 40_000);
    even("audio0", frame_of_sound);
}

#[test]
fn devices_of_every_make_come_out_over_every_protocol() {
    let server = Server::start(&[]);
    let material = Elementary::of("h264-aac.mp4", "h264", Some("aac"));
    let makes = [
        ("plain", "udp", ""),
        ("hik", "udp", "--pt 108"),
        ("hik", "tcp", ""),
        ("dahua", "udp", "--no-dts --repeat-parameter-sets"),
        ("dahua", "tcp", "--tcp-framing dollar --audio-type 0x90"),
        ("zero", "udp", "--map never --aac-per-pes 3"),
    ];
    for (number, (make, transport, habits)) in makes.into_iter().enumerate() {
        let stream = format!("gb/{number}");
        let port = receive(&server, &json!({ "stream": stream, "transport": transport }));
        let arguments = format!("--trait {make} --media-transport {transport} {habits}");
        let _device = send(&material, port, &arguments);
        wait_until("both tracks are there", || {
            server.group(&stream)["audio_codec"] == "AAC" && server.is_live(&stream)
        });
        // What comes out of one has been taken in alike by all.
        let all = ["http", "http+hls", "rtsp", "rtmp"];
        for scheme in if number < 2 { &all[..] } else { &all[..1] } {
            let got = seen(&server, scheme, &stream, "h264");
            assert_piece(&material.sent, &got, 25);
            if *scheme == "http" {
                assert_even(&got, 23_220);
            }
        }
        let told = receiver(&server, &stream);
        assert_eq!((&told["lost"], &told["foreign"]), (&json!(0), &json!(0)), "{told}");
        assert_eq!(told["transport"], transport, "{told}");
    }
}

#[test]
fn hevc_and_g711_come_out() {
    let server = Server::start(&[]);
    let material = Elementary::of("hevc-aac.mp4", "hevc", Some("aac"));
    let port = receive(&server, &json!({ "stream": "gb/hevc" }));
    let _device = send(&material, port, "--trait hik");
    wait_until("it is there", || server.group("gb/hevc")["audio_codec"] == "AAC");
    for scheme in ["rtmp", "http+hls"] {
        assert_piece(&material.sent, &seen(&server, scheme, "gb/hevc", "hevc"), 25);
    }

    for (file, law, codec) in [("pcma.flv", "alaw", "PCMA"), ("pcmu.flv", "ulaw", "PCMU")] {
        let material = Elementary::of(file, "h264", Some(law));
        let stream = format!("gb/{law}");
        let port = receive(&server, &json!({ "stream": stream }));
        let _device = send(&material, port, "--trait dahua");
        wait_until("it is there", || server.group(&stream)["audio_codec"] == codec);
        // Its samples are in packets of another length.
        let out = server.file(law).display().to_string();
        let container = if law == "alaw" { "alaw" } else { "mulaw" };
        let url = server.url("http", &stream);
        ffmpeg(&format!("-t 2 -i {url} -map 0:a -c copy -f {container} {out}")).finish();
        let sent = std::fs::read(material.audio()).expect("a file").repeat(3);
        let got = std::fs::read(&out).expect("a file");
        assert!(got.len() > 8_000, "{} samples", got.len());
        assert!(sent.windows(got.len()).any(|piece| piece == got), "{law}: other samples");
    }
}

#[test]
fn what_is_lost_on_the_way_tears_no_picture() {
    let server = Server::start(&["ps.reorder_window=50ms"]);
    let material = Elementary::of("large.mp4", "h264", Some("aac"));
    let port = receive(&server, &json!({ "stream": "gb/lossy" }));
    let device = send(&material, port, "--loss 3 --reorder 5 --loops 1 --trait hik");
    wait_until("it is there", || server.group("gb/lossy")["video_codec"] == "H264");
    let url = server.url("http", "gb/lossy");
    let got = Frames::parse(&Frames::reader(&format!("-t 6 -i {url}"), "h264", false).finish());
    drop(device);
    let (sent, got) = (material.sent.track("video0"), got.track("video0"));
    let hashes: std::collections::HashSet<_> = sent.iter().map(|frame| &frame.2).collect();
    assert!(got.len() > 10, "{} pictures", got.len());
    assert!(got.len() < 150, "nothing was lost");
    let torn = got.iter().filter(|frame| !hashes.contains(&frame.2)).count();
    assert_eq!(torn, 0, "of {} pictures", got.len());
    let told = receiver(&server, "gb/lossy");
    assert!(told["lost"].as_u64() > Some(5), "{told}");
}

#[test]
fn many_devices_share_a_port() {
    let server = Server::start(&["ps.shared_listen=127.0.0.1:0"]);
    let material = Elementary::of("h264-aac.mp4", "h264", Some("aac"));
    let shared = server.port("ps_shared");
    let order = |stream: &str, ssrc: u32| json!({ "stream": stream, "shared": true, "ssrc": ssrc });
    for (stream, ssrc) in [("gb/a", 100_000_001), ("gb/b", 100_000_002), ("gb/c", 100_000_003)] {
        assert_eq!(receive(&server, &order(stream, ssrc)), shared);
    }
    let (status, body) = server.v1("POST", "receivers", &order("gb/d", 100_000_001));
    assert_eq!(status, 409, "{body}");
    let (status, body) =
        server.v1("POST", "receivers", &json!({ "stream": "gb/d", "shared": true }));
    assert_eq!(status, 400, "{body}");
    // A device that says no SSRC is known by its address.
    let anonymous = json!({ "stream": "gb/d", "shared": true, "from": "127.0.0.1" });
    receive(&server, &anonymous);

    let _a = send(&material, shared, "--ssrc 100000001");
    let _b = send(&material, shared, "--ssrc 100000002 --media-transport tcp --trait hik");
    // It was told one, and has another.
    let _c = send(&material, shared, "--ssrc 7 --media-transport tcp --trait dahua");
    let (status, body) =
        server.v1("PATCH", "receivers?stream=gb/c", &json!({ "ssrc": 100_000_002 }));
    assert_eq!(status, 409, "{body}");
    for stream in ["gb/a", "gb/b"] {
        wait_until("it is there", || server.group(stream)["audio_codec"] == "AAC");
        assert_piece(&material.sent, &seen(&server, "http", stream, "h264"), 30);
    }
    // Its packets went to the one that takes what comes from this host.
    assert_eq!(receiver(&server, "gb/d")["received_ssrc"], 7);
    let (status, body) = server.v1("PATCH", "receivers?stream=gb/c", &json!({ "ssrc": 8 }));
    assert_eq!((status, &body["ssrc"]), (200, &json!(8)), "{body}");
    let _later = send(&material, shared, "--ssrc 8");
    wait_until("it is there", || server.group("gb/c")["audio_codec"] == "AAC");
}

#[test]
fn the_server_connects_to_a_device_that_listens() {
    let server = Server::start(&[]);
    let material = Elementary::of("h264-aac.mp4", "h264", Some("aac"));
    let device = device("listen", &material, "--port 0 --trait hik");
    let port = wait_for_event(&device, "listening")["port"].clone();
    let order = json!({
        "stream": "gb/active", "transport": "tcp_active", "connect_to": format!("127.0.0.1:{port}"),
    });
    assert_eq!(receive(&server, &order), 0);
    wait_until("it is there", || server.group("gb/active")["audio_codec"] == "AAC");
    assert_piece(&material.sent, &seen(&server, "http", "gb/active", "h264"), 30);

    let nobody = free_port();
    let order = json!({
        "stream": "gb/none", "transport": "tcp_active", "connect_to": format!("127.0.0.1:{nobody}"),
    });
    receive(&server, &order);
    let line = server.wait_for_log(&["session ended", "PSPUB2"]);
    assert!(line.contains(&format!("cannot connect to 127.0.0.1:{nobody}")), "{line}");
}

#[test]
fn bare_video_is_received_where_that_is_said_or_seen() {
    let server = Server::start(&[]);
    let file = headwater_e2e::material("video-only.mp4").display().to_string();
    let sent = Frames::parse(&Frames::reader(&format!("-i {file}"), "h264", false).finish());
    for (order, payload_type) in [
        (json!({ "stream": "gb/bare", "payload": "h264" }), 100),
        (json!({ "stream": "gb/seen" }), 98),
    ] {
        let port = receive(&server, &order);
        let stream = order["stream"].as_str().expect("a name");
        let _sender = ffmpeg(&format!(
            "-re -stream_loop -1 -i {file} -c copy -bsf:v h264_mp4toannexb -f rtp \
             -payload_type {payload_type} rtp://127.0.0.1:{port}"
        ));
        wait_until("it is there", || server.group(stream)["video_codec"] == "H264");
        assert_piece(&sent, &seen(&server, "http", stream, "h264"), 30);
    }
}

#[test]
fn lal_s_clients_open_ports_and_close_them() {
    let server = Server::start(&[]);
    let open = |body: Value| server.api_post("/api/ctrl/start_rtp_pub", &body);
    for (tcp, transport) in [(0, "udp"), (1, "tcp")] {
        let stream = format!("cam{tcp}");
        let begun = open(json!({ "stream_name": stream, "is_tcp_flag": tcp, "timeout_ms": 0 }));
        assert_eq!(begun["error_code"], 0, "{begun}");
        let data = &begun["data"];
        assert_eq!(data["stream_name"], stream);
        let port = u16::try_from(data["port"].as_u64().expect("a port")).expect("a port");
        let id = data["session_id"].as_str().expect("an id").to_owned();
        assert!(id.starts_with("PSPUB"), "{begun}");
        let group = server.api(&format!("/api/stat/group?stream_name={stream}"));
        assert_eq!(group["data"]["pub"]["session_id"], *id, "{group}");
        assert_eq!(group["data"]["pub"]["protocol"], "PS", "{group}");

        let again = open(json!({ "stream_name": stream }));
        assert_eq!(again["error_code"], 2002, "{again}");
        let free = || match transport {
            "udp" => UdpSocket::bind(("0.0.0.0", port)).is_ok(),
            _ => TcpListener::bind(("0.0.0.0", port)).is_ok(),
        };
        assert!(!free(), "the port is open");
        let taken = open(json!({ "stream_name": "other", "is_tcp_flag": tcp, "port": port }));
        assert_eq!(taken["error_code"], 2002, "{taken}");
        assert!(taken["desp"].as_str().unwrap_or_default().contains("in use"), "{taken}");

        let kick = json!({ "stream_name": stream, "session_id": id });
        assert_eq!(server.api_post("/api/ctrl/kick_session", &kick)["error_code"], 0);
        wait_until("the port is free", free);
    }
    let missing = open(json!({ "port": 0 }));
    assert_eq!(missing["error_code"], 1002, "{missing}");
    assert!(receivers(&server).is_empty());
}

#[test]
fn what_nobody_sends_to_is_closed_in_time() {
    let server = Server::start(&["stream.grace=0s"]);
    for (stream, transport) in [("gb/udp", "udp"), ("gb/tcp", "tcp")] {
        receive(
            &server,
            &json!({ "stream": stream, "transport": transport, "timeout_seconds": 1 }),
        );
    }
    wait_until("both are closed", || receivers(&server).is_empty());
    let line = server.wait_for_log(&["session ended", "PSPUB1"]);
    assert!(line.contains("the device sent nothing"), "{line}");
    wait_until("the streams are gone", || !server.is_live("gb/udp") && !server.is_live("gb/tcp"));
}

/// Descriptors that the server has open.
fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a process").count()
}

#[test]
fn garbage_harms_nobody_and_nothing_is_left_behind() {
    let mut server = Server::start(&["ps.shared_listen=127.0.0.1:0", "stream.grace=0s"]);
    let before = descriptors(&server);
    let mut random = 1_u32;
    let mut byte = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random.to_be_bytes()[0]
    };
    for round in 0..60 {
        let transport = if round % 2 == 0 { "udp" } else { "tcp" };
        let stream = format!("gb/{round}");
        let port = receive(&server, &json!({ "stream": stream, "transport": transport }));
        let mut sent: Vec<u8> = Vec::new();
        for packet in 0..20_u16 {
            // Short ones, cut ones, and what looks like a program stream.
            let length = usize::from(byte()) % 80;
            let mut datagram = vec![0x80, 96];
            datagram.extend(packet.to_be_bytes());
            datagram.extend([0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 1, [0xBA, 0xE0, 0xBC, 0xC0][round % 4]]);
            datagram.extend((0..length).map(|_| byte()));
            datagram.truncate(usize::from(byte()) % (datagram.len() + 1));
            if transport == "udp" {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
                socket.send_to(&datagram, ("127.0.0.1", port)).expect("sent");
            } else {
                sent.extend(u16::try_from(datagram.len()).expect("a length").to_be_bytes());
                sent.extend(datagram);
            }
        }
        if transport == "tcp" {
            use std::io::Write as _;
            let mut conn = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connected");
            // The server may close it before all is sent.
            let _ = conn.write_all(&sent);
        }
        let (status, body) =
            server.v1("DELETE", &format!("receivers?stream={stream}"), &Value::Null);
        assert_eq!(status, 200, "{body}");
    }
    wait_until("all are closed", || receivers(&server).is_empty());
    wait_until("no session is left", || server.v1("GET", "sessions", &Value::Null).1["total"] == 0);
    wait_until("no descriptor is left", || descriptors(&server) <= before + 2);
    server.assert_healthy();
}

#[test]
fn packets_are_written_down_and_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let dumps = format!("ps.dump_dir={}", folder.path().display());
    let server = Server::start(&[&dumps]);
    let material = Elementary::of("h264-aac.mp4", "h264", Some("aac"));
    for name in ["field.dump", "field.pcap"] {
        let order = json!({ "stream": "gb/dumped", "dump": name });
        let port = receive(&server, &order);
        let mut device = send(&material, port, "--trait hik --loops 1");
        assert!(device.wait().success());
        let (status, _) = server.v1("DELETE", "receivers?stream=gb/dumped", &Value::Null);
        assert_eq!(status, 200);
        wait_until("it is closed", || receivers(&server).is_empty());
        let path = folder.path().join(name).display().to_string();
        let probe = headwater(&["probe", &path, "--json"]).finish();
        let probe: Value = serde_json::from_str(&probe).expect("JSON");
        assert_eq!(probe["tracks"][0]["frames"], 150, "{probe}");
        let file = folder.path().join(format!("{name}.flv")).display().to_string();
        headwater(&["pull", &path, &file, "--quiet"]).finish();
        let got = Frames::parse(&Frames::reader(&format!("-i {file}"), "h264", false).finish());
        assert_piece(&material.sent, &got, 150);
        let (status, body) = server.v1("POST", "receivers", &order);
        assert_eq!(status, 400, "a file is not overwritten: {body}");
    }
    let server = Server::start(&[]);
    let (status, body) = server.v1("POST", "receivers", &json!({ "stream": "a", "dump": "x" }));
    assert_eq!(status, 400, "{body}");
    assert!(body["error"].as_str().unwrap_or_default().contains("ps.dump_dir"), "{body}");
}
