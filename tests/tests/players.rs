//! Web players in a real browser: the picture moves, the sound is decoded, and nothing is missing.

use headwater_e2e::raw::Raw;
use headwater_e2e::{Program, Server, ffmpeg, material, modern_ffmpeg, program, root, wait_until};
use serde_json::Value;

/// What the material is, for Media Source Extensions.
const MIME: &str = "video/mp4; codecs=\"avc1.64000d,mp4a.40.2\"";

fn publish(server: &Server, file: &str) -> Program {
    let (input, url) = (material(file), server.url("rtmp", "live/web"));
    let publisher =
        ffmpeg(&format!("-re -stream_loop -1 -i {} -c copy -f flv {url}", input.display()));
    wait_until("it is live", || server.is_live("live/web"));
    publisher
}

/// Plays five seconds, and looks at what was to be seen.
fn watch(server: &Server, player: &str, url: &str) -> Value {
    let script = root().join("tests/browser/player.mjs").to_string_lossy().into_owned();
    let screenshot = server.file("player.png").to_string_lossy().into_owned();
    let seen = program("node", [script.as_str(), player, url, "5", &screenshot, MIME]).finish();
    assert!(server.file("player.png").metadata().expect("a screenshot").len() > 1_000);
    let seen: Value = serde_json::from_str(&seen).expect("JSON of the browser");
    assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
    assert_eq!(seen["fatal"].as_array().map(Vec::len), Some(0), "{seen}");
    let number = |look: &str, what: &str| seen[look][what].as_f64().expect("a number");
    let (media, wall) = (
        number("second", "time") - number("first", "time"),
        number("second", "wall") - number("first", "wall"),
    );
    assert!(wall - media < 2.0, "it stood still: {seen}");
    // One stretch without holes.
    assert_eq!(seen["second"]["buffered"].as_array().map(Vec::len), Some(1), "{seen}");
    seen
}

/// How many pictures were shown.
fn pictures(seen: &Value) -> f64 {
    let frames = |look: &str| seen[look]["frames"].as_f64().expect("a number");
    frames("second") - frames("first")
}

fn assert_moves(seen: &Value) {
    assert_ne!(seen["first"]["picture"], seen["second"]["picture"], "{seen}");
    let shown = pictures(seen);
    assert!((100.0..170.0).contains(&shown), "{shown} pictures: {seen}");
}

fn assert_sounds(seen: &Value) {
    let bytes = |look: &str| seen[look]["audioBytes"].as_u64();
    assert!(bytes("second") > bytes("first"), "no sound: {seen}");
}

