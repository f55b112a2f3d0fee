//! As much of an RTSP player as a bench needs ([RFC 2326](https://www.rfc-editor.org/rfc/rfc2326)):
//! one request after the other until the server plays, then RTP packets
//! ([RFC 3550](https://www.rfc-editor.org/rfc/rfc3550) §5.1) that are counted and thrown away.
//!
//! They come between the messages of the connection (§10.12) or as datagrams. A frame counts when
//! all its packets have come, from the one with the mark to the one with the marker bit. Pictures
//! are H.264 ([RFC 6184](https://www.rfc-editor.org/rfc/rfc6184)), as the bench publishes them.
//!
//! Not done: authentication, retransmission, putting overtaken packets in order (there are none on
//! loopback), header extensions and contributing sources.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use testkit::stamp;

use crate::mark::Mark;

/// What RTP packets travel over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lower {
    /// The connection.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A whole frame that went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its mark, if it has one.
    pub mark: Option<Mark>,
    /// Whether one can begin with it.
    pub key: bool,
}

/// What takes frames.
pub type Sink<'a> = dyn FnMut(Frame) + 'a;

/// RTP packets that came, and those that the numbers of others tell of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packets {
    /// Came.
    pub received: u64,
    /// Did not come.
    pub lost: u64,
}

/// Reports go out this often (RFC 3550 §6.2); they tell the server that somebody is there.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Where packets come as datagrams, little is said on the connection: it is looked at, and so are
/// the server's reports, this often.
const QUIET_INTERVAL: Duration = Duration::from_secs(1);

/// A player's side of one session.
#[derive(Debug)]
pub struct Session {
    server: SocketAddr,
    uri: String,
    lower: Lower,
    step: Step,
    sequence: u32,
    /// The session's name, once there is one.
    id: String,
    /// What the addresses of media are relative to.
    base: String,
    media: Vec<Medium>,
    messages: Messages,
    next_report: Instant,
    next_look: Instant,
}

/// What a player waits for the answer of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Options,
    Describe,
    Setup(usize),
    Play,
    /// Nothing more.
    Playing,
}

/// A medium of the session description.
#[derive(Debug)]
pub(crate) struct Medium {
    control: String,
    pub(crate) track: Track,
    pair: Option<Pair>,
}

impl Session {
    /// A session that wants `uri` from `server`, and the first request.
    #[must_use]
    pub fn new(server: SocketAddr, uri: String, lower: Lower) -> (Self, String) {
        let now = Instant::now();
        let mut this = Self {
            server,
            base: uri.clone(),
            uri,
            lower,
            step: Step::Options,
            sequence: 0,
            id: String::new(),
            media: Vec::new(),
            messages: Messages::default(),
            next_report: now + REPORT_INTERVAL,
            next_look: now,
        };
        let first = this.request("OPTIONS", &this.uri.clone(), "");
        (this, first)
    }

