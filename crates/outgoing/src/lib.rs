//! Requests to other servers: webhooks, callbacks, key sets.
//!
//! Redirects are not followed, answers are bounded, and where others than the operator choose
//! addresses, those of this host and of private networks can be closed: by name or by number, and
//! whatever a name stands for at the time.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
pub use hub::Targets;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, Url};

/// What is read of an answer.
const MAX_ANSWER: usize = 1 << 20;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that are kept for the next request, and how long.
const IDLE_CONNECTIONS: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends requests.
#[derive(Clone)]
pub struct Client {
    open: reqwest::Client,
    public: reqwest::Client,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer. The text names no secrets: of the URL it has the host alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be used.
    #[error("the URL is not one of http or https with a host")]
    Url,
    /// Its host is closed.
    #[error("{0} is on this host or in a private network, which webhooks.private_targets forbids")]
    Private(String),
    /// The answer is too long.
    #[error("{0} answers with more than {MAX_ANSWER} bytes")]
    TooLong(String),
    /// The request failed.
    #[error("{host} does not answer: {what}")]
    Failed {
        /// The host.
        host: String,
        /// What went wrong.
        what: String,
    },
    /// There can be no client.
    #[error("cannot make requests: {0}")]
    Client(String),
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// [`Error::Client`] when the system's certificates cannot be read.
    pub fn new() -> Result<Self, Error> {
        let build = |targets: Targets| {
            let builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .user_agent(concat!("Headwater/", env!("CARGO_PKG_VERSION")));
            let builder = match targets {
                Targets::Any => builder,
                Targets::Public => builder.dns_resolver(Arc::new(PublicOnly)),
            };
            builder.build().map_err(|error| Error::Client(chain(&error)))
        };
        Ok(Self { open: build(Targets::Any)?, public: build(Targets::Public)? })
    }

    /// Sends a body of JSON.
    ///
    /// # Errors
    /// [`Error`] when there is no answer within `limit`.
    pub async fn post(
        &self,
        targets: Targets,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(Method::POST, targets, url, &headers, body, limit).await
    }

    /// Fetches a resource.
    ///
    /// # Errors
    /// [`Error`] when there is no answer within `limit`.
    pub async fn get(&self, targets: Targets, url: &str, limit: Duration) -> Result<Answer, Error> {
        self.send(Method::GET, targets, url, &[], Bytes::new(), limit).await
    }

    async fn send(
        &self,
        method: Method,
        targets: Targets,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, Error> {
        let url = Url::parse(url).map_err(|_| Error::Url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        if host.is_empty() || !matches!(url.scheme(), "http" | "https") {
            return Err(Error::Url);
        }
        // The resolver is not asked about numbers.
        let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if number.is_ok_and(|number| !targets.admit(number)) {
            return Err(Error::Private(host));
        }
        let client = match targets {
            Targets::Any => &self.open,
            Targets::Public => &self.public,
        };
        let mut request = client.request(method, url).timeout(limit).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let failed = |error: reqwest::Error| {
            let what = chain(&error.without_url());
            Error::Failed { host: host.clone(), what }
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Error::TooLong(host));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body: body.freeze() })
    }
}

/// Finds the addresses of names, but none that is not public.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> =
                found.filter(|found| Targets::Public.admit(found.ip())).collect();
            if public.is_empty() {
                return Err(Error::Private(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// An error with all that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Answers one request; returns the URL, and what was asked.
    async fn answering(answer: String) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (mut conn, _) = listener.accept().await.unwrap();
            let mut room = vec![0; 4096];
            let length = conn.read(&mut room).await.unwrap();
            // The client may have heard enough.
            let _ = conn.write_all(answer.as_bytes()).await;
            String::from_utf8_lossy(&room[..length]).into_owned()
        });
        (format!("http://127.0.0.1:{port}/hook?x=1"), task)
    }

    #[tokio::test]
    async fn a_body_is_sent_and_the_answer_read() {
        let answer = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok".to_owned();
        let (url, asked) = answering(answer).await;
        let client = Client::new().unwrap();
        let body = Bytes::from_static(b"{}");
        let got = client.post(Targets::Any, &url, &[("x-y", "z")], body, LIMIT).await.unwrap();
        assert_eq!((got.status, &got.body[..]), (201, &b"ok"[..]));
        let asked = asked.await.unwrap().to_lowercase();
        assert!(asked.starts_with("post /hook?x=1 http/1.1\r\n"), "{asked}");
        assert!(asked.contains("content-type: application/json\r\n") && asked.ends_with("{}"));
        assert!(asked.contains("x-y: z\r\n"));
    }

    #[tokio::test]
    async fn redirects_are_answers_and_long_ones_are_refused() {
        let client = Client::new().unwrap();
        let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0";
        let (url, _) = answering(format!("{redirect}\r\n\r\n")).await;
        assert_eq!(client.get(Targets::Any, &url, LIMIT).await.unwrap().status, 302);
        let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX_ANSWER + 1));
        let (url, _) = answering(long).await;
        let error = client.get(Targets::Any, &url, LIMIT).await.unwrap_err();
        assert!(matches!(error, Error::TooLong(_)), "{error}");
    }

    #[tokio::test]
    async fn private_hosts_are_closed_by_number_and_by_name() {
        let client = Client::new().unwrap();
        for host in
            ["127.0.0.1", "localhost", "[::1]", "10.1.2.3", "[::ffff:127.0.0.1]", "2130706433"]
        {
            let url = format!("http://{host}:9/");
            let error = client.get(Targets::Public, &url, LIMIT).await.unwrap_err().to_string();
            assert!(error.contains("private network"), "{host}: {error}");
        }
        for url in ["ftp://192.0.2.1/", "file:///etc/passwd", "http://", "x"] {
            let error = client.get(Targets::Any, url, LIMIT).await.unwrap_err();
            assert!(matches!(error, Error::Url), "{url}: {error}");
        }
    }
}
