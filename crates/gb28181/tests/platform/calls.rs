//! Media: calls that are answered, refused, not answered, and ended.

use std::time::Duration;

use headwater_gb28181::Peer;
use headwater_gb28181::message::{Message, Method, Request, Status, datagram};
use headwater_gb28181::platform::{
    CallId, CommandError, EndedBy, Event, Failure, Gone, Invite, Playback,
};
use headwater_gb28181::sdp::{Answer, Kind, Transport};
use headwater_gb28181::ssrc::Ssrc;
use proptest::prelude::*;
use testkit::Random;

use super::{CAMERA, PASSWORD, World};

const ANSWER: &str = "v=0\r\nc=IN IP4 192.168.1.9\r\nm=video 15060 RTP/AVP 96\r\n\
                      a=rtpmap:96 PS/90000\r\ny=0200000001\r\n";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn call(world: &mut World, kind: Kind) -> (CallId, Request) {
    let ssrc = world.platform.ssrc(kind != Kind::Live).unwrap();
    let address = "192.0.2.100".parse().unwrap();
    let invite = Invite { kind, address, port: 30000, transport: Transport::Udp, ssrc };
    let call = world.platform.invite(world.id, world.id, &invite, world.now).unwrap();
    (call, world.hear_request(&Method::Invite))
}

fn answered(world: &mut World, kind: Kind) -> (CallId, Request) {
    let (call, invite) = call(world, kind);
    world.respond(&invite, 200, &[], ANSWER);
    world.hear_request(&Method::Ack);
    world.events();
    (call, invite)
}

#[test]
fn a_call_is_answered_acknowledged_and_ended() {
    let mut world = World::registered();
    let (call, invite) = call(&mut world, Kind::Live);
    let subject = format!("{CAMERA}:0200000001,34020000002000000001:0");
    assert_eq!(invite.fields.get("Subject"), Some(&*subject));
    assert_eq!(Answer::parse(&invite.body).unwrap().ssrc, Some(Ssrc(200_000_001)));
    world.respond(&invite, 100, &[], "");
    world.pass(seconds(5));
    assert!(world.hear().is_empty());
    // The Contact names a host that is not reached.
    let contact = [("contact", "<sip:34020000001320000001@10.9.9.9:5060>")];
    world.respond(&invite, 200, &contact, ANSWER);
    let ack = world.hear_request(&Method::Ack);
    assert_eq!(ack.uri, "sip:34020000001320000001@10.9.9.9:5060");
    assert_eq!(ack.fields.address("To").unwrap().tag(), Some("device"));
    assert_eq!(ack.fields.cseq().unwrap().number, 1);
    let [Event::CallAnswered { call: told, answer: Some(answer) }] = &world.events()[..] else {
        panic!()
    };
    assert_eq!((*told, answer.port), (call, 15060));
    // The ACK was lost.
    world.respond(&invite, 200, &contact, ANSWER);
    assert_eq!(world.hear_request(&Method::Ack), ack);
    assert_eq!(world.events(), []);
    world.platform.bye(call, world.now).unwrap();
    let bye = world.hear_request(&Method::Bye);
    assert_eq!(bye.fields.get("Call-ID"), invite.fields.get("Call-ID"));
    assert_eq!(bye.fields.cseq().unwrap().number, 2);
    world.respond(&bye, 200, &[], "");
    assert_eq!(world.events(), [Event::CallEnded { call, by: EndedBy::Platform }]);
    assert_eq!(world.platform.bye(call, world.now), Err(CommandError::NoCall(call)));
}

