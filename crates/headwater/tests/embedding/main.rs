//! The server inside a program, seen from the program.

mod control;
mod events;
mod life;
mod publish;
mod subscribe;

use std::future::Future;
use std::time::Duration;

use headwater::media::{Codec, Frame, Ticks, TimeBase, TrackId, TrackKind};
use headwater::publish::{AccessUnit, FramePublisher, TrackDescription};
use headwater::subscribe::{Event, Options, Subscriber};
use headwater::{Handle, Server};
use testkit::h264::{Picture, Sequence};

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(10);

const SEQUENCE: Sequence = Sequence { width: 64, height: 48, rate: (25, 1), reorders: false };

fn millis(millis: i64) -> Ticks {
    Ticks::new(millis, TimeBase::MILLIS)
}

/// A server that listens nowhere.
fn server() -> Server {
    Server::builder().start().expect("a server")
}

/// Waits for something that is expected to happen.
async fn soon<T>(what: &str, happening: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, happening).await;
    waited.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Waits until a condition holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The picture with this number, a key frame every 25, as MP4 has it.
fn picture(number: u64) -> Vec<u8> {
    let place = number % 25;
    let picture = match place {
        0 => Picture::Key { gop: number / 25 },
        _ => Picture::P { number: place, display: place },
    };
    SEQUENCE.access_unit(picture, None, 0).to_vec()
}

/// The same as a byte stream, with parameter sets before key frames.
fn byte_stream(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if number.is_multiple_of(25) {
        for set in [SEQUENCE.sps(), SEQUENCE.pps()] {
            out.extend([0, 0, 0, 1]);
            out.extend(set);
        }
    }
    out.extend([0, 0, 1]);
    out.extend(&picture(number)[4..]);
    out
}

/// Begins to publish a video track as MP4 has it.
fn publish(handle: &Handle, stream: &str) -> (FramePublisher, TrackId) {
    let publisher = handle.publish(stream).expect("a free stream");
    let track = TrackDescription::new(Codec::H264).config(SEQUENCE.avcc());
    let track = publisher.add_track(track).expect("a track");
    (publisher, track)
}

/// Sends pictures, 40 ms apart.
fn send(publisher: &FramePublisher, track: TrackId, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let pts = millis(i64::try_from(number).expect("a few") * 40);
        publisher.send(AccessUnit::new(track, pts, picture(number))).expect("a good frame");
    }
}

async fn subscribe(handle: &Handle, stream: &str) -> Subscriber {
    let subscribed = handle.subscribe(stream, Options::default());
    soon("the stream is there", subscribed).await.expect("a stream")
}

/// The next event.
async fn next(subscriber: &mut Subscriber) -> Event {
    soon("something happens", subscriber.next()).await.expect("no end")
}

/// The next frame; what else comes before it is passed over.
async fn next_frame(subscriber: &mut Subscriber) -> Frame {
    loop {
        if let Event::Frame(frame) = next(subscriber).await {
            return frame;
        }
    }
}

/// So many frames of a kind.
async fn frames(subscriber: &mut Subscriber, kind: TrackKind, count: usize) -> Vec<Frame> {
    let mut all = Vec::new();
    while all.len() < count {
        let frame = next_frame(subscriber).await;
        if frame.track.kind == kind {
            all.push(frame);
        }
    }
    all
}
