//! AAC: `AudioSpecificConfig` (ISO/IEC 14496-3 §1.6.2.1) with both ways of announcing SBR and PS
//! (§1.6.5), program config elements (§4.4.1.1) and [`adts`]; [`Silence`] of it.
//!
//! Not read: the specific configurations of ELD and USAC beyond their frame length, error
//! protection, SSC, ALS and other object types without general audio coding.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{AudioDetails, BitReader, Error};

pub mod adts;
mod silence;

pub use silence::Silence;

/// What an `AudioSpecificConfig` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// `audioObjectType` of the core coder: 2 is AAC-LC.
    pub object_type: u8,
    /// Samples per second of the core coder.
    pub sample_rate: u32,
    /// `channelConfiguration`; 0 when a program config element tells the channels.
    pub channel_configuration: u8,
    /// Number of channels; 0 if unknown.
    pub channels: u8,
    /// Samples per channel in a frame of the core coder: 1024 or 960, 512 or 480 for low delay.
    pub frame_length: u16,
    /// Spectral band replication, if announced.
    pub extension: Option<Extension>,
}

/// Spectral band replication (HE-AAC) and parametric stereo (HE-AAC v2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// Samples per second of the output, usually twice the core's.
    pub sample_rate: u32,
    /// Whether a mono core becomes stereo.
    pub parametric_stereo: bool,
    /// Whether the announcement stands first, so that old decoders refuse the stream; otherwise
    /// at the end, where they pass over it.
    pub hierarchical: bool,
}

impl Config {
    /// AAC-LC or another general audio type with one of the usual channel layouts; `None` for
    /// what the wire can't tell.
    #[must_use]
    pub fn new(object_type: u8, sample_rate: u32, channels: u8) -> Option<Self> {
        let configuration = CHANNELS.iter().position(|&number| number == channels)?;
        let known = has_ga_config(object_type) && (1..1 << 24).contains(&sample_rate);
        (known && channels > 0).then_some(Self {
            object_type,
            sample_rate,
            channel_configuration: u8::try_from(configuration).ok()?,
            channels,
            frame_length: frame_length(object_type, false),
            extension: None,
        })
    }

    /// Parses the configuration.
    ///
    /// # Errors
    /// [`Error`] when it is cut short or has no valid sampling frequency.
    pub fn parse(config: &[u8]) -> Result<Self, Error> {
        let mut r = BitReader::new(config);
        let mut object_type = object_type_of(&mut r)?;
        let sample_rate = sampling_frequency(&mut r)?;
        let channel_configuration = r.u8(4)?;
        let mut extension = None;
        if matches!(object_type, SBR | PS) {
            extension = Some(Extension {
                sample_rate: sampling_frequency(&mut r)?,
                parametric_stereo: object_type == PS,
                hierarchical: true,
            });
            object_type = object_type_of(&mut r)?;
            if object_type == ER_BSAC {
                r.u8(4)?; // extensionChannelConfiguration
            }
        }
        let channels = CHANNELS.get(usize::from(channel_configuration)).copied().unwrap_or(0);
        let mut this = Self {
            object_type,
            sample_rate,
            channel_configuration,
            channels,
            frame_length: frame_length(object_type, false),
            extension,
        };
        if has_ga_config(object_type) {
            this.read_ga_config(&mut r)?;
            // What follows is an offer to those who understand it.
            if this.extension.is_none() {
                this.extension = backward_compatible_extension(&mut r).ok().flatten();
            }
        } else if object_type == ER_ELD {
            this.frame_length = frame_length(object_type, r.flag()?);
        }
        Ok(this)
    }

    /// Serialises the configuration; `None` for channels told by a program config element and for
    /// object types without general audio coding, whose specific part is not kept.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Bytes> {
        if self.channel_configuration == 0 || !has_ga_config(self.object_type) {
            return None;
        }
        let mut w = Writer::default();
        let leading = self.extension.filter(|extension| extension.hierarchical);
        let object_type = match leading {
            Some(Extension { parametric_stereo: true, .. }) => PS,
            Some(_) => SBR,
            None => self.object_type,
        };
        w.put(u32::from(object_type), 5);
        w.put_frequency(self.sample_rate);
        w.put(self.channel_configuration.into(), 4);
        if let Some(extension) = leading {
            w.put_frequency(extension.sample_rate);
            w.put(self.object_type.into(), 5);
            if self.object_type == ER_BSAC {
                w.put(self.channel_configuration.into(), 4);
            }
        }
        w.put(u32::from(self.frame_length == frame_length(self.object_type, true)), 1);
        w.put(0, 1); // dependsOnCoreCoder
        w.put(0, 1); // extensionFlag
        if matches!(self.object_type, 6 | 20) {
            w.put(0, 3); // layerNr
        }
        if self.object_type >= 17 {
            w.put(0, 2); // epConfig
        }
        if let Some(extension) = self.extension.filter(|extension| !extension.hierarchical) {
            w.put(SYNC_EXTENSION, 11);
            w.put(SBR.into(), 5);
            w.put(1, 1); // sbrPresentFlag
            w.put_frequency(extension.sample_rate);
            if extension.parametric_stereo {
                w.put(PS_EXTENSION, 11);
                w.put(1, 1); // psPresentFlag
            }
        }
        Some(w.finish())
    }

    /// The object type that a decoder must know: 29 with parametric stereo, 5 with SBR, or the
    /// core's.
    #[must_use]
    pub fn profile(&self) -> u8 {
        match self.extension {
            Some(Extension { parametric_stereo: true, .. }) => PS,
            Some(_) => SBR,
            None => self.object_type,
        }
    }

    /// What there is to say to people.
    #[must_use]
    pub fn details(&self) -> AudioDetails {
        AudioDetails {
            sample_rate: self.sample_rate,
            channels: self.channels,
            profile: self.profile(),
        }
    }

    /// The codec string of RFC 6381 §3.3: `mp4a.40.2`.
    #[must_use]
    pub fn rfc6381(&self) -> String {
        format!("mp4a.40.{}", self.profile())
    }

    /// `GASpecificConfig` (§4.4.1) and `epConfig`.
    fn read_ga_config(&mut self, r: &mut BitReader<'_>) -> Result<(), Error> {
        self.frame_length = frame_length(self.object_type, r.flag()?);
        if r.flag()? {
            r.skip(14)?; // coreCoderDelay
        }
        let extended = r.flag()?;
        if self.channel_configuration == 0 {
            self.channels = program_config_channels(r)?;
        }
        if matches!(self.object_type, 6 | 20) {
            r.skip(3)?; // layerNr
        }
        if extended {
            match self.object_type {
                ER_BSAC => r.skip(5 + 11)?,      // numOfSubFrame, layer_length
                17 | 19 | 20 | 23 => r.skip(3)?, // resilience flags
                _ => {}
            }
            r.flag()?; // extensionFlag3
        }
        if self.object_type >= 17 {
            r.skip(2)?; // epConfig
        }
        Ok(())
    }
}

