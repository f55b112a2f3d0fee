//! `headwater bench`: what a server takes, and how long things take.

mod delay;
mod histogram;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use clap::{Args, Subcommand};
use flv::tag::Tag;
use rtmp::handshake::{self, Variant};
use rtmp::url::Target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::crowd::{Crowd, progress, seconds};
use super::media_file;
use super::push::{Publishing, publish_copies, report};
use super::source::{Access, seed};
use super::stats::Times;
use super::transfer::block_on;

pub(super) const HELP: &str = "Examples:
  headwater bench connect rtmp://127.0.0.1/live --connections 1000
  headwater bench play http://127.0.0.1:8080/live/me.flv --viewers 500
  headwater bench publish rtmp://127.0.0.1/live/load-{i} --copies 200
  headwater bench delay rtmp://127.0.0.1/live/delay --play http://127.0.0.1:8080/live/delay.flv \\
      --play rtmp://127.0.0.1/live/delay --plot delay.svg

Only measure servers of your own: this is load.";

/// How long one connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Find out what a server takes, and how long things take.
#[derive(Subcommand)]
pub(super) enum Bench {
    /// Connect many times, and say how long that takes.
    Connect(Connect),
    /// Play a stream many times, and say how the viewers fare.
    Play(Play),
    /// Publish many streams.
    Publish(Publish),
    /// Publish a stream with the time in its pictures, play it, and say how old they get.
    Delay(delay::Delay),
}

impl Bench {
    pub(super) fn run(&self) -> Result<()> {
        match self {
            Self::Connect(connect) => block_on(connect.run()),
            Self::Play(play) => block_on(play.run()),
            Self::Publish(publish) => block_on(publish.run()),
            Self::Delay(delay) => block_on(delay.run()),
        }
    }
}

/// Connections that are made and closed: TCP, TLS, and the handshake of RTMP.
#[derive(Args)]
pub(super) struct Connect {
    /// rtmp[s]://HOST[:PORT]/… or http[s]://HOST[:PORT]/…
    url: String,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,
    /// How many are begun per second.
    #[arg(long, value_name = "N", default_value_t = 500.0)]
    rate: f64,
    #[command(flatten)]
    access: Access,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

impl Connect {
    async fn run(&self) -> Result<()> {
        ensure!(self.rate.is_finite() && self.rate > 0.0, "--rate must be above zero");
        let endpoint = Endpoint::of(&self.url)?;
        // More files may be open at once; what is not allowed shows in the failures.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let bar = progress(self.connections, self.quiet);
        let local = LocalSet::new();
        let outcomes = local.run_until(async {
            let mut attempts = JoinSet::new();
            let start = Instant::now();
            for number in 0..self.connections {
                #[allow(clippy::cast_precision_loss)] // connections are counted in thousands
                let at = start + Duration::from_secs_f64(number as f64 / self.rate);
                let (endpoint, access, bar) = (endpoint.clone(), self.access.clone(), bar.clone());
                attempts.spawn_local(async move {
                    sleep_until(at).await;
                    let outcome = endpoint.try_once(&access).await;
                    bar.inc(1);
                    outcome
                });
            }
            attempts.join_all().await
        });
        let outcomes = outcomes.await;
        bar.finish_and_clear();
        let connected: Times = outcomes.iter().flatten().map(|(connected, _)| *connected).collect();
        let greeted: Times =
            outcomes.iter().flatten().filter_map(|(_, greeted)| *greeted).collect();
        println!("connections      {} of {}", connected.len(), self.connections);
        println!("connected        {connected}");
        if greeted.len() > 0 {
            println!("handshake done   {greeted}");
        }
        match outcomes.into_iter().find_map(Result::err) {
            Some(error) => Err(error.context("not all connections came about; the first failure")),
            None => Ok(()),
        }
    }
}

/// Where connections are made to.
#[derive(Debug, Clone)]
struct Endpoint {
    host: String,
    port: u16,
    secure: bool,
    rtmp: bool,
}

impl Endpoint {
    fn of(url: &str) -> Result<Self> {
        match url.split_once("://") {
            Some(("rtmp" | "rtmps", rest)) => {
                // An application is enough, as `rtmp://host/live`.
                let name =
                    if rest.trim_end_matches('/').matches('/').count() < 2 { "/x" } else { "" };
                let target = Target::parse(&format!("{}{name}", url.trim_end_matches('/')))
                    .context("the URL to connect to")?;
                let Target { host, port, secure, .. } = target;
                Ok(Self { host, port, secure, rtmp: true })
            }
            Some((scheme @ ("http" | "https" | "ws" | "wss"), rest)) => {
                let host = rest.split(['/', '?']).next().unwrap_or(rest);
                let secure = matches!(scheme, "https" | "wss");
                let (name, port) = match host.rsplit_once(':') {
                    Some((name, port)) if !port.ends_with(']') => {
                        (name, port.parse().context("the port")?)
                    }
                    _ => (host, if secure { 443 } else { 80 }),
                };
                Ok(Self { host: name.to_owned(), port, secure, rtmp: false })
            }
            _ => bail!(
                "{url}: connections are counted over rtmp[s]://, http[s]:// and ws[s]:// alone"
            ),
        }
    }

