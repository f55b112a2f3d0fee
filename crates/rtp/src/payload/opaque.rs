//! Formats that are not understood, from RTP to RTP: JPEG, MPEG-4 video, G.726, metadata of ONVIF.
//!
//! A unit is what was sent for one time stamp, up to the marker ([RFC 3550] §5.1): its payloads,
//! each behind its length in four bytes. The same packets are made of it again. Of formats that
//! never set the marker, a unit is complete when the next one begins.
//!
//! Nobody knows how to cut such a payload: one that is longer than packets may be is handed out as
//! it is. That is the one exception to the limit.
//!
//! After a loss, both the unit that it interrupts and the one that follows count as torn: the
//! packets may have belonged to either.
//!
//! [RFC 3550]: https://www.rfc-editor.org/rfc/rfc3550

use bytes::{BufMut, BytesMut};
use media::{Error, Frame, Reader};

use super::{MAX_UNIT, Sink, Unit};
use crate::Packet;

/// Packets that a unit may have: a picture of 5 MB in packets of 1400 bytes.
const MAX_PACKETS: usize = 4096;

/// Gathers the payloads of each time stamp.
#[derive(Debug, Default)]
pub(crate) struct Depacketizer {
    partial: Option<Partial>,
    /// A packet completes two units when it is another one by itself.
    ready: [Option<Unit>; 2],
}

/// A unit of which more may come.
#[derive(Debug)]
struct Partial {
    timestamp: u32,
    packets: usize,
    data: BytesMut,
    torn: bool,
    /// It is beyond the limits, and passed over.
    refused: bool,
}

impl Depacketizer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// No more packets come for the unit that is under way.
    fn finish(&mut self) {
        if let Some(Partial { timestamp, data, torn, refused: false, .. }) = self.partial.take() {
            let [first, second] = &mut self.ready;
            let free = if first.is_none() { first } else { second };
            *free = Some(Unit { timestamp, data: data.freeze(), torn });
        }
    }
}

impl Partial {
    fn add(&mut self, payload: &[u8]) -> Result<(), Error> {
        if self.refused {
            return Ok(());
        }
        self.packets += 1;
        let length = self.data.len() + LENGTH + payload.len();
        let prefix = u32::try_from(payload.len()).ok().filter(|_| length <= MAX_UNIT);
        match prefix.filter(|_| self.packets <= MAX_PACKETS) {
            Some(prefix) => {
                self.data.put_u32(prefix);
                self.data.put_slice(payload);
                Ok(())
            }
            None => {
                self.refused = true;
                self.data = BytesMut::new();
                Err(Error::Invalid { what: "unit length", value: length as u64 })
            }
        }
    }
}

/// Bytes of a length.
const LENGTH: usize = 4;

impl super::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        if let Some(partial) = &mut self.partial {
            partial.torn |= lost;
            if partial.timestamp != packet.timestamp {
                self.finish();
            }
        }
        let partial = self.partial.get_or_insert_with(|| Partial {
            timestamp: packet.timestamp,
            packets: 0,
            data: BytesMut::new(),
            torn: lost,
            refused: false,
        });
        let result = partial.add(&packet.payload);
        if packet.marker {
            self.finish();
        }
        result
    }

    fn poll(&mut self) -> Option<Unit> {
        let [first, second] = &mut self.ready;
        first.take().or_else(|| second.take())
    }

    fn flush(&mut self) {
        self.finish();
    }
}

/// Makes the same packets again.
#[derive(Debug)]
pub(crate) struct Packetizer;

impl Packetizer {
    pub(crate) fn new() -> Self {
        Self
    }
}

/// The next payload of a unit.
fn next<'a>(r: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = r.u32().ok()?;
    r.take(usize::try_from(length).ok()?).ok()
}

