//! What the parts of a program stream begin with: start codes, pack headers and PES headers of
//! MPEG-2 (ISO/IEC 13818-1 §2.5.3, §2.4.3.7) and MPEG-1 (ISO/IEC 11172-1 §2.4.3).

use media::Reader;

use crate::pes;

/// The last byte of start codes.
pub(super) const END: u8 = 0xB9;
pub(super) const PACK: u8 = 0xBA;
pub(super) const MAP: u8 = 0xBC;

/// Bytes of a start code and the length that follows those of packets.
pub(super) const HEAD: usize = 6;

/// The longest pack header, and the start code after it.
pub(super) const MAX_PACK: usize = 14 + 7 + 4;

/// The longest header of MPEG-1: stuffing, buffer size, two times.
const MAX_MPEG1: usize = 16 + 2 + 10;

/// Whether a start code is one of the system layer: pictures have smaller ones only, and sound may
/// have any.
pub(super) fn is_system(code: u8) -> bool {
    code >= END
}

pub(super) fn is_video(code: u8) -> bool {
    (0xE0..=0xEF).contains(&code)
}

pub(super) fn is_audio(code: u8) -> bool {
    (0xC0..=0xDF).contains(&code)
}

/// Where the first start code of the system layer begins that lies wholly within `data`.
pub(super) fn find_system(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&[a, b, c, code]) = data.get(at..at + 4) {
        if c > 1 {
            // None of the three bytes can be the first of a start code.
            at += 3;
        } else if [a, b, c] == [0, 0, 1] && is_system(code) {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

/// What is known of the length of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// That many bytes.
    Bytes(usize),
    /// There are not enough bytes to tell.
    Unknown,
    /// It is no header.
    Invalid,
}

/// The length of the pack header that `data` begins with, stuffing included.
pub(super) fn pack_length(data: &[u8]) -> Length {
    match data.get(4) {
        None => Length::Unknown,
        Some(first) if first >> 6 == 0b01 => match data.get(13) {
            Some(stuffing) => Length::Bytes(14 + usize::from(stuffing & 0x07)),
            None => Length::Unknown,
        },
        Some(first) if first >> 4 == 0b0010 => Length::Bytes(12),
        Some(_) => Length::Invalid,
    }
}

/// Where a whole pack header, and the start code after it, begins within a packet: such a packet
/// is shorter than it says. No such thing begins before `from`.
pub(super) fn find_pack(packet: &[u8], from: usize) -> Option<usize> {
    let mut from = from.max(4);
    loop {
        let at = from + find_system(packet.get(from..)?)?;
        let rest = packet.get(at..)?;
        if rest.get(3) == Some(&PACK)
            && has_markers(rest)
            && let Length::Bytes(length) = pack_length(rest)
            && let Some([0, 0, 1, code]) = rest.get(length..length + 4)
            && is_system(*code)
        {
            return Some(at);
        }
        from = at + 4;
    }
}

/// Whether the marker bits are set that a pack header of either generation has.
fn has_markers(pack: &[u8]) -> bool {
    match *pack {
        [_, _, _, _, first, _, b, _, d, e, ..] if first >> 6 == 0b01 => {
            first & 0x04 != 0 && b & 0x04 != 0 && d & 0x04 != 0 && e & 0x01 != 0
        }
        [_, _, _, _, first, _, b, _, d, e, ..] => {
            first & 0x01 != 0 && b & 0x01 != 0 && d & 0x01 != 0 && e & 0x80 != 0
        }
        _ => false,
    }
}

/// What a PES header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of it.
    pub(super) length: usize,
    /// Presentation time, and decoding time if that is another: 33 bits each.
    pub(super) times: Option<(u64, Option<u64>)>,
}

/// Reads the PES header that `data` begins with, of a packet that is `packet` bytes long if that
/// is known. [`Length`] tells what is missing if there is none.
pub(super) fn header(data: &[u8], packet: Option<usize>) -> Result<Header, Length> {
    let fits = |length| packet.is_none_or(|packet| length <= packet);
    let first = *data.get(HEAD).ok_or(Length::Unknown)?;
    if first >> 6 == 0b10 {
        let fields = data.get(8).ok_or(Length::Unknown)?;
        let length = HEAD + 3 + usize::from(*fields);
        if !fits(length) {
            return Err(Length::Invalid);
        }
        let header = data.get(..length).ok_or(Length::Unknown)?;
        let header = pes::read_header(header).ok_or(Length::Invalid)?;
        let dts = header.dts.filter(|dts| Some(*dts) != header.pts);
        return Ok(Header { length, times: header.pts.map(|pts| (pts, dts)) });
    }
    let longest = packet.unwrap_or(usize::MAX).min(HEAD + MAX_MPEG1);
    let fields = data.get(HEAD..longest.min(data.len())).unwrap_or_default();
    let missing = if data.len() < longest { Length::Unknown } else { Length::Invalid };
    let (fields, times) = mpeg1(fields).ok_or(missing)?;
    Ok(Header { length: HEAD + fields, times })
}

