//! `headwater probe`: what a stream or file is made of, and what is wrong with it.

mod analysis;
mod findings;
mod picture;
mod record;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use tokio::time::{Instant, timeout_at};

use super::crowd::seconds;
use super::source::{Access, Source};
use super::transfer::block_on;
use analysis::Analysis;
use record::Recorder;

pub(super) const HELP: &str = "Examples:
  headwater probe rtmp://127.0.0.1/live/me                   listen for 10 s, then tell
  headwater probe me.flv --picture me.svg                    a file, with a picture of its bit rate
  headwater probe https://host/live/me.flv --json | jq .findings

Exit status: 0 if nothing is wrong, 1 if there are problems or the stream cannot be read.";

/// Tell what a stream or a file is made of, and what is wrong with it for which player.
#[derive(Args)]
pub(super) struct Probe {
    /// rtmp[s]://, rtsp[s]://, http[s]:// or ws[s]:// of a stream, or a file: FLV, MPEG-TS, MP4, or
    /// a dump of packets.
    source: String,
    /// How many seconds to listen to a stream.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    duration: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Draw bit rate, frame sizes and punctuality into an SVG file.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

impl Probe {
    pub(super) fn run(&self) -> Result<()> {
        let duration = seconds(self.duration)?;
        let analysis = block_on(self.listen(duration))?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&analysis)?);
        } else {
            print!("{}", report::text(&analysis));
        }
        if let Some(file) = &self.picture {
            std::fs::write(file, picture::svg(&analysis))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let problems = analysis.problems();
        ensure!(problems == 0, "{problems} problem(s)");
        Ok(())
    }

    async fn listen(&self, duration: Duration) -> Result<Analysis> {
        let is_live = self.source.contains("://");
        let mut source = Source::open(&self.source, &self.access).await?;
        let start = Instant::now();
        let mut recorder = Recorder::new(is_live);
        loop {
            let next = if is_live {
                match timeout_at(start + duration, source.next()).await {
                    Ok(next) => next?,
                    Err(_) => break,
                }
            } else {
                source.next().await?
            };
            let Some(tag) = next else { break };
            if !recorder.take(&tag, start.elapsed()) {
                break;
            }
        }
        // What was heard counts, whether the server likes the goodbye or not.
        let _ = source.finish().await;
        Ok(Analysis::of(&self.source, &recorder))
    }
}
