//! Servers and cameras that deviate from the specification, each in a way that real ones do.

use std::time::Duration;

use auth::{Algorithm, Credentials, Scheme};
use headwater_rtsp::Error;
use headwater_rtsp::client::TransportChoice;

use crate::dialogue::*;

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
