//! Headwater, a live media server: streams in over RTMP and RTSP, out over RTMP, RTSP, HLS, and as FLV,
//! MPEG-TS and MP4 over HTTP and WebSocket.
//!
//! The program is `headwater`; this library is for programs that have the server inside them.
//!
//! ```no_run
//! use headwater::Server;
//! use headwater::media::{Codec, Ticks, TimeBase};
//! use headwater::publish::{AccessUnit, TrackDescription};
//! use headwater::subscribe::Event;
//!
//! # fn next_access_unit() -> Option<(i64, Vec<u8>)> { None }
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A server that others publish to and watch.
//! let server = Server::builder().rtmp("127.0.0.1:1935").http("127.0.0.1:8080").start()?;
//! let handle = server.handle().clone();
//!
//! // Frames in: watch them at http://127.0.0.1:8080/live/camera.flv
//! let publisher = handle.publish("live/camera")?;
//! let video = publisher.add_track(TrackDescription::new(Codec::H264))?;
//! while let Some((millis, annex_b)) = next_access_unit() {
//!     let pts = Ticks::from_millis(millis, TimeBase::VIDEO);
//!     publisher.send(AccessUnit::new(video, pts, annex_b))?;
//! }
//!
//! // Frames out: whatever somebody publishes as live/other.
//! let mut frames = handle.subscribe("live/other", Default::default()).await?;
//! while let Some(event) = frames.next().await {
//!     if let Event::Frame(frame) = event {
//!         println!("{} {} ms: {} bytes", frame.track, frame.dts.millis(), frame.data.len());
//!     }
//! }
//!
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | start with a configuration of your own, or settings in code | [`Builder`] |
//! | publish frames, FLV tags, payloads of RTMP | [`publish`] |
//! | get the frames of a stream, or of every stream | [`subscribe`], [`Builder::on_stream`] |
//! | decide who may publish and play | [`access`], [`Builder::gate`] |
//! | set what differs by stream | [`Builder::stream_settings`] |
//! | hear what happens | [`events`], [`Builder::on_event`] |
//! | list and end sessions, relay, record | [`Handle`] |
//! | read payloads: NAL units, parameter sets | [`media`] |
//!
//! The library sets up no logging (it speaks through `tracing`), takes no signal, chooses no
//! allocator, and keeps nothing for the whole process: servers can run beside each other.

pub mod access;
mod builder;
mod devices;
pub mod events;
mod handle;
mod held;
mod hooks;
mod operations;
mod options;
pub mod publish;
mod receivers;
mod recordings;
mod relays;
mod server;
pub mod subscribe;
mod token;
mod viewers;

pub use ::flv;
pub use ::media;
pub use builder::Builder;
#[doc(inline)]
pub use config::Error as ConfigError;
pub use events::SessionInfo;
pub use handle::{Handle, StreamInfo};
#[doc(inline)]
pub use hub::{
    EndReason, NameError, Protocol, Recorded, Repairs, Role, SecondPublisher, StreamName,
    StreamSettings, StreamState,
};
#[doc(inline)]
pub use net::Egress;
#[doc(hidden)] // the program's own way to start
pub use operations::ReloadRequest;
#[doc(hidden)]
pub use options::{ApiKey, Options, Sip, TlsFiles};
pub use server::{Addresses, Server, StartError};

/// Streams from other servers, and to them.
pub mod relay {
    #[doc(inline)]
    pub use config::values::RtspTransport;
    #[doc(inline)]
    pub use control::relays::{PullOrder, RelayError, Relayed};
}

/// Streams that devices of GB/T 28181 send (PS over RTP).
pub mod receive {
    #[doc(inline)]
    pub use control::receivers::{
        Opened, Payload, ReceiveError, ReceiveOrder, Receiver as Received, Transport,
    };
}

/// Streams in files.
pub mod record {
    #[doc(inline)]
    pub use config::values::RecordFormat;
    #[doc(inline)]
    pub use control::operations::{RecordError, Recording};
}

/// The page about embedding: its programs compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct Guide;
