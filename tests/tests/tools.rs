//! The operator's tools against a server and files of ffmpeg's.

use std::path::PathBuf;

use bytes::BytesMut;
use flv::tag;
use headwater_e2e::{
    Frames, Program, Server, Times, assert_alike, assert_same, ffmpeg, headwater, material,
    wait_until,
};
use serde_json::Value;

/// An FLV file in a folder of its own.
struct Flv {
    folder: tempfile::TempDir,
}

impl Flv {
    /// What ffmpeg makes of `arguments`.
    fn of(arguments: &str) -> Self {
        let flv = Self { folder: tempfile::tempdir().expect("a folder") };
        ffmpeg(&format!("{arguments} -f flv {}", flv.path("in.flv"))).finish();
        flv
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn input(&self) -> String {
        self.path("in.flv")
    }

    fn material(name: &str) -> Self {
        Self::of(&format!("-i {} -c copy", material(name).display()))
    }
}

fn frames(file: &str) -> Frames {
    Frames::parse(&Frames::reader(&format!("-i {file}"), "copy", false).finish())
}

/// Runs `headwater probe --json`; whether it found nothing wrong, and what it found.
fn probe(arguments: &[&str]) -> (bool, Value) {
    let mut program = headwater(&[&["probe", "--json"], arguments].concat());
    let success = program.wait().success();
    let text = program.stdout();
    let json = serde_json::from_str(&text);
    (success, json.unwrap_or_else(|e| panic!("{e}: {text}{}", program.stderr())))
}

fn findings(analysis: &Value) -> Vec<&str> {
    let all = analysis["findings"].as_array().expect("findings");
    all.iter().filter_map(|finding| finding["text"].as_str()).collect()
}

#[test]
fn a_file_is_told_by_what_is_in_it() {
    let flv = Flv::material("h264-aac.mp4");
    let picture = flv.path("picture.svg");
    let (fine, analysis) = probe(&[&flv.input(), "--picture", &picture]);
    assert!(fine, "{analysis}");
    let video = &analysis["tracks"][0];
    assert_eq!(video["codec"], "H264");
    assert_eq!((&video["width"], &video["height"]), (&320.into(), &180.into()));
    assert_eq!(video["frames_per_second"], 25.0);
    assert_eq!(
        (&video["gop"]["mean_ms"], &video["gop"]["reordered"]),
        (&1000.into(), &true.into())
    );
    let audio = &analysis["tracks"][1];
    assert_eq!((&audio["codec"], &audio["sample_rate"]), (&"AAC".into(), &44_100.into()));
    assert!(findings(&analysis).iter().any(|text| text.contains("B-frames")), "{analysis}");
    let picture = std::fs::read_to_string(picture).expect("a picture");
    assert_eq!(picture.matches("<polygon").count(), 6, "a triangle for each key frame");
}

#[test]
fn what_is_wrong_with_a_stream_is_found() {
    let flv = Flv::of(
        "-f lavfi -i testsrc=size=320x180:rate=25 -t 12 -c:v libx264 -preset ultrafast -g 250 \
         -pix_fmt yuv444p",
    );
    let (fine, analysis) = probe(&[&flv.input()]);
    assert!(!fine);
    let found = findings(&analysis);
    assert!(found.iter().any(|text| text.contains("10.0 s apart")), "{found:?}");
    assert!(found.iter().any(|text| text.contains("4:4:4")), "{found:?}");
    let mut text = headwater(&["probe", &flv.input()]);
    assert!(!text.wait().success());
    assert!(text.stdout().contains("problem  key frames are up to 10.0 s apart"));
}

#[test]
fn a_live_stream_is_probed_as_viewers_get_it() {
    let server = Server::start(&[]);
    let flv = Flv::material("h264-aac.mp4");
    let _push = headwater(&["push", &flv.input(), &server.url("rtmp", "live/one"), "--loop"]);
    wait_until("it is live", || server.is_live("live/one"));
    let (fine, analysis) = probe(&[&server.url("ws", "live/one"), "--duration", "3"]);
    assert!(fine, "{analysis}");
    let video = &analysis["tracks"][0];
    assert_eq!((&video["codec"], &video["width"]), (&"H264".into(), &320.into()));
    assert!(video["frames"].as_u64().is_some_and(|frames| frames >= 50), "{analysis}");
    assert!(video["late_max_ms"].as_i64().is_some_and(|late| late < 500), "{analysis}");
}

/// Pushes a file through a server, and pulls it into another; both must end well.
fn round_trip(push: &str, pull: &str) {
    let mut server = Server::start(&["stream.grace=0s"]);
    let flv = Flv::material("h264-aac.mp4");
    let out = flv.path("out.flv");
    let url = server.url(pull, "live/trip");
    let mut viewer = headwater(&["pull", "--insecure", &url, &out]);
    wait_until("the viewer waits", || server.viewers("live/trip") == 1);
    headwater(&["push", "--insecure", &flv.input(), &server.url(push, "live/trip")]).finish();
    assert!(viewer.wait().success(), "{}", viewer.stderr());
    assert!(viewer.stdout().contains("150 frames"), "{}", viewer.stdout());
    assert_same(&frames(&flv.input()), &frames(&out), 0);
    server.assert_healthy();
}

#[test]
fn what_is_pushed_is_pulled() {
    round_trip("rtmp", "rtmp");
}

#[test]
fn what_is_pushed_over_tls_is_pulled_from_a_websocket() {
    round_trip("rtmps", "wss");
}

#[test]
fn what_is_pushed_is_pulled_over_https() {
    round_trip("rtmp", "https");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let server = Server::start(&[]);
    let mut viewer = headwater(&["pull", &server.url("rtmps", "live/x"), "--duration", "1"]);
    assert!(!viewer.wait().success());
    assert!(viewer.stderr().contains("--insecure"), "{}", viewer.stderr());
}

fn said(mut program: Program) -> String {
    let success = program.wait().success();
    assert!(success, "{}{}", program.stdout(), program.stderr());
    program.stdout()
}

#[test]
fn many_are_published_and_played() {
    let server = Server::start(&["stream.grace=0s"]);
    let flv = Flv::material("h264-aac.mp4");
    let url = server.url("rtmp", "live/copy-{i}");
    let push = ["push", &flv.input(), &url, "--copies", "10", "--loop", "--duration", "6"];
    let push = headwater(&push);
    wait_until("all are live", || (0..10).all(|i| server.is_live(&format!("live/copy-{i}"))));
    let play = server.url("http", "live/copy-{i}");
    let play = ["pull", &play, "--viewers", "10", "--duration", "2"];
    let report = said(headwater(&play));
    assert!(
        report.contains("failures         0") && report.contains("stalls           0"),
        "{report}"
    );
    assert!(said(push).contains("10 of 10 published"));

    let mut nameless = headwater(&["push", &flv.input(), "rtmp://h/a/b", "--copies", "2"]);
    assert!(!nameless.wait().success());
    assert!(nameless.stderr().contains("{i}"), "{}", nameless.stderr());
}

/// The median delays in milliseconds that `headwater bench delay` printed.
fn medians(report: &str) -> Vec<f64> {
    let median = |line: &str| {
        let text = line.split("p50 ").nth(1).and_then(|rest| rest.split(' ').next());
        text.and_then(|text| text.parse().ok()).expect("a percentile")
    };
    report.lines().map(median).collect()
}

#[test]
fn a_listener_may_merge_more_than_others() {
    let server = Server::start(&["flv.flush_after=300ms"]);
    let [rtmp, http] = ["rtmp", "http"].map(|scheme| server.url(scheme, "live/delay"));
    let delay = ["bench", "delay", &rtmp, "--play", &rtmp, "--play", &http, "--duration", "3"];
    let medians = medians(&said(headwater(&delay)));
    assert!(medians[0] < 80.0 && medians[1] > 100.0, "{medians:?}");
}

#[test]
fn delays_are_measured_on_every_road() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let plot: PathBuf = folder.path().join("plot.svg");
    let [rtmp, http, wss] = ["rtmp", "http", "wss"].map(|scheme| server.url(scheme, "live/delay"));
    let report = said(headwater(&[
        "bench",
        "delay",
        &rtmp,
        "--play",
        &rtmp,
        "--play",
        &http,
        "--play",
        &wss,
        "--insecure",
        "--duration",
        "2",
        "--plot",
        &plot.to_string_lossy(),
    ]));
    assert_eq!(report.lines().count(), 3, "{report}");
    for median in medians(&report) {
        assert!(median > 0.0 && median < 1000.0, "{report}");
    }
    let plot = std::fs::read_to_string(plot).expect("a plot");
    assert_eq!(plot.matches("p99").count(), 6, "in each row's title and at its mark");
}

