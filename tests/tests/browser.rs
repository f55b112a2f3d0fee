//! The pages in a real browser: the picture moves, the sound is decoded, an operator can work.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use headwater_e2e::device::{Elementary, device, wait_for_event};
use headwater_e2e::{Program, Server, binary, clip, ffmpeg, material, program, root, wait_until};
use serde_json::Value;

fn script(name: &str, arguments: &[&str]) -> Program {
    let script = root().join("tests/browser").join(name).to_string_lossy().into_owned();
    program("node", std::iter::once(script.as_str()).chain(arguments.iter().copied()))
}

/// What a page of the demo plays.
fn watch(settings: &[&str], listener: &str, path: &str) -> Value {
    let mut server = Server::demo(settings);
    let url = format!("http://127.0.0.1:{}/{path}", server.port(listener));
    let screenshot = server.file("page.png").to_string_lossy().into_owned();
    let seen = script("play.mjs", &[&url, &screenshot]).finish();
    assert!(server.file("page.png").metadata().expect("a screenshot").len() > 10_000);
    server.assert_healthy();
    serde_json::from_str(&seen).expect("JSON of the browser")
}

fn assert_plays(seen: &Value) {
    let (first, second) = (&seen["first"], &seen["second"]);
    assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
    assert_eq!(second["width"], 640, "{seen}");
    assert_ne!(first["picture"], second["picture"], "the picture stands still: {seen}");
    assert!(second["light"].as_u64() > Some(1_000_000), "the picture is dark: {seen}");
    assert!(second["audioBytes"].as_u64() > first["audioBytes"].as_u64(), "no sound: {seen}");
    let shown = second["frames"].as_u64().zip(first["frames"].as_u64()).map(|(b, a)| b - a);
    assert!(shown > Some(20), "{seen}");
    assert_eq!(second["message"], "", "{seen}");
}

#[test]
fn a_link_plays() {
    for path in ["?stream=live/demo", "?demo=1"] {
        let seen = watch(&[], "api", path);
        assert_plays(&seen);
        assert_eq!(seen["second"]["streams"], 1, "{seen}");
    }
}

#[test]
fn viewers_have_a_page_of_their_own() {
    // Somewhere else than usual: the page is told.
    let settings = ["http.player_page=true", "hls.url_prefix=/seg&ments/"];
    assert_plays(&watch(&settings, "http", "play/live/demo"));
    assert_plays(&watch(&settings, "http", "play/live/demo?over=hls"));
}

/// What the operator's page shows to a script.
fn operate(server: &Server, action: &str, arguments: &[&str]) -> Value {
    let seen = operating(server, action, arguments).finish();
    serde_json::from_str(&seen).expect("JSON of the browser")
}

fn operating(server: &Server, action: &str, arguments: &[&str]) -> Program {
    let url = format!("http://127.0.0.1:{}", server.port("api"));
    let folder = server.file("").to_string_lossy().into_owned();
    script("page.mjs", &[&[url.as_str(), action, folder.as_str()], arguments].concat())
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_some_and(Vec::is_empty)
}

#[test]
fn an_operator_watches_records_and_kicks() {
    let record = tempfile::tempdir().expect("a folder");
    let file = record.path().join("{name}.flv");
    let mut server = Server::start(&[&format!("record.flv={}", file.display())]);
    let began = server.file("began").to_string_lossy().into_owned();
    let walk = operating(&server, "walk", &[&began, "live/walk"]);
    wait_until("the page is open", || server.file("open").exists());
    let _publisher = clip::on(&server, "live/walk");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_millis();
    fs::write(server.file("now"), now.to_string()).expect("a file");
    fs::rename(server.file("now"), &began).expect("a file");
    let seen: Value = serde_json::from_str(&walk.finish()).expect("JSON of the browser");

    assert!(is_empty(&seen["errors"]), "{seen}");
    // Usually it takes a tenth of a second.
    assert!(seen["appearedAfter"].as_i64().is_some_and(|after| after < 3000), "{seen}");
    let transports = seen["transports"].as_object().expect("transports");
    assert_eq!(transports.len(), 7, "{seen}");
    for (transport, played) in transports {
        assert_eq!(played["ok"], true, "{transport}: {played}");
        assert_eq!(played["width"], 320, "{transport}: {played}");
        assert!(played["audioBytes"].as_i64() > Some(0), "{transport}: {played}");
    }
    for plots in ["overviewPlots", "streamPlots"] {
        assert_eq!(seen[plots]["moved"], true, "{plots}: {}", seen[plots]);
    }
    let done = [("record", "started"), ("record", "stopped"), ("kick", "vanished")];
    for (what, done) in done.into_iter().chain([("outage", "lost"), ("outage", "back")]) {
        assert_eq!(seen[what][done], true, "{what}: {}", seen[what]);
    }
    assert_eq!(seen["urls"]["copied"], server.url("http", "live/walk").as_str(), "{seen}");
    assert_eq!(seen["urls"]["qr"], true, "{seen}");

    // It was not only the page that thought so.
    server.wait_for_log(&["session ended", "kicked by an operator"]);
    let recorded = record.path().join("walk.flv").metadata().expect("a recording").len();
    assert!(recorded > 10_000, "{recorded} bytes recorded");
    server.assert_healthy();
}

