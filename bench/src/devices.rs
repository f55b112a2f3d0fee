//! Devices of GB/T 28181: each orders a port of the server, and sends a program stream to it, in
//! packets of RTP ([RFC 3550](https://www.rfc-editor.org/rfc/rfc3550) §5.1), as datagrams or on a
//! connection ([RFC 4571](https://www.rfc-editor.org/rfc/rfc4571) §2).
//!
//! All devices send the same frames, one shortly after the other, so that each frame is put into
//! packets once: only the SSRC and the mark differ. The programme is that of `publish`.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};
use testkit::ps::{AAC, AUDIO, H264, Muxer, Traits, VIDEO};
use testkit::{Item, Items, Programme, TagKind, stamp};

use crate::api;
use crate::mark::{Mark, wall_clock};
use crate::rtsp::Packets;
use crate::socket::write_patiently;

/// What packets travel on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// Datagrams.
    Udp,
    /// A connection that the device makes.
    Tcp,
    /// Streams with even numbers datagrams, those with odd ones a connection.
    Both,
}

/// Bytes of a payload: as many as devices send in a packet that fits into an Ethernet frame.
const PAYLOAD: usize = 1400;
/// Bytes before a packet on a connection (RFC 4571 §2).
const LENGTH: usize = 2;
/// Bytes of an RTP header.
const HEADER: usize = 12;
/// Where the SSRC is in it.
const SSRC: usize = 8;
/// The payload type that GB/T 28181 has for program streams.
const PAYLOAD_TYPE: u8 = 96;
/// Frames that are kept. Devices are a frame apart at most; this is half a second.
const KEPT: usize = 32;

impl Over {
    /// What tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "PS over UDP",
            Self::Tcp => "PS over TCP",
            Self::Both => "PS over UDP and TCP",
        }
    }

    fn is_tcp(self, number: usize) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp => true,
            Self::Both => number % 2 == 1,
        }
    }
}

/// A device that sends.
#[derive(Debug)]
pub struct Device {
    way: Way,
    ssrc: [u8; 4],
    /// The number of its next frame.
    next: usize,
}

#[derive(Debug)]
enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Device {
    /// Orders a port for stream number `number`, and will send to it.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open(api: SocketAddr, stream: &str, over: Over, number: usize) -> Result<Self> {
        let is_tcp = over.is_tcp(number);
        let transport = if is_tcp { "tcp" } else { "udp" };
        let what = json!({ "stream": stream, "transport": transport });
        let answer = api::order(api, "/api/v1/receivers", &what)?;
        let port = answer.get("port").and_then(Value::as_u64).context("no port")?;
        let address = SocketAddr::new(api.ip(), u16::try_from(port)?);
        let way = if is_tcp {
            let socket = TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            Way::Tcp(socket)
        } else {
            let socket = UdpSocket::bind((api.ip(), 0))?;
            socket.connect(address)?;
            Way::Udp(socket)
        };
        let ssrc = u32::try_from(number)?.saturating_add(1).to_be_bytes();
        Ok(Self { way, ssrc, next: 0 })
    }

    /// Sends its next frame; returns when the one after is due, since it began.
    ///
    /// # Errors
    /// When the server closed the connection or takes nothing for ten seconds.
    pub fn send(&mut self, reel: &mut Reel) -> Result<Duration> {
        let frame = reel.frame(self.next)?;
        frame.mark(self.ssrc);
        match &mut self.way {
            Way::Udp(socket) => {
                for packet in frame.packets() {
                    socket.send(packet.get(LENGTH..).unwrap_or_default())?;
                }
            }
            Way::Tcp(socket) => write_patiently(socket, &frame.bytes)?,
        }
        self.next += 1;
        Ok(Duration::from_millis(reel.frame(self.next)?.time))
    }
}

/// What came of the receivers of a server, over their whole life.
///
/// # Errors
/// When the server does not say.
pub fn received(api: SocketAddr) -> Result<Packets> {
    let count = |receiver: &Value, key: &str| {
        receiver.get(key).and_then(Value::as_u64).with_context(|| format!("no {key}"))
    };
    let mut packets = Packets::default();
    for receiver in api::items(api, "/api/v1/receivers")? {
        packets.received += count(&receiver, "packets")?;
        packets.lost += count(&receiver, "lost")?;
    }
    Ok(packets)
}

/// The programme of all devices, in packets.
#[derive(Debug)]
pub struct Reel {
    items: Items,
    muxer: Muxer,
    /// Parameter sets, which devices repeat before each key frame.
    sets: Vec<Vec<u8>>,
    adts: AdtsHeader,
    /// The number of the first frame that is kept.
    first: usize,
    frames: VecDeque<Frame>,
    /// The number of the next packet, and of the next picture.
    sequence: u16,
    pictures: u16,
}

/// A frame in packets, each after its length.
#[derive(Debug)]
pub struct Frame {
    /// When it is due, in milliseconds.
    time: u64,
    bytes: Vec<u8>,
    /// Where the packets begin, and where the last one ends.
    cuts: Vec<usize>,
    /// The number of the picture, and where its stamp is.
    stamp: Option<(u16, usize)>,
}