#[test]
fn connections_and_publishers_are_counted() {
    let server = Server::start(&[]);
    for scheme in ["rtmp", "rtmps", "http", "https"] {
        let url = server.url(scheme, "live/x");
        let connect = ["bench", "connect", &url, "--connections", "50", "--insecure"];
        let report = said(headwater(&connect));
        assert!(report.contains("50 of 50"), "{report}");
        assert_eq!(report.contains("handshake done"), scheme.starts_with("rtmp"), "{report}");
    }
    let url = server.url("rtmp", "live/many-{i}");
    let publish = ["bench", "publish", &url, "--copies", "5", "--duration", "1"];
    assert!(said(headwater(&publish)).contains("5 of 5"));
}

/// Pushes a file of one kind through a server, and saves it as another.
fn from_file_to_file(source: &str, saved: &str) {
    let mut server = Server::start(&["stream.grace=0s"]);
    let flv = Flv::material("h264-aac.mp4");
    let input = flv.path(source);
    let material = material("h264-aac.mp4");
    let fragmented =
        if source.starts_with("frag") { "-movflags frag_keyframe+empty_moov" } else { "" };
    ffmpeg(&format!("-y -i {} -c copy {fragmented} {input}", material.display())).finish();
    let out = flv.path(saved);
    let url = server.url("rtmp", "live/trip");
    let mut viewer = headwater(&["pull", &url, &out]);
    wait_until("the viewer waits", || server.viewers("live/trip") == 1);
    headwater(&["push", &input, &url]).finish();
    assert!(viewer.wait().success(), "{}", viewer.stderr());
    let reference = flv.path("reference.flv");
    ffmpeg(&format!("-y -i {input} -c copy {reference}")).finish();
    let adts = if saved.ends_with(".ts") { "-bsf:a aac_adtstoasc" } else { "" };
    let got = Frames::reader(&format!("-i {out} {adts}"), "h264", false).finish();
    let lead = if saved.ends_with(".ts") { 700_000 } else { 0 };
    let times = Times { shift: lead, tolerance: 1_600 };
    let sent = Frames::reader(&format!("-i {reference}"), "h264", false).finish();
    assert_alike(&Frames::parse(&sent), &Frames::parse(&got), 6, times);
    server.assert_healthy();
}

