//! Program streams as cameras make them (ISO/IEC 13818-1 §2.5, GB/T 28181 annex C), written
//! without regard to the demuxer under test.
//!
//! [`Traits`] are the habits in which devices differ; the two largest makers' are given.

/// When a device sends a map of its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// With each key picture, after a system header.
    AtKeys,
    /// Once, before everything.
    AtStart,
    /// Not at all.
    Never,
}

/// Which PES packets of a picture have its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The first one.
    First,
    /// Each.
    Each,
    /// None.
    None,
}

/// A device's habits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traits {
    /// Bytes of stuffing in pack headers, up to 7.
    pub pack_stuffing: u8,
    /// Pack and PES headers are those of MPEG-1.
    pub mpeg1: bool,
    /// The most bytes of a picture in one PES packet.
    pub cut: usize,
    /// Parameter sets, messages and slices have PES packets of their own.
    pub parted: bool,
    /// The first zero byte of a start code ends the packet before, where they are parted.
    pub zero_ends: bool,
    /// Which PES packets have times.
    pub times: Times,
    /// When there is a map.
    pub map: Map,
    /// Whether the map has descriptors of private meaning.
    pub descriptors: bool,
    /// What the map says: stream type and stream.
    pub streams: Vec<(u8, u8)>,
    /// Whether private packets come between the others.
    pub private: bool,
    /// Whether packets of pictures do not say their length.
    pub no_length: bool,
}

/// A picture's stream.
pub const VIDEO: u8 = 0xE0;
/// A sound's stream.
pub const AUDIO: u8 = 0xC0;

/// Types of streams in the map.
pub const H264: u8 = 0x1B;
/// See [`H264`].
pub const H265: u8 = 0x24;
/// See [`H264`]: AAC in ADTS.
pub const AAC: u8 = 0x0F;
/// See [`H264`]: G.711 A-law.
pub const G711A: u8 = 0x90;

impl Default for Traits {
    /// By the book: one packet after the other, as long as they may be.
    fn default() -> Self {
        Self {
            pack_stuffing: 0,
            mpeg1: false,
            cut: 65_000,
            parted: false,
            zero_ends: false,
            times: Times::First,
            map: Map::AtKeys,
            descriptors: false,
            streams: vec![(H264, VIDEO), (G711A, AUDIO)],
            private: false,
            no_length: false,
        }
    }
}

impl Traits {
    /// Every NAL unit in packets of its own, of which the first has the time; private packets and
    /// descriptors; six bytes of stuffing.
    #[must_use]
    pub fn hikvision() -> Self {
        Self {
            pack_stuffing: 6,
            cut: 0xFFC6,
            parted: true,
            descriptors: true,
            private: true,
            ..Self::default()
        }
    }

    /// Whole pictures in as few packets as possible.
    #[must_use]
    pub fn dahua() -> Self {
        Self { cut: 65_507, descriptors: true, ..Self::default() }
    }
}

/// Writes a program stream.
#[derive(Debug, Clone)]
pub struct Muxer {
    traits: Traits,
    is_begun: bool,
}

impl Muxer {
    /// A device with these habits.
    #[must_use]
    pub fn new(traits: Traits) -> Self {
        Self { traits, is_begun: false }
    }

    /// A picture of these NAL units, parameter sets included, at a time of the 90 kHz clock.
    #[must_use]
    pub fn picture(&mut self, units: &[&[u8]], is_key: bool, pts: i64) -> Vec<u8> {
        self.frame(units, is_key, pts, None)
    }

    /// As [`Muxer::picture`], with a decoding time.
    #[must_use]
    pub fn frame(&mut self, units: &[&[u8]], is_key: bool, pts: i64, dts: Option<i64>) -> Vec<u8> {
        let mut out = self.pack(pts);
        let has_map = match self.traits.map {
            Map::AtKeys => is_key,
            Map::AtStart => !self.is_begun,
            Map::Never => false,
        };
        self.is_begun = true;
        if has_map {
            out.extend(self.system_header());
            out.extend(self.map());
        }
        let mut payloads = vec![Vec::new()];
        for (number, unit) in units.iter().enumerate() {
            if self.traits.parted && number > 0 {
                payloads.push(Vec::new());
            }
            let mut code: &[u8] = &[0, 0, 0, 1];
            if self.traits.zero_ends
                && let [.., before, _] = &mut payloads[..]
            {
                before.push(0);
                code = &[0, 0, 1];
            }
            if let Some(payload) = payloads.last_mut() {
                payload.extend_from_slice(code);
                payload.extend_from_slice(unit);
            }
        }
        let mut is_first = true;
        for payload in payloads.iter().flat_map(|payload| payload.chunks(self.traits.cut.max(1))) {
            let is_timed = match self.traits.times {
                Times::First => is_first,
                Times::Each => true,
                Times::None => false,
            };
            is_first = false;
            let times = is_timed.then_some((pts, dts));
            out.extend(self.packet(VIDEO, payload, times, self.traits.no_length));
        }
        if self.traits.private {
            out.extend([0, 0, 1, 0xBD, 0, 10, 0x8C, 0x80, 7, 0x21, 0, 1, 0, 1, 0xFF, 0xF8]);
        }
        out
    }

