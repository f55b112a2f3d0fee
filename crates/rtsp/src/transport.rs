//! The `Transport` header ([RFC 2326](https://www.rfc-editor.org/rfc/rfc2326) §12.39).
//!
//! A list of alternatives, each with parameters in any order. Unknown parameters are passed over,
//! since real peers invent some. Whoever names neither `unicast` nor `multicast` means the former:
//! §12.39 has it the other way round, and nobody follows it.

use std::fmt;
use std::net::Ipv4Addr;

/// Alternatives that are read of one header: real clients offer up to four.
const MAX_ALTERNATIVES: usize = 16;

/// What packets travel over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lower {
    /// Datagrams.
    Udp,
    /// The connection of the session.
    Tcp,
}

/// What the session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The server sends.
    Play,
    /// The client sends.
    Record,
}

/// One alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// What packets travel over.
    pub lower: Lower,
    /// Whether they are encrypted (`RTP/SAVP`).
    pub secure: bool,
    /// Whether they go to a group.
    pub multicast: bool,
    /// Channels of RTP and RTCP.
    pub interleaved: Option<(u8, u8)>,
    /// The client's ports for RTP and RTCP.
    pub client_port: Option<(u16, u16)>,
    /// The server's ports for RTP and RTCP.
    pub server_port: Option<(u16, u16)>,
    /// Where packets go to, if not to the client: a group, which the server chooses. What clients
    /// want here is ignored, so that nobody is flooded.
    pub destination: Option<String>,
    /// The group's ports for RTP and RTCP.
    pub port: Option<(u16, u16)>,
    /// How many routers may pass on what is sent to the group, and one.
    pub ttl: Option<u8>,
    /// Where packets come from.
    pub source: Option<String>,
    /// The synchronisation source of the packets.
    pub ssrc: Option<u32>,
    /// What the session is for, if told.
    pub mode: Option<Mode>,
}

impl Transport {
    /// Packets over the connection, on these channels.
    #[must_use]
    pub fn interleaved(channels: (u8, u8)) -> Self {
        Self { interleaved: Some(channels), ..Self::new(Lower::Tcp) }
    }

    /// Datagrams to these ports of the client.
    #[must_use]
    pub fn datagrams(client_port: (u16, u16)) -> Self {
        Self { client_port: Some(client_port), ..Self::new(Lower::Udp) }
    }

    /// Datagrams to a group, on these ports.
    #[must_use]
    pub fn group(address: Ipv4Addr, port: (u16, u16), ttl: u8) -> Self {
        Self {
            multicast: true,
            destination: Some(address.to_string()),
            port: Some(port),
            ttl: Some(ttl),
            ..Self::new(Lower::Udp)
        }
    }

    fn new(lower: Lower) -> Self {
        Self {
            lower,
            secure: false,
            multicast: false,
            interleaved: None,
            client_port: None,
            server_port: None,
            destination: None,
            port: None,
            ttl: None,
            source: None,
            ssrc: None,
            mode: None,
        }
    }

    /// The alternatives of a header, in order of preference; what is no RTP is left out.
    #[must_use]
    pub fn parse_all(header: &str) -> Vec<Self> {
        header.split(',').filter_map(Self::parse).take(MAX_ALTERNATIVES).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parameters = text.split(';').map(str::trim);
        let protocol = parameters.next()?.to_ascii_uppercase();
        let mut parts = protocol.split('/');
        if parts.next()? != "RTP" {
            return None;
        }
        let secure = parts.next()?.starts_with("SAVP");
        let named = parts.next();
        let mut transport = Self { secure, ..Self::new(Lower::Udp) };
        for parameter in parameters {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "multicast" => transport.multicast = true,
                "interleaved" => transport.interleaved = pair(value),
                "client_port" => transport.client_port = pair(value),
                "server_port" => transport.server_port = pair(value),
                "port" => transport.port = pair(value),
                "ttl" => transport.ttl = value.parse().ok(),
                "destination" => transport.destination = Some(value.to_owned()),
                "source" => transport.source = Some(value.to_owned()),
                "ssrc" => transport.ssrc = u32::from_str_radix(value.trim(), 16).ok(),
                "mode" => {
                    let value = value.to_ascii_lowercase();
                    let record = value.contains("record") || value.contains("receive");
                    transport.mode = Some(if record { Mode::Record } else { Mode::Play });
                }
                _ => {}
            }
        }
        transport.lower = match named {
            Some("TCP") => Lower::Tcp,
            // Some clients name the channels and forget to name the protocol.
            None if transport.interleaved.is_some() => Lower::Tcp,
            _ => Lower::Udp,
        };
        if transport.lower == Lower::Udp {
            transport.interleaved = None;
        }
        Some(transport)
    }
}

