//! Peers that lie, flood, vanish and forge: each harms itself alone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use headwater_e2e::rtsp_raw::{Camera, H264, PCMA, Peer, at_the_end, ports, rtp, server_ports};
use headwater_e2e::{PATIENCE, Program, Server, clip, ffmpeg, wait_until};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use testkit::Random;

/// A stream that all attacks leave alone.
fn bystander(server: &Server) -> Program {
    let publisher = clip::publish(&server.url("rtsp", "live/bystander"));
    wait_until("the stream is there", || server.group("live/bystander")["video_codec"] == "H264");
    publisher
}

/// Fails unless the stream flows.
fn flows(server: &Server) {
    let url = server.url("rtsp", "live/bystander");
    let text = ffmpeg(&format!("-rtsp_transport tcp -i {url} -t 1 -c copy -f framemd5 -")).finish();
    assert!(text.lines().filter(|line| line.starts_with("0,")).count() >= 20);
}

#[test]
fn messages_that_lie_are_refused() {
    let mut server = Server::start(&["rtsp.setup_timeout=2s"]);
    let _bystander = bystander(&server);
    let port = server.port("rtsp");
    let many = format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "X: y\r\n".repeat(1_000));
    let endless = format!("OPTIONS * RTSP/1.0\r\nX: {}", "y".repeat(100_000));
    for bytes in [
        "ANNOUNCE rtsp://h/live/a RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -5\r\n\r\n",
        "ANNOUNCE rtsp://h/live/a RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999999\r\n\r\n",
        &many,
        &endless,
        &"\u{1}".repeat(100_000),
        &"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\nDESCRIBE rtsp://h/live/none RTSP/1.0\r\nCSeq: 2\r\n\r\n"
            .repeat(100),
        // Silence in the middle.
        "ANNOUNCE rtsp://h/live/a RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 50\r\n\r\nv=0",
        "SETUP rtsp://h/li",
        "",
        "$\u{0}",
    ] {
        let mut peer = Peer::connect(port, "live/a");
        peer.try_send(bytes);
        assert!(peer.is_sent_away(), "{bytes:.60}");
    }
    for sdp in [
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/0\r\n".to_owned(),
        "m=video 0 RTP/AVP 96\r\n".to_owned(),
        "no description".to_owned(),
    ] {
        let mut peer = Peer::connect(port, "live/a");
        let answer = peer.ask("ANNOUNCE", "", &[], &sdp);
        assert!(answer.status == 400 || answer.status == 415, "{answer:?}");
    }
    let bomb = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n".repeat(1_200);
    let mut peer = Peer::connect(port, "live/a");
    assert_eq!(peer.ask("ANNOUNCE", "", &[], &bomb).status, 200);
    flows(&server);
    server.assert_healthy();
}

#[test]
fn payloads_and_reports_that_are_cut_short_do_nothing() {
    let mut server = Server::start(&[]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/a");
    let aac = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/500/2\r\na=control:trackID=1\r\n\
               a=fmtp:97 mode=AAC-hbr;config=1210;sizelength=13;indexlength=3\r\n";
    peer.publish(&[H264, aac]);
    let mut sequence = 0;
    for length in 0..6 {
        for first in [0x7C, 0x78, 0x79, 0x7A, 0x7D, 0x65, 0, 0xFF] {
            sequence += 1;
            let payload = vec![first; length];
            peer.interleave(0, &rtp(96, true, sequence, 90_000, &payload));
            peer.interleave(2, &rtp(97, true, sequence, 44_100, &payload));
        }
    }
    let report = [0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    for length in 0..report.len() {
        peer.interleave(1, &report[..length]);
        peer.interleave(3, &report[..length]);
        peer.interleave(0, &report[..length]);
    }
    let mut camera = Camera::new();
    for _ in 0..30 {
        camera.packets(at_the_end).iter().for_each(|packet| peer.interleave(0, packet));
    }
    wait_until("the stream is there", || server.group("live/a")["video_codec"] == "H264");
    server.assert_healthy();
}

#[test]
fn ports_are_given_back() {
    // Room for four pairs.
    let free = loop {
        let (_, _, (a, _)) = ports();
        if (a..a + 8).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok()) {
            break a;
        }
    };
    let (min, max) = (free, free + 7);
    let range = [format!("rtsp.udp_port_min={min}"), format!("rtsp.udp_port_max={max}")];
    let mut server = Server::start(&[&range[0], &range[1]]);
    let _bystander = bystander(&server);
    let offer = ["Transport: RTP/AVP;unicast;client_port=5000-5001"];
    for _ in 0..3 {
        let mut held = Vec::new();
        let refused = loop {
            let mut peer = Peer::connect(server.port("rtsp"), "live/bystander");
            let answer = peer.ask("SETUP", "/trackID=0", &offer, "");
            held.push(peer);
            if answer.status != 200 {
                break answer.status;
            }
            assert!(held.len() < 10, "there are no ports for so many");
        };
        assert_eq!((refused, held.len()), (461, 5));
        drop(held);
        wait_until("all ports are free", || {
            (min..=max).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok())
        });
    }
    flows(&server);
    server.assert_healthy();
}

