//! Where tags come from: a server, over RTMP, HTTP or WebSocket, with or without TLS, or a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use clap::Args;
use flv::tag::{self, Kind, Tag};
use hub::Targets;
use net::{ClientTls, Conn, Trust};
use rtmp::client::{Config, Event};
use rtmp::tokio_client::{Puller, connect_pull};
use rtmp::url::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use ws::client::{Key, Response, chunked};
use ws::frame::{self, Opcode, write_masked_frame};

use super::media_file;
use super::rtsp::{Pulled, Transport};

/// How long a server may take to accept a connection, and again for TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may send nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// The longest WebSocket message that a server may send: a large frame.
const MAX_MESSAGE: usize = 16 << 20;

/// How servers are reached.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct Access {
    /// Accept any certificate, such as the self-signed one of a server that was given none.
    #[arg(long)]
    pub(super) insecure: bool,
    /// Accept certificates of these authorities (PEM) instead of the system's.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(super) ca: Option<PathBuf>,
    /// What RTP packets travel over with rtsp://: "tcp", "udp", or "auto" (UDP, and TCP where that
    /// is refused or nothing arrives).
    #[arg(long, value_name = "HOW", default_value = "tcp")]
    pub(super) rtsp_transport: Transport,
}

impl Access {
    pub(super) fn client(&self) -> Result<ClientTls> {
        Ok(ClientTls::new(&self.trust())?)
    }

    pub(super) fn trust(&self) -> Trust {
        match &self.ca {
            _ if self.insecure => Trust::Anyone,
            Some(file) => Trust::File(file.clone()),
            None => Trust::System,
        }
    }

    /// Connects to a host.
    pub(super) async fn connect(&self, host: &str, port: u16, secure: bool) -> Result<Conn> {
        let tls = if secure { Some(self.client()?) } else { None };
        net::connect(host, port, tls.as_ref(), Targets::Any, CONNECT_TIMEOUT).await.with_context(|| {
            let hint = if secure && !self.insecure {
                "does a server speak TLS there, with a certificate of this name that is trusted? \
                 (--insecure accepts any)"
            } else {
                "does a server run there?"
            };
            format!("cannot connect to {host}:{port}; {hint}")
        })
    }
}

/// A number that nobody can foresee, for handshakes and masks.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// An open source of tags.
pub(super) struct Source {
    inner: Inner,
    /// How long it took until the server was connected to, TLS included.
    pub(super) connected_after: Duration,
}

enum Inner {
    Rtmp(Box<Puller<Conn>>),
    Http(Box<Http>),
    Pulled(Box<Pulled>),
    File(std::vec::IntoIter<Tag>),
}

impl Source {
    /// Opens a URL, or a file if it is none.
    pub(super) async fn open(url: &str, tls: &Access) -> Result<Self> {
        let start = Instant::now();
        let (inner, connected) = match url.split_once("://") {
            Some(("rtmp" | "rtmps", _)) => {
                let target = Target::parse(url).context("the URL to play")?;
                let conn = tls.connect(&target.host, target.port, target.secure).await?;
                let connected = start.elapsed();
                let puller = connect_pull(conn, target, Config::default(), seed())
                    .await
                    .with_context(|| format!("{url} does not play"))?;
                (Inner::Rtmp(Box::new(puller)), connected)
            }
            // Sessions of the server know more containers, and how to log in.
            Some(("http" | "https" | "ws" | "wss", rest)) if !is_flv(rest) || has_login(rest) => {
                let pulled = Pulled::open(url, tls).await?;
                (Inner::Pulled(Box::new(pulled)), start.elapsed())
            }
            Some((scheme @ ("http" | "https" | "ws" | "wss"), rest)) => {
                let (http, connected) = Http::open(scheme, rest, tls).await?;
                (Inner::Http(Box::new(http)), connected)
            }
            Some(("rtsp" | "rtsps", _)) => {
                let pulled = Pulled::open(url, tls).await?;
                (Inner::Pulled(Box::new(pulled)), start.elapsed())
            }
            Some((other, _)) => {
                bail!(
                    "{other}:// is not spoken; write rtmp[s]://, rtsp[s]://, http[s]:// or ws[s]://"
                )
            }
            None => {
                let tags = media_file::read(Path::new(url)).with_context(|| {
                    format!("{url} has no rtmp://, rtsp://, http:// or ws://, so it is a file")
                })?;
                (Inner::File(tags.into_iter()), Duration::ZERO)
            }
        };
        Ok(Self { inner, connected_after: connected })
    }

    /// The next tag; `None` at the end. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Option<Tag>> {
        match &mut self.inner {
            Inner::File(tags) => Ok(tags.next()),
            Inner::Http(http) => http.next().await,
            Inner::Pulled(pulled) => pulled.next().await,
            Inner::Rtmp(puller) => loop {
                let event = puller.next().await.context("the stream broke off")?;
                let (kind, timestamp, body) = match event {
                    Some(Event::Audio { timestamp, payload }) => (Kind::Audio, timestamp, payload),
                    Some(Event::Video { timestamp, payload }) => (Kind::Video, timestamp, payload),
                    Some(Event::Data { timestamp, payload }) => (Kind::Script, timestamp, payload),
                    Some(_) => continue,
                    None => return Ok(None),
                };
                return Ok(Some(Tag { kind, timestamp, body }));
            },
        }
    }

    /// Says goodbye, if the protocol knows how.
    pub(super) async fn finish(self) -> Result<()> {
        match self.inner {
            Inner::Rtmp(puller) => puller.finish().await.context("the server went away at the end"),
            Inner::Pulled(pulled) => {
                pulled.finish().await;
                Ok(())
            }
            Inner::Http(_) | Inner::File(_) => Ok(()),
        }
    }
}

