//! H.264 written bit by bit (ITU-T H.264 §7.3): parameter sets, intra pictures, pictures that
//! skip every macroblock, user-data SEI and filler.
//!
//! Main profile, CAVLC, progressive 4:2:0. The intra picture is grey but for its last macroblock,
//! which is `I_PCM` and tells the number of the GOP by its brightness; all others repeat it. Real
//! decoders accept the stream without complaint and a bitrate is made by filler NAL units.

use bytes::{BufMut, Bytes, BytesMut};

use crate::bits::BitWriter;
use crate::stamp;

/// `nal_unit_type` of a slice of a picture that isn't an IDR picture.
const SLICE: u8 = 1;
/// `nal_unit_type` of a slice of an IDR picture.
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const FILLER: u8 = 12;

/// `profile_idc` of Main: the first one with B slices.
const MAIN: u8 = 77;
/// Level 4: its 20 Mbit/s leave room for every padding that tests ask for.
const LEVEL: u8 = 40;
/// Bits of `frame_num` and `pic_order_cnt_lsb`: the most there are, so that a GOP may be endless.
const COUNTER_BITS: u8 = 16;

/// What the sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Width in pixels; even.
    pub width: u32,
    /// Height in pixels; even.
    pub height: u32,
    /// Frames per `rate.1` seconds.
    pub rate: (u32, u32),
    /// Whether B pictures occur.
    pub reorders: bool,
}

/// A picture's type and its place in the GOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// The IDR picture of GOP number `gop`.
    Key {
        /// Counts the GOPs.
        gop: u64,
    },
    /// A reference picture, predicted from the one before.
    P {
        /// Reference pictures before it in the GOP.
        number: u64,
        /// Its place in the GOP in presentation order.
        display: u64,
    },
    /// A picture between two reference pictures that nobody refers to.
    B {
        /// Reference pictures before it in the GOP.
        number: u64,
        /// Its place in the GOP in presentation order.
        display: u64,
    },
}

impl Sequence {
    fn macroblocks(&self) -> (u64, u64) {
        (u64::from(self.width.div_ceil(16)), u64::from(self.height.div_ceil(16)))
    }

    /// The sequence parameter set, as a NAL unit (§7.3.2.1.1, E.1.1).
    #[must_use]
    pub fn sps(&self) -> Bytes {
        let (columns, rows) = self.macroblocks();
        let reorder = u64::from(self.reorders);
        let mut w = BitWriter::default();
        w.bits(8, u64::from(MAIN)).bits(8, 0x40).bits(8, u64::from(LEVEL));
        w.ue(0); // seq_parameter_set_id
        w.ue(u64::from(COUNTER_BITS) - 4).ue(0).ue(u64::from(COUNTER_BITS) - 4);
        w.ue(1 + reorder).flag(false); // reference frames; no gaps in frame_num
        w.ue(columns - 1).ue(rows - 1);
        w.flag(true).flag(true); // frame_mbs_only, direct_8x8_inference
        let right = (columns * 16 - u64::from(self.width)) / 2;
        let bottom = (rows * 16 - u64::from(self.height)) / 2;
        let cropped = right + bottom > 0;
        w.flag(cropped);
        if cropped {
            w.ue(0).ue(right).ue(0).ue(bottom);
        }
        w.flag(true); // vui_parameters_present
        w.bits(4, 0); // no aspect ratio, overscan, signal type, chroma location
        w.flag(true).bits(32, u64::from(self.rate.1)).bits(32, 2 * u64::from(self.rate.0));
        w.flag(true); // fixed_frame_rate
        w.bits(3, 0); // no HRD parameters, no pic_struct
        w.flag(true).flag(true); // bitstream_restriction: vectors may point outside
        w.ue(0).ue(0).ue(10).ue(10); // no limit per picture and macroblock; vector lengths
        w.ue(reorder).ue(1 + reorder); // max_num_reorder_frames, max_dec_frame_buffering
        w.trailing();
        nal(3, SPS, &w.finish())
    }

