//! How devices come and go.

use std::time::Duration;

use auth::Algorithm;
use headwater_gb28181::Peer;
use headwater_gb28181::message::{MAX_HEAD, Status};
use headwater_gb28181::platform::{Event, Gone, Settings};
use testkit::split;

use super::{CAMERA, PASSWORD, World, prove};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_device_registers_and_sets_its_clock() {
    let mut world = World::new();
    let answer = world.register(PASSWORD, 3600);
    assert_eq!(answer.status, Status::OK);
    assert_eq!(answer.fields.get("Expires"), Some("3600"));
    // Beijing is eight hours ahead.
    assert_eq!(answer.fields.get("Date"), Some("2023-11-15T06:13:20.000"));
    let via = answer.fields.get("Via").unwrap();
    assert!(via.contains("rport=35060") && via.contains("received=198.51.100.7"), "{via}");
    let [Event::Registered { device, peer, again: false, version: None, .. }] = world.events()[..]
    else {
        panic!()
    };
    assert_eq!((device, peer), (world.id, world.peer));
    assert!(world.platform.is_online(world.id));
    // Expires: 0 takes it back.
    assert_eq!(world.register(PASSWORD, 0).status, Status::OK);
    assert_eq!(world.events(), [Event::Unregistered { device: world.id }]);
    assert!(!world.platform.is_online(world.id));
}

#[test]
fn sha_256_is_answered_where_it_is_offered() {
    let mut settings: Settings = World::new().platform.settings().clone();
    settings.algorithms = vec![Algorithm::Md5, Algorithm::Sha256];
    let mut world = World::with(settings);
    let first = world.request("REGISTER", "", "");
    let challenged = world.ask(&first);
    assert_eq!(challenged.fields.all("WWW-Authenticate").count(), 2);
    let proof = prove(&challenged, PASSWORD);
    assert!(proof.contains("algorithm=SHA-256"), "{proof}");
    let more = format!("authorization: {proof}\r\nx-gb-ver: 3.0\r\n");
    let second = world.request("REGISTER", &more, "");
    let answer = world.ask(&second);
    // Who does not say how long gets an hour.
    assert_eq!((answer.status, answer.fields.get("Expires")), (Status::OK, Some("3600")));
    assert_eq!(answer.fields.get("X-GB-Ver"), Some("3.0"));
}

#[test]
fn wrong_passwords_old_nonces_and_repetitions_are_refused() {
    let mut world = World::new();
    assert_eq!(world.register("wrong", 3600).status, Status::FORBIDDEN);
    let [Event::RegistrationRefused { why, .. }] = world.events()[..] else { panic!() };
    assert_eq!(why, "its password is wrong");
    let first = world.request("REGISTER", "", "");
    let challenged = world.ask(&first);
    let proof = format!("authorization: {}\r\n", prove(&challenged, PASSWORD));
    // From another address the nonce is worth nothing.
    let second = world.request("REGISTER", &proof, "");
    let home = world.peer;
    world.peer = Peer::udp("203.0.113.5:35060".parse().unwrap());
    assert_eq!(world.ask(&second).status, Status::UNAUTHORIZED);
    world.peer = home;
    assert_eq!(world.ask(&second).status, Status::OK);
    // The same words again, when the answer is no longer remembered.
    world.pass(seconds(40));
    let other = world.request("OPTIONS", "", "");
    world.ask(&other);
    assert_eq!(world.ask(&second).status, Status::UNAUTHORIZED);
    // A device that uses the nonce again says so with another number.
    let third = world.request("REGISTER", &proof, "");
    assert_eq!(world.ask(&third).status, Status::OK);
    world.pass(seconds(300));
    let fourth = world.request("REGISTER", &proof, "");
    let stale = world.ask(&fourth);
    assert_eq!(stale.status, Status::UNAUTHORIZED);
    assert!(stale.fields.get("WWW-Authenticate").unwrap().ends_with(", stale=true"));
}

#[test]
fn without_a_password_only_an_open_platform_lets_devices_in() {
    let mut settings = World::new().platform.settings().clone();
    settings.password = None;
    let mut world = World::with(settings.clone());
    let request = world.request("REGISTER", "", "");
    assert_eq!(world.ask(&request).status, Status::FORBIDDEN);
    settings.open = true;
    settings.max_devices = 1;
    let mut world = World::with(settings.clone());
    assert_eq!(world.ask(&request).status, Status::OK);
    let mut other = world.request("REGISTER", "", "");
    other.fields = headwater_gb28181::message::Fields::default();
    for (name, value) in
        [("Via", "SIP/2.0/UDP h;branch=z"), ("Call-ID", "x"), ("CSeq", "1 REGISTER")]
    {
        other.fields.push(name, value);
    }
    other.fields.push("From", "<sip:34020000001320000002@h>");
    other.fields.push("To", "<sip:34020000001320000002@h>");
    assert_eq!(world.ask(&other).status, Status::SERVICE_UNAVAILABLE);
    settings.passwords.insert(world.id, "own".to_owned());
    let mut world = World::with(settings);
    assert_eq!(world.register("own", 60).status, Status::OK);
}

