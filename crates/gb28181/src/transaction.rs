//! Transactions ([RFC 3261](https://www.rfc-editor.org/rfc/rfc3261) §17, RFC 6026): requests are
//! sent again until they are answered, and answers whenever a request comes again.
//!
//! Over connections nothing is sent again, but every wait has its end all the same. A transaction
//! is known by a branch that nobody can guess, so an answer may come from any address.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::message::{CSeq, Method, Request, Response};
use crate::peer::{Carrier, Peer};
use crate::timers::Timers;

/// The time that a datagram takes there and back, to begin with.
pub const T1: Duration = Duration::from_millis(500);

/// The longest wait until a request other than `INVITE` is sent again.
pub const T2: Duration = Duration::from_secs(4);

/// How long an answer is waited for, and how long one is remembered.
pub const LIFETIME: Duration = Duration::from_secs(32);

/// Answers that are remembered: those to four thousand devices that say they are there every
/// minute, and as much again. The oldest is forgotten; its request is then worked at anew, which
/// does no harm.
const MAX_ANSWERS: usize = 8192;

/// Bytes of them: real ones have half a KiB. Whoever asks chooses how long an answer is, and need
/// not have proved anything.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Requests that wait for an answer: a question to every device of a large platform at once.
pub const MAX_REQUESTS: usize = 16_384;

/// What has to be sent.
pub(crate) type Out = VecDeque<(Peer, Bytes)>;

/// The answers that were given.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    answers: HashMap<AnswerKey, Bytes>,
    order: VecDeque<(Instant, AnswerKey)>,
    /// Bytes of all answers.
    bytes: usize,
}

/// What tells a request from others: a digest, so that long fields take no room.
type AnswerKey = (Peer, [u8; 32]);

impl Answers {
    /// What was answered to this very request (§17.2.3). Old devices have the same branch in all
    /// they send, therefore more than that has to be the same.
    pub(crate) fn find(&self, request: &Request, peer: Peer) -> Option<Bytes> {
        self.answers.get(&(peer, key(request))).cloned()
    }

    pub(crate) fn keep(&mut self, request: &Request, peer: Peer, answer: Bytes, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now)
            || self.order.len() >= MAX_ANSWERS
            || self.bytes + answer.len() > MAX_ANSWER_BYTES
        {
            let Some((_, key)) = self.order.pop_front() else { break };
            let forgotten = self.answers.remove(&key).map_or(0, |answer| answer.len());
            self.bytes = self.bytes.saturating_sub(forgotten);
        }
        // A connection delivers each request once.
        if peer.is_lossy() {
            let key = (peer, key(request));
            self.bytes += answer.len();
            match self.answers.insert(key, answer) {
                Some(before) => self.bytes = self.bytes.saturating_sub(before.len()),
                None => self.order.push_back((now + LIFETIME, key)),
            }
        }
    }
}

fn key(request: &Request) -> [u8; 32] {
    let fields = &request.fields;
    let via = fields.via();
    let branch = via.as_ref().and_then(|via| via.branch()).unwrap_or_default();
    let field = |name| fields.get(name).unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [branch, field("Call-ID"), field("CSeq"), field("From")] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// An answer to one of our requests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received<T> {
    /// What the request was for.
    pub(crate) purpose: T,
    /// The branch of the request.
    pub(crate) branch: String,
}

#[derive(Debug)]
enum State {
    /// Nothing has come: it is sent again.
    Waiting { again: Duration },
    /// A provisional answer has come.
    Proceeding { again: Duration },
    /// An `INVITE` was answered; `ack` is sent whenever the answer comes again.
    Answered { ack: Option<Bytes> },
}

#[derive(Debug)]
struct Client<T> {
    request: Request,
    bytes: Bytes,
    peer: Peer,
    purpose: T,
    state: State,
    until: Instant,
}

/// The requests that we have sent. `T` is what each is for.
#[derive(Debug)]
pub(crate) struct Requests<T> {
    clients: HashMap<Key, Client<T>>,
    timers: Timers<Key>,
}

/// The branch, and whether it is the `CANCEL` of that branch.
type Key = (String, bool);

