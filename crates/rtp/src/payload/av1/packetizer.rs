//! Packets out of temporal units.

use bytes::Bytes;
use media::Frame;
use media::av1::{self, Obu, ObuType};
use smallvec::SmallVec;

use super::{CONTINUED, CONTINUES, COUNT_SHIFT, HAS_SIZE, NEW_SEQUENCE, is_passed_over, leb128};
use crate::payload::{self, Sink};

/// Cuts temporal units.
#[derive(Debug)]
pub(crate) struct Packetizer {
    config: Bytes,
}

impl Packetizer {
    /// `config_obus` are those of the track's configuration, which stand in front of key frames
    /// that have no sequence header.
    pub(crate) fn new(config_obus: Bytes) -> Self {
        Self { config: config_obus }
    }
}

impl payload::Packetizer for Packetizer {
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink) {
        let is_header = |obu: Obu<'_>| obu.kind == ObuType::SequenceHeader;
        let bare = frame.is_key() && !obus(&frame.data).any(is_header);
        let config = obus(if bare { &self.config } else { &[] });
        let obus: SmallVec<[Bare<'_>; 8]> =
            config.chain(obus(&frame.data)).filter_map(Bare::new).collect();
        // With room for a byte of media, each packet carries something on.
        let max = max.max(2);
        let mut payload = Payload::new(if frame.is_key() { NEW_SEQUENCE } else { 0 });
        for obu in &obus {
            if !payload.admits(obu) {
                payload = payload.send(0, sink);
            }
            let mut rest = obu.element();
            loop {
                let room = payload.room(max);
                if rest.len() <= room {
                    payload.push(obu, rest);
                    break;
                }
                let mut ends = 0;
                if room > 0 {
                    let (part, later) = rest.split_at(room);
                    payload.push(obu, part);
                    (rest, ends) = (later, CONTINUES);
                }
                payload = payload.send(ends, sink);
            }
        }
        payload.finish(0, true, sink);
    }
}

fn obus(data: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    av1::obus(data).map_while(Result::ok)
}

/// An OBU without its size, as it is sent.
#[derive(Debug)]
struct Bare<'a> {
    header: SmallVec<[u8; 2]>,
    /// `temporal_id` and `spatial_id`, if it has any.
    layer: Option<u8>,
    /// A sequence header.
    leads: bool,
    payload: &'a [u8],
}

impl<'a> Bare<'a> {
    fn new(obu: Obu<'a>) -> Option<Self> {
        if is_passed_over(obu.kind) {
            return None;
        }
        let (first, extension) = obu.header.split_first()?;
        let mut header = SmallVec::from_slice(extension);
        header.insert(0, first & !HAS_SIZE);
        Some(Self {
            header,
            layer: extension.first().map(|byte| byte >> 3),
            leads: obu.kind == ObuType::SequenceHeader,
            payload: obu.payload,
        })
    }

    fn element(&self) -> Element<'_> {
        Element { header: &self.header, payload: self.payload }
    }
}

/// An OBU or a part of it: what there is of its header and of its payload.
#[derive(Debug, Clone, Copy)]
struct Element<'a> {
    header: &'a [u8],
    payload: &'a [u8],
}

impl Element<'_> {
    fn len(&self) -> usize {
        self.header.len() + self.payload.len()
    }

    /// The first `length` bytes, and the others; `length` is at most that of the element.
    fn split_at(self, length: usize) -> (Self, Self) {
        let (header, header_rest) = self.header.split_at(length.min(self.header.len()));
        let (payload, payload_rest) = self.payload.split_at(length - header.len());
        (Self { header, payload }, Self { header: header_rest, payload: payload_rest })
    }
}

/// A payload that is being filled.
#[derive(Debug)]
struct Payload<'a> {
    /// Bits of the aggregation header.
    flags: u8,
    elements: SmallVec<[Element<'a>; MAX_ELEMENTS]>,
    layer: Option<u8>,
}

/// Elements of which the last needs no length: field W counts no more. Frames with more are rare.
const MAX_ELEMENTS: usize = 3;

impl<'a> Payload<'a> {
    fn new(flags: u8) -> Self {
        Self { flags, elements: SmallVec::new(), layer: None }
    }

    /// §5: one payload has OBUs of one layer, and a sequence header comes first.
    fn admits(&self, obu: &Bare<'_>) -> bool {
        let same = self.layer.is_none() || obu.layer.is_none() || self.layer == obu.layer;
        self.elements.is_empty() || (same && !obu.leads)
    }

    /// What an element more may have: those before it then need their lengths.
    fn room(&self, max: usize) -> usize {
        if self.elements.len() == MAX_ELEMENTS {
            return 0;
        }
        let used = self.elements.iter().map(|element| leb128(element.len()).len() + element.len());
        max.saturating_sub(1 + used.sum::<usize>())
    }

    fn push(&mut self, obu: &Bare<'_>, element: Element<'a>) {
        self.elements.push(element);
        self.layer = self.layer.or(obu.layer);
    }

    /// Hands out a payload that is not the last one, and begins the next.
    fn send(self, ends: u8, sink: &mut dyn Sink) -> Self {
        self.finish(ends, false, sink);
        Self::new(if ends == CONTINUES { CONTINUED } else { 0 })
    }

    fn finish(&self, ends: u8, marker: bool, sink: &mut dyn Sink) {
        let Some((last, others)) = self.elements.split_last() else { return };
        // MAX_ELEMENTS fits two bits.
        let count = u8::try_from(self.elements.len()).unwrap_or_default();
        let header = [self.flags | ends | count << COUNT_SHIFT];
        let sizes: SmallVec<[_; MAX_ELEMENTS]> =
            others.iter().map(|element| leb128(element.len())).collect();
        let mut pieces: SmallVec<[&[u8]; 1 + 3 * MAX_ELEMENTS]> = SmallVec::new();
        pieces.push(&header);
        for (size, element) in sizes.iter().zip(others) {
            pieces.extend([size, element.header, element.payload]);
        }
        pieces.extend([last.header, last.payload]);
        sink.packet(&pieces, marker);
    }
}
