//! The rules of RFC 8216bis for servers, over publishers that leave, return and change.

use std::thread;
use std::time::{Duration, Instant};

use headwater_e2e::hls::{Checker, Multivariant};
use headwater_e2e::raw::Raw;
use headwater_e2e::{Program, Server, ffmpeg, material, modern_ffmpeg, wait_until};

/// How long each publisher stays; longer runs are for who has the time.
fn stay() -> Duration {
    let seconds = std::env::var("HLS_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(32)) / 4
}

fn get(server: &Server, path: &str) -> (u16, String) {
    let mut raw = Raw::connect(server, "http");
    let lines = "Host: localhost\r\nConnection: close\r\n\r\n";
    raw.send(format!("GET {path} HTTP/1.1\r\n{lines}").as_bytes());
    let text = String::from_utf8_lossy(&raw.read_to_end()).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}

fn publish(server: &Server, file: &str) -> Program {
    let (input, url) = (material(file), server.url("rtmp", "live/rules"));
    let arguments = format!("-re -stream_loop -1 -i {} -c copy -f flv {url}", input.display());
    if file.starts_with("hevc") { modern_ffmpeg(&arguments) } else { ffmpeg(&arguments) }
}

/// Looks at the playlist until `end`, whole and as a delta, at once and by waiting.
fn watch(server: &Server, checker: &mut Checker, end: Instant, low_latency: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        let next = checker
            .playlist()
            .map(|playlist| (playlist.next_number(), playlist.parts_in_progress.len()));
        let path = match (next, round % 4) {
            (Some((number, parts)), 1 | 3) if low_latency => {
                let skip = if round % 4 == 3 { "&_HLS_skip=YES" } else { "" };
                format!("/hls/rules.m3u8?_HLS_msn={number}&_HLS_part={parts}{skip}")
            }
            _ => "/hls/rules.m3u8".to_owned(),
        };
        match get(server, &path) {
            (200, text) => {
                let found = checker.check(&text, Instant::now());
                if !found.is_empty() {
                    faults.push(format!("{path}: {found:?} in\n{text}"));
                }
            }
            // While nobody publishes, a blocked request ends with that.
            (503, _) => {}
            (status, text) => faults.push(format!("{path}: {status} {text}")),
        }
        thread::park_timeout(Duration::from_millis(if low_latency { 20 } else { 200 }));
    }
    faults
}

fn check(settings: &[&str], low_latency: bool) {
    let mut all = vec!["hls.segment_duration=1s", "hls.on_demand=false", "stream.grace=30s"];
    all.extend(settings);
    let mut server = Server::start(&all);
    // The clips are played over and over, with a seam.
    let mut checker = Checker::new().uneven();
    let mut faults = Vec::new();
    for file in ["baseline.mp4", "baseline.mp4", "h264-aac.mp4", "hevc-aac.mp4"] {
        let mut publisher = publish(&server, file);
        wait_until("there is a playlist", || get(&server, "/hls/rules.m3u8").0 == 200);
        faults.extend(watch(&server, &mut checker, Instant::now() + stay(), low_latency));
        publisher.kill();
        wait_until("the publisher has gone", || !server.is_live("live/rules"));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    let last = checker.playlist().expect("a playlist");
    let listed = last.segments.iter().filter(|segment| segment.head.discontinuity).count() as u64;
    assert_eq!(last.discontinuity_sequence + listed, 3, "one for each publisher that returned");
    let (status, text) = get(&server, "/hls/rules/index.m3u8");
    assert_eq!(status, 200);
    let list = Multivariant::parse(&text).expect("a multivariant playlist");
    assert_eq!(list.faults(), Vec::<String>::new(), "{text}");
    server.assert_healthy();
}

#[test]
fn low_latency_playlists_keep_the_rules_for_servers() {
    check(&[], true);
}

#[test]
fn playlists_of_transport_streams_keep_the_rules_for_servers() {
    check(&["hls.low_latency=false", "hls.container=auto"], false);
}