    /// The picture parameter set, as a NAL unit (§7.3.2.2).
    #[must_use]
    pub fn pps(&self) -> Bytes {
        let mut w = BitWriter::default();
        w.ue(0).ue(0).bits(2, 0).ue(0); // ids, CAVLC, one slice group
        w.ue(0).ue(0).bits(3, 0); // one reference picture per list, no weights
        w.ue(0).ue(0).ue(0); // quantisers
        w.flag(true).bits(2, 0); // deblocking is controlled per slice
        w.trailing();
        nal(3, PPS, &w.finish())
    }

    /// The `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1) with four-byte lengths.
    #[must_use]
    pub fn avcc(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(&[1, MAIN, 0x40, LEVEL, 0xFF, 0xE1]);
        put_sized(&mut out, &self.sps());
        out.put_u8(1);
        put_sized(&mut out, &self.pps());
        out.freeze()
    }

    /// The only slice of `picture`, as a NAL unit (§7.3.3, §7.3.4).
    #[must_use]
    pub fn slice(&self, picture: Picture) -> Bytes {
        let (columns, rows) = self.macroblocks();
        let (slice_type, number, display) = match picture {
            Picture::Key { .. } => (7, 0, 0),
            Picture::P { number, display } => (5, number, display),
            Picture::B { number, display } => (6, number, display),
        };
        let mut w = BitWriter::default();
        w.ue(0).ue(slice_type).ue(0); // first_mb_in_slice, slice_type, pic_parameter_set_id
        w.bits(COUNTER_BITS, number);
        if let Picture::Key { gop } = picture {
            w.ue(gop % 2); // idr_pic_id differs between neighbours
        }
        w.bits(COUNTER_BITS, display.wrapping_mul(2));
        match picture {
            Picture::Key { .. } => w.bits(2, 0),    // dec_ref_pic_marking
            Picture::P { .. } => w.bits(3, 0),      // default list size and order, sliding window
            Picture::B { .. } => w.bits(4, 0b1000), // spatial direct, default lists
        };
        w.ue(0).ue(1); // slice_qp_delta, no deblocking
        if let Picture::Key { gop } = picture {
            intra_macroblocks(&mut w, columns * rows, gop);
        } else {
            w.ue(columns * rows); // mb_skip_run
        }
        w.trailing();
        let (reference, kind) = match picture {
            Picture::Key { .. } => (3, IDR),
            Picture::P { .. } => (2, SLICE),
            Picture::B { .. } => (0, SLICE),
        };
        nal(reference, kind, &w.finish())
    }

    /// A whole access unit with four-byte lengths: SEI with the `mark`, slice, and filler up to
    /// `bytes` bytes where these leave room for it.
    #[must_use]
    pub fn access_unit(&self, picture: Picture, mark: Option<u64>, bytes: usize) -> BytesMut {
        let mut out = BytesMut::with_capacity(bytes.max(64));
        if let Some(mark) = mark {
            put_long(&mut out, &stamp_sei(mark));
        }
        put_long(&mut out, &self.slice(picture));
        // A filler unit is a length, a header, the filler and the trailing bits.
        const FILLER_OVERHEAD: usize = 4 + 1 + 1;
        if let Some(filler) = bytes.checked_sub(out.len() + FILLER_OVERHEAD) {
            out.put_u32(u32::try_from(filler + 2).unwrap_or(u32::MAX));
            out.put_u8(FILLER);
            out.put_bytes(0xFF, filler);
            out.put_u8(0x80);
        }
        out
    }
}

/// A user-data SEI (§D.1.6) that carries `mark`; see [`stamp`].
#[must_use]
pub fn stamp_sei(mark: u64) -> Bytes {
    let mut w = BitWriter::default();
    let payload = stamp::encode(mark);
    w.bits(8, 5).bits(8, u64::try_from(payload.len()).unwrap_or(0)).bytes(&payload).trailing();
    nal(0, SEI, &w.finish())
}

