//! The servers under test, each started fresh on its own port and ended with its case.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The core that the server has to itself.
pub const SERVER_CORE: u32 = 0;
/// The core of publisher and viewers.
pub const CLIENT_CORE: u32 = 1;
/// How long a server may take until it accepts.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bin/floor`, writing every so many milliseconds.
    Floor {
        /// Milliseconds between two writes.
        cadence: u32,
    },
    /// nginx with its RTMP module, as Debian packages it.
    Nginx,
    /// This server.
    Headwater {
        /// Milliseconds after which the oldest unsent byte is sent, if not the default.
        flush: Option<u32>,
    },
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The directory of the bench's own programs.
    pub bench: PathBuf,
    /// The server's program.
    pub headwater: PathBuf,
}

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

/// A server that accepts connections.
#[derive(Debug)]
pub struct Server {
    /// Its process.
    pub process: Guard,
    /// Where it takes and gives RTMP; for the floor, where it writes.
    pub rtmp: u16,
    /// Where it gives FLV over HTTP and WebSocket.
    pub http: Option<u16>,
}

impl Server {
    /// Starts a server with its files in `directory`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(kind: Kind, bitrate: u32, programs: &Programs, directory: &Path) -> Result<Self> {
        match kind {
            Kind::Floor { cadence } => floor(cadence, bitrate, programs),
            Kind::Nginx => nginx(directory),
            Kind::Headwater { flush } => headwater(programs, flush, directory),
        }
    }
}

fn floor(cadence: u32, bitrate: u32, programs: &Programs) -> Result<Server> {
    let arguments = ["--cadence", &cadence.to_string(), "--bitrate", &bitrate.to_string()];
    let arguments = arguments.map(str::to_owned);
    let program = programs.bench.join("floor");
    let (process, line) = Guard::start_and_read(SERVER_CORE, &program, &arguments)?;
    let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
    Ok(Server { process, rtmp: port.context("the floor names no port")?, http: None })
}

fn nginx(directory: &Path) -> Result<Server> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let shown = directory.display();
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n\
         daemon off; master_process off; pid {shown}/nginx.pid; error_log {shown}/error.log warn;\n\
         worker_rlimit_nofile 65536;\n\
         events {{ worker_connections 16384; }}\n\
         rtmp {{ access_log off; server {{ listen 127.0.0.1:{port};\n\
         application live {{ live on; }} }} }}\n"
    );
    let path = directory.join("nginx.conf");
    fs::write(&path, config)?;
    let arguments = ["-p", &shown.to_string(), "-c", &path.display().to_string()];
    let process = Guard::start(SERVER_CORE, Path::new("nginx"), &arguments.map(str::to_owned))?;
    let mut server = Server { process, rtmp: port, http: None };
    wait(&mut server.process, || TcpStream::connect(("127.0.0.1", port)).ok().map(drop))?;
    Ok(server)
}

/// Two ports that the system chooses; without the others, so that nothing is in the way.
const HEADWATER_LISTENERS: [&str; 5] = [
    "rtmp.listen=127.0.0.1:0",
    "rtmp.tls_listen=[]",
    "http.listen=127.0.0.1:0",
    "http.tls_listen=[]",
    "api.listen=127.0.0.1:0",
];

fn headwater(programs: &Programs, flush: Option<u32>, directory: &Path) -> Result<Server> {
    let ready = directory.join("ready.json");
    let mut arguments = vec!["serve".to_owned()];
    let flush = flush.map(|millis| format!("stream.flush_after={millis}ms"));
    for setting in HEADWATER_LISTENERS.map(str::to_owned).into_iter().chain(flush) {
        arguments.extend(["--set".to_owned(), setting]);
    }
    arguments.extend(["--ready-file".to_owned(), ready.display().to_string()]);
    let mut process = Guard::start(SERVER_CORE, &programs.headwater, &arguments)?;
    let ports = wait(&mut process, || {
        let text = fs::read(&ready).ok()?;
        serde_json::from_slice::<serde_json::Value>(&text).ok()
    })?;
    let port = |name: &str| ports.get(name)?.as_u64().and_then(|port| u16::try_from(port).ok());
    let rtmp = port("rtmp").context("the ready file names no RTMP port")?;
    Ok(Server { process, rtmp, http: port("http") })
}

fn wait<T>(process: &mut Guard, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
    let begun = Instant::now();
    while begun.elapsed() < START_TIMEOUT {
        if let Some(found) = ready() {
            return Ok(found);
        }
        if process.has_ended() {
            bail!("the server ended at once");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the server was not ready after {START_TIMEOUT:?}")
}
