//! What real servers do to a client: errors for commands that they do not know, media before its
//! announcement, refusals in many forms.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flv::amf0::{Object, Value};
use headwater_rtmp::Error;
use headwater_rtmp::chunk::{Limits, Reader};
use headwater_rtmp::client::{Config, Event, Session};
use headwater_rtmp::command::{Command, Level};
use headwater_rtmp::handshake;
use headwater_rtmp::message::{Control, Kind, UserEvent};
use headwater_rtmp::url::Target;
use testkit::VirtualClock;

use crate::wire::{message, summary};

/// A client session and a server that says whatever a test wants.
struct Client {
    session: Session,
    clock: VirtualClock,
    reader: Reader,
}

impl Client {
    fn push() -> Self {
        let clock = VirtualClock::new();
        let session = Session::push(target(), Config::default(), 1, clock.now());
        Self::after_handshake(session, clock)
    }

    fn pull() -> Self {
        let clock = VirtualClock::new();
        let session = Session::pull(target(), Config::default(), 1, clock.now());
        Self::after_handshake(session, clock)
    }

    fn after_handshake(mut session: Session, clock: VirtualClock) -> Self {
        let (mut server, mut out) = (handshake::Server::new(2), BytesMut::new());
        let c0c1 = session.poll_transmit().unwrap();
        server.read(&mut &c0c1[..], &mut out).unwrap();
        session.handle_input(&out, clock.now()).unwrap();
        let c2_and_more = session.poll_transmit().unwrap();
        let mut rest = &c2_and_more[..];
        assert!(server.read(&mut rest, &mut out).unwrap());
        let mut client = Self { session, clock, reader: Reader::new(Limits::MEDIA) };
        assert_eq!(client.said_in(rest), ["connect"]);
        client
    }

    /// After the answers to connect and createStream.
    fn starting(mut self) -> Self {
        let ok = Command::status(Level::Status, "NetConnection.Connect.Success", "");
        self.command(0, &Command { name: "_result".into(), transaction: 1.0, ..ok });
        self.command(0, &Command::new("_result", 4.0, Value::Null).with(1.0));
        self
    }

    /// After the answer to publish or play.
    fn running(self, code: &str) -> Self {
        let mut client = self.starting();
        client.command(1, &Command::status(Level::Status, code, ""));
        assert_eq!(client.events(), [Event::Ready { stream: 1 }]);
        client.said();
        client
    }

    fn command(&mut self, stream: u32, command: &Command) {
        self.message(Kind::CommandAmf0, stream, &command.encode());
    }

    fn message(&mut self, kind: Kind, stream: u32, payload: &[u8]) {
        let bytes = message(kind, stream, 0, payload);
        self.session.handle_input(&bytes, self.clock.now()).unwrap();
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn said_in(&mut self, mut input: &[u8]) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(message) = self.reader.read(&mut input).unwrap() {
            match Control::parse(message.kind, &message.payload).unwrap() {
                None => said.push(summary(&message)),
                Some(Control::User(event)) => said.push(format!("{event:?}")),
                Some(_) => {}
            }
        }
        said
    }

    fn said(&mut self) -> Vec<String> {
        let sent: Vec<Bytes> = std::iter::from_fn(|| self.session.poll_transmit()).collect();
        self.said_in(&sent.concat())
    }
}

fn target() -> Target {
    Target::parse("rtmp://localhost/live/key?a=b&c").unwrap()
}

fn error(transaction: f64, code: &str) -> Command {
    let status = Command::status(Level::Error, code, "because");
    Command { name: "_error".into(), transaction, ..status }
}

fn refused(code: &str) -> [Event; 1] {
    [Event::Refused { code: code.into(), description: "because".into() }]
}

#[test]
fn commands_come_in_the_order_that_services_expect() {
    let mut client = Client::push();
    let ok = Command::status(Level::Status, "NetConnection.Connect.Success", "");
    client.command(0, &Command { name: "_result".into(), transaction: 1.0, ..ok });
    assert_eq!(client.said(), ["releaseStream", "FCPublish", "createStream"]);
    client.command(0, &Command::new("_result", 4.0, Value::Null).with(1.0));
    let publish = client.session.poll_transmit().unwrap();
    let key = b"key?a=b&c";
    assert!(publish.windows(key.len()).any(|window| window == key), "the key is verbatim");
    let mut client = Client::push().running("NetStream.Publish.Start");
    client.session.finish().unwrap();
    assert_eq!(client.said(), ["FCUnpublish", "deleteStream"]);

    let mut client = Client::pull().starting();
    let buffer = "SetBufferLength { stream: 1, millis: 3000 }";
    assert_eq!(client.said(), ["createStream", "play", buffer]);
}

