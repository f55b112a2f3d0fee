//! A viewer's place in a ring, and the rule for viewers that fall behind.
//!
//! A cursor holds a packet number, at most the unsent rest of one packet, and the few bytes of its
//! own conversation. It has no queue of media: a slow viewer costs no more than a fast one.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use media::TrackKind;

use crate::entry::Entry;
use crate::{Packet, Ring, Start, StreamSettings};

/// Slices of one vectored write. 64 × 16 bytes of `iovec` stay on the stack, and more bytes than
/// 64 media packets seldom fit into a socket's send buffer.
const MAX_SLICES: usize = 64;

/// Bytes of its own conversation that may wait for a viewer; one that asks more than it reads is
/// closed.
pub const MAX_OWN_BYTES: usize = 64 << 10;

/// A viewer's place in the ring of its wire format.
#[derive(Debug)]
pub struct Cursor {
    place: Place,
    /// The unsent rest of the packet in hand.
    rest: Bytes,
    /// The viewer's own bytes (prologue, replies), sent before the next packet.
    own: VecDeque<Bytes>,
    own_bytes: usize,
    /// The version of the track set that the viewer knows.
    epoch: Option<u32>,
    audio: bool,
    video: bool,
    /// Where it is in the pictures since it was put to its place.
    entry: Entry,
    /// Packets do not go to the sink: see [`Cursor::next_datagrams`].
    datagrams: bool,
    skips: Skips,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The next packet to send.
    At(u64),
    /// Waiting for a key packet from this number on, since this time.
    KeyFrom { number: u64, since: Instant },
    /// Nothing is wanted: the viewer has paused.
    Paused,
}

/// Counts skips by the minute.
#[derive(Debug)]
struct Skips {
    minute: Instant,
    count: u32,
}

/// What [`Cursor::drain`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All that the ring has is sent.
    All,
    /// The sink takes no more.
    Blocked,
    /// The budget is spent; more is there.
    Budget,
}

/// What a drain did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that the sink took.
    pub written: usize,
    /// Why it ended.
    pub drained: Drained,
}

/// What [`Cursor::catch_up`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// Near enough.
    Fine,
    /// It was moved to a newer packet.
    Skipped,
    /// It skipped more often than the settings allow.
    TooManySkips,
}

impl Cursor {
    /// A cursor at the place where the ring lets new viewers begin; `own` is what the viewer gets
    /// first (response head, file header, replies).
    #[must_use]
    pub fn join(ring: &Ring, own: impl IntoIterator<Item = Bytes>, now: Instant) -> Self {
        Self::join_at(ring, own, ring.start(), now)
    }

    /// As [`Cursor::join`], at another place.
    #[must_use]
    pub fn join_at(
        ring: &Ring,
        own: impl IntoIterator<Item = Bytes>,
        start: Start,
        now: Instant,
    ) -> Self {
        let mut cursor = Self {
            place: Place::Paused,
            rest: Bytes::new(),
            own: VecDeque::new(),
            own_bytes: 0,
            epoch: None,
            audio: true,
            video: true,
            entry: Entry::Ahead,
            datagrams: false,
            skips: Skips { minute: now, count: 0 },
        };
        for bytes in own {
            cursor.queue(bytes);
        }
        cursor.begin(ring, start, now);
        cursor
    }

    /// A cursor whose packets go out as datagrams: [`Cursor::drain`] sends the viewer's own bytes
    /// alone, and [`Cursor::next_datagrams`] hands out the packets.
    #[must_use]
    pub fn join_datagrams(
        ring: &Ring,
        own: impl IntoIterator<Item = Bytes>,
        start: Start,
        now: Instant,
    ) -> Self {
        let mut cursor = Self::join_at(ring, own, start, now);
        cursor.datagrams = true;
        cursor
    }

