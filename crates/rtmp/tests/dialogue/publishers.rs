//! Publishing: the order of messages, decisions that take time, several streams, every way to end.

use bytes::Bytes;
use flv::amf0::Value;
use headwater_rtmp::client::{self, Config};
use headwater_rtmp::command::Command;
use headwater_rtmp::handshake::Variant;
use headwater_rtmp::message::Kind;
use headwater_rtmp::server::{Event, PublishKind, StreamId};

use crate::wire::{Pair, Server, connect, publish};

const ONE: StreamId = StreamId(1);

#[test]
fn a_publisher_is_led_to_media_however_the_wire_cuts() {
    let expected = [
        Event::Publish { stream: ONE, name: "test?k=v".into(), kind: PublishKind::Live },
        Event::Data { stream: ONE, timestamp: 0, payload: "data".into() },
        Event::Audio { stream: ONE, timestamp: 7, payload: Bytes::from(vec![1; 100_000]) },
        Event::Video {
            stream: ONE,
            timestamp: 0x0100_0000,
            payload: Bytes::from(vec![2; 100_000]),
        },
        Event::StreamEnded { stream: ONE },
    ];
    for handshake in [Variant::Plain, Variant::Digest] {
        for step in [1, 2, 3, 100, 1537, 65_536, usize::MAX] {
            let config = Config { handshake, ..Config::default() };
            let mut pair = Pair::push("rtmp://localhost/live/test?k=v", config, step);
            pair.run();
            assert_eq!(pair.at_client.last(), Some(&client::Event::Ready { stream: 1 }));
            pair.client.send_data(0, b"data").unwrap();
            pair.client.send_audio(7, &[1; 100_000]).unwrap();
            pair.client.send_video(0x0100_0000, &[2; 100_000]).unwrap();
            pair.client.finish().unwrap();
            pair.run();
            let Event::Connect(request) = pair.at_server.remove(0) else { panic!("connect") };
            assert_eq!(
                (request.app.as_str(), request.tc_url.as_str()),
                ("live", "rtmp://localhost/live")
            );
            assert_eq!(pair.at_server, expected, "{handshake:?}, {step} bytes at a time");
        }
    }
}

#[test]
fn a_refused_publisher_is_told_and_never_started() {
    let mut pair = Pair::push("rtmp://localhost/live/test", Config::default(), usize::MAX);
    pair.run_with(|server, event, now| match *event {
        Event::Connect(_) => server.accept_connect(now).unwrap(),
        Event::Publish { stream, .. } => {
            server.reject_publish(stream, "NetStream.Publish.BadName", "in use", now).unwrap();
        }
        _ => {}
    });
    let refused = client::Event::Refused {
        code: "NetStream.Publish.BadName".into(),
        description: "in use".into(),
    };
    assert_eq!(pair.at_client, [refused]);
    assert!(pair.client.send_audio(0, b"a").is_err());
}

#[test]
fn a_refused_connection_is_told() {
    let mut pair = Pair::push("rtmp://localhost/live/test", Config::default(), usize::MAX);
    pair.run_with(|server, _, _| {
        server.reject_connect("NetConnection.Connect.Rejected", "no").unwrap();
    });
    let refused = client::Event::Refused {
        code: "NetConnection.Connect.Rejected".into(),
        description: "no".into(),
    };
    assert_eq!(pair.at_client, [refused]);
}

#[test]
fn what_comes_before_a_decision_waits_for_it() {
    let mut server = Server::new(headwater_rtmp::server::Config::default());
    server.command(0, &connect("live")).unwrap();
    server.command(0, &Command::new("createStream", 2.0, Value::Null)).unwrap();
    server.command(1, &publish("test")).unwrap();
    server.message(Kind::Audio, 1, 5, b"early").unwrap();
    assert!(matches!(server.events()[..], [Event::Connect(_)]));
    assert!(server.sent().is_empty(), "nothing is answered out of order");

    server.session.accept_connect(server.clock.now()).unwrap();
    assert!(matches!(server.events()[..], [Event::Publish { .. }]));
    assert_eq!(server.said(), ["_result NetConnection.Connect.Success", "_result"]);

    server.message(Kind::Video, 1, 6, b"later").unwrap();
    assert_eq!(server.events(), []);
    server.session.accept_publish(ONE, server.clock.now()).unwrap();
    assert_eq!(server.said(), ["NetStream.Publish.Start"]);
    let media = [
        Event::Audio { stream: ONE, timestamp: 5, payload: "early".into() },
        Event::Video { stream: ONE, timestamp: 6, payload: "later".into() },
    ];
    assert_eq!(server.events(), media);
}

#[test]
fn what_came_before_a_refusal_is_dropped() {
    let mut server = Server::connected();
    server.command(1, &publish("test")).unwrap();
    server.message(Kind::Audio, 1, 5, b"early").unwrap();
    server.events();
    let now = server.clock.now();
    server.session.reject_publish(ONE, "NetStream.Publish.BadName", "no", now).unwrap();
    server.message(Kind::Audio, 1, 6, b"late").unwrap();
    assert_eq!(server.events(), []);
    assert_eq!(server.said(), ["NetStream.Publish.BadName"]);
    assert!(server.session.accept_publish(ONE, now).is_err(), "it is decided");

    server.command(1, &publish("other")).unwrap();
    assert!(matches!(server.events()[..], [Event::Publish { .. }]), "it may try again");
}

