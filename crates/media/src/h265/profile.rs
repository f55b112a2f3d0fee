//! `profile_tier_level()` (ITU-T H.265 §7.3.3), and its names in RFC 6381 codec strings
//! (ISO/IEC 14496-15 annex E.3).

use crate::{BitReader, Error, Reader};

/// The general part of `profile_tier_level()`: what a decoder must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProfileTierLevel {
    /// `general_profile_space`.
    pub space: u8,
    /// `general_tier_flag`: whether the high tier.
    pub high_tier: bool,
    /// `general_profile_idc`.
    pub profile: u8,
    /// `general_profile_compatibility_flag[0]` (most significant bit) to `[31]`.
    pub compatibility: u32,
    /// The 48 bits from `general_progressive_source_flag` on.
    pub constraints: [u8; 6],
    /// `general_level_idc`: 30 times the level.
    pub level: u8,
}

impl ProfileTierLevel {
    /// Reads the general part and passes over those of `sub_layers` sub-layers.
    pub(crate) fn parse(r: &mut BitReader<'_>, sub_layers: u8) -> Result<Self, Error> {
        let space = r.u8(2)?;
        let high_tier = r.flag()?;
        let profile = r.u8(5)?;
        let compatibility = r.bits(32)?;
        let mut constraints = [0; 6];
        for byte in &mut constraints {
            *byte = r.u8(8)?;
        }
        let level = r.u8(8)?;
        let mut bits = 0;
        for _ in 0..sub_layers {
            bits += if r.flag()? { 88 } else { 0 }; // profile
            bits += if r.flag()? { 8 } else { 0 }; // level
        }
        if sub_layers > 0 {
            r.skip(2 * usize::from(8 - sub_layers.min(8)))?;
        }
        r.skip(bits)?;
        Ok(Self { space, high_tier, profile, compatibility, constraints, level })
    }

    /// The twelve bytes that the configuration record begins with after its version.
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let first = r.u8()?;
        Ok(Self {
            space: first >> 6,
            high_tier: first & 0x20 != 0,
            profile: first & 0x1F,
            compatibility: r.u32()?,
            constraints: r.array()?,
            level: r.u8()?,
        })
    }

    /// The inverse of [`ProfileTierLevel::read`].
    pub(crate) fn to_bytes(self) -> [u8; 12] {
        let first = self.space << 6 | u8::from(self.high_tier) << 5 | self.profile;
        let [c0, c1, c2, c3] = self.compatibility.to_be_bytes();
        let [f0, f1, f2, f3, f4, f5] = self.constraints;
        [first, c0, c1, c2, c3, f0, f1, f2, f3, f4, f5, self.level]
    }

    /// The codec string behind `hvc1.`: `1.6.L93.b0`.
    pub(crate) fn rfc6381(&self) -> String {
        let space = match self.space {
            1 => "A",
            2 => "B",
            3 => "C",
            _ => "",
        };
        let tier = if self.high_tier { 'H' } else { 'L' };
        let compatibility = self.compatibility.reverse_bits();
        let mut name = format!("{space}{}.{compatibility:x}.{tier}{}", self.profile, self.level);
        let used = self.constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for byte in self.constraints.iter().take(used) {
            name.push_str(&format!(".{byte:x}"));
        }
        name
    }
}
