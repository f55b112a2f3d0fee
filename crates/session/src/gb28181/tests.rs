//! Calls, with a device that is played by hand over a real socket.

#![allow(clippy::unwrap_used)] // helpers outside of test functions

use std::net::SocketAddr;

use ::gb28181::message::{Message, Method, Request, Response, Status, datagram};
use ::gb28181::sdp::Answer;
use hub::{Registry, StreamSettings};
use net::{Egress, Ports};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::sleep;

use super::*;
use crate::Settings;

const CAMERA: &str = "34020000001320000001";

/// A server that devices register with, without passwords, and a device.
struct World {
    devices: Arc<Devices>,
    context: Arc<Context>,
    server: SocketAddr,
    socket: UdpSocket,
    count: u32,
    _shards: Arc<Shards>,
}

impl World {
    async fn new(settings: DeviceSettings) -> Self {
        let streams = Arc::new(StreamSettings::default());
        let registry = Registry::new(Arc::new(move |_| streams.clone()), 9);
        let context = Context::new(registry, Settings::default());
        let shards = Arc::new(Shards::start(1, Egress::Auto).unwrap());
        let ps = Ps::new(context.clone(), Ports::new(0..=0), &shards, None);
        let bound = BoundSip::bind("127.0.0.1:0").unwrap();
        let server = bound.address();
        let platform = PlatformSettings {
            open: true,
            ..PlatformSettings::new("34020000002000000001".parse().unwrap(), server)
        };
        let devices =
            Devices::start(&context, &ps, &shards, bound, platform, "gb".to_owned()).unwrap();
        devices.set_settings(settings);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut world = Self { devices, context, server, socket, count: 0, _shards: shards };
        world.register().await;
        world
    }

    async fn register(&mut self) {
        self.say("REGISTER", "").await;
        let Message::Response(answer) = self.next().await else { panic!("a request") };
        assert_eq!(answer.status, Status::OK);
    }

    /// Says a request.
    async fn say(&mut self, method: &str, body: &str) {
        self.count += 1;
        let n = self.count;
        let text = format!(
            "{method} sip:34020000002000000001@3402000000 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bK{n}\r\n\
             From: <sip:{CAMERA}@3402000000>;tag={n}\r\nTo: <sip:{CAMERA}@3402000000>\r\n\
             Call-ID: {n}\r\nCSeq: {n} {method}\r\nExpires: 3600\r\n\r\n{body}"
        );
        self.socket.send_to(text.as_bytes(), self.server).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        let mut buffer = [0; 4096];
        let received = timeout(Duration::from_secs(10), self.socket.recv(&mut buffer));
        let length = received.await.expect("something is said").unwrap();
        datagram(&buffer[..length]).unwrap().unwrap()
    }

    /// The next request of this method. Questions before it are answered by "OK", and no more.
    async fn hear(&mut self, method: Method) -> Request {
        loop {
            match self.next().await {
                Message::Request(request) if request.method == method => return request,
                Message::Request(request) if request.method == Method::Message => {
                    self.answer(&request, 200, "").await;
                }
                // What was said before.
                _ => {}
            }
        }
    }

    async fn answer(&self, request: &Request, status: u16, body: &str) {
        let mut answer = Response::to(request, Status(status), self.server, "camera");
        answer.body = body.to_owned().into();
        self.socket.send_to(&answer.to_bytes(), self.server).await.unwrap();
    }

    /// Waits until it is asked what it has; the number of the question.
    async fn hear_catalogue(&mut self) -> String {
        loop {
            let request = self.hear_message().await;
            let text = String::from_utf8(request.body.to_vec()).unwrap();
            if text.contains("Catalog") {
                let (_, rest) = text.split_once("<SN>").unwrap();
                return rest.split_once('<').unwrap().0.to_owned();
            }
        }
    }

    async fn hear_message(&mut self) -> Request {
        loop {
            if let Message::Request(request) = self.next().await
                && request.method == Method::Message
            {
                self.answer(&request, 200, "").await;
                return request;
            }
        }
    }

    fn play(&self, recording: Option<(u64, u64)>) -> StreamName {
        let id = CAMERA.parse().unwrap();
        self.devices.play(id, id, recording).unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(timeout(Duration::from_secs(5), wait).await.is_ok(), "{what}");
    }
}

fn settings(transport: Transport) -> DeviceSettings {
    DeviceSettings { transport, ..DeviceSettings::default() }
}

#[tokio::test]
async fn what_cannot_be_received_is_hung_up_and_asked_for_again() {
    let mut world = World::new(settings(Transport::TcpActive)).await;
    world.play(None);
    let invite = world.hear(Method::Invite).await;
    // It does not say where.
    world.answer(&invite, 200, "").await;
    let bye = world.hear(Method::Bye).await;
    assert_eq!(bye.fields.get("Call-ID"), invite.fields.get("Call-ID"));
    world.answer(&bye, 200, "").await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let invite = world.hear(Method::Invite).await;
    let body = format!("v=0\r\nc=IN IP4 127.0.0.1\r\nm=video {port} TCP/RTP/AVP 96\r\n");
    world.answer(&invite, 200, &body).await;
    let accepted = timeout(Duration::from_secs(5), listener.accept()).await;
    assert!(accepted.is_ok(), "it is connected to");
}

