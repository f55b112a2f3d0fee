//! The port that all devices share, for datagrams and for connections. Their packets are told apart
//! by the SSRC that was agreed on, and by where they come from if a device does not keep to it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::rtp::Packet;
use ::rtp::framing::Reader;
use bytes::Bytes;
use hub::EndReason;
use net::{BoundPair, Conn, Listening, Room};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::OpenError;
use super::connection::READ_BUFFER;
use super::datagrams::{self, Came};
use super::reception::Reception;
use crate::context::Context;

/// Packets that wait for one session: a large picture. What comes beyond that is lost, as it would
/// be in the kernel.
const QUEUE: usize = 1024;

/// How long a connection may take to say whose packets it carries.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may carry nothing; its session looks after the stream.
const IDLE: Duration = Duration::from_secs(120);

/// The shared port.
#[derive(Debug)]
pub struct Shared {
    port: u16,
    routes: Mutex<Routes>,
    /// Packets that belong to no stream.
    foreign: AtomicU64,
}

#[derive(Debug, Default)]
struct Routes {
    /// Number of the last order.
    last: u64,
    orders: HashMap<u64, Route>,
    by_ssrc: HashMap<u32, u64>,
    by_source: HashMap<SocketAddr, u64>,
}

#[derive(Debug)]
struct Route {
    feed: mpsc::Sender<(Bytes, SocketAddr)>,
    ssrc: Option<u32>,
    /// Where packets come from that have another SSRC.
    from: Option<IpAddr>,
    /// Where they really came from.
    source: Option<SocketAddr>,
}

/// What comes for one order; its route is closed when it is dropped.
#[derive(Debug)]
pub(super) struct Feed {
    shared: Arc<Shared>,
    number: u64,
    packets: mpsc::Receiver<(Bytes, SocketAddr)>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.routes.lock().remove(self.number);
    }
}

/// What the shared port is bound to, before anything is received.
#[derive(Debug)]
pub struct BoundShared {
    datagrams: BoundPair,
    listening: Listening,
}

impl Shared {
    /// Binds the port for datagrams and for connections.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(address: &str) -> io::Result<(Arc<Self>, BoundShared)> {
        let listening = Listening::bind(address, None)?;
        let bound = listening.address();
        let datagrams = BoundPair::at(bound.ip(), bound.port())?;
        let (routes, foreign) = (Mutex::default(), AtomicU64::new(0));
        let shared = Arc::new(Self { port: bound.port(), routes, foreign });
        Ok((shared, BoundShared { datagrams, listening }))
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Packets that belonged to no stream.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Makes a way for the packets of an order.
    pub(super) fn reserve(
        self: &Arc<Self>,
        ssrc: Option<u32>,
        from: Option<IpAddr>,
    ) -> Result<Feed, OpenError> {
        if ssrc.is_none() && from.is_none() {
            return Err(OpenError::Anonymous);
        }
        let (feed, packets) = mpsc::channel(QUEUE);
        let mut routes = self.routes.lock();
        if let Some(taken) = ssrc.filter(|ssrc| routes.by_ssrc.contains_key(ssrc)) {
            return Err(OpenError::Taken(taken));
        }
        routes.last += 1;
        let number = routes.last;
        if let Some(ssrc) = ssrc {
            routes.by_ssrc.insert(ssrc, number);
        }
        routes.orders.insert(number, Route { feed, ssrc, from, source: None });
        Ok(Feed { shared: self.clone(), number, packets })
    }

    /// The packets of an order have another SSRC than was agreed on.
    pub(super) fn rename(&self, old: Option<u32>, new: u32) -> Result<(), OpenError> {
        let mut routes = self.routes.lock();
        if old == Some(new) {
            return Ok(());
        }
        if routes.by_ssrc.contains_key(&new) {
            return Err(OpenError::Taken(new));
        }
        let number = old.and_then(|old| routes.by_ssrc.remove(&old));
        if let Some(number) = number {
            routes.by_ssrc.insert(new, number);
            if let Some(route) = routes.orders.get_mut(&number) {
                route.ssrc = Some(new);
            }
        }
        Ok(())
    }

