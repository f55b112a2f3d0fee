//! RTCP: reports and goodbyes ([RFC 3550](https://www.rfc-editor.org/rfc/rfc3550) §6).
//!
//! What is sent is a compound packet as §6.1 asks for: a report, then the canonical name. What is
//! received is taken as it comes: cameras send lone reports, and some leave the lengths wrong.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use media::{Error, Reader};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// Report blocks that are read of one report: five bits count them.
const MAX_BLOCKS: u8 = 31;

/// Seconds from 1900 (the epoch of NTP) to 1970.
const NTP_OFFSET: u64 = 2_208_988_800;

/// A time of NTP: 32 bits of seconds since 1900, 32 bits of fraction (RFC 3550 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ntp(pub u64);

impl Ntp {
    /// What the wall clock shows as NTP's time.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        // Seconds wrap in 2036 (RFC 5905 §6): the next era begins at zero.
        Self(since.as_secs().wrapping_add(NTP_OFFSET) << 32 | fraction)
    }

    /// The distance from `earlier`, in nanoseconds; negative if this is earlier.
    #[must_use]
    pub fn nanos_since(self, earlier: Self) -> i64 {
        let distance = i128::from(self.0.wrapping_sub(earlier.0).cast_signed());
        // 63 bits of 2^-32 s are 2^31 s: their nanoseconds fit.
        i64::try_from((distance * 1_000_000_000) >> 32).unwrap_or_default()
    }

    /// The middle 32 bits, as report blocks have it.
    #[must_use]
    pub fn middle(self) -> u32 {
        u32::try_from(self.0 >> 16 & 0xFFFF_FFFF).unwrap_or_default()
    }
}

/// What a sender says of itself (§6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// The sender.
    pub ssrc: u32,
    /// When the report was sent.
    pub ntp: Ntp,
    /// The same time on the clock of its packets.
    pub rtp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Bytes of payload sent so far.
    pub octets: u32,
}

/// What a receiver says of one source (§6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block {
    /// The source.
    pub ssrc: u32,
    /// The part of packets that was lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost in all; 24 bits on the wire.
    pub lost: i32,
    /// The highest sequence number, with 16 bits of wraps before it.
    pub highest_sequence: u32,
    /// The variation of arrival times, on the source's clock.
    pub jitter: u32,
    /// [`Ntp::middle`] of the last sender report; 0 for none.
    pub last_report: u32,
    /// Time since that report, in 65536ths of a second.
    pub delay: u32,
}

/// A packet of a compound packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// SR.
    SenderReport(SenderInfo, Vec<Block>),
    /// RR: who sends it, and what it says.
    ReceiverReport(u32, Vec<Block>),
    /// BYE: the sources that leave.
    Goodbye(Vec<u32>),
    /// Any other, by its packet type.
    Other(u8),
}

/// The packets of a compound packet. The first error ends it.
pub fn parse(compound: &[u8]) -> impl Iterator<Item = Result<Message, Error>> {
    let mut r = Reader::new(compound);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || r.is_empty() {
            return None;
        }
        let message = message(&mut r);
        failed = message.is_err();
        Some(message)
    })
}

fn message(r: &mut Reader<'_>) -> Result<Message, Error> {
    let flags = r.u8()?;
    if flags >> 6 != 2 {
        return Err(Error::Invalid { what: "RTCP version", value: (flags >> 6).into() });
    }
    let kind = r.u8()?;
    let length = usize::from(r.u16()?) * 4;
    let mut body = Reader::new(r.take(length)?);
    let count = flags & 0x1F;
    Ok(match kind {
        SENDER_REPORT => {
            let info = SenderInfo {
                ssrc: body.u32()?,
                ntp: Ntp(body.u64()?),
                rtp: body.u32()?,
                packets: body.u32()?,
                octets: body.u32()?,
            };
            Message::SenderReport(info, blocks(&mut body, count)?)
        }
        RECEIVER_REPORT => Message::ReceiverReport(body.u32()?, blocks(&mut body, count)?),
        GOODBYE => Message::Goodbye((0..count).map(|_| body.u32()).collect::<Result<_, Error>>()?),
        other => Message::Other(other),
    })
}

fn blocks(r: &mut Reader<'_>, count: u8) -> Result<Vec<Block>, Error> {
    (0..count.min(MAX_BLOCKS))
        .map(|_| {
            Ok(Block {
                ssrc: r.u32()?,
                fraction_lost: r.u8()?,
                lost: r.i24()?,
                highest_sequence: r.u32()?,
                jitter: r.u32()?,
                last_report: r.u32()?,
                delay: r.u32()?,
            })
        })
        .collect()
}

/// Appends a sender report and the sender's name.
pub fn write_sender_report(info: &SenderInfo, name: &str, out: &mut BytesMut) {
    header(0, SENDER_REPORT, 6, out);
    out.put_u32(info.ssrc);
    out.put_u64(info.ntp.0);
    out.put_u32(info.rtp);
    out.put_u32(info.packets);
    out.put_u32(info.octets);
    write_name(info.ssrc, name, out);
}

