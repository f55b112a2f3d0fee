//! Elementary streams in PES packets: how access units are written, and found again.

mod read;
mod write;

pub(crate) use read::{Parser, Unit};
pub(crate) use write::{EXTENSION, Mapping, OPUS_EXTENSION, REGISTRATION};
