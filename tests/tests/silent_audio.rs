//! Cameras without sound, with `stream.silent_audio`: every way out has silence, edge to edge, and
//! the pictures as they were; sound that comes late takes its place, and who has sound hears none.

use std::collections::HashSet;

use headwater_e2e::device::{Elementary, device};
use headwater_e2e::{
    Frames, Program, Server, Times, Track, assert_alike, ffmpeg, material, program, root,
    wait_until,
};
use serde_json::{Value, json};

/// How long a frame of AAC is, in samples.
const SAMPLES: i64 = 1024;

/// Half a frame of sound: what containers move it by to close a gap that is smaller.
const HALF_FRAME: i64 = 11_700;

/// Pictures from one key frame to the next: viewers begin with the newest when it is known what the
/// tracks are.
const GOP: usize = 25;

/// Sound that was sent before the first picture is not for viewers who begin with a picture.
const AUDIO_BEFORE_PICTURE: usize = 6;

/// Frames of sound that the last packets of RTSP may take with them when a goodbye overtakes them.
const LAST_PACKETS: usize = 40;

fn start(settings: &[&str]) -> Server {
    let all = ["stream.silent_audio=true", "stream.grace=0s", "hls.segment_duration=1s"];
    let hls = ["hls.on_demand=false", "hls.segments=100", "hls.low_latency=false"];
    Server::start(&[&all[..], &hls, settings].concat())
}

/// Writes what would be published into a file: the frames that are sent.
fn reference(server: &Server, source: &str) -> Frames {
    let flv = server.file("reference.flv");
    ffmpeg(&format!("-y {} -c copy -f flv {}", source.replace("-re ", ""), flv.display())).finish();
    Frames::parse(&Frames::reader(&format!("-i {}", flv.display()), "h264", false).finish())
}

/// Publishes inputs to their end.
fn publish(server: &Server, scheme: &str, source: &str) -> Program {
    let url = server.url(scheme, "live/camera");
    let format = if scheme == "rtmp" { "flv" } else { "rtsp -rtsp_transport tcp" };
    ffmpeg(&format!("{source} -c copy -f {format} {url}"))
}

/// Starts to read a way out, such as `http+ts`.
fn read(server: &Server, way: &str) -> Program {
    let url = match way {
        "http+hls" => server.url(way, "camera"),
        _ => server.url(way, "live/camera"),
    };
    let options = match way {
        "http+hls" => "-live_start_index 0",
        "rtsp" => "-rtsp_transport tcp",
        _ => "",
    };
    // Transport streams have a header before each frame of AAC.
    let filter = if way == "http+ts" { "-bsf:a aac_adtstoasc" } else { "" };
    Frames::reader(&format!("{options} -i {url} {filter}"), "h264", false)
}

/// Publishes, with viewers that wait before, and one of HLS; what was sent, and what each of them got.
fn run(server: &Server, scheme: &str, source: &str, ways: &[&str]) -> (Frames, Vec<Frames>) {
    let sent = reference(server, source);
    let viewers: Vec<_> = ways.iter().map(|way| read(server, way)).collect();
    wait_until("all viewers wait", || server.viewers("live/camera") == ways.len());
    let publisher = publish(server, scheme, source);
    wait_until("there are segments", || {
        let (status, _, text) = server.ask("http", "GET", "/hls/camera.m3u8", &[], "");
        status == 200 && text.matches("#EXTINF").count() >= 2
    });
    let hls = read(server, "http+hls");
    publisher.finish();
    let got = viewers.into_iter().chain([hls]).map(|viewer| Frames::parse(&viewer.finish()));
    (sent, got.collect())
}

/// Fails unless the pictures are those that were sent, to the last and but for at most `late` in the
/// beginning, moved by one and the same time; that time.
fn assert_pictures(sent: &Frames, got: &Frames, late: usize, way: &str) -> i64 {
    let (sent, got) = (sent.track("video0"), got.track("video0"));
    let missing = sent.len().checked_sub(got.len()).filter(|missing| *missing <= late);
    let missing = missing.unwrap_or_else(|| panic!("{way}: {} of {}", got.len(), sent.len()));
    let sent = &sent[missing..];
    // ffmpeg knows no time of the first picture that it reads over RTP.
    let shift = got[1].1 - sent[1].1;
    for (number, (sent, got)) in sent.iter().zip(&got).enumerate() {
        assert_eq!(sent.2, got.2, "{way}: picture {number} is another");
        let off = got.1 - sent.1 - shift;
        assert!(off.abs() <= 1_100 || number == 0, "{way}: picture {number} is {off} µs off");
    }
    shift
}

