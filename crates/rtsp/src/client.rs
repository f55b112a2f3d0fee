//! One connection to a server that we play from or publish to
//! ([RFC 2326](https://www.rfc-editor.org/rfc/rfc2326) §10, A.1, C.1.1).
//!
//! A [`Session`] asks for `OPTIONS`, then `DESCRIBE` or `ANNOUNCE`, `SETUP` of each medium, and
//! `PLAY` or `RECORD`; it keeps the session alive from there on. Its owner connects, follows
//! redirections, chooses media and binds ports; it writes interleaved packets by itself, between
//! the messages of [`Session::poll_transmit`]. What servers do differently from the specification:
//!
//! * They refuse `OPTIONS`, and keep-alives, or answer these with the `CSeq` of an older request.
//! * They change or omit the channels of a `SETUP`, and omit their ports.
//! * They send packets before they answer `PLAY`.
//! * They describe addresses with other hosts, and know `PLAY` of the requested address alone.
//! * They omit `RTP-Info`, or fill it with zeros.
//! * They omit `CSeq` and `Session`.
//!
//! Not spoken: multicast, SRTP, tunnels through HTTP.
//!
//! ```
//! use std::time::Instant;
//!
//! use headwater_rtsp::client::{Config, Event, Purpose, Session};
//! use headwater_rtsp::url::Url;
//!
//! let now = Instant::now();
//! let config = Config::new(Url::parse("rtsp://camera/live")?, Purpose::Play);
//! let mut session = Session::new(config, now);
//! let request = session.poll_transmit().unwrap();
//! assert!(request.starts_with(b"OPTIONS rtsp://camera/live RTSP/1.0\r\nCSeq: 1\r\n"));
//!
//! session.handle_input(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: DESCRIBE, SETUP\r\n\r\n", now)?;
//! assert!(session.poll_transmit().unwrap().starts_with(b"DESCRIBE rtsp://camera/live"));
//!
//! let sdp = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n";
//! let head = format!("RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: {}\r\n\r\n", sdp.len());
//! session.handle_input(head.as_bytes(), now)?;
//! session.handle_input(sdp.as_bytes(), now)?;
//! let Some(Event::Described(description)) = session.poll_event() else { panic!() };
//! assert_eq!(description.media.len(), 1);
//!
//! session.setup(&[0], now)?;
//! assert!(session.poll_transmit().unwrap().starts_with(b"SETUP rtsp://camera/live/track1"));
//! # Ok::<(), headwater_rtsp::Error>(())
//! ```

mod answer;
mod caller;
mod plan;

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtp::sdp;

use crate::Error;
use crate::message::{Decoder, Incoming, Method, Request, Response, Status};
use crate::transport::{Lower, Mode, Transport};
use crate::url::Url;
use caller::Caller;
use plan::Plan;

/// Answers to the server's requests that may wait to be taken: real servers send one at a time.
const MAX_ANSWERS: usize = 64;

/// The time after which servers forget a session, unless they say another (§12.37).
const USUAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Keep-alives come no more often than this, whatever the server says.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Keep-alives come at least as often as this: routers forget connections long before servers do.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

/// What a server may ask us for.
const PUBLIC: &str = "OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE, REDIRECT, TEARDOWN";

/// What is wanted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The address; its user and password answer the server's challenge.
    pub url: Url,
    /// What for.
    pub purpose: Purpose,
    /// What packets travel over.
    pub transport: TransportChoice,
    /// What we call ourselves.
    pub user_agent: String,
    /// How long the server may take for each answer.
    pub answer_timeout: Duration,
    /// The servers that the request has come through, if it is passed on ([`crate::VIA`]).
    pub via: Option<String>,
}

impl Config {
    /// The usual: packets over the connection, and ten seconds for each answer.
    #[must_use]
    pub fn new(url: Url, purpose: Purpose) -> Self {
        Self {
            url,
            purpose,
            transport: TransportChoice::Tcp,
            user_agent: "Headwater".to_owned(),
            answer_timeout: Duration::from_secs(10),
            via: None,
        }
    }
}

