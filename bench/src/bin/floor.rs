//! The floor: what it costs to write these bytes to that many sockets, and nothing else.
//!
//! Accepts connections, and at every tick writes the FLV tags that came due since the last one to
//! each of them, from one buffer. No protocol, no bookkeeping, no wake-ups.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::BytesMut;
use clap::Parser;
use headwater_bench::mark::{Mark, wall_clock};
use testkit::{Items, Programme, TagKind};

/// Write the same bytes at the same cadence to whoever connects.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Milliseconds between two writes.
    #[arg(long, default_value_t = 40)]
    cadence: u64,
    /// Bits per second of picture and sound together.
    #[arg(long, default_value_t = 1_000_000)]
    bitrate: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(&arguments.listen)?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let programme = Programme::live(arguments.bitrate);
    let mut items = programme.items();
    let mut viewers: Vec<TcpStream> = Vec::new();
    let mut number = 0;
    let mut greeting = BytesMut::from(&b"FLV\x01\x05\0\0\0\x09\0\0\0\0"[..]);
    programme.config().iter().for_each(|item| greeting.extend_from_slice(&item.flv_tag()));
    let begun = Instant::now();
    for tick in 1.. {
        let due = Duration::from_millis(tick * arguments.cadence);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        accept(&listener, &greeting, &mut viewers)?;
        let batch = batch(&mut items, due, &mut number);
        viewers.retain_mut(|viewer| match viewer.write(&batch) {
            Ok(length) => length == batch.len(),
            Err(error) => error.kind() == ErrorKind::Interrupted,
        });
    }
    Ok(())
}

fn accept(listener: &TcpListener, greeting: &[u8], viewers: &mut Vec<TcpStream>) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((mut viewer, _)) => {
                viewer.set_nodelay(true)?;
                viewer.set_nonblocking(true)?;
                viewer.write_all(greeting)?;
                viewers.push(viewer);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The tags that came due, each stamped with the moment that it did: the wait for the tick is
/// part of the latency.
fn batch(items: &mut Items, due: Duration, number: &mut u16) -> BytesMut {
    let now = wall_clock();
    let due = u64::try_from(due.as_millis()).unwrap_or(u64::MAX);
    let mut batch = BytesMut::new();
    while let Some(time) = items.next_time().filter(|&time| time <= due) {
        let mark = Mark { sent: now - 1000 * (due - time), number: *number };
        let Some(item) = items.next_marked(mark.pack()) else { break };
        *number = number.wrapping_add(u16::from(item.kind == TagKind::Video));
        batch.extend_from_slice(&item.flv_tag());
    }
    batch
}
