//! Streams and their publishers, waiting and reading viewers against a model that says what must
//! become of each of them, over random histories.

use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use headwater_hub::{
    Delivery, Dialect, EndReason, Identity, Kind, Packaging, PacketSink, Protocol, Publication,
    PublishError, Registry, Role, SecondPublisher, Session, Sessions, Stream, StreamName,
    StreamSettings, StreamState, Waiting,
};
use media::{Codec, Details, Frame, FrameKind, TimeBase, Track, TrackId, Units};
use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;

const GRACE: Duration = Duration::from_secs(5);

/// Two streams: the first refuses a second publisher, the second lets it take over.
const NAMES: [&str; 2] = ["refuses", "yields"];

/// What happens. Indices count those who are there, and wrap around.
#[derive(Debug, Clone)]
enum Step {
    Publish {
        name: usize,
        first_timestamp: u32,
    },
    Push {
        publisher: usize,
    },
    Unpublish {
        publisher: usize,
    },
    Watch {
        name: usize,
    },
    Forget {
        watcher: usize,
    },
    /// A watcher becomes a reader, if its stream is ready.
    Join {
        watcher: usize,
    },
    Quit {
        reader: usize,
    },
    Wait {
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_usize, any::<u32>())
            .prop_map(|(name, first_timestamp)| Step::Publish { name, first_timestamp }),
        6 => any::<usize>().prop_map(|publisher| Step::Push { publisher }),
        2 => any::<usize>().prop_map(|publisher| Step::Unpublish { publisher }),
        3 => (0..2_usize).prop_map(|name| Step::Watch { name }),
        1 => any::<usize>().prop_map(|watcher| Step::Forget { watcher }),
        4 => any::<usize>().prop_map(|watcher| Step::Join { watcher }),
        1 => any::<usize>().prop_map(|reader| Step::Quit { reader }),
        4 => (0..4_000_u64).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// What a reader was given.
#[derive(Default)]
struct Diary {
    times: Vec<i64>,
    ends: Vec<EndReason>,
    /// Something came after the end.
    haunted: bool,
}

#[derive(Default)]
struct Sink(StdMutex<Diary>);

impl PacketSink for Sink {
    fn deliver(&self, _: u64, delivery: Delivery) {
        let mut diary = self.0.lock().expect("nobody panicked");
        diary.haunted |= !diary.ends.is_empty();
        match delivery {
            Delivery::Prologue(_) => {}
            Delivery::Packets(packets) => diary.times.extend(packets.iter().map(|p| p.dts_ms)),
            Delivery::End(reason) => diary.ends.push(reason),
        }
    }
}

struct Publisher {
    name: usize,
    publication: Publication,
    session: Arc<Session>,
    timestamp: u32,
    /// The latest time that it has told the stream.
    seen: Instant,
    superseded: bool,
}

struct Watcher {
    name: usize,
    waiting: Waiting,
}

struct Reader {
    name: usize,
    stream: Arc<Mutex<Stream>>,
    subscription: u64,
    sink: Arc<Sink>,
    ended: bool,
}

/// What a stream must be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The registry does not know it.
    Absent,
    /// It is waited for.
    Idle,
    Live,
    Grace {
        since: Instant,
    },
}

struct World {
    registry: Arc<Registry>,
    sessions: Sessions,
    now: Instant,
    publishers: Vec<Publisher>,
    watchers: Vec<Watcher>,
    readers: Vec<Reader>,
    expected: [Expected; 2],
}

