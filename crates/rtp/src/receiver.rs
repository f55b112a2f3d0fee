//! One source as its receiver sees it: packets in order, what is lost, and how arrival varies
//! ([RFC 3550](https://www.rfc-editor.org/rfc/rfc3550) §6.4, A.1, A.3, A.8).
//!
//! Packets that come early wait for those before them, for a while and in a bounded number. Packets
//! that come twice, late, or from somebody else are counted and dropped. Those of the source that have
//! another payload type (comfort noise, tones, redundancy) are not handed out, but not missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::Packet;
use crate::rtcp::{Block, Ntp, SenderInfo, short_delay};

/// Packets that wait for others: a large picture at 20 Mbit/s has 400.
const MAX_WAITING: usize = 1024;

/// Numbers of packets with other payload types that are remembered, as many as can wait.
const MAX_OTHERS: usize = MAX_WAITING;

/// A step of sequence numbers that is taken for a new beginning when it is confirmed: RFC 3550 A.1
/// has 3000.
const MAX_DROPOUT: i64 = 3000;

/// How far behind a packet may be that is only late: RFC 3550 A.1 has 100, which a burst over two
/// paths exceeds.
const MAX_MISORDER: i64 = 500;

/// How long a source must be silent before another takes its place: senders that restart choose
/// another identifier.
const SILENCE: Duration = Duration::from_millis(500);

/// What came, and what did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Packets of the source, duplicates and late ones included.
    pub received: u64,
    /// Packets that never came, or came too late.
    pub lost: u64,
    /// Packets that came before an earlier one.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after they were given up.
    pub late: u64,
    /// Packets of other sources or of payload types that were not agreed on.
    pub foreign: u64,
    /// Times that the source began anew.
    pub restarts: u64,
    /// The variation of arrival times, in ticks of the source's clock (§6.4.1).
    pub jitter: u32,
}

/// A packet whose turn has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The packet.
    pub packet: Packet,
    /// When it came: it may have waited for others since.
    pub arrival: Instant,
    /// Some before it are missing.
    pub lost: bool,
}

/// The packets of one source.
#[derive(Debug)]
pub struct Receiver {
    /// Those that were agreed on; any if there are none.
    payload_types: Vec<u8>,
    clock_rate: u32,
    patience: Duration,
    ssrc: Option<u32>,
    heard: Option<Instant>,
    /// The number of the next packet to hand out, unwrapped.
    next: Option<i64>,
    highest: i64,
    first: i64,
    /// Packets received before `first`.
    before: u64,
    waiting: BTreeMap<i64, (Packet, Instant)>,
    /// Packets of the source with other payload types. They never say what comes next: some sources
    /// number them apart.
    others: BTreeSet<i64>,
    /// Those that were in their place.
    passed_over: u64,
    /// What came before the next packet to hand out is not known: the source has begun anew.
    broken: bool,
    /// Until then, a packet that came before the first one may still become the first.
    settles_at: Option<Instant>,
    /// A sequence number that would confirm a new beginning.
    suspected: Option<u16>,
    statistics: Statistics,
    /// A.8: the last transit time, and sixteen times the jitter.
    transit: Option<i64>,
    jitter_16: i64,
    began: Option<Instant>,
    last_report: Option<(Ntp, Instant)>,
    /// Expected and received at the last report block.
    reported: (i64, u64),
}

impl Receiver {
    /// A receiver of packets with one of these payload types; of all packets if there are none, for
    /// senders that do not keep to what was agreed. `patience` is how long a packet waits for those
    /// before it: nothing over TCP, where none comes later.
    #[must_use]
    pub fn new(payload_types: Vec<u8>, clock_rate: u32, patience: Duration) -> Self {
        Self {
            payload_types,
            clock_rate,
            patience,
            ssrc: None,
            heard: None,
            next: None,
            highest: 0,
            first: 0,
            before: 0,
            waiting: BTreeMap::new(),
            others: BTreeSet::new(),
            passed_over: 0,
            broken: false,
            settles_at: None,
            suspected: None,
            statistics: Statistics::default(),
            transit: None,
            jitter_16: 0,
            began: None,
            last_report: None,
            reported: (0, 0),
        }
    }

