//! Recordings: the same frames as were published, in files that survive a kill.

use std::fs;
use std::path::{Path, PathBuf};

use headwater_e2e::raw::Raw;
use headwater_e2e::{
    Frames, Program, Server, Times, assert_alike, ffmpeg, headwater, material, program, wait_until,
};
use serde_json::{Value, json};

const AUDIO_BEFORE_PICTURE: usize = 6;

/// Sound lies on the grid of its samples; files begin at zero.
const MILLISECOND: i64 = 1_100;

fn publish(server: &Server, stream: &str, loops: i32) -> Program {
    let (input, url) = (material("h264-aac.mp4"), server.url("rtmp", stream));
    ffmpeg(&format!("-re -stream_loop {loops} -i {} -c copy -f flv {url}", input.display()))
}

fn reference(folder: &Path) -> Frames {
    let flv = folder.join("reference.flv");
    let input = material("h264-aac.mp4");
    ffmpeg(&format!("-y -i {} -c copy -f flv {}", input.display(), flv.display())).finish();
    Frames::parse(&Frames::reader(&format!("-i {}", flv.display()), "h264", false).finish())
}

/// A folder of the test's own, and the settings that let a server record there.
fn folder() -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display();
    let settings = vec![
        "stream.record=[\"flv\", \"ts\", \"mp4\", \"hls\"]".to_owned(),
        format!("record.flv={path}/flv/{{path}}-{{unix}}.flv"),
        format!("record.ts={path}/ts/{{path}}-{{unix}}.ts"),
        format!("record.mp4={path}/mp4/{{path}}-{{unix}}.mp4"),
        format!("record.hls={path}/hls/{{path}}"),
        "stream.grace=0s".to_owned(),
        "hls.segment_duration=1s".to_owned(),
    ];
    (folder, settings)
}

fn start(settings: &[String], more: &[&str]) -> Server {
    let all: Vec<&str> = settings.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Server::start(&all)
}

/// The files of a stream in a format, in the order of their names.
fn files(folder: &Path, format: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(format).join("live")).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// All frames of a file.
fn frames(path: &Path) -> Frames {
    let adts =
        if path.extension().is_some_and(|e| e == "ts") { "-bsf:a aac_adtstoasc" } else { "" };
    let input = format!("-i {} {adts}", path.display());
    Frames::parse(&Frames::reader(&input, "h264", false).finish())
}

fn times(format: &str) -> Times {
    let shift = if format == "ts" { 700_000 } else { 0 };
    Times { shift, tolerance: MILLISECOND }
}

#[test]
fn every_format_has_what_was_published() {
    let (folder, settings) = folder();
    let mut server = start(&settings, &[]);
    let sent = reference(folder.path());
    publish(&server, "live/rec", 0).finish();
    for format in ["FLV", "MPEG-TS", "MP4"] {
        server.wait_for_log(&[" recorded ", &format!("format={format}")]);
    }
    server.wait_for_log(&[" recorded ", "segments="]);
    for format in ["flv", "ts", "mp4"] {
        let files = files(folder.path(), format);
        assert_eq!(files.len(), 1, "{files:?}");
        assert_alike(&sent, &frames(&files[0]), AUDIO_BEFORE_PICTURE, times(format));
    }
    let playlist = folder.path().join("hls/live/rec/record.m3u8");
    let text = fs::read_to_string(&playlist).expect("a playlist");
    assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    let got = frames(&playlist);
    assert_alike(&sent, &got, AUDIO_BEFORE_PICTURE, Times { shift: 0, tolerance: MILLISECOND });
    // An MP4 file that is complete can be seeked.
    let mp4 = files(folder.path(), "mp4").remove(0);
    let input = format!("-ss 4 -i {} -map 0:v -c copy -f framemd5 -", mp4.display());
    let late = Frames::parse(&ffmpeg(&input).finish());
    assert!((45..=51).contains(&late.count("video0")), "{} pictures", late.count("video0"));
    server.assert_healthy();
}

#[test]
fn files_may_end_with_their_publisher_and_be_watched_by_those_who_have_a_session() {
    let (folder, mut settings) = folder();
    settings.retain(|setting| !setting.starts_with("stream.grace"));
    let more = [
        "stream.grace=1h",
        "stream.record_grace=0s",
        "hls.session_key=secret",
        "hls.session_timeout=3s",
    ];
    let mut server = start(&settings, &more);
    let sent = reference(folder.path());
    for round in 0..2 {
        publish(&server, "live/vod", 0).finish();
        wait_until("the files are complete", || {
            let log = server.log();
            log.lines().filter(|line| line.contains(" recorded ")).count() == 4 * (round + 1)
        });
    }
    for format in ["flv", "ts", "mp4"] {
        let files = files(folder.path(), format);
        assert_eq!(files.len(), 2, "{files:?}");
        for file in files {
            assert_alike(&sent, &frames(&file), AUDIO_BEFORE_PICTURE, times(format));
        }
    }
    // Read as slowly as it plays: the session lasts although the playlist is asked for once.
    let url = server.url("http+hls", "vod").replace(".m3u8", "/record.m3u8");
    let read = Frames::reader(&format!("-re -i {url}"), "h264", false).finish();
    let got = Frames::parse(&read).count("video0");
    assert_eq!(got, 2 * sent.count("video0"));
    server.assert_healthy();
}

