//! Dialogues of the client with scripted servers, those among them that deviate from the
//! specification.

// A test fails by panicking, and its names are its documentation.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use auth::{Algorithm, Credentials, Scheme};
use bytes::Bytes;
use headwater_rtsp::Error;
use headwater_rtsp::client::{Config, Event, Purpose, Session, TransportChoice};
use headwater_rtsp::message::{Decoder, Incoming, Request};
use headwater_rtsp::transport::Lower;
use headwater_rtsp::url::Url;
use proptest::prelude::*;
use rtp::sdp;
use testkit::{VirtualClock, corrupt, split};

const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n\
                   m=audio 0 RTP/AVP 0\r\na=control:track2\r\n";

/// What is expected of the client, and what the server says to it.
///
/// The first is the beginning of the request line, and after bars, lines of the header; those with
/// an exclamation mark are not to be there. The second is status, header and, after an empty line,
/// the body; `CSeq` and `Content-Length` are added. Nothing is said if it is empty.
type Turn<'a> = (&'a str, &'a str);

/// A client session, an owner who takes all media, and a server that says whatever a test wants.
struct Dialogue {
    session: Session,
    clock: VirtualClock,
    decoder: Decoder,
    log: Vec<String>,
    /// What the server has said, turn by turn.
    said: Vec<Vec<u8>>,
    result: Result<(), Error>,
}

impl Dialogue {
    fn new(config: Config) -> Self {
        let clock = VirtualClock::new();
        let session = Session::new(config, clock.now());
        let (decoder, log, said) = (Decoder::new(), Vec::new(), Vec::new());
        Self { session, clock, decoder, log, said, result: Ok(()) }
    }

    fn play(url: &str, transport: TransportChoice) -> Self {
        Self::new(Config { transport, ..config(url, Purpose::Play) })
    }

    /// A session that plays, with a timeout of so many seconds.
    fn playing(methods: &str, timeout: u32) -> Self {
        let mut dialogue = Self::play("rtsp://cam/live", TransportChoice::Tcp);
        dialogue.turns(&[
            ("OPTIONS", &format!("200 OK\n{methods}")),
            ("DESCRIBE", &format!("200 OK\n\n{SDP}")),
            ("SETUP", &format!("200 OK\nSession: 42;timeout={timeout}")),
            ("SETUP", &format!("200 OK\nSession: 42;timeout={timeout}")),
            ("PLAY", "200 OK"),
        ]);
        assert_eq!(dialogue.log.pop().as_deref(), Some("started 0:-/- 1:-/-"));
        dialogue
    }

    fn turns(&mut self, turns: &[Turn<'_>]) {
        for (expected, answer) in turns {
            let request = self.request().unwrap_or_else(|| panic!("{expected}: {:?}", self.result));
            check(&request, expected);
            if !answer.is_empty() {
                self.input(&response(answer, request.cseq().unwrap()));
            }
        }
    }

    /// The next request of the client.
    fn request(&mut self) -> Option<Request> {
        match self.message()? {
            Incoming::Request(request) => Some(request),
            other => panic!("{other:?}"),
        }
    }

    fn message(&mut self) -> Option<Incoming> {
        while let Some(bytes) = self.session.poll_transmit() {
            self.decoder.push(&bytes);
        }
        self.decoder.poll().unwrap()
    }

    fn input(&mut self, bytes: &[u8]) {
        self.said.push(bytes.to_vec());
        self.pieces(&[bytes]);
    }

    fn pieces(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            let result = self.session.handle_input(piece, self.clock.now());
            self.result = self.result.clone().and(result);
            self.owner();
        }
    }

    fn owner(&mut self) {
        while let Some(event) = self.session.poll_event() {
            let now = self.clock.now();
            self.log.push(match event {
                Event::Described(description) => {
                    let all: Vec<_> = (0..description.media.len()).collect();
                    self.session.setup(&all, now).unwrap();
                    format!("described {}", all.len())
                }
                Event::PortsWanted { media } => {
                    let port = 5000 + 2 * u16::try_from(media).unwrap();
                    self.session.offer_ports(media, (port, port + 1), now);
                    format!("ports {media}")
                }
                Event::TrackReady { media, transport } => match transport.lower {
                    Lower::Tcp => format!("track {media} tcp {:?}", transport.interleaved.unwrap()),
                    Lower::Udp => format!("track {media} udp {:?}", transport.server_port),
                },
                Event::Started { starts } => {
                    let number =
                        |number: Option<u32>| number.map_or_else(|| "-".into(), |n| n.to_string());
                    let starts = starts.iter().map(|start| {
                        let sequence = number(start.sequence.map(u32::from));
                        format!(" {}:{sequence}/{}", start.media, number(start.timestamp))
                    });
                    format!("started{}", starts.collect::<String>())
                }
                Event::Data { channel, payload } => format!("data {channel} {payload:?}"),
                Event::Redirect(url) => format!("redirect {url} {:?}", url.credentials),
                Event::Ended(why) => format!("ended: {why}"),
            });
        }
    }

    /// Lets time pass until the client has something to do, and do it.
    fn wait(&mut self) -> Duration {
        let before = self.clock.now();
        let now = self.clock.advance(self.session.poll_timeout().unwrap() - before);
        self.result = self.session.handle_timeout(now);
        now - before
    }

    fn refused(&self) -> u16 {
        match &self.result {
            Err(Error::Refused { status, .. }) => *status,
            other => panic!("{other:?}"),
        }
    }
}

fn config(url: &str, purpose: Purpose) -> Config {
    Config::new(Url::parse(url).unwrap(), purpose)
}

