//! MPEG systems: what set-top boxes, HLS players and contribution links read.
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`ts`] | transport packets, a muxer and a demuxer | ISO/IEC 13818-1 §2.4.3 |
//! | [`ps`] | program streams, a demuxer | ISO/IEC 13818-1 §2.5, GB/T 28181 |
//! | [`psi`] | PAT and PMT, sections, their checksum | ISO/IEC 13818-1 §2.4.4 |
//! | [`pes`] | packetised elementary streams | ISO/IEC 13818-1 §2.4.3.6 |
//! | [`clock`] | 33 bits of a 90 kHz clock, unwrapped | ISO/IEC 13818-1 §2.4.2.1 |
//!
//! No I/O. Lengths are checked before anything is allocated by them.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod clock;
mod es;
pub mod pes;
pub mod ps;
pub mod psi;
pub mod ts;
