//! A tap: all frames of a stream, in order, for those who make something of their own of them
//! (segments, files), at their own pace.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use media::{Frame, TrackId, TrackSet};
use parking_lot::Mutex;

use crate::entry::Entry;
use crate::{EndReason, Stream};

/// What a tap brings.
#[derive(Debug, Clone)]
pub enum Tapped {
    /// The frames that follow belong to these tracks. They are told when they are known: frames wait
    /// for that as viewers do, for [`crate::StreamSettings::track_wait`] at most.
    Tracks {
        /// As they are from here on.
        tracks: Arc<TrackSet>,
        /// Tells one publisher of the stream from the next.
        publisher: u64,
    },
    /// A frame.
    Frame(Frame),
    /// Frames are missing here: the reader was too slow.
    Lost,
    /// The stream is over; nothing follows.
    End(EndReason),
}

/// What was tapped and not yet taken.
#[derive(Debug)]
pub(crate) struct Queue(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    items: VecDeque<Tapped>,
    /// How many of them may be taken.
    available: usize,
    /// What comes is kept back until the tracks are known.
    held: bool,
    bytes: usize,
    /// How many items are frames.
    frames: usize,
    max_bytes: usize,
    lost: bool,
    /// The tracks that there was no room for.
    missed: Option<Tapped>,
    /// Frames that there was no room for, in all.
    lost_frames: u64,
    /// Where it is in the pictures since it began, or lost some.
    entry: Entry,
    ended: bool,
    waker: Option<Waker>,
}

impl Queue {
    pub(crate) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner {
            items: VecDeque::new(),
            available: 0,
            held: false,
            bytes: 0,
            frames: 0,
            max_bytes,
            lost: false,
            missed: None,
            lost_frames: 0,
            entry: Entry::Ahead,
            ended: false,
            waker: None,
        })))
    }

    pub(crate) fn tracks(&self, tracks: &Arc<TrackSet>, publisher: u64) {
        let mut inner = self.0.lock();
        let fresh = Tapped::Tracks { tracks: tracks.clone(), publisher };
        let available = inner.available;
        let known =
            inner.items.range_mut(available..).find(|item| matches!(item, Tapped::Tracks { .. }));
        if let Some(known) = known {
            // All that is held back belongs to the tracks as they are in the end.
            let before = std::mem::replace(known, fresh).size();
            inner.bytes = inner.bytes + tracks.size() - before;
        } else if inner.lost || !(inner.items.is_empty() || inner.has_room(tracks.size())) {
            inner.lost = true;
            inner.missed = Some(fresh);
        } else {
            inner.push(fresh);
        }
    }

    /// Keeps back what comes: another publisher's tracks are not known yet.
    pub(crate) fn hold(&self) {
        self.0.lock().held = true;
    }

    /// The tracks are known.
    pub(crate) fn release(&self) {
        self.0.lock().release();
    }

    pub(crate) fn frame(&self, frame: &Frame) {
        let mut inner = self.0.lock();
        if inner.ended {
            return;
        }
        if frame.track == TrackId::video(0) && !inner.entry.admits(frame.kind) {
            return;
        }
        // A single frame always fits.
        let missed = inner.missed.as_ref().map_or(0, Tapped::size);
        if inner.frames > 0 && !inner.has_room(frame.data.len() + missed) {
            inner.lost = true;
            inner.lost_frames += 1;
            inner.entry = Entry::Ahead;
            return;
        }
        if std::mem::take(&mut inner.lost) {
            inner.push(Tapped::Lost);
        }
        if let Some(tracks) = inner.missed.take() {
            inner.push(tracks);
        }
        inner.frames += 1;
        inner.push(Tapped::Frame(frame.clone()));
    }

    pub(crate) fn end(&self, reason: &EndReason) {
        let mut inner = self.0.lock();
        if !std::mem::replace(&mut inner.ended, true) {
            inner.push(Tapped::End(reason.clone()));
        }
        inner.release();
    }
}

impl Tapped {
    /// Bytes that it holds.
    fn size(&self) -> usize {
        match self {
            Self::Tracks { tracks, .. } => tracks.size(),
            Self::Frame(frame) => frame.data.len(),
            Self::Lost | Self::End(_) => 0,
        }
    }
}

impl Inner {
    /// Whether so many bytes more may wait.
    fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes <= self.max_bytes
    }

    fn push(&mut self, item: Tapped) {
        self.bytes += item.size();
        self.items.push_back(item);
        if !self.held {
            self.release();
        }
    }

    fn release(&mut self) {
        self.held = false;
        self.available = self.items.len();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// All frames of a stream from its newest key frame on. Dropped, it closes.
#[derive(Debug)]
pub struct Tap {
    stream: Arc<Mutex<Stream>>,
    id: u64,
    queue: Arc<Queue>,
}

/// Tells whether a tap has ended, to those who do not read it.
#[derive(Debug, Clone)]
pub struct TapEnd(Arc<Queue>);

impl TapEnd {
    /// Whether its stream is over: true at once, before the reader has come to the end.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.0.0.lock().ended
    }

    /// Ends the tap: its reader comes to the end after what was tapped so far.
    pub fn close(&self) {
        self.end(&EndReason::Kicked);
    }

    /// As [`TapEnd::close`], for another reason.
    pub fn end(&self, reason: &EndReason) {
        self.0.end(reason);
    }

    /// Whether both tell of the same tap.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Tap {
    /// Taps a stream; frames that nobody takes are kept up to `max_bytes`.
    #[must_use]
    pub fn open(stream: &Arc<Mutex<Stream>>, max_bytes: usize) -> Self {
        let queue = Queue::new(max_bytes);
        let id = stream.lock().tap(queue.clone());
        Self { stream: stream.clone(), id, queue }
    }

    /// Whether the stream is over, for others.
    #[must_use]
    pub fn end(&self) -> TapEnd {
        TapEnd(self.queue.clone())
    }

    /// How many frames were lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.queue.0.lock().lost_frames
    }

    /// The next of what was tapped; waits for it.
    pub async fn next(&mut self) -> Tapped {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Tap::next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Tapped> {
        let mut inner = self.queue.0.lock();
        let item = if inner.available == 0 { None } else { inner.items.pop_front() };
        let Some(item) = item else {
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        inner.available -= 1;
        inner.bytes -= item.size();
        inner.frames -= usize::from(matches!(item, Tapped::Frame(_)));
        Poll::Ready(item)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stream.lock().untap(self.id);
    }
}