/// `a-b`, or `a` alone, whose partner is the next number.
fn pair<T: std::str::FromStr + Copy + TryFrom<u32> + Into<u32>>(value: &str) -> Option<(T, T)> {
    let (first, second) = match value.split_once('-') {
        Some((first, second)) => (first.trim().parse::<T>().ok()?, second.trim().parse().ok()),
        None => (value.parse().ok()?, None),
    };
    let next = || T::try_from(first.into() + 1).ok();
    Some((first, second.or_else(next)?))
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "RTP/SAVP" } else { "RTP/AVP" })?;
        if self.lower == Lower::Tcp {
            f.write_str("/TCP")?;
        }
        f.write_str(if self.multicast { ";multicast" } else { ";unicast" })?;
        if let Some(destination) = &self.destination {
            write!(f, ";destination={destination}")?;
        }
        if let Some(source) = &self.source {
            write!(f, ";source={source}")?;
        }
        if let Some((rtp, rtcp)) = self.port {
            write!(f, ";port={rtp}-{rtcp}")?;
        }
        if let Some(ttl) = self.ttl {
            write!(f, ";ttl={ttl}")?;
        }
        if let Some((rtp, rtcp)) = self.interleaved {
            write!(f, ";interleaved={rtp}-{rtcp}")?;
        }
        if let Some((rtp, rtcp)) = self.client_port {
            write!(f, ";client_port={rtp}-{rtcp}")?;
        }
        if let Some((rtp, rtcp)) = self.server_port {
            write!(f, ";server_port={rtp}-{rtcp}")?;
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        match self.mode {
            Some(Mode::Record) => f.write_str(";mode=record"),
            Some(Mode::Play) => f.write_str(";mode=play"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn alternatives_are_read_in_order_whatever_theirs_is() {
        let header = "RTP/SAVP;unicast;client_port=1-2, RAW/RAW/UDP;unicast,\
                      rtp/avp/udp;client_port=5000-5001;unicast;mode=\"PLAY\",\
                      RTP/AVP/TCP;interleaved=168-169;ssrc=DEADBEEF;foo=bar";
        let [secure, udp, tcp] = &Transport::parse_all(header)[..] else { panic!() };
        assert!(secure.secure);
        assert_eq!(
            (udp.lower, udp.client_port, udp.mode),
            (Lower::Udp, Some((5000, 5001)), Some(Mode::Play))
        );
        assert_eq!(
            (tcp.lower, tcp.interleaved, tcp.ssrc),
            (Lower::Tcp, Some((168, 169)), Some(0xDEAD_BEEF))
        );
    }

    #[test]
    fn lone_numbers_have_their_neighbour() {
        let [transport] = &Transport::parse_all("RTP/AVP;client_port=5000")[..] else { panic!() };
        assert_eq!(transport.client_port, Some((5000, 5001)));
        let [last] = &Transport::parse_all("RTP/AVP;client_port=65535;interleaved=300-301")[..]
        else {
            panic!()
        };
        assert_eq!((last.client_port, last.interleaved), (None, None));
    }

    /// RFC 2326 §14.4.
    #[test]
    fn groups_have_an_address_ports_and_a_reach() {
        let header = "RTP/AVP;multicast;destination=224.2.0.1;port=3456-3457;ttl=16";
        let [transport] = &Transport::parse_all(header)[..] else { panic!() };
        let group = Transport::group(Ipv4Addr::new(224, 2, 0, 1), (3456, 3457), 16);
        assert_eq!(transport, &group);
        assert_eq!(group.to_string(), header);
        let [bare] = &Transport::parse_all("RTP/AVP/UDP;multicast;ttl=300")[..] else { panic!() };
        assert_eq!((bare.multicast, bare.lower, bare.ttl), (true, Lower::Udp, None));
    }

    #[test]
    fn channels_without_a_protocol_mean_the_connection() {
        let [transport] = &Transport::parse_all("RTP/AVP;interleaved=0-1")[..] else { panic!() };
        assert_eq!(transport.lower, Lower::Tcp);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            ports in any::<(u16, u16)>(),
            channels in any::<(u8, u8)>(),
            ssrc in prop::option::of(any::<u32>()),
            record in any::<bool>(),
            (address, ttl) in any::<(Ipv4Addr, u8)>(),
        ) {
            let mode = Some(if record { Mode::Record } else { Mode::Play });
            let udp = Transport { server_port: Some(ports), ssrc, mode, ..Transport::datagrams(ports) };
            let tcp = Transport { ssrc, mode, ..Transport::interleaved(channels) };
            let group = Transport { ssrc, mode, ..Transport::group(address, ports, ttl) };
            for transport in [udp, tcp, group] {
                prop_assert_eq!(Transport::parse_all(&transport.to_string()), vec![transport]);
            }
        }

        #[test]
        fn anything_is_survived(text in ".{0,80}") {
            let _ = Transport::parse_all(&text);
        }
    }
}
