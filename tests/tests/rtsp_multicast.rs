//! Viewers of groups: each track is sent once, and only while somebody plays it.

use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use headwater_e2e::rtsp_raw::{Answer, Peer};
use headwater_e2e::{
    Frames, PATIENCE, Program, Server, assert_piece, clip, headwater, program, wait_until,
};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

const MULTICAST: &str = "Transport: RTP/AVP;multicast";

/// Groups on this host alone.
const SETTINGS: [&str; 2] = ["rtsp.multicast=true", "rtsp.multicast_interface=127.0.0.1"];

const STREAM: &str = "live/many";

/// How long nothing must come for nothing to be sent: five pictures.
const SILENCE: Duration = Duration::from_millis(200);

fn server(more: &[&str]) -> Server {
    Server::start(&[&SETTINGS, more].concat())
}

/// A publisher of a picture and a sound track.
fn publish(server: &Server) -> Program {
    let publisher = clip::on(server, STREAM);
    wait_until("the stream is there", || server.group(STREAM)["audio_codec"] == "AAC");
    publisher
}

/// Where a track goes, as the answer to `SETUP` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    address: Ipv4Addr,
    rtp: u16,
    rtcp: u16,
}

impl Group {
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let transport = answer.field("Transport").expect("a transport");
        let value = |name: &str| {
            let mut all = transport.split(';').filter_map(|part| part.split_once('='));
            all.find(|(key, _)| *key == name).expect(transport).1
        };
        assert!(transport.starts_with("RTP/AVP;multicast;"), "{transport}");
        assert_eq!((value("ttl"), value("source")), ("1", "127.0.0.1"), "{transport}");
        let (rtp, rtcp) = value("port").split_once('-').expect("two ports");
        let group = Self {
            address: value("destination").parse().expect("an address"),
            rtp: rtp.parse().expect("a port"),
            rtcp: rtcp.parse().expect("a port"),
        };
        assert!(group.address.is_multicast() && group.rtcp == group.rtp + 1, "{group:?}");
        group
    }

    fn listen(self, port: u16) -> UdpSocket {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("a port that others have, too");
        socket.bind(&SocketAddrV4::new(self.address, port).into()).expect("the group's port");
        socket.join_multicast_v4(&self.address, &Ipv4Addr::LOCALHOST).expect("the group");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.into()
    }
}

/// The sequence number of the next packet.
fn next(socket: &UdpSocket) -> u16 {
    let mut packet = [0; 2_000];
    let length = socket.recv(&mut packet).expect("a packet");
    assert!(length > 12 && packet[0] >> 6 == 2, "{:?}", &packet[..length]);
    u16::from_be_bytes([packet[2], packet[3]])
}

/// Takes what is there already: it may be more than the socket holds.
fn drain(socket: &UdpSocket) {
    socket.set_nonblocking(true).expect("a mode");
    while socket.recv(&mut [0; 2_000]).is_ok() {}
    socket.set_nonblocking(false).expect("a mode");
}

/// Fails unless each of so many packets follows the one before it, and comes once.
fn flows(socket: &UdpSocket, packets: usize) {
    drain(socket);
    let first = next(socket);
    for number in 1..packets {
        assert_eq!(next(socket), first.wrapping_add(u16::try_from(number).expect("few")));
    }
}

/// Fails if anything comes that was not there already.
fn is_silent(socket: &UdpSocket) {
    drain(socket);
    socket.set_read_timeout(Some(SILENCE)).expect("a time-out");
    let got = socket.recv(&mut [0; 2_000]);
    assert!(got.is_err(), "{got:?} bytes after the end");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
}

