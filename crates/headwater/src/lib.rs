//! Headwater, a live media server: streams in over RTMP, out over RTMP and HTTP/WebSocket-FLV.
//!
//! The program is `headwater`; this library is for those who embed it: [`Server::start`] with
//! [`Options`] runs everything, [`Server::context`] leads to streams and sessions.

mod options;
mod recordings;
mod server;
mod viewers;

pub use net::Egress;
pub use server::{Addresses, Options, Server, StartError, TlsFiles};
