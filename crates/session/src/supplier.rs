//! Whoever can bring a stream that nobody publishes here: relays, devices that are called.

use std::net::SocketAddr;
use std::sync::Arc;

use hub::{Address, StreamName};

/// Brings streams when somebody wants them.
pub(crate) trait Supplier: Send + Sync {
    /// Somebody wants a stream, and has asked for it at this address; nothing here waits. Whether
    /// it comes, now or soon.
    fn want(self: Arc<Self>, stream: &StreamName, asked: &Address) -> bool;

    /// Whether a viewer at this address is our own call for the stream: it would go round in a
    /// circle.
    fn calls_from(&self, _stream: &StreamName, _viewer: SocketAddr) -> bool {
        false
    }
}