/// What a session is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To receive what the server has.
    Play,
    /// To send all media of this description. Each needs a `control` attribute of its own, unless
    /// there is but one.
    Publish(sdp::Session),
}

/// What packets travel over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportChoice {
    /// Datagrams.
    Udp,
    /// The connection.
    Tcp,
    /// Datagrams, or the connection if the server refuses them. One that refuses them for a later
    /// medium alone ends the session with 461: it is to be asked anew for [`Self::Tcp`].
    UdpThenTcp,
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What the server has to play. To be answered with [`Session::setup`].
    Described(sdp::Session),
    /// Ports are needed for a medium. To be answered with [`Session::offer_ports`].
    PortsWanted {
        /// The number of the medium in the description.
        media: usize,
    },
    /// What packets of a medium travel over is agreed on.
    TrackReady {
        /// The number of the medium in the description.
        media: usize,
        /// What the server says, completed with what it was asked for. `server_port` may be
        /// missing, `interleaved` never is with [`Lower::Tcp`].
        transport: Transport,
    },
    /// The server plays or records.
    Started {
        /// One for each medium that was set up, in that order.
        starts: Vec<Start>,
    },
    /// An interleaved packet, which may come before [`Event::Started`], and on a channel that was
    /// not agreed on.
    Data {
        /// The channel.
        channel: u8,
        /// RTP or RTCP.
        payload: Bytes,
    },
    /// The server sends us elsewhere; the session is over. User and password are those of this
    /// session, unless the server names others, or they would travel to another host or in clear.
    /// Nothing counts how often this happens.
    Redirect(Url),
    /// The server has ended the session, or forgotten it; why.
    Ended(String),
}

/// Where a medium starts, as far as the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The number of the medium in the description.
    pub media: usize,
    /// The sequence number of the first packet.
    pub sequence: Option<u16>,
    /// The RTP timestamp at which the range that is played begins.
    pub timestamp: Option<u32>,
}

/// One connection, from the client's side.
///
/// After each call of another method, drain [`poll_event`](Self::poll_event) and
/// [`poll_transmit`](Self::poll_transmit), then sleep until [`poll_timeout`](Self::poll_timeout)
/// or the next bytes. Once it has failed, ended or redirected, it ignores what still comes.
#[derive(Debug)]
pub struct Session {
    config: Config,
    decoder: Decoder,
    caller: Caller,
    state: State,
    plan: Plan,
    keep_alive: Method,
    interval: Duration,
    events: VecDeque<Event>,
    transmit: VecDeque<Bytes>,
    /// Answers that were given since somebody last took what there is to send.
    answers: usize,
}

#[derive(Debug)]
enum State {
    /// The server is to answer.
    Asking { step: Step, exchange: Exchange, until: Instant },
    /// The owner is to choose media.
    Choosing,
    /// The owner is to name ports for a medium.
    Binding(usize),
    /// The server plays or records.
    Running { due: Instant, keep_alive: Option<Exchange> },
    /// Over.
    Closed,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Exchange {
    /// Without what differs each time it is sent.
    request: Request,
    cseq: u32,
    /// How often it was answered with a challenge.
    challenges: u8,
}

#[derive(Debug)]
enum Step {
    Options,
    Describe,
    Announce,
    Setup { media: usize, offer: Transport },
    Start { last_resort: bool },
}

impl Step {
    fn overdue(&self) -> &'static str {
        match self {
            Self::Options => "the server does not answer OPTIONS",
            Self::Describe => "the server does not answer DESCRIBE",
            Self::Announce => "the server does not answer ANNOUNCE",
            Self::Setup { .. } => "the server does not answer SETUP",
            Self::Start { .. } => "the server does not answer PLAY or RECORD",
        }
    }
}

