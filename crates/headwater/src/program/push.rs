//! `headwater push`: publishes a media file, once or many times.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use flv::tag::{Kind, Tag};
use net::Conn;
use rtmp::client::Config;
use rtmp::tokio_client::{Pusher, connect_push};
use rtmp::url::Target;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

use super::crowd::{progress, seconds};
use super::media_file;
use super::rtsp::{self, Pushing};
use super::source::{Access, seed};
use super::transfer::{Meter, block_on};

pub(super) const HELP: &str = "Examples:
  headwater push me.flv rtmp://127.0.0.1/live/me             publish in real time
  headwater push me.mp4 rtmp://127.0.0.1/live/me --loop      over and over, time goes on
  headwater push me.mp4 rtsp://127.0.0.1:5544/live/me        over RTSP
  headwater push me.flv rtmp://127.0.0.1/live/me-{i} --copies 100 --loop --duration 60
                                                             a hundred streams for a minute";

/// Publish an FLV, MPEG-TS or MP4 file to an RTMP or RTSP server, in real time.
#[derive(Args)]
pub(super) struct Push {
    /// The file: FLV, MPEG-TS or MP4, fragmented or not.
    file: PathBuf,
    /// Where to publish it: rtmp[s]://HOST[:PORT]/APP/NAME[?QUERY], or rtsp[s]://…; {i} is the
    /// copy's number.
    url: String,
    /// Begin anew at the end, with time stamps that go on, until interrupted.
    #[arg(long = "loop")]
    repeat: bool,
    /// Publish so many streams at once; the URL must have {i} then.
    #[arg(long, value_name = "N", default_value_t = 1)]
    copies: usize,
    /// Send as fast as the server takes it, and not in real time.
    #[arg(long)]
    flat_out: bool,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    #[command(flatten)]
    access: Access,
    /// Show no live line.
    #[arg(long, short)]
    quiet: bool,
}

/// How tags are published.
#[derive(Debug, Clone)]
pub(super) struct Publishing {
    /// Whether it begins anew at the end.
    pub(super) repeat: bool,
    /// Whether it does not keep to the time stamps.
    pub(super) flat_out: bool,
    /// When it ends at the latest.
    pub(super) until: Option<Instant>,
    pub(super) access: Access,
}

impl Push {
    pub(super) fn run(&self) -> Result<()> {
        let tags = media_file::read(&self.file)?;
        let duration = self.duration.map(seconds).transpose()?;
        block_on(async {
            let publishing = Publishing {
                repeat: self.repeat,
                flat_out: self.flat_out,
                until: duration.map(|duration| Instant::now() + duration),
                access: self.access.clone(),
            };
            if self.copies == 1 {
                self.publish_one(&tags, &publishing).await
            } else {
                ensure!(self.copies > 0, "--copies 0 publishes nothing");
                let failures =
                    publish_copies(tags, &self.url, self.copies, publishing, self.quiet).await?;
                report(self.copies, failures)
            }
        })
    }

    async fn publish_one(&self, tags: &[Tag], publishing: &Publishing) -> Result<()> {
        let whole = (!self.repeat).then(|| Duration::from_millis(length(tags)));
        let mut meter = Meter::new(self.quiet, whole);
        let url = self.url.replace("{i}", "0");
        let outcome = publishing.publish(tags, &url, |tag| meter.count(tag)).await;
        println!("{}", meter.finish());
        outcome
    }
}

