//! A reader inside the program: the frames of a stream, for code that makes something of its own of
//! them.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use hub::gate::Denial;
use hub::{EndReason, Role, Session, StreamName, Tap, TapEnd, Tapped};
use media::{Frame, FrameKind, TrackId, TrackKind, TrackSet};
use tokio::time::timeout;

use crate::context::{Context, Tenure};

/// What a reader gets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Read {
    /// The frames that follow belong to these tracks.
    Tracks(Arc<TrackSet>),
    /// Another publisher goes on with the stream; its tracks follow.
    PublisherChanged,
    /// A frame.
    Frame(Frame),
    /// There was no room for so many frames: the reader was too slow. Each video track goes on with
    /// its next key frame.
    Lost(u64),
    /// The stream is over, or the reader's session; nothing follows.
    Ended(EndReason),
}

/// Why there is nothing to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nobody publishes the stream.
    #[error("the stream {0} is not published here")]
    Absent(StreamName),
    /// The server takes no more readers.
    #[error(transparent)]
    Refused(#[from] Denial),
    /// Somebody has ended the session while it waited.
    #[error("the session has ended: {0}")]
    Ended(EndReason),
}

/// The frames of a stream. Each video track begins with a key frame; if none comes for as long as
/// the stream's viewers wait for one, with any.
#[derive(Debug)]
pub struct Reader {
    tap: Tap,
    publisher: Option<u64>,
    /// The tracks of another publisher, which has been told of.
    pending: Option<Arc<TrackSet>>,
    /// What was told of the frames that the tap has lost.
    told: u64,
    gap: Option<Gap>,
    key_frame_wait: Duration,
    ended: Option<EndReason>,
}

/// Key frames are waited for.
#[derive(Debug, Default)]
struct Gap {
    /// The time of the first picture that came in it, in milliseconds.
    since: Option<i64>,
    /// The tracks whose key frames have come.
    whole: Vec<TrackId>,
}

/// The place of a reader in a stream: it is a viewer as long as this is kept.
#[derive(Debug)]
pub struct Seat {
    tenure: Tenure,
    end: Option<TapEnd>,
}

impl Reader {
    /// Reads a tap.
    #[must_use]
    pub fn new(tap: Tap, key_frame_wait: Duration) -> Self {
        Self {
            tap,
            publisher: None,
            pending: None,
            told: 0,
            gap: Some(Gap::default()),
            key_frame_wait,
            ended: None,
        }
    }

    /// Becomes a viewer of a stream, which is waited for as long as `wait`. Frames that are not
    /// taken are kept up to `max_bytes`.
    ///
    /// # Errors
    /// [`ReadError`] says why it cannot be.
    pub async fn join(
        context: &Arc<Context>,
        name: &StreamName,
        wait: Duration,
        max_bytes: usize,
    ) -> Result<(Seat, Self), ReadError> {
        let mut seat = Seat { tenure: super::open(context, name, Role::Sub), end: None };
        let session = seat.session().clone();
        seat.tenure.join(name)?;
        let waiting = context.registry.watch(name);
        let disposed = std::future::poll_fn(|cx| session.poll_disposed(cx));
        tokio::select! {
            biased;
            reason = disposed => return Err(ReadError::Ended(reason)),
            ready = timeout(waiting.patience(wait), waiting.ready()) => {
                ready.map_err(|_| ReadError::Absent(name.clone()))?;
            }
        }
        let key_frame_wait = waiting.stream().lock().settings().key_frame_wait;
        let tap = Tap::open(waiting.stream(), max_bytes);
        seat.end = Some(tap.end());
        Ok((seat, Self::new(tap, key_frame_wait)))
    }

    /// What comes next; waits for it. After the end, the end again.
    pub async fn next(&mut self) -> Read {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Reader::next`].
    pub fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Read> {
        loop {
            if let Some(reason) = &self.ended {
                return Poll::Ready(Read::Ended(reason.clone()));
            }
            if let Some(tracks) = self.pending.take() {
                return Poll::Ready(Read::Tracks(tracks));
            }
            match ready!(self.tap.poll_next(cx)) {
                Tapped::Tracks { tracks, publisher } => {
                    let before = self.publisher.replace(publisher);
                    if before.is_some_and(|before| before != publisher) {
                        self.pending = Some(tracks);
                        return Poll::Ready(Read::PublisherChanged);
                    }
                    return Poll::Ready(Read::Tracks(tracks));
                }
                Tapped::Frame(frame) if self.admits(&frame) => {
                    return Poll::Ready(Read::Frame(frame));
                }
                Tapped::Frame(_) => {}
                Tapped::Lost => {
                    self.gap = Some(Gap::default());
                    let lost = self.tap.lost();
                    let fresh = lost - std::mem::replace(&mut self.told, lost);
                    return Poll::Ready(Read::Lost(fresh));
                }
                Tapped::End(reason) => {
                    self.ended = Some(reason);
                }
            }
        }
    }
}

impl Reader {
    /// Whether the program gets a frame: changes of the configuration it is told with the tracks,
    /// and pictures that refer to those that are missing are left out.
    fn admits(&mut self, frame: &Frame) -> bool {
        match frame.track.kind {
            _ if frame.kind == FrameKind::Config => return false,
            TrackKind::Video => {}
            TrackKind::Audio | TrackKind::Data => return true,
        }
        let Some(gap) = &mut self.gap else { return true };
        let now = frame.dts.millis();
        let waited = now.saturating_sub(*gap.since.get_or_insert(now));
        let limit = i64::try_from(self.key_frame_wait.as_millis()).unwrap_or(i64::MAX);
        if waited >= limit {
            self.gap = None;
            return true;
        }
        let is_whole = gap.whole.contains(&frame.track);
        if frame.is_key() && !is_whole {
            gap.whole.push(frame.track);
        }
        is_whole || frame.is_key()
    }
}

impl Seat {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        self.tenure.session()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        super::close(&mut self.tenure);
        if let Some((end, reason)) = self.end.take().zip(self.tenure.session().ending()) {
            end.end(&reason);
        }
    }
}
