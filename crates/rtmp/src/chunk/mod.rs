//! The chunk stream: RTMP 1.0 §5.3.
//!
//! [`Reader`] turns bytes into messages, however they are cut; [`write_message`] appends one
//! message as chunks. Writing keeps no state: every message begins with a type-0 header and an
//! absolute time, so that one serialisation serves every viewer, and a viewer can begin at, or
//! skip to, any message.

mod reader;
mod writer;

pub use reader::{Limits, Reader};
pub use writer::{Header, serialised_len, write_message};

/// Chunk stream of protocol control messages (§5.4 demands it).
pub const CONTROL: u32 = 2;

/// Chunk stream of NetConnection commands; encoders refuse a connect reply on any other.
pub const COMMAND: u32 = 3;

/// Chunk stream of script data and of the status messages of message streams.
pub const DATA: u32 = 5;

/// Chunk stream of audio.
pub const AUDIO: u32 = 6;

/// Chunk stream of video.
pub const VIDEO: u32 = 7;

/// The longest message: its length is a 24-bit field.
pub const MAX_MESSAGE: usize = 0x00FF_FFFF;

/// The 24-bit time that says that a 32-bit one follows.
const EXTENDED: u32 = 0x00FF_FFFF;

/// How many payload bytes a chunk carries at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u32);

impl Size {
    /// What both sides begin with.
    pub const INITIAL: Self = Self(128);

    /// What this crate announces: nearly every frame is one chunk, and below 65 536, which is the
    /// largest size that every server and player accepts.
    pub const DEFAULT: Self = Self(60_000);

    /// A size as Set Chunk Size announces it. Sizes above the longest message mean the same as
    /// that; `None` for zero and for values with the reserved high bit.
    #[must_use]
    pub fn new(size: u32) -> Option<Self> {
        (1..=0x7FFF_FFFF).contains(&size).then(|| Self(size.min(0x00FF_FFFF)))
    }

    /// The number of bytes.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number of bytes, as a length.
    fn len(self) -> usize {
        // At most 24 bits, see `new`.
        self.0 as usize
    }
}