#[test]
fn errors_of_what_need_not_be_known_are_nothing() {
    let mut client = Client::push();
    let ok = Command::status(Level::Status, "NetConnection.Connect.Success", "");
    client.command(0, &Command { name: "_result".into(), transaction: 1.0, ..ok });
    client.command(0, &error(2.0, "NetConnection.Call.Failed"));
    client.command(0, &error(3.0, "NetConnection.Call.Failed"));
    assert_eq!(client.events(), []);
    client.command(0, &Command::new("_result", 4.0, Value::Null).with(1.0));
    client.command(0, &error(2.0, "NetConnection.Call.Failed"));
    assert_eq!(client.events(), [], "late errors neither");
}

#[test]
fn refusals_of_every_form() {
    let code = "NetConnection.Connect.Rejected";
    for transaction in [0.0, 1.0] {
        let mut client = Client::push();
        client.command(0, &error(transaction, code));
        assert_eq!(client.events(), refused(code));
    }
    let mut client = Client::push();
    let result = Command { name: "_result".into(), ..error(1.0, code) };
    client.command(0, &result);
    assert_eq!(client.events(), refused(code), "an error in a result");

    let mut client = Client::push().starting();
    client.command(1, &Command::status(Level::Error, "NetStream.Publish.BadName", "because"));
    assert_eq!(client.events(), refused("NetStream.Publish.BadName"));
    let not_ready = Err(Error::NotReady("after its end"));
    assert_eq!(client.session.send_video(0, b"v"), not_ready);

    let mut client = Client::push().running("NetStream.Publish.Start");
    client.command(1, &Command::status(Level::Error, "NetStream.Failed", "because"));
    assert_eq!(client.events(), refused("NetStream.Failed"), "later, too");
}

#[test]
fn media_may_come_before_its_announcement() {
    let mut client = Client::pull().starting();
    client.message(Kind::Video, 1, b"video");
    let video = Event::Video { timestamp: 0, payload: "video".into() };
    assert_eq!(client.events(), [Event::Ready { stream: 1 }, video]);
}

#[test]
fn what_is_for_the_player_is_not_handed_on() {
    let mut client = Client::pull().running("NetStream.Play.Start");
    client.message(Kind::DataAmf0, 1, b"\x02\x00\x11|RtmpSampleAccess\x01\x00\x01\x00");
    let mut info = Object::new();
    info.insert("code", "NetStream.Data.Start");
    let mut status = BytesMut::new();
    for value in [Value::from("onStatus"), Value::Object(info)] {
        value.encode(&mut status);
    }
    client.message(Kind::DataAmf0, 1, &status);
    client.message(Kind::DataAmf0, 1, b"\x02\x00\x0AonMetaData\x05");
    assert!(matches!(client.events()[..], [Event::Data { .. }]));
}

#[test]
fn unknown_and_useless_messages_are_nothing() {
    for mut client in [Client::pull().starting(), Client::push().running("NetStream.Publish.Start")]
    {
        for kind in [Kind::Other(99), Kind::SharedObjectAmf0, Kind::SharedObjectAmf3] {
            client.message(kind, 1, b"?");
        }
        client.command(0, &Command::new("onBWDone", 0.0, Value::Null));
        client.command(0, &Command::new("_result", 77.0, Value::Null));
        assert_eq!(client.events(), []);
    }
    let mut client = Client::push().running("NetStream.Publish.Start");
    client.message(Kind::Audio, 1, b"audio for a publisher");
    assert_eq!(client.events(), []);
}

#[test]
fn pings_are_answered() {
    let mut client = Client::push().running("NetStream.Publish.Start");
    client.message(Kind::UserControl, 0, &[0, 6, 0, 0, 0, 9]);
    assert_eq!(client.said(), [format!("{:?}", UserEvent::PingResponse(9))]);
}

#[test]
fn a_stream_id_must_be_one() {
    for id in [Value::Null, Value::from(-1.0), Value::from(1.5), Value::from(f64::NAN)] {
        let mut client = Client::push();
        let ok = Command::status(Level::Status, "NetConnection.Connect.Success", "");
        client.command(0, &Command { name: "_result".into(), transaction: 1.0, ..ok });
        let created = Command::new("_result", 4.0, Value::Null).with(id);
        let bytes = message(Kind::CommandAmf0, 0, 0, &created.encode());
        let error = client.session.handle_input(&bytes, client.clock.now());
        assert_eq!(error, Err(Error::Malformed { what: "stream id" }));
    }
}

#[test]
fn a_silent_server_is_left() {
    let mut client = Client::pull().running("NetStream.Play.Start");
    let at = client.session.poll_timeout().unwrap();
    assert_eq!(at - client.clock.now(), Duration::from_secs(30));
    assert_eq!(client.session.handle_timeout(at), Err(Error::TimedOut("waiting for media")));
    let client = Client::push().running("NetStream.Publish.Start");
    assert_eq!(client.session.poll_timeout(), None, "servers have nothing to say to publishers");
}
