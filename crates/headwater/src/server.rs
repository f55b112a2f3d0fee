//! The server as a whole: what it listens on, and how it starts, changes its rules and stops.

mod care;
mod devices;
mod listeners;
mod operators;

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use access::Access;
use config::Error as ConfigError;
use config::values::Download;
use control::api::{Api, Guard, Key};
use control::edges::Edges;
use control::events::Feed;
use control::history::History;
use control::page;
use control::web::{self, Router};
use control::webhooks::Webhooks;
use hub::{EndReason, Registry};
use net::{Connecting, Egress, Listening, Shard, Shards, Tls, TlsError};
use outgoing::Client;
use session::gb28181::Devices;
use session::http::Fallback;
use session::relay::Relay;
use session::{Context, Hls, Ps, Recorder, Rtsp};
use tokio::runtime::Handle as Runtime;
use tokio::task::JoinSet;
use tokio::time::interval;
use tracing::{info, warn};

use self::care::look_after;
pub use self::listeners::Addresses;
use self::listeners::Listeners;
use crate::access::Both;
use crate::builder::Builder;
use crate::events::Teller;
use crate::handle::Handle;
use crate::hooks::Hooks;
use crate::operations::{House, Parts};
use crate::options::{ApiKey, Options, TlsFiles};
use crate::{recordings, token, viewers};

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
    /// Nothing can be sent to groups from an address.
    #[error(
        "cannot send to groups from {interface}: {error}; set rtsp.multicast_interface to an \
         address of this host, or to \"\""
    )]
    Interface {
        /// The address as it was set.
        interface: Ipv4Addr,
        /// What the system says.
        error: std::io::Error,
    },
    /// There is no usable certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// The API's token cannot be kept.
    #[error(
        "cannot keep the API's token in {path}: {error}; set api.token, or api.token_file to \
             another file"
    )]
    Token {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// There can be no requests to other servers.
    #[error(transparent)]
    Client(#[from] outgoing::Error),
    /// The configuration makes no sense; the text says what and where.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no runtime to run in.
    #[error("a server runs in a tokio runtime: start it inside one")]
    Runtime,
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

/// A running server. Dropped, it stops at once; [`Server::shutdown`] lets peers be told and
/// recordings be completed.
///
/// Everything that a program does with a running server is done with its [`Handle`].
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    hooks: Arc<Hooks>,
    context: Arc<Context>,
    access: Arc<Access>,
    guard: Arc<Guard>,
    house: Arc<House>,
    webhooks: Arc<Webhooks>,
    hls: Arc<Hls>,
    recorder: Arc<Recorder>,
    relay: Arc<Relay>,
    devices: Option<Arc<Devices>>,
    edges: Arc<Edges>,
    addresses: Addresses,
    tls: Option<Tls>,
    /// Whether `tls` came from files.
    tls_files: bool,
    tasks: JoinSet<()>,
    /// Tell others what happens, and operators what they ask, to the end.
    _telling: JoinSet<()>,
    /// Dropped last: the shards' threads end with it.
    shards: Arc<Shards>,
}

impl Server {
    /// A server that is yet to be started.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Binds everything, then begins to accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way; nothing is left running then.
    #[doc(hidden)] // the program's own way: it builds the options from a configuration, again and again
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let runtime = Runtime::try_current().map_err(|_| StartError::Runtime)?;
        let over_tls =
            [&options.rtmps, &options.rtsps, &options.rtsp_wss, &options.https, &options.api_tls];
        let needs_tls = over_tls.iter().any(|list| !list.is_empty());
        let tls = if needs_tls { Some(make_tls(options.tls.as_ref())?) } else { None };
        let groups = net::Groups::new(options.groups.clone());
        if options.settings.rtsp.multicast && !options.rtsp.is_empty() {
            groups.check().map_err(|error| {
                let interface = options.groups.interface.unwrap_or(Ipv4Addr::UNSPECIFIED);
                StartError::Interface { interface, error }
            })?;
        }
        let mut listeners = Listeners::bind(options, tls.as_ref())?;
        let addresses = listeners.addresses();

        let registry = Registry::new(options.streams.clone(), options.max_publishers);
        registry.set_max_cached(options.max_cached);
        let context = Context::new(registry, options.settings.clone());
        let client = Client::new()?;
        let access = Access::new(options.access.clone(), client.clone(), random_key());
        context.set_gate(match options.own.gate.clone() {
            None => access.clone(),
            Some((first, false)) => first,
            Some((first, true)) => Arc::new(Both { first, second: access.clone() }),
        });
        context.admission.set_networks(options.networks.clone());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = if options.shards == 0 { cores } else { options.shards };
        let shards = Shards::start(shards, options.egress).map_err(match options.egress {
            Egress::Uring => StartError::Uring,
            Egress::Auto | Egress::Epoll => StartError::Threads,
        })?;
        let shards = Arc::new(shards);
        let hls = Hls::new(context.clone(), spawner(&shards));
        let watcher = Arc::downgrade(&hls);
        let recorder = Recorder::new(context.clone(), spawner(&shards));
        let recording = Arc::downgrade(&recorder);
        context.registry.watch_publishers(Arc::new(move |name, stream| {
            if let Some((hls, recorder)) = watcher.upgrade().zip(recording.upgrade()) {
                hls.published(name, stream);
                recorder.published(name, stream);
            }
        }));
        let ports = net::Ports::new(options.udp_ports.clone());
        let rtsp = Rtsp::new(context.clone(), ports, Some(groups));
        let relay = Relay::start(context.clone(), rtsp.clone(), &shards, Default::default());
        let (shared, bound_shared) = listeners.ps_shared.take().unzip();
        let ports = net::Ports::new(options.udp_ports.clone());
        let ps = Ps::new(context.clone(), ports, &shards, shared.clone());
        let devices = match options.sip.as_ref().zip(listeners.sip.take()) {
            Some((sip, bound)) => {
                Some(devices::start(options, sip, bound, &context, &ps, &shards)?)
            }
            None => None,
        };
        let parts = Parts {
            context: context.clone(),
            hls: hls.clone(),
            recorder: recorder.clone(),
            relay: relay.clone(),
            ps,
            devices: devices.clone(),
        };
        let (config, reloads) = (options.config.clone(), options.reloads.clone());
        let house = House::new(parts, config, reloads, options.logs.clone());
        let teller = Arc::new(Teller::new(options.own.listeners.clone()));
        context.events.add(teller.clone());
        let hooks = Hooks::new(options.own.hooks.clone(), runtime.clone(), &context);
        context.events.add(hooks.clone());
        let handle = Handle::new(house.clone(), runtime, teller, addresses.clone());
        let history = Arc::new(History::default());
        let webhooks = Webhooks::new(options.webhooks.clone());
        let feed = Feed::new(options.server_id.as_str().into(), webhooks.clone());
        context.events.add(feed.clone());
        let number: String = random_key().iter().take(8).map(|b| format!("{b:02x}")).collect();
        let name = format!("{} {number}", options.server_id);
        let edges = Edges::new(name, options.reports.clone());
        let key = key(options, &addresses)?;
        let guard = Arc::new(Guard::new(key, options.api_answers.clone()));
        let api = Api {
            registry: context.registry.clone(),
            sessions: context.sessions.clone(),
            history: history.clone(),
            logs: options.logs.feed.clone(),
            feed: feed.clone(),
            webhooks: webhooks.clone(),
            access: access.clone(),
            guard: guard.clone(),
            operations: house.clone(),
            edges: edges.clone(),
            server_id: options.server_id.as_str().into(),
            ports: addresses.ports(),
            started: SystemTime::now(),
        };
        let page = if options.player_page { page::player(house.clone()) } else { Router::new() };
        let page = match options.download {
            Download::Public => page.merge(recordings::files(context.clone())),
            Download::Api | Download::Off => page,
        };
        let page = page.fallback(viewers::nothing_here);
        let page = viewers::router(hls.clone(), page);

        let (mut tasks, mut telling) = (JoinSet::new(), JoinSet::new());
        telling.spawn(edges.clone().report(
            client.clone(),
            house.clone(),
            context.sessions.clone(),
        ));
        telling.spawn(webhooks.clone().work(client));
        telling.spawn(feed.run(api.clone()));
        let router = api.router(match options.download {
            Download::Api | Download::Public => recordings::router(context.clone()),
            Download::Off => Router::new(),
        });
        accept(
            listeners,
            &mut tasks,
            &mut telling,
            &Serving {
                shards: shards.clone(),
                context: context.clone(),
                rtsp,
                fallback: served_by(page),
                router,
            },
        )?;
        if let (Some(shared), Some(bound)) = (shared, bound_shared) {
            devices::receive_from_all(shared, bound, &shards, &context, &mut tasks)?;
        }
        // What is pulled may be asked of this server itself: it listens by now.
        relay.set_rules(options.relay.clone());
        let held = (relay.clone(), devices.clone());
        tasks.spawn(look_after(context.clone(), hls.clone(), held, history));
        let tls_files = options.tls.is_some();
        Ok(Self {
            handle,
            hooks,
            context,
            access,
            guard,
            house,
            webhooks,
            hls,
            recorder,
            relay,
            devices,
            edges,
            addresses,
            tls,
            tls_files,
            tasks,
            _telling: telling,
            shards,
        })
    }

    /// What the program does with the server. Handles may be cloned, and outlive the server.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Streams and sessions.
    #[doc(hidden)] // for the program's own commands
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
    #[doc(hidden)] // the program's own way, as `start` is
    pub fn reload(&self, options: &Options) -> Result<(), TlsError> {
        if let (Some(tls), Some(files)) = (&self.tls, &options.tls) {
            tls.reload(&files.cert, &files.key)?;
        } else if self.tls_files && options.tls.is_none() {
            warn!("no certificate is set any more: the last one stays in use until a restart");
        }
        self.access.set_rules(options.access.clone());
        self.guard.set_key(key(options, &self.addresses).unwrap_or_else(|error| {
            warn!("the API answers this host alone: {error}");
            Key::Others(String::new())
        }));
        self.guard.set_answers(options.api_answers.clone());
        self.webhooks.set_rules(options.webhooks.clone());
        self.house.set_config(options.config.clone());
        self.context.admission.set_networks(options.networks.clone());
        self.context.registry.set_rules(options.streams.clone(), options.max_publishers);
        self.context.registry.set_max_cached(options.max_cached);
        self.context.set_settings(options.settings.clone());
        self.relay.set_rules(options.relay.clone());
        if let Some(devices) = &self.devices {
            devices.set_settings(options.devices.clone());
        }
        self.edges.set_rules(options.reports.clone());
        Ok(())
    }

    /// Stops as [`Server::drain`] does, within the time that the configuration gives peers to go
    /// (`server.drain_timeout`).
    pub async fn shutdown(self) {
        let limit = self.house.drain_timeout();
        self.drain(limit).await;
    }

    /// Stops to accept, tells every peer, and waits for `limit` at most until they are gone.
    pub async fn drain(mut self, limit: Duration) {
        self.house.stop();
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        self.relay.shut_down();
        if let Some(devices) = &self.devices {
            devices.shut_down().await;
        }
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
            self.context.end_streams(&EndReason::Shutdown);
            while !(self.recorder.is_idle() && self.hls.is_idle()) {
                poll.tick().await;
            }
        };
        let begun = Instant::now();
        if tokio::time::timeout(limit, gone).await.is_err() {
            let (left, files_complete) = (self.context.sessions.len(), self.recorder.is_idle());
            warn!(left, files_complete, "sessions and recordings did not end in time");
        }
        let left = self.webhooks.finish(limit.saturating_sub(begun.elapsed())).await;
        if left > 0 {
            warn!(left, "notifications were not delivered in time");
        }
        if !self.hooks.finish(limit.saturating_sub(begun.elapsed())).await {
            warn!("functions of the program did not end with their streams in time");
        }
    }
}

