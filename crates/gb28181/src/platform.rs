//! The platform: the side that devices register with (GB/T 28181-2016 and 2022 §9).
//!
//! One machine serves all devices, over datagrams and connections. Answers go where requests came
//! from, and our requests go where the device was last heard from, never to where a `Contact` says:
//! devices stand behind address translation, and many name a wrong host. After each call of a
//! method, [`Platform::poll_transmit`] and [`Platform::poll_event`] are to be asked until they have
//! nothing more.
//!
//! Tolerated: no `Contact`, or a wrong one; identifiers of channels in `From`; no tag in answers;
//! no description in the answer to an `INVITE`; `Expires` in `Contact` or nowhere.

mod calls;
mod commands;
mod event;
mod records;
mod registration;
mod reports;
mod settings;
mod subscriptions;

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::id::Id;
use crate::manscdp::Topic;
use crate::message::{Decoder, Message, Method, Rejected, Request, Response, Status, datagram};
use crate::peer::{Carrier, Peer};
use crate::ssrc::Numbers;
use crate::timers::Timers;
use crate::transaction::{Answers, Out, Requests};

pub use calls::{Invite, Playback};
pub use commands::CommandError;
pub use event::{CallId, CommandId, EndedBy, Event, Failure, Gone};
pub use records::Recording;
pub use settings::Settings;

use calls::Call;
use records::List;
use registration::{Bucket, Device};
use reports::Gathering;
use subscriptions::Subscription;

/// Connections that are open at once: more than devices, which open a new one before the old ends.
const MAX_CONNECTIONS: usize = 20_000;

/// Bytes of messages that have not arrived to their end, on all connections: a few hundred parts of
/// catalogues.
const MAX_BUFFERED: usize = 64 << 20;

/// Calls at once: far more streams than one server takes in.
const MAX_CALLS: usize = 10_000;

/// What a platform answers to, for `Allow`.
const METHODS: &str = "REGISTER, MESSAGE, NOTIFY, BYE, ACK, CANCEL, OPTIONS, INFO";

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// The device is silent, or its registration has run out.
    Device(Id),
    /// The device is back, and is told which of its calls are over.
    Stale(Id),
    /// Nobody has answered the call.
    Call(CallId),
    /// No more of a catalogue comes.
    Catalogue(CommandId),
    /// No more of a list of recordings comes.
    Recordings(CommandId),
    /// A subscription runs out.
    Refresh(Id, Topic),
}

/// What a request of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Command(CommandId, Id),
    Catalogue(CommandId, Id),
    Recordings(CommandId, Id),
    Invite(CallId),
    Subscribe(CommandId, Id, Topic),
    /// Its answer changes nothing.
    Nothing,
}

/// The side that devices register with.
#[derive(Debug)]
pub struct Platform {
    settings: Settings,
    secret: [u8; 32],
    /// Tokens made so far.
    tokens: u64,
    started: Instant,
    /// The time of day, and when that was.
    wall_clock: Option<(SystemTime, Instant)>,
    devices: HashMap<Id, Device>,
    /// How many of them are at each address.
    hosts: HashMap<IpAddr, usize>,
    /// How many `REGISTER`s each address may still send.
    buckets: HashMap<IpAddr, Bucket>,
    /// When those that are idle were last taken out.
    buckets_swept: Instant,
    /// The same for all addresses beyond those.
    crowd: Bucket,
    connections: HashMap<u64, Decoder>,
    /// Bytes that wait in all of them.
    buffered: usize,
    answers: Answers,
    requests: Requests<Purpose>,
    calls: HashMap<CallId, Call>,
    /// Calls that ended when their devices were gone, which may not know.
    stale: HashMap<Id, Vec<Call>>,
    /// The calls by their `Call-ID`.
    conversations: HashMap<String, CallId>,
    gatherings: HashMap<CommandId, Gathering>,
    lists: HashMap<CommandId, List>,
    subscriptions: HashMap<(Id, Topic), Subscription>,
    timers: Timers<Timer>,
    numbers: Numbers,
    next_call: u64,
    next_command: u32,
    out: Out,
    events: VecDeque<Event>,
}

