//! Header fields, and those with a form of their own: `Via`, `From` and its like, `CSeq`
//! (RFC 3261 §20, §25; RFC 3581).

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use super::Method;

/// Header fields (§7.3.1), and what those of SIP say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(head::Fields);

impl Fields {
    /// The topmost `Via`, if it can be read.
    #[must_use]
    pub fn via(&self) -> Option<Via> {
        Some(Via::parse_first(self.get("Via")?)?.0)
    }

    /// The `CSeq`, if it can be read.
    #[must_use]
    pub fn cseq(&self) -> Option<CSeq> {
        CSeq::parse(self.get("CSeq")?)
    }

    /// `From`, `To` or `Contact`, if it can be read.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<Address> {
        Address::parse(self.get(name)?)
    }

    /// How many seconds something is to hold: `Expires`, or the parameter of `Contact` (§10.2.1.1).
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        let contact = self.address("Contact");
        let told = contact.as_ref().and_then(|contact| contact.parameter("expires"));
        // What is larger than any number means "as long as you like".
        let seconds = |text: &str| text.trim().parse::<u64>().ok();
        let told = told.and_then(seconds).or_else(|| seconds(self.get("Expires")?));
        told.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

impl Deref for Fields {
    type Target = head::Fields;

    fn deref(&self) -> &head::Fields {
        &self.0
    }
}

impl DerefMut for Fields {
    fn deref_mut(&mut self) -> &mut head::Fields {
        &mut self.0
    }
}

/// The name that a compact one stands for (§7.3.3, RFC 6665 §8.2.1).
pub(super) fn full_name(name: &str) -> &str {
    let [letter] = name.as_bytes() else { return name };
    match letter.to_ascii_lowercase() {
        b'v' => "Via",
        b'f' => "From",
        b't' => "To",
        b'i' => "Call-ID",
        b'm' => "Contact",
        b'l' => "Content-Length",
        b'c' => "Content-Type",
        b'e' => "Content-Encoding",
        b's' => "Subject",
        b'k' => "Supported",
        b'o' => "Event",
        _ => name,
    }
}

/// Where a request went through (§20.42).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`.
    pub transport: String,
    /// Host and port, as the sender sees itself.
    pub sent_by: String,
    parameters: Parameters,
}

impl Via {
    /// The first of a list with commas, and the rest with its comma.
    pub(super) fn parse_first(text: &str) -> Option<(Self, &str)> {
        let end = text.find(',').unwrap_or(text.len());
        let (first, rest) = text.split_at_checked(end)?;
        let (head, parameters) = first.split_once(';').unwrap_or((first, ""));
        // White space may stand around the slashes.
        let (protocol, sent_by) = head.trim().rsplit_once(char::is_whitespace)?;
        let transport = protocol.rsplit('/').next()?.trim().to_owned();
        let parameters = Parameters::parse(parameters);
        Some((Self { transport, sent_by: sent_by.trim().to_owned(), parameters }, rest))
    }

    /// The identifier of the transaction.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.parameters.get("branch")
    }

    /// Notes where the request really came from (RFC 3581 §4).
    pub(super) fn received_from(&mut self, source: SocketAddr) {
        let host = self.sent_by.rsplit_once(':').map_or(self.sent_by.as_str(), |(host, _)| host);
        let address = source.ip().to_canonical().to_string();
        let asked = self.parameters.0.iter().any(|(name, _)| name.eq_ignore_ascii_case("rport"));
        if asked || host.trim_matches(['[', ']']) != address {
            self.parameters.set("received", address);
        }
        if asked {
            self.parameters.set("rport", source.port().to_string());
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}{}", self.transport, self.sent_by, self.parameters)
    }
}

/// A name or an address with parameters: `From`, `To`, `Contact` (§20.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address, such as `sip:34020000001320000001@3402000000`.
    pub uri: String,
    parameters: Parameters,
}

impl Address {
    /// Reads the first of a list; `None` if there is no address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // A display name may be quoted, and have anything in it then.
        let after_name = match text.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').map_or(text, |(_, rest)| rest),
            None => text,
        };
        let (uri, rest) = match after_name.split_once('<') {
            Some((_, rest)) => rest.split_once('>').unwrap_or((rest, "")),
            // Without brackets the parameters are the field's, not the address's.
            None => after_name.find(';').map_or((after_name, ""), |at| after_name.split_at(at)),
        };
        let parameters = rest.split(',').next().unwrap_or_default();
        let parameters = parameters.split_once(';').map_or("", |(_, parameters)| parameters);
        let uri = uri.trim().to_owned();
        (!uri.is_empty()).then(|| Self { uri, parameters: Parameters::parse(parameters) })
    }

    /// Who in a conversation this is.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.parameters.get("tag").filter(|tag| !tag.is_empty())
    }

    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)
    }

    /// What stands before the `@`: the identifier.
    #[must_use]
    pub fn user(&self) -> &str {
        user(&self.uri)
    }
}

/// What stands before the `@` of an address; without one, what stands in the place of the host.
#[must_use]
pub fn user(uri: &str) -> &str {
    let uri = uri.trim();
    let rest = match uri.split_once(':') {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") =>
        {
            rest
        }
        _ => uri,
    };
    let end = rest.find(['@', ';', ':', '?', '>']).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

/// The number of a request in its conversation (§20.16).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// The number.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads the field.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        Some(Self { number, method: Method::parse(words.next()?) })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// `;name=value` pairs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Parameters(Vec<(String, Option<String>)>);

impl Parameters {
    fn parse(text: &str) -> Self {
        let pairs = text.split(';').map(str::trim).filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| match pair.split_once('=') {
            Some((name, value)) => (name.trim().to_owned(), Some(value.trim().to_owned())),
            None => (pair.to_owned(), None),
        });
        Self(pairs.collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1.as_deref()
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = Some(value),
            None => self.0.push((name.to_owned(), Some(value))),
        }
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| match value {
            Some(value) => write!(f, ";{name}={value}"),
            None => write!(f, ";{name}"),
        })
    }
}
