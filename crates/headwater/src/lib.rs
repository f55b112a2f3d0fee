//! Headwater, a live media server: streams in over RTMP and RTSP, out over RTMP, RTSP, HLS, and as FLV,
//! MPEG-TS and MP4 over HTTP and WebSocket.
//!
//! The program is `headwater`; this library is for those who embed it: [`Server::start`] with
//! [`Options`] runs everything, [`Server::context`] leads to streams and sessions.

mod devices;
mod operations;
mod options;
mod receivers;
mod recordings;
mod relays;
mod server;
mod token;
mod viewers;

pub use net::Egress;
pub use operations::ReloadRequest;
pub use options::{ApiKey, Options, Sip, TlsFiles};
pub use server::{Addresses, Server, StartError};
