//! Transport packets (ISO/IEC 13818-1 §2.4.3.2), a [`Muxer`] and a [`Demuxer`].

mod demux;
mod mux;

pub use demux::{Demuxed, Demuxer};
pub use mux::{Muxer, Unit};

use media::{Reader, Track};

use crate::es::Mapping;

/// Bytes of a transport packet.
pub const PACKET: usize = 188;

/// What each begins with.
pub const SYNC: u8 = 0x47;

/// Packets without a meaning.
pub const NULL_PID: u16 = 0x1FFF;

/// Whether transport streams carry the track: its codec has a settled mapping, and its
/// configuration can be read.
#[must_use]
pub fn carries(track: &Track) -> bool {
    Mapping::of(track).is_some()
}

/// What a transport packet's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Which stream or table it carries.
    pub pid: u16,
    /// A section or PES packet begins in it.
    pub start: bool,
    /// What it carries was damaged on its way.
    pub damaged: bool,
    /// Counts the packets of a PID that have a payload.
    pub continuity: u8,
    /// The continuity counter, and the clock, may jump here.
    pub discontinuity: bool,
    /// A decoder may start here.
    pub random_access: bool,
    /// The clock's 33 bits at 90 kHz.
    pub pcr: Option<u64>,
    /// Its payload, if it has one.
    pub payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads one packet; `None` if these are not 188 bytes that begin with the sync byte, or its
    /// adaptation field is longer than it.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(bytes.get(..PACKET)?);
        if r.u8().ok()? != SYNC {
            return None;
        }
        let pid = r.u16().ok()?;
        let control = r.u8().ok()?;
        let mut packet = Self {
            pid: pid & 0x1FFF,
            start: pid & 0x4000 != 0,
            damaged: pid & 0x8000 != 0,
            continuity: control & 0x0F,
            discontinuity: false,
            random_access: false,
            pcr: None,
            payload: None,
        };
        if control & 0x20 != 0 {
            let length = r.u8().ok()?;
            let mut field = Reader::new(r.take(length.into()).ok()?);
            if let Ok(flags) = field.u8() {
                packet.discontinuity = flags & 0x80 != 0;
                packet.random_access = flags & 0x40 != 0;
                if flags & 0x10 != 0 {
                    let [a, b, c, d, e, _] = field.array().ok()?;
                    packet.pcr = Some(u64::from_be_bytes([0, 0, 0, a, b, c, d, e]) >> 7);
                }
            }
        }
        packet.payload = (control & 0x10 != 0).then(|| r.rest());
        Some(packet)
    }
}
