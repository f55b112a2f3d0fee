//! Cameras and clients that do things their own way: each conversation is one that real ones hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use headwater_e2e::rtsp_raw::{Camera, H264, PCMA, Peer, at_the_end, ports, rtp, server_ports};
use headwater_e2e::{Server, clip, ffmpeg, wait_until};

/// Somebody who publishes until it is dropped.
struct Live {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Calls `send` for every picture.
    fn start(mut send: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                while !stop.load(Ordering::Relaxed) {
                    send();
                    std::thread::park_timeout(Duration::from_millis(40));
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Publishes a camera's pictures on channel 0.
fn live(mut peer: Peer, mark: impl Fn(usize, usize) -> bool + Send + 'static) -> Live {
    let mut camera = Camera::new();
    Live::start(move || {
        for packet in camera.packets(&mark) {
            peer.interleave(0, &packet);
        }
    })
}

/// Fails unless a player decodes a second of the stream without a complaint; how many pictures.
fn plays(server: &Server, stream: &str) -> usize {
    wait_until("the stream is there", || server.group(stream)["video_codec"] == "H264");
    let url = server.url("http", stream);
    let player = ffmpeg(&format!("-xerror -i {url} -t 1 -f framemd5 -"));
    let text = player.finish();
    let pictures = text.lines().filter(|line| line.starts_with("0,")).count();
    assert!(pictures >= 20, "{pictures} pictures in a second");
    pictures
}

/// A stream that clients play.
fn playable(server: &Server, stream: &str) -> headwater_e2e::Program {
    let publisher = clip::on(server, stream);
    wait_until("the stream is there", || server.group(stream)["video_codec"] == "H264");
    publisher
}

#[test]
fn parameter_sets_that_come_with_the_pictures_alone() {
    for fmtp in [
        "",
        "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=\r\n",
        "a=fmtp:96 sprop-parameter-sets=Z0IAKeKQFAe2AtwEBAaQeJEV; packetization-mode=1\r\n",
    ] {
        let server = Server::start(&[]);
        let mut peer = Peer::connect(server.port("rtsp"), "live/cam");
        peer.publish(&[&format!("{H264}{fmtp}")]);
        let _live = live(peer, at_the_end);
        plays(&server, "live/cam");
    }
}

#[test]
fn markers_on_every_packet_or_on_none() {
    for mark in [|_, _| true, |_, _| false] {
        let server = Server::start(&[]);
        let mut peer = Peer::connect(server.port("rtsp"), "live/cam");
        peer.publish(&[H264]);
        let _live = live(peer, mark);
        plays(&server, "live/cam");
    }
}

#[test]
fn parameter_sets_with_the_time_of_the_picture_before() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/cam");
    peer.publish(&[H264]);
    let mut camera = Camera::new();
    let _live = Live::start(move || {
        let (units, timestamp) = camera.picture();
        for (index, unit) in units.iter().enumerate() {
            let last = index + 1 == units.len();
            let time = if last { timestamp } else { timestamp.wrapping_sub(3_600) };
            peer.interleave(0, &rtp(96, true, camera.packets, time, unit));
            camera.packets = camera.packets.wrapping_add(1);
        }
    });
    plays(&server, "live/cam");
}

#[test]
fn clocks_that_jump_by_hours_and_back_to_zero() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/cam");
    peer.publish(&[H264]);
    let mut camera = Camera::new();
    let mut pictures = 0u32;
    let _live = Live::start(move || {
        pictures += 1;
        match pictures {
            20 => camera.timestamp = camera.timestamp.wrapping_add(90_000 * 3_600 * 5),
            40 => camera.timestamp = 0,
            _ => {}
        }
        for packet in camera.packets(at_the_end) {
            peer.interleave(0, &packet);
        }
    });
    wait_until("the stream is there", || server.group("live/cam")["video_codec"] == "H264");
    let url = server.url("http", "live/cam");
    let text = ffmpeg(&format!("-i {url} -t 3 -c copy -f framemd5 -")).finish();
    let times: Vec<i64> = text
        .lines()
        .filter(|line| line.starts_with("0,"))
        .filter_map(|line| line.split(',').nth(1)?.trim().parse().ok())
        .collect();
    assert!(times.len() > 60, "{} pictures", times.len());
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(gap.is_some_and(|gap| gap < 500), "a gap of {gap:?} ms");
    assert!(server.group("live/cam")["timestamp_jumps"].as_u64() >= Some(2));
}

#[test]
fn packets_with_extensions_padding_and_contributing_sources() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/cam");
    peer.publish(&[H264]);
    let mut camera = Camera::new();
    let _live = Live::start(move || {
        for mut packet in camera.packets(at_the_end) {
            packet[0] = 0x80 | 0x20 | 0x10 | 1;
            let payload = packet.split_off(12);
            packet.extend_from_slice(&[9, 9, 9, 9]);
            packet.extend_from_slice(&[0xAB, 0xAC, 0, 1, 0, 0, 0, 0]);
            packet.extend_from_slice(&payload);
            packet.extend_from_slice(&[0, 0, 3]);
            peer.interleave(0, &packet);
        }
    });
    plays(&server, "live/cam");
}

