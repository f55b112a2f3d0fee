//! HTTP Live Streaming of a live stream (RFC 8216 and draft-pantos-hls-rfc8216bis, cited as "HLS"):
//! frames in, segments, parts and playlists out; and the playlists of others, read.
//!
//! | module | subject | clause |
//! |---|---|---|
//! | [`Rendition`] | where segments and parts begin and end, and what is listed | HLS §3, §6.2 |
//! | [`Window`] | what a player may ask for at one moment, and the playlist of it | HLS §4.4, §6.2.5 |
//! | [`playlist`] | how it is written | HLS §4.4.1 to §4.4.5 |
//! | [`multivariant`] | the playlist that says what there is to decode | HLS §4.4.6 |
//! | [`Directives`] | blocking reload and delta updates | HLS §6.2.5.2 |
//! | [`name`] | what files are called | |
//! | [`client`] | reading what other servers have | RFC 8216 §4, §6.3 |
//!
//! No I/O, no clock: whoever feeds a rendition says what time it is.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod client;
mod container;
mod directives;
pub mod multivariant;
pub mod name;
pub mod playlist;
mod rendition;
mod settings;
mod window;

pub use directives::{Answer, DirectiveError, Directives};
pub use rendition::{Outcome, Rendition, Resume};
pub use settings::{Container, Settings};
pub use window::{Init, Part, Resource, Segment, Window};

/// Ticks per second of all times here.
pub const TIMESCALE: i64 = 90_000;
