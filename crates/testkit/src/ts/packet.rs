//! Transport packets and their adaptation fields (ISO/IEC 13818-1 §2.4.3.2–5).

use media::{Error, Reader};

use super::PACKET;
use super::faults::Faults;

/// A transport packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) pid: u16,
    /// `payload_unit_start_indicator`
    pub(super) start: bool,
    pub(super) counter: u8,
    pub(super) discontinuity: bool,
    pub(super) random_access: bool,
    /// In ticks of 27 MHz.
    pub(super) pcr: Option<i64>,
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads packet number `number`; `None` if nothing in it can be relied on.
    pub(super) fn read(bytes: &'a [u8], number: usize, faults: &mut Faults) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let (sync, id, control) = (r.u8().ok()?, r.u16().ok()?, r.u8().ok()?);
        let pid = id & 0x1FFF;
        faults.at(number, pid);
        if sync != 0x47 {
            faults.add(format_args!("the sync byte is {sync:#04x}"));
            return None;
        }
        if id & 0x8000 != 0 {
            faults.add("transport_error_indicator is set");
            return None;
        }
        if control & 0xC0 != 0 {
            faults.add("the packet is scrambled");
            return None;
        }
        let mut packet = Self {
            bytes,
            pid,
            start: id & 0x4000 != 0,
            counter: control & 0x0F,
            discontinuity: false,
            random_access: false,
            pcr: None,
            payload: None,
        };
        let (adapts, pays) = (control & 0x20 != 0, control & 0x10 != 0);
        if !adapts && !pays {
            faults.add("adaptation_field_control is the reserved value 00");
        }
        if adapts {
            let length = usize::from(r.u8().ok()?);
            // §2.4.3.5: the field fills the packet, or leaves a byte for the payload.
            let fits = if pays { length < PACKET - 5 } else { length == PACKET - 5 };
            if !fits {
                faults.add(format_args!("adaptation_field_length is {length}"));
                return None;
            }
            if packet.adaptation(r.take(length).ok()?, faults).is_err() {
                faults.add("the adaptation field is shorter than its contents");
            }
        }
        packet.payload = pays.then(|| r.rest());
        if packet.start && !pays {
            faults.add("payload_unit_start_indicator is set without a payload");
        }
        Some(packet)
    }

    fn adaptation(&mut self, field: &[u8], faults: &mut Faults) -> Result<(), Error> {
        let mut r = Reader::new(field);
        if r.is_empty() {
            return Ok(());
        }
        let flags = r.u8()?;
        self.discontinuity = flags & 0x80 != 0;
        self.random_access = flags & 0x40 != 0;
        if flags & 0x10 != 0 {
            self.pcr = Some(clock_reference(r.array()?, faults));
        }
        if flags & 0x08 != 0 {
            clock_reference(r.array()?, faults);
        }
        if flags & 0x04 != 0 {
            r.u8()?; // splice_countdown
        }
        for present in [flags & 0x02 != 0, flags & 0x01 != 0] {
            if present {
                // Private data, and the extension.
                let length = r.u8()?;
                r.take(length.into())?;
            }
        }
        if r.rest().iter().any(|byte| *byte != 0xFF) {
            faults.add("the adaptation field is stuffed with something else than 0xFF");
        }
        Ok(())
    }
}

/// 33 bits at 90 kHz, six reserved, nine that count to 300 in between.
fn clock_reference(bytes: [u8; 6], faults: &mut Faults) -> i64 {
    let [a, b, c, d, e, f] = bytes;
    let bits = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    if bits >> 9 & 0x3F != 0x3F {
        faults.add("the reserved bits of the clock reference are not ones");
    }
    let extension = bits & 0x1FF;
    if extension >= 300 {
        faults.add(format_args!("the extension of the clock reference is {extension}"));
    }
    (bits >> 15) * 300 + extension
}
