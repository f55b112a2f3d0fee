//! Every codec and every way out: the frames that come out are those that went in, in order, at
//! the same times.

use headwater_e2e::{
    Frames, Server, Times, assert_alike, binary, ffmpeg, material, modern_ffmpeg, program, python,
    wait_until,
};
use testkit::ts;

/// Audio that was sent before the first picture is not for viewers who begin with a picture.
const AUDIO_BEFORE_PICTURE: usize = 6;

/// How a stream is published.
struct Publisher {
    file: &'static str,
    codec: &'static str,
    scheme: &'static str,
    /// By a current ffmpeg, in its Enhanced forms; else by Debian's.
    modern: bool,
    /// Which tracks.
    map: &'static str,
    /// How its sound is coded.
    sound: &'static str,
}

const H264: Publisher = Publisher {
    file: "h264-aac.mp4",
    codec: "h264",
    scheme: "rtmp",
    modern: false,
    map: "-map 0",
    sound: "aac",
};

impl Publisher {
    /// Writes what would be published into a file: the frames that were sent.
    fn reference(&self, server: &Server) -> Frames {
        let flv = server.file("reference.flv");
        let input = material(self.file);
        let (input, flv) = (input.display(), flv.display());
        let map = self.map;
        self.run(&format!("-y -i {input} {map} -c copy -f flv {flv}")).finish();
        let reader = Frames::reader(&format!("-i {flv}"), self.codec, self.modern);
        Frames::parse(&reader.finish())
    }

    fn publish(&self, server: &Server, stream: &str) {
        let input = material(self.file);
        let url = server.url(self.scheme, stream);
        let (input, map) = (input.display(), self.map);
        let verify = if self.modern && self.scheme == "rtmps" { "-tls_verify 0" } else { "" };
        self.run(&format!("-re -i {input} {map} -c copy {verify} -f flv {url}")).finish();
    }

    /// Starts to read what a way out brings; transport streams have a header before each AAC frame.
    fn reader(&self, scheme: &str, input: &str) -> headwater_e2e::Program {
        let is_adts = scheme.ends_with("+ts") && self.sound == "aac";
        let filter = if is_adts { "-bsf:a aac_adtstoasc" } else { "" };
        Frames::reader(&format!("{input} {filter}"), self.codec, self.modern)
    }

    fn run(&self, arguments: &str) -> headwater_e2e::Program {
        if self.modern { modern_ffmpeg(arguments) } else { ffmpeg(arguments) }
    }
}

/// Publishes, with one viewer for each scheme waiting before, and compares.
fn check(publisher: &Publisher, schemes: &[&str], settings: &[&str]) {
    let mut all = vec!["stream.grace=0s"];
    all.extend(settings);
    let mut server = Server::start(&all);
    let sent = publisher.reference(&server);
    let stream = "live/frames";
    let viewers: Vec<_> = schemes
        .iter()
        .map(|scheme| {
            let url = server.url(scheme, stream);
            if scheme.starts_with("ws") {
                let file = server.file(scheme);
                (Some(file.clone()), python("save_websocket.py", &[&url, &file.to_string_lossy()]))
            } else {
                let verify = publisher.modern && matches!(*scheme, "https" | "rtmps");
                let verify = if verify { "-tls_verify 0" } else { "" };
                let input = format!("{verify} -i {url}?multitrack=1");
                (None, publisher.reader(scheme, &input))
            }
        })
        .collect();
    wait_until("all viewers wait", || server.viewers(stream) == schemes.len());
    publisher.publish(&server, stream);
    for (scheme, (file, viewer)) in schemes.iter().zip(viewers) {
        eprintln!("comparing {scheme}");
        let mut text = viewer.finish();
        if let Some(file) = file {
            let input = format!("-i {}", file.display());
            text = publisher.reader(scheme, &input).finish();
        }
        assert_alike(&sent, &Frames::parse(&text), AUDIO_BEFORE_PICTURE, times(scheme));
    }
    server.assert_healthy();
}

/// How the times of a way out differ from those of FLV.
fn times(scheme: &str) -> Times {
    // Sound lies on the grid of its samples, which milliseconds only come near to.
    const MILLISECOND: i64 = 1_100;
    match scheme.split_once('+').map(|(_, container)| container) {
        // Decoding times are that much ahead of the program's clock.
        Some("ts") => Times { shift: 700_000, tolerance: MILLISECOND },
        Some("mp4" | "hls") => Times { shift: 0, tolerance: MILLISECOND },
        _ => Times::default(),
    }
}

#[test]
fn h264_with_b_frames_and_aac_over_every_transport() {
    check(&H264, &["rtmp", "rtmps", "http", "https", "ws", "wss"], &[]);
}

#[test]
fn published_over_tls() {
    check(&Publisher { scheme: "rtmps", ..H264 }, &["rtmp", "http"], &[]);
}

#[test]
fn merged_writes_carry_the_same() {
    check(&H264, &["rtmp", "http", "ws"], &["stream.flush_after=350ms"]);
}

#[test]
fn video_alone() {
    check(&Publisher { file: "video-only.mp4", ..H264 }, &["rtmp", "http"], &[]);
}

