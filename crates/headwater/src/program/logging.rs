//! Logs to the terminal and to a rotating file.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use config::values::{Level, Rotation};
use control::logs::{Line, LogFeed, Logs, rfc3339};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context as Scope, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

use super::log_file::LogFile;

/// What is logged, and where to.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) level: Level,
    pub(super) terminal: bool,
    pub(super) json: bool,
    pub(super) file: Option<File>,
}

/// A log file that begins anew now and then.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) rotation: Rotation,
    /// How many files are kept, the current one included.
    pub(super) keep: usize,
}

/// Keeps the logs going; dropped, what is still in memory is written.
pub(super) struct Logging {
    /// For those who look at the log, and change its level.
    pub(super) logs: Arc<Logs>,
    _writer: Option<WorkerGuard>,
}

/// Begins to log.
pub(super) fn start(options: &Options) -> Result<Logging> {
    let (level, handle) = reload::Layer::new(filter(options.level));
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
    let feed = Arc::new(LogFeed::default());
    layers.push(ForThePage(feed.clone()).boxed());
    tracing_subscriber::registry().with(level).with(layers).init();
    let apply = move |level| {
        // Only fails when logging has ended.
        let _: Result<(), _> = handle.reload(filter(level));
    };
    let logs = Arc::new(Logs::new(feed, options.level, Box::new(apply)));
    Ok(Logging { logs, _writer: guard })
}

/// What is logged at a level. Libraries talk of themselves at length: they are heard when they warn,
/// and when everything is to be heard.
fn filter(level: Level) -> Targets {
    let ours = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
        Level::Off => LevelFilter::OFF,
    };
    let others = if level == Level::Trace { ours } else { ours.min(LevelFilter::WARN) };
    Targets::new().with_target("headwater", ours).with_default(others)
}

/// Hands lines to those who look at the log through the API.
struct ForThePage(Arc<LogFeed>);

impl<S: Subscriber> Layer<S> for ForThePage {
    fn on_event(&self, event: &Event<'_>, _context: Scope<'_, S>) {
        let mut line = Line {
            time: rfc3339(SystemTime::now()),
            level: event.metadata().level().as_str(),
            message: String::new(),
            fields: BTreeMap::new(),
        };
        event.record(&mut Fields(&mut line));
        self.0.push(line);
    }
}

/// Longer texts are cut: the page is for looking, files are for keeping.
const MAX_FIELD: usize = 2_000;

struct Fields<'a>(&'a mut Line);

impl Fields<'_> {
    fn put(&mut self, field: &Field, text: String) {
        let text = text.chars().take(MAX_FIELD).collect();
        if field.name() == "message" {
            self.0.message = text;
        } else {
            self.0.fields.insert(field.name(), text);
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

fn open(file: &File) -> Result<LogFile> {
    LogFile::open(&file.path, file.rotation, file.keep, SystemTime::now())
        .with_context(|| format!("cannot write logs to {}; set log.file", file.path.display()))
}

#[cfg(test)]
mod tests {
    use tracing::Level as At;

    use super::*;

    #[test]
    fn libraries_are_heard_when_they_warn() {
        for (level, target, at, heard) in [
            (Level::Debug, "headwater_net::shard", At::DEBUG, true),
            (Level::Debug, "hyper::proto", At::DEBUG, false),
            (Level::Info, "hyper::proto", At::WARN, true),
            (Level::Error, "hyper::proto", At::WARN, false),
            (Level::Trace, "hyper::proto", At::TRACE, true),
            (Level::Off, "headwater", At::ERROR, false),
        ] {
            assert_eq!(filter(level).would_enable(target, &at), heard, "{level} {target} {at}");
        }
    }
}
