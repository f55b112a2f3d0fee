//! Program streams over RTP (PS PUB): what devices of GB/T 28181 send to a port that somebody has
//! told them.
//!
//! [`Ps`] opens ports by order, of an operator or of the signalling ([`crate::gb28181`]), and keeps
//! the list of what is received. Each order is a session and a task of a shard: datagrams to a port
//! of its own (`datagrams`), a connection that the device makes or that we make (`connection`), or
//! packets that come to the port that all devices share (`shared`). When the session ends, its port
//! is free.

mod connection;
mod datagrams;
mod dump;
mod ingest;
mod reader;
mod reception;
mod shared;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hub::{
    Address, EndReason, Kind, Protocol, PublishError, Role, Session, SessionId, StreamName, Targets,
};
use net::{BoundPair, Listening, Ports, Shards};
use parking_lot::Mutex;
use tokio::runtime::Handle;

pub use self::dump::{Dump, DumpError};
pub use self::reader::Reader;
use self::reception::Reception;
pub use self::reception::Report;
pub use self::shared::{BoundShared, Shared};
use crate::context::Context;

/// Orders that there may be: each has a task, and most of them a port.
const MAX_ORDERS: usize = 10_000;

/// Rules of program streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PsSettings {
    /// How long a device may send nothing where its order does not say; zero for ever.
    pub idle: Duration,
    /// Where files with packets are written; nowhere without.
    pub dumps: Option<PathBuf>,
    /// How long a packet that came as a datagram waits for those before it.
    pub reorder_window: Duration,
    /// How long it may take to connect to a device.
    pub connect_timeout: Duration,
    /// Where devices may be that are connected to, but for those that have registered from there.
    pub targets: Targets,
}

impl Default for PsSettings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            dumps: None,
            reorder_window: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(10),
            targets: Targets::Any,
        }
    }
}

/// How packets come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// As datagrams to a port of its own: this one, or any that is free.
    Datagrams(Option<u16>),
    /// On a connection that the device makes to this port, or to any that is free.
    Listen(Option<u16>),
    /// On a connection that we make to the device.
    Connect {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
        /// Whether it is where the device has reached us, which [`PsSettings::targets`] lets through.
        is_home: bool,
    },
    /// To the port that all share: told apart by their SSRC, or by where they come from.
    Shared,
}

/// What the packets carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payload {
    /// A program stream.
    #[default]
    Ps,
    /// H.264 in the format of RFC 6184.
    H264,
    /// H.265 in the format of RFC 7798.
    H265,
}

/// What is to be received.
#[derive(Debug)]
pub struct Order {
    /// What it is called here.
    pub stream: StreamName,
    /// How it comes.
    pub way: Way,
    /// The source that was agreed on; needed on the shared port.
    pub ssrc: Option<u32>,
    /// Where the device is, as far as that is known. What comes from there goes before what comes
    /// from elsewhere; on the shared port, it is taken without the SSRC as well.
    pub from: Option<IpAddr>,
    /// How long nothing may come; for ever without a time.
    pub idle: Option<Duration>,
    /// What the packets carry.
    pub payload: Payload,
    /// Where all packets are written to as they come.
    pub dump: Option<Dump>,
}

/// What was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The session.
    pub session: Arc<Session>,
    /// The port that the device is to send to; 0 where we connect to it.
    pub port: u16,
}

/// What there is to say about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it is called here.
    pub stream: StreamName,
    /// The session.
    pub session: SessionId,
    /// `udp`, `tcp` (the device connects), `tcp_active` (we do) or `shared`.
    pub transport: &'static str,
    /// The port that is listened on; 0 where we connect.
    pub port: u16,
    /// The source that was agreed on.
    pub ssrc: Option<u32>,
    /// Where the packets come from.
    pub peer: Option<SocketAddr>,
    /// What has come.
    pub report: Report,
}

/// Why an order is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The stream has a publisher, or cannot have one.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// No port can be had.
    #[error("cannot listen on port {port}: {error}")]
    Port {
        /// The port; 0 for any.
        port: u16,
        /// What the system says.
        error: io::Error,
    },
    /// Nobody listens for all.
    #[error("there is no shared port: set ps.shared_listen, or leave shared out")]
    NotShared,
    /// How would it be told apart?
    #[error("on the shared port a stream needs its ssrc, or where it comes from")]
    Anonymous,
    /// Somebody else has it.
    #[error("another stream on the shared port has the ssrc {0:010}")]
    Taken(u32),
    /// Too many.
    #[error("{MAX_ORDERS} streams are received already, the most that a server takes")]
    TooMany,
}

