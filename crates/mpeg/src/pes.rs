//! Packetised elementary streams: access units with their times (ISO/IEC 13818-1 §2.4.3.6).

use bytes::{BufMut, BytesMut};
use media::Reader;

use crate::clock;

/// `stream_id` of the first video stream (table 2-22).
pub const VIDEO: u8 = 0xE0;
/// `stream_id` of the first MPEG audio stream.
pub const AUDIO: u8 = 0xC0;
/// `stream_id` of audio that MPEG does not know.
pub const PRIVATE: u8 = 0xBD;

/// The longest header that [`write_header`] writes.
pub const MAX_HEADER: usize = 19;

/// What `PES_packet_length` can say.
pub const MAX_LENGTH: usize = 0xFFFF;

/// What a PES header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which stream it belongs to.
    pub stream_id: u8,
    /// Presentation time, 33 bits.
    pub pts: Option<u64>,
    /// Decoding time, 33 bits; the presentation time where it is not told.
    pub dts: Option<u64>,
    /// Bytes of the header.
    pub length: usize,
    /// Bytes of the payload; `None` if it goes on to the next header.
    pub payload: Option<usize>,
}

/// Appends the header of a packet with `payload` bytes at 64-bit times of the 90 kHz clock. A
/// payload that is too long for the length field, which only video may have, is announced without.
pub fn write_header(out: &mut BytesMut, stream_id: u8, pts: i64, dts: i64, payload: usize) {
    let times = if pts == dts { 5 } else { 10 };
    out.put_slice(&[0, 0, 1, stream_id]);
    out.put_u16(u16::try_from(3 + times + payload).unwrap_or(0));
    // Marker, data_alignment_indicator; PTS_DTS_flags; PES_header_data_length.
    out.put_u8(0x84);
    if pts == dts {
        out.put_slice(&[0x80, 5]);
        write_time(out, 0b0010, pts);
    } else {
        out.put_slice(&[0xC0, 10]);
        write_time(out, 0b0011, pts);
        write_time(out, 0b0001, dts);
    }
}

/// 33 bits in five bytes, each part followed by a marker bit.
fn write_time(out: &mut BytesMut, prefix: u8, ticks: i64) {
    let time = clock::wrap(ticks);
    let bits = u64::from(prefix) << 36
        | (time >> 30 & 0x7) << 33
        | 1 << 32
        | (time >> 15 & 0x7FFF) << 17
        | 1 << 16
        | (time & 0x7FFF) << 1
        | 1;
    let [_, _, _, time @ ..] = bits.to_be_bytes();
    out.put_slice(&time);
}

/// Reads the header that `bytes` begin with; `None` if there is none, or not enough of it.
#[must_use]
pub fn read_header(bytes: &[u8]) -> Option<Header> {
    let mut r = Reader::new(bytes);
    if r.u24().ok()? != 1 {
        return None;
    }
    let stream_id = r.u8().ok()?;
    let length = usize::from(r.u16().ok()?);
    // Padding, program maps and the like have no more header (table 2-21).
    if matches!(stream_id, 0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF) {
        let payload = (length > 0).then_some(length);
        return Some(Header { stream_id, pts: None, dts: None, length: r.offset(), payload });
    }
    r.u8().ok()?;
    let flags = r.u8().ok()? >> 6;
    let data = usize::from(r.u8().ok()?);
    let mut data = Reader::new(r.take(data).ok()?);
    let pts = if flags & 0b10 == 0 { None } else { read_time(&mut data) };
    let dts = if flags == 0b11 { read_time(&mut data) } else { None };
    // The length counts from the byte after its field.
    let payload = if length == 0 { None } else { Some((length + 6).saturating_sub(r.offset())) };
    Some(Header { stream_id, pts, dts: dts.or(pts), length: r.offset(), payload })
}

/// Markers are not looked at: some encoders leave them out, and no time depends on them.
fn read_time(r: &mut Reader<'_>) -> Option<u64> {
    let [a, b, c, d, e] = r.array().ok()?;
    let bits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    Some((bits >> 33 & 0x7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_of_ffmpeg() {
        let bytes = [
            0, 0, 1, 0xE0, 0, 0, 0x80, 0xC0, 0x0A, 0x31, 0, 0x09, 0x10, 0xA1, 0x11, 0, 0x07, 0xD8,
            0x61,
        ];
        let header = read_header(&bytes).unwrap();
        assert_eq!((header.pts, header.dts), (Some(133_200), Some(126_000)));
        assert_eq!((header.length, header.payload), (19, None));
    }

    #[test]
    fn long_video_has_no_length() {
        let mut out = BytesMut::new();
        write_header(&mut out, VIDEO, 0, 0, MAX_LENGTH - 7);
        assert_eq!(read_header(&out).unwrap().payload, None);
        out.clear();
        write_header(&mut out, VIDEO, 0, 0, MAX_LENGTH - 8);
        assert_eq!(read_header(&out).unwrap().payload, Some(MAX_LENGTH - 8));
    }

    proptest! {
        #[test]
        fn times_of_days_read_as_they_were_written(pts in -1_i64 << 40..1_i64 << 40, ahead in 0_i64..90_000) {
            let mut out = BytesMut::new();
            write_header(&mut out, AUDIO, pts, pts - ahead, 100);
            let header = read_header(&out).unwrap();
            prop_assert_eq!(header.pts, Some(clock::wrap(pts)));
            prop_assert_eq!(header.dts, Some(clock::wrap(pts - ahead)));
            prop_assert_eq!(header.payload, Some(100));
            prop_assert_eq!(header.length, out.len());
            for length in 0..out.len() {
                prop_assert_eq!(read_header(&out[..length]), None);
            }
        }
    }
}
