//! `headwater serve`: the server until it is told to stop.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use config::values::LogFormat;
use config::{Config, Loaded, Sources};
use control::logs::Logs;
use control::operations::Reloaded;
use headwater::{Addresses, Options, ReloadRequest, Server};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::{banner, logging};

pub(super) const HELP: &str = "Signals:
  SIGTERM, SIGINT, SIGUSR1, SIGUSR2
                    stop: peers are told, and get time to go (server.drain_timeout)
  SIGHUP            read the configuration again; a bad one is refused, and the old one stays

Settings come from the file, then from the environment (HEADWATER_RTMP__LISTEN=:1935), then from
--set; `headwater config print` shows them all.";

/// Run the server.
#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) source: Source,
    /// Write the ports as JSON to this file once the server is up (for scripts).
    #[arg(long, value_name = "FILE")]
    pub(super) ready_file: Option<PathBuf>,
    /// Print no URLs at start.
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// Where the configuration comes from.
#[derive(Args, Clone)]
pub(super) struct Source {
    /// A configuration: our TOML, or a JSON file of lal's.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Change to this directory first.
    #[arg(short = 'p', long, value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
    /// Set one key, such as rtmp.listen=:1936; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

impl Source {
    /// Changes the directory, if so wanted.
    pub(super) fn enter(&self) -> Result<()> {
        if let Some(directory) = &self.directory {
            std::env::set_current_dir(directory)
                .with_context(|| format!("cannot change to {}", directory.display()))?;
        }
        Ok(())
    }

    /// Reads the configuration.
    pub(super) fn load(&self) -> Result<Loaded> {
        let sources = Sources {
            file: self.file.clone(),
            arguments: self.set.clone(),
            ..Sources::from_environment()
        };
        Ok(sources.load()?)
    }
}

impl Serve {
    pub(super) fn run(&self) -> Result<()> {
        run(&self.source, self.ready_file.as_deref(), self.quiet, |_, _| {})
    }
}

/// Runs a server; `started` is called when it is up.
pub(super) fn run(
    source: &Source,
    ready_file: Option<&Path>,
    quiet: bool,
    started: impl FnOnce(&Server, &Addresses),
) -> Result<()> {
    source.enter()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()?;
    // Before all else: a signal that comes while the server starts is for the server.
    let signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let loaded = source.load()?;
    let logs = logging::start(&log_options(&loaded.config))?;
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    raise_file_limit();
    runtime.block_on(async {
        let (sender, reloads) = mpsc::channel(1);
        let mut options = Options::from_config(&loaded.config);
        (options.reloads, options.logs) = (Some(sender), logs.logs.clone());
        let server = Server::start(&options)?;
        let addresses = server.addresses().clone();
        if let Some(file) = ready_file {
            write_ready(file, &addresses)?;
        }
        if !quiet {
            print!("{}", banner::text(&server, "live/me"));
        }
        started(&server, &addresses);
        let drain_timeout =
            supervise(&server, source, loaded.config, &logs.logs, reloads, signals).await;
        server.drain(drain_timeout).await;
        info!("stopped");
        Ok(())
    })
}

/// What the process is told.
struct Signals {
    /// Each of these stops the server; SIGUSR1 and SIGUSR2 are what stops lal.
    stop: [Signal; 4],
    hang_up: Signal,
}

impl Signals {
    /// Takes notice of them from now on. Must be called inside a tokio runtime.
    fn listen() -> io::Result<Self> {
        let stop = [
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::user_defined1())?,
            signal(SignalKind::user_defined2())?,
        ];
        Ok(Self { stop, hang_up: signal(SignalKind::hangup())? })
    }
}

/// Waits for any of some signals.
async fn any(signals: &mut [Signal]) {
    poll_fn(|context| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Waits for signals: reads the configuration again, or returns when the server is to stop, with
/// the time that peers get to go.
async fn supervise(
    server: &Server,
    source: &Source,
    config: Config,
    logs: &Logs,
    mut reloads: mpsc::Receiver<ReloadRequest>,
    signals: Signals,
) -> Duration {
    let Signals { mut stop, mut hang_up } = signals;
    let mut known = Known { latest: config.clone(), at_start: config };
    loop {
        tokio::select! {
            () = any(&mut stop) => return known.latest.server.drain_timeout.get(),
            _ = hang_up.recv() => {
                if let Err(error) = known.reload(server, source, logs) {
                    error!("the new configuration is refused, the old one stays: {error}");
                }
            }
            Some(asked) = reloads.recv() => {
                let outcome = known.reload(server, source, logs);
                if let Err(error) = &outcome {
                    warn!("the new configuration is refused, the old one stays: {error}");
                }
                // Whoever asked may have gone.
                let _ = asked.send(outcome);
            }
        }
    }
}

/// What was configured.
struct Known {
    /// What holds for keys that only a start reads.
    at_start: Config,
    /// What holds for all others.
    latest: Config,
}

impl Known {
    /// Reads the configuration again; the error says why the old one stays.
    fn reload(
        &mut self,
        server: &Server,
        source: &Source,
        logs: &Logs,
    ) -> Result<Reloaded, String> {
        let loaded = source.load().map_err(|error| format!("{error:#}"))?;
        let needs_restart = self.at_start.diff(&loaded.config).needs_restart;
        let config = loaded.config.while_running(&self.at_start);
        let options = Options::from_config(&config);
        server.reload(&options).map_err(|error| error.to_string())?;
        logs.set_level(config.log.level);
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        let applied = self.latest.diff(&config).applied;
        info!(?applied, "configuration read again");
        if !needs_restart.is_empty() {
            let keys = &needs_restart;
            warn!(?keys, "these settings hold when the server starts again");
        }
        self.latest = config;
        Ok(Reloaded { applied, needs_restart, warnings: loaded.warnings })
    }
}

fn log_options(config: &Config) -> logging::Options {
    let log = &config.log;
    logging::Options {
        level: log.level,
        terminal: log.to_terminal,
        json: log.format == LogFormat::Json,
        file: log.file.get().map(|path| logging::File {
            path: path.to_owned(),
            rotation: log.rotation,
            keep: usize::try_from(log.keep_files).unwrap_or(usize::MAX),
        }),
    }
}

/// Thousands of viewers need as many descriptors: takes what the system allows.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit < 4096 => {
            warn!(limit, "few files may be open at once: more viewers need a higher `ulimit -n`");
        }
        Ok(_) => {}
        Err(error) => warn!(%error, "cannot raise the limit of open files"),
    }
}

/// Writes the file whole or not at all, so that whoever waits for it never reads a half.
fn write_ready(file: &Path, addresses: &Addresses) -> Result<()> {
    let port = |list: &[SocketAddr]| list.first().map(SocketAddr::port);
    let text = json!({
        "rtmp": port(&addresses.rtmp),
        "rtmps": port(&addresses.rtmps),
        "rtsp": port(&addresses.rtsp),
        "rtsps": port(&addresses.rtsps),
        "rtsp_ws": port(&addresses.rtsp_ws),
        "http": port(&addresses.http),
        "https": port(&addresses.https),
        "api": port(&addresses.api),
        "api_tls": port(&addresses.api_tls),
        "rtsp_wss": port(&addresses.rtsp_wss),
        "sip": addresses.sip.map(|at| at.port()),
        "ps_shared": addresses.ps_shared.map(|at| at.port()),
        "pid": std::process::id(),
    });
    let partial = file.with_extension("partial");
    std::fs::write(&partial, text.to_string())
        .and_then(|()| std::fs::rename(&partial, file))
        .with_context(|| format!("cannot write {}", file.display()))
}