#[test]
fn only_the_peer_is_heard() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/a");
    assert_eq!(peer.ask("ANNOUNCE", "", &[], &format!("v=0\r\n{H264}")).status, 200);
    let (socket, _rtcp, (a, b)) = ports();
    let offer = format!("Transport: RTP/AVP;unicast;client_port={a}-{b};mode=record");
    let answer = peer.ask("SETUP", "/trackID=0", &[&offer], "");
    let (to, reports) = server_ports(&answer);
    assert_eq!(peer.ask("RECORD", "", &[], "").status, 200);
    let elsewhere = UdpSocket::bind("127.0.0.2:0").expect("an address");
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut camera = Camera::new();
    // From another host, before anything else: it must not be taken for the peer.
    elsewhere.send_to(&rtp(96, true, 1, 1, &[0x65, 0x88]), to).expect("a packet");
    for _ in 0..50 {
        for packet in camera.packets(at_the_end) {
            socket.send_to(&packet, to).expect("a packet");
            let mut forged = packet.clone();
            forged[8] ^= 0xFF;
            socket.send_to(&forged, to).expect("a packet");
            let mut wrong = packet.clone();
            wrong[1] = 35;
            socket.send_to(&wrong, to).expect("a packet");
            let mut ancient = packet;
            ancient[2] ^= 0x80;
            socket.send_to(&ancient, to).expect("a packet");
        }
        for forger in [&elsewhere, &stranger] {
            // These may be told that nobody hears them.
            let _ = forger.send_to(&rtp(96, true, camera.packets, 7, &[0x65, 0x88]), to);
            let _ = forger.send_to(&[0x80, 203, 0, 1, 0, 0, 0, 1], reports);
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    wait_until("the stream is there", || server.group("live/a")["video_codec"] == "H264");
    assert_eq!(peer.ask("TEARDOWN", "", &[], "").status, 200);
    let line = server.wait_for_log(&["reception ended"]);
    assert!(line.contains(" lost=0 ") && line.contains(" torn=0 "), "{line}");
    let foreign: u32 = number(&line, "foreign=");
    let late: u32 = number(&line, "late=");
    assert!(foreign >= 100 && late >= 50, "{line}");
    server.assert_healthy();
}

fn number(line: &str, name: &str) -> u32 {
    let (_, rest) = line.split_once(&format!(" {name}")).expect("a field");
    rest.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}

/// A whole conversation: publishing two tracks, some media, and leaving.
fn conversation(port: u16) -> Vec<u8> {
    let url = format!("rtsp://127.0.0.1:{port}/live/mutant");
    let sdp = format!("v=0\r\n{H264}{PCMA}");
    let mut text = format!(
        "OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n\
         ANNOUNCE {url} RTSP/1.0\r\nCSeq: 2\r\nContent-Length: {}\r\n\r\n{sdp}\
         SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 3\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n\
         SETUP {url}/trackID=1 RTSP/1.0\r\nCSeq: 4\r\nTransport: RTP/AVP/TCP;interleaved=2-3\r\n\r\n\
         RECORD {url} RTSP/1.0\r\nCSeq: 5\r\n\r\n",
        sdp.len()
    )
    .into_bytes();
    let mut camera = Camera::new();
    for _ in 0..12 {
        for packet in camera.packets(at_the_end) {
            let length = u16::try_from(packet.len()).expect("short").to_be_bytes();
            text.extend_from_slice(&[b'$', 0, length[0], length[1]]);
            text.extend_from_slice(&packet);
        }
    }
    text.extend_from_slice(format!("TEARDOWN {url} RTSP/1.0\r\nCSeq: 6\r\n\r\n").as_bytes());
    text
}

#[test]
fn damaged_conversations_end_alone() {
    let mut server = Server::start(&["rtsp.setup_timeout=1s", "stream.grace=0s"]);
    let _bystander = bystander(&server);
    let port = server.port("rtsp");
    let whole = conversation(port);
    let mut random = Random::new(11);
    for _ in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes.truncate(at.max(1)),
                _ => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend_from_slice(&piece[..piece.len().min(200)]);
                }
            }
        }
        let mut peer = Peer::connect(port, "live/mutant");
        peer.try_send(&bytes);
    }
    flows(&server);
    wait_until("all have left", || {
        server.api("/api/stat/all_group")["data"]["groups"].as_array().map_or(0, Vec::len) <= 1
    });
    server.assert_healthy();
}

