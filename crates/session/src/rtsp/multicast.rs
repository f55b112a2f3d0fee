//! Groups: a track of a stream is sent once, to an address that its viewers listen at, however
//! many they are.
//!
//! A group is one viewer of a shard's engine, with the sockets of the group and no peer: it begins
//! with the first member that plays, wherever that is, and ends with the last one. What its viewers
//! hold are [`Seat`]s; address and ports are the group's until the last seat is given up, so that
//! whoever pauses finds them again.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use ::rtp::packet::is_rtcp;
use ::rtsp::transport::Transport;
use bytes::Bytes;
use hub::{
    Channel, Channels, EndReason, Framing, Kind, Packaging, Protocol, Role, RtpSource, Session,
    SessionId, Sessions, Stream, Told,
};
use net::{Action, Begin, BoundGroup, Conn, Joining, Outlet, Peer, Room, Shard};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::info;

use super::viewer::goodbye;

/// The groups of a server.
#[derive(Debug)]
pub(super) struct Groups {
    sockets: net::Groups,
    /// By what they send.
    table: Mutex<HashMap<Key, Weak<Group>>>,
    /// Of the groups themselves: nobody else sees them.
    sessions: Sessions,
}

/// What a group sends: a track, as it was told, of a stream, by its address, which the group keeps
/// from being used again.
type Key = (usize, Channel);

/// How a group sends. The first viewer's rules hold for all of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) size: u16,
    pub(super) seed: u32,
    pub(super) begin: Begin,
    pub(super) flush_after: Option<Duration>,
}

impl Groups {
    pub(super) fn new(sockets: net::Groups) -> Arc<Self> {
        Arc::new(Self { sockets, table: Mutex::default(), sessions: Sessions::default() })
    }

    /// A seat in the group of a track, which is made if nobody else has one.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`] when there is no room for another group.
    pub(super) fn seat(
        self: &Arc<Self>,
        stream: &Arc<Mutex<Stream>>,
        channel: Channel,
        manner: Manner,
        session: Arc<Session>,
        peer: IpAddr,
    ) -> io::Result<Seat> {
        let key = (Arc::as_ptr(stream).addr(), channel);
        let mut table = self.table.lock();
        let known = table.get(&key).and_then(Weak::upgrade);
        let group = match known {
            Some(group) => group,
            None => {
                let group = Arc::new(self.make(key, stream.clone(), manner)?);
                table.insert(key, Arc::downgrade(&group));
                group
            }
        };
        drop(table);
        Ok(Seat { group, session, peer, earlier: 0, since: None })
    }

    fn make(
        self: &Arc<Self>,
        key: Key,
        stream: Arc<Mutex<Stream>>,
        manner: Manner,
    ) -> io::Result<Group> {
        let sockets = self.sockets.open()?;
        let kind = Kind { protocol: Protocol::Rtsp, role: Role::Sub };
        let session = self.sessions.open(kind, None, SystemTime::now());
        let audience = Arc::default();
        Ok(Group { groups: self.clone(), key, stream, manner, sockets, session, audience })
    }
}

/// A track of a stream on its way to an address.
#[derive(Debug)]
struct Group {
    groups: Arc<Groups>,
    key: Key,
    stream: Arc<Mutex<Stream>>,
    manner: Manner,
    sockets: BoundGroup,
    /// Counts what is sent.
    session: Arc<Session>,
    audience: Arc<Audience>,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.groups.sessions.close(&self.session);
        let mut table = self.groups.table.lock();
        // Another one may have its place by now.
        if table.get(&self.key).is_some_and(|group| group.strong_count() == 0) {
            table.remove(&self.key);
        }
    }
}

