//! What all sessions of a server share.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use flv::caps::Capabilities;
use hub::gate::{self, Action, Credentials, Denial, Gate};
use hub::{
    Address, EndReason, Event, Events, Form, Identity, Kind, NameError, Protocol, Publication,
    PublishError, Registry, Session, Sessions, StreamName,
};
use parking_lot::{Mutex, RwLock};
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::admission::{Admission, Limits};
use crate::hls::HlsSettings;
use crate::ps::PsSettings;
use crate::record::RecordSettings;
use crate::rtsp::RtspSettings;
use crate::supplier::Supplier;
use crate::via;

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
    /// How many viewers a stream may have.
    pub max_viewers: usize,
    /// What all viewers together may be sent before newcomers are turned away, in kbit/s of 1024
    /// bits; 0 for no limit.
    pub max_output: u64,
    /// What a publisher may send, in kbit/s of 1024 bits; 0 for no limit.
    pub max_input: u64,
    /// How long it may take to find out whether somebody may do something.
    pub gate_timeout: Duration,
    /// How long a viewer waits for a stream that is not there.
    pub wait_for_stream: Duration,
    /// Rules of RTMP sessions.
    pub rtmp: RtmpSettings,
    /// Rules of RTSP sessions.
    pub rtsp: RtspSettings,
    /// Rules of program streams.
    pub ps: PsSettings,
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
    /// Only paths that begin with one of these are streams.
    pub prefixes: Vec<String>,
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
            max_viewers: usize::MAX,
            max_output: 0,
            max_input: 0,
            gate_timeout: Duration::from_secs(10),
            wait_for_stream: Duration::from_secs(10),
            rtmp: RtmpSettings::default(),
            rtsp: RtspSettings::default(),
            ps: PsSettings::default(),
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
        Self { enable: true, prefixes: vec!["/".to_owned()], flush_after: None }
    }
}

/// How long after saying so somebody who is no session still watches.
const LEASE: Duration = Duration::from_secs(1);

/// So many streams that are watched by requests are looked through for those that are no more.
const MANY_LEASES: usize = 1024;