/// A viewer that has set up both tracks.
fn set_up(server: &Server, source: u8) -> (Peer, [Group; 2]) {
    let source = Ipv4Addr::new(127, 0, 0, source);
    let mut viewer = Peer::connect_from(source, server.port("rtsp"), STREAM);
    let answer = viewer.ask("DESCRIBE", "", &[], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let groups = ["/trackID=0", "/trackID=1"].map(|track| {
        Group::of(&viewer.ask("SETUP", track, &["Transport: RTP/AVP/UDP;multicast"], ""))
    });
    (viewer, groups)
}

fn ok(viewer: &mut Peer, method: &str) -> Answer {
    let answer = viewer.ask(method, "", &[], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// How many groups have ended by now.
fn ended(server: &Server) -> usize {
    server.log().lines().filter(|line| line.contains("a group ends")).count()
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a process").count()
}

fn viewers(server: &Server) -> Vec<Value> {
    server.group(STREAM)["subs"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_track_is_sent_once_while_anybody_plays_it() {
    let mut server = server(&[]);
    let _publisher = publish(&server);
    let before = descriptors(&server);
    let (mut first, groups) = set_up(&server, 1);
    let (mut second, same) = set_up(&server, 2);
    assert_eq!(groups, same);
    assert!(groups[0].address != groups[1].address && groups[0].rtp != groups[1].rtp);
    let [video, audio] = groups.map(|group| group.listen(group.rtp));
    let reports = groups[0].listen(groups[0].rtcp);
    is_silent(&video);
    let info = ok(&mut first, "PLAY");
    let info = info.field("RTP-Info").expect("it");
    assert!(info.contains("trackID=0;rtptime=") && info.contains("trackID=1;rtptime="), "{info}");
    flows(&video, 50);
    ok(&mut second, "PLAY");
    flows(&video, 100);
    flows(&audio, 20);
    let mut report = [0; 2_000];
    reports.recv(&mut report).expect("a report");
    assert_eq!(report[1], 200, "a sender report");
    // Each has had half of it since both play: what goes over the wire is counted once.
    let written = || {
        let all = viewers(&server);
        let bytes = |viewer: &Value| viewer["wrote_bytes_sum"].as_u64().unwrap_or_default();
        (all.len(), all.iter().map(bytes).min().unwrap_or_default())
    };
    wait_until("both have a share", || written().0 == 2 && written().1 > 20_000);
    // One that pauses stops nobody else.
    ok(&mut first, "PAUSE");
    assert_eq!(ended(&server), 0);
    flows(&video, 50);
    ok(&mut second, "TEARDOWN");
    wait_until("nothing is sent", || ended(&server) == 2);
    is_silent(&video);
    is_silent(&audio);
    // It goes on where it was.
    ok(&mut first, "PLAY");
    flows(&video, 50);
    // A newcomer gets what is running, and whoever is kicked ends nobody else's.
    let (mut third, same) = set_up(&server, 3);
    assert_eq!(groups, same);
    ok(&mut third, "PLAY");
    let is_first = |viewer: &Value| {
        viewer["remote_addr"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:"))
    };
    let all = viewers(&server);
    let id = &all.iter().find(|viewer| is_first(viewer)).expect("the first one")["session_id"];
    let order = json!({ "stream_name": "many", "session_id": id });
    assert_eq!(server.api_post("/api/ctrl/kick_session", &order)["error_code"], 0);
    assert!(first.is_sent_away());
    flows(&video, 100);
    drop(third);
    wait_until("nothing is sent", || ended(&server) == 4);
    is_silent(&video);
    wait_until("the sockets are closed", || descriptors(&server) <= before);
    server.assert_healthy();
}

#[test]
fn the_end_of_a_stream_is_that_of_its_groups() {
    let mut server = server(&["stream.grace=0s", "server.wait_for_stream=1s"]);
    let publisher = publish(&server);
    let (mut viewer, groups) = set_up(&server, 1);
    let (mut waiting, _) = set_up(&server, 2);
    let reports = groups[0].listen(groups[0].rtcp);
    ok(&mut viewer, "PLAY");
    flows(&groups[0].listen(groups[0].rtp), 20);
    drop(publisher);
    assert!(viewer.is_sent_away());
    let goodbye = |packet: &[u8]| packet.windows(2).any(|pair| pair == [0x81, 203]);
    let mut packet = [0; 2_000];
    wait_until("a goodbye is sent", || {
        let length = reports.recv(&mut packet).expect("a report");
        goodbye(&packet[..length])
    });
    // Whoever has not played yet may still leave.
    ok(&mut waiting, "TEARDOWN");
    wait_until("nobody is there", || server.viewers(STREAM) == 0);
    server.assert_healthy();
}

#[test]
fn whoever_reports_is_alive_and_whoever_is_silent_is_not() {
    let mut server = server(&["rtsp.session_timeout=4s"]);
    let _publisher = publish(&server);
    let mut speakers = Vec::new();
    for source in [2, 3] {
        let (mut viewer, groups) = set_up(&server, source);
        ok(&mut viewer, "PLAY");
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, source), 0)).expect("a socket");
        let source = Ipv4Addr::new(127, 0, 0, source);
        socket2::SockRef::from(&socket).set_multicast_if_v4(&source).expect("an interface");
        // To the group, or to where its reports come from.
        let to = if speakers.is_empty() { groups[0].address } else { Ipv4Addr::LOCALHOST };
        speakers.push((viewer, socket, SocketAddrV4::new(to, groups[0].rtcp)));
    }
    let (mut silent, groups) = set_up(&server, 4);
    ok(&mut silent, "PLAY");
    let video = groups[0].listen(groups[0].rtp);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
    wait_until("the silent one is sent away", || {
        for (_, socket, to) in &speakers {
            socket.send_to(&report, to).expect("a report");
        }
        // About as often as pictures come.
        next(&video);
        server.viewers(STREAM) < 3
    });
    // The others have begun before it.
    assert!(silent.is_sent_away());
    assert_eq!(server.viewers(STREAM), 2, "{}", server.log());
    for (viewer, ..) in &mut speakers {
        ok(viewer, "OPTIONS");
    }
    server.assert_healthy();
}

#[test]
fn groups_are_bounded_and_chosen_by_the_server() {
    let mut server = server(&["rtsp.multicast_groups=239.255.91.8/31", "rtsp.setup_timeout=2s"]);
    let _publisher = publish(&server);
    let other = clip::on(&server, "live/other");
    let port = server.port("rtsp");
    let mut viewer = Peer::connect(port, STREAM);
    let theirs = "Transport: RTP/AVP;multicast;destination=224.1.2.3;port=4000-4001;ttl=255";
    let mut groups = ["/trackID=0", "/trackID=1"]
        .map(|track| Group::of(&viewer.ask("SETUP", track, &[theirs], "")));
    groups.sort();
    let addresses = groups.map(|group| group.address.to_string());
    assert_eq!(addresses, ["239.255.91.8", "239.255.91.9"]);
    // Now there is none left, for another stream alone.
    let mut late = Peer::connect(port, "live/other");
    assert_eq!(late.ask("SETUP", "/trackID=0", &[MULTICAST], "").status, 453);
    let both = format!("{MULTICAST},RTP/AVP/TCP;unicast;interleaved=0-1");
    let answer = late.ask("SETUP", "/trackID=0", &[&both], "");
    assert!(answer.field("Transport").is_some_and(|way| way.contains("/TCP;")), "{answer:?}");
    // Both tracks go the same way.
    assert_eq!(late.ask("SETUP", "/trackID=1", &[MULTICAST], "").status, 461);
    let mut shares = Peer::connect(port, STREAM);
    Group::of(&shares.ask("SETUP", "/trackID=0", &[MULTICAST], ""));
    drop(shares);
    // Whoever does not play, or is cut off, gives them back.
    assert!(viewer.is_sent_away());
    for cut in [true, false, true] {
        let mut next = Peer::connect(port, "live/other");
        // One may be free a moment before the other.
        for track in ["/trackID=0", "/trackID=1"] {
            wait_until("it is free", || next.ask("SETUP", track, &[MULTICAST], "").status == 200);
        }
        ok(&mut next, "PLAY");
        if cut {
            drop(next);
        } else {
            ok(&mut next, "TEARDOWN");
        }
    }
    drop(other);
    server.assert_healthy();
}

#[test]
fn groups_are_off_unless_they_are_wanted() {
    for settings in [&[][..], &["rtsp.multicast=true", "rtsp.udp=false"]] {
        let server = Server::start(settings);
        let _publisher = publish(&server);
        let mut viewer = Peer::connect(server.port("rtsp"), STREAM);
        assert_eq!(viewer.ask("SETUP", "/trackID=0", &[MULTICAST], "").status, 461);
        let both = format!("{MULTICAST},RTP/AVP/TCP;unicast;interleaved=0-1");
        assert_eq!(viewer.ask("SETUP", "/trackID=0", &[&both], "").status, 200);
    }
    // Groups are of IPv4.
    let server = server(&["rtsp.listen=[::1]:0"]);
    let _publisher = publish(&server);
    let address = format!("[::1]:{}", server.port("rtsp"));
    let Ok(mut socket) = TcpStream::connect(&address) else { panic!("{address}") };
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let url = format!("rtsp://{address}/{STREAM}/trackID=0");
    let request = format!("SETUP {url} RTSP/1.0\r\nCSeq: 1\r\n{MULTICAST}\r\n\r\n");
    std::io::Write::write_all(&mut socket, request.as_bytes()).expect("a request");
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut socket, &mut answer).expect("an answer");
    assert_eq!(&answer, b"RTSP/1.0 461");
}

#[test]
fn an_interface_of_another_host_is_told_at_once() {
    let interface = "rtsp.multicast_interface=198.51.100.7";
    let mut program = headwater(&["serve", "--set", "rtsp.multicast=true", "--set", interface]);
    let refused = "cannot send to groups from 198.51.100.7";
    wait_until("it says so", || program.stderr().contains(refused));
    program.kill();
}

/// Whether this is the only program of a network of its own, in which groups go by `lo`; if not, the
/// test is run again in one. Players cannot be told which interface to listen at, and on that of
/// this host everybody would hear us.
fn alone(test: &str) -> bool {
    const MARK: &str = "HEADWATER_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let prepare = "ip link set lo up multicast on; ip route add 239.0.0.0/8 dev lo src 127.0.0.1";
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.unwrap_or_else(|error| panic!("{program}: {error}; `scripts/setup` installs it"))
    };
    run("ip", &["-Version"]);
    // Some kernels forbid users of one's own; root needs none.
    let ways: [&[&str]; 2] = [&["--user", "--map-root-user", "--net"], &["--net"]];
    let mut complaints = Vec::new();
    let way = ways.into_iter().find(|way| {
        let output = run("unshare", &[*way, &["sh", "-ec", prepare]].concat());
        complaints.push(String::from_utf8_lossy(&output.stderr).into_owned());
        output.status.success()
    });
    let way = way.unwrap_or_else(|| {
        panic!("{test} needs a network of its own, by a user namespace or as root: {complaints:?}")
    });
    let this = std::env::current_exe().expect("this program");
    let status = Command::new("unshare")
        .args(way)
        .args(["sh", "-ec"])
        .arg(format!("{prepare}; exec \"$0\" --exact {test} --nocapture"))
        .arg(this)
        .env(MARK, "1")
        .status()
        .expect("unshare");
    assert!(status.success(), "{test} failed in a network of its own");
    false
}

#[test]
fn players_see_what_was_sent() {
    if !alone("players_see_what_was_sent") {
        return;
    }
    // By the routes of the system, as players do it.
    let mut server = Server::start(&["rtsp.multicast=true"]);
    let _publisher = publish(&server);
    let url = server.url("rtsp", STREAM);
    let read = |seconds: u32| {
        let input = format!("-rtsp_transport udp_multicast -t {seconds} -i {url}");
        Frames::reader(&input, "h264", false)
    };
    let first = read(6);
    wait_until("one watches", || server.viewers(STREAM) == 1);
    let second = read(3);
    let sent = clip::frames();
    for (viewer, least) in [(second, 40), (first, 80)] {
        assert_piece(&sent, &Frames::parse(&viewer.finish()), least);
    }
    wait_until("nothing is sent", || ended(&server) == 2 && server.viewers(STREAM) == 0);
    // Apart from the others: on `lo`, GStreamer hears its own reports and says goodbye for them,
    // which ffmpeg takes for the end of the stream.
    let pictures = server.file("pictures");
    let gstreamer = program(
        "gst-launch-1.0",
        format!(
            "-q rtspsrc location={url} protocols=udp-mcast latency=200 name=s \
             s. ! application/x-rtp,media=video ! rtph264depay ! avdec_h264 ! videoconvert ! \
             video/x-raw,format=I420 ! filesink buffer-mode=unbuffered location={} \
             s. ! application/x-rtp,media=audio ! rtpmp4gdepay ! fakesink",
            pictures.display()
        )
        .split_whitespace(),
    );
    let shown = || std::fs::metadata(&pictures).map_or(0, |file| file.len() / (320 * 180 * 3 / 2));
    wait_until("GStreamer shows it", || shown() > 50);
    drop(gstreamer);
    wait_until("nothing is sent", || ended(&server) == 4);
    server.assert_healthy();
}
