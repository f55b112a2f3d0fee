//! Groups that datagrams are sent to ([RFC 1112](https://www.rfc-editor.org/rfc/rfc1112)), each
//! with a port for RTP and one for RTCP (RFC 3550 §11). IPv4 alone.
//!
//! No two groups have an address or a port in common: a receiver that listens on a port of all
//! addresses hears every group that anybody on its host has joined.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::datagram::{Datagrams, unbound, watch};

/// Ports that are tried, beside those that are known to be taken, before there is no group.
const MAX_TRIES: usize = 32;

/// Which groups there may be, and how far they reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRules {
    /// Their addresses.
    pub addresses: RangeInclusive<Ipv4Addr>,
    /// Their ports: even ones for RTP, each with the odd one above it for RTCP.
    pub ports: RangeInclusive<u16>,
    /// How many routers may pass packets on, and one.
    pub ttl: u8,
    /// The address of the interface that packets leave by; else the system chooses.
    pub interface: Option<Ipv4Addr>,
}

/// The groups of a server.
#[derive(Debug)]
pub struct Groups {
    rules: GroupRules,
    taken: Arc<Mutex<Taken>>,
}

/// What is in use, and where the search for more goes on. Numbers count from the first of each.
#[derive(Debug, Default)]
struct Taken {
    addresses: HashSet<u32>,
    pairs: HashSet<u16>,
    next_address: u32,
    next_pair: u16,
}

/// A group's address and ports; given back when it is dropped.
#[derive(Debug)]
struct Place {
    taken: Arc<Mutex<Taken>>,
    address: u32,
    pair: u16,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.addresses.remove(&self.address);
        taken.pairs.remove(&self.pair);
    }
}

impl Groups {
    /// Groups by these rules. The search begins anywhere, so that two servers of one network that
    /// have the same rules seldom meet.
    #[must_use]
    pub fn new(rules: GroupRules) -> Self {
        let any = RandomState::new().hash_one(0).to_le_bytes();
        let next_address = u32::from_le_bytes([any[0], any[1], any[2], any[3]]);
        let next_pair = u16::from_le_bytes([any[4], any[5]]);
        let taken = Taken { next_address, next_pair, ..Taken::default() };
        Self { rules, taken: Arc::new(Mutex::new(taken)) }
    }

    /// Whether the interface is one of this host.
    ///
    /// # Errors
    /// The system's, if it is none.
    pub fn check(&self) -> io::Result<()> {
        self.sender((Ipv4Addr::UNSPECIFIED, 0)).map(drop)
    }

    /// Makes a group, whose sockets may go to any shard.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`] when no address or no pair of ports is free.
    pub fn open(&self) -> io::Result<BoundGroup> {
        let mut last = io::ErrorKind::AddrInUse.into();
        for _ in 0..MAX_TRIES {
            let Some(place) = self.take() else { break };
            match self.bind(place) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                bound => return bound,
            }
        }
        Err(last)
    }

    /// The next address and the next pair that are not in use.
    fn take(&self) -> Option<Place> {
        let (first, last) = (*self.rules.addresses.start(), *self.rules.addresses.end());
        let addresses = u64::from(last.to_bits()).checked_sub(first.to_bits().into())? + 1;
        let (start, end) = (*self.rules.ports.start(), *self.rules.ports.end());
        let first = u32::from(start).next_multiple_of(2);
        let pairs = (u32::from(end) + 1).checked_sub(first)? / 2;
        let mut taken = self.taken.lock();
        let Taken { addresses: known, pairs: used, next_address, next_pair } = &mut *taken;
        // One of them is free, if any is.
        let address = (0..=known.len()).find_map(|_| {
            let address = u32::try_from(u64::from(*next_address).checked_rem(addresses)?).ok()?;
            *next_address = address.wrapping_add(1);
            (!known.contains(&address)).then_some(address)
        })?;
        let pair = (0..=used.len()).find_map(|_| {
            let pair = u16::try_from(u32::from(*next_pair).checked_rem(pairs)?).ok()?;
            *next_pair = pair.wrapping_add(1);
            (!used.contains(&pair)).then_some(pair)
        })?;
        known.insert(address);
        used.insert(pair);
        Some(Place { taken: self.taken.clone(), address, pair })
    }

    fn bind(&self, place: Place) -> io::Result<BoundGroup> {
        let address = self.rules.addresses.start().to_bits() + place.address;
        let address = Ipv4Addr::from_bits(address);
        // It is one of the range: there would be no pair in it if this went beyond.
        let first = self.rules.ports.start().checked_next_multiple_of(2).unwrap_or(u16::MAX);
        let port = first.saturating_add(2 * place.pair).min(u16::MAX - 1);
        let rtp = self.sender((address, port))?;
        // What viewers report comes to the group, or to where its reports come from: this port
        // of all addresses hears both, and says whether anybody else has it.
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port + 1);
        let reports = unbound(any.into())?;
        reports.set_reuse_address(true)?;
        reports.set_multicast_all_v4(false)?;
        reports.bind(&any.into())?;
        let interface = self.rules.interface.unwrap_or(Ipv4Addr::UNSPECIFIED);
        reports.join_multicast_v4(&address, &interface)?;
        let rtcp = self.sender((address, port + 1))?;
        let source = rtp.local_addr()?;
        let (ttl, place) = (self.rules.ttl, Arc::new(place));
        let reports = reports.into();
        Ok(BoundGroup { address, port, ttl, source, rtp, rtcp, reports, place })
    }

    /// A socket that sends to a port of a group: for reports, from the same port.
    fn sender(&self, (group, port): (Ipv4Addr, u16)) -> io::Result<UdpSocket> {
        let own = if port % 2 == 0 { 0 } else { port };
        let interface = self.rules.interface.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let local = SocketAddrV4::new(interface, own);
        let socket = unbound(local.into())?;
        socket.set_reuse_address(own != 0)?;
        socket.bind(&local.into())?;
        socket.set_multicast_if_v4(&interface)?;
        socket.set_multicast_ttl_v4(self.rules.ttl.into())?;
        if port != 0 {
            socket.connect(&SocketAddrV4::new(group, port).into())?;
        }
        Ok(socket.into())
    }
}

