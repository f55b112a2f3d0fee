//! Plays a stream with many viewers and prints what arrived, as JSON and for people.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use headwater_bench::load::{self, Plan};
use headwater_bench::record::{Found, Row, Section};
use headwater_bench::target::Target;

/// Play with many viewers, and count.
#[derive(Debug, Parser)]
struct Arguments {
    /// rtmp://…, http://….flv, ws://….flv, each also with TLS, rtsp://…, rtspu://… (datagrams), or
    /// tcp://… (the floor); {} is the stream's number.
    target: Target,
    /// Streams that the viewers are spread over.
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Bits per second of each stream, for the bytes due.
    #[arg(long, default_value_t = 0)]
    bitrate: u32,
    #[arg(long, default_value_t = 100)]
    viewers: usize,
    /// Viewers of those that read slowly once they have a key frame.
    #[arg(long, default_value_t = 0)]
    slow: usize,
    /// Bytes per second that those read.
    #[arg(long, default_value_t = 25_000.0)]
    slow_rate: f64,
    /// Viewers beside those that read nothing once they have a key frame.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Viewers that join per second.
    #[arg(long, default_value_t = 200.0)]
    join_rate: f64,
    /// Seconds between the last join and the window.
    #[arg(long, default_value_t = 3.0)]
    settle: f64,
    /// Seconds to measure; at most 80, for the frame numbers wrap.
    #[arg(long, default_value_t = 10.0)]
    window: f64,
    /// Milliseconds between two reads of a socket; latencies are up to this much too high.
    #[arg(long, default_value_t = 4.0)]
    sweep: f64,
    /// Milliseconds of silence that are a stall.
    #[arg(long, default_value_t = 1000.0)]
    stall: f64,
    /// The server's process, to read its CPU time and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// A process that feeds the server, so that it isn't taken for a disturbance.
    #[arg(long)]
    feeding: Vec<u32>,
    /// Print the JSON only.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let plan = Plan {
        target: arguments.target,
        streams: arguments.streams,
        viewers: arguments.viewers,
        bitrate: arguments.bitrate,
        slow: arguments.slow.min(arguments.viewers),
        slow_rate: arguments.slow_rate,
        stalled: arguments.stalled,
        join_rate: arguments.join_rate,
        settle: Duration::try_from_secs_f64(arguments.settle)?,
        window: Duration::try_from_secs_f64(arguments.window.min(80.0))?,
        sweep: Duration::try_from_secs_f64(arguments.sweep / 1000.0)?,
        stall: Duration::try_from_secs_f64(arguments.stall / 1000.0)?,
        server: arguments.pid,
        feeding: arguments.feeding,
    };
    let outcome = load::run(&plan)?;
    println!("{}", serde_json::to_string(&outcome)?);
    if !arguments.json {
        let runs = vec![Ok(Found::Load(outcome))];
        let rows = vec![Row { name: "this run".to_owned(), runs }];
        let (name, title, about) = (String::new(), String::new(), String::new());
        let section = Section { name, title, about, viewers: None, rows, verdicts: Vec::new() };
        eprint!("{}", section.table());
    }
    Ok(())
}
