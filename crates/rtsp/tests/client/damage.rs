//! Servers that say anything, and bytes that are damaged or cut anywhere.

use headwater_rtsp::client::TransportChoice;
use headwater_rtsp::message::Incoming;
use proptest::prelude::*;
use testkit::{corrupt, split};

use crate::dialogue::*;

/// A dialogue with everything: challenge, fallback, second try, packets, a keep-alive.
fn everything() -> Dialogue {
    let mut dialogue = Dialogue::play("rtsp://u:p@cam/live", TransportChoice::UdpThenTcp);
    dialogue.turns(&[
        ("OPTIONS", "401 No\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\", qop=\"auth\""),
        ("OPTIONS", "200 OK\nPublic: GET_PARAMETER"),
        ("DESCRIBE", &format!("200 OK\nContent-Base: rtsp://cam/base/\n\n{SDP}")),
        ("SETUP", "461 Unsupported Transport"),
        ("SETUP", "200 OK\nSession: 42;timeout=20\nTransport: RTP/AVP/TCP;interleaved=4-5"),
        ("SETUP", "200 OK\nSession: 42;timeout=20\nTransport: RTP/AVP/TCP;interleaved=6-7"),
        ("PLAY", "404 Not Found"),
        ("PLAY", ""),
    ]);
    let mut input = b"$\x04\x00\x02ab".to_vec();
    input.extend(response("200 OK\nRTP-Info: url=track1;seq=1;rtptime=2,url=track2;seq=3", "8"));
    input.extend(b"$\x06\x00\x01c\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x05\x00\x00");
    dialogue.input(&input);
    dialogue.input(b"REDIRECT * RTSP/1.0\r\nCSeq: 2\r\nLocation: rtsp://cam/b\r\n\r\n");
    assert_eq!(dialogue.log.len(), 9, "{:?}", dialogue.log);
    dialogue
}

/// The same session with other turns of the server.
fn replay(turns: &[Vec<&[u8]>]) -> Dialogue {
    let mut dialogue = Dialogue::play("rtsp://u:p@cam/live", TransportChoice::UdpThenTcp);
    for turn in turns {
        dialogue.pieces(turn);
    }
    dialogue
}

#[test]
fn wherever_the_bytes_are_cut_the_same_happens() {
    let original = everything();
    let turns: Vec<Vec<&[u8]>> = original.said.iter().map(|turn| vec![&turn[..]]).collect();
    for (number, turn) in original.said.iter().enumerate() {
        split::everywhere(turn, |pieces| {
            let mut turns = turns.clone();
            turns[number] = pieces.to_vec();
            let dialogue = replay(&turns);
            assert_eq!(dialogue.log, original.log);
            dialogue.result
        });
    }
}

/// However the server's bytes are damaged, the client says little and comes to an end.
fn is_bounded(mut dialogue: Dialogue, turns: usize) {
    let mut sent = 0;
    for _ in 0..5 {
        sent += std::iter::from_fn(|| dialogue.session.poll_transmit()).count();
        let Some(at) = dialogue.session.poll_timeout() else { break };
        dialogue.clock.advance(at - dialogue.clock.now());
        let result = dialogue.session.handle_timeout(dialogue.clock.now());
        assert_eq!(result.is_err(), dialogue.session.poll_timeout().is_none());
    }
    // One for the beginning, two for each answer at most, four keep-alives and a farewell.
    assert!(sent <= 2 * turns + 6, "{sent} requests");
}

#[test]
fn damaged_dialogues_are_survived() {
    let original = everything();
    let turns: Vec<Vec<&[u8]>> = original.said.iter().map(|turn| vec![&turn[..]]).collect();
    for (number, turn) in original.said.iter().enumerate() {
        let run = |damaged: &[u8]| {
            let mut turns = turns.clone();
            turns[number] = vec![damaged];
            is_bounded(replay(&turns), turns.len());
        };
        corrupt::truncations(turn, run);
        corrupt::every_bit(turn, run);
        corrupt::randomly(turn, 7, 200, run);
    }
}

proptest! {
    #[test]
    fn any_answers_are_survived(
        turns in prop::collection::vec(
            (
                prop::sample::select(vec![100, 200, 200, 200, 301, 401, 404, 454, 461, 500]),
                prop::sample::select(vec![
                    "", "Session: ;timeout=", "Session: 42;timeout=1", "Location: rtsp://x/",
                    "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\", stale=true",
                    "WWW-Authenticate: Basic", "Transport: RTP/AVP", "Transport: RTP/AVP/TCP",
                    "Transport: RTP/AVP/TCP;interleaved=255-0", "Content-Base: \"",
                ]),
                any::<bool>(),
            ),
            0..16,
        ),
        transport in prop::sample::select(vec![
            TransportChoice::Udp, TransportChoice::Tcp, TransportChoice::UdpThenTcp,
        ]),
    ) {
        let mut dialogue = Dialogue::play("rtsp://u:p@cam/live", transport);
        let count = turns.len();
        for (status, field, describes) in turns {
            let Some(Incoming::Request(request)) = dialogue.message() else { break };
            let body = if describes { SDP } else { "" };
            let answer = format!("{status} x\n{field}\n\n{body}");
            dialogue.input(&response(&answer, request.cseq().unwrap()));
        }
        is_bounded(dialogue, count);
    }

    #[test]
    fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let original = everything();
        for kept in 0..original.said.len() {
            let before = original.said.iter().take(kept);
            let mut turns: Vec<_> = before.map(|turn| vec![&turn[..]]).collect();
            turns.push(vec![&bytes[..]]);
            is_bounded(replay(&turns), turns.len() + bytes.len());
        }
    }
}
