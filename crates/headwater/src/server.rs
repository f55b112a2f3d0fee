//! The server as a whole: what it listens on, and how it starts, changes its rules and stops.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use control::api::Api;
use control::config::values::Download;
use control::page::{self, Ports};
use control::web::{self, Router};
use hub::{EndReason, Registry, SettingsFor};
use net::{Connecting, Egress, Listening, Shards, Tls, TlsError};
use session::http::Fallback;
use session::{Context, Hls, Recorder, Settings};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::{recordings, viewers};

/// How often the registry looks after streams without publishers.
const TICK: Duration = Duration::from_secs(1);

/// How long an operator's connection may take to come up.
const API_PATIENCE: Duration = Duration::from_secs(10);

/// Over how long bit rates are worked out.
const RATE_INTERVAL: u32 = 5;

/// What a server is started with.
#[derive(Clone)]
pub struct Options {
    /// Where RTMP is spoken; empty for nowhere.
    pub rtmp: Vec<String>,
    /// Where RTMP is spoken over TLS.
    pub rtmps: Vec<String>,
    /// Where HTTP is spoken.
    pub http: Vec<String>,
    /// Where HTTP is spoken over TLS.
    pub https: Vec<String>,
    /// Where the operator's API is served.
    pub api: Vec<String>,
    /// What the server calls itself in the API's answers.
    pub server_id: String,
    /// The certificate for TLS; without one a self-signed one is made.
    pub tls: Option<TlsFiles>,
    /// Threads that serve peers; 0 for as many as there are cores.
    pub shards: usize,
    /// How viewers are written to.
    pub egress: Egress,
    /// The rules of sessions.
    pub settings: Settings,
    /// The rules of streams, by name.
    pub streams: Arc<SettingsFor>,
    /// Most streams that may have a publisher at once.
    pub max_publishers: usize,
    /// Most bytes that the caches of all streams may hold.
    pub max_cached: usize,
    /// Who may download recordings.
    pub download: Download,
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where a server listens, with the ports that the system chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// RTMP.
    pub rtmp: Vec<SocketAddr>,
    /// RTMP over TLS.
    pub rtmps: Vec<SocketAddr>,
    /// HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTP over TLS.
    pub https: Vec<SocketAddr>,
    /// The operator's API.
    pub api: Vec<SocketAddr>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {protocol}: {error}{}", remedy(error, setting))]
    Listen {
        /// What was to be spoken there.
        protocol: &'static str,
        /// The key of the configuration that names the address.
        setting: &'static str,
        /// The address as it was set.
        address: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// There is no usable certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// The system does not allow io_uring, which is demanded.
    #[error("io_uring is refused here: {0}; set server.egress to \"auto\" or \"epoll\"")]
    Uring(std::io::Error),
}

fn remedy(error: &std::io::Error, setting: &str) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("; another program uses it: stop that, or set {setting} to another address")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("; ports below 1024 need privileges: set {setting} to another address")
        }
        _ => format!("; see {setting}"),
    }
}

/// A running server. Dropped, it stops at once; [`Server::drain`] lets peers be told.
#[derive(Debug)]
pub struct Server {
    context: Arc<Context>,
    hls: Arc<Hls>,
    recorder: Arc<Recorder>,
    addresses: Addresses,
    tls: Option<Tls>,
    /// Whether `tls` came from files.
    tls_files: bool,
    tasks: JoinSet<()>,
    /// Dropped last: the shards' threads end with it.
    shards: Arc<Shards>,
}

