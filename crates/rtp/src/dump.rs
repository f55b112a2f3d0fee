//! Packets in files, for problems that only show in the field: written while a stream is received,
//! read again by tools and tests.
//!
//! Two formats: the records of lal's `debug_dump_packet` (big-endian `u32` version 3, `u32` type,
//! `u32` length, `u64` milliseconds of Unix time, `LALD`, body), and [pcap], which tcpdump and
//! Wireshark write and read. Of captures, UDP over IPv4 and IPv6 is read; fragments are left out.
//!
//! [pcap]: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use media::{Error, Reader};

/// The version that lal writes.
const VERSION: u32 = 3;

/// What stands before each body.
const MAGIC: &[u8; 4] = b"LALD";

/// The longest record that is believed: a datagram has 64 KB, a capture may have a little around it.
const MAX_RECORD: usize = 256 << 10;

/// pcap with microseconds, and with nanoseconds.
const MICROS: u32 = 0xA1B2_C3D4;
const NANOS: u32 = 0xA1B2_3C4D;

/// Link types of captures (the registry of pcap).
const LINK_NULL: u32 = 0;
const LINK_ETHERNET: u32 = 1;
const LINK_RAW: u32 = 101;
const LINK_LINUX: u32 = 113;
const LINK_IPV4: u32 = 228;
const LINK_IPV6: u32 = 229;
const LINK_LINUX_2: u32 = 276;

/// The number of UDP in IP.
const UDP: u8 = 17;

/// What a record is, by lal's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 49: who wrote the file.
    Header,
    /// 1: a packet of RTP with a program stream.
    Ps,
    /// 17: a packet of RTP of RTSP.
    Rtsp,
    /// 18: a session description of RTSP.
    Description,
    /// Anything else.
    Other(u32),
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Self::Header => 49,
            Self::Ps => 1,
            Self::Rtsp => 17,
            Self::Description => 18,
            Self::Other(code) => code,
        }
    }

    fn of(code: u32) -> Self {
        match code {
            49 => Self::Header,
            1 => Self::Ps,
            17 => Self::Rtsp,
            18 => Self::Description,
            other => Self::Other(other),
        }
    }
}

/// How a dump is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Records as lal has them.
    Records,
    /// What tcpdump and Wireshark read.
    Pcap,
}

impl Format {
    /// What a file begins with. `writer` is who writes it, `at` is Unix time.
    #[must_use]
    pub fn begin(self, writer: &str, at: Duration) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Records => write_record(&mut out, Kind::Header, at, writer.as_bytes()),
            Self::Pcap => {
                out.put_u32(MICROS);
                // Version 2.4; no zone, no accuracy; packets whole.
                out.put_slice(&[0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
                out.put_u32(u32::try_from(MAX_RECORD).unwrap_or(u32::MAX));
                out.put_u32(LINK_IPV4);
            }
        }
        out.freeze()
    }

    /// A packet of RTP with a program stream that came at `at` (Unix time) from `from` to `to`. pcap
    /// knows it as a datagram, whatever it has come on; addresses of IPv6 become unspecified ones.
    #[must_use]
    pub fn packet(self, packet: &[u8], at: Duration, from: SocketAddr, to: SocketAddr) -> Bytes {
        let mut out = BytesMut::with_capacity(packet.len() + 64);
        match self {
            Self::Records => write_record(&mut out, Kind::Ps, at, packet),
            Self::Pcap => write_captured(&mut out, packet, at, from, to),
        }
        out.freeze()
    }
}