impl Platform {
    /// A platform without devices. `seed` is what nobody can foresee: nonces, tags and branches
    /// are made of it.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32], now: Instant) -> Self {
        let numbers = Numbers::new(&settings.domain, 1);
        Self {
            settings,
            secret: seed,
            tokens: 0,
            started: now,
            wall_clock: None,
            devices: HashMap::new(),
            hosts: HashMap::new(),
            buckets: HashMap::new(),
            buckets_swept: now,
            crowd: Bucket::full(now),
            connections: HashMap::new(),
            buffered: 0,
            answers: Answers::default(),
            requests: Requests::new(),
            calls: HashMap::new(),
            stale: HashMap::new(),
            conversations: HashMap::new(),
            gatherings: HashMap::new(),
            lists: HashMap::new(),
            subscriptions: HashMap::new(),
            timers: Timers::new(),
            numbers,
            next_call: 1,
            next_command: 1,
            out: Out::new(),
            events: VecDeque::new(),
        }
    }

    /// Says what time of day it is. Devices set their clocks by it when they register; without it
    /// they are not told. To be called at the start and whenever the clock was set.
    pub fn set_wall_clock(&mut self, time: SystemTime, now: Instant) {
        self.wall_clock = Some((time, now));
    }

    /// Says where a device reaches us, if that is another place than [`Settings::address`]: hosts
    /// have several networks. It holds as long as the device is registered from the same address.
    pub fn set_local(&mut self, device: Id, address: SocketAddr) {
        if let Some(device) = self.devices.get_mut(&device) {
            device.local = Some(address);
        }
    }

    /// Takes a datagram, or what has arrived on a connection.
    ///
    /// # Errors
    /// [`Error`] says what is wrong. A datagram is then dropped; a connection is to be closed,
    /// after what is to be transmitted, and [`Platform::handle_closed`] to be called.
    pub fn handle_input(&mut self, peer: Peer, bytes: &[u8], now: Instant) -> Result<(), Error> {
        let Carrier::Tcp(connection) = peer.carrier else {
            return match datagram(bytes) {
                Ok(Some(message)) => self.message(message, peer, now),
                Ok(None) => Ok(()),
                Err(rejected) => Err(self.reject(rejected, peer)),
            };
        };
        let known = self.take_connection(connection);
        if known.is_none() && self.connections.len() >= MAX_CONNECTIONS {
            return Err(Error::TooMany("connections"));
        }
        let mut decoder = known.unwrap_or_default();
        decoder.push(bytes);
        loop {
            match decoder.poll() {
                Ok(Some(message)) => {
                    // What is wrong with one message is no reason to lose the others.
                    let _ = self.message(message, peer, now);
                }
                Ok(None) => break,
                Err(rejected) => return Err(self.reject(rejected, peer)),
            }
        }
        if self.buffered + decoder.buffered() > MAX_BUFFERED {
            return Err(Error::TooMany("bytes of messages without an end"));
        }
        self.buffered += decoder.buffered();
        self.connections.insert(connection, decoder);
        Ok(())
    }

    fn take_connection(&mut self, connection: u64) -> Option<Decoder> {
        let decoder = self.connections.remove(&connection)?;
        self.buffered = self.buffered.saturating_sub(decoder.buffered());
        Some(decoder)
    }

    /// A connection has ended. Devices that are reached over it are gone until they register again.
    pub fn handle_closed(&mut self, connection: u64) {
        self.take_connection(connection);
        let carrier = Carrier::Tcp(connection);
        let of_connection = self.devices.values().filter(|device| device.peer.carrier == carrier);
        let gone: Vec<_> = of_connection.map(|device| device.id).collect();
        for id in gone {
            self.lose(id, Gone::ConnectionClosed);
        }
        for purpose in self.requests.abandon(carrier) {
            self.unanswered(purpose);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(purpose) = self.requests.handle_timeout(now, &mut self.out) {
            self.unanswered(purpose);
        }
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Device(id) => self.check_device(id, now),
                Timer::Stale(id) => self.hang_up_stale(id, now),
                Timer::Call(call) => self.give_up(call, now),
                Timer::Catalogue(command) => self.deliver(command, false),
                Timer::Recordings(command) => self.deliver_recordings(command, false),
                Timer::Refresh(device, topic) => self.refresh(device, topic, now),
            }
        }
    }

    /// When [`Platform::handle_timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.requests.poll_timeout().into_iter().chain(self.timers.next()).min()
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<(Peer, Bytes)> {
        self.out.pop_front()
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether a device is registered and was heard from.
    #[must_use]
    pub fn is_online(&self, device: Id) -> bool {
        self.devices.contains_key(&device)
    }

    /// The rules it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn message(&mut self, message: Message, peer: Peer, now: Instant) -> Result<(), Error> {
        match message {
            Message::Request(request) => self.request(&request, peer, now),
            Message::Response(response) => {
                if let Some(received) = self.requests.receive(&response, now, &mut self.out) {
                    match received.purpose {
                        Purpose::Invite(call) => {
                            self.invite_answered(call, &received.branch, &response, now);
                        }
                        purpose => self.answered(purpose, &response, now),
                    }
                }
                Ok(())
            }
        }
    }

    fn request(&mut self, request: &Request, peer: Peer, now: Instant) -> Result<(), Error> {
        // No answer to this may ever be given.
        if request.method == Method::Ack {
            return Ok(());
        }
        if let Err(error) = request.check() {
            let rejected = Rejected { error, request: Some(Box::new(request.clone())) };
            return Err(self.reject(rejected, peer));
        }
        if let Some(answer) = self.answers.find(request, peer) {
            self.out.push_back((peer, answer));
            return Ok(());
        }
        let answer = match &request.method {
            Method::Register => match self.register(request, peer, now) {
                Some(answer) => answer,
                None => return Ok(()),
            },
            Method::Message | Method::Notify => self.report(request, peer, now),
            Method::Bye => self.hung_up(request, peer),
            Method::Options | Method::Info => self.answer(request, Status::OK, peer),
            Method::Cancel => self.answer(request, Status::CALL_DOES_NOT_EXIST, peer),
            Method::Invite | Method::Subscribe => {
                self.answer(request, Status::METHOD_NOT_ALLOWED, peer)
            }
            Method::Ack | Method::Other(_) => self.answer(request, Status::NOT_IMPLEMENTED, peer),
        };
        let answer = answer.to_bytes();
        self.answers.keep(request, peer, answer.clone(), now);
        self.out.push_back((peer, answer));
        Ok(())
    }

    /// Answers what cannot be understood, if there is something to answer to.
    fn reject(&mut self, rejected: Rejected, peer: Peer) -> Error {
        let Rejected { error, request } = rejected;
        if let Some(request) =
            request.filter(|r| r.method != Method::Ack && r.fields.via().is_some())
        {
            let status = match error {
                Error::BodyTooLong(_) => Status::ENTITY_TOO_LARGE,
                _ => Status::BAD_REQUEST,
            };
            let mut answer = self.answer(&request, status, peer);
            answer.reason = error.to_string();
            self.out.push_back((peer, answer.to_bytes()));
        }
        error
    }

    fn answer(&mut self, request: &Request, status: Status, peer: Peer) -> Response {
        let tag = self.token("tag");
        let mut response = Response::to(request, status, peer.address, &tag);
        if status == Status::METHOD_NOT_ALLOWED || status == Status::NOT_IMPLEMENTED {
            response.fields.push("Allow", METHODS);
        }
        response.fields.push("User-Agent", self.settings.user_agent.clone());
        response
    }

    /// One of our requests was answered for good, or is being worked at.
    fn answered(&mut self, purpose: Purpose, response: &Response, now: Instant) {
        if response.status.is_provisional() {
            return;
        }
        let refused = || Failure::Refused { status: response.status, reason: reason(response) };
        let success = response.status.is_success();
        match purpose {
            Purpose::Command(command, device) if success => {
                self.events.push_back(Event::CommandDone { device, command });
            }
            Purpose::Command(command, device) => self.fail(command, device, refused()),
            // The catalogue itself is yet to come, unless it was faster than this answer.
            Purpose::Catalogue(command, device) => {
                if !success && self.gatherings.contains_key(&command) {
                    self.fail(command, device, refused());
                }
            }
            Purpose::Recordings(command, device) => {
                if !success && self.lists.contains_key(&command) {
                    self.fail(command, device, refused());
                }
            }
            Purpose::Subscribe(command, device, topic) => {
                self.subscribe_answered(command, device, topic, response, now);
            }
            Purpose::Invite(_) | Purpose::Nothing => {}
        }
    }

    /// One of our requests was never answered.
    fn unanswered(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Command(command, device) => self.fail(command, device, Failure::NoAnswer),
            // What has come of it without an answer counts all the same.
            Purpose::Catalogue(command, _) => self.deliver(command, false),
            Purpose::Recordings(command, _) => self.deliver_recordings(command, false),
            Purpose::Subscribe(command, device, topic) => {
                self.end_subscription(device, topic);
                self.fail(command, device, Failure::NoAnswer);
            }
            Purpose::Invite(call) => self.invite_unanswered(call),
            Purpose::Nothing => {}
        }
    }

    fn fail(&mut self, command: CommandId, device: Id, why: Failure) {
        // Devices may name any number.
        if self.gatherings.get(&command).is_some_and(|gathering| gathering.device == device) {
            self.gatherings.remove(&command);
            self.timers.clear(&Timer::Catalogue(command));
        }
        if self.lists.get(&command).is_some_and(|list| list.device == device) {
            self.lists.remove(&command);
            self.timers.clear(&Timer::Recordings(command));
        }
        self.events.push_back(Event::CommandFailed { device, command, why });
    }

    /// A word that nobody can guess.
    fn token(&mut self, purpose: &str) -> String {
        self.tokens += 1;
        let count = self.tokens.to_string();
        self.digest(&[purpose, &count])
    }

    /// A word that only this platform can make of these.
    fn digest(&self, parts: &[&str]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let bytes = hash.finalize();
        bytes.iter().take(12).fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The time of day now, since 1970, if it is known.
    fn time_of_day(&self, now: Instant) -> Option<Duration> {
        let (time, then) = self.wall_clock?;
        let time = time + now.saturating_duration_since(then);
        time.duration_since(SystemTime::UNIX_EPOCH).ok()
    }
}