#[test]
fn a_viewer_that_never_reads_is_closed() {
    let mut server = Server::start(&["stream.stall_timeout=2s"]);
    let _bystander = bystander(&server);
    let mut peer = Peer::connect(server.port("rtsp"), "live/bystander");
    let way = ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1"];
    assert_eq!(peer.ask("SETUP", "/trackID=0", &way, "").status, 200);
    assert_eq!(peer.ask("PLAY", "", &[], "").status, 200);
    // One that floods with requests and takes no answer.
    let flood = peer.request("OPTIONS", "", &[], "").repeat(2_000);
    while peer.try_send(&flood) {
        if server.viewers("live/bystander") == 0 {
            break;
        }
    }
    wait_until("it is gone", || server.viewers("live/bystander") == 0);
    flows(&server);
    server.assert_healthy();
}

#[test]
fn channels_of_ones_own_are_bounded() {
    let mut server = Server::start(&[]);
    let _bystander = bystander(&server);
    let mut peers = Vec::new();
    let mut granted = 0;
    for number in 1..100 {
        let mut peer = Peer::connect(server.port("rtsp"), "live/bystander");
        let wanted = format!("interleaved={}-{}", number * 2, number * 2 + 1);
        let way = [format!("Transport: RTP/AVP/TCP;unicast;{wanted}")];
        let way: Vec<_> = way.iter().map(String::as_str).collect();
        let answer = peer.ask("SETUP", "/trackID=0", &way, "");
        assert_eq!(answer.status, 200);
        let told = answer.field("Transport").expect("a transport").to_owned();
        if told.contains(&wanted) {
            granted += 1;
        } else {
            assert!(told.contains("interleaved=0-1"), "{told}");
        }
        assert_eq!(peer.ask("PLAY", "", &[], "").status, 200);
        peers.push(peer);
    }
    assert!((8..=16).contains(&granted), "{granted}");
    flows(&server);
    server.assert_healthy();
}

#[test]
fn those_who_agree_on_channels_before_anybody_plays_are_refused_when_they_are_too_many() {
    let mut server = Server::start(&[]);
    let _bystander = bystander(&server);
    let agreed = (100..127).map(|number| {
        let mut peer = Peer::connect(server.port("rtsp"), "live/bystander");
        let way = format!("Transport: RTP/AVP/TCP;interleaved={}-{}", number * 2, number * 2 + 1);
        assert_eq!(peer.ask("SETUP", "/trackID=0", &[&way], "").status, 200);
        peer
    });
    let mut agreed: Vec<_> = agreed.collect();
    let play = |peer: &mut Peer| peer.ask("PLAY", "", &[], "").status;
    let statuses: Vec<_> = agreed.iter_mut().map(play).collect();
    let refused = statuses.iter().filter(|status| **status == 453).count();
    assert!(refused >= 27 - 16, "{statuses:?}");
    flows(&server);
    server.assert_healthy();
}

