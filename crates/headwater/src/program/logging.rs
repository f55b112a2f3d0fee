//! Logs to the terminal and to a rotating file.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// What is logged, and where to.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) level: LevelFilter,
    pub(super) terminal: bool,
    pub(super) json: bool,
    pub(super) file: Option<File>,
}

/// A log file that begins anew now and then.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) rotation: Rotation,
    /// How many old files are kept; 0 for all.
    pub(super) keep: usize,
}

/// Keeps the logs going; dropped, what is still in memory is written.
pub(super) struct Logs {
    level: reload::Handle<LevelFilter, Registry>,
    _writer: Option<WorkerGuard>,
}

impl Logs {
    /// Changes what is logged from now on.
    pub(super) fn set_level(&self, level: LevelFilter) {
        // Only fails when logging has ended.
        let _ = self.level.reload(level);
    }
}

/// Begins to log.
pub(super) fn start(options: &Options) -> Result<Logs> {
    let (level, handle) = reload::Layer::new(options.level);
    let mut layers: Vec<Box<dyn Layer<_> + Send + Sync>> = Vec::new();
    if options.terminal {
        // Colours only where somebody sees them: files and journals get plain text.
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let layer = fmt::layer().with_target(false).with_ansi(colours);
        let layer = layer.with_writer(std::io::stderr);
        layers.push(if options.json { layer.json().boxed() } else { layer.boxed() });
    }
    let mut guard = None;
    if let Some(file) = &options.file {
        let (writer, worker) = tracing_appender::non_blocking(open(file)?);
        guard = Some(worker);
        let layer = fmt::layer().with_target(false).with_ansi(false).with_writer(writer);
        layers.push(if options.json { layer.json().boxed() } else { layer.boxed() });
    }
    tracing_subscriber::registry().with(level).with(layers).init();
    Ok(Logs { level: handle, _writer: guard })
}

fn open(file: &File) -> Result<RollingFileAppender> {
    let folder = file.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let name = file.path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = file.path.extension().unwrap_or_default().to_string_lossy();
    let mut builder = RollingFileAppender::builder()
        .rotation(file.rotation.clone())
        .filename_prefix(name)
        .filename_suffix(if extension.is_empty() { "log".into() } else { extension });
    if file.keep > 0 {
        builder = builder.max_log_files(file.keep);
    }
    builder
        .build(folder)
        .with_context(|| format!("cannot write logs to {}; set log.file", file.path.display()))
}
