//! AAC in LATM, `MP4A-LATM` of [RFC 6416] §6: `AudioMuxElement()` of ISO/IEC 14496-3 §1.7.3.
//!
//! A packet has one element, or a part of one up to the marker. What an element looks like is told
//! by a `StreamMuxConfig()`: by `config` of the session description, or within elements where
//! `cpresent` is 1. There is no packetiser: AAC is sent as [`super::aac`] does.
//!
//! Not read: several programs or layers, streams of different framing, other frame length types
//! than 0 (which CELP, HVXC and TwinVQ have), and checksums.
//!
//! Tolerated of real peers:
//! - An element that is complete by its lengths needs no marker.
//! - More frames may follow than `numSubFrames` tells, unless `cpresent` is 1.
//! - A backward compatible announcement of SBR may end the `AudioSpecificConfig()` of
//!   `audioMuxVersion` 0, which has no place for it.
//! - A last frame that is longer than its packet comes out torn.
//!
//! [RFC 6416]: https://www.rfc-editor.org/rfc/rfc6416

mod config;
mod mux;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use media::{BitReader, Error};

use self::mux::{Mux, copy};
use super::Unit;
use crate::Packet;

pub(crate) use self::mux::audio_specific_config;

/// Bytes that an element may have: 64 sub-frames of 4 KiB.
const MAX_ELEMENT: usize = 256 << 10;

/// Takes frames out of elements.
#[derive(Debug)]
pub(crate) struct Depacketizer {
    /// Elements bring their `StreamMuxConfig()`.
    in_band: bool,
    clock_rate: u32,
    mux: Option<Mux>,
    /// The decoder configuration was not taken yet.
    changed: bool,
    partial: Option<Partial>,
    /// The time of an element that is passed over, because its beginning is lost.
    skipped: Option<u32>,
    ready: VecDeque<Unit>,
}

/// An element of which more may come.
#[derive(Debug)]
struct Partial {
    timestamp: u32,
    data: BytesMut,
    /// With fewer bytes it says no more than it does now.
    needed: usize,
}

impl Depacketizer {
    /// With `config` and `cpresent` of the session description, and its clock rate.
    ///
    /// # Errors
    /// [`Error`] when there is no usable `config`, and elements do not bring theirs.
    pub(crate) fn new(
        config: Option<&[u8]>,
        cpresent: bool,
        clock_rate: u32,
    ) -> Result<Self, Error> {
        let mux = match Mux::of_description(config.unwrap_or_default()) {
            Ok(mux) => Some(mux),
            Err(_) if cpresent => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            in_band: cpresent,
            clock_rate,
            changed: mux.is_some(),
            mux,
            partial: None,
            skipped: None,
            ready: VecDeque::new(),
        })
    }

    /// Finds the frames of an element, or of its beginning; `None` as long as the configuration is
    /// not known.
    fn element(&self, data: &[u8]) -> Result<Option<Element>, Error> {
        let mut r = BitReader::new(data);
        let new = if self.in_band && !r.flag()? { Some(Mux::read(&mut r)?) } else { None };
        let Some(mux) = new.as_ref().or(self.mux.as_ref()) else { return Ok(None) };
        let (sub_frames, other_data) = (mux.sub_frames, mux.other_data);
        let mut spans = Vec::new();
        let (mut short, mut needed) = (false, 0);
        for _ in 0..sub_frames {
            let length = match payload_length(&mut r) {
                Ok(length) => length,
                Err(Error::Truncated { .. }) => {
                    short = true;
                    break;
                }
                Err(error) => return Err(error),
            };
            let present = length.min(r.remaining() / 8);
            spans.push(Span { start: r.position(), length: present, torn: present < length });
            r.skip(8 * present)?;
            if present < length {
                needed = r.position().div_ceil(8) + length - present;
                short = true;
                break;
            }
        }
        short = short || r.skip(other_data.unwrap_or(0)).is_err();
        let more = !short && !self.in_band && other_data.is_none();
        while more && let Some(span) = whole_frame(&mut r) {
            spans.push(span);
        }
        let exact = !short && r.remaining() < 8;
        Ok(Some(Element { mux: new, spans, short, needed, exact }))
    }

    /// Hands out the frames of an element.
    fn take(&mut self, timestamp: u32, data: &Bytes, element: Element) {
        if let Some(mux) = element.mux {
            self.changed |= self.mux.as_ref().is_none_or(|known| known.config != mux.config);
            self.mux = Some(mux);
        }
        let Some(mux) = &self.mux else { return };
        for (n, span) in (0..).zip(element.spans) {
            let Some(frame) = span.cut(data).filter(|frame| !frame.is_empty()) else { continue };
            let timestamp = timestamp.wrapping_add(mux.ticks(n, self.clock_rate));
            self.ready.push_back(Unit { timestamp, data: frame, torn: span.torn });
        }
    }

    /// The rest of the element that is under way does not come.
    fn finish(&mut self) {
        if let Some(Partial { timestamp, data, .. }) = self.partial.take() {
            let data = data.freeze();
            if let Ok(Some(element)) = self.element(&data) {
                self.take(timestamp, &data, element);
            }
        }
    }

    /// Puts the payload behind what there is of its element.
    fn join(&mut self, packet: &Packet) -> Result<Bytes, Error> {
        let Some(Partial { mut data, .. }) = self.partial.take() else {
            return Ok(packet.payload.clone());
        };
        let length = data.len() + packet.payload.len();
        if length > MAX_ELEMENT {
            return Err(Error::Invalid { what: "AudioMuxElement length", value: length as u64 });
        }
        data.extend_from_slice(&packet.payload);
        Ok(data.freeze())
    }
}