/// Publishes a file of the material as live/it, until it is dropped.
fn push(server: &Server, file: &str) -> Program {
    let file = material(file).to_string_lossy().into_owned();
    let headwater = binary().to_string_lossy().into_owned();
    let url = server.url("rtmp", "live/it");
    program(&headwater, ["push", "--loop", "--quiet", file.as_str(), url.as_str()])
}

#[test]
fn the_page_chooses_a_transport_that_plays() {
    // Sound that no browser plays is left out; AV1 goes over MP4.
    for (file, over, note, sounds) in
        [("pcma.flv", "flv", "G.711", false), ("av1-opus.mp4", "mp4", "", true)]
    {
        let mut server = Server::start(&[]);
        let _publisher = push(&server, file);
        server.wait_for_log(&["publishes", "live/it"]);
        for wish in ["", "ws"] {
            let seen = operate(&server, "plays", &[file, "live/it", wish]);
            assert!(is_empty(&seen["errors"]), "{seen}");
            let seen = &seen["first"];
            assert_eq!(seen["ok"], true, "{file}: {seen}");
            assert_eq!(seen["audioBytes"].as_u64() > Some(0), sounds, "{file}: {seen}");
            let said = seen["note"].as_str().unwrap_or_default();
            assert!(said.contains(note), "{file}: {seen}");
            if wish.is_empty() {
                assert_eq!(seen["transport"], over, "{file}: {seen}");
            }
        }
        server.assert_healthy();
    }
}

#[test]
fn the_picture_goes_on_when_the_publisher_returns_without_sound() {
    for over in ["", "mp4"] {
        let mut server = Server::start(&[]);
        let mut publisher = push(&server, "h264-aac.mp4");
        server.wait_for_log(&["publishes", "live/it"]);
        let file = |name: &str| server.file(name);
        fs::write(file("awaits"), "").expect("a file");
        let watching = operating(&server, "plays", &["returns", "live/it", over]);
        wait_until("it plays", || file("plays").exists());
        publisher.kill();
        let _returned = push(&server, "video-only.mp4");
        let returned =
            || server.log().lines().filter(|line| line.contains("publishes")).count() > 1;
        wait_until("it is back", returned);
        fs::write(file("goes"), "").expect("a file");
        let seen: Value = serde_json::from_str(&watching.finish()).expect("JSON of the browser");
        assert!(is_empty(&seen["errors"]), "{seen}");
        assert_eq!(seen["first"]["ok"], true, "{over}: {seen}");
        assert_eq!(seen["second"]["ok"], true, "{over}: {seen}");
        server.assert_healthy();
    }
}

#[test]
fn the_page_waits_for_a_publisher_that_is_away() {
    let mut server = Server::start(&["stream.grace=12s", "server.wait_for_stream=1s"]);
    let mut publisher = push(&server, "h264-aac.mp4");
    server.wait_for_log(&["publishes", "live/it"]);
    let watching = operating(&server, "leaves", &["live/it"]);
    wait_until("it plays", || server.file("plays").exists());
    publisher.kill();
    let seen: Value = serde_json::from_str(&watching.finish()).expect("JSON of the browser");
    assert!(is_empty(&seen["errors"]), "{seen}");
    for done in ["plays", "left", "ended"] {
        assert_eq!(seen[done], true, "{done}: {seen}");
    }
    assert_eq!(seen["requests"], 1, "{seen}");
    // What is said of a stream that is gone is not what was true before.
    assert_eq!((&seen["viewers"], &seen["plotted"]), (&"0".into(), &0.into()), "{seen}");
    server.assert_healthy();
}

/// What the viewers' page shows of live/it until it is as `wanted`; `meanwhile` is done when the
/// picture moves.
fn view(server: &Server, over: &str, wanted: &str, meanwhile: impl FnOnce()) -> Value {
    let url = format!("http://127.0.0.1:{}/play/live/it?over={over}", server.port("http"));
    let folder = server.file("").to_string_lossy().into_owned();
    let watching = script("viewer.mjs", &[&url, wanted, &folder]);
    wait_until("it plays", || server.file("plays").exists());
    meanwhile();
    let seen: Value = serde_json::from_str(&watching.finish()).expect("JSON of the browser");
    assert!(is_empty(&seen["errors"]), "{over}: {seen}");
    assert_eq!(seen["ok"], true, "{over}: {seen}");
    seen
}

