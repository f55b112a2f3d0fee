//! `sequence_header_obu()` (AV1 bitstream §5.5).

use crate::vui::millihertz;
use crate::{BitReader, Error, VideoDetails};

/// What a sequence header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SequenceHeader {
    /// `seq_profile`: 0 main, 1 high, 2 professional.
    pub profile: u8,
    /// Whether the stream is one picture (AVIF).
    pub still_picture: bool,
    /// `seq_level_idx[0]`: 0 is level 2.0, 5 is 3.1, 31 is no limit.
    pub level: u8,
    /// `seq_tier[0]`: whether the high tier.
    pub high_tier: bool,
    /// Width of the largest frame.
    pub width: u32,
    /// Height of the largest frame.
    pub height: u32,
    /// Bits per sample: 8, 10 or 12.
    pub depth: u8,
    /// Whether there are no chroma planes.
    pub monochrome: bool,
    /// `subsampling_x`, `subsampling_y`.
    pub subsampling: (bool, bool),
    /// `chroma_sample_position`.
    pub chroma_sample_position: u8,
    /// Frames per second × 1000; 0 if it isn't told.
    pub millihertz: u32,
}

impl SequenceHeader {
    /// Parses the payload of a sequence header OBU.
    ///
    /// # Errors
    /// [`Error`] when it is cut short, or a value is out of its range.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut r = BitReader::new(payload);
        let profile = r.u8(3)?;
        if profile > 2 {
            return Err(Error::Invalid { what: "seq_profile", value: profile.into() });
        }
        let still_picture = r.flag()?;
        let reduced = r.flag()?;
        let operation = if reduced {
            Operation { level: r.u8(5)?, high_tier: false, millihertz: 0 }
        } else {
            Operation::parse(&mut r)?
        };
        let (width_bits, height_bits) = (r.bits(4)? + 1, r.bits(4)? + 1);
        let (width, height) = (r.bits(width_bits)? + 1, r.bits(height_bits)? + 1);
        if !reduced && r.flag()? {
            r.skip(4 + 3)?; // lengths of frame ids
        }
        r.skip(3)?; // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
        if !reduced {
            skip_inter_tools(&mut r)?;
        }
        r.skip(3)?; // enable_superres, enable_cdef, enable_restoration
        let colour = Colour::parse(&mut r, profile)?;
        r.flag()?; // film_grain_params_present
        Ok(Self {
            profile,
            still_picture,
            level: operation.level,
            high_tier: operation.high_tier,
            width,
            height,
            depth: colour.depth,
            monochrome: colour.monochrome,
            subsampling: colour.subsampling,
            chroma_sample_position: colour.sample_position,
            millihertz: operation.millihertz,
        })
    }

    /// What there is to say to people.
    #[must_use]
    pub fn details(&self) -> VideoDetails {
        VideoDetails {
            width: self.width,
            height: self.height,
            profile: self.profile,
            level: self.level,
            millihertz: self.millihertz,
        }
    }
}

/// The first operating point: the whole stream.
struct Operation {
    level: u8,
    high_tier: bool,
    millihertz: u32,
}

impl Operation {
    /// From `timing_info_present_flag` to the end of the operating points.
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let mut this = Self { level: 0, high_tier: false, millihertz: 0 };
        let mut delay_bits = None;
        if r.flag()? {
            let (units, scale) = (r.bits(32)?, r.bits(32)?);
            if r.flag()? {
                let ticks = u64::from(r.ue()?) + 1; // num_ticks_per_picture_minus_1
                this.millihertz = millihertz(u64::from(units).saturating_mul(ticks), scale);
            }
            if r.flag()? {
                delay_bits = Some(usize::from(r.u8(5)?) + 1);
                r.skip(32 + 5 + 5)?; // num_units_in_decoding_tick, two lengths
            }
        }
        let initial_display_delay = r.flag()?;
        for index in 0..=r.u8(5)? {
            r.skip(12)?; // operating_point_idc
            let level = r.u8(5)?;
            let high_tier = level > 7 && r.flag()?;
            if index == 0 {
                (this.level, this.high_tier) = (level, high_tier);
            }
            if let Some(bits) = delay_bits
                && r.flag()?
            {
                r.skip(2 * bits + 1)?; // operating_parameters_info()
            }
            if initial_display_delay && r.flag()? {
                r.skip(4)?;
            }
        }
        Ok(this)
    }
}

/// From `enable_interintra_compound` to `order_hint_bits_minus_1`.
fn skip_inter_tools(r: &mut BitReader<'_>) -> Result<(), Error> {
    r.skip(4)?; // interintra and masked compound, warped motion, dual filter
    let order_hint = r.flag()?;
    if order_hint {
        r.skip(2)?; // enable_jnt_comp, enable_ref_frame_mvs
    }
    let choose_screen_content_tools = r.flag()?;
    if choose_screen_content_tools || r.flag()? {
        let choose_integer_mv = r.flag()?;
        if !choose_integer_mv {
            r.flag()?; // seq_force_integer_mv
        }
    }
    if order_hint {
        r.skip(3)?;
    }
    Ok(())
}

struct Colour {
    depth: u8,
    monochrome: bool,
    subsampling: (bool, bool),
    sample_position: u8,
}

impl Colour {
    /// `color_config()` (§5.5.2).
    fn parse(r: &mut BitReader<'_>, profile: u8) -> Result<Self, Error> {
        const SRGB: [u8; 3] = [1, 13, 0];
        let high = r.flag()?;
        let depth = match (high, profile) {
            (false, _) => 8,
            (true, 2) if r.flag()? => 12,
            (true, _) => 10,
        };
        let monochrome = profile != 1 && r.flag()?;
        let mut description = [2; 3];
        if r.flag()? {
            description = [r.u8(8)?, r.u8(8)?, r.u8(8)?];
        }
        let mut this = Self { depth, monochrome, subsampling: (true, true), sample_position: 0 };
        if !monochrome && description == SRGB {
            this.subsampling = (false, false);
        } else {
            r.flag()?; // color_range
        }
        if monochrome {
            return Ok(this);
        }
        if description != SRGB {
            this.subsampling = match (profile, depth) {
                (0, _) => (true, true),
                (1, _) => (false, false),
                (_, 12) => {
                    let x = r.flag()?;
                    (x, x && r.flag()?)
                }
                _ => (true, false),
            };
            if this.subsampling == (true, true) {
                this.sample_position = r.u8(2)?;
            }
        }
        r.flag()?; // separate_uv_delta_q
        Ok(this)
    }
}
