//! A client session, whatever the server says; the first byte chooses what it wants.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use rtp::sdp;
use rtsp::client::{Config, Event, Purpose, Session, TransportChoice};
use rtsp::url::Url;

fuzz_target!(|data: &[u8]| {
    let [first, data @ ..] = data else { return };
    let now = Instant::now();
    let url = Url::parse("rtsp://user:pass@host/app/name?query").expect("an address");
    let purpose = if first & 1 == 0 {
        Purpose::Play
    } else {
        let text = b"m=video 0 RTP/AVP 96\na=control:x\nm=audio 0 RTP/AVP 0\na=control:y\n";
        Purpose::Publish(sdp::Session::parse(text).expect("a description"))
    };
    let transport = match first >> 1 & 3 {
        0 => TransportChoice::Tcp,
        1 => TransportChoice::Udp,
        _ => TransportChoice::UdpThenTcp,
    };
    let mut session = Session::new(Config { transport, ..Config::new(url, purpose) }, now);
    // A server answers what it was asked: the data has the answers, with bytes of 0xFF between.
    for piece in data.split(|byte| *byte == 0xFF) {
        let read = session.handle_input(piece, now);
        while let Some(event) = session.poll_event() {
            match event {
                Event::Described(description) => {
                    let all: Vec<_> = (0..description.media.len()).collect();
                    let _ = session.setup(&all, now);
                }
                Event::PortsWanted { media } => session.offer_ports(media, (4000, 4001), now),
                _ => {}
            }
        }
        while session.poll_transmit().is_some() {}
        if read.is_err() {
            break;
        }
    }
    if let Some(at) = session.poll_timeout() {
        let _ = session.handle_timeout(at);
    }
    session.teardown();
    while session.poll_transmit().is_some() {}
});
