//! Bodies are those that `docs/webhooks.md` shows; subscribers miss nothing that they do not hear of.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use config::Config;
use hub::events::{Call, File, Group, Segment};
use hub::{Address, EndReason, Identity, Kind, Protocol, Role, Session, Sessions};
use serde_json::json;

use super::*;
use crate::webhooks::Rules;

const PUBLISHED: Group = Group { inputs: 1, outputs: 0, pushes: 0 };
const WATCHED: Group = Group { inputs: 1, outputs: 1, pushes: 0 };

fn now() -> SystemTime {
    "2026-03-01T12:00:00.25Z".parse::<jiff::Timestamp>().unwrap().into()
}

fn stream() -> StreamName {
    StreamName::new("live", "camera1", Identity::AppAndName).unwrap()
}

fn session(protocol: Protocol, role: Role, url: &str) -> Arc<Session> {
    let peer: SocketAddr = "192.0.2.7:49090".parse().unwrap();
    let session = Sessions::default().open(Kind { protocol, role }, Some(peer), now());
    let (_, raw_query) = url.split_once('?').unwrap_or_default();
    let address = Address {
        url: url.to_owned(),
        app_name: "remote".to_owned(),
        stream_name: "other".to_owned(),
        raw_query: raw_query.to_owned(),
        via: String::new(),
    };
    session.assume(role, address);
    session.set_totals(3405, 3500);
    session
}

fn joined(session: &Arc<Session>, group: Group) -> Event {
    Event::Joined { session: session.clone(), stream: stream(), group }
}

fn left(session: &Arc<Session>, group: Group, reason: EndReason) -> Event {
    Event::Left { session: session.clone(), stream: stream(), group, reason }
}

/// The example of a notification in the documentation.
fn documented(name: &str) -> Value {
    let pages = include_str!("../../../../docs/webhooks.md");
    let example = pages.split(&format!("\n`{name}`")).nth(1).expect(name);
    let example = example.split("```json\n").nth(1).unwrap().split("\n```").next().unwrap();
    serde_json::from_str(example).expect(name)
}

fn check(event: &Event, expected: &str) {
    let Body { name, body, .. } = Bodies::new("1".into(), Path::new("/var/lib/headwater"))
        .event(event, now())
        .expect(expected);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((name, &body), (expected, &documented(expected)));
}

#[test]
fn sessions_are_told_of_as_documented() {
    let publisher = session(Protocol::Rtmp, Role::Pub, "rtmp://media.example/live/camera1?a=b");
    check(&joined(&publisher, PUBLISHED), "on_pub_start");
    let viewers = Group { inputs: 0, outputs: 1, pushes: 0 };
    check(&left(&publisher, viewers, EndReason::PeerClosed), "on_pub_stop");
    let viewer = session(Protocol::Flv, Role::Sub, "http://media.example/live/camera1.flv");
    check(&joined(&viewer, WATCHED), "on_sub_start");
    check(&left(&viewer, PUBLISHED, EndReason::TooSlow), "on_sub_stop");
    check(
        &Event::Connected {
            session: session(Protocol::Rtmp, Role::PubSub, "rtmp://media.example/live"),
            app: "live".to_owned(),
            flash_ver: "FMLE/3.0".to_owned(),
            tc_url: "rtmp://media.example/live".to_owned(),
        },
        "on_rtmp_connect",
    );
}

#[test]
fn relays_are_told_of_as_documented() {
    let pull = session(Protocol::Rtsp, Role::Pull, "rtsp://admin:secret@camera.example/main");
    check(&joined(&pull, PUBLISHED), "on_relay_pull_start");
    let reason = EndReason::Timeout("no packet");
    check(&left(&pull, Group::default(), reason), "on_relay_pull_stop");
    let push = session(Protocol::Rtmp, Role::Push, "rtmp://cdn.example/app/***");
    check(&joined(&push, WATCHED), "on_relay_push_start");
    check(&left(&push, PUBLISHED, EndReason::StreamEnded), "on_relay_push_stop");
}

#[test]
fn devices_are_told_of_as_documented() {
    let device: DeviceId = "34020000001320000001".into();
    let channel: DeviceId = "34020000001320000002".into();
    let address = "192.0.2.7:5060".parse().unwrap();
    let online = Event::DeviceOnline { device: device.clone(), address, transport: "UDP" };
    check(&online, "on_device_online");
    let reason = "it has left".to_owned();
    check(&Event::DeviceOffline { device: device.clone(), reason }, "on_device_offline");
    let alarm = Event::DeviceAlarm {
        device: device.clone(),
        source: channel.clone(),
        time: "2026-03-01T20:00:00".to_owned(),
        text: "motion".to_owned(),
    };
    check(&alarm, "on_device_alarm");
    let app = format!("gb/{device}");
    let stream = StreamName::new(&app, &channel, Identity::AppAndName).unwrap();
    let call = Call { stream, device, channel, recording: false };
    check(&Event::CallStarted(call.clone()), "on_device_call_start");
    let reason = "nobody wants it any more".to_owned();
    check(&Event::CallEnded { call, reason }, "on_device_call_stop");
}

