//! Dialogues of the client with scripted servers.

// A test fails by panicking, and its names are its documentation.
#![allow(missing_docs, clippy::unwrap_used)]

mod damage;
mod dialogue;
mod quirks;

use std::time::Duration;

use bytes::Bytes;
use headwater_rtsp::Error;
use headwater_rtsp::client::{Event, Purpose, Session, TransportChoice};
use headwater_rtsp::message::Incoming;
use rtp::sdp;

use dialogue::*;

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
