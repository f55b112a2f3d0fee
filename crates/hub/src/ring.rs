//! The newest items of a stream, and where in them one may start: frames in a stream's log, packets
//! of one wire format in a ring.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use media::{FrameKind, TrackKind};

use crate::StreamSettings;

/// A piece of a wire format that is sent whole: one may start, stop or skip only between packets.
#[derive(Debug, Clone)]
pub struct Packet {
    /// What goes onto the wire.
    pub bytes: Bytes,
    /// What it means to a viewer who starts or skips.
    pub kind: FrameKind,
    /// Which kind of track it belongs to.
    pub track: TrackKind,
    /// Decoding time on the stream's time line.
    pub dts_ms: i64,
    /// The version of the track set that it needs.
    pub epoch: u32,
    /// How it is sent as datagrams; nothing in formats that are streams of bytes.
    pub datagrams: Option<Datagrams>,
}

/// How the bytes of a [`Packet`] are cut into datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagrams {
    /// Which of the viewer's channels they go to.
    pub channel: u8,
    /// Bytes of each; the last may have fewer.
    pub size: u16,
}

/// What a viewer of a format needs before its first packet of an epoch.
#[derive(Debug, Clone)]
pub struct Prologue {
    /// The version of the track set that it describes.
    pub epoch: u32,
    /// Metadata and decoder configurations in the wire format.
    pub bytes: Bytes,
    /// Whether the stream has pictures: viewers then start and skip at key frames only.
    pub has_video: bool,
}

/// Where a new viewer's cursor is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At this packet.
    At(u64),
    /// At the next key packet from this one on.
    KeyFrom(u64),
}

/// What a [`Ring`] keeps.
pub trait Item {
    /// What it means to somebody who starts or skips.
    fn kind(&self) -> FrameKind;
    /// Decoding time on the stream's time line.
    fn dts_ms(&self) -> i64;
    /// The version of the track set that it needs.
    fn epoch(&self) -> u32;
    /// Bytes of payload.
    fn size(&self) -> usize;
}

/// What one needs before the first item of an epoch.
pub trait Preamble {
    /// The version of the track set that it describes.
    fn epoch(&self) -> u32;
    /// Whether there are pictures, so that one has to start at a key frame.
    fn has_video(&self) -> bool;
    /// Bytes that it holds.
    fn size(&self) -> usize;
}

impl Item for Packet {
    fn kind(&self) -> FrameKind {
        self.kind
    }