impl super::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        let timestamp = packet.timestamp;
        match &self.partial {
            Some(partial) if lost || partial.timestamp != timestamp => {
                self.skipped = Some(partial.timestamp);
                self.finish();
            }
            _ => {}
        }
        // What the next packets of the same time are, unless this one is the last.
        let rest = Some(timestamp).filter(|_| !packet.marker);
        if self.skipped.take() == Some(timestamp) {
            self.skipped = rest;
            return Ok(());
        }
        if let Some(partial) = self.partial.as_mut().filter(|_| !packet.marker) {
            let length = partial.data.len() + packet.payload.len();
            if length < partial.needed.min(MAX_ELEMENT) {
                partial.data.extend_from_slice(&packet.payload);
                return Ok(());
            }
        }
        let data = self.join(packet).inspect_err(|_| self.skipped = rest)?;
        let element = self.element(&data);
        let needed = element.as_ref().ok().and_then(Option::as_ref).map_or(0, |e| e.needed);
        match element {
            // An element that begins in a lost packet would be misread; one that fills this packet
            // to its end begins here.
            Ok(Some(element)) if lost && !element.exact => self.skipped = rest,
            Err(_) if lost => self.skipped = rest,
            Ok(Some(Element { short: true, .. })) | Err(Error::Truncated { .. })
                if !packet.marker =>
            {
                // Without a copy, unless somebody else holds the packet.
                self.partial = Some(Partial { timestamp, data: data.into(), needed });
            }
            Ok(Some(element)) => self.take(timestamp, &data, element),
            Ok(None) => self.skipped = rest,
            Err(error) => {
                self.skipped = rest;
                return Err(error);
            }
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    fn flush(&mut self) {
        if let Some(partial) = &self.partial {
            self.skipped = Some(partial.timestamp);
            self.finish();
        }
    }

    fn take_config(&mut self) -> Option<Bytes> {
        let config = self.mux.as_ref().filter(|_| self.changed).map(|mux| mux.config.clone());
        self.changed = false;
        config
    }
}

/// Where the frames of an element are.
#[derive(Debug)]
struct Element {
    /// The `StreamMuxConfig()` that it begins with.
    mux: Option<Mux>,
    spans: Vec<Span>,
    /// More bytes belong to it.
    short: bool,
    /// How many bytes it has at least, if that is known of a short one.
    needed: usize,
    /// It ends where the data end.
    exact: bool,
}

/// One frame.
#[derive(Debug)]
struct Span {
    /// In bits.
    start: usize,
    /// In bytes.
    length: usize,
    torn: bool,
}

impl Span {
    /// The bytes of the frame; copied only where they lie across those of `data`.
    fn cut(&self, data: &Bytes) -> Option<Bytes> {
        if self.start.is_multiple_of(8) {
            let start = self.start / 8;
            return data.get(start..start + self.length).map(|frame| data.slice_ref(frame));
        }
        let mut r = BitReader::new(data);
        r.skip(self.start).ok()?;
        copy(&mut r, 8 * self.length).ok()
    }
}

/// `PayloadLengthInfo()` of frame length type 0.
fn payload_length(r: &mut BitReader<'_>) -> Result<usize, Error> {
    let mut length = 0;
    loop {
        let part = r.u8(8)?;
        length += usize::from(part);
        if length > MAX_ELEMENT {
            return Err(Error::Invalid { what: "PayloadLengthInfo", value: length as u64 });
        }
        if part < u8::MAX {
            return Ok(length);
        }
    }
}

/// A frame that is not announced; `None` where there is none, or not all of it.
fn whole_frame(r: &mut BitReader<'_>) -> Option<Span> {
    let mut ahead = *r;
    let length = payload_length(&mut ahead).ok().filter(|&length| length > 0)?;
    let start = ahead.position();
    ahead.skip(length.checked_mul(8)?).ok()?;
    *r = ahead;
    Some(Span { start, length, torn: false })
}