/// Fails unless each frame begins where the one before ends, to what the way out rounds.
fn assert_edge_to_edge(sound: &Track, rate: i64, way: &str) {
    let rounding = match way {
        "http" | "rtmp" => 501,
        // Ticks of 90 kHz.
        "http+ts" => 12,
        // ffmpeg brings RTP and HLS to the microsecond.
        _ => 12,
    };
    let start = sound[0].0;
    for (number, frame) in (0..).zip(sound) {
        let expected = start + number * SAMPLES * 1_000_000 / rate;
        let off = frame.0 - expected;
        assert!(off.abs() <= 2 * rounding, "{way}: silence {number} is {off} µs off");
        assert_eq!(frame.2, sound[0].2, "{way}: frame {number} is no silence");
    }
}

/// Fails unless silence lies under all pictures.
fn assert_covers(got: &Frames, way: &str) {
    let (pictures, sound) = (got.track("video0"), got.track("audio0"));
    assert_edge_to_edge(&sound, 48_000, way);
    let (first, last) = (sound[0].0 - pictures[1].1 + 40_000, pictures.last().map(|f| f.1));
    assert!(first.abs() <= 1_100, "{way}: silence begins {first} µs after the pictures");
    let missing = last.expect("pictures") - sound.last().expect("silence").0;
    assert!((21_000..44_000).contains(&missing), "{way}: silence ends {missing} µs early");
}

/// Pictures alone, in real time.
fn camera() -> String {
    format!("-re -i {}", material("video-only.mp4").display())
}

/// A camera whose sound begins after three seconds.
fn late(sound: &str) -> String {
    let pictures = material("video-only.mp4");
    format!("-re -i {} -itsoffset 3 -re -i {sound} -map 0:v -map 1:a", pictures.display())
}

#[test]
fn a_camera_over_rtmp_has_silence_everywhere() {
    for container in ["hls.container=ts", "hls.container=fmp4"] {
        let mut server = start(&[container]);
        let ways = ["http", "rtmp", "http+ts", "http+mp4", "rtsp"];
        let (sent, got) = run(&server, "rtmp", &camera(), &ways);
        for (way, got) in ways.iter().chain(&[container]).zip(&got) {
            eprintln!("looking at {way}");
            assert_eq!(got.names(), ["audio0", "video0"], "{way}");
            assert_pictures(&sent, got, 0, way);
            assert_covers(got, way);
        }
        let (_, _, list) = server.ask("http", "GET", "/hls/live/camera/index.m3u8", &[], "");
        assert!(list.contains("mp4a.40.2"), "{list}");
        let (_, _, list) = server.ask("http", "GET", "/hls/camera.m3u8", &[], "");
        assert!(!list.contains("DISCONTINUITY\n"), "{list}");
        server.assert_healthy();
    }
}

#[test]
fn a_camera_over_rtsp_has_silence_everywhere() {
    let mut server = start(&[]);
    let ways = ["http", "http+mp4", "rtsp"];
    let (sent, got) = run(&server, "rtsp", &camera(), &ways);
    for (way, got) in ways.iter().chain(&["hls"]).zip(&got) {
        eprintln!("looking at {way}");
        assert_pictures(&sent, got, 0, way);
        assert_covers(got, way);
    }
    server.assert_healthy();
}

