//! Playing: golden bytes of the connect reply, the order of messages, notifications, requests.

use bytes::{Bytes, BytesMut};
use flv::amf0::Value;
use headwater_rtmp::chunk::{self, Size};
use headwater_rtmp::client::{self, Config};
use headwater_rtmp::command::Command;
use headwater_rtmp::message::{Control, Kind, UserEvent};
use headwater_rtmp::server::{Event, PlayRequest, StreamId};

use crate::wire::{Pair, Server, connect, play, summary};

const ONE: StreamId = StreamId(1);

#[test]
fn golden_bytes_of_the_connect_reply() {
    let mut server = Server::new(headwater_rtmp::server::Config::default());
    server.command(0, &connect("live")).unwrap();
    server.session.accept_connect(server.clock.now()).unwrap();
    let reply = server.session.poll_transmit().unwrap();
    let expected: [&[u8]; 13] = [
        &[0x02, 0, 0, 0, 0, 0, 4, 5, 0, 0, 0, 0, 0x00, 0x4C, 0x4B, 0x40],
        &[0x02, 0, 0, 0, 0, 0, 5, 6, 0, 0, 0, 0, 0x00, 0x4C, 0x4B, 0x40, 2],
        &[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0x00, 0x00, 0xEA, 0x60],
        &[0x03, 0, 0, 0, 0, 0, 0xBE, 0x14, 0, 0, 0, 0],
        b"\x02\x00\x07_result\x00\x3F\xF0\0\0\0\0\0\0",
        b"\x03\x00\x06fmsVer\x02\x00\x0DFMS/3,0,1,123",
        b"\x00\x0Ccapabilities\x00\x40\x3F\0\0\0\0\0\0",
        b"\x00\x00\x09",
        b"\x03\x00\x05level\x02\x00\x06status",
        b"\x00\x04code\x02\x00\x1DNetConnection.Connect.Success",
        b"\x00\x0Bdescription\x02\x00\x15Connection succeeded.",
        b"\x00\x0EobjectEncoding\x00\0\0\0\0\0\0\0\0",
        b"\x00\x00\x09",
    ];
    assert_eq!(reply, expected.concat());
}

#[test]
fn a_player_is_led_to_media_however_the_wire_cuts() {
    for step in [1, 2, 3, 100, usize::MAX] {
        let mut pair = Pair::pull("rtmp://localhost/live/test?k=v", Config::default(), step);
        pair.run();
        let request =
            PlayRequest { name: "test?k=v".into(), start: -2000.0, duration: -1.0, reset: true };
        assert_eq!(pair.at_server[1], Event::Play { stream: ONE, request });
        assert!(pair.at_server.contains(&Event::SetBufferLength { stream: ONE, millis: 3000 }));
        assert!(pair.at_client.contains(&client::Event::Ready { stream: 1 }));

        // The owner writes media itself.
        let mut media = BytesMut::new();
        for (chunk_stream, kind) in [(chunk::AUDIO, Kind::Audio), (chunk::VIDEO, Kind::Video)] {
            let header = chunk::Header { chunk_stream, kind, stream_id: 1, timestamp: 40 };
            chunk::write_message(&mut media, header, &[&[7; 70_000]], Size::DEFAULT).unwrap();
        }
        pair.at_client.clear();
        for piece in media.chunks(step) {
            pair.client.handle_input(piece, pair.now).unwrap();
            pair.at_client.extend(std::iter::from_fn(|| pair.client.poll_event()));
        }
        let payload = Bytes::from(vec![7; 70_000]);
        let expected = [
            client::Event::Audio { timestamp: 40, payload: payload.clone() },
            client::Event::Video { timestamp: 40, payload },
        ];
        assert_eq!(pair.at_client, expected);

        pair.at_client.clear();
        pair.server.notify_unpublish(ONE).unwrap();
        pair.run();
        let ended = |code: &str| client::Event::Ended { code: code.into() };
        assert_eq!(pair.at_client, [ended("NetStream.Play.UnpublishNotify"), ended("StreamEOF")]);
        pair.client.finish().unwrap();
        pair.run();
        assert_eq!(pair.at_server.last(), Some(&Event::StreamEnded { stream: ONE }));
    }
}

