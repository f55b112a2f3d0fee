//! Publishers and players of other makes than ffmpeg, and what only some of them do.

use headwater_e2e::{
    Frames, Program, Server, assert_same, ffmpeg, material, modern_ffmpeg, program, wait_until,
};

/// Publishes a clip in real time, over and over.
fn publish(server: &Server, stream: &str) -> Program {
    let (input, url) = (material("h264-aac.mp4"), server.url("rtmp", stream));
    let input = input.display();
    let publisher = ffmpeg(&format!("-re -stream_loop -1 -i {input} -c copy -f flv {url}"));
    wait_until("the stream is live", || server.is_live(stream));
    publisher
}

fn blanks(arguments: &str) -> impl Iterator<Item = String> {
    arguments.split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[test]
fn gstreamer_publishes() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let url = server.url("rtmp", "live/gst");
    let viewer = Frames::reader(&format!("-i {}", server.url("http", "live/gst")), "h264", false);
    wait_until("the viewer waits", || server.viewers("live/gst") == 1);
    let pipeline = format!(
        "-e videotestsrc num-buffers=75 is-live=true ! \
         video/x-raw,format=I420,width=320,height=180,framerate=25/1 ! \
         x264enc tune=zerolatency key-int-max=25 ! h264parse ! flvmux streamable=true name=m ! \
         rtmp2sink location={url} \
         audiotestsrc num-buffers=130 is-live=true samplesperbuffer=1024 ! avenc_aac ! aacparse ! m."
    );
    program("gst-launch-1.0", blanks(&pipeline)).finish();
    let frames = Frames::parse(&viewer.finish());
    // It repeats its metadata, which ffmpeg takes for a track of text.
    assert!(["audio0", "video0"].iter().all(|name| frames.names().contains(name)));
    let video = frames.track("video0");
    assert_eq!(video.len(), 75);
    // A live source stamps pictures when it gets to make them, which is not always in time.
    assert!(video.windows(2).all(|pair| pair[1].0 > pair[0].0), "{video:?}");
    let length = video[74].0 - video[0].0;
    assert!((74 * 40_000i64 - length).abs() <= 100_000, "{length}: {video:?}");
    assert!(frames.count("audio0") > 100, "{} audio frames", frames.count("audio0"));
    server.assert_healthy();
}

#[test]
fn gstreamer_plays_rtmp_and_flv() {
    let mut server = Server::start(&[]);
    let _publisher = publish(&server, "live/gst");
    let sources = [
        format!("rtmp2src location={}", server.url("rtmp", "live/gst")),
        format!("souphttpsrc is-live=true location={}", server.url("http", "live/gst")),
    ];
    for source in sources {
        let pipeline = format!(
            "-q {source} ! flvdemux name=d d.video ! queue ! h264parse ! avdec_h264 ! \
             identity eos-after=40 ! fakesink"
        );
        program("gst-launch-1.0", blanks(&pipeline)).finish();
    }
    server.assert_healthy();
}

#[test]
fn gstreamer_plays_ts_and_hls() {
    for container in ["fmp4", "ts"] {
        let setting = format!("hls.container={container}");
        let mut server = Server::start(&["hls.segment_duration=1s", &setting]);
        let _publisher = publish(&server, "live/gst");
        let pipeline = format!(
            "-q souphttpsrc is-live=true location={} ! tsparse ! tsdemux name=d d. ! queue ! \
             h264parse ! avdec_h264 ! identity eos-after=40 ! fakesink",
            server.url("http+ts", "live/gst")
        );
        program("gst-launch-1.0", blanks(&pipeline)).finish();
        // Its player has no such end: what it shows is counted while it plays.
        let uri = format!("uri={}", server.url("http+hls", "live/gst"));
        let sink = |name: &str| format!("{name}-sink=fakesink name={name} silent=false sync=true");
        let arguments = ["-v".to_owned(), "playbin".to_owned(), uri, sink("video"), sink("audio")];
        let mut player = program("gst-launch-1.0", arguments);
        for name in ["video", "audio"] {
            let line = format!("GstFakeSink:{name}: last-message = chain");
            wait_until("it plays", || player.stdout().matches(&line).count() >= 40);
        }
        player.kill();
        server.assert_healthy();
    }
}

/// VLC refuses to run as root.
#[test]
fn vlc_plays_ts_and_hls() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let is_root = std::fs::metadata("/proc/self").expect("this process").uid() == 0;
    let anybody = std::fs::Permissions::from_mode(0o777);
    let folder = tempfile::Builder::new().permissions(anybody.clone()).tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), anybody).expect("a folder for anybody");
    let mut server = Server::start(&["hls.segment_duration=1s"]);
    let _publisher = publish(&server, "live/vlc");
    for scheme in ["http+ts", "http+hls"] {
        let saved = folder.path().join(scheme).display().to_string();
        let home = format!("HOME={}", folder.path().display());
        let out = format!("--sout=#std{{access=file,mux=ts,dst={saved}}}");
        let url = server.url(scheme, "live/vlc");
        let player = ["cvlc", "-I", "dummy", "--quiet", &url, &out, "--run-time=5", "vlc://quit"];
        let somebody = ["runuser", "-u", "nobody", "--"].into_iter().filter(|_| is_root);
        let arguments: Vec<&str> = somebody.chain(["env", &home]).chain(player).collect();
        program(arguments[0], &arguments[1..]).finish();
        let frames = Frames::parse(&Frames::reader(&format!("-i {saved}"), "h264", false).finish());
        assert!(frames.count("video0") >= 50, "{scheme}: {}", frames.count("video0"));
        assert!(frames.count("audio0") >= 80, "{scheme}: {}", frames.count("audio0"));
    }
    server.assert_healthy();
}

