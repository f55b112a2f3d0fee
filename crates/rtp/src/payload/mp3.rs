//! MPEG audio: frames as they are (`MPA`, [RFC 2250] §3.5), and layer III made robust against loss
//! (`mpa-robust`, [RFC 5219]).
//!
//! Both have a clock of 90 kHz, and the time stamp of a packet is that of its first frame. The
//! marker, which begins a talk spurt (RFC 2250 §3.3), is neither read nor set.
//!
//! A layer III frame points back to the frames before it, where its main data begin; an ADU has
//! all of its own. [`Robust`] makes frames of ADUs as RFC 5219 A.2 does. Where frames that a
//! back-pointer needs were lost, a silent one with enough room takes their place: there is one
//! even at the beginning.
//!
//! Not done: frames of the free format over several packets, or as ADUs; interleaved ADUs (RFC
//! 5219 §7), which are refused; sending ADUs.
//!
//! Tolerated of real peers: behind whole frames there may be the beginning of one, and behind the
//! end of a frame there may be more frames.
//!
//! [RFC 2250]: https://www.rfc-editor.org/rfc/rfc2250
//! [RFC 5219]: https://www.rfc-editor.org/rfc/rfc5219

mod robust;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bytes::BytesMut;
use media::mp3::Header;
use media::{Error, Frame, Reader};

use super::{Sink, Unit};
use crate::Packet;

pub(crate) use self::robust::Robust;

/// Ticks per second of RTP timestamps.
const CLOCK: u32 = 90_000;

/// How long samples last, by the header of one of their frames.
fn ticks(samples: u64, header: &Header) -> u32 {
    let ticks = samples.wrapping_mul(CLOCK.into()) / u64::from(header.sample_rate).max(1);
    // A packet, or a message, has less than the 13 hours at which this would wrap.
    u32::try_from(ticks & u64::from(u32::MAX)).unwrap_or(0)
}

/// Takes frames out of packets.
#[derive(Debug, Default)]
pub(crate) struct Depacketizer {
    partial: Option<Partial>,
    ready: VecDeque<Unit>,
}

/// A frame, or an ADU, of which more is to come.
#[derive(Debug)]
struct Partial {
    timestamp: u32,
    /// Of the whole.
    length: usize,
    data: BytesMut,
}

impl Partial {
    /// Takes what belongs to it.
    fn add(&mut self, r: &mut Reader<'_>) -> Result<(), Error> {
        let wanted = self.length.saturating_sub(self.data.len());
        self.data.extend_from_slice(r.take(wanted.min(r.remaining()))?);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.data.len() >= self.length
    }
}

impl Depacketizer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// No more fragments come.
    fn finish(&mut self) {
        if let Some(partial) = self.partial.take() {
            let torn = !partial.is_complete();
            let Partial { timestamp, data, .. } = partial;
            self.ready.push_back(Unit { timestamp, data: data.freeze(), torn });
        }
    }
}

impl super::Depacketizer for Depacketizer {
    fn push(&mut self, packet: &Packet, lost: bool) -> Result<(), Error> {
        let mut r = Reader::new(&packet.payload);
        r.u16()?; // must be zero
        let offset = usize::from(r.u16()?);
        let mut samples = 0;
        let continues = |partial: &mut Partial| {
            let follows = partial.data.len() == offset && partial.timestamp == packet.timestamp;
            offset > 0 && follows && !lost
        };
        if let Some(mut partial) = self.partial.take_if(continues) {
            partial.add(&mut r)?;
            samples += Header::parse(&partial.data).map_or(0, |header| header.samples.into());
            let complete = partial.is_complete();
            self.partial = Some(partial);
            if complete {
                self.finish();
            }
        } else {
            self.finish();
            if offset > 0 {
                return Ok(()); // what is before it is lost
            }
        }
        while !r.is_empty() {
            let header = Header::parse(r.rest())?;
            let timestamp = packet.timestamp.wrapping_add(ticks(samples, &header));
            samples += u64::from(header.samples);
            let length = header.length.unwrap_or_else(|| r.remaining());
            if length > r.remaining() {
                let mut partial = Partial { timestamp, length, data: BytesMut::new() };
                partial.add(&mut r)?;
                self.partial = Some(partial);
            } else {
                // At least the four bytes of the header, so that this comes to an end.
                let data = packet.payload.slice_ref(r.take(length.max(HEADER))?);
                self.ready.push_back(Unit { timestamp, data, torn: false });
            }
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    fn flush(&mut self) {
        self.finish();
    }
}

/// Bytes of a frame's own header, and of that before it in a packet.
const HEADER: usize = 4;

/// Puts one frame, or a fragment of one, into each packet.
#[derive(Debug)]
pub(crate) struct Packetizer;

impl Packetizer {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl super::Packetizer for Packetizer {
    /// A frame of a track may be several of MPEG audio; their time stamps follow each other.
    /// One of the free format that is longer than a fragment offset can tell is left out.
    fn push(&mut self, frame: &Frame, max: usize, sink: &mut dyn Sink) {
        let mut rest = &frame.data[..];
        let (mut samples, mut told) = (0, 0);
        while !rest.is_empty() {
            let header = Header::parse(rest).ok();
            let length = header.and_then(|header| header.length).unwrap_or(rest.len());
            let Some((data, following)) = rest.split_at_checked(length) else {
                return send(rest, max, sink);
            };
            send(data, max, sink);
            if let Some(header) = header.filter(|_| !following.is_empty()) {
                samples += u64::from(header.samples);
                let now = ticks(samples, &header);
                sink.advance(now.saturating_sub(told));
                told = now;
            }
            rest = following;
        }
    }
}

/// Sends one frame.
fn send(data: &[u8], max: usize, sink: &mut dyn Sink) {
    if u16::try_from(data.len()).is_err() {
        return;
    }
    let size = max.saturating_sub(HEADER).max(1);
    for (offset, fragment) in (0..data.len()).step_by(size).zip(data.chunks(size)) {
        let [high, low] = u16::try_from(offset).unwrap_or(0).to_be_bytes();
        sink.packet(&[&[0, 0, high, low], fragment], false);
    }
}
