//! The contents of recordings: the packets that viewers get, or fragments that are as long as a
//! group of pictures.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use hub::{Packager, Packaging, Packet, file_header};
use media::{Frame, FrameKind, Ticks, TimeBase, TrackKind, TrackSet};
use mp4::index::{self, Entry};
use mp4::{Fragment, Fragmenter};

use super::Format;

/// A fragment without a key frame to begin the next with is cut after this.
const MAX_FRAGMENT_MS: i64 = 2_000;

/// Sound that waits for so long is cut without a picture, for pictures that pause.
const SOUND_PATIENCE: Ticks = Ticks { value: MAX_FRAGMENT_MS + 1_000, base: TimeBase::MILLIS };

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

    /// Whether the file can go on with these tracks.
    #[must_use]
    pub fn fits(&self, tracks: &TrackSet) -> bool {
        match &self.contents {
            Contents::Packets { .. } => true,
            Contents::Fragments { fragmenter, .. } => fragmenter.fits(tracks),
        }
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
                    let waits = fragmenter.waiting_sound();
                    if waits.is_some_and(|span| span > SOUND_PATIENCE)
                        && let Some(fragment) =
                            fragmenter.cut(Ticks::new(i64::MAX, TimeBase::MILLIS))
                    {
                        put(fragment, entries, offset, out);
                    }
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use media::{Codec, Track, TrackId, inspect};
    use mp4::read::{Item, Reader};
    use testkit::{aac, h264};

    use super::*;

    fn track(id: TrackId, codec: Codec, config: Bytes) -> Arc<Track> {
        let details = inspect::details(codec, &config).expect("a configuration");
        let time_base = inspect::time_base(codec, &details);
        Arc::new(Track { id, codec, time_base, config, color_info: None, enhanced: false, details })
    }

    #[test]
    fn sound_is_written_while_pictures_pause() {
        let sequence = h264::Sequence { width: 64, height: 64, rate: (25, 1), reorders: false };
        let picture = track(TrackId::video(0), Codec::H264, sequence.avcc());
        let sound = track(TrackId::audio(0), Codec::Aac, aac::config(48_000, 2));
        let list = vec![picture.clone(), sound.clone()];
        let tracks = Arc::new(TrackSet { tracks: list, ..TrackSet::default() });
        let frame = |track: &Track, kind, dts, data| Frame {
            track: track.id,
            kind,
            dts: Ticks::new(dts, track.time_base),
            cts: 0,
            arrival: Instant::now(),
            data,
            units: std::iter::once(4..6).collect(),
        };
        let seen = |ms: i64| {
            let data = Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]);
            frame(&picture, FrameKind::Key, ms * 90, data)
        };
        let mut out = BytesMut::new();
        let mut muxer = Muxer::begin(Format::Mp4, &tracks, &seen(0), &mut out).expect("a muxer");
        muxer.push(&seen(0), &mut out);
        let mut written = out.len();
        for second in 0..30 {
            for n in 0..47 {
                let dts = (second * 47 + n) * 1024;
                muxer.push(&frame(&sound, FrameKind::Audio, dts, aac::silence(2, 100)), &mut out);
            }
            if second % 5 == 4 {
                assert!(out.len() > written, "nothing in five seconds");
                written = out.len();
            }
        }
        muxer.push(&seen(31_000), &mut out);
        muxer.finish(&mut out);
        let items = Reader::new().segment(&out.freeze(), Instant::now()).expect("a file");
        let count = |id: TrackId| {
            let is_one = |item: &&Item| matches!(item, Item::Frame(frame) if frame.track == id);
            items.iter().filter(is_one).count()
        };
        assert_eq!((count(picture.id), count(sound.id)), (2, 30 * 47));
    }
}
