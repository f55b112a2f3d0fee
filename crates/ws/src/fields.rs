//! Header fields ([RFC 9110, 5](https://www.rfc-editor.org/rfc/rfc9110#section-5)) of a parsed
//! head, in the order they came.

/// Header fields: looked up without regard to case, duplicates kept.
///
/// Bytes that are not UTF-8 (old clients write Latin-1 into `User-Agent`) read as U+FFFD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// All names and values, one after the other: one allocation for the whole head.
    text: String,
    entries: Vec<Entry>,
}

/// Where a field lies in [`Fields::text`]: the name from `start`, the value from `value` to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: usize,
    value: usize,
    end: usize,
}

impl Fields {
    /// Copies what `httparse` found.
    pub(crate) fn from_parsed(headers: &[httparse::Header<'_>]) -> Self {
        let size = headers.iter().map(|h| h.name.len() + h.value.len()).sum();
        let mut fields =
            Self { text: String::with_capacity(size), entries: Vec::with_capacity(headers.len()) };
        for header in headers {
            let start = fields.text.len();
            fields.text.push_str(header.name);
            let value = fields.text.len();
            fields.text.push_str(String::from_utf8_lossy(header.value).trim_ascii());
            fields.entries.push(Entry { start, value, end: fields.text.len() });
        }
        fields
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of every field of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The elements of a comma-separated list, over every field of this name, without empty ones.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(|v| v.split(',')).map(str::trim_ascii).filter(|v| !v.is_empty())
    }

    /// Whether a comma-separated list contains `token`, in any case.
    #[must_use]
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|element| element.eq_ignore_ascii_case(token))
    }

    /// Every name and value in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|e| (self.slice(e.start, e.value), self.slice(e.value, e.end)))
    }

    fn slice(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }
}

/// How the body after a head is framed ([RFC 9112, 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    Empty,
    /// This many bytes.
    Length(u64),
    /// Chunks; see [`crate::client::chunked`].
    Chunked,
    /// Whatever comes until the connection closes (responses only).
    UntilClose,
}

/// What the framing fields say; `None` when they are absent.
///
/// # Errors
/// A sentence for the peer when the fields contradict each other or could be read in two ways,
/// which is how requests are smuggled past a front server.
pub(crate) fn framing(fields: &Fields, http_1_1: bool) -> Result<Option<Body>, &'static str> {
    let mut lengths = fields.all("content-length");
    let mut codings = fields.all("transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("send Content-Length or Transfer-Encoding, not both"),
        (Some(_), None) if lengths.next().is_some() => Err("send Content-Length once"),
        (Some(length), None) => decimal(length)
            .map(|length| Some(Body::Length(length)))
            .ok_or("Content-Length must be a plain decimal number"),
        (None, Some(_)) if !http_1_1 => Err("Transfer-Encoding needs HTTP/1.1"),
        (None, Some(coding))
            if codings.next().is_none() && coding.eq_ignore_ascii_case("chunked") =>
        {
            Ok(Some(Body::Chunked))
        }
        (None, Some(_)) => Err("the only Transfer-Encoding understood is a single 'chunked'"),
    }
}

/// A number of decimal digits only: no sign, no blank, no list, no overflow.
fn decimal(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}
