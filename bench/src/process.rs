//! What a process costs, from `/proc` (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks per second of `/proc/PID/stat`: 100 on every Linux that matters (`USER_HZ`).
const TICKS: u64 = 100;

/// CPU time that all threads of the process used so far, in user and kernel mode.
///
/// # Errors
/// When there is no such process.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("reading the CPU time")?;
    // The command's name may hold spaces and parentheses; what follows the last one is plain.
    let (_, fields) = stat.rsplit_once(')').context("no command name in stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// Memory of the process that is resident, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS")
}

/// Resident memory that the process has for itself, in bytes: not the pages of its program, of
/// which the kernel maps as many as it likes, shares them, and takes them back when it needs them.
///
/// # Errors
/// When there is no such process.
pub fn anonymous(pid: u32) -> Result<u64> {
    memory(pid, "RssAnon")
}

/// A line of `/proc/PID/status`, in bytes.
fn memory(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading memory")?;
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let value = lines.find_map(|(key, value)| (key == name).then_some(value));
    let kilobytes = value.and_then(|value| value.split_whitespace().next());
    let kilobytes = kilobytes.with_context(|| format!("no {name} in status"))?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

/// How many files the process has open, sockets included.
///
/// # Errors
/// When there is no such process, or it is somebody else's.
pub fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd")).context("counting open files")?.count())
}

/// CPU time that was not idle, of all cores and all processes, since the system started; time that
/// a hypervisor took away included.
///
/// # Errors
/// When `/proc` is not there.
pub fn busy() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("reading the system's CPU time")?;
    let fields = stat.lines().next().and_then(|line| line.strip_prefix("cpu "));
    let fields = fields.context("no line of all cores in stat")?.split_whitespace();
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of user.
    let ticks: Vec<u64> = fields.take(8).map(str::parse).collect::<Result<_, _>>()?;
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok(Duration::from_millis((ticks.iter().sum::<u64>() - idle) * 1000 / TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        let pid = std::process::id();
        assert!(cpu(pid).is_ok());
        assert!(cpu(pid).unwrap() <= busy().unwrap());
        assert!(descriptors(pid).unwrap() >= 3);
        assert!(anonymous(pid).unwrap() > 10_000);
        assert!(resident(pid).unwrap() > anonymous(pid).unwrap());
    }
}
