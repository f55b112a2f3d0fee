//! HLS: what players of it get is what was published, and requests of every kind are answered.

use std::thread;
use std::time::{Duration, Instant};

use headwater_e2e::raw::Raw;
use headwater_e2e::{
    Frames, Program, Server, Times, assert_alike, ffmpeg, material, modern_ffmpeg, wait_until,
};
use testkit::ts;

/// Sound that was sent before the first picture belongs to no segment.
const AUDIO_BEFORE_PICTURE: usize = 6;

/// An answer to one request.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks for a path, with more lines for the head.
fn ask(server: &Server, path: &str, lines: &str) -> Answer {
    let mut raw = Raw::connect(server, "http");
    let lines = format!("Host: localhost\r\nConnection: close\r\n{lines}");
    raw.send(format!("GET {path} HTTP/1.1\r\n{lines}\r\n").as_bytes());
    let bytes = raw.read_to_end();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    Answer { head, body: bytes[end..].to_vec() }
}

fn get(server: &Server, path: &str) -> Answer {
    ask(server, path, "")
}

/// Publishes for ever, or to the end of the file.
fn publish(server: &Server, file: &str, stream: &str, loops: i32) -> Program {
    let (input, url) = (material(file), server.url("rtmp", stream));
    let arguments = format!("-re -stream_loop {loops} -i {} -c copy -f flv {url}", input.display());
    if file.starts_with("h264") || file.contains("only") {
        ffmpeg(&arguments)
    } else {
        modern_ffmpeg(&arguments)
    }
}

/// Waits until a stream has so many segments.
fn wait_for_segments(server: &Server, path: &str, count: usize) {
    wait_until("there are segments", || {
        let answer = get(server, path);
        answer.status() == 200 && answer.text().matches("#EXTINF").count() >= count
    });
}

/// Publishes a file, reads it by HLS from its first segment to the end, and compares.
fn check(file: &str, codec: &str, settings: &[&str], shift: i64) {
    let mut all = vec![
        "stream.grace=0s",
        "hls.on_demand=false",
        "hls.segments=100",
        "hls.segment_duration=1s",
    ];
    all.extend(settings);
    let mut server = Server::start(&all);
    let modern = !file.starts_with("h264") && !file.contains("only");
    let flv = server.file("reference.flv");
    let copy = format!("-y -i {} -c copy -f flv {}", material(file).display(), flv.display());
    if modern { modern_ffmpeg(&copy) } else { ffmpeg(&copy) }.finish();
    let sent = Frames::reader(&format!("-i {}", flv.display()), codec, modern).finish();
    let publisher = publish(&server, file, "live/hls", 0);
    wait_for_segments(&server, "/hls/hls.m3u8", 2);
    let url = server.url("http+hls", "hls");
    let adts = if shift > 0 { "-bsf:a aac_adtstoasc" } else { "" };
    let viewer = Frames::reader(&format!("-live_start_index 0 -i {url} {adts}"), codec, modern);
    publisher.finish();
    let times = Times { shift, tolerance: 1_100 };
    let got = Frames::parse(&viewer.finish());
    assert_alike(&Frames::parse(&sent), &got, AUDIO_BEFORE_PICTURE, times);
    server.assert_healthy();
}

const TS: &[&str] = &["hls.container=ts", "hls.low_latency=false"];
const FMP4: &[&str] = &["hls.container=fmp4", "hls.low_latency=false"];

/// Decoding times of transport streams are that much ahead of their clock, in microseconds.
const LEAD: i64 = 700_000;

#[test]
fn h264_with_b_frames_in_ts_and_in_mp4_and_at_low_latency() {
    check("h264-aac.mp4", "h264", TS, LEAD);
    check("h264-aac.mp4", "h264", FMP4, 0);
    check("h264-aac.mp4", "h264", &[], 0);
}

#[test]
fn one_track() {
    check("video-only.mp4", "h264", TS, LEAD);
    check("video-only.mp4", "h264", &[], 0);
    check("audio-only.m4a", "aac", &[], 0);
}