    /// Takes what came on the connection; returns what has to be sent.
    ///
    /// # Errors
    /// When the server refuses or makes no sense.
    pub fn take(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<Vec<u8>> {
        let mut messages = std::mem::take(&mut self.messages);
        let mut out = Vec::new();
        let taken = messages.feed(bytes, &mut |message| {
            match message {
                Message::Packet { channel, bytes } if channel % 2 == 0 => {
                    let medium = self.media.get_mut(usize::from(channel / 2));
                    if let Some(frame) = medium.and_then(|medium| medium.track.take(bytes)) {
                        sink(frame);
                    }
                }
                Message::Packet { .. } => {}
                Message::Text { head, body } => out.extend(self.follow(head, body)?.bytes()),
            }
            Ok(())
        });
        self.messages = messages;
        taken.map(|()| out)
    }

    /// Takes the datagrams that are there; returns their bytes.
    ///
    /// # Errors
    /// When the server has closed its ports.
    pub fn receive(&mut self, buffer: &mut [u8], sink: &mut Sink<'_>) -> Result<u64> {
        let mut bytes = 0;
        for medium in &mut self.media {
            let Some(pair) = &medium.pair else { continue };
            while let Some(length) = datagram(&pair.rtp, buffer)? {
                bytes += u64::try_from(length).unwrap_or(0);
                if let Some(frame) = medium.track.take(buffer.get(..length).unwrap_or_default()) {
                    sink(frame);
                }
            }
        }
        Ok(bytes)
    }

    /// Whether the connection is to be read now.
    ///
    /// # Errors
    /// When the server has closed its ports.
    pub fn is_to_be_read(&mut self, buffer: &mut [u8], now: Instant) -> Result<bool> {
        if self.lower == Lower::Tcp || self.step != Step::Playing {
            return Ok(true);
        }
        if now < self.next_look {
            return Ok(false);
        }
        self.next_look = now + QUIET_INTERVAL;
        for pair in self.media.iter().filter_map(|medium| medium.pair.as_ref()) {
            while datagram(&pair.rtcp, buffer)?.is_some() {}
        }
        Ok(true)
    }

    /// Sends the reports that are due by datagrams; returns those for the connection.
    ///
    /// # Errors
    /// When the server has closed its ports.
    pub fn report(&mut self, now: Instant) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if now < self.next_report || self.step != Step::Playing {
            return Ok(out);
        }
        self.next_report = now + REPORT_INTERVAL;
        for (medium, channel) in self.media.iter().zip((1..).step_by(2)) {
            // An empty receiver report (RFC 3550 §6.4.2) of a source that sends nothing.
            let report = [0x80, 201, 0, 1, 0, 0, 0, channel];
            if let Some(pair) = &medium.pair {
                pair.rtcp.send(&report)?;
            } else {
                out.extend([b'$', channel, 0, 8]);
                out.extend(report);
            }
        }
        Ok(out)
    }

    /// What was counted since the last call, over all media.
    pub fn take_packets(&mut self) -> Packets {
        take_packets(&mut self.media)
    }

    /// Takes the next step when the server has agreed to the one before.
    fn follow(&mut self, head: &str, body: &str) -> Result<String> {
        let Some(status) = head.strip_prefix("RTSP/1.0 ") else { return Ok(String::new()) };
        if !status.starts_with("200") {
            bail!("refused by the server: {}", status.lines().next().unwrap_or_default());
        }
        if let Some(id) = field(head, "Session") {
            self.id = id.split(';').next().unwrap_or(id).to_owned();
        }
        let next = match self.step {
            Step::Options => {
                self.step = Step::Describe;
                self.request("DESCRIBE", &self.uri.clone(), "Accept: application/sdp\r\n")
            }
            Step::Describe => {
                if let Some(base) = field(head, "Content-Base") {
                    base.clone_into(&mut self.base);
                }
                self.media = media(body);
                self.set_up(0)?
            }
            Step::Setup(number) => {
                let medium = self.media.get(number).context("no such medium")?;
                if let Some(pair) = &medium.pair {
                    let transport = field(head, "Transport").unwrap_or_default();
                    pair.connect(self.server.ip(), server_ports(transport))?;
                }
                self.set_up(number + 1)?
            }
            Step::Play => {
                self.step = Step::Playing;
                String::new()
            }
            Step::Playing => String::new(),
        };
        Ok(next)
    }

    /// Asks for a medium, or to play if there are no more.
    fn set_up(&mut self, number: usize) -> Result<String> {
        let Some(medium) = self.media.get_mut(number) else {
            if number == 0 {
                bail!("the server describes no media");
            }
            self.step = Step::Play;
            return Ok(self.request("PLAY", &self.base.clone(), "Range: npt=0.000-\r\n"));
        };
        let transport = match self.lower {
            Lower::Tcp => {
                let channel = 2 * number;
                format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1)
            }
            Lower::Udp => {
                let pair = medium.pair.insert(Pair::bind(self.server.ip())?);
                let port = pair.rtp.local_addr()?.port();
                format!("RTP/AVP;unicast;client_port={port}-{}", port + 1)
            }
        };
        let uri = if medium.control.contains("://") {
            medium.control.clone()
        } else {
            format!("{}/{}", self.base.trim_end_matches('/'), medium.control)
        };
        self.step = Step::Setup(number);
        Ok(self.request("SETUP", &uri, &format!("Transport: {transport}\r\n")))
    }

    fn request(&mut self, method: &str, uri: &str, fields: &str) -> String {
        self.sequence += 1;
        let mut out = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n{fields}", self.sequence);
        if !self.id.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(out, "Session: {}\r\n", self.id);
        }
        out.push_str("\r\n");
        out
    }
}

