//! Finds streams by name; touched when somebody publishes, plays or stops, never per frame.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use media::{Frame, Track};
use parking_lot::Mutex;

use crate::{
    EndReason, SecondPublisher, Session, Stream, StreamName, StreamSettings, StreamState, Summary,
    Timeline,
};

/// How long a publisher's first frames may take without its viewers being told that there is no
/// such stream: encoders need a second or so to begin.
const FIRST_FRAMES: Duration = Duration::from_secs(3);

/// What each ring of a stream may hold however little memory there is: a large key frame.
const MIN_SHARE: usize = 1 << 20;

/// Chooses the rules of a stream by its name.
pub type SettingsFor = dyn Fn(&StreamName) -> Arc<StreamSettings> + Send + Sync;

/// Is told of a stream that somebody publishes, before its first frame.
pub type Watcher = dyn Fn(&StreamName, &Arc<Mutex<Stream>>) + Send + Sync;

/// All streams of a server.
pub struct Registry {
    table: Mutex<Table>,
}

struct Table {
    streams: HashMap<StreamName, Entry>,
    /// Streams that have a publisher.
    publishers: Arc<AtomicUsize>,
    settings_for: Arc<SettingsFor>,
    /// Most streams that may have a publisher at once.
    max_publishers: usize,
    /// Most bytes that the caches of all streams may hold.
    max_cached: usize,
    /// Those who want to know of publishers.
    watchers: Vec<Arc<Watcher>>,
}

/// One of the streams that have a publisher, as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Entry {
    stream: Arc<Mutex<Stream>>,
    /// Viewers that hold on to the stream while they wait for it or join it.
    waiting: usize,
}

/// Why somebody may not publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The stream has a publisher, and the rules say that it stays.
    #[error("the stream {0} already has a publisher")]
    Occupied(StreamName),
    /// The server has as many publishers as it may.
    #[error("the server already has {0} publishers, the most that limits.publishers allows")]
    TooMany(usize),
}

/// The publisher's frames are no longer wanted: somebody else took the stream over, or it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this session no longer publishes the stream")]
pub struct Superseded;

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(settings_for: Arc<SettingsFor>, max_publishers: usize) -> Arc<Self> {
        let max_cached = usize::MAX;
        let table = Table {
            streams: HashMap::new(),
            publishers: Arc::default(),
            settings_for,
            max_publishers,
            max_cached,
            watchers: Vec::new(),
        };
        Arc::new(Self { table: Mutex::new(table) })
    }

    /// Changes the rules for streams that begin from now on.
    pub fn set_rules(&self, settings_for: Arc<SettingsFor>, max_publishers: usize) {
        let mut table = self.table.lock();
        (table.settings_for, table.max_publishers) = (settings_for, max_publishers);
    }

    /// Changes how many bytes the caches of all streams may hold. At first there is no limit.
    pub fn set_max_cached(&self, bytes: usize) {
        self.table.lock().max_cached = bytes;
    }

    /// `watcher` is told of every publisher that comes, while the registry is locked: it must not
    /// ask the registry anything, nor block.
    pub fn watch_publishers(&self, watcher: Arc<Watcher>) {
        self.table.lock().watchers.push(watcher);
    }

    /// Makes `session` the publisher of a stream. `wall` is what the wall clock shows `now`.
    ///
    /// # Errors
    /// [`PublishError`] when it may not.
    pub fn publish(
        self: &Arc<Self>,
        name: &StreamName,
        session: &Arc<Session>,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Publication, PublishError> {
        let mut table = self.table.lock();
        let shared = table.stream(name);
        let mut stream = shared.lock();
        if let Some(old) = stream.publisher() {
            if stream.settings().second_publisher == SecondPublisher::Refuse {
                return Err(PublishError::Occupied(name.clone()));
            }
            old.dispose(EndReason::TakenOver);
        } else if table.publishers.load(Ordering::Relaxed) >= table.max_publishers {
            return Err(PublishError::TooMany(table.max_publishers));
        }
        let (token, timeline) = stream.publish(session.clone(), now, wall);
        stream.count_publisher(Counted::new(&table.publishers));
        drop(stream);
        table.watchers.iter().for_each(|watcher| watcher(name, &shared));
        Ok(Publication { stream: shared, token, timeline, seen: now })
    }

    /// Holds on to a stream, which need not have a publisher yet, to wait for it or to join it.
    #[must_use]
    pub fn watch(self: &Arc<Self>, name: &StreamName) -> Waiting {
        let mut table = self.table.lock();
        let stream = table.stream(name);
        if let Some(entry) = table.streams.get_mut(name) {
            entry.waiting += 1;
        }
        Waiting { registry: self.clone(), name: name.clone(), stream }
    }

    /// The stream of this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &StreamName) -> Option<Arc<Mutex<Stream>>> {
        self.table.lock().streams.get(name).map(|entry| entry.stream.clone())
    }

    /// Ends the streams whose publishers stay away, and forgets those that nobody needs. To be
    /// called about once a second. Streams that are `held` do not end, since their publishers are
    /// being called back. Returns the names of the streams that ended.
    pub fn tick(&self, now: Instant, held: impl Fn(&StreamName) -> bool) -> Vec<StreamName> {
        let mut ended = Vec::new();
        let mut table = self.table.lock();
        table.share_out_memory();
        table.streams.retain(|name, entry| {
            let mut stream = entry.stream.lock();
            if !held(name) && stream.expire(now) {
                ended.push(name.clone());
            }
            entry.waiting > 0 || !stream.is_unused()
        });
        ended
    }

    /// Ends a stream that nobody publishes, without waiting for a publisher to return; readers are
    /// told why. Whether it is over now.
    pub fn end(&self, name: &StreamName, reason: &EndReason) -> bool {
        let found = self.find(name);
        found.is_none_or(|found| {
            let mut stream = found.lock();
            let is_over = stream.publisher().is_none();
            if is_over {
                stream.end(reason);
            }
            is_over
        })
    }

    /// Ends all streams; readers are told why.
    pub fn end_all(&self, reason: &EndReason) {
        let table = self.table.lock();
        table.streams.values().for_each(|entry| entry.stream.lock().end(reason));
    }

    /// What there is to say about every stream, by name.
    #[must_use]
    pub fn summaries(&self, now: Instant) -> Vec<Summary> {
        let streams: Vec<_> =
            self.table.lock().streams.values().map(|entry| entry.stream.clone()).collect();
        let mut all: Vec<_> = streams.iter().map(|stream| stream.lock().summary(now)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// What there is to say about the stream of this path.
    #[must_use]
    pub fn summary(&self, path: &str, now: Instant) -> Option<Summary> {
        let found = self.table.lock().streams.get(path).map(|entry| entry.stream.clone());
        found.map(|stream| stream.lock().summary(now))
    }

    /// The first stream, by name, whose path ends in this item.
    #[must_use]
    pub fn named(&self, item: &str) -> Option<StreamName> {
        let table = self.table.lock();
        let is_named = |name: &&StreamName| name.as_str().rsplit('/').next() == Some(item);
        table.streams.keys().filter(is_named).min().cloned()
    }

    /// How many streams there are, waited-for ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.lock().streams.len()
    }

    /// Whether there is no stream.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("streams", &self.len()).finish_non_exhaustive()
    }
}