/// A group that nothing is sent to yet, or any more; its address and ports are its own until it is
/// dropped, and what was watched of it.
#[derive(Debug)]
pub struct BoundGroup {
    address: Ipv4Addr,
    port: u16,
    ttl: u8,
    source: SocketAddr,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    reports: UdpSocket,
    place: Arc<Place>,
}

impl BoundGroup {
    /// The group's address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its ports for RTP and RTCP.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        (self.port, self.port + 1)
    }

    /// How many routers may pass packets on, and one.
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.ttl
    }

    /// Where its packets come from.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// Has the current shard watch its sockets, which cut what is sent into datagrams of `size`
    /// bytes.
    ///
    /// # Errors
    /// The system's.
    pub fn watch(&self, size: u16) -> io::Result<Group> {
        let watched = |socket: &UdpSocket| watch(socket.try_clone()?, None);
        let own = self.rtcp.local_addr()?;
        let group = Group {
            rtp: watched(&self.rtp)?,
            rtcp: watched(&self.rtcp)?,
            reports: watched(&self.reports)?,
            own,
            _place: self.place.clone(),
        };
        group.rtp.set_segment(size);
        group.rtcp.set_segment(size);
        Ok(group)
    }
}

/// The sockets of a group, on one shard.
#[derive(Debug, Clone)]
pub struct Group {
    /// Sends RTP.
    pub rtp: Rc<Datagrams>,
    /// Sends RTCP.
    pub rtcp: Rc<Datagrams>,
    /// Hears RTCP: what is sent to the group, our own reports among it, and what is sent to us.
    pub reports: Rc<Datagrams>,
    /// Where our own reports come from.
    pub own: SocketAddr,
    _place: Arc<Place>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::Room;

    const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

    fn rules(last: u8, ports: RangeInclusive<u16>) -> GroupRules {
        let addresses = Ipv4Addr::new(239, 255, 77, 1)..=Ipv4Addr::new(239, 255, 77, last);
        GroupRules { addresses, ports, ttl: 1, interface: Some(LOCALHOST) }
    }

    /// A range of pairs that others do not use just now.
    fn ports(pairs: u16) -> RangeInclusive<u16> {
        let port = crate::Ports::new(0..=0).pair(LOCALHOST.into()).unwrap().rtp.port().unwrap();
        let start = port.min(65_000);
        start..=start + 2 * pairs - 1
    }