#[test]
fn fragments_with_wrong_bits_and_packets_of_a_type_that_nobody_agreed_on() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/cam");
    peer.publish(&[H264]);
    let mut camera = Camera::new();
    let _live = Live::start(move || {
        let (units, timestamp) = camera.picture();
        for (index, unit) in units.iter().enumerate() {
            let last = index + 1 == units.len();
            // Each in two halves, without a start bit and without an end bit.
            let (head, body) = unit.split_at(1);
            let (first, second) = body.split_at(body.len() / 2);
            for (half, end) in [(first, false), (second, true)] {
                let payload = [&[head[0] & 0xE0 | 28, head[0] & 0x1F][..], half].concat();
                let marker = last && end;
                peer.interleave(0, &rtp(96, marker, camera.packets, timestamp, &payload));
                camera.packets = camera.packets.wrapping_add(1);
            }
            peer.interleave(0, &rtp(107, true, 1, 2, b"something else"));
        }
    });
    plays(&server, "live/cam");
}

#[test]
fn channels_as_the_client_likes_them() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/cam");
    assert_eq!(peer.ask("ANNOUNCE", "", &[], &format!("v=0\r\n{H264}{PCMA}")).status, 200);
    // In an order of their own, with no word of unicast, numbers out of the blue.
    for (track, way) in [
        ("/trackID=0", "Transport: RTP/AVP/TCP;mode=record;interleaved=168-169"),
        ("/trackID=1", "Transport: RTP/AVP;interleaved=7-4;foo=bar;mode=\"RECORD\""),
    ] {
        let answer = peer.ask("SETUP", track, &[way], "");
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.field("Transport").expect("a transport");
        let wanted = way.split("interleaved=").nth(1).expect("channels");
        let wanted = wanted.split(';').next().expect("channels");
        assert!(told.contains(&format!("interleaved={wanted}")), "{told}");
    }
    assert_eq!(peer.ask("RECORD", "", &[], "").status, 200);
    let mut camera = Camera::new();
    let _live = Live::start(move || {
        for packet in camera.packets(at_the_end) {
            peer.interleave(168, &packet);
        }
        peer.interleave(7, &rtp(8, false, camera.packets, camera.timestamp / 45 * 4, &[0xD5; 320]));
    });
    plays(&server, "live/cam");
    assert_eq!(server.group("live/cam")["audio_codec"], "PCMA");
    // Two tracks on one channel is the one thing that cannot be.
    let mut viewer = Peer::connect(server.port("rtsp"), "live/cam");
    assert_eq!(viewer.ask("DESCRIBE", "", &[], "").status, 200);
    let lone = ["Transport: RTP/AVP/TCP;unicast;interleaved=2-3"];
    assert_eq!(viewer.ask("SETUP", "/trackID=0", &lone, "").status, 200);
    assert_eq!(viewer.ask("SETUP", "/trackID=1", &lone, "").status, 461);
    assert_eq!(viewer.ask("PLAY", "", &[], "").status, 200);
    let (channel, _) = viewer.packet().expect("a packet");
    assert!(channel == 2 || channel == 3, "{channel}");
}

