//! `headwater pull`: plays a stream, and saves it as FLV if wanted.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use clap::Args;
use flv::tag::{self, FileHeader, Kind, Tag};
use rtmp::client::{Config, Event};
use rtmp::tokio_client::connect_pull;
use rtmp::url::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use ws::client::{Key, Response, chunked};
use ws::frame::{self, Opcode, write_masked_frame};

use super::transfer::{Meter, block_on, connect, seed, tcp};

/// How long a server may send nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// The longest WebSocket message that a server may send: a large frame.
const MAX_MESSAGE: usize = 16 << 20;

/// Play a stream, and save it as FLV if wanted.
#[derive(Args)]
pub(super) struct Pull {
    /// rtmp://HOST/APP/NAME, http://HOST/APP/NAME.flv or ws://HOST/APP/NAME.flv.
    url: String,
    /// Where to save it.
    file: Option<PathBuf>,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Show no live line.
    #[arg(long, short)]
    quiet: bool,
}

/// Where tags go: the meter, and the file if there is one.
struct Sink {
    meter: Meter,
    file: Option<BufWriter<File>>,
    until: Option<Instant>,
}

impl Pull {
    pub(super) fn run(&self) -> Result<()> {
        block_on(self.pull())
    }

    async fn pull(&self) -> Result<()> {
        let file = self.file.as_deref().map(create).transpose()?;
        let until = self.duration.map(|s| Instant::now() + Duration::from_secs_f64(s.max(0.0)));
        let mut sink = Sink { meter: Meter::new(self.quiet), file, until };
        let outcome = match self.url.split_once("://") {
            Some(("rtmp" | "rtmps", _)) => self.pull_rtmp(&mut sink).await,
            Some(("http", rest)) => pull_http(rest, false, &mut sink).await,
            Some(("ws", rest)) => pull_http(rest, true, &mut sink).await,
            Some(("https" | "wss", _)) => {
                bail!("TLS is served here, but not spoken as a client yet; use http or ws")
            }
            _ => bail!("{} is no URL; write rtmp://, http:// or ws://", self.url),
        };
        println!("{}", sink.meter.finish());
        if let Some(file) = &mut sink.file {
            file.flush().context("cannot write the file")?;
        }
        outcome
    }

    async fn pull_rtmp(&self, sink: &mut Sink) -> Result<()> {
        let target = Target::parse(&self.url).context("the URL to play")?;
        let socket = connect(&target).await?;
        let mut puller = connect_pull(socket, target, Config::default(), seed())
            .await
            .with_context(|| format!("{} does not play", self.url))?;
        while !sink.is_done() {
            let Some(event) = sink.in_time(puller.next()).await else { break };
            let Some(event) = event.context("the stream broke off")? else { break };
            let (kind, timestamp, body) = match event {
                Event::Audio { timestamp, payload } => (Kind::Audio, timestamp, payload),
                Event::Video { timestamp, payload } => (Kind::Video, timestamp, payload),
                Event::Data { timestamp, payload } => (Kind::Script, timestamp, payload),
                _ => continue,
            };
            sink.take(&Tag { kind, timestamp, body })?;
        }
        puller.finish().await.context("the server went away at the end")
    }
}

impl Sink {
    fn take(&mut self, tag: &Tag) -> Result<()> {
        self.meter.count(tag);
        if let Some(file) = &mut self.file {
            let mut bytes = BytesMut::new();
            tag::write(&mut bytes, tag);
            file.write_all(&bytes).context("cannot write the file")?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Waits for `work`, until the wanted duration is over.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.until {
            Some(until) => tokio::time::timeout_at(until, work).await.ok(),
            None => Some(work.await),
        }
    }
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut file = BufWriter::new(file);
    file.write_all(&FileHeader { audio: true, video: true }.bytes())?;
    Ok(file)
}

/// Plays HTTP-FLV or WebSocket-FLV; `rest` is the URL behind its scheme.
async fn pull_http(rest: &str, websocket: bool, sink: &mut Sink) -> Result<()> {
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse().context("the port")?),
        _ => (host, 80),
    };
    let mut socket = tcp(name.trim_matches(['[', ']']), port).await?;
    let key = Key::new(nonce());
    let request = if websocket {
        key.upgrade(host, path, &[], &[])
    } else {
        ws::client::get(host, path, &[])
    };
    socket.write_all(&request.context("the URL to play")?).await?;

    let limits = ws::head::Limits::default();
    let mut bytes = BytesMut::new();
    let (response, consumed) = loop {
        if !read(&mut socket, &mut bytes).await? {
            bail!("the server closed without an answer");
        }
        if let Some(response) = Response::parse(&bytes, &limits).context("the server's answer")? {
            break response;
        }
    };
    let body = bytes.split_off(consumed);
    if websocket {
        key.verify(&response, &[]).context("the server's answer")?;
    } else if response.status().code() != 200 {
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        bail!("the server answers {}: {text}", response.status().code());
    }
    let chunked = response.body() == ws::Body::Chunked;
    let mut framing = match (websocket, chunked) {
        (true, _) => Framing::WebSocket(frame::Reader::new(frame::Role::Client, MAX_MESSAGE)),
        (false, true) => Framing::Chunked(chunked::Reader::default()),
        (false, false) => Framing::Bare,
    };
    let mut reader = tag::Reader::new(tag::MAX_BODY);
    let mut bytes = body;
    loop {
        let answer = framing.decode(&bytes, &mut reader)?;
        bytes.clear();
        if !answer.is_empty() {
            socket.write_all(&answer).await?;
        }
        while let Some(tag) = reader.poll().context("the stream")? {
            sink.take(&tag)?;
        }
        if sink.is_done() || framing.is_over() {
            return Ok(());
        }
        match sink.in_time(read(&mut socket, &mut bytes)).await {
            Some(Ok(true)) => {}
            Some(Ok(false)) | None => return Ok(()),
            Some(Err(error)) => return Err(error),
        }
    }
}

/// Reads more. `false` at the end.
async fn read(socket: &mut TcpStream, bytes: &mut BytesMut) -> Result<bool> {
    let read = timeout(SILENCE, socket.read_buf(bytes)).await.context("the server is silent")?;
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
                            let mask = seed().to_be_bytes();
                            let mask = [mask[0], mask[1], mask[2], mask[3]];
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
