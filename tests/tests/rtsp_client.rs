//! The client side: streams are pulled from RTSP servers and pushed to them, whatever these think
//! of transports, passwords and places.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use headwater_e2e::lossy::{Lossy, Weather};
use headwater_e2e::{Frames, Program, Server, assert_piece, clip, headwater, material, wait_until};

/// The program under test; arguments are separated by blanks.
fn tool(arguments: &str) -> Program {
    headwater(&arguments.split_whitespace().collect::<Vec<_>>())
}

fn published(server: &Server, stream: &str, login: &str) -> Program {
    let url = server.url("rtsp", stream).replacen("rtsp://", &format!("rtsp://{login}"), 1);
    let publisher = clip::publish(&url);
    wait_until("the stream is there", || server.group(stream)["video_codec"] == "H264");
    publisher
}

#[test]
fn a_stream_is_pulled_over_tcp_udp_and_tls() {
    let server = Server::start(&[]);
    let _clip = published(&server, "live/clip", "");
    let sent = clip::frames();
    for (scheme, transport) in [("rtsp", "tcp"), ("rtsp", "udp"), ("rtsps", "tcp")] {
        let (url, file) = (server.url(scheme, "live/clip"), server.file("pulled.flv"));
        let file = file.display();
        tool(&format!(
            "pull {url} {file} --insecure --rtsp-transport {transport} --duration 2 --quiet"
        ))
        .finish();
        // Over UDP it begins with the next key frame.
        assert_piece(&sent, &clip::read(&file.to_string()), 20);
    }
    wait_until("nobody is left", || server.viewers("live/clip") == 0);
}

#[test]
fn a_file_is_pushed_over_tcp_udp_and_tls() {
    let server = Server::start(&["stream.grace=0s"]);
    let file = material("h264-aac.mp4");
    let sent = clip::read(&file.display().to_string());
    for (scheme, transport) in [("rtsp", "tcp"), ("rtsp", "udp"), ("rtsps", "tcp")] {
        let stream = format!("live/{scheme}-{transport}");
        let reader = Frames::reader(&format!("-i {}", server.url("http", &stream)), "h264", false);
        wait_until("the viewer waits", || server.viewers(&stream) == 1);
        let (file, url) = (file.display(), server.url(scheme, &stream));
        tool(&format!("push {file} {url} --insecure --rtsp-transport {transport} --quiet"))
            .finish();
        let got = Frames::parse(&reader.finish());
        assert_piece(&sent, &got, 140);
    }
}

#[test]
fn where_datagrams_are_refused_or_lost_the_connection_is_used() {
    let refusing = Server::start(&["rtsp.udp=false"]);
    let _clip = published(&refusing, "live/clip", "");
    let url = refusing.url("rtsp", "live/clip");
    let file = refusing.file("pulled.flv");
    let file = file.display();
    let options = "--rtsp-transport auto --duration 8 --quiet";
    tool(&format!("pull {url} {file} {options}")).finish();
    assert!(clip::read(&file.to_string()).count("video0") > 100);
    let complaint = tool(&format!("pull {url} --rtsp-transport udp --quiet")).fail();
    assert!(complaint.contains("461"), "{complaint}");

    let server = Server::start(&[]);
    let _clip = published(&server, "live/clip", "");
    let all_lost = Weather { lost: 1_000, reordered: 0, jitter: Duration::ZERO, seed: 1 };
    let relay = Lossy::start(server.port("rtsp"), all_lost);
    let url = format!("rtsp://127.0.0.1:{}/live/clip", relay.port());
    tool(&format!("pull {url} {file} {options}")).finish();
    assert!(clip::read(&file.to_string()).count("video0") > 40);
    assert!(relay.fate().1 > 0);
}

#[test]
fn passwords_are_proved_by_every_scheme() {
    for scheme in ["digest", "digest_md5", "basic"] {
        let auth = format!("rtsp.auth={scheme}");
        let server = Server::start(&[&auth, "rtsp.username=user", "rtsp.password=a/b:c?"]);
        let _clip = published(&server, "live/clip", "user:a%2Fb%3Ac%3F@");
        let url = server.url("rtsp", "live/clip");
        let login = |login: &str| url.replacen("rtsp://", &format!("rtsp://{login}@"), 1);
        let pull = |url: &str| tool(&format!("pull {url} --duration 1 --quiet"));
        pull(&login("user:a%2Fb%3Ac%3F")).finish();
        for wrong in [url.clone(), login("user:wrong"), login("other:a%2Fb%3Ac%3F")] {
            let complaint = pull(&wrong).fail();
            assert!(complaint.contains("401"), "{complaint}");
            assert!(!complaint.contains("wrong"), "{complaint}");
        }
    }
}

#[test]
fn redirections_are_followed_but_not_for_ever() {
    let server = Server::start(&[]);
    let _clip = published(&server, "live/clip", "");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let here = listener.local_addr().expect("an address");
    let there = server.url("rtsp", "live/clip");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let mut reader = BufReader::new(connection.try_clone().expect("a socket"));
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|length| length > 0) {
                if !head.ends_with("\r\n\r\n") {
                    continue;
                }
                let cseq = head.lines().find(|line| line.starts_with("CSeq")).expect("a number");
                let location = match head.contains("/loop") {
                    true => format!("rtsp://{here}/loop"),
                    false => there.clone(),
                };
                let answer = match head.starts_with("OPTIONS") {
                    true => format!("RTSP/1.0 200 OK\r\n{cseq}\r\n\r\n"),
                    false => {
                        format!("RTSP/1.0 302 Found\r\n{cseq}\r\nLocation: {location}\r\n\r\n")
                    }
                };
                head.clear();
                if connection.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    tool(&format!("pull rtsp://{here}/elsewhere --duration 1 --quiet")).finish();
    let complaint = tool(&format!("pull rtsp://{here}/loop --quiet")).fail();
    assert!(complaint.contains("elsewhere more than"), "{complaint}");
}

#[test]
fn what_cannot_be_had_is_named() {
    let server = Server::start(&["server.wait_for_stream=0s"]);
    let (url, tls) = (server.url("rtsp", "live/none"), server.url("rtsps", "live/none"));
    let complaint = tool(&format!("pull {url} --quiet")).fail();
    assert!(complaint.contains("404"), "{complaint}");
    let complaint = tool(&format!("pull {tls} --quiet")).fail();
    assert!(complaint.contains("certificate"), "{complaint}");
    let nobody = "rtsp://127.0.0.1:1/live/none";
    let complaint = tool(&format!("pull {nobody} --quiet")).fail();
    assert!(complaint.contains("cannot connect to 127.0.0.1:1"), "{complaint}");
    let web = server.url("http", "x").replacen("http:", "rtsp:", 1);
    let complaint = tool(&format!("pull {web} --quiet")).fail();
    assert!(complaint.contains("rtsp://"), "{complaint}");
}
