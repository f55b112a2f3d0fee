//! RTSP in and out: the frames that come out are those that went in, in order, with their times, and
//! sound and picture as far apart as they were.

use std::process::Command;
use std::time::{Duration, Instant};

use headwater_e2e::{
    Frames, Program, Server, Track, ffmpeg, material, modern_ffmpeg, program, wait_until,
};
use tempfile::NamedTempFile;

/// Pictures until the first key frame that a viewer of datagrams begins with, and the sound of so
/// long: a GOP of the material is a second, of 50 frames of Opus.
const FIRST_GOP: usize = 52;

/// What the last packets may take with them that a goodbye on another way overtakes, and what a
/// reader of datagrams still holds back when it hears the goodbye.
const LAST_PACKETS: usize = 40;

/// A millisecond and its rounding, and what reports and ticks round.
const TOLERANCE: i64 = 1_200;

/// What is published.
#[derive(Clone, Copy)]
struct Material {
    file: &'static str,
    codec: &'static str,
    /// Whether it takes the current ffmpeg.
    modern: bool,
}

const H264: Material = Material { file: "h264-aac.mp4", codec: "h264", modern: false };
const HEVC: Material = Material { file: "hevc-aac.mp4", codec: "hevc", modern: true };
const AV1: Material = Material { file: "av1-opus.mp4", codec: "av1", modern: true };
const VP9: Material = Material { file: "vp9-opus.mp4", codec: "", modern: true };

impl Material {
    fn run(self, arguments: &str) -> Program {
        if self.modern { modern_ffmpeg(arguments) } else { ffmpeg(arguments) }
    }

    /// What is sent.
    fn frames(self, server: &Server) -> Frames {
        let (input, flv) = (material(self.file), server.file("reference.flv"));
        let (input, flv) = (input.display(), flv.display());
        self.run(&format!("-y -i {input} -c copy -f flv {flv}")).finish();
        let reader = Frames::reader(&format!("-i {flv}"), self.codec, self.modern);
        Frames::parse(&reader.finish())
    }

    /// Publishes the file in real time, to its end.
    fn publish(self, url: &str, options: &str) {
        let format = if url.starts_with("rtmp") { "flv" } else { "rtsp" };
        let input = material(self.file);
        let verify = if url.starts_with("rtsps") && self.modern { "-tls_verify 0" } else { "" };
        let out = format!("-c copy {verify} -f {format} {options} {url}");
        self.run(&format!("-re -i {} {out}", input.display())).finish();
    }

    /// Starts to read a way out, such as `rtsp/udp` or `http+ts`.
    fn read(self, server: &Server, way: &str, stream: &str) -> Program {
        let (scheme, transport) = way.split_once('/').unwrap_or((way, ""));
        let url = server.url(scheme, stream);
        let mut input = format!("-i {url}");
        if scheme.starts_with("rtsp") {
            let verify = if scheme == "rtsps" && self.modern { "-tls_verify 0" } else { "" };
            input = format!("{verify} -rtsp_transport {transport} {input}");
        }
        let adts = way.ends_with("+ts") && self.file.contains("aac");
        let filter = if adts { "-bsf:a aac_adtstoasc" } else { "" };
        Frames::reader(&format!("{input} {filter}"), self.codec, self.modern)
    }
}

/// Publishes with one viewer for each way waiting before, and compares.
fn check(source: Material, publish: (&str, &str), ways: &[&str]) {
    let mut server = Server::start(&["stream.grace=0s"]);
    let stream = "live/frames";
    let viewers: Vec<_> = ways.iter().map(|way| source.read(&server, way, stream)).collect();
    wait_until("all viewers wait", || server.viewers(stream) == ways.len());
    source.publish(&server.url(publish.0, stream), publish.1);
    let sent = source.frames(&server);
    for (way, viewer) in ways.iter().zip(viewers) {
        eprintln!("comparing {way}");
        // RTP tells no decoding times: those that a reader shows are its own.
        let by_rtp = way.starts_with("rtsp");
        assert_moved(&sent, &Frames::parse(&viewer.finish()), by_rtp);
    }
    server.assert_healthy();
}

