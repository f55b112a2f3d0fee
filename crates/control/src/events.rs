//! What happens on the server, as notifications: for webhooks, and for those who watch live.
//!
//! Names and keys are those of lal's HTTP notify v0.2.5 (`docs/webhooks.md`), with more of both.
//! Unlike lal's, sums of bytes are right for every protocol, and `app_name` and `stream_name` are
//! those of the local stream, for pulls and pushes, too.

mod body;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use hub::events::DeviceId;
use hub::{Event, Observer, SessionId, StreamName};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use crate::api::{Api, Group};
use crate::webhooks::Webhooks;

use self::body::{Bodies, Body};
pub use self::subscription::{Filter, Item, Notifications, Subscription};

/// The name of the periodic notification.
pub const ON_UPDATE: &str = "on_update";

/// Notifications that are kept for those who come later.
const KEPT: usize = 256;

/// Bytes of all of them.
const KEPT_BYTES: usize = 4 << 20;

/// Notifications that a subscriber may be behind before it misses some.
const BEHIND: usize = 256;

/// Something that has happened, ready to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Counts up from 1 while the server runs.
    pub number: u64,
    /// What happened: `on_pub_start`.
    pub name: &'static str,
    /// The stream that it happened to.
    pub stream: Option<StreamName>,
    /// The session that it happened to.
    pub session: Option<SessionId>,
    /// The device that it happened to, where that is all.
    pub device: Option<DeviceId>,
    /// When.
    pub time: SystemTime,
    /// The details, as a JSON object. Receivers of webhooks tell clients apart by what these show:
    /// queries are as they came.
    pub body: Bytes,
    /// The details for those who watch, without what is secret in addresses.
    pub shown: Bytes,
}

impl Notification {
    /// Bytes that it holds.
    pub(crate) fn size(&self) -> usize {
        self.body.len() + self.shown.len()
    }

    /// Whether it is the periodic one.
    #[must_use]
    pub fn is_update(&self) -> bool {
        self.name == ON_UPDATE
    }
}

/// Turns events into notifications, and tells subscribers and webhooks.
pub struct Feed {
    bodies: Bodies,
    webhooks: Arc<Webhooks>,
    told: Mutex<Told>,
    live: broadcast::Sender<Arc<Notification>>,
    /// Updates are long, and only the newest is of any use: they stay out of the queues.
    update: watch::Sender<Option<Arc<Notification>>>,
}

/// What has been told.
#[derive(Default)]
struct Told {
    /// The last number.
    number: u64,
    /// The newest notifications but updates.
    recent: VecDeque<Arc<Notification>>,
    recent_bytes: usize,
    /// The number of the last one that had to make room.
    forgotten: u64,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("told", &self.told.lock().number).finish_non_exhaustive()
    }
}

impl Feed {
    /// Tells what happens on the server of this name. The current directory is told as it is now.
    #[must_use]
    pub fn new(server_id: Arc<str>, webhooks: Arc<Webhooks>) -> Arc<Self> {
        let cwd = std::env::current_dir().unwrap_or_default();
        Arc::new(Self {
            bodies: Bodies::new(server_id, &cwd),
            webhooks,
            told: Mutex::default(),
            live: broadcast::Sender::new(BEHIND),
            update: watch::Sender::new(None),
        })
    }

    /// Tells that the server has started, and then of all streams and sessions, as often as the
    /// rules of the webhooks say. Never ends.
    pub async fn run(self: Arc<Self>, api: Api) {
        self.server_started(&api);
        loop {
            self.update(&api);
            self.webhooks.until_update().await;
        }
    }

    /// The server has started. To be told once.
    pub fn server_started(&self, api: &Api) {
        self.tell_started(api.lal_info());
    }

    /// All streams and sessions. To be told at the start and then every `webhooks.update_interval`;
    /// costs nothing while nobody listens.
    pub fn update(&self, api: &Api) {
        if self.update.receiver_count() > 0 || self.webhooks.wants(ON_UPDATE) {
            self.tell_update(api.groups());
        }
    }

    /// The number of the newest notification.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.told.lock().number
    }

    /// The newest notifications, and all that follow.
    #[must_use]
    pub fn subscribe(&self, filter: Filter) -> Subscription {
        // Locked, so that nothing is told twice or left out.
        let told = self.told.lock();
        let updates = filter.updates.then(|| self.update.subscribe());
        Subscription::new(filter, &told, self.live.subscribe(), updates)
    }

    /// As [`Feed::subscribe`], for answers that are streamed. Must be called in a tokio runtime.
    #[must_use]
    pub fn stream(&self, filter: Filter) -> Notifications {
        self.subscribe(filter).into_stream()
    }

    fn tell_started(&self, info: Value) {
        let now = SystemTime::now();
        self.tell(
            Body::public("on_server_start", Bodies::server_started(info, now)),
            Concerned::default(),
            now,
        );
    }

    fn tell_update(&self, groups: Vec<Group>) {
        let now = SystemTime::now();
        let body = Body::public(ON_UPDATE, self.bodies.update(&groups, now));
        self.tell(body, Concerned::default(), now);
    }

    fn tell(
        &self,
        Body { name, body, shown }: Body,
        Concerned { stream, session, device }: Concerned<'_>,
        time: SystemTime,
    ) {
        // Locked to the end, so that everybody is told in the order of the numbers.
        let mut told = self.told.lock();
        told.number += 1;
        let number = told.number;
        let (stream, session, device) = (stream.cloned(), session.cloned(), device.cloned());
        let notification =
            Arc::new(Notification { number, name, stream, session, device, time, body, shown });
        self.webhooks.push(&notification);
        if notification.is_update() {
            self.update.send_replace(Some(notification));
            return;
        }
        told.recent_bytes += notification.size();
        told.recent.push_back(notification.clone());
        while (told.recent.len() > KEPT || told.recent_bytes > KEPT_BYTES)
            && let Some(oldest) = told.recent.pop_front()
        {
            told.recent_bytes -= oldest.size();
            told.forgotten = oldest.number;
        }
        // Nobody may be listening.
        let _ = self.live.send(notification);
    }
}

impl Observer for Feed {
    fn observe(&self, event: &Event) {
        let now = SystemTime::now();
        if let Some(told) = self.bodies.event(event, now) {
            self.tell(told, Concerned::by(event), now);
        }
    }
}

/// What an event concerns.
#[derive(Default)]
struct Concerned<'a> {
    stream: Option<&'a StreamName>,
    session: Option<&'a SessionId>,
    device: Option<&'a DeviceId>,
}

impl<'a> Concerned<'a> {
    fn by(event: &'a Event) -> Self {
        let of = |stream| Self { stream: Some(stream), ..Self::default() };
        match event {
            Event::Connected { session, .. } => {
                Self { session: Some(session.id()), ..Self::default() }
            }
            Event::Joined { session, stream, .. } | Event::Left { session, stream, .. } => {
                Self { session: Some(session.id()), ..of(stream) }
            }
            Event::StreamStarted(stream) | Event::StreamEnded(stream) => of(stream),
            Event::FileBegun(file) | Event::FileCompleted(file) => of(&file.stream),
            Event::Segment(segment) => of(&segment.stream),
            Event::CallStarted(call) | Event::CallEnded { call, .. } => of(&call.stream),
            Event::DeviceOnline { device, .. }
            | Event::DeviceOffline { device, .. }
            | Event::DeviceAlarm { device, .. } => Self { device: Some(device), ..Self::default() },
            _ => Self::default(),
        }
    }
}