impl Session {
    /// A session on a connection that has just been made.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let uri = caller::clean(&config.url.request_uri());
        let caller = Caller::new(
            config.user_agent.clone(),
            config.via.clone(),
            config.url.credentials.clone(),
        );
        let plan = Plan::new(uri.clone(), config.transport);
        let mut session = Self {
            config,
            decoder: Decoder::new(),
            caller,
            state: State::Closed,
            plan,
            keep_alive: Method::GetParameter,
            interval: interval(USUAL_TIMEOUT),
            events: VecDeque::new(),
            transmit: VecDeque::new(),
            answers: 0,
        };
        session.ask(Step::Options, Request::new(Method::Options, uri), now);
        session
    }

    /// Takes what has arrived. What came before an error can still be asked for.
    ///
    /// # Errors
    /// [`Error`] when the server refuses what is needed, or makes no sense. The session is over
    /// then.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), Error> {
        if matches!(self.state, State::Closed) {
            return Ok(());
        }
        self.decoder.push(bytes);
        let result = self.read(now);
        if result.is_err() {
            self.state = State::Closed;
        }
        result
    }

    /// Does what is due; to be called when the time of [`poll_timeout`](Self::poll_timeout) has
    /// come, harmless before.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when the server does not answer. The session is over then.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return Ok(());
        }
        match mem::replace(&mut self.state, State::Closed) {
            State::Asking { step, .. } => return Err(Error::TimedOut(step.overdue())),
            // Whether the last one was answered does not matter: packets tell whether all is well.
            State::Running { .. } => {
                let request = Request::new(self.keep_alive.clone(), self.plan.aggregate.clone());
                let keep_alive = Some(self.send(request, 0));
                self.state = State::Running { due: now + self.interval, keep_alive };
            }
            other => self.state = other,
        }
        Ok(())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); changes with every other call. While
    /// the owner has an event to answer, there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Asking { until, .. } => Some(until),
            State::Running { due, .. } => Some(due),
            State::Choosing | State::Binding(_) | State::Closed => None,
        }
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.answers = 0;
        self.transmit.pop_front()
    }

    /// Chooses media of [`Event::Described`] by their numbers, in the order in which they are to be
    /// set up. Numbers that there are not, or twice, are passed over; if none is left, the session
    /// ends. Does nothing at other times.
    ///
    /// # Errors
    /// None in practice: there are more channels than media.
    pub fn setup(&mut self, media: &[usize], now: Instant) -> Result<(), Error> {
        if !matches!(self.state, State::Choosing) {
            return Ok(());
        }
        media.iter().for_each(|&media| self.plan.want(media));
        self.next_medium(now)
    }

    /// Names the ports for RTP and RTCP of the medium of [`Event::PortsWanted`]. Does nothing if
    /// they are not wanted.
    pub fn offer_ports(&mut self, media: usize, ports: (u16, u16), now: Instant) {
        if matches!(self.state, State::Binding(wanted) if wanted == media) {
            self.set_up(media, Transport::datagrams(ports), now);
        }
    }

    /// Leaves: tells the server if it knows a session, which it may also after an error. Then send
    /// what [`poll_transmit`](Self::poll_transmit) yields, and close.
    pub fn teardown(&mut self) {
        self.state = State::Closed;
        if self.caller.has_session() {
            let request = Request::new(Method::Teardown, self.plan.aggregate.clone());
            let (_, bytes) = self.caller.ask(&request);
            self.transmit.push_back(bytes);
            self.caller.forget_session();
        }
    }

    fn read(&mut self, now: Instant) -> Result<(), Error> {
        while !matches!(self.state, State::Closed) {
            match self.decoder.poll()? {
                None => break,
                Some(Incoming::Data { channel, payload }) => {
                    self.events.push_back(Event::Data { channel, payload });
                }
                Some(Incoming::Response(response)) => self.response(&response, now)?,
                Some(Incoming::Request(request)) => self.request(&request)?,
            }
        }
        Ok(())
    }

    /// Sends a request on which all depends.
    fn ask(&mut self, step: Step, request: Request, now: Instant) {
        self.ask_again(step, request, 0, now);
    }

    fn ask_again(&mut self, step: Step, request: Request, challenges: u8, now: Instant) {
        let exchange = self.send(request, challenges);
        self.state = State::Asking { step, exchange, until: now + self.config.answer_timeout };
    }

    fn send(&mut self, request: Request, challenges: u8) -> Exchange {
        let (cseq, bytes) = self.caller.ask(&request);
        self.transmit.push_back(bytes);
        Exchange { request, cseq, challenges }
    }

    fn response(&mut self, response: &Response, now: Instant) -> Result<(), Error> {
        // Provisional answers are followed by others, and old ones belong to what was given up.
        let provisional = (100..200).contains(&response.status.0);
        let told = response.fields.get("CSeq").and_then(|number| number.parse::<u32>().ok());
        let answers = |asked: &Exchange| !provisional && told.is_none_or(|told| told == asked.cseq);
        match mem::replace(&mut self.state, State::Closed) {
            State::Asking { step, exchange, .. } if answers(&exchange) => {
                self.answered(step, exchange, response, now)
            }
            State::Running { due, keep_alive: Some(exchange) } if answers(&exchange) => {
                self.kept_alive(exchange, response, due);
                Ok(())
            }
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    fn answered(
        &mut self,
        step: Step,
        exchange: Exchange,
        response: &Response,
        now: Instant,
    ) -> Result<(), Error> {
        let Exchange { request, challenges, .. } = exchange;
        let status = response.status;
        if status == Status::UNAUTHORIZED && self.caller.challenged(response, challenges) {
            self.ask_again(step, request, challenges + 1, now);
            return Ok(());
        }
        let method = name(&request.method);
        if let (300..400, Some(location)) = (status.0, response.fields.get("Location")) {
            let Some(url) = self.elsewhere(location) else {
                let what = format!("redirects to {location:?}, which is no address");
                return Err(Error::Answer { method, what });
            };
            self.teardown();
            self.events.push_back(Event::Redirect(url));
            return Ok(());
        }
        match step {
            // Nothing depends on it, and servers exist that do not know it.
            Step::Options if status != Status::UNAUTHORIZED => {
                self.learn_methods(response);
                self.introduce(now);
                return Ok(());
            }
            Step::Setup { media, ref offer }
                if status == Status::UNSUPPORTED_TRANSPORT
                    && offer.lower == Lower::Udp
                    && self.plan.fall_back(media) =>
            {
                return self.next_medium(now);
            }
            Step::Start { last_resort: false } if is_about_uri(status) => {
                let uri = caller::clean(&self.config.url.request_uri());
                if uri != self.plan.aggregate {
                    self.plan.aggregate = uri;
                    self.start(true, now);
                    return Ok(());
                }
            }
            _ => {}
        }
        if !status.is_success() {
            let (status, reason) = (status.0, response.reason.clone());
            return Err(Error::Refused { method, status, reason });
        }
        match step {
            Step::Options => Ok(()),
            Step::Describe => self.described(response),
            Step::Announce => {
                self.plan.want_all();
                self.next_medium(now)
            }
            Step::Setup { media, offer } => {
                self.learn_session(response);
                let transport = self.plan.agree(media, &offer, response)?;
                if let Some((rtp, rtcp)) = transport.interleaved {
                    self.decoder.expect_channel(rtp);
                    self.decoder.expect_channel(rtcp);
                }
                self.events.push_back(Event::TrackReady { media, transport });
                self.next_medium(now)
            }
            Step::Start { .. } => {
                self.learn_session(response);
                let starts = self.plan.starts(response.fields.get("RTP-Info"));
                self.events.push_back(Event::Started { starts });
                self.state = State::Running { due: now + self.interval, keep_alive: None };
                Ok(())
            }
        }
    }

    /// A keep-alive was answered, which hardly matters.
    fn kept_alive(&mut self, exchange: Exchange, response: &Response, due: Instant) {
        let Exchange { request, challenges, .. } = exchange;
        let mut keep_alive = None;
        match response.status {
            Status::SESSION_NOT_FOUND => return self.end("the server has forgotten the session"),
            Status::UNAUTHORIZED if self.caller.challenged(response, challenges) => {
                keep_alive = Some(self.send(request, challenges + 1));
            }
            Status::UNAUTHORIZED => {}
            status if status.is_success() => {}
            _ => self.keep_alive = Method::Options,
        }
        self.state = State::Running { due, keep_alive };
    }

    /// Which request keeps a session alive. Never `SET_PARAMETER`: cameras that list it refuse it.
    fn learn_methods(&mut self, response: &Response) {
        let mut methods = response.fields.all("Public").flat_map(|list| list.split(',')).peekable();
        let is_told = response.status.is_success() && methods.peek().is_some();
        let is_listed = methods.any(|method| method.trim().eq_ignore_ascii_case("GET_PARAMETER"));
        if is_told && !is_listed {
            self.keep_alive = Method::Options;
        }
    }

    fn learn_session(&mut self, response: &Response) {
        let Some((id, timeout)) = response.fields.get("Session").and_then(answer::session) else {
            return;
        };
        self.caller.remember_session(id);
        if let Some(timeout) = timeout {
            self.interval = interval(timeout);
        }
    }

    /// Asks what there is, or says what will come.
    fn introduce(&mut self, now: Instant) {
        let uri = self.plan.aggregate.clone();
        match &self.config.purpose {
            Purpose::Play => {
                let mut request = Request::new(Method::Describe, uri);
                request.fields.push("Accept", "application/sdp");
                self.ask(Step::Describe, request, now);
            }
            Purpose::Publish(description) => {
                self.plan.describe(&uri, description);
                let mut request = Request::new(Method::Announce, uri);
                request.fields.push("Content-Type", "application/sdp");
                request.body = Bytes::from(description.to_string());
                self.ask(Step::Announce, request, now);
            }
        }
    }

    fn described(&mut self, response: &Response) -> Result<(), Error> {
        let description = sdp::Session::parse(&response.body).map_err(|error| {
            let what = format!("is no description: {error}");
            Error::Answer { method: "DESCRIBE", what }
        })?;
        // §C.1.1. What is empty or no address, is as good as missing.
        let named = ["Content-Base", "Content-Location"].map(|name| response.fields.get(name));
        let base = named.into_iter().flatten().find_map(|base| self.absolute(base));
        let base = base.unwrap_or_else(|| self.plan.aggregate.clone());
        self.plan.describe(&base, &description);
        self.state = State::Choosing;
        self.events.push_back(Event::Described(description));
        Ok(())
    }

    /// Goes on with the next medium, or starts.
    fn next_medium(&mut self, now: Instant) -> Result<(), Error> {
        match self.plan.next() {
            Some(media) if self.plan.wants_ports() => {
                self.state = State::Binding(media);
                self.events.push_back(Event::PortsWanted { media });
            }
            Some(media) => {
                self.set_up(media, Transport::interleaved(self.plan.channels()?), now);
            }
            None if self.plan.is_ready() => self.start(false, now),
            None => self.end("no medium is wanted"),
        }
        Ok(())
    }

    fn set_up(&mut self, media: usize, mut offer: Transport, now: Instant) {
        if let Purpose::Publish(_) = self.config.purpose {
            offer.mode = Some(Mode::Record);
        }
        let mut request = Request::new(Method::Setup, self.plan.uri(media));
        request.fields.push("Transport", offer.to_string());
        self.ask(Step::Setup { media, offer }, request, now);
    }

    fn start(&mut self, last_resort: bool, now: Instant) {
        let method = match self.config.purpose {
            Purpose::Play => Method::Play,
            Purpose::Publish(_) => Method::Record,
        };
        let mut request = Request::new(method, self.plan.aggregate.clone());
        request.fields.push("Range", "npt=0.000-");
        self.ask(Step::Start { last_resort }, request, now);
    }

    /// Answers what the server asks for.
    fn request(&mut self, request: &Request) -> Result<(), Error> {
        if matches!(&request.method, Method::Other(name) if name.starts_with("HTTP/")) {
            let method = match &self.state {
                State::Asking { exchange, .. } => name(&exchange.request.method),
                _ => "OPTIONS",
            };
            let what = "is HTTP: the port is that of a web server".to_owned();
            return Err(Error::Answer { method, what });
        }
        self.answers += 1;
        if self.answers > MAX_ANSWERS {
            return Err(Error::TooManyRequests(MAX_ANSWERS));
        }
        let status = match &request.method {
            Method::Options
            | Method::GetParameter
            | Method::SetParameter
            | Method::Announce
            | Method::Redirect
            | Method::Teardown => Status::OK,
            _ => Status::NOT_IMPLEMENTED,
        };
        let mut response = Response::new(status);
        for field in ["CSeq", "Session"] {
            if let Some(value) = request.fields.get(field) {
                response.fields.push(field, value);
            }
        }
        if request.method == Method::Options || status == Status::NOT_IMPLEMENTED {
            response.fields.push("Public", PUBLIC);
        }
        self.transmit.push_back(response.to_bytes());
        match request.method {
            Method::Teardown => self.end("the server has ended the session"),
            Method::Redirect => {
                let location = request.fields.get("Location");
                match location.and_then(|location| self.elsewhere(location)) {
                    Some(url) => {
                        self.teardown();
                        self.events.push_back(Event::Redirect(url));
                    }
                    None => self.end("the server sends us away, and does not say where to"),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, why: &str) {
        self.state = State::Closed;
        self.caller.forget_session();
        self.events.push_back(Event::Ended(why.to_owned()));
    }

    /// The address that a reference of the server means, if it is one.
    fn absolute(&self, reference: &str) -> Option<String> {
        let reference = caller::clean(reference.trim_matches('"'));
        if reference.starts_with('/') {
            return Some(Url { path: reference, ..self.config.url.clone() }.request_uri());
        }
        Url::parse(&reference).is_ok().then_some(reference)
    }

    /// Where a redirection leads.
    fn elsewhere(&self, location: &str) -> Option<Url> {
        let here = &self.config.url;
        let mut url = Url::parse(&self.absolute(location)?).ok()?;
        if url.credentials.is_none() && url.host == here.host && (url.tls || !here.tls) {
            url.credentials.clone_from(&here.credentials);
        }
        Some(url)
    }
}

/// Half of the time after which the server forgets the session, so that one may get lost.
fn interval(timeout: Duration) -> Duration {
    (timeout / 2).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
}

/// Whether the server may know the session by another address.
fn is_about_uri(status: Status) -> bool {
    matches!(
        status,
        Status::BAD_REQUEST
            | Status::NOT_FOUND
            | Status::SESSION_NOT_FOUND
            | Status::NOT_VALID_IN_STATE
            | Status::AGGREGATE_NOT_ALLOWED
    )
}

/// The name of a method that a client uses.
fn name(method: &Method) -> &'static str {
    match method {
        Method::Describe => "DESCRIBE",
        Method::Announce => "ANNOUNCE",
        Method::Setup => "SETUP",
        Method::Play => "PLAY",
        Method::Record => "RECORD",
        Method::GetParameter => "GET_PARAMETER",
        _ => "OPTIONS",
    }
}
