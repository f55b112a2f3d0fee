//! Where messages come from and go to.

use std::net::SocketAddr;

/// What carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Carrier {
    /// Datagrams.
    Udp,
    /// A connection, under the number that its owner gave it. Numbers are never used again.
    Tcp(u64),
}

/// The other end of a conversation, as the network shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// What carries messages.
    pub carrier: Carrier,
    /// Where they come from, and where answers go.
    pub address: SocketAddr,
}

impl Peer {
    /// A peer that sends datagrams.
    #[must_use]
    pub fn udp(address: SocketAddr) -> Self {
        Self { carrier: Carrier::Udp, address }
    }

    /// A peer at the other end of a connection.
    #[must_use]
    pub fn tcp(connection: u64, address: SocketAddr) -> Self {
        Self { carrier: Carrier::Tcp(connection), address }
    }

    /// Whether what is sent may be lost.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.carrier == Carrier::Udp
    }

    /// The name of the carrier in a `Via`.
    pub(crate) fn via(&self) -> &'static str {
        if self.is_lossy() { "UDP" } else { "TCP" }
    }
}
