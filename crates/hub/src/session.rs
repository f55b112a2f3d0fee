//! Sessions: one relation between the server and one peer, with the same face for every protocol.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::StreamName;
use crate::events::Group;

/// The protocol of a session. The number is part of the API and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Protocol {
    Customize = 1,
    Rtmp = 2,
    Rtsp = 3,
    Flv = 4,
    Ts = 5,
    Ps = 6,
    Hls = 7,
    Mp4 = 8,
}

/// What a session does for its stream. The number is part of the API and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// A server session whose peer has not yet said what it wants.
    PubSub = 1,
    /// The peer sends to us.
    Pub = 2,
    /// The peer reads from us.
    Sub = 3,
    /// We send to another server.
    Push = 4,
    /// We read from another server.
    Pull = 5,
}

impl Role {
    /// Whether media goes to the peer.
    #[must_use]
    pub fn is_output(self) -> bool {
        matches!(self, Self::Sub | Self::Push)
    }
}

/// Protocol and role together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// How they speak.
    pub protocol: Protocol,
    /// Who sends.
    pub role: Role,
}

impl Kind {
    /// The stable code: `protocol << 8 | role`.
    #[must_use]
    pub fn code(self) -> u16 {
        u16::from(self.protocol as u8) << 8 | u16::from(self.role as u8)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Customize => "CUSTOMIZE",
            Self::Rtmp => "RTMP",
            Self::Rtsp => "RTSP",
            Self::Flv => "FLV",
            Self::Ts => "TS",
            Self::Ps => "PS",
            Self::Hls => "HLS",
            Self::Mp4 => "MP4",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PubSub => "PUBSUB",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::Push => "PUSH",
            Self::Pull => "PULL",
        })
    }
}

/// Names a session for ever: `RTMPPUBSUB1`, `FLVSUB42`.
pub type SessionId = Arc<str>;

/// What the peer asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Address {
    /// The whole URL as the peer opened it.
    pub url: String,
    /// The application.
    pub app_name: String,
    /// The stream's name.
    pub stream_name: String,
    /// What follows `?`.
    pub raw_query: String,
    /// The servers of this kind that the request has come through: their numbers, apart by commas.
    pub via: String,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// The peer closed the connection or said that it is done.
    PeerClosed,
    /// The peer broke a rule of the protocol, or a limit.
    Protocol(String),
    /// The connection failed.
    Io(String),
    /// Nothing came, or nothing was taken, for too long.
    Timeout(&'static str),
    /// The viewer could not keep up.
    TooSlow,
    /// Another publisher took the stream over.
    TakenOver,
    /// The stream ended.
    StreamEnded,
    /// An operator ended it.
    Kicked,
    /// The request was refused.
    Refused(String),
    /// The server is stopping.
    Shutdown,
    /// The session's own code failed.
    Panicked,
}

/// A connection that breaks off is the peer's way to close it; anything else is a failure.
impl From<io::Error> for EndReason {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::PeerClosed,
            _ => Self::Io(error.to_string()),
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerClosed => f.write_str("closed by the peer"),
            Self::Protocol(rule) => write!(f, "protocol error: {rule}"),
            Self::Io(error) => write!(f, "connection failed: {error}"),
            Self::Timeout(what) => write!(f, "timed out: {what}"),
            Self::TooSlow => f.write_str("too slow: skipped too often"),
            Self::TakenOver => f.write_str("another publisher took over"),
            Self::StreamEnded => f.write_str("the stream ended"),
            Self::Kicked => f.write_str("kicked by an operator"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Shutdown => f.write_str("the server is stopping"),
            Self::Panicked => f.write_str("internal error"),
        }
    }
}

/// One relation between the server and one peer.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    protocol: Protocol,
    peer: OnceLock<SocketAddr>,
    /// Our own end of a client session's connection.
    local: OnceLock<SocketAddr>,
    started: SystemTime,
    read: AtomicU64,
    written: AtomicU64,
    /// How often it has skipped what it was too slow for.
    skips: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    role: Role,
    address: Address,
    /// What it takes part in; a connection of RTMP may publish several.
    streams: Vec<StreamName>,
    /// Who the peer has proven to be.
    user: Option<Arc<str>>,
    ending: Option<EndReason>,
    /// Of the session's owner. Only the latest: an old one would keep the memory of a task that
    /// has handed the session over.
    waker: Option<Waker>,
    /// Totals when the bit rates were last worked out, and the rates.
    sampled: (u64, u64),
    read_kbits: u64,
    written_kbits: u64,
    /// Totals when somebody last asked whether it lives; `None` before the first time.
    asked: Option<(u64, u64)>,
}