    /// Takes a packet that has just arrived.
    pub fn receive(&mut self, packet: Packet, now: Instant) {
        let known =
            self.payload_types.is_empty() || self.payload_types.contains(&packet.payload_type);
        if !known {
            self.statistics.foreign += 1;
            self.pass_over(&packet, now);
            return;
        }
        if !self.admits(packet.ssrc, now) {
            self.statistics.foreign += 1;
            return;
        }
        self.heard = Some(now);
        self.statistics.received += 1;
        let Some(next) = self.next else {
            self.begin(&packet, now);
            self.measure(&packet, now);
            self.waiting.insert(packet.sequence.into(), (packet, now));
            return;
        };
        let reference = self.highest.max(next);
        let step = i64::from(packet.sequence.wrapping_sub(low_word(reference)).cast_signed());
        let number = reference + step;
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
            if self.suspected != Some(packet.sequence) {
                self.suspected = Some(packet.sequence.wrapping_add(1));
                self.statistics.late += 1;
                return;
            }
            // Two in a row: the source has begun anew.
            self.statistics.restarts += 1;
            self.begin(&packet, now);
            self.waiting.insert(packet.sequence.into(), (packet, now));
            return;
        }
        self.suspected = None;
        if number < next && self.settles_at.is_some() {
            (self.next, self.first) = (Some(number), number);
        } else if number < next {
            self.statistics.late += 1;
            return;
        }
        if number < self.highest {
            self.statistics.reordered += 1;
        }
        self.highest = self.highest.max(number);
        self.measure(&packet, now);
        if self.waiting.insert(number, (packet, now)).is_some() {
            self.statistics.duplicates += 1;
        }
    }

    /// The next packet in order. To be asked until it is `None` after each packet, and at
    /// [`Receiver::poll_timeout`].
    pub fn poll(&mut self, now: Instant) -> Option<Ordered> {
        if self.settles_at.is_some_and(|at| now < at) && self.waiting.len() <= MAX_WAITING {
            return None;
        }
        self.settles_at = None;
        let next = self.next?;
        let (&number, (_, arrival)) = self.waiting.first_key_value()?;
        let passed_over = self.others.range(next.min(number)..number).count() as u64;
        let gap = (number - next).saturating_sub_unsigned(passed_over);
        let due = now.saturating_duration_since(*arrival) >= self.patience;
        if gap > 0 && !due && self.waiting.len() <= MAX_WAITING {
            return None;
        }
        let (_, (packet, arrival)) = self.waiting.pop_first()?;
        self.next = Some(number + 1);
        if !self.others.is_empty() {
            self.others = self.others.split_off(&(number + 1));
        }
        self.passed_over += passed_over;
        self.statistics.lost += u64::try_from(gap).unwrap_or_default();
        let lost = std::mem::take(&mut self.broken) || gap > 0;
        Some(Ordered { packet, arrival, lost })
    }

    /// When a packet that waits will have waited long enough.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (_, arrival) = self.waiting.first_key_value()?.1;
        Some(self.settles_at.unwrap_or(*arrival + self.patience))
    }

    /// The source whose packets are taken.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Remembers a report of the source, for the next [`Receiver::report`]. Returns whether it is
    /// the source's.
    pub fn sender_report(&mut self, info: &SenderInfo, now: Instant) -> bool {
        // Reports may come before the first packet.
        let own = self.ssrc.is_none_or(|ssrc| ssrc == info.ssrc);
        if own {
            self.last_report = Some((info.ntp, now));
        }
        own
    }

    /// What came and what did not.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let jitter = u32::try_from(self.jitter_16 / 16).unwrap_or(u32::MAX);
        Statistics { jitter, ..self.statistics }
    }

    /// A report block about the source; `None` before its first packet (A.3).
    pub fn report(&mut self, now: Instant) -> Option<Block> {
        let ssrc = self.ssrc?;
        self.next?;
        let expected = self.highest - self.first + 1;
        let received = self.statistics.received + self.passed_over - self.before;
        let new_expected = expected - self.reported.0;
        let new_received = i64::try_from(received - self.reported.1).unwrap_or(i64::MAX);
        self.reported = (expected, received);
        let new_lost = (new_expected - new_received).max(0);
        let fraction = if new_expected > 0 { new_lost * 256 / new_expected } else { 0 };
        let lost = expected - i64::try_from(received).unwrap_or(i64::MAX);
        let bound = |value: i64| i32::try_from(value.clamp(-0x80_0000, 0x7F_FFFF));
        let since = self.last_report.map(|(_, at)| now.saturating_duration_since(at));
        Some(Block {
            ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: bound(lost).unwrap_or_default(),
            highest_sequence: u32::try_from(self.highest & 0xFFFF_FFFF).unwrap_or_default(),
            jitter: self.statistics().jitter,
            last_report: self.last_report.map_or(0, |(ntp, _)| ntp.middle()),
            delay: since.map_or(0, short_delay),
        })
    }

    /// Whether packets of `ssrc` are those of the source, or of the one that replaces it.
    fn admits(&mut self, ssrc: u32, now: Instant) -> bool {
        let known = *self.ssrc.get_or_insert(ssrc);
        if known == ssrc {
            return true;
        }
        if self.heard.is_some_and(|heard| now.saturating_duration_since(heard) < SILENCE) {
            return false;
        }
        self.ssrc = Some(ssrc);
        self.statistics.restarts += u64::from(self.next.is_some());
        self.next = None;
        self.last_report = None;
        true
    }

    /// Remembers that a packet has come that is not to be handed out.
    fn pass_over(&mut self, packet: &Packet, now: Instant) {
        let Some(next) = self.next.filter(|_| self.ssrc == Some(packet.ssrc)) else { return };
        self.heard = Some(now);
        let reference = self.highest.max(next);
        let step = i64::from(packet.sequence.wrapping_sub(low_word(reference)).cast_signed());
        if (-MAX_MISORDER..=MAX_DROPOUT).contains(&step) && reference + step >= next {
            self.others.insert(reference + step);
        }
        if self.others.len() > MAX_OTHERS {
            self.others.pop_first();
        }
    }

    fn begin(&mut self, packet: &Packet, now: Instant) {
        let number = i64::from(packet.sequence);
        self.broken = self.statistics.restarts > 0;
        self.statistics.lost += self.waiting.len() as u64;
        self.waiting.clear();
        self.others.clear();
        self.settles_at = (!self.patience.is_zero()).then(|| now + self.patience);
        (self.next, self.highest, self.first) = (Some(number), number, number);
        self.suspected = None;
        self.transit = None;
        self.before = self.statistics.received + self.passed_over - 1;
        self.reported = (0, 0);
    }

    /// A.8.
    fn measure(&mut self, packet: &Packet, now: Instant) {
        let began = *self.began.get_or_insert(now);
        let elapsed = now.saturating_duration_since(began).as_nanos();
        let ticks = elapsed * u128::from(self.clock_rate) / 1_000_000_000;
        let transit =
            i64::try_from(ticks & 0xFFFF_FFFF).unwrap_or_default() - i64::from(packet.timestamp);
        if let Some(before) = self.transit.replace(transit) {
            // Both wrap at 32 bits.
            let d = u32::try_from((transit - before) & 0xFFFF_FFFF).unwrap_or_default();
            let d = i64::from(d.cast_signed().unsigned_abs());
            self.jitter_16 += d - (self.jitter_16 + 8) / 16;
        }
    }
}

