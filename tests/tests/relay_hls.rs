//! HLS as a source: ours and that of others, as transport streams and as fragmented MP4.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use headwater_e2e::{
    Frames, Program, Server, assert_piece, clip, ffmpeg, free_port, material, program, wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn sent(file: &str, codec: &str) -> Frames {
    let input = format!("-i {}", material(file).display());
    Frames::parse(&Frames::reader(&input, codec, false).finish())
}

/// What a viewer sees of a stream in so many seconds.
fn seen(server: &Server, stream: &str, codec: &str, seconds: u32) -> Frames {
    let scheme = if codec == "hevc" { "http+ts" } else { "http" };
    let input = format!("-t {seconds} -i {}", server.url(scheme, stream));
    Frames::parse(&Frames::reader(&input, codec, false).finish())
}

/// A server of files; its port.
fn files(folder: &Path) -> (Program, u16) {
    let port = free_port();
    let (port_text, folder) = (port.to_string(), folder.display().to_string());
    let arguments =
        ["-m", "http.server", &port_text, "--bind", "127.0.0.1", "--directory", &folder];
    let server = program("python3", arguments);
    wait_until("the files are served", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (server, port)
}

/// Pulls a stream from an address until it is there.
fn pull(server: &Server, stream: &str, from: &str) -> Value {
    let order = json!({ "stream": stream, "from": [from] });
    let (status, body) = server.v1("POST", "pulls", &order);
    assert_eq!(status, 200, "{from}: {body}");
    wait_until("the stream is pulled", || server.is_live(stream));
    body
}

fn last_error(server: &Server, stream: &str) -> String {
    let (_, body) = server.v1("GET", "pulls", &Value::Null);
    let pulls = body["items"].as_array().expect("a list").clone();
    let found = pulls.iter().find(|pull| pull["stream"] == *stream);
    found.map(|pull| pull["last_error"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[test]
fn our_own_hls_is_pulled_in_both_containers() {
    let sent = sent("h264-aac.mp4", "h264");
    for container in ["ts", "fmp4"] {
        for key in ["", "hls.session_key=secret"] {
            let container = format!("hls.container=\"{container}\"");
            let mut settings = vec![container.as_str(), "hls.segment_duration=1s"];
            settings.extend(Some(key).filter(|key| !key.is_empty()));
            let origin = Server::start(&settings);
            let _clip = clip::on(&origin, "live/clip");
            let here = Server::start(&["relay.tls_verify=false"]);
            let scheme = if key.is_empty() { "https+hls" } else { "http+hls" };
            let body = pull(&here, "live/here", &origin.url(scheme, "live/clip"));
            assert_eq!(body["session"], "HLSPULL1", "{body}");
            assert_piece(&sent, &seen(&here, "live/here", "h264", 4), 60);
            assert_eq!(here.v1("DELETE", "pulls?stream=live/here", &Value::Null).0, 200);
            wait_until("nothing is left", || {
                here.v1("GET", "sessions", &Value::Null).1["total"] == 0
            });
        }
    }
}

#[test]
fn frames_come_at_their_times_and_not_in_bursts() {
    let origin = Server::start(&["hls.segment_duration=2s", "hls.container=\"ts\""]);
    let _clip = clip::on(&origin, "live/clip");
    let here = Server::start(&[]);
    pull(&here, "live/here", &origin.url("http+hls", "live/clip"));
    // Something comes all the time, over the time of several segments.
    let mut viewer = TcpStream::connect(("127.0.0.1", here.port("http"))).expect("a listener");
    viewer.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    viewer.write_all(b"GET /live/here.flv HTTP/1.0\r\n\r\n").expect("a request");
    let mut room = vec![0; 1 << 16];
    let (start, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    while start.elapsed() < Duration::from_secs(7) {
        assert!(viewer.read(&mut room).expect("media") > 0, "it has ended");
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    assert!(longest < Duration::from_millis(1_000), "{longest:?} without a frame");
}

#[test]
fn what_ffmpeg_cuts_is_pulled() {
    let folder = TempDir::new().expect("a folder");
    let (_server, port) = files(folder.path());
    let here = Server::start(&["stream.grace=0s", "relay.retry_min=10s"]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("key"), b"sixteen letters.").expect("a key");
    for (name, vector) in [("numbered", ""), ("vector", "0123456789abcdef0123456789abcdef\n")] {
        let text = format!("/key\n{}\n{vector}", path("key"));
        std::fs::write(path(name), text).expect("what ffmpeg is told of the key");
    }
    let [numbered, vector] =
        ["numbered", "vector"].map(|name| format!("-hls_key_info_file {}", path(name)));
    for (name, file, codec, how) in [
        ("ts", "h264-aac.mp4", "h264", ""),
        (
            "mp4",
            "h264-aac.mp4",
            "h264",
            "-hls_segment_type fmp4 -hls_fmp4_init_filename mp4-init.mp4",
        ),
        (
            "hevc",
            "hevc-aac.mp4",
            "hevc",
            "-hls_segment_type fmp4 -tag:v hvc1 -hls_fmp4_init_filename hevc-init.mp4",
        ),
        ("one-ts", "h264-aac.mp4", "h264", "-hls_flags single_file"),
        ("one-mp4", "h264-aac.mp4", "h264", "-hls_segment_type fmp4 -hls_flags single_file"),
        ("sound", "audio-only.m4a", "aac", ""),
        ("key-numbered", "h264-aac.mp4", "h264", &numbered),
        ("key-vector", "h264-aac.mp4", "h264", &vector),
    ] {
        let input = material(file).display().to_string();
        // Whole: what has an end is pulled from its beginning to its end.
        ffmpeg(&format!(
            "-i {input} -c copy -f hls -hls_time 1 -hls_playlist_type vod {how} {}/{name}.m3u8",
            folder.path().display()
        ))
        .finish();
        let sent = sent(file, codec);
        let begun = Instant::now();
        let stream = format!("live/{name}");
        let waiting = here.url(if codec == "hevc" { "http+ts" } else { "http" }, &stream);
        let reader = Frames::reader(&format!("-i {waiting}"), codec, false);
        let from = format!("http://127.0.0.1:{port}/{name}.m3u8");
        let order = json!({ "stream": stream, "from": [from], "attempts": 1 });
        assert_eq!(here.v1("POST", "pulls", &order).0, 200);
        let got = Frames::parse(&reader.finish());
        // The clip has six seconds; the rest is for the programs.
        let took = begun.elapsed();
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs(9), "{name}: {took:?}");
        for track in sent.names() {
            let (sent, got) = (sent.hashes(track), got.hashes(track));
            if codec == "hevc" && track == "audio0" {
                // Its frames have other headers in transport streams.
                assert!(got.len() + 2 >= sent.len(), "{name}: {} of {}", got.len(), sent.len());
                continue;
            }
            // Streams without pictures are joined where they are.
            let late = usize::from(name == "sound");
            assert!(got.len() + late >= sent.len(), "{name}: {} of {track}", got.len());
            assert!(sent.ends_with(&got), "{name}: {track} has other frames");
        }
        wait_until("the pull is done", || {
            here.v1("GET", "pulls", &Value::Null).1["items"].as_array().is_some_and(Vec::is_empty)
        });
    }
}

#[test]
fn a_live_playlist_with_sound_of_its_own_is_pulled() {
    let folder = TempDir::new().expect("a folder");
    let (_server, port) = files(folder.path());
    let file = material("h264-aac.mp4").display().to_string();
    let at = folder.path().display().to_string();
    let _encoder = program(
        "ffmpeg",
        [
            "-nostdin",
            "-v",
            "error",
            "-re",
            "-stream_loop",
            "-1",
            "-i",
            &file,
            "-c",
            "copy",
            "-map",
            "0:v",
            "-map",
            "0:a",
            "-map",
            "0:v",
            "-f",
            "hls",
            "-hls_time",
            "1",
            "-hls_flags",
            "delete_segments+independent_segments",
            "-var_stream_map",
            "v:0,agroup:sound a:0,agroup:sound,default:yes v:1,agroup:sound",
            "-master_pl_name",
            "all.m3u8",
            "-hls_segment_filename",
            &format!("{at}/%v-%d.ts"),
            &format!("{at}/%v.m3u8"),
        ],
    );
    wait_until("there are segments", || folder.path().join("all.m3u8").exists());
    wait_until("there is sound", || {
        let text = std::fs::read_to_string(folder.path().join("1.m3u8")).unwrap_or_default();
        text.matches("#EXTINF").count() >= 2
    });
    let here = Server::start(&[]);
    pull(&here, "live/here", &format!("http://127.0.0.1:{port}/all.m3u8"));
    assert_piece(&sent("h264-aac.mp4", "h264"), &seen(&here, "live/here", "h264", 5), 80);
}

#[test]
fn what_cannot_be_pulled_is_said() {
    let folder = TempDir::new().expect("a folder");
    let (_server, port) = files(folder.path());
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a file");
    };
    write("key.m3u8", "#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXTINF:1,\na.ts\n");
    write(
        "no-key.m3u8",
        "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"page.html\"\n#EXTINF:1,\npage.html\n",
    );
    write("page.m3u8", "#EXTM3U\n#EXTINF:1,\npage.html\n#EXT-X-ENDLIST\n");
    write("page.html", "<html>");
    write("old.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ngone.ts\n");
    let settings = ["relay.retry_min=200ms", "relay.retry_max=200ms", "relay.source_idle=2s"];
    let here = Server::start(&settings);
    for (name, words) in [
        ("key.m3u8", "encrypted (SAMPLE-AES)"),
        ("no-key.m3u8", "has 6 bytes"),
        ("old.m3u8", "404"),
        ("none.m3u8", "404"),
    ] {
        let stream = format!("live/{name}");
        let from = format!("http://127.0.0.1:{port}/{name}");
        let order = json!({ "stream": stream, "from": [from] });
        assert_eq!(here.v1("POST", "pulls", &order).0, 200);
        wait_until(&format!("{name} is refused"), || last_error(&here, &stream).contains(words));
        assert!(!here.is_live(&stream));
    }
    // A server that pulls its own HLS notices.
    let from = here.url("http+hls", "live/circle");
    let order = json!({ "stream": "live/circle", "from": [from] });
    assert_eq!(here.v1("POST", "pulls", &order).0, 200);
    wait_until("the circle is noticed", || {
        last_error(&here, "live/circle").contains("from this server itself")
    });
}

#[test]
fn those_who_read_hls_keep_a_pull() {
    let origin = Server::start(&[]);
    let _clip = clip::on(&origin, "live/clip");
    let from = origin.url("rtmp", "live/clip");
    let pull = format!("relay.pull=[{{stream=\"edge/*\",from=[\"{from}\"],stop_after=\"0s\"}}]");
    // Segments that take longer than the pull is kept without viewers.
    let edge = Server::start(&[
        &pull,
        "hls.segment_duration=2s",
        "hls.low_latency=false",
        "hls.container=\"fmp4\"",
    ]);
    let input = format!("-t 6 -i {}", edge.url("http+hls", "edge/clip"));
    let got = Frames::parse(&Frames::reader(&input, "h264", false).finish());
    assert_piece(&sent("h264-aac.mp4", "h264"), &got, 100);
    let log = edge.log();
    assert_eq!(log.matches("is pulled no more").count(), 0, "it was ended while somebody watched");
    wait_until("nobody asks any more", || {
        edge.v1("GET", "pulls", &Value::Null).1["items"].as_array().is_some_and(Vec::is_empty)
    });
}

#[test]
fn times_may_begin_anew_at_a_discontinuity() {
    let folder = TempDir::new().expect("a folder");
    let (_server, port) = files(folder.path());
    let here = Server::start(&["stream.grace=0s"]);
    let sent = sent("h264-aac.mp4", "h264");
    for (name, how) in
        [("ts", ""), ("mp4", "-hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4")]
    {
        let path = folder.path().join(format!("{name}.m3u8"));
        ffmpeg(&format!(
            "-i {} -c copy -f hls -hls_time 2 -hls_playlist_type vod {how} {}",
            material("h264-aac.mp4").display(),
            path.display()
        ))
        .finish();
        // The same segments once more, with the same times.
        let text = std::fs::read_to_string(&path).expect("a playlist");
        let (text, _) = text.split_once("#EXT-X-ENDLIST").expect("an end");
        let segments = text.find("#EXTINF").expect("a segment");
        let twice = format!("{text}#EXT-X-DISCONTINUITY\n{}#EXT-X-ENDLIST\n", &text[segments..]);
        std::fs::write(&path, twice).expect("a file");
        let stream = format!("live/{name}");
        let reader = Frames::reader(&format!("-i {}", here.url("http", &stream)), "h264", false);
        let from = format!("http://127.0.0.1:{port}/{name}.m3u8");
        let order = json!({ "stream": stream, "from": [from], "attempts": 1 });
        assert_eq!(here.v1("POST", "pulls", &order).0, 200);
        let got = Frames::parse(&reader.finish());
        for track in sent.names() {
            let (sent, got) = (sent.hashes(track), got.hashes(track));
            assert!(got == [&sent[..], &sent].concat(), "{name}: {} of {track}", got.len());
        }
        let times: Vec<i64> = got.track("video0").iter().map(|(dts, ..)| *dts).collect();
        let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| (0..500_000).contains(step)), "{name}: {steps:?}");
    }
}
