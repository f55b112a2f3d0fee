//! `headwater relay`: carries one stream from anywhere to anywhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use flv::tag::Tag;
use net::Conn;
use rtmp::client::Config;
use rtmp::tokio_client::{Pusher, connect_push};
use rtmp::url::Target;
use tokio::time::Instant;

use super::crowd;
use super::media_file;
use super::push::{Publishing, length, send_tag};
use super::rtsp::{self, Pushing};
use super::saver::Saver;
use super::source::{Access, Source, seed};
use super::transfer::{Meter, Stop, block_on};

pub(super) const HELP: &str = "From: rtmp[s]://, rtsp[s]://, http[s]:// (FLV, MPEG-TS, HLS), ws[s]://, or a file (FLV, MPEG-TS, MP4).
To: rtmp[s]://, rtsp[s]://, or a file (.flv, .ts, .mp4). Files are sent in real time; from file to
file goes as fast as it can.

Examples:
  headwater relay rtsp://user:pass@camera/stream1 rtmp://127.0.0.1/live/cam   a camera to a server
  headwater relay https://example.org/live/index.m3u8 rtmp://127.0.0.1/live/x HLS to RTMP
  headwater relay rtmp://127.0.0.1/live/me rtsp://192.0.2.7/live/me           RTMP to RTSP
  headwater relay http://127.0.0.1:8080/live/me.ts me.mp4 --duration 60       record a minute
  headwater relay me.ts me.mp4                                                put a file into MP4

It ends with the stream (exit status 0), or says what has gone wrong (1). To have a stream carried
again and again, whatever happens, let a server do it: [[relay.pull]], [[relay.push]].";

/// Carry one stream from a server or a file to a server or a file; nothing is decoded.
#[derive(Args)]
pub(super) struct Relay {
    /// Where the stream comes from: a URL, or a file.
    from: String,
    /// Where it goes: a URL, or a file.
    to: String,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    #[command(flatten)]
    access: Access,
    /// Show no live line.
    #[arg(long, short)]
    quiet: bool,
}

impl Relay {
    pub(super) fn run(&self) -> Result<()> {
        ensure!(self.from != self.to, "the stream would go to where it comes from");
        let duration = self.duration.map(crowd::seconds).transpose()?;
        block_on(async {
            match (is_url(&self.from), is_url(&self.to)) {
                (false, true) => self.publish(duration).await,
                (false, false) => self.convert(duration),
                (true, _) => self.carry(duration).await,
            }
        })
    }

    /// A file to a server, in real time.
    async fn publish(&self, duration: Option<Duration>) -> Result<()> {
        let tags = media_file::read(Path::new(&self.from))?;
        let publishing = Publishing {
            repeat: false,
            flat_out: false,
            until: duration.map(|duration| Instant::now() + duration),
            access: self.access.clone(),
        };
        let mut meter = Meter::new(self.quiet, Some(Duration::from_millis(length(&tags))));
        let outcome = publishing.publish(&tags, &self.to, |tag| meter.count(tag)).await;
        println!("{}", meter.finish());
        outcome
    }

    /// A file to a file, at once.
    fn convert(&self, duration: Option<Duration>) -> Result<()> {
        let tags = media_file::read(Path::new(&self.from))?;
        let mut meter = Meter::new(self.quiet, Some(Duration::from_millis(length(&tags))));
        let mut file = Saver::create(&PathBuf::from(&self.to))?;
        let most = duration.map_or(u128::MAX, |duration| duration.as_millis());
        for tag in tags.iter().take_while(|tag| u128::from(tag.timestamp) < most) {
            file.save(tag)?;
            meter.count(tag);
        }
        println!("{}", meter.finish());
        file.finish()
    }

    /// From a server, as it comes.
    async fn carry(&self, duration: Option<Duration>) -> Result<()> {
        let mut stop = Stop::after(duration)?;
        let mut source = Source::open(&self.from, &self.access).await?;
        let mut sink = Sink::open(&self.to, &self.access).await?;
        let mut meter = Meter::new(self.quiet, None);
        let outcome = loop {
            match stop.before(source.next()).await {
                None => break source.finish().await,
                Some(Ok(Some(tag))) => {
                    let sent = sink.send(&tag).await;
                    if sent.is_err() {
                        break sent;
                    }
                    meter.count(&tag);
                }
                Some(Ok(None)) => break Ok(()),
                Some(Err(error)) => break Err(error),
            }
        };
        println!("{}", meter.finish());
        // What has come is complete there, whatever has ended it.
        let finished = sink.finish().await;
        outcome.and(finished)
    }
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// Where a stream goes.
enum Sink {
    File(Saver),
    Rtmp(Box<Pusher<Conn>>),
    Rtsp(Box<Pushing>),
}

impl Sink {
    async fn open(to: &str, access: &Access) -> Result<Self> {
        if rtsp::is_rtsp(to) {
            return Ok(Self::Rtsp(Box::new(Pushing::open(to, access).await?)));
        }
        match to.split_once("://") {
            None => Ok(Self::File(Saver::create(Path::new(to))?)),
            Some(("rtmp" | "rtmps", _)) => {
                let target = Target::parse(to).context("the URL to publish to")?;
                let conn = access.connect(&target.host, target.port, target.secure).await?;
                let pusher = connect_push(conn, target, Config::default(), seed()).await;
                let pusher = pusher.with_context(|| format!("{to} does not take the stream"))?;
                Ok(Self::Rtmp(Box::new(pusher)))
            }
            Some((other, _)) => {
                bail!("{other}:// takes no streams; write rtmp[s]://, rtsp[s]://, or a file's name")
            }
        }
    }

    async fn send(&mut self, tag: &Tag) -> Result<()> {
        match self {
            Self::File(file) => file.save(tag),
            Self::Rtmp(pusher) => send_tag(pusher, tag.kind, tag.timestamp, &tag.body).await,
            Self::Rtsp(pushing) => pushing.send(tag),
        }
    }

    async fn finish(self) -> Result<()> {
        match self {
            Self::File(file) => file.finish(),
            Self::Rtmp(pusher) => pusher.finish().await.context("the server went away at the end"),
            Self::Rtsp(pushing) => pushing.finish().await,
        }
    }
}
