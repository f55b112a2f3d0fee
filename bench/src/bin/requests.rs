//! Asks a server for playlists and segments, and prints what came as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use headwater_bench::hls;

/// Ask over kept connections, and count.
#[derive(Debug, Parser)]
struct Arguments {
    /// As fast as answers come, or all for the same part.
    mode: Mode,
    server: SocketAddr,
    /// The server's process, to read its CPU time and memory.
    pid: u32,
    connections: usize,
    /// Seconds to measure.
    window: f64,
    /// The playlist, and segments.
    #[arg(required = true)]
    paths: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Requests,
    Blocked,
}

fn main() -> Result<()> {
    let Arguments { mode, server, pid, connections, window, paths } = Arguments::parse();
    let window = Duration::try_from_secs_f64(window)?;
    let found = match mode {
        Mode::Requests => hls::ask_on(server, pid, connections, window, &paths),
        Mode::Blocked => hls::wait_on(server, pid, connections, window, &paths[0]),
    }?;
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}
