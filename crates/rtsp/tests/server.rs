//! Conversations of clients with the server's machine.

// A test fails by panicking, and its names are its documentation.
#![allow(missing_docs, clippy::unwrap_used)]

use std::time::{Duration, Instant};

use headwater_rtsp::Error;
use headwater_rtsp::server::{Config, Event, Session};
use rtp::sdp;
use testkit::Random;

const URL: &str = "rtsp://h/live/a";
const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";

/// A client and the machine, whose owner grants whatever it is asked for.
struct Dialogue {
    session: Session,
    now: Instant,
    cseq: u32,
    /// What the owner was asked for last.
    granted: Option<&'static str>,
}

impl Dialogue {
    fn new() -> Self {
        let now = Instant::now();
        let session = Session::new(Config::default(), 7, now);
        Self { session, now, cseq: 0, granted: None }
    }

    /// Asks, and reads the status of the answer.
    fn ask(&mut self, method: &str, field: &str, body: &str) -> u16 {
        self.cseq += 1;
        let (cseq, length) = (self.cseq, body.len());
        let head = format!("{method} {URL} RTSP/1.0\r\nCSeq: {cseq}\r\n{field}");
        let text = format!("{head}Content-Length: {length}\r\n\r\n{body}");
        self.session.handle_input(text.as_bytes(), self.now).unwrap();
        let mut answer = Vec::new();
        self.granted = None;
        while let Some(event) = self.session.poll_event() {
            self.granted = Some(match event {
                Event::Announce { .. } => {
                    self.session.accept();
                    "ANNOUNCE"
                }
                Event::Describe { .. } => {
                    self.session.describe(&sdp::Session::default(), URL);
                    "DESCRIBE"
                }
                Event::Setup { transports, .. } => {
                    self.session.accept_setup(&transports[0]);
                    "SETUP"
                }
                Event::Play => {
                    answer.push(self.session.accept_play(None));
                    "PLAY"
                }
                _ => {
                    self.session.accept();
                    "OTHER"
                }
            });
        }
        answer.extend(std::iter::from_fn(|| self.session.poll_transmit()));
        assert_eq!(answer.len(), 1, "{method}: {answer:?}");
        let text = String::from_utf8(answer[0].to_vec()).unwrap();
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn set_up(&mut self, transport: &str) -> u16 {
        self.ask("SETUP", &format!("Transport: {transport}\r\n"), "")
    }

    /// Sends what needs no answer.
    fn send(&mut self, bytes: &[u8]) {
        self.session.handle_input(bytes, self.now).unwrap();
        assert_eq!(self.session.poll_event(), None);
        assert_eq!(self.session.poll_transmit(), None);
    }

    /// Lets seconds pass; `false` when the client has been given up.
    fn passes(&mut self, seconds: u64) -> bool {
        self.now += Duration::from_secs(seconds);
        match self.session.handle_timeout(self.now) {
            Ok(()) => true,
            Err(Error::TimedOut(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

const TCP: &str = "RTP/AVP/TCP;interleaved=0-1";

#[test]
fn a_publisher_describes_nothing() {
    let mut client = Dialogue::new();
    assert_eq!(client.ask("DESCRIBE", "", ""), 200);
    assert_eq!(client.ask("ANNOUNCE", "", SDP), 200);
    assert_eq!(client.ask("DESCRIBE", "", ""), 455);
    assert_eq!(client.set_up(TCP), 200);
    assert_eq!(client.ask("DESCRIBE", "", ""), 455);
    assert_eq!(client.ask("RECORD", "", ""), 200);
    assert_eq!(client.ask("DESCRIBE", "", ""), 455);
}

#[test]
fn a_publisher_may_say_that_it_pauses() {
    let mut client = Dialogue::new();
    assert_eq!(client.ask("ANNOUNCE", "", SDP), 200);
    assert_eq!(client.ask("PAUSE", "", ""), 455);
    assert_eq!(client.set_up(TCP), 200);
    assert_eq!(client.ask("RECORD", "", ""), 200);
    assert_eq!(client.ask("PAUSE", "", ""), 200);
    assert_eq!(client.ask("PLAY", "", ""), 455);
    assert_eq!(client.ask("RECORD", "", ""), 200);
    assert_eq!(client.ask("TEARDOWN", "", ""), 200);
}

#[test]
fn in_any_order_of_methods_whoever_publishes_does_not_watch() {
    let mut random = Random::new(5);
    for _ in 0..500 {
        let mut client = Dialogue::new();
        let (mut announced, mut described_since) = (false, false);
        for _ in 0..12 {
            let methods =
                ["ANNOUNCE", "DESCRIBE", "SETUP", "PLAY", "RECORD", "PAUSE", "OPTIONS", "DESCRIBE"];
            let method = methods[random.below(methods.len())];
            match method {
                "SETUP" => client.set_up(TCP),
                "ANNOUNCE" => client.ask(method, "", SDP),
                _ => client.ask(method, "", ""),
            };
            announced |= client.granted == Some("ANNOUNCE");
            described_since |= announced && matches!(client.granted, Some("DESCRIBE" | "PLAY"));
        }
        assert!(!described_since);
    }
}

#[test]
fn until_media_flows_only_steps_towards_it_gain_time() {
    type Idle = fn(&mut Dialogue);
    let blank: Idle = |client| client.send(b"\r\n");
    let options: Idle = |client| assert_eq!(client.ask("OPTIONS", "", ""), 200);
    let parameter: Idle = |client| assert_eq!(client.ask("GET_PARAMETER", "", ""), 200);
    for (announces, idle) in
        [(false, blank), (false, options), (true, blank), (true, options), (true, parameter)]
    {
        let mut client = Dialogue::new();
        if announces {
            assert_eq!(client.ask("ANNOUNCE", "", SDP), 200);
        }
        for _ in 0..2 {
            assert!(client.passes(4));
            idle(&mut client);
        }
        assert!(!client.passes(4));
    }
}

#[test]
fn all_steps_together_have_a_limit_but_what_is_waited_for_does_not_count() {
    let mut client = Dialogue::new();
    for _ in 0..7 {
        assert!(client.passes(4));
        assert_eq!(client.ask("DESCRIBE", "", ""), 200);
    }
    assert!(!client.passes(4), "half a minute is over");
    client.session.excuse(Duration::from_secs(60));
    client.now += Duration::from_secs(50);
    assert!(client.passes(0));
    assert_eq!(client.set_up(TCP), 200);
    assert_eq!(client.ask("PLAY", "", ""), 200);
    assert!(client.passes(100_000));
}

#[test]
fn whoever_pauses_says_now_and_then_that_it_is_there() {
    let mut client = Dialogue::new();
    assert_eq!(client.set_up(TCP), 200);
    assert_eq!(client.ask("PLAY", "", ""), 200);
    assert!(client.passes(100_000));
    assert_eq!(client.ask("PAUSE", "", ""), 200);
    assert_eq!(client.ask("PAUSE", "", ""), 200);
    for _ in 0..3 {
        assert!(client.passes(70));
        assert_eq!(client.ask("GET_PARAMETER", "", ""), 200);
    }
    assert_eq!(client.ask("PLAY", "", ""), 200);
    assert!(client.passes(100_000));
    assert_eq!(client.ask("PAUSE", "", ""), 200);
    client.now += Duration::from_secs(70);
    client.send(b"\r\n");
    assert!(!client.passes(10));
}
