//! Client sessions: a stream is pulled from another server, or pushed to one.
//!
//! A [`Client`] has an id from the beginning, runs once, and says once why it ended. What protocol
//! is spoken follows from the address: [`RemoteUrl`]. Redirections are followed, to addresses of the
//! same kind with or without TLS, and users and
//! passwords of addresses are shown to servers that ask for them. Who tries again when something
//! fails is the business of [`crate::relay`], or of whoever started the client.

mod fetch;
mod hls;
mod http;
mod requests;
mod rtmp;
mod standby;
mod url;

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::rtsp::client::TransportChoice;
use hub::{EndReason, Kind, Publication, Role, Session, StreamName, Targets, Waiting};
use net::{ClientTls, Conn, Shard, Trust};
use tokio::time::timeout;
use tracing::error;

use crate::context::{Context, Tenure};
use crate::rtsp::{self, Rtsp};
pub(crate) use standby::StandBy;
pub use url::{HttpUrl, RemoteUrl, UrlError};

/// How often a server may send us elsewhere.
pub(crate) const MAX_REDIRECTIONS: usize = 5;

/// What another server is asked for, and how.
#[derive(Clone)]
pub struct Remote {
    /// Its address, with name and password if it asks for them.
    pub url: RemoteUrl,
    /// What packets of RTP travel over.
    pub transport: TransportChoice,
    /// Whose certificates are accepted.
    pub tls: Tls,
    /// Where it may be, and where it may send us.
    pub targets: Targets,
    /// How long it may take to connect, and to come from there to media.
    pub patience: Duration,
    /// How long a server that we pull from may send nothing.
    pub silence: Duration,
    /// The servers that the request has come through which a pull is for, this one included.
    pub via: String,
    /// Whether a push over datagrams begins with all that is cached, in one burst, instead of at the
    /// next key frame: for a stream that has just begun, of which nothing must be missing.
    pub from_start: bool,
}

