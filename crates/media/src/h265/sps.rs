//! Sequence parameter sets (ITU-T H.265 §7.3.2.2) with the VUI (§E.2.1) as far as a server asks,
//! and the timing of video parameter sets (§7.3.2.1).
//!
//! A VUI that ends too early or makes no sense is ignored: the picture does not depend on it.

use crate::vui::{MAX_SIDE, crop, millihertz, sample_aspect_ratio};
use crate::{BitReader, Error, nal};

use super::{NalType, ProfileTierLevel};

/// What a sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sps {
    /// Temporal sub-layers: 1 to 7.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nesting: bool,
    /// Profile, tier and level.
    pub profile: ProfileTierLevel,
    /// `sps_seq_parameter_set_id`.
    pub id: u32,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format: u8,
    /// Width of the displayed picture.
    pub width: u32,
    /// Height of the displayed picture.
    pub height: u32,
    /// Bits per luma sample.
    pub luma_depth: u8,
    /// Bits per chroma sample.
    pub chroma_depth: u8,
    /// `log2_max_pic_order_cnt_lsb_minus4` + 4.
    pub poc_lsb_bits: u8,
    /// `sps_max_num_reorder_pics` of the highest sub-layer.
    pub max_num_reorder_pics: u32,
    /// Width and height of a sample.
    pub sample_aspect_ratio: Option<(u16, u16)>,
    /// `vui_num_units_in_tick` and `vui_time_scale`, neither zero: a tick is one picture.
    pub timing: Option<(u32, u32)>,
    /// `min_spatial_segmentation_idc`.
    pub min_spatial_segmentation: u16,
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
        r.skip(16)?;
        r.u8(4)?; // sps_video_parameter_set_id
        let sub_layers = at_most(r.u8(3)?, 6, "sps_max_sub_layers_minus1")?;
        let temporal_id_nesting = r.flag()?;
        let profile = ProfileTierLevel::parse(&mut r, sub_layers)?;
        let id = r.ue_max(15, "sps_seq_parameter_set_id")?;
        let chroma_format = r.ue_u8(3, "chroma_format_idc")?;
        if chroma_format == 3 {
            r.flag()?; // separate_colour_plane_flag
        }
        let mut width = side(r.ue()?, "pic_width_in_luma_samples")?;
        let mut height = side(r.ue()?, "pic_height_in_luma_samples")?;
        if r.flag()? {
            let (x, y) = (
                if matches!(chroma_format, 1 | 2) { 2 } else { 1 },
                if chroma_format == 1 { 2 } else { 1 },
            );
            width = crop(width, r.ue()?, r.ue()?, x)?;
            height = crop(height, r.ue()?, r.ue()?, y)?;
        }
        let luma_depth = r.ue_u8(8, "bit_depth_luma_minus8")? + 8;
        let chroma_depth = r.ue_u8(8, "bit_depth_chroma_minus8")? + 8;
        let poc_lsb_bits = r.ue_u8(12, "log2_max_pic_order_cnt_lsb_minus4")? + 4;
        let max_num_reorder_pics = skip_ordering(&mut r, sub_layers)?;
        let mut sps = Self {
            temporal_layers: sub_layers + 1,
            temporal_id_nesting,
            profile,
            id,
            chroma_format,
            width,
            height,
            luma_depth,
            chroma_depth,
            poc_lsb_bits,
            max_num_reorder_pics,
            sample_aspect_ratio: None,
            timing: None,
            min_spatial_segmentation: 0,
        };
        // What follows only leads to the VUI.
        if skip_coding_tools(&mut r, poc_lsb_bits).is_ok() && r.flag() == Ok(true) {
            let mut told = sps;
            if told.read_vui(&mut r, sub_layers).is_ok() {
                sps = told;
            }
        }
        Ok(sps)
    }

    /// Frames per second × 1000 as the VUI tells them; 0 if it does not.
    #[must_use]
    pub fn millihertz(&self) -> u32 {
        self.timing.map_or(0, |(units, scale)| millihertz(units.into(), scale))
    }

    /// `vui_parameters()`.
    fn read_vui(&mut self, r: &mut BitReader<'_>, sub_layers: u8) -> Result<(), Error> {
        if r.flag()? {
            self.sample_aspect_ratio = sample_aspect_ratio(r)?;
        }
        if r.flag()? {
            r.flag()?; // overscan_appropriate_flag
        }
        if r.flag()? {
            r.skip(4)?; // video_format, video_full_range_flag
            if r.flag()? {
                r.skip(24)?; // colour_primaries, transfer_characteristics, matrix_coeffs
            }
        }
        if r.flag()? {
            r.ue()?; // chroma_sample_loc_type_top_field
            r.ue()?; // chroma_sample_loc_type_bottom_field
        }
        r.skip(3)?; // neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag
        if r.flag()? {
            for _ in 0..4 {
                r.ue()?; // default display window
            }
        }
        if r.flag()? {
            let timing = (r.bits(32)?, r.bits(32)?);
            self.timing = (timing.0 > 0 && timing.1 > 0).then_some(timing);
            if r.flag()? {
                r.ue()?; // vui_num_ticks_poc_diff_one_minus1
            }
            if r.flag()? {
                skip_hrd(r, sub_layers)?;
            }
        }
        if r.flag()? {
            r.skip(3)?; // tiles, motion vectors, reference picture lists
            let segmentation = r.ue_max(4095, "min_spatial_segmentation_idc")?;
            self.min_spatial_segmentation = u16::try_from(segmentation).unwrap_or(0);
        }
        Ok(())
    }
}

