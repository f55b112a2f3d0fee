//! Where an `AudioSpecificConfig()` ends (ISO/IEC 14496-3 §1.6.2.1) that nothing tells the length of.

use media::{BitReader, Error};

use super::mux::copy;

/// Bytes that are searched for the end of an `AudioSpecificConfig()`: its longest part is a
/// comment of 255 bytes.
pub(super) const MAX_CONFIG: usize = 512;

/// How many bits it has.
pub(super) fn config_length(mut r: BitReader<'_>) -> Result<usize, Error> {
    // It has byte alignments of its own.
    let bits = r.remaining().min(8 * MAX_CONFIG);
    let bytes = copy(&mut r, bits)?;
    let mut r = BitReader::new(&bytes);
    let mut object_type = object_type(&mut r)?;
    sampling_frequency(&mut r)?;
    let channels = r.u8(4)?;
    let announced = matches!(object_type, SBR | PS);
    if announced {
        sampling_frequency(&mut r)?;
        object_type = self::object_type(&mut r)?;
        if object_type == ER_BSAC {
            r.skip(4)?; // extensionChannelConfiguration
        }
    }
    ga_config(&mut r, object_type, channels)?;
    if !announced {
        let mut ahead = r;
        // It can't be taken for a frame length type: 2 is reserved.
        if ahead.bits(11) == Ok(0x2B7) && self::object_type(&mut ahead) == Ok(SBR) {
            if ahead.flag()? {
                sampling_frequency(&mut ahead)?;
                r = ahead;
                if ahead.bits(11) == Ok(0x548) {
                    ahead.flag()?; // psPresentFlag
                    r = ahead;
                }
            } else {
                r = ahead;
            }
        }
    }
    Ok(r.position())
}

/// `GASpecificConfig()` (§4.4.1) and `epConfig`.
fn ga_config(r: &mut BitReader<'_>, object_type: u8, channels: u8) -> Result<(), Error> {
    if !matches!(object_type, 1..=4 | 6 | 7 | 17 | 19..=23) {
        return Err(Error::Invalid { what: "audioObjectType", value: object_type.into() });
    }
    r.flag()?; // frameLengthFlag
    if r.flag()? {
        r.skip(14)?; // coreCoderDelay
    }
    let extended = r.flag()?;
    if channels == 0 {
        program_config(r)?;
    }
    if matches!(object_type, 6 | 20) {
        r.skip(3)?; // layerNr
    }
    if extended {
        match object_type {
            ER_BSAC => r.skip(5 + 11)?,      // numOfSubFrame, layer_length
            17 | 19 | 20 | 23 => r.skip(3)?, // resilience flags
            _ => {}
        }
        r.flag()?; // extensionFlag3
    }
    if object_type >= 17 {
        match r.u8(2)? {
            0 | 1 => {}
            other => return Err(Error::Invalid { what: "epConfig", value: other.into() }),
        }
    }
    Ok(())
}

const SBR: u8 = 5;
const ER_BSAC: u8 = 22;
const PS: u8 = 29;

/// `GetAudioObjectType()`.
fn object_type(r: &mut BitReader<'_>) -> Result<u8, Error> {
    match r.u8(5)? {
        31 => Ok(32 + r.u8(6)?),
        object_type => Ok(object_type),
    }
}

/// A `samplingFrequencyIndex`, and the frequency itself behind an escape.
fn sampling_frequency(r: &mut BitReader<'_>) -> Result<(), Error> {
    match r.u8(4)? {
        15 => r.skip(24),
        _ => Ok(()),
    }
}

/// `program_config_element()` (§4.4.1.1).
fn program_config(r: &mut BitReader<'_>) -> Result<(), Error> {
    r.skip(4 + 2 + 4)?; // element_instance_tag, object_type, sampling_frequency_index
    let mut channels = 0;
    for _ in 0..3 {
        channels += r.u8(4)?; // front, side, back
    }
    let (lfe, associated, coupling) = (r.u8(2)?, r.u8(3)?, r.u8(4)?);
    for bits in [4, 4, 3] {
        if r.flag()? {
            r.skip(bits)?; // mono, stereo and matrix mix-down
        }
    }
    r.skip(5 * usize::from(channels + coupling) + 4 * usize::from(lfe + associated))?;
    r.align();
    let comment = r.u8(8)?;
    r.skip(8 * usize::from(comment))
}