#[tokio::test]
async fn a_device_that_comes_back_is_called_at_once() {
    let mut world = World::new(settings(Transport::Udp)).await;
    world.play(None);
    for _ in 0..3 {
        let invite = world.hear(Method::Invite).await;
        world.answer(&invite, 486, "").await;
        world.hear(Method::Ack).await;
    }
    // The next try would be eight seconds later.
    world.register().await;
    let invite = timeout(Duration::from_secs(2), world.hear(Method::Invite)).await;
    assert!(invite.is_ok(), "it is not called");
}

#[tokio::test]
async fn a_recording_that_is_refused_is_not_asked_for_again() {
    let mut world = World::new(settings(Transport::Udp)).await;
    let stream = world.play(Some((1_700_000_000, 1_700_000_100)));
    let invite = world.hear(Method::Invite).await;
    assert!(Answer::parse(&invite.body).unwrap().port > 0);
    world.answer(&invite, 404, "").await;
    world.hear(Method::Ack).await;
    world.until("it is forgotten", || !world.devices.holds(&stream)).await;
}

#[tokio::test]
async fn a_recording_may_be_silent_while_it_waits() {
    let mut world = World::new(settings(Transport::Udp)).await;
    let ps = crate::PsSettings { idle: Duration::from_secs(1), ..crate::PsSettings::default() };
    world.context.set_settings(Settings { ps, ..Settings::default() });
    let stream = world.play(Some((1_700_000_000, 1_700_000_100)));
    let invite = world.hear(Method::Invite).await;
    world.answer(&invite, 200, "v=0\r\nm=video 9000 RTP/AVP 96\r\n").await;
    world.hear(Method::Ack).await;
    world.devices.playback(&stream, Playback::Pause).unwrap();
    let info = world.hear(Method::Info).await;
    world.answer(&info, 200, "").await;
    // One that was begun later, is as silent and does not wait, is over before it.
    let other = world.play(Some((1_700_001_000, 1_700_001_100)));
    let invite = world.hear(Method::Invite).await;
    world.answer(&invite, 200, "v=0\r\nm=video 9002 RTP/AVP 96\r\n").await;
    let bye = world.hear(Method::Bye).await;
    assert_eq!(bye.fields.get("Call-ID"), invite.fields.get("Call-ID"));
    world.answer(&bye, 200, "").await;
    assert!(world.devices.holds(&stream) && !world.devices.holds(&other));
    world.devices.playback(&stream, Playback::Play).unwrap();
    let info = world.hear(Method::Info).await;
    world.answer(&info, 200, "").await;
    // It has come to its end, and does not say so.
    world.hear(Method::Bye).await;
    assert!(!world.devices.holds(&stream));
}

#[tokio::test]
async fn a_stream_that_somebody_else_publishes_is_left_to_them() {
    let mut world = World::new(settings(Transport::Udp)).await;
    let stream = world.play(None);
    let invite = world.hear(Method::Invite).await;
    world.answer(&invite, 200, "v=0\r\nm=video 9000 RTP/AVP 96\r\n").await;
    world.hear(Method::Ack).await;
    let sessions = world.context.sessions.all();
    let session = sessions.iter().find(|session| session.is_in(&stream)).unwrap();
    session.dispose(EndReason::TakenOver);
    let bye = world.hear(Method::Bye).await;
    world.answer(&bye, 200, "").await;
    world.until("it is forgotten", || !world.devices.holds(&stream)).await;
}

#[tokio::test]
async fn viewers_call_channels_that_a_device_has() {
    let mut world = World::new(settings(Transport::Udp)).await;
    let query = world.hear_catalogue().await;
    let channel = "34020000001310000001";
    let body = format!(
        "<?xml version=\"1.0\"?><Response><CmdType>Catalog</CmdType><SN>{query}</SN>\
         <DeviceID>{CAMERA}</DeviceID><SumNum>1</SumNum><DeviceList Num=\"1\"><Item>\
         <DeviceID>{channel}</DeviceID><Name>Gate</Name></Item></DeviceList></Response>"
    );
    world.say("MESSAGE", &body).await;
    let id: Id = CAMERA.parse().unwrap();
    let is_known = || world.devices.find(id).is_some_and(|device| device.complete);
    world.until("its catalogue is known", is_known).await;
    let want = |channel: &str| {
        let stream = world.devices.stream_of(id, channel.parse().unwrap()).unwrap();
        world.devices.clone().want(&stream, &Address::default())
    };
    assert!(!want("34020000001310000099"), "it has no such channel");
    assert!(want(channel));
    // It may have it now.
    world.hear_catalogue().await;
    world.hear(Method::Invite).await;
}
