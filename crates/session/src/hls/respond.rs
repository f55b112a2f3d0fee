//! Answers of HLS: caching, conditional and partial requests, other origins.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{StatusCode, response};

use super::Response;
use super::live::Rendered;

/// A segment never changes, and its name is never used again.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

fn begin(status: StatusCode, content_type: &'static str, cache: &str) -> response::Builder {
    http::Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CACHE_CONTROL, cache)
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .header(header::ACCESS_CONTROL_EXPOSE_HEADERS, "Content-Length, Content-Range, Date, ETag")
}

fn finish(builder: response::Builder, body: Vec<Bytes>) -> Response {
    // All header values here are ours; if one is bad after all, the peer is told so.
    builder.body(body).unwrap_or_else(|_| {
        let mut response = http::Response::new(Vec::new());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Refuses, and says why.
pub(super) fn refusal(status: StatusCode, text: &str) -> Response {
    let builder = begin(status, "text/plain; charset=utf-8", "no-store");
    finish(builder, vec![Bytes::from(format!("{text}\n"))])
}

/// There is no such thing; caches may remember that for a second.
pub(super) fn not_found(text: &str) -> Response {
    let builder = begin(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "max-age=1");
    finish(builder, vec![Bytes::from(format!("{text}\n"))])
}

/// Not yet.
pub(super) fn later(text: &str) -> Response {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Go on there.
pub(super) fn redirect(location: &str) -> Response {
    let builder = begin(StatusCode::FOUND, "text/plain; charset=utf-8", "no-cache")
        .header(header::LOCATION, location);
    finish(builder, Vec::new())
}

/// Other origins may ask whatever they want to.
pub(super) fn preflight(request: &Parts) -> Response {
    let wanted = request.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let wanted = wanted.cloned().unwrap_or_else(|| HeaderValue::from_static("Range"));
    let builder = http::Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .header(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS")
        .header(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted)
        .header(header::ACCESS_CONTROL_MAX_AGE, "86400");
    finish(builder, Vec::new())
}

/// A playlist. `blocked_for` is its target duration if the request named the segment that it waited
/// for: that answer stays true for caches.
pub(super) fn playlist(request: &Parts, text: &Rendered, blocked_for: Option<i64>) -> Response {
    let cache = match blocked_for {
        // Players that ask twice for the same want to know what is new (appendix B is about CDNs).
        Some(target) => format!("max-age=0, s-maxage={}", target * 6),
        None => "no-cache".to_owned(),
    };
    let tag = etag(&text.plain);
    let vary = HeaderValue::from_static("Accept-Encoding");
    if matches(&request.headers, &tag) {
        return not_modified(&tag, &cache, Some(vary));
    }
    let mut builder = begin(StatusCode::OK, "application/vnd.apple.mpegurl", &cache)
        .header(header::ETAG, &tag)
        .header(header::VARY, vary);
    let body = if accepts_gzip(&request.headers) {
        builder = builder.header(header::CONTENT_ENCODING, "gzip");
        text.gzip()
    } else {
        text.plain.clone()
    };
    finish(builder, vec![body])
}

/// What never changes: the tag of a file is its name.
pub(super) fn cacheable(file: &str) -> String {
    format!("\"{}\"", ::hls::name::escape(file))
}

/// Media in pieces, or a range of it.
pub(super) fn media(
    request: &Parts,
    pieces: Vec<Bytes>,
    content_type: &'static str,
    tag: &str,
) -> Response {
    if matches(&request.headers, tag) {
        return not_modified(tag, FOR_EVER, None);
    }
    let length = pieces.iter().map(Bytes::len).sum::<usize>();
    let range = request.headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    // A range of an older version is no range of this one (RFC 9110 §13.1.5).
    let current = request.headers.get(header::IF_RANGE).is_none_or(|value| value == tag);
    match range.filter(|_| current).map_or(Range::Whole, |range| Range::parse(range, length)) {
        Range::Whole => {
            let builder = begin(StatusCode::OK, content_type, FOR_EVER)
                .header(header::ETAG, tag)
                .header(header::ACCEPT_RANGES, "bytes");
            finish(builder, pieces)
        }
        Range::Part { first, end } => {
            let builder = begin(StatusCode::PARTIAL_CONTENT, content_type, FOR_EVER)
                .header(header::ETAG, tag)
                .header(header::ACCEPT_RANGES, "bytes")
                .header(header::CONTENT_RANGE, format!("bytes {first}-{}/{length}", end - 1));
            finish(builder, cut(pieces, first, end))
        }
        Range::Beyond => {
            let mut response = refusal(StatusCode::RANGE_NOT_SATISFIABLE, "the range is beyond it");
            if let Ok(all) = HeaderValue::from_str(&format!("bytes */{length}")) {
                response.headers_mut().insert(header::CONTENT_RANGE, all);
            }
            response
        }
    }
}

/// The media type of a segment.
pub(super) fn media_type(extension: &str) -> &'static str {
    match extension {
        "ts" => "video/mp2t",
        _ => "video/mp4",
    }
}

/// One range of bytes (RFC 9110 §14.1.2). Several are answered by the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    Whole,
    Part { first: usize, end: usize },
    Beyond,
}

impl Range {
    fn parse(value: &str, length: usize) -> Self {
        let Some((first, last)) =
            value.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
        else {
            return Self::Whole;
        };
        let (first, last) = (first.trim(), last.trim());
        let (first, end) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(length)),
            (Ok(first), Err(_)) if last.is_empty() => (first, length),
            (Err(_), Ok(suffix)) if first.is_empty() => (length.saturating_sub(suffix), length),
            _ => return Self::Whole,
        };
        if first >= end { Self::Beyond } else { Self::Part { first, end } }
    }
}

/// The bytes from `first` to `end` of pieces that belong together.
fn cut(pieces: Vec<Bytes>, first: usize, end: usize) -> Vec<Bytes> {
    let mut at = 0;
    let mut out = Vec::new();
    for piece in pieces {
        let (from, to) = (first.max(at), end.min(at + piece.len()));
        if from < to {
            out.push(piece.slice(from - at..to - at));
        }
        at += piece.len();
    }
    out
}

fn not_modified(tag: &str, cache: &str, vary: Option<HeaderValue>) -> Response {
    let mut builder = http::Response::builder()
        .status(StatusCode::NOT_MODIFIED)
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, cache)
        .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    if let Some(vary) = vary {
        builder = builder.header(header::VARY, vary);
    }
    finish(builder, Vec::new())
}

