//! The egress engine of a shard: mirrors of packet rings, and the viewers that read them.
//!
//! Deliveries go into the mirrors; a flush walks a mirror's viewers with one vectored write each.
//! A viewer has no task and no queue of media; the engine hears from its socket by wakers that put
//! a signal into the shard's inbox.

mod batch;
mod mirror;
mod serve;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use hub::{Cursor, Delivery, Drained, EndReason, Packaging, Ring, Start, Stream};
use parking_lot::Mutex;
use slab::Slab;

use crate::inbox::{Bell, Inbox, Letters, MirrorId, MirrorSink, News, Signal};
use crate::shard::Shard;
use crate::uring::Uring;
use crate::viewer::{Begin, Joining, Viewer};
use mirror::{Format, Mirror};

/// Bytes that are read from viewers at once. They say little; the buffer is the shard's.
const READ_BUFFER: usize = 16 << 10;

/// How long a mirror without viewers is kept for the next one.
const LINGER: Duration = Duration::from_secs(2);

/// The engine; driven by [`Engine::turn`].
pub(crate) struct Engine {
    inbox: Arc<Inbox>,
    mirrors: Slab<Mirror>,
    by_format: HashMap<Format, MirrorId>,
    viewers: Slab<Viewer>,
    /// Mirrors with packets that are due.
    due: Vec<MirrorId>,
    /// Mirrors with packets that wait, by when they are due. What was flushed before its time
    /// stays here until it comes to the front.
    later: BinaryHeap<Reverse<(Instant, MirrorId)>>,
    /// Viewers that have more to send than one turn allows.
    unfinished: Vec<usize>,
    spare: Letters,
    /// Where the kernel offers it, and it is wanted.
    uring: Option<Uring>,
    scratch: batch::Scratch,
    last_serial: u64,
    read_buffer: Vec<u8>,
}

impl Engine {
    pub(crate) fn new(inbox: Arc<Inbox>, uring: Option<Uring>) -> Self {
        Self {
            inbox,
            mirrors: Slab::new(),
            by_format: HashMap::new(),
            viewers: Slab::new(),
            due: Vec::new(),
            later: BinaryHeap::new(),
            unfinished: Vec::new(),
            spare: Letters::default(),
            uring,
            scratch: batch::Scratch::default(),
            last_serial: 0,
            read_buffer: vec![0; READ_BUFFER],
        }
    }

    /// How many viewers there are.
    pub(crate) fn viewers(&self) -> usize {
        self.viewers.len()
    }

    /// Takes a viewer in and sends it what there is.
    pub(crate) fn join(&mut self, mut joining: Joining, now: Instant, shard: &Rc<Shard>) {
        let id = self.mirror(&joining.stream, joining.packaging, joining.flush_after);
        let serial = self.next_serial();
        let Some(mirror) = self.mirrors.get_mut(id.key) else { return };
        let entry = self.viewers.vacant_entry();
        let key = entry.key();
        let bell = |news| Bell::new(Signal { key, serial, news }, self.inbox.clone());
        let (read_bell, write_bell) = (bell(News::Readable), bell(News::Writable));
        let totals = joining.session.statistics();
        let (ring, start) = (&mirror.ring, start(&mirror.ring, joining.begin));
        let peer = &mut *joining.peer;
        // A panic there ends the viewer when it is asked next.
        let newest = ring.newest_dts_ms();
        let greeting = catch_unwind(AssertUnwindSafe(|| match start {
            Start::At(number) => peer.greeting(&mut ring.from(number), newest),
            Start::KeyFrom(_) => peer.greeting(&mut std::iter::empty(), newest),
        }));
        joining.own.push(greeting.unwrap_or_default());
        let cursor = if joining.outlets.is_empty() {
            Cursor::join_at(ring, joining.own, start, now)
        } else {
            Cursor::join_datagrams(ring, joining.own, start, now)
        };
        entry.insert(Viewer {
            cursor,
            outlets: joining.outlets,
            conn: joining.conn,
            mirror: id,
            place: mirror.viewers.len(),
            peer: joining.peer,
            session: joining.session,
            serial,
            read_waker: read_bell.waker(),
            write_waker: write_bell.waker(),
            read_bell,
            write_bell,
            blocked: false,
            progress: now,
            read: totals.read_bytes,
            written: totals.written_bytes,
        });
        mirror.viewers.push(key);
        mirror.idle_since = None;
        // Both calls also register the wakers.
        self.hear(key, now, shard);
        self.send(key, now, shard);
    }

