//! Sends program streams over RTP to ports that it orders, as cameras of GB/T 28181 do.

use std::net::SocketAddr;

use anyhow::Result;
use clap::Parser;
use headwater_bench::devices::{self, Over};

/// Send program streams, every picture stamped with the wall clock.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server's API.
    api: SocketAddr,
    /// The path that streams get at the server; {} is the stream's number.
    #[arg(long, default_value = "live/s{}")]
    stream: String,
    #[arg(long, default_value_t = 1)]
    devices: usize,
    /// Bits per second of picture and sound together.
    #[arg(long, default_value_t = 500_000)]
    bitrate: u32,
    /// What packets travel on.
    #[arg(long, value_enum, default_value = "both")]
    over: Over,
}

fn main() -> Result<()> {
    let Arguments { api, stream, devices, bitrate, over } = Arguments::parse();
    devices::run(api, &stream, devices, bitrate, over, || println!("{devices} devices send"))
}
