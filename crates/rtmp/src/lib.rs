//! RTMP as sans-IO state machines: server and client halves.

pub mod aggregate;
pub mod chunk;
mod error;
pub mod handshake;
pub mod message;
pub mod url;

pub use error::Error;
