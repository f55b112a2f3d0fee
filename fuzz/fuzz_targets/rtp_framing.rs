//! Packets of RTP in a stream of bytes.
//!
//! Laws: reads may end anywhere; packets are pieces of the input, in order; what was read and is
//! framed again is read the same.

#![no_main]

use bytes::Bytes;
use headwater_fuzz::splits_change_nothing;
use libfuzzer_sys::fuzz_target;
use rtp::framing::{Error, Format, Reader};

fuzz_target!(|data: &[u8]| {
    splits_change_nothing(data, |pieces| {
        let mut reader = Reader::new();
        let mut all = Vec::new();
        for piece in pieces {
            reader.push(piece);
            if let Err(error) = drain(&mut reader, &mut all) {
                return (all, Some(error), 0, 0);
            }
        }
        (all, None, reader.resynced(), reader.skipped())
    });
    let mut reader = Reader::new();
    let mut packets = Vec::new();
    reader.push(data);
    let _ = drain(&mut reader, &mut packets);
    let mut rest = data;
    for packet in &packets {
        let at = rest.windows(packet.len()).position(|bytes| bytes == packet);
        rest = &rest[at.expect("the packet was in the input") + packet.len()..];
    }
    let Some(format) = reader.format() else { return };
    if reader.resynced() > 0 {
        return;
    }
    let mut again = Reader::new();
    for packet in &packets {
        if format == Format::Interleaved {
            again.push(b"$\0");
        }
        let length = u16::try_from(packet.len()).expect("it was read with such a length");
        again.push(&length.to_be_bytes());
        again.push(packet);
    }
    let mut reread = Vec::new();
    if drain(&mut again, &mut reread).is_ok() && again.format() == Some(format) {
        assert!(packets.starts_with(&reread));
    }
});

fn drain(reader: &mut Reader, out: &mut Vec<Bytes>) -> Result<(), Error> {
    while let Some(packet) = reader.poll()? {
        out.push(packet);
    }
    Ok(())
}
