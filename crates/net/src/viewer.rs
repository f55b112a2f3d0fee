//! A viewer: an entry of the engine that reads a ring through a socket.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::{Cursor, EndReason, Packaging, Session, Stream};
use parking_lot::Mutex;

use crate::conn::Conn;
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
    /// What it gets before anything else.
    pub own: Vec<Bytes>,
    /// The protocol's side.
    pub peer: Box<dyn Peer>,
    /// The session, whose totals so far are counted on.
    pub session: Arc<Session>,
}

/// A viewer in the engine.
pub(crate) struct Viewer {
    pub(crate) conn: Conn,
    pub(crate) cursor: Cursor,
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

    /// Makes the totals known to those who ask the session.
    pub(crate) fn publish_totals(&self) {
        self.session.set_totals(self.read, self.written);
    }
}