impl Table {
    /// Lowers every stream's share while all together hold too much, the largest by the most;
    /// raises it again step by step.
    fn share_out_memory(&self) {
        let streams = || self.streams.values().map(|entry| entry.stream.lock());
        let total: usize = streams().map(|stream| stream.cached_bytes()).sum();
        for stream in streams() {
            let limit = stream.cache_limit();
            let configured = stream.settings().max_cache_bytes;
            if total > self.max_cached {
                let held = stream.largest_ring().min(limit.get()) as u128;
                let share = held * self.max_cached as u128 / total as u128;
                limit.set(usize::try_from(share).unwrap_or(usize::MAX).max(MIN_SHARE));
            } else if total < self.max_cached / 4 * 3 {
                limit.set(limit.get().saturating_mul(2).min(configured));
            }
        }
    }

    fn stream(&mut self, name: &StreamName) -> Arc<Mutex<Stream>> {
        if let Some(entry) = self.streams.get(name) {
            return entry.stream.clone();
        }
        let settings = (self.settings_for)(name);
        let stream = Arc::new(Mutex::new(Stream::new(name.clone(), settings)));
        self.streams.insert(name.clone(), Entry { stream: stream.clone(), waiting: 0 });
        stream
    }
}

/// The right to publish a stream; given back when it is dropped.
///
/// Each call locks the stream for as long as one message takes: once per frame, never per viewer,
/// and never across a wait.
#[derive(Debug)]
pub struct Publication {
    stream: Arc<Mutex<Stream>>,
    token: u64,
    timeline: Timeline,
    /// The latest time that a call has told.
    seen: Instant,
}