/// What a session has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Bytes read from the peer in all.
    pub read_bytes: u64,
    /// Bytes written to the peer in all.
    pub written_bytes: u64,
    /// 1024-bit units per second read during the last interval.
    pub read_kbits: u64,
    /// 1024-bit units per second written during the last interval.
    pub written_kbits: u64,
}

impl Session {
    /// Its unique id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Its protocol and what it does at the moment.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind { protocol: self.protocol, role: self.state.lock().role }
    }

    /// The peer's address; `None` for a publisher inside the program, and for a client session
    /// that is not connected yet.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer.get().copied()
    }

    /// A client session is connected, from `local` to `peer`; the first server counts, should it
    /// send us elsewhere.
    pub fn connected(&self, local: SocketAddr, peer: SocketAddr) {
        self.peer.get_or_init(|| peer);
        self.local.get_or_init(|| local);
    }

    /// Our own end of a client session's connection.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        self.local.get().copied()
    }

    /// When it began.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// What the peer asked for; empty before it did.
    #[must_use]
    pub fn address(&self) -> Address {
        self.state.lock().address.clone()
    }

    /// The peer has said what it wants.
    pub fn assume(&self, role: Role, address: Address) {
        let mut state = self.state.lock();
        (state.role, state.address) = (role, address);
    }

    /// The stream that it takes part in, the first if there are several.
    #[must_use]
    pub fn stream(&self) -> Option<StreamName> {
        self.state.lock().streams.first().cloned()
    }

    /// Whether it takes part in a stream.
    #[must_use]
    pub fn is_in(&self, stream: &StreamName) -> bool {
        self.state.lock().streams.contains(stream)
    }

    /// Who the peer has proven to be; `None` if nobody asked.
    #[must_use]
    pub fn user(&self) -> Option<Arc<str>> {
        self.state.lock().user.clone()
    }

    /// The peer has proven to be somebody.
    pub fn set_user(&self, user: Option<Arc<str>>) {
        self.state.lock().user = user;
    }

    /// Sets the totals; they only grow.
    pub fn set_totals(&self, read: u64, written: u64) {
        self.read.store(read, Ordering::Relaxed);
        self.written.store(written, Ordering::Relaxed);
    }

    /// The viewer was too slow, and has skipped to a newer key frame.
    pub fn count_skip(&self) {
        self.skips.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the viewer has skipped.
    #[must_use]
    pub fn skips(&self) -> u64 {
        self.skips.load(Ordering::Relaxed)
    }

    /// Totals, and the bit rates of the last [`Session::update`].
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let (read_bytes, written_bytes) = self.totals();
        let state = self.state.lock();
        Statistics {
            read_bytes,
            written_bytes,
            read_kbits: state.read_kbits,
            written_kbits: state.written_kbits,
        }
    }

    /// Works out the bit rates of the `interval` that has just passed.
    pub fn update(&self, interval: Duration) {
        let (read, written) = self.totals();
        let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = |now: u64, before: u64| {
            now.saturating_sub(before).saturating_mul(8 * 1000) / 1024 / millis
        };
        let mut state = self.state.lock();
        state.read_kbits = rate(read, state.sampled.0);
        state.written_kbits = rate(written, state.sampled.1);
        state.sampled = (read, written);
    }

    /// Whether any byte was read, and any written, since the last time this was asked; true the
    /// first time.
    pub fn liveness(&self) -> (bool, bool) {
        let (read, written) = self.totals();
        let before = self.state.lock().asked.replace((read, written));
        before.map_or((true, true), |(r, w)| (read != r, written != w))
    }

    /// Asks the session to end. May be called from anywhere, any number of times; the first reason
    /// counts. Returns whether it was already ending.
    pub fn dispose(&self, reason: EndReason) -> bool {
        let waker = {
            let mut state = self.state.lock();
            if state.ending.is_some() {
                return true;
            }
            state.ending = Some(reason);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        false
    }

    /// Why it is to end, once somebody asked it to.
    #[must_use]
    pub fn ending(&self) -> Option<EndReason> {
        self.state.lock().ending.clone()
    }

    /// Ready once somebody asked the session to end. For the session's owner: the last caller is
    /// the one that is woken.
    pub fn poll_disposed(&self, cx: &mut Context<'_>) -> Poll<EndReason> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.ending {
            return Poll::Ready(reason.clone());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn totals(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed))
    }
}

/// What sessions that have ended had moved together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ended {
    /// How many they were.
    pub sessions: u64,
    /// Bytes read from their peers.
    pub read_bytes: u64,
    /// Bytes written to their peers.
    pub written_bytes: u64,
}

/// All sessions of a server.
#[derive(Debug, Default)]
pub struct Sessions {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<SessionId, Arc<Session>>,
    /// How many take part in each stream.
    groups: HashMap<StreamName, Group>,
    /// What sessions that have ended had moved, by kind.
    ended: HashMap<Kind, Ended>,
    /// The last number given under each prefix.
    numbers: HashMap<&'static str, u64>,
}