/// What a device says to its answer, at a length that a log can take.
fn reason(response: &Response) -> String {
    response.reason.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_known_as_long_as_they_have_devices() {
        let now = Instant::now();
        let address = "192.0.2.100:5060".parse().unwrap();
        let settings = Settings::new("34020000002000000001".parse().unwrap(), address);
        let mut platform = Platform::new(Settings { open: true, ..settings }, [7; 32], now);
        let mut register = |number: u32, host: &str, expires: u32| {
            let id = format!("340200000013200000{number:02}");
            let text = format!(
                "REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch={number}{host}{expires}\r\n\
                 From: <sip:{id}@x>;tag=1\r\nTo: <sip:{id}@x>\r\nCall-ID: 1\r\n\
                 CSeq: 1 REGISTER\r\nExpires: {expires}\r\n\r\n"
            );
            let peer = Peer::udp(format!("{host}:5060").parse().unwrap());
            platform.handle_input(peer, text.as_bytes(), now).unwrap();
            let mut hosts: Vec<_> =
                platform.hosts.iter().map(|(host, count)| (host.to_string(), *count)).collect();
            hosts.sort();
            hosts
        };
        let one = |host: &str, count| (host.to_owned(), count);
        register(1, "192.0.2.1", 3600);
        assert_eq!(register(2, "192.0.2.1", 3600), [one("192.0.2.1", 2)]);
        assert_eq!(register(2, "192.0.2.1", 3000), [one("192.0.2.1", 2)]);
        let both = [one("192.0.2.1", 1), one("192.0.2.2", 1)];
        assert_eq!(register(2, "192.0.2.2", 3600), both);
        assert_eq!(register(1, "192.0.2.1", 0), [one("192.0.2.2", 1)]);
        platform.handle_timeout(now + Duration::from_secs(4000));
        assert!(platform.hosts.is_empty() && platform.devices.is_empty());
    }
}
