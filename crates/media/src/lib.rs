//! Headwater's shared vocabulary of media: what every protocol crate, packager and viewer speaks.
//!
//! Start with [`Frame`] (one coded picture or audio frame), [`Track`] (what a decoder must know
//! before the first frame) and [`Ticks`] (a time stamp that knows its clock).
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`h264`] | NAL units, parameter sets, `AVCDecoderConfigurationRecord` | ITU-T H.264, ISO/IEC 14496-15 §5.3 |
//! | [`h265`] | NAL units, parameter sets, `HEVCDecoderConfigurationRecord` | ITU-T H.265, ISO/IEC 14496-15 §8.3 |
//! | [`av1`] | OBUs, sequence header, `AV1CodecConfigurationRecord` | AV1 bitstream §5, AV1-ISOBMFF §2.3 |
//! | [`vp`] | VP8 and VP9 frame headers, `vpcC` | RFC 6386 §9.1, VP9 bitstream §6, VP-codec-ISO-BMFF |
//! | [`aac`] | `AudioSpecificConfig`, ADTS | ISO/IEC 14496-3 §1.6 |
//! | [`audio`] | Opus, MP3, G.711, AC-3: packet durations and headers | RFC 6716, RFC 7845, ISO/IEC 11172-3 |
//!
//! No I/O, no clock, no allocation by a length that was not checked.

pub mod aac;
pub mod av1;
mod bits;
mod codec;
mod error;
mod frame;
pub mod h264;
pub mod h265;
pub mod h266;
pub mod nal;
mod reader;
mod time;
mod track;
pub mod vp;
mod vui;

pub use bits::BitReader;
pub use codec::{Codec, FourCc};
pub use error::Error;
pub use frame::{Frame, FrameKind, Units};
pub use reader::Reader;
pub use time::{Ticks, TimeBase};
pub use track::{AudioDetails, Details, Track, TrackId, TrackKind, TrackSet, VideoDetails};
