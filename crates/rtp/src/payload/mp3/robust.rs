//! Layer III made robust against loss ([RFC 5219]): frames out of ADUs.
//!
//! [RFC 5219]: https://www.rfc-editor.org/rfc/rfc5219

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use media::mp3::Header;
use media::{BitReader, Error, Reader};

use super::{HEADER, Partial, ticks};
use crate::Packet;
use crate::payload::{self, Unit};

/// Takes ADUs out of packets, and makes frames of them.
#[derive(Debug, Default)]
pub(crate) struct Robust {
    partial: Option<Partial>,
    reservoir: Reservoir,
}

impl Robust {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Frames that are kept back.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.reservoir.frames.len()
    }
}

impl payload::Depacketizer for Robust {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        let mut r = Reader::new(&packet.payload);
        let mut samples = 0;
        while !r.is_empty() {
            // §4.2: C, T and 6 or 14 bits of size.
            let first = r.u8()?;
            let mut length = usize::from(first & 0x3F);
            if first & 0x40 != 0 {
                length = length << 8 | usize::from(r.u8()?);
            }
            let partial = self.partial.take();
            if first & 0x80 != 0 {
                // §4.3: every fragment has the size of the whole.
                let same = |partial: &Partial| {
                    !lost && partial.timestamp == packet.timestamp && partial.length == length
                };
                let Some(mut partial) = partial.filter(same) else { return Ok(()) };
                partial.add(&mut r)?;
                if !partial.is_complete() {
                    self.partial = Some(partial);
                    return Ok(());
                }
                let header = Header::parse(&partial.data)?;
                samples += u64::from(header.samples);
                self.reservoir.push(partial.timestamp, &header, &partial.data.freeze())?;
                continue;
            }
            let data = packet.payload.slice_ref(r.take(length.min(r.remaining()))?);
            // An interleaved ADU has a number where this wants a syncword.
            let header = Header::parse(&data)?;
            let timestamp = packet.timestamp.wrapping_add(ticks(samples, &header));
            if data.len() < length {
                let data = BytesMut::from(data);
                self.partial = Some(Partial { timestamp, length, data });
                return Ok(());
            }
            samples += u64::from(header.samples);
            self.reservoir.push(timestamp, &header, &data)?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<Unit> {
        self.reservoir.ready.pop_front()
    }

    fn flush(&mut self) {
        self.reservoir.flush();
    }
}

/// Lays the main data of ADUs into the frames before their own, as far as their back-pointers tell.
#[derive(Debug, Default)]
struct Reservoir {
    /// Frames into which main data may come yet. Each has room for one byte of them at least, so
    /// that there are never more than [`MAX_BACK`].
    frames: VecDeque<Slot>,
    /// Bytes at the end of the last frame, and of those before it, that may be written.
    room: usize,
    /// When the last frame ends.
    end: Option<u32>,
    ready: VecDeque<Unit>,
}

/// A frame that is being filled.
#[derive(Debug)]
struct Slot {
    timestamp: u32,
    /// Header, side information, and room for main data: from here.
    main: usize,
    data: BytesMut,
}

/// The largest back-pointer, `main_data_begin` of 9 bits.
pub(super) const MAX_BACK: usize = 511;

impl Reservoir {
    fn push(&mut self, timestamp: u32, header: &Header, adu: &Bytes) -> Result<(), Error> {
        let duration = ticks(header.samples.into(), header);
        let end = self.end.replace(timestamp.wrapping_add(duration));
        if header.layer != 3 {
            // §5: others have no back-pointers.
            self.flush();
            self.ready.push_back(Unit { timestamp, data: adu.clone(), torn: false });
            return Ok(());
        }
        let side = SideInformation::read(header, adu)?;
        if side.back > self.room {
            // At the beginning, or behind a gap, there is time for another frame.
            let gap = end.map(|end| timestamp.wrapping_sub(end));
            let before = gap.is_none_or(|gap| (duration - duration / 8..1 << 31).contains(&gap));
            let silence = silence(header, adu)?;
            let side = SideInformation::read(&Header::parse(&silence)?, &silence)?;
            if !before {
                return self.place(timestamp, &silence, &side);
            }
            self.place(timestamp.wrapping_sub(duration), &silence, &side)?;
        }
        self.place(timestamp, adu, &side)
    }

