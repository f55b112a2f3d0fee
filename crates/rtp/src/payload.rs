//! Payload formats: how frames are cut into packets, and put together again.
//!
//! One module per family, with both directions. What comes out is a [`Unit`]: an access unit in
//! the canonical form of [`media::Frame`], except that parameter sets are still in it. What goes in
//! is a frame of a track.

pub(crate) mod aac;
pub(crate) mod av1;
pub(crate) mod h264;
pub(crate) mod h265;
pub(crate) mod latm;
pub(crate) mod mp3;
mod nal;
pub(crate) mod opaque;
pub(crate) mod raw;
#[cfg(test)]
mod tests;
mod vp;
pub(crate) mod vp8;
pub(crate) mod vp9;

use std::fmt;

use bytes::Bytes;
use media::{Error, Frame};

use crate::Packet;

/// Bytes that one access unit may have: the largest key frames of 8K cameras stay below.
pub const MAX_UNIT: usize = 16 << 20;

/// An access unit, or a frame of sound, that was put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The RTP timestamp of its presentation.
    pub timestamp: u32,
    /// NAL units with four-byte lengths, parameter sets among them; OBUs with sizes; a raw frame.
    pub data: Bytes,
    /// Something is missing in it, or all of it.
    pub torn: bool,
}

/// Puts frames together out of the payloads of one source, in the order of sequence numbers.
pub trait Depacketizer: Send + fmt::Debug {
    /// Takes the next packet. `lost` says that one or more before it are missing.
    ///
    /// # Errors
    /// [`Error`] when the payload is malformed. What it belongs to is lost then; the next packets
    /// may be good again.
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error>;

    /// The next unit that is complete; to be asked until it is `None` after each packet.
    fn poll(&mut self) -> Option<Unit>;

    /// No packet follows soon: a unit that only waited for the next packet is complete.
    fn flush(&mut self) {}

    /// The decoder configuration, where packets bring one and it has changed.
    fn take_config(&mut self) -> Option<Bytes> {
        None
    }
}

/// Takes the payloads of the packets that a frame becomes.
pub trait Sink {
    /// One payload, in pieces.
    fn packet(&mut self, pieces: &[&[u8]], marker: bool);

    /// The payloads that follow belong to a time that is so many ticks later.
    fn advance(&mut self, ticks: u32);
}

/// Cuts the frames of one track into payloads.
pub trait Packetizer: Send + fmt::Debug {
    /// Hands `sink` the payloads of a frame, each of `max` bytes at most (at least 64). Where a
    /// piece of media does not fit, all its packets but the last have exactly `max` bytes, so that
    /// the system can cut them apart.
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink);
}
