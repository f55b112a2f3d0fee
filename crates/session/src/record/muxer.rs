//! The contents of recordings: the packets that viewers get, or fragments that are as long as a
//! group of pictures.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use hub::{Packager, Packaging, Packet, file_header};
use media::{Frame, FrameKind, Ticks, TrackKind, TrackSet};
use mp4::index::{self, Entry};
use mp4::{Fragment, Fragmenter};

use super::Format;

/// A fragment without a key frame to begin the next with is cut after this.
const MAX_FRAGMENT_MS: i64 = 2_000;

/// Fragments that the index of a file has room for: two days of two seconds.
const MAX_ENTRIES: usize = 100_000;

/// Makes the contents of one file, whose time begins at zero.
#[derive(Debug)]
pub struct Muxer {
    contents: Contents,
    tracks: Arc<TrackSet>,
    /// The decoding time of the first frame.
    origin: Ticks,
    /// How far the file has come.
    length_ms: i64,
}

#[derive(Debug)]
enum Contents {
    /// FLV and transport streams, packet by packet.
    Packets { packaging: Packaging, packager: Box<dyn Packager>, packets: Vec<Packet>, epoch: u32 },
    /// MP4.
    Fragments {
        fragmenter: Box<Fragmenter>,
        since: Option<Ticks>,
        entries: Vec<Entry>,
        offset: u64,
    },
}

impl Muxer {
    /// Begins a file with `first`, which should be a key frame, and appends what it begins with.
    /// `None` if the format has no place for any of the tracks.
    #[must_use]
    pub fn begin(
        format: Format,
        tracks: &Arc<TrackSet>,
        first: &Frame,
        out: &mut BytesMut,
    ) -> Option<Self> {
        let mut contents = Contents::new(format);
        let (tracks, origin) = (tracks.clone(), first.dts);
        contents.begin(&tracks, out).then_some(Self { contents, tracks, origin, length_ms: 0 })
    }

    /// The tracks have changed. Returns whether the file can go on with them; what is left of the
    /// old ones is appended.
    pub fn set_tracks(&mut self, tracks: &Arc<TrackSet>, out: &mut BytesMut) -> bool {
        self.tracks = tracks.clone();
        self.contents.set_tracks(tracks, out)
    }

    /// Takes a frame, and appends what is complete by it.
    pub fn push(&mut self, frame: &Frame, out: &mut BytesMut) {
        let since = self.since(frame);
        // Sound of before the first picture comes late.
        if since.value >= 0 {
            self.length_ms = self.length_ms.max(since.millis());
            let frame = Frame { dts: since, ..frame.clone() };
            self.contents.push(&frame, &self.tracks, out);
        }
    }

    /// How far into the file a frame is.
    #[must_use]
    pub fn since(&self, frame: &Frame) -> Ticks {
        let base = frame.dts.base;
        let value = frame.dts.value.saturating_sub(self.origin.rescale(base).value);
        Ticks::new(value, base)
    }

    /// How far the file has come, in milliseconds.
    #[must_use]
    pub fn length_ms(&self) -> i64 {
        self.length_ms
    }

    /// Appends what a file ends with.
    pub fn finish(&mut self, out: &mut BytesMut) {
        self.contents.finish(out);
    }
}

impl Contents {
    fn new(format: Format) -> Self {
        let packaging = match format {
            Format::Flv | Format::Ts => format.packaging(),
            Format::Mp4 => {
                let (fragmenter, entries) = (Box::default(), Vec::new());
                return Self::Fragments { fragmenter, since: None, entries, offset: 0 };
            }
        };
        let (packager, packets) = (packaging.packager(), Vec::new());
        Self::Packets { packaging, packager, packets, epoch: 0 }
    }

    /// Appends what a file begins with. Returns whether there is anything to put into it.
    fn begin(&mut self, tracks: &TrackSet, out: &mut BytesMut) -> bool {
        match self {
            Self::Packets { packaging, packager, epoch, .. } => {
                *epoch = tracks.epoch;
                if matches!(packaging, Packaging::Flv { .. }) {
                    out.put_slice(&file_header(tracks, false));
                }
                packager.prologue(tracks, out);
                let media = tracks.tracks.iter().filter(|track| track.id.index == 0).count();
                packaging.left_out(tracks).len() < media
            }
            Self::Fragments { fragmenter, offset, .. } => {
                let _first = fragmenter.set_tracks(tracks);
                let init = fragmenter.init();
                *offset = init.len() as u64;
                out.put_slice(&init);
                !fragmenter.is_empty()
            }
        }
    }

    /// The tracks have changed. Returns whether the file can go on with them.
    fn set_tracks(&mut self, tracks: &TrackSet, out: &mut BytesMut) -> bool {
        match self {
            Self::Packets { packager, epoch, .. } => {
                *epoch = tracks.epoch;
                // The frames that follow tell it in place.
                packager.prologue(tracks, &mut BytesMut::new());
                true
            }
            Self::Fragments { fragmenter, entries, offset, .. } => {
                match fragmenter.set_tracks(tracks) {
                    None => true,
                    Some(change) => {
                        if let Some(rest) = change.rest {
                            put(rest, entries, offset, out);
                        }
                        false
                    }
                }
            }
        }
    }

    fn push(&mut self, frame: &Frame, tracks: &TrackSet, out: &mut BytesMut) {
        match self {
            Self::Packets { packager, packets, .. } => {
                packager.push(frame, tracks, packets);
                packets.drain(..).for_each(|packet| out.put_slice(&packet.bytes));
            }
            Self::Fragments { fragmenter, since, entries, offset } => {
                fragmenter.push(frame);
                let leads = match frame.kind {
                    FrameKind::Key | FrameKind::Delta | FrameKind::Leading => {
                        frame.track.index == 0
                    }
                    FrameKind::Audio => !tracks.has(TrackKind::Video),
                    FrameKind::Config | FrameKind::Data => false,
                };
                if !leads {
                    return;
                }
                let start = *since.get_or_insert(frame.dts);
                let length = frame.dts.millis() - start.millis();
                if (frame.is_key() && length > 0) || length >= MAX_FRAGMENT_MS {
                    *since = Some(frame.dts);
                    if let Some(fragment) = fragmenter.cut(frame.dts) {
                        put(fragment, entries, offset, out);
                    }
                }
            }
        }
    }

    /// Appends what a file ends with.
    fn finish(&mut self, out: &mut BytesMut) {
        match self {
            Self::Packets { packager, packets, epoch, .. } => {
                packager.flush(*epoch, packets);
                packets.drain(..).for_each(|packet| out.put_slice(&packet.bytes));
            }
            Self::Fragments { fragmenter, entries, offset, .. } => {
                if let Some(fragment) = fragmenter.finish() {
                    put(fragment, entries, offset, out);
                }
                out.put_slice(&index::random_access(1, entries));
            }
        }
    }
}

/// Appends a fragment, and remembers where it is.
fn put(fragment: Fragment, entries: &mut Vec<Entry>, offset: &mut u64, out: &mut BytesMut) {
    if fragment.independent && entries.len() < MAX_ENTRIES {
        let time = u64::try_from(fragment.start.value).unwrap_or_default();
        entries.push(Entry { time, offset: *offset });
    }
    *offset += fragment.bytes.len() as u64;
    out.put_slice(&fragment.bytes);
}