/// What was counted since the last call, over these media.
pub(crate) fn take_packets(media: &mut [Medium]) -> Packets {
    media.iter_mut().fold(Packets::default(), |sum, medium| {
        let Packets { received, lost } = std::mem::take(&mut medium.track.packets);
        Packets { received: sum.received + received, lost: sum.lost + lost }
    })
}

/// The value of a header field.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut values = fields.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim())
}

/// The server's ports for RTP and RTCP, from its `Transport`.
fn server_ports(transport: &str) -> Option<(u16, u16)> {
    let ports = transport.split(';').find_map(|part| part.trim().strip_prefix("server_port="))?;
    let (rtp, rtcp) = ports.split_once('-')?;
    Some((rtp.parse().ok()?, rtcp.parse().ok()?))
}

/// The media of a session description. Frames are told of the picture, or else of the first.
pub(crate) fn media(description: &str) -> Vec<Medium> {
    let mut media: Vec<Medium> = Vec::new();
    for line in description.lines() {
        if let Some(line) = line.strip_prefix("m=") {
            let kind = if line.starts_with("video") { Kind::Picture } else { Kind::Other };
            media.push(Medium { control: String::new(), track: Track::new(kind), pair: None });
        } else if let (Some(control), Some(medium)) =
            (line.strip_prefix("a=control:"), media.last_mut())
        {
            control.trim().clone_into(&mut medium.control);
        }
    }
    if media.iter().all(|medium| medium.track.kind == Kind::Other) {
        media.iter_mut().take(1).for_each(|medium| medium.track.kind = Kind::Sound);
    }
    media
}

/// The sockets of one medium.
#[derive(Debug)]
struct Pair {
    /// For RTP; its port is even.
    rtp: UdpSocket,
    /// For RTCP; its port is the next one.
    rtcp: UdpSocket,
}

/// What the kernel may hold for one socket, as far as the system lets it: with what it adds to
/// each packet, some seconds at 1 Mbit/s, so that what is lost is not lost here.
const SOCKET_BUFFER: usize = 1 << 20;
/// Pairs of ports that are tried: every other one that the system chooses is odd.
const MAX_TRIES: usize = 200;

