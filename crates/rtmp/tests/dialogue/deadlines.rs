//! Every wait has an end.

use std::time::Duration;

use flv::amf0::Value;
use headwater_rtmp::command::Command;
use headwater_rtmp::message::{Control, Kind, UserEvent};
use headwater_rtmp::server::{Config, Session, StreamId};
use headwater_rtmp::{Error, chunk, client, url};

use crate::wire::{Server, connect, publish};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn of_the_handshake() {
    let clock = testkit::VirtualClock::new();
    let mut session = Session::new(std::sync::Arc::default(), 0, clock.now());
    session.handle_input(&[3], clock.now()).unwrap();
    let at = session.poll_timeout().unwrap();
    assert_eq!(at - clock.now(), 10 * SECOND);
    assert_eq!(session.handle_timeout(clock.now()), Ok(()), "not yet");
    assert_eq!(session.handle_timeout(at), Err(Error::TimedOut("in the handshake")));
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn of_setting_up() {
    let timed_out = Err(Error::TimedOut("waiting for publish or play"));
    let mut server = Server::new(Config::default());
    assert_eq!(server.wait(), (10 * SECOND, timed_out.clone()));
    let mut server = Server::connected();
    assert_eq!(server.wait(), (10 * SECOND, timed_out));
}

#[test]
fn of_setting_up_by_dribbles() {
    let mut server = Server::connected();
    let mut elapsed = Duration::ZERO;
    let error = loop {
        server.clock.advance(9 * SECOND);
        elapsed += 9 * SECOND;
        if let Err(error) = server.session.handle_timeout(server.clock.now()) {
            break error;
        }
        server.command(0, &Command::new("releaseStream", 2.0, Value::Null)).unwrap();
    };
    assert_eq!(error, Error::TimedOut("waiting for publish or play"));
    assert_eq!(elapsed, 36 * SECOND, "the first look after the limit of 30 s");
}

#[test]
fn not_while_the_owner_decides() {
    let mut server = Server::new(Config::default());
    server.command(0, &connect("live")).unwrap();
    assert_eq!(server.session.poll_timeout(), None);
    server.clock.advance(60 * SECOND);
    server.session.accept_connect(server.clock.now()).unwrap();
    server.command(1, &publish("test")).unwrap();
    assert_eq!(server.session.poll_timeout(), None);
    server.clock.advance(60 * SECOND);
    let now = server.clock.now();
    server.session.reject_publish(StreamId(1), "NetStream.Publish.BadName", "no", now).unwrap();
    assert_eq!(server.wait().0, 10 * SECOND, "the next step may begin now");
}

#[test]
fn a_publisher_has_time_after_a_slow_decision() {
    let mut server = Server::connected();
    server.command(1, &publish("test")).unwrap();
    server.clock.advance(60 * SECOND);
    server.session.accept_publish(StreamId(1), server.clock.now()).unwrap();
    assert_eq!(server.wait(), (15 * SECOND / 2, Ok(())));
}

#[test]
fn of_a_silent_publisher_after_a_ping() {
    let mut server = Server::publishing("test");
    assert_eq!(server.wait(), (15 * SECOND / 2, Ok(())));
    let sent = server.sent();
    let ping = Control::parse(sent[0].kind, &sent[0].payload).unwrap();
    assert_eq!(ping, Some(Control::User(UserEvent::PingRequest(7500))));
    assert_eq!(server.wait(), (15 * SECOND / 2, Err(Error::TimedOut("waiting for the publisher"))));
}

#[test]
fn a_ping_answered_is_a_sign_of_life() {
    let mut server = Server::publishing("test");
    for _ in 0..10 {
        assert_eq!(server.wait().1, Ok(()));
        let pings = server.sent().into_iter().filter(|m| m.kind == Kind::UserControl);
        assert_eq!(pings.count(), 1);
        server.message(Kind::UserControl, 0, 0, &[0, 7, 0, 0, 0, 0]).unwrap();
    }
}

#[test]
fn players_are_pinged_for_ever() {
    let mut server = Server::playing("test");
    for _ in 0..100 {
        assert_eq!(server.wait(), (30 * SECOND, Ok(())));
        assert_eq!(server.sent().len(), 1);
    }
}

#[test]
fn after_the_end_of_a_stream() {
    let mut server = Server::publishing("test");
    server.clock.advance(5 * SECOND);
    server.command(1, &Command::new("closeStream", 0.0, Value::Null)).unwrap();
    assert_eq!(server.wait().0, 10 * SECOND);
}

#[test]
fn of_a_client() {
    let clock = testkit::VirtualClock::new();
    let target = || url::Target::parse("rtmp://localhost/live/test").unwrap();
    for session in [
        client::Session::push(target(), client::Config::default(), 0, clock.now()),
        client::Session::pull(target(), client::Config::default(), 0, clock.now()),
    ] {
        let mut session = session;
        let at = session.poll_timeout().unwrap();
        assert_eq!(at - clock.now(), 10 * SECOND);
        assert_eq!(session.handle_timeout(at), Err(Error::TimedOut("in the handshake")));
    }
}

#[test]
fn acknowledgements_come_unasked() {
    let mut server = Server::publishing("test");
    let payload = vec![0; 1_000_000];
    for _ in 0..3 {
        server.message(Kind::Video, 1, 0, &payload).unwrap();
    }
    let acknowledgements = server.sent();
    assert_eq!(acknowledgements.len(), 1);
    assert_eq!(acknowledgements[0].chunk_stream, chunk::CONTROL);
    assert_eq!(acknowledgements[0].kind, Kind::Acknowledgement);
    assert!(server.session.received() > 3_000_000);
}
