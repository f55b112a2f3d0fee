//! What the program hears of, and when.

use std::path::Path;

use headwater::Server;
use headwater::events::{Event, Receiver, Segment};
use tokio::net::UdpSocket;

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

#[tokio::test]
async fn devices_are_told_of_when_they_come_raise_alarms_and_go() {
    const CAMERA: &str = "34020000001180000001";
    let server = Server::builder()
        .set("gb28181.listen", "127.0.0.1:0")
        .set("gb28181.open", true)
        .start()
        .expect("a server");
    let mut events = server.handle().events();
    let sip = server.addresses().sip.expect("an address");
    let camera = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    camera.connect(sip).await.expect("a server");
    let say = |number: u32, method: &str, expires: u32, body: &str| {
        let text = format!(
            "{method} sip:34020000002000000001@3402000000 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK{number}\r\n\
             From: <sip:{CAMERA}@3402000000>;tag={number}\r\nTo: <sip:{CAMERA}@3402000000>\r\n\
             Call-ID: {number}\r\nCSeq: {number} {method}\r\nExpires: {expires}\r\n\r\n{body}"
        );
        let camera = &camera;
        async move { camera.send(text.as_bytes()).await.expect("it is sent") }
    };
    say(1, "REGISTER", 3600, "").await;
    let event = soon("it comes", events.next()).await;
    let Some(Event::DeviceOnline { device, address, transport }) = event else {
        panic!("{event:?}");
    };
    assert_eq!((&*device, transport), (CAMERA, "UDP"));
    assert_eq!(address, camera.local_addr().expect("an address"));
    let alarm = format!(
        "<?xml version=\"1.0\"?>\r\n<Notify><CmdType>Alarm</CmdType><SN>7</SN>\
         <DeviceID>{CAMERA}</DeviceID><AlarmPriority>1</AlarmPriority><AlarmMethod>5</AlarmMethod>\
         <AlarmTime>2026-03-01T20:00:00</AlarmTime><AlarmDescription>motion</AlarmDescription>\
         </Notify>"
    );
    say(2, "MESSAGE", 60, &alarm).await;
    let event = soon("it raises an alarm", events.next()).await;
    let Some(Event::DeviceAlarm { device, source, time, text }) = event else {
        panic!("{event:?}");
    };
    assert_eq!([&*device, &*source], [CAMERA, CAMERA]);
    assert_eq!((time.as_str(), text.as_str()), ("2026-03-01T20:00:00", "motion"));
    say(3, "REGISTER", 0, "").await;
    let event = soon("it goes", events.next()).await;
    let Some(Event::DeviceOffline { device, reason }) = event else { panic!("{event:?}") };
    assert_eq!(&*device, CAMERA);
    assert!(!reason.is_empty());
}