/// Whether a URL, behind its scheme, has a name and perhaps a password.
fn has_login(rest: &str) -> bool {
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

/// Whether a URL, behind its scheme, says that it has FLV. What says nothing has it as well: that is
/// how servers of old name their streams.
fn is_flv(rest: &str) -> bool {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    !name.contains('.') || name.ends_with(".flv")
}

/// HTTP-FLV or WebSocket-FLV.
struct Http {
    conn: Conn,
    framing: Framing,
    reader: tag::Reader,
    bytes: BytesMut,
}

impl Http {
    /// `rest` is the URL behind its scheme.
    async fn open(scheme: &str, rest: &str, tls: &Access) -> Result<(Self, Duration)> {
        let start = Instant::now();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let secure = matches!(scheme, "https" | "wss");
        let websocket = matches!(scheme, "ws" | "wss");
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().context("the port")?),
            _ => (host, if secure { 443 } else { 80 }),
        };
        let mut conn = tls.connect(name, port, secure).await?;
        let connected = start.elapsed();
        let key = Key::new(nonce());
        let request = if websocket {
            key.upgrade(host, path, &[], &[])
        } else {
            ws::client::get(host, path, &[])
        };
        conn.write_all(&request.context("the URL to play")?).await?;
        conn.flush().await?;

        let limits = ws::head::Limits::default();
        let mut bytes = BytesMut::new();
        let (response, consumed) = loop {
            if !read(&mut conn, &mut bytes).await? {
                bail!("the server closed without an answer");
            }
            let parsed = Response::parse(&bytes, &limits).context("the server's answer")?;
            if let Some(response) = parsed {
                break response;
            }
        };
        let body = bytes.split_off(consumed);
        if response.status().code() != if websocket { 101 } else { 200 } {
            let text = String::from_utf8_lossy(&body).trim().to_owned();
            bail!("the server answers {}: {text}", response.status().code());
        }
        if websocket {
            key.verify(&response, &[]).context("the server's answer")?;
        }
        let framing = match (websocket, response.body() == ws::Body::Chunked) {
            (true, _) => Framing::WebSocket(frame::Reader::new(frame::Role::Client, MAX_MESSAGE)),
            (false, true) => Framing::Chunked(chunked::Reader::default()),
            (false, false) => Framing::Bare,
        };
        let reader = tag::Reader::new(tag::MAX_BODY);
        Ok((Self { conn, framing, reader, bytes: body }, connected))
    }

    async fn next(&mut self) -> Result<Option<Tag>> {
        loop {
            let answer = self.framing.decode(&self.bytes, &mut self.reader)?;
            self.bytes.clear();
            if !answer.is_empty() {
                self.conn.write_all(&answer).await?;
                self.conn.flush().await?;
            }
            if let Some(tag) = self.reader.poll().context("the stream")? {
                return Ok(Some(tag));
            }
            if self.framing.is_over() || !read(&mut self.conn, &mut self.bytes).await? {
                return Ok(None);
            }
        }
    }
}

/// Reads more. `false` at the end.
async fn read(conn: &mut Conn, bytes: &mut BytesMut) -> Result<bool> {
    let read = timeout(SILENCE, conn.read_buf(bytes)).await.context("the server is silent")?;
    Ok(read.context("the connection broke off")? > 0)
}

fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    let (high, low) = nonce.split_at_mut(8);
    high.copy_from_slice(&seed().to_be_bytes());
    low.copy_from_slice(&seed().to_be_bytes());
    nonce
}

/// How the FLV stream is wrapped.
enum Framing {
    Bare,
    Chunked(chunked::Reader),
    WebSocket(frame::Reader),
    Over,
}

impl Framing {
    /// Unwraps bytes into `reader`; what must be answered.
    fn decode(&mut self, mut input: &[u8], reader: &mut tag::Reader) -> Result<Bytes> {
        let mut answer = BytesMut::new();
        let mut over = false;
        match self {
            Self::Bare => reader.push(input),
            Self::Chunked(chunks) => {
                while let Some(data) = chunks.decode(&mut input).context("the chunked body")? {
                    reader.push(data);
                }
                over = chunks.is_done();
            }
            Self::WebSocket(frames) => {
                while let Some(event) = frames.decode(&mut input).context("WebSocket")? {
                    match event {
                        frame::Event::Binary(data) => reader.push(&data),
                        frame::Event::Ping(payload) => {
                            let [a, b, c, d, ..] = seed().to_be_bytes();
                            let mask = [a, b, c, d];
                            write_masked_frame(&mut answer, Opcode::Pong, true, mask, &payload);
                        }
                        frame::Event::Close { .. } => over = true,
                        frame::Event::Text(_) | frame::Event::Pong(_) => {}
                    }
                }
            }
            Self::Over => {}
        }
        if over {
            *self = Self::Over;
        }
        Ok(answer.freeze())
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }
}