    fn dts_ms(&self) -> i64 {
        self.dts_ms
    }

    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl Preamble for Prologue {
    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn has_video(&self) -> bool {
        self.has_video
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// How many bytes each ring of a stream may hold. All copies change together: the limit is lowered
/// while the server as a whole holds too much.
#[derive(Debug, Clone)]
pub struct CacheLimit(Arc<AtomicUsize>);

impl CacheLimit {
    /// A limit of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Its bytes now.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes it; rings follow with their next item.
    pub fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// The newest items of a stream, numbered without gaps.
#[derive(Debug)]
pub struct Ring<T = Packet, P = Prologue> {
    items: VecDeque<T>,
    /// The number of the front item.
    base: u64,
    bytes: usize,
    /// The numbers of the key frames in `items`.
    keys: VecDeque<u64>,
    /// Where somebody begins who gets the sound of the last moment. It only moves on, so that
    /// looking for it costs nothing, however many items have the same time.
    backlog: u64,
    /// One for each epoch that an item in `items` or the next one may need.
    prologues: VecDeque<P>,
    prologue_bytes: usize,
    /// Keep at least this much time, so that a viewer may lag.
    window: Duration,
    gops: usize,
    max_items: usize,
    max_bytes: CacheLimit,
}

/// Versions of the track set that are kept: a publisher that changes its configuration all the
/// time must not fill the memory with prologues. GStreamer renews its metadata some ten times a
/// second at first.
const MAX_PROLOGUES: usize = 128;

/// Bytes of all of them, but for the newest one, which stays whatever its size.
const MAX_PROLOGUE_BYTES: usize = 4 << 20;

/// Sound that a viewer of a stream without pictures gets at once.
const AUDIO_BACKLOG_MS: i64 = 1_000;

impl<T: Item, P: Preamble> Ring<T, P> {
    /// A ring for viewers that may fall `window` behind, with the settings' limit of bytes.
    #[must_use]
    pub fn new(settings: &StreamSettings, window: Duration) -> Self {
        Self::sharing(settings, window, &CacheLimit::new(settings.max_cache_bytes))
    }

    /// As [`Ring::new`], with a limit of bytes that others share.
    #[must_use]
    pub fn sharing(settings: &StreamSettings, window: Duration, max_bytes: &CacheLimit) -> Self {
        Self {
            items: VecDeque::new(),
            base: 0,
            bytes: 0,
            keys: VecDeque::new(),
            backlog: 0,
            prologues: VecDeque::new(),
            prologue_bytes: 0,
            window,
            gops: settings.gops,
            max_items: settings.max_gop_frames.saturating_mul(settings.gops.max(1)),
            max_bytes: max_bytes.clone(),
        }
    }

    /// Adds what a viewer needs for the packets that follow.
    pub fn push_prologue(&mut self, prologue: P) {
        self.prologues.retain(|old| old.epoch() != prologue.epoch());
        self.prologues.push_back(prologue);
        self.prologue_bytes = self.prologues.iter().map(P::size).sum();
        while self.prologues.len() > MAX_PROLOGUES
            || (self.prologues.len() > 1 && self.prologue_bytes > MAX_PROLOGUE_BYTES)
        {
            let oldest = self.drop_prologue();
            while self.items.front().is_some_and(|item| Some(item.epoch()) <= oldest) {
                self.drop_front();
            }
        }
        self.forget_prologues();
    }

    /// Appends an item and drops what nobody may still need.
    pub fn push(&mut self, item: T) {
        if item.kind() == FrameKind::Key {
            self.keys.push_back(self.end());
        }
        let since = item.dts_ms() - AUDIO_BACKLOG_MS;
        self.bytes += item.size();
        self.items.push_back(item);
        while self.get(self.backlog).is_some_and(|item| item.dts_ms() < since) {
            self.backlog += 1;
        }
        self.evict();
    }

    /// The number of the oldest item.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The number that the next item will have.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.base + self.items.len() as u64
    }

    /// The item with this number, if it is still there.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&T> {
        self.items.get(usize::try_from(number.checked_sub(self.base)?).ok()?)
    }

    /// The items from this number on.
    pub fn from(&self, number: u64) -> impl Iterator<Item = &T> {
        let skip = usize::try_from(number.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.items.range(skip.min(self.items.len())..)
    }

    /// The items, the newest first, for changes that neither their kind nor their size shows.
    pub(crate) fn newest_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().rev()
    }

    /// The bytes that the items and prologues hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.prologue_bytes
    }

    /// What a viewer needs to begin at item `number`.
    #[must_use]
    pub fn prologue_for(&self, number: u64) -> Option<&P> {
        match self.get(number) {
            Some(item) => self.prologues.iter().find(|p| p.epoch() == item.epoch()),
            None => self.prologues.back(),
        }
    }

    /// The newest prologue.
    #[must_use]
    pub fn latest_prologue(&self) -> Option<&P> {
        self.prologues.back()
    }

    /// Every prologue that a cached item may need, oldest first.
    pub fn prologues(&self) -> impl Iterator<Item = &P> {
        self.prologues.iter()
    }

    /// Whether viewers have to start at key frames.
    #[must_use]
    pub fn has_video(&self) -> bool {
        self.prologues.back().is_some_and(P::has_video)
    }

    /// Where a new viewer begins.
    #[must_use]
    pub fn start(&self) -> Start {
        if self.gops == 0 {
            return if self.has_video() {
                Start::KeyFrom(self.end())
            } else {
                Start::At(self.end())
            };
        }
        if !self.has_video() {
            return Start::At(self.backlog);
        }
        match self.keys.len().checked_sub(self.gops.min(self.keys.len())) {
            Some(oldest) if oldest < self.keys.len() => {
                Start::At(self.keys.get(oldest).copied().unwrap_or_else(|| self.end()))
            }
            _ => Start::KeyFrom(self.end()),
        }
    }

    /// The number of the newest key frame.
    #[must_use]
    pub fn newest_key(&self) -> Option<u64> {
        self.keys.back().copied()
    }

    /// The first key frame from `number` on.
    #[must_use]
    pub fn key_from(&self, number: u64) -> Option<u64> {
        let index = self.keys.partition_point(|key| *key < number);
        self.keys.get(index).copied()
    }

    /// The decoding time of the newest item.
    #[must_use]
    pub fn newest_dts_ms(&self) -> i64 {
        self.items.back().map_or(0, T::dts_ms)
    }

    /// How long the newest whole GOP is, or the unfinished one if that is longer.
    #[must_use]
    pub fn gop_ms(&self) -> i64 {
        let dts = |key: Option<&u64>| key.and_then(|k| self.get(*k)).map(T::dts_ms);
        let Some(last) = dts(self.keys.back()) else { return 0 };
        let unfinished = self.newest_dts_ms() - last;
        let before = self.keys.len().checked_sub(2).and_then(|i| dts(self.keys.get(i)));
        before.map_or(unfinished, |before| unfinished.max(last - before))
    }

    fn evict(&mut self) {
        let newest = self.newest_dts_ms();
        let window = i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX);
        let max_bytes = self.max_bytes.get();
        while let Some(front) = self.items.front() {
            let cached = self.cache_start().is_some_and(|start| self.base >= start);
            let in_window = newest - front.dts_ms() <= window;
            let over = self.items.len() > self.max_items || self.bytes() > max_bytes;
            // The newest item stays whatever its size: it must be sent before it can go.
            if self.items.len() <= 1 || ((cached || in_window) && !over) {
                break;
            }
            self.drop_front();
        }
        self.forget_prologues();
    }

