//! What `push` and `pull` share: the line that tells how it goes.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use flv::tag::{Kind, Tag};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep_until;

/// How often the line is renewed.
const REFRESH: Duration = Duration::from_secs(1);

/// Whether a tag holds a picture of the first video track, and if so, whether that is a key frame.
pub(super) fn picture(tag: &Tag) -> Option<bool> {
    if tag.kind != Kind::Video {
        return None;
    }
    let message = flv::video::Message::parse(&tag.body).ok()?;
    let is_frame = |packet: &flv::video::Packet| matches!(packet, flv::video::Packet::Frame { .. });
    let first = message.packets.iter().find(|packet| packet.track == 0)?;
    is_frame(&first.packet).then_some(message.frame_type == flv::video::FrameType::Key)
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
    /// A line for a stream that is so long, if that is known.
    pub(super) fn new(quiet: bool, whole: Option<Duration>) -> Self {
        let (line, template) = match whole {
            _ if quiet || !std::io::stderr().is_terminal() => (ProgressBar::hidden(), ""),
            Some(whole) => {
                let length = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
                (ProgressBar::new(length), "{bar:24} {percent} %  {msg}")
            }
            None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
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
        if let Some(is_key) = picture(tag) {
            self.frames += 1;
            self.total_frames += 1;
            if is_key {
                self.first_key.get_or_insert_with(|| self.start.elapsed());
                let before = self.last_key.replace(tag.timestamp);
                self.key_interval =
                    before.map(|t| tag.timestamp.saturating_sub(t)).or(self.key_interval);
            }
        }
        let since = self.renewed.elapsed();
        if since >= REFRESH {
            self.line.set_position(self.media_time.into());
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

/// When a command ends its work by itself: after so long, or when somebody presses Ctrl-C or the
/// system asks for it, so that files are completed and servers hear a goodbye.
pub(super) struct Stop {
    until: Option<Instant>,
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// After `duration`, if there is one, at the latest.
    pub(super) fn after(duration: Option<Duration>) -> Result<Self> {
        Ok(Self {
            until: duration.map(|duration| Instant::now() + duration),
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// What becomes of a step of the work; nothing when it is time to end.
    pub(super) async fn before<T>(&mut self, step: impl Future<Output = T>) -> Option<T> {
        let until = self.until;
        let over = async {
            match until {
                Some(until) => sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => None,
            _ = self.terminate.recv() => None,
            () = over => None,
            outcome = step => Some(outcome),
        }
    }
}

/// A runtime for a command that moves one stream.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
