//! Session descriptions of GB/T 28181 (2016 Annex F, 2022 Annex G): SDP with `y=` for the SSRC, `f=`
//! for the encoding, and `u=` for the file.
//!
//! Offers are written as devices know them. Answers are read leniently: any line end, `y=` with
//! fewer digits or none, media of other names, payload types that nobody offered.

use std::net::IpAddr;

use crate::Error;
use crate::id::Id;
use crate::ssrc::Ssrc;

/// The longest description that is read: real ones have half a KiB.
pub const MAX_SIZE: usize = 16 << 10;

/// Payload types that are read of an answer.
const MAX_FORMATS: usize = 16;

/// How media travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RTP in datagrams.
    Udp,
    /// RTP on a connection that the device makes to us.
    TcpPassive,
    /// RTP on a connection that we make to the device.
    TcpActive,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What is to be seen now.
    Live,
    /// What was recorded, in seconds since 1970.
    Playback {
        /// From when on.
        start: u64,
        /// Until when.
        end: u64,
    },
}

/// What a platform offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Who offers.
    pub platform: Id,
    /// The channel that is asked.
    pub channel: Id,
    /// What is asked for.
    pub kind: Kind,
    /// Where media is to come to.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
    /// How it travels.
    pub transport: Transport,
    /// What it is to be told apart by.
    pub ssrc: Ssrc,
}

impl Offer {
    /// The text.
    #[must_use]
    pub fn to_sdp(&self) -> String {
        let Self { platform, channel, address, port, ssrc, .. } = self;
        let family = if address.is_ipv4() { "IP4" } else { "IP6" };
        let (name, uri, time) = match self.kind {
            Kind::Live => ("Play", String::new(), "0 0".to_owned()),
            Kind::Playback { start, end } => {
                ("Playback", format!("u={channel}:0\r\n"), format!("{start} {end}"))
            }
        };
        let (protocol, setup) = match self.transport {
            Transport::Udp => ("RTP/AVP", ""),
            Transport::TcpPassive => ("TCP/RTP/AVP", "a=setup:passive\r\na=connection:new\r\n"),
            Transport::TcpActive => ("TCP/RTP/AVP", "a=setup:active\r\na=connection:new\r\n"),
        };
        format!(
            "v=0\r\no={platform} 0 0 IN {family} {address}\r\ns={name}\r\n{uri}\
             c=IN {family} {address}\r\nt={time}\r\nm=video {port} {protocol} 96 97 98 99\r\n\
             a=recvonly\r\na=rtpmap:96 PS/90000\r\na=rtpmap:97 MPEG4/90000\r\n\
             a=rtpmap:98 H264/90000\r\na=rtpmap:99 H265/90000\r\n{setup}y={ssrc}\r\nf=\r\n"
        )
    }
}

/// Who makes the connection, in the words of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The device does.
    Active,
    /// We do.
    Passive,
}

/// What RTP carries under a payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The payload type.
    pub payload_type: u8,
    /// The name in upper case: `PS`, `H264`, `H265`, …; empty if nothing says it.
    pub encoding: String,
    /// Ticks per second.
    pub clock_rate: u32,
}

