//! H.265 ([RFC 7798](https://www.rfc-editor.org/rfc/rfc7798)).
//!
//! Reads single units, aggregation packets (§4.4.2) and fragmentation units (§4.4.3), with decoding
//! order numbers where `sprop-max-don-diff` announces them; PACI packets (§4.4.4) are passed over.
//! Writes without decoding order numbers, with the parameter sets in front of each key frame.
//!
//! Tolerated: see [`super::nal`].

use media::{Error, Reader, h265};
use smallvec::{SmallVec, smallvec};

use super::nal::{self, Assembler, Role, Syntax};

const AP: u8 = 48;
const FU: u8 = 49;
const PACI: u8 = 50;

/// Puts access units together.
pub(crate) type Depacketizer = nal::Depacketizer<H265>;

impl Depacketizer {
    /// `numbered`: `sprop-max-don-diff` is above zero.
    pub(crate) fn new(numbered: bool) -> Self {
        Self::with(H265 { numbered })
    }
}

/// Cuts access units.
pub(crate) type Packetizer = nal::Packetizer<H265>;

impl Packetizer {
    /// `config` is the track's `HEVCDecoderConfigurationRecord`; an unreadable one has no
    /// parameter sets.
    pub(crate) fn new(config: &[u8]) -> Self {
        let config = h265::Config::parse(config).ok();
        Self::with(config.iter().flat_map(h265::Config::parameter_sets))
    }
}

/// The units of H.265.
#[derive(Debug)]
pub(crate) struct H265 {
    /// Payloads that are read have decoding order numbers.
    numbered: bool,
}

impl Syntax for H265 {
    const HEADER: usize = 2;

    /// §7.4.2.4.4 of H.265: what begins an access unit.
    fn role(unit: &[u8]) -> Role {
        match unit {
            // `first_slice_segment_in_pic_flag` is the first bit after the header.
            [header, _, third, ..] if header >> 1 & 0x3F < 32 => {
                Role::Slice { first: third & 0x80 != 0 }
            }
            // VPS, SPS, PPS, AUD, prefix SEI, reserved and unspecified ones that come first.
            [header, ..] if matches!(header >> 1 & 0x3F, 32..=35 | 39 | 41..=44 | 48..=55) => {
                Role::Lead
            }
            _ => Role::Any,
        }
    }

    fn read(&self, _timestamp: u32, payload: &[u8], units: &mut Assembler) -> Result<(), Error> {
        let mut r = Reader::new(payload);
        let header @ [first, second] = r.array::<2>()?;
        let kind = first >> 1 & 0x3F;
        match kind {
            AP => {
                if self.numbered {
                    let _decoding_order = r.u16()?;
                }
                for index in 0.. {
                    if r.is_empty() {
                        break;
                    }
                    if self.numbered && index > 0 {
                        let _difference = r.u8()?;
                    }
                    let length = r.u16()?;
                    units.unit::<Self>(r.take(length.into())?)?;
                }
                Ok(())
            }
            FU => {
                let fragment = r.u8()?;
                let ends = (fragment & 0x80 != 0, fragment & 0x40 != 0);
                if self.numbered && ends.0 {
                    let _decoding_order = r.u16()?;
                }
                let part = r.rest();
                let header = [first & 0x81 | (fragment & 0x3F) << 1, second];
                units.fragment::<Self>(&header, part, ends)
            }
            PACI => Ok(()),
            0..=47 => {
                if self.numbered {
                    let _decoding_order = r.u16()?;
                    let unit = [&header, r.rest()].concat();
                    return units.unit::<Self>(&unit);
                }
                units.unit::<Self>(payload)
            }
            kind => Err(Error::Invalid { what: "NAL unit type", value: kind.into() }),
        }
    }

    /// §4.4.2: layer and temporal id are the lowest of all units.
    fn aggregation(units: &[&[u8]]) -> SmallVec<[u8; 4]> {
        let (mut forbidden, mut layer, mut temporal) = (0, 0x3F, 7);
        for unit in units {
            if let [first, second, ..] = unit {
                forbidden |= first & 0x80;
                layer = layer.min((first & 1) << 5 | second >> 3);
                temporal = temporal.min(second & 7);
            }
        }
        smallvec![forbidden | AP << 1 | layer >> 5, layer << 3 | temporal]
    }

    /// §4.4.3.
    fn fragmentation(header: &[u8], start: bool, end: bool) -> SmallVec<[u8; 4]> {
        let (first, second) = match header {
            [first, second, ..] => (*first, *second),
            _ => (0, 0),
        };
        let ends = u8::from(start) << 7 | u8::from(end) << 6;
        smallvec![first & 0x81 | FU << 1, second, ends | first >> 1 & 0x3F]
    }
}

#[cfg(test)]
mod tests {
    use media::{FrameKind, TrackId, nal};

    use super::*;
    use crate::payload::Depacketizer as _;
    use crate::payload::tests::{depacketize, frame, packet, packetize};

    fn packed(units: &[&[u8]]) -> Vec<u8> {
        nal::pack(units.iter().copied(), 0).unwrap().0.to_vec()
    }

    const VPS: &[u8] = &[0x40, 1, 9];
    const IDR: &[u8] = &[0x26, 1, 0xAF, 5];
    const SUFFIX: &[u8] = &[0x50, 1, 7, 7];

    #[test]
    fn aggregates_are_read_and_packets_with_extensions_passed_over() {
        let ap = [&[0x60, 1, 0, 3][..], VPS, &[0, 4], IDR].concat();
        let paci = [0x64, 1, 9, 9, 9];
        let packets = [
            packet(1, false, &ap),
            packet(1, false, &paci),
            packet(1, true, SUFFIX),
            packet(2, true, IDR),
        ];
        let got = depacketize(&mut Depacketizer::new(false), &packets);
        let data: Vec<_> = got.iter().map(|unit| unit.data.to_vec()).collect();
        assert_eq!(data, [packed(&[VPS, IDR, SUFFIX]), packed(&[IDR])]);
    }

    #[test]
    fn decoding_order_numbers_are_passed_over() {
        let single = [&IDR[..2], &[0, 1], &IDR[2..]].concat();
        let start = [0x62, 1, 0x93, 0, 2, 0xAF];
        let end = [0x62, 1, 0x53, 5];
        let packets = [packet(1, true, &single), packet(2, false, &start), packet(2, true, &end)];
        let got = depacketize(&mut Depacketizer::new(true), &packets);
        let data: Vec<_> = got.iter().map(|unit| unit.data.to_vec()).collect();
        assert_eq!(data, [packed(&[IDR]), packed(&[IDR])]);
    }

    #[test]
    fn layer_and_temporal_id_survive() {
        let units: [&[u8]; 2] = [&[0x03, 0x0B, 0x80, 1], &[0x03, 0x0A, 0x00, 1]];
        let (data, spans) = nal::pack(units, 0).unwrap();
        let frame = frame(TrackId::video(0), FrameKind::Delta, data, spans);
        let packets = packetize(&mut Packetizer::new(&[]), &frame, 64, 7);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].payload[..2], [0x61, 0x0A]);
    }

    #[test]
    fn short_payloads_are_no_disaster() {
        let mut depacketizer = Depacketizer::new(true);
        for payload in [&[0x62][..], &[0x62, 1], &[0x62, 1, 0x93], &[0x60, 1, 0], &[0x26, 1]] {
            let _ = depacketizer.push(&packet(1, true, payload), false);
        }
    }
}
