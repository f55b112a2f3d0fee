//! One connection of a publisher or a viewer ([RFC 2326](https://www.rfc-editor.org/rfc/rfc2326)
//! §10, A.2).
//!
//! The machine reads requests one after the other, answers by itself what needs no knowledge of
//! streams, and hands the rest to its owner as [`Event`]s. The owner answers each with the method
//! that the event names, or with [`Session::reject`]; until then, requests that came after it wait.
//! What arrives keeps its order, so that packets right behind a `RECORD` find it answered.
//!
//! Tolerated: requests in a pipeline, a missing `Session` header, and header names in any case. Any
//! request keeps a session alive (§10.8, §12.37); until media flows, only those count that bring it
//! nearer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use auth::{Algorithm, Credentials, Presented, Scheme};
use bytes::Bytes;
use rtp::sdp;

use crate::Error;
use crate::message::{Decoder, Incoming, Method, Request, Response, Status, Version};
use crate::transport::{Lower, Transport};
use crate::url::Target;

/// Requests that may wait for an answer: players send up to four at once.
const MAX_REQUESTS: usize = 16;

/// What a server can do, for `Public` and `Allow`.
const METHODS: &str = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, PAUSE, RECORD, GET_PARAMETER, \
                       SET_PARAMETER, TEARDOWN";

/// Extensions that `Require` may name (RFC 2326 §12.32, RFC 7826 §11.1).
const OPTIONS: &[&str] = &["play.basic", "setup.rtp.rtcp.mux"];

/// The rules of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What it calls itself.
    pub name: String,
    /// How long each step may take until the client plays or publishes.
    pub setup_timeout: Duration,
    /// How long all steps may take together.
    pub setup_limit: Duration,
    /// How long a viewer of datagrams, or one that pauses, may say nothing. Clients are told, and
    /// get a little more.
    pub session_timeout: Duration,
    /// What passwords are for.
    pub realm: String,
    /// How clients that are challenged can show who they are, the best way first.
    pub schemes: Vec<Scheme>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "Headwater".to_owned(),
            setup_timeout: Duration::from_secs(10),
            setup_limit: Duration::from_secs(30),
            session_timeout: Duration::from_secs(60),
            realm: "Headwater".to_owned(),
            schemes: vec![Scheme::Digest(Algorithm::Sha256), Scheme::Digest(Algorithm::Md5)],
        }
    }
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It wants to publish. To be answered with [`Session::accept`].
    Announce {
        /// The stream.
        target: Target,
        /// The URI of the request.
        uri: String,
        /// What it will send.
        description: sdp::Session,
    },
    /// It asks what a stream is. To be answered with [`Session::describe`].
    Describe {
        /// The stream.
        target: Target,
        /// The URI of the request.
        uri: String,
    },
    /// It sets up a track. To be answered with [`Session::accept_setup`].
    Setup {
        /// The URI of the track.
        uri: String,
        /// What it offers, in order of preference; never empty.
        transports: Vec<Transport>,
    },
    /// It wants to play, or to go on. To be answered with [`Session::accept_play`].
    Play,
    /// It is going to send. To be answered with [`Session::accept`].
    Record,
    /// It wants nothing for a while. To be answered with [`Session::accept`].
    Pause,
    /// It leaves. To be answered with [`Session::accept`], or with [`Session::reject`] where it
    /// gives up one of several tracks, and nothing is known of that.
    Teardown {
        /// The URI of the request.
        uri: String,
    },
    /// A packet on a channel of the connection. Needs no answer.
    Data {
        /// The channel.
        channel: u8,
        /// RTP or RTCP.
        payload: Bytes,
    },
    /// One half of a tunnel through HTTP: this connection, whose other half is told apart by the
    /// cookie, is no RTSP from here on. Needs no answer.
    Tunnel {
        /// Whether this is the half that the client writes (`POST`).
        post: bool,
        /// `x-sessioncookie`.
        cookie: String,
    },
}

/// What has arrived and was not looked at.
#[derive(Debug)]
enum Arrived {
    Request(Box<Request>),
    Packet(u8, Bytes),
}

/// A request that the owner has not answered yet.
#[derive(Debug)]
struct Pending {
    method: Method,
    cseq: String,
    presented: Option<Presented>,
    via: Option<String>,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was announced or set up.
    Init,
    /// Something was announced.
    Announced,
    /// A track was set up.
    Ready { publishing: bool },
    /// Media flows.
    Active { publishing: bool },
    /// A viewer wants nothing for a while.
    Paused,
    /// It has ended.
    Ended,
}

