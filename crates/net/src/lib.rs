//! Sockets and threads: shards, listeners, TLS and the egress engine.
//!
//! A [`Shard`] is one thread with a current-thread runtime. Sessions negotiate as tasks on it; a
//! viewer that has joined is no task but an entry of the shard's engine, which walks the viewers
//! of a packet ring with one vectored write each. [`Shards`] starts the threads and places work,
//! [`Listening`] and [`Listener`] accept connections, [`connect`] makes them, [`Conn`] is a socket
//! with or without TLS.

mod client;
mod conn;
mod datagram;
mod engine;
mod inbox;
mod listener;
mod multicast;
mod shard;
mod tls;
mod uring;
mod viewer;

pub use client::{ClientTls, Trust, connect};
pub use conn::{Conn, Connecting, pair};
pub use datagram::{Bound, BoundPair, Datagrams, Pair, Ports, Room, address_towards};
pub use hub::Targets;
pub use listener::{Listener, Listening};
pub use multicast::{BoundGroup, Group, GroupRules, Groups};
pub use shard::{Egress, Shard, Shards};
pub use tls::{Tls, TlsError};
pub use viewer::{Action, Begin, Joining, Outlet, Peer};