impl Reel {
    /// The usual programme of about `bits` per second.
    ///
    /// # Errors
    /// When the testkit's programme is not what it says.
    pub fn new(bits: u32) -> Result<Self> {
        let programme = Programme::live(bits);
        let config = programme.config();
        let avcc = config.iter().find(|item| item.kind == TagKind::Video).context("no picture")?;
        let (sets, audio) = (parameter_sets(&avcc.body), programme.audio.as_ref());
        let audio = audio.context("no sound")?;
        let streams = vec![(H264, VIDEO), (AAC, AUDIO)];
        Ok(Self {
            items: programme.items(),
            muxer: Muxer::new(Traits { streams, ..Traits::dahua() }),
            sets: sets.context("no parameter sets")?,
            adts: AdtsHeader { rate: audio.sample_rate, channels: audio.channels },
            first: 0,
            frames: VecDeque::with_capacity(KEPT),
            sequence: 0,
            pictures: 0,
        })
    }

    /// Frame number `number`.
    fn frame(&mut self, number: usize) -> Result<&mut Frame> {
        while self.first + self.frames.len() <= number {
            if self.frames.len() == KEPT {
                self.frames.pop_front();
                self.first += 1;
            }
            let frame = self.make()?;
            self.frames.push_back(frame);
        }
        let place = number.checked_sub(self.first);
        place.and_then(|place| self.frames.get_mut(place)).context("a device is far behind")
    }

    fn make(&mut self) -> Result<Frame> {
        let item = self.items.next().context("an empty programme")?;
        let clock = i64::try_from(item.time)? * 90;
        let is_picture = item.kind == TagKind::Video;
        let stream = if is_picture {
            let mut units: Vec<&[u8]> = Vec::new();
            if item.is_key() {
                units.extend(self.sets.iter().map(Vec::as_slice));
            }
            units.extend(access_unit(&item)?);
            self.muxer.picture(&units, item.is_key(), clock)
        } else {
            let raw = item.body.get(2..).context("no sound in a frame of it")?;
            self.muxer.sound(&[&self.adts.of(raw.len())?, raw].concat(), Some(clock))
        };
        let (mut bytes, mut cuts) = (Vec::new(), vec![0]);
        let count = stream.len().div_ceil(PAYLOAD);
        // The 32 bits of RTP's clock wrap.
        let [.., t3, t2, t1, t0] = clock.to_be_bytes();
        for (index, payload) in stream.chunks(PAYLOAD).enumerate() {
            let marker = if index + 1 == count { 0x80 } else { 0 };
            let [n1, n0] = self.sequence.to_be_bytes();
            self.sequence = self.sequence.wrapping_add(1);
            bytes.extend(u16::try_from(HEADER + payload.len())?.to_be_bytes());
            bytes.extend([0x80, marker | PAYLOAD_TYPE, n1, n0, t3, t2, t1, t0, 0, 0, 0, 0]);
            bytes.extend(payload);
            cuts.push(bytes.len());
        }
        let stamp = bytes.windows(stamp::UUID.len()).position(|window| window == stamp::UUID);
        let stamp = stamp.filter(|_| is_picture).map(|place| (self.pictures, place));
        self.pictures = self.pictures.wrapping_add(u16::from(is_picture));
        Ok(Frame { time: item.time, bytes, cuts, stamp })
    }
}

impl Frame {
    fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.cuts.iter().skip(1);
        self.cuts.iter().zip(ends).filter_map(|(&from, &to)| self.bytes.get(from..to))
    }

    /// Makes it a device's own, sent now.
    fn mark(&mut self, ssrc: [u8; 4]) {
        for &cut in &self.cuts {
            let from = cut + LENGTH + SSRC;
            if let Some(place) = self.bytes.get_mut(from..from + ssrc.len()) {
                place.copy_from_slice(&ssrc);
            }
        }
        if let Some((number, from)) = self.stamp {
            let stamp = stamp::encode(Mark { sent: wall_clock(), number }.pack());
            if let Some(place) = self.bytes.get_mut(from..from + stamp::LEN) {
                place.copy_from_slice(&stamp);
            }
        }
    }
}

/// The parameter sets in the body of a sequence header: one of each kind, each after its length (ISO/IEC
/// 14496-15 §5.3.3.1).
fn parameter_sets(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = body.get(5 + 6..)?;
    let mut sets = Vec::new();
    for skip in [0, 1] {
        let (length, after) = rest.get(skip..)?.split_first_chunk()?;
        let (set, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        sets.push(set.to_vec());
        rest = after;
    }
    Some(sets)
}

/// The NAL units of a picture, each after its length.
fn access_unit(item: &Item) -> Result<Vec<&[u8]>> {
    let mut rest = item.body.get(5..).context("no picture in a frame of it")?;
    let mut units = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        let (unit, after) = after.split_at_checked(length).context("a unit is cut off")?;
        units.push(unit);
        rest = after;
    }
    Ok(units)
}

