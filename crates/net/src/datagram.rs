//! Sockets for datagrams, in pairs: RTP and RTCP (RFC 3550 §11).
//!
//! Each peer has its own pair, connected to it as soon as it is known, so that the kernel itself
//! keeps strangers out, and sends several datagrams by one call where it can.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::listener::Listening;

/// What the kernel may hold for one socket in either direction, as far as the system lets it: a
/// second at 20 Mbit/s.
const SOCKET_BUFFER: usize = 2 << 20;

/// Pairs that are tried before the range counts as used up.
const MAX_TRIES: usize = 200;

/// Bytes of the largest datagrams that are received whole: jumbo frames.
const MAX_DATAGRAM: usize = 9 << 10;

/// Bytes that are allocated at once for what is received: some 40 datagrams of the usual size.
const RECEIVE_BUFFER: usize = 64 << 10;

/// Room for datagrams that come: allocated for many at once.
#[derive(Debug, Default)]
pub struct Room(BytesMut);

impl Room {
    fn make(&mut self) -> &mut [u8] {
        if self.0.len() < MAX_DATAGRAM {
            self.0 = BytesMut::zeroed(RECEIVE_BUFFER);
        }
        &mut self.0
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.0.split_to(length.min(self.0.len())).freeze()
    }
}

/// Where sockets for datagrams are bound.
#[derive(Debug)]
pub struct Ports {
    range: RangeInclusive<u16>,
    next: AtomicU16,
}

impl Ports {
    /// Even ports of this range, each with the odd one above it. A range that begins at 0 leaves
    /// the choice to the system.
    #[must_use]
    pub fn new(range: RangeInclusive<u16>) -> Self {
        let next = AtomicU16::new(*range.start());
        Self { range, next }
    }

    /// Binds a pair on the current shard.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`] when no pair is free.
    pub fn pair(&self, address: IpAddr) -> io::Result<Pair> {
        self.bound_pair(address)?.watch()
    }

