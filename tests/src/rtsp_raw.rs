//! A scripted RTSP peer, that does what it is told, right or wrong.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use socket2::{Domain, Socket, Type};
use testkit::h264::{Picture, Sequence};

use crate::PATIENCE;

/// A connection.
pub struct Peer {
    socket: TcpStream,
    buffer: Vec<u8>,
    cseq: u32,
    url: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The value of a header field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let name = format!("{}:", name.to_ascii_lowercase());
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

impl Peer {
    /// Connects to a server on this host; `path` is that of the stream.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn connect(port: u16, path: &str) -> Self {
        Self::connect_from(Ipv4Addr::LOCALHOST, port, path)
    }

    /// As [`Peer::connect`], from another address of this host.
    ///
    /// # Panics
    /// When there is no server.
    #[must_use]
    pub fn connect_from(source: Ipv4Addr, port: u16, path: &str) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of this host");
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        socket.connect(&server.into()).expect("the server");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let url = format!("rtsp://{server}/{path}");
        Self { socket: socket.into(), buffer: Vec::new(), cseq: 0, url }
    }

    /// The stream's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the connection is broken.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// As [`Peer::send`], but a server that has hung up is no failure.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).is_ok()
    }

    /// Asks, and waits for the answer. `to` is appended to the stream's address.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&mut self, method: &str, to: &str, fields: &[&str], body: &str) -> Answer {
        let request = self.request(method, to, fields, body);
        self.send(request);
        self.answer().expect("an answer")
    }

    /// The text of a request with the next number.
    pub fn request(&mut self, method: &str, to: &str, fields: &[&str], body: &str) -> String {
        self.cseq += 1;
        let mut text = format!("{method} {}{to} RTSP/1.0\r\nCSeq: {}\r\n", self.url, self.cseq);
        fields.iter().for_each(|field| text.push_str(&format!("{field}\r\n")));
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text + "\r\n" + body
    }

    /// The next answer; packets before it are passed over. `None` when the server hangs up.
    ///
    /// # Panics
    /// When nothing comes.
    pub fn answer(&mut self) -> Option<Answer> {
        loop {
            while self.buffer.first() == Some(&b'$') {
                self.packet()?;
            }
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                let mut answer = Answer { status: 0, head: head.to_owned(), body: String::new() };
                let length = answer.field("Content-Length").map_or(0, |n| n.parse().expect("n"));
                if rest.len() >= length {
                    answer.body = rest[..length].to_owned();
                    let status = head.split(' ').nth(1).expect("a status");
                    answer.status = status.parse().expect("a number");
                    self.buffer.drain(..head.len() + 4 + length);
                    return Some(answer);
                }
            }
            self.fill()?;
        }
    }

    /// The next interleaved packet: its channel and bytes. `None` when the server hangs up.
    ///
    /// # Panics
    /// When nothing comes, or something else.
    pub fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [first, channel, high, low, rest @ ..] = &self.buffer[..] {
                assert_eq!(*first, b'$', "{:?}", String::from_utf8_lossy(&self.buffer));
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if rest.len() >= length {
                    let packet = (*channel, rest[..length].to_vec());
                    self.buffer.drain(..4 + length);
                    return Some(packet);
                }
            }
            self.fill()?;
        }
    }

    /// Whether the server hangs up, whatever it says before.
    pub fn is_sent_away(&mut self) -> bool {
        while self.fill().is_some() {}
        true
    }

    fn fill(&mut self) -> Option<()> {
        let mut piece = [0; 65_536];
        match self.socket.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                self.buffer.extend_from_slice(&piece[..length]);
                Some(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("nothing comes: {error}"),
        }
    }

    /// Announces media and sets them up between the messages, on channels 0, 2, …; then records.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn publish(&mut self, media: &[&str]) {
        let body = format!("v=0\r\n{}", media.concat());
        let sdp = ["Content-Type: application/sdp"];
        assert_eq!(self.ask("ANNOUNCE", "", &sdp, &body).status, 200);
        for number in 0..media.len() {
            let (rtp, rtcp) = (number * 2, number * 2 + 1);
            let way = format!("Transport: RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}");
            let answer = self.ask("SETUP", &format!("/trackID={number}"), &[&way], "");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(self.ask("RECORD", "", &[], "").status, 200);
    }

    /// Sends a packet on a channel.
    pub fn interleave(&mut self, channel: u8, packet: &[u8]) {
        let length = u16::try_from(packet.len()).expect("a short packet").to_be_bytes();
        self.send([&[b'$', channel, length[0], length[1]], packet].concat());
    }
}

