//! How many connections a peer, and all peers together, may have.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use parking_lot::Mutex;

/// Networks that are blocked for a time at once.
const MAX_BLOCKED: usize = 100_000;

/// Which addresses may connect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// Only these; all of them if there is none.
    pub allow: Vec<IpNet>,
    /// None of these.
    pub deny: Vec<IpNet>,
}

/// A network that is blocked for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// Who.
    pub network: IpNet,
    /// Until when; for ever without.
    pub until: Option<Instant>,
}

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
    networks: Networks,
    /// Addresses and networks, and until when.
    blocked: HashMap<IpNet, Option<Instant>>,
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
    /// The address may not connect at all.
    #[error("this address is blocked")]
    Blocked,
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
        let state = State {
            limits,
            networks: Networks::default(),
            blocked: HashMap::new(),
            total: 0,
            by_address: HashMap::new(),
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Changes the limits for connections that come from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.state.lock().limits = limits;
    }

    /// Changes who may connect from now on.
    pub fn set_networks(&self, networks: Networks) {
        self.state.lock().networks = networks;
    }

    /// Blocks an address or a network. `false` if there are too many already.
    pub fn block(&self, network: IpNet, duration: Option<Duration>, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.forget_old(now);
        if state.blocked.len() >= MAX_BLOCKED {
            return false;
        }
        let until = duration.and_then(|duration| now.checked_add(duration));
        state.blocked.insert(network.trunc(), until);
        true
    }

    /// Blocks it no more; `false` if it was not blocked.
    pub fn unblock(&self, network: IpNet) -> bool {
        self.state.lock().blocked.remove(&network.trunc()).is_some()
    }

    /// What is blocked for a time, in the order of addresses.
    #[must_use]
    pub fn blocked(&self, now: Instant) -> Vec<Blocked> {
        let mut state = self.state.lock();
        state.forget_old(now);
        let all = state.blocked.iter().map(|(network, until)| (*network, *until));
        let mut all: Vec<_> = all.map(|(network, until)| Blocked { network, until }).collect();
        all.sort_by_key(|blocked| blocked.network);
        all
    }

    /// Whether an address may not connect.
    #[must_use]
    pub fn is_blocked(&self, address: IpAddr) -> bool {
        self.state.lock().blocks(address)
    }

    /// Counts a connection in.
    ///
    /// # Errors
    /// [`Refusal`] says which limit is reached.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Admitted, Refusal> {
        let address = peer.ip();
        let mut state = self.state.lock();
        if state.blocks(address) {
            return Err(Refusal::Blocked);
        }
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

impl State {
    fn forget_old(&mut self, now: Instant) {
        self.blocked.retain(|_, until| until.is_none_or(|until| until > now));
    }

    fn blocks(&self, address: IpAddr) -> bool {
        // An IPv4 peer of a socket for both families is the same peer.
        let address = address.to_canonical();
        let within = |networks: &[IpNet]| networks.iter().any(|net| net.contains(&address));
        let Networks { allow, deny } = &self.networks;
        if within(deny) || !(allow.is_empty() || within(allow)) {
            return true;
        }
        if self.blocked.is_empty() {
            return false;
        }
        let now = Instant::now();
        let holds = |until: &Option<Instant>| until.is_none_or(|until| until > now);
        self.blocked.iter().any(|(net, until)| net.contains(&address) && holds(until))
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
    fn who_is_blocked_stays_out_until_it_is_over() {
        let admission = Admission::new(Limits { connections: 9, per_address: 9 });
        let peer = |text: &str| SocketAddr::new(text.parse().unwrap(), 1);
        let (alice, mapped, bob) =
            (peer("192.0.2.1"), peer("::ffff:192.0.2.1"), peer("2001:db8::1"));
        let now = Instant::now();
        assert!(admission.block("192.0.2.0/24".parse().unwrap(), None, now));
        assert!(admission.block("2001:db8::1/128".parse().unwrap(), Some(Duration::ZERO), now));
        assert_eq!(admission.admit(alice).unwrap_err(), Refusal::Blocked);
        assert_eq!(admission.admit(mapped).unwrap_err(), Refusal::Blocked);
        assert!(admission.admit(bob).is_ok(), "its time is over");
        assert_eq!(admission.blocked(Instant::now()).len(), 1);
        assert!(admission.unblock("192.0.2.9/24".parse().unwrap()));
        assert!(!admission.unblock("192.0.2.9/24".parse().unwrap()));
        let networks = |allow: &[&str], deny: &[&str]| {
            let parse = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect();
            admission.set_networks(Networks { allow: parse(allow), deny: parse(deny) });
        };
        networks(&["192.0.2.0/24"], &[]);
        assert!(admission.admit(alice).is_ok() && admission.admit(bob).is_err());
        networks(&[], &["2001:db8::/32"]);
        assert!(admission.admit(mapped).is_ok() && admission.admit(bob).is_err());
    }

    #[test]
    fn loopback_has_no_share() {
        let admission = Admission::new(Limits { connections: 10, per_address: 1 });
        let kept: Vec<_> = (0..5).map(|_| admission.admit(([127, 0, 0, 1], 1).into())).collect();
        assert!(kept.iter().all(Result::is_ok));
    }
}