/// Fails unless all that came is what was sent, in order, moved by one and the same time.
fn assert_moved(sent: &Frames, got: &Frames, by_rtp: bool) {
    assert_eq!(sent.names(), got.names(), "the tracks");
    let mut moved = None;
    for name in ["video0", "audio0"] {
        let (sent, got) = (sent.track(name), got.track(name));
        if sent.is_empty() {
            continue;
        }
        let first = first_of(&sent, &got, moved, name);
        assert!(first <= FIRST_GOP, "{name}: the first {first} frames are missing");
        let missing = sent.len() - first - got.len().min(sent.len() - first);
        assert!(missing <= LAST_PACKETS, "{name}: the last {missing} frames are missing");
        // ffmpeg knows no time of the first picture that it reads over RTP.
        let shift = *moved.get_or_insert(got[1].1 - sent[first + 1].1);
        for (number, (sent, got)) in sent[first..].iter().zip(&got).enumerate() {
            assert_eq!(sent.2, got.2, "{name}: frame {number} has other contents");
            let off = got.1 - sent.1 - shift;
            let unknown = by_rtp && number == 0;
            assert!(unknown || off.abs() <= TOLERANCE, "{name}: frame {number} is {off} µs off");
        }
        for pair in got.windows(2).filter(|_| !by_rtp) {
            assert!(pair[0].0 < pair[1].0, "{name}: decoding times {:?}", (pair[0].0, pair[1].0));
        }
    }
}

/// Where in what was sent that begins which came: where the contents agree, and, as a constant tone
/// repeats itself, where the time does best.
fn first_of(sent: &Track, got: &Track, moved: Option<i64>, name: &str) -> usize {
    let hashes: Vec<_> = got.iter().take(8).map(|frame| &frame.2).collect();
    let begins = |at: &usize| {
        let there = sent[*at..].iter().map(|frame| &frame.2);
        there.zip(&hashes).all(|(a, b)| a == *b)
    };
    let off = |at: &usize| moved.map(|shift| (got[0].1 - sent[*at].1 - shift).abs());
    let found = (0..sent.len()).filter(begins).min_by_key(off);
    found.unwrap_or_else(|| panic!("{name}: {} frames, none of which was sent", got.len()))
}

#[test]
fn h264_with_b_frames_published_over_tcp_comes_out_everywhere() {
    let ways = ["rtsp/tcp", "rtsp/udp", "rtsps/tcp", "rtmp", "http", "http+ts", "http+mp4"];
    check(H264, ("rtsp", "-rtsp_transport tcp"), &ways);
}

#[test]
fn h264_published_over_udp_comes_out_everywhere() {
    check(H264, ("rtsp", "-rtsp_transport udp"), &["rtsp/tcp", "rtsp/udp", "http", "http+ts"]);
}

/// Where IPv4 comes to a listener of IPv6, as it does without settings.
#[test]
fn datagrams_of_ipv4_are_heard_by_a_listener_of_both() {
    let server = Server::start(&["rtsp.listen=:0"]);
    let file = material("h264-aac.mp4");
    let url = format!("rtsp://127.0.0.1:{}/live/both", server.port("rtsp"));
    let _publisher = ffmpeg(&format!(
        "-re -stream_loop -1 -i {} -c copy -f rtsp -rtsp_transport udp {url}",
        file.display()
    ));
    wait_until("media comes", || server.group("live/both")["video_codec"] == "H264");
    let seen = format!("-rtsp_transport udp -t 1 -i {url}");
    let got = Frames::parse(&Frames::reader(&seen, "h264", false).finish());
    assert!(got.count("video0") > 10, "{} pictures", got.count("video0"));
}

#[test]
fn h264_published_over_tls_comes_out() {
    check(H264, ("rtsps", "-rtsp_transport tcp"), &["rtsp/tcp", "rtmp"]);
}

#[test]
fn h264_published_over_rtmp_comes_out_over_rtsp() {
    check(H264, ("rtmp", ""), &["rtsp/tcp", "rtsp/udp", "rtsp/http", "rtsps/tcp"]);
}

#[test]
fn hevc_goes_from_rtsp_to_everywhere() {
    let ways = ["rtsp/tcp", "rtsp/udp", "rtmp", "http", "http+ts", "http+mp4"];
    check(HEVC, ("rtsp", "-rtsp_transport tcp"), &ways);
}

#[test]
fn hevc_goes_from_rtmp_to_rtsp() {
    check(HEVC, ("rtmp", ""), &["rtsp/tcp", "rtsp/udp"]);
}