/// What the server holds: open files, and kilobytes of memory.
fn holdings(server: &Server) -> (usize, usize) {
    let process = PathBuf::from(format!("/proc/{}", server.pid()));
    let files = std::fs::read_dir(process.join("fd")).expect("its files").count();
    let status = std::fs::read_to_string(process.join("status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    let memory = line.split_whitespace().nth(1).and_then(|n| n.parse().ok());
    (files, memory.expect("a number"))
}

/// One session of a viewer or a publisher, over TCP or UDP, that may break off anywhere.
fn session(server: &Server, number: usize, random: &mut Random) {
    let breaks_at = if number.is_multiple_of(2) { random.below(7) } else { usize::MAX };
    let (publishes, by_udp) = (number.is_multiple_of(5), number.is_multiple_of(3));
    let path = if publishes { format!("live/p{number}") } else { "live/bystander".to_owned() };
    let mut peer = Peer::connect(server.port("rtsp"), &path);
    let sdp = format!("v=0\r\n{H264}{PCMA}");
    let first = if publishes { ("ANNOUNCE", sdp.as_str()) } else { ("DESCRIBE", "") };
    let last = if publishes { "RECORD" } else { "PLAY" };
    let (_rtp, _rtcp, (a, b)) = ports();
    let way = |track: usize| match by_udp {
        true => format!("Transport: RTP/AVP;unicast;client_port={a}-{b}"),
        false => format!("Transport: RTP/AVP/TCP;interleaved={}-{}", track * 2, track * 2 + 1),
    };
    let steps = [
        ("OPTIONS", "", String::new(), ""),
        (first.0, "", String::new(), first.1),
        ("SETUP", "/trackID=0", way(0), ""),
        ("SETUP", "/trackID=1", way(1), ""),
        (last, "", String::new(), ""),
        ("TEARDOWN", "", String::new(), ""),
    ];
    for (step, (method, to, field, body)) in steps.iter().enumerate() {
        let fields: Vec<&str> =
            Some(field.as_str()).filter(|f| !f.is_empty()).into_iter().collect();
        if step == breaks_at {
            let request = peer.request(method, to, &fields, body);
            peer.try_send(&request.as_bytes()[..random.below(request.len())]);
            return;
        }
        let answer = peer.ask(method, to, &fields, body);
        assert_eq!(answer.status, 200, "{number} {method}: {answer:?}");
    }
}

#[test]
fn a_thousand_sessions_leave_nothing_behind() {
    let mut server = Server::start(&["stream.grace=0s", "log.level=warn"]);
    let _bystander = bystander(&server);
    let mut random = Random::new(3);
    // What is allocated once is there afterwards.
    (0..100).for_each(|number| session(&server, number, &mut random));
    let settled = || {
        wait_until("all have left", || {
            let groups = server.api("/api/stat/all_group")["data"]["groups"].clone();
            let only = groups.as_array().map_or(0, Vec::len) == 1;
            only && server.viewers("live/bystander") == 0
        });
    };
    settled();
    let (files, memory) = holdings(&server);
    (0..1_000).for_each(|number| session(&server, number, &mut random));
    settled();
    wait_until("all files are closed", || holdings(&server).0 <= files + 2);
    let (_, after) = holdings(&server);
    assert!(after < memory + 8_192, "{memory} KB before, {after} KB after");
    flows(&server);
    server.assert_healthy();
}

/// Methods in any order, as long as the server answers; `seen` looks after each of them.
fn any_order(server: &Server, path: &str, random: &mut Random, mut seen: impl FnMut(&str)) {
    let mut peer = Peer::connect(server.port("rtsp"), path);
    let sdp = format!("v=0\r\n{H264}{PCMA}");
    let mut said = String::new();
    for _ in 0..12 {
        let methods = ["ANNOUNCE", "DESCRIBE", "SETUP", "SETUP", "PLAY", "RECORD", "PAUSE"];
        let method = methods[random.below(methods.len())];
        let (to, field, body) = match method {
            "ANNOUNCE" => ("", "", sdp.as_str()),
            "SETUP" => ("/trackID=0", "Transport: RTP/AVP/TCP;interleaved=0-1", ""),
            _ => ("", "", ""),
        };
        let fields: Vec<&str> = Some(field).filter(|field| !field.is_empty()).into_iter().collect();
        let request = peer.request(method, to, &fields, body);
        peer.send(request);
        let Some(answer) = peer.answer() else { return };
        said.push_str(&format!(" {method} {}", answer.status));
        seen(&said);
    }
}

#[test]
fn whoever_is_live_can_be_found_and_sent_away() {
    let mut server = Server::start(&["stream.grace=0s", "server.wait_for_stream=0s"]);
    let sessions = || server.v1("GET", "sessions", &Value::Null).1;
    // A publisher that asks for a stream that is absent stays one.
    let mut peer = Peer::connect(server.port("rtsp"), "live/ghost");
    peer.publish(&[H264]);
    let request = peer.request("DESCRIBE", "", &[], "").replace("live/ghost", "live/absent");
    peer.send(request);
    assert_eq!(peer.answer().map(|answer| answer.status), Some(455));
    let id = sessions()["items"][0]["id"].as_str().expect("a session").to_owned();
    assert_eq!(server.v1("DELETE", &format!("sessions/{id}"), &Value::Null).0, 204);
    assert!(peer.is_sent_away());
    wait_until("the name is free", || !server.is_live("live/ghost"));
    let mut random = Random::new(17);
    for number in 0..60 {
        let path = format!("live/m{number}");
        any_order(&server, &path, &mut random, |said| {
            let group = server.group(&path);
            let live = group["pub"]["session_id"].as_str().unwrap_or_default().to_owned();
            let items = sessions()["items"].as_array().cloned().unwrap_or_default();
            let found: Vec<_> =
                items.iter().filter(|item| item["role"] == "PUB").map(|item| &item["id"]).collect();
            assert_eq!(found.len(), usize::from(!live.is_empty()), "{path}:{said}: {items:?}");
            assert!(found.iter().all(|id| **id == live.as_str()), "{path}:{said}: {items:?}");
        });
        wait_until("it has left", || sessions()["total"] == 0);
        assert!(!server.is_live(&path));
    }
    server.assert_healthy();
}

#[test]
fn nobody_holds_a_name_or_a_place_by_saying_nothing_of_use() {
    let mut server = Server::start(&["rtsp.setup_timeout=1s", "stream.grace=0s"]);
    let mut announcer = Peer::connect(server.port("rtsp"), "live/held");
    let sdp = format!("v=0\r\n{H264}");
    assert_eq!(announcer.ask("ANNOUNCE", "", &[], &sdp).status, 200);
    let mut idler = Peer::connect(server.port("rtsp"), "live/held");
    let (mut announcer_gone, mut idler_gone) = (false, false);
    wait_until("both are sent away", || {
        let options = announcer.request("OPTIONS", "", &[], "");
        announcer_gone |= !announcer.try_send(options);
        idler_gone |= !idler.try_send("\r\n");
        announcer_gone && idler_gone
    });
    assert!(!server.is_live("live/held"));
    server.assert_healthy();
}

#[test]
fn whoever_pauses_and_vanishes_is_given_up() {
    let mut server = Server::start(&["rtsp.session_timeout=4s"]);
    let _bystander = bystander(&server);
    let mut peer = Peer::connect(server.port("rtsp"), "live/bystander");
    let way = ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1"];
    assert_eq!(peer.ask("SETUP", "/trackID=0", &way, "").status, 200);
    assert_eq!(peer.ask("PLAY", "", &[], "").status, 200);
    assert_eq!(peer.ask("PAUSE", "", &[], "").status, 200);
    wait_until("it is gone", || server.viewers("live/bystander") == 0);
    server.assert_healthy();
}

/// A client of a tunnel through HTTP: it hears by one connection, and speaks by the other.
fn tunnel(port: u16, cookie: &str) -> (TcpStream, TcpStream) {
    let mut hears = narrow(port);
    let head = |method: &str| {
        format!("{method} /live/bystander HTTP/1.0\r\nx-sessioncookie: {cookie}\r\n\r\n")
    };
    hears.write_all(head("GET").as_bytes()).expect("a request");
    let mut answer = [0; 12];
    hears.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.0 200");
    let mut speaks = TcpStream::connect(("127.0.0.1", port)).expect("the server");
    speaks.write_all(head("POST").as_bytes()).expect("a request");
    (hears, speaks)
}

#[test]
fn a_cookie_that_is_in_use_is_refused_in_words() {
    let mut server = Server::start(&[]);
    let (_hears, _speaks) = tunnel(server.port("rtsp"), "same");
    let mut other = narrow(server.port("rtsp"));
    other
        .write_all(b"GET /live/bystander HTTP/1.0\r\nx-sessioncookie: same\r\n\r\n")
        .expect("a request");
    other.set_read_timeout(Some(PATIENCE)).expect("an option");
    let mut answer = String::new();
    other.read_to_string(&mut answer).expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    server.assert_healthy();
}

/// A client of a WebSocket.
fn websocket(port: u16) -> TcpStream {
    let mut conn = narrow(port);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Protocol: rtsp\r\n\r\n";
    conn.write_all(request.as_bytes()).expect("a request");
    let mut answer = [0; 12];
    conn.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 101");
    conn
}

/// A connection that holds little of what is not read.
fn narrow(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("an option");
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    socket.connect(&server.into()).expect("the server");
    let conn = TcpStream::from(socket);
    conn.set_write_timeout(Some(Duration::from_millis(200))).expect("an option");
    conn
}

/// A message of a client in a WebSocket, masked by zeros.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(short @ ..126) => head.push(0x80 | short),
        _ => {
            head.push(0x80 | 126);
            let length = u16::try_from(payload.len()).expect("a short message");
            head.extend_from_slice(&length.to_be_bytes());
        }
    }
    [&head[..], &[0; 4], payload].concat()
}

