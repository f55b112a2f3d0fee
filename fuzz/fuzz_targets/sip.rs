//! SIP messages, and a platform that hears them from a device that is registered and was called.
//!
//! Laws: reads may end anywhere; what was read and is written is read the same again; whatever a
//! device says, its silence ends all that the platform waits for.

#![no_main]

use std::time::{Duration, Instant};

use gb28181::Peer;
use gb28181::message::{Decoder, Message, datagram};
use gb28181::platform::{Invite, Platform, Settings};
use gb28181::sdp::{Kind, Transport};
use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;

const REGISTER: &[u8] = b"REGISTER sip:34020000002000000001@3402000000 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.7:5060;rport;branch=z9hG4bK1\r\n\
    From: <sip:34020000001320000001@3402000000>;tag=1\r\n\
    To: <sip:34020000001320000001@3402000000>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    splits_change_nothing(data, |pieces| {
        let mut decoder = Decoder::new();
        let mut all = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.poll() {
                    Ok(Some(message)) => all.push(message),
                    Ok(None) => break,
                    // How much of what came before is reported depends on where reads ended.
                    Err(_) => return None,
                }
            }
        }
        Some(all)
    });
    if let Ok(Some(message)) = datagram(data) {
        written_reads_the_same(&message);
    }
    converse(data);
});

fn written_reads_the_same(message: &Message) {
    let Ok(Some(again)) = datagram(&message.to_bytes()) else { return };
    let body = |message: &Message| match message {
        Message::Request(request) => request.body.clone(),
        Message::Response(response) => response.body.clone(),
    };
    assert_eq!(body(&again), body(message));
    // From here on nothing changes any more.
    assert_eq!(datagram(&again.to_bytes()), Ok(Some(again)));
}

/// The data has messages with bytes of 0xFF between.
fn converse(data: &[u8]) {
    let now = Instant::now();
    let id = "34020000002000000001".parse().expect("an identifier");
    let device = "34020000001320000001".parse().expect("an identifier");
    let mut settings = Settings::new(id, "192.0.2.1:5060".parse().expect("an address"));
    settings.open = true;
    let mut platform = Platform::new(settings, [7; 32], now);
    let peer = Peer::udp("198.51.100.7:5060".parse().expect("an address"));
    platform.handle_input(peer, REGISTER, now).expect("a registration");
    let _ = platform.catalog(device, now);
    let _ = platform.recordings(device, device, (0, 86_400), now);
    let (address, transport) = (peer.address.ip(), Transport::TcpPassive);
    let ssrc = platform.ssrc(false).expect("a number");
    let invite = Invite { kind: Kind::Live, address, port: 1, transport, ssrc };
    let _ = platform.invite(device, device, &invite, now);
    for piece in data.split(|byte| *byte == 0xFF) {
        let _ = platform.handle_input(peer, piece, now);
        let _ = platform.handle_input(Peer::tcp(1, peer.address), piece, now);
        while platform.poll_event().is_some() {}
        while platform.poll_transmit().is_some() {}
    }
    platform.handle_closed(1);
    let later = now + Duration::from_secs(100_000);
    for _ in 0..1000 {
        let Some(at) = platform.poll_timeout().filter(|at| *at <= later) else { break };
        platform.handle_timeout(at);
        while platform.poll_event().is_some() {}
        while platform.poll_transmit().is_some() {}
    }
    assert_eq!(platform.poll_timeout(), None);
}