#[test]
fn av1_and_opus_go_from_rtsp_to_everywhere_and_back() {
    check(
        AV1,
        ("rtsp", "-rtsp_transport tcp -strict experimental"),
        &["rtsp/tcp", "http", "http+mp4"],
    );
    check(AV1, ("rtmp", ""), &["rtsp/tcp", "rtsp/udp"]);
}

#[test]
fn vp9_and_opus_go_from_rtsp_to_everywhere_and_back() {
    check(VP9, ("rtsp", "-rtsp_transport udp -strict experimental"), &["http", "http+mp4"]);
    // ffmpeg puts no VP9 together, not even its own.
    let mut server = Server::start(&[]);
    let (input, url) = (material(VP9.file), server.url("rtmp", "live/vp9"));
    let input = input.display();
    let _publisher = VP9.run(&format!("-re -stream_loop -1 -i {input} -c copy -f flv {url}"));
    wait_until("the stream is there", || server.group("live/vp9")["video_codec"] == "VP9");
    // Its configuration has no size; the pictures do.
    wait_until("its size is known", || server.group("live/vp9")["video_width"] == 320);
    Gstreamer::shows(&server.url("rtsp", "live/vp9").replacen("rtsp:", "rtspt:", 1), 100);
    server.assert_healthy();
}

#[test]
fn g711_passes_in_both_laws() {
    for file in ["pcma.flv", "pcmu.flv"] {
        let source = Material { file, codec: "h264", modern: false };
        let mut server = Server::start(&["stream.grace=0s"]);
        let viewer = source.read(&server, "rtsp/tcp", "live/g711");
        wait_until("the viewer waits", || server.viewers("live/g711") == 1);
        source.publish(&server.url("rtsp", "live/g711"), "-rtsp_transport tcp");
        let (sent, got) = (source.frames(&server), Frames::parse(&viewer.finish()));
        // Packets are cut anew on their way: only the number of samples is the same.
        assert_eq!(sent.names(), got.names());
        let last = got.track("audio0").last().map(|frame| frame.1 - got.track("audio0")[0].1);
        let whole = sent.track("audio0").last().map(|frame| frame.1 - sent.track("audio0")[0].1);
        let (last, whole) = (last.expect("sound"), whole.expect("sound"));
        assert!((last - whole).abs() < 200_000, "{file}: {last} of {whole} µs");
        server.assert_healthy();
    }
}

/// A stream that goes on until it is dropped.
fn loop_of(server: &Server, scheme: &str, stream: &str, options: &str) -> Program {
    let input = material(H264.file);
    let format = if scheme.starts_with("rtmp") { "flv" } else { "rtsp" };
    let url = server.url(scheme, stream);
    let input = input.display();
    let publisher =
        ffmpeg(&format!("-re -stream_loop -1 -i {input} -c copy {options} -f {format} {url}"));
    wait_until("the stream is there", || server.group(stream)["video_codec"] == "H264");
    publisher
}

/// GStreamer, which decodes picture and sound, and keeps the pictures.
struct Gstreamer {
    program: Program,
    pictures: NamedTempFile,
}

impl Gstreamer {
    /// Begins to play. The scheme of the URL chooses the transport: `rtspt`, `rtspu`, `rtsph`.
    fn play(url: &str) -> Self {
        let pictures = NamedTempFile::new().expect("a file");
        // `playbin` links what comes by itself. A pipeline of gst-launch does so in the threads of
        // all tracks at once, and fails now and then.
        let sink = format!(
            "video-sink=videoconvert ! videoscale ! video/x-raw,format=I420,width=320,height=180 \
             ! filesink buffer-mode=unbuffered location={}",
            pictures.path().display(),
        );
        let uri = format!("uri={url}");
        let arguments = ["-q", "playbin", &uri, "audio-sink=fakesink", &sink];
        Self { program: program("gst-launch-1.0", arguments), pictures }
    }

    fn shown(&self) -> u64 {
        let size = self.pictures.as_file().metadata().expect("a file").len();
        size / (320 * 180 * 3 / 2)
    }

    /// Plays a stream that goes on, until so many are shown. Its start has races of its own, for
    /// which it is started anew: pads that are linked by the threads of two tracks at once. It is
    /// ended from outside: where its own closing overtakes its last `PAUSE`, it calls that an error.
    fn shows(url: &str, pictures: u64) {
        for attempt in 1..=3 {
            let mut player = Self::play(url);
            let begun = Instant::now();
            while player.shown() < pictures && begun.elapsed() < Duration::from_secs(12) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            if player.shown() >= pictures {
                return;
            }
            player.program.kill();
            eprintln!(
                "attempt {attempt}, {} pictures: {}",
                player.shown(),
                player.program.stderr()
            );
        }
        panic!("{url} is not played");
    }
}