/// A request to watch the bystander, plain and in Base64.
const WATCH: &str = "SETUP rtsp://h/live/bystander/trackID=0 RTSP/1.0\r\n\
                     CSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n\
                     PLAY rtsp://h/live/bystander RTSP/1.0\r\nCSeq: 2\r\n\r\n";
const WATCH_BASE64: &str = "U0VUVVAgcnRzcDovL2gvbGl2ZS9ieXN0YW5kZXIvdHJhY2tJRD0wIFJUU1AvMS4wDQpDU2Vx\
                            OiAxDQpUcmFuc3BvcnQ6IFJUUC9BVlAvVENQO2ludGVybGVhdmVkPTAtMQ0KDQpQTEFZIHJ0\
                            c3A6Ly9oL2xpdmUvYnlzdGFuZGVyIFJUU1AvMS4wDQpDU2VxOiAyDQoNCg==";

#[test]
fn whoever_carries_and_never_reads_leaves_nothing_behind() {
    let mut server = Server::start(&["rtsp.setup_timeout=1s", "stream.stall_timeout=2s"]);
    let _bystander = bystander(&server);
    let (files, _) = holdings(&server);
    let mut clients = Vec::new();
    for number in 0..3 {
        let (hears, mut speaks) = tunnel(server.port("rtsp"), &format!("c{number}"));
        speaks.write_all(WATCH_BASE64.as_bytes()).expect("a request");
        clients.extend([hears, speaks]);
        let mut conn = websocket(server.port("rtsp_ws"));
        conn.write_all(&masked(2, WATCH.as_bytes())).expect("a request");
        clients.push(conn);
    }
    wait_until("they watch", || server.viewers("live/bystander") == 6);
    // One wants echoes.
    let mut conn = websocket(server.port("rtsp_ws"));
    let pings = masked(9, &[7; 120]).repeat(20);
    let _ = (0..2_000).all(|_| conn.write_all(&pings).is_ok());
    clients.push(conn);
    wait_until("they are given up", || server.viewers("live/bystander") == 0);
    wait_until("all files are closed", || holdings(&server).0 <= files + 2);
    drop(clients);
    server.assert_healthy();
}
