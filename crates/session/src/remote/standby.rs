//! A source that stands by: connected and received, but nobody sees anything of it until it takes
//! the place of another one.
//!
//! It publishes in a context of its own, where its frames are kept as those of any stream: from the
//! newest key frame on, within a bound. When it takes over, they go on from there into the stream,
//! and those that follow one by one.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use hub::{EndReason, Session, StreamName, StreamState, Tap, Tapped, Waiting};
use media::TrackKind;
use tokio::sync::oneshot;

use crate::context::{Context, Tenure};
use crate::ingest::frames::FrameIngest;

/// Frames that wait to go on: they are taken at once.
const MAX_QUEUE: usize = 64 << 20;

/// A source that stands by. Dropped, it is left.
#[derive(Debug)]
pub(crate) struct StandBy {
    session: Arc<Session>,
    waiting: Waiting,
    ended: oneshot::Receiver<EndReason>,
}

impl StandBy {
    /// A session that publishes `name` in the context `apart`, until it ends.
    pub(crate) fn new(
        apart: &Context,
        name: &StreamName,
        session: Arc<Session>,
        ended: oneshot::Receiver<EndReason>,
    ) -> Self {
        Self { session, waiting: apart.registry.watch(name), ended }
    }

    /// Its session.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Whether its stream is there, to be played from now on.
    pub(crate) fn is_ready(&self) -> bool {
        self.session.stream().is_some() && self.waiting.stream().lock().state() == StreamState::Live
    }

    /// Why it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<EndReason> {
        match self.ended.try_recv() {
            Ok(reason) => Some(reason),
            Err(oneshot::error::TryRecvError::Closed) => Some(EndReason::Shutdown),
            Err(oneshot::error::TryRecvError::Empty) => None,
        }
    }

    /// Publishes what it brings as the stream `name` of `context`, from the newest key frame on.
    /// Why it ended.
    pub(super) async fn take_over(
        mut self,
        context: &Context,
        tenure: &Tenure,
        name: &StreamName,
    ) -> EndReason {
        let session = tenure.session();
        if let (Some(local), Some(peer)) = (self.session.local(), self.session.peer()) {
            session.connected(local, peer);
        }
        let mut tap = Tap::open(self.waiting.stream(), MAX_QUEUE);
        let mut ingest: Option<FrameIngest> = None;
        loop {
            let tapped = tokio::select! {
                biased;
                reason = poll_fn(|cx| session.poll_disposed(cx)) => return reason,
                tapped = tap.next() => tapped,
            };
            let taken = match tapped {
                Tapped::Tracks { tracks, .. } => {
                    if ingest.is_none() {
                        match super::publish(context, session, name) {
                            Ok(publication) => ingest = Some(FrameIngest::new(publication)),
                            Err(reason) => return reason,
                        }
                    }
                    let media = tracks.tracks.iter().filter(|t| t.id.kind != TrackKind::Data);
                    ingest.as_mut().map_or(Ok(()), |ingest| {
                        media.cloned().try_for_each(|track| {
                            ingest.track(Arc::unwrap_or_clone(track), Instant::now())
                        })
                    })
                }
                Tapped::Frame(frame) if frame.track.kind == TrackKind::Data => Ok(()),
                Tapped::Frame(frame) if frame.kind == media::FrameKind::Config => Ok(()),
                Tapped::Frame(frame) => {
                    let moved = self.session.statistics();
                    session.set_totals(moved.read_bytes, moved.written_bytes);
                    ingest.as_mut().map_or(Ok(()), |ingest| ingest.frame(frame))
                }
                Tapped::Lost => Ok(()),
                Tapped::End(reason) => {
                    // Its session knows better why.
                    return (&mut self.ended).await.unwrap_or(reason);
                }
            };
            if taken.is_err() {
                return EndReason::TakenOver;
            }
        }
    }
}

impl Drop for StandBy {
    fn drop(&mut self) {
        self.session.dispose(EndReason::StreamEnded);
    }
}
