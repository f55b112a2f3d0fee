//! Those who watch what happens, live.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};

use super::{Notification, Told};

/// Items that wait for the reader of a stream.
const QUEUE: usize = 64;

/// What a subscriber wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Also the periodic updates; one that is not read in time gives way to the next.
    pub updates: bool,
    /// Of what is kept, only what came after this number. Numbers begin anew with the server, so
    /// that one that was never given asks for everything.
    pub after: Option<u64>,
    /// Only what concerns the stream of this path.
    pub stream: Option<String>,
}

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Something has happened.
    Told(Arc<Notification>),
    /// The subscriber was too slow, or came too late, for so many notifications; what a filter
    /// would have left out is among them.
    Missed(u64),
}

/// The notifications of a subscriber.
#[derive(Debug)]
pub struct Subscription {
    filter: Filter,
    recent: VecDeque<Arc<Notification>>,
    missed: u64,
    live: broadcast::Receiver<Arc<Notification>>,
    updates: Option<watch::Receiver<Option<Arc<Notification>>>>,
}

impl Subscription {
    pub(super) fn new(
        filter: Filter,
        told: &Told,
        live: broadcast::Receiver<Arc<Notification>>,
        updates: Option<watch::Receiver<Option<Arc<Notification>>>>,
    ) -> Self {
        let after = filter.after.filter(|after| *after <= told.number);
        let missed = after.map_or(0, |after| told.forgotten.saturating_sub(after));
        let after = after.unwrap_or_default();
        let recent = told.recent.iter().filter(|told| told.number > after).cloned().collect();
        Self { filter, recent, missed, live, updates }
    }

    /// What comes next; `None` when nothing will. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Item> {
        let missed = std::mem::take(&mut self.missed);
        if missed > 0 {
            return Some(Item::Missed(missed));
        }
        while let Some(told) = self.recent.pop_front() {
            if self.is_wanted(&told) {
                return Some(Item::Told(told));
            }
        }
        loop {
            let live = tokio::select! {
                live = self.live.recv() => live,
                update = newest(&mut self.updates) => return Some(Item::Told(update)),
            };
            match live {
                Ok(told) if self.is_wanted(&told) => return Some(Item::Told(told)),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => return Some(Item::Missed(missed)),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The same as a stream. Must be called in a tokio runtime.
    #[must_use]
    pub fn into_stream(mut self) -> Notifications {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = self.next() => next,
                    () = sender.closed() => return,
                };
                let Some(next) = next else { return };
                if sender.send(next).await.is_err() {
                    return;
                }
            }
        });
        Notifications(receiver)
    }

    fn is_wanted(&self, told: &Notification) -> bool {
        self.filter.stream.as_ref().is_none_or(|wanted| {
            told.stream.as_ref().is_some_and(|stream| stream.as_str() == wanted)
        })
    }
}

/// The newest update that was not seen, or never any.
async fn newest(
    updates: &mut Option<watch::Receiver<Option<Arc<Notification>>>>,
) -> Arc<Notification> {
    while let Some(receiver) = updates {
        if receiver.changed().await.is_err() {
            break;
        }
        let update = receiver.borrow_and_update().clone();
        if let Some(update) = update {
            return update;
        }
    }
    std::future::pending().await
}

/// Notifications as they come, for an answer that is streamed.
#[derive(Debug)]
pub struct Notifications(mpsc::Receiver<Item>);

impl Stream for Notifications {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.0.poll_recv(cx)
    }
}
