//! Has a server relay streams from another one, takes what it pushes on, and prints what arrived as
//! JSON.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use headwater_bench::load::Plan;
use headwater_bench::relays::{self, Ends, Over};
use headwater_bench::target::Target;

/// Order a pull and a push of each stream, and count what arrives.
#[derive(Debug, Parser)]
struct Arguments {
    /// The API of the server that relays.
    api: SocketAddr,
    /// Where another one gives live/s0, live/s1 and so on over RTMP.
    rtmp: SocketAddr,
    /// Where it gives them over RTSP.
    rtsp: SocketAddr,
    /// What relays speak.
    #[arg(long, value_enum, default_value = "both")]
    over: Over,
    /// Streams that are pulled and pushed.
    #[arg(long, default_value_t = 100)]
    streams: usize,
    /// Bits per second of each stream, for the bytes due.
    #[arg(long, default_value_t = 0)]
    bitrate: u32,
    /// Streams that are ordered per second.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Seconds between the first frames of the last stream and the window.
    #[arg(long, default_value_t = 3.0)]
    settle: f64,
    /// Seconds to measure; at most 80, for the frame numbers wrap.
    #[arg(long, default_value_t = 10.0)]
    window: f64,
    /// Milliseconds between two reads of a socket; latencies are up to this much too high.
    #[arg(long, default_value_t = 4.0)]
    sweep: f64,
    /// The process of the server that relays, to read its CPU time and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// A process that feeds it, so that it isn't taken for a disturbance.
    #[arg(long)]
    feeding: Vec<u32>,
}

/// Silence that counts as a stall.
const STALL: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let Arguments { api, rtmp, rtsp, over, streams, .. } = arguments;
    let plan = Plan {
        target: Target::Raw { address: rtmp.to_string() },
        streams,
        viewers: streams,
        bitrate: arguments.bitrate,
        slow: 0,
        slow_rate: 0.0,
        stalled: 0,
        join_rate: arguments.rate,
        settle: Duration::try_from_secs_f64(arguments.settle)?,
        window: Duration::try_from_secs_f64(arguments.window.min(80.0))?,
        sweep: Duration::try_from_secs_f64(arguments.sweep / 1000.0)?,
        stall: STALL,
        server: arguments.pid,
        feeding: arguments.feeding,
    };
    let outcome = relays::run(&Ends { api, rtmp, rtsp, over }, &plan)?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