/// Grey macroblocks predicted from nothing, the last one literal.
fn intra_macroblocks(w: &mut BitWriter, count: u64, gop: u64) {
    for _ in 1..count {
        // I_16x16 with DC prediction and no residual: mb_type 3, chroma prediction DC,
        // mb_qp_delta 0, and a coeff_token that says "no luma DC coefficients".
        w.ue(3).ue(0).ue(0).flag(true);
    }
    let brightness = u8::try_from(32 + gop % 192).unwrap_or(128);
    w.ue(25).align().bytes(&[brightness; 256]).bytes(&[128; 128]);
}

/// Header and payload of a NAL unit, with emulation prevention (§7.3.1).
fn nal(reference: u8, kind: u8, rbsp: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(rbsp.len() + 8);
    out.put_u8(reference << 5 | kind);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros == 2 && byte <= 3 {
            out.put_u8(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.put_u8(byte);
    }
    out.freeze()
}

fn put_sized(out: &mut BytesMut, unit: &[u8]) {
    out.put_u16(u16::try_from(unit.len()).unwrap_or(u16::MAX));
    out.put_slice(unit);
}

fn put_long(out: &mut BytesMut, unit: &[u8]) {
    out.put_u32(u32::try_from(unit.len()).unwrap_or(u32::MAX));
    out.put_slice(unit);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Sequence = Sequence { width: 64, height: 48, rate: (25, 1), reorders: false };

    #[test]
    fn another_reader_agrees() {
        use h264_reader::avcc::AvcDecoderConfigurationRecord;
        use h264_reader::nal::slice::{PicOrderCountLsb, SliceHeader};
        use h264_reader::nal::{Nal, RefNal};

        for (width, height) in [(16, 16), (64, 48), (66, 50), (1920, 1080)] {
            let sequence = Sequence { width, height, rate: (30_000, 1001), reorders: true };
            let avcc = sequence.avcc();
            let record = AvcDecoderConfigurationRecord::try_from(&avcc[..]).unwrap();
            let context = record.create_context().unwrap();
            let sps = context.sps().next().unwrap();
            assert_eq!(sps.pixel_dimensions().unwrap(), (width, height));
            assert!((sps.fps().unwrap() - 29.97).abs() < 0.01);
            let pictures = [
                Picture::Key { gop: 3 },
                Picture::P { number: 1, display: 3 },
                Picture::B { number: 2, display: 1 },
            ];
            for (picture, order) in pictures.into_iter().zip([0, 6, 2]) {
                let slice = sequence.slice(picture);
                let nal = RefNal::new(&slice, &[], true);
                let header = nal.header().unwrap();
                let (slice, ..) =
                    SliceHeader::from_bits(&context, &mut nal.rbsp_bits(), header, None).unwrap();
                assert_eq!(slice.disable_deblocking_filter_idc, 1);
                assert!(
                    matches!(slice.pic_order_cnt_lsb, Some(PicOrderCountLsb::Frame(lsb)) if lsb == order),
                    "{picture:?}: {:?}",
                    slice.pic_order_cnt_lsb
                );
            }
        }
    }

    #[test]
    fn filler_makes_the_size_exact() {
        let picture = Picture::P { number: 1, display: 1 };
        let bare = SMALL.access_unit(picture, Some(1), 0).len();
        assert!(bare < 80, "{bare}");
        for bytes in [bare + 6, 500, 5000] {
            assert_eq!(SMALL.access_unit(picture, Some(1), bytes).len(), bytes);
        }
        assert_eq!(SMALL.access_unit(picture, Some(1), bare + 5).len(), bare);
    }

    #[test]
    fn no_start_code_is_emulated() {
        for number in 0..70_000 {
            let unit = SMALL.slice(Picture::P { number, display: number });
            assert!(!unit.windows(3).any(|w| matches!(w, [0, 0, 0..=2])), "{number}");
        }
    }

    #[test]
    fn record_names_profile_and_level() {
        let avcc = SMALL.avcc();
        assert!(avcc.starts_with(&[1, 77, 0x40, 40, 0xFF, 0xE1, 0]));
        assert!(avcc.ends_with(&SMALL.pps()));
    }
}