/// Frames per second × 1000 as a VPS tells them; 0 if it does not.
pub(crate) fn vps_millihertz(unit: &[u8]) -> u32 {
    fn timing(unit: &[u8]) -> Result<Option<(u32, u32)>, Error> {
        let mut r = BitReader::new(unit);
        r.skip(16 + 12)?; // header, id, base layer flags, vps_max_layers_minus1
        let sub_layers = at_most(r.u8(3)?, 6, "vps_max_sub_layers_minus1")?;
        r.skip(1 + 16)?; // vps_temporal_id_nesting_flag, reserved
        ProfileTierLevel::parse(&mut r, sub_layers)?;
        skip_ordering(&mut r, sub_layers)?;
        let layers = usize::from(r.u8(6)?) + 1; // vps_max_layer_id
        let sets = r.ue_max(1023, "vps_num_layer_sets_minus1")?;
        for _ in 0..sets {
            r.skip(layers)?;
        }
        if !r.flag()? {
            return Ok(None);
        }
        let (units, scale) = (r.bits(32)?, r.bits(32)?);
        Ok((units > 0 && scale > 0).then_some((units, scale)))
    }
    let timing = timing(&nal::unescape(unit)).ok().flatten();
    timing.map_or(0, |(units, scale)| millihertz(units.into(), scale))
}

/// The sub-layer ordering information of SPS and VPS; returns the number of reordered pictures of
/// the highest sub-layer.
fn skip_ordering(r: &mut BitReader<'_>, sub_layers: u8) -> Result<u32, Error> {
    let first = if r.flag()? { 0 } else { sub_layers };
    let mut reorder = 0;
    for _ in first..=sub_layers {
        r.ue_max(15, "max_dec_pic_buffering_minus1")?;
        reorder = r.ue_max(15, "max_num_reorder_pics")?;
        r.ue()?; // max_latency_increase_plus1
    }
    Ok(reorder)
}

