//! How long those who read a stream stay when its publisher has left.

mod stage;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use headwater_hub::{
    Delivery, EndReason, Packaging, PacketSink, Publication, Registry, Sessions, StreamSettings,
    Tap, Tapped,
};
use media::FrameKind;
use parking_lot::Mutex;

use stage::{name, picture, pictures, publish};

const STREAM: &str = "a";
const MAX_BYTES: usize = 1 << 20;

struct Server {
    registry: Arc<Registry>,
    sessions: Sessions,
    began: Instant,
}

impl Server {
    fn new(grace: u64, record_grace: u64) -> Self {
        let (grace, record_grace) = (Duration::from_secs(grace), Duration::from_secs(record_grace));
        let registry =
            stage::registry(StreamSettings { grace, record_grace, ..StreamSettings::default() });
        Self { registry, sessions: Sessions::default(), began: Instant::now() }
    }

    /// Publishes a picture.
    fn publish(&mut self) -> Publication {
        let mut publication = publish(&self.registry, &self.sessions, STREAM, self.began);
        publication.announce(true, false, self.began).expect("it publishes");
        publication.set_track(pictures(b""), 0, self.began).expect("it publishes");
        let mut frame = picture(FrameKind::Key, 0, &b"picture"[..]);
        frame.arrival = self.began;
        publication.push(frame).expect("it publishes");
        publication
    }

    fn tap(&self) -> Tap {
        Tap::open(&self.registry.find(&name(STREAM)).expect("the stream"), MAX_BYTES)
    }

    /// Lets so many milliseconds pass since the beginning; whether the stream has ended by that.
    fn pass(&self, millis: u64) -> bool {
        let now = self.began + Duration::from_millis(millis);
        !self.registry.tick(now, |_| false).is_empty()
    }

    fn is_ready(&self) -> bool {
        let waiting = self.registry.watch(&name(STREAM));
        let ready = pin!(waiting.ready());
        ready.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

/// Keeps why its stream ended.
#[derive(Debug, Default)]
struct Viewer(Mutex<Option<EndReason>>);

impl PacketSink for Viewer {
    fn deliver(&self, _: u64, delivery: Delivery) {
        if let Delivery::End(reason) = delivery {
            *self.0.lock() = Some(reason);
        }
    }
}

/// How many frames there are, and why it ended, if it did.
fn drain(tap: &mut Tap) -> (usize, Option<EndReason>) {
    let mut frames = 0;
    while let Poll::Ready(tapped) = tap.poll_next(&mut Context::from_waker(Waker::noop())) {
        match tapped {
            Tapped::Frame(_) => frames += 1,
            Tapped::End(reason) => return (frames, Some(reason)),
            _ => {}
        }
    }
    (frames, None)
}

#[test]
fn recordings_wait_as_long_as_viewers_unless_they_are_told_otherwise() {
    let mut server = Server::new(10, 3600);
    let publication = server.publish();
    let mut tap = server.tap();
    drop(publication);
    assert!(!server.pass(9_900));
    assert_eq!(drain(&mut tap), (1, None));
    assert!(server.pass(10_000));
    assert_eq!(drain(&mut tap), (0, Some(EndReason::StreamEnded)));
}

#[test]
fn recordings_may_end_with_their_publisher_while_viewers_stay() {
    let mut server = Server::new(120, 0);
    let publication = server.publish();
    let mut tap = server.tap();
    let stream = server.registry.find(&name(STREAM)).expect("the stream");
    let viewer = Arc::new(Viewer::default());
    stream.lock().subscribe(Packaging::Ts { websocket: false }, viewer.clone());
    drop(publication);
    assert!(!server.pass(1), "a viewer is there");
    assert_eq!(drain(&mut tap), (1, Some(EndReason::StreamEnded)));
    assert!(!server.is_ready(), "newcomers wait for the next publisher");
    let mut late = server.tap();
    assert_eq!(drain(&mut late), (0, None), "what is over is not read once more");

    let publication = server.publish();
    assert_eq!(drain(&mut late), (1, None));
    assert!(server.is_ready());
    drop(publication);
    assert!(server.pass(120_000));
    assert_eq!(viewer.0.lock().take(), Some(EndReason::StreamEnded));
}

#[test]
fn a_stream_that_nobody_reads_ends_with_its_recordings() {
    let mut server = Server::new(120, 2);
    drop(server.publish());
    assert!(!server.pass(1_900));
    assert!(server.pass(2_000));
    assert!(server.registry.is_empty());
}
