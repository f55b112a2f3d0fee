//! RTMP as sans-IO state machines: server and client halves.

mod ack;
pub mod aggregate;
pub mod chunk;
pub mod client;
pub mod command;
mod error;
pub mod handshake;
pub mod message;
pub mod server;
#[cfg(feature = "tokio")]
pub mod tokio_client;
pub mod url;

pub use error::Error;