    /// Works off the inbox and whatever is due. Returns whether there is more to do at once.
    pub(crate) fn turn(&mut self, now: Instant, shard: &Rc<Shard>) -> bool {
        let mut letters = self.inbox.take(std::mem::take(&mut self.spare));
        for (mirror, delivery) in letters.deliveries.drain(..) {
            self.receive(mirror, delivery, now, shard);
        }
        for signal in letters.signals.drain(..) {
            self.answer(signal, now, shard);
        }
        self.spare = letters;
        for key in std::mem::take(&mut self.unfinished) {
            self.send(key, now, shard);
        }
        while let Some(id) = self.take_waiting(now) {
            self.due.push(id);
        }
        let mut due = std::mem::take(&mut self.due);
        for id in due.drain(..) {
            self.flush(id, now, shard);
        }
        self.due = due;
        !self.unfinished.is_empty()
    }

    /// When [`Engine::turn`] has something to flush.
    pub(crate) fn next_flush(&mut self) -> Option<Instant> {
        while let Some(&Reverse((at, id))) = self.later.peek() {
            if self.mirror_mut(id).is_some_and(|mirror| mirror.scheduled == Some(at)) {
                return Some(at);
            }
            self.later.pop();
        }
        None
    }

    /// The next mirror whose packets have waited long enough.
    fn take_waiting(&mut self, now: Instant) -> Option<MirrorId> {
        let due = self.next_flush().is_some_and(|at| at <= now);
        due.then(|| self.later.pop()).flatten().map(|Reverse((_, id))| id)
    }

    fn next_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    fn mirror_mut(&mut self, id: MirrorId) -> Option<&mut Mirror> {
        self.mirrors.get_mut(id.key).filter(|mirror| mirror.serial == id.serial)
    }

