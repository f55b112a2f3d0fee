//! Video tag bodies, legacy and Enhanced.
//!
//! Law: a packet that was read and has a written form reads the same again.

#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use flv::video::{FrameType, Header, Kind, Message, Packet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::parse(&Bytes::copy_from_slice(data)) else { return };
    let key = message.frame_type == FrameType::Key;
    for read in &message.packets {
        let (kind, payload) = match &read.packet {
            Packet::Config(data) => (Kind::Config, data.clone()),
            Packet::Frame { cts, data } => (Kind::Frame { key, cts: *cts }, data.clone()),
            Packet::EndOfSequence => (Kind::EndOfSequence, Bytes::new()),
            Packet::Metadata(data) => (Kind::Metadata, data.clone()),
            Packet::Mpeg2TsConfig(_) | Packet::Other(..) => continue,
        };
        for track in [None, Some(read.track)] {
            let header = Header { codec: read.codec, kind, enhanced: message.enhanced, track };
            let mut out = BytesMut::new();
            if header.write(&mut out).is_err() {
                continue;
            }
            out.put_slice(&payload);
            let again = Message::parse(&out.freeze()).expect("what was written is well-formed");
            assert_eq!(again.packets.len(), 1);
            assert_eq!(again.packets[0].codec, read.codec);
            assert_eq!(again.packets[0].packet, read.packet);
            assert_eq!(again.packets[0].track, track.unwrap_or(0));
        }
    }
});