/// Appends a receiver report of `ssrc` and its name.
pub fn write_receiver_report(ssrc: u32, blocks: &[Block], name: &str, out: &mut BytesMut) {
    let blocks = blocks.get(..usize::from(MAX_BLOCKS)).unwrap_or(blocks);
    // At most 31 blocks of six words.
    let count = u8::try_from(blocks.len()).unwrap_or_default();
    header(count, RECEIVER_REPORT, 1 + 6 * u16::from(count), out);
    out.put_u32(ssrc);
    for block in blocks {
        out.put_u32(block.ssrc);
        out.put_u8(block.fraction_lost);
        let [_, lost @ ..] = block.lost.clamp(-0x80_0000, 0x7F_FFFF).to_be_bytes();
        out.put_slice(&lost);
        out.put_u32(block.highest_sequence);
        out.put_u32(block.jitter);
        out.put_u32(block.last_report);
        out.put_u32(block.delay);
    }
    write_name(ssrc, name, out);
}

/// Appends a goodbye of `ssrc`.
pub fn write_goodbye(ssrc: u32, out: &mut BytesMut) {
    header(1, GOODBYE, 1, out);
    out.put_u32(ssrc);
}

/// §6.5: one chunk with a canonical name.
fn write_name(ssrc: u32, name: &str, out: &mut BytesMut) {
    let name = name.as_bytes().get(..255).unwrap_or(name.as_bytes());
    // The item is ended by a zero byte at least, and padded to a word.
    let words = (2 + name.len()) / 4 + 1;
    header(1, SOURCE_DESCRIPTION, 1 + u16::try_from(words).unwrap_or_default(), out);
    out.put_u32(ssrc);
    out.put_u8(1);
    out.put_u8(u8::try_from(name.len()).unwrap_or_default());
    out.put_slice(name);
    out.put_bytes(0, words * 4 - 2 - name.len());
}

fn header(count: u8, kind: u8, words: u16, out: &mut BytesMut) {
    out.put_u8(0x80 | count);
    out.put_u8(kind);
    out.put_u16(words);
}

/// A duration in 65536ths of a second.
#[must_use]
pub(crate) fn short_delay(duration: Duration) -> u32 {
    u32::try_from((duration.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<Message> {
        parse(bytes).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn reports_are_read_as_they_were_written() {
        let info =
            SenderInfo { ssrc: 7, ntp: Ntp(0x1234_5678_9ABC_DEF0), rtp: 9, packets: 3, octets: 4 };
        let block = Block {
            ssrc: 8,
            fraction_lost: 12,
            lost: -5,
            highest_sequence: 0x0001_0002,
            jitter: 44,
            last_report: 1,
            delay: 2,
        };
        let mut out = BytesMut::new();
        write_sender_report(&info, "headwater", &mut out);
        write_receiver_report(9, &[block, block], "x", &mut out);
        write_goodbye(7, &mut out);
        assert_eq!(out.len() % 4, 0);
        assert_eq!(
            all(&out),
            [
                Message::SenderReport(info, Vec::new()),
                Message::Other(SOURCE_DESCRIPTION),
                Message::ReceiverReport(9, vec![block, block]),
                Message::Other(SOURCE_DESCRIPTION),
                Message::Goodbye(vec![7]),
            ]
        );
    }

    #[test]
    fn names_of_any_length_are_padded_to_words() {
        for length in 0..10 {
            let mut out = BytesMut::new();
            write_name(1, &"x".repeat(length), &mut out);
            assert_eq!(out.len() % 4, 0, "{length}");
            assert_eq!(out.last(), Some(&0), "{length}");
            assert_eq!(all(&out), [Message::Other(SOURCE_DESCRIPTION)], "{length}");
        }
    }

    #[test]
    fn short_reports_are_errors() {
        assert!(parse(&[0x80]).any(|message| message.is_err()));
        assert!(parse(&[0x80, 200, 0, 1, 0, 0, 0, 1]).any(|message| message.is_err()));
        assert!(parse(&[0x81, 201, 0, 1, 0, 0, 0, 1]).any(|message| message.is_err()));
        assert!(parse(&[0x80, 201, 0xFF, 0xFF]).any(|message| message.is_err()));
    }

    #[test]
    fn distances_of_ntp_have_a_sign() {
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        let (early, late) = (Ntp::of(time), Ntp::of(time + Duration::from_millis(1500)));
        assert!((late.nanos_since(early) - 1_500_000_000).abs() < 10);
        assert!((early.nanos_since(late) + 1_500_000_000).abs() < 10);
        assert_eq!(early.0 >> 32, 1_700_000_000 + NTP_OFFSET);
    }

    proptest! {
        #[test]
        fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes).count();
        }
    }
}
