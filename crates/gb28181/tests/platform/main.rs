//! A platform and a device that talk, in virtual time.

#![allow(clippy::unwrap_used)] // helpers outside of test functions

mod calls;
mod devices;
mod questions;

use std::time::{Duration, Instant, SystemTime};

use auth::Answer;
use headwater_gb28181::Peer;
use headwater_gb28181::id::Id;
use headwater_gb28181::message::{Message, Method, Request, Response, Status, datagram};
use headwater_gb28181::platform::{Event, Platform, Settings};

pub(crate) const CAMERA: &str = "34020000001320000001";
pub(crate) const PASSWORD: &str = "12345678";

/// A platform with one device, whose messages are written by hand.
pub(crate) struct World {
    pub(crate) platform: Platform,
    pub(crate) now: Instant,
    pub(crate) peer: Peer,
    pub(crate) id: Id,
    /// Numbers of messages, so that no two have the same branch.
    count: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        let address = "192.0.2.100:5060".parse().unwrap();
        let mut settings = Settings::new("34020000002000000001".parse().unwrap(), address);
        settings.password = Some(PASSWORD.to_owned());
        Self::with(settings)
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let now = Instant::now();
        let mut platform = Platform::new(settings, [7; 32], now);
        platform.set_wall_clock(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000), now);
        let peer = Peer::udp("198.51.100.7:35060".parse().unwrap());
        Self { platform, now, peer, id: CAMERA.parse().unwrap(), count: 0 }
    }

    /// A world whose device is registered.
    pub(crate) fn registered() -> Self {
        Self::registered_at(Peer::udp("198.51.100.7:35060".parse().unwrap()))
    }

    pub(crate) fn registered_at(peer: Peer) -> Self {
        let mut world = Self { peer, ..Self::new() };
        assert_eq!(world.register(PASSWORD, 3600).status, Status::OK);
        world.events();
        world
    }

    /// A request of the device, in its own hand: lower-case names, its own idea of its address.
    pub(crate) fn request(&mut self, method: &str, more: &str, body: &str) -> Request {
        self.count += 1;
        let (n, id) = (self.count, self.id);
        let text = format!(
            "{method} sip:34020000002000000001@3402000000 SIP/2.0\r\n\
             via: SIP/2.0/UDP 192.168.1.9:5060;rport;branch=z9hG4bK{n}\r\n\
             from: <sip:{id}@3402000000>;tag=t{n}\r\nto: <sip:{id}@3402000000>\r\n\
             call-id: c{n}\r\ncseq: {n} {method}\r\n{more}\r\n{body}"
        );
        match datagram(text.as_bytes()) {
            Ok(Some(Message::Request(request))) => request,
            other => panic!("{other:?}"),
        }
    }

    /// Says something, and returns the answer.
    pub(crate) fn ask(&mut self, request: &Request) -> Response {
        let bytes = request.to_bytes();
        self.platform.handle_input(self.peer, &bytes, self.now).unwrap();
        let mut heard = self.hear();
        match heard.pop() {
            Some(Message::Response(response)) if heard.is_empty() => response,
            other => panic!("{other:?} after {heard:?}"),
        }
    }

    pub(crate) fn report(&mut self, method: &str, body: &str) -> Response {
        let more = "content-type: Application/MANSCDP+xml\r\n";
        let request = self.request(method, more, body);
        self.ask(&request)
    }

    pub(crate) fn keepalive(&mut self) -> Response {
        let id = self.id;
        self.report(
            "MESSAGE",
            &format!(
                "<?xml version=\"1.0\"?><Notify><CmdType>Keepalive</CmdType><SN>1</SN>\
             <DeviceID>{id}</DeviceID><Status>OK</Status></Notify>"
            ),
        )
    }

    /// Registers in two steps; the last answer.
    pub(crate) fn register(&mut self, password: &str, expires: u32) -> Response {
        let more = format!("contact: <sip:{CAMERA}@10.1.1.1:5060>\r\nexpires: {expires}\r\n");
        let first = self.request("REGISTER", &more, "");
        let challenged = self.ask(&first);
        assert_eq!(challenged.status, Status::UNAUTHORIZED);
        let more = format!("{more}authorization: {}\r\n", prove(&challenged, password));
        let second = self.request("REGISTER", &more, "");
        self.ask(&second)
    }

    /// Says an answer of the device.
    pub(crate) fn respond(
        &mut self,
        request: &Request,
        status: u16,
        more: &[(&str, &str)],
        body: &str,
    ) {
        let source = self.platform.settings().address;
        let mut response = Response::to(request, Status(status), source, "device");
        more.iter().for_each(|(name, value)| response.fields.push(name, *value));
        response.body = body.to_owned().into();
        self.platform.handle_input(self.peer, &response.to_bytes(), self.now).unwrap();
    }

    /// What the device hears.
    pub(crate) fn hear(&mut self) -> Vec<Message> {
        let mut heard = Vec::new();
        while let Some((peer, bytes)) = self.platform.poll_transmit() {
            assert_eq!(peer, self.peer, "messages go to where the device is");
            heard.push(datagram(&bytes).unwrap().unwrap());
        }
        heard
    }

    /// The only request that the device hears.
    pub(crate) fn hear_request(&mut self, method: &Method) -> Request {
        let mut heard = self.hear();
        match heard.pop() {
            Some(Message::Request(request)) if heard.is_empty() && request.method == *method => {
                request
            }
            other => panic!("{other:?} after {heard:?}, not {method}"),
        }
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.platform.poll_event()).collect()
    }

    /// Lets time pass, and everything happen in it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.platform.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.platform.handle_timeout(self.now);
        }
        self.now = end;
    }
}

/// The `Authorization` that answers a challenge.
pub(crate) fn prove(challenged: &Response, password: &str) -> String {
    let mut answer = Answer::choose(challenged.fields.all("WWW-Authenticate")).unwrap();
    answer.header(CAMERA, password, "REGISTER", "sip:34020000002000000001@3402000000")
}