/// The low 16 bits, as the wire carries them.
fn low_word(number: i64) -> u16 {
    let [a, b, ..] = number.to_le_bytes();
    u16::from_le_bytes([a, b])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    fn packet(ssrc: u32, sequence: u16) -> Packet {
        let payload = Bytes::from_static(b"x");
        Packet { marker: false, payload_type: 96, sequence, timestamp: 0, ssrc, payload }
    }

    fn receiver() -> Receiver {
        Receiver::new(vec![96], 90_000, PATIENCE)
    }

    /// A receiver that has taken this packet of source 1, and the time after it has settled.
    fn settled(sequence: u16) -> (Receiver, Instant) {
        let (mut receiver, start) = (receiver(), Instant::now());
        receiver.receive(packet(1, sequence), start);
        let now = start + PATIENCE;
        assert_eq!(drain(&mut receiver, now), [(sequence, false)]);
        (receiver, now)
    }

    fn drain(receiver: &mut Receiver, now: Instant) -> Vec<(u16, bool)> {
        let packets = std::iter::from_fn(|| receiver.poll(now));
        packets.map(|ordered| (ordered.packet.sequence, ordered.lost)).collect()
    }

    #[test]
    fn order_is_restored_across_the_wrap() {
        let (mut receiver, now) = settled(0xFFFE);
        let mut got = Vec::new();
        for sequence in [0, 0xFFFF, 1, 1, 3, 2] {
            receiver.receive(packet(1, sequence), now);
            got.extend(drain(&mut receiver, now));
        }
        let numbers: Vec<_> = got.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0xFFFF, 0, 1, 2, 3]);
        assert!(got.iter().all(|(_, lost)| !lost));
        let statistics = receiver.statistics();
        assert_eq!((statistics.reordered, statistics.late, statistics.lost), (2, 1, 0));
    }

    #[test]
    fn what_waited_tells_when_it_came() {
        let (mut receiver, start) = settled(10);
        receiver.receive(packet(1, 12), start);
        let later = start + PATIENCE / 2;
        receiver.receive(packet(1, 11), later);
        let packets: Vec<_> = std::iter::from_fn(|| receiver.poll(later)).collect();
        let arrivals: Vec<_> = packets.iter().map(|o| (o.packet.sequence, o.arrival)).collect();
        assert_eq!(arrivals, [(11, later), (12, start)]);
    }

    #[test]
    fn what_never_comes_is_given_up_and_counted() {
        let (mut receiver, start) = settled(10);
        receiver.receive(packet(1, 13), start);
        assert_eq!(drain(&mut receiver, start), []);
        assert_eq!(receiver.poll_timeout(), Some(start + PATIENCE));
        assert_eq!(drain(&mut receiver, start + PATIENCE), [(13, true)]);
        receiver.receive(packet(1, 11), start + PATIENCE);
        assert_eq!(drain(&mut receiver, start + PATIENCE), []);
        let statistics = receiver.statistics();
        assert_eq!((statistics.lost, statistics.late), (2, 1));
        let block = receiver.report(start + PATIENCE).unwrap();
        assert_eq!((block.highest_sequence, block.lost), (13, 1));
    }

    #[test]
    fn the_first_packet_may_be_overtaken() {
        let (mut receiver, start) = (receiver(), Instant::now());
        for sequence in [12, 10, 11] {
            receiver.receive(packet(1, sequence), start);
            assert_eq!(drain(&mut receiver, start), []);
        }
        assert_eq!(receiver.poll_timeout(), Some(start + PATIENCE));
        let got = drain(&mut receiver, start + PATIENCE);
        assert_eq!(got, [(10, false), (11, false), (12, false)]);
        let block = receiver.report(start + PATIENCE).unwrap();
        assert_eq!((block.highest_sequence, block.lost), (12, 0));
    }

    #[test]
    fn where_nothing_was_agreed_any_payload_type_will_do() {
        let mut receiver = Receiver::new(Vec::new(), 90_000, Duration::ZERO);
        let now = Instant::now();
        for (sequence, payload_type) in [(1, 96), (2, 108)] {
            receiver.receive(Packet { payload_type, ..packet(1, sequence) }, now);
        }
        assert_eq!(drain(&mut receiver, now), [(1, false), (2, false)]);
    }

    #[test]
    fn over_a_connection_nothing_waits() {
        let mut receiver = Receiver::new(vec![96], 90_000, Duration::ZERO);
        let now = Instant::now();
        receiver.receive(packet(1, 12), now);
        assert_eq!(drain(&mut receiver, now), [(12, false)]);
    }

    #[test]
    fn waiting_has_a_bound() {
        let (mut receiver, now) = settled(0);
        for sequence in 2..3000 {
            receiver.receive(packet(1, sequence), now);
        }
        assert_eq!(drain(&mut receiver, now).first(), Some(&(2, true)));
        assert!(receiver.waiting.len() <= MAX_WAITING);
    }

    #[test]
    fn only_one_source_is_heard_until_it_is_silent() {
        let (mut receiver, start) = settled(5);
        receiver.receive(packet(2, 900), start);
        receiver.receive(Packet { payload_type: 97, ..packet(1, 6) }, start);
        assert_eq!(drain(&mut receiver, start), []);
        assert_eq!(receiver.statistics().foreign, 2);
        let later = start + SILENCE;
        receiver.receive(packet(2, 901), later);
        // Whatever the first one had begun is not whole.
        assert_eq!(drain(&mut receiver, later + PATIENCE), [(901, true)]);
        assert_eq!(receiver.statistics().restarts, 1);
    }

    #[test]
    fn ancient_numbers_are_dropped_and_a_new_beginning_is_believed_when_confirmed() {
        let (mut receiver, now) = settled(30_000);
        receiver.receive(packet(1, 100), now);
        receiver.receive(packet(1, 30_001), now);
        receiver.receive(packet(1, 7), now);
        assert_eq!(drain(&mut receiver, now), [(30_001, false)]);
        receiver.receive(packet(1, 8), now);
        receiver.receive(packet(1, 9), now);
        assert_eq!(drain(&mut receiver, now + PATIENCE), [(8, true), (9, false)]);
        assert_eq!(receiver.statistics().restarts, 1);
    }

    #[test]
    fn other_payload_types_of_the_source_are_not_missing() {
        let (mut receiver, now) = settled(10);
        for (sequence, payload_type) in [(11, 13), (12, 96), (13, 101), (14, 101), (16, 96)] {
            receiver.receive(Packet { payload_type, ..packet(1, sequence) }, now);
        }
        assert_eq!(drain(&mut receiver, now), [(12, false)]);
        assert_eq!(drain(&mut receiver, now + PATIENCE), [(16, true)]);
        let statistics = receiver.statistics();
        assert_eq!((statistics.foreign, statistics.lost), (3, 1));
        let block = receiver.report(now).unwrap();
        assert_eq!((block.lost, block.highest_sequence), (1, 16));
    }

    #[test]
    fn other_payload_types_with_numbers_of_their_own_do_no_harm() {
        let (mut receiver, now) = settled(10);
        for sequence in 11u16..3000 {
            let numbered_apart = sequence.wrapping_mul(3).wrapping_add(500);
            receiver.receive(Packet { payload_type: 13, ..packet(1, numbered_apart) }, now);
            receiver.receive(packet(1, sequence), now);
            assert_eq!(drain(&mut receiver, now), [(sequence, false)]);
            assert!(receiver.others.len() <= MAX_OTHERS);
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_is_in_order_and_once(
            order in Just((0u16..200).collect::<Vec<_>>()).prop_shuffle(),
            keep in prop::collection::vec(prop::bool::weighted(0.9), 200),
            start in any::<u16>(),
        ) {
            let (mut receiver, now) = settled(start);
            let mut got = vec![(start, false)];
            for (number, keep) in order.iter().zip(keep) {
                if keep {
                    receiver.receive(packet(1, start.wrapping_add(*number)), now);
                }
                got.extend(drain(&mut receiver, now));
            }
            got.extend(drain(&mut receiver, now + PATIENCE));
            let offsets: Vec<_> = got.iter().map(|(n, _)| n.wrapping_sub(start)).collect();
            prop_assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]));
            for (pair, (_, lost)) in offsets.windows(2).zip(got.iter().skip(1)) {
                prop_assert_eq!(*lost, pair[1] - pair[0] > 1);
            }
        }
    }
}