#[test]
fn rtmpdump_saves_the_stream() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let file = server.file("dump.flv");
    let arguments = format!("-q -v -r {} -o {}", server.url("rtmp", "live/dump"), file.display());
    let dump = program("rtmpdump", blanks(&arguments));
    wait_until("rtmpdump waits", || server.viewers("live/dump") == 1);
    let input = material("h264-aac.mp4");
    let (input, url) = (input.display(), server.url("rtmp", "live/dump"));
    ffmpeg(&format!("-re -i {input} -c copy -f flv {url}")).finish();
    dump.finish();
    let text = Frames::reader(&format!("-i {}", file.display()), "h264", false).finish();
    let frames = Frames::parse(&text);
    assert_eq!(frames.count("video0"), 150);
    assert!(frames.count("audio0") >= 250, "{} audio frames", frames.count("audio0"));
    server.assert_healthy();
}

#[test]
fn mpv_plays() {
    let mut server = Server::start(&[]);
    let _publisher = publish(&server, "live/mpv");
    for scheme in ["rtmp", "http", "http+ts", "http+mp4", "http+hls"] {
        let url = server.url(scheme, "live/mpv");
        let arguments = format!("--no-config --really-quiet --vo=null --ao=null --frames=30 {url}");
        program("mpv", blanks(&arguments)).finish();
    }
    server.assert_healthy();
}

#[test]
fn all_tracks_reach_a_viewer_that_takes_them() {
    let mut server = Server::start(&["stream.grace=0s"]);
    let (first, second) = (material("h264-aac.mp4"), material("hevc-aac.mp4"));
    let (first, second) = (first.display(), second.display());
    let inputs = format!("-i {first} -i {second} -map 0:v -map 1:v -map 0:a -map 1:a -c copy");
    let reference = server.file("reference.flv");
    modern_ffmpeg(&format!("-y {inputs} -f flv {}", reference.display())).finish();
    let sent = Frames::reader(&format!("-i {}", reference.display()), "", true).finish();
    let sent = Frames::parse(&sent);
    assert_eq!(sent.names(), ["audio0", "audio1", "video0", "video1"]);

    let url = server.url("http", "live/multi");
    let all = Frames::reader(&format!("-i {url}?multitrack=1"), "", true);
    let old = Frames::reader(&format!("-i {url}"), "", false);
    wait_until("the viewers wait", || server.viewers("live/multi") == 2);
    let publish = server.url("rtmp", "live/multi");
    let inputs = inputs.replace("-i ", "-re -i ");
    modern_ffmpeg(&format!("{inputs} -f flv {publish}")).finish();

    // Each track is there whole, whatever number the players give it.
    let all = Frames::parse(&all.finish());
    assert_eq!(all.names(), sent.names());
    for name in sent.names() {
        let missing = sent.count(name) - all.count(name);
        assert!(missing <= 8, "{name}: {missing} of {} are missing", sent.count(name));
    }
    let old = Frames::parse(&old.finish());
    assert_eq!(old.names(), ["audio0", "video0"]);
    assert_eq!(old.count("video0"), sent.count("video0"));
    server.assert_healthy();
}

#[test]
fn a_viewer_of_a_running_stream_starts_at_a_key_frame() {
    let mut server = Server::start(&[]);
    let _publisher = publish(&server, "live/running");
    wait_until("a second has passed", || {
        server.group("live/running")["in_frame_per_sec"].as_array().is_some_and(|s| s.len() > 1)
    });
    for scheme in ["rtmp", "http"] {
        let input = format!("-t 2 -i {}", server.url(scheme, "live/running"));
        let frames = Frames::parse(&Frames::reader(&input, "h264", false).finish());
        let sent =
            Frames::reader(&format!("-i {}", material("h264-aac.mp4").display()), "h264", false);
        let keys: Vec<String> = Frames::parse(&sent.finish())
            .track("video0")
            .into_iter()
            .step_by(25)
            .map(|(_, _, hash)| hash)
            .collect();
        let video = frames.track("video0");
        assert!(keys.contains(&video[0].2), "{scheme} does not start at a key frame");
        assert!(video.len() > 25, "{scheme}: {} pictures", video.len());
    }
    server.assert_healthy();
}

#[test]
fn a_change_of_size_reaches_every_viewer() {
    let mut server = Server::start(&["stream.grace=5s"]);
    let url = server.url("rtmp", "live/size");
    let viewer = Frames::reader(&format!("-i {}", server.url("http", "live/size")), "h264", false);
    wait_until("the viewer waits", || server.viewers("live/size") == 1);
    for clip in ["h264-aac.mp4", "small.mp4"] {
        let input = material(clip);
        ffmpeg(&format!("-re -t 2 -i {} -c copy -f flv {url}", input.display())).finish();
    }
    wait_until("the second size is known", || server.group("live/size")["video_width"] == 160);
    let frames = Frames::parse(&viewer.finish());
    let video = frames.track("video0");
    assert!(video.len() >= 98, "{} pictures of two publishers", video.len());
    assert!(video.windows(2).all(|pair| pair[0].0 < pair[1].0), "time went back");
    server.assert_healthy();
}

#[test]
fn the_reference_is_compared_at_all() {
    let one = Frames::reader(&format!("-i {}", material("h264-aac.mp4").display()), "h264", false);
    let two = Frames::reader(&format!("-i {}", material("baseline.mp4").display()), "h264", false);
    let (one, two) = (Frames::parse(&one.finish()), Frames::parse(&two.finish()));
    assert_same(&one, &one, 0);
    let differ = std::panic::catch_unwind(|| assert_same(&one, &two, 0));
    assert!(differ.is_err(), "different clips pass for the same");
}