    fn drop_front(&mut self) {
        let Some(front) = self.items.pop_front() else { return };
        self.bytes -= front.size();
        self.base += 1;
        self.backlog = self.backlog.max(self.base);
        while self.keys.front().is_some_and(|key| *key < self.base) {
            self.keys.pop_front();
        }
    }

    /// The first item that a new viewer would get; `None` while there is nothing to cache.
    fn cache_start(&self) -> Option<u64> {
        match self.start() {
            Start::At(number) => Some(number),
            Start::KeyFrom(_) => None,
        }
    }

    /// The newest prologue stays, and those of epochs that items still belong to.
    fn forget_prologues(&mut self) {
        let oldest = self.items.front().map_or(u32::MAX, T::epoch);
        while self.prologues.len() > 1 && self.prologues.front().is_some_and(|p| p.epoch() < oldest)
        {
            self.drop_prologue();
        }
    }

    /// Forgets the oldest prologue; its epoch.
    fn drop_prologue(&mut self) -> Option<u32> {
        let oldest = self.prologues.pop_front()?;
        self.prologue_bytes = self.prologue_bytes.saturating_sub(oldest.size());
        Some(oldest.epoch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: FrameKind, dts_ms: i64) -> Packet {
        let track = if kind == FrameKind::Audio { TrackKind::Audio } else { TrackKind::Video };
        Packet {
            bytes: Bytes::from_static(&[0; 100]),
            kind,
            track,
            dts_ms,
            epoch: 1,
            datagrams: None,
        }
    }

    fn ring(gops: usize, has_video: bool) -> Ring {
        let settings = StreamSettings { gops, ..StreamSettings::default() };
        let mut ring: Ring = Ring::new(&settings, Duration::from_millis(500));
        ring.push_prologue(Prologue { epoch: 1, bytes: Bytes::new(), has_video });
        ring
    }

    #[test]
    fn a_new_viewer_starts_at_the_oldest_of_the_wanted_gops() {
        for (gops, expected) in [(1, Start::At(20)), (2, Start::At(10)), (0, Start::KeyFrom(25))] {
            let mut ring = ring(gops, true);
            for i in 0..25 {
                let kind = if i % 10 == 0 { FrameKind::Key } else { FrameKind::Delta };
                ring.push(packet(kind, i * 40));
            }
            assert_eq!(ring.start(), expected, "{gops} gops");
        }
    }

    #[test]
    fn sound_alone_starts_a_second_back() {
        let mut ring = ring(1, false);
        for i in 0..200 {
            ring.push(packet(FrameKind::Audio, i * 20));
        }
        assert_eq!(ring.start(), Start::At(149));
    }

    /// A publisher whose sound stands still must not make each frame cost more than the one before.
    #[test]
    fn sound_that_stands_still_costs_no_more() {
        let max_gop_frames = 1 << 20;
        let settings = StreamSettings { max_gop_frames, ..StreamSettings::default() };
        let mut ring: Ring = Ring::new(&settings, Duration::ZERO);
        ring.push_prologue(Prologue { epoch: 1, bytes: Bytes::new(), has_video: false });
        // If each looked at all others, this would take minutes.
        for _ in 0..1 << 20 {
            ring.push(Packet { bytes: Bytes::new(), ..packet(FrameKind::Audio, 5_000) });
        }
        assert_eq!((ring.start(), ring.base()), (Start::At(0), 0));
        ring.push(packet(FrameKind::Audio, 6_001));
        assert_eq!((ring.start(), ring.base()), (Start::At(1 << 20), 1 << 20));
    }

    #[test]
    fn an_endless_gop_is_bounded_and_no_longer_a_start() {
        let settings = StreamSettings { max_gop_frames: 50, ..StreamSettings::default() };
        let mut ring: Ring = Ring::new(&settings, Duration::from_secs(1));
        ring.push_prologue(Prologue { epoch: 1, bytes: Bytes::new(), has_video: true });
        ring.push(packet(FrameKind::Key, 0));
        for i in 1..500 {
            ring.push(packet(FrameKind::Delta, i * 40));
        }
        // With its key frame gone, only the second that viewers may lag is worth keeping.
        assert_eq!(ring.end() - ring.base(), 26);
        assert_eq!(ring.start(), Start::KeyFrom(500));
        assert_eq!(ring.bytes(), 2600);
    }

    #[test]
    fn bytes_are_bounded() {
        let settings = StreamSettings { max_cache_bytes: 1000, ..StreamSettings::default() };
        let mut ring: Ring = Ring::new(&settings, Duration::from_secs(100));
        for i in 0..100 {
            ring.push(packet(FrameKind::Delta, i));
        }
        assert_eq!(ring.bytes(), 1000);
    }

    #[test]
    fn endless_changes_of_the_configuration_are_bounded() {
        let mut ring = ring(1, true);
        ring.push(packet(FrameKind::Key, 0));
        for epoch in 2..1000 {
            ring.push_prologue(Prologue { epoch, bytes: Bytes::new(), has_video: true });
            ring.push(Packet { epoch, ..packet(FrameKind::Config, 1) });
        }
        assert_eq!(ring.prologues().count(), MAX_PROLOGUES);
        assert!(ring.end() - ring.base() <= MAX_PROLOGUES as u64);
    }

    #[test]
    fn large_prologues_are_bounded_and_counted() {
        let mut ring = ring(1, true);
        ring.push(packet(FrameKind::Key, 0));
        for epoch in 2..100 {
            let bytes = Bytes::from(vec![0; 500_000]);
            ring.push_prologue(Prologue { epoch, bytes, has_video: true });
            ring.push(Packet { epoch, ..packet(FrameKind::Config, 1) });
            assert!(ring.bytes() <= MAX_PROLOGUE_BYTES + 100 * 100, "{}", ring.bytes());
        }
        assert_eq!(ring.prologues().count(), 8);
        let oldest = ring.prologues().next().map(|p| p.epoch);
        assert_eq!(ring.get(ring.base()).map(|packet| packet.epoch), oldest);
        // They go with the packets that needed them.
        ring.push(Packet { epoch: 99, ..packet(FrameKind::Key, 5_000) });
        assert_eq!(ring.bytes(), 500_000 + 100);
    }

    #[test]
    fn old_epochs_are_forgotten_with_their_packets() {
        let mut ring = ring(1, true);
        ring.push(packet(FrameKind::Key, 0));
        for epoch in 2..5 {
            ring.push_prologue(Prologue { epoch, bytes: Bytes::new(), has_video: true });
            let dts_ms = i64::from(epoch) * 1000;
            ring.push(Packet { epoch, ..packet(FrameKind::Key, dts_ms) });
        }
        assert_eq!(ring.prologues().map(|p| p.epoch).collect::<Vec<_>>(), [4]);
        assert_eq!(ring.prologue_for(ring.base()).map(|p| p.epoch), Some(4));
    }
}