impl Pair {
    /// Ports for what `server` sends.
    fn bind(server: IpAddr) -> Result<Self> {
        let any: IpAddr = match server {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        for _ in 0..MAX_TRIES {
            let rtp = UdpSocket::bind((any, 0))?;
            let port = rtp.local_addr()?.port();
            if port % 2 != 0 {
                continue;
            }
            let Ok(rtcp) = UdpSocket::bind((any, port + 1)) else { continue };
            SockRef::from(&rtp).set_recv_buffer_size(SOCKET_BUFFER)?;
            rtp.set_nonblocking(true)?;
            rtcp.set_nonblocking(true)?;
            return Ok(Self { rtp, rtcp });
        }
        bail!("no pair of ports is free")
    }

    /// Hears nobody but the server from now on.
    fn connect(&self, server: IpAddr, ports: Option<(u16, u16)>) -> Result<()> {
        let (rtp, rtcp) = ports.context("the server names no ports")?;
        self.rtp.connect((server, rtp))?;
        self.rtcp.connect((server, rtcp))?;
        Ok(())
    }
}

/// The length of the next datagram, if there is one.
fn datagram(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<usize>> {
    match socket.recv(buffer) {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a track is to the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// H.264, whose frames are told.
    Picture,
    /// Sound without a picture, whose frames are told.
    Sound,
    /// Whatever comes beside; only its packets count.
    Other,
}

/// Counts the packets of one medium, and tells frames.
#[derive(Debug)]
pub(crate) struct Track {
    kind: Kind,
    pub(crate) packets: Packets,
    /// The number of the next packet.
    next: Option<u16>,
    /// The frame that is going by, and its time.
    timestamp: Option<u32>,
    mark: Option<Mark>,
    key: bool,
    torn: bool,
}

/// Bytes of an RTP header.
const RTP_HEADER: usize = 12;
/// A mark is looked for in so many bytes of a payload: parameter sets stand before it.
const HEAD: usize = 128;

impl Track {
    fn new(kind: Kind) -> Self {
        let packets = Packets::default();
        Self { kind, packets, next: None, timestamp: None, mark: None, key: false, torn: false }
    }

    /// Takes a packet; the frame that it ends, if nothing of that is missing.
    pub(crate) fn take(&mut self, packet: &[u8]) -> Option<Frame> {
        let (header, payload) = packet.split_first_chunk::<RTP_HEADER>()?;
        let &[flags, marker, n1, n0, t3, t2, t1, t0, ..] = header;
        if flags >> 6 != 2 {
            return None;
        }
        let number = u16::from_be_bytes([n1, n0]);
        self.packets.received += 1;
        let ahead = self.next.map_or(0, |next| number.wrapping_sub(next));
        if ahead >= 1 << 15 {
            // It was overtaken: it had been counted as lost, and so had its frame.
            self.packets.lost = self.packets.lost.saturating_sub(1);
            return None;
        }
        self.packets.lost += u64::from(ahead);
        self.next = Some(number.wrapping_add(1));
        if self.kind == Kind::Other {
            return None;
        }
        let timestamp = Some(u32::from_be_bytes([t3, t2, t1, t0]));
        if self.timestamp != timestamp {
            // If the packets that are missing were the first ones of this frame, so is its mark.
            (self.timestamp, self.mark) = (timestamp, None);
            (self.key, self.torn) = (self.kind == Kind::Sound, false);
        } else if ahead > 0 {
            self.torn = true;
        }
        if self.mark.is_none() {
            let head = payload.get(..HEAD).unwrap_or(payload);
            self.mark = stamp::find(head).map(Mark::unpack);
        }
        self.key |= self.kind == Kind::Picture && is_key(payload);
        let whole = marker & 0x80 != 0 && !self.torn;
        whole.then_some(Frame { mark: self.mark, key: self.key })
    }
}

/// Whether a payload belongs to a picture that one can begin with (RFC 6184 §5.2): a slice of one,
/// or parameter sets.
fn is_key(payload: &[u8]) -> bool {
    let kind = match *payload {
        // The first of several units, each after its length.
        [first, _, _, unit, ..] if first & 0x1F == 24 => unit,
        // A fragment.
        [first, unit, ..] if first & 0x1F == 28 => unit,
        [unit, ..] => unit,
        [] => 0,
    };
    matches!(kind & 0x1F, 5 | 7)
}

/// Tells the messages of a connection from the packets between them.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The beginning of what is not whole yet.
    kept: Vec<u8>,
}

/// What comes on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// An interleaved packet.
    Packet { channel: u8, bytes: &'a [u8] },
    /// A response or a request.
    Text { head: &'a str, body: &'a str },
}

/// Longer messages are no media server's.
const MESSAGE_MAX: usize = 128 * 1024;

impl Messages {
    /// Takes the next bytes.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(Message<'_>) -> Result<()>,
    ) -> Result<()> {
        // Reads seldom end inside a packet, for the server does not write so.
        let kept = std::mem::take(&mut self.kept);
        let together = if kept.is_empty() { Vec::new() } else { [&kept, bytes].concat() };
        let mut rest = if kept.is_empty() { bytes } else { &together };
        while let Some((message, after)) = split(rest)? {
            sink(message)?;
            rest = after;
        }
        if rest.len() > MESSAGE_MAX {
            bail!("the server sends no RTSP");
        }
        self.kept = rest.to_vec();
        Ok(())
    }
}

/// The first message, if it is whole, and what follows it.
fn split(bytes: &[u8]) -> Result<Option<(Message<'_>, &[u8])>> {
    if let [b'$', rest @ ..] = bytes {
        let Some((&[channel, high, low], rest)) = rest.split_first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let packet = rest.split_at_checked(length);
        return Ok(packet.map(|(bytes, rest)| (Message::Packet { channel, bytes }, rest)));
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let Some((head, rest)) = end.and_then(|end| bytes.split_at_checked(end + 4)) else {
        return Ok(None);
    };
    let head = std::str::from_utf8(head)?;
    let length = field(head, "Content-Length").map_or(Ok(0), str::parse)?;
    let Some((body, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    let body = std::str::from_utf8(body)?;
    Ok(Some((Message::Text { head, body }, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\ns=s\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\n\
                       a=rtpmap:96 H264/90000\r\na=control:trackID=0\r\nm=audio 0 RTP/AVP 97\r\n\
                       a=control:rtsp://other/trackID=1\r\n";

    fn packet(number: u16, time: u8, marker: bool, payload: &[u8]) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        let kind = 96 | u8::from(marker) << 7;
        [&[0x80, kind, high, low, 0, 0, 0, time, 1, 2, 3, 4], payload].concat()
    }

    /// An SEI of its own, as the beginning of a frame.
    fn sei(mark: Mark) -> Vec<u8> {
        [&[6, 5, 26][..], &stamp::encode(mark.pack()), &[0x80]].concat()
    }

    #[test]
    fn whole_frames_are_told_and_gaps_are_counted() {
        let mut track = Track::new(Kind::Picture);
        let mark = |number| Mark { sent: 1_700_000_000_000_000, number };
        let slice = |end: bool| [0x7C, if end { 0x41 } else { 0x01 }, 9, 9];
        let mut told = Vec::new();
        let mut take = |packet: Vec<u8>| told.extend(track.take(&packet));
        // A key frame: parameter sets and the mark together, then a slice in fragments.
        let sets = [&[24, 0, 2, 0x67, 1][..], &[0, 30], &sei(mark(1))].concat();
        take(packet(0xFFFE, 0, false, &sets));
        take(packet(0xFFFF, 0, false, &[0x7C, 0x85, 9, 9]));
        take(packet(0, 0, true, &[0x7C, 0x45, 9, 9]));
        // One of which the middle is missing.
        take(packet(1, 1, false, &sei(mark(2))));
        take(packet(3, 1, true, &slice(true)));
        // One of which the end is missing, and a whole one right behind it.
        take(packet(4, 2, false, &sei(mark(3))));
        take(packet(6, 3, false, &sei(mark(4))));
        take(packet(7, 3, true, &slice(true)));
        // One of which the beginning is missing.
        take(packet(9, 4, true, &slice(true)));
        // One that was overtaken.
        take(packet(8, 4, false, &sei(mark(5))));
        let told: Vec<_> = told.iter().map(|frame| (frame.mark, frame.key)).collect();
        assert_eq!(told, [(Some(mark(1)), true), (Some(mark(4)), false), (None, false)]);
        assert_eq!(track.packets, Packets { received: 10, lost: 2 });
    }

    #[test]
    fn messages_are_told_from_packets_however_they_are_cut() {
        let response = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\ncontent-length: 4\r\n\r\nbody";
        let all = [&b"$\0\0\x03abc"[..], response, b"$\x01\0\0", b"$\x02\0\x01d"].concat();
        for cut in 1..all.len() {
            let mut messages = Messages::default();
            let mut seen = Vec::new();
            for part in [&all[..cut], &all[cut..]] {
                let mut sink = |message: Message<'_>| {
                    seen.push(format!("{message:?}"));
                    Ok(())
                };
                messages.feed(part, &mut sink).unwrap();
            }
            assert_eq!(seen.len(), 4, "{cut}: {seen:?}");
            assert!(seen[1].contains("body: \"body\""), "{cut}: {seen:?}");
            assert!(messages.kept.is_empty());
        }
        let noise = vec![b'x'; MESSAGE_MAX + 1];
        assert!(Messages::default().feed(&noise, &mut |_| Ok(())).is_err());
    }

    #[test]
    fn a_player_goes_step_by_step() {
        let server: SocketAddr = "127.0.0.1:554".parse().unwrap();
        let uri = "rtsp://127.0.0.1:554/live/s".to_owned();
        let (mut session, first) = Session::new(server, uri, Lower::Tcp);
        assert_eq!(first, "OPTIONS rtsp://127.0.0.1:554/live/s RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        let mut say = |fields: &str, body: &str| {
            let length = body.len();
            let text = format!("RTSP/1.0 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
            let out = session.take(text.as_bytes(), &mut |_| {}).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(say("", "").starts_with("DESCRIBE rtsp://127.0.0.1:554/live/s RTSP/1.0\r\n"));
        let setup = say("Content-Base: rtsp://127.0.0.1:554/live/s/\r\n", SDP);
        assert!(setup.starts_with("SETUP rtsp://127.0.0.1:554/live/s/trackID=0 "), "{setup}");
        assert!(setup.contains("interleaved=0-1\r\n"), "{setup}");
        let setup = say("Session: 12;timeout=60\r\n", "");
        assert!(setup.starts_with("SETUP rtsp://other/trackID=1 RTSP/1.0\r\n"), "{setup}");
        assert!(setup.contains("interleaved=2-3\r\nSession: 12\r\n"), "{setup}");
        let play = say("", "");
        assert!(play.starts_with("PLAY rtsp://127.0.0.1:554/live/s/ RTSP/1.0\r\n"), "{play}");
        assert_eq!(say("", ""), "");
        assert_eq!(session.step, Step::Playing);
        let reports = session.report(Instant::now() + REPORT_INTERVAL).unwrap();
        assert_eq!(reports.len(), 2 * (4 + 8));
        let refusal = b"RTSP/1.0 404 Not Found\r\n\r\n";
        assert!(session.take(refusal, &mut |_| {}).is_err());
    }

    #[test]
    fn datagrams_come_in_at_the_ports_that_were_told() {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        let theirs = Pair::bind(localhost).unwrap();
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        let server = SocketAddr::new(localhost, 554);
        let (mut session, _) = Session::new(server, "rtsp://127.0.0.1/s".to_owned(), Lower::Udp);
        session.take(b"RTSP/1.0 200 OK\r\n\r\n", &mut |_| {}).unwrap();
        let description = format!(
            "RTSP/1.0 200 OK\r\nContent-Length: {}\r\n\r\nm=video 0 RTP/AVP 96\r\n",
            "m=video 0 RTP/AVP 96\r\n".len()
        );
        session.take(description.as_bytes(), &mut |_| {}).unwrap();
        let setup = format!(
            "RTSP/1.0 200 OK\r\nSession: 1\r\nTransport: RTP/AVP;server_port={}-{}\r\n\r\n",
            port(&theirs.rtp),
            port(&theirs.rtcp)
        );
        session.take(setup.as_bytes(), &mut |_| {}).unwrap();
        session.take(b"RTSP/1.0 200 OK\r\n\r\n", &mut |_| {}).unwrap();

        let ours = port(&session.media[0].pair.as_ref().unwrap().rtp);
        assert_eq!(ours % 2, 0);
        for (number, marker) in [(0, false), (1, true), (3, true)] {
            let time = u8::try_from(number / 2).unwrap();
            let bytes = packet(number, time, marker, &[0x65, 1, 2, 3]);
            theirs.rtp.send_to(&bytes, (localhost, ours)).unwrap();
        }
        let (mut buffer, mut frames) = (vec![0; 2048], 0);
        let bytes = session.receive(&mut buffer, &mut |frame| {
            assert!(frame.key);
            frames += 1;
        });
        assert_eq!((bytes.unwrap(), frames), (3 * 16, 2));
        assert_eq!(session.take_packets(), Packets { received: 3, lost: 1 });
        assert_eq!(session.take_packets(), Packets::default());
        let now = Instant::now();
        assert!(session.is_to_be_read(&mut buffer, now).unwrap());
        assert!(!session.is_to_be_read(&mut buffer, now).unwrap());
        assert!(session.report(now + REPORT_INTERVAL).unwrap().is_empty());
        assert_eq!(theirs.rtcp.recv(&mut buffer).unwrap_or(0), 8);
    }
}
