//! What happens, as it happens: server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive, KeepAliveStream};
use futures_core::Stream;
use serde::Deserialize;
use tokio::sync::{broadcast, mpsc};
use utoipa::IntoParams;

use super::{Fault, Params};
use crate::api::Api;
use crate::events::{Filter, Item, Notifications};

/// How often a reader is told that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Events that wait for a reader's connection.
const QUEUE: usize = 64;

/// Lines of the log, as axum wants them.
pub(super) struct Lines(mpsc::Receiver<Event>);

impl Stream for Lines {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|event| event.map(Ok))
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// 1 for the periodic notification `on_update` as well.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1)]
    update: u8,
    /// 0 for none of those that were told before.
    #[serde(default = "some")]
    #[param(minimum = 0, maximum = 1, default = 1)]
    recent: u8,
    /// Only what concerns the stream of this path.
    stream: Option<String>,
}

fn some() -> u8 {
    1
}

/// What happens, as it is told to webhooks but for the secrets in addresses: the newest notifications, and all that follow. Who says
/// `Last-Event-ID` gets what came after that.
#[utoipa::path(get, path = "/api/v1/events", params(Wanted), responses(
    (status = 200, content_type = "text/event-stream", body = String),
    (status = 400, body = Fault)))]
pub(super) async fn events(
    State(api): State<Api>,
    Params(wanted): Params<Wanted>,
    headers: HeaderMap,
) -> Result<Sse<KeepAliveStream<Told>>, Fault> {
    if wanted.update > 1 || wanted.recent > 1 {
        return Err(Fault::new(StatusCode::BAD_REQUEST, "update and recent are 0 or 1"));
    }
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let none = (wanted.recent == 0).then(|| api.feed.newest());
    let filter =
        Filter { updates: wanted.update == 1, after: last.or(none), stream: wanted.stream };
    let told = Told(api.feed.stream(filter));
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Notifications, as axum wants them.
pub(super) struct Told(Notifications);

impl Stream for Told {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map(|item| {
            let event = match item? {
                Item::Told(told) => {
                    let event = Event::default().event(told.name).id(told.number.to_string());
                    event.data(String::from_utf8_lossy(&told.shown))
                }
                Item::Missed(count) => Event::default().event("lost").data(count.to_string()),
            };
            Some(Ok(event))
        })
    }
}

/// The newest lines of the log, and all that follow.
#[utoipa::path(get, path = "/api/v1/log", responses(
    (status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn log(State(api): State<Api>) -> Sse<KeepAliveStream<Lines>> {
    let (recent, mut live) = api.logs.subscribe();
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        for line in recent {
            if sender.send(event("log", &*line)).await.is_err() {
                return;
            }
        }
        loop {
            let next = tokio::select! {
                next = live.recv() => next,
                () = sender.closed() => return,
            };
            let event = match next {
                Ok(line) => event("log", &*line),
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    Event::default().event("lost").data(count.to_string())
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
    answer(receiver)
}

fn answer(receiver: mpsc::Receiver<Event>) -> Sse<KeepAliveStream<Lines>> {
    Sse::new(Lines(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn event(name: &str, data: &impl serde::Serialize) -> Event {
    let text = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(text)
}