fn write_record(out: &mut BytesMut, kind: Kind, at: Duration, body: &[u8]) {
    out.put_u32(VERSION);
    out.put_u32(kind.code());
    out.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.put_u64(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
    out.put_slice(MAGIC);
    out.put_slice(body);
}

fn write_captured(
    out: &mut BytesMut,
    packet: &[u8],
    at: Duration,
    from: SocketAddr,
    to: SocketAddr,
) {
    let length = packet.len() + 28;
    // Longer ones cannot have been datagrams.
    let (Ok(total), Ok(udp)) = (u16::try_from(length), u16::try_from(packet.len() + 8)) else {
        return;
    };
    out.put_u32(u32::try_from(at.as_secs()).unwrap_or(u32::MAX));
    out.put_u32(at.subsec_micros());
    out.put_u32(u32::from(total));
    out.put_u32(u32::from(total));
    let start = out.len();
    // Version and length, service, total length; no fragment; hops, protocol.
    out.put_slice(&[0x45, 0]);
    out.put_u16(total);
    out.put_slice(&[0, 0, 0x40, 0, 64, UDP, 0, 0]);
    for address in [from, to] {
        let address = match address.ip().to_canonical() {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        out.put_slice(&address.octets());
    }
    let sum = out.get(start..).map_or(0, checksum);
    if let Some(place) = out.get_mut(start + 10..start + 12) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    out.put_u16(from.port());
    out.put_u16(to.port());
    out.put_u16(udp);
    // No checksum, which IPv4 allows.
    out.put_u16(0);
    out.put_slice(packet);
}

/// The checksum of an IPv4 header (RFC 791 §3.1).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    });
    let sum: u32 = words.sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    !u16::try_from((folded & 0xFFFF) + (folded >> 16)).unwrap_or_default()
}

/// What a dump has: one packet, or something else that was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it came, in Unix time.
    pub at: Duration,
    /// What it is; of captures, packets of RTP with a program stream are believed to be all.
    pub kind: Kind,
    /// To which port it came; 0 where the format does not tell.
    pub port: u16,
    /// The packet.
    pub body: Bytes,
}

/// Reads the records of a dump.
#[derive(Debug)]
pub struct Records {
    rest: Bytes,
    layout: Layout,
}

#[derive(Debug, Clone, Copy)]
enum Layout {
    Records,
    Pcap { big_endian: bool, nanos: bool, link: u32 },
}

impl Records {
    /// Reads a file, which may be cut off at its end.
    ///
    /// # Errors
    /// [`Error`] when it is neither of the two formats.
    pub fn new(file: Bytes) -> Result<Self, Error> {
        let mut r = Reader::new(&file);
        let first = r.u32()?;
        let (big_endian, nanos) = match first {
            VERSION => return Ok(Self { rest: file, layout: Layout::Records }),
            MICROS | NANOS => (true, first == NANOS),
            other if [MICROS, NANOS].contains(&other.swap_bytes()) => {
                (false, other.swap_bytes() == NANOS)
            }
            other => return Err(Error::Invalid { what: "dump", value: other.into() }),
        };
        r.take(16)?;
        // The upper bits may tell of a checksum at the end of frames.
        let link = number(&mut r, big_endian)? & 0x0FFF_FFFF;
        let rest = file.slice(r.offset()..);
        Ok(Self { rest, layout: Layout::Pcap { big_endian, nanos, link } })
    }

    fn record(&mut self) -> Result<Record, Error> {
        let mut r = Reader::new(&self.rest);
        let (at, kind, length) = match self.layout {
            Layout::Records => {
                let version = r.u32()?;
                let (kind, length) = (Kind::of(r.u32()?), r.u32()?);
                let at = Duration::from_millis(r.u64()?);
                if version != VERSION || r.take(4)? != MAGIC {
                    return Err(Error::Invalid { what: "dump record", value: version.into() });
                }
                (at, kind, length)
            }
            Layout::Pcap { big_endian, nanos, .. } => {
                let seconds = Duration::from_secs(number(&mut r, big_endian)?.into());
                let part = u64::from(number(&mut r, big_endian)?);
                let part = Duration::from_nanos(if nanos { part } else { part * 1000 });
                let length = number(&mut r, big_endian)?;
                // How long it was on the wire.
                number(&mut r, big_endian)?;
                (seconds + part, Kind::Ps, length)
            }
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_RECORD {
            return Err(Error::Invalid { what: "length of a dump record", value: length as u64 });
        }
        let begin = r.offset();
        r.take(length)?;
        let body = self.rest.slice(begin..r.offset());
        self.rest = self.rest.slice(r.offset()..);
        Ok(Record { at, kind, port: 0, body })
    }
}

/// Records until the end of the file, or the first that is damaged.
impl Iterator for Records {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let record = self.record().ok()?;
            let Layout::Pcap { link, .. } = self.layout else { return Some(record) };
            if let Some((port, body)) = datagram(&record.body, link) {
                let body = record.body.slice_ref(body);
                return Some(Record { port, body, ..record });
            }
        }
    }
}

fn number(r: &mut Reader<'_>, big_endian: bool) -> Result<u32, Error> {
    r.u32().map(|value| if big_endian { value } else { value.swap_bytes() })
}

