//! What the program hears of, and when.

use std::path::Path;

use headwater::Server;
use headwater::events::{Event, Receiver, Segment};

use super::{publish, send, soon};

/// The next segment that is told of.
async fn segment(events: &mut Receiver) -> Segment {
    soon("a segment", async {
        loop {
            if let Some(Event::Segment(segment)) = events.next().await {
                return segment;
            }
        }
    })
    .await
}

#[tokio::test]
async fn segments_are_told_of_when_they_begin_and_when_they_are_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::builder()
        .set("record.hls", folder.path().join("{path}").display())
        .set("stream.record", "hls")
        .set("hls.segment_duration", "1s")
        .start()
        .expect("a server");
    let mut events = server.handle().events();
    let (publisher, track) = publish(server.handle(), "live/me");
    let of = |segment: &Segment| (segment.number, segment.complete);
    // Nobody knows yet how long the first one will be.
    send(&publisher, track, 0..5);
    let first = segment(&mut events).await;
    assert_eq!((of(&first), first.duration.as_millis()), ((0, false), 0));
    assert!(!Path::new(&first.file).exists(), "it is not complete");
    send(&publisher, track, 5..30);
    let complete = segment(&mut events).await;
    assert_eq!((of(&complete), complete.duration.as_millis()), ((0, true), 1000));
    assert_eq!(complete.file, first.file);
    assert!(Path::new(&first.file).metadata().expect("a file").len() > 100);
    let second = segment(&mut events).await;
    assert_eq!(of(&second), (1, false));
    assert_ne!(second.file, first.file);
    drop(publisher);
    soon("it stops", server.shutdown()).await;
    assert_eq!(of(&segment(&mut events).await), (1, true));
    let rest = async {
        while let Some(event) = events.next().await {
            assert!(!matches!(event, Event::Segment(_)), "{event:?}");
        }
    };
    soon("nothing follows", rest).await;
}
