//! HTTP authentication as RTSP and SIP use it: Basic
//! ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)) and Digest
//! ([RFC 7616](https://www.rfc-editor.org/rfc/rfc7616)), both ways.
//!
//! Cameras speak the Digest of RFC 2069 (no `qop`) with MD5 at least; some know SHA-256. The URI
//! that is hashed is the one that the client names, since clients differ in which they take. How
//! long a nonce holds, and for whom, is its maker's to say: [`Credentials::nonce`] tells which one
//! was answered.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Challenges that are read of one answer.
const MAX_CHALLENGES: usize = 8;

/// A way of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// The password, barely hidden: for connections with TLS, and old clients.
    Basic,
    /// A hash that proves the password.
    Digest(Algorithm),
}

/// What a Digest is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// MD5, which every client knows.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hash(self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

/// What stands in the `Authorization` of a request, for a server to check.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who the client says it is.
    pub user: String,
    proof: Proof,
}

#[derive(Clone, PartialEq, Eq)]
enum Proof {
    Password(String),
    Digest { algorithm: Algorithm, nonce: String, uri: String, rest: String, response: String },
}

impl Credentials {
    /// Reads the header; `None` if it cannot be understood.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        if scheme.eq_ignore_ascii_case("Basic") {
            let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
            let (user, password) = decoded.split_once(':')?;
            let proof = Proof::Password(password.to_owned());
            return Some(Self { user: user.to_owned(), proof });
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let parameters = parameters(rest);
        let find = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let algorithm = match find("algorithm") {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Algorithm::Sha256,
            Some(_) => return None,
        };
        let nonce = find("nonce")?;
        // RFC 7616 §3.4.1; without `qop`, as in RFC 2069.
        let rest = match find("qop") {
            Some(qop) => format!("{nonce}:{}:{}:{qop}", find("nc")?, find("cnonce")?),
            None => nonce.clone(),
        };
        let (uri, response) = (find("uri")?, find("response")?.to_ascii_lowercase());
        let proof = Proof::Digest { algorithm, nonce, uri, rest, response };
        Some(Self { user: find("username")?, proof })
    }

    /// How the client proves who it is.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match &self.proof {
            Proof::Password(_) => Scheme::Basic,
            Proof::Digest { algorithm, .. } => Scheme::Digest(*algorithm),
        }
    }

    /// The nonce of the challenge that is answered, as the client tells; `None` for Basic.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        match &self.proof {
            Proof::Password(_) => None,
            Proof::Digest { nonce, .. } => Some(nonce),
        }
    }

    /// Whether the client knows `password`. `nonce` and `realm` are those of the challenge.
    #[must_use]
    pub fn proves(&self, password: &str, method: &str, realm: &str, nonce: &str) -> bool {
        match &self.proof {
            Proof::Password(told) => equal(told, password),
            Proof::Digest { algorithm, nonce: told, uri, rest, response } => {
                let secret = algorithm.hash(&format!("{}:{realm}:{password}", self.user));
                let request = algorithm.hash(&format!("{method}:{uri}"));
                let expected = algorithm.hash(&format!("{secret}:{rest}:{request}"));
                told == nonce && equal(response, &expected)
            }
        }
    }
}

/// Credentials with what is needed to check them: the method of their request, and what they answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    credentials: Credentials,
    method: String,
    realm: String,
    nonce: String,
}

impl Presented {
    /// Credentials in a request of `method`, for a challenge with this realm and nonce.
    #[must_use]
    pub fn new(credentials: Credentials, method: &str, realm: &str, nonce: &str) -> Self {
        let (method, realm, nonce) = (method.to_owned(), realm.to_owned(), nonce.to_owned());
        Self { credentials, method, realm, nonce }
    }

    /// Who the client says it is.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.credentials.user
    }

    /// The password, if it came in clear (Basic).
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        match &self.credentials.proof {
            Proof::Password(password) => Some(password),
            Proof::Digest { .. } => None,
        }
    }

    /// Whether the client knows `password`.
    #[must_use]
    pub fn proves(&self, password: &str) -> bool {
        self.credentials.proves(password, &self.method, &self.realm, &self.nonce)
    }
}