    /// Whose a packet is.
    fn route(&self, packet: &Bytes, from: SocketAddr) -> Option<mpsc::Sender<(Bytes, SocketAddr)>> {
        let control = ::rtp::packet::is_rtcp(packet);
        let ssrc = if control { None } else { Packet::parse(packet).ok().map(|p| p.ssrc) };
        let found = {
            let mut routes = self.routes.lock();
            let number = match ssrc {
                Some(ssrc) => routes.find(ssrc, from),
                // Reports come from a port of their own: nobody answers those of unknown senders.
                None => routes.by_source.get(&from).copied(),
            };
            number.and_then(|number| Some(routes.orders.get(&number)?.feed.clone()))
        };
        if found.is_none() && !control {
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Gives each datagram to its session, for ever.
    pub async fn receive(self: Arc<Self>, pair: BoundPair) {
        let sockets = pair.watch_each();
        let Ok((rtp, rtcp)) = sockets.inspect_err(|error| warn!(%error, "no datagrams of devices"))
        else {
            return;
        };
        let mut room = Room::default();
        loop {
            for Came { datagram, from, .. } in
                datagrams::receive(&rtp, rtcp.as_ref(), &mut room).await
            {
                if let Some(feed) = self.route(&datagram, from) {
                    // A session that does not keep up loses them, and counts them.
                    let _ = feed.try_send((datagram, from));
                }
            }
        }
    }

    /// Leads one connection to its session, and carries its packets until either ends.
    pub async fn carry(self: Arc<Self>, context: Arc<Context>, mut conn: Conn, peer: SocketAddr) {
        let _admitted = match context.admission.admit(peer) {
            Ok(admitted) => admitted,
            Err(refusal) => return warn!(%peer, proto = "PS", %refusal, "connection refused"),
        };
        let (mut reader, mut buffer) = (Reader::new(), vec![0; READ_BUFFER]);
        let mut feed: Option<mpsc::Sender<(Bytes, SocketAddr)>> = None;
        loop {
            let limit = if feed.is_some() { IDLE } else { PATIENCE };
            let length = match timeout(limit, conn.read(&mut buffer)).await {
                Ok(Ok(length)) if length > 0 => length,
                _ => return debug!(%peer, proto = "PS", "connection ended"),
            };
            reader.push(buffer.get(..length).unwrap_or_default());
            loop {
                let packet = match reader.poll() {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break,
                    Err(error) => {
                        return warn!(%peer, proto = "PS", %error, "the connection carries no RTP");
                    }
                };
                if feed.is_none() {
                    feed = self.route(&packet, peer);
                }
                let Some(feed) = &feed else {
                    return warn!(%peer, proto = "PS", "nobody waits for what a connection brings");
                };
                if feed.send((packet, peer)).await.is_err() {
                    return debug!(%peer, proto = "PS", "the stream ended");
                }
            }
        }
    }
}

impl BoundShared {
    /// The address that connections are made to; datagrams go to the same port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The sockets: for datagrams, and for connections.
    #[must_use]
    pub fn into_parts(self) -> (BoundPair, Listening) {
        (self.datagrams, self.listening)
    }
}

impl Routes {
    fn find(&mut self, ssrc: u32, from: SocketAddr) -> Option<u64> {
        if let Some(number) = self.by_ssrc.get(&ssrc) {
            return Some(*number);
        }
        if let Some(number) = self.by_source.get(&from) {
            return Some(*number);
        }
        // A device that does not keep to its SSRC is known by its host, if only one order is; also
        // when it begins anew from another port.
        let number = self.only(|route| route.from == Some(from.ip()) && route.source.is_none());
        let number = number.or_else(|| self.only(|route| route.from == Some(from.ip())))?;
        let route = self.orders.get_mut(&number)?;
        if let Some(before) = route.source.replace(from) {
            self.by_source.remove(&before);
        }
        self.by_source.insert(from, number);
        Some(number)
    }

    /// The order that is so, if there is exactly one.
    fn only(&self, is_so: impl Fn(&Route) -> bool) -> Option<u64> {
        let mut all = self.orders.iter().filter(|(_, route)| is_so(route));
        let (number, _) = all.next()?;
        all.next().is_none().then_some(*number)
    }

    fn remove(&mut self, number: u64) {
        let Some(route) = self.orders.remove(&number) else { return };
        if let Some(ssrc) = route.ssrc {
            self.by_ssrc.remove(&ssrc);
        }
        if let Some(source) = route.source {
            self.by_source.remove(&source);
        }
    }
}

/// Takes what comes for an order until the session ends. Why it ended.
pub(super) async fn run(reception: &mut Reception, mut feed: Feed) -> EndReason {
    let session = reception.session().clone();
    loop {
        let (packet, from) = tokio::select! {
            biased;
            reason = poll_fn(|cx| session.poll_disposed(cx)) => return reason,
            packet = feed.packets.recv() => match packet {
                Some(came) => came,
                None => return EndReason::Shutdown,
            },
            outcome = reception.tick() => match outcome {
                Ok(()) => continue,
                Err(reason) => return reason,
            },
        };
        let now = Instant::now();
        if !reception.hears(&packet, from, now) {
            continue;
        }
        if let Err(reason) = reception.take(&packet, now) {
            return reason;
        }
    }
}