/// The datagram in a captured frame, and the port that it goes to.
fn datagram(frame: &[u8], link: u32) -> Option<(u16, &[u8])> {
    let packet = match link {
        LINK_ETHERNET => {
            let mut rest = frame.get(12..)?;
            // Tags of virtual networks.
            while let [0x81, 0x00, ..] = rest {
                rest = rest.get(4..)?;
            }
            rest.get(2..)?
        }
        LINK_NULL => frame.get(4..)?,
        LINK_LINUX => frame.get(16..)?,
        LINK_LINUX_2 => frame.get(20..)?,
        LINK_RAW | LINK_IPV4 | LINK_IPV6 => frame,
        _ => return None,
    };
    let udp = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet.first()? & 0x0F) * 4;
            let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3FFF;
            (*packet.get(9)? == UDP && fragment == 0).then(|| packet.get(header..))??
        }
        6 => (*packet.get(6)? == UDP).then(|| packet.get(40..))??,
        _ => return None,
    };
    let mut r = Reader::new(udp);
    let (_, port, length) = (r.u16().ok()?, r.u16().ok()?, usize::from(r.u16().ok()?));
    // Frames may be padded.
    Some((port, udp.get(8..length.min(udp.len()))?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FROM: ([u8; 4], u16) = ([192, 0, 2, 1], 5000);
    const TO: ([u8; 4], u16) = ([192, 0, 2, 2], 6000);

    proptest! {
        #[test]
        fn what_is_written_is_read(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..5),
            millis in 0_u64..1 << 41,
            pcap in any::<bool>(),
            cut in 1_usize..8,
        ) {
            let format = if pcap { Format::Pcap } else { Format::Records };
            let at = Duration::from_millis(millis);
            let mut file = BytesMut::new();
            file.extend_from_slice(&format.begin("headwater", at));
            for packet in &packets {
                file.extend_from_slice(&format.packet(packet, at, FROM.into(), TO.into()));
            }
            let read = |file: Bytes| -> Vec<_> {
                let records = Records::new(file).unwrap().filter(|r| r.kind == Kind::Ps);
                records.map(|record| (record.at, record.body.to_vec())).collect()
            };
            let expected: Vec<_> = packets.iter().map(|packet| (at, packet.clone())).collect();
            let file = file.freeze();
            prop_assert_eq!(&read(file.clone()), &expected);
            // A file that was being written when the machine stopped.
            let cut = file.slice(..file.len() - cut);
            prop_assert_eq!(&read(cut), &expected[..expected.len() - 1]);
        }

        #[test]
        fn nothing_makes_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), first in 0..4) {
            let mut file = match first {
                0 => VERSION.to_be_bytes().to_vec(),
                1 => MICROS.to_be_bytes().to_vec(),
                2 => NANOS.to_le_bytes().to_vec(),
                _ => Vec::new(),
            };
            file.extend(bytes);
            if let Ok(records) = Records::new(file.into()) {
                records.for_each(drop);
            }
        }
    }

    #[test]
    fn the_checksum_of_an_ip_header_is_right() {
        let packet = Format::Pcap.packet(b"x", Duration::ZERO, FROM.into(), TO.into());
        // A header with its checksum sums up to nothing.
        assert_eq!(checksum(&packet[16..36]), 0);
    }

    #[test]
    fn captures_of_ethernet_are_read() {
        let mut file = Vec::new();
        file.extend(MICROS.to_le_bytes());
        file.extend([2, 0, 4, 0]);
        file.extend([0; 8]);
        file.extend(65_535_u32.to_le_bytes());
        file.extend(LINK_ETHERNET.to_le_bytes());
        let inner = Format::Pcap.packet(b"hello", Duration::ZERO, FROM.into(), TO.into());
        let mut frame = vec![0; 12];
        frame.extend([0x81, 0, 0, 5, 8, 0]);
        frame.extend(&inner[16..]);
        let length = u32::try_from(frame.len()).unwrap();
        for value in [1_u32, 500_000, length, length] {
            file.extend(value.to_le_bytes());
        }
        file.extend(frame);
        let records: Vec<_> = Records::new(file.into()).unwrap().collect();
        assert_eq!(records.len(), 1);
        assert_eq!((&records[0].body[..], records[0].port), (&b"hello"[..], 6000));
        assert_eq!(records[0].at, Duration::from_millis(1500));
    }
}
