//! The operator's connections, and how many there may be.
//!
//! One address cannot keep the others out, and all others together cannot keep out those who are
//! on this host: whoever has to end a flood can do it from there. A connection without a request
//! ends by itself (`control::web`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use control::web::{self, Router};
use net::{Connecting, Listener};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tracing::warn;

/// How long a connection may take to come up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections in all.
const MAX_CONNECTIONS: usize = 512;

/// Those of them that are left for this host.
const RESERVE: usize = 64;

/// Connections from one address that is not this host's: several pages of a browser, or a program
/// that asks for many things at once.
const MAX_PER_ADDRESS: usize = 64;

/// Bits of an IPv6 address that one peer has at least to itself: it could come from any below.
const NETWORK_BITS: u32 = 64;

/// How often it is logged that there are too many.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Counts connections.
#[derive(Debug, Default)]
pub(super) struct Room {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A counted connection; given back when it is dropped.
#[derive(Debug)]
struct Place {
    room: Arc<Room>,
    address: IpAddr,
}

impl Room {
    /// Counts a connection in, if there is room for it.
    fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let address = whose(peer);
        let mut by_address = self.by_address.lock();
        let total: usize = by_address.values().sum();
        let own = by_address.get(&address).copied().unwrap_or(0);
        let is_full = if address.is_loopback() {
            total >= MAX_CONNECTIONS
        } else {
            let elsewhere: usize = by_address
                .iter()
                .filter(|(address, _)| !address.is_loopback())
                .map(|(_, count)| count)
                .sum();
            own >= MAX_PER_ADDRESS
                || elsewhere >= MAX_CONNECTIONS - RESERVE
                || total >= MAX_CONNECTIONS
        };
        if is_full {
            return None;
        }
        by_address.insert(address, own + 1);
        Some(Place { room: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.room.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// What stands for a peer: its address, or the network where it may have as many as it likes.
fn whose(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let network = address.to_bits() >> NETWORK_BITS << NETWORK_BITS;
            IpAddr::V6(network.into())
        }
        address => address,
    }
}

/// Serves operators until the task ends, and their connections with it.
pub(super) async fn serve(listener: Listener, router: Router, room: Arc<Room>) {
    let mut serving = JoinSet::new();
    let mut said: Option<Instant> = None;
    loop {
        let connecting = listener.accept().await;
        while serving.try_join_next().is_some() {}
        let peer = connecting.peer();
        if let Some(place) = room.enter(peer.ip()) {
            serving.spawn(serve_one(connecting, router.clone(), place));
        } else if said.is_none_or(|said| said.elapsed() > LOG_INTERVAL) {
            said = Some(Instant::now());
            warn!(%peer, "there are too many connections to the API: this one is closed");
        }
    }
}

async fn serve_one(connecting: Connecting, router: Router, _place: Place) {
    let peer = connecting.peer();
    if let Ok(conn) = connecting.establish(PATIENCE).await {
        web::serve(conn, peer, Bytes::new(), router).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_keeps_nobody_out() {
        let room = Arc::new(Room::default());
        let flood = ip("192.0.2.1");
        let places: Vec<_> = (0..MAX_CONNECTIONS).map_while(|_| room.enter(flood)).collect();
        assert_eq!(places.len(), MAX_PER_ADDRESS);
        assert!(room.enter(ip("192.0.2.2")).is_some());
        drop(places);
        assert!(room.enter(flood).is_some());
        assert!(room.by_address.lock().is_empty(), "nothing is remembered of those who are gone");
    }

    #[test]
    fn addresses_of_one_network_are_one_peer() {
        let room = Arc::new(Room::default());
        let at = |n: u16| room.enter(ip(&format!("2001:db8:0:1::{n:x}")));
        let places: Vec<_> = (1..=1000).map_while(at).collect();
        assert_eq!(places.len(), MAX_PER_ADDRESS);
        assert!(room.enter(ip("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn this_host_gets_in_when_all_others_flood() {
        let room = Arc::new(Room::default());
        let all = (0..=255).flat_map(|n| (0..MAX_PER_ADDRESS).map(move |_| n));
        let others: Vec<_> = all.filter_map(|n| room.enter(ip(&format!("192.0.2.{n}")))).collect();
        assert_eq!(others.len(), MAX_CONNECTIONS - RESERVE);
        let own = ["127.0.0.1", "::1", "::ffff:127.0.0.1"].map(ip);
        let own: Vec<_> = own.iter().cycle().map_while(|own| room.enter(*own)).collect();
        assert_eq!(own.len(), RESERVE, "and is bounded, too");
    }
}
