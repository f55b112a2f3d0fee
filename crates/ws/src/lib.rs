//! HTTP/1.x heads and WebSocket frames for media connections.
//!
//! A viewer of HTTP-FLV, HTTP-TS or their WebSocket forms sends one request head and then takes
//! bytes for hours. This crate is what such a connection needs and no more: [`Request`] parses the
//! head under limits, [`Responder`] builds the answer, [`frame`] writes and reads WebSocket frames,
//! and [`client`] is the other side of all three, for pulls and load generators.
//!
//! It implements the parts of [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112) (HTTP/1.1),
//! [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455) (WebSocket) and the
//! [Fetch standard](https://fetch.spec.whatwg.org/#http-cors-protocol) (CORS) that media
//! connections meet. It opens no socket, reads no clock and knows no media; it does not do
//! HTTP/2, compression, WebSocket extensions or request bodies beyond saying how they are framed.
//!
//! ```
//! use headwater_ws::head::Limits;
//! use headwater_ws::response::{LiveBody, switching_protocols};
//! use headwater_ws::{Cors, Request, Responder};
//!
//! /// What to answer once the bytes received so far hold a whole head.
//! fn answer(received: &[u8]) -> Option<bytes::Bytes> {
//!     let (request, _consumed) = match Request::parse(received, &Limits::default()) {
//!         Ok(parsed) => parsed?,
//!         Err(error) => return Some(Responder::unparsed().error(&error)),
//!     };
//!     let responder = Responder::new(&request, Cors::Any);
//!     Some(match request.upgrade() {
//!         Ok(Some(upgrade)) => switching_protocols(&upgrade, &[]),
//!         Ok(None) => responder.live("video/x-flv", LiveBody::UntilClose),
//!         Err(error) => responder.error(&error),
//!     })
//! }
//!
//! assert_eq!(answer(b"GET /live/cam.flv HTTP/1.1\r\n"), None);
//! let head = answer(b"GET /live/cam.flv HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
//! assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
//! ```

pub mod client;
pub mod frame;
pub mod head;
pub mod response;

mod accept;
mod fields;
mod target;

pub use fields::{Body, Fields};
pub use head::{Method, Request, Version};
pub use response::{Cors, Responder, Status};