#[test]
fn files_are_cut_by_time_and_lose_nothing() {
    let (folder, settings) = folder();
    let server = start(&settings, &["record.max_duration=2s"]);
    let sent = reference(folder.path());
    publish(&server, "live/cut", 0).finish();
    for format in ["flv", "ts", "mp4"] {
        wait_until("all files are complete", || {
            let name = match format {
                "ts" => "MPEG-TS".to_owned(),
                other => other.to_uppercase(),
            };
            let format = format!("format={name} ");
            server.log().lines().filter(|l| l.contains(" recorded ") && l.contains(&format)).count()
                == 3
        });
        let files = files(folder.path(), format);
        assert_eq!(files.len(), 3, "{files:?}");
        let mut hashes = Vec::new();
        for file in &files {
            let video = frames(file).track("video0");
            assert!((video[0].0 - times(format).shift).abs() <= MILLISECOND, "{:?}", video[0]);
            hashes.extend(video.into_iter().map(|(_, _, hash)| hash));
        }
        let all: Vec<String> = sent.track("video0").into_iter().map(|(_, _, hash)| hash).collect();
        assert_eq!(hashes, all, "{format}");
    }
}

#[test]
fn a_kill_leaves_files_that_play() {
    let (folder, settings) = folder();
    let server = start(&settings, &[]);
    let sent = reference(folder.path()).track("video0");
    let _publisher = publish(&server, "live/kill", -1);
    wait_until("there are two segments", || {
        let playlist = folder.path().join("hls/live/kill/record.m3u8");
        fs::read_to_string(playlist).is_ok_and(|text| text.matches("#EXTINF").count() >= 3)
    });
    server.signal("KILL");
    for format in ["flv", "ts", "mp4", "hls"] {
        let file = match format {
            "hls" => folder.path().join("hls/live/kill/record.m3u8"),
            format => files(folder.path(), format).remove(0),
        };
        let input = match format {
            // Nobody has said that it is over: a player would wait for more.
            "hls" => format!("-live_start_index 0 -t 2 -i {}", file.display()),
            _ => format!("-i {}", file.display()),
        };
        let got = Frames::parse(&Frames::reader(&input, "h264", false).finish()).track("video0");
        assert!(got.len() >= 45, "{format}: {} pictures", got.len());
        for (number, (sent, got)) in sent.iter().zip(&got).take(got.len() - 1).enumerate() {
            assert_eq!(sent.2, got.2, "{format}: picture {number}");
        }
    }
}

#[test]
fn a_recording_that_cannot_be_written_harms_nobody() {
    let (folder, mut settings) = folder();
    fs::write(folder.path().join("flv"), "not a folder").expect("a file");
    settings.retain(|setting| !setting.starts_with("stream.record"));
    let mut server = start(&settings, &["stream.record=flv"]);
    let _publisher = publish(&server, "live/fails", -1);
    let line = server.wait_for_log(&["ERROR", "recording ended", "cannot make"]);
    assert!(line.contains("something else has the name of a folder there"), "{line}");
    let url = server.url("http", "live/fails");
    let frames = Frames::reader(&format!("-t 1 -i {url}"), "h264", false).finish();
    assert!(Frames::parse(&frames).count("video0") >= 20);
    server.assert_healthy();
}

#[test]
fn who_asks_for_a_recording_hears_why_there_is_none() {
    let (folder, mut settings) = folder();
    for name in ["flv", "hls"] {
        fs::write(folder.path().join(name), "not a folder").expect("a file");
    }
    settings.retain(|setting| !setting.starts_with("stream.record"));
    let mut server = start(&settings, &["stream.record=hls"]);
    let _publisher = publish(&server, "live/why", -1);
    let start = |stream: &str, format: &str| {
        server.v1("POST", "record/start", &json!({ "stream": stream, "format": format }))
    };
    let recorded = || server.v1("GET", "streams/live/why", &Value::Null).1["recording"].take();
    wait_until("pictures come", || server.is_live("live/why"));
    let (status, answer) = start("live/why", "flv");
    let error = answer["error"].as_str().expect("an error");
    assert_eq!(status, 500, "{error}");
    for part in ["cannot make", "/flv/live/why-", "move it away", "record.flv"] {
        assert!(error.contains(part), "{error}");
    }
    // Segments are written when they are complete, so it is known later.
    wait_until("nothing is recorded", || recorded() == json!([]));
    // The answer to a request that succeeds comes when the file is there.
    assert_eq!(start("live/why", "ts"), (200, json!({ "recording": ["ts"] })));
    let file = files(folder.path(), "ts").remove(0);
    assert!(fs::metadata(file).expect("a file").len() > 0);
    let url = server.url("rtmp", "live/sound");
    let tone = "-re -f lavfi -i sine=sample_rate=8000 -c:a pcm_alaw -f flv";
    let _sound = ffmpeg(&format!("{tone} {url}"));
    wait_until("sound comes", || server.is_live("live/sound"));
    let (status, answer) = start("live/sound", "ts");
    let error = answer["error"].as_str().expect("an error");
    assert_eq!(status, 409, "{error}");
    assert!(error.contains("nothing that MPEG-TS can carry: record it in another"), "{error}");
    server.assert_healthy();
}