/// ffmpeg's HLS reader loses the times in the first PES packet, so the segments are read as one.
#[test]
fn segments_of_sound_follow_each_other() {
    let settings = ["hls.on_demand=false", "hls.segments=100", "hls.segment_duration=1s"];
    let mut server = Server::start(&[&settings, TS].concat());
    let flv = server.file("reference.flv");
    let input = material("audio-only.m4a");
    ffmpeg(&format!("-y -i {} -c copy -f flv {}", input.display(), flv.display())).finish();
    let sent = Frames::reader(&format!("-i {}", flv.display()), "aac", false).finish();
    publish(&server, "audio-only.m4a", "live/sound", 0).finish();
    wait_until("the publisher has gone", || !server.is_live("live/sound"));
    wait_until("the stream has ended", || {
        get(&server, "/hls/sound.m3u8").text().contains("ENDLIST")
    });
    let text = get(&server, "/hls/sound.m3u8").text();
    let files = text.lines().filter(|line| line.ends_with(".ts"));
    let bytes: Vec<u8> =
        files.flat_map(|file| get(&server, &format!("/hls/{file}")).body).collect();
    let joined = server.file("joined.ts");
    std::fs::write(&joined, &bytes).expect("a file");
    ts::check(&bytes, &ts::Rules::default()).assert_clean();
    let input = format!("-i {} -bsf:a aac_adtstoasc", joined.display());
    let got = Frames::parse(&Frames::reader(&input, "aac", false).finish());
    assert_alike(&Frames::parse(&sent), &got, 0, Times { shift: LEAD, tolerance: 1_100 });
    server.assert_healthy();
}

#[test]
fn codecs_that_need_mp4() {
    check("hevc-aac.mp4", "hevc", &[], 0);
    check("av1-opus.mp4", "av1", &[], 0);
    check("vp9-opus.mp4", "vp9", FMP4, 0);
}

#[test]
fn segments_are_made_while_somebody_asks() {
    let settings = ["hls.idle_timeout=5s", "hls.segment_duration=1s", "hls.linger=0s"];
    let mut server = Server::start(&settings);
    let _publisher = publish(&server, "h264-aac.mp4", "app/demand", -1);
    wait_until("it is live", || server.is_live("app/demand"));
    assert!(!server.log().contains("makes HLS segments"));
    let playlist = get(&server, "/hls/app/demand.m3u8");
    assert_eq!(playlist.status(), 200, "{}", playlist.text());
    assert_eq!(playlist.header("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(playlist.header("access-control-allow-origin"), Some("*"));
    server.wait_for_log(&["makes no more HLS segments", "nobody asks"]);
    let text = playlist.text();
    let segment = text.lines().find(|line| line.ends_with(".m4s")).expect("a segment");
    wait_until("its segments have gone", || {
        get(&server, &format!("/hls/app/{segment}")).status() == 404
    });
    // A new question begins anew, with higher numbers.
    let number = |text: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
        line.and_then(|number| number.parse().ok()).expect("a number")
    };
    let again = get(&server, "/hls/app/demand/playlist.m3u8").text();
    assert!(number(&again) > number(&playlist.text()), "{again}");
    assert!(again.contains("#EXT-X-DISCONTINUITY\n"), "{again}");
    server.assert_healthy();
}

#[test]
fn whoever_waits_asks() {
    // The first segment takes longer than nobody may ask for.
    let mut server = Server::start(&["hls.idle_timeout=5s", "hls.segment_duration=8s"]);
    let _publisher = publish(&server, "h264-aac.mp4", "live/slow", -1);
    wait_until("it is live", || server.is_live("live/slow"));
    let answer = get(&server, "/hls/slow.m3u8");
    assert!(answer.text().contains("#EXTINF:8."), "{}", answer.text());
    assert!(!server.log().contains("makes no more HLS segments"));
    server.assert_healthy();
}

#[test]
fn blocking_reload_answers_when_the_part_is_there() {
    let mut server = Server::start(&["hls.segment_duration=1s"]);
    let _publisher = publish(&server, "h264-aac.mp4", "live/block", -1);
    wait_until("it is live", || server.is_live("live/block"));
    wait_for_segments(&server, "/hls/block.m3u8", 2);
    let text = get(&server, "/hls/block.m3u8").text();
    let last = text.lines().rev().find(|line| line.ends_with(".m4s")).expect("a segment");
    let number: u64 = last.rsplit(['-', '.']).nth(1).and_then(|n| n.parse().ok()).expect("one");
    for (msn, part) in [(number + 1, 3), (number + 2, 0)] {
        let start = Instant::now();
        let answer = get(&server, &format!("/hls/block.m3u8?_HLS_msn={msn}&_HLS_part={part}"));
        assert_eq!(answer.status(), 200);
        let wanted = format!("-{msn}.{part}.m4s\"");
        assert!(answer.text().contains(&wanted), "{wanted} is not in {}", answer.text());
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("s-maxage=")));
    }
    // The part that is hinted at comes true, for somebody who asks for it now.
    let text = get(&server, "/hls/block.m3u8").text();
    let hint = text.rsplit("TYPE=PART,URI=\"").next().and_then(|rest| rest.split('"').next());
    let part = get(&server, &format!("/hls/{}", hint.expect("a hint")));
    assert_eq!((part.status(), &part.body[4..8]), (200, &b"moof"[..]));
    for bad in
        ["_HLS_msn=99999", "_HLS_part=1", "_HLS_msn=x", "_HLS_msn=1&_HLS_part=-1", "_HLS_skip=no"]
    {
        let answer = get(&server, &format!("/hls/block.m3u8?{bad}"));
        assert_eq!(answer.status(), 400, "{bad}: {}", answer.text());
    }
    server.assert_healthy();
}