/// Publishes a camera with late sound, and looks at what comes: silence, then all of the sound.
fn check_late(sound: &str, rate: i64, ways: &[&str]) {
    let mut server = start(&["hls.container=fmp4"]);
    let (sent, got) = run(&server, "rtmp", &late(sound), ways);
    for (way, got) in ways.iter().chain(&["hls"]).zip(&got) {
        eprintln!("looking at {way}");
        let shift = assert_pictures(&sent, got, GOP, way);
        let (own, all) = (sent.track("audio0"), got.track("audio0"));
        let begins = all.len().checked_sub(own.len()).expect("more than was sent");
        let (silence, rest) = all.split_at(begins);
        assert_edge_to_edge(&silence.to_vec(), rate, way);
        for (number, (own, got)) in own.iter().zip(rest).enumerate() {
            assert_eq!(own.2, got.2, "{way}: sound {number} is another");
            let off = got.0 - own.0 - shift;
            assert!(off.abs() <= HALF_FRAME, "{way}: sound {number} is {off} µs off");
        }
        let end = silence.last().expect("silence").0 + SAMPLES * 1_000_000 / rate;
        let hole = rest[0].0 - end;
        assert!((-600..24_000).contains(&hole), "{way}: {hole} µs between silence and sound");
    }
    let (_, _, list) = server.ask("http", "GET", "/hls/camera.m3u8", &[], "");
    assert!(!list.contains("DISCONTINUITY\n"), "{list}");
    server.assert_healthy();
}

#[test]
fn sound_that_comes_late_takes_the_place_of_silence() {
    let sound = material("audio-only.m4a");
    check_late(&sound.to_string_lossy(), 48_000, &["http", "http+ts", "http+mp4", "rtsp"]);
}

#[test]
fn sound_of_a_device_that_comes_late_takes_the_place_of_silence() {
    let mut server = start(&[]);
    let material = Elementary::of("h264-aac.mp4", "h264", Some("aac"));
    for transport in ["udp", "tcp"] {
        let stream = format!("live/{transport}");
        let order = json!({ "stream": stream, "transport": transport });
        let (status, body) = server.v1("POST", "receivers", &order);
        assert_eq!(status, 200, "{body}");
        let arguments = format!(
            "--to 127.0.0.1:{} --media-transport {transport} --trait hik --audio-after 3",
            body["port"]
        );
        let _device = device("send", &material, &arguments);
        wait_until("it is there", || server.group(&stream)["audio_codec"] == "AAC");
        // The file is six seconds long.
        let input = format!("-t 4.5 -i {}", server.url("http", &stream));
        let got = Frames::parse(&Frames::reader(&input, "h264", false).finish());
        let own: HashSet<_> = material.sent.hashes("audio0").into_iter().collect();
        let all = got.track("audio0");
        let begins = all.iter().position(|frame| own.contains(&frame.2)).expect("sound");
        let (silence, sound) = all.split_at(begins);
        assert!(silence.len() > 40 && sound.len() > 30, "{} and {}", silence.len(), sound.len());
        assert_edge_to_edge(&silence.to_vec(), 48_000, "http");
        let end = silence.last().expect("silence").0 + SAMPLES * 1_000_000 / 48_000;
        let hole = sound[0].0 - end;
        assert!((-600..24_000).contains(&hole), "{transport}: {hole} µs before the sound");
        for pair in sound.windows(2) {
            assert!(own.contains(&pair[1].2), "{transport}: it is the device's");
            let step = pair[1].0 - pair[0].0;
            assert!((step - 23_220).abs() <= 1_100, "{transport}: {step} µs between frames");
        }
    }
    server.assert_healthy();
}

#[test]
fn silence_is_as_the_sound_that_was_announced() {
    // One channel of 44.1 kHz.
    let sound = material("h264-aac.mp4");
    check_late(&sound.to_string_lossy(), 44_100, &["http", "http+ts", "http+mp4", "rtsp"]);
}

