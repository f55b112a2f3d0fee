//! The life of a stream: who may publish and play it, who waits for whom, and who has to go.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flv::tag::Tag;
use headwater_e2e::raw::{self, FlvViewer, Raw, Rtmp};
use headwater_e2e::{Frames, Program, Server, ffmpeg, material, wait_until};
use rtmp::command::Command;
use rtmp::message::Kind;
use serde_json::json;
use testkit::{Audio, Programme, Random, TagKind, Video};

/// The pictures of the clip that most tests publish.
const PICTURES: usize = 150;

/// Publishes a clip in real time, `options` before the input.
fn publish(url: &str, options: &str) -> Program {
    let input = material("h264-aac.mp4");
    ffmpeg(&format!("-re {options} -i {} -c copy -f flv {url}", input.display()))
}

/// Publishes a clip over and over.
fn publish_for_ever(server: &Server, stream: &str) -> Program {
    let publisher = publish(&server.url("rtmp", stream), "-stream_loop -1");
    wait_until("the stream is live", || server.is_live(stream));
    publisher
}

fn viewer(server: &Server, scheme: &str, stream: &str) -> Program {
    Frames::reader(&format!("-i {}", server.url(scheme, stream)), "h264", false)
}

/// Fails unless decoding time grows from frame to frame in both tracks.
fn assert_time_grows(frames: &Frames) {
    for name in frames.names() {
        let track = frames.track(name);
        let back = track.windows(2).find(|pair| pair[0].0 >= pair[1].0);
        assert!(back.is_none(), "{name}: time goes back: {back:?}");
    }
}

#[test]
fn a_second_publisher_is_refused() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let viewer = viewer(&server, "rtmp", "live/taken");
    wait_until("the viewer waits", || server.viewers("live/taken") == 1);
    let first = publish(&server.url("rtmp", "live/taken"), "");
    wait_until("the stream is live", || server.is_live("live/taken"));

    let mut second = publish(&server.url("rtmp", "live/taken"), "");
    assert!(!second.wait().success(), "ffmpeg does not notice that it is refused");
    server.wait_for_log(&["session ended", "PUB", "refused", "already has a publisher"]);
    let mut raw = Rtmp::shake_hands(&server);
    raw.connect("live");
    assert_eq!(raw.publish("taken"), "NetStream.Publish.BadName");
    assert!(raw.next_message().is_none(), "the connection stays open after the refusal");

    first.finish();
    let frames = Frames::parse(&viewer.finish());
    assert_eq!(frames.count("video0"), PICTURES, "the first publisher's pictures");
    server.assert_healthy();
}

#[test]
fn a_second_publisher_takes_over() {
    let mut server = Server::start(&["stream.grace=0s", "stream.second_publisher=takeover"]);
    let viewer = viewer(&server, "http", "live/taken");
    wait_until("the viewer waits", || server.viewers("live/taken") == 1);
    let mut first = publish_for_ever(&server, "live/taken");
    wait_until("a second has passed", || {
        server.group("live/taken")["in_frame_per_sec"].as_array().is_some_and(|s| s.len() > 1)
    });
    let second = publish(&server.url("rtmp", "live/taken"), "-t 3");
    assert!(!first.wait().success(), "ffmpeg does not notice that it has to go");
    server.wait_for_log(&["session ended", "PUB", "another publisher took over"]);
    second.finish();
    let frames = Frames::parse(&viewer.finish());
    assert!(frames.count("video0") > 75 + 25, "{} pictures of both", frames.count("video0"));
    assert_time_grows(&frames);
    server.assert_healthy();
}

#[test]
fn viewers_stay_for_a_publisher_that_returns() {
    let mut server = Server::start(&["stream.grace=3s"]);
    let (rtmp, http) =
        (viewer(&server, "rtmp", "live/again"), viewer(&server, "http", "live/again"));
    wait_until("the viewers wait", || server.viewers("live/again") == 2);
    let mut first = publish_for_ever(&server, "live/again");
    wait_until("a second has passed", || {
        server.group("live/again")["in_frame_per_sec"].as_array().is_some_and(|s| s.len() > 1)
    });
    first.kill();
    wait_until("the publisher is gone", || !server.is_live("live/again"));
    assert_eq!(server.viewers("live/again"), 2, "viewers that are kept");
    publish(&server.url("rtmp", "live/again"), "-t 2").finish();
    let left = Instant::now();
    for viewer in [rtmp, http] {
        let frames = Frames::parse(&viewer.finish());
        let pictures = frames.count("video0");
        assert!(pictures > 50 + 25, "{pictures} pictures of both publishers");
        assert_time_grows(&frames);
    }
    assert!(left.elapsed() > Duration::from_secs(2), "the viewers were not kept for the grace");
    server.wait_for_log(&["stream ended", "live/again"]);
    wait_until("the stream is forgotten", || server.group("live/again").is_null());
    server.assert_healthy();
}

