//! The frames of a stream, inside the program.
//!
//! [`Handle::subscribe`](crate::Handle::subscribe) reads one stream as a viewer does: it is counted
//! with the stream's viewers, has a stream pulled that is pulled on demand, and can be kicked.
//! [`Builder::on_stream`](crate::Builder::on_stream) is called for every stream that begins, and is
//! no viewer. Frames are shared, never copied. A reader that is slow holds nothing up: what it does
//! not take is kept up to a limit, and what comes beyond that is lost to it, which it is told.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use hub::StreamName;
use session::customize::{Reader, Seat};

use crate::held::Held;

#[doc(inline)]
pub use session::customize::Read as Event;
use session::customize::ReadError;

/// How a stream is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long the stream is waited for if nobody publishes it; 10 s unless set.
    pub wait: Duration,
    /// Bytes of frames that are kept for a reader that is slow; 16 MiB unless set, some 10 s of a
    /// stream of 12 Mbit/s.
    pub max_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { wait: Duration::from_secs(10), max_bytes: MAX_BYTES }
    }
}

/// What readers may be behind by, if nobody says anything else.
pub(crate) const MAX_BYTES: usize = 16 << 20;

/// Why a stream cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// It cannot have this name.
    #[error(transparent)]
    Name(#[from] hub::NameError),
    /// Nobody publishes it, nor did within the time that it was waited for.
    #[error("the stream {0} is not published here")]
    Absent(StreamName),
    /// The server takes no more viewers; the text says why.
    #[error("{0}")]
    Refused(String),
    /// Somebody ended the session while it waited, or the server has stopped.
    #[error("the session has ended: {0}")]
    Ended(hub::EndReason),
}

impl From<ReadError> for SubscribeError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Absent(stream) => Self::Absent(stream),
            ReadError::Ended(reason) => Self::Ended(reason),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Reads the frames of a stream, from the newest key frame on. Dropped, it leaves the stream.
#[derive(Debug)]
pub struct Subscriber {
    stream: StreamName,
    reader: Reader,
    /// Nothing for one that is no viewer.
    seat: Option<Held<Seat>>,
    written: u64,
    ended: bool,
}

impl Subscriber {
    pub(crate) fn new(stream: StreamName, reader: Reader, seat: Option<Held<Seat>>) -> Self {
        Self { stream, reader, seat, written: 0, ended: false }
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The id of the session, such as `CUSTOMIZESUB1`; `None` for what is no viewer.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.seat.as_ref().map(|seat| &**seat.session().id())
    }

    /// What comes next; waits for it. `None` after [`Event::Ended`]. May be dropped and called
    /// again: nothing is lost by that.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.reader.poll_next(cx));
        match &event {
            Event::Ended(_) => self.ended = true,
            Event::Frame(frame) => {
                self.written += frame.data.len() as u64;
                if let Some(seat) = &self.seat {
                    seat.session().set_totals(0, self.written);
                }
            }
            _ => {}
        }
        Poll::Ready(Some(event))
    }
}

impl Stream for Subscriber {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll_event(cx)
    }
}