/// A picture track without parameter sets, and a sound track, as descriptions have them.
pub const H264: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n";
/// Sound.
pub const PCMA: &str = "m=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\n";

/// An RTP packet.
#[must_use]
pub fn rtp(kind: u8, marker: bool, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, u8::from(marker) << 7 | kind];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&0x1234_5678u32.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// A camera's pictures: a key frame every ten.
#[derive(Debug)]
pub struct Camera {
    sequence: Sequence,
    number: u64,
    /// The number of the next packet.
    pub packets: u16,
    /// The time of the next picture.
    pub timestamp: u32,
}

impl Camera {
    /// A camera with small pictures.
    #[must_use]
    pub fn new() -> Self {
        let sequence = Sequence { width: 320, height: 180, rate: (25, 1), reorders: false };
        Self { sequence, number: 0, packets: 7_000, timestamp: 90_000 }
    }

    /// The NAL units of the next picture, parameter sets before each key frame, and its time.
    pub fn picture(&mut self) -> (Vec<Vec<u8>>, u32) {
        let place = self.number % 10;
        let mut units = Vec::new();
        if place == 0 {
            units.push(self.sequence.sps().to_vec());
            units.push(self.sequence.pps().to_vec());
            let key = Picture::Key { gop: self.number / 10 };
            units.push(self.sequence.slice(key).to_vec());
        } else {
            let picture = Picture::P { number: place, display: place };
            units.push(self.sequence.slice(picture).to_vec());
        }
        self.number += 1;
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(3_600);
        (units, timestamp)
    }

    /// The next picture, one packet for each NAL unit; `mark` says which has the marker, by its
    /// number and how many there are.
    pub fn packets(&mut self, mark: impl Fn(usize, usize) -> bool) -> Vec<Vec<u8>> {
        let (units, timestamp) = self.picture();
        let count = units.len();
        let packets = units.iter().enumerate().map(|(index, unit)| {
            let sequence = self.packets.wrapping_add(u16::try_from(index).expect("few"));
            rtp(96, mark(index, count), sequence, timestamp, unit)
        });
        let packets: Vec<_> = packets.collect();
        self.packets = self.packets.wrapping_add(u16::try_from(count).expect("few"));
        packets
    }
}

impl Default for Camera {
    fn default() -> Self {
        Self::new()
    }
}

/// The marker where it belongs.
#[must_use]
pub fn at_the_end(index: usize, count: usize) -> bool {
    index + 1 == count
}

/// A pair of sockets for datagrams, even and odd as clients have them, and their ports.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn ports() -> (UdpSocket, UdpSocket, (u16, u16)) {
    loop {
        let rtp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = rtp.local_addr().expect("an address").port();
        if !port.is_multiple_of(2) {
            continue;
        }
        if let Ok(rtcp) = UdpSocket::bind(("127.0.0.1", port + 1)) {
            rtp.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            return (rtp, rtcp, (port, port + 1));
        }
    }
}

/// The server's ports in an answer to `SETUP`, as addresses.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn server_ports(answer: &Answer) -> (SocketAddr, SocketAddr) {
    let transport = answer.field("Transport").expect("a transport");
    let (_, rest) = transport.split_once("server_port=").expect("ports");
    let numbers: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    let (rtp, rtcp) = numbers.split_once('-').expect("two ports");
    let address = |port: &str| SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    (address(rtp), address(rtcp))
}
