//! Sound in PES packets: whole frames, and how long they last.
//!
//! ADTS (ISO/IEC 14496-3 §1.A.2), MPEG audio (ISO/IEC 11172-3 §2.4, 13818-3), AC-3 and E-AC-3
//! (ETSI TS 102 366 §4.4, §E.1), Opus (the mapping that ETSI TS 101 154 refers to).

use media::{Error, Reader};

use super::faults::Faults;
use super::tables::descriptors;

/// How frames of sound are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Adts,
    Mpeg1,
    Mpeg2,
    Ac3,
    Eac3,
    Opus,
}

/// The sound of a PES packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) frames: i64,
    pub(super) samples: i64,
    pub(super) rate: i64,
}

/// A frame of sound.
struct Unit {
    length: usize,
    samples: i64,
    rate: i64,
}

/// Checks that the payload is whole frames. `None` if there is none, or they cannot be told apart.
pub(super) fn check(syntax: Syntax, payload: &[u8], faults: &mut Faults) -> Option<Run> {
    let mut run: Option<Run> = None;
    let mut rest = payload;
    while !rest.is_empty() {
        let unit = match syntax.unit(rest) {
            Ok(Some(unit)) if unit.length > 0 => unit,
            Ok(_) => {
                faults.add(format_args!(
                    "no frame of sound begins at byte {}",
                    payload.len() - rest.len()
                ));
                return None;
            }
            Err(_) => {
                faults.add("a frame of sound is cut within its header");
                return None;
            }
        };
        let Some(next) = rest.get(unit.length..) else {
            faults.add(format_args!(
                "a frame of sound has {} bytes of its {}",
                rest.len(),
                unit.length
            ));
            return None;
        };
        rest = next;
        let so_far = run.unwrap_or(Run { frames: 0, samples: 0, rate: unit.rate });
        if so_far.rate != unit.rate {
            faults.add("the sample rate changes within a PES packet");
        }
        run = Some(Run {
            frames: so_far.frames + 1,
            samples: so_far.samples + unit.samples,
            ..so_far
        });
    }
    if run.is_none() {
        faults.add("a PES packet without a frame of sound");
    }
    run
}

impl Syntax {
    /// The frame that these bytes begin with; `None` if there is none.
    fn unit(self, bytes: &[u8]) -> Result<Option<Unit>, Error> {
        let mut r = Reader::new(bytes);
        match self {
            Self::Adts => adts(&mut r),
            Self::Mpeg1 => mpeg(&mut r, true),
            Self::Mpeg2 => mpeg(&mut r, false),
            Self::Ac3 => ac3(&mut r),
            Self::Eac3 => eac3(&mut r),
            Self::Opus => opus(&mut r),
        }
    }
}

fn adts(r: &mut Reader<'_>) -> Result<Option<Unit>, Error> {
    const RATES: [i64; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
        8_000, 7_350,
    ];
    let bits = r.u32()?;
    let tail = r.u24()?;
    let Some(&rate) = RATES.get(field(bits, 10, 4)) else { return Ok(None) };
    let length = field(bits, 0, 2) << 11 | field(tail, 13, 11);
    let head = if bits >> 16 & 1 == 1 { 7 } else { 9 };
    // Sync word, and layer 0.
    if bits >> 20 != 0xFFF || bits >> 17 & 3 != 0 || length <= head {
        return Ok(None);
    }
    let samples = 1024 * (i64::from(tail & 3) + 1);
    Ok(Some(Unit { length, samples, rate }))
}