fn check(request: &Request, expected: &str) {
    let mut parts = expected.split(" | ");
    let line = format!("{} {}", request.method, request.uri);
    let first = parts.next().unwrap();
    assert!(line == first || first == request.method.name(), "{line:?} instead of {expected:?}");
    assert_eq!(request.fields.get("User-Agent"), Some("Headwater"));
    for part in parts {
        match part.strip_prefix('!') {
            Some(name) => assert_eq!(request.fields.get(name), None, "{line}"),
            None => {
                let (name, value) = part.split_once(": ").unwrap();
                assert_eq!(request.fields.get(name), Some(value), "{line}: {name}");
            }
        }
    }
}

fn response(answer: &str, cseq: &str) -> Vec<u8> {
    let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let mut text = format!("RTSP/1.0 {}\r\n", head.trim_end().replace('\n', "\r\n"));
    if !head.to_ascii_lowercase().contains("\ncseq:") {
        text.push_str(&format!("CSeq: {cseq}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// Runs a dialogue to its end; what the owner saw.
fn log(dialogue: Dialogue, turns: &[Turn<'_>]) -> Vec<String> {
    let mut dialogue = dialogue;
    dialogue.turns(turns);
    assert_eq!(dialogue.result, Ok(()));
    dialogue.log
}

fn tcp(turns: &[Turn<'_>]) -> Vec<String> {
    log(Dialogue::play("rtsp://cam/live", TransportChoice::Tcp), turns)
}

fn described() -> String {
    format!("200 OK\n\n{SDP}")
}

#[test]
fn packets_are_played_over_the_connection() {
    let log = tcp(&[
        ("OPTIONS rtsp://cam/live | CSeq: 1 | !Session", "200 OK\nPublic: DESCRIBE, SETUP, PLAY"),
        ("DESCRIBE rtsp://cam/live | CSeq: 2 | Accept: application/sdp", &described()),
        (
            "SETUP rtsp://cam/live/track1 | CSeq: 3 | !Session | \
             Transport: RTP/AVP/TCP;unicast;interleaved=0-1",
            "200 OK\nSession: 42\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1",
        ),
        (
            "SETUP rtsp://cam/live/track2 | CSeq: 4 | Session: 42 | \
             Transport: RTP/AVP/TCP;unicast;interleaved=2-3",
            "200 OK\nSession: 42\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3",
        ),
        (
            "PLAY rtsp://cam/live | CSeq: 5 | Session: 42 | Range: npt=0.000-",
            "200 OK\nRTP-Info: url=rtsp://cam/live/track1;seq=7;rtptime=8,\
             url=rtsp://cam/live/track2;seq=9;rtptime=10",
        ),
    ]);
    let tracks = ["described 2", "track 0 tcp (0, 1)", "track 1 tcp (2, 3)"];
    assert_eq!(log[..3], tracks);
    assert_eq!(log[3..], ["started 0:7/8 1:9/10"]);
}

#[test]
fn packets_are_played_over_datagrams() {
    let log = log(
        Dialogue::play("rtsp://cam/live", TransportChoice::Udp),
        &[
            ("OPTIONS", "200 OK"),
            ("DESCRIBE", &described()),
            (
                "SETUP rtsp://cam/live/track1 | Transport: RTP/AVP;unicast;client_port=5000-5001",
                "200 OK\nSession: 42\n\
                 Transport: RTP/AVP/UDP;server_port=6970-6971;unicast;client_port=5000-5001",
            ),
            (
                "SETUP rtsp://cam/live/track2 | Transport: RTP/AVP;unicast;client_port=5002-5003",
                "200 OK\nTransport: RTP/AVP;unicast;client_port=5002-5003",
            ),
            ("PLAY", "200 OK"),
        ],
    );
    let (ports, track) = (["ports 0", "ports 1"], "track 0 udp Some((6970, 6971))");
    assert_eq!(log[1..], [ports[0], track, ports[1], "track 1 udp None", "started 0:-/- 1:-/-"]);
}

#[test]
fn a_description_is_published() {
    let description = sdp::Session::parse(SDP.as_bytes()).unwrap();
    let config = config("rtsp://host:8554/live/a?k=v", Purpose::Publish(description.clone()));
    let mut dialogue = Dialogue::new(config);
    dialogue.turns(&[("OPTIONS rtsp://host:8554/live/a?k=v", "200 OK")]);
    let announce = dialogue.request().unwrap();
    let expected = "ANNOUNCE rtsp://host:8554/live/a?k=v | Content-Type: application/sdp | !Accept";
    check(&announce, expected);
    assert_eq!(sdp::Session::parse(&announce.body), Ok(description));
    dialogue.input(&response("200 OK", "2"));
    dialogue.turns(&[
        (
            "SETUP rtsp://host:8554/live/a?k=v/track1 | !Session | \
             Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record",
            "200 OK\nSession: 42",
        ),
        (
            "SETUP rtsp://host:8554/live/a?k=v/track2 | Session: 42 | \
             Transport: RTP/AVP/TCP;unicast;interleaved=2-3;mode=record",
            "200 OK\nSession: 42",
        ),
        ("RECORD rtsp://host:8554/live/a?k=v | Session: 42 | Range: npt=0.000-", "200 OK"),
    ]);
    assert_eq!(dialogue.log.last().unwrap(), "started 0:-/- 1:-/-");
    dialogue.session.teardown();
    dialogue.turns(&[("TEARDOWN rtsp://host:8554/live/a?k=v | Session: 42", "200 OK")]);
    assert_eq!((dialogue.session.poll_timeout(), dialogue.result), (None, Ok(())));
}

#[test]
fn the_owner_chooses_among_the_media() {
    for (chosen, expected) in
        [(&[1][..], "SETUP rtsp://cam/live/track2"), (&[7, 0, 0], "SETUP rtsp://cam/live/track1")]
    {
        let mut session = Session::new(config("rtsp://cam/live", Purpose::Play), now());
        let mut input = response("200 OK", "1");
        input.extend(response(&described(), "2"));
        session.handle_input(&input, now()).unwrap();
        session.offer_ports(0, (1, 2), now());
        session.setup(chosen, now()).unwrap();
        session.setup(&[0, 1], now()).unwrap();
        let sent: Vec<Bytes> = std::iter::from_fn(|| session.poll_transmit()).collect();
        assert_eq!(sent.len(), 3);
        assert!(sent[2].starts_with(expected.as_bytes()), "{sent:?}");
        session.handle_input(&response("200 OK", "3"), now()).unwrap();
        assert!(session.poll_transmit().unwrap().starts_with(b"PLAY"));
    }
    let mut session = Session::new(config("rtsp://cam/live", Purpose::Play), now());
    session.handle_input(&response("200 OK", "1"), now()).unwrap();
    session.handle_input(&response(&described(), "2"), now()).unwrap();
    session.setup(&[2], now()).unwrap();
    assert!(matches!(session.poll_event(), Some(Event::Described(_))));
    assert_eq!(session.poll_event(), Some(Event::Ended("no medium is wanted".into())));
}

fn now() -> std::time::Instant {
    VirtualClock::new().now()
}

#[test]
fn servers_that_do_not_know_options_are_played_from() {
    for answer in ["405 Method Not Allowed", "501 Not Implemented", "454 x", "500 x", "302 x"] {
        let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
        dialogue.turns(&[("OPTIONS", answer), ("DESCRIBE", &described()), ("SETUP", "")]);
        assert_eq!(dialogue.log, ["described 2"]);
    }
}

#[test]
fn servers_that_write_header_names_in_any_case_are_understood() {
    let log = tcp(&[
        ("OPTIONS", "200 OK\nCSEQ: 1\nPUBLIC: PLAY"),
        ("DESCRIBE", &format!("200 OK\nCseq: 2\ncontent-BASE: rtsp://cam/base/\n\n{SDP}")),
        (
            "SETUP rtsp://cam/base/track1",
            "200 OK\ncseq: 3\nSESSION: 42\nTRANSPORT: RTP/AVP/TCP;interleaved=4-5",
        ),
        ("SETUP rtsp://cam/base/track2 | Session: 42", "200 OK\ncSeq:4"),
        ("PLAY rtsp://cam/base/", "200 OK"),
    ]);
    assert_eq!(log[1], "track 0 tcp (4, 5)");
}

#[test]
fn servers_that_omit_cseq_and_session_are_played_from() {
    let answer = |text: &str| format!("RTSP/1.0 {text}\r\n\r\n").into_bytes();
    let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
    dialogue.input(&answer("200 OK"));
    let length = SDP.len();
    dialogue.input(&answer(&format!("200 OK\r\nContent-Length: {length}\r\n\r\n{SDP}")));
    for _ in 0..3 {
        dialogue.input(&answer("200 OK"));
    }
    dialogue.turns(&[("OPTIONS", ""), ("DESCRIBE", ""), ("SETUP", ""), ("SETUP | !Session", "")]);
    dialogue.turns(&[("PLAY | !Session", "")]);
    assert_eq!(dialogue.log.last().unwrap(), "started 0:-/- 1:-/-");
}

#[test]
fn servers_that_say_100_continue_first_are_waited_for() {
    let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
    dialogue.input(&response("100 Continue", "1"));
    dialogue.turns(&[("OPTIONS", "200 OK"), ("DESCRIBE", "")]);
    dialogue.input(&response("100 Continue", "2"));
    dialogue.input(&response(&described(), "2"));
    assert_eq!(dialogue.log, ["described 2"]);
}

#[test]
fn answers_to_what_was_asked_before_are_ignored() {
    let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
    dialogue.turns(&[("OPTIONS", "200 OK"), ("DESCRIBE", "404 x\nCSeq: 1")]);
    assert_eq!((&dialogue.result, dialogue.log.len()), (&Ok(()), 0));
    dialogue.input(&response(&described(), "2"));
    assert_eq!(dialogue.log, ["described 2"]);
}

/// Quirk 64.
#[test]
fn servers_that_change_or_omit_channels_are_obeyed() {
    for (answers, expected) in [
        (["RTP/AVP/TCP;interleaved=8-9", "RTP/AVP/TCP;interleaved=1-0"], [(8, 9), (1, 0)]),
        (["RTP/AVP/TCP;unicast", "RTP/AVP/TCP;unicast"], [(0, 1), (2, 3)]),
        (["RTP/AVP/TCP;interleaved=4", "RTP/AVP;unicast"], [(4, 5), (2, 3)]),
        // What is taken twice was not meant.
        (["RTP/AVP/TCP;interleaved=0-1", "RTP/AVP/TCP;interleaved=0-1"], [(0, 1), (2, 3)]),
        (["RTP/AVP/TCP;interleaved=2-3", "RTP/AVP/TCP;unicast"], [(2, 3), (4, 5)]),
        (["", "RTP/AVP/TCP;interleaved=300-301"], [(0, 1), (2, 3)]),
    ] {
        let [first, second] = answers.map(|t| format!("200 OK\nSession: 42\nTransport: {t}"));
        let log = tcp(&[
            ("OPTIONS", "200 OK"),
            ("DESCRIBE", &described()),
            ("SETUP", &first),
            ("SETUP", &second),
            ("PLAY", "200 OK"),
        ]);
        let tracks = [0, 1].map(|media| format!("track {media} tcp {:?}", expected[media]));
        assert_eq!(log[1..3], tracks, "{answers:?}");
    }
}

#[test]
fn servers_that_insist_on_the_wrong_transport_are_left() {
    for (choice, answer, what) in [
        (TransportChoice::Tcp, "RTP/AVP;server_port=1-2", "wants datagrams"),
        (TransportChoice::Tcp, "RAW/RAW/UDP;unicast", "names a transport that is not RTP"),
        (TransportChoice::Udp, "RTP/AVP/TCP;interleaved=0-1", "wants packets over the connection"),
        (TransportChoice::Udp, "RTP/AVP;multicast;destination=239.0.0.1", "names a group"),
        (TransportChoice::UdpThenTcp, "RTP/SAVP;unicast", "names an encrypted transport"),
    ] {
        let mut dialogue = Dialogue::play("rtsp://cam/live", choice);
        dialogue.turns(&[
            ("OPTIONS", "200 OK"),
            ("DESCRIBE", &described()),
            ("SETUP", &format!("200 OK\nSession: 42\nTransport: {answer}")),
        ]);
        let Err(error) = &dialogue.result else { panic!("{answer}") };
        assert!(error.to_string().contains(what), "{error}");
        dialogue.session.teardown();
        dialogue.turns(&[("TEARDOWN | Session: 42", "")]);
    }
}

/// Quirk 84.
#[test]
fn servers_that_refuse_datagrams_are_played_from_over_the_connection() {
    let refused = "461 Unsupported Transport";
    let over_tcp = "SETUP rtsp://cam/live/track1 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
    let log = log(
        Dialogue::play("rtsp://cam/live", TransportChoice::UdpThenTcp),
        &[
            ("OPTIONS", "200 OK"),
            ("DESCRIBE", &described()),
            ("SETUP | Transport: RTP/AVP;unicast;client_port=5000-5001", refused),
            (over_tcp, "200 OK"),
            ("SETUP | Transport: RTP/AVP/TCP;unicast;interleaved=2-3", "200 OK"),
            ("PLAY", "200 OK"),
        ],
    );
    assert_eq!(log[1..4], ["ports 0", "track 0 tcp (0, 1)", "track 1 tcp (2, 3)"]);
    for (choice, setups) in
        [(TransportChoice::Udp, 1), (TransportChoice::Tcp, 1), (TransportChoice::UdpThenTcp, 2)]
    {
        let mut dialogue = Dialogue::play("rtsp://cam/live", choice);
        dialogue.turns(&[("OPTIONS", "200 OK"), ("DESCRIBE", &described())]);
        dialogue.turns(&vec![("SETUP", refused); setups]);
        assert_eq!((dialogue.refused(), dialogue.request()), (461, None));
    }
}

#[test]
fn servers_that_refuse_datagrams_for_the_second_medium_are_left() {
    let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::UdpThenTcp);
    dialogue.turns(&[
        ("OPTIONS", "200 OK"),
        ("DESCRIBE", &described()),
        ("SETUP", "200 OK\nSession: 42\nTransport: RTP/AVP;server_port=1-2"),
        ("SETUP", "461 Unsupported Transport"),
    ]);
    assert_eq!((dialogue.refused(), dialogue.request()), (461, None));
}

/// Quirk 67.
#[test]
fn cameras_that_answer_keep_alives_with_errors_and_old_numbers_stay() {
    let mut dialogue = Dialogue::playing("Public: PLAY, SET_PARAMETER, GET_PARAMETER", 60);
    for cseq in ["5", "6"] {
        assert_eq!(dialogue.wait(), Duration::from_secs(30));
        let bad = format!("400 Bad Request\nCSeq: {cseq}");
        dialogue.turns(&[("GET_PARAMETER rtsp://cam/live | Session: 42", &bad)]);
    }
    // No answer at all is as good.
    dialogue.wait();
    dialogue.turns(&[("GET_PARAMETER", "")]);
    // An error that is about the keep-alive makes us try another.
    dialogue.wait();
    dialogue.turns(&[("GET_PARAMETER", "405 Method Not Allowed")]);
    dialogue.wait();
    dialogue.turns(&[("OPTIONS rtsp://cam/live | Session: 42", "400 Bad Request")]);
    dialogue.wait();
    dialogue.turns(&[("OPTIONS", "200 OK")]);
    assert_eq!((dialogue.log.len(), dialogue.result), (3, Ok(())));
}

#[test]
fn what_keeps_a_session_alive_is_what_the_server_knows() {
    for (methods, expected) in [
        ("Public: OPTIONS, get_parameter, PLAY", "GET_PARAMETER"),
        ("Public: OPTIONS\nPublic: GET_PARAMETER", "GET_PARAMETER"),
        ("Server: x", "GET_PARAMETER"),
        ("Public: OPTIONS, SET_PARAMETER, PLAY", "OPTIONS"),
    ] {
        let mut dialogue = Dialogue::playing(methods, 60);
        dialogue.wait();
        dialogue.turns(&[(expected, "200 OK")]);
    }
}

/// Quirk 68.
#[test]
fn sessions_with_a_timeout_are_kept_alive_in_time() {
    for (timeout, seconds) in
        [(60, 30), (20, 10), (1, 1), (0, 30), (86400, 30), (4_000_000_000, 30)]
    {
        let mut dialogue = Dialogue::playing("", timeout);
        assert_eq!(dialogue.wait().as_secs(), seconds, "{timeout}");
        dialogue.turns(&[("GET_PARAMETER | Session: 42", "200 OK")]);
        assert_eq!(dialogue.wait().as_secs(), seconds, "{timeout}");
    }
}

#[test]
fn servers_that_forget_the_session_end_it() {
    let mut dialogue = Dialogue::playing("", 60);
    dialogue.wait();
    dialogue.turns(&[("GET_PARAMETER", "454 Session Not Found")]);
    assert_eq!(dialogue.log.last().unwrap(), "ended: the server has forgotten the session");
    dialogue.session.teardown();
    assert_eq!((dialogue.session.poll_timeout(), dialogue.request()), (None, None));
}

/// Quirk 70.
#[test]
fn packets_before_and_between_answers_are_not_lost() {
    let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
    dialogue.turns(&[
        ("OPTIONS", "200 OK"),
        ("DESCRIBE", &described()),
        ("SETUP", "200 OK"),
        ("SETUP", ""),
    ]);
    let mut input = b"$\x00\x00\x02ab".to_vec();
    input.extend(response("200 OK", "4"));
    input.extend(b"$\x01\x00\x00$\x02\x00\x01c");
    input.extend(response("200 OK", "5"));
    input.extend(b"$\x00\x00\x01d$\x63\x00\x01e");
    dialogue.input(&input);
    assert_eq!(
        dialogue.log[2..],
        [
            "data 0 b\"ab\"",
            "track 1 tcp (2, 3)",
            "data 1 b\"\"",
            "data 2 b\"c\"",
            "started 0:-/- 1:-/-",
            "data 0 b\"d\"",
            "data 99 b\"e\"",
        ]
    );
}

/// Quirk 71.
#[test]
fn garbage_between_packets_is_passed_over_up_to_an_agreed_channel() {
    let mut dialogue = Dialogue::playing("", 60);
    dialogue.log.clear();
    dialogue.input(b"$\x02\x00\x01a\x80\x60$\x77\x00\xFFgarbage$\x02\x00\x01b");
    assert_eq!(dialogue.log, ["data 2 b\"a\"", "data 2 b\"b\""]);
    dialogue.input(&[0x80; 70_000]);
    assert!(matches!(dialogue.result, Err(Error::Garbage(_))));
    dialogue.input(b"$\x02\x00\x01c");
    assert_eq!((dialogue.log.len(), dialogue.session.poll_timeout()), (2, None));
}

/// Quirk 72.
#[test]
fn servers_that_do_not_know_where_they_start_write_zeros() {
    let info = |info: &str| {
        let log = tcp(&[
            ("OPTIONS", "200 OK"),
            ("DESCRIBE", &described()),
            ("SETUP", "200 OK"),
            ("SETUP", "200 OK"),
            ("PLAY", &format!("200 OK\nRTP-Info: {info}")),
        ]);
        log.last().unwrap().clone()
    };
    let zeros = "url=rtsp://cam/live/track1;seq=0;rtptime=0,url=track2;seq=5;rtptime=0";
    assert_eq!(info(zeros), "started 0:-/- 1:5/-");
    assert_eq!(info("url=rtsp://cam/live/track2;seq=1;rtptime=2"), "started 0:-/- 1:1/2");
    assert_eq!(info(";;,,url=,"), "started 0:-/- 1:-/-");
}

/// Quirk 77.
#[test]
fn cameras_that_ask_for_a_digest_get_one_of_the_uri_of_each_request() {
    let url = "rtsp://admin:p%40ss@cam/cam/realmonitor?channel=1&subtype=0";
    let mut dialogue = Dialogue::play(url, TransportChoice::Tcp);
    let realm = "Login to 3K02 1,2";
    let challenge = |nonce: &str| {
        let basic = "WWW-Authenticate: Basic realm=\"x\"";
        let digest = format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"{nonce}\"");
        format!("401 Unauthorized\n{basic}\n{digest}")
    };
    dialogue.turns(&[("OPTIONS | !Authorization", "200 OK")]);
    dialogue.turns(&[("DESCRIBE | !Authorization", &challenge("n1"))]);
    for (method, nonce, answer) in [
        ("DESCRIBE", "n1", described()),
        ("SETUP", "n1", "200 OK\nSession: 42".to_owned()),
        // The nonce has expired.
        ("SETUP", "n1", challenge("n2")),
        ("SETUP", "n2", challenge("n3") + ", stale=\"TRUE\""),
        ("SETUP", "n3", "200 OK".to_owned()),
        ("PLAY", "n3", "200 OK".to_owned()),
    ] {
        let request = dialogue.request().unwrap();
        let header = request.fields.get("Authorization").unwrap();
        assert!(header.contains(&format!("uri=\"{}\"", request.uri)), "{header}");
        let credentials = Credentials::parse(header).unwrap();
        assert_eq!(credentials.scheme(), Scheme::Digest(Algorithm::Md5));
        assert!(credentials.proves("p@ss", method, realm, nonce), "{method} {header}");
        dialogue.input(&response(&answer, request.cseq().unwrap()));
    }
    dialogue.wait();
    dialogue.turns(&[("GET_PARAMETER", &challenge("n4"))]);
    let request = dialogue.request().unwrap();
    let credentials = Credentials::parse(request.fields.get("Authorization").unwrap()).unwrap();
    assert!(credentials.proves("p@ss", "GET_PARAMETER", realm, "n4"));
    assert_eq!(dialogue.result, Ok(()));
}

#[test]
fn wrong_passwords_are_not_tried_for_ever() {
    let digest = |nonce: usize, more: &str| {
        format!("401 No\nWWW-Authenticate: Digest realm=\"x\", nonce=\"{nonce}\"{more}")
    };
    let of = |url: &str, answers: &[String]| {
        let mut dialogue = Dialogue::play(url, TransportChoice::Tcp);
        for (times, answer) in answers.iter().enumerate() {
            let Some(request) = dialogue.request() else { return (dialogue.refused(), times) };
            dialogue.input(&response(answer, request.cseq().unwrap()));
        }
        panic!("{:?}", dialogue.result);
    };
    let (known, unknown) = ("rtsp://u:p@cam/live", "rtsp://cam/live");
    let fresh: Vec<_> = (0..9).map(|nonce| digest(nonce, "")).collect();
    let stale: Vec<_> = (0..9).map(|nonce| digest(nonce, ", stale=true")).collect();
    assert_eq!(of(unknown, &fresh), (401, 1));
    assert_eq!(of(known, &vec![digest(1, ""); 9]), (401, 2));
    assert_eq!(of(known, &fresh), (401, 2));
    assert_eq!(of(known, &stale), (401, 3));
    assert_eq!(of(known, &vec!["401 No\nWWW-Authenticate: Basic realm=\"x\"".into(); 9]), (401, 2));
    assert_eq!(of(known, &vec!["401 No\nWWW-Authenticate: Negotiate".into(); 9]), (401, 1));
    assert_eq!(of(known, &vec!["401 No".into(); 9]), (401, 1));
}

/// Quirk 78.
#[test]
fn cameras_with_absolute_addresses_and_queries_get_them_verbatim() {
    let track = "rtsp://10.0.0.9/axis-media/media.amp/stream=0?videocodec=h264&resolution=640x480";
    let session = "rtsp://10.0.0.9/axis-media/media.amp?videocodec=h264";
    let sdp = format!("a=control:{session}\nm=video 0 RTP/AVP 96\na=control:{track}\n");
    let base = "Content-Base: rtsp://10.0.0.9/axis-media/media.amp/";
    let log = log(
        Dialogue::play("rtsp://public/axis-media/media.amp", TransportChoice::Tcp),
        &[
            ("OPTIONS rtsp://public/axis-media/media.amp", "200 OK"),
            ("DESCRIBE", &format!("200 OK\n{base}\n\n{sdp}")),
            (&format!("SETUP {track}"), "200 OK\nSession: 42"),
            (&format!("PLAY {session}"), "200 OK"),
        ],
    );
    assert_eq!(log.last().unwrap(), "started 0:-/-");
}

/// Quirk 78, RFC 2326 §C.1.1.
#[test]
fn relative_addresses_continue_the_base_that_the_server_names() {
    let sdp = |control: &str| format!("{control}m=video 0 RTP/AVP 96\na=control:trackID=1\n");
    for (fields, control, track, session) in [
        ("", "", "rtsp://cam/live/trackID=1", "rtsp://cam/live"),
        ("", "a=control:*\n", "rtsp://cam/live/trackID=1", "rtsp://cam/live"),
        ("Content-Base: rtsp://cam/b/", "", "rtsp://cam/b/trackID=1", "rtsp://cam/b/"),
        (
            "Content-Base: rtsp://cam/b",
            "a=control:all\n",
            "rtsp://cam/b/trackID=1",
            "rtsp://cam/b/all",
        ),
        (
            "Content-Location: rtsp://nat/c\nContent-Base:",
            "",
            "rtsp://nat/c/trackID=1",
            "rtsp://nat/c",
        ),
        ("Content-Location: x\nContent-Base: \"/d\"", "", "rtsp://cam/d/trackID=1", "rtsp://cam/d"),
        (
            "Content-Base: rtsp://cam/a b?\"/",
            "",
            "rtsp://cam/a%20b?%22/trackID=1",
            "rtsp://cam/a%20b?%22/",
        ),
        ("Content-Base: http://cam/", "", "rtsp://cam/live/trackID=1", "rtsp://cam/live"),
    ] {
        tcp(&[
            ("OPTIONS", "200 OK"),
            ("DESCRIBE", &format!("200 OK\n{fields}\n\n{}", sdp(control))),
            (&format!("SETUP {track}"), "200 OK"),
            (&format!("PLAY {session}"), "200 OK"),
        ]);
    }
}

/// Quirk 78.
#[test]
fn servers_that_know_only_the_requested_address_are_asked_to_play_it() {
    let described = format!("200 OK\nContent-Base: rtsp://10.0.0.9/live/\n\n{SDP}");
    for status in ["400 x", "404 x", "454 x", "455 x", "459 x"] {
        let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
        dialogue.turns(&[
            ("OPTIONS", "200 OK"),
            ("DESCRIBE", &described),
            ("SETUP", "200 OK\nSession: 42"),
            ("SETUP", "200 OK"),
            ("PLAY rtsp://10.0.0.9/live/", status),
            ("PLAY rtsp://cam/live | Session: 42 | Range: npt=0.000-", "200 OK"),
        ]);
        dialogue.wait();
        dialogue.turns(&[("GET_PARAMETER rtsp://cam/live", "200 OK")]);
        dialogue.session.teardown();
        dialogue.turns(&[("TEARDOWN rtsp://cam/live", "")]);
    }
    for (base, statuses) in [(&*described, &[404, 404][..]), (&described, &[403]), (SDP, &[404])] {
        let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
        let base = if base == SDP { self::described() } else { base.to_owned() };
        dialogue.turns(&[("OPTIONS", "200 OK"), ("DESCRIBE", &base)]);
        dialogue.turns(&[("SETUP", "200 OK"), ("SETUP", "200 OK")]);
        for status in statuses {
            dialogue.turns(&[("PLAY", &format!("{status} x"))]);
        }
        assert_eq!((dialogue.refused(), dialogue.request()), (statuses[0], None));
    }
}

#[test]
fn redirections_are_handed_on() {
    for (location, expected) in [
        ("rtsp://cam:8554/b", "redirect rtsp://cam:8554/b Some((\"u\", \"p\"))"),
        ("rtsp://v:q@cam/b", "redirect rtsp://cam/b Some((\"v\", \"q\"))"),
        ("rtsp://other/b", "redirect rtsp://other/b None"),
        ("rtsps://cam/b", "redirect rtsps://cam/b Some((\"u\", \"p\"))"),
        ("/b", "redirect rtsp://cam/b Some((\"u\", \"p\"))"),
    ] {
        for status in [301, 302, 303, 305] {
            let mut dialogue = Dialogue::play("rtsp://u:p@cam/live", TransportChoice::Tcp);
            let answer = format!("{status} x\nLocation: {location}");
            dialogue.turns(&[("OPTIONS", "200 OK"), ("DESCRIBE", &answer)]);
            assert_eq!(dialogue.log, [expected]);
            assert_eq!((dialogue.session.poll_timeout(), dialogue.request()), (None, None));
        }
    }
    let mut dialogue = Dialogue::play("rtsps://u:p@cam/live", TransportChoice::Tcp);
    dialogue.turns(&[("OPTIONS", "302 x\nLocation: rtsp://cam/live")]);
    assert_eq!(dialogue.log, ["redirect rtsp://cam/live None"]);
    let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
    dialogue.turns(&[("OPTIONS", "200 OK"), ("DESCRIBE", "302 x\nLocation: http://cam/")]);
    let what = "redirects to \"http://cam/\", which is no address".to_owned();
    assert_eq!(dialogue.result, Err(Error::Answer { method: "DESCRIBE", what }));
}

#[test]
fn requests_of_the_server_are_answered() {
    let mut dialogue = Dialogue::playing("", 60);
    for (method, status) in [
        ("OPTIONS", 200),
        ("GET_PARAMETER", 200),
        ("SET_PARAMETER", 200),
        ("ANNOUNCE", 200),
        ("PLAY", 501),
        ("PLAY_NOTIFY", 501),
    ] {
        let request = format!("{method} * RTSP/1.0\r\nCSeq: 9\r\nSession: 42\r\n\r\n");
        dialogue.input(request.as_bytes());
        let Some(Incoming::Response(answer)) = dialogue.message() else { panic!("{method}") };
        assert_eq!(answer.status.0, status, "{method}");
        assert_eq!(answer.fields.get("CSeq"), Some("9"));
        assert_eq!(answer.fields.get("Session"), Some("42"));
    }
    dialogue.input(b"TEARDOWN * RTSP/1.0\r\nCSeq: 10\r\n\r\n");
    assert!(matches!(dialogue.message(), Some(Incoming::Response(_))));
    assert_eq!(dialogue.log.last().unwrap(), "ended: the server has ended the session");
    assert_eq!(dialogue.session.poll_timeout(), None);
}

#[test]
fn servers_may_send_us_elsewhere_at_any_time() {
    let mut dialogue = Dialogue::playing("", 60);
    dialogue.input(b"REDIRECT * RTSP/1.0\r\nCSeq: 10\r\nLocation: rtsp://other/x\r\n\r\n");
    assert!(matches!(dialogue.message(), Some(Incoming::Response(_))));
    dialogue.turns(&[("TEARDOWN | Session: 42", "")]);
    assert_eq!(dialogue.log.last().unwrap(), "redirect rtsp://other/x None");
    let mut dialogue = Dialogue::playing("", 60);
    dialogue.input(b"REDIRECT * RTSP/1.0\r\nCSeq: 10\r\n\r\n");
    let expected = "ended: the server sends us away, and does not say where to";
    assert_eq!(dialogue.log.last().unwrap(), expected);
}

#[test]
fn floods_of_requests_are_refused() {
    let mut dialogue = Dialogue::playing("", 60);
    dialogue.input("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(65).as_bytes());
    assert_eq!(dialogue.result, Err(Error::TooManyRequests(64)));
}

#[test]
fn every_status_counts() {
    let turns = [
        ("OPTIONS", "200 OK".to_owned()),
        ("DESCRIBE", described()),
        ("SETUP", "200 OK\nSession: 42".to_owned()),
        ("SETUP", "200 OK".to_owned()),
        ("PLAY", "200 OK".to_owned()),
    ];
    for refused in 1..turns.len() {
        for status in [302, 403, 404, 453, 500, 503, 600, 0] {
            let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
            for (method, answer) in &turns[..refused] {
                dialogue.turns(&[(*method, answer.as_str())]);
            }
            let method = turns[refused].0;
            dialogue.turns(&[(method, &format!("{status} because of this"))]);
            let reason = "because of this".to_owned();
            assert_eq!(dialogue.result, Err(Error::Refused { method, status, reason }));
            dialogue.input(&response("200 OK", &(refused + 1).to_string()));
            assert_eq!((dialogue.session.poll_timeout(), dialogue.request()), (None, None));
        }
    }
}

#[test]
fn descriptions_that_are_none_are_told() {
    for body in ["", "\n\n<html></html>", "\n\nv=0\ns=no media"] {
        let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
        dialogue.turns(&[("OPTIONS", "200 OK"), ("DESCRIBE", &format!("200 OK{body}"))]);
        assert!(matches!(dialogue.result, Err(Error::Answer { method: "DESCRIBE", .. })));
    }
}

#[test]
fn web_servers_are_recognised() {
    let mut dialogue = Dialogue::play("rtsp://cam:80/live", TransportChoice::Tcp);
    dialogue.input(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad");
    let what = "is HTTP: the port is that of a web server".to_owned();
    assert_eq!(dialogue.result, Err(Error::Answer { method: "OPTIONS", what }));
}

#[test]
fn silent_servers_are_left_after_each_request() {
    let turns = [
        ("OPTIONS", "200 OK".to_owned()),
        ("DESCRIBE", described()),
        ("SETUP", "200 OK".to_owned()),
        ("SETUP", "200 OK".to_owned()),
        ("PLAY", "200 OK".to_owned()),
    ];
    for silent in 0..turns.len() {
        let mut dialogue = Dialogue::play("rtsp://cam/live", TransportChoice::Tcp);
        for (method, answer) in &turns[..silent] {
            dialogue.clock.advance(Duration::from_secs(7));
            dialogue.turns(&[(*method, answer.as_str())]);
        }
        // Packets are no answer.
        dialogue.clock.advance(Duration::from_secs(7));
        dialogue.input(b"$\x00\x00\x00");
        assert_eq!(dialogue.session.handle_timeout(dialogue.clock.now()), Ok(()));
        assert_eq!(dialogue.wait(), Duration::from_secs(3));
        let Err(Error::TimedOut(what)) = dialogue.result else { panic!("{:?}", dialogue.result) };
        assert!(what.contains(turns[silent].0), "{what}");
        assert_eq!(dialogue.session.poll_timeout(), None);
    }
}

#[test]
fn passwords_are_not_printed() {
    let mut session = Session::new(config("rtsp://u:secret@cam/", Purpose::Play), now());
    assert!(!format!("{session:?}").contains("secret"));
    let challenge = "401 No\nWWW-Authenticate: Basic realm=\"x\"";
    session.handle_input(&response(challenge, "1"), now()).unwrap();
    assert!(!format!("{session:?}").contains("secret"));
}

/// A dialogue with everything: challenge, fallback, second try, packets, a keep-alive.
fn everything() -> Dialogue {
    let mut dialogue = Dialogue::play("rtsp://u:p@cam/live", TransportChoice::UdpThenTcp);
    dialogue.turns(&[
        ("OPTIONS", "401 No\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\", qop=\"auth\""),
        ("OPTIONS", "200 OK\nPublic: GET_PARAMETER"),
        ("DESCRIBE", &format!("200 OK\nContent-Base: rtsp://cam/base/\n\n{SDP}")),
        ("SETUP", "461 Unsupported Transport"),
        ("SETUP", "200 OK\nSession: 42;timeout=20\nTransport: RTP/AVP/TCP;interleaved=4-5"),
        ("SETUP", "200 OK\nSession: 42;timeout=20\nTransport: RTP/AVP/TCP;interleaved=6-7"),
        ("PLAY", "404 Not Found"),
        ("PLAY", ""),
    ]);
    let mut input = b"$\x04\x00\x02ab".to_vec();
    input.extend(response("200 OK\nRTP-Info: url=track1;seq=1;rtptime=2,url=track2;seq=3", "8"));
    input.extend(b"$\x06\x00\x01c\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x05\x00\x00");
    dialogue.input(&input);
    dialogue.input(b"REDIRECT * RTSP/1.0\r\nCSeq: 2\r\nLocation: rtsp://cam/b\r\n\r\n");
    assert_eq!(dialogue.log.len(), 9, "{:?}", dialogue.log);
    dialogue
}

/// The same session with other turns of the server.
fn replay(turns: &[Vec<&[u8]>]) -> Dialogue {
    let mut dialogue = Dialogue::play("rtsp://u:p@cam/live", TransportChoice::UdpThenTcp);
    for turn in turns {
        dialogue.pieces(turn);
    }
    dialogue
}

#[test]
fn wherever_the_bytes_are_cut_the_same_happens() {
    let original = everything();
    let turns: Vec<Vec<&[u8]>> = original.said.iter().map(|turn| vec![&turn[..]]).collect();
    for (number, turn) in original.said.iter().enumerate() {
        split::everywhere(turn, |pieces| {
            let mut turns = turns.clone();
            turns[number] = pieces.to_vec();
            let dialogue = replay(&turns);
            assert_eq!(dialogue.log, original.log);
            dialogue.result
        });
    }
}

/// However the server's bytes are damaged, the client says little and comes to an end.
fn is_bounded(mut dialogue: Dialogue, turns: usize) {
    let mut sent = 0;
    for _ in 0..5 {
        sent += std::iter::from_fn(|| dialogue.session.poll_transmit()).count();
        let Some(at) = dialogue.session.poll_timeout() else { break };
        dialogue.clock.advance(at - dialogue.clock.now());
        let result = dialogue.session.handle_timeout(dialogue.clock.now());
        assert_eq!(result.is_err(), dialogue.session.poll_timeout().is_none());
    }
    // One for the beginning, two for each answer at most, four keep-alives and a farewell.
    assert!(sent <= 2 * turns + 6, "{sent} requests");
}

#[test]
fn damaged_dialogues_are_survived() {
    let original = everything();
    let turns: Vec<Vec<&[u8]>> = original.said.iter().map(|turn| vec![&turn[..]]).collect();
    for (number, turn) in original.said.iter().enumerate() {
        let run = |damaged: &[u8]| {
            let mut turns = turns.clone();
            turns[number] = vec![damaged];
            is_bounded(replay(&turns), turns.len());
        };
        corrupt::truncations(turn, run);
        corrupt::every_bit(turn, run);
        corrupt::randomly(turn, 7, 200, run);
    }
}

proptest! {
    #[test]
    fn any_answers_are_survived(
        turns in prop::collection::vec(
            (
                prop::sample::select(vec![100, 200, 200, 200, 301, 401, 404, 454, 461, 500]),
                prop::sample::select(vec![
                    "", "Session: ;timeout=", "Session: 42;timeout=1", "Location: rtsp://x/",
                    "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\", stale=true",
                    "WWW-Authenticate: Basic", "Transport: RTP/AVP", "Transport: RTP/AVP/TCP",
                    "Transport: RTP/AVP/TCP;interleaved=255-0", "Content-Base: \"",
                ]),
                any::<bool>(),
            ),
            0..16,
        ),
        transport in prop::sample::select(vec![
            TransportChoice::Udp, TransportChoice::Tcp, TransportChoice::UdpThenTcp,
        ]),
    ) {
        let mut dialogue = Dialogue::play("rtsp://u:p@cam/live", transport);
        let count = turns.len();
        for (status, field, describes) in turns {
            let Some(Incoming::Request(request)) = dialogue.message() else { break };
            let body = if describes { SDP } else { "" };
            let answer = format!("{status} x\n{field}\n\n{body}");
            dialogue.input(&response(&answer, request.cseq().unwrap()));
        }
        is_bounded(dialogue, count);
    }

    #[test]
    fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let original = everything();
        for kept in 0..original.said.len() {
            let before = original.said.iter().take(kept);
            let mut turns: Vec<_> = before.map(|turn| vec![&turn[..]]).collect();
            turns.push(vec![&bytes[..]]);
            is_bounded(replay(&turns), turns.len() + bytes.len());
        }
    }
}
