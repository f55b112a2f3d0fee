//! Peers that break the rules: each loses its own connection at most, the log says who it was and
//! why, and somebody who watches another stream meanwhile notices nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::BytesMut;
use flv::amf0::{Object, Value};
use headwater_e2e::raw::{self, FlvViewer, Raw, Rtmp};
use headwater_e2e::{Server, wait_until};
use rtmp::chunk;
use rtmp::command::Command;
use rtmp::message::{Control, Kind};
use serde_json::{Value as Json, json};
use testkit::{Programme, Random, TagKind};
use ws::frame::{Opcode, write_masked_frame};

/// A server under attack, and somebody who publishes and somebody who watches meanwhile.
struct Scene {
    server: Server,
    stop: Arc<AtomicBool>,
    /// The times of the pictures that were sent.
    publisher: JoinHandle<Vec<u32>>,
    /// The times of the pictures that arrived.
    viewer: JoinHandle<Vec<u32>>,
}

impl Scene {
    fn new(settings: &[&str]) -> Self {
        let mut all = vec!["stream.grace=0s"];
        all.extend(settings);
        let server = Server::start(&all);
        let mut publisher = raw::publisher(&server, "live", "witness");
        let viewer = FlvViewer::of(&server, "live/witness");
        wait_until("the witness waits", || server.viewers("live/witness") == 1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let publisher = std::thread::spawn(move || {
            let programme = Programme::live(300_000);
            let mut sent = Vec::new();
            programme.config().iter().for_each(|item| publisher.item(item));
            raw::in_real_time(programme.items(), |item| {
                publisher.item(item);
                if item.kind == TagKind::Video {
                    sent.push(u32::try_from(item.time).expect("a short programme"));
                }
                !stopped.load(Ordering::Relaxed)
            });
            publisher.command(1, &Command::new("closeStream", 0.0, Value::Null));
            let status = publisher.next_status();
            assert_eq!(status.as_deref(), Some("NetStream.Unpublish.Success"));
            sent
        });
        let viewer = std::thread::spawn(move || {
            viewer
                .filter(|tag| tag.kind == flv::tag::Kind::Video && tag.body.get(1) == Some(&1))
                .map(|tag| tag.timestamp)
                .collect()
        });
        Self { server, stop, publisher, viewer }
    }

    /// Fails unless nobody but the offenders has noticed anything.
    fn finish(self) {
        let Self { mut server, stop, publisher, viewer } = self;
        server.assert_healthy();
        stop.store(true, Ordering::Relaxed);
        let sent = publisher.join().expect("the witness's publisher");
        let got = viewer.join().expect("the witness");
        assert_eq!(sent, got, "pictures that the witness was sent, and saw");
        wait_until("all streams are gone", || groups(&server) == json!([]));
        server.assert_healthy();
    }

    /// How many streams there are besides the witness's.
    fn others(&self) -> usize {
        groups(&self.server).as_array().map_or(0, |groups| groups.len().saturating_sub(1))
    }

    /// A connection that may ask to publish or play.
    fn connected(&self) -> Rtmp {
        let mut rtmp = Rtmp::shake_hands(&self.server);
        rtmp.connect("live");
        rtmp
    }

    /// Fails unless the peer's connection is closed, and the log says so with `why`.
    fn assert_closed(&self, mut peer: Rtmp, why: &str) {
        let name = peer.raw().name();
        while peer.next_message().is_some() {}
        self.server.wait_for_log(&["session ended", &name, why]);
    }
}

fn groups(server: &Server) -> Json {
    server.api("/api/stat/all_group")["data"]["groups"].clone()
}

#[test]
fn media_before_publish() {
    let scene = Scene::new(&[]);
    for kind in [Kind::Audio, Kind::Video] {
        for stream in [0, 1, 7] {
            let mut before_connect = Rtmp::shake_hands(&scene.server);
            before_connect.send(kind, stream, 0, &[0x17, 1, 0, 0, 0]);
            scene.assert_closed(before_connect, "media on message stream");
            let mut connected = scene.connected();
            connected.send(kind, stream, 0, &[0x17, 1, 0, 0, 0]);
            scene.assert_closed(connected, "media on message stream");
        }
    }
    let mut player = scene.connected();
    player.command(1, &raw::play("nothing"));
    player.send(Kind::Video, 2, 0, &[0x17]);
    player.command(0, &Command::new("deleteStream", 0.0, Value::Null).with(1.0));
    drop(player);
    scene.finish();
}

#[test]
fn short_control_messages() {
    let scene = Scene::new(&[]);
    let short: [(Kind, &[u8]); 9] = [
        (Kind::UserControl, &[]),
        (Kind::UserControl, &[0]),
        (Kind::UserControl, &[0, 6]),
        (Kind::UserControl, &[0, 6, 0, 0, 0]),
        (Kind::UserControl, &[0, 3, 0, 0, 0, 1, 0]),
        (Kind::SetChunkSize, &[0, 0, 1]),
        (Kind::WindowAckSize, &[]),
        (Kind::Acknowledgement, &[1]),
        (Kind::SetPeerBandwidth, &[0, 0]),
    ];
    for (kind, payload) in short {
        let mut peer = Rtmp::shake_hands(&scene.server);
        peer.send(kind, 0, 0, payload);
        scene.assert_closed(peer, "protocol error");
        let mut publisher = raw::publisher(&scene.server, "live", "short");
        publisher.send(kind, 0, 0, payload);
        scene.assert_closed(publisher, "protocol error");
        wait_until("the name is free again", || !scene.server.is_live("live/short"));
    }
    scene.finish();
}

#[test]
fn second_requests_on_one_connection() {
    let scene = Scene::new(&["server.wait_for_stream=1s"]);
    let server = &scene.server;
    let mut publisher = raw::publisher(server, "live", "first");
    let mut status = |stream, command: &Command| {
        publisher.command(stream, command);
        publisher.next_status().expect("an answer")
    };
    assert_eq!(status(1, &raw::publish("first")), "NetStream.Publish.BadName");
    assert_eq!(status(1, &raw::publish("second")), "NetStream.Publish.BadName");
    assert_eq!(status(1, &raw::play("first")), "NetStream.Play.Failed");
    assert_eq!(status(2, &raw::publish("first")), "NetStream.Publish.BadName");
    assert_eq!(status(2, &raw::play("witness")), "NetStream.Play.Failed");
    assert!(server.is_live("live/first") && !server.is_live("live/second"));
    // Numbers that createStream does not give are nobody's.
    assert_eq!(status(9, &raw::publish("second")), "NetStream.Publish.BadName");
    // It goes on under its own name, whatever else it asked for.
    let (_, sessions) = server.v1("GET", "sessions?role=PUB&stream=live/first", &Json::Null);
    let url = sessions["items"][0]["url"].as_str().unwrap_or_default();
    assert!(url.ends_with("/live/first"), "{sessions}");
    // A second message stream may publish a second stream.
    assert_eq!(status(3, &raw::publish("second")), "NetStream.Publish.Start");
    assert!(server.is_live("live/first") && server.is_live("live/second"));
    drop(publisher);
    wait_until("both are over", || scene.others() == 0);

    let mut player = scene.connected();
    assert_eq!(player.play("witness"), "NetStream.Play.Start");
    let mut status = |stream, command: &Command| {
        player.command(stream, command);
        player.next_status().expect("an answer")
    };
    assert_eq!(status(1, &raw::play("witness")), "NetStream.Play.Failed");
    assert_eq!(status(2, &raw::play("other")), "NetStream.Play.Failed");
    assert_eq!(status(1, &raw::publish("other")), "NetStream.Publish.BadName");
    assert_eq!(status(3, &raw::publish("other")), "NetStream.Publish.Denied");
    while player.next_message().is_some_and(|message| message.kind != Kind::Video) {}
    assert_eq!(server.viewers("live/witness"), 2, "the player plays on");

    let mut twice = scene.connected();
    twice.command(1, &raw::play("nobody"));
    twice.command(2, &raw::play("nobody"));
    twice.command(1, &raw::play("witness"));
    twice.command(1, &raw::publish("nobody"));
    scene.assert_closed(twice, "not published here");
    let mut again = scene.connected();
    again.command(0, &Command::new("connect", 5.0, Value::Null));
    scene.assert_closed(again, "connect is not allowed");
    scene.finish();
}

#[test]
fn fragments_of_media() {
    let scene = Scene::new(&[]);
    let mut publisher = raw::publisher(&scene.server, "live", "fragments");
    let name = publisher.raw().name();
    let video: [&[u8]; 14] = [
        &[],
        &[0x17],
        &[0x17, 0],
        &[0x17, 0, 0, 0, 0],
        &[0x17, 0, 0, 0, 0, 1, 0x4D],
        &[0x17, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0x17, 1, 0, 0, 0, 0, 0, 0, 9, 0x65],
        &[0x90],
        &[0x90, 0x68, 0x76, 0x63],
        &[0x90, 0x68, 0x76, 0x63, 0x31],
        &[0x91, 0x61, 0x76, 0x30, 0x31],
        &[0x96, 0x05],
        &[0x97, 0, 0, 0],
        &[0x1C],
    ];
    let audio: [&[u8]; 8] = [
        &[],
        &[0xAF],
        &[0xAF, 0],
        &[0xAF, 0, 0xFF],
        &[0xAF, 1],
        &[0x90],
        &[0x95, 0x4F, 0x70],
        &[0x2F],
    ];
    let data: [&[u8]; 5] = [&[], &[2], &[2, 0xFF, 0xFF], &[3, 0, 0, 9], &[0x0A; 4]];
    let programme = Programme::live(100_000);
    for round in 0..2 {
        // Alone at first, then in the middle of a healthy stream.
        for (kind, bodies) in
            [(Kind::Video, &video[..]), (Kind::Audio, &audio[..]), (Kind::DataAmf0, &data[..])]
        {
            bodies.iter().for_each(|body| publisher.send(kind, 1, round * 1000, body));
        }
        programme.config().iter().for_each(|item| publisher.item(item));
        programme.items().take(50).for_each(|item| publisher.item(&item));
    }
    wait_until("the frames are counted", || {
        scene.server.group("live/fragments")["video_width"] == 64
    });
    for what in ["a video message is malformed", "an audio message is malformed"] {
        let line = scene.server.wait_for_log(&[what]);
        assert!(line.contains("WARN") && line.contains("RTMPPUBSUB"), "{line}");
        assert_eq!(scene.server.log().matches(what).count(), 1, "it is said once");
    }
    let mut viewer = FlvViewer::of(&scene.server, "live/fragments");
    let tags: Vec<_> = viewer.by_ref().take(20).collect();
    assert!(tags.iter().any(|tag| tag.body.first() == Some(&0x17)), "no picture arrives");
    assert!(scene.server.is_live("live/fragments"), "{name} was closed for nothing");
    drop((viewer, publisher));
    scene.finish();
}

#[test]
fn unknown_and_useless_messages() {
    let scene = Scene::new(&[]);
    let mut publisher = raw::publisher(&scene.server, "live", "unknown");
    let kinds = [0, 7, 10, 13, 15, 16, 19, 21, 23, 99, 255];
    for kind in kinds {
        for payload in [&[][..], &[0; 3], &[0xFF; 200]] {
            publisher.send(Kind::from(kind), 1, 0, payload);
        }
    }
    // What no player and no encoder asks for, and what asks for an answer.
    for name in ["", "x", "_result", "onStatus", "seek", "pause", "receiveVideo", "closeStream2"] {
        for transaction in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            publisher.command(1, &Command::new(name, transaction, Value::Null));
        }
    }
    publisher.send(
        Kind::CommandAmf0,
        7,
        0,
        &Command::new("deleteStream", 0.0, Value::Null).with(1e300).encode(),
    );
    Control::Abort(7).write_to(&mut publisher);
    assert_eq!(
        {
            publisher.command(1, &raw::publish("again"));
            publisher.next_status()
        }
        .as_deref(),
        Some("NetStream.Publish.BadName"),
        "it is listened to"
    );
    assert!(scene.server.is_live("live/unknown"));
    drop(publisher);