    /// Adds bytes of the viewer's own conversation, which go out at the next packet boundary.
    /// Returns whether they still fit into [`MAX_OWN_BYTES`].
    pub fn queue(&mut self, bytes: Bytes) -> bool {
        self.own_bytes += bytes.len();
        if !bytes.is_empty() {
            self.own.push_back(bytes);
        }
        self.own_bytes <= MAX_OWN_BYTES
    }

    /// Stops after the packet in hand.
    pub fn pause(&mut self) {
        self.place = Place::Paused;
    }

    /// Goes on where a new viewer would begin; a cursor of datagrams at the next key frame, since a
    /// burst of those that are kept would overrun the buffers on its way.
    pub fn resume(&mut self, ring: &Ring, now: Instant) {
        if self.place != Place::Paused {
            return;
        }
        if self.datagrams && ring.has_video() {
            self.begin(ring, Start::KeyFrom(ring.end()), now);
        } else {
            self.start(ring, now);
        }
    }

    /// Chooses whether audio is sent.
    pub fn set_audio(&mut self, on: bool) {
        self.audio = on;
    }

    /// Chooses whether video is sent; switched on again, it begins at a key frame. Who pauses goes on
    /// with [`Cursor::resume`] only.
    pub fn set_video(&mut self, on: bool, ring: &Ring, now: Instant) {
        if on && !self.video && ring.has_video() && self.place != Place::Paused {
            self.place = Place::KeyFrom { number: ring.end(), since: now };
        }
        self.video = on;
    }

    /// Leaves the ring: what must still be sent is the rest of the packet in hand, and the
    /// viewer's own bytes.
    #[must_use]
    pub fn take_remains(&mut self) -> Bytes {
        self.place = Place::Paused;
        let mut remains = BytesMut::from(&*std::mem::take(&mut self.rest));
        self.own.drain(..).for_each(|bytes| remains.extend_from_slice(&bytes));
        self.own_bytes = 0;
        remains.freeze()
    }

    /// Moves a cursor that is too far behind, or that waits for a key packet that is there now.
    pub fn catch_up(&mut self, ring: &Ring, settings: &StreamSettings, now: Instant) -> Lag {
        match self.place {
            Place::Paused => Lag::Fine,
            Place::KeyFrom { number, since } => {
                if let Some(key) = ring.key_from(number) {
                    self.enter(ring, key);
                } else if !ring.has_video()
                    || now.saturating_duration_since(since) >= settings.key_frame_wait
                {
                    self.enter(ring, ring.end());
                }
                Lag::Fine
            }
            Place::At(number) => {
                let lost = number < ring.base();
                let behind = ring.get(number).map_or(0, |p| ring.newest_dts_ms() - p.dts_ms);
                if !lost && behind <= allowed_lag_ms(ring, settings.skip_after) {
                    return Lag::Fine;
                }
                match ring.newest_key().filter(|key| *key > number) {
                    Some(key) => self.enter(ring, key),
                    None if !ring.has_video() => self.enter(ring, ring.end()),
                    None if lost => {
                        self.place = Place::KeyFrom { number: ring.end(), since: now };
                    }
                    // The key frame that it plays from is the newest one: nothing to skip to yet.
                    None => return Lag::Fine,
                }
                self.skips.add(now, settings.max_skips)
            }
        }
    }

    /// Whether the next bytes of both cursors are the same packets of the ring, and nothing else.
    #[must_use]
    pub fn is_level_with(&self, other: &Self) -> bool {
        let plain = |cursor: &Self| cursor.rest.is_empty() && cursor.own.is_empty();
        let wants = |cursor: &Self| (cursor.place, cursor.audio, cursor.video, cursor.entry);
        plain(self) && plain(other) && wants(self) == wants(other)
    }