#[test]
fn audio_alone() {
    let publisher = Publisher { file: "audio-only.m4a", codec: "aac", ..H264 };
    check(&publisher, &["rtmp", "http"], &[]);
}

#[test]
fn mp3() {
    check(&Publisher { file: "mp3.flv", sound: "mp3", ..H264 }, &["rtmp", "http"], &[]);
}

#[test]
fn g711() {
    check(&Publisher { file: "pcma.flv", ..H264 }, &["rtmp", "http"], &[]);
    check(&Publisher { file: "pcmu.flv", ..H264 }, &["rtmp", "http"], &[]);
}

const MODERN: Publisher = Publisher { modern: true, ..H264 };

#[test]
fn hevc_in_its_enhanced_form() {
    let publisher = Publisher { file: "hevc-aac.mp4", codec: "hevc", ..MODERN };
    check(&publisher, &["rtmp", "http", "rtmps", "https"], &[]);
}

#[test]
fn hevc_is_given_to_old_viewers_in_its_legacy_form() {
    let publisher = Publisher { file: "hevc-aac.mp4", codec: "hevc", ..MODERN };
    // A current ffmpeg reads both forms.
    check(&publisher, &["rtmp", "http"], &["rtmp.hevc_out=legacy", "flv.hevc_out=legacy"]);
}

#[test]
fn av1_and_opus() {
    let publisher = Publisher { file: "av1-opus.mp4", codec: "av1", ..MODERN };
    check(&publisher, &["rtmp", "http"], &[]);
}

#[test]
fn vp9_and_opus() {
    let publisher = Publisher { file: "vp9-opus.mp4", codec: "vp9", ..MODERN };
    check(&publisher, &["rtmp", "http"], &[]);
}

/// MPEG-TS, by both transports.
const TS: &[&str] = &["http+ts", "https+ts", "ws+ts"];

/// Fragmented MP4, by both transports.
const MP4: &[&str] = &["http+mp4", "ws+mp4"];

#[test]
fn h264_with_b_frames_and_aac_in_ts() {
    check(&H264, TS, &[]);
}

#[test]
fn h264_with_b_frames_and_aac_in_mp4() {
    check(&H264, MP4, &[]);
}

#[test]
fn one_track_in_ts_and_mp4() {
    let both = ["http+ts", "http+mp4"];
    check(&Publisher { file: "video-only.mp4", ..H264 }, &both, &[]);
    check(&Publisher { file: "audio-only.m4a", codec: "aac", ..H264 }, &both, &[]);
}

#[test]
fn mp3_in_ts_and_mp4() {
    check(&Publisher { file: "mp3.flv", sound: "mp3", ..H264 }, &["http+ts", "http+mp4"], &[]);
}

#[test]
fn hevc_in_ts_and_mp4() {
    let publisher = Publisher { file: "hevc-aac.mp4", codec: "hevc", ..MODERN };
    check(&publisher, &["http+ts", "http+mp4"], &[]);
}

#[test]
fn av1_and_vp9_with_opus_in_mp4() {
    check(&Publisher { file: "av1-opus.mp4", codec: "av1", ..MODERN }, &["http+mp4"], &[]);
    check(&Publisher { file: "vp9-opus.mp4", codec: "vp9", ..MODERN }, &["http+mp4"], &[]);
}

#[test]
fn a_configuration_of_vp9_that_comes_again_changes_nothing() {
    let server = Server::start(&[]);
    let file = material("vp9-opus.mp4").to_string_lossy().into_owned();
    let headwater = binary().to_string_lossy().into_owned();
    // It has no size, which the pictures have told; the file is six seconds long.
    let url = server.url("rtmp", "live/vp9");
    let _publisher =
        program(&headwater, ["push", "--loop", "--quiet", file.as_str(), url.as_str()]);
    wait_until("its size is known", || server.group("live/vp9")["video_width"] == 320);
    let saved = server.file("saved.mp4").to_string_lossy().into_owned();
    let url = server.url("http+mp4", "live/vp9");
    let viewer = ["--silent", "--max-time", "8", "--output", saved.as_str(), url.as_str()];
    let mut viewer = program("curl", viewer);
    // It has seen the file begin again.
    let _timed_out = viewer.wait();
    let bytes = std::fs::read(&saved).expect("a file");
    let sections = bytes.windows(4).filter(|name| name == b"moov").count();
    assert_eq!(sections, 1, "in {} bytes", bytes.len());
}

#[test]
fn transport_streams_have_no_faults() {
    for file in ["h264-aac.mp4", "video-only.mp4", "audio-only.m4a", "mp3.flv"] {
        let server = Server::start(&["stream.grace=0s"]);
        let saved = server.file("saved.ts").to_string_lossy().into_owned();
        let url = server.url("http+ts", "live/strict");
        let viewer = program("curl", ["--silent", "--output", &saved, &url]);
        wait_until("the viewer waits", || server.viewers("live/strict") == 1);
        Publisher { file, ..H264 }.publish(&server, "live/strict");
        viewer.finish();
        let bytes = std::fs::read(&saved).expect("a file");
        let report = ts::check(&bytes, &ts::Rules::default());
        report.assert_clean();
        assert_eq!(report.discontinuities, 0, "{file}");
        assert!(report.packets > 200, "{file}: {} packets", report.packets);
    }
}
