//! How many connections a peer, and all peers together, may have.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The most connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In all.
    pub connections: usize,
    /// From one address; loopback addresses are exempt, since a proxy or a test on the same host
    /// speaks for many.
    pub per_address: usize,
}

/// Counts connections.
#[derive(Debug)]
pub struct Admission {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A counted connection; given back when it is dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    peer: SocketAddr,
}

impl Admitted {
    /// The peer's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The server is full.
    #[error("the server already has {0} connections, the most that limits.connections allows")]
    Full(usize),
    /// The address has its share.
    #[error(
        "this address already has {0} connections, the most that limits.connections_per_address \
         allows"
    )]
    Share(usize),
}

impl Admission {
    /// Counts from zero.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        let state = State { limits, total: 0, by_address: HashMap::new() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Changes the limits for connections that come from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.state.lock().limits = limits;
    }

    /// Counts a connection in.
    ///
    /// # Errors
    /// [`Refusal`] says which limit is reached.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Admitted, Refusal> {
        let address = peer.ip();
        let mut state = self.state.lock();
        let limits = state.limits;
        if state.total >= limits.connections {
            return Err(Refusal::Full(limits.connections));
        }
        let of_address = state.by_address.entry(address).or_default();
        if *of_address >= limits.per_address && !address.is_loopback() {
            return Err(Refusal::Share(limits.per_address));
        }
        *of_address += 1;
        state.total += 1;
        Ok(Admitted { admission: self.clone(), peer })
    }

    /// How many connections there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.state.lock().total
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock();
        state.total = state.total.saturating_sub(1);
        if let Some(count) = state.by_address.get_mut(&self.peer.ip()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.by_address.remove(&self.peer.ip());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_kept_and_given_back() {
        let admission = Admission::new(Limits { connections: 3, per_address: 2 });
        let (a, b) = (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into());
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(a).unwrap();
        assert_eq!(admission.admit(a).unwrap_err(), Refusal::Share(2));
        let _third = admission.admit(b).unwrap();
        assert_eq!(admission.admit(b).unwrap_err(), Refusal::Full(3));
        drop(first);
        assert_eq!(admission.total(), 2);
        assert!(admission.admit(a).is_ok());
    }

    #[test]
    fn loopback_has_no_share() {
        let admission = Admission::new(Limits { connections: 10, per_address: 1 });
        let kept: Vec<_> = (0..5).map(|_| admission.admit(([127, 0, 0, 1], 1).into())).collect();
        assert!(kept.iter().all(Result::is_ok));
    }
}