#[test]
fn a_device_of_another_network_is_told_our_address_there() {
    let mut world = World::registered();
    let local = "10.0.0.1:5060".parse().unwrap();
    world.platform.set_local(world.id, local);
    // It holds when the registration is renewed.
    assert_eq!(world.register(PASSWORD, 3600).status, Status::OK);
    world.events();
    let (call, invite) = answered(&mut world, Kind::Live);
    let contact = "sip:34020000002000000001@10.0.0.1:5060";
    assert_eq!(invite.fields.via().unwrap().sent_by, "10.0.0.1:5060");
    assert_eq!(invite.fields.address("Contact").unwrap().uri, contact);
    world.platform.bye(call, world.now).unwrap();
    let bye = world.hear_request(&Method::Bye);
    assert_eq!(bye.fields.via().unwrap().sent_by, "10.0.0.1:5060");
    // The device has moved: it is somewhere else that it reaches us.
    world.peer = Peer::udp("203.0.113.5:5060".parse().unwrap());
    assert_eq!(world.register(PASSWORD, 3600).status, Status::OK);
    world.platform.device_info(world.id, world.now).unwrap();
    let query = world.hear_request(&Method::Message);
    assert_eq!(query.fields.via().unwrap().sent_by, "192.0.2.100:5060");
}

#[test]
fn answers_without_description_and_tag_are_taken() {
    let mut world = World::registered();
    let (call, mut invite) = call(&mut world, Kind::Live);
    invite.fields.push("X", "y");
    let text = String::from_utf8(invite.to_bytes().to_vec()).unwrap();
    let (_, head) = text.split_once("\r\n").unwrap();
    let (head, _) = head.split_once("Contact").unwrap();
    let answer = format!("SIP/2.0 200 OK\r\n{head}\r\n");
    world.platform.handle_input(world.peer, answer.as_bytes(), world.now).unwrap();
    world.hear_request(&Method::Ack);
    assert_eq!(world.events(), [Event::CallAnswered { call, answer: None }]);
}

#[test]
fn refusals_of_every_kind_are_told() {
    for status in [302, 403, 486, 503, 603] {
        let mut world = World::registered();
        let (call, invite) = call(&mut world, Kind::Live);
        world.respond(&invite, status, &[], "");
        world.hear_request(&Method::Ack);
        world.respond(&invite, status, &[], "");
        world.hear_request(&Method::Ack);
        let events = world.events();
        let [Event::CallFailed { call: told, why: Failure::Refused { status: why, .. } }] =
            &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!((*told, *why), (call, Status(status)));
    }
}

#[test]
fn a_call_that_nobody_answers_is_taken_back() {
    let mut world = World::registered();
    let (call, invite) = call(&mut world, Kind::Live);
    world.pass(seconds(15));
    assert_eq!(world.events(), [Event::CallFailed { call, why: Failure::NoAnswer }]);
    let heard = world.hear();
    let methods: Vec<_> = heard
        .iter()
        .map(|message| match message {
            Message::Request(request) => request.method.name(),
            Message::Response(_) => "",
        })
        .collect();
    assert_eq!(methods, ["INVITE", "INVITE", "INVITE", "INVITE", "CANCEL"]);
    // The answer was late: it is ended as it begins.
    world.respond(&invite, 200, &[], ANSWER);
    let late = world.hear();
    let [Message::Request(ack), Message::Request(bye)] = &late[..] else { panic!("{late:?}") };
    assert_eq!((&ack.method, &bye.method), (&Method::Ack, &Method::Bye));
    world.pass(seconds(100));
    assert_eq!(world.events(), []);
}

#[test]
fn a_call_is_given_up_before_its_answer() {
    let mut world = World::registered();
    let (call, invite) = call(&mut world, Kind::Live);
    world.respond(&invite, 180, &[], "");
    world.platform.bye(call, world.now).unwrap();
    assert_eq!(world.events(), [Event::CallEnded { call, by: EndedBy::Platform }]);
    let cancel = world.hear_request(&Method::Cancel);
    world.respond(&cancel, 200, &[], "");
    world.respond(&invite, 487, &[], "");
    world.hear_request(&Method::Ack);
    assert_eq!(world.events(), []);
}

