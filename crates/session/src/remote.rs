//! Client sessions: a stream is pulled from another server, or pushed to one.
//!
//! A [`Client`] has an id from the beginning, runs once, and says once why it ended. What protocol
//! is spoken follows from the address: [`RemoteUrl`]. Redirections are followed, and users and
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
use std::sync::Arc;
use std::time::Duration;

use ::rtsp::client::TransportChoice;
use hub::{EndReason, Kind, Publication, Role, Session, StreamName, Waiting};
use net::{ClientTls, Conn, Shard};
use tokio::time::timeout;

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
    /// Whose certificates are accepted; needed for addresses with TLS.
    pub tls: Option<ClientTls>,
    /// How long it may take to connect, and to come from there to media.
    pub patience: Duration,
    /// How long a server that we pull from may send nothing.
    pub silence: Duration,
}

impl Remote {
    /// With usual limits: 10 s to connect and for each answer, 30 s of silence, RTP on the
    /// connection.
    #[must_use]
    pub fn new(url: RemoteUrl, tls: Option<ClientTls>) -> Self {
        let (patience, silence) = (Duration::from_secs(10), Duration::from_secs(30));
        Self { url, transport: TransportChoice::Tcp, tls, patience, silence }
    }
}

/// Without credentials.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("url", &self.url.to_string()).finish_non_exhaustive()
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
        tenure.session().assume(role, remote.url.address());
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
    let tls = remote.tls.as_ref().filter(|_| secure);
    if secure && tls.is_none() {
        let text = "addresses with TLS need to know whose certificates to trust";
        return Err(EndReason::Refused(text.to_owned()));
    }
    let conn = tokio::select! {
        biased;
        reason = poll_fn(|cx| session.poll_disposed(cx)) => return Err(reason),
        connected = net::connect(host, port, tls, remote.patience) => connected.map_err(|error| {
            EndReason::Io(format!("cannot connect to {host}:{port}: {error}"))
        })?,
    };
    if let (Ok(local), Ok(peer)) = (conn.local_addr(), conn.peer_addr()) {
        session.connected(local, peer);
    }
    Ok(conn)
}