    for (body, why) in
        [(&[][..], "malformed command name"), (&[5], "malformed"), (&[2, 0, 9, b'c'], "malformed")]
    {
        let mut peer = scene.connected();
        peer.send(Kind::CommandAmf0, 0, 0, body);
        scene.assert_closed(peer, why);
    }
    let mut peer = raw::publisher(&scene.server, "live", "aggregate");
    peer.send(Kind::Aggregate, 1, 0, &[9, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1]);
    scene.assert_closed(peer, "protocol error");
    scene.finish();
}

/// Sends a control message as a chunk.
trait WriteTo {
    fn write_to(&self, peer: &mut Rtmp);
}

impl WriteTo for Control {
    fn write_to(&self, peer: &mut Rtmp) {
        let mut out = BytesMut::new();
        self.write(&mut out, chunk::Size::DEFAULT);
        peer.raw().send(&out);
    }
}

/// The first chunk header of a message that is `length` bytes long.
fn header(chunk_stream: u8, length: u32, kind: u8) -> Vec<u8> {
    let [_, a, b, c] = length.to_be_bytes();
    vec![chunk_stream, 0, 0, 0, a, b, c, kind, 1, 0, 0, 0]
}

#[test]
fn sizes_out_of_bounds() {
    let scene = Scene::new(&["rtmp.max_message_size=1MiB"]);
    let mut peer = Rtmp::shake_hands(&scene.server);
    peer.raw().send(&header(3, 0x00FF_FFFF, 20));
    scene.assert_closed(peer, "a message of 16777215 bytes exceeds the limit of 65536");

    let mut peer = raw::publisher(&scene.server, "live", "sizes");
    peer.raw().send(&header(7, (1 << 20) + 1, 9));
    scene.assert_closed(peer, "a message of 1048577 bytes exceeds the limit of 1048576");

    for size in [0, 0x8000_0000, u32::MAX] {
        let mut peer = Rtmp::shake_hands(&scene.server);
        Control::SetChunkSize(size).write_to(&mut peer);
        scene.assert_closed(peer, "chunk size");
    }
    // A chunk size of one byte is slow, but legal.
    let mut peer = raw::publisher(&scene.server, "live", "sizes");
    Control::SetChunkSize(1).write_to(&mut peer);
    let mut out = BytesMut::new();
    let one = chunk::Size::new(1).expect("a size");
    raw::publish("sizes").write(&mut out, 3, 1, one).expect("a short message");
    peer.raw().send(&out);
    assert_eq!(peer.next_status().as_deref(), Some("NetStream.Publish.BadName"));
    drop(peer);
    wait_until("the name is free again", || !scene.server.is_live("live/sizes"));

    // Message after message that is never finished.
    let mut peer = raw::publisher(&scene.server, "live", "sizes");
    for chunk_stream in 3..64 {
        let mut bytes = header(chunk_stream, 1 << 20, 9);
        bytes.resize(bytes.len() + 60_000, 0);
        peer.raw().send(&bytes);
    }
    scene.assert_closed(peer, "incomplete messages hold more than");
    let mut peer = Rtmp::shake_hands(&scene.server);
    Control::SetChunkSize(1).write_to(&mut peer);
    for low in 0..=255 {
        peer.raw().send(&[0, low, 0, 0, 0, 0, 0, 9, 20, 0, 0, 0, 0, 2]);
    }
    scene.assert_closed(peer, "more than 64 chunk streams");
    let mut peer = Rtmp::shake_hands(&scene.server);
    peer.raw().send(&[0xC5, 1, 2, 3]);
    scene.assert_closed(peer, "begins with a type 3 header");

    // Questions without end, whose answers nobody reads.
    let mut peer = scene.connected();
    let mut out = BytesMut::new();
    for _ in 0..10_000 {
        Command::new("createStream", 2.0, Value::Null)
            .write(&mut out, 3, 0, chunk::Size::DEFAULT)
            .expect("a short message");
    }
    peer.raw().send(&out);
    scene.assert_closed(peer, "bytes of answers are not taken");
    scene.finish();
}

