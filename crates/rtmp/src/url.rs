//! Addresses: RTMP URLs, and the one name that a stream has however its path is divided.
//!
//! RTMP divides a path into an application and a stream name, and nobody agrees where: ffmpeg
//! makes `a/b` and `c/d/test` of what others call `a/b/c/d` and `test`. Queries appear in either
//! part. [`normalise`] makes one address of all of these; [`Target`] is the way out, for clients.

use std::fmt;

/// The longest path of a stream; file systems and HTTP servers bear it.
pub const MAX_PATH: usize = 512;

/// The longest query; signed tokens of 2 KiB are in use.
pub const MAX_QUERY: usize = 4096;

/// The longest URL of a target, and what a client may call its application.
pub const MAX_URL: usize = 8192;

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not `rtmp://` or `rtmps://`.
    #[error("the scheme is neither rtmp nor rtmps")]
    Scheme,
    /// No host, or one with characters that no host has.
    #[error("the host is missing or invalid")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port is invalid")]
    Port,
    /// There is no application and no name.
    #[error("the path is empty")]
    Empty,
    /// Too long for what it is.
    #[error("the {what} is longer than {limit} bytes")]
    TooLong {
        /// The part.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A control character.
    #[error("the address has a control character")]
    ControlCharacter,
    /// A component `.` or `..`, which would mean another stream elsewhere.
    #[error("the path has a relative component")]
    Relative,
}

/// Where a stream is, without the server: the full path is its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamAddress {
    /// All components but the last, joined by `/`; may be empty.
    pub app: String,
    /// The last component; never empty.
    pub name: String,
    /// The queries of application and name, joined by `&`; may be empty.
    pub query: String,
}

impl StreamAddress {
    /// The full path: equal for all divisions into application and name.
    #[must_use]
    pub fn path(&self) -> String {
        if self.app.is_empty() { self.name.clone() } else { format!("{}/{}", self.app, self.name) }
    }
}

/// Makes one address of the application of connect and the name of publish or play.
///
/// Empty components are dropped. A name that is only a query (`?token`) names the application's
/// last component; an application may be empty.
///
/// # Errors
/// If the path is empty, relative or too long, or anything has a control character.
pub fn normalise(app: &str, name: &str) -> Result<StreamAddress, Error> {
    let (app_path, app_query) = split_query(app);
    let (name_path, name_query) = split_query(name);
    if app.chars().chain(name.chars()).any(char::is_control) {
        return Err(Error::ControlCharacter);
    }
    if app_query.len() + name_query.len() > MAX_QUERY {
        return Err(Error::TooLong { what: "query", limit: MAX_QUERY });
    }
    if app_path.len() + name_path.len() > MAX_PATH {
        return Err(Error::TooLong { what: "path", limit: MAX_PATH });
    }
    let mut components: Vec<&str> = components(app_path).chain(components(name_path)).collect();
    if components.iter().any(|component| matches!(*component, "." | "..")) {
        return Err(Error::Relative);
    }
    let name = components.pop().ok_or(Error::Empty)?.to_owned();
    let queries = [app_query, name_query];
    let queries: Vec<&str> = queries.into_iter().filter(|query| !query.is_empty()).collect();
    Ok(StreamAddress { app: components.join("/"), name, query: queries.join("&") })
}

fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|component| !component.is_empty())
}

fn split_query(part: &str) -> (&str, &str) {
    part.split_once('?').unwrap_or((part, ""))
}

/// Who a client says it is, to servers that ask.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password; not shown by `Debug`.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Where a client publishes to or plays from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether the connection is TLS.
    pub secure: bool,
    /// A name or an address; IPv6 addresses without brackets.
    pub host: String,
    /// The port, 1935 or 443 if the URL has none.
    pub port: u16,
    /// The application, as it is sent.
    pub app: String,
    /// The stream's name with its query, as it is sent: services compare keys byte by byte.
    pub name: String,
    /// From the URL's user information.
    pub credentials: Option<Credentials>,
}