/// What all sessions of a server share.
pub struct Context {
    /// Streams by name.
    pub registry: Arc<Registry>,
    /// All sessions.
    pub sessions: Arc<Sessions>,
    /// Counts connections.
    pub admission: Arc<Admission>,
    /// The rules.
    pub settings: ArcSwap<Settings>,
    /// Tells what happens.
    pub events: Events,
    /// A number that tells this run of the server from others: see `via`.
    pub(crate) id: String,
    /// Says who may do what.
    gate: RwLock<Arc<dyn Gate>>,
    /// Streams whose beginning was told, and whose end was not.
    started: Mutex<HashSet<StreamName>>,
    /// What all viewers were sent lately, in kbit/s of 1024 bits.
    output: AtomicU64,
    /// Bring streams that nobody publishes here.
    suppliers: RwLock<Vec<Weak<dyn Supplier>>>,
    /// Streams that are watched by requests, and until when.
    leases: Mutex<HashMap<StreamName, Instant>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("registry", &self.registry)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
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
            events: Events::default(),
            id: format!("{:016x}", RandomState::new().hash_one(0)),
            gate: RwLock::new(Arc::new(gate::Open)),
            started: Mutex::default(),
            output: AtomicU64::new(0),
            suppliers: RwLock::default(),
            leases: Mutex::default(),
        })
    }

    /// Changes who says who may do what; at first, everybody may.
    pub fn set_gate(&self, gate: Arc<dyn Gate>) {
        *self.gate.write() = gate;
    }

    /// Somebody brings streams that nobody publishes here, as long as it lives; those who came
    /// first are asked first.
    pub(crate) fn add_supplier(&self, supplier: Weak<dyn Supplier>) {
        self.suppliers.write().push(supplier);
    }

    fn suppliers(&self) -> Vec<Arc<dyn Supplier>> {
        self.suppliers.read().iter().filter_map(Weak::upgrade).collect()
    }

    /// Somebody wants a stream, and has asked for it at this address. Whether it comes from
    /// elsewhere, now or soon.
    pub(crate) fn want(&self, stream: &StreamName, asked: &Address) -> bool {
        self.suppliers().into_iter().any(|supplier| supplier.want(stream, asked))
    }

    /// Somebody who is no session watches a stream, and says so again and again.
    pub(crate) fn still_wanted(&self, stream: &StreamName) {
        let now = Instant::now();
        let mut leases = self.leases.lock();
        if leases.len() >= MANY_LEASES && !leases.contains_key(stream) {
            leases.retain(|_, until| *until > now);
        }
        leases.insert(stream.clone(), now + LEASE);
    }

    /// Whether anybody watches a stream: a viewer, or somebody who asks now and then.
    pub(crate) fn is_watched(&self, stream: &StreamName) -> bool {
        if self.sessions.group(stream).viewers() > 0 {
            return true;
        }
        let mut leases = self.leases.lock();
        let watched = leases.get(stream).is_some_and(|until| *until > Instant::now());
        if !watched {
            leases.remove(stream);
        }
        watched
    }

    /// Whether a viewer of a stream is this server itself, which pulls the stream.
    pub(crate) fn is_circle(&self, stream: &StreamName, viewer: Option<SocketAddr>) -> bool {
        let calls = |viewer| self.suppliers().iter().any(|all| all.calls_from(stream, viewer));
        viewer.is_some_and(calls)
    }

    /// Whether there is anybody who may not do something.
    #[must_use]
    pub fn guards(&self, action: Action, protocol: Protocol) -> bool {
        self.gate.read().guards(action, protocol)
    }

    /// Remembers what all viewers were sent in the last seconds, in kbit/s of 1024 bits.
    pub fn set_output(&self, kbits: u64) {
        self.output.store(kbits, Ordering::Relaxed);
    }

    /// Makes a session the publisher of a stream, which it may be as far as the gate is concerned.
    ///
    /// # Errors
    /// [`PublishError`] when the stream cannot be published.
    pub fn publish(
        &self,
        session: &Arc<Session>,
        name: &StreamName,
    ) -> Result<Publication, PublishError> {
        let published = self.registry.publish(name, session, Instant::now(), SystemTime::now())?;
        if self.started.lock().insert(name.clone()) {
            self.events.emit(&Event::StreamStarted(name.clone()));
        }
        // Publishers are counted by the registry.
        let _ = self.enter(session, name, usize::MAX);
        info!(session = %session.id(), stream = %name, "publishes");
        Ok(published)
    }

    /// A session takes part in a stream from now on. `false` if it would be one viewer too many.
    pub(crate) fn enter(&self, session: &Arc<Session>, stream: &StreamName, most: usize) -> bool {
        let Some(group) = self.sessions.join(session, stream, most) else { return false };
        let (session, stream) = (session.clone(), stream.clone());
        self.events.emit(&Event::Joined { session, stream, group });
        true
    }

    /// Nobody publishes the stream any more.
    pub fn stream_ended(&self, name: &StreamName) {
        if self.started.lock().remove(name) {
            self.events.emit(&Event::StreamEnded(name.clone()));
        }
    }

    /// Ends a stream that nobody publishes, and nobody will.
    pub(crate) fn end_stream(&self, name: &StreamName) {
        if self.registry.end(name, &EndReason::StreamEnded) {
            self.stream_ended(name);
        }
    }

    /// Ends all streams.
    pub fn end_streams(&self, reason: &EndReason) {
        self.registry.end_all(reason);
        let started: Vec<_> = self.started.lock().drain().collect();
        started.into_iter().for_each(|name| self.events.emit(&Event::StreamEnded(name)));
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
        Tenure { context: self.clone(), session, ended: false }
    }
}

/// A session's time in the table: whoever holds this is the session's owner, and says once why it
/// ended. Dropped without a word, the session's code has failed.
#[derive(Debug)]
pub struct Tenure {
    context: Arc<Context>,
    session: Arc<Session>,
    ended: bool,
}