#[test]
fn viewers_wait_for_a_stream_as_long_as_they_are_told_to() {
    let mut server = Server::start(&["server.wait_for_stream=1s"]);
    let start = Instant::now();
    let mut http = Raw::connect(&server, "http");
    http.send(b"GET /live/nobody.flv HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut rtmp = Rtmp::shake_hands(&server);
    rtmp.connect("live");
    assert_eq!(rtmp.play("nobody"), "NetStream.Play.StreamNotFound");
    assert!(rtmp.next_message().is_none(), "the connection stays open");
    let answer = http.ask(b"");
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("live/nobody"), "{answer}");
    assert!(start.elapsed() >= Duration::from_secs(1), "they were not kept waiting");
    assert!(!viewer(&server, "rtmp", "live/nobody").wait().success());
    assert!(!viewer(&server, "http", "live/nobody").wait().success());
    wait_until("the name is forgotten", || server.group("live/nobody").is_null());
    server.assert_healthy();
}

/// ffmpeg divides a deep path elsewhere than others do.
#[test]
fn deep_paths_and_queries_name_the_same_stream_everywhere() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let stream = "a/b/c/d/name";
    let mut viewers = vec![
        viewer(&server, "http", stream),
        viewer(&server, "rtmp", stream),
        Frames::reader(&format!("-i {}?token=a/b", server.url("http", stream)), "h264", false),
        Frames::reader(&format!("-i {}?token=x&y=z", server.url("rtmp", stream)), "h264", false),
    ];
    wait_until("the viewers wait", || server.viewers(stream) == viewers.len());
    let mut whole_path = Rtmp::shake_hands(&server);
    whole_path.connect("a/b/c/d/name");
    whole_path.command(1, &raw::play("?token=x"));
    wait_until("the last viewer waits", || server.viewers(stream) == viewers.len() + 1);
    publish(&format!("{}?key=secret", server.url("rtmp", stream)), "").finish();
    for viewer in viewers.drain(..) {
        assert_eq!(Frames::parse(&viewer.finish()).count("video0"), PICTURES);
    }
    let mut pictures = 0;
    while let Some(message) = whole_path.next_message() {
        pictures += usize::from(message.kind == Kind::Video);
    }
    assert!(pictures >= PICTURES, "{pictures} video messages");
    server.assert_healthy();
}

#[test]
fn a_short_path_means_the_default_application() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let short = viewer(&server, "http", "short");
    let long = viewer(&server, "rtmp", "live/short");
    wait_until("the viewers wait", || server.viewers("live/short") == 2);
    publish(&server.url("rtmp", "live/short"), "-t 1").finish();
    for viewer in [short, long] {
        assert!(Frames::parse(&viewer.finish()).count("video0") >= 25);
    }
    server.assert_healthy();
}

#[test]
fn sessions_are_kicked() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let mut publisher = publish_for_ever(&server, "live/kick");
    let kick = |id: &str| {
        let body = json!({ "stream_name": "kick", "session_id": id });
        server.api_post("/api/ctrl/kick_session", &body)["error_code"].clone()
    };
    assert_eq!(kick("RTMPPUBSUB99"), 1003);
    for scheme in ["rtmp", "http"] {
        let mut viewer = viewer(&server, scheme, "live/kick");
        wait_until("the viewer is there", || server.viewers("live/kick") == 1);
        let group = server.group("live/kick");
        let id = group["subs"][0]["session_id"].as_str().expect("an id");
        assert_eq!(kick(id), 0);
        // ffmpeg keeps what it has, and may or may not take the end for a failure.
        viewer.wait();
        server.wait_for_log(&["session ended", id, "kicked by an operator"]);
        wait_until("the viewer is gone", || server.viewers("live/kick") == 0);
    }
    let group = server.group("live/kick");
    let id = group["pub"]["session_id"].as_str().expect("an id");
    assert_eq!(kick(id), 0);
    assert!(!publisher.wait().success(), "ffmpeg does not notice that it is kicked");
    server.wait_for_log(&["session ended", id, "kicked by an operator"]);
    server.assert_healthy();
}

