//! The sections of the configuration and their keys: this is the place to look a setting up, and
//! to add one, in the file of its subject.
//!
//! A setting has its line here, and its row in `docs/configuration.md`: a test compares them.

mod access;
mod api;
mod devices;
mod hls;
mod http;
mod record;
mod relay;
mod rtmp;
mod rtsp;
mod server;
mod stream;
mod webhooks;

pub use self::access::{Access, Auth};
pub use self::api::Api;
pub use self::devices::{Gb28181, Ps};
pub use self::hls::Hls;
pub use self::http::{Flv, Http, Mp4, Ts};
pub use self::record::Record;
pub use self::relay::Relay;
pub use self::rtmp::Rtmp;
pub use self::rtsp::Rtsp;
pub use self::server::{Limits, Log, Server, Tls};
pub use self::stream::{Stream, StreamOverride};
pub use self::webhooks::Webhooks;