#[test]
fn media_right_behind_the_request_and_garbage_between() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/cam");
    assert_eq!(peer.ask("ANNOUNCE", "", &[], &format!("v=0\r\n{H264}")).status, 200);
    let way = ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"];
    assert_eq!(peer.ask("SETUP", "/trackID=0", &way, "").status, 200);
    let mut camera = Camera::new();
    let mut bytes = peer.request("RECORD", "", &[], "").into_bytes();
    for packet in camera.packets(at_the_end) {
        let length = u16::try_from(packet.len()).expect("short").to_be_bytes();
        bytes.extend_from_slice(&[b'$', 0, length[0], length[1]]);
        bytes.extend_from_slice(&packet);
        bytes.extend_from_slice(b"\x00\x17garbage$\xEE");
    }
    peer.send(bytes);
    assert_eq!(peer.answer().map(|answer| answer.status), Some(200));
    let _live = Live::start(move || {
        peer.send(b"\r\n\x01\x02");
        for packet in camera.packets(at_the_end) {
            peer.interleave(0, &packet);
        }
    });
    plays(&server, "live/cam");
}

#[test]
fn header_names_in_any_case_bare_line_feeds_and_requests_in_a_pipeline() {
    let server = Server::start(&[]);
    let _clip = playable(&server, "live/clip");
    let mut peer = Peer::connect(server.port("rtsp"), "live/clip");
    let url = peer.url().to_owned();
    peer.send(format!(
        "OPTIONS {url} RTSP/1.0\nCSEQ: 1\n\nDESCRIBE {url} RTSP/1.0\nCseq:2\naccept: application/sdp\n\n\
         SETUP {url}/trackID=0 RTSP/1.0\ncseq: 3\ntransport: RTP/AVP/TCP;interleaved=0-1\n\n\
         PLAY {url} RTSP/1.0\ncSeQ: 4\n\n"
    ));
    for number in 1..=4 {
        let answer = peer.answer().expect("an answer");
        assert_eq!((answer.status, answer.field("CSeq")), (200, Some(&*number.to_string())));
    }
    assert!(peer.packet().is_some());
}