/// Program streams of a server.
pub struct Ps {
    context: Arc<Context>,
    ports: Ports,
    shards: Weak<Shards>,
    runtime: Handle,
    table: Mutex<HashMap<SessionId, Arc<Entry>>>,
    shared: Option<Arc<Shared>>,
}

/// An order that is being carried out.
#[derive(Debug)]
struct Entry {
    stream: StreamName,
    session: Arc<Session>,
    transport: &'static str,
    port: u16,
    /// Its number on the shared port, if it is there.
    route: Option<u64>,
    ssrc: Mutex<Option<u32>>,
    /// Where the device is: as the order says, and as the device itself says.
    homes: Mutex<[Option<IpAddr>; 2]>,
    /// Where the packets come from just now.
    peer: Mutex<Option<SocketAddr>>,
    report: Mutex<Report>,
}

impl fmt::Debug for Ps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ps").field("orders", &self.table.lock().len()).finish_non_exhaustive()
    }
}

/// What an order has bound.
enum Bound {
    Datagrams(BoundPair),
    Listening(Listening),
    Connect { host: String, port: u16, targets: Targets },
    Shared(shared::Feed),
}

impl Bound {
    fn transport(&self) -> &'static str {
        match self {
            Self::Datagrams(_) => "udp",
            Self::Listening(_) => "tcp",
            Self::Connect { .. } => "tcp_active",
            Self::Shared(_) => "shared",
        }
    }
}