#[test]
fn gstreamer_publishes_with_latm_and_plays() {
    let mut server = Server::start(&[]);
    for protocol in ["tcp", "udp"] {
        let stream = format!("live/gst-{protocol}");
        let url = server.url("rtsp", &stream);
        let pipeline = format!(
            "rtspclientsink name=s protocols={protocol} location={url} \
             videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=180,\
             framerate=25/1 ! x264enc tune=zerolatency key-int-max=25 ! h264parse ! s. \
             audiotestsrc is-live=true ! audioconvert ! avenc_aac ! aacparse ! s."
        );
        let publisher = program("gst-launch-1.0", pipeline.split_whitespace());
        wait_until("picture and sound are there", || {
            let group = server.group(&stream);
            group["video_codec"] == "H264" && group["audio_codec"] == "AAC"
        });
        let flv = server.url("http", &stream);
        let reader = Frames::reader(&format!("-t 3 -i {flv}"), "h264", false);
        let got = Frames::parse(&reader.finish());
        assert!(got.count("video0") > 50 && got.count("audio0") > 90, "{:?}", got.names());
        for (name, longest) in [("video0", 60_000), ("audio0", 30_000)] {
            let track = got.track(name);
            let gap = track.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
            assert!(gap.is_some_and(|gap| gap <= longest), "{name}: a gap of {gap:?} µs");
        }
        for scheme in ["rtspt:", "rtspu:", "rtsph:"] {
            Gstreamer::shows(&url.replacen("rtsp:", scheme, 1), 50);
        }
        drop(publisher);
    }
    server.assert_healthy();
}

#[test]
fn it_is_recorded_and_cut_into_segments() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display();
    let mut server = Server::start(&[
        "stream.grace=0s",
        "stream.record=[\"mp4\", \"ts\"]",
        &format!("record.mp4={path}/{{path}}.mp4"),
        &format!("record.ts={path}/{{path}}.ts"),
        "hls.on_demand=false",
        "hls.segments=100",
    ]);
    let playlist = server.url("http+hls", "kept");
    let hls = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let there = "there is a segment";
            wait_until(there, || curl(&["-s", &playlist]).contains("#EXTINF"));
            let input = format!("-live_start_index 0 -i {playlist}");
            Frames::parse(&Frames::reader(&input, "h264", false).finish())
        });
        H264.publish(&server.url("rtsp", "live/kept"), "-rtsp_transport tcp");
        reader.join().expect("a reader")
    });
    let sent = H264.frames(&server);
    assert_moved(&sent, &hls, false);
    for (name, format, filter) in
        [("kept.mp4", "MP4", ""), ("kept.ts", "MPEG-TS", "-bsf:a aac_adtstoasc")]
    {
        server.wait_for_log(&[" recorded ", &format!("format={format} ")]);
        let file = folder.path().join("live").join(name);
        let input = format!("-i {} {filter}", file.display());
        let kept = Frames::parse(&Frames::reader(&input, "h264", false).finish());
        assert_moved(&sent, &kept, false);
    }
    server.assert_healthy();
}

#[test]
fn viewers_stay_while_the_publisher_returns() {
    let mut server = Server::start(&["stream.grace=3s"]);
    let stream = "live/returning";
    let ways = ["rtsp/tcp", "rtsp/udp", "http"];
    let viewers: Vec<_> = ways.iter().map(|way| H264.read(&server, way, stream)).collect();
    wait_until("all viewers wait", || server.viewers(stream) == ways.len());
    for transport in ["tcp", "udp"] {
        H264.publish(&server.url("rtsp", stream), &format!("-rtsp_transport {transport}"));
    }
    let sent: Vec<_> = H264.frames(&server).track("video0").into_iter().map(|f| f.2).collect();
    for (way, viewer) in ways.iter().zip(viewers) {
        let video = Frames::parse(&viewer.finish()).track("video0");
        assert!(video.windows(2).all(|pair| pair[0].0 < pair[1].0), "{way}: times");
        let got: Vec<_> = video.into_iter().map(|frame| frame.2).collect();
        let again = got.iter().rposition(|hash| *hash == sent[0]).expect("the second time");
        let (first, second) = got.split_at(again);
        assert!(first.len() >= 100, "{way}: {} pictures of the first", first.len());
        assert!(second.len() >= 140, "{way}: {} pictures of the second", second.len());
        assert!(sent.windows(first.len()).any(|piece| piece == first), "{way}: the first");
        assert!(sent.starts_with(second), "{way}: the second");
    }
    server.assert_healthy();
}

