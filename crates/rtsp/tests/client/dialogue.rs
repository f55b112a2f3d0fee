//! A client, its owner, and a server that says what a test wants.

use std::time::Duration;

use headwater_rtsp::Error;
use headwater_rtsp::client::{Config, Event, Purpose, Session, TransportChoice};
use headwater_rtsp::message::{Decoder, Incoming, Request};
use headwater_rtsp::transport::Lower;
use headwater_rtsp::url::Url;
use testkit::VirtualClock;

pub(crate) const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n\
                   m=audio 0 RTP/AVP 0\r\na=control:track2\r\n";

/// What is expected of the client, and what the server says to it.
///
/// The first is the beginning of the request line, and after bars, lines of the header; those with
/// an exclamation mark are not to be there. The second is status, header and, after an empty line,
/// the body; `CSeq` and `Content-Length` are added. Nothing is said if it is empty.
pub(crate) type Turn<'a> = (&'a str, &'a str);

/// A client session, an owner who takes all media, and a server that says whatever a test wants.
pub(crate) struct Dialogue {
    pub(crate) session: Session,
    pub(crate) clock: VirtualClock,
    decoder: Decoder,
    pub(crate) log: Vec<String>,
    /// What the server has said, turn by turn.
    pub(crate) said: Vec<Vec<u8>>,
    pub(crate) result: Result<(), Error>,
}

impl Dialogue {
    pub(crate) fn new(config: Config) -> Self {
        let clock = VirtualClock::new();
        let session = Session::new(config, clock.now());
        let (decoder, log, said) = (Decoder::new(), Vec::new(), Vec::new());
        Self { session, clock, decoder, log, said, result: Ok(()) }
    }

    pub(crate) fn play(url: &str, transport: TransportChoice) -> Self {
        Self::new(Config { transport, ..config(url, Purpose::Play) })
    }

    /// A session that plays, with a timeout of so many seconds.
    pub(crate) fn playing(methods: &str, timeout: u32) -> Self {
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

    pub(crate) fn turns(&mut self, turns: &[Turn<'_>]) {
        for (expected, answer) in turns {
            let request = self.request().unwrap_or_else(|| panic!("{expected}: {:?}", self.result));
            check(&request, expected);
            if !answer.is_empty() {
                self.input(&response(answer, request.cseq().unwrap()));
            }
        }
    }

    /// The next request of the client.
    pub(crate) fn request(&mut self) -> Option<Request> {
        match self.message()? {
            Incoming::Request(request) => Some(request),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn message(&mut self) -> Option<Incoming> {
        while let Some(bytes) = self.session.poll_transmit() {
            self.decoder.push(&bytes);
        }
        self.decoder.poll().unwrap()
    }

    pub(crate) fn input(&mut self, bytes: &[u8]) {
        self.said.push(bytes.to_vec());
        self.pieces(&[bytes]);
    }

    pub(crate) fn pieces(&mut self, pieces: &[&[u8]]) {
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
    pub(crate) fn wait(&mut self) -> Duration {
        let before = self.clock.now();
        let now = self.clock.advance(self.session.poll_timeout().unwrap() - before);
        self.result = self.session.handle_timeout(now);
        now - before
    }

    pub(crate) fn refused(&self) -> u16 {
        match &self.result {
            Err(Error::Refused { status, .. }) => *status,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn config(url: &str, purpose: Purpose) -> Config {
    Config::new(Url::parse(url).unwrap(), purpose)
}

pub(crate) fn check(request: &Request, expected: &str) {
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

pub(crate) fn response(answer: &str, cseq: &str) -> Vec<u8> {
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
pub(crate) fn log(dialogue: Dialogue, turns: &[Turn<'_>]) -> Vec<String> {
    let mut dialogue = dialogue;
    dialogue.turns(turns);
    assert_eq!(dialogue.result, Ok(()));
    dialogue.log
}

pub(crate) fn tcp(turns: &[Turn<'_>]) -> Vec<String> {
    log(Dialogue::play("rtsp://cam/live", TransportChoice::Tcp), turns)
}

pub(crate) fn described() -> String {
    format!("200 OK\n\n{SDP}")
}

pub(crate) fn now() -> std::time::Instant {
    VirtualClock::new().now()
}