#[test]
fn a_second_publish_fails_and_the_first_lives() {
    let mut server = Server::publishing("test");
    server.command(1, &publish("other")).unwrap();
    assert_eq!(server.said(), ["NetStream.Publish.BadName"]);
    server.message(Kind::Audio, 1, 5, b"a").unwrap();
    assert!(matches!(server.events()[..], [Event::Audio { .. }]));
}

#[test]
fn every_way_to_end_is_one_end() {
    let stop = || Command::new("publish", 0.0, Value::Null).with(false);
    let unpublish = || Command::new("FCUnpublish", 6.0, Value::Null).with("test");
    let close = || Command::new("closeStream", 0.0, Value::Null);
    let delete = || Command::new("deleteStream", 0.0, Value::Null).with(1.0);
    for commands in [
        vec![stop()],
        vec![unpublish()],
        vec![close()],
        vec![delete()],
        vec![unpublish(), close(), delete()],
    ] {
        let mut server = Server::publishing("test");
        for command in &commands {
            server.command(1, command).unwrap();
        }
        let events = server.events();
        assert_eq!(events, [Event::StreamEnded { stream: ONE }], "{commands:?}");
        server.command(1, &publish("again")).unwrap();
        assert!(matches!(server.events()[..], [Event::Publish { .. }]), "after {commands:?}");
    }
}

#[test]
fn media_under_way_after_the_end_is_dropped() {
    let mut server = Server::publishing("test");
    server.command(1, &Command::new("closeStream", 0.0, Value::Null)).unwrap();
    server.message(Kind::Video, 1, 9, b"v").unwrap();
    assert_eq!(server.events(), [Event::StreamEnded { stream: ONE }]);
}

#[test]
fn unpublish_ends_the_stream_of_that_name() {
    let mut server = Server::publishing("one");
    server.command(0, &Command::new("createStream", 7.0, Value::Null)).unwrap();
    server.command(2, &publish("two")).unwrap();
    server.session.accept_publish(StreamId(2), server.clock.now()).unwrap();
    server.events();
    server.command(0, &Command::new("FCUnpublish", 8.0, Value::Null).with("two")).unwrap();
    assert_eq!(server.events(), [Event::StreamEnded { stream: StreamId(2) }]);
    server.command(0, &Command::new("FCUnpublish", 9.0, Value::Null).with("one?k=v")).unwrap();
    assert_eq!(server.events(), [Event::StreamEnded { stream: ONE }], "the only one left");
}

#[test]
fn waiting_encoders_get_their_answers() {
    let mut server = Server::connected();
    for (transaction, name) in [
        (2.0, "releaseStream"),
        (3.0, "FCPublish"),
        (4.0, "_checkbw"),
        (5.0, "getStreamLength"),
        (6.0, "FCSubscribe"),
        (7.0, "initStream"),
        (8.0, "somethingNew"),
    ] {
        server.command(0, &Command::new(name, transaction, Value::Null).with("test")).unwrap();
        let answers: Vec<_> = server.sent();
        let answered = answers.iter().map(|m| Command::parse(m.kind, &m.payload).unwrap());
        let results = answered.filter(|c| c.name == "_result" && c.transaction == transaction);
        assert_eq!(results.count(), 1, "{name}");
        assert!(answers.iter().all(|m| m.chunk_stream == 3 && m.stream_id == 0), "{name}");
    }
    for name in ["somethingNew", "_result", "_error", "onStatus"] {
        server.command(0, &Command::new(name, 0.0, Value::Null)).unwrap();
        assert!(server.sent().is_empty(), "nobody waits for an answer to {name}");
    }
}

#[test]
fn commands_may_come_as_amf3() {
    let mut server = Server::connected();
    let body = [&[0], &publish("test").encode()[..]].concat();
    server.message(Kind::CommandAmf3, 1, 0, &body).unwrap();
    let event = Event::Publish { stream: ONE, name: "test".into(), kind: PublishKind::Live };
    assert_eq!(server.events(), [event]);
    server.session.accept_publish(ONE, server.clock.now()).unwrap();
    server.message(Kind::DataAmf3, 1, 4, b"\0data").unwrap();
    let data = Event::Data { stream: ONE, timestamp: 4, payload: "data".into() };
    assert_eq!(server.events(), [data]);
}

#[test]
fn aggregates_come_in_parts() {
    let mut server = Server::publishing("test");
    let audio = [8, 0, 0, 1, 0, 0, 10, 0, 0, 0, 0, b'a', 0, 0, 0, 12];
    let video = [9, 0, 0, 1, 0, 0, 30, 0, 0, 0, 0, b'v', 0, 0, 0, 12];
    server.message(Kind::Aggregate, 1, 1000, &[audio, video].concat()).unwrap();
    let parts = [
        Event::Audio { stream: ONE, timestamp: 1000, payload: "a".into() },
        Event::Video { stream: ONE, timestamp: 1020, payload: "v".into() },
    ];
    assert_eq!(server.events(), parts);
}

#[test]
fn empty_messages_and_sample_access_are_no_events() {
    let mut server = Server::publishing("test");
    server.message(Kind::Audio, 1, 0, b"").unwrap();
    server.message(Kind::Video, 1, 0, b"").unwrap();
    server.message(Kind::DataAmf0, 1, 0, b"\x02\x00\x11|RtmpSampleAccess\x01\x00\x01\x00").unwrap();
    assert_eq!(server.events(), []);
}
