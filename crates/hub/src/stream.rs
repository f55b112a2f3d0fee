//! One stream: its tracks, its log of frames, its packagers, and whoever publishes it.
//!
//! The publisher appends and never knows who reads. Each wire format that somebody reads has one
//! packager, fed from the log when it starts; its packets go to the shards that asked for them.

mod output;
mod publisher;

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use media::{Frame, FrameKind, Ticks, TimeBase, Track, TrackId, TrackKind, TrackSet, inspect};

pub use self::output::{Delivery, PacketSink, Subscription};
use self::output::{Logged, Output, Reader};
use self::publisher::Publisher;
use crate::keys::KeyFrames;
use crate::rate::FrameRate;
use crate::registry::Counted;
use crate::silence::{Silence, Step};
use crate::tap::Queue;
use crate::{
    CacheLimit, EndReason, Packaging, Repairs, Ring, Session, StreamName, StreamSettings, Timeline,
};

/// Whether somebody publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// Nobody has published, or the grace time is over.
    Idle,
    /// There is a publisher.
    Live,
    /// The publisher has gone and may return.
    Grace {
        /// When it went.
        since: Instant,
    },
}

/// What people want to know about a stream.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its name.
    pub name: StreamName,
    /// Whether somebody publishes.
    pub state: StreamState,
    /// Its tracks.
    pub tracks: Arc<TrackSet>,
    /// Whether the first sound track is silence that nobody sends.
    pub silent_audio: bool,
    /// Who publishes.
    pub publisher: Option<Arc<Session>>,
    /// What was mended of its time stamps.
    pub repairs: Repairs,
    /// Frames taken in since it began.
    pub frames: u64,
    /// Video frames of the last seconds, newest first: (seconds ago, frames).
    pub video_fps: Vec<u32>,
    /// Bytes held in the caches.
    pub cached_bytes: usize,
    /// Frames of the last whole GOP.
    pub gop_frames: u32,
    /// Times between the last key frames, the newest first.
    pub key_intervals_ms: Vec<i64>,
}

/// A stream; see the module's documentation.
#[derive(Debug)]
pub struct Stream {
    name: StreamName,
    settings: Arc<StreamSettings>,
    cache_limit: CacheLimit,
    state: StreamState,
    publisher: Option<Publisher>,
    tracks: Arc<TrackSet>,
    log: Ring<Logged, Arc<TrackSet>>,
    outputs: Vec<Output>,
    taps: Vec<(u64, Arc<Queue>)>,
    /// The publisher whose tracks the taps know.
    tapped_token: u64,
    last_subscription: u64,
    last_token: u64,
    /// Whether the tracks are known well enough to tell viewers.
    ready: bool,
    /// Those who wait for it to be ready.
    wakers: HashMap<u64, Waker>,
    last_waiter: u64,
    frames: u64,
    repairs: Repairs,
    /// Time and arrival of the newest frame.
    newest: Option<(i64, Instant)>,
    fps: FrameRate,
    keys: KeyFrames,
    /// Where the settings want sound for those who send none.
    silence: Option<Silence>,
}

