//! What all sessions of a server share.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use flv::caps::Capabilities;
use hub::{EndReason, Form, Identity, Kind, NameError, Registry, Session, Sessions, StreamName};
use tracing::{error, info, warn};

use crate::admission::{Admission, Limits};
use crate::hls::HlsSettings;
use crate::record::RecordSettings;

/// The rules of the sessions; may change while the server runs, and hold for sessions that begin
/// afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What makes two stream names the same.
    pub identity: Identity,
    /// The application of streams that are asked for without one.
    pub default_app: String,
    /// How many connections there may be.
    pub limits: Limits,
    /// How long a viewer waits for a stream that is not there.
    pub wait_for_stream: Duration,
    /// Rules of RTMP sessions.
    pub rtmp: RtmpSettings,
    /// Rules of HTTP sessions.
    pub http: HttpSettings,
    /// Rules of HLS.
    pub hls: HlsSettings,
    /// Rules of recordings.
    pub record: RecordSettings,
}

/// Rules of RTMP sessions.
#[derive(Debug, Clone, PartialEq)]
pub struct RtmpSettings {
    /// Limits and time-outs of the protocol.
    pub protocol: ::rtmp::server::Config,
    /// The payload form for viewers that do not say what they understand.
    pub form: Form,
    /// How long packets may wait for others, if not as long as the stream says.
    pub flush_after: Option<Duration>,
}

/// Rules of HTTP sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// How long a request head may take.
    pub head_timeout: Duration,
    /// Rules of `.flv`.
    pub flv: LiveSettings,
    /// Rules of `.ts`.
    pub ts: LiveSettings,
    /// Rules of `.mp4`.
    pub mp4: LiveSettings,
    /// The payload form for viewers of FLV that do not ask for one.
    pub form: Form,
    /// Whether viewers of FLV that do not ask get tracks beyond the first.
    pub multitrack: bool,
}

/// Rules of one container over HTTP and WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSettings {
    /// Whether it is served.
    pub enable: bool,
    /// Only paths that begin with this are streams.
    pub prefix: String,
    /// How long packets may wait for others, if not as long as the stream says.
    pub flush_after: Option<Duration>,
}

impl Settings {
    /// The stream that application and name mean.
    ///
    /// # Errors
    /// [`NameError`] says which rule the name breaks.
    pub fn stream_name(&self, app: &str, name: &str) -> Result<StreamName, NameError> {
        let items = app.split('/').chain(name.split('/')).filter(|item| !item.is_empty()).count();
        if items == 1 {
            // `rtmp://host/name` makes the name an application.
            let name = if name.is_empty() { app } else { name };
            return StreamName::new(&self.default_app, name, self.identity);
        }
        StreamName::new(app, name, self.identity)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            identity: Identity::AppAndName,
            default_app: "live".to_owned(),
            limits: Limits { connections: 100_000, per_address: 1_000 },
            wait_for_stream: Duration::from_secs(10),
            rtmp: RtmpSettings::default(),
            http: HttpSettings::default(),
            hls: HlsSettings::default(),
            record: RecordSettings::default(),
        }
    }
}

impl Default for RtmpSettings {
    fn default() -> Self {
        let protocol = ::rtmp::server::Config {
            capabilities: Capabilities::forwarder(),
            ..::rtmp::server::Config::default()
        };
        Self { protocol, form: Form::AsPublished, flush_after: None }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            flv: LiveSettings::default(),
            ts: LiveSettings::default(),
            mp4: LiveSettings::default(),
            form: Form::AsPublished,
            multitrack: false,
        }
    }
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self { enable: true, prefix: "/".to_owned(), flush_after: None }
    }
}

/// What all sessions of a server share.
#[derive(Debug)]
pub struct Context {
    /// Streams by name.
    pub registry: Arc<Registry>,
    /// All sessions.
    pub sessions: Arc<Sessions>,
    /// Counts connections.
    pub admission: Arc<Admission>,
    /// The rules.
    pub settings: ArcSwap<Settings>,
}

impl Context {
    /// A server without sessions.
    #[must_use]
    pub fn new(registry: Arc<Registry>, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            registry,
            sessions: Arc::default(),
            admission: Admission::new(settings.limits),
            settings: ArcSwap::from_pointee(settings),
        })
    }

    /// Changes the rules for sessions that begin from now on.
    pub fn set_settings(&self, settings: Settings) {
        self.admission.set_limits(settings.limits);
        self.settings.store(Arc::new(settings));
    }

    /// A number that nobody can foresee, for a handshake.
    #[must_use]
    pub fn seed(&self) -> u64 {
        RandomState::new().hash_one(self.sessions.len())
    }

    /// Begins a session.
    #[must_use]
    pub fn open(self: &Arc<Self>, kind: Kind, peer: Option<SocketAddr>) -> Tenure {
        let session = self.sessions.open(kind, peer, SystemTime::now());
        Tenure { sessions: self.sessions.clone(), session, ended: false }
    }
}

/// A session's time in the table: whoever holds this is the session's owner, and says once why it
/// ended. Dropped without a word, the session's code has failed.
#[derive(Debug)]
pub struct Tenure {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    ended: bool,
}

impl Tenure {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The session has ended; says so in the log, once.
    pub fn end(&mut self, reason: &EndReason) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.session.dispose(reason.clone());
        self.sessions.close(&self.session);
        let kind = self.session.kind();
        let address = self.session.address();
        let moved = self.session.statistics();
        let peer = self.session.peer().map(tracing::field::display);
        macro_rules! say {
            ($level:ident) => {
                $level!(
                    session = %self.session.id(),
                    peer,
                    proto = %kind.protocol,
                    role = %kind.role,
                    app = address.app_name,
                    stream = address.stream_name,
                    read = moved.read_bytes,
                    written = moved.written_bytes,
                    %reason,
                    "session ended"
                )
            };
        }
        match reason {
            EndReason::Panicked => say!(error),
            EndReason::Protocol(_) | EndReason::TooSlow | EndReason::Timeout(_) => say!(warn),
            _ => say!(info),
        }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.end(&EndReason::Panicked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_an_application_gets_the_default_one() {
        let settings = Settings::default();
        let name = |app, name| settings.stream_name(app, name).map(|n| n.to_string());
        assert_eq!(name("", "cam").as_deref(), Ok("live/cam"));
        assert_eq!(name("cam", "").as_deref(), Ok("live/cam"));
        assert_eq!(name("a/b", "cam").as_deref(), Ok("a/b/cam"));
        assert_eq!(name("", ""), Err(NameError::Empty));
    }
}
