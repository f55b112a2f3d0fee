//! AV1 ([RTP Payload Format For AV1](https://aomediacodec.github.io/av1-rtp-spec/) v1.0).
//!
//! A payload is an aggregation header and OBU elements: OBUs without sizes, of which the first may
//! be continued from the packet before, and the last in the next one (§4.4, §4.5). What comes out
//! has sizes, and neither temporal delimiters nor tile lists (§5) nor padding; those are not
//! sent either. Bit N is written but not asked for: the sequence header says as much. The
//! dependency descriptor, a header extension, is passed over.
//!
//! A temporal unit that lost a part comes out with the OBUs that are whole. One that lost OBUs at
//! its beginning is known to be torn only if it goes on with a continuation or with tiles:
//! payloads don't say which is the first.
//!
//! Tolerated: markers that are missing, OBUs that have sizes, several of them in one element.

mod depacketizer;
mod packetizer;
#[cfg(test)]
mod tests;

use media::av1::ObuType;
use smallvec::SmallVec;

pub(crate) use self::depacketizer::Depacketizer;
pub(crate) use self::packetizer::Packetizer;

/// The bits Z, Y and N of the aggregation header, and where its field W stands (§4.4).
const CONTINUED: u8 = 0x80;
const CONTINUES: u8 = 0x40;
const COUNT_SHIFT: u8 = 4;
const NEW_SEQUENCE: u8 = 0x08;

/// `obu_has_size_field` in the header of an OBU.
const HAS_SIZE: u8 = 0x02;

/// §5: what receivers ignore and senders remove; padding has no use on a way that can do without.
fn is_passed_over(kind: ObuType) -> bool {
    matches!(kind, ObuType::TemporalDelimiter | ObuType::TileList | ObuType::Padding)
}

fn leb128(mut value: usize) -> SmallVec<[u8; 8]> {
    let mut bytes = SmallVec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7F);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