    /// How long it took to connect, and until the handshake of RTMP was done.
    async fn try_once(&self, access: &Access) -> Result<(Duration, Option<Duration>)> {
        let start = Instant::now();
        let mut conn = access.connect(&self.host, self.port, self.secure).await?;
        let connected = start.elapsed();
        if !self.rtmp {
            return Ok((connected, None));
        }
        let shake_hands = async {
            let mut out = BytesMut::new();
            let mut handshake = handshake::Client::new(Variant::Plain, seed(), &mut out);
            let mut input = BytesMut::new();
            loop {
                conn.write_all(&out.split()).await?;
                conn.flush().await?;
                if conn.read_buf(&mut input).await? == 0 {
                    bail!(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                let mut bytes: &[u8] = &input;
                let done = handshake.read(&mut bytes, &mut out)?;
                let rest = bytes.len();
                let _ = input.split_to(input.len() - rest);
                if done {
                    return Ok(());
                }
            }
        };
        timeout(PATIENCE, shake_hands).await.context("no handshake in time")??;
        Ok((connected, Some(start.elapsed())))
    }
}

/// Viewers.
#[derive(Args)]
pub(super) struct Play {
    /// rtmp[s]://, http[s]:// or ws[s]:// of a stream; {i} is the viewer's number.
    url: String,
    /// How many viewers.
    #[arg(long, value_name = "N", default_value_t = 100)]
    viewers: usize,
    /// How many join per second.
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    rate: f64,
    /// How many seconds each watches.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    duration: f64,
    #[command(flatten)]
    access: Access,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

impl Play {
    async fn run(&self) -> Result<()> {
        let crowd = Crowd {
            url: self.url.clone(),
            viewers: self.viewers,
            rate: self.rate,
            duration: seconds(self.duration)?,
            access: self.access.clone(),
            quiet: self.quiet,
        };
        let report = crowd.watch().await?;
        print!("{report}");
        report.into_result()
    }
}

/// Publishers.
#[derive(Args)]
pub(super) struct Publish {
    /// rtmp[s]://HOST[:PORT]/APP/NAME-{i}: {i} is the publisher's number.
    url: String,
    /// How many publishers.
    #[arg(long, value_name = "N", default_value_t = 100)]
    copies: usize,
    /// What they publish; the clip of `headwater demo` by default.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many seconds they publish.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    duration: f64,
    #[command(flatten)]
    access: Access,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
}

impl Publish {
    async fn run(&self) -> Result<()> {
        let publishing = Publishing {
            repeat: true,
            flat_out: false,
            until: Some(Instant::now() + seconds(self.duration)?),
            access: self.access.clone(),
        };
        let tags = match &self.file {
            Some(file) => media_file::read(file)?,
            None => clip()?,
        };
        let failures = publish_copies(tags, &self.url, self.copies, publishing, self.quiet).await?;
        report(self.copies, failures)
    }
}

/// The built-in clip.
fn clip() -> Result<Vec<Tag>> {
    media_file::parse_flv(control::page::DEMO_CLIP).context("the built-in clip")
}