impl Target {
    /// Reads `rtmp[s]://[user:password@]host[:port]/app[/instance]/name[?query]`.
    ///
    /// The application reaches to the last `/` before the query. If that leaves no name, or if
    /// there are several `?` (`live?vhost=x/name?key=y`), it reaches to the last `/` of all.
    ///
    /// # Errors
    /// If it is not such a URL.
    pub fn parse(url: &str) -> Result<Self, Error> {
        if url.len() > MAX_URL {
            return Err(Error::TooLong { what: "URL", limit: MAX_URL });
        }
        if url.chars().any(char::is_control) {
            return Err(Error::ControlCharacter);
        }
        let (scheme, rest) = url.split_once("://").ok_or(Error::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(Error::Scheme),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(credentials(user_info)), host),
            None => (None, authority),
        };
        let (host, port) = host_and_port(host)?;
        let (app, name) = divide(path.trim_start_matches('/'));
        if app.is_empty() && name.is_empty() {
            return Err(Error::Empty);
        }
        Ok(Self {
            secure,
            host: host.to_owned(),
            port: port.unwrap_or_else(|| default_port(secure)),
            app: app.to_owned(),
            name: name.to_owned(),
            credentials,
        })
    }

    /// The same stream where a redirection leads, which names an application. Credentials stay with
    /// their host.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub fn redirected(&self, tc_url: &str) -> Result<Self, Error> {
        let whole = tc_url.ends_with(&format!("/{}", self.name));
        let url = match whole {
            true => tc_url.to_owned(),
            false => format!("{}/{}", tc_url.trim_end_matches('/'), self.name),
        };
        let mut next = Self::parse(&url)?;
        if next.credentials.is_none() && (&next.host, next.port) == (&self.host, self.port) {
            next.credentials.clone_from(&self.credentials);
        }
        Ok(next)
    }

    /// The URL that connect announces: without name and credentials, and without the port if it
    /// is the scheme's own.
    #[must_use]
    pub fn tc_url(&self) -> String {
        let scheme = if self.secure { "rtmps" } else { "rtmp" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let port = if self.port == default_port(self.secure) {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        format!("{scheme}://{open}{}{close}{port}/{}", self.host, self.app)
    }
}

/// The target's URL, without credentials.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tc_url(), self.name)
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 1935 }
}

fn credentials(user_info: &str) -> Credentials {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    Credentials { user: percent_decode(user), password: percent_decode(password) }
}

fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), Error> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(Error::Host)?;
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err(Error::Host),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() || host.contains([' ', '/', '?', '#', '[', ']']) {
        return Err(Error::Host);
    }
    match port {
        None | Some("") => Ok((host, None)),
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => Ok((host, Some(port))),
            _ => Err(Error::Port),
        },
    }
}

/// Divides a path with query into application and name.
fn divide(path: &str) -> (&str, &str) {
    let query = path.find('?').unwrap_or(path.len());
    let (before, _) = path.split_at(query);
    let several = path.matches('?').count() > 1;
    let slash = before.trim_end_matches('/').rfind('/').filter(|_| !several);
    match slash.or_else(|| path.rfind('/')) {
        Some(slash) => {
            let (app, name) = path.split_at(slash);
            (app.trim_end_matches('/'), name.trim_start_matches('/'))
        }
        None => (path, ""),
    }
}