    /// Lines up what goes out next, up to about `budget` bytes: for callers that send for many
    /// viewers at once, and say what became of it by [`Cursor::advance`]. Returns the bytes that
    /// were added to `slices`.
    pub fn line_up<'a>(
        &'a self,
        ring: &'a Ring,
        budget: usize,
        slices: &mut Vec<IoSlice<'a>>,
    ) -> usize {
        let mut bytes = 0;
        for piece in self.pieces(ring).take(MAX_SLICES) {
            if bytes >= budget {
                break;
            }
            slices.push(IoSlice::new(piece));
            bytes += piece.len();
        }
        bytes
    }

    /// Moves past `taken` bytes of what was lined up.
    pub fn advance(&mut self, ring: &Ring, taken: usize) {
        self.consume(ring, taken);
    }

    /// Whether bytes of the viewer's own conversation wait.
    #[must_use]
    pub fn has_own(&self) -> bool {
        !(self.own.is_empty() && self.rest.is_empty())
    }

    /// The next packet of a cursor of datagrams, and its number; the cursor has moved past it.
    pub fn next_datagrams<'a>(&mut self, ring: &'a Ring) -> Option<(u64, &'a Packet)> {
        let Place::At(number) = self.place else { return None };
        let mut next = number.max(ring.base());
        for packet in ring.from(next) {
            let number = next;
            next += 1;
            self.place = Place::At(next);
            self.epoch = Some(packet.epoch);
            // Its packets are numbered: none can be left out.
            if self.wants(packet, &mut Entry::Past) {
                return Some((number, packet));
            }
        }
        None
    }

    /// The packet with this number was not sent: a cursor of datagrams goes back to it. It may have
    /// moved on since, but not gone elsewhere.
    pub fn go_back(&mut self, number: u64) {
        if let Place::At(next) = &mut self.place {
            *next = number.min(*next);
        }
    }

    /// Sends what the ring has, until the sink blocks or `budget` bytes are out.
    ///
    /// # Errors
    /// Those of the sink, except [`io::ErrorKind::WouldBlock`], which is [`Drained::Blocked`].
    pub fn drain(
        &mut self,
        ring: &Ring,
        budget: usize,
        mut sink: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Progress> {
        let mut written = 0;
        loop {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let (count, wanted) = self.gather(ring, &mut slices, budget - written);
            let Some(slices) = slices.get(..count).filter(|slices| !slices.is_empty()) else {
                self.consume(ring, 0);
                return Ok(Progress { written, drained: Drained::All });
            };
            match sink(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    written += taken;
                    self.consume(ring, taken);
                    if taken < wanted {
                        return Ok(Progress { written, drained: Drained::Blocked });
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress { written, drained: Drained::Blocked });
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            if written >= budget {
                return Ok(Progress { written, drained: Drained::Budget });
            }
        }
    }

    fn start(&mut self, ring: &Ring, now: Instant) {
        self.begin(ring, ring.start(), now);
    }

    fn begin(&mut self, ring: &Ring, start: Start, now: Instant) {
        match start {
            Start::At(number) => self.enter(ring, number),
            Start::KeyFrom(number) => self.place = Place::KeyFrom { number, since: now },
        }
    }

    /// Puts the cursor at `number`, with the prologue if the viewer does not know that epoch.
    fn enter(&mut self, ring: &Ring, number: u64) {
        self.place = Place::At(number);
        self.entry = Entry::Ahead;
        if let Some(prologue) = ring.prologue_for(number)
            && self.epoch != Some(prologue.epoch)
        {
            self.epoch = Some(prologue.epoch);
            self.queue(prologue.bytes.clone());
        }
    }

    /// Whether the viewer gets a packet to which it comes from `entry`.
    fn wants(&self, packet: &Packet, entry: &mut Entry) -> bool {
        match packet.track {
            TrackKind::Audio => self.audio,
            TrackKind::Video => self.video && entry.admits(packet.kind),
            TrackKind::Data => true,
        }
    }

    /// What goes out next, in order.
    fn pieces<'a>(&'a self, ring: &'a Ring) -> impl Iterator<Item = &'a Bytes> {
        let packets = match self.place {
            Place::At(number) if !self.datagrams => Some(ring.from(number)),
            Place::At(_) | Place::KeyFrom { .. } | Place::Paused => None,
        };
        let mut entry = self.entry;
        let wanted = move |packet: &&Packet| self.wants(packet, &mut entry);
        let packets = packets.into_iter().flatten().filter(wanted).map(|packet| &packet.bytes);
        let rest = Some(&self.rest).filter(|rest| !rest.is_empty());
        rest.into_iter().chain(&self.own).chain(packets)
    }

    /// Lines up what goes out next: how many slices, and their bytes.
    fn gather<'a>(
        &'a self,
        ring: &'a Ring,
        slices: &mut [IoSlice<'a>; MAX_SLICES],
        budget: usize,
    ) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        for (slot, piece) in slices.iter_mut().zip(self.pieces(ring)) {
            if bytes >= budget {
                break;
            }
            *slot = IoSlice::new(piece);
            count += 1;
            bytes += piece.len();
        }
        (count, bytes)
    }

    /// Moves past `taken` bytes, keeping the rest of a packet that was cut by reference.
    fn consume(&mut self, ring: &Ring, mut taken: usize) {
        let from_rest = taken.min(self.rest.len());
        if from_rest == self.rest.len() {
            self.rest = Bytes::new();
        } else {
            self.rest = self.rest.slice(from_rest..);
        }
        taken -= from_rest;
        while taken > 0 {
            let Some(own) = self.own.pop_front() else { break };
            self.own_bytes -= own.len();
            taken = self.leave(&own, taken);
        }
        if self.own.is_empty() {
            self.own = VecDeque::new();
        }
        let Place::At(mut number) = self.place else { return };
        if self.datagrams {
            return;
        }
        let mut entry = self.entry;
        for packet in ring.from(number) {
            if self.wants(packet, &mut entry) {
                if taken == 0 {
                    break;
                }
                taken = self.leave(&packet.bytes, taken);
            }
            self.entry = entry;
            self.epoch = Some(packet.epoch);
            number += 1;
        }
        self.place = Place::At(number.max(ring.base()));
    }

    /// Accounts for a piece of which `taken` or fewer bytes went out; what is left of `taken`.
    fn leave(&mut self, piece: &Bytes, taken: usize) -> usize {
        if taken < piece.len() {
            self.rest = piece.slice(taken..);
        }
        taken.saturating_sub(piece.len())
    }
}