#[test]
fn a_viewer_hears_sound_that_comes_later() {
    for over in ["flv", "ts", "hls"] {
        let mut server = Server::start(&["http.player_page=true", "hls.segment_duration=1s"]);
        let mut publisher = push(&server, "video-only.mp4");
        server.wait_for_log(&["publishes", "live/it"]);
        let mut returned = None;
        let seen = view(&server, over, "sounds", || {
            publisher.kill();
            returned = Some(push(&server, "h264-aac.mp4"));
        });
        assert_eq!(seen["transport"], over, "{seen}");
        server.assert_healthy();
    }
}

#[test]
fn the_picture_goes_on_alone_when_sound_stops() {
    // Browsers show no picture beyond the sound of a track that they were told of.
    for file in ["av1-opus.mp4", "vp9-opus.mp4"] {
        let mut server = Server::start(&["http.player_page=true"]);
        let (whole, cut) = (material(file), server.file("stops.mp4"));
        let whole = whole.display();
        let inputs = format!("-stream_loop 12 -i {whole} -stream_loop 1 -t 6 -i {whole}");
        let output = format!("-map 0:v -map 1:a -c copy -t 60 {}", cut.display());
        ffmpeg(&format!("{inputs} {output}")).finish();
        let (file, url) = (cut.to_string_lossy(), server.url("rtmp", "live/it"));
        let headwater = binary().to_string_lossy().into_owned();
        let _publisher = program(&headwater, ["push", "--quiet", &file, &url]);
        server.wait_for_log(&["publishes", "live/it"]);
        let seen = view(&server, "mp4", "silent", || {});
        assert_eq!(seen["transport"], "mp4", "{seen}");
        assert!(seen["note"].as_str().is_some_and(|note| note.contains("alone")), "{seen}");
        let requests = seen["requests"].as_array().map(Vec::len);
        assert!(requests < Some(8), "it is tried again and again: {seen}");
        server.assert_healthy();
    }
}

#[test]
fn what_always_fails_is_tried_more_and_more_rarely() {
    let seen: Value = serde_json::from_str(&script("choice.mjs", &[]).finish()).expect("JSON");
    let begun = seen["begun"].as_array().expect("attempts");
    let at = |attempt: &Value| attempt[0].as_f64().expect("a time");
    let with = |attempt: &Value, what: &str| {
        attempt[1].as_str().is_some_and(|transport| transport.contains(what))
    };
    assert!(begun.iter().any(|attempt| with(attempt, "mp4 without sound")), "{seen}");
    assert!(begun.iter().all(|attempt| !with(attempt, "flv")), "AV1 does not go there: {seen}");
    let late = begun.iter().filter(|attempt| at(attempt) > 300.0).count();
    assert!((4..24).contains(&late), "{late} attempts in five minutes: {seen}");
    assert_eq!((&seen["rest"], &seen["learnt"]), (&0.into(), &true.into()), "{seen}");
    let well = seen["well"].as_array().expect("attempts");
    assert_eq!(at(&well[1]) - at(&well[0]), 120.0, "it begins anew at once: {seen}");
    assert_eq!(well[2][1], "flv", "{seen}");
}

#[test]
fn an_operator_turns_a_camera_and_watches_it() {
    let own = ["gb28181.listen=127.0.0.1:0", "gb28181.password=12345678"];
    let mut server = Server::start(&own);
    let material = Elementary::of("h264-aac.mp4", "h264", Some("aac"));
    let at = format!("--server 127.0.0.1:{}", server.port("sip"));
    let camera = device("", &material, &at);
    let _ = wait_for_event(&camera, "registered");
    let (id, channel) = ("34020000001180000001", "34020000001310000001");
    let seen = operate(&server, "devices", &[id, channel]);
    assert!(is_empty(&seen["errors"]), "{seen}");
    assert_eq!(seen["watch"], format!("#/streams/gb/{id}/{channel}?play=1"), "{seen}");
    for done in ["unfound", "found", "refreshed", "watched", "played"] {
        assert_eq!(seen[done], true, "{done}: {seen}");
    }
    assert!(is_empty(&seen["violations"]), "{}", seen["violations"]);
    let widths = seen["widths"].as_object().expect("widths");
    assert!(widths.len() == 2 && widths.values().all(|width| *width == 375), "{widths:?}");

    // It was told: to the left and up at half the speed, and a key frame.
    let ptz = wait_for_event(&camera, "ptz");
    assert!(ptz.to_string().contains("A50F010A8080"), "{ptz}");
    let _ = wait_for_event(&camera, "iframe");
    server.assert_healthy();
}