/// Nothing of the server goes on, whoever still holds a handle.
impl Drop for Server {
    fn drop(&mut self) {
        self.house.stop();
        self.relay.shut_down();
        for session in &self.context.sessions.all() {
            session.dispose(EndReason::Shutdown);
        }
        self.context.end_streams(&EndReason::Shutdown);
        self.hooks.abort();
        self.handle.close();
    }
}

/// What connections are served with.
struct Serving {
    shards: Arc<Shards>,
    context: Arc<Context>,
    rtsp: Arc<Rtsp>,
    /// What is no stream, on the listeners of media.
    fallback: Arc<Fallback>,
    /// The operator's API and page.
    router: Router,
}

/// Begins to accept everywhere: peers are served by the shards, operators beside them, so that long
/// lists keep no viewer waiting.
fn accept(
    listeners: Listeners,
    tasks: &mut JoinSet<()>,
    telling: &mut JoinSet<()>,
    serving: &Serving,
) -> Result<(), StartError> {
    let Serving { shards, context, rtsp, fallback, router } = serving;
    for listening in listeners.rtmp.into_iter().chain(listeners.rtmps) {
        let context = context.clone();
        serve_peers(listening, tasks, shards, move |connecting| {
            let context = context.clone();
            move |shard| session::rtmp::serve(shard, context, connecting)
        })?;
    }
    for listening in listeners.rtsp.into_iter().chain(listeners.rtsps) {
        let rtsp = rtsp.clone();
        serve_peers(listening, tasks, shards, move |connecting| {
            let rtsp = rtsp.clone();
            move |shard| session::rtsp::serve(shard, rtsp, connecting)
        })?;
    }
    for listening in listeners.rtsp_ws.into_iter().chain(listeners.rtsp_wss) {
        let rtsp = rtsp.clone();
        serve_peers(listening, tasks, shards, move |connecting| {
            let rtsp = rtsp.clone();
            move |shard| session::rtsp::serve_websocket(shard, rtsp, connecting)
        })?;
    }
    for listening in listeners.http.into_iter().chain(listeners.https) {
        let (context, fallback) = (context.clone(), fallback.clone());
        serve_peers(listening, tasks, shards, move |connecting| {
            let (context, fallback) = (context.clone(), fallback.clone());
            move |shard| session::http::serve(shard, context, fallback, connecting)
        })?;
    }
    let room = Arc::new(operators::Room::default());
    for listening in listeners.api.into_iter().chain(listeners.api_tls) {
        let listener = listening.start().map_err(StartError::Threads)?;
        telling.spawn(operators::serve(listener, router.clone(), room.clone()));
    }
    Ok(())
}

