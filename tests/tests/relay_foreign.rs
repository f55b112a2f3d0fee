//! Relays between this server and those of others: nginx-rtmp, GStreamer's RTSP server, ffmpeg.

use std::net::TcpStream;
use std::path::PathBuf;

use headwater_e2e::{
    Frames, Program, Server, assert_piece, clip, ffmpeg, free_port, material, program, root,
    wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// nginx with its module for RTMP: streams below `live/`, and HLS of them.
struct Nginx {
    _program: Program,
    _folder: TempDir,
    rtmp: u16,
    http: u16,
}

impl Nginx {
    fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let (rtmp, http) = (free_port(), free_port());
        let at = folder.path().display();
        let config = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n\
             daemon off; master_process off; pid {at}/pid; error_log {at}/log warn;\n\
             events {{}}\n\
             rtmp {{ access_log off; server {{ listen 127.0.0.1:{rtmp};\n\
               application live {{ live on; hls on; hls_path {at}/hls; hls_fragment 1s; }} }} }}\n\
             http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
               fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi;\n\
               scgi_temp_path {at}/scgi;\n\
               server {{ listen 127.0.0.1:{http}; root {at}; }} }}\n"
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config).expect("a file");
        let path = path.display().to_string();
        // A service's folder of programs is not on everybody's path.
        let program =
            program("/usr/sbin/nginx", ["-p", &at.to_string(), "-c", &path, "-e", "stderr"]);
        let is_up = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
        wait_until("nginx listens", || is_up(rtmp) && is_up(http));
        Self { _program: program, _folder: folder, rtmp, http }
    }

    fn url(&self, stream: &str) -> String {
        format!("rtmp://127.0.0.1:{}/live/{stream}", self.rtmp)
    }

    fn playlist(&self, stream: &str) -> String {
        format!("http://127.0.0.1:{}/hls/{stream}.m3u8", self.http)
    }
}

/// GStreamer's server, which plays the clip at `/clip` and writes what comes to `/record`.
struct Gst {
    _program: Program,
    port: String,
    folder: TempDir,
}

impl Gst {
    fn start() -> Self {
        let script = root().join("tests/peers/gst_rtsp_server.py").display().to_string();
        let clip = material("h264-aac.mp4").display().to_string();
        let folder = TempDir::new().expect("a folder");
        let recorded = folder.path().join("recorded.mkv").display().to_string();
        // GStreamer is known to Debian's own Python alone.
        let program = program("/usr/bin/python3", [script, clip, recorded]);
        let port = program.line("port ");
        Self { _program: program, port, folder }
    }

    fn recorded(&self) -> PathBuf {
        self.folder.path().join("recorded.mkv")
    }

    fn url(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{path}", self.port)
    }
}

fn pull(server: &Server, stream: &str, order: &Value) {
    let (status, body) = server.v1("POST", "pulls", order);
    assert_eq!(status, 200, "{body}");
    wait_until("the stream is pulled", || server.is_live(stream));
}

fn push(server: &Server, to: &str) {
    let order = json!({ "stream": "live/clip", "to": to });
    let (status, body) = server.v1("POST", "pushes", &order);
    assert_eq!(status, 200, "{body}");
}

fn stop(server: &Server, kind: &str, stream: &str) {
    let (status, body) = server.v1("DELETE", &format!("{kind}?stream={stream}"), &Value::Null);
    assert_eq!(status, 200, "{body}");
}

#[test]
fn what_nginx_has_is_pulled_over_rtmp_and_as_hls() {
    let nginx = Nginx::start();
    let _clip = clip::publish(&nginx.url("clip"));
    let server = Server::start(&["stream.grace=0s", "relay.retry_max=1s"]);
    let sent = clip::frames();
    for (name, from) in [("rtmp", nginx.url("clip")), ("hls", nginx.playlist("clip"))] {
        let stream = format!("live/{name}");
        pull(&server, &stream, &json!({ "stream": stream, "from": [from] }));
        for scheme in ["http", "rtsp"] {
            assert_piece(&sent, &clip::seen(&server.url(scheme, &stream)), 25);
        }
        stop(&server, "pulls", &stream);
    }
}

#[test]
fn nginx_takes_what_is_pushed() {
    let nginx = Nginx::start();
    // What comes over RTSP has its parameter sets and times from elsewhere.
    let server = Server::start(&[]);
    let _clip = clip::publish(&server.url("rtsp", "live/clip"));
    wait_until("the stream is there", || server.is_live("live/clip"));
    push(&server, &nginx.url("pushed?key=a&token=b%20c"));
    wait_until("it is pushed", || {
        let (_, body) = server.v1("GET", "pushes", &Value::Null);
        body["items"][0]["state"] == "running"
    });
    assert_piece(&clip::frames(), &clip::seen(&nginx.url("pushed")), 25);
}

#[test]
fn what_gstreamer_serves_is_pulled_over_rtsp() {
    let server = Server::start(&["stream.grace=0s", "server.wait_for_stream=5s"]);
    let sent = clip::frames();
    for transport in ["tcp", "udp"] {
        // The file ends; each way sees it from its beginning.
        let gst = Gst::start();
        let stream = format!("live/{transport}");
        let order =
            json!({ "stream": stream, "from": [gst.url("clip")], "rtsp_transport": transport });
        pull(&server, &stream, &order);
        assert_piece(&sent, &clip::seen(&server.url("http", &stream)), 25);
        stop(&server, "pulls", &stream);
        wait_until("it has ended here", || !server.is_live(&stream));
    }
}

#[test]
fn gstreamer_and_ffmpeg_take_what_is_pushed_over_rtsp() {
    let server = Server::start(&["relay.retry_min=100ms", "relay.retry_max=500ms"]);
    let sent = clip::frames();
    let _clip = clip::on(&server, "live/clip");
    let gst = Gst::start();
    push(&server, &gst.url("record"));
    wait_until("three seconds are recorded", || {
        std::fs::metadata(gst.recorded()).is_ok_and(|file| file.len() > 120_000)
    });
    stop(&server, "pushes", "live/clip");
    let got = clip::read(&gst.recorded().display().to_string());
    assert!(got.count("video0") > 50 && got.count("audio0") > 50, "{:?}", got.names());

    let url = format!("rtsp://127.0.0.1:{}/x", free_port());
    let input = format!("-rtsp_flags listen -t 4 -i {url}");
    let listener = Frames::reader(&input, "h264", false);
    push(&server, &url);
    let got = Frames::parse(&listener.finish());
    assert!(got.count("video0") > 50 && got.count("audio0") > 50, "{:?}", got.names());
    assert_piece(&sent, &got, 40);
}

#[test]
fn what_ffmpeg_sends_as_a_transport_stream_is_pulled() {
    let port = free_port();
    let file = material("h264-aac.mp4");
    let url = format!("http://127.0.0.1:{port}/clip.ts");
    let _source = ffmpeg(&format!(
        "-re -stream_loop -1 -i {} -c copy -f mpegts -listen 1 {url}",
        file.display()
    ));
    let server = Server::start(&["relay.retry_min=100ms", "relay.retry_max=500ms"]);
    pull(&server, "live/pulled", &json!({ "stream": "live/pulled", "from": [url] }));
    assert_piece(&clip::frames(), &clip::seen(&server.url("http", "live/pulled")), 25);
}
