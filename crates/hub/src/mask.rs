//! Addresses as logs, the API and events may show them.
//!
//! Whoever reads a log may not publish under somebody's key or pull with somebody's token for that:
//! what is secret in an address, or may be, is replaced. The stream keys of the platforms are the
//! last items of paths, so that [`target`] hides those, too.

use std::borrow::Cow;

/// What stands for something secret.
pub const MASK: &str = "***";

/// Shorter texts are no secrets, and occur in other words.
const MIN_SECRET: usize = 4;

/// Names of parameters by which clients show who they are. Whatever ends in one of them counts.
const SECRETS: [&str; 11] = [
    "token",
    "jwt",
    "ticket",
    "pass",
    "password",
    "passwd",
    "secret",
    "session",
    "session_id",
    "key",
    "sign",
];

/// Where a stream comes from: without name and password, and without the values of the query.
/// Places for what is filled in later (`{query}`) stay.
#[must_use]
pub fn source(url: &str) -> String {
    let (path, asked) = divided(url);
    let path = without_login(path);
    match asked {
        Some(text) => format!("{path}?{}", query(text)),
        None => path.into_owned(),
    }
}

/// A query without its values.
#[must_use]
pub fn query(query: &str) -> String {
    masked(query, |_| true)
}

/// Where a stream is pushed to: as [`source`], and without the last item of the path and the
/// query, which are the key.
#[must_use]
pub fn target(url: &str) -> String {
    let (path, _) = divided(url);
    let path = without_login(path);
    let (scheme, rest) = path.split_once("://").unwrap_or(("", &path));
    match rest.trim_end_matches('/').rsplit_once('/') {
        Some((_, name)) if is_place(name) => path.into_owned(),
        Some((before, _)) => format!("{scheme}://{before}/{MASK}"),
        None => path.into_owned(),
    }
}

/// An address at which somebody has come here, an application or a query: without login, and without
/// the values by which clients show who they are.
#[must_use]
pub fn proofs(text: &str) -> Cow<'_, str> {
    let (path, query) = match divided(text) {
        // A query may have several `?`; a path with parameters is shown as one.
        (path, Some(_)) if path.contains('=') && !path.contains("://") => (None, text),
        (path, Some(query)) => (Some(path), query),
        (path, None) if path.contains('=') && !path.contains("://") => (None, text),
        (path, None) => return without_login(path),
    };
    let query = masked(query, is_secret);
    Cow::Owned(match path {
        Some(path) => format!("{}?{query}", without_login(path)),
        None => query,
    })
}

/// What another server has said, without what is secret of the address that it was called by: it
/// may repeat what it was asked for.
#[must_use]
pub fn repeated(text: &str, url: &str, is_target: bool) -> String {
    let (path, query) = divided(url);
    let values = query.into_iter().flat_map(|query| query.split(['&', '?', '/']));
    let values = values.map(|part| part.split_once('=').map_or(part, |(_, value)| value));
    let name = path.trim_end_matches('/').rsplit_once('/').map(|(_, name)| name);
    let secrets = values.chain(name.filter(|_| is_target));
    let secrets = secrets.filter(|secret| secret.len() >= MIN_SECRET);
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
}

/// Path and query. A password may have a `?`, although it should not.
fn divided(url: &str) -> (&str, Option<&str>) {
    let login = match url.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split('/').next().unwrap_or_default();
            authority.rfind('@').map_or(0, |end| scheme.len() + 3 + end)
        }
        None => 0,
    };
    let begin = url.get(login..).and_then(|rest| rest.find('?')).map(|begin| login + begin);
    match begin.and_then(|begin| url.split_at_checked(begin)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (url, None),
    }
}

fn without_login(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("://") else { return Cow::Borrowed(url) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => Cow::Owned(format!("{scheme}://{host}{path}")),
        None => Cow::Borrowed(url),
    }
}

/// A query in which the values of these parameters are masked. Some addresses have several `?`.
fn masked(query: &str, hides: impl Fn(&str) -> bool) -> String {
    let part = |part: &str| match part.split_once('=') {
        Some((name, value)) if hides(name) && !is_place(value) => format!("{name}={MASK}"),
        None if hides("") && !part.is_empty() && !is_place(part) => MASK.to_owned(),
        _ => part.to_owned(),
    };
    let parts = query.split(['&', '?']).map(part);
    parts.collect::<Vec<_>>().join("&")
}

fn is_place(text: &str) -> bool {
    text.starts_with('{') && text.ends_with('}')
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.ends_with(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_keep_host_and_path() {
        for (url, shown) in [
            ("rtsp://user:p@ss@cam/1?a=b@c", "rtsp://cam/1?a=***"),
            ("http://h:8080/live/a.flv?token=t&x", "http://h:8080/live/a.flv?token=***&***"),
            ("rtmp://h/a?vhost=v/name?key=k", "rtmp://h/a?vhost=***&key=***"),
            ("rtmp://host/live/a@b", "rtmp://host/live/a@b"),
            ("rtmp://o/{path}?{query}", "rtmp://o/{path}?{query}"),
            ("rtmp://u@host", "rtmp://host"),
            ("rtsp://u:a?b@host/c?d=e", "rtsp://host/c?d=***"),
            ("no address", "no address"),
        ] {
            assert_eq!(source(url), shown);
        }
    }

    #[test]
    fn targets_keep_host_and_application() {
        for (url, shown) in [
            ("rtmp://a.rtmp.youtube.com/live2/k-e-y", "rtmp://a.rtmp.youtube.com/live2/***"),
            ("rtmps://u:p@h:443/rtmp/FB-1?s_bl=1&a=b", "rtmps://h:443/rtmp/***"),
            ("rtmp://h/live?vhost=v/name?key=k", "rtmp://h/***"),
            ("rtmp://h/live/key/", "rtmp://h/live/***"),
            ("rtsp://h/live/{name}", "rtsp://h/live/{name}"),
        ] {
            assert_eq!(target(url), shown);
        }
    }

    #[test]
    fn proofs_are_masked_and_nothing_else() {
        for (url, shown) in [
            ("rtmp://h/live/a?user=u&pass=p&x=y", "rtmp://h/live/a?user=u&pass=***&x=y"),
            (
                "lal_secret=1&session_id=2&Token=3&n=4",
                "lal_secret=***&session_id=***&Token=***&n=4",
            ),
            ("http://h/a.flv", "http://h/a.flv"),
            ("live?jwt=x", "live?jwt=***"),
            ("token=x?a=b", "token=***&a=b"),
            ("a=b?token=x", "a=b&token=***"),
            ("rtsp://u:p=x@h/a", "rtsp://h/a"),
            ("rtsp://u:a?b@h/a?token=t&n=1", "rtsp://h/a?token=***&n=1"),
            ("", ""),
        ] {
            assert_eq!(proofs(url), shown);
        }
    }

    #[test]
    fn servers_that_repeat_a_key_do_not_give_it_away() {
        let said = repeated("live2/k-e-y?t=tttt: occupied", "rtmp://h/live2/k-e-y?t=tttt", true);
        assert_eq!(said, "live2/***?t=***: occupied");
        let said = repeated("no stream live/camera", "rtmp://h/live/camera?t=tttt", false);
        assert_eq!(said, "no stream live/camera");
    }
}
