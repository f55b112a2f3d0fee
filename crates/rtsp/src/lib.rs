//! The Real Time Streaming Protocol: how cameras, VMS and players agree on what RTP carries.
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`message`] | requests, responses and the packets between them | [RFC 2326] §4–7, §10.12 |
//! | [`transport`] | the `Transport` header | RFC 2326 §12.39 |
//! | [`url`] | addresses, and those of tracks | RFC 2326 §3.2, C.1.1 |
//! | [`server`] | one connection of a publisher or a viewer | RFC 2326 §10 |
//! | [`client`] | one connection to a server that we publish to or read from | RFC 2326 §10 |
//!
//! No I/O: bytes in, events and bytes out. Start with [`server::Session`] or [`client::Session`].
//!
//! [RFC 2326]: https://www.rfc-editor.org/rfc/rfc2326

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod client;
mod error;
pub mod message;
pub mod server;
pub mod transport;
pub mod url;

pub use error::Error;

/// The field in which servers of this kind say through which others a request has come.
pub const VIA: &str = "Headwater-Via";