#[test]
fn players_play() {
    let mut server = Server::start(&[]);
    let _publisher = loop_of(&server, "rtsp", "live/players", "-rtsp_transport tcp");
    let url = server.url("rtsp", "live/players");
    for transport in ["tcp", "udp"] {
        let options = "--no-config --vo=null --ao=null --frames=50";
        let all = format!("{options} --rtsp-transport={transport} {url}");
        program("mpv", all.split_whitespace()).finish();
    }
    let quiet = "-really-quiet -noconfig all -vo null -ao null -frames 50";
    program("mplayer", format!("{quiet} {url}").split_whitespace()).finish();
    server.assert_healthy();
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(arguments).output().expect("curl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn motion_jpeg_passes_to_rtsp_alone() {
    let mut server = Server::start(&["server.wait_for_stream=3s"]);
    let url = server.url("rtsp", "live/mjpeg");
    let picture = "-f lavfi -i testsrc2=size=320x176:rate=25 -c:v mjpeg -huffman default \
                   -pix_fmt yuvj420p -q:v 5";
    let _publisher = ffmpeg(&format!("-re {picture} -f rtsp -rtsp_transport tcp {url}"));
    wait_until("the stream is there", || server.group("live/mjpeg")["pub"].is_object());
    let reader = ffmpeg(&format!("-rtsp_transport tcp -i {url} -t 2 -f framemd5 -"));
    let lines = reader.finish().lines().filter(|line| line.starts_with("0,")).count();
    assert!(lines >= 40, "{lines} pictures");
    let url = server.url("http", "live/mjpeg");
    assert_eq!(curl(&["-s", "-o", "/dev/null", "-w", "%{http_code}", &url]), "406");
    server.assert_healthy();
}

#[test]
fn whoever_may_not_is_told_so() {
    let server = Server::start(&[
        "server.wait_for_stream=1s",
        "rtsp.auth=digest",
        "rtsp.username=user",
        "rtsp.password=a pass",
    ]);
    let open = server.url("rtsp", "live/guarded");
    let known = open.replacen("rtsp://", "rtsp://user:a%20pass@", 1);
    let wrong = open.replacen("rtsp://", "rtsp://user:wrong@", 1);
    let publish = |url: &str| {
        let input = material(H264.file);
        ffmpeg(&format!("-re -i {} -c copy -f rtsp -rtsp_transport tcp {url}", input.display()))
    };
    for url in [&open, &wrong] {
        let complaint = publish(url).fail();
        assert!(complaint.contains("401"), "{complaint}");
    }
    let _publisher = publish(&known);
    wait_until("the stream is there", || server.group("live/guarded")["pub"].is_object());
    let complaint = publish(&known).fail();
    assert!(complaint.contains("403"), "{complaint}");
    let play = |url: &str| ffmpeg(&format!("-rtsp_transport tcp -i {url} -t 1 -f null -"));
    play(&known).finish();
    assert!(play(&wrong).fail().contains("401"));
    let absent = known.replace("guarded", "absent");
    assert!(play(&absent).fail().contains("404"));
    // Secrets are in no log.
    assert!(!server.log().contains("a%20pass") && !server.log().contains("a pass"));
}

#[test]
fn players_are_told_what_rtmp_has_no_place_for() {
    let mut server = Server::start(&[]);
    let to = server.url("rtsp", "live/mpeg4");
    let _publisher = ffmpeg(&format!(
        "-re -f lavfi -i testsrc=size=320x180:rate=25 -c:v mpeg4 -f rtsp -rtsp_transport tcp {to}"
    ));
    wait_until("it is live", || server.is_live("live/mpeg4"));
    let mut player = ffmpeg(&format!("-i {} -f null -", server.url("rtmp", "live/mpeg4")));
    assert!(!player.wait().success());
    server.wait_for_log(&["session ended", "RTMP has no place for", "play it over RTSP"]);
    server.assert_healthy();
}
