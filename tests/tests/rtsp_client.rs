//! The client side: streams are pulled from RTSP servers and pushed to them, whatever these think
//! of transports, passwords and places.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_e2e::lossy::{Lossy, Weather};
use headwater_e2e::rtsp_raw::{Camera, H264, PCMA, at_the_end, rtp};
use headwater_e2e::{Frames, Program, Server, assert_piece, clip, headwater, material, wait_until};
use serde_json::{Value, json};

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

/// A server that answers as it is told: `answer` gets the number of the connection, the method, the
/// number of the `SETUP` and its transport, and says what is sent; then comes `media` until that
/// cannot be sent.
fn scripted(
    answer: impl Fn(usize, &str, usize, &str) -> Vec<u8> + Send + Sync + 'static,
    media: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let here = listener.local_addr().expect("an address");
    let (answer, media) = (Arc::new(answer), Arc::new(media));
    std::thread::spawn(move || {
        for (number, connection) in listener.incoming().enumerate() {
            let mut connection = connection.expect("a connection");
            let (answer, media) = (answer.clone(), media.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(connection.try_clone().expect("a socket"));
                let (mut head, mut setups) = (String::new(), 0);
                while reader.read_line(&mut head).is_ok_and(|length| length > 0) {
                    if !head.ends_with("\r\n\r\n") {
                        continue;
                    }
                    let request = std::mem::take(&mut head);
                    let line = |name: &str| {
                        request.lines().find(|line| line.starts_with(name)).unwrap_or_default()
                    };
                    let method = request.split(' ').next().unwrap_or_default();
                    let transport = line("Transport").trim_start_matches("Transport: ");
                    setups += usize::from(method == "SETUP");
                    let mut said = answer(number, method, setups, transport);
                    let place = said.windows(4).position(|word| word == b"CSEQ");
                    let place = place.expect("a place for the number");
                    said.splice(place..place + 4, line("CSeq").bytes());
                    if connection.write_all(&said).is_err() {
                        return;
                    }
                    if method == "PLAY" {
                        while media(&mut connection).is_ok() {}
                        return;
                    }
                }
            });
        }
    });
    format!("rtsp://{here}/live/scripted")
}

/// What a usual server says, with sound and pictures.
fn usual(method: &str, transport: &str) -> String {
    let body = if method == "DESCRIBE" { format!("v=0\r\n{H264}{PCMA}") } else { String::new() };
    let transport = match method {
        "SETUP" => format!("Transport: {transport}\r\nSession: 1\r\n"),
        _ => String::new(),
    };
    let length = body.len();
    format!("RTSP/1.0 200 OK\r\nCSEQ\r\n{transport}Content-Length: {length}\r\n\r\n{body}")
}

fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).expect("a short packet").to_be_bytes();
    [&[b'$', channel, length[0], length[1]], packet].concat()
}

/// Sends a fiftieth of a second of sound and pictures on the channels 0 and 2.
fn send_media(connection: &mut TcpStream, state: &Mutex<(Camera, u16)>) -> std::io::Result<()> {
    let mut state = state.lock().expect("one at a time");
    for packet in state.0.packets(at_the_end) {
        connection.write_all(&interleaved(0, &packet))?;
    }
    let number = state.1;
    state.1 = number.wrapping_add(1);
    let sound = rtp(8, true, number, u32::from(number) * 160, &[0xD5; 160]);
    connection.write_all(&interleaved(2, &sound))?;
    drop(state);
    std::thread::sleep(Duration::from_millis(20));
    Ok(())
}

/// A server that pulls this.
fn pulling(url: &str, transport: &str) -> Server {
    let server = Server::start(&["relay.source_idle=1s", "relay.retry_min=100ms"]);
    let order = json!({ "stream": "live/pulled", "from": [url], "rtsp_transport": transport });
    assert_eq!(server.v1("POST", "pulls", &order).0, 200);
    server
}

fn both_tracks_flow(server: &Server) {
    wait_until("both tracks are there", || {
        let group = server.group("live/pulled");
        group["video_codec"] == "H264" && group["audio_codec"] == "PCMA"
    });
}