/// What a device answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where it sends from, or listens; it need not be where its datagrams come from.
    pub address: Option<IpAddr>,
    /// The port there.
    pub port: u16,
    /// Whether media travels on a connection.
    pub tcp: bool,
    /// Who makes the connection.
    pub setup: Option<Setup>,
    /// What media is told apart by, if the device says; it may differ from what was offered.
    pub ssrc: Option<Ssrc>,
    /// What it sends, the likeliest first.
    pub formats: Vec<Format>,
    /// `f=`: how video and audio are encoded.
    pub encoding: Option<String>,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`Error::Sdp`] when it is too long, or has no medium.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        if body.len() > MAX_SIZE {
            return Err(Error::Sdp("is longer than any real one"));
        }
        let text = String::from_utf8_lossy(body);
        let mut address = None;
        let mut medium: Option<Self> = None;
        let mut maps = Vec::new();
        let (mut ssrc, mut encoding) = (None, None);
        let mut is_first = false;
        for line in text.split(['\r', '\n', '\0']).map(str::trim) {
            let Some((kind, value)) = line.split_once('=') else { continue };
            let value = value.trim();
            match kind.trim() {
                "m" => {
                    // A second medium is audio of its own; PS has both in the first.
                    is_first = medium.is_none();
                    medium = medium.or_else(|| media(value));
                }
                "c" if medium.is_none() || is_first => {
                    address = connection(value).or(address);
                }
                // These two stand at the end, whatever the medium.
                "y" => ssrc = ssrc.or_else(|| Ssrc::parse(value)),
                "f" if !value.is_empty() => encoding = Some(value.chars().take(128).collect()),
                "a" if medium.is_none() || is_first => {
                    let (name, value) = value.split_once(':').unwrap_or((value, ""));
                    match (name.trim().to_ascii_lowercase().as_str(), &mut medium) {
                        ("rtpmap", _) if maps.len() < MAX_FORMATS => maps.extend(map(value)),
                        ("setup", Some(medium)) => medium.setup = setup(value),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        let mut answer = medium.ok_or(Error::Sdp("has no medium"))?;
        for format in &mut answer.formats {
            let of_type = |map: &&Format| map.payload_type == format.payload_type;
            if let Some(map) = maps.iter().find(of_type) {
                format.clone_from(map);
            }
        }
        // Some name a payload type in the map alone.
        if answer.formats.is_empty() {
            answer.formats = maps;
        }
        Ok(Self { address, ssrc, encoding, ..answer })
    }

    /// What the device is likely to send.
    #[must_use]
    pub fn format(&self) -> Option<&Format> {
        self.formats.first()
    }
}

fn media(value: &str) -> Option<Answer> {
    let mut words = value.split_ascii_whitespace();
    let _kind = words.next()?;
    let port = words.next()?.split('/').next()?.parse().ok()?;
    let tcp = words.next().is_some_and(|protocol| protocol.to_ascii_uppercase().contains("TCP"));
    let types = words.take(MAX_FORMATS).filter_map(|word| word.parse().ok());
    let types = types.filter(|payload_type| *payload_type < 128);
    let format = |payload_type| Format {
        payload_type,
        encoding: static_name(payload_type).to_owned(),
        clock_rate: if payload_type == 8 || payload_type == 0 { 8000 } else { 90_000 },
    };
    let formats = types.map(format).collect();
    let (address, setup, ssrc, encoding) = (None, None, None, None);
    Some(Answer { address, port, tcp, setup, ssrc, formats, encoding })
}

/// The payload types that are never explained (RFC 3551, and 96 of GB/T 28181).
fn static_name(payload_type: u8) -> &'static str {
    match payload_type {
        0 => "PCMU",
        8 => "PCMA",
        96 => "PS",
        _ => "",
    }
}

fn map(value: &str) -> Option<Format> {
    let (payload_type, rest) = value.trim().split_once(char::is_whitespace)?;
    let payload_type = payload_type.parse().ok().filter(|payload_type| *payload_type < 128)?;
    let rest = rest.trim();
    let (encoding, rate) = rest.split_once('/').unwrap_or((rest, ""));
    let rate = rate.split('/').next().and_then(|rate| rate.trim().parse().ok());
    let clock_rate = rate.filter(|rate| *rate > 0).unwrap_or(90_000);
    let encoding = encoding.trim().to_ascii_uppercase().chars().take(32).collect();
    Some(Format { payload_type, encoding, clock_rate })
}

fn setup(value: &str) -> Option<Setup> {
    match value.trim().to_ascii_lowercase().as_str() {
        "active" => Some(Setup::Active),
        "passive" => Some(Setup::Passive),
        _ => None,
    }
}

fn connection(value: &str) -> Option<IpAddr> {
    let address = value.split_ascii_whitespace().last()?;
    address.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(kind: Kind, transport: Transport) -> Offer {
        Offer {
            platform: "34020000002000000001".parse().unwrap(),
            channel: "34020000001320000001".parse().unwrap(),
            kind,
            address: "192.0.2.1".parse().unwrap(),
            port: 30000,
            transport,
            ssrc: Ssrc(200_000_001),
        }
    }

    #[test]
    fn offers_are_what_devices_know() {
        let text = offer(Kind::Live, Transport::TcpPassive).to_sdp();
        let expected = "v=0\r\no=34020000002000000001 0 0 IN IP4 192.0.2.1\r\ns=Play\r\n\
            c=IN IP4 192.0.2.1\r\nt=0 0\r\nm=video 30000 TCP/RTP/AVP 96 97 98 99\r\na=recvonly\r\n\
            a=rtpmap:96 PS/90000\r\na=rtpmap:97 MPEG4/90000\r\na=rtpmap:98 H264/90000\r\n\
            a=rtpmap:99 H265/90000\r\na=setup:passive\r\na=connection:new\r\ny=0200000001\r\nf=\r\n";
        assert_eq!(text, expected);
        let playback = Kind::Playback { start: 1_700_000_000, end: 1_700_000_060 };
        let text = offer(playback, Transport::Udp).to_sdp();
        assert!(text.contains("s=Playback\r\nu=34020000001320000001:0\r\nc="), "{text}");
        assert!(text.contains("\r\nt=1700000000 1700000060\r\nm=video 30000 RTP/AVP 96"), "{text}");
        assert!(!text.contains("setup"), "{text}");
        assert!(offer(Kind::Live, Transport::TcpActive).to_sdp().contains("a=setup:active"));
    }

    #[test]
    fn answers_are_read_with_their_flaws() {
        let text = "v=0\no=x 0 0 IN IP4 192.168.1.9\ns=Play\nc=IN IP4 192.168.1.9\nt=0 0\n\
            m=video 15060 TCP/RTP/AVP 98\na=setup:Active\na=sendonly\na=rtpmap:98 h265/90000\n\
            a=rtpmap:96 PS/90000\nm=audio 15062 RTP/AVP 8\nc=IN IP4 10.0.0.1\na=setup:passive\n\
            y=200000001\nf=v/2/5/25/1/4000a/1/8/1";
        let answer = Answer::parse(text.as_bytes()).unwrap();
        let format = Format { payload_type: 98, encoding: "H265".to_owned(), clock_rate: 90_000 };
        let expected = Answer {
            address: Some("192.168.1.9".parse().unwrap()),
            port: 15060,
            tcp: true,
            setup: Some(Setup::Active),
            ssrc: Some(Ssrc(200_000_001)),
            formats: vec![format],
            encoding: Some("v/2/5/25/1/4000a/1/8/1".to_owned()),
        };
        assert_eq!(answer, expected);
        let bare = Answer::parse(b"m=video 6000 RTP/AVP 96\r\ny=\r\n").unwrap();
        assert_eq!((bare.ssrc, bare.format().unwrap().encoding.as_str()), (None, "PS"));
        let mapped = Answer::parse(b"m=video 6000 RTP/AVP\ra=rtpmap:98 H264\r").unwrap();
        assert_eq!(mapped.format().unwrap().payload_type, 98);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert_eq!(Answer::parse(b"v=0\r\n"), Err(Error::Sdp("has no medium")));
        assert_eq!(Answer::parse(b""), Err(Error::Sdp("has no medium")));
        assert!(Answer::parse(&[b'a'; MAX_SIZE + 1]).is_err());
        let many = format!("m=video 1 RTP/AVP {}", "96 ".repeat(1000));
        assert_eq!(Answer::parse(many.as_bytes()).unwrap().formats.len(), MAX_FORMATS);
    }

    proptest! {
        #[test]
        fn an_offer_is_read_as_an_answer(port: u16, ssrc: u32, transport in 0usize..3) {
            let transport = [Transport::Udp, Transport::TcpPassive, Transport::TcpActive][transport];
            let offer = Offer { port, ssrc: Ssrc(ssrc), ..offer(Kind::Live, transport) };
            let answer = Answer::parse(offer.to_sdp().as_bytes()).unwrap();
            prop_assert_eq!((answer.port, answer.ssrc), (port, Some(Ssrc(ssrc))));
            prop_assert_eq!(answer.address, Some(offer.address));
            prop_assert_eq!(answer.tcp, transport != Transport::Udp);
            prop_assert_eq!(answer.formats.len(), 4);
        }

        #[test]
        fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "([macyf]=[ -~]{0,30}\n){0,8}") {
            let _ = Answer::parse(&bytes);
            let _ = Answer::parse(text.as_bytes());
        }
    }
}