impl Sessions {
    /// Begins a session. It is in the table until [`Sessions::close`].
    pub fn open(&self, kind: Kind, peer: Option<SocketAddr>, now: SystemTime) -> Arc<Session> {
        let mut table = self.table.lock();
        let prefix = prefix(kind);
        let number = table.numbers.entry(prefix).or_default();
        *number += 1;
        let session = Arc::new(Session {
            id: format!("{prefix}{number}").into(),
            protocol: kind.protocol,
            peer: peer.map_or_else(OnceLock::new, OnceLock::from),
            local: OnceLock::new(),
            started: now,
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            skips: AtomicU64::new(0),
            state: Mutex::new(State {
                role: kind.role,
                address: Address::default(),
                streams: Vec::new(),
                user: None,
                ending: None,
                waker: None,
                sampled: (0, 0),
                read_kbits: 0,
                written_kbits: 0,
                asked: None,
            }),
        });
        table.sessions.insert(session.id.clone(), session.clone());
        session
    }

    /// The session has ended. What it took part in, it must have left before.
    pub fn close(&self, session: &Session) {
        let (kind, (read, written)) = (session.kind(), session.totals());
        let mut table = self.table.lock();
        if table.sessions.remove(&session.id).is_some() {
            let ended = table.ended.entry(kind).or_default();
            ended.sessions += 1;
            ended.read_bytes += read;
            ended.written_bytes += written;
        }
    }

    /// The session takes part in a stream from now on; viewers only while there are fewer than
    /// `most`. Returns who takes part now, or `None` if there is no room.
    pub fn join(&self, session: &Session, stream: &StreamName, most: usize) -> Option<Group> {
        let mut table = self.table.lock();
        let mut state = session.state.lock();
        let is_output = state.role.is_output();
        let mut group = table.groups.get(stream).copied().unwrap_or_default();
        if state.streams.contains(stream) {
            return Some(group);
        }
        let is_push = state.role == Role::Push;
        if is_output && !is_push && group.viewers() >= most {
            return None;
        }
        *(if is_output { &mut group.outputs } else { &mut group.inputs }) += 1;
        group.pushes += usize::from(is_push);
        state.streams.push(stream.clone());
        table.groups.insert(stream.clone(), group);
        Some(group)
    }

    /// The session takes part in a stream no more. Returns who still does, or `None` if it did not.
    pub fn leave(&self, session: &Session, stream: &StreamName) -> Option<Group> {
        let mut table = self.table.lock();
        let mut state = session.state.lock();
        let place = state.streams.iter().position(|joined| joined == stream)?;
        state.streams.remove(place);
        let group = table.groups.get_mut(stream)?;
        let count = if state.role.is_output() { &mut group.outputs } else { &mut group.inputs };
        *count = count.saturating_sub(1);
        if state.role == Role::Push {
            group.pushes = group.pushes.saturating_sub(1);
        }
        let left = *group;
        if left == Group::default() {
            table.groups.remove(stream);
        }
        Some(left)
    }

    /// Who takes part in a stream.
    #[must_use]
    pub fn group(&self, stream: &StreamName) -> Group {
        self.table.lock().groups.get(stream).copied().unwrap_or_default()
    }

    /// What sessions that have ended had moved, by kind.
    #[must_use]
    pub fn ended(&self) -> Vec<(Kind, Ended)> {
        self.table.lock().ended.iter().map(|(kind, ended)| (*kind, *ended)).collect()
    }

    /// The session with this id. lal's ids of FLV and TS viewers have a longer prefix than its
    /// documents say; both are understood.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Session>> {
        let table = self.table.lock();
        let documented = || {
            let (protocol, number) = id.split_once("PUBSUB")?;
            table.sessions.get(&*format!("{protocol}SUB{number}"))
        };
        table.sessions.get(id).or_else(documented).cloned()
    }

    /// Every session there is.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.table.lock().sessions.values().cloned().collect()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The part of an id before its number: an RTMP server session keeps the name it has before its
