//! Which ports pairs of sockets have: those of a range, each peer's address its share of them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use parking_lot::Mutex;

use super::{BoundPair, Pair, bind};
use crate::listener::Listening;

/// Ports that are tried, beside those that are known to be taken, before the range counts as used
/// up: each costs some 20 µs, which all that is on the shard waits for.
const MAX_TRIES: usize = 32;

/// The part of all pairs that one peer address may hold, so that nobody uses up all; and the pairs
/// that it may hold in any case: a client with a few streams.
const SHARE: usize = 4;
const MIN_SHARE: usize = 16;

/// Pairs in a range that the system chooses from, about: half of its ports.
const SYSTEM_PAIRS: usize = 14_000;

/// Where sockets for datagrams are bound.
#[derive(Debug)]
pub struct Ports {
    range: RangeInclusive<u16>,
    next: AtomicU16,
    taken: Arc<Mutex<Taken>>,
}

/// What is bound of a range.
#[derive(Debug, Default)]
struct Taken {
    /// The even ports of pairs.
    ports: HashSet<u16>,
    /// Pairs by the address that they are for; loopback addresses are not counted, since a proxy
    /// or a test on the same host speaks for many.
    by_peer: HashMap<IpAddr, usize>,
}

/// A pair's place in the range; given back when it is dropped, with the socket for RTP.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    port: u16,
    peer: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.ports.remove(&self.port);
        if let Some(peer) = self.peer
            && let Some(count) = taken.by_peer.get_mut(&peer)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_peer.remove(&peer);
            }
        }
    }
}

impl Ports {
    /// Even ports of this range, each with the odd one above it. A range that begins at 0 leaves
    /// the choice to the system.
    #[must_use]
    pub fn new(range: RangeInclusive<u16>) -> Self {
        let next = AtomicU16::new(*range.start());
        Self { range, next, taken: Arc::default() }
    }

    /// Binds a pair on the current shard, for whom we have called ourselves.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`] when no pair is free.
    pub fn pair(&self, address: IpAddr) -> io::Result<Pair> {
        self.bound_pair(address)?.watch()
    }

    /// Binds a pair on the current shard for a peer that has asked for it.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`] when no pair is free, and
    /// [`io::ErrorKind::QuotaExceeded`] when the peer's address holds its share.
    pub fn pair_for(&self, peer: IpAddr, address: IpAddr) -> io::Result<Pair> {
        if peer.is_loopback() {
            return self.pair(address);
        }
        let share = (self.capacity() / SHARE).max(MIN_SHARE);
        if self.taken.lock().by_peer.get(&peer).is_some_and(|count| *count >= share) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let mut pair = self.bound_pair(address)?;
        *self.taken.lock().by_peer.entry(peer).or_default() += 1;
        if let Some(place) = &mut pair.place {
            place.peer = Some(peer);
        }
        pair.watch()
    }

    /// Binds a pair that no shard watches yet.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::AddrInUse`] when no pair is free.
    pub fn bound_pair(&self, address: IpAddr) -> io::Result<BoundPair> {
        let mut last = io::ErrorKind::AddrInUse.into();
        for _ in 0..MAX_TRIES {
            let Some(wanted) = self.choose_free() else { break };
            let pair = bind(address, wanted).and_then(|rtp| {
                let port = rtp.local_addr()?.port();
                if port % 2 != 0 {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                let rtcp = Some(bind(address, port + 1)?);
                self.taken.lock().ports.insert(port);
                let place = Some(Place { taken: self.taken.clone(), port, peer: None });
                Ok(BoundPair { rtp, rtcp, place })
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

    /// The most pairs that there can be.
    fn capacity(&self) -> usize {
        let (start, end) = (usize::from(*self.range.start()), usize::from(*self.range.end()));
        if start == 0 { SYSTEM_PAIRS } else { (end + 1).saturating_sub(start + start % 2) / 2 }
    }

    /// The next port to try that is not known to be taken; `None` if all are.
    fn choose_free(&self) -> Option<u16> {
        let taken = self.taken.lock();
        let capacity = self.capacity();
        if taken.ports.len() >= capacity {
            return None;
        }
        (0..capacity).map(|_| self.choose()).find(|port| !taken.ports.contains(port))
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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
    async fn no_peer_holds_more_than_its_share_and_a_full_range_is_known_at_once() {
        let peer = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
        // Any range that others do not use just now, with room for some that they do.
        let start = Ports::new(0..=0).pair(LOCALHOST).unwrap().rtp.port().unwrap().min(65_000);
        let ports = Ports::new(start..=start + 2 * 40 - 1);
        assert_eq!(ports.capacity(), 40);
        let mut held: Vec<_> =
            (0..16).map(|_| ports.pair_for(peer(1), LOCALHOST).unwrap()).collect();
        let refused = ports.pair_for(peer(1), LOCALHOST).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
        held.push(ports.pair_for(peer(2), LOCALHOST).unwrap());
        // What we have called for ourselves, and this host, have no share.
        held.push(ports.pair(LOCALHOST).unwrap());
        held.push(ports.pair_for(LOCALHOST, LOCALHOST).unwrap());
        held.swap_remove(0);
        held.push(ports.pair_for(peer(1), LOCALHOST).unwrap());
        while let Ok(pair) = ports.pair(LOCALHOST) {
            held.push(pair);
        }
        assert_eq!(ports.taken.lock().ports.len(), held.len());
        drop(held);
        assert!(ports.taken.lock().ports.is_empty() && ports.taken.lock().by_peer.is_empty());
    }

    #[tokio::test]
    async fn connections_are_listened_for_in_the_range() {
        let port = Ports::new(0..=0).pair(LOCALHOST).unwrap().rtp.port().unwrap().min(65_000);
        // With room for some that others use just now.
        let range = port..=port + 2 * 20 - 1;
        let listening = Ports::new(range.clone()).listening(LOCALHOST).unwrap();
        let port = listening.address().port();
        assert!(range.contains(&port) && port.is_multiple_of(2), "{port} in {range:?}");
    }
}