#[test]
fn transport_streams_are_pushed_and_saved_as_mp4() {
    from_file_to_file("in.ts", "out.mp4");
}

#[test]
fn mp4_is_pushed_and_saved_as_a_transport_stream() {
    from_file_to_file("in.mp4", "out.ts");
}

#[test]
fn fragmented_mp4_is_pushed_and_saved_as_flv() {
    from_file_to_file("frag.mp4", "out.flv");
}

#[test]
fn pictures_alone_are_pushed_over_rtsp_from_the_first_on() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let flv = Flv::material("video-only.mp4");
    let out = flv.path("out.flv");
    let mut viewer = headwater(&["pull", &server.url("rtmp", "live/trip"), &out]);
    wait_until("the viewer waits", || server.viewers("live/trip") == 1);
    headwater(&["push", &flv.input(), &server.url("rtsp", "live/trip")]).finish();
    assert!(viewer.wait().success(), "{}", viewer.stderr());
    let hashes = |file: &str| {
        Frames::parse(&Frames::reader(&format!("-i {file}"), "h264", false).finish())
            .hashes("video0")
    };
    assert_eq!(hashes(&flv.input()), hashes(&out));
    server.assert_healthy();
}

#[test]
fn what_a_file_has_no_place_for_is_said() {
    let server = Server::start(&["stream.grace=0s"]);
    let flv = Flv::material("pcma.flv");
    let url = server.url("rtmp", "live/trip");
    let mut viewer = headwater(&["pull", &url, &flv.path("out.ts")]);
    wait_until("the viewer waits", || server.viewers("live/trip") == 1);
    headwater(&["push", &flv.input(), &url]).finish();
    assert!(viewer.wait().success());
    let text = "MPEG-TS has no place for PCMA, which is left out";
    assert!(viewer.stderr().contains(text), "{}", viewer.stderr());
}