#[test]
fn a_stalled_viewer_is_closed_and_bothers_nobody() {
    let mut server = Server::start(&["stream.grace=0s", "stream.stall_timeout=2s"]);
    let normal = viewer(&server, "http", "live/stall");
    let mut stalled = FlvViewer::over(Raw::connect_narrow(&server, "http"), "live/stall");
    let name = stalled.raw().name();
    wait_until("the viewers wait", || server.viewers("live/stall") == 2);
    let mut publisher = raw::publisher(&server, "live", "stall");
    let programme = Programme::live(4_000_000);
    programme.config().iter().for_each(|item| publisher.item(item));
    let (mut pictures, mut line) = (0, None);
    raw::in_real_time(programme.items(), |item| {
        publisher.item(item);
        pictures += usize::from(item.kind == TagKind::Video);
        let log = server.log();
        line = log
            .lines()
            .find(|l| l.contains("session ended") && l.contains(&name))
            .map(String::from);
        assert!(item.time < 12_000, "the stalled viewer is not closed");
        // The others get the end of this group of pictures.
        line.is_none() || pictures % 50 != 0
    });
    let line = line.expect("a line");
    assert!(line.contains("WARN") && line.contains("took no byte"), "{line}");
    publisher.command(0, &Command::new("deleteStream", 0.0, flv::amf0::Value::Null).with(1.0));
    let frames = Frames::parse(&normal.finish());
    assert_eq!(frames.count("video0"), pictures, "the normal viewer's pictures");
    server.assert_healthy();
}

/// Whether a tag is a picture: not the configuration, not the end of the sequence.
fn is_picture(tag: &Tag) -> bool {
    tag.kind == flv::tag::Kind::Video && tag.body.get(1) == Some(&1)
}

fn is_key(tag: &Tag) -> bool {
    tag.body.first() == Some(&0x17)
}

#[test]
fn a_slow_viewer_skips_to_key_frames() {
    let mut server = Server::start(&["stream.grace=0s", "stream.skip_after=1s"]);
    let mut publisher = raw::publisher(&server, "live", "slow");
    let video = Video { gop: 25, ..Video::default() }.with_bitrate(16_000_000);
    let programme = Programme { video: Some(video), audio: Some(Audio::default()), start: 0 };
    let stop = AtomicBool::new(false);
    let tags = std::thread::scope(|scope| {
        scope.spawn(|| {
            programme.config().iter().for_each(|item| publisher.item(item));
            raw::in_real_time(programme.items(), |item| {
                publisher.item(item);
                !stop.load(Ordering::Relaxed)
            });
        });
        let mut viewer = FlvViewer::over(Raw::connect_narrow(&server, "http"), "live/slow");
        let (start, mut read, mut tags) = (Instant::now(), 0.0, Vec::new());
        while start.elapsed() < Duration::from_secs(9) {
            // A quarter of what is sent.
            if read < start.elapsed().as_secs_f64() * 500_000.0 {
                assert!(viewer.read(10_000), "the slow viewer was closed");
                read += 10_000.0;
                tags.extend(std::iter::from_fn(|| viewer.poll()));
            } else {
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        stop.store(true, Ordering::Relaxed);
        tags
    });
    let pictures: Vec<&Tag> = tags.iter().filter(|tag| is_picture(tag)).collect();
    assert!(pictures.first().is_some_and(|first| is_key(first)), "it begins elsewhere");
    let gaps: Vec<_> =
        pictures.windows(2).filter(|pair| pair[1].timestamp - pair[0].timestamp > 40).collect();
    assert!(!gaps.is_empty(), "it never skips; {} pictures", pictures.len());
    for gap in gaps {
        assert!(is_key(gap[1]), "it goes on at {} ms, within a group", gap[1].timestamp);
    }
    let last = pictures.last().map_or(0, |last| last.timestamp);
    assert!(last > 4_000, "after 9 s it is at {last} ms only");
    server.assert_healthy();
}

#[test]
fn audio_that_begins_late_is_heard() {
    let mut server = Server::start(&["stream.grace=0s"]);
    // ffmpeg announces its tracks at once, and sends the second one's frames late.
    let ffmpegs = viewer(&server, "http", "live/late");
    wait_until("the viewer waits", || server.viewers("live/late") == 1);
    let input = material("h264-aac.mp4");
    let input = input.display();
    let url = server.url("rtmp", "live/late");
    let maps = "-map 0:v -map 1:a -c copy -f flv";
    ffmpeg(&format!("-re -i {input} -itsoffset 2 -re -i {input} {maps} {url}")).finish();
    let frames = Frames::parse(&ffmpegs.finish());
    assert_eq!(frames.count("video0"), PICTURES);
    let audio = frames.track("audio0");
    assert!(audio.len() > 250, "{} audio frames", audio.len());
    assert!((1_900_000..2_100_000).contains(&audio[0].0), "audio begins at {} µs", audio[0].0);

    // This encoder itself does not know in time that there will be audio.
    let viewer = FlvViewer::of(&server, "live/later");
    let mut publisher = raw::publisher(&server, "live", "later");
    let silent = Programme { video: Some(Video::default()), audio: None, start: 0 };
    silent.config().iter().for_each(|item| publisher.item(item));
    let programme = Programme { audio: Some(Audio::default()), ..silent };
    let mut begun = false;
    raw::in_real_time(programme.items().take_while(|item| item.time < 3_000), |item| {
        if item.kind == TagKind::Audio && item.time >= 2_000 && !begun {
            begun = true;
            let config = programme.config();
            config.iter().filter(|c| c.kind == TagKind::Audio).for_each(|c| publisher.item(c));
        }
        if item.kind != TagKind::Audio || begun {
            publisher.item(item);
        }
        true
    });
    drop(publisher);
    let audio: Vec<Tag> = viewer.filter(|tag| tag.kind == flv::tag::Kind::Audio).collect();
    assert_eq!(audio[0].body.get(1), Some(&0), "it begins with its configuration");
    assert!(audio.len() > 40, "{} audio frames", audio.len());
    assert!(audio[1].timestamp >= 1_900, "audio begins at {} ms", audio[1].timestamp);
    server.assert_healthy();
}

fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).map_or(0, Iterator::count)
}

