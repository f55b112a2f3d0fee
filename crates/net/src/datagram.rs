//! Sockets for datagrams, in pairs: RTP and RTCP (RFC 3550 §11).
//!
//! Each peer has its own pair, connected to it as soon as it is known, so that the kernel itself
//! keeps strangers out, and sends several datagrams by one call where it can.

mod ports;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use ports::Place;
pub use ports::Ports;

/// What the kernel may hold for one socket in either direction, as far as the system lets it: a
/// second at 20 Mbit/s.
const SOCKET_BUFFER: usize = 2 << 20;

/// Bytes of the largest datagrams that are received whole: jumbo frames.
const MAX_DATAGRAM: usize = 9 << 10;

/// Bytes of the largest datagrams that there are, in fragments on the way.
const MAX_FRAGMENTED: usize = 64 << 10;

/// Bytes that are allocated at once for what is received: some 40 datagrams of the usual size.
const RECEIVE_BUFFER: usize = 64 << 10;

/// Room for datagrams that come: allocated for many at once.
#[derive(Debug)]
pub struct Room {
    bytes: BytesMut,
    /// The largest that are received whole.
    largest: usize,
}

impl Default for Room {
    /// For media, whose packets are not fragmented.
    fn default() -> Self {
        Self { bytes: BytesMut::new(), largest: MAX_DATAGRAM }
    }
}

impl Room {
    /// For messages, which may be as long as datagrams can be.
    #[must_use]
    pub fn for_any() -> Self {
        Self { bytes: BytesMut::new(), largest: MAX_FRAGMENTED }
    }

    fn make(&mut self) -> &mut [u8] {
        if self.bytes.len() < self.largest {
            self.bytes = BytesMut::zeroed(RECEIVE_BUFFER.max(4 * self.largest));
        }
        &mut self.bytes
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.bytes.split_to(length.min(self.bytes.len())).freeze()
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
        watch(self.0, None)
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
    /// None if its port was named by somebody else.
    place: Option<Place>,
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
        Ok(Self { rtp, rtcp, place: None })
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
        Ok(Pair { rtp: watch(self.rtp, self.place)?, rtcp: watch(rtcp, None)? })
    }

    /// Has the current shard watch the socket for RTP, and that for RTCP if there is one.
    ///
    /// # Errors
    /// The system's.
    pub fn watch_each(self) -> io::Result<(Rc<Datagrams>, Option<Rc<Datagrams>>)> {
        let rtcp = self.rtcp.map(|rtcp| watch(rtcp, None)).transpose()?;
        Ok((watch(self.rtp, self.place)?, rtcp))
    }
}

/// A socket that is to be bound to this address.
pub(crate) fn unbound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // The system's limits may be lower; then it gives what it may.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    Ok(socket)
}