impl World {
    fn new() -> Self {
        let settings = |second_publisher| {
            Arc::new(StreamSettings { second_publisher, grace: GRACE, ..StreamSettings::default() })
        };
        let refuses = settings(SecondPublisher::Refuse);
        let yields = settings(SecondPublisher::Takeover);
        let settings_for = move |name: &StreamName| {
            if name.as_str().ends_with(NAMES[0]) { refuses.clone() } else { yields.clone() }
        };
        Self {
            registry: Registry::new(Arc::new(settings_for), usize::MAX),
            sessions: Sessions::default(),
            now: Instant::now(),
            publishers: Vec::new(),
            watchers: Vec::new(),
            readers: Vec::new(),
            expected: [Expected::Absent; 2],
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Publish { name, first_timestamp } => self.publish(name, first_timestamp),
            Step::Push { publisher } => self.push(publisher),
            Step::Unpublish { publisher } => self.unpublish(publisher),
            Step::Watch { name } => {
                let waiting = self.registry.watch(&stream_name(name));
                self.watchers.push(Watcher { name, waiting });
                if self.expected[name] == Expected::Absent {
                    self.expected[name] = Expected::Idle;
                }
            }
            Step::Forget { watcher } => {
                if let Some(watcher) = pick(&mut self.watchers, watcher) {
                    drop(watcher.waiting);
                    self.forget_if_unused(watcher.name);
                }
            }
            Step::Join { watcher } => self.join(watcher),
            Step::Quit { reader } => {
                if let Some(reader) = pick(&mut self.readers, reader) {
                    reader.stream.lock().unsubscribe(reader.subscription);
                    reader.check();
                }
            }
            Step::Wait { millis } => self.wait(Duration::from_millis(millis)),
        }
    }

    fn publish(&mut self, name: usize, timestamp: u32) {
        let kind = Kind { protocol: Protocol::Rtmp, role: Role::Pub };
        let session = self.sessions.open(kind, None, SystemTime::now());
        let outcome =
            self.registry.publish(&stream_name(name), &session, self.now, SystemTime::now());
        let occupied = self.expected[name] == Expected::Live;
        if occupied && name == 0 {
            assert!(matches!(outcome, Err(PublishError::Occupied(_))), "{outcome:?}");
            return;
        }
        for old in self.publishers.iter_mut().filter(|old| old.name == name) {
            old.superseded = true;
        }
        self.expected[name] = Expected::Live;
        let publication = outcome.expect("the stream is free, or is taken over");
        let (seen, superseded) = (self.now, false);
        let mut new = Publisher { name, publication, session, timestamp, seen, superseded };
        new.publication.announce(true, false, self.now).expect("it publishes");
        new.publication.set_track(track(), 0, self.now).expect("it publishes");
        self.publishers.push(new);
        self.push(self.publishers.len() - 1);
    }

    fn push(&mut self, publisher: usize) {
        let count = self.publishers.len();
        if count == 0 {
            return;
        }
        let publisher = &mut self.publishers[publisher % count];
        let (id, now) = (TrackId::video(0), self.now);
        let timestamp = publisher.timestamp;
        let dts = publisher.publication.timeline().dts(id, timestamp, TimeBase::VIDEO, None, now);
        let frame = Frame {
            track: id,
            kind: FrameKind::Key,
            dts,
            cts: 0,
            arrival: now,
            data: Bytes::from_static(b"\0\0\0\x04abcd"),
            units: Units::new(),
        };
        let outcome = publisher.publication.push(frame);
        assert_eq!(outcome.is_err(), publisher.superseded, "{outcome:?}");
        publisher.timestamp = timestamp.wrapping_add(40);
        publisher.seen = now;
    }

    fn unpublish(&mut self, publisher: usize) {
        let Some(publisher) = pick(&mut self.publishers, publisher) else { return };
        drop(publisher.publication);
        if !publisher.superseded {
            self.expected[publisher.name] = Expected::Grace { since: publisher.seen };
        }
    }

