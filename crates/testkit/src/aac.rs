//! Silent AAC-LC frames and their configuration (ISO/IEC 14496-3 §1.6.2.1, §4.4.2).

use bytes::Bytes;

use crate::bits::BitWriter;

/// Samples per frame and channel.
pub const FRAME_SAMPLES: u64 = 1024;

/// The sample rates that have an index (§1.6.3.4).
const RATES: [u32; 13] =
    [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/// The most bytes of one fill element: 15, and 255 of the escape less one.
const FILL_MAX: usize = 269;

/// The `AudioSpecificConfig` of AAC-LC with one or two channels.
///
/// # Panics
/// On a sample rate without an index: a mistake of the test.
#[must_use]
pub fn config(sample_rate: u32, channels: u8) -> Bytes {
    let index = RATES.iter().position(|&rate| rate == sample_rate);
    let index = index.expect("an AAC sample rate");
    let mut w = BitWriter::default();
    w.bits(5, 2).bits(4, u64::try_from(index).unwrap_or(0)).bits(4, u64::from(channels)).bits(3, 0);
    Bytes::from(w.finish())
}

/// A raw data block of silence, padded with fill elements to about `bytes` bytes.
#[must_use]
pub fn silence(channels: u8, bytes: usize) -> Bytes {
    let mut w = BitWriter::default();
    // ics_info: long window, sine shape, no scale factor bands, no prediction.
    let ics_info = |w: &mut BitWriter| {
        w.bits(11, 0);
    };
    let bare = if channels == 1 {
        w.bits(3, 0).bits(4, 0).bits(8, 0); // single_channel_element, tag, global_gain
        ics_info(&mut w);
        w.bits(3, 0); // no pulse, no noise shaping, no gain control
        5
    } else {
        w.bits(3, 1).bits(4, 0).flag(true); // channel_pair_element, tag, common_window
        ics_info(&mut w);
        w.bits(2, 0); // no mid/side stereo
        w.bits(11, 0).bits(11, 0); // two channels of gain and three absent tools
        6
    };
    let mut left = bytes.saturating_sub(bare);
    while left > 3 {
        // Each costs its identifier and count besides the bytes: up to two bytes.
        let count = (left - 2).min(FILL_MAX);
        left = left.saturating_sub(count + 2);
        w.bits(3, 6);
        if count < 15 {
            w.bits(4, u64::try_from(count).unwrap_or(0));
        } else {
            w.bits(4, 15).bits(8, u64::try_from(count - 14).unwrap_or(0));
        }
        w.bits(4, 1).bits(4, 0); // EXT_FILL_DATA, fill_nibble
        for _ in 1..count {
            w.bits(8, 0b1010_0101);
        }
    }
    w.bits(3, 7).align();
    Bytes::from(w.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_the_well_known_ones() {
        assert_eq!(config(48_000, 2)[..], [0x11, 0x90]);
        assert_eq!(config(44_100, 2)[..], [0x12, 0x10]);
        assert_eq!(config(16_000, 1)[..], [0x14, 0x08]);
    }

    #[test]
    fn padding_comes_close_to_the_wanted_size() {
        for bytes in [0, 6, 10, 20, 200, 341, 800] {
            let size = silence(2, bytes).len();
            assert!(size.abs_diff(bytes) <= 6 || size == 6, "{bytes}: {size}");
        }
    }
}
