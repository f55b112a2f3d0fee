//! Pictures in PES packets: byte streams of one access unit each (ITU-T H.264 §7.4.1.2.3 and
//! annex B, ITU-T H.265 §7.4.2.4.4 and annex B, ISO/IEC 13818-1 §2.14 and §2.17).

use std::ops::RangeInclusive;

use super::faults::Faults;

/// How NAL units are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    H264,
    H265,
}

/// What an access unit is good for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picture {
    /// All decoders can start here.
    pub(super) key: bool,
    /// A decoder may start here, though its first pictures may be damaged.
    pub(super) recovers: bool,
}

/// A NAL unit of a byte stream.
struct Unit<'a> {
    bytes: &'a [u8],
    /// The zero bytes of its start code and before it.
    zeros: usize,
}

/// What a NAL unit is in its access unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Delimiter,
    ParameterSet(u8),
    Slice {
        key: bool,
        first: bool,
    },
    /// Belongs before the slices.
    Prefix {
        recovers: bool,
    },
    /// Belongs behind the slices.
    Suffix,
    Other,
}

/// Checks that the payload is one access unit, whole and in order.
pub(super) fn check(syntax: Syntax, payload: &[u8], faults: &mut Faults) -> Picture {
    let units = units(payload, faults);
    let mut picture = Picture { key: false, recovers: false };
    let mut pictures = 0;
    let mut slices = false;
    let mut sets = Vec::new();
    for (index, unit) in units.iter().enumerate() {
        let Some(role) = syntax.role(unit.bytes, faults) else { continue };
        let is_set = matches!(role, Role::ParameterSet(_));
        if unit.zeros < 3 && (index == 0 || is_set) {
            faults.add("a start code that needs four bytes has three");
        }
        if (index == 0) != (role == Role::Delimiter) {
            faults.add(if index == 0 {
                "the access unit does not begin with a delimiter"
            } else {
                "there is a second access unit delimiter"
            });
        }
        if slices && (is_set || matches!(role, Role::Prefix { .. })) {
            faults.add("a unit after the slices begins a second access unit");
        }
        match role {
            Role::ParameterSet(kind) => sets.push(kind),
            Role::Prefix { recovers } => picture.recovers |= recovers,
            Role::Slice { key, first } => {
                pictures += usize::from(first);
                if !slices && key && syntax.sets().any(|kind| !sets.contains(&kind)) {
                    faults.add("parameter sets are missing before a key picture");
                }
                picture.key |= key;
                slices = true;
            }
            Role::Suffix if !slices => faults.add("filler or suffix comes before the slices"),
            Role::Delimiter | Role::Suffix | Role::Other => {}
        }
    }
    if pictures != 1 {
        faults.add(format_args!("the PES packet has {pictures} pictures instead of one"));
    }
    picture.recovers |= picture.key;
    picture
}

impl Syntax {
    /// `nal_unit_type` of the parameter sets that a key picture needs.
    fn sets(self) -> RangeInclusive<u8> {
        match self {
            Self::H264 => 7..=8,
            Self::H265 => 32..=34,
        }
    }

    fn role(self, unit: &[u8], faults: &mut Faults) -> Option<Role> {
        let Some(&first) = unit.first() else {
            faults.add("a NAL unit is empty");
            return None;
        };
        if first & 0x80 != 0 {
            faults.add("forbidden_zero_bit is set");
        }
        match self {
            Self::H264 => Some(h264_role(first & 0x1F, unit, faults)),
            Self::H265 => {
                let [first, second, rest @ ..] = unit else {
                    faults.add("a NAL unit is shorter than its header");
                    return None;
                };
                if second & 7 == 0 {
                    faults.add("nuh_temporal_id_plus1 is zero");
                }
                Some(h265_role(first >> 1 & 0x3F, rest, faults))
            }
        }
    }
}

fn h264_role(kind: u8, unit: &[u8], faults: &mut Faults) -> Role {
    // first_mb_in_slice is zero if its code is a one.
    let first = unit.get(1).is_some_and(|byte| byte & 0x80 != 0);
    match kind {
        0 | 24..=31 => {
            faults.add(format_args!("nal_unit_type is {kind}"));
            Role::Other
        }
        1 | 2 => Role::Slice { key: false, first },
        5 => Role::Slice { key: true, first },
        6 => Role::Prefix { recovers: has_recovery_point(unit.get(1..).unwrap_or_default()) },
        7 | 8 => Role::ParameterSet(kind),
        9 => {
            // Three bits, the stop bit, zeros.
            if !matches!(unit, [_, body] if body & 0x1F == 0x10) {
                faults.add("the access unit delimiter is malformed");
            }
            Role::Delimiter
        }
        12 => Role::Suffix,
        14..=18 => Role::Prefix { recovers: false },
        _ => Role::Other,
    }
}

fn h265_role(kind: u8, body: &[u8], faults: &mut Faults) -> Role {
    match kind {
        0..=31 => Role::Slice {
            key: (16..=23).contains(&kind),
            first: body.first().is_some_and(|byte| byte & 0x80 != 0),
        },
        32..=34 => Role::ParameterSet(kind),
        35 => {
            if !matches!(body, [body] if body & 0x1F == 0x10) {
                faults.add("the access unit delimiter is malformed");
            }
            Role::Delimiter
        }
        38 | 40 => Role::Suffix,
        39 => Role::Prefix { recovers: false },
        41..=44 | 48..=55 => Role::Prefix { recovers: false },
        _ => Role::Other,
    }
}

/// Whether SEI messages of H.264 tell a recovery point (§D.1.8: payloadType 6).
fn has_recovery_point(mut messages: &[u8]) -> bool {
    while messages.len() > 2 {
        let (Some(kind), Some(size)) = (sum(&mut messages), sum(&mut messages)) else {
            return false;
        };
        if kind == 6 {
            return true;
        }
        messages = messages.get(size..).unwrap_or_default();
    }
    false
}

/// A number in bytes of 255 and a last one.
fn sum(bytes: &mut &[u8]) -> Option<usize> {
    let mut sum = 0;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        sum += usize::from(byte);
        if byte != 255 {
            return Some(sum);
        }
    }
}

/// The NAL units of a byte stream (H.264 and H.265 §B.1).
fn units<'a>(payload: &'a [u8], faults: &mut Faults) -> Vec<Unit<'a>> {
    let mut units = Vec::new();
    // Where the unit in hand begins, and the zeros of its start code.
    let mut open: Option<(usize, usize)> = None;
    let mut zeros = 0;
    let mut close = |open: Option<(usize, usize)>, end: usize| {
        if let Some((from, zeros)) = open {
            units.push(Unit { bytes: payload.get(from..end).unwrap_or_default(), zeros });
        }
    };
    for (at, &byte) in payload.iter().enumerate() {
        if byte == 0 {
            zeros += 1;
            continue;
        }
        let run = std::mem::take(&mut zeros);
        if run < 2 {
            continue;
        }
        if byte == 1 {
            if open.is_none() && at != run {
                faults.add("the byte stream does not begin with a start code");
            }
            close(open, at - run);
            open = Some((at + 1, run));
        } else if open.is_some() {
            let next = payload.get(at + 1).copied().unwrap_or(0);
            if run > 2 || byte == 2 || byte == 3 && next > 3 {
                faults.add("a NAL unit has bytes that only emulation prevention may leave");
            }
        }
    }
    if open.is_none() {
        faults.add("there is no start code");
    }
    close(open, payload.len() - zeros);
    units
}
