//! RTMP and Enhanced RTMP as sans-IO state machines, server and client halves.
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`handshake`] | plain and with digests | RTMP 1.0 §5.2 |
//! | [`chunk`] | bytes to messages and back | RTMP 1.0 §5.3 |
//! | [`message`] | types, protocol and user control | RTMP 1.0 §5.4, §7.1 |
//! | [`aggregate`] | messages within a message | RTMP 1.0 §7.1.6 |
//! | [`command`] | connect, publish, play, answers, statuses | RTMP 1.0 §7.2 |
//! | [`server`], [`client`] | the two halves of a connection | RTMP 1.0 §7.2, §7.3; Enhanced RTMP v2 |
//! | [`url`] | addresses of streams | RTMP 1.0 §7.2.1.1, practice |
//! | [`auth`] | the "adobe" challenge, answered | practice |
//!
//! Start with [`server::Session`] or [`client::Session`]. They hold no socket, clock or random
//! source: bytes and the time go in, bytes, events and a deadline come out. What is heard of media
//! is FLV tag bodies, as crate `flv` reads them; they are not looked into here.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! use headwater_rtmp::client::{self, Event as Heard};
//! use headwater_rtmp::server::{self, Event};
//! use headwater_rtmp::url::Target;
//!
//! let now = Instant::now();
//! let target = Target::parse("rtmp://localhost/live/test")?;
//! let mut publisher = client::Session::push(target, client::Config::default(), 1, now);
//! let mut server = server::Session::new(Arc::new(server::Config::default()), 2, now);
//! // In place of a connection between them:
//! let mut ready = false;
//! while !ready {
//!     while let Some(bytes) = publisher.poll_transmit() {
//!         server.handle_input(&bytes, now)?;
//!     }
//!     while let Some(event) = server.poll_event() {
//!         match event {
//!             Event::Connect(request) if request.app == "live" => server.accept_connect(now)?,
//!             Event::Publish { stream, .. } => server.accept_publish(stream, now)?,
//!             _ => {}
//!         }
//!     }
//!     while let Some(bytes) = server.poll_transmit() {
//!         publisher.handle_input(&bytes, now)?;
//!     }
//!     ready = std::iter::from_fn(|| publisher.poll_event()).any(|e| e == Heard::Ready { stream: 1 });
//! }
//! publisher.send_video(0, &[0x17, 0x02, 0, 0, 0])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `tokio`, `tokio_client` runs the client over any stream of bytes.

mod ack;
pub mod aggregate;
pub mod auth;
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
