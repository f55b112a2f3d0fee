//! Frames of a stream, for the program.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use headwater::media::{FrameKind, TrackKind};
use headwater::subscribe::{Event, Options, SubscribeError};
use headwater::{EndReason, Handle, Role, Server};

use super::{frames, next, next_frame, picture, publish, send, server, soon, subscribe, until};

fn options(wait: Duration, max_bytes: usize) -> Options {
    Options { wait, max_bytes }
}

#[tokio::test]
async fn frames_are_shared_and_come_from_the_newest_key_frame_on() {
    let server = server();
    let (publisher, track) = publish(server.handle(), "live/me");
    send(&publisher, track, 0..30);
    let mut one = subscribe(server.handle(), "live/me").await;
    let mut other = subscribe(server.handle(), "live/me").await;
    assert!(matches!(next(&mut one).await, Event::Tracks(tracks) if tracks.tracks.len() == 1));
    let (one, other) = (next_frame(&mut one).await, next_frame(&mut other).await);
    assert_eq!(one.data, picture(25));
    assert_eq!(one.data.as_ptr(), other.data.as_ptr(), "the bytes are copied");
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_waited_for() {
    let server = server();
    let handle = server.handle().clone();
    let begun = Instant::now();
    let wait = Duration::from_millis(200);
    let absent = handle.subscribe("live/late", options(wait, 1 << 20)).await;
    assert!(matches!(absent, Err(SubscribeError::Absent(_))), "{absent:?}");
    assert!(begun.elapsed() >= wait);
    assert!(matches!(
        handle.subscribe("..", Options::default()).await,
        Err(SubscribeError::Name(_))
    ));
    until("nobody waits any more", || handle.sessions().is_empty()).await;

    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { subscribe(&handle, "live/late").await }
    });
    until("somebody waits", || handle.sessions().len() == 1).await;
    let (publisher, track) = publish(&handle, "live/late");
    send(&publisher, track, 0..1);
    // Sound was not announced: the tracks are known with the first frame.
    let mut subscriber = soon("the stream", waiting).await.expect("no panic");
    assert_eq!(next_frame(&mut subscriber).await.data, picture(0));
}

#[tokio::test]
async fn a_subscriber_is_a_viewer() {
    let server = server();
    let handle = server.handle();
    let (publisher, track) = publish(handle, "live/me");
    send(&publisher, track, 0..1);
    let mut subscriber = subscribe(handle, "live/me").await;
    assert_eq!(subscriber.session_id(), Some("CUSTOMIZESUB1"));
    assert_eq!(handle.stream("live/me").map(|stream| stream.viewers), Some(1));
    next_frame(&mut subscriber).await;
    let sessions = handle.sessions();
    let session = sessions.iter().find(|session| session.role == Role::Sub).expect("a viewer");
    assert_eq!(session.written_bytes, picture(0).len() as u64);

    handle.kick("CUSTOMIZESUB1");
    // It takes no part any more, although the program does not read.
    until("it has left", || handle.stream("live/me").is_some_and(|s| s.viewers == 0)).await;
    let ended = next(&mut subscriber).await;
    assert!(matches!(ended, Event::Ended(EndReason::Kicked)), "{ended:?}");
    assert!(soon("the end", subscriber.next()).await.is_none());

    let again = subscribe(handle, "live/me").await;
    drop(again);
    until("it has left", || handle.stream("live/me").is_some_and(|s| s.viewers == 0)).await;
}

#[tokio::test]
async fn viewers_are_limited_inside_the_program_too() {
    let server = Server::builder().set("limits.viewers_per_stream", 1).start().expect("a server");
    let (publisher, track) = publish(server.handle(), "live/full");
    send(&publisher, track, 0..1);
    let _first = subscribe(server.handle(), "live/full").await;
    let second = server.handle().subscribe("live/full", Options::default()).await;
    let Err(SubscribeError::Refused(text)) = second else { panic!("{second:?}") };
    assert!(text.contains("already has 1 viewers"), "{text}");
}

