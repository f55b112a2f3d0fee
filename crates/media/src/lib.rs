//! Headwater's shared vocabulary of media: what every protocol crate, packager and viewer speaks.
//!
//! Start with [`Frame`] (one coded picture or audio frame), [`Track`] (what a decoder must know
//! before the first frame) and [`Ticks`] (a time stamp that knows its clock).
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`nal`] | NAL units: lengths, byte stream, emulation prevention | H.264 Annex B, ISO/IEC 14496-15 |
//! | [`h264`] | NAL units, parameter sets, `AVCDecoderConfigurationRecord` | ITU-T H.264, ISO/IEC 14496-15 §5.3 |
//! | [`h265`] | NAL units, parameter sets, `HEVCDecoderConfigurationRecord` | ITU-T H.265, ISO/IEC 14496-15 §8.3 |
//! | [`h266`] | key frame test | ITU-T H.266 |
//! | [`av1`] | OBUs, sequence header, `AV1CodecConfigurationRecord` | AV1 bitstream §5, AV1-ISOBMFF §2.3 |
//! | [`vp`] | VP8 and VP9 frame headers, `vpcC` | RFC 6386 §9.1, VP9 bitstream §6, VP-codec-ISO-BMFF |
//! | [`aac`] | `AudioSpecificConfig`, ADTS | ISO/IEC 14496-3 §1.6 |
//! | [`opus`] | packet durations, `OpusHead` | RFC 6716 §3, RFC 7845 §5.1 |
//! | [`mp3`] | MPEG audio frame headers | ISO/IEC 11172-3 §2.4 |
//! | [`ac3`] | AC-3 and E-AC-3 frame headers | ETSI TS 102 366 |
//! | [`flac`] | `STREAMINFO`, frame sizes | RFC 9639 §8.2, §9.1 |
//! | [`inspect`] | the same questions to all of them | RFC 6381 |
//!
//! No I/O, no clock, no allocation by a length that was not checked.

pub mod aac;
pub mod ac3;
pub mod av1;
mod bits;
mod codec;
mod error;
pub mod flac;
mod frame;
mod frames;
mod grid;
pub mod h264;
pub mod h265;
pub mod h266;
pub mod inspect;
pub mod mp3;
pub mod nal;
pub mod opus;
mod reader;
mod time;
mod track;
pub mod vp;
mod vui;

pub use bits::BitReader;
pub use codec::{Codec, EncodingName, FourCc};
pub use error::Error;
pub use frame::{Frame, FrameKind, Units};
pub use grid::SampleClock;
pub use reader::Reader;
pub use time::{Ticks, TimeBase};
pub use track::{AudioDetails, Details, Track, TrackId, TrackKind, TrackSet, VideoDetails};