#[test]
fn silence() {
    let scene = Scene::new(&[
        "rtmp.handshake_timeout=1s",
        "rtmp.setup_timeout=1s",
        "rtmp.publisher_idle=2s",
        "http.head_timeout=1s",
    ]);
    let server = &scene.server;
    let mut bare = Vec::new();
    for listener in ["rtmp", "rtmps", "http", "https"] {
        for said in [&b""[..], b"\x03", b"G", b"\x16\x03\x01"] {
            let mut peer = Raw::connect(server, listener);
            peer.send(said);
            bare.push((listener, peer));
        }
    }
    let shaken = Rtmp::shake_hands(server);
    let connected = scene.connected();
    let mut created = scene.connected();
    created.command(0, &Command::new("createStream", 2.0, Value::Null));
    let silent = raw::publisher(server, "live", "silent");
    scene.assert_closed(shaken, "timed out: waiting for publish or play");
    scene.assert_closed(connected, "timed out: waiting for publish or play");
    scene.assert_closed(created, "timed out: waiting for publish or play");
    scene.assert_closed(silent, "timed out: waiting for the publisher");
    for (listener, mut peer) in bare {
        let name = peer.name();
        peer.read_to_end();
        let line = server.wait_for_log(&[&format!("peer={name}")]);
        assert!(
            ["in time", "timed out", "failed", "refused", "protocol error"]
                .iter()
                .any(|word| line.contains(word)),
            "{listener}: {line}"
        );
    }
    scene.finish();
}

