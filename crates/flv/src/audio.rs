//! Audio payload headers, legacy and Enhanced.
//!
//! FLV 10.1 E.4.2.1 `AUDIODATA`, Enhanced RTMP v2 "Enhanced Audio". Tolerated: Opus as the
//! unofficial sound format 13.

use bytes::{BufMut, Bytes, BytesMut};
use media::{Codec, Reader};

use crate::Error;
use crate::payload::{self, Packets, TrackPacket, fourcc};

/// What a message holds for one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A decoder configuration: `AudioSpecificConfig`, `OpusHead`, …
    Config(Bytes),
    /// A coded frame.
    Frame(Bytes),
    /// No more frames until the next configuration.
    EndOfSequence,
    /// Channel order and mapping.
    MultichannelConfig(Bytes),
    /// A packet type that the specification does not name.
    Other(u8, Bytes),
}

/// An audio tag body, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sampling rate and so on of a legacy header; `None` if it is Enhanced.
    pub legacy: Option<Legacy>,
    /// Nanoseconds to add to the message's time.
    pub nano_offset: u32,
    /// What it holds; nothing, if it announces silence.
    pub packets: Packets<Packet>,
}

/// The flags of a legacy header. For AAC they mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Legacy {
    /// Samples per second, as far as two bits can tell.
    pub sample_rate: u32,
    /// Whether samples have 16 bits, and not 8.
    pub sixteen_bits: bool,
    /// Whether there are two channels.
    pub stereo: bool,
}

/// `SoundFormat`.
mod format {
    pub(super) const MP3: u8 = 2;
    pub(super) const PCM_A: u8 = 7;
    pub(super) const PCM_U: u8 = 8;
    pub(super) const ENHANCED: u8 = 9;
    pub(super) const AAC: u8 = 10;
    pub(super) const OPUS: u8 = 13;
    pub(super) const MP3_8K: u8 = 14;
}

/// `AudioPacketType`.
mod packet_type {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const MULTICHANNEL_CONFIG: u8 = 4;
    pub(super) const MULTITRACK: u8 = 5;
}

impl Message {
    /// Reads a tag body. Payloads are slices of it. A body without bytes announces silence: the
    /// message has no packets.
    ///
    /// # Errors
    /// When a header or a track's size goes beyond the body.
    pub fn parse(body: &Bytes) -> Result<Self, Error> {
        if body.is_empty() {
            return Ok(Self { legacy: None, nano_offset: 0, packets: Packets::new() });
        }
        let mut reader = Reader::new(body);
        let first = reader.u8()?;
        if first >> 4 != format::ENHANCED {
            return Self::parse_legacy(body, first, &mut reader);
        }
        let extended = payload::read_mod_ex(&mut reader, first & 0x0F)?;
        let (kind, nano_offset) = (extended.packet_type, extended.nano_offset);
        let read = |kind, _, reader: &mut Reader<'_>| Ok(read_packet(body, kind, reader));
        let packets = if kind == packet_type::MULTITRACK {
            payload::read_tracks(&mut reader, kind, payload::audio_codec, read)?
        } else {
            let codec = payload::audio_codec(media::FourCc(reader.array()?));
            let packet = read_packet(body, kind, &reader);
            Packets::from_buf([TrackPacket { track: 0, codec, packet }])
        };
        Ok(Self { legacy: None, nano_offset, packets })
    }