impl Tenure {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Asks whether the peer may do something, with the query of its address and these credentials.
    ///
    /// # Errors
    /// [`Denial`] says why it may not; so it does when there is no answer in time, or somebody ends
    /// the session meanwhile.
    pub fn ask(
        &self,
        action: Action,
        stream: Option<&StreamName>,
        credentials: Credentials,
    ) -> impl Future<Output = Result<(), Denial>> + use<> {
        let (session, stream) = (self.session.clone(), stream.cloned());
        let circle = match (action, &stream) {
            (Action::Publish, Some(stream)) => self.check_way(stream).err(),
            _ => None,
        };
        let limit = self.context.settings.load().gate_timeout;
        let request = gate::Request { action, session: session.clone(), stream, credentials };
        let answer = self.context.gate.read().ask(request);
        async move {
            if let Some(circle) = circle {
                return Err(circle);
            }
            let disposed = std::future::poll_fn(|cx| session.poll_disposed(cx));
            let answer = tokio::select! {
                answer = timeout(limit, answer) => answer,
                reason = disposed => return Err(Denial::Unavailable(reason.to_string())),
            };
            match answer {
                Ok(Ok(grant)) => {
                    session.set_user(grant.user);
                    Ok(())
                }
                Ok(Err(denial)) => {
                    debug!(session = %session.id(), %action, %denial, "refused");
                    Err(denial)
                }
                Err(_) => {
                    warn!(session = %session.id(), %action, "nobody said in time whether it may");
                    let text = "nobody says in time whether this is allowed: try again";
                    Err(Denial::Unavailable(text.to_owned()))
                }
            }
        }
    }

    /// Whether the way by which a stream comes, or by which it is asked for, is no circle.
    fn check_way(&self, stream: &StreamName) -> Result<(), Denial> {
        let via = self.session.address().via;
        via::check(&via, &self.context.id)
            .map_err(|text| Denial::Unavailable(format!("{stream} {text}")))
    }

    /// The session is a viewer of a stream from now on, which may still be waited for.
    ///
    /// # Errors
    /// [`Denial::Unavailable`] when there is no room.
    pub fn join(&self, stream: &StreamName) -> Result<(), Denial> {
        if self.context.is_circle(stream, self.session.peer()) {
            let text = format!("{stream} is pulled from this server itself: it has no source");
            return Err(Denial::Unavailable(text));
        }
        self.check_way(stream)?;
        let settings = self.context.settings.load();
        if settings.max_output > 0
            && self.context.output.load(Ordering::Relaxed) >= settings.max_output
        {
            let text = "the server sends as much as limits.output_bitrate allows: try again later";
            return Err(Denial::Unavailable(text.to_owned()));
        }
        let most = settings.max_viewers;
        if self.context.enter(&self.session, stream, most) {
            self.context.want(stream, &self.session.address());
            return Ok(());
        }
        Err(Denial::Unavailable(format!(
            "the stream already has {most} viewers, the most that limits.viewers_per_stream allows"
        )))
    }

    /// The session pushes a stream to another server from now on.
    pub(crate) fn carry(&self, stream: &StreamName) {
        // Pushes are not counted as viewers.
        let _ = self.context.enter(&self.session, stream, usize::MAX);
    }

    /// The session takes part in a stream no more, but goes on.
    pub fn leave(&self, stream: &StreamName, reason: &EndReason) {
        if let Some(group) = self.context.sessions.leave(&self.session, stream) {
            let (session, stream, reason) = (self.session.clone(), stream.clone(), reason.clone());
            self.context.events.emit(&Event::Left { session, stream, group, reason });
        }
    }

    /// The session has ended; says so in the log, once.
    pub fn end(&mut self, reason: &EndReason) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.session.dispose(reason.clone());
        while let Some(stream) = self.session.stream() {
            self.leave(&stream, reason);
        }
        self.context.sessions.close(&self.session);
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
