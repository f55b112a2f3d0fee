//! The examples of the embedding library do what they say, with peers that others wrote.

use std::collections::BTreeMap;
use std::path::Path;

use headwater_e2e::{
    Frames, Program, Server, Times, assert_alike, assert_piece, assert_same, example, ffmpeg,
    material, wait_until,
};
use tempfile::TempDir;

/// Pictures of the clips, a key frame each second.
const PICTURES: usize = 150;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// What ffmpeg makes of a clip, without coding it again.
fn remux(input: &str, options: &str, output: &Path) -> Frames {
    let (input, output) = (material(input), output.display());
    ffmpeg(&format!("-y -i {} {options} {output}", input.display())).finish();
    Frames::parse(&Frames::reader(&format!("-i {output}"), "h264", false).finish())
}

fn viewer(url: &str) -> Program {
    Frames::reader(&format!("-i {url}"), "h264", false)
}

/// Interrupts an example, which has to end by itself.
fn stop(example: Program) {
    example.interrupt();
    example.finish();
}

#[test]
fn a_file_is_published_from_inside_the_program() {
    let folder = folder();
    let file = folder.path().join("clip.flv");
    let sent = remux("h264-aac.mp4", "-c copy", &file);
    let program = example("publish_flv", &[&file.to_string_lossy(), "127.0.0.1:0"]);
    let viewer = viewer(&program.line("watch "));
    assert_same(&sent, &Frames::parse(&viewer.finish()), 0);
    assert!(program.finish().contains("live/file has ended"));
}

#[test]
fn a_protocol_of_its_own_becomes_a_stream() {
    let folder = folder();
    let file = folder.path().join("clip.h264");
    let sent = remux("baseline.mp4", "-an -c copy -bsf:v h264_mp4toannexb -f h264", &file);
    let server = example("own_protocol", &["serve", "127.0.0.1:0", "127.0.0.1:0"]);
    let (address, url) = (server.line("send "), server.line("watch "));
    let viewer = viewer(&url);
    let _ = server.line("FLVSUB1 joined live/me");
    example("own_protocol", &["send", &address, "live/me", &file.to_string_lossy()]).finish();
    let got = Frames::parse(&viewer.finish());
    assert_eq!(sent.count("video0"), PICTURES);
    // The byte stream has no times: those of the sender count, from 0.5 s on.
    let (sent, got) = (sent.track("video0"), got.track("video0"));
    assert_eq!(got.len(), PICTURES);
    for ((number, sent), got) in (0i64..).zip(&sent).zip(&got) {
        assert_eq!(sent.2, got.2, "picture {number} has other contents");
        assert_eq!((got.0, got.1), (500_000 + number * 40_000, 500_000 + number * 40_000));
    }
    assert!(server.stdout().contains("CUSTOMIZEPUB1 joined live/me"));
    stop(server);
}

#[test]
fn a_stream_is_analysed_in_the_program() {
    let program = example("analyse", &["127.0.0.1:0"]);
    let url = program.line("publish to ");
    let input = material("h264-aac.mp4");
    ffmpeg(&format!("-re -i {} -c copy -f flv {url}", input.display())).finish();
    assert_eq!(program.line("live/me: video0 "), "H264, audio0 AAC");
    let report = program.line("live/me: the stream ended: ");
    assert!(report.starts_with(&format!("{PICTURES} pictures, ")), "{report}");
    // The last GOP is not complete.
    assert!(report.contains("pictures per GOP {25: 5}"), "{report}");
    assert!(report.contains("\"Idr\": 6") && report.contains("\"Slice\": 144"), "{report}");
    let bytes: usize = number_before(&report, " bytes");
    let folder = folder();
    let sizes = sizes(&folder.path().join("clip.mp4"));
    assert_eq!(bytes, sizes, "bytes of all pictures, lengths included");
    assert!(number_before(&report, " kbit/s") > 0);
    stop(program);
}

/// The number that stands before `words`.
fn number_before(text: &str, words: &str) -> usize {
    let before = text.split(words).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// The bytes of the clip's pictures, as ffmpeg counts them in an MP4 file without parameter sets
/// in its frames.
fn sizes(file: &Path) -> usize {
    let (input, file) = (material("h264-aac.mp4"), file.display());
    ffmpeg(&format!("-i {} -an -c copy {file}", input.display())).finish();
    let printed = ffmpeg(&format!("-i {file} -c copy -f framemd5 -")).finish();
    let lines = printed.lines().filter(|line| !line.starts_with('#'));
    let size = |line: &str| line.split(',').nth(4)?.trim().parse::<usize>().ok();
    lines.filter_map(size).sum()
}

#[test]
fn the_program_decides_who_publishes_and_plays() {
    let program = example("authentication", &["127.0.0.1:0", "127.0.0.1:0"]);
    let (rtmp, http) = (program.line("rtmp "), program.line("http "));
    let folder = folder();
    let file = folder.path().join("clip.flv");
    let sent = remux("h264-aac.mp4", "-c copy", &file);
    let publish = |query: &str| {
        let url = format!("rtmp://{rtmp}/live/alice{query}");
        ffmpeg(&format!("-re -i {} -c copy -f flv {url}", file.display()))
    };
    let _ = publish("?key=wrong").fail();
    let stranger = format!("http://{http}/live/alice.flv");
    assert!(ffmpeg(&format!("-i {stranger} -f null -")).fail().contains("401"));

    let viewer = viewer(&format!("http://{http}/live/alice.flv?guest=bob%20b"));
    let _ = program.line("bob b joined live/alice by FLV");
    publish("?key=wonder").finish();
    let _ = program.line("alice joined live/alice by RTMP");
    let got = Frames::parse(&viewer.finish());
    assert_alike(&sent, &got, 0, Times::default());
    stop(program);
}

#[test]
fn every_example_is_tried() {
    let folder = headwater_e2e::root().join("crates/headwater/examples");
    let names: BTreeMap<String, bool> = std::fs::read_dir(folder)
        .expect("examples")
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .map(|name| {
            let is_tried = include_str!("embedding.rs").contains(&format!("example(\"{name}\""));
            (name, is_tried)
        })
        .collect();
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names.values().all(|is_tried| *is_tried), "{names:?}");
}

#[test]
fn the_program_relays_between_servers_whatever_they_speak() {
    let (near, far) = (Server::start(&[]), Server::start(&[]));
    let file = material("h264-aac.mp4").display().to_string();
    let sent = Frames::parse(&Frames::reader(&format!("-i {file}"), "h264", false).finish());
    let _clip = ffmpeg(&format!(
        "-re -stream_loop -1 -i {file} -c copy -f flv {}",
        near.url("rtmp", "live/clip")
    ));
    wait_until("the stream is there", || near.is_live("live/clip"));
    for (from, to) in [("rtmp", "rtsp"), ("rtsp", "rtmp"), ("http", "rtsp"), ("http+hls", "rtmp")] {
        let stream = format!("live/{}-{to}", from.replace('+', "-"));
        let addresses = [near.url(from, "live/clip"), far.url(to, &stream)];
        let program = example("relay", &[&addresses[0], &addresses[1]]);
        wait_until("it has come", || far.is_live(&stream));
        let input = format!("-t 2 -i {}", far.url("http", &stream));
        let got = Frames::parse(&Frames::reader(&input, "h264", false).finish());
        assert_piece(&sent, &got, 30);
        stop(program);
    }
}
