//! `headwater pull`: plays a stream, once or many times, and saves it if wanted.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::crowd::{self, Crowd};
use super::saver::Saver;
use super::source::{Access, Source};
use super::transfer::{Meter, Stop, block_on};

pub(super) const HELP: &str = "Examples:
  headwater pull rtmp://127.0.0.1/live/me                    watch the bit rate and the key frames
  headwater pull http://127.0.0.1:8080/live/me.flv me.flv    record
  headwater pull rtmp://127.0.0.1/live/me me.mp4             record as MP4, or me.ts
  headwater pull rtsp://user:pass@camera/stream1 me.mp4      record a camera
  headwater pull wss://127.0.0.1:4433/live/me.flv --insecure over TLS, whatever the certificate
  headwater pull rtmp://127.0.0.1/live/me --viewers 500 --rate 100 --duration 30
                                                             500 viewers, and how they fared";

/// Play a stream, and save it as FLV, MPEG-TS or MP4 if wanted.
#[derive(Args)]
pub(super) struct Pull {
    /// rtmp[s]://HOST/APP/NAME, rtsp[s]://…, http[s]://HOST/APP/NAME.flv (or .ts, .m3u8) or
    /// ws[s]://…; {i} is the viewer's number.
    url: String,
    /// Where to save it: what ends with .ts becomes MPEG-TS, with .mp4 fragmented MP4, with .flv FLV.
    #[arg(conflicts_with = "viewers")]
    file: Option<PathBuf>,
    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Play it so many times at once, and say at the end how the viewers fared.
    #[arg(long, value_name = "N", default_value_t = 1)]
    viewers: usize,
    /// How many viewers join per second.
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    rate: f64,
    #[command(flatten)]
    access: Access,
    /// Show no live line.
    #[arg(long, short)]
    quiet: bool,
}

impl Pull {
    pub(super) fn run(&self) -> Result<()> {
        let duration = self.duration.map(crowd::seconds).transpose()?;
        if self.viewers == 1 {
            return block_on(self.pull(duration));
        }
        ensure!(self.viewers > 0, "--viewers 0 is nobody");
        let crowd = Crowd {
            url: self.url.clone(),
            viewers: self.viewers,
            rate: self.rate,
            duration: duration.unwrap_or(Duration::from_secs(10)),
            access: self.access.clone(),
            quiet: self.quiet,
        };
        block_on(async {
            let report = crowd.watch().await?;
            print!("{report}");
            report.into_result()
        })
    }

    async fn pull(&self, duration: Option<Duration>) -> Result<()> {
        let mut file = self.file.as_deref().map(Saver::create).transpose()?;
        let mut stop = Stop::after(duration)?;
        let mut meter = Meter::new(self.quiet, None);
        let mut source = Source::open(&self.url.replace("{i}", "0"), &self.access).await?;
        let outcome = loop {
            match stop.before(source.next()).await {
                None => break source.finish().await,
                Some(Ok(Some(tag))) => {
                    meter.count(&tag);
                    let saved = file.as_mut().map_or(Ok(()), |file| file.save(&tag));
                    if saved.is_err() {
                        break saved;
                    }
                }
                Some(Ok(None)) => break Ok(()),
                Some(Err(error)) => break Err(error),
            }
        };
        println!("{}", meter.finish());
        // What has come is complete in the file, whatever has ended it.
        let finished = file.map_or(Ok(()), Saver::finish);
        outcome.and(finished)
    }
}