    /// Once a second: totals, time-outs, and formats that nobody reads any more.
    pub(crate) fn tick(&mut self, now: Instant, shard: &Rc<Shard>) {
        let keys: Vec<usize> = self.viewers.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Err(reason) = self.check(key, now) {
                self.end(key, &reason, shard);
            } else {
                self.act(key, now, shard);
                self.send(key, now, shard);
            }
        }
        let abandoned: Vec<MirrorId> = self
            .mirrors
            .iter()
            .filter(|(_, mirror)| {
                mirror.idle_since.is_some_and(|since| now.saturating_duration_since(since) > LINGER)
            })
            .map(|(key, mirror)| MirrorId { key, serial: mirror.serial })
            .collect();
        for id in abandoned {
            if let Some(mirror) = self.forget(id) {
                mirror.stream.lock().unsubscribe(mirror.subscription);
            }
        }
    }

    /// The mirror of a format, which begins to read the stream if it is new.
    fn mirror(
        &mut self,
        stream: &Arc<Mutex<Stream>>,
        packaging: Packaging,
        flush_after: Option<Duration>,
    ) -> MirrorId {
        let format = (Arc::as_ptr(stream).addr(), packaging, flush_after);
        if let Some(id) = self.by_format.get(&format) {
            return *id;
        }
        let serial = self.next_serial();
        let entry = self.mirrors.vacant_entry();
        let id = MirrorId { key: entry.key(), serial };
        let sink = Arc::new(MirrorSink { mirror: id, inbox: self.inbox.clone() });
        let mut guard = stream.lock();
        let settings = guard.settings().clone();
        let subscription = guard.subscribe(packaging, sink);
        let mut ring = Ring::sharing(&settings, settings.skip_after, guard.cache_limit());
        drop(guard);
        let mut prologues = subscription.prologues.into_iter().peekable();
        for packet in subscription.packets {
            while let Some(prologue) = prologues.next_if(|p| p.epoch <= packet.epoch) {
                ring.push_prologue(prologue);
            }
            ring.push(packet);
        }
        prologues.for_each(|prologue| ring.push_prologue(prologue));
        entry.insert(Mirror {
            serial,
            stream: stream.clone(),
            flush_after: flush_after.unwrap_or(settings.flush_after),
            settings,
            format,
            subscription: subscription.id,
            ring,
            viewers: Vec::new(),
            unsent_since: None,
            video_waits: false,
            last_video: None,
            scheduled: None,
            rest_until: None,
            idle_since: None,
        });
        self.by_format.insert(format, id);
        id
    }

    fn receive(&mut self, id: MirrorId, delivery: Delivery, now: Instant, shard: &Rc<Shard>) {
        let Some(mirror) = self.mirror_mut(id) else { return };
        match delivery {
            Delivery::Prologue(prologue) => mirror.ring.push_prologue(prologue),
            Delivery::Packets(packets) => {
                mirror.push(packets, now);
                self.schedule(id, now);
            }
            Delivery::End(reason) => {
                self.flush(id, now, shard);
                if let Some(mirror) = self.forget(id) {
                    for key in mirror.viewers {
                        self.end(key, &reason, shard);
                    }
                }
            }
        }
    }

    /// Sees to it that a mirror is flushed when its packets are due.
    fn schedule(&mut self, id: MirrorId, now: Instant) {
        let Some(mirror) = self.mirror_mut(id) else { return };
        let Some(at) = mirror.due() else { return };
        if mirror.scheduled.is_some_and(|scheduled| scheduled <= at) {
            return;
        }
        mirror.scheduled = Some(at);
        if at <= now {
            self.due.push(id);
        } else {
            self.later.push(Reverse((at, id)));
        }
    }

    fn forget(&mut self, id: MirrorId) -> Option<Mirror> {
        self.mirror_mut(id)?;
        let mirror = self.mirrors.try_remove(id.key)?;
        self.by_format.remove(&mirror.format);
        Some(mirror)
    }

    fn flush(&mut self, id: MirrorId, now: Instant, shard: &Rc<Shard>) {
        let Some(mirror) = self.mirror_mut(id) else { return };
        mirror.flushed();
        let start = Instant::now();
        if !self.flush_together(id, now, shard) {
            self.flush_one_by_one(id, now, shard);
        }
        if let Some(mirror) = self.mirror_mut(id) {
            mirror.rest_after(start);
        }
    }

    fn flush_one_by_one(&mut self, id: MirrorId, now: Instant, shard: &Rc<Shard>) {
        let mut index = 0;
        // A viewer that ends is replaced by the last of the list, which then is at its place.
        while let Some(key) = self.mirror_mut(id).and_then(|m| m.viewers.get(index)).copied() {
            if self.send(key, now, shard) {
                index += 1;
            }
        }
    }

    /// Sends a viewer what it may have now. Returns whether it is still there.
    fn send(&mut self, key: usize, now: Instant, shard: &Rc<Shard>) -> bool {
        let Some(viewer) = self.viewers.get_mut(key) else { return false };
        if viewer.blocked {
            return true;
        }
        let Some(mirror) = self.mirrors.get(viewer.mirror.key) else { return true };
        match viewer.write(mirror, now) {
            Ok(Drained::All | Drained::Blocked) => true,
            Ok(Drained::Budget) => {
                self.unfinished.push(key);
                true
            }
            Err(reason) => {
                self.end(key, &reason, shard);
                false
            }
        }
    }

    fn answer(&mut self, signal: Signal, now: Instant, shard: &Rc<Shard>) {
        let Some(viewer) = self.viewers.get_mut(signal.key) else { return };
        if viewer.serial != signal.serial {
            return;
        }
        match signal.news {
            News::Readable => {
                viewer.read_bell.seen();
                self.hear(signal.key, now, shard);
            }
            News::Writable => {
                viewer.write_bell.seen();
                viewer.blocked = false;
                self.send(signal.key, now, shard);
            }
        }
    }

    /// Reads what the viewer says until there is no more, and does what its protocol wants.
    fn hear(&mut self, key: usize, now: Instant, shard: &Rc<Shard>) {
        let Some(viewer) = self.viewers.get_mut(key) else { return };
        if let Err(reason) = viewer.read(&mut self.read_buffer, now) {
            self.end(key, &reason, shard);
            return;
        }
        if self.act(key, now, shard) {
            self.send(key, now, shard);
        }
    }

    /// Does what the viewer's protocol wants. Returns whether the viewer is still there.
    fn act(&mut self, key: usize, now: Instant, shard: &Rc<Shard>) -> bool {
        let Some(viewer) = self.viewers.get_mut(key) else { return false };
        let Some(mirror) = self.mirrors.get(viewer.mirror.key) else { return true };
        match viewer.act(&mirror.ring, now) {
            Ok(false) => true,
            Ok(true) => {
                let mut viewer = self.remove(key);
                viewer.publish_totals();
                let remains = viewer.cursor.take_remains();
                viewer.peer.released(viewer.conn, remains, shard);
                false
            }
            Err(reason) => {
                self.end(key, &reason, shard);
                false
            }
        }
    }

    fn check(&mut self, key: usize, now: Instant) -> Result<(), EndReason> {
        let Some(viewer) = self.viewers.get_mut(key) else { return Ok(()) };
        viewer.publish_totals();
        let Some(mirror) = self.mirrors.get(viewer.mirror.key) else { return Ok(()) };
        let stalled = now.saturating_duration_since(viewer.progress);
        if viewer.blocked && stalled >= mirror.settings.stall_timeout {
            return Err(EndReason::Timeout("the viewer took no byte"));
        }
        viewer.ask(|peer| peer.handle_timeout(now))
    }

    fn remove(&mut self, key: usize) -> Viewer {
        let viewer = self.viewers.remove(key);
        if let Some(mirror) = self.mirrors.get_mut(viewer.mirror.key) {
            mirror.viewers.swap_remove(viewer.place);
            if let Some(moved) = mirror.viewers.get(viewer.place)
                && let Some(moved) = self.viewers.get_mut(*moved)
            {
                moved.place = viewer.place;
            }
            if mirror.viewers.is_empty() {
                mirror.idle_since = Some(Instant::now());
            }
        }
        viewer
    }

    /// Ends a viewer's session, with its protocol's last words unless the connection is broken.
    fn end(&mut self, key: usize, reason: &EndReason, shard: &Rc<Shard>) {
        if !self.viewers.contains(key) {
            return;
        }
        let mut viewer = self.remove(key);
        viewer.publish_totals();
        let mut last_words = BytesMut::new();
        if !matches!(reason, EndReason::Io(_) | EndReason::PeerClosed | EndReason::Panicked)
            && !viewer.blocked
            && let Ok(words) = viewer.ask(|peer| Ok(peer.farewell(reason)))
        {
            last_words.extend_from_slice(&viewer.cursor.take_remains());
            last_words.extend_from_slice(&words);
        }
        // The reason is told even if the protocol's side has failed before.
        let _ = viewer.ask(|peer| {
            peer.ended(reason);
            Ok(())
        });
        shard.spawn(viewer.conn.close(last_words.freeze()));
    }
}

/// The place in a ring that a viewer wants to begin at.
fn start(ring: &Ring, begin: Begin) -> Start {
    match begin {
        Begin::Cached => ring.start(),
        Begin::NextKey if ring.has_video() => Start::KeyFrom(ring.end()),
        Begin::NextKey | Begin::Now => Start::At(ring.end()),
    }
}