    fn join(&mut self, watcher: usize) {
        let Some(watcher) = pick(&mut self.watchers, watcher) else { return };
        let stream = watcher.waiting.stream().clone();
        let ready = stream.lock().is_ready();
        let expected = self.expected[watcher.name];
        assert_eq!(ready, expected != Expected::Idle, "{expected:?}");
        if ready {
            let sink = Arc::new(Sink::default());
            let packaging = Packaging::Flv { websocket: false, dialect: Dialect::default() };
            let subscription = stream.lock().subscribe(packaging, sink.clone());
            let cached = subscription.packets.iter().map(|packet| packet.dts_ms);
            sink.0.lock().expect("nobody panicked").times.extend(cached);
            let (name, subscription) = (watcher.name, subscription.id);
            self.readers.push(Reader { name, stream, subscription, sink, ended: false });
        }
        drop(watcher.waiting);
        self.forget_if_unused(watcher.name);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        let mut ended = self.registry.tick(self.now, |_| false);
        ended.sort();
        let mut must_end = Vec::new();
        for name in 0..2 {
            if let Expected::Grace { since } = self.expected[name]
                && self.now.saturating_duration_since(since) >= GRACE
            {
                must_end.push(stream_name(name));
                self.expected[name] = Expected::Idle;
                for reader in self.readers.iter_mut().filter(|reader| reader.name == name) {
                    reader.ended = true;
                }
            }
            self.forget_if_unused(name);
        }
        assert_eq!(ended, must_end);
        for reader in self.readers.iter().filter(|reader| reader.ended) {
            reader.check();
        }
        self.readers.retain(|reader| !reader.ended);
    }

    fn forget_if_unused(&mut self, name: usize) {
        let watched = self.watchers.iter().any(|watcher| watcher.name == name);
        if self.expected[name] == Expected::Idle && !watched {
            self.expected[name] = Expected::Absent;
        }
    }

    fn check(&self) {
        for (name, shown_name) in NAMES.iter().enumerate() {
            let stream = self.registry.find(&stream_name(name));
            let got = match stream.as_ref().map(|stream| stream.lock().state()) {
                None => Expected::Absent,
                Some(StreamState::Idle) => Expected::Idle,
                Some(StreamState::Live) => Expected::Live,
                Some(StreamState::Grace { since }) => Expected::Grace { since },
            };
            assert_eq!(got, self.expected[name], "stream {shown_name}");
            let owner = self.publishers.iter().find(|p| p.name == name && !p.superseded);
            let shown = stream.and_then(|stream| stream.lock().publisher().cloned());
            assert_eq!(
                shown.map(|session| session.id().clone()),
                owner.map(|publisher| publisher.session.id().clone())
            );
        }
        for publisher in &self.publishers {
            let told = publisher.session.ending() == Some(EndReason::TakenOver);
            assert_eq!(told, publisher.superseded, "whether it was told that it was replaced");
        }
        self.readers.iter().for_each(Reader::check);
    }

    /// Everybody goes, in no particular order; nothing may be left.
    fn finish(mut self) {
        self.publishers.clear();
        self.watchers.clear();
        self.now += GRACE * 2;
        self.registry.tick(self.now, |_| false);
        for reader in &mut self.readers {
            reader.ended = true;
            reader.check();
        }
        assert!(self.registry.is_empty(), "{:?}", self.registry);
    }
}

impl Reader {
    fn check(&self) {
        let diary = self.sink.0.lock().expect("nobody panicked");
        assert!(diary.times.is_sorted(), "time went back: {:?}", diary.times);
        assert!(!diary.times.is_empty(), "a reader of a live stream got nothing");
        assert_eq!(diary.ends.len(), usize::from(self.ended), "ends: {:?}", diary.ends);
        assert!(!diary.haunted, "something came after the end");
    }
}

fn stream_name(name: usize) -> StreamName {
    StreamName::new("live", NAMES[name], Identity::AppAndName).expect("a name")
}

fn track() -> Track {
    Track {
        id: TrackId::video(0),
        codec: Codec::H264,
        time_base: TimeBase::VIDEO,
        config: Bytes::from_static(&[1, 66, 0, 30, 255]),
        color_info: None,
        enhanced: false,
        details: Details::Unknown,
    }
}

fn pick<T>(list: &mut Vec<T>, index: usize) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(index % list.len()))
}

proptest! {
    #[test]
    fn streams_live_and_end_as_the_model_says(steps in vec(step(), 0..120)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
        world.finish();
    }
}