impl Stream {
    /// A stream that nobody publishes yet.
    #[must_use]
    pub fn new(name: StreamName, settings: Arc<StreamSettings>) -> Self {
        let cache_limit = CacheLimit::new(settings.max_cache_bytes);
        let log = Ring::sharing(&settings, Duration::ZERO, &cache_limit);
        let silence =
            settings.silent_audio_after.map(|after| Silence::new(after, settings.track_wait));
        Self {
            name,
            settings,
            cache_limit,
            state: StreamState::Idle,
            publisher: None,
            tracks: Arc::default(),
            log,
            outputs: Vec::new(),
            taps: Vec::new(),
            tapped_token: 0,
            last_subscription: 0,
            last_token: 0,
            ready: false,
            wakers: HashMap::new(),
            last_waiter: 0,
            frames: 0,
            repairs: Repairs::default(),
            newest: None,
            fps: FrameRate::default(),
            keys: KeyFrames::default(),
            silence,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// Its rules.
    #[must_use]
    pub fn settings(&self) -> &Arc<StreamSettings> {
        &self.settings
    }

    /// Whether somebody publishes.
    #[must_use]
    pub fn state(&self) -> StreamState {
        self.state
    }

    /// The tracks as they are now.
    #[must_use]
    pub fn tracks(&self) -> &Arc<TrackSet> {
        &self.tracks
    }

    /// Whoever publishes now.
    #[must_use]
    pub fn publisher(&self) -> Option<&Arc<Session>> {
        self.publisher.as_ref().map(|publisher| &publisher.session)
    }

    /// The decoding time of its newest frame, in ms.
    #[must_use]
    pub fn newest_dts_ms(&self) -> i64 {
        self.log.newest_dts_ms()
    }

    /// What people want to know; `now` ages the frame rates.
    #[must_use]
    pub fn summary(&self, now: Instant) -> Summary {
        Summary {
            name: self.name.clone(),
            state: self.state,
            tracks: self.tracks.clone(),
            silent_audio: self.silence.as_ref().is_some_and(Silence::is_heard),
            publisher: self.publisher().cloned(),
            repairs: self.repairs,
            frames: self.frames,
            video_fps: self.fps.seconds(now),
            cached_bytes: self.cached_bytes(),
            gop_frames: self.keys.gop_frames(),
            key_intervals_ms: self.keys.intervals_ms().to_vec(),
        }
    }

    /// The bytes that its log and its formats hold.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.log.bytes() + self.outputs.iter().map(|output| output.ring.bytes()).sum::<usize>()
    }

    /// The bytes that the largest of its rings holds.
    pub(crate) fn largest_ring(&self) -> usize {
        let outputs = self.outputs.iter().map(|output| output.ring.bytes());
        outputs.max().unwrap_or(0).max(self.log.bytes())
    }

    /// How much each of its rings may hold, for those who keep rings of its packets.
    #[must_use]
    pub fn cache_limit(&self) -> &CacheLimit {
        &self.cache_limit
    }

    /// Whether nobody publishes it and nobody reads it.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.state == StreamState::Idle && !self.is_read()
    }

    fn is_read(&self) -> bool {
        !(self.outputs.is_empty() && self.taps.is_empty())
    }

    /// Lets `session` publish. Returns the token that its frames are accepted with, and the time
    /// line that they belong on. The publisher before it, if any, has lost its right.
    pub(crate) fn publish(
        &mut self,
        session: Arc<Session>,
        now: Instant,
        wall: SystemTime,
    ) -> (u64, Timeline) {
        self.last_token += 1;
        let resuming = self.newest.map(|(dts, arrival)| {
            let away = now.saturating_duration_since(arrival).as_millis();
            // At least a frame's time passes, however fast the publisher returns.
            dts + i64::try_from(away).unwrap_or(i64::MAX / 2).max(40)
        });
        let goes_on = resuming.is_some();
        self.publisher = Some(Publisher::new(self.last_token, session, (now, wall), goes_on));
        self.state = StreamState::Live;
        self.ready = false;
        if let Some(silence) = &mut self.silence {
            let sound = self.log.from(self.log.base()).filter(|logged| {
                logged.frame.track == TrackId::audio(0) && logged.frame.kind == FrameKind::Audio
            });
            silence.begin(sound.last().map(|logged| logged.frame.dts));
        }
        self.taps.iter().for_each(|(_, queue)| queue.hold());
        (self.last_token, resuming.map_or_else(Timeline::new, Timeline::resuming_at))
    }

    /// Whether frames with this token are accepted.
    #[must_use]
    pub(crate) fn accepts(&self, token: u64) -> bool {
        self.publisher.as_ref().is_some_and(|publisher| publisher.token == token)
    }

    /// The publisher is one of so many.
    pub(crate) fn count_publisher(&mut self, counted: Counted) {
        if let Some(publisher) = &mut self.publisher {
            publisher.counted = Some(counted);
        }
    }

    /// The publisher with this token has gone.
    pub(crate) fn unpublish(&mut self, token: u64, now: Instant) {
        if self.accepts(token) {
            self.release();
            if !self.ready && self.newest.is_some() {
                self.become_ready();
            }
            self.publisher = None;
            self.state = StreamState::Grace { since: now };
            let epoch = self.tracks.epoch;
            self.outputs.iter_mut().for_each(|output| output.flush(epoch));
        }
    }

