//! RTP and RTCP of one source: packets, their order, reports, and the clock.
//!
//! Laws: packets come out in order, each once, and those that are said to follow one another do, but
//! for packets of other payload types between them.

#![no_main]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use rtp::clock::Clock;
use rtp::receiver::{Ordered, Receiver};
use rtp::rtcp::{self, Message};
use rtp::{Packet, packet};

fuzz_target!(|data: &[u8]| {
    let start = Instant::now();
    let mut now = start;
    let patience = Duration::from_millis(20);
    let wanted = 96..=127;
    let mut receiver = Receiver::new(wanted.clone().collect(), 90_000, patience);
    let mut others = HashSet::new();
    let mut clock = Clock::new([90_000], 0);
    let mut rest = data;
    let mut last: Option<(u16, u64)> = None;
    while let [flags, length, after @ ..] = rest {
        let (bytes, next) = after.split_at(after.len().min(usize::from(*length)));
        rest = next;
        now += Duration::from_millis(u64::from(flags & 0x3F));
        if packet::is_rtcp(bytes) || flags & 0x80 != 0 {
            for message in rtcp::parse(bytes).map_while(Result::ok) {
                if let Message::SenderReport(info, _) = message {
                    receiver.sender_report(&info, now);
                    clock.sender_report(0, info.ntp, info.rtp);
                }
            }
        } else if let Ok(packet) = Packet::parse(&Bytes::copy_from_slice(bytes)) {
            if !wanted.contains(&packet.payload_type) {
                others.insert(packet.sequence);
            }
            receiver.receive(packet, now);
        }
        while let Some(Ordered { packet, arrival, lost }) = receiver.poll(now) {
            let restarts = receiver.statistics().restarts;
            if let Some((before, of)) = last
                && of == restarts
            {
                let step = packet.sequence.wrapping_sub(before);
                let passed_over = || (1..step).all(|n| others.contains(&before.wrapping_add(n)));
                let follows = step == 1 || (step > 1 && passed_over());
                assert!(lost || follows, "{before} to {}", packet.sequence);
                assert!(!(lost && step == 1), "{before} to {}", packet.sequence);
            }
            last = Some((packet.sequence, restarts));
            clock.place(0, packet.timestamp, arrival);
        }
        if let Some(block) = receiver.report(now) {
            let mut out = BytesMut::new();
            rtcp::write_receiver_report(1, &[block], "name", &mut out);
            let again = rtcp::parse(&out).next();
            assert_eq!(again, Some(Ok(Message::ReceiverReport(1, vec![block]))));
        }
    }
});
