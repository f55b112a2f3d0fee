//! FLV tags and files, AMF0 and AMF3, legacy and Enhanced payload headers.
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`amf0`] | action message format of commands and metadata | Adobe AMF 0 (2007) |
//! | [`amf3`] | the same for ActionScript 3 | Adobe AMF 3 (2013) |
//! | [`budget`] | what one message of either may hold | |
//! | [`script`] | script data bodies, `onMetaData` | FLV 10.1 E.4.4, E.5 |
//! | [`video`], [`audio`] | payload headers of both generations | FLV 10.1 E.4.2–3, Enhanced RTMP v2 |
//! | [`caps`] | what a peer says it understands | Enhanced RTMP v2, connect |
//! | [`tag`] | file header, tags, an incremental reader | FLV 10.1 E.2–E.4 |
//!
//! No I/O. Payloads are slices of the input; nothing is copied, and nothing is allocated by a
//! length that was not checked.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod amf0;
pub mod amf3;
pub mod audio;
pub mod budget;
pub mod caps;
mod error;
pub mod payload;
pub mod script;
pub mod tag;
pub mod video;

pub use error::Error;
