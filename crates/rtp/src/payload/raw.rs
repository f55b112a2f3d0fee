//! Formats where a payload is a frame: Opus ([RFC 7587] §4.2) and G.711 ([RFC 3551] §4.5.14).
//!
//! There are no headers and no fragments. The marker, which begins a talk spurt (RFC 3551 §4.1),
//! is neither read nor set. A payload without bytes, as some send to keep a port open, is nothing.
//!
//! [RFC 3551]: https://www.rfc-editor.org/rfc/rfc3551
//! [RFC 7587]: https://www.rfc-editor.org/rfc/rfc7587

use media::{Error, Frame};

use super::{Sink, Unit};
use crate::Packet;

/// Hands out each payload as a frame.
#[derive(Debug, Default)]
pub(crate) struct Depacketizer {
    ready: Option<Unit>,
}

impl Depacketizer {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl super::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, _lost: bool) -> Result<(), Error> {
        if !packet.payload.is_empty() {
            let data = packet.payload.clone();
            self.ready = Some(Unit { timestamp: packet.timestamp, data, torn: false });
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<Unit> {
        self.ready.take()
    }
}

/// Makes a frame one packet, or several where samples can be cut apart.
#[derive(Debug)]
pub(crate) struct Packetizer {
    bytes_per_tick: Option<u32>,
}

impl Packetizer {
    /// For frames of samples that have `bytes_per_tick` bytes for each tick of the timestamp: the
    /// number of channels of G.711. Without it frames can't be cut (Opus): what does not fit into
    /// a packet is left out.
    pub(crate) fn new(bytes_per_tick: Option<u32>) -> Self {
        Self { bytes_per_tick }
    }
}

impl super::Packetizer for Packetizer {
    /// Packets have whole samples only: with a `max` that is odd, those of two channels have one
    /// byte less.
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink) {
        if frame.data.is_empty() {
            return;
        }
        if frame.data.len() <= max {
            return sink.packet(&[&frame.data], false);
        }
        let Some(bytes) = self.bytes_per_tick.and_then(|bytes| usize::try_from(bytes).ok()) else {
            return;
        };
        let Some(ticks) = max.checked_div(bytes).filter(|&ticks| ticks > 0) else { return };
        let mut pieces = frame.data.chunks(ticks * bytes).peekable();
        while let Some(piece) = pieces.next() {
            sink.packet(&[piece], false);
            if pieces.peek().is_some() {
                sink.advance(u32::try_from(ticks).unwrap_or(u32::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::payload::tests::{Packets, depacketize, packetize, sound, unit};
    use crate::payload::{Depacketizer as _, Packetizer as _};

    fn cut(data: &[u8], channels: u32, max: usize) -> Vec<Packet> {
        let mut sent = Packets::default();
        Packetizer::new(Some(channels)).push(&sound(data), max, &mut sent);
        sent.list
    }

    #[test]
    fn opus_is_one_packet_or_none() {
        let packets = packetize(&mut Packetizer::new(None), &sound(&[0xFC, 1, 2]), 64, 960);
        assert_eq!(packets.len(), 1);
        assert!(!packets[0].marker);
        let units = depacketize(&mut Depacketizer::new(), &packets);
        assert_eq!(units, [unit(960, &[0xFC, 1, 2], false)]);
        assert!(packetize(&mut Packetizer::new(None), &sound(&[0; 65]), 64, 0).is_empty());
    }

    #[test]
    fn samples_are_cut_and_have_their_own_time() {
        let times = |packets: &[Packet]| -> Vec<_> {
            packets.iter().map(|p| (p.timestamp, p.payload.len())).collect()
        };
        assert_eq!(times(&cut(&[0; 160], 1, 64)), [(0, 64), (64, 64), (128, 32)]);
        assert_eq!(times(&cut(&[0; 160], 2, 65)), [(0, 64), (32, 64), (64, 32)]);
        assert_eq!(times(&cut(&[0; 128], 1, 64)), [(0, 64), (64, 64)]);
        assert_eq!(times(&cut(&[0; 128], 0, 64)), []);
        assert_eq!(times(&cut(&[0; 128], 65, 64)), []);
    }

    #[test]
    fn no_bytes_are_no_frame() {
        assert!(cut(&[], 1, 64).is_empty());
        let mut packet = cut(&[1], 1, 64).remove(0);
        packet.payload = Bytes::new();
        let mut depacketizer = Depacketizer::new();
        depacketizer.push(&packet, true).unwrap();
        assert_eq!(depacketizer.poll(), None);
    }

    proptest! {
        #[test]
        fn all_samples_come_back(data: Vec<u8>, channels in 1u32..3, max in 64usize..200) {
            let packets = cut(&data, channels, max);
            let units = depacketize(&mut Depacketizer::new(), &packets);
            prop_assert!(packets.iter().all(|packet| packet.payload.len() <= max));
            let mut at = 0;
            for unit in &units {
                prop_assert_eq!(unit.timestamp * channels, at);
                at += u32::try_from(unit.data.len()).unwrap();
            }
            let joined: Vec<u8> = units.iter().flat_map(|unit| unit.data.to_vec()).collect();
            prop_assert_eq!(joined, data);
        }
    }
}