#[test]
fn tracks_are_found_whatever_their_address_looks_like() {
    let server = Server::start(&[]);
    let port = server.port("rtsp");
    let mut camera = Peer::connect(port, "live/my%20cam");
    camera.publish(&[H264]);
    let _live = live(camera, at_the_end);
    let way = ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1"];
    for (path, track) in [
        ("live/my%20cam", "/trackID=0"),
        ("live/my%20cam/", "trackID=0"),
        ("live/my%20cam?token=a/b&c=d", "/trackID=0"),
        ("live/my%20cam", "/trackID=0?token=x"),
        // The stream itself: the first track.
        ("live/my%20cam", ""),
    ] {
        let mut peer = Peer::connect(port, path);
        let answer = peer.ask("DESCRIBE", "", &[], "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(peer.ask("SETUP", track, &way, "").status, 200, "{path}{track}");
        assert_eq!(peer.ask("PLAY", "", &["Range: npt=0.000-"], "").status, 200);
        assert!(peer.packet().is_some());
    }
    // Without a description before.
    let mut peer = Peer::connect(port, "live/my%20cam");
    assert_eq!(peer.ask("SETUP", "/trackID=0", &way, "").status, 200);
    assert_eq!(peer.ask("PLAY", "", &[], "").status, 200);
    let mut peer = Peer::connect(port, "live/my%20cam");
    assert_eq!(peer.ask("SETUP", "/trackID=7", &way, "").status, 404);
}

#[test]
fn the_first_transport_that_can_be_is_taken() {
    let server = Server::start(&["rtsp.udp=false"]);
    let _clip = playable(&server, "live/clip");
    let mut peer = Peer::connect(server.port("rtsp"), "live/clip");
    let refused = peer.ask("SETUP", "", &["Transport: RTP/AVP;unicast;client_port=5000-5001"], "");
    assert_eq!(refused.status, 461);
    let mut peer = Peer::connect(server.port("rtsp"), "live/clip");
    let offers = "Transport: RTP/SAVP;unicast;client_port=1-2,RTP/AVP;multicast,\
                  RAW/RAW/UDP;unicast,RTP/AVP;unicast;client_port=5000-5001,\
                  RTP/AVP/TCP;unicast;interleaved=4-5";
    let answer = peer.ask("SETUP", "", &[offers], "");
    assert_eq!(answer.status, 200);
    assert!(answer.field("Transport").is_some_and(|t| t.contains("interleaved=4-5")));
}

#[test]
fn extensions_that_are_required_and_requests_that_nobody_knows() {
    let server = Server::start(&[]);
    let _clip = playable(&server, "live/clip");
    let mut peer = Peer::connect(server.port("rtsp"), "live/clip");
    let back = "Require: www.onvif.org/ver20/backchannel";
    let answer = peer.ask("DESCRIBE", "", &[back], "");
    assert_eq!(answer.status, 551);
    assert_eq!(answer.field("Unsupported"), Some("www.onvif.org/ver20/backchannel"));
    let answer = peer.ask("FROBNICATE", "", &[], "");
    assert_eq!(answer.status, 501);
    assert!(answer.field("Allow").is_some_and(|allow| allow.contains("PLAY")));
    assert_eq!(peer.ask("DESCRIBE", "", &["Session: 1234;timeout=60"], "").status, 454);
    assert_eq!(peer.ask("PLAY", "", &[], "").status, 455);
    let (url, old) = (peer.url().to_owned(), "RTSP/2.0");
    peer.send(format!("DESCRIBE {url} {old}\r\nCSeq: 9\r\n\r\n"));
    assert_eq!(peer.answer().map(|answer| answer.status), Some(505));
    peer.send(format!("DESCRIBE {url} RTSP/1.0\r\n\r\n"));
    assert_eq!(peer.answer().map(|answer| answer.status), Some(400));
    // It is still there.
    assert_eq!(peer.ask("DESCRIBE", "", &["Accept: application/sdp"], "").status, 200);
}

#[test]
fn a_viewer_of_datagrams_lives_by_whatever_it_says() {
    let server = Server::start(&["rtsp.session_timeout=4s"]);
    let _clip = playable(&server, "live/clip");
    let mut all = Vec::new();
    for way in ["silent", "OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "report"] {
        let mut peer = Peer::connect(server.port("rtsp"), "live/clip");
        let (rtp, rtcp, (a, b)) = ports();
        let offer = format!("Transport: RTP/AVP;unicast;client_port={a}-{b}");
        let answer = peer.ask("SETUP", "", &[&offer], "");
        assert_eq!(answer.status, 200);
        let session = answer.field("Session").expect("a session");
        // As some send it back.
        let session = format!("Session: {session}");
        assert!(session.ends_with(";timeout=4"), "{session}");
        let (_, reports) = server_ports(&answer);
        assert_eq!(peer.ask("PLAY", "", &[&session], "").status, 200);
        all.push((way, peer, rtp, rtcp, reports, session));
    }
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(8) {
        for (way, peer, _, rtcp, reports, session) in &mut all {
            match *way {
                "silent" => {}
                "report" => {
                    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
                    rtcp.send_to(&report, *reports).expect("a report");
                }
                method => assert_eq!(peer.ask(method, "", &[session], "").status, 200, "{method}"),
            }
        }
        std::thread::park_timeout(Duration::from_secs(1));
    }
    assert_eq!(server.viewers("live/clip"), 4);
    for (way, mut peer, socket, ..) in all {
        if way == "silent" {
            assert!(peer.is_sent_away());
            continue;
        }
        socket.set_nonblocking(true).expect("an option");
        let mut packet = [0; 2_000];
        while socket.recv(&mut packet).is_ok() {}
        socket.set_nonblocking(false).expect("an option");
        assert!(socket.recv(&mut packet).is_ok(), "{way}: nothing comes any more");
    }
}

#[test]
fn publishers_and_viewers_behind_a_nat() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/nat");
    assert_eq!(peer.ask("ANNOUNCE", "", &[], &format!("v=0\r\n{H264}")).status, 200);
    // It names ports, and sends from others.
    let offer = ["Transport: RTP/AVP/UDP;unicast;client_port=40000-40001;mode=record"];
    let answer = peer.ask("SETUP", "/trackID=0", &offer, "");
    let (to, _) = server_ports(&answer);
    assert_eq!(peer.ask("RECORD", "", &[], "").status, 200);
    let (socket, _, _) = ports();
    let (stranger, _, _) = ports();
    let mut camera = Camera::new();
    let _live = Live::start(move || {
        for packet in camera.packets(at_the_end) {
            socket.send_to(&packet, to).expect("a packet");
            // Somebody else tries to be heard.
            stranger.send_to(&rtp(96, true, 1, 1, &[0x65, 0xFF, 0xFF]), to).expect("a packet");
        }
        let _still = &peer;
    });
    plays(&server, "live/nat");
    // A viewer opens the way from a port that it did not name.
    let mut viewer = Peer::connect(server.port("rtsp"), "live/nat");
    let offer = ["Transport: RTP/AVP;unicast;client_port=40002-40003"];
    let answer = viewer.ask("SETUP", "/trackID=0", &offer, "");
    let (to, _) = server_ports(&answer);
    let (socket, _, _) = ports();
    socket.send_to(&rtp(0, false, 0, 0, &[]), to).expect("an opener");
    assert_eq!(viewer.ask("GET_PARAMETER", "", &[], "").status, 200);
    assert_eq!(viewer.ask("PLAY", "", &[], "").status, 200);
    let mut packet = [0; 2_000];
    let (length, from) = socket.recv_from(&mut packet).expect("a packet");
    assert!(length > 12 && from == to);
}

