//! Sequence parameter sets (ITU-T H.264 §7.3.2.1.1) with the VUI (§E.1.1) as far as a server asks.
//!
//! A VUI that ends too early or makes no sense is ignored, as players do: some cameras write such
//! ones, and the picture does not depend on it.

use crate::vui::{MAX_SIDE, crop, millihertz, sample_aspect_ratio};
use crate::{BitReader, Error, VideoDetails, nal};

use super::NalType;

/// What a sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sps {
    /// `profile_idc`.
    pub profile: u8,
    /// `constraint_set0_flag` … and reserved bits, as one byte.
    pub constraints: u8,
    /// `level_idc`.
    pub level: u8,
    /// `seq_parameter_set_id`.
    pub id: u32,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Bits per luma sample.
    pub luma_depth: u8,
    /// Bits per chroma sample.
    pub chroma_depth: u8,
    /// `log2_max_frame_num_minus4` + 4.
    pub frame_num_bits: u8,
    /// `pic_order_cnt_type`.
    pub poc_type: u8,
    /// `log2_max_pic_order_cnt_lsb_minus4` + 4; 0 unless the type is 0.
    pub poc_lsb_bits: u8,
    /// `max_num_ref_frames`.
    pub max_num_ref_frames: u32,
    /// Width of the coded picture in macroblocks.
    pub width_mbs: u32,
    /// Height of the coded frame in macroblocks.
    pub height_mbs: u32,
    /// Whether there are no fields.
    pub frame_mbs_only: bool,
    /// Width of the displayed picture.
    pub width: u32,
    /// Height of the displayed picture.
    pub height: u32,
    /// Video usability information.
    pub vui: Option<Vui>,
}

/// What the video usability information says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Vui {
    /// Width and height of a sample.
    pub sample_aspect_ratio: Option<(u16, u16)>,
    /// `num_units_in_tick` and `time_scale`, neither zero: a tick is one field.
    pub timing: Option<(u32, u32)>,
    /// Whether SEI messages tell fields and repetitions.
    pub pic_struct_present: bool,
    /// `max_num_reorder_frames`, if told.
    pub max_num_reorder_frames: Option<u32>,
}

impl Sps {
    /// Parses a NAL unit.
    ///
    /// # Errors
    /// [`Error`] when it is no SPS, cut short, or when a value is out of its range.
    pub fn parse(unit: &[u8]) -> Result<Self, Error> {
        let header = unit.first().copied().unwrap_or(0);
        if NalType::from(header) != NalType::Sps {
            return Err(Error::Invalid { what: "nal_unit_type", value: header.into() });
        }
        let unit = nal::unescape(unit);
        let mut r = BitReader::new(&unit);
        r.skip(8)?;
        let (profile, constraints, level) = (r.u8(8)?, r.u8(8)?, r.u8(8)?);
        let id = r.ue_max(31, "seq_parameter_set_id")?;
        let chroma = Chroma::parse(profile, &mut r)?;
        let frame_num_bits = r.ue_u8(12, "log2_max_frame_num_minus4")? + 4;
        let poc_type = r.ue_u8(2, "pic_order_cnt_type")?;
        let mut poc_lsb_bits = 0;
        match poc_type {
            0 => poc_lsb_bits = r.ue_u8(12, "log2_max_pic_order_cnt_lsb_minus4")? + 4,
            1 => {
                r.flag()?; // delta_pic_order_always_zero_flag
                r.se()?; // offset_for_non_ref_pic
                r.se()?; // offset_for_top_to_bottom_field
                for _ in 0..r.ue_max(255, "num_ref_frames_in_pic_order_cnt_cycle")? {
                    r.se()?;
                }
            }
            _ => {}
        }
        let max_num_ref_frames = r.ue_max(255, "max_num_ref_frames")?;
        r.flag()?; // gaps_in_frame_num_value_allowed_flag
        let width_mbs = r.ue_max(MAX_SIDE / 16 - 1, "pic_width_in_mbs_minus1")? + 1;
        let map_units = r.ue_max(MAX_SIDE / 16 - 1, "pic_height_in_map_units_minus1")?;
        let frame_mbs_only = r.flag()?;
        let fields = if frame_mbs_only { 1 } else { 2 };
        let height_mbs = (map_units + 1) * fields;
        if !frame_mbs_only {
            r.flag()?; // mb_adaptive_frame_field_flag
        }
        r.flag()?; // direct_8x8_inference_flag
        let (mut width, mut height) = (width_mbs * 16, height_mbs * 16);
        if r.flag()? {
            let (x, y) = chroma.crop_units();
            width = crop(width, r.ue()?, r.ue()?, x)?;
            height = crop(height, r.ue()?, r.ue()?, y * fields)?;
        }
        let vui = if r.flag()? { Vui::parse(&mut r).ok() } else { None };
        Ok(Self {
            profile,
            constraints,
            level,
            id,
            chroma_format: chroma.format,
            luma_depth: chroma.luma_depth,
            chroma_depth: chroma.chroma_depth,
            frame_num_bits,
            poc_type,
            poc_lsb_bits,
            max_num_ref_frames,
            width_mbs,
            height_mbs,
            frame_mbs_only,
            width,
            height,
            vui,
        })
    }