/// From `log2_min_luma_coding_block_size_minus3` to `strong_intra_smoothing_enabled_flag`.
fn skip_coding_tools(r: &mut BitReader<'_>, poc_lsb_bits: u8) -> Result<(), Error> {
    for _ in 0..6 {
        r.ue()?; // sizes of coding and transform blocks, depths of their hierarchies
    }
    if r.flag()? && r.flag()? {
        skip_scaling_lists(r)?;
    }
    r.skip(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if r.flag()? {
        r.skip(8)?; // sample bit depths
        r.ue()?; // log2_min_pcm_luma_coding_block_size_minus3
        r.ue()?; // log2_diff_max_min_pcm_luma_coding_block_size
        r.flag()?; // pcm_loop_filter_disabled_flag
    }
    let mut pictures = 0;
    for index in 0..r.ue_max(64, "num_short_term_ref_pic_sets")? {
        pictures = skip_reference_set(r, index, pictures)?;
    }
    if r.flag()? {
        for _ in 0..r.ue_max(32, "num_long_term_ref_pics_sps")? {
            r.skip(usize::from(poc_lsb_bits) + 1)?;
        }
    }
    r.skip(2) // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
}

/// `scaling_list_data()` (§7.3.4).
fn skip_scaling_lists(r: &mut BitReader<'_>) -> Result<(), Error> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !r.flag()? {
                r.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if size > 1 {
                r.se()?; // scaling_list_dc_coef_minus8
            }
            for _ in 0..64.min(1 << (4 + (size << 1))) {
                r.se()?; // scaling_list_delta_coef
            }
        }
    }
    Ok(())
}

/// `st_ref_pic_set()` (§7.3.7) of an SPS; `previous` and the result are numbers of pictures.
fn skip_reference_set(r: &mut BitReader<'_>, index: u32, previous: u32) -> Result<u32, Error> {
    /// `sps_max_dec_pic_buffering_minus1` at its most.
    const MAX_PICTURES: u32 = 16;
    if index > 0 && r.flag()? {
        r.flag()?; // delta_rps_sign
        r.ue()?; // abs_delta_rps_minus1
        let mut pictures = 0;
        for _ in 0..=previous {
            let used = r.flag()?;
            // use_delta_flag is inferred to be 1 for pictures in use.
            if used || r.flag()? {
                pictures += 1;
            }
        }
        return at_most(pictures, MAX_PICTURES, "NumDeltaPocs");
    }
    let negative = r.ue_max(MAX_PICTURES, "num_negative_pics")?;
    let positive = r.ue_max(MAX_PICTURES - negative, "num_positive_pics")?;
    for _ in 0..negative + positive {
        r.ue()?; // delta_poc_minus1
        r.flag()?; // used_by_curr_pic_flag
    }
    Ok(negative + positive)
}

/// `hrd_parameters()` (§E.2.2) with common information.
fn skip_hrd(r: &mut BitReader<'_>, sub_layers: u8) -> Result<(), Error> {
    let (nal, vcl) = (r.flag()?, r.flag()?);
    let mut sub_pictures = false;
    if nal || vcl {
        sub_pictures = r.flag()?;
        if sub_pictures {
            r.skip(8 + 5 + 1 + 5)?; // tick divisor, delay lengths
        }
        r.skip(4 + 4)?; // bit_rate_scale, cpb_size_scale
        if sub_pictures {
            r.skip(4)?; // cpb_size_du_scale
        }
        r.skip(5 + 5 + 5)?; // delay lengths
    }
    for _ in 0..=sub_layers {
        let fixed_generally = r.flag()?;
        let fixed = fixed_generally || r.flag()?;
        let mut low_delay = false;
        if fixed {
            r.ue()?; // elemental_duration_in_tc_minus1
        } else {
            low_delay = r.flag()?;
        }
        let buffers = if low_delay { 1 } else { r.ue_max(31, "cpb_cnt_minus1")? + 1 };
        for _ in 0..buffers * (u32::from(nal) + u32::from(vcl)) {
            for _ in 0..if sub_pictures { 4 } else { 2 } {
                r.ue()?; // rates and sizes
            }
            r.flag()?; // cbr_flag
        }
    }
    Ok(())
}

fn side(value: u32, what: &'static str) -> Result<u32, Error> {
    match value {
        1..=MAX_SIDE => Ok(value),
        _ => Err(Error::Invalid { what, value: value.into() }),
    }
}

fn at_most<T: Into<u64> + PartialOrd + Copy>(
    value: T,
    max: T,
    what: &'static str,
) -> Result<T, Error> {
    if value > max { Err(Error::Invalid { what, value: value.into() }) } else { Ok(value) }
}