impl<T: Copy> Requests<T> {
    pub(crate) fn new() -> Self {
        Self { clients: HashMap::new(), timers: Timers::new() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.clients.len() >= MAX_REQUESTS
    }

    /// Sends a request, whose topmost `Via` has a branch of its own.
    pub(crate) fn start(
        &mut self,
        request: Request,
        peer: Peer,
        purpose: T,
        now: Instant,
        out: &mut Out,
    ) {
        let branch = request.fields.via().and_then(|via| via.branch().map(ToOwned::to_owned));
        let key = (branch.unwrap_or_default(), request.method == Method::Cancel);
        let bytes = request.to_bytes();
        out.push_back((peer, bytes.clone()));
        let until = now + LIFETIME;
        let state = State::Waiting { again: T1 };
        self.timers.set(key.clone(), if peer.is_lossy() { now + T1 } else { until });
        self.clients.insert(key, Client { request, bytes, peer, purpose, state, until });
    }

    /// Takes an answer; `None` if it answers nothing, or has been seen.
    pub(crate) fn receive(
        &mut self,
        response: &Response,
        now: Instant,
        out: &mut Out,
    ) -> Option<Received<T>> {
        let via = response.fields.via()?;
        let method = response.fields.cseq()?.method;
        let key = (via.branch()?.to_owned(), method == Method::Cancel);
        let client = self.clients.get_mut(&key)?;
        if client.request.method != method {
            return None;
        }
        let received = Some(Received { purpose: client.purpose, branch: key.0.clone() });
        let is_invite = method == Method::Invite;
        if let State::Answered { ack } = &client.state {
            if let (Some(ack), false) = (ack, response.status.is_provisional()) {
                out.push_back((client.peer, ack.clone()));
            }
            return None;
        }
        if response.status.is_provisional() {
            client.state = State::Proceeding { again: T2 };
            // The owner has a limit of its own for what rings.
            let wake = if is_invite || !client.peer.is_lossy() { client.until } else { now + T2 };
            self.timers.set(key, wake.min(client.until));
            return received;
        }
        if !is_invite {
            self.remove(&key);
            return received;
        }
        client.until = now + LIFETIME;
        let ack = (!response.status.is_success()).then(|| {
            let ack = refusal_ack(&client.request, response).to_bytes();
            out.push_back((client.peer, ack.clone()));
            ack
        });
        client.state = State::Answered { ack };
        let until = client.until;
        self.timers.set(key, until);
        received
    }

    /// Sends the `ACK` of an `INVITE` that was accepted, now and whenever the answer comes again.
    pub(crate) fn acknowledge(&mut self, branch: &str, bytes: Bytes, out: &mut Out) {
        if let Some(client) = self.clients.get_mut(&(branch.to_owned(), false)) {
            out.push_back((client.peer, bytes.clone()));
            client.state = State::Answered { ack: Some(bytes) };
        }
    }

    /// Takes back an `INVITE` that was not answered (§9.1), whose answer may be under way.
    ///
    /// Unlike the specification says, this does not wait for a provisional answer: devices send
    /// none, or it was lost, and a `CANCEL` of what nobody knows does no harm.
    pub(crate) fn cancel(&mut self, branch: &str, purpose: T, now: Instant, out: &mut Out) {
        let key = (branch.to_owned(), false);
        let Some(client) = self.clients.get_mut(&key) else { return };
        if matches!(client.state, State::Answered { .. }) {
            return;
        }
        client.state = State::Proceeding { again: T2 };
        client.until = now + LIFETIME;
        let (peer, until) = (client.peer, client.until);
        let cancel = within(&client.request, Method::Cancel, client.request.fields.get("To"));
        self.timers.set(key, until);
        self.start(cancel, peer, purpose, now, out);
    }

    /// Sends again what is due; returns one of those that were not answered in time.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Out) -> Option<T> {
        while let Some(key) = self.timers.due(now) {
            let Some(client) = self.clients.get_mut(&key) else { continue };
            if now >= client.until || !client.peer.is_lossy() {
                let unanswered = !matches!(client.state, State::Answered { .. });
                let purpose = client.purpose;
                self.remove(&key);
                if unanswered {
                    return Some(purpose);
                }
                continue;
            }
            let is_invite = client.request.method == Method::Invite;
            let again = match &mut client.state {
                State::Waiting { again } => {
                    *again = if is_invite { *again * 2 } else { (*again * 2).min(T2) };
                    *again
                }
                State::Proceeding { again } => *again,
                State::Answered { .. } => continue,
            };
            if !is_invite || matches!(client.state, State::Waiting { .. }) {
                out.push_back((client.peer, client.bytes.clone()));
            }
            let wake = (now + again).min(client.until);
            self.timers.set(key, wake);
        }
        None
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Gives up what went over a connection that has ended; what was not answered.
    pub(crate) fn abandon(&mut self, carrier: Carrier) -> Vec<T> {
        let sent = self.clients.iter().filter(|(_, client)| client.peer.carrier == carrier);
        let keys: Vec<_> = sent.map(|(key, _)| key.clone()).collect();
        let clients = keys.iter().filter_map(|key| self.remove(key));
        let unanswered = clients.filter(|c| !matches!(c.state, State::Answered { .. }));
        unanswered.map(|client| client.purpose).collect()
    }

    fn remove(&mut self, key: &Key) -> Option<Client<T>> {
        self.timers.clear(key);
        self.clients.remove(key)
    }
}

/// The `ACK` of an answer that refuses (§17.1.1.3).
fn refusal_ack(invite: &Request, response: &Response) -> Request {
    within(invite, Method::Ack, response.fields.get("To"))
}

/// Another request of the transaction of an `INVITE`: `ACK` or `CANCEL`.
fn within(invite: &Request, method: Method, to: Option<&str>) -> Request {
    let mut request = Request::new(method.clone(), invite.uri.clone());
    let mut copy = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            request.fields.push(name, value);
        }
    };
    copy("Via", invite.fields.get("Via"));
    copy("From", invite.fields.get("From"));
    copy("To", to);
    copy("Call-ID", invite.fields.get("Call-ID"));
    copy("Max-Forwards", Some("70"));
    if let Some(CSeq { number, .. }) = invite.fields.cseq() {
        request.fields.push("CSeq", CSeq { number, method }.to_string());
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Status;

    fn peer() -> Peer {
        Peer::udp("192.0.2.1:5060".parse().unwrap())
    }

    fn request(method: Method) -> Request {
        let mut request = Request::new(method.clone(), "sip:1@192.0.2.1");
        request.fields.push("Via", "SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bKa");
        request.fields.push("From", "<sip:2@3402>;tag=1");
        request.fields.push("To", "<sip:1@3402>");
        request.fields.push("Call-ID", "c");
        request.fields.push("CSeq", format!("7 {method}"));
        request
    }

    fn answer(request: &Request, status: u16) -> Response {
        Response::to(request, Status(status), peer().address, "theirs")
    }

    /// When a request that nobody answers is sent, in milliseconds, and when it is given up.
    fn sent(method: Method, peer: Peer) -> (Vec<u128>, u128) {
        let start = Instant::now();
        let (mut requests, mut out) = (Requests::new(), Out::new());
        requests.start(request(method), peer, (), start, &mut out);
        let (mut now, mut times) = (start, Vec::new());
        loop {
            times.extend(out.drain(..).map(|_| (now - start).as_millis()));
            now = requests.poll_timeout().unwrap();
            if requests.handle_timeout(now, &mut out).is_some() {
                assert_eq!((requests.poll_timeout(), out.len()), (None, 0));
                return (times, (now - start).as_millis());
            }
        }
    }

    #[test]
    fn requests_are_sent_again_until_their_time_is_over() {
        let invite = vec![0, 500, 1500, 3500, 7500, 15_500, 31_500];
        assert_eq!(sent(Method::Invite, peer()), (invite, 32_000));
        let message =
            vec![0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        assert_eq!(sent(Method::Message, peer()), (message, 32_000));
        let connection = Peer::tcp(1, peer().address);
        assert_eq!(sent(Method::Message, connection), (vec![0], 32_000));
        assert_eq!(sent(Method::Invite, connection), (vec![0], 32_000));
    }

    #[test]
    fn refusals_are_acknowledged_whenever_they_come() {
        let now = Instant::now();
        let (mut requests, mut out) = (Requests::new(), Out::new());
        let invite = request(Method::Invite);
        requests.start(invite.clone(), peer(), 5, now, &mut out);
        out.clear();
        assert_eq!(requests.receive(&answer(&invite, 100), now, &mut out).unwrap().purpose, 5);
        // What is being worked at is not sent again.
        assert_eq!(requests.handle_timeout(now + T2, &mut out), None);
        assert!(out.is_empty());
        let busy = answer(&invite, 486);
        assert_eq!(requests.receive(&busy, now, &mut out).unwrap().branch, "z9hG4bKa");
        assert_eq!(requests.receive(&busy, now, &mut out), None);
        let acks: Vec<_> = out.drain(..).map(|(_, bytes)| bytes).collect();
        let expected = "ACK sip:1@192.0.2.1 SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bKa\r\nFrom: <sip:2@3402>;tag=1\r\n\
            To: <sip:1@3402>;tag=theirs\r\nCall-ID: c\r\nMax-Forwards: 70\r\nCSeq: 7 ACK\r\n\
            Content-Length: 0\r\n\r\n";
        assert_eq!(acks, [expected, expected]);
        assert_eq!(requests.handle_timeout(now + LIFETIME, &mut out), None);
        assert_eq!(requests.poll_timeout(), None);
    }

    #[test]
    fn what_is_cancelled_may_still_be_answered() {
        let now = Instant::now();
        let (mut requests, mut out) = (Requests::new(), Out::new());
        let invite = request(Method::Invite);
        requests.start(invite.clone(), peer(), 1, now, &mut out);
        requests.cancel("z9hG4bKa", 2, now, &mut out);
        let (_, cancel) = out.pop_back().unwrap();
        assert!(cancel.starts_with(b"CANCEL sip:1@192.0.2.1 SIP/2.0\r\n"), "{cancel:?}");
        let cancelled = request(Method::Cancel);
        assert_eq!(requests.receive(&answer(&cancelled, 200), now, &mut out).unwrap().purpose, 2);
        assert_eq!(requests.receive(&answer(&invite, 200), now, &mut out).unwrap().purpose, 1);
    }

    #[test]
    fn a_request_that_comes_again_is_answered_the_same() {
        let now = Instant::now();
        let mut answers = Answers::default();
        let message = request(Method::Message);
        answers.keep(&message, peer(), Bytes::from_static(b"yes"), now);
        assert_eq!(answers.find(&message, peer()).as_deref(), Some(&b"yes"[..]));
        assert_eq!(answers.find(&message, Peer::tcp(1, peer().address)), None);
        let next = request(Method::Notify);
        assert_eq!(answers.find(&next, peer()), None);
        answers.keep(&next, peer(), Bytes::new(), now + LIFETIME);
        assert_eq!(answers.find(&message, peer()), None);
        for number in 0..=MAX_ANSWERS {
            let mut request = Request::new(Method::Message, "sip:x");
            request.fields.push("Call-ID", number.to_string());
            answers.keep(&request, peer(), Bytes::new(), now + LIFETIME);
        }
        assert_eq!((answers.answers.len(), answers.order.len()), (MAX_ANSWERS, MAX_ANSWERS));
        let long = Bytes::from(vec![b' '; 9 << 10]);
        for number in 0..2000 {
            let mut request = Request::new(Method::Options, "sip:x");
            request.fields.push("Call-ID", format!("long {number}"));
            answers.keep(&request, peer(), long.clone(), now + LIFETIME);
        }
        let held: usize = answers.answers.values().map(Bytes::len).sum();
        assert_eq!(held, answers.bytes);
        assert!((MAX_ANSWER_BYTES / 2..=MAX_ANSWER_BYTES).contains(&held), "{held}");
        assert_eq!(answers.answers.len(), answers.order.len());
    }
}