/// Places each connection on the shard with least to do.
fn serve_peers<S, F>(
    listening: Listening,
    tasks: &mut JoinSet<()>,
    shards: &Arc<Shards>,
    session: impl Fn(Connecting) -> S + Send + 'static,
) -> Result<(), StartError>
where
    S: FnOnce(Rc<Shard>) -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let listener = listening.start().map_err(StartError::Threads)?;
    let shards = Arc::downgrade(shards);
    tasks.spawn(async move {
        loop {
            let connecting = listener.accept().await;
            let Some(shards) = shards.upgrade() else { return };
            shards.place(session(connecting)).await;
        }
    });
    Ok(())
}

/// Runs tasks of sessions on the shards, whoever asks for it, as long as the server keeps them.
fn spawner(shards: &Arc<Shards>) -> Box<session::hls::Spawner> {
    let (runtime, shards) = (Runtime::current(), Arc::downgrade(shards));
    Box::new(move |task| {
        let shards = shards.clone();
        runtime.spawn(async move {
            if let Some(shards) = shards.upgrade() {
                shards.place(|_| task).await;
            }
        });
    })
}

/// Serves with a router what is no stream.
fn served_by(router: Router) -> Arc<Fallback> {
    Arc::new(move |conn, peer, read| Box::pin(web::serve(conn, peer, read, router.clone())))
}

/// What the API asks for. A token is only made where others than this host can come.
fn key(options: &Options, addresses: &Addresses) -> Result<Key, StartError> {
    let path = match &options.api_key {
        ApiKey::Open => return Ok(Key::Open),
        ApiKey::Token(token) => return Ok(Key::Everybody(token.clone())),
        ApiKey::File(path) => path,
    };
    let mut listeners = addresses.api.iter().chain(&addresses.api_tls);
    if listeners.all(|at| at.ip().to_canonical().is_loopback()) {
        return Ok(Key::Others(String::new()));
    }
    let failed = |error| StartError::Token { path: path.display().to_string(), error };
    Ok(Key::Others(token::kept_in(path, random_key).map_err(failed)?))
}

/// A key that nobody else knows.
fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    // A system that has no random numbers does not get as far as this.
    getrandom::fill(&mut key).expect("random numbers");
    key
}

fn make_tls(files: Option<&TlsFiles>) -> Result<Tls, TlsError> {
    if let Some(files) = files {
        return Tls::from_files(&files.cert, &files.key);
    }
    Tls::self_signed(&["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])
}