fn last_error(server: &Server) -> String {
    let (_, pulls) = server.v1("GET", "pulls", &Value::Null);
    pulls["items"][0]["last_error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn packets_that_come_before_the_last_answer_lose_no_track() {
    let state = Mutex::new((Camera::new(), 0));
    let early = interleaved(0, b"\x80\x60\0\x01\0\0\0\x01\x12\x34\x56\x78A");
    let url = scripted(
        move |_, method, setups, transport| {
            let mut said = usual(method, transport).into_bytes();
            if setups == 1 {
                said.extend_from_slice(&early);
            }
            said
        },
        move |connection| send_media(connection, &state),
    );
    both_tracks_flow(&pulling(&url, "tcp"));
}

#[test]
fn where_datagrams_are_refused_for_the_second_medium_both_come_over_the_connection() {
    let state = Mutex::new((Camera::new(), 0));
    let url = scripted(
        |_, method, setups, transport| match (setups, transport.contains("client_port")) {
            (2.., true) => b"RTSP/1.0 461 Unsupported Transport\r\nCSEQ\r\n\r\n".to_vec(),
            _ => usual(method, transport).into_bytes(),
        },
        move |connection| send_media(connection, &state),
    );
    both_tracks_flow(&pulling(&url, "auto"));
}

#[test]
fn a_server_that_sends_reports_alone_is_given_up_and_never_was_a_publisher() {
    let url = scripted(
        |_, method, _, transport| usual(method, transport).into_bytes(),
        |connection| {
            let report = b"\x80\xC9\0\x01\x12\x34\x56\x78";
            connection.write_all(&interleaved(1, report))?;
            std::thread::sleep(Duration::from_millis(100));
            Ok(())
        },
    );
    let server = pulling(&url, "tcp");
    wait_until("it is given up", || {
        assert!(!server.is_live("live/pulled"));
        last_error(&server).contains("sent nothing")
    });
}

#[test]
fn a_server_that_says_goodbye_has_ended() {
    let state = Mutex::new((Camera::new(), 0));
    let sent = Mutex::new(0);
    let url = scripted(
        |_, method, _, transport| usual(method, transport).into_bytes(),
        move |connection| {
            let mut sent = sent.lock().expect("one at a time");
            *sent += 1;
            match *sent {
                ..=25 => send_media(connection, &state),
                26 => [1, 3].into_iter().try_for_each(|channel| {
                    let goodbye = b"\x81\xCB\0\x01\x12\x34\x56\x78";
                    connection.write_all(&interleaved(channel, goodbye))
                }),
                _ => {
                    std::thread::sleep(Duration::from_millis(100));
                    connection.write_all(b"")
                }
            }
        },
    );
    let server = pulling(&url, "tcp");
    wait_until("it has ended", || !last_error(&server).is_empty());
    assert!(!last_error(&server).contains("sent nothing"), "{}", last_error(&server));
}

#[test]
fn datagrams_may_come_from_the_source_that_the_server_names() {
    let sockets = [0, 1].map(|_| UdpSocket::bind("127.0.0.2:0").expect("a port"));
    let ours = sockets.each_ref().map(|s| s.local_addr().expect("an address").port());
    let theirs = Arc::new(Mutex::new(Vec::<u16>::new()));
    let (told, state) = (theirs.clone(), Mutex::new((Camera::new(), 0u16)));
    let url = scripted(
        move |_, method, setups, transport| {
            if method != "SETUP" {
                return usual(method, transport).into_bytes();
            }
            let (_, ports) = transport.split_once("client_port=").expect("ports");
            let port = ports.split(['-', ';', ','].as_slice()).next().expect("a port");
            told.lock().expect("no panic").push(port.parse().expect("a number"));
            let server = ours[setups - 1];
            let named = format!("source=127.0.0.2;server_port={server}-{}", server + 1);
            usual(method, &format!("RTP/AVP;unicast;client_port={ports};{named}")).into_bytes()
        },
        move |connection| {
            let ports = theirs.lock().expect("no panic").clone();
            let mut state = state.lock().expect("one at a time");
            let send = |track: usize, packet: &[u8]| {
                // Nobody may hear it any more.
                let _ = sockets[track].send_to(packet, ("127.0.0.1", ports[track]));
            };
            state.0.packets(at_the_end).iter().for_each(|packet| send(0, packet));
            let number = state.1;
            state.1 = number.wrapping_add(1);
            send(1, &rtp(8, true, number, u32::from(number) * 160, &[0xD5; 160]));
            drop(state);
            std::thread::sleep(Duration::from_millis(20));
            connection.write_all(b"")
        },
    );
    both_tracks_flow(&pulling(&url, "udp"));
}