#[test]
fn silence_and_the_end_of_a_registration_are_noticed() {
    let mut world = World::registered();
    for _ in 0..5 {
        world.pass(seconds(100));
        assert_eq!(world.keepalive().status, Status::OK);
        assert_eq!(world.events(), [Event::Alive { device: world.id, ok: true }]);
    }
    world.pass(seconds(190));
    assert_eq!(world.events(), []);
    world.pass(seconds(10));
    assert_eq!(world.events(), [Event::Offline { device: world.id, why: Gone::Silent }]);
    // So that it registers again.
    assert_eq!(world.keepalive().status, Status::FORBIDDEN);
    world.register(PASSWORD, 100);
    world.events();
    world.pass(seconds(60));
    world.keepalive();
    world.events();
    world.pass(seconds(40));
    assert_eq!(world.events(), [Event::Offline { device: world.id, why: Gone::Expired }]);
}

#[test]
fn a_device_may_move_but_nobody_may_take_its_place() {
    let mut world = World::registered();
    // Address translation has chosen another port.
    world.peer = Peer::udp("198.51.100.7:40000".parse().unwrap());
    assert_eq!(world.keepalive().status, Status::OK);
    world.platform.device_info(world.id, world.now).unwrap();
    assert_eq!(world.hear().len(), 1);
    let home = world.peer;
    world.peer = Peer::udp("203.0.113.5:5060".parse().unwrap());
    assert_eq!(world.keepalive().status, Status::FORBIDDEN);
    world.events();
    assert_eq!(world.register(PASSWORD, 3600).status, Status::OK);
    let [Event::Registered { again: true, peer, .. }] = world.events()[..] else { panic!() };
    assert_eq!(peer, world.peer);
    world.peer = home;
    assert_eq!(world.keepalive().status, Status::FORBIDDEN);
}

#[test]
fn a_request_that_comes_again_gets_the_same_answer_and_happens_once() {
    let mut world = World::registered();
    let body =
        format!("<Notify><CmdType>Keepalive</CmdType><DeviceID>{CAMERA}</DeviceID></Notify>");
    let request = world.request("MESSAGE", "", &body);
    let answer = world.ask(&request);
    assert_eq!(world.ask(&request), answer);
    assert_eq!(world.events().len(), 1);
}

#[test]
fn what_cannot_be_done_is_said() {
    let mut world = World::registered();
    let mut status = |method: &str, body: &str| {
        let request = world.request(method, "", body);
        world.ask(&request)
    };
    assert_eq!(status("FROBNICATE", "").status, Status::NOT_IMPLEMENTED);
    let invite = status("INVITE", "");
    assert_eq!(invite.status, Status::METHOD_NOT_ALLOWED);
    assert!(invite.fields.get("Allow").unwrap().contains("MESSAGE"));
    assert_eq!(status("BYE", "").status, Status::CALL_DOES_NOT_EXIST);
    assert_eq!(status("NOTIFY", "").status, Status::OK);
    let bad = status("MESSAGE", "<a>");
    assert_eq!(
        (bad.status, &*bad.reason),
        (Status::BAD_REQUEST, "the MANSCDP body ends too early")
    );
    // What lacks a field is answered, and the caller is told.
    let text = b"MESSAGE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z\r\nFrom: <sip:x>\r\n\r\n";
    let error = world.platform.handle_input(world.peer, text, world.now).unwrap_err();
    assert_eq!(error.to_string(), "the header field To is missing");
    assert_eq!(world.hear().len(), 1);
    let error = world.platform.handle_input(world.peer, b"nonsense\r\n\r\n", world.now);
    assert!(error.is_err() && world.hear().is_empty());
}

#[test]
fn floods_are_cut_off() {
    let mut world = World::new();
    let mut answered = 0;
    for _ in 0..1000 {
        let request = world.request("REGISTER", "", "");
        world.platform.handle_input(world.peer, &request.to_bytes(), world.now).unwrap();
        answered += world.hear().len();
    }
    assert_eq!(answered, 500);
    world.pass(seconds(1));
    assert_eq!(world.register(PASSWORD, 60).status, Status::OK);
}

#[test]
fn connections_are_read_wherever_they_are_cut() {
    let peer = Peer::tcp(3, "198.51.100.7:35060".parse().unwrap());
    let mut world = World::registered_at(peer);
    let keepalive =
        format!("<Notify><CmdType>Keepalive</CmdType><DeviceID>{CAMERA}</DeviceID></Notify>");
    let mut bytes = world.request("MESSAGE", "", &keepalive).to_bytes().to_vec();
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(&world.request("OPTIONS", "", "").to_bytes());
    split::everywhere(&bytes, |pieces| {
        let mut world = World::registered_at(peer);
        // The device has a new connection, and the old one ends later.
        world.peer = Peer::tcp(4, peer.address);
        for piece in pieces {
            world.platform.handle_input(world.peer, piece, world.now).unwrap();
        }
        world.platform.handle_closed(3);
        assert!(world.platform.is_online(world.id));
        (world.hear(), world.events())
    });
    world.platform.handle_closed(3);
    let gone = Event::Offline { device: world.id, why: Gone::ConnectionClosed };
    assert_eq!(world.events(), [gone]);
    let endless = vec![b'A'; MAX_HEAD + 1];
    assert!(
        world.platform.handle_input(Peer::tcp(999, peer.address), &endless, world.now).is_err()
    );
}