/// Without secrets.
impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presented").field("user", &self.user()).finish_non_exhaustive()
    }
}

/// Compares in a time that tells nothing of where they differ.
fn equal(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0, |bits, (a, b)| bits | (a ^ b));
    a.len() == b.len() && differences == 0
}

/// A challenge as a `WWW-Authenticate` header has it.
#[must_use]
pub fn challenge(scheme: Scheme, realm: &str, nonce: &str) -> String {
    match scheme {
        Scheme::Basic => format!("Basic realm=\"{realm}\""),
        // RFC 2069: a name of the usual algorithm would confuse old clients.
        Scheme::Digest(Algorithm::Md5) => format!("Digest realm=\"{realm}\", nonce=\"{nonce}\""),
        Scheme::Digest(algorithm) => {
            let name = algorithm.name();
            format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={name}")
        }
    }
}

/// How a client answers a server's challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    scheme: Scheme,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    qop: bool,
    count: u32,
}

impl Answer {
    /// Chooses the best of the challenges in `WWW-Authenticate` headers; `None` if none is known.
    #[must_use]
    pub fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let challenges = headers.into_iter().flat_map(challenges).take(MAX_CHALLENGES);
        let answers = challenges.filter_map(Self::of);
        answers.max_by_key(|answer| answer.scheme)
    }

    fn of(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        let parameters = parameters(rest);
        let find = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let realm = find("realm").unwrap_or_default();
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "basic" => Scheme::Basic,
            "digest" => Scheme::Digest(match find("algorithm").map(|a| a.to_ascii_uppercase()) {
                None => Algorithm::Md5,
                Some(name) if name == "MD5" => Algorithm::Md5,
                Some(name) if name == "SHA-256" => Algorithm::Sha256,
                Some(_) => return None,
            }),
            _ => return None,
        };
        let nonce = find("nonce");
        if scheme != Scheme::Basic && nonce.is_none() {
            return None;
        }
        let words = find("qop").unwrap_or_default();
        let qop = words.split(',').any(|word| word.trim().eq_ignore_ascii_case("auth"));
        let nonce = nonce.unwrap_or_default();
        Some(Self { scheme, realm, nonce, opaque: find("opaque"), qop, count: 0 })
    }

    /// The `Authorization` of a request. `uri` is that of the request line.
    pub fn header(&mut self, user: &str, password: &str, method: &str, uri: &str) -> String {
        // Quotes would end the value: nobody can have such a name.
        let user = &user.replace(['"', '\\'], "");
        let Scheme::Digest(algorithm) = self.scheme else {
            return format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        };
        let (realm, nonce) = (&self.realm, &self.nonce);
        let secret = algorithm.hash(&format!("{user}:{realm}:{password}"));
        let request = algorithm.hash(&format!("{method}:{uri}"));
        let mut rest = nonce.clone();
        let mut more = String::new();
        if self.qop {
            self.count += 1;
            let client = algorithm.hash(&format!("{secret}:{}", self.count));
            let client = client.get(..16).unwrap_or_default();
            rest = format!("{nonce}:{:08x}:{client}:auth", self.count);
            more = format!(", qop=auth, nc={:08x}, cnonce=\"{client}\"", self.count);
        }
        if let Some(opaque) = &self.opaque {
            more.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if algorithm != Algorithm::Md5 {
            more.push_str(&format!(", algorithm={}", algorithm.name()));
        }
        let response = algorithm.hash(&format!("{secret}:{rest}:{request}"));
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\"{more}"
        )
    }
}

/// The challenges of one header: some servers put several into one.
fn challenges(header: &str) -> impl Iterator<Item = &str> {
    let starts = |at: usize| {
        let rest = header.get(at..).unwrap_or_default();
        ["basic ", "digest "].iter().any(|scheme| {
            rest.get(..scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme))
        })
    };
    let after_comma = header
        .match_indices(',')
        .map(|(at, _)| at + 1 + header[at + 1..].len() - header[at + 1..].trim_start().len());
    let mut cuts: Vec<_> = std::iter::once(0).chain(after_comma.filter(|at| starts(*at))).collect();
    cuts.push(header.len());
    let spans: Vec<_> =
        cuts.windows(2).filter_map(|cut| Some(*cut.first()?..*cut.last()?)).collect();
    spans.into_iter().filter_map(|span| header.get(span))
}

