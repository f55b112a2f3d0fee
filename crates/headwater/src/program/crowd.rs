//! Many viewers of a stream, and how they fare.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::source::{Access, Source};
use super::stats::Times;
use super::transfer::picture;

/// A viewer that gets nothing for so long has stalled.
const STALL: Duration = Duration::from_secs(1);

/// Who watches what.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    /// `{i}` is the viewer's number.
    pub(super) url: String,
    pub(super) viewers: usize,
    /// Viewers that join per second.
    pub(super) rate: f64,
    /// How long each watches.
    pub(super) duration: Duration,
    pub(super) access: Access,
    pub(super) quiet: bool,
}

/// How one viewer fared.
#[derive(Debug, Default)]
struct Visit {
    connected: Option<Duration>,
    first_tag: Option<Duration>,
    first_key: Option<Duration>,
    bytes: u64,
    pictures: u64,
    stalls: u32,
    failure: Option<String>,
}

/// How all fared.
#[derive(Debug, Default)]
pub(super) struct Report {
    viewers: usize,
    watched: Duration,
    connected: Times,
    first_tag: Times,
    first_key: Times,
    bytes: u64,
    pictures: u64,
    stalls: u64,
    failures: BTreeMap<String, usize>,
}

impl Crowd {
    /// Lets them all watch.
    pub(super) async fn watch(&self) -> Result<Report> {
        ensure!(self.rate.is_finite() && self.rate > 0.0, "--rate must be above zero");
        // More files may be open at once; what is not allowed shows in the failures.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let bar = progress(self.viewers, self.quiet);
        let local = LocalSet::new();
        let visits = local.run_until(async {
            let mut visits = JoinSet::new();
            let start = Instant::now();
            for number in 0..self.viewers {
                #[allow(clippy::cast_precision_loss)] // viewers are counted in thousands
                let joins = start + Duration::from_secs_f64(number as f64 / self.rate);
                let (this, bar) = (self.clone(), bar.clone());
                visits.spawn_local(async move {
                    sleep_until(joins).await;
                    let visit = this.visit(number).await;
                    bar.inc(1);
                    visit
                });
            }
            visits.join_all().await
        });
        let visits = visits.await;
        bar.finish_and_clear();
        Ok(self.report(visits))
    }

    async fn visit(&self, number: usize) -> Visit {
        let mut visit = Visit::default();
        if let Err(error) = self.try_visit(number, &mut visit).await {
            visit.failure = Some(format!("{error:#}").replace(&self.url_of(number), "it"));
        }
        visit
    }

    fn url_of(&self, number: usize) -> String {
        self.url.replace("{i}", &number.to_string())
    }

    async fn try_visit(&self, number: usize, visit: &mut Visit) -> Result<()> {
        let start = Instant::now();
        let mut source = Source::open(&self.url_of(number), &self.access).await?;
        visit.connected = Some(source.connected_after);
        let until = Instant::now() + self.duration;
        let mut heard = Instant::now();
        while let Ok(next) = timeout_at(until, source.next()).await {
            let Some(tag) = next? else { bail!("the stream ended before its time") };
            if heard.elapsed() > STALL && visit.first_tag.is_some() {
                visit.stalls += 1;
            }
            heard = Instant::now();
            visit.first_tag.get_or_insert_with(|| start.elapsed());
            visit.bytes += tag.body.len() as u64;
            if let Some(is_key) = picture(&tag) {
                visit.pictures += 1;
                if is_key {
                    visit.first_key.get_or_insert_with(|| start.elapsed());
                }
            }
        }
        ensure!(visit.first_tag.is_some(), "nothing came");
        source.finish().await
    }

    fn report(&self, visits: Vec<Visit>) -> Report {
        let mut report = Report {
            viewers: self.viewers,
            watched: self.duration,
            connected: visits.iter().filter_map(|visit| visit.connected).collect(),
            first_tag: visits.iter().filter_map(|visit| visit.first_tag).collect(),
            first_key: visits.iter().filter_map(|visit| visit.first_key).collect(),
            ..Report::default()
        };
        for visit in visits {
            report.bytes += visit.bytes;
            report.pictures += visit.pictures;
            report.stalls += u64::from(visit.stalls);
            if let Some(failure) = visit.failure {
                *report.failures.entry(failure).or_default() += 1;
            }
        }
        report
    }
}

impl Report {
    /// A failure if any viewer had one.
    pub(super) fn into_result(self) -> Result<()> {
        let failed: usize = self.failures.values().sum();
        ensure!(failed == 0, "{failed} of {} viewers failed", self.viewers);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "viewers          {}", self.viewers)?;
        writeln!(f, "connected        {}", self.connected)?;
        writeln!(f, "first tag        {}", self.first_tag)?;
        writeln!(f, "first key frame  {}", self.first_key)?;
        #[allow(clippy::cast_precision_loss)] // figures for people
        let rate = |count: u64| {
            count as f64 / self.watched.as_secs_f64().max(0.001) / self.viewers.max(1) as f64
        };
        let (kbits, pictures) = (rate(self.bytes * 8) / 1000.0, rate(self.pictures));
        writeln!(f, "each viewer      {kbits:.0} kbit/s, {pictures:.1} pictures/s")?;
        writeln!(f, "stalls           {}", self.stalls)?;
        let failed: usize = self.failures.values().sum();
        writeln!(f, "failures         {failed}")?;
        for (failure, count) in &self.failures {
            writeln!(f, "  {count} × {failure}")?;
        }
        Ok(())
    }
}

/// A bar that counts to `length`, for terminals.
pub(super) fn progress(length: usize, quiet: bool) -> ProgressBar {
    use std::io::IsTerminal;
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len}  {elapsed}") {
        bar.set_style(style);
    }
    bar
}

/// A duration that a person has typed in seconds.
pub(super) fn seconds(seconds: f64) -> Result<Duration> {
    let duration = Duration::try_from_secs_f64(seconds).ok();
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| {
        anyhow::anyhow!("{seconds} seconds is no length of time; write a number above zero")
    })
}
