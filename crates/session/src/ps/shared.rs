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
use ::rtp::packet::is_rtcp;
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

/// How long the packets of a stream that has ended may still come. They are nobody's then, not even
/// if the device is asked for another one.
const LEFT_OVER: Duration = Duration::from_secs(5);

/// SSRCs of such streams that are remembered.
const MAX_LEFT_OVER: usize = 1024;

/// How long a connection may take to say whose packets it carries, whatever else it says.
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
    /// SSRCs of orders that have ended, and when.
    left_over: HashMap<u32, Instant>,
}

#[derive(Debug)]
struct Route {
    feed: mpsc::Sender<(Bytes, SocketAddr)>,
    /// Never 0: what devices send that know of no SSRC tells nothing apart.
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

impl Feed {
    /// The number of the order.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.routes.lock().remove(self.number, Instant::now());
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
        let pair = |bound: SocketAddr| BoundPair::at(bound.ip(), bound.port());
        let (listening, datagrams) = Listening::bind_with(address, pair)?;
        let (routes, foreign) = (Mutex::default(), AtomicU64::new(0));
        let shared = Arc::new(Self { port: listening.address().port(), routes, foreign });
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
        let ssrc = ssrc.filter(|ssrc| *ssrc != 0);
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
    pub(super) fn rename(&self, number: u64, ssrc: u32) -> Result<(), OpenError> {
        let mut routes = self.routes.lock();
        if ssrc == 0 || routes.by_ssrc.get(&ssrc) == Some(&number) {
            return Ok(());
        }
        if routes.by_ssrc.contains_key(&ssrc) {
            return Err(OpenError::Taken(ssrc));
        }
        // Without an order it has just ended.
        let Some(route) = routes.orders.get_mut(&number) else { return Ok(()) };
        if let Some(before) = route.ssrc.replace(ssrc) {
            routes.by_ssrc.remove(&before);
        }
        routes.by_ssrc.insert(ssrc, number);
        Ok(())
    }