impl Remote {
    /// With usual limits: 10 s to connect and for each answer, 30 s of silence, RTP on the
    /// connection; it may be anywhere.
    #[must_use]
    pub fn new(url: RemoteUrl, tls: Tls) -> Self {
        let (patience, silence) = (Duration::from_secs(10), Duration::from_secs(30));
        let targets = Targets::Any;
        Self {
            url,
            transport: TransportChoice::Tcp,
            tls,
            targets,
            patience,
            silence,
            via: String::new(),
            from_start: false,
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

/// TLS of calls, made when the first address needs it: a redirection may be the one.
#[derive(Debug, Clone)]
pub struct Tls(Arc<(Trust, OnceLock<Option<ClientTls>>)>);

impl Tls {
    /// Accepts the certificates of those.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self(Arc::new((trust, OnceLock::new())))
    }

    /// What checks certificates; nothing if that cannot be.
    fn client(&self) -> Option<&ClientTls> {
        let (trust, made) = &*self.0;
        let make = || {
            let made = ClientTls::new(trust);
            made.inspect_err(|error| error!(%error, "no address with TLS can be called")).ok()
        };
        made.get_or_init(make).as_ref()
    }
}

/// A client session that was not started yet.
#[derive(Debug)]
pub struct Client {
    tenure: Tenure,
    name: StreamName,
    remote: Remote,
    role: Role,
    /// What is connected already.
    standby: Option<StandBy>,
}

impl Client {
    /// Will pull a stream from another server and publish it here as `name`.
    #[must_use]
    pub fn pull(context: &Arc<Context>, name: StreamName, remote: Remote) -> Self {
        Self::open(context, name, remote, Role::Pull)
    }

    /// Will publish as `name` what a source brings that stands by.
    pub(crate) fn take_over(
        context: &Arc<Context>,
        name: StreamName,
        remote: Remote,
        standby: StandBy,
    ) -> Self {
        Self { standby: Some(standby), ..Self::open(context, name, remote, Role::Pull) }
    }

    /// Will push the stream `name` of this server to another one.
    #[must_use]
    pub fn push(context: &Arc<Context>, name: StreamName, remote: Remote) -> Self {
        Self::open(context, name, remote, Role::Push)
    }

    fn open(context: &Arc<Context>, name: StreamName, remote: Remote, role: Role) -> Self {
        let tenure = context.open(Kind { protocol: remote.url.protocol(), role }, None);
        tenure.session().assume(role, remote.url.address(role));
        Self { tenure, name, remote, role, standby: None }
    }

    /// The session: disposed, it ends.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        self.tenure.session()
    }

    /// Connects, and carries the stream until either side ends it. Why it ended.
    pub async fn run(self, shard: Rc<Shard>, rtsp: Arc<Rtsp>) -> EndReason {
        let Self { mut tenure, name, remote, role, standby } = self;
        if let Some(standby) = standby {
            let reason = standby.take_over(&rtsp.context, &tenure, &name).await;
            tenure.end(&reason);
            return reason;
        }
        let reason = match (&remote.url, role) {
            (RemoteUrl::Rtmp(target), Role::Pull) => {
                let target = target.clone();
                rtmp::pull(&shard, &rtsp.context, &tenure, &name, &remote, target).await
            }
            (RemoteUrl::Rtmp(target), _) => {
                let target = target.clone();
                rtmp::push(&shard, &rtsp.context, &tenure, &name, &remote, target).await
            }
            (RemoteUrl::Rtsp(url), Role::Pull) => {
                rtsp::pull(&shard, &rtsp, &tenure, &name, &remote, url.clone()).await
            }
            (RemoteUrl::Rtsp(url), _) => {
                rtsp::push(&shard, &rtsp, &tenure, &name, &remote, url.clone()).await
            }
            (RemoteUrl::Http(url), Role::Pull) => {
                http::pull(&shard, &rtsp.context, &tenure, &name, &remote, url.clone()).await
            }
            (RemoteUrl::Http(_), _) => EndReason::Refused(
                "streams are pushed over RTMP or RTSP: write rtmp[s]:// or rtsp[s]://".to_owned(),
            ),
        };
        let reason = remote.url.masked(reason, role);
        tenure.end(&reason);
        reason
    }
}

/// Waits until a stream of this server is there.
pub(crate) async fn await_stream(
    context: &Context,
    session: &Session,
    name: &StreamName,
) -> Result<Waiting, EndReason> {
    let waiting = context.registry.watch(name);
    let patience = waiting.patience(context.settings.load().wait_for_stream);
    tokio::select! {
        biased;
        reason = poll_fn(|cx| session.poll_disposed(cx)) => Err(reason),
        ready = timeout(patience, waiting.ready()) => match ready {
            Ok(()) => Ok(waiting),
            Err(_) => Err(EndReason::Refused(format!("stream {name} is not published here"))),
        },
    }
}

/// Makes a client session the publisher of a stream.
pub(crate) fn publish(
    context: &Context,
    session: &Arc<Session>,
    name: &StreamName,
) -> Result<Publication, EndReason> {
    let publication = context.publish(session, name);
    publication.map_err(|error| EndReason::Refused(error.to_string()))
}

/// Connects to a server, unless the session is ended meanwhile.
pub(crate) async fn connect(
    session: &Session,
    remote: &Remote,
    host: &str,
    port: u16,
    secure: bool,
) -> Result<Conn, EndReason> {
    let tls = if secure { remote.tls.client() } else { None };
    if secure && tls.is_none() {
        let text = "no address with TLS can be called: the log says why";
        return Err(EndReason::Refused(text.to_owned()));
    }
    let conn = tokio::select! {
        biased;
        reason = poll_fn(|cx| session.poll_disposed(cx)) => return Err(reason),
        connected = net::connect(host, port, tls, remote.targets, remote.patience) => {
            connected.map_err(|error| {
                EndReason::Io(format!("cannot connect to {host}:{port}: {error}"))
            })?
        }
    };
    if let (Ok(local), Ok(peer)) = (conn.local_addr(), conn.peer_addr()) {
        session.connected(local, peer);
    }
    Ok(conn)
}