impl Group {
    /// What is to join the engine of this shard, and what ends it when it is dropped.
    fn begin(&self, shard: &Shard) -> io::Result<(Joining, Conn)> {
        let (conn, held) = net::pair()?;
        let sockets = self.sockets.watch(self.manner.size)?;
        let (_, channel) = self.key;
        let Manner { size, seed, begin, flush_after } = self.manner;
        let mut channels = Channels::default();
        // It is the only one.
        let _ = channels.set(channel);
        let framing = Framing::Datagrams;
        let outlets = vec![
            Outlet { channel: channel.rtp, socket: sockets.rtp.clone() },
            Outlet { channel: channel.rtcp, socket: sockets.rtcp.clone() },
        ];
        let (stop, stopped) = oneshot::channel();
        let cast = Cast {
            name: format!("{}:{}", self.sockets.address(), self.sockets.ports().0),
            stream: self.stream.clone(),
            channel,
            source: RtpSource::of(channel.track, seed),
            session: self.session.clone(),
            audience: self.audience.clone(),
            sockets: sockets.clone(),
            _listening: stop,
        };
        info!(group = cast.name, stream = %self.stream.lock().name(), "a group begins");
        shard.spawn(listen(sockets, self.audience.clone(), stopped));
        let joining = Joining {
            conn,
            stream: self.stream.clone(),
            packaging: Packaging::Rtp { channels, framing, seed, size },
            flush_after,
            begin,
            own: Vec::new(),
            outlets,
            peer: Box::new(cast),
            session: self.session.clone(),
        };
        Ok((joining, held))
    }
}

/// Who plays what a group sends.
#[derive(Debug, Default)]
struct Audience(Mutex<Present>);

#[derive(Debug, Default)]
struct Present {
    players: HashMap<SessionId, Arc<Session>>,
    /// How many players an address has, and when a report of it came last.
    addresses: HashMap<IpAddr, (usize, Option<Instant>)>,
    /// The engine's viewer ends when this is dropped; it is there while there are players.
    running: Option<Conn>,
    /// Bytes that were sent, as far as they were shared out.
    counted: u64,
    /// What each player has had of them in all, and what could not be divided yet.
    share: u64,
    rest: u64,
}

impl Present {
    /// Shares out what has been sent since the last time among those who play.
    fn share_out(&mut self, sent: u64) {
        let new = sent.saturating_sub(self.counted) + self.rest;
        self.counted = sent;
        let players = self.players.len() as u64;
        self.share += new.checked_div(players).unwrap_or_default();
        self.rest = new.checked_rem(players).unwrap_or_default();
    }
}

impl Audience {
    /// A datagram has come: a sign of life, if it is a report of a player's host.
    fn hear(&self, bytes: &[u8], from: IpAddr) {
        if is_rtcp(bytes)
            && let Some((_, heard)) = self.0.lock().addresses.get_mut(&from)
        {
            *heard = Some(Instant::now());
        }
    }

    /// Nothing is sent any more: the sessions of all players end.
    fn end(&self, reason: &EndReason) {
        let mut present = self.0.lock();
        let players = std::mem::take(&mut present.players);
        present.addresses.clear();
        let running = present.running.take();
        drop(present);
        drop(running);
        for session in players.into_values() {
            session.dispose(reason.clone());
        }
    }
}

/// A viewer's place in a group. Dropped, it is free.
#[derive(Debug)]
pub(super) struct Seat {
    group: Arc<Group>,
    session: Arc<Session>,
    peer: IpAddr,
    /// The share of what was sent until it paused last.
    earlier: u64,
    /// Each player's share when it began to play; `None` while it does not.
    since: Option<u64>,
}

impl Seat {
    /// Where the packets go.
    pub(super) fn transport(&self) -> Transport {
        let sockets = &self.group.sockets;
        let transport = Transport::group(sockets.address(), sockets.ports(), sockets.ttl());
        let source = Some(sockets.source().ip()).filter(|source| !source.is_unspecified());
        Transport { source: source.map(|source| source.to_string()), ..transport }
    }

