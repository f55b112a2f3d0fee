//! GB/T 28181: how cameras and recorders in China register with a platform, tell what they have,
//! and are asked to send media.
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`message`] | requests and responses, in datagrams and connections | RFC 3261 §7, RFC 3581 |
//! | [`xml`], [`manscdp`] | what devices report and are asked | GB/T 28181 Annex A |
//! | [`ptz`] | commands to what moves a camera | GB/T 28181 Annex A.3 |
//! | [`sdp`], [`ssrc`] | offers of media and the answers to them | GB/T 28181 Annex F (2016) |
//! | [`transaction`] | what is sent again, and how long | RFC 3261 §17 |
//! | [`platform`] | the side that devices register with | GB/T 28181 §9 |
//! | [`id`] | identifiers | GB/T 28181 Annex D (2016) |
//!
//! No I/O: bytes, the time and a seed come in, messages and events go out. Start with
//! [`platform::Platform`].

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod error;
pub mod id;
mod local_time;
pub mod manscdp;
pub mod message;
mod peer;
pub mod platform;
pub mod ptz;
pub mod sdp;
pub mod ssrc;
mod timers;
pub mod transaction;
pub mod xml;

pub use error::Error;
pub use peer::{Carrier, Peer};
