//! Webhooks: notifications that are posted to receivers.
//!
//! What happens to one stream is delivered in order, one after the other, retries included; streams
//! do not wait for each other, as long as there are fewer than [`PARALLEL`] that wait for their
//! receivers. What waits is bounded, what finds no room is dropped and counted, and nobody but the
//! receivers' own events is ever held up.

mod delivery;
mod queue;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use config::Config;
use config::sections;
use outgoing::{Client, Targets};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use crate::events::Notification;

use self::delivery::Outcome;
use self::queue::{Lane, Pushed, Queue};

/// Requests at the same time.
pub const PARALLEL: usize = 16;

/// The pause before the first retry; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How often failures and drops are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Who is told of what.
#[derive(Clone)]
pub struct Rules(sections::Webhooks);

/// URLs may hold secrets.
impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules")
    }
}

impl Rules {
    /// What a configuration asks for.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        Self(config.webhooks.clone())
    }

    /// Where to send notifications of this name.
    fn url(&self, name: &str) -> Option<&str> {
        let urls = self.0.urls();
        let own = urls.into_iter().find(|(key, url)| *key == name && !url.is_empty());
        let url = own.map_or(&self.0.url, |(_, url)| url);
        (!url.is_empty()).then_some(url)
    }

    fn targets(&self) -> Targets {
        if self.0.private_targets { Targets::Any } else { Targets::Public }
    }

    /// How often there is an update; `None` for once.
    fn update_interval(&self) -> Option<Duration> {
        Some(self.0.update_interval.get()).filter(|interval| !interval.is_zero())
    }

    fn queue(&self) -> usize {
        usize::try_from(self.0.queue).unwrap_or(usize::MAX)
    }
}

/// What has become of notifications that somebody was to be told.
#[derive(Debug, Default)]
pub struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    queued: AtomicU64,
}

impl Counters {
    /// Those that their receivers took.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Those that their receivers did not take, retries included.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Those for which there was no room, or nobody any more.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Those that wait or are being delivered.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }
}

/// Takes notifications, and delivers them while [`Webhooks::work`] runs.
pub struct Webhooks {
    rules: ArcSwap<Rules>,
    queue: Mutex<Queue>,
    counters: Counters,
    first_pause: Duration,
    /// There is something to do for the worker.
    changed: Notify,
    /// Nothing waits, and nothing is being delivered.
    idle: Notify,
    /// There are other rules.
    ruled: Notify,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Webhooks with these rules.
    #[must_use]
    pub fn new(rules: Rules) -> Arc<Self> {
        Self::with_pause(rules, FIRST_PAUSE)
    }

    fn with_pause(rules: Rules, first_pause: Duration) -> Arc<Self> {
        Arc::new(Self {
            rules: ArcSwap::from_pointee(rules),
            queue: Mutex::default(),
            counters: Counters::default(),
            first_pause,
            changed: Notify::new(),
            idle: Notify::new(),
            ruled: Notify::new(),
        })
    }

