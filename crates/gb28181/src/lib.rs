//! GB/T 28181: how cameras and recorders in China register with a platform, tell what they have,
//! and are asked to send media.
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`message`] | requests and responses, in datagrams and connections | RFC 3261 §7, RFC 3581 |

mod error;
pub mod id;
pub mod message;
pub mod ptz;
pub mod ssrc;

pub use error::Error;
