//! `StreamMuxConfig()` (ISO/IEC 14496-3 §1.7.3.1): what elements look like.

use bytes::{BufMut, Bytes, BytesMut};
use media::{BitReader, Error, aac};

use super::MAX_ELEMENT;
use super::config::{MAX_CONFIG, config_length};

/// The `AudioSpecificConfig` in a `StreamMuxConfig`.
pub(crate) fn audio_specific_config(stream_mux_config: &[u8]) -> Result<Bytes, Error> {
    Mux::of_description(stream_mux_config).map(|mux| mux.config)
}

/// What a `StreamMuxConfig()` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mux {
    /// The `AudioSpecificConfig()`.
    pub(super) config: Bytes,
    /// Samples of a frame.
    frame_length: u16,
    /// Samples per second.
    sample_rate: u32,
    /// Frames in an element: 1 to 64.
    pub(super) sub_frames: u8,
    /// Bits of other data behind the frames, where they are announced.
    pub(super) other_data: Option<usize>,
}

impl Mux {
    /// Reads that of a session description. GStreamer ends it with the `AudioSpecificConfig()`, and
    /// even cuts the last bits of that: what is missing counts as zero, which is what it would be.
    pub(super) fn of_description(config: &[u8]) -> Result<Self, Error> {
        let padded = [config, &[0; 4]].concat();
        Self::read(&mut BitReader::new(&padded))
    }

    pub(super) fn read(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let sized = r.flag()?; // audioMuxVersion
        if sized && r.flag()? {
            return Err(Error::Invalid { what: "audioMuxVersionA", value: 1 });
        }
        if sized {
            latm_value(r)?; // taraBufferFullness
        }
        if !r.flag()? {
            return Err(Error::Invalid { what: "allStreamsSameTimeFraming", value: 0 });
        }
        let sub_frames = r.u8(6)? + 1;
        for (what, bits) in [("numProgram", 4), ("numLayer", 3)] {
            match r.bits(bits)? {
                0 => {}
                value => return Err(Error::Invalid { what, value: value.into() }),
            }
        }
        let bits = if sized { to_usize(latm_value(r)?) } else { config_length(*r)? };
        if bits > 8 * MAX_CONFIG {
            return Err(Error::Invalid { what: "ascLen", value: bits as u64 });
        }
        let config = copy(r, bits)?;
        match r.u8(3)? {
            0 => r.skip(8)?, // latmBufferFullness
            other => return Err(Error::Invalid { what: "frameLengthType", value: other.into() }),
        }
        let other_data = match (r.flag()?, sized) {
            (false, _) => None,
            (true, true) => Some(to_usize(latm_value(r)?)),
            (true, false) => Some(other_data_length(r)?),
        };
        if r.flag()? {
            r.skip(8)?; // crcCheckSum
        }
        let aac::Config { frame_length, sample_rate, .. } = aac::Config::parse(&config)?;
        Ok(Self { config, frame_length, sample_rate, sub_frames, other_data })
    }

    /// How long `frames` last.
    pub(super) fn ticks(&self, frames: u64, clock_rate: u32) -> u32 {
        let samples = frames.wrapping_mul(self.frame_length.into());
        let ticks = samples.wrapping_mul(clock_rate.into()) / u64::from(self.sample_rate).max(1);
        // Time stamps wrap.
        u32::try_from(ticks & u64::from(u32::MAX)).unwrap_or(0)
    }
}

/// `LatmGetValue()`: one to four bytes.
fn latm_value(r: &mut BitReader<'_>) -> Result<u32, Error> {
    let bytes = r.bits(2)? + 1;
    r.bits(8 * bytes)
}

/// `otherDataLenBits` of `audioMuxVersion` 0: bytes that each tell whether one follows.
fn other_data_length(r: &mut BitReader<'_>) -> Result<usize, Error> {
    let mut length = 0;
    // Zeros may come first, but not without end.
    for _ in 0..4 {
        let follows = r.flag()?;
        length = length << 8 | usize::from(r.u8(8)?);
        if !follows && length <= 8 * MAX_ELEMENT {
            return Ok(length);
        }
    }
    Err(Error::Invalid { what: "otherDataLenBits", value: length as u64 })
}

/// The next bits as bytes, the last of them filled with zeros.
pub(super) fn copy(r: &mut BitReader<'_>, bits: usize) -> Result<Bytes, Error> {
    let mut source = *r;
    r.skip(bits)?;
    let mut out = BytesMut::with_capacity(bits.div_ceil(8));
    for _ in 0..bits / 8 {
        out.put_u8(source.u8(8)?);
    }
    let rest = u32::try_from(bits % 8).unwrap_or(0);
    if rest > 0 {
        out.put_u8(source.u8(rest)? << (8 - rest));
    }
    Ok(out.freeze())
}

/// What does not fit is more than any data have.
fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