    /// Changes the rules, also for what waits already.
    pub fn set_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
        self.ruled.notify_waiters();
    }

    /// Ready when the next update is to be told.
    pub(crate) async fn until_update(&self) {
        let begun = Instant::now();
        loop {
            let ruled = self.ruled.notified();
            let interval = self.rules.load().update_interval();
            let due = async {
                match interval {
                    Some(interval) => sleep_until(begun + interval).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => return,
                () = ruled => {}
            }
        }
    }

    /// Whether anybody is to be told of notifications of this name.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.rules.load().url(name).is_some()
    }

    /// For metrics.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Has a notification delivered if somebody is to be told. Never waits.
    pub fn push(&self, notification: &Arc<Notification>) {
        let rules = self.rules.load();
        if rules.url(notification.name).is_none() {
            return;
        }
        let pushed = {
            let mut queue = self.queue.lock();
            let pushed = queue.push(notification, rules.queue());
            self.counters.queued.store(queue.len(), Ordering::Relaxed);
            pushed
        };
        if pushed == Pushed::Dropped {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.changed.notify_one();
    }

    /// Delivers what is pushed, for ever; there may be one worker. What is being delivered is given
    /// up when this is dropped. Must be called in a tokio runtime.
    pub async fn work(self: Arc<Self>, client: Client) {
        let mut deliveries = JoinSet::new();
        let mut complaints = Complaints::default();
        loop {
            while deliveries.len() < PARALLEL {
                let Some(job) = self.clone().take() else { break };
                let client = client.clone();
                deliveries.spawn(async move { job.run(&client).await });
            }
            tokio::select! {
                Some(done) = deliveries.join_next() => {
                    if let Ok(Outcome::Failed(why)) = done {
                        complaints.failed(why);
                    }
                }
                () = self.changed.notified() => {}
                () = complaints.due() => {}
            }
            complaints.log(self.counters.dropped());
        }
    }

    /// Waits until everything is delivered or has failed, at most `limit`; the worker must still be
    /// running. Returns how many notifications are left.
    pub async fn finish(&self, limit: Duration) -> u64 {
        let idle = async {
            loop {
                let idle = self.idle.notified();
                if self.counters.queued() == 0 {
                    return;
                }
                idle.await;
            }
        };
        // What is left is returned.
        let _ = timeout(limit, idle).await;
        self.counters.queued()
    }

    /// What is to be delivered next.
    fn take(self: Arc<Self>) -> Option<Job> {
        let (lane, notification) = self.queue.lock().take()?;
        Some(Job { webhooks: self, lane, notification })
    }
}

/// A notification that is being delivered. The next one of its lane waits until it is dropped.
struct Job {
    webhooks: Arc<Webhooks>,
    lane: Lane,
    notification: Arc<Notification>,
}

impl Job {
    async fn run(self, client: &Client) -> Outcome {
        let (webhooks, counters) = (&self.webhooks, &self.webhooks.counters);
        let rules = || webhooks.rules.load_full();
        let outcome =
            delivery::deliver(client, &rules, &self.notification, webhooks.first_pause).await;
        let counter = match &outcome {
            Outcome::Delivered => &counters.delivered,
            Outcome::Failed(_) => &counters.failed,
            Outcome::Unwanted => &counters.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let webhooks = &self.webhooks;
        let queued = {
            let mut queue = webhooks.queue.lock();
            queue.done(&self.lane);
            webhooks.counters.queued.store(queue.len(), Ordering::Relaxed);
            queue.len()
        };
        webhooks.changed.notify_one();
        if queued == 0 {
            webhooks.idle.notify_waiters();
        }
    }
}

/// What the log is told, now and then.
#[derive(Default)]
struct Complaints {
    failed: u64,
    /// Why the last one failed.
    why: String,
    /// Drops that the log knows of, and all.
    dropped: (u64, u64),
    logged: Option<Instant>,
}

impl Complaints {
    fn failed(&mut self, why: String) {
        self.failed += 1;
        self.why = why;
    }

    /// Ready when what could not be logged yet can be.
    async fn due(&self) {
        match self.logged {
            Some(logged) if self.is_any() => sleep_until(logged + LOG_INTERVAL).await,
            _ => std::future::pending().await,
        }
    }

    fn is_any(&self) -> bool {
        self.failed > 0 || self.dropped.1 > self.dropped.0
    }

    fn log(&mut self, dropped: u64) {
        self.dropped.1 = dropped;
        let is_early = self.logged.is_some_and(|logged| logged.elapsed() < LOG_INTERVAL);
        if is_early || !self.is_any() {
            return;
        }
        let lost = dropped.saturating_sub(self.dropped.0);
        if lost > 0 {
            warn!(count = lost, "webhooks: events are dropped, there is no room for more");
        }
        if self.failed > 0 {
            let why = std::mem::take(&mut self.why);
            warn!(count = self.failed, why, "webhooks: events are not taken");
        }
        (self.failed, self.dropped.0) = (0, dropped);
        self.logged = Some(Instant::now());
    }
}