/// The number of the last segment that is listed; 0 before there is one.
fn last_segment(server: &Server) -> u64 {
    let mut raw = Raw::connect(server, "http");
    raw.send(b"GET /hls/web.m3u8 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8_lossy(&raw.read_to_end()).into_owned();
    let first = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let first: u64 = first.and_then(|number| number.parse().ok()).unwrap_or(0);
    first + text.matches("#EXTINF").count() as u64
}

/// Plays a stream of pictures and sound with each of these players.
fn play(settings: &[&str], players: &[(&str, &str)]) {
    let mut all = vec!["hls.segment_duration=1s"];
    all.extend(settings);
    let mut server = Server::start(&all);
    let _publisher = publish(&server, "h264-aac.mp4");
    for (player, scheme) in players {
        eprintln!("{player} over {scheme}");
        let seen = watch(&server, player, &server.url(scheme, "live/web"));
        assert_moves(&seen);
        assert_sounds(&seen);
        if *player == "hls.js-ll" {
            // Without parts it would stay three segments behind.
            assert!(seen["latency"].as_f64() < Some(2.7), "{seen}");
        }
    }
    server.assert_healthy();
}

#[test]
fn hls_at_low_latency() {
    play(&[], &[("hls.js-ll", "http+hls"), ("shaka-ll", "http+hls")]);
}

/// A publisher goes and comes back, also with another size of picture: players go on.
#[test]
fn hls_when_the_publisher_returns() {
    let mut server = Server::start(&["hls.segment_duration=1s", "stream.grace=30s"]);
    let url = server.url("http+hls", "live/web");
    let mut publisher = publish(&server, "baseline.mp4");
    let script = root().join("tests/browser/player.mjs").to_string_lossy().into_owned();
    let browsers = ["hls.js-ll", "shaka-ll"]
        .map(|player| program("node", [script.as_str(), player, &url, "24"]));
    for file in ["baseline.mp4", "small.mp4", "h264-aac.mp4"] {
        let enough = last_segment(&server) + 6;
        wait_until("a publisher was seen for a while", || last_segment(&server) >= enough);
        publisher.kill();
        wait_until("the publisher has gone", || !server.is_live("live/web"));
        publisher = publish(&server, file);
    }
    for browser in browsers {
        let seen: Value = serde_json::from_str(&browser.finish()).expect("JSON of the browser");
        assert_eq!(seen["fatal"].as_array().map(Vec::len), Some(0), "{seen}");
        assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
        // But for the moments of a change.
        assert!(pictures(&seen) > 24.0 * 18.0, "{seen}");
    }
    server.assert_healthy();
}

#[test]
fn hls_without_low_latency_in_the_same_playlist() {
    play(&[], &[("hls.js", "http+hls"), ("shaka", "http+hls"), ("video.js", "http+hls")]);
}

#[test]
fn hls_of_transport_streams() {
    let players = [("hls.js", "http+hls"), ("shaka", "http+hls"), ("video.js", "http+hls")];
    play(&["hls.container=ts"], &players);
}

#[test]
fn endless_transport_streams() {
    play(&[], &[("mpegts.js", "http+ts"), ("mpegts.js", "ws+ts")]);
}

#[test]
fn endless_mp4_in_media_source_extensions() {
    play(&[], &[("mse", "http+mp4"), ("ws-mse", "ws+mp4")]);
}

#[test]
fn hls_of_one_track() {
    for file in ["video-only.mp4", "audio-only.m4a"] {
        let mut server = Server::start(&["hls.segment_duration=1s"]);
        let _publisher = publish(&server, file);
        let seen = watch(&server, "hls.js", &server.url("http+hls", "live/web"));
        if file.contains("video") {
            assert_moves(&seen)
        } else {
            assert_sounds(&seen)
        }
        server.assert_healthy();
    }
}

/// Chromium plays MP3, but not in MP4.
#[test]
fn hls_with_mp3() {
    let mut server = Server::start(&["hls.segment_duration=1s"]);
    let _publisher = publish(&server, "mp3.flv");
    let seen = watch(&server, "hls.js", &server.url("http+hls", "live/web"));
    assert_moves(&seen);
    assert_sounds(&seen);
    server.assert_healthy();
}

/// The publisher's sound ends, its pictures go on.
#[test]
fn hls_when_sound_stops() {
    let mut server = Server::start(&["hls.segment_duration=1s"]);
    let (input, url) = (material("baseline.mp4"), server.url("rtmp", "live/web"));
    let input = input.display();
    let _publisher = ffmpeg(&format!(
        "-re -stream_loop -1 -i {input} -re -t 5 -i {input} -map 0:v -map 1:a -c copy \
         -max_interleave_delta 100000 -f flv {url}"
    ));
    wait_until("it is live", || server.is_live("live/web"));
    let script = root().join("tests/browser/player.mjs").to_string_lossy().into_owned();
    let hls = server.url("http+hls", "live/web");
    let seen = program("node", [script.as_str(), "hls.js-ll", &hls, "14"]).finish();
    let seen: Value = serde_json::from_str(&seen).expect("JSON of the browser");
    assert_eq!(seen["fatal"].as_array().map(Vec::len), Some(0), "{seen}");
    assert!(pictures(&seen) > 13.0 * 25.0, "{seen}");
    assert_sounds(&seen);
    server.assert_healthy();
}

/// Firefox decodes HEVC; Chromium here does not.
#[test]
fn hevc_in_firefox() {
    let mut server = Server::start(&["hls.segment_duration=1s"]);
    let (input, url) = (material("hevc-aac.mp4"), server.url("rtmp", "live/web"));
    let _publisher =
        modern_ffmpeg(&format!("-re -stream_loop -1 -i {} -c copy -f flv {url}", input.display()));
    wait_until("it is live", || server.is_live("live/web"));
    let script = root().join("tests/browser/firefox.mjs").to_string_lossy().into_owned();
    let profile = server.file("profile");
    std::fs::create_dir(&profile).expect("a folder");
    let profile = profile.to_string_lossy().into_owned();
    let url = server.url("http+hls", "live/web");
    let seen = program("node", [script.as_str(), &url, "5", &profile]).finish();
    let seen: Value = serde_json::from_str(&seen).expect("JSON of the browser");
    assert_eq!(seen["fatal"].as_array().map(Vec::len), Some(0), "{seen}");
    assert_eq!(seen["width"], 320, "{seen}");
    assert!(seen["frames"].as_u64() > Some(90), "{seen}");
    server.assert_healthy();
}