impl Skips {
    fn add(&mut self, now: Instant, allowed: u32) -> Lag {
        if now.saturating_duration_since(self.minute) > Duration::from_secs(60) {
            *self = Self { minute: now, count: 0 };
        }
        self.count += 1;
        if self.count > allowed { Lag::TooManySkips } else { Lag::Skipped }
    }
}

/// A viewer that has just joined is up to a GOP behind and is not late.
fn allowed_lag_ms(ring: &Ring, skip_after: Duration) -> i64 {
    let skip_after = i64::try_from(skip_after.as_millis()).unwrap_or(i64::MAX);
    skip_after.max(ring.gop_ms() * 3 / 2)
}

#[cfg(test)]
mod tests {
    use media::FrameKind;
    use proptest::prelude::*;

    use super::*;
    use crate::Prologue;

    fn settings() -> StreamSettings {
        StreamSettings::default()
    }

    /// Ten-byte packets whose bytes are their number; a key every `gop`.
    fn feed(ring: &mut Ring, range: std::ops::Range<u8>, gop: u8, epoch: u32) {
        for i in range {
            let kind = if i % gop == 0 { FrameKind::Key } else { FrameKind::Delta };
            let dts_ms = i64::from(i) * 100;
            let bytes = Bytes::from(vec![i; 10]);
            ring.push(Packet {
                bytes,
                kind,
                track: TrackKind::Video,
                dts_ms,
                epoch,
                datagrams: None,
            });
        }
    }

    /// A ten-byte packet as those of [`feed`], for those alone who began before its key frame.
    fn lead(ring: &mut Ring, number: u8) {
        feed(ring, number..number + 1, u8::MAX, 1);
        let kind = FrameKind::Leading;
        ring.newest_mut().take(1).for_each(|packet| packet.kind = kind);
    }

