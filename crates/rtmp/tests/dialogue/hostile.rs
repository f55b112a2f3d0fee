//! What kills other servers: media without publish, malformed control messages, endless
//! announcements, noise. A session may end with an error; nothing panics, nothing grows.

use bytes::{Bytes, BytesMut};
use flv::amf0::Value;
use headwater_rtmp::chunk::{self, Size};
use headwater_rtmp::client::{self, Config};
use headwater_rtmp::command::Command;
use headwater_rtmp::message::{Control, Kind, UserEvent};
use headwater_rtmp::server::{Event, Session, StreamId};
use headwater_rtmp::{Error, handshake};
use proptest::prelude::*;
use testkit::{corrupt, split};

use crate::wire::{Server, connect, message, play, publish};

#[test]
fn media_before_publish() {
    for kind in [Kind::Audio, Kind::Video] {
        for stream in [0, 1, 7] {
            let mut server = Server::connected();
            let error = server.message(kind, stream, 0, &[0x17, 0]);
            assert_eq!(error, Err(Error::UnexpectedMedia { stream }));
        }
        let mut server = Server::playing("test");
        let error = server.message(kind, 1, 0, &[0x17, 0]);
        assert_eq!(error, Err(Error::UnexpectedMedia { stream: 1 }));
        assert_eq!(server.session.poll_timeout(), None, "the session is over");
        assert_eq!(server.message(kind, 1, 0, &[0x17, 0]), Ok(()), "and deaf");
    }
}

#[test]
fn data_before_publish_is_nothing() {
    let mut server = Server::connected();
    server.message(Kind::DataAmf0, 0, 0, b"\x02\x00\x01x").unwrap();
    assert_eq!(server.events(), []);
}

#[test]
fn short_control_messages() {
    for (kind, payload) in [
        (Kind::UserControl, &[][..]),
        (Kind::UserControl, &[0]),
        (Kind::UserControl, &[0, 6]),
        (Kind::UserControl, &[0, 6, 1, 2, 3]),
        (Kind::UserControl, &[0, 3, 0, 0, 0, 1]),
        (Kind::SetChunkSize, &[0, 0, 1]),
        (Kind::Abort, &[]),
        (Kind::Acknowledgement, &[1]),
        (Kind::WindowAckSize, &[1, 2]),
        (Kind::SetPeerBandwidth, &[1, 2]),
    ] {
        let error = Server::publishing("test").message(kind, 0, 0, payload);
        assert!(matches!(error, Err(Error::Field(_))), "{kind:?} {payload:?}: {error:?}");
    }
}

#[test]
fn tiny_media_is_handed_over_as_it_is() {
    for payload in [&[0x17][..], &[0x90], &[0x90, b'h', b'v', b'c'], &[0xAF]] {
        let mut server = Server::publishing("test");
        server.message(Kind::Video, 1, 0, payload).unwrap();
        server.message(Kind::Audio, 1, 0, payload).unwrap();
        assert_eq!(server.events().len(), 2);
    }
}

#[test]
fn commands_out_of_order() {
    for command in [publish("x"), play("x"), Command::new("createStream", 2.0, Value::Null)] {
        let mut server = Server::new(headwater_rtmp::server::Config::default());
        let error = server.command(1, &command);
        assert!(matches!(error, Err(Error::OutOfOrder { state: "before connect", .. })));
    }
    let error = Server::connected().command(0, &connect("live"));
    assert!(matches!(error, Err(Error::OutOfOrder { .. })));
    let long = "x".repeat(10_000);
    let mut server = Server::new(headwater_rtmp::server::Config::default());
    let error = server.command(0, &Command::new(&long, 0.0, Value::Null)).unwrap_err();
    assert!(error.to_string().len() < 100, "names are clipped");
}

#[test]
fn decisions_about_nothing() {
    let mut server = Server::publishing("test");
    let now = server.clock.now();
    let one = StreamId(1);
    assert_eq!(server.session.accept_connect(now), Err(Error::NotPending(0)));
    assert_eq!(server.session.accept_publish(one, now), Err(Error::NotPending(1)));
    assert_eq!(server.session.accept_play(one, now), Err(Error::NotPending(1)));
    let nine = StreamId(9);
    assert_eq!(server.session.reject_play(nine, "", "", now), Err(Error::NotPending(9)));
    server.message(Kind::Audio, 1, 0, b"a").unwrap();
    assert_eq!(server.events().len(), 1, "it publishes on");
}

#[test]
fn limit_of_message_streams() {
    let mut server = Server::connected();
    for transaction in 2..30 {
        let create = Command::new("createStream", f64::from(transaction), Value::Null);
        server.command(0, &create).unwrap();
    }
    let said = server.said();
    assert_eq!(said.iter().filter(|said| *said == "_result").count(), 8);
    let failed = said.iter().filter(|said| *said == "_error NetConnection.Call.Failed");
    assert_eq!(failed.count(), 20);
    server.command(77, &publish("x")).unwrap();
    assert_eq!(server.said(), ["NetStream.Publish.BadName"]);
}

#[test]
fn limit_of_what_waits_for_a_decision() {
    let mut server = Server::connected();
    server.command(1, &publish("test")).unwrap();
    let payload = vec![0; 100_000];
    let error = (0..100).find_map(|_| server.message(Kind::Video, 1, 0, &payload).err());
    assert_eq!(error, Some(Error::TooMuchDeferred { limit: 2 << 20 }));
    let mut server = Server::connected();
    server.command(1, &publish("test")).unwrap();
    let error = (0..100_000).find_map(|_| server.message(Kind::Video, 1, 0, &[]).err());
    assert_eq!(error, Some(Error::TooMuchDeferred { limit: 2 << 20 }), "empty ones count, too");
}

