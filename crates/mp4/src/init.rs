//! The initialisation section: `ftyp` and `moov` without samples (ISO/IEC 14496-12 §8.2, §8.8).

use bytes::{BufMut, Bytes, BytesMut};

use crate::boxes::{boxed, full};
use crate::codec::SampleEntry;

/// Ticks per second of what belongs to no track.
const MOVIE_TIMESCALE: u32 = 1000;

/// The identity matrix of pictures (§6.2.2).
const MATRIX: [u32; 9] = [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000];

/// What the section says of a track.
pub(crate) struct TrackInit<'a> {
    pub(crate) number: u32,
    pub(crate) timescale: u32,
    pub(crate) is_sound: bool,
    pub(crate) entry: &'a SampleEntry,
}

/// Writes the section of these tracks.
pub(crate) fn section(tracks: &[TrackInit<'_>]) -> Bytes {
    let mut out = BytesMut::with_capacity(1024);
    boxed(&mut out, *b"ftyp", |out| {
        out.put_slice(b"iso6");
        out.put_u32(0);
        out.put_slice(b"iso6cmfcmp41");
    });
    boxed(&mut out, *b"moov", |out| {
        put_mvhd(out, tracks);
        for track in tracks {
            boxed(out, *b"trak", |out| put_trak(out, track));
        }
        boxed(out, *b"mvex", |out| {
            for track in tracks {
                put_trex(out, track.number);
            }
        });
    });
    out.freeze()
}

fn put_mvhd(out: &mut BytesMut, tracks: &[TrackInit<'_>]) {
    full(out, *b"mvhd", 0, 0, |out| {
        // When it was made and changed, and how long it is: unknown.
        out.put_bytes(0, 8);
        out.put_u32(MOVIE_TIMESCALE);
        out.put_u32(0);
        // Speed and volume of 1.
        out.put_u32(0x0001_0000);
        out.put_u16(0x0100);
        out.put_bytes(0, 10);
        MATRIX.iter().for_each(|number| out.put_u32(*number));
        out.put_bytes(0, 24);
        out.put_u32(tracks.iter().map(|track| track.number).max().unwrap_or(0) + 1);
    });
}

fn put_trak(out: &mut BytesMut, track: &TrackInit<'_>) {
    let (width, height) = track.entry.size;
    // Enabled, and part of the presentation.
    full(out, *b"tkhd", 0, 3, |out| {
        out.put_bytes(0, 8);
        out.put_u32(track.number);
        out.put_bytes(0, 4);
        out.put_u32(0);
        out.put_bytes(0, 8);
        // Layer; one of sound and one of pictures do not exclude each other; volume.
        out.put_bytes(0, 4);
        out.put_u16(if track.is_sound { 0x0100 } else { 0 });
        out.put_u16(0);
        MATRIX.iter().for_each(|number| out.put_u32(*number));
        out.put_u32(u32::from(width) << 16);
        out.put_u32(u32::from(height) << 16);
    });
    boxed(out, *b"mdia", |out| {
        full(out, *b"mdhd", 0, 0, |out| {
            out.put_bytes(0, 8);
            out.put_u32(track.timescale);
            out.put_u32(0);
            // The language `und`.
            out.put_u16(0x55C4);
            out.put_u16(0);
        });
        full(out, *b"hdlr", 0, 0, |out| {
            out.put_u32(0);
            out.put_slice(if track.is_sound { b"soun" } else { b"vide" });
            out.put_bytes(0, 12);
            out.put_slice(if track.is_sound { b"sound\0" } else { b"video\0" });
        });
        boxed(out, *b"minf", |out| put_minf(out, track));
    });
}

fn put_minf(out: &mut BytesMut, track: &TrackInit<'_>) {
    if track.is_sound {
        full(out, *b"smhd", 0, 0, |out| out.put_bytes(0, 4));
    } else {
        full(out, *b"vmhd", 0, 1, |out| out.put_bytes(0, 8));
    }
    boxed(out, *b"dinf", |out| {
        full(out, *b"dref", 0, 0, |out| {
            out.put_u32(1);
            // The media is in this very file.
            full(out, *b"url ", 0, 1, |_| {});
        });
    });
    boxed(out, *b"stbl", |out| {
        full(out, *b"stsd", 0, 0, |out| {
            out.put_u32(1);
            out.put_slice(&track.entry.bytes);
        });
        for name in [*b"stts", *b"stsc", *b"stco"] {
            full(out, name, 0, 0, |out| out.put_u32(0));
        }
        full(out, *b"stsz", 0, 0, |out| out.put_bytes(0, 8));
    });
}

fn put_trex(out: &mut BytesMut, number: u32) {
    full(out, *b"trex", 0, 0, |out| {
        out.put_u32(number);
        // The first sample entry; every fragment says the rest.
        out.put_u32(1);
        out.put_bytes(0, 12);
    });
}