/// The server's memory in bytes.
fn memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes << 10
}

/// One peer that publishes or plays for a moment, and leaves at a point that chance chooses.
fn cycle(server: &Server, random: &mut Random, programme: &Programme) {
    let stream = format!("cycle{}", random.below(4));
    if random.one_in(8) {
        let mut viewer = FlvViewer::of(server, &format!("live/{stream}"));
        if random.one_in(2) {
            viewer.raw().finish_sending();
        }
        return;
    }
    if random.one_in(16) {
        // Leaves in the handshake.
        let length = random.below(3073);
        Raw::connect(server, "rtmp").send(&vec![3; length]);
        return;
    }
    let mut rtmp = Rtmp::shake_hands(server);
    if random.one_in(16) {
        return;
    }
    rtmp.connect("live");
    if random.one_in(8) {
        return;
    }
    if random.one_in(2) {
        rtmp.command(1, &raw::play(&stream));
        for _ in 0..random.below(4) {
            // What comes, if anything comes at once; most streams are not there.
            rtmp.command(0, &Command::new("createStream", 9.0, flv::amf0::Value::Null));
            rtmp.next_message();
        }
    } else if rtmp.publish(&stream) == "NetStream.Publish.Start" {
        programme.config().iter().for_each(|item| rtmp.item(item));
        let frames = random.below(60);
        programme.items().take(frames).for_each(|item| rtmp.item(&item));
    }
    if random.one_in(2) {
        let delete = Command::new("deleteStream", 0.0, flv::amf0::Value::Null).with(1.0);
        rtmp.command(0, &delete);
    }
    if random.one_in(4) {
        rtmp.raw().send(&[7, 0, 0, 1]); // a header that breaks off
    }
}

#[test]
fn a_thousand_peers_come_and_go_and_leave_nothing() {
    let mut server = Server::start(&["stream.grace=0s", "server.wait_for_stream=200ms"]);
    let programme = Programme::live(200_000);
    let run = |seeds: std::ops::Range<u64>| {
        std::thread::scope(|scope| {
            for lane in 0..4 {
                let (server, programme, seeds) = (&server, &programme, seeds.clone());
                scope.spawn(move || {
                    for seed in seeds.filter(|seed| seed % 4 == lane) {
                        cycle(server, &mut Random::new(seed), programme);
                    }
                });
            }
        });
        wait_until("all streams are gone", || {
            server.api("/api/stat/all_group")["data"]["groups"]
                .as_array()
                .is_some_and(Vec::is_empty)
        });
    };
    let open = descriptors(&server);
    // What the first ones leave is what the server keeps for the next ones.
    run(0..100);
    let warm = memory(&server);
    run(100..1_100);
    wait_until("all descriptors are closed", || descriptors(&server) <= open);
    let grown = memory(&server).saturating_sub(warm);
    assert!(grown < 16 << 20, "{grown} more bytes after a thousand peers");
    let ended = server.log().matches("session ended").count();
    assert!(ended > 900, "the log tells of {ended} ends");
    server.assert_healthy();
}
