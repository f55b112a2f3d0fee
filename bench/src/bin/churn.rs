//! Lets viewers come and go at random, and prints what the server kept of them, as JSON.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use headwater_bench::churn::{self, Plan};
use headwater_bench::target::Target;

/// Let viewers come and go.
#[derive(Debug, Parser)]
struct Arguments {
    /// rtmp://…, http://….flv or ws://….flv, each also with TLS.
    target: Target,
    /// Viewers at a time.
    #[arg(long, default_value_t = 200)]
    viewers: usize,
    /// Seconds that a viewer stays on average.
    #[arg(long, default_value_t = 5.0)]
    lifetime: f64,
    /// Seconds that it all lasts.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// The server's process.
    #[arg(long)]
    pid: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let outcome = churn::run(&Plan {
        target: arguments.target.numbered(0),
        viewers: arguments.viewers,
        lifetime: Duration::try_from_secs_f64(arguments.lifetime)?,
        length: Duration::try_from_secs_f64(arguments.seconds)?,
        server: arguments.pid,
    })?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
