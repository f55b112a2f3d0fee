//! Child processes, each on one core, ended when their owner is done with them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The core that the server has to itself.
pub const SERVER_CORE: u32 = 0;
/// The core of publisher and viewers.
pub const CLIENT_CORE: u32 = 1;
/// How long a server may take until it accepts.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks whether it does.
const START_STEP: Duration = Duration::from_micros(500);

/// A child process that is ended when its owner is done with it.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    /// Starts `program` on one core, with as many file descriptors as the system allows.
    ///
    /// # Errors
    /// When a shell cannot be started.
    pub fn start(core: u32, program: &Path, arguments: &[String]) -> Result<Self> {
        pinned(core, program, arguments).spawn().map(Self).context("starting a program")
    }

    /// As [`Guard::start`], and waits for the first line of its standard output.
    ///
    /// # Errors
    /// When it ends without one.
    pub fn start_and_read(
        core: u32,
        program: &Path,
        arguments: &[String],
    ) -> Result<(Self, String)> {
        let mut child = pinned(core, program, arguments).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no standard output")?;
        let process = Self(child);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            bail!("{} ended at once", program.display());
        }
        Ok((process, line))
    }

    /// Its process id: the shell and `taskset` replace themselves.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until `ready` finds something.
    ///
    /// # Errors
    /// When the process ends before that, or takes too long.
    pub fn wait<T>(&mut self, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        while begun.elapsed() < START_TIMEOUT {
            if let Some(found) = ready() {
                return Ok(found);
            }
            if self.has_ended() {
                bail!("the server ended at once");
            }
            std::thread::sleep(START_STEP);
        }
        bail!("the server was not ready after {START_TIMEOUT:?}")
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either failure.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command that runs `program` on one core.
#[must_use]
pub fn pinned(core: u32, program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n \"$(ulimit -Hn)\"; core=$1; shift; exec taskset -c \"$core\" \"$@\"",
        ])
        .args(["sh", &core.to_string()])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
