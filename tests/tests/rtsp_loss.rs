//! A network that loses 2 % of the datagrams, reorders 5 % and delays them by up to 20 ms: sessions
//! go on, what is missing is counted, and no frame comes out torn.

use std::collections::HashSet;
use std::time::Duration;

use headwater_e2e::lossy::{Lossy, Weather};
use headwater_e2e::{Frames, Server, ffmpeg, material, wait_until};

const STORM: Weather =
    Weather { lost: 20, reordered: 50, jitter: Duration::from_millis(20), seed: 4 };

const REORDERED: Weather = Weather { lost: 0, ..STORM };

/// What is sent of a file.
fn source(file: &str, codec: &str) -> Frames {
    let reader = Frames::reader(&format!("-i {}", material(file).display()), codec, false);
    Frames::parse(&reader.finish())
}

/// Publishes over UDP through the relay, with a viewer of FLV that waits before; what it got.
fn published(server: &Server, relay: &Lossy, stream: &str) -> Frames {
    let flv = Frames::reader(&format!("-i {}", server.url("http", stream)), "h264", false);
    wait_until("the viewer waits", || server.viewers(stream) == 1);
    let file = material("large.mp4");
    let url = format!("rtsp://127.0.0.1:{}/{stream}", relay.port());
    let publish = format!("-re -i {} -c copy -f rtsp -rtsp_transport udp {url}", file.display());
    ffmpeg(&publish).finish();
    Frames::parse(&flv.finish())
}

/// Fails unless every frame that came is one that was sent, in the order of sending.
fn assert_in_order(sent: &Frames, got: &Frames, track: &str) {
    let (sent, got) = (sent.hashes(track), got.hashes(track));
    let whole: HashSet<_> = sent.iter().collect();
    let torn = got.iter().filter(|hash| !whole.contains(hash)).count();
    assert_eq!(torn, 0, "{track}: {torn} of {} frames are none that was sent", got.len());
    let mut rest = sent.iter();
    for hash in &got {
        assert!(rest.any(|known| known == hash), "{track}: frames are out of order");
    }
}

#[test]
fn a_publisher_in_a_storm_loses_frames_but_tears_none() {
    let server = Server::start(&["stream.grace=0s", "rtsp.reorder_window=100ms"]);
    let relay = Lossy::start(server.port("rtsp"), STORM);
    let got = published(&server, &relay, "live/storm");
    let sent = source("large.mp4", "h264");
    for track in ["video0", "audio0"] {
        assert_in_order(&sent, &got, track);
    }
    let (seen, lost) = relay.fate();
    assert!(lost > 0, "of {seen} datagrams none was lost");
    // A key frame takes the pictures up to the next with it where it begins a viewer.
    let (all, came) = (sent.count("audio0"), got.count("audio0"));
    assert!(came * 100 >= all * 90, "{came} of {all} frames of sound");
    let line = server.wait_for_log(&["reception ended"]);
    let counted: u64 = field(&line, "lost=").expect("a number");
    // What is lost at the very beginning or end is not missed; a busy machine loses more.
    assert!(counted + 3 >= lost, "{lost} were lost: {line}");
    assert!(field(&line, "reordered=").is_some_and(|n| n > 0), "{line}");
    assert!(field(&line, "torn=").is_some_and(|n| n > 0), "{line}");
}

#[test]
fn disorder_alone_costs_nothing() {
    let server = Server::start(&["stream.grace=0s", "rtsp.reorder_window=200ms"]);
    let relay = Lossy::start(server.port("rtsp"), REORDERED);
    let got = published(&server, &relay, "live/disorder");
    let sent = source("large.mp4", "h264");
    for track in ["video0", "audio0"] {
        assert_in_order(&sent, &got, track);
        let (all, came) = (sent.count(track), got.count(track));
        // The last packet may be overtaken by the goodbye; it has up to ten frames of sound.
        assert!(came + 12 >= all, "{track}: {came} of {all} frames");
    }
    let line = server.wait_for_log(&["reception ended"]);
    assert!(field(&line, "reordered=").is_some_and(|n| n > 0), "{line}");
}

#[test]
fn torn_frames_are_passed_on_where_that_is_wanted() {
    let server = Server::start(&["stream.grace=0s", "rtsp.torn_frames=pass"]);
    let relay = Lossy::start(server.port("rtsp"), Weather { seed: 9, ..STORM });
    let got = published(&server, &relay, "live/torn");
    let sent = source("large.mp4", "h264");
    let whole: HashSet<_> = sent.hashes("video0").into_iter().collect();
    assert!(got.hashes("video0").iter().any(|hash| !whole.contains(hash)), "none was torn");
}

#[test]
fn a_viewer_in_a_storm_plays_on() {
    let mut server = Server::start(&[]);
    let relay = Lossy::start(server.port("rtsp"), STORM);
    let file = material("large.mp4");
    let url = server.url("rtmp", "live/sea");
    let publisher =
        ffmpeg(&format!("-re -stream_loop -1 -i {} -c copy -f flv {url}", file.display()));
    wait_until("the stream is there", || server.group("live/sea")["video_codec"] == "H264");
    let url = format!("rtsp://127.0.0.1:{}/live/sea", relay.port());
    let viewer = Frames::reader(
        &format!("-rtsp_transport udp -reorder_queue_size 200 -max_delay 300000 -t 5 -i {url}"),
        "h264",
        false,
    );
    // Some frames have no decoding time in ffmpeg's eyes then: they are only counted.
    let text = viewer.finish();
    let pictures = text.lines().filter(|line| line.starts_with("0,")).count();
    let (seen, lost) = relay.fate();
    assert!(lost > 0, "of {seen} datagrams none was lost");
    assert!(pictures >= 80, "{pictures} pictures in 5 s");
    drop(publisher);
    server.assert_healthy();
}

/// A number in a line of the log.
fn field(line: &str, name: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!(" {name}"))?;
    rest.split_whitespace().next()?.parse().ok()
}