    /// Sound in one packet.
    #[must_use]
    pub fn sound(&mut self, payload: &[u8], pts: Option<i64>) -> Vec<u8> {
        let mut out = self.pack(pts.unwrap_or_default());
        out.extend(self.packet(AUDIO, payload, pts.map(|pts| (pts, None)), false));
        out
    }

    fn pack(&self, clock: i64) -> Vec<u8> {
        let clock = clock.rem_euclid(1 << 33).unsigned_abs();
        let mut out = vec![0, 0, 1, 0xBA];
        if self.traits.mpeg1 {
            out.extend(time(0b0010, clock));
            out.extend([0x80, 0x1B, 0x83]);
            return out;
        }
        // system_clock_reference with its three markers, no extension; program_mux_rate.
        let bits = 0b01 << 46
            | (clock >> 30 & 0x7) << 43
            | 1 << 42
            | (clock >> 15 & 0x7FFF) << 27
            | 1 << 26
            | (clock & 0x7FFF) << 11
            | 1 << 10
            | 1;
        out.extend(&bits.to_be_bytes()[2..]);
        out.extend([0x00, 0x5F, 0x6B, 0xF8 | self.traits.pack_stuffing & 7]);
        out.extend(vec![0xFF; usize::from(self.traits.pack_stuffing & 7)]);
        out
    }

    fn system_header(&self) -> Vec<u8> {
        let streams = self.traits.streams.iter().flat_map(|(_, id)| [*id, 0xC0, 0x20]);
        let body: Vec<u8> =
            [0x80, 0xCC, 0xF5, 0x04, 0xE1, 0x7F].into_iter().chain(streams).collect();
        sized(0xBB, &body)
    }

    fn map(&self) -> Vec<u8> {
        // Descriptors as they occur: opaque, of private tags.
        let descriptors: &[u8] =
            if self.traits.descriptors { &[0x40, 4, 0, 0, 1, 0xBA, 0x42, 2, 9, 9] } else { &[] };
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes();
        let mut body = vec![0xE0, 0xFF];
        body.extend(length(descriptors));
        body.extend(descriptors);
        let mut streams = Vec::new();
        for (stream_type, id) in &self.traits.streams {
            streams.extend([*stream_type, *id]);
            streams.extend(length(descriptors));
            streams.extend(descriptors);
        }
        body.extend(length(&streams));
        body.extend(streams);
        // Nobody writes a right checksum.
        body.extend([0; 4]);
        sized(0xBC, &body)
    }

    fn packet(
        &self,
        id: u8,
        payload: &[u8],
        times: Option<(i64, Option<i64>)>,
        no_length: bool,
    ) -> Vec<u8> {
        let wrap = |time: i64| time.rem_euclid(1 << 33).unsigned_abs();
        let mut fields = Vec::new();
        match times {
            Some((pts, None)) => fields.extend(time(0b0010, wrap(pts))),
            Some((pts, Some(dts))) => {
                fields.extend(time(0b0011, wrap(pts)));
                fields.extend(time(0b0001, wrap(dts)));
            }
            None => {}
        }
        let mut body = Vec::new();
        if self.traits.mpeg1 {
            body.extend([0xFF, 0xFF, 0x60, 0x20]);
            if times.is_none() {
                body.push(0x0F);
            }
        } else {
            let flags = match times {
                None => 0,
                Some((_, None)) => 0x80,
                Some(_) => 0xC0,
            };
            // Two bytes of stuffing, as many have them.
            body.extend([0x88, flags, u8::try_from(fields.len()).unwrap_or_default() + 2]);
            fields.extend([0xFF, 0xFF]);
        }
        body.extend(fields);
        body.extend_from_slice(payload);
        let mut packet = sized(id, &body);
        if no_length {
            packet[4] = 0;
            packet[5] = 0;
        }
        packet
    }
}

/// A start code, a length, and what it counts.
fn sized(code: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or_default();
    let mut out = vec![0, 0, 1, code];
    out.extend(length.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// 33 bits in five bytes, each part followed by a marker (§2.4.3.6).
fn time(prefix: u64, time: u64) -> Vec<u8> {
    let bits = prefix << 36
        | (time >> 30 & 0x7) << 33
        | 1 << 32
        | (time >> 15 & 0x7FFF) << 17
        | 1 << 16
        | (time & 0x7FFF) << 1
        | 1;
    bits.to_be_bytes()[3..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_by_the_book() {
        let mut muxer = Muxer::new(Traits { streams: vec![(H264, VIDEO)], ..Traits::default() });
        let bytes = muxer.picture(&[&[0x65, 0x88]], true, 90_000);
        let expected = [
            &[0, 0, 1, 0xBA, 0x44, 0x00, 0x16, 0xFC, 0x84, 0x01, 0, 0x5F, 0x6B, 0xF8][..],
            &[0, 0, 1, 0xBB, 0, 9, 0x80, 0xCC, 0xF5, 0x04, 0xE1, 0x7F, 0xE0, 0xC0, 0x20],
            &[0, 0, 1, 0xBC, 0, 14, 0xE0, 0xFF, 0, 0, 0, 4, 0x1B, 0xE0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 1, 0xE0, 0, 16, 0x88, 0x80, 7, 0x21, 0, 5, 0xBF, 0x21, 0xFF, 0xFF],
            &[0, 0, 0, 1, 0x65, 0x88],
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(muxer.picture(&[&[0x41]], false, 0).len(), 14 + 16 + 5);
    }
}