/// Resolves `%` escapes; what is none stays.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after
            .get(..2)
            .filter(|_| first == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> (String, u16, String, String) {
        let target = Target::parse(url).unwrap();
        (target.host, target.port, target.app, target.name)
    }

    #[test]
    fn redirections_keep_the_name_and_leave_credentials_behind() {
        let here = Target::parse("rtmp://u:p@h/live/a?k=v").expect("an address");
        for (to, next) in [
            ("rtmps://other:1/app", "rtmps://other:1/app/a?k=v"),
            ("rtmp://other/app/a?k=v", "rtmp://other/app/a?k=v"),
        ] {
            let target = here.redirected(to).expect("an address");
            assert_eq!((target.to_string().as_str(), &target.credentials), (next, &None));
        }
        assert_eq!(
            here.redirected("rtmp://h/x").expect("an address").credentials,
            here.credentials
        );
        assert_eq!(here.redirected("http://h/x"), Err(Error::Scheme));
    }

    #[test]
    fn urls_are_divided_where_servers_expect_it() {
        for (url, port, app, name) in [
            ("rtmp://h/live/test", 1935, "live", "test"),
            ("rtmps://h/app/key", 443, "app", "key"),
            ("RTMP://h:1936/live/test", 1936, "live", "test"),
            ("rtmp://h/a/b/c/d/test?p1=1&p2=2", 1935, "a/b/c/d", "test?p1=1&p2=2"),
            ("rtmp://h/test", 1935, "test", ""),
            ("rtmp://h/app/", 1935, "app", ""),
            ("rtmp://h//live//test", 1935, "live", "test"),
            ("rtmp://h/live?vhost=x/test?k=v", 1935, "live?vhost=x", "test?k=v"),
            ("rtmp://h/live?vhost=x/test", 1935, "live?vhost=x", "test"),
            ("rtmp://h/live/key?token=a/b==", 1935, "live", "key?token=a/b=="),
        ] {
            assert_eq!(parse(url), ("h".into(), port, app.into(), name.into()), "{url}");
        }
    }

    #[test]
    fn keys_with_question_marks_stay_verbatim() {
        let target = Target::parse("rtmps://live-api-s.facebook.com/rtmp/FB-1?s=1&a=?&").unwrap();
        assert_eq!((target.app.as_str(), target.name.as_str()), ("rtmp", "FB-1?s=1&a=?&"));
    }

    #[test]
    fn authorities() {
        let target = Target::parse("rtmp://us%40er:p:w@[::1]:19350/live/x").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 19350));
        let credentials = target.credentials.clone().unwrap();
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("us@er", "p:w"));
        assert_eq!(target.tc_url(), "rtmp://[::1]:19350/live");
        assert!(!format!("{target:?} {target}").contains("p:w"), "passwords are not shown");
    }

    #[test]
    fn default_ports_are_not_announced() {
        for (url, tc_url) in [
            ("rtmp://h:1935/live/x", "rtmp://h/live"),
            ("rtmps://h/live/x", "rtmps://h/live"),
            ("rtmps://h:1935/live/x", "rtmps://h:1935/live"),
        ] {
            assert_eq!(Target::parse(url).unwrap().tc_url(), tc_url);
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for (url, error) in [
            ("http://h/live/x", Error::Scheme),
            ("h/live/x", Error::Scheme),
            ("rtmp:///live/x", Error::Host),
            ("rtmp://[::1/live/x", Error::Host),
            ("rtmp://[::1]x/live/x", Error::Host),
            ("rtmp://a b/live/x", Error::Host),
            ("rtmp://h:0/live/x", Error::Port),
            ("rtmp://h:65536/live/x", Error::Port),
            ("rtmp://h", Error::Empty),
            ("rtmp://h/", Error::Empty),
            ("rtmp://h/live/\n", Error::ControlCharacter),
        ] {
            assert_eq!(Target::parse(url), Err(error), "{url}");
        }
        let long = format!("rtmp://h/live/{}", "x".repeat(MAX_URL));
        assert_eq!(Target::parse(&long), Err(Error::TooLong { what: "URL", limit: MAX_URL }));
    }

    #[test]
    fn every_division_is_one_address() {
        let whole = normalise("a/b/c/d", "test?p=1").unwrap();
        assert_eq!((whole.app.as_str(), whole.name.as_str()), ("a/b/c/d", "test"));
        for (app, name) in [
            ("a/b", "c/d/test?p=1"),
            ("/a/b/c/d/", "/test?p=1"),
            ("a/b/c/d/test", "?p=1"),
            ("", "a/b/c/d/test?p=1"),
            ("a/b?p=1", "c/d/test"),
            ("a//b", "c//d/test?p=1"),
        ] {
            assert_eq!(normalise(app, name).unwrap(), whole, "{app} + {name}");
        }
        assert_eq!(whole.path(), "a/b/c/d/test");
        assert_eq!(normalise("", "test").unwrap().path(), "test");
    }

    #[test]
    fn queries_are_merged() {
        let address = normalise("live?vhost=x", "test?k=v?w").unwrap();
        assert_eq!(address.query, "vhost=x&k=v?w");
    }

    #[test]
    fn dangerous_and_endless_names_are_refused() {
        assert_eq!(normalise("", ""), Err(Error::Empty));
        assert_eq!(normalise("/", "?k=v"), Err(Error::Empty));
        assert_eq!(normalise("live", "../x"), Err(Error::Relative));
        assert_eq!(normalise("live", "a\0b"), Err(Error::ControlCharacter));
        let fits = "x".repeat(MAX_PATH);
        assert_eq!(normalise("", &fits).unwrap().name, fits);
        let limit = MAX_PATH;
        assert_eq!(normalise("a", &fits), Err(Error::TooLong { what: "path", limit }));
        let query = format!("x?{}", "y".repeat(MAX_QUERY + 1));
        let limit = MAX_QUERY;
        assert_eq!(normalise("live", &query), Err(Error::TooLong { what: "query", limit }));
    }
}