    fn ring() -> Ring {
        let mut ring: Ring = Ring::new(&settings(), Duration::from_secs(2));
        ring.push_prologue(Prologue {
            epoch: 1,
            bytes: Bytes::from_static(b"PROLOGUE"),
            has_video: true,
        });
        ring
    }

    fn drain_all(cursor: &mut Cursor, ring: &Ring) -> Vec<u8> {
        let mut out = Vec::new();
        let progress = cursor.drain(ring, usize::MAX, |slices| {
            slices.iter().for_each(|s| out.extend_from_slice(s));
            Ok(slices.iter().map(|s| s.len()).sum())
        });
        assert_eq!(progress.unwrap().drained, Drained::All);
        out
    }

    #[test]
    fn a_viewer_gets_its_own_bytes_then_the_prologue_then_the_newest_gop() {
        let mut ring = ring();
        feed(&mut ring, 0..15, 10, 1);
        let mut cursor = Cursor::join(&ring, [Bytes::from_static(b"HEAD")], Instant::now());
        let out = drain_all(&mut cursor, &ring);
        assert!(out.starts_with(b"HEADPROLOGUE\x0a"));
        assert_eq!(out.len(), 12 + 50);
        assert_eq!(drain_all(&mut cursor, &ring), b"");
    }

    #[test]
    fn a_late_viewer_skips_to_the_newest_key_packet_with_a_fresh_prologue() {
        let (mut ring, now) = (ring(), Instant::now());
        feed(&mut ring, 0..5, 10, 1);
        let mut cursor = Cursor::join(&ring, [], now);
        drain_all(&mut cursor, &ring);
        let bytes = Bytes::from_static(b"SECOND");
        ring.push_prologue(Prologue { epoch: 2, bytes, has_video: true });
        feed(&mut ring, 5..45, 10, 2);
        assert_eq!(cursor.catch_up(&ring, &settings(), now), Lag::Skipped);
        let out = drain_all(&mut cursor, &ring);
        assert!(out.starts_with(b"SECOND\x28"), "{out:?}");
        assert_eq!(cursor.catch_up(&ring, &settings(), now), Lag::Fine);
    }

    #[test]
    fn datagrams_that_were_not_taken_are_handed_out_again() {
        let (mut ring, now) = (ring(), Instant::now());
        feed(&mut ring, 0..4, 10, 1);
        let mut cursor = Cursor::join_datagrams(&ring, [], ring.start(), now);
        let first = cursor.next_datagrams(&ring).map(|(number, _)| number);
        cursor.next_datagrams(&ring);
        cursor.next_datagrams(&ring);
        cursor.go_back(first.unwrap() + 1);
        let rest = std::iter::from_fn(|| cursor.next_datagrams(&ring).map(|(number, _)| number));
        assert_eq!(rest.collect::<Vec<_>>(), [1, 2, 3].map(|n| first.unwrap() + n));
        cursor.pause();
        cursor.go_back(0);
        assert!(cursor.next_datagrams(&ring).is_none());
    }

    #[test]
    fn datagrams_go_on_at_the_next_key_frame_after_a_pause() {
        let (mut ring, now) = (ring(), Instant::now());
        feed(&mut ring, 0..4, 5, 1);
        let mut cursor = Cursor::join_datagrams(&ring, [], ring.start(), now);
        cursor.pause();
        cursor.resume(&ring, now);
        assert!(cursor.next_datagrams(&ring).is_none());
        feed(&mut ring, 4..6, 5, 1);
        cursor.catch_up(&ring, &settings(), now);
        let bytes = cursor.next_datagrams(&ring).map(|(_, packet)| packet.bytes[0]);
        assert_eq!(bytes, Some(5));
    }

    #[test]
    fn too_many_skips_are_told() {
        let (mut ring, now) = (ring(), Instant::now());
        let settings = StreamSettings { max_skips: 1, ..settings() };
        feed(&mut ring, 0..1, 10, 1);
        let mut cursor = Cursor::join(&ring, [], now);
        feed(&mut ring, 1..60, 10, 1);
        assert_eq!(cursor.catch_up(&ring, &settings, now), Lag::Skipped);
        feed(&mut ring, 60..120, 10, 1);
        assert_eq!(cursor.catch_up(&ring, &settings, now), Lag::TooManySkips);
    }