    async fn receive(socket: &Datagrams) -> Option<(Vec<u8>, SocketAddr)> {
        let mut room = Room::default();
        let receive = std::future::poll_fn(|cx| socket.poll_receive(cx, &mut room));
        let (bytes, from) = timeout(Duration::from_secs(2), receive).await.ok()?.ok()?;
        Some((bytes.to_vec(), from))
    }

    fn listener(address: Ipv4Addr, port: u16) -> Rc<Datagrams> {
        let at = SocketAddrV4::new(address, port);
        let socket = unbound(at.into()).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&at.into()).unwrap();
        socket.join_multicast_v4(&address, &LOCALHOST).unwrap();
        watch(socket.into(), None).unwrap()
    }

    #[tokio::test]
    async fn groups_have_their_own_address_and_ports_until_they_are_dropped() {
        let groups = Groups::new(rules(3, ports(8)));
        let mut held: Vec<_> = (0..3).map(|_| groups.open().unwrap()).collect();
        let addresses: HashSet<_> = held.iter().map(BoundGroup::address).collect();
        let pairs: HashSet<_> = held.iter().map(BoundGroup::ports).collect();
        assert_eq!((addresses.len(), pairs.len()), (3, 3));
        assert!(pairs.iter().all(|(rtp, rtcp)| rtp % 2 == 0 && *rtcp == rtp + 1));
        assert_eq!(groups.open().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // What is watched still has them.
        let freed = held.pop().unwrap();
        let (address, watched) = (freed.address(), freed.watch(1200).unwrap());
        drop(freed);
        assert!(groups.open().is_err());
        drop(watched);
        assert_eq!(groups.open().unwrap().address(), address);
        drop(held);
        let taken = groups.taken.lock();
        assert!(taken.addresses.is_empty() && taken.pairs.is_empty());
    }

    #[tokio::test]
    async fn ports_are_a_bound_too_and_those_of_others_are_passed_over() {
        let range = ports(2);
        let groups = Groups::new(rules(200, range.clone()));
        let first = groups.open().unwrap();
        let other =
            if first.ports().0 == *range.start() { range.start() + 2 } else { *range.start() };
        let foreign = UdpSocket::bind((LOCALHOST, other + 1)).unwrap();
        assert_eq!(groups.open().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(foreign);
        assert_eq!(groups.open().unwrap().ports().0, other);
    }

    #[tokio::test]
    async fn what_is_sent_once_reaches_all_and_reports_come_back_both_ways() {
        let groups = Groups::new(rules(9, ports(8)));
        let bound = groups.open().unwrap();
        let (rtp, rtcp) = bound.ports();
        let viewers = [listener(bound.address(), rtp), listener(bound.address(), rtp)];
        let reader = listener(bound.address(), rtcp);
        let group = bound.watch(1000).unwrap();
        group.rtp.send(&[7; 2500], 1000).unwrap();
        for viewer in &viewers {
            for expected in [1000, 1000, 500] {
                let (bytes, from) = receive(viewer).await.unwrap();
                assert_eq!((bytes.len(), from), (expected, bound.source()));
            }
        }
        group.rtcp.send(b"report", 1000).unwrap();
        let (bytes, from) = receive(&reader).await.unwrap();
        assert_eq!((&bytes[..], from), (&b"report"[..], group.own));
        assert_eq!(receive(&group.reports).await.unwrap().1, group.own);
        let viewer = crate::Ports::new(0..=0).pair(LOCALHOST.into()).unwrap().rtcp;
        for to in [SocketAddr::from((LOCALHOST, rtcp)), (bound.address(), rtcp).into()] {
            socket2::SockRef::from(&viewer).set_multicast_if_v4(&LOCALHOST).unwrap();
            viewer.send_to(b"receiver", to).unwrap();
            let (bytes, from) = receive(&group.reports).await.unwrap();
            assert_eq!((&bytes[..], from.port()), (&b"receiver"[..], viewer.port().unwrap()));
        }
    }

    #[tokio::test]
    async fn there_may_be_no_pair_at_all() {
        for ports in [65_535..=65_535, 65_533..=65_534, 65_534..=65_534, 20_001..=20_002] {
            let error = Groups::new(rules(9, ports)).open().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn an_interface_of_another_host_is_none() {
        assert!(Groups::new(rules(9, 20_000..=20_001)).check().is_ok());
        let elsewhere = Some(Ipv4Addr::new(198, 51, 100, 7));
        let groups = Groups::new(GroupRules { interface: elsewhere, ..rules(9, 20_000..=20_001) });
        assert_eq!(groups.check().unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
