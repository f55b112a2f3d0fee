//! One module per kind of session: each leads a peer through its protocol and joins it to the hub.
//!
//! [`rtmp::serve`] and [`http::serve`] take a connection from its first byte to its end; [`hls`]
//! answers requests of whoever serves HTTP; [`customize`] publishes frames from inside the program.
//! What they share is the [`Context`].

mod admission;
mod context;
pub mod customize;
pub mod gb28181;
pub mod hls;
pub mod http;
mod ingest;
pub mod ps;
pub mod record;
pub mod relay;
pub mod remote;
pub mod rtmp;
pub mod rtsp;
mod supplier;
mod via;

pub use self::hls::{Hls, HlsSettings};
pub use self::ps::{Ps, PsSettings};
pub use self::record::{RecordSettings, Recorder};
pub use self::rtsp::{Rtsp, RtspSettings};
pub use admission::{Admission, Admitted, Blocked, Limits, Networks, Refusal};
pub use context::{Context, HttpSettings, LiveSettings, RtmpSettings, Settings, Tenure};