fn mpeg(r: &mut Reader<'_>, first: bool) -> Result<Option<Unit>, Error> {
    // In kbit/s: layers II and III of MPEG-1, layers II and III of MPEG-2.
    const LAYER_2: [usize; 15] =
        [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
    const LAYER_3: [usize; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    const LOW: [usize; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let bits = r.u32()?;
    // Sync word; version 3 is MPEG-1, 2 is MPEG-2, 0 is the unofficial 2.5; layers II and III.
    let (version, layer) = (bits >> 19 & 3, bits >> 17 & 3);
    if bits >> 21 != 0x7FF || (version == 3) != first || version == 1 || !matches!(layer, 1 | 2) {
        return Ok(None);
    }
    let table = match (first, layer) {
        (true, 2) => LAYER_2,
        (true, _) => LAYER_3,
        (false, _) => LOW,
    };
    let kilobits = table.get(field(bits, 12, 4)).copied().unwrap_or(0);
    let Some(&rate) = [44_100, 48_000, 32_000].get(field(bits, 10, 2)) else { return Ok(None) };
    let rate: usize = match version {
        3 => rate,
        2 => rate / 2,
        _ => rate / 4,
    };
    if kilobits == 0 {
        return Ok(None); // free format has no length
    }
    let samples: usize = if layer == 1 && !first { 576 } else { 1152 };
    let length = samples / 8 * kilobits * 1000 / rate + field(bits, 9, 1);
    Ok(Some(Unit { length, samples: wide(samples), rate: wide(rate) }))
}

fn ac3(r: &mut Reader<'_>) -> Result<Option<Unit>, Error> {
    const KILOBITS: [usize; 19] =
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    let sync = r.u16()?;
    r.u16()?; // crc1
    let code = u32::from(r.u8()?);
    let Some(&kilobits) = KILOBITS.get(field(code, 1, 5)) else { return Ok(None) };
    // Words of 16 bits in 1536 samples.
    let (words, rate) = match code >> 6 {
        0 => (kilobits * 2, 48_000),
        1 => (kilobits * 96_000 / 44_100 + field(code, 0, 1), 44_100),
        2 => (kilobits * 3, 32_000),
        _ => return Ok(None),
    };
    Ok((sync == 0x0B77).then_some(Unit { length: 2 * words, samples: 1536, rate }))
}

fn eac3(r: &mut Reader<'_>) -> Result<Option<Unit>, Error> {
    let (sync, bits, code) = (r.u16()?, u32::from(r.u16()?), u32::from(r.u8()?));
    if sync != 0x0B77 {
        return Ok(None);
    }
    let blocks = [1, 2, 3, 6].get(field(code, 4, 2)).copied().unwrap_or(6);
    let (rate, blocks) = match (code >> 6, code >> 4 & 3) {
        (0, _) => (48_000, blocks),
        (1, _) => (44_100, blocks),
        (2, _) => (32_000, blocks),
        (_, 0) => (24_000, 6),
        (_, 1) => (22_050, 6),
        (_, 2) => (16_000, 6),
        _ => return Ok(None),
    };
    // Only the first independent substream takes time.
    let takes_time = bits >> 14 != 1 && bits >> 11 & 7 == 0;
    let samples = if takes_time { blocks * 256 } else { 0 };
    Ok(Some(Unit { length: 2 * (field(bits, 0, 11) + 1), samples, rate }))
}

fn opus(r: &mut Reader<'_>) -> Result<Option<Unit>, Error> {
    let flags = r.u16()?;
    // The prefix, and two reserved bits.
    if flags >> 5 != 0x3FF || flags & 3 != 0 {
        return Ok(None);
    }
    let mut size = 0;
    loop {
        let byte = r.u8()?;
        size += usize::from(byte);
        if byte != 255 {
            break;
        }
    }
    let mut trimmed = 0;
    for present in [flags & 0x10 != 0, flags & 0x08 != 0] {
        if present {
            trimmed += i64::from(r.u16()? & 0x1FFF);
        }
    }
    if flags & 0x04 != 0 {
        let extension = r.u8()?;
        r.take(extension.into())?;
    }
    let Some(samples) = opus_samples(r.rest()) else { return Ok(None) };
    Ok(Some(Unit { length: r.offset() + size, samples: samples - trimmed, rate: 48_000 }))
}

/// How long a packet is (RFC 6716 §3.1), in samples of 48 kHz.
fn opus_samples(packet: &[u8]) -> Option<i64> {
    let &toc = packet.first()?;
    let frame = match toc >> 3 {
        // SILK, hybrid, CELT.
        config @ 0..=11 => [480, 960, 1920, 2880].get(usize::from(config & 3)).copied()?,
        config @ 12..=15 => [480, 960].get(usize::from(config & 1)).copied()?,
        config => [120, 240, 480, 960].get(usize::from(config & 3)).copied()?,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => i64::from(packet.get(1)? & 0x3F),
    };
    Some(frame * frames)
}

/// Whether these descriptors say Opus; says what is missing of them.
pub(super) fn describes_opus(bytes: &[u8], faults: &mut Faults) -> bool {
    let is_opus = descriptors(bytes).any(|(tag, body)| tag == 0x05 && body.starts_with(b"Opus"));
    let told = |(tag, body): (u8, &[u8])| {
        tag == 0x7F && matches!(body, [0x80, channels, ..] if *channels <= 8 || *channels >= 0x80)
    };
    if is_opus && !descriptors(bytes).any(told) {
        faults.add("Opus without its extension descriptor, or with a reserved channel_config_code");
    }
    is_opus
}

/// So many bits above the lowest ones.
fn field(bits: u32, above: u32, count: u32) -> usize {
    usize::try_from(bits >> above & ((1 << count) - 1)).unwrap_or_default()
}

fn wide(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