type Times = Option<(u64, Option<u64>)>;

/// The fields of an MPEG-1 header.
fn mpeg1(fields: &[u8]) -> Option<(usize, Times)> {
    let mut r = Reader::new(fields);
    let mut first = r.u8().ok()?;
    while first == 0xFF {
        first = r.u8().ok()?;
    }
    if first >> 6 == 0b01 {
        r.u8().ok()?;
        first = r.u8().ok()?;
    }
    let times = match first >> 4 {
        0b0010 => Some((mpeg1_time(first, &mut r)?, None)),
        0b0011 => {
            let pts = mpeg1_time(first, &mut r)?;
            let second = r.u8().ok()?;
            Some((pts, Some(mpeg1_time(second, &mut r)?).filter(|dts| *dts != pts)))
        }
        _ if first == 0x0F => None,
        _ => return None,
    };
    Some((r.offset(), times))
}

fn mpeg1_time(first: u8, r: &mut Reader<'_>) -> Option<u64> {
    let [b, c, d, e] = r.array().ok()?;
    let bits = u64::from_be_bytes([0, 0, 0, first, b, c, d, e]);
    Some((bits >> 33 & 0x7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_of_both_generations_have_their_lengths() {
        let mut pack = vec![0, 0, 1, 0xBA, 0x44, 0, 4, 0, 4, 1, 0, 0x5F, 0x6B, 0xFA];
        assert_eq!(pack_length(&pack), Length::Bytes(16));
        assert_eq!(pack_length(&pack[..13]), Length::Unknown);
        pack[4] = 0x21;
        assert_eq!(pack_length(&pack), Length::Bytes(12));
        pack[4] = 0x84;
        assert_eq!(pack_length(&pack), Length::Invalid);
    }

    #[test]
    fn a_pack_within_a_packet_is_known_by_what_follows_it() {
        let mut packet = vec![0, 0, 1, 0xBD, 0, 80, 0, 0, 1, 0xBA, 9];
        assert_eq!(find_pack(&packet, 0), None);
        packet.extend([0, 0, 1, 0xBA, 0x44, 0, 4, 0, 4, 1, 0, 0x5F, 0x6B, 0xF8]);
        assert_eq!(find_pack(&packet, 0), None);
        packet.extend([0, 0, 1, 0xE0]);
        assert_eq!(find_pack(&packet, 0), Some(11));
    }

    #[test]
    fn a_header_of_mpeg_2() {
        let bytes = [0, 0, 1, 0xE0, 0, 13, 0x80, 0x80, 7, 0x21, 0, 1, 0, 1, 0xFF, 0xFF, 0, 0, 1];
        let expected = Header { length: 16, times: Some((0, None)) };
        assert_eq!(header(&bytes, Some(19)), Ok(expected));
        assert_eq!(header(&bytes, None), Ok(expected));
        assert_eq!(header(&bytes[..15], Some(19)), Err(Length::Unknown));
        assert_eq!(header(&bytes, Some(15)), Err(Length::Invalid));
    }

    #[test]
    fn headers_of_mpeg_1() {
        // Stuffing, buffer size, both times.
        let mut bytes = vec![0, 0, 1, 0xE0, 0, 40, 0xFF, 0xFF, 0x60, 0x20];
        bytes.extend([0x31, 0, 5, 0xBF, 0x21, 0x11, 0, 5, 0xBF, 0x21]);
        bytes.resize(46, 0);
        let read = header(&bytes, Some(46)).unwrap();
        assert_eq!((read.length, read.times), (20, Some((90_000, None))));
        bytes[19] = 0x11;
        assert_eq!(header(&bytes, Some(46)).unwrap().times, Some((90_000, Some(89_992))));
        assert_eq!(header(&[0, 0, 1, 0xC0, 0, 2, 0x0F, 1], Some(8)).unwrap().length, 7);
        assert_eq!(header(&[0, 0, 1, 0xC0, 0, 2, 0x1F, 1], Some(8)), Err(Length::Invalid));
    }

    #[test]
    fn start_codes_of_pictures_are_not_those_of_the_system() {
        let data = [0, 0, 1, 0x65, 0, 0, 0, 1, 0xB8, 0, 0, 0, 1, 0xB9];
        assert_eq!(find_system(&data), Some(10));
        assert_eq!(find_system(&data[..13]), None);
    }
}