#[test]
fn devices_end_calls() {
    let mut world = World::registered();
    let (call, invite) = answered(&mut world, Kind::Live);
    let mut bye = world.request("BYE", "", "");
    let conversation = invite.fields.get("Call-ID").unwrap();
    let fields: Vec<_> = ["Via", "From", "To", "CSeq"]
        .map(|name| (name, bye.fields.get(name).unwrap().to_owned()))
        .to_vec();
    bye.fields = headwater_gb28181::message::Fields::default();
    fields.iter().for_each(|(name, value)| bye.fields.push(name, value.as_str()));
    bye.fields.push("Call-ID", conversation);
    world.peer = Peer::udp("203.0.113.5:5060".parse().unwrap());
    assert_eq!(world.ask(&bye).status, Status::CALL_DOES_NOT_EXIST);
    // It may move, and hang up from there.
    assert_eq!(world.register(PASSWORD, 3600).status, Status::OK);
    world.events();
    // As another request: this one has been answered.
    bye.fields = headwater_gb28181::message::Fields::default();
    fields.iter().for_each(|(name, value)| bye.fields.push(name, value.replace("z9hG4bK", "x")));
    bye.fields.push("Call-ID", conversation);
    assert_eq!(world.ask(&bye).status, Status::OK);
    assert_eq!(world.events(), [Event::CallEnded { call, by: EndedBy::Device }]);
}

#[test]
fn calls_end_with_their_device() {
    let mut world = World::registered();
    let (first, asked) = answered(&mut world, Kind::Live);
    world.pass(seconds(185));
    let (second, late) = call(&mut world, Kind::Live);
    world.pass(seconds(12));
    let mut events = world.events();
    events.sort_by_key(|event| matches!(event, Event::CallFailed { .. }));
    let device = world.id;
    let gone = Event::Offline { device, why: Gone::Silent };
    let ended = Event::CallEnded { call: first, by: EndedBy::Loss };
    let failed = Event::CallFailed { call: second, why: Failure::Gone };
    assert_eq!(events, [ended, gone, failed]);
    // It comes back, and has noticed nothing: it is told what is over.
    world.hear();
    assert_eq!(world.register(PASSWORD, 3600).status, Status::OK);
    world.events();
    world.pass(seconds(0));
    let bye = world.hear_request(&Method::Bye);
    assert_eq!(bye.fields.get("Call-ID"), asked.fields.get("Call-ID"));
    world.respond(&bye, 481, &[], "");
    world.respond(&late, 200, &[], ANSWER);
    let methods: Vec<_> = world
        .hear()
        .into_iter()
        .map(|message| match message {
            Message::Request(request) => request.method,
            Message::Response(_) => panic!("an answer"),
        })
        .collect();
    assert_eq!(methods, [Method::Ack, Method::Bye]);
    assert_eq!(world.events(), []);
    assert_eq!(world.register(PASSWORD, 3600).status, Status::OK);
    world.pass(seconds(0));
    let again = |message: &Message| match message {
        Message::Request(request) => request.fields.get("Call-ID") == asked.fields.get("Call-ID"),
        Message::Response(_) => false,
    };
    assert!(!world.hear().iter().any(again), "it is told once");
}

