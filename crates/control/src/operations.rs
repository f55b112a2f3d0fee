//! What the API has done by those who run the server.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use config::values::{Level, RecordFormat};
use hub::StreamName;
use ipnet::IpNet;

use crate::devices::Devices;
use crate::receivers::Receivers;
use crate::relays::Relays;

/// Does what only the server's parts can do.
pub trait Operations: Relays + Receivers + Devices {
    /// Connections there are, streams or not.
    fn connections(&self) -> usize;

    /// Whether the server takes publishers and viewers: it has started, and is not stopping.
    fn is_ready(&self) -> bool;

    /// Blocks an address or a network, for ever without a duration; sessions from there end.
    /// `false` if there are too many already.
    fn block(&self, network: IpNet, duration: Option<Duration>) -> bool;

    /// Blocks it no more; `false` if it was not blocked.
    fn unblock(&self, network: IpNet) -> bool;

    /// What is blocked, and until when.
    fn blocked(&self) -> Vec<(IpNet, Option<Instant>)>;

    /// What a stream is being recorded as.
    fn recorded(&self, stream: &StreamName) -> Vec<RecordFormat>;

    /// Begins to record a stream: done when the first file is there, or when no key frame has come
    /// for it in a few seconds. [`RecordError`] says why it cannot be.
    fn record(&self, stream: &StreamName, format: RecordFormat) -> Recorded;

    /// Records it no more.
    ///
    /// # Errors
    /// [`RecordError::Not`] when it was not recorded.
    fn stop_recording(&self, stream: &StreamName, format: RecordFormat) -> Result<(), RecordError>;

    /// The files of recordings.
    fn recordings(&self) -> Pin<Box<dyn Future<Output = Vec<Recording>> + Send>>;

    /// The settings, secrets hidden.
    fn settings(&self) -> toml::Table;

    /// Reads the configuration again.
    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<Reloaded, String>> + Send>>;

    /// How much is logged.
    fn log_level(&self) -> Level;

    /// Changes how much is logged, until the configuration is read again.
    fn set_log_level(&self, level: Level);
}

/// Whether a recording has begun.
pub type Recorded = Pin<Box<dyn Future<Output = Result<(), RecordError>> + Send>>;

/// Why a recording cannot begin or end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Nobody publishes the stream.
    #[error("nobody publishes this stream")]
    Absent,
    /// It is recorded already.
    #[error("the stream is being recorded in this format already")]
    Already,
    /// It is not recorded.
    #[error("the stream is not being recorded in this format")]
    Not,
    /// Only the settings can begin this.
    #[error("HLS files are begun by the setting stream.record alone")]
    Setting,
    /// It ended before its first file was there: the format has no place for what the stream
    /// consists of, or there was nothing to record.
    #[error("{0}")]
    Nothing(String),
    /// Its file could not be made or written.
    #[error("{0}")]
    File(String),
    /// There is no room for its file.
    #[error("{0}")]
    Full(String),
}

/// A recording in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// `flv`, `ts`, `mp4` or `hls`.
    pub format: &'static str,
    /// Where it can be fetched from this server.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was written to, in milliseconds of Unix time.
    pub modified_ms: i64,
}

/// What has come of reading the configuration again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reloaded {
    /// Settings that hold now.
    pub applied: Vec<String>,
    /// Settings that hold when the server starts again.
    pub needs_restart: Vec<String>,
    /// What is unwise.
    pub warnings: Vec<String>,
}
