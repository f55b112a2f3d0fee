//! What video and audio payload headers share: FourCC code points, ModEx, multitrack.
//!
//! Enhanced RTMP v2, "Enhanced Audio" and "Enhanced Video": both say a packet type, optionally
//! extended by ModEx packets, optionally for several tracks, and a FourCC.

use bytes::{BufMut, Bytes, BytesMut};
use media::{Codec, FourCc, Reader};
use smallvec::SmallVec;

use crate::Error;

/// Tracks in one message. Real encoders send one to four.
pub const MAX_TRACKS: usize = 32;

/// What a message holds for one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackPacket<P> {
    /// The track; 0 where the message names none.
    pub track: u8,
    /// How it is coded.
    pub codec: Codec,
    /// What it is.
    pub packet: P,
}

/// The packets of a message.
pub type Packets<P> = SmallVec<[TrackPacket<P>; 1]>;

/// ModEx packets, read away: the packet type that they extend, and the nanoseconds that they add
/// to the message's time.
pub(crate) struct Extended {
    pub(crate) packet_type: u8,
    pub(crate) nano_offset: u32,
}

/// `ModEx` is packet type 7 of both video and audio.
pub(crate) const MOD_EX: u8 = 7;

/// The only ModEx type so far.
const TIMESTAMP_OFFSET_NANO: u8 = 0;

/// How the tracks of a multitrack message are laid out.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS: u8 = 1;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

/// Nanoseconds are added to a millisecond; more than fit into one are none.
const MAX_NANO_OFFSET: u32 = 999_999;

/// Reads ModEx packets away.
pub(crate) fn read_mod_ex(reader: &mut Reader<'_>, mut packet_type: u8) -> Result<Extended, Error> {
    let mut nano_offset = 0;
    while packet_type == MOD_EX {
        let mut size = usize::from(reader.u8()?) + 1;
        if size == 256 {
            size = usize::from(reader.u16()?) + 1;
        }
        let data = reader.take(size)?;
        let next = reader.u8()?;
        if next >> 4 == TIMESTAMP_OFFSET_NANO
            && let Ok(nanos) = Reader::new(data).u24()
            && nanos <= MAX_NANO_OFFSET
        {
            nano_offset = nanos;
        }
        packet_type = next & 0x0F;
    }
    Ok(Extended { packet_type, nano_offset })
}

/// Reads the tracks of a message of the packet type `multitrack`: calls `read` with the inner
/// packet type, the codec, and the track's bytes.
pub(crate) fn read_tracks<P>(
    reader: &mut Reader<'_>,
    multitrack: u8,
    codec_of: impl Fn(FourCc) -> Codec,
    mut read: impl FnMut(u8, Codec, &mut Reader<'_>) -> Result<P, Error>,
) -> Result<Packets<P>, Error> {
    let layout = reader.u8()?;
    let (layout, packet_type) = (layout >> 4, layout & 0x0F);
    if !matches!(layout, ONE_TRACK | MANY_TRACKS | MANY_TRACKS_MANY_CODECS) {
        let value = u64::from(layout);
        return Err(media::Error::Invalid { what: "AvMultitrackType", value }.into());
    }
    if packet_type == multitrack {
        let (what, value) = ("packet type within a multitrack message", u64::from(packet_type));
        return Err(media::Error::Invalid { what, value }.into());
    }
    let shared = if layout == MANY_TRACKS_MANY_CODECS {
        None
    } else {
        Some(codec_of(FourCc(reader.array()?)))
    };
    let mut packets = Packets::new();
    loop {
        if packets.len() >= MAX_TRACKS {
            return Err(Error::TooManyValues(MAX_TRACKS));
        }
        let codec = match shared {
            Some(codec) => codec,
            None => codec_of(FourCc(reader.array()?)),
        };
        let track = reader.u8()?;
        let bytes = if layout == ONE_TRACK {
            reader.take(reader.remaining())?
        } else {
            let size = reader.u24()?;
            reader.take(usize::try_from(size).unwrap_or(usize::MAX))?
        };
        let packet = read(packet_type, codec, &mut Reader::new(bytes))?;
        packets.push(TrackPacket { track, codec, packet });
        if layout == ONE_TRACK || reader.is_empty() {
            return Ok(packets);
        }
    }
}

/// Appends the header of a multitrack message with one track.
pub(crate) fn put_one_track(out: &mut BytesMut, packet_type: u8, fourcc: FourCc, track: u8) {
    out.put_u8(ONE_TRACK << 4 | packet_type);
    out.put_slice(&fourcc.0);
    out.put_u8(track);
}

/// The rest of `reader`, as a slice of the message that it reads.
pub(crate) fn rest_of(message: &Bytes, reader: &Reader<'_>) -> Bytes {
    message.slice_ref(reader.rest())
}

/// The FourCC of a codec in Enhanced RTMP.
#[must_use]
pub fn fourcc(codec: Codec) -> Option<FourCc> {
    let code = match codec {
        Codec::FourCc(code) => return Some(code),
        Codec::FlvVideo(_) | Codec::FlvAudio(_) | Codec::Rtp(_) | Codec::PcmA | Codec::PcmU => {
            return None;
        }
        Codec::H264 => b"avc1",
        Codec::H265 => b"hvc1",
        Codec::H266 => b"vvc1",
        Codec::Av1 => b"av01",
        Codec::Vp8 => b"vp08",
        Codec::Vp9 => b"vp09",
        Codec::Aac => b"mp4a",
        Codec::Mp3 => b".mp3",
        Codec::Opus => b"Opus",
        Codec::Flac => b"fLaC",
        Codec::Ac3 => b"ac-3",
        Codec::Eac3 => b"ec-3",
    };
    Some(FourCc(*code))
}

/// The codec of a video FourCC.
pub(crate) fn video_codec(code: FourCc) -> Codec {
    match &code.0 {
        b"avc1" => Codec::H264,
        b"hvc1" => Codec::H265,
        b"vvc1" => Codec::H266,
        b"av01" => Codec::Av1,
        b"vp08" => Codec::Vp8,
        b"vp09" => Codec::Vp9,
        _ => Codec::FourCc(code),
    }
}

/// The codec of an audio FourCC.
pub(crate) fn audio_codec(code: FourCc) -> Codec {
    match &code.0 {
        b"mp4a" => Codec::Aac,
        b".mp3" => Codec::Mp3,
        b"Opus" => Codec::Opus,
        b"fLaC" => Codec::Flac,
        b"ac-3" => Codec::Ac3,
        b"ec-3" => Codec::Eac3,
        _ => Codec::FourCc(code),
    }
}