#[test]
fn recordings_are_controlled_and_end() {
    let mut world = World::registered();
    let kind = Kind::Playback { start: 1_700_000_000, end: 1_700_000_060 };
    let (call, invite) = answered(&mut world, kind);
    assert!(invite.fields.get("Subject").unwrap().contains(":1200000001,"));
    let device = world.id;
    let mut control = |playback| {
        let command = world.platform.playback(call, playback, world.now).unwrap();
        let info = world.hear_request(&Method::Info);
        world.respond(&info, 200, &[], "");
        assert_eq!(world.events(), [Event::CommandDone { device, command }]);
        String::from_utf8(info.body.to_vec()).unwrap()
    };
    assert_eq!(control(Playback::Play), "PLAY RTSP/1.0\r\nCSeq: 1\r\nRange: npt=now-\r\n\r\n");
    assert_eq!(control(Playback::Pause), "PAUSE RTSP/1.0\r\nCSeq: 2\r\nPauseTime: now\r\n\r\n");
    assert_eq!(
        control(Playback::Scale(0.25)),
        "PLAY RTSP/1.0\r\nCSeq: 3\r\nScale: 0.250000\r\n\r\n"
    );
    assert_eq!(
        control(Playback::Seek(seconds(30))),
        "PLAY RTSP/1.0\r\nCSeq: 4\r\nRange: npt=30-\r\n\r\n"
    );
    assert_eq!(control(Playback::Teardown), "TEARDOWN RTSP/1.0\r\nCSeq: 5\r\n\r\n");
    world.report(
        "MESSAGE",
        &format!(
            "<Notify><CmdType>MediaStatus</CmdType><SN>1</SN><DeviceID>{CAMERA}</DeviceID>\
         <NotifyType>121</NotifyType></Notify>"
        ),
    );
    assert_eq!(world.events(), [Event::MediaEnded { call }]);
}

#[test]
fn over_connections_nothing_is_sent_twice() {
    let peer = Peer::tcp(1, "198.51.100.7:35060".parse().unwrap());
    let mut world = World::registered_at(peer);
    let (call, invite) = call(&mut world, Kind::Live);
    assert!(invite.fields.get("Via").unwrap().starts_with("SIP/2.0/TCP "));
    world.pass(seconds(14));
    assert!(world.hear().is_empty());
    world.respond(&invite, 200, &[], ANSWER);
    world.hear_request(&Method::Ack);
    world.events();
    world.platform.handle_closed(1);
    assert!(world.events().contains(&Event::CallEnded { call, by: EndedBy::Loss }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A device that answers every `INVITE` with 200 until it hears an `ACK`, over a network that
    /// loses half of all.
    #[test]
    fn lost_messages_are_made_up_for(seed: u64) {
        let mut world = World::registered();
        let mut random = Random::new(seed);
        let (call, invite) = call(&mut world, Kind::Live);
        let mut heard = !random.one_in(2);
        let mut acknowledged = false;
        for _ in 0..64 {
            if heard && !acknowledged && !random.one_in(2) {
                world.respond(&invite, 200, &[], ANSWER);
            }
            world.pass(Duration::from_millis(200));
            while let Some((_, bytes)) = world.platform.poll_transmit() {
                let Ok(Some(Message::Request(request))) = datagram(&bytes) else { continue };
                if random.one_in(2) {
                    continue;
                }
                heard |= request.method == Method::Invite;
                acknowledged |= request.method == Method::Ack;
            }
        }
        let is_answer = |event: &&Event| {
            matches!(event, Event::CallAnswered { call: told, .. } if *told == call)
        };
        let answers = world.events().iter().filter(is_answer).count();
        prop_assert!(answers == usize::from(heard), "answered {answers} times, heard {heard}");
        prop_assert_eq!(acknowledged, heard);
    }

    #[test]
    fn whatever_a_registered_device_says_is_survived(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6),
        first in "(MESSAGE|REGISTER|BYE|SIP/2.0 200) [ -~]{0,40}",
        fields in "([a-zA-Z-]{1,8}: [ -~]{0,30}\r\n){0,6}",
        body in "[ -~]{0,60}",
    ) {
        let mut world = World::registered();
        call(&mut world, Kind::Live);
        let text = format!("{first}\r\n{fields}\r\n{body}");
        let _ = world.platform.handle_input(world.peer, text.as_bytes(), world.now);
        let connection = Peer::tcp(9, world.peer.address);
        for piece in &pieces {
            let _ = world.platform.handle_input(world.peer, piece, world.now);
            let _ = world.platform.handle_input(connection, piece, world.now);
        }
        world.platform.handle_closed(9);
        while world.platform.poll_transmit().is_some() {}
        world.pass(Duration::from_secs(4000));
        prop_assert!(!world.platform.is_online(world.id));
        prop_assert_eq!(world.platform.poll_timeout(), None);
    }
}