#[test]
fn packets_of_a_camera_that_are_too_large_for_the_path_are_cut() {
    let server = Server::start(&["rtsp.start=now"]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/cam");
    peer.publish(&[H264]);
    let mut camera = Camera::new();
    let _live = Live::start(move || {
        for packet in camera.packets(at_the_end) {
            // Filler behind the picture makes one packet of 40 KB.
            peer.interleave(0, &packet);
        }
        let filler = [&[12u8][..], &[0xFF; 40_000], &[0x80]].concat();
        let time = camera.timestamp.wrapping_sub(3_600);
        peer.interleave(0, &rtp(96, true, camera.packets, time, &filler));
        camera.packets = camera.packets.wrapping_add(1);
    });
    plays(&server, "live/cam");
    let mut viewer = Peer::connect(server.port("rtsp"), "live/cam");
    let (socket, _rtcp, (a, b)) = ports();
    let offer = format!("Transport: RTP/AVP;unicast;client_port={a}-{b}");
    assert_eq!(viewer.ask("SETUP", "/trackID=0", &[&offer], "").status, 200);
    assert_eq!(viewer.ask("PLAY", "", &[], "").status, 200);
    let mut packet = [0; 65_536];
    let mut largest = 0;
    for _ in 0..100 {
        largest = largest.max(socket.recv(&mut packet).expect("a packet"));
    }
    assert_eq!(largest, 1_200);
}

#[test]
fn pausing_and_going_on() {
    let server = Server::start(&[]);
    let _clip = playable(&server, "live/clip");
    let mut peer = Peer::connect(server.port("rtsp"), "live/clip");
    let way = ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1"];
    assert_eq!(peer.ask("SETUP", "", &way, "").status, 200);
    let play = peer.ask("PLAY", "", &[], "");
    assert!(play.field("RTP-Info").is_some_and(|info| info.contains("seq=")), "{play:?}");
    assert!(peer.packet().is_some());
    assert_eq!(peer.ask("PAUSE", "", &[], "").status, 200);
    // What comes next is the answer, and nothing before it.
    let request = peer.request("GET_PARAMETER", "", &[], "");
    peer.send(request);
    assert_eq!(peer.answer().map(|answer| answer.status), Some(200));
    assert_eq!(peer.ask("PLAY", "", &[], "").status, 200);
    assert!(peer.packet().is_some());
    assert_eq!(peer.ask("TEARDOWN", "", &[], "").status, 200);
    wait_until("the viewer has left", || server.viewers("live/clip") == 0);
}

#[test]
fn a_goodbye_ends_the_stream_at_once_and_the_connection_goes_on() {
    let server = Server::start(&["stream.grace=0s"]);
    let mut peer = Peer::connect(server.port("rtsp"), "live/leaving");
    peer.publish(&[H264, PCMA]);
    let mut camera = Camera::new();
    for _ in 0..15 {
        camera.packets(at_the_end).iter().for_each(|packet| peer.interleave(0, packet));
    }
    wait_until("the stream is there", || server.group("live/leaving")["video_codec"] == "H264");
    // Of nobody, and of somebody else: neither says that the source leaves.
    peer.interleave(1, &[0x80, 203, 0, 0]);
    peer.interleave(1, &[0x81, 203, 0, 1, 0, 0, 0, 9]);
    assert_eq!(peer.ask("OPTIONS", "", &[], "").status, 200);
    assert!(server.is_live("live/leaving"));
    peer.interleave(1, &[0x81, 203, 0, 1, 0x12, 0x34, 0x56, 0x78]);
    wait_until("it is over", || !server.is_live("live/leaving"));
    peer.publish(&[H264]);
    assert!(server.is_live("live/leaving"));
    assert_eq!(peer.ask("TEARDOWN", "", &[], "").status, 200);
    wait_until("it is over again", || !server.is_live("live/leaving"));
}

#[test]
fn packets_of_unknown_formats_keep_their_size_over_udp() {
    let server = Server::start(&["rtsp.packet_size=1200"]);
    let mut camera = Peer::connect(server.port("rtsp"), "live/jpeg");
    camera.publish(&["m=video 0 RTP/AVP 26\r\na=control:trackID=0\r\n"]);
    let mut number = 0;
    let mut picture = |camera: &mut Peer, timestamp: u32| {
        for (size, last) in [(1_400, false), (1_400, false), (1_388, false), (300, true)] {
            let payload = vec![u8::try_from(number % 251).expect("a byte"); size];
            camera.interleave(0, &rtp(26, last, number, timestamp, &payload));
            number += 1;
        }
    };
    picture(&mut camera, 0);
    wait_until("the stream is there", || server.is_live("live/jpeg"));
    // Enough of them to be served together.
    let viewers: Vec<_> = (0..6)
        .map(|_| {
            let mut viewer = Peer::connect(server.port("rtsp"), "live/jpeg");
            let (media, reports, (a, b)) = ports();
            let way = format!("Transport: RTP/AVP;unicast;client_port={a}-{b}");
            assert_eq!(viewer.ask("SETUP", "/trackID=0", &[&way], "").status, 200);
            assert_eq!(viewer.ask("PLAY", "", &[], "").status, 200);
            (viewer, media, reports)
        })
        .collect();
    (1..4).for_each(|place| picture(&mut camera, place * 3_600));
    for (_viewer, media, _reports) in &viewers {
        let mut room = [0; 2_000];
        let sizes = (0..12).map(|_| media.recv(&mut room).expect("a packet") - 12);
        let expected = [1_400, 1_400, 1_388, 300];
        assert_eq!(sizes.collect::<Vec<_>>(), expected.repeat(3));
    }
}

#[test]
fn giving_up_one_track_does_not_end_the_others() {
    let server = Server::start(&["stream.grace=0s"]);
    let _clip = playable(&server, "live/clip");
    let mut peer = Peer::connect(server.port("rtsp"), "live/clip");
    for track in ["/trackID=0", "/trackID=1"] {
        let way = ["Transport: RTP/AVP/TCP;unicast"];
        assert_eq!(peer.ask("SETUP", track, &way, "").status, 200);
    }
    assert_eq!(peer.ask("TEARDOWN", "/trackID=1", &[], "").status, 460);
    assert_eq!(peer.ask("PLAY", "", &[], "").status, 200);
    assert_eq!(peer.ask("TEARDOWN", "/trackID=1", &[], "").status, 460);
    assert!(peer.packet().is_some());
    assert_eq!(peer.ask("TEARDOWN", "", &[], "").status, 200);
    wait_until("the viewer has left", || server.viewers("live/clip") == 0);

    let mut camera = Peer::connect(server.port("rtsp"), "live/two");
    camera.publish(&[H264, PCMA]);
    assert_eq!(camera.ask("TEARDOWN", "/trackID=1", &[], "").status, 460);
    assert!(server.is_live("live/two"));
    assert_eq!(camera.ask("TEARDOWN", "", &[], "").status, 200);
    wait_until("it is over", || !server.is_live("live/two"));
}