/// Whether `If-None-Match` names this version (RFC 9110 §13.1.2).
fn matches(headers: &HeaderMap, tag: &str) -> bool {
    items(headers, &header::IF_NONE_MATCH)
        .any(|item| item == "*" || item.strip_prefix("W/").unwrap_or(item) == strong(tag))
}

fn strong(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Whether the peer takes gzip (RFC 9110 §12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    items(headers, &header::ACCEPT_ENCODING).any(|item| {
        let (coding, rest) = item.split_once(';').unwrap_or((item, ""));
        let refused = rest.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0f32));
        (coding.trim().eq_ignore_ascii_case("gzip") || coding.trim() == "*") && !refused
    })
}

fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// A tag of a text: weak, since it is also sent compressed.
fn etag(text: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(text);
    format!("W/\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let part = |first, end| Range::Part { first, end };
        for (text, expected) in [
            ("bytes=0-", part(0, 100)),
            ("bytes=10-19", part(10, 20)),
            ("bytes=90-1000", part(90, 100)),
            ("bytes=-10", part(90, 100)),
            ("bytes=-1000", part(0, 100)),
            ("bytes=100-", Range::Beyond),
            ("bytes=-0", Range::Beyond),
            ("bytes=20-10", Range::Whole),
            ("bytes=0-1,5-6", Range::Whole),
            ("lines=1-2", Range::Whole),
            ("bytes=", Range::Whole),
            ("bytes=99999999999999999999999-", Range::Whole),
        ] {
            assert_eq!(Range::parse(text, 100), expected, "{text}");
        }
    }

    #[test]
    fn a_range_crosses_pieces() {
        let pieces = ["abc", "", "defg", "h"].map(Bytes::from).to_vec();
        let text = |first, end| cut(pieces.clone(), first, end).concat();
        assert_eq!(text(0, 8), b"abcdefgh");
        assert_eq!(text(2, 4), b"cd");
        assert_eq!(text(7, 8), b"h");
    }

    #[test]
    fn encodings_are_negotiated() {
        let accepts = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        assert!(accepts("br, gzip;q=0.5"));
        assert!(!accepts("gzip;q=0"));
        assert!(!accepts("identity"));
    }
}