    /// Whose a packet is.
    fn route(&self, packet: &Bytes, from: SocketAddr) -> Option<mpsc::Sender<(Bytes, SocketAddr)>> {
        let control = is_rtcp(packet);
        let ssrc = if control { None } else { Packet::parse(packet).ok().map(|p| p.ssrc) };
        let found = {
            let mut routes = self.routes.lock();
            let number = match ssrc {
                Some(ssrc) => routes.find(ssrc, from, Instant::now()),
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
        let begun = Instant::now();
        loop {
            let limit = match feed {
                Some(_) => IDLE,
                None => PATIENCE.saturating_sub(begun.elapsed()),
            };
            let length = match timeout(limit, conn.read(&mut buffer)).await {
                Ok(Ok(length)) if length > 0 && !limit.is_zero() => length,
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
                    if is_rtcp(&packet) {
                        // Some devices report before they send.
                        continue;
                    }
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
    fn find(&mut self, ssrc: u32, from: SocketAddr, now: Instant) -> Option<u64> {
        if let Some(number) = self.by_ssrc.get(&ssrc) {
            return Some(*number);
        }
        if let Some(number) = self.by_source.get(&from) {
            return Some(*number);
        }
        let ended = self.left_over.get(&ssrc);
        if ended.is_some_and(|at| now.saturating_duration_since(*at) < LEFT_OVER) {
            return None;
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

    fn remove(&mut self, number: u64, now: Instant) {
        let Some(route) = self.orders.remove(&number) else { return };
        if let Some(ssrc) = route.ssrc {
            self.by_ssrc.remove(&ssrc);
            self.left_over.retain(|_, at| now.saturating_duration_since(*at) < LEFT_OVER);
            if self.left_over.len() < MAX_LEFT_OVER {
                self.left_over.insert(ssrc, now);
            }
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn shared() -> Arc<Shared> {
        Shared::bind("127.0.0.1:0").unwrap().0
    }

    fn packet(ssrc: u32) -> Bytes {
        let mut out = bytes::BytesMut::new();
        let (marker, payload_type, sequence, timestamp) = (false, 96, 1, 0);
        ::rtp::packet::Header { marker, payload_type, sequence, timestamp, ssrc }.write(&mut out);
        out.freeze()
    }

    /// Whether a packet comes to an order.
    fn comes(shared: &Arc<Shared>, feed: &mut Feed, ssrc: u32, from: &str) -> bool {
        let (packet, from) = (packet(ssrc), from.parse().unwrap());
        if let Some(feed) = shared.route(&packet, from) {
            feed.try_send((packet, from)).unwrap();
        }
        feed.packets.try_recv().is_ok()
    }

    #[tokio::test]
    async fn a_connection_may_begin_with_reports() {
        let streams = Arc::new(hub::StreamSettings::default());
        let registry = hub::Registry::new(Arc::new(move |_| streams.clone()), 9);
        let context = Context::new(registry, crate::Settings::default());
        let shared = shared();
        let mut feed = shared.reserve(Some(11), None).unwrap();
        let (mut device, conn) = net::pair().unwrap();
        let from = "192.0.2.1:9000".parse().unwrap();
        let report = Bytes::from_static(&[0x80, 201, 0, 1, 0, 0, 0, 11]);
        for packet in [report.clone(), report, packet(11)] {
            let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
            device.write_all(&[&length[..], &packet].concat()).await.unwrap();
        }
        let came = tokio::select! {
            () = shared.clone().carry(context, conn, from) => None,
            came = feed.packets.recv() => came,
        };
        assert_eq!(came, Some((packet(11), from)));
    }

    #[test]
    fn devices_without_an_ssrc_are_told_apart_by_where_they_are() {
        let shared = shared();
        let reserve = |ssrc, from: &str| shared.reserve(Some(ssrc), from.parse().ok());
        let (mut a, mut b) = (reserve(11, "192.0.2.1").unwrap(), reserve(12, "192.0.2.2").unwrap());
        // Both say in their answers that theirs is 0.
        shared.rename(a.number(), 0).unwrap();
        shared.rename(b.number(), 0).unwrap();
        assert!(comes(&shared, &mut a, 0, "192.0.2.1:9000"));
        assert!(comes(&shared, &mut b, 0, "192.0.2.2:9000"));
        assert!(!comes(&shared, &mut a, 0, "192.0.2.3:9000"));
        assert!(comes(&shared, &mut a, 11, "192.0.2.9:9000"));
        assert!(matches!(shared.reserve(Some(0), None), Err(OpenError::Anonymous)));
    }

    #[test]
    fn an_order_without_an_ssrc_gets_one() {
        let shared = shared();
        let mut feed = shared.reserve(None, "192.0.2.1".parse().ok()).unwrap();
        let other = shared.reserve(Some(8), None).unwrap();
        assert!(matches!(shared.rename(feed.number(), 8), Err(OpenError::Taken(8))));
        shared.rename(feed.number(), 9).unwrap();
        shared.rename(feed.number(), 9).unwrap();
        assert!(comes(&shared, &mut feed, 9, "198.51.100.1:9000"));
        shared.rename(feed.number(), 10).unwrap();
        assert!(!comes(&shared, &mut feed, 9, "198.51.100.1:9000"));
        drop((feed, other));
        let routes = shared.routes.lock();
        assert!(routes.by_ssrc.is_empty() && routes.by_source.is_empty());
    }

    #[test]
    fn what_is_left_of_a_stream_is_not_of_the_next_one() {
        let shared = shared();
        let home = "192.0.2.1".parse().ok();
        drop(shared.reserve(Some(11), home).unwrap());
        let mut next = shared.reserve(Some(12), home).unwrap();
        assert!(!comes(&shared, &mut next, 11, "192.0.2.1:9000"));
        assert!(comes(&shared, &mut next, 12, "192.0.2.1:9002"));
        assert!(comes(&shared, &mut next, 7, "192.0.2.1:9002"));
        let later = Instant::now() + LEFT_OVER;
        let found = shared.routes.lock().find(11, "192.0.2.1:9000".parse().unwrap(), later);
        assert_eq!(found, Some(next.number()));
    }
}