fn bind(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = unbound(SocketAddr::new(address, port))?;
    if address.is_ipv6() && address.is_unspecified() {
        // Both families, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.bind(&SocketAddr::new(address, port).into())?;
    Ok(socket.into())
}

pub(crate) fn watch(socket: UdpSocket, place: Option<Place>) -> io::Result<Rc<Datagrams>> {
    // Whether it can be written to is of interest when it is full only. What is deprecated is unsound for types that may change
    // their descriptor; a socket of the standard library does not.
    #[allow(deprecated)]
    let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
    let (peer, segment, full) = (Cell::new(None), Cell::new(None), RefCell::new(None));
    Ok(Rc::new(Datagrams { full, socket, peer, segment, _place: place }))
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
    /// The same socket, while somebody waits until it can be written to: watched all the time, it
    /// would wake the shard after each datagram.
    full: RefCell<Option<AsyncFd<UdpSocket>>>,
    socket: AsyncFd<UdpSocket>,
    peer: Cell<Option<SocketAddr>>,
    /// The size at which the kernel cuts what is sent.
    segment: Cell<Option<u16>>,
    /// Given back after the socket, which is dropped first.
    _place: Option<Place>,
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
    /// were sent. It never waits.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`] when the socket does not take all of them.
    pub fn send(&self, bytes: &[u8], size: u16) -> io::Result<usize> {
        // It never waits. The runtime would have to hear first that a new socket is ready.
        let socket = socket2::SockRef::from(self.socket.get_ref());
        if self.takes_whole(bytes.len(), size) {
            return socket.send(bytes);
        }
        let mut sent = 0;
        for datagram in bytes.chunks(usize::from(size.max(1))) {
            sent += if self.leaves_whole(datagram.len()) {
                socket.send(datagram)?
            } else {
                self.send_uncut(datagram)?
            };
        }
        Ok(sent)
    }

    /// Sends a datagram that the kernel would cut otherwise: one that was made by somebody else,
    /// and is larger than ours.
    fn send_uncut(&self, datagram: &[u8]) -> io::Result<usize> {
        let uncut = [ControlMessage::UdpGsoSegments(&0)];
        let socket = self.socket.get_ref().as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        Ok(sendmsg::<()>(socket, &[IoSlice::new(datagram)], &uncut, flags, None)?)
    }

    /// Whether the socket takes datagrams again, after it did not.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut full = self.full.borrow_mut();
        let watched = match &mut *full {
            Some(watched) => watched,
            none => {
                let socket = self.socket.get_ref().try_clone()?;
                // As in `watch`.
                #[allow(deprecated)]
                let socket = AsyncFd::with_interest(socket, Interest::WRITABLE)?;
                none.insert(socket)
            }
        };
        let result = ready!(watched.poll_write_ready(cx)).map(drop);
        *full = None;
        Poll::Ready(result)
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
        self.segment.get() == Some(size) || length <= usize::from(size) && self.leaves_whole(length)
    }

    /// Whether the kernel does not cut a datagram of this length.
    fn leaves_whole(&self, length: usize) -> bool {
        self.segment.get().is_none_or(|segment| length <= usize::from(segment))
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
    async fn messages_may_be_as_long_as_datagrams() {
        let ports = Ports::new(0..=0);
        let (from, to) = (ports.pair(LOCALHOST).unwrap(), ports.pair(LOCALHOST).unwrap());
        let address = SocketAddr::new(LOCALHOST, to.rtp.port().unwrap());
        let mut room = Room::for_any();
        for length in [60_000, 500, 60_000, 1] {
            from.rtp.send_to(&vec![7; length], address).unwrap();
            let receive = std::future::poll_fn(|cx| to.rtp.poll_receive(cx, &mut room));
            let (datagram, _) = timeout(Duration::from_secs(5), receive).await.unwrap().unwrap();
            assert_eq!(datagram.len(), length);
        }
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

    #[tokio::test]
    async fn a_socket_that_is_not_full_is_writable_at_once_and_watched_no_more() {
        let pair = Ports::new(0..=0).pair(LOCALHOST).unwrap();
        for _ in 0..2 {
            let writable = std::future::poll_fn(|cx| pair.rtp.poll_writable(cx));
            timeout(Duration::from_secs(1), writable).await.unwrap().unwrap();
            assert!(pair.rtp.full.borrow().is_none());
        }
    }

    #[tokio::test]
    async fn datagrams_that_are_larger_than_ours_go_as_they_came() {
        let ports = Ports::new(0..=0);
        let (here, there) = (ports.pair(LOCALHOST).unwrap(), ports.pair(LOCALHOST).unwrap());
        here.rtp.connect(SocketAddr::new(LOCALHOST, there.rtp.port().unwrap())).unwrap();
        here.rtp.set_segment(1000);
        for (bytes, size, expected) in [
            (1400, 1400, &[1400][..]),
            (2800, 1400, &[1400, 1400]),
            (1500, 1400, &[1400, 100]),
            (1600, 800, &[800, 800]),
            (9000, 9000, &[9000]),
        ] {
            assert!(!here.rtp.takes_whole(bytes, size));
            assert_eq!(here.rtp.send(&vec![7; bytes], size).unwrap(), bytes);
            for expected in expected {
                assert_eq!(receive(&there.rtp).await.map(|got| got.len()), Some(*expected));
            }
        }
    }
}