    /// Binds a pair that no shard watches yet.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`] when no pair is free.
    pub fn bound_pair(&self, address: IpAddr) -> io::Result<BoundPair> {
        let mut last = io::ErrorKind::AddrInUse.into();
        for _ in 0..MAX_TRIES {
            let wanted = self.choose();
            let pair = bind(address, wanted).and_then(|rtp| {
                let port = rtp.local_addr()?.port();
                if port % 2 != 0 {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                Ok(BoundPair { rtcp: Some(bind(address, port + 1)?), rtp })
            });
            match pair {
                Ok(pair) => return Ok(pair),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Listens for connections on a port of the range.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`] when no port is free.
    pub fn listening(&self, address: IpAddr) -> io::Result<Listening> {
        let mut last = io::ErrorKind::AddrInUse.into();
        for _ in 0..MAX_TRIES {
            let wanted = SocketAddr::new(address, self.choose());
            match Listening::bind(&wanted.to_string(), None) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                bound => return bound,
            }
        }
        Err(last)
    }

    /// The next port to try, round and round.
    fn choose(&self) -> u16 {
        let (start, end) = (*self.range.start(), *self.range.end());
        if start == 0 {
            return 0;
        }
        let even = start + start % 2;
        let advance = |port: u16| match port.checked_add(2) {
            Some(next) if next < end => Some(next),
            _ => Some(even),
        };
        let port = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
        let port = port.unwrap_or(even);
        port + port % 2
    }
}

/// A socket that is bound, and may still go to any shard.
#[derive(Debug)]
pub struct Bound(UdpSocket);

impl Bound {
    /// Binds an address.
    ///
    /// # Errors
    /// The system's.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        bind(address.ip(), address.port()).map(Self)
    }

    /// Has the current shard watch it.
    ///
    /// # Errors
    /// The system's.
    pub fn watch(self) -> io::Result<Rc<Datagrams>> {
        watch(self.0)
    }
}

/// The address of this host that packets to `peer` are sent from; nothing is sent.
///
/// # Errors
/// The system's, where it knows no way there.
pub fn address_towards(peer: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    // The system chooses a way, and nothing waits.
    socket2::SockRef::from(&socket).connect(&peer.into())?;
    socket.local_addr().map(|address| address.ip())
}

/// Sockets that are bound, and may still go to any shard.
#[derive(Debug)]
pub struct BoundPair {
    rtp: UdpSocket,
    rtcp: Option<UdpSocket>,
}

impl BoundPair {
    /// Binds this port, and the one above it if that is free: a sender that was told a port by
    /// somebody else may do without RTCP.
    ///
    /// # Errors
    /// The system's.
    pub fn at(address: IpAddr, port: u16) -> io::Result<Self> {
        let rtp = bind(address, port)?;
        let above = rtp.local_addr()?.port().checked_add(1);
        let rtcp = above.and_then(|above| bind(address, above).ok());
        Ok(Self { rtp, rtcp })
    }

    /// The port for RTP.
    ///
    /// # Errors
    /// The system's.
    pub fn port(&self) -> io::Result<u16> {
        self.rtp.local_addr().map(|address| address.port())
    }

    /// Has the current shard watch both.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`] where there is no port for RTCP.
    pub fn watch(self) -> io::Result<Pair> {
        let rtcp = self.rtcp.ok_or(io::ErrorKind::AddrInUse)?;
        Ok(Pair { rtp: watch(self.rtp)?, rtcp: watch(rtcp)? })
    }

    /// Has the current shard watch the socket for RTP, and that for RTCP if there is one.
    ///
    /// # Errors
    /// The system's.
    pub fn watch_each(self) -> io::Result<(Rc<Datagrams>, Option<Rc<Datagrams>>)> {
        Ok((watch(self.rtp)?, self.rtcp.map(watch).transpose()?))
    }
}

fn bind(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(SocketAddr::new(address, port));
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The system's limits may be lower; then it gives what it may.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    if address.is_ipv6() && address.is_unspecified() {
        // Both families, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.bind(&SocketAddr::new(address, port).into())?;
    Ok(socket.into())
}

fn watch(socket: UdpSocket) -> io::Result<Rc<Datagrams>> {
    // Nobody waits until it can be written to. What is deprecated is unsound for types that may change
    // their descriptor; a socket of the standard library does not.
    #[allow(deprecated)]
    let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
    Ok(Rc::new(Datagrams { socket, peer: Cell::new(None), segment: Cell::new(None) }))
}

/// The sockets of one track.
#[derive(Debug, Clone)]
pub struct Pair {
    /// For RTP; its port is even.
    pub rtp: Rc<Datagrams>,
    /// For RTCP.
    pub rtcp: Rc<Datagrams>,
}

/// A socket for datagrams, on one shard.
#[derive(Debug)]
pub struct Datagrams {
    socket: AsyncFd<UdpSocket>,
    peer: Cell<Option<SocketAddr>>,
    /// The size at which the kernel cuts what is sent.
    segment: Cell<Option<u16>>,
}

impl Datagrams {
    /// The port that it is bound to.
    ///
    /// # Errors
    /// The system's.
    pub fn port(&self) -> io::Result<u16> {
        self.socket.get_ref().local_addr().map(|address| address.port())
    }

    /// Sends to this address, and hears nobody else, from now on.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        // The address is known: nothing is looked up, nothing waits.
        socket2::SockRef::from(self.socket.get_ref()).connect(&peer.into())?;
        self.peer.set(Some(peer));
        Ok(())
    }

    /// Whom it is connected to.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer.get()
    }

    /// Lets the kernel cut what is sent into datagrams of `size` bytes. Where it cannot, that is
    /// done here, at the cost of a call for each.
    pub fn set_segment(&self, size: u16) {
        let set = setsockopt(self.socket.get_ref(), sockopt::UdpGsoSegment, &i32::from(size));
        self.segment.set(set.is_ok().then_some(size));
    }

    /// A datagram, and who sent it.
    ///
    /// # Errors
    /// The system's, among them what became of datagrams that were sent.
    pub fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        room: &mut Room,
    ) -> Poll<io::Result<(Bytes, SocketAddr)>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            let received = ready.try_io(|socket| socket.get_ref().recv_from(room.make()));
            // Otherwise there was none: the next wake-up is asked for.
            if let Ok(received) = received {
                return Poll::Ready(received.map(|(length, from)| (room.take(length), from)));
            }
        }
    }

    /// Sends datagrams of `size` bytes, the last of which may be shorter; returns the bytes that
    /// were sent. What the socket does not take at once is lost, as it may be on the way.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&self, bytes: &[u8], size: u16) -> io::Result<usize> {
        // It never waits. The runtime would have to hear first that a new socket is ready.
        let socket = socket2::SockRef::from(self.socket.get_ref());
        if self.takes_whole(bytes.len(), size) {
            return socket.send(bytes);
        }
        let mut sent = 0;
        for datagram in bytes.chunks(usize::from(size.max(1))) {
            sent += socket.send(datagram)?;
        }
        Ok(sent)
    }

    /// Sends a datagram to somebody whom the socket is not connected to (yet).
    ///
    /// # Errors
    /// The system's.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        socket2::SockRef::from(self.socket.get_ref()).send_to(bytes, &to.into())
    }

    /// Whether [`Datagrams::send`] would need one call only.
    pub(crate) fn takes_whole(&self, length: usize, size: u16) -> bool {
        self.segment.get() == Some(size) || length <= usize::from(size)
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    async fn receive(socket: &Datagrams) -> Option<Vec<u8>> {
        let mut room = Room::default();
        let receive = std::future::poll_fn(|cx| socket.poll_receive(cx, &mut room));
        let (datagram, _) = timeout(Duration::from_millis(200), receive).await.ok()?.ok()?;
        Some(datagram.to_vec())
    }

    #[tokio::test]
    async fn pairs_are_even_and_odd_and_free_again_when_dropped() {
        let ports = Ports::new(0..=0);
        let pair = ports.pair(LOCALHOST).unwrap();
        let port = pair.rtp.port().unwrap();
        assert_eq!((port % 2, pair.rtcp.port().unwrap()), (0, port + 1));
        let narrow = Ports::new(port..=port + 1);
        assert_eq!(narrow.pair(LOCALHOST).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(pair);
        assert_eq!(narrow.pair(LOCALHOST).unwrap().rtp.port().unwrap(), port);
    }

    #[tokio::test]
    async fn a_port_that_was_named_goes_without_rtcp_if_the_next_one_is_taken() {
        let ports = Ports::new(0..=0);
        let taken = ports.pair(LOCALHOST).unwrap();
        let above = taken.rtcp.port().unwrap();
        let below = taken.rtp.port().unwrap();
        assert!(BoundPair::at(LOCALHOST, below).is_err());
        drop(taken.rtp);
        assert_eq!(taken.rtcp.port().unwrap(), above);
        let bound = BoundPair::at(LOCALHOST, below).unwrap();
        assert_eq!(bound.port().unwrap(), below);
        let (rtp, rtcp) = bound.watch_each().unwrap();
        assert!(rtcp.is_none());
        taken.rtcp.send_to(b"x", SocketAddr::new(LOCALHOST, below)).unwrap();
        assert_eq!(receive(&rtp).await.unwrap(), b"x");
    }

    #[tokio::test]
    async fn connections_are_listened_for_in_the_range() {
        let port = Ports::new(0..=0).pair(LOCALHOST).unwrap().rtp.port().unwrap();
        let narrow = Ports::new(port..=port + 1);
        let listening = narrow.listening(LOCALHOST).unwrap();
        assert_eq!(listening.address().port(), port);
    }

    #[tokio::test]
    async fn what_is_sent_is_cut_and_only_the_peer_is_heard() {
        let ports = Ports::new(0..=0);
        let (here, there, stranger) = (
            ports.pair(LOCALHOST).unwrap(),
            ports.pair(LOCALHOST).unwrap(),
            ports.pair(LOCALHOST).unwrap(),
        );
        let address = |pair: &Pair| SocketAddr::new(LOCALHOST, pair.rtp.port().unwrap());
        here.rtp.connect(address(&there)).unwrap();
        there.rtp.connect(address(&here)).unwrap();
        stranger.rtp.connect(address(&there)).unwrap();
        for cut_by_kernel in [false, true] {
            if cut_by_kernel {
                here.rtp.set_segment(1000);
            }
            // The second one is told that the first was refused.
            let _ = stranger.rtp.send(b"spoofed", 1000);
            assert_eq!(here.rtp.send(&[7; 2500], 1000).unwrap(), 2500);
            let mut lengths = Vec::new();
            while let Some(datagram) = receive(&there.rtp).await {
                lengths.push(datagram.len());
            }
            assert_eq!(lengths, [1000, 1000, 500]);
        }
    }
}
