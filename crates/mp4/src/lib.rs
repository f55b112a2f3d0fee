//! Fragmented MP4 as CMAF and Media Source Extensions want it: an initialisation section, then
//! fragments that can be played as they come.
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`Fragmenter`] | frames in, fragments out | ISO/IEC 14496-12 §8.8, ISO/IEC 23000-19 |
//! | [`codec`] | which tracks there is a sample entry for | ISO/IEC 14496-12 §8.5.2 and the codecs' own |
//! | [`index`] | the list of fragments at the end of a file | ISO/IEC 14496-12 §8.8.9 |
//! | [`read`] | fragments that others wrote, back into frames | ISO/IEC 14496-12 §8.8 |
//!
//! No I/O. Files without fragments are the business of whoever opens them.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod boxes;
pub mod codec;
mod fragment;
pub mod index;
mod init;
pub mod read;

pub use fragment::{Change, Fragment, Fragmenter};