#[test]
fn files_can_be_cached_and_fetched_in_part() {
    let mut server = Server::start(&["hls.segment_duration=1s"]);
    let _publisher = publish(&server, "h264-aac.mp4", "live/cache", -1);
    wait_until("it is live", || server.is_live("live/cache"));
    let text = get(&server, "/hls/cache.m3u8").text();
    let file = text.lines().find(|line| line.ends_with(".m4s")).expect("a segment");
    let path = format!("/hls/{file}");
    let whole = get(&server, &path);
    assert_eq!(whole.header("content-type"), Some("video/mp4"));
    assert!(whole.header("cache-control").is_some_and(|value| value.contains("immutable")));
    let tag = whole.header("etag").expect("a tag");
    let fresh = ask(&server, &path, &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((fresh.status(), fresh.body.len()), (304, 0));
    let part = ask(&server, &path, "Range: bytes=100-199\r\n");
    assert_eq!((part.status(), &part.body[..]), (206, &whole.body[100..200]));
    let beyond = ask(&server, &path, "Range: bytes=99999999-\r\n");
    assert_eq!(beyond.status(), 416);
    let zipped = ask(&server, "/hls/cache.m3u8", "Accept-Encoding: gzip\r\n");
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert_eq!(&zipped.body[..2], &[0x1F, 0x8B]);
    let list = get(&server, "/hls/live/cache/index.m3u8").text();
    assert!(list.contains("CODECS=\"avc1."), "{list}");
    assert!(list.contains("RESOLUTION=320x180,FRAME-RATE=25.000"), "{list}");
    server.assert_healthy();
}

#[test]
fn odd_and_hostile_names_are_refused_or_not_found() {
    let mut server = Server::start(&["server.wait_for_stream=0s"]);
    let long = "x".repeat(1_000);
    for (path, status) in [
        ("/hls/", 404),
        ("/hls/.m3u8", 400),
        ("/hls/nothing.m3u8", 404),
        ("/hls/..%2f..%2fetc%2fpasswd.m3u8", 400),
        ("/hls/%2e%2e/%2e%2e/x.ts", 400),
        ("/hls/../x-1-1.ts", 400),
        ("/hls/%00.m3u8", 400),
        ("/hls/%ff%fe.m3u8", 400),
        ("/hls/-.m3u8", 404),
        ("/hls/a%20b%C3%A4.m3u8", 404),
        ("/hls/nothing-1-1.ts", 404),
        ("/hls/nothing-1-99999999999999999999999999.ts", 404),
        ("/hls/nothing/record.m3u8", 404),
        ("/hls/x.exe", 404),
        (&format!("/hls/{long}.m3u8"), 400),
    ] {
        let answer = get(&server, path);
        let short = &path[..path.len().min(60)];
        assert_eq!(answer.status(), status, "{short}: {}", answer.text());
    }
    assert_eq!(
        server.api("/api/stat/all_group")["data"]["groups"].as_array().map(Vec::len),
        Some(0)
    );
    server.assert_healthy();
}

#[test]
fn a_stream_with_an_odd_name_plays() {
    let mut server = Server::start(&["hls.segment_duration=1s"]);
    let _publisher = publish(&server, "h264-aac.mp4", "live/a-b.c%20d-ä", -1);
    wait_for_segments(&server, "/hls/a-b.c%2520d-%C3%A4.m3u8", 1);
    let url = server.url("http+hls", "a-b.c%2520d-%C3%A4");
    let frames = Frames::reader(&format!("-t 1 -i {url}"), "h264", false).finish();
    assert!(Frames::parse(&frames).count("video0") >= 20);
    server.assert_healthy();
}

#[test]
fn a_viewer_is_a_session_when_there_is_a_key() {
    let settings = ["hls.session_key=secret", "hls.session_timeout=6s", "hls.segment_duration=1s"];
    let mut server = Server::start(&settings);
    let _publisher = publish(&server, "h264-aac.mp4", "live/counted", -1);
    wait_until("it is live", || server.is_live("live/counted"));
    let redirect = get(&server, "/hls/counted.m3u8?a=b");
    assert_eq!(redirect.status(), 302);
    let location = redirect.header("location").expect("an address").to_owned();
    // The MD5 of "HLSSUB1secret".
    let id = "e3b5e53ea9ac5b8d9ff8d26a1ddda67a";
    assert!(location.starts_with("/hls/counted.m3u8?a=b&session_id="), "{location}");
    assert_eq!(location.rsplit('=').next().map(str::len), Some(id.len()));
    let text = get(&server, &location).text();
    let is_segment = |line: &&str| !line.starts_with('#') && line.contains(".m4s?session_id=");
    let file = text.lines().find(is_segment).expect("a segment");
    assert_eq!(get(&server, &format!("/hls/{file}")).status(), 200);
    // A stream whose segments could be this one's by their address is another one.
    let _other = publish(&server, "h264-aac.mp4", "live/counted/counted", -1);
    wait_until("it is live", || server.is_live("live/counted/counted"));
    let redirect = get(&server, "/hls/live/counted/counted.m3u8");
    let text = get(&server, redirect.header("location").expect("an address")).text();
    let other = text.lines().find(is_segment).expect("a segment");
    let address = format!("/hls/live/counted/{other}");
    assert_eq!(get(&server, &address).status(), 200, "{address}");
    let (address, _) = address.split_once('=').expect("an id");
    // The first viewer is there all the time.
    assert_eq!(get(&server, &location).status(), 200);
    let (_, own) = file.split_once('=').expect("an id");
    assert_eq!(get(&server, &format!("{address}={own}")).status(), 404);
    wait_until("it is counted", || {
        let group = server.group("live/counted");
        let subs = group["subs"].as_array().cloned().unwrap_or_default();
        subs.iter().any(|sub| sub["session_id"] == "HLSSUB1" && sub["protocol"] == "HLS")
    });
    server.wait_for_log(&["session ended", "HLSSUB1"]);
    assert_eq!(get(&server, &location).status(), 404);
    server.assert_healthy();
}

#[test]
fn a_returning_publisher_continues_the_numbers() {
    let mut server = Server::start(&["hls.segment_duration=1s", "hls.on_demand=false"]);
    for round in 0..2 {
        publish(&server, "h264-aac.mp4", "live/back", 0).finish();
        wait_until("the publisher has gone", || !server.is_live("live/back"));
        let text = get(&server, "/hls/back.m3u8").text();
        assert!(!text.contains("ENDLIST"), "round {round}: {text}");
    }
    let text = get(&server, "/hls/back.m3u8").text();
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
    assert!(text.contains("#EXT-X-TARGETDURATION:1\n"), "{text}");
    server.assert_healthy();
}

#[test]
fn many_wait_for_the_same_part() {
    const VIEWERS: usize = 50;
    let mut server = Server::start(&["hls.segment_duration=1s"]);
    let _publisher = publish(&server, "h264-aac.mp4", "live/many", -1);
    wait_for_segments(&server, "/hls/many.m3u8", 2);
    let text = get(&server, "/hls/many.m3u8").text();
    let last = text.lines().rev().find(|line| line.ends_with(".m4s")).expect("a segment");
    let number: u64 = last.rsplit(['-', '.']).nth(1).and_then(|n| n.parse().ok()).expect("one");
    let path = format!("/hls/many.m3u8?_HLS_msn={}&_HLS_part=0", number + 2);
    let bodies: Vec<String> = thread::scope(|scope| {
        let ask = || get(&server, &path).text();
        let all: Vec<_> = (0..VIEWERS).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|one| one.join().expect("an answer")).collect()
    });
    assert!(bodies.iter().all(|body| *body == bodies[0]), "they differ");
    server.assert_healthy();
}

#[test]
fn what_segments_have_no_place_for_is_not_promised() {
    let server = Server::start(&["hls.segment_duration=1s"]);
    let _publisher = publish(&server, "pcma.flv", "live/law", -1);
    wait_until("it is live", || server.is_live("live/law"));
    let list = get(&server, "/hls/live/law/index.m3u8").text();
    assert!(list.contains("CODECS=\"avc1.") && !list.contains(",alaw"), "{list}");
    server.wait_for_log(&["HLS has no place for PCMA: left out"]);
}
