//! Where to listen, and who may come.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where to listen: `:1935` on every address of both families, or an IP address with a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(String);

impl Address {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Address and port; the unspecified IPv6 address stands for both families.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        parse_address(&self.0).unwrap_or(SocketAddr::new(EVERYWHERE, 0))
    }

    /// Whether only this host can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.socket().ip().to_canonical().is_loopback()
    }

    /// Whether both cannot be listened on at once.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        let (a, b) = (self.socket(), other.socket());
        let (x, y) = (a.ip().to_canonical(), b.ip().to_canonical());
        // Port 0 stands for any free port. `[::]` is opened for both families.
        let covers = |x: IpAddr, y: IpAddr| x == EVERYWHERE || (x.is_unspecified() && y.is_ipv4());
        a.port() != 0 && a.port() == b.port() && (x == y || covers(x, y) || covers(y, x))
    }
}

/// What `:PORT` stands for.
const EVERYWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

fn parse_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix(':') {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(SocketAddr::new(EVERYWHERE, port.parse().ok()?))
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse_address(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(format!(
                "{text:?} is neither \":PORT\", for all addresses, nor \"IP:PORT\"; host names are \
                 not looked up"
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Where a listener listens; nowhere if it is empty. Written as a list, or as a single address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Addresses(Vec<Address>);

impl Addresses {
    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Address> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nowhere.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// A single, valid address.
    pub(crate) fn one(text: &str) -> Self {
        Self(vec![Address(text.to_owned())])
    }
}

impl FromIterator<Address> for Addresses {
    fn from_iter<I: IntoIterator<Item = Address>>(addresses: I) -> Self {
        Self(addresses.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Addresses {
    type Item = &'a Address;
    type IntoIter = std::slice::Iter<'a, Address>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Addresses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of addresses such as [\":1935\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
                match text {
                    "" => Ok(Addresses(Vec::new())),
                    text => Ok(Addresses(vec![text.parse().map_err(E::custom)?])),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Addresses, A::Error> {
                let mut addresses = Vec::new();
                while let Some(address) = seq.next_element()? {
                    addresses.push(address);
                }
                Ok(Addresses(addresses))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// Networks, such as `192.0.2.0/24`, or single addresses. Written as a list, or as a single one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.0.iter().copied()
    }
}

/// Reads a network, or an address, which is a network of one. IPv4 in the form of IPv6
/// (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2) is IPv4, as peers are.
///
/// # Errors
/// A text that says what is wrong.
pub fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
        format!("{text:?} is neither an address such as \"192.0.2.1\" nor a network such as \"192.0.2.0/24\"")
    })?;
    let mapped = (network.addr().to_canonical(), network.prefix_len().checked_sub(96));
    let (IpNet::V6(_), (IpAddr::V4(address), Some(prefix))) = (network, mapped) else {
        return Ok(network);
    };
    Ok(Ipv4Net::new(address, prefix).map_or(network, IpNet::V4))
}

/// The first and the last address of a network of groups.
///
/// # Errors
/// What is wrong with it.
pub fn groups(text: &str) -> Result<(Ipv4Addr, Ipv4Addr), &'static str> {
    let network: Ipv4Net = text.parse().map_err(|_| "it is no network of IPv4")?;
    let (first, last) = (network.network(), network.broadcast());
    if !first.is_multicast() || !last.is_multicast() {
        return Err("it is not within 224.0.0.0/4");
    }
    // RFC 5771 §4: switches keep those from nobody.
    if first.octets()[..3] == [224, 0, 0] {
        return Err("224.0.0.0/24 belongs to the protocols of routers");
    }
    Ok((first, last))
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a list of networks such as [\"192.0.2.0/24\"]")]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        let texts = match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(text) if text.is_empty() => Vec::new(),
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        };
        texts.iter().map(|text| network(text).map_err(de::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_collide_when_one_covers_the_other() {
        let collide = |a: &str, b: &str| {
            let (a, b): (Address, Address) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(a.collides(&b), b.collides(&a));
            a.collides(&b)
        };
        assert!(collide(":1935", ":1935"));
        assert!(collide(":1935", "127.0.0.1:1935"));
        assert!(collide("0.0.0.0:1935", "127.0.0.1:1935"));
        assert!(collide(":1935", "0.0.0.0:1935"));
        assert!(!collide("0.0.0.0:1935", "[::1]:1935"));
        assert!(!collide(":1935", ":1936"));
        assert!(!collide("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!collide(":0", ":0"));
    }

    #[test]
    fn ipv4_in_the_form_of_ipv6_is_ipv4() {
        for (text, expected) in [
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
            ("::ffff:cb00:7107", "203.0.113.7/32"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
        ] {
            assert_eq!(network(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["1935", ":", ":+1", ":99999", "localhost:1935", "::1:80x", "1.2.3.4"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!("[::1]:80".parse::<Address>().unwrap().is_loopback());
        assert!("[::ffff:127.0.0.1]:80".parse::<Address>().unwrap().is_loopback());
    }
}
