//! Operators that watch lists and figures while viewers watch the stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::hls::fetch;

/// What a page asks for each second, a program written for lal, and a scraper.
const ASKED: [&str; 5] = [
    "/api/v1/server",
    "/api/v1/streams",
    "/api/v1/sessions?per_page=1000",
    "/api/stat/all_group",
    "/metrics",
];

/// How often each operator asks for everything.
const EVERY: Duration = Duration::from_secs(1);

/// Operators at work.
#[derive(Debug)]
pub(crate) struct Operators {
    stop: Arc<AtomicBool>,
    working: Vec<JoinHandle<Result<usize>>>,
}

impl Operators {
    /// So many begin to ask at `api`, one after the other within a second.
    pub(crate) fn start(count: usize, api: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let working = (0..count).map(|index| {
            let stop = stop.clone();
            let (index, count) = (u32::try_from(index), u32::try_from(count));
            let offset = EVERY * index.unwrap_or(0) / count.unwrap_or(1).max(1);
            thread::spawn(move || work(api, offset, &stop))
        });
        let working = working.collect();
        Self { stop, working }
    }

    /// Ends them.
    ///
    /// # Errors
    /// When one was not answered.
    pub(crate) fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for operator in self.working {
            let Ok(answers) = operator.join() else { bail!("an operator panicked") };
            if answers? == 0 {
                bail!("an operator was not answered");
            }
        }
        Ok(())
    }
}

fn work(api: SocketAddr, offset: Duration, stop: &AtomicBool) -> Result<usize> {
    let mut next = Instant::now() + offset;
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        for path in ASKED {
            let body = fetch(api, path).with_context(|| format!("asking for {path}"))?;
            answers += usize::from(!body.is_empty());
        }
        next += EVERY;
    }
    Ok(answers)
}