impl Ps {
    /// Receives on ports of `ports`, at all addresses, on the shards. `shared` is the port that all
    /// devices may send to. Must be called inside a tokio runtime.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        ports: Ports,
        shards: &Arc<Shards>,
        shared: Option<Arc<Shared>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            context,
            ports,
            shards: Arc::downgrade(shards),
            runtime: Handle::current(),
            table: Mutex::default(),
            shared,
        })
    }

    /// The port that all devices may send to.
    #[must_use]
    pub fn shared_port(&self) -> Option<u16> {
        self.shared.as_ref().map(|shared| shared.port())
    }

    /// Receives a stream from now on.
    ///
    /// # Errors
    /// [`OpenError`] says why not; nothing is left open then.
    pub fn open(self: &Arc<Self>, order: Order) -> Result<Opened, OpenError> {
        if self.table.lock().len() >= MAX_ORDERS {
            return Err(OpenError::TooMany);
        }
        let (bound, port) = self.bind(&order)?;
        let kind = Kind { protocol: Protocol::Ps, role: Role::Pub };
        let mut tenure = self.context.open(kind, None);
        let session = tenure.session().clone();
        let path = order.stream.as_str();
        let (app, name) = path.rsplit_once('/').unwrap_or(("", path));
        let address = Address {
            url: format!("ps+{}://:{port}", bound.transport()),
            app_name: app.to_owned(),
            stream_name: name.to_owned(),
            ..Address::default()
        };
        session.assume(Role::Pub, address);
        let publication = match self.context.publish(&session, &order.stream) {
            Ok(publication) => publication,
            Err(error) => {
                tenure.end(&EndReason::Refused(error.to_string()));
                return Err(error.into());
            }
        };
        let entry = Arc::new(Entry {
            stream: order.stream.clone(),
            session: session.clone(),
            transport: bound.transport(),
            port,
            route: match &bound {
                Bound::Shared(feed) => Some(feed.number()),
                _ => None,
            },
            ssrc: Mutex::new(order.ssrc),
            homes: Mutex::new([order.from, None]),
            peer: Mutex::default(),
            report: Mutex::default(),
        });
        self.table.lock().insert(session.id().clone(), entry.clone());
        let listed = Listed { ps: self.clone(), id: session.id().clone() };
        let reception = Reception::new(&self.context, tenure, publication, entry, order, listed);
        if let Some(shards) = self.shards.upgrade() {
            self.runtime.spawn(async move {
                shards.place(move |_| run(reception, bound)).await;
            });
        }
        Ok(Opened { session, port })
    }

    /// What is received, by stream.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        let entries: Vec<_> = self.table.lock().values().cloned().collect();
        let mut all: Vec<_> = entries
            .iter()
            .map(|entry| Status {
                stream: entry.stream.clone(),
                session: entry.session.id().clone(),
                transport: entry.transport,
                port: entry.port,
                ssrc: *entry.ssrc.lock(),
                peer: *entry.peer.lock(),
                report: entry.report.lock().clone(),
            })
            .collect();
        all.sort_by(|a, b| a.stream.cmp(&b.stream));
        all
    }

    /// Ends the reception of a stream. `false` if it was not received.
    pub fn close(&self, stream: &StreamName, reason: &EndReason) -> bool {
        let found = self.find(stream);
        if let Some(entry) = &found {
            entry.session.dispose(reason.clone());
        }
        found.is_some()
    }

    /// The device has said that its packets have another SSRC than the one it was told.
    ///
    /// # Errors
    /// [`OpenError::Taken`] where another stream on the shared port has it. `false` if the stream is
    /// not received.
    pub fn set_ssrc(&self, stream: &StreamName, ssrc: u32) -> Result<bool, OpenError> {
        let Some(entry) = self.find(stream) else { return Ok(false) };
        if let (Some(shared), Some(route)) = (&self.shared, entry.route) {
            shared.rename(route, ssrc)?;
        }
        *entry.ssrc.lock() = Some(ssrc);
        Ok(true)
    }

    /// The device has said that its packets come from this address.
    pub fn expect_from(&self, stream: &StreamName, address: IpAddr) {
        if let Some(entry) = self.find(stream) {
            let [_, told] = &mut *entry.homes.lock();
            *told = Some(address);
        }
    }

    fn find(&self, stream: &StreamName) -> Option<Arc<Entry>> {
        let table = self.table.lock();
        let mut all = table.values().filter(|entry| entry.stream == *stream);
        // One that is ending may still be there beside the next one.
        let current = all.clone().find(|entry| entry.session.ending().is_none());
        current.or_else(|| all.next()).cloned()
    }

    fn bind(&self, order: &Order) -> Result<(Bound, u16), OpenError> {
        let failed = |port: Option<u16>| {
            let port = port.unwrap_or_default();
            move |error| OpenError::Port { port, error }
        };
        match &order.way {
            Way::Datagrams(wanted) => {
                let bind = |address| match wanted {
                    Some(port) => BoundPair::at(address, *port),
                    None => self.ports.bound_pair(address),
                };
                let pair = on_any_family(bind).map_err(failed(*wanted))?;
                let port = pair.port().map_err(failed(*wanted))?;
                Ok((Bound::Datagrams(pair), port))
            }
            Way::Listen(wanted) => {
                let bind = |address| match wanted {
                    Some(port) => {
                        Listening::bind(&SocketAddr::new(address, *port).to_string(), None)
                    }
                    None => self.ports.listening(address),
                };
                let listening = on_any_family(bind).map_err(failed(*wanted))?;
                let port = listening.address().port();
                Ok((Bound::Listening(listening), port))
            }
            Way::Connect { host, port, is_home } => {
                let targets = match is_home {
                    true => Targets::Any,
                    false => self.context.settings.load().ps.targets,
                };
                Ok((Bound::Connect { host: host.clone(), port: *port, targets }, 0))
            }
            Way::Shared => {
                let shared = self.shared.as_ref().ok_or(OpenError::NotShared)?;
                Ok((Bound::Shared(shared.reserve(order.ssrc, order.from)?), shared.port()))
            }
        }
    }
}

/// Binds at all addresses; where the kernel has no IPv6, at those of the other half.
fn on_any_family<T>(bind: impl Fn(IpAddr) -> io::Result<T>) -> io::Result<T> {
    bind(Ipv6Addr::UNSPECIFIED.into()).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        _ => bind(Ipv4Addr::UNSPECIFIED.into()),
    })
}

/// Receives until the session ends.
async fn run(mut reception: Reception, bound: Bound) {
    let reason = match bound {
        Bound::Datagrams(pair) => datagrams::run(&mut reception, pair).await,
        Bound::Listening(listening) => connection::listen(&mut reception, listening).await,
        Bound::Connect { host, port, targets } => {
            connection::connect(&mut reception, &host, port, targets).await
        }
        Bound::Shared(feed) => shared::run(&mut reception, feed).await,
    };
    reception.end(&reason, Instant::now());
}

/// A place in the list of what is received; left when it is dropped.
struct Listed {
    ps: Arc<Ps>,
    id: SessionId,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.ps.table.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