    /// The viewer wants the packets: they are sent, if they are not yet.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn play(&mut self, shard: &Rc<Shard>) -> io::Result<()> {
        if self.since.is_some() {
            return Ok(());
        }
        let group = &self.group;
        let mut present = group.audience.0.lock();
        let joining = match present.running {
            Some(_) => None,
            None => {
                let (joining, held) = group.begin(shard)?;
                present.running = Some(held);
                Some(joining)
            }
        };
        present.share_out(group.session.statistics().written_bytes);
        present.players.insert(self.session.id().clone(), self.session.clone());
        present.addresses.entry(self.peer).or_default().0 += 1;
        self.since = Some(present.share);
        drop(present);
        // The engine may call back at once.
        if let Some(joining) = joining {
            shard.join(joining);
        }
        Ok(())
    }

    /// The viewer wants no packets: nothing is sent if it was the last one.
    pub(super) fn pause(&mut self) {
        let Some(since) = self.since.take() else { return };
        let group = &self.group;
        let mut present = group.audience.0.lock();
        present.share_out(group.session.statistics().written_bytes);
        self.earlier += present.share - since;
        if present.players.remove(self.session.id()).is_none() {
            return;
        }
        if let Some((players, _)) = present.addresses.get_mut(&self.peer) {
            *players = players.saturating_sub(1);
            if *players == 0 {
                present.addresses.remove(&self.peer);
            }
        }
        let ended = if present.players.is_empty() { present.running.take() } else { None };
        drop(present);
        drop(ended);
    }

    /// The viewer's share of what was sent while it played, in bytes.
    pub(super) fn share(&self) -> u64 {
        let playing = self.since.map(|since| self.group.audience.0.lock().share - since);
        self.earlier + playing.unwrap_or_default()
    }

    /// When a report of the viewer's host came last.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.group.audience.0.lock().addresses.get(&self.peer).and_then(|(_, heard)| *heard)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pause();
    }
}

/// Hears reports, until it is told to stop. Our own are among them.
async fn listen(sockets: net::Group, audience: Arc<Audience>, mut stopped: oneshot::Receiver<()>) {
    let mut room = Room::default();
    loop {
        tokio::select! {
            received = poll_fn(|cx| sockets.reports.poll_receive(cx, &mut room)) => {
                if let Ok((bytes, from)) = received && from != sockets.own {
                    audience.hear(&bytes, from.ip());
                }
            }
            _ = &mut stopped => return,
        }
    }
}

/// The group's side of the engine's viewer, which has no peer.
struct Cast {
    name: String,
    stream: Arc<Mutex<Stream>>,
    channel: Channel,
    source: RtpSource,
    session: Arc<Session>,
    audience: Arc<Audience>,
    sockets: net::Group,
    /// Dropped, it ends the task that listens.
    _listening: oneshot::Sender<()>,
}

impl Peer for Cast {
    fn handle_input(&mut self, _bytes: &[u8], _now: Instant) -> Result<(), EndReason> {
        Ok(())
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), EndReason> {
        self.audience.0.lock().share_out(self.session.statistics().written_bytes);
        let tracks = self.stream.lock().tracks().clone();
        match tracks.get(self.channel.track) {
            Some(track) if Told::of(track) != Some(self.channel.told) => {
                let text = "the stream has other codecs now: play it again";
                Err(EndReason::Refused(text.to_owned()))
            }
            // A track that is missing may come back.
            _ => Ok(()),
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        None
    }

    /// To whoever listens.
    fn farewell(&mut self, _reason: &EndReason) -> Bytes {
        let words = goodbye(self.source);
        let size = u16::try_from(words.len()).unwrap_or(u16::MAX);
        // It may be lost like any other datagram.
        let _ = self.sockets.rtcp.send(&words, size);
        Bytes::new()
    }

    /// It never asks to leave.
    fn released(self: Box<Self>, _conn: Conn, _remains: Bytes, _shard: &Rc<Shard>) {}

    fn ended(&mut self, reason: &EndReason) {
        info!(group = self.name, %reason, "a group ends");
        // Otherwise nobody is left, or somebody has begun anew.
        if !matches!(reason, EndReason::PeerClosed) {
            self.audience.end(reason);
        }
    }
}

/// Which groups they are in, for the log.
pub(super) fn names(seats: &[Seat]) -> String {
    let name = |seat: &Seat| {
        let sockets = &seat.group.sockets;
        SocketAddr::from((sockets.address(), sockets.ports().0)).to_string()
    };
    seats.iter().map(name).collect::<Vec<_>>().join(" ")
}