const SBR: u8 = 5;
const ER_BSAC: u8 = 22;
const ER_LD: u8 = 23;
const PS: u8 = 29;
const ER_ELD: u8 = 39;
const SYNC_EXTENSION: u32 = 0x2B7;
const PS_EXTENSION: u32 = 0x548;

/// Sampling frequencies by their index (table 1.18).
const FREQUENCIES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Numbers of channels by `channelConfiguration` (table 1.19); 0 where there is none.
const CHANNELS: [u8; 15] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8];

/// Whether an object type has a `GASpecificConfig`.
fn has_ga_config(object_type: u8) -> bool {
    matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23)
}

fn frame_length(object_type: u8, short: bool) -> u16 {
    match (object_type, short) {
        (ER_LD | ER_ELD, false) => 512,
        (ER_LD | ER_ELD, true) => 480,
        (_, false) => 1024,
        (_, true) => 960,
    }
}

/// `GetAudioObjectType()`.
fn object_type_of(r: &mut BitReader<'_>) -> Result<u8, Error> {
    const ESCAPE: u8 = 31;
    match r.u8(5)? {
        ESCAPE => Ok(32 + r.u8(6)?),
        object_type => Ok(object_type),
    }
}

/// A `samplingFrequencyIndex` and the frequency itself behind an escape.
fn sampling_frequency(r: &mut BitReader<'_>) -> Result<u32, Error> {
    const ESCAPE: u8 = 15;
    let invalid = |value| Error::Invalid { what: "samplingFrequency", value };
    match r.u8(4)? {
        ESCAPE => r.bits(24).and_then(|rate| if rate == 0 { Err(invalid(0)) } else { Ok(rate) }),
        index => FREQUENCIES.get(usize::from(index)).copied().ok_or_else(|| invalid(index.into())),
    }
}

/// What may stand at the end of the configuration (§1.6.2.1, `syncExtensionType`).
fn backward_compatible_extension(r: &mut BitReader<'_>) -> Result<Option<Extension>, Error> {
    let announced = r.bits(11)? == SYNC_EXTENSION && object_type_of(r)? == SBR && r.flag()?;
    if !announced {
        return Ok(None);
    }
    let sample_rate = sampling_frequency(r)?;
    let parametric_stereo = r.bits(11) == Ok(PS_EXTENSION) && r.flag() == Ok(true);
    Ok(Some(Extension { sample_rate, parametric_stereo, hierarchical: false }))
}

/// `program_config_element()` (§4.4.1.1): the number of its channels.
fn program_config_channels(r: &mut BitReader<'_>) -> Result<u8, Error> {
    r.skip(4 + 2 + 4)?; // element_instance_tag, object_type, sampling_frequency_index
    let (front, side, back) = (r.u8(4)?, r.u8(4)?, r.u8(4)?);
    let (lfe, associated, coupling) = (r.u8(2)?, r.u8(3)?, r.u8(4)?);
    for bits in [4, 4, 3] {
        if r.flag()? {
            r.skip(bits)?; // mono, stereo and matrix mix-down
        }
    }
    let mut channels = lfe;
    for _ in 0..front + side + back {
        channels += if r.flag()? { 2 } else { 1 };
        r.skip(4)?; // element tag
    }
    r.skip(4 * usize::from(lfe + associated) + 5 * usize::from(coupling))?;
    r.align();
    let comment = r.u8(8)?;
    r.skip(8 * usize::from(comment))?;
    Ok(channels)
}

/// Puts bit fields together.
#[derive(Default)]
struct Writer {
    out: BytesMut,
    bits: u64,
    count: u32,
}

impl Writer {
    fn put(&mut self, value: u32, count: u32) {
        self.bits = self.bits << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let [.., byte] = (self.bits >> self.count).to_be_bytes();
            self.out.put_u8(byte);
        }
    }

    fn put_frequency(&mut self, rate: u32) {
        match (0u32..).zip(FREQUENCIES).find(|&(_, frequency)| frequency == rate) {
            Some((index, _)) => self.put(index, 4),
            None => {
                self.put(15, 4);
                self.put(rate & 0xFF_FFFF, 24);
            }
        }
    }

    fn finish(mut self) -> Bytes {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
        self.out.freeze()
    }
}

#[cfg(test)]
mod tests;
