//! The machine that measures.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process;

/// The processor's name.
///
/// # Errors
/// When `/proc` is not there.
pub fn processor() -> Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map(|line| line.trim_start_matches([' ', '\t', ':']));
    Ok(model.unwrap_or("unknown processor").to_owned())
}

/// The kernel's release.
///
/// # Errors
/// When `/proc` is not there.
pub fn kernel() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned())
}

/// How long the machine is watched at a time.
const LOOK: Duration = Duration::from_secs(1);
/// It is quiet when it does less than this meanwhile.
const QUIET: Duration = Duration::from_millis(50);

/// Waits until nothing else runs, but no longer than `patience`.
///
/// # Errors
/// When `/proc` is not there.
pub fn wait_for_quiet(patience: Duration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        let before = process::busy()?;
        std::thread::sleep(LOOK);
        if process::busy()? - before < QUIET {
            break;
        }
    }
    Ok(())
}
