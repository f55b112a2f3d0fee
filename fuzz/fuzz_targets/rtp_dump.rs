//! Files with packets: lal's records, and captures.
//!
//! Laws: bodies are pieces of the file; what was read and is written down again is read the same.

#![no_main]

use std::net::SocketAddr;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rtp::dump::{Format, Kind, Records};

/// What a datagram over IPv4 can carry.
const MAX_DATAGRAM: usize = 65_507;

fuzz_target!(|data: &[u8]| {
    let Ok(records) = Records::new(Bytes::copy_from_slice(data)) else { return };
    let packets: Vec<_> = records.filter(|record| record.kind == Kind::Ps).collect();
    let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
    for format in [Format::Records, Format::Pcap] {
        let mut file = format.begin("fuzz", packets.first().map(|first| first.at).unwrap_or_default()).to_vec();
        let fits = |length: usize| format == Format::Records || length <= MAX_DATAGRAM;
        let kept: Vec<_> = packets.iter().filter(|packet| fits(packet.body.len())).collect();
        for packet in &kept {
            assert!(data.windows(packet.body.len().max(1)).any(|piece| piece == packet.body)
                || packet.body.is_empty());
            file.extend_from_slice(&format.packet(&packet.body, packet.at, nobody, nobody));
        }
        let again = Records::new(file.into()).expect("a file of ours");
        let again: Vec<_> = again.filter(|record| record.kind == Kind::Ps).collect();
        assert_eq!(again.len(), kept.len());
        for (packet, again) in kept.iter().zip(&again) {
            assert_eq!(packet.body, again.body);
        }
    }
});
