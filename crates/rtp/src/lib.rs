//! The Real-time Transport Protocol: what cameras, VMS and WebRTC carry media in.
//!
//! | module | subject | specification |
//! |---|---|---|
//! | [`packet`] | RTP packets | [RFC 3550] §5 |
//! | [`framing`] | packets in a stream of bytes, as devices of GB/T 28181 send them | [RFC 4571] |
//! | [`rtcp`] | sender and receiver reports, source descriptions, goodbyes | RFC 3550 §6 |
//! | [`receiver`] | one source as a receiver sees it: order, loss, jitter | RFC 3550 §6.4, A.1, A.3, A.8 |
//! | [`clock`] | RTP timestamps on the common time line of a session | RFC 3550 §5.1, §6.4.1 |
//! | [`dts`] | decoding times of sources that tell presentation times only | ITU-T H.264 §C.4.5.3 |
//! | [`dump`] | packets in files | pcap |
//! | [`sdp`] | session descriptions | [RFC 8866] |
//! | [`mod@format`] | what a description says of a medium, as a track; and back | RFC 3551, and those of the payload formats |
//! | [`payload`] | frames into packets, packets into frames | [RFC 6184], [RFC 7798], AV1 RTP, RFC 7741, RFC 9628, [RFC 3640], RFC 6416, RFC 2250, RFC 5219 |
//!
//! No I/O, no clock, no random numbers; nothing is allocated by a length that was not checked.
//!
//! [RFC 2250]: https://www.rfc-editor.org/rfc/rfc2250
//! [RFC 3550]: https://www.rfc-editor.org/rfc/rfc3550
//! [RFC 3640]: https://www.rfc-editor.org/rfc/rfc3640
//! [RFC 4571]: https://www.rfc-editor.org/rfc/rfc4571
//! [RFC 6184]: https://www.rfc-editor.org/rfc/rfc6184
//! [RFC 7798]: https://www.rfc-editor.org/rfc/rfc7798
//! [RFC 8866]: https://www.rfc-editor.org/rfc/rfc8866

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod clock;
pub mod dts;
pub mod dump;
pub mod format;
pub mod framing;
pub mod packet;
pub mod payload;
pub mod receiver;
pub mod rtcp;
pub mod sdp;

pub use media::Error;
pub use packet::Packet;