#[test]
fn play_is_answered_in_order() {
    let mut server = Server::connected();
    server.command(1, &play("test")).unwrap();
    server.session.accept_play(ONE, server.clock.now()).unwrap();
    let sent = server.sent();
    let begin = Control::parse(sent[0].kind, &sent[0].payload).unwrap();
    assert_eq!(begin, Some(Control::User(UserEvent::StreamBegin(1))));
    let said: Vec<_> = sent[1..3].iter().map(summary).collect();
    assert_eq!(said, ["NetStream.Play.Reset", "NetStream.Play.Start"]);
    assert!(sent[1..].iter().all(|m| m.stream_id == 1 && m.chunk_stream == chunk::DATA));
    assert_eq!(sent.len(), 3);
}

#[test]
fn no_reset_if_none_is_wanted() {
    for reset in [Value::from(false), Value::from(0.0)] {
        let mut server = Server::connected();
        server.command(1, &play("test").with(-1.0).with(reset)).unwrap();
        server.session.accept_play(ONE, server.clock.now()).unwrap();
        assert_eq!(server.said(), ["NetStream.Play.Start"]);
    }
}

#[test]
fn a_refused_player_is_told_and_may_try_again() {
    let mut server = Server::connected();
    server.command(1, &play("test")).unwrap();
    let now = server.clock.now();
    server.session.reject_play(ONE, "NetStream.Play.StreamNotFound", "no", now).unwrap();
    assert_eq!(server.said(), ["NetStream.Play.StreamNotFound"]);
    server.events();
    server.command(1, &play("other")).unwrap();
    assert!(matches!(server.events()[..], [Event::Play { .. }]));
}

#[test]
fn a_second_play_fails_and_the_first_lives() {
    let mut server = Server::playing("test");
    server.command(1, &play("other")).unwrap();
    assert_eq!(server.said(), ["NetStream.Play.Failed"]);
    assert_eq!(server.events(), []);
    server.command(1, &Command::new("play", 0.0, Value::Null).with(false)).unwrap();
    assert_eq!(server.events(), [Event::StreamEnded { stream: ONE }]);
}

#[test]
fn requests_of_a_player() {
    let request = |name| Command::new(name, 0.0, Value::Null);
    for (command, event) in [
        (
            request("pause").with(true).with(7.0),
            Event::Pause { stream: ONE, on: true, position: 7.0 },
        ),
        (
            request("pauseRaw").with(false).with(8.0),
            Event::Pause { stream: ONE, on: false, position: 8.0 },
        ),
        (request("seek").with(9.0), Event::Seek { stream: ONE, position: 9.0 }),
        (request("receiveAudio").with(false), Event::ReceiveAudio { stream: ONE, on: false }),
        (request("receiveVideo").with(true), Event::ReceiveVideo { stream: ONE, on: true }),
    ] {
        let mut server = Server::connected();
        server.command(1, &command).unwrap();
        assert_eq!(server.events(), [], "{} without play", command.name);
        let mut server = Server::playing("test");
        server.command(1, &command).unwrap();
        assert_eq!(server.events(), [event]);
    }
    let mut server = Server::playing("test");
    server.command(1, &request("pause").with(true)).unwrap();
    server.command(1, &request("pause").with(false)).unwrap();
    assert_eq!(server.said(), ["NetStream.Pause.Notify", "NetStream.Unpause.Notify"]);
}

#[test]
fn enhanced_clients_alone_learn_of_capabilities() {
    let has_caps = |command: &Command| {
        let mut server = Server::new(headwater_rtmp::server::Config::default());
        server.command(0, command).unwrap();
        server.session.accept_connect(server.clock.now()).unwrap();
        let answer = server.sent().pop().unwrap();
        let answer = Command::parse(answer.kind, &answer.payload).unwrap();
        answer.information().unwrap().get("capsEx").is_some()
    };
    assert!(!has_caps(&connect("live")));
    let mut enhanced = connect("live");
    let Value::Object(object) = &mut enhanced.object else { panic!("an object") };
    object.insert("capsEx", 7.0);
    assert!(has_caps(&enhanced));
}

#[test]
fn a_client_is_asked_to_connect_elsewhere() {
    let mut pair = Pair::pull("rtmp://localhost/live/test", Config::default(), usize::MAX);
    pair.run();
    pair.at_client.clear();
    pair.server.request_reconnect(Some("rtmp://other/live"), "maintenance").unwrap();
    pair.run();
    let asked = client::Event::Status {
        code: "NetConnection.Connect.ReconnectRequest".into(),
        description: "maintenance".into(),
    };
    assert_eq!(pair.at_client, [asked]);
}
