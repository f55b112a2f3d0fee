//! The contents of recordings: the packets that viewers get, or fragments that are as long as a
//! group of pictures.

use bytes::{BufMut, BytesMut};
use hub::{Dialect, Form, Packager, Packaging, Packet, file_header};
use media::{Frame, FrameKind, Ticks, TrackKind, TrackSet};
use mp4::index::{self, Entry};
use mp4::{Fragment, Fragmenter};

use super::Format;

/// A fragment without a key frame to begin the next with is cut after this.
const MAX_FRAGMENT_MS: i64 = 2_000;

/// Fragments that the index of a file has room for: two days of two seconds.
const MAX_ENTRIES: usize = 100_000;

/// Makes the contents of one file.
#[derive(Debug)]
pub(super) enum Muxer {
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
    pub(super) fn new(format: Format) -> Self {
        let packaging = match format {
            Format::Flv => {
                let form = Form::AsPublished;
                let dialect = Dialect { form, multitrack: true, color_info: true };
                Packaging::Flv { websocket: false, dialect }
            }
            Format::Ts => Packaging::Ts { websocket: false },
            Format::Mp4 => {
                let (fragmenter, entries) = (Box::default(), Vec::new());
                return Self::Fragments { fragmenter, since: None, entries, offset: 0 };
            }
        };
        let (packager, packets) = (packaging.packager(), Vec::new());
        Self::Packets { packaging, packager, packets, epoch: 0 }
    }

    /// Appends what a file begins with. Returns whether there is anything to put into it.
    pub(super) fn begin(&mut self, tracks: &TrackSet, out: &mut BytesMut) -> bool {
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
    pub(super) fn set_tracks(&mut self, tracks: &TrackSet, out: &mut BytesMut) -> bool {
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

    pub(super) fn push(&mut self, frame: &Frame, tracks: &TrackSet, out: &mut BytesMut) {
        match self {
            Self::Packets { packager, packets, .. } => {
                packager.push(frame, tracks, packets);
                packets.drain(..).for_each(|packet| out.put_slice(&packet.bytes));
            }
            Self::Fragments { fragmenter, since, entries, offset } => {
                fragmenter.push(frame);
                let leads = match frame.kind {
                    FrameKind::Key | FrameKind::Delta => frame.track.index == 0,
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
    pub(super) fn finish(&mut self, out: &mut BytesMut) {
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
