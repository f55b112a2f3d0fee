//! How long a server takes until it accepts a publisher, and what it costs while idle.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::process;
use crate::rtmp::Publisher;
use crate::server::{Kind, Programs, Server};

/// How often the start is repeated; the median counts.
const STARTS: usize = 5;
/// Between the first sign of life and the idle window.
const SETTLE: Duration = Duration::from_secs(1);
/// Long enough that one tick of CPU time is 0.2 % of it.
const WINDOW: Duration = Duration::from_secs(5);

/// What starting and idling cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Start {
    /// From before the fork to the first accepted publisher, in milliseconds; a few of them are
    /// the shell's that pins the process to its core.
    pub ready: f64,
    /// The quickest start.
    pub quickest: f64,
    /// The slowest start.
    pub slowest: f64,
    /// Resident memory without any connection, in bytes.
    pub resident: u64,
    /// What of it is the process's own, in bytes.
    pub anonymous: u64,
    /// How much of a core it takes without any connection.
    pub load: f64,
}

/// Starts the server several times, and then watches one that nobody talks to.
///
/// # Errors
/// When it does not come up.
pub fn measure(kind: Kind, programs: &Programs) -> Result<Start> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let directory = tempfile::tempdir()?;
        let begun = Instant::now();
        let mut server = Server::spawn(kind, 0, false, programs, directory.path())?;
        let address = format!("127.0.0.1:{}", server.rtmp);
        let publisher = server.process.wait(|| Publisher::open(&address, "live", "first").ok())?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        drop(publisher);
    }
    times.sort_by(f64::total_cmp);
    let at = |index: usize| times.get(index).copied().unwrap_or(f64::NAN);

    let directory = tempfile::tempdir()?;
    let server = Server::start(kind, 0, false, programs, directory.path())?;
    let pid = server.process.pid();
    std::thread::sleep(SETTLE);
    let (before, begun) = (process::cpu(pid)?, Instant::now());
    std::thread::sleep(WINDOW);
    let used = process::cpu(pid)?.saturating_sub(before);
    Ok(Start {
        ready: at(STARTS / 2),
        quickest: at(0),
        slowest: at(STARTS - 1),
        resident: process::resident(pid)?,
        anonymous: process::anonymous(pid)?,
        load: used.as_secs_f64() / begun.elapsed().as_secs_f64(),
    })
}