    /// How many pictures may come before one in decoding order and after it in output order: what
    /// decoding times are to be derived with.
    ///
    /// Told by the VUI; otherwise a bound from profile and picture order count type, and at last
    /// the size of the decoded picture buffer (§A.3.1 h, §E.2.1).
    #[must_use]
    pub fn max_num_reorder_frames(&self) -> u32 {
        if let Some(told) = self.vui.and_then(|vui| vui.max_num_reorder_frames) {
            return told;
        }
        let intra_only = matches!(self.profile, 44 | 86 | 100 | 110 | 122 | 244)
            && self.constraints & CONSTRAINT_SET3 != 0;
        // Baseline has no B slices and type 2 keeps decoding order.
        if intra_only || self.profile == BASELINE || self.poc_type == 2 {
            return 0;
        }
        self.max_dpb_frames()
    }

    /// Frames per second × 1000 as the VUI tells them; 0 if it does not.
    #[must_use]
    pub fn millihertz(&self) -> u32 {
        let timing = self.vui.and_then(|vui| vui.timing);
        timing.map_or(0, |(units, scale)| millihertz(2 * u64::from(units), scale))
    }

    /// What there is to say to people.
    #[must_use]
    pub fn details(&self) -> VideoDetails {
        VideoDetails {
            width: self.width,
            height: self.height,
            profile: self.profile,
            level: self.level,
            millihertz: self.millihertz(),
        }
    }

    /// `MaxDpbFrames` (§A.3.1 h, table A-1).
    fn max_dpb_frames(&self) -> u32 {
        let max_dpb_mbs = match self.level {
            0..=10 => 396,
            11 if self.constraints & CONSTRAINT_SET3 != 0 => 396, // level 1b
            11 => 900,
            12..=20 => 2376,
            21 => 4752,
            22..=30 => 8100,
            31 => 18_000,
            32 => 20_480,
            33..=41 => 32_768,
            42 => 34_816,
            43..=50 => 110_400,
            51..=52 => 184_320,
            _ => 696_320,
        };
        (max_dpb_mbs / (self.width_mbs * self.height_mbs).max(1)).min(16)
    }
}

const BASELINE: u8 = 66;
const CONSTRAINT_SET3: u8 = 0x10;

/// The part that only the high profiles have.
struct Chroma {
    format: u8,
    luma_depth: u8,
    chroma_depth: u8,
}

impl Chroma {
    fn parse(profile: u8, r: &mut BitReader<'_>) -> Result<Self, Error> {
        if !matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            return Ok(Self { format: 1, luma_depth: 8, chroma_depth: 8 });
        }
        let format = r.ue_u8(3, "chroma_format_idc")?;
        if format == 3 {
            r.flag()?; // separate_colour_plane_flag
        }
        let luma_depth = r.ue_u8(6, "bit_depth_luma_minus8")? + 8;
        let chroma_depth = r.ue_u8(6, "bit_depth_chroma_minus8")? + 8;
        r.flag()?; // qpprime_y_zero_transform_bypass_flag
        if r.flag()? {
            for list in 0..if format == 3 { 12 } else { 8 } {
                if r.flag()? {
                    skip_scaling_list(r, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Ok(Self { format, luma_depth, chroma_depth })
    }

    /// `CropUnitX` and `CropUnitY` of a frame (equations 7-19 to 7-22).
    fn crop_units(&self) -> (u32, u32) {
        match self.format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        }
    }
}

/// `scaling_list()` (§7.3.2.1.1.1).
fn skip_scaling_list(r: &mut BitReader<'_>, size: usize) -> Result<(), Error> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(r.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

impl Vui {
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let mut vui = Self::default();
        if r.flag()? {
            vui.sample_aspect_ratio = sample_aspect_ratio(r)?;
        }
        if r.flag()? {
            r.flag()?; // overscan_appropriate_flag
        }
        if r.flag()? {
            r.skip(4)?; // video_format, video_full_range_flag
            if r.flag()? {
                r.skip(24)?; // colour_primaries, transfer_characteristics, matrix_coefficients
            }
        }
        if r.flag()? {
            r.ue()?; // chroma_sample_loc_type_top_field
            r.ue()?; // chroma_sample_loc_type_bottom_field
        }
        if r.flag()? {
            let (units, scale) = (r.bits(32)?, r.bits(32)?);
            r.flag()?; // fixed_frame_rate_flag
            vui.timing = (units > 0 && scale > 0).then_some((units, scale));
        }
        let nal_hrd = r.flag()?;
        if nal_hrd {
            skip_hrd(r)?;
        }
        let vcl_hrd = r.flag()?;
        if vcl_hrd {
            skip_hrd(r)?;
        }
        if nal_hrd || vcl_hrd {
            r.flag()?; // low_delay_hrd_flag
        }
        vui.pic_struct_present = r.flag()?;
        if r.flag()? {
            r.flag()?; // motion_vectors_over_pic_boundaries_flag
            for _ in 0..4 {
                r.ue()?; // max_bytes_per_pic_denom … log2_max_mv_length_vertical
            }
            let reorder = r.ue_max(16, "max_num_reorder_frames")?;
            r.ue_max(16, "max_dec_frame_buffering")?;
            vui.max_num_reorder_frames = Some(reorder);
        }
        Ok(vui)
    }
}

/// `hrd_parameters()` (§E.1.2).
fn skip_hrd(r: &mut BitReader<'_>) -> Result<(), Error> {
    let count = r.ue_max(31, "cpb_cnt_minus1")? + 1;
    r.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..count {
        r.ue()?; // bit_rate_value_minus1
        r.ue()?; // cpb_size_value_minus1
        r.flag()?; // cbr_flag
    }
    r.skip(20) // three delay lengths, time_offset_length
}
