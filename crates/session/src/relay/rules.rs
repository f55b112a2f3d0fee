//! Which streams come from where, and which go where.

use std::time::Duration;

use ::rtsp::client::TransportChoice;
use hub::Targets;
use net::Trust;

use super::address::UrlTemplate;
use super::backoff::Retry;
use crate::remote::{Remote, RemoteUrl, Tls};

/// What the configuration says of relays.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Streams that are pulled; the first whose pattern fits counts.
    pub pulls: Vec<PullRule>,
    /// Streams that are pushed; all whose patterns fit count.
    pub pushes: Vec<PushRule>,
    /// How tries follow each other.
    pub retry: Retry,
    /// How long it may take to connect, and again for each answer.
    pub patience: Duration,
    /// How long a source may send nothing.
    pub silence: Duration,
    /// How long viewers are kept while the source of their stream is away.
    pub hold: Duration,
    /// How long pulls on demand go on without viewers, where nothing else is said.
    pub stop_after: Duration,
    /// What RTP travels over, where nothing else is said.
    pub transport: TransportChoice,
    /// Whose certificates are accepted.
    pub tls: Tls,
    /// Where streams may come from and go to.
    pub reach: Targets,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            pulls: Vec::new(),
            pushes: Vec::new(),
            retry: Retry::default(),
            patience: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            hold: Duration::from_secs(60),
            stop_after: Duration::from_secs(10),
            transport: TransportChoice::Tcp,
            tls: Tls::new(Trust::System),
            reach: Targets::Any,
        }
    }
}

impl Rules {
    /// How a server is called by these rules.
    pub(super) fn remote(&self, url: RemoteUrl, transport: Option<TransportChoice>) -> Remote {
        Remote {
            url,
            transport: transport.unwrap_or(self.transport),
            tls: self.tls.clone(),
            targets: self.reach,
            patience: self.patience,
            silence: self.silence,
            via: String::new(),
            from_start: false,
        }
    }
}

/// When a stream is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// From the beginning.
    Always,
    /// While somebody watches.
    OnDemand,
}

/// Streams that are pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRule {
    /// The paths of the streams that are meant: [`hub::pattern`].
    pub pattern: String,
    /// Where they come from: the next one is tried where one fails.
    pub sources: Vec<UrlTemplate>,
    /// When they are pulled. Only a pattern without wildcards can be pulled always.
    pub start: Start,
    /// How long a pull on demand goes on without viewers.
    pub stop_after: Option<Duration>,
    /// What RTP travels over.
    pub transport: Option<TransportChoice>,
    /// Whether the next source is kept connected, to take over without a pause.
    pub standby: bool,
}

/// Streams that are pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRule {
    /// The paths of the streams that are meant: [`hub::pattern`].
    pub pattern: String,
    /// Where they go to, all at once.
    pub targets: Vec<UrlTemplate>,
    /// Whether streams that are pulled from other servers are meant, too.
    pub pulled: bool,
    /// What RTP travels over.
    pub transport: Option<TransportChoice>,
}