    /// Ends the stream if its publisher has been away for too long. Returns whether it did.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        if self.state == StreamState::Idle && self.is_read() {
            // Somebody joined just as it ended.
            self.state = StreamState::Grace { since: now };
        }
        let StreamState::Grace { since } = self.state else { return false };
        let away = now.saturating_duration_since(since);
        let record_grace = self.settings.record_grace.min(self.settings.grace);
        if away >= record_grace {
            self.end_taps(&EndReason::StreamEnded);
        }
        if away < if self.is_read() { self.settings.grace } else { record_grace } {
            return false;
        }
        self.end(&EndReason::StreamEnded);
        true
    }

    /// Sends every reader away and forgets the media.
    pub(crate) fn end(&mut self, reason: &EndReason) {
        for output in self.outputs.drain(..) {
            for reader in output.readers {
                reader.sink.deliver(reader.subscription, Delivery::End(reason.clone()));
            }
        }
        self.end_taps(reason);
        self.state = StreamState::Idle;
        self.tracks = Arc::default();
        self.log = Ring::sharing(&self.settings, Duration::ZERO, &self.cache_limit);
        self.newest = None;
        self.fps = FrameRate::default();
        self.keys = KeyFrames::default();
        if let Some(silence) = &mut self.silence {
            silence.begin(None);
        }
    }

    /// Tells those who take all frames that it is over; newcomers wait for the next publisher.
    fn end_taps(&mut self, reason: &EndReason) {
        for (_, queue) in self.taps.drain(..) {
            queue.end(reason);
        }
        self.ready = false;
    }

    /// Whether it is live and its tracks are known.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready && self.state != StreamState::Idle
    }

    /// Wakes somebody once it is ready; `waiter` is who that is, from the first call on.
    pub(crate) fn wake_when_ready(&mut self, waiter: &mut Option<u64>, waker: &Waker) {
        let number = *waiter.get_or_insert_with(|| {
            self.last_waiter += 1;
            self.last_waiter
        });
        self.wakers.entry(number).or_insert_with(|| waker.clone()).clone_from(waker);
    }

    /// Somebody waits no more.
    pub(crate) fn forget_waiter(&mut self, waiter: u64) {
        self.wakers.remove(&waiter);
    }

    /// Begins to read a format; a packager is started if nobody reads it yet.
    pub fn subscribe(&mut self, packaging: Packaging, sink: Arc<dyn PacketSink>) -> Subscription {
        self.last_subscription += 1;
        let id = self.last_subscription;
        let index = self.outputs.iter().position(|output| output.packaging == packaging);
        let index = index.unwrap_or_else(|| {
            self.outputs.push(Output::start(
                packaging,
                &self.settings,
                &self.cache_limit,
                &self.log,
                &self.tracks,
            ));
            self.outputs.len() - 1
        });
        let mut subscription = Subscription { id, prologues: Vec::new(), packets: Vec::new() };
        if let Some(output) = self.outputs.get_mut(index) {
            output.readers.push(Reader { subscription: id, sink });
            subscription.prologues.extend(output.ring.prologues().cloned());
            subscription.packets.extend(output.ring.from(output.ring.base()).cloned());
        }
        subscription
    }

    /// The formats that somebody reads.
    pub fn packagings(&self) -> impl Iterator<Item = Packaging> {
        self.outputs.iter().map(|output| output.packaging)
    }

    /// Stops reading; a format without readers is no longer packaged.
    pub fn unsubscribe(&mut self, subscription: u64) {
        for output in &mut self.outputs {
            output.readers.retain(|reader| reader.subscription != subscription);
        }
        self.outputs.retain(|output| !output.readers.is_empty());
    }

    /// Begins to hand out frames, from the newest key frame on. Returns what [`Stream::untap`] ends
    /// it with.
    pub(crate) fn tap(&mut self, queue: Arc<Queue>) -> u64 {
        self.last_subscription += 1;
        self.tapped_token = self.last_token;
        if !self.ready {
            queue.hold();
        }
        queue.tracks(&self.tracks, self.tapped_token);
        let start = match self.log.newest_key() {
            Some(key) => Some(key),
            None if !self.log.has_video() => Some(self.log.base()),
            None => None,
        };
        // What an earlier publisher has left would not go together with these tracks; nor what those
        // who were told of the end had.
        let is_over = matches!(self.state, StreamState::Grace { .. }) && !self.ready;
        let start = start.filter(|_| !is_over);
        let token = self.tapped_token;
        for entry in start.into_iter().flat_map(|start| self.log.from(start)) {
            if entry.publisher == token {
                queue.frame(&entry.frame);
            }
        }
        self.taps.push((self.last_subscription, queue));
        self.last_subscription
    }

    /// Hands out frames no more.
    pub(crate) fn untap(&mut self, id: u64) {
        self.taps.retain(|(known, _)| *known != id);
    }

    /// The publisher has described itself: `body` is an AMF0 script data body without
    /// `@setDataFrame`. `at_ms` is where on the time line it did.
    pub(crate) fn set_metadata(&mut self, body: Bytes, at_ms: i64, arrival: Instant) {
        if self.tracks.metadata.as_ref() == Some(&body) {
            return;
        }
        let mut tracks = TrackSet::clone(&self.tracks);
        tracks.metadata = Some(body.clone());
        let dts = Ticks::from_millis(at_ms, TimeBase::MILLIS);
        self.reconfigure(tracks, TrackId::data(), dts, body, arrival);
    }

    /// The publisher has said which kinds of tracks it will send.
    pub(crate) fn announce(&mut self, video: bool, audio: bool) {
        if let Some(publisher) = &mut self.publisher {
            publisher.announce(video, audio);
        }
    }

    /// A track has (another) configuration. Frames of it may follow.
    pub(crate) fn set_track(&mut self, track: Track, at_ms: i64, arrival: Instant) {
        let track = match &mut self.silence {
            Some(silence) => silence.track(track),
            None => Some(track),
        };
        if let Some(track) = track {
            self.configure(track, at_ms, arrival);
        }
    }

    fn configure(&mut self, track: Track, at_ms: i64, arrival: Instant) {
        if let Some(publisher) = &mut self.publisher {
            publisher.show(track.id);
        }
        if self.tracks.get(track.id).is_some_and(|known| **known == track) {
            return;
        }
        let mut tracks = TrackSet::clone(&self.tracks);
        let (id, config) = (track.id, track.config.clone());
        let dts = Ticks::from_millis(at_ms, track.time_base);
        tracks.tracks.retain(|known| known.id != id);
        tracks.tracks.push(Arc::new(track));
        tracks.tracks.sort_by_key(|track| track.id);
        self.reconfigure(tracks, id, dts, config, arrival);
    }

    /// Appends a frame. Its track must have been set.
    pub(crate) fn push(&mut self, mut frame: Frame) {
        if frame.kind == FrameKind::Delta && self.is_leading(&frame) {
            frame.kind = FrameKind::Leading;
        }
        if !self.admit(&frame) {
            return;
        }
        // Of several tracks one may lie behind.
        let before = self.newest.map_or(i64::MIN, |(dts, _)| dts);
        self.newest = Some((before.max(frame.dts.millis()), frame.arrival));
        if frame.track.kind == TrackKind::Video && frame.track.index == 0 {
            self.fps.count(frame.arrival);
            self.keys.count(frame.is_key(), frame.dts.millis());
        }
        self.frames += 1;
        match &mut self.silence {
            Some(silence) if !silence.is_over() => {
                let mut steps = Vec::new();
                silence.push(frame, &mut steps);
                for step in steps {
                    match step {
                        Step::Track { track, at_ms, arrival } => {
                            self.configure(track, at_ms, arrival);
                        }
                        Step::Frame(frame) => self.pass(frame),
                    }
                }
            }
            _ => self.pass(frame),
        }
    }

    /// Appends a frame, before which the tracks may have become known.
    fn pass(&mut self, frame: Frame) {
        self.look_for_tracks(frame.arrival);
        self.append(frame);
    }

    /// Appends what was kept back while sound was waited for.
    fn release(&mut self) {
        let held = self.silence.as_mut().map(Silence::release);
        held.into_iter().flatten().for_each(|frame| self.append(frame));
    }

    /// Remembers what the time line had to mend.
    pub(crate) fn set_repairs(&mut self, repairs: Repairs) {
        self.repairs = repairs;
    }

    /// Whether a frame belongs into the log.
    fn admit(&mut self, frame: &Frame) -> bool {
        let Some(publisher) = &mut self.publisher else { return false };
        if self.tracks.origin.is_none()
            && let Some(origin) = publisher.origin(frame)
        {
            // The set is the same: what was told of it stays true.
            Arc::make_mut(&mut self.tracks).origin = Some(origin);
            self.log.push_prologue(self.tracks.clone());
        }
        publisher.admits(frame, self.settings.key_frame_wait)
    }

    fn is_leading(&self, frame: &Frame) -> bool {
        let track = self.tracks.get(frame.track);
        track.is_some_and(|t| inspect::is_skipped_leading(t.codec, &frame.data, &frame.units))
    }

    /// Whether the tracks are known by now.
    fn look_for_tracks(&mut self, now: Instant) {
        if self.ready {
            return;
        }
        let track_wait = self.settings.track_wait;
        if self.publisher.as_ref().is_some_and(|known| known.is_complete(now, track_wait)) {
            self.become_ready();
        }
    }

    /// The tracks are known: the ones of the last publisher that this one has not are dropped.
    fn become_ready(&mut self) {
        let Some(publisher) = &self.publisher else { return };
        if self.tracks.tracks.iter().any(|track| !publisher.has_shown(track.id)) {
            let mut tracks = TrackSet::clone(&self.tracks);
            tracks.tracks.retain(|track| publisher.has_shown(track.id));
            self.adopt(tracks);
        }
        self.settle();
        self.ready = true;
        self.taps.iter().for_each(|(_, queue)| queue.release());
        self.wakers.drain().for_each(|(_, waker)| waker.wake());
    }

    /// Frames that came while tracks were still being added belong to all of them, so that viewers
    /// who begin with these frames need no other beginning after a moment.
    fn settle(&mut self) {
        let (tracks, token) = (&self.tracks, self.last_token);
        let has_grown = |earlier: &&Arc<TrackSet>| {
            earlier.tracks.iter().all(|track| tracks.tracks.contains(track))
        };
        let grown: Vec<_> =
            self.log.prologues().filter(has_grown).map(|earlier| earlier.epoch).collect();
        let of_them =
            |logged: &&mut Logged| logged.publisher == token && grown.contains(&logged.epoch);
        let epoch = tracks.epoch;
        self.log.newest_mut().take_while(of_them).for_each(|logged| logged.epoch = epoch);
    }

    /// Makes `tracks` the current set, and tells it in order by a frame of kind `Config`.
    fn reconfigure(
        &mut self,
        tracks: TrackSet,
        track: TrackId,
        dts: Ticks,
        data: Bytes,
        arrival: Instant,
    ) {
        self.release();
        self.adopt(tracks);
        let kind = FrameKind::Config;
        self.append(Frame { track, kind, dts, cts: 0, arrival, data, units: media::Units::new() });
    }

    fn adopt(&mut self, mut tracks: TrackSet) {
        tracks.epoch = self.tracks.epoch.wrapping_add(1);
        self.tracks = Arc::new(tracks);
        self.log.push_prologue(self.tracks.clone());
        for output in &mut self.outputs {
            output.set_tracks(&self.tracks);
        }
        self.tell_taps();
    }

    fn append(&mut self, frame: Frame) {
        for output in &mut self.outputs {
            output.push(&frame, &self.tracks);
        }
        if self.tapped_token != self.last_token {
            self.tell_taps();
        }
        for (_, queue) in &self.taps {
            queue.frame(&frame);
        }
        let publisher = self.last_token;
        self.log.push(Logged { frame, epoch: self.tracks.epoch, publisher });
    }

    /// Tells the taps which tracks there are, and whose.
    fn tell_taps(&mut self) {
        self.tapped_token = self.last_token;
        for (_, queue) in &self.taps {
            queue.tracks(&self.tracks, self.tapped_token);
        }
    }
}