/// The file without sound before `from` milliseconds, not even a word of it.
fn without_sound_before(flv: &Flv, from: u32) -> String {
    let mut reader = tag::Reader::new(1 << 20);
    reader.push(&std::fs::read(flv.input()).expect("a file"));
    let mut out = BytesMut::from(&tag::FileHeader { audio: false, video: true }.bytes()[..]);
    let mut config = None;
    while let Some(tag) = reader.poll().expect("FLV") {
        match tag.kind {
            tag::Kind::Video => tag::write(&mut out, &tag),
            // AAC's second byte tells configurations (0) from frames.
            tag::Kind::Audio if tag.body.get(1) == Some(&0) => config = Some(tag),
            tag::Kind::Audio if tag.timestamp >= from => {
                if let Some(config) = config.take() {
                    tag::write(&mut out, &tag::Tag { timestamp: tag.timestamp, ..config });
                }
                tag::write(&mut out, &tag);
            }
            _ => {}
        }
    }
    let path = flv.path("late.flv");
    std::fs::write(&path, &out).expect("a file");
    path
}

#[test]
fn a_track_that_comes_late_leaves_a_file_as_it_is() {
    let server = Server::start(&["stream.grace=0s"]);
    let flv = Flv::material("h264-aac.mp4");
    let late = without_sound_before(&flv, 2_400);
    let (out, url) = (flv.path("out.mp4"), server.url("rtmp", "live/trip"));
    let mut viewer = headwater(&["pull", &url, &out]);
    wait_until("the viewer waits", || server.viewers("live/trip") == 1);
    headwater(&["push", &late, &url]).finish();
    assert!(viewer.wait().success(), "{}", viewer.stderr());
    assert!(viewer.stderr().contains("AAC came after the file had begun"), "{}", viewer.stderr());
    // It began while sound was still waited for, and has all from there on.
    let (sent, got) = (frames(&late), frames(&out));
    let (sent, pictures) = (sent.hashes("video0"), got.hashes("video0"));
    assert!(sent.ends_with(&pictures) && pictures.len() >= 100, "{} pictures", pictures.len());
    assert_eq!(got.count("audio0"), 0);
}

#[test]
fn a_tool_that_is_stopped_completes_its_file() {
    let server = Server::start(&[]);
    let flv = Flv::material("h264-aac.mp4");
    let _publisher = headwater(&["push", &flv.input(), &server.url("rtmp", "live/trip"), "--loop"]);
    wait_until("it is live", || server.is_live("live/trip"));
    let from = server.url("http", "live/trip");
    for (tool, name, told) in [("pull", "out.mp4", "INT"), ("relay", "out.ts", "TERM")] {
        let out = flv.path(name);
        let mut viewer = headwater(&[tool, &from, &out]);
        let size = || std::fs::metadata(&out).map_or(0, |file| file.len());
        wait_until("some of it is there", || size() > 50_000);
        viewer.signal(told);
        assert!(viewer.wait().success(), "{}", viewer.stderr());
        // What was printed as taken is there.
        let said = viewer.stdout();
        let taken: usize =
            said.split(" frames").next().and_then(|n| n.trim().parse().ok()).unwrap_or(0);
        let saved = frames(&out).count("video0");
        assert!(taken > 10 && saved == taken, "{saved} of {taken}: {said}");
    }
}

#[test]
fn names_and_passwords_stand_in_addresses() {
    let user = "auth.users=[{name='us er',password='p@ss',publish=['*'],play=['*']}]";
    let mut server = Server::start(&["stream.grace=0s", user]);
    let flv = Flv::material("h264-aac.mp4");
    let out = flv.path("out.flv");
    let with_login =
        |scheme: &str| server.url(scheme, "live/trip").replacen("://", "://us%20er:p%40ss@", 1);
    let mut viewer = headwater(&["pull", &with_login("http"), &out]);
    wait_until("the viewer waits", || server.viewers("live/trip") == 1);
    headwater(&["push", &flv.input(), &with_login("rtsp")]).finish();
    assert!(viewer.wait().success(), "{}", viewer.stderr());
    assert_eq!(frames(&flv.input()).hashes("video0"), frames(&out).hashes("video0"));
    server.assert_healthy();
}
