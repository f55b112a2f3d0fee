//! What goes out of a stream: a packager for each wire format that somebody reads.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use media::{Frame, FrameKind, TrackId, TrackKind, TrackSet};

use crate::packager;
use crate::ring::{Item, Preamble};
use crate::{CacheLimit, EndReason, Packager, Packaging, Packet, Prologue, Ring, StreamSettings};

/// Where packets go: the inbox of one shard.
pub trait PacketSink: Send + Sync {
    /// Takes over what belongs to `subscription`; must not block.
    fn deliver(&self, subscription: u64, delivery: Delivery);
}

/// What a subscription brings, in order.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The packets that follow need this prologue.
    Prologue(Prologue),
    /// The next packets.
    Packets(Vec<Packet>),
    /// The stream is over; nothing follows.
    End(EndReason),
}

/// The state of a format when a shard begins to read it; all that comes later is delivered.
#[derive(Debug)]
pub struct Subscription {
    /// Names the subscription in [`PacketSink::deliver`] and
    /// [`Stream::unsubscribe`](crate::Stream::unsubscribe).
    pub id: u64,
    /// Prologues for the cached packets, oldest first.
    pub prologues: Vec<Prologue>,
    /// The cached packets.
    pub packets: Vec<Packet>,
}

/// A frame in the log.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) frame: Frame,
    pub(super) epoch: u32,
    /// The token of whoever published it.
    pub(super) publisher: u64,
}

impl Item for Logged {
    fn kind(&self) -> FrameKind {
        packager::meaning(&self.frame)
    }

    fn dts_ms(&self) -> i64 {
        self.frame.dts.millis()
    }

    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn size(&self) -> usize {
        self.frame.data.len()
    }
}

impl Preamble for Arc<TrackSet> {
    fn epoch(&self) -> u32 {
        self.epoch
    }

    fn has_video(&self) -> bool {
        self.has(TrackKind::Video)
    }

    fn size(&self) -> usize {
        TrackSet::size(self)
    }
}

/// One wire format that somebody reads.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) packaging: Packaging,
    packager: Box<dyn Packager>,
    pub(super) ring: Ring,
    pub(super) readers: Vec<Reader>,
}

pub(super) struct Reader {
    pub(super) subscription: u64,
    pub(super) sink: Arc<dyn PacketSink>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({})", self.subscription)
    }
}

impl Output {
    /// Starts a packager and feeds it the log, so that its first viewer starts at once too.
    pub(super) fn start(
        packaging: Packaging,
        settings: &StreamSettings,
        cache_limit: &CacheLimit,
        log: &Ring<Logged, Arc<TrackSet>>,
        current: &Arc<TrackSet>,
    ) -> Self {
        let mut output = Self {
            packaging,
            packager: packaging.packager(),
            ring: Ring::sharing(settings, Duration::ZERO, cache_limit),
            readers: Vec::new(),
        };
        let mut known = None;
        for (number, entry) in (log.base()..).zip(log.from(log.base())) {
            let Some(tracks) = log.prologue_for(number) else { continue };
            if known != Some(tracks.epoch) {
                output.set_tracks(tracks);
                known = Some(tracks.epoch);
            }
            output.push(&entry.frame, tracks);
        }
        if known != Some(current.epoch) {
            output.set_tracks(current);
        }
        output
    }

    pub(super) fn set_tracks(&mut self, tracks: &TrackSet) {
        let mut bytes = BytesMut::new();
        self.packager.prologue(tracks, &mut bytes);
        let prologue = Prologue {
            epoch: tracks.epoch,
            bytes: bytes.freeze(),
            // Nobody waits for pictures that are left out.
            has_video: tracks.get(TrackId::video(0)).is_some_and(|t| self.packaging.carries(t)),
        };
        self.ring.push_prologue(prologue.clone());
        for reader in &self.readers {
            reader.sink.deliver(reader.subscription, Delivery::Prologue(prologue.clone()));
        }
    }

    pub(super) fn push(&mut self, frame: &Frame, tracks: &TrackSet) {
        let mut packets = Vec::new();
        self.packager.push(frame, tracks, &mut packets);
        self.deliver(packets);
    }

    /// Sends on what the packager keeps back.
    pub(super) fn flush(&mut self, epoch: u32) {
        let mut packets = Vec::new();
        self.packager.flush(epoch, &mut packets);
        self.deliver(packets);
    }

    fn deliver(&mut self, packets: Vec<Packet>) {
        if packets.is_empty() {
            return;
        }
        if let Some((last, others)) = self.readers.split_last() {
            for reader in others {
                reader.sink.deliver(reader.subscription, Delivery::Packets(packets.clone()));
            }
            for packet in &packets {
                self.ring.push(packet.clone());
            }
            last.sink.deliver(last.subscription, Delivery::Packets(packets));
        } else {
            packets.into_iter().for_each(|packet| self.ring.push(packet));
        }
    }
}