    #[test]
    fn without_key_frames_the_viewer_gets_the_stream_after_a_wait() {
        let (mut ring, now) = (ring(), Instant::now());
        feed(&mut ring, 1..5, 100, 1);
        let mut cursor = Cursor::join(&ring, [], now);
        cursor.catch_up(&ring, &settings(), now);
        assert_eq!(drain_all(&mut cursor, &ring), b"");
        cursor.catch_up(&ring, &settings(), now + settings().key_frame_wait);
        feed(&mut ring, 5..6, 100, 1);
        assert!(drain_all(&mut cursor, &ring).ends_with(&[5; 10]));
    }

    #[test]
    fn unwanted_tracks_are_left_out() {
        let (mut ring, now) = (ring(), Instant::now());
        feed(&mut ring, 0..1, 10, 1);
        let mut cursor = Cursor::join(&ring, [], now);
        cursor.set_audio(false);
        let audio = Packet {
            bytes: Bytes::from_static(b"audio"),
            kind: FrameKind::Audio,
            track: TrackKind::Audio,
            dts_ms: 50,
            epoch: 1,
            datagrams: None,
        };
        ring.push(audio.clone());
        feed(&mut ring, 1..2, 10, 1);
        assert_eq!(drain_all(&mut cursor, &ring).len(), 8 + 20);
        ring.push(audio.clone());
        assert_eq!(drain_all(&mut cursor, &ring), b"");
        cursor.set_audio(true);
        ring.push(audio);
        assert_eq!(drain_all(&mut cursor, &ring), b"audio");
    }

    #[test]
    fn a_viewer_that_never_reads_its_replies_is_told_apart() {
        let mut cursor = Cursor::join(&ring(), [], Instant::now());
        assert!(cursor.queue(Bytes::from(vec![0; MAX_OWN_BYTES])));
        assert!(!cursor.queue(Bytes::from_static(b"x")));
    }

    proptest! {
        /// However the sink cuts the writes, the bytes are those of an uncut one.
        #[test]
        fn cuts_change_nothing(cuts in prop::collection::vec(1usize..40, 1..50), replies in any::<u8>()) {
            let (mut ring, now) = (ring(), Instant::now());
            feed(&mut ring, 0..1, 50, 1);
            for i in 1..3 {
                lead(&mut ring, i);
            }
            feed(&mut ring, 3..10, 50, 1);
            ring.push(Packet { kind: FrameKind::Key, ..ring.get(9).unwrap().clone() });
            lead(&mut ring, 11);
            feed(&mut ring, 12..20, 50, 1);
            let start = Start::At(0);
            let whole = drain_all(&mut Cursor::join_at(&ring, [], start, now), &ring);
            prop_assert_eq!(whole.len(), 8 + 18 * 10);
            let mut cursor = Cursor::join_at(&ring, [], start, now);
            let (mut out, mut turn) = (Vec::new(), 0);
            while out.iter().filter(|b| **b != 0xEE).count() < whole.len() {
                if turn % 8 == 0 && replies & (1 << (turn / 8 % 8)) != 0 {
                    cursor.queue(Bytes::from_static(&[0xEE; 3]));
                }
                let room = cuts[turn % cuts.len()];
                turn += 1;
                let mut left = room;
                cursor.drain(&ring, usize::MAX, |slices| {
                    if left == 0 {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    let flat: Vec<u8> = slices.iter().flat_map(|s| s.to_vec()).collect();
                    let n = flat.len().min(left);
                    out.extend_from_slice(&flat[..n]);
                    left -= n;
                    Ok(n)
                }).unwrap();
            }
            out.retain(|b| *b != 0xEE);
            prop_assert_eq!(out, whole);
        }
    }
}