/// What stands before a frame of AAC-LC (ISO/IEC 14496-3 §1.A.2.2).
#[derive(Debug)]
struct AdtsHeader {
    rate: u32,
    channels: u8,
}

impl AdtsHeader {
    fn of(&self, frame: usize) -> Result<[u8; 7]> {
        if self.rate != 48_000 {
            bail!("sound of {} Hz", self.rate);
        }
        // The profile is one less than the type of AAC-LC; the index of 48 kHz is 3.
        let [.., l1, l0] = u32::try_from(7 + frame)?.to_be_bytes();
        let (profile, index) = (1 << 6, 3 << 2);
        Ok([
            0xFF,
            0xF1,
            profile | index | self.channels >> 2,
            self.channels << 6 | l1 >> 3,
            l1 << 5 | l0 >> 3,
            l0 << 5 | 0x1F,
            0xFC,
        ])
    }
}

/// Opens `count` devices that send `stream`, in which `{}` is the number, and lets them send for ever.
/// `begun` is called when all have been opened.
///
/// # Errors
/// When the server refuses, or closes a connection.
pub fn run(
    api: SocketAddr,
    stream: &str,
    count: usize,
    bits: u32,
    over: Over,
    begun: impl FnOnce(),
) -> Result<()> {
    let open = |number| {
        let stream = stream.replace("{}", &usize::to_string(&number));
        Device::open(api, &stream, over, number).with_context(|| format!("device {number}"))
    };
    let mut devices = (0..count).map(open).collect::<Result<Vec<_>>>()?;
    let mut reel = Reel::new(bits)?;
    begun();
    let begun = Instant::now();
    // They begin at different phases of a frame of 40 ms, as those of `publish` do.
    let step = Duration::from_millis(40) / u32::try_from(count.max(1))?;
    let mut due = std::collections::BinaryHeap::new();
    for number in 0..count {
        let phase = step * u32::try_from(number)?;
        due.push(std::cmp::Reverse((begun + phase, number, phase)));
    }
    while let Some(std::cmp::Reverse((time, number, phase))) = due.pop() {
        std::thread::sleep(time.saturating_duration_since(Instant::now()));
        let Some(device) = devices.get_mut(number) else { break };
        let next = device.send(&mut reel).with_context(|| format!("device {number}"))?;
        due.push(std::cmp::Reverse((begun + phase + next, number, phase)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program stream of the first frames, put together again.
    fn stream(reel: &mut Reel, frames: usize, ssrc: [u8; 4]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut number = 0_u16;
        for index in 0..frames {
            let frame = reel.frame(index).unwrap();
            frame.mark(ssrc);
            let count = frame.packets().count();
            for (place, packet) in frame.packets().enumerate() {
                let length = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
                let packet = &packet[2..];
                assert_eq!((packet.len(), packet[0]), (length, 0x80));
                assert!(length <= HEADER + PAYLOAD);
                assert_eq!(
                    packet[1] & 0x80 != 0,
                    place + 1 == count,
                    "the last one has the marker"
                );
                assert_eq!(u16::from_be_bytes([packet[2], packet[3]]), number);
                assert_eq!(packet[8..12], ssrc);
                number += 1;
                out.extend_from_slice(&packet[HEADER..]);
            }
        }
        out
    }

    #[test]
    fn frames_are_cut_into_packets_and_marked() {
        let mut reel = Reel::new(500_000).unwrap();
        let begun = wall_clock();
        let bytes = stream(&mut reel, KEPT, [0, 0, 0, 9]);
        let marks: Vec<Mark> = bytes
            .windows(stamp::LEN)
            .filter(|window| window.starts_with(&stamp::UUID))
            .filter_map(|window| stamp::find(window).map(Mark::unpack))
            .collect();
        // 25 pictures and 47 frames of sound per second.
        assert!((9..=13).contains(&marks.len()), "{}", marks.len());
        for (number, mark) in (0..).zip(&marks) {
            assert_eq!(mark.number, number);
            assert!(mark.sent >= begun);
        }
        let has = |start: &[u8]| bytes.windows(start.len()).any(|window| window == start);
        assert!(has(&[0, 0, 1, 0xBC]) && has(&[0, 0, 0, 1, 0x67]) && has(&[0, 0, 0, 1, 0x68]));
        assert!(has(&[0xFF, 0xF1, 0x4C, 0x80]), "no sound");
    }

    #[test]
    fn old_frames_are_forgotten() {
        let mut reel = Reel::new(500_000).unwrap();
        assert!(reel.frame(3 * KEPT).is_ok());
        assert_eq!(reel.frames.len(), KEPT);
        assert!(reel.frame(KEPT).is_err());
        assert!(reel.frame(2 * KEPT + 1).is_ok());
    }

    #[test]
    fn a_header_tells_the_length_of_its_frame() {
        let header = AdtsHeader { rate: 48_000, channels: 2 }.of(0x0ABC - 7).unwrap();
        assert_eq!(header, [0xFF, 0xF1, 0x4C, 0x81, 0x57, 0x9F, 0xFC]);
    }
}