impl Server {
    /// Binds everything, then begins to accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way; nothing is left running then.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let needs_tls = !(options.rtmps.is_empty() && options.https.is_empty());
        let tls = if needs_tls { Some(make_tls(options.tls.as_ref())?) } else { None };
        let bind = |protocol, setting, addresses: &[String], tls: Option<&Tls>| {
            let listen = |address: &String| {
                Listening::bind(address, tls.cloned()).map_err(|error| StartError::Listen {
                    protocol,
                    setting,
                    address: address.clone(),
                    error,
                })
            };
            addresses.iter().map(listen).collect::<Result<Vec<_>, _>>()
        };
        let rtmp = bind("RTMP", "rtmp.listen", &options.rtmp, None)?;
        let rtmps = bind("RTMPS", "rtmp.tls_listen", &options.rtmps, tls.as_ref())?;
        let http = bind("HTTP", "http.listen", &options.http, None)?;
        let https = bind("HTTPS", "http.tls_listen", &options.https, tls.as_ref())?;
        let operator = bind("the API", "api.listen", &options.api, None)?;
        let own = |list: &[Listening]| list.iter().map(Listening::address).collect();
        let addresses = Addresses {
            rtmp: own(&rtmp),
            rtmps: own(&rtmps),
            http: own(&http),
            https: own(&https),
            api: own(&operator),
        };

        let registry = Registry::new(options.streams.clone(), options.max_publishers);
        registry.set_max_cached(options.max_cached);
        let context = Context::new(registry, options.settings.clone());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = if options.shards == 0 { cores } else { options.shards };
        let shards = Shards::start(shards, options.egress).map_err(match options.egress {
            Egress::Uring => StartError::Uring,
            Egress::Auto | Egress::Epoll => StartError::Threads,
        })?;
        let shards = Arc::new(shards);
        let api = Api {
            registry: context.registry.clone(),
            sessions: context.sessions.clone(),
            server_id: options.server_id.as_str().into(),
            started: SystemTime::now(),
        };
        let hls = Hls::new(context.clone(), spawner(shards.clone()));
        let watcher = Arc::downgrade(&hls);
        let recorder = Recorder::new(context.clone(), spawner(shards.clone()));
        let recording = Arc::downgrade(&recorder);
        context.registry.watch_publishers(Arc::new(move |name, stream| {
            if let Some((hls, recorder)) = watcher.upgrade().zip(recording.upgrade()) {
                hls.published(name, stream);
                recorder.published(name, stream);
            }
        }));
        let page = page::router(api.clone(), ports(&addresses));
        let page = match options.download {
            Download::Public => page.merge(recordings::files(context.clone())),
            Download::Api | Download::Off => page,
        };
        let page = viewers::router(hls.clone(), page);