#[test]
fn sound_of_another_kind_takes_the_place_of_silence() {
    let mut server = start(&["hls.container=fmp4"]);
    let sound = server.file("surround.m4a");
    let tone = "-f lavfi -i sine=sample_rate=48000 -ac 6 -t 4 -c:a aac";
    ffmpeg(&format!("{tone} {}", sound.display())).finish();
    let (sent, got) = run(&server, "rtmp", &late(&sound.to_string_lossy()), &["http", "rtmp"]);
    for (way, got) in ["http", "rtmp"].iter().zip(&got) {
        assert_eq!(assert_pictures(&sent, got, GOP, way), 0);
        let (own, all) = (sent.track("audio0"), got.track("audio0"));
        let begins = all.len().checked_sub(own.len()).expect("more than was sent");
        assert_edge_to_edge(&all[..begins].to_vec(), 48_000, way);
        assert_eq!(all[begins..], own, "{way}");
        assert!(all[begins - 1].0 + 21_000 <= own[0].0, "{way}: silence reaches into the sound");
    }
    // Another decoder is needed, from the next key frame on.
    let hls = got.last().expect("HLS");
    assert_pictures(&sent, hls, 0, "hls");
    let (own, all) = (sent.track("audio0"), hls.track("audio0"));
    let tail: Vec<_> = own.iter().rev().map(|frame| &frame.2).collect();
    let same = all.iter().rev().zip(tail).take_while(|(got, own)| got.2 == **own).count();
    assert!(own.len() - same <= 47, "{same} of {} frames of sound", own.len());
    let (_, _, list) = server.ask("http", "GET", "/hls/camera.m3u8", &[], "");
    assert_eq!(list.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{list}");
    server.assert_healthy();
}

#[test]
fn who_has_sound_hears_no_silence() {
    let source = format!("-re -i {}", material("h264-aac.mp4").display());
    for scheme in ["rtmp", "rtsp"] {
        let mut server = start(&[]);
        let (sent, got) = run(&server, scheme, &source, &["http"]);
        if scheme == "rtmp" {
            assert_alike(&sent, &got[0], AUDIO_BEFORE_PICTURE, Times::default());
        }
        let hashes = |frames: &Frames| -> Vec<String> {
            frames.track("audio0").into_iter().map(|frame| frame.2).collect()
        };
        let (sent, got) = (hashes(&sent), hashes(&got[0]));
        let begins = sent.windows(got.len()).position(|window| window == got);
        assert!(begins.is_some_and(|at| at <= AUDIO_BEFORE_PICTURE), "{scheme}: at {begins:?}");
        assert!(got.len() + LAST_PACKETS > sent.len(), "{scheme}: {}", got.len());
        server.assert_healthy();
    }
}

#[test]
fn the_operator_sees_that_it_is_silence() {
    let mut server = start(&[]);
    let _camera = publish(&server, "rtmp", &camera());
    let mut detail = Value::Null;
    wait_until("there are two tracks", || {
        detail = server.v1("GET", "streams/live/camera", &Value::Null).1;
        detail["tracks"].as_array().map(Vec::len) == Some(2)
    });
    assert_eq!(detail["tracks"][0]["silent"], Value::Null, "{detail}");
    let sound = &detail["tracks"][1];
    assert_eq!((&sound["id"], &sound["silent"]), (&"audio0".into(), &true.into()), "{detail}");
    server.assert_healthy();
}

#[test]
fn a_web_player_plays_it_with_sound() {
    let mut server = start(&[]);
    let source = camera().replace("-re", "-re -stream_loop -1");
    let _camera = publish(&server, "rtmp", &source);
    wait_until("it is live", || server.is_live("live/camera"));
    let script = root().join("tests/browser/player.mjs").to_string_lossy().into_owned();
    let url = server.url("http+hls", "live/camera/index");
    let seen = program("node", [script.as_str(), "hls.js", &url, "3"]).finish();
    let seen: Value = serde_json::from_str(&seen).expect("JSON of the browser");
    assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
    assert_eq!(seen["fatal"].as_array().map(Vec::len), Some(0), "{seen}");
    let number = |look: &str, what: &str| seen[look][what].as_u64().expect("a number");
    assert!(number("second", "frames") > number("first", "frames") + 50, "{seen}");
    assert!(number("second", "audioBytes") > number("first", "audioBytes"), "{seen}");
    assert!(seen["codecs"][0].as_str().is_some_and(|c| c.contains("mp4a.40.2")), "{seen}");
    // One stretch without holes.
    assert_eq!(seen["second"]["buffered"].as_array().map(Vec::len), Some(1), "{seen}");
    server.assert_healthy();
}
