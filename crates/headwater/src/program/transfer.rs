//! What `push` and `pull` share: URLs, connections, and the line that tells how it goes.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use flv::tag::{Kind, Tag};
use indicatif::{ProgressBar, ProgressStyle};
use rtmp::url::Target;
use tokio::net::TcpStream;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the line is renewed.
const REFRESH: Duration = Duration::from_secs(1);

/// Connects to the server of an RTMP URL.
pub(super) async fn connect(target: &Target) -> Result<TcpStream> {
    if target.secure {
        bail!("rtmps is served here, but not spoken as a client yet; use rtmp");
    }
    tcp(&target.host, target.port).await
}

/// Connects to a host.
pub(super) async fn tcp(host: &str, port: u16) -> Result<TcpStream> {
    let connecting = TcpStream::connect((host, port));
    let socket = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .with_context(|| format!("{host}:{port} does not answer"))?
        .with_context(|| format!("cannot connect to {host}:{port}; does a server run there?"))?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// A number that nobody can foresee, for a handshake.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// The live line: bit rate, frames per second, key-frame interval, time to the first key frame.
pub(super) struct Meter {
    line: ProgressBar,
    start: Instant,
    renewed: Instant,
    bytes: u64,
    frames: u64,
    total_bytes: u64,
    total_frames: u64,
    last_key: Option<u32>,
    key_interval: Option<u32>,
    first_key: Option<Duration>,
    media_time: u32,
}

impl Meter {
    pub(super) fn new(quiet: bool) -> Self {
        let line = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            line.set_style(style);
        }
        let now = Instant::now();
        Self {
            line,
            start: now,
            renewed: now,
            bytes: 0,
            frames: 0,
            total_bytes: 0,
            total_frames: 0,
            last_key: None,
            key_interval: None,
            first_key: None,
            media_time: 0,
        }
    }

    /// Counts a tag.
    pub(super) fn count(&mut self, tag: &Tag) {
        self.bytes += tag.body.len() as u64;
        self.total_bytes += tag.body.len() as u64;
        self.media_time = self.media_time.max(tag.timestamp);
        if tag.kind == Kind::Video
            && let Ok(message) = flv::video::Message::parse(&tag.body)
        {
            for packet in message.packets {
                let flv::video::Packet::Frame { .. } = packet.packet else { continue };
                self.frames += 1;
                self.total_frames += 1;
                if message.frame_type == flv::video::FrameType::Key && packet.track == 0 {
                    self.first_key.get_or_insert_with(|| self.start.elapsed());
                    let before = self.last_key.replace(tag.timestamp);
                    self.key_interval =
                        before.map(|t| tag.timestamp.saturating_sub(t)).or(self.key_interval);
                }
            }
        }
        let since = self.renewed.elapsed();
        if since >= REFRESH {
            self.line.set_message(self.text(self.bytes, self.frames, since));
            (self.bytes, self.frames, self.renewed) = (0, 0, Instant::now());
        }
    }

    /// Says how it went in all.
    pub(super) fn finish(&self) -> String {
        self.line.finish_and_clear();
        let whole = self.text(self.total_bytes, self.total_frames, self.start.elapsed());
        format!("{} frames, {} bytes; {whole}", self.total_frames, self.total_bytes)
    }

    #[allow(clippy::cast_precision_loss)] // figures for people
    fn text(&self, bytes: u64, frames: u64, over: Duration) -> String {
        let seconds = over.as_secs_f64().max(0.001);
        let interval = self.key_interval.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"));
        let first =
            self.first_key.map_or_else(|| "–".to_owned(), |d| format!("{} ms", d.as_millis()));
        format!(
            "{:.0} kbit/s, {:.1} fps, key frames every {interval}, first after {first}, at {:.1} s",
            bytes as f64 * 8.0 / 1000.0 / seconds,
            frames as f64 / seconds,
            f64::from(self.media_time) / 1000.0,
        )
    }
}

/// A runtime for a command that moves one stream.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
