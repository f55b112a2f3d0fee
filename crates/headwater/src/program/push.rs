//! `headwater push`: publishes an FLV file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use flv::tag::{self, Kind, Tag};
use rtmp::client::Config;
use rtmp::tokio_client::{Pusher, connect_push};
use rtmp::url::Target;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::transfer::{Meter, block_on, connect, seed};

/// Publish an FLV file to an RTMP server, in real time.
#[derive(Args)]
pub(super) struct Push {
    /// The FLV file.
    file: PathBuf,
    /// Where to publish it: rtmp://HOST[:PORT]/APP/NAME[?QUERY].
    url: String,
    /// Begin anew at the end, with time stamps that go on, until interrupted.
    #[arg(long = "loop")]
    repeat: bool,
    /// Show no live line.
    #[arg(long, short)]
    quiet: bool,
}

impl Push {
    pub(super) fn run(&self) -> Result<()> {
        block_on(self.push())
    }

    async fn push(&self) -> Result<()> {
        let tags = read(&self.file)?;
        let target = Target::parse(&self.url).context("the URL to publish to")?;
        let socket = connect(&target).await?;
        let mut pusher = connect_push(socket, target, Config::default(), seed())
            .await
            .with_context(|| format!("{} does not take the stream", self.url))?;
        let mut meter = Meter::new(self.quiet);
        let outcome = self.send(&tags, &mut pusher, &mut meter).await;
        println!("{}", meter.finish());
        outcome?;
        pusher.finish().await.context("the server went away at the end")
    }

    async fn send(
        &self,
        tags: &[Tag],
        pusher: &mut Pusher<TcpStream>,
        meter: &mut Meter,
    ) -> Result<()> {
        let (start, length) = (Instant::now(), length(tags));
        for lap in 0u32.. {
            for tag in tags {
                let at = u64::from(lap) * length + u64::from(tag.timestamp);
                sleep_until(start + Duration::from_millis(at)).await;
                // The wire's 32 bits wrap.
                let timestamp = u32::try_from(at & 0xFFFF_FFFF).unwrap_or_default();
                match tag.kind {
                    Kind::Audio => pusher.send_audio(timestamp, &tag.body).await,
                    Kind::Video => pusher.send_video(timestamp, &tag.body).await,
                    Kind::Script => pusher.send_data(timestamp, &tag.body).await,
                    Kind::Other(_) => Ok(()),
                }
                .context("the server went away")?;
                meter.count(&Tag { timestamp, ..tag.clone() });
            }
            if !self.repeat {
                break;
            }
        }
        Ok(())
    }
}

/// All tags of a file, with time from zero.
fn read(file: &PathBuf) -> Result<Vec<Tag>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut reader = tag::Reader::new(tag::MAX_BODY);
    reader.push(&bytes);
    let mut tags = Vec::new();
    while let Some(tag) = reader.poll().with_context(|| format!("in {}", file.display()))? {
        tags.push(tag);
    }
    anyhow::ensure!(!tags.is_empty(), "{} has no frames", file.display());
    let first = tags.iter().map(|tag| tag.timestamp).min().unwrap_or(0);
    tags.iter_mut().for_each(|tag| tag.timestamp -= first);
    Ok(tags)
}

/// How long the file is, its last frame included.
fn length(tags: &[Tag]) -> u64 {
    let mut times: Vec<u32> =
        tags.iter().filter(|tag| tag.kind == Kind::Video).map(|tag| tag.timestamp).collect();
    if times.is_empty() {
        times.extend(tags.iter().map(|tag| tag.timestamp));
    }
    times.sort_unstable();
    times.dedup();
    let last = times.last().copied().unwrap_or(0);
    let before = times.iter().rev().nth(1).copied().unwrap_or(last);
    u64::from(last) + u64::from(last - before).max(1)
}