        let mut tasks = JoinSet::new();
        for listening in rtmp.into_iter().chain(rtmps) {
            let listener = listening.start().map_err(StartError::Threads)?;
            let (shards, context) = (shards.clone(), context.clone());
            tasks.spawn(async move {
                loop {
                    let connecting = listener.accept().await;
                    let context = context.clone();
                    shards.place(|shard| session::rtmp::serve(shard, context, connecting)).await;
                }
            });
        }
        for listening in http.into_iter().chain(https) {
            let listener = listening.start().map_err(StartError::Threads)?;
            let (shards, context) = (shards.clone(), context.clone());
            let fallback = served_by(&page);
            tasks.spawn(async move {
                loop {
                    let connecting = listener.accept().await;
                    let (context, fallback) = (context.clone(), fallback.clone());
                    shards
                        .place(|shard| session::http::serve(shard, context, fallback, connecting))
                        .await;
                }
            });
        }
        let router = match options.download {
            Download::Api | Download::Public => {
                api.router().merge(recordings::router(context.clone()))
            }
            Download::Off => api.router(),
        };
        for listening in operator {
            let listener = listening.start().map_err(StartError::Threads)?;
            let (shards, router) = (shards.clone(), router.clone());
            tasks.spawn(async move {
                loop {
                    let connecting = listener.accept().await;
                    let router = router.clone();
                    shards.place(|_| serve_api(connecting, router)).await;
                }
            });
        }
        tasks.spawn(look_after(context.clone(), hls.clone()));
        let tls_files = options.tls.is_some();
        Ok(Self { context, hls, recorder, addresses, tls, tls_files, tasks, shards })
    }

    /// Streams and sessions.
    #[must_use]
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// How viewers are written to: never [`Egress::Auto`].
    #[must_use]
    pub fn egress(&self) -> Egress {
        self.shards.egress()
    }

    /// Takes the rules of `options` into use, and reads the certificate again. Addresses and the
    /// number of shards stay as they are.
    ///
    /// # Errors
    /// When the certificate cannot be used: then all rules stay as they were.
    pub fn reload(&self, options: &Options) -> Result<(), TlsError> {
        if let (Some(tls), Some(files)) = (&self.tls, &options.tls) {
            tls.reload(&files.cert, &files.key)?;
        } else if self.tls_files && options.tls.is_none() {
            warn!("no certificate is set any more: the last one stays in use until a restart");
        }
        self.context.registry.set_rules(options.streams.clone(), options.max_publishers);
        self.context.registry.set_max_cached(options.max_cached);
        self.context.set_settings(options.settings.clone());
        Ok(())
    }

    /// Stops to accept, tells every peer, and waits for `limit` at most until they are gone.
    pub async fn drain(mut self, limit: Duration) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        let sessions = self.context.sessions.all();
        info!(sessions = sessions.len(), "stopping");
        for session in &sessions {
            session.dispose(EndReason::Shutdown);
        }
        let mut poll = interval(Duration::from_millis(10));
        let gone = async {
            while !self.context.sessions.is_empty() {
                poll.tick().await;
            }
            // No frame comes any more: files are completed.
            self.context.registry.end_all(&EndReason::Shutdown);
            while !(self.recorder.is_idle() && self.hls.is_idle()) {
                poll.tick().await;
            }
        };
        if tokio::time::timeout(limit, gone).await.is_err() {
            let (left, files_complete) = (self.context.sessions.len(), self.recorder.is_idle());
            warn!(left, files_complete, "sessions and recordings did not end in time");
        }
    }
}

/// Serves an operator's connection.
async fn serve_api(connecting: Connecting, router: Router) {
    let peer = connecting.peer();
    if let Ok(conn) = connecting.establish(API_PATIENCE).await {
        web::serve(conn, peer, Bytes::new(), router).await;
    }
}

/// Runs tasks of sessions on the shards, whoever asks for it.
fn spawner(shards: Arc<Shards>) -> Box<session::hls::Spawner> {
    let runtime = Handle::current();
    Box::new(move |task| {
        let shards = shards.clone();
        runtime.spawn(async move { shards.place(|_| task).await });
    })
}

/// Serves with a router what is no stream.
fn served_by(router: &Router) -> Arc<Fallback> {
    let router = router.clone();
    Arc::new(move |conn, peer, read| Box::pin(web::serve(conn, peer, read, router.clone())))
}

fn ports(addresses: &Addresses) -> Ports {
    let port = |list: &[SocketAddr]| list.first().map(SocketAddr::port);
    Ports {
        rtmp: port(&addresses.rtmp),
        rtmps: port(&addresses.rtmps),
        https: port(&addresses.https),
    }
}

/// Ends streams whose publishers stay away, and works out bit rates.
async fn look_after(context: Arc<Context>, hls: Arc<Hls>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sampled = Instant::now();
    for count in 1u32.. {
        ticks.tick().await;
        let now = Instant::now();
        hls.tick(now);
        for name in context.registry.tick(now) {
            info!(stream = %name, "stream ended: its publisher did not return");
        }
        if count % RATE_INTERVAL == 0 {
            let interval = now.saturating_duration_since(sampled);
            sampled = now;
            context.sessions.all().iter().for_each(|session| session.update(interval));
        }
    }
}

fn make_tls(files: Option<&TlsFiles>) -> Result<Tls, TlsError> {
    if let Some(files) = files {
        return Tls::from_files(&files.cert, &files.key);
    }
    Tls::self_signed(&["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])
}