#[test]
fn an_operator_looks_at_recordings() {
    // Names of files need not be plain, and links cannot show a token.
    for token in ["", "open-sesame"] {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |format: &str| format!("{}/{format}/{{path}}", folder.path().display());
        let mut server = Server::start(&[
            &format!("api.token={token}"),
            &format!("record.flv={}.flv", at("flv")),
            &format!("record.ts={}.ts", at("ts")),
            &format!("record.mp4={}.mp4", at("mp4")),
            &format!("record.hls={}", at("hls")),
            "stream.record=flv,ts,mp4,hls",
            "stream.grace=0s",
        ]);
        let mut publisher = clip::publish(&server.url("rtmp", "live/东门"));
        let playlist = folder.path().join("hls/live/东门/record.m3u8");
        wait_until("there is a segment", || playlist.exists());
        publisher.kill();
        server.wait_for_log(&["session ended"]);
        let seen = operate(&server, "recordings", &["东门", token]);
        assert!(is_empty(&seen["errors"]), "{seen}");
        let names = seen["names"].as_array().expect("names");
        assert!(names.iter().any(|name| *name == "东门.flv"), "{seen}");
        for format in ["FLV", "TS", "MP4", "HLS"] {
            assert_eq!(seen["played"][format], true, "{format}: {seen}");
        }
        server.assert_healthy();
    }
}

#[test]
fn an_operator_pulls_a_stream_and_opens_a_port() {
    let origin = Server::demo(&[]);
    let mut server = Server::start(&[]);
    let from = origin.url("http", "live/demo");
    let seen = operate(&server, "relays", &[&from, "live/copy"]);
    assert!(is_empty(&seen["errors"]), "{seen}");
    assert_eq!(seen["address"], from, "{seen}");
    assert!(seen["fault"].as_str().is_some_and(|text| text.contains("ftp")), "{seen}");
    assert!(seen["port"].as_u64() > Some(0), "{seen}");
    for done in ["running", "pullStopped", "receiverStopped"] {
        assert_eq!(seen[done], true, "{done}: {seen}");
    }
    server.assert_healthy();
}

#[test]
fn nothing_keeps_anybody_from_using_the_page() {
    let mut server = Server::demo(&[]);
    let seen = operate(&server, "axe", &["live/demo"]);
    assert!(is_empty(&seen["errors"]), "{seen}");
    assert!(seen["looked"].as_u64() > Some(55), "{seen}");
    assert!(is_empty(&seen["violations"]), "{}", seen["violations"]);

    server.assert_healthy();
}

#[test]
fn keys_and_phones_are_enough_to_use_the_page() {
    let mut server = Server::demo(&[]);
    let seen = operate(&server, "keyboard", &["live/demo"]);
    assert!(is_empty(&seen["errors"]) && seen["invisible"].is_null(), "{seen}");
    for done in ["skip", "skipped", "played", "trapped", "returned"] {
        assert_eq!(seen[done], true, "{done}: {seen}");
    }
    for way in ["tabsToStream", "tabsToPlay", "tabsToKick"] {
        assert!(seen[way].is_u64(), "{way}: {seen}");
    }

    // Nothing is wider than a phone.
    let seen = operate(&server, "looks", &["live/demo", "phone"]);
    assert!(is_empty(&seen["errors"]), "{seen}");
    let widths = seen["phoneWidths"].as_object().expect("widths");
    assert!(widths.len() == 10 && widths.values().all(|width| *width == 375), "{widths:?}");
    assert_eq!(seen["played"], true, "{seen}");

    let seen = operate(&server, "words", &[]);
    assert!(seen["keys"].as_u64() > Some(200), "{seen}");
    for fault in ["onlyEnglish", "onlyChinese", "places", "missing", "unused"] {
        assert!(is_empty(&seen[fault]), "{fault}: {}", seen[fault]);
    }
    server.assert_healthy();
}

#[test]
fn the_page_asks_for_the_token_and_keeps_it() {
    let mut server = Server::demo(&["api.token=open-sesame"]);
    let seen = operate(&server, "token", &["open-sesame"]);
    assert!(is_empty(&seen["errors"]), "{seen}");
    for done in ["asked", "refused", "works", "events", "kept"] {
        assert_eq!(seen[done], true, "{done}: {seen}");
    }
    assert!(!server.log().contains("open-sesame"), "the token is in the log");
    server.assert_healthy();
}
