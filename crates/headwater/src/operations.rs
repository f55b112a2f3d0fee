//! What the API has the server do.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use config::Config;
use config::values::{Level, RecordFormat};
use control::logs::Logs;
use control::operations::{Operations, RecordError, Recorded, Recording, Reloaded};
use hub::{EndReason, NameError, StreamName, StreamState};
use ipnet::IpNet;
use parking_lot::RwLock;
use session::Ps;
use session::gb28181::Devices;
use session::record::{self, Format};
use session::relay::Relay;
use session::{Context, Hls, Recorder};
use tokio::sync::{mpsc, oneshot};

use crate::recordings;

/// Asks whoever has started the server to read the configuration again.
pub type ReloadRequest = oneshot::Sender<Result<Reloaded, String>>;

/// Whoever gets streams, from elsewhere or from devices, and whoever records them.
pub(crate) struct Parts {
    pub(crate) context: Arc<Context>,
    pub(crate) hls: Arc<Hls>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) ps: Arc<Ps>,
    /// Nothing where no device can register.
    pub(crate) devices: Option<Arc<Devices>>,
}

/// The server's parts, as far as the API needs them.
pub(crate) struct House {
    pub(crate) context: Arc<Context>,
    hls: Arc<Hls>,
    recorder: Arc<Recorder>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) ps: Arc<Ps>,
    pub(crate) devices: Option<Arc<Devices>>,
    config: RwLock<Arc<Config>>,
    reloads: Option<mpsc::Sender<ReloadRequest>>,
    logs: Arc<Logs>,
    stopping: AtomicBool,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
    }
}

impl House {
    pub(crate) fn new(
        parts: Parts,
        config: Arc<Config>,
        reloads: Option<mpsc::Sender<ReloadRequest>>,
        logs: Arc<Logs>,
    ) -> Arc<Self> {
        let Parts { context, hls, recorder, relay, ps, devices } = parts;
        let (config, stopping) = (RwLock::new(config), AtomicBool::new(false));
        let house =
            Self { context, hls, recorder, relay, ps, devices, config, reloads, logs, stopping };
        Arc::new(house)
    }

    /// The stream that a path means; an application is put before a name without one.
    pub(crate) fn name(&self, path: &str) -> Result<StreamName, NameError> {
        let path = path.trim_matches('/');
        let (app, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.context.settings.load().stream_name(app, name)
    }

    /// How long peers get to go when the server stops.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.config.read().server.drain_timeout.get()
    }

    /// Another configuration holds.
    pub(crate) fn set_config(&self, config: Arc<Config>) {
        *self.config.write() = config;
    }

    /// The server takes nobody in any more.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// How long whoever has a recording begun waits for its first file: as long as key frames are
/// usually apart, and shorter than clients of HTTP wait.
const FIRST_FILE: Duration = Duration::from_secs(5);

/// Why a recording ended before its first file was there.
fn not_recorded(format: Format, error: &record::Error) -> RecordError {
    let remedy = error.remedy();
    match error {
        record::Error::Create { .. } | record::Error::Write { .. } => {
            let setting = format.as_str();
            let text = format!("{error}: {remedy}, or let record.{setting} name another place");
            if error.is_full() { RecordError::Full(text) } else { RecordError::File(text) }
        }
        record::Error::Nothing(_) | record::Error::Ended => {
            RecordError::Nothing(format!("{error}: {remedy}"))
        }
        _ => RecordError::File(format!("{error}: {remedy}")),
    }
}

/// The formats of single files.
fn single(format: RecordFormat) -> Option<Format> {
    match format {
        RecordFormat::Flv => Some(Format::Flv),
        RecordFormat::Ts => Some(Format::Ts),
        RecordFormat::Mp4 => Some(Format::Mp4),
        RecordFormat::Hls => None,
    }
}

impl Operations for House {
    fn connections(&self) -> usize {
        self.context.admission.total()
    }

    fn is_ready(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed)
    }

    fn block(&self, network: IpNet, duration: Option<Duration>) -> bool {
        let blocked = self.context.admission.block(network, duration, Instant::now());
        for session in self.context.sessions.all().iter().filter(|_| blocked) {
            let is_within = |peer: IpAddr| network.contains(&peer.to_canonical());
            if session.peer().is_some_and(|peer| is_within(peer.ip())) {
                session.dispose(EndReason::Kicked);
            }
        }
        blocked
    }

    fn unblock(&self, network: IpNet) -> bool {
        self.context.admission.unblock(network)
    }

    fn blocked(&self) -> Vec<(IpNet, Option<Instant>)> {
        let all = self.context.admission.blocked(Instant::now());
        all.into_iter().map(|blocked| (blocked.network, blocked.until)).collect()
    }

    fn recorded(&self, stream: &StreamName) -> Vec<RecordFormat> {
        let mut formats: Vec<_> = self
            .recorder
            .formats(stream)
            .into_iter()
            .map(|format| match format {
                Format::Flv => RecordFormat::Flv,
                Format::Ts => RecordFormat::Ts,
                Format::Mp4 => RecordFormat::Mp4,
            })
            .collect();
        let found = self.context.registry.find(stream);
        let is_there = found.is_some_and(|found| found.lock().state() != StreamState::Idle);
        if is_there && self.hls.is_recorded(stream) {
            formats.push(RecordFormat::Hls);
        }
        formats
    }

    fn record(&self, stream: &StreamName, format: RecordFormat) -> Recorded {
        let begin = || {
            let format = single(format).ok_or(RecordError::Setting)?;
            let found = self.context.registry.find(stream).ok_or(RecordError::Absent)?;
            if found.lock().state() != StreamState::Live {
                return Err(RecordError::Absent);
            }
            let beginning = self.recorder.begin(stream, &found, format);
            Ok((format, beginning.ok_or(RecordError::Already)?))
        };
        let begun = begin();
        Box::pin(async move {
            let (format, beginning) = begun?;
            beginning.wait(FIRST_FILE).await.map_err(|error| not_recorded(format, &error))
        })
    }

    fn stop_recording(&self, stream: &StreamName, format: RecordFormat) -> Result<(), RecordError> {
        let format = single(format).ok_or(RecordError::Setting)?;
        if self.recorder.end(stream, format) { Ok(()) } else { Err(RecordError::Not) }
    }

    fn recordings(&self) -> Pin<Box<dyn Future<Output = Vec<Recording>> + Send>> {
        Box::pin(recordings::find(self.context.clone()))
    }

    fn settings(&self) -> toml::Table {
        self.config.read().without_secrets()
    }

    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<Reloaded, String>> + Send>> {
        let reloads = self.reloads.clone();
        Box::pin(async move {
            let nobody = || "this server has no configuration that could be read again".to_owned();
            let reloads = reloads.ok_or_else(nobody)?;
            let (sender, answer) = oneshot::channel();
            reloads.send(sender).await.map_err(|_| nobody())?;
            answer.await.map_err(|_| nobody())?
        })
    }

    fn log_level(&self) -> Level {
        self.logs.level()
    }

    fn set_log_level(&self, level: Level) {
        self.logs.set_level(level);
    }
}