impl super::Packetizer for Packetizer {
    /// Payloads longer than `max` are handed out as they are.
    fn push(&mut self, frame: &Frame, _max: usize, sink: &mut dyn Sink) {
        let mut r = Reader::new(&frame.data);
        let mut following = next(&mut r);
        while let Some(payload) = following {
            following = next(&mut r);
            sink.packet(&[payload], following.is_none());
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::{FrameKind, TrackId, Units};
    use proptest::prelude::*;

    use super::*;
    use crate::payload::Depacketizer as _;
    use crate::payload::tests::{
        anything, depacketize, frame, losses, lossy, packet, packetize, read_anything, unit,
    };

    /// The packets of a unit.
    fn packets(timestamp: u32, payloads: &[Vec<u8>]) -> Vec<Packet> {
        let last = payloads.len() - 1;
        let list = payloads.iter().enumerate();
        list.map(|(index, payload)| packet(timestamp, index == last, payload)).collect()
    }

    fn data(payloads: &[Vec<u8>]) -> Bytes {
        let mut data = BytesMut::new();
        for payload in payloads {
            data.put_u32(payload.len().try_into().unwrap());
            data.put_slice(payload);
        }
        data.freeze()
    }

    fn sent_again(unit: &Unit) -> Vec<Packet> {
        let frame = frame(TrackId::data(), FrameKind::Data, unit.data.clone(), Units::new());
        let mut list = packetize(&mut Packetizer::new(), &frame, usize::MAX, unit.timestamp);
        for packet in &mut list {
            packet.sequence = 0;
        }
        list
    }

    #[test]
    fn a_unit_ends_with_its_marker_or_its_time() {
        let mut depacketizer = Depacketizer::new();
        depacketizer.push(&packet(1, false, b"ab"), false).unwrap();
        assert_eq!(depacketizer.poll(), None);
        depacketizer.push(&packet(1, true, b""), false).unwrap();
        let unit = depacketizer.poll().unwrap();
        assert_eq!((&unit.data[..], unit.torn), (&b"\0\0\0\x02ab\0\0\0\0"[..], false));
        depacketizer.push(&packet(2, false, b"c"), false).unwrap();
        depacketizer.push(&packet(3, true, b"d"), false).unwrap();
        assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), Some(2));
        assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), Some(3));
        depacketizer.push(&packet(4, false, b"e"), false).unwrap();
        assert_eq!(depacketizer.poll(), None);
        depacketizer.flush();
        assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), Some(4));
    }

    #[test]
    fn units_have_limits() {
        let mut depacketizer = Depacketizer::new();
        for _ in 0..MAX_PACKETS {
            depacketizer.push(&packet(1, false, b"x"), false).unwrap();
        }
        assert!(depacketizer.push(&packet(1, false, b"x"), false).is_err());
        depacketizer.push(&packet(1, true, b"x"), false).unwrap();
        assert_eq!(depacketizer.poll(), None);
        let large = packet(2, false, &vec![0; MAX_UNIT / 2]);
        depacketizer.push(&large, false).unwrap();
        assert!(depacketizer.push(&large, false).is_err());
        depacketizer.push(&packet(3, true, b"x"), false).unwrap();
        assert_eq!(depacketizer.poll().map(|unit| unit.timestamp), Some(3));
    }

    #[test]
    fn lengths_that_lie_end_a_frame() {
        for (data, count) in [
            (&b""[..], 0),
            (b"\0\0\0\x01", 0),
            (b"\0\0\0\x01ab", 1),
            (b"\0\0\0\x01a\xFF\xFF\xFF\xFFb", 1),
        ] {
            let data = Bytes::from_static(data);
            let list = sent_again(&Unit { timestamp: 0, data, torn: false });
            assert_eq!(list.len(), count);
            assert!(list.iter().all(|packet| packet.marker));
        }
    }

    fn units() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        let payload = proptest::collection::vec(any::<u8>(), 0..100);
        let unit = proptest::collection::vec(payload, 1..6);
        proptest::collection::vec(unit, 1..8)
    }

    proptest! {
        #[test]
        fn any_packets_come_back(list in units()) {
            let sent: Vec<_> =
                (0..).zip(&list).flat_map(|(time, unit)| packets(time, unit)).collect();
            let units = depacketize(&mut Depacketizer::new(), &sent);
            prop_assert!(units.iter().all(|unit| !unit.torn));
            prop_assert_eq!(units.iter().flat_map(sent_again).collect::<Vec<_>>(), sent);
        }

        #[test]
        fn what_is_not_torn_is_whole(list in units(), kept in losses()) {
            let sent: Vec<_> =
                (0..).zip(&list).flat_map(|(time, unit)| packets(time, unit)).collect();
            let (units, _) = lossy(&mut Depacketizer::new(), &sent, &kept);
            for unit in units.iter().filter(|unit| !unit.torn) {
                prop_assert_eq!(&unit.data, &data(&list[usize::try_from(unit.timestamp).unwrap()]));
            }
        }

        #[test]
        fn whatever_comes_is_sent(packets in anything(), data: Vec<u8>) {
            for (timestamp, data, torn) in read_anything(&mut Depacketizer::new(), &packets) {
                sent_again(&unit(timestamp, &data, torn));
            }
            sent_again(&unit(0, &data, false));
        }
    }
}