/// role is known.
fn prefix(kind: Kind) -> &'static str {
    match (kind.protocol, kind.role) {
        (Protocol::Customize, Role::Sub) => "CUSTOMIZESUB",
        (Protocol::Customize, _) => "CUSTOMIZEPUB",
        (Protocol::Rtmp, Role::Push) => "RTMPPUSH",
        (Protocol::Rtmp, Role::Pull) => "RTMPPULL",
        (Protocol::Rtmp, _) => "RTMPPUBSUB",
        (Protocol::Rtsp, Role::Pub) => "RTSPPUB",
        (Protocol::Rtsp, Role::Sub) => "RTSPSUB",
        (Protocol::Rtsp, Role::Push) => "RTSPPUSH",
        (Protocol::Rtsp, Role::Pull) => "RTSPPULL",
        (Protocol::Rtsp, Role::PubSub) => "RTSPSRVCMD",
        (Protocol::Flv, Role::Pull) => "FLVPULL",
        (Protocol::Flv, _) => "FLVSUB",
        (Protocol::Ts, _) => "TSSUB",
        (Protocol::Ps, _) => "PSPUB",
        (Protocol::Hls, Role::Pull) => "HLSPULL",
        (Protocol::Hls, _) => "HLSSUB",
        (Protocol::Mp4, _) => "MP4SUB",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTMP: Kind = Kind { protocol: Protocol::Rtmp, role: Role::PubSub };
    const FLV: Kind = Kind { protocol: Protocol::Flv, role: Role::Sub };

    #[test]
    fn ids_show_the_kind_and_are_never_reused() {
        let sessions = Sessions::default();
        let now = SystemTime::UNIX_EPOCH;
        let first = sessions.open(RTMP, None, now);
        sessions.close(&first);
        assert_eq!(&**sessions.open(RTMP, None, now).id(), "RTMPPUBSUB2");
        assert_eq!(&**sessions.open(FLV, None, now).id(), "FLVSUB1");
        assert_eq!(FLV.code(), 0x0403);
    }

    #[test]
    fn both_forms_of_a_viewers_id_find_it() {
        let sessions = Sessions::default();
        sessions.open(FLV, None, SystemTime::UNIX_EPOCH);
        assert!(sessions.find("FLVSUB1").is_some());
        assert!(sessions.find("FLVPUBSUB1").is_some());
        assert!(sessions.find("FLVPUBSUB2").is_none());
    }

    #[test]
    fn groups_count_who_takes_part_and_forget_who_left() {
        let sessions = Sessions::default();
        let name = |name| StreamName::new("live", name, crate::Identity::AppAndName).unwrap();
        let open = |role| {
            let kind = Kind { protocol: Protocol::Rtmp, role };
            sessions.open(kind, None, SystemTime::UNIX_EPOCH)
        };
        let (publisher, viewer, late) = (open(Role::Pub), open(Role::Sub), open(Role::Sub));
        let (a, b) = (name("a"), name("b"));
        assert_eq!(
            sessions.join(&publisher, &a, 0),
            Some(Group { inputs: 1, outputs: 0, pushes: 0 })
        );
        assert_eq!(sessions.join(&viewer, &a, 1), Some(Group { inputs: 1, outputs: 1, pushes: 0 }));
        assert_eq!(sessions.join(&late, &a, 1), None, "there is room for one");
        assert_eq!(sessions.join(&viewer, &a, 1), Some(Group { inputs: 1, outputs: 1, pushes: 0 }));
        assert!(viewer.is_in(&a) && !late.is_in(&a));
        assert_eq!(
            sessions.join(&publisher, &b, 0),
            Some(Group { inputs: 1, outputs: 0, pushes: 0 })
        );
        assert_eq!(
            sessions.leave(&publisher, &a),
            Some(Group { inputs: 0, outputs: 1, pushes: 0 })
        );
        assert_eq!(sessions.leave(&publisher, &a), None);
        assert_eq!(sessions.leave(&viewer, &a), Some(Group::default()));
        assert_eq!(sessions.leave(&publisher, &b), Some(Group::default()));
        assert!(sessions.table.lock().groups.is_empty());
        viewer.set_totals(3, 4);
        sessions.close(&viewer);
        sessions.close(&viewer);
        let of = Kind { protocol: Protocol::Rtmp, role: Role::Sub };
        let ended = Ended { sessions: 1, read_bytes: 3, written_bytes: 4 };
        assert_eq!(sessions.ended(), [(of, ended)]);
    }

    #[test]
    fn the_first_reason_counts() {
        let session = Sessions::default().open(FLV, None, SystemTime::UNIX_EPOCH);
        assert!(!session.dispose(EndReason::Kicked));
        assert!(session.dispose(EndReason::Shutdown));
        assert_eq!(session.ending(), Some(EndReason::Kicked));
    }

    #[test]
    fn rates_are_those_of_the_interval_and_liveness_that_of_the_question() {
        let session = Sessions::default().open(FLV, None, SystemTime::UNIX_EPOCH);
        session.set_totals(0, 640 * 1024);
        session.update(Duration::from_secs(5));
        assert_eq!(session.statistics().written_kbits, 1024);
        assert_eq!(session.liveness(), (true, true));
        session.set_totals(0, 640 * 1024 + 1);
        assert_eq!(session.liveness(), (false, true));
        session.update(Duration::from_secs(5));
        assert_eq!(session.statistics().written_kbits, 0);
    }
}