    fn parse_legacy(body: &Bytes, first: u8, reader: &mut Reader<'_>) -> Result<Self, Error> {
        let id = first >> 4;
        let codec = match id {
            format::MP3 | format::MP3_8K => Codec::Mp3,
            format::PCM_A => Codec::PcmA,
            format::PCM_U => Codec::PcmU,
            format::AAC => Codec::Aac,
            format::OPUS => Codec::Opus,
            other => Codec::FlvAudio(other),
        };
        let packet = match codec {
            Codec::Aac => {
                let kind = reader.u8()?;
                let rest = payload::rest_of(body, reader);
                match kind {
                    packet_type::SEQUENCE_START => Packet::Config(rest),
                    packet_type::CODED_FRAMES => Packet::Frame(rest),
                    other => Packet::Other(other, rest),
                }
            }
            Codec::FlvAudio(_) => Packet::Frame(body.clone()),
            _ => Packet::Frame(payload::rest_of(body, reader)),
        };
        let sample_rate = match (id, first >> 2 & 0x03) {
            (format::MP3_8K | format::PCM_A | format::PCM_U, _) => 8_000,
            (_, 0) => 5_512,
            (_, 1) => 11_025,
            (_, 2) => 22_050,
            _ => 44_100,
        };
        let legacy = Legacy { sample_rate, sixteen_bits: first & 2 != 0, stereo: first & 1 != 0 };
        let packets = Packets::from_buf([TrackPacket { track: 0, codec, packet }]);
        Ok(Self { legacy: Some(legacy), nano_offset: 0, packets })
    }
}

fn read_packet(body: &Bytes, kind: u8, reader: &Reader<'_>) -> Packet {
    let rest = payload::rest_of(body, reader);
    match kind {
        packet_type::SEQUENCE_START => Packet::Config(rest),
        packet_type::CODED_FRAMES => Packet::Frame(rest),
        packet_type::SEQUENCE_END => Packet::EndOfSequence,
        packet_type::MULTICHANNEL_CONFIG => Packet::MultichannelConfig(rest),
        other => Packet::Other(other, rest),
    }
}

/// What a header is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A decoder configuration follows.
    Config,
    /// A coded frame follows.
    Frame,
}

/// A header to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How the track is coded.
    pub codec: Codec,
    /// What the header is for.
    pub kind: Kind,
    /// Whether the Enhanced form is wanted; codecs without a legacy form get it anyway.
    pub enhanced: bool,
    /// The track's number, if the message is to name it (Enhanced only).
    pub track: Option<u8>,
    /// Samples per second, for the legacy flags of MP3.
    pub sample_rate: u32,
    /// Channels, for the legacy flags of MP3 and G.711.
    pub channels: u8,
}

impl Header {
    /// Appends the header; the payload follows it.
    ///
    /// # Errors
    /// [`Error::NoSuchForm`] when the codec has no code point in the wanted form, or no such
    /// packet. Frames of [`Codec::FlvAudio`] are whole tag bodies and have no header.
    pub fn write(&self, out: &mut BytesMut) -> Result<(), Error> {
        let legacy = if self.track.is_some() { None } else { self.legacy_byte() };
        let Some(first) = legacy.filter(|_| !self.enhanced || fourcc(self.codec).is_none()) else {
            return self.write_enhanced(out);
        };
        match (self.codec, self.kind) {
            (Codec::Aac, Kind::Config) => {
                out.put_slice(&[first, packet_type::SEQUENCE_START]);
            }
            (Codec::Aac, Kind::Frame) => out.put_slice(&[first, packet_type::CODED_FRAMES]),
            (_, Kind::Frame) => out.put_u8(first),
            (codec, Kind::Config) => return Err(Error::NoSuchForm(codec, "legacy configuration")),
        }
        Ok(())
    }

    /// `SoundFormat`, `SoundRate`, `SoundSize` and `SoundType`.
    fn legacy_byte(&self) -> Option<u8> {
        let stereo = u8::from(self.channels > 1);
        let rate = match self.sample_rate {
            44_100.. => 3,
            22_050.. => 2,
            11_025.. => 1,
            _ => 0,
        };
        Some(match self.codec {
            // "If the SoundFormat indicates AAC, SoundType should be 1 and SoundRate 3."
            Codec::Aac => format::AAC << 4 | 0x0F,
            Codec::Mp3 if self.sample_rate == 8_000 => format::MP3_8K << 4 | 2 | stereo,
            Codec::Mp3 => format::MP3 << 4 | rate << 2 | 2 | stereo,
            Codec::PcmA => format::PCM_A << 4 | 2 | stereo,
            Codec::PcmU => format::PCM_U << 4 | 2 | stereo,
            Codec::Opus => format::OPUS << 4 | 0x0F,
            _ => return None,
        })
    }