/// Publishes many copies at once. What went wrong, and how often.
pub(super) async fn publish_copies(
    tags: Vec<Tag>,
    url: &str,
    copies: usize,
    publishing: Publishing,
    quiet: bool,
) -> Result<BTreeMap<String, usize>> {
    ensure!(
        copies == 1 || url.contains("{i}"),
        "{copies} copies need names of their own: put {{i}} into the URL, as in {url}-{{i}}"
    );
    // More files may be open at once; what is not allowed shows in the failures.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let bar = progress(copies, quiet);
    let tags: Rc<[Tag]> = tags.into();
    let local = LocalSet::new();
    let outcomes = local.run_until(async {
        let mut running = JoinSet::new();
        for number in 0..copies {
            let url = url.replace("{i}", &number.to_string());
            let (tags, publishing, bar) = (tags.clone(), publishing.clone(), bar.clone());
            running.spawn_local(async move {
                let outcome = publishing.publish(&tags, &url, |_| {}).await;
                bar.inc(1);
                outcome.map_err(|error| format!("{error:#}").replace(&url, "it"))
            });
        }
        running.join_all().await
    });
    let mut failures = BTreeMap::new();
    for failure in outcomes.await.into_iter().filter_map(Result::err) {
        *failures.entry(failure).or_default() += 1;
    }
    bar.finish_and_clear();
    Ok(failures)
}

/// Says how many copies were published, and what went wrong with the others.
pub(super) fn report(copies: usize, failures: BTreeMap<String, usize>) -> Result<()> {
    let failed: usize = failures.values().sum();
    println!("{} of {copies} published to the end", copies - failed);
    for (failure, count) in failures {
        println!("  {count} × {failure}");
    }
    ensure!(failed == 0, "{failed} of {copies} failed");
    Ok(())
}

impl Publishing {
    /// Publishes tags whose times begin at zero, and shows each that was sent.
    pub(super) async fn publish(
        &self,
        tags: &[Tag],
        url: &str,
        mut sent: impl FnMut(&Tag),
    ) -> Result<()> {
        if rtsp::is_rtsp(url) {
            ensure!(!self.flat_out, "--flat-out is for RTMP: RTP is sent in real time");
            let mut pushing = Pushing::open(url, &self.access).await?;
            self.play(tags, async |tag| {
                sent(tag);
                pushing.send(tag)
            })
            .await?;
            return pushing.finish().await;
        }
        ensure!(
            !url.contains("://") || url.starts_with("rtmp"),
            "{url}: streams are published over rtmp[s]:// and rtsp[s]://"
        );
        let target = Target::parse(url).context("the URL to publish to")?;
        let conn = self.access.connect(&target.host, target.port, target.secure).await?;
        let mut pusher = connect_push(conn, target, Config::default(), seed())
            .await
            .with_context(|| format!("{url} does not take the stream"))?;
        self.play(tags, async |tag| {
            send_tag(&mut pusher, tag.kind, tag.timestamp, &tag.body).await?;
            sent(tag);
            Ok(())
        })
        .await?;
        pusher.finish().await.context("the server went away at the end")
    }

    /// Hands tags out when they are due.
    async fn play(
        &self,
        tags: &[Tag],
        mut send: impl AsyncFnMut(&Tag) -> Result<()>,
    ) -> Result<()> {
        let (start, length) = (Instant::now(), length(tags));
        for lap in 0u32.. {
            for tag in tags {
                let at = u64::from(lap) * length + u64::from(tag.timestamp);
                if !self.flat_out {
                    sleep_until(start + Duration::from_millis(at)).await;
                }
                if self.until.is_some_and(|until| Instant::now() >= until) {
                    return Ok(());
                }
                // The wire's 32 bits wrap.
                let timestamp = u32::try_from(at & 0xFFFF_FFFF).unwrap_or_default();
                send(&Tag { timestamp, ..tag.clone() }).await?;
            }
            if !self.repeat {
                break;
            }
        }
        Ok(())
    }
}

/// Sends one tag.
pub(super) async fn send_tag(
    pusher: &mut Pusher<Conn>,
    kind: Kind,
    timestamp: u32,
    body: &[u8],
) -> Result<()> {
    match kind {
        Kind::Audio => pusher.send_audio(timestamp, body).await,
        Kind::Video => pusher.send_video(timestamp, body).await,
        Kind::Script => pusher.send_data(timestamp, body).await,
        Kind::Other(_) => Ok(()),
    }
    .context("the server went away")
}

/// How many milliseconds the tags last, the last frame included.
pub(super) fn length(tags: &[Tag]) -> u64 {
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