    /// Appends a frame, and writes its main data.
    fn place(&mut self, timestamp: u32, adu: &[u8], side: &SideInformation) -> Result<(), Error> {
        let (head, mut main) = adu.split_at_checked(side.end).unwrap_or((adu, &[]));
        let lies = || Error::Invalid { what: "ADU size", value: adu.len() as u64 };
        let room = (side.back + side.space).checked_sub(main.len()).ok_or_else(lies)?;
        let mut data = BytesMut::from(head);
        data.resize(side.end + side.space, 0);
        let before: usize = self.frames.iter().map(Slot::space).sum();
        self.frames.push_back(Slot { timestamp, main: side.end, data });
        let mut at = before.saturating_sub(side.back);
        for slot in &mut self.frames {
            let space = slot.space();
            if at < space {
                let target = slot.data.get_mut(slot.main + at..).unwrap_or_default();
                let (here, rest) = main.split_at(target.len().min(main.len()));
                for (to, from) in target.iter_mut().zip(here) {
                    *to = *from;
                }
                main = rest;
            }
            at = at.saturating_sub(space);
        }
        self.room = room.min(MAX_BACK);
        // What later data can't reach is complete.
        let mut reach = before + side.space;
        while let Some(slot) = self.frames.pop_front_if(|slot| reach - slot.space() >= self.room) {
            reach -= slot.space();
            self.ready.push_back(slot.unit());
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.ready.extend(self.frames.drain(..).map(Slot::unit));
        self.room = 0;
    }
}

impl Slot {
    fn space(&self) -> usize {
        self.data.len().saturating_sub(self.main)
    }

    fn unit(self) -> Unit {
        Unit { timestamp: self.timestamp, data: self.data.freeze(), torn: false }
    }
}

/// What is to be known of a layer III frame (ISO/IEC 11172-3 §2.4.1.7, ISO/IEC 13818-3 §2.4.1.7).
pub(super) struct SideInformation {
    /// Where it ends, and main data may begin.
    pub(super) end: usize,
    /// Bytes that the frame has for main data.
    pub(super) space: usize,
    /// `main_data_begin`.
    pub(super) back: usize,
}

impl SideInformation {
    pub(super) fn read(header: &Header, frame: &[u8]) -> Result<Self, Error> {
        let length = side_length(header);
        let bits = if header.samples == 1152 { 9 } else { 8 };
        let mut r = BitReader::new(frame);
        r.skip(15)?;
        let checksum = if r.flag()? { 0 } else { 2 };
        let end = HEADER + checksum + length;
        r.skip(8 * (HEADER - 2 + checksum))?;
        let back = usize::from(r.u16(bits)?);
        if frame.len() < end {
            return Err(Error::Truncated { offset: frame.len(), wanted: end - frame.len() });
        }
        let small = || Error::Invalid { what: "bitrate_index", value: 0 };
        let space = header.length.and_then(|length| length.checked_sub(end)).ok_or_else(small)?;
        Ok(Self { end, space, back })
    }
}

/// A frame without main data and back-pointer, like that of an ADU but with the highest bit rate:
/// its room is enough for any back-pointer.
pub(super) fn silence(header: &Header, adu: &[u8]) -> Result<Bytes, Error> {
    let [sync, version, rate, mode] = Reader::new(adu).array()?;
    let plain = [sync, version | 1, 0xE0 | rate & 0x0C, mode];
    let mut frame = BytesMut::from(&plain[..]);
    frame.resize(HEADER + side_length(header), 0);
    Ok(frame.freeze())
}

/// Bytes of side information.
pub(super) fn side_length(header: &Header) -> usize {
    match (header.samples, header.channels) {
        (1152, 1) => 17,
        (1152, _) => 32,
        (_, 1) => 9,
        (_, _) => 17,
    }
}
