//! PES packet headers (ISO/IEC 13818-1 §2.4.3.6–7).

use media::{Error, Reader};

use super::faults::Faults;

/// Bytes that `PES_packet_length` does not count.
pub(super) const HEAD: usize = 6;

/// More stuffing than this is forbidden.
const MAX_STUFFING: usize = 32;

/// A PES header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) stream_id: u8,
    /// `PES_packet_length`
    pub(super) length: usize,
    /// 33 bits.
    pub(super) pts: Option<i64>,
    /// 33 bits.
    pub(super) dts: Option<i64>,
    /// Where the payload begins.
    pub(super) payload: usize,
}

impl Header {
    /// Reads the header of a PES packet; `None` if it has none.
    pub(super) fn read(bytes: &[u8], faults: &mut Faults) -> Option<Self> {
        let header = Self::read_fields(bytes, faults);
        if header.is_err() {
            faults.add("the PES packet is shorter than its header");
        }
        header.ok().flatten()
    }

    fn read_fields(bytes: &[u8], faults: &mut Faults) -> Result<Option<Self>, Error> {
        let mut r = Reader::new(bytes);
        let prefix = r.u24()?;
        if prefix != 1 {
            faults.add(format_args!("a PES packet begins with {prefix:#08x}"));
            return Ok(None);
        }
        let (stream_id, length) = (r.u8()?, usize::from(r.u16()?));
        let (marks, flags) = (r.u8()?, r.u8()?);
        if marks & 0xC0 != 0x80 {
            faults.add("the PES header does not begin with the bits 10");
            return Ok(None);
        }
        if marks & 0x30 != 0 {
            faults.add("the PES packet is scrambled");
        }
        let data_length = r.u8()?;
        let mut data = Reader::new(r.take(data_length.into())?);
        let payload = r.offset();
        let mut header = Self { stream_id, length, pts: None, dts: None, payload };
        if header.read_data(flags, &mut data, faults).is_err() {
            faults.add("PES_header_data_length is too small for the fields");
        }
        Ok(Some(header))
    }

    fn read_data(
        &mut self,
        flags: u8,
        r: &mut Reader<'_>,
        faults: &mut Faults,
    ) -> Result<(), Error> {
        match flags >> 6 {
            0b10 => self.pts = Some(read_time(r, 0b0010, faults)?),
            0b11 => {
                self.pts = Some(read_time(r, 0b0011, faults)?);
                self.dts = Some(read_time(r, 0b0001, faults)?);
            }
            0b01 => faults.add("PTS_DTS_flags has the forbidden value 01"),
            _ => {}
        }
        // ESCR, ES_rate, trick mode, copy info, CRC.
        for (bit, length) in [(0x20, 6), (0x10, 3), (0x08, 1), (0x04, 1), (0x02, 2)] {
            if flags & bit != 0 {
                r.take(length)?;
            }
        }
        // The length of an extension depends on more flags; what follows it is not looked at.
        if flags & 0x01 != 0 {
            r.u8()?;
        } else if r.remaining() > MAX_STUFFING || r.rest().iter().any(|byte| *byte != 0xFF) {
            faults.add("the PES header is not stuffed with up to 32 bytes of 0xFF");
        }
        Ok(())
    }
}

/// 33 bits in five bytes.
fn read_time(r: &mut Reader<'_>, prefix: u8, faults: &mut Faults) -> Result<i64, Error> {
    let [a, b, c, d, e] = r.array()?;
    if a >> 4 != prefix {
        faults.add(format_args!("a time stamp has the prefix {:04b}", a >> 4));
    }
    if a & c & e & 1 == 0 {
        faults.add("a marker bit of a time stamp is not set");
    }
    let middle = |high: u8, low: u8| i64::from(u16::from_be_bytes([high, low]) >> 1);
    Ok(i64::from(a >> 1 & 0x7) << 30 | middle(b, c) << 15 | middle(d, e))
}
