//! A viewer: an entry of the engine that reads a ring through a socket.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::{Cursor, EndReason, Packaging, Packet, Session, Stream};
use parking_lot::Mutex;

use crate::conn::Conn;
use crate::datagram::Datagrams;
use crate::inbox::{Bell, MirrorId};
use crate::shard::Shard;

/// The protocol's side of a viewer that has joined: it hears what the viewer still says.
///
/// All calls come from the viewer's shard, and none may block.
pub trait Peer {
    /// The viewer has sent these bytes.
    ///
    /// # Errors
    /// The reason why the session must end.
    fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), EndReason>;

    /// About a second has passed.
    ///
    /// # Errors
    /// The reason why the session must end.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), EndReason>;

    /// What is to be done now; to be asked after each of the calls above until it is `None`.
    fn poll_action(&mut self) -> Option<Action>;

    /// What the viewer is sent before its first packet, after what it was given when it joined.
    /// `coming` are the packets that it will get first; none where that is not known yet. Those
    /// to come are then not earlier than `newest`, the newest packet's decoding time in ms.
    fn greeting(&mut self, _coming: &mut dyn Iterator<Item = &Packet>, _newest: i64) -> Bytes {
        Bytes::new()
    }

    /// What the viewer is told before its connection is closed.
    fn farewell(&mut self, reason: &EndReason) -> Bytes;

    /// The viewer has left the stream but keeps the connection (asked for by [`Action::Leave`]);
    /// `remains` is what must be sent before anything else.
    fn released(self: Box<Self>, conn: Conn, remains: Bytes, shard: &Rc<Shard>);

    /// The session has ended; called exactly once, last, unless it was released.
    fn ended(&mut self, reason: &EndReason);
}

/// What a [`Peer`] wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send these bytes at the next packet boundary.
    Send(Bytes),
    /// Stop sending packets.
    Pause,
    /// Go on as a new viewer would.
    Resume,
    /// Send audio, or leave it out.
    Audio(bool),
    /// Send video, or leave it out.
    Video(bool),
    /// Leave the stream and hand the connection back.
    Leave,
}

/// Where a viewer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// At the oldest cached GOP that the stream's settings grant.
    #[default]
    Cached,
    /// At the next key frame.
    NextKey,
    /// With whatever comes next.
    Now,
}

/// Where the datagrams of a channel go to.
#[derive(Debug, Clone)]
pub struct Outlet {
    /// The channel.
    pub channel: u8,
    /// A socket that is connected to the viewer.
    pub socket: Rc<Datagrams>,
}

/// Everything that a viewer needs to join.
pub struct Joining {
    /// The connection.
    pub conn: Conn,
    /// What it reads.
    pub stream: Arc<Mutex<Stream>>,
    /// In which form.
    pub packaging: Packaging,
    /// How long packets may wait for others to go out with; as the stream's settings say if there
    /// is nothing here.
    pub flush_after: Option<Duration>,
    /// Where it begins.
    pub begin: Begin,
    /// What it gets before anything else.
    pub own: Vec<Bytes>,
    /// Where its packets go to, if they do not go to the connection.
    pub outlets: Vec<Outlet>,
    /// The protocol's side.
    pub peer: Box<dyn Peer>,
    /// The session, whose totals so far are counted on.
    pub session: Arc<Session>,
}

/// A viewer in the engine.
pub(crate) struct Viewer {
    pub(crate) conn: Conn,
    pub(crate) cursor: Cursor,
    /// Empty if its packets go to the connection.
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) mirror: MirrorId,
    /// Its place in the mirror's list.
    pub(crate) place: usize,
    pub(crate) peer: Box<dyn Peer>,
    pub(crate) session: Arc<Session>,
    pub(crate) serial: u64,
    pub(crate) read_bell: Arc<Bell>,
    pub(crate) write_bell: Arc<Bell>,
    pub(crate) read_waker: Waker,
    pub(crate) write_waker: Waker,
    /// The socket takes nothing at the moment.
    pub(crate) blocked: bool,
    /// When it last took a byte.
    pub(crate) progress: Instant,
    pub(crate) read: u64,
    pub(crate) written: u64,
}

impl Viewer {
    /// Calls the protocol's side; a panic there ends this viewer alone.
    pub(crate) fn ask<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Peer) -> Result<T, EndReason>,
    ) -> Result<T, EndReason> {
        let peer = &mut *self.peer;
        catch_unwind(AssertUnwindSafe(|| call(peer))).unwrap_or(Err(EndReason::Panicked))
    }

    /// Where a packet's datagrams go to.
    pub(crate) fn outlet(&self, packet: &Packet) -> Option<&Datagrams> {
        let channel = packet.datagrams?.channel;
        self.outlets.iter().find(|outlet| outlet.channel == channel).map(|outlet| &*outlet.socket)
    }

    /// Makes the totals known to those who ask the session.
    pub(crate) fn publish_totals(&self) {
        self.session.set_totals(self.read, self.written);
    }
}
