//! Opus: the duration of packets (RFC 6716 §3.1, §3.2) and the identification header `OpusHead`
//! (RFC 7845 §5.1).

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::{AudioDetails, Error, Reader};

/// Opus always counts samples at 48 kHz, whatever was encoded.
pub const SAMPLE_RATE: u32 = 48_000;

/// A packet never lasts longer than 120 ms (RFC 6716 §3.2.5, R5).
const MAX_SAMPLES: u32 = 5760;

/// How many samples per channel a packet decodes to, at 48 kHz; `None` for an invalid one.
#[must_use]
pub fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        // SILK: 10, 20, 40, 60 ms.
        config @ 0..=11 => *[480, 960, 1920, 2880].get(usize::from(config % 4))?,
        // Hybrid: 10, 20 ms.
        config @ 12..=15 => 480 << (config % 2),
        // CELT: 2.5, 5, 10, 20 ms.
        config => 120 << (config % 4),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3F),
    };
    Some(frame * frames).filter(|samples| (1..=MAX_SAMPLES).contains(samples))
}

/// Contents of `OpusHead`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Number of output channels.
    pub channels: u8,
    /// Samples (at 48 kHz) to discard at the start.
    pub pre_skip: u16,
    /// Rate of what was encoded; for information only, 0 if unknown.
    pub input_sample_rate: u32,
    /// Gain in 1/256 dB.
    pub output_gain: i16,
    /// Channel mapping; `None` for family 0, mono or stereo.
    pub mapping: Option<Mapping>,
}

/// How coded streams become output channels (RFC 7845 §5.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The family: 1 is the order of Vorbis, 255 is none.
    pub family: u8,
    /// Number of streams in each packet.
    pub streams: u8,
    /// How many of them are stereo.
    pub coupled: u8,
    /// For each output channel the coded one.
    pub table: SmallVec<[u8; 8]>,
}

impl Head {
    /// Family 0, one or two channels, with the pre-skip that encoders use (6.5 ms).
    #[must_use]
    pub fn new(channels: u8) -> Self {
        Self {
            channels: channels.clamp(1, 2),
            pre_skip: 312,
            input_sample_rate: SAMPLE_RATE,
            output_gain: 0,
            mapping: None,
        }
    }

    /// Parses the header, magic signature included.
    ///
    /// # Errors
    /// [`Error`] when it is cut short, of another major version, or has no channels.
    pub fn parse(head: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(head);
        let magic = r.array()?;
        if magic != MAGIC {
            let value = u64::from_be_bytes(magic);
            return Err(Error::Invalid { what: "OpusHead signature", value });
        }
        let [version, channels] = r.array()?;
        if version > 15 {
            return Err(Error::Invalid { what: "OpusHead version", value: version.into() });
        }
        if channels == 0 {
            return Err(Error::Invalid { what: "OpusHead channel count", value: 0 });
        }
        let pre_skip = u16::from_le_bytes(r.array()?);
        let input_sample_rate = u32::from_le_bytes(r.array()?);
        let output_gain = i16::from_le_bytes(r.array()?);
        let mapping = match r.u8()? {
            0 if channels > 2 => {
                return Err(Error::Invalid {
                    what: "OpusHead channel count",
                    value: channels.into(),
                });
            }
            0 => None,
            family => {
                let [streams, coupled] = r.array()?;
                let table = SmallVec::from_slice(r.take(channels.into())?);
                Some(Mapping { family, streams, coupled, table })
            }
        };
        Ok(Self { channels, pre_skip, input_sample_rate, output_gain, mapping })
    }

    /// Serialises the header.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(MAGIC.len() + 13 + usize::from(self.channels));
        out.put_slice(&MAGIC);
        out.put_slice(&[1, self.channels]);
        out.put_u16_le(self.pre_skip);
        out.put_u32_le(self.input_sample_rate);
        out.put_i16_le(self.output_gain);
        match &self.mapping {
            None => out.put_u8(0),
            Some(mapping) => {
                out.put_slice(&[mapping.family, mapping.streams, mapping.coupled]);
                out.put_slice(&mapping.table);
            }
        }
        out.freeze()
    }

    /// What there is to say to people.
    #[must_use]
    pub fn details(&self) -> AudioDetails {
        AudioDetails { sample_rate: SAMPLE_RATE, channels: self.channels, profile: 0 }
    }
}

const MAGIC: [u8; 8] = *b"OpusHead";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 6716 §3.1 table 2 and §3.2.
    #[test]
    fn durations() {
        for (packet, expected) in [
            (&[0x00][..], Some(480)),         // SILK 10 ms
            (&[0x18], Some(2880)),            // SILK 60 ms
            (&[0x60], Some(480)),             // hybrid 10 ms
            (&[0x78, 0], Some(960)),          // hybrid 20 ms
            (&[0x80], Some(120)),             // CELT 2.5 ms
            (&[0xFC, 0xFF, 0xFE], Some(960)), // CELT 20 ms, stereo: the usual silence
            (&[0xF9], Some(1920)),            // two frames of one size
            (&[0xFA, 1], Some(1920)),         // two frames of two sizes
            (&[0xFB, 6], Some(5760)),         // six frames
            (&[0xFB, 0xC6], Some(5760)),      // the same, variable and padded
            (&[0xFB, 7], None),               // 140 ms
            (&[0xFB, 0], None),
            (&[0xFB], None),
            (&[], None),
        ] {
            assert_eq!(samples(packet), expected, "{packet:x?}");
        }
    }

    #[test]
    fn the_header_of_libopus() {
        let bytes = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
        let head = Head::parse(bytes).unwrap();
        assert_eq!(head, Head::new(2));
        assert_eq!(&head.to_bytes()[..], bytes);
        assert!(Head::parse(&bytes[..18]).is_err());
        assert!(Head::parse(b"OpusTags\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00").is_err());
        assert!(Head::parse(b"OpusHead\x10\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00").is_err());
        assert!(Head::parse(b"OpusHead\x01\x00\x38\x01\x80\xbb\x00\x00\x00\x00\x00").is_err());
        assert!(Head::parse(b"OpusHead\x01\x03\x38\x01\x80\xbb\x00\x00\x00\x00\x00").is_err());
    }

    #[test]
    fn surround_has_a_mapping() {
        let mapping = Mapping {
            family: 1,
            streams: 4,
            coupled: 2,
            table: SmallVec::from_slice(&[0, 4, 1, 2, 3, 5]),
        };
        let head = Head { channels: 6, mapping: Some(mapping), ..Head::new(2) };
        assert_eq!(Head::parse(&head.to_bytes()), Ok(head.clone()));
        assert!(Head::parse(&head.to_bytes()[..26]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(body: Vec<u8>) {
            let bytes = [&MAGIC[..], &body].concat();
            if let Ok(head) = Head::parse(&bytes) {
                prop_assert_eq!(Head::parse(&head.to_bytes()), Ok(head));
            }
            let _ = samples(&body);
        }
    }
}