impl Publication {
    /// The stream's time line, on which the publisher's time stamps are put.
    pub fn timeline(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// The publisher has described itself by an AMF0 script data body (without `@setDataFrame`).
    ///
    /// # Errors
    /// [`Superseded`] when this session no longer publishes the stream.
    pub fn set_metadata(
        &mut self,
        body: Bytes,
        at_ms: i64,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        self.with(arrival, |stream| stream.set_metadata(body, at_ms, arrival))
    }

    /// Which kinds of tracks the publisher says it will send; viewers need not be kept waiting
    /// for others.
    ///
    /// # Errors
    /// [`Superseded`] when this session no longer publishes the stream.
    pub fn announce(
        &mut self,
        video: bool,
        audio: bool,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        self.with(arrival, |stream| stream.announce(video, audio))
    }

    /// A track has (another) configuration.
    ///
    /// # Errors
    /// [`Superseded`] when this session no longer publishes the stream.
    pub fn set_track(
        &mut self,
        track: Track,
        at_ms: i64,
        arrival: Instant,
    ) -> Result<(), Superseded> {
        self.with(arrival, |stream| stream.set_track(track, at_ms, arrival))
    }

    /// Appends a frame of a track that was set.
    ///
    /// # Errors
    /// [`Superseded`] when this session no longer publishes the stream.
    pub fn push(&mut self, frame: Frame) -> Result<(), Superseded> {
        let repairs = self.timeline.repairs();
        self.with(frame.arrival, |stream| {
            stream.set_repairs(repairs);
            stream.push(frame);
        })
    }

    fn with(&mut self, now: Instant, act: impl FnOnce(&mut Stream)) -> Result<(), Superseded> {
        self.seen = self.seen.max(now);
        let mut stream = self.stream.lock();
        if !stream.accepts(self.token) {
            return Err(Superseded);
        }
        act(&mut stream);
        Ok(())
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.stream.lock().unpublish(self.token, self.seen);
    }
}

/// Keeps a stream in the registry while a viewer waits for it or joins it.
#[derive(Debug)]
pub struct Waiting {
    registry: Arc<Registry>,
    name: StreamName,
    stream: Arc<Mutex<Stream>>,
}

impl Waiting {
    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// The stream.
    #[must_use]
    pub fn stream(&self) -> &Arc<Mutex<Stream>> {
        &self.stream
    }

    /// How long a newcomer is to wait for the stream: `limit`, but where a publisher is there
    /// already, long enough for its first frames to arrive.
    #[must_use]
    pub fn patience(&self, limit: Duration) -> Duration {
        let stream = self.stream.lock();
        let held_back = stream.settings().silent_audio_after.unwrap_or_default();
        match stream.state() {
            StreamState::Live => limit.max(FIRST_FRAMES + held_back),
            _ => limit,
        }
    }

    /// Waits until the stream is live and its tracks are known. The caller limits the time.
    pub async fn ready(&self) {
        Ready { stream: &self.stream, waiter: None }.await;
    }
}

/// Waits for a stream to be ready; dropped, it leaves nothing in the stream.
struct Ready<'a> {
    stream: &'a Mutex<Stream>,
    waiter: Option<u64>,
}

impl Future for Ready<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut stream = self.stream.lock();
        if stream.is_ready() {
            return Poll::Ready(());
        }
        stream.wake_when_ready(&mut self.waiter, cx.waker());
        Poll::Pending
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.stream.lock().forget_waiter(waiter);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut table = self.registry.table.lock();
        if let Some(entry) = table.streams.get_mut(&self.name) {
            entry.waiting = entry.waiting.saturating_sub(1);
            if entry.waiting == 0 && entry.stream.lock().is_unused() {
                table.streams.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Identity, Kind, Protocol, Role, Sessions};

    fn name(path: &str) -> StreamName {
        StreamName::new("live", path, Identity::AppAndName).expect("a name")
    }

    #[test]
    fn publishers_are_counted_as_they_come_and_go() {
        let rules = |second_publisher| -> Arc<SettingsFor> {
            let settings = StreamSettings { second_publisher, ..StreamSettings::default() };
            let settings = Arc::new(settings);
            Arc::new(move |_| settings.clone())
        };
        let registry = Registry::new(rules(SecondPublisher::Takeover), 2);
        let kind = Kind { protocol: Protocol::Rtmp, role: Role::Pub };
        let sessions = Sessions::default();
        let publish = |path: &str| {
            let session = sessions.open(kind, None, SystemTime::UNIX_EPOCH);
            registry.publish(&name(path), &session, Instant::now(), SystemTime::UNIX_EPOCH)
        };
        let first = publish("a").expect("room");
        let second = publish("b").expect("room");
        let _over = publish("b").expect("the same stream");
        assert_eq!(publish("c").err(), Some(PublishError::TooMany(2)));
        // The one that was taken over does not count any more.
        drop(second);
        assert_eq!(publish("c").err(), Some(PublishError::TooMany(2)));
        drop(first);
        let third = publish("c").expect("room");
        assert_eq!(publish("a").err(), Some(PublishError::TooMany(2)));
        drop(third);
        publish("a").expect("room");
    }

    #[test]
    fn streams_are_found_by_path_and_by_their_last_item() {
        let registry = Registry::new(Arc::new(|_| Arc::new(StreamSettings::default())), 9);
        let _waiting = ["z/cam", "a/cam", "b"].map(|path| registry.watch(&name(path)));
        let found = registry.summary("live/b", Instant::now()).map(|found| found.name);
        assert_eq!(found, Some(name("b")));
        assert!(registry.summary("b", Instant::now()).is_none());
        assert_eq!(registry.named("cam"), Some(name("a/cam")));
        assert_eq!(registry.named("live"), None);
    }
}