/// A connection of a client.
#[derive(Debug)]
pub struct Session {
    config: Config,
    decoder: Decoder,
    /// What has arrived, in its order.
    arrived: VecDeque<Arrived>,
    /// Requests in `arrived`.
    requests: usize,
    tunnel: Option<Event>,
    /// A request has come: this is no tunnel.
    asked: bool,
    /// This is half a tunnel: what follows is not for us.
    tunnelled: bool,
    pending: Option<Pending>,
    transmit: VecDeque<Bytes>,
    state: State,
    id: String,
    nonce: String,
    /// How often credentials were not enough.
    refused: u32,
    /// When the client last asked for something, or sent a packet.
    heard: Instant,
    /// When it was there, or has begun anew, and when it last came nearer to its media. What it
    /// waits for us is not counted.
    began: Instant,
    progress: Instant,
    /// Media goes out as datagrams: only requests and reports tell that the client is there.
    needs_keep_alive: bool,
}

impl Session {
    /// A connection that has just been made. `seed` is a number that nobody can foresee.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let mix = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31);
        Self {
            config,
            decoder: Decoder::new(),
            arrived: VecDeque::new(),
            requests: 0,
            tunnel: None,
            asked: false,
            tunnelled: false,
            pending: None,
            transmit: VecDeque::new(),
            state: State::Init,
            id: format!("{seed:016X}"),
            nonce: format!("{mix:016x}{:016x}", !seed ^ mix.rotate_right(7)),
            refused: 0,
            heard: now,
            began: now,
            progress: now,
            needs_keep_alive: false,
        }
    }

    /// Takes what has arrived. [`Session::poll_event`] and [`Session::poll_transmit`] are to be
    /// asked afterwards, also after an error: what came before it, and the answer to it.
    ///
    /// # Errors
    /// [`Error`] when nothing sensible can follow.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), Error> {
        self.decoder.push(bytes);
        if self.tunnelled {
            return Ok(());
        }
        loop {
            match self.decoder.poll() {
                Ok(None) => return Ok(()),
                // Nobody has agreed on media that comes while something is still to be answered.
                Ok(Some(Incoming::Data { .. })) if self.pending.is_some() => {}
                Ok(Some(Incoming::Data { channel, payload })) => {
                    self.heard = now;
                    self.arrived.push_back(Arrived::Packet(channel, payload));
                }
                // Answers to what nobody has asked.
                Ok(Some(Incoming::Response(_))) => {}
                Ok(Some(Incoming::Request(request))) if request.version == Version::Http => {
                    return self.tunnel(&request);
                }
                Ok(Some(Incoming::Request(request))) => {
                    if self.requests >= MAX_REQUESTS {
                        return Err(Error::TooManyRequests(MAX_REQUESTS));
                    }
                    self.requests += 1;
                    self.asked = true;
                    self.heard = now;
                    if is_step(&request.method) {
                        self.progress = now;
                    }
                    self.arrived.push_back(Arrived::Request(Box::new(request)));
                }
                Err(error) => {
                    let status = match error {
                        Error::BodyTooLong(_) => Status::ENTITY_TOO_LARGE,
                        _ => Status::BAD_REQUEST,
                    };
                    self.transmit.push_back(self.response(status, None).to_bytes());
                    return Err(error);
                }
            }
        }
    }

    /// Time has passed.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when the client has been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return Ok(());
        }
        let what = match self.state {
            State::Active { .. } | State::Paused => {
                "the viewer is silent: no request and no report in time"
            }
            _ => "the client took too long to say what it wants",
        };
        Err(Error::TimedOut(what))
    }

    /// When [`Session::handle_timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            _ if self.pending.is_some() => None,
            State::Active { .. } if !self.needs_keep_alive => None,
            State::Active { .. } | State::Paused => {
                // Clients that send a keep-alive just when it is due are not punished.
                Some(self.heard + self.config.session_timeout + self.config.session_timeout / 4)
            }
            State::Ended => None,
            State::Init | State::Announced | State::Ready { .. } => {
                let step = self.progress + self.config.setup_timeout;
                Some(step.min(self.began + self.config.setup_limit))
            }
        }
    }

    /// The client has waited so long for its owner to answer: that is none of its own time.
    pub fn excuse(&mut self, wait: Duration) {
        self.began += wait;
        self.progress += wait;
    }

    /// The next thing that the owner has to see to.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(tunnel) = self.tunnel.take() {
            return Some(tunnel);
        }
        while self.pending.is_none() && self.state != State::Ended {
            match self.arrived.pop_front()? {
                Arrived::Packet(channel, payload) => return Some(Event::Data { channel, payload }),
                Arrived::Request(request) => {
                    self.requests -= 1;
                    if let Some(event) = self.request(*request) {
                        return Some(event);
                    }
                }
            }
        }
        None
    }

    /// The next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmit.pop_front()
    }

    /// The client has shown in another way that it is there: by a report among its datagrams.
    pub fn keep_alive(&mut self, heard: Instant) {
        self.heard = self.heard.max(heard);
    }

    /// The publisher has said goodbye in RTCP: nothing is announced any more.
    pub fn begin_anew(&mut self, now: Instant) {
        self.state = State::Init;
        self.began = now;
        self.progress = now;
    }

    /// The identifier of the session.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Bytes of a tunnel or a plain connection that have arrived and were not read.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.decoder.into_rest()
    }

    /// Answers `ANNOUNCE`, `RECORD`, `PAUSE` or `TEARDOWN`: it is done.
    pub fn accept(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        self.state = match (&pending.method, self.state) {
            (Method::Announce, _) => State::Announced,
            (Method::Record, _) => State::Active { publishing: true },
            (Method::Pause, _) => State::Paused,
            (Method::Teardown, _) => State::Ended,
            (_, state) => state,
        };
        let mut response = self.response(Status::OK, Some(&pending.cseq));
        if pending.method != Method::Announce {
            response.fields.push("Session", self.id.clone());
        }
        self.transmit.push_back(response.to_bytes());
    }

    /// Answers `DESCRIBE`. `base` is the address that the addresses of tracks are relative to.
    pub fn describe(&mut self, description: &sdp::Session, base: &str) {
        let Some(pending) = self.pending.take() else { return };
        let mut response = self.response(Status::OK, Some(&pending.cseq));
        response.fields.push("Content-Base", base);
        response.fields.push("Content-Type", "application/sdp");
        response.body = Bytes::from(description.to_string());
        self.transmit.push_back(response.to_bytes());
    }

    /// Answers `SETUP` with what was chosen.
    pub fn accept_setup(&mut self, transport: &Transport) {
        let Some(pending) = self.pending.take() else { return };
        if let Some((rtp, rtcp)) = transport.interleaved {
            self.decoder.expect_channel(rtp);
            self.decoder.expect_channel(rtcp);
        }
        let publishing = self.publishing();
        self.needs_keep_alive = transport.lower == Lower::Udp && !publishing;
        if self.state != (State::Active { publishing }) {
            self.state = State::Ready { publishing };
        }
        let timeout = self.config.session_timeout.as_secs();
        let mut response = self.response(Status::OK, Some(&pending.cseq));
        response.fields.push("Transport", transport.to_string());
        response.fields.push("Session", format!("{};timeout={timeout}", self.id));
        self.transmit.push_back(response.to_bytes());
    }

    /// Answers `PLAY`; the bytes of the answer are returned, since media follows them.
    /// `info` is the `RTP-Info`: which packets come first, if that is known.
    pub fn accept_play(&mut self, info: Option<&str>) -> Bytes {
        let Some(pending) = self.pending.take() else { return Bytes::new() };
        self.state = State::Active { publishing: false };
        let mut response = self.response(Status::OK, Some(&pending.cseq));
        response.fields.push("Session", self.id.clone());
        response.fields.push("Range", "npt=0.000-");
        if let Some(info) = info {
            response.fields.push("RTP-Info", info);
        }
        response.to_bytes()
    }

    /// As [`Session::accept_play`], where media does not follow on the connection: the answer is
    /// transmitted like any other.
    pub fn accept_play_elsewhere(&mut self, info: Option<&str>) {
        let answer = self.accept_play(info);
        if !answer.is_empty() {
            self.transmit.push_back(answer);
        }
    }

    /// Refuses what was asked for; `text` says why, in place of the usual reason.
    pub fn reject(&mut self, status: Status, text: &str) {
        let Some(pending) = self.pending.take() else { return };
        self.refuse(status, &pending.cseq, text);
    }

    /// What the request that waits for its answer shows of who the client is.
    #[must_use]
    pub fn presented(&self) -> Option<Presented> {
        self.pending.as_ref().and_then(|pending| pending.presented.clone())
    }

    /// What the request that waits for its answer says of servers that it has come through
    /// ([`crate::VIA`]).
    #[must_use]
    pub fn via(&self) -> Option<&str> {
        self.pending.as_ref().and_then(|pending| pending.via.as_deref())
    }

    /// Answers that the client has to show who it is (RFC 2326 §18, RFC 7616 §3.3). One that was
    /// wrong too often is sent away.
    pub fn challenge(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let mut response = self.response(Status::UNAUTHORIZED, Some(&pending.cseq));
        for scheme in &self.config.schemes {
            let challenge = auth::challenge(*scheme, &self.config.realm, &self.nonce);
            response.fields.push("WWW-Authenticate", challenge);
        }
        self.transmit.push_back(response.to_bytes());
        if pending.presented.is_some() {
            self.refused += 1;
            if self.refused >= MAX_REFUSED {
                self.state = State::Ended;
            }
        }
    }

    /// Whether the client has left, or was sent away.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    fn publishing(&self) -> bool {
        match self.state {
            State::Announced => true,
            State::Ready { publishing } | State::Active { publishing } => publishing,
            State::Init | State::Paused | State::Ended => false,
        }
    }

    fn refuse(&mut self, status: Status, cseq: &str, text: &str) {
        let mut response = self.response(status, Some(cseq));
        if !text.is_empty() {
            text.clone_into(&mut response.reason);
        }
        if status == Status::METHOD_NOT_ALLOWED || status == Status::NOT_IMPLEMENTED {
            response.fields.push("Allow", METHODS);
        }
        self.transmit.push_back(response.to_bytes());
    }

    fn response(&self, status: Status, cseq: Option<&str>) -> Response {
        let mut response = Response::new(status);
        if let Some(cseq) = cseq {
            response.fields.push("CSeq", cseq);
        }
        response.fields.push("Server", self.config.name.clone());
        response
    }

    /// Answers a request, or makes an event of it.
    fn request(&mut self, request: Request) -> Option<Event> {
        let Some(cseq) = request.cseq().map(ToOwned::to_owned) else {
            let mut response = self.response(Status::BAD_REQUEST, None);
            "the request has no CSeq".clone_into(&mut response.reason);
            self.transmit.push_back(response.to_bytes());
            return None;
        };
        if let Err((status, text)) = self.check(&request) {
            if status == Status::OPTION_NOT_SUPPORTED {
                let mut response = self.response(status, Some(&cseq));
                response.fields.push("Unsupported", text);
                self.transmit.push_back(response.to_bytes());
            } else {
                self.refuse(status, &cseq, &text);
            }
            return None;
        }
        let event = match &request.method {
            Method::Options => {
                let mut response = self.response(Status::OK, Some(&cseq));
                response.fields.push("Public", METHODS);
                self.transmit.push_back(response.to_bytes());
                return None;
            }
            // What a publisher sends is taken, whether it says that it pauses or not.
            Method::Pause | Method::Record if self.state == State::Active { publishing: true } => {
                let mut response = self.response(Status::OK, Some(&cseq));
                response.fields.push("Session", self.id.clone());
                self.transmit.push_back(response.to_bytes());
                return None;
            }
            Method::GetParameter | Method::SetParameter => {
                let mut response = self.response(Status::OK, Some(&cseq));
                if request.fields.get("Session").is_some() {
                    response.fields.push("Session", self.id.clone());
                }
                self.transmit.push_back(response.to_bytes());
                return None;
            }
            Method::Announce => match sdp::Session::parse(&request.body) {
                Ok(description) => Event::Announce {
                    target: Target::parse(&request.uri),
                    uri: request.uri.clone(),
                    description,
                },
                Err(error) => {
                    self.refuse(Status::BAD_REQUEST, &cseq, &error.to_string());
                    return None;
                }
            },
            Method::Describe => {
                Event::Describe { target: Target::parse(&request.uri), uri: request.uri.clone() }
            }
            Method::Setup => {
                let headers = request.fields.all("Transport");
                let transports: Vec<_> = headers.flat_map(Transport::parse_all).collect();
                if transports.is_empty() {
                    self.refuse(Status::UNSUPPORTED_TRANSPORT, &cseq, "");
                    return None;
                }
                Event::Setup { uri: request.uri.clone(), transports }
            }
            Method::Play => Event::Play,
            Method::Record => Event::Record,
            Method::Pause => Event::Pause,
            Method::Teardown => Event::Teardown { uri: request.uri.clone() },
            Method::Redirect | Method::HttpGet | Method::HttpPost | Method::Other(_) => {
                self.refuse(Status::NOT_IMPLEMENTED, &cseq, "");
                return None;
            }
        };
        let presented = self.read_credentials(&request);
        let via = request.fields.get(crate::VIA).map(str::to_owned);
        self.pending = Some(Pending { method: request.method, cseq, presented, via });
        Some(event)
    }

    /// Whether a request may be made now.
    fn check(&self, request: &Request) -> Result<(), (Status, String)> {
        let refuse = |status| Err((status, String::new()));
        if request.version != Version::Rtsp1 {
            return refuse(Status::VERSION_NOT_SUPPORTED);
        }
        let required = request.fields.all("Require").chain(request.fields.all("Proxy-Require"));
        let options = required.flat_map(|list| list.split(',')).map(str::trim);
        let unknown: Vec<_> = options.filter(|o| !o.is_empty() && !OPTIONS.contains(o)).collect();
        if !unknown.is_empty() {
            return Err((Status::OPTION_NOT_SUPPORTED, unknown.join(", ")));
        }
        let told = request.fields.get("Session").and_then(|value| value.split(';').next());
        if told.is_some_and(|told| told.trim() != self.id) {
            return refuse(Status::SESSION_NOT_FOUND);
        }
        let allowed = match (&request.method, self.state) {
            (Method::Announce, state) => state == State::Init,
            // A publisher is nobody's viewer meanwhile.
            (Method::Describe, _) => !self.publishing(),
            (Method::Setup, State::Active { publishing: true }) => false,
            (Method::Play, State::Ready { publishing } | State::Active { publishing }) => {
                !publishing
            }
            (Method::Play, State::Paused) => true,
            (Method::Record, State::Ready { publishing } | State::Active { publishing }) => {
                publishing
            }
            (Method::Pause, state) => matches!(state, State::Active { .. } | State::Paused),
            (Method::Play | Method::Record, _) => false,
            _ => true,
        };
        if !allowed {
            return refuse(Status::NOT_VALID_IN_STATE);
        }
        Ok(())
    }

    /// What a request shows of who the client is, in one of the ways that are offered.
    fn read_credentials(&self, request: &Request) -> Option<Presented> {
        let credentials = Credentials::parse(request.fields.get("Authorization")?)?;
        let offered = self.config.schemes.contains(&credentials.scheme());
        let (method, realm) = (request.method.name(), &self.config.realm);
        offered.then(|| Presented::new(credentials, method, realm, &self.nonce))
    }

    /// A request of HTTP: half a tunnel, if it has a cookie.
    fn tunnel(&mut self, request: &Request) -> Result<(), Error> {
        if self.asked {
            return Err(Error::Garbage(0));
        }
        let cookie = request.fields.get("x-sessioncookie").unwrap_or_default().to_owned();
        let post = match request.method {
            Method::HttpGet => false,
            Method::HttpPost => true,
            _ => return Err(Error::Garbage(0)),
        };
        if cookie.is_empty() || cookie.len() > MAX_COOKIE {
            let text = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n\
                        This port speaks RTSP, and tunnels of it with an x-sessioncookie.\n";
            self.transmit.push_back(Bytes::from_static(text.as_bytes()));
            self.state = State::Ended;
            self.tunnelled = true;
            return Ok(());
        }
        self.tunnelled = true;
        self.tunnel = Some(Event::Tunnel { post, cookie });
        Ok(())
    }
}

/// Whether a request brings a client nearer to its media.
fn is_step(method: &Method) -> bool {
    matches!(
        method,
        Method::Announce | Method::Describe | Method::Setup | Method::Play | Method::Record
    )
}

/// How often credentials may be wrong on one connection. Clients try each of the challenges once.
const MAX_REFUSED: u32 = 5;

/// QuickTime's has 22 bytes.
const MAX_COOKIE: usize = 128;