    fn write_enhanced(&self, out: &mut BytesMut) -> Result<(), Error> {
        let code = fourcc(self.codec).ok_or(Error::NoSuchForm(self.codec, "FourCC"))?;
        let kind = match self.kind {
            Kind::Config => packet_type::SEQUENCE_START,
            Kind::Frame => packet_type::CODED_FRAMES,
        };
        if let Some(track) = self.track {
            out.put_u8(format::ENHANCED << 4 | packet_type::MULTITRACK);
            payload::put_one_track(out, kind, code, track);
        } else {
            out.put_u8(format::ENHANCED << 4 | kind);
            out.put_slice(&code.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<Message, Error> {
        Message::parse(&Bytes::copy_from_slice(bytes))
    }

    fn header(codec: Codec, kind: Kind, enhanced: bool) -> Header {
        Header { codec, kind, enhanced, track: None, sample_rate: 44_100, channels: 2 }
    }

    fn written(header: Header) -> BytesMut {
        let mut out = BytesMut::new();
        header.write(&mut out).unwrap();
        out
    }

    #[test]
    fn legacy_first_bytes_are_those_that_players_know() {
        assert_eq!(&written(header(Codec::Aac, Kind::Config, false))[..], [0xAF, 0]);
        assert_eq!(&written(header(Codec::Aac, Kind::Frame, false))[..], [0xAF, 1]);
        assert_eq!(&written(header(Codec::Mp3, Kind::Frame, false))[..], [0x2F]);
        assert_eq!(&written(header(Codec::Opus, Kind::Frame, false))[..], [0xDF]);
        let mono = |codec| Header { channels: 1, ..header(codec, Kind::Frame, true) };
        assert_eq!(&written(mono(Codec::PcmA))[..], [0x72]);
        assert_eq!(&written(mono(Codec::PcmU))[..], [0x82]);
        assert!(header(Codec::PcmA, Kind::Config, false).write(&mut BytesMut::new()).is_err());
    }

    #[test]
    fn an_empty_configuration_is_told_apart() {
        // Seen of ffmpeg fed with ADTS: the real one follows.
        let message = parse(&[0xAF, 0]).unwrap();
        assert_eq!(message.packets[0].packet, Packet::Config(Bytes::new()));
    }

    #[test]
    fn an_empty_body_is_silence() {
        assert_eq!(parse(b"").unwrap().packets.len(), 0);
    }

    #[test]
    fn short_bodies_are_refused() {
        for body in [&b"\xAF"[..], b"\x90", b"\x90Opu", b"\x95", b"\x95\x41Opus"] {
            assert!(parse(body).is_err(), "{body:02x?}");
        }
        assert_eq!(parse(b"\x72").unwrap().packets[0].packet, Packet::Frame(Bytes::new()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            codec in prop::sample::select(vec![
                Codec::Aac, Codec::Opus, Codec::Mp3, Codec::Flac, Codec::Ac3, Codec::PcmA,
            ]),
            enhanced in any::<bool>(),
            config in any::<bool>(),
            track in prop::option::of(any::<u8>()),
            payload in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let kind = if config { Kind::Config } else { Kind::Frame };
            let header = Header { track, ..header(codec, kind, enhanced) };
            let mut out = BytesMut::new();
            if header.write(&mut out).is_ok() {
                out.extend_from_slice(&payload);
                let message = Message::parse(&out.freeze()).unwrap();
                let data = Bytes::from(payload);
                let packet = if config { Packet::Config(data) } else { Packet::Frame(data) };
                let track = track.unwrap_or(0);
                prop_assert_eq!(&message.packets[..], &[TrackPacket { track, codec, packet }]);
            }
        }

        #[test]
        fn noise_is_refused_or_read(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&body);
        }
    }
}
