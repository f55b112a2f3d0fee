//! What reaches a shard from other threads: deliveries of streams, and wake-ups of sockets.
//!
//! One wake-up serves everything that piled up since the last: the first entry wakes the engine,
//! later ones find it awake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use hub::{Delivery, PacketSink};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The engine's letter box.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    letters: Mutex<Letters>,
    bell: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// Deliveries by the mirror that they are for.
    pub(crate) deliveries: Vec<(MirrorId, Delivery)>,
    /// Keys of viewers whose socket or session has news.
    pub(crate) signals: Vec<Signal>,
}

/// A mirror of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MirrorId {
    /// The mirror's place in the engine's slab.
    pub(crate) key: usize,
    /// Tells mirrors apart that had the same place.
    pub(crate) serial: u64,
}

/// A viewer has news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal {
    /// The viewer's place in the engine's slab.
    pub(crate) key: usize,
    /// Tells viewers apart that had the same place.
    pub(crate) serial: u64,
    /// What the news is.
    pub(crate) news: News,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// There may be something to read, or somebody has asked the session to end.
    Readable,
    /// The socket takes bytes again.
    Writable,
}

impl Inbox {
    /// Takes all letters, leaving an empty box with the capacity that `spare` has.
    pub(crate) fn take(&self, spare: Letters) -> Letters {
        std::mem::replace(&mut *self.letters.lock(), spare)
    }

    /// Resolves once there is something in the box.
    pub(crate) async fn ring(&self) {
        self.bell.notified().await;
    }

    /// Makes the engine take a turn.
    pub(crate) fn nudge(&self) {
        self.bell.notify_one();
    }

    fn post(&self, put: impl FnOnce(&mut Letters)) {
        let mut letters = self.letters.lock();
        let was_empty = letters.deliveries.is_empty() && letters.signals.is_empty();
        put(&mut letters);
        drop(letters);
        if was_empty {
            self.bell.notify_one();
        }
    }
}

/// The sink of one mirror.
#[derive(Debug)]
pub(crate) struct MirrorSink {
    pub(crate) mirror: MirrorId,
    pub(crate) inbox: Arc<Inbox>,
}

impl PacketSink for MirrorSink {
    fn deliver(&self, _subscription: u64, delivery: Delivery) {
        self.inbox.post(|letters| letters.deliveries.push((self.mirror, delivery)));
    }
}

/// A waker that puts a signal into the box, once until the engine has seen it.
#[derive(Debug)]
pub(crate) struct Bell {
    signal: Signal,
    posted: AtomicBool,
    inbox: Arc<Inbox>,
}

impl Bell {
    pub(crate) fn new(signal: Signal, inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Self { signal, posted: AtomicBool::new(false), inbox })
    }

    /// The engine has seen the signal; the next one is news again.
    pub(crate) fn seen(&self) {
        self.posted.store(false, Ordering::Release);
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.posted.swap(true, Ordering::AcqRel) {
            self.inbox.post(|letters| letters.signals.push(self.signal));
        }
    }
}