#[test]
fn streams_and_files_are_told_of_as_documented() {
    check(&Event::StreamStarted(stream()), "on_stream_start");
    check(&Event::StreamEnded(stream()), "on_stream_stop");
    let mut file = File {
        stream: stream(),
        format: "flv",
        path: "record/live/camera1-1772366400.flv".to_owned(),
        bytes: 0,
        duration: Duration::ZERO,
    };
    check(&Event::FileBegun(file.clone()), "on_record_start");
    (file.bytes, file.duration) = (713_085, Duration::from_millis(12_480));
    check(&Event::FileCompleted(file), "on_record_stop");
    let mut segment = Segment {
        stream: stream(),
        complete: true,
        file: "record/camera1/camera1-1772366400-7.ts".to_owned(),
        live_playlist: "record/camera1/playlist.m3u8".to_owned(),
        record_playlist: "record/camera1/record.m3u8".to_owned(),
        number: 7,
        duration: Duration::from_secs(3),
    };
    check(&Event::Segment(segment.clone()), "on_hls_make_ts");
    (segment.complete, segment.duration) = (false, Duration::ZERO);
    let bodies = Bodies::new("1".into(), Path::new("/"));
    let opened = bodies.event(&Event::Segment(segment), now()).unwrap().body;
    let opened: Value = serde_json::from_slice(&opened).unwrap();
    assert_eq!((&opened["event"], &opened["duration"]), (&json!("open"), &json!(0.0)));
}

#[test]
fn the_server_is_told_of_as_documented() {
    let mut info = documented("on_server_start");
    info.as_object_mut().unwrap().remove("time");
    let body = Bodies::server_started(info, now());
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), documented("on_server_start"));
    let body = Bodies::new("1".into(), Path::new("/")).update(&[], now());
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), documented("on_update"));
}

#[test]
fn where_names_alone_count_clients_keep_their_application() {
    let name = StreamName::new("live", "camera1", Identity::NameOnly).unwrap();
    let bodies = Bodies::new("1".into(), Path::new("/"));
    for (role, app) in [(Role::Pub, "remote"), (Role::Pull, "")] {
        let session = session(Protocol::Rtmp, role, "rtmp://h/remote/camera1");
        let event = Event::Joined { session, stream: name.clone(), group: PUBLISHED };
        let body = bodies.event(&event, now()).unwrap().body;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["app_name"], &body["stream_name"]), (&json!(app), &json!("camera1")));
    }
}

#[test]
fn a_session_without_a_role_is_not_told_of() {
    let bodies = Bodies::new("1".into(), Path::new("/"));
    let nobody = session(Protocol::Rtmp, Role::PubSub, "rtmp://h/live");
    assert!(bodies.event(&joined(&nobody, PUBLISHED), now()).is_none());
}

fn feed() -> Arc<Feed> {
    Feed::new("1".into(), Webhooks::new(Rules::from_config(&Config::default())))
}

async fn number(subscription: &mut Subscription) -> u64 {
    match subscription.next().await {
        Some(Item::Told(told)) => told.number,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn subscribers_get_what_is_kept_and_what_follows() {
    let feed = feed();
    feed.observe(&Event::StreamStarted(stream()));
    feed.tell_update(Vec::new());
    let mut all = feed.subscribe(Filter { updates: true, ..Filter::default() });
    let mut calm = feed.subscribe(Filter::default());
    assert_eq!((number(&mut all).await, number(&mut calm).await), (1, 1));
    feed.tell_update(Vec::new());
    feed.tell_update(Vec::new());
    assert_eq!(number(&mut all).await, 4, "the newest update alone");
    feed.observe(&Event::StreamEnded(stream()));
    assert_eq!((number(&mut all).await, number(&mut calm).await), (5, 5));
    drop(feed);
    assert_eq!((all.next().await, calm.next().await), (None, None));
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_what_is_missed_is_counted() {
    let feed = feed();
    let mut slow = feed.subscribe(Filter::default());
    let count = u64::try_from(KEPT).unwrap() + 10;
    (0..count).for_each(|_| feed.observe(&Event::StreamStarted(stream())));
    assert_eq!(slow.next().await, Some(Item::Missed(10)));
    assert_eq!(number(&mut slow).await, 11);
    let mut late = feed.subscribe(Filter { after: Some(4), ..Filter::default() });
    assert_eq!(late.next().await, Some(Item::Missed(6)));
    assert_eq!(number(&mut late).await, 11);
    let mut back = feed.subscribe(Filter { after: Some(count - 1), ..Filter::default() });
    assert_eq!(number(&mut back).await, count);
    let mut stranger = feed.subscribe(Filter { after: Some(9999), ..Filter::default() });
    assert_eq!(number(&mut stranger).await, 11, "a number that was never given");
}

#[tokio::test]
async fn a_filter_leaves_other_streams_out_and_a_stream_ends_with_its_reader() {
    let feed = feed();
    let mut one = feed.stream(Filter { stream: Some("live/other".into()), ..Filter::default() });
    feed.observe(&Event::StreamStarted(stream()));
    let other = StreamName::new("live", "other", Identity::AppAndName).unwrap();
    feed.observe(&Event::StreamStarted(other));
    let next = std::future::poll_fn(|cx| {
        futures_core::Stream::poll_next(std::pin::Pin::new(&mut one), cx)
    });
    let Some(Item::Told(told)) = next.await else { panic!("nothing is told") };
    assert_eq!(told.number, 2);
    drop(one);
    let is_over = async {
        while feed.live.receiver_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), is_over).await.unwrap();
}