#[tokio::test]
async fn a_slow_reader_loses_frames_is_told_and_goes_on_with_a_key_frame() {
    let server = server();
    let (publisher, track) = publish(server.handle(), "live/slow");
    send(&publisher, track, 0..1);
    let room = picture(0).len() + 10 * picture(1).len();
    let slow = server.handle().subscribe("live/slow", options(Duration::ZERO, room));
    let mut slow = slow.await.expect("a stream");
    send(&publisher, track, 1..40);
    let kept = frames(&mut slow, TrackKind::Video, 1).await;
    assert_eq!(kept[0].data, picture(0));
    // There is room again in the middle of a GOP.
    let mut count = 1;
    send(&publisher, track, 40..41);
    let lost = loop {
        match next(&mut slow).await {
            Event::Frame(_) => count += 1,
            Event::Lost(lost) => break lost,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lost + count, 40, "each frame came or was told to be lost");
    send(&publisher, track, 41..51);
    let frame = next_frame(&mut slow).await;
    assert_eq!((frame.kind, frame.data), (FrameKind::Key, picture(50).into()));
}

#[tokio::test]
async fn a_change_of_the_publisher_and_the_end_are_told() {
    let server = Server::builder().set("stream.grace", "1s").start().expect("a server");
    let (first, track) = publish(server.handle(), "live/again");
    send(&first, track, 0..2);
    let mut subscriber = subscribe(server.handle(), "live/again").await;
    frames(&mut subscriber, TrackKind::Video, 2).await;
    drop(first);
    let (second, track) = publish(server.handle(), "live/again");
    send(&second, track, 0..2);
    let changed = next(&mut subscriber).await;
    assert!(matches!(changed, Event::PublisherChanged), "{changed:?}");
    assert!(matches!(next(&mut subscriber).await, Event::Tracks(_)));
    let frame = next_frame(&mut subscriber).await;
    assert!(frame.dts.millis() > 540, "time goes on");
    drop(second);
    let ended = loop {
        match next(&mut subscriber).await {
            Event::Ended(reason) => break reason,
            Event::Frame(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ended, EndReason::StreamEnded);
}

#[tokio::test]
async fn every_stream_is_handed_to_a_function_from_its_first_frame_on() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::builder()
        .on_stream(move |mut frames| {
            let tell = tell.clone();
            async move {
                let mut count = 0;
                while let Some(event) = frames.next().await {
                    match event {
                        Event::Frame(_) => count += 1,
                        Event::Ended(reason) => {
                            let _ = tell.send((frames.stream().to_string(), count, reason));
                        }
                        _ => {}
                    }
                }
            }
        })
        .start()
        .expect("a server");
    let (one, track) = publish(server.handle(), "live/one");
    send(&one, track, 0..30);
    let (other, track) = publish(server.handle(), "live/other");
    send(&other, track, 0..60);
    assert!(server.handle().streams().iter().all(|stream| stream.viewers == 0));
    soon("the server stops", server.shutdown()).await;
    let mut all = [told.recv().await, told.recv().await].map(|told| told.expect("two streams"));
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let stopped = EndReason::Shutdown;
    assert_eq!(
        all,
        [("live/one".to_owned(), 30, stopped.clone()), ("live/other".to_owned(), 60, stopped)]
    );
}

/// What the function does before it returns its task runs inside of the first stream's beginning.
#[tokio::test]
async fn a_function_may_publish_while_a_stream_begins() {
    let handle = Arc::new(OnceLock::<Handle>::new());
    let known = handle.clone();
    let server = Server::builder()
        .on_stream(move |frames| {
            let copy = (!frames.stream().as_str().ends_with("-copy"))
                .then(|| known.get()?.publish(&format!("{}-copy", frames.stream())).ok())
                .flatten();
            async move {
                if let Some(copy) = copy {
                    copy.ended().await;
                }
            }
        })
        .start()
        .expect("a server");
    handle.set(server.handle().clone()).expect("a fresh cell");
    let _first = publish(server.handle(), "live/me");
    let names: Vec<_> = server.handle().streams().iter().map(|s| s.name.to_string()).collect();
    assert_eq!(names, ["live/me", "live/me-copy"]);
    soon("it stops", server.shutdown()).await;
}