#[test]
fn a_crowd_that_says_half_of_what_it_wants() {
    let scene = Scene::new(&["http.head_timeout=2s", "rtmp.handshake_timeout=2s"]);
    let mut crowd = Vec::new();
    for _ in 0..2_000 {
        let mut peer = Raw::connect(&scene.server, "http");
        peer.send(b"GET /live/witness.flv HTTP/1.1\r\nHost: ");
        crowd.push(peer);
        let mut peer = Raw::connect(&scene.server, "rtmp");
        peer.send(&[3; 1000]);
        crowd.push(peer);
        if crowd.len() > 400 {
            // Some give up, the others wait until they are sent away.
            crowd.drain(..200).step_by(2).for_each(drop);
        }
    }
    crowd.into_iter().for_each(|mut peer| drop(peer.read_to_end()));
    scene.server.wait_for_log(&["no request in time"]);
    scene.server.wait_for_log(&["session ended", "timed out: in the handshake"]);
    scene.finish();
}

#[test]
fn names() {
    let scene = Scene::new(&["server.wait_for_stream=0s"]);
    let server = &scene.server;
    let long = "x".repeat(300);
    let longer = "y".repeat(600);
    for name in [
        "../../x",
        "a/../../b",
        "./x",
        "x/..",
        "a\nb",
        "a\0b",
        "a\x1b[31m",
        "a\\b",
        "a*b",
        &long,
        &longer,
        "",
        "/",
        "?k=v",
    ] {
        let mut peer = Rtmp::shake_hands(server);
        peer.connect(if name.trim_matches('/').is_empty() || name.starts_with('?') {
            ""
        } else {
            "live"
        });
        assert_eq!(peer.publish(name), "NetStream.Publish.BadName", "{name:?}");
        scene.assert_closed(peer, "refused");
        let mut peer = scene.connected();
        if !matches!(name, "" | "/" | "?k=v") {
            assert_eq!(peer.play(name), "NetStream.Play.Failed", "{name:?}");
        }
    }
    for path in [
        "/../../x",
        "/live/../../x",
        "/live/%2e%2e/x",
        "/%2e%2e%2f%2e%2e%2fx",
        "/live/a%00b",
        "/live/a%0ab",
        "/live/a%5cb",
        "/live/%",
        "/live/%zz",
        "/live/..%5c..%5cx",
        "/.",
        "/",
        "/live/\u{202e}x/%c0%ae%c0%ae/y",
        "//",
        &format!("/{long}"),
        &format!("/{longer}"),
    ] {
        let mut peer = Raw::connect(server, "http");
        let answer = peer.ask(format!("GET {path}.flv HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
    wait_until("nobody else is left", || scene.others() == 0);
    // Nothing forges a line of the log, whatever a peer is called.
    for line in server.log().lines() {
        assert!(line.starts_with("20") && !line.contains('\x1b'), "{line:?}");
    }
    scene.finish();
}

#[test]
fn what_clients_call_themselves_is_bounded() {
    let scene = Scene::new(&[]);
    for key in ["app", "tcUrl"] {
        let mut peer = Rtmp::shake_hands(&scene.server);
        let mut object = Object::new();
        object.insert(key, "\u{1}".repeat(60_000));
        peer.command(0, &Command::new("connect", 1.0, Value::Object(object)));
        scene.assert_closed(peer, "too long");
    }
    scene.finish();
}

#[test]
fn three_hundred_random_names_leave_nothing() {
    let scene = Scene::new(&["server.wait_for_stream=0s"]);
    let mut random = Random::new(7);
    for _ in 0..100 {
        let name = format!("n{:x}", random.bits());
        for method in ["GET", "HEAD"] {
            let mut peer = Raw::connect(&scene.server, "http");
            let request = format!("{method} /live/{name}.flv HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(peer.ask(request.as_bytes()).starts_with("HTTP/1.1 404"));
        }
        assert_eq!(scene.connected().play(&name), "NetStream.Play.StreamNotFound");
    }
    wait_until("nobody else is left", || scene.others() == 0);
    scene.finish();
}

#[test]
fn bad_http() {
    let scene = Scene::new(&["server.wait_for_stream=0s", "http.head_timeout=1s"]);
    let target = "GET /live/witness.flv HTTP/1.1\r\nHost: x\r\n";
    let refused: Vec<(String, &str)> = vec![
        ("GET /live/witness.flv HTTP/1.1\nHost: x\n\n".into(), "400"),
        ("GET /live/witness.flv\r\n\r\n".into(), "400"),
        ("GET  /live/witness.flv  HTTP/1.1\r\n\r\n".into(), "400"),
        ("GET /live/witness.flv HTTP/1.1\r\n\r\n".into(), "400"),
        ("GET /live/witness.flv HTTP/2.0\r\nHost: x\r\n\r\n".into(), "505"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".into(), "505"),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{7f}\r\n\r\n".into(), "400"),
        ("\r\n".repeat(5000), "4"),
        ("\0".repeat(200), "400"),
        (format!("{target}Host: y\r\n\r\n"), "400"),
        (format!("{target}X : y\r\n\r\n"), "400"),
        (format!("{target}X: a\r\n b\r\n\r\n"), "400"),
        (format!("{target}X: a\rb\r\n\r\n"), "400"),
        (format!("{target}X: a\0b\r\n\r\n"), "400"),
        (format!("{target}X: {}\r\n\r\n", "a".repeat(20_000)), "431"),
        (format!("{target}{}\r\n", "X: y\r\n".repeat(200)), "431"),
        (format!("GET /{}.flv HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(3000)), "414"),
        (format!("{target}Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), "400"),
        (format!("{target}Content-Length: -1\r\n\r\n"), "400"),
        (format!("{target}Content-Length: +5\r\n\r\n"), "400"),
        (format!("{target}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"), "400"),
        (format!("{target}Transfer-Encoding: chunked, chunked\r\n\r\n"), "400"),
        (format!("{target}Transfer-Encoding: xchunked\r\n\r\n"), "4"),
    ];
    for (request, status) in refused {
        let mut peer = Raw::connect(&scene.server, "http");
        let name = peer.name();
        peer.send(request.as_bytes());
        let answer = peer.ask(b"");
        let shown: String = request.chars().take(80).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?}: {answer:.300}");
        let answers = answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).count();
        assert_eq!(answers, 1, "{shown:?} is answered twice");
        scene.server.wait_for_log(&[&name, "refused"]);
    }
    // A second request behind the first is not served, and no body is read.
    for rest in ["GET /smuggled.flv HTTP/1.1\r\nHost: x\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"] {
        let mut peer = Raw::connect(&scene.server, "http");
        let request = "GET /live/none.flv HTTP/1.1\r\nHost: x\r\n\r\n";
        let answer = peer.ask(format!("{request}{rest}").as_bytes());
        assert_eq!(answer.matches("HTTP/1.1 404").count(), 1, "{answer}");
    }
    assert!(!scene.server.log().contains("smuggled"), "the second request was read");
    scene.finish();
}

#[test]
fn tls_and_plain_text_mixed_up() {
    let scene = Scene::new(&["rtmp.handshake_timeout=1s", "http.head_timeout=1s"]);
    let hello = b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03";
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (listener, bytes) in [
        ("https", &request[..]),
        ("https", &[0; 100]),
        ("https", &[3; 1537]),
        ("rtmps", &[3; 1537]),
        ("rtmps", request),
        ("rtmp", hello),
        ("rtmp", request),
        ("http", hello),
        ("http", &[3; 1537]),
    ] {
        let mut peer = Raw::connect(&scene.server, listener);
        let name = peer.name();
        peer.send(bytes);
        peer.read_to_end();
        scene.server.wait_for_log(&[&format!("peer={name}")]);
    }
    scene.finish();
}

#[test]
fn websocket_abuse() {
    let scene = Scene::new(&[]);
    let upgrade = "GET /live/witness.flv HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    for (fields, status) in [
        (version.to_owned(), "400"),
        (format!("Sec-WebSocket-Key: short\r\n{version}"), "400"),
        (format!("{key}Sec-WebSocket-Version: 12\r\n"), "426"),
    ] {
        let mut peer = Raw::connect(&scene.server, "http");
        let name = peer.name();
        let answer = peer.ask(format!("{upgrade}{fields}\r\n").as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{fields}: {answer:.300}");
        scene.server.wait_for_log(&[&name, "refused"]);
    }
    let masked = |opcode, fin, length| {
        let mut out = BytesMut::new();
        write_masked_frame(&mut out, opcode, fin, [1, 2, 3, 4], &vec![7; length]);
        out.to_vec()
    };
    let mut flood = Vec::new();
    (0..3).for_each(|_| flood.extend(masked(Opcode::Text, false, 3000)));
    for (what, frames, why) in [
        ("unmasked", vec![0x82, 1, 0], "protocol error"),
        ("oversized", vec![0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4], "protocol error"),
        ("endless", vec![0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "protocol"),
        ("opcode", vec![0x83, 0x80, 0, 0, 0, 0], "protocol error"),
        ("reserved bit", vec![0xC2, 0x80, 0, 0, 0, 0], "protocol error"),
        ("long ping", masked(Opcode::Ping, true, 126), "protocol error"),
        ("ping in parts", masked(Opcode::Ping, false, 5), "protocol error"),
        ("no beginning", masked(Opcode::Continuation, true, 5), "protocol error"),
        ("two beginnings", flood, "protocol error"),
        ("close", masked(Opcode::Close, true, 0), "closed by the peer"),
        ("bad close", masked(Opcode::Close, true, 1), "protocol error"),
    ] {
        eprintln!("{what}");
        let mut peer = Raw::connect(&scene.server, "http");
        let name = peer.name();
        peer.send(format!("{upgrade}{key}{version}\r\n").as_bytes());
        assert!(peer.read(12).starts_with(b"HTTP/1.1 101"));
        peer.send(&frames);
        let code: u16 = match what {
            "close" => 1000,
            "oversized" => 1009,
            _ => 1002,
        };
        let [high, low] = code.to_be_bytes();
        let said = peer.read_to_end();
        let closes = said.windows(4).any(|w| w[0] == 0x88 && w[2..] == [high, low]);
        assert!(closes, "{what}: no Close with {code}");
        scene.server.wait_for_log(&["session ended", &name, why]);
    }
    // What may come in any number of pieces, and the connection breaks off in the middle.
    let mut peer = Raw::connect(&scene.server, "http");
    let name = peer.name();
    peer.send(format!("{upgrade}{key}{version}\r\n").as_bytes());
    assert!(peer.read(12).starts_with(b"HTTP/1.1 101"));
    for byte in masked(Opcode::Ping, true, 50).iter().chain(&[0x88, 0x82, 1]) {
        peer.send(&[*byte]);
    }
    drop(peer);
    scene.server.wait_for_log(&["session ended", &name, "closed by the peer"]);
    scene.finish();
}

#[test]
fn a_viewer_that_talks_without_end() {
    let scene = Scene::new(&["server.wait_for_stream=20s"]);
    for stream in ["witness", "nobody"] {
        let mut peer = FlvViewer::of(&scene.server, &format!("live/{stream}"));
        let name = peer.raw().name();
        peer.raw().send(&vec![0; 1 << 20]);
        scene.server.wait_for_log(&["session ended", &name, "protocol error"]);
    }
    scene.finish();
}

#[test]
fn more_than_there_may_be() {
    let scene = Scene::new(&["limits.connections=5", "limits.publishers=1"]);
    let server = &scene.server;
    let mut second = scene.connected();
    let name = second.raw().name();
    assert_eq!(second.publish("second"), "NetStream.Publish.Failed");
    while second.next_message().is_some() {}
    server.wait_for_log(&["session ended", &name, "limits.publishers"]);
    drop(second);

    // The witness has two connections.
    let mut crowd: Vec<FlvViewer> = (0..3).map(|_| FlvViewer::of(server, "live/witness")).collect();
    for viewer in &mut crowd {
        assert!(viewer.next().is_some(), "a viewer within the limit is refused");
    }
    let mut peer = Raw::connect(server, "http");
    let name = peer.name();
    let answer = peer.ask(b"GET /live/witness.flv HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    server.wait_for_log(&["connection refused", &name, "limits.connections"]);
    let mut peer = Raw::connect(server, "rtmp");
    let name = peer.name();
    assert!(peer.read_to_end().is_empty());
    server.wait_for_log(&["connection refused", &name, "limits.connections"]);
    // The operator gets in all the same, and whoever leaves makes room.
    assert_eq!(server.viewers("live/witness"), 4);
    crowd.pop();
    wait_until("there is room", || server.viewers("live/witness") == 3);
    wait_until("a newcomer is served", || FlvViewer::of(server, "live/witness").next().is_some());
    drop(crowd);
    scene.finish();
}