#[test]
fn recordings_are_listed_and_fetched_in_part() {
    let (folder, settings) = folder();
    let mut server = start(&settings, &[]);
    publish(&server, "live/list", 0).finish();
    server.wait_for_log(&[" recorded ", "format=MP4"]);
    server.wait_for_log(&[" recorded ", "segments="]);
    let list = server.api("/api/record/list");
    let listed = list["data"]["files"].as_array().expect("files");
    let formats: Vec<_> = listed.iter().filter_map(|file| file["format"].as_str()).collect();
    for format in ["flv", "ts", "mp4", "hls"] {
        assert!(formats.contains(&format), "{list}");
    }
    let mp4 = listed.iter().find(|file| file["format"] == "mp4").expect("an MP4 file");
    let path = mp4["path"].as_str().expect("a path");
    let ask = |path: &str, range: &str| {
        let mut raw = Raw::connect(&server, "api");
        let lines = format!("Host: localhost\r\nConnection: close\r\n{range}");
        raw.send(format!("GET {path} HTTP/1.1\r\n{lines}\r\n").as_bytes());
        let bytes = raw.read_to_end();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        (String::from_utf8_lossy(&bytes[..end]).into_owned(), bytes[end..].to_vec())
    };
    let whole = fs::read(files(folder.path(), "mp4").remove(0)).expect("a file");
    let (head, body) = ask(path, "");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("video/mp4"), "{head}");
    assert_eq!(body, whole);
    let (head, body) = ask(path, "Range: bytes=1000-1999\r\n");
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert_eq!(body, whole[1000..2000]);
    // Other files of that folder are none.
    let beside = files(folder.path(), "mp4").remove(0).with_file_name("secret.toml");
    fs::write(&beside, "token = 'x'").expect("a file");
    for bad in [
        "/record/mp4/../../../etc/passwd",
        "/record/mp4/%2e%2e/%2e%2e/etc/passwd",
        "/record/x/y",
        "/record/mp4/live/secret.toml",
    ] {
        let (head, _) = ask(bad, "");
        assert!(head.starts_with("HTTP/1.1 4"), "{bad}: {head}");
    }
    server.assert_healthy();
}

/// Milliseconds of RTMP leave no trace: frames of sound lie edge to edge, for ten minutes.
#[test]
fn sound_has_neither_gaps_nor_overlaps() {
    for rate in [44_100i64, 48_000] {
        let (folder, settings) = folder();
        let mut server = start(&settings, &["hls.container=fmp4"]);
        let input = material(&format!("long-{rate}.m4a")).to_string_lossy().into_owned();
        let url = server.url("rtmp", "live/long");
        headwater(&["push", "--flat-out", &input, &url]).finish();
        for format in ["FLV", "MPEG-TS", "MP4"] {
            server.wait_for_log(&[" recorded ", &format!("format={format}")]);
        }
        server.wait_for_log(&[" recorded ", "segments="]);
        let mut paths: Vec<_> = ["mp4", "ts"].map(|f| files(folder.path(), f).remove(0)).into();
        paths.push(folder.path().join("hls/live/long/record.m3u8"));
        for path in paths {
            let arguments = ["-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0"];
            let shown = path.display().to_string();
            let text = program("ffprobe", arguments.into_iter().chain([shown.as_str()])).finish();
            let times: Vec<f64> =
                text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
            assert!(times.len() as i64 >= 600 * rate / 1024 - 2, "{shown}: {}", times.len());
            let exact = |number: usize| times[0] + number as f64 * 1024.0 / rate as f64;
            // A tick of 90 kHz, in which transport streams tell the time.
            let off = (0..times.len()).find(|n| (times[*n] - exact(*n)).abs() > 1.5 / 90_000.0);
            assert_eq!(off, None, "{shown} at {:?}", off.map(|n| (times[n], exact(n))));
        }
        server.assert_healthy();
    }
}

/// A stream that ends and comes back at once has a file each time.
#[test]
fn a_publisher_that_returns_at_once_is_recorded() {
    let (folder, settings) = folder();
    let mut server = start(&settings, &[]);
    let input = folder.path().join("short.flv").display().to_string();
    let whole = material("h264-aac.mp4");
    ffmpeg(&format!("-y -t 1 -i {} -c copy -f flv {input}", whole.display())).finish();
    for _ in 0..4 {
        headwater(&["push", "--flat-out", &input, &server.url("rtmp", "live/again")]).finish();
    }
    for format in ["FLV", "MPEG-TS", "MP4"] {
        let line = format!("format={format} ");
        wait_until("all are complete", || {
            let log = server.log();
            log.lines().filter(|l| l.contains(" recorded ") && l.contains(&line)).count() == 4
        });
    }
    server.assert_healthy();
}