/// `name=value` pairs with commas between; values may be quoted, and have commas then. Names in
/// lower case.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, value)) = rest.split_once('=') {
        let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace()).to_ascii_lowercase();
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => {
                let (value, after) = value.split_once(',').unwrap_or((value, ""));
                (value.trim_end(), after)
            }
        };
        // A quote inside could not be repeated in an answer.
        pairs.push((name, value.replace('"', "")));
        rest = after;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_specifications_come_out() {
        // RFC 2069 §2.4, with the response of its erratum.
        let header = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", \
            response=\"1949323746fe6a43ef61f9606e7febea\", \
            opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let credentials = Credentials::parse(header).unwrap();
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        assert!(credentials.proves("CircleOfLife", "GET", "testrealm@host.com", nonce));
        // RFC 7616 §3.9.1.
        let header = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
            algorithm=SHA-256, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
            cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
            response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", \
            opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let credentials = Credentials::parse(header).unwrap();
        assert_eq!(credentials.scheme(), Scheme::Digest(Algorithm::Sha256));
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        assert!(credentials.proves("Circle of Life", "GET", "http-auth@example.org", nonce));
        assert!(!credentials.proves("Circle of Life", "GET", "http-auth@example.org", "other"));
    }

    #[test]
    fn the_best_challenge_is_answered() {
        let chosen = |headers: &[&str]| Answer::choose(headers.iter().copied()).map(|a| a.scheme);
        let basic = "Basic realm=\"a, b\"";
        let md5 = "Digest realm=\"IP Camera(C1234)\", nonce=\"n\"";
        let sha = "Digest realm=\"x\", nonce=\"n\", algorithm=SHA-256";
        let odd = "Digest realm=\"x\", nonce=\"n\", algorithm=SHA-512-256";
        assert_eq!(chosen(&[basic, md5, sha, odd]), Some(Scheme::Digest(Algorithm::Sha256)));
        assert_eq!(chosen(&[md5, basic]), Some(Scheme::Digest(Algorithm::Md5)));
        assert_eq!(chosen(&[basic, odd, "Negotiate x"]), Some(Scheme::Basic));
        assert_eq!(chosen(&["Digest realm=\"x\""]), None);
        let both = format!("{basic}, {md5}");
        assert_eq!(chosen(&[&both]), Some(Scheme::Digest(Algorithm::Md5)));
    }

    proptest! {
        #[test]
        fn who_knows_the_password_proves_it(
            user in "[a-zA-Z0-9 @.]{1,12}",
            password in "[ -~]{0,12}",
            scheme in prop::sample::select(vec![
                Scheme::Basic, Scheme::Digest(Algorithm::Md5), Scheme::Digest(Algorithm::Sha256),
            ]),
            qop in any::<bool>(),
        ) {
            let mut offer = challenge(scheme, "a realm", "abc");
            if qop && scheme != Scheme::Basic {
                offer.push_str(", qop=\"auth,auth-int\", opaque=\"o\"");
            }
            let mut answer = Answer::choose([&*offer]).unwrap();
            for _ in 0..2 {
                let header = answer.header(&user, &password, "DESCRIBE", "rtsp://h/a?b=c&d,e");
                let credentials = Credentials::parse(&header).unwrap();
                prop_assert_eq!(&credentials.user, &user);
                prop_assert_eq!(credentials.scheme(), scheme);
                prop_assert!(credentials.proves(&password, "DESCRIBE", "a realm", "abc"));
                prop_assert!(!credentials.proves("another password", "DESCRIBE", "a realm", "abc"));
            }
        }

        #[test]
        fn anything_is_survived(text in ".{0,80}") {
            let _ = Credentials::parse(&text);
            let _ = Credentials::parse(&format!("Digest {text}"));
            let _ = Answer::choose([&*text]);
        }
    }
}