#[test]
fn limit_of_answers_that_are_not_taken() {
    let ping = message(Kind::UserControl, 0, 0, &[0, 6, 1, 2, 3, 4]);
    let mut server = Server::connected();
    let error = (0..10_000).find_map(|_| server.input(&ping).err());
    assert_eq!(error, Some(Error::TooMuchOutput { limit: 64 << 10 }));

    let mut server = Server::connected();
    for _ in 0..10_000 {
        server.input(&ping).unwrap();
        let sent = server.sent();
        let pong = Control::parse(sent[0].kind, &sent[0].payload).unwrap();
        assert_eq!(pong, Some(Control::User(UserEvent::PingResponse(0x0102_0304))));
    }
}

#[test]
fn limit_of_messages_before_publish() {
    let mut server = Server::connected();
    let error = server.message(Kind::CommandAmf0, 0, 0, &vec![0; 65_537]);
    assert_eq!(error, Err(Error::MessageTooLong { length: 65_537, limit: 65_536 }));
    let mut server = Server::publishing("test");
    server.message(Kind::Video, 1, 0, &vec![0; 65_537]).unwrap();
    assert_eq!(server.events().len(), 1);
}

/// What a publisher sends, from the first byte to a few frames, as it is recorded on the wire.
fn transcript() -> Bytes {
    let mut out = BytesMut::new();
    let _ = handshake::Client::new(handshake::Variant::Plain, 1, &mut out);
    out.extend_from_slice(&[0; 1536]);
    let mut command = |stream, command: &Command| {
        out.extend_from_slice(&message(Kind::CommandAmf0, stream, 0, &command.encode()));
    };
    command(0, &connect("live"));
    command(0, &Command::new("createStream", 2.0, Value::Null));
    command(1, &publish("test"));
    Control::SetChunkSize(50).write(&mut out, Size::INITIAL);
    let size = Size::new(50).unwrap();
    for (kind, timestamp) in [(Kind::Audio, 0), (Kind::Video, 0x0100_0000), (Kind::DataAmf0, 7)] {
        let header = chunk::Header { chunk_stream: 4, kind, stream_id: 1, timestamp };
        chunk::write_message(&mut out, header, &[b"payload of media".repeat(5).as_slice()], size)
            .unwrap();
    }
    out.freeze()
}

/// Events, bytes and the error that a server makes of these pieces, accepting everything.
fn serve(pieces: &[&[u8]]) -> (Vec<Event>, Vec<u8>, Option<Error>) {
    let now = testkit::VirtualClock::new().now();
    let mut session = Session::new(std::sync::Arc::default(), 1, now);
    let (mut events, mut bytes) = (Vec::new(), Vec::new());
    for piece in pieces {
        let result = session.handle_input(piece, now);
        while let Some(event) = session.poll_event() {
            let decided = match event {
                Event::Connect(_) => session.accept_connect(now),
                Event::Publish { stream, .. } => session.accept_publish(stream, now),
                Event::Play { stream, .. } => session.accept_play(stream, now),
                _ => Ok(()),
            };
            events.push(event);
            if let Err(error) = decided {
                return (events, bytes, Some(error));
            }
        }
        bytes.extend(std::iter::from_fn(|| session.poll_transmit()).flatten());
        if let Err(error) = result {
            return (events, bytes, Some(error));
        }
    }
    (events, bytes, None)
}

#[test]
fn where_the_wire_cuts_changes_nothing() {
    let whole = transcript();
    let (events, _, error) = serve(&[&whole]);
    assert_eq!((events.len(), error), (5, None), "{events:?}");
    // The handshake has its own test; here every position after it.
    let handshake = 1 + 2 * 1536;
    let (head, tail) = whole.split_at(handshake);
    split::everywhere(tail, |pieces| serve(&[&[head], pieces].concat()));
    split::randomly(&whole, 5, 50, serve);
}

#[test]
fn truncated_and_damaged_conversations() {
    let whole = transcript();
    let tail = &whole[1 + 2 * 1536..];
    let mut head = BytesMut::new();
    let _ = handshake::Client::new(handshake::Variant::Plain, 1, &mut head);
    head.extend_from_slice(&[0; 1536]);
    corrupt::truncations(tail, |bytes| {
        let (_, _, error) = serve(&[&head, bytes]);
        assert_eq!(error, None, "an incomplete message is no error");
    });
    corrupt::every_bit(tail, |bytes| drop(serve(&[&head, bytes])));
    corrupt::randomly(tail, 11, 500, |bytes| drop(serve(&[&head, bytes])));
}

#[test]
fn servers_that_talk_nonsense() {
    let now = testkit::VirtualClock::new().now();
    let target = headwater_rtmp::url::Target::parse("rtmp://localhost/live/test").unwrap();
    let (_, said, _) = serve(&[&transcript()]);
    let feed = |bytes: &[u8]| {
        let mut client = client::Session::push(target.clone(), Config::default(), 1, now);
        drop(client.handle_input(bytes, now));
        while client.poll_event().is_some() {}
    };
    feed(&said);
    corrupt::randomly(&said, 3, 300, feed);
    corrupt::every_bit(&said[3073..], |bytes| feed(&[&said[..3073], bytes].concat()));
}

proptest! {
    #[test]
    fn noise_after_the_handshake(noise in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut server = Server::publishing("test");
        drop(server.input(&noise));
        server.events();
    }
}
